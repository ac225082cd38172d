/*  core.c - the state manager: positions, metrics and health, derived from the ledgers' events.

    It reads the router's event log from the place that its store remembers, and moves that place in the commit
    that holds the effects: each event counts exactly once, whatever crashes or is sent twice. Nothing here is
    the truth: all of it can be thrown away and built again from the log.

    The log is asked for by Subscribe. A stretch of it that does not begin at the remembered place is ignored,
    and where something is missing the log is asked for again from there. A ledger's own numbers are checked as
    well, so an event that the log lost is noticed and counted.

    An asset's totals are the sums over its shards, of each of which the store keeps the last that its events told.
*/
#include "core.h"
#include "agent/page.h"
#include "base/canary.h"
#include "wire/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUTER "router.-.0"
#define SUBSCRIPTION 1
#define CREDIT 4096
#define FIRST_OFFSET 1
#define AGENTS_MAX 512
#define METRICS_MAX 64
#define REASONS_MAX 64

#define SECOND_US 1000000u
#define QUIET_US SECOND_US           /* without events for so long: ask again */
#define RENEW_US (10 * SECOND_US)    /* a subscription lapses when it is not renewed for longer than that */
#define SILENT_US (5 * SECOND_US)    /* without an answer for so long: a reason for worry */
#define ALL_START_US (2 * SECOND_US) /* agents that are started together are there after that */
#define LIST_US (SECOND_US / 2)      /* between two looks at the registry */
#define SHORT_US (2 * SECOND_US)     /* ledgers may be out of order in the log for so long */
#define LAG_MOST 10000

#define ONE_PPM 1000000u
#define PPM_MOST ((uint64_t) ONE_PPM * ONE_PPM) /* a million to one, and anything above */

/*  Since when an asset's backing is less than one to one.  */
typedef struct {
    char asset[TIM3_ASSET_MAX + 1];
    uint64_t since_us; /* 0: it is not */
} shortage_t;

typedef struct {
    const tim3_settings_t *settings;

    uint64_t started_us;
    uint64_t asked_us;   /* last Subscribe */
    uint64_t asked_from; /* its place */
    uint64_t heard_us;   /* last stretch that fitted */
    uint64_t end;        /* of the log, as last heard */
    bool replaced;       /* the log is not the one that was read so far */

    uint64_t listed_us; /* last List */
    bool listed;        /* it was answered once at least */
    uint32_t agent_count;
    tim3_agent_t agents[AGENTS_MAX];
    shortage_t shortages[METRICS_MAX];

    uint64_t applied;
    uint64_t stale;
    uint64_t unreadable;
    uint64_t ignored;
    uint64_t saturated;
} state_manager_t;

/*  ------------------------------------------------------------------------------- the place in the log  */

static tim3_key_t cursor_key (void)
{
    return tim3_key_text ("cursor");
}

static tim3_log_cursor_t read_cursor (tim3_env_t *env)
{
    tim3_log_cursor_t cursor;
    tim3_key_t key = cursor_key ();
    if (!tim3_store_read (tim3_env_store (env), TIM3_TABLE_LOG_CURSOR, &key, &cursor))
        cursor.next = FIRST_OFFSET;
    return cursor;
}

static void write_cursor (tim3_env_t *env, const tim3_log_cursor_t *cursor)
{
    tim3_key_t key = cursor_key ();
    tim3_store_write (tim3_env_store (env), TIM3_TABLE_LOG_CURSOR, &key, cursor);
}

static void subscribe (state_manager_t *self, tim3_env_t *env, uint64_t from)
{
    /* a log that cannot be used is only looked at, to see whether it is the right one again */
    tim3_subscribe_t ask = {
        .subscription = SUBSCRIPTION, .from = from, .credit = self->replaced ? 1 : CREDIT};
    self->asked_us = tim3_env_now (env);
    self->asked_from = from;
    tim3_env_send (env, ROUTER, TIM3_MSG_SUBSCRIBE, &ask);
}

/*  ----------------------------------------------------------------------------------------- arithmetic  */

static void add_amount (state_manager_t *self, tim3_amount_t *sum, tim3_amount_t more)
{
    if (tim3_amount_add (*sum, more, sum))
        return;
    *sum = TIM3_AMOUNT_MAX;
    self->saturated++;
}

/*  a * part / whole, rounded down, where part is less than whole: long division, bit by bit, so that no
    product needs more than 128 bits.  */
