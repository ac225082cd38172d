/*  client.c - operations and their answers. Every operation is asked for under its own request id until the
    answer is final; some ids are used twice on purpose, for something else.  */
#include "client.h"
#include "model.h"
#include "network.h"

#include <stdio.h>
#include <string.h>

#define OPERATIONS_MAX 512
#define ATTEMPTS 100000               /* message ids tell operation and attempt ... */
#define LOOKS (ATTEMPTS * 1000000ull) /* ... or, above this, an operation that is looked up ... */
#define QUERIES (2 * LOOKS)           /* ... or, above this, that anything is asked */
#define ACCOUNTS_MAX 16
#define OF_COLLATERAL SIM_ASSETS_MAX /* "asset" of what only the collateral token knows */

/*  What an answer says, without what may differ.  */
typedef struct {
    bool final;
    unsigned code;
    tim3_amount_t balance;
    tim3_amount_t to_balance;
    tim3_amount_t supply;
    tim3_amount_t available;
    tim3_amount_t needed;
    uint64_t time_us;
} answer_t;

typedef struct {
    tim3_type_t type;
    sim_payload_t payload;
    unsigned shard; /* that a control is sent to */
    char request_id[48];
    uint64_t at_us; /* first asked */
    uint32_t attempts;
    unsigned first_node;
    unsigned last_node;
    uint32_t first_life;
    bool again;   /* asked once more during the faults */
    bool decided; /* its answer was there when it was looked up */
    bool verified;
    bool marked;    /* completed when the backup that is being made began */
    bool backed_up; /* completed when the last good backup began */
    answer_t answer;
} operation_t;

static operation_t s_operations[OPERATIONS_MAX];
static unsigned s_count;

static uint64_t below (uint64_t bound)
{
    return sim_random_below (&sim.client_random, bound);
}

const char *sim_client_account (unsigned number)
{
    static const char *const names[ACCOUNTS_MAX] = {"alice",  "bob",   "carol",  "dave", "erin",    "frank",
                                                    "grace",  "heidi", "ivan",   "judy", "mallory", "niaj",
                                                    "olivia", "peggy", "rupert", "sybil"};
    return names[number % ACCOUNTS_MAX];
}

/*  ---------------------------------------------------------------------------------------------- drawing  */

/*  Some accounts are much busier than others.  */
static const char *draw_account (void)
{
    uint64_t scale = 1u << 20;
    uint64_t u = below (scale);
    return sim_client_account ((unsigned) (sim.options.accounts * (u * u / scale) / scale));
}

static tim3_amount_t draw_amount (unsigned asset, uint64_t most)
{
    unsigned decimals = asset == OF_COLLATERAL ? 18 : sim.assets[asset].decimals;
    bool top = sim.options.rich && (asset == OF_COLLATERAL || asset == 0);
    if (top && below (3) == 0)
        return (tim3_amount_t) (1 + below (7)) << 124;
    if (below (200) == 0)
        return (tim3_amount_t) 1 << 127;
    return (1 + below (most)) * tim3_amount_pow10 (decimals) + (decimals ? below (3) : 0);
}

static tim3_id_t draw_tx (const operation_t *operation)
{
    const sim_payload_t *payload = &operation->payload;
    const char *asset = payload->asset == OF_COLLATERAL ? "USDA" : sim.assets[payload->asset].name;
    const char *account = operation->type == TIM3_MSG_CONTROL ? "!control" : payload->account;
    return tim3_tx_id (asset, account, operation->request_id);
}

static bool is_alike (const operation_t *a, const operation_t *b)
{
    return (a->type == TIM3_MSG_CONTROL) == (b->type == TIM3_MSG_CONTROL) &&
           (a->payload.asset == OF_COLLATERAL) == (b->payload.asset == OF_COLLATERAL) &&
           (a->type != TIM3_MSG_CONTROL || (a->shard == b->shard && a->payload.asset == b->payload.asset));
}

/*  Takes the id of another operation, soon after it, for something that is, as a rule, not the same. The id
    belongs to an account of an asset, so these are taken along.  */
