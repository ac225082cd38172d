/*  test_codec.c - the one codec, tried on every message and record of the table with values drawn by shape.

    Inputs are handed over in blocks of memory that end where they end, so that the sanitizers and valgrind see a
    read past the end.
*/
#include "seeded.h"
#include "store/store.h"
#include "suites.h"
#include "wire/envelope.h"
#include "wire/reader.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#define ARENA (1024 * 1024)
#define ROUNDS 20
#define FLIPS 100000
#define FIELDS_MOST 32

static const tim3_shape_t *const s_shapes[] = {
#define X(name) &tim3_shape_##name,
    TIM3_RECORDS (X) TIM3_BODIES (X)
#undef X
    & tim3_shape_empty};
#define SHAPES (sizeof s_shapes / sizeof s_shapes[0])

static seeded_t s_random;
static tim3_arena_t s_made;    /* of what is drawn */
static tim3_arena_t s_decoded; /* of what is decoded */
static tim3_arena_t s_again;   /* of the same, decoded in the general way */
static bool s_short;           /* maps are put together in the forms that the encoder writes */
static tim3_buffer_t s_wire;
static tim3_buffer_t s_other;
static tim3_fault_t s_fault;

static void setup (void)
{
    s_random.state = 8;
    s_made = (tim3_arena_t){tim3_alloc (ARENA), ARENA, 0};
    s_decoded = (tim3_arena_t){tim3_alloc (ARENA), ARENA, 0};
    s_again = (tim3_arena_t){tim3_alloc (ARENA), ARENA, 0};
    s_short = false;
    s_wire = (tim3_buffer_t){0};
    s_other = (tim3_buffer_t){0};
}

static void teardown (void)
{
    free (s_made.data);
    free (s_decoded.data);
    free (s_again.data);
    tim3_buffer_free (&s_wire);
    tim3_buffer_free (&s_other);
}

/*  ------------------------------------------------------------------------------------ drawing by shape  */

static void draw_object (const tim3_shape_t *shape, void *object);

static uint8_t draw_enum (const tim3_field_t *field)
{
    unsigned count = 0;
    while (field->values[count].name)
        count++;
    uint8_t number = field->values[seeded_below (&s_random, count)].number;
    /* role has a value 0, which stands for none in a field */
    return number == 0 && field->required ? field->values[1].number : number;
}

static tim3_list_t draw_list (const tim3_field_t *field)
{
    uint32_t most = field->bound < 4 ? field->bound : 4;
    uint32_t count = (uint32_t) seeded_below (&s_random, most + 1);
    uint8_t *items = tim3_arena_take (&s_made, (size_t) count * field->record->size + 1);
    for (uint32_t i = 0; i < count; i++)
        draw_object (field->record, items + (size_t) i * field->record->size);
    return (tim3_list_t){count ? items : NULL, count};
}

/*  A binary of random bytes, as one MessagePack value.  */
static tim3_raw_t draw_raw (const tim3_field_t *field)
{
    uint32_t size = (uint32_t) seeded_below (&s_random, field->bound < 200 ? field->bound : 200);
    uint8_t *data = tim3_arena_take (&s_made, size + 2u);
    data[0] = 0xc4;
    data[1] = (uint8_t) size;
    seeded_fill (&s_random, data + 2, size);
    return (tim3_raw_t){data, size + 2};
}

static void draw_field (const tim3_field_t *field, void *member)
{
    tim3_amount_t amount = seeded_amount (&s_random);
    switch (field->kind) {
    case TIM3_KIND_U64:
        *(uint64_t *) member =
            field->bound ? seeded_below (&s_random, field->bound + 1ull) : seeded_u64 (&s_random);
        break;
    case TIM3_KIND_BOOL:
        *(bool *) member = seeded_below (&s_random, 2) != 0;
        break;
    case TIM3_KIND_AMOUNT:
        memcpy (member, &amount, sizeof amount);
        break;
    case TIM3_KIND_ID:
        seeded_fill (&s_random, member, sizeof (tim3_id_t));
        break;
    case TIM3_KIND_MAC:
        seeded_fill (&s_random, member, sizeof (tim3_mac_t));
        break;
    case TIM3_KIND_STR:
        seeded_text (&s_random, member, field->bound);
        break;
    case TIM3_KIND_ENUM:
        *(uint8_t *) member = draw_enum (field);
        break;
    case TIM3_KIND_LIST:
        *(tim3_list_t *) member = draw_list (field);
        break;
    case TIM3_KIND_RAW:
        *(tim3_raw_t *) member = draw_raw (field);
        break;
    }
}

static bool is_nothing (const tim3_field_t *field, const uint8_t *member)
{
    static const uint8_t zeros[sizeof (tim3_id_t)];
    size_t size = field->kind == TIM3_KIND_STR ? 1 : field->kind == TIM3_KIND_U64 ? sizeof (uint64_t) : sizeof (tim3_id_t);
    return memcmp (member, zeros, size) == 0;
}

static void draw_object (const tim3_shape_t *shape, void *object)
{
    for (unsigned i = 0; i < shape->count; i++) {
        uint8_t *member = (uint8_t *) object + shape->fields[i].offset;
        /* what is rare is left out when it is nothing, but the tests below count on every field */
        do
            draw_field (&shape->fields[i], member);
        while (shape->fields[i].rare && is_nothing (&shape->fields[i], member));
    }
}

static void *draw (const tim3_shape_t *shape)
{
    s_made.used = 0;
    void *object = tim3_arena_take (&s_made, shape->size + 1u);
    draw_object (shape, object);
    return object;
}

static void *room (const tim3_shape_t *shape)
{
    s_decoded.used = 0;
    return tim3_arena_take (&s_decoded, shape->size + 1u);
}

