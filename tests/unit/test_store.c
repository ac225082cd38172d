/*  test_store.c - the store on LMDB: what it promises, what it refuses, and what a kill leaves.

    Every test has a directory of its own, made and removed by fixtures. Children use no assertions of check:
    they tell by their exit code.  */
#include "suites.h"
#include "base/log.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEBIBYTE (1024 * 1024)
#define AGENT "lock_manager.TIM3.0"

static char s_root[256];
static char s_path[300];
static char s_why[512];
static tim3_store_t *s_store;
static tim3_store_meta_t s_meta;
static tim3_store_options_t s_options;
static bool s_journal; /* which of the two stores */

/*  ------------------------------------------------------------------------------------------ fixtures  */

static tim3_store_options_t default_options (void)
{
    return (tim3_store_options_t){.path = s_path,
                                  .name = AGENT,
                                  .map_size = 16 * MEBIBYTE,
                                  .now_us = 1234567,
                                  .fresh_id = {{1, 2, 3, 4}},
                                  .journal = s_journal,
                                  .checkpoint_bytes = 64 * 1024,
                                  .memory_most = 16 * MEBIBYTE};
}

static int remove_entry (const char *path, const struct stat *stat, int kind, struct FTW *place)
{
    (void) stat;
    (void) kind;
    (void) place;
    return remove (path);
}

static tim3_store_t *open_store (void)
{
    s_why[0] = '\0';
    return tim3_store_open (&s_options, &s_meta, s_why, sizeof s_why);
}

static void reopen (void)
{
    tim3_store_close (&s_store);
    s_store = open_store ();
    ck_assert_msg (s_store != NULL, "%s", s_why);
}

/*  The store lies two levels below what exists, so each test makes directories too.  */
static void setup (void)
{
    const char *temporary = getenv ("TMPDIR");
    snprintf (s_root, sizeof s_root, "%s/tim3-store-XXXXXX", temporary ? temporary : "/tmp");
    ck_assert_ptr_nonnull (mkdtemp (s_root));
    snprintf (s_path, sizeof s_path, "%s/store/agent", s_root);
    s_options = default_options ();
    s_store = NULL;
    reopen ();
}

static void setup_journal (void)
{
    s_journal = true;
    setup ();
}

