/*  broker.c - the front door: a thread that carries clients' messages to agents, and the answers back.

    One round: wait; take answers from agents; follow the registry; take requests from clients; send what was
    gathered. All that is for one agent, or one client, leaves as one frame as far as it fits the bound.

    What is asked of agents is admitted up to a bound on how much of it may be unanswered (router/in_flight), so
    that what is accepted is answered soon. The rest is told overloaded here, at once and at little cost: that is
    when there is least to spare. Work for coordinators, questions to any agent, and lists, a page of which may take as
    long as a thousand questions, are counted apart: who asks for lists all the time takes no place of mints.

    What waits for clients to read it is bounded in bytes (router/unread); what is beyond is dropped. A request's body is
    bounded, so that requests that wait are bounded in bytes by their number.

    Known limits: a client's routing id may have at most TIM3_VIA_MAX bytes, and its messages must have one
    part (a DEALER's; a REQ adds an empty one). Connections beyond the limit are refused whoever they are of, as nobody
    is known here: one program that takes all keeps others out, though not those that are connected.
*/
#include "broker.h"
#include "clients.h"
#include "in_flight.h"
#include "routes.h"
#include "sockets.h"
#include "agent/door.h"
#include "base/log.h"
#include "base/loopback.h"
#include "base/watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define LINKS_MAX (TIM3_ROUTES_MAX + 1)
/*  Kinds of requests, of each of which a connection may have so many unanswered: work for coordinators; a page of a list; all else.  */
typedef enum { WORK, QUESTIONS, PAGES, KINDS } kind_t;

_Static_assert(KINDS *LINKS_MAX <= TIM3_IN_FLIGHT_TAKERS, "each connection has as many takers");
#define FRAMES_PER_ROUND 1000
#define MEBIBYTE (1024 * 1024)
#define REPLY_FRAME_MAX (8 * MEBIBYTE)
/*  Of one client, each of up to TIM3_FRAME_MAX bytes, that wait to be looked at; it keeps the rest itself.  */
#define FRONT_FRAMES 32
/*  What an envelope can take around its body, more than enough.  */
#define HEAD_MAX 512
#define LIST_EVERY_US 200000
#define LIST_SOONEST_US 50000
#define LOG_EVERY_US 60000000

/*  How often requests without an answer are looked through, and the bound on them is adapted.  */
#define LOOK_EVERY_US 200000

#define REFUSING_US 5000000 /* clients were refused of late: in so much time */
#define MANY_CLIENTS \
    "find out who connects so often, or raise router/clients and the hard limit of open files"

#define OWN_LINK 0 /* the link to the core in this process */

static const char s_name[] = "router.-.0";

typedef enum { READY_UNKNOWN, READY_YES, READY_NO } ready_t;

/*  The connection to one endpoint.  */
typedef struct {
    char endpoint[201];
    tim3_watched_t watched;
    tim3_buffer_t frame; /* requests gathered for it */
    ready_t ready;       /* whether it takes messages, as of when it was last signalled or sent to */
    bool wanted;         /* the registry still lists its endpoint */
    uint32_t number;     /* among the connections, for as long as it is there */
    uint32_t most;       /* work in flight, while routes are made; 0 where no coordinator is */
    uint64_t incarnation; /* of the coordinator there */
} link_t;

typedef struct {
    pthread_t thread;
    int watch;
    tim3_watched_t stop; /* eventfd */
    tim3_watched_t front;
    int listener;             /* of the front */
    unsigned clients_most;    /* connections of clients */
    uint64_t clients_refused; /* how many had been when it was last looked */
    uint64_t refused_us;      /* when it was last seen that more had been */
    atomic_bool refusing;     /* some were, of late */
    uint64_t warned_us;       /* when that was last told */
    int queue_messages;
    void *context;
    link_t *links[LINKS_MAX];
    unsigned link_count;
    tim3_routes_t routes;
    tim3_clients_t clients;
    tim3_in_flight_t in_flight;
    uint32_t in_flight_most; /* for all coordinators of an asset */
    uint64_t within_us;      /* in which what is accepted should be answered */
    uint64_t give_up_us;     /* what has no answer after that will have none */
    uint64_t looked_us;      /* when those in flight were last looked through */
    uint64_t round_us;       /* when this round began, */
    uint64_t round_time_us;  /* and what time it was */
    tim3_buffer_t refusal;    /* the body of one */
    tim3_buffer_t overloaded; /* the body that tells so, as encoded for requests of overloaded_type */
    uint64_t overloaded_type;
    char recipient[TIM3_ADDRESS_MAX + 1]; /* the last one that was an address, for most are the same, */
    tim3_address_t parsed;                /* and what it says */
    tim3_arena_t arena; /* holds the list */
    tim3_agents_t agents;
    bool agents_fresh; /* the list is new, routes are still of the old one */
    uint64_t generation;
    uint64_t next_id;
    uint64_t listed_us; /* when the list was last asked for */
    uint64_t logged_us;
    unsigned long long logged_drops;
    tim3_broker_counters_t counters;
} broker_t;

