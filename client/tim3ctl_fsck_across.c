/*  tim3ctl_fsck_across.c - the ledgers against each other: for every record in one there is the record in
    another without which it could not have come about.

    They commit one after the other, so at every instant one may be a step ahead. Each rule below allows
    exactly the steps that evidence allows.
*/
#include "tim3ctl_fsck.h"

#include <stdio.h>
#include <string.h>

#define EXPONENT_MOST 38

typedef struct {
    tim3_fsck_t *fsck;
    const tim3_fsck_store_t *locks;
    const tim3_fsck_store_t *tokens;
    const tim3_fsck_store_t *collateral;
    const char *asset;
    tim3_amount_t scale; /* collateral units in one unit of the asset; 0 when the terms do not fit */
} across_t;

#define IN(NAME) (1u << TIM3_LOCK_STATE_##NAME)
/*  Lock states in which the vault has had the collateral for sure, and those in which it may have.  */
#define HAD (IN (PENDING) | IN (ACTIVE) | IN (RELEASING) | IN (RELEASED))
#define MAY_HAVE_HAD (HAD | IN (REQUESTED))
#define REFUSALS (IN (REFUSING) | IN (REFUSED))

static bool in_state (const tim3_lock_item_t *item, unsigned mask)
{
    return mask & 1u << item->state;
}

static const char *state_name (const tim3_lock_item_t *item)
{
    return tim3_value_name (tim3_lock_state_values, item->state);
}

/*  ---------------------------------------------------------------------------------- locks and tokens  */

/*  Both must tell of the same request; amounts in one unit.  */
static void check_same (across_t *self, const tim3_fsck_place_t *at, const char *account,
                        tim3_amount_t amount, const char *whose, const char *other_account,
                        tim3_amount_t other_amount)
{
    char is[TIM3_AMOUNT_TEXT_MAX];
    char should[TIM3_AMOUNT_TEXT_MAX];
    if (strcmp (account, other_account) != 0)
        tim3_fsck_problem (self->fsck, at, "account is %s, but \"%s\" by %s", account, other_account, whose);
    if (amount != other_amount)
        tim3_fsck_problem (self->fsck, at, "amount is %s, but \"%s\" by %s",
                           tim3_amount_format_units (amount, is),
                           tim3_amount_format_units (other_amount, should), whose);
}

/*  A lock that must be there for a record of the token manager.  */
static void expect_lock (across_t *self, const tim3_fsck_place_t *at, const tim3_transaction_t *record,
                         tim3_table_t table, unsigned states)
{
    tim3_lock_item_t item;
    const char *name = tim3_table (table)->name;
    if (!tim3_fsck_read_tx (self->locks, table, &record->tx, &item))
        tim3_fsck_problem (self->fsck, at, "%s has no %s under this tx", self->locks->meta.name, name);
    else {
        if (!in_state (&item, states))
            tim3_fsck_problem (self->fsck, at, "status is %s, but the %s in %s is %s",
                               tim3_value_name (tim3_tx_status_values, record->status), name,
                               self->locks->meta.name, state_name (&item));
        check_same (self, at, record->account, record->amount, self->locks->meta.name, item.account,
                    item.amount);
    }
}

static bool same_transfer (const tim3_transaction_t *a, const tim3_transaction_t *b)
{
    return a->kind == b->kind && a->amount == b->amount && strcmp (a->account, b->account) == 0 &&
           strcmp (a->to, b->to) == 0;
}

/*  A transfer between shards at its one end, by what the other end has of it; other is NULL when it has nothing under the tx.  */
static bool ends_fit (const across_t *self, const tim3_transaction_t *record, const tim3_transaction_t *other)
{
    bool there = other && same_transfer (record, other);
    bool failed = there && other->status == TIM3_TX_STATUS_FAILED;
    bool refused = record->status == TIM3_TX_STATUS_FAILED;
    if (tim3_fsck_way (self->tokens, record) == TIM3_FSCK_CAME)
        return there && other->entry > 0 &&
               other->status != (refused ? TIM3_TX_STATUS_COMPLETED : TIM3_TX_STATUS_FAILED);
    if (record->status == TIM3_TX_STATUS_COMPLETED)
        return there && !failed;
    if (tim3_fsck_came_back (self->tokens, record))
        return other && (failed || !there);
    return true;
}

