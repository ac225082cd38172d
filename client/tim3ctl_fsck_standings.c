/*  tim3ctl_fsck_standings.c - what the router remembers of each ledger's store against the store, and what each ledger
    remembers of the router's against that: whether one of them is an older copy.  */
#include "tim3ctl_fsck.h"

#include <string.h>

static const tim3_fsck_store_t *store_named (const tim3_fsck_t *fsck, const char *name)
{
    for (unsigned i = 0; i < fsck->store_count; i++)
        if (strcmp (fsck->stores[i].meta.name, name) == 0)
            return &fsck->stores[i];
    return NULL;
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
    no_more_than (fsck, at, "event_seq", item->event_seq, tim3_fsck_last_event (store));
    no_more_than (fsck, at, "acked", item->acked, tim3_fsck_last_event (store));
}

/*  A ledger does nothing before the router has taken note of it.  */
static bool has_worked (const tim3_fsck_store_t *store)
{
    return tim3_role_is_ledger (store->address.role) && !tim3_fsck_is_empty (store);
}

static void check_told (tim3_fsck_t *fsck, const tim3_fsck_store_t *router)
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

/*  The log ended no sooner than when the life before began, and has all of that.  */
static void check_lives (tim3_fsck_t *fsck, const tim3_fsck_store_t *router, uint64_t log_end)
{
    tim3_fsck_place_t at = {router, TIM3_TABLE_LIFE, tim3_key_empty ()};
    tim3_life_t life;
    uint64_t least = 1;
    while (tim3_fsck_next (fsck, &at, &life)) {
        if (life.log_end < least)
            tim3_fsck_problem (fsck, &at, "log_end is %llu, but it was %llu before",
                               (unsigned long long) life.log_end, (unsigned long long) least);
        if (life.log_end > log_end)
            tim3_fsck_problem (fsck, &at, "log_end is %llu, but the log ends at %llu",
                               (unsigned long long) life.log_end, (unsigned long long) log_end);
        least = life.log_end;
    }
}

/*  Where the log ended in that life, or ends now. False when it is none of the router's.  */
static bool end_of_life (tim3_fsck_t *fsck, const tim3_fsck_store_t *router, uint64_t number,
                         uint64_t log_end, uint64_t *end)
{
    tim3_fsck_place_t at = {router, TIM3_TABLE_LIFE, tim3_key_u64 (number)};
    tim3_life_t life;
    bool known = tim3_fsck_read (&at, &life);
    *end = tim3_fsck_next (fsck, &at, &life) ? life.log_end : log_end;
    return known;
}

static void check_seen (tim3_fsck_t *fsck, const tim3_fsck_store_t *store, const tim3_fsck_store_t *router,
                        uint64_t log_end)
{
    tim3_fsck_place_t at = {store, TIM3_TABLE_ROUTER_SEEN, tim3_key_text ("router")};
    tim3_router_seen_t seen;
    uint64_t end;
    if (!tim3_fsck_read (&at, &seen)) {
        if (has_worked (store))
            tim3_fsck_problem (fsck, &at, "the ledger has worked, but does not know what it saw of the router");
        return;
    }
    no_more_than (fsck, &at, "heard", seen.heard, tim3_store_commits (store->store));
    if (!end_of_life (fsck, router, seen.life, log_end, &end))
        tim3_fsck_problem (
            fsck, &at,
            "life is %llu, which the router's store does not know; is one of them an older copy, or of "
            "another set?",
            (unsigned long long) seen.life);
    else if (seen.log_end > end)
        tim3_fsck_problem (
            fsck, &at,
            "log_end is %llu, but the router's log ended at %llu in that life; is that an older copy?",
            (unsigned long long) seen.log_end, (unsigned long long) end);
}

void tim3_fsck_standings (tim3_fsck_t *fsck, const tim3_fsck_store_t *router, uint64_t log_end)
{
    check_told (fsck, router);
    check_lives (fsck, router, log_end);
    for (unsigned i = 0; i < fsck->store_count; i++)
        check_seen (fsck, &fsck->stores[i], router, log_end);
}
