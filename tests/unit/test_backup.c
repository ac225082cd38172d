/*  test_backup.c - copies of stores, agents that stand still for one, and older copies that are found out.  */
#include "../../router/core.h"
#include "../../router/lives.h"
#include "../../token_manager/core.h"
#include "agent/kept.h"
#include "bench.h"
#include "runs.h"
#include "suites.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROWS 3000

/*  ------------------------------------------------------------------------------------ copies of a store  */

static char s_root[64];
static char s_path[128];
static char s_copy[128];
static char s_again[192];
static char s_why[512];
static tim3_store_t *s_store;
static tim3_store_meta_t s_meta;

static int remove_entry (const char *path, const struct stat *stat, int kind, struct FTW *place)
{
    (void) stat;
    (void) kind;
    (void) place;
    return remove (path);
}

static tim3_store_t *open_at (const char *path, bool adopt)
{
    const tim3_store_options_t options = {.path = path,
                                          .name = "router.-.0",
                                          .map_size = 64 << 20,
                                          .now_us = 7,
                                          .fresh_id = {{(uint8_t) (adopt ? 9 : 8)}},
                                          .adopt = adopt};
    return tim3_store_open_lmdb (&options, &s_meta, s_why, sizeof s_why);
}

static void setup_store (void)
{
    strcpy (s_root, "/tmp/tim3-backup-XXXXXX");
    ck_assert_ptr_nonnull (mkdtemp (s_root));
    snprintf (s_path, sizeof s_path, "%s/store", s_root);
    snprintf (s_copy, sizeof s_copy, "%s/backup/a/store/router.-.0", s_root);
    snprintf (s_again, sizeof s_again, "%s/again", s_root);
    s_store = open_at (s_path, false);
    ck_assert_msg (s_store != NULL, "%s", s_why);
}

