/*  test_state_manager.c - the state manager's core over a real store, with the test as router and client.  */
#include "../../state_manager/core.h"
#include "agent/host.h"
#include "agent/page.h"
#include "runs.h"
#include "suites.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND 1000000ull
#define EVENTS_MOST 600
#define ARENA (4 * 1024 * 1024)

static char s_path[64];
static tim3_settings_t s_settings;
static tim3_store_t *s_store;
static tim3_store_meta_t s_meta;
static tim3_host_t *s_host;
static uint64_t s_now;
static uint64_t s_next_id;

/*  What came out of the last batch.  */
static unsigned s_subscribes;
static unsigned s_lists;
static tim3_subscribe_t s_subscribe;
static uint64_t s_answer_type;
static uint8_t *s_answer;
static tim3_arena_t s_arena;

/*  A log of events that the test writes, with bodies of their own.  */
static tim3_id_t s_log;
static tim3_event_item_t s_items[EVENTS_MOST];
static tim3_buffer_t s_bodies[EVENTS_MOST];
static tim3_run_t s_runs[EVENTS_MOST];
static tim3_buffer_t s_bytes[EVENTS_MOST];
static uint32_t s_count;
static uint64_t s_lock_seq;
static uint64_t s_token_seq;

/*  ------------------------------------------------------------------------------------------- the host  */

static void open_host (void)
{
    tim3_store_options_t options = {.path = s_path, .name = "state_manager.-.0", .map_size = 64u << 20};
    tim3_host_options_t host = {.name = "state_manager.-.0", .incarnation = 1};
    char why[400];
    options.fresh_id.bytes[0] = 1;
    s_store = tim3_store_open_lmdb (&options, &s_meta, why, sizeof why);
    ck_assert_msg (s_store != NULL, "%s", why);
    host.meta = s_meta;
    s_host = tim3_host_new (&tim3_state_manager_core, &s_settings, s_store, &host);
}

static void close_host (void)
{
    tim3_host_destroy (&s_host);
    tim3_store_close (&s_store);
}

static void setup (void)
{
    strcpy (s_path, "/tmp/tim3-state-XXXXXX");
    ck_assert_ptr_nonnull (mkdtemp (s_path));
    memset (&s_settings, 0, sizeof s_settings);
    strcpy (s_settings.name, "state_manager.-.0");
    strcpy (s_settings.asset, "-");
    strcpy (s_settings.collateral, "mock_usda.USDA.0");
    strcpy (s_settings.assets[0].name, "TIM3");
    s_settings.assets[0].shards = 1;
    s_settings.asset_count = 1;
    s_settings.heartbeat_us = SECOND;
    s_answer = tim3_alloc (tim3_body_size_max ());
    s_arena = (tim3_arena_t){tim3_alloc (ARENA), ARENA, 0};
    s_now = 1000 * SECOND;
    s_next_id = 1;
    s_log = (tim3_id_t){{7}};
    s_count = 0;
    s_lock_seq = 0;
    s_token_seq = 0;
    open_host ();
}

static void teardown (void)
{
    char command[100];
    close_host ();
    for (unsigned i = 0; i < EVENTS_MOST; i++) {
        tim3_buffer_free (&s_bodies[i]);
        tim3_buffer_free (&s_bytes[i]);
    }
    free (s_answer);
    free (s_arena.data);
    snprintf (command, sizeof command, "rm -r %s", s_path);
    ck_assert_int_eq (system (command), 0);
}

static void decode (const tim3_envelope_t *envelope, void *body)
{
    tim3_fault_t fault;
    s_arena.used = 0;
    ck_assert_int_eq (tim3_decode_map (envelope->body, envelope->body_size,
                                       tim3_message (envelope->type)->shape, body, &s_arena, &fault),
                      0);
}

static void note (const tim3_envelope_t *envelope)
{
    switch (envelope->type) {
    case TIM3_MSG_SUBSCRIBE:
        s_subscribes++;
        decode (envelope, &s_subscribe);
        break;
    case TIM3_MSG_LIST:
        s_lists++;
        break;
    default:
        s_answer_type = envelope->type;
        decode (envelope, s_answer);
    }
}

static void commit (void)
{
    const tim3_frame_t *frame;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    s_subscribes = 0;
    s_lists = 0;
    s_answer_type = 0;
    ck_assert_int_eq (tim3_host_commit (s_host), 0);
    while ((frame = tim3_host_next (s_host))) {
        const uint8_t *at = frame->data;
        while (tim3_envelope_read (&at, frame->data + frame->size, &envelope, &fault) > 0)
            note (&envelope);
    }
}

static void take (bool answer, uint64_t type, const void *body)
{
    tim3_origin_t origin = {.answer = answer, .peer = (const uint8_t *) "peer", .peer_size = answer ? 0 : 4};
    tim3_envelope_t envelope = {.type = type, .id = s_next_id++, .reply_to = answer ? 1 : 0};
    tim3_buffer_t buffer = {0};
    strcpy (envelope.sender, answer ? "router.-.0" : "client");
    strcpy (envelope.recipient, "state_manager.-.0");
    tim3_envelope_write (&buffer, &envelope, body);
    tim3_host_take (s_host, &origin, buffer.data, buffer.size);
    tim3_buffer_free (&buffer);
}

static void send (bool answer, uint64_t type, const void *body)
{
    tim3_host_begin (s_host, s_now);
    take (answer, type, body);
    commit ();
}

/*  Asks as a client, expects that answer and returns its body.  */
static const void *ask (uint64_t type, const void *body, uint64_t answer)
{
    send (false, type, body);
    ck_assert_uint_eq (s_answer_type, answer);
    return s_answer;
}

static void tick (uint64_t later)
{
    s_now += later;
    tim3_host_begin (s_host, s_now);
    tim3_host_tick (s_host);
    commit ();
}

/*  -------------------------------------------------------------------------------------------- the log  */

static void append (const char *source, uint64_t seq, uint64_t type, const void *body)
{
    tim3_event_item_t *item = &s_items[s_count];
    tim3_buffer_t *bytes = &s_bodies[s_count];
    ck_assert_uint_lt (s_count, EVENTS_MOST);
    tim3_buffer_clear (bytes);
    tim3_encode_array (bytes, tim3_message (type)->shape, body);
    *item = (tim3_event_item_t){.offset = s_count + 1, .seq = seq, .type = type, .time_us = s_now};
    item->body = (tim3_raw_t){bytes->data, (uint32_t) bytes->size};
    strcpy (item->source, source);
    s_count++;
}

