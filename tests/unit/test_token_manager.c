/*  test_token_manager.c - the token ledger's core: mints, burns, voids, transfers, controls, its sweep and its lists.  */
#include "../../token_manager/core.h"
#include "bench.h"
#include "seeded.h"
#include "suites.h"

#include <stdio.h>
#include <string.h>

static void setup (void)
{
    bench_defaults ("token_manager.TIM3.0");
    bench_open (&tim3_token_manager_core);
}

static void teardown (void)
{
    bench_close ();
}

/*  ------------------------------------------------------------------------------------------- requests  */

static tim3_receipt_t proven (tim3_receipt_kind_t kind, uint8_t tx, const char *account, tim3_amount_t amount,
                              uint64_t extra)
{
    tim3_receipt_t ask = {.tx = bench_tx (tx), .amount = amount};
    strcpy (ask.account, account);
    ask.receipt = bench_evidence (kind, &ask.tx, account, amount, extra);
    return ask;
}

/*  What TokenMint and Resolve carry.  */
static tim3_receipt_t locked (uint8_t tx, const char *account, tim3_amount_t amount)
{
    return proven (TIM3_RECEIPT_KIND_LOCK, tx, account, amount, 0);
}

static tim3_refusal_t lock_refused (uint8_t tx, const char *account, tim3_amount_t amount)
{
    tim3_refusal_t ask = {.tx = bench_tx (tx), .amount = amount, .code = TIM3_INSUFFICIENT_FUNDS};
    strcpy (ask.account, account);
    ask.available = 3;
    ask.needed = amount;
    ask.receipt = bench_evidence (TIM3_RECEIPT_KIND_REFUSAL, &ask.tx, account, amount, ask.code);
    return ask;
}

static tim3_lock_t burning (uint8_t tx, const char *account, tim3_amount_t amount)
{
    tim3_lock_t ask = {.tx = bench_tx (tx), .amount = amount};
    strcpy (ask.account, account);
    return ask;
}

static tim3_receipt_t released (uint8_t tx, const char *account, tim3_amount_t amount)
{
    return proven (TIM3_RECEIPT_KIND_RELEASE, tx, account, amount, TIM3_RELEASE_REASON_BURN);
}

static tim3_token_transfer_t moving (uint8_t tx, const char *account, const char *to, tim3_amount_t amount)
{
    tim3_token_transfer_t ask = {.tx = bench_tx (tx), .amount = amount};
    strcpy (ask.account, account);
    strcpy (ask.to, to);
    return ask;
}

static tim3_control_t control (unsigned what, const char *account, tim3_amount_t amount, const char *id)
{
    tim3_control_t ask = {.control = (uint8_t) what, .amount = amount};
    strcpy (ask.account, account);
    strcpy (ask.request_id, id);
    return ask;
}

static void mint (uint8_t tx, const char *account, tim3_amount_t amount)
{
    tim3_receipt_t ask = locked (tx, account, amount);
    bench_ask (TIM3_MSG_TOKEN_MINT, &ask, TIM3_MSG_MINTED);
}

static void burn (uint8_t tx, const char *account, tim3_amount_t amount)
{
    tim3_lock_t ask = burning (tx, account, amount);
    bench_ask (TIM3_MSG_TOKEN_BURN, &ask, TIM3_MSG_BURNED);
}

static void steer (unsigned what, const char *account, tim3_amount_t amount, const char *id)
{
    tim3_control_t ask = control (what, account, amount, id);
    bench_ask (TIM3_MSG_CONTROL, &ask, TIM3_MSG_TRANSACTION);
}

static tim3_ledger_t ledger (void)
{
    return *(const tim3_ledger_t *) bench_ask (TIM3_MSG_GET_SUPPLY, NULL, TIM3_MSG_SUPPLY);
}

static tim3_account_t account (const char *name)
{
    tim3_account_only_t ask = {""};
    strcpy (ask.account, name);
    return *(const tim3_account_t *) bench_ask (TIM3_MSG_GET_BALANCE, &ask, TIM3_MSG_BALANCE);
}

static tim3_amount_t balance (const char *name)
{
    return account (name).balance;
}

static tim3_transaction_t record (uint8_t tx)
{
    tim3_tx_only_t ask = {bench_tx (tx)};
    return *(const tim3_transaction_t *) bench_ask (TIM3_MSG_GET_RECORD, &ask, TIM3_MSG_TRANSACTION);
}

/*  Expects a void receipt for that lock, with that reason.  */
static tim3_refusal_t voided (uint64_t type, const void *ask, tim3_result_t code)
{
    tim3_refusal_t answer = *(const tim3_refusal_t *) bench_ask (type, ask, TIM3_MSG_VOIDED);
    tim3_mac_t right = bench_evidence (TIM3_RECEIPT_KIND_VOID, &answer.tx, answer.account, answer.amount, 0);
    ck_assert_str_eq (tim3_result_name ((unsigned) answer.code), tim3_result_name (code));
    ck_assert_mem_eq (answer.receipt.bytes, right.bytes, sizeof right.bytes);
    return answer;
}

/*  ------------------------------------------------------------------------------------------------- mint  */

START_TEST (test_mint)
{
    tim3_receipt_t ask = locked (1, "alice", 100);
    const tim3_minted_t *minted = bench_ask (TIM3_MSG_TOKEN_MINT, &ask, TIM3_MSG_MINTED);
    tim3_mac_t right = bench_evidence (TIM3_RECEIPT_KIND_MINT, &ask.tx, "alice", 100, 0);
    ck_assert_mem_eq (minted->receipt.bytes, right.bytes, sizeof right.bytes);
    ck_assert (minted->balance == 100 && minted->supply == 100 && minted->amount == 100);
    ck_assert_uint_eq (minted->time_us, BENCH_START);
    mint (2, "bob", 50);
    /* what was answered first is answered for ever, balances as of then included */
    bench_twice (TIM3_MSG_TOKEN_MINT, &ask);
    bench_twice (TIM3_MSG_RESOLVE, &ask);
    ck_assert (balance ("alice") == 100 && ledger ().supply == 150 && ledger ().minted == 150);
    ck_assert_uint_eq (ledger ().mints, 2);
    ck_assert_uint_eq (ledger ().accounts, 2);
    ck_assert_uint_eq (bench_events (), 2);
    const tim3_token_changed_t *event = bench_event (2, TIM3_MSG_TOKEN_MINTED);
    ck_assert_str_eq (event->account, "bob");
    ck_assert (event->balance == 50 && event->supply == 150);
}
END_TEST

START_TEST (test_mint_order_of_checks)
{
    tim3_receipt_t ask = locked (1, "no spaces", 0);
    ask.receipt.bytes[0] ^= 1;
    bench_refused (TIM3_MSG_TOKEN_MINT, &ask, TIM3_INVALID_ACCOUNT);
    strcpy (ask.account, "alice");
    bench_refused (TIM3_MSG_TOKEN_MINT, &ask, TIM3_INVALID_AMOUNT);
    ask.amount = 10;
    bench_refused (TIM3_MSG_TOKEN_MINT, &ask, TIM3_BAD_RECEIPT);
    ck_assert_uint_eq (ledger ().refused, 0);
    steer (TIM3_CONTROL_PAUSE, "", 0, "c1");
    steer (TIM3_CONTROL_FREEZE, "alice", 0, "c2");
    steer (TIM3_CONTROL_CAP, "", 5, "c3");
    ask = locked (1, "alice", 10);
    voided (TIM3_MSG_TOKEN_MINT, &ask, TIM3_ASSET_PAUSED);
    steer (TIM3_CONTROL_UNPAUSE, "", 0, "c4");
    ask = locked (2, "alice", 10);
    voided (TIM3_MSG_TOKEN_MINT, &ask, TIM3_ACCOUNT_FROZEN);
    ask = locked (3, "bob", 10);
    tim3_refusal_t refusal = voided (TIM3_MSG_TOKEN_MINT, &ask, TIM3_CAP_EXCEEDED);
    ck_assert (refusal.available == 5 && refusal.needed == 10);
    /* known ids come before all of these, and a bad receipt before a known id */
    ask.receipt.bytes[31] ^= 0x80;
    bench_refused (TIM3_MSG_TOKEN_MINT, &ask, TIM3_BAD_RECEIPT);
    ask = locked (1, "alice", 10);
    voided (TIM3_MSG_TOKEN_MINT, &ask, TIM3_ASSET_PAUSED);
    ck_assert_uint_eq (ledger ().refused, 3);
    ck_assert (ledger ().supply == 0);
    ck_assert_uint_eq (bench_metric ("bad_receipts"), 2);
}
END_TEST