static void teardown_store (void)
{
    tim3_store_close (&s_store);
    nftw (s_root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void put (const char *name, uint64_t value)
{
    tim3_key_t key = tim3_key_text (name);
    tim3_counter_t counter = {value};
    tim3_store_write (s_store, TIM3_TABLE_COUNTER, &key, &counter);
}

static uint64_t get (tim3_store_t *store, const char *name)
{
    tim3_key_t key = tim3_key_text (name);
    tim3_counter_t counter;
    tim3_store_read (store, TIM3_TABLE_COUNTER, &key, &counter);
    return counter.value;
}

static void commit (void)
{
    ck_assert_int_eq (tim3_store_commit (s_store), 0);
}

static void fill (uint64_t value)
{
    char name[32];
    for (unsigned i = 0; i < ROWS; i++) {
        snprintf (name, sizeof name, "row-%05u", i);
        put (name, value);
    }
    commit ();
}

/*  Commits as fast as it can until the copy has ended.  */
static int write_meanwhile (void)
{
    tim3_store_copy_t copy = {.state = TIM3_COPY_STATE_COPYING};
    for (uint64_t i = 0; copy.state == TIM3_COPY_STATE_COPYING; i++) {
        put ("row-00001", 1000 + i);
        put ("late", i);
        commit ();
        tim3_store_copy_look (s_store, &copy);
    }
    return copy.state;
}

static void make_copy (void)
{
    fill (1);
    ck_assert_msg (tim3_store_copy_begin (s_store, s_copy, s_why, sizeof s_why) == 0, "%s", s_why);
    ck_assert_int_eq (write_meanwhile (), TIM3_COPY_STATE_COMPLETE);
    tim3_store_copy_end (s_store, true);
}

static tim3_store_t *open_restored (void)
{
    ck_assert_msg (tim3_store_restore_lmdb (s_copy, s_again, s_why, sizeof s_why) == 0, "%s", s_why);
    tim3_store_t *again = open_at (s_again, false);
    ck_assert_msg (again != NULL, "%s", s_why);
    return again;
}

START_TEST (test_copy_is_of_one_moment)
{
    char name[32];
    make_copy ();
    tim3_store_t *again = open_restored ();
    for (unsigned i = 0; i < ROWS; i++) {
        snprintf (name, sizeof name, "row-%05u", i);
        ck_assert_uint_eq (get (again, name), 1);
    }
    ck_assert_uint_eq (get (again, "late"), 0);
    tim3_store_close (&again);
}
END_TEST

START_TEST (test_copy_counts_the_same_commits)
{
    fill (1);
    fill (2);
    uint64_t counted = tim3_store_commits (s_store);
    ck_assert_int_eq (tim3_store_copy_begin (s_store, s_copy, s_why, sizeof s_why), 0);
    write_meanwhile ();
    ck_assert_uint_gt (tim3_store_commits (s_store), counted);
    tim3_store_t *again = open_restored ();
    ck_assert_uint_eq (tim3_store_commits (again), counted);
    tim3_store_close (&again);
    again = open_at (s_again, false);
    ck_assert_uint_eq (tim3_store_commits (again), counted);
    tim3_store_close (&again);
}
END_TEST

START_TEST (test_commits_are_counted_when_they_change_something)
{
    uint64_t counted = tim3_store_commits (s_store);
    commit ();
    get (s_store, "x");
    commit ();
    put ("x", 1);
    tim3_store_abort (s_store);
    commit ();
    ck_assert_uint_eq (tim3_store_commits (s_store), counted);
    put ("x", 1);
    ck_assert_uint_eq (tim3_store_commits (s_store), counted);
    commit ();
    ck_assert_uint_eq (tim3_store_commits (s_store), counted + 1);
}
END_TEST

START_TEST (test_restored_store_keeps_its_identity)
{
    tim3_id_t id = s_meta.id;
    make_copy ();
    tim3_store_t *again = open_restored ();
    ck_assert_mem_eq (&s_meta.id, &id, sizeof id);
    ck_assert_mem_eq (&s_meta.lineage, &id, sizeof id);
    tim3_store_close (&again);
}
END_TEST

START_TEST (test_copy_itself_is_refused_and_adopting_keeps_lineage_and_count)
{
    tim3_id_t id = s_meta.id;
    fill (1);
    uint64_t counted = tim3_store_commits (s_store);
    ck_assert_int_eq (tim3_store_copy_begin (s_store, s_copy, s_why, sizeof s_why), 0);
    write_meanwhile ();
    tim3_store_copy_end (s_store, true);
    ck_assert_ptr_null (open_at (s_copy, false));
    ck_assert_ptr_nonnull (strstr (s_why, "is a copy"));
    tim3_store_t *adopted = open_at (s_copy, true);
    ck_assert_msg (adopted != NULL, "%s", s_why);
    ck_assert_int_ne (memcmp (&s_meta.id, &id, sizeof id), 0);
    ck_assert_mem_eq (&s_meta.lineage, &id, sizeof id);
    ck_assert_uint_eq (tim3_store_commits (adopted), counted);
    tim3_store_close (&adopted);
}
END_TEST

START_TEST (test_restoring_forgets_where_agents_were)
{
    tim3_agent_t agent = {.name = "lock_manager.TIM3.0"};
    tim3_key_t key = tim3_key_text (agent.name);
    tim3_standing_item_t standing = {.commits = 5};
    tim3_store_write (s_store, TIM3_TABLE_REGISTRY, &key, &agent);
    tim3_store_write (s_store, TIM3_TABLE_STANDING, &key, &standing);
    key = tim3_key_text ("mock_usda.USDA.0");
    tim3_store_write (s_store, TIM3_TABLE_REGISTRY, &key, &agent);
    make_copy ();
    tim3_store_t *again = open_restored ();
    ck_assert (!tim3_store_has (again, TIM3_TABLE_REGISTRY, &key));
    key = tim3_key_text (agent.name);
    ck_assert (!tim3_store_has (again, TIM3_TABLE_REGISTRY, &key));
    ck_assert (tim3_store_has (again, TIM3_TABLE_STANDING, &key));
    ck_assert (tim3_store_has (s_store, TIM3_TABLE_REGISTRY, &key));
    tim3_store_close (&again);
}
END_TEST

START_TEST (test_nothing_is_written_over)
{
    make_copy ();
    ck_assert_int_eq (tim3_store_copy_begin (s_store, s_copy, s_why, sizeof s_why), -1);
    ck_assert_ptr_nonnull (strstr (s_why, "File exists"));
    tim3_store_t *again = open_restored ();
    tim3_store_close (&again);
    ck_assert_int_eq (tim3_store_restore_lmdb (s_copy, s_again, s_why, sizeof s_why), -1);
}
END_TEST

START_TEST (test_dropped_and_unfinished_copies_are_deleted)
{
    fill (1);
    ck_assert_int_eq (tim3_store_copy_begin (s_store, s_copy, s_why, sizeof s_why), 0);
    ck_assert_int_eq (tim3_store_copy_begin (s_store, s_again, s_why, sizeof s_why), -1);
    tim3_store_copy_end (s_store, false);
    ck_assert_int_ne (access (s_copy, F_OK), 0);
    ck_assert_int_eq (tim3_store_copy_begin (s_store, s_copy, s_why, sizeof s_why), 0);
    write_meanwhile ();
    tim3_store_copy_end (s_store, false);
    ck_assert_int_ne (access (s_copy, F_OK), 0);
    ck_assert_int_eq (tim3_store_copy_begin (s_store, s_copy, s_why, sizeof s_why), 0);
    tim3_store_close (&s_store); /* complete or not: whole, or gone */
    snprintf (s_again, sizeof s_again, "%s/data.mdb", s_copy);
    ck_assert_int_eq (access (s_copy, F_OK), access (s_again, F_OK));
}
END_TEST

START_TEST (test_no_copy_within_a_batch)
{
    put ("x", 1);
    ck_assert_int_eq (tim3_store_copy_begin (s_store, s_copy, s_why, sizeof s_why), -1);
    ck_assert_int_ne (access (s_copy, F_OK), 0);
    commit ();
}
END_TEST

/*  -------------------------------------------------------------------------------------- standing still  */

static tim3_host_t *s_host;
static tim3_kept_t s_kept;
static uint64_t s_now;
static unsigned s_out[256];
static tim3_error_t s_error;
static tim3_copying_t s_copying;
static tim3_held_t s_held;
static tim3_registered_t s_registered = {.generation = 1};

static void start_host (bool wait)
{
    tim3_host_options_t options = {.name = "token_manager.TIM3.0",
                                   .incarnation = BENCH_START,
                                   .backup = "/data/backup",
                                   .wait_accepted = wait};
    bench_defaults ("token_manager.TIM3.0");
    bench_settings.heartbeat_us = 1000000;
    if (wait)
        strcpy (options.endpoint, "ipc://x");
    s_store = memory_store_new ();
    s_host = tim3_host_new (&tim3_token_manager_core, &bench_settings, s_store, &options);
    s_now = BENCH_START;
    tim3_host_begin (s_host, s_now);
}

static void setup_host (void)
{
    start_host (false);
}

static void teardown_host (void)
{
    tim3_kept_clear (&s_kept);
    tim3_host_destroy (&s_host);
    tim3_store_close (&s_store);
}

static void add (tim3_buffer_t *frame, uint64_t type, const void *body)
{
    tim3_envelope_t envelope = {
        .type = type, .id = 1, .sender = "client", .recipient = "token_manager.TIM3.0"};
    tim3_envelope_write (frame, &envelope, body);
}

static void take_frame (tim3_buffer_t *frame)
{
    tim3_origin_t origin = {false, (const uint8_t *) "p", 1};
    tim3_kept_take (&s_kept, s_host, &origin, frame->data, frame->size);
    tim3_buffer_free (frame);
}

static void take (uint64_t type, const void *body)
{
    tim3_buffer_t frame = {0};
    add (&frame, type, body);
    take_frame (&frame);
}

static void note (const tim3_envelope_t *envelope)
{
    tim3_fault_t fault;
    tim3_arena_t none = {0};
    void *body = envelope->type == TIM3_MSG_ERROR     ? (void *) &s_error
                 : envelope->type == TIM3_MSG_COPYING ? (void *) &s_copying
                 : envelope->type == TIM3_MSG_HELD    ? (void *) &s_held
                                                      : NULL;
    s_out[envelope->type]++;
    if (body)
        ck_assert_int_eq (tim3_decode_map (envelope->body, envelope->body_size,
                                           tim3_message (envelope->type)->shape, body, &none, &fault),
                          0);
}

/*  Commits, looks at what comes out, and begins the next batch some time later.  */
static void turn (uint64_t later_us)
{
    const tim3_frame_t *frame;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    memset (s_out, 0, sizeof s_out);
    memset (&s_error, 0, sizeof s_error);
    ck_assert_int_eq (tim3_host_commit (s_host), 0);
    while ((frame = tim3_host_next (s_host))) {
        const uint8_t *at = frame->data;
        while (tim3_envelope_read (&at, frame->data + frame->size, &envelope, &fault) == 1)
            note (&envelope);
    }
    s_now += later_us;
    tim3_host_begin (s_host, s_now);
    while (tim3_kept_ready (&s_kept, s_host))
        tim3_kept_give (&s_kept, s_host);
}

static tim3_hold_t hold_of (uint8_t number)
{
    return (tim3_hold_t){.backup = {{number}}, .name = "b", .for_us = 1000};
}

static void hold (uint8_t number)
{
    tim3_hold_t body = hold_of (number);
    take (TIM3_MSG_HOLD, &body);
    turn (1);
}

static void resume (uint8_t number, bool drop)
{
    tim3_resume_t body = {.backup = {{number}}, .life = s_held.life, .number = s_held.number, .drop = drop};
    take (TIM3_MSG_RESUME, &body);
    turn (1);
}

START_TEST (test_hold_begins_a_copy_behind_the_commit)
{
    tim3_control_t pause = {.control = TIM3_CONTROL_PAUSE, .request_id = "c1"};
    tim3_hold_t body = hold_of (1);
    take (TIM3_MSG_HOLD, &body);
    take (TIM3_MSG_CONTROL, &pause); /* of the same batch: it is in the copy */
    ck_assert_str_eq (memory_store_copy_path (s_store), "");
    turn (1);
    ck_assert_uint_eq (s_out[TIM3_MSG_HELD], 1);
    ck_assert_uint_eq (s_out[TIM3_MSG_TRANSACTION], 1);
    ck_assert_str_eq (memory_store_copy_path (s_store), "/data/backup/b/store/token_manager.TIM3.0");
    ck_assert (tim3_host_held (s_host));
}
END_TEST

START_TEST (test_held_agent_tells_who_it_is_and_keeps_the_rest)
{
    tim3_buffer_t frame = {0};
    hold (1);
    add (&frame, TIM3_MSG_GET_SUPPLY, "");
    add (&frame, TIM3_MSG_INFO, "");
    add (&frame, TIM3_MSG_GET_SUPPLY, "");
    take_frame (&frame);
    take (TIM3_MSG_HEALTH, "");
    turn (1);
    ck_assert_uint_eq (s_out[TIM3_MSG_INFO_REPLY], 1);
    ck_assert_uint_eq (s_out[TIM3_MSG_HEALTH_REPLY], 1);
    ck_assert_uint_eq (s_out[TIM3_MSG_SUPPLY], 0);
    ck_assert_uint_eq (s_kept.count, 2);
    resume (1, false);
    ck_assert_uint_eq (s_out[TIM3_MSG_COPYING], 1);
    ck_assert (s_copying.held);
    turn (1);
    ck_assert_uint_eq (s_out[TIM3_MSG_SUPPLY], 2);
    ck_assert_uint_eq (s_kept.count, 0);
    ck_assert_uint_eq (s_kept.bytes, 0);
}
END_TEST

START_TEST (test_what_comes_later_stays_behind_what_was_kept)
{
    tim3_control_t pause = {.control = TIM3_CONTROL_PAUSE, .request_id = "c1"};
    tim3_control_t unpause = {.control = TIM3_CONTROL_UNPAUSE, .request_id = "c2"};
    tim3_resume_t body = {.backup = {{1}}};
    hold (1);
    take (TIM3_MSG_CONTROL, &pause);
    take (TIM3_MSG_RESUME, &body);
    take (TIM3_MSG_CONTROL, &unpause);
    ck_assert_uint_eq (s_kept.count, 2);
    turn (1);
    turn (1);
    ck_assert_uint_eq (s_out[TIM3_MSG_TRANSACTION], 2);
    tim3_key_t key = tim3_key_text ("ledger");
    tim3_ledger_t ledger;
    tim3_store_read (s_store, TIM3_TABLE_LEDGER, &key, &ledger);
    ck_assert (!ledger.paused);
}
END_TEST

START_TEST (test_hold_ends_by_itself_and_tells)
{
    hold (1);
    turn (999);
    ck_assert (!tim3_host_held (s_host));
    resume (1, false);
    ck_assert_uint_eq (s_out[TIM3_MSG_COPYING], 1);
    ck_assert (!s_copying.held);
    hold (1);
    ck_assert_uint_eq (s_error.code, TIM3_WRONG_STATE);
}
END_TEST

START_TEST (test_asking_twice_is_the_same)
{
    hold (1);
    hold (1);
    ck_assert_uint_eq (s_out[TIM3_MSG_HELD], 1);
    turn (998);
    ck_assert (!tim3_host_held (s_host)); /* the second did not make it longer */
    memory_store_set_copy (s_store, TIM3_COPY_STATE_COMPLETE);
    hold (2);
    resume (2, false);
    uint64_t held_us = s_copying.held_us;
    resume (2, false);
    ck_assert (s_copying.held);
    ck_assert_uint_eq (s_copying.held_us, held_us);
}
END_TEST

START_TEST (test_one_backup_at_a_time)
{
    hold (1);
    hold (2);
    ck_assert_uint_eq (s_error.code, TIM3_WRONG_STATE);
    resume (2, false);
    ck_assert_uint_eq (s_error.code, TIM3_NOT_FOUND);
    ck_assert (tim3_host_held (s_host));
    resume (1, false);
    hold (2);
    ck_assert_uint_eq (s_error.code, TIM3_WRONG_STATE); /* the copy is not done yet */
    memory_store_set_copy (s_store, TIM3_COPY_STATE_COMPLETE);
    hold (2);
    ck_assert_uint_eq (s_out[TIM3_MSG_HELD], 1);
    resume (1, false);
    ck_assert_uint_eq (s_error.code, TIM3_NOT_FOUND);
}
END_TEST

START_TEST (test_another_hold_is_not_the_one_that_counts)
{
    hold (1);
    s_held.number++;
    resume (1, false);
    ck_assert (!s_copying.held);
    s_held.number--;
    s_held.life++;
    resume (1, false);
    ck_assert (!s_copying.held);
    s_held.life--;
    resume (1, false);
    ck_assert (s_copying.held);
}
END_TEST

START_TEST (test_dropping)
{
    hold (1);
    resume (1, true);
    ck_assert (!tim3_host_held (s_host));
    ck_assert_str_eq (memory_store_copy_path (s_store), "");
    hold (2);
    ck_assert_uint_eq (s_out[TIM3_MSG_HELD], 1);
}
END_TEST

START_TEST (test_bad_names_and_failing_copies)
{
    static const char *const names[] = {"", ".", "..", ".x", "a/b", "a b", "a\n", "\xc3\xa9"};
    tim3_hold_t body = hold_of (1);
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        strcpy (body.name, names[i]);
        take (TIM3_MSG_HOLD, &body);
        turn (1);
        ck_assert_uint_eq (s_error.code, TIM3_INVALID_FIELD);
        ck_assert (!tim3_host_held (s_host));
    }
    memory_store_fail_copy (s_store);
    hold (1);
    ck_assert_uint_eq (s_error.code, TIM3_WRONG_STATE);
    ck_assert_str_eq (s_error.text, "no copy can begin");
    ck_assert (!tim3_host_held (s_host));
}
END_TEST

START_TEST (test_full_store_holds_nobody)
{
    tim3_control_t pause = {.control = TIM3_CONTROL_PAUSE, .request_id = "c1"};
    tim3_hold_t body = hold_of (1);
    take (TIM3_MSG_HOLD, &body);
    memory_store_fail_change (s_store, 1);
    take (TIM3_MSG_CONTROL, &pause);
    turn (1);
    ck_assert_uint_eq (s_out[TIM3_MSG_HELD], 0);
    ck_assert_uint_eq (s_out[TIM3_MSG_ERROR], 2);
    ck_assert (!tim3_host_held (s_host));
    hold (1);
    ck_assert_uint_eq (s_out[TIM3_MSG_HELD], 1);
}
END_TEST

START_TEST (test_what_is_kept_is_bounded)
{
    hold (1);
    for (unsigned i = 0; i < TIM3_KEPT_FRAMES_MAX + 10; i++)
        take (TIM3_MSG_GET_SUPPLY, "");
    ck_assert_uint_eq (s_kept.count, TIM3_KEPT_FRAMES_MAX);
    ck_assert_uint_eq (s_kept.dropped, 10);
    resume (1, false);
    ck_assert_uint_eq (s_out[TIM3_MSG_COPYING], 1);
}
END_TEST

/*  ----------------------------------------------------------------------------------- not yet accepted  */

static void setup_waiting (void)
{
    start_host (true);
}

static void answer_register (tim3_type_t type, const void *body)
{
    tim3_buffer_t frame = {0};
    tim3_origin_t origin = {true, (const uint8_t *) "router.-.0", 10};
    tim3_envelope_t envelope = {
        .type = type, .id = 1, .sender = "router.-.0", .recipient = "token_manager.TIM3.0"};
    tim3_envelope_write (&frame, &envelope, body);
    tim3_kept_take (&s_kept, s_host, &origin, frame.data, frame.size);
    tim3_buffer_free (&frame);
}

START_TEST (test_ledger_serves_when_it_was_accepted)
{
    tim3_hold_t body = hold_of (1);
    ck_assert (!tim3_host_ready (s_host));
    take (TIM3_MSG_GET_SUPPLY, "");
    turn (1);
    ck_assert_uint_eq (s_error.code, TIM3_NOT_READY);
    take (TIM3_MSG_HOLD, &body);
    turn (1);
    ck_assert_uint_eq (s_error.code, TIM3_NOT_READY);
    take (TIM3_MSG_INFO, "");
    turn (1);
    ck_assert_uint_eq (s_out[TIM3_MSG_INFO_REPLY], 1);
    answer_register (TIM3_MSG_REGISTERED, &s_registered);
    take (TIM3_MSG_GET_SUPPLY, "");
    turn (1);
    ck_assert_uint_eq (s_out[TIM3_MSG_SUPPLY], 1);
    ck_assert (tim3_host_ready (s_host));
}
END_TEST

START_TEST (test_held_agent_sends_nothing)
{
    tim3_hold_t body = hold_of (1);
    body.for_us = 5000000;
    answer_register (TIM3_MSG_REGISTERED, &s_registered);
    take (TIM3_MSG_HOLD, &body);
    turn (3000000);
    tim3_host_tick (s_host);
    turn (1);
    for (unsigned i = 0; i < 256; i++)
        ck_assert_uint_eq (s_out[i], 0);
    resume (1, false);
    tim3_host_tick (s_host);
    turn (1);
    ck_assert_uint_eq (s_out[TIM3_MSG_HEARTBEAT] + s_out[TIM3_MSG_REGISTER], 1);
}
END_TEST

START_TEST (test_accepted_once_is_enough)
{
    tim3_error_t unknown = {.code = TIM3_NOT_FOUND, .request = TIM3_MSG_HEARTBEAT};
    answer_register (TIM3_MSG_REGISTERED, &s_registered);
    answer_register (TIM3_MSG_ERROR, &unknown);
    turn (3600000000u);
    tim3_host_tick (s_host);
    turn (1);
    ck_assert (!tim3_host_registered (s_host));
    take (TIM3_MSG_GET_SUPPLY, "");
    turn (1);
    ck_assert_uint_eq (s_out[TIM3_MSG_SUPPLY], 1);
}
END_TEST

START_TEST (test_commits_are_told_soon)
{
    tim3_control_t pause = {.control = TIM3_CONTROL_PAUSE, .request_id = "c1"};
    answer_register (TIM3_MSG_REGISTERED, &s_registered);
    tim3_host_tick (s_host);
    take (TIM3_MSG_CONTROL, &pause);
    turn (50000);
    tim3_host_tick (s_host);
    turn (50000);
    ck_assert_uint_eq (s_out[TIM3_MSG_HEARTBEAT], 0);
    tim3_host_tick (s_host);
    turn (200000);
    ck_assert_uint_eq (s_out[TIM3_MSG_HEARTBEAT], 1);
    tim3_host_tick (s_host);
    turn (1);
    ck_assert_uint_eq (s_out[TIM3_MSG_HEARTBEAT], 0); /* nothing new */
}
END_TEST

static tim3_router_seen_t seen_in_store (void)
{
    tim3_key_t key = tim3_key_text ("router");
    tim3_router_seen_t seen;
    tim3_store_read (s_store, TIM3_TABLE_ROUTER_SEEN, &key, &seen);
    return seen;
}

/*  Again when something has been committed; that it was itself committed is no reason.  */
START_TEST (test_what_was_seen_of_the_router_is_kept)
{
    tim3_registered_t answer = {.generation = 1, .life = 7, .log_end = 40, .heard = 1};
    answer_register (TIM3_MSG_REGISTERED, &answer);
    ck_assert_uint_eq (seen_in_store ().life, 7);
    ck_assert_uint_eq (seen_in_store ().log_end, 40);
    answer.log_end = 50;
    answer.heard = 2;
    answer_register (TIM3_MSG_REGISTERED, &answer);
    ck_assert_uint_eq (seen_in_store ().log_end, 40);
    answer.heard = 3;
    answer_register (TIM3_MSG_REGISTERED, &answer);
    ck_assert_uint_eq (seen_in_store ().log_end, 50);
    answer.life = 8;
    answer_register (TIM3_MSG_REGISTERED, &answer);
    ck_assert_uint_eq (seen_in_store ().life, 8);
    answer.life = 0; /* an answer that tells nothing */
    answer_register (TIM3_MSG_REGISTERED, &answer);
    ck_assert_uint_eq (seen_in_store ().life, 8);
}
END_TEST

START_TEST (test_refusals_are_told)
{
    tim3_error_t error = {
        .code = TIM3_LOG_ROLLED_BACK, .request = TIM3_MSG_REGISTER, .text = "the log is old"};
    answer_register (TIM3_MSG_ERROR, &error);
    take (TIM3_MSG_GET_SUPPLY, "");
    turn (1);
    ck_assert_str_eq (s_error.text, "the log is old");
    ck_assert_ptr_null (tim3_host_rolled_back (s_host));
    error.code = TIM3_STORE_ROLLED_BACK;
    strcpy (error.text, "the store is old");
    answer_register (TIM3_MSG_ERROR, &error);
    ck_assert_str_eq (tim3_host_rolled_back (s_host), "the store is old");
}
END_TEST

/*  ----------------------------------------------------------------------- how far ledgers have come  */

#define LEDGER "token_manager.TIM3.0"

static void start_router (void)
{
    static tim3_settings_t settings = {.name = "router.-.0", .asset = "-", .heartbeat_us = 1000000};
    static const tim3_host_options_t options = {.name = "router.-.0", .incarnation = 1};
    s_host = tim3_host_new (&tim3_router_core, &settings, s_store, &options);
    s_now += 1;
}

static void setup_router (void)
{
    s_now = BENCH_START;
    s_store = memory_store_new ();
    start_router ();
}

static tim3_result_t ask (tim3_type_t type, const char *sender, const void *body)
{
    tim3_buffer_t frame = {0};
    tim3_origin_t origin = {false, (const uint8_t *) "p", 1};
    tim3_envelope_t envelope = {.type = type, .id = 1, .recipient = "router.-.0"};
    strcpy (envelope.sender, sender);
    tim3_envelope_write (&frame, &envelope, body);
    tim3_host_begin (s_host, s_now);
    tim3_host_take (s_host, &origin, frame.data, frame.size);
    tim3_buffer_free (&frame);
    turn (1000);
    return s_out[TIM3_MSG_ERROR] ? (tim3_result_t) s_error.code : TIM3_OK;
}

static tim3_router_seen_t s_seen; /* what a ledger tells that it has seen of the router */

static tim3_result_t come (const char *name, uint64_t life, tim3_standing_t standing)
{
    tim3_address_t address;
    tim3_agent_t agent = {.endpoint = "ipc://x", .version = "1", .incarnation = life};
    strcpy (agent.name, name);
    tim3_address_parse (name, &address);
    strcpy (agent.asset, address.asset);
    agent.role = (uint8_t) address.role;
    tim3_register_t body = {{&agent, 1},        standing.store, standing.lineage, standing.commits,
                            standing.event_seq, standing.acked, s_seen.life,      s_seen.log_end};
    return ask (TIM3_MSG_REGISTER, name, &body);
}

static tim3_result_t beat (uint64_t life, tim3_standing_t standing)
{
    tim3_heartbeat_t body = {
        LEDGER,        life, 0, standing.store, standing.lineage, standing.commits, standing.event_seq,
        standing.acked};
    return ask (TIM3_MSG_HEARTBEAT, LEDGER, &body);
}

static tim3_result_t leave (uint64_t life, tim3_standing_t standing)
{
    tim3_deregister_t body = {
        LEDGER, life, standing.store, standing.lineage, standing.commits, standing.event_seq, standing.acked};
    return ask (TIM3_MSG_DEREGISTER, LEDGER, &body);
}

static tim3_standing_t standing_at (uint64_t commits)
{
    return (tim3_standing_t){.store = {{1}}, .lineage = {{1}}, .commits = commits};
}

static tim3_result_t publish (uint64_t seq)
{
    tim3_buffer_t run = {0};
    tim3_token_changed_t minted = {.account = "a", .amount = 1};
    tim3_run_begin (&run);
    tim3_run_add (&run, TIM3_MSG_TOKEN_MINTED, 0, &minted);
    tim3_publish_t publish = {.source = LEDGER, .store = {{1}}, .seq = seq, .count = 1, .acked = seq - 1};
    publish.events = tim3_run_end (&run);
    tim3_result_t code = ask (TIM3_MSG_PUBLISH, LEDGER, &publish);
    tim3_buffer_free (&run);
    return code;
}

static void restart_router (void)
{
    tim3_host_destroy (&s_host);
    tim3_store_abort (s_store);
    start_router ();
    tim3_host_begin (s_host, s_now);
}

START_TEST (test_fewer_commits_are_refused)
{
    ck_assert_int_eq (come (LEDGER, 1, standing_at (10)), TIM3_OK);
    ck_assert_int_eq (beat (1, standing_at (12)), TIM3_OK);
    ck_assert_int_eq (come (LEDGER, 2, standing_at (11)), TIM3_STORE_ROLLED_BACK);
    ck_assert_ptr_nonnull (strstr (s_error.text, "11 commits, and had 12"));
    restart_router (); /* who was refused is known ever after */
    ck_assert_int_eq (come (LEDGER, 3, standing_at (11)), TIM3_STORE_ROLLED_BACK);
    ck_assert_int_eq (come (LEDGER, 4, standing_at (12)), TIM3_OK);
    ck_assert_int_eq (come (LEDGER, 5, standing_at (12)), TIM3_OK);
}
END_TEST

START_TEST (test_late_messages_of_one_life_are_not_refused)
{
    ck_assert_int_eq (come (LEDGER, 1, standing_at (10)), TIM3_OK);
    ck_assert_int_eq (beat (1, standing_at (12)), TIM3_OK);
    ck_assert_int_eq (beat (1, standing_at (11)), TIM3_OK);
    ck_assert_int_eq (come (LEDGER, 1, standing_at (12)), TIM3_OK);
    ck_assert_int_eq (come (LEDGER, 2, standing_at (12)), TIM3_OK);
    ck_assert_int_eq (beat (1, standing_at (12)), TIM3_SUPERSEDED);
    ck_assert_int_eq (leave (2, standing_at (13)), TIM3_OK);
    ck_assert_int_eq (beat (2, standing_at (12)), TIM3_NOT_FOUND);
    ck_assert_int_eq (leave (1, standing_at (12)), TIM3_OK);
    ck_assert_int_eq (come (LEDGER, 3, standing_at (12)), TIM3_STORE_ROLLED_BACK);
}
END_TEST

static uint64_t next_life (uint64_t now_us, uint32_t chance)
{
    return tim3_host_next_life (s_store, now_us, chance);
}

static void begin_life (uint64_t number)
{
    tim3_host_destroy (&s_host);
    tim3_store_abort (s_store);
    ck_assert_uint_eq (tim3_host_next_life (s_store, number, 0), number);
    start_router ();
    tim3_host_begin (s_host, s_now);
}

static tim3_result_t come_having_seen (uint64_t life, uint64_t log_end)
{
    static uint64_t incarnation;
    tim3_standing_t standing = standing_at (10);
    standing.event_seq = 9;
    s_seen = (tim3_router_seen_t){life, log_end, 0};
    tim3_result_t code = come (LEDGER, ++incarnation, standing);
    s_seen = (tim3_router_seen_t){0};
    return code;
}

START_TEST (test_router_is_found_out_by_what_a_ledger_saw_of_it)
{
    begin_life (100);
    ck_assert_int_eq (come_having_seen (100, 1), TIM3_OK);
    ck_assert_int_eq (publish (1), TIM3_OK);
    ck_assert_int_eq (come_having_seen (100, 2), TIM3_OK);
    begin_life (200);
    ck_assert_int_eq (publish (2), TIM3_OK);
    ck_assert_int_eq (come_having_seen (100, 2), TIM3_OK);

    ck_assert_int_eq (come_having_seen (100, 3),
                      TIM3_LOG_ROLLED_BACK); /* a copy of that life, before its last event */
    ck_assert_ptr_nonnull (strstr (s_error.text, "older copy, or of another set: " LEDGER));
    ck_assert_int_eq (publish (3), TIM3_LOG_ROLLED_BACK);
    ck_assert_int_eq (come_having_seen (200, 3), TIM3_OK);
    ck_assert_int_eq (publish (3), TIM3_OK);

    ck_assert_int_eq (come_having_seen (200, 5), TIM3_LOG_ROLLED_BACK);
    ck_assert_int_eq (come_having_seen (150, 1), TIM3_LOG_ROLLED_BACK); /* a life of another copy */
    ck_assert_int_eq (come_having_seen (99, 1), TIM3_LOG_ROLLED_BACK);
    ck_assert_int_eq (come_having_seen (201, 1), TIM3_LOG_ROLLED_BACK);
    ck_assert_int_eq (come_having_seen (200, 4), TIM3_OK);
}
END_TEST

START_TEST (test_router_made_anew_takes_ledgers_that_saw_another)
{
    begin_life (100);
    ck_assert_int_eq (come_having_seen (50, 1000), TIM3_OK);
    ck_assert_int_eq (come_having_seen (50, 1000), TIM3_LOG_ROLLED_BACK); /* it has been met */
    begin_life (200);
    ck_assert_int_eq (come_having_seen (50, 1000), TIM3_LOG_ROLLED_BACK);
}
END_TEST

START_TEST (test_last_lives_are_kept)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_life_t life;
    unsigned count = 0;
    for (unsigned i = 1; i <= TIM3_LIVES_MAX + 10; i++) {
        ck_assert_uint_eq (next_life (i * 10, 0), i * 10);
        ck_assert_uint_eq (tim3_lives_begin (s_store, i), i * 10);
        ck_assert_uint_eq (tim3_lives_begin (s_store, i + 5), i * 10); /* noted already */
    }
    for (bool more = tim3_store_seek (s_store, TIM3_TABLE_LIFE, TIM3_SEEK_GE, &key, &life); more; count++)
        more = tim3_store_seek (s_store, TIM3_TABLE_LIFE, TIM3_SEEK_GT, &key, &life);
    ck_assert_uint_eq (count, TIM3_LIVES_MAX);
    ck_assert (tim3_lives_had (s_store, 9999, 110, 12));
    ck_assert (!tim3_lives_had (s_store, 9999, 110, 13));
    ck_assert (!tim3_lives_had (s_store, 9999, 100, 1));
    ck_assert (tim3_lives_had (s_store, 9999, (TIM3_LIVES_MAX + 10) * 10, 9999));
}
END_TEST

