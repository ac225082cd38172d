/*  tim3client_connections.h - one connection to the router or many, for tim3client.c alone.

    All are of one ZeroMQ socket, a ROUTER, which reaches each connection by its name: so one wake-up serves answers that came on
    any of them. To the router each is a client of its own.
*/
#ifndef TIM3CLIENT_CONNECTIONS_H
#define TIM3CLIENT_CONNECTIONS_H

#include "base/bytes.h"

#include <stdbool.h>
#include <zmq.h>

typedef struct {
    tim3_buffer_t out; /* what has not been sent */
    unsigned out_count;
    unsigned under_way;
} tim3_connection_t;

typedef struct {
    void *socket;
    tim3_connection_t *each;
    unsigned count;
    unsigned next; /* where the search for a free one begins */
    unsigned under_way;
    unsigned *unsent; /* numbers of those that have something to send */
    unsigned unsent_count;
} tim3_connections_t;

/*  -1 when the endpoint cannot be used; errno is ZeroMQ's.  */
int tim3_connections_open (tim3_connections_t *self, void *context, const char *endpoint, unsigned count);
void tim3_connections_close (tim3_connections_t *self);

/*  For a request: the number of a connection that has no more of them under way than they have on average, or an
    eighth more than that.  */
unsigned tim3_connections_take (tim3_connections_t *self);
/*  For a request that got no answer on one, which may be dead for good: that of another, where there are several.  */
unsigned tim3_connections_move (tim3_connections_t *self, unsigned from);
/*  It is answered, or given up.  */
void tim3_connections_give_back (tim3_connections_t *self, unsigned number);

/*  Gathers an envelope. It leaves with the next flush, or when there is enough for a frame.  */
void tim3_connections_add (tim3_connections_t *self, unsigned number, const tim3_buffer_t *message);
void tim3_connections_flush (tim3_connections_t *self);

/*  The next frame from any of them; frame is to be closed. False when there is none now.  */
bool tim3_connections_receive (tim3_connections_t *self, zmq_msg_t *frame);

#endif
