/*  test_host.c - what the host does for every core: who may send what, batches, refusals, its own questions.  */
#include "../../coordinator/core.h"
#include "../../lock_manager/core.h"
#include "../../mock_usda/core.h"
#include "../../router/core.h"
#include "../../state_manager/core.h"
#include "../../token_manager/core.h"
#include "bench.h"
#include "runs.h"
#include "suites.h"

#include "agent/publisher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tim3_store_t *s_store;
static tim3_host_t *s_host;
static tim3_buffer_t s_frame;

/*  What came out: of each type how many, and the result of the last error.  */
static unsigned s_out[256];
static unsigned s_total;
static tim3_error_t s_error;

/*  Events that were published, in the order in which they came out, and what was said to be acknowledged.  */
#define EVENTS_MOST 1024
static tim3_event_item_t s_events[EVENTS_MOST];
static uint8_t s_bodies[EVENTS_MOST][256];
static unsigned s_event_count;
static uint64_t s_acked;

static void start (const char *endpoint)
{
    tim3_host_options_t options = {.name = "token_manager.TIM3.0", .incarnation = BENCH_START};
    strcpy (options.endpoint, endpoint);
    s_host = tim3_host_new (&tim3_token_manager_core, &bench_settings, s_store, &options);
    tim3_host_begin (s_host, BENCH_START);
}

static void setup (void)
{
    bench_defaults ("token_manager.TIM3.0");
    s_store = memory_store_new ();
    s_frame = (tim3_buffer_t){0};
    start ("");
}

static void teardown (void)
{
    tim3_host_destroy (&s_host);
    tim3_store_close (&s_store);
    tim3_buffer_free (&s_frame);
}

static void put (uint64_t type, const char *sender, const char *recipient, const void *body)
{
    tim3_envelope_t envelope = {.type = type, .id = 1};
    strcpy (envelope.sender, sender);
    strcpy (envelope.recipient, recipient);
    tim3_envelope_write (&s_frame, &envelope, body);
}

static void take (bool answer)
{
    tim3_origin_t origin = {answer, (const uint8_t *) "p", answer ? 0 : 1};
    tim3_host_take (s_host, &origin, s_frame.data, s_frame.size);
    tim3_buffer_clear (&s_frame);
}

static void note_events (const tim3_envelope_t *envelope)
{
    tim3_arena_t arena = {tim3_alloc (1 << 20), 1 << 20, 0};
    tim3_publish_t publish;
    tim3_fault_t fault;
    ck_assert_int_eq (tim3_decode_map (envelope->body, envelope->body_size, &tim3_shape_publish, &publish, &arena,
                                       &fault),
                      0);
    tim3_run_t run = {.seq = publish.seq, .count = publish.count, .events = publish.events};
    tim3_run_walk_t walk;
    for (tim3_run_walk (&walk, &run); tim3_run_step (&walk, &s_events[s_event_count]); s_event_count++) {
        tim3_raw_t *body = &s_events[s_event_count].body;
        ck_assert (s_event_count + 1 < EVENTS_MOST && body->size <= sizeof s_bodies[0]);
        memcpy (s_bodies[s_event_count], body->data, body->size);
        body->data = s_bodies[s_event_count];
    }
    ck_assert (tim3_run_whole (&walk));
    ck_assert_uint_le (publish.count, TIM3_OUTBOX_RUN_MAX);
    s_acked = publish.acked;
    free (arena.data);
}

static void note (const tim3_envelope_t *envelope)
{
    tim3_fault_t fault;
    if (envelope->type == TIM3_MSG_PUBLISH)
        note_events (envelope);
    s_out[envelope->type]++;
    s_total++;
    if (envelope->type == TIM3_MSG_ERROR)
        ck_assert_int_eq (
            tim3_decode_map (envelope->body, envelope->body_size, &tim3_shape_error, &s_error, NULL, &fault),
            0);
}

static void commit (void)
{
    const tim3_frame_t *frame;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    memset (s_out, 0, sizeof s_out);
    s_total = 0;
    s_event_count = 0;
    memset (&s_error, 0, sizeof s_error);
    ck_assert_int_eq (tim3_host_commit (s_host), 0);
    while ((frame = tim3_host_next (s_host))) {
        const uint8_t *at = frame->data;
        while (tim3_envelope_read (&at, frame->data + frame->size, &envelope, &fault) == 1)
            note (&envelope);
    }
    tim3_host_begin (s_host, BENCH_START);
}

