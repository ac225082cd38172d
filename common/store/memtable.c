/*  memtable.c - rows in an arena, found by hash, ordered by a tree, with a list of what the batch at hand changed.

    The order is asked for seldom, and of many rows never before they go. So new rows wait, each table's (a table is
    what the first byte of the keys tells apart) in a list of its own: until somebody seeks in that table, or some
    thousand have come together. Then they are sorted and put into the tree one beside the other, for a fraction of what it
    costs to look for the place of each by itself. What goes before that was never in the tree.

    The hash table is cut into shards that grow each by itself, so that none of them takes long to grow. A shard is an
    open table of (hash, row); a row is removed by moving up what comes behind it, so there is nothing to clean. Slots are in an
    arena, too; what a shard has grown out of is left there: together no more than what it has.

    What a batch changes it changes in place, and keeps the earlier value aside until the batch is kept. An abort
    takes the batch's new rows out of the hash and the tree, as if they had never been there, and gives the memory that
    the batch took to the next: however often that happens, the table does not grow.
*/
#include "store/memtable.h"
#include "base/fetch.h"
#include "base/log.h"
#include "store/memtable_tree.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define SHARDS 256
#define SLOTS_LEAST 16
#define VALUE_MAX (UINT32_MAX / 4)
#define TABLES 256
#define WAITING_MOST 4096 /* rows of one table, which are put in order in less than a millisecond */

typedef struct {
    uint64_t hash;
    tim3_memdata_t *row; /* NULL: unused */
} slot_t;

typedef struct {
    slot_t *slots;
    size_t mask; /* number of slots - 1 */
    size_t count;
    uint64_t
        life; /* of the table, in which the slots were filled: those of an earlier one count for nothing */
} shard_t;

/*  A key that the batch changed, and what it was before.  */
typedef struct {
    tim3_memdata_t *row;
    uint8_t *value; /* NULL: there was no row */
    size_t saved;   /* where in saved.data the bytes are */
    uint32_t value_size;
    uint32_t value_room;
    bool deleted;
} change_t;

/*  Rows of one table that are not in the tree yet, as they came. Some may have gone meanwhile.  */
typedef struct {
    tim3_memdata_t **rows; /* NULL, or WAITING_MOST places */
    unsigned count;
} waiting_t;

struct tim3_memtable {
    tim3_memarena_t arena;
    tim3_memtree_t tree;
    waiting_t waiting[TABLES];
    size_t waiting_lists; /* that have places */
    tim3_memsort_t sort;
    tim3_memarena_t slot_arena;
    shard_t shards[SHARDS];
    size_t slots; /* of all shards that are in use */
    size_t rows;
    uint64_t seed; /* of hashes */
    uint64_t life; /* how often it was cleared */
    uint64_t batch;
    tim3_memmark_t begun; /* where the arena was when the batch began */
    change_t *changes;
    size_t changes_count;
    size_t changes_capacity;
    bool forgets; /* some of them */
    tim3_buffer_t saved;
};

/*  ----------------------------------------------------------------------------------------------- hash  */

/*  Clients choose parts of keys; with a seed that they cannot know, none of them can choose keys that meet.  */
static uint64_t hash_of (const tim3_memtable_t *self, const uint8_t *key, size_t key_size)
{
    return XXH3_64bits_withSeed (key, key_size, self->seed);
}

static shard_t *shard_of (const tim3_memtable_t *self, uint64_t hash)
{
    return (shard_t *) &self->shards[hash / (UINT64_MAX / SHARDS + 1)];
}

/*  Position of the key, or of the unused slot where it belongs. The shard must have slots.  */
static size_t find_slot (const shard_t *shard, uint64_t hash, const uint8_t *key, size_t key_size)
{
    size_t at = hash & shard->mask;
    for (;; at = (at + 1) & shard->mask) {
        const slot_t *slot = &shard->slots[at];
        if (!slot->row)
            return at;
        if (slot->hash == hash && slot->row->key_size == key_size &&
            memcmp (slot->row->key, key, key_size) == 0)
            return at;
    }
}

static bool is_filled (const tim3_memtable_t *self, const shard_t *shard)
{
    return shard->slots && shard->life == self->life;
}

static tim3_memdata_t *find (const tim3_memtable_t *self, uint64_t hash, const uint8_t *key, size_t key_size)
{
    const shard_t *shard = shard_of (self, hash);
    return is_filled (self, shard) ? shard->slots[find_slot (shard, hash, key, key_size)].row : NULL;
}

static void place_slot (shard_t *shard, slot_t slot)
{
    size_t at = slot.hash & shard->mask;
    while (shard->slots[at].row)
        at = (at + 1) & shard->mask;
    shard->slots[at] = slot;
}