START_TEST (test_lives_are_counted_on_whatever_the_clock_says)
{
    ck_assert_uint_eq (next_life (1000, 7), 1000);
    ck_assert_uint_eq (next_life (5000, 7), 5000);
    ck_assert_uint_eq (next_life (2000, 7), 5009);
    ck_assert_uint_eq (next_life (5010, 0), 5011);
    ck_assert_uint_eq (next_life (6000, 7), 6000);
    memory_store_fail_change (s_store, 1); /* one that cannot be noted is less than any that comes after it */
    ck_assert_uint_eq (next_life (9000, 7), 6001);
    ck_assert_uint_eq (next_life (100, 0), 6002);
}
END_TEST

/*  A life is told from others by when it began, and a clock that was ahead, or is behind, makes an older copy look like a life
    before.  */
START_TEST (test_older_copies_are_refused_whatever_the_clock_says)
{
    tim3_standing_t other = {.store = {{1}}, .lineage = {{2}}, .commits = 99};
    ck_assert_int_eq (come (LEDGER, 7, standing_at (10)), TIM3_OK);
    ck_assert_int_eq (leave (7, standing_at (12)), TIM3_OK);
    ck_assert_int_eq (come (LEDGER, 5, standing_at (11)), TIM3_STORE_ROLLED_BACK);
    ck_assert_int_eq (come (LEDGER, 5, standing_at (12)), TIM3_STORE_ROLLED_BACK);
    ck_assert_ptr_nonnull (strstr (s_error.text, "does not know of its last start"));
    ck_assert_int_eq (come (LEDGER, 5, other), TIM3_STORE_ROLLED_BACK);
    ck_assert_ptr_nonnull (strstr (s_error.text, "made anew"));
    restart_router ();
    ck_assert_int_eq (come (LEDGER, 6, standing_at (12)), TIM3_STORE_ROLLED_BACK);
    ck_assert_int_eq (come (LEDGER, 8, standing_at (12)), TIM3_OK);
}
END_TEST

