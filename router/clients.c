/*  clients.c - what is to go back to clients, gathered into one frame for each.  */
#include "clients.h"
#include "sockets.h"
#include "base/log.h"
#include "wire/envelope.h"

#include <string.h>
#include <zmq.h>

/*  False when the client has as much unread as it may have, or is gone.  */
static bool send_frame (tim3_clients_t *self, const tim3_client_id_t *to, const tim3_buffer_t *buffer)
{
    zmq_msg_t message;
    tim3_unread_frame_t *frame =
        tim3_unread_begin (&self->unread, to->bytes, to->size, buffer->data, buffer->size);
    if (!frame)
        return false;
    TIM3_ASSERT (zmq_msg_init_data (&message, frame->bytes, frame->size, tim3_unread_end, frame) == 0);
    if (zmq_send (self->front, to->bytes, to->size, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
        zmq_msg_send (&message, self->front, ZMQ_DONTWAIT) >= 0)
        return true;
    zmq_msg_close (&message);
    return false;
}

static void flush (tim3_clients_t *self, tim3_client_t *client)
{
    if (client->frame.size == 0)
        return;
    if (!send_frame (self, &client->id, &client->frame))
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
