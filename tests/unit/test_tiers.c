/*  test_tiers.c - the store in two tiers beside a store in memory that does the same: whatever is done, whenever
    checkpoints run, and however a process ends, both hold the same. Then its past, its notes, and the way from one
    kind of store to the other.

    What a seed does follows from the seed alone, so a process that is killed has done what its parent knows. Children
    tell by their exit code.  */
#include "suites.h"
#include "base/log.h"
#include "faults.h"
#include "folder.h"
#include "memory_store.h"
#include "seeded.h"
#include "store/journal.h"
#include "store/past.h"
#include "store/record.h"
#include "store/store_tiers.h"
#include "store/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MEBIBYTE (1024 * 1024)
#define AGENT "lock_manager.TIM3.0"
#define VALUE_MAX 6000

static char s_root[256];
static char s_path[300];
static char s_copy[300];
static char s_why[512];
static tim3_store_t *s_store;
static tim3_store_t *s_model;
static tim3_store_options_t s_options;
static seeded_t s_seeded;
static uint8_t s_value[VALUE_MAX];

/*  ------------------------------------------------------------------------------------------ fixtures  */

static tim3_store_t *open_store (void)
{
    tim3_store_meta_t meta;
    s_why[0] = '\0';
    return tim3_store_open (&s_options, &meta, s_why, sizeof s_why);
}

static void reopen (void)
{
    tim3_store_close (&s_store);
    s_store = open_store ();
    ck_assert_msg (s_store != NULL, "%s", s_why);
}

static void setup (void)
{
    folder_make (s_root);
    snprintf (s_path, sizeof s_path, "%s/store", s_root);
    snprintf (s_copy, sizeof s_copy, "%s/copy", s_root);
    s_options = (tim3_store_options_t){.path = s_path,
                                       .name = AGENT,
                                       .map_size = 32 * MEBIBYTE,
                                       .fresh_id = {{1, 2, 3, 4}},
                                       .journal = true,
                                       .checkpoint_bytes = 8 * 1024,
                                       .memory_most = 16 * MEBIBYTE};
    tim3_log_open ("test", TIM3_ERROR);
    s_model = memory_store_new ();
    s_store = NULL;
    s_seeded = (seeded_t){1};
    reopen ();
}

static void teardown (void)
{
    faults_clear ();
    tim3_store_close (&s_store);
    tim3_store_close (&s_model);
    folder_remove (s_root);
}

static uint64_t below (uint64_t most)
{
    return seeded_below (&s_seeded, most);
}

/*  ----------------------------------------------------------------------------------------- comparing
    Without the assertions of check, so that children can do it.  */

static bool same_bytes (const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    return a_size == b_size && (a_size == 0 || memcmp (a, b, a_size) == 0);
}

static bool same_seek (tim3_store_t *store, tim3_table_t table, tim3_seek_t how, tim3_key_t *key, bool *there)
{
    tim3_key_t other = *key;
    const uint8_t *value;
    const uint8_t *expected;
    size_t size;
    size_t expected_size;
    *there = store->ops->seek (store, table, how, key, &value, &size);
    if (s_model->ops->seek (s_model, table, how, &other, &expected, &expected_size) != *there)
        return false;
    return !*there || (same_bytes (key->data, key->size, other.data, other.size) &&
                       same_bytes (value, size, expected, expected_size));
}

static bool same_get (tim3_store_t *store, tim3_table_t table, const tim3_key_t *key)
{
    const uint8_t *value;
    const uint8_t *expected;
    size_t size;
    size_t expected_size;
    bool there = store->ops->get (store, table, key, &value, &size);
    if (s_model->ops->get (s_model, table, key, &expected, &expected_size) != there)
        return false;
    return !there || same_bytes (value, size, expected, expected_size);
}

static bool same_table (tim3_store_t *store, tim3_table_t table)
{
    tim3_key_t key = tim3_key_empty ();
    bool there = true;
    while (there)
        if (!same_seek (store, table, TIM3_SEEK_GT, &key, &there) ||
            (there && !same_get (store, table, &key)))
            return false;
    memset (key.data, 0xff, sizeof key.data);
    key.size = TIM3_KEY_MAX;
    for (there = true; there;)
        if (!same_seek (store, table, TIM3_SEEK_LT, &key, &there))
            return false;
    return true;
}

/*  All but what the store says of itself.  */
static bool same_content (tim3_store_t *store)
{
    const tim3_table_row_t *row;
    for (unsigned i = 0; (row = tim3_table_at (i)); i++)
        if (row->number != TIM3_TABLE_META && row->number != TIM3_TABLE_CHECKPOINT &&
            !same_table (store, row->number))
            return false;
    return tim3_store_error (store) == TIM3_STORE_OK;
}

static void check_content (void)
{
    ck_assert (same_content (s_store));
}

/*  ----------------------------------------------------------------------------------------- doing things  */

/*  A table, and how many keys are used of it.  */
static const struct {
    tim3_table_t table;
    unsigned keys;
} s_tables[] = {
    {TIM3_TABLE_COUNTER, 6}, {TIM3_TABLE_LOCK, 60}, {TIM3_TABLE_ACCOUNT, 700}, {TIM3_TABLE_LOG, 5000}};

static unsigned s_at; /* of the table that grows at its end */

static tim3_table_t draw_key (tim3_key_t *key)
{
    size_t i = below (sizeof s_tables / sizeof s_tables[0]);
    uint64_t number = below (s_tables[i].keys);
    if (s_tables[i].table == TIM3_TABLE_LOG)
        *key = tim3_key_u64 (s_at > 8 ? s_at - below (8) : s_at);
    else {
        *key = tim3_key_text (number % 2 ? "a" : "account");
        tim3_key_add_u64 (key, number);
    }
    if (number % 7 == 0)
        key->size = (uint16_t) (key->size - number % 3); /* some are prefixes of others */
    return s_tables[i].table;
}

static void put_both (tim3_table_t table, const tim3_key_t *key, size_t size)
{
    seeded_fill (&s_seeded, s_value, size < 64 ? size : 64);
    if (s_store)
        s_store->ops->put (s_store, table, key, s_value, size);
    s_model->ops->put (s_model, table, key, s_value, size);
}

static void delete_both (tim3_table_t table, const tim3_key_t *key)
{
    if (s_store)
        s_store->ops->del (s_store, table, key);
    s_model->ops->del (s_model, table, key);
}

