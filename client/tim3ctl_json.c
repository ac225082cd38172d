/*  tim3ctl_json.c - structs as JSON, by their shapes.  */
#include "tim3ctl_print.h"
#include "base/log.h"
#include "wire/run.h"

#include <stdlib.h>
#include <string.h>

json_t *tim3ctl_json_amount (tim3_amount_t amount)
{
    char text[TIM3_AMOUNT_TEXT_MAX];
    return json_string (tim3_amount_format_units (amount, text));
}

/*  JSON's integers are signed here: what does not fit is written as text rather than wrongly.  */
static json_t *json_u64 (uint64_t number)
{
    if (number <= INT64_MAX)
        return json_integer ((json_int_t) number);
    return tim3ctl_json_amount (number);
}

static json_t *json_hex (const uint8_t *data, size_t size)
{
    char text[2 * sizeof (tim3_mac_t) + 1];
    return json_string (tim3_hex_format (data, size, text));
}

static json_t *json_list (const tim3_field_t *field, const tim3_list_t *list)
{
    json_t *array = json_array ();
    const uint8_t *item = list->items;
    for (uint32_t i = 0; i < list->count; i++, item += field->record->size)
        json_array_append_new (array, tim3ctl_json (field->record, item));
    return array;
}

static json_t *json_amount_at (const uint8_t *member)
{
    tim3_amount_t amount;
    memcpy (&amount, member, sizeof amount);
    return tim3ctl_json_amount (amount);
}

static json_t *json_field (const tim3_field_t *field, const uint8_t *member)
{
    const void *value = member;
    switch (field->kind) {
    case TIM3_KIND_U64:
        return json_u64 (*(const uint64_t *) value);
    case TIM3_KIND_BOOL:
        return json_boolean (*(const bool *) value);
    case TIM3_KIND_AMOUNT:
        return json_amount_at (member);
    case TIM3_KIND_ID:
        return json_hex (member, sizeof (tim3_id_t));
    case TIM3_KIND_MAC:
        return json_hex (member, sizeof (tim3_mac_t));
    case TIM3_KIND_STR:
        return json_string (value);
    case TIM3_KIND_ENUM:
        return *member ? json_string (tim3_value_name (field->values, *member)) : json_null ();
    case TIM3_KIND_LIST:
        return json_list (field, value);
    case TIM3_KIND_RAW:
        break;
    }
    return json_null ();
}

/*  The body of an event is a message of its own; the event says which.  */
static json_t *event_body (const tim3_event_item_t *event)
{
    const tim3_message_t *message = tim3_message (event->type);
    json_t *body = NULL;
    if (!message || message->of_class != TIM3_CLASS_EVENT)
        return json_null ();
    void *object = tim3_alloc (message->shape->size);
    if (tim3_event_read (event->type, &event->body, object))
        body = tim3ctl_json (message->shape, object);
    free (object);
    return body ? body : json_null ();
}

static json_t *run_events (const tim3_run_t *run)
{
    json_t *events = json_array ();
    tim3_run_walk_t walk;
    tim3_event_item_t item;
    tim3_run_walk (&walk, run);
    while (tim3_run_step (&walk, &item))
        json_array_append_new (events, tim3ctl_json (&tim3_shape_event_item, &item));
    return events;
}

json_t *tim3ctl_json (const tim3_shape_t *shape, const void *object)
{
    json_t *result = json_object ();
    for (unsigned i = 0; i < shape->count; i++) {
        const tim3_field_t *field = &shape->fields[i];
        const uint8_t *member = (const uint8_t *) object + field->offset;
        /* a text that is not UTF-8 gives none; the key stays */
        json_t *value = json_field (field, member);
        json_object_set_new (result, field->name, value ? value : json_null ());
    }
    if (shape == &tim3_shape_event_item)
        json_object_set_new (result, "body", event_body (object));
    if (shape == &tim3_shape_run)
        json_object_set_new (result, "events", run_events (object));
    return result;
}

/*  Numbers with a fraction are measured ones, never amounts: nine digits are more than is known of them.  */
static void print_json (json_t *value, size_t flags)
{
    json_dumpf (value, stdout, flags | JSON_REAL_PRECISION (9));
    putchar ('\n');
    json_decref (value);
}

void tim3ctl_json_print (json_t *value)
{
    print_json (value, JSON_INDENT (2));
}

void tim3ctl_json_print_line (json_t *value)
{
    print_json (value, JSON_COMPACT);
}