static void grow_shard (tim3_memtable_t *self, shard_t *shard)
{
    shard_t old = *shard;
    size_t had = old.slots ? old.mask + 1 : 0;
    size_t slots = had ? 2 * had : SLOTS_LEAST;
    TIM3_ASSERT (slots > had && slots <= SIZE_MAX / sizeof *shard->slots);
    shard->slots = tim3_memarena_take (&self->slot_arena, slots * sizeof *shard->slots);
    memset (shard->slots, 0, slots * sizeof *shard->slots);
    shard->mask = slots - 1;
    for (size_t i = 0; i < had; i++)
        if (old.slots[i].row)
            place_slot (shard, old.slots[i]);
    self->slots += slots - had;
}

/*  Slots of an earlier life are emptied when the first row comes: one shard at a time takes microseconds.  */
static void empty_shard (tim3_memtable_t *self, shard_t *shard)
{
    shard->life = self->life;
    shard->count = 0;
    if (!shard->slots)
        return;
    memset (shard->slots, 0, (shard->mask + 1) * sizeof *shard->slots);
    self->slots += shard->mask + 1;
}

static void add_to_hash (tim3_memtable_t *self, uint64_t hash, tim3_memdata_t *row)
{
    shard_t *shard = shard_of (self, hash);
    if (shard->life != self->life)
        empty_shard (self, shard);
    if (!shard->slots || shard->count >= (shard->mask + 1) / 8 * 5)
        grow_shard (self, shard);
    place_slot (shard, (slot_t){hash, row});
    shard->count++;
}

/*  Rows behind the hole move up where that brings them no further than the slot they belong to.  */
static void remove_from_hash (tim3_memtable_t *self, const tim3_memdata_t *row)
{
    uint64_t hash = hash_of (self, row->key, row->key_size);
    shard_t *shard = shard_of (self, hash);
    size_t hole = find_slot (shard, hash, row->key, row->key_size);
    TIM3_ASSERT (shard->slots[hole].row == row);
    for (size_t at = (hole + 1) & shard->mask; shard->slots[at].row; at = (at + 1) & shard->mask) {
        size_t home = shard->slots[at].hash & shard->mask;
        if (((at - home) & shard->mask) < ((at - hole) & shard->mask))
            continue;
        shard->slots[hole] = shard->slots[at];
        hole = at;
    }
    shard->slots[hole] = (slot_t){0};
    shard->count--;
}

/*  ---------------------------------------------------------------------------------------------- rows  */

/*  Member by member: of a struct that is made and then copied, the copy would have to wait for what was written in smaller pieces.  */
static void look_at (const tim3_memdata_t *row, tim3_memrow_t *seen)
{
    seen->key = row->key;
    seen->key_size = row->key_size;
    seen->value = row->deleted ? NULL : row->value;
    seen->value_size = row->deleted ? 0 : row->value_size;
    seen->deleted = row->deleted;
}

static bool show (const tim3_memdata_t *row, tim3_memrow_t *seen)
{
    if (row)
        look_at (row, seen);
    return row != NULL;
}

static tim3_memdata_t *new_row (tim3_memtable_t *self, const uint8_t *key, size_t key_size, size_t value_size)
{
    size_t size = (offsetof (tim3_memdata_t, key) + key_size + value_size + 7) & ~(size_t) 7;
    tim3_memdata_t *row = tim3_memarena_take (&self->arena, size);
    *row = (tim3_memdata_t){.key_size = (uint8_t) key_size};
    memcpy (row->key, key, key_size);
    row->value = row->key + key_size;
    row->value_room = (uint32_t) (size - offsetof (tim3_memdata_t, key) - key_size);
    return row;
}

/*  A place with some room to grow further, so that growing byte by byte wastes little.  */
static void move_value (tim3_memtable_t *self, tim3_memdata_t *row, size_t value_size)
{
    size_t room = (value_size + value_size / 4 + 7) & ~(size_t) 7;
    row->value = tim3_memarena_take (&self->arena, room);
    row->value_room = (uint32_t) room;
}

/*  ---------------------------------------------------------------------------------------------- order  */

static unsigned table_of (const uint8_t *key, size_t key_size)
{
    TIM3_ASSERT (key_size > 0);
    return key[0];
}

static void order_table (tim3_memtable_t *self, unsigned table)
{
    waiting_t *waiting = &self->waiting[table];
    if (waiting->count == 0)
        return;
    size_t count = 0;
    for (unsigned i = 0; i < waiting->count; i++)
        if (!waiting->rows[i]->gone)
            waiting->rows[count++] = waiting->rows[i];
    waiting->count = 0;
    tim3_memrows_sort (&self->sort, waiting->rows, count);
    tim3_memtree_insert (&self->tree, waiting->rows, count);
}

