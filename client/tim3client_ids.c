/*  tim3client_ids.c - new request ids: 48 bits of Unix milliseconds, a counter of 12, and 62 bits that are random in each.  */
#include "tim3client_ids.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
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

static char *put_hex (char *at, uint64_t value, unsigned digits)
{
    for (unsigned i = digits; i-- > 0;)
        *at++ = "0123456789abcdef"[value >> 4 * i & 15];
    return at;
}

static uint64_t number_of (const uint8_t *bytes, unsigned count)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return value;
}

void tim3_request_ids_make (tim3_request_ids_t *self, uint64_t now_ms,
                            const uint8_t random[TIM3_REQUEST_IDS_RANDOM], char id[TIM3_REQUEST_ID_MAX + 1])
{
    const uint8_t *tail = random + 2;
    advance (self, now_ms, random);
    char *at = put_hex (id, self->ms >> 16, 8);
    *at++ = '-';
    at = put_hex (at, self->ms, 4);
    *at++ = '-';
    at = put_hex (at, 0x7000 | self->counter, 4);
    *at++ = '-';
    at = put_hex (at, (number_of (tail, 2) & 0x3fff) | 0x8000, 4);
    *at++ = '-';
    at = put_hex (at, number_of (tail + 2, 6), 12);
    *at = '\0';
}

/*  A child has its parent's bytes, and must not use them, too.  */
static atomic_uint s_forks;

static void count_fork (void)
{
    atomic_fetch_add (&s_forks, 1);
}

static void watch_forks (void)
{
    pthread_atfork (NULL, NULL, count_fork);
}

static void refill (tim3_request_ids_t *self, unsigned forks)
{
    randombytes_buf (self->random, sizeof self->random);
    self->left = TIM3_REQUEST_IDS_AHEAD;
    self->forks = forks;
}

void tim3_request_ids_next (tim3_request_ids_t *self, char id[TIM3_REQUEST_ID_MAX + 1])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct timespec now;
    pthread_once (&once, watch_forks);
    unsigned forks = atomic_load_explicit (&s_forks, memory_order_relaxed);
    clock_gettime (CLOCK_REALTIME, &now);
    if (self->left == 0 || self->forks != forks)
        refill (self, forks);
    tim3_request_ids_make (self, (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000,
                           self->random[--self->left], id);
}