static void locked (tim3_amount_t total)
{
    tim3_collateral_locked_t event = {.account = "alice", .amount = 1, .locked = total};
    append ("lock_manager.TIM3.0", ++s_lock_seq, TIM3_MSG_COLLATERAL_LOCKED, &event);
}

static void changed (uint64_t type, const char *account, tim3_amount_t amount, tim3_amount_t balance,
                     tim3_amount_t supply)
{
    tim3_token_changed_t event = {.amount = amount, .balance = balance, .supply = supply};
    strcpy (event.account, account);
    append ("token_manager.TIM3.0", ++s_token_seq, type, &event);
}

static void moved (const char *account, const char *to, tim3_amount_t amount, tim3_amount_t balance,
                   tim3_amount_t to_balance, tim3_amount_t supply)
{
    tim3_token_transferred_t event = {
        .amount = amount, .balance = balance, .to_balance = to_balance, .supply = supply};
    strcpy (event.account, account);
    strcpy (event.to, to);
    append ("token_manager.TIM3.0", ++s_token_seq, TIM3_MSG_TOKEN_TRANSFERRED, &event);
}

/*  Events of one source that follow each other are one run.  */
static uint32_t make_runs (uint64_t from, uint64_t next)
{
    uint32_t count = 0;
    for (uint64_t offset = from; offset < next; offset++) {
        const tim3_event_item_t *item = &s_items[offset - 1];
        tim3_run_t *run = &s_runs[count > 0 ? count - 1 : 0];
        if (count == 0 || strcmp (run->source, item->source) != 0 || run->seq + run->count != item->seq) {
            run = &s_runs[count];
            tim3_run_begin (&s_bytes[count++]);
            *run = (tim3_run_t){.offset = offset, .seq = item->seq};
            strcpy (run->source, item->source);
        }
        runs_add (&s_bytes[count - 1], item->type, item->time_us, item->body.data, item->body.size);
        run->count++;
        run->events = tim3_run_end (&s_bytes[count - 1]);
    }
    return count;
}

static tim3_events_t stretch (uint64_t from, uint64_t next)
{
    return (tim3_events_t){.subscription = 1,
                           .log = s_log,
                           .items = {s_runs, make_runs (from, next)},
                           .from = from,
                           .next = next,
                           .end = s_count + 1,
                           .credit = 4000};
}

static void deliver (uint64_t from, uint64_t next)
{
    tim3_events_t events = stretch (from, next);
    send (true, TIM3_MSG_EVENTS, &events);
}

static void deliver_all (void)
{
    deliver (1, s_count + 1);
}

/*  ------------------------------------------------------------------------------------------ questions  */

static tim3_asset_metrics_t metrics (void)
{
    tim3_get_metrics_t question = {.asset = "TIM3"};
    const tim3_metrics_t *answer = ask (TIM3_MSG_GET_METRICS, &question, TIM3_MSG_METRICS);
    ck_assert_uint_eq (answer->items.count, 1);
    return *(const tim3_asset_metrics_t *) answer->items.items;
}

static tim3_position_t position (const char *account)
{
    tim3_get_position_t question = {.asset = "TIM3"};
    strcpy (question.account, account);
    return *(const tim3_position_t *) ask (TIM3_MSG_GET_POSITION, &question, TIM3_MSG_POSITION);
}

static tim3_health_reply_t system_health (void)
{
    return *(const tim3_health_reply_t *) ask (TIM3_MSG_GET_SYSTEM_HEALTH, NULL, TIM3_MSG_HEALTH_REPLY);
}

static unsigned count_reasons (const tim3_health_reply_t *reply, const char *name)
{
    const tim3_reason_t *reasons = reply->reasons.items;
    unsigned count = 0;
    for (uint32_t i = 0; i < reply->reasons.count; i++)
        count += strcmp (reasons[i].name, name) == 0;
    return count;
}

static bool has_reason (const char *name)
{
    tim3_health_reply_t reply = system_health ();
    return count_reasons (&reply, name) > 0;
}

static uint64_t metric (const char *name)
{
    const tim3_stats_reply_t *reply = ask (TIM3_MSG_STATS, NULL, TIM3_MSG_STATS_REPLY);
    const tim3_metric_t *items = reply->metrics.items;
    for (uint32_t i = 0; i < reply->metrics.count; i++)
        if (strcmp (items[i].name, name) == 0)
            return (uint64_t) items[i].value;
    ck_abort_msg ("no metric %s", name);
}

/*  ---------------------------------------------------------------------------------------- subscribing  */

START_TEST (test_subscribes_and_asks_again)
{
    tick (0);
    ck_assert_uint_eq (s_subscribes, 1);
    ck_assert_uint_eq (s_lists, 1);
    ck_assert_uint_eq (s_subscribe.from, 1);
    ck_assert_uint_eq (s_subscribe.credit, 4096);
    ck_assert_str_eq (s_subscribe.topic, "");
    tick (SECOND / 4);
    ck_assert_uint_eq (s_subscribes, 0);
    ck_assert_uint_eq (s_lists, 0);
    tick (SECOND / 4);
    ck_assert_uint_eq (s_lists, 1);
    tick (SECOND / 2);
    ck_assert_uint_eq (s_subscribes, 1);
}
END_TEST

START_TEST (test_renews_credit_once)
{
    for (int i = 0; i < 3; i++)
        locked (5);
    tick (0);
    tim3_events_t events = stretch (1, 2);
    events.credit = 1;
    send (true, TIM3_MSG_EVENTS, &events);
    ck_assert_uint_eq (s_subscribes, 0);
    events = stretch (2, 3);
    events.credit = 0;
    send (true, TIM3_MSG_EVENTS, &events);
    ck_assert_uint_eq (s_subscribes, 1);
    ck_assert_uint_eq (s_subscribe.from, 3);
    events = stretch (3, 4);
    send (true, TIM3_MSG_EVENTS, &events);
    ck_assert_uint_eq (s_subscribes, 0);
}
END_TEST

START_TEST (test_renews_before_it_lapses)
{
    tick (0);
    for (int i = 0; i < 19; i++) {
        locked (5);
        deliver (s_count, s_count + 1);
        tick (SECOND / 2);
        ck_assert_uint_eq (s_subscribes, 0);
    }
    locked (5);
    deliver (s_count, s_count + 1);
    tick (SECOND / 2);
    ck_assert_uint_eq (s_subscribes, 1);
}
END_TEST

