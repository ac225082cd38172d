/*  envelope.c - writes and reads envelopes.  */
#include "wire/envelope.h"
#include "wire/reader.h"
#include "wire/writer.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PLACES 10

/*  Most bytes of all that stands in front of a body: six numbers, four texts, three times bytes.  */
#define HEAD_MOST                                                                                        \
    (16 * TIM3_PUT_MOST + 2 * TIM3_PUT_TEXT (TIM3_ADDRESS_MAX) + sizeof (tim3_id_t) + sizeof "account" + \
     TIM3_PUT_TEXT (TIM3_ACCOUNT_MAX) + sizeof "via" + TIM3_VIA_MAX)

static uint8_t *put_name (uint8_t *at, const char *name, size_t length)
{
    return tim3_put_bytes (tim3_put_str (at, length), name, length);
}

static uint8_t *put_bytes (uint8_t *at, const void *data, size_t size)
{
    return tim3_put_bytes (tim3_put_bin (at, size), data, size);
}

static uint8_t *put_metadata (uint8_t *at, const tim3_envelope_t *envelope)
{
    at = tim3_put_map (at, (envelope->account[0] ? 1u : 0u) + (envelope->via_size > 0 ? 1u : 0u));
    if (envelope->account[0]) {
        at = put_name (at, "account", sizeof "account" - 1);
        at = tim3_put_text (at, envelope->account, TIM3_ACCOUNT_MAX);
    }
    if (envelope->via_size > 0) {
        at = put_name (at, "via", sizeof "via" - 1);
        at = put_bytes (at, envelope->via, envelope->via_size);
    }
    return at;
}

static void write_head (tim3_buffer_t *buffer, const tim3_envelope_t *envelope)
{
    TIM3_ASSERT (envelope->via_size <= TIM3_VIA_MAX);
    uint8_t *at = tim3_buffer_room (buffer, HEAD_MOST);
    at = tim3_put_array (at, PLACES);
    at = tim3_put_u64 (at, TIM3_PROTOCOL_VERSION);
    at = tim3_put_u64 (at, envelope->type);
    at = tim3_put_u64 (at, envelope->id);
    at = tim3_put_text (at, envelope->sender, TIM3_ADDRESS_MAX);
    at = tim3_put_text (at, envelope->recipient, TIM3_ADDRESS_MAX);
    at = tim3_put_u64 (at, envelope->time_us);
    at = tim3_put_u64 (at, envelope->reply_to);
    at = tim3_id_is_zero (&envelope->trace) ? tim3_put_nil (at)
                                            : put_bytes (at, &envelope->trace, sizeof envelope->trace);
    tim3_buffer_filled (buffer, put_metadata (at, envelope));
}

void tim3_envelope_write (tim3_buffer_t *buffer, const tim3_envelope_t *envelope, const void *body)
{
    const tim3_message_t *message = tim3_message (envelope->type);
    TIM3_ASSERT (message);
    write_head (buffer, envelope);
    tim3_encode_map (buffer, message->shape, body);
}

void tim3_envelope_write_raw (tim3_buffer_t *buffer, const tim3_envelope_t *envelope)
{
    write_head (buffer, envelope);
    tim3_buffer_append (buffer, envelope->body, envelope->body_size);
}

static bool read_text (tim3_reader_t *reader, char *text, size_t most)
{
    const char *data;
    uint32_t size;
    if (!tim3_read_str (reader, &data, &size) || size > most || !tim3_is_text (data, size))
        return false;
    memcpy (text, data, size);
    text[size] = '\0';
    return true;
}

static bool read_trace (tim3_reader_t *reader, tim3_id_t *trace)
{
    const uint8_t *data;
    uint32_t size;
    if (tim3_read_nil (reader))
        return true;
    if (!tim3_read_bin (reader, &data, &size) || size != sizeof trace->bytes)
        return false;
    memcpy (trace->bytes, data, size);
    return true;
}