/*  -------------------------------------------------------------------------------------------- comparing  */

static void check_same (const tim3_shape_t *shape, const void *a, const void *b);

static void check_same_list (const tim3_field_t *field, const tim3_list_t *a, const tim3_list_t *b)
{
    size_t size = field->record->size;
    ck_assert_uint_eq (a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++)
        check_same (field->record, (const uint8_t *) a->items + i * size,
                    (const uint8_t *) b->items + i * size);
}

static size_t size_of (tim3_kind_t kind)
{
    static const size_t sizes[] = {[TIM3_KIND_U64] = 8, [TIM3_KIND_BOOL] = 1, [TIM3_KIND_AMOUNT] = 16,
                                   [TIM3_KIND_ID] = 16, [TIM3_KIND_MAC] = 32, [TIM3_KIND_ENUM] = 1};
    return sizes[kind];
}

static void check_same_field (const tim3_field_t *field, const void *a, const void *b)
{
    const tim3_raw_t *raw_a = a;
    const tim3_raw_t *raw_b = b;
    switch (field->kind) {
    case TIM3_KIND_STR:
        ck_assert_str_eq (a, b);
        break;
    case TIM3_KIND_LIST:
        check_same_list (field, a, b);
        break;
    case TIM3_KIND_RAW:
        ck_assert_uint_eq (raw_a->size, raw_b->size);
        ck_assert_mem_eq (raw_a->data, raw_b->data, raw_a->size);
        break;
    default:
        ck_assert_msg (memcmp (a, b, size_of (field->kind)) == 0, "%s", field->name);
    }
}

static void check_same (const tim3_shape_t *shape, const void *a, const void *b)
{
    for (unsigned i = 0; i < shape->count; i++) {
        size_t offset = shape->fields[i].offset;
        check_same_field (&shape->fields[i], (const uint8_t *) a + offset, (const uint8_t *) b + offset);
    }
}

/*  -------------------------------------------------------------------------------------------- decoding  */

typedef int (decode_fn) (const uint8_t *, size_t, const tim3_shape_t *, void *, tim3_arena_t *,
                         tim3_fault_t *);

/*  There are two ways to decode, a straight one and a general one. The general way comes to the same, and what the straight one takes
    has the end that is found by passing over it.  */
static void check_both_ways (decode_fn *decode, const tim3_shape_t *shape, const uint8_t *data, size_t size,
                             const void *object, int result)
{
    bool map = decode == tim3_decode_map;
    tim3_reader_t reader = {data, data + size};
    tim3_fault_t other = {TIM3_OK, NULL};
    s_again.used = 0;
    s_again.capacity = s_decoded.capacity;
    void *again = tim3_arena_take (&s_again, shape->size + 1u);
    ck_assert_int_eq (tim3_decode_generally (data, size, shape, again, &s_again, &other, map), result);
    ck_assert_uint_eq (other.code, s_fault.code);
    ck_assert (other.field == s_fault.field || strcmp (other.field, s_fault.field) == 0);
    if (result == 0)
        check_same (shape, object, again);
    s_again.used = 0;
    again = tim3_arena_take (&s_again, shape->size + 1u);
    const uint8_t *end = map ? tim3_take_map (data, data + size, shape, again, &s_again) : NULL;
    if (end)
        ck_assert (tim3_read_skip (&reader) && reader.at == end);
}

/*  Decodes a copy that ends where its memory ends; object may be NULL for what must fail or does not matter.  */
static int decode_copy (decode_fn *decode, const tim3_shape_t *shape, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc (size ? size : 1);
    void *object = room (shape);
    memcpy (copy, data, size);
    s_fault = (tim3_fault_t){TIM3_OK, NULL};
    int result = decode (copy, size, shape, object, &s_decoded, &s_fault);
    ck_assert (result == 0 || (s_fault.code != TIM3_OK && s_fault.field != NULL));
    check_both_ways (decode, shape, copy, size, object, result);
    free (copy);
    return result;
}

static void check_fault (const tim3_shape_t *shape, const tim3_buffer_t *wire, tim3_result_t code,
                         const char *field)
{
    int result = decode_copy (tim3_decode_map, shape, wire->data, wire->size);
    ck_assert_msg (result == -1, "%s.%s", shape->name, field);
    ck_assert_msg (s_fault.code == code, "%s.%s: %s", shape->name, field, tim3_result_name (s_fault.code));
    ck_assert_str_eq (s_fault.field, field);
}

/*  A map taken apart: where each field's name and value lie.  */
typedef struct {
    unsigned count;
    const uint8_t *at[FIELDS_MOST + 1]; /* fields lie back to back */
} parts_t;

static parts_t take_apart (const tim3_buffer_t *wire)
{
    tim3_reader_t reader = {wire->data, wire->data + wire->size};
    parts_t parts;
    uint32_t count;
    ck_assert (tim3_read_map (&reader, &count) && count <= FIELDS_MOST);
    parts.count = count;
    for (unsigned i = 0; i < count; i++) {
        parts.at[i] = reader.at;
        ck_assert (tim3_read_skip (&reader) && tim3_read_skip (&reader));
    }
    parts.at[count] = reader.at;
    return parts;
}

static void put_head (tim3_buffer_t *buffer, unsigned count)
{
    uint8_t head[3] = {0xde, (uint8_t) (count >> 8), (uint8_t) count};
    uint8_t short_head = (uint8_t) (0x80 | count);
    tim3_buffer_clear (buffer);
    if (s_short && count < 16)
        tim3_buffer_append (buffer, &short_head, 1);
    else
        tim3_buffer_append (buffer, head, sizeof head);
}