/*  ---------------------------------------------------------------------------------- time and counters  */

static uint64_t microseconds (clockid_t clock)
{
    struct timespec time;
    clock_gettime (clock, &time);
    return (uint64_t) time.tv_sec * 1000000 + (uint64_t) time.tv_nsec / 1000;
}

static void count (atomic_ullong *counter)
{
    atomic_fetch_add_explicit (counter, 1, memory_order_relaxed);
}

static void log_drops (broker_t *self, uint64_t now_us)
{
    const tim3_broker_counters_t *at = &self->counters;
    tim3_door_count_t clients = tim3_door_count (self->listener);
    unsigned long long drops = clients.refused + at->malformed + at->not_allowed + at->no_route +
                               at->overloaded + at->answers_stray + at->answers_dropped;
    if (now_us < self->logged_us + LOG_EVERY_US)
        return;
    self->logged_us = now_us;
    if (drops == self->logged_drops)
        return;
    self->logged_drops = drops;
    tim3_log (TIM3_INFO, "front counters",
              "clients=%u clients_refused=%llu requests=%llu answers=%llu malformed=%llu not_allowed=%llu "
              "no_route=%llu overloaded=%llu answers_stray=%llu answers_dropped=%llu",
              clients.connected, (unsigned long long) clients.refused, at->requests, at->answers,
              at->malformed, at->not_allowed, at->no_route, at->overloaded, at->answers_stray,
              at->answers_dropped);
}

/*  -------------------------------------------------------------------------------------------- sockets  */

/*  Clients are not authenticated, so the front never listens beyond this host: the configuration is refused otherwise.  */
static void bind_front (broker_t *self, const char *endpoint)
{
    TIM3_ASSERT (tim3_endpoint_stays_here (endpoint));
    self->clients.front = tim3_socket_new (self->context, ZMQ_ROUTER, self->queue_messages, TIM3_FRAME_MAX);
    tim3_socket_set (self->clients.front, ZMQ_ROUTER_MANDATORY, 1);
    tim3_socket_set (self->clients.front, ZMQ_RCVHWM, FRONT_FRAMES);
    /* a client that comes back under its routing id is heard at once */
    tim3_socket_set (self->clients.front, ZMQ_ROUTER_HANDOVER, 1);
    tim3_watch_socket (self->watch, &self->front, self->clients.front);
    self->listener = tim3_socket_bind (self->context, self->clients.front, endpoint);
    if (self->listener < 0)
        tim3_fatal (
            TIM3_EXIT_RETRY,
            "cannot bind the front %s: %s; is the folder there, and no other set of agents at this address?",
            endpoint, zmq_strerror (errno));
}

/*  Later than bound: those that are let in meanwhile count as well.  */
static void limit_clients (broker_t *self, unsigned wanted)
{
    self->clients_most = tim3_door_limit (self->listener, wanted);
    if (self->clients_most < wanted)
        tim3_log (TIM3_WARN, "fewer clients",
                  "clients=%u wanted=%u what=\"the router may open %u files, half of which are for clients; "
                  "raise the hard limit of open files\"",
                  self->clients_most, wanted, tim3_door_files ());
}

/*  With IMMEDIATE, a peer that is not there takes nothing, rather than swallowing it.  */
static void connect_link (broker_t *self, link_t *link)
{
    void *socket = tim3_socket_new (self->context, ZMQ_DEALER, self->queue_messages, REPLY_FRAME_MAX);
    tim3_socket_set (socket, ZMQ_IMMEDIATE, 1);
    tim3_socket_set (socket, ZMQ_RECONNECT_IVL, 50);
    tim3_socket_set (socket, ZMQ_RECONNECT_IVL_MAX, 500);
    tim3_watch_socket (self->watch, &link->watched, socket);
    if (zmq_connect (socket, link->endpoint) != 0)
        tim3_log (TIM3_ERROR, "cannot connect", "endpoint=%s why=\"%s\"", link->endpoint,
                  zmq_strerror (errno));
}

