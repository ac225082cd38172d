/*  test_draw.c - which accounts a benchmark draws: the same for the same numbers, all of them, and as often as
    the law says.  */
#include "tim3ctl_draw.h"
#include "suites.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ACCOUNTS 1000
#define DRAWS 1000000

static tim3ctl_draw_t s_draw;
static unsigned s_counts[ACCOUNTS];

static int fewer (const void *a, const void *b)
{
    return *(const unsigned *) a < *(const unsigned *) b ? 1 : -1;
}

/*  Counts of all accounts, the most frequent first.  */
static void draw_all (double theta)
{
    tim3ctl_draw_begin (&s_draw, 7, ACCOUNTS, theta);
    memset (s_counts, 0, sizeof s_counts);
    for (uint64_t i = 0; i < DRAWS; i++) {
        uint32_t account = tim3ctl_draw_account (&s_draw, i, 1);
        ck_assert_uint_lt (account, ACCOUNTS);
        s_counts[account]++;
    }
    qsort (s_counts, ACCOUNTS, sizeof s_counts[0], fewer);
}

START_TEST (uniform_draws_are_even)
{
    draw_all (0.0);
    ck_assert_uint_lt (s_counts[0], DRAWS / ACCOUNTS * 5 / 4);
    ck_assert_uint_gt (s_counts[ACCOUNTS - 1], DRAWS / ACCOUNTS * 3 / 4);
}
END_TEST

START_TEST (zipf_draws_follow_the_law)
{
    double sum = 0.0;
    double theta = 0.99;
    for (unsigned i = 1; i <= ACCOUNTS; i++)
        sum += pow (i, -theta);
    draw_all (theta);
    for (unsigned rank = 1; rank <= 2; rank++) {
        double wanted = DRAWS * pow (rank, -theta) / sum;
        ck_assert_double_lt (fabs (s_counts[rank - 1] - wanted), wanted / 20);
    }
    ck_assert_uint_gt (s_counts[ACCOUNTS - 1], 0);
    double hundredth = DRAWS * pow (100, -theta) / sum;
    ck_assert_double_lt (fabs (s_counts[99] - hundredth), hundredth / 4);
}
END_TEST

START_TEST (the_same_number_is_the_same_account)
{
    tim3ctl_draw_t other;
    tim3ctl_draw_begin (&s_draw, 7, ACCOUNTS, 0.5);
    tim3ctl_draw_begin (&other, 8, ACCOUNTS, 0.5);
    unsigned differ = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        uint32_t account = tim3ctl_draw_account (&s_draw, i, 1);
        ck_assert_uint_eq (account, tim3ctl_draw_account (&s_draw, i, 1));
        differ += account != tim3ctl_draw_account (&other, i, 1);
    }
    ck_assert_uint_gt (differ, 500);
}
END_TEST

START_TEST (few_accounts_are_enough)
{
    for (uint32_t accounts = 1; accounts <= 4; accounts++) {
        tim3ctl_draw_begin (&s_draw, 7, accounts, 0.99);
        for (uint64_t i = 0; i < 1000; i++)
            ck_assert_uint_lt (tim3ctl_draw_account (&s_draw, i, 1), accounts);
    }
}
END_TEST

START_TEST (exponents_are_checked)
{
    double theta;
    static const char *const wrong[] = {"", "x", "1", "1.5", "-0.1", "0.5x", "nan", "inf"};
    ck_assert (tim3ctl_draw_theta ("0", &theta) && tim3ctl_draw_theta ("0.99", &theta));
    ck_assert_double_eq (theta, 0.99);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_msg (!tim3ctl_draw_theta (wrong[i], &theta), "%s is taken", wrong[i]);
}
END_TEST

Suite *suite_draw (void)
{
    Suite *suite = suite_create ("draw");
    TCase *tests = tcase_create ("accounts");
    tcase_add_test (tests, uniform_draws_are_even);
    tcase_add_test (tests, zipf_draws_follow_the_law);
    tcase_add_test (tests, the_same_number_is_the_same_account);
    tcase_add_test (tests, few_accounts_are_enough);
    tcase_add_test (tests, exponents_are_checked);
    suite_add_tcase (suite, tests);
    return suite;
}