static void teardown (void)
{
    s_journal = false; /* tests may share a process */
    tim3_store_close (&s_store);
    nftw (s_root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/*  ------------------------------------------------------------------------------------------- helpers  */

static void put_number (tim3_store_t *store, tim3_table_t table, const char *name, uint64_t number)
{
    tim3_key_t key = tim3_key_text (name);
    tim3_counter_t counter = {number};
    ck_assert_ptr_eq (tim3_table (table)->shape, &tim3_shape_counter);
    tim3_store_write (store, table, &key, &counter);
}

/*  0 when it is not there.  */
static uint64_t get_number (tim3_store_t *store, const char *name)
{
    tim3_key_t key = tim3_key_text (name);
    tim3_counter_t counter;
    tim3_store_read (store, TIM3_TABLE_COUNTER, &key, &counter);
    return counter.value;
}

static void put (const char *name, uint64_t number)
{
    put_number (s_store, TIM3_TABLE_COUNTER, name, number);
}

static uint64_t get (const char *name)
{
    return get_number (s_store, name);
}

static void commit (void)
{
    ck_assert_int_eq (tim3_store_commit (s_store), 0);
}

/*  A record of about 4,000 bytes, to fill a store with.  */
static void put_large (uint64_t seq)
{
    static uint8_t body[4000];
    tim3_key_t key = tim3_key_u64 (seq);
    tim3_run_t item = {.seq = seq, .count = 1, .events = {body, sizeof body}};
    memset (body, 'x', sizeof body);
    memcpy (body, "\xda\x0f\x9d", 3); /* a text of 3,997 bytes */
    tim3_store_write (s_store, TIM3_TABLE_OUTBOX, &key, &item);
}

static bool has_large (uint64_t seq)
{
    tim3_key_t key = tim3_key_u64 (seq);
    return tim3_store_has (s_store, TIM3_TABLE_OUTBOX, &key);
}

static void refused_with (const char *words)
{
    tim3_store_t *store = open_store ();
    ck_assert_ptr_null (store);
    ck_assert_msg (strstr (s_why, words) != NULL, "\"%s\" lacks \"%s\"", s_why, words);
}

static void refused_with_terms (tim3_store_terms_t terms, const char *words)
{
    s_options.terms = terms;
    refused_with (words);
}

static int wait_for (pid_t child)
{
    int status = -1;
    ck_assert_int_eq (waitpid (child, &status, 0), child);
    return status;
}

static pid_t fork_child (void)
{
    pid_t child = fork ();
    ck_assert_int_ge (child, 0);
    return child;
}

/*  ------------------------------------------------------------------------- reading, writing, commits  */

START_TEST (test_put_get_delete)
{
    tim3_key_t key = tim3_key_text ("a");
    ck_assert_uint_eq (get ("a"), 0);
    ck_assert (!tim3_store_has (s_store, TIM3_TABLE_COUNTER, &key));
    put ("a", 7);
    ck_assert_uint_eq (get ("a"), 7);
    put ("a", 8);
    ck_assert_uint_eq (get ("a"), 8);
    ck_assert (tim3_store_has (s_store, TIM3_TABLE_COUNTER, &key));
    ck_assert (!tim3_store_has (s_store, TIM3_TABLE_LOG_SOURCE, &key));
    tim3_store_delete (s_store, TIM3_TABLE_COUNTER, &key);
    ck_assert (!tim3_store_has (s_store, TIM3_TABLE_COUNTER, &key));
    ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_OK);
}
END_TEST

START_TEST (test_missing_record_is_zeroed)
{
    tim3_key_t key = tim3_key_text ("nobody");
    tim3_counter_t counter = {99};
    ck_assert (!tim3_store_read (s_store, TIM3_TABLE_COUNTER, &key, &counter));
    ck_assert_uint_eq (counter.value, 0);
}
END_TEST

START_TEST (test_dirty)
{
    tim3_key_t key = tim3_key_text ("a");
    ck_assert (!tim3_store_dirty (s_store));
    get ("a");
    tim3_store_delete (s_store, TIM3_TABLE_COUNTER, &key);
    ck_assert (!tim3_store_dirty (s_store));
    put ("a", 1);
    ck_assert (tim3_store_dirty (s_store));
    commit ();
    ck_assert (!tim3_store_dirty (s_store));
    tim3_store_delete (s_store, TIM3_TABLE_COUNTER, &key);
    ck_assert (tim3_store_dirty (s_store));
    tim3_store_abort (s_store);
    ck_assert (!tim3_store_dirty (s_store));
}
END_TEST

START_TEST (test_commit_lasts)
{
    tim3_key_t key = tim3_key_text ("b");
    put ("a", 1);
    put ("b", 2);
    commit ();
    tim3_store_delete (s_store, TIM3_TABLE_COUNTER, &key);
    commit ();
    reopen ();
    ck_assert_uint_eq (get ("a"), 1);
    ck_assert_uint_eq (get ("b"), 0);
}
END_TEST

START_TEST (test_abort_forgets)
{
    tim3_key_t key = tim3_key_text ("a");
    put ("a", 1);
    commit ();
    put ("a", 2);
    put ("b", 2);
    tim3_store_abort (s_store);
    ck_assert_uint_eq (get ("a"), 1);
    ck_assert_uint_eq (get ("b"), 0);
    tim3_store_delete (s_store, TIM3_TABLE_COUNTER, &key);
    tim3_store_abort (s_store);
    commit ();
    reopen ();
    ck_assert_uint_eq (get ("a"), 1);
}
END_TEST

START_TEST (test_close_forgets_what_was_not_committed)
{
    put ("a", 1);
    reopen ();
    ck_assert_uint_eq (get ("a"), 0);
}
END_TEST

/*  ---------------------------------------------------------------------------------------------- seek  */

typedef struct {
    const char *from;
    tim3_seek_t how;
    const char *expected; /* NULL: nothing there */
} seek_case_t;

/*  Over the keys b, d, f.  */
static const seek_case_t s_seeks[] = {
    {"a", TIM3_SEEK_GE, "b"},  {"b", TIM3_SEEK_GE, "b"},  {"c", TIM3_SEEK_GE, "d"},
    {"f", TIM3_SEEK_GE, "f"},  {"g", TIM3_SEEK_GE, NULL}, {"a", TIM3_SEEK_GT, "b"},
    {"b", TIM3_SEEK_GT, "d"},  {"c", TIM3_SEEK_GT, "d"},  {"f", TIM3_SEEK_GT, NULL},
    {"a", TIM3_SEEK_LE, NULL}, {"b", TIM3_SEEK_LE, "b"},  {"c", TIM3_SEEK_LE, "b"},
    {"f", TIM3_SEEK_LE, "f"},  {"g", TIM3_SEEK_LE, "f"},  {"a", TIM3_SEEK_LT, NULL},
    {"b", TIM3_SEEK_LT, NULL}, {"c", TIM3_SEEK_LT, "b"},  {"d", TIM3_SEEK_LT, "b"},
    {"g", TIM3_SEEK_LT, "f"},
};

static void check_seek (const seek_case_t *row)
{
    tim3_key_t key = tim3_key_text (row->from);
    tim3_counter_t counter = {0};
    bool there = tim3_store_seek (s_store, TIM3_TABLE_COUNTER, row->how, &key, &counter);
    ck_assert_msg (there == (row->expected != NULL), "seek %s %d: there is %d", row->from, row->how, there);
    if (!there) {
        ck_assert_str_eq ((const char *) key.data, row->from);
        return;
    }
    ck_assert_str_eq ((const char *) key.data, row->expected);
    ck_assert_uint_eq (key.size, 2);
    ck_assert_uint_eq (counter.value, (uint64_t) row->expected[0]);
}

static void check_seeks (void)
{
    for (size_t i = 0; i < sizeof s_seeks / sizeof s_seeks[0]; i++)
        check_seek (&s_seeks[i]);
}

/*  First with nothing behind the table, so that a search runs off the end of the database; then with
    neighbours right before and behind it.  */
START_TEST (test_seek)
{
    tim3_key_t high = tim3_key_text ("~");
    tim3_key_t low = tim3_key_empty ();
    tim3_run_t event = {.seq = 1, .count = 1};
    tim3_lock_item_t lock = {.state = TIM3_LOCK_STATE_ACTIVE};
    put ("b", 'b');
    put ("d", 'd');
    put ("f", 'f');
    check_seeks ();
    tim3_store_write (s_store, TIM3_TABLE_OUTBOX, &high, &event);
    tim3_store_write (s_store, TIM3_TABLE_LOCK, &low, &lock);
    check_seeks ();
    commit ();
    check_seeks ();
}
END_TEST

START_TEST (test_seek_in_an_empty_table)
{
    for (int how = TIM3_SEEK_GE; how <= TIM3_SEEK_LT; how++) {
        tim3_key_t key = tim3_key_text ("m");
        tim3_counter_t counter;
        ck_assert (!tim3_store_seek (s_store, TIM3_TABLE_COUNTER, (tim3_seek_t) how, &key, &counter));
    }
    ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_OK);
}
END_TEST