static void check_refused (tim3_result_t code)
{
    commit ();
    ck_assert_uint_eq (s_total, 1);
    ck_assert_str_eq (s_error.name, tim3_result_name (code));
}

/*  -------------------------------------------------------------------------------------------- events  */

/*  Has the core emit that many.  */
static void emit (unsigned count)
{
    static unsigned number;
    for (unsigned i = 0; i < count; i++) {
        tim3_control_t ask = {.control = TIM3_CONTROL_CAP, .amount = ++number};
        snprintf (ask.request_id, sizeof ask.request_id, "r%u", number);
        put (TIM3_MSG_CONTROL, "client", "token_manager.TIM3.0", &ask);
    }
    take (false);
}

static void acknowledge (uint64_t seq)
{
    static const char router[] = "router.-.0";
    tim3_origin_t origin = {true, (const uint8_t *) router, sizeof router - 1};
    tim3_published_t published = {.source = "token_manager.TIM3.0", .seq = seq};
    put (TIM3_MSG_PUBLISHED, router, "token_manager.TIM3.0", &published);
    tim3_host_take (s_host, &origin, s_frame.data, s_frame.size);
    tim3_buffer_clear (&s_frame);
}

/*  Expects the last batch to have published those, as the store has them.  */
static void check_published (uint64_t first, unsigned count)
{
    tim3_event_item_t stored;
    ck_assert_uint_eq (s_event_count, count);
    for (unsigned i = 0; i < count; i++) {
        const tim3_event_item_t *event = &s_events[i];
        ck_assert (runs_outbox (s_store, first + i, &stored));
        ck_assert_uint_eq (event->seq, first + i);
        ck_assert (event->type == stored.type && event->time_us == stored.time_us);
        ck_assert_uint_eq (event->body.size, stored.body.size);
        ck_assert_mem_eq (event->body.data, stored.body.data, stored.body.size);
    }
}

/*  Few events wait until the bus has answered, many do not; what was not acknowledged is sent again by the next life.  */
START_TEST (test_events_wait_for_the_bus)
{
    tim3_host_destroy (&s_host);
    start ("ipc://x");
    emit (1);
    commit ();
    check_published (1, 1);
    emit (2);
    commit ();
    check_published (2, 0);
    emit (1);
    commit ();
    check_published (2, 0);
    acknowledge (1);
    commit ();
    check_published (2, 3);
    ck_assert_uint_eq (s_acked, 1);
    emit (200);
    commit ();
    check_published (5, 0);
    emit (100);
    commit ();
    check_published (5, 300);
    tim3_host_destroy (&s_host);
    start ("ipc://x");
    commit ();
    check_published (2, 303);
    ck_assert_uint_eq (s_acked, 1);
}
END_TEST

static unsigned outbox_rows (void)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_run_t run;
    unsigned count = 0;
    while (tim3_store_seek (s_store, TIM3_TABLE_OUTBOX, TIM3_SEEK_GT, &key, &run))
        count++;
    return count;
}

/*  The events of a commit are one row, or several when they are many.  */
START_TEST (test_events_of_a_commit_are_a_row)
{
    tim3_host_destroy (&s_host);
    start ("ipc://x");
    emit (10);
    commit ();
    check_published (1, 10);
    ck_assert_uint_eq (outbox_rows (), 1);
    emit (2 * TIM3_OUTBOX_RUN_MAX + 1);
    commit ();
    check_published (11, 2 * TIM3_OUTBOX_RUN_MAX + 1);
    ck_assert_uint_eq (outbox_rows (), 4);
}
END_TEST

/*  A row of which a part was acknowledged stays, and nothing of it counts as acknowledged by the next life, which sends all of it
    again. What this life tells is what it was told.  */
