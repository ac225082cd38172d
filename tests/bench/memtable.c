/*  memtable.c - what the table in memory costs, beside one LMDB write transaction that does the same.

    tim3-bench-memtable [rows ...]: for each number of rows (10000, 1000000 and 5000000 if none is given), nanoseconds
    for each operation of either, and how many times as fast the table is. Keys are a table number and 16 to 59 random
    bytes, values 1 to 300 bytes; ascending keys are a table number and a number. LMDB runs without any sync, and is
    not committed: what is compared is the work in memory.
*/
#include "base/log.h"
#include "store/memtable.h"
#include "../unit/seeded.h"

#include <lmdb.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OPERATIONS 1000000
#define BATCH 4096
#define MAP_SIZE ((size_t) 32 << 30)

typedef struct {
    uint8_t key[64];
    size_t key_size;
} bench_key_t;

typedef enum { INSERT, GET, UPDATE, SEEK, NEXT, APPEND, MEASURES } measure_t;

static const char *const s_names[MEASURES] = {"insert random", "get",  "update",
                                              "seek-after",    "next", "insert ascending"};
static uint8_t s_value[300];
static uint64_t s_sum; /* so that nothing is left out as unused */

/*  Of the processor, so that other work on the machine disturbs less.  */
static double now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double) now.tv_sec * 1e9 + (double) now.tv_nsec;
}

/*  The key of a number is always the same, and needs no memory: that would be measured too.  */
static void random_key (uint64_t number, bench_key_t *key)
{
    seeded_t random = {number * 0x2545f4914f6cdd1dull + 1};
    key->key_size = 17 + seeded_next (&random) % 44;
    key->key[0] = (uint8_t) (20 + number % 5);
    for (size_t at = 1; at < key->key_size; at += 8) {
        uint64_t piece = seeded_next (&random);
        memcpy (key->key + at, &piece, key->key_size - at < 8 ? key->key_size - at : 8);
    }
}

static void ascending_key (uint64_t number, bench_key_t *key)
{
    key->key[0] = 51;
    for (unsigned i = 0; i < 8; i++)
        key->key[1 + i] = (uint8_t) (number >> (56 - 8 * i));
    key->key_size = 9;
}

static size_t value_size (uint64_t number)
{
    return 1 + number * 7919 % 300;
}

/*  ------------------------------------------------------------------------------------------ the two sides  */

typedef struct {
    void (*put) (const bench_key_t *key, size_t size);
    void (*get) (const bench_key_t *key);
    void (*seek) (const bench_key_t *key);
    uint64_t (*scan) (void); /* number of rows */
} side_t;

static tim3_memtable_t *s_table;
static MDB_txn *s_txn;
static MDB_cursor *s_cursor;
static MDB_dbi s_dbi;

static void table_put (const bench_key_t *key, size_t size)
{
    tim3_memtable_put (s_table, key->key, key->key_size, s_value, size);
    if (tim3_memtable_changes (s_table) >= BATCH)
        tim3_memtable_commit (s_table);
}

static void table_get (const bench_key_t *key)
{
    tim3_memrow_t row;
    TIM3_ASSERT (tim3_memtable_get (s_table, key->key, key->key_size, &row));
    s_sum += row.value[0];
}

static void table_seek (const bench_key_t *key)
{
    tim3_memrow_t row;
    if (tim3_memtable_after (s_table, key->key, key->key_size, true, &row))
        s_sum += row.key[1];
}

static uint64_t table_scan (void)
{
    tim3_memcursor_t cursor = {0};
    tim3_memrow_t row;
    uint64_t count = 0;
    tim3_memtable_order (s_table);
    for (; tim3_memtable_next (s_table, &cursor, &row); count++)
        s_sum += row.key[1];
    return count;
}

static void lmdb_put (const bench_key_t *key, size_t size)
{
    MDB_val place = {key->key_size, (void *) (uintptr_t) key->key};
    MDB_val value = {size, s_value};
    TIM3_ASSERT (mdb_put (s_txn, s_dbi, &place, &value, 0) == 0);
}

static void lmdb_get (const bench_key_t *key)
{
    MDB_val place = {key->key_size, (void *) (uintptr_t) key->key};
    MDB_val value;
    TIM3_ASSERT (mdb_get (s_txn, s_dbi, &place, &value) == 0);
    s_sum += *(uint8_t *) value.mv_data;
}

static void lmdb_seek (const bench_key_t *key)
{
    MDB_val place = {key->key_size, (void *) (uintptr_t) key->key};
    MDB_val value;
    if (mdb_cursor_get (s_cursor, &place, &value, MDB_SET_RANGE) == 0)
        s_sum += ((uint8_t *) place.mv_data)[1];
}

static uint64_t lmdb_scan (void)
{
    MDB_val place, value;
    uint64_t count = 0;
    int rc = mdb_cursor_get (s_cursor, &place, &value, MDB_FIRST);
    for (; rc == 0; count++, rc = mdb_cursor_get (s_cursor, &place, &value, MDB_NEXT))
        s_sum += ((uint8_t *) place.mv_data)[1];
    return count;
}