/*  A stretch of keys that are neighbours goes at once: what remains are deleted rows over the tier below.  */
static void delete_stretch (tim3_table_t table, const tim3_key_t *from)
{
    tim3_key_t key = *from;
    const uint8_t *value;
    size_t size;
    for (unsigned left = (unsigned) below (40); left > 0; left--) {
        if (!s_model->ops->seek (s_model, table, TIM3_SEEK_GE, &key, &value, &size))
            return;
        delete_both (table, &key);
    }
}

/*  What was read stays as it was until the next change, whatever the other thread does.  */
static bool stays (tim3_table_t table, const tim3_key_t *key)
{
    static uint8_t copy[VALUE_MAX];
    const uint8_t *value;
    size_t size;
    tim3_key_t other = *key;
    bool there;
    if (!s_store || !s_store->ops->get (s_store, table, key, &value, &size))
        return true;
    memcpy (copy, value, size);
    for (unsigned i = 0; i < 4; i++)
        if (!same_seek (s_store, table, (tim3_seek_t) i, &other, &there))
            return false;
    return memcmp (copy, value, size) == 0;
}

static bool look (tim3_table_t table, tim3_key_t *key, uint64_t how)
{
    bool there;
    if (!s_store)
        return true;
    tim3_store_fetch (s_store, table, key); /* must make no difference, wherever the key is */
    if (how == 4)
        return same_get (s_store, table, key);
    return how == 5 ? stays (table, key) : same_seek (s_store, table, (tim3_seek_t) how, key, &there);
}

static bool end_batch (uint64_t how)
{
    uint64_t used = 0;
    uint64_t most = 1;
    if (s_store)
        tim3_store_usage (s_store, &used, &most);
    if (used > most)
        return false;
    if (how == 0) {
        if (s_store)
            tim3_store_abort (s_store);
        tim3_store_abort (s_model);
        return true;
    }
    s_at += 3;
    return tim3_store_commit (s_model) == 0 && (!s_store || tim3_store_commit (s_store) == 0);
}

/*  One step. Without a store only the model moves, in the same way.  */
static bool step (void)
{
    tim3_key_t key;
    tim3_table_t table = draw_key (&key);
    uint64_t what = below (100);
    uint64_t which = below (8);
    uint64_t size = below (40) ? below (120) : below (VALUE_MAX);
    if (what < 40)
        put_both (table, &key, size);
    else if (what < 57)
        delete_both (table, &key);
    else if (what < 60)
        delete_stretch (table, &key);
    else if (what < 88)
        return look (table, &key, which % 6);
    else
        return end_batch (which);
    return true;
}

static bool steps (unsigned count)
{
    while (count-- > 0)
        if (!step ())
            return false;
    return true;
}

static unsigned seeds (unsigned standard)
{
    const char *text = getenv ("TIM3_SEEDS");
    unsigned given = text ? (unsigned) strtoul (text, NULL, 10) : standard;
    return given > 0 ? given : 1;
}

/*  In a child: does count steps and is killed, with the other thread wherever it is.  */
static void run_and_die (unsigned count)
{
    s_store = open_store ();
    if (!s_store || !steps (count))
        _exit (1);
    raise (SIGKILL);
}

static int wait_for (pid_t child)
{
    int status = -1;
    ck_assert_int_eq (waitpid (child, &status, 0), child);
    return status;
}

static void crash_after (unsigned count)
{
    tim3_store_close (&s_store);
    tim3_store_abort (s_model);
    pid_t child = fork ();
    ck_assert_int_ge (child, 0);
    if (child == 0)
        run_and_die (count);
    int status = wait_for (child);
    ck_assert_msg (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL, "the child found a difference");
    ck_assert (steps (count)); /* the model alone */
    tim3_store_abort (s_model);
}

static void check_read_only_copy (void)
{
    tim3_store_meta_t meta;
    bool in_use;
    folder_copy (s_path, s_copy);
    tim3_store_t *store = tim3_store_open_read_only (s_copy, &meta, &in_use, s_why, sizeof s_why);
    ck_assert_msg (store != NULL, "%s", s_why);
    ck_assert (same_content (store));
    tim3_store_close (&store);
}

static void run_seed (uint64_t seed)
{
    s_seeded = (seeded_t){seed};
    for (unsigned round = 0; round < 12; round++) {
        ck_assert_msg (steps ((unsigned) below (1500)), "seed %llu: a difference", (unsigned long long) seed);
        check_content ();
        uint64_t how = below (4);
        if (how == 0)
            crash_after ((unsigned) below (1500));
        if (how > 1)
            tim3_store_abort (s_model);
        if (how > 1)
            tim3_store_close (&s_store);
        if (how != 1)
            check_read_only_copy ();
        if (how == 3)
            s_options.checkpoint_bytes = 1024u << below (8);
        if (how != 1)
            reopen ();
        check_content ();
    }
}

/*  The same folder goes through all seeds.  */
START_TEST (test_does_as_the_model_does)
{
    unsigned count = seeds (6);
    for (uint64_t seed = 1; seed <= count; seed++)
        run_seed (seed);
}
END_TEST

/*  With hardly any memory each commit waits for a checkpoint.  */
START_TEST (test_does_so_with_little_memory)
{
    s_options.memory_most = 64 * 1024;
    reopen ();
    run_seed (99);
}
END_TEST

/*  -------------------------------------------------------------------------------------------- the past  */

#define POINTS 8

#define ROUNDS 20

static uint64_t s_digests[ROUNDS]; /* of the model, at each checkpoint */

static void make_points (unsigned count)
{
    for (unsigned i = 0; i <= count; i++) {
        s_digests[i] = memory_store_digest (s_model);
        if (i == count)
            break;
        ck_assert (steps (300) && end_batch (1));
        put_both (TIM3_TABLE_COUNTER, &(tim3_key_t){.data = "x", .size = 1}, 8);
        ck_assert (end_batch (1));
        ck_assert (tim3_store_tiers_checkpoint (s_store));
    }
    s_digests[count] = memory_store_digest (s_model);
}

static tim3_checkpoint_t checkpoint_of_copy (void)
{
    tim3_store_meta_t meta;
    bool in_use;
    tim3_checkpoint_t checkpoint;
    tim3_key_t key = tim3_key_text ("checkpoint");
    folder_copy (s_path, s_copy);
    tim3_store_t *store = tim3_store_open_lmdb_read_only (s_copy, &meta, &in_use, s_why, sizeof s_why);
    ck_assert_msg (store != NULL, "%s", s_why);
    ck_assert (tim3_store_read (store, TIM3_TABLE_CHECKPOINT, &key, &checkpoint));
    tim3_store_close (&store);
    return checkpoint;
}

