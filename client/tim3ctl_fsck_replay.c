/*  tim3ctl_fsck_replay.c - plays the events of every ledger again, those in the log and then those in its
    outbox: all together must lead to the balances, supply and locked collateral that the ledger has.  */
#include "tim3ctl_fsck_replay.h"

#include <string.h>

static void play_outbox (tim3_fsck_replay_t *self)
{
    tim3_fsck_events_t events = {.at = {self->store, TIM3_TABLE_OUTBOX, tim3_key_empty ()}};
    tim3_event_item_t item;
    while (tim3_fsck_next_event (self->fsck, &events, &item))
        tim3_fsck_play (self, &events.at, &item);
}

static void play_log (tim3_fsck_t *fsck, const tim3_fsck_store_t *router, tim3_fsck_map_t *replays)
{
    tim3_fsck_events_t events = {.at = {router, TIM3_TABLE_LOG, tim3_key_empty ()}};
    tim3_event_item_t item;
    while (tim3_fsck_next_event (fsck, &events, &item)) {
        tim3_fsck_replay_t *replay = tim3_fsck_map_find (replays, item.source, strlen (item.source));
        if (replay)
            tim3_fsck_play (replay, &events.at, &item);
    }
}

/*  ------------------------------------------------------------------------------------------ comparing  */

static void check_accounts (tim3_fsck_replay_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_ACCOUNT, tim3_key_empty ()};
    tim3_account_t account;
    while (tim3_fsck_next (self->fsck, &at, &account)) {
        const tim3_fsck_holder_t *holder = tim3_fsck_holder (self, (const char *) at.key.data);
        tim3_account_t derived = account;
        if (holder->known || self->whole)
            derived.balance = holder->balance;
        if (holder->frozen_known || self->whole)
            derived.frozen = holder->frozen;
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_account, &account, &derived, "its events");
    }
}

static void check_ledger (tim3_fsck_replay_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_LEDGER, tim3_key_text ("ledger")};
    tim3_ledger_t found;
    tim3_fsck_read (&at, &found);
    tim3_ledger_t derived = found;
    if (self->total_known || self->whole)
        derived.supply = self->total;
    if (self->paused_known || self->whole)
        derived.paused = self->paused;
    if (self->cap_known)
        derived.cap = self->cap;
    tim3_fsck_compare (self->fsck, &at, &tim3_shape_ledger, &found, &derived, "its events");
}

static void check_totals (tim3_fsck_replay_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_LOCK_TOTALS, tim3_key_text ("totals")};
    tim3_lock_totals_t found;
    tim3_fsck_read (&at, &found);
    tim3_lock_totals_t derived = found;
    if (self->total_known || self->whole) {
        derived.locked = self->total;
        derived.overdrawn = self->below;
    }
    tim3_fsck_compare (self->fsck, &at, &tim3_shape_lock_totals, &found, &derived, "its events");
}

static void expect_events (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, uint32_t wanted)
{
    tim3_id_t tx = tim3_key_read_id (&at->key, 0);
    uint32_t seen = *tim3_fsck_seen (self->store, &tx);
    const char *name = wanted == TIM3_FSCK_LOCKED  ? "collateral.locked"
                       : wanted == TIM3_FSCK_EVENT ? "any"
                       : wanted == TIM3_FSCK_CAME_BACK ? "transaction.failed"
                                                   : "collateral.released";
    if (!(seen & wanted))
        tim3_fsck_problem (self->fsck, at, "the events do not tell of it (%s)", name);
}

static void check_lock_events (tim3_fsck_replay_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_LOCK, tim3_key_empty ()};
    tim3_lock_item_t item;
    while (tim3_fsck_next (self->fsck, &at, &item)) {
        bool released = item.state == TIM3_LOCK_STATE_RELEASING || item.state == TIM3_LOCK_STATE_RELEASED;
        if (released || item.state == TIM3_LOCK_STATE_PENDING || item.state == TIM3_LOCK_STATE_ACTIVE)
            expect_events (self, &at, TIM3_FSCK_LOCKED);
        if (released)
            expect_events (self, &at, TIM3_FSCK_RELEASED_VOID);
    }
    at = (tim3_fsck_place_t){self->store, TIM3_TABLE_RELEASE, tim3_key_empty ()};
    while (tim3_fsck_next (self->fsck, &at, &item))
        expect_events (self, &at, TIM3_FSCK_RELEASED_BURN);
}

static void check_record_events (tim3_fsck_replay_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_RECORD, tim3_key_empty ()};
    tim3_transaction_t record;
    while (tim3_fsck_next (self->fsck, &at, &record)) {
        /* the sender's shard tells of what was refused here */
        if (tim3_fsck_way (self->store, &record) != TIM3_FSCK_CAME || record.status != TIM3_TX_STATUS_FAILED)
            expect_events (self, &at, TIM3_FSCK_EVENT);
        if (tim3_fsck_came_back (self->store, &record))
            expect_events (self, &at, TIM3_FSCK_CAME_BACK);
    }
}

/*  A log that is newer than all that the ledger has emitted tells nothing of it.  */
static bool is_untold (const tim3_fsck_replay_t *self)
{
    return self->events == 0 && tim3_fsck_last_event (self->store) > 0;
}

static void finish (void *arg, const void *key, size_t key_size, void *value)
{
    uint64_t *events = arg;
    tim3_fsck_replay_t *self = value;
    (void) key;
    (void) key_size;
    play_outbox (self);
    if (is_untold (self))
        self->whole = false;
    if (self->store->address.role == TIM3_ROLE_TOKEN_MANAGER) {
        check_accounts (self);
        check_ledger (self);
        if (self->whole)
            check_record_events (self);
    } else {
        check_totals (self);
        if (self->whole)
            check_lock_events (self);
    }
    if (!self->whole)
        tim3_fsck_unchecked (self->fsck, "%s against events that are not in the log", self->store->meta.name);
    *events += self->events;
    tim3_fsck_map_destroy (&self->holders);
}

void tim3_fsck_replay (tim3_fsck_t *fsck, const tim3_fsck_store_t *router)
{
    tim3_fsck_map_t *replays = tim3_fsck_map_new (sizeof (tim3_fsck_replay_t));
    uint64_t events = 0;
    for (unsigned i = 0; i < fsck->store_count; i++) {
        const tim3_fsck_store_t *store = &fsck->stores[i];
        if (!store->seen)
            continue;
        tim3_fsck_replay_t *replay =
            tim3_fsck_map_take (replays, store->meta.name, strlen (store->meta.name));
        *replay = (tim3_fsck_replay_t){.fsck = fsck, .store = store, .whole = true};
        replay->holders = tim3_fsck_map_new (sizeof (tim3_fsck_holder_t));
    }
    play_log (fsck, router, replays);
    tim3_fsck_map_each (replays, finish, &events);
    tim3_fsck_map_destroy (&replays);
    tim3_fsck_section (fsck, "events against ledgers", "%llu events played", (unsigned long long) events);
}
