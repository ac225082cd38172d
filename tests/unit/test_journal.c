/*  test_journal.c - what is left of a journal that was cut, damaged, mixed up or lost: the store opens with exactly what
    it should, or is refused with a reason. Each test makes a store, breaks a copy of it, and opens that.  */
#include "suites.h"
#include "base/log.h"
#include "faults.h"
#include "folder.h"
#include "store/journal.h"
#include "store/record.h"
#include "store/store_tiers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEBIBYTE (1024 * 1024)
#define SEGMENT_HEAD 40
#define FIRST "journal-0000000000000001"

static char s_root[256];
static char s_path[300]; /* the store that is whole */
static char s_copy[300]; /* the one that is broken */
static char s_why[512];
static tim3_store_t *s_store;
static tim3_store_options_t s_options;

static tim3_store_t *open_store (const char *path)
{
    tim3_store_meta_t meta;
    s_options.path = path;
    s_why[0] = '\0';
    return tim3_store_open (&s_options, &meta, s_why, sizeof s_why);
}

static void setup (void)
{
    folder_make (s_root);
    snprintf (s_path, sizeof s_path, "%s/store", s_root);
    snprintf (s_copy, sizeof s_copy, "%s/copy", s_root);
    s_options = (tim3_store_options_t){.name = "lock_manager.TIM3.0",
                                       .map_size = 32 * MEBIBYTE,
                                       .adopt = true,
                                       .journal = true,
                                       .checkpoint_bytes = 16 * MEBIBYTE,
                                       .memory_most = 64 * MEBIBYTE};
    tim3_log_open ("test", TIM3_ERROR);
    s_store = open_store (s_path);
    ck_assert_msg (s_store != NULL, "%s", s_why);
}

static void teardown (void)
{
    tim3_store_close (&s_store);
    folder_remove (s_root);
}

/*  Commit number n: a count, and a row of that size.  */
static void commit (tim3_store_t *store, uint64_t n, size_t size)
{
    static uint8_t value[8 * MEBIBYTE];
    tim3_key_t count = tim3_key_text ("count");
    tim3_key_t key = tim3_key_u64 (n);
    memset (value, (int) n, size);
    store->ops->put (store, TIM3_TABLE_COUNTER, &count, (const uint8_t *) &n, sizeof n);
    store->ops->put (store, TIM3_TABLE_LOG, &key, value, size);
    ck_assert_int_eq (tim3_store_commit (store), 0);
}

static void commits (uint64_t from, uint64_t to, size_t size)
{
    for (uint64_t n = from; n <= to; n++)
        commit (s_store, n, size);
}

/*  Commits held, with all rows of them and no others.  */
static uint64_t held (tim3_store_t *store)
{
    uint64_t n = 0;
    uint64_t rows = 0;
    const uint8_t *value;
    size_t size;
    tim3_key_t key = tim3_key_text ("count");
    if (store->ops->get (store, TIM3_TABLE_COUNTER, &key, &value, &size))
        memcpy (&n, value, sizeof n);
    key = tim3_key_empty ();
    while (store->ops->seek (store, TIM3_TABLE_LOG, TIM3_SEEK_GT, &key, &value, &size)) {
        ck_assert_uint_eq (tim3_key_read_u64 (&key, 0), ++rows);
        ck_assert (size == 0 || value[size - 1] == (uint8_t) rows);
    }
    ck_assert_uint_eq (rows, n);
    ck_assert_int_eq (tim3_store_error (store), TIM3_STORE_OK);
    return n;
}

/*  The copy opens, to read and to write, holds that many commits, and goes on.  */
static void opens_with (uint64_t count)
{
    tim3_store_meta_t meta;
    bool in_use;
    tim3_store_t *store = tim3_store_open_read_only (s_copy, &meta, &in_use, s_why, sizeof s_why);
    ck_assert_msg (store != NULL, "%s", s_why);
    ck_assert_uint_eq (held (store), count);
    tim3_store_close (&store);
    for (unsigned i = 0; i < 2; i++) {
        store = open_store (s_copy);
        ck_assert_msg (store != NULL, "%s", s_why);
        ck_assert_uint_eq (held (store), count + i);
        commit (store, count + i + 1, 8); /* shorter than what may lie there */
        tim3_store_close (&store);
    }
}