/*  A shard has an equal share of the cap, and what it has minted and burned counts, wherever the tokens are now.  */
START_TEST (test_mint_up_to_the_share_of_the_cap)
{
    const char *own = bench_account (0, 3);
    bench_settings.shards = 3;
    steer (TIM3_CONTROL_CAP, "", 20, "c1");
    ck_assert (ledger ().cap == 20);
    mint (1, own, 7);
    tim3_receipt_t more = locked (2, own, 2);
    tim3_refusal_t refusal = voided (TIM3_MSG_TOKEN_MINT, &more, TIM3_CAP_EXCEEDED);
    ck_assert (refusal.available == 1);
    burn (3, own, 5);
    mint (4, own, 6);
    bench_close ();
    bench_defaults ("token_manager.TIM3.1"); /* has no part of what is left over */
    bench_settings.shards = 3;
    bench_settings.shard = 1;
    bench_open (&tim3_token_manager_core);
    steer (TIM3_CONTROL_CAP, "", 20, "c1");
    mint (4, bench_account (1, 3), 6);
    more = locked (5, bench_account (1, 3), 1);
    refusal = voided (TIM3_MSG_TOKEN_MINT, &more, TIM3_CAP_EXCEEDED);
    ck_assert (refusal.available == 0 && refusal.needed == 1);
}
END_TEST

/*  Whatever evidence there is, another shard's account is not its own.  */
START_TEST (test_accounts_of_another_shard)
{
    const char *own = bench_account (0, 2);
    const char *other = bench_account (1, 2);
    bench_settings.shards = 2;
    mint (1, own, 5);
    tim3_receipt_t mint_other = locked (2, other, 5);
    bench_refused (TIM3_MSG_TOKEN_MINT, &mint_other, TIM3_WRONG_SHARD);
    bench_refused (TIM3_MSG_RESOLVE, &mint_other, TIM3_WRONG_SHARD);
    tim3_refusal_t refused = lock_refused (2, other, 5);
    bench_refused (TIM3_MSG_RESOLVE_REFUSED, &refused, TIM3_WRONG_SHARD);
    tim3_lock_t burn_other = burning (2, other, 5);
    bench_refused (TIM3_MSG_TOKEN_BURN, &burn_other, TIM3_WRONG_SHARD);
    tim3_control_t freeze = control (TIM3_CONTROL_FREEZE, other, 0, "c1");
    bench_refused (TIM3_MSG_CONTROL, &freeze, TIM3_WRONG_SHARD);
    tim3_account_only_t look = {""};
    strcpy (look.account, other);
    bench_refused (TIM3_MSG_GET_BALANCE, &look, TIM3_WRONG_SHARD);
    tim3_list_history_t history = {.limit = 1};
    strcpy (history.account, other);
    bench_refused (TIM3_MSG_LIST_HISTORY, &history, TIM3_WRONG_SHARD);
    ck_assert_uint_eq (bench_events (), 1);
}
END_TEST

START_TEST (test_mint_up_to_the_cap)
{
    steer (TIM3_CONTROL_CAP, "", 100, "c1");
    mint (1, "alice", 60);
    tim3_receipt_t ask = locked (2, "alice", 41);
    tim3_refusal_t refusal = voided (TIM3_MSG_TOKEN_MINT, &ask, TIM3_CAP_EXCEEDED);
    ck_assert (refusal.available == 40 && refusal.needed == 41);
    mint (3, "bob", 40);
    steer (TIM3_CONTROL_CAP, "", 10, "c2");
    ask = locked (4, "alice", 1);
    refusal = voided (TIM3_MSG_TOKEN_MINT, &ask, TIM3_CAP_EXCEEDED);
    ck_assert (refusal.available == 0 && refusal.needed == 1);
    burn (5, "alice", 60);
    burn (6, "bob", 35);
    mint (7, "alice", 5);
    ck_assert (ledger ().supply == 10);
}
END_TEST

START_TEST (test_mint_overflow)
{
    mint (1, "alice", TIM3_AMOUNT_MAX - 1);
    tim3_receipt_t ask = locked (2, "alice", 2);
    tim3_refusal_t refusal = voided (TIM3_MSG_TOKEN_MINT, &ask, TIM3_CAP_EXCEEDED);
    ck_assert (refusal.available == 1 && refusal.needed == 2);
    burn (3, "alice", TIM3_AMOUNT_MAX - 1);
    /* the sum of all mints is what is left to overflow */
    ask = locked (4, "alice", 2);
    refusal = voided (TIM3_MSG_TOKEN_MINT, &ask, TIM3_AMOUNT_OVERFLOW);
    ck_assert (refusal.available == 1 && refusal.needed == 2);
    mint (5, "alice", 1);
    ck_assert (balance ("alice") == 1 && ledger ().minted == TIM3_AMOUNT_MAX);
}
END_TEST

/*  A tx that is taken by something else can never be minted, so its lock is given back.  */
START_TEST (test_mint_of_a_taken_tx)
{
    mint (1, "alice", 100);
    burn (2, "alice", 10);
    tim3_receipt_t ask = locked (2, "alice", 10);
    tim3_refusal_t refusal = voided (TIM3_MSG_TOKEN_MINT, &ask, TIM3_ID_REUSED);
    ck_assert (refusal.available == 0 && refusal.needed == 0);
    bench_twice (TIM3_MSG_TOKEN_MINT, &ask);
    bench_twice (TIM3_MSG_RESOLVE, &ask);
    /* of a mint that is done there must never be a void receipt, whatever the fields */
    ask = locked (1, "alice", 99);
    bench_refused (TIM3_MSG_TOKEN_MINT, &ask, TIM3_ID_REUSED);
    bench_refused (TIM3_MSG_RESOLVE, &ask, TIM3_ID_REUSED);
    ask = locked (1, "bob", 100);
    bench_refused (TIM3_MSG_RESOLVE, &ask, TIM3_ID_REUSED);
    tim3_refusal_t refused = lock_refused (1, "bob", 100);
    bench_refused (TIM3_MSG_RESOLVE_REFUSED, &refused, TIM3_ID_REUSED);
    ck_assert (ledger ().supply == 90);
}
END_TEST

/*  ----------------------------------------------------------------------------------------------- resolve  */

START_TEST (test_void_then_mint)
{
    tim3_receipt_t ask = locked (1, "alice", 100);
    voided (TIM3_MSG_RESOLVE, &ask, TIM3_VOIDED);
    bench_twice (TIM3_MSG_RESOLVE, &ask);
    voided (TIM3_MSG_TOKEN_MINT, &ask, TIM3_VOIDED);
    ck_assert (ledger ().supply == 0 && balance ("alice") == 0);
    ck_assert_uint_eq (ledger ().refused, 1);
    ck_assert_uint_eq (bench_events (), 1);
    const tim3_transaction_failed_t *event = bench_event (1, TIM3_MSG_TRANSACTION_FAILED);
    ck_assert_uint_eq (event->code, TIM3_VOIDED);
    ck_assert_uint_eq (event->kind, TIM3_TX_KIND_MINT);
    ck_assert_uint_eq (record (1).status, TIM3_TX_STATUS_FAILED);
}
END_TEST

START_TEST (test_mint_then_resolve)
{
    mint (1, "alice", 100);
    tim3_receipt_t ask = locked (1, "alice", 100);
    const tim3_minted_t *minted = bench_ask (TIM3_MSG_RESOLVE, &ask, TIM3_MSG_MINTED);
    tim3_mac_t right = bench_evidence (TIM3_RECEIPT_KIND_MINT, &ask.tx, "alice", 100, 0);
    ck_assert_mem_eq (minted->receipt.bytes, right.bytes, sizeof right.bytes);
    ck_assert (ledger ().supply == 100);
}
END_TEST

