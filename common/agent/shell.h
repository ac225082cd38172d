/*  shell.h - runs cores as a process: sockets, clock, signals, files. The durable shell around a pure core.

    One thread: wait; take what has arrived; run the core over the whole batch; commit once; only then let
    replies, messages and events out. The agent's ROUTER socket takes requests; one DEALER per peer carries
    requests out and takes their answers. Peers are found through the registry and remembered.

    Data under the folder given by --data:
        run/ADDRESS.sock    the agent's socket, folder mode 0700; or TCP: see endpoint.h
        store/ADDRESS/      its store                    keys/ASSET.evidence, keys/ASSET.vault   0600, 32 bytes
*/
#ifndef TIM3_SHELL_H
#define TIM3_SHELL_H

#include "agent/core.h"
#include "base/config.h"

/*  What a companion thread (the router's broker) is told.  */
typedef struct {
    const tim3_config_t *config;
    const char *data;          /* the data folder */
    const char *endpoint;      /* of this process's core */
    const char *front;         /* for clients */
} tim3_place_t;

typedef struct {
    const tim3_core_t *core;
    /* NULL, or cores that the instance of each shard's number hosts too where the asset's critical path is merged; NULL at
       the end */
    const tim3_core_t *const *hosted;
    /* least time from the beginning of a batch that changed the store to the next batch: for one that nobody waits for,
       so that it gathers more and syncs less; 0 for all others */
    uint64_t pace_us;
    /* all NULL, or a companion that runs its own thread from new to destroy; new may tim3_fatal */
    void *(*companion_new) (const tim3_place_t *place);
    void (*companion_destroy) (void **self);
    /* called by the agent's thread: what the companion adds to Stats and Health */
    void (*companion_stats) (const void *self, tim3_report_t *report);
    void (*companion_health) (const void *self, tim3_report_t *report);
} tim3_program_t;

/*  The whole main of an agent: parses --config, --data, --asset, --shard, --check-config, --ready-fd, --version,
    --help; runs until SIGTERM or SIGINT; returns the exit code.  */
int tim3_agent_main (int argc, char **argv, const tim3_program_t *program);

#endif
