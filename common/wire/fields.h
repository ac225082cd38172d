/*  fields.h - how a field of each kind is written and taken. messages.c makes the codec of each shape from it.

    All is inline, and what is known of a field (kind, name, bound) is known to the compiler, so what comes out for a shape is
    straight code, one field after the other.

    What takes a field answers NULL to all that is not as it should be, and also to what may be right but is not as the encoder
    here writes it (another order, other fields in between): then the whole object is decoded again in the general way
    (shape.c), which says what is wrong with it if anything is.
*/
#ifndef TIM3_FIELDS_H
#define TIM3_FIELDS_H

#include "wire/reader.h"
#include "wire/shape.h"
#include "wire/writer.h"

#define TIM3_STRAIGHT static inline __attribute__ ((always_inline))

/*  What a field of a shape has to do with: all but the member is known when it is compiled.  */
typedef struct {
    tim3_kind_t kind;
    bool required;
    uint32_t bound;
    const tim3_shape_t *record; /* LIST */
    uint32_t values;            /* ENUM: a bit for each number */
} tim3_how_t;

/*  Most bytes of a value, but of a list or a raw one.  */
#define TIM3_ROOM_U64(bound) TIM3_PUT_MOST
#define TIM3_ROOM_BOOL(bound) TIM3_PUT_MOST
#define TIM3_ROOM_AMOUNT(bound) (2 + sizeof (tim3_amount_t))
#define TIM3_ROOM_ID(bound) (2 + sizeof (tim3_id_t))
#define TIM3_ROOM_MAC(bound) (2 + sizeof (tim3_mac_t))
#define TIM3_ROOM_STR(bound) TIM3_PUT_TEXT (bound)
#define TIM3_ROOM_ENUM(bound) TIM3_PUT_MOST
#define TIM3_ROOM_LIST(bound) 0
#define TIM3_ROOM_RAW(bound) 0

/*  ------------------------------------------------------------------------------------------ encoding  */

TIM3_STRAIGHT uint8_t *tim3_field_put_name (uint8_t *at, const char *name, size_t length)
{
    return tim3_put_bytes (tim3_put_str (at, length), name, length);
}

TIM3_STRAIGHT uint8_t *tim3_field_put_fixed (uint8_t *at, const void *data, size_t size)
{
    return tim3_put_bytes (tim3_put_bin (at, size), data, size);
}

TIM3_STRAIGHT bool tim3_field_is_zero_id (const void *member)
{
    uint64_t halves[2];
    memcpy (halves, member, sizeof halves);
    return (halves[0] | halves[1]) == 0;
}

/*  Stored as a number where it is one: of the amounts in a record most are small or zero.  */
TIM3_STRAIGHT uint8_t *tim3_field_put_amount (uint8_t *at, const void *member, bool map)
{
    tim3_amount_t amount;
    memcpy (&amount, member, sizeof amount);
    if (!map && amount <= UINT64_MAX)
        return tim3_put_u64 (at, (uint64_t) amount);
    uint64_t halves[2] = {htobe64 ((uint64_t) (amount >> 64)), htobe64 ((uint64_t) amount)};
    return tim3_field_put_fixed (at, halves, sizeof halves);
}

/*  Behind a list or a raw value, which make room themselves, there is room again for all fields that may follow.  */
TIM3_STRAIGHT uint8_t *tim3_field_put (tim3_buffer_t *buffer, uint8_t *at, tim3_how_t how, const void *member,
                                       size_t room, bool map)
{
    switch (how.kind) {
    case TIM3_KIND_U64:
        return tim3_put_u64 (at, *(const uint64_t *) member);
    case TIM3_KIND_BOOL:
        return tim3_put_bool (at, *(const bool *) member);
    case TIM3_KIND_AMOUNT:
        return tim3_field_put_amount (at, member, map);
    case TIM3_KIND_ID:
        return !map && !how.required && tim3_field_is_zero_id (member)
                   ? tim3_put_nil (at)
                   : tim3_field_put_fixed (at, member, sizeof (tim3_id_t));
    case TIM3_KIND_MAC:
        return tim3_field_put_fixed (at, member, sizeof (tim3_mac_t));
    case TIM3_KIND_STR:
        return tim3_put_text (at, member, how.bound);
    case TIM3_KIND_ENUM:
        return tim3_put_u64 (at, *(const uint8_t *) member);
    case TIM3_KIND_LIST:
        tim3_buffer_filled (buffer, at);
        tim3_encode_list (buffer, how.record, member, how.bound, map);
        return tim3_buffer_room (buffer, room);
    case TIM3_KIND_RAW:
        tim3_buffer_filled (buffer, at);
        tim3_encode_raw (buffer, member);
        return tim3_buffer_room (buffer, room);
    }
    return at;
}

/*  Whether a field that is rare is left out of a map: those are numbers, texts and identifiers.  */
TIM3_STRAIGHT bool tim3_field_is_empty (tim3_kind_t kind, const void *member)
{
    if (kind == TIM3_KIND_U64)
        return *(const uint64_t *) member == 0;
    if (kind == TIM3_KIND_ID)
        return tim3_field_is_zero_id (member);
    return kind == TIM3_KIND_STR && *(const char *) member == '\0';
}

