/*  test_coordinator.c - the coordinator's core, with the test as the ledgers: stages, retries, late answers, look-ups.  */
#include "../../coordinator/core.h"
#include "agent/waiters.h"
#include "bench.h"
#include "suites.h"

#include <stdio.h>
#include <string.h>

#define FLIGHT_MOST (120 * BENCH_SECOND)

static void setup (void)
{
    bench_defaults ("coordinator.TIM3.0");
    bench_open (&tim3_coordinator_core);
}

static void teardown (void)
{
    bench_close ();
}

/*  ------------------------------------------------------------------------------------------- requests  */

static tim3_transfer_t wanted (const char *account, const char *to, tim3_amount_t amount, const char *id)
{
    tim3_transfer_t ask = {.amount = amount};
    strcpy (ask.account, account);
    strcpy (ask.to, to);
    strcpy (ask.request_id, id);
    return ask;
}

/*  Mint and Redeem have the same fields.  */
static tim3_mint_t asking (tim3_amount_t amount, const char *id)
{
    tim3_mint_t ask = {.account = "alice", .amount = amount};
    strcpy (ask.request_id, id);
    return ask;
}

static tim3_redeem_t redeeming (tim3_amount_t amount, const char *id)
{
    tim3_redeem_t ask = {.account = "alice", .amount = amount};
    strcpy (ask.request_id, id);
    return ask;
}

static tim3_id_t tx_of (const char *id)
{
    return tim3_tx_id ("TIM3", "alice", id);
}

/*  Receipts mean nothing to a coordinator: any 32 bytes are passed along.  */
static tim3_mac_t token (uint8_t byte)
{
    tim3_mac_t mac;
    memset (mac.bytes, byte, sizeof mac.bytes);
    return mac;
}

static void check_token (const tim3_mac_t *mac, uint8_t byte)
{
    tim3_mac_t right = token (byte);
    ck_assert_mem_eq (mac->bytes, right.bytes, sizeof right.bytes);
}

/*  ----------------------------------------------------------------------------------- what the ledgers say  */

static void locked (const char *id)
{
    tim3_receipt_t body = {.tx = tx_of (id), .account = "alice", .amount = 5, .receipt = token (1)};
    bench_told (bench_last_id (), TIM3_MSG_LOCKED, &body);
}

static tim3_refusal_t refusal (const char *id, tim3_result_t code, uint8_t byte)
{
    tim3_refusal_t body = {.tx = tx_of (id), .account = "alice", .amount = 5, .code = code};
    body.available = 3;
    body.needed = 5;
    body.receipt = token (byte);
    return body;
}

static void lock_refused (const char *id)
{
    tim3_refusal_t body = refusal (id, TIM3_INSUFFICIENT_FUNDS, 2);
    bench_told (bench_last_id (), TIM3_MSG_LOCK_REFUSED, &body);
}

static void voided (const char *id, tim3_result_t code)
{
    tim3_refusal_t body = refusal (id, code, 3);
    bench_told (bench_last_id (), TIM3_MSG_VOIDED, &body);
}

static void minted (uint64_t type, const char *id)
{
    tim3_minted_t body = {.tx = tx_of (id), .account = "alice", .amount = 5, .balance = 8, .supply = 90};
    body.time_us = 77;
    body.receipt = token (4);
    bench_told (bench_last_id (), type, &body);
}

static void released (tim3_release_reason_t reason, const char *id)
{
    tim3_release_t body = {.reason = (uint8_t) reason, .tx = tx_of (id), .account = "alice", .amount = 5};
    body.receipt = token (5);
    bench_told (bench_last_id (), TIM3_MSG_RELEASED, &body);
}

static void transferred (const char *id)
{
    tim3_transferred_t body = {.tx = tx_of (id), .account = "alice", .to = "bob", .amount = 5};
    body.balance = 1;
    body.to_balance = 2;
    body.supply = 3;
    bench_told (bench_last_id (), TIM3_MSG_TRANSFERRED, &body);
}

static void ledger_refuses (const char *id, uint64_t request, tim3_result_t code)
{
    tim3_error_t error;
    tim3_error_fill (&error, code, NULL);
    error.tx = tx_of (id);
    error.request = request;
    error.available = 3;
    error.needed = 5;
    bench_told (bench_last_id (), TIM3_MSG_ERROR, &error);
}

/*  --------------------------------------------------------------------------------------- starting, ending  */

static void start_mint (const char *id)
{
    tim3_mint_t ask = asking (5, id);
    bench_send (TIM3_MSG_MINT, &ask);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_LOCK), 1);
}

static void start_redeem (const char *id)
{
    tim3_redeem_t ask = redeeming (5, id);
    bench_send (TIM3_MSG_REDEEM, &ask);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_TOKEN_BURN), 1);
}

static void start_transfer (const char *id)
{
    tim3_transfer_t ask = wanted ("alice", "bob", 5, id);
    bench_send (TIM3_MSG_TRANSFER, &ask);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_TOKEN_TRANSFER), 1);
}

/*  Expects the one request that the last batch sent to be this, to that agent.  */
static const void *passed_on (uint64_t type, const char *to)
{
    ck_assert_uint_eq (bench_count (), 1);
    ck_assert_str_eq (bench_at (0)->to, to);
    return bench_sent (type);
}

static const tim3_transaction_t *completed (uint64_t kind)
{
    const tim3_transaction_t *answer = bench_sent (TIM3_MSG_TRANSACTION);
    ck_assert_uint_eq (answer->status, TIM3_TX_STATUS_COMPLETED);
    ck_assert_uint_eq (answer->kind, kind);
    ck_assert_uint_eq (answer->code, TIM3_OK);
    return answer;
}

static void check_failed (uint64_t request, tim3_result_t code, tim3_amount_t available, tim3_amount_t needed)
{
    const tim3_error_t *error = bench_sent (TIM3_MSG_ERROR);
    ck_assert_str_eq (error->name, tim3_result_name (code));
    ck_assert_uint_eq (error->request, request);
    ck_assert (error->available == available && error->needed == needed);
    ck_assert_uint_eq (bench_metric ("in_flight"), 0);
}

/*  -------------------------------------------------------------------------------------------- happy paths  */

