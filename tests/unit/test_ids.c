/*  test_ids.c - request ids that tell their time: which texts are such ids, what they make of a transaction's id,
    and that new ones grow and differ.  */
#include "base/bytes.h"
#include "suites.h"
#include "tim3client_ids.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KNOWN "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
#define KNOWN_SECONDS 1645557742u
#define MANY 200000

typedef char id_text_t[TIM3_REQUEST_ID_MAX + 1];

static const uint8_t s_zeros[TIM3_REQUEST_IDS_RANDOM];

/*  ------------------------------------------------------------------------------------------------ the form  */

START_TEST (an_id_tells_its_second)
{
    uint32_t seconds = 0;
    ck_assert (tim3_request_id_valid (KNOWN));
    ck_assert (tim3_request_id_seconds (KNOWN, &seconds));
    ck_assert_uint_eq (seconds, KNOWN_SECONDS);
    ck_assert (tim3_request_id_seconds ("ffffffff-ffff-7fff-bfff-ffffffffffff", &seconds));
    ck_assert (tim3_request_id_seconds ("00000000-0000-7000-8000-000000000000", &seconds));
    ck_assert_uint_eq (seconds, 0);
}
END_TEST

START_TEST (ids_of_other_forms_tell_none)
{
    static const char *const others[] = {"order-17",
                                         "~",
                                         "",
                                         "uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
                                         KNOWN "0",
                                         KNOWN " ",
                                         "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
                                         "017F22E2-79B0-7CC3-98C4-DC0C0C07398F"};
    uint32_t seconds;
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert_msg (!tim3_request_id_seconds (others[i], &seconds), "%s", others[i]);
}
END_TEST

START_TEST (any_other_character_makes_it_tell_none)
{
    static const char characters[] = "0123456789abcdefABFGg-_ z\x7f\xc3";
    const char *form = "hhhhhhhh-hhhh-7hhh-vhhh-hhhhhhhhhhhh";
    for (size_t at = 0; at < strlen (KNOWN); at++)
        for (size_t i = 0; i < strlen (characters); i++) {
            char text[] = KNOWN;
            uint32_t seconds;
            char itself[] = {form[at], '\0'};
            const char *set = form[at] == 'h' ? "0123456789abcdef" : form[at] == 'v' ? "89ab" : itself;
            text[at] = characters[i];
            ck_assert_msg (tim3_request_id_seconds (text, &seconds) == (strchr (set, characters[i]) != NULL),
                           "%s", text);
        }
}
END_TEST

/*  ---------------------------------------------------------------------------------------- transactions' ids  */

START_TEST (a_transaction_begins_with_the_second)
{
    char text[TIM3_ID_TEXT_MAX];
    tim3_id_t tx = tim3_tx_id ("TIM3", "alice", KNOWN);
    ck_assert_str_eq (tim3_id_format (&tx, text), "621537eec54c24f2f4a3cf1f2d166737");
}
END_TEST

START_TEST (transactions_differ_within_a_second)
{
    tim3_id_t a = tim3_tx_id ("TIM3", "alice", KNOWN);
    tim3_id_t others[] = {tim3_tx_id ("TIM3", "bob", KNOWN), tim3_tx_id ("TIM4", "alice", KNOWN),
                          tim3_tx_id ("TIM3", "alice", "017f22e2-79b0-7cc3-98c4-dc0c0c07398e")};
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
        ck_assert_mem_eq (&a, &others[i], 4);
        ck_assert_mem_ne (a.bytes + 4, others[i].bytes + 4, 12);
    }
}
END_TEST

/*  ------------------------------------------------------------------------------------------------- new ones  */

static void make (tim3_request_ids_t *ids, uint64_t now_ms, id_text_t id)
{
    tim3_request_ids_make (ids, now_ms, s_zeros, id);
}

START_TEST (an_id_is_made_of_time_counter_and_randomness)
{
    static const uint8_t random[TIM3_REQUEST_IDS_RANDOM] = {0xff, 0xff, 0xff, 0x01, 0x23,
                                                            0x45, 0x67, 0x89, 0xab, 0xcd};
    tim3_request_ids_t ids = {0};
    id_text_t id;
    tim3_request_ids_make (&ids, 0x017f22e279b0, random, id);
    ck_assert_str_eq (id, "017f22e2-79b0-77ff-bf01-23456789abcd");
    tim3_request_ids_make (&ids, 0x017f22e279b0, s_zeros, id);
    ck_assert_str_eq (id, "017f22e2-79b0-7800-8000-000000000000");
}
END_TEST