START_TEST (test_only_the_right_stretch)
{
    for (unsigned i = 1; i <= 6; i++)
        locked (i);
    tick (0);
    deliver (1, 4);
    ck_assert (metrics ().locked == 3);
    deliver (1, 4); /* old news: nothing is missing */
    ck_assert_uint_eq (s_subscribes, 0);
    deliver (5, 7); /* a hole */
    ck_assert_uint_eq (s_subscribes, 1);
    ck_assert_uint_eq (s_subscribe.from, 4);
    deliver (5, 7); /* asked already */
    ck_assert_uint_eq (s_subscribes, 0);
    deliver (3, 6); /* overlaps */
    ck_assert (metrics ().locked == 3);
    deliver (4, 7);
    ck_assert (metrics ().locked == 6);
    ck_assert_uint_eq (metrics ().lock_seq, 6);
    ck_assert_uint_eq (metric ("events_applied"), 6);
    ck_assert_uint_eq (metric ("stretches_ignored"), 4);
    ck_assert (!has_reason ("event_gaps"));
}
END_TEST

START_TEST (test_other_subscriptions_are_not_ours)
{
    locked (5);
    tim3_events_t events = stretch (1, 2);
    events.subscription = 2;
    send (true, TIM3_MSG_EVENTS, &events);
    ck_assert (metrics ().locked == 0);
    /* nor is what a client sends, whatever it calls itself */
    events.subscription = 1;
    send (false, TIM3_MSG_EVENTS, &events);
    ck_assert (metrics ().locked == 0);
}
END_TEST

/*  What was not committed never happened; what was, is there after a restart.  */
START_TEST (test_exactly_once_over_crashes)
{
    locked (100);
    changed (TIM3_MSG_TOKEN_MINTED, "alice", 60, 60, 60);
    changed (TIM3_MSG_TOKEN_MINTED, "alice", 40, 100, 100);
    tick (0);
    deliver (1, 3);
    tim3_events_t events = stretch (3, 4);
    tim3_host_begin (s_host, s_now);
    take (true, TIM3_MSG_EVENTS, &events);
    close_host (); /* before the commit */
    open_host ();
    tick (0);
    ck_assert_uint_eq (s_subscribe.from, 3);
    ck_assert (position ("alice").minted == 60);
    deliver (3, 4);
    close_host (); /* after it */
    open_host ();
    tick (0);
    ck_assert_uint_eq (s_subscribe.from, 4);
    ck_assert (position ("alice").minted == 100);
    ck_assert_uint_eq (metrics ().mints, 2);
}
END_TEST

START_TEST (test_replaced_log)
{
    locked (5);
    locked (6);
    tick (0);
    deliver (1, 2);
    s_log = (tim3_id_t){{8}};
    deliver (2, 3);
    ck_assert (metrics ().locked == 5);
    ck_assert (has_reason ("event_log_replaced"));
    ck_assert_uint_eq (system_health ().score, 0);
    ck_assert_uint_eq (system_health ().status, TIM3_HEALTH_FAILING);
    const tim3_health_reply_t *own = ask (TIM3_MSG_HEALTH, NULL, TIM3_MSG_HEALTH_REPLY);
    ck_assert_uint_eq (own->status, TIM3_HEALTH_FAILING);
    s_log = (tim3_id_t){{7}};
    deliver (2, 3);
    ck_assert (metrics ().locked == 6);
    ck_assert (!has_reason ("event_log_replaced"));
}
END_TEST

START_TEST (test_log_that_went_back)
{
    locked (5);
    locked (6);
    deliver (1, 3);
    s_count = 1;
    deliver (2, 2);
    ck_assert (has_reason ("event_log_replaced"));
}
END_TEST

/*  -------------------------------------------------------------------------------------------- numbers  */

/*  Each shard has numbers and totals of its own; what one has released beyond its locks the other has locked.  */
START_TEST (test_shards_add_up)
{
    tim3_collateral_locked_t lock = {.account = "alice", .amount = 9, .locked = 9};
    tim3_collateral_released_t release = {.account = "bob", .amount = 4, .reason = TIM3_RELEASE_REASON_BURN};
    tim3_token_changed_t mint = {.account = "alice", .amount = 9, .balance = 9, .supply = 9};
    tim3_token_changed_t burn = {.account = "bob", .amount = 1, .balance = 3, .supply = 3};
    release.overdrawn = 4;
    append ("lock_manager.TIM3.1", 1, TIM3_MSG_COLLATERAL_RELEASED, &release);
    deliver_all ();
    ck_assert (metrics ().locked == 0);
    append ("lock_manager.TIM3.0", 1, TIM3_MSG_COLLATERAL_LOCKED, &lock);
    append ("token_manager.TIM3.0", 1, TIM3_MSG_TOKEN_MINTED, &mint);
    append ("token_manager.TIM3.1", 1, TIM3_MSG_TOKEN_BURNED, &burn);
    append ("token_manager.TIM3.0", 2, TIM3_MSG_TOKEN_MINTED, &mint);
    deliver (2, s_count + 1);
    tim3_asset_metrics_t all = metrics ();
    ck_assert (all.locked == 5 && all.supply == 12);
    ck_assert_uint_eq (all.token_seq, 3);
    ck_assert_uint_eq (all.lock_seq, 2);
    ck_assert_uint_eq (metric ("events_missing"), 0);
}
END_TEST

/*  Three shards have locked more than a number holds; a fourth has released nearly as much.  */
START_TEST (test_shards_that_lock_more_than_a_number_holds)
{
    tim3_amount_t half = TIM3_AMOUNT_MAX / 2 + 1;
    tim3_collateral_locked_t lock = {.account = "alice", .amount = half, .locked = half};
    tim3_collateral_released_t release = {
        .account = "bob", .amount = 1, .reason = TIM3_RELEASE_REASON_BURN, .overdrawn = TIM3_AMOUNT_MAX};
    append ("lock_manager.TIM3.3", 1, TIM3_MSG_COLLATERAL_RELEASED, &release);
    append ("lock_manager.TIM3.0", 1, TIM3_MSG_COLLATERAL_LOCKED, &lock);
    deliver_all ();
    ck_assert (metrics ().locked == 0);
    append ("lock_manager.TIM3.1", 1, TIM3_MSG_COLLATERAL_LOCKED, &lock);
    deliver (3, s_count + 1);
    ck_assert (metrics ().locked == 1);
    append ("lock_manager.TIM3.2", 1, TIM3_MSG_COLLATERAL_LOCKED, &lock);
    deliver (4, s_count + 1);
    ck_assert (metrics ().locked == half + 1);
}
END_TEST

