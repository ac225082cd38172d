/*  core.h - what a core is, and all that it may do.

    A core is a state machine. It is handed one message at a time, reads and writes its store, and says what to
    send; it makes no socket, file, clock, random or thread call. The host gives it the time, and keeps its
    replies, messages and events back until what it wrote is durable (the output gate). Handlers never fail:
    they refuse. If the store cannot take a batch, the host forgets the whole batch, makes the core anew and
    tells the senders to ask again, so what a core keeps in memory must be worth no more than a hint.

    A core is written as: validate -> decide -> write -> say what to send.
*/
#ifndef TIM3_CORE_H
#define TIM3_CORE_H

#include "agent/metrics.h"
#include "store/store.h"
#include "wire/envelope.h"
#include "wire/receipt.h"

/*  One asset, as configured.  */
typedef struct {
    char name[TIM3_ASSET_MAX + 1];
    unsigned decimals;
    unsigned shards;
    tim3_key_secret_t evidence_key; /* zeros in agents that may not hold it */
    tim3_key_secret_t vault_key;    /* zeros in agents that may not hold it */
} tim3_asset_t;

/*  All that a core is told when it is made. Plain values: the shell fills them from the config.  */
typedef struct {
    char name[TIM3_ADDRESS_MAX + 1]; /* own address */
    char asset[TIM3_ASSET_MAX + 1];  /* own asset, "-" for none */
    unsigned shard;
    unsigned decimals;                     /* of the own asset or collateral */
    unsigned shards;                       /* ledger shards of the own asset; 1 without one */
    tim3_amount_t scale;                   /* collateral units in one unit of the asset */
    tim3_amount_t cap;                     /* first supply cap of the asset */
    char collateral[TIM3_ADDRESS_MAX + 1]; /* address of the collateral token's agent */
    tim3_key_secret_t evidence_key;        /* lock and token manager */
    tim3_key_secret_t vault_key;           /* lock manager */
    tim3_asset_t assets[TIM3_ASSETS_MAX];  /* mock USDA: vault keys. state manager: names */
    unsigned asset_count;
    uint64_t sweep_after_us; /* first push of unfinished work */
    uint64_t sweep_most_us;  /* longest wait between pushes */
    uint64_t retry_us;       /* coordinator: ask a ledger again */
    uint64_t in_flight_most; /* coordinator: transactions at once; more are told overloaded */
    uint64_t heartbeat_us;   /* router: how often agents report */
    bool faucet;             /* mock USDA: the faucet is open */
} tim3_settings_t;

typedef struct tim3_env tim3_env_t;

typedef void (tim3_handler_fn) (void *self, tim3_env_t *env, const void *body);

typedef struct {
    tim3_type_t type;
    tim3_handler_fn *handle;
} tim3_handler_t;

/*  Collects what Health and Stats answer.  */
typedef struct tim3_report tim3_report_t;
void tim3_report_reason (tim3_report_t *self, const char *name, unsigned weight, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));
void tim3_report_metric (tim3_report_t *self, tim3_metric_name_t metric, tim3_amount_t value);
/*  One of a table of counters.  */
void tim3_report_counter (tim3_report_t *self, const char *name, tim3_amount_t value);

typedef struct {
    tim3_role_t role;
    const char *capabilities;
    /* what it writes never depends on what it remembers (who waits, counters). Others are made anew wherever a stretch of the journal
       begins, because replay runs a stretch without the memory of those before */
    bool writes_from_store_alone;
    bool keeps_nothing; /* its store holds no rows of its own */
    /* settings live as long as the core */
    void *(*new) (const tim3_settings_t *settings);
    void (*destroy) (void **self);
    const tim3_handler_t *handlers; /* ends with a NULL handle */
    /* called a few times a second, and right after the start. This and the three below may be NULL */
    void (*tick) (void *self, tim3_env_t *env);
    /* called right before the commit of a batch, to write and send what was gathered over it */
    void (*end_batch) (void *self, tim3_env_t *env);
    void (*health) (void *self, tim3_env_t *env, tim3_report_t *report);
    void (*stats) (void *self, tim3_env_t *env, tim3_report_t *report);
} tim3_core_t;

/*  The way back to whoever sent a message; opaque to cores, which may keep it and reply later.  */
#define TIM3_PEER_MAX 64
typedef struct {
    uint8_t peer[TIM3_PEER_MAX]; /* routing id of the connection */
    uint8_t peer_size;
    uint8_t via[TIM3_VIA_MAX];
    uint8_t via_size;
    uint16_t type; /* what was asked */
    uint64_t id;   /* id of the asking message */
    tim3_id_t trace;
    char sender[TIM3_ADDRESS_MAX + 1];
} tim3_return_t;

/*  ---------------------------------------------------------------------------- what a core may call  */

uint64_t tim3_env_now (const tim3_env_t *env);
tim3_store_t *tim3_env_store (const tim3_env_t *env);

/*  About the message at hand; NULL and zero between messages (tick).  */
const tim3_envelope_t *tim3_env_message (const tim3_env_t *env);
tim3_return_t tim3_env_return (const tim3_env_t *env);

/*  Answers the message at hand, or one kept. body is the struct of that type.  */
void tim3_env_reply (tim3_env_t *env, tim3_type_t type, const void *body);
void tim3_env_reply_to (tim3_env_t *env, const tim3_return_t *to, tim3_type_t type, const void *body);

/*  Refuses the message at hand. tx may be NULL; format NULL for the result's own text.  */
void tim3_env_refuse (tim3_env_t *env, tim3_result_t code, const tim3_id_t *tx, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

/*  Refuses a message kept.  */
void tim3_env_refuse_to (tim3_env_t *env, const tim3_return_t *to, const tim3_error_t *error);

/*  Sends a request to an agent by address, under the trace of the message at hand, and returns the message's id,
    which the answer carries as reply_to. It may get lost: the core finds what is unfinished in its own state and
    asks again.  */
uint64_t tim3_env_send (tim3_env_t *env, const char *address, tim3_type_t type, const void *body);

/*  Emits an event inside the commit at hand.  */
void tim3_env_emit (tim3_env_t *env, tim3_type_t type, const void *body);
/*  Number of the last event emitted by this host, uncommitted ones included.  */
uint64_t tim3_env_event_seq (const tim3_env_t *env);
/*  Identity of the host's store.  */
tim3_id_t tim3_env_store_id (const tim3_env_t *env);

/*  How many more rows the requests of this batch may read, all together: a handler that reads many counts it down, and stops at 0 (page.h
    does so by itself). Else a frame full of lists could hold up the agent, and fill its memory with answers.  */
uint32_t *tim3_env_rows (tim3_env_t *env);

/*  Memory that lives until the message is handled: for lists in replies. NULL when it is used up.  */
tim3_arena_t *tim3_env_arena (tim3_env_t *env);

#endif