/*  -------------------------------------------------------------------------------------- to the clients  */

static atomic_ullong *counter_of (broker_t *self, tim3_result_t code)
{
    switch (code) {
    case TIM3_NO_ROUTE:
        return &self->counters.no_route;
    case TIM3_OVERLOADED:
        return &self->counters.overloaded;
    case TIM3_NOT_ALLOWED:
    case TIM3_UNKNOWN_MESSAGE:
        return &self->counters.not_allowed;
    default:
        return &self->counters.malformed;
    }
}

static uint64_t type_in_error (const tim3_envelope_t *asked)
{
    return asked->type <= UINT16_MAX ? asked->type : 0;
}

static void encode_error (tim3_buffer_t *body, tim3_error_t *error, uint64_t type)
{
    error->request = type;
    tim3_buffer_clear (body);
    tim3_encode_map (body, &tim3_shape_error, error);
}

/*  Answers a client's message with an error of that body.  */
static void tell_error (broker_t *self, const tim3_client_id_t *from, const tim3_envelope_t *asked,
                        tim3_result_t code, const tim3_buffer_t *body)
{
    tim3_envelope_t envelope = {
        .type = TIM3_MSG_ERROR,
        .id = self->next_id++,
        .recipient = "client",
        .time_us = self->round_time_us,
        .reply_to = asked->id,
        .trace = asked->trace,
        .body = body->data,
        .body_size = body->size,
    };
    strcpy (envelope.sender, s_name);
    count (counter_of (self, code));
    tim3_envelope_write_raw (tim3_clients_open (&self->clients, from->bytes, from->size), &envelope);
}

static void refuse (broker_t *self, const tim3_client_id_t *from, const tim3_envelope_t *asked,
                    tim3_error_t *error)
{
    encode_error (&self->refusal, error, type_in_error (asked));
    tell_error (self, from, asked, (tim3_result_t) error->code, &self->refusal);
}

/*  Under overload most answers are this one, and there is least time for them. So the body is encoded once for as long as requests are
    of the same type, which they mostly are.  */
static void refuse_overloaded (broker_t *self, const tim3_client_id_t *from, const tim3_envelope_t *asked)
{
    tim3_error_t error;
    uint64_t type = type_in_error (asked);
    if (self->overloaded.size == 0 || self->overloaded_type != type) {
        tim3_error_fill (&error, TIM3_OVERLOADED,
                         "as much is under way as can be answered soon; ask again after a pause");
        encode_error (&self->overloaded, &error, type);
        self->overloaded_type = type;
    }
    tell_error (self, from, asked, TIM3_OVERLOADED, &self->overloaded);
}

/*  --------------------------------------------------------------------------------------- to the agents  */

/*  The frame could not be sent: everyone in it is told.  */
static void bounce (broker_t *self, const tim3_buffer_t *frame)
{
    const uint8_t *at = frame->data;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    tim3_client_id_t from;
    while (tim3_envelope_read (&at, frame->data + frame->size, &envelope, &fault) == 1) {
        if (envelope.via_size == 0)
            continue; /* the broker's own question, which it asks again anyway */
        memcpy (from.bytes, envelope.via, envelope.via_size);
        from.size = envelope.via_size;
        tim3_in_flight_remove (&self->in_flight, from.bytes, from.size, envelope.id, self->round_us);
        refuse_overloaded (self, &from, &envelope);
    }
}

/*  While a socket sends, ZeroMQ may take in what has happened to its connection, and then its descriptor never signals that: so it is
    asked after each sending.  */
static void check_link (link_t *link)
{
    link->ready = tim3_watch_check (&link->watched) & ZMQ_POLLOUT ? READY_YES : READY_NO;
}

static void flush_link (broker_t *self, link_t *link)
{
    if (link->frame.size == 0)
        return;
    if (tim3_socket_send (link->watched.socket, &link->frame))
        bounce (self, &link->frame);
    check_link (link);
    tim3_socket_release (&link->frame);
}

static void flush_links (broker_t *self)
{
    for (unsigned i = 0; i < self->link_count; i++)
        flush_link (self, self->links[i]);
}

/*  Asked only when something may have changed, as it costs two system calls.  */
static bool is_ready (void *context, unsigned number)
{
    broker_t *self = context;
    link_t *link = self->links[number];
    if (link->ready == READY_UNKNOWN)
        check_link (link);
    return link->ready == READY_YES;
}