static void check_crossing (across_t *self, const tim3_fsck_place_t *at, const tim3_transaction_t *record)
{
    tim3_fsck_way_t way = tim3_fsck_way (self->tokens, record);
    const char *account = way == TIM3_FSCK_CAME ? record->account : record->to;
    int shard = (int) tim3_account_shard (account, tim3_fsck_shards (self->tokens));
    const tim3_fsck_store_t *store =
        tim3_fsck_store (self->fsck, TIM3_ROLE_TOKEN_MANAGER, self->asset, shard);
    tim3_transaction_t other;
    if (way == TIM3_FSCK_WITHIN || !store)
        return;
    bool found = tim3_fsck_read_tx (store, TIM3_TABLE_RECORD, &record->tx, &other);
    if (!ends_fit (self, record, found ? &other : NULL))
        tim3_fsck_problem (self->fsck, at, "a transfer between shards is %s here, but %s in %s",
                           tim3_value_name (tim3_tx_status_values, record->status),
                           found ? tim3_value_name (tim3_tx_status_values, other.status) : "not known",
                           store->meta.name);
}

static void check_token_record (across_t *self, const tim3_fsck_place_t *at, const tim3_transaction_t *record)
{
    bool failed = record->status == TIM3_TX_STATUS_FAILED;
    bool mint = record->kind == TIM3_TX_KIND_MINT;
    tim3_lock_item_t item;
    if (mint && failed)
        expect_lock (self, at, record, TIM3_TABLE_LOCK,
                     IN (PENDING) | IN (RELEASING) | IN (RELEASED) | IN (REFUSING) | IN (REFUSED));
    else if (mint)
        expect_lock (self, at, record, TIM3_TABLE_LOCK, IN (PENDING) | IN (ACTIVE));
    else if (record->kind == TIM3_TX_KIND_REDEEM && record->status == TIM3_TX_STATUS_COMPLETED)
        expect_lock (self, at, record, TIM3_TABLE_RELEASE, IN (RELEASED));
    else if (record->kind == TIM3_TX_KIND_REDEEM && !failed &&
             tim3_fsck_read_tx (self->locks, TIM3_TABLE_RELEASE, &record->tx, &item))
        expect_lock (self, at, record, TIM3_TABLE_RELEASE, IN (RELEASING) | IN (RELEASED));
}

static void check_token_records (across_t *self)
{
    tim3_fsck_place_t at = {self->tokens, TIM3_TABLE_RECORD, tim3_key_empty ()};
    tim3_transaction_t record;
    while (tim3_fsck_next (self->fsck, &at, &record)) {
        record.tx = tim3_key_read_id (&at.key, 0);
        check_token_record (self, &at, &record);
        check_crossing (self, &at, &record);
    }
}

/*  An active lock was minted, one that is undone never will be.  */
static void check_lock (across_t *self, const tim3_fsck_place_t *at, const tim3_lock_item_t *item)
{
    tim3_transaction_t record;
    bool decided = tim3_fsck_read_tx (self->tokens, TIM3_TABLE_RECORD, &item->tx, &record);
    bool minted = decided && record.kind == TIM3_TX_KIND_MINT && record.status == TIM3_TX_STATUS_COMPLETED;
    if (item->state == TIM3_LOCK_STATE_ACTIVE && !minted)
        tim3_fsck_problem (self->fsck, at, "active, but %s has no completed mint under this tx",
                           self->tokens->meta.name);
    if (in_state (item, IN (RELEASING) | IN (RELEASED) | IN (REFUSED)) && !decided)
        tim3_fsck_problem (self->fsck, at, "%s, but %s has no record that this tx will never be minted",
                           state_name (item), self->tokens->meta.name);
    if (!in_state (item, IN (PENDING) | IN (ACTIVE)) && minted)
        tim3_fsck_problem (self->fsck, at, "%s, but %s has minted it", state_name (item),
                           self->tokens->meta.name);
}

static void check_release (across_t *self, const tim3_fsck_place_t *at, const tim3_lock_item_t *item)
{
    tim3_transaction_t record;
    bool found = tim3_fsck_read_tx (self->tokens, TIM3_TABLE_RECORD, &item->tx, &record);
    if (!found || record.kind != TIM3_TX_KIND_REDEEM || record.status == TIM3_TX_STATUS_FAILED)
        tim3_fsck_problem (self->fsck, at, "%s has burned nothing under this tx", self->tokens->meta.name);
    else
        check_same (self, at, item->account, item->amount, self->tokens->meta.name, record.account,
                    record.amount);
}

typedef void (check_item_fn) (across_t *self, const tim3_fsck_place_t *at, const tim3_lock_item_t *item);

