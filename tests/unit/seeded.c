/*  seeded.c - splitmix64, and draws from it.  */
#include "seeded.h"

uint64_t seeded_next (seeded_t *self)
{
    uint64_t mixed = self->state += 0x9e3779b97f4a7c15ull;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ull;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebull;
    return mixed ^ mixed >> 31;
}

uint64_t seeded_below (seeded_t *self, uint64_t below)
{
    return seeded_next (self) % below;
}

uint64_t seeded_u64 (seeded_t *self)
{
    return seeded_next (self) >> seeded_below (self, 64);
}

tim3_amount_t seeded_amount (seeded_t *self)
{
    tim3_amount_t amount = (tim3_amount_t) seeded_next (self) << 64 | seeded_next (self);
    return amount >> seeded_below (self, 128);
}

void seeded_fill (seeded_t *self, void *data, size_t size)
{
    uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t) seeded_next (self);
}