START_TEST (test_a_row_acknowledged_in_part_stays)
{
    tim3_event_item_t item;
    tim3_host_destroy (&s_host);
    start ("ipc://x");
    emit (5);
    commit ();
    emit (4);
    commit ();
    acknowledge (3);
    commit ();
    ck_assert_uint_eq (outbox_rows (), 2);
    ck_assert (runs_outbox (s_store, 1, &item));
    tim3_host_destroy (&s_host);
    start ("ipc://x");
    commit ();
    check_published (1, 9);
    ck_assert_uint_eq (s_acked, 0);
    acknowledge (6);
    emit (1);
    commit ();
    ck_assert_uint_eq (outbox_rows (), 2);
    ck_assert (!runs_outbox (s_store, 5, &item) && runs_outbox (s_store, 6, &item));
    acknowledge (10);
    emit (1);
    commit ();
    check_published (11, 1);
    ck_assert_uint_eq (s_acked, 10);
    ck_assert_uint_eq (outbox_rows (), 1);
}
END_TEST

/*  Where the bus has taken a part of a row and then says nothing more, the row is sent again from its beginning.  */
START_TEST (test_a_row_acknowledged_in_part_is_sent_again)
{
    tim3_host_destroy (&s_host);
    start ("ipc://x");
    emit (5);
    commit ();
    acknowledge (3);
    commit ();
    check_published (1, 0);
    tim3_host_begin (s_host, BENCH_START + 1000000);
    tim3_host_tick (s_host);
    commit ();
    check_published (1, 5);
    ck_assert_uint_eq (s_acked, 3);
}
END_TEST

/*  -------------------------------------------------------------------------------------- the allow matrix  */

typedef struct {
    uint64_t type;
    const char *sender;
    const char *recipient;
    tim3_result_t code;
} admission_t;

START_TEST (test_who_may_send_what)
{
    static const admission_t cases[] = {
        {TIM3_MSG_GET_SUPPLY, "client", "token_manager.TIM3.0", TIM3_OK},
        {TIM3_MSG_GET_SUPPLY, "client", "token_manager.TIM3", TIM3_OK},
        {TIM3_MSG_GET_SUPPLY, "client", "token_manager", TIM3_OK},
        {TIM3_MSG_GET_SUPPLY, "coordinator.TIM3.0", "token_manager.TIM3.0", TIM3_NOT_ALLOWED},
        {TIM3_MSG_GET_SUPPLY, "", "token_manager.TIM3.0", TIM3_NOT_ALLOWED},
        {TIM3_MSG_GET_SUPPLY, "nobody", "token_manager.TIM3.0", TIM3_NOT_ALLOWED},
        {TIM3_MSG_GET_SUPPLY, "client", "token_manager.TIM3.1", TIM3_NOT_ALLOWED},
        {TIM3_MSG_GET_SUPPLY, "client", "token_manager.GOLD.0", TIM3_NOT_ALLOWED},
        {TIM3_MSG_GET_SUPPLY, "client", "lock_manager.TIM3.0", TIM3_NOT_ALLOWED},
        {TIM3_MSG_GET_SUPPLY, "client", "", TIM3_NOT_ALLOWED},
        {TIM3_MSG_GET_LOCK_TOTALS, "client", "token_manager.TIM3.0", TIM3_UNKNOWN_MESSAGE}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put (cases[i].type, cases[i].sender, cases[i].recipient, "");
        take (false);
        if (cases[i].code)
            check_refused (cases[i].code);
        else
            commit ();
        ck_assert_uint_eq (s_out[TIM3_MSG_SUPPLY], cases[i].code ? 0 : 1);
    }
}
END_TEST

/*  Each message of the table from each role: taken exactly if the table says so.  */
START_TEST (test_matrix_is_the_table)
{
    const tim3_message_t *message;
    static const uint8_t empty_map[] = {0x80};
    for (unsigned i = 0; (message = tim3_message_at (i)); i++)
        for (unsigned role = 0; message->of_class == TIM3_CLASS_REQUEST && role < TIM3_ROLE_COUNT; role++) {
            tim3_envelope_t envelope = {.type = message->type, .id = 1, .recipient = "token_manager"};
            bool mine = (message->to & 1u << TIM3_ROLE_TOKEN_MANAGER) != 0;
            bool may = mine && (message->from & 1u << role) != 0;
            strcpy (envelope.sender, tim3_role_name ((tim3_role_t) role));
            envelope.body = empty_map;
            envelope.body_size = 1;
            tim3_envelope_write_raw (&s_frame, &envelope);
            take (false);
            commit ();
            ck_assert_uint_eq (s_total, 1);
            bool refused = s_error.code == TIM3_NOT_ALLOWED || s_error.code == TIM3_UNKNOWN_MESSAGE;
            ck_assert_msg (refused == !may, "%s from %s", message->name, envelope.sender);
            ck_assert (mine || s_error.code == TIM3_UNKNOWN_MESSAGE);
        }
}
END_TEST