static tim3_amount_t share (tim3_amount_t a, tim3_amount_t part, tim3_amount_t whole)
{
    tim3_amount_t quotient = 0;
    tim3_amount_t rest = 0;
    for (int bit = 127; bit >= 0; bit--) {
        bool over = rest >= whole - rest;
        quotient = quotient << 1 | over;
        rest = over ? rest - (whole - rest) : rest + rest;
        if (!(a >> bit & 1))
            continue;
        over = rest >= whole - part;
        quotient += over;
        rest = over ? rest - (whole - part) : rest + part;
    }
    return quotient;
}

static tim3_amount_t backing_of (tim3_amount_t balance, const tim3_asset_metrics_t *metrics)
{
    if (metrics->supply == 0)
        return 0;
    if (metrics->locked >= metrics->supply)
        return balance;
    return share (balance, metrics->locked, metrics->supply);
}

static uint64_t backing_ppm (const tim3_asset_metrics_t *metrics)
{
    if (metrics->supply == 0)
        return metrics->locked == 0 ? ONE_PPM : PPM_MOST;
    tim3_amount_t times = metrics->locked / metrics->supply;
    if (times >= PPM_MOST / ONE_PPM)
        return PPM_MOST;
    return (uint64_t) times * ONE_PPM +
           (uint64_t) share (ONE_PPM, metrics->locked % metrics->supply, metrics->supply);
}

/*  --------------------------------------------------------------------------------- positions, metrics  */

static void set_position_key (tim3_key_t *key, const char *asset, const char *account)
{
    tim3_key_set_text (key, asset);
    tim3_key_add_text (key, account);
}

static bool read_metrics (tim3_env_t *env, const char *asset, tim3_asset_metrics_t *metrics)
{
    tim3_key_t key = tim3_key_text (asset);
    if (tim3_store_read (tim3_env_store (env), TIM3_TABLE_ASSET_METRICS, &key, metrics))
        return true;
    snprintf (metrics->asset, sizeof metrics->asset, "%s", asset);
    return false;
}

static void write_metrics (tim3_env_t *env, const tim3_asset_metrics_t *metrics)
{
    tim3_key_t key = tim3_key_text (metrics->asset);
    tim3_store_write (tim3_env_store (env), TIM3_TABLE_ASSET_METRICS, &key, metrics);
}

static tim3_key_t shard_key (const char *asset, unsigned shard)
{
    tim3_key_t key = tim3_key_text (asset);
    tim3_key_add_u8 (&key, (uint8_t) shard);
    return key;
}

/*  Sums an asset's metrics over its shards. locked and overdrawn may each exceed 128 bits, so carries are counted; their difference is what
    the asset has locked. It can seem to be below zero when the event of a lock is still to come in the log.  */
static void sum_shards (tim3_env_t *env, tim3_asset_metrics_t *metrics)
{
    tim3_key_t prefix = tim3_key_text (metrics->asset);
    tim3_key_t key = prefix;
    tim3_shard_metrics_t shard;
    tim3_amount_t locked = 0;
    tim3_amount_t overdrawn = 0;
    int carried = 0;
    metrics->supply = 0;
    metrics->token_seq = metrics->lock_seq = 0;
    while (tim3_store_seek (tim3_env_store (env), TIM3_TABLE_SHARD_METRICS, TIM3_SEEK_GT, &key, &shard) &&
           tim3_key_has_prefix (&key, &prefix)) {
        locked += shard.locked;
        carried += locked < shard.locked;
        overdrawn += shard.overdrawn;
        carried -= overdrawn < shard.overdrawn;
        metrics->supply += shard.supply;
        metrics->token_seq += shard.token_seq;
        metrics->lock_seq += shard.lock_seq;
    }
    metrics->locked = carried > 0 || (carried == 0 && locked >= overdrawn) ? locked - overdrawn : 0;
}

static void derive_metrics (tim3_asset_metrics_t *metrics)
{
    if (!tim3_amount_sub (metrics->locked, metrics->supply, &metrics->in_flight))
        metrics->in_flight = 0;
    metrics->backing_ppm = backing_ppm (metrics);
}

/*  --------------------------------------------------------------------------------------------- events  */

/*  One event while it is applied. The metrics are those of its asset, and written when the stretch is done or
    the next event is of another asset.  */
typedef struct {
    state_manager_t *self;
    tim3_env_t *env;
    tim3_log_cursor_t *cursor;
    tim3_event_t event;
    tim3_asset_metrics_t metrics;
    bool loaded;
    tim3_shard_metrics_t shard; /* of the asset, and of the latest event's ledger */
    unsigned shard_number;
    bool shard_loaded;
    char source[TIM3_ADDRESS_MAX + 1]; /* of the latest event */
    tim3_address_t address;
    bool known; /* it is a source whose events count */
} step_t;

