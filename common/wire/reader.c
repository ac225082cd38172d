/*  reader.c - a bounded cursor over MessagePack bytes (format: the MessagePack specification).  */
#include "wire/reader.h"

#include <endian.h>
#include <string.h>

static size_t left (const tim3_reader_t *self)
{
    return tim3_read_left (self);
}

/*  Of 1, 2, 4 or 8 bytes.  */
static uint64_t big_endian (const uint8_t *data, unsigned size)
{
    uint64_t eight;
    uint32_t four;
    if (size == 8) {
        memcpy (&eight, data, sizeof eight);
        return be64toh (eight);
    }
    if (size == 4) {
        memcpy (&four, data, sizeof four);
        return be32toh (four);
    }
    return size == 2 ? (uint64_t) data[0] << 8 | data[1] : data[0];
}

/*  Takes a tag byte and the big-endian number behind it.  */
static bool take_number (tim3_reader_t *self, unsigned size, uint64_t *value)
{
    if (left (self) < 1 + (size_t) size)
        return false;
    *value = big_endian (self->at + 1, size);
    self->at += 1 + size;
    return true;
}

bool tim3_read_long_u64 (tim3_reader_t *self, uint64_t *value)
{
    uint8_t tag = *self->at;
    if (tag >= 0xcc && tag <= 0xcf)
        return take_number (self, 1u << (tag - 0xcc), value);
    if (tag >= 0xd0 && tag <= 0xd3) {
        /* a signed form is taken when its value is not negative */
        unsigned size = 1u << (tag - 0xd0);
        if (left (self) < 1 + (size_t) size || self->at[1] & 0x80)
            return false;
        return take_number (self, size, value);
    }
    return false;
}

bool tim3_read_bool (tim3_reader_t *self, bool *value)
{
    if (left (self) < 1 || (*self->at != 0xc2 && *self->at != 0xc3))
        return false;
    *value = *self->at++ == 0xc3;
    return true;
}

/*  Takes size bytes behind a header that has been taken; on failure puts the cursor back to start.  */
static bool take_bytes (tim3_reader_t *self, const uint8_t *start, uint64_t size, const uint8_t **data,
                        uint32_t *taken)
{
    if (left (self) < size) {
        self->at = start;
        return false;
    }
    *data = self->at;
    *taken = (uint32_t) size;
    self->at += size;
    return true;
}

bool tim3_read_long_str (tim3_reader_t *self, const char **text, uint32_t *size)
{
    const uint8_t *start = self->at;
    const uint8_t *data;
    uint64_t length;
    uint8_t tag = *self->at;
    if (tag < 0xd9 || tag > 0xdb || !take_number (self, 1u << (tag - 0xd9), &length))
        return false;
    if (!take_bytes (self, start, length, &data, size))
        return false;
    *text = (const char *) data;
    return true;
}

bool tim3_read_long_bin (tim3_reader_t *self, const uint8_t **data, uint32_t *size)
{
    const uint8_t *start = self->at;
    uint64_t length;
    if (left (self) < 1)
        return false;
    uint8_t tag = *self->at;
    if (tag < 0xc4 || tag > 0xc6 || !take_number (self, 1u << (tag - 0xc4), &length))
        return false;
    return take_bytes (self, start, length, data, size);
}

static bool read_container (tim3_reader_t *self, uint8_t fixed, uint8_t wide, uint32_t *count)
{
    uint64_t number;
    if (left (self) < 1)
        return false;
    uint8_t tag = *self->at;
    if ((tag & 0xf0) == fixed) {
        *count = tag & 15;
        self->at++;
        return true;
    }
    if ((tag != wide && tag != wide + 1) || !take_number (self, tag == wide ? 2 : 4, &number))
        return false;
    *count = (uint32_t) number;
    return true;
}

bool tim3_read_array (tim3_reader_t *self, uint32_t *count)
{
    return read_container (self, 0x90, 0xdc, count);
}

