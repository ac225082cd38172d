/*  forger.c - what it sees it keeps for a while, and makes something of.  */
#include "forger.h"
#include "client.h"
#include "model.h"
#include "network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEN_MAX 64

/*  What most messages between ledgers carry.  */
typedef struct {
    uint64_t type;
    tim3_id_t tx;
    char account[TIM3_ACCOUNT_MAX + 1];
    char to[TIM3_ACCOUNT_MAX + 1];
    tim3_amount_t amount;
    uint64_t code;
    uint8_t reason;
    tim3_mac_t receipt;
} evidence_t;

typedef struct {
    evidence_t evidence;
    unsigned asset;
    sim_frame_t *frame; /* a request, to be sent again as it is */
} seen_t;

static seen_t s_seen[SEEN_MAX];
static unsigned s_seen_count;

static uint64_t below (uint64_t bound)
{
    return sim_random_below (&sim.forger_random, bound);
}

/*  ----------------------------------------------------------------------------------------------- seeing  */

static bool decode (const tim3_envelope_t *envelope, const tim3_shape_t *shape, void *body)
{
    tim3_arena_t none = {0};
    tim3_fault_t fault;
    return tim3_decode_map (envelope->body, envelope->body_size, shape, body, &none, &fault) == 0;
}

/*  Members that a body does not have stay zero: the decoder skips what a shape does not name.  */
static bool read_evidence (const tim3_envelope_t *envelope, evidence_t *evidence)
{
    tim3_lock_t fields;
    tim3_receipt_t receipt;
    tim3_refusal_t refusal;
    tim3_release_t release;
    tim3_crossing_t crossing;
    tim3_not_received_t not_received;
    *evidence = (evidence_t){.type = envelope->type};
    if (!decode (envelope, &tim3_shape_lock, &fields))
        return false;
    evidence->tx = fields.tx;
    evidence->amount = fields.amount;
    strcpy (evidence->account, fields.account);
    if (decode (envelope, &tim3_shape_receipt, &receipt))
        evidence->receipt = receipt.receipt;
    if (decode (envelope, &tim3_shape_refusal, &refusal))
        evidence->code = refusal.code;
    if (decode (envelope, &tim3_shape_release, &release))
        evidence->reason = release.reason;
    if (decode (envelope, &tim3_shape_crossing, &crossing))
        strcpy (evidence->to, crossing.to);
    if (decode (envelope, &tim3_shape_not_received, &not_received))
        evidence->code = not_received.code;
    return true;
}

static bool is_between_ledgers (const sim_frame_t *frame, uint64_t type)
{
    return frame->from < sim.process_count && frame->to < sim.process_count && type >= TIM3_MSG_LOCK &&
           type != TIM3_MSG_CONTROL;
}

static unsigned asset_of (const sim_frame_t *frame)
{
    const sim_process_t *from = &sim.processes[frame->from];
    bool usda = from->core->role == TIM3_ROLE_MOCK_USDA;
    return usda ? sim.processes[frame->to].asset : from->asset;
}

void sim_forger_see (const sim_frame_t *frame, const tim3_envelope_t *envelope)
{
    evidence_t evidence;
    if (sim.options.forgeries == 0 || sim.settling || !is_between_ledgers (frame, envelope->type) ||
        !read_evidence (envelope, &evidence))
        return;
    seen_t *seen = &s_seen[s_seen_count++ % SEEN_MAX];
    free (seen->frame);
    *seen = (seen_t){.evidence = evidence, .asset = asset_of (frame)};
    if (!frame->answer)
        seen->frame = sim_frame_new (sim.forger, frame->to, false, frame->data, frame->size);
}

/*  ---------------------------------------------------------------------------------------------- forging  */

static const seen_t *pick (void)
{
    unsigned count = s_seen_count < SEEN_MAX ? s_seen_count : SEEN_MAX;
    return &s_seen[below (count)];
}

static void replay (const seen_t *seen)
{
    const sim_frame_t *frame = seen->frame;
    sim.counters.replayed++;
    sim_trace ("is sent a replay", sim.forger, frame->to, 0, &seen->evidence.tx);
    sim_network_send (sim_frame_new (sim.forger, frame->to, false, frame->data, frame->size));
}

static void alter (evidence_t *evidence)
{
    const evidence_t *other = &pick ()->evidence;
    switch (below (9)) {
    case 0:
        evidence->amount = evidence->amount + 1;
        break;
    case 1:
        evidence->amount = other->amount;
        break;
    case 2:
        strcpy (evidence->account, other->account);
        break;
    case 3:
        evidence->tx = other->tx;
        break;
    case 4:
        evidence->tx.bytes[below (16)] ^= (uint8_t) (1 + below (255));
        break;
    case 5:
        evidence->receipt = other->receipt;
        break;
    case 6:
        evidence->receipt.bytes[below (32)] ^= (uint8_t) (1 + below (255));
        break;
    case 7:
        strcpy (evidence->to, sim_client_account ((unsigned) below (sim.options.accounts)));
        break;
    default:
        break; /* as it is, but perhaps to where it does not belong */
    }
}

