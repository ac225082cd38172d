/*  test_lock_manager.c - the collateral ledger's core: locks, settlements, releases, its sweep and its lists.  */
#include "../../lock_manager/core.h"
#include "bench.h"
#include "suites.h"

#include <stdio.h>
#include <string.h>

static void setup (void)
{
    bench_defaults ("lock_manager.TIM3.0");
    bench_settings.scale = 10;
    bench_open (&tim3_lock_manager_core);
}

static void teardown (void)
{
    bench_close ();
}

/*  ------------------------------------------------------------------------------------------- requests  */

static tim3_lock_t locking (uint8_t tx, const char *account, tim3_amount_t amount)
{
    tim3_lock_t ask = {.tx = bench_tx (tx), .amount = amount};
    strcpy (ask.account, account);
    return ask;
}

static tim3_receipt_t minted (uint8_t tx, const char *account, tim3_amount_t amount)
{
    tim3_receipt_t ask = {.tx = bench_tx (tx), .amount = amount};
    strcpy (ask.account, account);
    ask.receipt = bench_evidence (TIM3_RECEIPT_KIND_MINT, &ask.tx, account, amount, 0);
    return ask;
}

static tim3_release_t releasing (tim3_release_reason_t reason, uint8_t tx, const char *account,
                                 tim3_amount_t amount)
{
    bool burn = reason == TIM3_RELEASE_REASON_BURN;
    tim3_release_t ask = {.reason = (uint8_t) reason, .tx = bench_tx (tx), .amount = amount};
    strcpy (ask.account, account);
    ask.receipt =
        bench_evidence (burn ? TIM3_RECEIPT_KIND_BURN : TIM3_RECEIPT_KIND_VOID, &ask.tx, account, amount, 0);
    return ask;
}

/*  What the collateral token says, in its own unit.  */
static tim3_vault_move_t vault_word (tim3_receipt_kind_t kind, uint8_t tx, const char *account,
                                     tim3_amount_t amount, unsigned reason)
{
    tim3_vault_move_t word = {
        .vault = "TIM3", .tx = bench_tx (tx), .amount = amount, .reason = (uint8_t) reason};
    strcpy (word.account, account);
    word.receipt = bench_vault (kind, &word.tx, account, amount, reason);
    return word;
}

static void vault_locked (uint8_t tx, const char *account, tim3_amount_t amount)
{
    tim3_vault_move_t word = vault_word (TIM3_RECEIPT_KIND_VAULT_LOCKED, tx, account, amount, 0);
    bench_told (1, TIM3_MSG_VAULT_LOCKED, &word);
}

static void vault_unlocked (uint8_t tx, const char *account, tim3_amount_t amount,
                            tim3_release_reason_t reason)
{
    tim3_vault_move_t word = vault_word (TIM3_RECEIPT_KIND_VAULT_UNLOCKED, tx, account, amount, reason);
    bench_told (1, TIM3_MSG_VAULT_UNLOCKED, &word);
}

static tim3_vault_refused_t no_funds (uint8_t tx, const char *account, tim3_amount_t amount)
{
    tim3_vault_refused_t word = {.vault = "TIM3", .tx = bench_tx (tx), .amount = amount};
    strcpy (word.account, account);
    word.code = TIM3_INSUFFICIENT_FUNDS;
    word.available = 39;
    word.needed = amount;
    word.receipt = bench_vault (TIM3_RECEIPT_KIND_VAULT_REFUSED, &word.tx, account, amount, word.code);
    return word;
}

static void vault_refused (uint8_t tx, const char *account, tim3_amount_t amount)
{
    tim3_vault_refused_t word = no_funds (tx, account, amount);
    bench_told (1, TIM3_MSG_VAULT_REFUSED, &word);
}

static tim3_lock_totals_t totals (void)
{
    return *(const tim3_lock_totals_t *) bench_ask (TIM3_MSG_GET_LOCK_TOTALS, NULL, TIM3_MSG_LOCK_TOTALS);
}

static tim3_lock_item_t item (uint8_t tx)
{
    tim3_get_lock_t ask = {.tx = bench_tx (tx)};
    return *(const tim3_lock_item_t *) bench_ask (TIM3_MSG_GET_LOCK, &ask, TIM3_MSG_LOCK_ITEM);
}

static void check_totals (tim3_amount_t locked, tim3_amount_t in_flight, tim3_amount_t going,
                          uint64_t unsettled)
{
    tim3_lock_totals_t sums = totals ();
    ck_assert (sums.locked == locked);
    ck_assert (sums.in_flight == in_flight);
    ck_assert (sums.releasing == going);
    ck_assert_uint_eq (sums.unsettled, unsettled);
    ck_assert_uint_eq (bench_unfinished (TIM3_TABLE_LOCK_DUE, TIM3_TABLE_LOCK_DUE_LIST), unsettled);
}

/*  To pending: the lock is confirmed.  */
static void lock (uint8_t tx, const char *account, tim3_amount_t amount)
{
    tim3_lock_t ask = locking (tx, account, amount);
    bench_send (TIM3_MSG_LOCK, &ask);
    vault_locked (tx, account, 10 * amount);
    ck_assert_uint_eq (item (tx).state, TIM3_LOCK_STATE_PENDING);
}

/*  To active: the mint is done.  */
static void settle (uint8_t tx, const char *account, tim3_amount_t amount)
{
    tim3_receipt_t ask = minted (tx, account, amount);
    lock (tx, account, amount);
    bench_ask (TIM3_MSG_SETTLE, &ask, TIM3_MSG_SETTLED);
}

static void check_receipt (const tim3_mac_t *receipt, tim3_receipt_kind_t kind, uint8_t tx,
                           const char *account, tim3_amount_t amount, uint64_t extra)
{
    tim3_id_t id = bench_tx (tx);
    tim3_mac_t right = bench_evidence (kind, &id, account, amount, extra);
    ck_assert_mem_eq (receipt->bytes, right.bytes, sizeof right.bytes);
}

/*  -------------------------------------------------------------------------------------------------- lock  */