/*  What is between shards is in no supply, and each end tells its own balance.  */
START_TEST (test_between_shards)
{
    tim3_token_changed_t mint = {.account = "alice", .amount = 9, .balance = 9, .supply = 9};
    tim3_token_crossed_t sent = {.account = "alice", .other = "bob", .amount = 4, .balance = 5, .supply = 5};
    tim3_token_crossed_t received = {.account = "bob", .other = "alice", .amount = 4, .balance = 4, .supply = 4};
    append ("token_manager.TIM3.0", 1, TIM3_MSG_TOKEN_MINTED, &mint);
    append ("token_manager.TIM3.0", 2, TIM3_MSG_TOKEN_SENT, &sent);
    deliver_all ();
    ck_assert (metrics ().supply == 5 && metrics ().balances == 5 && metrics ().transfers == 0);
    append ("token_manager.TIM3.1", 1, TIM3_MSG_TOKEN_RECEIVED, &received);
    sent.balance = sent.supply = 1;
    append ("token_manager.TIM3.0", 3, TIM3_MSG_TOKEN_SENT, &sent);
    sent.balance = sent.supply = 5;
    append ("token_manager.TIM3.0", 4, TIM3_MSG_TOKEN_RETURNED, &sent);
    deliver (3, s_count + 1);
    tim3_asset_metrics_t all = metrics ();
    ck_assert (all.supply == 9 && all.balances == 9 && all.volume_transferred == 4);
    ck_assert_uint_eq (all.transfers, 1);
    tim3_get_position_t question = {.asset = "TIM3", .account = "alice"};
    const tim3_position_t *position = ask (TIM3_MSG_GET_POSITION, &question, TIM3_MSG_POSITION);
    ck_assert (position->sent == 4 && position->balance == 5 && position->received == 0);
    strcpy (question.account, "bob");
    position = ask (TIM3_MSG_GET_POSITION, &question, TIM3_MSG_POSITION);
    ck_assert (position->received == 4 && position->balance == 4);
}
END_TEST

START_TEST (test_gaps_and_repeats)
{
    locked (1);
    s_lock_seq += 3; /* three are missing */
    locked (2);
    s_lock_seq = 1; /* repeats: a ledger that began anew */
    locked (3);
    tick (0);
    deliver_all ();
    ck_assert (metrics ().locked == 2);
    ck_assert_uint_eq (metrics ().lock_seq, 5);
    ck_assert_uint_eq (metric ("events_missing"), 3);
    ck_assert_uint_eq (metric ("events_stale"), 1);
    ck_assert (has_reason ("event_gaps"));
    close_host ();
    open_host ();
    ck_assert (has_reason ("event_gaps"));
}
END_TEST

START_TEST (test_first_number_must_be_one)
{
    s_token_seq = 1;
    changed (TIM3_MSG_TOKEN_MINTED, "alice", 1, 1, 1);
    deliver_all ();
    ck_assert_uint_eq (metric ("events_missing"), 1);
}
END_TEST

START_TEST (test_unreadable_body_is_a_gap)
{
    static const uint8_t nonsense[] = {0x81, 0xa1, 'x', 0x01};
    locked (9);
    s_items[0].body = (tim3_raw_t){nonsense, sizeof nonsense};
    deliver_all ();
    ck_assert (metrics ().locked == 0);
    ck_assert_uint_eq (metrics ().lock_seq, 1);
    ck_assert_uint_eq (metric ("events_missing"), 1);
    ck_assert_uint_eq (metric ("events_unreadable"), 1);
}
END_TEST

/*  What is behind something that is no event counts as lost, and so does all of a run that is none.  */
START_TEST (test_unreadable_run_is_a_gap)
{
    for (int i = 1; i <= 5; i++)
        locked ((tim3_amount_t) i);
    tim3_events_t events = stretch (1, 4);
    s_runs[0].events.size--; /* the last body ends too early */
    ((uint8_t *) s_bytes[0].data)[4]--;
    send (true, TIM3_MSG_EVENTS, &events);
    ck_assert (metrics ().locked == 2);
    ck_assert_uint_eq (metrics ().lock_seq, 3);
    ck_assert_uint_eq (metric ("events_missing"), 1);
    events = stretch (4, 6);
    s_runs[0].events = (tim3_raw_t){(const uint8_t *) "\x05", 1};
    send (true, TIM3_MSG_EVENTS, &events);
    ck_assert (metrics ().locked == 2);
    ck_assert_uint_eq (metrics ().lock_seq, 5);
    ck_assert_uint_eq (metric ("events_missing"), 3);
}
END_TEST

START_TEST (test_other_sources_and_types)
{
    tim3_token_controlled_t control = {.control = TIM3_CONTROL_PAUSE};
    append ("mock_usda.USDA.0", 1, TIM3_MSG_TOKEN_CONTROLLED, &control);
    append ("token_manager.TIM3.0", 1, TIM3_MSG_TOKEN_CONTROLLED, &control);
    append ("token_manager.TIM3.0", 2, TIM3_MSG_TOKEN_CONTROLLED, &control);
    s_items[2].type = 250; /* of a newer ledger */
    deliver_all ();
    ck_assert_uint_eq (metrics ().token_seq, 2);
    ck_assert_uint_eq (metric ("events_missing"), 0);
}
END_TEST

/*  --------------------------------------------------------------------------------- positions, metrics  */

