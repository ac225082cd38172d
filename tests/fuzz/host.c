/*  host.c - targets for whole hosts: one core over a store in memory, driven by steps that the bytes spell.

    A step is one byte, and what that step takes behind it (see the table of steps). Frames are arbitrary
    bytes; some steps make receipts right, or answer what the core has sent as its peer would, for otherwise
    nothing would ever get past the first check. After every commit all that came out must be readable and the
    store must hold what invariants.c says; no assertion may fail on the way.
*/
#include "evidence.h"
#include "fuzz.h"
#include "sample.h"
#include "../unit/memory_store.h"
#include "../unit/plain.h"
#include "agent/host.h"
#include "../../coordinator/core.h"
#include "../../lock_manager/core.h"
#include "../../mock_usda/core.h"
#include "../../router/core.h"
#include "../../state_manager/core.h"
#include "../../token_manager/core.h"

#include <stdlib.h>
#include <string.h>

#define SECOND 1000000ull
#define STEPS_MOST 200
#define SENT_MOST 64
#define REPLY_FRAME_MAX (8 * 1024 * 1024)
#define ARENA (1024 * 1024)

/*  A request that the core has sent in the last batch that sent any.  */
typedef struct {
    uint64_t id;
    const tim3_message_t *message;
    void *body;
    char address[TIM3_ADDRESS_MAX + 1];
} sent_t;

typedef struct {
    const tim3_core_t *core;
    tim3_settings_t settings;
    tim3_store_t *store;
    tim3_host_t *host;
    uint64_t now_us;
    uint64_t incarnation;
    uint64_t next_id;
    bool told; /* something has been answered, so events may have been acknowledged */
    const uint8_t *at;
    const uint8_t *end;
    sent_t sent[SENT_MOST];
    unsigned sent_count;
    tim3_arena_t sent_arena;
} world_t;

static uint8_t s_sent_memory[ARENA];
static uint8_t s_memory[4 * ARENA];
static _Alignas(16) uint8_t s_object[4096];

/*  --------------------------------------------------------------------------------------- life and death  */

static void set_up (world_t *self)
{
    plain_settings (&self->settings, sample_address (self->core->role));
    self->settings.scale = SAMPLE_SCALE;
    self->settings.in_flight_most = 4;
}

static void start (world_t *self)
{
    tim3_host_options_t options = {.endpoint = "ipc://fuzz", .incarnation = ++self->incarnation};
    strcpy (options.name, self->settings.name);
    memset (options.meta.id.bytes, 9, sizeof options.meta.id.bytes);
    options.meta.schema = TIM3_SCHEMA_VERSION;
    self->host = tim3_host_new (self->core, &self->settings, self->store, &options);
    tim3_host_begin (self->host, self->now_us);
}

/*  --------------------------------------------------------------------------------------- what comes out  */

static void keep_sent (world_t *self, const tim3_envelope_t *envelope, const tim3_message_t *message,
                       const char *address)
{
    tim3_fault_t fault;
    if (self->sent_count == SENT_MOST)
        return;
    void *body = tim3_arena_take (&self->sent_arena, message->shape->size + 1u);
    if (!body || tim3_decode_map (envelope->body, envelope->body_size, message->shape, body,
                                  &self->sent_arena, &fault))
        return;
    sent_t *sent = &self->sent[self->sent_count++];
    *sent = (sent_t){.id = envelope->id, .message = message, .body = body};
    strcpy (sent->address, address);
}

static void check_request (world_t *self, const tim3_envelope_t *envelope, const tim3_message_t *message,
                           const char *address)
{
    tim3_address_t to;
    FUZZ_CHECK (message->of_class == TIM3_CLASS_REQUEST && strlen (address) <= TIM3_ADDRESS_MAX);
    FUZZ_CHECK (tim3_address_parse (address, &to) && message->to & 1u << to.role);
    FUZZ_CHECK (message->from & 1u << self->core->role);
    keep_sent (self, envelope, message, address);
}

