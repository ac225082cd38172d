/*  tim3ctl_fsck_locks.c - a lock manager's store: totals and the index of what is unfinished follow from its locks and releases.  */
#include "tim3ctl_fsck.h"

#include <string.h>

/*  What a state implies for the fields of a lock, and for the totals. A release has two of the states.  */
#define CONFIRMED 1u /* the vault has had it */
#define LOCKED 2u    /* counted in locked */
#define FINAL 4u
#define VOID 8u     /* reason is void */
#define REFUSED 16u /* code says why */
static const unsigned s_states[] = {
    [TIM3_LOCK_STATE_REQUESTED] = 0,
    [TIM3_LOCK_STATE_PENDING] = CONFIRMED | LOCKED,
    [TIM3_LOCK_STATE_REFUSING] = REFUSED,
    [TIM3_LOCK_STATE_ACTIVE] = CONFIRMED | LOCKED | FINAL,
    [TIM3_LOCK_STATE_RELEASING] = CONFIRMED | VOID,
    [TIM3_LOCK_STATE_RELEASED] = CONFIRMED | FINAL | VOID,
    [TIM3_LOCK_STATE_REFUSED] = FINAL | VOID | REFUSED,
};

typedef struct {
    tim3_fsck_t *fsck;
    const tim3_fsck_store_t *store;
    tim3_lock_totals_t sums;
    tim3_amount_t burned; /* sum of the releases of redemptions */
} locks_t;

static const char *state_name (const tim3_lock_item_t *item)
{
    return tim3_value_name (tim3_lock_state_values, item->state);
}

/*  A tail is a table number and a tx.  */
static bool find_tail (const tim3_fsck_store_t *store, const uint8_t *tail, tim3_fsck_tail_t *found)
{
    tim3_table_t table = (tim3_table_t) tail[0];
    tim3_lock_item_t item;
    memcpy (found->tx.bytes, tail + 1, sizeof found->tx.bytes);
    found->bit = table == TIM3_TABLE_LOCK ? TIM3_FSCK_DUE : TIM3_FSCK_DUE_RELEASE;
    if ((table != TIM3_TABLE_LOCK && table != TIM3_TABLE_RELEASE)
        || !tim3_fsck_read_tx (store, table, &found->tx, &item))
        return false;
    found->due_us = s_states[item.state] & FINAL ? 0 : item.due_us;
    return true;
}

static const tim3_fsck_due_t s_due = {TIM3_TABLE_LOCK_DUE, TIM3_TABLE_LOCK_DUE_LIST, 1 + sizeof (tim3_id_t), find_tail};

/*  ---------------------------------------------------------------------------------- locks and releases  */

static void check_lock_fields (locks_t *self, const tim3_fsck_place_t *at, const tim3_lock_item_t *item)
{
    unsigned state = s_states[item->state];
    if (item->reason != (state & VOID ? TIM3_RELEASE_REASON_VOID : 0))
        tim3_fsck_problem (self->fsck, at, "reason is %s, but state %s",
                           item->reason ? tim3_value_name (tim3_release_reason_values, item->reason) : "none",
                           state_name (item));
    if (!(state & REFUSED) != (item->code == TIM3_OK))
        tim3_fsck_problem (self->fsck, at, "code is %s, but state %s",
                           tim3_result_name ((unsigned) item->code), state_name (item));
}

static void check_release_fields (locks_t *self, const tim3_fsck_place_t *at, const tim3_lock_item_t *item)
{
    if (item->state != TIM3_LOCK_STATE_RELEASING && item->state != TIM3_LOCK_STATE_RELEASED)
        tim3_fsck_problem (self->fsck, at, "a release cannot be %s", state_name (item));
    if (item->reason != TIM3_RELEASE_REASON_BURN)
        tim3_fsck_problem (self->fsck, at, "reason is %s, but \"burn\" by its table",
                           item->reason ? tim3_value_name (tim3_release_reason_values, item->reason)
                                        : "none");
    if (item->code != TIM3_OK)
        tim3_fsck_problem (self->fsck, at, "code is %s, but releases are not refused",
                           tim3_result_name ((unsigned) item->code));
}