static void put_part (tim3_buffer_t *buffer, const parts_t *parts, unsigned i)
{
    tim3_buffer_append (buffer, parts->at[i], (size_t) (parts->at[i + 1] - parts->at[i]));
}

static void put_text (tim3_buffer_t *buffer, const char *text)
{
    uint8_t head[2] = {0xd9, (uint8_t) strlen (text)};
    uint8_t short_head = (uint8_t) (0xa0 | head[1]);
    if (s_short && head[1] < 32)
        tim3_buffer_append (buffer, &short_head, 1);
    else
        tim3_buffer_append (buffer, head, 2);
    tim3_buffer_append (buffer, text, strlen (text));
}

/*  The map in s_wire with another value for a field, in s_other.  */
static void replace (const parts_t *parts, const tim3_field_t *field, unsigned i, const void *value,
                     size_t size)
{
    put_head (&s_other, parts->count);
    for (unsigned j = 0; j < parts->count; j++) {
        if (j != i) {
            put_part (&s_other, parts, j);
            continue;
        }
        put_text (&s_other, field->name);
        tim3_buffer_append (&s_other, value, size);
    }
}

/*  ----------------------------------------------------------------------------------------- there and back  */

static void check_round (const tim3_shape_t *shape)
{
    void *made = draw (shape);
    void *back = room (shape);
    tim3_buffer_clear (&s_wire);
    tim3_encode_map (&s_wire, shape, made);
    ck_assert_int_eq (tim3_decode_map (s_wire.data, s_wire.size, shape, back, &s_decoded, &s_fault), 0);
    check_same (shape, made, back);
    back = room (shape);
    tim3_buffer_clear (&s_wire);
    tim3_encode_array (&s_wire, shape, made);
    ck_assert_int_eq (tim3_decode_array (s_wire.data, s_wire.size, shape, back, &s_decoded, &s_fault), 0);
    check_same (shape, made, back);
}

START_TEST (test_there_and_back)
{
    for (int i = 0; i < ROUNDS; i++)
        check_round (s_shapes[_i]);
}
END_TEST

/*  Any order of fields, and others in between, come to the same.  */
START_TEST (test_order_and_unknown_fields)
{
    const tim3_shape_t *shape = s_shapes[_i];
    void *made = draw (shape);
    void *back = room (shape);
    tim3_encode_map (&s_wire, shape, made);
    parts_t parts = take_apart (&s_wire);
    put_head (&s_other, 2 * parts.count + 1);
    for (unsigned i = parts.count; i-- > 0;) {
        put_text (&s_other, "zz_unknown");
        tim3_buffer_append (&s_other, "\x92\x81\xa1k\xc0\xcb\0\0\0\0\0\0\0\0", 14);
        put_part (&s_other, &parts, i);
    }
    put_text (&s_other, "");
    tim3_buffer_append (&s_other, "\xff", 1);
    ck_assert_int_eq (tim3_decode_map (s_other.data, s_other.size, shape, back, &s_decoded, &s_fault), 0);
    check_same (shape, made, back);
}
END_TEST

/*  ---------------------------------------------------------------------------------------- what is refused  */

START_TEST (test_missing_and_double_fields)
{
    const tim3_shape_t *shape = s_shapes[_i / 2];
    s_short = _i % 2;
    tim3_encode_map (&s_wire, shape, draw (shape));
    parts_t parts = take_apart (&s_wire);
    for (unsigned i = 0; i < parts.count; i++) {
        put_head (&s_other, parts.count - 1);
        for (unsigned j = 0; j < parts.count; j++)
            if (j != i)
                put_part (&s_other, &parts, j);
        if (shape->fields[i].required)
            check_fault (shape, &s_other, TIM3_INVALID_FIELD, shape->fields[i].name);
        else
            ck_assert_int_eq (decode_copy (tim3_decode_map, shape, s_other.data, s_other.size), 0);
        put_head (&s_other, parts.count + 1);
        for (unsigned j = 0; j < parts.count; j++)
            put_part (&s_other, &parts, j);
        put_part (&s_other, &parts, i);
        check_fault (shape, &s_other, TIM3_MALFORMED, shape->fields[i].name);
    }
}
END_TEST

static void try_form (const tim3_shape_t *shape, const parts_t *parts, unsigned i, const void *value,
                      size_t size, tim3_result_t code)
{
    const tim3_field_t *field = &shape->fields[i];
    replace (parts, field, i, value, size);
    if (code)
        check_fault (shape, &s_other, code, field->name);
    else
        ck_assert_msg (decode_copy (tim3_decode_map, shape, s_other.data, s_other.size) == 0, "%s.%s: %s",
                       shape->name, field->name, tim3_result_name (s_fault.code));
}

static void try_value (const tim3_shape_t *shape, const parts_t *parts, unsigned i, const void *value,
                       size_t size, tim3_result_t code)
{
    s_short = false;
    try_form (shape, parts, i, value, size, code);
    s_short = true;
    try_form (shape, parts, i, value, size, code);
}

static void try_u64 (const tim3_shape_t *shape, const parts_t *parts, unsigned i, uint64_t number,
                     tim3_result_t code)
{
    uint8_t value[9] = {0xcf};
    for (unsigned j = 0; j < 8; j++)
        value[8 - j] = (uint8_t) (number >> 8 * j);
    try_value (shape, parts, i, value, sizeof value, code);
    if (number < 0x80)
        try_value (shape, parts, i, value + 8, 1, code);
}

