/*  memory_store.c - a sorted array of rows, and a log of how to undo what is not committed.  */
#include "memory_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    tim3_table_t table;
    tim3_key_t key;
    uint8_t *value; /* NULL, in the undo log: there was no such row */
    size_t size;
} row_t;

typedef struct {
    tim3_store_t base;
    row_t *rows;
    size_t count;
    size_t capacity;
    row_t *undo;
    size_t undo_count;
    size_t undo_capacity;
    unsigned fail_change;
    tim3_store_error_t fail_commit;
    uint64_t used;
    uint64_t most;
    uint64_t commits;
    char copy_path[512];
    int copy_state;
    bool fail_copy;
} memory_store_t;

static int compare (const row_t *row, tim3_table_t table, const tim3_key_t *key)
{
    size_t least = row->key.size < key->size ? row->key.size : key->size;
    if (row->table != table)
        return row->table < table ? -1 : 1;
    int order = memcmp (row->key.data, key->data, least);
    if (order != 0)
        return order;
    return (row->key.size > key->size) - (row->key.size < key->size);
}

/*  Position of the first row that is not before the key.  */
static size_t lower_bound (const memory_store_t *self, tim3_table_t table, const tim3_key_t *key)
{
    size_t low = 0;
    size_t high = self->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare (&self->rows[middle], table, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static row_t *find (const memory_store_t *self, tim3_table_t table, const tim3_key_t *key)
{
    size_t at = lower_bound (self, table, key);
    return at < self->count && compare (&self->rows[at], table, key) == 0 ? &self->rows[at] : NULL;
}

static void make_room (row_t **rows, size_t count, size_t *capacity)
{
    if (count < *capacity)
        return;
    *capacity = *capacity ? 2 * *capacity : 64;
    *rows = realloc (*rows, *capacity * sizeof **rows);
    if (!*rows)
        abort ();
}

/*  Gives the row of a key that value, or removes it when value is NULL. Returns what it had; value is taken over.  */
static row_t exchange (memory_store_t *self, tim3_table_t table, const tim3_key_t *key, uint8_t *value,
                       size_t size)
{
    row_t had = {.table = table, .key = *key};
    size_t at = lower_bound (self, table, key);
    row_t *row = find (self, table, key);
    if (row) {
        had.value = row->value;
        had.size = row->size;
    }
    if (!row && value) {
        make_room (&self->rows, self->count, &self->capacity);
        memmove (self->rows + at + 1, self->rows + at, (self->count++ - at) * sizeof *self->rows);
    } else if (row && !value)
        memmove (self->rows + at, self->rows + at + 1, (--self->count - at) * sizeof *self->rows);
    if (value)
        self->rows[at] = (row_t){table, *key, value, size};
    return had;
}

/*  Whether a change may be made; counts down to the one that may not.  */
static bool may_change (memory_store_t *self)
{
    if (self->base.error)
        return false;
    if (self->fail_change == 0 || --self->fail_change > 0)
        return true;
    self->base.error = TIM3_STORE_FULL;
    return false;
}

static void change (memory_store_t *self, tim3_table_t table, const tim3_key_t *key, uint8_t *value,
                    size_t size)
{
    row_t had = exchange (self, table, key, value, size);
    make_room (&self->undo, self->undo_count, &self->undo_capacity);
    self->undo[self->undo_count++] = had;
}

static bool get (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key, const uint8_t **value,
                 size_t *size)
{
    memory_store_t *self = (memory_store_t *) base;
    const row_t *row = base->error ? NULL : find (self, table, key);
    if (!row)
        return false;
    *value = row->value;
    *size = row->size;
    return true;
}

static void put (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key, const uint8_t *value,
                 size_t size)
{
    memory_store_t *self = (memory_store_t *) base;
    if (!may_change (self))
        return;
    /* a block of its own, so that a tool sees a read past the end; never NULL, for NULL means none */
    uint8_t *copy = malloc (size ? size : 1);
    if (!copy)
        abort ();
    memcpy (copy, value, size);
    change (self, table, key, copy, size);
}

static void delete (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key)
{
    memory_store_t *self = (memory_store_t *) base;
    if (may_change (self) && find (self, table, key))
        change (self, table, key, NULL, 0);
}

static bool seek (tim3_store_t *base, tim3_table_t table, tim3_seek_t how, tim3_key_t *key,
                  const uint8_t **value, size_t *size)
{
    memory_store_t *self = (memory_store_t *) base;
    size_t at = lower_bound (self, table, key);
    bool there = find (self, table, key) != NULL;
    if (base->error)
        return false;
    if (how == TIM3_SEEK_GT)
        at += there;
    else if (how == TIM3_SEEK_LT || (how == TIM3_SEEK_LE && !there))
        at--; /* wraps below the first: no row then */
    if (at >= self->count || self->rows[at].table != table)
        return false;
    *key = self->rows[at].key;
    *value = self->rows[at].value;
    *size = self->rows[at].size;
    return true;
}

static void forget_undo (memory_store_t *self)
{
    for (size_t i = 0; i < self->undo_count; i++)
        free (self->undo[i].value);
    self->undo_count = 0;
}

static int commit (tim3_store_t *base)
{
    memory_store_t *self = (memory_store_t *) base;
    tim3_store_error_t error = self->fail_commit;
    if (self->undo_count == 0)
        return 0;
    self->fail_commit = TIM3_STORE_OK;
    base->error = error;
    if (error)
        return -1;
    forget_undo (self);
    self->commits++;
    return 0;
}

static void undo_all (tim3_store_t *base)
{
    memory_store_t *self = (memory_store_t *) base;
    while (self->undo_count > 0) {
        const row_t *had = &self->undo[--self->undo_count];
        row_t now = exchange (self, had->table, &had->key, had->value, had->size);
        free (now.value);
    }
}

static bool dirty (tim3_store_t *base)
{
    return ((memory_store_t *) base)->undo_count > 0;
}

static void usage (tim3_store_t *base, uint64_t *used, uint64_t *most)
{
    *used = ((memory_store_t *) base)->used;
    *most = ((memory_store_t *) base)->most;
}

static void close_store (tim3_store_t *base)
{
    memory_store_t *self = (memory_store_t *) base;
    undo_all (base);
    for (size_t i = 0; i < self->count; i++)
        free (self->rows[i].value);
    free (self->rows);
    free (self->undo);
    free (self);
}

static uint64_t commits (tim3_store_t *base)
{
    return ((memory_store_t *) base)->commits;
}

static int copy_begin (tim3_store_t *base, const char *path, char *why, size_t why_size)
{
    memory_store_t *self = (memory_store_t *) base;
    if (self->fail_copy || self->copy_state || self->undo_count > 0) {
        snprintf (why, why_size, "no copy can begin");
        return -1;
    }
    snprintf (self->copy_path, sizeof self->copy_path, "%s", path);
    self->copy_state = TIM3_COPY_STATE_COPYING;
    return 0;
}

static void copy_look (tim3_store_t *base, tim3_store_copy_t *copy)
{
    copy->state = ((memory_store_t *) base)->copy_state;
}

static void copy_end (tim3_store_t *base, bool keep)
{
    memory_store_t *self = (memory_store_t *) base;
    if (!keep)
        self->copy_path[0] = '\0';
    self->copy_state = 0;
}

static const tim3_store_ops_t s_ops = {.get = get,
                                       .put = put,
                                       .del = delete,
                                       .seek = seek,
                                       .commit = commit,
                                       .abort = undo_all,
                                       .dirty = dirty,
                                       .usage = usage,
                                       .close = close_store,
                                       .commits = commits,
                                       .copy_begin = copy_begin,
                                       .copy_look = copy_look,
                                       .copy_end = copy_end};

const char *memory_store_copy_path (const tim3_store_t *store)
{
    return ((const memory_store_t *) store)->copy_path;
}

void memory_store_set_copy (tim3_store_t *store, int state)
{
    ((memory_store_t *) store)->copy_state = state;
}

void memory_store_fail_copy (tim3_store_t *store)
{
    ((memory_store_t *) store)->fail_copy = true;
}

tim3_store_t *memory_store_new (void)
{
    memory_store_t *self = tim3_alloc (sizeof *self);
    self->base.ops = &s_ops;
    return &self->base;
}

void memory_store_fail_change (tim3_store_t *store, unsigned nth)
{
    ((memory_store_t *) store)->fail_change = nth;
}

void memory_store_fail_commit (tim3_store_t *store, tim3_store_error_t error)
{
    ((memory_store_t *) store)->fail_commit = error;
}

void memory_store_set_usage (tim3_store_t *store, uint64_t used, uint64_t most)
{
    ((memory_store_t *) store)->used = used;
    ((memory_store_t *) store)->most = most;
}

uint64_t memory_store_digest (const tim3_store_t *store)
{
    const memory_store_t *self = (const memory_store_t *) store;
    uint64_t digest = self->count;
    for (size_t i = 0; i < self->count; i++) {
        const row_t *row = &self->rows[i];
        digest = tim3_hash64 (row->key.data, row->key.size, digest ^ row->table);
        digest = tim3_hash64 (row->value, row->size, digest);
    }
    return digest;
}

size_t memory_store_count (const tim3_store_t *store, tim3_table_t table)
{
    const memory_store_t *self = (const memory_store_t *) store;
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++)
        count += self->rows[i].table == table;
    return count;
}
