/*  tim3ctl_fsck_collateral.c - the collateral token's store: holdings, vaults and totals follow from its
    records.  */
#include "tim3ctl_fsck.h"

#include <stdio.h>
#include <string.h>

/*  What went into an account or a vault, and out of it.  */
typedef struct {
    tim3_amount_t held; /* the difference; modulo 2^128, as either sum may grow beyond all there is */
    uint64_t moves_in;
    uint64_t moves_out;
    bool found; /* the store has a row for it */
} flow_t;

typedef struct {
    tim3_fsck_t *fsck;
    const tim3_fsck_store_t *store;
    tim3_fsck_map_t *accounts;
    tim3_fsck_map_t *vaults;
    tim3_collateral_totals_t sums;
    tim3_amount_t held; /* by all accounts and vaults, as their rows say */
} collateral_t;

/*  -------------------------------------------------------------------------------------------- records  */

static void flow_in (tim3_fsck_map_t *map, const char *name, tim3_amount_t amount)
{
    flow_t *flow = tim3_fsck_map_take (map, name, strlen (name));
    flow->held += amount;
    flow->moves_in++;
}

static void flow_out (tim3_fsck_map_t *map, const char *name, tim3_amount_t amount)
{
    flow_t *flow = tim3_fsck_map_take (map, name, strlen (name));
    flow->held -= amount;
    flow->moves_out++;
}

static void count_record (collateral_t *self, const tim3_collateral_record_t *record)
{
    bool unlock =
        record->op == TIM3_COLLATERAL_OP_UNLOCK_VOID || record->op == TIM3_COLLATERAL_OP_UNLOCK_BURN;
    self->sums.operations++;
    if (record->code != TIM3_OK)
        return;
    if (record->op == TIM3_COLLATERAL_OP_FAUCET) {
        flow_in (self->accounts, record->account, record->amount);
        tim3_fsck_add (&self->sums.issued, record->amount);
        return;
    }
    if (unlock)
        flow_in (self->accounts, record->account, record->amount);
    else
        flow_out (self->accounts, record->account, record->amount);
    if (record->op == TIM3_COLLATERAL_OP_TRANSFER)
        flow_in (self->accounts, record->to, record->amount);
    else if (unlock)
        flow_out (self->vaults, record->vault, record->amount);
    else
        flow_in (self->vaults, record->vault, record->amount);
}

/*  Faucet and transfers share one space of ids.  */
static unsigned key_operation (const tim3_collateral_record_t *record)
{
    return record->op == TIM3_COLLATERAL_OP_TRANSFER ? TIM3_COLLATERAL_OP_FAUCET : record->op;
}

static bool code_fits (const tim3_collateral_record_t *record)
{
    switch (record->op) {
    case TIM3_COLLATERAL_OP_FAUCET:
        return record->code == TIM3_OK || record->code == TIM3_AMOUNT_OVERFLOW;
    case TIM3_COLLATERAL_OP_TRANSFER:
    case TIM3_COLLATERAL_OP_LOCK:
        return record->code == TIM3_OK || record->code == TIM3_INSUFFICIENT_FUNDS;
    default:
        return record->code == TIM3_OK;
    }
}

static void check_fields (collateral_t *self, const tim3_fsck_place_t *at,
                          const tim3_collateral_record_t *record)
{
    const char *op = tim3_value_name (tim3_collateral_op_values, record->op);
    bool vault = record->op >= TIM3_COLLATERAL_OP_LOCK;
    bool transfer = record->op == TIM3_COLLATERAL_OP_TRANSFER;
    if (key_operation (record) != at->key.data[0])
        tim3_fsck_problem (self->fsck, at, "op is %s, but not by its key", op);
    const char *key_vault = (const char *) at->key.data + 1 + sizeof (tim3_id_t);
    if (strcmp (key_vault, record->vault) != 0)
        tim3_fsck_problem (self->fsck, at, "vault is %s, but not by its key", record->vault);
    if (strcmp (key_vault + strlen (key_vault) + 1, record->account) != 0)
        tim3_fsck_problem (self->fsck, at, "account is %s, but not by its key", record->account);
    if (!code_fits (record))
        tim3_fsck_problem (self->fsck, at, "a %s is not decided as %s", op,
                           tim3_result_name ((unsigned) record->code));
    if (vault != (record->vault[0] != '\0') || transfer != (record->to[0] != '\0'))
        tim3_fsck_problem (self->fsck, at, "vault or to does not fit a %s", op);
    if (record->amount == 0 || !tim3_account_valid (record->account))
        tim3_fsck_problem (self->fsck, at, "amount or account is not one that can have been asked for");
}

