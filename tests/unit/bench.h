/*  bench.h - one core on the bench: a host over a store in memory, with the test as everybody else.

    A test opens the bench, asks (as the client, coordinator or agent that may), answers what the core has sent, lets
    time pass, and looks at what came out. One bench at a time; bench_close frees it all.
*/
#ifndef TIM3_TESTS_UNIT_BENCH_H
#define TIM3_TESTS_UNIT_BENCH_H

#include "agent/host.h"
#include "memory_store.h"

#define BENCH_SECOND 1000000ull
#define BENCH_START (1000 * BENCH_SECOND)

/*  An envelope that came out of the last batch.  */
typedef struct {
    uint64_t type;
    uint64_t id;
    uint64_t reply_to;
    tim3_id_t trace;
    char to[TIM3_ADDRESS_MAX + TIM3_PEER_MAX + 1]; /* address of a request, peer of an answer */
    bool answer;
    const void *body;    /* struct of its type */
    const uint8_t *data; /* the body as it was on the wire */
    size_t size;
} bench_message_t;

/*  What plain.h says, from bench_defaults on; a test may change it before bench_open.  */
extern tim3_settings_t bench_settings;
extern uint64_t bench_now;

void bench_defaults (const char *name);
void bench_open (const tim3_core_t *core);
void bench_close (void);
/*  As after a crash: what is not committed is lost, and so is what the core had in memory.  */
void bench_restart (void);

tim3_store_t *bench_store (void);

/*  A batch, step by step. take sends a request as the first role that may, from the peer of that name;
    take_again the same message once more; answer answers the message that was sent with that id.  */
void bench_begin (void);
uint64_t bench_take (const char *peer, uint64_t type, const void *body);
void bench_take_again (const char *peer, uint64_t type, const void *body, uint64_t id);
void bench_answer (uint64_t reply_to, uint64_t type, const void *body);
void bench_tick (void);
int bench_commit (void);

/*  What the last batch let out.  */
unsigned bench_count (void);
const bench_message_t *bench_at (unsigned position);
/*  How many of that type, and the first or nth of them, which must be there.  */
unsigned bench_count_of (uint64_t type);
const bench_message_t *bench_nth (uint64_t type, unsigned nth);
const void *bench_sent (uint64_t type);

/*  The largest id of a message that came out so far: an answer to it is an answer to what was asked last.  */
uint64_t bench_last_id (void);

/*  Whole batches. ask: one request from the peer "asker". send: the same, answered or not. */
void bench_send (uint64_t type, const void *body);
void bench_told (uint64_t reply_to, uint64_t type, const void *body);
/*  Expects exactly one answer, of that type, and returns its body.  */
const void *bench_ask (uint64_t type, const void *body, uint64_t answer);
/*  Expects a refusal with that result; returns the error.  */
const tim3_error_t *bench_refused (uint64_t type, const void *body, tim3_result_t code);
/*  Asks twice, with a restart and time in between; expects the same bytes, and a store that the second time leaves
    alone. Returns the body of the answer.  */
const void *bench_twice (uint64_t type, const void *body);
/*  Lets time pass, then one tick.  */
void bench_pass (uint64_t later_us);

/*  Sends the request as often as it takes to fail at each change that it makes to the store, then without a fault.
    Each time whoever asked must be told storage_full and the store must be as before. Returns how many changes.  */
unsigned bench_fill_up (void (*batch) (void));

/*  Number of events emitted, all of which must be in the outbox without gaps; the body of the one with that
    number, which must be of that type.  */
uint64_t bench_events (void);
const void *bench_event (uint64_t number, uint64_t type);

/*  How many are open in all deadlines of a table, each of which must have the lists that it tells, and no list be of none.  */
uint64_t bench_unfinished (tim3_table_t deadlines, tim3_table_t lists);

/*  The value of a metric of Stats, which must be there; whether Health gives that reason.  */
uint64_t bench_metric (const char *name);
bool bench_has_reason (const char *name);

/*  Short-hands for receipts under the bench's keys.  */
tim3_mac_t bench_evidence (tim3_receipt_kind_t kind, const tim3_id_t *tx, const char *account,
                           tim3_amount_t amount, uint64_t extra);
tim3_mac_t bench_vault (tim3_receipt_kind_t kind, const tim3_id_t *tx, const char *account,
                        tim3_amount_t amount, uint64_t extra);
/*  An account that belongs to that one of so many shards; valid until the next call but three.  */
const char *bench_account (unsigned shard, unsigned shards);
/*  An id that is all that byte.  */
tim3_id_t bench_tx (uint8_t byte);

#endif
