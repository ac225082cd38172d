/*  random.c - xoshiro256**, seeded by splitmix64.  */
#include "random.h"

static uint64_t splitmix (uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t rotate (uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

void sim_random_init (sim_random_t *self, uint64_t seed, uint64_t stream)
{
    uint64_t state = seed;
    state = splitmix (&state) ^ stream * 0xd6e8feb86659fd93u;
    for (int i = 0; i < 4; i++)
        self->state[i] = splitmix (&state);
}

uint64_t sim_random_u64 (sim_random_t *self)
{
    uint64_t *s = self->state;
    uint64_t result = rotate (s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate (s[3], 45);
    return result;
}

uint64_t sim_random_below (sim_random_t *self, uint64_t bound)
{
    return bound ? sim_random_u64 (self) % bound : 0;
}

uint64_t sim_random_between (sim_random_t *self, uint64_t least, uint64_t most)
{
    return least + sim_random_below (self, most - least + 1);
}

bool sim_random_chance (sim_random_t *self, uint64_t permille)
{
    return sim_random_below (self, 1000) < permille;
}

/*  -ln (u) is ln 2 times -log2 (u), whose whole part is the number of leading zeros; between powers of two a
    straight line is near enough. In integers, so that every machine draws the same.  */
uint64_t sim_random_delay (sim_random_t *self, uint64_t mean)
{
    uint64_t u = sim_random_u64 (self) | 1;
    uint64_t zeros = (uint64_t) __builtin_clzll (u);
    uint64_t fraction = 1024 - ((u << zeros) >> 53) % 1024;
    return mean * (zeros * 1024 + fraction) / 1024 * 693 / 1000;
}