START_TEST (test_effects)
{
    tim3_transaction_failed_t failed = {.kind = TIM3_TX_KIND_MINT, .account = "bob", .code = 20};
    tim3_collateral_released_t released = {
        .account = "bob", .amount = 20, .reason = TIM3_RELEASE_REASON_BURN, .locked = 80};
    locked (100);
    changed (TIM3_MSG_TOKEN_MINTED, "alice", 100, 100, 100);
    moved ("alice", "bob", 30, 70, 30, 100);
    changed (TIM3_MSG_TOKEN_BURNED, "bob", 20, 10, 80);
    append ("token_manager.TIM3.0", ++s_token_seq, TIM3_MSG_TRANSACTION_FAILED, &failed);
    append ("lock_manager.TIM3.0", ++s_lock_seq, TIM3_MSG_COLLATERAL_RELEASED, &released);
    deliver_all ();

    tim3_position_t alice = position ("alice");
    tim3_position_t bob = position ("bob");
    tim3_asset_metrics_t all = metrics ();
    ck_assert (alice.minted == 100 && alice.sent == 30 && alice.balance == 70 && alice.backing == 70);
    ck_assert_uint_eq (alice.events, 2);
    ck_assert_uint_eq (alice.changed_us, s_now);
    ck_assert (bob.received == 30 && bob.redeemed == 20 && bob.balance == 10 && bob.minted == 0);
    ck_assert (all.locked == 80 && all.supply == 80 && all.in_flight == 0 && all.balances == 80);
    ck_assert_uint_eq (all.backing_ppm, 1000000);
    ck_assert (all.volume_minted == 100 && all.volume_redeemed == 20 && all.volume_transferred == 30);
    ck_assert_uint_eq (all.mints, 1);
    ck_assert_uint_eq (all.redemptions, 1);
    ck_assert_uint_eq (all.transfers, 1);
    ck_assert_uint_eq (all.refusals, 1);
    ck_assert_uint_eq (all.positions, 2);
    ck_assert_uint_eq (all.token_seq, 4);
    ck_assert_uint_eq (all.lock_seq, 2);
}
END_TEST

/*  All tokens go to another shard, whose event comes first.  */
START_TEST (test_balances_that_are_told_twice)
{
    tim3_amount_t half = TIM3_AMOUNT_MAX / 2 + 1;
    tim3_token_changed_t mint = {.account = "alice", .amount = half, .balance = half, .supply = half};
    tim3_token_crossed_t received = {.account = "bob", .other = "alice", .amount = half, .balance = half, .supply = half};
    tim3_token_crossed_t sent = {.account = "alice", .other = "bob", .amount = half};
    append ("token_manager.TIM3.0", 1, TIM3_MSG_TOKEN_MINTED, &mint);
    append ("token_manager.TIM3.1", 1, TIM3_MSG_TOKEN_RECEIVED, &received);
    append ("token_manager.TIM3.0", 2, TIM3_MSG_TOKEN_SENT, &sent);
    deliver_all ();
    ck_assert (metrics ().balances == half && metrics ().supply == half);
    ck_assert_uint_eq (metric ("sums_saturated"), 0);
}
END_TEST

START_TEST (test_sums_saturate)
{
    changed (TIM3_MSG_TOKEN_MINTED, "alice", TIM3_AMOUNT_MAX - 1, 5, 5);
    changed (TIM3_MSG_TOKEN_MINTED, "alice", 2, 7, 7);
    deliver_all ();
    ck_assert (position ("alice").minted == TIM3_AMOUNT_MAX);
    ck_assert (metrics ().volume_minted == TIM3_AMOUNT_MAX);
    ck_assert_uint_eq (metric ("sums_saturated"), 2);
}
END_TEST

START_TEST (test_derived_fields)
{
    static const struct {
        tim3_amount_t locked, supply, balance, backing, in_flight;
        uint64_t ppm;
    } rows[] = {
        {0, 0, 0, 0, 0, 1000000},
        {10, 0, 0, 0, 10, 1000000000000},
        {0, 10, 10, 0, 0, 0},
        {1, 3, 2, 0, 0, 333333},
        {2, 3, 3, 2, 0, 666666},
        {30, 20, 20, 20, 10, 1500000},
        {TIM3_AMOUNT_MAX, 1, 1, 1, TIM3_AMOUNT_MAX - 1, 1000000000000},
        {TIM3_AMOUNT_MAX - 1, TIM3_AMOUNT_MAX, TIM3_AMOUNT_MAX, TIM3_AMOUNT_MAX - 1, 0, 999999},
        {TIM3_AMOUNT_MAX / 2, TIM3_AMOUNT_MAX - 1, TIM3_AMOUNT_MAX / 3, TIM3_AMOUNT_MAX / 6, 0, 500000},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        locked (rows[i].locked);
        changed (TIM3_MSG_TOKEN_MINTED, "alice", 0, rows[i].balance, rows[i].supply);
        deliver (2 * i + 1, 2 * i + 3);
        tim3_asset_metrics_t all = metrics ();
        ck_assert_msg (position ("alice").backing == rows[i].backing, "backing of row %u", i);
        ck_assert_msg (all.in_flight == rows[i].in_flight, "in_flight of row %u", i);
        ck_assert_msg (all.backing_ppm == rows[i].ppm, "ppm of row %u: %llu", i,
                       (unsigned long long) all.backing_ppm);
    }
}
END_TEST

START_TEST (test_not_found)
{
    tim3_get_position_t question = {.asset = "TIM3", .account = "nobody"};
    tim3_get_metrics_t asset = {.asset = "OTHER"};
    const tim3_error_t *error = ask (TIM3_MSG_GET_POSITION, &question, TIM3_MSG_ERROR);
    ck_assert_uint_eq (error->code, TIM3_NOT_FOUND);
    error = ask (TIM3_MSG_GET_METRICS, &asset, TIM3_MSG_ERROR);
    ck_assert_uint_eq (error->code, TIM3_NOT_FOUND);
}
END_TEST

START_TEST (test_metrics_of_all_assets)
{
    tim3_get_metrics_t question = {.asset = ""};
    tim3_collateral_locked_t event = {.account = "alice", .amount = 1, .locked = 4};
    append ("lock_manager.AAA.0", 1, TIM3_MSG_COLLATERAL_LOCKED, &event);
    append ("lock_manager.BBB.0", 1, TIM3_MSG_COLLATERAL_LOCKED, &event);
    event.locked = 5;
    append ("lock_manager.AAA.0", 2, TIM3_MSG_COLLATERAL_LOCKED, &event);
    deliver_all ();
    const tim3_metrics_t *answer = ask (TIM3_MSG_GET_METRICS, &question, TIM3_MSG_METRICS);
    const tim3_asset_metrics_t *items = answer->items.items;
    ck_assert_uint_eq (answer->items.count, 3);
    ck_assert_str_eq (items[0].asset, "AAA");
    ck_assert (items[0].locked == 5);
    ck_assert_str_eq (items[1].asset, "BBB");
    ck_assert (items[1].locked == 4);
    ck_assert_str_eq (items[2].asset, "TIM3"); /* configured, and quiet so far */
    ck_assert (items[2].locked == 0);
}
END_TEST

/*  ---------------------------------------------------------------------------------------------- pages  */

