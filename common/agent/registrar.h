/*  registrar.h - keeps an agent known to the registry, and the registry's list known to the agent.  */
#ifndef TIM3_REGISTRAR_H
#define TIM3_REGISTRAR_H

#include "agent/core.h"
#include "agent/host.h"

#define TIM3_AGENTS_MAX 512

typedef struct {
    tim3_agent_t entry;
    uint64_t heartbeat_us;
    uint64_t retry_us;
    uint64_t next_us;     /* when to report again */
    uint64_t told_us;     /* when it was last told ... */
    uint64_t told;        /* ... how many commits the store counts */
    uint64_t generation;  /* of the registry, as last told */
    uint64_t listed;      /* generation of the directory */
    uint64_t list_id;     /* message that asked for the directory */
    uint64_t list_us;     /* when it was asked for */
    uint64_t version;     /* changes with the directory */
    uint64_t heard_us;    /* when the registry last answered */
    bool enabled;
    bool registered;
    bool superseded;
    bool accepted;        /* once in this life: the store is as new as its peers know it */
    bool rolled_back;     /* the store is older than that; for good */
    char refusal[241];    /* why the router last refused, for people */
    tim3_agents_t directory;
} tim3_registrar_t;

void tim3_registrar_init (tim3_registrar_t *self, const tim3_core_t *core, const tim3_settings_t *settings,
                          const char *name, const tim3_host_options_t *options);
void tim3_registrar_free (tim3_registrar_t *self);
/*  Whether the next tick reports, so that health has to be judged.  */
bool tim3_registrar_due (const tim3_registrar_t *self, uint64_t now_us, const tim3_standing_t *standing);
void tim3_registrar_tick (tim3_registrar_t *self, tim3_env_t *env, uint8_t health,
                          const tim3_standing_t *standing);
/*  Says goodbye, so that nobody waits for this agent.  */
void tim3_registrar_leave (tim3_registrar_t *self, tim3_env_t *env, const tim3_standing_t *standing);
/*  Takes answers that are meant for it; false when the message is somebody else's.  */
bool tim3_registrar_handle (tim3_registrar_t *self, tim3_env_t *env, const tim3_envelope_t *envelope,
                            const void *body);

#endif
