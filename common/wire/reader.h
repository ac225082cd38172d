/*  reader.h - a bounded cursor over MessagePack bytes. It never allocates and never reads past the end.

    msgpack-c decodes into an object tree whose memory an attacker chooses (five bytes can claim 512 MB);
    this cursor hands out one value at a time, so the caller's bounds are checked before anything is built.
*/
#ifndef TIM3_READER_H
#define TIM3_READER_H

#include "base/linkage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

TIM3_C_BEGIN

#define TIM3_READER_DEPTH_MAX 8

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
} tim3_reader_t;

/*  Each takes one value if it is of that kind and whole, else returns false and leaves the cursor. Those that take a
    field of a message are inline where the value is short.  */
bool tim3_read_long_u64 (tim3_reader_t *self, uint64_t *value);
bool tim3_read_long_str (tim3_reader_t *self, const char **text, uint32_t *size);
bool tim3_read_long_bin (tim3_reader_t *self, const uint8_t **data, uint32_t *size);
bool tim3_read_bool (tim3_reader_t *self, bool *value);
bool tim3_read_array (tim3_reader_t *self, uint32_t *count);
bool tim3_read_map (tim3_reader_t *self, uint32_t *count);
/*  Passes over one value of any kind, at most so deep: depth is no more than TIM3_READER_DEPTH_MAX.  */
bool tim3_read_skip_within (tim3_reader_t *self, unsigned depth);

static inline bool tim3_read_skip (tim3_reader_t *self)
{
    return tim3_read_skip_within (self, TIM3_READER_DEPTH_MAX);
}

static inline size_t tim3_read_left (const tim3_reader_t *self)
{
    return (size_t) (self->end - self->at);
}

static inline bool tim3_read_nil (tim3_reader_t *self)
{
    if (tim3_read_left (self) < 1 || *self->at != 0xc0)
        return false;
    self->at++;
    return true;
}

static inline bool tim3_read_u64 (tim3_reader_t *self, uint64_t *value)
{
    if (tim3_read_left (self) < 1)
        return false;
    if (*self->at >= 0x80)
        return tim3_read_long_u64 (self, value);
    *value = *self->at++;
    return true;
}

static inline bool tim3_read_str (tim3_reader_t *self, const char **text, uint32_t *size)
{
    if (tim3_read_left (self) < 1)
        return false;
    uint32_t length = *self->at & 31u;
    if ((*self->at & 0xe0) != 0xa0)
        return tim3_read_long_str (self, text, size);
    if (tim3_read_left (self) < 1 + (size_t) length)
        return false;
    *text = (const char *) self->at + 1;
    *size = length;
    self->at += 1 + length;
    return true;
}

static inline bool tim3_read_bin (tim3_reader_t *self, const uint8_t **data, uint32_t *size)
{
    if (tim3_read_left (self) < 2 || *self->at != 0xc4)
        return tim3_read_long_bin (self, data, size);
    uint32_t length = self->at[1];
    if (tim3_read_left (self) < 2 + (size_t) length)
        return false;
    *data = self->at + 2;
    *size = length;
    self->at += 2 + length;
    return true;
}

/*  The same for whoever keeps the place in a register: each takes one value at at and returns the place behind it, or NULL when it
    is not of that kind, or of a form that is too rare to be taken in haste.  */
const uint8_t *tim3_take_long_u64 (const uint8_t *at, const uint8_t *end, uint64_t *value);
/*  A text of at most bound bytes, with a NUL behind it.  */
const uint8_t *tim3_take_text (const uint8_t *at, const uint8_t *end, char *text, size_t bound);

static inline const uint8_t *tim3_take_u64 (const uint8_t *at, const uint8_t *end, uint64_t *value)
{
    if (at == end)
        return NULL;
    if (*at >= 0x80)
        return tim3_take_long_u64 (at, end, value);
    *value = *at;
    return at + 1;
}

/*  Bytes of a size that is known.  */
static inline const uint8_t *tim3_take_fixed (const uint8_t *at, const uint8_t *end, void *data, size_t size)
{
    if ((size_t) (end - at) < 2 + size || at[0] != 0xc4 || at[1] != size)
        return NULL;
    memcpy (data, at + 2, size);
    return at + 2 + size;
}

/*  Whether bytes are UTF-8 (RFC 3629) without NUL: what a text must be.  */
bool tim3_is_text (const char *data, size_t size);

TIM3_C_END

#endif
