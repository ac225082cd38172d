/*  tim3ctl_fsck_log.c - the router's store, and what agents still have to publish: between them, every
    event is there, once, in order.  */
#include "tim3ctl_fsck.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/*  One source with one identity of its store.  */
typedef struct {
    uint64_t last;
    bool recorded; /* there is a row in log_source */
} source_t;

/*  An event in an outbox. The log may have it already.  */
typedef struct {
    uint64_t type;
    uint64_t time_us;
    uint64_t body; /* its hash */
} waiting_t;

typedef struct {
    tim3_fsck_t *fsck;
    const tim3_fsck_store_t *router;
    tim3_fsck_map_t *sources; /* by key of log_source */
    tim3_fsck_map_t *names;   /* by name of source: number of its last event, whatever the store's identity */
    tim3_fsck_map_t *waiting; /* by name of source, seq */
    uint64_t end;
    void *body;
} log_t;

/*  -------------------------------------------------------------------------------------------- the log  */

static bool check_event (log_t *self, const tim3_fsck_place_t *at, const tim3_event_item_t *item)
{
    const tim3_message_t *message = tim3_message (item->type);
    tim3_address_t source;
    if (!message || message->of_class != TIM3_CLASS_EVENT || !tim3_address_parse (item->source, &source) ||
        !(message->from & 1u << source.role)) {
        tim3_fsck_problem (self->fsck, at, "%s emits no events of type %llu", item->source,
                           (unsigned long long) item->type);
        return false;
    }
    if (!tim3_event_read (item->type, &item->body, self->body))
        tim3_fsck_problem (self->fsck, at, "the body of event %llu of %s cannot be read",
                           (unsigned long long) item->seq, item->source);
    return true;
}

/*  Events that went to an older log, or that a restored store of the source had published under its older
    identity, were before this one's time.  */
static void check_number (log_t *self, const tim3_fsck_place_t *at, const tim3_event_item_t *item)
{
    tim3_key_t key = tim3_key_text (item->source);
    size_t name_size = key.size;
    tim3_key_add_id (&key, &item->store);
    source_t *source = tim3_fsck_map_take (self->sources, key.data, key.size);
    uint64_t *last = tim3_fsck_map_take (self->names, key.data, name_size);
    uint64_t before = source->last ? source->last : item->seq <= *last ? item->seq - 1 : *last;
    if (before == 0 && item->seq > 1)
        tim3_fsck_problem (self->fsck, at,
                           "the first event of %s is %llu: those before it are not in this log", item->source,
                           (unsigned long long) item->seq);
    else if (item->seq != before + 1)
        tim3_fsck_problem (self->fsck, at, "seq of %s is %llu, but \"%llu\" by the event before",
                           item->source, (unsigned long long) item->seq, (unsigned long long) before + 1);
    source->last = item->seq;
    if (*last < item->seq)
        *last = item->seq;
}

static waiting_t summary_of (const tim3_event_item_t *item)
{
    return (waiting_t){item->type, item->time_us, tim3_hash64 (item->body.data, item->body.size, 0)};
}

static tim3_key_t waiting_key (const char *source, uint64_t seq)
{
    tim3_key_t key = tim3_key_text (source);
    tim3_key_add_u64 (&key, seq);
    return key;
}

static void collect_waiting (log_t *self, const tim3_fsck_store_t *store)
{
    tim3_fsck_events_t events = {.at = {store, TIM3_TABLE_OUTBOX, tim3_key_empty ()}};
    tim3_event_item_t item;
    while (tim3_fsck_next_event (self->fsck, &events, &item)) {
        tim3_key_t key = waiting_key (store->meta.name, item.seq);
        waiting_t *waiting = tim3_fsck_map_take (self->waiting, key.data, key.size);
        *waiting = summary_of (&item);
    }
}

/*  An event that is still in its source's outbox must be the same there.  */
static void check_waiting (log_t *self, const tim3_fsck_place_t *at, const tim3_event_item_t *item)
{
    tim3_key_t key = waiting_key (item->source, item->seq);
    const waiting_t *waiting = tim3_fsck_map_find (self->waiting, key.data, key.size);
    waiting_t logged = summary_of (item);
    if (waiting &&
        (waiting->type != logged.type || waiting->time_us != logged.time_us || waiting->body != logged.body))
        tim3_fsck_problem (self->fsck, at, "event %llu of %s is another one in its outbox",
                           (unsigned long long) item->seq, item->source);
}

