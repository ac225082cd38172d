/*  invariants.c - what must hold of a store between batches, whatever frames came: every record reads back,
    events have no gaps, and the totals of a ledger are the sums of its rows.
*/
#include "fuzz.h"
#include "../unit/deadlines.h"
#include "wire/run.h"

#include <string.h>

static void check_tables (tim3_store_t *store)
{
    static _Alignas(16) uint8_t record[4096];
    const tim3_table_row_t *table;
    for (unsigned i = 0; (table = tim3_table_at (i)); i++) {
        tim3_key_t key = tim3_key_empty ();
        while (tim3_store_seek (store, table->number, TIM3_SEEK_GT, &key, record))
            ;
        FUZZ_CHECK (tim3_store_error (store) == TIM3_STORE_OK);
    }
}

static void check_outbox (tim3_store_t *store)
{
    static _Alignas(16) uint8_t body[4096];
    tim3_key_t key = tim3_key_empty ();
    tim3_event_item_t item;
    tim3_run_walk_t walk;
    tim3_run_t run;
    uint64_t before = 0;
    while (tim3_store_seek (store, TIM3_TABLE_OUTBOX, TIM3_SEEK_GT, &key, &run)) {
        FUZZ_CHECK (before == 0 || run.seq == before + 1);
        FUZZ_CHECK (tim3_key_read_u64 (&key, 0) == run.seq);
        for (tim3_run_walk (&walk, &run); tim3_run_step (&walk, &item); before = item.seq)
            FUZZ_CHECK (tim3_event_read (item.type, &item.body, body));
        FUZZ_CHECK (run.count > 0 && tim3_run_whole (&walk));
    }
}

uint64_t fuzz_count_events (tim3_store_t *store)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_run_t run;
    uint64_t count = 0;
    while (tim3_store_seek (store, TIM3_TABLE_OUTBOX, TIM3_SEEK_GT, &key, &run))
        count += run.count;
    return count;
}

static uint64_t count_rows (tim3_store_t *store, tim3_table_t table)
{
    static _Alignas(16) uint8_t record[4096];
    tim3_key_t key = tim3_key_empty ();
    uint64_t count = 0;
    while (tim3_store_seek (store, table, TIM3_SEEK_GT, &key, record))
        count++;
    return count;
}

static uint64_t count_open (tim3_store_t *store, tim3_table_t deadlines, tim3_table_t lists)
{
    uint64_t open;
    FUZZ_CHECK (!deadlines_count (store, deadlines, lists, &open));
    return open;
}

/*  ---------------------------------------------------------------------------------------- token manager  */

/*  Adds up the records; what the ledger cannot know of them stays as it is.  */
static void add_record (tim3_ledger_t *sums, const tim3_transaction_t *record)
{
    bool done = record->status == TIM3_TX_STATUS_COMPLETED;
    bool pending = record->status == TIM3_TX_STATUS_PENDING;
    sums->refused += record->status == TIM3_TX_STATUS_FAILED;
    sums->mints += done && record->kind == TIM3_TX_KIND_MINT;
    sums->transfers += done && record->kind == TIM3_TX_KIND_TRANSFER;
    sums->burns += (done || pending) && record->kind == TIM3_TX_KIND_REDEEM;
    sums->unsettled += pending;
    if (done && record->kind == TIM3_TX_KIND_MINT)
        sums->minted += record->amount;
    if ((done || pending) && record->kind == TIM3_TX_KIND_REDEEM)
        sums->burned += record->amount;
    if (pending)
        sums->releasing += record->amount;
    FUZZ_CHECK (!pending || record->kind == TIM3_TX_KIND_REDEEM);
    FUZZ_CHECK ((record->due_us != 0) == pending);
}

static void check_accounts (tim3_store_t *store, const tim3_ledger_t *ledger)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_account_t account;
    tim3_amount_t sum = 0;
    uint64_t count = 0;
    uint64_t entries = 0;
    while (tim3_store_seek (store, TIM3_TABLE_ACCOUNT, TIM3_SEEK_GT, &key, &account)) {
        sum += account.balance;
        entries += account.entries;
        count++;
    }
    FUZZ_CHECK (sum == ledger->supply);
    FUZZ_CHECK (count == ledger->accounts);
    FUZZ_CHECK (entries == ledger->mints + ledger->burns + 2 * ledger->transfers);
}

static void check_token_manager (tim3_store_t *store)
{
    tim3_key_t key = tim3_key_text ("ledger");
    tim3_ledger_t ledger;
    tim3_ledger_t sums = {0};
    tim3_transaction_t record;

    tim3_store_read (store, TIM3_TABLE_LEDGER, &key, &ledger);
    key = tim3_key_empty ();
    while (tim3_store_seek (store, TIM3_TABLE_RECORD, TIM3_SEEK_GT, &key, &record))
        add_record (&sums, &record);
    check_accounts (store, &ledger);
    FUZZ_CHECK (ledger.minted - ledger.burned == ledger.supply && ledger.burned <= ledger.minted);
    FUZZ_CHECK (sums.minted == ledger.minted && sums.burned == ledger.burned);
    FUZZ_CHECK (sums.releasing == ledger.releasing && sums.unsettled == ledger.unsettled);
    FUZZ_CHECK (sums.mints == ledger.mints && sums.burns == ledger.burns);
    FUZZ_CHECK (sums.transfers == ledger.transfers && sums.refused == ledger.refused);
    FUZZ_CHECK (count_open (store, TIM3_TABLE_BURN_DUE, TIM3_TABLE_BURN_DUE_LIST) == ledger.unsettled);
    FUZZ_CHECK (count_rows (store, TIM3_TABLE_FAILED_BY_ACCOUNT) == ledger.refused);
}

