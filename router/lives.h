/*  lives.h - the router's lives, in its store: each start begins one, and its number is the router's incarnation.

    With each is kept where the event log ended when it began, which is where the life before left it. So a ledger that has seen
    the log end somewhere in some life can be told whether this store had that: an older copy had not, nor has a copy
    that went its own way, for the numbers of its lives differ.
*/
#ifndef TIM3_ROUTER_LIVES_H
#define TIM3_ROUTER_LIVES_H

#include "store/store.h"

/*  Lives that are remembered, the last ones.  */
#define TIM3_LIVES_MAX 1000

/*  Takes note of this life, if that has not been done, and answers its number. log_end: the offset of the next event.  */
uint64_t tim3_lives_begin (tim3_store_t *store, uint64_t log_end);
/*  The log came that far in that life. log_end: where it ends now.  */
bool tim3_lives_had (tim3_store_t *store, uint64_t log_end, uint64_t life, uint64_t seen_end);
/*  The store was made in this life.  */
bool tim3_lives_is_first (tim3_store_t *store);

#endif