static void take_row (void *context, const tim3_memrow_t *row)
{
    tim3_key_t key = {.size = (uint16_t) (row->key_size - 1)};
    (void) context;
    memcpy (key.data, row->key + 1, key.size);
    if (row->deleted)
        s_model->ops->del (s_model, row->key[0], &key);
    else
        s_model->ops->put (s_model, row->key[0], &key, row->value, row->value_size);
}

static int open_copy (void)
{
    int directory = open (s_copy, O_RDONLY | O_DIRECTORY);
    ck_assert_int_ge (directory, 0);
    return directory;
}

/*  Goes back as far as can be, and returns how far that is: each step of it must be as it was.  */
static unsigned go_back (unsigned points)
{
    size_t count;
    tim3_checkpoint_t checkpoint = checkpoint_of_copy ();
    int directory = open_copy ();
    tim3_undo_entry_t *entries = tim3_undo_list (directory, &checkpoint, &count);
    ck_assert_uint_le (count, points);
    for (size_t i = 0; i < count; i++) {
        if (!tim3_undo_read (directory, &entries[i], take_row, NULL))
            count = i;
        else
            ck_assert_uint_eq (memory_store_digest (s_model), s_digests[points - 1 - i]);
    }
    free (entries);
    close (directory);
    return (unsigned) count;
}

static void keep (uint64_t us, uint64_t bytes)
{
    s_options.keep_us = us;
    s_options.keep_bytes = bytes;
    s_options.checkpoint_bytes = 16 * MEBIBYTE;
    reopen ();
}

START_TEST (test_the_past_is_as_it_was)
{
    keep (UINT64_MAX, UINT64_MAX / 2);
    make_points (POINTS);
    ck_assert_uint_eq (go_back (POINTS), POINTS);
}
END_TEST

/*  What was kept leads back to where the journal still begins.  */
static void check_journal_reaches (void)
{
    size_t count;
    size_t segments_count;
    tim3_checkpoint_t checkpoint = checkpoint_of_copy ();
    int directory = open_copy ();
    tim3_undo_entry_t *entries = tim3_undo_list (directory, &checkpoint, &count);
    tim3_segment_t *segments = tim3_journal_segments (directory, &segments_count);
    ck_assert_uint_gt (segments_count, 0);
    uint64_t oldest = count ? entries[count - 1].before.number : checkpoint.number;
    ck_assert_uint_le (segments[0].first, oldest + 1);
    ck_assert (segments_count < 2 || segments[1].first > oldest + 1);
    free (segments);
    free (entries);
    close (directory);
}

START_TEST (test_the_past_has_its_room)
{
    keep (UINT64_MAX / 2, 4 * 17 * MEBIBYTE);
    make_points (POINTS);
    check_journal_reaches ();
    ck_assert_uint_eq (go_back (POINTS), 4);
}
END_TEST

START_TEST (test_the_past_has_its_time)
{
    keep (1, UINT64_MAX / 2);
    make_points (POINTS);
    check_journal_reaches ();
    ck_assert_uint_le (go_back (POINTS), 1);
    char names[64][64];
    ck_assert_uint_le (folder_list (s_path, "undo-", names), 1);
}
END_TEST

static void wait_for_next_segment (void)
{
    for (unsigned i = 0; i < 12000 && !folder_has (s_path, "journal.next"); i++)
        usleep (10000);
    ck_assert (folder_has (s_path, "journal.next"));
}

typedef struct {
    ino_t numbers[64];
    unsigned count;
} files_t;

/*  Which files there have ever been whose names begin so.  */
static void note_files (files_t *files, const char *prefix)
{
    char names[64][64];
    char path[400];
    struct stat found;
    unsigned count = folder_list (s_path, prefix, names);
    for (unsigned i = 0; i < count; i++) {
        unsigned at = 0;
        snprintf (path, sizeof path, "%s/%.63s", s_path, names[i]);
        if (stat (path, &found) != 0)
            continue;
        while (at < files->count && files->numbers[at] != found.st_ino)
            at++;
        ck_assert_uint_lt (at, 64);
        files->numbers[at] = found.st_ino;
        files->count += at == files->count;
    }
}

/*  To delete large files holds up all syncs on some disks, so those that are no longer needed are written over. With all
    that is kept, the store is as the model, and its past as it was.  */
START_TEST (test_files_are_used_again)
{
    files_t segments = {0};
    files_t undos = {0};
    s_options.checkpoint_bytes = MEBIBYTE;
    s_options.keep_us = UINT64_MAX / 2;
    s_options.keep_bytes = 4 * MEBIBYTE;
    reopen ();
    for (unsigned round = 0; round < ROUNDS; round++) {
        s_digests[round] = memory_store_digest (s_model);
        for (unsigned i = 0; i < 150; i++)
            put_both (TIM3_TABLE_LOG, &(tim3_key_t){.data = {(uint8_t) i, (uint8_t) (round % 3)}, .size = 2},
                      1 + below (VALUE_MAX));
        ck_assert (end_batch (1) && tim3_store_tiers_checkpoint (s_store));
        wait_for_next_segment ();
        note_files (&segments, "journal-");
        note_files (&undos, "undo-");
        if (round % 7 == 6) {
            reopen ();
            check_content ();
        }
    }
    ck_assert_uint_ge (segments.count, 3);
    ck_assert_uint_le (segments.count, ROUNDS / 2);
    ck_assert_uint_ge (undos.count, 3);
    ck_assert_uint_le (undos.count, ROUNDS / 2);
    check_content ();
    check_journal_reaches ();
    ck_assert_uint_ge (go_back (ROUNDS), 2);
}
END_TEST

/*  A byte in the head ends the row there; a byte in the rows is found when they are read. The store itself goes on.  */
START_TEST (test_damage_shortens_the_past)
{
    char names[64][64];
    keep (UINT64_MAX / 2, UINT64_MAX / 2);
    make_points (POINTS);
    ck_assert_uint_eq (folder_list (s_path, "undo-", names), POINTS);
    folder_flip (s_path, names[2], 150);
    folder_flip (s_path, names[1], 20);
    tim3_store_t *now = s_model;
    uint64_t digest = memory_store_digest (now);
    reopen ();
    check_content ();
    ck_assert_uint_eq (go_back (POINTS), POINTS - 3);
    ck_assert_uint_ne (memory_store_digest (s_model), digest);
    put_both (TIM3_TABLE_COUNTER, &(tim3_key_t){.data = "x", .size = 1}, 8);
    ck_assert_int_eq (tim3_store_commit (s_store), 0);
    ck_assert (tim3_store_tiers_checkpoint (s_store));
}
END_TEST

