/*  messages.c - shapes, their codec and look-ups, derived from the table in messages.h.  */
#include "wire/messages.h"
#include "wire/fields.h"

#include <string.h>

#define VALUE(PREFIX, number, NAME, name) {number, name},
#define ENUMERATION(name, PREFIX) \
    const tim3_value_t tim3_##name##_values[] = {TIM3_VALUES_##name (VALUE, PREFIX){0, NULL}};
TIM3_ENUMERATIONS (ENUMERATION)

/*  The TYPE of a field names a record for lists and an enumeration for enums.  */
#define RECORD_U64(type) NULL
#define RECORD_BOOL(type) NULL
#define RECORD_AMOUNT(type) NULL
#define RECORD_ID(type) NULL
#define RECORD_MAC(type) NULL
#define RECORD_STR(type) NULL
#define RECORD_ENUM(type) NULL
#define RECORD_LIST(type) &tim3_shape_##type
#define RECORD_RAW(type) NULL
#define VALUES_U64(type) NULL
#define VALUES_BOOL(type) NULL
#define VALUES_AMOUNT(type) NULL
#define VALUES_ID(type) NULL
#define VALUES_MAC(type) NULL
#define VALUES_STR(type) NULL
#define VALUES_ENUM(type) tim3_##type##_values
#define VALUES_LIST(type) NULL
#define VALUES_RAW(type) NULL
#define NEED_REQUIRED true
#define NEED_OPTIONAL false
#define NEED_RARE false
#define RARE_REQUIRED 0
#define RARE_OPTIONAL 0
#define RARE_RARE 1

#define FIELD(S, KIND, member, need, bound, type, text)                             \
    {#member,     TIM3_KIND_##KIND,     NEED_##need,                                \
     RARE_##need, sizeof #member - 1,   (uint16_t) offsetof (tim3_##S##_t, member), \
     bound,       RECORD_##KIND (type), VALUES_##KIND (type),                       \
     text},

/*  A bit for each number of an enumeration.  */
#define BIT(PREFIX, number, NAME, name) | 1 << number
#define BITS(name, PREFIX) enum { BITS_##name = 0 TIM3_VALUES_##name (BIT, PREFIX) };
TIM3_ENUMERATIONS (BITS)
#define X(NAME, name, text) | 1 << TIM3_ROLE_##NAME
enum { BITS_role = 0 TIM3_ROLES (X) };
#undef X
#define BITS_U64(type) 0
#define BITS_BOOL(type) 0
#define BITS_AMOUNT(type) 0
#define BITS_ID(type) 0
#define BITS_MAC(type) 0
#define BITS_STR(type) 0
#define BITS_ENUM(type) BITS_##type
#define BITS_LIST(type) 0
#define BITS_RAW(type) 0

/*  The codec of a shape, field by field. Fields that are required come in every map; others may be left out, and those that
    are rare are when they are empty.  */
#define HOW(KIND, need, bound, type)                                                   \
    (tim3_how_t)                                                                       \
    {                                                                                  \
        TIM3_KIND_##KIND, NEED_##need, bound, RECORD_##KIND (type), BITS_##KIND (type) \
    }
