/*  core.c - the collateral ledger of one asset: locks for mints, releases for voided mints and redemptions.

    Collateral moves only against evidence. Into the vault: because the collateral token says so under the vault's
    key. Out of it: on a void or burn receipt of the token manager. `locked` rises after the vault has risen and
    falls before the vault falls, so that vault >= locked holds at every instant.

    It may be one of several shards. Tokens move between shards and locks do not, so one may have to release more than was locked
    there: `overdrawn` counts that, and what the asset has locked is `locked` less `overdrawn` over all shards.

    Order of checks: field rules, shard, receipt, known tx (same fields: where it stands; other fields: id_reused), state.
    Everything that is not final has a place in LOCK_DUE, by which the sweep finds it and pushes it on:
        requested  ask the collateral token again          pending   ask the token manager what became of it
        releasing  ask the collateral token again          refusing  have the token manager record the refusal
*/
#include "core.h"
#include "agent/due.h"
#include "agent/page.h"
#include "agent/rules.h"
#include "agent/waiters.h"
#include "base/canary.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAITERS_MOST 65536
#define WAIT_MOST_US 30000000
#define TAIL_SIZE (1 + sizeof (tim3_id_t)) /* a place: table number, tx */

/*  Moves a lock may make, by state: a mask of next states.  */
#define TO(NAME) (1u << TIM3_LOCK_STATE_##NAME)
static const unsigned s_moves[] = {
    [0] = TO (REQUESTED) | TO (RELEASING), /* a new lock; a new release of a redemption */
    [TIM3_LOCK_STATE_REQUESTED] = TO (PENDING) | TO (REFUSING),
    [TIM3_LOCK_STATE_PENDING] = TO (ACTIVE) | TO (RELEASING),
    [TIM3_LOCK_STATE_REFUSING] = TO (REFUSED),
    [TIM3_LOCK_STATE_ACTIVE] = 0,
    [TIM3_LOCK_STATE_RELEASING] = TO (RELEASED),
    [TIM3_LOCK_STATE_RELEASED] = 0,
    [TIM3_LOCK_STATE_REFUSED] = 0,
};

typedef struct {
    const tim3_settings_t *settings;
    tim3_waiters_t *waiters;
    tim3_lock_totals_t totals; /* of the batch at hand: read once, written once */
    bool totals_read;
    bool totals_changed;
    tim3_due_t *due; /* what is not final */
    uint64_t bad_receipts;
    uint64_t conflicts; /* valid evidence that does not fit the ledger: must stay 0 */
    uint64_t swept;
} self_t;

/*  ---------------------------------------------------------------------------------------------- the store
    A lock (of a mint) and a release (of a redemption) are the same record in two tables.  */

static tim3_key_t totals_key (void)
{
    return tim3_key_text ("totals");
}

static void read_totals (self_t *self, tim3_env_t *env, tim3_lock_totals_t *totals)
{
    if (!self->totals_read) {
        tim3_key_t key = totals_key ();
        tim3_store_read (tim3_env_store (env), TIM3_TABLE_LOCK_TOTALS, &key, &self->totals);
    }
    self->totals_read = true;
    *totals = self->totals;
}

static void write_totals (self_t *self, const tim3_lock_totals_t *totals)
{
    self->totals = *totals;
    self->totals_changed = true;
}

/*  Nearly every message changes the totals: they are written once for the whole batch.  */
static void end_batch (void *state, tim3_env_t *env)
{
    self_t *self = state;
    tim3_key_t key = totals_key ();
    if (self->totals_changed)
        tim3_store_write (tim3_env_store (env), TIM3_TABLE_LOCK_TOTALS, &key, &self->totals);
    tim3_due_write (self->due, env);
    self->totals_read = false;
    self->totals_changed = false;
}

static bool read_item (tim3_env_t *env, tim3_table_t table, const tim3_id_t *tx, tim3_lock_item_t *item)
{
    tim3_key_t key;
    tim3_key_set_id (&key, tx);
    return tim3_store_read (tim3_env_store (env), table, &key, item);
}

/*  Checking a receipt takes a while: meanwhile the row that will be read next comes into the processor's cache.  */
static void fetch_item (tim3_env_t *env, tim3_table_t table, const tim3_id_t *tx)
{
    tim3_key_t key;
    tim3_key_set_id (&key, tx);
    tim3_store_fetch (tim3_env_store (env), table, &key);
}

/*  Reads the record at a place: its table number, then its tx.  */
static bool read_place (tim3_env_t *env, const uint8_t *place, tim3_lock_item_t *item)
{
    tim3_id_t tx;
    memcpy (tx.bytes, place + 1, sizeof tx.bytes);
    return read_item (env, (tim3_table_t) place[0], &tx, item);
}

/*  A redemption's release has the reason BURN from its beginning. A lock has none, or VOID once it is voided.  */
static tim3_table_t table_of (const tim3_lock_item_t *item)
{
    return item->reason == TIM3_RELEASE_REASON_BURN ? TIM3_TABLE_RELEASE : TIM3_TABLE_LOCK;
}