bool tim3_read_map (tim3_reader_t *self, uint32_t *count)
{
    return read_container (self, 0x80, 0xde, count);
}

/*  Bytes of a value whose tag alone says so, 0 of all others.  */
#define FOUR(size) size, size, size, size
#define SIXTEEN(size) FOUR (size), FOUR (size), FOUR (size), FOUR (size)
static const uint8_t s_sizes[256] = {
    /* small numbers */
    SIXTEEN (1), SIXTEEN (1), SIXTEEN (1), SIXTEEN (1), SIXTEEN (1), SIXTEEN (1), SIXTEEN (1), SIXTEEN (1),
    /* small maps and arrays */
    SIXTEEN (0), SIXTEEN (0),
    /* short texts */
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
    30, 31, 32,
    /* nil, unused, false, true, bytes, extensions, floating point, numbers */
    1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 5, 9, 2, 3, 5, 9,
    /* signed numbers, fixed extensions, texts, arrays, maps */
    2, 3, 5, 9, 3, 4, 6, 10, 18, 0, 0, 0, 0, 0, 0, 0,
    /* small negative numbers */
    SIXTEEN (1), SIXTEEN (1)};

/*  Bytes of texts, bytes and extensions that tell their length behind the tag; 0 of all others, and more than there are of one
    whose length is not there.  */
static uint64_t told_size (const uint8_t *at, size_t bytes)
{
    uint8_t tag = *at;
    bool bin = tag >= 0xc4 && tag <= 0xc6;
    bool str = tag >= 0xd9 && tag <= 0xdb;
    bool ext = tag >= 0xc7 && tag <= 0xc9;
    if (!bin && !str && !ext)
        return 0;
    unsigned size = 1u << (bin ? tag - 0xc4 : str ? tag - 0xd9 : tag - 0xc7);
    if (bytes < 1 + size)
        return UINT64_MAX;
    return 1 + size + (ext ? 1 : 0) + big_endian (at + 1, size);
}

/*  Passes over values as long as they hold no others, and says how many are left. NULL when one is not whole.  */
static const uint8_t *skip_plain (const uint8_t *at, const uint8_t *end, uint64_t *pending)
{
    uint64_t count = *pending;
    for (; count > 0 && at < end; count--) {
        uint64_t size = s_sizes[*at];
        if (size == 0)
            size = *at == 0xc4 && end - at > 1 ? 2u + at[1] : told_size (at, (size_t) (end - at));
        if (size == 0)
            break;
        if ((size_t) (end - at) < size)
            return NULL;
        at += size;
    }
    *pending = count;
    return at;
}

/*  How many values a map or an array holds; its head is passed over.  */
static bool open_container (tim3_reader_t *self, uint64_t *values)
{
    uint32_t count;
    bool map = tim3_read_map (self, &count);
    if (!map && !tim3_read_array (self, &count))
        return false;
    *values = map ? 2 * (uint64_t) count : count;
    return true;
}

bool tim3_read_skip_within (tim3_reader_t *self, unsigned depth_most)
{
    uint64_t waiting[TIM3_READER_DEPTH_MAX]; /* values to pass when what is open is done, by depth */
    unsigned depth = 0;
    uint64_t pending = 1;
    tim3_reader_t reader = *self;

    for (;;) {
        reader.at = skip_plain (reader.at, reader.end, &pending);
        if (!reader.at)
            return false;
        if (pending == 0 && depth == 0)
            break;
        if (pending == 0) {
            pending = waiting[--depth];
            continue;
        }
        if (depth == depth_most)
            return false;
        waiting[depth++] = pending - 1;
        if (!open_container (&reader, &pending))
            return false;
    }
    self->at = reader.at;
    return true;
}

const uint8_t *tim3_take_long_u64 (const uint8_t *at, const uint8_t *end, uint64_t *value)
{
    tim3_reader_t reader = {at, end};
    if (*at == 0xcf && end - at >= 9) { /* times, most of all */
        *value = big_endian (at + 1, 8);
        return at + 9;
    }
    return tim3_read_long_u64 (&reader, value) ? reader.at : NULL;
}

