/*  test_amount.c - amounts: text there and back, limits, and arithmetic against a slow schoolbook.  */
#include "base/amount.h"
#include "seeded.h"
#include "suites.h"

#include <stdio.h>
#include <string.h>

#define ROUNDS 10000
#define MOST_UNITS "340282366920938463463374607431768211455"

/*  -------------------------------------------------------------------------------------- the schoolbook
    Numbers of up to 256 bits as base-2^16 digits, the least first.  */

#define DIGITS 16

typedef struct {
    uint32_t digits[DIGITS];
} big_t;

static big_t big (tim3_amount_t amount)
{
    big_t number = {{0}};
    for (int i = 0; i < 8; i++, amount >>= 16)
        number.digits[i] = (uint32_t) (amount & 0xffff);
    return number;
}

static big_t big_multiply (big_t a, big_t b)
{
    big_t product = {{0}};
    for (unsigned i = 0; i < 8; i++) {
        uint32_t carry = 0;
        for (unsigned j = 0; j < 8; j++) {
            uint32_t sum = product.digits[i + j] + a.digits[i] * b.digits[j] + carry;
            product.digits[i + j] = sum & 0xffff;
            carry = sum >> 16;
        }
        product.digits[i + 8] += carry;
    }
    return product;
}

static big_t big_add (big_t a, big_t b)
{
    big_t sum = {{0}};
    uint32_t carry = 0;
    for (unsigned i = 0; i < DIGITS; i++) {
        carry += a.digits[i] + b.digits[i];
        sum.digits[i] = carry & 0xffff;
        carry >>= 16;
    }
    return sum;
}

static bool big_fits (const big_t *number)
{
    for (unsigned i = 8; i < DIGITS; i++)
        if (number->digits[i])
            return false;
    return true;
}

static int big_compare (const big_t *a, const big_t *b)
{
    for (unsigned i = DIGITS; i-- > 0;)
        if (a->digits[i] != b->digits[i])
            return a->digits[i] < b->digits[i] ? -1 : 1;
    return 0;
}

/*  Expects the outcome of a checked operation to be that number if it fits, else a refusal that left it alone.  */
static void check_outcome (bool done, tim3_amount_t result, tim3_amount_t before, big_t right)
{
    big_t got = big (result);
    ck_assert (done == big_fits (&right));
    if (done)
        ck_assert_int_eq (big_compare (&got, &right), 0);
    else
        ck_assert (result == before);
}

START_TEST (test_arithmetic)
{
    seeded_t random = {1};
    for (int i = 0; i < ROUNDS; i++) {
        tim3_amount_t a = seeded_amount (&random);
        tim3_amount_t b = seeded_amount (&random);
        tim3_amount_t result = 77;
        bool done = tim3_amount_add (a, b, &result);
        check_outcome (done, result, 77, big_add (big (a), big (b)));
        result = 77;
        done = tim3_amount_mul (a, b, &result);
        check_outcome (done, result, 77, big_multiply (big (a), big (b)));
        result = 77;
        done = tim3_amount_sub (a, b, &result);
        big_t ba = big (a);
        big_t bb = big (b);
        ck_assert (done == (big_compare (&ba, &bb) >= 0));
        if (done)
            check_outcome (true, a, 0, big_add (big (result), bb));
        else
            ck_assert (result == 77);
    }
}
END_TEST

START_TEST (test_limits_of_arithmetic)
{
    tim3_amount_t result = 5;
    ck_assert (tim3_amount_add (TIM3_AMOUNT_MAX, 0, &result) && result == TIM3_AMOUNT_MAX);
    ck_assert (tim3_amount_add (TIM3_AMOUNT_MAX - 1, 1, &result) && result == TIM3_AMOUNT_MAX);
    ck_assert (!tim3_amount_add (TIM3_AMOUNT_MAX, 1, &result));
    ck_assert (!tim3_amount_add (1, TIM3_AMOUNT_MAX, &result));
    ck_assert (tim3_amount_sub (TIM3_AMOUNT_MAX, TIM3_AMOUNT_MAX, &result) && result == 0);
    ck_assert (!tim3_amount_sub (0, 1, &result) && result == 0);
    ck_assert (tim3_amount_mul (TIM3_AMOUNT_MAX, 1, &result) && result == TIM3_AMOUNT_MAX);
    ck_assert (tim3_amount_mul (0, TIM3_AMOUNT_MAX, &result) && result == 0);
    ck_assert (tim3_amount_mul (TIM3_AMOUNT_MAX, 0, &result) && result == 0);
    ck_assert (!tim3_amount_mul ((tim3_amount_t) 1 << 64, (tim3_amount_t) 1 << 64, &result));
    ck_assert (tim3_amount_mul ((tim3_amount_t) 1 << 64, (tim3_amount_t) 1 << 63, &result));
    ck_assert (result == (tim3_amount_t) 1 << 127);
}
END_TEST

/*  --------------------------------------------------------------------------------------------- text  */

START_TEST (test_text_there_and_back)
{
    seeded_t random = {2};
    char text[TIM3_AMOUNT_TEXT_MAX];
    for (int i = 0; i < ROUNDS; i++) {
        tim3_amount_t amount = seeded_amount (&random);
        unsigned decimals = (unsigned) i % (TIM3_DECIMALS_MAX + 1);
        tim3_amount_t back = ~amount;
        ck_assert_uint_lt (strlen (tim3_amount_format (amount, decimals, text)), sizeof text);
        ck_assert_msg (tim3_amount_parse (text, decimals, &back) && back == amount, "%s", text);
        ck_assert (!strchr (text, '.') || text[strlen (text) - 1] != '0');
        tim3_amount_format_units (amount, text);
        ck_assert_msg (tim3_amount_parse_units (text, &back) && back == amount, "%s", text);
        ck_assert (tim3_amount_parse (text, 0, &back) && back == amount);
    }
}
END_TEST