/*  A batch that the store did not take lets nothing out but that.  */
static void check_reply (const tim3_envelope_t *envelope, const tim3_message_t *message, bool full)
{
    const tim3_error_t *error = (const tim3_error_t *) (const void *) s_object;
    FUZZ_CHECK (message->of_class == TIM3_CLASS_REPLY);
    FUZZ_CHECK (envelope->type != TIM3_MSG_ERROR || error->code != TIM3_INTERNAL);
    FUZZ_CHECK (!full || (envelope->type == TIM3_MSG_ERROR && error->code == TIM3_STORAGE_FULL));
}

static void check_envelope (world_t *self, const tim3_frame_t *frame, const tim3_envelope_t *envelope,
                            bool full)
{
    const tim3_message_t *message = tim3_message (envelope->type);
    tim3_arena_t arena = {s_memory, sizeof s_memory, 0};
    tim3_fault_t fault;

    FUZZ_CHECK (message && envelope->id != 0);
    FUZZ_CHECK (
        tim3_decode_map (envelope->body, envelope->body_size, message->shape, s_object, &arena, &fault) == 0);
    FUZZ_CHECK (!full || !frame->address);
    if (frame->address)
        check_request (self, envelope, message, frame->address);
    else
        check_reply (envelope, message, full);
}

static void check_frame (world_t *self, const tim3_frame_t *frame, bool full)
{
    const uint8_t *at = frame->data;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    FUZZ_CHECK (frame->size > 0 && frame->size <= (frame->address ? TIM3_FRAME_MAX : REPLY_FRAME_MAX));
    while (tim3_envelope_read (&at, frame->data + frame->size, &envelope, &fault) == 1)
        check_envelope (self, frame, &envelope, full);
    FUZZ_CHECK (at == frame->data + frame->size);
}

/*  Events stay until somebody has said that they are durable elsewhere.  */
static void check_kept (const world_t *self)
{
    tim3_key_t key = tim3_key_text ("event_seq");
    tim3_counter_t counter;
    tim3_store_read (self->store, TIM3_TABLE_COUNTER, &key, &counter);
    if (!self->told)
        FUZZ_CHECK (fuzz_count_events (self->store) == counter.value);
}

static void finish_batch (world_t *self)
{
    const tim3_frame_t *frame;
    bool any = false;
    uint64_t refused = tim3_host_counters (self->host)->storage_full;
    FUZZ_CHECK (tim3_host_commit (self->host) == 0);
    bool full = tim3_host_counters (self->host)->storage_full != refused;
    memory_store_fail_change (self->store, 0);
    while ((frame = tim3_host_next (self->host))) {
        if (frame->address && !any) {
            any = true;
            self->sent_count = 0;
            self->sent_arena.used = 0;
        }
        check_frame (self, frame, full);
    }
    check_kept (self);
    fuzz_check_store (self->core->role, self->store);
    tim3_host_begin (self->host, self->now_us);
}

/*  -------------------------------------------------------------------------------------------- the steps  */

static uint8_t next_byte (world_t *self)
{
    return self->at < self->end ? *self->at++ : 0;
}

/*  The bytes of a frame: two for its size, then as many as there are.  */
static size_t next_frame (world_t *self, const uint8_t **data)
{
    size_t size = next_byte (self);
    size |= (size_t) next_byte (self) << 8;
    size_t left = (size_t) (self->end - self->at);
    *data = self->at;
    size = size < left ? size : left;
    self->at += size;
    return size;
}

/*  Hands in a copy of its own size, so that a tool sees a read past its end.  */
static void hand_in (world_t *self, const tim3_origin_t *origin, const uint8_t *data, size_t size)
{
    char *copy = fuzz_text (data, size);
    tim3_host_take (self->host, origin, (const uint8_t *) copy, size);
    free (copy);
}

static void sign (world_t *self, const tim3_envelope_t *envelope, tim3_buffer_t *buffer)
{
    const tim3_message_t *message = tim3_message (envelope->type);
    tim3_arena_t arena = {s_memory, sizeof s_memory, 0};
    tim3_fault_t fault;
    if (!message ||
        tim3_decode_map (envelope->body, envelope->body_size, message->shape, s_object, &arena, &fault)) {
        tim3_envelope_write_raw (buffer, envelope);
        return;
    }
    evidence_sign (&self->settings, self->store, message, s_object);
    tim3_envelope_write (buffer, envelope, s_object);
}