/*  Every body that can be forged from evidence, laid out as the message wants it.  */
typedef union {
    tim3_lock_t lock;
    tim3_receipt_t receipt;
    tim3_settle_all_t settle_all;
    tim3_refusal_t refusal;
    tim3_release_t release;
    tim3_vault_move_t vault_move;
    tim3_token_transfer_t transfer;
    tim3_crossing_t crossing;
    tim3_not_received_t not_received;
} body_t;

static void fill_lock (body_t *body, const evidence_t *evidence, unsigned asset)
{
    (void) asset;
    body->lock.tx = evidence->tx;
    body->lock.amount = evidence->amount;
    strcpy (body->lock.account, evidence->account);
}

static void fill_receipt (body_t *body, const evidence_t *evidence, unsigned asset)
{
    (void) asset;
    body->receipt.tx = evidence->tx;
    body->receipt.amount = evidence->amount;
    strcpy (body->receipt.account, evidence->account);
    body->receipt.receipt = evidence->receipt;
}

static void fill_settle_all (body_t *body, const evidence_t *evidence, unsigned asset)
{
    static body_t item;
    fill_receipt (&item, evidence, asset);
    body->settle_all.items = (tim3_list_t){&item.receipt, 1};
}

static void fill_refusal (body_t *body, const evidence_t *evidence, unsigned asset)
{
    (void) asset;
    body->refusal.tx = evidence->tx;
    body->refusal.amount = evidence->amount;
    body->refusal.code = evidence->code ? evidence->code : TIM3_INSUFFICIENT_FUNDS;
    strcpy (body->refusal.account, evidence->account);
    body->refusal.receipt = evidence->receipt;
}

static void fill_release (body_t *body, const evidence_t *evidence, unsigned asset)
{
    (void) asset;
    body->release.tx = evidence->tx;
    body->release.amount = evidence->amount;
    body->release.reason = (uint8_t) (1 + below (2));
    strcpy (body->release.account, evidence->account);
    body->release.receipt = evidence->receipt;
}

static void fill_vault_move (body_t *body, const evidence_t *evidence, unsigned asset)
{
    body->vault_move.tx = evidence->tx;
    body->vault_move.amount = evidence->amount;
    body->vault_move.reason = evidence->reason;
    strcpy (body->vault_move.account, evidence->account);
    strcpy (body->vault_move.vault, sim.assets[asset].name);
    body->vault_move.receipt = evidence->receipt;
}

static void fill_transfer (body_t *body, const evidence_t *evidence, unsigned asset)
{
    fill_lock (body, evidence, asset);
    body->transfer = (tim3_token_transfer_t){.tx = evidence->tx, .amount = evidence->amount};
    strcpy (body->transfer.account, evidence->account);
    strcpy (body->transfer.to, sim_client_account ((unsigned) below (sim.options.accounts)));
}

static void fill_crossing (body_t *body, const evidence_t *evidence, unsigned asset)
{
    (void) asset;
    body->crossing = (tim3_crossing_t){.tx = evidence->tx, .amount = evidence->amount, .receipt = evidence->receipt};
    strcpy (body->crossing.account, evidence->account);
    strcpy (body->crossing.to, evidence->to);
}

static void fill_not_received (body_t *body, const evidence_t *evidence, unsigned asset)
{
    (void) asset;
    body->not_received =
        (tim3_not_received_t){.tx = evidence->tx, .amount = evidence->amount, .receipt = evidence->receipt};
    body->not_received.code = evidence->code ? evidence->code : TIM3_ACCOUNT_FROZEN;
    strcpy (body->not_received.account, evidence->account);
    strcpy (body->not_received.to, evidence->to);
}

/*  kind: what the ledger may make of it without a receipt, since a coordinator may ask for that.  */
static const struct {
    tim3_type_t type;
    tim3_role_t to;
    unsigned kind;
    void (*fill) (body_t *body, const evidence_t *evidence, unsigned asset);
} s_forgeries[] = {
    {TIM3_MSG_TOKEN_MINT, TIM3_ROLE_TOKEN_MANAGER, 0, fill_receipt},
    {TIM3_MSG_RESOLVE, TIM3_ROLE_TOKEN_MANAGER, 0, fill_receipt},
    {TIM3_MSG_RESOLVE_REFUSED, TIM3_ROLE_TOKEN_MANAGER, 0, fill_refusal},
    {TIM3_MSG_SETTLE_BURN, TIM3_ROLE_TOKEN_MANAGER, 0, fill_receipt},
    {TIM3_MSG_RECEIVE, TIM3_ROLE_TOKEN_MANAGER, 0, fill_crossing},
    {TIM3_MSG_SETTLE_SENT, TIM3_ROLE_TOKEN_MANAGER, 0, fill_crossing},
    {TIM3_MSG_RETURN_SENT, TIM3_ROLE_TOKEN_MANAGER, 0, fill_not_received},
    {TIM3_MSG_SETTLE, TIM3_ROLE_LOCK_MANAGER, 0, fill_receipt},
    {TIM3_MSG_SETTLE_ALL, TIM3_ROLE_LOCK_MANAGER, 0, fill_settle_all},
    {TIM3_MSG_RELEASE, TIM3_ROLE_LOCK_MANAGER, 0, fill_release},
    {TIM3_MSG_VAULT_LOCK, TIM3_ROLE_MOCK_USDA, 0, fill_vault_move},
    {TIM3_MSG_VAULT_UNLOCK, TIM3_ROLE_MOCK_USDA, 0, fill_vault_move},
    {TIM3_MSG_LOCK, TIM3_ROLE_LOCK_MANAGER, TIM3_TX_KIND_MINT, fill_lock},
    {TIM3_MSG_TOKEN_BURN, TIM3_ROLE_TOKEN_MANAGER, TIM3_TX_KIND_REDEEM, fill_lock},
    {TIM3_MSG_TOKEN_TRANSFER, TIM3_ROLE_TOKEN_MANAGER, TIM3_TX_KIND_TRANSFER, fill_transfer},
};

