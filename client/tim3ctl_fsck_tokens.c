/*  tim3ctl_fsck_tokens.c - a token manager's store: balances, totals and indexes follow from its records
    and its histories, and these from each other.  */
#include "tim3ctl_fsck.h"

#include <string.h>

typedef struct {
    tim3_fsck_t *fsck;
    const tim3_fsck_store_t *store;
    tim3_ledger_t sums; /* as the records tell */
    tim3_amount_t balances;
    tim3_amount_t crossed; /* to other shards, less from them; modulo 2^128 */
    uint64_t entries; /* in all histories */
} tokens_t;

static tim3_fsck_place_t place (const tokens_t *self, tim3_table_t table)
{
    return (tim3_fsck_place_t){self->store, table, tim3_key_empty ()};
}

/*  A tail is the tx of a burn, or of a transfer to another shard.  */
static bool find_tail (const tim3_fsck_store_t *store, const uint8_t *tail, tim3_fsck_tail_t *found)
{
    tim3_transaction_t record;
    memcpy (found->tx.bytes, tail, sizeof found->tx.bytes);
    found->bit = TIM3_FSCK_DUE;
    if (!tim3_fsck_read_tx (store, TIM3_TABLE_RECORD, &found->tx, &record))
        return false;
    found->due_us = record.status == TIM3_TX_STATUS_PENDING ? record.due_us : 0;
    return true;
}

static const tim3_fsck_due_t s_due = {TIM3_TABLE_BURN_DUE, TIM3_TABLE_BURN_DUE_LIST, sizeof (tim3_id_t), find_tail};

/*  -------------------------------------------------------------------------------- accounts and histories
    A history goes from the account to its newest record, and from each record to the one before.  */

/*  A step on the way back: the entry, and what must be behind it.  */
typedef struct {
    const char *account;
    tim3_id_t tx;
    uint64_t number;       /* that it must have */
    tim3_amount_t balance; /* that it must tell */
} step_t;

/*  Finds the record of the entry; false when the history is broken off there.  */
static bool read_step (tokens_t *self, const tim3_fsck_place_t *from, const step_t *step, tim3_transaction_t *record)
{
    char tx[TIM3_ID_TEXT_MAX];
    tim3_id_format (&step->tx, tx);
    if (!tim3_fsck_read_tx (self->store, TIM3_TABLE_RECORD, &step->tx, record)) {
        tim3_fsck_problem (self->fsck, from, "entry %llu of the history of %s is tx %s, which has no record",
                           (unsigned long long) step->number, step->account, tx);
        return false;
    }
    if ((tim3_fsck_moves_from (self->store, record) && strcmp (record->account, step->account) == 0)
        || (tim3_fsck_moves_to (self->store, record) && strcmp (record->to, step->account) == 0))
        return true;
    tim3_fsck_problem (self->fsck, from, "entry %llu of the history of %s is tx %s, which moves nothing on it",
                       (unsigned long long) step->number, step->account, tx);
    return false;
}

static void check_step (tokens_t *self, const tim3_fsck_place_t *at, const step_t *step, uint64_t number,
                        tim3_amount_t balance)
{
    char is[TIM3_AMOUNT_TEXT_MAX];
    char should[TIM3_AMOUNT_TEXT_MAX];
    if (number != step->number)
        tim3_fsck_problem (self->fsck, at, "entry is %llu, but \"%llu\" by the history of %s",
                           (unsigned long long) number, (unsigned long long) step->number, step->account);
    if (balance != step->balance)
        tim3_fsck_problem (self->fsck, at, "balance of %s is %s, but \"%s\" by the entries behind", step->account,
                           tim3_amount_format_units (balance, is), tim3_amount_format_units (step->balance, should));
}

/*  Whether the entry of that number is the record's first: one that came back has two in the same history.  */
static bool is_from (const tokens_t *self, const tim3_transaction_t *record, const char *account, uint64_t number)
{
    bool back = tim3_fsck_came_back (self->store, record) && record->to_entry == number;
    return strcmp (record->account, account) == 0 && !back;
}

