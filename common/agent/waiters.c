/*  waiters.c - who waits for the outcome of a transaction.  */
#include "agent/waiters.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

typedef struct {
    tim3_id_t tx;
    uint64_t added_us;
    uint32_t count;
    tim3_return_t *to; /* count of them */
    UT_hash_handle hh;
} group_t;

struct tim3_waiters {
    group_t *groups;
    size_t count;
    size_t most;
};

tim3_waiters_t *tim3_waiters_new (size_t most)
{
    tim3_waiters_t *self = tim3_alloc (sizeof *self);
    self->most = most;
    return self;
}

static void drop_group (tim3_waiters_t *self, group_t *group)
{
    HASH_DEL (self->groups, group);
    self->count -= group->count;
    free (group->to);
    free (group);
}

void tim3_waiters_destroy (tim3_waiters_t **self)
{
    group_t *group;
    group_t *next;
    if (!*self)
        return;
    HASH_ITER (hh, (*self)->groups, group, next)
        drop_group (*self, group);
    free (*self);
    *self = NULL;
}

static group_t *find (const tim3_waiters_t *self, const tim3_id_t *tx)
{
    group_t *group;
    HASH_FIND (hh, self->groups, tx, sizeof *tx, group);
    return group;
}

static bool same_asker (const tim3_return_t *a, const tim3_return_t *b)
{
    return a->type == b->type && a->peer_size == b->peer_size && a->via_size == b->via_size
           && memcmp (a->peer, b->peer, a->peer_size) == 0 && memcmp (a->via, b->via, a->via_size) == 0;
}

static bool replace (group_t *group, const tim3_return_t *to)
{
    for (uint32_t i = 0; i < group->count; i++)
        if (same_asker (&group->to[i], to)) {
            group->to[i] = *to;
            return true;
        }
    return false;
}

static group_t *add_group (tim3_waiters_t *self, const tim3_id_t *tx)
{
    group_t *group = tim3_alloc (sizeof *group);
    group->tx = *tx;
    HASH_ADD (hh, self->groups, tx, sizeof group->tx, group);
    return group;
}

bool tim3_waiters_add (tim3_waiters_t *self, const tim3_id_t *tx, const tim3_return_t *to, uint64_t now_us)
{
    group_t *group = find (self, tx);
    if (group && replace (group, to))
        return true;
    if (self->count >= self->most || (group && group->count == TIM3_WAITERS_PER_TX))
        return false;
    if (!group)
        group = add_group (self, tx);
    group->added_us = now_us;
    group->to = realloc (group->to, (group->count + 1) * sizeof *group->to);
    TIM3_ASSERT (group->to);
    group->to[group->count++] = *to;
    self->count++;
    return true;
}

bool tim3_waiters_take (tim3_waiters_t *self, const tim3_id_t *tx, uint16_t type, tim3_return_t *to)
{
    group_t *group = find (self, tx);
    for (uint32_t i = 0; group && i < group->count; i++) {
        if (group->to[i].type != type)
            continue;
        *to = group->to[i];
        group->to[i] = group->to[--group->count];
        self->count--;
        if (group->count == 0)
            drop_group (self, group);
        return true;
    }
    return false;
}

void tim3_waiters_expire (tim3_waiters_t *self, uint64_t before_us)
{
    group_t *group;
    group_t *next;
    HASH_ITER (hh, self->groups, group, next)
        if (group->added_us < before_us)
            drop_group (self, group);
}

size_t tim3_waiters_count (const tim3_waiters_t *self)
{
    return self->count;
}