/*  A text, binary or list head with a 32-bit length, and that many bytes behind it.  */
static void try_long (const tim3_shape_t *shape, const parts_t *parts, unsigned i, uint8_t tag, size_t size,
                      uint8_t filler, tim3_result_t code)
{
    uint8_t *value = malloc (size + 5);
    value[0] = tag;
    for (unsigned j = 0; j < 4; j++)
        value[4 - j] = (uint8_t) (size >> 8 * j);
    memset (value + 5, filler, size);
    try_value (shape, parts, i, value, size + 5, code);
    free (value);
}

static void try_bounds_of_enum (const tim3_shape_t *shape, const parts_t *parts, unsigned i)
{
    const tim3_field_t *field = &shape->fields[i];
    for (unsigned number = 0; number < 300; number++) {
        bool known = number != 0 && tim3_value_name (field->values, number)[0] != '?';
        bool none = number == 0 && !field->required;
        try_u64 (shape, parts, i, number, known || none ? TIM3_OK : TIM3_INVALID_FIELD);
    }
}

static void try_bounds (const tim3_shape_t *shape, const parts_t *parts, unsigned i)
{
    const tim3_field_t *field = &shape->fields[i];
    size_t fixed = field->kind == TIM3_KIND_MAC ? 32 : 16;
    switch (field->kind) {
    case TIM3_KIND_U64:
        try_u64 (shape, parts, i, field->bound ? field->bound : UINT64_MAX, TIM3_OK);
        if (field->bound)
            try_u64 (shape, parts, i, field->bound + 1ull, TIM3_INVALID_FIELD);
        break;
    case TIM3_KIND_STR:
        try_long (shape, parts, i, 0xdb, field->bound, 'a', TIM3_OK);
        try_long (shape, parts, i, 0xdb, field->bound + 1ull, 'a', TIM3_TOO_LARGE);
        try_long (shape, parts, i, 0xdb, field->bound, '\0', TIM3_INVALID_FIELD);
        try_long (shape, parts, i, 0xdb, field->bound, 0xff, TIM3_INVALID_FIELD);
        try_long (shape, parts, i, 0xc6, field->bound, 'a', TIM3_INVALID_FIELD);
        break;
    case TIM3_KIND_ENUM:
        try_bounds_of_enum (shape, parts, i);
        break;
    case TIM3_KIND_LIST:
        try_long (shape, parts, i, 0xdd, field->bound + 1ull, 0xc0, TIM3_TOO_LARGE);
        break;
    case TIM3_KIND_RAW:
        try_long (shape, parts, i, 0xc6, field->bound - 5, 7, TIM3_OK);
        try_long (shape, parts, i, 0xc6, field->bound - 4, 7, TIM3_TOO_LARGE);
        break;
    case TIM3_KIND_BOOL:
        try_u64 (shape, parts, i, 1, TIM3_INVALID_FIELD);
        break;
    default:
        try_long (shape, parts, i, 0xc6, fixed, 7, TIM3_OK);
        try_long (shape, parts, i, 0xc6, fixed - 1, 7, TIM3_INVALID_FIELD);
        try_long (shape, parts, i, 0xc6, fixed + 1, 7, TIM3_INVALID_FIELD);
        try_long (shape, parts, i, 0xdb, fixed, 'a', TIM3_INVALID_FIELD);
    }
}

START_TEST (test_bounds)
{
    const tim3_shape_t *shape = s_shapes[_i];
    tim3_encode_map (&s_wire, shape, draw (shape));
    parts_t parts = take_apart (&s_wire);
    for (unsigned i = 0; i < parts.count; i++)
        try_bounds (shape, &parts, i);
}
END_TEST

/*  A value of the wrong kind: a float, a negative number, nil.  */
START_TEST (test_wrong_kinds)
{
    const tim3_shape_t *shape = s_shapes[_i];
    tim3_encode_map (&s_wire, shape, draw (shape));
    parts_t parts = take_apart (&s_wire);
    for (unsigned i = 0; i < parts.count; i++) {
        const tim3_field_t *field = &shape->fields[i];
        tim3_result_t wrong = field->kind == TIM3_KIND_RAW ? TIM3_OK : TIM3_INVALID_FIELD;
        try_value (shape, &parts, i, "\xcb\x3f\xf0\0\0\0\0\0\0", 9, wrong);
        try_value (shape, &parts, i, "\xff", 1, wrong);
        try_value (shape, &parts, i, "\xd0\x80", 2, wrong);
        try_value (shape, &parts, i, "\x80", 1, wrong);
        try_value (shape, &parts, i, "\xc0", 1, field->required ? wrong : TIM3_OK);
        try_value (shape, &parts, i, "\xc1", 1, field->kind == TIM3_KIND_RAW ? TIM3_MALFORMED : wrong);
        if (field->kind == TIM3_KIND_AMOUNT)
            try_u64 (shape, &parts, i, UINT64_MAX, TIM3_OK);
    }
}
END_TEST

START_TEST (test_cut_and_trailing)
{
    const tim3_shape_t *shape = s_shapes[_i];
    void *made = draw (shape);
    tim3_encode_map (&s_wire, shape, made);
    tim3_encode_array (&s_other, shape, made);
    for (size_t size = 0; size < s_wire.size; size++)
        ck_assert_int_eq (decode_copy (tim3_decode_map, shape, s_wire.data, size), -1);
    for (size_t size = 0; size < s_other.size; size++)
        ck_assert_int_eq (decode_copy (tim3_decode_array, shape, s_other.data, size), -1);
    tim3_buffer_append (&s_wire, "\xc0", 1);
    tim3_buffer_append (&s_other, "\xc0", 1);
    check_fault (shape, &s_wire, TIM3_MALFORMED, "");
    ck_assert_int_eq (decode_copy (tim3_decode_array, shape, s_other.data, s_other.size), -1);
    ck_assert_uint_eq (s_fault.code, TIM3_MALFORMED);
}
END_TEST

