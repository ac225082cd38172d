/*  tim3client.c - the client library: requests, answers, time. The requests' memory is in tim3client_requests.c, the socket
    in tim3client_connections.c.  */
#include "tim3client.h"
#include "tim3client_connections.h"
#include "tim3client_requests.h"
#include "base/log.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <zmq.h>

#define ARENA_SIZE (2 * 1024 * 1024)
#define SCAN_US 20000
#define RESEND_MOST_US 4000000
#define REFUSED_WAIT_US 50000
#define REFUSED_WAIT_MOST_US 1000000
#define RENEW_US 2000000
#define TIME_MOST_MS (UINT64_MAX / 4 / 1000) /* so that no sum of times overflows */
#define OTHER_DESCRIPTORS 64                 /* what a program has open besides the connections, at least */

/*  An answer that came while call () waited for another.  */
typedef struct deferred {
    tim3_answer_t answer;
    tim3_buffer_t body;
    struct deferred *next;
} deferred_t;

struct tim3_client {
    void *context;
    tim3_connections_t connections;
    uint64_t timeout_us;
    uint64_t retry_us;
    bool insist;
    tim3_requests_t requests;
    zmq_msg_t frame; /* the one being read */
    bool frame_open;
    const uint8_t *at;
    const uint8_t *end;
    uint64_t received_us; /* when the frame was */
    uint32_t scan;
    uint64_t scanned_us;
    uint64_t overdue_us; /* when the next scan was first seen to be due; 0: it has not been */
    uint64_t wall_us;    /* wall clock less monotonic clock, as of the last scan */
    tim3_arena_t arena;
    void *body;
    tim3_answer_t answer;
    deferred_t *deferred;  /* in the order in which they came */
    deferred_t *delivered; /* the one handed out last */
    bool interrupted;      /* the last wait was, by a signal */
};

static const tim3_answer_t *take_deferred (tim3_client_t *self);
static void free_deferred (deferred_t *deferred);

