/*  cause.c - what a host was handed, as the journal keeps it.  */
#include "agent/cause.h"
#include "base/log.h"

#include <string.h>

#define FRAME_HEAD 7 /* kind, answer, size of peer, size of data */

static size_t numbers_of (tim3_cause_kind_t kind)
{
    switch (kind) {
    case TIM3_CAUSE_LIFE:
        return 3;
    case TIM3_CAUSE_RENEW:
        return 4;
    case TIM3_CAUSE_BEGIN:
        return 1;
    default:
        return 0;
    }
}

size_t tim3_cause_head (const tim3_cause_t *cause, uint8_t head[TIM3_CAUSE_HEAD_MAX])
{
    uint64_t numbers[4] = {cause->now_us, cause->number, cause->digest, cause->accepted};
    size_t size = numbers_of (cause->kind) * sizeof numbers[0];
    head[0] = (uint8_t) cause->kind;
    memcpy (head + 1, numbers, size);
    if (cause->kind != TIM3_CAUSE_FRAME)
        return 1 + size;
    uint32_t length = (uint32_t) cause->size;
    TIM3_ASSERT (cause->peer_size <= UINT8_MAX && cause->size <= UINT32_MAX);
    head[1] = cause->answer;
    head[2] = (uint8_t) cause->peer_size;
    memcpy (head + 3, &length, sizeof length);
    return FRAME_HEAD;
}

static ssize_t read_frame (const uint8_t *data, size_t size, tim3_cause_t *cause)
{
    uint32_t length;
    if (size < FRAME_HEAD)
        return -1;
    memcpy (&length, data + 3, sizeof length);
    cause->answer = data[1] != 0;
    cause->peer_size = data[2];
    cause->size = length;
    cause->peer = data + FRAME_HEAD;
    cause->data = cause->peer + cause->peer_size;
    size_t whole = FRAME_HEAD + cause->peer_size + cause->size;
    return whole <= size ? (ssize_t) whole : -1;
}

ssize_t tim3_cause_read (const uint8_t *data, size_t size, tim3_cause_t *cause)
{
    uint64_t numbers[4] = {0};
    if (size == 0)
        return 0;
    *cause = (tim3_cause_t){.kind = (tim3_cause_kind_t) data[0]};
    if (cause->kind == TIM3_CAUSE_FRAME)
        return read_frame (data, size, cause);
    size_t bytes = numbers_of (cause->kind) * sizeof numbers[0];
    bool known = bytes > 0 || cause->kind == TIM3_CAUSE_TICK || cause->kind == TIM3_CAUSE_LEAVE;
    if (!known || size < 1 + bytes)
        return -1;
    memcpy (numbers, data + 1, bytes);
    cause->now_us = numbers[0];
    cause->number = numbers[1];
    cause->digest = numbers[2];
    cause->accepted = numbers[3];
    return (ssize_t) (1 + bytes);
}