/*  Records written by an older version are shorter, and are read if only optional fields are missing.  */
START_TEST (test_shorter_and_longer_arrays)
{
    const tim3_shape_t *shape = s_shapes[_i];
    unsigned least = 0;
    tim3_encode_array (&s_wire, shape, draw (shape));
    tim3_reader_t reader = {s_wire.data, s_wire.data + s_wire.size};
    uint32_t count;
    ck_assert (tim3_read_array (&reader, &count) && count == shape->count);
    const uint8_t *first = reader.at;
    for (unsigned i = 0; i < count; i++)
        least = shape->fields[i].required ? i + 1 : least;
    for (unsigned n = 0; n <= count; n++) {
        uint8_t head[3] = {0xdc, 0, (uint8_t) n};
        tim3_buffer_clear (&s_other);
        tim3_buffer_append (&s_other, head, sizeof head);
        tim3_buffer_append (&s_other, first, (size_t) (reader.at - first));
        int result = decode_copy (tim3_decode_array, shape, s_other.data, s_other.size);
        ck_assert_int_eq (result, n < least ? -1 : 0);
        if (n < least)
            ck_assert_uint_eq (s_fault.code, TIM3_INVALID_FIELD);
        if (n < count)
            ck_assert (tim3_read_skip (&reader));
    }
    s_other.data[2]++;
    tim3_buffer_append (&s_other, "\xc0", 1);
    ck_assert_int_eq (decode_copy (tim3_decode_array, shape, s_other.data, s_other.size), -1);
    ck_assert_uint_eq (s_fault.code, TIM3_MALFORMED);
}
END_TEST

START_TEST (test_flipped_bits)
{
    for (int i = 0; i < FLIPS; i++) {
        const tim3_shape_t *shape = s_shapes[seeded_below (&s_random, SHAPES)];
        bool map = i % 2 == 0;
        if (i % 4 < 2) { /* two rounds on each drawn object, so that flips pile up */
            void *made = draw (shape);
            tim3_buffer_clear (&s_wire);
            (map ? tim3_encode_map : tim3_encode_array) (&s_wire, shape, made);
        }
        size_t bit = seeded_below (&s_random, 8 * s_wire.size);
        s_wire.data[bit / 8] ^= (uint8_t) (1u << bit % 8);
        decode_copy (map ? tim3_decode_map : tim3_decode_array, shape, s_wire.data, s_wire.size);
    }
}
END_TEST

/*  ----------------------------------------------------------------------------------------------- bombs  */

START_TEST (test_depth_bombs)
{
    static const struct {
        const char *bytes;
        size_t size;
    } nests[] = {{"\x91", 1}, {"\x81", 1}, {"\xdc\0\1", 3}, {"\xdd\0\0\0\1", 5}, {"\xdf\0\0\0\1", 5}};
    for (unsigned i = 0; i < sizeof nests / sizeof nests[0]; i++) {
        put_head (&s_wire, 1);
        put_text (&s_wire, "unknown");
        for (int j = 0; j < 100000; j++)
            tim3_buffer_append (&s_wire, nests[i].bytes, nests[i].size);
        check_fault (&tim3_shape_tx_only, &s_wire, TIM3_MALFORMED, "");
    }
}
END_TEST

START_TEST (test_depth_limit)
{
    for (unsigned depth = 1; depth <= TIM3_READER_DEPTH_MAX + 1; depth++) {
        uint8_t value[TIM3_READER_DEPTH_MAX + 2];
        memset (value, 0x91, depth);
        value[depth] = 0xc0;
        tim3_reader_t reader = {value, value + depth + 1};
        ck_assert (tim3_read_skip (&reader) == (depth <= TIM3_READER_DEPTH_MAX));
        ck_assert_ptr_eq (reader.at, depth <= TIM3_READER_DEPTH_MAX ? reader.end : value);
    }
}
END_TEST

/*  A raw value may be as deep as any, but whoever passes over the whole message allows less: then the straight way leaves it to the
    general one, so that nothing is taken in haste that would have been refused with the envelope.  */
START_TEST (test_depth_of_raw_values)
{
    for (unsigned depth = 1; depth <= TIM3_READER_DEPTH_MAX; depth++) {
        uint8_t value[TIM3_READER_DEPTH_MAX + 1];
        memset (value, 0x91, depth);
        value[depth] = 0xc0;
        tim3_run_t run = {.offset = 1, .source = "a", .seq = 1, .count = 1, .events = {value, depth + 1}};
        tim3_events_t events = {.subscription = 1, .items = {&run, 1}};
        tim3_events_t back;
        tim3_buffer_clear (&s_wire);
        tim3_encode_map (&s_wire, &tim3_shape_events, &events);
        tim3_reader_t reader = {s_wire.data, s_wire.data + s_wire.size};
        bool passed = tim3_read_skip (&reader);
        ck_assert (passed == (depth + TIM3_RAW_DEPTH <= TIM3_READER_DEPTH_MAX));
        s_decoded.used = 0;
        const uint8_t *end = tim3_take_map (s_wire.data, reader.end, &tim3_shape_events, &back, &s_decoded);
        ck_assert ((end != NULL) == passed);
        ck_assert_int_eq (decode_copy (tim3_decode_map, &tim3_shape_events, s_wire.data, s_wire.size), 0);
    }
}
END_TEST

static void put_bomb (const char *name, const void *value, size_t size)
{
    put_head (&s_wire, 1);
    put_text (&s_wire, name);
    tim3_buffer_append (&s_wire, value, size);
}