/*  A checkpoint that fails leaves its undo file behind; the next one that goes through writes it anew.  */
START_TEST (test_the_past_after_a_failed_checkpoint)
{
    keep (UINT64_MAX / 2, UINT64_MAX / 2);
    make_points (3);
    s_digests[4] = 0;
    ck_assert (steps (300) && end_batch (1));
    /* syncs: of the next segment, maybe; of the undo file; of the data */
    for (unsigned nth = 1; nth <= 8; nth++) {
        faults_set (FAULTS_SYNC, nth, ENOSPC);
        tim3_store_tiers_checkpoint (s_store);
        faults_clear ();
        ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_OK);
        put_both (TIM3_TABLE_COUNTER, &(tim3_key_t){.data = "x", .size = 1}, 8);
        ck_assert (end_batch (1));
    }
    ck_assert (tim3_store_tiers_checkpoint (s_store));
    reopen ();
    check_content ();
}
END_TEST

static void start_anew (void)
{
    tim3_store_close (&s_store);
    tim3_store_close (&s_model);
    folder_remove (s_path);
    s_model = memory_store_new ();
    keep (UINT64_MAX / 2, UINT64_MAX / 2);
}

/*  One write of an undo file fails, whichever it is, or the first of the environment: a file may be lacking then, and none
    is wrong.  */
START_TEST (test_the_past_when_it_cannot_be_kept)
{
    for (unsigned nth = 1; nth <= 3; nth++) {
        start_anew ();
        for (unsigned i = 0; i < 4; i++) {
            s_digests[i] = memory_store_digest (s_model);
            ck_assert (steps (300) && end_batch (1));
            put_both (TIM3_TABLE_COUNTER, &(tim3_key_t){.data = "x", .size = 1}, 8);
            ck_assert (end_batch (1));
            wait_for_next_segment ();
            if (i == 2)
                faults_set (FAULTS_WRITE | FAULTS_OTHERS, nth, ENOSPC);
            ck_assert (tim3_store_tiers_checkpoint (s_store) || tim3_store_tiers_checkpoint (s_store));
            ck_assert (faults_clear () || i != 2);
        }
        check_content ();
        ck_assert_uint_ge (go_back (4), 1);
    }
}
END_TEST

/*  ------------------------------------------------------------------------- checkpoints cut short  */

static uint64_t s_number; /* of the checkpoint that s_digests[2] is of */

/*  In a child: a checkpoint of everything, killed before the nth call of its thread that changes a file.  */
static int die_checkpointing (unsigned nth)
{
    tim3_store_close (&s_store);
    pid_t child = fork ();
    ck_assert_int_ge (child, 0);
    if (child == 0) {
        s_store = open_store ();
        if (!s_store)
            _exit (1);
        faults_set (FAULTS_ALL | FAULTS_OTHERS, nth, 0);
        _exit (tim3_store_tiers_checkpoint (s_store) ? 0 : 2);
    }
    int status = wait_for (child);
    ck_assert (status == 0 || WIFSIGNALED (status));
    return status;
}

/*  Takes what a store holds into the model.  */
static void take_all (tim3_store_t *store)
{
    const tim3_table_row_t *row;
    for (unsigned i = 0; (row = tim3_table_at (i)); i++) {
        tim3_key_t key = tim3_key_empty ();
        const uint8_t *value;
        size_t size;
        if (row->number == TIM3_TABLE_META || row->number == TIM3_TABLE_CHECKPOINT)
            continue;
        while (store->ops->seek (store, row->number, TIM3_SEEK_GT, &key, &value, &size))
            s_model->ops->put (s_model, row->number, &key, value, size);
    }
    ck_assert_int_eq (tim3_store_error (store), TIM3_STORE_OK);
}

static void take_environment (void)
{
    tim3_store_meta_t meta;
    bool in_use;
    tim3_store_t *store = tim3_store_open_lmdb_read_only (s_copy, &meta, &in_use, s_why, sizeof s_why);
    ck_assert_msg (store != NULL, "%s", s_why);
    take_all (store);
    tim3_store_close (&store);
}

static int no_judge (void *context, const tim3_memtable_t *batch)
{
    (void) context;
    (void) batch;
    return -1;
}

/*  What the copy held at the first checkpoint since a time.  */
static uint64_t digest_since (uint64_t since_us)
{
    tim3_store_meta_t meta;
    bool in_use;
    tim3_store_t *now = s_model;
    s_model = memory_store_new ();
    tim3_past_t *past =
        tim3_past_open (s_copy, since_us, no_judge, NULL, &meta, &in_use, s_why, sizeof s_why);
    ck_assert_msg (past != NULL, "%s", s_why);
    take_all (tim3_past_store (past));
    tim3_past_close (&past);
    uint64_t digest = memory_store_digest (s_model);
    tim3_store_close (&s_model);
    s_model = now;
    return digest;
}

/*  The environment with what leads back laid over it, file by file: each state must be as it was. True when a part of a checkpoint
    was in it.  */
static bool check_way_back (void)
{
    tim3_undo_entry_t part;
    tim3_store_t *now = s_model;
    tim3_checkpoint_t checkpoint = checkpoint_of_copy ();
    unsigned points = checkpoint.number == s_number ? 2 : 3;
    s_digests[3] = memory_store_digest (now);
    s_model = memory_store_new ();
    take_environment ();
    int directory = open_copy ();
    if (checkpoint.towards > 0) {
        ck_assert (tim3_undo_find (directory, &checkpoint, &part));
        ck_assert (tim3_undo_read (directory, &part, take_row, NULL));
    }
    close (directory);
    ck_assert_uint_eq (memory_store_digest (s_model), s_digests[points]);
    ck_assert_uint_eq (go_back (points), points);
    tim3_store_close (&s_model);
    s_model = now;
    ck_assert_uint_eq (digest_since (0), s_digests[0]);
    ck_assert_uint_eq (digest_since (UINT64_MAX), s_digests[points]);
    return checkpoint.towards > 0;
}

static void begin_with_small_parts (uint64_t keep_us)
{
    start_anew ();
    s_options.keep_us = keep_us;
    s_options.checkpoint_bytes = 192 * 1024;
    reopen ();
    make_points (2);
    s_number = checkpoint_of_copy ().number;
}

/*  Again and again, with more to write each time.  */
START_TEST (test_cut_short_at_any_call)
{
    unsigned parts = 0;
    int status = -1;
    for (unsigned nth = 1; status != 0; nth++) {
        ck_assert_uint_lt (nth, 2000);
        begin_with_small_parts (UINT64_MAX / 2);
        for (unsigned attempt = 0; attempt < 3; attempt++) {
            ck_assert (steps (600) && end_batch (1));
            int ended = die_checkpointing (attempt == 0 ? nth : 1 + (unsigned) below (nth));
            status = attempt == 0 ? ended : status;
            if (ended == 0)
                break;
            parts += check_way_back ();
            reopen ();
            check_content ();
        }
        reopen ();
        check_content ();
    }
    ck_assert_uint_gt (parts, 20);
}
END_TEST

