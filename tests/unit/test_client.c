/*  test_client.c - the client library against a stand-in for the router, which answers by the account named:
    "silent" never, "refused" overloaded each time, "second" overloaded once and then well, "unsure" no_answer each time,
    "late" no_answer once and then well, "mixed" no_answer once and then overloaded, "moving" not on the
    connection where it was first heard of, else well: with the number of the connection that the request came on.
    Subscriptions it takes in silence.  */
#include "tim3client.h"
#include "wire/envelope.h"
#include "suites.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define PATIENT_MS 60000 /* more than a slow machine needs for anything here */
#define CONNECTIONS_MOST 16

static char s_endpoint[64];
static pthread_t s_thread;
static atomic_bool s_stop;
static atomic_bool s_held;    /* nothing is to be taken in */
static atomic_bool s_holding; /* and is not */
static atomic_bool s_quiet;   /* no more signals are to be sent */
static atomic_uint s_refusals;
static atomic_uint s_frames;
static unsigned s_deaf; /* the connection where "moving" was first heard of */
static struct {
    uint8_t name[64];
    int size;
    atomic_uint requests;
} s_connections[CONNECTIONS_MOST]; /* in the order in which they were heard of */
static tim3_client_t *s_client;

static unsigned number_of (const uint8_t *name, int size)
{
    unsigned i = 0;
    while (i < CONNECTIONS_MOST && s_connections[i].size > 0 &&
           (s_connections[i].size != size || memcmp (s_connections[i].name, name, (size_t) size) != 0))
        i++;
    ck_assert_uint_lt (i, CONNECTIONS_MOST);
    s_connections[i].size = size;
    memcpy (s_connections[i].name, name, (size_t) size);
    return i;
}

static bool unanswered (const tim3_envelope_t *request, unsigned connection)
{
    bool moving = strcmp (request->account, "moving") == 0;
    if (moving && s_deaf == CONNECTIONS_MOST)
        s_deaf = connection;
    return request->type == TIM3_MSG_SUBSCRIBE || strcmp (request->account, "silent") == 0 ||
           (moving && s_deaf == connection);
}

static tim3_result_t refusal (const char *account)
{
    static const struct {
        const char *account;
        tim3_result_t first;
        tim3_result_t then;
    } rows[] = {{"refused", TIM3_OVERLOADED, TIM3_OVERLOADED}, {"second", TIM3_OVERLOADED, TIM3_OK},
                {"unsure", TIM3_NO_ANSWER, TIM3_NO_ANSWER},    {"late", TIM3_NO_ANSWER, TIM3_OK},
                {"mixed", TIM3_NO_ANSWER, TIM3_OVERLOADED}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp (account, rows[i].account) == 0)
            return atomic_fetch_add (&s_refusals, 1) == 0 ? rows[i].first : rows[i].then;
    return TIM3_OK;
}

static void answer_one (const tim3_envelope_t *request, unsigned connection, tim3_buffer_t *out)
{
    tim3_envelope_t reply = {.type = TIM3_MSG_BALANCE, .id = 1, .reply_to = request->id};
    tim3_account_t balance = {.balance = connection};
    tim3_error_t error;
    tim3_result_t code;
    strcpy (reply.sender, "token_manager.TIM3.0");
    strcpy (reply.recipient, "client");
    snprintf (balance.account, sizeof balance.account, "%s", request->account);
    if (unanswered (request, connection))
        return;
    if ((code = refusal (request->account)) != TIM3_OK) {
        tim3_error_fill (&error, code, NULL);
        reply.type = TIM3_MSG_ERROR;
        tim3_envelope_write (out, &reply, &error);
        return;
    }
    tim3_envelope_write (out, &reply, &balance);
}

static void answer_frame (void *socket, const uint8_t *peer, int peer_size, const uint8_t *at, size_t size)
{
    unsigned connection = number_of (peer, peer_size);
    tim3_envelope_t request = {0};
    tim3_fault_t fault;
    tim3_buffer_t out = {0};
    const uint8_t *end = at + size;
    atomic_fetch_add (&s_frames, 1);
    while (tim3_envelope_read (&at, end, &request, &fault) == 1) {
        answer_one (&request, connection, &out);
        atomic_fetch_add (&s_connections[connection].requests, 1);
    }
    if (out.size > 0) {
        zmq_send (socket, peer, (size_t) peer_size, ZMQ_SNDMORE);
        zmq_send (socket, out.data, out.size, 0);
    }
    tim3_buffer_free (&out);
}

