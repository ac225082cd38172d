/*  sockets.c - what the broker's sockets have in common: bounds, time-outs, and sending a gathered frame.  */
#include "sockets.h"
#include "base/log.h"
#include "base/loopback.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#define BUFFER_KEPT (64 * 1024)
#define LINGER_MS 200
#define HANDSHAKE_MS 5000
#define HEARTBEAT_MS 5000
#define HEARTBEAT_TIMEOUT_MS 15000

void tim3_socket_set (void *socket, int option, int value)
{
    if (zmq_setsockopt (socket, option, &value, sizeof value) != 0)
        tim3_fatal (TIM3_EXIT_PERMANENT, "cannot set socket option %d: %s", option, zmq_strerror (errno));
}

void *tim3_socket_new (void *context, int type, int queue, int64_t frame_max)
{
    void *socket = zmq_socket (context, type);
    if (!socket)
        tim3_fatal (TIM3_EXIT_RETRY, "cannot make a socket: %s; raise the limit of open files",
                    zmq_strerror (errno));
    tim3_socket_set (socket, ZMQ_LINGER, LINGER_MS);
    tim3_socket_set (socket, ZMQ_SNDHWM, queue);
    tim3_socket_set (socket, ZMQ_RCVHWM, queue);
    tim3_socket_set (socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    tim3_socket_set (socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
    tim3_socket_set (socket, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS);
    if (zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max) != 0)
        tim3_fatal (TIM3_EXIT_PERMANENT, "cannot bound frames: %s", zmq_strerror (errno));
    return socket;
}

/*  ZeroMQ tells which descriptor listens only as an event, in zmq_bind itself: its number, and then its value.  */
static int take_listener (void *events)
{
    uint8_t event[sizeof (uint16_t) + sizeof (uint32_t)];
    uint32_t listener;
    TIM3_ASSERT (zmq_recv (events, event, sizeof event, 0) == sizeof event);
    memcpy (&listener, event + sizeof (uint16_t), sizeof listener);
    return (int) listener;
}

/*  Whether somebody listens there. ZeroMQ deletes the file of an ipc endpoint before it binds, so that whoever had it
    would hear of nobody any more.  */
static bool is_served (const char *endpoint)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = tim3_endpoint_path (endpoint);
    if (!path || strlen (path) >= sizeof address.sun_path)
        return false;
    strcpy (address.sun_path, path);
    int probe = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool served = probe >= 0 && (connect (probe, (struct sockaddr *) &address, sizeof address) == 0 ||
                                 errno == EAGAIN); /* as many wait there as may */
    if (probe >= 0)
        close (probe);
    return served;
}

int tim3_socket_bind (void *context, void *socket, const char *endpoint)
{
    if (is_served (endpoint)) {
        errno = EADDRINUSE;
        return -1;
    }
    static const char told[] = "inproc://bound";
    void *events = zmq_socket (context, ZMQ_PAIR);
    TIM3_ASSERT (events && zmq_socket_monitor (socket, told, ZMQ_EVENT_LISTENING) == 0);
    TIM3_ASSERT (zmq_connect (events, told) == 0);
    bool bound = zmq_bind (socket, endpoint) == 0;
    int why = errno;
    int listener = bound ? take_listener (events) : -1;
    zmq_socket_monitor (socket, NULL, 0);
    zmq_close (events);
    errno = why;
    return listener;
}

int tim3_socket_send (void *socket, const tim3_buffer_t *buffer)
{
    zmq_msg_t message;
    TIM3_ASSERT (zmq_msg_init_size (&message, buffer->size) == 0);
    memcpy (zmq_msg_data (&message), buffer->data, buffer->size);
    if (zmq_msg_send (&message, socket, ZMQ_DONTWAIT) >= 0)
        return 0;
    zmq_msg_close (&message);
    return -1;
}

void tim3_socket_release (tim3_buffer_t *buffer)
{
    if (buffer->capacity > BUFFER_KEPT)
        tim3_buffer_free (buffer);
    tim3_buffer_clear (buffer);
}

void tim3_socket_drain (void *socket)
{
    zmq_msg_t part;
    zmq_msg_init (&part);
    while (zmq_msg_recv (&part, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more (&part))
        ;
    zmq_msg_close (&part);
}