static void each_item (across_t *self, tim3_table_t table, check_item_fn *check)
{
    tim3_fsck_place_t at = {self->locks, table, tim3_key_empty ()};
    tim3_lock_item_t item;
    while (tim3_fsck_next (self->fsck, &at, &item)) {
        item.tx = tim3_key_read_id (&at.key, 0);
        check (self, &at, &item);
    }
}

/*  ------------------------------------------------------------------------------- locks and collateral  */

static bool read_move (const across_t *self, unsigned op, const tim3_lock_item_t *item,
                       tim3_collateral_record_t *record)
{
    tim3_fsck_place_t at = {self->collateral, TIM3_TABLE_COLLATERAL_RECORD, tim3_key_empty ()};
    tim3_key_add_u8 (&at.key, (uint8_t) op);
    tim3_key_add_id (&at.key, &item->tx);
    tim3_key_add_text (&at.key, self->asset);
    tim3_key_add_text (&at.key, item->account);
    return tim3_fsck_read (&at, record);
}

static void expect_term (across_t *self, const char *what, uint64_t value, const tim3_fsck_store_t *other,
                         uint64_t of_other)
{
    if (value != of_other)
        tim3_fsck_problem (self->fsck, NULL, "%s was begun with %llu %s, but %s with %llu",
                           self->locks->meta.name, (unsigned long long) value, what, other->meta.name,
                           (unsigned long long) of_other);
}

/*  What the ledgers were begun with must fit; of it the scale is made.  */
static void check_terms (across_t *self)
{
    const tim3_store_meta_t *locks = &self->locks->meta;
    expect_term (self, "decimals", locks->decimals, self->tokens, self->tokens->meta.decimals);
    expect_term (self, "decimals of collateral", locks->collateral_decimals, self->tokens,
                 self->tokens->meta.collateral_decimals);
    expect_term (self, "decimals of collateral", locks->collateral_decimals, self->collateral,
                 self->collateral->meta.decimals);
    if (strcmp (locks->collateral, self->tokens->meta.collateral) != 0)
        tim3_fsck_problem (self->fsck, NULL, "%s is backed by \"%s\", but %s by \"%s\"", locks->name,
                           locks->collateral, self->tokens->meta.name, self->tokens->meta.collateral);
    if (locks->collateral_decimals < locks->decimals ||
        locks->collateral_decimals - locks->decimals > EXPONENT_MOST)
        tim3_fsck_problem (self->fsck, NULL,
                           "%s cannot have been begun with %llu decimals on collateral with %llu",
                           locks->name, (unsigned long long) locks->decimals,
                           (unsigned long long) locks->collateral_decimals);
    else
        self->scale = tim3_amount_pow10 ((unsigned) (locks->collateral_decimals - locks->decimals));
}

static tim3_amount_t in_collateral (const across_t *self, tim3_amount_t amount)
{
    tim3_amount_t product;
    return tim3_amount_mul (amount, self->scale, &product) ? product : TIM3_AMOUNT_MAX;
}

/*  A move of the vault that must be there for a lock or release; code is what was decided.  */
static void expect_move (across_t *self, const tim3_fsck_place_t *at, const tim3_lock_item_t *item,
                         unsigned op, uint64_t code)
{
    tim3_collateral_record_t record;
    const char *name = tim3_value_name (tim3_collateral_op_values, op);
    if (!read_move (self, op, item, &record))
        tim3_fsck_problem (self->fsck, at, "%s, but %s has no %s under this tx", state_name (item),
                           self->collateral->meta.name, name);
    else if (record.code != code)
        tim3_fsck_problem (self->fsck, at, "%s, but the %s in %s was decided as %s", state_name (item), name,
                           self->collateral->meta.name, tim3_result_name ((unsigned) record.code));
}

static void check_lock_move (across_t *self, const tim3_fsck_place_t *at, const tim3_lock_item_t *item)
{
    if (in_state (item, HAD))
        expect_move (self, at, item, TIM3_COLLATERAL_OP_LOCK, TIM3_OK);
    if (in_state (item, REFUSALS))
        expect_move (self, at, item, TIM3_COLLATERAL_OP_LOCK, item->code);
    if (item->state == TIM3_LOCK_STATE_RELEASED)
        expect_move (self, at, item, TIM3_COLLATERAL_OP_UNLOCK_VOID, TIM3_OK);
}

static void check_release_move (across_t *self, const tim3_fsck_place_t *at, const tim3_lock_item_t *item)
{
    if (item->state == TIM3_LOCK_STATE_RELEASED)
        expect_move (self, at, item, TIM3_COLLATERAL_OP_UNLOCK_BURN, TIM3_OK);
}

