/*  registry.h - who is there: the agents that have registered, and which of them are alive.

    Entries are in the store and in memory; signs of life are in memory alone, so a heartbeat costs no write.
    After a restart every entry counts as seen just now, which gives its agent one dead-time to report.
    Of two incarnations of one agent the larger wins as long as it is heard of; the smaller is told so and must stop.
*/
#ifndef TIM3_REGISTRY_H
#define TIM3_REGISTRY_H

#include "store/store.h"

#define TIM3_REGISTRY_MAX 512
/*  An agent that has been silent for this long is forgotten.  */
#define TIM3_REGISTRY_FORGET_US (24ull * 3600 * 1000000)

typedef struct {
    tim3_agent_t *entries[TIM3_REGISTRY_MAX]; /* in the order of their names */
    unsigned count;
    uint64_t started_us; /* when the entries were read */
    uint64_t dead_us;    /* silence after which an agent counts as dead */
    uint64_t generation; /* rises with every change of who is there, where, and alive */
} tim3_registry_t;

/*  Reads the entries; now is the first generation, so that it differs from those before a restart.  */
void tim3_registry_start (tim3_registry_t *self, tim3_store_t *store, uint64_t now_us, uint64_t heartbeat_us);
void tim3_registry_clear (tim3_registry_t *self);

/*  Whether a newer incarnation of one of them is alive, and was heard of since the start; its name is the culprit's then.  */
bool tim3_registry_superseded (const tim3_registry_t *self, const tim3_list_t *agents, const char **culprit);
/*  All of the agents, or none: INVALID_FIELD or OVERLOADED with the culprit's name. Of none may a newer incarnation be alive.  */
tim3_result_t tim3_registry_put (tim3_registry_t *self, tim3_store_t *store, uint64_t now_us,
                                 const tim3_list_t *agents, const char **culprit);
/*  NOT_FOUND when the agent has to register again; SUPERSEDED.  */
tim3_result_t tim3_registry_touch (tim3_registry_t *self, uint64_t now_us, const tim3_heartbeat_t *heartbeat);
/*  OK also when it was not there; SUPERSEDED.  */
tim3_result_t tim3_registry_remove (tim3_registry_t *self, tim3_store_t *store, const char *name,
                                    uint64_t incarnation);
/*  Looks who has fallen silent, and forgets those that have been for long.  */
void tim3_registry_tick (tim3_registry_t *self, tim3_store_t *store, uint64_t now_us);

/*  Copies the entries that fit into agents (room for TIM3_REGISTRY_MAX) and returns how many they are.  */
unsigned tim3_registry_find (const tim3_registry_t *self, const tim3_discover_t *wanted,
                             tim3_agent_t *agents);
unsigned tim3_registry_alive (const tim3_registry_t *self);

#endif
