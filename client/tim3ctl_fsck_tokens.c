/*  tim3ctl_fsck_tokens.c - a token manager's store: balances, totals and indexes follow from its records
    and its histories, and these from each other.  */
#include "tim3ctl_fsck.h"

#include <string.h>

typedef struct {
    tim3_fsck_t *fsck;
    const tim3_fsck_store_t *store;
    tim3_ledger_t sums; /* as the records tell */
    tim3_amount_t balances;
    tim3_account_t account; /* whose history is being read, as far as it is */
} tokens_t;

static tim3_fsck_place_t place (const tokens_t *self, tim3_table_t table)
{
    return (tim3_fsck_place_t){self->store, table, tim3_key_empty ()};
}

/*  A tail is the tx of a burn.  */
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

/*  ------------------------------------------------------------------------------------------- history  */

/*  What the entry of a record in an account's history must be; false when it has none there.  */
static bool derive_entry (const tim3_transaction_t *record, const char *account, tim3_entry_t *entry)
{
    static const uint8_t kinds[] = {[TIM3_TX_KIND_MINT] = TIM3_ENTRY_KIND_MINT,
                                    [TIM3_TX_KIND_REDEEM] = TIM3_ENTRY_KIND_REDEEM,
                                    [TIM3_TX_KIND_TRANSFER] = TIM3_ENTRY_KIND_SENT,
                                    [TIM3_TX_KIND_CONTROL] = 0};
    bool own = strcmp (record->account, account) == 0;
    bool received = record->kind == TIM3_TX_KIND_TRANSFER && !own && strcmp (record->to, account) == 0;
    if (record->status == TIM3_TX_STATUS_FAILED || record->kind == TIM3_TX_KIND_CONTROL ||
        (!own && !received))
        return false;
    entry->tx = record->tx;
    entry->kind = own ? kinds[record->kind] : TIM3_ENTRY_KIND_RECEIVED;
    strcpy (entry->other, own ? record->to : record->account);
    entry->amount = record->amount;
    entry->balance = own ? record->balance : record->to_balance;
    entry->time_us = record->time_us;
    return true;
}

static void check_entry_record (tokens_t *self, const tim3_fsck_place_t *at, const tim3_entry_t *entry)
{
    tim3_transaction_t record;
    char tx[TIM3_ID_TEXT_MAX];
    tim3_entry_t derived = {.number = tim3_key_read_u64 (&at->key, at->key.size - 8u)};
    tim3_id_format (&entry->tx, tx);
    if (!tim3_fsck_read_tx (self->store, TIM3_TABLE_RECORD, &entry->tx, &record)) {
        tim3_fsck_problem (self->fsck, at, "tx %s has no record", tx);
        return;
    }
    if (!derive_entry (&record, self->account.account, &derived)) {
        tim3_fsck_problem (self->fsck, at, "the record of tx %s moves nothing on this account", tx);
        return;
    }
    tim3_fsck_compare (self->fsck, at, &tim3_shape_entry, entry, &derived, "its record");
    uint32_t bit = derived.kind == TIM3_ENTRY_KIND_RECEIVED ? TIM3_FSCK_ENTRY_TO : TIM3_FSCK_ENTRY;
    uint32_t *seen = tim3_fsck_seen (self->store, &entry->tx);
    if (*seen & bit)
        tim3_fsck_problem (self->fsck, at, "tx %s has an entry in this history before", tx);
    *seen |= bit;
}

/*  Goes on from the balance that the entry tells, so that one wrong entry is told once.  */
static void check_running (tokens_t *self, const tim3_fsck_place_t *at, const tim3_entry_t *entry)
{
    tim3_entry_t derived = *entry;
    bool in = entry->kind == TIM3_ENTRY_KIND_MINT || entry->kind == TIM3_ENTRY_KIND_RECEIVED;
    uint64_t number = tim3_key_read_u64 (&at->key, at->key.size - 8u);
    self->account.entries++;
    if (number != self->account.entries) {
        tim3_fsck_problem (self->fsck, at,
                           "the history goes on with entry %llu, but \"%llu\" by the entry before",
                           (unsigned long long) number, (unsigned long long) self->account.entries);
        self->account.entries = number;
    } else {
        bool fits = in ? tim3_amount_add (self->account.balance, entry->amount, &derived.balance)
                       : tim3_amount_sub (self->account.balance, entry->amount, &derived.balance);
        if (!fits)
            tim3_fsck_problem (self->fsck, at, "the amount does not fit the balance of the entry before");
        tim3_fsck_compare (self->fsck, at, &tim3_shape_entry, entry, &derived, "the entries before");
    }
    self->account.balance = entry->balance;
}

/*  The history of an account has been read to its end.  */
static void end_history (tokens_t *self)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_ACCOUNT, tim3_key_text (self->account.account)};
    tim3_account_t found;
    if (self->account.account[0] == '\0')
        return;
    if (!tim3_fsck_read (&at, &found))
        tim3_fsck_problem (self->fsck, &at, "there is a history, but no account");
    else {
        self->account.frozen = found.frozen;
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_account, &found, &self->account, "its history");
    }
}

