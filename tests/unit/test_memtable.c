/*  test_memtable.c - the table in memory against a naive one: a sorted array that is copied whole at each commit.

    TIM3_SEEDS=n runs n seeds of the differential test.
*/
#include "suites.h"
#include "seeded.h"
#include "store/memtable.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 60
#define STEPS 2000
#define KEYS_MOST 4096
#define VALUE_MOST 300

/*  As ck_assert, which makes a system call each time, and is asked too often here.  */
#define must(condition)                                                              \
    do {                                                                             \
        if (!(condition))                                                            \
            ck_abort_msg ("seed %llu: %s", (unsigned long long) s_seed, #condition); \
    } while (0)

/*  --------------------------------------------------------------------------------------- the naive table  */

typedef struct {
    uint8_t key[TIM3_MEMTABLE_KEY_MAX];
    size_t key_size;
    uint8_t value[VALUE_MOST];
    size_t value_size;
    bool deleted;
    bool forgotten; /* goes with the commit */
} entry_t;

typedef struct {
    entry_t *entries[KEYS_MOST];
    size_t count;
} naive_t;

static tim3_memtable_t *s_table;
static naive_t s_now;
static naive_t s_kept;
static entry_t *s_changed[KEYS_MOST]; /* keys only, in order of first change */
static size_t s_changed_count;
static seeded_t s_random;
static uint64_t s_seed; /* 0 in tests that draw nothing */

static int compare (const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    for (size_t i = 0; i < a_size && i < b_size; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return (a_size > b_size) - (a_size < b_size);
}

/*  Position of the first entry that is not before the key.  */
static size_t lower (const naive_t *self, const uint8_t *key, size_t key_size)
{
    size_t low = 0;
    size_t high = self->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare (self->entries[middle]->key, self->entries[middle]->key_size, key, key_size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static entry_t *look_up (const naive_t *self, const uint8_t *key, size_t key_size)
{
    size_t at = lower (self, key, key_size);
    entry_t *entry = at < self->count ? self->entries[at] : NULL;
    return entry && compare (entry->key, entry->key_size, key, key_size) == 0 ? entry : NULL;
}

static entry_t *copy_of (const entry_t *entry)
{
    entry_t *copy = malloc (sizeof *copy);
    must (copy != NULL);
    *copy = *entry;
    return copy;
}

static void clear (naive_t *self)
{
    while (self->count > 0)
        free (self->entries[--self->count]);
}

static void copy_all (naive_t *to, const naive_t *from)
{
    clear (to);
    for (; to->count < from->count; to->count++)
        to->entries[to->count] = copy_of (from->entries[to->count]);
}

static void forget_changes (void)
{
    while (s_changed_count > 0)
        free (s_changed[--s_changed_count]);
}

static void note_change (const entry_t *entry)
{
    for (size_t i = 0; i < s_changed_count; i++)
        if (compare (s_changed[i]->key, s_changed[i]->key_size, entry->key, entry->key_size) == 0)
            return;
    s_changed[s_changed_count++] = copy_of (entry);
}

static void set (const entry_t *entry)
{
    size_t at = lower (&s_now, entry->key, entry->key_size);
    entry_t *old = look_up (&s_now, entry->key, entry->key_size);
    note_change (entry);
    if (old) {
        bool forgotten = old->forgotten && entry->deleted;
        *old = *entry;
        old->forgotten = forgotten;
        return;
    }
    must (s_now.count < KEYS_MOST);
    memmove (s_now.entries + at + 1, s_now.entries + at, (s_now.count++ - at) * sizeof s_now.entries[0]);
    s_now.entries[at] = copy_of (entry);
}

/*  -------------------------------------------------------------------------------------------- comparing  */

static void check_row (const tim3_memrow_t *row, const entry_t *entry)
{
    must (row->key_size == entry->key_size);
    must (memcmp (row->key, entry->key, entry->key_size) == 0);
    must (row->deleted == entry->deleted);
    must ((row->value == NULL) == entry->deleted);
    must (row->value_size == entry->value_size);
    must (entry->deleted || memcmp (row->value, entry->value, entry->value_size) == 0);
}

static void check_get (const entry_t *key)
{
    tim3_memrow_t row;
    const entry_t *entry = look_up (&s_now, key->key, key->key_size);
    tim3_memtable_fetch (s_table, key->key, key->key_size);
    must (tim3_memtable_get (s_table, key->key, key->key_size, &row) == (entry != NULL));
    if (entry)
        check_row (&row, entry);
}

static void check_near (const entry_t *key, bool strictly)
{
    tim3_memrow_t row;
    size_t low = lower (&s_now, key->key, key->key_size);
    size_t high = low + (look_up (&s_now, key->key, key->key_size) != NULL);
    size_t after = strictly ? high : low;
    size_t behind = strictly ? low : high; /* one more than the position of the row before */
    bool any_after = after < s_now.count && s_now.entries[after]->key[0] == key->key[0];
    bool any_before = behind > 0 && s_now.entries[behind - 1]->key[0] == key->key[0];
    must (tim3_memtable_after (s_table, key->key, key->key_size, strictly, &row) == any_after);
    if (any_after)
        check_row (&row, s_now.entries[after]);
    must (tim3_memtable_before (s_table, key->key, key->key_size, strictly, &row) == any_before);
    if (any_before)
        check_row (&row, s_now.entries[behind - 1]);
}

static void check_order (void)
{
    tim3_memcursor_t cursor = {0};
    tim3_memrow_t row;
    size_t count = 0;
    tim3_memtable_order (s_table);
    for (; tim3_memtable_next (s_table, &cursor, &row); count++) {
        must (count < s_now.count);
        check_row (&row, s_now.entries[count]);
    }
    must (!tim3_memtable_next (s_table, &cursor, &row));
    must (count == s_now.count);
    must (tim3_memtable_rows (s_table) == s_now.count);
}

static void check_changes (void)
{
    must (tim3_memtable_changes (s_table) == s_changed_count);
    for (size_t i = 0; i < s_changed_count; i++) {
        tim3_memrow_t row = tim3_memtable_change (s_table, i);
        const entry_t *entry = look_up (&s_now, s_changed[i]->key, s_changed[i]->key_size);
        must (entry != NULL);
        check_row (&row, entry);
    }
}

/*  ------------------------------------------------------------------------------------------------ steps  */

static void setup (void)
{
    s_table = tim3_memtable_new ();
    s_seed = 0;
}

static void teardown (void)
{
    tim3_memtable_destroy (&s_table);
    must (s_table == NULL);
    clear (&s_now);
    clear (&s_kept);
    forget_changes ();
}

static void empty (void)
{
    tim3_memtable_clear (s_table);
    clear (&s_now);
    clear (&s_kept);
    forget_changes ();
    check_order ();
    check_changes ();
}

static void put (const entry_t *entry)
{
    set (entry);
    if (entry->deleted)
        tim3_memtable_delete (s_table, entry->key, entry->key_size);
    else
        tim3_memtable_put (s_table, entry->key, entry->key_size, entry->value, entry->value_size);
}

static void forget (const entry_t *key)
{
    entry_t *entry = look_up (&s_now, key->key, key->key_size);
    tim3_memtable_forget (s_table, key->key, key->key_size);
    if (!entry)
        return;
    note_change (entry);
    entry->value_size = 0;
    entry->deleted = entry->forgotten = true;
}

static void drop_forgotten (void)
{
    size_t kept = 0;
    for (size_t i = 0; i < s_now.count; i++)
        if (s_now.entries[i]->forgotten)
            free (s_now.entries[i]);
        else
            s_now.entries[kept++] = s_now.entries[i];
    s_now.count = kept;
}

static void commit (void)
{
    check_changes ();
    tim3_memtable_commit (s_table);
    drop_forgotten ();
    copy_all (&s_kept, &s_now);
    forget_changes ();
}

static void take_back (void)
{
    check_changes ();
    tim3_memtable_abort (s_table);
    copy_all (&s_now, &s_kept);
    forget_changes ();
    check_changes ();
}

/*  Keys that share long beginnings, are prefixes of each other, or hold zeros, in a few tables.  */
static void draw_key (entry_t *entry, unsigned letters)
{
    entry->key_size = 0;
    entry->key[entry->key_size++] = (uint8_t) ('a' + seeded_below (&s_random, 3));
    size_t size = seeded_below (&s_random, 8) ? seeded_below (&s_random, 7) : seeded_below (&s_random, 256);
    size_t same = seeded_below (&s_random, 4) * 5;
    for (size_t i = 0; i < same + size && entry->key_size < sizeof entry->key; i++)
        entry->key[entry->key_size++] = i < same ? 'k' : (uint8_t) seeded_below (&s_random, letters);
}

/*  The same, or one that is there.  */
static void draw (entry_t *entry, unsigned letters)
{
    memset (entry, 0, sizeof *entry);
    if (s_now.count > 0 && seeded_below (&s_random, 2))
        *entry = *s_now.entries[seeded_below (&s_random, s_now.count)];
    else
        draw_key (entry, letters);
    entry->forgotten = false;
    entry->deleted = seeded_below (&s_random, 5) == 0;
    entry->value_size =
        entry->deleted ? 0 : seeded_below (&s_random, 1 + seeded_below (&s_random, VALUE_MOST));
    seeded_fill (&s_random, entry->value, entry->value_size);
}

/*  Most batches are short; some are long enough for hash and tree to grow in them.  */
static void maybe_end_batch (unsigned per_batch)
{
    if (seeded_below (&s_random, per_batch) > 0)
        return;
    if (seeded_below (&s_random, 2))
        commit ();
    else
        take_back ();
    if (seeded_below (&s_random, 2))
        check_order ();
}

static void run_seed (uint64_t seed)
{
    entry_t entry;
    s_random = (seeded_t){seed};
    s_seed = seed;
    unsigned letters = (unsigned) (2 + seeded_below (&s_random, 255));
    unsigned per_look = seed % 2 ? 1 : 500; /* rows wait meanwhile */
    unsigned per_batch = (unsigned) (4 + seeded_below (&s_random, seed % 3 ? 100 : 2000));
    for (unsigned step = 0; step < STEPS && s_now.count < KEYS_MOST; step++) {
        draw (&entry, letters);
        unsigned what = (unsigned) seeded_below (&s_random, 8);
        if (what < 5)
            put (&entry);
        else if (what == 5)
            forget (&entry);
        check_get (&entry);
        if (seeded_below (&s_random, per_look) == 0)
            check_near (&entry, seeded_below (&s_random, 2));
        maybe_end_batch (per_batch);
    }
    take_back ();
    check_order ();
}

START_TEST (test_against_a_naive_table)
{
    const char *seeds = getenv ("TIM3_SEEDS");
    long count = seeds ? strtol (seeds, NULL, 10) : SEEDS;
    for (long seed = 1; seed <= count; seed++) {
        if (seed % 3 == 0) {
            teardown ();
            setup ();
        } else
            empty ();
        run_seed ((uint64_t) seed);
    }
}
END_TEST

/*  ------------------------------------------------------------------------------------------ large tables  */

/*  A key whose order is that of the number, in the table of that number, as the store makes them.  */
static size_t numbered (uint8_t key[9], unsigned table, uint64_t number)
{
    key[0] = (uint8_t) table;
    for (unsigned i = 0; i < 8; i++)
        key[1 + i] = (uint8_t) (number >> (56 - 8 * i));
    return 9;
}

static void put_number (unsigned table, uint64_t number, uint64_t value)
{
    uint8_t key[9];
    size_t size = numbered (key, table, number);
    tim3_memtable_put (s_table, key, size, (const uint8_t *) &value, sizeof value);
}

/*  Rows first, first + 1 ... of a table, with those numbers as values; nothing else in that table.  */
static void check_numbers (unsigned table, uint64_t first, uint64_t count)
{
    uint8_t key[9];
    tim3_memrow_t row;
    bool there = tim3_memtable_after (s_table, key, numbered (key, table, 0), false, &row);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t value;
        must (there && row.value_size == sizeof value);
        memcpy (&value, row.value, sizeof value);
        must (value == first + i);
        must (memcmp (row.key, key, numbered (key, table, first + i)) == 0);
        must (tim3_memtable_get (s_table, row.key, row.key_size, &row));
        there = tim3_memtable_after (s_table, row.key, row.key_size, true, &row);
    }
    must (!there || row.key[0] > table);
}

START_TEST (test_ascending_in_several_tables)
{
    for (uint64_t i = 0; i < 70000; i++)
        for (unsigned table = 1; table <= 3; table++)
            put_number (table, i, i);
    for (unsigned table = 1; table <= 3; table++)
        check_numbers (table, 0, 70000);
    must (tim3_memtable_rows (s_table) == 210000);
}
END_TEST

/*  Rows of 48 bytes, a hash of 16 bytes per slot: what is left for the tree shows that its leaves are full.  */
START_TEST (test_ascending_rows_fill_their_leaves)
{
    for (uint64_t i = 0; i < 400000; i++) {
        put_number (1, i, i);
        put_number (2, i, i);
    }
    size_t ascending = tim3_memtable_bytes (s_table);
    teardown ();
    setup ();
    for (uint64_t i = 0; i < 400000; i++) {
        put_number (1, i * 0x9e3779b97f4a7c15ull, i);
        put_number (2, i * 0x9e3779b97f4a7c15ull, i);
    }
    must (ascending + 400000 * 4 < tim3_memtable_bytes (s_table));
}
END_TEST

START_TEST (test_descending)
{
    for (uint64_t i = 100000; i-- > 0;)
        put_number (7, i, i);
    check_numbers (7, 0, 100000);
}
END_TEST

/*  An empty table, and one of a single row, at both ends.  */
START_TEST (test_few)
{
    tim3_memcursor_t cursor = {0};
    tim3_memrow_t row;
    const uint8_t key[] = "key";
    must (!tim3_memtable_get (s_table, key, 3, &row));
    must (!tim3_memtable_after (s_table, key, 3, false, &row));
    must (!tim3_memtable_before (s_table, key, 3, false, &row));
    must (!tim3_memtable_next (s_table, &cursor, &row));
    must (!tim3_memtable_next (s_table, &cursor, &row));
    tim3_memtable_abort (s_table);
    tim3_memtable_delete (s_table, key, 1);
    must (tim3_memtable_get (s_table, key, 1, &row) && row.deleted);
    must (tim3_memtable_before (s_table, key, 3, true, &row) && row.key_size == 1);
    must (!tim3_memtable_before (s_table, key, 1, true, &row));
    tim3_memtable_abort (s_table);
    must (!tim3_memtable_get (s_table, key, 1, &row));
    must (tim3_memtable_rows (s_table) == 0);
}
END_TEST

/*  A value that a row of the table has may be put again, under the same key or another.  */
START_TEST (test_putting_what_the_table_holds)
{
    tim3_memrow_t row;
    tim3_memtable_put (s_table, (const uint8_t *) "a", 1, (const uint8_t *) "0123456789", 10);
    must (tim3_memtable_get (s_table, (const uint8_t *) "a", 1, &row));
    tim3_memtable_put (s_table, (const uint8_t *) "b", 1, row.value, row.value_size);
    must (tim3_memtable_get (s_table, (const uint8_t *) "a", 1, &row));
    tim3_memtable_put (s_table, row.key, 1, row.value + 2, 8);
    must (tim3_memtable_get (s_table, (const uint8_t *) "a", 1, &row));
    must (row.value_size == 8 && memcmp (row.value, "23456789", 8) == 0);
    must (tim3_memtable_get (s_table, (const uint8_t *) "b", 1, &row));
    must (row.value_size == 10 && memcmp (row.value, "0123456789", 10) == 0);
}
END_TEST

/*  ----------------------------------------------------------------------------------------------- aborts  */

START_TEST (test_abort_after_growth)
{
    for (uint64_t i = 0; i < 1000; i++)
        put_number (5, 50000 + i, 50000 + i);
    tim3_memtable_commit (s_table);
    for (uint64_t i = 0; i < 101000; i++)
        put_number (5, i, ~i);
    must (tim3_memtable_changes (s_table) == 101000);
    tim3_memtable_abort (s_table);
    must (tim3_memtable_rows (s_table) == 1000);
    check_numbers (5, 50000, 1000);
}
END_TEST

/*  Batches of ever new keys and growing values, all taken back: nothing of them may be kept.  */
START_TEST (test_many_aborts_leave_nothing)
{
    tim3_memcursor_t cursor = {0};
    tim3_memrow_t row;
    uint8_t zero[9];
    static const uint8_t large[100000];
    put_number (1, 0, 0);
    put_number (9, 0, 0);
    tim3_memtable_commit (s_table);
    size_t bytes = 0;
    for (uint64_t round = 0; round < 200; round++) {
        for (uint64_t i = 0; i < 1000; i++)
            put_number (5, round * 1000 + i, i);
        tim3_memtable_put (s_table, zero, numbered (zero, 1, 0), large, sizeof large);
        tim3_memtable_abort (s_table);
        bytes = round == 20 ? tim3_memtable_bytes (s_table) : bytes;
    }
    /* a shard of the hash may still meet more keys of one batch than ever before */
    must (tim3_memtable_bytes (s_table) < bytes + (64 << 10));
    check_numbers (1, 0, 1);
    tim3_memtable_order (s_table);
    must (tim3_memtable_next (s_table, &cursor, &row) && row.key[0] == 1);
    must (tim3_memtable_next (s_table, &cursor, &row) && row.key[0] == 9);
    must (!tim3_memtable_next (s_table, &cursor, &row));
}
END_TEST

/*  ----------------------------------------------------------------------------------------------- reading  */

static void *sum_up (void *result)
{
    tim3_memcursor_t cursor = {0};
    tim3_memrow_t row, found;
    uint64_t sum = 0;
    while (tim3_memtable_next (s_table, &cursor, &row)) {
        uint64_t value;
        bool same = tim3_memtable_get (s_table, row.key, row.key_size, &found) && found.value == row.value;
        memcpy (&value, row.value, sizeof value);
        sum = sum * 31 + (same ? value : 1);
    }
    *(uint64_t *) result = sum;
    return NULL;
}

START_TEST (test_threads_read_at_once)
{
    pthread_t threads[2];
    uint64_t sums[3];
    for (uint64_t i = 0; i < 50000; i++)
        put_number ((unsigned) (i % 7), i * 0x9e3779b97f4a7c15ull, i);
    tim3_memtable_commit (s_table);
    tim3_memtable_order (s_table);
    for (unsigned i = 0; i < 2; i++)
        must (pthread_create (&threads[i], NULL, sum_up, &sums[i]) == 0);
    for (unsigned i = 0; i < 2; i++)
        must (pthread_join (threads[i], NULL) == 0);
    sum_up (&sums[2]);
    must (sums[0] == sums[2] && sums[1] == sums[2] && sums[2] != 0);
}
END_TEST

static void put_many (unsigned table, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        put_number (table, i, i);
        if (i % 100 == 99)
            tim3_memtable_commit (s_table);
    }
}

/*  What a cleared table has kept of its memory tells nothing of what was in it, and is used again.  */
START_TEST (test_cleared)
{
    uint8_t key[9];
    tim3_memrow_t row;
    const uint64_t many = 20000;
    put_many (7, many);
    size_t bytes = tim3_memtable_bytes (s_table);
    tim3_memtable_clear (s_table);
    must (tim3_memtable_rows (s_table) == 0 && tim3_memtable_changes (s_table) == 0);
    must (tim3_memtable_bytes (s_table) < bytes / 4);
    for (uint64_t i = many; i-- > 0;) {
        must (!tim3_memtable_get (s_table, key, numbered (key, 7, i), &row));
        must (!tim3_memtable_after (s_table, key, numbered (key, 7, i), false, &row));
        if (i % 100 == 0)
            put_number (8, i, i);
        tim3_memtable_commit (s_table);
    }
    tim3_memtable_clear (s_table);
    put_many (7, many);
    check_numbers (7, 0, many);
    must (tim3_memtable_rows (s_table) == many);
    must (tim3_memtable_bytes (s_table) <= bytes + (64 << 10)); /* table 8 has a list of its own */
}
END_TEST

START_TEST (test_bytes)
{
    must (tim3_memtable_bytes (s_table) < 64 << 10);
    put_number (1, 1, 1);
    must (tim3_memtable_bytes (s_table) < 256 << 10);
    uint8_t *value = calloc (1, 10 << 20);
    must (value != NULL);
    tim3_memtable_put (s_table, (const uint8_t *) "large", 5, value, 10 << 20);
    must (tim3_memtable_bytes (s_table) > 10 << 20);
    free (value);
}
END_TEST

Suite *suite_memtable (void)
{
    Suite *suite = suite_create ("memtable");
    TCase *group = tcase_create ("memtable");
    tcase_add_checked_fixture (group, setup, teardown);
    tcase_set_timeout (group, 300);
    tcase_add_test (group, test_against_a_naive_table);
    tcase_add_test (group, test_ascending_in_several_tables);
    tcase_add_test (group, test_ascending_rows_fill_their_leaves);
    tcase_add_test (group, test_descending);
    tcase_add_test (group, test_few);
    tcase_add_test (group, test_putting_what_the_table_holds);
    tcase_add_test (group, test_abort_after_growth);
    tcase_add_test (group, test_many_aborts_leave_nothing);
    tcase_add_test (group, test_threads_read_at_once);
    tcase_add_test (group, test_cleared);
    tcase_add_test (group, test_bytes);
    suite_add_tcase (suite, group);
    return suite;
}