/*  A walk that deletes what it stands on, as sweeps do.  */
START_TEST (test_seek_while_deleting)
{
    char name[8];
    uint64_t seen = 0;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf (name, sizeof name, "%04u", i);
        put (name, i);
    }
    commit ();
    tim3_key_t key = tim3_key_empty ();
    tim3_counter_t counter;
    while (tim3_store_seek (s_store, TIM3_TABLE_COUNTER, TIM3_SEEK_GT, &key, &counter)) {
        ck_assert_uint_eq (counter.value, seen);
        seen++;
        tim3_store_delete (s_store, TIM3_TABLE_COUNTER, &key);
    }
    ck_assert_uint_eq (seen, 1000);
    commit ();
    key = tim3_key_empty ();
    ck_assert (!tim3_store_seek (s_store, TIM3_TABLE_COUNTER, TIM3_SEEK_GE, &key, &counter));
}
END_TEST

START_TEST (test_longest_key)
{
    tim3_key_t key = {.size = TIM3_KEY_MAX};
    tim3_key_t from = tim3_key_empty ();
    tim3_counter_t counter = {5};
    memset (key.data, 0xff, sizeof key.data);
    tim3_store_write (s_store, TIM3_TABLE_COUNTER, &key, &counter);
    commit ();
    ck_assert (tim3_store_seek (s_store, TIM3_TABLE_COUNTER, TIM3_SEEK_GE, &from, &counter));
    ck_assert_uint_eq (from.size, TIM3_KEY_MAX);
    ck_assert (memcmp (from.data, key.data, TIM3_KEY_MAX) == 0);
    ck_assert_uint_eq (counter.value, 5);
}
END_TEST

/*  ------------------------------------------------------------------------------- records of all tables  */

/*  {"k": seed} as MessagePack.  */
static uint8_t s_raw[2][4] = {{0x81, 0xa1, 'k', 1}, {0x81, 0xa1, 'k', 2}};

/*  Zero stands for none, and a required field refuses it.  */
static uint8_t pick_value (const tim3_value_t *values, bool last)
{
    uint8_t number = 0;
    for (; values->name && (last || number == 0); values++)
        number = values->number;
    return number;
}

static void fill_text (char *member, uint32_t bound, unsigned seed)
{
    for (uint32_t i = 0; i < bound; i++)
        member[i] = (char) ('!' + (i + seed * 7) % 90);
    member[bound] = '\0';
}