START_TEST (test_lock)
{
    tim3_lock_t ask = locking (1, "alice", 7);
    bench_send (TIM3_MSG_LOCK, &ask);
    ck_assert_uint_eq (bench_count (), 1);
    const tim3_vault_move_t *move = bench_sent (TIM3_MSG_VAULT_LOCK);
    tim3_vault_move_t right = vault_word (TIM3_RECEIPT_KIND_VAULT_LOCK, 1, "alice", 70, 0);
    ck_assert_str_eq (bench_at (0)->to, "mock_usda.USDA.0");
    ck_assert_str_eq (move->vault, "TIM3");
    ck_assert (move->amount == 70);
    ck_assert_mem_eq (move->receipt.bytes, right.receipt.bytes, sizeof right.receipt.bytes);
    check_totals (0, 0, 0, 1);
    bench_send (TIM3_MSG_LOCK, &ask);
    vault_locked (1, "alice", 70);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_LOCKED), 1);
    const tim3_receipt_t *locked = bench_sent (TIM3_MSG_LOCKED);
    check_receipt (&locked->receipt, TIM3_RECEIPT_KIND_LOCK, 1, "alice", 7, 0);
    check_totals (7, 7, 0, 1);
    bench_twice (TIM3_MSG_LOCK, &ask);
    vault_locked (1, "alice", 70);
    ck_assert_uint_eq (bench_count (), 0);
    check_totals (7, 7, 0, 1);
    ck_assert_uint_eq (bench_events (), 1);
    ck_assert (((const tim3_collateral_locked_t *) bench_event (1, TIM3_MSG_COLLATERAL_LOCKED))->locked == 7);
}
END_TEST

/*  One of several shards: it takes nobody else's accounts, whatever evidence there is, and may release more than was locked in it.  */
START_TEST (test_shard)
{
    const char *own = bench_account (0, 2);
    const char *other = bench_account (1, 2);
    bench_settings.shards = 2;
    tim3_lock_t ask = locking (1, other, 7);
    bench_refused (TIM3_MSG_LOCK, &ask, TIM3_WRONG_SHARD);
    tim3_release_t burn = releasing (TIM3_RELEASE_REASON_BURN, 2, other, 7);
    bench_refused (TIM3_MSG_RELEASE, &burn, TIM3_WRONG_SHARD);
    ck_assert_uint_eq (bench_events (), 0);
    settle (3, own, 5);
    burn = releasing (TIM3_RELEASE_REASON_BURN, 4, own, 12);
    bench_send (TIM3_MSG_RELEASE, &burn);
    ck_assert (totals ().locked == 0 && totals ().overdrawn == 7);
    const tim3_collateral_released_t *event = bench_event (2, TIM3_MSG_COLLATERAL_RELEASED);
    ck_assert (event->locked == 0 && event->overdrawn == 7);
    settle (5, own, 9);
    ck_assert (totals ().locked == 2 && totals ().overdrawn == 0);
}
END_TEST

/*  By itself it knows that so much cannot have been burned.  */
START_TEST (test_alone_nothing_is_overdrawn)
{
    settle (1, "alice", 5);
    tim3_release_t burn = releasing (TIM3_RELEASE_REASON_BURN, 2, "alice", 6);
    bench_refused (TIM3_MSG_RELEASE, &burn, TIM3_WRONG_STATE);
    ck_assert_uint_eq (bench_metric ("conflicts"), 1);
    ck_assert (totals ().locked == 5 && totals ().overdrawn == 0);
}
END_TEST

START_TEST (test_everyone_who_waits_is_answered)
{
    tim3_lock_t ask = locking (1, "alice", 7);
    bench_begin ();
    bench_take ("a", TIM3_MSG_LOCK, &ask);
    bench_take ("b", TIM3_MSG_LOCK, &ask);
    uint64_t newest = bench_take ("a", TIM3_MSG_LOCK, &ask);
    ck_assert_int_eq (bench_commit (), 0);
    vault_locked (1, "alice", 70);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_LOCKED), 2);
    ck_assert_str_ne (bench_nth (TIM3_MSG_LOCKED, 0)->to, bench_nth (TIM3_MSG_LOCKED, 1)->to);
    for (unsigned i = 0; i < 2; i++)
        if (strcmp (bench_nth (TIM3_MSG_LOCKED, i)->to, "a") == 0)
            ck_assert_uint_eq (bench_nth (TIM3_MSG_LOCKED, i)->reply_to, newest);
}
END_TEST

START_TEST (test_lock_order_of_checks)
{
    tim3_lock_t ask = locking (1, "", 0);
    bench_refused (TIM3_MSG_LOCK, &ask, TIM3_INVALID_ACCOUNT);
    strcpy (ask.account, "alice");
    bench_refused (TIM3_MSG_LOCK, &ask, TIM3_INVALID_AMOUNT);
    ask.amount = TIM3_AMOUNT_MAX / 10 + 1;
    bench_refused (TIM3_MSG_LOCK, &ask, TIM3_INVALID_AMOUNT);
    check_totals (0, 0, 0, 0);
    lock (1, "alice", 7);
    bench_refused (TIM3_MSG_LOCK, &ask, TIM3_INVALID_AMOUNT);
    ask = locking (1, "alice", 8);
    bench_refused (TIM3_MSG_LOCK, &ask, TIM3_ID_REUSED);
    ask = locking (1, "bob", 7);
    bench_refused (TIM3_MSG_LOCK, &ask, TIM3_ID_REUSED);
    ask = locking (2, "alice", TIM3_AMOUNT_MAX / 10);
    bench_send (TIM3_MSG_LOCK, &ask);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_VAULT_LOCK), 1);
}
END_TEST