static uint64_t clock_us (clockid_t clock)
{
    struct timespec now;
    clock_gettime (clock, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

static uint64_t now_us (void)
{
    return clock_us (CLOCK_MONOTONIC);
}

static void read_wall_clock (tim3_client_t *self, uint64_t now)
{
    self->wall_us = clock_us (CLOCK_REALTIME) - now;
}

/*  -------------------------------------------------------------------------------- making and ending  */

/*  Found out here, since ZeroMQ would only be without some of the connections, for as long as there are too few
    descriptors.  */
static int connections_fault (unsigned connections)
{
    struct rlimit limit;
    if (connections < 1 || connections > TIM3_CLIENT_CONNECTIONS_MAX)
        return EINVAL;
    bool known = getrlimit (RLIMIT_NOFILE, &limit) == 0;
    return known && limit.rlim_cur < connections + OTHER_DESCRIPTORS ? EMFILE : 0;
}

tim3_client_t *tim3_client_new (const char *endpoint, unsigned connections)
{
    if ((errno = connections_fault (connections)))
        return NULL;
    tim3_client_t *self = tim3_alloc (sizeof *self);
    self->context = zmq_ctx_new ();
    TIM3_ASSERT (self->context && sodium_init () >= 0);
    self->timeout_us = 10000000;
    self->retry_us = 1000000;
    self->insist = true;
    read_wall_clock (self, now_us ());
    tim3_requests_begin (&self->requests);
    self->body = tim3_alloc (tim3_body_size_max ());
    self->arena.data = tim3_alloc (ARENA_SIZE);
    self->arena.capacity = ARENA_SIZE;
    if (tim3_connections_open (&self->connections, self->context, endpoint, connections)) {
        int why = errno;
        tim3_client_destroy (&self);
        errno = why;
    }
    return self;
}

static void close_frame (tim3_client_t *self)
{
    if (self->frame_open)
        zmq_msg_close (&self->frame);
    self->frame_open = false;
    self->at = self->end = NULL;
}

void tim3_client_destroy (tim3_client_t **self_p)
{
    tim3_client_t *self = *self_p;
    if (!self)
        return;
    close_frame (self);
    tim3_connections_close (&self->connections);
    while (zmq_ctx_term (self->context) && errno == EINTR)
        ;
    tim3_requests_free (&self->requests);
    while (self->deferred)
        take_deferred (self);
    free_deferred (self->delivered);
    free (self->arena.data);
    free (self->body);
    free (self);
    *self_p = NULL;
}

static uint64_t us_of (uint64_t ms)
{
    return (ms < TIME_MOST_MS ? ms : TIME_MOST_MS) * 1000;
}

void tim3_client_set_timeout_ms (tim3_client_t *self, uint64_t timeout_ms)
{
    self->timeout_us = us_of (timeout_ms);
}

void tim3_client_set_retry_ms (tim3_client_t *self, uint64_t retry_ms)
{
    self->retry_us = us_of (retry_ms > 0 ? retry_ms : 1);
}

void tim3_client_set_insist (tim3_client_t *self, bool insist)
{
    self->insist = insist;
}

unsigned tim3_client_outstanding (const tim3_client_t *self)
{
    return self->requests.count - self->requests.spare_count;
}

void *tim3_client_socket (tim3_client_t *self)
{
    return self->connections.socket;
}

/*  ----------------------------------------------------------------------------------------- sending  */

static void send_request (tim3_client_t *self, tim3_request_t *request)
{
    tim3_connections_add (&self->connections, request->connection, &request->message);
    request->sends++;
    request->refused = false;
}

static tim3_request_t *begin_request (tim3_client_t *self, tim3_type_t type, void *tag)
{
    tim3_request_t *request = tim3_requests_take (&self->requests);
    request->type = type;
    request->tag = tag;
    request->connection = tim3_connections_take (&self->connections);
    request->start_us = now_us ();
    request->refused_wait_us = REFUSED_WAIT_US;
    return request;
}

static void end_request (tim3_client_t *self, tim3_request_t *request)
{
    tim3_connections_give_back (&self->connections, request->connection);
    tim3_requests_end (&self->requests, request);
}

/*  What is longer than most is cut off.  */
static void copy_text (char *to, const char *from, size_t most)
{
    size_t length = strnlen (from, most);
    memcpy (to, from, length);
    to[length] = '\0';
}

static void write_request (tim3_request_t *request, const char *route, const char *account, const void *body,
                           uint64_t time_us)
{
    tim3_envelope_t envelope; /* the fields that are written, for zeroing all costs more than the rest */
    envelope.type = request->type;
    envelope.id = request->id;
    envelope.time_us = time_us;
    envelope.reply_to = 0;
    envelope.trace = (tim3_id_t){0};
    envelope.via_size = 0;
    copy_text (envelope.sender, "client", TIM3_ADDRESS_MAX);
    copy_text (envelope.recipient, route, TIM3_ADDRESS_MAX);
    copy_text (envelope.account, account ? account : "", TIM3_ACCOUNT_MAX);
    tim3_buffer_clear (&request->message);
    tim3_envelope_write (&request->message, &envelope, body);
}

uint64_t tim3_client_submit (tim3_client_t *self, const char *route, const char *account, tim3_type_t type,
                             const void *body, void *tag)
{
    tim3_request_t *request = begin_request (self, type, tag);
    request->deadline_us = request->start_us + self->timeout_us;
    request->resend_wait_us = self->retry_us;
    request->send_us = request->start_us + self->retry_us;
    write_request (request, route, account, body, self->wall_us + request->start_us);
    tim3_requests_set_due (&self->requests, request);
    send_request (self, request);
    return request->id;
}

static void renew_later (tim3_client_t *self, tim3_request_t *request, uint64_t now)
{
    request->send_us = now + RENEW_US;
    tim3_requests_set_due (&self->requests, request);
}

static void send_subscribe (tim3_client_t *self, tim3_request_t *request)
{
    uint64_t now = now_us ();
    write_request (request, "router.-", "", &tim3_requests_rest (request)->subscribe, self->wall_us + now);
    send_request (self, request);
    renew_later (self, request, now);
}

static void send_again (tim3_client_t *self, tim3_request_t *request, uint64_t now)
{
    if (request->type == TIM3_MSG_SUBSCRIBE) {
        send_subscribe (self, request);
        return;
    }
    if (!request->refused) {
        request->connection = tim3_connections_move (&self->connections, request->connection);
        request->resend_wait_us *= 2;
    }
    if (request->resend_wait_us > RESEND_MOST_US)
        request->resend_wait_us = RESEND_MOST_US;
    send_request (self, request);
    request->send_us = now + request->resend_wait_us;
    tim3_requests_set_due (&self->requests, request);
}

uint64_t tim3_client_subscribe (tim3_client_t *self, uint64_t from, const char *topic, uint64_t credit,
                                void *tag)
{
    tim3_request_t *request = begin_request (self, TIM3_MSG_SUBSCRIBE, tag);
    tim3_subscribe_t *subscribe = &tim3_requests_rest (request)->subscribe;
    subscribe->subscription = request->id;
    subscribe->from = from ? from : 1;
    subscribe->credit = credit;
    snprintf (subscribe->topic, sizeof subscribe->topic, "%s", topic);
    send_subscribe (self, request);
    return request->id;
}

void tim3_client_unsubscribe (tim3_client_t *self, uint64_t handle)
{
    tim3_request_t *request = tim3_requests_find (&self->requests, handle);
    if (!request || request->type != TIM3_MSG_SUBSCRIBE)
        return;
    tim3_requests_rest (request)->subscribe.credit = 0;
    send_subscribe (self, request);
    tim3_connections_flush (&self->connections);
    end_request (self, request);
}

/*  ----------------------------------------------------------------------------------------- answers  */

static const tim3_answer_t *fill_answer (tim3_client_t *self, const tim3_request_t *request, tim3_type_t type,
                                         uint64_t now)
{
    self->answer = (tim3_answer_t){.handle = request->id,
                                   .tag = request->tag,
                                   .type = type,
                                   .body = self->body,
                                   .took_us = now - request->start_us,
                                   .sends = request->sends};
    if (type == TIM3_MSG_ERROR)
        self->answer.error = self->body;
    return &self->answer;
}

static const tim3_answer_t *finish (tim3_client_t *self, tim3_request_t *request, tim3_type_t type,
                                    uint64_t now)
{
    const tim3_answer_t *answer = fill_answer (self, request, type, now);
    end_request (self, request);
    return answer;
}

static const tim3_answer_t *expire (tim3_client_t *self, tim3_request_t *request, uint64_t now)
{
    tim3_error_t *error = self->body;
    if (request->refusals > 0 && request->refusals >= request->sends)
        *error = request->rest->refusal;
    else
        tim3_error_fill (error, TIM3_NO_ANSWER, "no answer within %.1f s, sent %u times",
                         (double) (now - request->start_us) / 1e6, request->sends);
    error->request = request->type;
    return finish (self, request, TIM3_MSG_ERROR, now);
}

/*  Nothing was decided, or an agent gave up waiting and does not know what was.  */
static bool is_worth_asking_again (const tim3_error_t *error)
{
    return tim3_result_advice ((unsigned) error->code) == TIM3_ADVICE_RETRY_SAME_ID ||
           error->code == TIM3_NO_ANSWER;
}

/*  The same request goes out again a little later. A sending that an agent gave up counts as unanswered.  */
static void postpone (tim3_client_t *self, tim3_request_t *request, const tim3_error_t *error)
{
    request->refused = true;
    if (error->code != TIM3_NO_ANSWER) {
        request->refusals++;
        tim3_requests_rest (request)->refusal = *error;
    }
    request->send_us = now_us () + request->refused_wait_us;
    request->refused_wait_us *= 2;
    if (request->refused_wait_us > REFUSED_WAIT_MOST_US)
        request->refused_wait_us = REFUSED_WAIT_MOST_US;
    tim3_requests_set_due (&self->requests, request);
}

/*  Only what has not been delivered counts: after a renewal the router may send some events twice, and those before from are not
    walked. False when nothing of it is new, or something before it is missing.  */
static bool trim_events (const tim3_request_t *request, tim3_events_t *events)
{
    uint64_t wanted = request->rest->subscribe.from;
    if (events->from > wanted || (events->from < wanted && events->next <= wanted))
        return false;
    events->from = wanted;
    return true;
}

static const tim3_answer_t *take_events (tim3_client_t *self, tim3_request_t *request)
{
    tim3_events_t *events = self->body;
    if (!trim_events (request, events))
        return NULL;
    request->rest->subscribe.from = events->next;
    renew_later (self, request, self->received_us);
    request->refused_wait_us = REFUSED_WAIT_US;
    /* not before the router has stopped: it would begin anew, and send what is on its way again */
    if (events->credit == 0)
        send_subscribe (self, request);
    return fill_answer (self, request, TIM3_MSG_EVENTS, self->received_us);
}

static tim3_type_t decode_body (tim3_client_t *self, const tim3_envelope_t *envelope,
                                const tim3_request_t *request)
{
    const tim3_message_t *message = tim3_message (envelope->type);
    tim3_fault_t fault = {TIM3_MALFORMED, "type"};
    self->arena.used = 0;
    if (message &&
        (envelope->type == TIM3_MSG_ERROR || envelope->type == tim3_message (request->type)->reply) &&
        tim3_decode_map (envelope->body, envelope->body_size, message->shape, self->body, &self->arena,
                         &fault) == 0)
        return (tim3_type_t) envelope->type;
    tim3_error_fill (self->body, TIM3_INTERNAL,
                     "the answer of %s cannot be read (%s in %s); are client and agents of one version?",
                     envelope->sender, tim3_result_name (fault.code), fault.field);
    return TIM3_MSG_ERROR;
}

static const tim3_answer_t *take_envelope (tim3_client_t *self, const tim3_envelope_t *envelope)
{
    tim3_request_t *request = tim3_requests_find (&self->requests, envelope->reply_to);
    if (!request)
        return NULL;
    tim3_type_t type = decode_body (self, envelope, request);
    const tim3_error_t *error = self->body;
    if (type == TIM3_MSG_ERROR && self->insist && is_worth_asking_again (error)) {
        postpone (self, request, error);
        return NULL;
    }
    return type == TIM3_MSG_EVENTS ? take_events (self, request)
                                   : finish (self, request, type, self->received_us);
}

static const tim3_answer_t *next_in_frame (tim3_client_t *self)
{
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    while (self->frame_open && tim3_envelope_read (&self->at, self->end, &envelope, &fault) == 1) {
        const tim3_answer_t *answer = take_envelope (self, &envelope);
        if (answer)
            return answer;
    }
    return NULL;
}

static bool receive_frame (tim3_client_t *self)
{
    close_frame (self);
    if (!tim3_connections_receive (&self->connections, &self->frame))
        return false;
    self->frame_open = true;
    self->received_us = now_us ();
    self->at = zmq_msg_data (&self->frame);
    self->end = self->at + zmq_msg_size (&self->frame);
    return true;
}

/*  Walks the slots now and then: sends again what is due, and gives up what is past its deadline.  */
static const tim3_answer_t *next_expired (tim3_client_t *self, uint64_t now)
{
    if (self->scan == 0 && now - self->scanned_us < SCAN_US)
        return NULL;
    self->scanned_us = now;
    read_wall_clock (self, now);
    while (self->scan < self->requests.count) {
        uint32_t slot = self->scan++;
        if (now < self->requests.due_us[slot])
            continue;
        tim3_request_t *request = self->requests.slots[slot];
        if (request->deadline_us && now >= request->deadline_us)
            return expire (self, request, now);
        send_again (self, request, now);
    }
    self->scan = 0;
    self->overdue_us = 0;
    return NULL;
}

/*  Whether requests are looked through before anything more is received. Answers that lie there come first, or who was
    away for longer than a deadline would be told that none came; but not for long, since they may keep coming.  */
static bool scan_is_late (tim3_client_t *self, uint64_t now)
{
    if (self->scan == 0 && now - self->scanned_us < SCAN_US)
        return false;
    if (self->overdue_us == 0)
        self->overdue_us = now;
    return now - self->overdue_us >= SCAN_US;
}

/*  False when a signal came.  */
static bool wait_readable (tim3_client_t *self, uint64_t wait_us)
{
    zmq_pollitem_t item = {.socket = self->connections.socket, .events = ZMQ_POLLIN};
    uint64_t most = wait_us < SCAN_US ? wait_us : SCAN_US;
    self->interrupted = zmq_poll (&item, 1, (long) ((most + 999) / 1000)) < 0 && errno == EINTR;
    return !self->interrupted;
}

/*  What is there now. What is sent again leaves before answers are looked for once more: sending takes note of those
    that came meanwhile, and whoever waits for the socket's descriptor would not be told of them.  */
static const tim3_answer_t *next_answer (tim3_client_t *self, uint64_t now)
{
    const tim3_answer_t *answer;
    for (;;) {
        if (scan_is_late (self, now) && (answer = next_expired (self, now)))
            return answer;
        tim3_connections_flush (&self->connections);
        if (receive_frame (self)) {
            if ((answer = next_in_frame (self)))
                return answer;
            now = self->received_us;
        } else if ((answer = next_expired (self, now)) || self->connections.unsent_count == 0) {
            return answer;
        }
    }
}

static const tim3_answer_t *wait_answer (tim3_client_t *self, int timeout_ms)
{
    self->interrupted = false;
    const tim3_answer_t *answer = next_in_frame (self);
    if (answer)
        return answer;
    uint64_t now = now_us ();
    uint64_t until = timeout_ms < 0 ? UINT64_MAX : now + (uint64_t) timeout_ms * 1000;
    while (!(answer = next_answer (self, now)) && now < until && wait_readable (self, until - now))
        now = now_us ();
    return answer;
}

/*  --------------------------------------------------------------------------- waiting for one of many  */

static void defer (tim3_client_t *self, const tim3_answer_t *answer)
{
    deferred_t *deferred = tim3_alloc (sizeof *deferred);
    deferred_t **last = &self->deferred;
    deferred->answer = *answer;
    tim3_encode_map (&deferred->body, tim3_message (answer->type)->shape, answer->body);
    while (*last)
        last = &(*last)->next;
    *last = deferred;
}

static void free_deferred (deferred_t *deferred)
{
    if (!deferred)
        return;
    tim3_buffer_free (&deferred->body);
    free (deferred);
}

static const tim3_answer_t *take_deferred (tim3_client_t *self)
{
    deferred_t *deferred = self->deferred;
    tim3_fault_t fault;
    free_deferred (self->delivered);
    self->deferred = deferred->next;
    self->delivered = deferred; /* raw fields of the body point into it */
    self->answer = deferred->answer;
    self->arena.used = 0;
    int failed = tim3_decode_map (deferred->body.data, deferred->body.size,
                                  tim3_message (self->answer.type)->shape, self->body, &self->arena, &fault);
    TIM3_ASSERT (!failed);
    return &self->answer;
}

/*  Those kept come first, so that the events of a subscription stay in order.  */
const tim3_answer_t *tim3_client_poll (tim3_client_t *self, int timeout_ms)
{
    return self->deferred ? take_deferred (self) : wait_answer (self, timeout_ms);
}

const tim3_answer_t *tim3_client_call (tim3_client_t *self, const char *route, const char *account,
                                       tim3_type_t type, const void *body)
{
    uint64_t handle = tim3_client_submit (self, route, account, type, body, NULL);
    do {
        const tim3_answer_t *answer = wait_answer (self, -1);
        if (answer && answer->handle == handle)
            return answer;
        if (answer)
            defer (self, answer);
    } while (!self->interrupted);
    end_request (self, tim3_requests_find (&self->requests, handle));
    return NULL;
}
