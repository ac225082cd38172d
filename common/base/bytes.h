/*  bytes.h - identifiers, growable buffers and hexadecimal text.  */
#ifndef TIM3_BYTES_H
#define TIM3_BYTES_H

#include "base/linkage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

TIM3_C_BEGIN

/*  A permanent 128-bit identifier: of a transaction, a store, a trace.  */
typedef struct {
    uint8_t bytes[16];
} tim3_id_t;

#define TIM3_ID_TEXT_MAX 33

/*  A keyed message authentication code: what a receipt is on the wire.  */
typedef struct {
    uint8_t bytes[32];
} tim3_mac_t;

static inline bool tim3_id_equal (const tim3_id_t *a, const tim3_id_t *b)
{
    uint64_t halves[2][2];
    memcpy (halves[0], a, sizeof *a);
    memcpy (halves[1], b, sizeof *b);
    return halves[0][0] == halves[1][0] && halves[0][1] == halves[1][1];
}

static inline bool tim3_id_is_zero (const tim3_id_t *id)
{
    uint64_t halves[2];
    memcpy (halves, id, sizeof *id);
    return (halves[0] | halves[1]) == 0;
}

char *tim3_id_format (const tim3_id_t *id, char text[TIM3_ID_TEXT_MAX]);
bool tim3_id_parse (const char *text, tim3_id_t *id);

/*  The identifier of a transaction: hash128 (asset, account, request id), each with its length in front and no longer than may be. Where the request id tells its
    time, the first four bytes are the second of it, big-endian, instead of the hash's: rows that are made together lie together then,
    and a checkpoint writes few pages. 96 bits of hash are left, so nobody meets another's.  */
tim3_id_t tim3_tx_id (const char *asset, const char *account, const char *request_id);

/*  A stable 64-bit hash of a text, for slots and rendezvous.  */
uint64_t tim3_hash64 (const void *data, size_t size, uint64_t seed);

/*  Growable bytes. A zeroed struct is an empty buffer; memory exhaustion is fatal.  */
typedef struct {
    uint8_t *data;
    size_t size;
    size_t capacity;
} tim3_buffer_t;

void tim3_buffer_append (tim3_buffer_t *self, const void *data, size_t size);
void tim3_buffer_clear (tim3_buffer_t *self);
void tim3_buffer_free (tim3_buffer_t *self);
void tim3_buffer_grow (tim3_buffer_t *self, size_t size);

/*  Room for size bytes behind what is there, for whoever writes them itself and then says where they end.  */
static inline uint8_t *tim3_buffer_room (tim3_buffer_t *self, size_t size)
{
    if (self->capacity - self->size < size)
        tim3_buffer_grow (self, size);
    return self->data + self->size;
}

static inline void tim3_buffer_filled (tim3_buffer_t *self, const uint8_t *end)
{
    self->size = (size_t) (end - self->data);
}

/*  Lower-case hexadecimal; text holds 2 * size + 1 bytes.  */
char *tim3_hex_format (const uint8_t *data, size_t size, char *text);
/*  Returns the number of bytes, or -1 when it is not hexadecimal or longer than capacity.  */
int tim3_hex_parse (const char *text, uint8_t *data, size_t capacity);

/*  Memory or death: never NULL.  */
void *tim3_alloc (size_t size);

TIM3_C_END

#endif
