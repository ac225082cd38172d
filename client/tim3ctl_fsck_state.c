/*  tim3ctl_fsck_state.c - a state manager's store: positions and metrics follow from the log up to its
    cursor.  */
#include "tim3ctl_fsck.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    tim3_asset_metrics_t metrics;
    tim3_shard_metrics_t shards[TIM3_SHARDS_MAX];
    bool shard_seen[TIM3_SHARDS_MAX];
    bool shard_found[TIM3_SHARDS_MAX];
    bool found;
} asset_t;

typedef struct {
    tim3_position_t position;
    bool found;
} holding_t;

typedef struct {
    tim3_fsck_t *fsck;
    const tim3_fsck_store_t *store;
    const tim3_fsck_store_t *router;
    tim3_fsck_map_t *assets;    /* by key of asset_metrics */
    tim3_fsck_map_t *positions; /* by key of position */
    tim3_log_cursor_t cursor;
    uint64_t gaps; /* numbers of a ledger that the log does not have */
} state_t;

/*  --------------------------------------------------------------------------------------------- deriving  */

static tim3_position_t *position_of (state_t *self, const char *asset, const char *account)
{
    tim3_key_t key = tim3_key_text (asset);
    tim3_key_add_text (&key, account);
    holding_t *holding = tim3_fsck_map_take (self->positions, key.data, key.size);
    snprintf (holding->position.asset, sizeof holding->position.asset, "%s", asset);
    snprintf (holding->position.account, sizeof holding->position.account, "%s", account);
    return &holding->position;
}

static void move_position (state_t *self, tim3_asset_metrics_t *metrics, const char *account, size_t sum,
                           tim3_amount_t amount, tim3_amount_t balance)
{
    tim3_position_t *position = position_of (self, metrics->asset, account);
    tim3_amount_t *counted = (tim3_amount_t *) (void *) ((uint8_t *) position + sum);
    tim3_fsck_add (counted, amount);
    if (position->events++ == 0)
        metrics->positions++;
    metrics->balances += balance - position->balance;
    position->balance = balance;
    position->changed_us = metrics->changed_us;
}

static void apply_minted (state_t *self, tim3_asset_metrics_t *metrics, const tim3_token_changed_t *event)
{
    move_position (self, metrics, event->account, offsetof (tim3_position_t, minted), event->amount,
                   event->balance);
    tim3_fsck_add (&metrics->volume_minted, event->amount);
    metrics->mints++;
}

static void apply_burned (state_t *self, tim3_asset_metrics_t *metrics, const tim3_token_changed_t *event)
{
    move_position (self, metrics, event->account, offsetof (tim3_position_t, redeemed), event->amount,
                   event->balance);
    tim3_fsck_add (&metrics->volume_redeemed, event->amount);
    metrics->redemptions++;
}

static void apply_transferred (state_t *self, tim3_asset_metrics_t *metrics,
                               const tim3_token_transferred_t *event)
{
    move_position (self, metrics, event->account, offsetof (tim3_position_t, sent), event->amount,
                   event->balance);
    move_position (self, metrics, event->to, offsetof (tim3_position_t, received), event->amount,
                   event->to_balance);
    tim3_fsck_add (&metrics->volume_transferred, event->amount);
    metrics->transfers++;
}

static void apply_crossed (state_t *self, tim3_asset_metrics_t *metrics, const tim3_token_crossed_t *event, size_t sum)
{
    move_position (self, metrics, event->account, sum, event->amount, event->balance);
}

static void apply_returned (state_t *self, tim3_asset_metrics_t *metrics, const tim3_token_crossed_t *event)
{
    tim3_position_t *position = position_of (self, metrics->asset, event->account);
    if (position->sent != TIM3_AMOUNT_MAX)
        tim3_fsck_sub (&position->sent, event->amount);
    move_position (self, metrics, event->account, offsetof (tim3_position_t, sent), 0, event->balance);
}