static void pass_on (broker_t *self, link_t *link, const tim3_client_id_t *from, tim3_envelope_t *envelope)
{
    if (link->frame.size > 0 && link->frame.size + envelope->body_size + HEAD_MAX > TIM3_FRAME_GOAL)
        flush_link (self, link);
    strcpy (envelope->sender, "client");
    memcpy (envelope->via, from->bytes, from->size);
    envelope->via_size = (uint8_t) from->size;
    envelope->reply_to = 0;
    tim3_envelope_write_raw (&link->frame, envelope);
    count (&self->counters.requests);
}

/*  ------------------------------------------------------------------------------------------- registry  */

static uint32_t taker_of (const link_t *link, kind_t kind)
{
    return KINDS * link->number + kind;
}

static void ask_for_list (broker_t *self)
{
    link_t *link = self->links[OWN_LINK];
    tim3_envelope_t envelope = {
        .type = TIM3_MSG_LIST,
        .id = self->next_id++,
        .sender = "router.-.0",
        .recipient = "router.-.0",
        .time_us = self->round_time_us,
    };
    tim3_envelope_write (&link->frame, &envelope, "");
    self->listed_us = self->round_us;
}

static void take_list (broker_t *self, const tim3_envelope_t *envelope)
{
    tim3_fault_t fault;
    self->arena.used = 0;
    self->agents_fresh = tim3_decode_map (envelope->body, envelope->body_size, &tim3_shape_agents,
                                          &self->agents, &self->arena, &fault) == 0;
}

static uint32_t free_number (const broker_t *self)
{
    bool used[LINKS_MAX] = {false};
    uint32_t number = 0;
    for (unsigned i = 0; i < self->link_count; i++)
        used[self->links[i]->number] = true;
    while (used[number])
        number++;
    return number;
}

static unsigned link_to (broker_t *self, const char *endpoint)
{
    for (unsigned i = 0; i < self->link_count; i++)
        if (strcmp (self->links[i]->endpoint, endpoint) == 0)
            return i;
    TIM3_ASSERT (self->link_count < LINKS_MAX);
    link_t *link = tim3_alloc (sizeof *link);
    strncpy (link->endpoint, endpoint, sizeof link->endpoint - 1);
    link->number = free_number (self);
    tim3_in_flight_allow (&self->in_flight, taker_of (link, QUESTIONS), self->in_flight_most);
    tim3_in_flight_allow (&self->in_flight, taker_of (link, PAGES), TIM3_BROKER_PAGES_MOST);
    connect_link (self, link);
    self->links[self->link_count] = link;
    return self->link_count++;
}

static void close_link (broker_t *self, link_t *link)
{
    void *socket = link->watched.socket;
    for (kind_t kind = 0; kind < KINDS; kind++) {
        tim3_in_flight_forget (&self->in_flight, taker_of (link, kind));
        tim3_in_flight_allow (&self->in_flight, taker_of (link, kind), 0);
    }
    tim3_watch_drop (self->watch, &link->watched);
    zmq_close (socket);
    tim3_buffer_free (&link->frame);
    free (link);
}

/*  Closes the links to endpoints that the list no longer names, and moves the others together.  */
static void close_unwanted (broker_t *self, const tim3_agent_t *agents)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < self->link_count; i++)
        self->links[i]->wanted = i == OWN_LINK;
    for (uint32_t i = 0; i < self->agents.items.count; i++)
        for (unsigned j = 0; j < self->link_count; j++)
            if (strcmp (self->links[j]->endpoint, agents[i].endpoint) == 0)
                self->links[j]->wanted = true;
    for (unsigned i = 0; i < self->link_count; i++)
        if (self->links[i]->wanted)
            self->links[kept++] = self->links[i];
        else
            close_link (self, self->links[i]);
    self->link_count = kept;
}

/*  What a coordinator had that is not there any more, or is another process now, is never answered.  */
static void forget_gone (broker_t *self, link_t *link, const tim3_agent_t *agent)
{
    if (agent->role != TIM3_ROLE_COORDINATOR)
        return;
    if (!agent->alive || link->incarnation != agent->incarnation)
        tim3_in_flight_forget (&self->in_flight, taker_of (link, WORK));
    link->incarnation = agent->incarnation;
}

