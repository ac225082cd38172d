/*  test_envelope.c - envelopes: there and back, back to back, what is wrong with one is named.  */
#include "wire/envelope.h"
#include "seeded.h"
#include "suites.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

static tim3_buffer_t s_frame;

static void setup (void)
{
    tim3_buffer_clear (&s_frame);
}

static void teardown (void)
{
    tim3_buffer_free (&s_frame);
}

static tim3_envelope_t random_envelope (seeded_t *random)
{
    tim3_envelope_t envelope = {.version = 1, .type = seeded_u64 (random), .id = 1 + seeded_u64 (random) / 2};
    static const uint8_t body[] = {0x81, 0xa1, 'k', 0x07};
    seeded_text (random, envelope.sender, TIM3_ADDRESS_MAX);
    seeded_text (random, envelope.recipient, TIM3_ADDRESS_MAX);
    seeded_text (random, envelope.account, TIM3_ACCOUNT_MAX);
    envelope.time_us = seeded_u64 (random);
    envelope.reply_to = seeded_u64 (random);
    if (seeded_below (random, 2))
        seeded_fill (random, envelope.trace.bytes, sizeof envelope.trace.bytes);
    envelope.via_size = (uint8_t) seeded_below (random, TIM3_VIA_MAX + 1);
    seeded_fill (random, envelope.via, envelope.via_size);
    envelope.body = body;
    envelope.body_size = sizeof body;
    return envelope;
}

static void check_same (const tim3_envelope_t *a, const tim3_envelope_t *b)
{
    ck_assert_uint_eq (a->version, b->version);
    ck_assert_uint_eq (a->type, b->type);
    ck_assert_uint_eq (a->id, b->id);
    ck_assert_str_eq (a->sender, b->sender);
    ck_assert_str_eq (a->recipient, b->recipient);
    ck_assert_uint_eq (a->time_us, b->time_us);
    ck_assert_uint_eq (a->reply_to, b->reply_to);
    ck_assert (tim3_id_equal (&a->trace, &b->trace));
    ck_assert_str_eq (a->account, b->account);
    ck_assert_uint_eq (a->via_size, b->via_size);
    ck_assert_mem_eq (a->via, b->via, a->via_size);
    ck_assert_uint_eq (a->body_size, b->body_size);
    ck_assert_mem_eq (a->body, b->body, a->body_size);
}

START_TEST (test_back_to_back)
{
    enum { COUNT = 500 };
    tim3_envelope_t *sent = tim3_alloc (COUNT * sizeof *sent);
    tim3_envelope_t got;
    tim3_fault_t fault;
    seeded_t random = {5};
    for (int i = 0; i < COUNT; i++) {
        sent[i] = random_envelope (&random);
        tim3_envelope_write_raw (&s_frame, &sent[i]);
    }
    const uint8_t *at = s_frame.data;
    const uint8_t *end = s_frame.data + s_frame.size;
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq (tim3_envelope_read (&at, end, &got, &fault), 1);
        check_same (&sent[i], &got);
    }
    ck_assert_int_eq (tim3_envelope_read (&at, end, &got, &fault), 0);
    ck_assert_ptr_eq (at, end);
    free (sent);
}
END_TEST

START_TEST (test_body_of_its_type)
{
    tim3_envelope_t envelope = {.type = TIM3_MSG_TOKEN_BURN, .id = 9};
    tim3_lock_t body = {.amount = 5, .account = "alice"};
    tim3_lock_t got_body;
    tim3_envelope_t got;
    tim3_fault_t fault;
    tim3_envelope_write (&s_frame, &envelope, &body);
    const uint8_t *at = s_frame.data;
    ck_assert_int_eq (tim3_envelope_read (&at, at + s_frame.size, &got, &fault), 1);
    ck_assert_int_eq (tim3_decode_map (got.body, got.body_size, &tim3_shape_lock, &got_body, NULL, &fault),
                      0);
    ck_assert_str_eq (got_body.account, "alice");
    ck_assert (got_body.amount == 5);
}
END_TEST

/*  --------------------------------------------------------------------------------------------- faults
    An envelope is written place by place, one of them wrong.  */

typedef void (pack_fn) (msgpack_packer *packer);

static void pack_text (msgpack_packer *packer, const char *text, size_t size)
{
    msgpack_pack_str (packer, size);
    msgpack_pack_str_body (packer, text, size);
}

static void pack_nil (msgpack_packer *packer)
{
    msgpack_pack_nil (packer);
}

static void pack_zero (msgpack_packer *packer)
{
    msgpack_pack_int (packer, 0);
}

static void pack_two (msgpack_packer *packer)
{
    msgpack_pack_int (packer, 2);
}

static void pack_minus (msgpack_packer *packer)
{
    msgpack_pack_int (packer, -1);
}

static void pack_float (msgpack_packer *packer)
{
    msgpack_pack_double (packer, 1.0);
}

static void pack_long_text (msgpack_packer *packer)
{
    char text[TIM3_ADDRESS_MAX + 1];
    memset (text, 'a', sizeof text);
    pack_text (packer, text, sizeof text);
}