/*  The frame again, with right receipts in all that can be read of it.  */
static void sign_frame (world_t *self, const uint8_t *data, size_t size, tim3_buffer_t *buffer)
{
    const uint8_t *at = data;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    while (tim3_envelope_read (&at, data + size, &envelope, &fault) == 1)
        sign (self, &envelope, buffer);
    tim3_buffer_append (buffer, at, (size_t) (data + size - at));
}

static void take (world_t *self, const tim3_origin_t *origin, bool signed_right)
{
    const uint8_t *data;
    size_t size = next_frame (self, &data);
    tim3_buffer_t buffer = {0};
    if (signed_right)
        sign_frame (self, data, size, &buffer);
    else
        tim3_buffer_append (&buffer, data, size);
    hand_in (self, origin, buffer.data, buffer.size);
    tim3_buffer_free (&buffer);
}

static void step_take (world_t *self)
{
    uint8_t peer = next_byte (self);
    tim3_origin_t origin = {false, &peer, 1};
    take (self, &origin, false);
}

static void step_take_signed (world_t *self)
{
    uint8_t peer = next_byte (self);
    tim3_origin_t origin = {false, &peer, 1};
    take (self, &origin, true);
}

/*  Whoever answers is taken for the router, whose word counts most.  */
static const char s_router[] = "router.-.0";

static void step_told (world_t *self)
{
    tim3_origin_t origin = {true, (const uint8_t *) s_router, sizeof s_router - 1};
    self->told = true;
    take (self, &origin, true);
}

/*  Hands in one envelope in a batch of its own, as a request or an answer by its class.  */
static void hand_in_alone (world_t *self, const tim3_envelope_t *envelope, const tim3_message_t *message,
                           const void *body)
{
    tim3_origin_t origin = {message->of_class == TIM3_CLASS_REPLY, (const uint8_t *) s_router,
                            sizeof s_router - 1};
    tim3_buffer_t buffer = {0};
    self->told = self->told || origin.answer;
    tim3_envelope_write (&buffer, envelope, body);
    hand_in (self, &origin, buffer.data, buffer.size);
    tim3_buffer_free (&buffer);
    finish_batch (self);
}

/*  The first envelope of a frame, whose body goes to body. NULL when it cannot be read.  */
static const tim3_message_t *next_message (world_t *self, tim3_envelope_t *envelope, uint8_t *body)
{
    static uint8_t memory[ARENA];
    tim3_arena_t arena = {memory, sizeof memory, 0};
    const uint8_t *at;
    tim3_fault_t fault;
    size_t size = next_frame (self, &at);
    if (tim3_envelope_read (&at, at + size, envelope, &fault) != 1)
        return NULL;
    const tim3_message_t *message = tim3_message (envelope->type);
    if (!message ||
        tim3_decode_map (envelope->body, envelope->body_size, message->shape, body, &arena, &fault))
        return NULL;
    return message;
}

/*  Makes evidence wrong: of another asset or vault, for another account or amount, or forged.  */
static void sign_wrong (world_t *self, const tim3_message_t *message, void *body, uint8_t how)
{
    tim3_settings_t settings = self->settings;
    uint8_t *account = (uint8_t *) body + sample_field (message->shape, "account")->offset;
    uint8_t *amount = (uint8_t *) body + sample_field (message->shape, "amount")->offset;
    uint8_t *receipt = (uint8_t *) body + sample_field (message->shape, "receipt")->offset;
    if (how % 4 == 0) {
        strcpy (settings.asset, "EUR3");
        settings.vault_key.bytes[0] ^= 1;
    }
    evidence_sign (&settings, self->store, message, body);
    if (how % 4 == 1)
        account[0] ^= 1;
    else if (how % 4 == 2)
        amount[0] ^= 1;
    else if (how % 4 == 3)
        receipt[how / 4 % sizeof (tim3_mac_t)] ^= 1;
}

/*  A message with wrong evidence changes nothing.  */
static void step_wrong (world_t *self)
{
    static _Alignas(16) uint8_t body[sizeof s_object];
    tim3_envelope_t envelope;
    uint8_t how = next_byte (self);
    const tim3_message_t *message = next_message (self, &envelope, body);
    if (!message || !sample_field (message->shape, "receipt"))
        return;
    finish_batch (self);
    sign_wrong (self, message, body, how);
    uint64_t before = memory_store_digest (self->store);
    hand_in_alone (self, &envelope, message, body);
    FUZZ_CHECK (memory_store_digest (self->store) == before);
}

