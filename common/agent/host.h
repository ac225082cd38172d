/*  host.h - runs one core or several over batches of frames: decoding, the allow matrix, the output gate, events.

    A host does no I/O but through its store: whoever drives it (the shell with sockets, the simulator with none)
    hands it frames and the time, has it commit, and only then takes the frames that are to leave.

        tim3_host_begin (host, now);
        tim3_host_take (host, &origin, data, size);      any number of times
        tim3_host_tick (host);                           a few times a second
        if (tim3_host_commit (host) == 0)
            while ((frame = tim3_host_next (host)))      let it out
*/
#ifndef TIM3_HOST_H
#define TIM3_HOST_H

#include "agent/core.h"

/*  C (name, "what is counted since start")  */
#define TIM3_HOST_COUNTERS(C)                                                           \
    C (batches, "batches run")                                                          \
    C (commits, "batches that changed the store")                                       \
    C (frames_in, "ZeroMQ messages taken")                                              \
    C (messages_in, "envelopes taken")                                                  \
    C (messages_out, "envelopes sent")                                                  \
    C (refused, "requests answered with an error")                                      \
    C (malformed, "frames or envelopes that cannot be decoded")                         \
    C (not_allowed, "messages refused by the allow matrix")                             \
    C (stray_answers, "answers that came where none was asked for")                     \
    C (not_ready, "requests refused because the router has not accepted the store yet") \
    C (storage_full, "batches refused because the store was full")                      \
    C (events_emitted, "events emitted")                                                \
    C (events_published, "events known to be durable on the bus")                       \
    C (events_resent, "times that events were sent to the bus again")

typedef struct {
#define C(name, text) uint64_t name;
    TIM3_HOST_COUNTERS (C)
#undef C
} tim3_host_counters_t;

typedef struct {
    char name[TIM3_ADDRESS_MAX + 1];
    char endpoint[201]; /* told to the registry; empty: do not register */
    uint64_t incarnation;
    uint64_t started_us;
    tim3_store_meta_t meta;     /* of the store */
    uint64_t commits;           /* of the store, as it was found: before this life changed anything */
    const char *backup;         /* folder that backups go to; NULL: there is none */
    bool wait_accepted;         /* a ledger serves nobody until the router has accepted its store */
    const tim3_setting_t *list; /* what ConfigGet answers */
    uint32_t list_count;
    uint64_t pid;
    bool shared; /* several cores share the store: see tim3_host_add */
    bool
        runs_again; /* what is handed over has been before: cores say nothing to each other, for that is noted too */
    uint32_t run_most; /* most events in a row of the outbox and in a publication; 0: as usual. Tests make it small */
    /* adds CPU time and memory to Stats; may be NULL */
    void (*process_stats) (tim3_report_t *report);
    /* adds reasons of the process to Health; may be NULL */
    void (*process_health) (tim3_report_t *report);
} tim3_host_options_t;

/*  Where a frame came from: answer says that it came over a connection that this agent made, so that answers
    are welcome and requests are not: peer is then the address that was asked; else the routing id to answer to.  */
typedef struct {
    bool answer;
    const uint8_t *peer;
    size_t peer_size;
} tim3_origin_t;

/*  A frame that may leave: to an agent by address, or back to a peer.  */
typedef struct {
    const char *address; /* NULL: back to peer */
    const uint8_t *peer;
    size_t peer_size;
    const uint8_t *data;
    size_t size;
} tim3_frame_t;

typedef struct tim3_host tim3_host_t;

/*  Most cores in one host.  */
#define TIM3_HOST_CORES_MAX 4

/*  The incarnation of a life that begins, durable in the store: when it began, but always more than that of the life before,
    whatever the clock says. How much more is by chance, so that lives of two copies of a store differ. 0 when the store is broken.  */
uint64_t tim3_host_next_life (tim3_store_t *store, uint64_t now_us, uint32_t chance);

/*  Neither store, core nor settings are owned; all must outlive the host.  */
tim3_host_t *tim3_host_new (const tim3_core_t *core, const tim3_settings_t *settings, tim3_store_t *store,
                            const tim3_host_options_t *options);
/*  One more core, of another role, with its address in settings, before the first batch. What the cores of a host say to
    each other stays in it, and all that they write on a batch is one commit.  */
void tim3_host_add (tim3_host_t *self, const tim3_core_t *core, const tim3_settings_t *settings);
void tim3_host_destroy (tim3_host_t **self);
/*  Of what the cores that keep something were told, secrets left out: the same settings have the same.  */
uint64_t tim3_host_digest (const tim3_host_t *self);

/*  Makes the core anew from the store, as the host does itself where a stretch of the journal begins; its next message gets
    that id, and the router has accepted those roles. For one who runs such a stretch again.  */
void tim3_host_renew (tim3_host_t *self, uint64_t now_us, uint64_t next_id, uint64_t accepted);
void tim3_host_begin (tim3_host_t *self, uint64_t now_us);
void tim3_host_take (tim3_host_t *self, const tim3_origin_t *origin, const uint8_t *data, size_t size);
void tim3_host_tick (tim3_host_t *self);
/*  Tells the registry that this agent goes away; in the last batch.  */
void tim3_host_leave (tim3_host_t *self);
/*  0: frames may leave (if the store was full, they are refusals). -1: the store is broken; stop at once and
    let nothing out.  */
int tim3_host_commit (tim3_host_t *self);
/*  NULL when all were handed out. Valid until tim3_host_begin.  */
const tim3_frame_t *tim3_host_next (tim3_host_t *self);

/*  Agents as the registry last told, and a number that changes when they do.  */
const tim3_agents_t *tim3_host_directory (const tim3_host_t *self, uint64_t *version);
/*  A newer incarnation has taken this agent's name: the process must end.  */
bool tim3_host_superseded (const tim3_host_t *self);
bool tim3_host_registered (const tim3_host_t *self);
/*  The agent serves: it need not be accepted by the router, or was in this life.  */
bool tim3_host_ready (const tim3_host_t *self);
/*  Why the router refuses this agent's store for good: the process must end. NULL when it does not.  */
const char *tim3_host_rolled_back (const tim3_host_t *self);
/*  Stands still for a backup; see kept.h for what to do with frames.  */
bool tim3_host_held (const tim3_host_t *self);
const tim3_host_counters_t *tim3_host_counters (const tim3_host_t *self);

#endif