typedef union {
    tim3_collateral_locked_t collateral_locked;
    tim3_collateral_released_t collateral_released;
    tim3_token_changed_t token_changed;
    tim3_token_transferred_t token_transferred;
    tim3_token_crossed_t token_crossed;
    tim3_token_controlled_t token_controlled;
    tim3_transaction_failed_t transaction_failed;
} event_t;

static tim3_position_t read_position (const step_t *step, const char *account)
{
    tim3_position_t position;
    tim3_key_t key;
    set_position_key (&key, step->metrics.asset, account);
    if (!tim3_store_read (tim3_env_store (step->env), TIM3_TABLE_POSITION, &key, &position)) {
        memcpy (position.asset, step->metrics.asset, sizeof position.asset);
        strcpy (position.account, account);
    }
    return position;
}

/*  Writes a position with the balance that the event tells, and updates the sum of balances. The log may have an arrival in one shard before
    the departure from the other, and the sum is then too large for a while; it is kept modulo 2^128, and right once both are applied.  */
static void write_position (step_t *step, tim3_position_t *position, tim3_amount_t balance)
{
    tim3_asset_metrics_t *metrics = &step->metrics;
    if (position->events == 0)
        metrics->positions++;
    metrics->balances += balance - position->balance;
    position->balance = balance;
    position->events++;
    position->changed_us = step->event.time_us;
    tim3_key_t key;
    set_position_key (&key, position->asset, position->account);
    tim3_store_write (tim3_env_store (step->env), TIM3_TABLE_POSITION, &key, position);
}

static void apply_locked (step_t *step, const event_t *event)
{
    step->shard.locked = event->collateral_locked.locked;
    step->shard.overdrawn = event->collateral_locked.overdrawn;
}

static void apply_released (step_t *step, const event_t *event)
{
    step->shard.locked = event->collateral_released.locked;
    step->shard.overdrawn = event->collateral_released.overdrawn;
}

static void apply_minted (step_t *step, const event_t *event)
{
    const tim3_token_changed_t *minted = &event->token_changed;
    tim3_position_t position = read_position (step, minted->account);
    add_amount (step->self, &position.minted, minted->amount);
    write_position (step, &position, minted->balance);
    add_amount (step->self, &step->metrics.volume_minted, minted->amount);
    step->metrics.mints++;
    step->shard.supply = minted->supply;
}

static void apply_burned (step_t *step, const event_t *event)
{
    const tim3_token_changed_t *burned = &event->token_changed;
    tim3_position_t position = read_position (step, burned->account);
    add_amount (step->self, &position.redeemed, burned->amount);
    write_position (step, &position, burned->balance);
    add_amount (step->self, &step->metrics.volume_redeemed, burned->amount);
    step->metrics.redemptions++;
    step->shard.supply = burned->supply;
}

static void apply_transferred (step_t *step, const event_t *event)
{
    const tim3_token_transferred_t *moved = &event->token_transferred;
    tim3_position_t sender = read_position (step, moved->account);
    add_amount (step->self, &sender.sent, moved->amount);
    write_position (step, &sender, moved->balance);
    tim3_position_t receiver = read_position (step, moved->to);
    add_amount (step->self, &receiver.received, moved->amount);
    write_position (step, &receiver, moved->to_balance);
    add_amount (step->self, &step->metrics.volume_transferred, moved->amount);
    step->metrics.transfers++;
    step->shard.supply = moved->supply;
}

/*  Between two shards, tokens are in nobody's position: one event takes them out, another puts them in or gives them back.  */
static void apply_sent (step_t *step, const event_t *event)
{
    const tim3_token_crossed_t *sent = &event->token_crossed;
    tim3_position_t sender = read_position (step, sent->account);
    add_amount (step->self, &sender.sent, sent->amount);
    write_position (step, &sender, sent->balance);
    step->shard.supply = sent->supply;
}

static void apply_received (step_t *step, const event_t *event)
{
    const tim3_token_crossed_t *received = &event->token_crossed;
    tim3_position_t receiver = read_position (step, received->account);
    add_amount (step->self, &receiver.received, received->amount);
    write_position (step, &receiver, received->balance);
    add_amount (step->self, &step->metrics.volume_transferred, received->amount);
    step->metrics.transfers++;
    step->shard.supply = received->supply;
}

/*  Takes the amount back out of sender.sent, unless that sum once was too large for 128 bits: then it stays at the most.  */
static void apply_returned (step_t *step, const event_t *event)
{
    const tim3_token_crossed_t *returned = &event->token_crossed;
    tim3_position_t sender = read_position (step, returned->account);
    if (sender.sent != TIM3_AMOUNT_MAX && !tim3_amount_sub (sender.sent, returned->amount, &sender.sent))
        sender.sent = 0;
    write_position (step, &sender, returned->balance);
    step->shard.supply = returned->supply;
}

