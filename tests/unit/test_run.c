/*  test_run.c - runs of events: what is put in comes out, the largest fits, and nothing but runs is taken for one.  */
#include "runs.h"
#include "suites.h"
#include "wire/writer.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/*  Times as they are, which have a head of the usual form, and small ones.  */
#define USUAL 1700000000000000ull
#define SMALL 1000

static tim3_buffer_t s_run;
static uint64_t s_time;

static void setup (void)
{
    s_run = (tim3_buffer_t){0};
    s_time = USUAL;
    tim3_run_begin (&s_run);
}

static void teardown (void)
{
    tim3_buffer_free (&s_run);
}

/*  Every field as long as it can be.  */
static void fill (const tim3_shape_t *shape, uint8_t *object)
{
    for (unsigned i = 0; i < shape->count; i++) {
        const tim3_field_t *field = &shape->fields[i];
        if (field->kind == TIM3_KIND_STR)
            memset (object + field->offset, 'x', field->bound);
        else if (field->kind == TIM3_KIND_AMOUNT || field->kind == TIM3_KIND_ID)
            memset (object + field->offset, 0xff, 16);
        else if (field->kind == TIM3_KIND_U64 && field->bound == 0)
            memset (object + field->offset, 0xff, 8);
        else if (field->kind == TIM3_KIND_ENUM)
            object[field->offset] = field->values->number;
        else
            ck_assert_msg (field->kind == TIM3_KIND_U64, "%s in an event?", field->name);
    }
}

START_TEST (test_the_largest_of_every_event)
{
    const tim3_message_t *message;
    for (unsigned i = 0; (message = tim3_message_at (i)); i++) {
        if (message->of_class != TIM3_CLASS_EVENT)
            continue;
        uint8_t *body = tim3_alloc (message->shape->size);
        uint8_t *read = tim3_alloc (message->shape->size);
        tim3_reader_t reader;
        tim3_event_t event;
        fill (message->shape, body);
        tim3_run_begin (&s_run);
        tim3_run_add (&s_run, (tim3_type_t) message->type, UINT64_MAX, body);
        ck_assert_uint_le (s_run.size - TIM3_RUN_HEAD, TIM3_EVENT_BYTES_MAX);
        tim3_raw_t raw = tim3_run_end (&s_run);
        ck_assert (tim3_run_open (&raw, &reader) && tim3_run_next (&reader, &event));
        ck_assert (event.type == message->type && event.time_us == UINT64_MAX &&
                   tim3_read_left (&reader) == 0);
        ck_assert (tim3_event_read (event.type, &event.body, read));
        ck_assert_mem_eq (body, read, message->shape->size);
        free (body);
        free (read);
    }
}
END_TEST

static void add (unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        tim3_collateral_locked_t body = {.account = "alice", .amount = i, .locked = i};
        tim3_run_add (&s_run, TIM3_MSG_COLLATERAL_LOCKED, s_time + i, &body);
    }
}

START_TEST (test_a_walk_tells_all)
{
    s_time = _i ? USUAL : SMALL;
    tim3_run_t run = {.offset = 7, .source = "lock_manager.TIM3.0", .store = {{3}}, .seq = 40, .count = 300};
    tim3_run_walk_t walk;
    tim3_event_item_t item;
    tim3_collateral_locked_t body;
    add (300);
    run.events = tim3_run_end (&s_run);
    tim3_run_walk (&walk, &run);
    for (unsigned i = 0; i < 300; i++) {
        ck_assert (tim3_run_step (&walk, &item));
        ck_assert (item.offset == 7 + i && item.seq == 40 + i && item.time_us == s_time + i);
        ck_assert (tim3_id_equal (&item.store, &run.store) && item.type == TIM3_MSG_COLLATERAL_LOCKED);
        ck_assert_str_eq (item.source, "lock_manager.TIM3.0");
        ck_assert_str_eq (item.topic, "collateral.locked.TIM3");
        ck_assert (tim3_event_read (item.type, &item.body, &body) && body.amount == i);
        ck_assert (tim3_run_whole (&walk) == (i == 299));
    }
    ck_assert (!tim3_run_step (&walk, &item));
    run.count = 299;
    for (tim3_run_walk (&walk, &run); tim3_run_step (&walk, &item);)
        continue;
    ck_assert (!tim3_run_whole (&walk));
    run.count = 301;
    for (tim3_run_walk (&walk, &run); tim3_run_step (&walk, &item);)
        continue;
    ck_assert (walk.passed == 300 && !tim3_run_whole (&walk));
}
END_TEST

