/*  process.c - drives a host as the shell does: take what has arrived, run it, commit, then let out.  */
#include "process.h"
#include "understate.h"
#include "audit.h"
#include "disk.h"
#include "network.h"
#include "watch.h"

#include <stdlib.h>
#include <string.h>

#define FRAMES_PER_BATCH 2048

/*  What a routing id stands for.  */
typedef struct {
    uint32_t node;
    uint32_t life;
    uint32_t generation;
} routing_id_t;

bool sim_process_find (const char *address, unsigned *node)
{
    for (unsigned i = 0; i < sim.process_count; i++)
        if (strcmp (sim.processes[i].name, address) == 0) {
            *node = sim.processes[i].hosted_by;
            return true;
        }
    return false;
}

/*  ----------------------------------------------------------------------------------------------- clock  */

static void start_clock (sim_clock_t *clock)
{
    clock->real_us = sim.now_us;
    clock->shown_us = (uint64_t) ((int64_t) sim.now_us + (sim.settling ? 0 : clock->error_us));
}

/*  Never goes back within a life, as in the shell; but it may be slow, fast, or stand still.  */
static uint64_t read_clock (sim_clock_t *clock)
{
    uint64_t passed = sim.now_us - clock->real_us;
    if (sim.now_us < clock->stopped_until_us)
        passed = 0;
    clock->real_us = sim.now_us;
    clock->shown_us += sim.settling ? passed : passed * clock->rate_ppm / 1000000;
    return clock->shown_us;
}

/*  ------------------------------------------------------------------------------------- start and death  */

/*  Only the earliest wake-up counts: a later one that is in the heap already is passed over when its time
    comes.  */
static void wake_at (sim_process_t *self, uint64_t at_us)
{
    at_us = at_us > sim.now_us ? at_us : sim.now_us;
    if (self->wake_us > sim.now_us && self->wake_us <= at_us)
        return;
    self->wake_us = at_us;
    sim_after (at_us - sim.now_us, SIM_EVENT_WAKE, (unsigned) (self - sim.processes), self->life);
}

void sim_process_start (unsigned node)
{
    node = sim.processes[node].hosted_by;
    sim_process_t *self = &sim.processes[node];
    if (self->host || !self->wanted)
        return;
    self->life++;
    start_clock (&self->clock);
    self->options.commits = tim3_store_commits (self->disk);
    self->options.incarnation = tim3_host_next_life (
        self->disk, read_clock (&self->clock), (uint32_t) sim_random_below (&sim.process_random, UINT32_MAX));
    sim_disk_settle (self->disk);
    self->options.wait_accepted = tim3_role_is_ledger (self->core->role) || self->hosted_count > 0;
    self->options.backup = "backup";
    self->host = tim3_host_new (self->core, &self->settings, self->disk, &self->options);
    for (unsigned i = 0; i < self->hosted_count; i++) {
        sim_process_t *hosted = &sim.processes[self->hosted[i]];
        tim3_host_add (self->host, hosted->core, &hosted->settings);
    }
    self->next_tick_us = sim.now_us;
    self->wake_us = 0;
    self->committing = false;
    sim_trace ("starts", node, node, self->life, NULL);
    wake_at (self, sim.now_us);
}

static void bury (sim_process_t *self)
{
    unsigned node = (unsigned) (self - sim.processes);
    sim.counters.events_resent += tim3_host_counters (self->host)->events_resent;
    tim3_host_destroy (&self->host);
    tim3_kept_clear (&self->kept);
    sim_queue_clear (&self->inbox);
    sim_queue_clear (&self->out);
    sim_network_break (node);
    self->committing = false;
    sim_audit_crashed (node);
    uint64_t down =
        sim.settling ? 100 * SIM_MS : 20 * SIM_MS + sim_random_delay (&sim.process_random, SIM_SECOND);
    sim_after (down, SIM_EVENT_START, node, 0);
}