START_TEST (test_resolve_refused)
{
    tim3_refusal_t ask = lock_refused (1, "alice", 100);
    tim3_refusal_t answer = voided (TIM3_MSG_RESOLVE_REFUSED, &ask, TIM3_INSUFFICIENT_FUNDS);
    ck_assert (answer.available == 3 && answer.needed == 100);
    bench_twice (TIM3_MSG_RESOLVE_REFUSED, &ask);
    tim3_receipt_t mint_ask = locked (1, "alice", 100);
    voided (TIM3_MSG_TOKEN_MINT, &mint_ask, TIM3_INSUFFICIENT_FUNDS);
    ask = lock_refused (2, "alice", 100);
    ask.code = TIM3_VOIDED;
    bench_refused (TIM3_MSG_RESOLVE_REFUSED, &ask, TIM3_BAD_RECEIPT);
    strcpy (ask.account, "");
    bench_refused (TIM3_MSG_RESOLVE_REFUSED, &ask, TIM3_INVALID_ACCOUNT);
    strcpy (ask.account, "a");
    ask.amount = 0;
    bench_refused (TIM3_MSG_RESOLVE_REFUSED, &ask, TIM3_INVALID_AMOUNT);
}
END_TEST

/*  No receipt of another kind, asset or secret opens anything.  */
START_TEST (test_only_the_right_receipt)
{
    for (unsigned kind = 1; kind <= TIM3_RECEIPT_KIND_VAULT_UNLOCKED; kind++) {
        tim3_receipt_t ask = proven ((tim3_receipt_kind_t) kind, (uint8_t) kind, "alice", 5, 0);
        if (kind == TIM3_RECEIPT_KIND_LOCK)
            continue;
        bench_refused (TIM3_MSG_TOKEN_MINT, &ask, TIM3_BAD_RECEIPT);
        bench_refused (TIM3_MSG_RESOLVE, &ask, TIM3_BAD_RECEIPT);
    }
    tim3_receipt_t ask = locked (77, "alice", 5);
    ask.receipt = bench_vault (TIM3_RECEIPT_KIND_LOCK, &ask.tx, "alice", 5, 0);
    bench_refused (TIM3_MSG_TOKEN_MINT, &ask, TIM3_BAD_RECEIPT);
    ask = proven (TIM3_RECEIPT_KIND_LOCK, 77, "alice", 5, 1);
    bench_refused (TIM3_MSG_TOKEN_MINT, &ask, TIM3_BAD_RECEIPT);
    ck_assert_uint_eq (memory_store_count (bench_store (), TIM3_TABLE_RECORD), 0);
}
END_TEST

/*  -------------------------------------------------------------------------------------------------- burn  */

START_TEST (test_burn_and_settle)
{
    mint (1, "alice", 100);
    tim3_lock_t ask = burning (2, "alice", 30);
    const tim3_minted_t *burned = bench_twice (TIM3_MSG_TOKEN_BURN, &ask);
    tim3_mac_t right = bench_evidence (TIM3_RECEIPT_KIND_BURN, &ask.tx, "alice", 30, 0);
    ck_assert_mem_eq (burned->receipt.bytes, right.bytes, sizeof right.bytes);
    ck_assert (burned->balance == 70 && burned->supply == 70);
    ck_assert_uint_eq (record (2).status, TIM3_TX_STATUS_PENDING);
    ck_assert (ledger ().releasing == 30 && ledger ().unsettled == 1 && ledger ().burned == 30);
    tim3_receipt_t settle = released (2, "alice", 30);
    bench_ask (TIM3_MSG_SETTLE_BURN, &settle, TIM3_MSG_SETTLED);
    ck_assert_uint_eq (record (2).status, TIM3_TX_STATUS_COMPLETED);
    ck_assert (ledger ().releasing == 0 && ledger ().unsettled == 0 && ledger ().supply == 70);
    bench_twice (TIM3_MSG_SETTLE_BURN, &settle);
    bench_twice (TIM3_MSG_TOKEN_BURN, &ask);
    ck_assert_uint_eq (bench_unfinished (TIM3_TABLE_BURN_DUE, TIM3_TABLE_BURN_DUE_LIST), 0);
    ck_assert_uint_eq (bench_events (), 2);
    const tim3_token_changed_t *event = bench_event (2, TIM3_MSG_TOKEN_BURNED);
    ck_assert (event->balance == 70 && event->supply == 70 && event->amount == 30);
}
END_TEST

START_TEST (test_burn_order_of_checks)
{
    tim3_lock_t ask = burning (1, "", 0);
    bench_refused (TIM3_MSG_TOKEN_BURN, &ask, TIM3_INVALID_ACCOUNT);
    strcpy (ask.account, "alice");
    bench_refused (TIM3_MSG_TOKEN_BURN, &ask, TIM3_INVALID_AMOUNT);
    steer (TIM3_CONTROL_PAUSE, "", 0, "c1");
    steer (TIM3_CONTROL_FREEZE, "alice", 0, "c2");
    ask.amount = 5;
    bench_refused (TIM3_MSG_TOKEN_BURN, &ask, TIM3_ASSET_PAUSED);
    steer (TIM3_CONTROL_UNPAUSE, "", 0, "c3");
    bench_refused (TIM3_MSG_TOKEN_BURN, &ask, TIM3_ASSET_PAUSED);
    ask = burning (2, "alice", 5);
    bench_refused (TIM3_MSG_TOKEN_BURN, &ask, TIM3_ACCOUNT_FROZEN);
    steer (TIM3_CONTROL_UNFREEZE, "alice", 0, "c4");
    ask = burning (3, "alice", 5);
    const tim3_error_t *error = bench_refused (TIM3_MSG_TOKEN_BURN, &ask, TIM3_INSUFFICIENT_FUNDS);
    ck_assert (error->available == 0 && error->needed == 5 && tim3_id_equal (&error->tx, &ask.tx));
    mint (9, "alice", 100);
    bench_twice (TIM3_MSG_TOKEN_BURN, &ask);
    ask.amount = 6;
    bench_refused (TIM3_MSG_TOKEN_BURN, &ask, TIM3_ID_REUSED);
    ask = burning (9, "alice", 100);
    bench_refused (TIM3_MSG_TOKEN_BURN, &ask, TIM3_ID_REUSED);
    ck_assert (balance ("alice") == 100);
}
END_TEST

START_TEST (test_settle_burn_refuses)
{
    mint (1, "alice", 100);
    burn (2, "alice", 30);
    tim3_receipt_t ask = proven (TIM3_RECEIPT_KIND_RELEASE, 2, "alice", 30, TIM3_RELEASE_REASON_VOID);
    bench_refused (TIM3_MSG_SETTLE_BURN, &ask, TIM3_BAD_RECEIPT);
    ask = proven (TIM3_RECEIPT_KIND_BURN, 2, "alice", 30, 0);
    bench_refused (TIM3_MSG_SETTLE_BURN, &ask, TIM3_BAD_RECEIPT);
    ask = released (3, "alice", 30);
    bench_refused (TIM3_MSG_SETTLE_BURN, &ask, TIM3_WRONG_STATE);
    ask = released (2, "alice", 31);
    bench_refused (TIM3_MSG_SETTLE_BURN, &ask, TIM3_WRONG_STATE);
    ask = released (1, "alice", 100);
    bench_refused (TIM3_MSG_SETTLE_BURN, &ask, TIM3_WRONG_STATE);
    tim3_lock_t failed = burning (4, "alice", 1000);
    bench_refused (TIM3_MSG_TOKEN_BURN, &failed, TIM3_INSUFFICIENT_FUNDS);
    ask = released (4, "alice", 1000);
    bench_refused (TIM3_MSG_SETTLE_BURN, &ask, TIM3_WRONG_STATE);
    ck_assert_uint_eq (ledger ().unsettled, 1);
}
END_TEST

/*  -------------------------------------------------------------------------------------------- transfer  */

