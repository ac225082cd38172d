/*  core.c - carries mints, redemptions and transfers of one asset from ledger to ledger.

    A coordinator holds no money, no keys and no truth: it passes receipts along, and everything it knows can be
    found again in the ledgers. So it keeps what is in flight in memory only; if it dies, the client asks another
    one under the same request id, or the ledgers' own sweeps finish or void what was begun.

    A flight is one transaction under way:

        mint      LOCKING -> MINTING -> done            locked, then minted
                  LOCKING -> REFUSING -> VOIDING        lock refused: have the token ledger record it
                             MINTING  -> VOIDING        mint refused: have the collateral given back
        redeem    BURNING -> RELEASING -> done
        transfer  MOVING -> done
                  MOVING -> ARRIVING -> done            to another shard
                            ARRIVING -> RETURNING       which refuses: have the first give back
*/
#include "core.h"
#include "agent/page.h"
#include "agent/rules.h"
#include "agent/waiters.h"
#include "base/canary.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define WAITERS_MOST 100000
#define SETTLES_HELD 2048        /* mint receipts gathered for the lock managers */
#define FLIGHT_MOST_US 120000000 /* then whoever waits is told that the outcome is unknown */
#define DOUBLED_MOST 2           /* the wait for an answer doubles so often: a ledger that is back is asked soon */
#define ASKS_MOST 4096           /* look-ups under way */
#define ASK_MOST_US 10000000

typedef enum { LOCKING, MINTING, REFUSING, VOIDING, BURNING, RELEASING, MOVING, ARRIVING, RETURNING, STATES } stage_t;

/*  A transaction under way. The hash handle stands right before the tx, with which the record begins, so that a look-up touches few
    lines of the cache.  */
typedef struct {
    UT_hash_handle hh;
    tim3_transaction_t record; /* what will be answered */
    stage_t stage;
    tim3_mac_t receipt;        /* the latest one: evidence for the next step */
    uint64_t first_id;         /* id of its first message; an answer to an older one is for an earlier flight */
    uint64_t begun_us;
    uint64_t due_us; /* when to ask again */
    uint64_t attempts;
} flight_t;

_Static_assert(offsetof (tim3_transaction_t, tx) == 0, "the tx is beside the handle");

/*  Flights that have ended, kept for the next ones: the last to end is the first to be used again.  */
#define SPARE_MOST 4096

/*  A look-up passed on to a ledger for a client, by the id of the message that asks.  */
typedef struct {
    uint64_t id;
    tim3_return_t to;
    tim3_id_t tx;
    tim3_list_transactions_t list;
    unsigned shard; /* that is asked now, */
    bool all;       /* and then those behind it too */
    uint64_t begun_us;
    UT_hash_handle hh;
} ask_t;

typedef struct {
    const tim3_settings_t *settings;
    flight_t *flights;
    uint64_t due_us; /* none of them is due before */
    flight_t *spare[SPARE_MOST];
    size_t spare_count;
    ask_t *asks;
    tim3_waiters_t *waiters;
    tim3_receipt_t settles[SETTLES_HELD]; /* mint receipts that the lock managers are to have */
    uint32_t settle_count;
    bool locks_asked; /* in this batch */
    uint64_t completed;
    uint64_t failed;
    uint64_t resent;
    uint64_t overloaded;
    uint64_t abandoned;
} self_t;

/*  ---------------------------------------------------------------------------------------------- flights  */

static flight_t *find_flight (const self_t *self, const tim3_id_t *tx)
{
    flight_t *flight;
    HASH_FIND (hh, self->flights, tx, sizeof *tx, flight);
    return flight;
}

/*  The flight that the message at hand answers. An answer that was late for one flight must not be taken for
    one to the next under the same tx, which may have other fields.  */
static flight_t *find_answered (const self_t *self, tim3_env_t *env, const tim3_id_t *tx)
{
    flight_t *flight = find_flight (self, tx);
    bool own = flight && tim3_env_message (env)->reply_to >= flight->first_id;
    return own || TIM3_CANARY_IS (19) ? flight : NULL;
}

/*  The same if it is in that stage; anything else is late, and of no use.  */
static flight_t *find_in (const self_t *self, tim3_env_t *env, const tim3_id_t *tx, stage_t stage)
{
    flight_t *flight = find_answered (self, env, tx);
    return flight && flight->stage == stage ? flight : NULL;
}

static flight_t *new_flight (self_t *self)
{
    if (self->spare_count == 0)
        return tim3_alloc (sizeof (flight_t));
    flight_t *flight = self->spare[--self->spare_count];
    memset (flight, 0, sizeof *flight);
    return flight;
}

static void end_flight (self_t *self, flight_t *flight)
{
    HASH_DEL (self->flights, flight);
    if (self->spare_count == SPARE_MOST)
        free (flight);
    else
        self->spare[self->spare_count++] = flight;
}

/*  ------------------------------------------------------------------------------------- what stages ask  */

static uint64_t send_to_shard (const self_t *self, tim3_env_t *env, tim3_role_t role, unsigned shard,
                               tim3_type_t type, const void *body)
{
    char address[TIM3_ADDRESS_MAX + 1];
    tim3_address_format (role, self->settings->asset, (int) shard, address);
    return tim3_env_send (env, address, type, body);
}