static void reuse_id (operation_t *operation, unsigned number)
{
    const operation_t *other = &s_operations[number - 1 - below (number < 12 ? number : 12)];
    if (!is_alike (operation, other))
        return;
    operation->payload.asset = other->payload.asset;
    if (operation->type != TIM3_MSG_CONTROL)
        strcpy (operation->payload.account, other->payload.account);
    strcpy (operation->request_id, other->request_id);
    if (operation->type != TIM3_MSG_CONTROL)
        operation->at_us = other->at_us + below (4 * SIM_SECOND);
    sim.counters.ids_reused++;
}

/*  Every other one tells its time, so that half of all ids of transactions grow.  */
static void name_request (operation_t *operation, unsigned number, uint64_t at_us)
{
    unsigned long long ms = at_us / 1000;
    if (number % 2 == 0)
        snprintf (operation->request_id, sizeof operation->request_id, "r%u", number);
    else
        snprintf (operation->request_id, sizeof operation->request_id, "%08llx-%04llx-7000-8000-%012x",
                  ms >> 16 & 0xffffffff, ms & 0xffff, number);
}

static void add (operation_t *operation, uint64_t at_us)
{
    unsigned number = s_count++;
    name_request (operation, number, at_us);
    operation->at_us = at_us;
    if (number > 0 && sim_random_chance (&sim.client_random, sim.options.reuse_permille))
        reuse_id (operation, number);
    operation->payload.tx = draw_tx (operation);
    operation->again = below (6) == 0;
    s_operations[number] = *operation;
    if (operation->payload.asset != OF_COLLATERAL)
        sim_model_expect (&operation->payload);
    sim_after (operation->at_us, SIM_EVENT_CALL, number, 0);
    if (operation->payload.kind && operation->type != TIM3_MSG_CONTROL && below (4) == 0)
        sim_after (operation->at_us + below (5 * SIM_SECOND), SIM_EVENT_LOOK, number, 0);
}

static void draw_faucet (const char *account, uint64_t most, uint64_t at_us)
{
    operation_t operation = {.type = TIM3_MSG_FAUCET};
    operation.payload.asset = OF_COLLATERAL;
    operation.payload.amount = draw_amount (OF_COLLATERAL, most);
    strcpy (operation.payload.account, account);
    add (&operation, at_us);
}

static void draw_collateral_transfer (uint64_t at_us)
{
    operation_t operation = {.type = TIM3_MSG_COLLATERAL_TRANSFER};
    operation.payload.asset = OF_COLLATERAL;
    operation.payload.amount = draw_amount (OF_COLLATERAL, 300);
    strcpy (operation.payload.account, draw_account ());
    strcpy (operation.payload.to, draw_account ());
    add (&operation, at_us);
}

/*  Of another shard rather more often than by chance.  */
static const char *draw_receiver (unsigned asset, const char *account)
{
    unsigned count = sim.assets[asset].shard_count;
    const char *to = draw_account ();
    for (int i = 0; i < 4 && tim3_account_shard (to, count) == tim3_account_shard (account, count); i++)
        to = draw_account ();
    return to;
}

static void draw_money (tim3_type_t type, unsigned kind, uint64_t most, uint64_t at_us)
{
    operation_t operation = {.type = type};
    unsigned asset = (unsigned) below (sim.asset_count);
    operation.payload.asset = asset;
    operation.payload.kind = kind;
    operation.payload.amount = draw_amount (asset, most);
    strcpy (operation.payload.account, draw_account ());
    if (type == TIM3_MSG_TRANSFER)
        strcpy (operation.payload.to, draw_receiver (asset, operation.payload.account));
    add (&operation, at_us);
}

static void add_shard_control (unsigned asset, unsigned shard, unsigned control, const char *account, tim3_amount_t amount,
                               uint64_t at_us)
{
    operation_t operation = {.type = TIM3_MSG_CONTROL, .shard = shard};
    operation.payload.asset = asset;
    operation.payload.kind = TIM3_TX_KIND_CONTROL;
    operation.payload.control = control;
    operation.payload.amount = amount;
    strcpy (operation.payload.account, account);
    add (&operation, at_us);
}