/*  One mint's receipt, with that number.  */
static void check_settle (uint8_t number)
{
    const tim3_settle_all_t *settle = bench_sent (TIM3_MSG_SETTLE_ALL);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_SETTLE_ALL), 1);
    ck_assert_uint_eq (settle->items.count, 1);
    check_token (&((const tim3_receipt_t *) settle->items.items)->receipt, number);
}

START_TEST (test_mint)
{
    start_mint ("r1");
    const tim3_lock_t *lock = passed_on (TIM3_MSG_LOCK, "lock_manager.TIM3.0");
    tim3_id_t tx = tx_of ("r1");
    tim3_id_t trace = bench_at (0)->trace;
    ck_assert (tim3_id_equal (&lock->tx, &tx) && lock->amount == 5);
    ck_assert (!tim3_id_is_zero (&trace));
    locked ("r1");
    const tim3_receipt_t *mint = passed_on (TIM3_MSG_TOKEN_MINT, "token_manager.TIM3.0");
    check_token (&mint->receipt, 1);
    minted (TIM3_MSG_MINTED, "r1");
    ck_assert_uint_eq (bench_count (), 1);
    const tim3_transaction_t *answer = completed (TIM3_TX_KIND_MINT);
    ck_assert (answer->balance == 8 && answer->supply == 90 && answer->amount == 5);
    ck_assert_uint_eq (answer->time_us, 77);
    ck_assert_str_eq (bench_nth (TIM3_MSG_TRANSACTION, 0)->to, "asker");
    ck_assert_uint_eq (bench_metric ("completed"), 1);
    ck_assert_uint_eq (bench_metric ("in_flight"), 0);
    ck_assert_uint_eq (bench_metric ("waiting"), 0);
    bench_pass (1);
    check_settle (4);
}
END_TEST

/*  The lock manager is told together with the next lock that is asked of it, and not again at the tick.  */
START_TEST (test_settles_go_with_the_next_lock)
{
    start_mint ("r1");
    locked ("r1");
    minted (TIM3_MSG_MINTED, "r1");
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_SETTLE_ALL), 0);
    start_mint ("r2");
    ck_assert_str_eq (bench_nth (TIM3_MSG_LOCK, 0)->to, "lock_manager.TIM3.0");
    check_settle (4);
    bench_pass (1);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_SETTLE_ALL), 0);
    locked ("r2");
    minted (TIM3_MSG_MINTED, "r2");
    bench_pass (1);
    check_settle (4);
}
END_TEST

/*  More than fit into one message are told in two.  */
START_TEST (test_settles_of_a_batch)
{
    enum { MINTS = TIM3_SETTLES_MAX + 2 };
    uint64_t ids[MINTS];
    char id[16];
    bench_settings.in_flight_most = MINTS;
    for (int i = 0; i < MINTS; i++) {
        snprintf (id, sizeof id, "r%d", i);
        start_mint (id);
        locked (id);
        ids[i] = bench_last_id ();
    }
    bench_begin ();
    for (int i = 0; i < MINTS; i++) {
        snprintf (id, sizeof id, "r%d", i);
        tim3_minted_t body = {.tx = tx_of (id), .account = "alice", .amount = 5, .receipt = token ((uint8_t) i)};
        bench_answer (ids[i], TIM3_MSG_MINTED, &body);
    }
    ck_assert_int_eq (bench_commit (), 0);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_TRANSACTION), MINTS);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_SETTLE_ALL), 0);
    bench_pass (1);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_SETTLE_ALL), 2);
    const tim3_settle_all_t *first = bench_nth (TIM3_MSG_SETTLE_ALL, 0)->body;
    const tim3_settle_all_t *second = bench_nth (TIM3_MSG_SETTLE_ALL, 1)->body;
    ck_assert_uint_eq (first->items.count, TIM3_SETTLES_MAX);
    ck_assert_uint_eq (second->items.count, 2);
    const tim3_receipt_t *last = (const tim3_receipt_t *) second->items.items + 1;
    check_token (&last->receipt, (uint8_t) (MINTS - 1));
    ck_assert_str_eq (last->account, "alice");
    ck_assert_str_eq (bench_nth (TIM3_MSG_SETTLE_ALL, 1)->to, "lock_manager.TIM3.0");
    bench_pass (1);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_SETTLE_ALL), 0);
}
END_TEST

START_TEST (test_mint_with_a_refused_lock)
{
    start_mint ("r1");
    lock_refused ("r1");
    const tim3_refusal_t *ask = passed_on (TIM3_MSG_RESOLVE_REFUSED, "token_manager.TIM3.0");
    check_token (&ask->receipt, 2);
    ck_assert_uint_eq (ask->code, TIM3_INSUFFICIENT_FUNDS);
    ck_assert (ask->available == 3 && ask->needed == 5);
    voided ("r1", TIM3_INSUFFICIENT_FUNDS);
    const tim3_release_t *release = passed_on (TIM3_MSG_RELEASE, "lock_manager.TIM3.0");
    check_token (&release->receipt, 3);
    ck_assert_uint_eq (release->reason, TIM3_RELEASE_REASON_VOID);
    released (TIM3_RELEASE_REASON_VOID, "r1");
    check_failed (TIM3_MSG_MINT, TIM3_INSUFFICIENT_FUNDS, 3, 5);
    ck_assert_uint_eq (bench_metric ("failed"), 1);
}
END_TEST

START_TEST (test_mint_that_is_voided)
{
    start_mint ("r1");
    locked ("r1");
    voided ("r1", TIM3_CAP_EXCEEDED);
    check_token (&((const tim3_release_t *) passed_on (TIM3_MSG_RELEASE, "lock_manager.TIM3.0"))->receipt, 3);
    released (TIM3_RELEASE_REASON_VOID, "r1");
    check_failed (TIM3_MSG_MINT, TIM3_CAP_EXCEEDED, 3, 5);
}
END_TEST