static void apply_event (state_t *self, tim3_asset_metrics_t *metrics, tim3_shard_metrics_t *shard, uint64_t type,
                         const tim3_fsck_event_t *event)
{
    switch (type) {
    case TIM3_MSG_COLLATERAL_LOCKED:
        shard->locked = event->locked.locked;
        shard->overdrawn = event->locked.overdrawn;
        break;
    case TIM3_MSG_COLLATERAL_RELEASED:
        shard->locked = event->released.locked;
        shard->overdrawn = event->released.overdrawn;
        break;
    case TIM3_MSG_TOKEN_MINTED:
        apply_minted (self, metrics, &event->changed);
        shard->supply = event->changed.supply;
        break;
    case TIM3_MSG_TOKEN_BURNED:
        apply_burned (self, metrics, &event->changed);
        shard->supply = event->changed.supply;
        break;
    case TIM3_MSG_TOKEN_TRANSFERRED:
        apply_transferred (self, metrics, &event->transferred);
        shard->supply = event->transferred.supply;
        break;
    case TIM3_MSG_TOKEN_SENT:
        apply_crossed (self, metrics, &event->crossed, offsetof (tim3_position_t, sent));
        shard->supply = event->crossed.supply;
        break;
    case TIM3_MSG_TOKEN_RECEIVED:
        apply_crossed (self, metrics, &event->crossed, offsetof (tim3_position_t, received));
        tim3_fsck_add (&metrics->volume_transferred, event->crossed.amount);
        metrics->transfers++;
        shard->supply = event->crossed.supply;
        break;
    case TIM3_MSG_TOKEN_RETURNED:
        apply_returned (self, metrics, &event->crossed);
        shard->supply = event->crossed.supply;
        break;
    case TIM3_MSG_TRANSACTION_FAILED:
        metrics->refusals++;
        break;
    default:
        break;
    }
}

/*  Events that a restored ledger has published again are passed over; those that never came are counted,
    and so are those whose body says nothing.  */
static void take_item (state_t *self, const tim3_event_item_t *item, const tim3_address_t *source)
{
    tim3_key_t key = tim3_key_text (source->asset);
    asset_t *asset = tim3_fsck_map_take (self->assets, key.data, key.size);
    tim3_asset_metrics_t *metrics = &asset->metrics;
    tim3_shard_metrics_t *shard = &asset->shards[source->shard];
    uint64_t *last = source->role == TIM3_ROLE_LOCK_MANAGER ? &shard->lock_seq : &shard->token_seq;
    tim3_fsck_event_t event;
    asset->shard_seen[source->shard] = true;
    strcpy (metrics->asset, source->asset);
    if (item->seq <= *last)
        return;
    self->gaps += item->seq - *last - 1;
    *last = item->seq;
    metrics->changed_us = item->time_us;
    const tim3_message_t *message = tim3_message (item->type);
    if (!message || message->of_class != TIM3_CLASS_EVENT)
        return;
    if (!tim3_event_read (item->type, &item->body, &event))
        self->gaps++;
    else
        apply_event (self, metrics, shard, item->type, &event);
}

static void derive (state_t *self)
{
    tim3_fsck_events_t events = {.at = {self->router, TIM3_TABLE_LOG, tim3_key_empty ()}};
    tim3_event_item_t item;
    tim3_address_t source;
    while (tim3_fsck_next_event (self->fsck, &events, &item) && item.offset < self->cursor.next)
        if (tim3_address_parse (item.source, &source) &&
            tim3_role_is_asset_ledger (source.role) &&
            source.shard >= 0 && source.shard < TIM3_SHARDS_MAX)
            take_item (self, &item, &source);
}

/*  -------------------------------------------------------------------------------------------- comparing  */

/*  The asset's totals are the sums over its shards.  */
static void sum_shards (asset_t *asset)
{
    tim3_asset_metrics_t *metrics = &asset->metrics;
    tim3_amount_t locked = 0;
    tim3_amount_t overdrawn = 0;
    int carried = 0;
    for (unsigned i = 0; i < TIM3_SHARDS_MAX; i++) {
        const tim3_shard_metrics_t *shard = &asset->shards[i];
        locked += shard->locked;
        carried += locked < shard->locked;
        overdrawn += shard->overdrawn;
        carried -= overdrawn < shard->overdrawn;
        metrics->supply += shard->supply;
        metrics->token_seq += shard->token_seq;
        metrics->lock_seq += shard->lock_seq;
    }
    metrics->locked = carried > 0 || (carried == 0 && locked >= overdrawn) ? locked - overdrawn : 0;
}

static void compare_shards (state_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_SHARD_METRICS, tim3_key_empty ()};
    tim3_shard_metrics_t found;
    while (tim3_fsck_next (self->fsck, &at, &found)) {
        size_t asset_size = (size_t) at.key.size - 1;
        unsigned number = at.key.data[asset_size];
        asset_t *asset = tim3_fsck_map_take (self->assets, at.key.data, asset_size);
        if (number >= TIM3_SHARDS_MAX) {
            tim3_fsck_problem (self->fsck, &at, "no ledger has such a shard");
            continue;
        }
        asset->shard_found[number] = true;
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_shard_metrics, &found, &asset->shards[number], "the log");
    }
}

static void compare_assets (state_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_ASSET_METRICS, tim3_key_empty ()};
    tim3_asset_metrics_t found;
    while (tim3_fsck_next (self->fsck, &at, &found)) {
        asset_t *asset = tim3_fsck_map_take (self->assets, at.key.data, at.key.size);
        asset->found = true;
        sum_shards (asset);
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_asset_metrics, &found, &asset->metrics, "the log");
    }
}