static void pack_nul_text (msgpack_packer *packer)
{
    pack_text (packer, "a\0b", 3);
}

static void pack_no_text (msgpack_packer *packer)
{
    pack_text (packer, "\xff", 1);
}

static void pack_short_bytes (msgpack_packer *packer)
{
    msgpack_pack_bin (packer, 15);
    msgpack_pack_bin_body (packer, "123456789012345", 15);
}

static void pack_bad_account (msgpack_packer *packer)
{
    char text[TIM3_ACCOUNT_MAX + 1];
    memset (text, 'a', sizeof text);
    msgpack_pack_map (packer, 1);
    pack_text (packer, "account", 7);
    pack_text (packer, text, sizeof text);
}

static void pack_long_via (msgpack_packer *packer)
{
    char via[TIM3_VIA_MAX + 1] = {0};
    msgpack_pack_map (packer, 1);
    pack_text (packer, "via", 3);
    msgpack_pack_bin (packer, sizeof via);
    msgpack_pack_bin_body (packer, via, sizeof via);
}

static void pack_many (msgpack_packer *packer)
{
    msgpack_pack_map (packer, 17);
    for (int i = 0; i < 17; i++) {
        pack_text (packer, "k", 1);
        msgpack_pack_nil (packer);
    }
}

static void pack_number_key (msgpack_packer *packer)
{
    msgpack_pack_map (packer, 1);
    msgpack_pack_int (packer, 5);
    msgpack_pack_nil (packer);
}

static void pack_deep (msgpack_packer *packer)
{
    for (int i = 0; i < 9; i++)
        msgpack_pack_array (packer, 1);
    msgpack_pack_nil (packer);
}

static int append (void *buffer, const char *data, size_t size)
{
    tim3_buffer_append (buffer, data, size);
    return 0;
}

static void pack_right (msgpack_packer *packer, unsigned place)
{
    switch (place) {
    case 3:
    case 4:
        pack_text (packer, "client", 6);
        break;
    case 7:
        msgpack_pack_nil (packer);
        break;
    case 8:
    case 9:
        msgpack_pack_map (packer, 0);
        break;
    default:
        msgpack_pack_int (packer, 1);
    }
}

static int read_with (unsigned count, unsigned wrong, pack_fn *pack, tim3_fault_t *fault,
                      tim3_envelope_t *envelope)
{
    msgpack_packer packer;
    tim3_buffer_clear (&s_frame);
    msgpack_packer_init (&packer, &s_frame, append);
    msgpack_pack_array (&packer, count);
    for (unsigned place = 0; place < count; place++) {
        if (place == wrong)
            pack (&packer);
        else
            pack_right (&packer, place);
    }
    const uint8_t *at = s_frame.data;
    int more = tim3_envelope_read (&at, at + s_frame.size, envelope, fault);
    ck_assert (more == 1 || at == s_frame.data);
    return more;
}

typedef struct {
    unsigned place;
    pack_fn *pack;
    tim3_result_t code;
    const char *field;
} wrong_t;

START_TEST (test_faults_are_named)
{
    static const wrong_t wrongs[] = {{0, pack_nil, TIM3_MALFORMED, "version"},
                                     {0, pack_zero, TIM3_BAD_VERSION, "version"},
                                     {0, pack_two, TIM3_BAD_VERSION, "version"},
                                     {1, pack_minus, TIM3_MALFORMED, "type"},
                                     {1, pack_float, TIM3_MALFORMED, "type"},
                                     {2, pack_zero, TIM3_MALFORMED, "id"},
                                     {2, pack_nil, TIM3_MALFORMED, "id"},
                                     {3, pack_long_text, TIM3_MALFORMED, "sender"},
                                     {3, pack_nul_text, TIM3_MALFORMED, "sender"},
                                     {3, pack_nil, TIM3_MALFORMED, "sender"},
                                     {3, pack_no_text, TIM3_MALFORMED, "sender"},
                                     {4, pack_long_text, TIM3_MALFORMED, "recipient"},
                                     {4, pack_nul_text, TIM3_MALFORMED, "recipient"},
                                     {5, pack_minus, TIM3_MALFORMED, "time_us"},
                                     {6, pack_nil, TIM3_MALFORMED, "reply_to"},
                                     {7, pack_short_bytes, TIM3_MALFORMED, "trace"},
                                     {7, pack_zero, TIM3_MALFORMED, "trace"},
                                     {8, pack_nil, TIM3_MALFORMED, "metadata"},
                                     {8, pack_bad_account, TIM3_MALFORMED, "metadata"},
                                     {8, pack_long_via, TIM3_MALFORMED, "metadata"},
                                     {8, pack_many, TIM3_MALFORMED, "metadata"},
                                     {8, pack_number_key, TIM3_MALFORMED, "metadata"},
                                     {9, pack_deep, TIM3_MALFORMED, "body"}};
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    for (unsigned i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        ck_assert_int_eq (read_with (10, wrongs[i].place, wrongs[i].pack, &fault, &envelope), -1);
        ck_assert_str_eq (fault.field, wrongs[i].field);
        ck_assert_uint_eq (fault.code, wrongs[i].code);
        /* what came before is there, and the id of another version too, so that the sender can be told */
        bool other_version = wrongs[i].code == TIM3_BAD_VERSION;
        ck_assert_uint_eq (envelope.type, wrongs[i].place > 1 || other_version ? 1 : 0);
        ck_assert_uint_eq (envelope.id != 0, wrongs[i].place > 2 || other_version ? 1 : 0);
        ck_assert_str_eq (envelope.sender, wrongs[i].place > 3 ? "client" : "");
    }
}
END_TEST

