/*  tim3ctl_draw.c - draws accounts: by hash of the number of the operation, so that nothing is remembered
    and the same number always has the same account.

    Zipf's law says that the k-th most frequent of n is drawn in proportion to 1 / k^theta. The rank is had
    from one uniform number by the closed form that is used for generating databases (Gray and others,
    SIGMOD 1994): exact for the first two, close for the others.  */
#include "tim3ctl_draw.h"

#include "base/bytes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPREAD 2654435761u /* a prime greater than any number of accounts: a permutation of them */

bool tim3ctl_draw_theta (const char *text, double *theta)
{
    char *end;
    *theta = strtod (text, &end);
    return end != text && *end == '\0' && *theta >= 0.0 && *theta < 1.0;
}

static double zeta (uint32_t count, double theta)
{
    double sum = 0.0;
    for (uint32_t i = 1; i <= count; i++)
        sum += pow (i, -theta);
    return sum;
}

void tim3ctl_draw_begin (tim3ctl_draw_t *self, uint64_t seed, uint32_t accounts, double theta)
{
    *self = (tim3ctl_draw_t){.seed = seed, .accounts = accounts, .theta = theta};
    if (theta <= 0.0)
        return;
    self->zeta = zeta (accounts, theta);
    self->eta = (1.0 - pow (2.0 / accounts, 1.0 - theta)) / (1.0 - zeta (2, theta) / self->zeta);
}

uint64_t tim3ctl_draw_choice (const tim3ctl_draw_t *self, uint64_t number, uint64_t salt)
{
    uint64_t text[2] = {number, salt};
    return tim3_hash64 (text, sizeof text, self->seed);
}

static uint32_t rank_of (const tim3ctl_draw_t *self, double uniform)
{
    double part = uniform * self->zeta;
    if (part < 1.0)
        return 0;
    if (part < 1.0 + pow (0.5, self->theta))
        return 1;
    double base = self->eta * uniform - self->eta + 1.0;
    double rank = self->accounts * pow (base, 1.0 / (1.0 - self->theta));
    return rank < self->accounts - 1.0 ? (uint32_t) rank : self->accounts - 1;
}

uint32_t tim3ctl_draw_account (const tim3ctl_draw_t *self, uint64_t number, uint64_t salt)
{
    uint64_t choice = tim3ctl_draw_choice (self, number, salt);
    if (self->theta <= 0.0)
        return (uint32_t) (choice % self->accounts);
    uint64_t rank = rank_of (self, (double) (choice >> 11) * 0x1p-53);
    return (uint32_t) (rank * SPREAD % self->accounts);
}

const char *tim3ctl_draw_name (uint32_t account, char name[TIM3CTL_DRAW_NAME_MAX])
{
    static const char prefix[] = "bench-";
    char digits[10]; /* from the end */
    size_t count = 0;
    char *at = name + sizeof prefix - 1;
    memcpy (name, prefix, sizeof prefix - 1);
    do
        digits[count++] = (char) ('0' + account % 10);
    while (account /= 10);
    while (count > 0)
        *at++ = digits[--count];
    *at = '\0';
    return name;
}