#define FORGERIES (sizeof s_forgeries / sizeof s_forgeries[0])

static unsigned node_of (tim3_role_t role, unsigned asset)
{
    if (role == TIM3_ROLE_MOCK_USDA)
        return SIM_USDA;
    const sim_asset_t *at = &sim.assets[asset];
    unsigned shard = (unsigned) below (at->shard_count);
    return role == TIM3_ROLE_TOKEN_MANAGER ? at->token_managers[shard] : at->lock_managers[shard];
}

static void choose_sender (const tim3_message_t *message, unsigned asset, char sender[TIM3_ADDRESS_MAX + 1])
{
    tim3_role_t role = message->from & TIM3_FROM_COORDINATOR    ? TIM3_ROLE_COORDINATOR
                       : message->from & TIM3_FROM_LOCK_MANAGER ? TIM3_ROLE_LOCK_MANAGER
                                                                : TIM3_ROLE_TOKEN_MANAGER;
    tim3_address_format (role, sim.assets[asset].name, 0, sender);
}

/*  What no receipt guards may well be done, so the model has to know of it.  */
static void tell_model (unsigned asset, unsigned kind, const body_t *body)
{
    sim_payload_t payload = {.asset = asset, .tx = body->lock.tx, .kind = kind, .amount = body->lock.amount};
    strcpy (payload.account, body->lock.account);
    if (kind == TIM3_TX_KIND_TRANSFER) {
        payload = (sim_payload_t){.asset = asset, .tx = body->transfer.tx, .kind = kind};
        payload.amount = body->transfer.amount;
        strcpy (payload.account, body->transfer.account);
        strcpy (payload.to, body->transfer.to);
    }
    sim_model_expect (&payload);
}

/*  What has been sent from shard to shard arrives soon; before that it is worth most to say that it is for somebody else.  */
static bool redirects (const seen_t *seen)
{
    return seen->evidence.type == TIM3_MSG_SENT && below (2) == 0;
}

static void redirect (evidence_t *evidence, unsigned asset, unsigned *choice, unsigned *to)
{
    const sim_asset_t *at = &sim.assets[asset];
    strcpy (evidence->to, sim_client_account ((unsigned) below (sim.options.accounts)));
    *to = at->token_managers[tim3_account_shard (evidence->to, at->shard_count)];
    for (*choice = 0; s_forgeries[*choice].type != TIM3_MSG_RECEIVE; ++*choice)
        continue;
}

static void forge (const seen_t *seen)
{
    unsigned choice = (unsigned) below (FORGERIES);
    unsigned asset = below (4) ? seen->asset : (unsigned) below (sim.asset_count);
    unsigned to = node_of (s_forgeries[choice].to, asset);
    evidence_t evidence = seen->evidence;
    tim3_buffer_t buffer = {0};
    body_t body = {0};

    if (redirects (seen))
        redirect (&evidence, asset = seen->asset, &choice, &to);
    else
        alter (&evidence);
    tim3_envelope_t envelope = {.type = s_forgeries[choice].type, .id = 1 + below (1000)};
    s_forgeries[choice].fill (&body, &evidence, asset);
    if (s_forgeries[choice].kind)
        tell_model (asset, s_forgeries[choice].kind, &body);
    choose_sender (tim3_message (envelope.type), asset, envelope.sender);
    strcpy (envelope.recipient, sim.processes[to].name);
    tim3_envelope_write (&buffer, &envelope, &body);
    sim.counters.forged++;
    sim_trace (tim3_message (envelope.type)->name, sim.forger, to, envelope.id, &evidence.tx);
    sim_network_send (sim_frame_new (sim.forger, to, false, buffer.data, buffer.size));
    tim3_buffer_free (&buffer);
}

void sim_forger_act (void)
{
    if (s_seen_count == 0)
        return;
    const seen_t *seen = below (4) ? pick () : &s_seen[(s_seen_count - 1) % SEEN_MAX];
    if (seen->frame && below (3) == 0)
        replay (seen);
    else
        forge (seen);
}