static void write_item (tim3_env_t *env, const tim3_lock_item_t *item)
{
    tim3_key_t key;
    tim3_key_set_id (&key, &item->tx);
    tim3_store_write (tim3_env_store (env), table_of (item), &key, item);
}

static bool is_final (unsigned state)
{
    return s_moves[state] == 0;
}

static void set_due (self_t *self, tim3_env_t *env, tim3_lock_item_t *item)
{
    uint8_t place[TAIL_SIZE];
    place[0] = (uint8_t) table_of (item);
    memcpy (place + 1, item->tx.bytes, sizeof item->tx.bytes);
    tim3_due_set (self->due, env, place, item->attempts, &item->due_us);
}

/*  The totals in_flight and releasing are of what is not confirmed yet. When confirmations are late, the same collateral may have been
    locked or released again meanwhile, and counts twice: the sums may be more than all the collateral there is. Nothing is decided by
    them, and they are kept modulo 2^128: once all is confirmed they are right again.  */
static void add_unconfirmed (tim3_amount_t *sum, tim3_amount_t amount)
{
    TIM3_ASSERT (!TIM3_CANARY_IS (22) || *sum <= TIM3_AMOUNT_MAX - amount);
    *sum += amount;
}

static void take_unconfirmed (tim3_amount_t *sum, tim3_amount_t amount)
{
    *sum -= amount;
}

/*  `locked` and `overdrawn` are one signed number, of which one is always zero: what is added to the one is first taken from the other. With
    several shards either can grow beyond all the collateral there is, as tokens go round. Both are kept modulo 2^128, so the difference of
    their sums over all shards is right.  */
static void move_net (tim3_amount_t *up, tim3_amount_t *down, tim3_amount_t amount)
{
    tim3_amount_t taken = *down < amount ? *down : amount;
    *down -= taken;
    *up += amount - taken;
}

/*  A ledger with one shard cannot overflow: the vault holds at least as much, in a unit that is no larger.  */
static void count_lock (const self_t *self, tim3_lock_totals_t *totals, tim3_amount_t amount)
{
    TIM3_ASSERT (self->settings->shards > 1 || totals->locked <= TIM3_AMOUNT_MAX - amount);
    move_net (&totals->locked, &totals->overdrawn, amount);
}

/*  Moves an item to its next state, keeps count of what is unsettled, and writes it.  */
static void move (self_t *self, tim3_env_t *env, tim3_lock_item_t *item, tim3_lock_totals_t *totals,
                  tim3_lock_state_t next)
{
    TIM3_ASSERT (s_moves[item->state] & 1u << next);
    item->state = (uint8_t) next;
    item->changed_us = tim3_env_now (env);
    if (is_final (next)) {
        TIM3_ASSERT (totals->unsettled > 0);
        totals->unsettled--;
        tim3_due_clear (self->due, env, &item->due_us);
    }
    write_item (env, item);
    write_totals (self, totals);
}

/*  Makes a record that is not final. Its reason, by which table_of finds its table, must be set already.  */
static void begin_item (self_t *self, tim3_env_t *env, tim3_lock_item_t *item,
                        tim3_lock_totals_t *totals, tim3_lock_state_t state)
{
    item->created_us = tim3_env_now (env);
    totals->unsettled++;
    set_due (self, env, item);
    move (self, env, item, totals, state);
}

static tim3_lock_item_t new_item (const tim3_id_t *tx, const char *account, tim3_amount_t amount)
{
    tim3_lock_item_t item = {.tx = *tx, .amount = amount};
    strcpy (item.account, account);
    return item;
}

static bool same_request (const tim3_lock_item_t *item, const char *account, tim3_amount_t amount)
{
    return item->amount == amount && strcmp (item->account, account) == 0;
}

/*  ------------------------------------------------------------------------------------------- receipts  */

static tim3_mac_t make_receipt (const self_t *self, tim3_receipt_kind_t kind, const tim3_lock_item_t *item,
                                uint64_t extra)
{
    tim3_claim_t claim = {kind, self->settings->asset, item->tx, item->account, item->amount, extra};
    return tim3_receipt_make (&self->settings->evidence_key, &claim);
}

/*  Whether a receipt under the key of the asset's evidence holds.  */
static bool is_proven (self_t *self, tim3_receipt_kind_t kind, const tim3_id_t *tx, const char *account,
                       tim3_amount_t amount, const tim3_mac_t *receipt, uint64_t extra)
{
    tim3_claim_t claim = {kind, self->settings->asset, *tx, account, amount, extra};
    bool proven = tim3_receipt_check (&self->settings->evidence_key, &claim, receipt);
    self->bad_receipts += !proven;
    return proven;
}