START_TEST (test_refused_lock)
{
    tim3_lock_t ask = locking (1, "alice", 7);
    bench_send (TIM3_MSG_LOCK, &ask);
    vault_refused (1, "alice", 70);
    const tim3_refusal_t *refused = bench_sent (TIM3_MSG_LOCK_REFUSED);
    ck_assert_uint_eq (refused->code, TIM3_INSUFFICIENT_FUNDS);
    ck_assert (refused->available == 3 && refused->needed == 7);
    check_receipt (&refused->receipt, TIM3_RECEIPT_KIND_REFUSAL, 1, "alice", 7, TIM3_INSUFFICIENT_FUNDS);
    check_totals (0, 0, 0, 1);
    bench_twice (TIM3_MSG_LOCK, &ask);
    vault_locked (1, "alice", 70);
    ck_assert_uint_eq (item (1).state, TIM3_LOCK_STATE_REFUSING);
    tim3_release_t release = releasing (TIM3_RELEASE_REASON_VOID, 1, "alice", 7);
    const tim3_release_t *released = bench_ask (TIM3_MSG_RELEASE, &release, TIM3_MSG_RELEASED);
    check_receipt (&released->receipt, TIM3_RECEIPT_KIND_RELEASE, 1, "alice", 7, TIM3_RELEASE_REASON_VOID);
    ck_assert_uint_eq (item (1).state, TIM3_LOCK_STATE_REFUSED);
    check_totals (0, 0, 0, 0);
    bench_twice (TIM3_MSG_RELEASE, &release);
    bench_twice (TIM3_MSG_LOCK, &ask);
    ck_assert_uint_eq (bench_events (), 0);
    ck_assert_uint_eq (totals ().refused, 1);
}
END_TEST

/*  The vault's word counts only under its key, for this asset, account and amount.  */
START_TEST (test_vault_words_that_do_not_hold)
{
    tim3_lock_t ask = locking (1, "alice", 7);
    bench_send (TIM3_MSG_LOCK, &ask);
    tim3_vault_move_t word = vault_word (TIM3_RECEIPT_KIND_VAULT_LOCKED, 1, "alice", 70, 0);
    word.receipt.bytes[5] ^= 4;
    bench_told (1, TIM3_MSG_VAULT_LOCKED, &word);
    word = vault_word (TIM3_RECEIPT_KIND_VAULT_LOCK, 1, "alice", 70, 0);
    bench_told (1, TIM3_MSG_VAULT_LOCKED, &word);
    word = vault_word (TIM3_RECEIPT_KIND_VAULT_LOCKED, 1, "alice", 70, 0);
    strcpy (word.vault, "GOLD");
    bench_told (1, TIM3_MSG_VAULT_LOCKED, &word);
    tim3_claim_t claim = {TIM3_RECEIPT_KIND_VAULT_LOCKED, "GOLD", word.tx, "alice", 70, 0};
    word.receipt = tim3_receipt_make (&bench_settings.vault_key, &claim);
    bench_told (1, TIM3_MSG_VAULT_LOCKED, &word);
    vault_locked (1, "alice", 71);
    vault_locked (1, "bob", 70);
    vault_locked (2, "alice", 70);
    vault_unlocked (1, "alice", 70, TIM3_RELEASE_REASON_VOID);
    tim3_vault_refused_t refused = no_funds (1, "alice", 70);
    refused.code = TIM3_VOIDED;
    bench_told (1, TIM3_MSG_VAULT_REFUSED, &refused);
    ck_assert_uint_eq (item (1).state, TIM3_LOCK_STATE_REQUESTED);
    check_totals (0, 0, 0, 1);
    ck_assert_uint_eq (bench_metric ("bad_receipts"), 5);
}
END_TEST

/*  ------------------------------------------------------------------------------------------------ settle  */

START_TEST (test_settle)
{
    lock (1, "alice", 7);
    tim3_receipt_t ask = minted (1, "alice", 7);
    const tim3_settled_t *settled = bench_ask (TIM3_MSG_SETTLE, &ask, TIM3_MSG_SETTLED);
    ck_assert_uint_eq (settled->state, TIM3_LOCK_STATE_ACTIVE);
    check_totals (7, 0, 0, 0);
    bench_twice (TIM3_MSG_SETTLE, &ask);
    tim3_lock_t again = locking (1, "alice", 7);
    bench_twice (TIM3_MSG_LOCK, &again);
    /* what is active can be voided by nothing, however well it is proven */
    tim3_release_t release = releasing (TIM3_RELEASE_REASON_VOID, 1, "alice", 7);
    bench_refused (TIM3_MSG_RELEASE, &release, TIM3_WRONG_STATE);
    check_totals (7, 0, 0, 0);
    ck_assert (bench_has_reason ("conflicts"));
}
END_TEST

START_TEST (test_settle_order_of_checks)
{
    tim3_receipt_t ask = minted (1, "alice", 7);
    ask.receipt.bytes[0] ^= 1;
    bench_refused (TIM3_MSG_SETTLE, &ask, TIM3_BAD_RECEIPT);
    ask = minted (1, "alice", 7);
    bench_refused (TIM3_MSG_SETTLE, &ask, TIM3_NOT_FOUND);
    tim3_lock_t asked = locking (1, "alice", 7);
    bench_send (TIM3_MSG_LOCK, &asked);
    bench_refused (TIM3_MSG_SETTLE, &ask, TIM3_WRONG_STATE);
    ask = minted (1, "alice", 8);
    bench_refused (TIM3_MSG_SETTLE, &ask, TIM3_ID_REUSED);
    check_totals (0, 0, 0, 1);
}
END_TEST

/*  What holds is settled, whatever else is in the list; the rest is counted, and left to the sweep.  */
START_TEST (test_settle_all)
{
    tim3_receipt_t items[6];
    tim3_settle_all_t ask = {.items = {items, 6}};
    for (uint8_t i = 1; i <= 4; i++)
        lock (i, "alice", 7);
    items[0] = minted (1, "alice", 7);
    items[1] = minted (2, "alice", 7);
    items[1].receipt.bytes[0] ^= 1;
    items[2] = minted (3, "alice", 8);
    items[3] = minted (9, "alice", 7);
    items[4] = minted (4, "alice", 7);
    items[5] = items[4];
    const tim3_settled_all_t *settled = bench_ask (TIM3_MSG_SETTLE_ALL, &ask, TIM3_MSG_SETTLED_ALL);
    ck_assert_uint_eq (settled->active, 3);
    check_totals (28, 14, 0, 2);
    ck_assert_uint_eq (bench_metric ("bad_receipts"), 1);
    bench_twice (TIM3_MSG_SETTLE_ALL, &ask);
    check_totals (28, 14, 0, 2);
    ask.items.count = 0;
    settled = bench_ask (TIM3_MSG_SETTLE_ALL, &ask, TIM3_MSG_SETTLED_ALL);
    ck_assert_uint_eq (settled->active, 0);
}
END_TEST

