/*  tim3ctl_fsck_play.c - plays a ledger's events one by one, each against its record and the events
    before.  */
#include "tim3ctl_fsck_replay.h"

#include <string.h>

/*  ----------------------------------------------------------------------------------------- balances  */

/*  Moves a sum by an event's amount and compares it with what the event says of it.  */
static void move_sum (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const char *what, bool *known,
                      tim3_amount_t *sum, tim3_amount_t amount, bool up, tim3_amount_t told)
{
    char is[TIM3_AMOUNT_TEXT_MAX];
    char should[TIM3_AMOUNT_TEXT_MAX];
    if (up)
        tim3_fsck_add (sum, amount);
    else
        tim3_fsck_sub (sum, amount);
    if ((*known || self->whole) && *sum != told)
        tim3_fsck_problem (self->fsck, at, "event %llu tells %s %s, but \"%s\" by the events before",
                           (unsigned long long) self->seq, what, tim3_amount_format_units (told, is),
                           tim3_amount_format_units (*sum, should));
    *sum = told;
    *known = true;
}

tim3_fsck_holder_t *tim3_fsck_holder (tim3_fsck_replay_t *self, const char *account)
{
    return tim3_fsck_map_take (self->holders, account, strlen (account));
}

static void move_balance (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const char *account,
                          tim3_amount_t amount, bool up, tim3_amount_t told)
{
    tim3_fsck_holder_t *holder = tim3_fsck_holder (self, account);
    move_sum (self, at, account, &holder->known, &holder->balance, amount, up, told);
}

static void move_total (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const char *what,
                        tim3_amount_t amount, bool up, tim3_amount_t told)
{
    move_sum (self, at, what, &self->total_known, &self->total, amount, up, told);
}

/*  The same for what is locked, or released beyond that.  */
static void move_locked (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, tim3_amount_t amount, bool up,
                         tim3_amount_t locked, tim3_amount_t overdrawn)
{
    char is[TIM3_AMOUNT_TEXT_MAX];
    char should[TIM3_AMOUNT_TEXT_MAX];
    tim3_fsck_move_net (up ? &self->total : &self->below, up ? &self->below : &self->total, amount);
    if ((self->total_known || self->whole) && (self->total != locked || self->below != overdrawn))
        tim3_fsck_problem (self->fsck, at, "event %llu tells locked %s, but \"%s\" by the events before",
                           (unsigned long long) self->seq, tim3_amount_format_units (locked, is),
                           tim3_amount_format_units (self->total, should));
    self->total = locked;
    self->below = overdrawn;
    self->total_known = true;
}

/*  -------------------------------------------------------------------------------- events and records  */

static void mark (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_id_t *tx, uint32_t bit)
{
    uint32_t *seen = tim3_fsck_seen (self->store, tx);
    if (*seen & bit)
        tim3_fsck_problem (self->fsck, at, "event %llu tells what an event before has told",
                           (unsigned long long) self->seq);
    *seen |= bit;
}

static void check_time (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, uint64_t decided_us)
{
    if (self->time_us != decided_us)
        tim3_fsck_problem (self->fsck, at, "time_us is %llu, but \"%llu\" by the ledger's record",
                           (unsigned long long) self->time_us, (unsigned long long) decided_us);
}

/*  The record that an event of the token manager tells of, if it is of that kind and status.  */
static bool find_record (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_id_t *tx,
                         unsigned kind, bool failed, tim3_transaction_t *record)
{
    char text[TIM3_ID_TEXT_MAX];
    bool found = tim3_fsck_read_tx (self->store, TIM3_TABLE_RECORD, tx, record);
    mark (self, at, tx, TIM3_FSCK_EVENT);
    if (found && record->kind == kind && failed == (record->status == TIM3_TX_STATUS_FAILED)) {
        check_time (self, at, record->time_us);
        return true;
    }
    tim3_fsck_problem (self->fsck, at, "event %llu tells of a %s %s that %s has not recorded so",
                       (unsigned long long) self->seq, tim3_value_name (tim3_tx_kind_values, kind),
                       tim3_id_format (tx, text), self->store->meta.name);
    return false;
}