static void refused_with (const char *words)
{
    tim3_store_meta_t meta;
    bool in_use;
    char other[64][64];
    unsigned before = folder_list (s_copy, "journal-", other);
    tim3_store_t *store = open_store (s_copy);
    ck_assert_msg (store == NULL, "opens, with %llu commits", (unsigned long long) held (store));
    ck_assert_msg (strstr (s_why, words) != NULL, "\"%s\" lacks \"%s\"", s_why, words);
    ck_assert_uint_eq (folder_list (s_copy, "journal-", other), before); /* nothing was thrown away */
    if (folder_has (s_copy, "data.mdb"))
        ck_assert_ptr_null (tim3_store_open_read_only (s_copy, &meta, &in_use, s_why, sizeof s_why));
}

/*  Closes the store, and makes the copy that is then broken.  */
static void finish (void)
{
    tim3_store_close (&s_store);
    folder_copy (s_path, s_copy);
}

static void again (void)
{
    folder_copy (s_path, s_copy);
}

/*  Where a record is in the first segment.  */
static size_t find_record (uint64_t number, size_t *size)
{
    tim3_buffer_t file = folder_read (s_path, FIRST);
    size_t at = SEGMENT_HEAD;
    for (;; number--) {
        uint32_t payload;
        ck_assert_uint_lt (at + 8, file.size);
        memcpy (&payload, file.data + at + 4, sizeof payload);
        *size = TIM3_JOURNAL_HEAD + payload;
        if (number == 1)
            break;
        at = (at + *size + 7) & ~(size_t) 7;
    }
    tim3_buffer_free (&file);
    return at;
}

/*  ---------------------------------------------------------------------------------- cut and damaged  */

START_TEST (test_cut_in_the_last_record)
{
    size_t size;
    commits (1, 5, 20);
    finish ();
    size_t at = find_record (5, &size);
    tim3_buffer_t file = folder_read (s_path, FIRST);
    for (size_t cut = at; cut < at + size; cut++) {
        again ();
        folder_write (s_copy, FIRST, file.data, cut); /* the file ends there */
        opens_with (4);
        again ();
        tim3_buffer_t torn = folder_read (s_path, FIRST);
        memset (torn.data + cut, 0, at + size - cut); /* the rest was not written */
        folder_write (s_copy, FIRST, torn.data, torn.size);
        opens_with (memcmp (torn.data, file.data, file.size) == 0 ? 5 : 4);
        tim3_buffer_free (&torn);
    }
    tim3_buffer_free (&file);
    again ();
    opens_with (5);
}
END_TEST

START_TEST (test_damage_in_the_last_record)
{
    size_t size;
    commits (1, 5, 20);
    finish ();
    size_t at = find_record (5, &size);
    for (size_t i = at; i < at + size; i++) {
        again ();
        folder_flip (s_copy, FIRST, i);
        opens_with (4);
    }
}
END_TEST

START_TEST (test_damage_in_the_middle)
{
    size_t size;
    commits (1, 5, 20);
    finish ();
    size_t at = find_record (3, &size);
    for (size_t i = at; i < at + size; i++) {
        again ();
        folder_flip (s_copy, FIRST, i);
        refused_with ("record 3 is missing or damaged, and record");
    }
}
END_TEST

/*  With and without records in it.  */
START_TEST (test_damage_in_the_head_of_a_segment)
{
    for (unsigned n = 0; n < 2; n++) {
        finish ();
        for (size_t i = 0; i < SEGMENT_HEAD; i++) {
            again ();
            folder_flip (s_copy, FIRST, i);
            refused_with ("the head of " FIRST " is damaged");
        }
        s_store = open_store (s_path);
        commits (1, 2, 20);
    }
}
END_TEST

/*  ------------------------------------------------------------------------------------------ segments  */

#define SEGMENTS 3

