/*  watch.c - who says what.  */
#include "watch.h"
#include "forger.h"

#include <string.h>

static const void *decode (const tim3_envelope_t *envelope, const tim3_shape_t *shape, void *body)
{
    tim3_arena_t none = {0};
    tim3_fault_t fault;
    return tim3_decode_map (envelope->body, envelope->body_size, shape, body, &none, &fault) ? NULL : body;
}

static void count_error (const tim3_envelope_t *envelope)
{
    tim3_error_t error;
    if (decode (envelope, &tim3_shape_error, &error) && error.code < SIM_RESULTS_MAX)
        sim.counters.errors[error.code]++;
}

static void count (const sim_frame_t *frame, const tim3_envelope_t *envelope)
{
    tim3_role_t role =
        frame->from < sim.process_count ? sim.processes[frame->from].core->role : TIM3_ROLE_CLIENT;
    switch (envelope->type) {
    case TIM3_MSG_ERROR:
        count_error (envelope);
        break;
    case TIM3_MSG_VOIDED:
        sim.counters.locks_voided++;
        break;
    case TIM3_MSG_LOCK_REFUSED:
        sim.counters.locks_refused++;
        break;
    case TIM3_MSG_RELEASED:
        sim.counters.released++;
        break;
    case TIM3_MSG_RESOLVE:
        sim.counters.swept_locks++;
        break;
    case TIM3_MSG_RESOLVE_REFUSED:
        sim.counters.swept_refusals += role == TIM3_ROLE_LOCK_MANAGER;
        break;
    case TIM3_MSG_RELEASE:
        sim.counters.swept_burns += role == TIM3_ROLE_TOKEN_MANAGER;
        break;
    case TIM3_MSG_RECEIVE:
        sim.counters.crossings_swept += strncmp (envelope->sender, "token_manager", 13) == 0;
        break;
    default:
        break;
    }
}

void sim_watch_frame (const sim_frame_t *frame)
{
    const uint8_t *at = frame->data;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    tim3_tx_only_t body;
    while (tim3_envelope_read (&at, frame->data + frame->size, &envelope, &fault) == 1) {
        const tim3_message_t *message = tim3_message (envelope.type);
        bool about_tx = envelope.type < TIM3_MSG_REGISTER;
        bool has_tx = about_tx && decode (&envelope, &tim3_shape_tx_only, &body);
        count (frame, &envelope);
        if (about_tx)
            sim_trace (message ? message->name : "?", frame->from, frame->to, envelope.id,
                       has_tx ? &body.tx : NULL);
        if (has_tx)
            sim_forger_see (frame, &envelope);
    }
}
