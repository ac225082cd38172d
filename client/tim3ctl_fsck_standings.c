/*  tim3ctl_fsck_standings.c - what the router remembers of each ledger's store against the store: whether it is an older
    copy.  */
#include "tim3ctl_fsck.h"

#include <string.h>

static const tim3_fsck_store_t *store_named (const tim3_fsck_t *fsck, const char *name)
{
    for (unsigned i = 0; i < fsck->store_count; i++)
        if (strcmp (fsck->stores[i].meta.name, name) == 0)
            return &fsck->stores[i];
    return NULL;
}

static uint64_t counter (const tim3_fsck_store_t *store, const char *name)
{
    tim3_fsck_place_t at = {store, TIM3_TABLE_COUNTER, tim3_key_text (name)};
    tim3_counter_t found = {0};
    tim3_fsck_read (&at, &found);
    return found.value;
}

static void no_more_than (tim3_fsck_t *fsck, const tim3_fsck_place_t *at, const char *what, uint64_t told,
                          uint64_t found)
{
    if (told > found)
        tim3_fsck_problem (fsck, at, "%s is %llu, but the store has %llu; was an old copy restored?", what,
                           (unsigned long long) told, (unsigned long long) found);
}

static void check_row (tim3_fsck_t *fsck, const tim3_fsck_place_t *at, const tim3_standing_item_t *item)
{
    const tim3_fsck_store_t *store = store_named (fsck, (const char *) at->key.data);
    if (!store)
        return;
    if (memcmp (&item->lineage, &store->meta.lineage, sizeof item->lineage) != 0)
        tim3_fsck_problem (fsck, at, "lineage is that of another store than the one here; was it made anew?");
    no_more_than (fsck, at, "commits", item->commits, tim3_store_commits (store->store));
    no_more_than (fsck, at, "event_seq", item->event_seq, counter (store, "event_seq"));
    no_more_than (fsck, at, "acked", item->acked, counter (store, "event_seq"));
}

/*  A ledger does nothing before the router has taken note of it.  */
static bool has_worked (const tim3_fsck_store_t *store)
{
    for (unsigned table = 0; table < 256; table++)
        if (table != TIM3_TABLE_META && table != TIM3_TABLE_COUNTER && store->rows[table] > 0)
            return tim3_role_is_ledger (store->address.role);
    return false;
}

void tim3_fsck_standings (tim3_fsck_t *fsck, const tim3_fsck_store_t *router)
{
    tim3_fsck_place_t at = {router, TIM3_TABLE_STANDING, tim3_key_empty ()};
    tim3_standing_item_t item;
    while (tim3_fsck_next (fsck, &at, &item))
        check_row (fsck, &at, &item);
    if (router->rows[TIM3_TABLE_STANDING] == 0) {
        tim3_fsck_unchecked (fsck, "whether a ledger is an older copy: the router has met none yet");
        return;
    }
    for (unsigned i = 0; i < fsck->store_count; i++) {
        at.key = tim3_key_text (fsck->stores[i].meta.name);
        if (has_worked (&fsck->stores[i]) && !tim3_fsck_has (router, TIM3_TABLE_STANDING, &at.key))
            tim3_fsck_problem (fsck, &at,
                               "the ledger has worked, but the router does not know how far it has come");
    }
}