/*  The same, and refuses the message at hand when it does not.  */
static bool check_evidence (self_t *self, tim3_env_t *env, tim3_receipt_kind_t kind, const tim3_id_t *tx,
                            const char *account, tim3_amount_t amount, const tim3_mac_t *receipt,
                            uint64_t extra)
{
    if (is_proven (self, kind, tx, account, amount, receipt, extra))
        return true;
    tim3_env_refuse (env, TIM3_BAD_RECEIPT, tx, NULL);
    return false;
}

static bool check_vault (self_t *self, tim3_receipt_kind_t kind, const tim3_vault_move_t *answer,
                         uint64_t extra)
{
    tim3_claim_t claim = {kind, answer->vault, answer->tx, answer->account, answer->amount, extra};
    if (strcmp (answer->vault, self->settings->asset) == 0
        && tim3_receipt_check (&self->settings->vault_key, &claim, &answer->receipt))
        return true;
    self->bad_receipts++;
    return false;
}

/*  In the collateral's unit. check_fields has seen that it fits.  */
static tim3_amount_t in_collateral (const self_t *self, tim3_amount_t amount)
{
    tim3_amount_t product;
    TIM3_ASSERT (tim3_amount_mul (amount, self->settings->scale, &product));
    return product;
}

/*  --------------------------------------------------------------------------------------------- messages  */

static void ask_vault (const self_t *self, tim3_env_t *env, const tim3_lock_item_t *item, bool lock)
{
    tim3_vault_move_t ask = {.tx = item->tx, .amount = in_collateral (self, item->amount)};
    tim3_receipt_kind_t kind = lock ? TIM3_RECEIPT_KIND_VAULT_LOCK : TIM3_RECEIPT_KIND_VAULT_UNLOCK;

    ask.reason = lock ? 0 : item->reason;
    strcpy (ask.vault, self->settings->asset);
    strcpy (ask.account, item->account);
    tim3_claim_t claim = {kind, ask.vault, ask.tx, ask.account, ask.amount, ask.reason};
    ask.receipt = tim3_receipt_make (&self->settings->vault_key, &claim);
    tim3_env_send (env, self->settings->collateral, lock ? TIM3_MSG_VAULT_LOCK : TIM3_MSG_VAULT_UNLOCK, &ask);
}

static void send_to_token_manager (const self_t *self, tim3_env_t *env, const char *account, tim3_type_t type,
                                   const void *body)
{
    char address[TIM3_ADDRESS_MAX + 1];
    tim3_address_format (TIM3_ROLE_TOKEN_MANAGER, self->settings->asset,
                         (int) tim3_account_shard (account, self->settings->shards), address);
    tim3_env_send (env, address, type, body);
}

static tim3_receipt_t locked_body (const self_t *self, const tim3_lock_item_t *item)
{
    tim3_receipt_t body = {.tx = item->tx, .amount = item->amount};
    strcpy (body.account, item->account);
    body.receipt = make_receipt (self, TIM3_RECEIPT_KIND_LOCK, item, 0);
    return body;
}

static tim3_refusal_t refused_body (const self_t *self, const tim3_lock_item_t *item)
{
    tim3_refusal_t body = {.tx = item->tx, .amount = item->amount, .code = item->code};
    strcpy (body.account, item->account);
    body.available = item->available;
    body.needed = item->needed;
    body.receipt = make_receipt (self, TIM3_RECEIPT_KIND_REFUSAL, item, item->code);
    return body;
}

static tim3_release_t released_body (const self_t *self, const tim3_lock_item_t *item,
                                     tim3_release_reason_t reason)
{
    tim3_release_t body = {.tx = item->tx, .amount = item->amount, .reason = (uint8_t) reason};
    strcpy (body.account, item->account);
    body.receipt = make_receipt (self, TIM3_RECEIPT_KIND_RELEASE, item, reason);
    return body;
}

/*  Answers one who asked for a lock that is past requested.  */
static void answer_lock (const self_t *self, tim3_env_t *env, const tim3_return_t *to,
                         const tim3_lock_item_t *item)
{
    if (item->state == TIM3_LOCK_STATE_REFUSING || item->state == TIM3_LOCK_STATE_REFUSED) {
        tim3_refusal_t body = refused_body (self, item);
        tim3_env_reply_to (env, to, TIM3_MSG_LOCK_REFUSED, &body);
    } else {
        tim3_receipt_t body = locked_body (self, item);
        tim3_env_reply_to (env, to, TIM3_MSG_LOCKED, &body);
    }
}

static void answer_lock_waiters (const self_t *self, tim3_env_t *env, const tim3_lock_item_t *item)
{
    tim3_return_t to;
    while (tim3_waiters_take (self->waiters, &item->tx, TIM3_MSG_LOCK, &to))
        answer_lock (self, env, &to, item);
}

static void answer_release_waiters (const self_t *self, tim3_env_t *env, const tim3_lock_item_t *item,
                                    tim3_release_reason_t reason)
{
    tim3_release_t body = released_body (self, item, reason);
    tim3_return_t to;
    while (tim3_waiters_take (self->waiters, &item->tx, TIM3_MSG_RELEASE, &to))
        tim3_env_reply_to (env, &to, TIM3_MSG_RELEASED, &body);
}

