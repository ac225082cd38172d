/*  amount.h - amounts of money: unsigned 128-bit integers in an asset's minor unit.

    All arithmetic on amounts goes through the checked functions below; a false return means that the true
    result does not fit, and the output is left untouched. Decimal text is converted only at the edges
    (the command line): inside, and on the wire, an amount is an integer of minor units.
*/
#ifndef TIM3_AMOUNT_H
#define TIM3_AMOUNT_H

#include "base/linkage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

TIM3_C_BEGIN

__extension__ typedef unsigned __int128 tim3_amount_t;

#define TIM3_AMOUNT_MAX (~(tim3_amount_t) 0)
#define TIM3_DECIMALS_MAX 30
/*  Longest text of an amount: 39 digits, a point, leading zeros for 30 decimals, NUL.  */
#define TIM3_AMOUNT_TEXT_MAX 48

bool tim3_amount_add (tim3_amount_t a, tim3_amount_t b, tim3_amount_t *sum);
bool tim3_amount_sub (tim3_amount_t a, tim3_amount_t b, tim3_amount_t *difference);
bool tim3_amount_mul (tim3_amount_t a, tim3_amount_t b, tim3_amount_t *product);

/*  Ten to the power of exponent; exponent at most 38.  */
tim3_amount_t tim3_amount_pow10 (unsigned exponent);

/*  Parses digits only, no sign, no space. False when empty, not digits, or more than 2^128 - 1.  */
bool tim3_amount_parse_units (const char *text, tim3_amount_t *amount);

/*  Parses "12", "12.5", "0.000001". False when it is not a plain decimal number, has more digits behind
    the point than decimals allows (never rounded), or does not fit.  */
bool tim3_amount_parse (const char *text, unsigned decimals, tim3_amount_t *amount);

/*  Print into text (TIM3_AMOUNT_TEXT_MAX bytes) and return text. The decimal form drops trailing zeros.  */
char *tim3_amount_format_units (tim3_amount_t amount, char *text);
char *tim3_amount_format (tim3_amount_t amount, unsigned decimals, char *text);

/*  Big-endian, 16 bytes: the form on the wire and in the store.  */
void tim3_amount_to_bytes (tim3_amount_t amount, uint8_t bytes[16]);
tim3_amount_t tim3_amount_from_bytes (const uint8_t bytes[16]);

TIM3_C_END

#endif