/*  What concerns the asset is told to each of its shards.  */
static void add_control (unsigned asset, unsigned control, const char *account, tim3_amount_t amount, uint64_t at_us)
{
    unsigned count = sim.assets[asset].shard_count;
    if (account[0]) {
        add_shard_control (asset, tim3_account_shard (account, count), control, account, amount, at_us);
        return;
    }
    for (unsigned shard = 0; shard < count; shard++)
        add_shard_control (asset, shard, control, account, amount, at_us);
}

/*  What is paused is unpaused some time later, and so on.  */
static void draw_control (uint64_t at_us)
{
    unsigned asset = (unsigned) below (sim.asset_count);
    uint64_t end_us = at_us + below (5 * SIM_SECOND);
    const char *account = draw_account ();
    switch (below (3)) {
    case 0:
        add_control (asset, TIM3_CONTROL_PAUSE, "", 0, at_us);
        add_control (asset, TIM3_CONTROL_UNPAUSE, "", 0, end_us);
        break;
    case 1:
        add_control (asset, TIM3_CONTROL_FREEZE, account, 0, at_us);
        add_control (asset, TIM3_CONTROL_UNFREEZE, account, 0, end_us);
        break;
    default:
        add_control (asset, TIM3_CONTROL_CAP, "", draw_amount (asset, 2000), at_us);
        add_control (asset, TIM3_CONTROL_CAP, "", TIM3_AMOUNT_MAX, end_us);
    }
}

static void draw_one (uint64_t at_us)
{
    uint64_t choice = below (100);
    if (choice < 40)
        draw_money (TIM3_MSG_MINT, TIM3_TX_KIND_MINT, 500, at_us);
    else if (choice < 65)
        draw_money (TIM3_MSG_REDEEM, TIM3_TX_KIND_REDEEM, 300, at_us);
    else if (choice < 90)
        draw_money (TIM3_MSG_TRANSFER, TIM3_TX_KIND_TRANSFER, 200, at_us);
    else if (choice < 95)
        draw_faucet (draw_account (), 500, at_us);
    else
        draw_collateral_transfer (at_us);
}

/*  One who mints and redeems most of all money there can be, until the sum of all mints cannot take more.  */
static void draw_churn (void)
{
    operation_t mint = {.type = TIM3_MSG_MINT};
    bool hurried = below (2);
    uint64_t step = hurried ? SIM_SECOND / 3 + below (SIM_SECOND) : sim.options.window_us / 12;
    mint.payload.kind = TIM3_TX_KIND_MINT;
    mint.payload.amount = (tim3_amount_t) (below (2) ? 3 : 7) << 125;
    strcpy (mint.payload.account, sim_client_account (0));
    for (unsigned i = 1; i < 12; i++) {
        operation_t redeem = mint;
        operation_t copy = mint;
        redeem.type = TIM3_MSG_REDEEM;
        redeem.payload.kind = TIM3_TX_KIND_REDEEM;
        add (&copy, i * step);
        add (&redeem, i * step + step / 2);
    }
}

static void draw_first_faucet (unsigned number)
{
    operation_t operation = {.type = TIM3_MSG_FAUCET};
    operation.payload.asset = OF_COLLATERAL;
    operation.payload.amount = (tim3_amount_t) 7 << 125;
    strcpy (operation.payload.account, sim_client_account (number));
    if (sim.options.rich && number == 0)
        add (&operation, below (SIM_SECOND));
    else
        draw_faucet (operation.payload.account, 2000, below (SIM_SECOND));
}

