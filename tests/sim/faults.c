/*  faults.c - one small function for each way in which the world can be unkind.  */
#include "faults.h"
#include "backup.h"
#include "disk.h"
#include "forger.h"
#include "network.h"
#include "process.h"

static uint64_t below (uint64_t bound)
{
    return sim_random_below (&sim.process_random, bound);
}

/*  How long a trouble lasts.  */
static uint64_t lasting (sim_random_t *random, uint64_t mean)
{
    return sim_random_delay (random, mean * sim.options.stretch);
}

static unsigned any_process (void)
{
    return sim.processes[below (sim.process_count)].hosted_by;
}

/*  ------------------------------------------------------------------------------------------- processes  */

static void crash (uint32_t node)
{
    (void) node;
    sim_process_kill (any_process ());
}

static void crash_in_commit (uint32_t node)
{
    (void) node;
    sim.processes[any_process ()].crash_in_commit = true;
}

static void pause_process (uint32_t node)
{
    (void) node;
    unsigned chosen = any_process ();
    sim.processes[chosen].paused_until_us = sim.now_us + lasting (&sim.process_random, 3 * SIM_SECOND);
    sim.counters.pauses++;
    sim_trace ("is paused", chosen, chosen, 0, NULL);
}

static void slow_disk (uint32_t node)
{
    (void) node;
    unsigned chosen = any_process ();
    sim.processes[chosen].slow_until_us = sim.now_us + lasting (&sim.disk_random, 10 * SIM_SECOND);
    sim.counters.slow_disks++;
    sim_trace ("has a slow disk", chosen, chosen, 0, NULL);
}

static void empty_disk (uint32_t node)
{
    sim_disk_set_full (sim.processes[node].disk, false);
    sim_trace ("has room again", node, node, 0, NULL);
}

/*  A wrong wall clock shows at the next start; a wrong speed, or a clock that stands still, at once.  */
static void disturb_clock (uint32_t node)
{
    (void) node;
    sim_clock_t *clock = &sim.processes[any_process ()].clock;
    sim.counters.clock_errors++;
    clock->error_us = (int64_t) below (40 * SIM_SECOND) - 20 * (int64_t) SIM_SECOND;
    clock->rate_ppm = 900000 + below (200000);
    if (below (3) == 0) {
        clock->stopped_until_us = sim.now_us + below (5 * SIM_SECOND);
        sim.counters.clocks_stopped++;
    }
}

/*  Another number of coordinators for an asset, one at least, and those that run its ledgers.  */
static void resize (uint32_t node)
{
    (void) node;
    const sim_asset_t *asset = &sim.assets[below (sim.asset_count)];
    unsigned least = asset->merged ? asset->shard_count : 1;
    unsigned wanted = least + (unsigned) below (asset->coordinator_count - least + 1);
    sim.counters.resizes++;
    for (unsigned i = 0; i < asset->coordinator_count; i++) {
        unsigned chosen = asset->coordinators[i];
        sim.processes[chosen].wanted = i < wanted;
        if (i < wanted)
            sim_process_start (chosen);
        else
            sim_process_stop (chosen);
    }
}

static void stop (uint32_t node)
{
    (void) node;
    sim_process_stop (any_process ());
}

/*  The state manager loses its store, and has to build it again from the log.  */
static void rebuild (uint32_t node)
{
    (void) node;
    sim_process_t *process = &sim.processes[SIM_STATE_MANAGER];
    sim_process_kill (SIM_STATE_MANAGER);
    tim3_store_close (&process->disk);
    process->store = process->disk = sim_disk_new ();
    process->options.meta.id.bytes[0]++;
    sim.counters.rebuilds++;
    sim_trace ("loses its store", SIM_STATE_MANAGER, SIM_STATE_MANAGER, 0, NULL);
}

/*  --------------------------------------------------------------------------------------------- network  */