static bool is_permanent (const tim3_message_t *message)
{
    return message->of_class == TIM3_CLASS_REQUEST &&
           (sample_field (message->shape, "tx") || sample_field (message->shape, "request_id"));
}

/*  What was asked under a permanent id changes nothing when it is asked again, however much later.  */
static void step_again (world_t *self)
{
    static _Alignas(16) uint8_t body[sizeof s_object];
    tim3_envelope_t envelope;
    const tim3_message_t *message = next_message (self, &envelope, body);
    if (!message || !is_permanent (message))
        return;
    finish_batch (self);
    evidence_sign (&self->settings, self->store, message, body);
    hand_in_alone (self, &envelope, message, body);
    self->now_us += 11 * SECOND;
    finish_batch (self); /* begins a batch at the new time, */
    finish_batch (self); /* in which acknowledged events may be deleted */
    uint64_t before = memory_store_digest (self->store);
    hand_in_alone (self, &envelope, message, body);
    FUZZ_CHECK (memory_store_digest (self->store) == before);
}

/*  What else may answer a request, besides what its row in the table says and Error.  */
static uint64_t other_answer (uint64_t type)
{
    switch (type) {
    case TIM3_MSG_LOCK:
        return TIM3_MSG_LOCK_REFUSED;
    case TIM3_MSG_TOKEN_MINT:
    case TIM3_MSG_RESOLVE:
        return TIM3_MSG_VOIDED;
    case TIM3_MSG_VAULT_LOCK:
        return TIM3_MSG_VAULT_REFUSED;
    default:
        return TIM3_MSG_ERROR;
    }
}

/*  Copies the fields that both have, by name and kind.  */
static void echo (const tim3_shape_t *from, const void *asked, const tim3_shape_t *to, void *answer)
{
    static const size_t sizes[] = {
        [TIM3_KIND_U64] = sizeof (uint64_t), [TIM3_KIND_AMOUNT] = sizeof (tim3_amount_t),
        [TIM3_KIND_ID] = sizeof (tim3_id_t), [TIM3_KIND_ENUM] = 1,
        [TIM3_KIND_BOOL] = sizeof (bool),
    };
    for (unsigned i = 0; i < to->count; i++) {
        const tim3_field_t *field = &to->fields[i];
        const tim3_field_t *same = sample_field (from, field->name);
        if (!same || same->kind != field->kind || same->bound != field->bound ||
            field->kind > TIM3_KIND_ENUM || field->kind == TIM3_KIND_MAC)
            continue;
        size_t size = field->kind == TIM3_KIND_STR ? field->bound + 1 : sizes[field->kind];
        memcpy ((uint8_t *) answer + field->offset, (const uint8_t *) asked + same->offset, size);
    }
}

/*  A stretch of the event log that begins where it was asked for.  */
static void fit_events (const tim3_subscribe_t *asked, tim3_events_t *events)
{
    tim3_run_t *runs = (tim3_run_t *) events->items.items;
    events->from = asked->from;
    events->next = asked->from;
    for (uint32_t i = 0; i < events->items.count; i++) {
        runs[i].offset = events->next;
        runs[i].seq = events->next;
        events->next += runs[i].count;
    }
    events->end = events->next + 1;
    memset (events->log.bytes, 7, sizeof events->log.bytes);
}

static void answer (world_t *self, const sent_t *sent, const tim3_message_t *reply, uint64_t seed)
{
    tim3_origin_t origin = {true, (const uint8_t *) sent->address, strlen (sent->address)};
    tim3_envelope_t envelope = {.type = reply->type, .id = self->next_id++, .reply_to = sent->id};
    tim3_buffer_t buffer = {0};
    sample_t sample;

    sample_begin (&sample, seed);
    void *body = sample_body (&sample, reply);
    echo (sent->message->shape, sent->body, reply->shape, body);
    if (reply->type == TIM3_MSG_EVENTS && sent->message->type == TIM3_MSG_SUBSCRIBE)
        fit_events (sent->body, body);
    if (reply->type == TIM3_MSG_ERROR)
        ((tim3_error_t *) body)->request = sent->message->type;
    evidence_sign (&self->settings, self->store, reply, body);
    strcpy (envelope.sender, sent->address);
    strcpy (envelope.recipient, self->settings.name);
    tim3_envelope_write (&buffer, &envelope, body);
    hand_in (self, &origin, buffer.data, buffer.size);
    tim3_buffer_free (&buffer);
}