/*  Three segments: of 1, 2 and 4 mebibytes.  */
static uint64_t make_segments (char names[64][64])
{
    commits (1, 900, 4000);
    finish ();
    ck_assert_uint_eq (folder_list (s_path, "journal-", names), SEGMENTS);
    return 900;
}

static bool take_nothing (void *context, uint64_t number, const uint8_t *payload, size_t size, char *why,
                          size_t why_size)
{
    (void) context, (void) number, (void) payload, (void) size, (void) why, (void) why_size;
    return false;
}

static bool rest_until (void *context, uint64_t worked_us)
{
    unsigned *left = context;
    (void) worked_us;
    return (*left)-- > 0;
}

/*  A commit waits for a segment that nobody has made beforehand.  */
START_TEST (test_segments_made_in_haste_are_small)
{
    static uint8_t record[300000];
    size_t count;
    tim3_journal_place_t place = {0, 1};
    ck_assert_int_eq (mkdir (s_copy, 0700), 0);
    int directory = open (s_copy, O_RDONLY | O_DIRECTORY);
    tim3_journal_t *journal =
        tim3_journal_open (directory, &place, 64 << 20, take_nothing, NULL, s_why, sizeof s_why);
    ck_assert_msg (journal != NULL, "%s", s_why);
    for (unsigned i = 0; i < 60; i++)
        ck_assert_int_eq (tim3_journal_append (journal, record, sizeof record), TIM3_STORE_OK);
    tim3_segment_t *segments = tim3_journal_segments (directory, &count);
    ck_assert_uint_gt (count, 5);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_le (segments[i].bytes, 2 << 20);
    ck_assert (tim3_journal_wants_next (journal) && !tim3_journal_wants_next (journal));
    unsigned left = 3; /* and stops in the middle */
    tim3_journal_prepare (journal, rest_until, &left);
    ck_assert (!folder_has (s_copy, "journal.next") && !folder_has (s_copy, "journal.prepared"));
    left = 1000;
    tim3_journal_prepare (journal, rest_until, &left);
    ck_assert (folder_has (s_copy, "journal.next"));
    for (unsigned i = 0; i < 7; i++)
        ck_assert_int_eq (tim3_journal_append (journal, record, sizeof record), TIM3_STORE_OK);
    free (segments);
    segments = tim3_journal_segments (directory, &count);
    ck_assert_uint_gt (segments[count - 1].bytes, 2 << 20);
    free (segments);
    tim3_journal_close (&journal);
    close (directory);
}
END_TEST

/*  ----------------------------------------------------------------------------- files that are used again  */

#define REUSED_RECORD 300000 /* three in a segment */

/*  Counts records, each of which must be full of its number.  */
static bool count_record (void *context, uint64_t number, const uint8_t *payload, size_t size, char *why,
                          size_t why_size)
{
    uint64_t *count = context;
    (void) why, (void) why_size;
    ck_assert (size > 0 && payload[0] == (uint8_t) number && payload[size - 1] == (uint8_t) number);
    ++*count;
    return true;
}

static void append_next (tim3_journal_t *journal, size_t size)
{
    static uint8_t record[REUSED_RECORD];
    unsigned left = 1000;
    memset (record, (int) (tim3_journal_last (journal).number + 1), size);
    ck_assert_int_eq (tim3_journal_append (journal, record, size), TIM3_STORE_OK);
    tim3_journal_prepare (journal, rest_until, &left);
}

/*  How many records there are after a place.  */
static uint64_t records_after (int directory, tim3_journal_place_t place)
{
    uint64_t count = 0;
    ck_assert_msg (tim3_journal_read (directory, &place, count_record, &count, s_why, sizeof s_why), "%s", s_why);
    return count;
}

static ino_t file_number (int directory, const char *name)
{
    struct stat stat;
    return fstatat (directory, name, &stat, 0) == 0 ? stat.st_ino : 0;
}

static size_t bytes_before_zeros (const tim3_buffer_t *file)
{
    size_t at = file->size;
    while (at > 0 && file->data[at - 1] == 0)
        at--;
    return at;
}