static void play_changed (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_fsck_event_t *event,
                          unsigned kind)
{
    const tim3_token_changed_t *told = &event->changed;
    tim3_transaction_t record;
    bool up = kind == TIM3_TX_KIND_MINT;
    move_balance (self, at, told->account, told->amount, up, told->balance);
    move_total (self, at, "supply", told->amount, up, told->supply);
    if (!find_record (self, at, &told->tx, kind, false, &record))
        return;
    tim3_token_changed_t derived = {.tx = told->tx, .amount = record.amount, .balance = record.balance};
    strcpy (derived.account, record.account);
    derived.supply = record.supply;
    tim3_fsck_compare (self->fsck, at, &tim3_shape_token_changed, told, &derived, "the ledger's record");
}

static void play_minted (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_fsck_event_t *event)
{
    play_changed (self, at, event, TIM3_TX_KIND_MINT);
}

static void play_burned (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_fsck_event_t *event)
{
    play_changed (self, at, event, TIM3_TX_KIND_REDEEM);
}

static void play_transferred (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_fsck_event_t *event)
{
    const tim3_token_transferred_t *told = &event->transferred;
    tim3_transaction_t record;
    move_balance (self, at, told->account, told->amount, false, told->balance);
    move_balance (self, at, told->to, told->amount, true, told->to_balance);
    move_total (self, at, "supply", 0, true, told->supply);
    if (!find_record (self, at, &told->tx, TIM3_TX_KIND_TRANSFER, false, &record))
        return;
    tim3_token_transferred_t derived = {.tx = told->tx, .amount = record.amount, .balance = record.balance};
    strcpy (derived.account, record.account);
    strcpy (derived.to, record.to);
    derived.to_balance = record.to_balance;
    derived.supply = record.supply;
    tim3_fsck_compare (self->fsck, at, &tim3_shape_token_transferred, told, &derived, "the ledger's record");
}

/*  The record of a transfer that has left, arrived or come back, whatever became of it since.  */
static bool find_crossing (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_token_crossed_t *told,
                           uint32_t bit, tim3_fsck_way_t way, tim3_transaction_t *record)
{
    char text[TIM3_ID_TEXT_MAX];
    bool found = tim3_fsck_read_tx (self->store, TIM3_TABLE_RECORD, &told->tx, record);
    if (bit)
        mark (self, at, &told->tx, bit);
    if (found && tim3_fsck_way (self->store, record) == way)
        return true;
    tim3_fsck_problem (self->fsck, at, "event %llu tells of a transfer %s between shards that %s has not recorded so",
                       (unsigned long long) self->seq, tim3_id_format (&told->tx, text), self->store->meta.name);
    return false;
}

static void compare_crossed (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at,
                             const tim3_token_crossed_t *told, const tim3_transaction_t *record, bool to,
                             tim3_amount_t balance, tim3_amount_t supply)
{
    tim3_token_crossed_t derived = {.tx = told->tx, .amount = record->amount, .balance = balance};
    strcpy (derived.account, to ? record->to : record->account);
    strcpy (derived.other, to ? record->account : record->to);
    derived.supply = supply;
    tim3_fsck_compare (self->fsck, at, &tim3_shape_token_crossed, told, &derived, "the ledger's record");
}

static void play_crossed (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_token_crossed_t *told,
                          bool up)
{
    move_balance (self, at, told->account, told->amount, up, told->balance);
    move_total (self, at, "supply", told->amount, up, told->supply);
}

static void play_sent (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_fsck_event_t *event)
{
    tim3_transaction_t record;
    play_crossed (self, at, &event->crossed, false);
    if (!find_crossing (self, at, &event->crossed, TIM3_FSCK_EVENT, TIM3_FSCK_LEAVES, &record))
        return;
    check_time (self, at, record.time_us);
    compare_crossed (self, at, &event->crossed, &record, false, record.balance, record.supply);
}

static void play_received (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_fsck_event_t *event)
{
    tim3_transaction_t record;
    play_crossed (self, at, &event->crossed, true);
    if (!find_crossing (self, at, &event->crossed, TIM3_FSCK_EVENT, TIM3_FSCK_CAME, &record))
        return;
    check_time (self, at, record.time_us);
    compare_crossed (self, at, &event->crossed, &record, true, record.to_balance, record.supply);
}