/*  Answers one of the requests that the core has sent: rightly, otherwise, or with an error.  */
static void step_answer (world_t *self)
{
    uint8_t which = next_byte (self);
    uint8_t how = next_byte (self);
    if (self->sent_count == 0)
        return;
    self->told = true;
    const sent_t *sent = &self->sent[which % self->sent_count];
    uint64_t type = sent->message->reply;
    if (how % 4 == 3)
        type = how % 16 == 3 ? (uint64_t) TIM3_MSG_ERROR : other_answer (sent->message->type);
    answer (self, sent, tim3_message (type), how);
}

static void step_tick (world_t *self)
{
    self->now_us += 1ull << next_byte (self) % 40;
    finish_batch (self);
    tim3_host_tick (self->host);
}

static void step_commit (world_t *self)
{
    finish_batch (self);
}

/*  As after a crash: what is not committed is lost, and so is what the core had in memory.  */
static void step_restart (world_t *self)
{
    tim3_host_destroy (&self->host);
    tim3_store_abort (self->store);
    memory_store_fail_change (self->store, 0);
    fuzz_check_store (self->core->role, self->store);
    start (self);
}

static void step_full (world_t *self)
{
    memory_store_fail_change (self->store, 1u + next_byte (self) % 32);
}

#define STEP_TAKE 0
#define STEP_TAKE_SIGNED 1
#define STEP_TOLD 2
#define STEP_ANSWER 3
#define STEP_TICK 4
#define STEP_COMMIT 5
#define STEP_RESTART 6
#define STEP_FULL 7
#define STEP_WRONG 8
#define STEP_AGAIN 9

static void (*const s_steps[]) (world_t *) = {
    [STEP_TAKE] = step_take,       [STEP_TAKE_SIGNED] = step_take_signed,
    [STEP_TOLD] = step_told,       [STEP_ANSWER] = step_answer,
    [STEP_TICK] = step_tick,       [STEP_COMMIT] = step_commit,
    [STEP_RESTART] = step_restart, [STEP_FULL] = step_full,
    [STEP_WRONG] = step_wrong,     [STEP_AGAIN] = step_again,
};
#define STEPS (sizeof s_steps / sizeof s_steps[0])

static void run (const tim3_core_t *core, const uint8_t *data, size_t size)
{
    static world_t world;
    world = (world_t){.core = core, .now_us = 1000 * SECOND, .next_id = 1, .at = data, .end = data + size};
    world.sent_arena = (tim3_arena_t){s_sent_memory, sizeof s_sent_memory, 0};
    world.store = memory_store_new ();
    set_up (&world);
    start (&world);
    for (int i = 0; i < STEPS_MOST && world.at < world.end; i++)
        s_steps[next_byte (&world) % STEPS](&world);
    finish_batch (&world);
    tim3_host_destroy (&world.host);
    tim3_store_close (&world.store);
}

/*  ------------------------------------------------------------------------------------------------ seeds  */

#define SCENARIOS 24
#define SCENARIO_STEPS 80

static void put (tim3_buffer_t *buffer, uint8_t byte)
{
    tim3_buffer_append (buffer, &byte, 1);
}

/*  A step that takes a frame, with the byte in front of it that most take.  */
static void put_frame (tim3_buffer_t *buffer, uint8_t step, uint8_t byte, const tim3_buffer_t *frame)
{
    put (buffer, step);
    if (step != STEP_AGAIN)
        put (buffer, byte);
    put (buffer, (uint8_t) frame->size);
    put (buffer, (uint8_t) (frame->size >> 8));
    tim3_buffer_append (buffer, frame->data, frame->size);
}

static bool is_request_to (const tim3_message_t *message, tim3_role_t role)
{
    return message->of_class == TIM3_CLASS_REQUEST && message->to & 1u << role;
}

