/*  outbox.c - envelopes that wait to leave, gathered into one frame per destination.  */
#include "agent/outbox.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

/*  Memory of a frame that is kept for the next batch.  */
#define KEPT_SIZE (64 * 1024)

/*  Which frame is open for a destination.  */
typedef struct {
    uint8_t key[TIM3_OUTBOX_KEY_MAX];
    size_t position;
    bool closed; /* another frame has taken its place */
    UT_hash_handle hh;
} open_t;

struct tim3_outbox {
    tim3_outbox_frame_t *frames;
    open_t *entries; /* one for every frame, so that nothing is allocated once warm */
    size_t count;
    size_t capacity;
    open_t *open;
};

tim3_outbox_t *tim3_outbox_new (void)
{
    return tim3_alloc (sizeof (tim3_outbox_t));
}

void tim3_outbox_destroy (tim3_outbox_t **self)
{
    if (!*self)
        return;
    HASH_CLEAR (hh, (*self)->open);
    for (size_t i = 0; i < (*self)->capacity; i++)
        tim3_buffer_free (&(*self)->frames[i].buffer);
    free ((*self)->frames);
    free ((*self)->entries);
    free (*self);
    *self = NULL;
}

/*  Growing moves the entries, so the hash is built anew.  */
static void grow (tim3_outbox_t *self)
{
    size_t capacity = self->capacity ? 2 * self->capacity : 16;
    HASH_CLEAR (hh, self->open);
    self->frames = realloc (self->frames, capacity * sizeof *self->frames);
    self->entries = realloc (self->entries, capacity * sizeof *self->entries);
    TIM3_ASSERT (self->frames && self->entries);
    memset (self->frames + self->capacity, 0, (capacity - self->capacity) * sizeof *self->frames);
    memset (self->entries + self->capacity, 0, (capacity - self->capacity) * sizeof *self->entries);
    self->capacity = capacity;
    for (size_t i = 0; i < self->count; i++) {
        open_t *entry = &self->entries[i];
        if (!entry->closed)
            HASH_ADD_KEYPTR (hh, self->open, entry->key, (unsigned) self->frames[i].key_size, entry);
    }
}

static tim3_buffer_t *begin (tim3_outbox_t *self, const void *key, size_t key_size)
{
    if (self->count == self->capacity)
        grow (self);
    tim3_outbox_frame_t *frame = &self->frames[self->count];
    open_t *entry = &self->entries[self->count];
    memcpy (frame->key, key, key_size);
    frame->key_size = key_size;
    memcpy (entry->key, key, key_size);
    entry->position = self->count++;
    entry->closed = false;
    HASH_ADD_KEYPTR (hh, self->open, entry->key, (unsigned) key_size, entry);
    return &frame->buffer;
}

tim3_buffer_t *tim3_outbox_open (tim3_outbox_t *self, const void *key, size_t key_size)
{
    open_t *entry;
    TIM3_ASSERT (key_size <= TIM3_OUTBOX_KEY_MAX);
    HASH_FIND (hh, self->open, key, (unsigned) key_size, entry);
    if (entry) {
        tim3_buffer_t *buffer = &self->frames[entry->position].buffer;
        if (buffer->size < TIM3_OUTBOX_FRAME_SIZE)
            return buffer;
        HASH_DEL (self->open, entry);
        entry->closed = true;
    }
    return begin (self, key, key_size);
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
    HASH_CLEAR (hh, self->open);
    for (size_t i = 0; i < self->count; i++)
        if (self->frames[i].buffer.capacity > KEPT_SIZE)
            tim3_buffer_free (&self->frames[i].buffer);
        else
            tim3_buffer_clear (&self->frames[i].buffer);
    self->count = 0;
}
