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

static tim3_key_t counter_key (void)
{
    return tim3_key_text ("event_seq");
}

void tim3_publisher_load (tim3_publisher_t *self, tim3_store_t *store)
{
    tim3_key_t key = counter_key ();
    tim3_key_t first = tim3_key_empty ();
    tim3_counter_t counter;
    tim3_event_item_t item;

    *self = (tim3_publisher_t){.scratch = self->scratch};
    tim3_store_read (store, TIM3_TABLE_COUNTER, &key, &counter);
    self->last = counter.value;
    self->acked = self->last;
    if (tim3_store_seek (store, TIM3_TABLE_OUTBOX, TIM3_SEEK_GE, &first, &item))
        self->acked = item.seq - 1;
    self->sent = self->acked;
    self->trimmed = self->acked;
}

void tim3_publisher_free (tim3_publisher_t *self)
{
    tim3_buffer_free (&self->scratch);
}

void tim3_publisher_emit (tim3_publisher_t *self, tim3_store_t *store, tim3_type_t type, uint64_t now_us,
                          const void *body)
{
    tim3_event_item_t item = {.seq = ++self->last, .type = type, .time_us = now_us};
    tim3_counter_t counter = {self->last};
    tim3_key_t key = tim3_key_u64 (item.seq);

    tim3_buffer_clear (&self->scratch);
    tim3_encode_map (&self->scratch, tim3_message (type)->shape, body);
    item.body = (tim3_raw_t){self->scratch.data, (uint32_t) self->scratch.size};
    tim3_store_write (store, TIM3_TABLE_OUTBOX, &key, &item);
    key = counter_key ();
    tim3_store_write (store, TIM3_TABLE_COUNTER, &key, &counter);
}

/*  Reads up to most events behind sent, of which none is missing. Their bodies point into the store.  */
static uint32_t collect (tim3_publisher_t *self, tim3_store_t *store, tim3_event_item_t *items, uint32_t most)
{
    uint32_t count = 0;
    while (count < most && self->sent + count < self->last) {
        tim3_key_t key = tim3_key_u64 (self->sent + count + 1);
        if (!tim3_store_read (store, TIM3_TABLE_OUTBOX, &key, &items[count]) || tim3_store_error (store))
            break;
        count++;
    }
    return count;
}

void tim3_publisher_send (tim3_publisher_t *self, tim3_env_t *env, const char *source, tim3_id_t store_id)
{
    static const char router[] = "router.-.0";
    tim3_event_item_t items[PER_MESSAGE];
    tim3_publish_t publish = {.store = store_id};

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
