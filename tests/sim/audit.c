/*  audit.c - the rules that hold at every commit, and those that hold when all is quiet.  */
#include "audit.h"
#include "../unit/runs.h"
#include "disk.h"
#include "model.h"
#include "tables.h"
#include "wire/run.h"

#include <stdio.h>
#include <string.h>

#define FULL_CHECK_EVERY 24

/*  A sum in a store that may be changing: both values that a crash could leave.  */
typedef struct {
    tim3_amount_t durable;
    tim3_amount_t now;
    tim3_amount_t low;
    tim3_amount_t high;
} sum_t;

static sum_t s_vault[SIM_ASSETS_MAX];
static sum_t s_locked[SIM_ASSETS_MAX];
static sum_t s_supply[SIM_ASSETS_MAX];
static uint64_t s_seen[SIM_PROCESSES_MAX]; /* last event that the model was told of */
static char s_unrest[128];

/*  ------------------------------------------------------------------------------------------- the sums  */

static tim3_amount_t read_vault (unsigned asset)
{
    tim3_vault_t vault;
    tim3_key_t key = tim3_key_text (sim.assets[asset].name);
    tim3_store_read (sim.processes[SIM_USDA].store, TIM3_TABLE_VAULT, &key, &vault);
    return vault.total;
}

static tim3_amount_t read_locked (unsigned asset)
{
    tim3_lock_totals_t totals;
    tim3_key_t key = tim3_key_text ("totals");
    tim3_store_read (sim.processes[sim.assets[asset].lock_manager].store, TIM3_TABLE_LOCK_TOTALS, &key,
                     &totals);
    return totals.locked;
}

static tim3_amount_t read_supply (unsigned asset)
{
    tim3_ledger_t ledger;
    tim3_key_t key = tim3_key_text ("ledger");
    tim3_store_read (sim.processes[sim.assets[asset].token_manager].store, TIM3_TABLE_LEDGER, &key, &ledger);
    return ledger.supply;
}

static void note (sum_t *sum, tim3_amount_t value, bool durable)
{
    if (durable)
        sum->durable = value;
    sum->now = value;
    sum->low = value < sum->durable ? value : sum->durable;
    sum->high = value > sum->durable ? value : sum->durable;
}

/*  Ledgers by themselves commit at different times; those of one host change both sums at once, or neither.  */
static bool is_covered (unsigned asset)
{
    const sum_t *locked = &s_locked[asset];
    const sum_t *supply = &s_supply[asset];
    unsigned ledger = sim.assets[asset].lock_manager;
    if (sim.processes[ledger].hosted_by == ledger)
        return locked->low >= supply->high;
    return locked->durable >= supply->durable && locked->now >= supply->now;
}

static void check_backing (unsigned asset)
{
    tim3_amount_t collateral;
    bool fits = tim3_amount_mul (s_locked[asset].high, sim.assets[asset].scale, &collateral);
    SIM_CHECK (fits && s_vault[asset].low >= collateral, "vault >= locked", "asset %s",
               sim.assets[asset].name);
    SIM_CHECK (is_covered (asset), "locked >= supply", "asset %s", sim.assets[asset].name);
}

static void note_sum (const sim_process_t *process, bool durable)
{
    unsigned asset = process->asset;
    switch (process->core->role) {
    case TIM3_ROLE_MOCK_USDA:
        for (unsigned i = 0; i < sim.asset_count; i++)
            note (&s_vault[i], read_vault (i), durable);
        break;
    case TIM3_ROLE_LOCK_MANAGER:
        note (&s_locked[asset], read_locked (asset), durable);
        break;
    case TIM3_ROLE_TOKEN_MANAGER:
        note (&s_supply[asset], read_supply (asset), durable);
        break;
    default:
        break;
    }
}

/*  Of all cores that the process runs, before any of them is judged.  */
static void note_sums (unsigned node, bool durable)
{
    const sim_process_t *process = &sim.processes[node];
    note_sum (process, durable);
    for (unsigned i = 0; i < process->hosted_count; i++)
        note_sum (&sim.processes[process->hosted[i]], durable);
    for (unsigned i = 0; i < sim.asset_count; i++)
        check_backing (i);
}

