/*  shape.h - shapes of structs, and the one codec that serves every message and every stored record.

    A shape is a table of fields. From the same table come the C struct, its encoder, its decoder and its
    checks, and the protocol document. Field declarations read

        F (KIND, member, REQUIRED | OPTIONAL | RARE, bound, TYPE, "what it means")

    RARE is OPTIONAL and mostly empty: a map leaves out what is zero or an empty text. Only a U64, an ID or a STR is.

    with these kinds:
        U64    uint64_t          bound: largest value, 0 for none
        BOOL   bool
        AMOUNT tim3_amount_t     on the wire 16 bytes big-endian; a plain unsigned integer is taken too, and stored
        ID     tim3_id_t         16 bytes; nil where an optional one of zeros is stored
        MAC    tim3_mac_t        32 bytes
        STR    char [bound + 1]  UTF-8 bytes without NUL; bound: most bytes
        ENUM   uint8_t           on the wire the number; TYPE names the table of values
        LIST   tim3_list_t       bound: most items; TYPE names the record
        RAW    tim3_raw_t        one MessagePack value, not looked into; bound: most bytes

    Two encodings: a MAP with field names (messages: unknown names are skipped, duplicates refused), and an
    ARRAY in field order (stored records: fields are only ever added at the end).
    Decoding allocates nothing but list items, which go to an arena of bounded size; strings are copied.
*/
#ifndef TIM3_SHAPE_H
#define TIM3_SHAPE_H

#include "base/amount.h"
#include "base/bytes.h"
#include "base/linkage.h"
#include "base/result.h"

#include <string.h>

TIM3_C_BEGIN

typedef enum {
    TIM3_KIND_U64,
    TIM3_KIND_BOOL,
    TIM3_KIND_AMOUNT,
    TIM3_KIND_ID,
    TIM3_KIND_MAC,
    TIM3_KIND_STR,
    TIM3_KIND_ENUM,
    TIM3_KIND_LIST,
    TIM3_KIND_RAW
} tim3_kind_t;

typedef struct {
    const void *items; /* count structs of the field's record, back to back */
    uint32_t count;
} tim3_list_t;

typedef struct {
    const uint8_t *data; /* points into the decoded buffer */
    uint32_t size;
} tim3_raw_t;

typedef struct {
    uint8_t number;
    const char *name;
} tim3_value_t;

typedef struct tim3_shape tim3_shape_t;

/*  A raw value lies at most this deep in a message: in a map, in a list of maps.  */
#define TIM3_RAW_DEPTH 3

/*  A name fits into the first byte of a MessagePack text, and into three registers.  */
#define TIM3_FIELD_NAME_MAX 24

typedef struct {
    const char *name;
    tim3_kind_t kind;
    bool required;
    bool rare;
    uint8_t name_length;
    uint16_t offset;
    uint32_t bound;
    const tim3_shape_t *record; /* LIST */
    const tim3_value_t *values; /* ENUM; ends with a NULL name */
    const char *text;
} tim3_field_t;

/*  Memory for list items while a message is handled.  */
typedef struct {
    uint8_t *data;
    size_t capacity;
    size_t used;
} tim3_arena_t;

void *tim3_arena_take (tim3_arena_t *self, size_t size); /* zeroed; NULL when it is used up */

/*  Straight code for one shape. Those that take fill a zeroed object from what lies at at, as the encoder here writes it, and return
    the place behind it; NULL to anything else, be it right or not.  */
typedef struct {
    void (*encode_map) (tim3_buffer_t *buffer, const uint8_t *object);
    void (*encode_array) (tim3_buffer_t *buffer, const uint8_t *object);
    const uint8_t *(*take_map) (const uint8_t *at, const uint8_t *end, uint8_t *object, tim3_arena_t *arena);
    const uint8_t *(*take_array) (const uint8_t *at, const uint8_t *end, uint8_t *object,
                                  tim3_arena_t *arena);
} tim3_straight_t;

struct tim3_shape {
    const char *name;
    const tim3_field_t *fields;
    uint16_t count; /* at most 32 */
    uint16_t size;  /* of the struct */
    bool flat;      /* a copy of the struct is all of it: no list, no raw value */
    tim3_straight_t straight;
};

static inline void tim3_encode_map (tim3_buffer_t *buffer, const tim3_shape_t *shape, const void *object)
{
    shape->straight.encode_map (buffer, (const uint8_t *) object);
}

static inline void tim3_encode_array (tim3_buffer_t *buffer, const tim3_shape_t *shape, const void *object)
{
    shape->straight.encode_array (buffer, (const uint8_t *) object);
}

/*  For fields.h: the kinds of fields that are no single value.  */
void tim3_encode_list (tim3_buffer_t *buffer, const tim3_shape_t *record, const tim3_list_t *list,
                       uint32_t bound, bool map);
void tim3_encode_raw (tim3_buffer_t *buffer, const tim3_raw_t *raw);
const uint8_t *tim3_take_list (const uint8_t *at, const uint8_t *end, const tim3_shape_t *record,
                               tim3_list_t *list, uint32_t bound, tim3_arena_t *arena, bool map);
const uint8_t *tim3_take_raw (const uint8_t *at, const uint8_t *end, tim3_raw_t *raw, uint32_t bound);

/*  Fills object from the map at at, if it is as this encoder writes it, and returns its end; NULL if it is anything else: tim3_decode_map
    then says whether it is right. What is taken is also one value as tim3_read_skip knows it, with the same end.  */
static inline const uint8_t *tim3_take_map (const uint8_t *at, const uint8_t *end, const tim3_shape_t *shape,
                                            void *object, tim3_arena_t *arena)
{
    memset (object, 0, shape->size);
    return shape->straight.take_map (at, end, (uint8_t *) object, arena);
}

/*  What is wrong with an input: the result, and the field it is about ("" when about the whole).  */
typedef struct {
    tim3_result_t code;
    const char *field;
} tim3_fault_t;

/*  Fills object (shape->size bytes). Exactly one value must fill data to the end. Returns 0, or -1 with
    fault set. Memory of lists lives as long as arena.  */
int tim3_decode_map (const uint8_t *data, size_t size, const tim3_shape_t *shape, void *object,
                     tim3_arena_t *arena, tim3_fault_t *fault);
int tim3_decode_array (const uint8_t *data, size_t size, const tim3_shape_t *shape, void *object,
                       tim3_arena_t *arena, tim3_fault_t *fault);

/*  The general way alone, which takes fields in any order: the others come to the same, and try first whether the
    straight one does. For tests.  */
int tim3_decode_generally (const uint8_t *data, size_t size, const tim3_shape_t *shape, void *object,
                           tim3_arena_t *arena, tim3_fault_t *fault, bool map);

/*  Name of an enumerated value, "?" when unknown; number of a name, 0 when unknown.  */
const char *tim3_value_name (const tim3_value_t *values, unsigned number);
unsigned tim3_value_parse (const tim3_value_t *values, const char *name);

TIM3_C_END

#endif
