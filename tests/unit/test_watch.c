/*  test_watch.c - waiting on many sockets: what is signalled is looked at, what a call on the socket took in is found by
    the check, and the others are left alone.  */
#include "base/watch.h"
#include "suites.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#define SOCKETS 100
#define LONG_MS 10000

static void *s_context;
static void *s_near[SOCKETS];
static void *s_far[SOCKETS];
static tim3_watched_t s_watched[SOCKETS];
static int s_watch;

static void setup (void)
{
    s_context = zmq_ctx_new ();
    s_watch = tim3_watch_open ();
    for (int i = 0; i < SOCKETS; i++) {
        char endpoint[32];
        snprintf (endpoint, sizeof endpoint, "inproc://pair-%d", i);
        s_near[i] = zmq_socket (s_context, ZMQ_PAIR);
        s_far[i] = zmq_socket (s_context, ZMQ_PAIR);
        ck_assert_int_eq (zmq_bind (s_near[i], endpoint), 0);
        ck_assert_int_eq (zmq_connect (s_far[i], endpoint), 0);
        tim3_watch_socket (s_watch, &s_watched[i], s_near[i]);
    }
}

static void teardown (void)
{
    for (int i = 0; i < SOCKETS; i++) {
        tim3_watch_drop (s_watch, &s_watched[i]);
        zmq_close (s_near[i]);
        zmq_close (s_far[i]);
    }
    zmq_ctx_term (s_context);
    close (s_watch);
}

static void say (int number)
{
    ck_assert_int_eq (zmq_send (s_far[number], "x", 1, ZMQ_DONTWAIT), 1);
}

/*  Reads until there is nothing, as one has to; returns how much there was.  */
static unsigned read_all (int number)
{
    char byte;
    unsigned count = 0;
    while (zmq_recv (s_near[number], &byte, 1, ZMQ_DONTWAIT) >= 0)
        count++;
    s_watched[number].look = false;
    return count;
}

static unsigned read_everything (void)
{
    unsigned count = 0;
    for (int i = 0; i < SOCKETS; i++)
        if (s_watched[i].look)
            count += read_all (i);
    return count;
}

static unsigned looks (void)
{
    unsigned count = 0;
    for (int i = 0; i < SOCKETS; i++)
        count += s_watched[i].look;
    return count;
}

START_TEST (only_what_is_signalled_is_looked_at)
{
    ck_assert_uint_eq (looks (), SOCKETS);
    ck_assert_uint_eq (read_everything (), 0);
    say (3);
    say (3);
    say (70);
    ck_assert_int_eq (tim3_watch_wait (s_watch, LONG_MS), 0);
    ck_assert (s_watched[3].look && s_watched[70].look);
    ck_assert_uint_eq (looks (), 2);
    ck_assert_uint_eq (read_everything (), 3);
    ck_assert_int_eq (tim3_watch_wait (s_watch, 0), 0);
    ck_assert_uint_eq (looks (), 0);
}
END_TEST

/*  More than one call tells of: what was not told is told next.  */
START_TEST (all_are_told_of_in_the_end)
{
    unsigned count = 0;
    read_everything ();
    for (int i = 0; i < SOCKETS; i++)
        say (i);
    for (int round = 0; round < SOCKETS && count < SOCKETS; round++) {
        ck_assert_int_eq (tim3_watch_wait (s_watch, LONG_MS), 0);
        count += read_everything ();
    }
    ck_assert_uint_eq (count, SOCKETS);
}
END_TEST

/*  Any call on the socket may take the signal with it.  */
START_TEST (what_is_no_longer_signalled_is_found)
{
    uint32_t events;
    size_t size = sizeof events;
    read_everything ();
    say (5);
    ck_assert_int_eq (zmq_getsockopt (s_near[5], ZMQ_EVENTS, &events, &size), 0);
    ck_assert_int_eq (tim3_watch_wait (s_watch, 0), 0);
    ck_assert_uint_eq (looks (), 0);
    ck_assert_int_eq (tim3_watch_check (&s_watched[4]) & ZMQ_POLLIN, 0);
    ck_assert_int_ne (tim3_watch_check (&s_watched[5]) & ZMQ_POLLIN, 0);
    ck_assert (s_watched[5].look && !s_watched[4].look);
    ck_assert_uint_eq (read_everything (), 1);
}
END_TEST

START_TEST (files_are_watched_and_sockets_dropped)
{
    tim3_watched_t file;
    int number = eventfd (0, EFD_NONBLOCK);
    read_everything ();
    tim3_watch_file (s_watch, &file, number);
    file.look = false;
    tim3_watch_drop (s_watch, &s_watched[9]);
    say (9);
    ck_assert_int_eq (tim3_watch_wait (s_watch, 0), 0);
    ck_assert (!file.look && looks () == 0);
    eventfd_write (number, 1);
    ck_assert_int_eq (tim3_watch_wait (s_watch, LONG_MS), 0);
    ck_assert (file.look && looks () == 0);
    tim3_watch_drop (s_watch, &file);
    close (number);
    tim3_watch_socket (s_watch, &s_watched[9], s_near[9]);
    ck_assert_uint_eq (read_everything (), 1);
}
END_TEST

Suite *suite_watch (void)
{
    Suite *suite = suite_create ("watch");
    TCase *tests = tcase_create ("sockets");
    tcase_add_checked_fixture (tests, setup, teardown);
    tcase_add_test (tests, only_what_is_signalled_is_looked_at);
    tcase_add_test (tests, all_are_told_of_in_the_end);
    tcase_add_test (tests, what_is_no_longer_signalled_is_found);
    tcase_add_test (tests, files_are_watched_and_sockets_dropped);
    suite_add_tcase (suite, tests);
    return suite;
}
