/*  tables.c - totals against records, indexes against states, histories against balances.  */
#include "tables.h"
#include "../unit/deadlines.h"
#include "agent/due.h"
#include "disk.h"
#include "wire/run.h"

#include <string.h>

typedef struct {
    sim_process_t *process;
    tim3_store_t *store;
} place_t;

#define AGREE(condition, what) \
    SIM_CHECK (condition, "tables agree with each other", "%s: %s", place->process->name, what)

static bool next (const place_t *place, tim3_table_t table, tim3_key_t *key, void *record)
{
    return tim3_store_seek (place->store, table, TIM3_SEEK_GT, key, record);
}

static size_t count (const place_t *place, tim3_table_t table)
{
    return sim_disk_count (place->process->disk, table);
}

/*  ---------------------------------------------------------------------------------------- what is unfinished  */

/*  How many times a tail stands in the lists of a deadline.  */
static unsigned count_places (const place_t *place, tim3_table_t lists, uint64_t due_us, const uint8_t *tail, size_t size)
{
    tim3_key_t prefix = tim3_key_u64 (due_us);
    tim3_key_t key = prefix;
    tim3_deadline_list_t list;
    unsigned places = 0;
    while (next (place, lists, &key, &list) && tim3_key_has_prefix (&key, &prefix)) {
        size_t tails;
        const uint8_t *at = tim3_due_tails (&list, size, &tails);
        AGREE (at, "a list of what is unfinished cannot be read");
        for (size_t i = 0; i < tails; i++)
            places += memcmp (at + i * size, tail, size) == 0;
    }
    return places;
}

static uint64_t count_open (const place_t *place, tim3_table_t deadlines, tim3_table_t lists)
{
    uint64_t open;
    const char *wrong = deadlines_count (place->store, deadlines, lists, &open);
    AGREE (!wrong, wrong);
    return open;
}

/*  ---------------------------------------------------------------------------------------- token manager  */

static bool is_own (const place_t *place, const char *account)
{
    const tim3_settings_t *settings = &place->process->settings;
    return tim3_account_shard (account, settings->shards) == settings->shard;
}

static bool leaves (const place_t *place, const tim3_transaction_t *record)
{
    return record->kind == TIM3_TX_KIND_TRANSFER && is_own (place, record->account) && !is_own (place, record->to);
}

static bool came (const place_t *place, const tim3_transaction_t *record)
{
    return record->kind == TIM3_TX_KIND_TRANSFER && !is_own (place, record->account);
}

/*  What has left and come back is refused, and was counted when it left.  */
static void add_crossing (const place_t *place, tim3_ledger_t *sums, const tim3_transaction_t *record)
{
    bool failed = record->status == TIM3_TX_STATUS_FAILED;
    if (came (place, record)) {
        sums->supply += failed ? 0 : record->amount;
        sums->transfers += !failed;
    }
    if (!leaves (place, record) || record->entry == 0)
        return;
    sums->sent++;
    sums->returned += failed;
    sums->supply -= failed ? 0 : record->amount;
    AGREE (failed == (record->to_entry > 0), "what came back has no entry, or what did not has one");
}

static void check_due_burn (const place_t *place, const tim3_transaction_t *record)
{
    AGREE (count_places (place, TIM3_TABLE_BURN_DUE_LIST, record->due_us, record->tx.bytes, sizeof record->tx) == 1,
           "a pending burn or transfer has not one place in BURN_DUE");
}

static void add_record (const place_t *place, tim3_ledger_t *sums, const tim3_transaction_t *record)
{
    add_crossing (place, sums, record);
    if (record->status == TIM3_TX_STATUS_FAILED) {
        sums->refused += !came (place, record);
        return;
    }
    if (record->status == TIM3_TX_STATUS_PENDING) {
        bool crossing = leaves (place, record);
        AGREE (record->kind == TIM3_TX_KIND_REDEEM || crossing, "something else than these can be is pending");
        sums->unsettled++;
        sums->releasing += crossing ? 0 : record->amount;
        sums->crossing += crossing ? record->amount : 0;
        check_due_burn (place, record);
    }
    sums->mints += record->kind == TIM3_TX_KIND_MINT;
    sums->burns += record->kind == TIM3_TX_KIND_REDEEM;
    sums->transfers += record->kind == TIM3_TX_KIND_TRANSFER && !leaves (place, record) && !came (place, record);
    sums->minted += record->kind == TIM3_TX_KIND_MINT ? record->amount : 0;
    sums->burned += record->kind == TIM3_TX_KIND_REDEEM ? record->amount : 0;
}

