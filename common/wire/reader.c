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

/*  Passes over a value that holds no others.  */
static bool skip_scalar (tim3_reader_t *self)
{
    const uint8_t *data;
    const char *text;
    uint32_t size;
    uint64_t number;
    uint8_t tag = *self->at;

    if (tag >= 0xe0 || tag == 0xc0 || tag == 0xc2 || tag == 0xc3) {
        self->at++;
        return true;
    }
    if (tag == 0xca || tag == 0xcb)
        return take_number (self, tag == 0xca ? 4 : 8, &number);
    if (tag >= 0xd0 && tag <= 0xd3)
        return take_number (self, 1u << (tag - 0xd0), &number);
    if (tag >= 0xd4 && tag <= 0xd8) {
        const uint8_t *start = self->at++;
        return take_bytes (self, start, 1 + (1ull << (tag - 0xd4)), &data, &size);
    }
    if (tag >= 0xc7 && tag <= 0xc9) {
        const uint8_t *start = self->at;
        return take_number (self, 1u << (tag - 0xc7), &number) &&
               take_bytes (self, start, number + 1, &data, &size);
    }
    return tim3_read_u64 (self, &number) || tim3_read_str (self, &text, &size) ||
           tim3_read_bin (self, &data, &size);
}

/*  Bytes of a value whose tag alone says so: most of what messages are made of. 0 of all others.  */
static unsigned plain_size (uint8_t tag)
{
    if (tag < 0x80 || tag >= 0xe0)
        return 1;
    if (tag < 0xa0)
        return 0;
    return tag < 0xc0 ? 1u + (tag & 31u) : 0;
}

static bool skip_plain (tim3_reader_t *self)
{
    unsigned size = plain_size (*self->at);
    if (size == 0 && *self->at == 0xc4 && left (self) > 1)
        size = 2u + self->at[1];
    if (size == 0 || left (self) < size)
        return false;
    self->at += size;
    return true;
}

bool tim3_read_skip (tim3_reader_t *self)
{
    uint64_t pending[TIM3_READER_DEPTH_MAX + 1]; /* values still to pass, by depth */
    unsigned depth = 0;
    uint32_t count;
    const uint8_t *start = self->at;

    pending[0] = 1;
    for (;;) {
        while (pending[depth] == 0) {
            if (depth == 0)
                return true;
            depth--;
        }
        pending[depth]--;
        if (left (self) < 1)
            break;
        if (skip_plain (self))
            continue;
        bool map = tim3_read_map (self, &count);
        if (map || tim3_read_array (self, &count)) {
            if (depth == TIM3_READER_DEPTH_MAX)
                break;
            pending[++depth] = map ? 2 * (uint64_t) count : count;
        } else if (!skip_scalar (self))
            break;
    }
    self->at = start;
    return false;
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

/*  Whether eight bytes are all from 1 to 127.  */
static bool is_plain (const uint8_t *bytes)
{
    static const uint64_t ones = UINT64_MAX / 255;
    uint64_t eight;
    memcpy (&eight, bytes, sizeof eight);
    return ((eight | (eight - ones)) & (ones << 7)) == 0;
}

bool tim3_is_text (const char *data, size_t size)
{
    const uint8_t *bytes = (const uint8_t *) data;
    for (size_t i = 0; i < size;) {
        if (size - i >= 8 && is_plain (bytes + i)) {
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