void sim_process_share (unsigned node, unsigned hosted)
{
    sim_process_t *self = &sim.processes[hosted];
    if (self->store != self->disk)
        tim3_store_close (&self->store); /* the sight of another disk */
    self->hosted_by = node;
    self->disk = sim.processes[node].disk;
    self->store = tim3_store_view (self->disk, self->core->role);
}

void sim_process_replace (unsigned node, tim3_store_t *store)
{
    sim_process_t *self = &sim.processes[node];
    tim3_host_destroy (&self->host);
    tim3_kept_clear (&self->kept);
    sim_queue_clear (&self->inbox);
    sim_queue_clear (&self->out);
    sim_network_break (node);
    self->committing = false;
    self->wanted = true;
    tim3_store_close (&self->disk);
    self->store = self->disk = store;
    for (unsigned i = 0; i < self->hosted_count; i++)
        sim_process_share (node, self->hosted[i]);
}

/*  A commit that was under way got through or did not; either way its frames never left.  */
static void die_in_commit (sim_process_t *self)
{
    unsigned node = (unsigned) (self - sim.processes);
    bool kept = sim_random_chance (&sim.disk_random, 500);
    sim.counters.crashes_in_commit_kept += kept;
    sim.counters.crashes_in_commit_lost += !kept;
    sim_trace (kept ? "dies, its commit got through" : "dies, its commit did not get through", node, node, 0,
               NULL);
    sim_disk_crash (self->disk, kept);
    bury (self);
}

void sim_process_kill (unsigned node)
{
    node = sim.processes[node].hosted_by;
    sim_process_t *self = &sim.processes[node];
    if (!self->host)
        return;
    sim.counters.crashes++;
    if (self->committing) {
        die_in_commit (self);
        return;
    }
    sim_trace ("dies", node, node, 0, NULL);
    sim_disk_crash (self->disk, true);
    bury (self);
}

/*  ------------------------------------------------------------------------------------------ what leaves  */

/*  Puts a frame of the host in the queue that waits for the commit.  */
static void queue_frame (sim_process_t *self, const tim3_frame_t *out)
{
    unsigned node = (unsigned) (self - sim.processes);
    routing_id_t peer = {0};
    unsigned to;
    if (out->address) {
        if (!sim_process_find (out->address, &to))
            return;
    } else {
        memcpy (&peer, out->peer, sizeof peer);
        to = peer.node;
    }
    sim_frame_t *frame = sim_frame_new (node, to, out->address == NULL, out->data, out->size);
    frame->from_life = self->life;
    frame->to_life = peer.life;
    frame->generation = out->address ? sim_network_generation (node, to) : peer.generation;
    sim_queue_add (&self->out, sim_understate (frame));
}

static uint64_t draw_commit_time (const sim_process_t *self, bool dirty)
{
    if (!dirty)
        return 20;
    if (sim.now_us < self->slow_until_us)
        return sim_random_between (&sim.disk_random, 100, 200 * SIM_MS);
    return sim_random_between (&sim.disk_random, 100, 1000);
}

static void let_out (sim_process_t *self)
{
    sim_frame_t *frame;
    while ((frame = sim_queue_take (&self->out))) {
        sim_watch_frame (frame);
        sim_network_send (frame);
    }
}

/*  -------------------------------------------------------------------------------------------- a batch  */

static void take_frame (sim_process_t *self, const sim_frame_t *frame)
{
    routing_id_t peer = {frame->from, frame->from_life, frame->generation};
    tim3_origin_t origin = {frame->answer, (const uint8_t *) &peer, sizeof peer};
    if (frame->answer) {
        const char *asked = sim_node_name (frame->from);
        origin = (tim3_origin_t){true, (const uint8_t *) asked, strlen (asked)};
    }
    tim3_kept_take (&self->kept, self->host, &origin, frame->data, frame->size);
}

static void take_all (sim_process_t *self)
{
    sim_frame_t *frame;
    while (tim3_kept_ready (&self->kept, self->host))
        tim3_kept_give (&self->kept, self->host);
    for (int i = 0; i < FRAMES_PER_BATCH && (frame = sim_queue_take (&self->inbox)); i++) {
        take_frame (self, frame);
        free (frame);
    }
}

