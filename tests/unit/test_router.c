/*  test_router.c - the router's core, driven as a host drives it: registry, event log, subscriptions; and the
    broker's choice of an agent. Time is what the test says; the store is a real one in a folder of its own.
 */
#include "runs.h"
#include "suites.h"
#include "agent/host.h"
#include "base/log.h"
#include "../../router/core.h"
#include "../../router/in_flight.h"
#include "../../router/registry.h"
#include "../../router/routes.h"
#include "../../router/subscribers.h"
#include "../../router/unread.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000ull
#define START (1000 * SECOND)
#define ANSWERS_MAX 512
#define SOURCE "token_manager.TIM3.0"

/*  One answer: the type, and the body decoded.  */
typedef struct {
    uint64_t type;
    uint64_t reply_to;
    union {
        tim3_error_t error;
        tim3_registered_t registered;
        tim3_agents_t agents;
        tim3_published_t published;
        tim3_events_t events;
    } body;
} answer_t;

static char s_root[64];
static tim3_store_t *s_store;
static tim3_host_t *s_host;
static tim3_settings_t s_settings;
static tim3_host_options_t s_options;
static tim3_arena_t s_arena;
static answer_t s_answers[ANSWERS_MAX];
static unsigned s_count;
static uint64_t s_now;
static uint64_t s_id;

/*  ------------------------------------------------------------------------------------------ fixtures  */

static int remove_entry (const char *path, const struct stat *stat, int kind, struct FTW *place)
{
    (void) stat;
    (void) kind;
    (void) place;
    return remove (path);
}

static void start_router (void)
{
    char why[512];
    tim3_store_options_t options = {
        .path = s_root, .name = "router.-.0", .map_size = 64 << 20, .now_us = s_now, .fresh_id = {{9}}};
    s_store = tim3_store_open_lmdb (&options, &s_options.meta, why, sizeof why);
    ck_assert_msg (s_store != NULL, "%s", why);
    s_host = tim3_host_new (&tim3_router_core, &s_settings, s_store, &s_options);
}

static void stop_router (void)
{
    tim3_host_destroy (&s_host);
    tim3_store_close (&s_store);
}

static void setup (void)
{
    strcpy (s_root, "/tmp/tim3-router-XXXXXX");
    ck_assert_ptr_nonnull (mkdtemp (s_root));
    s_settings = (tim3_settings_t){.name = "router.-.0", .asset = "-", .heartbeat_us = SECOND};
    s_options = (tim3_host_options_t){.name = "router.-.0", .incarnation = 1};
    s_arena = (tim3_arena_t){tim3_alloc (8 << 20), 8 << 20, 0};
    s_now = START;
    s_id = 0;
    start_router ();
}

