/*  sim.c - draws a world from a seed, and runs it to its end.

    The first part of its time is full of faults. Then all of them stop, and everything has to become final,
    and agree, within a bounded time.
*/
#include "backup.h"
#include "sim.h"
#include "audit.h"
#include "client.h"
#include "disk.h"
#include "faults.h"
#include "network.h"
#include "process.h"
#include "watch.h"

#include "../../coordinator/core.h"
#include "../../lock_manager/core.h"
#include "../../mock_usda/core.h"
#include "../../router/core.h"
#include "../../state_manager/core.h"
#include "../../token_manager/core.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SETTLE_MOST_US (600ull * SIM_SECOND)
#define LOOK_US SIM_SECOND
#define STEPS_MOST 3000000
#define TRACE_LINES 160

sim_t sim;

/*  ------------------------------------------------------------------------------------------------ trace  */

typedef struct {
    uint64_t at_us;
    const char *what;
    unsigned a;
    unsigned b;
    uint64_t number;
    tim3_id_t tx;
} line_t;

static line_t s_lines[TRACE_LINES];
static uint64_t s_line_count;

const char *sim_node_name (unsigned node)
{
    if (node == sim.front)
        return "client";
    if (node == sim.forger)
        return "forger";
    if (node == sim.backup)
        return "backup";
    return node < sim.process_count ? sim.processes[node].name : "?";
}

static void print_line (const line_t *line)
{
    char tx[TIM3_ID_TEXT_MAX] = "";
    uint64_t at = line->at_us - SIM_START;
    if (!tim3_id_is_zero (&line->tx))
        tim3_id_format (&line->tx, tx);
    printf ("%6" PRIu64 ".%06" PRIu64 " %-22s", at / SIM_SECOND, at % SIM_SECOND, sim_node_name (line->a));
    if (line->a == line->b)
        printf (" %s %" PRIu64 " %.8s\n", line->what, line->number, tx);
    else
        printf (" -> %-22s %-20s %" PRIu64 " %.8s\n", sim_node_name (line->b), line->what, line->number, tx);
}

void sim_trace (const char *what, unsigned a, unsigned b, uint64_t number, const tim3_id_t *tx)
{
    line_t *line = &s_lines[s_line_count++ % TRACE_LINES];
    *line = (line_t){.at_us = sim.now_us, .what = what, .a = a, .b = b, .number = number};
    if (tx)
        line->tx = *tx;
    if (sim.verbose)
        print_line (line);
}

void sim_print_story (void)
{
    uint64_t first = s_line_count > TRACE_LINES ? s_line_count - TRACE_LINES : 0;
    printf ("options:");
#define O(name) printf (" " #name "=%" PRIu64, sim.options.name);
    SIM_OPTIONS (O)
#undef O
    printf ("\nlast of the trace:\n");
    for (uint64_t i = first; i < s_line_count; i++)
        print_line (&s_lines[i % TRACE_LINES]);
}

/*  ---------------------------------------------------------------------------------------------- failing  */

static int s_report = -1;
static sim_outcome_t *s_outcome;

void sim_report_to (int file, sim_outcome_t *outcome)
{
    s_report = file;
    s_outcome = outcome;
}

_Noreturn void sim_fail (sim_verdict_t verdict, const char *rule, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    printf ("seed %" PRIu64 ": BROKEN: %s: ", sim.seed, rule);
    vprintf (format, arguments);
    va_end (arguments);
    printf ("\n");
    sim_print_story ();
    fflush (stdout);
    s_outcome->verdict = verdict;
    s_outcome->counters = sim.counters;
    snprintf (s_outcome->rule, sizeof s_outcome->rule, "%s", rule);
    ssize_t ignored = write (s_report, s_outcome, sizeof *s_outcome);
    (void) ignored;
    _exit ((int) verdict);
}

/*  ----------------------------------------------------------------------------------------------- events  */

static sim_event_t *s_heap;
static size_t s_heap_count;
static size_t s_heap_capacity;
static uint64_t s_event_number;

