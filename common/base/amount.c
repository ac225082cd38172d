/*  amount.c - checked 128-bit amounts, and their decimal text.  */
#include "base/amount.h"

#include <endian.h>
#include <string.h>

bool tim3_amount_add (tim3_amount_t a, tim3_amount_t b, tim3_amount_t *sum)
{
    if (b > TIM3_AMOUNT_MAX - a)
        return false;
    *sum = a + b;
    return true;
}

bool tim3_amount_sub (tim3_amount_t a, tim3_amount_t b, tim3_amount_t *difference)
{
    if (b > a)
        return false;
    *difference = a - b;
    return true;
}

bool tim3_amount_mul (tim3_amount_t a, tim3_amount_t b, tim3_amount_t *product)
{
    if (a != 0 && b > TIM3_AMOUNT_MAX / a)
        return false;
    *product = a * b;
    return true;
}

tim3_amount_t tim3_amount_pow10 (unsigned exponent)
{
    tim3_amount_t power = 1;
    while (exponent-- > 0)
        power *= 10;
    return power;
}

static bool append_digit (tim3_amount_t *amount, char digit)
{
    tim3_amount_t shifted;
    if (digit < '0' || digit > '9')
        return false;
    if (!tim3_amount_mul (*amount, 10, &shifted))
        return false;
    return tim3_amount_add (shifted, (tim3_amount_t) (digit - '0'), amount);
}

bool tim3_amount_parse_units (const char *text, tim3_amount_t *amount)
{
    tim3_amount_t value = 0;
    if (*text == '\0')
        return false;
    for (; *text; text++)
        if (!append_digit (&value, *text))
            return false;
    *amount = value;
    return true;
}

bool tim3_amount_parse (const char *text, unsigned decimals, tim3_amount_t *amount)
{
    tim3_amount_t value = 0;
    unsigned behind = 0;
    bool point = false;
    bool digit_last = false;

    for (; *text; text++) {
        if (*text == '.') {
            if (point || !digit_last)
                return false;
            point = true;
            digit_last = false;
            continue;
        }
        if (point && ++behind > decimals)
            return false;
        if (!append_digit (&value, *text))
            return false;
        digit_last = true;
    }
    if (!digit_last)
        return false;
    for (; behind < decimals; behind++)
        if (!append_digit (&value, '0'))
            return false;
    *amount = value;
    return true;
}

char *tim3_amount_format_units (tim3_amount_t amount, char *text)
{
    char digits[40];
    size_t count = 0;
    do {
        digits[count++] = (char) ('0' + (int) (amount % 10));
        amount /= 10;
    } while (amount != 0);
    for (size_t i = 0; i < count; i++)
        text[i] = digits[count - 1 - i];
    text[count] = '\0';
    return text;
}

char *tim3_amount_format (tim3_amount_t amount, unsigned decimals, char *text)
{
    char units[TIM3_AMOUNT_TEXT_MAX];
    tim3_amount_t one = tim3_amount_pow10 (decimals);
    tim3_amount_t fraction = amount % one;

    tim3_amount_format_units (amount / one, text);
    if (fraction == 0)
        return text;
    tim3_amount_format_units (fraction, units);
    size_t length = strlen (text);
    text[length++] = '.';
    for (size_t i = strlen (units); i < decimals; i++)
        text[length++] = '0';
    strcpy (text + length, units);
    length = strlen (text);
    while (text[length - 1] == '0')
        text[--length] = '\0';
    return text;
}

void tim3_amount_to_bytes (tim3_amount_t amount, uint8_t bytes[16])
{
    uint64_t halves[2] = {htobe64 ((uint64_t) (amount >> 64)), htobe64 ((uint64_t) amount)};
    memcpy (bytes, halves, sizeof halves);
}

tim3_amount_t tim3_amount_from_bytes (const uint8_t bytes[16])
{
    uint64_t halves[2];
    memcpy (halves, bytes, sizeof halves);
    return (tim3_amount_t) be64toh (halves[0]) << 64 | be64toh (halves[1]);
}