static void check_move (across_t *self, const tim3_fsck_place_t *at, const tim3_collateral_record_t *record)
{
    bool burn = record->op == TIM3_COLLATERAL_OP_UNLOCK_BURN;
    tim3_table_t table = burn ? TIM3_TABLE_RELEASE : TIM3_TABLE_LOCK;
    unsigned states = record->op != TIM3_COLLATERAL_OP_LOCK ? IN (RELEASING) | IN (RELEASED)
                      : record->code == TIM3_OK             ? MAY_HAVE_HAD
                                                            : REFUSALS | IN (REQUESTED);
    tim3_id_t tx = tim3_key_read_id (&at->key, 1);
    tim3_lock_item_t item;
    if (!tim3_fsck_read_tx (self->locks, table, &tx, &item)) {
        tim3_fsck_problem (self->fsck, at, "%s has no %s under this tx", self->locks->meta.name,
                           tim3_table (table)->name);
        return;
    }
    if (!in_state (&item, states))
        tim3_fsck_problem (self->fsck, at, "decided as %s, but the %s in %s is %s",
                           tim3_result_name ((unsigned) record->code), tim3_table (table)->name,
                           self->locks->meta.name, state_name (&item));
    check_same (self, at, record->account, record->amount, self->locks->meta.name, item.account,
                in_collateral (self, item.amount));
}

static void check_moves (across_t *self)
{
    tim3_fsck_place_t at = {self->collateral, TIM3_TABLE_COLLATERAL_RECORD, tim3_key_empty ()};
    tim3_collateral_record_t record;
    while (tim3_fsck_next (self->fsck, &at, &record))
        if (record.op >= TIM3_COLLATERAL_OP_LOCK && strcmp (record.vault, self->asset) == 0 &&
            tim3_fsck_is_own (self->locks, record.account))
            check_move (self, &at, &record);
}

/*  -------------------------------------------------------------------------------------------- backing  */

static void expect_backing (across_t *self, const char *more, tim3_amount_t a, const char *less,
                            tim3_amount_t b)
{
    char left[TIM3_AMOUNT_TEXT_MAX];
    char right[TIM3_AMOUNT_TEXT_MAX];
    if (a < b)
        tim3_fsck_problem (self->fsck, NULL, "%s is NOT BACKED: %s %s is less than %s %s", self->asset, more,
                           tim3_amount_format_units (a, left), less, tim3_amount_format_units (b, right));
}

/*  Adds what one shard has; false when its stores are not here, which is told of elsewhere.  */
static bool add_shard (const across_t *self, int shard, tim3_amount_t *locked, tim3_amount_t *overdrawn,
                       tim3_amount_t *supply)
{
    const tim3_fsck_place_t totals_at = {
        tim3_fsck_store (self->fsck, TIM3_ROLE_LOCK_MANAGER, self->asset, shard), TIM3_TABLE_LOCK_TOTALS,
        tim3_key_text ("totals")};
    const tim3_fsck_place_t ledger_at = {
        tim3_fsck_store (self->fsck, TIM3_ROLE_TOKEN_MANAGER, self->asset, shard), TIM3_TABLE_LEDGER,
        tim3_key_text ("ledger")};
    tim3_lock_totals_t totals;
    tim3_ledger_t ledger;
    if (!totals_at.store || !ledger_at.store)
        return false;
    tim3_fsck_read (&totals_at, &totals);
    tim3_fsck_read (&ledger_at, &ledger);
    *locked += totals.locked;
    *overdrawn += totals.overdrawn;
    *supply += ledger.supply;
    return true;
}

/*  Of the asset as a whole, once.  */
static void check_backing (across_t *self)
{
    const tim3_fsck_place_t vault_at = {self->collateral, TIM3_TABLE_VAULT, tim3_key_text (self->asset)};
    int shards = (int) tim3_fsck_shards (self->locks);
    tim3_amount_t locked = 0;
    tim3_amount_t overdrawn = 0;
    tim3_amount_t supply = 0;
    tim3_vault_t vault;
    for (int shard = 0; shard < shards; shard++)
        if (!add_shard (self, shard, &locked, &overdrawn, &supply))
            return;
    tim3_fsck_read (&vault_at, &vault);
    expect_backing (self, "locked", locked - overdrawn, "supply", supply);
    expect_backing (self, "vault", vault.total, "locked * scale", in_collateral (self, locked - overdrawn));
}