START_TEST (test_counts_are_written_in_time)
{
    ck_assert_int_eq (come (LEDGER, 1, standing_at (10)), TIM3_OK);
    uint64_t commits = tim3_store_commits (s_store);
    ck_assert_int_eq (beat (1, standing_at (11)), TIM3_OK);
    ck_assert_uint_eq (tim3_store_commits (s_store), commits); /* not with each heartbeat */
    s_now += 3000000;
    tim3_host_begin (s_host, s_now);
    tim3_host_tick (s_host);
    turn (1);
    restart_router ();
    ck_assert_int_eq (come (LEDGER, 2, standing_at (10)), TIM3_STORE_ROLLED_BACK);
    ck_assert_int_eq (come (LEDGER, 3, standing_at (11)), TIM3_OK);
    ck_assert_int_eq (leave (3, standing_at (15)), TIM3_OK);
    restart_router ();
    ck_assert_int_eq (come (LEDGER, 4, standing_at (14)), TIM3_STORE_ROLLED_BACK);
}
END_TEST

START_TEST (test_fewer_events_than_the_log_has_are_refused)
{
    tim3_standing_t standing = standing_at (10);
    ck_assert_int_eq (come (LEDGER, 1, standing), TIM3_OK);
    ck_assert_int_eq (publish (1), TIM3_OK);
    ck_assert_int_eq (publish (2), TIM3_OK);
    standing.event_seq = 1;
    ck_assert_int_eq (come (LEDGER, 2, standing), TIM3_STORE_ROLLED_BACK);
    standing.event_seq = 2;
    ck_assert_int_eq (come (LEDGER, 3, standing), TIM3_OK);
    standing.event_seq = 1;
    standing.store.bytes[0] = 2; /* adopted: another identity, of the same lineage */
    ck_assert_int_eq (come (LEDGER, 4, standing), TIM3_STORE_ROLLED_BACK);
    standing.event_seq = 2;
    ck_assert_int_eq (come (LEDGER, 5, standing), TIM3_OK);
}
END_TEST