/*  Totals are written once in a batch, and are those of all its messages; those of one that is refused are forgotten.  */
START_TEST (test_totals_of_a_batch)
{
    tim3_lock_t first = locking (1, "alice", 7);
    tim3_lock_t second = locking (2, "bob", 8);
    tim3_key_t key = tim3_key_text ("totals");
    tim3_lock_totals_t totals;
    memory_store_fail_commit (bench_store (), TIM3_STORE_FULL);
    bench_begin ();
    bench_take ("a", TIM3_MSG_LOCK, &first);
    bench_take ("b", TIM3_MSG_LOCK, &second);
    ck_assert_int_eq (bench_commit (), 0);
    memory_store_fail_commit (bench_store (), TIM3_STORE_OK);
    check_totals (0, 0, 0, 0);
    bench_begin ();
    bench_take ("a", TIM3_MSG_LOCK, &first);
    bench_take ("b", TIM3_MSG_LOCK, &second);
    ck_assert (!tim3_store_read (bench_store (), TIM3_TABLE_LOCK_TOTALS, &key, &totals));
    ck_assert_int_eq (bench_commit (), 0);
    ck_assert (tim3_store_read (bench_store (), TIM3_TABLE_LOCK_TOTALS, &key, &totals));
    ck_assert_uint_eq (totals.unsettled, 2);
    check_totals (0, 0, 0, 2);
}
END_TEST

START_TEST (test_settle_by_the_sweep)
{
    lock (1, "alice", 7);
    bench_pass (2 * BENCH_SECOND);
    const tim3_receipt_t *resolve = bench_sent (TIM3_MSG_RESOLVE);
    ck_assert_str_eq (bench_at (0)->to, "token_manager.TIM3.0");
    check_receipt (&resolve->receipt, TIM3_RECEIPT_KIND_LOCK, 1, "alice", 7, 0);
    tim3_minted_t answer = {.tx = bench_tx (1), .account = "alice", .amount = 7};
    bench_told (1, TIM3_MSG_MINTED, &answer);
    check_totals (7, 7, 0, 1);
    answer.receipt = minted (1, "alice", 7).receipt;
    bench_told (1, TIM3_MSG_MINTED, &answer);
    ck_assert_uint_eq (bench_count (), 0);
    check_totals (7, 0, 0, 0);
}
END_TEST

/*  ----------------------------------------------------------------------------------------------- release  */

START_TEST (test_void)
{
    lock (1, "alice", 7);
    tim3_release_t ask = releasing (TIM3_RELEASE_REASON_VOID, 1, "alice", 7);
    bench_send (TIM3_MSG_RELEASE, &ask);
    ck_assert_uint_eq (bench_count (), 1);
    const tim3_vault_move_t *move = bench_sent (TIM3_MSG_VAULT_UNLOCK);
    tim3_vault_move_t right =
        vault_word (TIM3_RECEIPT_KIND_VAULT_UNLOCK, 1, "alice", 70, TIM3_RELEASE_REASON_VOID);
    ck_assert_mem_eq (move->receipt.bytes, right.receipt.bytes, sizeof right.receipt.bytes);
    check_totals (0, 0, 7, 1);
    bench_begin ();
    bench_take ("other", TIM3_MSG_RELEASE, &ask);
    ck_assert_int_eq (bench_commit (), 0);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_VAULT_UNLOCK), 1);
    vault_unlocked (1, "alice", 70, TIM3_RELEASE_REASON_VOID);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_RELEASED), 2);
    check_totals (0, 0, 0, 0);
    ck_assert_uint_eq (item (1).state, TIM3_LOCK_STATE_RELEASED);
    bench_twice (TIM3_MSG_RELEASE, &ask);
    vault_unlocked (1, "alice", 70, TIM3_RELEASE_REASON_VOID);
    check_totals (0, 0, 0, 0);
    /* a mint that comes too late finds no collateral */
    tim3_receipt_t mint = minted (1, "alice", 7);
    bench_refused (TIM3_MSG_SETTLE, &mint, TIM3_WRONG_STATE);
    ck_assert_uint_eq (bench_events (), 2);
    const tim3_collateral_released_t *event = bench_event (2, TIM3_MSG_COLLATERAL_RELEASED);
    ck_assert (event->locked == 0 && event->reason == TIM3_RELEASE_REASON_VOID);
}
END_TEST

/*  A token ledger that does not fit this one, a restored one say, may prove what cannot be: no crash, but a word.  */
START_TEST (test_void_of_what_is_gone)
{
    lock (1, "alice", 7);
    tim3_release_t burn = releasing (TIM3_RELEASE_REASON_BURN, 2, "bob", 5);
    bench_send (TIM3_MSG_RELEASE, &burn);
    vault_unlocked (2, "bob", 50, TIM3_RELEASE_REASON_BURN);
    tim3_release_t ask = releasing (TIM3_RELEASE_REASON_VOID, 1, "alice", 7);
    bench_refused (TIM3_MSG_RELEASE, &ask, TIM3_WRONG_STATE);
    ck_assert_uint_eq (item (1).state, TIM3_LOCK_STATE_PENDING);
    ck_assert (totals ().locked == 2);
    ck_assert (bench_has_reason ("conflicts"));
}
END_TEST

START_TEST (test_void_by_the_sweep)
{
    lock (1, "alice", 7);
    tim3_refusal_t voided = {.tx = bench_tx (1), .account = "alice", .amount = 7, .code = TIM3_VOIDED};
    bench_told (1, TIM3_MSG_VOIDED, &voided);
    ck_assert_uint_eq (bench_count (), 0);
    voided.receipt = releasing (TIM3_RELEASE_REASON_VOID, 1, "alice", 7).receipt;
    bench_told (1, TIM3_MSG_VOIDED, &voided);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_VAULT_UNLOCK), 1);
    vault_unlocked (1, "alice", 70, TIM3_RELEASE_REASON_VOID);
    ck_assert_uint_eq (bench_count (), 0);
    check_totals (0, 0, 0, 0);
}
END_TEST