static void let_wait (tim3_memtable_t *self, tim3_memdata_t *row)
{
    unsigned table = table_of (row->key, row->key_size);
    waiting_t *waiting = &self->waiting[table];
    if (!waiting->rows) {
        waiting->rows = tim3_alloc (WAITING_MOST * sizeof waiting->rows[0]);
        self->waiting_lists++;
    }
    if (waiting->count == WAITING_MOST)
        order_table (self, table);
    waiting->rows[waiting->count++] = row;
}

/*  Out of the tree or the list. A batch that is taken back gives up its new rows in the opposite order, so that nothing points to
    their memory afterwards; else the row is only marked.  */
static void leave_order (tim3_memtable_t *self, tim3_memdata_t *row)
{
    waiting_t *waiting = &self->waiting[row->key[0]];
    if (row->ordered)
        tim3_memtree_remove (&self->tree, row);
    else if (waiting->count > 0 && waiting->rows[waiting->count - 1] == row)
        waiting->count--;
    else
        row->gone = true;
}

/*  -------------------------------------------------------------------------------------------- changes  */

static change_t *add_change (tim3_memtable_t *self, tim3_memdata_t *row)
{
    self->changes = tim3_memarray_grow (self->changes, self->changes_count, &self->changes_capacity,
                                        sizeof *self->changes);
    change_t *change = &self->changes[self->changes_count++];
    *change = (change_t){.row = row};
    row->batch = self->batch;
    return change;
}

/*  Before the first change of a row in a batch. The bytes are copied, for their place may be written over.  */
static void keep (tim3_memtable_t *self, tim3_memdata_t *row)
{
    if (row->batch == self->batch)
        return;
    change_t *change = add_change (self, row);
    change->value = row->value;
    change->value_size = row->value_size;
    change->value_room = row->value_room;
    change->deleted = row->deleted;
    change->saved = self->saved.size;
    tim3_buffer_append (&self->saved, row->value, row->value_size);
}

static void drop (tim3_memtable_t *self, tim3_memdata_t *row)
{
    remove_from_hash (self, row);
    leave_order (self, row);
    self->rows--;
}

static void take_back (tim3_memtable_t *self, const change_t *change)
{
    tim3_memdata_t *row = change->row;
    row->forgotten = false;
    if (!change->value) {
        drop (self, row);
        TIM3_ASSERT (!row->gone); /* its memory goes too */
        return;
    }
    row->value = change->value;
    row->value_size = change->value_size;
    row->value_room = change->value_room;
    row->deleted = change->deleted;
    if (change->value_size > 0)
        memcpy (row->value, self->saved.data + change->saved, change->value_size);
}

/*  The row of a key, ready to be changed; a new one has room for the value.  */
static tim3_memdata_t *row_to_change (tim3_memtable_t *self, const uint8_t *key, size_t key_size,
                                      size_t value_size)
{
    TIM3_ASSERT (key_size <= TIM3_MEMTABLE_KEY_MAX && value_size <= VALUE_MAX);
    uint64_t hash = hash_of (self, key, key_size);
    tim3_memdata_t *row = find (self, hash, key, key_size);
    if (row) {
        keep (self, row);
        return row;
    }
    row = new_row (self, key, key_size, value_size);
    add_to_hash (self, hash, row);
    let_wait (self, row);
    add_change (self, row);
    self->rows++;
    return row;
}

static void begin_batch (tim3_memtable_t *self)
{
    self->batch++;
    self->begun = self->arena.at;
    self->changes_count = 0;
    self->forgets = false;
    tim3_buffer_clear (&self->saved);
}

/*  ------------------------------------------------------------------------------------------ interface  */

tim3_memtable_t *tim3_memtable_new (void)
{
    tim3_memtable_t *self = tim3_alloc (sizeof *self);
    self->batch = 1;
    TIM3_ASSERT (getrandom (&self->seed, sizeof self->seed, 0) == (ssize_t) sizeof self->seed);
    return self;
}

void tim3_memtable_destroy (tim3_memtable_t **self_p)
{
    tim3_memtable_t *self = *self_p;
    if (!self)
        return;
    for (unsigned i = 0; i < TABLES; i++)
        free (self->waiting[i].rows);
    tim3_memsort_free (&self->sort);
    tim3_memarena_free (&self->arena);
    tim3_memarena_free (&self->slot_arena);
    tim3_memarena_free (&self->tree.arena);
    tim3_buffer_free (&self->saved);
    free (self->changes);
    free (self);
    *self_p = NULL;
}

void tim3_memtable_clear (tim3_memtable_t *self)
{
    self->life++;
    self->slots = 0;
    self->rows = 0;
    self->arena.at = (tim3_memmark_t){0};
    tim3_memtree_clear (&self->tree);
    for (unsigned i = 0; i < TABLES; i++)
        self->waiting[i].count = 0;
    begin_batch (self);
}