START_TEST (test_a_stretch_begins_at_its_from)
{
    tim3_run_t runs[2] = {{.offset = 5, .seq = 1, .count = 3}, {.offset = 11, .seq = 9, .count = 3}};
    tim3_events_t events = {.items = {runs, 2}};
    add (3);
    runs[0].events = runs[1].events = tim3_run_end (&s_run);
    ck_assert_uint_eq (runs_count (&events), 6);
    events.from = 7;
    ck_assert_uint_eq (runs_count (&events), 4);
    ck_assert_uint_eq (runs_at (&events, 0).offset, 7);
    ck_assert_uint_eq (runs_at (&events, 1).offset, 11);
    events.from = 13;
    ck_assert_uint_eq (runs_count (&events), 1);
    events.from = 14;
    ck_assert_uint_eq (runs_count (&events), 0);
}
END_TEST

/*  Cut anywhere, and each byte changed: what is read stays within it.  */
START_TEST (test_damaged_runs)
{
    s_time = _i ? USUAL : SMALL;
    tim3_run_t run = {.source = "lock_manager.TIM3.0", .seq = 1, .count = 3};
    tim3_run_walk_t walk;
    tim3_event_item_t item;
    union {
        tim3_collateral_locked_t locked;
        uint8_t any[1024];
    } body;
    add (3);
    tim3_raw_t raw = tim3_run_end (&s_run);
    for (uint32_t size = 0; size < raw.size; size++) {
        uint8_t *copy = memcpy (tim3_alloc (size + !size), raw.data, size);
        run.events = (tim3_raw_t){copy, size};
        for (tim3_run_walk (&walk, &run); tim3_run_step (&walk, &item);)
            continue;
        ck_assert (!tim3_run_whole (&walk));
        free (copy);
    }
    for (uint32_t at = 0; at < raw.size; at++)
        for (unsigned byte = 0; byte < 256; byte++) {
            uint8_t *copy = memcpy (tim3_alloc (raw.size), raw.data, raw.size);
            copy[at] = (uint8_t) byte;
            run.events = (tim3_raw_t){copy, raw.size};
            for (tim3_run_walk (&walk, &run); tim3_run_step (&walk, &item);)
                tim3_event_read (item.type, &item.body, &body);
            free (copy);
        }
}
END_TEST

START_TEST (test_topics)
{
    char topic[TIM3_TOPIC_MAX + 1];
    tim3_topic (TIM3_MSG_TOKEN_TRANSFERRED, "ABCDEFGHIJKLMNOP", topic);
    ck_assert_str_eq (topic, "token.transferred.ABCDEFGHIJKLMNOP");
    tim3_topic (TIM3_MSG_MINT, "TIM3", topic);
    ck_assert_str_eq (topic, "");
    tim3_topic (60000, "TIM3", topic);
    ck_assert_str_eq (topic, "");
}
END_TEST

Suite *suite_run (void)
{
    Suite *suite = suite_create ("run");
    TCase *tests = tcase_create ("run");
    tcase_add_checked_fixture (tests, setup, teardown);
    tcase_add_test (tests, test_the_largest_of_every_event);
    tcase_add_loop_test (tests, test_a_walk_tells_all, 0, 2);
    tcase_add_test (tests, test_a_stretch_begins_at_its_from);
    tcase_add_loop_test (tests, test_damaged_runs, 0, 2);
    tcase_add_test (tests, test_topics);
    suite_add_tcase (suite, tests);
    return suite;
}
