/*  store_view.c - one of several agents' sight of a store that they share.

    It sees its own tables and no others'. Those that every agent has (events that wait, counters, what it saw of the router) are kept apart by
    a byte in front of each key: the agent's role.
*/
#include "base/address.h"
#include "base/log.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#define TABLES 256

typedef struct {
    tim3_store_t base; /* first: the interface's pointer is ours */
    tim3_store_t *shared;
    uint8_t role;
    bool own[TABLES];
} view_t;

bool tim3_store_view_is_apart (tim3_table_t table)
{
    return table == TIM3_TABLE_OUTBOX || table == TIM3_TABLE_COUNTER || table == TIM3_TABLE_ROUTER_SEEN;
}

/*  As the shared store has it: the same, or one that is made in the room given.  */
static const tim3_key_t *key_below (const view_t *self, tim3_table_t table, const tim3_key_t *key,
                                    tim3_key_t *room)
{
    if (!tim3_store_view_is_apart (table))
        return key;
    TIM3_ASSERT (key->size < TIM3_KEY_MAX);
    room->data[0] = self->role;
    memcpy (room->data + 1, key->data, key->size);
    room->size = (uint16_t) (key->size + 1);
    return room;
}

/*  What went wrong below, through whichever view, has gone wrong for all.  */
static bool failed (view_t *self)
{
    self->base.error = self->shared->error;
    return self->base.error != TIM3_STORE_OK;
}

static bool view_get (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key, const uint8_t **value,
                      size_t *size)
{
    view_t *self = (view_t *) base;
    tim3_key_t room;
    const tim3_key_t *below = key_below (self, table, key, &room);
    bool there = self->own[table] && self->shared->ops->get (self->shared, table, below, value, size);
    return !failed (self) && there;
}

static void view_fetch (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key)
{
    view_t *self = (view_t *) base;
    tim3_key_t room;
    tim3_store_fetch (self->shared, table, key_below (self, table, key, &room));
}

static void view_put (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key, const uint8_t *value,
                      size_t size)
{
    view_t *self = (view_t *) base;
    tim3_key_t room;
    const tim3_key_t *below = key_below (self, table, key, &room);
    TIM3_ASSERT (self->own[table]);
    self->shared->ops->put (self->shared, table, below, value, size);
    failed (self);
}

static void view_delete (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key)
{
    view_t *self = (view_t *) base;
    tim3_key_t room;
    const tim3_key_t *below = key_below (self, table, key, &room);
    TIM3_ASSERT (self->own[table]);
    self->shared->ops->del (self->shared, table, below);
    failed (self);
}

static bool view_seek (tim3_store_t *base, tim3_table_t table, tim3_seek_t how, tim3_key_t *key,
                       const uint8_t **value, size_t *size)
{
    view_t *self = (view_t *) base;
    tim3_key_t room;
    tim3_key_t below = *key_below (self, table, key, &room);
    bool there = self->own[table] && self->shared->ops->seek (self->shared, table, how, &below, value, size);
    if (failed (self) || !there)
        return false;
    if (!tim3_store_view_is_apart (table)) {
        *key = below;
        return true;
    }
    if (below.size == 0 || below.data[0] != self->role)
        return false; /* it belongs to another */
    key->size = (uint16_t) (below.size - 1);
    memcpy (key->data, below.data + 1, key->size);
    return true;
}

static int view_commit (tim3_store_t *base)
{
    view_t *self = (view_t *) base;
    int rc = tim3_store_commit (self->shared);
    failed (self);
    return rc;
}

static void view_abort (tim3_store_t *base)
{
    view_t *self = (view_t *) base;
    tim3_store_abort (self->shared);
    failed (self);
}

static bool view_dirty (tim3_store_t *base)
{
    return tim3_store_dirty (((view_t *) base)->shared);
}

static void view_usage (tim3_store_t *base, uint64_t *used, uint64_t *most)
{
    tim3_store_usage (((view_t *) base)->shared, used, most);
}

static uint64_t view_commits (tim3_store_t *base)
{
    return tim3_store_commits (((view_t *) base)->shared);
}

static int view_copy_begin (tim3_store_t *base, const char *path, char *why, size_t why_size)
{
    return tim3_store_copy_begin (((view_t *) base)->shared, path, why, why_size);
}

static void view_copy_look (tim3_store_t *base, tim3_store_copy_t *copy)
{
    tim3_store_copy_look (((view_t *) base)->shared, copy);
}

static void view_copy_end (tim3_store_t *base, bool keep)
{
    tim3_store_copy_end (((view_t *) base)->shared, keep);
}

static void view_close (tim3_store_t *base)
{
    free (base);
}

static const tim3_store_ops_t s_ops = {.get = view_get,
                                       .fetch = view_fetch,
                                       .put = view_put,
                                       .del = view_delete,
                                       .seek = view_seek,
                                       .commit = view_commit,
                                       .abort = view_abort,
                                       .dirty = view_dirty,
                                       .usage = view_usage,
                                       .close = view_close,
                                       .commits = view_commits,
                                       .copy_begin = view_copy_begin,
                                       .copy_look = view_copy_look,
                                       .copy_end = view_copy_end};

tim3_store_t *tim3_store_view (tim3_store_t *shared, tim3_role_t role)
{
    const tim3_table_row_t *row;
    view_t *self = tim3_alloc (sizeof *self);
    self->base.ops = &s_ops;
    self->shared = shared;
    self->role = (uint8_t) role;
    for (unsigned i = 0; (row = tim3_table_at (i)); i++)
        self->own[row->number] =
            strcmp (row->owner, "all") == 0 || strcmp (row->owner, tim3_role_name (role)) == 0;
    return &self->base;
}