/*  ----------------------------------------------------------------------------------------- lock manager  */

#define STATE(NAME) (1u << TIM3_LOCK_STATE_##NAME)
#define FINAL (STATE (ACTIVE) | STATE (RELEASED) | STATE (REFUSED))
#define HELD (STATE (PENDING) | STATE (ACTIVE))

static void add_item (tim3_lock_totals_t *sums, const tim3_lock_item_t *item)
{
    unsigned state = 1u << item->state;
    sums->unsettled += !(state & FINAL);
    sums->refused += (state & (STATE (REFUSING) | STATE (REFUSED))) != 0;
    sums->locks += (state & (HELD | STATE (RELEASING) | STATE (RELEASED))) != 0;
    sums->releases += (state & (STATE (RELEASING) | STATE (RELEASED))) != 0;
    sums->locked += state & HELD ? item->amount : 0;
    sums->in_flight += state & STATE (PENDING) ? item->amount : 0;
    sums->releasing += state & STATE (RELEASING) ? item->amount : 0;
    FUZZ_CHECK ((item->due_us != 0) == !(state & FINAL));
}

static void add_release (tim3_lock_totals_t *sums, const tim3_lock_item_t *item)
{
    FUZZ_CHECK (item->state == TIM3_LOCK_STATE_RELEASING || item->state == TIM3_LOCK_STATE_RELEASED);
    add_item (sums, item);
    sums->locks--;
    sums->locked -= item->amount;
}

static void check_lock_manager (tim3_store_t *store)
{
    tim3_key_t key = tim3_key_text ("totals");
    tim3_lock_totals_t totals;
    tim3_lock_totals_t sums = {0};
    tim3_lock_item_t item;

    tim3_store_read (store, TIM3_TABLE_LOCK_TOTALS, &key, &totals);
    key = tim3_key_empty ();
    while (tim3_store_seek (store, TIM3_TABLE_LOCK, TIM3_SEEK_GT, &key, &item))
        add_item (&sums, &item);
    key = tim3_key_empty ();
    while (tim3_store_seek (store, TIM3_TABLE_RELEASE, TIM3_SEEK_GT, &key, &item))
        add_release (&sums, &item);
    FUZZ_CHECK (sums.locked == totals.locked && sums.in_flight == totals.in_flight);
    FUZZ_CHECK (sums.releasing == totals.releasing);
    FUZZ_CHECK (sums.unsettled == totals.unsettled && sums.refused == totals.refused);
    FUZZ_CHECK (sums.locks == totals.locks && sums.releases == totals.releases);
    FUZZ_CHECK (count_open (store, TIM3_TABLE_LOCK_DUE, TIM3_TABLE_LOCK_DUE_LIST) == totals.unsettled);
}

/*  ------------------------------------------------------------------------------------- collateral token  */

static void check_mock_usda (tim3_store_t *store)
{
    tim3_key_t key = tim3_key_text ("totals");
    tim3_collateral_totals_t totals;
    tim3_holding_t holding;
    tim3_vault_t vault;
    tim3_amount_t sum = 0;
    uint64_t accounts = 0;

    tim3_store_read (store, TIM3_TABLE_COLLATERAL_TOTALS, &key, &totals);
    key = tim3_key_empty ();
    for (; tim3_store_seek (store, TIM3_TABLE_HOLDING, TIM3_SEEK_GT, &key, &holding); accounts++)
        sum += holding.available;
    key = tim3_key_empty ();
    while (tim3_store_seek (store, TIM3_TABLE_VAULT, TIM3_SEEK_GT, &key, &vault))
        sum += vault.total;
    FUZZ_CHECK (sum == totals.issued);
    FUZZ_CHECK (accounts == totals.accounts);
    FUZZ_CHECK (count_rows (store, TIM3_TABLE_COLLATERAL_RECORD) == totals.operations);
}

/*  ------------------------------------------------------------------------------------------ event log  */

static void check_router (tim3_store_t *store)
{
    tim3_key_t key = tim3_key_empty ();
    static _Alignas(16) uint8_t body[4096];
    tim3_event_item_t item;
    tim3_run_walk_t walk;
    tim3_run_t run;
    uint64_t offset = 1;
    while (tim3_store_seek (store, TIM3_TABLE_LOG, TIM3_SEEK_GT, &key, &run)) {
        FUZZ_CHECK (run.offset == offset);
        FUZZ_CHECK (tim3_key_read_u64 (&key, 0) == offset);
        for (tim3_run_walk (&walk, &run); tim3_run_step (&walk, &item); offset++)
            FUZZ_CHECK (tim3_event_read (item.type, &item.body, body));
        FUZZ_CHECK (run.count > 0 && tim3_run_whole (&walk));
    }
}

void fuzz_check_store (tim3_role_t role, tim3_store_t *store)
{
    static void (*const checks[TIM3_ROLE_COUNT]) (tim3_store_t *) = {
        [TIM3_ROLE_ROUTER] = check_router,
        [TIM3_ROLE_LOCK_MANAGER] = check_lock_manager,
        [TIM3_ROLE_TOKEN_MANAGER] = check_token_manager,
        [TIM3_ROLE_MOCK_USDA] = check_mock_usda,
    };
    check_tables (store);
    check_outbox (store);
    if (checks[role])
        checks[role](store);
}
