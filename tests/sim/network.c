/*  network.c - frames on their way.  */
#include "network.h"
#include "process.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    uint32_t generation; /* of the connection that the first has made to the second */
    uint64_t sent;
    uint64_t arrived;
    uint64_t lost_after; /* what is behind this number ... */
    uint64_t lost_upto;  /* ... up to this one was in a tail that got lost */
    uint64_t last_arrival_us;
    uint64_t cut_until_us;
    uint64_t clogged_until_us;
} link_t;

static link_t s_links[SIM_NODES_MAX][SIM_NODES_MAX];

static link_t *link_of (unsigned from, unsigned to)
{
    return &s_links[from][to];
}

/*  ---------------------------------------------------------------------------------------------- frames  */

/*  Frames go between processes, whichever of their cores they are for.  */
static unsigned host_of (unsigned node)
{
    return node < sim.process_count ? sim.processes[node].hosted_by : node;
}

sim_frame_t *sim_frame_new (unsigned from, unsigned to, bool answer, const uint8_t *data, size_t size)
{
    sim_frame_t *frame = malloc (sizeof *frame + size);
    if (!frame)
        abort ();
    *frame = (sim_frame_t){.from = host_of (from), .to = host_of (to), .answer = answer, .size = size};
    memcpy (frame->data, data, size);
    return frame;
}

void sim_queue_init (sim_queue_t *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

void sim_queue_add (sim_queue_t *queue, sim_frame_t *frame)
{
    frame->next = NULL;
    *queue->last = frame;
    queue->last = &frame->next;
}

sim_frame_t *sim_queue_take (sim_queue_t *queue)
{
    sim_frame_t *frame = queue->first;
    if (!frame)
        return NULL;
    queue->first = frame->next;
    if (!queue->first)
        queue->last = &queue->first;
    return frame;
}

void sim_queue_clear (sim_queue_t *queue)
{
    sim_frame_t *frame;
    while ((frame = sim_queue_take (queue)))
        free (frame);
}

uint32_t sim_network_generation (unsigned from, unsigned to)
{
    return link_of (from, to)->generation;
}

/*  --------------------------------------------------------------------------------------------- sending  */

static uint64_t draw_delay (void)
{
    if (sim.settling)
        return sim_random_between (&sim.network_random, 100, 2 * SIM_MS);
    return sim.options.delay_least_us + sim_random_delay (&sim.network_random, sim.options.delay_mean_us);
}

static void depart (sim_frame_t *frame, uint64_t delay_us)
{
    link_t *link = link_of (frame->from, frame->to);
    uint64_t at = sim.now_us + delay_us;
    if (at < link->clogged_until_us)
        at = link->clogged_until_us + delay_us / 8;
    if (!sim.options.hostile_network) {
        if (at <= link->last_arrival_us)
            at = link->last_arrival_us + 1;
        link->last_arrival_us = at;
    }
    sim_after_frame (at - sim.now_us, frame);
}

static void depart_copy (const sim_frame_t *frame)
{
    sim_frame_t *copy = malloc (sizeof *copy + frame->size);
    if (!copy)
        abort ();
    memcpy (copy, frame, sizeof *copy + frame->size);
    sim.counters.frames_duplicated++;
    /* some copies come when nobody thinks of them any more */
    bool very = sim_random_chance (&sim.network_random, 400);
    uint64_t late = very ? sim.options.lateness_us : sim.options.delay_mean_us;
    sim.counters.frames_late += very;
    depart (copy, draw_delay () + sim_random_below (&sim.network_random, late));
}

void sim_network_send (sim_frame_t *frame)
{
    frame->number = ++link_of (frame->from, frame->to)->sent;
    sim.counters.frames++;
    if (sim.options.hostile_network && !sim.settling) {
        if (sim_random_chance (&sim.network_random, sim.options.duplicate_permille))
            depart_copy (frame);
        if (sim_random_chance (&sim.network_random, sim.options.loss_permille)) {
            sim.counters.frames_lost++;
            free (frame);
            return;
        }
    }
    depart (frame, draw_delay ());
}

/*  --------------------------------------------------------------------------------------------- arriving  */

static bool drop (sim_frame_t *frame, uint64_t *counter)
{
    ++*counter;
    free (frame);
    return false;
}

static bool put_off (sim_frame_t *frame, uint64_t delay_us)
{
    sim_after_frame (delay_us, frame);
    return false;
}

/*  An answer goes to the connection that asked. That one is gone with the process that had made it.  */
static bool is_stale (const sim_frame_t *frame)
{
    if (!frame->answer || frame->to >= sim.process_count)
        return false;
    const sim_process_t *to = &sim.processes[frame->to];
    if (!to->host || to->life != frame->to_life)
        return true;
    return !sim.options.hostile_network && frame->generation != link_of (frame->to, frame->from)->generation;
}

static bool arrive_in_order (sim_frame_t *frame, link_t *link)
{
    if (link->cut_until_us > sim.now_us)
        return put_off (frame, link->cut_until_us - sim.now_us);
    if (frame->number > link->lost_after && frame->number <= link->lost_upto)
        return drop (frame, &sim.counters.frames_cut);
    /* who asks keeps its questions until there is someone to take them */
    bool down = frame->to < sim.process_count && !sim.processes[frame->to].host;
    bool kept = frame->from >= sim.process_count || sim.processes[frame->from].life == frame->from_life;
    if (down && !frame->answer && kept)
        return put_off (frame, 50 * SIM_MS);
    link->arrived = frame->number;
    return true;
}

bool sim_network_arrive (sim_frame_t *frame)
{
    link_t *link = link_of (frame->from, frame->to);
    if (is_stale (frame))
        return drop (frame, &sim.counters.answers_stale);
    if (!sim.options.hostile_network && !arrive_in_order (frame, link))
        return false;
    if (link->cut_until_us > sim.now_us)
        return drop (frame, &sim.counters.frames_lost);
    if (frame->to < sim.process_count && !sim.processes[frame->to].host)
        return drop (frame, &sim.counters.frames_lost);
    return true;
}

/*  --------------------------------------------------------------------------------------------- troubles  */

static void lose_tail (link_t *link)
{
    uint64_t under_way = link->sent > link->arrived ? link->sent - link->arrived : 0;
    link->lost_after = link->arrived + sim_random_below (&sim.network_random, under_way + 1);
    link->lost_upto = link->sent;
}

void sim_network_reconnect (unsigned from, unsigned to)
{
    link_of (from, to)->generation++;
    lose_tail (link_of (from, to));
    lose_tail (link_of (to, from));
}

void sim_network_break (unsigned node)
{
    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        sim_network_reconnect (node, i);
        link_of (i, node)->generation++;
    }
}

void sim_network_cut (unsigned from, unsigned to, uint64_t until_us)
{
    link_of (from, to)->cut_until_us = until_us;
}

void sim_network_clog (unsigned from, unsigned to, uint64_t until_us)
{
    link_of (from, to)->clogged_until_us = until_us;
}

void sim_network_heal (void)
{
    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        for (unsigned j = 0; j < SIM_NODES_MAX; j++) {
            s_links[i][j].cut_until_us = 0;
            s_links[i][j].clogged_until_us = 0;
        }
}
