/*  unread.c - how many bytes of answers wait until clients read them, and how many may. See unread.h.  */
#include "unread.h"
#include "base/bytes.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define PART_OF_FREE 8

static size_t held (const tim3_unread_frame_t *frame)
{
    return sizeof *frame + frame->size;
}

/*  Others only lower the counters meanwhile.  */
static bool has_room (const tim3_unread_t *self, const atomic_size_t *part, size_t size)
{
    size_t total = atomic_load_explicit (&self->total, memory_order_relaxed);
    return atomic_load_explicit (part, memory_order_relaxed) + size <= (self->most - total) / PART_OF_FREE;
}

tim3_unread_frame_t *tim3_unread_begin (tim3_unread_t *self, const uint8_t *client, size_t client_size,
                                        const uint8_t *data, size_t size)
{
    atomic_size_t *part = &self->parts[tim3_hash64 (client, client_size, self->secret) % TIM3_UNREAD_PARTS];
    if (!has_room (self, part, sizeof (tim3_unread_frame_t) + size))
        return NULL;
    tim3_unread_frame_t *frame = malloc (sizeof *frame + size);
    TIM3_ASSERT (frame);
    frame->unread = self;
    frame->part = part;
    frame->size = size;
    memcpy (frame->bytes, data, size);
    atomic_fetch_add_explicit (&self->total, held (frame), memory_order_relaxed);
    atomic_fetch_add_explicit (part, held (frame), memory_order_relaxed);
    return frame;
}

void tim3_unread_end (void *bytes, void *frame)
{
    tim3_unread_frame_t *self = frame;
    TIM3_ASSERT (bytes == self->bytes);
    atomic_fetch_sub_explicit (self->part, held (self), memory_order_relaxed);
    atomic_fetch_sub_explicit (&self->unread->total, held (self), memory_order_relaxed);
    free (self);
}
