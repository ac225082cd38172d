/*  due.c - an index of what is unfinished, by when to look at it next.  */
#include "agent/due.h"
#include "base/log.h"
#include "wire/reader.h"
#include "wire/writer.h"

#include <stdlib.h>
#include <string.h>

#define PLACE_SIZE 18 /* a place for cursors: key of a list, then the number of a tail in it (two bytes) */
#define LIST_KEY_SIZE 16

/*  A deadline that the batch at hand has touched.  */
typedef struct {
    uint64_t due_us;
    tim3_deadline_t row;
    bool stored; /* its row is in the store */
    bool changed;
    tim3_buffer_t tails; /* new ones, in no list yet */
} entry_t;

struct tim3_due {
    const tim3_settings_t *settings;
    tim3_table_t deadlines;
    tim3_table_t lists;
    size_t tail_size;
    entry_t *entries; /* count of them are in use, by due time; those after keep their buffers for later */
    size_t count;
    size_t capacity;
    size_t latest;      /* the entry that find returned last, as the next is mostly the same */
    tim3_buffer_t list; /* tails of the list that is being swept */
    tim3_buffer_t scratch;
};

tim3_due_t *tim3_due_new (const tim3_settings_t *settings, tim3_table_t deadlines, tim3_table_t lists, size_t tail_size)
{
    TIM3_ASSERT (tail_size <= TIM3_DUE_TAIL_MAX);
    tim3_due_t *self = tim3_alloc (sizeof *self);
    self->settings = settings;
    self->deadlines = deadlines;
    self->lists = lists;
    self->tail_size = tail_size;
    return self;
}

void tim3_due_destroy (tim3_due_t **self)
{
    if (!*self)
        return;
    for (size_t i = 0; i < (*self)->capacity; i++)
        tim3_buffer_free (&(*self)->entries[i].tails);
    free ((*self)->entries);
    tim3_buffer_free (&(*self)->list);
    tim3_buffer_free (&(*self)->scratch);
    free (*self);
    *self = NULL;
}

/*  --------------------------------------------------------------------------------------- what is gathered  */

