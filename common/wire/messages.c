/*  messages.c - shapes and look-ups, derived from the table in messages.h.  */
#include "wire/messages.h"

#include <string.h>

#define V(number, NAME, name) {number, name},
#define ENUMERATION(name, PREFIX) \
    const tim3_value_t tim3_##name##_values[] = {TIM3_VALUES_##name (V){0, NULL}};
TIM3_ENUMERATIONS (ENUMERATION)
#undef V

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
#define COUNT_RARE(S, KIND, member, need, bound, type, text) +RARE_##need

#define FIELD(S, KIND, member, need, bound, type, text)                             \
    {#member,     TIM3_KIND_##KIND,     NEED_##need,                                \
     RARE_##need, sizeof #member - 1,   (uint16_t) offsetof (tim3_##S##_t, member), \
     bound,       RECORD_##KIND (type), VALUES_##KIND (type),                       \
     text},

#define SHAPE(name)                                                                   \
    static const tim3_field_t s_fields_##name[] = {TIM3_FIELDS_##name (FIELD, name)}; \
    const tim3_shape_t tim3_shape_##name = {                                          \
        #name, s_fields_##name, sizeof s_fields_##name / sizeof s_fields_##name[0],   \
        sizeof (tim3_##name##_t), 0 TIM3_FIELDS_##name (COUNT_RARE, name)};
TIM3_RECORDS (SHAPE)
TIM3_BODIES (SHAPE)

const tim3_shape_t tim3_shape_empty = {"empty", NULL, 0, 0, 0};

const tim3_value_t tim3_role_values[] = {
#define X(NAME, name, text) {TIM3_ROLE_##NAME, name},
    TIM3_ROLES (X)
#undef X
        {0, NULL}};

#define NUMBERS 256

static const tim3_message_t s_messages[NUMBERS] = {
#define M(number, NAME, name, text, class, from, to, reply, doc)                                \
    [number] = {number,         TIM3_CLASS_##class, text, &tim3_shape_##name, TIM3_FROM_##from, \
                TIM3_FROM_##to, TIM3_MSG_##reply,   doc},
    TIM3_MESSAGES (M)
#undef M
};

const tim3_message_t *tim3_message (uint64_t type)
{
    return type < NUMBERS && s_messages[type].name ? &s_messages[type] : NULL;
}

const tim3_message_t *tim3_message_at (unsigned position)
{
    for (unsigned i = 0; i < NUMBERS; i++)
        if (s_messages[i].name && position-- == 0)
            return &s_messages[i];
    return NULL;
}

const tim3_message_t *tim3_message_by_name (const char *name)
{
    for (unsigned i = 0; i < NUMBERS; i++)
        if (s_messages[i].name && strcmp (s_messages[i].name, name) == 0)
            return &s_messages[i];
    return NULL;
}

size_t tim3_body_size_max (void)
{
    size_t most = 0;
    for (unsigned i = 0; i < NUMBERS; i++)
        if (s_messages[i].name && s_messages[i].shape->size > most)
            most = s_messages[i].shape->size;
    return most;
}