void sim_client_draw (void)
{
    for (unsigned i = 0; i < sim.options.accounts; i++)
        draw_first_faucet (i);
    if (sim.options.rich)
        draw_churn ();
    for (uint64_t i = 0; i < sim.options.operations; i++)
        draw_one (below (sim.options.window_us));
    for (uint64_t i = 0; i < sim.options.controls; i++)
        draw_control (below (sim.options.window_us));
    for (uint64_t i = 0; i < sim.options.queries; i++)
        sim_after (below (sim.options.window_us), SIM_EVENT_QUERY, 0, 0);
    sim.counters.operations = s_count;
}

/*  ----------------------------------------------------------------------------------------------- asking  */

typedef union {
    tim3_mint_t mint;
    tim3_redeem_t redeem;
    tim3_transfer_t transfer;
    tim3_faucet_t faucet;
    tim3_control_t control;
} body_t;

/*  Mint, Redeem and Faucet have the same fields in the same places.  */
_Static_assert(sizeof (tim3_mint_t) == sizeof (tim3_faucet_t) &&
                   sizeof (tim3_mint_t) == sizeof (tim3_redeem_t),
               "the three look alike");

static void fill_body (const operation_t *operation, body_t *body)
{
    const sim_payload_t *payload = &operation->payload;
    memset (body, 0, sizeof *body);
    if (operation->type == TIM3_MSG_CONTROL) {
        body->control.control = (uint8_t) payload->control;
        body->control.amount = payload->amount;
        strcpy (body->control.account, payload->account);
        strcpy (body->control.request_id, operation->request_id);
    } else if (operation->type == TIM3_MSG_TRANSFER || operation->type == TIM3_MSG_COLLATERAL_TRANSFER) {
        body->transfer.amount = payload->amount;
        strcpy (body->transfer.account, payload->account);
        strcpy (body->transfer.to, payload->to);
        strcpy (body->transfer.request_id, operation->request_id);
    } else {
        body->mint.amount = payload->amount;
        strcpy (body->mint.account, payload->account);
        strcpy (body->mint.request_id, operation->request_id);
    }
}

/*  By account as long as it has not failed; then any other that is up, if there is one.  */
static unsigned choose_coordinator (const operation_t *operation)
{
    const sim_asset_t *asset = &sim.assets[operation->payload.asset];
    const char *account = operation->payload.account;
    if (operation->attempts == 0)
        return asset->coordinators[tim3_hash64 (account, strlen (account), 0) % asset->coordinator_count];
    for (int i = 0; i < 8; i++) {
        unsigned node = asset->coordinators[below (asset->coordinator_count)];
        if (sim.processes[node].host && (node != operation->last_node || asset->coordinator_count == 1))
            return node;
    }
    return asset->coordinators[below (asset->coordinator_count)];
}

static unsigned choose_node (const operation_t *operation)
{
    if (operation->payload.asset == OF_COLLATERAL)
        return SIM_USDA;
    if (operation->type == TIM3_MSG_CONTROL)
        return sim.assets[operation->payload.asset].token_managers[operation->shard];
    return choose_coordinator (operation);
}

static void note_attempt (operation_t *operation, unsigned node)
{
    if (operation->attempts++ == 0) {
        operation->first_node = node;
        operation->first_life = sim.processes[node].life;
    } else if (!operation->answer.final) {
        sim.counters.retried++;
        sim.counters.retried_elsewhere += node != operation->last_node;
    }
    operation->last_node = node;
}

/*  As the router passes it on: the way back is by what the front has written into via.  */
static void send (unsigned node, tim3_type_t type, uint64_t id, const tim3_id_t *tx, const void *body)
{
    tim3_envelope_t envelope = {.type = type, .id = id, .via_size = sizeof id};
    tim3_buffer_t buffer = {0};
    memcpy (envelope.via, &id, sizeof id);
    strcpy (envelope.sender, "client");
    strcpy (envelope.recipient, sim.processes[node].name);
    tim3_envelope_write (&buffer, &envelope, body);
    sim_trace (tim3_message (type)->name, sim.front, node, id, tx);
    sim_network_send (sim_frame_new (sim.front, node, false, buffer.data, buffer.size));
    tim3_buffer_free (&buffer);
}