static uint64_t send_to_ledger (const self_t *self, tim3_env_t *env, tim3_role_t role, const char *account,
                                tim3_type_t type, const void *body)
{
    return send_to_shard (self, env, role, tim3_account_shard (account, self->settings->shards), type, body);
}

static tim3_receipt_t receipt_body (const flight_t *flight)
{
    tim3_receipt_t body = {.tx = flight->record.tx, .amount = flight->record.amount};
    strcpy (body.account, flight->record.account);
    body.receipt = flight->receipt;
    return body;
}

static uint64_t ask_lock (const self_t *self, tim3_env_t *env, const flight_t *flight)
{
    tim3_lock_t body = {.tx = flight->record.tx, .amount = flight->record.amount};
    strcpy (body.account, flight->record.account);
    return send_to_ledger (self, env, TIM3_ROLE_LOCK_MANAGER, body.account, TIM3_MSG_LOCK, &body);
}

static uint64_t ask_mint (const self_t *self, tim3_env_t *env, const flight_t *flight)
{
    tim3_receipt_t body = receipt_body (flight);
    return send_to_ledger (self, env, TIM3_ROLE_TOKEN_MANAGER, body.account, TIM3_MSG_TOKEN_MINT, &body);
}

static uint64_t ask_record_refusal (const self_t *self, tim3_env_t *env, const flight_t *flight)
{
    tim3_refusal_t body = {.tx = flight->record.tx, .amount = flight->record.amount};
    strcpy (body.account, flight->record.account);
    body.code = flight->record.code;
    body.available = flight->record.available;
    body.needed = flight->record.needed;
    body.receipt = flight->receipt;
    return send_to_ledger (self, env, TIM3_ROLE_TOKEN_MANAGER, body.account, TIM3_MSG_RESOLVE_REFUSED, &body);
}

static uint64_t ask_release (const self_t *self, tim3_env_t *env, const flight_t *flight)
{
    tim3_release_t body = {.tx = flight->record.tx, .amount = flight->record.amount};
    body.reason = flight->stage == VOIDING ? TIM3_RELEASE_REASON_VOID : TIM3_RELEASE_REASON_BURN;
    strcpy (body.account, flight->record.account);
    body.receipt = flight->receipt;
    return send_to_ledger (self, env, TIM3_ROLE_LOCK_MANAGER, body.account, TIM3_MSG_RELEASE, &body);
}

static uint64_t ask_burn (const self_t *self, tim3_env_t *env, const flight_t *flight)
{
    tim3_lock_t body = {.tx = flight->record.tx, .amount = flight->record.amount};
    strcpy (body.account, flight->record.account);
    return send_to_ledger (self, env, TIM3_ROLE_TOKEN_MANAGER, body.account, TIM3_MSG_TOKEN_BURN, &body);
}

static uint64_t ask_move (const self_t *self, tim3_env_t *env, const flight_t *flight)
{
    tim3_token_transfer_t body = {.tx = flight->record.tx, .amount = flight->record.amount};
    strcpy (body.account, flight->record.account);
    strcpy (body.to, flight->record.to);
    return send_to_ledger (self, env, TIM3_ROLE_TOKEN_MANAGER, body.account, TIM3_MSG_TOKEN_TRANSFER, &body);
}

static tim3_crossing_t crossing_body (const flight_t *flight)
{
    tim3_crossing_t body = {.tx = flight->record.tx, .amount = flight->record.amount, .receipt = flight->receipt};
    strcpy (body.account, flight->record.account);
    strcpy (body.to, flight->record.to);
    return body;
}

static uint64_t ask_receive (const self_t *self, tim3_env_t *env, const flight_t *flight)
{
    tim3_crossing_t body = crossing_body (flight);
    return send_to_ledger (self, env, TIM3_ROLE_TOKEN_MANAGER, body.to, TIM3_MSG_RECEIVE, &body);
}

static uint64_t ask_return (const self_t *self, tim3_env_t *env, const flight_t *flight)
{
    tim3_not_received_t body = {.tx = flight->record.tx, .amount = flight->record.amount, .receipt = flight->receipt};
    strcpy (body.account, flight->record.account);
    strcpy (body.to, flight->record.to);
    body.code = flight->record.code;
    return send_to_ledger (self, env, TIM3_ROLE_TOKEN_MANAGER, body.account, TIM3_MSG_RETURN_SENT, &body);
}

#define TO(stage) (1u << stage)

typedef struct {
    const char *name;
    /* sends its question to a ledger, any number of times; returns the id of the message */
    uint64_t (*ask) (const self_t *self, tim3_env_t *env, const flight_t *flight);
    tim3_type_t request;    /* that question: an error about another one is late */
    unsigned next;          /* stages that may follow */
    bool is_undecided;      /* no ledger has decided: the client can be told to ask again */
    bool must_go_on;        /* tokens are burned or on their way: no error ends it */
    bool fails_as_recorded; /* an error ends it with the result that brought it here */
} stage_row_t;