/*  What a peer claims costs nothing until the bytes are there.  */
START_TEST (test_length_bombs)
{
    put_bomb ("items", "\xdc\x03\xe8", 3);
    check_fault (&tim3_shape_balances, &s_wire, TIM3_MALFORMED, "items");
    ck_assert_uint_lt (s_decoded.used, 1000);
    put_bomb ("items", "\xdd\xff\xff\xff\xff", 5);
    check_fault (&tim3_shape_balances, &s_wire, TIM3_TOO_LARGE, "items");
    ck_assert_uint_lt (s_decoded.used, 1000);
    put_bomb ("account", "\xdb\xff\xff\xff\xff", 5);
    check_fault (&tim3_shape_account_only, &s_wire, TIM3_INVALID_FIELD, "account");
    put_bomb ("tx", "\xc6\xff\xff\xff\xff", 5);
    check_fault (&tim3_shape_tx_only, &s_wire, TIM3_INVALID_FIELD, "tx");
    put_bomb ("unknown", "\xc9\xff\xff\xff\xff\x01", 6);
    check_fault (&tim3_shape_tx_only, &s_wire, TIM3_MALFORMED, "");
    tim3_buffer_clear (&s_wire);
    tim3_buffer_append (&s_wire, "\xdf\xff\xff\xff\xff", 5);
    check_fault (&tim3_shape_tx_only, &s_wire, TIM3_MALFORMED, "");
}
END_TEST

START_TEST (test_lists_beyond_the_arena)
{
    tim3_account_t accounts[100];
    tim3_balances_t balances = {.items = {accounts, 100}};
    tim3_balances_t back;
    memset (accounts, 0, sizeof accounts);
    tim3_encode_map (&s_wire, &tim3_shape_balances, &balances);
    s_decoded.used = 0;
    s_decoded.capacity = sizeof accounts - 1;
    ck_assert_int_eq (
        tim3_decode_map (s_wire.data, s_wire.size, &tim3_shape_balances, &back, &s_decoded, &s_fault), -1);
    ck_assert_uint_eq (s_fault.code, TIM3_TOO_LARGE);
    ck_assert_str_eq (s_fault.field, "items");
    s_decoded.capacity = sizeof accounts;
    ck_assert_int_eq (
        tim3_decode_map (s_wire.data, s_wire.size, &tim3_shape_balances, &back, &s_decoded, &s_fault), 0);
}
END_TEST

START_TEST (test_signed_numbers)
{
    static const struct {
        const char *bytes;
        size_t size;
        bool taken;
    } cases[] = {
        {"\xd0\x05", 2, true},  {"\xd1\x7f\xff", 3, true}, {"\xd3\x7f\xff\xff\xff\xff\xff\xff\xff", 9, true},
        {"\xd0\xff", 2, false}, {"\xe0", 1, false},        {"\xd3\x80\0\0\0\0\0\0\0", 9, false},
        {"\xcc", 1, false},     {"\xd2\0\0\0", 4, false}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint8_t *bytes = (const uint8_t *) cases[i].bytes;
        tim3_reader_t reader = {bytes, bytes + cases[i].size};
        uint64_t number;
        ck_assert (tim3_read_u64 (&reader, &number) == cases[i].taken);
        ck_assert_ptr_eq (reader.at, cases[i].taken ? reader.end : bytes);
    }
}
END_TEST

/*  -------------------------------------------------------------------------------------------------- texts  */

static bool is_text (const char *text, size_t size)
{
    char *copy = malloc (size + 1);
    memcpy (copy, text, size);
    bool is = tim3_is_text (copy, size);
    free (copy);
    return is;
}

/*  Every code point in every length: right if it is the shortest, is not NUL and is no surrogate.  */
START_TEST (test_texts_are_utf8)
{
    static const uint32_t limits[] = {0, 0x80, 0x800, 0x10000, 0x200000};
    char text[4];
    for (size_t size = 1; size <= 4; size++)
        for (uint32_t code = 0; code < limits[size]; code += code < 0x11000 ? 1 : 37) {
            bool shortest = code >= limits[size - 1] && code > 0;
            bool legal = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
            seeded_utf8 (code, size, text);
            ck_assert_msg (tim3_is_text (text, size) == (shortest && legal), "U+%04X in %zu", code, size);
        }
    ck_assert (tim3_is_text (text, 0));
}
END_TEST

START_TEST (test_texts_that_are_cut)
{
    char text[9] = "a";
    for (uint32_t code = 0x80; code < 0x110000; code += 1021) {
        size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        if (code >= 0xd800 && code <= 0xdfff)
            continue;
        seeded_utf8 (code, size, text + 1);
        ck_assert (is_text (text, size + 1));
        for (size_t cut = 2; cut <= size; cut++)
            ck_assert (!is_text (text, cut));
        ck_assert (!is_text (text + 2, size - 1));
        text[size] = 'b';
        ck_assert (!is_text (text, size + 1));
    }
    for (unsigned byte = 0x80; byte < 0x100; byte++)
        ck_assert (!is_text ((char[]){(char) byte}, 1));
}
END_TEST

/*  Of each length, whatever stands at each place: copied and checked in pieces, and whole.  */
START_TEST (test_texts_of_each_length)
{
    static const char odd[] = {'\0', '\x7f', '\x80', '\xc3'};
    for (size_t size = 0; size <= TIM3_ACCOUNT_MAX; size++)
        for (size_t at = 0; at < size; at++)
            for (size_t i = 0; i < sizeof odd; i++) {
                tim3_account_only_t made = {0};
                memset (made.account, 'a', size);
                tim3_buffer_clear (&s_wire);
                tim3_encode_map (&s_wire, &tim3_shape_account_only, &made);
                s_wire.data[s_wire.size - size + at] = (uint8_t) odd[i];
                int result =
                    decode_copy (tim3_decode_map, &tim3_shape_account_only, s_wire.data, s_wire.size);
                ck_assert_int_eq (result, odd[i] == '\x7f' ? 0 : -1);
            }
}
END_TEST