static bool read_via (tim3_reader_t *reader, tim3_envelope_t *envelope)
{
    const uint8_t *data;
    uint32_t size;
    if (!tim3_read_bin (reader, &data, &size) || size > sizeof envelope->via)
        return false;
    memcpy (envelope->via, data, size);
    envelope->via_size = (uint8_t) size;
    return true;
}

static bool read_metadata (tim3_reader_t *reader, tim3_envelope_t *envelope)
{
    uint32_t count;
    if (!tim3_read_map (reader, &count) || count > 16)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const char *name;
        uint32_t size;
        bool taken;
        if (!tim3_read_str (reader, &name, &size))
            return false;
        if (size == 7 && memcmp (name, "account", 7) == 0)
            taken = read_text (reader, envelope->account, TIM3_ACCOUNT_MAX);
        else if (size == 3 && memcmp (name, "via", 3) == 0)
            taken = read_via (reader, envelope);
        else
            taken = tim3_read_skip (reader);
        if (!taken)
            return false;
    }
    return true;
}

static int refuse (tim3_fault_t *fault, tim3_result_t code, const char *field)
{
    *fault = (tim3_fault_t){code, field};
    return -1;
}

/*  The ten places, in order.  */
static int read_places (tim3_reader_t *reader, tim3_envelope_t *envelope, tim3_fault_t *fault)
{
    /* the id stands in the same place in every version, so that a wrong one can be answered */
    if (!tim3_read_u64 (reader, &envelope->version))
        return refuse (fault, TIM3_MALFORMED, "version");
    if (!tim3_read_u64 (reader, &envelope->type))
        return refuse (fault, TIM3_MALFORMED, "type");
    if (!tim3_read_u64 (reader, &envelope->id) || envelope->id == 0)
        return refuse (fault, TIM3_MALFORMED, "id");
    if (envelope->version != TIM3_PROTOCOL_VERSION)
        return refuse (fault, TIM3_BAD_VERSION, "version");
    if (!read_text (reader, envelope->sender, TIM3_ADDRESS_MAX))
        return refuse (fault, TIM3_MALFORMED, "sender");
    if (!read_text (reader, envelope->recipient, TIM3_ADDRESS_MAX))
        return refuse (fault, TIM3_MALFORMED, "recipient");
    if (!tim3_read_u64 (reader, &envelope->time_us))
        return refuse (fault, TIM3_MALFORMED, "time_us");
    if (!tim3_read_u64 (reader, &envelope->reply_to))
        return refuse (fault, TIM3_MALFORMED, "reply_to");
    if (!read_trace (reader, &envelope->trace))
        return refuse (fault, TIM3_MALFORMED, "trace");
    if (!read_metadata (reader, envelope))
        return refuse (fault, TIM3_MALFORMED, "metadata");
    return 0;
}

/*  Of what is left out, and of what stands behind a fault.  */
static void clear (tim3_envelope_t *envelope)
{
    envelope->version = envelope->type = envelope->id = 0;
    envelope->sender[0] = envelope->recipient[0] = envelope->account[0] = '\0';
    envelope->time_us = envelope->reply_to = 0;
    memset (&envelope->trace, 0, sizeof envelope->trace);
    envelope->via_size = 0;
    envelope->body = NULL;
    envelope->body_size = 0;
}

static const uint8_t *take_trace (const uint8_t *at, const uint8_t *end, tim3_id_t *trace)
{
    return at < end && *at == 0xc0 ? at + 1 : tim3_take_fixed (at, end, trace, sizeof *trace);
}

/*  The size and what follows.  */
static const uint8_t *take_via (const uint8_t *at, const uint8_t *end, tim3_envelope_t *envelope)
{
    size_t size = *at++;
    if (size > sizeof envelope->via || (size_t) (end - at) < size)
        return NULL;
    memcpy (envelope->via, at, size);
    envelope->via_size = (uint8_t) size;
    return at + size;
}

