/*  outbox.c - envelopes that wait to leave, gathered into one frame per destination.  */
#include "agent/outbox.h"
#include "base/log.h"
#include "wire/envelope.h"

#include <stdlib.h>
#include <string.h>

/*  Memory of frames that is kept for the next batch: of each frame up to KEPT_SIZE, and of larger frames KEPT_LARGE in all.  */
#define KEPT_SIZE (64 * 1024)
#define KEPT_LARGE (8 * 1024 * 1024)

struct tim3_outbox {
    tim3_outbox_frame_t *frames;
    size_t count;
    size_t capacity;
    uint32_t *slots; /* twice as many as frames: which frame is open for a destination, from 1; 0 is none */
    size_t last;     /* frame that was used last, from 1: the next envelope often goes into the same */
};

tim3_outbox_t *tim3_outbox_new (void)
{
    return tim3_alloc (sizeof (tim3_outbox_t));
}

void tim3_outbox_destroy (tim3_outbox_t **self)
{
    if (!*self)
        return;
    for (size_t i = 0; i < (*self)->capacity; i++)
        tim3_buffer_free (&(*self)->frames[i].buffer);
    free ((*self)->frames);
    free ((*self)->slots);
    free (*self);
    *self = NULL;
}

static bool is_for (const tim3_outbox_frame_t *frame, const void *key, size_t key_size)
{
    return frame->key_size == key_size && memcmp (frame->key, key, key_size) == 0;
}

/*  The slot that names the open frame of a destination, or the free one where it belongs.  */
static uint32_t *find_frame (const tim3_outbox_t *self, const void *key, size_t key_size)
{
    size_t mask = 2 * self->capacity - 1;
    size_t at = tim3_hash64 (key, key_size, 0) & mask;
    while (self->slots[at] && !is_for (&self->frames[self->slots[at] - 1], key, key_size))
        at = (at + 1) & mask;
    return &self->slots[at];
}

/*  Makes room for more frames. Where a frame's slot is depends on how many slots there are, so all are filled anew; of two frames for one
    destination the later is the open one.  */
static void grow (tim3_outbox_t *self)
{
    size_t capacity = self->capacity ? 2 * self->capacity : 16;
    TIM3_ASSERT (capacity <= UINT32_MAX);
    self->frames = realloc (self->frames, capacity * sizeof *self->frames);
    TIM3_ASSERT (self->frames);
    memset (self->frames + self->capacity, 0, (capacity - self->capacity) * sizeof *self->frames);
    free (self->slots);
    self->slots = tim3_alloc (2 * capacity * sizeof *self->slots);
    self->capacity = capacity;
    for (size_t i = 0; i < self->count; i++)
        *find_frame (self, self->frames[i].key, self->frames[i].key_size) = (uint32_t) i + 1;
}

static size_t begin (tim3_outbox_t *self, const void *key, size_t key_size)
{
    if (self->count == self->capacity)
        grow (self);
    uint32_t *slot = find_frame (self, key, key_size);
    tim3_outbox_frame_t *frame = &self->frames[self->count++];
    memcpy (frame->key, key, key_size);
    frame->key_size = key_size;
    *slot = (uint32_t) self->count;
    return self->count;
}

tim3_buffer_t *tim3_outbox_open (tim3_outbox_t *self, const void *key, size_t key_size)
{
    TIM3_ASSERT (key_size <= TIM3_OUTBOX_KEY_MAX);
    size_t open = self->last;
    if (open == 0 || !is_for (&self->frames[open - 1], key, key_size))
        open = self->count > 0 ? *find_frame (self, key, key_size) : 0;
    if (open == 0 || self->frames[open - 1].buffer.size >= TIM3_FRAME_GOAL)
        open = begin (self, key, key_size);
    self->last = open;
    return &self->frames[open - 1].buffer;
}

size_t tim3_outbox_count (const tim3_outbox_t *self)
{
    return self->count;
}

const tim3_outbox_frame_t *tim3_outbox_at (const tim3_outbox_t *self, size_t position)
{
    return position < self->count ? &self->frames[position] : NULL;
}

void tim3_outbox_clear (tim3_outbox_t *self)
{
    size_t large = 0;
    for (size_t i = 0; i < self->count; i++) {
        tim3_buffer_t *buffer = &self->frames[i].buffer;
        large += buffer->capacity > KEPT_SIZE ? buffer->capacity : 0;
        if (buffer->capacity > KEPT_SIZE && large > KEPT_LARGE)
            tim3_buffer_free (buffer);
        else
            tim3_buffer_clear (buffer);
    }
    if (self->count > 0)
        memset (self->slots, 0, 2 * self->capacity * sizeof *self->slots);
    self->count = 0;
    self->last = 0;
}