START_TEST (test_burn_release)
{
    settle (1, "alice", 100);
    tim3_release_t ask = releasing (TIM3_RELEASE_REASON_BURN, 2, "bob", 30);
    bench_send (TIM3_MSG_RELEASE, &ask);
    const tim3_vault_move_t *move = bench_sent (TIM3_MSG_VAULT_UNLOCK);
    ck_assert_str_eq (move->account, "bob");
    ck_assert (move->amount == 300);
    check_totals (70, 0, 30, 1);
    vault_unlocked (2, "bob", 300, TIM3_RELEASE_REASON_BURN);
    const tim3_release_t *released = bench_sent (TIM3_MSG_RELEASED);
    check_receipt (&released->receipt, TIM3_RECEIPT_KIND_RELEASE, 2, "bob", 30, TIM3_RELEASE_REASON_BURN);
    check_totals (70, 0, 0, 0);
    bench_twice (TIM3_MSG_RELEASE, &ask);
    ask = releasing (TIM3_RELEASE_REASON_BURN, 2, "bob", 31);
    bench_refused (TIM3_MSG_RELEASE, &ask, TIM3_ID_REUSED);
    ck_assert_uint_eq (totals ().releases, 1);
    ck_assert (totals ().scale == 10);
}
END_TEST

START_TEST (test_release_order_of_checks)
{
    tim3_release_t ask = releasing (TIM3_RELEASE_REASON_BURN, 2, "", 0);
    ask.receipt.bytes[0] ^= 1;
    bench_refused (TIM3_MSG_RELEASE, &ask, TIM3_INVALID_ACCOUNT);
    strcpy (ask.account, "alice");
    bench_refused (TIM3_MSG_RELEASE, &ask, TIM3_INVALID_AMOUNT);
    ask.amount = TIM3_AMOUNT_MAX / 10 + 1;
    bench_refused (TIM3_MSG_RELEASE, &ask, TIM3_INVALID_AMOUNT);
    ask.amount = 5;
    bench_refused (TIM3_MSG_RELEASE, &ask, TIM3_BAD_RECEIPT);
    ask.reason = TIM3_RELEASE_REASON_VOID;
    bench_refused (TIM3_MSG_RELEASE, &ask, TIM3_BAD_RECEIPT);
    ask = releasing (TIM3_RELEASE_REASON_VOID, 2, "alice", 5);
    bench_refused (TIM3_MSG_RELEASE, &ask, TIM3_NOT_FOUND);
    ask.reason = TIM3_RELEASE_REASON_BURN;
    bench_refused (TIM3_MSG_RELEASE, &ask, TIM3_BAD_RECEIPT);
    settle (1, "alice", 4);
    ask = releasing (TIM3_RELEASE_REASON_BURN, 2, "alice", 5);
    const tim3_error_t *error = bench_refused (TIM3_MSG_RELEASE, &ask, TIM3_WRONG_STATE);
    ck_assert (error->available == 4 && error->needed == 5);
    check_totals (4, 0, 0, 0);
}
END_TEST

/*  A mint's void and a redemption can carry one tx, when a request id is used for both.  */
START_TEST (test_lock_and_release_of_one_tx)
{
    settle (9, "carol", 50);
    lock (1, "alice", 7);
    tim3_release_t burn = releasing (TIM3_RELEASE_REASON_BURN, 1, "alice", 20);
    tim3_release_t undo = releasing (TIM3_RELEASE_REASON_VOID, 1, "alice", 7);
    bench_send (TIM3_MSG_RELEASE, &burn);
    bench_send (TIM3_MSG_RELEASE, &undo);
    check_totals (30, 0, 27, 2);
    vault_unlocked (1, "alice", 70, TIM3_RELEASE_REASON_VOID);
    check_totals (30, 0, 20, 1);
    vault_unlocked (1, "alice", 200, TIM3_RELEASE_REASON_BURN);
    check_totals (30, 0, 0, 0);
    bench_twice (TIM3_MSG_RELEASE, &burn);
    bench_twice (TIM3_MSG_RELEASE, &undo);
    ck_assert_uint_eq (item (1).reason, TIM3_RELEASE_REASON_VOID);
    tim3_get_lock_t ask = {.tx = bench_tx (1), .release = true};
    const tim3_lock_item_t *release = bench_ask (TIM3_MSG_GET_LOCK, &ask, TIM3_MSG_LOCK_ITEM);
    ck_assert (release->reason == TIM3_RELEASE_REASON_BURN && release->amount == 20);
    ask.tx = bench_tx (9);
    bench_refused (TIM3_MSG_GET_LOCK, &ask, TIM3_NOT_FOUND);
    ask.tx = bench_tx (77);
    ask.release = false;
    bench_refused (TIM3_MSG_GET_LOCK, &ask, TIM3_NOT_FOUND);
}
END_TEST

/*  ------------------------------------------------------------------------------------------------ sweep  */

START_TEST (test_sweep_by_state)
{
    tim3_lock_t ask = locking (1, "alice", 7);
    bench_send (TIM3_MSG_LOCK, &ask);
    lock (2, "bob", 7);
    ask = locking (3, "carol", 7);
    bench_send (TIM3_MSG_LOCK, &ask);
    vault_refused (3, "carol", 70);
    settle (4, "dave", 50);
    tim3_release_t burn = releasing (TIM3_RELEASE_REASON_BURN, 5, "dave", 20);
    bench_send (TIM3_MSG_RELEASE, &burn);
    check_totals (37, 7, 20, 4);
    bench_pass (2 * BENCH_SECOND);
    ck_assert_uint_eq (bench_count (), 4);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_VAULT_LOCK), 1);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_RESOLVE), 1);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_RESOLVE_REFUSED), 1);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_VAULT_UNLOCK), 1);
    bench_pass (4 * BENCH_SECOND - 1);
    ck_assert_uint_eq (bench_count (), 0);
    bench_restart ();
    bench_pass (1);
    ck_assert_uint_eq (bench_count (), 4);
    ck_assert_uint_eq (item (1).attempts, 2);
}
END_TEST

/*  More than a list holds, in one batch: locks 1 to count of alice.  */
static void lock_many (unsigned count)
{
    bench_begin ();
    for (unsigned i = 1; i <= count; i++) {
        tim3_lock_t ask = locking (1, "alice", 7);
        ask.tx.bytes[0] = (uint8_t) (i >> 8);
        ask.tx.bytes[1] = (uint8_t) i;
        bench_take ("a", TIM3_MSG_LOCK, &ask);
    }
    ck_assert_int_eq (bench_commit (), 0);
}