static void append_accounts (unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char account[16];
        snprintf (account, sizeof account, "a%03u", i);
        changed (TIM3_MSG_TOKEN_MINTED, account, 1, 1, i + 1);
    }
    tim3_token_changed_t other = {.account = "zoe", .amount = 1, .balance = 1, .supply = 1};
    append ("token_manager.TIM4.0", 1, TIM3_MSG_TOKEN_MINTED, &other);
    append ("token_manager.TIM.0", 1, TIM3_MSG_TOKEN_MINTED, &other);
    deliver_all ();
}

START_TEST (test_pages_cover_everything_once)
{
    append_accounts (205);
    for (uint64_t limit = 1; limit <= 1000; limit = limit * 3 + 1) {
        tim3_list_positions_t question = {.asset = "TIM3", .limit = limit};
        unsigned seen = 0;
        do {
            const tim3_positions_t *answer = ask (TIM3_MSG_LIST_POSITIONS, &question, TIM3_MSG_POSITIONS);
            const tim3_position_t *items = answer->items.items;
            ck_assert_uint_ge (answer->items.count, 1);
            ck_assert_uint_le (answer->items.count, limit);
            for (uint32_t i = 0; i < answer->items.count; i++)
                ck_assert_int_eq (atoi (items[i].account + 1), (int) seen++);
            strcpy (question.cursor, answer->cursor);
        } while (question.cursor[0]);
        ck_assert_uint_eq (seen, 205);
    }
}
END_TEST

START_TEST (test_page_limits)
{
    append_accounts (150);
    tim3_list_positions_t question = {.asset = "TIM3"};
    const tim3_positions_t *answer = ask (TIM3_MSG_LIST_POSITIONS, &question, TIM3_MSG_POSITIONS);
    ck_assert_uint_eq (answer->items.count, 100);
    question.limit = 150;
    answer = ask (TIM3_MSG_LIST_POSITIONS, &question, TIM3_MSG_POSITIONS);
    ck_assert_uint_eq (answer->items.count, 150);
    ck_assert_str_eq (answer->cursor, "");
    strcpy (question.asset, "NONE");
    answer = ask (TIM3_MSG_LIST_POSITIONS, &question, TIM3_MSG_POSITIONS);
    ck_assert_uint_eq (answer->items.count, 0);
    ck_assert_str_eq (answer->cursor, "");
}
END_TEST

START_TEST (test_bad_cursors)
{
    static const char *const cursors[] = {"x", "abc", "zz", "00", "54494d34007a6f6500", "54494d33"};
    append_accounts (2);
    for (unsigned i = 0; i < sizeof cursors / sizeof cursors[0]; i++) {
        tim3_list_positions_t question = {.asset = "TIM3"};
        strcpy (question.cursor, cursors[i]);
        const tim3_error_t *error = ask (TIM3_MSG_LIST_POSITIONS, &question, TIM3_MSG_ERROR);
        ck_assert_uint_eq (error->code, TIM3_INVALID_FIELD);
    }
}
END_TEST

/*  A core made for the page alone: it pages, and passes over what is unwanted.  */
#define MANY 3000

static uint64_t s_found[MANY];
static unsigned s_found_count;
static uint64_t s_modulus;
static char s_cursor[TIM3_CURSOR_MAX + 1];

static void collect (tim3_env_t *env, const tim3_list_positions_t *body)
{
    tim3_key_t prefix = tim3_key_text ("TIM3");
    tim3_list_t items;
    tim3_counter_t row;
    tim3_page_t page;
    if (!tim3_page_begin (&page, env, body->cursor, body->limit, TIM3_TABLE_COUNTER, &prefix, sizeof row))
        return;
    while (tim3_page_next (&page, &row))
        if (row.value % s_modulus == 0)
            tim3_page_add (&page, &row);
    tim3_page_end (&page, &items, s_cursor);
    for (uint32_t i = 0; i < items.count; i++)
        s_found[s_found_count++] = ((const tim3_counter_t *) items.items)[i].value;
}

static void on_page (void *self, tim3_env_t *env, const void *body)
{
    (void) self;
    collect (env, body);
}

static void *page_core_new (const tim3_settings_t *settings)
{
    (void) settings;
    return tim3_alloc (1);
}

static void page_core_destroy (void **self)
{
    free (*self);
    *self = NULL;
}

static void open_page_core (void)
{
    static const tim3_handler_t handlers[] = {{TIM3_MSG_LIST_POSITIONS, on_page}, {0, NULL}};
    static const tim3_core_t core = {.role = TIM3_ROLE_STATE_MANAGER,
                                     .new = page_core_new,
                                     .destroy = page_core_destroy,
                                     .handlers = handlers};
    tim3_host_options_t options = {.name = "state_manager.-.0", .incarnation = 1, .meta = s_meta};
    tim3_host_destroy (&s_host);
    s_host = tim3_host_new (&core, &s_settings, s_store, &options);
    for (uint64_t i = 0; i < MANY; i++) {
        tim3_counter_t row = {i};
        tim3_key_t key = tim3_key_text (i < MANY - 1 ? "TIM3" : "TIM4");
        tim3_key_add_u64 (&key, i);
        tim3_store_write (s_store, TIM3_TABLE_COUNTER, &key, &row);
    }
    ck_assert_int_eq (tim3_store_commit (s_store), 0);
    s_found_count = 0;
}

/*  Returns the number of pages that it took.  */
static unsigned page_through (uint64_t modulus, uint64_t limit)
{
    tim3_list_positions_t question = {.asset = "TIM3", .limit = limit};
    unsigned pages = 0;
    s_modulus = modulus;
    s_cursor[0] = '\0';
    do {
        strcpy (question.cursor, s_cursor);
        send (false, TIM3_MSG_LIST_POSITIONS, &question);
        pages++;
    } while (s_cursor[0]);
    return pages;
}

START_TEST (test_page_filters_within_bounds)
{
    open_page_core ();
    /* a page of 10 looks at 1,200 rows at most: 2,999 rows take three pages though one row is wanted */
    ck_assert_uint_eq (page_through (5000, 10), 3);
    ck_assert_uint_eq (s_found_count, 1);
    ck_assert_uint_eq (s_found[0], 0);
}
END_TEST

START_TEST (test_pages)
{
    open_page_core ();
    ck_assert_uint_eq (page_through (7, 100), 5);
    ck_assert_uint_eq (s_found_count, 429);
    for (unsigned i = 0; i < s_found_count; i++)
        ck_assert_uint_eq (s_found[i], 7ull * i);
}
END_TEST

/*  --------------------------------------------------------------------------------------------- health  */