void sim_client_look (unsigned number)
{
    operation_t *operation = &s_operations[number];
    tim3_get_transaction_t ask = {.tx = operation->payload.tx};
    /* who makes up txs can use one in several shards; whoever says the account gets what that account's has */
    strcpy (ask.account, operation->payload.account);
    operation->decided = operation->answer.final && operation->answer.code == TIM3_OK;
    send (choose_coordinator (operation), TIM3_MSG_GET_TRANSACTION, LOOKS + number, &ask.tx, &ask);
}

/*  Asks anybody something that anybody must be able to answer.  */
void sim_client_query (void)
{
    static const tim3_type_t types[] = {TIM3_MSG_INFO, TIM3_MSG_HEALTH, TIM3_MSG_STATS, TIM3_MSG_CONFIG_GET};
    send ((unsigned) below (sim.process_count), types[below (4)], QUERIES, NULL, "");
}

void sim_client_call (unsigned number)
{
    operation_t *operation = &s_operations[number];
    unsigned node = choose_node (operation);
    body_t body;
    fill_body (operation, &body);
    note_attempt (operation, node);
    send (node, operation->type, (uint64_t) (number + 1) * ATTEMPTS + operation->attempts,
          &operation->payload.tx, &body);
    uint64_t patience =
        sim.settling ? 3 * SIM_SECOND : sim_random_between (&sim.client_random, SIM_SECOND, 4 * SIM_SECOND);
    sim_after (patience, SIM_EVENT_TIMEOUT, number, operation->attempts);
}

static bool is_waiting (const operation_t *operation)
{
    return !operation->answer.final || (sim.settling && !operation->verified);
}

void sim_client_timeout (unsigned number, uint32_t attempt)
{
    operation_t *operation = &s_operations[number];
    if (operation->attempts == attempt && is_waiting (operation))
        sim_client_call (number);
}

/*  ---------------------------------------------------------------------------------------------- answers  */

static bool decode (const tim3_envelope_t *envelope, void *body)
{
    tim3_arena_t none = {0};
    tim3_fault_t fault;
    return tim3_decode_map (envelope->body, envelope->body_size, tim3_message (envelope->type)->shape, body,
                            &none, &fault) == 0;
}

static answer_t read_error (const tim3_error_t *error)
{
    tim3_advice_t advice = tim3_result_advice ((unsigned) error->code);
    answer_t answer = {
        .code = (unsigned) error->code, .available = error->available, .needed = error->needed};
    answer.final = advice == TIM3_ADVICE_FINAL || advice == TIM3_ADVICE_RETRY_NEW_ID;
    if (error->code < SIM_RESULTS_MAX)
        sim.counters.answers[error->code]++;
    return answer;
}

static answer_t read_transaction (const tim3_transaction_t *record)
{
    answer_t answer = {.final = true, .balance = record->balance, .to_balance = record->to_balance};
    SIM_CHECK (record->status == TIM3_TX_STATUS_COMPLETED, "an answer is final", "status %u", record->status);
    answer.supply = record->supply;
    answer.time_us = record->time_us;
    return answer;
}

static answer_t read_answer (const tim3_envelope_t *envelope)
{
    union {
        tim3_error_t error;
        tim3_transaction_t transaction;
        tim3_collateral_moved_t moved;
    } body;
    SIM_CHECK (decode (envelope, &body), "answers can be read", "type %llu",
               (unsigned long long) envelope->type);
    switch (envelope->type) {
    case TIM3_MSG_ERROR:
        return read_error (&body.error);
    case TIM3_MSG_TRANSACTION:
        return read_transaction (&body.transaction);
    default:
        SIM_CHECK (envelope->type == TIM3_MSG_COLLATERAL_MOVED, "answers fit the question", "type %llu",
                   (unsigned long long) envelope->type);
        return (answer_t){.final = true, .balance = body.moved.balance};
    }
}

static bool same_answer (const answer_t *a, const answer_t *b)
{
    return a->code == b->code && a->balance == b->balance && a->to_balance == b->to_balance &&
           a->supply == b->supply && a->available == b->available && a->needed == b->needed &&
           a->time_us == b->time_us;
}