/*  ------------------------------------------------------------------------------------------ decoding  */

TIM3_STRAIGHT bool tim3_field_same_piece (const uint8_t *a, const char *b, size_t piece)
{
    uint64_t pieces[2] = {0, 0};
    memcpy (&pieces[0], a, piece);
    memcpy (&pieces[1], b, piece);
    return pieces[0] == pieces[1];
}

/*  Whether the bytes of a name are there: as pieces of a size that a register has, which may overlap. Compilers call memcmp for most
    lengths.  */
TIM3_STRAIGHT bool tim3_field_same (const uint8_t *at, const char *name, size_t length)
{
    const size_t piece = length >= 8 ? 8 : length >= 4 ? 4 : length >= 2 ? 2 : 1;
    const size_t last = length - piece;
    return tim3_field_same_piece (at, name, piece) &&
           (length <= 16 || tim3_field_same_piece (at + 8, name + 8, 8)) &&
           (last == 0 || tim3_field_same_piece (at + last, name + last, piece));
}

TIM3_STRAIGHT bool tim3_field_has_name (const uint8_t *at, const uint8_t *end, const char *name,
                                        size_t length)
{
    _Static_assert(TIM3_FIELD_NAME_MAX <= 24, "three pieces of eight");
    return (size_t) (end - at) > length && *at == (0xa0 | length) && tim3_field_same (at + 1, name, length);
}

/*  How many fields a map has, or values an array.  */
TIM3_STRAIGHT const uint8_t *tim3_field_take_head (const uint8_t *at, const uint8_t *end, bool map,
                                                   uint32_t *count)
{
    uint8_t fixed = map ? 0x80 : 0x90;
    if (at < end && (*at & 0xf0) == fixed) {
        *count = *at & 15u;
        return at + 1;
    }
    tim3_reader_t reader = {at, end};
    return (map ? tim3_read_map : tim3_read_array) (&reader, count) ? reader.at : NULL;
}

TIM3_STRAIGHT const uint8_t *tim3_field_take_amount (const uint8_t *at, const uint8_t *end, void *member)
{
    uint64_t halves[2] = {0, 0};
    const uint8_t *next = tim3_take_fixed (at, end, halves, sizeof halves);
    tim3_amount_t amount = (tim3_amount_t) be64toh (halves[0]) << 64 | be64toh (halves[1]);
    if (!next) {
        next = tim3_take_u64 (at, end, &halves[0]);
        amount = halves[0];
    }
    memcpy (member, &amount, sizeof amount);
    return next;
}

TIM3_STRAIGHT const uint8_t *tim3_field_take_bool (const uint8_t *at, const uint8_t *end, bool *member)
{
    if (at == end || (*at != 0xc2 && *at != 0xc3))
        return NULL;
    *member = *at == 0xc3;
    return at + 1;
}

TIM3_STRAIGHT const uint8_t *tim3_field_take_u64 (const uint8_t *at, const uint8_t *end, uint64_t bound,
                                                  uint64_t *member)
{
    const uint8_t *next = tim3_take_u64 (at, end, member);
    return next && bound > 0 && *member > bound ? NULL : next;
}

/*  Zero stands for none.  */
TIM3_STRAIGHT const uint8_t *tim3_field_take_enum (const uint8_t *at, const uint8_t *end, tim3_how_t how,
                                                   uint8_t *member)
{
    uint32_t values = how.required ? how.values & ~1u : how.values | 1u;
    if (at == end || *at >= 32 || !(values >> *at & 1))
        return NULL;
    *member = *at;
    return at + 1;
}

TIM3_STRAIGHT const uint8_t *tim3_field_take (const uint8_t *at, const uint8_t *end, tim3_how_t how,
                                              void *member, tim3_arena_t *arena, bool map)
{
    if (!how.required && at < end && *at == 0xc0)
        return at + 1;
    switch (how.kind) {
    case TIM3_KIND_U64:
        return tim3_field_take_u64 (at, end, how.bound, member);
    case TIM3_KIND_BOOL:
        return tim3_field_take_bool (at, end, member);
    case TIM3_KIND_AMOUNT:
        return tim3_field_take_amount (at, end, member);
    case TIM3_KIND_ID:
        return tim3_take_fixed (at, end, member, sizeof (tim3_id_t));
    case TIM3_KIND_MAC:
        return tim3_take_fixed (at, end, member, sizeof (tim3_mac_t));
    case TIM3_KIND_STR:
        return tim3_take_text (at, end, member, how.bound);
    case TIM3_KIND_ENUM:
        return tim3_field_take_enum (at, end, how, member);
    case TIM3_KIND_LIST:
        return tim3_take_list (at, end, how.record, member, how.bound, arena, map);
    case TIM3_KIND_RAW:
        return tim3_take_raw (at, end, member, how.bound);
    }
    return NULL;
}

#endif