/*  Numbers come out odd and wide, so that a lost byte or two swapped fields show.  */
static void fill_field (const tim3_field_t *field, uint8_t *member, unsigned seed)
{
    uint64_t wide = tim3_hash64 (field->name, field->name_length, seed) | 1;
    tim3_amount_t amount = (tim3_amount_t) wide << 64 | ~wide;
    tim3_raw_t raw = {s_raw[seed % 2], sizeof s_raw[0]};
    switch (field->kind) {
    case TIM3_KIND_U64:
        wide = field->bound ? wide % field->bound + 1 : wide;
        memcpy (member, &wide, sizeof wide);
        break;
    case TIM3_KIND_AMOUNT:
        memcpy (member, &amount, sizeof amount);
        break;
    case TIM3_KIND_ID:
        memset (member, (int) (wide >> 32 & 255), sizeof (tim3_id_t));
        break;
    case TIM3_KIND_MAC:
        memset (member, (int) (wide >> 40 & 255), sizeof (tim3_mac_t));
        break;
    case TIM3_KIND_BOOL:
        *(bool *) member = seed % 2 == 0;
        break;
    case TIM3_KIND_STR:
        fill_text ((char *) member, field->bound, seed);
        break;
    case TIM3_KIND_ENUM:
        *member = pick_value (field->values, seed % 2 == 1);
        break;
    case TIM3_KIND_RAW:
        memcpy (member, &raw, sizeof raw);
        break;
    case TIM3_KIND_LIST:
        ck_abort_msg ("a stored record may not hold the list %s", field->name);
    }
}

static size_t field_size (const tim3_field_t *field)
{
    static const size_t sizes[] = {
        [TIM3_KIND_U64] = sizeof (uint64_t), [TIM3_KIND_AMOUNT] = sizeof (tim3_amount_t),
        [TIM3_KIND_ID] = sizeof (tim3_id_t), [TIM3_KIND_MAC] = sizeof (tim3_mac_t),
        [TIM3_KIND_BOOL] = sizeof (bool),    [TIM3_KIND_ENUM] = sizeof (uint8_t)};
    return field->kind == TIM3_KIND_STR ? field->bound + 1 : sizes[field->kind];
}

static bool same_field (const tim3_field_t *field, const uint8_t *a, const uint8_t *b)
{
    const tim3_raw_t *x = (const void *) a;
    const tim3_raw_t *y = (const void *) b;
    if (field->kind == TIM3_KIND_RAW)
        return x->size == y->size && memcmp (x->data, y->data, x->size) == 0;
    return memcmp (a, b, field_size (field)) == 0;
}

static void *filled (const tim3_shape_t *shape, unsigned seed)
{
    uint8_t *record = tim3_alloc (shape->size);
    for (unsigned i = 0; i < shape->count; i++)
        fill_field (&shape->fields[i], record + shape->fields[i].offset, seed);
    return record;
}

static void write_filled (const tim3_table_row_t *row, unsigned seed)
{
    tim3_key_t key = tim3_key_u64 (seed);
    void *record = filled (row->shape, seed);
    tim3_store_write (s_store, row->number, &key, record);
    free (record);
}

static void check_filled (const tim3_table_row_t *row, unsigned seed)
{
    tim3_key_t key = tim3_key_u64 (seed);
    uint8_t *expected = filled (row->shape, seed);
    uint8_t *record = tim3_alloc (row->shape->size);
    ck_assert_msg (tim3_store_read (s_store, row->number, &key, record), "%s: not there", row->name);
    ck_assert_msg (tim3_store_error (s_store) == TIM3_STORE_OK, "%s: does not decode", row->name);
    for (unsigned i = 0; i < row->shape->count; i++) {
        const tim3_field_t *field = &row->shape->fields[i];
        ck_assert_msg (same_field (field, expected + field->offset, record + field->offset), "%s: %s differs",
                       row->name, field->name);
    }
    free (record);
    free (expected);
}

START_TEST (test_every_table_round_trips)
{
    const tim3_table_row_t *row;
    unsigned count;
    for (count = 0; (row = tim3_table_at (count)); count++) {
        write_filled (row, 1);
        write_filled (row, 2);
    }
    ck_assert_uint_gt (count, 20);
    commit ();
    reopen ();
    for (unsigned i = 0; (row = tim3_table_at (i)); i++) {
        check_filled (row, 1);
        check_filled (row, 2);
    }
}
END_TEST

START_TEST (test_corrupt_record)
{
    tim3_key_t key = tim3_key_text ("bad");
    tim3_counter_t counter;
    put ("good", 1);
    s_store->ops->put (s_store, TIM3_TABLE_COUNTER, &key, (const uint8_t *) "\x91\xa1", 2);
    commit ();
    tim3_store_read (s_store, TIM3_TABLE_COUNTER, &key, &counter);
    ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_CORRUPT);
    put ("good", 2);
    ck_assert_int_eq (tim3_store_commit (s_store), -1);
    tim3_store_abort (s_store);
    ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_CORRUPT);
    reopen ();
    ck_assert_uint_eq (get ("good"), 1);
    key = tim3_key_text ("a");
    ck_assert (!tim3_store_seek (s_store, TIM3_TABLE_COUNTER, TIM3_SEEK_GE, &key, &counter));
    ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_CORRUPT);
}
END_TEST

/*  ------------------------------------------------------------------------------------ whose store it is  */

