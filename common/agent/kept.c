/*  kept.c - what arrives while an agent is held for a backup.  */
#include "agent/kept.h"
#include "agent/hold.h"

#include <stdlib.h>
#include <string.h>

struct tim3_kept_frame {
    tim3_kept_frame_t *next;
    bool answer;
    size_t peer_size;
    size_t size;
    uint8_t bytes[]; /* the peer, then the frame */
};

static void keep (tim3_kept_t *self, const tim3_origin_t *origin, const uint8_t *data, size_t size)
{
    if (size == 0)
        return;
    if (self->count >= TIM3_KEPT_FRAMES_MAX || self->bytes + size > TIM3_KEPT_BYTES_MAX) {
        self->dropped++;
        return;
    }
    tim3_kept_frame_t *frame = tim3_alloc (sizeof *frame + origin->peer_size + size);
    frame->answer = origin->answer;
    frame->peer_size = origin->peer_size;
    frame->size = size;
    memcpy (frame->bytes, origin->peer, origin->peer_size);
    memcpy (frame->bytes + origin->peer_size, data, size);
    if (self->last)
        self->last->next = frame;
    else
        self->first = frame;
    self->last = frame;
    self->count++;
    self->bytes += size;
}

/*  A frame may hold both what passes and what waits: it is taken apart.  */
static void sort_out (tim3_kept_t *self, tim3_host_t *host, const tim3_origin_t *origin, const uint8_t *data,
                      size_t size)
{
    const uint8_t *at = data;
    const uint8_t *waiting = data; /* from here to from is to be kept */
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    for (int i = 0; i < TIM3_ENVELOPES_MAX; i++) {
        const uint8_t *from = at;
        if (tim3_envelope_read (&at, data + size, &envelope, &fault) <= 0)
            break;
        if (!tim3_hold_passes (envelope.type))
            continue;
        keep (self, origin, waiting, (size_t) (from - waiting));
        tim3_host_take (host, origin, from, (size_t) (at - from));
        waiting = at;
    }
    keep (self, origin, waiting, (size_t) (data + size - waiting));
}

void tim3_kept_take (tim3_kept_t *self, tim3_host_t *host, const tim3_origin_t *origin, const uint8_t *data,
                     size_t size)
{
    if (self->first || tim3_host_held (host))
        sort_out (self, host, origin, data, size);
    else
        tim3_host_take (host, origin, data, size);
}

bool tim3_kept_ready (const tim3_kept_t *self, const tim3_host_t *host)
{
    return self->first && !tim3_host_held (host);
}

static void remove_first (tim3_kept_t *self)
{
    tim3_kept_frame_t *frame = self->first;
    self->first = frame->next;
    if (!self->first)
        self->last = NULL;
    self->count--;
    self->bytes -= frame->size;
    free (frame);
}

void tim3_kept_give (tim3_kept_t *self, tim3_host_t *host)
{
    const tim3_kept_frame_t *frame = self->first;
    tim3_origin_t origin = {frame->answer, frame->bytes, frame->peer_size};
    tim3_host_take (host, &origin, frame->bytes + frame->peer_size, frame->size);
    remove_first (self);
}

void tim3_kept_clear (tim3_kept_t *self)
{
    while (self->first)
        remove_first (self);
}
