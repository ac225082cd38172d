/*  test_receipt.c - evidence holds for exactly what it was made for.  */
#include "wire/receipt.h"
#include "seeded.h"
#include "suites.h"

#include <string.h>

static tim3_key_secret_t s_key;
static tim3_claim_t s_claim;
static tim3_mac_t s_receipt;

static void setup (void)
{
    for (unsigned i = 0; i < sizeof s_key.bytes; i++)
        s_key.bytes[i] = (uint8_t) i;
    s_claim = (tim3_claim_t){.kind = TIM3_RECEIPT_KIND_LOCK, .asset = "TIM3", .account = "alice"};
    for (unsigned i = 0; i < sizeof s_claim.tx.bytes; i++)
        s_claim.tx.bytes[i] = (uint8_t) (0x10 + i);
    ck_assert (tim3_amount_parse_units ("123456789012345678901234567890", &s_claim.amount));
    s_receipt = tim3_receipt_make (&s_key, &s_claim);
}

static void check_breaks (const tim3_claim_t *claim)
{
    ck_assert (!tim3_receipt_check (&s_key, claim, &s_receipt));
}

START_TEST (test_holds)
{
    ck_assert (tim3_receipt_check (&s_key, &s_claim, &s_receipt));
    tim3_mac_t again = tim3_receipt_make (&s_key, &s_claim);
    ck_assert_mem_eq (again.bytes, s_receipt.bytes, sizeof again.bytes);
}
END_TEST

/*  Worked out with another implementation of BLAKE2b from the layout that receipt.h describes.  */
START_TEST (test_known_answers)
{
    static const char first[] = "8c0256b02235e71df0b1481cf27d9aa04b382e4c67da72f8bea6d2c575894a42";
    static const char second[] = "60d9181fb67ed0fb9041b5259c3effcb780959a3e96ecf30de7bd02be1413a61";
    char account[TIM3_ACCOUNT_MAX + 1] = {0};
    char text[65];
    memset (account, 'x', TIM3_ACCOUNT_MAX);
    ck_assert_str_eq (tim3_hex_format (s_receipt.bytes, sizeof s_receipt.bytes, text), first);
    tim3_claim_t claim = {TIM3_RECEIPT_KIND_VAULT_REFUSED, "A-1", s_claim.tx, account, TIM3_AMOUNT_MAX, 20};
    tim3_mac_t receipt = tim3_receipt_make (&s_key, &claim);
    ck_assert_str_eq (tim3_hex_format (receipt.bytes, sizeof receipt.bytes, text), second);
}
END_TEST

START_TEST (test_known_tx)
{
    char text[TIM3_ID_TEXT_MAX];
    tim3_id_t tx = tim3_tx_id ("TIM3", "alice", "r1");
    ck_assert_str_eq (tim3_id_format (&tx, text), "fa5f67e99e76b8944e5057e0eda02ab5");
}
END_TEST

START_TEST (test_every_kind_is_its_own)
{
    for (const tim3_value_t *value = tim3_receipt_kind_values; value->name; value++) {
        tim3_claim_t claim = s_claim;
        claim.kind = (tim3_receipt_kind_t) value->number;
        ck_assert (tim3_receipt_check (&s_key, &claim, &s_receipt) == (value->number == s_claim.kind));
    }
}
END_TEST

START_TEST (test_texts_break_it)
{
    static const char *const assets[] = {"", "TIM", "TIM3x", "tim3", "TIM4", "xTIM3"};
    static const char *const accounts[] = {"", "alic", "alice2", "Alice", "bob", " alice"};
    for (unsigned i = 0; i < sizeof assets / sizeof assets[0]; i++) {
        tim3_claim_t claim = s_claim;
        claim.asset = assets[i];
        check_breaks (&claim);
        claim = s_claim;
        claim.account = accounts[i];
        check_breaks (&claim);
    }
}
END_TEST

START_TEST (test_every_bit_breaks_it)
{
    for (unsigned bit = 0; bit < 128; bit++) {
        tim3_claim_t claim = s_claim;
        claim.tx.bytes[bit / 8] ^= (uint8_t) (1u << bit % 8);
        check_breaks (&claim);
        claim = s_claim;
        claim.amount ^= (tim3_amount_t) 1 << bit;
        check_breaks (&claim);
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        tim3_claim_t claim = s_claim;
        claim.extra ^= 1ull << bit;
        check_breaks (&claim);
    }
    for (unsigned bit = 0; bit < 256; bit++) {
        tim3_key_secret_t key = s_key;
        tim3_mac_t receipt = s_receipt;
        key.bytes[bit / 8] ^= (uint8_t) (1u << bit % 8);
        ck_assert (!tim3_receipt_check (&key, &s_claim, &s_receipt));
        receipt.bytes[bit / 8] ^= (uint8_t) (1u << bit % 8);
        ck_assert (!tim3_receipt_check (&s_key, &s_claim, &receipt));
    }
}
END_TEST

/*  Where one text ends and the next begins is part of what is signed. The tx stands between asset and account, so a
    byte that moves over has to be looked for on both sides of it.  */
START_TEST (test_borders_matter)
{
    tim3_claim_t a = s_claim;
    tim3_claim_t b = s_claim;
    a.asset = "ab";
    a.account = "c";
    b.asset = "a";
    b.account = "bc";
    s_receipt = tim3_receipt_make (&s_key, &a);
    check_breaks (&b);
    memset (a.tx.bytes, 'q', sizeof a.tx.bytes);
    b.tx = a.tx;
    a.asset = "aq";
    a.account = "z";
    b.asset = "a";
    b.account = "qz";
    s_receipt = tim3_receipt_make (&s_key, &a);
    check_breaks (&b);
}
END_TEST

START_TEST (test_borders_of_tx)
{
    tim3_id_t a = tim3_tx_id ("ab", "c", "d");
    tim3_id_t others[] = {tim3_tx_id ("a", "bc", "d"), tim3_tx_id ("ab", "", "cd"),
                          tim3_tx_id ("abc", "d", ""), tim3_tx_id ("ab", "c", "e"),
                          tim3_tx_id ("ab", "cd", "")};
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert (!tim3_id_equal (&a, &others[i]));
}
END_TEST

START_TEST (test_random_claims_differ)
{
    seeded_t random = {4};
    for (int i = 0; i < 2000; i++) {
        tim3_claim_t claim = s_claim;
        claim.amount = seeded_amount (&random);
        claim.extra = seeded_u64 (&random);
        seeded_fill (&random, claim.tx.bytes, sizeof claim.tx.bytes);
        tim3_mac_t receipt = tim3_receipt_make (&s_key, &claim);
        ck_assert (tim3_receipt_check (&s_key, &claim, &receipt));
        ck_assert (!tim3_receipt_check (&s_key, &s_claim, &receipt));
    }
}
END_TEST

Suite *suite_receipt (void)
{
    Suite *suite = suite_create ("receipt");
    TCase *tcase = tcase_create ("receipt");
    tcase_add_checked_fixture (tcase, setup, NULL);
    tcase_add_test (tcase, test_holds);
    tcase_add_test (tcase, test_known_answers);
    tcase_add_test (tcase, test_known_tx);
    tcase_add_test (tcase, test_every_kind_is_its_own);
    tcase_add_test (tcase, test_texts_break_it);
    tcase_add_test (tcase, test_every_bit_breaks_it);
    tcase_add_test (tcase, test_borders_matter);
    tcase_add_test (tcase, test_borders_of_tx);
    tcase_add_test (tcase, test_random_claims_differ);
    suite_add_tcase (suite, tcase);
    return suite;
}
