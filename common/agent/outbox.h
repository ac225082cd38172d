/*  outbox.h - envelopes that wait to leave, gathered into one frame per destination.  */
#ifndef TIM3_OUTBOX_H
#define TIM3_OUTBOX_H

#include "base/bytes.h"

#define TIM3_OUTBOX_KEY_MAX 72

typedef struct {
    uint8_t key[TIM3_OUTBOX_KEY_MAX];
    size_t key_size;
    tim3_buffer_t buffer;
} tim3_outbox_frame_t;

typedef struct tim3_outbox tim3_outbox_t;

tim3_outbox_t *tim3_outbox_new (void);
void tim3_outbox_destroy (tim3_outbox_t **self);

/*  The buffer to append the next envelope for that destination to. Valid until the next call.  */
tim3_buffer_t *tim3_outbox_open (tim3_outbox_t *self, const void *key, size_t key_size);
/*  Frames in the order in which they were begun.  */
size_t tim3_outbox_count (const tim3_outbox_t *self);
const tim3_outbox_frame_t *tim3_outbox_at (const tim3_outbox_t *self, size_t position);
/*  Forgets all frames; their memory, up to a bound, is kept for the next batch.  */
void tim3_outbox_clear (tim3_outbox_t *self);

#endif
