/*  tim3client_connections.c - names connections, finds a free one, packs what goes out on each.  */
#include "tim3client.h"
#include "tim3client_connections.h"
#include "base/log.h"
#include "wire/envelope.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_MOST (8 * 1024 * 1024)
#define QUEUE_MOST 10000
#define NONE UINT_MAX

/*  What the socket calls a connection. A name must not begin with a zero.  */
typedef struct {
    uint8_t bytes[3];
} name_t;

_Static_assert(TIM3_CLIENT_CONNECTIONS_MAX <= UINT16_MAX + 1, "a name has two bytes for the number");

static name_t name_of (unsigned number)
{
    return (name_t){{1, (uint8_t) (number >> 8), (uint8_t) number}};
}

/*  ------------------------------------------------------------------------------------ opening, closing  */

static void set_option (void *socket, int option, int value)
{
    int failed = zmq_setsockopt (socket, option, &value, sizeof value);
    TIM3_ASSERT (!failed);
}

static void set_options (void *socket)
{
    int64_t most = REPLY_MOST;
    zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    set_option (socket, ZMQ_RECONNECT_IVL, 100);
    set_option (socket, ZMQ_RECONNECT_IVL_MAX, 1000);
    set_option (socket, ZMQ_LINGER, 200);
    set_option (socket, ZMQ_SNDHWM, QUEUE_MOST);
    set_option (socket, ZMQ_RCVHWM, QUEUE_MOST);
}

static int connect_one (void *socket, const char *endpoint, unsigned number)
{
    name_t name = name_of (number);
    int failed = zmq_setsockopt (socket, ZMQ_CONNECT_ROUTING_ID, name.bytes, sizeof name.bytes);
    TIM3_ASSERT (!failed);
    return zmq_connect (socket, endpoint);
}

int tim3_connections_open (tim3_connections_t *self, void *context, const char *endpoint, unsigned count)
{
    TIM3_ASSERT (count >= 1 && count <= TIM3_CLIENT_CONNECTIONS_MAX);
    *self = (tim3_connections_t){.socket = zmq_socket (context, ZMQ_ROUTER), .count = count};
    TIM3_ASSERT (self->socket);
    self->each = tim3_alloc (count * sizeof *self->each);
    self->unsent = tim3_alloc (count * sizeof *self->unsent);
    set_options (self->socket);
    for (unsigned i = 0; i < count; i++)
        if (connect_one (self->socket, endpoint, i))
            return -1;
    return 0;
}

void tim3_connections_close (tim3_connections_t *self)
{
    zmq_close (self->socket);
    for (unsigned i = 0; i < self->count; i++)
        tim3_buffer_free (&self->each[i].out);
    free (self->each);
    free (self->unsent);
}

/*  ------------------------------------------------------------------------------------------- choosing  */

/*  Not all of those that it may be can have more than their average, so the search ends. Where they have many, one may
    have an eighth more: so that what is submitted together leaves in one frame.  */
static unsigned take (tim3_connections_t *self, unsigned average, unsigned except)
{
    unsigned most = average + average / 8;
    while (self->next == except || self->each[self->next].under_way > most)
        self->next = self->next + 1 < self->count ? self->next + 1 : 0;
    self->each[self->next].under_way++;
    self->under_way++;
    return self->next;
}

unsigned tim3_connections_take (tim3_connections_t *self)
{
    return take (self, self->under_way / self->count, NONE);
}

unsigned tim3_connections_move (tim3_connections_t *self, unsigned from)
{
    if (self->count == 1)
        return from;
    unsigned others = self->under_way - self->each[from].under_way;
    tim3_connections_give_back (self, from);
    return take (self, others / (self->count - 1), from);
}

void tim3_connections_give_back (tim3_connections_t *self, unsigned number)
{
    self->each[number].under_way--;
    self->under_way--;
}

/*  ------------------------------------------------------------------------------------------- frames  */

/*  Tried again where a signal came: after a name without its frame, the socket would take the next name for one.  */
static bool send_part (void *socket, const void *data, size_t size, int flags)
{
    int sent;
    while ((sent = zmq_send (socket, data, size, flags | ZMQ_DONTWAIT)) < 0 && errno == EINTR)
        ;
    return sent >= 0;
}

/*  A full queue means that nobody has been there for long; then the socket drops it, and sending again covers it.  */
static void send_all (tim3_connections_t *self, unsigned number)
{
    tim3_connection_t *connection = &self->each[number];
    name_t name = name_of (number);
    if (send_part (self->socket, name.bytes, sizeof name.bytes, ZMQ_SNDMORE))
        send_part (self->socket, connection->out.data, connection->out.size, 0);
    tim3_buffer_clear (&connection->out);
    connection->out_count = 0;
}

void tim3_connections_add (tim3_connections_t *self, unsigned number, const tim3_buffer_t *message)
{
    tim3_connection_t *connection = &self->each[number];
    if (connection->out_count > 0 && (connection->out.size + message->size > TIM3_FRAME_GOAL ||
                                      connection->out_count == TIM3_ENVELOPES_MAX))
        send_all (self, number);
    else if (connection->out_count == 0)
        self->unsent[self->unsent_count++] = number;
    tim3_buffer_append (&connection->out, message->data, message->size);
    connection->out_count++;
}

void tim3_connections_flush (tim3_connections_t *self)
{
    for (unsigned i = 0; i < self->unsent_count; i++)
        send_all (self, self->unsent[i]);
    self->unsent_count = 0;
}

static bool receive_part (void *socket, zmq_msg_t *part)
{
    int received;
    while ((received = zmq_msg_recv (part, socket, ZMQ_DONTWAIT)) < 0 && errno == EINTR)
        ;
    return received >= 0;
}

/*  Of a message with more parts than a name and a frame, the last counts, which will be refused if it is none.  */
bool tim3_connections_receive (tim3_connections_t *self, zmq_msg_t *frame)
{
    zmq_msg_init (frame);
    bool got = receive_part (self->socket, frame);
    while (got && zmq_msg_more (frame))
        got = receive_part (self->socket, frame);
    if (!got)
        zmq_msg_close (frame);
    return got;
}