static const stage_row_t s_stages[STATES] = {
    [LOCKING] = {"locking", ask_lock, TIM3_MSG_LOCK, .next = TO (MINTING) | TO (REFUSING),
                 .is_undecided = true},
    [MINTING] = {"minting", ask_mint, TIM3_MSG_TOKEN_MINT, .next = TO (VOIDING), .is_undecided = true},
    [REFUSING] = {"refusing", ask_record_refusal, TIM3_MSG_RESOLVE_REFUSED, .next = TO (VOIDING)},
    [VOIDING] = {"voiding", ask_release, TIM3_MSG_RELEASE, .fails_as_recorded = true},
    [BURNING] = {"burning", ask_burn, TIM3_MSG_TOKEN_BURN, .next = TO (RELEASING), .is_undecided = true},
    [RELEASING] = {"releasing", ask_release, TIM3_MSG_RELEASE, .must_go_on = true},
    [MOVING] = {"moving", ask_move, TIM3_MSG_TOKEN_TRANSFER, .next = TO (ARRIVING), .is_undecided = true},
    [ARRIVING] = {"arriving", ask_receive, TIM3_MSG_RECEIVE, .next = TO (RETURNING), .must_go_on = true},
    [RETURNING] = {"returning", ask_return, TIM3_MSG_RETURN_SENT, .must_go_on = true},
};

/*  When a flight is to be looked at again.  */
static void set_due (self_t *self, flight_t *flight, uint64_t due_us)
{
    uint64_t last_us = flight->begun_us + FLIGHT_MOST_US + 1;
    flight->due_us = due_us < last_us ? due_us : last_us;
    self->due_us = flight->due_us < self->due_us ? flight->due_us : self->due_us;
}

static void push (self_t *self, tim3_env_t *env, flight_t *flight)
{
    uint64_t wait = self->settings->retry_us << (flight->attempts < DOUBLED_MOST ? flight->attempts : DOUBLED_MOST);
    set_due (self, flight, tim3_env_now (env) + wait);
    uint64_t id = s_stages[flight->stage].ask (self, env, flight);
    self->locks_asked = self->locks_asked || flight->stage == LOCKING;
    if (flight->first_id == 0)
        flight->first_id = id;
}

static void move (self_t *self, tim3_env_t *env, flight_t *flight, stage_t next)
{
    TIM3_ASSERT (s_stages[flight->stage].next & TO (next));
    flight->stage = next;
    flight->attempts = 0;
    push (self, env, flight);
}

/*  --------------------------------------------------------------------------------------- how they end  */

static uint16_t request_type (const flight_t *flight)
{
    switch (flight->record.kind) {
    case TIM3_TX_KIND_MINT:
        return TIM3_MSG_MINT;
    case TIM3_TX_KIND_REDEEM:
        return TIM3_MSG_REDEEM;
    default:
        return TIM3_MSG_TRANSFER;
    }
}

static void complete (self_t *self, tim3_env_t *env, flight_t *flight)
{
    tim3_return_t to;
    flight->record.status = TIM3_TX_STATUS_COMPLETED;
    flight->record.code = TIM3_OK;
    while (tim3_waiters_take (self->waiters, &flight->record.tx, request_type (flight), &to))
        tim3_env_reply_to (env, &to, TIM3_MSG_TRANSACTION, &flight->record);
    self->completed++;
    end_flight (self, flight);
}

static void fail (self_t *self, tim3_env_t *env, flight_t *flight, tim3_result_t code)
{
    tim3_error_t error;
    tim3_return_t to;
    tim3_error_fill (&error, code, NULL);
    error.tx = flight->record.tx;
    error.available = flight->record.available;
    error.needed = flight->record.needed;
    error.request = request_type (flight);
    while (tim3_waiters_take (self->waiters, &flight->record.tx, request_type (flight), &to))
        tim3_env_refuse_to (env, &to, &error);
    self->failed++;
    end_flight (self, flight);
}

/*  ------------------------------------------------------------------------------------------- how they begin  */

static bool same_request (const tim3_transaction_t *a, const tim3_transaction_t *b)
{
    return a->kind == b->kind && a->amount == b->amount && strcmp (a->account, b->account) == 0
           && strcmp (a->to, b->to) == 0;
}

static void wait (self_t *self, tim3_env_t *env, const tim3_id_t *tx)
{
    tim3_return_t to = tim3_env_return (env);
    if (!tim3_waiters_add (self->waiters, tx, &to, tim3_env_now (env)))
        tim3_env_refuse (env, TIM3_OVERLOADED, tx, NULL);
}

static void take_off (self_t *self, tim3_env_t *env, const tim3_transaction_t *record, stage_t stage)
{
    if (HASH_COUNT (self->flights) >= self->settings->in_flight_most) {
        self->overloaded++;
        tim3_env_refuse (env, TIM3_OVERLOADED, &record->tx, NULL);
        return;
    }
    flight_t *flight = new_flight (self);
    flight->record = *record;
    flight->stage = stage;
    flight->begun_us = tim3_env_now (env);
    HASH_ADD (hh, self->flights, record.tx, sizeof flight->record.tx, flight);
    wait (self, env, &record->tx);
    push (self, env, flight);
}