static struct stat check_mode (const char *path, unsigned mode)
{
    struct stat found;
    ck_assert_msg (stat (path, &found) == 0, "%s: not there", path);
    ck_assert_msg ((found.st_mode & 0777) == mode, "%s: mode %o", path, found.st_mode & 0777);
    return found;
}

START_TEST (test_new_store)
{
    ck_assert_str_eq (s_meta.name, AGENT);
    ck_assert (tim3_id_equal (&s_meta.id, &s_options.fresh_id));
    ck_assert_uint_eq (s_meta.schema, TIM3_SCHEMA_VERSION);
    ck_assert_uint_eq (s_meta.created_us, 1234567);
    ck_assert_int_eq (chdir (s_path), 0);
    check_mode ("..", 0700);
    check_mode (".", 0700);
    check_mode ("LOCK", 0600);
    check_mode ("lock.mdb", 0600);
    ck_assert_uint_eq (s_meta.inode, check_mode ("data.mdb", 0600).st_ino);
    ck_assert_int_eq (chdir ("/"), 0);
}
END_TEST

START_TEST (test_identity_lasts)
{
    s_options.fresh_id = (tim3_id_t){{9}};
    s_options.now_us = 99;
    s_options.adopt = true;
    reopen ();
    ck_assert_uint_eq (s_meta.id.bytes[0], 1);
    ck_assert_uint_eq (s_meta.created_us, 1234567);
}
END_TEST

START_TEST (test_second_opening_is_refused)
{
    refused_with ("already open in this process");
    put ("a", 1);
    commit ();
    ck_assert_uint_eq (get ("a"), 1);
}
END_TEST

START_TEST (test_second_process_is_refused)
{
    char expected[40];
    snprintf (expected, sizeof expected, "in use by process %ld;", (long) getpid ());
    pid_t child = fork_child ();
    if (child == 0)
        _exit (open_store () == NULL && strstr (s_why, expected) ? 0 : 1);
    ck_assert_int_eq (wait_for (child), 0);
}
END_TEST

static void be_quiet_and_leave_no_core (void)
{
    struct rlimit none = {0, 0};
    setrlimit (RLIMIT_CORE, &none);
    signal (SIGABRT, SIG_DFL);
    close (STDERR_FILENO);
}

START_TEST (test_use_after_fork_panics)
{
    pid_t child = fork_child ();
    if (child == 0) {
        be_quiet_and_leave_no_core ();
        put ("a", 1);
        tim3_store_commit (s_store);
        _exit (0);
    }
    int status = wait_for (child);
    ck_assert (WIFSIGNALED (status) && WTERMSIG (status) == SIGABRT);
}
END_TEST

START_TEST (test_other_agents_store_is_refused)
{
    tim3_store_close (&s_store);
    s_options.name = "token_manager.TIM3.0";
    refused_with ("belongs to " AGENT ", not to token_manager.TIM3.0");
    s_options.name = AGENT;
    reopen ();
}
END_TEST