static void wait (const self_t *self, tim3_env_t *env, const tim3_id_t *tx)
{
    tim3_return_t to = tim3_env_return (env);
    if (to.peer_size > 0 && !tim3_waiters_add (self->waiters, tx, &to, tim3_env_now (env)))
        tim3_env_refuse (env, TIM3_OVERLOADED, tx, NULL);
}

/*  -------------------------------------------------------------------------------------------------- lock  */

/*  Refuses an amount that would not fit 128 bits in the collateral's unit. No state can ever change that, so nothing is recorded.  */
static bool fits_collateral (const self_t *self, tim3_env_t *env, const tim3_id_t *tx, tim3_amount_t amount)
{
    tim3_amount_t product;
    if (tim3_amount_mul (amount, self->settings->scale, &product))
        return true;
    tim3_env_refuse (env, TIM3_INVALID_AMOUNT, tx, NULL);
    return false;
}

static bool check_fields (const self_t *self, tim3_env_t *env, const tim3_id_t *tx, const char *account,
                          tim3_amount_t amount)
{
    return tim3_rule_account (env, tx, account) && tim3_rule_amount (env, tx, amount)
           && fits_collateral (self, env, tx, amount) && tim3_rule_shard (env, self->settings, tx, account);
}

static void on_lock (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_lock_t *ask = body;
    tim3_lock_item_t item;
    tim3_lock_totals_t totals;

    if (!check_fields (self, env, &ask->tx, ask->account, ask->amount))
        return;
    if (!read_item (env, TIM3_TABLE_LOCK, &ask->tx, &item)) {
        item = new_item (&ask->tx, ask->account, ask->amount);
        read_totals (self, env, &totals);
        begin_item (self, env, &item, &totals, TIM3_LOCK_STATE_REQUESTED);
    }
    if (!same_request (&item, ask->account, ask->amount))
        tim3_env_refuse (env, TIM3_ID_REUSED, &ask->tx, NULL);
    else if (item.state != TIM3_LOCK_STATE_REQUESTED || TIM3_CANARY_IS (13)) {
        tim3_return_t to = tim3_env_return (env);
        answer_lock (self, env, &to, &item);
    } else {
        wait (self, env, &item.tx);
        ask_vault (self, env, &item, true);
    }
}

/*  Finds the lock that an answer of the collateral token is about; false when it is no longer REQUESTED, for then the answer was taken
    before.  */
static bool find_requested (const self_t *self, tim3_env_t *env, const tim3_id_t *tx, const char *account,
                            tim3_amount_t collateral, tim3_lock_item_t *item)
{
    return read_item (env, TIM3_TABLE_LOCK, tx, item) && item->state == TIM3_LOCK_STATE_REQUESTED
           && strcmp (item->account, account) == 0 && in_collateral (self, item->amount) == collateral;
}

static void on_vault_locked (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_vault_move_t *answer = body;
    tim3_lock_item_t item;
    tim3_lock_totals_t totals;

    fetch_item (env, TIM3_TABLE_LOCK, &answer->tx);
    if (!check_vault (self, TIM3_RECEIPT_KIND_VAULT_LOCKED, answer, 0)
        || !find_requested (self, env, &answer->tx, answer->account, answer->amount, &item))
        return;
    read_totals (self, env, &totals);
    count_lock (self, &totals, item.amount);
    add_unconfirmed (&totals.in_flight, item.amount);
    totals.locks++;
    move (self, env, &item, &totals, TIM3_LOCK_STATE_PENDING);
    tim3_collateral_locked_t event = {.tx = item.tx, .amount = item.amount};
    event.locked = totals.locked;
    event.overdrawn = totals.overdrawn;
    strcpy (event.account, item.account);
    tim3_env_emit (env, TIM3_MSG_COLLATERAL_LOCKED, &event);
    answer_lock_waiters (self, env, &item);
}

static void on_vault_refused (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_vault_refused_t *answer = body;
    tim3_vault_move_t moved = {.tx = answer->tx, .amount = answer->amount, .receipt = answer->receipt};
    tim3_lock_item_t item;
    tim3_lock_totals_t totals;

    strcpy (moved.vault, answer->vault);
    strcpy (moved.account, answer->account);
    if (!check_vault (self, TIM3_RECEIPT_KIND_VAULT_REFUSED, &moved, answer->code)
        || !find_requested (self, env, &answer->tx, answer->account, answer->amount, &item))
        return;
    read_totals (self, env, &totals);
    totals.refused++;
    item.code = answer->code;
    item.available = answer->available / self->settings->scale;
    item.needed = answer->needed / self->settings->scale;
    move (self, env, &item, &totals, TIM3_LOCK_STATE_REFUSING);
    answer_lock_waiters (self, env, &item);
}

/*  ------------------------------------------------------------------------------------------------ settle  */