static tim3_agent_t agent (const char *name, tim3_role_t role, const char *asset)
{
    tim3_agent_t entry = {.role = (uint8_t) role, .alive = true, .health = TIM3_HEALTH_OK, .incarnation = 1};
    strcpy (entry.name, name);
    strcpy (entry.asset, asset);
    strcpy (entry.endpoint, "ipc://x");
    strcpy (entry.version, "1");
    return entry;
}

static void tell_agents (const tim3_agent_t *items, uint32_t count)
{
    tim3_agents_t agents = {.items = {items, count}, .generation = 1};
    send (true, TIM3_MSG_AGENTS, &agents);
}

/*  Those who are started together register one after the other.  */
START_TEST (test_missing_roles_right_after_the_start)
{
    tim3_agent_t dead = agent ("lock_manager.TIM3.0", TIM3_ROLE_LOCK_MANAGER, "TIM3");
    dead.alive = false;
    tick (0);
    tell_agents (&dead, 1);
    tim3_health_reply_t reply = system_health ();
    ck_assert_uint_eq (count_reasons (&reply, "role_missing"), 0);
    ck_assert_uint_eq (count_reasons (&reply, "agent_dead"), 1);
    tick (2 * SECOND);
    reply = system_health ();
    ck_assert_uint_eq (count_reasons (&reply, "role_missing"), 4);
}
END_TEST

START_TEST (test_agents_in_health)
{
    tim3_agent_t agents[] = {agent ("lock_manager.TIM3.0", TIM3_ROLE_LOCK_MANAGER, "TIM3"),
                             agent ("token_manager.TIM3.0", TIM3_ROLE_TOKEN_MANAGER, "TIM3"),
                             agent ("coordinator.TIM3.0", TIM3_ROLE_COORDINATOR, "TIM3"),
                             agent ("coordinator.TIM3.1", TIM3_ROLE_COORDINATOR, "TIM3"),
                             agent ("mock_usda.USDA.0", TIM3_ROLE_MOCK_USDA, "USDA")};
    tim3_health_reply_t reply = system_health ();
    ck_assert_uint_eq (reply.score, 100); /* nothing is known yet */
    tell_agents (agents, 5);
    ck_assert_uint_eq (system_health ().score, 100);
    ck_assert_uint_eq (system_health ().status, TIM3_HEALTH_OK);
    tell_agents (agents, 4); /* without the collateral token */
    reply = system_health ();
    ck_assert_uint_eq (count_reasons (&reply, "role_missing"), 1);
    ck_assert_uint_eq (reply.status, TIM3_HEALTH_DEGRADED);
    agents[3].alive = false;
    tell_agents (agents, 5);
    ck_assert_uint_eq (system_health ().score, 80);
    ck_assert_uint_eq (system_health ().status, TIM3_HEALTH_DEGRADED);
    agents[2].alive = false;
    tell_agents (agents, 5); /* two dead, and no coordinator */
    reply = system_health ();
    ck_assert_uint_eq (reply.score, 30);
    ck_assert_uint_eq (reply.status, TIM3_HEALTH_FAILING);
    ck_assert_uint_eq (count_reasons (&reply, "role_missing"), 1);
    tell_agents (agents, 0);
    reply = system_health ();
    ck_assert_uint_eq (count_reasons (&reply, "role_missing"), 4);
    ck_assert_uint_eq (reply.score, 0);
}
END_TEST

START_TEST (test_reported_health)
{
    tim3_agent_t agents[] = {agent ("lock_manager.TIM3.0", TIM3_ROLE_LOCK_MANAGER, "TIM3"),
                             agent ("token_manager.TIM3.0", TIM3_ROLE_TOKEN_MANAGER, "TIM3"),
                             agent ("coordinator.TIM3.0", TIM3_ROLE_COORDINATOR, "TIM3"),
                             agent ("state_manager.-.0", TIM3_ROLE_STATE_MANAGER, "-"),
                             agent ("mock_usda.USDA.0", TIM3_ROLE_MOCK_USDA, "USDA")};
    agents[0].health = TIM3_HEALTH_DEGRADED;
    agents[3].health = TIM3_HEALTH_FAILING; /* what it says itself is known here at first hand */
    tell_agents (agents, 5);
    ck_assert_uint_eq (system_health ().score, 90);
    ck_assert_uint_eq (system_health ().status, TIM3_HEALTH_OK);
    agents[1].health = TIM3_HEALTH_FAILING;
    tell_agents (agents, 5);
    ck_assert_uint_eq (system_health ().score, 50);
    ck_assert_uint_eq (system_health ().status, TIM3_HEALTH_DEGRADED);
}
END_TEST

START_TEST (test_many_reasons)
{
    static tim3_agent_t agents[300];
    for (unsigned i = 0; i < 300; i++) {
        agents[i] = agent ("coordinator.TIM3.0", TIM3_ROLE_COORDINATOR, "TIM3");
        agents[i].alive = false;
    }
    tell_agents (agents, 300);
    tim3_health_reply_t reply = system_health ();
    ck_assert_uint_eq (reply.score, 0);
    ck_assert_uint_eq (reply.reasons.count, 64);
}
END_TEST

START_TEST (test_backing_must_last)
{
    changed (TIM3_MSG_TOKEN_MINTED, "alice", 5, 5, 5);
    locked (5);
    tick (0);
    deliver (1, 2); /* the mint overtook its lock */
    tick (SECOND);
    ck_assert (!has_reason ("backing"));
    deliver (2, 3);
    tick (0);
    tick (3 * SECOND);
    ck_assert (!has_reason ("backing"));
    changed (TIM3_MSG_TOKEN_MINTED, "alice", 5, 10, 10);
    deliver (3, 4);
    tick (0);
    tick (2 * SECOND);
    ck_assert (has_reason ("backing"));
    ck_assert_uint_eq (system_health ().score, 0);
    locked (10);
    deliver (4, 5);
    tick (0);
    ck_assert (!has_reason ("backing"));
}
END_TEST

START_TEST (test_silence_and_lag)
{
    locked (1);
    tick (0);
    tick (5 * SECOND);
    ck_assert (!has_reason ("not_subscribed"));
    tick (1);
    ck_assert (has_reason ("not_subscribed"));
    ck_assert_uint_eq (system_health ().score, 70);
    tim3_events_t events = stretch (1, 2);
    events.end = 10002;
    send (true, TIM3_MSG_EVENTS, &events);
    ck_assert_uint_eq (system_health ().score, 100);
    events = stretch (2, 2);
    events.end = 10003;
    send (true, TIM3_MSG_EVENTS, &events);
    ck_assert (has_reason ("event_lag"));
    ck_assert_uint_eq (system_health ().score, 90);
}
END_TEST

