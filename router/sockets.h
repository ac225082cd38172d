/*  sockets.h - what the broker's sockets have in common: bounds, time-outs, and sending a gathered frame.  */
#ifndef TIM3_SOCKETS_H
#define TIM3_SOCKETS_H

#include "base/bytes.h"

/*  Fatal when it cannot be made. queue: frames that may wait in each direction of each connection.  */
void *tim3_socket_new (void *context, int type, int queue, int64_t frame_max);
/*  Binds, and returns the descriptor that listens; -1 with errno, EADDRINUSE also where another process listens on an ipc
    endpoint.  */
int tim3_socket_bind (void *context, void *socket, const char *endpoint);
void tim3_socket_set (void *socket, int option, int value);

/*  Sends a copy of the buffer as the last part of a message. -1 when the socket does not take it now.  */
int tim3_socket_send (void *socket, const tim3_buffer_t *buffer);
/*  Empties a buffer that was sent; memory that a burst needed is not kept for good.  */
void tim3_socket_release (tim3_buffer_t *buffer);
/*  Reads and drops what is left of a message with too many parts.  */
void tim3_socket_drain (void *socket);

#endif