static void apply_failed (step_t *step, const event_t *event)
{
    (void) event;
    step->metrics.refusals++;
}

typedef struct {
    uint64_t type;
    void (*apply) (step_t *step, const event_t *event);
} application_t;

/*  What each event does to positions and metrics. Of one that is not listed only the number is remembered.  */
static const application_t s_applications[] = {
    {TIM3_MSG_COLLATERAL_LOCKED, apply_locked},      {TIM3_MSG_COLLATERAL_RELEASED, apply_released},
    {TIM3_MSG_TOKEN_MINTED, apply_minted},           {TIM3_MSG_TOKEN_BURNED, apply_burned},
    {TIM3_MSG_TOKEN_TRANSFERRED, apply_transferred}, {TIM3_MSG_TOKEN_SENT, apply_sent},
    {TIM3_MSG_TOKEN_RECEIVED, apply_received},       {TIM3_MSG_TOKEN_RETURNED, apply_returned},
    {TIM3_MSG_TRANSACTION_FAILED, apply_failed},     {0, NULL}};

static const application_t *find_application (uint64_t type)
{
    for (const application_t *row = s_applications; row->apply; row++)
        if (row->type == type)
            return row;
    return NULL;
}

static void flush_shard (step_t *step)
{
    tim3_key_t key = shard_key (step->metrics.asset, step->shard_number);
    if (step->shard_loaded)
        tim3_store_write (tim3_env_store (step->env), TIM3_TABLE_SHARD_METRICS, &key, &step->shard);
    step->shard_loaded = false;
}

static void flush_metrics (step_t *step)
{
    flush_shard (step);
    if (step->loaded) {
        sum_shards (step->env, &step->metrics);
        write_metrics (step->env, &step->metrics);
    }
    step->loaded = false;
}

static void load_shard (step_t *step, unsigned number)
{
    tim3_key_t key = shard_key (step->metrics.asset, number);
    if (step->shard_loaded && step->shard_number == number)
        return;
    flush_shard (step);
    tim3_store_read (tim3_env_store (step->env), TIM3_TABLE_SHARD_METRICS, &key, &step->shard);
    step->shard_number = number;
    step->shard_loaded = true;
}

static void load_metrics (step_t *step, const char *asset)
{
    if (step->loaded && strcmp (step->metrics.asset, asset) == 0)
        return;
    flush_metrics (step);
    read_metrics (step->env, asset, &step->metrics);
    step->loaded = true;
}

/*  Whether an event is its ledger's next; numbers that never came are counted.  */
static bool take_number (step_t *step, uint64_t seq, uint64_t *last)
{
    if (seq <= *last) {
        step->self->stale++;
        return false;
    }
    step->cursor->gaps += seq - *last - 1;
    *last = seq;
    return true;
}

static void apply_effects (step_t *step)
{
    const application_t *application = find_application (step->event.type);
    event_t event;

    step->metrics.changed_us = step->event.time_us;
    step->self->applied++;
    if (!application)
        return;
    if (!tim3_event_read (step->event.type, &step->event.body, &event)) {
        /* its effects are as lost as if it had never come */
        step->self->unreadable++;
        step->cursor->gaps++;
        return;
    }
    application->apply (step, &event);
}

/*  Parses the source of events, which mostly is the same as before.  */
static void take_source (step_t *step, const char *source)
{
    if (strcmp (step->source, source) == 0)
        return;
    strcpy (step->source, source);
    step->known = tim3_address_parse (source, &step->address) &&
                  tim3_role_is_asset_ledger (step->address.role) && step->address.shard >= 0 &&
                  step->address.shard < TIM3_SHARDS_MAX;
}

/*  The rest of a run after bytes that are no event cannot be read: its events count as missing.  */
static void lose_rest (step_t *step, uint64_t end, uint64_t *last)
{
    if (end <= *last)
        return;
    step->self->unreadable += end - *last;
    step->cursor->gaps += end - *last;
    *last = end;
}

static void apply_run (step_t *step, const tim3_run_t *run)
{
    tim3_reader_t reader;
    uint64_t end = run->seq + run->count - 1;
    uint64_t seq = run->seq;
    take_source (step, run->source);
    if (!step->known || run->count == 0)
        return;
    load_metrics (step, step->address.asset);
    load_shard (step, (unsigned) step->address.shard);
    bool lock = step->address.role == TIM3_ROLE_LOCK_MANAGER;
    uint64_t *last = lock ? &step->shard.lock_seq : &step->shard.token_seq;
    if (tim3_run_open (&run->events, &reader))
        for (; seq <= end && tim3_run_next (&reader, &step->event); seq++)
            if (take_number (step, seq, last))
                apply_effects (step);
    if (seq <= end)
        lose_rest (step, end, last);
}

