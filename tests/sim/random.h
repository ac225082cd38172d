/*  random.h - streams of random numbers, one for every part of the simulation, all from one seed.

    A stream of its own for the network, the disks, the clients and so on keeps a seed's story recognisable
    when one part draws once more than before.
*/
#ifndef TIM3_TESTS_SIM_RANDOM_H
#define TIM3_TESTS_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t state[4]; /* xoshiro256** */
} sim_random_t;

void sim_random_init (sim_random_t *self, uint64_t seed, uint64_t stream);
uint64_t sim_random_u64 (sim_random_t *self);
/*  0 to bound - 1; 0 for a bound of 0.  */
uint64_t sim_random_below (sim_random_t *self, uint64_t bound);
/*  Both ends included.  */
uint64_t sim_random_between (sim_random_t *self, uint64_t least, uint64_t most);
bool sim_random_chance (sim_random_t *self, uint64_t permille);
/*  Exponentially distributed, about.  */
uint64_t sim_random_delay (sim_random_t *self, uint64_t mean);

#endif
