/*  in_flight.h - the requests that were passed on to an agent and are not answered yet, and how many each agent may have.

    What is accepted is to be answered soon, and the rest to be told so at once. So each agent (a taker) has a limit. While
    answers take longer than they should it goes down to as many as are answered in that time; else it goes up again, to
    the most that there may be. That is Little's law: as many as are in flight, divided by as many as are answered in a second,
    is how long they take.

    The count must not leak: a request leaves it with its answer, with the agent (tim3_in_flight_forget), or by age
    (tim3_in_flight_expire). An answer to what was not counted, or not any more, changes nothing, and the same request
    asked again by the same client is one. Two requests whose 64 bits of hash agree count as one.
*/
#ifndef TIM3_IN_FLIGHT_H
#define TIM3_IN_FLIGHT_H

#include "base/bytes.h"

#define TIM3_IN_FLIGHT_TAKERS 2048

typedef struct {
    uint64_t key; /* 0: the place is free */
    uint32_t time_ms;
    uint32_t taker;
} tim3_in_flight_item_t;

typedef struct {
    uint32_t count; /* requests that it has */
    uint32_t most;
    uint32_t limit;
    uint32_t answered; /* since the limit was last looked at, */
    uint64_t waited_ms; /* and what these took together */
} tim3_in_flight_taker_t;

typedef struct {
    uint64_t secret; /* the caller's random number, so that nobody can choose ids that fall together */
    tim3_in_flight_item_t *items;
    uint32_t capacity; /* a power of two, at least twice count */
    uint32_t count;
    tim3_in_flight_taker_t takers[TIM3_IN_FLIGHT_TAKERS];
} tim3_in_flight_t;

/*  A taker is the caller's number for an agent, below TIM3_IN_FLIGHT_TAKERS. Its limit is kept where it fits; a new one's
    is the most.  */
void tim3_in_flight_allow (tim3_in_flight_t *self, uint32_t taker, uint32_t most);
static inline bool tim3_in_flight_full (const tim3_in_flight_t *self, uint32_t taker)
{
    return self->takers[taker].count >= self->takers[taker].limit;
}

void tim3_in_flight_add (tim3_in_flight_t *self, const uint8_t *client, size_t client_size, uint64_t id, uint32_t taker,
                         uint64_t now_us);
void tim3_in_flight_remove (tim3_in_flight_t *self, const uint8_t *client, size_t client_size, uint64_t id,
                            uint64_t now_us);
/*  The taker is gone, and its answers with it.  */
void tim3_in_flight_forget (tim3_in_flight_t *self, uint32_t taker);
/*  Drops those older than age_us.  */
void tim3_in_flight_expire (tim3_in_flight_t *self, uint64_t now_us, uint64_t age_us);
/*  Sets the limits by what was answered in the last window_us, to be called once in such a time; answers should not take
    longer than within_us.  */
void tim3_in_flight_adapt (tim3_in_flight_t *self, uint64_t window_us, uint64_t within_us);
void tim3_in_flight_clear (tim3_in_flight_t *self);

#endif
