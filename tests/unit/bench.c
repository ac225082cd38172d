/*  bench.c - one core on the bench.  */
#include "bench.h"
#include "deadlines.h"
#include "plain.h"
#include "runs.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES_MOST 4096
#define ARENA (64 * 1024 * 1024)

tim3_settings_t bench_settings;
uint64_t bench_now;

static const tim3_core_t *s_core;
static tim3_store_t *s_store;
static tim3_host_t *s_host;
static uint64_t s_incarnation;
static uint64_t s_next_id;
static uint64_t s_last_id;
static tim3_arena_t s_arena;
static unsigned s_taken; /* requests of the batch at hand */
static bench_message_t s_messages[MESSAGES_MOST];
static unsigned s_count;

/*  ---------------------------------------------------------------------------------------- life and death  */

void bench_defaults (const char *name)
{
    plain_settings (&bench_settings, name);
}

static void start (void)
{
    tim3_host_options_t options = {.incarnation = ++s_incarnation};
    strcpy (options.name, bench_settings.name);
    options.meta.id = bench_tx (99);
    options.meta.schema = TIM3_SCHEMA_VERSION;
    s_host = tim3_host_new (s_core, &bench_settings, s_store, &options);
}

void bench_open (const tim3_core_t *core)
{
    s_core = core;
    s_store = memory_store_new ();
    s_arena = (tim3_arena_t){tim3_alloc (ARENA), ARENA, 0};
    s_incarnation = 0;
    s_next_id = 1;
    s_last_id = 0;
    s_count = 0;
    bench_now = BENCH_START;
    start ();
}

void bench_close (void)
{
    tim3_host_destroy (&s_host);
    tim3_store_close (&s_store);
    free (s_arena.data);
}

void bench_restart (void)
{
    tim3_host_destroy (&s_host);
    tim3_store_abort (s_store);
    start ();
}

tim3_store_t *bench_store (void)
{
    return s_store;
}

/*  ------------------------------------------------------------------------------------------- a batch  */

void bench_begin (void)
{
    s_taken = 0;
    tim3_host_begin (s_host, bench_now);
}

/*  A coordinator where one may, for a core is asked by those as a rule; else the first role that may.  */
static void choose_sender (const tim3_message_t *message, char sender[TIM3_ADDRESS_MAX + 1])
{
    static const tim3_role_t order[] = {TIM3_ROLE_COORDINATOR, TIM3_ROLE_CLIENT, TIM3_ROLE_LOCK_MANAGER,
                                        TIM3_ROLE_TOKEN_MANAGER, TIM3_ROLE_STATE_MANAGER};
    for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++)
        if (message->from & 1u << order[i]) {
            if (order[i] == TIM3_ROLE_CLIENT)
                strcpy (sender, "client");
            else
                tim3_address_format (order[i], "TIM3", 0, sender);
            return;
        }
    ck_abort_msg ("nobody may send %s", message->name);
}

static void hand_in (const tim3_origin_t *origin, tim3_envelope_t *envelope, const void *body)
{
    tim3_buffer_t buffer = {0};
    strcpy (envelope->recipient, bench_settings.name);
    if (envelope->id == 0)
        envelope->id = s_next_id++;
    envelope->trace = bench_tx ((uint8_t) (1 + envelope->id % 200));
    tim3_envelope_write (&buffer, envelope, body);
    tim3_host_take (s_host, origin, buffer.data, buffer.size);
    tim3_buffer_free (&buffer);
}

static uint64_t take (const char *peer, uint64_t type, const void *body, uint64_t id)
{
    tim3_origin_t origin = {false, (const uint8_t *) peer, strlen (peer)};
    tim3_envelope_t envelope = {.type = type, .id = id};
    choose_sender (tim3_message (type), envelope.sender);
    s_taken++;
    hand_in (&origin, &envelope, body);
    return envelope.id;
}

uint64_t bench_take (const char *peer, uint64_t type, const void *body)
{
    return take (peer, type, body, 0);
}

void bench_take_again (const char *peer, uint64_t type, const void *body, uint64_t id)
{
    take (peer, type, body, id);
}

void bench_answer (uint64_t reply_to, uint64_t type, const void *body)
{
    tim3_origin_t origin = {.answer = true};
    tim3_envelope_t envelope = {.type = type, .reply_to = reply_to};
    strcpy (envelope.sender, "lock_manager.TIM3.0");
    hand_in (&origin, &envelope, body);
}

void bench_tick (void)
{
    tim3_host_tick (s_host);
}