static void begin (self_t *self, tim3_env_t *env, tim3_transaction_t *record, const char *request_id,
                   stage_t stage)
{
    if (!tim3_rule_account (env, NULL, record->account) || !tim3_rule_amount (env, NULL, record->amount)
        || !tim3_rule_request_id (env, request_id))
        return;
    record->tx = tim3_tx_id (self->settings->asset, record->account, request_id);
    record->status = TIM3_TX_STATUS_PENDING;
    flight_t *flight = find_flight (self, &record->tx);
    if (!flight)
        take_off (self, env, record, stage);
    else if (same_request (&flight->record, record))
        wait (self, env, &record->tx);
    else /* memory is no ground for a final answer: the flight may yet be lost, or not be the one that has the id */
        tim3_env_refuse (env, TIM3_CANARY_IS (18) ? TIM3_ID_REUSED : TIM3_NOT_READY, &record->tx,
                         "another request under this id is under way; ask again when it is done");
}

static void on_mint (void *state, tim3_env_t *env, const void *body)
{
    const tim3_mint_t *ask = body;
    tim3_transaction_t record = {.kind = TIM3_TX_KIND_MINT, .amount = ask->amount};
    strcpy (record.account, ask->account);
    begin (state, env, &record, ask->request_id, LOCKING);
}

static void on_redeem (void *state, tim3_env_t *env, const void *body)
{
    const tim3_redeem_t *ask = body;
    tim3_transaction_t record = {.kind = TIM3_TX_KIND_REDEEM, .amount = ask->amount};
    strcpy (record.account, ask->account);
    begin (state, env, &record, ask->request_id, BURNING);
}

static void on_transfer (void *state, tim3_env_t *env, const void *body)
{
    const tim3_transfer_t *ask = body;
    tim3_transaction_t record = {.kind = TIM3_TX_KIND_TRANSFER, .amount = ask->amount};
    if (!tim3_rule_account (env, NULL, ask->to))
        return;
    if (strcmp (ask->account, ask->to) == 0) {
        tim3_env_refuse (env, TIM3_SAME_ACCOUNT, NULL, NULL);
        return;
    }
    strcpy (record.account, ask->account);
    strcpy (record.to, ask->to);
    begin (state, env, &record, ask->request_id, MOVING);
}

/*  ------------------------------------------------------------------------------------ what the ledgers say  */

static void on_locked (void *state, tim3_env_t *env, const void *body)
{
    const tim3_receipt_t *answer = body;
    flight_t *flight = find_in (state, env, &answer->tx, LOCKING);
    if (!flight)
        return;
    flight->receipt = answer->receipt;
    move (state, env, flight, MINTING);
}

static void keep_refusal (flight_t *flight, const tim3_refusal_t *answer)
{
    flight->record.code = answer->code;
    flight->record.available = answer->available;
    flight->record.needed = answer->needed;
    flight->receipt = answer->receipt;
}

static void on_lock_refused (void *state, tim3_env_t *env, const void *body)
{
    const tim3_refusal_t *answer = body;
    flight_t *flight = find_in (state, env, &answer->tx, LOCKING);
    if (!flight)
        return;
    keep_refusal (flight, answer);
    move (state, env, flight, REFUSING);
}

static void keep_outcome (flight_t *flight, const tim3_minted_t *answer)
{
    flight->receipt = answer->receipt;
    flight->record.balance = answer->balance;
    flight->record.supply = answer->supply;
    flight->record.time_us = answer->time_us;
}

/*  That a lock's tokens are minted is told to the lock manager as a courtesy: if the message gets lost, its sweep asks the token manager. So
    nobody waits for it. Mint receipts are gathered and sent with the next Lock, in one frame, so that the lock manager takes both in one
    commit; when there is no Lock, the next tick sends them.  */
static void send_settles_of (const self_t *self, tim3_env_t *env, unsigned shard)
{
    tim3_receipt_t items[TIM3_SETTLES_MAX];
    tim3_settle_all_t body = {.items = {items, 0}};
    for (uint32_t i = 0; i < self->settle_count; i++) {
        if (tim3_account_shard (self->settles[i].account, self->settings->shards) != shard)
            continue;
        items[body.items.count++] = self->settles[i];
        if (body.items.count < TIM3_SETTLES_MAX)
            continue;
        send_to_shard (self, env, TIM3_ROLE_LOCK_MANAGER, shard, TIM3_MSG_SETTLE_ALL, &body);
        body.items.count = 0;
    }
    if (body.items.count > 0)
        send_to_shard (self, env, TIM3_ROLE_LOCK_MANAGER, shard, TIM3_MSG_SETTLE_ALL, &body);
}

static void send_settles (self_t *self, tim3_env_t *env)
{
    for (unsigned shard = 0; shard < self->settings->shards && self->settle_count > 0; shard++)
        send_settles_of (self, env, shard);
    self->settle_count = 0;
}

static void gather_settle (self_t *self, tim3_env_t *env, const flight_t *flight)
{
    if (self->settle_count == SETTLES_HELD)
        send_settles (self, env);
    self->settles[self->settle_count++] = receipt_body (flight);
}

static void end_batch (void *state, tim3_env_t *env)
{
    self_t *self = state;
    if (self->locks_asked)
        send_settles (self, env);
    self->locks_asked = false;
}

static void on_minted (void *state, tim3_env_t *env, const void *body)
{
    const tim3_minted_t *answer = body;
    flight_t *flight = find_in (state, env, &answer->tx, MINTING);
    if (!flight)
        return;
    keep_outcome (flight, answer);
    gather_settle (state, env, flight);
    complete (state, env, flight);
}

