/*  past.c - a store as it was. What checkpoints wrote over is laid over the environment, the newest first, so that
    the oldest value is what is seen.  */
#include "store/past.h"
#include "store/journal.h"
#include "store/store_lmdb.h"
#include "store/undo.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tim3_past {
    tim3_store_t *store;
    tim3_store_t *below; /* the environment */
    tim3_checkpoint_t newest;
    int directory;
    tim3_checkpoint_t begin;
    uint64_t taken_in; /* last record that the store holds besides */
    uint64_t begins_us;
    /* of the record at hand */
    uint64_t digest;
    tim3_past_take_fn *take;
    void *context;
};

/*  A key that is neither then nor now needs no row that hides it: without this each search would walk past all
    that came and went in between.  */
static void drop_what_hides_nothing (tim3_memtable_t *table, tim3_store_t *below)
{
    tim3_memcursor_t cursor = {0};
    tim3_memrow_t row;
    tim3_key_t key;
    const uint8_t *value;
    size_t value_size;
    tim3_memtable_order (table);
    while (tim3_memtable_next (table, &cursor, &row)) {
        key.size = (uint16_t) (row.key_size - 1);
        memcpy (key.data, row.key + 1, key.size);
        if (row.deleted && !below->ops->get (below, row.key[0], &key, &value, &value_size))
            tim3_memtable_forget (table, row.key, row.key_size);
    }
    tim3_memtable_commit (table);
}

static bool lay_over (const tim3_past_t *self, const tim3_undo_entry_t *entry, tim3_memtable_t *table)
{
    bool good = tim3_undo_read (self->directory, entry, tim3_undo_lay_over, table);
    tim3_memtable_commit (table);
    return good;
}

static bool go_back (tim3_past_t *self, uint64_t since_us, tim3_memtable_t *table)
{
    size_t count;
    tim3_undo_entry_t *entries = tim3_undo_list (self->directory, &self->begin, &count);
    bool good = true;
    for (size_t i = 0; good && i < count && entries[i].time_us >= since_us; i++) {
        good = lay_over (self, &entries[i], table);
        self->begin = entries[i].before;
        self->begins_us = entries[i].time_us;
    }
    free (entries);
    return good;
}

/*  ------------------------------------------------------------------- an environment in between
    An agent that stopped in the middle of a checkpoint left a part of it in the environment. What it wrote over
    is laid over it; or, where nothing was kept, what the rest of the checkpoint would have written.  */

typedef struct {
    tim3_memtable_t *table;
    uint64_t towards;
    uint64_t last;
} rest_t;

static bool take_rest (void *context, uint64_t number, const tim3_record_t *record, char *why,
                       size_t why_size)
{
    rest_t *self = context;
    tim3_memrow_t row;
    size_t position = 0;
    self->last = number;
    (void) why;
    (void) why_size;
    while (number <= self->towards && tim3_record_effect (record, &position, &row))
        tim3_undo_lay_over (self->table, &row);
    return true;
}

static bool go_on (tim3_past_t *self, tim3_memtable_t *table)
{
    char why[256];
    rest_t rest = {.table = table, .towards = self->begin.towards};
    bool good = tim3_past_play (self, take_rest, &rest, why, sizeof why) && rest.last >= rest.towards;
    tim3_memtable_commit (table);
    self->taken_in = rest.towards;
    return good;
}

/*  NULL when a file is damaged.  */
static tim3_memtable_t *make_past (tim3_past_t *self, uint64_t since_us)
{
    tim3_undo_entry_t entry;
    tim3_memtable_t *table = tim3_memtable_new ();
    bool part = self->begin.towards > 0;
    bool kept = part && tim3_undo_find (self->directory, &self->begin, &entry);
    bool good = part && !kept ? go_on (self, table)
                              : (!part || lay_over (self, &entry, table)) && go_back (self, since_us, table);
    if (good)
        drop_what_hides_nothing (table, self->store);
    else
        tim3_memtable_destroy (&table);
    return table;
}

static tim3_past_t *refuse (tim3_past_t *self, const char *path, const char *reason, char *why,
                            size_t why_size)
{
    snprintf (why, why_size, "%s: %s", path, reason);
    tim3_past_close (&self);
    return NULL;
}

tim3_past_t *tim3_past_open (const char *path, uint64_t since_us, tim3_tiers_judge_fn *judge, void *context,
                             tim3_store_meta_t *meta, bool *in_use, char *why, size_t why_size)
{
    tim3_key_t key = tim3_key_text ("checkpoint");
    tim3_store_t *lmdb = tim3_store_open_lmdb_read_only (path, meta, in_use, why, why_size);
    if (!lmdb)
        return NULL;
    tim3_past_t *self = tim3_alloc (sizeof *self);
    self->store = lmdb;
    self->directory = tim3_store_lmdb_directory (lmdb);
    if (!tim3_store_read (lmdb, TIM3_TABLE_CHECKPOINT, &key, &self->begin))
        return refuse (self, path, "this store has no journal; see agents/store in docs/CONFIG.md", why,
                       why_size);
    self->below = lmdb;
    self->newest = self->begin;
    tim3_memtable_t *over = make_past (self, since_us);
    if (!over)
        return refuse (self, path,
                       "what leads back to an earlier state is damaged; ask for less with --hours", why,
                       why_size);
    self->store = tim3_store_open_over (lmdb, over, judge, context);
    return self;
}

void tim3_past_close (tim3_past_t **self)
{
    if (!*self)
        return;
    tim3_store_close (&(*self)->store);
    free (*self);
    *self = NULL;
}

tim3_store_t *tim3_past_store (tim3_past_t *self)
{
    return self->store;
}

void tim3_past_apply (tim3_past_t *self, const tim3_record_t *record)
{
    tim3_store_over_apply (self->store, record);
}

uint64_t tim3_past_begins_us (const tim3_past_t *self)
{
    return self->begins_us;
}

uint64_t tim3_past_number (const tim3_past_t *self)
{
    return self->taken_in ? self->taken_in : self->begin.number;
}

uint64_t tim3_past_newest (const tim3_past_t *self)
{
    return self->newest.number;
}

uint64_t tim3_past_towards (const tim3_past_t *self)
{
    return self->newest.towards ? self->newest.towards : self->newest.number;
}

bool tim3_past_now (const tim3_past_t *self, tim3_memrow_t *row)
{
    tim3_key_t key = {.size = (uint16_t) (row->key_size - 1)};
    memcpy (key.data, row->key + 1, key.size);
    row->deleted = !self->below->ops->get (self->below, row->key[0], &key, &row->value, &row->value_size);
    return !row->deleted;
}

static bool take_record (void *context, uint64_t number, const uint8_t *payload, size_t size, char *why,
                         size_t why_size)
{
    tim3_past_t *self = context;
    tim3_record_t record;
    if (!tim3_record_read (payload, size, self->digest, &record)) {
        snprintf (why, why_size, "record %" PRIu64 " is whole, but its contents are not", number);
        return false;
    }
    self->digest = record.digest;
    return number <= self->taken_in || self->take (self->context, number, &record, why, why_size);
}

bool tim3_past_play (tim3_past_t *self, tim3_past_take_fn *take, void *context, char *why, size_t why_size)
{
    tim3_journal_place_t place = {self->begin.number, self->begin.checksum};
    self->take = take;
    self->context = context;
    self->digest = self->begin.digest;
    return tim3_journal_read (self->directory, &place, take_record, self, why, why_size);
}