static bool before (const sim_event_t *a, const sim_event_t *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

static void push (sim_event_t event)
{
    if (s_heap_count == s_heap_capacity) {
        s_heap_capacity = s_heap_capacity ? 2 * s_heap_capacity : 1024;
        s_heap = realloc (s_heap, s_heap_capacity * sizeof *s_heap);
        if (!s_heap)
            abort ();
    }
    event.number = s_event_number++;
    size_t at = s_heap_count++;
    while (at > 0 && before (&event, &s_heap[(at - 1) / 2])) {
        s_heap[at] = s_heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    s_heap[at] = event;
}

static sim_event_t pop (void)
{
    sim_event_t top = s_heap[0];
    sim_event_t last = s_heap[--s_heap_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < s_heap_count; at = child) {
        child += child + 1 < s_heap_count && before (&s_heap[child + 1], &s_heap[child]);
        if (!before (&s_heap[child], &last))
            break;
        s_heap[at] = s_heap[child];
    }
    s_heap[at] = last;
    return top;
}

void sim_after (uint64_t delay_us, sim_event_kind_t kind, unsigned a, uint32_t b)
{
    push ((sim_event_t){.at_us = sim.now_us + delay_us, .kind = kind, .a = a, .b = b});
}

void sim_after_frame (uint64_t delay_us, sim_frame_t *frame)
{
    push ((sim_event_t){
        .at_us = sim.now_us + delay_us, .kind = SIM_EVENT_DELIVER, .a = frame->to, .frame = frame});
}

/*  ---------------------------------------------------------------------------------------------- drawing  */

static uint64_t draw (uint64_t least, uint64_t most)
{
    return sim_random_between (&sim.topology_random, least, most);
}

/*  Each kind of trouble is absent from some seeds, so that others show more clearly.  */
static uint64_t draw_trouble (uint64_t most)
{
    return draw (0, 3) == 0 ? 0 : draw (1, most);
}

static void draw_network (sim_options_t *options)
{
    options->hostile_network = draw (0, 1);
    if (options->hostile_network) {
        options->loss_permille = draw_trouble (300);
        options->duplicate_permille = draw_trouble (500);
        options->lateness_us = draw (500, 12000) * SIM_MS;
    } else {
        options->reconnects = draw_trouble (20);
    }
    options->delay_least_us = draw (0, 30) * SIM_MS;
    options->delay_mean_us = draw (30, 100) * SIM_MS;
    if (draw (0, 2) == 0) { /* a near and fast network lets much more happen at once */
        options->delay_least_us /= 100;
        options->delay_mean_us /= 100;
    }
    options->partitions = draw_trouble (4);
    options->clogs = draw_trouble (4);
}

static void draw_options (sim_options_t *options)
{
    options->assets = draw (1, SIM_ASSETS_MAX);
    options->coordinators = draw (1, SIM_COORDINATORS_MAX);
    options->shards = draw (1, SIM_SHARDS_MAX);
    options->merged = draw (0, 2); /* no critical path, all of them, or some */
    options->accounts = draw (2, 12);
    options->operations = draw (40, 180);
    /* in some seeds troubles last twenty times as long, so that what waits for minutes has its time too */
    options->stretch = draw (0, 11) == 0 ? 20 : 1;
    options->window_us = draw (10, 40) * SIM_SECOND * (options->stretch > 1 ? 10 : 1);
    options->rich = draw (0, 2) == 0;
    options->shared_keys = draw (0, 2) == 0;
    draw_network (options);
    options->crashes = draw (5, 20);
    options->crashes_in_commit = draw_trouble (12);
    options->pauses = draw_trouble (8);
    options->slow_disks = draw_trouble (6);
    options->full_disks = draw_trouble (6);
    options->clock_faults = draw_trouble (6);
    options->resizes = draw_trouble (4);
    options->stops = draw_trouble (4);
    options->rebuilds = draw_trouble (2);
    options->forgeries = draw_trouble (200);
    options->controls = draw_trouble (8);
    options->queries = draw_trouble (40);
    options->reuse_permille = draw_trouble (200);
    options->tick_us = draw (50, 300) * SIM_MS;
    options->sweep_after_us = draw (500, 6000) * SIM_MS;
    options->sweep_most_us = draw (4, 20) * SIM_SECOND;
    options->retry_us = draw (200, 2000) * SIM_MS;
    options->heartbeat_us = draw (1000, 5000) * SIM_MS;
    options->in_flight = draw (0, 4) == 0 ? draw (2, 6) : 100;
    options->backups = sim_random_below (&sim.backup_random, 12);
    /* rows and messages so small that there are many of them */
    options->run_most = draw (0, 2) == 0 ? 0 : draw (1, 6);
    options->understate_permille = draw_trouble (500);
}

static tim3_key_secret_t draw_key (void)
{
    tim3_key_secret_t key;
    for (size_t i = 0; i < sizeof key.bytes; i++)
        key.bytes[i] = (uint8_t) draw (0, 255);
    return key;
}

static tim3_id_t draw_id (void)
{
    tim3_id_t id;
    for (size_t i = 0; i < sizeof id.bytes; i++)
        id.bytes[i] = (uint8_t) draw (0, 255);
    return id;
}

/*  --------------------------------------------------------------------------------------------- topology  */

static void fill_settings (sim_process_t *process, const char *asset, unsigned shard)
{
    tim3_settings_t *settings = &process->settings;
    tim3_address_format (process->core->role, asset, (int) shard, process->name);
    strcpy (settings->name, process->name);
    strcpy (settings->asset, asset);
    strcpy (settings->collateral, "mock_usda.USDA.0");
    settings->shard = shard;
    settings->shards = 1;
    settings->scale = 1;
    settings->decimals = 18;
    settings->cap = TIM3_AMOUNT_MAX;
    settings->sweep_after_us = sim.options.sweep_after_us;
    settings->sweep_most_us = sim.options.sweep_most_us;
    settings->retry_us = sim.options.retry_us;
    settings->heartbeat_us = sim.options.heartbeat_us;
    settings->in_flight_most = sim.options.in_flight;
    settings->faucet = true;
}

static unsigned add_process (const tim3_core_t *core, const char *asset, unsigned shard)
{
    unsigned node = sim.process_count++;
    sim_process_t *process = &sim.processes[node];
    process->core = core;
    fill_settings (process, asset, shard);
    strcpy (process->options.name, process->name);
    strcpy (process->options.endpoint, "ipc://");
    strcat (process->options.endpoint, process->name);
    process->options.meta.id = draw_id ();
    process->options.meta.schema = TIM3_SCHEMA_VERSION;
    process->options.run_most = (uint32_t) sim.options.run_most;
    process->store = process->disk = sim_disk_new ();
    process->hosted_by = node;
    process->wanted = true;
    process->clock.rate_ppm = 1000000;
    sim_queue_init (&process->inbox);
    sim_queue_init (&process->out);
    return node;
}

static unsigned add_ledger (const tim3_core_t *core, unsigned number, unsigned shard,
                            const tim3_asset_t *keys)
{
    const sim_asset_t *asset = &sim.assets[number];
    unsigned node = add_process (core, asset->name, shard);
    sim_process_t *process = &sim.processes[node];
    process->asset = number;
    process->settings.decimals = asset->decimals;
    process->settings.scale = asset->scale;
    process->settings.shards = asset->shard_count;
    if (core->role != TIM3_ROLE_COORDINATOR)
        process->settings.evidence_key = keys->evidence_key;
    if (core->role == TIM3_ROLE_LOCK_MANAGER)
        process->settings.vault_key = keys->vault_key;
    return node;
}

/*  The collateral token knows every vault's key; the state manager the assets' names.  */
static void tell_asset (unsigned node, const tim3_asset_t *keys, unsigned shards, bool with_key)
{
    tim3_settings_t *settings = &sim.processes[node].settings;
    tim3_asset_t *entry = &settings->assets[settings->asset_count++];
    strcpy (entry->name, keys->name);
    entry->decimals = keys->decimals;
    entry->shards = shards;
    if (with_key)
        entry->vault_key = keys->vault_key;
}

static void host (sim_process_t *process, unsigned node)
{
    sim_process_t *hosted = &sim.processes[node];
    tim3_store_close (&hosted->disk);
    hosted->store = NULL;
    sim_process_share ((unsigned) (process - sim.processes), node);
    process->hosted[process->hosted_count++] = node;
}

/*  The ledgers of each shard run in the process of a coordinator.  */
static void merge (sim_asset_t *asset)
{
    asset->merged = true;
    for (unsigned i = 0; i < asset->shard_count; i++) {
        sim_process_t *process = &sim.processes[asset->coordinators[i]];
        process->options.shared = true;
        host (process, asset->lock_managers[i]);
        host (process, asset->token_managers[i]);
    }
}

/*  Tokens that go round between shards can make the total of one go beyond what a number holds, which is then right only modulo 2^128;
    the audit's worst cases are of plain numbers, so where there are such amounts there is one shard.  */
static unsigned draw_shards (unsigned number)
{
    return sim.options.rich && number == 0 ? 1 : (unsigned) draw (1, sim.options.shards);
}

static void add_asset (unsigned number)
{
    static const char *const names[SIM_ASSETS_MAX] = {"TIM3", "GOLD", "CENT"};
    static const unsigned decimals[] = {0, 6, 18};
    sim_asset_t *asset = &sim.assets[number];
    tim3_asset_t keys = {.evidence_key = draw_key (), .vault_key = draw_key ()};
    /* nobody should give two assets one key, but then a receipt has to tell them apart all the same */
    if (sim.options.shared_keys && number > 0) {
        const tim3_settings_t *first = &sim.processes[sim.assets[0].lock_managers[0]].settings;
        keys.evidence_key = first->evidence_key;
        keys.vault_key = first->vault_key;
    }

    strcpy (asset->name, names[number]);
    asset->decimals = sim.options.rich && number == 0 ? 18 : decimals[draw (0, 2)];
    asset->scale = tim3_amount_pow10 (18 - asset->decimals);
    strcpy (keys.name, asset->name);
    keys.decimals = asset->decimals;
    asset->shard_count = draw_shards (number);
    tell_asset (SIM_USDA, &keys, asset->shard_count, true);
    tell_asset (SIM_STATE_MANAGER, &keys, asset->shard_count, false);
    for (unsigned i = 0; i < asset->shard_count; i++) {
        asset->lock_managers[i] = add_ledger (&tim3_lock_manager_core, number, i, &keys);
        asset->token_managers[i] = add_ledger (&tim3_token_manager_core, number, i, &keys);
    }
    bool merged = sim.options.merged == 1 || (sim.options.merged == 2 && draw (0, 1) == 0);
    asset->coordinator_count = (unsigned) draw (1, sim.options.coordinators);
    if (merged && asset->coordinator_count < asset->shard_count)
        asset->coordinator_count = asset->shard_count;
    for (unsigned i = 0; i < asset->coordinator_count; i++)
        asset->coordinators[i] = add_ledger (&tim3_coordinator_core, number, i, &keys);
    if (merged)
        merge (asset);
}

static void build (void)
{
    add_process (&tim3_router_core, "-", 0);
    add_process (&tim3_mock_usda_core, "USDA", 0);
    add_process (&tim3_state_manager_core, "-", 0);
    sim.asset_count = (unsigned) sim.options.assets;
    for (unsigned i = 0; i < sim.asset_count; i++)
        add_asset (i);
    sim.front = sim.process_count;
    sim.forger = sim.process_count + 1;
    sim.backup = sim.process_count + 2;
}

/*  ---------------------------------------------------------------------------------------------- running  */

/*  What was under way when all was exchanged for a backup belongs to another world.  */
static bool is_of_this_world (const sim_frame_t *frame)
{
    return !sim.restored ||
           (frame->from < sim.process_count && frame->from_life == sim.processes[frame->from].life);
}

static void deliver (sim_frame_t *frame)
{
    if (!is_of_this_world (frame)) {
        free (frame);
        return;
    }
    if (!sim_network_arrive (frame))
        return;
    sim.digest = tim3_hash64 (frame->data, frame->size, sim.digest);
    if (frame->to < sim.process_count) {
        sim_process_take (frame->to, frame);
        return;
    }
    if (frame->to == sim.front && !sim.restored)
        sim_client_take (frame);
    if (frame->to == sim.backup)
        sim_backup_take (frame);
    free (frame);
}

static bool is_of_clients (const sim_event_t *event)
{
    return event->kind == SIM_EVENT_CALL || event->kind == SIM_EVENT_LOOK || event->kind == SIM_EVENT_QUERY ||
           event->kind == SIM_EVENT_TIMEOUT;
}

static void dispatch (const sim_event_t *event)
{
    if (sim.restored && is_of_clients (event))
        return;
    switch (event->kind) {
    case SIM_EVENT_DELIVER:
        deliver (event->frame);
        break;
    case SIM_EVENT_WAKE:
        sim_process_wake (event->a, event->b);
        break;
    case SIM_EVENT_FLUSH:
        sim_process_flush (event->a, event->b);
        break;
    case SIM_EVENT_START:
        sim_process_start (event->a);
        break;
    case SIM_EVENT_FAULT:
        sim_faults_happen (event->a, event->b);
        break;
    case SIM_EVENT_CALL:
        sim_client_call (event->a);
        break;
    case SIM_EVENT_LOOK:
        sim_client_look (event->a);
        break;
    case SIM_EVENT_QUERY:
        sim_client_query ();
        break;
    case SIM_EVENT_TIMEOUT:
        sim_client_timeout (event->a, event->b);
        break;
    case SIM_EVENT_BACKUP:
        sim_backup_push (event->b);
        break;
    }
}

static void run_until (uint64_t until_us)
{
    while (s_heap_count > 0 && s_heap[0].at_us <= until_us) {
        sim_event_t event = pop ();
        sim.now_us = event.at_us;
        uint64_t words[3] = {event.at_us, event.kind, (uint64_t) event.a << 32 | event.b};
        sim.digest = tim3_hash64 (words, sizeof words, sim.digest);
        dispatch (&event);
        if (sim.counters.steps > STEPS_MOST)
            sim_fail (SIM_STUCK, "work ends", "%d steps, and no end", STEPS_MOST);
    }
    sim.now_us = until_us;
}

static void settle (void)
{
    uint64_t from = sim.now_us;
    sim.settling = true;
    sim_trace ("the faults are over", 0, 0, 0, NULL);
    sim_faults_end ();
    sim_client_verify ();
    do {
        run_until (sim.now_us + LOOK_US);
        if (sim.now_us - from > SETTLE_MOST_US)
            sim_fail (SIM_STUCK, "everything becomes final",
                      "after %llu s without faults %u operations are open; %s", SETTLE_MOST_US / SIM_SECOND,
                      sim_client_open (), sim_audit_quiet () ? "all else is quiet" : sim_audit_unrest ());
    } while (!sim_client_done () || !sim_audit_quiet ());
    sim.counters.settling_us = sim.now_us - from;
}

/*  The last good backup, too, must be a world in which everything adds up and becomes final.  */
static void go_on_from_backup (void)
{
    uint64_t from = sim.now_us;
    if (!sim_backup_restore ())
        return;
    sim.counters.backups_restored++;
    do {
        run_until (sim.now_us + LOOK_US);
        if (sim.now_us - from > SETTLE_MOST_US)
            sim_fail (SIM_STUCK, "everything restored becomes final", "%s", sim_audit_unrest ());
    } while (!sim_audit_quiet ());
    sim_audit_restored_end ();
    sim_client_check_marks ();
}

static void seed_all (uint64_t seed)
{
    sim_random_t *streams[] = {&sim.topology_random, &sim.network_random, &sim.process_random,
                               &sim.disk_random,     &sim.client_random,  &sim.forger_random,
                               &sim.backup_random};
    for (unsigned i = 0; i < sizeof streams / sizeof streams[0]; i++)
        sim_random_init (streams[i], seed, i + 1);
}

void sim_run (uint64_t seed, bool verbose, sim_outcome_t *outcome)
{
    sim.seed = seed;
    sim.verbose = verbose;
    sim.now_us = SIM_START;
    seed_all (seed);
    draw_options (&sim.options);
    build ();
    sim_audit_start ();
    sim_client_draw ();
    sim_faults_draw ();
    for (unsigned i = 0; i < sim.process_count; i++)
        sim_process_start (i);
    run_until (SIM_START + sim.options.window_us);
    settle ();
    sim_audit_end ();
    sim_client_end ();
    go_on_from_backup ();
    sim.counters.simulated_us = sim.now_us - SIM_START;
    outcome->verdict = SIM_OK;
    outcome->digest = sim.digest;
    outcome->counters = sim.counters;
}