/*  A segment that was trimmed comes back as a later one: of what stood in it nothing is ever read, whether a record of the new one
    ends where one of the old began, or the new one was damaged.  */
START_TEST (test_segments_are_used_again)
{
    char last_name[64];
    tim3_journal_place_t trimmed = {0, 1};
    ck_assert_int_eq (mkdir (s_copy, 0700), 0);
    int directory = open (s_copy, O_RDONLY | O_DIRECTORY);
    tim3_journal_t *journal =
        tim3_journal_open (directory, &trimmed, MEBIBYTE, take_nothing, NULL, s_why, sizeof s_why);
    ck_assert_msg (journal != NULL, "%s", s_why);
    ino_t first = file_number (directory, FIRST);
    for (unsigned i = 0; i < 4; i++) {
        append_next (journal, REUSED_RECORD);
        trimmed = i == 2 ? tim3_journal_last (journal) : trimmed;
    }
    tim3_journal_trim (journal, trimmed.number);
    ck_assert_uint_eq (file_number (directory, FIRST), 0);
    ck_assert_uint_eq (file_number (directory, "journal.spare"), first);
    for (unsigned i = 0; i < 5; i++)
        append_next (journal, REUSED_RECORD);
    ck_assert_uint_eq (file_number (directory, "journal.next"), first);
    /* as long as those that were there before, so that the next old one is where the next new one will be */
    append_next (journal, REUSED_RECORD);
    snprintf (last_name, sizeof last_name, "journal-%016x", 10u);
    ck_assert_uint_eq (file_number (directory, last_name), first);
    ck_assert_uint_eq (records_after (directory, trimmed), 7);
    append_next (journal, 1000);
    ck_assert_uint_eq (records_after (directory, trimmed), 8);
    tim3_journal_close (&journal);

    tim3_buffer_t file = folder_read (s_copy, last_name);
    ck_assert_uint_gt (bytes_before_zeros (&file), 2 * REUSED_RECORD); /* old records are there */
    folder_flip (s_copy, last_name, SEGMENT_HEAD + REUSED_RECORD + 500);
    ck_assert_uint_eq (records_after (directory, trimmed), 7);
    folder_write (s_copy, last_name, file.data, file.size);
    folder_flip (s_copy, last_name, SEGMENT_HEAD + 500);
    tim3_journal_place_t place = trimmed;
    uint64_t count = 0;
    ck_assert (!tim3_journal_read (directory, &place, count_record, &count, s_why, sizeof s_why));
    ck_assert_msg (strstr (s_why, "record 10 is missing or damaged, and record 11 came") != NULL, "%s", s_why);
    folder_write (s_copy, last_name, file.data, file.size);
    tim3_buffer_free (&file);

    count = 0;
    place = trimmed;
    journal = tim3_journal_open (directory, &place, MEBIBYTE, count_record, &count, s_why, sizeof s_why);
    ck_assert_msg (journal != NULL, "%s", s_why);
    ck_assert_uint_eq (count, 8);
    for (unsigned i = 0; i < 20; i++) {
        append_next (journal, 100 + i);
        ck_assert_uint_eq (records_after (directory, trimmed), 9 + i);
    }
    tim3_journal_close (&journal);
    close (directory);
}
END_TEST

START_TEST (test_missing_segment)
{
    static const char *const reasons[SEGMENTS] = {"record 1 is missing, and record",
                                                  "is missing or damaged, and record", "is gone"};
    char names[64][64];
    make_segments (names);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        again ();
        folder_delete (s_copy, names[i]);
        refused_with (reasons[i]);
    }
    again ();
    for (unsigned i = 0; i < SEGMENTS; i++)
        folder_delete (s_copy, names[i]);
    refused_with ("journal-* are missing");
}
END_TEST

START_TEST (test_damaged_heads)
{
    char names[64][64];
    make_segments (names);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        again ();
        folder_flip (s_copy, names[i], 20);
        refused_with ("is damaged");
    }
}
END_TEST