/*  Goes back over a record, from the balance that it tells, so that one wrong entry is told once. False where it was before.  */
static bool step_back (tokens_t *self, step_t *step, const tim3_transaction_t *record)
{
    const tim3_fsck_place_t at = {self->store, TIM3_TABLE_RECORD, tim3_key_id (&step->tx)};
    bool own = is_from (self, record, step->account, step->number);
    bool in = !own || record->kind == TIM3_TX_KIND_MINT;
    tim3_amount_t balance = own ? record->balance : record->to_balance;
    uint32_t bit = own ? TIM3_FSCK_ENTRY : TIM3_FSCK_ENTRY_TO;
    uint32_t *seen = tim3_fsck_seen (self->store, &step->tx);
    if (*seen & bit) {
        tim3_fsck_problem (self->fsck, &at, "has an entry in the history of %s before", step->account);
        return false;
    }
    *seen |= bit;
    check_step (self, &at, step, own ? record->entry : record->to_entry, balance);
    if (!(in ? tim3_amount_sub (balance, record->amount, &step->balance)
             : tim3_amount_add (balance, record->amount, &step->balance)))
        tim3_fsck_problem (self->fsck, &at, "the amount does not fit the balance of %s", step->account);
    step->tx = own ? record->previous : record->to_previous;
    step->number--;
    return true;
}

/*  The newest entry tells what the account must be.  */
static tim3_account_t derive_account (const tokens_t *self, const tim3_account_t *account,
                                      const tim3_transaction_t *newest)
{
    tim3_account_t derived = *account;
    bool own = is_from (self, newest, account->account, account->entries);
    derived.entries = own ? newest->entry : newest->to_entry;
    derived.balance = own ? newest->balance : newest->to_balance;
    return derived;
}

static void check_history (tokens_t *self, const tim3_fsck_place_t *at, const tim3_account_t *account)
{
    step_t step = {account->account, account->last, account->entries, 0};
    tim3_fsck_place_t from = *at;
    tim3_transaction_t record;
    if (step.number == 0 || !read_step (self, at, &step, &record))
        return;
    tim3_account_t derived = derive_account (self, account, &record);
    tim3_fsck_compare (self->fsck, at, &tim3_shape_account, account, &derived, "its newest entry");
    step.number = derived.entries;
    step.balance = derived.balance;
    while (step_back (self, &step, &record) && step.number > 0) {
        if (!read_step (self, &from, &step, &record))
            return;
        from = (tim3_fsck_place_t){self->store, TIM3_TABLE_RECORD, tim3_key_id (&step.tx)};
    }
    if (step.number == 0 && (step.balance != 0 || !tim3_id_is_zero (&step.tx)))
        tim3_fsck_problem (self->fsck, &from, "the history of %s begins with a balance, or with another entry before",
                           account->account);
}

static void check_accounts (tokens_t *self)
{
    tim3_fsck_place_t at = place (self, TIM3_TABLE_ACCOUNT);
    tim3_account_t account;
    while (tim3_fsck_next (self->fsck, &at, &account)) {
        tim3_account_t derived = account;
        tim3_fsck_key_name (&at, derived.account, sizeof derived.account);
        if (account.entries == 0) {
            derived.balance = 0;
            memset (&derived.last, 0, sizeof derived.last);
        }
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_account, &account, &derived,
                           "its key and its history");
        if (!tim3_account_valid (account.account))
            tim3_fsck_problem (self->fsck, &at, "no account can be called that");
        if (!tim3_fsck_is_own (self->store, derived.account))
            tim3_fsck_problem (self->fsck, &at, "the account belongs to another shard");
        strcpy (account.account, derived.account);
        check_history (self, &at, &account);
        tim3_fsck_add (&self->balances, account.balance);
        self->sums.accounts++;
        self->entries += account.entries;
    }
}

/*  -------------------------------------------------------------------------------------------- records  */