static const sim_fate_t *fate_of (const operation_t *operation)
{
    const sim_payload_t *payload = &operation->payload;
    if (payload->asset == OF_COLLATERAL)
        return NULL;
    bool control = operation->type == TIM3_MSG_CONTROL;
    unsigned shard = tim3_account_shard (payload->account, sim.assets[payload->asset].shard_count);
    return sim_model_fate (payload->asset, control ? operation->shard : shard, &payload->tx);
}

static bool happened (const operation_t *operation)
{
    const sim_fate_t *fate = fate_of (operation);
    return fate && fate->decided && fate->code == TIM3_OK &&
           sim_model_same (&fate->payload, &operation->payload);
}

/*  Whoever is told that it is done may rely on it, whatever crashes next.  */
static void check_completed (const operation_t *operation, const answer_t *answer)
{
    const sim_fate_t *fate = fate_of (operation);
    SIM_CHECK (happened (operation), "completed = exactly one effect",
               "%s %s for %s was answered, and is not durable", tim3_message (operation->type)->name,
               operation->request_id, operation->payload.account);
    SIM_CHECK (operation->type != TIM3_MSG_REDEEM || fate->released_burn, "redeemed = paid out", "%s for %s",
               operation->request_id, operation->payload.account);
    SIM_CHECK (answer->balance == fate->balance && answer->to_balance == fate->to_balance &&
                   answer->supply == fate->supply,
               "the model agrees with every answer", "%s for %s", operation->request_id,
               operation->payload.account);
}

static bool overflows_collateral (const operation_t *operation)
{
    tim3_amount_t product;
    return operation->type == TIM3_MSG_MINT &&
           !tim3_amount_mul (operation->payload.amount, sim.assets[operation->payload.asset].scale, &product);
}

/*  Whether what a tx was decided about is this. A refused transfer's event does not tell the receiver.  */
static bool is_about (const operation_t *operation, const sim_fate_t *fate)
{
    sim_payload_t payload = operation->payload;
    if (!fate || !fate->decided)
        return false;
    if (fate->payload.to[0] == '\0')
        payload.to[0] = '\0';
    return sim_model_same (&payload, &fate->payload);
}

/*  Refused whatever the ledger holds.  */
static bool is_wrong_in_itself (const operation_t *operation, unsigned code)
{
    if (code == TIM3_SAME_ACCOUNT)
        return strcmp (operation->payload.account, operation->payload.to) == 0;
    return code == TIM3_INVALID_AMOUNT && overflows_collateral (operation);
}

static void check_refused (const operation_t *operation, const answer_t *answer)
{
    const sim_fate_t *fate = fate_of (operation);
    bool reused = answer->code == TIM3_ID_REUSED;
    const char *type = tim3_message (operation->type)->name;
    const char *code = tim3_result_name (answer->code);
    SIM_CHECK (!happened (operation), "refused = no effect", "%s %s for %s was refused with %s, and happened",
               type, operation->request_id, operation->payload.account, code);
    if (is_wrong_in_itself (operation, answer->code))
        return;
    if (reused && operation->type != TIM3_MSG_TRANSFER)
        SIM_CHECK (!is_about (operation, fate), "an id is reused only by something else", "%s %s for %s",
                   type, operation->request_id, operation->payload.account);
    if (!reused)
        SIM_CHECK (is_about (operation, fate) && fate->code == answer->code,
                   "the model agrees with every answer", "%s %s for %s was refused with %s", type,
                   operation->request_id, operation->payload.account, code);
}

static void check_answer (const operation_t *operation, const answer_t *answer)
{
    if (operation->payload.asset == OF_COLLATERAL)
        return;
    if (answer->code == TIM3_OK)
        check_completed (operation, answer);
    else
        check_refused (operation, answer);
}