bool tim3_memtable_get (const tim3_memtable_t *self, const uint8_t *key, size_t key_size, tim3_memrow_t *row)
{
    return show (find (self, hash_of (self, key, key_size), key, key_size), row);
}

void tim3_memtable_fetch (const tim3_memtable_t *self, const uint8_t *key, size_t key_size)
{
    uint64_t hash = hash_of (self, key, key_size);
    const shard_t *shard = shard_of (self, hash);
    if (is_filled (self, shard))
        tim3_fetch (&shard->slots[hash & shard->mask]);
}

/*  The tree goes on with the next table where one ends.  */
static bool show_of_table (const tim3_memdata_t *row, unsigned table, tim3_memrow_t *seen)
{
    return show (row && row->key[0] == table ? row : NULL, seen);
}

bool tim3_memtable_after (tim3_memtable_t *self, const uint8_t *key, size_t key_size, bool strictly,
                          tim3_memrow_t *row)
{
    unsigned table = table_of (key, key_size);
    order_table (self, table);
    return show_of_table (tim3_memtree_after (&self->tree, key, key_size, strictly), table, row);
}

bool tim3_memtable_before (tim3_memtable_t *self, const uint8_t *key, size_t key_size, bool strictly,
                           tim3_memrow_t *row)
{
    unsigned table = table_of (key, key_size);
    order_table (self, table);
    return show_of_table (tim3_memtree_before (&self->tree, key, key_size, !strictly), table, row);
}

void tim3_memtable_order (tim3_memtable_t *self)
{
    for (unsigned i = 0; i < TABLES; i++)
        order_table (self, i);
}

void tim3_memtable_put (tim3_memtable_t *self, const uint8_t *key, size_t key_size, const uint8_t *value,
                        size_t value_size)
{
    tim3_memdata_t *row = row_to_change (self, key, key_size, value_size);
    if (row->value_room < value_size)
        move_value (self, row, value_size);
    if (value_size > 0)
        memmove (row->value, value, value_size); /* it may be the value of a row */
    row->value_size = (uint32_t) value_size;
    row->deleted = false;
    row->forgotten = false;
}

void tim3_memtable_delete (tim3_memtable_t *self, const uint8_t *key, size_t key_size)
{
    tim3_memdata_t *row = row_to_change (self, key, key_size, 0);
    row->value_size = 0;
    row->deleted = true;
}

void tim3_memtable_forget (tim3_memtable_t *self, const uint8_t *key, size_t key_size)
{
    tim3_memdata_t *row = find (self, hash_of (self, key, key_size), key, key_size);
    if (!row)
        return;
    tim3_memtable_delete (self, key, key_size);
    row->forgotten = true;
    self->forgets = true;
}

size_t tim3_memtable_changes (const tim3_memtable_t *self)
{
    return self->changes_count;
}

tim3_memrow_t tim3_memtable_change (const tim3_memtable_t *self, size_t position)
{
    TIM3_ASSERT (position < self->changes_count);
    tim3_memrow_t row;
    look_at (self->changes[position].row, &row);
    return row;
}

void tim3_memtable_commit (tim3_memtable_t *self)
{
    for (size_t i = 0; self->forgets && i < self->changes_count; i++)
        if (self->changes[i].row->forgotten)
            drop (self, self->changes[i].row);
    begin_batch (self);
}

void tim3_memtable_abort (tim3_memtable_t *self)
{
    while (self->changes_count > 0)
        take_back (self, &self->changes[--self->changes_count]);
    tim3_memarena_go_back (&self->arena, self->begun);
    begin_batch (self);
}

bool tim3_memtable_next (const tim3_memtable_t *self, tim3_memcursor_t *cursor, tim3_memrow_t *row)
{
    tim3_memplace_t place = {cursor->leaf, cursor->at};
    if (!cursor->begun) {
        for (unsigned i = 0; i < TABLES; i++)
            TIM3_ASSERT (self->waiting[i].count == 0);
        place = tim3_memtree_first (&self->tree);
    }
    bool there = show (tim3_memtree_next (&place), row);
    *cursor = (tim3_memcursor_t){place.leaf, place.at, true};
    return there;
}

size_t tim3_memtable_rows (const tim3_memtable_t *self)
{
    return self->rows;
}

size_t tim3_memtable_bytes (const tim3_memtable_t *self)
{
    return sizeof *self + tim3_memarena_bytes (&self->arena) + tim3_memarena_bytes (&self->tree.arena) +
           self->waiting_lists * WAITING_MOST * sizeof (tim3_memdata_t *) + tim3_memsort_bytes (&self->sort) +
           2 * self->slots * sizeof (slot_t) + self->changes_capacity * sizeof *self->changes +
           self->saved.capacity;
}