START_TEST (test_redeem)
{
    start_redeem ("r1");
    passed_on (TIM3_MSG_TOKEN_BURN, "token_manager.TIM3.0");
    minted (TIM3_MSG_BURNED, "r1");
    const tim3_release_t *release = passed_on (TIM3_MSG_RELEASE, "lock_manager.TIM3.0");
    check_token (&release->receipt, 4);
    ck_assert_uint_eq (release->reason, TIM3_RELEASE_REASON_BURN);
    released (TIM3_RELEASE_REASON_BURN, "r1");
    check_token (&((const tim3_receipt_t *) bench_sent (TIM3_MSG_SETTLE_BURN))->receipt, 5);
    ck_assert (completed (TIM3_TX_KIND_REDEEM)->balance == 8);
}
END_TEST

START_TEST (test_transfer)
{
    start_transfer ("r1");
    const tim3_token_transfer_t *move = passed_on (TIM3_MSG_TOKEN_TRANSFER, "token_manager.TIM3.0");
    ck_assert_str_eq (move->to, "bob");
    transferred ("r1");
    const tim3_transaction_t *answer = completed (TIM3_TX_KIND_TRANSFER);
    ck_assert (answer->balance == 1 && answer->to_balance == 2 && answer->supply == 3);
    ck_assert_str_eq (answer->to, "bob");
}
END_TEST

/*  ----------------------------------------------------------------------------- transfers between shards  */

static char s_sender[16];
static char s_receiver[16];

static void start_crossing (const char *id)
{
    bench_settings.shards = 2;
    strcpy (s_sender, bench_account (1, 2));
    strcpy (s_receiver, bench_account (0, 2));
    tim3_transfer_t ask = wanted (s_sender, s_receiver, 5, id);
    bench_send (TIM3_MSG_TRANSFER, &ask);
    passed_on (TIM3_MSG_TOKEN_TRANSFER, "token_manager.TIM3.1");
    tim3_sent_t sent = {.tx = tim3_tx_id ("TIM3", s_sender, id), .amount = 5, .balance = 1, .supply = 3, .time_us = 77};
    strcpy (sent.account, s_sender);
    strcpy (sent.to, s_receiver);
    sent.receipt = token (6);
    bench_told (bench_last_id (), TIM3_MSG_SENT, &sent);
    const tim3_crossing_t *receive = passed_on (TIM3_MSG_RECEIVE, "token_manager.TIM3.0");
    check_token (&receive->receipt, 6);
    ck_assert_str_eq (receive->account, s_sender);
    ck_assert_str_eq (receive->to, s_receiver);
}

START_TEST (test_transfer_to_another_shard)
{
    start_crossing ("r1");
    tim3_crossing_t received = {.tx = tim3_tx_id ("TIM3", s_sender, "r1"), .amount = 5, .receipt = token (7)};
    bench_told (bench_last_id (), TIM3_MSG_RECEIVED, &received);
    const tim3_crossing_t *settle = bench_sent (TIM3_MSG_SETTLE_SENT);
    ck_assert_str_eq (bench_nth (TIM3_MSG_SETTLE_SENT, 0)->to, "token_manager.TIM3.1");
    check_token (&settle->receipt, 7);
    const tim3_transaction_t *answer = bench_sent (TIM3_MSG_TRANSACTION);
    ck_assert_uint_eq (answer->status, TIM3_TX_STATUS_COMPLETED);
    ck_assert (answer->balance == 1 && answer->supply == 3 && answer->time_us == 77);
    ck_assert_uint_eq (bench_metric ("in_flight"), 0);
}
END_TEST

/*  Nobody is told that it failed before the sender has his tokens back; and no error on the way ends it.  */
START_TEST (test_transfer_comes_back)
{
    start_crossing ("r1");
    tim3_id_t tx = tim3_tx_id ("TIM3", s_sender, "r1");
    tim3_error_t error;
    tim3_error_fill (&error, TIM3_BAD_RECEIPT, NULL);
    error.tx = tx;
    error.request = TIM3_MSG_RECEIVE;
    bench_told (bench_last_id (), TIM3_MSG_ERROR, &error);
    ck_assert_uint_eq (bench_count (), 0);
    tim3_not_received_t refused = {.tx = tx, .amount = 5, .code = TIM3_ACCOUNT_FROZEN, .receipt = token (8)};
    bench_told (bench_last_id (), TIM3_MSG_NOT_RECEIVED, &refused);
    const tim3_not_received_t *back = passed_on (TIM3_MSG_RETURN_SENT, "token_manager.TIM3.1");
    check_token (&back->receipt, 8);
    ck_assert_uint_eq (back->code, TIM3_ACCOUNT_FROZEN);
    ck_assert_uint_eq (bench_metric ("in_flight"), 1);
    tim3_settled_t settled = {.tx = tx};
    bench_told (bench_last_id (), TIM3_MSG_SETTLED, &settled);
    ck_assert_uint_eq (((const tim3_error_t *) bench_sent (TIM3_MSG_ERROR))->code, TIM3_ACCOUNT_FROZEN);
    ck_assert_uint_eq (bench_metric ("in_flight"), 0);
}
END_TEST

/*  ----------------------------------------------------------------------------------------------- refusals  */

START_TEST (test_order_of_checks)
{
    tim3_mint_t ask = {0};
    bench_refused (TIM3_MSG_MINT, &ask, TIM3_INVALID_ACCOUNT);
    strcpy (ask.account, "alice");
    bench_refused (TIM3_MSG_MINT, &ask, TIM3_INVALID_AMOUNT);
    ask.amount = 5;
    bench_refused (TIM3_MSG_MINT, &ask, TIM3_INVALID_REQUEST_ID);
    tim3_redeem_t redeem = {0};
    bench_refused (TIM3_MSG_REDEEM, &redeem, TIM3_INVALID_ACCOUNT);
    tim3_transfer_t move = wanted ("", "", 0, "");
    bench_refused (TIM3_MSG_TRANSFER, &move, TIM3_INVALID_ACCOUNT);
    move = wanted ("alice", "alice", 0, "");
    bench_refused (TIM3_MSG_TRANSFER, &move, TIM3_SAME_ACCOUNT);
    move = wanted ("alice", "bob", 0, "");
    bench_refused (TIM3_MSG_TRANSFER, &move, TIM3_INVALID_AMOUNT);
    move = wanted ("alice", "bob", 5, "two words");
    bench_refused (TIM3_MSG_TRANSFER, &move, TIM3_INVALID_REQUEST_ID);
    ck_assert_uint_eq (bench_metric ("in_flight"), 0);
}
END_TEST