/*  Dies with a part of a checkpoint in the environment.  */
static void leave_a_part (uint64_t keep_us)
{
    for (unsigned nth = 10;; nth += 5) {
        begin_with_small_parts (keep_us);
        ck_assert (steps (400) && end_batch (1));
        ck_assert_int_ne (die_checkpointing (nth), 0);
        if (checkpoint_of_copy ().towards > 0)
            return;
    }
}

/*  Without what leads back, the state at its end is the first that can be had; what is kept begins there.  */
START_TEST (test_cut_short_with_nothing_kept)
{
    leave_a_part (0);
    ck_assert_uint_eq (digest_since (0), memory_store_digest (s_model));
    s_options.keep_us = UINT64_MAX / 2;
    reopen ();
    check_content ();
    put_both (TIM3_TABLE_COUNTER, &(tim3_key_t){.data = "x", .size = 1}, 8);
    ck_assert (end_batch (1));
    ck_assert (tim3_store_tiers_checkpoint (s_store));
    checkpoint_of_copy ();
    ck_assert_uint_eq (digest_since (0), memory_store_digest (s_model));
    uint64_t digest = memory_store_digest (s_model);
    ck_assert (steps (300) && end_batch (1));
    ck_assert (tim3_store_tiers_checkpoint (s_store));
    checkpoint_of_copy ();
    ck_assert_uint_eq (digest_since (0), digest);
}
END_TEST

/*  A life that keeps nothing, between two that do: what was kept before it leads nowhere.  */
START_TEST (test_cut_short_and_kept_no_more)
{
    leave_a_part (UINT64_MAX / 2);
    s_options.keep_us = 0;
    reopen ();
    ck_assert (steps (400) && end_batch (1));
    for (unsigned nth = 1; nth < 12; nth++)
        die_checkpointing (nth);
    ck_assert_uint_gt (checkpoint_of_copy ().towards, 0);
    ck_assert_uint_eq (digest_since (0), memory_store_digest (s_model));
    s_options.keep_us = UINT64_MAX / 2;
    reopen ();
    check_content ();
    ck_assert (tim3_store_tiers_checkpoint (s_store));
    checkpoint_of_copy ();
    ck_assert_uint_eq (digest_since (0), memory_store_digest (s_model));
}
END_TEST

static void damage_last_record (void)
{
    char names[64][64];
    char path[400];
    static uint8_t bytes[MEBIBYTE];
    unsigned count = folder_list (s_path, "journal-", names);
    for (bool done = false; count > 0 && !done; count--) {
        snprintf (path, sizeof path, "%s/%s", s_path, names[count - 1]);
        FILE *file = fopen (path, "r+");
        ck_assert_ptr_nonnull (file);
        size_t size = fread (bytes, 1, sizeof bytes, file);
        while (size > 0 && bytes[size - 1] == 0)
            size--;
        done = size > 64; /* more than its head */
        if (done) {
            fseek (file, (long) size - 1, SEEK_SET);
            fputc (bytes[size - 1] ^ 1, file);
        }
        fclose (file);
    }
}

/*  The last record may be damaged and nobody know; but not when a part of it is in the environment.  */
START_TEST (test_cut_short_and_records_missing)
{
    tim3_store_meta_t meta;
    bool in_use;
    leave_a_part (0);
    damage_last_record ();
    ck_assert_ptr_null (open_store ());
    ck_assert_ptr_nonnull (strstr (s_why, "missing"));
    folder_copy (s_path, s_copy);
    ck_assert_ptr_null (tim3_store_open_read_only (s_copy, &meta, &in_use, s_why, sizeof s_why));
    ck_assert_ptr_nonnull (strstr (s_why, "missing"));
}
END_TEST

/*  --------------------------------------------------------------------------------------------- marks  */

static void put_number (uint64_t number)
{
    tim3_key_t key = tim3_key_u64 (number);
    put_both (TIM3_TABLE_LOCK_DUE, &key, 1);
}

static void delete_number (uint64_t number)
{
    tim3_key_t key = tim3_key_u64 (number);
    delete_both (TIM3_TABLE_LOCK_DUE, &key);
}

/*  What came and went needs no mark, even where a row behind it is below: then there is nothing to be written.  */
START_TEST (test_rows_that_come_and_go_leave_no_marks)
{
    char names[64][64];
    keep (UINT64_MAX / 2, UINT64_MAX / 2);
    s_options.checkpoint_bytes = 16 * MEBIBYTE;
    reopen ();
    put_number (1000000);
    ck_assert (end_batch (1) && tim3_store_tiers_checkpoint (s_store));
    unsigned before = folder_list (s_path, "undo-", names);
    for (uint64_t i = 0; i < 100; i++) {
        put_number (i);
        ck_assert (end_batch (1));
        delete_number (i);
        ck_assert (end_batch (1));
    }
    ck_assert (tim3_store_tiers_checkpoint (s_store));
    ck_assert_uint_eq (folder_list (s_path, "undo-", names), before);
    delete_number (1000000);
    ck_assert (end_batch (1) && tim3_store_tiers_checkpoint (s_store));
    ck_assert_uint_eq (folder_list (s_path, "undo-", names), before + 1);
    check_content ();
}
END_TEST

static bool first_number (uint64_t *number)
{
    tim3_key_t key = tim3_key_empty ();
    bool there;
    ck_assert (same_seek (s_store, TIM3_TABLE_LOCK_DUE, TIM3_SEEK_GT, &key, &there));
    if (there)
        *number = tim3_key_read_u64 (&key, 0);
    return there;
}

/*  The time of our own that it takes to find no row behind so many marks, some hundred times; of several tries the least.  */
static clock_t time_behind_marks (uint64_t marks)
{
    uint64_t first;
    clock_t least = 0;
    for (uint64_t i = 0; i < marks; i++)
        put_number (i);
    ck_assert (end_batch (1) && tim3_store_tiers_checkpoint (s_store));
    for (uint64_t i = 0; i < marks; i++)
        delete_number (i);
    ck_assert (end_batch (1));
    for (unsigned round = 0; round < 5; round++) {
        clock_t begun = clock ();
        for (unsigned i = 0; i < 600; i++)
            ck_assert (!first_number (&first));
        clock_t took = clock () - begun;
        least = round == 0 || took < least ? took : least;
    }
    return least;
}

