/*  writer.c - what of writer.h is too long to be inline.  */
#include "wire/writer.h"
#include "base/log.h"

uint8_t *tim3_put_long_u64 (uint8_t *at, uint64_t number)
{
    if (number > UINT32_MAX) /* times */
        return tim3_put_tagged (at, 0xcf, 8, number);
    if (number <= UINT8_MAX)
        return tim3_put_tagged (at, 0xcc, 1, number);
    return number <= UINT16_MAX ? tim3_put_tagged (at, 0xcd, 2, number) : tim3_put_tagged (at, 0xce, 4, number);
}

/*  The first byte of eight that is zero, 8 when none is.  */
static unsigned first_zero (uint64_t eight)
{
    static const uint64_t ones = UINT64_MAX / 255;
    uint64_t zeros = (eight - ones) & ~eight & (ones << 7);
    return zeros ? (unsigned) __builtin_ctzll (zeros) / 8 : 8;
}

/*  Any text, whose length has to be known before its head is.  */
static uint8_t *put_long_text (uint8_t *at, const char *text, size_t bound)
{
    size_t length = strnlen (text, bound + 1);
    TIM3_ASSERT (length <= bound);
    return tim3_put_bytes (tim3_put_str (at, length), text, length);
}

uint8_t *tim3_put_text (uint8_t *at, const char *text, size_t bound)
{
    /* most are short: copied while the end is looked for */
    for (size_t i = 0; i < 32 && i + 8 <= bound + 1; i += 8) {
        uint64_t eight;
        memcpy (&eight, text + i, sizeof eight);
        memcpy (at + 1 + i, &eight, sizeof eight);
        unsigned end = first_zero (le64toh (eight));
        if (end < 8) {
            *at = (uint8_t) (0xa0 | (i + end));
            return at + 1 + i + end;
        }
    }
    return put_long_text (at, text, bound);
}
