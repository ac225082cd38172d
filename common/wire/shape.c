/*  shape.c - the table-driven codec, over reader.h and writer.h: what is the same for all shapes (see fields.h for the rest).  */
#include "wire/shape.h"
#include "wire/reader.h"
#include "wire/writer.h"
#include "base/log.h"

#include <string.h>

void *tim3_arena_take (tim3_arena_t *self, size_t size)
{
    size_t start = (self->used + 15) & ~(size_t) 15;
    if (start > self->capacity || self->capacity - start < size)
        return NULL;
    self->used = start + size;
    memset (self->data + start, 0, size);
    return self->data + start;
}

const char *tim3_value_name (const tim3_value_t *values, unsigned number)
{
    for (; values->name; values++)
        if (values->number == number)
            return values->name;
    return "?";
}

unsigned tim3_value_parse (const tim3_value_t *values, const char *name)
{
    for (; values->name; values++)
        if (strcmp (values->name, name) == 0)
            return values->number;
    return 0;
}

/*  ------------------------------------------------------------------------------- lists and raw values  */

void tim3_encode_list (tim3_buffer_t *buffer, const tim3_shape_t *record, const tim3_list_t *list,
                       uint32_t bound, bool map)
{
    const uint8_t *item = list->items;
    TIM3_ASSERT (list->count <= bound);
    tim3_buffer_filled (buffer, tim3_put_array (tim3_buffer_room (buffer, TIM3_PUT_MOST), list->count));
    for (uint32_t i = 0; i < list->count; i++, item += record->size)
        (map ? tim3_encode_map : tim3_encode_array) (buffer, record, item);
}

void tim3_encode_raw (tim3_buffer_t *buffer, const tim3_raw_t *raw)
{
    if (raw->size > 0)
        tim3_buffer_append (buffer, raw->data, raw->size);
    else
        tim3_buffer_filled (buffer, tim3_put_nil (tim3_buffer_room (buffer, TIM3_PUT_MOST)));
}

const uint8_t *tim3_take_list (const uint8_t *at, const uint8_t *end, const tim3_shape_t *record,
                               tim3_list_t *list, uint32_t bound, tim3_arena_t *arena, bool map)
{
    tim3_reader_t reader = {at, end};
    uint32_t count;
    if (!tim3_read_array (&reader, &count) || count > bound || count > tim3_read_left (&reader))
        return NULL;
    if (count == 0)
        return reader.at;
    uint8_t *items = tim3_arena_take (arena, (size_t) count * record->size);
    if (!items)
        return NULL;
    *list = (tim3_list_t){items, count};
    for (at = reader.at; at && count > 0; count--, items += record->size)
        at = (map ? record->straight.take_map : record->straight.take_array) (at, end, items, arena);
    return at;
}

const uint8_t *tim3_take_raw (const uint8_t *at, const uint8_t *end, tim3_raw_t *raw, uint32_t bound)
{
    tim3_reader_t reader = {at, end};
    /* no deeper than whoever passes over the whole message allows, see tim3_take_map */
    if (!tim3_read_skip_within (&reader, TIM3_READER_DEPTH_MAX - TIM3_RAW_DEPTH) ||
        reader.at - at > (ptrdiff_t) bound)
        return NULL;
    *raw = (tim3_raw_t){at, (uint32_t) (reader.at - at)};
    return reader.at;
}

/*  ------------------------------------------------------------------------------------------ decoding  */

typedef struct {
    tim3_reader_t reader;
    tim3_arena_t *arena;
    tim3_fault_t *fault;
} decoder_t;

static int fault (decoder_t *self, tim3_result_t code, const char *field)
{
    *self->fault = (tim3_fault_t){code, field};
    return -1;
}

static int decode_object (decoder_t *self, const tim3_shape_t *shape, void *object, bool map);

static inline int decode_fixed (decoder_t *self, const tim3_field_t *field, void *member, size_t size)
{
    const uint8_t *data;
    uint32_t length;
    if (!tim3_read_bin (&self->reader, &data, &length) || length != size)
        return fault (self, TIM3_INVALID_FIELD, field->name);
    memcpy (member, data, size);
    return 0;
}