START_TEST (test_transfer)
{
    mint (1, "alice", 100);
    tim3_token_transfer_t ask = moving (2, "alice", "bob", 30);
    const tim3_transferred_t *moved = bench_twice (TIM3_MSG_TOKEN_TRANSFER, &ask);
    ck_assert (moved->balance == 70 && moved->to_balance == 30 && moved->supply == 100);
    ck_assert (balance ("alice") == 70 && balance ("bob") == 30 && ledger ().supply == 100);
    ck_assert_uint_eq (ledger ().transfers, 1);
    ck_assert_uint_eq (ledger ().accounts, 2);
    const tim3_token_transferred_t *event = bench_event (2, TIM3_MSG_TOKEN_TRANSFERRED);
    ck_assert (event->balance == 70 && event->to_balance == 30 && event->supply == 100);
    strcpy (ask.to, "carol");
    bench_refused (TIM3_MSG_TOKEN_TRANSFER, &ask, TIM3_ID_REUSED);
    ask = moving (2, "alice", "bob", 29);
    bench_refused (TIM3_MSG_TOKEN_TRANSFER, &ask, TIM3_ID_REUSED);
    ask = moving (1, "alice", "bob", 100);
    bench_refused (TIM3_MSG_TOKEN_TRANSFER, &ask, TIM3_ID_REUSED);
}
END_TEST

/*  An entry that has the same number in both histories is one thing in the one and another in the other.  */
START_TEST (test_history_of_both_sides)
{
    tim3_list_history_t ask = {.account = "alice"};
    mint (1, "alice", 100);
    mint (2, "bob", 100);
    tim3_token_transfer_t move = moving (3, "alice", "bob", 30);
    bench_ask (TIM3_MSG_TOKEN_TRANSFER, &move, TIM3_MSG_TRANSFERRED);
    const tim3_history_t *page = bench_ask (TIM3_MSG_LIST_HISTORY, &ask, TIM3_MSG_HISTORY);
    const tim3_entry_t *entry = page->items.items;
    ck_assert_uint_eq (page->items.count, 2);
    ck_assert_uint_eq (entry->kind, TIM3_ENTRY_KIND_SENT);
    ck_assert (entry->balance == 70);
    strcpy (ask.account, "bob");
    page = bench_ask (TIM3_MSG_LIST_HISTORY, &ask, TIM3_MSG_HISTORY);
    entry = page->items.items;
    ck_assert_uint_eq (page->items.count, 2);
    ck_assert_uint_eq (entry->kind, TIM3_ENTRY_KIND_RECEIVED);
    ck_assert (entry->balance == 130);
}
END_TEST

START_TEST (test_transfer_order_of_checks)
{
    tim3_token_transfer_t ask = moving (1, "", "", 0);
    bench_refused (TIM3_MSG_TOKEN_TRANSFER, &ask, TIM3_INVALID_ACCOUNT);
    strcpy (ask.account, "alice");
    bench_refused (TIM3_MSG_TOKEN_TRANSFER, &ask, TIM3_INVALID_AMOUNT);
    ask.amount = 5;
    bench_refused (TIM3_MSG_TOKEN_TRANSFER, &ask, TIM3_INVALID_ACCOUNT);
    strcpy (ask.to, "alice");
    bench_refused (TIM3_MSG_TOKEN_TRANSFER, &ask, TIM3_SAME_ACCOUNT);
    steer (TIM3_CONTROL_PAUSE, "", 0, "c1");
    steer (TIM3_CONTROL_FREEZE, "bob", 0, "c2");
    ask = moving (2, "alice", "bob", 5);
    bench_refused (TIM3_MSG_TOKEN_TRANSFER, &ask, TIM3_ASSET_PAUSED);
    steer (TIM3_CONTROL_UNPAUSE, "", 0, "c3");
    ask = moving (3, "alice", "bob", 5);
    bench_refused (TIM3_MSG_TOKEN_TRANSFER, &ask, TIM3_ACCOUNT_FROZEN);
    ask = moving (4, "bob", "alice", 5);
    bench_refused (TIM3_MSG_TOKEN_TRANSFER, &ask, TIM3_ACCOUNT_FROZEN);
    steer (TIM3_CONTROL_UNFREEZE, "bob", 0, "c4");
    ask = moving (5, "alice", "bob", 5);
    const tim3_error_t *error = bench_refused (TIM3_MSG_TOKEN_TRANSFER, &ask, TIM3_INSUFFICIENT_FUNDS);
    ck_assert (error->available == 0 && error->needed == 5);
    ck_assert_uint_eq (ledger ().refused, 4);
}
END_TEST

/*  ----------------------------------------------------------------------------- transfers between shards
    This is shard 0 of two; names of the other's accounts are known.  */

static char s_here[16];
static char s_there[16];

static void split (void)
{
    bench_settings.shards = 2;
    strcpy (s_here, bench_account (0, 2));
    strcpy (s_there, bench_account (1, 2));
}

static tim3_mac_t crossing_receipt (tim3_receipt_kind_t kind, uint8_t tx, const char *sender, const char *to,
                                    tim3_amount_t amount, uint64_t extra)
{
    char ends[2 * TIM3_ACCOUNT_MAX + 2];
    tim3_id_t id = bench_tx (tx);
    snprintf (ends, sizeof ends, "%s %s", to, sender);
    return bench_evidence (kind, &id, ends, amount, extra);
}

static tim3_crossing_t crossing (tim3_receipt_kind_t kind, uint8_t tx, const char *sender, const char *to,
                                 tim3_amount_t amount)
{
    tim3_crossing_t body = {.tx = bench_tx (tx), .amount = amount};
    strcpy (body.account, sender);
    strcpy (body.to, to);
    body.receipt = crossing_receipt (kind, tx, sender, to, amount, 0);
    return body;
}

static tim3_not_received_t not_received (uint8_t tx, const char *sender, const char *to, tim3_amount_t amount,
                                         tim3_result_t code)
{
    tim3_not_received_t body = {.tx = bench_tx (tx), .amount = amount, .code = code};
    strcpy (body.account, sender);
    strcpy (body.to, to);
    body.receipt = crossing_receipt (TIM3_RECEIPT_KIND_NOT_RECEIVED, tx, sender, to, amount, code);
    return body;
}

static void send_away (uint8_t tx, tim3_amount_t amount)
{
    tim3_token_transfer_t ask = moving (tx, s_here, s_there, amount);
    bench_ask (TIM3_MSG_TOKEN_TRANSFER, &ask, TIM3_MSG_SENT);
}

START_TEST (test_sent)
{
    split ();
    mint (1, s_here, 100);
    tim3_token_transfer_t ask = moving (2, s_here, s_there, 30);
    const tim3_sent_t *sent = bench_twice (TIM3_MSG_TOKEN_TRANSFER, &ask);
    tim3_mac_t right = crossing_receipt (TIM3_RECEIPT_KIND_SENT, 2, s_here, s_there, 30, 0);
    ck_assert_mem_eq (sent->receipt.bytes, right.bytes, sizeof right.bytes);
    ck_assert (sent->balance == 70 && sent->supply == 70);
    ck_assert (balance (s_here) == 70 && ledger ().supply == 70 && ledger ().crossing == 30);
    ck_assert_uint_eq (ledger ().unsettled, 1);
    ck_assert_uint_eq (ledger ().transfers, 0);
    ck_assert_uint_eq (record (2).status, TIM3_TX_STATUS_PENDING);
    const tim3_token_crossed_t *event = bench_event (2, TIM3_MSG_TOKEN_SENT);
    ck_assert_str_eq (event->other, s_there);
    ck_assert (event->balance == 70 && event->supply == 70);
    /* the sweep pushes it, and its answer ends it */
    bench_pass (bench_settings.sweep_after_us);
    const tim3_crossing_t *push = bench_sent (TIM3_MSG_RECEIVE);
    ck_assert_str_eq (bench_nth (TIM3_MSG_RECEIVE, 0)->to, "token_manager.TIM3.1");
    ck_assert_mem_eq (push->receipt.bytes, right.bytes, sizeof right.bytes);
    tim3_crossing_t arrived = crossing (TIM3_RECEIPT_KIND_RECEIVED, 2, s_here, s_there, 30);
    bench_told (bench_last_id (), TIM3_MSG_RECEIVED, &arrived);
    ck_assert_uint_eq (record (2).status, TIM3_TX_STATUS_COMPLETED);
    ck_assert (ledger ().crossing == 0 && ledger ().supply == 70 && ledger ().sent == 1);
    ck_assert_uint_eq (bench_unfinished (TIM3_TABLE_BURN_DUE, TIM3_TABLE_BURN_DUE_LIST), 0);
    bench_twice (TIM3_MSG_SETTLE_SENT, &arrived);
    bench_ask (TIM3_MSG_TOKEN_TRANSFER, &ask, TIM3_MSG_TRANSFERRED);
    /* what has arrived never comes back */
    tim3_not_received_t late = not_received (2, s_here, s_there, 30, TIM3_ACCOUNT_FROZEN);
    bench_refused (TIM3_MSG_RETURN_SENT, &late, TIM3_WRONG_STATE);
    ck_assert (balance (s_here) == 70);
    ck_assert_uint_eq (bench_events (), 2);
}
END_TEST