/*  Whose the id is for ever, a ledger decides; a coordinator only knows that it is busy with it.  */
START_TEST (test_other_request_under_an_id_in_flight)
{
    start_mint ("r1");
    tim3_mint_t ask = asking (6, "r1");
    bench_refused (TIM3_MSG_MINT, &ask, TIM3_NOT_READY);
    tim3_redeem_t redeem = redeeming (5, "r1");
    bench_refused (TIM3_MSG_REDEEM, &redeem, TIM3_NOT_READY);
    tim3_transfer_t move = wanted ("alice", "bob", 5, "r1");
    bench_refused (TIM3_MSG_TRANSFER, &move, TIM3_NOT_READY);
    ck_assert_uint_eq (bench_metric ("in_flight"), 1);
}
END_TEST

START_TEST (test_overloaded)
{
    bench_settings.in_flight_most = 2;
    start_mint ("r1");
    start_mint ("r2");
    tim3_mint_t ask = asking (5, "r3");
    bench_refused (TIM3_MSG_MINT, &ask, TIM3_OVERLOADED);
    ck_assert (bench_has_reason ("overloaded"));
    /* who asks for what is under way already is no load */
    ask = asking (5, "r1");
    bench_send (TIM3_MSG_MINT, &ask);
    ck_assert_uint_eq (bench_count (), 0);
    ck_assert_uint_eq (bench_metric ("overloaded"), 1);
}
END_TEST

/*  Clients are told that a ledger's store is full as long as nothing has been decided; later it is asked again.  */
START_TEST (test_a_full_ledger)
{
    start_mint ("r1");
    ledger_refuses ("r1", TIM3_MSG_TOKEN_MINT, TIM3_STORAGE_FULL);
    ck_assert_uint_eq (bench_count (), 0);
    ledger_refuses ("r1", TIM3_MSG_LOCK, TIM3_STORAGE_FULL);
    check_failed (TIM3_MSG_MINT, TIM3_STORAGE_FULL, 0, 0);
    start_redeem ("r2");
    ledger_refuses ("r2", TIM3_MSG_TOKEN_BURN, TIM3_STORAGE_FULL);
    check_failed (TIM3_MSG_REDEEM, TIM3_STORAGE_FULL, 0, 0);
    start_transfer ("r3");
    ledger_refuses ("r3", TIM3_MSG_TOKEN_TRANSFER, TIM3_STORAGE_FULL);
    check_failed (TIM3_MSG_TRANSFER, TIM3_STORAGE_FULL, 0, 0);
    start_redeem ("r4");
    minted (TIM3_MSG_BURNED, "r4");
    ledger_refuses ("r4", TIM3_MSG_RELEASE, TIM3_STORAGE_FULL);
    ck_assert_uint_eq (bench_count (), 0);
    ck_assert_uint_eq (bench_metric ("in_flight"), 1);
}
END_TEST

/*  A ledger's refusal ends a flight if it is final, and only if it is about the stage at hand.  */
START_TEST (test_ledger_refuses)
{
    start_mint ("r1");
    ledger_refuses ("r1", TIM3_MSG_LOCK, TIM3_NOT_READY);
    ledger_refuses ("r1", TIM3_MSG_LOCK, TIM3_INTERNAL);
    ledger_refuses ("r1", TIM3_MSG_TOKEN_MINT, TIM3_ID_REUSED);
    ledger_refuses ("r9", TIM3_MSG_LOCK, TIM3_ID_REUSED);
    ck_assert_uint_eq (bench_count (), 0);
    ck_assert_uint_eq (bench_metric ("in_flight"), 1);
    ledger_refuses ("r1", TIM3_MSG_LOCK, TIM3_ID_REUSED);
    check_failed (TIM3_MSG_MINT, TIM3_ID_REUSED, 3, 5);
    start_redeem ("r2");
    ledger_refuses ("r2", TIM3_MSG_TOKEN_BURN, TIM3_INSUFFICIENT_FUNDS);
    check_failed (TIM3_MSG_REDEEM, TIM3_INSUFFICIENT_FUNDS, 3, 5);
    start_transfer ("r3");
    ledger_refuses ("r3", TIM3_MSG_TOKEN_TRANSFER, TIM3_ACCOUNT_FROZEN);
    check_failed (TIM3_MSG_TRANSFER, TIM3_ACCOUNT_FROZEN, 3, 5);
    start_mint ("r4");
    lock_refused ("r4");
    ledger_refuses ("r4", TIM3_MSG_RESOLVE_REFUSED, TIM3_ID_REUSED);
    check_failed (TIM3_MSG_MINT, TIM3_ID_REUSED, 3, 5);
}
END_TEST

START_TEST (test_burned_goes_only_forward)
{
    start_redeem ("r1");
    minted (TIM3_MSG_BURNED, "r1");
    ledger_refuses ("r1", TIM3_MSG_RELEASE, TIM3_WRONG_STATE);
    ledger_refuses ("r1", TIM3_MSG_TOKEN_BURN, TIM3_INSUFFICIENT_FUNDS);
    ck_assert_uint_eq (bench_count (), 0);
    released (TIM3_RELEASE_REASON_BURN, "r1");
    completed (TIM3_TX_KIND_REDEEM);
}
END_TEST

START_TEST (test_voiding_that_is_refused_fails_as_the_mint_did)
{
    start_mint ("r1");
    locked ("r1");
    voided ("r1", TIM3_CAP_EXCEEDED);
    ledger_refuses ("r1", TIM3_MSG_RELEASE, TIM3_WRONG_STATE);
    check_failed (TIM3_MSG_MINT, TIM3_CAP_EXCEEDED, 3, 5);
}
END_TEST

/*  ------------------------------------------------------------------------------------- late and stray answers  */

static void hear_all (const char *id)
{
    locked (id);
    lock_refused (id);
    voided (id, TIM3_VOIDED);
    minted (TIM3_MSG_MINTED, id);
    minted (TIM3_MSG_BURNED, id);
    released (TIM3_RELEASE_REASON_BURN, id);
    released (TIM3_RELEASE_REASON_VOID, id);
    transferred (id);
}

