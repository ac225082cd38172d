/*  publisher.c - events on their way from an agent's store to the bus.  */
#include "agent/publisher.h"
#include "base/canary.h"
#include "base/log.h"
#include "wire/run.h"

#include <string.h>

#define WINDOW 8192 /* most events sent and not acknowledged */
#define RUN_BYTES (64 * 1024)
#define RESEND_US 500000 /* without any word from the bus */
#define TRIM_US 500000   /* an idle agent deletes acknowledged events this often */
#define TRIM_MOST 4096

_Static_assert(RUN_BYTES + 2 * TIM3_EVENT_BYTES_MAX <= TIM3_RUN_BYTES_MAX &&
                   TIM3_OUTBOX_RUN_MAX <= TIM3_EVENTS_MAX,
               "a run fits into a message");

static tim3_key_t counter_key (void)
{
    return tim3_key_text ("event_seq");
}

static uint64_t run_most (const tim3_publisher_t *self)
{
    return self->run_most ? self->run_most : TIM3_OUTBOX_RUN_MAX;
}

void tim3_publisher_load (tim3_publisher_t *self, tim3_store_t *store)
{
    tim3_key_t key = counter_key ();
    tim3_key_t first = tim3_key_empty ();
    tim3_counter_t counter;
    tim3_run_t run;

    *self = (tim3_publisher_t){.run_most = self->run_most, .run = self->run, .sending = self->sending};
    tim3_store_read (store, TIM3_TABLE_COUNTER, &key, &counter);
    self->last = counter.value;
    self->counted = self->last;
    self->stored = self->last;
    self->acked = self->last;
    if (tim3_store_seek (store, TIM3_TABLE_OUTBOX, TIM3_SEEK_GE, &first, &run))
        self->acked = run.seq - 1;
    self->sent = self->acked;
    self->trimmed = self->acked;
}

void tim3_publisher_free (tim3_publisher_t *self)
{
    tim3_buffer_free (&self->run);
    tim3_buffer_free (&self->sending);
}

/*  ------------------------------------------------------------------------------------------ emitting  */

static void write_run (tim3_publisher_t *self, tim3_store_t *store)
{
    tim3_run_t run = {.seq = self->stored + 1, .count = self->last - self->stored};
    tim3_key_t key = tim3_key_u64 (run.seq);
    run.events = tim3_run_end (&self->run);
    tim3_store_write (store, TIM3_TABLE_OUTBOX, &key, &run);
    self->stored = self->last;
}

static bool is_full (const tim3_publisher_t *self)
{
    return self->last - self->stored >= run_most (self) || self->run.size >= RUN_BYTES;
}

void tim3_publisher_emit (tim3_publisher_t *self, tim3_store_t *store, tim3_type_t type, uint64_t now_us,
                          const void *body)
{
    if (self->stored == self->last)
        tim3_run_begin (&self->run);
    tim3_run_add (&self->run, type, now_us, body);
    self->last++;
    if (is_full (self))
        write_run (self, store);
}

void tim3_publisher_end_batch (tim3_publisher_t *self, tim3_store_t *store)
{
    tim3_counter_t counter = {self->last};
    tim3_key_t key = counter_key ();
    if (self->counted == self->last)
        return;
    if (self->stored != self->last)
        write_run (self, store);
    tim3_store_write (store, TIM3_TABLE_COUNTER, &key, &counter);
    self->counted = self->last;
}

/*  ------------------------------------------------------------------------------------------- sending  */

/*  The run that holds an event. Its bytes point into the store.  */
static bool find_run (tim3_store_t *store, uint64_t seq, tim3_run_t *run)
{
    tim3_key_t key = tim3_key_u64 (seq);
    bool there = tim3_store_read (store, TIM3_TABLE_OUTBOX, &key, run) ||
                 tim3_store_seek (store, TIM3_TABLE_OUTBOX, TIM3_SEEK_LE, &key, run);
    return there && !tim3_store_error (store) && seq - run->seq < run->count;
}

/*  Puts the events of one more run behind those of a message.  */
static void add_run (tim3_publisher_t *self, tim3_publish_t *publish, const tim3_run_t *run)
{
    const tim3_raw_t parts[] = {publish->events, run->events};
    if (publish->events.data != self->sending.data)
        tim3_run_begin (&self->sending);
    for (unsigned i = publish->events.data == self->sending.data; i < 2; i++) {
        tim3_reader_t reader;
        TIM3_ASSERT (tim3_run_open (&parts[i], &reader));
        tim3_run_append (&self->sending, reader.at, tim3_read_left (&reader));
    }
    publish->events = tim3_run_end (&self->sending);
    publish->count += run->count;
}

static bool has_room (const tim3_publisher_t *self, const tim3_publish_t *publish, const tim3_run_t *run)
{
    return publish->count + run->count <= run_most (self) &&
           publish->events.size + run->events.size <= RUN_BYTES;
}

/*  Collects whole runs, from the one with the next event to send, as many as fit into a message. A single run is sent as the store has it,
    without a copy.  */
static bool collect (tim3_publisher_t *self, tim3_store_t *store, tim3_publish_t *publish)
{
    tim3_run_t run;
    if (!find_run (store, self->sent + 1, &run))
        return false;
    publish->seq = run.seq;
    publish->count = run.count;
    publish->events = run.events;
    self->sent = run.seq + run.count - 1;
    while (self->sent < self->last && find_run (store, self->sent + 1, &run) &&
           has_room (self, publish, &run)) {
        add_run (self, publish, &run);
        self->sent += run.count;
    }
    return true;
}

/*  While the bus has not answered, a few events wait until there are more of them: many at once cost it little more than one, and nobody who
    has asked something waits for events.  */
static bool can_wait (const tim3_publisher_t *self)
{
    return self->sent != self->acked && self->last - self->sent < run_most (self);
}

void tim3_publisher_send (tim3_publisher_t *self, tim3_env_t *env, const char *source, tim3_id_t store_id)
{
    static const char router[] = "router.-.0";
    tim3_publish_t publish = {.store = store_id};

    TIM3_ASSERT (self->stored == self->last);
    if (can_wait (self))
        return;
    strcpy (publish.source, source);
    while (self->sent < self->last && self->sent - self->acked < WINDOW) {
        bool first = self->sent == self->acked;
        if (!collect (self, tim3_env_store (env), &publish))
            return;
        publish.acked = self->acked;
        if (first)
            self->asked_us = tim3_env_now (env);
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

/*  Deletes the oldest run, if all of its events are up to last.  */
static bool trim_one (tim3_publisher_t *self, tim3_store_t *store, uint64_t last)
{
    tim3_key_t key = tim3_key_u64 (self->trimmed + 1);
    tim3_run_t run;
    if (self->trimmed >= last || !find_run (store, self->trimmed + 1, &run) ||
        (run.seq + run.count - 1 > last && !TIM3_CANARY_IS (25)))
        return false;
    tim3_store_delete (store, TIM3_TABLE_OUTBOX, &key);
    self->trimmed += run.count;
    return true;
}

void tim3_publisher_trim (tim3_publisher_t *self, tim3_store_t *store, uint64_t now_us)
{
    if (self->trimmed == self->acked || tim3_store_error (store))
        return;
    if (!tim3_store_dirty (store) && now_us - self->trimmed_us < TRIM_US)
        return;
    self->trimmed_us = now_us;
    uint64_t last = TIM3_CANARY_IS (16) ? self->sent : self->acked;
    for (int i = 0; i < TRIM_MOST && trim_one (self, store, last); i++)
        continue;
}