static const side_t s_table_side = {table_put, table_get, table_seek, table_scan};
static const side_t s_lmdb_side = {lmdb_put, lmdb_get, lmdb_seek, lmdb_scan};

/*  ----------------------------------------------------------------------------------------------- measuring  */

/*  Random numbers among those there are, in an order that no cache knows.  */
static uint64_t pick (uint64_t i, uint64_t rows)
{
    return i * 0x9e3779b97f4a7c15ull % rows;
}

/*  The keys that are asked for are made beforehand, a batch at a time, and not measured.  */
static double measure (const side_t *side, measure_t what, uint64_t rows)
{
    static bench_key_t keys[BATCH];
    uint64_t count = what == INSERT || what == APPEND ? rows : OPERATIONS;
    double spent = 0;
    for (uint64_t done = 0; done < count; done += BATCH) {
        uint64_t here = count - done < BATCH ? count - done : BATCH;
        for (uint64_t i = 0; i < here; i++) {
            if (what == APPEND)
                ascending_key (done + i, &keys[i]);
            else
                random_key (what == INSERT ? done + i : pick (done + i, rows), &keys[i]);
        }
        double began = now_ns ();
        for (uint64_t i = 0; i < here; i++) {
            if (what == GET)
                side->get (&keys[i]);
            else if (what == SEEK)
                side->seek (&keys[i]);
            else
                side->put (&keys[i], value_size (what == UPDATE ? pick (done + i, rows) : done + i));
        }
        spent += now_ns () - began;
    }
    return spent / (double) count;
}

static double measure_scan (const side_t *side)
{
    double began = now_ns ();
    uint64_t count = side->scan ();
    return (now_ns () - began) / (double) count;
}

static void measure_all (const side_t *side, uint64_t rows, double result[MEASURES])
{
    result[INSERT] = measure (side, INSERT, rows);
    result[GET] = measure (side, GET, rows);
    result[UPDATE] = measure (side, UPDATE, rows);
    result[SEEK] = measure (side, SEEK, rows);
    result[NEXT] = measure_scan (side);
    result[APPEND] = measure (side, APPEND, rows);
}

static void measure_table (uint64_t rows, double result[MEASURES])
{
    s_table = tim3_memtable_new ();
    double fresh = measure (&s_table_side, INSERT, rows);
    size_t random = tim3_memtable_bytes (s_table);
    measure (&s_table_side, APPEND, rows);
    tim3_memtable_destroy (&s_table);
    s_table = tim3_memtable_new ();
    measure_all (&s_table_side, rows, result);
    size_t both = tim3_memtable_bytes (s_table);
    tim3_memtable_destroy (&s_table);
    printf ("%9s  %.0f bytes per random row (189 of key and value), %.0f per ascending (160)\n", "",
            (double) random / (double) rows, (double) (both - random) / (double) rows);
    printf ("%9s  insert random, memory new to the process: %.0f ns\n", "", fresh);
}

static void measure_lmdb (uint64_t rows, double result[MEASURES])
{
    char path[] = "/tmp/tim3-bench-XXXXXX";
    char file[64];
    MDB_env *env;
    TIM3_ASSERT (mkdtemp (path) && mdb_env_create (&env) == 0);
    TIM3_ASSERT (mdb_env_set_mapsize (env, MAP_SIZE) == 0);
    TIM3_ASSERT (mdb_env_open (env, path, MDB_NOSYNC, 0600) == 0);
    TIM3_ASSERT (mdb_txn_begin (env, NULL, 0, &s_txn) == 0 && mdb_dbi_open (s_txn, NULL, 0, &s_dbi) == 0);
    TIM3_ASSERT (mdb_cursor_open (s_txn, s_dbi, &s_cursor) == 0);
    measure_all (&s_lmdb_side, rows, result);
    mdb_cursor_close (s_cursor);
    mdb_txn_abort (s_txn);
    mdb_env_close (env);
    snprintf (file, sizeof file, "%s/data.mdb", path);
    unlink (file);
    snprintf (file, sizeof file, "%s/lock.mdb", path);
    unlink (file);
    rmdir (path);
}

static void run (uint64_t rows)
{
    double table[MEASURES];
    double lmdb[MEASURES];
    printf ("%9llu rows\n", (unsigned long long) rows);
    measure_table (rows, table);
    measure_lmdb (rows, lmdb);
    for (unsigned i = 0; i < MEASURES; i++)
        printf ("%9s  %-18s %7.0f ns   LMDB %7.0f ns   x %.1f\n", "", s_names[i], table[i], lmdb[i],
                lmdb[i] / table[i]);
    fflush (stdout);
}

int main (int argc, char **argv)
{
    /* memory that was freed is kept and used again: else half of what is measured is the kernel clearing pages */
    mallopt (M_TRIM_THRESHOLD, -1);
    mallopt (M_MMAP_MAX, 0);
    if (argc < 2) {
        run (10000);
        run (1000000);
        run (5000000);
    }
    for (int i = 1; i < argc; i++)
        run (strtoull (argv[i], NULL, 10));
    return s_sum == 1; /* it is not */
}