START_TEST (test_strays_are_ignored)
{
    hear_all ("r1");
    ck_assert_uint_eq (bench_metric ("completed") + bench_metric ("failed"), 0);
    start_transfer ("r1");
    locked ("r1");
    lock_refused ("r1");
    voided ("r1", TIM3_VOIDED);
    minted (TIM3_MSG_MINTED, "r1");
    minted (TIM3_MSG_BURNED, "r1");
    released (TIM3_RELEASE_REASON_BURN, "r1");
    released (TIM3_RELEASE_REASON_VOID, "r1");
    ck_assert_uint_eq (bench_count (), 0);
    ck_assert_uint_eq (bench_metric ("in_flight"), 1);
    transferred ("r1");
    completed (TIM3_TX_KIND_TRANSFER);
    hear_all ("r1");
    ck_assert_uint_eq (bench_count (), 0);
    ck_assert_uint_eq (bench_metric ("completed"), 1);
}
END_TEST

/*  An answer to a flight that is over is none to the next one under the same id.  */
START_TEST (test_answers_to_older_flights_are_ignored)
{
    tim3_receipt_t body = {.tx = tx_of ("r1"), .account = "alice", .amount = 5, .receipt = token (1)};
    start_mint ("r1");
    uint64_t old = bench_nth (TIM3_MSG_LOCK, 0)->id;
    ledger_refuses ("r1", TIM3_MSG_LOCK, TIM3_INVALID_AMOUNT);
    start_mint ("r1");
    uint64_t new = bench_nth (TIM3_MSG_LOCK, 0)->id;
    bench_told (old, TIM3_MSG_LOCKED, &body);
    ck_assert_uint_eq (bench_count (), 0);
    /* the first question may still be answered when it has been asked again */
    bench_pass (BENCH_SECOND);
    bench_told (new, TIM3_MSG_LOCKED, &body);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_TOKEN_MINT), 1);
}
END_TEST

START_TEST (test_duplicates_move_once)
{
    start_mint ("r1");
    minted (TIM3_MSG_MINTED, "r1"); /* too early: nothing was minted for this flight yet */
    ck_assert_uint_eq (bench_count (), 0);
    locked ("r1");
    locked ("r1");
    ck_assert_uint_eq (bench_count (), 0);
    lock_refused ("r1");
    ck_assert_uint_eq (bench_count (), 0);
    minted (TIM3_MSG_MINTED, "r1");
    completed (TIM3_TX_KIND_MINT);
    minted (TIM3_MSG_MINTED, "r1");
    ck_assert_uint_eq (bench_count (), 0);
    voided ("r1", TIM3_VOIDED);
    ck_assert_uint_eq (bench_count (), 0);
    start_redeem ("r2");
    minted (TIM3_MSG_BURNED, "r2");
    minted (TIM3_MSG_BURNED, "r2");
    released (TIM3_RELEASE_REASON_VOID, "r2");
    ck_assert_uint_eq (bench_count (), 0);
    released (TIM3_RELEASE_REASON_BURN, "r2");
    completed (TIM3_TX_KIND_REDEEM);
}
END_TEST

START_TEST (test_everyone_who_waits_is_answered)
{
    tim3_mint_t ask = asking (5, "r1");
    char peer[20];
    bench_begin ();
    for (unsigned i = 0; i < TIM3_WAITERS_PER_TX; i++) {
        snprintf (peer, sizeof peer, "p%u", i);
        bench_take (peer, TIM3_MSG_MINT, &ask);
    }
    ck_assert_int_eq (bench_commit (), 0);
    ck_assert_uint_eq (bench_count (), 1);
    locked ("r1");
    minted (TIM3_MSG_MINTED, "r1");
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_TRANSACTION), TIM3_WAITERS_PER_TX);
    for (unsigned i = 0; i < TIM3_WAITERS_PER_TX; i++)
        for (unsigned j = 0; j < i; j++)
            ck_assert_str_ne (bench_nth (TIM3_MSG_TRANSACTION, i)->to,
                              bench_nth (TIM3_MSG_TRANSACTION, j)->to);
}
END_TEST

/*  Under other envelope ids; a message that comes twice is answered once.  */
START_TEST (test_each_message_of_one_peer_is_answered)
{
    tim3_mint_t ask = asking (5, "r1");
    uint64_t ids[TIM3_WAITERS_PER_TX];
    unsigned found = 0;
    bench_begin ();
    for (unsigned i = 0; i < TIM3_WAITERS_PER_TX; i++)
        ids[i] = bench_take ("p", TIM3_MSG_MINT, &ask);
    bench_take_again ("p", TIM3_MSG_MINT, &ask, ids[0]);
    uint64_t more = bench_take ("p", TIM3_MSG_MINT, &ask);
    ck_assert_int_eq (bench_commit (), 0);
    ck_assert_uint_eq (bench_count (), 2);
    ck_assert_uint_eq (bench_nth (TIM3_MSG_ERROR, 0)->reply_to, more);
    ck_assert_uint_eq (((const tim3_error_t *) bench_sent (TIM3_MSG_ERROR))->code, TIM3_OVERLOADED);
    locked ("r1");
    minted (TIM3_MSG_MINTED, "r1");
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_TRANSACTION), TIM3_WAITERS_PER_TX);
    for (unsigned i = 0; i < TIM3_WAITERS_PER_TX; i++)
        for (unsigned j = 0; j < TIM3_WAITERS_PER_TX; j++)
            found += bench_nth (TIM3_MSG_TRANSACTION, i)->reply_to == ids[j];
    ck_assert_uint_eq (found, TIM3_WAITERS_PER_TX);
}
END_TEST

/*  ------------------------------------------------------------------------------------------------- time  */

/*  Expects that stage to ask again with the waits doubling up to four.  */
static void check_asks_again (uint64_t type)
{
    static const unsigned seconds[] = {1, 2, 4, 4, 4, 4};
    for (unsigned i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        bench_pass (seconds[i] * BENCH_SECOND - 1);
        ck_assert_uint_eq (bench_count (), 0);
        bench_pass (1);
        ck_assert_uint_eq (bench_count (), 1);
        ck_assert_uint_eq (bench_at (0)->type, type);
    }
}

