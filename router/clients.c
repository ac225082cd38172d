/*  clients.c - what is to go back to clients, gathered into one frame for each.  */
#include "clients.h"
#include "sockets.h"
#include "wire/envelope.h"

#include <string.h>
#include <zmq.h>

static void flush (tim3_clients_t *self, tim3_client_t *client)
{
    if (client->frame.size == 0)
        return;
    if (zmq_send (self->front, client->id.bytes, client->id.size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        tim3_socket_send (self->front, &client->frame))
        self->dropped++;
    tim3_socket_release (&client->frame);
}

unsigned tim3_clients_flush (tim3_clients_t *self)
{
    unsigned count = self->open_count;
    for (unsigned i = 0; i < count; i++) {
        tim3_client_t *client = &self->places[self->open[i]];
        flush (self, client);
        client->open = false;
    }
    self->open_count = 0;
    return count;
}

tim3_buffer_t *tim3_clients_open (tim3_clients_t *self, const uint8_t *id, size_t id_size)
{
    unsigned place = (unsigned) (tim3_hash64 (id, id_size, 0) % TIM3_CLIENTS);
    tim3_client_t *client = &self->places[place];
    bool same = client->id.size == id_size && memcmp (client->id.bytes, id, id_size) == 0;
    if (!same || client->frame.size >= TIM3_FRAME_GOAL)
        flush (self, client);
    if (!same) {
        memcpy (client->id.bytes, id, id_size);
        client->id.size = id_size;
    }
    if (!client->open)
        self->open[self->open_count++] = (uint16_t) place;
    client->open = true;
    return &client->frame;
}

void tim3_clients_clear (tim3_clients_t *self)
{
    for (unsigned i = 0; i < TIM3_CLIENTS; i++)
        tim3_buffer_free (&self->places[i].frame);
}