/*  The seal tells of another segment: damaged, it tells of nothing, and the segment is there.  */
START_TEST (test_damaged_seal)
{
    char names[64][64];
    uint64_t number;
    make_segments (names);
    number = strtoull (names[1] + 8, NULL, 16) - 1;
    size_t size;
    size_t at = find_record (number, &size);
    folder_flip (s_copy, names[0], (at + size + 7) & ~(size_t) 7);
    opens_with (900);
}
END_TEST

/*  What is only needed for the past may go.  */
START_TEST (test_missing_segment_of_the_past)
{
    char names[64][64];
    s_options.keep_us = UINT64_MAX / 2;
    s_options.keep_bytes = UINT64_MAX / 2;
    tim3_store_close (&s_store);
    s_store = open_store (s_path);
    for (unsigned i = 0; i < 3; i++) {
        commits (i * 10 + 1, i * 10 + 10, 100);
        ck_assert (tim3_store_tiers_checkpoint (s_store));
    }
    commits (31, 32, 100);
    finish ();
    ck_assert_uint_eq (folder_list (s_path, "journal-", names), 4);
    folder_delete (s_copy, names[0]);
    opens_with (32);
    again ();
    folder_delete (s_copy, names[3]);
    refused_with ("is gone");
    again ();
    for (unsigned i = 0; i < 3; i++)
        folder_delete (s_copy, names[i]);
    opens_with (32);
}
END_TEST

START_TEST (test_record_larger_than_a_segment)
{
    commit (s_store, 1, 100);
    commit (s_store, 2, 7 * MEBIBYTE);
    commit (s_store, 3, 100);
    finish ();
    opens_with (3);
    /* right up to the end of a segment, and one byte more */
    for (unsigned left = 0; left < 128; left++) {
        char names[64][64];
        folder_remove (s_path);
        s_store = open_store (s_path);
        size_t overhead = TIM3_JOURNAL_HEAD + TIM3_RECORD_HEAD + 2 * 6 + 7 + 8 + 9;
        commit (s_store, 1, MEBIBYTE - SEGMENT_HEAD - overhead - left);
        commit (s_store, 2, 8);
        finish ();
        ck_assert_uint_ge (folder_list (s_path, "journal-", names), 1);
        opens_with (2);
    }
}
END_TEST

/*  ------------------------------------------------------------------------------- of another place or time  */

START_TEST (test_lost_data)
{
    char file[320];
    commits (1, 5, 20);
    finish ();
    snprintf (file, sizeof file, "%s/data.mdb", s_copy);
    ck_assert_int_eq (truncate (file, 0), 0);
    refused_with ("data.mdb is missing or empty");
    folder_delete (s_copy, "data.mdb");
    refused_with ("data.mdb is missing or empty");
}
END_TEST

/*  Puts the journal of a store of count commits in the place of the copy's.  */
static void mix_up (uint64_t count)
{
    char other_path[300];
    snprintf (other_path, sizeof other_path, "%s/other", s_root);
    folder_remove (other_path);
    tim3_store_t *other = open_store (other_path);
    for (uint64_t n = 1; n <= count; n++)
        commit (other, n, 20);
    tim3_store_close (&other);
    tim3_buffer_t file = folder_read (other_path, FIRST);
    again ();
    folder_write (s_copy, FIRST, file.data, file.size);
    tim3_buffer_free (&file);
}

/*  Also when neither has a record yet: what is appended then must not follow from what nobody can find.  */
START_TEST (test_journal_of_another_store)
{
    for (uint64_t count = 0; count < 3; count++) {
        if (count > 0)
            commits (count, count, 20);
        finish ();
        for (uint64_t others = 0; others < 3; others++) {
            mix_up (others);
            refused_with ("does not follow from the state");
        }
        s_store = open_store (s_path);
    }
}
END_TEST