static void play_returned (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_fsck_event_t *event)
{
    tim3_transaction_t record;
    play_crossed (self, at, &event->crossed, true);
    /* the supply in the record is that of when it left */
    if (find_crossing (self, at, &event->crossed, 0, TIM3_FSCK_LEAVES, &record))
        compare_crossed (self, at, &event->crossed, &record, false, record.to_balance, event->crossed.supply);
}

static void apply_control (tim3_fsck_replay_t *self, const tim3_token_controlled_t *told)
{
    tim3_fsck_holder_t *holder;
    switch (told->control) {
    case TIM3_CONTROL_PAUSE:
    case TIM3_CONTROL_UNPAUSE:
        self->paused = told->control == TIM3_CONTROL_PAUSE;
        self->paused_known = true;
        break;
    case TIM3_CONTROL_CAP:
        self->cap = told->amount;
        self->cap_known = true;
        break;
    default:
        holder = tim3_fsck_holder (self, told->account);
        holder->frozen = told->control == TIM3_CONTROL_FREEZE;
        holder->frozen_known = true;
        break;
    }
}

/*  What a control has recorded, and left as it was.  */
static void check_found (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const char *what, bool known,
                         tim3_amount_t sum, tim3_amount_t recorded)
{
    char is[TIM3_AMOUNT_TEXT_MAX];
    char should[TIM3_AMOUNT_TEXT_MAX];
    if ((known || self->whole) && recorded != sum)
        tim3_fsck_problem (self->fsck, at, "event %llu is of a control whose record tells %s %s, but \"%s\" by the events before",
                           (unsigned long long) self->seq, what, tim3_amount_format_units (recorded, is),
                           tim3_amount_format_units (sum, should));
}

static void play_controlled (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_fsck_event_t *event)
{
    const tim3_token_controlled_t *told = &event->controlled;
    tim3_transaction_t record;
    apply_control (self, told);
    if (!find_record (self, at, &told->tx, TIM3_TX_KIND_CONTROL, false, &record))
        return;
    tim3_token_controlled_t derived = {.tx = told->tx, .control = record.control, .amount = record.amount};
    strcpy (derived.account, record.account);
    tim3_fsck_compare (self->fsck, at, &tim3_shape_token_controlled, told, &derived, "the ledger's record");
    check_found (self, at, "supply", self->total_known, self->total, record.supply);
    if (record.account[0]) {
        const tim3_fsck_holder_t *holder = tim3_fsck_holder (self, record.account);
        check_found (self, at, record.account, holder->known, holder->balance, record.balance);
    }
}

static void play_failed (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_fsck_event_t *event)
{
    const tim3_transaction_failed_t *told = &event->failed;
    tim3_transaction_t record;
    if (tim3_fsck_read_tx (self->store, TIM3_TABLE_RECORD, &told->tx, &record) && tim3_fsck_came_back (self->store, &record))
        mark (self, at, &told->tx, TIM3_FSCK_CAME_BACK);
    else if (!find_record (self, at, &told->tx, told->kind, true, &record))
        return;
    tim3_transaction_failed_t derived = {.tx = told->tx, .kind = record.kind, .amount = record.amount};
    strcpy (derived.account, record.account);
    derived.code = record.code;
    tim3_fsck_compare (self->fsck, at, &tim3_shape_transaction_failed, told, &derived, "the ledger's record");
}

/*  The lock or release that an event of the lock manager tells of.  */
static bool find_item (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_id_t *tx,
                       tim3_table_t table, uint32_t bit, tim3_lock_item_t *item)
{
    char text[TIM3_ID_TEXT_MAX];
    mark (self, at, tx, bit);
    if (tim3_fsck_read_tx (self->store, table, tx, item))
        return true;
    tim3_fsck_problem (self->fsck, at, "event %llu tells of %s %s, which %s does not have",
                       (unsigned long long) self->seq, tim3_table (table)->name, tim3_id_format (tx, text),
                       self->store->meta.name);
    return false;
}

