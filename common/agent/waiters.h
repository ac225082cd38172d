/*  waiters.h - who waits for the outcome of a transaction. A hint in memory: whoever is forgotten asks again.  */
#ifndef TIM3_WAITERS_H
#define TIM3_WAITERS_H

#include "agent/core.h"

#define TIM3_WAITERS_PER_TX 16 /* the next is refused */

typedef struct tim3_waiters tim3_waiters_t;

/*  Holds at most most returns; beyond that new ones are not kept. A client counts on an answer to each message; an agent
    that asks again needs one to the latest alone, and latest_alone is for where agents ask.  */
tim3_waiters_t *tim3_waiters_new (size_t most, bool latest_alone);
void tim3_waiters_destroy (tim3_waiters_t **self);

/*  Keeps a return, once however often the message comes; with latest_alone in place of what the same peer waits for already.
    False when there is no room: whoever asked has to be told.  */
bool tim3_waiters_add (tim3_waiters_t *self, const tim3_id_t *tx, const tim3_return_t *to, uint64_t now_us);
/*  Takes the next return that waits for the answer to that type of request; false when there is none.  */
bool tim3_waiters_take (tim3_waiters_t *self, const tim3_id_t *tx, uint16_t type, tim3_return_t *to);
/*  Forgets those that have waited since before then.  */
void tim3_waiters_expire (tim3_waiters_t *self, uint64_t before_us);
size_t tim3_waiters_count (const tim3_waiters_t *self);

#endif