static void on_voided (void *state, tim3_env_t *env, const void *body)
{
    const tim3_refusal_t *answer = body;
    flight_t *flight = find_answered (state, env, &answer->tx);
    if (!flight || (flight->stage != MINTING && flight->stage != REFUSING))
        return;
    keep_refusal (flight, answer);
    move (state, env, flight, VOIDING);
}

static void on_burned (void *state, tim3_env_t *env, const void *body)
{
    const tim3_minted_t *answer = body;
    flight_t *flight = find_in (state, env, &answer->tx, BURNING);
    if (!flight)
        return;
    keep_outcome (flight, answer);
    move (state, env, flight, RELEASING);
}

static void on_released (void *state, tim3_env_t *env, const void *body)
{
    const tim3_release_t *answer = body;
    bool burn = answer->reason == TIM3_RELEASE_REASON_BURN;
    flight_t *flight = find_in (state, env, &answer->tx, burn ? RELEASING : VOIDING);
    if (!flight)
        return;
    if (!burn) {
        fail (state, env, flight, (tim3_result_t) flight->record.code);
        return;
    }
    flight->receipt = answer->receipt;
    tim3_receipt_t settle = receipt_body (flight);
    send_to_ledger (state, env, TIM3_ROLE_TOKEN_MANAGER, settle.account, TIM3_MSG_SETTLE_BURN, &settle);
    complete (state, env, flight);
}

static void on_transferred (void *state, tim3_env_t *env, const void *body)
{
    const tim3_transferred_t *answer = body;
    flight_t *flight = find_in (state, env, &answer->tx, MOVING);
    if (!flight)
        return;
    flight->record.balance = answer->balance;
    flight->record.to_balance = answer->to_balance;
    flight->record.supply = answer->supply;
    flight->record.time_us = answer->time_us;
    complete (state, env, flight);
}

/*  The tokens have left the sender's shard.  */
static void on_sent (void *state, tim3_env_t *env, const void *body)
{
    const tim3_sent_t *answer = body;
    flight_t *flight = find_in (state, env, &answer->tx, MOVING);
    if (!flight)
        return;
    flight->receipt = answer->receipt;
    flight->record.balance = answer->balance;
    flight->record.supply = answer->supply;
    flight->record.time_us = answer->time_us;
    move (state, env, flight, ARRIVING);
}

static void on_received (void *state, tim3_env_t *env, const void *body)
{
    const tim3_crossing_t *answer = body;
    flight_t *flight = find_in (state, env, &answer->tx, ARRIVING);
    if (!flight)
        return;
    flight->receipt = answer->receipt;
    tim3_crossing_t settle = crossing_body (flight);
    send_to_ledger (state, env, TIM3_ROLE_TOKEN_MANAGER, settle.account, TIM3_MSG_SETTLE_SENT, &settle);
    complete (state, env, flight);
}

static void on_not_received (void *state, tim3_env_t *env, const void *body)
{
    const tim3_not_received_t *answer = body;
    flight_t *flight = find_in (state, env, &answer->tx, ARRIVING);
    if (!flight)
        return;
    flight->receipt = answer->receipt;
    flight->record.code = answer->code;
    move (state, env, flight, RETURNING);
}

/*  Only what is given back to the sender waits for this; other answers of this type are of no interest.  */
static void on_settled (void *state, tim3_env_t *env, const void *body)
{
    const tim3_settled_t *answer = body;
    flight_t *flight = find_in (state, env, &answer->tx, RETURNING);
    if (flight)
        fail (state, env, flight, (tim3_result_t) flight->record.code);
}

static void fail_stage (self_t *self, tim3_env_t *env, flight_t *flight, const tim3_error_t *error)
{
    const stage_row_t *stage = &s_stages[flight->stage];
    tim3_advice_t advice = tim3_result_advice ((unsigned) error->code);
    if (error->request != stage->request)
        return;
    if (error->code == TIM3_STORAGE_FULL && stage->is_undecided) {
        /* it may last, and the client should know; asked again under the same id it goes on where it was */
        fail (self, env, flight, TIM3_STORAGE_FULL);
        return;
    }
    if (advice == TIM3_ADVICE_RETRY_SAME_ID || advice == TIM3_ADVICE_UNKNOWN || stage->must_go_on)
        return; /* it will be asked again */
    if (stage->fails_as_recorded) {
        fail (self, env, flight, (tim3_result_t) flight->record.code);
        return;
    }
    flight->record.available = error->available;
    flight->record.needed = error->needed;
    fail (self, env, flight, (tim3_result_t) error->code);
}

/*  -------------------------------------------------------------------------------------------- look-ups  */

static ask_t *find_ask (const self_t *self, tim3_env_t *env)
{
    ask_t *ask;
    uint64_t id = tim3_env_message (env)->reply_to;
    HASH_FIND (hh, self->asks, &id, sizeof id, ask);
    return ask;
}

static void end_ask (self_t *self, ask_t *ask)
{
    HASH_DEL (self->asks, ask);
    free (ask);
}

/*  Remembers who waits for the answer to the message of that id.  */
static void keep_ask (self_t *self, ask_t *ask, uint64_t id)
{
    ask->id = id;
    HASH_ADD (hh, self->asks, id, sizeof ask->id, ask);
}