START_TEST (test_bytes_there_and_back)
{
    seeded_t random = {3};
    uint8_t bytes[16];
    for (int i = 0; i < ROUNDS; i++) {
        tim3_amount_t amount = seeded_amount (&random);
        tim3_amount_to_bytes (amount, bytes);
        ck_assert_uint_eq (bytes[15], (uint8_t) amount);
        ck_assert_uint_eq (bytes[0], (uint8_t) (amount >> 120));
        ck_assert (tim3_amount_from_bytes (bytes) == amount);
    }
}
END_TEST

typedef struct {
    const char *text;
    unsigned decimals;
    uint64_t amount;
} reading_t;

START_TEST (test_plain_numbers)
{
    static const reading_t readings[] = {{"0", 0, 0},
                                         {"0", 30, 0},
                                         {"0.0", 6, 0},
                                         {"12", 0, 12},
                                         {"12.5", 1, 125},
                                         {"12.50", 2, 1250},
                                         {"0.000001", 6, 1},
                                         {"00012", 2, 1200},
                                         {"1.000000", 6, 1000000},
                                         {"1000000", 0, 1000000}};
    tim3_amount_t amount;
    for (unsigned i = 0; i < sizeof readings / sizeof readings[0]; i++) {
        ck_assert_msg (tim3_amount_parse (readings[i].text, readings[i].decimals, &amount), "%s",
                       readings[i].text);
        ck_assert (amount == readings[i].amount);
    }
}
END_TEST

START_TEST (test_no_numbers)
{
    static const char *const texts[] = {"",          ".",   "1.",  ".5",    "+1",       "-1",    " 1",
                                        "1 ",        "1e3", "1,5", "0x1",   "1.2.",     "1.2.3", "1..2",
                                        "1.0000001", "\t1", "1\n", "1_000", "\xd9\xa1", "nan",   "inf"};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        tim3_amount_t amount = 77;
        ck_assert_msg (!tim3_amount_parse (texts[i], 6, &amount), "\"%s\"", texts[i]);
        ck_assert_msg (!tim3_amount_parse_units (texts[i], &amount), "\"%s\"", texts[i]);
        ck_assert (amount == 77);
    }
    tim3_amount_t amount = 77;
    ck_assert (!tim3_amount_parse ("1.5", 0, &amount));
    ck_assert (!tim3_amount_parse ("1.0", 0, &amount));
    ck_assert (!tim3_amount_parse_units ("1.5", &amount));
    ck_assert (amount == 77);
}
END_TEST

START_TEST (test_limits_of_text)
{
    char text[TIM3_AMOUNT_TEXT_MAX];
    tim3_amount_t amount = 77;
    ck_assert (tim3_amount_parse_units (MOST_UNITS, &amount) && amount == TIM3_AMOUNT_MAX);
    ck_assert (tim3_amount_parse (MOST_UNITS, 0, &amount) && amount == TIM3_AMOUNT_MAX);
    ck_assert_str_eq (tim3_amount_format_units (TIM3_AMOUNT_MAX, text), MOST_UNITS);
    ck_assert_str_eq (tim3_amount_format (TIM3_AMOUNT_MAX, 30, text),
                      "340282366.920938463463374607431768211455");
    ck_assert (tim3_amount_parse (text, 30, &amount) && amount == TIM3_AMOUNT_MAX);
    amount = 77;
    ck_assert (!tim3_amount_parse_units ("340282366920938463463374607431768211456", &amount));
    ck_assert (!tim3_amount_parse_units (MOST_UNITS "0", &amount));
    ck_assert (!tim3_amount_parse ("340282366.920938463463374607431768211456", 30, &amount));
    ck_assert (!tim3_amount_parse ("340282367", 30, &amount));
    ck_assert (!tim3_amount_parse (MOST_UNITS, 1, &amount));
    ck_assert (amount == 77);
    ck_assert_str_eq (tim3_amount_format (1, 30, text), "0.000000000000000000000000000001");
    ck_assert_str_eq (tim3_amount_format (0, 30, text), "0");
    ck_assert_str_eq (tim3_amount_format (1500, 3, text), "1.5");
}
END_TEST

START_TEST (test_powers)
{
    tim3_amount_t power = 1;
    for (unsigned i = 0; i <= 38; i++) {
        ck_assert (tim3_amount_pow10 (i) == power);
        if (i < 38)
            ck_assert (tim3_amount_mul (power, 10, &power));
    }
    ck_assert (!tim3_amount_mul (power, 10, &power));
}
END_TEST

Suite *suite_amount (void)
{
    Suite *suite = suite_create ("amount");
    TCase *tcase = tcase_create ("amount");
    tcase_add_test (tcase, test_arithmetic);
    tcase_add_test (tcase, test_limits_of_arithmetic);
    tcase_add_test (tcase, test_text_there_and_back);
    tcase_add_test (tcase, test_bytes_there_and_back);
    tcase_add_test (tcase, test_plain_numbers);
    tcase_add_test (tcase, test_no_numbers);
    tcase_add_test (tcase, test_limits_of_text);
    tcase_add_test (tcase, test_powers);
    suite_add_tcase (suite, tcase);
    return suite;
}