/*  What a status implies for the fields that no other record tells.  */
static void check_fields (tokens_t *self, const tim3_fsck_place_t *at, const tim3_transaction_t *record)
{
    bool failed = record->status == TIM3_TX_STATUS_FAILED;
    bool pending = record->status == TIM3_TX_STATUS_PENDING;
    bool control = record->kind == TIM3_TX_KIND_CONTROL;
    bool leaves = tim3_fsck_way (self->store, record) == TIM3_FSCK_LEAVES;
    bool from = tim3_fsck_moves_from (self->store, record);
    bool to = tim3_fsck_moves_to (self->store, record);
    if ((pending && record->kind != TIM3_TX_KIND_REDEEM && !leaves) || (failed && control))
        tim3_fsck_problem (self->fsck, at, "a %s cannot be %s",
                           tim3_value_name (tim3_tx_kind_values, record->kind),
                           tim3_value_name (tim3_tx_status_values, record->status));
    if (failed != (record->code != TIM3_OK))
        tim3_fsck_problem (self->fsck, at, "code is %s, but status %s",
                           tim3_result_name ((unsigned) record->code),
                           tim3_value_name (tim3_tx_status_values, record->status));
    if (pending != (record->due_us != 0))
        tim3_fsck_problem (self->fsck, at, "due_us is %llu, but status %s",
                           (unsigned long long) record->due_us,
                           tim3_value_name (tim3_tx_status_values, record->status));
    if (control != (record->control != 0) ||
        (record->kind == TIM3_TX_KIND_TRANSFER) != (record->to[0] != '\0'))
        tim3_fsck_problem (self->fsck, at, "control or to does not fit a %s",
                           tim3_value_name (tim3_tx_kind_values, record->kind));
    if (!control && (record->amount == 0 || !tim3_account_valid (record->account)))
        tim3_fsck_problem (self->fsck, at, "amount or account is not one that can have been asked for");
    /* what a control found there is told by the events before it */
    if ((record->balance && !from && !(control && record->account[0])) || (record->supply && !from && !to && !control)
        || (record->to_balance && !to))
        tim3_fsck_problem (self->fsck, at, "it tells balances that it cannot have changed");
    if ((!from && (record->entry || !tim3_id_is_zero (&record->previous)))
        || (!to && (record->to_entry || !tim3_id_is_zero (&record->to_previous))))
        tim3_fsck_problem (self->fsck, at, "it tells a place in a history that it cannot have");
}

static void expect_row (tokens_t *self, const tim3_fsck_place_t *at, tim3_table_t table,
                        const tim3_key_t *key)
{
    if (!tim3_fsck_has (self->store, table, key))
        tim3_fsck_problem (self->fsck, at, "has no row in %s", tim3_table (table)->name);
}

static void check_indexes (tokens_t *self, const tim3_fsck_place_t *at, const tim3_transaction_t *record)
{
    tim3_key_t by_account = tim3_key_text (record->account);
    tim3_key_add_id (&by_account, &record->tx);
    if (record->status == TIM3_TX_STATUS_FAILED && tim3_fsck_way (self->store, record) != TIM3_FSCK_CAME)
        expect_row (self, at, TIM3_TABLE_FAILED_BY_ACCOUNT, &by_account);
    if (record->status == TIM3_TX_STATUS_PENDING)
        tim3_fsck_expect_due (self->fsck, at, &s_due, &record->tx, TIM3_FSCK_DUE);
}

static void check_entries (tokens_t *self, const tim3_fsck_place_t *at, const tim3_transaction_t *record)
{
    uint32_t seen = *tim3_fsck_seen (self->store, &record->tx);
    if (tim3_fsck_moves_from (self->store, record) && !(seen & TIM3_FSCK_ENTRY))
        tim3_fsck_problem (self->fsck, at, "has no entry in the history of %s", record->account);
    if (tim3_fsck_moves_to (self->store, record) && !(seen & TIM3_FSCK_ENTRY_TO))
        tim3_fsck_problem (self->fsck, at, "has no entry in the history of %s",
                           tim3_fsck_came_back (self->store, record) ? record->account : record->to);
}

static void count_burn (tim3_ledger_t *sums, const tim3_transaction_t *record)
{
    sums->burns++;
    tim3_fsck_add (&sums->burned, record->amount);
    if (record->status != TIM3_TX_STATUS_PENDING)
        return;
    sums->unsettled++;
    tim3_fsck_add (&sums->releasing, record->amount);
}

/*  In crossed is what has left less what has come, and come back, modulo 2^128.  */
static void count_crossing (tokens_t *self, const tim3_transaction_t *record, tim3_fsck_way_t way)
{
    tim3_ledger_t *sums = &self->sums;
    if (way == TIM3_FSCK_CAME && record->status != TIM3_TX_STATUS_FAILED) {
        sums->transfers++;
        self->crossed -= record->amount;
    }
    if (way != TIM3_FSCK_LEAVES || !tim3_fsck_moves_from (self->store, record))
        return;
    sums->sent++;
    self->crossed += record->amount;
    if (tim3_fsck_came_back (self->store, record)) {
        sums->returned++;
        self->crossed -= record->amount;
    }
    if (record->status == TIM3_TX_STATUS_PENDING) {
        sums->unsettled++;
        sums->crossing += record->amount;
    }
}

