/*  event_log.c - the one ordered log of all events, kept in the store.  */
#include "event_log.h"
#include "base/log.h"
#include "wire/run.h"

#include <stdlib.h>
#include <string.h>

void tim3_event_log_start (tim3_event_log_t *self, tim3_store_t *store)
{
    tim3_key_t key = tim3_key_u64 (UINT64_MAX);
    tim3_run_t last;
    memset (self, 0, sizeof *self);
    self->scratch = tim3_alloc (tim3_body_size_max ());
    bool any = tim3_store_seek (store, TIM3_TABLE_LOG, TIM3_SEEK_LE, &key, &last);
    self->end = any ? tim3_key_read_u64 (&key, 0) + last.count : 1;
}

void tim3_event_log_clear (tim3_event_log_t *self)
{
    free (self->scratch);
    self->scratch = NULL;
    tim3_buffer_free (&self->run);
}

/*  ---------------------------------------------------------------------------------------- appending  */

/*  The body is decoded once here, so that no subscriber ever meets one that it cannot read.  */
static tim3_result_t check_event (tim3_event_log_t *self, const tim3_event_t *event,
                                  const tim3_address_t *source)
{
    const tim3_message_t *message = tim3_message (event->type);
    if (!message || message->of_class != TIM3_CLASS_EVENT || !(message->from & 1u << source->role))
        return TIM3_NOT_ALLOWED;
    return tim3_event_read (event->type, &event->body, self->scratch) ? TIM3_OK : TIM3_INVALID_FIELD;
}

tim3_result_t tim3_event_log_check (tim3_event_log_t *self, const tim3_publish_t *publish,
                                    const tim3_address_t *source)
{
    tim3_reader_t reader;
    tim3_event_t event;
    if (publish->seq == 0 || publish->seq > UINT64_MAX - publish->count ||
        !tim3_run_open (&publish->events, &reader))
        return TIM3_INVALID_FIELD;
    for (uint64_t i = 0; i < publish->count; i++) {
        if (!tim3_run_next (&reader, &event))
            return TIM3_INVALID_FIELD;
        tim3_result_t code = check_event (self, &event, source);
        if (code)
            return code;
    }
    return tim3_read_left (&reader) == 0 ? TIM3_OK : TIM3_INVALID_FIELD;
}

/*  Passes over that many events of a run that was checked, and returns where the next one begins.  */
static const uint8_t *pass_events (tim3_reader_t *reader, uint64_t count)
{
    tim3_event_t event;
    for (uint64_t i = 0; i < count; i++)
        TIM3_ASSERT (tim3_run_next (reader, &event));
    return reader->at;
}

/*  The events of a publication but for the first ones, in a buffer of our own.  */
static tim3_raw_t without_first (tim3_event_log_t *self, const tim3_publish_t *publish, uint64_t known)
{
    tim3_reader_t reader;
    TIM3_ASSERT (tim3_run_open (&publish->events, &reader));
    pass_events (&reader, known);
    tim3_run_begin (&self->run);
    tim3_run_append (&self->run, reader.at, tim3_read_left (&reader));
    return tim3_run_end (&self->run);
}

static void append_run (tim3_event_log_t *self, tim3_store_t *store, const tim3_publish_t *publish,
                        uint64_t known)
{
    tim3_key_t key = tim3_key_u64 (self->end);
    tim3_run_t run = {.offset = self->end,
                      .store = publish->store,
                      .seq = publish->seq + known,
                      .count = publish->count - known};
    memcpy (run.source, publish->source, sizeof run.source);
    run.events = known > 0 ? without_first (self, publish, known) : publish->events;
    tim3_store_write (store, TIM3_TABLE_LOG, &key, &run);
    self->end += run.count;
    self->appended += run.count;
}

uint64_t tim3_event_log_append (tim3_event_log_t *self, tim3_store_t *store, const tim3_publish_t *publish)
{
    tim3_key_t key = tim3_key_text (publish->source);
    tim3_log_source_t last;

    tim3_key_add_id (&key, &publish->store);
    /* what another log has had was before this one's time; what none has had must still come */
    if (!tim3_store_read (store, TIM3_TABLE_LOG_SOURCE, &key, &last))
        last.seq = publish->acked;
    if (publish->seq > last.seq && publish->seq - last.seq > 1) {
        self->gaps++;
        return last.seq;
    }
    uint64_t known = last.seq + 1 - publish->seq;
    if (known >= publish->count) {
        self->duplicates += publish->count;
        return last.seq;
    }
    self->duplicates += known;
    append_run (self, store, publish, known);
    last.seq = publish->seq + publish->count - 1;
    tim3_store_write (store, TIM3_TABLE_LOG_SOURCE, &key, &last);
    return last.seq;
}

/*  ------------------------------------------------------------------------------------------ reading  */

/*  What a reader wants of a row.  */
typedef struct {
    const char *topic; /* what its topics begin with */
    size_t size;
    tim3_address_t source; /* of the row */
    uint64_t type;         /* of the event looked at last, and whether it is wanted */
    bool wanted;
} filter_t;