/*  As the encoder here writes it: the account first.  */
static const uint8_t *take_metadata (const uint8_t *at, const uint8_t *end, tim3_envelope_t *envelope)
{
    static const char account[] = "\xa7"
                                  "account";
    static const char via[] = "\xa3via\xc4";
    if (at == end || (*at & 0xf0) != 0x80)
        return NULL;
    unsigned count = *at++ & 15u;
    if (count > 0 && (size_t) (end - at) >= sizeof account && memcmp (at, account, sizeof account - 1) == 0) {
        at = tim3_take_text (at + sizeof account - 1, end, envelope->account, TIM3_ACCOUNT_MAX);
        count--;
    }
    if (at && count > 0 && (size_t) (end - at) >= sizeof via && memcmp (at, via, sizeof via - 1) == 0) {
        at = take_via (at + sizeof via - 1, end, envelope);
        count--;
    }
    return count == 0 ? at : NULL;
}

/*  The ten places as agents write them, up to the body, which is returned; NULL when anything is another way, be it right or
    not.  */
static const uint8_t *take_places (const uint8_t *at, const uint8_t *end, tim3_envelope_t *envelope)
{
    if (*at++ != (0x90 | PLACES))
        return NULL;
    bool taken = (at = tim3_take_u64 (at, end, &envelope->version)) &&
                 (at = tim3_take_u64 (at, end, &envelope->type)) &&
                 (at = tim3_take_u64 (at, end, &envelope->id)) &&
                 (at = tim3_take_text (at, end, envelope->sender, TIM3_ADDRESS_MAX)) &&
                 (at = tim3_take_text (at, end, envelope->recipient, TIM3_ADDRESS_MAX)) &&
                 (at = tim3_take_u64 (at, end, &envelope->time_us)) &&
                 (at = tim3_take_u64 (at, end, &envelope->reply_to)) &&
                 (at = take_trace (at, end, &envelope->trace)) && (at = take_metadata (at, end, envelope));
    return taken && envelope->version == TIM3_PROTOCOL_VERSION && envelope->id != 0 ? at : NULL;
}

int tim3_envelope_begin (const uint8_t *at, const uint8_t *end, tim3_envelope_t *envelope,
                         tim3_fault_t *fault)
{
    tim3_reader_t reader = {at, end};
    uint32_t count;

    if (at == end)
        return 0;
    clear (envelope);
    envelope->body = take_places (at, end, envelope);
    if (envelope->body)
        return 1;
    clear (envelope);
    if (!tim3_read_array (&reader, &count) || count != PLACES)
        return refuse (fault, TIM3_MALFORMED, "envelope");
    if (read_places (&reader, envelope, fault))
        return -1;
    envelope->body = reader.at;
    return 1;
}

int tim3_envelope_end (const uint8_t **at, const uint8_t *end, tim3_envelope_t *envelope, tim3_fault_t *fault)
{
    tim3_reader_t reader = {envelope->body, end};
    if (!tim3_read_skip (&reader))
        return refuse (fault, TIM3_MALFORMED, "body");
    envelope->body_size = (size_t) (reader.at - envelope->body);
    *at = reader.at;
    return 1;
}

int tim3_envelope_read (const uint8_t **at, const uint8_t *end, tim3_envelope_t *envelope,
                        tim3_fault_t *fault)
{
    int more = tim3_envelope_begin (*at, end, envelope, fault);
    return more > 0 ? tim3_envelope_end (at, end, envelope, fault) : more;
}

void tim3_error_fill (tim3_error_t *error, tim3_result_t code, const char *format, ...)
{
    va_list arguments;
    memset (error, 0, sizeof *error);
    error->code = code;
    snprintf (error->name, sizeof error->name, "%s", tim3_result_name (code));
    snprintf (error->advice, sizeof error->advice, "%s", tim3_advice_name (tim3_result_advice (code)));
    if (!format) {
        snprintf (error->text, sizeof error->text, "%s", tim3_result_text (code));
        return;
    }
    va_start (arguments, format);
    vsnprintf (error->text, sizeof error->text, format, arguments);
    va_end (arguments);
}