/*  False when the run's bytes are not as many events as it tells.  */
static bool is_whole (const tim3_run_t *run)
{
    tim3_run_walk_t walk;
    tim3_event_item_t item;
    tim3_run_walk (&walk, run);
    while (tim3_run_step (&walk, &item))
        continue;
    return run->count > 0 && tim3_run_whole (&walk);
}

static void check_whole (log_t *self, const tim3_fsck_place_t *at, const tim3_run_t *run)
{
    if (!is_whole (run))
        tim3_fsck_problem (self->fsck, at, "count is %llu, but events are not so many, whole",
                           (unsigned long long) run->count);
}

static void check_run (log_t *self, const tim3_fsck_place_t *at, const tim3_run_t *run)
{
    tim3_run_walk_t walk;
    tim3_event_item_t item;
    tim3_run_walk (&walk, run);
    while (tim3_run_step (&walk, &item)) {
        if (check_event (self, at, &item))
            check_number (self, at, &item);
        check_waiting (self, at, &item);
    }
}

static void check_log (log_t *self)
{
    tim3_fsck_place_t at = {self->router, TIM3_TABLE_LOG, tim3_key_empty ()};
    tim3_run_t run;
    while (tim3_fsck_next (self->fsck, &at, &run)) {
        uint64_t offset = tim3_key_read_u64 (&at.key, 0);
        if (offset != self->end)
            tim3_fsck_problem (self->fsck, &at, "the log goes on here, but at %llu by the events before",
                               (unsigned long long) self->end);
        if (run.offset != offset)
            tim3_fsck_problem (self->fsck, &at, "offset is %llu, but \"%llu\" by its key",
                               (unsigned long long) run.offset, (unsigned long long) offset);
        self->end = offset + run.count;
        check_whole (self, &at, &run);
        check_run (self, &at, &run);
    }
}

static void check_sources (log_t *self)
{
    tim3_fsck_place_t at = {self->router, TIM3_TABLE_LOG_SOURCE, tim3_key_empty ()};
    tim3_log_source_t found;
    while (tim3_fsck_next (self->fsck, &at, &found)) {
        source_t *source = tim3_fsck_map_take (self->sources, at.key.data, at.key.size);
        tim3_log_source_t derived = {source->last};
        source->recorded = true;
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_log_source, &found, &derived, "the log");
    }
}

static void check_recorded (void *arg, const void *key, size_t key_size, void *value)
{
    log_t *self = arg;
    const source_t *source = value;
    tim3_fsck_place_t at = {self->router, TIM3_TABLE_LOG_SOURCE, tim3_key_empty ()};
    memcpy (at.key.data, key, key_size);
    at.key.size = (uint16_t) key_size;
    if (!source->recorded)
        tim3_fsck_problem (self->fsck, &at, "the log has events of it up to %llu, but there is no row",
                           (unsigned long long) source->last);
}

/*  ------------------------------------------------------------------------------------------- registry  */

static void check_registry (log_t *self)
{
    tim3_fsck_place_t at = {self->router, TIM3_TABLE_REGISTRY, tim3_key_empty ()};
    tim3_agent_t agent;
    while (tim3_fsck_next (self->fsck, &at, &agent)) {
        tim3_agent_t derived = agent;
        tim3_address_t address;
        const char *name = (const char *) at.key.data;
        if (!tim3_address_parse (name, &address) || address.shard < 0) {
            tim3_fsck_problem (self->fsck, &at, "no agent can be called that");
            continue;
        }
        tim3_address_format (address.role, address.asset, address.shard, derived.name);
        derived.role = (uint8_t) address.role;
        strcpy (derived.asset, address.asset);
        derived.shard = (uint64_t) address.shard;
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_agent, &agent, &derived, "its key");
    }
}

/*  ------------------------------------------------------------------------------- what is not published  */