/*  Each shard is here, and of as many as this one.  */
static void check_shards (across_t *self)
{
    int shards = (int) tim3_fsck_shards (self->locks);
    for (int shard = 0; shard < shards; shard++) {
        const tim3_fsck_store_t *other =
            tim3_fsck_store (self->fsck, TIM3_ROLE_LOCK_MANAGER, self->asset, shard);
        if (!other)
            tim3_fsck_problem (self->fsck, NULL,
                               "%s is one of %d shards, but the store of lock_manager.%s.%d is not here",
                               self->locks->meta.name, shards, self->asset, shard);
        else if ((int) tim3_fsck_shards (other) != shards)
            tim3_fsck_problem (self->fsck, NULL, "%s is one of %d shards, but %s is one of %u",
                               self->locks->meta.name, shards, other->meta.name, tim3_fsck_shards (other));
    }
    if (tim3_fsck_shards (self->tokens) != (unsigned) shards)
        tim3_fsck_problem (self->fsck, NULL, "%s is one of %d shards, but %s is one of %u",
                           self->locks->meta.name, shards, self->tokens->meta.name,
                           tim3_fsck_shards (self->tokens));
}

/*  ---------------------------------------------------------------------------------------- the sections  */

static bool find_peers (across_t *self)
{
    tim3_fsck_t *fsck = self->fsck;
    int shard = self->locks->address.shard;
    self->tokens = tim3_fsck_store (fsck, TIM3_ROLE_TOKEN_MANAGER, self->asset, shard);
    self->collateral = tim3_fsck_store (fsck, TIM3_ROLE_MOCK_USDA, self->locks->meta.collateral, 0);
    if (!self->tokens)
        tim3_fsck_problem (fsck, NULL, "%s is here, but the store of token_manager.%s.%d is not",
                           self->locks->meta.name, self->asset, shard);
    if (!self->collateral)
        tim3_fsck_problem (fsck, NULL, "%s is here, but the store of mock_usda.%s.0, its collateral, is not",
                           self->locks->meta.name, self->locks->meta.collateral);
    return self->tokens && self->collateral;
}

void tim3_fsck_across (tim3_fsck_t *fsck, const tim3_fsck_store_t *locks)
{
    across_t self = {.fsck = fsck, .locks = locks, .asset = locks->address.asset};
    char scale[TIM3_AMOUNT_TEXT_MAX] = "unknown";
    if (find_peers (&self)) {
        check_terms (&self);
        check_token_records (&self);
        each_item (&self, TIM3_TABLE_LOCK, check_lock);
        each_item (&self, TIM3_TABLE_RELEASE, check_release);
        each_item (&self, TIM3_TABLE_LOCK, check_lock_move);
        each_item (&self, TIM3_TABLE_RELEASE, check_release_move);
        check_moves (&self);
        check_shards (&self);
        if (locks->address.shard == 0)
            check_backing (&self);
    }
    if (self.scale)
        tim3_amount_format_units (self.scale, scale);
    char name[TIM3_ADDRESS_MAX + 1];
    snprintf (name, sizeof name, tim3_fsck_shards (locks) > 1 ? "%s.%d" : "%s", self.asset,
              locks->address.shard);
    tim3_fsck_section (fsck, name, "mints, locks, redemptions, releases and moves of the vault; scale %s",
                       scale);
}

/*  Moves of vaults whose lock manager is not here.  */
void tim3_fsck_vaults (tim3_fsck_t *fsck, const tim3_fsck_store_t *collateral)
{
    tim3_fsck_place_t at = {collateral, TIM3_TABLE_VAULT, tim3_key_empty ()};
    tim3_vault_t vault;
    while (tim3_fsck_next (fsck, &at, &vault))
        if (!tim3_fsck_store (fsck, TIM3_ROLE_LOCK_MANAGER, (const char *) at.key.data, -1))
            tim3_fsck_problem (fsck, &at, "the store of the vault's lock manager is not here");
}

/*  Found from the other side by find_peers.  */
void tim3_fsck_paired (tim3_fsck_t *fsck, const tim3_fsck_store_t *tokens)
{
    const tim3_address_t *address = &tokens->address;
    if (!tim3_fsck_store (fsck, TIM3_ROLE_LOCK_MANAGER, address->asset, address->shard))
        tim3_fsck_problem (fsck, NULL, "%s is here, but the store of lock_manager.%s.%d is not",
                           tokens->meta.name, address->asset, address->shard);
}