static ask_t *new_ask (self_t *self, tim3_env_t *env)
{
    if (HASH_COUNT (self->asks) >= ASKS_MOST) {
        self->overloaded++;
        tim3_env_refuse (env, TIM3_OVERLOADED, NULL, NULL);
        return NULL;
    }
    ask_t *ask = tim3_alloc (sizeof *ask);
    ask->to = tim3_env_return (env);
    ask->begun_us = tim3_env_now (env);
    return ask;
}

/*  Refuses who asked, with an error of a ledger or our own.  */
static void refuse_ask (self_t *self, tim3_env_t *env, ask_t *ask, const tim3_error_t *error)
{
    tim3_error_t copy = *error;
    copy.request = ask->to.type;
    tim3_env_refuse_to (env, &ask->to, &copy);
    end_ask (self, ask);
}

/*  The account's shard; without an account, all shards from the first.  */
static void choose_shards (const self_t *self, ask_t *ask, const char *account)
{
    ask->all = account[0] == '\0';
    ask->shard = ask->all ? 0 : tim3_account_shard (account, self->settings->shards);
}

static bool is_last_shard (const self_t *self, const ask_t *ask)
{
    return !ask->all || ask->shard + 1 == self->settings->shards;
}

static uint64_t ask_for_record (const self_t *self, tim3_env_t *env, const ask_t *ask)
{
    tim3_tx_only_t get = {ask->tx};
    return send_to_shard (self, env, TIM3_ROLE_TOKEN_MANAGER, ask->shard, TIM3_MSG_GET_RECORD, &get);
}

static void ask_shard (self_t *self, tim3_env_t *env, ask_t *ask, unsigned shard)
{
    HASH_DEL (self->asks, ask);
    ask->shard = shard;
    keep_ask (self, ask, ask_for_record (self, env, ask));
}

static void on_get_transaction (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_get_transaction_t *asked = body;
    tim3_tx_only_t get = {asked->tx};
    if (tim3_id_is_zero (&get.tx)) {
        if (!tim3_rule_account (env, NULL, asked->account) || !tim3_rule_request_id (env, asked->request_id))
            return;
        get.tx = tim3_tx_id (self->settings->asset, asked->account, asked->request_id);
    }
    flight_t *flight = find_flight (self, &get.tx);
    if (flight) {
        tim3_env_reply (env, TIM3_MSG_TRANSACTION, &flight->record);
        return;
    }
    ask_t *ask = new_ask (self, env);
    if (!ask)
        return;
    ask->tx = get.tx;
    choose_shards (self, ask, asked->account);
    keep_ask (self, ask, ask_for_record (self, env, ask));
}

static void on_transaction (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_transaction_t *record = body;
    ask_t *ask = find_ask (self, env);
    if (!ask)
        return;
    unsigned shard = tim3_account_shard (record->account, self->settings->shards);
    if (record->kind == TIM3_TX_KIND_TRANSFER && ask->all && shard != ask->shard) {
        /* the receiver's: the sender's shard has what became of it */
        ask->all = false;
        ask_shard (self, env, ask, shard);
        return;
    }
    tim3_env_reply_to (env, &ask->to, TIM3_MSG_TRANSACTION, record);
    end_ask (state, ask);
}

/*  The token ledger does not know it: perhaps its lock is still under way.  */
static void ask_for_lock (self_t *self, tim3_env_t *env, ask_t *ask)
{
    tim3_get_lock_t get = {.tx = ask->tx};
    HASH_DEL (self->asks, ask);
    keep_ask (self, ask, send_to_shard (self, env, TIM3_ROLE_LOCK_MANAGER, ask->shard, TIM3_MSG_GET_LOCK, &get));
}

/*  A lock whose mint is not decided yet, as the transaction that it is part of.  */
static tim3_transaction_t as_transaction (const tim3_lock_item_t *item)
{
    tim3_transaction_t record = {.tx = item->tx, .kind = TIM3_TX_KIND_MINT, .amount = item->amount};
    record.status = TIM3_TX_STATUS_PENDING;
    strcpy (record.account, item->account);
    record.time_us = item->created_us;
    return record;
}

static void on_lock_item (void *state, tim3_env_t *env, const void *body)
{
    ask_t *ask = find_ask (state, env);
    if (!ask)
        return;
    tim3_transaction_t record = as_transaction (body);
    tim3_env_reply_to (env, &ask->to, TIM3_MSG_TRANSACTION, &record);
    end_ask (state, ask);
}

/*  Transactions are listed from the ledgers: first mints whose lock is under way, from the lock managers (cursors
    that begin with 'l'), then all that is decided, from the token managers ('t'). The shard follows, as a letter from a on.  */
#define LIST_MARKS 2

/*  False after refusing a cursor that no page of this list has ended with.  */
static bool take_cursor (const self_t *self, tim3_env_t *env, ask_t *place, const tim3_list_transactions_t *asked)
{
    choose_shards (self, place, asked->account);
    if (asked->cursor[0] == '\0')
        return true;
    if (!tim3_page_mark (env, asked->cursor, "lt"))
        return false;
    unsigned shard = (unsigned) (unsigned char) asked->cursor[1] - (unsigned) 'a';
    if (place->all ? shard < self->settings->shards : shard == place->shard) {
        place->shard = shard;
        return true;
    }
    tim3_page_refuse (env);
    return false;
}