/*  What one asset's coordinators may have in flight is shared out evenly among those that take requests.  */
static void share_out (broker_t *self)
{
    for (unsigned i = 0; i < self->link_count; i++)
        self->links[i]->most = 0;
    for (unsigned i = 0; i < self->routes.count; i++) {
        const tim3_route_t *route = &self->routes.items[i];
        if (route->address.role != TIM3_ROLE_COORDINATOR)
            continue;
        uint32_t share = self->in_flight_most / tim3_routes_takers (&self->routes, i);
        self->links[route->link]->most += share > 0 ? share : 1;
    }
    for (unsigned i = 0; i < self->link_count; i++)
        tim3_in_flight_allow (&self->in_flight, taker_of (self->links[i], WORK), self->links[i]->most);
}

/*  Makes links and routes what the list says. The own core is reached whatever the list says.  */
static void follow_list (broker_t *self)
{
    const tim3_agent_t *agents = self->agents.items.items;
    if (!self->agents_fresh)
        return;
    self->agents_fresh = false;
    if (self->agents.generation == self->generation)
        return;
    self->generation = self->agents.generation;
    close_unwanted (self, agents);
    tim3_routes_clear (&self->routes);
    tim3_routes_add (&self->routes, s_name, true, OWN_LINK);
    for (uint32_t i = 0; i < self->agents.items.count; i++)
        if (agents[i].role != TIM3_ROLE_ROUTER) {
            unsigned link = link_to (self, agents[i].endpoint);
            tim3_routes_add (&self->routes, agents[i].name, agents[i].alive, link);
            forget_gone (self, self->links[link], &agents[i]);
        }
    share_out (self);
}

/*  ---------------------------------------------------------------------------------- answers of agents  */

static void take_answer (broker_t *self, unsigned link, tim3_envelope_t *envelope)
{
    const tim3_message_t *message = tim3_message (envelope->type);
    if (!message || message->of_class != TIM3_CLASS_REPLY) {
        count (&self->counters.answers_stray);
        return;
    }
    if (envelope->via_size > 0) {
        tim3_buffer_t *frame = tim3_clients_open (&self->clients, envelope->via, envelope->via_size);
        tim3_in_flight_remove (&self->in_flight, envelope->via, envelope->via_size, envelope->reply_to,
                               self->round_us);
        envelope->via_size = 0;
        tim3_envelope_write_raw (frame, envelope);
        count (&self->counters.answers);
        return;
    }
    if (link == OWN_LINK && envelope->type == TIM3_MSG_AGENTS)
        take_list (self, envelope);
    else
        count (&self->counters.answers_stray);
}

static void take_answers (broker_t *self, unsigned link, const uint8_t *data, size_t size)
{
    const uint8_t *at = data;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    int more;
    while ((more = tim3_envelope_read (&at, data + size, &envelope, &fault)) == 1)
        take_answer (self, link, &envelope);
    if (more < 0)
        count (&self->counters.answers_stray);
}

static void receive_answers (broker_t *self, unsigned link)
{
    void *socket = self->links[link]->watched.socket;
    zmq_msg_t payload;
    zmq_msg_init (&payload);
    bool got = zmq_msg_recv (&payload, socket, ZMQ_DONTWAIT) >= 0;
    if (got && zmq_msg_more (&payload)) {
        count (&self->counters.answers_stray);
        tim3_socket_drain (socket);
    } else if (got) {
        take_answers (self, link, zmq_msg_data (&payload), zmq_msg_size (&payload));
    }
    zmq_msg_close (&payload);
    self->links[link]->watched.look = got;
}

/*  -------------------------------------------------------------------------------- requests of clients  */

/*  NULL when it is no address.  */
static const tim3_address_t *parse_recipient (broker_t *self, const char *recipient)
{
    if (recipient[0] != '\0' && strcmp (recipient, self->recipient) == 0)
        return &self->parsed;
    self->recipient[0] = '\0'; /* none */
    if (!tim3_address_parse (recipient, &self->parsed))
        return NULL;
    strcpy (self->recipient, recipient);
    return &self->parsed;
}