START_TEST (test_another_store_is_refused)
{
    tim3_standing_t standing = standing_at (10);
    ck_assert_int_eq (come (LEDGER, 1, standing), TIM3_OK);
    standing = (tim3_standing_t){.store = {{2}}, .lineage = {{2}}, .commits = 99};
    ck_assert_int_eq (come (LEDGER, 2, standing), TIM3_STORE_ROLLED_BACK);
    ck_assert_ptr_nonnull (strstr (s_error.text, "made anew"));
    ck_assert_int_eq (come ("token_manager.GOLD.0", 2, standing), TIM3_OK);
}
END_TEST

START_TEST (test_stores_that_hold_no_money_may_go_back)
{
    static const char *const names[] = {"state_manager.-.0", "coordinator.TIM3.0"};
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq (come (names[i], 1, standing_at (10)), TIM3_OK);
        ck_assert_int_eq (come (names[i], 2, standing_at (5)), TIM3_OK);
    }
}
END_TEST

START_TEST (test_log_that_lacks_durable_events_is_found_out)
{
    tim3_standing_t standing = standing_at (10);
    ck_assert_int_eq (come (LEDGER, 1, standing), TIM3_OK);
    standing.event_seq = standing.acked = 1; /* before this log had anything of it */
    ck_assert_int_eq (beat (1, standing), TIM3_LOG_ROLLED_BACK);
    ck_assert_int_eq (publish (1), TIM3_LOG_ROLLED_BACK);
    standing.acked = 0;
    ck_assert_int_eq (beat (1, standing), TIM3_OK);
    ck_assert_int_eq (publish (1), TIM3_OK);
    standing.event_seq = standing.acked = 2;
    ck_assert_int_eq (beat (1, standing), TIM3_LOG_ROLLED_BACK);
    ck_assert_int_eq (come (LEDGER, 2, standing), TIM3_LOG_ROLLED_BACK);
    standing.acked = 1;
    ck_assert_int_eq (come (LEDGER, 3, standing), TIM3_OK);
}
END_TEST