static void check_histories (tokens_t *self)
{
    tim3_fsck_place_t at = place (self, TIM3_TABLE_HISTORY);
    tim3_entry_t entry;
    while (tim3_fsck_next (self->fsck, &at, &entry)) {
        const char *account = (const char *) at.key.data;
        if (strcmp (account, self->account.account) != 0) {
            end_history (self);
            self->account = (tim3_account_t){.balance = 0};
            tim3_fsck_key_name (&at, self->account.account, sizeof self->account.account);
        }
        check_entry_record (self, &at, &entry);
        check_running (self, &at, &entry);
    }
    end_history (self);
}

/*  ------------------------------------------------------------------------------------------- accounts  */

static bool has_history (const tokens_t *self, const tim3_key_t *account)
{
    tim3_fsck_place_t at = {self->store, TIM3_TABLE_HISTORY, *account};
    tim3_entry_t entry;
    return tim3_fsck_next (self->fsck, &at, &entry) && tim3_key_has_prefix (&at.key, account);
}

static void check_accounts (tokens_t *self)
{
    tim3_fsck_place_t at = place (self, TIM3_TABLE_ACCOUNT);
    tim3_account_t account;
    while (tim3_fsck_next (self->fsck, &at, &account)) {
        tim3_account_t derived = account;
        tim3_fsck_key_name (&at, derived.account, sizeof derived.account);
        if (!has_history (self, &at.key))
            derived.balance = derived.entries = 0;
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_account, &account, &derived,
                           "its key and its history");
        if (!tim3_account_valid (account.account))
            tim3_fsck_problem (self->fsck, &at, "no account can be called that");
        tim3_fsck_add (&self->balances, account.balance);
        self->sums.accounts++;
    }
}

/*  -------------------------------------------------------------------------------------------- records  */

/*  What a status implies for the fields that no other record tells.  */
static void check_fields (tokens_t *self, const tim3_fsck_place_t *at, const tim3_transaction_t *record)
{
    bool failed = record->status == TIM3_TX_STATUS_FAILED;
    bool pending = record->status == TIM3_TX_STATUS_PENDING;
    bool control = record->kind == TIM3_TX_KIND_CONTROL;
    if ((pending && record->kind != TIM3_TX_KIND_REDEEM) || (failed && control))
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
    if (((failed || control) && (record->balance || record->supply)) ||
        (record->to_balance && (failed || record->to[0] == '\0')))
        tim3_fsck_problem (self->fsck, at, "it tells balances that it cannot have changed");
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
    if (record->status == TIM3_TX_STATUS_FAILED)
        expect_row (self, at, TIM3_TABLE_FAILED_BY_ACCOUNT, &by_account);
    if (record->status == TIM3_TX_STATUS_PENDING)
        tim3_fsck_expect_due (self->fsck, at, &s_due, &record->tx, TIM3_FSCK_DUE);
}

static void check_entries (tokens_t *self, const tim3_fsck_place_t *at, const tim3_transaction_t *record)
{
    uint32_t seen = *tim3_fsck_seen (self->store, &record->tx);
    if (record->status == TIM3_TX_STATUS_FAILED || record->kind == TIM3_TX_KIND_CONTROL)
        return;
    if (!(seen & TIM3_FSCK_ENTRY))
        tim3_fsck_problem (self->fsck, at, "has no entry in the history of %s", record->account);
    if (record->kind == TIM3_TX_KIND_TRANSFER && !(seen & TIM3_FSCK_ENTRY_TO))
        tim3_fsck_problem (self->fsck, at, "has no entry in the history of %s", record->to);
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

static void count_record (tim3_ledger_t *sums, const tim3_transaction_t *record)
{
    if (record->status == TIM3_TX_STATUS_FAILED)
        sums->refused++;
    else if (record->kind == TIM3_TX_KIND_MINT) {
        sums->mints++;
        tim3_fsck_add (&sums->minted, record->amount);
    } else if (record->kind == TIM3_TX_KIND_REDEEM)
        count_burn (sums, record);
    else if (record->kind == TIM3_TX_KIND_TRANSFER)
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
        count_record (&self->sums, &record);
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
    if (!tim3_amount_sub (derived.minted, derived.burned, &derived.supply))
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
    check_histories (&self);
    check_accounts (&self);
    check_records (&self);
    check_failed_index (&self);
    check_ledger (&self);
    tim3_fsck_section (fsck, store->meta.name, "%llu records, %llu accounts, %llu history entries",
                       (unsigned long long) store->rows[TIM3_TABLE_RECORD],
                       (unsigned long long) store->rows[TIM3_TABLE_ACCOUNT],
                       (unsigned long long) store->rows[TIM3_TABLE_HISTORY]);
}