/*  Whether clients may send this, and to such an agent. Fills error or the address, which is good until the next.  */
static bool admit (broker_t *self, const tim3_envelope_t *envelope, const tim3_address_t **to, tim3_error_t *error)
{
    const tim3_message_t *message = tim3_message (envelope->type);
    if (!message || message->of_class != TIM3_CLASS_REQUEST)
        tim3_error_fill (error, TIM3_UNKNOWN_MESSAGE,
                         "no request has the number %llu; see the table of messages",
                         (unsigned long long) envelope->type);
    else if (!(message->from & TIM3_FROM_CLIENT))
        tim3_error_fill (error, TIM3_NOT_ALLOWED, "clients may not send %s", message->name);
    else if (!(*to = parse_recipient (self, envelope->recipient)))
        tim3_error_fill (error, TIM3_INVALID_FIELD,
                         "recipient must be role, role.asset or role.asset.shard, as in coordinator.TIM3");
    else if (!(message->to & 1u << (*to)->role))
        tim3_error_fill (error, TIM3_UNKNOWN_MESSAGE, "%s is no message for a %s", message->name,
                         tim3_role_name ((*to)->role));
    else if (envelope->body_size > TIM3_REQUEST_BODY_MAX)
        tim3_error_fill (error, TIM3_TOO_LARGE, "the body is larger than %d bytes", TIM3_REQUEST_BODY_MAX);
    else
        return true;
    return false;
}

static void refuse_no_route (broker_t *self, const tim3_client_id_t *from, const tim3_envelope_t *asked)
{
    tim3_error_t error;
    tim3_error_fill (&error, TIM3_NO_ROUTE,
                     "no agent is there for %s: start it, or name an asset that it serves", asked->recipient);
    refuse (self, from, asked, &error);
    if (self->round_us >= self->listed_us + LIST_SOONEST_US)
        ask_for_list (self);
}

static void refuse_no_shard (broker_t *self, const tim3_client_id_t *from, const tim3_envelope_t *asked)
{
    tim3_error_t error;
    tim3_error_fill (&error, TIM3_INVALID_FIELD,
                     "%s has several shards: put the account into the envelope, or ask each, as in %s.0", asked->recipient,
                     asked->recipient);
    refuse (self, from, asked, &error);
}

/*  A request with a cursor is for a page of a list; work is what only coordinators take.  */
static kind_t kind_of (uint64_t type)
{
    const tim3_message_t *message = tim3_message (type);
    for (unsigned i = 0; i < message->shape->count; i++)
        if (strcmp (message->shape->fields[i].name, "cursor") == 0)
            return PAGES;
    return message->to == TIM3_FROM_COORDINATOR ? WORK : QUESTIONS;
}

/*  Passes a request on unless its agent has as many unanswered as it may have.  */
static void accept (broker_t *self, link_t *link, const tim3_client_id_t *from, tim3_envelope_t *envelope)
{
    uint32_t taker = taker_of (link, kind_of (envelope->type));
    if (tim3_in_flight_full (&self->in_flight, taker)) {
        refuse_overloaded (self, from, envelope);
        return;
    }
    tim3_in_flight_add (&self->in_flight, from->bytes, from->size, envelope->id, taker, self->round_us);
    pass_on (self, link, from, envelope);
}

static void take_request (broker_t *self, const tim3_client_id_t *from, tim3_envelope_t *envelope)
{
    tim3_hint_t hint = {envelope->account, from->bytes, from->size, is_ready, self};
    const tim3_address_t *to;
    tim3_error_t error;
    unsigned link;

    if (!admit (self, envelope, &to, &error)) {
        refuse (self, from, envelope, &error);
        return;
    }
    tim3_result_t result = tim3_routes_choose (&self->routes, to, &hint, &link);
    if (result == TIM3_OK)
        accept (self, self->links[link], from, envelope);
    else if (result == TIM3_OVERLOADED)
        refuse_overloaded (self, from, envelope);
    else if (result == TIM3_INVALID_FIELD)
        refuse_no_shard (self, from, envelope);
    else
        refuse_no_route (self, from, envelope);
}

static void refuse_rest (broker_t *self, const tim3_client_id_t *from, const tim3_envelope_t *envelope,
                         const tim3_fault_t *fault)
{
    tim3_error_t error;
    tim3_error_fill (&error, fault->code, "%s: %s; the rest of the frame was not looked at",
                     tim3_result_text (fault->code), fault->field);
    refuse (self, from, envelope, &error);
}

static void take_requests (broker_t *self, const tim3_client_id_t *from, const uint8_t *data, size_t size)
{
    const uint8_t *at = data;
    tim3_envelope_t envelope = {0};
    tim3_fault_t fault = {TIM3_MALFORMED, "nothing in it"};
    int more;

    for (int taken = 0; (more = tim3_envelope_read (&at, data + size, &envelope, &fault)) == 1; taken++) {
        if (taken == TIM3_ENVELOPES_MAX) {
            fault = (tim3_fault_t){TIM3_TOO_LARGE, "number of envelopes"};
            break;
        }
        take_request (self, from, &envelope);
    }
    if (more != 0 || size == 0)
        refuse_rest (self, from, &envelope, &fault);
}

