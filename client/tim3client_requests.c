/*  tim3client_requests.c - the slots that requests live in. Slots and their buffers are used again, so
    that sending allocates nothing once as many requests have been under way as ever will be.  */
#include "tim3client_requests.h"
#include "tim3client.h"
#include "base/log.h"

#include <sodium.h>
#include <stdlib.h>

#define SLOT_BITS 20
#define SLOTS_MOST (1u << SLOT_BITS)
_Static_assert(SLOTS_MOST == TIM3_CLIENT_OUTSTANDING_MAX, "every request under way has a slot");

void tim3_requests_begin (tim3_requests_t *self)
{
    randombytes_buf (&self->sequence, sizeof self->sequence);
    self->sequence >>= SLOT_BITS + 1;
}

void tim3_requests_free (tim3_requests_t *self)
{
    for (uint32_t i = 0; i < self->count; i++) {
        tim3_buffer_free (&self->slots[i]->message);
        free (self->slots[i]->rest);
        free (self->slots[i]);
    }
    free (self->slots);
    free (self->due_us);
    free (self->spare);
}

static void grow (tim3_requests_t *self)
{
    TIM3_ASSERT (self->count < SLOTS_MOST);
    uint32_t count = self->count ? self->count * 2 : 64;
    self->slots = realloc (self->slots, count * sizeof *self->slots);
    self->spare = realloc (self->spare, count * sizeof *self->spare);
    self->due_us = realloc (self->due_us, count * sizeof *self->due_us);
    TIM3_ASSERT (self->slots && self->spare && self->due_us);
    for (uint32_t i = count; i-- > self->count;) {
        self->slots[i] = tim3_alloc (sizeof *self->slots[i]);
        self->slots[i]->slot = i;
        self->due_us[i] = UINT64_MAX;
        self->spare[self->spare_count++] = i;
    }
    self->count = count;
}

tim3_request_t *tim3_requests_take (tim3_requests_t *self)
{
    if (self->spare_count == 0)
        grow (self);
    tim3_request_t *request = self->slots[self->spare[--self->spare_count]];
    tim3_buffer_t kept = request->message;
    tim3_buffer_clear (&kept);
    *request = (tim3_request_t){.slot = request->slot, .message = kept, .rest = request->rest};
    request->id = ++self->sequence << SLOT_BITS | request->slot;
    return request;
}

void tim3_requests_set_due (tim3_requests_t *self, const tim3_request_t *request)
{
    bool sooner = request->deadline_us && request->deadline_us < request->send_us;
    self->due_us[request->slot] = sooner ? request->deadline_us : request->send_us;
}

tim3_request_rest_t *tim3_requests_rest (tim3_request_t *request)
{
    if (!request->rest)
        request->rest = tim3_alloc (sizeof *request->rest);
    return request->rest;
}

void tim3_requests_end (tim3_requests_t *self, tim3_request_t *request)
{
    request->id = 0;
    self->due_us[request->slot] = UINT64_MAX;
    self->spare[self->spare_count++] = request->slot;
}

tim3_request_t *tim3_requests_find (const tim3_requests_t *self, uint64_t id)
{
    uint32_t slot = (uint32_t) (id & (SLOTS_MOST - 1));
    if (id == 0 || slot >= self->count || self->slots[slot]->id != id)
        return NULL;
    return self->slots[slot];
}
