/*  sample.c - draws valid objects from the message table.  */
#include "sample.h"
#include "wire/run.h"
#include "base/log.h"

#include <string.h>

#define MEMORY (1024 * 1024)
#define ITEMS_MOST 3

static uint8_t s_memory[MEMORY];
static tim3_arena_t s_arena = {s_memory, sizeof s_memory, 0};

static const char *const s_addresses[TIM3_ROLE_COUNT] = {
    [TIM3_ROLE_CLIENT] = "client",
    [TIM3_ROLE_ROUTER] = "router.-.0",
    [TIM3_ROLE_COORDINATOR] = "coordinator.TIM3.0",
    [TIM3_ROLE_LOCK_MANAGER] = "lock_manager.TIM3.0",
    [TIM3_ROLE_TOKEN_MANAGER] = "token_manager.TIM3.0",
    [TIM3_ROLE_STATE_MANAGER] = "state_manager.-.0",
    [TIM3_ROLE_MOCK_USDA] = "mock_usda.USDA.0",
};

/*  What texts of a field's name are drawn from; other fields hold "text".  */
static const struct {
    const char *field;
    const char *words[4];
} s_words[] = {
    {"account", {"alice", "bob", "carol", "alice"}},
    {"to", {"bob", "carol", "dave", "alice"}},
    {"request_id", {"r1", "r2", "r3", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"}},
    {"asset", {"TIM3", "TIM3", "TIM3", "EUR3"}},
    {"vault", {"TIM3", "TIM3", "TIM3", "EUR3"}},
    {"cursor", {"", "", "00", "f"}},
    {"topic", {"", "token", "token.minted.TIM3", "collateral"}},
    {"source",
     {"token_manager.TIM3.0", "token_manager.TIM3.0", "token_manager.TIM3.0", "lock_manager.TIM3.0"}},
    {"name", {"token_manager.TIM3.0", "lock_manager.TIM3.0", "coordinator.TIM3.0", "mock_usda.USDA.0"}},
    {"endpoint", {"ipc://one", "ipc://two", "ipc://three", "ipc://four"}},
    {"capability", {"", "", "tokens", "positions"}},
};

void sample_begin (sample_t *self, uint64_t seed)
{
    *self = (sample_t){.random = {seed}, .next_id = 1, .next_seq = 1};
}

const char *sample_address (tim3_role_t role)
{
    return s_addresses[role];
}

const tim3_field_t *sample_field (const tim3_shape_t *shape, const char *name)
{
    for (unsigned i = 0; i < shape->count; i++)
        if (strcmp (shape->fields[i].name, name) == 0)
            return &shape->fields[i];
    return NULL;
}

static unsigned below (sample_t *self, unsigned most)
{
    return (unsigned) seeded_below (&self->random, most);
}

/*  ---------------------------------------------------------------------------------------------- fields  */

static void *take (size_t size)
{
    void *memory = tim3_arena_take (&s_arena, size);
    TIM3_ASSERT (memory);
    return memory;
}

static void fill (sample_t *self, const tim3_shape_t *shape, void *object);

static void fill_text (sample_t *self, const tim3_field_t *field, char *member)
{
    const char *text = "text";
    for (unsigned i = 0; i < sizeof s_words / sizeof s_words[0]; i++)
        if (strcmp (s_words[i].field, field->name) == 0)
            text = s_words[i].words[below (self, 4)];
    if (strlen (text) <= field->bound)
        strcpy (member, text);
}

static void fill_enum (sample_t *self, const tim3_field_t *field, uint8_t *member)
{
    unsigned count = 0;
    while (field->values[count].name)
        count++;
    do
        *member = field->values[below (self, count)].number;
    while (*member == 0 && field->required);
}

static void fill_list (sample_t *self, const tim3_field_t *field, tim3_list_t *member)
{
    uint32_t count = 1 + below (self, ITEMS_MOST);
    uint8_t *items = take (count * (size_t) field->record->size);
    for (uint32_t i = 0; i < count; i++)
        fill (self, field->record, items + (size_t) i * field->record->size);
    *member = (tim3_list_t){items, count};
}

static void fill_amount (sample_t *self, const tim3_shape_t *shape, void *member)
{
    bool collateral = sample_field (shape, "vault") || shape == &tim3_shape_faucet;
    tim3_amount_t amount = (1 + below (self, 20)) * (collateral ? SAMPLE_SCALE : 1u);
    memcpy (member, &amount, sizeof amount);
}

static void fill_number (sample_t *self, const tim3_field_t *field, uint64_t *member)
{
    *member = 1 + below (self, 9);
    if (strcmp (field->name, "shard") == 0)
        *member = 0;
}

static void fill_field (sample_t *self, const tim3_shape_t *shape, const tim3_field_t *field, void *member)
{
    switch (field->kind) {
    case TIM3_KIND_U64:
        fill_number (self, field, member);
        break;
    case TIM3_KIND_BOOL:
        *(bool *) member = below (self, 2);
        break;
    case TIM3_KIND_AMOUNT:
        fill_amount (self, shape, member);
        break;
    case TIM3_KIND_ID:
        memset (member, (int) (1 + below (self, 6)), sizeof (tim3_id_t));
        break;
    case TIM3_KIND_MAC:
        seeded_fill (&self->random, member, sizeof (tim3_mac_t));
        break;
    case TIM3_KIND_STR:
        fill_text (self, field, member);
        break;
    case TIM3_KIND_ENUM:
        fill_enum (self, field, member);
        break;
    case TIM3_KIND_LIST:
        fill_list (self, field, member);
        break;
    case TIM3_KIND_RAW:
        *(tim3_raw_t *) member = (tim3_raw_t){(const uint8_t *) "\x80", 1};
        break;
    }
}

/*  ---------------------------------------------------------------------------- fields that must agree  */

/*  As a rule one that such a source emits.  */
static const tim3_message_t *draw_event (sample_t *self, const char *source)
{
    const tim3_message_t *message;
    tim3_address_t address;
    bool fitting = tim3_address_parse (source, &address) && below (self, 4) && tim3_role_is_asset_ledger (address.role);
    do
        message = tim3_message (TIM3_MSG_COLLATERAL_LOCKED + below (self, 7));
    while (!message || message->of_class != TIM3_CLASS_EVENT ||
           (fitting && !(message->from & 1u << address.role)));
    return message;
}

static tim3_raw_t draw_events (sample_t *self, const char *source, uint64_t count)
{
    tim3_buffer_t run = {0};
    tim3_run_begin (&run);
    for (uint64_t i = 0; i < count; i++) {
        const tim3_message_t *message = draw_event (self, source);
        void *body = take (message->shape->size);
        fill (self, message->shape, body);
        tim3_run_add (&run, (tim3_type_t) message->type, 1000, body);
    }
    tim3_raw_t raw = tim3_run_end (&run);
    raw.data = memcpy (take (run.size), raw.data, raw.size);
    tim3_buffer_free (&run);
    return raw;
}

static void fill_run (sample_t *self, tim3_run_t *run)
{
    strcpy (run->source, s_addresses[below (self, 2) ? TIM3_ROLE_LOCK_MANAGER : TIM3_ROLE_TOKEN_MANAGER]);
    memset (run->store.bytes, 1, sizeof run->store.bytes);
    run->count = below (self, 4);
    run->seq = self->next_seq;
    run->offset = self->next_seq;
    self->next_seq += run->count;
    run->events = draw_events (self, run->source, run->count);
}

static void fill_publish (sample_t *self, tim3_publish_t *publish)
{
    publish->count = below (self, 4);
    publish->seq = self->next_seq;
    self->next_seq += publish->count;
    publish->events = draw_events (self, publish->source, publish->count);
}

static void fill_agent (tim3_agent_t *agent)
{
    tim3_address_t address;
    TIM3_ASSERT (tim3_address_parse (agent->name, &address));
    agent->role = (uint8_t) address.role;
    strcpy (agent->asset, address.asset);
    agent->shard = (uint64_t) address.shard;
}

/*  Whoever speaks of a transaction speaks of the same account and amount, as a rule.  */
static void fit_to_tx (const tim3_shape_t *shape, void *object)
{
    static const char *const accounts[] = {"alice", "bob", "carol"};
    const tim3_field_t *tx = sample_field (shape, "tx");
    const tim3_field_t *account = sample_field (shape, "account");
    const tim3_field_t *amount = sample_field (shape, "amount");
    if (!tx || !account || !amount)
        return;
    unsigned number = *((uint8_t *) object + tx->offset);
    tim3_amount_t value = 3u * number * (sample_field (shape, "vault") ? SAMPLE_SCALE : 1u);
    strcpy ((char *) object + account->offset, accounts[number % 3]);
    memcpy ((uint8_t *) object + amount->offset, &value, sizeof value);
}

static void fill (sample_t *self, const tim3_shape_t *shape, void *object)
{
    for (unsigned i = 0; i < shape->count; i++)
        fill_field (self, shape, &shape->fields[i], (uint8_t *) object + shape->fields[i].offset);
    if (shape == &tim3_shape_run)
        fill_run (self, object);
    else if (shape == &tim3_shape_publish)
        fill_publish (self, object);
    else if (shape == &tim3_shape_agent)
        fill_agent (object);
    else if (below (self, 8))
        fit_to_tx (shape, object);
}

/*  ------------------------------------------------------------------------------------ whole messages  */

void *sample_object (sample_t *self, const tim3_shape_t *shape)
{
    s_arena.used = 0;
    void *object = take (shape->size + 1u);
    fill (self, shape, object);
    return object;
}

void *sample_body (sample_t *self, const tim3_message_t *message)
{
    return sample_object (self, message->shape);
}

static tim3_role_t draw_role (sample_t *self, uint32_t mask)
{
    tim3_role_t role;
    if (mask == 0)
        return TIM3_ROLE_CLIENT;
    do
        role = (tim3_role_t) below (self, TIM3_ROLE_COUNT);
    while (!(mask & 1u << role));
    return role;
}

void sample_envelope (sample_t *self, const tim3_message_t *message, tim3_role_t to, tim3_buffer_t *buffer)
{
    tim3_envelope_t envelope = {.type = message->type, .id = self->next_id++};
    void *body = sample_body (self, message);
    const tim3_field_t *source = sample_field (message->shape, "source");

    strcpy (envelope.sender, s_addresses[draw_role (self, message->from)]);
    if (source)
        strcpy (envelope.sender, (const char *) body + source->offset);
    strcpy (envelope.recipient, s_addresses[to < TIM3_ROLE_COUNT ? to : draw_role (self, message->to)]);
    envelope.time_us = 1000;
    memset (envelope.trace.bytes, (int) below (self, 3), sizeof envelope.trace.bytes);
    strcpy (envelope.account, below (self, 2) ? "alice" : "");
    envelope.via_size = (uint8_t) (5 * below (self, 2));
    tim3_envelope_write (buffer, &envelope, body);
}
