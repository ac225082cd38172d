/*  waiters.c - who waits for the outcome of a transaction.

    A hash table of groups, one for each transaction, with the one who waits in it: there are seldom more. Groups that end are kept
    for the next ones, so that an agent at its ordinary work allocates nothing.
*/
#include "agent/waiters.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS_LEAST 64
/*  Groups kept to be used again: as many transactions as are usually waited for at once.  */
#define SPARE_MOST 4096

typedef struct group group_t;
struct group {
    group_t *next; /* of the bucket, or of the spare ones */
    tim3_id_t tx;
    uint64_t added_us;
    uint32_t count;
    tim3_return_t first;
    tim3_return_t *more; /* count - 1 of them; NULL: there have never been any */
};

struct tim3_waiters {
    group_t **buckets; /* a power of two of them */
    size_t bucket_count;
    size_t group_count;
    group_t *spare;
    size_t spare_count;
    size_t count;
    size_t most;
    bool latest_alone;
};

static group_t **new_buckets (size_t count)
{
    return tim3_alloc (count * sizeof (group_t *));
}

tim3_waiters_t *tim3_waiters_new (size_t most, bool latest_alone)
{
    tim3_waiters_t *self = tim3_alloc (sizeof *self);
    self->most = most;
    self->latest_alone = latest_alone;
    self->bucket_count = BUCKETS_LEAST;
    self->buckets = new_buckets (BUCKETS_LEAST);
    return self;
}

/*  A tx is hashed again, for whoever asks can choose parts of it.  */
static group_t **bucket_of (const tim3_waiters_t *self, const tim3_id_t *tx)
{
    return &self->buckets[tim3_hash64 (tx, sizeof *tx, 0) & (self->bucket_count - 1)];
}

/*  The pointer to the group of a tx; it holds NULL when there is none.  */
static group_t **find (const tim3_waiters_t *self, const tim3_id_t *tx)
{
    group_t **place = bucket_of (self, tx);
    while (*place && !tim3_id_equal (&(*place)->tx, tx))
        place = &(*place)->next;
    return place;
}

static tim3_return_t *at (group_t *group, uint32_t i)
{
    return i == 0 ? &group->first : &group->more[i - 1];
}

static void free_group (group_t *group)
{
    free (group->more);
    free (group);
}

static void drop_group (tim3_waiters_t *self, group_t **place)
{
    group_t *group = *place;
    *place = group->next;
    self->group_count--;
    self->count -= group->count;
    if (self->spare_count == SPARE_MOST || group->more) {
        free_group (group);
        return;
    }
    group->next = self->spare;
    self->spare = group;
    self->spare_count++;
}

static void free_groups (group_t *group)
{
    while (group) {
        group_t *next = group->next;
        free_group (group);
        group = next;
    }
}

void tim3_waiters_destroy (tim3_waiters_t **self)
{
    if (!*self)
        return;
    for (size_t i = 0; i < (*self)->bucket_count; i++)
        free_groups ((*self)->buckets[i]);
    free_groups ((*self)->spare);
    free ((*self)->buckets);
    free (*self);
    *self = NULL;
}

static bool same_asker (const tim3_return_t *a, const tim3_return_t *b)
{
    return a->type == b->type && a->peer_size == b->peer_size && a->via_size == b->via_size &&
           memcmp (a->peer, b->peer, a->peer_size) == 0 && memcmp (a->via, b->via, a->via_size) == 0;
}

static bool replace (const tim3_waiters_t *self, group_t *group, const tim3_return_t *to)
{
    for (uint32_t i = 0; i < group->count; i++)
        if (same_asker (at (group, i), to) && (self->latest_alone || at (group, i)->id == to->id)) {
            *at (group, i) = *to;
            return true;
        }
    return false;
}

static void grow (tim3_waiters_t *self)
{
    group_t **old = self->buckets;
    size_t had = self->bucket_count;
    self->bucket_count = 2 * had;
    self->buckets = new_buckets (self->bucket_count);
    for (size_t i = 0; i < had; i++)
        while (old[i]) {
            group_t *group = old[i];
            group_t **bucket = bucket_of (self, &group->tx);
            old[i] = group->next;
            group->next = *bucket;
            *bucket = group;
        }
    free (old);
}

static group_t *take_spare (tim3_waiters_t *self)
{
    group_t *group = self->spare;
    if (!group)
        return tim3_alloc (sizeof *group);
    self->spare = group->next;
    self->spare_count--;
    return group;
}

static group_t *add_group (tim3_waiters_t *self, const tim3_id_t *tx)
{
    if (self->group_count == self->bucket_count)
        grow (self);
    group_t *group = take_spare (self);
    group_t **bucket = bucket_of (self, tx);
    group->tx = *tx;
    group->count = 0;
    group->next = *bucket;
    *bucket = group;
    self->group_count++;
    return group;
}

static void add_return (group_t *group, const tim3_return_t *to)
{
    if (group->count > 0) {
        group->more = realloc (group->more, group->count * sizeof *group->more);
        TIM3_ASSERT (group->more);
    }
    *at (group, group->count++) = *to;
}

bool tim3_waiters_add (tim3_waiters_t *self, const tim3_id_t *tx, const tim3_return_t *to, uint64_t now_us)
{
    group_t *group = *find (self, tx);
    if (group && replace (self, group, to))
        return true;
    if (self->count >= self->most || (group && group->count == TIM3_WAITERS_PER_TX))
        return false;
    if (!group)
        group = add_group (self, tx);
    group->added_us = now_us;
    add_return (group, to);
    self->count++;
    return true;
}

bool tim3_waiters_take (tim3_waiters_t *self, const tim3_id_t *tx, uint16_t type, tim3_return_t *to)
{
    group_t **place = find (self, tx);
    group_t *group = *place;
    for (uint32_t i = 0; group && i < group->count; i++) {
        if (at (group, i)->type != type)
            continue;
        *to = *at (group, i);
        *at (group, i) = *at (group, --group->count);
        self->count--;
        if (group->count == 0)
            drop_group (self, place);
        return true;
    }
    return false;
}

void tim3_waiters_expire (tim3_waiters_t *self, uint64_t before_us)
{
    for (size_t i = 0; i < self->bucket_count && self->group_count > 0; i++)
        for (group_t **place = &self->buckets[i]; *place;)
            if ((*place)->added_us < before_us)
                drop_group (self, place);
            else
                place = &(*place)->next;
}

size_t tim3_waiters_count (const tim3_waiters_t *self)
{
    return self->count;
}
