/*  writer.c - what of writer.h is too long to be inline.  */
#include "wire/writer.h"
#include "base/log.h"

uint8_t *tim3_put_long_u64 (uint8_t *at, uint64_t number)
{
    if (number > UINT32_MAX) /* times */
        return tim3_put_tagged (at, 0xcf, 8, number);
    if (number <= UINT8_MAX)
        return tim3_put_tagged (at, 0xcc, 1, number);
    return number <= UINT16_MAX ? tim3_put_tagged (at, 0xcd, 2, number)
                                : tim3_put_tagged (at, 0xce, 4, number);
}

/*  The top bit of each byte that is zero; with others above the first of them.  */
static uint64_t zeros_of (const uint8_t *bytes)
{
    static const uint64_t ones = UINT64_MAX / 255;
    uint64_t eight;
    memcpy (&eight, bytes, sizeof eight);
    eight = le64toh (eight);
    return (eight - ones) & ~eight & (ones << 7);
}

/*  Any text, whose length has to be known before its head is. Not inline, for what is ordinary would have to make room for it.  */
static __attribute__ ((noinline)) uint8_t *put_long_text (uint8_t *at, const char *text, size_t bound)
{
    size_t length = strnlen (text, bound + 1);
    TIM3_ASSERT (length <= bound);
    return tim3_put_bytes (tim3_put_str (at, length), text, length);
}

uint8_t *tim3_put_text (uint8_t *at, const char *text, size_t bound)
{
    /* most are short: copied while the end is looked for */
    for (size_t i = 0; i < 32 && i + 16 <= bound + 1; i += 16) {
        memcpy (at + 1 + i, text + i, 16);
        uint64_t first = zeros_of (at + 1 + i);
        uint64_t second = zeros_of (at + 1 + i + 8);
        if (first | second) {
            size_t length =
                i + (unsigned) (first ? __builtin_ctzll (first) : 64 + __builtin_ctzll (second)) / 8;
            *at = (uint8_t) (0xa0 | length);
            return at + 1 + length;
        }
    }
    return put_long_text (at, text, bound);
}