static void refuse_many (unsigned from, unsigned count)
{
    bench_begin ();
    for (unsigned i = from; i < from + count; i++) {
        tim3_vault_refused_t word = no_funds (1, "alice", 70);
        word.tx.bytes[0] = (uint8_t) (i >> 8);
        word.tx.bytes[1] = (uint8_t) i;
        word.receipt = bench_vault (TIM3_RECEIPT_KIND_VAULT_REFUSED, &word.tx, "alice", 70, word.code);
        bench_answer (1, TIM3_MSG_VAULT_REFUSED, &word);
        tim3_refusal_t voided = {.tx = word.tx, .account = "alice", .amount = 7, .code = TIM3_VOIDED};
        voided.receipt = bench_evidence (TIM3_RECEIPT_KIND_VOID, &word.tx, "alice", 7, 0);
        bench_answer (1, TIM3_MSG_VOIDED, &voided);
    }
    ck_assert_int_eq (bench_commit (), 0);
}

static size_t rows (tim3_table_t table)
{
    return memory_store_count (bench_store (), table);
}

static void check_index (size_t deadlines, size_t lists, uint64_t unsettled)
{
    ck_assert_uint_eq (rows (TIM3_TABLE_LOCK_DUE), deadlines);
    ck_assert_uint_eq (rows (TIM3_TABLE_LOCK_DUE_LIST), lists);
    check_totals (0, 0, 0, unsettled);
}

/*  All that a batch begins has one deadline, which goes when nothing of it is left.  */
START_TEST (test_due_of_a_batch)
{
    lock_many (600);
    check_index (1, 3, 600);
    bench_now += BENCH_SECOND;
    lock (201, "bob", 7);
    ck_assert_uint_eq (rows (TIM3_TABLE_LOCK_DUE), 2);
    settle (202, "bob", 7);
    ck_assert_uint_eq (rows (TIM3_TABLE_LOCK_DUE), 2);
    refuse_many (1, 599);
    check_totals (14, 7, 0, 2);
    ck_assert_uint_eq (rows (TIM3_TABLE_LOCK_DUE_LIST), 5);
    refuse_many (600, 1);
    check_totals (14, 7, 0, 1);
    ck_assert_uint_eq (rows (TIM3_TABLE_LOCK_DUE), 1);
    bench_now += BENCH_SECOND - 1;
    bench_pass (0);
    ck_assert_uint_eq (bench_count (), 0);
}
END_TEST

/*  What begins and ends in one batch leaves nothing.  */
START_TEST (test_due_of_what_ends_at_once)
{
    tim3_lock_t ask = locking (1, "alice", 7);
    tim3_vault_refused_t word = no_funds (1, "alice", 70);
    tim3_refusal_t voided = {.tx = bench_tx (1), .account = "alice", .amount = 7, .code = TIM3_VOIDED};
    voided.receipt = bench_evidence (TIM3_RECEIPT_KIND_VOID, &voided.tx, "alice", 7, 0);
    bench_begin ();
    bench_take ("a", TIM3_MSG_LOCK, &ask);
    bench_answer (1, TIM3_MSG_VAULT_REFUSED, &word);
    bench_answer (1, TIM3_MSG_VOIDED, &voided);
    ck_assert_int_eq (bench_commit (), 0);
    check_index (0, 0, 0);
    ck_assert_uint_eq (item (1).state, TIM3_LOCK_STATE_REFUSED);
}
END_TEST

/*  Each tick pushes on a list; who is settled is passed over, and everybody has one place all the while.  */
START_TEST (test_sweep_list_by_list)
{
    lock_many (600);
    refuse_many (257, 100);
    bench_now += BENCH_SECOND;
    bench_pass (BENCH_SECOND);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_VAULT_LOCK), 256);
    check_index (2, 3, 500);
    bench_pass (1);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_VAULT_LOCK), 156 + 88);
    check_index (2, 2, 500);
    bench_pass (1);
    ck_assert_uint_eq (bench_count (), 0);
    bench_restart ();
    bench_pass (4 * BENCH_SECOND);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_VAULT_LOCK), 256);
    bench_pass (0);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_VAULT_LOCK), 244);
    refuse_many (1, 256);
    refuse_many (357, 244);
    check_index (0, 0, 0);
    bench_pass (100 * BENCH_SECOND);
    ck_assert_uint_eq (bench_count (), 0);
}
END_TEST

/*  Old lists of which hardly anybody is left are not all looked at in one tick.  */
START_TEST (test_sweep_is_bounded)
{
    unsigned pushed = 0;
    for (unsigned i = 0; i < 20; i++) {
        bench_now++;
        bench_begin ();
        for (unsigned j = 0; j < 256; j++) {
            tim3_lock_t ask = locking ((uint8_t) (i + 1), "alice", 7);
            ask.tx.bytes[0] = (uint8_t) j;
            bench_take ("a", TIM3_MSG_LOCK, &ask);
            tim3_vault_refused_t word = no_funds ((uint8_t) (i + 1), "alice", 70);
            word.tx = ask.tx;
            word.receipt = bench_vault (TIM3_RECEIPT_KIND_VAULT_REFUSED, &word.tx, "alice", 70, word.code);
            tim3_refusal_t voided = {.tx = ask.tx, .account = "alice", .amount = 7, .code = TIM3_VOIDED};
            voided.receipt = bench_evidence (TIM3_RECEIPT_KIND_VOID, &ask.tx, "alice", 7, 0);
            if (j == 0)
                continue;
            bench_answer (1, TIM3_MSG_VAULT_REFUSED, &word);
            bench_answer (1, TIM3_MSG_VOIDED, &voided);
        }
        ck_assert_int_eq (bench_commit (), 0);
    }
    check_index (20, 20, 20);
    bench_pass (2 * BENCH_SECOND);
    pushed = bench_count_of (TIM3_MSG_VAULT_LOCK);
    ck_assert_uint_eq (pushed, 16);
    check_index (5, 5, 20);
    bench_pass (0);
    ck_assert_uint_eq (bench_count_of (TIM3_MSG_VAULT_LOCK), 4);
}
END_TEST

