/*  disk.c - sorted rows per table, and two lists of how to undo: the open batch and the commit under way.  */
#include "disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLES 64

typedef struct {
    uint32_t value_size;
    uint16_t key_size;
    uint8_t data[]; /* the key, then the value */
} row_t;

typedef struct {
    row_t **rows;
    size_t count;
    size_t capacity;
} table_t;

/*  One change: what was there, and what is there now; NULL for nothing.  */
typedef struct {
    tim3_table_t table;
    row_t *had;
    row_t *has;
} change_t;

typedef struct {
    change_t *items;
    size_t count;
    size_t capacity;
} batch_t;

typedef struct {
    tim3_store_t base;
    table_t tables[TABLES];
    batch_t open;
    batch_t committing;
    bool full;
    bool fail_commit;
    uint64_t commits;
    tim3_store_t *copy;
    char copy_path[128];
} disk_t;

/*  ----------------------------------------------------------------------------------------------- rows  */

static int compare (const row_t *row, const uint8_t *key, size_t size)
{
    size_t least = row->key_size < size ? row->key_size : size;
    int order = memcmp (row->data, key, least);
    return order ? order : (row->key_size > size) - (row->key_size < size);
}

/*  Position of the first row that is not before the key; there says whether it is the key's own.  */
static size_t find (const table_t *table, const uint8_t *key, size_t size, bool *there)
{
    size_t low = 0;
    size_t high = table->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare (table->rows[middle], key, size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *there = low < table->count && compare (table->rows[low], key, size) == 0;
    return low;
}

static void *grow (void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity ? 2 * *capacity : 16;
    items = realloc (items, *capacity * size);
    if (!items)
        abort ();
    return items;
}

/*  Puts a row in the place of its key, or takes it out when row is NULL. Returns what was there.  */
static row_t *exchange (table_t *table, const uint8_t *key, size_t size, row_t *row)
{
    bool there;
    size_t at = find (table, key, size, &there);
    row_t *had = there ? table->rows[at] : NULL;
    if (there && row) {
        table->rows[at] = row;
    } else if (there) {
        table->count--;
        memmove (table->rows + at, table->rows + at + 1, (table->count - at) * sizeof *table->rows);
    } else if (row) {
        table->rows = grow (table->rows, table->count, &table->capacity, sizeof *table->rows);
        memmove (table->rows + at + 1, table->rows + at, (table->count - at) * sizeof *table->rows);
        table->rows[at] = row;
        table->count++;
    }
    return had;
}

static row_t *new_row (const tim3_key_t *key, const uint8_t *value, size_t size)
{
    row_t *row = malloc (sizeof *row + key->size + size);
    if (!row)
        abort ();
    row->key_size = key->size;
    row->value_size = (uint32_t) size;
    memcpy (row->data, key->data, key->size);
    memcpy (row->data + key->size, value, size);
    return row;
}

/*  -------------------------------------------------------------------------------------------- batches  */

static void note (disk_t *self, tim3_table_t table, row_t *had, row_t *has)
{
    batch_t *open = &self->open;
    open->items = grow (open->items, open->count, &open->capacity, sizeof *open->items);
    open->items[open->count++] = (change_t){table, had, has};
}

static void undo (disk_t *self, batch_t *batch)
{
    while (batch->count > 0) {
        change_t *change = &batch->items[--batch->count];
        const row_t *key = change->has ? change->has : change->had;
        exchange (&self->tables[change->table], key->data, key->key_size, change->had);
        free (change->has);
    }
}

static void forget (batch_t *batch)
{
    while (batch->count > 0)
        free (batch->items[--batch->count].had);
}

/*  -------------------------------------------------------------------------------------- the interface  */

static bool may_change (disk_t *self)
{
    if (self->full && !self->base.error)
        self->base.error = TIM3_STORE_FULL;
    return !self->base.error;
}

static bool get (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key, const uint8_t **value,
                 size_t *size)
{
    disk_t *self = (disk_t *) base;
    bool there;
    size_t at = find (&self->tables[table], key->data, key->size, &there);
    if (base->error || !there)
        return false;
    const row_t *row = self->tables[table].rows[at];
    *value = row->data + row->key_size;
    *size = row->value_size;
    return true;
}

static void put (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key, const uint8_t *value,
                 size_t size)
{
    disk_t *self = (disk_t *) base;
    if (!may_change (self))
        return;
    row_t *row = new_row (key, value, size);
    note (self, table, exchange (&self->tables[table], key->data, key->size, row), row);
}

static void delete (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key)
{
    disk_t *self = (disk_t *) base;
    if (!may_change (self))
        return;
    row_t *had = exchange (&self->tables[table], key->data, key->size, NULL);
    if (had)
        note (self, table, had, NULL);
}

static bool seek (tim3_store_t *base, tim3_table_t table, tim3_seek_t how, tim3_key_t *key,
                  const uint8_t **value, size_t *size)
{
    disk_t *self = (disk_t *) base;
    bool there;
    size_t at = find (&self->tables[table], key->data, key->size, &there);
    if (base->error)
        return false;
    if (how == TIM3_SEEK_GT)
        at += there;
    else if (how == TIM3_SEEK_LT || (how == TIM3_SEEK_LE && !there))
        at--; /* wraps below the first: no row then */
    if (at >= self->tables[table].count)
        return false;
    const row_t *row = self->tables[table].rows[at];
    key->size = row->key_size;
    memcpy (key->data, row->data, row->key_size);
    *value = row->data + row->key_size;
    *size = row->value_size;
    return true;
}

static int commit (tim3_store_t *base)
{
    disk_t *self = (disk_t *) base;
    if (self->open.count == 0)
        return 0;
    forget (&self->committing);
    self->commits++;
    batch_t done = self->committing;
    self->committing = self->open;
    self->open = done;
    if (self->fail_commit)
        base->error = TIM3_STORE_IO;
    self->fail_commit = false;
    return base->error ? -1 : 0;
}

static void abort_batch (tim3_store_t *base)
{
    undo ((disk_t *) base, &((disk_t *) base)->open);
}

static bool dirty (tim3_store_t *base)
{
    return ((disk_t *) base)->open.count > 0;
}

static void usage (tim3_store_t *base, uint64_t *used, uint64_t *most)
{
    (void) base;
    *used = 0;
    *most = 0;
}

static void close_disk (tim3_store_t *base)
{
    disk_t *self = (disk_t *) base;
    undo (self, &self->open);
    forget (&self->committing);
    for (int i = 0; i < TABLES; i++) {
        for (size_t j = 0; j < self->tables[i].count; j++)
            free (self->tables[i].rows[j]);
        free (self->tables[i].rows);
    }
    free (self->open.items);
    free (self->committing.items);
    tim3_store_close (&self->copy);
    free (self);
}

static uint64_t commits (tim3_store_t *base)
{
    return ((disk_t *) base)->commits;
}

static row_t *same_row (const row_t *row)
{
    size_t size = sizeof *row + row->key_size + row->value_size;
    row_t *copy = malloc (size);
    if (!copy)
        abort ();
    memcpy (copy, row, size);
    return copy;
}

/*  Done at once. The commit that is under way is in it: if it is lost, nobody hears of the copy.  */
static int copy_begin (tim3_store_t *base, const char *path, char *why, size_t why_size)
{
    disk_t *self = (disk_t *) base;
    (void) why;
    (void) why_size;
    self->copy = sim_disk_new ();
    snprintf (self->copy_path, sizeof self->copy_path, "%s", path);
    disk_t *copy = (disk_t *) self->copy;
    copy->commits = self->commits;
    for (int i = 0; i < TABLES; i++) {
        const table_t *from = &self->tables[i];
        table_t *to = &copy->tables[i];
        for (; to->count < from->count; to->count++) {
            to->rows = grow (to->rows, to->count, &to->capacity, sizeof *to->rows);
            to->rows[to->count] = same_row (from->rows[to->count]);
        }
    }
    return 0;
}

static void copy_look (tim3_store_t *base, tim3_store_copy_t *copy)
{
    if (((disk_t *) base)->copy)
        copy->state = TIM3_COPY_STATE_COMPLETE;
}

static void copy_end (tim3_store_t *base, bool keep)
{
    (void) keep;
    tim3_store_close (&((disk_t *) base)->copy);
}

tim3_store_t *sim_disk_take_copy (tim3_store_t *store, const char *path)
{
    disk_t *self = (disk_t *) store;
    if (strncmp (self->copy_path, path, strlen (path)) != 0)
        return NULL;
    tim3_store_t *copy = self->copy;
    self->copy = NULL;
    return copy;
}

static const tim3_store_ops_t s_ops = {.get = get,
                                       .put = put,
                                       .del = delete,
                                       .seek = seek,
                                       .commit = commit,
                                       .abort = abort_batch,
                                       .dirty = dirty,
                                       .usage = usage,
                                       .close = close_disk,
                                       .commits = commits,
                                       .copy_begin = copy_begin,
                                       .copy_look = copy_look,
                                       .copy_end = copy_end};

tim3_store_t *sim_disk_new (void)
{
    disk_t *self = tim3_alloc (sizeof *self);
    self->base.ops = &s_ops;
    return &self->base;
}

void sim_disk_set_full (tim3_store_t *store, bool full)
{
    ((disk_t *) store)->full = full;
}

void sim_disk_fail_commit (tim3_store_t *store)
{
    ((disk_t *) store)->fail_commit = true;
}

void sim_disk_settle (tim3_store_t *store)
{
    forget (&((disk_t *) store)->committing);
}

void sim_disk_crash (tim3_store_t *store, bool got_through)
{
    disk_t *self = (disk_t *) store;
    undo (self, &self->open);
    if (got_through)
        forget (&self->committing);
    else {
        self->commits -= self->committing.count > 0;
        undo (self, &self->committing);
    }
    tim3_store_close (&self->copy);
    store->error = TIM3_STORE_OK;
    self->fail_commit = false;
}

size_t sim_disk_count (const tim3_store_t *store, tim3_table_t table)
{
    return ((const disk_t *) store)->tables[table].count;
}
