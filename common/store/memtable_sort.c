/*  memtable_sort.c - brings rows into the order of their keys.

    Sorted are pairs of eight bytes of the key, taken behind what all keys have in common, and the row: keys themselves, which are
    somewhere in memory, are only looked at where those bytes are the same. By merging, so that it takes no longer for any keys, and
    with no branch that depends on them, for which one is less cannot be foretold.
*/
#include "store/memtable_tree.h"
#include "base/fetch.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define AHEAD 8

static size_t common (const tim3_memdata_t *a, const tim3_memdata_t *b, size_t most)
{
    size_t size = 0;
    most = a->key_size < most ? a->key_size : most;
    most = b->key_size < most ? b->key_size : most;
    if (memcmp (a->key, b->key, most) == 0)
        return most;
    while (a->key[size] == b->key[size])
        size++;
    return size;
}

static size_t common_of_all (tim3_memdata_t *const *rows, size_t count)
{
    size_t size = rows[0]->key_size;
    for (size_t i = 1; i < count; i++) {
        if (i + AHEAD < count)
            tim3_fetch (rows[i + AHEAD]->key);
        size = common (rows[0], rows[i], size);
    }
    return size;
}

static bool is_less (const tim3_mementry_t *a, const tim3_mementry_t *b)
{
    if (__builtin_expect (a->piece != b->piece, 1))
        return a->piece < b->piece;
    return tim3_memdata_compare (a->row, b->row->key, b->row->key_size) < 0;
}

static void merge (const tim3_mementry_t *a, const tim3_mementry_t *a_end, const tim3_mementry_t *b_end,
                   tim3_mementry_t *to)
{
    const tim3_mementry_t *b = a_end;
    while (a < a_end && b < b_end) {
        bool second = is_less (b, a);
        *to++ = *(second ? b : a);
        b += second;
        a += !second;
    }
    memcpy (to, a, (size_t) (a_end - a) * sizeof *to);
    to += a_end - a;
    memcpy (to, b, (size_t) (b_end - b) * sizeof *to);
}

/*  Pieces of a length are in order, and then pieces of twice that. Returns which of the two halves they end in.  */
static tim3_mementry_t *merge_all (tim3_mementry_t *from, tim3_mementry_t *to, size_t count)
{
    for (size_t length = 1; length < count; length *= 2) {
        for (size_t at = 0; at < count; at += 2 * length) {
            size_t middle = at + length < count ? at + length : count;
            size_t end = middle + length < count ? middle + length : count;
            merge (from + at, from + middle, from + end, to + at);
        }
        tim3_mementry_t *other = from;
        from = to;
        to = other;
    }
    return from;
}

static bool is_sorted (const tim3_mementry_t *entries, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (is_less (&entries[i], &entries[i - 1]))
            return false;
    return true;
}

static void make_room (tim3_memsort_t *self, size_t count)
{
    if (count <= self->capacity)
        return;
    self->entries = realloc (self->entries, 2 * count * sizeof *self->entries);
    TIM3_ASSERT (self->entries);
    self->capacity = count;
}

void tim3_memrows_sort (tim3_memsort_t *self, tim3_memdata_t **rows, size_t count)
{
    if (count < 2)
        return;
    make_room (self, count);
    size_t same = common_of_all (rows, count);
    for (size_t i = 0; i < count; i++)
        self->entries[i] = (tim3_mementry_t){tim3_mempiece (rows[i], same), rows[i]};
    if (is_sorted (self->entries, count))
        return;
    const tim3_mementry_t *sorted = merge_all (self->entries, self->entries + count, count);
    for (size_t i = 0; i < count; i++)
        rows[i] = sorted[i].row;
}

size_t tim3_memsort_bytes (const tim3_memsort_t *self)
{
    return 2 * self->capacity * sizeof *self->entries;
}

void tim3_memsort_free (tim3_memsort_t *self)
{
    free (self->entries);
    *self = (tim3_memsort_t){0};
}