START_TEST (test_sweep_when_the_clock_goes_back)
{
    lock (1, "alice", 7);
    bench_now -= 500 * BENCH_SECOND;
    lock (2, "bob", 7);
    bench_pass (BENCH_SECOND);
    ck_assert_uint_eq (bench_count (), 1);
    ck_assert_str_eq (((const tim3_receipt_t *) bench_sent (TIM3_MSG_RESOLVE))->account, "alice");
    bench_pass (BENCH_SECOND);
    ck_assert_uint_eq (bench_count (), 1);
    ck_assert_str_eq (((const tim3_receipt_t *) bench_sent (TIM3_MSG_RESOLVE))->account, "bob");
}
END_TEST

START_TEST (test_who_asks_again_is_answered_once)
{
    tim3_lock_t ask = locking (1, "alice", 7);
    bench_send (TIM3_MSG_LOCK, &ask);
    bench_begin ();
    uint64_t latest = bench_take ("asker", TIM3_MSG_LOCK, &ask);
    ck_assert_int_eq (bench_commit (), 0);
    ck_assert_uint_eq (bench_metric ("waiting"), 1);
    vault_locked (1, "alice", 70);
    ck_assert_uint_eq (bench_count (), 1);
    ck_assert_uint_eq (bench_nth (TIM3_MSG_LOCKED, 0)->reply_to, latest);
}
END_TEST

START_TEST (test_waiters_are_forgotten)
{
    tim3_lock_t ask = locking (1, "alice", 7);
    bench_send (TIM3_MSG_LOCK, &ask);
    ck_assert_uint_eq (bench_metric ("waiting"), 1);
    bench_pass (31 * BENCH_SECOND);
    ck_assert_uint_eq (bench_metric ("waiting"), 0);
    vault_locked (1, "alice", 70);
    ck_assert_uint_eq (bench_count (), 0);
    bench_ask (TIM3_MSG_LOCK, &ask, TIM3_MSG_LOCKED);
}
END_TEST

/*  ------------------------------------------------------------------------------------------------- faults  */

static void full_batch (void)
{
    tim3_lock_t ask = locking (11, "erin", 5);
    tim3_receipt_t mint = minted (1, "alice", 7);
    tim3_release_t undo = releasing (TIM3_RELEASE_REASON_VOID, 2, "bob", 7);
    tim3_release_t burn = releasing (TIM3_RELEASE_REASON_BURN, 12, "dave", 20);
    tim3_release_t refuse = releasing (TIM3_RELEASE_REASON_VOID, 3, "carol", 7);
    bench_take ("a", TIM3_MSG_LOCK, &ask);
    bench_take ("b", TIM3_MSG_SETTLE, &mint);
    bench_take ("c", TIM3_MSG_RELEASE, &undo);
    bench_take ("d", TIM3_MSG_RELEASE, &burn);
    bench_take ("e", TIM3_MSG_RELEASE, &refuse);
}

static void words_batch (void)
{
    tim3_vault_move_t in = vault_word (TIM3_RECEIPT_KIND_VAULT_LOCKED, 11, "erin", 50, 0);
    tim3_vault_move_t out =
        vault_word (TIM3_RECEIPT_KIND_VAULT_UNLOCKED, 2, "bob", 70, TIM3_RELEASE_REASON_VOID);
    bench_answer (1, TIM3_MSG_VAULT_LOCKED, &in);
    bench_answer (1, TIM3_MSG_VAULT_UNLOCKED, &out);
}

START_TEST (test_store_full)
{
    lock (1, "alice", 7);
    lock (2, "bob", 7);
    tim3_lock_t ask = locking (3, "carol", 7);
    bench_send (TIM3_MSG_LOCK, &ask);
    vault_refused (3, "carol", 70);
    settle (4, "dave", 50);
    ck_assert_uint_ge (bench_fill_up (full_batch), 10);
    check_totals (37, 0, 27, 3);
    ck_assert_uint_gt (bench_fill_up (words_batch), 5);
    check_totals (42, 5, 20, 2);
    ck_assert_uint_eq (bench_events (), 6);
}
END_TEST

START_TEST (test_commit_fails)
{
    tim3_lock_t ask = locking (1, "alice", 7);
    memory_store_fail_commit (bench_store (), TIM3_STORE_FULL);
    bench_begin ();
    bench_take ("a", TIM3_MSG_LOCK, &ask);
    ck_assert_int_eq (bench_commit (), 0);
    /* nothing may be asked of the vault for a lock that is not written down */
    ck_assert_uint_eq (bench_count (), 1);
    ck_assert_uint_eq (((const tim3_error_t *) bench_sent (TIM3_MSG_ERROR))->code, TIM3_STORAGE_FULL);
    check_totals (0, 0, 0, 0);
    /* nobody waits for it any more */
    ck_assert_uint_eq (bench_metric ("waiting"), 0);
}
END_TEST

/*  ------------------------------------------------------------------------------------------------- lists  */

static unsigned list (tim3_list_locks_t ask, unsigned seen[256])
{
    unsigned count = 0;
    memset (seen, 0, 256 * sizeof *seen);
    do {
        const tim3_locks_t *page = bench_ask (TIM3_MSG_LIST_LOCKS, &ask, TIM3_MSG_LOCKS);
        const tim3_lock_item_t *items = page->items.items;
        ck_assert_uint_le (page->items.count, ask.limit);
        for (uint32_t i = 0; i < page->items.count; i++, count++)
            seen[items[i].tx.bytes[0]]++;
        strcpy (ask.cursor, page->cursor);
    } while (ask.cursor[0]);
    return count;
}