/*  Requests come over connections that others made, answers over our own; the wrong way round is not answered.  */
START_TEST (test_the_wrong_way)
{
    tim3_settled_t settled = {.tx = bench_tx (1)};
    put (TIM3_MSG_SETTLED, "lock_manager.TIM3.0", "token_manager.TIM3.0", &settled);
    take (false);
    put (TIM3_MSG_GET_SUPPLY, "client", "token_manager.TIM3.0", "");
    take (true);
    commit ();
    ck_assert_uint_eq (s_total, 0);
    ck_assert_uint_eq (tim3_host_counters (s_host)->stray_answers, 2);
}
END_TEST

/*  A zero and its number are the name that a core has inside.  */
START_TEST (test_a_peer_under_the_name_of_a_core)
{
    static const uint8_t names[][2] = {{0, 0}, {0, 1}};
    for (unsigned i = 0; i < 2; i++) {
        tim3_origin_t origin = {false, names[i], sizeof names[i]};
        put (TIM3_MSG_GET_SUPPLY, "client", "token_manager.TIM3.0", "");
        tim3_host_take (s_host, &origin, s_frame.data, s_frame.size);
        tim3_buffer_clear (&s_frame);
        commit ();
        ck_assert_uint_eq (s_total, i); /* there is one core */
        ck_assert_uint_eq (tim3_host_counters (s_host)->malformed, 1);
    }
}
END_TEST

/*  ------------------------------------------------------------------------------------------------ frames  */

START_TEST (test_bad_frames)
{
    put (TIM3_MSG_GET_SUPPLY, "client", "token_manager.TIM3.0", "");
    tim3_buffer_append (&s_frame, "\x93", 1);
    take (false);
    commit ();
    ck_assert_uint_eq (s_out[TIM3_MSG_SUPPLY], 1);
    ck_assert_uint_eq (tim3_host_counters (s_host)->malformed, 1);
    put (TIM3_MSG_GET_SUPPLY, "client", "token_manager.TIM3.0", "");
    s_frame.size--;
    take (false);
    check_refused (TIM3_MALFORMED);
    tim3_buffer_append (&s_frame, "nonsense", 8);
    take (false);
    commit ();
    ck_assert_uint_eq (s_total, 0);
    take (false);
    commit ();
    ck_assert_uint_eq (s_total, 0);
}
END_TEST

static void put_raw (uint64_t type, const char *sender, const void *body, size_t size)
{
    tim3_envelope_t envelope = {.type = type, .id = 1, .body = body, .body_size = size};
    strcpy (envelope.sender, sender);
    strcpy (envelope.recipient, "token_manager.TIM3.0");
    tim3_envelope_write_raw (&s_frame, &envelope);
}

/*  A body that is not one value spoils the envelope, before anybody looks at what it is and whether it may come. What is wrong inside
    of one is told last.  */
START_TEST (test_bad_bodies)
{
    static const uint64_t types[] = {TIM3_MSG_GET_BALANCE, TIM3_MSG_PUBLISH, 250};
    static const char deep[] = "\x81\xa1k\x91\x91\x91\x91\x91\x91\x91\x91\xc0";
    static const char wrong[] = "\x81\xa7"
                                "account\xc3";
    for (unsigned i = 0; i < sizeof types / sizeof types[0]; i++) {
        put_raw (types[i], "client", "\xc1", 1);
        take (false);
        check_refused (TIM3_MALFORMED);
        put_raw (types[i], "client", deep, sizeof deep - 1);
        take (false);
        check_refused (TIM3_MALFORMED);
        put_raw (types[i], "client", wrong, sizeof wrong - 1);
        take (false);
        check_refused (i == 0 ? TIM3_INVALID_FIELD : TIM3_UNKNOWN_MESSAGE);
    }
    put_raw (TIM3_MSG_GET_BALANCE, "lock_manager.TIM3.0", wrong, sizeof wrong - 1);
    take (false);
    check_refused (TIM3_NOT_ALLOWED);
}
END_TEST