/*  ------------------------------------------------------------------------------------------ the events  */

static uint64_t read_event_number (tim3_store_t *store)
{
    tim3_counter_t counter;
    tim3_key_t key = tim3_key_text ("event_seq");
    tim3_store_read (store, TIM3_TABLE_COUNTER, &key, &counter);
    return counter.value;
}

/*  The next event of a ledger that the model has not been told of; false when it knows all.  */
static bool next_event (unsigned node, tim3_event_item_t *item)
{
    const sim_process_t *process = &sim.processes[node];
    uint64_t last = read_event_number (process->store);
    SIM_CHECK (last >= s_seen[node], "what was let out is durable", "%s has lost events behind %llu",
               process->name, (unsigned long long) last);
    if (s_seen[node] == last)
        return false;
    bool found = runs_outbox (process->store, s_seen[node] + 1, item);
    SIM_CHECK (found, "an event is kept until it is in the log", "%s, number %llu", process->name,
               (unsigned long long) s_seen[node] + 1);
    return true;
}

static void tell_event (unsigned node, const tim3_event_item_t *item)
{
    const sim_process_t *process = &sim.processes[node];
    s_seen[node]++;
    sim_model_book (process->asset)->events[process->core->role]++;
    sim_model_event (process->asset, item);
}

static void tell_model (unsigned node)
{
    tim3_event_item_t item;
    while (next_event (node, &item))
        tell_event (node, &item);
}

/*  Two ledgers that commit together: causes before effects, whichever of the two has them.  */
static void tell_model_of_both (const sim_process_t *process)
{
    tim3_event_item_t items[TIM3_HOST_CORES_MAX];
    bool there[TIM3_HOST_CORES_MAX];
    bool told;
    do {
        told = false;
        for (unsigned i = 0; i < process->hosted_count; i++) {
            there[i] = next_event (process->hosted[i], &items[i]);
            if (there[i] && sim_model_ready (sim.processes[process->hosted[i]].asset, &items[i])) {
                tell_event (process->hosted[i], &items[i]);
                told = true;
            }
        }
    } while (told);
    /* what follows from nothing breaks a rule of the model, which says which */
    for (unsigned i = 0; i < process->hosted_count; i++)
        tell_model (process->hosted[i]);
}

static bool is_ledger (unsigned node)
{
    tim3_role_t role = sim.processes[node].core->role;
    return role == TIM3_ROLE_LOCK_MANAGER || role == TIM3_ROLE_TOKEN_MANAGER;
}

static void follow (unsigned node)
{
    const sim_process_t *process = &sim.processes[node];
    note_sums (node, true);
    if (sim.restored)
        return;
    if (is_ledger (node))
        tell_model (node);
    tell_model_of_both (process);
}

void sim_audit_start (void)
{
    for (unsigned i = 0; i < sim.asset_count; i++)
        sim_model_book (i)->cap = TIM3_AMOUNT_MAX;
}

void sim_audit_committing (unsigned node)
{
    note_sums (node, false);
}

void sim_audit_durable (unsigned node)
{
    sim_process_t *process = &sim.processes[node];
    follow (node);
    if (process->commits % FULL_CHECK_EVERY != FULL_CHECK_EVERY - 1)
        return;
    process->commits++;
    sim.counters.full_checks++;
    sim_tables_check (node);
    for (unsigned i = 0; i < process->hosted_count; i++)
        sim_tables_check (process->hosted[i]);
}

void sim_audit_crashed (unsigned node)
{
    follow (node);
}

/*  ------------------------------------------------------------------------------------ when all is quiet  */

static bool unrest (const char *name, const char *what, size_t count)
{
    snprintf (s_unrest, sizeof s_unrest, "%s: %s (%zu)", name, what, count);
    return false;
}

static bool is_empty (unsigned node, tim3_table_t table, const char *what)
{
    size_t count = sim_disk_count (sim.processes[node].disk, table);
    return count == 0 ? true : unrest (sim.processes[node].name, what, count);
}

static uint64_t log_end (tim3_store_t *log)
{
    tim3_key_t key = tim3_key_u64 (UINT64_MAX);
    tim3_run_t last;
    bool any = tim3_store_seek (log, TIM3_TABLE_LOG, TIM3_SEEK_LE, &key, &last);
    return any ? tim3_key_read_u64 (&key, 0) + last.count : 1;
}