/*  Number of the first event in a store's outbox, or of the next event that it will emit.  */
static uint64_t check_outbox (log_t *self, const tim3_fsck_store_t *store, uint64_t event_seq)
{
    tim3_fsck_place_t at = {store, TIM3_TABLE_OUTBOX, tim3_key_empty ()};
    tim3_run_t run;
    uint64_t first = 0;
    uint64_t last = 0;
    while (tim3_fsck_next (self->fsck, &at, &run)) {
        uint64_t number = tim3_key_read_u64 (&at.key, 0);
        tim3_run_t derived = {.seq = number, .count = run.count, .events = run.events};
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_run, &run, &derived, "its key");
        check_whole (self, &at, &run);
        if (last && number != last + 1)
            tim3_fsck_problem (self->fsck, &at,
                               "the outbox goes on here, but with event %llu by the ones before",
                               (unsigned long long) last + 1);
        first = first ? first : number;
        last = number + run.count - 1;
    }
    if (last && last != event_seq)
        tim3_fsck_problem (self->fsck, &at,
                           "the last event waiting is %llu, but %llu were emitted by the counter",
                           (unsigned long long) last, (unsigned long long) event_seq);
    return first ? first : event_seq + 1;
}

static uint64_t read_counter (tim3_fsck_t *fsck, const tim3_fsck_store_t *store)
{
    tim3_fsck_place_t at = {store, TIM3_TABLE_COUNTER, tim3_key_empty ()};
    tim3_counter_t counter;
    uint64_t event_seq = 0;
    while (tim3_fsck_next (fsck, &at, &counter))
        if (strcmp ((const char *) at.key.data, "event_seq") == 0)
            event_seq = counter.value;
        else if (strcmp ((const char *) at.key.data, "incarnation") != 0)
            tim3_fsck_problem (fsck, &at, "no counter is called that");
    return event_seq;
}

/*  Every event is in the log or in the outbox, and the log has none that was not emitted.  */
static void check_published (log_t *self, const tim3_fsck_store_t *store)
{
    tim3_fsck_place_t at = {store, TIM3_TABLE_COUNTER, tim3_key_text ("event_seq")};
    uint64_t event_seq = read_counter (self->fsck, store);
    uint64_t first = check_outbox (self, store, event_seq);
    tim3_key_t key = tim3_key_text (store->meta.name);
    const uint64_t *last = self->router ? tim3_fsck_map_find (self->names, key.data, key.size) : NULL;
    uint64_t logged = last ? *last : 0;
    if (self->router && logged + 1 < first)
        tim3_fsck_problem (self->fsck, &at, "events %llu to %llu are neither in the log nor in the outbox",
                           (unsigned long long) logged + 1, (unsigned long long) first - 1);
    if (logged > event_seq)
        tim3_fsck_problem (self->fsck, &at,
                           "value is %llu, but the log has event %llu; was an old copy restored?",
                           (unsigned long long) event_seq, (unsigned long long) logged);
}

void tim3_fsck_log (tim3_fsck_t *fsck, const tim3_fsck_store_t *router)
{
    log_t self = {.fsck = fsck, .router = router, .end = 1};
    self.sources = tim3_fsck_map_new (sizeof (source_t));
    self.names = tim3_fsck_map_new (sizeof (uint64_t));
    self.waiting = tim3_fsck_map_new (sizeof (waiting_t));
    self.body = tim3_alloc (tim3_body_size_max ());
    for (unsigned i = 0; i < fsck->store_count; i++)
        collect_waiting (&self, &fsck->stores[i]);
    if (router) {
        check_log (&self);
        check_sources (&self);
        tim3_fsck_map_each (self.sources, check_recorded, &self);
        check_registry (&self);
        tim3_fsck_standings (fsck, router, self.end);
    }
    for (unsigned i = 0; i < fsck->store_count; i++)
        check_published (&self, &fsck->stores[i]);
    free (self.body);
    tim3_fsck_map_destroy (&self.sources);
    tim3_fsck_map_destroy (&self.names);
    tim3_fsck_map_destroy (&self.waiting);
    tim3_fsck_section (fsck, router ? router->meta.name : "outboxes",
                       "%llu events in the log, %llu agents registered", (unsigned long long) self.end - 1,
                       router ? (unsigned long long) router->rows[TIM3_TABLE_REGISTRY] : 0);
}