static void note_first (operation_t *operation, const answer_t *answer)
{
    sim.counters.completed += answer->code == TIM3_OK;
    sim.counters.refused += answer->code != TIM3_OK;
    if (operation->last_node != operation->first_node &&
        sim.processes[operation->first_node].life != operation->first_life)
        sim.counters.resumed_elsewhere++;
    operation->answer = *answer;
}

static void take_final (operation_t *operation, const answer_t *answer)
{
    unsigned number = (unsigned) (operation - s_operations);
    check_answer (operation, answer);
    if (!operation->answer.final)
        note_first (operation, answer);
    SIM_CHECK (same_answer (&operation->answer, answer), "the same id gets the same answer",
               "%s %s for %s: %s, then %s", tim3_message (operation->type)->name, operation->request_id,
               operation->payload.account, tim3_result_name (operation->answer.code),
               tim3_result_name (answer->code));
    operation->verified = operation->verified || sim.settling;
    if (operation->again && !sim.settling) {
        operation->again = false;
        sim.counters.asked_again++;
        sim_after (below (10 * SIM_SECOND), SIM_EVENT_CALL, number, 0);
    }
}

/*  What a look-up tells is what the model knows.  */
static void check_record (const operation_t *operation, const tim3_transaction_t *record)
{
    const sim_fate_t *fate = fate_of (operation);
    sim.counters.looked_up++;
    sim.counters.looked_up_pending += record->status == TIM3_TX_STATUS_PENDING;
    if (record->status == TIM3_TX_STATUS_PENDING)
        return;
    SIM_CHECK (fate && fate->decided && fate->code == record->code && fate->payload.kind == record->kind &&
                   fate->payload.amount == record->amount && fate->balance == record->balance,
               "the model agrees with every look-up", "%s of %s", operation->request_id,
               operation->payload.account);
}

static void take_look (uint64_t number, const tim3_envelope_t *envelope)
{
    union {
        tim3_error_t error;
        tim3_transaction_t transaction;
    } body;
    SIM_CHECK (number < s_count && decode (envelope, &body), "answers can be read", "look-up %llu",
               (unsigned long long) number);
    const operation_t *operation = &s_operations[number];
    if (envelope->type == TIM3_MSG_TRANSACTION)
        check_record (operation, &body.transaction);
    else
        SIM_CHECK (body.error.code != TIM3_NOT_FOUND || !operation->decided, "what is done can be looked up",
                   "%s of %s", operation->request_id, operation->payload.account);
}

static void take_one (const tim3_envelope_t *envelope)
{
    if (envelope->reply_to >= QUERIES) {
        sim.counters.queries_answered++;
        return;
    }
    if (envelope->reply_to >= LOOKS) {
        take_look (envelope->reply_to - LOOKS, envelope);
        return;
    }
    uint64_t number = envelope->reply_to / ATTEMPTS - 1;
    SIM_CHECK (envelope->reply_to >= ATTEMPTS && number < s_count, "answers fit the question",
               "reply to %llu", (unsigned long long) envelope->reply_to);
    operation_t *operation = &s_operations[number];
    answer_t answer = read_answer (envelope);
    sim_trace (tim3_result_name (answer.code), sim.front, sim.front, envelope->reply_to,
               &operation->payload.tx);
    if (answer.final)
        take_final (operation, &answer);
    else
        sim_after (sim_random_between (&sim.client_random, 20 * SIM_MS, SIM_SECOND), SIM_EVENT_TIMEOUT,
                   (unsigned) number, (uint32_t) (envelope->reply_to % ATTEMPTS));
}

void sim_client_take (const sim_frame_t *frame)
{
    const uint8_t *at = frame->data;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    while (tim3_envelope_read (&at, frame->data + frame->size, &envelope, &fault) == 1)
        take_one (&envelope);
}

/*  ---------------------------------------------------------------------------------------------- the end  */

void sim_client_verify (void)
{
    for (unsigned i = 0; i < s_count; i++)
        sim_after (below (2 * SIM_SECOND), SIM_EVENT_CALL, i, 0);
}

