/*  codec.c - targets for what stands between the wire or the disk and a struct.  */
#include "fuzz.h"
#include "sample.h"
#include "store/store.h"
#include "wire/reader.h"

#include <msgpack.h>
#include <string.h>

#define ARENA (4 * 1024 * 1024)
#define OBJECT_MAX 4096

static uint8_t s_memory[ARENA];
static _Alignas(16) uint8_t s_object[OBJECT_MAX];

static tim3_arena_t fresh_arena (void)
{
    return (tim3_arena_t){s_memory, sizeof s_memory, 0};
}

/*  ------------------------------------------------------------------------------------------- the cursor  */

/*  No reader may move the cursor when it fails, nor past the end when it does not.  */
static void try_readers (const uint8_t *data, size_t size)
{
    const tim3_reader_t start = {data, data + size};
    const char *text;
    const uint8_t *bytes;
    uint64_t number;
    uint32_t count;
    bool flag;
#define TRY(call)                                                             \
    do {                                                                      \
        tim3_reader_t reader = start;                                         \
        bool taken = call;                                                    \
        FUZZ_CHECK (reader.at <= data + size && taken == (reader.at > data)); \
    } while (0)
    TRY (tim3_read_u64 (&reader, &number));
    TRY (tim3_read_bool (&reader, &flag));
    TRY (tim3_read_str (&reader, &text, &count) && text + count == (const char *) reader.at);
    TRY (tim3_read_bin (&reader, &bytes, &count) && bytes + count == reader.at);
    TRY (tim3_read_array (&reader, &count));
    TRY (tim3_read_map (&reader, &count));
    TRY (tim3_read_nil (&reader));
    TRY (tim3_read_skip (&reader));
#undef TRY
}

/*  msgpack-c must see a value of the same length. Only what skip has passed is shown to it: that is
    bounded.  */
static void check_length (const uint8_t *data, size_t size, size_t taken)
{
    msgpack_unpacked result;
    size_t at = 0;
    msgpack_unpacked_init (&result);
    msgpack_unpack_return told = msgpack_unpack_next (&result, (const char *) data, size, &at);
    FUZZ_CHECK (told == MSGPACK_UNPACK_SUCCESS || told == MSGPACK_UNPACK_EXTRA_BYTES);
    FUZZ_CHECK (at == taken);
    msgpack_unpacked_destroy (&result);
}

void fuzz_run_skip (const uint8_t *data, size_t size)
{
    tim3_reader_t reader = {data, data + size};
    while (reader.at < reader.end) {
        const uint8_t *start = reader.at;
        try_readers (start, (size_t) (reader.end - start));
        if (!tim3_read_skip (&reader))
            return;
        check_length (start, (size_t) (reader.end - start), (size_t) (reader.at - start));
    }
}

void fuzz_seed_skip (fuzz_keep_fn *keep, void *context)
{
    static const char scalars[] = "\xc0\xc2\xc3\x7f\xe0\xcc\xff\xcd\xff\xff\xd0\x80\xd1\x80\x00";
    static const char wide[] = "\xce\0\0\0\1\xcf\0\0\0\0\0\0\0\1\xca\0\0\0\0\xcb\0\0\0\0\0\0\0\0";
    static const char texts[] = "\xa3xyz\xd9\1x\xda\0\1x\xdb\0\0\0\1x\xc4\1x\xc5\0\1x\xc6\0\0\0\1x";
    static const char others[] =
        "\xd4\1x\xd5\1xy\xc7\1\1x\xc8\0\1\1x\x92\1\x91\1\x81\1\xdc\0\1\1\xde\0\1\1\1";
    keep (context, scalars, sizeof scalars - 1);
    keep (context, wide, sizeof wide - 1);
    keep (context, texts, sizeof texts - 1);
    keep (context, others, sizeof others - 1);
}

/*  ------------------------------------------------------------------------------------------- envelopes  */

/*  Every member but where the body lies.  */
static bool same_envelope (const tim3_envelope_t *a, const tim3_envelope_t *b)
{
    return a->type == b->type && a->id == b->id && a->time_us == b->time_us && a->reply_to == b->reply_to &&
           strcmp (a->sender, b->sender) == 0 && strcmp (a->recipient, b->recipient) == 0 &&
           strcmp (a->account, b->account) == 0 && tim3_id_equal (&a->trace, &b->trace) &&
           a->via_size == b->via_size && memcmp (a->via, b->via, a->via_size) == 0 &&
           a->body_size == b->body_size && memcmp (a->body, b->body, a->body_size) == 0;
}

static void check_envelope (const tim3_envelope_t *envelope)
{
    const tim3_message_t *message = tim3_message (envelope->type);
    tim3_arena_t arena = fresh_arena ();
    tim3_buffer_t buffer = {0};
    tim3_envelope_t back;
    tim3_fault_t fault;

    tim3_envelope_write_raw (&buffer, envelope);
    const uint8_t *at = buffer.data;
    FUZZ_CHECK (tim3_envelope_read (&at, buffer.data + buffer.size, &back, &fault) == 1);
    FUZZ_CHECK (at == buffer.data + buffer.size && same_envelope (envelope, &back));
    tim3_buffer_free (&buffer);
    if (message)
        fuzz_decode (message->shape, envelope->body, envelope->body_size, s_object, &arena, true);
}