/*  Whoever looks for the first row again and again walks over the marks in front of it once: a hundred times as many do not
    take nearly as much longer.  */
START_TEST (test_marks_are_walked_over_once)
{
    uint64_t first = 0;
    s_options.checkpoint_bytes = 16 * MEBIBYTE;
    reopen ();
    clock_t few = time_behind_marks (40);
    clock_t many = time_behind_marks (4000);
    ck_assert_msg (many <= 20 * few, "%ld us behind 4000 marks, %ld us behind 40", (long) many, (long) few);
    put_number (3000);
    ck_assert (first_number (&first) && first == 3000);
    put_number (1000);
    ck_assert (first_number (&first) && first == 1000);
    ck_assert (end_batch (1));
    delete_number (1000);
    delete_number (3000);
    ck_assert (!first_number (&first));
    tim3_store_abort (s_store);
    tim3_store_abort (s_model);
    ck_assert (first_number (&first) && first == 1000);
    check_content ();
}
END_TEST

/*  --------------------------------------------------------------------------------------------- notes  */

static tim3_buffer_t s_notes;
static uint64_t s_digest;

static bool take_notes (void *context, uint64_t number, const uint8_t *payload, size_t size, char *why,
                        size_t why_size)
{
    tim3_record_t record;
    (void) context;
    (void) number;
    (void) why;
    (void) why_size;
    if (!tim3_record_read (payload, size, s_digest, &record))
        return false;
    s_digest = record.digest;
    tim3_buffer_append (&s_notes, record.causes, record.causes_size);
    return true;
}

START_TEST (test_notes_come_back_in_order)
{
    tim3_buffer_t expected = {0};
    tim3_key_t key = tim3_key_text ("x");
    s_options.checkpoint_bytes = 16 * MEBIBYTE;
    s_options.keep_us = 1000000;
    reopen ();
    tim3_checkpoint_t checkpoint = checkpoint_of_copy ();
    for (unsigned i = 0; i < 500; i++) {
        char note[32];
        int size = snprintf (note, sizeof note, "note %u;", i);
        tim3_store_note (s_store, note, (size_t) size);
        if (below (2))
            put_both (TIM3_TABLE_COUNTER, &key, 8);
        bool aborts = below (3) == 0 && i < 499;
        if (i == 499)
            put_both (TIM3_TABLE_COUNTER, &key, 8);
        if (!aborts)
            tim3_buffer_append (&expected, note, (size_t) size);
        ck_assert (end_batch (!aborts));
    }
    folder_copy (s_path, s_copy);
    int directory = open_copy ();
    tim3_journal_place_t place = {checkpoint.number, checkpoint.checksum};
    s_notes = (tim3_buffer_t){0};
    s_digest = checkpoint.digest;
    ck_assert_msg (tim3_journal_read (directory, &place, take_notes, NULL, s_why, sizeof s_why), "%s", s_why);
    close (directory);
    ck_assert (same_bytes (s_notes.data, s_notes.size, expected.data, expected.size));
    tim3_buffer_free (&s_notes);
    tim3_buffer_free (&expected);
}
END_TEST

/*  ------------------------------------------------------------------------ from one kind to the other  */

static void switch_to (bool journal)
{
    s_options.journal = journal;
    reopen ();
    check_content ();
}

START_TEST (test_switching_loses_nothing)
{
    keep (UINT64_MAX / 2, UINT64_MAX / 2);
    for (unsigned i = 0; i < 3; i++) {
        char names[64][64];
        make_points (2);
        ck_assert (steps (400) && end_batch (1));
        switch_to (false);
        ck_assert_uint_eq (folder_list (s_path, "journal", names), 0);
        ck_assert_uint_eq (folder_list (s_path, "undo-", names), 0);
        ck_assert (steps (200) && end_batch (1));
        switch_to (true);
    }
}
END_TEST

/*  In a child: opens the store as the other kind, and dies at the nth call that changes a file.  */
static int die_switching (unsigned nth)
{
    tim3_store_close (&s_store);
    pid_t child = fork ();
    ck_assert_int_ge (child, 0);
    if (child == 0) {
        faults_set (FAULTS_ALL, nth, 0);
        s_store = open_store ();
        tim3_store_close (&s_store);
        _exit (s_store ? 1 : 0);
    }
    return wait_for (child);
}

static void switch_with_deaths (bool journal)
{
    char origin[300];
    int status = -1;
    bool before = s_options.journal;
    snprintf (origin, sizeof origin, "%s/origin", s_root);
    tim3_store_close (&s_store);
    folder_copy (s_path, origin);
    for (unsigned nth = 1; status != 0; nth++) {
        ck_assert_uint_lt (nth, 1000);
        folder_copy (origin, s_path);
        s_options.adopt = true; /* its files are copies */
        s_options.journal = before;
        reopen ();
        s_options.journal = journal;
        status = die_switching (nth);
        ck_assert (status == 0 || WIFSIGNALED (status));
        s_options.journal = nth % 2 ? journal : before;
        reopen ();
        check_content ();
    }
}

START_TEST (test_switching_can_be_killed_at_any_call)
{
    keep (UINT64_MAX / 2, UINT64_MAX / 2);
    make_points (2);
    ck_assert (steps (400) && end_batch (1));
    switch_with_deaths (false);
    s_options.journal = false;
    reopen ();
    switch_with_deaths (true);
}
END_TEST

/*  Opening, commits with checkpoints, and closing: killed before each call that changes a file.  */
static void work_and_die (unsigned nth, volatile uint64_t *told)
{
    s_store = open_store ();
    if (!s_store)
        _exit (1);
    faults_set (FAULTS_ALL, nth, 0);
    for (uint64_t i = 1; i <= 12; i++) {
        tim3_key_t key = tim3_key_text ("n");
        s_store->ops->put (s_store, TIM3_TABLE_COUNTER, &key, (const uint8_t *) &i, sizeof i);
        key = tim3_key_u64 (i);
        s_store->ops->put (s_store, TIM3_TABLE_LOG, &key, s_value, 3000);
        if (tim3_store_commit (s_store))
            _exit (2);
        *told = i;
    }
    tim3_store_close (&s_store);
    _exit (0);
}

static void check_told (uint64_t told)
{
    uint64_t holds = 0;
    const uint8_t *value;
    size_t size;
    tim3_key_t key = tim3_key_text ("n");
    if (s_store->ops->get (s_store, TIM3_TABLE_COUNTER, &key, &value, &size))
        memcpy (&holds, value, sizeof holds);
    ck_assert_uint_ge (holds, told);
    ck_assert_uint_le (holds, told + 1);
    for (uint64_t i = 1; i <= 13; i++) {
        key = tim3_key_u64 (i);
        ck_assert (s_store->ops->get (s_store, TIM3_TABLE_LOG, &key, &value, &size) == (i <= holds));
    }
}