START_TEST (test_lists)
{
    unsigned seen[256];
    for (uint8_t i = 1; i <= 10; i++)
        (i % 3 ? settle : lock) (i, i % 2 ? "alice" : "bob", 10);
    for (uint8_t i = 21; i <= 25; i++) {
        tim3_release_t burn = releasing (TIM3_RELEASE_REASON_BURN, i, "alice", 2);
        bench_send (TIM3_MSG_RELEASE, &burn);
    }
    vault_unlocked (21, "alice", 20, TIM3_RELEASE_REASON_BURN);
    for (unsigned limit = 1; limit < 20; limit += 2) {
        ck_assert_uint_eq (list ((tim3_list_locks_t){.limit = limit}, seen), 15);
        ck_assert (seen[1] == 1 && seen[10] == 1 && seen[21] == 1 && seen[25] == 1);
        ck_assert_uint_eq (list ((tim3_list_locks_t){.limit = limit, .unsettled = true}, seen), 7);
        ck_assert (seen[3] == 1 && seen[21] == 0 && seen[22] == 1);
        ck_assert_uint_eq (
            list ((tim3_list_locks_t){.limit = limit, .account = "alice", .unsettled = true}, seen), 6);
        ck_assert_uint_eq (list ((tim3_list_locks_t){.limit = limit, .state = TIM3_LOCK_STATE_ACTIVE}, seen),
                           7);
        ck_assert_uint_eq (
            list ((tim3_list_locks_t){.limit = limit, .state = TIM3_LOCK_STATE_RELEASED}, seen), 1);
    }
    tim3_list_locks_t of_alice = {.account = "alice"};
    bench_refused (TIM3_MSG_LIST_LOCKS, &of_alice, TIM3_INVALID_FIELD);
}
END_TEST

/*  What is not final is listed across the lists of a deadline, from any place in them, also one that has gone.  */
START_TEST (test_list_of_the_unsettled)
{
    static const char *const cursors[] = {"ff", "00", "0000000000000000000000000000000000ffff",
                                          "ffffffffffffffffffffffffffffffffffff", "000000000000000000000000000000000000"};
    unsigned seen[256];
    tim3_list_locks_t ask = {.unsettled = true, .limit = 100};
    lock_many (600);
    refuse_many (100, 200);
    for (unsigned limit = 1; limit < 1000; limit = 3 * limit + 1) {
        ck_assert_uint_eq (list ((tim3_list_locks_t){.limit = limit, .unsettled = true}, seen), 400);
        ck_assert_uint_eq (list ((tim3_list_locks_t){.limit = limit, .unsettled = true, .account = "bob"}, seen), 0);
        ck_assert_uint_eq (
            list ((tim3_list_locks_t){.limit = limit, .unsettled = true, .state = TIM3_LOCK_STATE_PENDING}, seen), 0);
    }
    for (unsigned i = 0; i < sizeof cursors / sizeof cursors[0]; i++) {
        strcpy (ask.cursor, cursors[i]);
        bench_ask (TIM3_MSG_LIST_LOCKS, &ask, TIM3_MSG_LOCKS);
    }
    ask.cursor[0] = '\0';
    const tim3_locks_t *page = bench_ask (TIM3_MSG_LIST_LOCKS, &ask, TIM3_MSG_LOCKS);
    ck_assert_uint_eq (page->items.count, 100);
    strcpy (ask.cursor, page->cursor);
    bench_pass (2 * BENCH_SECOND); /* the first list is swept meanwhile: who was in it is met again */
    ck_assert_uint_eq (list (ask, seen), 400);
}
END_TEST

/*  A list sees what the same batch has begun.  */
START_TEST (test_list_in_a_batch)
{
    tim3_lock_t first = locking (1, "alice", 7);
    tim3_lock_t second = locking (2, "alice", 7);
    tim3_list_locks_t ask = {.unsettled = true};
    bench_begin ();
    bench_take ("a", TIM3_MSG_LOCK, &first);
    bench_take ("b", TIM3_MSG_LIST_LOCKS, &ask);
    bench_take ("a", TIM3_MSG_LOCK, &second);
    bench_take ("b", TIM3_MSG_LIST_LOCKS, &ask);
    ck_assert_int_eq (bench_commit (), 0);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_uint_eq (((const tim3_locks_t *) bench_nth (TIM3_MSG_LOCKS, i)->body)->items.count, i + 1);
    check_index (1, 2, 2);
}
END_TEST

Suite *suite_lock_manager (void)
{
    Suite *suite = suite_create ("lock_manager");
    TCase *tcase = tcase_create ("lock_manager");
    tcase_set_timeout (tcase, 60);
    tcase_add_checked_fixture (tcase, setup, teardown);
    tcase_add_test (tcase, test_lock);
    tcase_add_test (tcase, test_shard);
    tcase_add_test (tcase, test_alone_nothing_is_overdrawn);
    tcase_add_test (tcase, test_everyone_who_waits_is_answered);
    tcase_add_test (tcase, test_lock_order_of_checks);
    tcase_add_test (tcase, test_refused_lock);
    tcase_add_test (tcase, test_vault_words_that_do_not_hold);
    tcase_add_test (tcase, test_settle);
    tcase_add_test (tcase, test_settle_order_of_checks);
    tcase_add_test (tcase, test_settle_all);
    tcase_add_test (tcase, test_totals_of_a_batch);
    tcase_add_test (tcase, test_settle_by_the_sweep);
    tcase_add_test (tcase, test_void);
    tcase_add_test (tcase, test_void_of_what_is_gone);
    tcase_add_test (tcase, test_void_by_the_sweep);
    tcase_add_test (tcase, test_burn_release);
    tcase_add_test (tcase, test_release_order_of_checks);
    tcase_add_test (tcase, test_lock_and_release_of_one_tx);
    tcase_add_test (tcase, test_sweep_by_state);
    tcase_add_test (tcase, test_due_of_a_batch);
    tcase_add_test (tcase, test_due_of_what_ends_at_once);
    tcase_add_test (tcase, test_sweep_list_by_list);
    tcase_add_test (tcase, test_sweep_is_bounded);
    tcase_add_test (tcase, test_sweep_when_the_clock_goes_back);
    tcase_add_test (tcase, test_who_asks_again_is_answered_once);
    tcase_add_test (tcase, test_waiters_are_forgotten);
    tcase_add_test (tcase, test_store_full);
    tcase_add_test (tcase, test_commit_fails);
    tcase_add_test (tcase, test_lists);
    tcase_add_test (tcase, test_list_of_the_unsettled);
    tcase_add_test (tcase, test_list_in_a_batch);
    suite_add_tcase (suite, tcase);
    return suite;
}