START_TEST (test_sent_comes_back)
{
    split ();
    mint (1, s_here, 100);
    send_away (2, 30);
    send_away (3, 5);
    tim3_not_received_t refused = not_received (2, s_here, s_there, 30, TIM3_ACCOUNT_FROZEN);
    bench_twice (TIM3_MSG_RETURN_SENT, &refused);
    ck_assert (balance (s_here) == 95 && ledger ().supply == 95 && ledger ().crossing == 5);
    ck_assert (ledger ().returned == 1 && ledger ().refused == 1 && ledger ().unsettled == 1);
    ck_assert_uint_eq (record (2).status, TIM3_TX_STATUS_FAILED);
    tim3_token_transfer_t again = moving (2, s_here, s_there, 30);
    bench_refused (TIM3_MSG_TOKEN_TRANSFER, &again, TIM3_ACCOUNT_FROZEN);
    tim3_crossing_t late = crossing (TIM3_RECEIPT_KIND_RECEIVED, 2, s_here, s_there, 30);
    bench_refused (TIM3_MSG_SETTLE_SENT, &late, TIM3_WRONG_STATE);
    const tim3_token_crossed_t *event = bench_event (4, TIM3_MSG_TOKEN_RETURNED);
    ck_assert (event->balance == 95 && event->supply == 95 && event->amount == 30);
    ck_assert (((const tim3_transaction_failed_t *) bench_event (5, TIM3_MSG_TRANSACTION_FAILED))->code ==
               TIM3_ACCOUNT_FROZEN);
    /* a history page by page, in which the one record stands twice */
    static const unsigned kinds[] = {TIM3_ENTRY_KIND_RETURNED, TIM3_ENTRY_KIND_SENT, TIM3_ENTRY_KIND_SENT,
                                     TIM3_ENTRY_KIND_MINT};
    static const unsigned balances[] = {95, 65, 70, 100};
    tim3_list_history_t ask = {.limit = 1};
    strcpy (ask.account, s_here);
    for (unsigned i = 0; i < 4; i++) {
        const tim3_history_t *page = bench_ask (TIM3_MSG_LIST_HISTORY, &ask, TIM3_MSG_HISTORY);
        const tim3_entry_t *entry = page->items.items;
        ck_assert_uint_eq (page->items.count, 1);
        ck_assert_uint_eq (entry->kind, kinds[i]);
        ck_assert_uint_eq (entry->number, 4 - i);
        ck_assert (entry->balance == balances[i]);
        strcpy (ask.cursor, page->cursor);
    }
    tim3_list_transactions_t list = {.limit = 100};
    strcpy (list.account, s_here);
    const tim3_transactions_t *records = bench_ask (TIM3_MSG_LIST_RECORDS, &list, TIM3_MSG_TRANSACTIONS);
    ck_assert_uint_eq (records->items.count, 3);
    strcpy (list.cursor, records->cursor);
    records = bench_ask (TIM3_MSG_LIST_RECORDS, &list, TIM3_MSG_TRANSACTIONS);
    ck_assert_uint_eq (records->items.count, 0);
}
END_TEST

START_TEST (test_receive)
{
    split ();
    tim3_crossing_t ask = crossing (TIM3_RECEIPT_KIND_SENT, 2, s_there, s_here, 30);
    bench_twice (TIM3_MSG_RECEIVE, &ask);
    const tim3_crossing_t *arrived = bench_ask (TIM3_MSG_RECEIVE, &ask, TIM3_MSG_RECEIVED);
    tim3_mac_t right = crossing_receipt (TIM3_RECEIPT_KIND_RECEIVED, 2, s_there, s_here, 30, 0);
    ck_assert_mem_eq (arrived->receipt.bytes, right.bytes, sizeof right.bytes);
    ck_assert (balance (s_here) == 30 && ledger ().supply == 30 && ledger ().transfers == 1);
    ck_assert_uint_eq (bench_events (), 1);
    const tim3_token_crossed_t *event = bench_event (1, TIM3_MSG_TOKEN_RECEIVED);
    ck_assert_str_eq (event->account, s_here);
    ck_assert_str_eq (event->other, s_there);
    /* it is not for others to say whether it has arrived, and nothing of it is this shard's to give back */
    tim3_not_received_t back = not_received (2, s_there, s_here, 30, TIM3_ACCOUNT_FROZEN);
    bench_refused (TIM3_MSG_RETURN_SENT, &back, TIM3_WRONG_STATE);
    /* what has come is as good as any */
    burn (3, s_here, 30);
    ck_assert (ledger ().supply == 0 && ledger ().burned == 30 && ledger ().minted == 0);
}
END_TEST

/*  Every field of a sent receipt counts.  */
START_TEST (test_receive_only_what_was_sent)
{
    split ();
    char other[16];
    unsigned number = 100;
    do
        snprintf (other, sizeof other, "other%u", number++);
    while (tim3_account_shard (other, 2) != 0);
    const tim3_crossing_t good = crossing (TIM3_RECEIPT_KIND_SENT, 2, s_there, s_here, 30);
    tim3_crossing_t bad = good;
    strcpy (bad.to, other);
    bench_refused (TIM3_MSG_RECEIVE, &bad, TIM3_BAD_RECEIPT);
    bad = good;
    strcat (bad.account, "x");
    while (tim3_account_shard (bad.account, 2) == 0)
        strcat (bad.account, "x");
    bench_refused (TIM3_MSG_RECEIVE, &bad, TIM3_BAD_RECEIPT);
    bad = good;
    bad.amount = 31;
    bench_refused (TIM3_MSG_RECEIVE, &bad, TIM3_BAD_RECEIPT);
    bad = good;
    bad.tx = bench_tx (3);
    bench_refused (TIM3_MSG_RECEIVE, &bad, TIM3_BAD_RECEIPT);
    bad = crossing (TIM3_RECEIPT_KIND_RECEIVED, 2, s_there, s_here, 30);
    bench_refused (TIM3_MSG_RECEIVE, &bad, TIM3_BAD_RECEIPT);
    bad = crossing (TIM3_RECEIPT_KIND_SENT, 2, s_here, s_there, 30);
    bench_refused (TIM3_MSG_RECEIVE, &bad, TIM3_WRONG_SHARD);
    bad = crossing (TIM3_RECEIPT_KIND_SENT, 2, other, s_here, 30);
    bench_refused (TIM3_MSG_RECEIVE, &bad, TIM3_WRONG_SHARD);
    ck_assert_uint_eq (bench_events (), 0);
    /* and so does the code of a refusal */
    mint (4, s_here, 9);
    send_away (5, 9);
    tim3_not_received_t refused = not_received (5, s_here, s_there, 9, TIM3_ACCOUNT_FROZEN);
    refused.code = TIM3_ASSET_PAUSED;
    bench_refused (TIM3_MSG_RETURN_SENT, &refused, TIM3_BAD_RECEIPT);
    ck_assert (balance (s_here) == 0);
}
END_TEST