static void check_index (locks_t *self, const tim3_fsck_place_t *at, const tim3_lock_item_t *item)
{
    bool final = s_states[item->state] & FINAL;
    if (!final)
        tim3_fsck_expect_due (self->fsck, at, &s_due, &item->tx,
                              at->table == TIM3_TABLE_LOCK ? TIM3_FSCK_DUE : TIM3_FSCK_DUE_RELEASE);
    if (final != (item->due_us == 0))
        tim3_fsck_problem (self->fsck, at, "due_us is %llu, but state %s", (unsigned long long) item->due_us,
                           state_name (item));
}

/*  All amounts modulo 2^128, as the ledger keeps them.  */
static void count_lock (tim3_lock_totals_t *sums, const tim3_lock_item_t *item)
{
    unsigned state = s_states[item->state];
    if (state & CONFIRMED)
        sums->locks++;
    if (state & REFUSED)
        sums->refused++;
    if (state & LOCKED)
        sums->locked += item->amount;
    if (item->state == TIM3_LOCK_STATE_PENDING)
        sums->in_flight += item->amount;
    if ((state & CONFIRMED) && (state & VOID))
        sums->releases++;
}

static void count_item (locks_t *self, const tim3_fsck_place_t *at, const tim3_lock_item_t *item)
{
    tim3_lock_totals_t *sums = &self->sums;
    if (at->table == TIM3_TABLE_LOCK)
        count_lock (sums, item);
    else {
        sums->releases++;
        self->burned += item->amount;
    }
    if (item->state == TIM3_LOCK_STATE_RELEASING)
        sums->releasing += item->amount;
    sums->unsettled += !(s_states[item->state] & FINAL);
}

static void check_items (locks_t *self, tim3_table_t table)
{
    tim3_fsck_place_t at = {self->store, table, tim3_key_empty ()};
    tim3_lock_item_t item;
    while (tim3_fsck_next (self->fsck, &at, &item)) {
        tim3_lock_item_t derived = item;
        derived.tx = tim3_key_read_id (&at.key, 0);
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_lock_item, &item, &derived, "its key");
        item.tx = derived.tx;
        if (item.amount == 0 || !tim3_account_valid (item.account))
            tim3_fsck_problem (self->fsck, &at, "amount or account is not one that can have been asked for");
        if (!tim3_fsck_is_own (self->store, item.account))
            tim3_fsck_problem (self->fsck, &at, "account %s belongs to another shard", item.account);
        if (table == TIM3_TABLE_LOCK)
            check_lock_fields (self, &at, &item);
        else
            check_release_fields (self, &at, &item);
        check_index (self, &at, &item);
        count_item (self, &at, &item);
    }
}

/*  Locks and releases alone do not tell the sign of what is locked, as either may add up to more than a number holds. One ledger alone
    is never overdrawn.  */
static void check_totals (locks_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_LOCK_TOTALS, tim3_key_text ("totals")};
    tim3_lock_totals_t derived = self->sums;
    tim3_lock_totals_t found;
    tim3_fsck_read (&at, &found);
    derived.locked -= self->burned;
    if (found.overdrawn > 0 && tim3_fsck_shards (self->store) > 1) {
        derived.overdrawn = -derived.locked;
        derived.locked = 0;
    }
    tim3_fsck_compare (self->fsck, &at, &tim3_shape_lock_totals, &found, &derived, "the locks and releases");
}

void tim3_fsck_locks (tim3_fsck_t *fsck, const tim3_fsck_store_t *store)
{
    locks_t self = {.fsck = fsck, .store = store};
    tim3_fsck_due (fsck, store, &s_due);
    check_items (&self, TIM3_TABLE_LOCK);
    check_items (&self, TIM3_TABLE_RELEASE);
    check_totals (&self);
    tim3_fsck_section (fsck, store->meta.name, "%llu locks, %llu releases, %llu not final",
                       (unsigned long long) store->rows[TIM3_TABLE_LOCK],
                       (unsigned long long) store->rows[TIM3_TABLE_RELEASE],
                       (unsigned long long) self.sums.unsettled);
}