/*  Each term by itself; and with all of them as they were it opens.  */
START_TEST (test_other_terms_are_refused)
{
    const tim3_store_terms_t begun = {
        .shards = 2, .decimals = 6, .collateral = "USDA", .collateral_decimals = 18};
    tim3_store_close (&s_store);
    nftw (s_root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    ck_assert_int_eq (mkdir (s_root, 0700), 0);
    s_options.terms = begun;
    reopen ();
    tim3_store_close (&s_store);
    tim3_store_terms_t other = begun;
    other.shards = 3;
    refused_with_terms (other, "a ledger with 2 shards, not 3; set asset/NAME/shards back to 2");
    other = begun;
    other.decimals = 4;
    refused_with_terms (other, "a ledger with 6 decimals, not 4; set its decimals back to 6");
    other = begun;
    other.collateral_decimals = 20;
    refused_with_terms (other, "18 decimals of collateral, not 20; set collateral/decimals back to 18");
    other = begun;
    other.collateral = "EUR";
    refused_with_terms (other, "backed by \"USDA\", not \"EUR\"; set collateral/name back to USDA");
    s_options.terms = begun;
    reopen ();
}
END_TEST

static void set_schema (uint64_t schema)
{
    tim3_key_t key = tim3_key_text ("store");
    tim3_store_meta_t meta = s_meta;
    meta.schema = schema;
    tim3_store_write (s_store, TIM3_TABLE_META, &key, &meta);
    commit ();
    tim3_store_close (&s_store);
}

START_TEST (test_newer_schema_is_refused)
{
    set_schema (TIM3_SCHEMA_VERSION + 1);
    refused_with ("or a newer one");
}
END_TEST

START_TEST (test_older_schema_is_refused)
{
    set_schema (TIM3_SCHEMA_VERSION - 1);
    refused_with ("cannot bring up to");
}
END_TEST

START_TEST (test_unreadable_identity_is_refused)
{
    tim3_key_t key = tim3_key_text ("store");
    s_store->ops->put (s_store, TIM3_TABLE_META, &key, (const uint8_t *) "?", 1);
    commit ();
    tim3_store_close (&s_store);
    refused_with ("restore a backup");
}
END_TEST

START_TEST (test_foreign_data_is_refused)
{
    tim3_key_t key = tim3_key_text ("store");
    put ("a", 1);
    tim3_store_delete (s_store, TIM3_TABLE_META, &key);
    commit ();
    tim3_store_close (&s_store);
    refused_with ("did not write");
}
END_TEST

static void write_file (const char *path, const void *data, size_t size)
{
    FILE *file = fopen (path, "w");
    ck_assert_ptr_nonnull (file);
    ck_assert_uint_eq (fwrite (data, 1, size, file), size);
    ck_assert_int_eq (fclose (file), 0);
}

static void copy_file (const char *from, const char *to)
{
    static uint8_t data[4 * MEBIBYTE];
    FILE *file = fopen (from, "r");
    ck_assert_ptr_nonnull (file);
    size_t size = fread (data, 1, sizeof data, file);
    ck_assert_uint_lt (size, sizeof data);
    ck_assert_int_eq (fclose (file), 0);
    write_file (to, data, size);
}

/*  Puts a copy of the closed store's files into a directory beside it, and makes that the one to open.  */
static void copy_store (void)
{
    static char copy[300];
    char from[600];
    char to[600];
    struct dirent *entry;
    DIR *listing = opendir (s_path);
    ck_assert_ptr_nonnull (listing);
    snprintf (copy, sizeof copy, "%s/copy", s_root);
    ck_assert_int_eq (mkdir (copy, 0700), 0);
    while ((entry = readdir (listing))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf (from, sizeof from, "%s/%s", s_path, entry->d_name);
        snprintf (to, sizeof to, "%s/%s", copy, entry->d_name);
        copy_file (from, to);
    }
    closedir (listing);
    s_options.path = copy;
    s_options.fresh_id = (tim3_id_t){{42}};
}

START_TEST (test_copy_is_refused_unless_adopted)
{
    put ("a", 5);
    commit ();
    tim3_store_close (&s_store);
    copy_store ();
    refused_with ("is a copy of a store of " AGENT);
    s_options.adopt = true;
    reopen ();
    ck_assert_uint_eq (s_meta.id.bytes[0], 42);
    ck_assert_uint_eq (get ("a"), 5);
    s_options.adopt = false;
    s_options.fresh_id = (tim3_id_t){{43}};
    reopen ();
    ck_assert_uint_eq (s_meta.id.bytes[0], 42);
}
END_TEST

START_TEST (test_adopting_is_for_the_same_agent)
{
    tim3_store_close (&s_store);
    copy_store ();
    s_options.adopt = true;
    s_options.name = "token_manager.TIM3.0";
    refused_with ("belongs to " AGENT);
}
END_TEST

START_TEST (test_garbage_is_refused)
{
    static uint8_t garbage[64 * 1024];
    char file[320];
    tim3_store_close (&s_store);
    snprintf (file, sizeof file, "%s/data.mdb", s_path);
    memset (garbage, 0x5a, sizeof garbage);
    write_file (file, garbage, sizeof garbage);
    refused_with ("cannot open the store");
}
END_TEST

START_TEST (test_path_that_is_no_directory)
{
    static char file[300];
    tim3_store_close (&s_store);
    snprintf (file, sizeof file, "%s/file", s_root);
    write_file (file, "x", 1);
    s_options.path = file;
    refused_with ("cannot open");
    s_options.path = "";
    refused_with ("cannot make the directory");
}
END_TEST

/*  --------------------------------------------------------------------------------------- a full store  */

static void open_small (void)
{
    s_options.map_size = 40 * 4096 - 1;
    reopen ();
}

START_TEST (test_usage)
{
    uint64_t used;
    uint64_t most;
    uint64_t before;
    open_small ();
    tim3_store_usage (s_store, &before, &most);
    ck_assert_uint_eq (most, 40 * 4096);
    ck_assert_uint_gt (before, 0);
    for (uint64_t i = 1; i <= 10; i++)
        put_large (i);
    commit ();
    tim3_store_usage (s_store, &used, &most);
    ck_assert_uint_ge (used, before + 10 * 4000);
    ck_assert_uint_le (used, most);
}
END_TEST

START_TEST (test_full_map)
{
    uint64_t seq;
    open_small ();
    put ("a", 1);
    put_large (1);
    commit ();
    for (seq = 2; seq < 100 && tim3_store_error (s_store) == TIM3_STORE_OK; seq++)
        put_large (seq);
    ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_FULL);
    ck_assert_uint_eq (get ("a"), 0);
    put ("a", 2);
    ck_assert_int_eq (tim3_store_commit (s_store), -1);
    tim3_store_abort (s_store);
    ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_OK);
    ck_assert_uint_eq (get ("a"), 1);
    ck_assert (has_large (1) && !has_large (2));
    put ("a", 3);
    commit ();
    reopen ();
    ck_assert_uint_eq (get ("a"), 3);
}
END_TEST