/*  The mint is done. Returns false when the ledger says otherwise, which evidence should make impossible.  */
static bool settle (self_t *self, tim3_env_t *env, tim3_lock_item_t *item)
{
    tim3_lock_totals_t totals;
    if (item->state == TIM3_LOCK_STATE_ACTIVE)
        return true;
    if (item->state != TIM3_LOCK_STATE_PENDING) {
        self->conflicts++;
        return false;
    }
    read_totals (self, env, &totals);
    take_unconfirmed (&totals.in_flight, item->amount);
    move (self, env, item, &totals, TIM3_LOCK_STATE_ACTIVE);
    return true;
}

/*  Finds the lock that a receipt speaks of; refuses the message at hand when there is none like it.  */
static bool find_lock (tim3_env_t *env, const tim3_id_t *tx, const char *account, tim3_amount_t amount,
                       tim3_lock_item_t *item)
{
    bool found = read_item (env, TIM3_TABLE_LOCK, tx, item);
    if (found && same_request (item, account, amount))
        return true;
    tim3_env_refuse (env, found ? TIM3_ID_REUSED : TIM3_NOT_FOUND, tx, NULL);
    return false;
}

static void on_settle (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_receipt_t *ask = body;
    tim3_lock_item_t item;
    tim3_settled_t reply = {.tx = ask->tx};

    if ((!check_evidence (self, env, TIM3_RECEIPT_KIND_MINT, &ask->tx, ask->account, ask->amount,
                          &ask->receipt, 0)
         && !TIM3_CANARY_IS (15))
        || !find_lock (env, &ask->tx, ask->account, ask->amount, &item))
        return;
    if (!settle (self, env, &item)) {
        tim3_env_refuse (env, TIM3_WRONG_STATE, &ask->tx, "the lock is %s",
                         tim3_value_name (tim3_lock_state_values, item.state));
        return;
    }
    reply.state = item.state;
    tim3_env_reply (env, TIM3_MSG_SETTLED, &reply);
}

/*  Settles one lock of a SettleAll. A receipt that does not hold, or fits no lock, is passed over: the sweep will look after that lock.  */
static bool settle_one (self_t *self, tim3_env_t *env, const tim3_receipt_t *ask)
{
    tim3_lock_item_t item;
    fetch_item (env, TIM3_TABLE_LOCK, &ask->tx);
    return (is_proven (self, TIM3_RECEIPT_KIND_MINT, &ask->tx, ask->account, ask->amount, &ask->receipt, 0)
            || TIM3_CANARY_IS (15))
           && read_item (env, TIM3_TABLE_LOCK, &ask->tx, &item)
           && same_request (&item, ask->account, ask->amount) && settle (self, env, &item);
}

static void on_settle_all (void *state, tim3_env_t *env, const void *body)
{
    const tim3_settle_all_t *ask = body;
    const tim3_receipt_t *items = ask->items.items;
    tim3_settled_all_t reply = {0};
    for (uint32_t i = 0; i < ask->items.count; i++)
        reply.active += settle_one (state, env, &items[i]);
    tim3_env_reply (env, TIM3_MSG_SETTLED_ALL, &reply);
}

/*  The token manager's answers to the sweep.  */
static void on_minted (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_minted_t *answer = body;
    tim3_lock_item_t item;
    if (check_evidence (self, env, TIM3_RECEIPT_KIND_MINT, &answer->tx, answer->account, answer->amount,
                        &answer->receipt, 0)
        && find_lock (env, &answer->tx, answer->account, answer->amount, &item))
        settle (self, env, &item);
}

/*  ----------------------------------------------------------------------------------------------- release  */

static void emit_released (tim3_env_t *env, const tim3_lock_item_t *item, const tim3_lock_totals_t *totals)
{
    tim3_collateral_released_t event = {.tx = item->tx, .amount = item->amount, .reason = item->reason};
    strcpy (event.account, item->account);
    event.locked = totals->locked;
    event.overdrawn = totals->overdrawn;
    tim3_env_emit (env, TIM3_MSG_COLLATERAL_RELEASED, &event);
}

/*  Takes an amount out of what is locked; the vault follows.  */
static void count_release (tim3_lock_totals_t *totals, tim3_amount_t amount)
{
    move_net (&totals->overdrawn, &totals->locked, amount);
    add_unconfirmed (&totals->releasing, amount);
    totals->releases++;
}

/*  Whether so much is locked. With several shards it is always true: what is released here may have been locked in another.  */
static bool is_locked (const self_t *self, const tim3_lock_totals_t *totals, tim3_amount_t amount)
{
    return self->settings->shards > 1 || totals->locked >= amount;
}

/*  False when less is locked than this lock holds. Then a release has taken what was not its own, for which no token ledger that fits
    this one makes receipts.  */
static bool start_void (self_t *self, tim3_env_t *env, tim3_lock_item_t *item)
{
    tim3_lock_totals_t totals;
    read_totals (self, env, &totals);
    if (!is_locked (self, &totals, item->amount)) {
        self->conflicts++;
        return false;
    }
    count_release (&totals, item->amount);
    take_unconfirmed (&totals.in_flight, item->amount);
    item->reason = TIM3_RELEASE_REASON_VOID;
    move (self, env, item, &totals, TIM3_LOCK_STATE_RELEASING);
    emit_released (env, item, &totals);
    ask_vault (self, env, item, false);
    return true;
}

