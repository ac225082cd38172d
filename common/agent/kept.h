/*  kept.h - what arrives while an agent is held for a backup, kept in order until it goes on.

    Stands between whoever receives frames and the host: hand every frame to tim3_kept_take. What a held agent may
    take goes through; the rest waits, within bounds. What is beyond them is lost, as it could be on a
    network: whoever sent it asks again.
*/
#ifndef TIM3_KEPT_H
#define TIM3_KEPT_H

#include "agent/host.h"

#define TIM3_KEPT_FRAMES_MAX 10000
#define TIM3_KEPT_BYTES_MAX (64u * 1024 * 1024)

typedef struct tim3_kept_frame tim3_kept_frame_t;

typedef struct {
    tim3_kept_frame_t *first;
    tim3_kept_frame_t *last;
    size_t count;
    size_t bytes;
    uint64_t dropped; /* since start */
} tim3_kept_t;

void tim3_kept_take (tim3_kept_t *self, tim3_host_t *host, const tim3_origin_t *origin, const uint8_t *data,
                     size_t size);
/*  Whether there is something that the host can take now.  */
bool tim3_kept_ready (const tim3_kept_t *self, const tim3_host_t *host);
/*  Hands over the frame that has waited longest.  */
void tim3_kept_give (tim3_kept_t *self, tim3_host_t *host);
void tim3_kept_clear (tim3_kept_t *self);

#endif