#define ROOM(S, KIND, member, need, bound, type, text) +sizeof #member + TIM3_ROOM_##KIND (bound)
#define COUNT(S, KIND, member, need, bound, type, text) +1
#define PLACE(S, member) (object + offsetof (tim3_##S##_t, member))
#define IS_LEFT_OUT(S, KIND, member, need) \
    (RARE_##need && tim3_field_is_empty (TIM3_KIND_##KIND, PLACE (S, member)))
#define COUNT_LEFT_OUT(S, KIND, member, need, bound, type, text) -IS_LEFT_OUT (S, KIND, member, need)

#define PUT_NAMED(S, KIND, member, need, bound, type, text)                                             \
    if (!IS_LEFT_OUT (S, KIND, member, need)) {                                                         \
        at = tim3_field_put_name (at, #member, sizeof #member - 1);                                     \
        at = tim3_field_put (buffer, at, HOW (KIND, need, bound, type), PLACE (S, member), room, true); \
    }
#define PUT(S, KIND, member, need, bound, type, text) \
    at = tim3_field_put (buffer, at, HOW (KIND, need, bound, type), PLACE (S, member), room, false);

#define TAKE_NAMED(S, KIND, member, need, bound, type, text)                                              \
    if (tim3_field_has_name (at, end, #member, sizeof #member - 1)) {                                     \
        at = tim3_field_take (at + sizeof #member, end, HOW (KIND, need, bound, type), PLACE (S, member), \
                              arena, true);                                                               \
        count--;                                                                                          \
        if (!at)                                                                                          \
            return NULL;                                                                                  \
    } else if (NEED_##need)                                                                               \
        return NULL;
#define TAKE(S, KIND, member, need, bound, type, text)                                              \
    at = tim3_field_take (at, end, HOW (KIND, need, bound, type), PLACE (S, member), arena, false); \
    if (!at)                                                                                        \
        return NULL;

#define CODEC(S)                                                                                   \
    static void encode_map_##S (tim3_buffer_t *buffer, const uint8_t *object)                      \
    {                                                                                              \
        const size_t room = TIM3_PUT_MOST TIM3_FIELDS_##S (ROOM, S);                               \
        uint8_t *at = tim3_buffer_room (buffer, room);                                             \
        at = tim3_put_map (at, 0u TIM3_FIELDS_##S (COUNT, S) TIM3_FIELDS_##S (COUNT_LEFT_OUT, S)); \
        TIM3_FIELDS_##S (PUT_NAMED, S);                                                            \
        tim3_buffer_filled (buffer, at);                                                           \
    }                                                                                              \
    static void encode_array_##S (tim3_buffer_t *buffer, const uint8_t *object)                    \
    {                                                                                              \
        const size_t room = TIM3_PUT_MOST TIM3_FIELDS_##S (ROOM, S);                               \
        uint8_t *at = tim3_buffer_room (buffer, room);                                             \
        at = tim3_put_array (at, 0u TIM3_FIELDS_##S (COUNT, S));                                   \
        TIM3_FIELDS_##S (PUT, S);                                                                  \
        tim3_buffer_filled (buffer, at);                                                           \
    }                                                                                              \
    static const uint8_t *take_map_##S (const uint8_t *at, const uint8_t *end, uint8_t *object,    \
                                        tim3_arena_t *arena)                                       \
    {                                                                                              \
        uint32_t count;                                                                            \
        (void) arena;                                                                              \
        at = tim3_field_take_head (at, end, true, &count);                                         \
        if (!at)                                                                                   \
            return NULL;                                                                           \
        TIM3_FIELDS_##S (TAKE_NAMED, S);                                                           \
        return count == 0 ? at : NULL;                                                             \
    }                                                                                              \
    static const uint8_t *take_array_##S (const uint8_t *at, const uint8_t *end, uint8_t *object,  \
                                          tim3_arena_t *arena)                                     \
    {                                                                                              \
        uint32_t count;                                                                            \
        (void) arena;                                                                              \
        at = tim3_field_take_head (at, end, false, &count);                                        \
        if (!at || count != 0 TIM3_FIELDS_##S (COUNT, S))                                          \
            return NULL;                                                                           \
        TIM3_FIELDS_##S (TAKE, S);                                                                 \
        return at;                                                                                 \
    }

/*  Lists and raw values lead out of their struct.  */
#define LEADS_U64 0
#define LEADS_BOOL 0
#define LEADS_AMOUNT 0
#define LEADS_ID 0
#define LEADS_MAC 0
#define LEADS_STR 0
#define LEADS_ENUM 0
#define LEADS_LIST 1
#define LEADS_RAW 1
#define COUNT_LEADING(S, KIND, member, need, bound, type, text) +LEADS_##KIND

#define SHAPE(name)                                                                   \
    static const tim3_field_t s_fields_##name[] = {TIM3_FIELDS_##name (FIELD, name)}; \
    const tim3_shape_t tim3_shape_##name = {                                          \
        #name,                                                                        \
        s_fields_##name,                                                              \
        sizeof s_fields_##name / sizeof s_fields_##name[0],                           \
        sizeof (tim3_##name##_t),                                                     \
        (0 TIM3_FIELDS_##name (COUNT_LEADING, name)) == 0,                            \
        {encode_map_##name, encode_array_##name, take_map_##name, take_array_##name}};
TIM3_RECORDS (CODEC)
TIM3_BODIES (CODEC)
TIM3_RECORDS (SHAPE)
TIM3_BODIES (SHAPE)

static void encode_empty_map (tim3_buffer_t *buffer, const uint8_t *object)
{
    (void) object;
    tim3_buffer_filled (buffer, tim3_put_map (tim3_buffer_room (buffer, TIM3_PUT_MOST), 0));
}

static void encode_empty_array (tim3_buffer_t *buffer, const uint8_t *object)
{
    (void) object;
    tim3_buffer_filled (buffer, tim3_put_array (tim3_buffer_room (buffer, TIM3_PUT_MOST), 0));
}

static const uint8_t *take_empty_map (const uint8_t *at, const uint8_t *end, uint8_t *object,
                                      tim3_arena_t *arena)
{
    (void) object, (void) arena;
    return at < end && *at == 0x80 ? at + 1 : NULL;
}

static const uint8_t *take_empty_array (const uint8_t *at, const uint8_t *end, uint8_t *object,
                                        tim3_arena_t *arena)
{
    (void) object, (void) arena;
    return at < end && *at == 0x90 ? at + 1 : NULL;
}

const tim3_shape_t tim3_shape_empty = {
    "empty", NULL, 0, 0, true, {encode_empty_map, encode_empty_array, take_empty_map, take_empty_array}};

const tim3_value_t tim3_role_values[] = {
#define X(NAME, name, text) {TIM3_ROLE_##NAME, name},
    TIM3_ROLES (X)
#undef X
        {0, NULL}};

static const tim3_message_t s_messages[TIM3_NUMBERS_END] = {
#define M(number, NAME, name, text, class, from, to, reply, doc)                                \
    [number] = {number,         TIM3_CLASS_##class, text, &tim3_shape_##name, TIM3_FROM_##from, \
                TIM3_FROM_##to, TIM3_MSG_##reply,   doc},
    TIM3_MESSAGES (M)
#undef M
};

const tim3_message_t *tim3_message (uint64_t type)
{
    return type < TIM3_NUMBERS_END && s_messages[type].name ? &s_messages[type] : NULL;
}

const tim3_message_t *tim3_message_at (unsigned position)
{
    for (unsigned i = 0; i < TIM3_NUMBERS_END; i++)
        if (s_messages[i].name && position-- == 0)
            return &s_messages[i];
    return NULL;
}

const tim3_message_t *tim3_message_by_name (const char *name)
{
    for (unsigned i = 0; i < TIM3_NUMBERS_END; i++)
        if (s_messages[i].name && strcmp (s_messages[i].name, name) == 0)
            return &s_messages[i];
    return NULL;
}

size_t tim3_body_size_max (void)
{
    size_t most = 0;
    for (unsigned i = 0; i < TIM3_NUMBERS_END; i++)
        if (s_messages[i].name && s_messages[i].shape->size > most)
            most = s_messages[i].shape->size;
    return most;
}