START_TEST (test_each_stage_asks_again)
{
    start_mint ("r1");
    check_asks_again (TIM3_MSG_LOCK);
    locked ("r1");
    check_asks_again (TIM3_MSG_TOKEN_MINT);
    teardown ();
    setup ();
    start_mint ("r2");
    lock_refused ("r2");
    check_asks_again (TIM3_MSG_RESOLVE_REFUSED);
    voided ("r2", TIM3_INSUFFICIENT_FUNDS);
    check_asks_again (TIM3_MSG_RELEASE);
    teardown ();
    setup ();
    start_redeem ("r3");
    check_asks_again (TIM3_MSG_TOKEN_BURN);
    minted (TIM3_MSG_BURNED, "r3");
    check_asks_again (TIM3_MSG_RELEASE);
    teardown ();
    setup ();
    start_transfer ("r4");
    check_asks_again (TIM3_MSG_TOKEN_TRANSFER);
    ck_assert_uint_eq (bench_metric ("resent"), 6);
    ck_assert (bench_has_reason ("slow"));
}
END_TEST

START_TEST (test_no_answer)
{
    start_mint ("r1");
    bench_pass (FLIGHT_MOST);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_ERROR), 0);
    bench_pass (1);
    const tim3_error_t *error = bench_sent (TIM3_MSG_ERROR);
    ck_assert_uint_eq (error->code, TIM3_NO_ANSWER);
    ck_assert_str_eq (error->advice, "unknown");
    tim3_id_t tx = tx_of ("r1");
    ck_assert (tim3_id_equal (&error->tx, &tx));
    ck_assert_uint_eq (bench_metric ("abandoned"), 1);
    ck_assert_uint_eq (bench_metric ("waiting"), 0);
    /* and asking again begins again */
    start_mint ("r1");
    locked ("r1");
    minted (TIM3_MSG_MINTED, "r1");
    completed (TIM3_TX_KIND_MINT);
}
END_TEST

START_TEST (test_a_crash_forgets_flights)
{
    start_mint ("r1");
    bench_restart ();
    locked ("r1");
    ck_assert_uint_eq (bench_count (), 0);
    start_mint ("r1");
    locked ("r1");
    minted (TIM3_MSG_MINTED, "r1");
    completed (TIM3_TX_KIND_MINT);
}
END_TEST

/*  --------------------------------------------------------------------------------------------- look-ups  */

static uint64_t look_up (const tim3_get_transaction_t *ask)
{
    bench_send (TIM3_MSG_GET_TRANSACTION, ask);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_GET_RECORD), 1);
    return bench_nth (TIM3_MSG_GET_RECORD, 0)->id;
}

static void tell_unknown (uint64_t id, uint64_t request)
{
    tim3_error_t error;
    tim3_error_fill (&error, TIM3_NOT_FOUND, NULL);
    error.request = request;
    bench_told (id, TIM3_MSG_ERROR, &error);
}

START_TEST (test_get_transaction_in_flight)
{
    tim3_get_transaction_t ask = {.account = "alice", .request_id = "r1"};
    start_mint ("r1");
    const tim3_transaction_t *answer = bench_ask (TIM3_MSG_GET_TRANSACTION, &ask, TIM3_MSG_TRANSACTION);
    ck_assert_uint_eq (answer->status, TIM3_TX_STATUS_PENDING);
    ask = (tim3_get_transaction_t){.tx = tx_of ("r1")};
    bench_ask (TIM3_MSG_GET_TRANSACTION, &ask, TIM3_MSG_TRANSACTION);
    ask = (tim3_get_transaction_t){.account = "", .request_id = ""};
    bench_refused (TIM3_MSG_GET_TRANSACTION, &ask, TIM3_INVALID_ACCOUNT);
    strcpy (ask.account, "alice");
    bench_refused (TIM3_MSG_GET_TRANSACTION, &ask, TIM3_INVALID_REQUEST_ID);
}
END_TEST

START_TEST (test_get_transaction_from_the_token_ledger)
{
    tim3_get_transaction_t ask = {.account = "alice", .request_id = "r1"};
    tim3_transaction_t record = {
        .tx = tx_of ("r1"), .kind = TIM3_TX_KIND_TRANSFER, .account = "alice", .to = "bob"};
    record.status = TIM3_TX_STATUS_FAILED;
    record.code = TIM3_ACCOUNT_FROZEN;
    uint64_t id = look_up (&ask);
    bench_told (id + 1000, TIM3_MSG_TRANSACTION, &record);
    ck_assert_uint_eq (bench_count (), 0);
    bench_told (id, TIM3_MSG_TRANSACTION, &record);
    const tim3_transaction_t *answer = bench_sent (TIM3_MSG_TRANSACTION);
    ck_assert_uint_eq (answer->code, TIM3_ACCOUNT_FROZEN);
    ck_assert_str_eq (bench_at (0)->to, "asker");
    bench_told (id, TIM3_MSG_TRANSACTION, &record);
    ck_assert_uint_eq (bench_count (), 0);
}
END_TEST

START_TEST (test_get_transaction_from_the_lock_manager)
{
    tim3_get_transaction_t ask = {.tx = tx_of ("r1")};
    tim3_lock_item_t lock = {
        .tx = tx_of ("r1"), .account = "alice", .amount = 5, .state = TIM3_LOCK_STATE_PENDING};
    lock.created_us = 9;
    tell_unknown (look_up (&ask), TIM3_MSG_GET_RECORD);
    uint64_t id = bench_nth (TIM3_MSG_GET_LOCK, 0)->id;
    bench_told (id, TIM3_MSG_LOCK_ITEM, &lock);
    const tim3_transaction_t *answer = bench_sent (TIM3_MSG_TRANSACTION);
    ck_assert_uint_eq (answer->status, TIM3_TX_STATUS_PENDING);
    ck_assert_uint_eq (answer->kind, TIM3_TX_KIND_MINT);
    ck_assert_uint_eq (answer->time_us, 9);
    tell_unknown (look_up (&ask), TIM3_MSG_GET_RECORD);
    tell_unknown (bench_nth (TIM3_MSG_GET_LOCK, 0)->id, TIM3_MSG_GET_LOCK);
    const tim3_error_t *error = bench_sent (TIM3_MSG_ERROR);
    ck_assert_uint_eq (error->code, TIM3_NOT_FOUND);
    ck_assert_uint_eq (error->request, TIM3_MSG_GET_TRANSACTION);
}
END_TEST