static bool has_read_all (void)
{
    tim3_log_cursor_t cursor;
    tim3_key_t key = tim3_key_text ("cursor");
    uint64_t end = log_end (sim.processes[SIM_ROUTER].store);
    if (!tim3_store_read (sim.processes[SIM_STATE_MANAGER].store, TIM3_TABLE_LOG_CURSOR, &key, &cursor))
        cursor.next = 1;
    return cursor.next == end ? true : unrest ("state manager", "events are not read", end - cursor.next);
}

bool sim_audit_quiet (void)
{
    for (unsigned i = 0; i < sim.process_count; i++)
        if (!sim.processes[sim.processes[i].hosted_by].host && sim.processes[i].wanted)
            return unrest (sim.processes[i].name, "is down", 0);
    for (unsigned i = 0; i < sim.asset_count; i++) {
        const sim_asset_t *asset = &sim.assets[i];
        if (!is_empty (asset->lock_manager, TIM3_TABLE_LOCK_DUE, "locks or releases are not final") ||
            !is_empty (asset->token_manager, TIM3_TABLE_BURN_DUE, "burns are not final") ||
            !is_empty (asset->lock_manager, TIM3_TABLE_OUTBOX, "events are not in the log") ||
            !is_empty (asset->token_manager, TIM3_TABLE_OUTBOX, "events are not in the log"))
            return false;
    }
    return has_read_all ();
}

const char *sim_audit_unrest (void)
{
    return s_unrest;
}

static void check_equal (unsigned asset)
{
    tim3_amount_t collateral;
    bool fits = tim3_amount_mul (s_supply[asset].durable, sim.assets[asset].scale, &collateral);
    SIM_CHECK (fits && s_vault[asset].durable == collateral &&
                   s_locked[asset].durable == s_supply[asset].durable,
               "vault = locked = supply when nothing is in flight", "asset %s", sim.assets[asset].name);
}

static void check_ledger (unsigned asset)
{
    tim3_ledger_t ledger;
    const sim_book_t *book = sim_model_book (asset);
    tim3_key_t key = tim3_key_text ("ledger");
    tim3_store_t *store = sim.processes[sim.assets[asset].token_manager].store;
    if (!tim3_store_read (store, TIM3_TABLE_LEDGER, &key, &ledger))
        ledger.cap = TIM3_AMOUNT_MAX;
    SIM_CHECK (ledger.supply == book->supply && ledger.minted == book->minted && ledger.cap == book->cap &&
                   ledger.paused == book->paused,
               "the ledger agrees with the model", "asset %s", sim.assets[asset].name);
}

static void check_accounts (unsigned asset)
{
    tim3_store_t *ledger = sim.processes[sim.assets[asset].token_manager].store;
    tim3_store_t *states = sim.processes[SIM_STATE_MANAGER].store;
    const sim_book_t *book = sim_model_book (asset);
    tim3_account_t account;
    tim3_position_t position;
    for (unsigned i = 0; i < book->holder_count; i++) {
        const sim_holder_t *holder = &book->holders[i];
        tim3_key_t key = tim3_key_text (holder->account);
        tim3_store_read (ledger, TIM3_TABLE_ACCOUNT, &key, &account);
        SIM_CHECK (account.balance == holder->balance && account.frozen == holder->frozen,
                   "the model agrees with every balance", "%s of %s", holder->account,
                   sim.assets[asset].name);
        key = tim3_key_text (sim.assets[asset].name);
        tim3_key_add_text (&key, holder->account);
        tim3_store_read (states, TIM3_TABLE_POSITION, &key, &position);
        SIM_CHECK (position.balance == holder->balance, "positions are the ledger's balances", "%s of %s",
                   holder->account, sim.assets[asset].name);
    }
}