/*  Randomness of nothing but zeros, so that the counter alone can make them grow.  */
START_TEST (ids_grow_while_the_clock_stands_or_goes_back)
{
    tim3_request_ids_t ids = {0};
    id_text_t last = "";
    id_text_t id;
    for (unsigned i = 0; i < 20000; i++) {
        make (&ids, i < 10000 ? 1700000000000 : 1600000000000 + i, id);
        ck_assert_str_gt (id, last);
        ck_assert (tim3_request_id_valid (id));
        memcpy (last, id, sizeof last);
    }
    ck_assert_uint_lt (ids.ms, 1700000000000 + 10);
    make (&ids, 1700000005000, id);
    ck_assert_uint_eq (ids.ms, 1700000005000);
}
END_TEST

static int compare (const void *a, const void *b)
{
    return strcmp (a, b);
}

/*  Two makers at once, as two processes are.  */
START_TEST (ids_of_two_makers_differ)
{
    static id_text_t texts[MANY];
    tim3_request_ids_t ids[2] = {{0}};
    for (unsigned i = 0; i < MANY; i++) {
        tim3_request_ids_next (&ids[i % 2], texts[i]);
        ck_assert (tim3_request_id_valid (texts[i]));
        ck_assert (i < 2 || strcmp (texts[i], texts[i - 2]) > 0);
    }
    qsort (texts, MANY, sizeof texts[0], compare);
    for (unsigned i = 1; i < MANY; i++)
        ck_assert_str_ne (texts[i], texts[i - 1]);
}
END_TEST

static uint64_t now_s (void)
{
    struct timespec now;
    clock_gettime (CLOCK_REALTIME, &now); /* as the ids do: time () can lag a little behind it */
    return (uint64_t) now.tv_sec;
}

START_TEST (a_new_id_tells_this_second)
{
    tim3_request_ids_t ids = {0};
    uint32_t seconds = 0;
    id_text_t id;
    uint64_t before = now_s ();
    tim3_request_ids_next (&ids, id);
    ck_assert (tim3_request_id_seconds (id, &seconds));
    ck_assert_uint_ge (seconds, before);
    ck_assert_uint_le (seconds, now_s ());
}
END_TEST

/*  The same counters in the same millisecond: randomness alone must tell them apart, and in each of its bits.  */
START_TEST (every_random_bit_varies)
{
    uint8_t ever[8] = {0};
    uint8_t always[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    for (unsigned i = 0; i < 200; i++) {
        tim3_request_ids_t ids = {0};
        char hex[17] = "";
        uint8_t tail[8];
        id_text_t id;
        tim3_request_ids_next (&ids, id);
        memcpy (hex, id + strlen ("017f22e2-79b0-7cc3-"), 4);
        memcpy (hex + 4, id + strlen ("017f22e2-79b0-7cc3-98c4-"), 12);
        ck_assert_int_eq (tim3_hex_parse (hex, tail, sizeof tail), 8);
        for (unsigned k = 0; k < 8; k++) {
            ever[k] |= tail[k];
            always[k] &= tail[k];
        }
    }
    for (unsigned k = 0; k < 8; k++) {
        ck_assert_uint_eq (ever[k], k == 0 ? 0xbf : 0xff);
        ck_assert_uint_eq (always[k], k == 0 ? 0x80 : 0);
    }
}
END_TEST

/*  Random bytes that were asked for in advance must not serve parent and child alike.  */
START_TEST (ids_after_a_fork_differ)
{
    tim3_request_ids_t ids = {0};
    id_text_t parents;
    id_text_t childs = "";
    int pipes[2];
    tim3_request_ids_next (&ids, parents);
    ck_assert_int_eq (pipe (pipes), 0);
    pid_t child = fork ();
    tim3_request_ids_next (&ids, parents);
    if (child == 0) {
        ssize_t ignored = write (pipes[1], parents, sizeof parents);
        (void) ignored;
        _exit (0);
    }
    ck_assert_int_eq (read (pipes[0], childs, sizeof childs), sizeof childs);
    waitpid (child, NULL, 0);
    close (pipes[0]);
    close (pipes[1]);
    ck_assert_str_ne (parents + strlen ("017f22e2-79b0-7cc3-"), childs + strlen ("017f22e2-79b0-7cc3-"));
}
END_TEST

Suite *suite_ids (void)
{
    Suite *suite = suite_create ("ids");
    TCase *tc = tcase_create ("ids");
    tcase_add_test (tc, an_id_tells_its_second);
    tcase_add_test (tc, ids_of_other_forms_tell_none);
    tcase_add_test (tc, any_other_character_makes_it_tell_none);
    tcase_add_test (tc, a_transaction_begins_with_the_second);
    tcase_add_test (tc, transactions_differ_within_a_second);
    tcase_add_test (tc, an_id_is_made_of_time_counter_and_randomness);
    tcase_add_test (tc, ids_grow_while_the_clock_stands_or_goes_back);
    tcase_add_test (tc, a_new_id_tells_this_second);
    tcase_add_test (tc, ids_of_two_makers_differ);
    tcase_add_test (tc, every_random_bit_varies);
    tcase_add_test (tc, ids_after_a_fork_differ);
    suite_add_tcase (suite, tc);
    return suite;
}
