/*  clients.h - what is to go back to clients, gathered into one frame for each.

    Clients share a fixed number of places by the hash of their routing ids: one that comes to a place taken
    by another sends the other's answers off first. So memory is bounded, and nothing is allocated once warm
    but the frames that are sent. Of these a client that does not read gets no more than its part (unread.h).
*/
#ifndef TIM3_CLIENTS_H
#define TIM3_CLIENTS_H

#include "unread.h"
#include "base/bytes.h"

#define TIM3_CLIENTS 256
#define TIM3_CLIENT_ID_MAX 255

/*  The routing id of a client's connection.  */
typedef struct {
    uint8_t bytes[TIM3_CLIENT_ID_MAX];
    size_t size;
} tim3_client_id_t;

typedef struct {
    tim3_client_id_t id;
    tim3_buffer_t frame;
    bool open; /* since the last flush of all */
} tim3_client_t;

typedef struct {
    void *front;      /* the ROUTER socket */
    uint64_t dropped; /* frames for clients that are gone or do not read */
    tim3_unread_t unread;
    tim3_client_t places[TIM3_CLIENTS];
    uint16_t open[TIM3_CLIENTS]; /* places */
    unsigned open_count;
} tim3_clients_t;

/*  The buffer to append the next envelope for a client to; good until the next call.  */
tim3_buffer_t *tim3_clients_open (tim3_clients_t *self, const uint8_t *id, size_t id_size);
/*  Sends off all that was gathered; returns how many places were opened since the last time.  */
unsigned tim3_clients_flush (tim3_clients_t *self);
void tim3_clients_clear (tim3_clients_t *self);

#endif