static void pause_ms (long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep (&pause, NULL);
}

static void *stand_in (void *socket)
{
    static uint8_t frame[1 << 20];
    uint8_t peer[64];
    while (!atomic_load (&s_stop)) {
        atomic_store (&s_holding, atomic_load (&s_held));
        if (atomic_load (&s_holding)) {
            pause_ms (1);
            continue;
        }
        int peer_size = zmq_recv (socket, peer, sizeof peer, 0);
        int size = peer_size < 0 ? -1 : zmq_recv (socket, frame, sizeof frame, 0);
        if (size >= 0)
            answer_frame (socket, peer, peer_size, frame, (size_t) size);
    }
    return NULL;
}

static void *s_context;
static void *s_socket;

static void begin_stand_in (void)
{
    int patience_ms = 20;
    s_socket = zmq_socket (s_context, ZMQ_ROUTER);
    zmq_setsockopt (s_socket, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
    ck_assert_int_eq (zmq_bind (s_socket, s_endpoint), 0);
    atomic_store (&s_stop, false);
    ck_assert_int_eq (pthread_create (&s_thread, NULL, stand_in, s_socket), 0);
}

static void end_stand_in (void)
{
    atomic_store (&s_stop, true);
    pthread_join (s_thread, NULL);
    zmq_close (s_socket);
}

static void connect_client (unsigned connections)
{
    tim3_client_destroy (&s_client);
    s_client = tim3_client_new (s_endpoint, connections);
    ck_assert_ptr_nonnull (s_client);
    tim3_client_set_timeout_ms (s_client, PATIENT_MS);
    tim3_client_set_retry_ms (s_client, PATIENT_MS);
}

static void begin (void)
{
    snprintf (s_endpoint, sizeof s_endpoint, "ipc:///tmp/tim3-test-client-%d.sock", (int) getpid ());
    s_context = zmq_ctx_new ();
    memset (s_connections, 0, sizeof s_connections);
    atomic_store (&s_refusals, 0);
    atomic_store (&s_frames, 0);
    atomic_store (&s_held, false);
    s_deaf = CONNECTIONS_MOST;
    begin_stand_in ();
    connect_client (1);
}

static void end (void)
{
    tim3_client_destroy (&s_client);
    ck_assert_ptr_null (s_client);
    end_stand_in ();
    zmq_ctx_term (s_context);
    unlink (s_endpoint + strlen ("ipc://"));
}

static const tim3_answer_t *call (const char *account)
{
    tim3_account_only_t body = {0};
    strcpy (body.account, account);
    return tim3_client_call (s_client, "token_manager.TIM3", account, TIM3_MSG_GET_BALANCE, &body);
}

/*  Gives it a short time, and more where the machine was too slow to ask twice, and to hear all of it, in that.  */
static const tim3_answer_t *call_until_sent_again (const char *account, tim3_result_t code)
{
    const tim3_answer_t *answer = NULL;
    for (uint64_t timeout_ms = 300; timeout_ms < PATIENT_MS; timeout_ms *= 2) {
        tim3_client_set_timeout_ms (s_client, timeout_ms);
        answer = call (account);
        ck_assert_ptr_nonnull (answer->error);
        if (answer->sends > 1 && answer->error->code == code)
            break;
    }
    ck_assert_uint_eq (answer->error->code, code);
    ck_assert_uint_gt (answer->sends, 1);
    return answer;
}

START_TEST (answers)
{
    const tim3_answer_t *answer = call ("alice");
    ck_assert_ptr_null (answer->error);
    ck_assert_uint_eq (answer->type, TIM3_MSG_BALANCE);
    ck_assert_str_eq (((const tim3_account_t *) answer->body)->account, "alice");
    ck_assert_uint_eq (answer->sends, 1);
    ck_assert_uint_eq (tim3_client_outstanding (s_client), 0);
}
END_TEST

START_TEST (asks_again_when_overloaded)
{
    const tim3_answer_t *answer = call ("second");
    ck_assert_ptr_null (answer->error);
    ck_assert_uint_eq (answer->sends, 2);
}
END_TEST

START_TEST (asks_again_when_given_up)
{
    const tim3_answer_t *answer = call ("late");
    ck_assert_ptr_null (answer->error);
    ck_assert_uint_eq (answer->sends, 2);
}
END_TEST

START_TEST (given_up_each_time_is_no_answer_at_the_deadline)
{
    call_until_sent_again ("unsure", TIM3_NO_ANSWER);
    ck_assert_uint_eq (tim3_client_outstanding (s_client), 0);
}
END_TEST

START_TEST (given_up_once_and_refused_then_is_unknown)
{
    tim3_client_set_timeout_ms (s_client, 1000);
    ck_assert_uint_eq (call ("mixed")->error->code, TIM3_NO_ANSWER);
}
END_TEST

START_TEST (reports_the_refusal_at_the_deadline)
{
    call_until_sent_again ("refused", TIM3_OVERLOADED);
}
END_TEST

START_TEST (hands_out_the_first_refusal_when_told_not_to_insist)
{
    tim3_client_set_insist (s_client, false);
    const tim3_answer_t *answer = call ("second");
    ck_assert_ptr_nonnull (answer->error);
    ck_assert_uint_eq (answer->error->code, TIM3_OVERLOADED);
    ck_assert_uint_eq (answer->sends, 1);
    ck_assert_uint_eq (tim3_client_outstanding (s_client), 0);
}
END_TEST

START_TEST (silence_is_no_answer)
{
    tim3_client_set_retry_ms (s_client, 50);
    call_until_sent_again ("silent", TIM3_NO_ANSWER);
    ck_assert_uint_eq (tim3_client_outstanding (s_client), 0);
}
END_TEST

START_TEST (many_leave_as_one_message)
{
    tim3_account_only_t body = {.account = "alice"};
    size_t tags[100];
    unsigned answered = 0;
    for (size_t i = 0; i < 100; i++)
        tim3_client_submit (s_client, "token_manager.TIM3", "alice", TIM3_MSG_GET_BALANCE, &body, &tags[i]);
    ck_assert_uint_eq (tim3_client_outstanding (s_client), 100);
    while (tim3_client_outstanding (s_client) > 0) {
        const tim3_answer_t *answer = tim3_client_poll (s_client, PATIENT_MS);
        ck_assert_ptr_nonnull (answer);
        ck_assert_ptr_eq (answer->tag, &tags[answered++]);
    }
    ck_assert_uint_eq (answered, 100);
    ck_assert_uint_eq (atomic_load (&s_frames), 1);
}
END_TEST

START_TEST (call_keeps_other_answers)
{
    tim3_account_only_t body = {.account = "bob"};
    uint64_t handle =
        tim3_client_submit (s_client, "token_manager.TIM3", "bob", TIM3_MSG_GET_BALANCE, &body, &body);
    ck_assert_str_eq (((const tim3_account_t *) call ("alice")->body)->account, "alice");
    const tim3_answer_t *answer = tim3_client_poll (s_client, PATIENT_MS);
    ck_assert_ptr_nonnull (answer);
    ck_assert (answer->handle == handle && answer->tag == &body);
    ck_assert_str_eq (((const tim3_account_t *) answer->body)->account, "bob");
}
END_TEST

static void submit (const char *account)
{
    tim3_account_only_t body = {0};
    strcpy (body.account, account);
    tim3_client_submit (s_client, "token_manager.TIM3", account, TIM3_MSG_GET_BALANCE, &body, NULL);
}

static unsigned requests_on (unsigned connection)
{
    return atomic_load (&s_connections[connection].requests);
}

/*  Returns how many answers came meanwhile.  */
static unsigned poll_until_heard_of (unsigned connections)
{
    unsigned came = 0;
    for (unsigned waited_ms = 0; requests_on (connections - 1) == 0; waited_ms += 10) {
        ck_assert_uint_lt (waited_ms, PATIENT_MS);
        came += tim3_client_poll (s_client, 10) != NULL;
    }
    return came;
}

static uint64_t connection_of (const tim3_answer_t *answer)
{
    ck_assert_ptr_nonnull (answer);
    ck_assert_ptr_null (answer->error);
    return (uint64_t) ((const tim3_account_t *) answer->body)->balance;
}

START_TEST (each_connection_has_one_request_of_as_many)
{
    connect_client (8);
    for (unsigned i = 0; i < 8; i++)
        submit ("silent");
    ck_assert_uint_eq (poll_until_heard_of (8), 0);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_eq (requests_on (i), 1);
}
END_TEST

START_TEST (a_request_goes_out_on_the_connection_that_is_free)
{
    connect_client (3);
    submit ("silent");
    submit ("alice");
    submit ("silent");
    uint64_t free = connection_of (tim3_client_poll (s_client, PATIENT_MS));
    for (unsigned i = 0; i < 10; i++)
        ck_assert_uint_eq (connection_of (call ("bob")), free);
    ck_assert_uint_eq (tim3_client_outstanding (s_client), 2);
}
END_TEST

/*  Three connections, each with a request that is not answered; the second one's is over soon.  */
START_TEST (the_connection_of_an_expired_request_is_free)
{
    unsigned expired = 0;
    connect_client (3);
    submit ("silent");
    expired += poll_until_heard_of (1);
    tim3_client_set_timeout_ms (s_client, 100);
    submit ("silent");
    expired += poll_until_heard_of (2);
    tim3_client_set_timeout_ms (s_client, PATIENT_MS);
    submit ("silent");
    expired += poll_until_heard_of (3);
    if (expired == 0)
        ck_assert_ptr_nonnull (tim3_client_poll (s_client, PATIENT_MS));
    ck_assert_uint_eq (tim3_client_outstanding (s_client), 2);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_uint_eq (connection_of (call ("bob")), 1);
}
END_TEST

START_TEST (the_connection_of_a_subscription_that_ended_is_free)
{
    connect_client (3);
    submit ("silent");
    ck_assert_uint_eq (poll_until_heard_of (1), 0);
    uint64_t handle = tim3_client_subscribe (s_client, 1, "", 100, NULL);
    ck_assert_uint_eq (poll_until_heard_of (2), 0);
    submit ("silent");
    ck_assert_uint_eq (poll_until_heard_of (3), 0);
    tim3_client_unsubscribe (s_client, handle);
    ck_assert_uint_eq (tim3_client_outstanding (s_client), 2);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_uint_eq (connection_of (call ("bob")), 1);
}
END_TEST

START_TEST (unsubscribe_ends_subscriptions_alone)
{
    tim3_account_only_t body = {.account = "alice"};
    uint64_t handle =
        tim3_client_submit (s_client, "token_manager.TIM3", NULL, TIM3_MSG_GET_BALANCE, &body, NULL);
    tim3_client_unsubscribe (s_client, handle);
    ck_assert_uint_eq (tim3_client_outstanding (s_client), 1);
    connection_of (tim3_client_poll (s_client, PATIENT_MS));
}
END_TEST

/*  The other connections have more to do, and yet it is not asked for again on the one that is deaf.  */
START_TEST (what_is_unanswered_moves_to_another_connection)
{
    connect_client (3);
    submit ("silent");
    submit ("silent");
    ck_assert_uint_eq (poll_until_heard_of (2), 0);
    tim3_client_set_retry_ms (s_client, 50);
    const tim3_answer_t *answer = call ("moving");
    ck_assert_uint_ne (connection_of (answer), s_deaf);
    ck_assert_uint_gt (answer->sends, 1);
    ck_assert_uint_eq (tim3_client_outstanding (s_client), 2);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_uint_eq (connection_of (call ("bob")), s_deaf);
}
END_TEST

START_TEST (what_is_refused_stays_on_its_connection)
{
    connect_client (3);
    submit ("silent");
    submit ("silent");
    ck_assert_uint_eq (poll_until_heard_of (2), 0);
    const tim3_answer_t *answer = call ("second");
    ck_assert_uint_eq (connection_of (answer), 2);
    ck_assert_uint_eq (answer->sends, 2);
}
END_TEST

#define QUEUED 300

static void queue_answers (unsigned count)
{
    atomic_store (&s_held, true);
    while (!atomic_load (&s_holding))
        pause_ms (1);
    for (unsigned i = 0; i < count; i++) {
        submit ("alice");
        ck_assert_ptr_null (tim3_client_poll (s_client, 0));
    }
    atomic_store (&s_held, false);
}

START_TEST (deadlines_are_kept_while_answers_keep_coming)
{
    unsigned answered = 0;
    queue_answers (QUEUED);
    tim3_client_set_timeout_ms (s_client, 200);
    submit ("silent");
    for (;;) {
        const tim3_answer_t *answer = tim3_client_poll (s_client, PATIENT_MS);
        ck_assert_ptr_nonnull (answer);
        if (answer->error)
            break;
        ck_assert_uint_lt (++answered, QUEUED);
        pause_ms (3);
    }
    while (++answered <= QUEUED)
        connection_of (tim3_client_poll (s_client, PATIENT_MS));
}
END_TEST

static void wait_readable (void)
{
    zmq_pollitem_t item = {.socket = tim3_client_socket (s_client), .events = ZMQ_POLLIN};
    ck_assert_int_eq (zmq_poll (&item, 1, PATIENT_MS), 1);
}

/*  The end of a subscription is sent at once, and what was submitted with it: so nothing needs to be polled.  */
START_TEST (an_answer_that_lies_there_comes_before_its_deadline)
{
    uint64_t handle = tim3_client_subscribe (s_client, 1, "", 100, NULL);
    tim3_client_set_timeout_ms (s_client, 100);
    submit ("alice");
    tim3_client_unsubscribe (s_client, handle);
    wait_readable ();
    pause_ms (200);
    connection_of (tim3_client_poll (s_client, 0));
}
END_TEST

START_TEST (times_that_are_too_long_never_end)
{
    tim3_client_set_timeout_ms (s_client, UINT64_MAX);
    tim3_client_set_retry_ms (s_client, UINT64_MAX);
    submit ("silent");
    ck_assert_ptr_null (tim3_client_poll (s_client, 200));
    ck_assert_ptr_null (call ("alice")->error);
    ck_assert_uint_eq (requests_on (0), 2);
}
END_TEST

START_TEST (a_negative_timeout_waits_for_the_answer)
{
    submit ("second");
    connection_of (tim3_client_poll (s_client, -1));
}
END_TEST

static void take_signal (int number)
{
    (void) number;
}

/*  Again and again, as the first may come before the other waits.  */
static void *keep_signalling (void *thread)
{
    while (!atomic_load (&s_quiet)) {
        pthread_kill (*(pthread_t *) thread, SIGUSR1);
        pause_ms (10);
    }
    return NULL;
}

static pthread_t begin_signals (pthread_t *self)
{
    struct sigaction action = {.sa_handler = take_signal};
    pthread_t other;
    *self = pthread_self ();
    atomic_store (&s_quiet, false);
    ck_assert_int_eq (sigaction (SIGUSR1, &action, NULL), 0);
    ck_assert_int_eq (pthread_create (&other, NULL, keep_signalling, self), 0);
    return other;
}

static void end_signals (pthread_t other)
{
    atomic_store (&s_quiet, true);
    pthread_join (other, NULL);
}

START_TEST (a_signal_ends_a_call_and_its_request)
{
    pthread_t self;
    pthread_t other = begin_signals (&self);
    ck_assert_ptr_null (call ("silent"));
    end_signals (other);
    ck_assert_uint_eq (tim3_client_outstanding (s_client), 0);
    ck_assert_ptr_null (call ("alice")->error);
}
END_TEST

START_TEST (a_signal_ends_a_poll_alone)
{
    pthread_t self;
    pthread_t other = begin_signals (&self);
    submit ("silent");
    ck_assert_ptr_null (tim3_client_poll (s_client, -1));
    end_signals (other);
    ck_assert_uint_eq (tim3_client_outstanding (s_client), 1);
    ck_assert_ptr_null (call ("alice")->error);
}
END_TEST

START_TEST (connections_are_made_again_when_the_router_is)
{
    connect_client (3);
    tim3_client_set_retry_ms (s_client, 50);
    ck_assert_ptr_null (call ("alice")->error);
    end_stand_in ();
    for (unsigned i = 0; i < 3; i++)
        submit ("alice");
    ck_assert_ptr_null (tim3_client_poll (s_client, 20));
    begin_stand_in ();
    for (unsigned i = 0; i < 3; i++) {
        const tim3_answer_t *answer = tim3_client_poll (s_client, PATIENT_MS);
        ck_assert_ptr_nonnull (answer);
        ck_assert_ptr_null (answer->error);
    }
    ck_assert_uint_eq (tim3_client_outstanding (s_client), 0);
}
END_TEST

START_TEST (refuses_a_bad_endpoint)
{
    ck_assert_ptr_null (tim3_client_new ("nonsense", 1));
}
END_TEST

START_TEST (refuses_too_many_connections_and_none)
{
    errno = 0;
    ck_assert_ptr_null (tim3_client_new (s_endpoint, 0));
    ck_assert_int_eq (errno, EINVAL);
    errno = 0;
    ck_assert_ptr_null (tim3_client_new (s_endpoint, TIM3_CLIENT_CONNECTIONS_MAX + 1));
    ck_assert_int_eq (errno, EINVAL);
}
END_TEST

START_TEST (refuses_more_connections_than_there_can_be_files)
{
    struct rlimit limit;
    ck_assert_int_eq (getrlimit (RLIMIT_NOFILE, &limit), 0);
    const struct rlimit less = {.rlim_cur = 128, .rlim_max = limit.rlim_max};
    ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &less), 0);
    errno = 0;
    ck_assert_ptr_null (tim3_client_new (s_endpoint, 100));
    ck_assert_int_eq (errno, EMFILE);
    ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &limit), 0);
}
END_TEST