START_TEST (test_working_can_be_killed_at_any_call)
{
    int status = -1;
    volatile uint64_t *told =
        mmap (NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert (told != MAP_FAILED);
    s_options.keep_us = 1000000;
    s_options.keep_bytes = MEBIBYTE;
    for (unsigned nth = 1; status != 0; nth++) {
        ck_assert_uint_lt (nth, 2000);
        tim3_store_close (&s_store);
        folder_remove (s_path);
        *told = 0;
        pid_t child = fork ();
        ck_assert_int_ge (child, 0);
        if (child == 0)
            work_and_die (nth, told);
        status = wait_for (child);
        ck_assert (status == 0 || WIFSIGNALED (status));
        reopen ();
        check_told (*told);
    }
}
END_TEST

START_TEST (test_a_copy_is_adopted_with_its_journal)
{
    ck_assert (steps (3000) && end_batch (1));
    tim3_store_close (&s_store);
    folder_copy (s_path, s_copy);
    s_options.path = s_copy;
    ck_assert_ptr_null (open_store ());
    ck_assert_ptr_nonnull (strstr (s_why, "is a copy"));
    s_options.adopt = true;
    reopen ();
    check_content ();
    ck_assert (steps (1000) && end_batch (1));
    reopen ();
    check_content ();
}
END_TEST

/*  --------------------------------------------------------------------------------------- a full store  */

/*  Commits rows of 4,000 bytes until one finds no room; returns how many went.  */
static unsigned fill (unsigned most)
{
    for (unsigned i = 0; i < most; i++) {
        tim3_key_t key = tim3_key_u64 (i);
        put_both (TIM3_TABLE_LOG_SOURCE, &key, 4000);
        if (tim3_store_commit (s_store)) {
            ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_FULL);
            tim3_store_abort (s_store);
            tim3_store_abort (s_model);
            return i;
        }
        ck_assert_int_eq (tim3_store_commit (s_model), 0);
    }
    return most;
}

static struct rlimit limit_files (uint64_t most)
{
    struct rlimit before;
    signal (SIGXFSZ, SIG_IGN);
    getrlimit (RLIMIT_FSIZE, &before);
    struct rlimit limit = {most, before.rlim_max};
    ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
    return before;
}

/*  The commit that failed may be there or not.  */
static void reopen_after_failure (void)
{
    reopen ();
    if (same_content (s_store))
        ck_assert_int_eq (tim3_store_commit (s_model), 0);
    else
        tim3_store_abort (s_model);
    check_content ();
}

/*  The second segment would be of two mebibytes.  */
START_TEST (test_no_room_for_a_segment)
{
    s_options.checkpoint_bytes = 8 * MEBIBYTE;
    reopen ();
    struct rlimit before = limit_files (MEBIBYTE);
    unsigned went = fill (1000);
    ck_assert_uint_gt (went, 200);
    ck_assert_uint_lt (went, 300);
    check_content ();
    ck_assert_uint_eq (fill (1), 0);
    check_content ();
    setrlimit (RLIMIT_FSIZE, &before);
    ck_assert_uint_eq (fill (500), 500);
    check_content ();
    reopen ();
    check_content ();
}
END_TEST

/*  Want of room at each of the calls that make a segment.  */
START_TEST (test_no_room_at_any_call)
{
    s_options.checkpoint_bytes = 16 * MEBIBYTE;
    for (unsigned nth = 1; nth < 12; nth++) {
        reopen ();
        fill (240);
        faults_set (FAULTS_SYNC | FAULTS_WRITE | FAULTS_NAME, nth, ENOSPC);
        for (unsigned i = 0; i < 40 && tim3_store_error (s_store) == TIM3_STORE_OK; i++) {
            put_both (TIM3_TABLE_LOG, &(tim3_key_t){.size = 1}, 5000);
            if (tim3_store_commit (s_store) == 0)
                ck_assert_int_eq (tim3_store_commit (s_model), 0);
        }
        ck_assert (faults_clear ());
        if (tim3_store_error (s_store) == TIM3_STORE_FULL) {
            tim3_store_abort (s_store);
            tim3_store_abort (s_model);
            check_content ();
            fill (5);
        }
        reopen_after_failure ();
    }
}
END_TEST

START_TEST (test_no_room_in_the_map)
{
    s_options.map_size = 64 * 4096;
    s_options.checkpoint_bytes = 64 * 1024;
    s_options.memory_most = 2 * MEBIBYTE;
    reopen ();
    unsigned went = fill (5000);
    ck_assert_uint_gt (went, 100); /* the map has room for 64 */
    ck_assert_uint_lt (went, 800);
    check_content ();
    reopen ();
    check_content ();
    s_options.map_size = 32 * MEBIBYTE;
    reopen ();
    check_content ();
    ck_assert_uint_eq (fill (1000), 1000);
    ck_assert (tim3_store_tiers_checkpoint (s_store));
    check_content ();
}
END_TEST

/*  The first checkpoint finds no room, the next one does; what came in between is in neither.  */
START_TEST (test_checkpoint_again_when_there_is_room)
{
    s_options.checkpoint_bytes = 512 * 1024;
    s_options.keep_us = UINT64_MAX / 2;
    s_options.keep_bytes = UINT64_MAX / 2;
    reopen ();
    fill (100);
    ck_assert (tim3_store_tiers_checkpoint (s_store));
    faults_set (FAULTS_WRITE | FAULTS_OTHERS | FAULTS_ON, 1, ENOSPC);
    fill (400);
    ck_assert (!tim3_store_tiers_checkpoint (s_store));
    ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_OK);
    check_content ();
    ck_assert (faults_clear ());
    ck_assert (tim3_store_tiers_checkpoint (s_store));
    check_content ();
    s_options.memory_most = 256 * 1024; /* waits for each: none may be refused */
    reopen ();
    ck_assert_uint_eq (fill (400), 400);
    check_content ();
}
END_TEST

/*  After a checkpoint that had to be asked for twice, commits wait for room again instead of being refused.  */
START_TEST (test_no_refusal_after_a_retry)
{
    s_options.checkpoint_bytes = 64 * 1024;
    s_options.memory_most = 512 * 1024;
    reopen ();
    fill (5);
    faults_set (FAULTS_WRITE | FAULTS_OTHERS | FAULTS_ON, 1, ENOSPC);
    ck_assert (!tim3_store_tiers_checkpoint (s_store));
    ck_assert (faults_clear ());
    ck_assert (tim3_store_tiers_checkpoint (s_store));
    faults_slow (3000);
    ck_assert_uint_eq (fill (600), 600);
    faults_clear ();
    check_content ();
}
END_TEST