static void set_checkpoint (uint64_t number_more, uint64_t checksum_more)
{
    tim3_store_meta_t meta;
    tim3_checkpoint_t checkpoint;
    tim3_key_t key = tim3_key_text ("checkpoint");
    tim3_store_t *store = tim3_store_open_lmdb (&s_options, &meta, s_why, sizeof s_why);
    ck_assert_ptr_nonnull (store);
    ck_assert (tim3_store_read (store, TIM3_TABLE_CHECKPOINT, &key, &checkpoint));
    checkpoint.number += number_more;
    checkpoint.checksum += checksum_more;
    tim3_store_write (store, TIM3_TABLE_CHECKPOINT, &key, &checkpoint);
    ck_assert_int_eq (tim3_store_commit (store), 0);
    tim3_store_close (&store);
}

START_TEST (test_checkpoint_that_does_not_fit)
{
    commits (1, 3, 20);
    ck_assert (tim3_store_tiers_checkpoint (s_store));
    commits (4, 6, 20);
    finish ();
    s_options.path = s_copy;
    set_checkpoint (4, 0);
    refused_with ("it ends with record 6, and the state holds 7");
    again ();
    set_checkpoint (0, 1);
    refused_with ("does not follow from the state");
    again ();
    set_checkpoint (1, 0);
    refused_with ("record 4 is not the one that the state was made with");
    again ();
    set_checkpoint (0, 0);
    opens_with (6);
}
END_TEST

/*  With one field more than this build knows.  */
START_TEST (test_checkpoint_of_a_newer_build)
{
    static const uint8_t record[] = {0x95, 3, 1, 1, 0, 7};
    tim3_store_meta_t meta;
    tim3_key_t key = tim3_key_text ("checkpoint");
    commits (1, 3, 20);
    finish ();
    s_options.path = s_copy;
    tim3_store_t *store = tim3_store_open_lmdb (&s_options, &meta, s_why, sizeof s_why);
    ck_assert_ptr_nonnull (store);
    store->ops->put (store, TIM3_TABLE_CHECKPOINT, &key, record, sizeof record);
    ck_assert_int_eq (tim3_store_commit (store), 0);
    tim3_store_close (&store);
    refused_with ("did a newer version write it");
}
END_TEST

static bool take_none (void *context, uint64_t number, const uint8_t *payload, size_t size, char *why,
                       size_t why_size)
{
    (void) context;
    (void) number;
    (void) payload;
    (void) size;
    (void) why;
    (void) why_size;
    return true;
}

/*  Appends a record to the copy's journal, which holds none yet, as a build of another time might.  */
static void append_row (uint8_t table, size_t key_size, uint64_t digest)
{
    tim3_store_meta_t meta;
    tim3_checkpoint_t checkpoint;
    tim3_key_t name = tim3_key_text ("checkpoint");
    tim3_buffer_t record = {0};
    uint8_t zeros[TIM3_JOURNAL_HEAD + TIM3_RECORD_HEAD] = {0};
    uint8_t key[255] = {table};
    s_options.path = s_copy;
    tim3_store_t *store = tim3_store_open_lmdb (&s_options, &meta, s_why, sizeof s_why);
    ck_assert (tim3_store_read (store, TIM3_TABLE_CHECKPOINT, &name, &checkpoint));
    tim3_store_close (&store);
    tim3_memtable_t *batch = tim3_memtable_new ();
    tim3_memtable_put (batch, key, key_size, (const uint8_t *) "x", 1);
    tim3_buffer_append (&record, zeros, sizeof zeros);
    tim3_record_finish (&record, TIM3_JOURNAL_HEAD, batch, digest);
    int directory = open (s_copy, O_RDONLY | O_DIRECTORY);
    tim3_journal_place_t place = {checkpoint.number, checkpoint.checksum};
    tim3_journal_t *journal =
        tim3_journal_open (directory, &place, MEBIBYTE, take_none, NULL, s_why, sizeof s_why);
    ck_assert_msg (journal != NULL, "%s", s_why);
    ck_assert_int_eq (tim3_journal_append (journal, record.data, record.size), TIM3_STORE_OK);
    tim3_journal_close (&journal);
    close (directory);
    tim3_memtable_destroy (&batch);
    tim3_buffer_free (&record);
}