/*  A row of its outbox was acknowledged in part: the next life tells what lies before the row, and sends the row again. That hides
    nothing: a log that lacks what is no longer in the outbox is found out as before.  */
START_TEST (test_less_may_be_acknowledged_after_a_restart)
{
    tim3_standing_t standing = standing_at (10);
    ck_assert_int_eq (come (LEDGER, 1, standing), TIM3_OK);
    for (uint64_t seq = 1; seq <= 3; seq++)
        ck_assert_int_eq (publish (seq), TIM3_OK);
    standing.event_seq = 3;
    standing.acked = 2;
    ck_assert_int_eq (beat (1, standing), TIM3_OK);
    restart_router ();
    standing.acked = 0;
    ck_assert_int_eq (come (LEDGER, 2, standing), TIM3_OK);
    for (uint64_t seq = 1; seq <= 3; seq++)
        ck_assert_int_eq (publish (seq), TIM3_OK);
    standing.acked = 3;
    ck_assert_int_eq (beat (2, standing), TIM3_OK);
    standing.event_seq = standing.acked = 4;
    ck_assert_int_eq (come (LEDGER, 3, standing), TIM3_LOG_ROLLED_BACK);
}
END_TEST

START_TEST (test_a_new_log_begins_behind_what_another_had)
{
    tim3_standing_t standing = standing_at (10);
    standing.event_seq = standing.acked = 100;
    ck_assert_int_eq (come (LEDGER, 1, standing), TIM3_OK);
    ck_assert_int_eq (beat (1, standing), TIM3_OK);
    ck_assert_int_eq (publish (101), TIM3_OK);
    standing.event_seq = standing.acked = 101;
    ck_assert_int_eq (beat (1, standing), TIM3_OK);
    restart_router ();
    ck_assert_int_eq (come (LEDGER, 2, standing), TIM3_OK);
}
END_TEST

