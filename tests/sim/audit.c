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

/*  The same of what is locked in a shard, or released beyond that: one number with its sign.  */
typedef struct {
    tim3_amount_t up;
    tim3_amount_t down;
} net_t;

typedef struct {
    net_t durable;
    net_t now;
    net_t low;
    net_t high;
} net_sum_t;

static sum_t s_vault[SIM_ASSETS_MAX];
static net_sum_t s_locked[SIM_ASSETS_MAX][SIM_SHARDS_MAX];
static sum_t s_supply[SIM_ASSETS_MAX][SIM_SHARDS_MAX];
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

static net_t read_locked (unsigned asset, unsigned shard)
{
    tim3_lock_totals_t totals;
    tim3_key_t key = tim3_key_text ("totals");
    tim3_store_read (sim.processes[sim.assets[asset].lock_managers[shard]].store, TIM3_TABLE_LOCK_TOTALS, &key, &totals);
    return (net_t){totals.locked, totals.overdrawn};
}

static tim3_amount_t read_supply (unsigned asset, unsigned shard)
{
    tim3_ledger_t ledger;
    tim3_key_t key = tim3_key_text ("ledger");
    tim3_store_read (sim.processes[sim.assets[asset].token_managers[shard]].store, TIM3_TABLE_LEDGER, &key, &ledger);
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

static bool is_less (const net_t *a, const net_t *b)
{
    return a->up != b->up ? a->up < b->up : a->down > b->down;
}

static void note_net (net_sum_t *sum, net_t value, bool durable)
{
    if (durable)
        sum->durable = value;
    sum->now = value;
    sum->low = is_less (&value, &sum->durable) ? value : sum->durable;
    sum->high = is_less (&value, &sum->durable) ? sum->durable : value;
}

/*  Sums of what may be more together than a number holds.  */
typedef struct {
    uint64_t high;
    tim3_amount_t low;
} wide_t;

static void add (wide_t *sum, tim3_amount_t amount)
{
    sum->low += amount;
    sum->high += sum->low < amount;
}

static bool is_covered_by (const wide_t *less, const wide_t *more)
{
    return more->high != less->high ? more->high > less->high : more->low >= less->low;
}

/*  Of the two ledgers of a shard, what is worse for the whole. By themselves they commit at different times; those of one host change
    both sums at once, or neither.  */
static void add_worst (unsigned asset, unsigned shard, wide_t *more, wide_t *less)
{
    const net_sum_t *locked = &s_locked[asset][shard];
    const sum_t *supply = &s_supply[asset][shard];
    unsigned ledger = sim.assets[asset].lock_managers[shard];
    net_t net = locked->low;
    tim3_amount_t tokens = supply->high;
    if (sim.processes[ledger].hosted_by != ledger) {
        wide_t durable = {0, 0};
        wide_t now = {0, 0};
        /* which of them leaves less: compared crosswise, for either may be below zero */
        add (&durable, locked->durable.up);
        add (&durable, locked->now.down);
        add (&durable, supply->now);
        add (&now, locked->now.up);
        add (&now, locked->durable.down);
        add (&now, supply->durable);
        bool is_now = is_covered_by (&now, &durable);
        net = is_now ? locked->now : locked->durable;
        tokens = is_now ? supply->now : supply->durable;
    }
    add (more, net.up);
    add (less, net.down);
    add (less, tokens);
}

static bool is_covered (unsigned asset)
{
    wide_t locked = {0, 0};
    wide_t supply = {0, 0};
    for (unsigned i = 0; i < sim.assets[asset].shard_count; i++)
        add_worst (asset, i, &locked, &supply);
    return is_covered_by (&supply, &locked);
}

/*  What is locked in all shards at the most.  */
static tim3_amount_t most_locked (unsigned asset)
{
    tim3_amount_t sum = 0;
    for (unsigned i = 0; i < sim.assets[asset].shard_count; i++)
        sum += s_locked[asset][i].high.up - s_locked[asset][i].high.down;
    return sum;
}

static void check_backing (unsigned asset)
{
    tim3_amount_t collateral;
    bool fits = tim3_amount_mul (most_locked (asset), sim.assets[asset].scale, &collateral);
    SIM_CHECK (fits && s_vault[asset].low >= collateral, "vault >= locked", "asset %s",
               sim.assets[asset].name);
    SIM_CHECK (is_covered (asset), "locked >= supply", "asset %s", sim.assets[asset].name);
}

static void note_sum (const sim_process_t *process, bool durable)
{
    unsigned asset = process->asset;
    unsigned shard = process->settings.shard;
    switch (process->core->role) {
    case TIM3_ROLE_MOCK_USDA:
        for (unsigned i = 0; i < sim.asset_count; i++)
            note (&s_vault[i], read_vault (i), durable);
        break;
    case TIM3_ROLE_LOCK_MANAGER:
        note_net (&s_locked[asset][shard], read_locked (asset, shard), durable);
        break;
    case TIM3_ROLE_TOKEN_MANAGER:
        note (&s_supply[asset][shard], read_supply (asset, shard), durable);
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
    sim_model_book (process->asset)->shards[process->settings.shard].events[process->core->role]++;
    sim_model_event (process->asset, process->settings.shard, item);
}

static void tell_model (unsigned node)
{
    tim3_event_item_t item;
    while (next_event (node, &item))
        tell_event (node, &item);
}

static bool is_ready (unsigned node, const tim3_event_item_t *item)
{
    return sim_model_ready (sim.processes[node].asset, sim.processes[node].settings.shard, item);
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
            if (there[i] && is_ready (process->hosted[i], &items[i])) {
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
    return tim3_role_is_asset_ledger (role);
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
        for (unsigned shard = 0; shard < SIM_SHARDS_MAX; shard++)
            sim_model_book (i)->shards[shard].cap = TIM3_AMOUNT_MAX;
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
    sim.counters.crossings_half_way += sim_model_crossing () > 0;
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

static bool is_shard_quiet (const sim_asset_t *asset, unsigned shard)
{
    unsigned locks = asset->lock_managers[shard];
    unsigned tokens = asset->token_managers[shard];
    return is_empty (locks, TIM3_TABLE_LOCK_DUE, "locks or releases are not final") &&
           is_empty (tokens, TIM3_TABLE_BURN_DUE, "burns or transfers are not final") &&
           is_empty (locks, TIM3_TABLE_OUTBOX, "events are not in the log") &&
           is_empty (tokens, TIM3_TABLE_OUTBOX, "events are not in the log");
}

bool sim_audit_quiet (void)
{
    for (unsigned i = 0; i < sim.process_count; i++)
        if (!sim.processes[sim.processes[i].hosted_by].host && sim.processes[i].wanted)
            return unrest (sim.processes[i].name, "is down", 0);
    for (unsigned i = 0; i < sim.asset_count; i++)
        for (unsigned shard = 0; shard < sim.assets[i].shard_count; shard++)
            if (!is_shard_quiet (&sim.assets[i], shard))
                return false;
    return has_read_all ();
}

const char *sim_audit_unrest (void)
{
    return s_unrest;
}

static tim3_amount_t all_supply (unsigned asset)
{
    tim3_amount_t sum = 0;
    for (unsigned i = 0; i < sim.assets[asset].shard_count; i++)
        sum += s_supply[asset][i].durable;
    return sum;
}

static void check_equal (unsigned asset)
{
    tim3_amount_t collateral;
    tim3_amount_t supply = all_supply (asset);
    bool fits = tim3_amount_mul (supply, sim.assets[asset].scale, &collateral);
    SIM_CHECK (fits && s_vault[asset].durable == collateral && most_locked (asset) == supply,
               "vault = locked = supply when nothing is in flight", "asset %s", sim.assets[asset].name);
}

static void check_ledger (unsigned asset, unsigned shard)
{
    tim3_ledger_t ledger;
    const sim_shard_t *book = &sim_model_book (asset)->shards[shard];
    tim3_key_t key = tim3_key_text ("ledger");
    tim3_store_t *store = sim.processes[sim.assets[asset].token_managers[shard]].store;
    if (!tim3_store_read (store, TIM3_TABLE_LEDGER, &key, &ledger))
        ledger.cap = TIM3_AMOUNT_MAX;
    SIM_CHECK (ledger.supply == book->supply && ledger.minted == book->minted && ledger.cap == book->cap &&
                   ledger.paused == book->paused && ledger.crossing == 0,
               "the ledger agrees with the model", "asset %s, shard %u", sim.assets[asset].name, shard);
}

static tim3_store_t *ledger_of (unsigned asset, const char *account)
{
    const sim_asset_t *at = &sim.assets[asset];
    return sim.processes[at->token_managers[tim3_account_shard (account, at->shard_count)]].store;
}

static void check_accounts (unsigned asset)
{
    tim3_store_t *states = sim.processes[SIM_STATE_MANAGER].store;
    const sim_book_t *book = sim_model_book (asset);
    tim3_account_t account;
    tim3_position_t position;
    for (unsigned i = 0; i < book->holder_count; i++) {
        const sim_holder_t *holder = &book->holders[i];
        tim3_key_t key = tim3_key_text (holder->account);
        tim3_store_read (ledger_of (asset, holder->account), TIM3_TABLE_ACCOUNT, &key, &account);
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
    sim_shard_t sums = {.supply = 0};
    tim3_asset_metrics_t metrics;
    tim3_key_t key = tim3_key_text (sim.assets[asset].name);
    tim3_store_read (sim.processes[SIM_STATE_MANAGER].store, TIM3_TABLE_ASSET_METRICS, &key, &metrics);
    for (unsigned i = 0; i < sim.assets[asset].shard_count; i++) {
        sums.supply += book->shards[i].supply;
        sums.locked += book->shards[i].locked - book->shards[i].overdrawn;
        sums.events[TIM3_ROLE_TOKEN_MANAGER] += book->shards[i].events[TIM3_ROLE_TOKEN_MANAGER];
        sums.events[TIM3_ROLE_LOCK_MANAGER] += book->shards[i].events[TIM3_ROLE_LOCK_MANAGER];
    }
    SIM_CHECK (metrics.supply == sums.supply && metrics.locked == sums.locked,
               "metrics are the ledgers' totals", "asset %s", sim.assets[asset].name);
    SIM_CHECK (metrics.token_seq == sums.events[TIM3_ROLE_TOKEN_MANAGER] &&
                   metrics.lock_seq == sums.events[TIM3_ROLE_LOCK_MANAGER],
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
        const sim_asset_t *asset = &sim.assets[i];
        check_equal (i);
        check_accounts (i);
        check_metrics (i);
        for (unsigned shard = 0; shard < asset->shard_count; shard++) {
            const sim_shard_t *book = &sim_model_book (i)->shards[shard];
            check_ledger (i, shard);
            check_log (asset->lock_managers[shard], book->events[TIM3_ROLE_LOCK_MANAGER]);
            check_log (asset->token_managers[shard], book->events[TIM3_ROLE_TOKEN_MANAGER]);
        }
    }
    SIM_CHECK (sim_model_crossing () == 0, "everything becomes final", "%u transfers are between shards",
               sim_model_crossing ());
    check_cursor ();
    for (unsigned i = 0; i < sim.process_count; i++)
        sim_tables_check (i);
}

/*  ---------------------------------------------------------------------------------------- after a restore  */

void sim_audit_restored (void)
{
    for (unsigned i = 0; i < sim.asset_count; i++) {
        note (&s_vault[i], read_vault (i), true);
        for (unsigned shard = 0; shard < sim.assets[i].shard_count; shard++) {
            note_net (&s_locked[i][shard], read_locked (i, shard), true);
            note (&s_supply[i][shard], read_supply (i, shard), true);
        }
        check_backing (i);
    }
}

static void check_positions (unsigned asset, unsigned shard)
{
    tim3_store_t *ledger = sim.processes[sim.assets[asset].token_managers[shard]].store;
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
        check_equal (i);
        for (unsigned shard = 0; shard < sim.assets[i].shard_count; shard++) {
            unsigned locks = sim.assets[i].lock_managers[shard];
            unsigned tokens = sim.assets[i].token_managers[shard];
            check_positions (i, shard);
            check_log (locks, read_event_number (sim.processes[locks].store));
            check_log (tokens, read_event_number (sim.processes[tokens].store));
        }
    }
    check_cursor ();
    for (unsigned i = 0; i < sim.process_count; i++)
        sim_tables_check (i);
}