/*  The world falls into two parts that do not hear each other, or of which one does not hear the other.  */
static void partition (uint32_t node)
{
    (void) node;
    uint64_t part = sim_random_u64 (&sim.network_random);
    uint64_t until = sim.now_us + lasting (&sim.network_random, 4 * SIM_SECOND);
    bool both_ways = sim_random_chance (&sim.network_random, 500);
    sim.counters.partitions_both_ways += both_ways;
    sim.counters.partitions_one_way += !both_ways;
    sim_trace (both_ways ? "is parted from others" : "is not heard by others", 0, 0, part, NULL);
    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        for (unsigned j = 0; j < SIM_NODES_MAX; j++) {
            bool from_inside = part >> i & 1;
            bool to_inside = part >> j & 1;
            if (from_inside != to_inside && (both_ways || from_inside))
                sim_network_cut (i, j, until);
        }
}

/*  Some links hold all they carry, and let it go one link after the other, in another order.  */
static void clog_links (uint32_t node)
{
    (void) node;
    for (unsigned i = 0; i < sim.process_count; i++)
        for (unsigned j = 0; j < sim.process_count; j++) {
            if (!sim_random_chance (&sim.network_random, 80))
                continue;
            sim_network_clog (
                i, j,
                sim.now_us + sim_random_below (&sim.network_random, 8 * SIM_SECOND * sim.options.stretch));
            sim.counters.links_clogged++;
        }
}

static void reconnect (uint32_t node)
{
    (void) node;
    unsigned from = any_process ();
    unsigned to = any_process ();
    sim_network_reconnect (from, to);
    sim.counters.reconnects++;
    sim_trace ("reconnects to", from, to, 0, NULL);
}

/*  ----------------------------------------------------------------------------------------------- all  */

static void fill_disk (uint32_t node);

static void back_up (uint32_t node)
{
    (void) node;
    sim_backup_begin ();
}

static void forge (uint32_t node)
{
    (void) node;
    sim_forger_act ();
}

static const struct {
    void (*happen) (uint32_t node);
    size_t option; /* how many of them: offset of an option */
} s_faults[] = {
    {crash, offsetof (sim_options_t, crashes)},
    {crash_in_commit, offsetof (sim_options_t, crashes_in_commit)},
    {pause_process, offsetof (sim_options_t, pauses)},
    {slow_disk, offsetof (sim_options_t, slow_disks)},
    {fill_disk, offsetof (sim_options_t, full_disks)},
    {disturb_clock, offsetof (sim_options_t, clock_faults)},
    {resize, offsetof (sim_options_t, resizes)},
    {stop, offsetof (sim_options_t, stops)},
    {rebuild, offsetof (sim_options_t, rebuilds)},
    {partition, offsetof (sim_options_t, partitions)},
    {clog_links, offsetof (sim_options_t, clogs)},
    {reconnect, offsetof (sim_options_t, reconnects)},
    {forge, offsetof (sim_options_t, forgeries)},
    {back_up, offsetof (sim_options_t, backups)},
    {empty_disk, 0},
};

#define FAULTS (sizeof s_faults / sizeof s_faults[0])

static void fill_disk (uint32_t node)
{
    (void) node;
    unsigned chosen = any_process ();
    sim_disk_set_full (sim.processes[chosen].disk, true);
    sim.counters.full_disks++;
    sim_trace ("has a full disk", chosen, chosen, 0, NULL);
    sim_after (lasting (&sim.disk_random, 3 * SIM_SECOND), SIM_EVENT_FAULT, FAULTS - 1, chosen);
}

void sim_faults_draw (void)
{
    for (unsigned kind = 0; kind < FAULTS - 1; kind++) {
        const char *options = (const char *) &sim.options;
        uint64_t count = *(const uint64_t *) (const void *) (options + s_faults[kind].option);
        sim_random_t *random = s_faults[kind].happen == back_up ? &sim.backup_random : &sim.process_random;
        for (uint64_t i = 0; i < count; i++)
            sim_after (sim_random_below (random, sim.options.window_us), SIM_EVENT_FAULT, kind, 0);
    }
}

void sim_faults_happen (unsigned kind, uint32_t node)
{
    if (!sim.settling)
        s_faults[kind].happen (node);
}

void sim_faults_end (void)
{
    sim_network_heal ();
    for (unsigned i = 0; i < sim.process_count; i++) {
        sim_process_t *process = &sim.processes[i];
        process->paused_until_us = 0;
        process->slow_until_us = 0;
        process->crash_in_commit = false;
        process->clock.stopped_until_us = 0;
        process->wanted = true;
        sim_disk_set_full (process->disk, false);
        sim_process_start (i);
    }
}