/*  From the newest record back to the first.  */
static void check_history (const place_t *place, const tim3_account_t *account)
{
    tim3_amount_t balance = account->balance;
    tim3_id_t tx = account->last;
    for (uint64_t number = account->entries; number > 0; number--) {
        tim3_key_t key = tim3_key_id (&tx);
        tim3_transaction_t record;
        AGREE (tim3_store_read (place->store, TIM3_TABLE_RECORD, &key, &record), "a history names no record");
        bool own = strcmp (record.account, account->account) == 0 && !(leaves (place, &record) && record.to_entry == number);
        AGREE (own || strcmp (record.account, account->account) == 0 || strcmp (record.to, account->account) == 0, "a history has another account's record");
        AGREE (number == (own ? record.entry : record.to_entry) && balance == (own ? record.balance : record.to_balance),
               "a history does not add up");
        bool in = !own || record.kind == TIM3_TX_KIND_MINT;
        balance = in ? balance - record.amount : balance + record.amount;
        tx = own ? record.previous : record.to_previous;
    }
    AGREE (balance == 0 && tim3_id_is_zero (&tx), "a history does not begin with nothing");
}

static tim3_amount_t check_balances (const place_t *place)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_account_t account;
    tim3_amount_t sum = 0;
    while (next (place, TIM3_TABLE_ACCOUNT, &key, &account)) {
        sum += account.balance;
        check_history (place, &account);
    }
    return sum;
}

static void check_token_manager (const place_t *place)
{
    tim3_key_t key = tim3_key_text ("ledger");
    tim3_ledger_t ledger;
    tim3_ledger_t sums = {0};
    tim3_transaction_t record;
    tim3_store_read (place->store, TIM3_TABLE_LEDGER, &key, &ledger);
    key = tim3_key_empty ();
    while (next (place, TIM3_TABLE_RECORD, &key, &record))
        add_record (place, &sums, &record);
    AGREE (check_balances (place) == ledger.supply, "the balances do not add up to the supply");
    AGREE (sums.minted == ledger.minted && sums.burned == ledger.burned,
           "the records do not add up to the totals");
    AGREE (sums.minted - sums.burned + sums.supply == ledger.supply, "what came in less what went out is not the supply");
    AGREE (sums.releasing == ledger.releasing && sums.crossing == ledger.crossing && sums.unsettled == ledger.unsettled,
           "unsettled burns and transfers are miscounted");
    AGREE (sums.sent == ledger.sent && sums.returned == ledger.returned, "transfers between shards are miscounted");
    AGREE (sums.mints == ledger.mints && sums.burns == ledger.burns && sums.transfers == ledger.transfers &&
               sums.refused == ledger.refused,
           "transactions are miscounted");
    AGREE (count_open (place, TIM3_TABLE_BURN_DUE, TIM3_TABLE_BURN_DUE_LIST) == ledger.unsettled,
           "BURN_DUE counts what is not there");
    AGREE (count (place, TIM3_TABLE_FAILED_BY_ACCOUNT) == ledger.refused, "FAILED_BY_ACCOUNT does not fit");
    AGREE (count (place, TIM3_TABLE_ACCOUNT) == ledger.accounts, "accounts are miscounted");
}

/*  ----------------------------------------------------------------------------------------- lock manager  */

static bool is_final (const tim3_lock_item_t *item)
{
    return item->state == TIM3_LOCK_STATE_ACTIVE || item->state == TIM3_LOCK_STATE_RELEASED ||
           item->state == TIM3_LOCK_STATE_REFUSED;
}

static void check_due_item (const place_t *place, tim3_table_t table, const tim3_lock_item_t *item)
{
    uint8_t tail[1 + sizeof item->tx];
    tail[0] = (uint8_t) table;
    memcpy (tail + 1, item->tx.bytes, sizeof item->tx);
    AGREE (count_places (place, TIM3_TABLE_LOCK_DUE_LIST, item->due_us, tail, sizeof tail) == 1,
           "an unfinished item has not one place in LOCK_DUE");
}

static void add_item (const place_t *place, tim3_lock_totals_t *sums, tim3_table_t table,
                      const tim3_lock_item_t *item)
{
    bool release = table == TIM3_TABLE_RELEASE;
    if (!is_final (item)) {
        sums->unsettled++;
        check_due_item (place, table, item);
    }
    if (release)
        sums->locked -= item->amount;
    else if (item->state == TIM3_LOCK_STATE_PENDING || item->state == TIM3_LOCK_STATE_ACTIVE)
        sums->locked += item->amount;
    if (item->state == TIM3_LOCK_STATE_PENDING)
        sums->in_flight += item->amount;
    if (item->state == TIM3_LOCK_STATE_RELEASING)
        sums->releasing += item->amount;
    sums->refused += item->state == TIM3_LOCK_STATE_REFUSING || item->state == TIM3_LOCK_STATE_REFUSED;
    sums->releases +=
        release || item->state == TIM3_LOCK_STATE_RELEASING || item->state == TIM3_LOCK_STATE_RELEASED;
}

