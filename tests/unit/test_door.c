/*  test_door.c - connections that come in: counted by listener, ended when there are too many, and let in again when
    others have gone; by themselves, and under a real ZeroMQ socket.  */
#include "agent/door.h"
#include "suites.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#define MOST 200
#define LONG_MS 10000

static int s_listener;
static struct sockaddr_un s_address;
static socklen_t s_address_size;

/*  In the abstract name space, under a name that the kernel chooses.  */
static void setup (void)
{
    s_listener = socket (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    s_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    s_address_size = sizeof s_address;
    ck_assert_int_eq (bind (s_listener, (struct sockaddr *) &s_address, sizeof s_address.sun_family), 0);
    ck_assert_int_eq (getsockname (s_listener, (struct sockaddr *) &s_address, &s_address_size), 0);
    ck_assert_int_eq (listen (s_listener, MOST), 0);
}

static void teardown (void)
{
    close (s_listener);
    tim3_door_open (RLIM_INFINITY); /* for other tests, where all run in one process */
}

static int knock (void)
{
    int file = socket (AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_ge (file, 0);
    ck_assert_int_eq (connect (file, (struct sockaddr *) &s_address, s_address_size), 0);
    return file;
}

/*  Of one that has knocked.  */
static int answer (void)
{
    return accept4 (s_listener, NULL, NULL, SOCK_CLOEXEC);
}

static bool is_ended (int file)
{
    char byte;
    struct pollfd poller = {file, POLLIN, 0};
    return poll (&poller, 1, 0) == 1 && recv (file, &byte, 1, MSG_DONTWAIT) <= 0;
}

static void counts_are (unsigned connected, uint64_t refused)
{
    tim3_door_count_t count = tim3_door_count (s_listener);
    ck_assert_uint_eq (count.connected, connected);
    ck_assert_uint_eq (count.refused, refused);
}

START_TEST (no_more_than_the_limit_come_in)
{
    tim3_door_open (4096);
    uint64_t before = tim3_door_count (s_listener).refused;
    ck_assert_uint_eq (tim3_door_limit (s_listener, 2), 2);
    int out[4];
    int in[4];
    for (int i = 0; i < 4; i++) {
        out[i] = knock ();
        errno = 0;
        in[i] = answer ();
        ck_assert_int_eq (in[i] >= 0, i < 2);
        ck_assert (in[i] >= 0 || errno == ECONNABORTED);
        ck_assert (is_ended (out[i]) == (i >= 2));
        close (out[i]);
    }
    counts_are (2, before + 2);
    close (in[0]);
    counts_are (1, before + 2);
    out[0] = knock ();
    in[0] = answer ();
    ck_assert_int_ge (in[0], 0);
    counts_are (2, before + 2);
    close (in[0]);
    close (in[1]);
    close (out[0]);
    counts_are (0, before + 2);
}
END_TEST

START_TEST (other_files_are_not_counted)
{
    int ends[2];
    tim3_door_open (4096);
    int out = knock ();
    int in = answer ();
    ck_assert_int_eq (pipe (ends), 0);
    close (ends[0]);
    close (ends[1]);
    ck_assert_int_eq (close (-1), -1);
    counts_are (1, tim3_door_count (s_listener).refused);
    close (in);
    int same = dup (out); /* takes the number of the connection that went */
    ck_assert_int_eq (same, in);
    close (same);
    close (out);
    counts_are (0, tim3_door_count (s_listener).refused);
}
END_TEST

START_TEST (the_limit_is_half_of_the_files_at_most)
{
    tim3_door_open (64);
    ck_assert_uint_eq (tim3_door_files (), 64);
    ck_assert_uint_eq (tim3_door_limit (s_listener, 31), 31);
    ck_assert_uint_eq (tim3_door_limit (s_listener, 32), 32);
    ck_assert_uint_eq (tim3_door_limit (s_listener, 10000), 32);
    tim3_door_open (RLIM_INFINITY);
    ck_assert_uint_eq (tim3_door_limit (s_listener, 10000), 10000);
}
END_TEST

/*  Both ends are in this process, so each connection takes two files.  */
static void so_many_are_left (int left)
{
    int files[2 * MOST];
    unsigned count = 0;
    int in = 0;
    while (in >= 0 && count < MOST) {
        files[count++] = knock ();
        in = answer ();
        if (in >= 0)
            files[count++] = in;
    }
    ck_assert (in == -1 && errno == ECONNABORTED);
    int next = dup (s_listener); /* the number that was refused */
    ck_assert_int_ge (next, MOST - left);
    ck_assert_int_le (next, MOST - left + 1);
    close (next);
    while (count > 0)
        close (files[--count]);
    counts_are (0, tim3_door_count (s_listener).refused);
}

START_TEST (a_quarter_of_the_files_is_left)
{
    tim3_door_open (MOST);
    so_many_are_left (MOST / 4);
    tim3_door_limit (s_listener, MOST / 2);
    so_many_are_left (MOST / 4 + MOST / 8);
}
END_TEST

/*  Whoever uses up the files otherwise: ZeroMQ must not hear of it as EMFILE, at which it aborts.  */
START_TEST (no_file_at_all_is_an_aborted_connection)
{
    struct rlimit limit;
    tim3_door_open (4096);
    int out = knock ();
    ck_assert_int_eq (getrlimit (RLIMIT_NOFILE, &limit), 0);
    struct rlimit none = {(rlim_t) out + 1, limit.rlim_max};
    ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &none), 0);
    int in = answer ();
    int why = errno;
    ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &limit), 0);
    ck_assert (in == -1 && why == ECONNABORTED);
    close (out);
}
END_TEST

/*  That it calls these functions is what all depends on.  */
START_TEST (zeromq_comes_through_this_door)
{
    char path[] = "ipc:///tmp/tim3-door-XXXXXX";
    char byte;
    tim3_door_open (MOST);
    ck_assert_int_ge (mkstemp (path + strlen ("ipc://")), 0);
    void *context = zmq_ctx_new ();
    void *socket = zmq_socket (context, ZMQ_ROUTER);
    ck_assert_int_eq (zmq_bind (socket, path), 0);
    s_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    strcpy (s_address.sun_path, path + strlen ("ipc://"));
    s_address_size = sizeof s_address;
    int out[MOST];
    unsigned count = 0;
    bool refused = false;
    while (count < MOST && !refused) {
        struct pollfd poller = {out[count] = knock (), POLLIN, 0};
        /* it greets who may come in */
        ck_assert_int_eq (poll (&poller, 1, LONG_MS), 1);
        refused = recv (out[count++], &byte, 1, 0) != 1;
    }
    ck_assert (refused && count < MOST);
    while (count > 0)
        close (out[--count]);
    zmq_close (socket);
    zmq_ctx_term (context);
    unlink (path + strlen ("ipc://"));
}
END_TEST

Suite *suite_door (void)
{
    Suite *suite = suite_create ("door");
    TCase *tests = tcase_create ("connections");
    tcase_add_checked_fixture (tests, setup, teardown);
    tcase_add_test (tests, no_more_than_the_limit_come_in);
    tcase_add_test (tests, other_files_are_not_counted);
    tcase_add_test (tests, the_limit_is_half_of_the_files_at_most);
    tcase_add_test (tests, a_quarter_of_the_files_is_left);
    tcase_add_test (tests, no_file_at_all_is_an_aborted_connection);
    tcase_add_test (tests, zeromq_comes_through_this_door);
    suite_add_tcase (suite, tests);
    return suite;
}