static void begin_filter (filter_t *filter, const tim3_run_t *row)
{
    if (!tim3_address_parse (row->source, &filter->source))
        filter->source.asset[0] = '\0';
    filter->type = 0;
    filter->wanted = false;
}

static bool is_wanted (filter_t *filter, uint64_t type)
{
    char topic[TIM3_TOPIC_MAX + 1];
    if (type == filter->type)
        return filter->wanted;
    tim3_topic (type, filter->source.asset, topic);
    filter->type = type;
    filter->wanted = strncmp (topic, filter->topic, filter->size) == 0;
    return filter->wanted;
}

/*  The row that holds an offset.  */
static bool read_row (tim3_store_t *store, uint64_t offset, tim3_run_t *row)
{
    tim3_key_t key = tim3_key_u64 (offset);
    bool there = tim3_store_read (store, TIM3_TABLE_LOG, &key, row) ||
                 tim3_store_seek (store, TIM3_TABLE_LOG, TIM3_SEEK_LE, &key, row);
    return there && offset >= row->offset && offset - row->offset < row->count;
}

static bool has_room (const tim3_stretch_t *stretch, uint64_t most, const tim3_run_t *row)
{
    return stretch->events + row->count <= most &&
           (stretch->count == 0 || stretch->bytes + row->events.size <= TIM3_STRETCH_BYTES_MAX);
}

static void add_run (tim3_stretch_t *stretch, const tim3_run_t *run)
{
    stretch->runs[stretch->count++] = *run;
    stretch->events += run->count;
    stretch->bytes += run->events.size;
}

/*  One event of a row, behind those that were taken of it before if nothing was left out between them. The part that it belongs to
    has no place yet: the buffer may still move.  */
static void add_event (tim3_stretch_t *stretch, const tim3_run_t *row, uint64_t place, const uint8_t *event,
                       size_t size)
{
    tim3_run_t *run = &stretch->runs[stretch->count > 0 ? stretch->count - 1 : 0];
    if (stretch->count == 0 || run->events.data || run->offset + run->count != row->offset + place) {
        run = &stretch->runs[stretch->count++];
        *run = *row;
        run->offset += place;
        run->seq += place;
        run->count = 0;
        run->events = (tim3_raw_t){NULL, TIM3_RUN_HEAD};
        tim3_buffer_filled (&stretch->parts,
                            tim3_buffer_room (&stretch->parts, TIM3_RUN_HEAD) + TIM3_RUN_HEAD);
    }
    tim3_buffer_append (&stretch->parts, event, size);
    run->events.size += (uint32_t) size;
    run->count++;
    stretch->events++;
    stretch->bytes += size;
}

static void place_parts (tim3_stretch_t *stretch)
{
    uint8_t *at = stretch->parts.data;
    for (unsigned i = 0; i < stretch->count; i++) {
        tim3_run_t *run = &stretch->runs[i];
        if (run->events.data)
            continue;
        tim3_run_head (at, run->events.size - TIM3_RUN_HEAD);
        run->events.data = at;
        at += run->events.size;
    }
}

static bool is_full (const tim3_stretch_t *stretch, uint64_t most)
{
    return stretch->events >= most || stretch->bytes >= TIM3_STRETCH_BYTES_MAX;
}

/*  Reads a row from its event at stretch->next on.  */
static void read_part (const tim3_run_t *row, filter_t *filter, uint64_t most, tim3_stretch_t *stretch)
{
    tim3_reader_t reader;
    tim3_event_t event;
    uint64_t place = stretch->next - row->offset;
    TIM3_ASSERT (tim3_run_open (&row->events, &reader));
    pass_events (&reader, place);
    for (; place < row->count && !is_full (stretch, most); place++) {
        TIM3_ASSERT (tim3_run_next (&reader, &event));
        if (is_wanted (filter, event.type))
            add_event (stretch, row, place, event.start, (size_t) (reader.at - event.start));
    }
    stretch->next = row->offset + place;
}

static void empty_stretch (tim3_stretch_t *stretch, uint64_t from)
{
    stretch->count = 0;
    stretch->events = 0;
    stretch->bytes = 0;
    tim3_buffer_clear (&stretch->parts);
    stretch->next = from;
}

void tim3_event_log_read (const tim3_event_log_t *self, tim3_store_t *store, uint64_t from, const char *topic,
                          uint64_t most, tim3_stretch_t *stretch)
{
    filter_t filter = {.topic = topic, .size = strlen (topic)};
    tim3_run_t row;

    if (most > TIM3_STRETCH_EVENTS_MAX)
        most = TIM3_STRETCH_EVENTS_MAX;
    empty_stretch (stretch, from);
    while (stretch->next < self->end && stretch->next - from < TIM3_STRETCH_SCAN_MAX &&
           !is_full (stretch, most) && read_row (store, stretch->next, &row)) {
        bool whole = filter.size == 0 && stretch->next == row.offset;
        if (whole && has_room (stretch, most, &row)) {
            add_run (stretch, &row);
            stretch->next += row.count;
        } else if (whole && stretch->count > 0) {
            break;
        } else {
            begin_filter (&filter, &row);
            read_part (&row, &filter, most, stretch);
        }
    }
    place_parts (stretch);
}