Suite *suite_client (void)
{
    Suite *suite = suite_create ("client");
    TCase *tests = tcase_create ("library");
    tcase_add_checked_fixture (tests, begin, end);
    tcase_add_test (tests, answers);
    tcase_add_test (tests, asks_again_when_overloaded);
    tcase_add_test (tests, asks_again_when_given_up);
    tcase_add_test (tests, given_up_each_time_is_no_answer_at_the_deadline);
    tcase_add_test (tests, given_up_once_and_refused_then_is_unknown);
    tcase_add_test (tests, reports_the_refusal_at_the_deadline);
    tcase_add_test (tests, hands_out_the_first_refusal_when_told_not_to_insist);
    tcase_add_test (tests, silence_is_no_answer);
    tcase_add_test (tests, many_leave_as_one_message);
    tcase_add_test (tests, call_keeps_other_answers);
    tcase_add_test (tests, each_connection_has_one_request_of_as_many);
    tcase_add_test (tests, a_request_goes_out_on_the_connection_that_is_free);
    tcase_add_test (tests, the_connection_of_an_expired_request_is_free);
    tcase_add_test (tests, the_connection_of_a_subscription_that_ended_is_free);
    tcase_add_test (tests, unsubscribe_ends_subscriptions_alone);
    tcase_add_test (tests, what_is_unanswered_moves_to_another_connection);
    tcase_add_test (tests, what_is_refused_stays_on_its_connection);
    tcase_add_test (tests, deadlines_are_kept_while_answers_keep_coming);
    tcase_add_test (tests, an_answer_that_lies_there_comes_before_its_deadline);
    tcase_add_test (tests, times_that_are_too_long_never_end);
    tcase_add_test (tests, a_negative_timeout_waits_for_the_answer);
    tcase_add_test (tests, a_signal_ends_a_call_and_its_request);
    tcase_add_test (tests, a_signal_ends_a_poll_alone);
    tcase_add_test (tests, connections_are_made_again_when_the_router_is);
    tcase_add_test (tests, refuses_a_bad_endpoint);
    tcase_add_test (tests, refuses_too_many_connections_and_none);
    tcase_add_test (tests, refuses_more_connections_than_there_can_be_files);
    suite_add_tcase (suite, tests);
    return suite;
}