/*  ------------------------------------------------------------------------------------ against a model  */

#define ACCOUNTS 7

typedef struct {
    tim3_amount_t balance, minted, redeemed, received, sent;
} model_t;

static model_t s_model[ACCOUNTS];

static unsigned pick (unsigned most)
{
    return (unsigned) rand () % most;
}

static const char *account_name (unsigned number)
{
    static char names[2][8];
    static unsigned turn;
    char *name = names[turn++ % 2];
    snprintf (name, sizeof names[0], "acc%u", number);
    return name;
}

static void random_event (tim3_amount_t *supply)
{
    unsigned from = pick (ACCOUNTS);
    unsigned to = (from + 1 + pick (ACCOUNTS - 1)) % ACCOUNTS;
    model_t *sender = &s_model[from];
    model_t *receiver = &s_model[to];
    tim3_amount_t amount = sender->balance ? 1 + pick ((unsigned) sender->balance) : 0;
    unsigned what = pick (4);
    if (what == 0) {
        locked (*supply + 50);
    } else if (what == 1 || amount == 0) {
        amount = 1 + pick (50);
        sender->balance += amount;
        sender->minted += amount;
        *supply += amount;
        changed (TIM3_MSG_TOKEN_MINTED, account_name (from), amount, sender->balance, *supply);
    } else if (what == 2) {
        sender->balance -= amount;
        sender->redeemed += amount;
        *supply -= amount;
        changed (TIM3_MSG_TOKEN_BURNED, account_name (from), amount, sender->balance, *supply);
    } else {
        sender->balance -= amount;
        sender->sent += amount;
        receiver->balance += amount;
        receiver->received += amount;
        moved (account_name (from), account_name (to), amount, sender->balance, receiver->balance, *supply);
    }
}

/*  Answers as a router may: from where it was asked or from anywhere, in pieces; crashes come between.  */
static void random_delivery (void)
{
    uint64_t from = pick (3) ? s_subscribe.from : 1 + pick (s_count);
    uint64_t next = from + pick (20);
    if (next > s_count + 1)
        next = s_count + 1;
    tim3_events_t events = stretch (from, next);
    events.credit = pick (2) ? 4000 : 100;
    if (pick (10) > 0) {
        send (true, TIM3_MSG_EVENTS, &events);
    } else {
        tim3_host_begin (s_host, s_now);
        take (true, TIM3_MSG_EVENTS, &events);
        close_host ();
        open_host ();
    }
    tick (pick (3) * SECOND / 2);
}

static void compare_with_model (tim3_amount_t supply)
{
    tim3_asset_metrics_t all = metrics ();
    tim3_amount_t sum = 0;
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        tim3_position_t real = position (account_name (i));
        const model_t *model = &s_model[i];
        ck_assert (real.balance == model->balance && real.minted == model->minted);
        ck_assert (real.redeemed == model->redeemed && real.received == model->received);
        ck_assert (real.sent == model->sent);
        sum += real.balance;
    }
    ck_assert (all.supply == supply && all.balances == supply && sum == supply);
    ck_assert_uint_eq (all.positions, ACCOUNTS);
    ck_assert_uint_eq (all.token_seq, s_token_seq);
    ck_assert_uint_eq (all.lock_seq, s_lock_seq);
    ck_assert_uint_eq (metric ("events_missing"), 0);
}

START_TEST (test_against_model)
{
    tim3_amount_t supply = 0;
    unsigned turns = 0;
    srand ((unsigned) _i + 1);
    memset (s_model, 0, sizeof s_model);
    while (s_count < 400)
        random_event (&supply);
    tick (0);
    do {
        random_delivery ();
        ck_assert_uint_lt (++turns, 5000);
    } while (s_subscribe.from <= s_count);
    compare_with_model (supply);
}
END_TEST

static TCase *new_case (Suite *suite, const char *name)
{
    TCase *tests = tcase_create (name);
    tcase_add_checked_fixture (tests, setup, teardown);
    tcase_set_timeout (tests, 60);
    suite_add_tcase (suite, tests);
    return tests;
}

Suite *suite_state_manager (void)
{
    Suite *suite = suite_create ("state_manager");
    TCase *log = new_case (suite, "log");
    tcase_add_test (log, test_subscribes_and_asks_again);
    tcase_add_test (log, test_renews_credit_once);
    tcase_add_test (log, test_renews_before_it_lapses);
    tcase_add_test (log, test_only_the_right_stretch);
    tcase_add_test (log, test_other_subscriptions_are_not_ours);
    tcase_add_test (log, test_exactly_once_over_crashes);
    tcase_add_test (log, test_replaced_log);
    tcase_add_test (log, test_log_that_went_back);
    tcase_add_test (log, test_shards_add_up);
    tcase_add_test (log, test_shards_that_lock_more_than_a_number_holds);
    tcase_add_test (log, test_between_shards);
    tcase_add_test (log, test_gaps_and_repeats);
    tcase_add_test (log, test_first_number_must_be_one);
    tcase_add_test (log, test_unreadable_body_is_a_gap);
    tcase_add_test (log, test_unreadable_run_is_a_gap);
    tcase_add_test (log, test_other_sources_and_types);
    TCase *state = new_case (suite, "state");
    tcase_add_test (state, test_effects);
    tcase_add_test (state, test_balances_that_are_told_twice);
    tcase_add_test (state, test_sums_saturate);
    tcase_add_test (state, test_derived_fields);
    tcase_add_test (state, test_not_found);
    tcase_add_test (state, test_metrics_of_all_assets);
    tcase_add_loop_test (state, test_against_model, 0, 8);
    TCase *pages = new_case (suite, "pages");
    tcase_add_test (pages, test_pages_cover_everything_once);
    tcase_add_test (pages, test_page_limits);
    tcase_add_test (pages, test_bad_cursors);
    tcase_add_test (pages, test_page_filters_within_bounds);
    tcase_add_test (pages, test_pages);
    TCase *judged = new_case (suite, "health");
    tcase_add_test (judged, test_missing_roles_right_after_the_start);
    tcase_add_test (judged, test_agents_in_health);
    tcase_add_test (judged, test_reported_health);
    tcase_add_test (judged, test_many_reasons);
    tcase_add_test (judged, test_backing_must_last);
    tcase_add_test (judged, test_silence_and_lag);
    return suite;
}
