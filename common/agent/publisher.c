/*  publisher.c - events on their way from an agent's store to the bus.  */
#include "agent/publisher.h"
#include "base/canary.h"
#include "base/log.h"

#include <string.h>

#define WINDOW 8192 /* most events sent and not acknowledged */
#define PER_MESSAGE 256
#define RESEND_US 500000 /* without any word from the bus */
#define TRIM_US 500000   /* an idle agent deletes acknowledged events this often */
#define TRIM_MOST 4096
#define RECENT_MOST WINDOW

/*  An entry of recent; the last one is of the newest event.  */
typedef struct {
    uint64_t type;
    uint64_t time_us;
    size_t at; /* where its body begins in bodies */
    uint32_t size;
} recent_t;

static tim3_key_t counter_key (void)
{
    return tim3_key_text ("event_seq");
}

static void forget_recent (tim3_publisher_t *self)
{
    tim3_buffer_clear (&self->recent);
    tim3_buffer_clear (&self->bodies);
}

void tim3_publisher_load (tim3_publisher_t *self, tim3_store_t *store)
{
    tim3_key_t key = counter_key ();
    tim3_key_t first = tim3_key_empty ();
    tim3_counter_t counter;
    tim3_event_item_t item;

    *self = (tim3_publisher_t){.recent = self->recent, .bodies = self->bodies};
    forget_recent (self);
    tim3_store_read (store, TIM3_TABLE_COUNTER, &key, &counter);
    self->last = counter.value;
    self->counted = self->last;
    self->acked = self->last;
    if (tim3_store_seek (store, TIM3_TABLE_OUTBOX, TIM3_SEEK_GE, &first, &item))
        self->acked = item.seq - 1;
    self->sent = self->acked;
    self->trimmed = self->acked;
}

void tim3_publisher_free (tim3_publisher_t *self)
{
    tim3_buffer_free (&self->recent);
    tim3_buffer_free (&self->bodies);
}

void tim3_publisher_emit (tim3_publisher_t *self, tim3_store_t *store, tim3_type_t type, uint64_t now_us,
                          const void *body)
{
    tim3_event_item_t item = {.seq = ++self->last, .type = type, .time_us = now_us};
    tim3_key_t key = tim3_key_u64 (item.seq);

    if (self->recent.size == RECENT_MOST * sizeof (recent_t))
        forget_recent (self);
    recent_t entry = {.type = type, .time_us = now_us, .at = self->bodies.size};
    tim3_encode_map (&self->bodies, tim3_message (type)->shape, body);
    entry.size = (uint32_t) (self->bodies.size - entry.at);
    tim3_buffer_append (&self->recent, &entry, sizeof entry);
    item.body = (tim3_raw_t){self->bodies.data + entry.at, entry.size};
    tim3_store_write (store, TIM3_TABLE_OUTBOX, &key, &item);
}

void tim3_publisher_end_batch (tim3_publisher_t *self, tim3_store_t *store)
{
    tim3_counter_t counter = {self->last};
    tim3_key_t key = counter_key ();
    if (self->counted == self->last)
        return;
    tim3_store_write (store, TIM3_TABLE_COUNTER, &key, &counter);
    self->counted = self->last;
}

/*  Number of the oldest event that recent has; one more than the newest when it has none.  */
static uint64_t first_recent (const tim3_publisher_t *self)
{
    return self->last + 1 - self->recent.size / sizeof (recent_t);
}

static void read_recent (const tim3_publisher_t *self, uint64_t seq, tim3_event_item_t *item)
{
    recent_t entry;
    memcpy (&entry, self->recent.data + (seq - first_recent (self)) * sizeof entry, sizeof entry);
    *item = (tim3_event_item_t){.seq = seq, .type = entry.type, .time_us = entry.time_us};
    item->body = (tim3_raw_t){self->bodies.data + entry.at, entry.size};
}

/*  Reads up to most events behind sent, of which none is missing. Their bodies point into the store, or to what is kept of it here.  */
static uint32_t collect (tim3_publisher_t *self, tim3_store_t *store, tim3_event_item_t *items, uint32_t most)
{
    uint32_t count = 0;
    uint64_t recent = first_recent (self);
    uint64_t next = self->sent + 1;
    for (; count < most && next < recent; count++, next++) {
        tim3_key_t key = tim3_key_u64 (next);
        if (!tim3_store_read (store, TIM3_TABLE_OUTBOX, &key, &items[count]) || tim3_store_error (store))
            return count;
    }
    for (; count < most && next <= self->last; count++, next++)
        read_recent (self, next, &items[count]);
    return count;
}

/*  While the bus has not answered, few events wait for more: it takes many at once for little more than one, and nobody
    who asked for anything waits for it.  */
static bool can_wait (const tim3_publisher_t *self)
{
    return self->sent != self->acked && self->last - self->sent < PER_MESSAGE;
}

void tim3_publisher_send (tim3_publisher_t *self, tim3_env_t *env, const char *source, tim3_id_t store_id)
{
    static const char router[] = "router.-.0";
    tim3_event_item_t items[PER_MESSAGE];
    tim3_publish_t publish = {.store = store_id};

    if (can_wait (self))
        return;
    strcpy (publish.source, source);
    while (self->sent < self->last && self->sent - self->acked < WINDOW) {
        uint32_t count = collect (self, tim3_env_store (env), items, PER_MESSAGE);
        if (count == 0)
            return;
        publish.items = (tim3_list_t){items, count};
        publish.acked = self->acked;
        if (self->sent == self->acked)
            self->asked_us = tim3_env_now (env);
        self->sent = items[count - 1].seq;
        tim3_env_send (env, router, TIM3_MSG_PUBLISH, &publish);
    }
    forget_recent (self);
}

void tim3_publisher_acked (tim3_publisher_t *self, const tim3_published_t *published, uint64_t now_us)
{
    if (published->seq < self->trimmed)
        self->lost = self->trimmed - published->seq;
    if (published->seq <= self->acked || published->seq > self->last)
        return;
    self->acked = published->seq;
    self->asked_us = now_us;
    if (self->sent < self->acked)
        self->sent = self->acked;
}

void tim3_publisher_tick (tim3_publisher_t *self, uint64_t now_us, uint64_t *resent)
{
    if (self->sent == self->acked || now_us - self->asked_us < RESEND_US)
        return;
    self->sent = self->acked;
    self->asked_us = now_us;
    (*resent)++;
}

void tim3_publisher_trim (tim3_publisher_t *self, tim3_store_t *store, uint64_t now_us)
{
    if (self->trimmed == self->acked || tim3_store_error (store))
        return;
    if (!tim3_store_dirty (store) && now_us - self->trimmed_us < TRIM_US)
        return;
    self->trimmed_us = now_us;
    uint64_t last = TIM3_CANARY_IS (16) ? self->sent : self->acked;
    for (int i = 0; i < TRIM_MOST && self->trimmed < last; i++) {
        tim3_key_t key = tim3_key_u64 (++self->trimmed);
        tim3_store_delete (store, TIM3_TABLE_OUTBOX, &key);
    }
}