static void keep (const tim3_frame_t *frame, const tim3_envelope_t *envelope)
{
    bench_message_t *message = &s_messages[s_count++];
    const tim3_shape_t *shape = tim3_message (envelope->type)->shape;
    void *body = tim3_arena_take (&s_arena, shape->size + 1u);
    tim3_fault_t fault;

    ck_assert_uint_lt (s_count, MESSAGES_MOST);
    ck_assert_int_eq (tim3_decode_map (envelope->body, envelope->body_size, shape, body, &s_arena, &fault),
                      0);
    *message = (bench_message_t){.type = envelope->type, .id = envelope->id, .reply_to = envelope->reply_to};
    message->trace = envelope->trace;
    s_last_id = envelope->id > s_last_id ? envelope->id : s_last_id;
    message->answer = frame->address == NULL;
    if (message->answer)
        memcpy (message->to, frame->peer, frame->peer_size);
    else
        strcpy (message->to, frame->address);
    message->body = body;
    message->data = envelope->body;
    message->size = envelope->body_size;
}

int bench_commit (void)
{
    const tim3_frame_t *frame;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    s_count = 0;
    s_arena.used = 0;
    if (tim3_host_commit (s_host))
        return -1;
    while ((frame = tim3_host_next (s_host))) {
        const uint8_t *at = frame->data;
        while (tim3_envelope_read (&at, frame->data + frame->size, &envelope, &fault) == 1)
            keep (frame, &envelope);
        ck_assert_ptr_eq (at, frame->data + frame->size);
    }
    return 0;
}

/*  --------------------------------------------------------------------------------------- what came out  */

unsigned bench_count (void)
{
    return s_count;
}

const bench_message_t *bench_at (unsigned position)
{
    ck_assert_uint_lt (position, s_count);
    return &s_messages[position];
}

unsigned bench_count_of (uint64_t type)
{
    unsigned count = 0;
    for (unsigned i = 0; i < s_count; i++)
        count += s_messages[i].type == type;
    return count;
}

const bench_message_t *bench_nth (uint64_t type, unsigned nth)
{
    for (unsigned i = 0; i < s_count; i++)
        if (s_messages[i].type == type && nth-- == 0)
            return &s_messages[i];
    ck_abort_msg ("there is no such %s", tim3_message (type)->name);
}

const void *bench_sent (uint64_t type)
{
    return bench_nth (type, 0)->body;
}

uint64_t bench_last_id (void)
{
    return s_last_id;
}

/*  ---------------------------------------------------------------------------------------- whole batches  */

void bench_send (uint64_t type, const void *body)
{
    bench_begin ();
    bench_take ("asker", type, body);
    ck_assert_int_eq (bench_commit (), 0);
}

void bench_told (uint64_t reply_to, uint64_t type, const void *body)
{
    bench_begin ();
    bench_answer (reply_to, type, body);
    ck_assert_int_eq (bench_commit (), 0);
}

static const bench_message_t *only_answer (void)
{
    const bench_message_t *answer = NULL;
    for (unsigned i = 0; i < s_count; i++)
        if (s_messages[i].answer) {
            ck_assert_ptr_null (answer);
            answer = &s_messages[i];
        }
    ck_assert_ptr_nonnull (answer);
    return answer;
}

const void *bench_ask (uint64_t type, const void *body, uint64_t answer)
{
    bench_send (type, body);
    const bench_message_t *message = only_answer ();
    if (message->type != answer && message->type == TIM3_MSG_ERROR)
        ck_abort_msg ("%s is refused: %s", tim3_message (type)->name,
                      ((const tim3_error_t *) message->body)->text);
    ck_assert_str_eq (tim3_message (message->type)->name, tim3_message (answer)->name);
    ck_assert_uint_eq (message->reply_to, s_next_id - 1);
    return message->body;
}

const tim3_error_t *bench_refused (uint64_t type, const void *body, tim3_result_t code)
{
    const tim3_error_t *error = bench_ask (type, body, TIM3_MSG_ERROR);
    ck_assert_str_eq (error->name, tim3_result_name (code));
    ck_assert_uint_eq (error->request, type);
    return error;
}

const void *bench_twice (uint64_t type, const void *body)
{
    uint8_t first[1024];
    bench_send (type, body);
    const bench_message_t *message = only_answer ();
    size_t size = message->size;
    uint64_t answer = message->type;
    ck_assert_uint_le (size, sizeof first);
    memcpy (first, message->data, size);
    uint64_t digest = memory_store_digest (s_store);
    bench_now += BENCH_SECOND;
    bench_restart ();
    bench_send (type, body);
    message = only_answer ();
    ck_assert_uint_eq (message->type, answer);
    ck_assert_uint_eq (message->size, size);
    ck_assert_mem_eq (message->data, first, size);
    ck_assert (memory_store_digest (s_store) == digest);
    return message->body;
}