/*  Bodies are taken in one go where they are as most are, and in two steps else: the frame goes on right behind both.  */
START_TEST (test_bodies_in_a_frame)
{
    static const char plain[] = "\x81\xa7"
                                "account\xa5"
                                "alice";
    static const char other[] = "\x82\xa1k\x92\xc0\xc0\xa7"
                                "account\xd9\x03"
                                "bob";
    for (unsigned i = 0; i < 4; i++) {
        put_raw (TIM3_MSG_GET_BALANCE, "client", i & 1 ? plain : other,
                 i & 1 ? sizeof plain - 1 : sizeof other - 1);
        put_raw (TIM3_MSG_GET_BALANCE, "client", i & 2 ? plain : other,
                 i & 2 ? sizeof plain - 1 : sizeof other - 1);
        put (TIM3_MSG_GET_SUPPLY, "client", "token_manager.TIM3.0", "");
        take (false);
        commit ();
        ck_assert_uint_eq (s_out[TIM3_MSG_BALANCE] + s_out[TIM3_MSG_ERROR], 2);
        ck_assert (s_out[TIM3_MSG_ERROR] == 0 || s_error.code == TIM3_NOT_FOUND);
        ck_assert_uint_eq (s_out[TIM3_MSG_SUPPLY], 1);
    }
}
END_TEST

START_TEST (test_too_many_envelopes)
{
    for (unsigned i = 0; i < TIM3_ENVELOPES_MAX; i++)
        put (TIM3_MSG_GET_SUPPLY, "client", "token_manager.TIM3.0", "");
    take (false);
    commit ();
    ck_assert_uint_eq (s_out[TIM3_MSG_SUPPLY], TIM3_ENVELOPES_MAX);
    ck_assert_uint_eq (s_out[TIM3_MSG_ERROR], 0);
    for (unsigned i = 0; i < TIM3_ENVELOPES_MAX + 2; i++)
        put (TIM3_MSG_GET_SUPPLY, "client", "token_manager.TIM3.0", "");
    take (false);
    commit ();
    ck_assert_uint_eq (s_out[TIM3_MSG_SUPPLY], TIM3_ENVELOPES_MAX);
    ck_assert_uint_eq (s_out[TIM3_MSG_ERROR], 1);
    ck_assert_uint_eq (s_error.code, TIM3_TOO_LARGE);
}
END_TEST

/*  ------------------------------------------------------------------------------------------ a full store  */

START_TEST (test_only_requests_are_told_that_it_is_full)
{
    tim3_control_t pause = {.control = TIM3_CONTROL_PAUSE, .request_id = "c1"};
    tim3_settled_t settled = {.tx = bench_tx (1)};
    put (TIM3_MSG_SETTLED, "lock_manager.TIM3.0", "token_manager.TIM3.0", &settled);
    put (TIM3_MSG_GET_SUPPLY, "client", "token_manager.TIM3.0", "");
    put (TIM3_MSG_CONTROL, "client", "token_manager.TIM3.0", &pause);
    memory_store_fail_change (s_store, 2);
    take (false);
    commit ();
    ck_assert_uint_eq (s_total, 2);
    ck_assert_uint_eq (s_out[TIM3_MSG_ERROR], 2);
    ck_assert_uint_eq (s_error.code, TIM3_STORAGE_FULL);
    put (TIM3_MSG_CONTROL, "client", "token_manager.TIM3.0", &pause);
    take (false);
    commit ();
    ck_assert_uint_eq (s_out[TIM3_MSG_TRANSACTION], 1);
}
END_TEST