START_TEST (test_look_ups_time_out)
{
    tim3_get_transaction_t ask = {.tx = tx_of ("r1")};
    tim3_transaction_t record = {
        .tx = tx_of ("r1"), .kind = TIM3_TX_KIND_MINT, .status = TIM3_TX_STATUS_COMPLETED};
    uint64_t id = look_up (&ask);
    bench_pass (10 * BENCH_SECOND);
    ck_assert_uint_eq (bench_count (), 0);
    bench_pass (1);
    ck_assert_uint_eq (((const tim3_error_t *) bench_sent (TIM3_MSG_ERROR))->code, TIM3_NOT_READY);
    bench_told (id, TIM3_MSG_TRANSACTION, &record);
    ck_assert_uint_eq (bench_count (), 0);
}
END_TEST

START_TEST (test_look_ups_are_bounded)
{
    tim3_get_transaction_t ask = {.tx = tx_of ("r1")};
    bench_begin ();
    for (unsigned i = 0; i < 4097; i++)
        bench_take ("asker", TIM3_MSG_GET_TRANSACTION, &ask);
    ck_assert_int_eq (tim3_store_dirty (bench_store ()), 0);
    bench_pass (0); /* drops what the batch would have sent: 4,096 look-ups and a refusal */
    ck_assert_uint_eq (bench_metric ("overloaded"), 1);
}
END_TEST

/*  An account of one of two shards.  */
static const char *account_of (unsigned shard)
{
    return bench_account (shard, 2);
}

/*  Locks under way first, then all that the token ledger has decided.  */
START_TEST (test_list_transactions)
{
    tim3_list_transactions_t ask = {.account = "alice", .limit = 2};
    tim3_lock_item_t items[2] = {{.tx = tx_of ("r1"), .account = "alice", .amount = 5},
                                 {.tx = tx_of ("r2"), .account = "alice", .amount = 6}};
    items[0].state = TIM3_LOCK_STATE_PENDING;
    items[1].state = TIM3_LOCK_STATE_RELEASING;
    items[1].reason = TIM3_RELEASE_REASON_BURN;
    tim3_locks_t locks = {.items = {items, 2}, .cursor = "abcd"};
    bench_send (TIM3_MSG_LIST_TRANSACTIONS, &ask);
    const tim3_list_locks_t *list = passed_on (TIM3_MSG_LIST_LOCKS, "lock_manager.TIM3.0");
    ck_assert (list->unsettled && list->limit == 2);
    ck_assert_str_eq (list->account, "alice");
    ck_assert_str_eq (list->cursor, "");
    bench_told (bench_at (0)->id, TIM3_MSG_LOCKS, &locks);
    const tim3_transactions_t *page = bench_sent (TIM3_MSG_TRANSACTIONS);
    ck_assert_uint_eq (page->items.count, 1);
    ck_assert_str_eq (page->cursor, "laabcd");
    strcpy (ask.cursor, page->cursor);
    bench_send (TIM3_MSG_LIST_TRANSACTIONS, &ask);
    list = passed_on (TIM3_MSG_LIST_LOCKS, "lock_manager.TIM3.0");
    ck_assert_str_eq (list->cursor, "abcd");
    locks.cursor[0] = '\0';
    bench_told (bench_at (0)->id, TIM3_MSG_LOCKS, &locks);
    page = bench_sent (TIM3_MSG_TRANSACTIONS);
    ck_assert_str_eq (page->cursor, "ta");
    strcpy (ask.cursor, "ta");
    bench_send (TIM3_MSG_LIST_TRANSACTIONS, &ask);
    const tim3_list_transactions_t *records = passed_on (TIM3_MSG_LIST_RECORDS, "token_manager.TIM3.0");
    ck_assert_str_eq (records->cursor, "");
    tim3_transaction_t record = {
        .tx = tx_of ("r3"), .kind = TIM3_TX_KIND_MINT, .status = TIM3_TX_STATUS_COMPLETED};
    tim3_transactions_t answer = {.items = {&record, 1}, .cursor = "hff"};
    bench_told (bench_at (0)->id, TIM3_MSG_TRANSACTIONS, &answer);
    page = bench_sent (TIM3_MSG_TRANSACTIONS);
    ck_assert_uint_eq (page->items.count, 1);
    ck_assert_str_eq (page->cursor, "tahff");
}
END_TEST

/*  Without an account, the same of each shard; with one, of its shard alone.  */
START_TEST (test_list_of_all_shards)
{
    tim3_list_transactions_t ask = {.status = TIM3_TX_STATUS_COMPLETED};
    tim3_transactions_t answer = {.cursor = "00"};
    bench_settings.shards = 2;
    bench_send (TIM3_MSG_LIST_TRANSACTIONS, &ask);
    passed_on (TIM3_MSG_LIST_RECORDS, "token_manager.TIM3.0");
    bench_told (bench_at (0)->id, TIM3_MSG_TRANSACTIONS, &answer);
    const tim3_transactions_t *page = bench_sent (TIM3_MSG_TRANSACTIONS);
    ck_assert_str_eq (page->cursor, "ta00");
    strcpy (ask.cursor, page->cursor);
    bench_send (TIM3_MSG_LIST_TRANSACTIONS, &ask);
    const tim3_list_transactions_t *list = passed_on (TIM3_MSG_LIST_RECORDS, "token_manager.TIM3.0");
    ck_assert_str_eq (list->cursor, "00");
    answer.cursor[0] = '\0';
    bench_told (bench_at (0)->id, TIM3_MSG_TRANSACTIONS, &answer);
    page = bench_sent (TIM3_MSG_TRANSACTIONS);
    ck_assert_str_eq (page->cursor, "tb");
    strcpy (ask.cursor, page->cursor);
    bench_send (TIM3_MSG_LIST_TRANSACTIONS, &ask);
    passed_on (TIM3_MSG_LIST_RECORDS, "token_manager.TIM3.1");
    bench_told (bench_at (0)->id, TIM3_MSG_TRANSACTIONS, &answer);
    page = bench_sent (TIM3_MSG_TRANSACTIONS);
    ck_assert_str_eq (page->cursor, "");
    strcpy (ask.cursor, "tc");
    bench_refused (TIM3_MSG_LIST_TRANSACTIONS, &ask, TIM3_INVALID_FIELD);
    strcpy (ask.account, account_of (1));
    strcpy (ask.cursor, "ta");
    bench_refused (TIM3_MSG_LIST_TRANSACTIONS, &ask, TIM3_INVALID_FIELD);
    ask.cursor[0] = '\0';
    bench_send (TIM3_MSG_LIST_TRANSACTIONS, &ask);
    passed_on (TIM3_MSG_LIST_RECORDS, "token_manager.TIM3.1");
}
END_TEST