/*  What stands behind the end of a text in its array is not written.  */
START_TEST (test_texts_end_where_they_end)
{
    for (size_t size = 0; size <= TIM3_ACCOUNT_MAX; size++) {
        tim3_account_only_t made;
        tim3_account_only_t back;
        memset (&made, 'x', sizeof made);
        made.account[size] = '\0';
        tim3_buffer_clear (&s_wire);
        tim3_encode_map (&s_wire, &tim3_shape_account_only, &made);
        ck_assert_uint_eq (s_wire.size, 1 + sizeof "account" + (size < 32 ? 1 : 2) + size);
        ck_assert_int_eq (
            tim3_decode_map (s_wire.data, s_wire.size, &tim3_shape_account_only, &back, NULL, &s_fault), 0);
        ck_assert_str_eq (back.account, made.account);
    }
}
END_TEST

/*  ------------------------------------------------------------------------------------ the tables themselves  */

/*  How deep a raw value lies in a map of that shape, 0 when there is none.  */
static unsigned raw_depth (const tim3_shape_t *shape)
{
    unsigned most = 0;
    for (unsigned i = 0; i < shape->count; i++) {
        const tim3_field_t *field = &shape->fields[i];
        unsigned inner = field->kind == TIM3_KIND_LIST ? raw_depth (field->record) : 0;
        unsigned depth = field->kind == TIM3_KIND_RAW ? 1 : inner ? inner + 2 : 0;
        most = depth > most ? depth : most;
    }
    return most;
}

START_TEST (test_shapes_are_sound)
{
    const tim3_shape_t *shape = s_shapes[_i];
    bool flat = true;
    ck_assert_uint_le (shape->count, 32);
    ck_assert_uint_le (raw_depth (shape), TIM3_RAW_DEPTH);
    for (unsigned i = 0; i < shape->count; i++) {
        const tim3_field_t *field = &shape->fields[i];
        ck_assert_uint_eq (field->name_length, strlen (field->name));
        ck_assert_uint_le (field->name_length, TIM3_FIELD_NAME_MAX);
        ck_assert (!field->rare || field->kind == TIM3_KIND_U64 || field->kind == TIM3_KIND_ID ||
                   field->kind == TIM3_KIND_STR);
        ck_assert_uint_lt (field->offset, shape->size);
        flat = flat && field->kind != TIM3_KIND_LIST && field->kind != TIM3_KIND_RAW;
        ck_assert_uint_gt (strlen (field->text), 0);
        ck_assert (field->kind != TIM3_KIND_STR || field->bound > 0);
        ck_assert (field->kind != TIM3_KIND_RAW || field->bound > 0);
        ck_assert (field->kind != TIM3_KIND_LIST ||
                   (field->bound > 0 && field->record && field->record->size > 0));
        ck_assert (field->kind != TIM3_KIND_ENUM || (field->values && field->values[0].name));
        for (unsigned j = 0; j < i; j++) {
            ck_assert_str_ne (field->name, shape->fields[j].name);
            ck_assert_uint_lt (shape->fields[j].offset, field->offset);
        }
    }
    ck_assert (shape->flat == flat);
}
END_TEST

static bool is_known_shape (const tim3_shape_t *shape)
{
    for (unsigned i = 0; i < SHAPES; i++)
        if (s_shapes[i] == shape)
            return true;
    return false;
}

static void check_message (const tim3_message_t *message)
{
    const tim3_message_t *reply = tim3_message (message->reply);
    bool request = message->of_class == TIM3_CLASS_REQUEST;
    ck_assert_ptr_eq (tim3_message (message->type), message);
    ck_assert_ptr_eq (tim3_message_by_name (message->name), message);
    ck_assert (is_known_shape (message->shape));
    ck_assert_uint_le (message->shape->size, tim3_body_size_max ());
    ck_assert_uint_gt (strlen (message->text), 0);
    ck_assert_ptr_nonnull (reply);
    ck_assert (reply->of_class == TIM3_CLASS_REPLY);
    ck_assert (!request || (message->from != 0 && message->to != 0));
    ck_assert (!request || message->reply != TIM3_MSG_ERROR);
    ck_assert (message->of_class != TIM3_CLASS_REPLY || (message->from == 0 && message->to == 0));
    ck_assert (message->of_class != TIM3_CLASS_EVENT || (message->from != 0 && strchr (message->name, '.')));
    ck_assert_uint_eq (message->to >> TIM3_ROLE_COUNT, 0);
}

START_TEST (test_messages_are_sound)
{
    const tim3_message_t *message;
    const tim3_message_t *other;
    unsigned count = 0;
    for (unsigned i = 0; (message = tim3_message_at (i)); i++, count++) {
        check_message (message);
        for (unsigned j = 0; j < i; j++) {
            other = tim3_message_at (j);
            ck_assert_uint_ne (message->type, other->type);
            ck_assert_str_ne (message->name, other->name);
        }
    }
    static const unsigned numbers[] = {
#define M(number, NAME, name, text, class, from, to, reply, doc) number,
        TIM3_MESSAGES (M)
#undef M
    };
    /* a number that is given twice would hide one of the two */
    ck_assert_uint_eq (count, sizeof numbers / sizeof numbers[0]);
    ck_assert_ptr_null (tim3_message (0));
    ck_assert_ptr_null (tim3_message (255));
    ck_assert_ptr_null (tim3_message (256));
    ck_assert_ptr_null (tim3_message (UINT64_MAX));
    ck_assert_ptr_null (tim3_message_by_name ("NoSuchMessage"));
}
END_TEST