static void write_cursor (char out[TIM3_CURSOR_MAX + 1], char mark, unsigned shard, const char *rest)
{
    snprintf (out, TIM3_CURSOR_MAX + 1, "%c%c%.*s", mark, (char) ('a' + shard), TIM3_CURSOR_MAX - LIST_MARKS, rest);
}

static void on_list_transactions (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_list_transactions_t *asked = body;
    const char *cursor = asked->cursor[0] ? asked->cursor + LIST_MARKS : "";
    ask_t place;
    bool pending = asked->status == 0 || asked->status == TIM3_TX_STATUS_PENDING;
    bool locks = asked->cursor[0] ? asked->cursor[0] == 'l' : pending;

    if (!take_cursor (self, env, &place, asked))
        return;
    ask_t *ask = new_ask (self, env);
    if (!ask)
        return;
    ask->list = *asked;
    ask->shard = place.shard;
    ask->all = place.all;
    if (locks) {
        tim3_list_locks_t list = {.unsettled = true, .limit = asked->limit};
        strcpy (list.account, asked->account);
        strcpy (list.cursor, cursor);
        keep_ask (self, ask, send_to_shard (self, env, TIM3_ROLE_LOCK_MANAGER, ask->shard, TIM3_MSG_LIST_LOCKS, &list));
    } else {
        tim3_list_transactions_t list = *asked;
        strcpy (list.cursor, cursor);
        keep_ask (self, ask, send_to_shard (self, env, TIM3_ROLE_TOKEN_MANAGER, ask->shard, TIM3_MSG_LIST_RECORDS, &list));
    }
}

static void on_locks (void *state, tim3_env_t *env, const void *body)
{
    const tim3_locks_t *answer = body;
    const tim3_lock_item_t *item = answer->items.items;
    tim3_transactions_t reply = {0};
    ask_t *ask = find_ask (state, env);
    uint32_t count = 0;

    if (!ask)
        return;
    tim3_transaction_t *records =
        tim3_arena_take (tim3_env_arena (env), (answer->items.count + 1) * sizeof *records);
    for (uint32_t i = 0; records && i < answer->items.count; i++)
        if (item[i].reason != TIM3_RELEASE_REASON_BURN) /* redemptions are told by the token manager */
            records[count++] = as_transaction (&item[i]);
    reply.items = (tim3_list_t){records, count};
    if (answer->cursor[0])
        write_cursor (reply.cursor, 'l', ask->shard, answer->cursor);
    else if (!is_last_shard (state, ask))
        write_cursor (reply.cursor, 'l', ask->shard + 1, "");
    else
        write_cursor (reply.cursor, 't', ask->all ? 0 : ask->shard, "");
    tim3_env_reply_to (env, &ask->to, TIM3_MSG_TRANSACTIONS, &reply);
    end_ask (state, ask);
}

/*  A transfer between shards is in both, and listed where it began.  */
static tim3_list_t begun_here (const self_t *self, tim3_env_t *env, const ask_t *ask, const tim3_list_t *items)
{
    const tim3_transaction_t *item = items->items;
    tim3_transaction_t *kept = tim3_arena_take (tim3_env_arena (env), (items->count + 1) * sizeof *kept);
    uint32_t count = 0;
    for (uint32_t i = 0; kept && i < items->count; i++)
        if (item[i].kind != TIM3_TX_KIND_TRANSFER ||
            tim3_account_shard (item[i].account, self->settings->shards) == ask->shard)
            kept[count++] = item[i];
    return (tim3_list_t){kept, count};
}

static void on_transactions (void *state, tim3_env_t *env, const void *body)
{
    const tim3_transactions_t *answer = body;
    ask_t *ask = find_ask (state, env);
    if (!ask)
        return;
    tim3_transactions_t reply = {.items = ask->all ? begun_here (state, env, ask, &answer->items) : answer->items};
    if (answer->cursor[0])
        write_cursor (reply.cursor, 't', ask->shard, answer->cursor);
    else if (!is_last_shard (state, ask))
        write_cursor (reply.cursor, 't', ask->shard + 1, "");
    tim3_env_reply_to (env, &ask->to, TIM3_MSG_TRANSACTIONS, &reply);
    end_ask (state, ask);
}

static void on_error (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_error_t *error = body;
    ask_t *ask = find_ask (self, env);
    flight_t *flight = find_answered (self, env, &error->tx);
    if (ask && error->request == TIM3_MSG_GET_RECORD && error->code == TIM3_NOT_FOUND)
        ask_for_lock (self, env, ask);
    else if (ask && error->request == TIM3_MSG_GET_LOCK && error->code == TIM3_NOT_FOUND && !is_last_shard (self, ask))
        ask_shard (self, env, ask, ask->shard + 1);
    else if (ask)
        refuse_ask (self, env, ask, error);
    else if (flight)
        fail_stage (self, env, flight, error);
}

/*  ------------------------------------------------------------------------------------------------- time  */