static void check_lock_manager (const place_t *place)
{
    static const tim3_table_t tables[] = {TIM3_TABLE_LOCK, TIM3_TABLE_RELEASE};
    tim3_key_t key = tim3_key_text ("totals");
    tim3_lock_totals_t totals;
    tim3_lock_totals_t sums = {0};
    tim3_lock_item_t item;
    tim3_store_read (place->store, TIM3_TABLE_LOCK_TOTALS, &key, &totals);
    for (int i = 0; i < 2; i++) {
        key = tim3_key_empty ();
        while (next (place, tables[i], &key, &item))
            add_item (place, &sums, tables[i], &item);
    }
    AGREE (sums.locked == totals.locked - totals.overdrawn && sums.in_flight == totals.in_flight &&
               sums.releasing == totals.releasing,
           "the items do not add up to the totals");
    AGREE (totals.locked == 0 || totals.overdrawn == 0, "locked, and overdrawn");
    AGREE (sums.unsettled == totals.unsettled && sums.refused == totals.refused &&
               sums.releases == totals.releases,
           "items are miscounted");
    AGREE (count_open (place, TIM3_TABLE_LOCK_DUE, TIM3_TABLE_LOCK_DUE_LIST) == totals.unsettled,
           "LOCK_DUE counts what is not there");
}

/*  -------------------------------------------------------------------------------------------- mock USDA  */

static tim3_amount_t sum_vault_records (const place_t *place, const char *name)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_collateral_record_t record;
    tim3_amount_t sum = 0;
    while (next (place, TIM3_TABLE_COLLATERAL_RECORD, &key, &record)) {
        if (record.code != TIM3_OK || strcmp (record.vault, name) != 0)
            continue;
        sum = record.op == TIM3_COLLATERAL_OP_LOCK ? sum + record.amount : sum - record.amount;
    }
    return sum;
}

static void check_usda (const place_t *place)
{
    tim3_collateral_totals_t totals;
    tim3_key_t key = tim3_key_text ("totals");
    tim3_holding_t holding;
    tim3_vault_t vault;
    tim3_amount_t sum = 0;
    tim3_store_read (place->store, TIM3_TABLE_COLLATERAL_TOTALS, &key, &totals);
    key = tim3_key_empty ();
    while (next (place, TIM3_TABLE_HOLDING, &key, &holding))
        sum += holding.available;
    key = tim3_key_empty ();
    while (next (place, TIM3_TABLE_VAULT, &key, &vault)) {
        sum += vault.total;
        AGREE (sum_vault_records (place, vault.vault) == vault.total, "a vault's records do not add up");
    }
    SIM_CHECK (sum == totals.issued, "holdings + vaults = issued", "%s", place->process->name);
    AGREE (count (place, TIM3_TABLE_HOLDING) == totals.accounts, "accounts are miscounted");
    AGREE (count (place, TIM3_TABLE_COLLATERAL_RECORD) == totals.operations, "operations are miscounted");
}

/*  -------------------------------------------------------------------------------- state manager, router  */

/*  A sum of all that an account ever received, or sent, can be more than a number holds, while its balance never is: it stays at
    the most then, and adds up to nothing any more.  */
static bool is_saturated (const tim3_position_t *position)
{
    return position->minted == TIM3_AMOUNT_MAX || position->received == TIM3_AMOUNT_MAX ||
           position->redeemed == TIM3_AMOUNT_MAX || position->sent == TIM3_AMOUNT_MAX;
}

static void check_state_manager (const place_t *place)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_asset_metrics_t metrics;
    tim3_position_t position;
    while (next (place, TIM3_TABLE_ASSET_METRICS, &key, &metrics)) {
        tim3_key_t prefix = tim3_key_text (metrics.asset);
        tim3_key_t at = prefix;
        tim3_amount_t sum = 0;
        while (next (place, TIM3_TABLE_POSITION, &at, &position) && tim3_key_has_prefix (&at, &prefix)) {
            sum += position.balance;
            AGREE (is_saturated (&position) || position.minted + position.received - position.redeemed - position.sent ==
                       position.balance,
                   "a position does not add up");
        }
        AGREE (sum == metrics.balances && sum == metrics.supply, "positions do not add up to the supply");
    }
}

static void check_router (const place_t *place)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_event_item_t item;
    tim3_run_walk_t walk;
    tim3_run_t run;
    uint64_t offset = 1;
    while (next (place, TIM3_TABLE_LOG, &key, &run)) {
        AGREE (run.offset == offset && tim3_key_read_u64 (&key, 0) == offset, "the log has a hole");
        for (tim3_run_walk (&walk, &run); tim3_run_step (&walk, &item); offset++)
            AGREE (item.topic[0] != '\0', "the log has something that is no event");
        AGREE (run.count > 0 && tim3_run_whole (&walk), "a row of the log is not what it tells");
    }
}

void sim_tables_check (unsigned node)
{
    place_t place = {&sim.processes[node], sim.processes[node].store};
    switch (place.process->core->role) {
    case TIM3_ROLE_TOKEN_MANAGER:
        check_token_manager (&place);
        break;
    case TIM3_ROLE_LOCK_MANAGER:
        check_lock_manager (&place);
        break;
    case TIM3_ROLE_MOCK_USDA:
        check_usda (&place);
        break;
    case TIM3_ROLE_STATE_MANAGER:
        check_state_manager (&place);
        break;
    case TIM3_ROLE_ROUTER:
        check_router (&place);
        break;
    default:
        break;
    }
}