/*  A refusal is for ever, and so is what has the tx already.  */
START_TEST (test_not_received)
{
    split ();
    steer (TIM3_CONTROL_FREEZE, s_here, 0, "c1");
    tim3_crossing_t ask = crossing (TIM3_RECEIPT_KIND_SENT, 2, s_there, s_here, 30);
    const tim3_not_received_t *answer = bench_ask (TIM3_MSG_RECEIVE, &ask, TIM3_MSG_NOT_RECEIVED);
    ck_assert_uint_eq (answer->code, TIM3_ACCOUNT_FROZEN);
    steer (TIM3_CONTROL_UNFREEZE, s_here, 0, "c2");
    answer = bench_twice (TIM3_MSG_RECEIVE, &ask);
    tim3_not_received_t right = not_received (2, s_there, s_here, 30, TIM3_ACCOUNT_FROZEN);
    ck_assert_mem_eq (answer->receipt.bytes, right.receipt.bytes, sizeof right.receipt.bytes);
    ck_assert (balance (s_here) == 0 && ledger ().refused == 0);
    mint (3, s_here, 5);
    ask = crossing (TIM3_RECEIPT_KIND_SENT, 3, s_there, s_here, 5);
    answer = bench_ask (TIM3_MSG_RECEIVE, &ask, TIM3_MSG_NOT_RECEIVED);
    ck_assert_uint_eq (answer->code, TIM3_ID_REUSED);
    steer (TIM3_CONTROL_PAUSE, "", 0, "c3");
    ask = crossing (TIM3_RECEIPT_KIND_SENT, 4, s_there, s_here, 5);
    answer = bench_ask (TIM3_MSG_RECEIVE, &ask, TIM3_MSG_NOT_RECEIVED);
    ck_assert_uint_eq (answer->code, TIM3_ASSET_PAUSED);
    ck_assert (balance (s_here) == 5);
}
END_TEST

static void receive_batch (void)
{
    tim3_crossing_t ask = crossing (TIM3_RECEIPT_KIND_SENT, 9, s_there, s_here, 30);
    bench_take ("asker", TIM3_MSG_RECEIVE, &ask);
}

static void return_batch (void)
{
    tim3_not_received_t refused = not_received (2, s_here, s_there, 30, TIM3_ACCOUNT_FROZEN);
    bench_take ("asker", TIM3_MSG_RETURN_SENT, &refused);
}

START_TEST (test_store_full_between_shards)
{
    split ();
    mint (1, s_here, 100);
    send_away (2, 30);
    ck_assert_uint_gt (bench_fill_up (receive_batch), 3);
    ck_assert_uint_gt (bench_fill_up (return_batch), 3);
    ck_assert (balance (s_here) == 130 && ledger ().supply == 130);
}
END_TEST

/*  -------------------------------------------------------------------------------------------- controls  */

START_TEST (test_controls)
{
    tim3_control_t ask = control (TIM3_CONTROL_PAUSE, "", 0, "c1");
    const tim3_transaction_t *answer = bench_twice (TIM3_MSG_CONTROL, &ask);
    ck_assert_uint_eq (answer->kind, TIM3_TX_KIND_CONTROL);
    ck_assert_uint_eq (answer->control, TIM3_CONTROL_PAUSE);
    ck_assert (ledger ().paused && bench_has_reason ("paused"));
    steer (TIM3_CONTROL_UNPAUSE, "", 0, "c2");
    /* the first one again is an answer, not an order */
    bench_ask (TIM3_MSG_CONTROL, &ask, TIM3_MSG_TRANSACTION);
    ck_assert (!ledger ().paused && !bench_has_reason ("paused"));
    steer (TIM3_CONTROL_FREEZE, "alice", 0, "c3");
    ck_assert (account ("alice").frozen && !account ("bob").frozen);
    steer (TIM3_CONTROL_UNFREEZE, "alice", 0, "c4");
    ck_assert (!account ("alice").frozen);
    steer (TIM3_CONTROL_CAP, "", 7, "c5");
    ck_assert (ledger ().cap == 7);
    ck_assert_uint_eq (bench_events (), 5);
    const tim3_token_controlled_t *event = bench_event (3, TIM3_MSG_TOKEN_CONTROLLED);
    ck_assert_uint_eq (event->control, TIM3_CONTROL_FREEZE);
    ck_assert_str_eq (event->account, "alice");
}
END_TEST

START_TEST (test_controls_tell_what_they_found)
{
    mint (1, "alice", 60);
    mint (2, "bob", 40);
    tim3_control_t ask = control (TIM3_CONTROL_CAP, "", 10, "c1");
    for (int i = 0; i < 2; i++) {
        const tim3_transaction_t *answer = bench_ask (TIM3_MSG_CONTROL, &ask, TIM3_MSG_TRANSACTION);
        ck_assert (answer->supply == 100 && answer->balance == 0);
        burn ((uint8_t) (3 + i), "alice", 5); /* the answer of the first time stays */
    }
    ask = control (TIM3_CONTROL_FREEZE, "alice", 0, "c2");
    const tim3_transaction_t *answer = bench_twice (TIM3_MSG_CONTROL, &ask);
    ck_assert (answer->supply == 90 && answer->balance == 50);
}
END_TEST

START_TEST (test_controls_refuse)
{
    tim3_control_t ask = control (TIM3_CONTROL_FREEZE, "", 0, "");
    bench_refused (TIM3_MSG_CONTROL, &ask, TIM3_INVALID_REQUEST_ID);
    strcpy (ask.request_id, "c1");
    bench_refused (TIM3_MSG_CONTROL, &ask, TIM3_INVALID_ACCOUNT);
    steer (TIM3_CONTROL_FREEZE, "alice", 0, "c1");
    ask = control (TIM3_CONTROL_UNFREEZE, "alice", 0, "c1");
    bench_refused (TIM3_MSG_CONTROL, &ask, TIM3_ID_REUSED);
    ask = control (TIM3_CONTROL_FREEZE, "bob", 0, "c1");
    bench_refused (TIM3_MSG_CONTROL, &ask, TIM3_ID_REUSED);
    steer (TIM3_CONTROL_CAP, "", 7, "c2");
    ask = control (TIM3_CONTROL_CAP, "", 0, "c3");
    bench_refused (TIM3_MSG_CONTROL, &ask, TIM3_INVALID_FIELD);
    ck_assert (ledger ().cap == 7);
    ask = control (TIM3_CONTROL_CAP, "", 8, "c2");
    bench_refused (TIM3_MSG_CONTROL, &ask, TIM3_ID_REUSED);
    /* no account's request id can be taken for a control's */
    ck_assert (!tim3_account_valid ("!control"));
}
END_TEST

START_TEST (test_first_cap_is_the_setting)
{
    bench_settings.cap = 50;
    bench_restart ();
    ck_assert (ledger ().cap == 50);
    tim3_receipt_t ask = locked (1, "alice", 51);
    voided (TIM3_MSG_TOKEN_MINT, &ask, TIM3_CAP_EXCEEDED);
    bench_settings.cap = 60;
    bench_restart ();
    ck_assert (ledger ().cap == 50);
}
END_TEST

/*  ------------------------------------------------------------------------------------------------ sweep  */