/*  A request that this role takes, drawn; of three, two move an amount, if it takes such.  */
static const tim3_message_t *draw_request (sample_t *sample, tim3_role_t role)
{
    bool moving =
        role != TIM3_ROLE_ROUTER && role != TIM3_ROLE_STATE_MANAGER && seeded_below (&sample->random, 3);
    const tim3_message_t *message;
    do
        message = tim3_message (seeded_below (&sample->random, 200));
    while (!message || !is_request_to (message, role) ||
           (moving && !sample_field (message->shape, "amount")));
    return message;
}

static void put_request (sample_t *sample, tim3_role_t role, const tim3_message_t *message,
                         tim3_buffer_t *buffer)
{
    tim3_buffer_t frame = {0};
    static const uint8_t steps[] = {STEP_TAKE_SIGNED, STEP_TAKE_SIGNED, STEP_TAKE_SIGNED, STEP_TAKE_SIGNED,
                                    STEP_TAKE_SIGNED, STEP_TAKE,        STEP_WRONG,       STEP_AGAIN};
    uint8_t step = steps[seeded_below (&sample->random, sizeof steps)];
    sample_envelope (sample, message, role, &frame);
    put_frame (buffer, step, (uint8_t) seeded_next (&sample->random), &frame);
    tim3_buffer_free (&frame);
}

static void put_step (sample_t *sample, tim3_role_t role, tim3_buffer_t *buffer)
{
    static const uint8_t steps[] = {STEP_TAKE_SIGNED, STEP_TAKE_SIGNED, STEP_TAKE_SIGNED, STEP_TAKE_SIGNED,
                                    STEP_TAKE_SIGNED, STEP_TAKE_SIGNED, STEP_TAKE_SIGNED, STEP_TAKE_SIGNED,
                                    STEP_COMMIT,      STEP_COMMIT,      STEP_ANSWER,      STEP_ANSWER,
                                    STEP_ANSWER,      STEP_ANSWER,      STEP_TICK,        STEP_TICK,
                                    STEP_RESTART,     STEP_FULL};
    uint8_t step = steps[seeded_below (&sample->random, sizeof steps)];
    if (step == STEP_TAKE_SIGNED) {
        put_request (sample, role, draw_request (sample, role), buffer);
        return;
    }
    put (buffer, step);
    if (step == STEP_TICK)
        put (buffer, (uint8_t) (16 + seeded_below (&sample->random, 10)));
    if (step == STEP_FULL || step == STEP_ANSWER)
        put (buffer, (uint8_t) seeded_next (&sample->random));
    if (step == STEP_ANSWER)
        put (buffer, (uint8_t) seeded_next (&sample->random));
}

static void seed (tim3_role_t role, fuzz_keep_fn *keep, void *context)
{
    const tim3_message_t *message;
    sample_t sample;
    for (unsigned i = 0; (message = tim3_message_at (i)); i++) {
        tim3_buffer_t buffer = {0};
        sample_begin (&sample, i);
        if (!is_request_to (message, role))
            continue;
        put_request (&sample, role, message, &buffer);
        keep (context, buffer.data, buffer.size);
        tim3_buffer_free (&buffer);
    }
    for (unsigned i = 0; i < SCENARIOS; i++) {
        tim3_buffer_t buffer = {0};
        sample_begin (&sample, 1000 + i);
        for (unsigned step = 0; step < SCENARIO_STEPS; step++)
            put_step (&sample, role, &buffer);
        keep (context, buffer.data, buffer.size);
        tim3_buffer_free (&buffer);
    }
}

#define HOST(name, ROLE)                                      \
    void fuzz_run_##name (const uint8_t *data, size_t size)   \
    {                                                         \
        run (&tim3_##name##_core, data, size);                \
    }                                                         \
    void fuzz_seed_##name (fuzz_keep_fn *keep, void *context) \
    {                                                         \
        seed (TIM3_ROLE_##ROLE, keep, context);               \
    }
HOST (router, ROUTER)
HOST (coordinator, COORDINATOR)
HOST (lock_manager, LOCK_MANAGER)
HOST (token_manager, TOKEN_MANAGER)
HOST (state_manager, STATE_MANAGER)
HOST (mock_usda, MOCK_USDA)
