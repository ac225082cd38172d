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
/*  A UTF-8 text of up to most bytes (most + 1 with the NUL), of characters of every length.  */
void seeded_text (seeded_t *self, char *text, size_t most);

/*  Writes a code point as UTF-8 of that many bytes, be they too many; returns size.  */
size_t seeded_utf8 (uint32_t code, size_t size, char *text);

#endif