/*  Filled by small commits up to the last page: what is there can be read, and a larger map goes on.  */
START_TEST (test_full_map_grows_when_reopened)
{
    uint64_t seq = 1;
    open_small ();
    do {
        put_large (seq++);
    } while (tim3_store_commit (s_store) == 0);
    ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_FULL);
    tim3_store_abort (s_store);
    ck_assert (has_large (1) && has_large (seq - 2) && !has_large (seq - 1));
    s_options.map_size = 16 * MEBIBYTE;
    reopen ();
    put_large (seq - 1);
    commit ();
    ck_assert (has_large (seq - 2) && has_large (seq - 1));
}
END_TEST

/*  A disk that is full at commit, by way of a limit on the size of files.  */
START_TEST (test_full_disk)
{
    struct rlimit before;
    uint64_t used;
    uint64_t most;
    put ("a", 1);
    put_large (1);
    commit ();
    tim3_store_usage (s_store, &used, &most);
    signal (SIGXFSZ, SIG_IGN);
    getrlimit (RLIMIT_FSIZE, &before);
    struct rlimit limit = {used, before.rlim_max};
    setrlimit (RLIMIT_FSIZE, &limit);
    for (uint64_t seq = 2; seq < 20; seq++)
        put_large (seq);
    int rc = tim3_store_commit (s_store);
    setrlimit (RLIMIT_FSIZE, &before);
    ck_assert_int_eq (rc, -1);
    ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_FULL);
    tim3_store_abort (s_store);
    ck_assert_uint_eq (get ("a"), 1);
    ck_assert (!has_large (2));
    put ("a", 2);
    put_large (2);
    commit ();
    reopen ();
    ck_assert_uint_eq (get ("a"), 2);
    ck_assert (has_large (1) && has_large (2) && !has_large (3));
}
END_TEST

/*  A disk of its own for this process, 4 MB large; takes root.  */
static bool mount_small_disk (void)
{
    return unshare (CLONE_NEWNS) == 0 && mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount ("tmpfs", s_root, "tmpfs", 0, "size=4m") == 0;
}

/*  Fills what is left by way of a file; a store that is made then is refused, and it is told why.  */
static bool new_store_finds_no_room (int file)
{
    static const char page[4096];
    bool full = false;
    char path[320];
    char why[512];
    tim3_store_meta_t meta;
    tim3_store_options_t options = s_options;
    lseek (file, 0, SEEK_END);
    while (write (file, page, sizeof page) == sizeof page)
        ;
    snprintf (path, sizeof path, "%s/other", s_root);
    options.path = path;
    options.full = &full;
    return !tim3_store_open_lmdb (&options, &meta, why, sizeof why) && full;
}

/*  In a child: commits until the disk is full, then again when there is room. LMDB often writes a part of what it wants,
    and then does not say that the disk is full.  */
