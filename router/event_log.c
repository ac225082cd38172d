/*  event_log.c - the one ordered log of all events, kept in the store.  */
#include "event_log.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

void tim3_event_log_start (tim3_event_log_t *self, tim3_store_t *store)
{
    tim3_key_t key = tim3_key_u64 (UINT64_MAX);
    tim3_event_item_t last;
    memset (self, 0, sizeof *self);
    self->scratch = tim3_alloc (tim3_body_size_max ());
    self->tail = tim3_alloc (TIM3_STRETCH_EVENTS_MAX * sizeof *self->tail);
    bool any = tim3_store_seek (store, TIM3_TABLE_LOG, TIM3_SEEK_LE, &key, &last);
    self->end = any ? tim3_key_read_u64 (&key, 0) + 1 : 1;
}

void tim3_event_log_clear (tim3_event_log_t *self)
{
    free (self->scratch);
    free (self->tail);
    self->scratch = NULL;
    self->tail = NULL;
}

void tim3_event_log_forget (tim3_event_log_t *self)
{
    self->tail_count = 0;
}

/*  ---------------------------------------------------------------------------------------- appending  */

/*  The body is decoded once here, so that no subscriber ever meets one that it cannot read.  */
static tim3_result_t check_item (tim3_event_log_t *self, const tim3_event_item_t *item,
                                 const tim3_address_t *source, tim3_arena_t *arena)
{
    const tim3_message_t *message = tim3_message (item->type);
    tim3_fault_t fault;
    if (!message || message->class != TIM3_CLASS_EVENT || !(message->from & 1u << source->role))
        return TIM3_NOT_ALLOWED;
    if (item->seq == 0)
        return TIM3_INVALID_FIELD;
    if (tim3_decode_map (item->body.data, item->body.size, message->shape, self->scratch, arena, &fault))
        return TIM3_INVALID_FIELD;
    return TIM3_OK;
}

tim3_result_t tim3_event_log_check (tim3_event_log_t *self, const tim3_publish_t *publish,
                                    const tim3_address_t *source, tim3_arena_t *arena)
{
    const tim3_event_item_t *items = publish->items.items;
    for (uint32_t i = 0; i < publish->items.count; i++) {
        tim3_result_t code = check_item (self, &items[i], source, arena);
        if (code)
            return code;
    }
    return TIM3_OK;
}

static void write_topic (const tim3_event_item_t *item, const char *asset, char topic[64 + 1])
{
    const char *name = tim3_message (item->type)->name;
    size_t name_size = strlen (name);
    TIM3_ASSERT (name_size + 1 + strlen (asset) <= 64);
    memcpy (topic, name, name_size);
    topic[name_size] = '.';
    strcpy (topic + name_size + 1, asset);
}

static void append_one (tim3_event_log_t *self, tim3_store_t *store, const tim3_publish_t *publish,
                        const tim3_event_item_t *item, const char *asset)
{
    tim3_key_t key = tim3_key_u64 (self->end);
    if (self->tail_count == TIM3_STRETCH_EVENTS_MAX)
        self->tail_count = 0;
    tim3_event_item_t *event = &self->tail[self->tail_count++];
    *event = *item;
    event->offset = self->end;
    memcpy (event->source, publish->source, sizeof event->source);
    event->store = publish->store;
    write_topic (item, asset, event->topic);
    tim3_store_write (store, TIM3_TABLE_LOG, &key, event);
    self->end++;
    self->appended++;
}

uint64_t tim3_event_log_append (tim3_event_log_t *self, tim3_store_t *store, const tim3_publish_t *publish,
                                const tim3_address_t *source)
{
    const tim3_event_item_t *items = publish->items.items;
    tim3_key_t key = tim3_key_text (publish->source);
    tim3_log_source_t last;
    uint64_t end_before = self->end;

    tim3_event_log_forget (self);
    tim3_key_add_id (&key, &publish->store);
    /* what another log has had was before this one's time; what none has had must still come */
    if (!tim3_store_read (store, TIM3_TABLE_LOG_SOURCE, &key, &last))
        last.seq = publish->acked;
    for (uint32_t i = 0; i < publish->items.count; i++) {
        if (items[i].seq <= last.seq) {
            self->duplicates++;
            continue;
        }
        if (items[i].seq - last.seq > 1) {
            self->gaps++;
            break;
        }
        append_one (self, store, publish, &items[i], source->asset);
        last.seq = items[i].seq;
    }
    if (self->end != end_before)
        tim3_store_write (store, TIM3_TABLE_LOG_SOURCE, &key, &last);
    return last.seq;
}

/*  ------------------------------------------------------------------------------------------ reading  */

/*  Most readers keep up, and so find here what is next.  */
static bool read_tail (const tim3_event_log_t *self, uint64_t offset, tim3_event_item_t *item)
{
    if (offset >= self->end || self->end - offset > self->tail_count)
        return false;
    *item = self->tail[self->tail_count - (self->end - offset)];
    return true;
}

/*  The event at an offset, or the next one behind it.  */
static bool read_event (const tim3_event_log_t *self, tim3_store_t *store, uint64_t offset,
                        tim3_event_item_t *item)
{
    tim3_key_t key = tim3_key_u64 (offset);
    return read_tail (self, offset, item) || tim3_store_seek (store, TIM3_TABLE_LOG, TIM3_SEEK_GE, &key, item);
}

void tim3_event_log_read (const tim3_event_log_t *self, tim3_store_t *store, uint64_t from, const char *topic,
                          uint64_t most, tim3_stretch_t *stretch)
{
    size_t topic_size = strlen (topic);
    size_t bytes = 0;

    if (most > TIM3_STRETCH_EVENTS_MAX)
        most = TIM3_STRETCH_EVENTS_MAX;
    stretch->count = 0;
    stretch->next = from;
    for (unsigned scanned = 0; scanned < TIM3_STRETCH_SCAN_MAX && stretch->next < self->end; scanned++) {
        tim3_event_item_t *item = &stretch->items[stretch->count];
        if (stretch->count == most || bytes >= TIM3_STRETCH_BYTES_MAX)
            return;
        if (!read_event (self, store, stretch->next, item))
            return;
        stretch->next = item->offset + 1;
        if (strncmp (item->topic, topic, topic_size) != 0)
            continue;
        bytes += item->body.size;
        stretch->count++;
    }
}