static void apply_stretch (state_manager_t *self, tim3_env_t *env, const tim3_events_t *events,
                           tim3_log_cursor_t *cursor)
{
    step_t step = {.self = self, .env = env, .cursor = cursor};
    const tim3_run_t *runs = events->items.items;
    if (events->next == cursor->next)
        return;
    for (uint32_t i = 0; i < events->items.count; i++)
        apply_run (&step, &runs[i]);
    flush_metrics (&step);
    cursor->log = events->log;
    cursor->next = events->next;
    write_cursor (env, cursor);
}

/*  A log with another identity, or one that ends before what was read of it, is not the one that was read.  */
static bool is_replaced (const tim3_log_cursor_t *cursor, const tim3_events_t *events)
{
    if (tim3_id_is_zero (&cursor->log))
        return false;
    return !tim3_id_equal (&cursor->log, &events->log) || events->end < cursor->next;
}

/*  Subscribes again once the credit is used up. Not earlier: a new subscription starts at next, and what was already on its way would come
    a second time.  */
static void renew_credit (state_manager_t *self, tim3_env_t *env, uint64_t credit, uint64_t next)
{
    if (credit == 0)
        subscribe (self, env, next);
}

/*  A stretch that does not begin where we are. If it only repeats what we have, it was on its way when we subscribed again. If something is
    missing before it, the log is asked for from there; only once, for more stretches behind the same hole may be on their way.  */
static void ignore_stretch (state_manager_t *self, tim3_env_t *env, const tim3_events_t *events,
                            uint64_t next)
{
    self->ignored++;
    if (events->next > next && self->asked_from != next)
        subscribe (self, env, next);
}

static void on_events (void *core, tim3_env_t *env, const void *body)
{
    state_manager_t *self = core;
    const tim3_events_t *events = body;
    tim3_log_cursor_t cursor = read_cursor (env);

    if (events->subscription != SUBSCRIPTION || events->next < events->from)
        return;
    self->replaced = is_replaced (&cursor, events);
    self->end = events->end;
    if (!self->replaced && events->from != cursor.next && !TIM3_CANARY_IS (12)) {
        ignore_stretch (self, env, events, cursor.next);
        return;
    }
    self->heard_us = tim3_env_now (env);
    if (self->replaced)
        return;
    apply_stretch (self, env, events, &cursor);
    renew_credit (self, env, events->credit, cursor.next);
}

/*  --------------------------------------------------------------------------------------------- health  */

/*  Reasons are collected here first, for Health and GetSystemHealth alike.  */
typedef struct {
    tim3_reason_t items[REASONS_MAX + 1]; /* the last one takes what there is no room for */
    uint32_t count;
    uint64_t weight;
} reasons_t;

/*  Returns the reason, for its text to be filled in.  */
static tim3_reason_t *add_reason (reasons_t *self, const char *name, unsigned weight)
{
    tim3_reason_t *reason = &self->items[self->count];
    if (self->count < REASONS_MAX)
        self->count++;
    self->weight += weight;
    reason->weight = weight;
    snprintf (reason->name, sizeof reason->name, "%s", name);
    return reason;
}

static void check_log (const state_manager_t *self, tim3_env_t *env, reasons_t *reasons)
{
    tim3_log_cursor_t cursor = read_cursor (env);
    tim3_reason_t *reason;
    if (self->replaced) {
        reason = add_reason (reasons, "event_log_replaced", 100);
        snprintf (reason->text, sizeof reason->text,
                  "the router's event log is not the one read so far: stop this agent, delete its store, and "
                  "start it again for a rebuild");
    }
    if (cursor.gaps > 0) {
        reason = add_reason (reasons, "event_gaps", 50);
        snprintf (reason->text, sizeof reason->text,
                  "%llu events are missing or unreadable: positions may be wrong; stop this agent, delete "
                  "its store, and start it again for a rebuild",
                  (unsigned long long) cursor.gaps);
    }
    if (!self->replaced && self->end > cursor.next && self->end - cursor.next > LAG_MOST) {
        reason = add_reason (reasons, "event_lag", 10);
        snprintf (reason->text, sizeof reason->text,
                  "%llu events are still to be read: answers are out of date",
                  (unsigned long long) (self->end - cursor.next));
    }
}

static void check_subscription (const state_manager_t *self, tim3_env_t *env, reasons_t *reasons)
{
    uint64_t heard = self->heard_us ? self->heard_us : self->started_us;
    uint64_t now = tim3_env_now (env);
    if (heard == 0 || now <= heard + SILENT_US)
        return;
    tim3_reason_t *reason = add_reason (reasons, "not_subscribed", 30);
    snprintf (reason->text, sizeof reason->text,
              "the event log has not answered for %llu s: check that the router runs",
              (unsigned long long) ((now - heard) / SECOND_US));
}

