/*  broker.h - the front door: a thread that carries clients' messages to agents, and the answers back.

    It looks at envelopes, never at bodies. What it cannot deliver it answers with an Error; an answer that
    cannot be delivered is dropped and counted, for a client that waits asks again. Whatever sender a client
    claims, it becomes "client". Routes come from the registry, which is asked several times a second.
*/
#ifndef TIM3_BROKER_H
#define TIM3_BROKER_H

#include "agent/shell.h"

#include <stdatomic.h>

/*  Lists that clients may have asked one agent for, unanswered.  */
#define TIM3_BROKER_PAGES_MOST 64

/*  C (name, "what is counted since start")  */
#define TIM3_BROKER_COUNTERS(C)                                                 \
    C (requests, "requests passed on to agents")                                \
    C (answers, "answers passed back to clients")                               \
    C (malformed, "frames or envelopes of clients that cannot be read")         \
    C (not_allowed, "messages that clients may not send, or not to that agent") \
    C (no_route, "requests for agents that are not there")                      \
    C (overloaded, "requests for agents that took no more")                     \
    C (answers_stray, "answers of agents that are for nobody, or no answers")   \
    C (answers_dropped, "frames for clients that are gone or do not read")

typedef struct {
#define C(name, text) atomic_ullong name;
    TIM3_BROKER_COUNTERS (C)
#undef C
} tim3_broker_counters_t;

/*  Binds the front and starts the thread; fatal when the front cannot be bound.  */
void *tim3_broker_new (const tim3_place_t *place);
/*  Ends the thread; messages under way are given a moment to leave.  */
void tim3_broker_destroy (void **self);

/*  What it adds to the router's Stats, and to its Health; from any thread.  */
void tim3_broker_stats (const void *self, tim3_report_t *report);
void tim3_broker_health (const void *self, tim3_report_t *report);

#endif