/*  A routing id that does not fit the way back: the client can be told, but not served.  */
static void refuse_client (broker_t *self, const tim3_client_id_t *from)
{
    tim3_envelope_t nothing = {0};
    tim3_error_t error;
    tim3_error_fill (&error, TIM3_TOO_LARGE, "the connection's routing id is longer than %d bytes",
                     TIM3_VIA_MAX);
    refuse (self, from, &nothing, &error);
}

static void take_message (broker_t *self, const tim3_client_id_t *from, zmq_msg_t *payload)
{
    if (zmq_msg_more (payload)) {
        count (&self->counters.malformed);
        tim3_socket_drain (self->clients.front);
    } else if (from->size > TIM3_VIA_MAX) {
        refuse_client (self, from);
    } else {
        take_requests (self, from, zmq_msg_data (payload), zmq_msg_size (payload));
    }
}

static void receive_requests (broker_t *self)
{
    zmq_msg_t payload;
    tim3_client_id_t from;
    int size = zmq_recv (self->clients.front, from.bytes, sizeof from.bytes, ZMQ_DONTWAIT);
    self->front.look = size >= 0;
    if (size < 0)
        return;
    from.size = (size_t) size;
    zmq_msg_init (&payload);
    if (zmq_msg_recv (&payload, self->clients.front, ZMQ_DONTWAIT) >= 0)
        take_message (self, &from, &payload);
    zmq_msg_close (&payload);
}

/*  -------------------------------------------------------------------------------------------- the loop  */

/*  Answers first, for they finish work. A link that was signalled may have come, gone, or become free.  */
static void receive_all (broker_t *self)
{
    for (unsigned i = 0; i < self->link_count; i++) {
        link_t *link = self->links[i];
        if (link->watched.look)
            link->ready = READY_UNKNOWN;
        for (int frames = 0; frames < FRAMES_PER_ROUND && link->watched.look; frames++)
            receive_answers (self, i);
    }
    follow_list (self);
    for (int frames = 0; frames < FRAMES_PER_ROUND && self->front.look; frames++)
        receive_requests (self);
}

static void run_round (broker_t *self)
{
    receive_all (self);
    flush_links (self);
    if (tim3_clients_flush (&self->clients) > 0)
        tim3_watch_check (&self->front);
    atomic_store (&self->counters.answers_dropped, self->clients.dropped);
}

/*  Whether a socket is to be read again although its descriptor may not signal.  */
static bool something_waits (const broker_t *self)
{
    bool waits = self->front.look;
    for (unsigned i = 0; i < self->link_count && !waits; i++)
        waits = self->links[i]->watched.look;
    return waits;
}

/*  Looks whether clients were refused since the last time, and says so.  */
static void look_at_clients (broker_t *self)
{
    tim3_door_count_t clients = tim3_door_count (self->listener);
    if (clients.refused > self->clients_refused)
        self->refused_us = self->round_us;
    self->clients_refused = clients.refused;
    self->refusing = self->refused_us > 0 && self->round_us < self->refused_us + REFUSING_US;
    if (!self->refusing || (self->warned_us > 0 && self->round_us < self->warned_us + LOG_EVERY_US))
        return;
    self->warned_us = self->round_us;
    tim3_log (TIM3_WARN, "clients refused",
              "clients=%u clients_most=%u clients_refused=%llu what=\"" MANY_CLIENTS "\"", clients.connected,
              self->clients_most, (unsigned long long) clients.refused);
}

static void begin_round (broker_t *self)
{
    self->round_us = microseconds (CLOCK_MONOTONIC);
    self->round_time_us = microseconds (CLOCK_REALTIME);
    if (self->round_us >= self->listed_us + LIST_EVERY_US)
        ask_for_list (self);
    if (self->round_us < self->looked_us + LOOK_EVERY_US)
        return;
    tim3_in_flight_expire (&self->in_flight, self->round_us, self->give_up_us);
    tim3_in_flight_adapt (&self->in_flight, self->round_us - self->looked_us, self->within_us);
    self->looked_us = self->round_us;
    look_at_clients (self);
}

static void *run (void *argument)
{
    broker_t *self = argument;
    self->stop.look = false;
    while (!self->stop.look) {
        begin_round (self);
        run_round (self);
        log_drops (self, self->round_us);
        int wait = something_waits (self) ? 0 : LIST_EVERY_US / 1000;
        if (tim3_watch_wait (self->watch, wait) != 0 && errno != EINTR)
            tim3_fatal (TIM3_EXIT_RETRY, "the front cannot wait for messages: %s", strerror (errno));
    }
    return NULL;
}