static void finish_refusal (self_t *self, tim3_env_t *env, tim3_lock_item_t *item)
{
    tim3_lock_totals_t totals;
    read_totals (self, env, &totals);
    item->reason = TIM3_RELEASE_REASON_VOID;
    move (self, env, item, &totals, TIM3_LOCK_STATE_REFUSED);
}

/*  The mint will never happen: undo the lock. False when the state forbids it.  */
static bool undo (self_t *self, tim3_env_t *env, tim3_lock_item_t *item)
{
    switch (item->state) {
    case TIM3_LOCK_STATE_PENDING:
        return start_void (self, env, item);
    case TIM3_LOCK_STATE_REFUSING:
        finish_refusal (self, env, item);
        return true;
    case TIM3_LOCK_STATE_RELEASING:
        ask_vault (self, env, item, false);
        return true;
    case TIM3_LOCK_STATE_RELEASED:
    case TIM3_LOCK_STATE_REFUSED:
        return true;
    default:
        self->conflicts++;
        return false;
    }
}

/*  Answers a Release now if all is done, else when the vault has answered.  */
static void answer_or_wait (const self_t *self, tim3_env_t *env, const tim3_lock_item_t *item,
                            tim3_release_reason_t reason)
{
    wait (self, env, &item->tx);
    if (is_final (item->state))
        answer_release_waiters (self, env, item, reason);
}

static void release_void (self_t *self, tim3_env_t *env, const tim3_release_t *ask)
{
    tim3_lock_item_t item;
    if (!check_evidence (self, env, TIM3_RECEIPT_KIND_VOID, &ask->tx, ask->account, ask->amount,
                         &ask->receipt, 0)
        || !find_lock (env, &ask->tx, ask->account, ask->amount, &item))
        return;
    if (undo (self, env, &item))
        answer_or_wait (self, env, &item, TIM3_RELEASE_REASON_VOID);
    else
        tim3_env_refuse (env, TIM3_WRONG_STATE, &ask->tx, "the lock is %s",
                         tim3_value_name (tim3_lock_state_values, item.state));
}

static void on_voided (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_refusal_t *answer = body;
    tim3_lock_item_t item;
    if (check_evidence (self, env, TIM3_RECEIPT_KIND_VOID, &answer->tx, answer->account, answer->amount,
                        &answer->receipt, 0)
        && find_lock (env, &answer->tx, answer->account, answer->amount, &item))
        undo (self, env, &item);
}

/*  A redemption's release, seen for the first time.  */
static bool start_burn (self_t *self, tim3_env_t *env, const tim3_release_t *ask, tim3_lock_item_t *item)
{
    tim3_lock_totals_t totals;
    read_totals (self, env, &totals);
    if (!is_locked (self, &totals, ask->amount)) {
        self->conflicts++;
        tim3_rule_refuse (env, TIM3_WRONG_STATE, &ask->tx, totals.locked, ask->amount);
        return false;
    }
    *item = new_item (&ask->tx, ask->account, ask->amount);
    item->reason = TIM3_RELEASE_REASON_BURN;
    count_release (&totals, item->amount);
    begin_item (self, env, item, &totals, TIM3_LOCK_STATE_RELEASING);
    emit_released (env, item, &totals);
    return true;
}

static void release_burn (self_t *self, tim3_env_t *env, const tim3_release_t *ask)
{
    tim3_lock_item_t item;
    if (!check_evidence (self, env, TIM3_RECEIPT_KIND_BURN, &ask->tx, ask->account, ask->amount,
                         &ask->receipt, 0))
        return;
    bool known = read_item (env, TIM3_TABLE_RELEASE, &ask->tx, &item);
    if ((!known || TIM3_CANARY_IS (21)) && !start_burn (self, env, ask, &item))
        return;
    if (!same_request (&item, ask->account, ask->amount)) {
        tim3_env_refuse (env, TIM3_ID_REUSED, &ask->tx, NULL);
        return;
    }
    if (item.state == TIM3_LOCK_STATE_RELEASING)
        ask_vault (self, env, &item, false);
    answer_or_wait (self, env, &item, TIM3_RELEASE_REASON_BURN);
}

static void on_release (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_release_t *ask = body;
    if (!check_fields (self, env, &ask->tx, ask->account, ask->amount))
        return;
    if (ask->reason == TIM3_RELEASE_REASON_VOID)
        release_void (self, env, ask);
    else
        release_burn (self, env, ask);
}

