/*  tim3ctl_fsck_unused.c - sets stores aside that no agent uses: what is left of another critical path, or of another number of
    shards, that was tried once and set back.

    Only what holds nothing is set aside. All else is then checked as if it were not there, so a store that was lost, and made anew
    under such a configuration, is still missed.
*/
#include "tim3ctl_fsck.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tim3_fsck_is_empty (const tim3_fsck_store_t *store)
{
    const tim3_table_row_t *table;
    for (unsigned i = 0; (table = tim3_table_at (i)); i++)
        if (store->rows[table->number] > 0 && strcmp (table->owner, "all") != 0)
            return false;
    return tim3_fsck_last_event (store) == 0;
}

/*  A shared store is as empty as all that is in it.  */
static bool holds_nothing (const tim3_fsck_t *self, const tim3_fsck_store_t *store)
{
    bool empty = tim3_fsck_is_empty (store);
    for (unsigned i = 0; store->shared && i < self->store_count; i++)
        if (self->stores[i].shared == store->shared)
            empty = empty && tim3_fsck_is_empty (&self->stores[i]);
    return empty;
}

/*  Which other store shows that no agent uses this one, and how; NULL when none does. A shard is only looked at by its asset's
    first, which there is under every configuration.  */
static const tim3_fsck_store_t *find_used (const tim3_fsck_t *self, const tim3_fsck_store_t *store, char *how,
                                           size_t size)
{
    const tim3_address_t *address = &store->address;
    const tim3_fsck_store_t *locks =
        tim3_fsck_store (self, TIM3_ROLE_LOCK_MANAGER, address->asset, address->shard);
    const tim3_fsck_store_t *first = tim3_fsck_store (self, address->role, address->asset, 0);
    if (!tim3_role_is_asset_ledger (address->role))
        return NULL;
    if (!store->shared && locks && locks->shared) {
        snprintf (how, size, "the store of %s is that of both ledgers", locks->meta.name);
        return locks;
    }
    if (!first || first->address.shard == address->shard ||
        tim3_fsck_shards (first) == tim3_fsck_shards (store))
        return NULL;
    snprintf (how, size, "it is one of %u shards, but %s is one of %u", tim3_fsck_shards (store),
              first->meta.name, tim3_fsck_shards (first));
    return first;
}

/*  Tells of a store that no agent uses. False when it is to be checked as all others.  */
static bool is_unused (tim3_fsck_t *self, const tim3_fsck_store_t *store)
{
    const tim3_fsck_place_t whole = {.store = store};
    char how[256];
    const tim3_fsck_store_t *used = find_used (self, store, how, sizeof how);
    if (!used)
        return false;
    if (!holds_nothing (self, store)) {
        if (used->shared && !store->shared)
            tim3_fsck_problem (self, &whole, "no agent uses this store, which is not empty: %s", how);
        return false;
    }
    if (!store->shared || store->closes_shared)
        tim3_fsck_unused (self, "%s holds nothing, and no agent uses it: %s. Remove it: rm -r '%s/store/%s'",
                          store->meta.name, how, self->data, store->meta.name);
    return true;
}

void tim3_fsck_set_aside (tim3_fsck_t *self)
{
    tim3_fsck_store_t *sorted = tim3_alloc ((self->store_count + 1) * sizeof *sorted);
    bool *unused = tim3_alloc ((self->store_count + 1) * sizeof *unused);
    unsigned used = 0;
    for (unsigned i = 0; i < self->store_count; i++) {
        unused[i] = is_unused (self, &self->stores[i]);
        used += !unused[i];
    }
    for (unsigned i = 0, next = 0, last = used; i < self->store_count; i++)
        sorted[unused[i] ? last++ : next++] = self->stores[i];
    self->unused_count = self->store_count - used;
    self->store_count = used;
    free (self->stores);
    self->stores = sorted;
    free (unused);
}
