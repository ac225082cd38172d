/*  test_csv.c - rows of token transfers: what is taken, and what is refused in which words.  */
#include "tim3ctl_csv.h"
#include "suites.h"

#include <stdio.h>
#include <string.h>

#define CONTRACT "0x6b175474e89094c44da98b954eedeac495271d0f"
#define SENDER "0xc51f7bc0786b40d70a32f5a87cef638d8281e54c"
#define RECEIVER "0xa478c2975ab1ea89e8196811f51a7b7ade33eb11"
#define HASH "0xb2f411fb589ee91f4d4ac7db3837abe34fbc017b62b79fac39936c47b720a842"
#define HEADER "token_address,from_address,to_address,value,transaction_hash,log_index,block_number\n"

static tim3ctl_csv_header_t s_header;
static tim3ctl_csv_row_t s_row;

static void read_header (void)
{
    ck_assert_ptr_null (tim3ctl_csv_header (HEADER, &s_header));
}

static const char *read_row (const char *from, const char *value, const char *hash, const char *rest)
{
    char line[512];
    snprintf (line, sizeof line, "%s,%s,%s,%s,%s,%s\n", CONTRACT, from, RECEIVER, value, hash, rest);
    return tim3ctl_csv_row (&s_header, line, &s_row);
}

START_TEST (takes_a_row)
{
    read_header ();
    ck_assert_ptr_null (read_row (SENDER, "54762757905318339384", HASH, "7,12600000"));
    ck_assert_str_eq (s_row.contract, CONTRACT);
    ck_assert_str_eq (s_row.from, SENDER);
    ck_assert_str_eq (s_row.to, RECEIVER);
    ck_assert_uint_eq (s_row.log_index, 7);
    ck_assert_uint_eq (s_row.hash[0], 0xb2);
    ck_assert (s_row.value > UINT64_MAX);
}
END_TEST

START_TEST (header_gives_the_order)
{
    ck_assert_ptr_null (tim3ctl_csv_header (
        "\xef\xbb\xbfvalue,x,log_index,transaction_hash,to_address,from_address,token_address\r\n",
        &s_header));
    ck_assert_ptr_null (tim3ctl_csv_row (
        &s_header, "5,,3," HASH "," RECEIVER ",0XC51F7BC0786B40D70A32F5A87CEF638D8281E54C," CONTRACT "\r\n",
        &s_row));
    ck_assert_str_eq (s_row.from, SENDER);
    ck_assert (s_row.value == 5);
}
END_TEST

START_TEST (refuses_other_headers)
{
    ck_assert_ptr_nonnull (tim3ctl_csv_header ("token_address,from_address\n", &s_header));
    ck_assert_ptr_nonnull (tim3ctl_csv_header ("", &s_header));
}
END_TEST

START_TEST (values_have_bounds)
{
    read_header ();
    ck_assert_ptr_null (read_row (SENDER, "340282366920938463463374607431768211455", HASH, "7,1"));
    ck_assert (s_row.value == TIM3_AMOUNT_MAX);
    ck_assert_str_eq (read_row (SENDER, "340282366920938463463374607431768211456", HASH, "7,1"),
                      "the value is more than 2^128 - 1");
    ck_assert_str_eq (read_row (SENDER, "-1", HASH, "7,1"), "the value is not a number");
    ck_assert_str_eq (read_row (SENDER, "1e9", HASH, "7,1"), "the value is not a number");
    ck_assert_str_eq (read_row (SENDER, "", HASH, "7,1"), "the value is not a number");
    ck_assert_ptr_null (
        read_row (SENDER, "000000000000000000000000000000000000000000000000012", HASH, "7,1"));
    ck_assert (s_row.value == 12);
}
END_TEST

START_TEST (refuses_bad_rows)
{
    read_header ();
    ck_assert_str_eq (tim3ctl_csv_row (&s_header, "1,2,3\n", &s_row), "too few columns");
    ck_assert_str_eq (tim3ctl_csv_row (&s_header, "", &s_row), "too few columns");
    ck_assert_str_eq (read_row (SENDER, "1", HASH, "7,1,2"), "too many columns");
    ck_assert_ptr_nonnull (read_row ("0x12", "1", HASH, "7,1"));
    ck_assert_ptr_nonnull (read_row (SENDER, "1", "0x12", "7,1"));
    ck_assert_ptr_nonnull (read_row (SENDER, "1", HASH, "4294967296,1"));
    ck_assert_ptr_nonnull (read_row (SENDER, "1", HASH, ",1"));
    /* the contract is there even so: rows of other contracts are nobody's concern */
    ck_assert_str_eq (s_row.contract, CONTRACT);
}
END_TEST

Suite *suite_csv (void)
{
    Suite *suite = suite_create ("csv");
    TCase *tests = tcase_create ("rows");
    tcase_add_test (tests, takes_a_row);
    tcase_add_test (tests, header_gives_the_order);
    tcase_add_test (tests, refuses_other_headers);
    tcase_add_test (tests, values_have_bounds);
    tcase_add_test (tests, refuses_bad_rows);
    suite_add_tcase (suite, tests);
    return suite;
}
