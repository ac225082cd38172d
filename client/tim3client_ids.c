/*  tim3client_ids.c - new request ids: 48 bits of Unix milliseconds, a counter of 12, and 62 bits that are random in each.  */
#include "tim3client_ids.h"

#include <sodium.h>
#include <stdio.h>
#include <time.h>

#define COUNTER_MAX 0xfffu
#define COUNTER_BEGINS_BELOW 0x800u /* which leaves as many again for one millisecond, at least */

static unsigned begin_counter (const uint8_t *random)
{
    return (random[0] * 256u + random[1]) % COUNTER_BEGINS_BELOW;
}

/*  A clock that stands, or was set back, is waited for on the counter; when that is full, on the next millisecond.  */
static void advance (tim3_request_ids_t *self, uint64_t now_ms, const uint8_t *random)
{
    if (now_ms <= self->ms && self->counter < COUNTER_MAX) {
        self->counter++;
        return;
    }
    self->ms = now_ms > self->ms ? now_ms : self->ms + 1;
    self->counter = begin_counter (random);
}

void tim3_request_ids_make (tim3_request_ids_t *self, uint64_t now_ms,
                            const uint8_t random[TIM3_REQUEST_IDS_RANDOM], char id[TIM3_REQUEST_ID_MAX + 1])
{
    const uint8_t *tail = random + 2;
    advance (self, now_ms, random);
    snprintf (id, TIM3_REQUEST_ID_MAX + 1, "%08llx-%04llx-7%03x-%02x%02x-%02x%02x%02x%02x%02x%02x",
              (unsigned long long) (self->ms >> 16 & 0xffffffff), (unsigned long long) (self->ms & 0xffff),
              self->counter, (tail[0] & 0x3fu) | 0x80u, tail[1], tail[2], tail[3], tail[4], tail[5], tail[6],
              tail[7]);
}

void tim3_request_ids_next (tim3_request_ids_t *self, char id[TIM3_REQUEST_ID_MAX + 1])
{
    struct timespec now;
    uint8_t random[TIM3_REQUEST_IDS_RANDOM];
    clock_gettime (CLOCK_REALTIME, &now);
    randombytes_buf (random, sizeof random);
    tim3_request_ids_make (self, (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000, random, id);
}
