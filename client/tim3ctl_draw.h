/*  tim3ctl_draw.h - which account an operation of a benchmark is of: uniformly, or by Zipf's law. The
    programs that drive other systems in tests/bench link this too, so that all do the same work.
*/
#ifndef TIM3CTL_DRAW_H
#define TIM3CTL_DRAW_H

#include <stdbool.h>
#include <stdint.h>

#define TIM3CTL_DRAW_NAME_MAX 32

typedef struct {
    uint64_t seed;
    uint32_t accounts;
    double theta; /* exponent of Zipf's law; 0: uniform */
    double zeta;
    double eta;
} tim3ctl_draw_t;

/*  The exponent as a text, below 1 and not negative. False when it is not that.  */
bool tim3ctl_draw_theta (const char *text, double *theta);
/*  theta from 0 to below 1. Takes a while for millions of accounts, when theta is not 0.  */
void tim3ctl_draw_begin (tim3ctl_draw_t *self, uint64_t seed, uint32_t accounts, double theta);
/*  A number that follows from the seed, number and salt alone.  */
uint64_t tim3ctl_draw_choice (const tim3ctl_draw_t *self, uint64_t number, uint64_t salt);
/*  The account of operation number, below accounts. Frequent ones are not neighbours.  */
uint32_t tim3ctl_draw_account (const tim3ctl_draw_t *self, uint64_t number, uint64_t salt);
const char *tim3ctl_draw_name (uint32_t account, char name[TIM3CTL_DRAW_NAME_MAX]);

#endif