/*  The first entry that is not due before.  */
static size_t place_of (const tim3_due_t *self, uint64_t due_us)
{
    size_t low = 0;
    size_t high = self->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (self->entries[middle].due_us < due_us)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void grow (tim3_due_t *self)
{
    size_t capacity = self->capacity ? 2 * self->capacity : 8;
    self->entries = realloc (self->entries, capacity * sizeof *self->entries);
    TIM3_ASSERT (self->entries);
    memset (self->entries + self->capacity, 0, (capacity - self->capacity) * sizeof *self->entries);
    self->capacity = capacity;
}

static void insert (tim3_due_t *self, tim3_env_t *env, size_t at, uint64_t due_us)
{
    tim3_key_t key = tim3_key_u64 (due_us);
    if (self->count == self->capacity)
        grow (self);
    entry_t entry = {.due_us = due_us, .tails = self->entries[self->count].tails};
    memmove (self->entries + at + 1, self->entries + at, (self->count - at) * sizeof *self->entries);
    self->count++;
    tim3_buffer_clear (&entry.tails);
    entry.stored = tim3_store_read (tim3_env_store (env), self->deadlines, &key, &entry.row);
    if (!entry.stored)
        entry.row.first = 1;
    self->entries[at] = entry;
}

/*  The entry of a due time, read from the store if it is new. Valid until the next call, which may move it.  */
static entry_t *find (tim3_due_t *self, tim3_env_t *env, uint64_t due_us)
{
    if (self->latest < self->count && self->entries[self->latest].due_us == due_us)
        return &self->entries[self->latest];
    size_t at = place_of (self, due_us);
    if (at == self->count || self->entries[at].due_us != due_us)
        insert (self, env, at, due_us);
    self->latest = at;
    return &self->entries[at];
}

static uint64_t wait_us (const tim3_settings_t *settings, uint64_t attempts)
{
    uint64_t wait = settings->sweep_after_us;
    for (uint64_t i = 0; i < attempts && wait < settings->sweep_most_us; i++)
        wait *= 2;
    return attempts > 0 && wait > settings->sweep_most_us ? settings->sweep_most_us : wait;
}

void tim3_due_set (tim3_due_t *self, tim3_env_t *env, const uint8_t *tail, uint64_t attempts, uint64_t *due_us)
{
    *due_us = tim3_env_now (env) + wait_us (self->settings, attempts);
    entry_t *entry = find (self, env, *due_us);
    tim3_buffer_append (&entry->tails, tail, self->tail_size);
    entry->row.open++;
    entry->changed = true;
}

/*  One of its records is final, or due at another time. (A store that has failed finds nothing, so open may be 0; nothing will be written.)  */
static void take_one (entry_t *entry, tim3_store_t *store)
{
    TIM3_ASSERT (entry->row.open > 0 || tim3_store_error (store));
    entry->row.open -= entry->row.open > 0;
    entry->changed = true;
}

void tim3_due_clear (tim3_due_t *self, tim3_env_t *env, uint64_t *due_us)
{
    take_one (find (self, env, *due_us), tim3_env_store (env));
    *due_us = 0;
}

/*  ------------------------------------------------------------------------------------------- the tables  */

static tim3_key_t list_key (uint64_t due_us, uint64_t number)
{
    tim3_key_t key = tim3_key_u64 (due_us);
    tim3_key_add_u64 (&key, number);
    return key;
}

static void write_list (tim3_due_t *self, tim3_store_t *store, const tim3_key_t *key, const uint8_t *tails, size_t size)
{
    tim3_buffer_clear (&self->scratch);
    uint8_t *at = tim3_put_bin (tim3_buffer_room (&self->scratch, TIM3_PUT_MOST + size), size);
    tim3_buffer_filled (&self->scratch, tim3_put_bytes (at, tails, size));
    tim3_deadline_list_t list = {.tails = {self->scratch.data, (uint32_t) self->scratch.size}};
    tim3_store_write (store, self->lists, key, &list);
}

static void write_lists (tim3_due_t *self, tim3_store_t *store, entry_t *entry)
{
    size_t most = TIM3_DUE_LIST_MOST * self->tail_size;
    for (size_t at = 0; at < entry->tails.size; at += most) {
        size_t left = entry->tails.size - at;
        tim3_key_t key = list_key (entry->due_us, ++entry->row.last);
        write_list (self, store, &key, entry->tails.data + at, left < most ? left : most);
    }
}

static void delete_entry (const tim3_due_t *self, tim3_store_t *store, const entry_t *entry)
{
    tim3_key_t key = tim3_key_u64 (entry->due_us);
    if (!entry->stored)
        return;
    tim3_store_delete (store, self->deadlines, &key);
    for (uint64_t number = entry->row.first; number <= entry->row.last; number++) {
        key = list_key (entry->due_us, number);
        tim3_store_delete (store, self->lists, &key);
    }
}

static void write_entry (tim3_due_t *self, tim3_store_t *store, entry_t *entry)
{
    tim3_key_t key = tim3_key_u64 (entry->due_us);
    if (entry->row.open == 0) {
        delete_entry (self, store, entry);
        return;
    }
    write_lists (self, store, entry);
    tim3_store_write (store, self->deadlines, &key, &entry->row);
}

void tim3_due_write (tim3_due_t *self, tim3_env_t *env)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->entries[i].changed)
            write_entry (self, tim3_env_store (env), &self->entries[i]);
    self->count = 0;
}

const uint8_t *tim3_due_tails (const tim3_deadline_list_t *list, size_t tail_size, size_t *count)
{
    tim3_reader_t reader = {list->tails.data, list->tails.data + list->tails.size};
    const uint8_t *tails;
    uint32_t size;
    if (!tim3_read_bin (&reader, &tails, &size) || size == 0 || size % tail_size != 0)
        return NULL;
    *count = size / tail_size;
    return tails;
}

/*  ------------------------------------------------------------------------------------------------ sweep  */

typedef struct {
    tim3_due_push_fn *push;
    void *core;
    size_t pushed;
    size_t looked;
} sweep_t;

static bool is_tired (const sweep_t *sweep)
{
    return sweep->pushed >= TIM3_DUE_PUSHES || sweep->looked >= TIM3_DUE_LOOKS;
}

/*  Steps key to the next deadline to sweep; begin with an empty key. Those up to now are swept, and those farther ahead than any that could be
    set now: they were set before the clock went back.  */
