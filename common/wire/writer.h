/*  writer.h - MessagePack, written straight into a buffer in its shortest form. The other side of reader.h.

    Each tim3_put_* writes one value at a place that has room for it and returns the place behind it. Whoever writes asks
    for room first, for several values at once, and tells the buffer afterwards:

        uint8_t *at = tim3_buffer_room (buffer, TIM3_PUT_MOST);
        at = tim3_put_u64 (at, number);
        tim3_buffer_filled (buffer, at);

    Inline, for every field of every message and record passes here.
*/
#ifndef TIM3_WRITER_H
#define TIM3_WRITER_H

#include "base/bytes.h"

#include <endian.h>
#include <string.h>

/*  Most bytes of a number, a truth value, nil, or the head of anything else.  */
#define TIM3_PUT_MOST 9

static inline uint8_t *tim3_put_byte (uint8_t *at, unsigned byte)
{
    *at = (uint8_t) byte;
    return at + 1;
}

/*  A tag, and the last bytes of a number behind it.  */
static inline uint8_t *tim3_put_tagged (uint8_t *at, unsigned tag, unsigned size, uint64_t number)
{
    uint64_t bytes = htobe64 (number << (64 - 8 * size));
    *at = (uint8_t) tag;
    memcpy (at + 1, &bytes, sizeof bytes); /* more than are needed: one store instead of a choice */
    return at + 1 + size;
}

uint8_t *tim3_put_long_u64 (uint8_t *at, uint64_t number);

static inline uint8_t *tim3_put_u64 (uint8_t *at, uint64_t number)
{
    return number < 0x80 ? tim3_put_byte (at, (unsigned) number) : tim3_put_long_u64 (at, number);
}

static inline uint8_t *tim3_put_bool (uint8_t *at, bool value)
{
    return tim3_put_byte (at, value ? 0xc3 : 0xc2);
}

static inline uint8_t *tim3_put_nil (uint8_t *at)
{
    return tim3_put_byte (at, 0xc0);
}

/*  What a text, bytes, an array or a map begins with; its contents follow.  */

static inline uint8_t *tim3_put_str (uint8_t *at, size_t size)
{
    if (size < 32)
        return tim3_put_byte (at, 0xa0 | (unsigned) size);
    if (size <= UINT8_MAX)
        return tim3_put_tagged (at, 0xd9, 1, size);
    return size <= UINT16_MAX ? tim3_put_tagged (at, 0xda, 2, size) : tim3_put_tagged (at, 0xdb, 4, size);
}

static inline uint8_t *tim3_put_bin (uint8_t *at, size_t size)
{
    if (size <= UINT8_MAX)
        return tim3_put_tagged (at, 0xc4, 1, size);
    return size <= UINT16_MAX ? tim3_put_tagged (at, 0xc5, 2, size) : tim3_put_tagged (at, 0xc6, 4, size);
}

static inline uint8_t *tim3_put_array (uint8_t *at, size_t count)
{
    if (count < 16)
        return tim3_put_byte (at, 0x90 | (unsigned) count);
    return count <= UINT16_MAX ? tim3_put_tagged (at, 0xdc, 2, count) : tim3_put_tagged (at, 0xdd, 4, count);
}

static inline uint8_t *tim3_put_map (uint8_t *at, size_t count)
{
    if (count < 16)
        return tim3_put_byte (at, 0x80 | (unsigned) count);
    return count <= UINT16_MAX ? tim3_put_tagged (at, 0xde, 2, count) : tim3_put_tagged (at, 0xdf, 4, count);
}

/*  A text with its head, from an array of bound + 1 bytes. It may write up to TIM3_PUT_TEXT (bound) bytes, some of them behind the
    place that it returns.  */
#define TIM3_PUT_TEXT(bound) (5 + (bound) + 8)
uint8_t *tim3_put_text (uint8_t *at, const char *text, size_t bound);

/*  The contents. The size is that of the head before.  */
static inline uint8_t *tim3_put_bytes (uint8_t *at, const void *data, size_t size)
{
    memcpy (at, data, size);
    return at + size;
}

#endif