void fuzz_run_envelope (const uint8_t *data, size_t size)
{
    const uint8_t *at = data;
    const uint8_t *before = data;
    tim3_envelope_t envelope;
    tim3_fault_t fault = {TIM3_OK, NULL};
    int more;
    while ((more = tim3_envelope_read (&at, data + size, &envelope, &fault)) == 1) {
        FUZZ_CHECK (at > before && at <= data + size);
        FUZZ_CHECK (envelope.body > before && envelope.body + envelope.body_size == at);
        check_envelope (&envelope);
        before = at;
    }
    FUZZ_CHECK (at == before);
    if (more < 0)
        FUZZ_CHECK (fault.code != TIM3_OK && fault.field);
    else
        FUZZ_CHECK (at == data + size);
}

void fuzz_seed_envelope (fuzz_keep_fn *keep, void *context)
{
    const tim3_message_t *message;
    sample_t sample;
    tim3_buffer_t all = {0};
    sample_begin (&sample, 1);
    for (unsigned i = 0; (message = tim3_message_at (i)); i++) {
        tim3_buffer_t one = {0};
        sample_envelope (&sample, message, TIM3_ROLE_COUNT, &one);
        keep (context, one.data, one.size);
        if (i % 8 == 0)
            tim3_buffer_append (&all, one.data, one.size);
        tim3_buffer_free (&one);
    }
    keep (context, all.data, all.size);
    tim3_buffer_free (&all);
}

/*  ----------------------------------------------------------------------------------- bodies and records  */

static void encode (tim3_buffer_t *buffer, const tim3_shape_t *shape, const void *object, bool map)
{
    (map ? tim3_encode_map : tim3_encode_array) (buffer, shape, object);
}

/*  What has been decoded is encoded, decoded and encoded again: twice the same bytes, in both encodings.  */
static void check_round (const tim3_shape_t *shape, const void *object, bool map)
{
    static _Alignas(16) uint8_t back[OBJECT_MAX];
    static uint8_t memory[ARENA];
    tim3_arena_t arena = {memory, sizeof memory, 0};
    tim3_buffer_t once = {0};
    tim3_buffer_t twice = {0};
    tim3_fault_t fault;

    encode (&once, shape, object, map);
    FUZZ_CHECK (
        (map ? tim3_decode_map : tim3_decode_array) (once.data, once.size, shape, back, &arena, &fault) == 0);
    encode (&twice, shape, back, map);
    FUZZ_CHECK (once.size == twice.size && memcmp (once.data, twice.data, once.size) == 0);
    tim3_buffer_free (&once);
    tim3_buffer_free (&twice);
}

bool fuzz_decode (const tim3_shape_t *shape, const uint8_t *data, size_t size, void *object,
                  tim3_arena_t *arena, bool map)
{
    tim3_fault_t fault = {TIM3_OK, NULL};
    FUZZ_CHECK (shape->size <= OBJECT_MAX);
    if ((map ? tim3_decode_map : tim3_decode_array) (data, size, shape, object, arena, &fault)) {
        FUZZ_CHECK (fault.code != TIM3_OK && fault.field);
        return false;
    }
    check_round (shape, object, true);
    check_round (shape, object, false);
    return true;
}

static unsigned count_messages (void)
{
    unsigned count = 0;
    while (tim3_message_at (count))
        count++;
    return count;
}

void fuzz_run_body (const uint8_t *data, size_t size)
{
    tim3_arena_t arena = fresh_arena ();
    if (size < 2)
        return;
    unsigned number = (unsigned) (data[0] | data[1] << 8);
    const tim3_message_t *message = tim3_message_at (number % count_messages ());
    fuzz_decode (message->shape, data + 2, size - 2, s_object, &arena, true);
}

void fuzz_seed_body (fuzz_keep_fn *keep, void *context)
{
    const tim3_message_t *message;
    sample_t sample;
    sample_begin (&sample, 2);
    for (unsigned i = 0; (message = tim3_message_at (i)); i++) {
        tim3_buffer_t buffer = {0};
        uint8_t head[2] = {(uint8_t) i, (uint8_t) (i >> 8)};
        tim3_buffer_append (&buffer, head, sizeof head);
        tim3_encode_map (&buffer, message->shape, sample_body (&sample, message));
        keep (context, buffer.data, buffer.size);
        tim3_buffer_free (&buffer);
    }
}

static unsigned count_tables (void)
{
    unsigned count = 0;
    while (tim3_table_at (count))
        count++;
    return count;
}

void fuzz_run_record (const uint8_t *data, size_t size)
{
    tim3_arena_t none = {0};
    if (size < 1)
        return;
    const tim3_table_row_t *table = tim3_table_at (data[0] % count_tables ());
    fuzz_decode (table->shape, data + 1, size - 1, s_object, &none, false);
}

void fuzz_seed_record (fuzz_keep_fn *keep, void *context)
{
    const tim3_table_row_t *table;
    sample_t sample;
    sample_begin (&sample, 3);
    for (unsigned i = 0; (table = tim3_table_at (i)); i++) {
        tim3_buffer_t buffer = {0};
        uint8_t head = (uint8_t) i;
        tim3_buffer_append (&buffer, &head, 1);
        tim3_encode_array (&buffer, table->shape, sample_object (&sample, table->shape));
        keep (context, buffer.data, buffer.size);
        tim3_buffer_free (&buffer);
    }
}