static void check_own (const state_manager_t *self, tim3_env_t *env, reasons_t *reasons)
{
    check_log (self, env, reasons);
    check_subscription (self, env, reasons);
}

static void check_backing (const state_manager_t *self, tim3_env_t *env, reasons_t *reasons)
{
    for (unsigned i = 0; i < METRICS_MAX; i++) {
        const shortage_t *shortage = &self->shortages[i];
        if (shortage->since_us == 0 || tim3_env_now (env) < shortage->since_us + SHORT_US)
            continue;
        tim3_reason_t *reason = add_reason (reasons, "backing", 100);
        snprintf (
            reason->text, sizeof reason->text,
            "%s: less collateral is locked than there are tokens: pause it, and compare its two ledgers",
            shortage->asset);
    }
}

static void check_agent (const state_manager_t *self, const tim3_agent_t *agent, reasons_t *reasons)
{
    tim3_reason_t *reason;
    if (!agent->alive) {
        reason = add_reason (reasons, "agent_dead", 20);
        snprintf (reason->text, sizeof reason->text, "%s gives no sign of life: see its log", agent->name);
        return;
    }
    /* its own reasons are in already */
    if (agent->health <= TIM3_HEALTH_OK || strcmp (agent->name, self->settings->name) == 0)
        return;
    bool failing = agent->health == TIM3_HEALTH_FAILING;
    reason = add_reason (reasons, failing ? "agent_failing" : "agent_degraded", failing ? 40 : 10);
    snprintf (reason->text, sizeof reason->text, "%s says that it is %s: ask it for its health", agent->name,
              tim3_value_name (tim3_health_values, agent->health));
}

static bool is_there (const state_manager_t *self, tim3_role_t role, const char *asset, int shard)
{
    for (uint32_t i = 0; i < self->agent_count; i++) {
        const tim3_agent_t *agent = &self->agents[i];
        if (agent->alive && agent->role == role && strcmp (agent->asset, asset) == 0 &&
            (shard < 0 || agent->shard == (uint64_t) shard))
            return true;
    }
    return false;
}

static void check_role (const state_manager_t *self, const char *asset, tim3_role_t role, int shard,
                        reasons_t *reasons)
{
    char shard_text[32] = "";
    if (is_there (self, role, asset, shard))
        return;
    if (shard > 0)
        snprintf (shard_text, sizeof shard_text, " of shard %d", shard);
    tim3_reason_t *reason = add_reason (reasons, "role_missing", 30);
    snprintf (reason->text, sizeof reason->text, "%s has no %s%s alive: start one", asset,
              tim3_role_name (role), shard_text);
}

static void check_roles (const state_manager_t *self, const tim3_asset_t *asset, reasons_t *reasons)
{
    for (unsigned shard = 0; shard < asset->shards; shard++) {
        check_role (self, asset->name, TIM3_ROLE_LOCK_MANAGER, (int) shard, reasons);
        check_role (self, asset->name, TIM3_ROLE_TOKEN_MANAGER, (int) shard, reasons);
    }
    check_role (self, asset->name, TIM3_ROLE_COORDINATOR, -1, reasons);
}

/*  It is the collateral of all assets.  */
static void check_collateral (const state_manager_t *self, reasons_t *reasons)
{
    const char *name = self->settings->collateral;
    for (uint32_t i = 0; i < self->agent_count; i++)
        if (self->agents[i].alive && strcmp (self->agents[i].name, name) == 0)
            return;
    tim3_reason_t *reason = add_reason (reasons, "role_missing", 30);
    snprintf (reason->text, sizeof reason->text, "%s, the collateral token, is not alive: start it", name);
}

static void check_agents (const state_manager_t *self, tim3_env_t *env, reasons_t *reasons)
{
    bool all_started = tim3_env_now (env) >= self->started_us + ALL_START_US;
    /* until the registry has answered nothing is known; that it does not answer shows in the subscription */
    if (!self->listed)
        return;
    for (unsigned i = 0; i < self->settings->asset_count && all_started; i++)
        check_roles (self, &self->settings->assets[i], reasons);
    if (all_started)
        check_collateral (self, reasons);
    for (uint32_t i = 0; i < self->agent_count; i++)
        check_agent (self, &self->agents[i], reasons);
}