/*  Without a checkpoint, as long as segments are small: whoever commits finds the next one made.  */
START_TEST (test_the_next_segment_is_there_in_time)
{
    s_options.checkpoint_bytes = 64 * MEBIBYTE;
    reopen ();
    for (unsigned segment = 0; segment < 3; segment++) {
        fill (segment ? 256u << segment : 10);
        wait_for_next_segment ();
    }
}
END_TEST

static size_t memory_used (void)
{
    struct mallinfo2 info = mallinfo2 ();
    return info.uordblks + info.hblkhd;
}

START_TEST (test_memory_is_bounded)
{
    size_t most = 0;
    s_options.checkpoint_bytes = 256 * 1024;
    s_options.memory_most = 4 * MEBIBYTE;
    s_options.map_size = 256 * MEBIBYTE;
    reopen ();
    size_t before = memory_used ();
    faults_slow (5000);
    for (unsigned i = 0; i < 2500; i++) {
        tim3_key_t key = tim3_key_u64 (i);
        s_store->ops->put (s_store, TIM3_TABLE_LOG, &key, s_value, 5000);
        ck_assert_int_eq (tim3_store_commit (s_store), 0);
        size_t now = memory_used () - before;
        most = now > most ? now : most;
    }
    faults_clear ();
    ck_assert_uint_lt (most, 6 * MEBIBYTE);
}
END_TEST

/*  ------------------------------------------------------------------------------------- a failing disk  */

/*  Any sync may fail: then no commit says that it lasts, and what said so before is there.  */
START_TEST (test_failing_syncs)
{
    s_options.checkpoint_bytes = 16 * 1024;
    for (unsigned nth = 1; nth < 25; nth++) {
        reopen ();
        faults_set (FAULTS_SYNC | FAULTS_SYNC_DIRECTORY, nth, EIO);
        bool lasted = true;
        for (unsigned i = 0; i < 60 && lasted; i++) {
            tim3_key_t key = tim3_key_u64 (i);
            put_both (TIM3_TABLE_LOG, &key, 3000);
            lasted = tim3_store_commit (s_store) == 0;
            if (lasted)
                ck_assert_int_eq (tim3_store_commit (s_model), 0);
        }
        ck_assert (faults_clear ());
        if (!lasted) {
            ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_IO);
            tim3_store_abort (s_store);
            ck_assert_int_eq (tim3_store_commit (s_store), -1);
        }
        tim3_store_close (&s_store);
        reopen_after_failure ();
    }
}
END_TEST

/*  The sync of a commit itself.  */
START_TEST (test_failing_commit)
{
    tim3_key_t key = tim3_key_text ("x");
    s_options.checkpoint_bytes = 16 * MEBIBYTE;
    reopen ();
    fill (3);
    for (unsigned kind = 0; kind < 2; kind++) {
        faults_set (kind ? FAULTS_SYNC : FAULTS_WRITE, 1, kind ? EIO : ENOSPC);
        s_store->ops->put (s_store, TIM3_TABLE_COUNTER, &key, s_value, 8);
        ck_assert_int_eq (tim3_store_commit (s_store), -1);
        ck_assert (faults_clear ());
        ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_IO);
        tim3_store_abort (s_store);
        ck_assert_int_eq (tim3_store_error (s_store), TIM3_STORE_IO);
        ck_assert_int_eq (tim3_store_commit (s_store), -1);
        reopen ();
    }
}
END_TEST

/*  A directory that cannot be synced is no want of room: the segment has its name already.  */
START_TEST (test_failing_name)
{
    s_options.checkpoint_bytes = 16 * MEBIBYTE;
    reopen ();
    fill (255);
    faults_set (FAULTS_SYNC_DIRECTORY, 1, ENOSPC);
    tim3_key_t key = tim3_key_text ("x");
    bool lasted = true;
    for (unsigned i = 0; i < 100 && lasted; i++) {
        put_both (TIM3_TABLE_COUNTER, &key, 5000);
        lasted = tim3_store_commit (s_store) == 0;
        if (lasted)
            ck_assert_int_eq (tim3_store_commit (s_model), 0);
    }
    tim3_store_abort (s_model);
    ck_assert (faults_clear () && !lasted);
    tim3_store_abort (s_store);
    for (unsigned i = 0; i < 3; i++) {
        put_both (TIM3_TABLE_COUNTER, &key, 10);
        if (tim3_store_commit (s_store) == 0)
            ck_assert_int_eq (tim3_store_commit (s_model), 0);
        else
            tim3_store_abort (s_model);
    }
    reopen ();
    check_content ();
}
END_TEST

/*  --------------------------------------------------------------------------------------------- suite  */

static void add_case (Suite *suite, const char *name, const TTest *const *tests)
{
    TCase *group = tcase_create (name);
    tcase_add_checked_fixture (group, setup, teardown);
    tcase_set_timeout (group, 120);
    for (; *tests; tests++)
        tcase_add_test (group, *tests);
    suite_add_tcase (suite, group);
}

#define CASE(name, ...) add_case (suite, name, (const TTest *const[]){__VA_ARGS__, NULL})

Suite *suite_tiers (void)
{
    Suite *suite = suite_create ("tiers");
    CASE ("model", test_does_as_the_model_does, test_does_so_with_little_memory);
    CASE ("past", test_the_past_is_as_it_was, test_the_past_has_its_room, test_the_past_has_its_time, test_files_are_used_again,
          test_damage_shortens_the_past, test_the_past_after_a_failed_checkpoint,
          test_the_past_when_it_cannot_be_kept);
    CASE ("cut short", test_cut_short_at_any_call, test_cut_short_with_nothing_kept,
          test_cut_short_and_kept_no_more, test_cut_short_and_records_missing);
    CASE ("marks", test_rows_that_come_and_go_leave_no_marks, test_marks_are_walked_over_once);
    CASE ("notes", test_notes_come_back_in_order);
    CASE ("switch", test_switching_loses_nothing, test_switching_can_be_killed_at_any_call,
          test_working_can_be_killed_at_any_call, test_a_copy_is_adopted_with_its_journal);
    CASE ("full", test_the_next_segment_is_there_in_time, test_no_room_for_a_segment,
          test_no_room_at_any_call, test_no_room_in_the_map, test_checkpoint_again_when_there_is_room,
          test_no_refusal_after_a_retry, test_memory_is_bounded);
    CASE ("broken disk", test_failing_syncs, test_failing_commit, test_failing_name);
    return suite;
}