static bool next_deadline (const tim3_due_t *self, tim3_env_t *env, tim3_key_t *key)
{
    uint64_t now = tim3_env_now (env);
    uint64_t longest = now + self->settings->sweep_most_us + self->settings->sweep_after_us;
    tim3_store_t *store = tim3_env_store (env);
    tim3_deadline_t row;
    if (!tim3_store_seek (store, self->deadlines, TIM3_SEEK_GT, key, &row))
        return false;
    uint64_t due = tim3_key_read_u64 (key, 0);
    if (due <= now || due > longest)
        return true;
    *key = tim3_key_u64 (longest + 1);
    return tim3_store_seek (store, self->deadlines, TIM3_SEEK_GE, key, &row);
}

/*  Reads a list into self->list and deletes it: each of its records is either final or gets a place at a later time. Returns how many tails.  */
static size_t take_list (tim3_due_t *self, tim3_store_t *store, uint64_t due_us, uint64_t number)
{
    tim3_key_t key = list_key (due_us, number);
    tim3_deadline_list_t list;
    size_t count = 0;
    tim3_buffer_clear (&self->list);
    if (tim3_store_read (store, self->lists, &key, &list)) {
        const uint8_t *tails = tim3_due_tails (&list, self->tail_size, &count);
        TIM3_ASSERT (tails);
        tim3_buffer_append (&self->list, tails, count * self->tail_size);
    }
    TIM3_ASSERT (count > 0 || tim3_store_error (store));
    tim3_store_delete (store, self->lists, &key);
    return count;
}

static void sweep_list (tim3_due_t *self, tim3_env_t *env, sweep_t *sweep, uint64_t due_us, uint64_t number)
{
    size_t count = take_list (self, tim3_env_store (env), due_us, number);
    for (size_t i = 0; i < count; i++)
        if (sweep->push (sweep->core, env, self->list.data + i * self->tail_size, due_us)) {
            take_one (find (self, env, due_us), tim3_env_store (env));
            sweep->pushed++;
        }
    sweep->looked += count;
}

static void sweep_deadline (tim3_due_t *self, tim3_env_t *env, sweep_t *sweep, uint64_t due_us)
{
    tim3_store_t *store = tim3_env_store (env);
    entry_t *entry = find (self, env, due_us);
    while (entry->row.open > 0 && !is_tired (sweep) && !tim3_store_error (store)) {
        TIM3_ASSERT (entry->row.first <= entry->row.last);
        entry->changed = true;
        sweep_list (self, env, sweep, due_us, entry->row.first++);
        entry = find (self, env, due_us);
    }
}

void tim3_due_sweep (tim3_due_t *self, tim3_env_t *env, tim3_due_push_fn *push, void *core)
{
    sweep_t sweep = {.push = push, .core = core};
    tim3_key_t key = tim3_key_empty ();
    while (!is_tired (&sweep) && next_deadline (self, env, &key))
        sweep_deadline (self, env, &sweep, tim3_key_read_u64 (&key, 0));
}

/*  ------------------------------------------------------------------------------------------------- lists  */

/*  Reads the list in which a listing goes on after a place, and sets index to the next tail in it. A place comes from a client's cursor, and
    may be any bytes.  */
static bool next_list (const tim3_due_t *self, tim3_store_t *store, tim3_key_t *place, size_t *index,
                       tim3_deadline_list_t *list)
{
    *index = 0;
    if (place->size == PLACE_SIZE) {
        *index = (size_t) (place->data[LIST_KEY_SIZE] << 8 | place->data[LIST_KEY_SIZE + 1]) + 1;
        place->size = LIST_KEY_SIZE;
        if (tim3_store_read (store, self->lists, place, list))
            return true;
        *index = 0;
    }
    return tim3_store_seek (store, self->lists, TIM3_SEEK_GT, place, list);
}

bool tim3_due_page_next (const tim3_due_t *self, tim3_env_t *env, tim3_page_t *page, uint8_t *tail, uint64_t *due_us)
{
    tim3_key_t place = *tim3_page_key (page);
    tim3_deadline_list_t list;
    size_t index;
    while (next_list (self, tim3_env_store (env), &place, &index, &list)) {
        size_t count;
        const uint8_t *tails = tim3_due_tails (&list, self->tail_size, &count);
        TIM3_ASSERT (tails);
        if (index >= count)
            continue; /* behind this list, whose key place is now */
        memcpy (tail, tails + index * self->tail_size, self->tail_size);
        *due_us = tim3_key_read_u64 (&place, 0);
        tim3_key_add_u8 (&place, (uint8_t) (index >> 8));
        tim3_key_add_u8 (&place, (uint8_t) index);
        return tim3_page_step (page, &place);
    }
    tim3_page_finish (page);
    return false;
}