START_TEST (test_record_that_makes_no_sense)
{
    finish ();
    append_row (250, 9, 0);
    refused_with ("changes a table that this build does not know");
    again ();
    append_row (TIM3_TABLE_LOG, 1, 0);
    refused_with ("changes a table that this build does not know");
    again ();
    append_row (TIM3_TABLE_LOG, 250, 0);
    refused_with ("changes a table that this build does not know");
    again ();
    append_row (TIM3_TABLE_LOG, 9, 1);
    refused_with ("record 1 is whole, but its contents are not");
}
END_TEST

/*  Values that are themselves a journal, of this very store, in each position of 8 bytes; and then cut off.  */
START_TEST (test_values_that_look_like_records)
{
    size_t size;
    commits (1, 5, 20);
    for (uint64_t n = 6; n < 14; n++) {
        tim3_key_t count = tim3_key_text ("count");
        tim3_key_t key = tim3_key_u64 (n);
        tim3_buffer_t file = folder_read (s_path, FIRST);
        file.data[2999] = (uint8_t) n;
        s_store->ops->put (s_store, TIM3_TABLE_COUNTER, &count, (const uint8_t *) &n, sizeof n);
        s_store->ops->put (s_store, TIM3_TABLE_LOG, &key, file.data + n % 8, 3000 - n % 8);
        ck_assert_int_eq (tim3_store_commit (s_store), 0);
        tim3_buffer_free (&file);
    }
    finish ();
    opens_with (13);
    size_t at = find_record (13, &size);
    tim3_buffer_t file = folder_read (s_path, FIRST);
    for (size_t cut = at; cut < at + size; cut += 61) {
        again ();
        folder_write (s_copy, FIRST, file.data, cut);
        opens_with (12);
    }
    for (size_t flip = at; flip < at + TIM3_JOURNAL_HEAD; flip++) {
        again ();
        folder_flip (s_copy, FIRST, flip);
        opens_with (12);
    }
    tim3_buffer_free (&file);
}
END_TEST

/*  The file system lets files be opened for it and then refuses every read and write: of the first segment, of one made in
    between, and of one that is opened again.  */
START_TEST (test_not_past_the_page_cache)
{
    tim3_store_close (&s_store);
    folder_remove (s_path);
    faults_set (FAULTS_DIRECT | FAULTS_ON, 1, EINVAL);
    s_store = open_store (s_path);
    ck_assert_msg (s_store != NULL, "%s", s_why);
    commits (1, 5, 20);
    commit (s_store, 6, 3 * MEBIBYTE);
    tim3_store_close (&s_store);
    s_store = open_store (s_path);
    ck_assert_msg (s_store != NULL, "%s", s_why);
    ck_assert_uint_eq (held (s_store), 6);
    commits (7, 9, 20);
    faults_clear ();
    finish ();
    opens_with (9);
}
END_TEST

Suite *suite_journal (void)
{
    Suite *suite = suite_create ("journal");
    TCase *group = tcase_create ("damage");
    tcase_add_checked_fixture (group, setup, teardown);
    tcase_set_timeout (group, 120);
    tcase_add_test (group, test_cut_in_the_last_record);
    tcase_add_test (group, test_damage_in_the_last_record);
    tcase_add_test (group, test_damage_in_the_middle);
    tcase_add_test (group, test_damage_in_the_head_of_a_segment);
    tcase_add_test (group, test_segments_made_in_haste_are_small);
    tcase_add_test (group, test_segments_are_used_again);
    tcase_add_test (group, test_missing_segment);
    tcase_add_test (group, test_damaged_heads);
    tcase_add_test (group, test_damaged_seal);
    tcase_add_test (group, test_missing_segment_of_the_past);
    tcase_add_test (group, test_record_larger_than_a_segment);
    tcase_add_test (group, test_lost_data);
    tcase_add_test (group, test_journal_of_another_store);
    tcase_add_test (group, test_checkpoint_that_does_not_fit);
    tcase_add_test (group, test_checkpoint_of_a_newer_build);
    tcase_add_test (group, test_record_that_makes_no_sense);
    tcase_add_test (group, test_values_that_look_like_records);
    tcase_add_test (group, test_not_past_the_page_cache);
    suite_add_tcase (suite, group);
    return suite;
}
