/*  run.c - runs: consecutive events of one source, as bytes.  */
#include "wire/run.h"
#include "wire/writer.h"
#include "base/log.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

/*  This head and that of a run are of a fixed form, so that what follows can be written before its size is known.  */
#define BODY_HEAD 2

_Static_assert(TIM3_BODY_MAX <= UINT8_MAX, "a body's head has one byte for its size");

/*  ------------------------------------------------------------------------------------------- writing  */

void tim3_run_begin (tim3_buffer_t *self)
{
    tim3_buffer_clear (self);
    tim3_buffer_filled (self, tim3_buffer_room (self, TIM3_RUN_HEAD) + TIM3_RUN_HEAD);
}

void tim3_run_add (tim3_buffer_t *self, tim3_type_t type, uint64_t time_us, const void *body)
{
    uint8_t *at = tim3_put_array (tim3_buffer_room (self, 3 * TIM3_PUT_MOST + BODY_HEAD), 3);
    at = tim3_put_u64 (tim3_put_u64 (at, type), time_us);
    tim3_buffer_filled (self, at + BODY_HEAD);
    size_t start = self->size;
    tim3_encode_array (self, tim3_message (type)->shape, body);
    size_t size = self->size - start;
    TIM3_ASSERT (size <= TIM3_BODY_MAX);
    self->data[start - 2] = 0xc4;
    self->data[start - 1] = (uint8_t) size;
}

void tim3_run_append (tim3_buffer_t *self, const uint8_t *events, size_t size)
{
    tim3_buffer_append (self, events, size);
}

void tim3_run_head (uint8_t *at, size_t size)
{
    uint8_t head[TIM3_PUT_MOST];
    tim3_put_tagged (head, 0xc6, 4, size);
    memcpy (at, head, TIM3_RUN_HEAD);
}

tim3_raw_t tim3_run_end (tim3_buffer_t *self)
{
    TIM3_ASSERT (self->size >= TIM3_RUN_HEAD && self->size <= TIM3_RUN_BYTES_MAX);
    tim3_run_head (self->data, self->size - TIM3_RUN_HEAD);
    return (tim3_raw_t){self->data, (uint32_t) self->size};
}

/*  ------------------------------------------------------------------------------------------- reading  */

bool tim3_run_open (const tim3_raw_t *events, tim3_reader_t *reader)
{
    tim3_reader_t outer = {events->data, events->data + events->size};
    const uint8_t *data;
    uint32_t size;
    *reader = outer;
    if (!tim3_read_bin (&outer, &data, &size) || tim3_read_left (&outer) > 0)
        return false;
    *reader = (tim3_reader_t){data, data + size};
    return true;
}

/*  What stands in front of nearly every body: an array of three, a type of one byte, a time of eight, and less than 256 bytes.  */
#define USUAL_HEAD 14

static bool is_usual (const uint8_t *at)
{
    return at[0] == 0x93 && at[1] == 0xcc && at[3] == 0xcf && at[12] == 0xc4;
}

static bool next_usual (tim3_reader_t *reader, tim3_event_t *event)
{
    const uint8_t *at = reader->at;
    uint64_t time_us;
    memcpy (&time_us, at + 4, sizeof time_us);
    event->type = at[2];
    event->time_us = be64toh (time_us);
    event->body = (tim3_raw_t){at + USUAL_HEAD, at[13]};
    if (tim3_read_left (reader) < USUAL_HEAD + (size_t) at[13])
        return false;
    reader->at += USUAL_HEAD + at[13];
    return true;
}

bool tim3_run_next (tim3_reader_t *reader, tim3_event_t *event)
{
    uint32_t count;
    event->start = reader->at;
    if (tim3_read_left (reader) >= USUAL_HEAD && is_usual (reader->at))
        return next_usual (reader, event);
    return tim3_read_array (reader, &count) && count == 3 && tim3_read_u64 (reader, &event->type) &&
           tim3_read_u64 (reader, &event->time_us) &&
           tim3_read_bin (reader, &event->body.data, &event->body.size);
}

bool tim3_event_read (uint64_t type, const tim3_raw_t *fields, void *body)
{
    const tim3_message_t *message = tim3_message (type);
    tim3_arena_t none = {0};
    tim3_fault_t fault;
    return message && message->of_class == TIM3_CLASS_EVENT && fields->size <= TIM3_BODY_MAX &&
           tim3_decode_array (fields->data, fields->size, message->shape, body, &none, &fault) == 0;
}

void tim3_run_walk (tim3_run_walk_t *self, const tim3_run_t *run)
{
    tim3_address_t address;
    *self = (tim3_run_walk_t){.run = *run};
    if (tim3_address_parse (run->source, &address))
        strcpy (self->asset, address.asset);
    if (!tim3_run_open (&run->events, &self->reader))
        self->run.count = 0;
}

bool tim3_run_step (tim3_run_walk_t *self, tim3_event_item_t *item)
{
    tim3_event_t event;
    if (self->passed >= self->run.count || !tim3_run_next (&self->reader, &event))
        return false;
    *item = (tim3_event_item_t){.seq = self->run.seq + self->passed,
                                .type = event.type,
                                .time_us = event.time_us,
                                .store = self->run.store,
                                .body = event.body};
    if (self->run.offset > 0)
        item->offset = self->run.offset + self->passed;
    memcpy (item->source, self->run.source, sizeof item->source);
    tim3_topic (event.type, self->asset, item->topic);
    self->passed++;
    return true;
}

bool tim3_run_whole (const tim3_run_walk_t *self)
{
    return self->run.events.size > 0 && self->passed == self->run.count &&
           tim3_read_left (&self->reader) == 0;
}

void tim3_events_walk (tim3_events_walk_t *self, const tim3_events_t *events)
{
    *self = (tim3_events_walk_t){.events = events};
}

static bool next_of_all (tim3_events_walk_t *self, tim3_event_item_t *item)
{
    const tim3_run_t *runs = self->events->items.items;
    while (!tim3_run_step (&self->walk, item)) {
        if (self->runs == self->events->items.count)
            return false;
        tim3_run_walk (&self->walk, &runs[self->runs++]);
    }
    return true;
}

bool tim3_events_step (tim3_events_walk_t *self, tim3_event_item_t *item)
{
    bool there = next_of_all (self, item);
    while (there && item->offset < self->events->from)
        there = next_of_all (self, item);
    return there;
}

void tim3_topic (uint64_t type, const char *asset, char topic[TIM3_TOPIC_MAX + 1])
{
    const tim3_message_t *message = tim3_message (type);
    topic[0] = '\0';
    if (message && message->of_class == TIM3_CLASS_EVENT)
        snprintf (topic, TIM3_TOPIC_MAX + 1, "%s.%s", message->name, asset);
}
