/*  envelope.h - what goes around every message.

    On the wire an envelope is a MessagePack array of ten:

        [version, type, id, sender, recipient, time_us, reply_to, trace, metadata, body]

    version   1                             time_us   sender's clock, microseconds
    type      message number                reply_to  id of the message this one answers, 0 for none
    id        chosen by the sender, not 0   trace     16 bytes carried along a whole operation, or nil
    sender    address, or "client"          metadata  map; "account" (text) helps the router choose,
    recipient address or route                        "via" (bytes) is the router's way back, echoed as it is
                                            body      map, see messages.h

    One ZeroMQ message holds any number of envelopes back to back, up to the limits below.
*/
#ifndef TIM3_ENVELOPE_H
#define TIM3_ENVELOPE_H

#include "wire/messages.h"

#define TIM3_FRAME_MAX (1024 * 1024)
/*  Where whoever gathers envelopes ends a frame and begins another. A frame is taken whole, so that a longer one holds up everybody
    behind it: a thousand mints in one pass through all agents as one, of which only one works at a time.  */
#define TIM3_FRAME_GOAL (32 * 1024)
#define TIM3_ENVELOPES_MAX 8192
/*  Of a client's request: several times what any needs. So what is bounded in number is bounded in bytes too.  */
#define TIM3_REQUEST_BODY_MAX 4096
#define TIM3_VIA_MAX 32

typedef struct {
    uint64_t version;
    uint64_t type;
    uint64_t id;
    char sender[TIM3_ADDRESS_MAX + 1];
    char recipient[TIM3_ADDRESS_MAX + 1];
    uint64_t time_us;
    uint64_t reply_to;
    tim3_id_t trace;
    char account[TIM3_ACCOUNT_MAX + 1];
    uint8_t via[TIM3_VIA_MAX];
    uint8_t via_size;
    const uint8_t *body; /* points into the frame; not looked into */
    size_t body_size;
} tim3_envelope_t;

/*  Appends one envelope with the body encoded from a struct of the shape of its type.  */
void tim3_envelope_write (tim3_buffer_t *buffer, const tim3_envelope_t *envelope, const void *body);
/*  Appends one envelope with envelope->body as it is.  */
void tim3_envelope_write_raw (tim3_buffer_t *buffer, const tim3_envelope_t *envelope);

/*  Takes the next envelope off [*at, end). Returns 1 and moves *at; 0 at the end; -1 with fault set: the
    rest of the frame cannot be read, but fields up to the fault are filled so that an error can be sent.  */
int tim3_envelope_read (const uint8_t **at, const uint8_t *end, tim3_envelope_t *envelope,
                        tim3_fault_t *fault);

/*  The same in two steps, for one who may find the body's end himself by decoding it (tim3_take_map), and then need not call the second:
    the first does not move at, and leaves body_size open; the second passes over the body.  */
int tim3_envelope_begin (const uint8_t *at, const uint8_t *end, tim3_envelope_t *envelope,
                         tim3_fault_t *fault);
int tim3_envelope_end (const uint8_t **at, const uint8_t *end, tim3_envelope_t *envelope,
                       tim3_fault_t *fault);

/*  Fills an error body. format tells people more than the result's own text; NULL for that alone.  */
void tim3_error_fill (tim3_error_t *error, tim3_result_t code, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

#endif