/*  --------------------------------------------------------------------------------------- life and death  */

/*  Signals are for the agent's own thread.  */
static void start_thread (broker_t *self)
{
    sigset_t all;
    sigset_t before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    int error = pthread_create (&self->thread, NULL, run, self);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (error)
        tim3_fatal (TIM3_EXIT_RETRY, "cannot start the front's thread: %s", strerror (error));
    pthread_setname_np (self->thread, "front");
}

static void learn_shards (broker_t *self, const tim3_config_t *config)
{
    const char *asset;
    for (unsigned i = 0; (asset = tim3_config_asset (config, i)); i++)
        tim3_routes_shard (&self->routes, asset, (unsigned) tim3_config_u64 (config, "asset/*", "shards", asset));
}

void *tim3_broker_new (const tim3_place_t *place)
{
    broker_t *self = tim3_alloc (sizeof *self);
    size_t list_size = (TIM3_ROUTES_MAX + 1) * sizeof (tim3_agent_t);

    self->next_id = 1;
    self->queue_messages = (int) tim3_config_u64 (place->config, "router", "queue_messages", NULL);
    self->in_flight_most = (uint32_t) tim3_config_u64 (place->config, "router", "in_flight", NULL);
    self->within_us = tim3_config_u64 (place->config, "router", "answer_within_ms", NULL) * 1000;
    self->give_up_us = tim3_config_u64 (place->config, "router", "give_up_ms", NULL) * 1000;
    self->clients.unread.most = tim3_config_u64 (place->config, "router", "unread_mb", NULL) * MEBIBYTE;
    randombytes_buf (&self->clients.unread.secret, sizeof self->clients.unread.secret);
    randombytes_buf (&self->in_flight.secret, sizeof self->in_flight.secret);
    self->arena = (tim3_arena_t){tim3_alloc (list_size), list_size, 0};
    self->watch = tim3_watch_open ();
    self->context = zmq_ctx_new ();
    int stop = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    TIM3_ASSERT (stop >= 0 && self->context);
    tim3_watch_file (self->watch, &self->stop, stop);
    learn_shards (self, place->config);
    bind_front (self, place->front);
    limit_clients (self, (unsigned) tim3_config_u64 (place->config, "router", "clients", NULL));
    tim3_routes_add (&self->routes, s_name, true, link_to (self, place->endpoint));
    start_thread (self);
    tim3_log (TIM3_INFO, "front open", "endpoint=%s", place->front);
    return self;
}

void tim3_broker_destroy (void **self)
{
    broker_t *broker = *self;
    if (!broker)
        return;
    eventfd_write (broker->stop.file, 1);
    pthread_join (broker->thread, NULL);
    for (unsigned i = 0; i < broker->link_count; i++)
        close_link (broker, broker->links[i]);
    tim3_clients_clear (&broker->clients);
    zmq_close (broker->clients.front);
    zmq_ctx_term (broker->context);
    close (broker->stop.file);
    close (broker->watch);
    tim3_in_flight_clear (&broker->in_flight);
    tim3_buffer_free (&broker->refusal);
    tim3_buffer_free (&broker->overloaded);
    free (broker->arena.data);
    free (broker);
    *self = NULL;
}

void tim3_broker_stats (const void *self, tim3_report_t *report)
{
    const broker_t *broker = self;
    const tim3_broker_counters_t *at = &broker->counters;
    tim3_door_count_t clients = tim3_door_count (broker->listener);
    tim3_report_metric (report, TIM3_METRIC_front_clients, clients.connected);
    tim3_report_metric (report, TIM3_METRIC_front_clients_most, broker->clients_most);
    tim3_report_metric (report, TIM3_METRIC_front_clients_refused, clients.refused);
    tim3_report_metric (report, TIM3_METRIC_front_unread_bytes, broker->clients.unread.total);
#define C(name, text) tim3_report_counter (report, "front_" #name, at->name);
    TIM3_BROKER_COUNTERS (C)
#undef C
}

void tim3_broker_health (const void *self, tim3_report_t *report)
{
    const broker_t *broker = self;
    if (broker->refusing)
        tim3_report_reason (report, "clients_refused", 20,
                            "%u clients are connected, and others are refused; " MANY_CLIENTS,
                            tim3_door_count (broker->listener).connected);
}