static void teardown (void)
{
    stop_router ();
    free (s_arena.data);
    nftw (s_root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/*  --------------------------------------------------------------------------------------- conversation  */

static void keep_answer (const tim3_envelope_t *envelope)
{
    tim3_fault_t fault;
    answer_t *answer = &s_answers[s_count++];
    ck_assert_uint_le (s_count, ANSWERS_MAX);
    answer->type = envelope->type;
    answer->reply_to = envelope->reply_to;
    ck_assert_int_eq (tim3_decode_map (envelope->body, envelope->body_size,
                                       tim3_message (envelope->type)->shape, &answer->body, &s_arena, &fault),
                      0);
}

static void commit (void)
{
    const tim3_frame_t *frame;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    s_count = 0;
    s_arena.used = 0;
    ck_assert_int_eq (tim3_host_commit (s_host), 0);
    while ((frame = tim3_host_next (s_host))) {
        const uint8_t *at = frame->data;
        while (tim3_envelope_read (&at, frame->data + frame->size, &envelope, &fault) == 1)
            keep_answer (&envelope);
    }
}

static void take (const char *peer, const char *sender, tim3_type_t type, const void *body)
{
    tim3_buffer_t buffer = {0};
    tim3_origin_t origin = {false, (const uint8_t *) peer, strlen (peer)};
    tim3_envelope_t envelope = {.type = type, .id = ++s_id, .recipient = "router.-.0"};
    strcpy (envelope.sender, sender);
    /* what the broker passes on carries its way back */
    if (strncmp (peer, "broker", strlen ("broker")) == 0)
        memcpy (envelope.via, peer, envelope.via_size = (uint8_t) strlen (peer));
    tim3_envelope_write (&buffer, &envelope, body);
    tim3_host_take (s_host, &origin, buffer.data, buffer.size);
    tim3_buffer_free (&buffer);
}

/*  Sends one request, and returns the first answer.  */
static const answer_t *ask (const char *sender, tim3_type_t type, const void *body)
{
    tim3_host_begin (s_host, s_now);
    take (sender, sender, type, body);
    commit ();
    ck_assert_uint_ge (s_count, 1);
    return &s_answers[0];
}

static void tick (void)
{
    tim3_host_begin (s_host, s_now);
    tim3_host_tick (s_host);
    commit ();
}

static void check_error (const answer_t *answer, tim3_result_t code)
{
    ck_assert_uint_eq (answer->type, TIM3_MSG_ERROR);
    ck_assert_uint_eq (answer->body.error.code, code);
}

/*  ------------------------------------------------------------------------------------------- registry  */

static tim3_agent_t agent_named (const char *name, uint64_t incarnation)
{
    tim3_address_t address;
    tim3_agent_t agent = {.incarnation = incarnation, .capabilities = "mint redeem", .version = "1"};
    ck_assert (tim3_address_parse (name, &address));
    strcpy (agent.name, name);
    strcpy (agent.asset, address.asset);
    agent.role = (uint8_t) address.role;
    agent.shard = (uint64_t) address.shard;
    snprintf (agent.endpoint, sizeof agent.endpoint, "ipc://run/%s.sock", name);
    return agent;
}

static const answer_t *register_agent (const tim3_agent_t *agent)
{
    tim3_register_t body = {.agents = {agent, 1}};
    return ask (agent->name, TIM3_MSG_REGISTER, &body);
}

static uint64_t registered (const char *name, uint64_t incarnation)
{
    tim3_agent_t agent = agent_named (name, incarnation);
    const answer_t *answer = register_agent (&agent);
    ck_assert_uint_eq (answer->type, TIM3_MSG_REGISTERED);
    return answer->body.registered.generation;
}

static const answer_t *heartbeat (const char *name, uint64_t incarnation)
{
    tim3_heartbeat_t body = {.incarnation = incarnation, .health = TIM3_HEALTH_OK};
    strcpy (body.name, name);
    return ask (name, TIM3_MSG_HEARTBEAT, &body);
}

static const tim3_agents_t *list (void)
{
    const answer_t *answer = ask ("client", TIM3_MSG_LIST, "");
    ck_assert_uint_eq (answer->type, TIM3_MSG_AGENTS);
    return &answer->body.agents;
}

static const tim3_agent_t *listed (uint32_t position)
{
    const tim3_agents_t *agents = list ();
    ck_assert_uint_gt (agents->items.count, position);
    return (const tim3_agent_t *) agents->items.items + position;
}

START_TEST (test_registers_and_lists_in_order)
{
    registered ("lock_manager.TIM3.0", 5);
    registered ("coordinator.TIM3.1", 5);
    registered ("coordinator.TIM3.0", 5);
    ck_assert_uint_eq (list ()->items.count, 3);
    ck_assert_str_eq (listed (0)->name, "coordinator.TIM3.0");
    ck_assert_str_eq (listed (1)->name, "coordinator.TIM3.1");
    ck_assert_str_eq (listed (2)->name, "lock_manager.TIM3.0");
    ck_assert (listed (2)->alive);
    ck_assert_uint_eq (listed (2)->registered_us, s_now);
}
END_TEST

START_TEST (test_generation_rises_only_with_changes)
{
    uint64_t first = registered ("lock_manager.TIM3.0", 5);
    ck_assert_uint_eq (registered ("lock_manager.TIM3.0", 5), first);
    ck_assert_uint_eq (heartbeat ("lock_manager.TIM3.0", 5)->body.registered.generation, first);
    tim3_agent_t moved = agent_named ("lock_manager.TIM3.0", 5);
    strcpy (moved.endpoint, "tcp://127.0.0.1:9");
    ck_assert_uint_gt (register_agent (&moved)->body.registered.generation, first);
}
END_TEST

START_TEST (test_larger_incarnation_supersedes)
{
    registered ("lock_manager.TIM3.0", 5);
    s_now += 1;
    registered ("lock_manager.TIM3.0", 6);
    tim3_agent_t old = agent_named ("lock_manager.TIM3.0", 5);
    check_error (register_agent (&old), TIM3_SUPERSEDED);
    check_error (heartbeat ("lock_manager.TIM3.0", 5), TIM3_SUPERSEDED);
    tim3_deregister_t body = {.name = "lock_manager.TIM3.0", .incarnation = 5};
    check_error (ask ("lock_manager.TIM3.0", TIM3_MSG_DEREGISTER, &body), TIM3_SUPERSEDED);
    ck_assert_uint_eq (listed (0)->incarnation, 6);
}
END_TEST

/*  A store that was deleted begins with the clock again, which may be behind what it was once: who is gone must not be in the way.  */
START_TEST (test_smaller_incarnation_comes_after_one_that_is_gone)
{
    s_now += 1;
    registered ("coordinator.TIM3.0", 9);
    stop_router ();
    start_router ();
    registered ("coordinator.TIM3.0", 5);
    ck_assert_uint_eq (listed (0)->incarnation, 5);
    s_now += 1;
    registered ("coordinator.TIM3.0", 9);
    s_now += 4 * SECOND;
    tick ();
    registered ("coordinator.TIM3.0", 6);
    ck_assert_uint_eq (listed (0)->incarnation, 6);
}
END_TEST

START_TEST (test_unknown_heartbeat_must_register)
{
    check_error (heartbeat ("lock_manager.TIM3.0", 5), TIM3_NOT_FOUND);
    registered ("lock_manager.TIM3.0", 5);
    check_error (heartbeat ("lock_manager.TIM3.0", 6), TIM3_NOT_FOUND);
}
END_TEST

START_TEST (test_entries_must_agree_with_their_names)
{
    tim3_agent_t role = agent_named ("lock_manager.TIM3.0", 5);
    tim3_agent_t shard = role;
    tim3_agent_t asset = role;
    tim3_agent_t name = role;
    tim3_agent_t endpoint = role;
    role.role = TIM3_ROLE_COORDINATOR;
    shard.shard = 1;
    strcpy (asset.asset, "OTHER");
    strcpy (name.name, "lock_manager.TIM3.00");
    strcpy (endpoint.endpoint, "nowhere");
    check_error (register_agent (&role), TIM3_INVALID_FIELD);
    check_error (register_agent (&shard), TIM3_INVALID_FIELD);
    check_error (register_agent (&asset), TIM3_INVALID_FIELD);
    check_error (register_agent (&name), TIM3_INVALID_FIELD);
    check_error (register_agent (&endpoint), TIM3_INVALID_FIELD);
    strcpy (endpoint.endpoint, "tcp://192.0.2.1:7000");
    check_error (register_agent (&endpoint), TIM3_INVALID_FIELD);
    ck_assert_uint_eq (list ()->items.count, 0);
}
END_TEST

START_TEST (test_all_of_a_registration_or_nothing)
{
    tim3_agent_t agents[2] = {agent_named ("lock_manager.TIM3.0", 5), agent_named ("lock_manager.TIM3.0", 0)};
    tim3_register_t body = {.agents = {agents, 2}};
    check_error (ask ("lock_manager.TIM3.0", TIM3_MSG_REGISTER, &body), TIM3_INVALID_FIELD);
    ck_assert_uint_eq (list ()->items.count, 0);
}
END_TEST

START_TEST (test_nobody_speaks_for_another)
{
    static const char other[] = "coordinator.TIM3.7";
    tim3_agent_t agent = agent_named ("token_manager.TIM3.0", 5);
    tim3_agent_t agents[2] = {agent_named (other, 5), agent};
    tim3_register_t both = {.agents = {agents, 2}};
    tim3_register_t alone = {.agents = {&agent, 1}};
    tim3_heartbeat_t beat = {.name = "token_manager.TIM3.0", .incarnation = 5, .commits = 1000000000};
    tim3_deregister_t farewell = {.name = "token_manager.TIM3.0", .incarnation = 6, .commits = 1000000000};
    check_error (ask (other, TIM3_MSG_REGISTER, &both), TIM3_NOT_ALLOWED);
    ck_assert_uint_eq (list ()->items.count, 0);
    registered (agent.name, 5);
    check_error (ask (other, TIM3_MSG_REGISTER, &alone), TIM3_NOT_ALLOWED);
    check_error (ask (other, TIM3_MSG_UPDATE, &alone), TIM3_NOT_ALLOWED);
    check_error (ask (other, TIM3_MSG_HEARTBEAT, &beat), TIM3_NOT_ALLOWED);
    check_error (ask (other, TIM3_MSG_DEREGISTER, &farewell), TIM3_NOT_ALLOWED);
    ck_assert_uint_eq (list ()->items.count, 1);
    registered (agent.name, 6);
}
END_TEST

START_TEST (test_silence_is_noticed)
{
    uint64_t generation = registered ("lock_manager.TIM3.0", 5);
    s_now += 3 * SECOND;
    tick ();
    ck_assert (listed (0)->alive);
    s_now += SECOND;
    tick ();
    ck_assert (!listed (0)->alive);
    ck_assert_uint_gt (list ()->generation, generation);
    heartbeat ("lock_manager.TIM3.0", 5);
    ck_assert (listed (0)->alive);
}
END_TEST

START_TEST (test_the_long_dead_are_forgotten)
{
    registered ("lock_manager.TIM3.0", 5);
    s_now += TIM3_REGISTRY_FORGET_US;
    tick ();
    ck_assert_uint_eq (list ()->items.count, 1);
    s_now += 1;
    tick ();
    ck_assert_uint_eq (list ()->items.count, 0);
    stop_router ();
    start_router ();
    ck_assert_uint_eq (list ()->items.count, 0);
}
END_TEST

START_TEST (test_restart_gives_grace)
{
    uint64_t generation = registered ("lock_manager.TIM3.0", 5);
    stop_router ();
    s_now += 100 * SECOND;
    start_router ();
    tick ();
    ck_assert (listed (0)->alive);
    ck_assert_uint_ne (list ()->generation, generation);
    ck_assert_uint_eq (heartbeat ("lock_manager.TIM3.0", 5)->type, TIM3_MSG_REGISTERED);
    s_now += 4 * SECOND;
    tick ();
    ck_assert (!listed (0)->alive);
}
END_TEST

START_TEST (test_deregister_removes_at_once)
{
    tim3_deregister_t body = {.name = "lock_manager.TIM3.0", .incarnation = 5};
    registered ("lock_manager.TIM3.0", 5);
    ck_assert_uint_eq (ask (body.name, TIM3_MSG_DEREGISTER, &body)->type, TIM3_MSG_REGISTERED);
    ck_assert_uint_eq (list ()->items.count, 0);
    ck_assert_uint_eq (ask (body.name, TIM3_MSG_DEREGISTER, &body)->type, TIM3_MSG_REGISTERED);
}
END_TEST

START_TEST (test_registry_is_bounded)
{
    char name[TIM3_ADDRESS_MAX + 1];
    for (int i = 0; i < TIM3_REGISTRY_MAX; i++)
        registered (tim3_address_format (TIM3_ROLE_COORDINATOR, "TIM3", i, name), 5);
    tim3_agent_t more = agent_named ("coordinator.TIM3.9999", 5);
    check_error (register_agent (&more), TIM3_OVERLOADED);
    ck_assert_uint_eq (list ()->items.count, TIM3_REGISTRY_MAX);
    registered ("coordinator.TIM3.0", 6);
}
END_TEST

static uint32_t discovered (tim3_discover_t wanted)
{
    return ask ("client", TIM3_MSG_DISCOVER, &wanted)->body.agents.items.count;
}

START_TEST (test_discover_filters)
{
    registered ("lock_manager.TIM3.0", 5);
    s_now += 10 * SECOND;
    registered ("coordinator.TIM3.0", 5);
    registered ("coordinator.OTHER.0", 5);
    tick ();
    ck_assert_uint_eq (discovered ((tim3_discover_t){0}), 3);
    ck_assert_uint_eq (discovered ((tim3_discover_t){.role = TIM3_ROLE_COORDINATOR}), 2);
    ck_assert_uint_eq (discovered ((tim3_discover_t){.asset = "TIM3"}), 2);
    ck_assert_uint_eq (discovered ((tim3_discover_t){.alive = true}), 2);
    ck_assert_uint_eq (discovered ((tim3_discover_t){.capability = "redeem"}), 3);
    ck_assert_uint_eq (discovered ((tim3_discover_t){.capability = "red"}), 0);
    ck_assert_uint_eq (discovered ((tim3_discover_t){.asset = "TIM3", .alive = true}), 1);
}
END_TEST

/*  ------------------------------------------------------------------------------------------ event log  */

#define EVENTS 300

/*  The events of the next publication. Those of token.minted and token.burned have the same fields.  */
static tim3_buffer_t s_run;

static void add_events (uint32_t count, tim3_type_t type)
{
    tim3_token_changed_t changed = {.account = "alice", .amount = 5};
    for (uint32_t i = 0; i < count; i++)
        tim3_run_add (&s_run, type, 1, &changed);
}

static tim3_publish_t events_from (uint64_t seq, uint32_t count, tim3_type_t type)
{
    tim3_publish_t body = {.source = SOURCE, .store = {{7}}, .seq = seq, .count = count, .acked = seq - 1};
    tim3_run_begin (&s_run);
    add_events (count, type);
    body.events = tim3_run_end (&s_run);
    return body;
}

/*  Publishes, and returns the number that is durable.  */
static uint64_t published (uint64_t seq, uint32_t count, tim3_type_t type)
{
    tim3_publish_t body = events_from (seq, count, type);
    const answer_t *answer = ask (SOURCE, TIM3_MSG_PUBLISH, &body);
    ck_assert_uint_eq (answer->type, TIM3_MSG_PUBLISHED);
    ck_assert_str_eq (answer->body.published.source, SOURCE);
    return answer->body.published.seq;
}

/*  Subscribes, and returns the first stretch.  */
static const tim3_events_t *subscribed (uint64_t number, uint64_t from, uint64_t credit, const char *topic)
{
    tim3_subscribe_t body = {.subscription = number, .from = from, .credit = credit};
    strcpy (body.topic, topic);
    const answer_t *answer = ask ("client", TIM3_MSG_SUBSCRIBE, &body);
    ck_assert_uint_eq (answer->type, TIM3_MSG_EVENTS);
    return &answer->body.events;
}

/*  The same of a client of its own, behind the broker, or of somebody else who is not.  */
static const answer_t *subscribe_as (const char *who, uint64_t client, uint64_t number, uint64_t credit)
{
    tim3_subscribe_t body = {.subscription = number, .from = 1, .credit = credit};
    char peer[20];
    snprintf (peer, sizeof peer, "%s.%llu", who, (unsigned long long) client);
    tim3_host_begin (s_host, s_now);
    take (peer, "client", TIM3_MSG_SUBSCRIBE, &body);
    commit ();
    ck_assert_uint_ge (s_count, 1);
    return &s_answers[0];
}

static uint64_t log_end (void)
{
    return subscribed (999, 1, 0, "")->end;
}

START_TEST (test_a_new_source_starts_anywhere)
{
    ck_assert_uint_eq (published (41, 3, TIM3_MSG_TOKEN_MINTED), 43);
    ck_assert_uint_eq (log_end (), 4);
}
END_TEST

/*  The source's first message got lost, and its second is here.  */
START_TEST (test_a_new_source_leaves_nothing_out)
{
    tim3_publish_t body = events_from (4, 3, TIM3_MSG_TOKEN_MINTED);
    body.acked = 0;
    ck_assert_uint_eq (ask (SOURCE, TIM3_MSG_PUBLISH, &body)->body.published.seq, 0);
    ck_assert_uint_eq (log_end (), 1);
    ck_assert_uint_eq (published (1, 5, TIM3_MSG_TOKEN_MINTED), 5);
}
END_TEST

START_TEST (test_duplicates_are_skipped)
{
    published (1, 3, TIM3_MSG_TOKEN_MINTED);
    ck_assert_uint_eq (published (1, 3, TIM3_MSG_TOKEN_MINTED), 3);
    ck_assert_uint_eq (published (2, 3, TIM3_MSG_TOKEN_MINTED), 4);
    ck_assert_uint_eq (log_end (), 5);
}
END_TEST

START_TEST (test_nothing_is_taken_behind_a_gap)
{
    published (1, 3, TIM3_MSG_TOKEN_MINTED);
    ck_assert_uint_eq (published (5, 2, TIM3_MSG_TOKEN_MINTED), 3);
    ck_assert_uint_eq (log_end (), 4);
    ck_assert_uint_eq (published (4, 0, TIM3_MSG_TOKEN_MINTED), 3);
    ck_assert_uint_eq (published (4, 3, TIM3_MSG_TOKEN_MINTED), 6);
    ck_assert_uint_eq (log_end (), 7);
}
END_TEST

START_TEST (test_another_store_is_another_source)
{
    published (1, 3, TIM3_MSG_TOKEN_MINTED);
    tim3_publish_t body = events_from (1, 2, TIM3_MSG_TOKEN_MINTED);
    body.store.bytes[0] = 8;
    ck_assert_uint_eq (ask (SOURCE, TIM3_MSG_PUBLISH, &body)->body.published.seq, 2);
    ck_assert_uint_eq (log_end (), 6);
}
END_TEST

static void check_refused (tim3_result_t code, tim3_publish_t body)
{
    body.events = tim3_run_end (&s_run);
    check_error (ask (SOURCE, TIM3_MSG_PUBLISH, &body), code);
    ck_assert_uint_eq (log_end (), 1);
}

START_TEST (test_only_own_events_are_taken)
{
    static const uint8_t fields[] = {0x90};
    tim3_publish_t body = events_from (1, 2, TIM3_MSG_TOKEN_MINTED);
    check_error (ask ("lock_manager.TIM3.0", TIM3_MSG_PUBLISH, &body), TIM3_NOT_ALLOWED);
    body = events_from (1, 1, TIM3_MSG_TOKEN_MINTED);
    body.count = 2;
    runs_add (&s_run, TIM3_MSG_COLLATERAL_LOCKED, 1, fields, sizeof fields);
    check_refused (TIM3_NOT_ALLOWED, body);
    tim3_run_begin (&s_run);
    add_events (1, TIM3_MSG_TOKEN_MINTED);
    runs_add (&s_run, TIM3_MSG_MINT, 1, fields, sizeof fields);
    check_refused (TIM3_NOT_ALLOWED, body);
}
END_TEST

START_TEST (test_unreadable_events_are_refused_whole)
{
    tim3_publish_t body = events_from (1, 1, TIM3_MSG_TOKEN_MINTED);
    body.count = 2;
    runs_add (&s_run, TIM3_MSG_TOKEN_MINTED, 1, "\x90", 1); /* no fields */
    check_refused (TIM3_INVALID_FIELD, body);
    events_from (1, 1, TIM3_MSG_TOKEN_MINTED); /* fewer than told */
    check_refused (TIM3_INVALID_FIELD, body);
    events_from (1, 3, TIM3_MSG_TOKEN_MINTED); /* more */
    check_refused (TIM3_INVALID_FIELD, body);
    events_from (1, 2, TIM3_MSG_TOKEN_MINTED); /* something behind them */
    tim3_run_append (&s_run, (const uint8_t *) "\x05", 1);
    check_refused (TIM3_INVALID_FIELD, body);
    body = events_from (0, 2, TIM3_MSG_TOKEN_MINTED); /* numbers that there are not */
    check_refused (TIM3_INVALID_FIELD, body);
    body.seq = UINT64_MAX - 1;
    check_refused (TIM3_INVALID_FIELD, body);
    body = events_from (1, 2, TIM3_MSG_TOKEN_MINTED); /* no bytes */
    body.events = (tim3_raw_t){(const uint8_t *) "\xc0", 1};
    check_error (ask (SOURCE, TIM3_MSG_PUBLISH, &body), TIM3_INVALID_FIELD);
    ck_assert_uint_eq (log_end (), 1);
}
END_TEST

START_TEST (test_the_log_survives_a_restart)
{
    published (1, 3, TIM3_MSG_TOKEN_MINTED);
    stop_router ();
    start_router ();
    ck_assert_uint_eq (published (1, 4, TIM3_MSG_TOKEN_MINTED), 4);
    ck_assert_uint_eq (log_end (), 5);
}
END_TEST

/*  -------------------------------------------------------------------------------------- subscriptions  */

/*  Expects a stretch to have the events of these offsets, whole and in as many runs, with the numbers that they have in a log of
    one source.  */
static void check_stretch (const tim3_events_t *events, uint64_t first, uint32_t count, uint32_t runs)
{
    ck_assert_uint_eq (events->items.count, runs);
    ck_assert_uint_eq (runs_count (events), count);
    for (uint32_t i = 0; i < count; i++) {
        tim3_event_item_t item = runs_at (events, i);
        ck_assert_uint_eq (item.offset, first + i);
        ck_assert_uint_eq (item.seq, first + i);
        ck_assert_str_eq (item.source, SOURCE);
        ck_assert_uint_eq (item.store.bytes[0], 7);
        ck_assert_str_eq (item.topic, "token.minted.TIM3");
    }
}

START_TEST (test_the_first_answer_comes_at_once)
{
    const tim3_events_t *events = subscribed (1, 0, 10, "");
    ck_assert_uint_eq (events->items.count, 0);
    ck_assert_uint_eq (events->from, 1);
    ck_assert_uint_eq (events->next, 1);
    ck_assert_uint_eq (events->end, 1);
    ck_assert_uint_eq (events->credit, 10);
    ck_assert_uint_eq (events->log.bytes[0], 9);
}
END_TEST

START_TEST (test_events_are_pushed_while_credit_lasts)
{
    subscribed (1, 1, 5, "");
    published (1, 3, TIM3_MSG_TOKEN_MINTED);
    ck_assert_uint_eq (s_count, 2);
    const tim3_events_t *events = &s_answers[1].body.events;
    ck_assert_uint_eq (events->credit, 2);
    check_stretch (events, 1, 3, 1);
    published (4, 3, TIM3_MSG_TOKEN_MINTED);
    check_stretch (&s_answers[1].body.events, 4, 2, 1);
    ck_assert_uint_eq (s_answers[1].body.events.next, 6);
    published (7, 3, TIM3_MSG_TOKEN_MINTED);
    ck_assert_uint_eq (s_count, 1);
    check_stretch (subscribed (1, 6, 100, ""), 6, 4, 2);
}
END_TEST

/*  Rows of 3 and 2 events, and one of 4 of which 1 was known: read from everywhere.  */
START_TEST (test_any_stretch_of_any_rows)
{
    published (1, 3, TIM3_MSG_TOKEN_MINTED);
    published (4, 2, TIM3_MSG_TOKEN_MINTED);
    ck_assert_uint_eq (published (5, 4, TIM3_MSG_TOKEN_MINTED), 8);
    for (uint64_t from = 1; from <= 8; from++)
        for (uint64_t credit = 1; credit <= 9; credit++) {
            const tim3_events_t *events = subscribed (1, from, credit, "");
            uint64_t next = events->next;
            ck_assert (next > from && next <= 9 && next - from <= credit);
            ck_assert_uint_eq (runs_count (events), next - from);
            check_stretch (events, from, (uint32_t) (next - from), events->items.count);
            /* nothing is cut that need not be */
            ck_assert (next == 4 || next == 6 || next == 9 || next - from == credit);
        }
    stop_router ();
    start_router ();
    check_stretch (subscribed (1, 1, 100, ""), 1, 8, 3);
}
END_TEST

/*  What is left out of a row parts it.  */
START_TEST (test_a_topic_parts_a_row)
{
    static const tim3_type_t types[] = {TIM3_MSG_TOKEN_BURNED, TIM3_MSG_TOKEN_MINTED, TIM3_MSG_TOKEN_MINTED,
                                        TIM3_MSG_TOKEN_BURNED, TIM3_MSG_TOKEN_MINTED, TIM3_MSG_TOKEN_BURNED};
    tim3_publish_t body = events_from (1, 0, TIM3_MSG_TOKEN_MINTED);
    for (unsigned i = 0; i < 6; i++)
        add_events (1, types[i]);
    body.count = 6;
    body.events = tim3_run_end (&s_run);
    ck_assert_uint_eq (ask (SOURCE, TIM3_MSG_PUBLISH, &body)->body.published.seq, 6);
    const tim3_events_t *events = subscribed (1, 1, 100, "token.minted");
    ck_assert_uint_eq (events->items.count, 2);
    ck_assert_uint_eq (events->credit, 97);
    ck_assert_uint_eq (events->next, 7);
    check_stretch (&(tim3_events_t){.items = {events->items.items, 1}, .from = 1}, 2, 2, 1);
    check_stretch (&(tim3_events_t){.items = events->items, .from = 5}, 5, 1, 2);
    events = subscribed (1, 3, 1, "token.minted.");
    ck_assert_uint_eq (events->next, 4);
    check_stretch (events, 3, 1, 1);
}
END_TEST

START_TEST (test_a_topic_filters_and_costs_no_credit)
{
    subscribed (1, 1, 5, "token.burned");
    published (1, 3, TIM3_MSG_TOKEN_MINTED);
    ck_assert_uint_eq (s_count, 1);
    published (4, 1, TIM3_MSG_TOKEN_BURNED);
    ck_assert_uint_eq (s_count, 2);
    ck_assert_uint_eq (s_answers[1].body.events.from, 1);
    ck_assert_uint_eq (s_answers[1].body.events.next, 5);
    ck_assert_uint_eq (s_answers[1].body.events.credit, 4);
    ck_assert_uint_eq (runs_at (&s_answers[1].body.events, 0).seq, 4);
    ck_assert_str_eq (runs_at (&s_answers[1].body.events, 0).topic, "token.burned.TIM3");
}
END_TEST

START_TEST (test_a_cursor_moves_over_what_is_not_wanted)
{
    uint64_t seq = 1;
    subscribed (1, 1, 5, "token.burned");
    for (; seq + EVENTS <= TIM3_STRETCH_SCAN_MAX; seq += EVENTS) {
        published (seq, EVENTS, TIM3_MSG_TOKEN_MINTED);
        ck_assert_uint_eq (s_count, 1);
    }
    published (seq, EVENTS, TIM3_MSG_TOKEN_MINTED);
    ck_assert_uint_eq (s_count, 2);
    ck_assert_uint_eq (s_answers[1].body.events.items.count, 0);
    ck_assert_uint_eq (s_answers[1].body.events.next, seq + EVENTS);
}
END_TEST

START_TEST (test_stretches_are_bounded_and_continued)
{
    for (uint64_t seq = 1; seq < 20 * EVENTS; seq += EVENTS)
        published (seq, EVENTS, TIM3_MSG_TOKEN_MINTED);
    uint64_t next = 1;
    subscribed (1, 1, 100000, "");
    for (int calls = 0; calls < 3; calls++) {
        for (unsigned i = 0; i < s_count; i++) {
            ck_assert_uint_eq (s_answers[i].body.events.from, next);
            ck_assert_uint_le (runs_count (&s_answers[i].body.events), TIM3_STRETCH_EVENTS_MAX);
            next = s_answers[i].body.events.next;
        }
        tick ();
    }
    ck_assert_uint_eq (next, 20 * EVENTS + 1);
}
END_TEST

START_TEST (test_the_same_number_replaces)
{
    published (1, 3, TIM3_MSG_TOKEN_MINTED);
    subscribed (1, 4, 5, "");
    ck_assert_uint_eq (runs_count (subscribed (1, 2, 1, "")), 1);
    published (4, 1, TIM3_MSG_TOKEN_MINTED);
    ck_assert_uint_eq (s_count, 1);
}
END_TEST

START_TEST (test_no_credit_ends)
{
    subscribed (1, 1, 5, "");
    subscribed (1, 1, 0, "");
    published (1, 1, TIM3_MSG_TOKEN_MINTED);
    ck_assert_uint_eq (s_count, 1);
}
END_TEST

START_TEST (test_subscriptions_lapse)
{
    subscribed (1, 1, 5, "");
    s_now += TIM3_SUBSCRIBER_LEASE_US + 1;
    tick ();
    published (1, 1, TIM3_MSG_TOKEN_MINTED);
    ck_assert_uint_eq (s_count, 1);
}
END_TEST

START_TEST (test_subscriptions_are_bounded)
{
    for (uint64_t i = 0; i < TIM3_SUBSCRIBERS_MAX; i++)
        ck_assert_uint_eq (subscribe_as ("agent", i, 1, 1)->type, TIM3_MSG_EVENTS);
    check_error (subscribe_as ("agent", TIM3_SUBSCRIBERS_MAX, 1, 1), TIM3_OVERLOADED);
    ck_assert_uint_eq (subscribe_as ("agent", 0, 1, 1)->type, TIM3_MSG_EVENTS);
}
END_TEST

START_TEST (test_one_leaves_room_to_others)
{
    for (uint64_t i = 1; i <= TIM3_SUBSCRIBERS_EACH; i++)
        ck_assert_uint_eq (subscribe_as ("broker", 1, i, 1)->type, TIM3_MSG_EVENTS);
    check_error (subscribe_as ("broker", 1, 1000, 1), TIM3_OVERLOADED);
    ck_assert_uint_eq (subscribe_as ("broker", 2, 1000, 1)->type, TIM3_MSG_EVENTS);
    subscribe_as ("broker", 1, 1, 0);
    ck_assert_uint_eq (subscribe_as ("broker", 1, 1000, 1)->type, TIM3_MSG_EVENTS);
}
END_TEST

START_TEST (test_clients_leave_room_to_agents)
{
    subscribe_as ("agent", 0, 1, 1);
    for (uint64_t i = 0; i < TIM3_SUBSCRIBERS_CLIENTS; i++)
        ck_assert_uint_eq (subscribe_as ("broker", i, 1, 1)->type, TIM3_MSG_EVENTS);
    check_error (subscribe_as ("broker", TIM3_SUBSCRIBERS_CLIENTS, 1, 1), TIM3_OVERLOADED);
    for (uint64_t i = 1; i < TIM3_SUBSCRIBERS_AGENTS; i++)
        ck_assert_uint_eq (subscribe_as ("agent", i, 1, 1)->type, TIM3_MSG_EVENTS);
}
END_TEST

START_TEST (test_turns_go_round)
{
    bool seen[TIM3_PUMP_MAX * 2 + 1] = {false};
    for (uint64_t i = 1; i <= 2 * TIM3_PUMP_MAX; i++)
        subscribe_as ("broker", i, i, 1000);
    published (1, 1, TIM3_MSG_TOKEN_MINTED);
    for (int calls = 0; calls < 2; calls++) {
        for (unsigned i = calls == 0; i < s_count; i++)
            seen[s_answers[i].body.events.subscription] = true;
        tick ();
    }
    for (unsigned i = 1; i <= 2 * TIM3_PUMP_MAX; i++)
        ck_assert (seen[i]);
}
END_TEST

/*  --------------------------------------------------------------------------------------------- routes  */

#define LINKS 8
static tim3_routes_t s_routes;
static bool s_ready[LINKS];

static bool link_ready (void *context, unsigned link)
{
    (void) context;
    return s_ready[link];
}

static void setup_routes (void)
{
    static const char *const names[LINKS] = {
        "router.-.0",           "coordinator.TIM3.0",  "coordinator.TIM3.1", "coordinator.TIM3.2",
        "lock_manager.OTHER.0", "lock_manager.TIM3.0", "mock_usda.USDA.0",   "state_manager.-.0"};
    tim3_routes_clear (&s_routes);
    for (unsigned i = 0; i < LINKS; i++) {
        s_ready[i] = true;
        tim3_routes_add (&s_routes, names[i], true, i);
    }
}

static tim3_result_t choose (const char *recipient, const char *account, unsigned *link)
{
    tim3_hint_t hint = {account, (const uint8_t *) "client", 6, link_ready, NULL};
    tim3_address_t to;
    ck_assert (tim3_address_parse (recipient, &to));
    return tim3_routes_choose (&s_routes, &to, &hint, link);
}

static unsigned chosen (const char *recipient, const char *account)
{
    unsigned link = LINKS;
    ck_assert_int_eq (choose (recipient, account, &link), TIM3_OK);
    return link;
}

START_TEST (test_routes_by_name_shard_and_role)
{
    unsigned link;
    ck_assert_uint_eq (chosen ("router", ""), 0);
    ck_assert_uint_eq (chosen ("router.-.0", ""), 0);
    ck_assert_uint_eq (chosen ("coordinator.TIM3.2", "x"), 3);
    ck_assert_uint_eq (chosen ("lock_manager.TIM3", "x"), 5);
    ck_assert_uint_eq (chosen ("mock_usda", ""), 6);
    ck_assert_uint_eq (chosen ("state_manager.-", ""), 7);
    ck_assert_int_eq (choose ("lock_manager", "x", &link), TIM3_NO_ROUTE);
    ck_assert_int_eq (choose ("token_manager.TIM3", "x", &link), TIM3_NO_ROUTE);
    ck_assert_int_eq (choose ("coordinator.TIM3.3", "x", &link), TIM3_NO_ROUTE);
}
END_TEST

START_TEST (test_rendezvous_moves_only_the_keys_of_the_lost)
{
    unsigned before[200];
    char account[16];
    unsigned uses[LINKS] = {0};
    for (unsigned i = 0; i < 200; i++) {
        snprintf (account, sizeof account, "account%u", i);
        before[i] = chosen ("coordinator.TIM3", account);
        uses[before[i]]++;
    }
    ck_assert (uses[1] > 20 && uses[2] > 20 && uses[3] > 20);
    s_ready[2] = false;
    for (unsigned i = 0; i < 200; i++) {
        snprintf (account, sizeof account, "account%u", i);
        unsigned after = chosen ("coordinator.TIM3", account);
        ck_assert (before[i] == 2 ? after != 2 : after == before[i]);
    }
}
END_TEST

/*  Ledgers of TIM3 that are reached where its second coordinator is, and one of OTHER, whose ledgers are apart.  */
START_TEST (test_the_coordinator_beside_the_ledgers_is_preferred)
{
    unsigned uses[LINKS] = {0};
    char account[16];
    setup_routes ();
    tim3_routes_clear (&s_routes);
    tim3_routes_add (&s_routes, "coordinator.OTHER.0", true, 4);
    tim3_routes_add (&s_routes, "coordinator.OTHER.1", true, 2);
    tim3_routes_add (&s_routes, "coordinator.TIM3.0", true, 1);
    tim3_routes_add (&s_routes, "coordinator.TIM3.1", true, 2);
    tim3_routes_add (&s_routes, "coordinator.TIM3.2", true, 3);
    tim3_routes_add (&s_routes, "lock_manager.OTHER.0", true, 6);
    tim3_routes_add (&s_routes, "lock_manager.TIM3.0", true, 2);
    for (unsigned i = 0; i < 200; i++) {
        snprintf (account, sizeof account, "account%u", i);
        ck_assert_uint_eq (chosen ("coordinator.TIM3", account), 2);
        uses[chosen ("coordinator.OTHER", account)]++;
    }
    ck_assert (uses[4] > 20 && uses[2] > 20);
    ck_assert_uint_eq (chosen ("coordinator.TIM3.0", "x"), 1);
    s_ready[2] = false;
    for (unsigned i = 0; i < 200; i++) {
        snprintf (account, sizeof account, "account%u", i);
        uses[chosen ("coordinator.TIM3", account)]++;
    }
    ck_assert (uses[1] > 20 && uses[3] > 20 && uses[1] + uses[3] == 200);
}
END_TEST

START_TEST (test_full_is_told_from_absent)
{
    unsigned link;
    s_ready[1] = s_ready[2] = s_ready[3] = s_ready[5] = false;
    ck_assert_int_eq (choose ("coordinator.TIM3", "x", &link), TIM3_OVERLOADED);
    ck_assert_int_eq (choose ("lock_manager.TIM3.0", "x", &link), TIM3_OVERLOADED);
    tim3_routes_clear (&s_routes);
    tim3_routes_add (&s_routes, "coordinator.TIM3.0", false, 1);
    ck_assert_int_eq (choose ("coordinator.TIM3", "x", &link), TIM3_NO_ROUTE);
    ck_assert_int_eq (choose ("coordinator.TIM3.0", "x", &link), TIM3_NO_ROUTE);
    s_ready[1] = true;
    ck_assert_int_eq (choose ("coordinator.TIM3.0", "x", &link), TIM3_OK);
}
END_TEST

START_TEST (test_ledgers_are_chosen_by_slot)
{
    char account[16];
    tim3_routes_clear (&s_routes);
    tim3_routes_add (&s_routes, "token_manager.TIM3.0", true, 0);
    tim3_routes_add (&s_routes, "token_manager.TIM3.1", true, 1);
    for (unsigned i = 0; i < 50; i++) {
        snprintf (account, sizeof account, "account%u", i);
        ck_assert_uint_eq (chosen ("token_manager.TIM3", account), tim3_account_shard (account, 2));
    }
}
END_TEST

/*  The configuration tells of shards that have not come by yet; nothing is taken to the wrong one.  */
START_TEST (test_shards_that_are_not_there)
{
    unsigned link;
    char account[16];
    memset (&s_routes, 0, sizeof s_routes);
    tim3_routes_shard (&s_routes, "TIM3", 4);
    tim3_routes_add (&s_routes, "token_manager.TIM3.1", true, 1);
    for (unsigned i = 0; i < 50; i++) {
        snprintf (account, sizeof account, "account%u", i);
        bool there = tim3_account_shard (account, 4) == 1;
        ck_assert_int_eq (choose ("token_manager.TIM3", account, &link), there ? TIM3_OK : TIM3_NO_ROUTE);
    }
    ck_assert_int_eq (choose ("token_manager.TIM3", "", &link), TIM3_INVALID_FIELD);
    ck_assert_int_eq (choose ("token_manager.TIM3.1", "", &link), TIM3_OK);
    memset (&s_routes, 0, sizeof s_routes);
}
END_TEST

/*  Each shard beside a coordinator of its own: the account's comes first.  */
START_TEST (test_the_coordinator_beside_the_shard_is_preferred)
{
    char account[16];
    memset (&s_routes, 0, sizeof s_routes);
    tim3_routes_shard (&s_routes, "TIM3", 2);
    tim3_routes_add (&s_routes, "coordinator.TIM3.0", true, 1);
    tim3_routes_add (&s_routes, "coordinator.TIM3.1", true, 2);
    tim3_routes_add (&s_routes, "coordinator.TIM3.2", true, 3);
    tim3_routes_add (&s_routes, "lock_manager.TIM3.0", true, 1);
    tim3_routes_add (&s_routes, "lock_manager.TIM3.1", true, 2);
    for (unsigned i = 0; i < 50; i++) {
        snprintf (account, sizeof account, "account%u", i);
        ck_assert_uint_eq (chosen ("coordinator.TIM3", account), 1 + tim3_account_shard (account, 2));
    }
    ck_assert_uint_eq (tim3_routes_takers (&s_routes, 0), 2);
    memset (&s_routes, 0, sizeof s_routes);
}
END_TEST

static TCase *add_case (Suite *suite, const char *name, void (*begin) (void), void (*end) (void))
{
    TCase *tests = tcase_create (name);
    tcase_add_checked_fixture (tests, begin, end);
    tcase_set_timeout (tests, 60);
    suite_add_tcase (suite, tests);
    return tests;
}

static void add_registry (TCase *tests)
{
    tcase_add_test (tests, test_registers_and_lists_in_order);
    tcase_add_test (tests, test_generation_rises_only_with_changes);
    tcase_add_test (tests, test_larger_incarnation_supersedes);
    tcase_add_test (tests, test_unknown_heartbeat_must_register);
    tcase_add_test (tests, test_entries_must_agree_with_their_names);
    tcase_add_test (tests, test_all_of_a_registration_or_nothing);
    tcase_add_test (tests, test_nobody_speaks_for_another);
    tcase_add_test (tests, test_silence_is_noticed);
    tcase_add_test (tests, test_the_long_dead_are_forgotten);
    tcase_add_test (tests, test_restart_gives_grace);
    tcase_add_test (tests, test_smaller_incarnation_comes_after_one_that_is_gone);
    tcase_add_test (tests, test_deregister_removes_at_once);
    tcase_add_test (tests, test_registry_is_bounded);
    tcase_add_test (tests, test_discover_filters);
}

static void add_event_log (TCase *tests)
{
    tcase_add_test (tests, test_a_new_source_starts_anywhere);
    tcase_add_test (tests, test_a_new_source_leaves_nothing_out);
    tcase_add_test (tests, test_duplicates_are_skipped);
    tcase_add_test (tests, test_nothing_is_taken_behind_a_gap);
    tcase_add_test (tests, test_another_store_is_another_source);
    tcase_add_test (tests, test_only_own_events_are_taken);
    tcase_add_test (tests, test_unreadable_events_are_refused_whole);
    tcase_add_test (tests, test_the_log_survives_a_restart);
}

static void add_subscriptions (TCase *tests)
{
    tcase_add_test (tests, test_the_first_answer_comes_at_once);
    tcase_add_test (tests, test_events_are_pushed_while_credit_lasts);
    tcase_add_test (tests, test_any_stretch_of_any_rows);
    tcase_add_test (tests, test_a_topic_filters_and_costs_no_credit);
    tcase_add_test (tests, test_a_topic_parts_a_row);
    tcase_add_test (tests, test_a_cursor_moves_over_what_is_not_wanted);
    tcase_add_test (tests, test_stretches_are_bounded_and_continued);
    tcase_add_test (tests, test_the_same_number_replaces);
    tcase_add_test (tests, test_no_credit_ends);
    tcase_add_test (tests, test_subscriptions_lapse);
    tcase_add_test (tests, test_subscriptions_are_bounded);
    tcase_add_test (tests, test_one_leaves_room_to_others);
    tcase_add_test (tests, test_clients_leave_room_to_agents);
    tcase_add_test (tests, test_turns_go_round);
}

/*  ------------------------------------------------------------------------------------------ in flight  */

static tim3_in_flight_t s_flights;
static uint64_t s_flights_ms;

static void flight_add (uint64_t id, uint32_t taker, uint64_t now_ms)
{
    tim3_in_flight_add (&s_flights, (const uint8_t *) "client", 6, id, taker, now_ms * 1000);
}

static void flight_remove (uint64_t id)
{
    tim3_in_flight_remove (&s_flights, (const uint8_t *) "client", 6, id, s_flights_ms * 1000);
}

START_TEST (test_in_flight_ends_with_the_answer)
{
    flight_remove (1); /* nothing is there yet */
    flight_add (1, 3, 0);
    flight_add (2, 3, 0);
    flight_add (2, 3, 0); /* asked again: still one */
    ck_assert_uint_eq (s_flights.takers[3].count, 2);
    flight_add (2, 4, 0); /* asked again, and passed on to another */
    ck_assert_uint_eq (s_flights.takers[3].count, 1);
    ck_assert_uint_eq (s_flights.takers[4].count, 1);
    tim3_in_flight_remove (&s_flights, (const uint8_t *) "others", 6, 1, 0);
    flight_remove (3);
    ck_assert_uint_eq (s_flights.count, 2);
    flight_remove (2);
    flight_remove (2); /* a second answer */
    ck_assert_uint_eq (s_flights.takers[4].count, 0);
    flight_remove (1);
    ck_assert_uint_eq (s_flights.count, 0);
    tim3_in_flight_clear (&s_flights);
}
END_TEST

START_TEST (test_in_flight_ends_with_the_taker_or_with_age)
{
    for (uint64_t i = 0; i < 5000; i++)
        flight_add (i, (uint32_t) (i % 5), i);
    tim3_in_flight_forget (&s_flights, 2);
    ck_assert_uint_eq (s_flights.takers[2].count, 0);
    ck_assert_uint_eq (s_flights.count, 4000);
    for (int i = 0; i < 3; i++)
        tim3_in_flight_expire (&s_flights, 6000000, 2000000);
    ck_assert_uint_eq (s_flights.count, 800); /* those from 4,000 ms on */
    for (uint64_t i = 0; i < 5000; i++)
        flight_remove (i);
    ck_assert_uint_eq (s_flights.count, 0);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_uint_eq (s_flights.takers[i].count, 0);
    tim3_in_flight_clear (&s_flights);
}
END_TEST

/*  Against a model: which of a few ids are in it, and who has them.  */
START_TEST (test_in_flight_as_a_model_has_it)
{
    int model[1500];
    uint32_t counts[4] = {0};
    for (unsigned i = 0; i < 1500; i++)
        model[i] = -1;
    srand (7);
    for (unsigned step = 0; step < 200000; step++) {
        unsigned id = (unsigned) rand () % 1500;
        if (model[id] >= 0)
            counts[model[id]]--;
        if (rand () % 2) {
            model[id] = rand () % 4;
            counts[model[id]]++;
            flight_add (id, (uint32_t) model[id], step);
        } else {
            model[id] = -1;
            flight_remove (id);
        }
        for (unsigned i = 0; i < 4; i++)
            ck_assert_uint_eq (s_flights.takers[i].count, counts[i]);
        ck_assert_uint_eq (s_flights.count, counts[0] + counts[1] + counts[2] + counts[3]);
    }
    tim3_in_flight_clear (&s_flights);
}
END_TEST

/*  A window of 200 ms in which so many are asked for, and answered that much later.  */
static uint32_t limit_after (uint32_t count, uint64_t took_ms)
{
    for (uint64_t i = 0; i < count; i++)
        flight_add (i, 1, s_flights_ms);
    s_flights_ms += took_ms;
    for (uint64_t i = 0; i < count; i++)
        flight_remove (i);
    tim3_in_flight_adapt (&s_flights, 200000, 100000);
    return s_flights.takers[1].limit;
}

START_TEST (test_fewer_are_accepted_while_answers_take_long)
{
    uint32_t limit;
    ck_assert (tim3_in_flight_full (&s_flights, 1)); /* what has no limit gets nothing */
    tim3_in_flight_allow (&s_flights, 1, 8000);
    ck_assert (!tim3_in_flight_full (&s_flights, 1));
    ck_assert_uint_eq (limit_after (8000, 100), 8000); /* in time */
    ck_assert_uint_eq (limit_after (4000, 101), 5000); /* halfway to 20,000 a second, for 100 ms */
    for (int i = 0; i < 20; i++)
        limit = limit_after (4000, 500);
    ck_assert_uint_ge (limit, 2000);
    ck_assert_uint_le (limit, 2001);
    ck_assert_uint_eq (limit_after (0, 0), limit + limit / 4 + 1); /* nobody asks any more */
    tim3_in_flight_allow (&s_flights, 1, 16000);
    ck_assert_uint_lt (s_flights.takers[1].limit, 3000); /* another most says nothing of its speed */
    for (int i = 0; i < 20; i++)
        limit = limit_after (4000, 20);
    ck_assert_uint_eq (limit, 16000);
    for (int i = 0; i < 20; i++)
        limit = limit_after (20, 5000);
    ck_assert_uint_eq (limit, 64); /* and never none */
    tim3_in_flight_allow (&s_flights, 1, 1);
    ck_assert_uint_eq (s_flights.takers[1].limit, 1);
    tim3_in_flight_allow (&s_flights, 1, 0);
    ck_assert (tim3_in_flight_full (&s_flights, 1));
    tim3_in_flight_clear (&s_flights);
}
END_TEST

START_TEST (test_takers_share_what_may_be_in_flight)
{
    setup_routes ();
    ck_assert_uint_eq (tim3_routes_takers (&s_routes, 2), 3); /* coordinators of TIM3 */
    ck_assert_uint_eq (tim3_routes_takers (&s_routes, 5), 1);
    s_routes.items[2].alive = false;
    ck_assert_uint_eq (tim3_routes_takers (&s_routes, 2), 2);
    s_routes.items[3].beside_ledgers = true;
    ck_assert_uint_eq (tim3_routes_takers (&s_routes, 1), 1);
    s_routes.items[1].alive = s_routes.items[3].alive = false;
    ck_assert_uint_eq (tim3_routes_takers (&s_routes, 1), 1);
}
END_TEST

/*  -------------------------------------------------------------------------------------------- unread  */

#define UNREAD_MOST (1 << 20)
#define UNREAD_FRAME 1000
#define UNREAD_COUNT 2048

static tim3_unread_t s_unread;
static tim3_unread_frame_t *s_frames[UNREAD_COUNT];
static unsigned s_frame_count;

/*  For clients with numbers below 1,000; false when that one has as much as it may have.  */
static bool unread_send (unsigned client, size_t size)
{
    static const uint8_t data[UNREAD_MOST];
    char name[8];
    snprintf (name, sizeof name, "%u", client);
    tim3_unread_frame_t *frame =
        tim3_unread_begin (&s_unread, (const uint8_t *) name, strlen (name), data, size);
    if (!frame)
        return false;
    ck_assert_uint_lt (s_frame_count, UNREAD_COUNT);
    s_frames[s_frame_count++] = frame;
    return true;
}

static void unread_fill (unsigned client)
{
    while (unread_send (client, UNREAD_FRAME))
        ;
}

static void unread_read_all (void)
{
    while (s_frame_count > 0) {
        tim3_unread_frame_t *frame = s_frames[--s_frame_count];
        tim3_unread_end (frame->bytes, frame);
    }
    ck_assert_uint_eq (s_unread.total, 0);
}

START_TEST (test_who_does_not_read_gets_a_part_of_what_is_free)
{
    s_unread.most = UNREAD_MOST;
    unread_fill (1);
    ck_assert_uint_le (s_unread.total, UNREAD_MOST / 9);
    ck_assert_uint_ge (s_unread.total, UNREAD_MOST / 9 - 2 * UNREAD_FRAME);
    ck_assert (unread_send (2, UNREAD_FRAME)); /* others have theirs */
    ck_assert (!unread_send (1, UNREAD_FRAME));
    tim3_unread_end (s_frames[0]->bytes, s_frames[0]);
    s_frames[0] = s_frames[--s_frame_count];
    ck_assert (unread_send (1, UNREAD_FRAME / 2)); /* it has read one */
    unread_read_all ();
    ck_assert (!unread_send (1, UNREAD_MOST / 8));
    ck_assert (unread_send (1, UNREAD_MOST / 9));
    unread_read_all ();
}
END_TEST

START_TEST (test_who_reads_finds_room_however_many_do_not)
{
    s_unread.most = UNREAD_MOST;
    for (unsigned client = 1; client < 1000; client++)
        unread_fill (client);
    ck_assert_uint_lt (s_unread.total, UNREAD_MOST);
    ck_assert_uint_gt (s_unread.total, UNREAD_MOST * 9 / 10);
    ck_assert (unread_send (0, UNREAD_FRAME / 2));
    unread_read_all ();
}
END_TEST

Suite *suite_router (void)
{
    Suite *suite = suite_create ("router");
    add_registry (add_case (suite, "registry", setup, teardown));
    add_event_log (add_case (suite, "event_log", setup, teardown));
    add_subscriptions (add_case (suite, "subscriptions", setup, teardown));
    TCase *routes = add_case (suite, "routes", setup_routes, NULL);
    tcase_add_test (routes, test_routes_by_name_shard_and_role);
    tcase_add_test (routes, test_rendezvous_moves_only_the_keys_of_the_lost);
    tcase_add_test (routes, test_the_coordinator_beside_the_ledgers_is_preferred);
    tcase_add_test (routes, test_full_is_told_from_absent);
    tcase_add_test (routes, test_ledgers_are_chosen_by_slot);
    tcase_add_test (routes, test_shards_that_are_not_there);
    tcase_add_test (routes, test_the_coordinator_beside_the_shard_is_preferred);
    tcase_add_test (routes, test_in_flight_ends_with_the_answer);
    tcase_add_test (routes, test_in_flight_ends_with_the_taker_or_with_age);
    tcase_add_test (routes, test_in_flight_as_a_model_has_it);
    tcase_add_test (routes, test_fewer_are_accepted_while_answers_take_long);
    tcase_add_test (routes, test_takers_share_what_may_be_in_flight);
    tcase_add_test (routes, test_who_does_not_read_gets_a_part_of_what_is_free);
    tcase_add_test (routes, test_who_reads_finds_room_however_many_do_not);
    return suite;
}
