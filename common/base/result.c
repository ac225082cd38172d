/*  result.c - look-ups in the table of results.  */
#include "base/result.h"

#include <stddef.h>

static const tim3_result_row_t s_rows[] = {
#define R(number, NAME, name, advice, text) {number, name, TIM3_ADVICE_##advice, text},
    TIM3_RESULTS (R)
#undef R
};

static const char *const s_advice[] = {
#define A(NAME, name) name,
    TIM3_ADVICE (A)
#undef A
};

const tim3_result_row_t *tim3_result_row (unsigned position)
{
    return position < sizeof s_rows / sizeof s_rows[0] ? &s_rows[position] : NULL;
}

static const tim3_result_row_t *find (unsigned code)
{
    const tim3_result_row_t *row;
    for (unsigned i = 0; (row = tim3_result_row (i)); i++)
        if (row->code == code)
            return row;
    return find (TIM3_INTERNAL);
}

const char *tim3_result_name (unsigned code)
{
    return find (code)->name;
}

const char *tim3_result_text (unsigned code)
{
    return find (code)->text;
}

tim3_advice_t tim3_result_advice (unsigned code)
{
    return find (code)->advice;
}

const char *tim3_advice_name (tim3_advice_t advice)
{
    return s_advice[advice];
}