void bench_pass (uint64_t later_us)
{
    bench_now += later_us;
    bench_begin ();
    bench_tick ();
    ck_assert_int_eq (bench_commit (), 0);
}

/*  Only refusals may leave a batch that the store did not take.  */
static void check_full (uint64_t before)
{
    ck_assert_uint_eq (s_count, s_taken);
    for (unsigned i = 0; i < s_count; i++) {
        ck_assert_uint_eq (s_messages[i].type, TIM3_MSG_ERROR);
        ck_assert_uint_eq (((const tim3_error_t *) s_messages[i].body)->code, TIM3_STORAGE_FULL);
    }
    ck_assert (memory_store_digest (s_store) == before);
    ck_assert (tim3_store_error (s_store) == TIM3_STORE_OK);
}

unsigned bench_fill_up (void (*batch) (void))
{
    uint64_t before = memory_store_digest (s_store);
    for (unsigned nth = 1;; nth++) {
        uint64_t full = tim3_host_counters (s_host)->storage_full;
        memory_store_fail_change (s_store, nth);
        bench_begin ();
        batch ();
        ck_assert_int_eq (bench_commit (), 0);
        memory_store_fail_change (s_store, 0);
        if (tim3_host_counters (s_host)->storage_full == full)
            return nth - 1;
        check_full (before);
    }
}

/*  --------------------------------------------------------------------------- events, health and receipts  */

uint64_t bench_events (void)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_event_item_t item;
    tim3_run_t run;
    uint64_t number = 0;
    while (tim3_store_seek (s_store, TIM3_TABLE_OUTBOX, TIM3_SEEK_GT, &key, &run)) {
        ck_assert_uint_eq (run.seq, number + 1);
        number += run.count;
        ck_assert (runs_outbox (s_store, number, &item));
    }
    return number;
}

const void *bench_event (uint64_t number, uint64_t type)
{
    tim3_event_item_t item;
    const tim3_shape_t *shape = tim3_message (type)->shape;
    void *body = tim3_arena_take (&s_arena, shape->size);
    ck_assert (runs_outbox (s_store, number, &item));
    ck_assert_str_eq (tim3_message (item.type)->name, tim3_message (type)->name);
    ck_assert (tim3_event_read (item.type, &item.body, body));
    return body;
}

uint64_t bench_unfinished (tim3_table_t deadlines, tim3_table_t lists)
{
    uint64_t open;
    const char *wrong = deadlines_count (s_store, deadlines, lists, &open);
    ck_assert_msg (!wrong, "%s", wrong);
    return open;
}

uint64_t bench_metric (const char *name)
{
    const tim3_stats_reply_t *stats = bench_ask (TIM3_MSG_STATS, NULL, TIM3_MSG_STATS_REPLY);
    const tim3_metric_t *metrics = stats->metrics.items;
    for (uint32_t i = 0; i < stats->metrics.count; i++)
        if (strcmp (metrics[i].name, name) == 0)
            return (uint64_t) metrics[i].value;
    ck_abort_msg ("there is no metric %s", name);
}

bool bench_has_reason (const char *name)
{
    const tim3_health_reply_t *health = bench_ask (TIM3_MSG_HEALTH, NULL, TIM3_MSG_HEALTH_REPLY);
    const tim3_reason_t *reasons = health->reasons.items;
    for (uint32_t i = 0; i < health->reasons.count; i++)
        if (strcmp (reasons[i].name, name) == 0)
            return true;
    return false;
}

tim3_mac_t bench_evidence (tim3_receipt_kind_t kind, const tim3_id_t *tx, const char *account,
                           tim3_amount_t amount, uint64_t extra)
{
    tim3_claim_t claim = {kind, "TIM3", *tx, account, amount, extra};
    return tim3_receipt_make (&bench_settings.evidence_key, &claim);
}

tim3_mac_t bench_vault (tim3_receipt_kind_t kind, const tim3_id_t *tx, const char *account,
                        tim3_amount_t amount, uint64_t extra)
{
    tim3_claim_t claim = {kind, "TIM3", *tx, account, amount, extra};
    return tim3_receipt_make (&bench_settings.vault_key, &claim);
}

const char *bench_account (unsigned shard, unsigned shards)
{
    static char names[4][16];
    static unsigned next;
    char *name = names[next++ % 4];
    unsigned number = 0;
    do
        snprintf (name, sizeof names[0], "holder%u", number++);
    while (tim3_account_shard (name, shards) != shard);
    return name;
}

tim3_id_t bench_tx (uint8_t byte)
{
    tim3_id_t tx;
    memset (tx.bytes, byte, sizeof tx.bytes);
    return tx;
}