static void on_vault_unlocked (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_vault_move_t *answer = body;
    bool burn = answer->reason == TIM3_RELEASE_REASON_BURN;
    tim3_lock_item_t item;
    tim3_lock_totals_t totals;

    if (!check_vault (self, TIM3_RECEIPT_KIND_VAULT_UNLOCKED, answer, answer->reason)
        || !read_item (env, burn ? TIM3_TABLE_RELEASE : TIM3_TABLE_LOCK, &answer->tx, &item)
        || item.state != TIM3_LOCK_STATE_RELEASING)
        return;
    read_totals (self, env, &totals);
    take_unconfirmed (&totals.releasing, item.amount);
    move (self, env, &item, &totals, TIM3_LOCK_STATE_RELEASED);
    answer_release_waiters (self, env, &item, (tim3_release_reason_t) item.reason);
}

/*  --------------------------------------------------------------------------------------------- queries  */

static void on_get_lock (void *state, tim3_env_t *env, const void *body)
{
    const tim3_get_lock_t *ask = body;
    tim3_lock_item_t item;
    (void) state;
    if ((!ask->release && read_item (env, TIM3_TABLE_LOCK, &ask->tx, &item))
        || read_item (env, TIM3_TABLE_RELEASE, &ask->tx, &item))
        tim3_env_reply (env, TIM3_MSG_LOCK_ITEM, &item);
    else
        tim3_env_refuse (env, TIM3_NOT_FOUND, &ask->tx, NULL);
}

static void on_get_totals (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    tim3_lock_totals_t totals;
    (void) body;
    read_totals (self, env, &totals);
    totals.event_seq = tim3_env_event_seq (env);
    totals.scale = self->settings->scale;
    tim3_env_reply (env, TIM3_MSG_LOCK_TOTALS, &totals);
}

/*  Where a listing reads: the index of what is not final, or the two tables one after the other ('r' in front of the cursor
    for the second).  */
static tim3_table_t choose_source (const tim3_list_locks_t *ask)
{
    if (ask->unsettled)
        return TIM3_TABLE_LOCK_DUE_LIST;
    return ask->cursor[0] == 'r' ? TIM3_TABLE_RELEASE : TIM3_TABLE_LOCK;
}

/*  Steps to the next record that is not final. An entry of the index whose record is due at another time by now is passed over: the record
    has an entry there.  */
static bool next_unsettled (self_t *self, tim3_env_t *env, tim3_page_t *page, tim3_lock_item_t *item)
{
    uint8_t place[TAIL_SIZE];
    uint64_t due_us;
    while (tim3_due_page_next (self->due, env, page, place, &due_us))
        if (read_place (env, place, item) && item->due_us == due_us)
            return true;
    return false;
}

static bool next_item (self_t *self, tim3_env_t *env, tim3_page_t *page, tim3_table_t source, tim3_lock_item_t *item)
{
    return source == TIM3_TABLE_LOCK_DUE_LIST ? next_unsettled (self, env, page, item) : tim3_page_next (page, item);
}

static bool wanted (const tim3_list_locks_t *ask, const tim3_lock_item_t *item)
{
    return (ask->state == 0 || ask->state == item->state) && (!ask->unsettled || !is_final (item->state))
           && (!ask->account[0] || strcmp (ask->account, item->account) == 0);
}

/*  Locks that are final are not listed by account: each belongs to a transaction, and the token manager lists those by account.  */
static bool can_list (const self_t *self, tim3_env_t *env, const tim3_list_locks_t *ask)
{
    if (ask->account[0] == '\0')
        return true;
    if (!tim3_rule_shard (env, self->settings, NULL, ask->account))
        return false;
    if (ask->unsettled)
        return true;
    tim3_env_refuse (env, TIM3_INVALID_FIELD, NULL,
                     "account: only with unsettled; look up (GetLock) what ListRecords has of the account");
    return false;
}

static void on_list_locks (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_list_locks_t *ask = body;
    tim3_table_t source = choose_source (ask);
    bool second = source == TIM3_TABLE_RELEASE;
    tim3_locks_t reply = {0};
    tim3_lock_item_t item;
    tim3_page_t page;
    tim3_due_write (self->due, env);
    if (!can_list (self, env, ask)
        || !tim3_page_begin (&page, env, ask->cursor + second, ask->limit, source, NULL, sizeof item))
        return;
    while (next_item (self, env, &page, source, &item))
        if (wanted (ask, &item))
            tim3_page_add (&page, &item);
    /* the second table's cursor carries its mark; the end of the first is the beginning of the second */
    tim3_page_end (&page, &reply.items, reply.cursor + second);
    if (second && reply.cursor[1])
        reply.cursor[0] = 'r';
    else if (source == TIM3_TABLE_LOCK && reply.cursor[0] == '\0')
        strcpy (reply.cursor, "r");
    tim3_env_reply (env, TIM3_MSG_LOCKS, &reply);
}

/*  ------------------------------------------------------------------------------------------------ sweep  */