static tim3_health_reply_t judge (const reasons_t *reasons)
{
    tim3_health_reply_t reply = {.reasons = {reasons->items, reasons->count}};
    reply.score = reasons->weight >= 100 ? 0 : 100 - reasons->weight;
    reply.status = reply.score >= 90   ? TIM3_HEALTH_OK
                   : reply.score >= 50 ? TIM3_HEALTH_DEGRADED
                                       : TIM3_HEALTH_FAILING;
    return reply;
}

static void on_get_system_health (void *core, tim3_env_t *env, const void *body)
{
    const state_manager_t *self = core;
    reasons_t *reasons = tim3_arena_take (tim3_env_arena (env), sizeof *reasons);
    (void) body;
    if (!reasons) {
        tim3_env_refuse (env, TIM3_OVERLOADED, NULL, NULL);
        return;
    }
    check_own (self, env, reasons);
    check_backing (self, env, reasons);
    check_agents (self, env, reasons);
    tim3_health_reply_t reply = judge (reasons);
    tim3_env_reply (env, TIM3_MSG_HEALTH_REPLY, &reply);
}

static void on_agents (void *core, tim3_env_t *env, const void *body)
{
    state_manager_t *self = core;
    const tim3_agents_t *agents = body;
    (void) env;
    self->listed = true;
    self->agent_count = agents->items.count < AGENTS_MAX ? agents->items.count : AGENTS_MAX;
    if (self->agent_count > 0)
        memcpy (self->agents, agents->items.items, self->agent_count * sizeof self->agents[0]);
}

/*  -------------------------------------------------------------------------------------------- queries  */

static void on_get_position (void *core, tim3_env_t *env, const void *body)
{
    const tim3_get_position_t *ask = body;
    tim3_key_t key;
    set_position_key (&key, ask->asset, ask->account);
    tim3_position_t position;
    tim3_asset_metrics_t metrics;
    (void) core;
    if (!tim3_store_read (tim3_env_store (env), TIM3_TABLE_POSITION, &key, &position)) {
        tim3_env_refuse (env, TIM3_NOT_FOUND, NULL,
                         "%s has no position in %s: its first mint or transfer makes one", ask->account,
                         ask->asset);
        return;
    }
    read_metrics (env, ask->asset, &metrics);
    position.backing = backing_of (position.balance, &metrics);
    tim3_env_reply (env, TIM3_MSG_POSITION, &position);
}

static void on_list_positions (void *core, tim3_env_t *env, const void *body)
{
    const tim3_list_positions_t *ask = body;
    tim3_key_t prefix = tim3_key_text (ask->asset);
    tim3_asset_metrics_t metrics;
    tim3_position_t position;
    tim3_positions_t reply;
    tim3_page_t page;
    (void) core;
    if (!tim3_page_begin (&page, env, ask->cursor, ask->limit, TIM3_TABLE_POSITION, &prefix, sizeof position))
        return;
    read_metrics (env, ask->asset, &metrics);
    while (tim3_page_next (&page, &position)) {
        position.backing = backing_of (position.balance, &metrics);
        tim3_page_add (&page, &position);
    }
    tim3_page_end (&page, &reply.items, reply.cursor);
    tim3_env_reply (env, TIM3_MSG_POSITIONS, &reply);
}

/*  Stored assets in order; returns how many, at most METRICS_MAX.  */
static uint32_t read_all_metrics (tim3_env_t *env, tim3_asset_metrics_t *items)
{
    tim3_key_t key = tim3_key_empty ();
    uint32_t count = 0;
    while (count < METRICS_MAX && tim3_store_seek (tim3_env_store (env), TIM3_TABLE_ASSET_METRICS,
                                                   TIM3_SEEK_GT, &key, &items[count]))
        count++;
    return count;
}

static bool is_configured (const state_manager_t *self, const char *asset)
{
    for (unsigned i = 0; i < self->settings->asset_count; i++)
        if (strcmp (self->settings->assets[i].name, asset) == 0)
            return true;
    return false;
}

/*  Assets that are configured but have had no events yet are told with zeros.  */
static uint32_t add_quiet_assets (const state_manager_t *self, tim3_env_t *env, tim3_asset_metrics_t *items,
                                  uint32_t count)
{
    for (unsigned i = 0; i < self->settings->asset_count && count < METRICS_MAX; i++)
        if (!read_metrics (env, self->settings->assets[i].name, &items[count]))
            count++;
    return count;
}