/*  Length of the UTF-8 sequence that begins with this byte, 0 when none does; and its least code point.  */
static unsigned sequence (uint8_t first, uint32_t *bits, uint32_t *least)
{
    if (first >= 0xc2 && first <= 0xdf) {
        *bits = first & 0x1f;
        *least = 0x80;
        return 2;
    }
    if (first >= 0xe0 && first <= 0xef) {
        *bits = first & 0x0f;
        *least = 0x800;
        return 3;
    }
    *bits = first & 0x07;
    *least = 0x10000;
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

/*  Length of the sequence at data that is not plain ASCII, 0 when it is not well formed.  */
static unsigned take_sequence (const uint8_t *data, size_t left_over)
{
    uint32_t code;
    uint32_t least;
    unsigned size = sequence (data[0], &code, &least);
    if (size == 0 || size > left_over)
        return 0;
    for (unsigned i = 1; i < size; i++) {
        if ((data[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (data[i] & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least || code > 0x10ffff || surrogate ? 0 : size;
}

/*  Not 0 when one of eight bytes is not from 1 to 127.  */
static uint64_t odd_bits (uint64_t eight)
{
    static const uint64_t ones = UINT64_MAX / 255;
    return (eight | (eight - ones)) & (ones << 7);
}

static uint64_t load_eight (const void *bytes)
{
    uint64_t eight;
    memcpy (&eight, bytes, sizeof eight);
    return eight;
}

bool tim3_is_text (const char *data, size_t size)
{
    const uint8_t *bytes = (const uint8_t *) data;
    for (size_t i = 0; i < size;) {
        if (size - i >= 8 && odd_bits (load_eight (bytes + i)) == 0) {
            i += 8;
            continue;
        }
        if (bytes[i] > 0 && bytes[i] < 0x80) {
            i++;
            continue;
        }
        unsigned taken = bytes[i] == 0 ? 0 : take_sequence (bytes + i, size - i);
        if (taken == 0)
            return false;
        i += taken;
    }
    return true;
}

/*  Copies eight bytes and says whether one is odd.  */
static uint64_t copy_eight (char *to, const char *from)
{
    uint64_t eight = load_eight (from);
    memcpy (to, &eight, sizeof eight);
    return odd_bits (eight);
}

/*  Copies a text and says whether it is all plain. The last eight bytes may overlap those before.  */
static bool copy_plain (char *to, const char *from, size_t size)
{
    uint64_t odd = 0;
    if (size < 8) {
        for (size_t i = 0; i < size; i++) {
            to[i] = from[i];
            odd |= (signed char) from[i] <= 0;
        }
        return odd == 0;
    }
    odd = copy_eight (to, from);
    for (size_t i = 8; i + 8 < size; i += 8)
        odd |= copy_eight (to + i, from + i);
    return (odd | copy_eight (to + size - 8, from + size - 8)) == 0;
}

/*  Where a text ends, that is not plain; NULL when it is none. Not inline, for what is plain would have to make room for it.  */
static __attribute__ ((noinline)) const uint8_t *check_text (const char *text, size_t size)
{
    return tim3_is_text (text, size) ? (const uint8_t *) text + size : NULL;
}

const uint8_t *tim3_take_text (const uint8_t *at, const uint8_t *end, char *text, size_t bound)
{
    size_t bytes = (size_t) (end - at);
    size_t head = 1;
    size_t size;
    if (bytes > 0 && (*at & 0xe0) == 0xa0)
        size = *at & 31u;
    else if (bytes > 1 && *at == 0xd9) {
        size = at[1];
        head = 2;
    } else
        return NULL;
    if (size > bound || bytes < head + size)
        return NULL;
    const char *from = (const char *) at + head;
    bool plain = copy_plain (text, from, size);
    text[size] = '\0';
    return plain ? at + head + size : check_text (from, size);
}