static void check_records (collateral_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_COLLATERAL_RECORD, tim3_key_empty ()};
    tim3_collateral_record_t record;
    while (tim3_fsck_next (self->fsck, &at, &record)) {
        check_fields (self, &at, &record);
        count_record (self, &record);
    }
}

/*  --------------------------------------------------------------------------------- holdings and vaults  */

static void check_holdings (collateral_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_HOLDING, tim3_key_empty ()};
    tim3_holding_t holding;
    while (tim3_fsck_next (self->fsck, &at, &holding)) {
        const char *account = (const char *) at.key.data;
        flow_t *flow = tim3_fsck_map_take (self->accounts, account, strlen (account));
        tim3_holding_t derived = {.available = flow->held};
        flow->found = true;
        tim3_fsck_key_name (&at, derived.account, sizeof derived.account);
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_holding, &holding, &derived, "the records");
        tim3_fsck_add (&self->held, holding.available);
        self->sums.accounts++;
    }
}

static void check_vault_rows (collateral_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_VAULT, tim3_key_empty ()};
    tim3_vault_t vault;
    while (tim3_fsck_next (self->fsck, &at, &vault)) {
        const char *name = (const char *) at.key.data;
        flow_t *flow = tim3_fsck_map_take (self->vaults, name, strlen (name));
        tim3_vault_t derived = {.total = flow->held};
        flow->found = true;
        tim3_fsck_key_name (&at, derived.vault, sizeof derived.vault);
        derived.locks = flow->moves_in;
        derived.unlocks = flow->moves_out;
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_vault, &vault, &derived, "the records");
        tim3_fsck_add (&self->held, vault.total);
    }
}

typedef struct {
    collateral_t *self;
    tim3_table_t table;
} missing_t;

static void check_found (void *arg, const void *key, size_t key_size, void *value)
{
    const missing_t *missing = arg;
    const flow_t *flow = value;
    char name[TIM3_ACCOUNT_MAX + 1];
    snprintf (name, sizeof name, "%.*s", (int) key_size, (const char *) key);
    tim3_fsck_place_t at = {missing->self->store, missing->table, tim3_key_text (name)};
    if (!flow->found)
        tim3_fsck_problem (missing->self->fsck, &at, "there are records of it, but no row");
}

static void check_totals (collateral_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_COLLATERAL_TOTALS, tim3_key_text ("totals")};
    tim3_collateral_totals_t found;
    char held[TIM3_AMOUNT_TEXT_MAX];
    char issued[TIM3_AMOUNT_TEXT_MAX];
    tim3_fsck_read (&at, &found);
    tim3_fsck_compare (self->fsck, &at, &tim3_shape_collateral_totals, &found, &self->sums, "the records");
    if (self->held != found.issued)
        tim3_fsck_problem (self->fsck, &at, "issued is %s, but holdings and vaults add up to %s",
                           tim3_amount_format_units (found.issued, issued),
                           tim3_amount_format_units (self->held, held));
}

void tim3_fsck_collateral (tim3_fsck_t *fsck, const tim3_fsck_store_t *store)
{
    collateral_t self = {.fsck = fsck, .store = store};
    self.accounts = tim3_fsck_map_new (sizeof (flow_t));
    self.vaults = tim3_fsck_map_new (sizeof (flow_t));
    check_records (&self);
    check_holdings (&self);
    check_vault_rows (&self);
    tim3_fsck_map_each (self.accounts, check_found, &(missing_t){&self, TIM3_TABLE_HOLDING});
    tim3_fsck_map_each (self.vaults, check_found, &(missing_t){&self, TIM3_TABLE_VAULT});
    check_totals (&self);
    tim3_fsck_map_destroy (&self.accounts);
    tim3_fsck_map_destroy (&self.vaults);
    tim3_fsck_section (fsck, store->meta.name, "%llu records, %llu accounts, %llu vaults",
                       (unsigned long long) store->rows[TIM3_TABLE_COLLATERAL_RECORD],
                       (unsigned long long) store->rows[TIM3_TABLE_HOLDING],
                       (unsigned long long) store->rows[TIM3_TABLE_VAULT]);
}