/*  Whoever knows a tx alone does not say where it is.  */
START_TEST (test_look_up_in_all_shards)
{
    tim3_get_transaction_t ask = {.tx = tx_of ("r1")};
    bench_settings.shards = 2;
    tell_unknown (look_up (&ask), TIM3_MSG_GET_RECORD);
    passed_on (TIM3_MSG_GET_LOCK, "lock_manager.TIM3.0");
    tell_unknown (bench_at (0)->id, TIM3_MSG_GET_LOCK);
    passed_on (TIM3_MSG_GET_RECORD, "token_manager.TIM3.1");
    tell_unknown (bench_at (0)->id, TIM3_MSG_GET_RECORD);
    passed_on (TIM3_MSG_GET_LOCK, "lock_manager.TIM3.1");
    tell_unknown (bench_at (0)->id, TIM3_MSG_GET_LOCK);
    ck_assert_uint_eq (((const tim3_error_t *) bench_sent (TIM3_MSG_ERROR))->code, TIM3_NOT_FOUND);
}
END_TEST

START_TEST (test_requests_go_to_the_accounts_shard)
{
    tim3_mint_t ask = {.amount = 5, .request_id = "r1"};
    bench_settings.shards = 2;
    strcpy (ask.account, account_of (1));
    bench_send (TIM3_MSG_MINT, &ask);
    passed_on (TIM3_MSG_LOCK, "lock_manager.TIM3.1");
}
END_TEST

START_TEST (test_list_of_one_status)
{
    tim3_list_transactions_t ask = {.status = TIM3_TX_STATUS_COMPLETED};
    bench_send (TIM3_MSG_LIST_TRANSACTIONS, &ask);
    passed_on (TIM3_MSG_LIST_RECORDS, "token_manager.TIM3.0");
    tim3_error_t error;
    tim3_error_fill (&error, TIM3_INVALID_FIELD, "cursor");
    bench_told (bench_at (0)->id, TIM3_MSG_ERROR, &error);
    const tim3_error_t *passed = bench_sent (TIM3_MSG_ERROR);
    ck_assert_uint_eq (passed->code, TIM3_INVALID_FIELD);
    ck_assert_uint_eq (passed->request, TIM3_MSG_LIST_TRANSACTIONS);
    strcpy (ask.cursor, "x00");
    bench_refused (TIM3_MSG_LIST_TRANSACTIONS, &ask, TIM3_INVALID_FIELD);
    ask = (tim3_list_transactions_t){.status = TIM3_TX_STATUS_PENDING};
    bench_send (TIM3_MSG_LIST_TRANSACTIONS, &ask);
    passed_on (TIM3_MSG_LIST_LOCKS, "lock_manager.TIM3.0");
}
END_TEST

Suite *suite_coordinator (void)
{
    Suite *suite = suite_create ("coordinator");
    TCase *tcase = tcase_create ("coordinator");
    tcase_set_timeout (tcase, 60);
    tcase_add_checked_fixture (tcase, setup, teardown);
    tcase_add_test (tcase, test_mint);
    tcase_add_test (tcase, test_transfer_to_another_shard);
    tcase_add_test (tcase, test_transfer_comes_back);
    tcase_add_test (tcase, test_requests_go_to_the_accounts_shard);
    tcase_add_test (tcase, test_list_of_all_shards);
    tcase_add_test (tcase, test_look_up_in_all_shards);
    tcase_add_test (tcase, test_settles_go_with_the_next_lock);
    tcase_add_test (tcase, test_settles_of_a_batch);
    tcase_add_test (tcase, test_mint_with_a_refused_lock);
    tcase_add_test (tcase, test_mint_that_is_voided);
    tcase_add_test (tcase, test_redeem);
    tcase_add_test (tcase, test_transfer);
    tcase_add_test (tcase, test_order_of_checks);
    tcase_add_test (tcase, test_other_request_under_an_id_in_flight);
    tcase_add_test (tcase, test_overloaded);
    tcase_add_test (tcase, test_a_full_ledger);
    tcase_add_test (tcase, test_ledger_refuses);
    tcase_add_test (tcase, test_burned_goes_only_forward);
    tcase_add_test (tcase, test_voiding_that_is_refused_fails_as_the_mint_did);
    tcase_add_test (tcase, test_strays_are_ignored);
    tcase_add_test (tcase, test_answers_to_older_flights_are_ignored);
    tcase_add_test (tcase, test_duplicates_move_once);
    tcase_add_test (tcase, test_everyone_who_waits_is_answered);
    tcase_add_test (tcase, test_each_message_of_one_peer_is_answered);
    tcase_add_test (tcase, test_each_stage_asks_again);
    tcase_add_test (tcase, test_no_answer);
    tcase_add_test (tcase, test_a_crash_forgets_flights);
    tcase_add_test (tcase, test_get_transaction_in_flight);
    tcase_add_test (tcase, test_get_transaction_from_the_token_ledger);
    tcase_add_test (tcase, test_get_transaction_from_the_lock_manager);
    tcase_add_test (tcase, test_look_ups_time_out);
    tcase_add_test (tcase, test_look_ups_are_bounded);
    tcase_add_test (tcase, test_list_transactions);
    tcase_add_test (tcase, test_list_of_one_status);
    suite_add_tcase (suite, tcase);
    return suite;
}