static int decode_amount (decoder_t *self, const tim3_field_t *field, void *member)
{
    tim3_amount_t amount;
    uint64_t small;
    uint8_t bytes[16];
    if (tim3_read_u64 (&self->reader, &small))
        amount = small;
    else if (decode_fixed (self, field, bytes, sizeof bytes) == 0)
        amount = tim3_amount_from_bytes (bytes);
    else
        return -1;
    memcpy (member, &amount, sizeof amount);
    return 0;
}

static int decode_text (decoder_t *self, const tim3_field_t *field, char *member)
{
    const char *text;
    uint32_t length;
    if (!tim3_read_str (&self->reader, &text, &length))
        return fault (self, TIM3_INVALID_FIELD, field->name);
    if (length > field->bound)
        return fault (self, TIM3_TOO_LARGE, field->name);
    if (!tim3_is_text (text, length))
        return fault (self, TIM3_INVALID_FIELD, field->name);
    memcpy (member, text, length);
    member[length] = '\0';
    return 0;
}

static int decode_u64 (decoder_t *self, const tim3_field_t *field, uint64_t *member)
{
    if (!tim3_read_u64 (&self->reader, member) || (field->bound && *member > field->bound))
        return fault (self, TIM3_INVALID_FIELD, field->name);
    return 0;
}

static int decode_enum (decoder_t *self, const tim3_field_t *field, uint8_t *member)
{
    uint64_t number;
    if (!tim3_read_u64 (&self->reader, &number) || number > UINT8_MAX)
        return fault (self, TIM3_INVALID_FIELD, field->name);
    if (number != 0 && tim3_value_name (field->values, (unsigned) number)[0] == '?')
        return fault (self, TIM3_INVALID_FIELD, field->name);
    if (number == 0 && field->required)
        return fault (self, TIM3_INVALID_FIELD, field->name);
    *member = (uint8_t) number;
    return 0;
}

static int decode_list (decoder_t *self, const tim3_field_t *field, tim3_list_t *member, bool map)
{
    uint32_t count;
    if (!tim3_read_array (&self->reader, &count))
        return fault (self, TIM3_INVALID_FIELD, field->name);
    if (count > field->bound)
        return fault (self, TIM3_TOO_LARGE, field->name);
    /* an item takes a byte at least, so a claimed count cannot exceed the bytes that are there */
    if (count > (size_t) (self->reader.end - self->reader.at))
        return fault (self, TIM3_MALFORMED, field->name);
    if (count == 0)
        return 0;
    uint8_t *items = tim3_arena_take (self->arena, (size_t) count * field->record->size);
    if (!items)
        return fault (self, TIM3_TOO_LARGE, field->name);
    for (uint32_t i = 0; i < count; i++)
        if (decode_object (self, field->record, items + (size_t) i * field->record->size, map))
            return -1;
    *member = (tim3_list_t){items, count};
    return 0;
}

static int decode_raw (decoder_t *self, const tim3_field_t *field, tim3_raw_t *member)
{
    const uint8_t *start = self->reader.at;
    if (!tim3_read_skip (&self->reader))
        return fault (self, TIM3_MALFORMED, field->name);
    size_t size = (size_t) (self->reader.at - start);
    if (size > field->bound)
        return fault (self, TIM3_TOO_LARGE, field->name);
    *member = (tim3_raw_t){start, (uint32_t) size};
    return 0;
}

static int decode_field (decoder_t *self, const tim3_field_t *field, void *member, bool map)
{
    if (!field->required && tim3_read_nil (&self->reader))
        return 0;
    switch (field->kind) {
    case TIM3_KIND_U64:
        return decode_u64 (self, field, member);
    case TIM3_KIND_BOOL:
        return tim3_read_bool (&self->reader, member) ? 0 : fault (self, TIM3_INVALID_FIELD, field->name);
    case TIM3_KIND_AMOUNT:
        return decode_amount (self, field, member);
    case TIM3_KIND_ID:
        return decode_fixed (self, field, member, sizeof (tim3_id_t));
    case TIM3_KIND_MAC:
        return decode_fixed (self, field, member, sizeof (tim3_mac_t));
    case TIM3_KIND_STR:
        return decode_text (self, field, member);
    case TIM3_KIND_ENUM:
        return decode_enum (self, field, member);
    case TIM3_KIND_LIST:
        return decode_list (self, field, member, map);
    case TIM3_KIND_RAW:
        return decode_raw (self, field, member);
    }
    return fault (self, TIM3_INTERNAL, field->name);
}