/*  Asks again for flights that are due. Most flights end long before, so due_us mostly saves the walk.  */
static void check_flights (self_t *self, tim3_env_t *env)
{
    uint64_t now = tim3_env_now (env);
    flight_t *flight;
    flight_t *next;
    if (now < self->due_us)
        return;
    self->due_us = UINT64_MAX;
    HASH_ITER (hh, self->flights, flight, next)
    {
        if (now - flight->begun_us > FLIGHT_MOST_US) {
            self->abandoned++;
            fail (self, env, flight, TIM3_NO_ANSWER);
        } else if (now >= flight->due_us) {
            self->resent++;
            flight->attempts++;
            push (self, env, flight);
        } else
            set_due (self, flight, flight->due_us);
    }
}

static void check_asks (self_t *self, tim3_env_t *env)
{
    tim3_error_t error;
    ask_t *ask;
    ask_t *next;
    tim3_error_fill (&error, TIM3_NOT_READY, "the ledger does not answer; ask again");
    HASH_ITER (hh, self->asks, ask, next)
        if (tim3_env_now (env) - ask->begun_us > ASK_MOST_US)
            refuse_ask (self, env, ask, &error);
}

static void tick (void *state, tim3_env_t *env)
{
    send_settles (state, env);
    check_flights (state, env);
    check_asks (state, env);
}

static void health (void *state, tim3_env_t *env, tim3_report_t *report)
{
    self_t *self = state;
    uint64_t now = tim3_env_now (env);
    unsigned slow[STATES] = {0};
    flight_t *flight;
    flight_t *next;
    HASH_ITER (hh, self->flights, flight, next)
        slow[flight->stage] += now - flight->begun_us > 10 * self->settings->retry_us;
    for (int i = 0; i < STATES; i++)
        if (slow[i] > 0)
            tim3_report_reason (report, "slow", 5, "%u transactions have long been %s", slow[i],
                                s_stages[i].name);
    if (HASH_COUNT (self->flights) >= self->settings->in_flight_most)
        tim3_report_reason (report, "overloaded", 20, "as many transactions as allowed are in flight");
}

static void stats (void *state, tim3_env_t *env, tim3_report_t *report)
{
    self_t *self = state;
    (void) env;
    tim3_report_metric (report, TIM3_METRIC_in_flight, HASH_COUNT (self->flights));
    tim3_report_metric (report, TIM3_METRIC_waiting, tim3_waiters_count (self->waiters));
    tim3_report_metric (report, TIM3_METRIC_completed, self->completed);
    tim3_report_metric (report, TIM3_METRIC_failed, self->failed);
    tim3_report_metric (report, TIM3_METRIC_resent, self->resent);
    tim3_report_metric (report, TIM3_METRIC_overloaded, self->overloaded);
    tim3_report_metric (report, TIM3_METRIC_abandoned, self->abandoned);
}

static void *new (const tim3_settings_t *settings)
{
    self_t *self = tim3_alloc (sizeof *self);
    self->settings = settings;
    self->waiters = tim3_waiters_new (WAITERS_MOST, false);
    return self;
}

static void destroy (void **state)
{
    self_t *self = *state;
    flight_t *flight;
    flight_t *next_flight;
    ask_t *ask;
    ask_t *next_ask;
    HASH_ITER (hh, self->flights, flight, next_flight)
        end_flight (self, flight);
    HASH_ITER (hh, self->asks, ask, next_ask)
        end_ask (self, ask);
    while (self->spare_count > 0)
        free (self->spare[--self->spare_count]);
    tim3_waiters_destroy (&self->waiters);
    free (self);
    *state = NULL;
}

static const tim3_handler_t s_handlers[] = {
    {TIM3_MSG_MINT, on_mint},
    {TIM3_MSG_REDEEM, on_redeem},
    {TIM3_MSG_TRANSFER, on_transfer},
    {TIM3_MSG_GET_TRANSACTION, on_get_transaction},
    {TIM3_MSG_LIST_TRANSACTIONS, on_list_transactions},
    {TIM3_MSG_LOCKED, on_locked},
    {TIM3_MSG_LOCK_REFUSED, on_lock_refused},
    {TIM3_MSG_MINTED, on_minted},
    {TIM3_MSG_VOIDED, on_voided},
    {TIM3_MSG_BURNED, on_burned},
    {TIM3_MSG_RELEASED, on_released},
    {TIM3_MSG_TRANSFERRED, on_transferred},
    {TIM3_MSG_SENT, on_sent},
    {TIM3_MSG_RECEIVED, on_received},
    {TIM3_MSG_NOT_RECEIVED, on_not_received},
    {TIM3_MSG_SETTLED, on_settled},
    {TIM3_MSG_TRANSACTION, on_transaction},
    {TIM3_MSG_LOCK_ITEM, on_lock_item},
    {TIM3_MSG_LOCKS, on_locks},
    {TIM3_MSG_TRANSACTIONS, on_transactions},
    {TIM3_MSG_ERROR, on_error},
    {0, NULL}};

const tim3_core_t tim3_coordinator_core = {.role = TIM3_ROLE_COORDINATOR,
                                           .keeps_nothing = true,
                                           .capabilities = "mint redeem transfer",
                                           .new = new,
                                           .destroy = destroy,
                                           .handlers = s_handlers,
                                           .tick = tick,
                                           .end_batch = end_batch,
                                           .health = health,
                                           .stats = stats};