static void count_record (tokens_t *self, const tim3_transaction_t *record)
{
    tim3_ledger_t *sums = &self->sums;
    tim3_fsck_way_t way = tim3_fsck_way (self->store, record);
    count_crossing (self, record, way);
    if (record->status == TIM3_TX_STATUS_FAILED)
        sums->refused += way != TIM3_FSCK_CAME;
    else if (record->kind == TIM3_TX_KIND_MINT) {
        sums->mints++;
        tim3_fsck_add (&sums->minted, record->amount);
    } else if (record->kind == TIM3_TX_KIND_REDEEM)
        count_burn (sums, record);
    else if (record->kind == TIM3_TX_KIND_TRANSFER && way == TIM3_FSCK_WITHIN)
        sums->transfers++;
}

static void check_records (tokens_t *self)
{
    tim3_fsck_place_t at = place (self, TIM3_TABLE_RECORD);
    tim3_transaction_t record;
    while (tim3_fsck_next (self->fsck, &at, &record)) {
        tim3_transaction_t derived = record;
        derived.tx = tim3_key_read_id (&at.key, 0);
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_transaction, &record, &derived, "its key");
        record.tx = derived.tx;
        check_fields (self, &at, &record);
        check_indexes (self, &at, &record);
        check_entries (self, &at, &record);
        count_record (self, &record);
    }
}

/*  -------------------------------------------------------------------------------- indexes and totals  */

static void check_failed_index (tokens_t *self)
{
    tim3_fsck_place_t at = place (self, TIM3_TABLE_FAILED_BY_ACCOUNT);
    tim3_transaction_t record;
    tim3_mark_t mark;
    while (tim3_fsck_next (self->fsck, &at, &mark)) {
        tim3_id_t tx = tim3_key_read_id (&at.key, at.key.size - sizeof tx);
        if (!tim3_fsck_read_tx (self->store, TIM3_TABLE_RECORD, &tx, &record) ||
            record.status != TIM3_TX_STATUS_FAILED ||
            strcmp (record.account, (const char *) at.key.data) != 0)
            tim3_fsck_problem (self->fsck, &at, "there is no failed record of that account under that tx");
    }
}

static void check_ledger (tokens_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_LEDGER, tim3_key_text ("ledger")};
    char sum[TIM3_AMOUNT_TEXT_MAX];
    char supply[TIM3_AMOUNT_TEXT_MAX];
    tim3_ledger_t found;
    tim3_ledger_t derived = self->sums;
    tim3_fsck_read (&at, &found);
    derived.supply = derived.minted - derived.burned - self->crossed;
    if (tim3_fsck_shards (self->store) == 1 && derived.minted < derived.burned)
        tim3_fsck_problem (self->fsck, &at, "by the records more was burned than minted");
    derived.cap = found.cap;
    derived.paused = found.paused;
    tim3_fsck_compare (self->fsck, &at, &tim3_shape_ledger, &found, &derived, "the records and accounts");
    if (self->balances != found.supply)
        tim3_fsck_problem (self->fsck, &at, "supply is %s, but the balances add up to %s",
                           tim3_amount_format_units (found.supply, supply),
                           tim3_amount_format_units (self->balances, sum));
}

void tim3_fsck_tokens (tim3_fsck_t *fsck, const tim3_fsck_store_t *store)
{
    tokens_t self = {.fsck = fsck, .store = store};
    tim3_fsck_due (fsck, store, &s_due);
    check_accounts (&self);
    check_records (&self);
    check_failed_index (&self);
    check_ledger (&self);
    tim3_fsck_section (fsck, store->meta.name, "%llu records, %llu accounts, %llu history entries",
                       (unsigned long long) store->rows[TIM3_TABLE_RECORD],
                       (unsigned long long) store->rows[TIM3_TABLE_ACCOUNT],
                       (unsigned long long) self.entries);
}