START_TEST (test_sweep_backs_off)
{
    static const unsigned seconds[] = {2, 4, 8, 16, 16, 16};
    tim3_mac_t right;
    mint (1, "alice", 100);
    burn (2, "alice", 30);
    for (unsigned i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        bench_pass (seconds[i] * BENCH_SECOND - 1);
        ck_assert_uint_eq (bench_count (), 0);
        bench_pass (1);
        ck_assert_uint_eq (bench_count (), 1);
        const tim3_release_t *push = bench_sent (TIM3_MSG_RELEASE);
        ck_assert_str_eq (bench_at (0)->to, "lock_manager.TIM3.0");
        ck_assert_uint_eq (push->reason, TIM3_RELEASE_REASON_BURN);
        ck_assert_str_eq (push->account, "alice");
        right = bench_evidence (TIM3_RECEIPT_KIND_BURN, &push->tx, "alice", 30, 0);
        ck_assert_mem_eq (push->receipt.bytes, right.bytes, sizeof right.bytes);
        if (i == 2)
            bench_restart ();
    }
    tim3_release_t answer = {
        .reason = TIM3_RELEASE_REASON_BURN, .tx = bench_tx (2), .amount = 30, .account = "alice"};
    answer.receipt =
        bench_evidence (TIM3_RECEIPT_KIND_RELEASE, &answer.tx, "alice", 30, TIM3_RELEASE_REASON_BURN);
    bench_told (1, TIM3_MSG_RELEASED, &answer);
    ck_assert_uint_eq (bench_count (), 0);
    ck_assert_uint_eq (record (2).status, TIM3_TX_STATUS_COMPLETED);
    bench_pass (100 * BENCH_SECOND);
    ck_assert_uint_eq (bench_count (), 0);
}
END_TEST

START_TEST (test_sweep_when_the_clock_goes_back)
{
    mint (1, "alice", 100);
    burn (2, "alice", 30);
    bench_now -= 500 * BENCH_SECOND;
    bench_pass (0);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_RELEASE), 1);
    bench_pass (4 * BENCH_SECOND);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_RELEASE), 1);
}
END_TEST

/*  What the clock has left far ahead is found even behind rows that are not due yet.  */
START_TEST (test_sweep_looks_past_what_is_not_due)
{
    mint (1, "alice", 100);
    burn (2, "alice", 30);
    bench_now -= 500 * BENCH_SECOND;
    burn (3, "alice", 5);
    bench_pass (BENCH_SECOND);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_RELEASE), 1);
    tim3_id_t tx = bench_tx (2);
    ck_assert (tim3_id_equal (&((const tim3_release_t *) bench_sent (TIM3_MSG_RELEASE))->tx, &tx));
    bench_pass (BENCH_SECOND);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_RELEASE), 1);
}
END_TEST

/*  A bad answer to a push settles nothing and is not answered.  */
START_TEST (test_sweep_takes_no_bad_answer)
{
    mint (1, "alice", 100);
    burn (2, "alice", 30);
    tim3_release_t answer = {
        .reason = TIM3_RELEASE_REASON_BURN, .tx = bench_tx (2), .amount = 30, .account = "alice"};
    bench_told (1, TIM3_MSG_RELEASED, &answer);
    ck_assert_uint_eq (bench_count (), 0);
    ck_assert_uint_eq (record (2).status, TIM3_TX_STATUS_PENDING);
}
END_TEST

/*  ------------------------------------------------------------------------------------------------- faults  */

static void full_batch (void)
{
    tim3_receipt_t mint_ask = locked (11, "carol", 5);
    tim3_receipt_t void_ask = locked (12, "carol", 5);
    tim3_refusal_t refused = lock_refused (13, "dave", 5);
    tim3_lock_t burn_ask = burning (14, "alice", 5);
    tim3_lock_t broke = burning (15, "alice", 5000);
    tim3_token_transfer_t move = moving (16, "alice", "bob", 5);
    tim3_control_t freeze = control (TIM3_CONTROL_FREEZE, "erin", 0, "c9");
    tim3_receipt_t settle = released (2, "alice", 30);
    bench_take ("a", TIM3_MSG_TOKEN_MINT, &mint_ask);
    bench_take ("b", TIM3_MSG_RESOLVE, &void_ask);
    bench_take ("c", TIM3_MSG_RESOLVE_REFUSED, &refused);
    bench_take ("d", TIM3_MSG_TOKEN_BURN, &burn_ask);
    bench_take ("e", TIM3_MSG_TOKEN_BURN, &broke);
    bench_take ("f", TIM3_MSG_TOKEN_TRANSFER, &move);
    bench_take ("g", TIM3_MSG_CONTROL, &freeze);
    bench_take ("h", TIM3_MSG_SETTLE_BURN, &settle);
    bench_take ("i", TIM3_MSG_GET_SUPPLY, NULL);
}

START_TEST (test_store_full)
{
    mint (1, "alice", 100);
    burn (2, "alice", 30);
    ck_assert_uint_gt (bench_fill_up (full_batch), 16);
    ck_assert_uint_eq (bench_count (), 9);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_ERROR), 1);
    ck_assert (ledger ().supply == 70 && balance ("alice") == 60 && balance ("carol") == 5);
    ck_assert_uint_eq (bench_events (), 9);
}
END_TEST

/*  A batch that only ticks and is answered can fail as well; then nothing is said to anybody.  */
static void sweep_batch (void)
{
    bench_tick ();
}

START_TEST (test_store_full_in_a_sweep)
{
    mint (1, "alice", 100);
    burn (2, "alice", 30);
    burn (3, "alice", 30);
    bench_now += 3 * BENCH_SECOND;
    ck_assert_uint_gt (bench_fill_up (sweep_batch), 3);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_RELEASE), 2);
}
END_TEST

START_TEST (test_commit_fails)
{
    tim3_receipt_t ask = locked (1, "alice", 100);
    uint64_t before = memory_store_digest (bench_store ());
    memory_store_fail_commit (bench_store (), TIM3_STORE_FULL);
    bench_refused (TIM3_MSG_TOKEN_MINT, &ask, TIM3_STORAGE_FULL);
    ck_assert (memory_store_digest (bench_store ()) == before);
    memory_store_fail_commit (bench_store (), TIM3_STORE_IO);
    bench_begin ();
    bench_take ("a", TIM3_MSG_TOKEN_MINT, &ask);
    ck_assert_int_eq (bench_commit (), -1);
}
END_TEST

START_TEST (test_health_tells_of_a_store_that_fills_up)
{
    memory_store_set_usage (bench_store (), 6000, 10000);
    ck_assert (!bench_has_reason ("store_usage"));
    memory_store_set_usage (bench_store (), 8000, 10000);
    ck_assert (bench_has_reason ("store_usage"));
}
END_TEST

START_TEST (test_crash_before_commit)
{
    tim3_receipt_t ask = locked (1, "alice", 100);
    bench_begin ();
    bench_take ("a", TIM3_MSG_TOKEN_MINT, &ask);
    bench_restart ();
    ck_assert (ledger ().supply == 0);
    ck_assert_uint_eq (bench_events (), 0);
    mint (1, "alice", 100);
    ck_assert_uint_eq (bench_events (), 1);
}
END_TEST

/*  ------------------------------------------------------------------------------------------------- lists  */

/*  Pages through all records, and counts those of each tx byte.  */
static unsigned list_records (const char *name, unsigned status, unsigned limit, unsigned seen[256])
{
    tim3_list_transactions_t ask = {.status = (uint8_t) status, .limit = limit};
    unsigned count = 0;
    strcpy (ask.account, name);
    memset (seen, 0, 256 * sizeof *seen);
    do {
        const tim3_transactions_t *page = bench_ask (TIM3_MSG_LIST_RECORDS, &ask, TIM3_MSG_TRANSACTIONS);
        const tim3_transaction_t *items = page->items.items;
        ck_assert_uint_le (page->items.count, limit);
        for (uint32_t i = 0; i < page->items.count; i++, count++)
            seen[items[i].tx.bytes[0]]++;
        strcpy (ask.cursor, page->cursor);
    } while (ask.cursor[0]);
    return count;
}