static void check_metrics (unsigned asset)
{
    const sim_book_t *book = sim_model_book (asset);
    tim3_asset_metrics_t metrics;
    tim3_key_t key = tim3_key_text (sim.assets[asset].name);
    tim3_store_read (sim.processes[SIM_STATE_MANAGER].store, TIM3_TABLE_ASSET_METRICS, &key, &metrics);
    SIM_CHECK (metrics.supply == book->supply && metrics.locked == book->locked,
               "metrics are the ledgers' totals", "asset %s", sim.assets[asset].name);
    SIM_CHECK (metrics.token_seq == book->events[TIM3_ROLE_TOKEN_MANAGER] &&
                   metrics.lock_seq == book->events[TIM3_ROLE_LOCK_MANAGER],
               "every event is applied once", "asset %s", sim.assets[asset].name);
}

/*  Counts a source's events in the log, which must be its numbers 1, 2, 3 and so on in that order.  */
static void check_log (unsigned node, uint64_t emitted)
{
    tim3_store_t *log = sim.processes[SIM_ROUTER].store;
    tim3_key_t key = tim3_key_empty ();
    tim3_run_t run;
    uint64_t last = 0;
    while (tim3_store_seek (log, TIM3_TABLE_LOG, TIM3_SEEK_GT, &key, &run)) {
        if (strcmp (run.source, sim.processes[node].name) != 0)
            continue;
        SIM_CHECK (run.seq == last + 1, "the log is gapless per source", "%s: %llu after %llu", run.source,
                   (unsigned long long) run.seq, (unsigned long long) last);
        last += run.count;
    }
    SIM_CHECK (last == emitted, "the log is complete", "%s: %llu of %llu", sim.processes[node].name,
               (unsigned long long) last, (unsigned long long) emitted);
}

static void check_cursor (void)
{
    tim3_log_cursor_t cursor;
    tim3_key_t key = tim3_key_text ("cursor");
    tim3_store_read (sim.processes[SIM_STATE_MANAGER].store, TIM3_TABLE_LOG_CURSOR, &key, &cursor);
    SIM_CHECK (cursor.gaps == 0, "the state manager misses nothing", "%llu gaps",
               (unsigned long long) cursor.gaps);
}

void sim_audit_end (void)
{
    for (unsigned i = 0; i < sim.asset_count; i++) {
        const sim_book_t *book = sim_model_book (i);
        check_equal (i);
        check_ledger (i);
        check_accounts (i);
        check_metrics (i);
        check_log (sim.assets[i].lock_manager, book->events[TIM3_ROLE_LOCK_MANAGER]);
        check_log (sim.assets[i].token_manager, book->events[TIM3_ROLE_TOKEN_MANAGER]);
    }
    check_cursor ();
    for (unsigned i = 0; i < sim.process_count; i++)
        sim_tables_check (i);
}

/*  ---------------------------------------------------------------------------------------- after a restore  */

void sim_audit_restored (void)
{
    for (unsigned i = 0; i < sim.asset_count; i++) {
        note (&s_vault[i], read_vault (i), true);
        note (&s_locked[i], read_locked (i), true);
        note (&s_supply[i], read_supply (i), true);
        check_backing (i);
    }
}

static void check_positions (unsigned asset)
{
    tim3_store_t *ledger = sim.processes[sim.assets[asset].token_manager].store;
    tim3_store_t *states = sim.processes[SIM_STATE_MANAGER].store;
    tim3_key_t key = tim3_key_empty ();
    tim3_account_t account;
    tim3_position_t position;
    while (tim3_store_seek (ledger, TIM3_TABLE_ACCOUNT, TIM3_SEEK_GT, &key, &account)) {
        tim3_key_t at = tim3_key_text (sim.assets[asset].name);
        tim3_key_add_text (&at, account.account);
        tim3_store_read (states, TIM3_TABLE_POSITION, &at, &position);
        SIM_CHECK (position.balance == account.balance, "positions are the ledger's balances", "%s of %s",
                   account.account, sim.assets[asset].name);
    }
}

void sim_audit_restored_end (void)
{
    for (unsigned i = 0; i < sim.asset_count; i++) {
        unsigned locks = sim.assets[i].lock_manager;
        unsigned tokens = sim.assets[i].token_manager;
        check_equal (i);
        check_positions (i);
        check_log (locks, read_event_number (sim.processes[locks].store));
        check_log (tokens, read_event_number (sim.processes[tokens].store));
    }
    check_cursor ();
    for (unsigned i = 0; i < sim.process_count; i++)
        sim_tables_check (i);
}