static bool has_name (const tim3_field_t *field, const char *name, uint32_t length)
{
    return field->name_length == length && memcmp (field->name, name, length) == 0;
}

/*  Finds a field by name. Senders keep the table's order as a rule, so the search starts at hint.  */
static int find_field (const tim3_shape_t *shape, unsigned hint, const char *name, uint32_t length)
{
    for (unsigned i = 0; i < shape->count; i++) {
        unsigned at = (hint + i) % shape->count;
        if (has_name (&shape->fields[at], name, length))
            return (int) at;
    }
    return -1;
}

/*  The first so many fields.  */
static uint32_t first_fields (uint32_t count)
{
    return count >= 32 ? UINT32_MAX : (1u << count) - 1;
}

static int check_required (decoder_t *self, const tim3_shape_t *shape, uint32_t seen)
{
    if (seen == first_fields (shape->count))
        return 0;
    for (unsigned i = 0; i < shape->count; i++)
        if (shape->fields[i].required && !(seen & 1u << i))
            return fault (self, TIM3_INVALID_FIELD, shape->fields[i].name);
    return 0;
}

static int decode_as_map (decoder_t *self, const tim3_shape_t *shape, void *object)
{
    uint32_t count;
    uint32_t seen = 0;
    unsigned hint = 0;
    if (!tim3_read_map (&self->reader, &count))
        return fault (self, TIM3_MALFORMED, "");
    for (uint32_t i = 0; i < count; i++) {
        const char *name;
        uint32_t length;
        if (!tim3_read_str (&self->reader, &name, &length))
            return fault (self, TIM3_MALFORMED, "");
        int at = find_field (shape, hint, name, length);
        if (at < 0) {
            if (!tim3_read_skip (&self->reader))
                return fault (self, TIM3_MALFORMED, "");
            continue;
        }
        const tim3_field_t *field = &shape->fields[at];
        if (seen & 1u << at)
            return fault (self, TIM3_MALFORMED, field->name);
        seen |= 1u << at;
        hint = (unsigned) at + 1;
        if (decode_field (self, field, (uint8_t *) object + field->offset, true))
            return -1;
    }
    return check_required (self, shape, seen);
}

static int decode_as_array (decoder_t *self, const tim3_shape_t *shape, void *object)
{
    uint32_t count;
    if (!tim3_read_array (&self->reader, &count) || count > shape->count)
        return fault (self, TIM3_MALFORMED, "");
    for (uint32_t i = 0; i < count; i++) {
        const tim3_field_t *field = &shape->fields[i];
        if (decode_field (self, field, (uint8_t *) object + field->offset, false))
            return -1;
    }
    return check_required (self, shape, first_fields (count));
}

static int decode_object (decoder_t *self, const tim3_shape_t *shape, void *object, bool map)
{
    return map ? decode_as_map (self, shape, object) : decode_as_array (self, shape, object);
}

int tim3_decode_generally (const uint8_t *data, size_t size, const tim3_shape_t *shape, void *object,
                           tim3_arena_t *arena, tim3_fault_t *out, bool map)
{
    decoder_t self = {{data, data + size}, arena, out};
    memset (object, 0, shape->size);
    if (decode_object (&self, shape, object, map))
        return -1;
    if (self.reader.at != self.reader.end)
        return fault (&self, TIM3_MALFORMED, "");
    return 0;
}

static int decode (const uint8_t *data, size_t size, const tim3_shape_t *shape, void *object,
                   tim3_arena_t *arena, tim3_fault_t *out, bool map)
{
    size_t used = arena ? arena->used : 0;
    memset (object, 0, shape->size);
    const uint8_t *end =
        (map ? shape->straight.take_map : shape->straight.take_array) (data, data + size, object, arena);
    if (end && end == data + size)
        return 0;
    if (arena)
        arena->used = used;
    return tim3_decode_generally (data, size, shape, object, arena, out, map);
}

int tim3_decode_map (const uint8_t *data, size_t size, const tim3_shape_t *shape, void *object,
                     tim3_arena_t *arena, tim3_fault_t *out)
{
    return decode (data, size, shape, object, arena, out, true);
}

int tim3_decode_array (const uint8_t *data, size_t size, const tim3_shape_t *shape, void *object,
                       tim3_arena_t *arena, tim3_fault_t *out)
{
    return decode (data, size, shape, object, arena, out, false);
}