unsigned sim_client_open (void)
{
    unsigned open = 0;
    for (unsigned i = 0; i < s_count; i++)
        open += !s_operations[i].verified;
    return open;
}

bool sim_client_done (void)
{
    return sim_client_open () == 0;
}

/*  Whether an operation of the collateral token is the first that has its tx.  */
static bool is_first (unsigned number)
{
    for (unsigned i = 0; i < number; i++)
        if (s_operations[i].answer.code == TIM3_OK &&
            tim3_id_equal (&s_operations[i].payload.tx, &s_operations[number].payload.tx))
            return false;
    return true;
}

static tim3_amount_t expected_holding (const char *account)
{
    tim3_amount_t sum = 0;
    for (unsigned i = 0; i < s_count; i++) {
        const sim_payload_t *payload = &s_operations[i].payload;
        if (payload->asset != OF_COLLATERAL || s_operations[i].answer.code != TIM3_OK || !is_first (i))
            continue;
        bool faucet = s_operations[i].type == TIM3_MSG_FAUCET;
        bool own = strcmp (payload->account, account) == 0;
        sum += own && faucet ? payload->amount : 0;
        sum -= own && !faucet ? payload->amount : 0;
        sum += !faucet && strcmp (payload->to, account) == 0 ? payload->amount : 0;
    }
    return sum;
}

static tim3_amount_t moved_by_vaults (const char *account)
{
    const sim_fate_t *fate;
    tim3_amount_t sum = 0;
    for (unsigned i = 0; (fate = sim_model_fate_at (i)); i++) {
        tim3_amount_t scale = sim.assets[fate->asset].scale;
        if (fate->locked && !fate->released_void && strcmp (fate->lock_account, account) == 0)
            sum -= fate->lock_amount * scale;
        if (fate->released_burn && strcmp (fate->payload.account, account) == 0)
            sum += fate->payload.amount * scale;
    }
    return sum;
}

static void check_holdings (void)
{
    tim3_holding_t holding;
    for (unsigned i = 0; i < sim.options.accounts; i++) {
        const char *account = sim_client_account (i);
        tim3_key_t key = tim3_key_text (account);
        tim3_store_read (sim.processes[SIM_USDA].store, TIM3_TABLE_HOLDING, &key, &holding);
        SIM_CHECK (holding.available == expected_holding (account) + moved_by_vaults (account),
                   "the model agrees with every holding", "%s", account);
    }
}

void sim_client_end (void)
{
    for (unsigned i = 0; i < s_count; i++)
        check_answer (&s_operations[i], &s_operations[i].answer);
    check_holdings ();
}

/*  ---------------------------------------------------------------------------------------------- backups  */

void sim_client_mark (void)
{
    for (unsigned i = 0; i < s_count; i++)
        s_operations[i].marked = s_operations[i].answer.final && s_operations[i].answer.code == TIM3_OK;
}

void sim_client_keep_marks (void)
{
    for (unsigned i = 0; i < s_count; i++)
        s_operations[i].backed_up = s_operations[i].marked;
}

static unsigned ledger_of (const operation_t *operation)
{
    const sim_asset_t *asset = &sim.assets[operation->payload.asset];
    bool control = operation->type == TIM3_MSG_CONTROL;
    return asset->token_managers[control ? operation->shard
                                         : tim3_account_shard (operation->payload.account, asset->shard_count)];
}

void sim_client_check_marks (void)
{
    for (unsigned i = 0; i < s_count; i++) {
        const sim_payload_t *payload = &s_operations[i].payload;
        if (!s_operations[i].backed_up || payload->asset == OF_COLLATERAL)
            continue;
        tim3_key_t key = tim3_key_id (&payload->tx);
        const sim_process_t *ledger = &sim.processes[ledger_of (&s_operations[i])];
        SIM_CHECK (tim3_store_has (ledger->store, TIM3_TABLE_RECORD, &key),
                   "what was completed before a backup is in it", "%s of %s", s_operations[i].request_id,
                   payload->account);
        sim.counters.found_in_backups++;
    }
}