static void compare_positions (state_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_POSITION, tim3_key_empty ()};
    tim3_position_t found;
    while (tim3_fsck_next (self->fsck, &at, &found)) {
        holding_t *holding = tim3_fsck_map_take (self->positions, at.key.data, at.key.size);
        holding->found = true;
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_position, &found, &holding->position, "the log");
    }
}

static void missing (state_t *self, tim3_table_t table, const void *key, size_t key_size)
{
    tim3_fsck_place_t at = {self->store, table, tim3_key_empty ()};
    memcpy (at.key.data, key, key_size);
    at.key.size = (uint16_t) key_size;
    tim3_fsck_problem (self->fsck, &at, "the log has events of it, but there is no row");
}

static void check_asset_found (void *arg, const void *key, size_t key_size, void *value)
{
    const asset_t *asset = value;
    if (!asset->found)
        missing (arg, TIM3_TABLE_ASSET_METRICS, key, key_size);
    for (unsigned i = 0; i < TIM3_SHARDS_MAX; i++) {
        tim3_key_t shard = {.size = (uint16_t) key_size};
        memcpy (shard.data, key, key_size);
        tim3_key_add_u8 (&shard, (uint8_t) i);
        if (asset->shard_seen[i] && !asset->shard_found[i])
            missing (arg, TIM3_TABLE_SHARD_METRICS, shard.data, shard.size);
    }
}

static void check_position_found (void *arg, const void *key, size_t key_size, void *value)
{
    if (!((const holding_t *) value)->found)
        missing (arg, TIM3_TABLE_POSITION, key, key_size);
}

/*  Offset that the next new event will get.  */
static uint64_t log_end (const state_t *self)
{
    tim3_key_t key = tim3_key_u64 (UINT64_MAX);
    tim3_run_t last;
    if (!tim3_store_seek (self->router->store, TIM3_TABLE_LOG, TIM3_SEEK_LE, &key, &last))
        return 1;
    return tim3_key_read_u64 (&key, 0) + last.count;
}

/*  False when the log is not the one that the cursor is of.  */
static bool read_cursor (state_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_LOG_CURSOR, tim3_key_text ("cursor")};
    uint64_t end = log_end (self);
    if (!tim3_fsck_read (&at, &self->cursor))
        self->cursor.next = 1;
    else if (!tim3_id_equal (&self->cursor.log, &self->router->meta.id)) {
        tim3_fsck_problem (self->fsck, &at,
                           "the cursor is of another log than %s has; delete this store, which is "
                           "derived, for a rebuild",
                           self->router->meta.name);
        return false;
    } else if (self->cursor.next > end)
        tim3_fsck_problem (self->fsck, &at, "next is %llu, but the log ends before %llu",
                           (unsigned long long) self->cursor.next, (unsigned long long) end);
    return true;
}

static void check_gaps (state_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_LOG_CURSOR, tim3_key_text ("cursor")};
    if (self->cursor.gaps != self->gaps)
        tim3_fsck_problem (self->fsck, &at, "gaps is %llu, but \"%llu\" by the log",
                           (unsigned long long) self->cursor.gaps, (unsigned long long) self->gaps);
}

static void check_derived (state_t *self)
{
    derive (self);
    compare_shards (self);
    compare_assets (self);
    compare_positions (self);
    tim3_fsck_map_each (self->assets, check_asset_found, self);
    tim3_fsck_map_each (self->positions, check_position_found, self);
    check_gaps (self);
}

void tim3_fsck_state (tim3_fsck_t *fsck, const tim3_fsck_store_t *store)
{
    state_t self = {.fsck = fsck, .store = store};
    self.router = tim3_fsck_store (fsck, TIM3_ROLE_ROUTER, NULL, -1);
    self.assets = tim3_fsck_map_new (sizeof (asset_t));
    self.positions = tim3_fsck_map_new (sizeof (holding_t));
    if (!self.router)
        tim3_fsck_unchecked (fsck, "positions and metrics of %s: the store of the router is not here",
                             store->meta.name);
    else if (read_cursor (&self))
        check_derived (&self);
    tim3_fsck_map_destroy (&self.assets);
    tim3_fsck_map_destroy (&self.positions);
    tim3_fsck_section (fsck, store->meta.name, "%llu positions, %llu assets, log read up to %llu",
                       (unsigned long long) store->rows[TIM3_TABLE_POSITION],
                       (unsigned long long) store->rows[TIM3_TABLE_ASSET_METRICS],
                       self.cursor.next ? (unsigned long long) self.cursor.next - 1 : 0);
}
