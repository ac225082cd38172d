/*  world.h - a whole TIM3 in one process: a host for each agent, a network that passes their frames, and one clock.

    Everything follows from a seed: how long each frame takes (so they overtake each other), which are lost or
    arrive twice, who crashes when, and whose store is full. A crash destroys a host in the middle of a batch, or right
    behind its commit with nothing let out; what was committed is kept, the rest is lost, and so are the connections.
*/
#ifndef TIM3_TESTS_UNIT_WORLD_H
#define TIM3_TESTS_UNIT_WORLD_H

#include "agent/host.h"
#include "memory_store.h"
#include "seeded.h"

#define WORLD_SECOND 1000000ull
/*  Collateral units in one unit of the asset.  */
#define WORLD_SCALE 10

/*  How often, in a thousand: frames lost and doubled; batches that crash or find the store full.  */
typedef struct {
    unsigned lost;
    unsigned doubled;
    unsigned crashed;
    unsigned full;
} world_faults_t;

/*  An answer to the client.  */
typedef struct {
    uint64_t type;
    uint64_t reply_to;
    const void *body; /* until the next call of world_next_answer */
} world_answer_t;

typedef struct {
    uint64_t frames;
    uint64_t lost;
    uint64_t doubled;
    uint64_t crashes;
    uint64_t full;
} world_counts_t;

/*  after_commit is called whenever a host has committed.  */
void world_open (uint64_t seed, void (*after_commit) (void));
void world_close (void);
void world_set_faults (const world_faults_t *faults);
/*  Starts whoever is down.  */
void world_heal (void);

/*  Sends as the client, straight to that agent; returns the id of the message.  */
uint64_t world_ask (const char *address, uint64_t type, const void *body);
const world_answer_t *world_next_answer (void);
/*  Delivers what is next, or lets the clock tick.  */
void world_step (void);
void world_pass (uint64_t later_us);

uint64_t world_now (void);
seeded_t *world_random (void);
tim3_store_t *world_store (const char *address);
const world_counts_t *world_counts (void);

#endif
