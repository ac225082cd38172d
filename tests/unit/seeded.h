/*  seeded.h - random numbers that are the same in every run: a test that fails names its seed.  */
#ifndef TIM3_TESTS_UNIT_SEEDED_H
#define TIM3_TESTS_UNIT_SEEDED_H

#include "base/amount.h"

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t state;
} seeded_t;

uint64_t seeded_next (seeded_t *self);
/*  0 to below - 1.  */
uint64_t seeded_below (seeded_t *self, uint64_t below);
/*  Of any length in bits, so that small and large ones are as likely.  */
uint64_t seeded_u64 (seeded_t *self);
tim3_amount_t seeded_amount (seeded_t *self);
void seeded_fill (seeded_t *self, void *data, size_t size);

#endif