static void on_get_metrics (void *core, tim3_env_t *env, const void *body)
{
    const state_manager_t *self = core;
    const tim3_get_metrics_t *ask = body;
    tim3_asset_metrics_t *items = tim3_arena_take (tim3_env_arena (env), METRICS_MAX * sizeof *items);
    tim3_metrics_t reply = {.items = {items, 1}};
    if (!items) {
        tim3_env_refuse (env, TIM3_OVERLOADED, NULL, NULL);
        return;
    }
    if (!ask->asset[0])
        reply.items.count = add_quiet_assets (self, env, items, read_all_metrics (env, items));
    else if (!read_metrics (env, ask->asset, items) && !is_configured (self, ask->asset)) {
        tim3_env_refuse (env, TIM3_NOT_FOUND, NULL, "no asset %s: leave the asset out to get them all",
                         ask->asset);
        return;
    }
    for (uint32_t i = 0; i < reply.items.count; i++)
        derive_metrics (&items[i]);
    tim3_env_reply (env, TIM3_MSG_METRICS, &reply);
}

/*  ------------------------------------------------------------------------------------------- the core  */

/*  A mint can get into the log before its lock, for the two ledgers publish on their own. So a shortage
    counts only once it has lasted.  */
static void watch_backing (state_manager_t *self, tim3_env_t *env)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_asset_metrics_t metrics;
    for (unsigned i = 0; i < METRICS_MAX; i++) {
        shortage_t *shortage = &self->shortages[i];
        if (!tim3_store_seek (tim3_env_store (env), TIM3_TABLE_ASSET_METRICS, TIM3_SEEK_GT, &key, &metrics))
            return;
        if (metrics.locked >= metrics.supply || strcmp (shortage->asset, metrics.asset) != 0)
            shortage->since_us = 0;
        memcpy (shortage->asset, metrics.asset, sizeof shortage->asset);
        if (metrics.locked < metrics.supply && shortage->since_us == 0)
            shortage->since_us = tim3_env_now (env);
    }
}

static void tick (void *core, tim3_env_t *env)
{
    state_manager_t *self = core;
    uint64_t now = tim3_env_now (env);
    uint64_t last = self->asked_us > self->heard_us ? self->asked_us : self->heard_us;
    if (self->started_us == 0)
        self->started_us = now;
    watch_backing (self, env);
    if (self->asked_us == 0 || now >= last + QUIET_US || now >= self->asked_us + RENEW_US)
        subscribe (self, env, read_cursor (env).next);
    if (self->listed_us == 0 || now >= self->listed_us + LIST_US) {
        self->listed_us = now;
        tim3_env_send (env, ROUTER, TIM3_MSG_LIST, NULL);
    }
}

static void health (void *core, tim3_env_t *env, tim3_report_t *report)
{
    reasons_t reasons = {.count = 0};
    check_own (core, env, &reasons);
    for (uint32_t i = 0; i < reasons.count; i++)
        tim3_report_reason (report, reasons.items[i].name, (unsigned) reasons.items[i].weight, "%s",
                            reasons.items[i].text);
}

static void stats (void *core, tim3_env_t *env, tim3_report_t *report)
{
    const state_manager_t *self = core;
    tim3_log_cursor_t cursor = read_cursor (env);
    tim3_report_metric (report, TIM3_METRIC_events_applied, self->applied);
    tim3_report_metric (report, TIM3_METRIC_events_stale, self->stale);
    tim3_report_metric (report, TIM3_METRIC_events_unreadable, self->unreadable);
    tim3_report_metric (report, TIM3_METRIC_events_missing, cursor.gaps);
    tim3_report_metric (report, TIM3_METRIC_event_log_next_offset, cursor.next);
    tim3_report_metric (report, TIM3_METRIC_event_log_end_offset, self->end);
    tim3_report_metric (report, TIM3_METRIC_stretches_ignored, self->ignored);
    tim3_report_metric (report, TIM3_METRIC_sums_saturated, self->saturated);
    tim3_report_metric (report, TIM3_METRIC_agents_known, self->agent_count);
}

static void *new (const tim3_settings_t *settings)
{
    state_manager_t *self = tim3_alloc (sizeof *self);
    self->settings = settings;
    return self;
}

static void destroy (void **self)
{
    free (*self);
    *self = NULL;
}

static const tim3_handler_t s_handlers[] = {{TIM3_MSG_EVENTS, on_events},
                                            {TIM3_MSG_AGENTS, on_agents},
                                            {TIM3_MSG_GET_POSITION, on_get_position},
                                            {TIM3_MSG_LIST_POSITIONS, on_list_positions},
                                            {TIM3_MSG_GET_METRICS, on_get_metrics},
                                            {TIM3_MSG_GET_SYSTEM_HEALTH, on_get_system_health},
                                            {0, NULL}};

const tim3_core_t tim3_state_manager_core = {.role = TIM3_ROLE_STATE_MANAGER,
                                             .capabilities = "positions metrics health",
                                             .new = new,
                                             .destroy = destroy,
                                             .handlers = s_handlers,
                                             .tick = tick,
                                             .health = health,
                                             .stats = stats};