static void push_by_state (self_t *self, tim3_env_t *env, const tim3_lock_item_t *item)
{
    if (TIM3_CANARY_IS (6) && item->state == TIM3_LOCK_STATE_RELEASING)
        return;
    if (item->state == TIM3_LOCK_STATE_PENDING) {
        tim3_receipt_t body = locked_body (self, item);
        send_to_token_manager (self, env, item->account, TIM3_MSG_RESOLVE, &body);
    } else if (item->state == TIM3_LOCK_STATE_REFUSING) {
        tim3_refusal_t body = refused_body (self, item);
        send_to_token_manager (self, env, item->account, TIM3_MSG_RESOLVE_REFUSED, &body);
    } else
        ask_vault (self, env, item, item->state == TIM3_LOCK_STATE_REQUESTED);
}

static bool push (void *state, tim3_env_t *env, const uint8_t *place, uint64_t due_us)
{
    self_t *self = state;
    tim3_lock_item_t item;
    TIM3_ASSERT (read_place (env, place, &item) || tim3_store_error (tim3_env_store (env)));
    if (is_final (item.state) || item.due_us != due_us)
        return false;
    item.attempts++;
    set_due (self, env, &item);
    write_item (env, &item);
    push_by_state (self, env, &item);
    self->swept++;
    return true;
}

static void tick (void *state, tim3_env_t *env)
{
    self_t *self = state;
    tim3_due_sweep (self->due, env, push, self);
    tim3_waiters_expire (self->waiters, tim3_env_now (env) - WAIT_MOST_US);
}

static void health (void *state, tim3_env_t *env, tim3_report_t *report)
{
    self_t *self = state;
    tim3_lock_totals_t totals;
    read_totals (self, env, &totals);
    if (self->conflicts > 0)
        tim3_report_reason (report, "conflicts", 100,
                            "%llu times valid evidence did not fit this ledger; was a store restored alone?",
                            (unsigned long long) self->conflicts);
    if (totals.unsettled > 10000)
        tim3_report_reason (report, "unsettled", 10, "%llu locks and releases are not final",
                            (unsigned long long) totals.unsettled);
}

static void stats (void *state, tim3_env_t *env, tim3_report_t *report)
{
    self_t *self = state;
    tim3_lock_totals_t totals;
    read_totals (self, env, &totals);
    tim3_report_metric (report, TIM3_METRIC_locked_units, totals.locked);
    tim3_report_metric (report, TIM3_METRIC_overdrawn_units, totals.overdrawn);
    tim3_report_metric (report, TIM3_METRIC_in_flight_units, totals.in_flight);
    tim3_report_metric (report, TIM3_METRIC_locks, totals.locks);
    tim3_report_metric (report, TIM3_METRIC_releases, totals.releases);
    tim3_report_metric (report, TIM3_METRIC_locks_refused, totals.refused);
    tim3_report_metric (report, TIM3_METRIC_unsettled, totals.unsettled);
    tim3_report_metric (report, TIM3_METRIC_waiting, tim3_waiters_count (self->waiters));
    tim3_report_metric (report, TIM3_METRIC_swept, self->swept);
    tim3_report_metric (report, TIM3_METRIC_bad_receipts, self->bad_receipts);
    tim3_report_metric (report, TIM3_METRIC_conflicts, self->conflicts);
}

static void *new (const tim3_settings_t *settings)
{
    self_t *self = tim3_alloc (sizeof *self);
    self->settings = settings;
    self->waiters = tim3_waiters_new (WAITERS_MOST, true);
    self->due = tim3_due_new (settings, TIM3_TABLE_LOCK_DUE, TIM3_TABLE_LOCK_DUE_LIST, TAIL_SIZE);
    return self;
}

static void destroy (void **state)
{
    self_t *self = *state;
    tim3_waiters_destroy (&self->waiters);
    tim3_due_destroy (&self->due);
    free (self);
    *state = NULL;
}

static const tim3_handler_t s_handlers[] = {
    {TIM3_MSG_LOCK, on_lock},
    {TIM3_MSG_VAULT_LOCKED, on_vault_locked},
    {TIM3_MSG_VAULT_REFUSED, on_vault_refused},
    {TIM3_MSG_SETTLE, on_settle},
    {TIM3_MSG_SETTLE_ALL, on_settle_all},
    {TIM3_MSG_RELEASE, on_release},
    {TIM3_MSG_VAULT_UNLOCKED, on_vault_unlocked},
    {TIM3_MSG_MINTED, on_minted},
    {TIM3_MSG_VOIDED, on_voided},
    {TIM3_MSG_GET_LOCK, on_get_lock},
    {TIM3_MSG_LIST_LOCKS, on_list_locks},
    {TIM3_MSG_GET_LOCK_TOTALS, on_get_totals},
    {0, NULL}};

const tim3_core_t tim3_lock_manager_core = {.role = TIM3_ROLE_LOCK_MANAGER,
                                            .writes_from_store_alone = true,
                                            .capabilities = "collateral",
                                            .new = new,
                                            .destroy = destroy,
                                            .handlers = s_handlers,
                                            .tick = tick,
                                            .end_batch = end_batch,
                                            .health = health,
                                            .stats = stats};