static int fill_a_disk (void)
{
    char ballast[320];
    if (!mount_small_disk ())
        return 77;
    if (!(s_store = open_store ()))
        return 1;
    snprintf (ballast, sizeof ballast, "%s/ballast", s_root);
    int file = open (ballast, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (posix_fallocate (file, 0, 3 * MEBIBYTE))
        return 2;
    uint64_t last = 0;
    unsigned refused = 0;
    for (uint64_t i = 1; i < 200; i++) {
        put ("a", i);
        for (uint64_t j = 0; j < 40; j++)
            put_large (100 * i + j);
        if (tim3_store_commit (s_store) == 0) {
            last = i;
            continue;
        }
        if (tim3_store_error (s_store) != TIM3_STORE_FULL)
            return 3;
        tim3_store_abort (s_store);
        if (get ("a") != last || (last && !has_large (100 * last + 39)) || has_large (100 * i))
            return 4;
        refused++;
        tim3_store_abort (s_store);
    }
    if (refused == 0 || !new_store_finds_no_room (file) || ftruncate (file, 0))
        return 5;
    put ("a", 1000);
    put_large (50000);
    if (tim3_store_commit (s_store))
        return 6;
    tim3_store_close (&s_store);
    s_store = open_store ();
    return s_store && get ("a") == 1000 && has_large (50000) && has_large (100 * last) ? 0 : 7;
}

START_TEST (test_really_full_disk)
{
    tim3_store_close (&s_store);
    pid_t child = fork_child ();
    if (child == 0)
        _exit (fill_a_disk ());
    int status = wait_for (child);
    ck_assert (WIFEXITED (status));
    if (WEXITSTATUS (status) != 77) /* no right to mount */
        ck_assert_int_eq (WEXITSTATUS (status), 0);
}
END_TEST

/*  ------------------------------------------------------------------------------------------- kill -9  */

/*  In a child: opens the store anew, commits three times, then writes on and dies.  */
static void commit_three_and_die (void)
{
    s_store = open_store ();
    if (!s_store)
        _exit (1);
    for (uint64_t i = 1; i <= 3; i++) {
        put ("a", i);
        put_large (i);
        if (tim3_store_commit (s_store))
            _exit (2);
    }
    put ("a", 4);
    for (uint64_t i = 4; i < 200; i++)
        put_large (i);
    raise (SIGKILL);
}

START_TEST (test_kill_leaves_the_last_commit)
{
    tim3_store_close (&s_store);
    pid_t child = fork_child ();
    if (child == 0)
        commit_three_and_die ();
    int status = wait_for (child);
    ck_assert (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
    reopen ();
    ck_assert_uint_eq (get ("a"), 3);
    ck_assert (has_large (3) && !has_large (4));
    put ("a", 5);
    commit ();
}
END_TEST

/*  In a child: counts up for ever, twice in each commit, and tells each number once it is committed.  */
static void count_until_killed (int told)
{
    s_store = open_store ();
    for (uint64_t i = s_store ? get ("a") + 1 : 0; s_store; i++) {
        put ("a", i);
        put_large (i % 50);
        put ("z", i);
        if (tim3_store_commit (s_store) || write (told, &i, sizeof i) != sizeof i)
            break;
    }
    _exit (1);
}

static uint64_t last_told (int told)
{
    uint64_t number;
    uint64_t last = 0;
    while (read (told, &number, sizeof number) == sizeof number)
        last = number;
    return last;
}

/*  Lets a child count for a while and kills it wherever it is; returns the last number it told.  */
static uint64_t count_and_kill (useconds_t after_us)
{
    int told[2];
    uint64_t first;
    ck_assert_int_eq (pipe (told), 0);
    pid_t child = fork_child ();
    if (child == 0) {
        close (told[0]);
        count_until_killed (told[1]);
    }
    close (told[1]);
    ck_assert_int_eq (read (told[0], &first, sizeof first), sizeof first);
    usleep (after_us);
    kill (child, SIGKILL);
    uint64_t last = last_told (told[0]);
    close (told[0]);
    ck_assert (WIFSIGNALED (wait_for (child)));
    return last > first ? last : first;
}

START_TEST (test_kill_at_any_moment)
{
    for (unsigned round = 0; round < 20; round++) {
        tim3_store_close (&s_store);
        uint64_t told = count_and_kill (500 + round * 137);
        reopen ();
        ck_assert_uint_ge (get ("a"), told);
        ck_assert_uint_le (get ("a"), told + 1);
        ck_assert_uint_eq (get ("a"), get ("z"));
    }
}
END_TEST

/*  --------------------------------------------------------------------------------------------- suite  */

static void add_case (Suite *suite, const char *name, SFun begin, const TTest *const *tests)
{
    TCase *group = tcase_create (name);
    tcase_add_checked_fixture (group, begin, teardown);
    tcase_set_timeout (group, 60);
    for (; *tests; tests++)
        tcase_add_test (group, *tests);
    suite_add_tcase (suite, group);
}

#define CASE(name, begin, ...) add_case (suite, name, begin, (const TTest *const[]){__VA_ARGS__, NULL})

/*  What both stores promise.  */
static void add_promises (Suite *suite, SFun begin)
{
    CASE ("transactions", begin, test_put_get_delete, test_missing_record_is_zeroed, test_dirty,
          test_commit_lasts, test_abort_forgets, test_close_forgets_what_was_not_committed);
    CASE ("seek", begin, test_seek, test_seek_in_an_empty_table, test_seek_while_deleting, test_longest_key);
    CASE ("records", begin, test_every_table_round_trips);
    CASE ("opening", begin, test_new_store, test_identity_lasts, test_second_opening_is_refused,
          test_second_process_is_refused, test_use_after_fork_panics, test_other_terms_are_refused,
          test_other_agents_store_is_refused, test_copy_is_refused_unless_adopted,
          test_adopting_is_for_the_same_agent, test_path_that_is_no_directory);
    CASE ("kill", begin, test_kill_leaves_the_last_commit, test_kill_at_any_moment);
}

Suite *suite_store (void)
{
    Suite *suite = suite_create ("store");
    add_promises (suite, setup);
    add_promises (suite, setup_journal);
    CASE ("damage", setup, test_corrupt_record, test_newer_schema_is_refused, test_older_schema_is_refused,
          test_unreadable_identity_is_refused, test_foreign_data_is_refused, test_garbage_is_refused);
    CASE ("full", setup, test_usage, test_full_map, test_full_map_grows_when_reopened, test_full_disk,
          test_really_full_disk);
    return suite;
}