static void tick (sim_process_t *self)
{
    if (sim.now_us < self->next_tick_us)
        return;
    tim3_host_tick (self->host);
    self->next_tick_us = sim.now_us + sim.options.tick_us;
}

static void finish (sim_process_t *self)
{
    unsigned node = (unsigned) (self - sim.processes);
    const tim3_frame_t *out;
    bool dirty = tim3_store_dirty (self->disk);
    uint64_t full = tim3_host_counters (self->host)->storage_full;

    if (dirty && self->crash_in_commit && sim_random_chance (&sim.disk_random, 300)) {
        sim_disk_fail_commit (self->disk);
        sim.counters.disk_errors++;
        self->crash_in_commit = false;
    }
    if (tim3_host_commit (self->host)) {
        die_in_commit (self);
        return;
    }
    if (tim3_host_counters (self->host)->storage_full > full)
        sim_trace ("finds its disk full", node, node, 0, NULL);
    while ((out = tim3_host_next (self->host)))
        queue_frame (self, out);
    self->committing = true;
    self->commits += dirty;
    sim.counters.commits += dirty;
    sim_audit_committing (node);
    uint64_t delay = draw_commit_time (self, dirty);
    sim_after (delay, SIM_EVENT_FLUSH, node, self->life);
    if (dirty && self->crash_in_commit) {
        self->crash_in_commit = false;
        sim_process_kill (node);
    }
}

void sim_process_wake (unsigned node, uint32_t life)
{
    sim_process_t *self = &sim.processes[node];
    if (!self->host || self->life != life || self->wake_us != sim.now_us)
        return;
    self->wake_us = 0;
    if (self->committing)
        return; /* the flush wakes it */
    if (sim.now_us < self->paused_until_us) {
        wake_at (self, self->paused_until_us);
        return;
    }
    sim.counters.steps++;
    tim3_host_begin (self->host, read_clock (&self->clock));
    take_all (self);
    tick (self);
    finish (self);
}

/*  What has not been taken yet is lost, but the registry is told, and all that was done is committed.  */
void sim_process_stop (unsigned node)
{
    node = sim.processes[node].hosted_by;
    sim_process_t *self = &sim.processes[node];
    const tim3_frame_t *out;
    if (!self->host || self->committing || self->crash_in_commit) {
        sim_process_kill (node);
        return;
    }
    sim.counters.stops++;
    sim_trace ("stops", node, node, 0, NULL);
    tim3_host_begin (self->host, read_clock (&self->clock));
    tim3_host_leave (self->host);
    if (tim3_host_commit (self->host) == 0) {
        while ((out = tim3_host_next (self->host)))
            queue_frame (self, out);
        sim_disk_settle (self->disk);
        sim_audit_durable (node);
        let_out (self);
    }
    bury (self);
}

static void check_superseded (sim_process_t *self)
{
    const char *rolled_back = tim3_host_rolled_back (self->host);
    SIM_CHECK (!rolled_back, "no store is taken for an older copy", "%s: %s", self->name, rolled_back);
    if (!tim3_host_superseded (self->host))
        return;
    sim.counters.superseded++;
    self->clock.error_us = 0; /* somebody sets the clock right, before starting it again */
    sim_trace ("is superseded", (unsigned) (self - sim.processes), 0, 0, NULL);
    sim_disk_crash (self->disk, true);
    bury (self);
}

void sim_process_flush (unsigned node, uint32_t life)
{
    sim_process_t *self = &sim.processes[node];
    if (!self->host || self->life != life)
        return;
    self->committing = false;
    sim_disk_settle (self->disk);
    sim_audit_durable (node);
    let_out (self);
    wake_at (self, self->inbox.first || tim3_kept_ready (&self->kept, self->host) ? sim.now_us : self->next_tick_us);
    check_superseded (self);
}

void sim_process_take (unsigned node, sim_frame_t *frame)
{
    sim_process_t *self = &sim.processes[node];
    sim_queue_add (&self->inbox, frame);
    if (!self->committing && self->wake_us != sim.now_us)
        wake_at (self, sim.now_us);
}