START_TEST (test_list_records)
{
    unsigned seen[256];
    for (uint8_t i = 1; i <= 20; i++)
        mint (i, i % 2 ? "alice" : "bob", 10);
    for (uint8_t i = 21; i <= 25; i++)
        burn (i, "alice", 1);
    for (uint8_t i = 31; i <= 37; i++) {
        tim3_lock_t ask = burning (i, "alice", 1000);
        bench_refused (TIM3_MSG_TOKEN_BURN, &ask, TIM3_INSUFFICIENT_FUNDS);
    }
    for (unsigned limit = 1; limit <= 40; limit += 3) {
        ck_assert_uint_eq (list_records ("", 0, limit, seen), 32);
        for (unsigned i = 1; i <= 25; i++)
            ck_assert_uint_eq (seen[i], 1);
        ck_assert_uint_eq (list_records ("alice", 0, limit, seen), 22);
        ck_assert (seen[1] == 1 && seen[2] == 0 && seen[21] == 1 && seen[37] == 1);
        ck_assert_uint_eq (list_records ("alice", TIM3_TX_STATUS_FAILED, limit, seen), 7);
        ck_assert_uint_eq (list_records ("alice", TIM3_TX_STATUS_PENDING, limit, seen), 5);
        ck_assert_uint_eq (list_records ("alice", TIM3_TX_STATUS_COMPLETED, limit, seen), 10);
        ck_assert_uint_eq (list_records ("", TIM3_TX_STATUS_FAILED, limit, seen), 7);
        ck_assert_uint_eq (list_records ("nobody", 0, limit, seen), 0);
    }
}
END_TEST

START_TEST (test_list_history)
{
    static const char *const cursors[] = {"00", "77777777777777777777777777777777", "00000000000000000000000000000000",
                                          "2020202020202020202020202020202020",
                                          "66666666666666666666666666666666"};
    tim3_list_history_t ask = {.account = "alice", .limit = 3};
    uint64_t number;
    tim3_amount_t sum;
    mint (1, "alice", 100);
    mint (31, "bob", 100);
    for (uint8_t i = 2; i < 12; i++) {
        tim3_token_transfer_t move = moving (i, i % 2 ? "alice" : "bob", i % 2 ? "bob" : "alice", i);
        bench_send (TIM3_MSG_TOKEN_TRANSFER, &move);
        move = moving ((uint8_t) (40 + i), "bob", "carol", 1); /* of bob's history, not of alice's */
        bench_send (TIM3_MSG_TOKEN_TRANSFER, &move);
    }
    tim3_lock_t too_much = burning (0x66, "alice", 5000);
    bench_refused (TIM3_MSG_TOKEN_BURN, &too_much, TIM3_INSUFFICIENT_FUNDS);
    burn (20, "alice", 7);
    number = account ("alice").entries;
    sum = balance ("alice");
    do {
        const tim3_history_t *page = bench_ask (TIM3_MSG_LIST_HISTORY, &ask, TIM3_MSG_HISTORY);
        const tim3_entry_t *items = page->items.items;
        for (uint32_t i = 0; i < page->items.count; i++) {
            bool in = items[i].kind == TIM3_ENTRY_KIND_MINT || items[i].kind == TIM3_ENTRY_KIND_RECEIVED;
            ck_assert_uint_eq (items[i].number, number--);
            ck_assert (items[i].balance == sum);
            ck_assert_str_eq (items[i].other, items[i].kind == TIM3_ENTRY_KIND_SENT || items[i].kind == TIM3_ENTRY_KIND_RECEIVED ? "bob" : "");
            sum = in ? sum - items[i].amount : sum + items[i].amount;
        }
        strcpy (ask.cursor, page->cursor);
    } while (ask.cursor[0]);
    ck_assert (sum == 0 && number == 0);
    /* a cursor is of one list alone */
    ask = (tim3_list_history_t){.account = "alice", .limit = 1};
    const tim3_history_t *page = bench_ask (TIM3_MSG_LIST_HISTORY, &ask, TIM3_MSG_HISTORY);
    strcpy (ask.cursor, page->cursor);
    strcpy (ask.account, "bob");
    bench_refused (TIM3_MSG_LIST_HISTORY, &ask, TIM3_INVALID_FIELD);
    strcpy (ask.account, "alice");
    for (unsigned i = 0; i < sizeof cursors / sizeof cursors[0]; i++) {
        strcpy (ask.cursor, cursors[i]);
        bench_refused (TIM3_MSG_LIST_HISTORY, &ask, TIM3_INVALID_FIELD);
    }
    ask = (tim3_list_history_t){.account = "nobody"};
    page = bench_ask (TIM3_MSG_LIST_HISTORY, &ask, TIM3_MSG_HISTORY);
    ck_assert (page->items.count == 0 && page->cursor[0] == '\0');
}
END_TEST

START_TEST (test_list_balances)
{
    tim3_list_page_t ask = {.limit = 2};
    tim3_amount_t sum = 0;
    unsigned count = 0;
    mint (1, "carol", 1);
    mint (2, "alice", 2);
    mint (3, "bob", 4);
    do {
        const tim3_balances_t *page = bench_ask (TIM3_MSG_LIST_BALANCES, &ask, TIM3_MSG_BALANCES);
        const tim3_account_t *items = page->items.items;
        for (uint32_t i = 0; i < page->items.count; i++, count++) {
            ck_assert_int_eq (items[i].account[0], (int) ('a' + count));
            sum += items[i].balance;
        }
        strcpy (ask.cursor, page->cursor);
    } while (ask.cursor[0]);
    ck_assert (sum == 7 && count == 3);
    tim3_list_transactions_t bad = {.account = "alice", .cursor = "x00"};
    bench_refused (TIM3_MSG_LIST_RECORDS, &bad, TIM3_INVALID_FIELD);
    strcpy (bad.cursor, "h0011");
    bench_refused (TIM3_MSG_LIST_RECORDS, &bad, TIM3_INVALID_FIELD);
    tim3_tx_only_t none = {bench_tx (77)};
    bench_refused (TIM3_MSG_GET_RECORD, &none, TIM3_NOT_FOUND);
}
END_TEST

Suite *suite_token_manager (void)
{
    Suite *suite = suite_create ("token_manager");
    TCase *tcase = tcase_create ("token_manager");
    tcase_set_timeout (tcase, 60);
    tcase_add_checked_fixture (tcase, setup, teardown);
    tcase_add_test (tcase, test_mint);
    tcase_add_test (tcase, test_mint_order_of_checks);
    tcase_add_test (tcase, test_mint_up_to_the_cap);
    tcase_add_test (tcase, test_mint_up_to_the_share_of_the_cap);
    tcase_add_test (tcase, test_accounts_of_another_shard);
    tcase_add_test (tcase, test_mint_overflow);
    tcase_add_test (tcase, test_mint_of_a_taken_tx);
    tcase_add_test (tcase, test_void_then_mint);
    tcase_add_test (tcase, test_mint_then_resolve);
    tcase_add_test (tcase, test_resolve_refused);
    tcase_add_test (tcase, test_only_the_right_receipt);
    tcase_add_test (tcase, test_burn_and_settle);
    tcase_add_test (tcase, test_burn_order_of_checks);
    tcase_add_test (tcase, test_settle_burn_refuses);
    tcase_add_test (tcase, test_transfer);
    tcase_add_test (tcase, test_history_of_both_sides);
    tcase_add_test (tcase, test_transfer_order_of_checks);
    tcase_add_test (tcase, test_sent);
    tcase_add_test (tcase, test_sent_comes_back);
    tcase_add_test (tcase, test_receive);
    tcase_add_test (tcase, test_receive_only_what_was_sent);
    tcase_add_test (tcase, test_not_received);
    tcase_add_test (tcase, test_store_full_between_shards);
    tcase_add_test (tcase, test_controls);
    tcase_add_test (tcase, test_controls_tell_what_they_found);
    tcase_add_test (tcase, test_controls_refuse);
    tcase_add_test (tcase, test_first_cap_is_the_setting);
    tcase_add_test (tcase, test_sweep_backs_off);
    tcase_add_test (tcase, test_sweep_when_the_clock_goes_back);
    tcase_add_test (tcase, test_sweep_looks_past_what_is_not_due);
    tcase_add_test (tcase, test_sweep_takes_no_bad_answer);
    tcase_add_test (tcase, test_store_full);
    tcase_add_test (tcase, test_store_full_in_a_sweep);
    tcase_add_test (tcase, test_commit_fails);
    tcase_add_test (tcase, test_health_tells_of_a_store_that_fills_up);
    tcase_add_test (tcase, test_crash_before_commit);
    tcase_add_test (tcase, test_list_records);
    tcase_add_test (tcase, test_list_history);
    tcase_add_test (tcase, test_list_balances);
    suite_add_tcase (suite, tcase);
    return suite;
}