START_TEST (test_ten_places)
{
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    ck_assert_int_eq (read_with (10, 99, NULL, &fault, &envelope), 1);
    ck_assert_int_eq (read_with (9, 99, NULL, &fault, &envelope), -1);
    ck_assert_str_eq (fault.field, "envelope");
    ck_assert_int_eq (read_with (11, 99, NULL, &fault, &envelope), -1);
    ck_assert_str_eq (fault.field, "envelope");
    const uint8_t map[] = {0x80};
    const uint8_t *at = map;
    ck_assert_int_eq (tim3_envelope_read (&at, map + 1, &envelope, &fault), -1);
    ck_assert_str_eq (fault.field, "envelope");
}
END_TEST

static void pack_unknown_metadata (msgpack_packer *packer)
{
    msgpack_pack_map (packer, 2);
    pack_text (packer, "later", 5);
    msgpack_pack_array (packer, 1);
    msgpack_pack_true (packer);
    pack_text (packer, "account", 7);
    pack_text (packer, "bob", 3);
}

START_TEST (test_unknown_metadata_is_skipped)
{
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    ck_assert_int_eq (read_with (10, 8, pack_unknown_metadata, &fault, &envelope), 1);
    ck_assert_str_eq (envelope.account, "bob");
}
END_TEST

/*  ------------------------------------------------------------------------------------- cut and garbled  */

/*  Reads a copy that ends where its block of memory ends, so that tools see a read past it.  */
static int read_copy (const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc (size ? size : 1);
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    int more;
    memcpy (copy, data, size);
    const uint8_t *at = copy;
    while ((more = tim3_envelope_read (&at, copy + size, &envelope, &fault)) > 0)
        ck_assert (at > copy && at <= copy + size && envelope.body + envelope.body_size == at);
    free (copy);
    return more;
}

START_TEST (test_every_cut_fails)
{
    seeded_t random = {6};
    for (int i = 0; i < 50; i++) {
        tim3_envelope_t envelope = random_envelope (&random);
        tim3_buffer_clear (&s_frame);
        tim3_envelope_write_raw (&s_frame, &envelope);
        for (size_t size = 1; size < s_frame.size; size++)
            ck_assert_int_eq (read_copy (s_frame.data, size), -1);
        ck_assert_int_eq (read_copy (s_frame.data, s_frame.size), 0);
    }
}
END_TEST

START_TEST (test_garbled)
{
    seeded_t random = {7};
    for (int i = 0; i < 20; i++) {
        tim3_envelope_t envelope = random_envelope (&random);
        tim3_envelope_write_raw (&s_frame, &envelope);
    }
    for (int i = 0; i < 20000; i++) {
        size_t bit = seeded_below (&random, 8 * s_frame.size);
        s_frame.data[bit / 8] ^= (uint8_t) (1u << bit % 8);
        read_copy (s_frame.data, s_frame.size);
    }
}
END_TEST

START_TEST (test_errors_are_filled)
{
    tim3_error_t error;
    const tim3_result_row_t *row;
    char longest[400];
    for (unsigned i = 0; (row = tim3_result_row (i)); i++) {
        tim3_error_fill (&error, (tim3_result_t) row->code, NULL);
        ck_assert_uint_eq (error.code, row->code);
        ck_assert_str_eq (error.name, row->name);
        ck_assert_str_eq (error.text, row->text);
        ck_assert_str_eq (error.advice, tim3_advice_name (row->advice));
    }
    memset (longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    tim3_error_fill (&error, TIM3_INTERNAL, "%s", longest);
    ck_assert_uint_eq (strlen (error.text), sizeof error.text - 1);
}
END_TEST

Suite *suite_envelope (void)
{
    Suite *suite = suite_create ("envelope");
    TCase *tcase = tcase_create ("envelope");
    tcase_add_checked_fixture (tcase, setup, teardown);
    tcase_add_test (tcase, test_back_to_back);
    tcase_add_test (tcase, test_body_of_its_type);
    tcase_add_test (tcase, test_faults_are_named);
    tcase_add_test (tcase, test_ten_places);
    tcase_add_test (tcase, test_unknown_metadata_is_skipped);
    tcase_add_test (tcase, test_every_cut_fails);
    tcase_add_test (tcase, test_garbled);
    tcase_add_test (tcase, test_errors_are_filled);
    suite_add_tcase (suite, tcase);
    return suite;
}