/*  Most bytes of a field's value, with what MessagePack puts in front of it.  */
static size_t value_most (const tim3_field_t *field)
{
    switch (field->kind) {
    case TIM3_KIND_STR:
    case TIM3_KIND_RAW:
        return field->bound + 5;
    default:
        return sizeof (tim3_mac_t) + 5;
    }
}

/*  Half of what is allowed at most, so that those of later versions have room.  */
START_TEST (test_requests_of_clients_fit)
{
    const tim3_message_t *message;
    for (unsigned i = 0; (message = tim3_message_at (i)); i++) {
        size_t size = 5;
        if (message->of_class != TIM3_CLASS_REQUEST || !(message->from & TIM3_FROM_CLIENT))
            continue;
        for (unsigned j = 0; j < message->shape->count; j++) {
            const tim3_field_t *field = &message->shape->fields[j];
            ck_assert_msg (field->kind != TIM3_KIND_LIST, "%s has a list, which has no bound in bytes",
                           message->name);
            size += 1 + field->name_length + value_most (field);
        }
        ck_assert_msg (size <= TIM3_REQUEST_BODY_MAX / 2, "%s may take %zu bytes", message->name, size);
    }
}
END_TEST

START_TEST (test_values_are_sound)
{
    static const tim3_value_t *const tables[] = {
#define X(name, PREFIX) tim3_##name##_values,
        TIM3_ENUMERATIONS (X)
#undef X
            tim3_role_values};
    for (unsigned i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const tim3_value_t *value = tables[i]; value->name; value++) {
            ck_assert_str_eq (tim3_value_name (tables[i], value->number), value->name);
            ck_assert_uint_eq (tim3_value_parse (tables[i], value->name), value->number);
        }
    ck_assert_str_eq (tim3_value_name (tim3_health_values, 77), "?");
    ck_assert_uint_eq (tim3_value_parse (tim3_health_values, "nothing"), 0);
}
END_TEST

START_TEST (test_results_are_sound)
{
    const tim3_result_row_t *row;
    for (unsigned i = 0; (row = tim3_result_row (i)); i++) {
        ck_assert_str_eq (tim3_result_name (row->code), row->name);
        ck_assert_str_eq (tim3_result_text (row->code), row->text);
        ck_assert (tim3_result_advice (row->code) == row->advice);
        ck_assert_uint_le (strlen (row->name), sizeof ((tim3_error_t *) NULL)->name - 1);
        for (unsigned j = 0; j < i; j++) {
            ck_assert_uint_ne (row->code, tim3_result_row (j)->code);
            ck_assert_str_ne (row->name, tim3_result_row (j)->name);
        }
    }
    ck_assert_str_eq (tim3_result_name (9999), "internal");
}
END_TEST

START_TEST (test_tables_are_sound)
{
    const tim3_table_row_t *row;
    for (unsigned i = 0; (row = tim3_table_at (i)); i++) {
        ck_assert_ptr_eq (tim3_table (row->number), row);
        ck_assert (is_known_shape (row->shape));
        for (unsigned j = 0; j < row->shape->count; j++)
            ck_assert_msg (row->shape->fields[j].kind != TIM3_KIND_LIST,
                           "%s: the store decodes without an arena", row->name);
        for (unsigned j = 0; j < i; j++) {
            ck_assert_uint_ne (row->number, tim3_table_at (j)->number);
            ck_assert_str_ne (row->name, tim3_table_at (j)->name);
        }
    }
}
END_TEST

Suite *suite_codec (void)
{
    Suite *suite = suite_create ("codec");
    TCase *tcase = tcase_create ("codec");
    tcase_set_timeout (tcase, 60);
    tcase_add_checked_fixture (tcase, setup, teardown);
    tcase_add_loop_test (tcase, test_there_and_back, 0, SHAPES);
    tcase_add_loop_test (tcase, test_order_and_unknown_fields, 0, SHAPES);
    tcase_add_loop_test (tcase, test_missing_and_double_fields, 0, 2 * SHAPES);
    tcase_add_loop_test (tcase, test_bounds, 0, SHAPES);
    tcase_add_loop_test (tcase, test_wrong_kinds, 0, SHAPES);
    tcase_add_loop_test (tcase, test_cut_and_trailing, 0, SHAPES);
    tcase_add_loop_test (tcase, test_shorter_and_longer_arrays, 0, SHAPES);
    tcase_add_loop_test (tcase, test_shapes_are_sound, 0, SHAPES);
    tcase_add_test (tcase, test_flipped_bits);
    tcase_add_test (tcase, test_depth_bombs);
    tcase_add_test (tcase, test_depth_limit);
    tcase_add_test (tcase, test_depth_of_raw_values);
    tcase_add_test (tcase, test_length_bombs);
    tcase_add_test (tcase, test_lists_beyond_the_arena);
    tcase_add_test (tcase, test_signed_numbers);
    tcase_add_test (tcase, test_texts_are_utf8);
    tcase_add_test (tcase, test_texts_that_are_cut);
    tcase_add_test (tcase, test_texts_of_each_length);
    tcase_add_test (tcase, test_texts_end_where_they_end);
    tcase_add_test (tcase, test_messages_are_sound);
    tcase_add_test (tcase, test_requests_of_clients_fit);
    tcase_add_test (tcase, test_values_are_sound);
    tcase_add_test (tcase, test_results_are_sound);
    tcase_add_test (tcase, test_tables_are_sound);
    suite_add_tcase (suite, tcase);
    return suite;
}