static void play_locked (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_fsck_event_t *event)
{
    const tim3_collateral_locked_t *told = &event->locked;
    tim3_lock_item_t item;
    move_locked (self, at, told->amount, true, told->locked, told->overdrawn);
    if (!find_item (self, at, &told->tx, TIM3_TABLE_LOCK, TIM3_FSCK_LOCKED, &item))
        return;
    tim3_collateral_locked_t derived = {.tx = told->tx, .amount = item.amount, .locked = told->locked};
    derived.overdrawn = told->overdrawn;
    strcpy (derived.account, item.account);
    tim3_fsck_compare (self->fsck, at, &tim3_shape_collateral_locked, told, &derived, "the ledger's record");
    if (item.state == TIM3_LOCK_STATE_PENDING)
        check_time (self, at, item.changed_us);
    if (item.state == TIM3_LOCK_STATE_REQUESTED || item.code != TIM3_OK)
        tim3_fsck_problem (self->fsck, at,
                           "the lock is %s, but the event says that the vault has the collateral",
                           tim3_value_name (tim3_lock_state_values, item.state));
}

static void play_released (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_fsck_event_t *event)
{
    const tim3_collateral_released_t *told = &event->released;
    bool burn = told->reason == TIM3_RELEASE_REASON_BURN;
    tim3_lock_item_t item;
    move_locked (self, at, told->amount, false, told->locked, told->overdrawn);
    if (!find_item (self, at, &told->tx, burn ? TIM3_TABLE_RELEASE : TIM3_TABLE_LOCK,
                    burn ? TIM3_FSCK_RELEASED_BURN : TIM3_FSCK_RELEASED_VOID, &item))
        return;
    tim3_collateral_released_t derived = {.tx = told->tx, .amount = item.amount, .reason = item.reason};
    strcpy (derived.account, item.account);
    derived.locked = told->locked;
    derived.overdrawn = told->overdrawn;
    tim3_fsck_compare (self->fsck, at, &tim3_shape_collateral_released, told, &derived,
                       "the ledger's record");
    if (burn)
        check_time (self, at, item.created_us);
    else if (item.state == TIM3_LOCK_STATE_RELEASING)
        check_time (self, at, item.changed_us);
}

/*  -------------------------------------------------------------------------------------------- playing  */

static const struct {
    uint64_t type;
    void (*play) (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_fsck_event_t *event);
} s_plays[] = {{TIM3_MSG_COLLATERAL_LOCKED, play_locked},      {TIM3_MSG_COLLATERAL_RELEASED, play_released},
               {TIM3_MSG_TOKEN_MINTED, play_minted},           {TIM3_MSG_TOKEN_BURNED, play_burned},
               {TIM3_MSG_TOKEN_TRANSFERRED, play_transferred}, {TIM3_MSG_TOKEN_CONTROLLED, play_controlled},
               {TIM3_MSG_TOKEN_SENT, play_sent},               {TIM3_MSG_TOKEN_RECEIVED, play_received},
               {TIM3_MSG_TOKEN_RETURNED, play_returned},       {TIM3_MSG_TRANSACTION_FAILED, play_failed}};

static void play_body (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_event_item_t *item)
{
    tim3_fsck_event_t event;
    for (unsigned i = 0; i < sizeof s_plays / sizeof s_plays[0]; i++) {
        if (s_plays[i].type != item->type)
            continue;
        if (tim3_event_read (item->type, &item->body, &event))
            s_plays[i].play (self, at, &event);
        else
            tim3_fsck_problem (self->fsck, at, "the body of event %llu cannot be read",
                               (unsigned long long) item->seq);
        return;
    }
}

static void forget (void *arg, const void *key, size_t key_size, void *value)
{
    tim3_fsck_holder_t *holder = value;
    (void) arg;
    (void) key;
    (void) key_size;
    *holder = (tim3_fsck_holder_t){.balance = 0};
}

/*  What was played already is passed over: a restored ledger publishes some of it again.  */
void tim3_fsck_play (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_event_item_t *item)
{
    if (item->seq <= self->seq)
        return;
    if (item->seq != self->seq + 1) {
        self->whole = self->total_known = self->paused_known = self->cap_known = false;
        tim3_fsck_map_each (self->holders, forget, NULL);
    }
    self->seq = item->seq;
    self->time_us = item->time_us;
    self->events++;
    play_body (self, at, item);
}
