/*  understate.c - a router that says of fewer events than it could that they are durable.

    Publications are whole rows of an outbox, and the router takes all of one or nothing. So it is only here that a ledger
    meets an acknowledgement that ends inside a row.
*/
#include "understate.h"
#include "network.h"
#include "process.h"

#include <stdlib.h>

/*  Whether an event is not the last of its row.  */
static bool is_inside (const char *source, uint64_t seq)
{
    tim3_key_t key = tim3_key_u64 (seq);
    tim3_run_t run;
    unsigned node;
    return sim_process_find (source, &node) &&
           tim3_store_seek (sim.processes[node].store, TIM3_TABLE_OUTBOX, TIM3_SEEK_LE, &key, &run) &&
           seq < run.seq + run.count - 1;
}

static void lower (tim3_envelope_t *envelope, tim3_buffer_t *out)
{
    tim3_published_t published;
    tim3_arena_t none = {0};
    tim3_fault_t fault;
    SIM_CHECK (tim3_decode_map (envelope->body, envelope->body_size, &tim3_shape_published, &published, &none,
                                &fault) == 0,
               "answers can be read", "of %s", envelope->sender);
    uint64_t less = sim_random_between (&sim.network_random, 1, 3);
    if (published.seq > less) {
        published.seq -= less;
        sim.counters.acks_understated++;
        sim.counters.acks_inside_a_run += is_inside (published.source, published.seq);
    }
    tim3_envelope_write (out, envelope, &published);
}

static bool rewrite (const sim_frame_t *frame, tim3_buffer_t *out)
{
    const uint8_t *at = frame->data;
    const uint8_t *begin = at;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    bool any = false;
    for (; tim3_envelope_read (&at, frame->data + frame->size, &envelope, &fault) == 1; begin = at)
        if (envelope.type == TIM3_MSG_PUBLISHED) {
            lower (&envelope, out);
            any = true;
        } else
            tim3_buffer_append (out, begin, (size_t) (at - begin));
    return any;
}

sim_frame_t *sim_understate (sim_frame_t *frame)
{
    tim3_buffer_t out = {0};
    sim_frame_t *other = frame;
    if (sim.settling || frame->from != SIM_ROUTER || !frame->answer ||
        !sim_random_chance (&sim.network_random, sim.options.understate_permille))
        return frame;
    if (rewrite (frame, &out)) {
        other = sim_frame_new (frame->from, frame->to, true, out.data, out.size);
        other->from_life = frame->from_life;
        other->to_life = frame->to_life;
        other->generation = frame->generation;
        free (frame);
    }
    tim3_buffer_free (&out);
    return other;
}