/*  So that a coordinator knows which of its transactions it was, whether the store was full before or after it.  */
START_TEST (test_refusals_tell_what_they_are_about)
{
    tim3_control_t pause = {.control = TIM3_CONTROL_PAUSE, .request_id = "c1"};
    tim3_token_transfer_t transfer = {.tx = bench_tx (7), .account = "alice", .to = "bob", .amount = 5};
    for (unsigned last = 0; last < 2; last++) {
        if (last)
            put (TIM3_MSG_CONTROL, "client", "token_manager.TIM3.0", &pause);
        put (TIM3_MSG_TOKEN_TRANSFER, "coordinator.TIM3.0", "token_manager.TIM3.0", &transfer);
        memory_store_fail_change (s_store, 1);
        take (false);
        commit ();
        ck_assert_uint_eq (s_out[TIM3_MSG_ERROR], 1 + last);
        ck_assert_uint_eq (s_error.code, TIM3_STORAGE_FULL);
        ck_assert_uint_eq (s_error.request, TIM3_MSG_TOKEN_TRANSFER);
        ck_assert (memcmp (&s_error.tx, &transfer.tx, sizeof transfer.tx) == 0);
    }
}
END_TEST

START_TEST (test_own_questions)
{
    static const uint64_t questions[] = {TIM3_MSG_INFO, TIM3_MSG_HEALTH, TIM3_MSG_STATS, TIM3_MSG_CONFIG_GET};
    for (unsigned i = 0; i < 4; i++) {
        put (questions[i], "client", "token_manager.TIM3.0", "");
        take (false);
        commit ();
        ck_assert_uint_eq (s_out[tim3_message (questions[i])->reply], 1);
    }
}
END_TEST

/*  ---------------------------------------------------------------------------------------- the table  */

static bool has_handler (const tim3_core_t *core, tim3_type_t type)
{
    const tim3_handler_t *handler = core->handlers;
    while (handler->handle && handler->type != type)
        handler++;
    return handler->handle != NULL;
}

/*  What goes to all agents, or to all that have a store, the host answers itself.  */
static bool is_for_hosts (const tim3_message_t *message)
{
    return message->to == TIM3_FROM_AGENT || message->to == TIM3_FROM_KEEPER;
}

START_TEST (test_what_the_table_sends_is_handled)
{
    static const tim3_core_t *const cores[] = {&tim3_router_core,        &tim3_coordinator_core,
                                               &tim3_lock_manager_core,  &tim3_token_manager_core,
                                               &tim3_state_manager_core, &tim3_mock_usda_core};
    const tim3_core_t *core = cores[_i];
    const tim3_message_t *message;
    for (unsigned i = 0; (message = tim3_message_at (i)); i++) {
        bool taken = message->of_class == TIM3_CLASS_REQUEST && !is_for_hosts (message) &&
                     message->to & 1u << core->role;
        bool handled =
            message->of_class == TIM3_CLASS_REQUEST && has_handler (core, (tim3_type_t) message->type);
        ck_assert_msg (!taken || handled,
                       "messages.h says that a %s takes %s: add a row to s_handlers of its core.c",
                       tim3_role_name (core->role), message->name);
        ck_assert_msg (taken || !handled, "a %s has a handler for %s, but messages.h does not send it there",
                       tim3_role_name (core->role), message->name);
    }
}
END_TEST

Suite *suite_host (void)
{
    Suite *suite = suite_create ("host");
    TCase *tcase = tcase_create ("host");
    tcase_add_checked_fixture (tcase, setup, teardown);
    tcase_add_test (tcase, test_events_wait_for_the_bus);
    tcase_add_test (tcase, test_events_of_a_commit_are_a_row);
    tcase_add_test (tcase, test_a_row_acknowledged_in_part_stays);
    tcase_add_test (tcase, test_a_row_acknowledged_in_part_is_sent_again);
    tcase_add_test (tcase, test_who_may_send_what);
    tcase_add_test (tcase, test_matrix_is_the_table);
    tcase_add_test (tcase, test_the_wrong_way);
    tcase_add_test (tcase, test_a_peer_under_the_name_of_a_core);
    tcase_add_test (tcase, test_bad_frames);
    tcase_add_test (tcase, test_bad_bodies);
    tcase_add_test (tcase, test_bodies_in_a_frame);
    tcase_add_test (tcase, test_too_many_envelopes);
    tcase_add_test (tcase, test_only_requests_are_told_that_it_is_full);
    tcase_add_test (tcase, test_refusals_tell_what_they_are_about);
    tcase_add_test (tcase, test_own_questions);
    tcase_add_loop_test (tcase, test_what_the_table_sends_is_handled, 0, 6);
    suite_add_tcase (suite, tcase);
    return suite;
}