/*  ------------------------------------------------------------------------------------------------ suite  */

static TCase *add_case (Suite *suite, const char *name, void (*begin) (void), void (*end) (void))
{
    TCase *tests = tcase_create (name);
    tcase_add_checked_fixture (tests, begin, end);
    tcase_set_timeout (tests, 60);
    suite_add_tcase (suite, tests);
    return tests;
}

static void add_tests (TCase *tests, const TTest *const *list)
{
    for (; *list; list++)
        tcase_add_test (tests, *list);
}

#define CASE(name, begin, end, ...) \
    add_tests (add_case (suite, name, begin, end), (const TTest *const[]){__VA_ARGS__, NULL})

Suite *suite_backup (void)
{
    Suite *suite = suite_create ("backup");
    CASE ("copies", setup_store, teardown_store, test_copy_is_of_one_moment,
          test_copy_counts_the_same_commits, test_commits_are_counted_when_they_change_something,
          test_restored_store_keeps_its_identity,
          test_copy_itself_is_refused_and_adopting_keeps_lineage_and_count,
          test_restoring_forgets_where_agents_were, test_nothing_is_written_over,
          test_dropped_and_unfinished_copies_are_deleted, test_no_copy_within_a_batch);
    CASE ("hold", setup_host, teardown_host, test_hold_begins_a_copy_behind_the_commit,
          test_held_agent_tells_who_it_is_and_keeps_the_rest,
          test_what_comes_later_stays_behind_what_was_kept, test_hold_ends_by_itself_and_tells,
          test_asking_twice_is_the_same, test_one_backup_at_a_time,
          test_another_hold_is_not_the_one_that_counts, test_dropping, test_bad_names_and_failing_copies,
          test_full_store_holds_nobody, test_what_is_kept_is_bounded);
    CASE ("accepted", setup_waiting, teardown_host, test_ledger_serves_when_it_was_accepted,
          test_held_agent_sends_nothing, test_accepted_once_is_enough, test_commits_are_told_soon,
          test_what_was_seen_of_the_router_is_kept, test_refusals_are_told);
    CASE ("standings", setup_router, teardown_host, test_fewer_commits_are_refused,
          test_late_messages_of_one_life_are_not_refused, test_lives_are_counted_on_whatever_the_clock_says,
          test_last_lives_are_kept, test_router_is_found_out_by_what_a_ledger_saw_of_it,
          test_router_made_anew_takes_ledgers_that_saw_another,
          test_older_copies_are_refused_whatever_the_clock_says, test_counts_are_written_in_time,
          test_fewer_events_than_the_log_has_are_refused, test_another_store_is_refused,
          test_stores_that_hold_no_money_may_go_back, test_log_that_lacks_durable_events_is_found_out,
          test_less_may_be_acknowledged_after_a_restart, test_a_new_log_begins_behind_what_another_had);
    return suite;
}
