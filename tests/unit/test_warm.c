/*  test_warm.c - a ledger that has been at work for a while allocates nothing for the messages it handles.

    The linker puts the functions below in front of the allocator's (see the Makefile), so all that TIM3's own code takes
    on the thread of the test is counted. A ledger runs over the store in two tiers, through checkpoints, until both of
    its tables in memory have been used.
*/
#include "../../lock_manager/core.h"
#include "../../token_manager/core.h"
#include "bench.h"
#include "folder.h"
#include "suites.h"
#include "store/store_tiers.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 50
#define MINTS 1000
#define MEBIBYTE (1024 * 1024)

extern void *__real_malloc (size_t size);
extern void *__real_calloc (size_t count, size_t size);
extern void *__real_realloc (void *memory, size_t size);
extern void *__real_aligned_alloc (size_t alignment, size_t size);
extern void *__wrap_malloc (size_t size);
extern void *__wrap_calloc (size_t count, size_t size);
extern void *__wrap_realloc (void *memory, size_t size);
extern void *__wrap_aligned_alloc (size_t alignment, size_t size);

static _Thread_local unsigned s_allocations;

void *__wrap_malloc (size_t size)
{
    s_allocations++;
    return __real_malloc (size);
}

void *__wrap_calloc (size_t count, size_t size)
{
    s_allocations++;
    return __real_calloc (count, size);
}

void *__wrap_realloc (void *memory, size_t size)
{
    s_allocations++;
    return __real_realloc (memory, size);
}

void *__wrap_aligned_alloc (size_t alignment, size_t size)
{
    s_allocations++;
    return __real_aligned_alloc (alignment, size);
}

/*  --------------------------------------------------------------------------------------------- a ledger  */

static char s_path[256];
static tim3_store_t *s_store;
static tim3_host_t *s_host;
static tim3_buffer_t s_frame;
static uint64_t s_next_tx;
static unsigned s_answers;
static unsigned s_counted; /* allocations of the host, for the test's own do not count */

static void open_ledger (const tim3_core_t *core, const char *name)
{
    tim3_host_options_t options = {.incarnation = BENCH_START, .endpoint = "inproc"};
    tim3_store_options_t store = {.path = s_path,
                                  .name = name,
                                  .map_size = 256 * MEBIBYTE,
                                  .now_us = BENCH_START,
                                  .fresh_id = bench_tx (1),
                                  .journal = true,
                                  .checkpoint_bytes = 64 * MEBIBYTE,
                                  .memory_most = 256 * MEBIBYTE,
                                  .keep_us = 3600 * BENCH_SECOND,
                                  .keep_bytes = 1024 * MEBIBYTE};
    char why[512];
    s_store = tim3_store_open (&store, &options.meta, why, sizeof why);
    ck_assert_msg (s_store != NULL, "%s", why);
    bench_defaults (name);
    strcpy (options.name, name);
    s_host = tim3_host_new (core, &bench_settings, s_store, &options);
    tim3_host_begin (s_host, BENCH_START);
}

static void setup (void)
{
    folder_make (s_path);
    s_next_tx = 1;
}

static void teardown (void)
{
    tim3_host_destroy (&s_host);
    tim3_store_close (&s_store);
    tim3_buffer_free (&s_frame);
    folder_remove (s_path);
}

static void put (uint64_t type, const char *sender, const void *body)
{
    tim3_envelope_t envelope = {.type = type, .id = s_next_tx};
    strcpy (envelope.sender, sender);
    strcpy (envelope.recipient, bench_settings.name);
    tim3_envelope_write (&s_frame, &envelope, body);
}

/*  All that was put, in one frame; commits, and counts what comes out and is no error.  */
static void hand_in (bool answer, const char *peer)
{
    tim3_origin_t origin = {answer, (const uint8_t *) peer, strlen (peer)};
    const tim3_frame_t *frame;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    unsigned before = s_allocations;
    tim3_host_take (s_host, &origin, s_frame.data, s_frame.size);
    int rc = tim3_host_commit (s_host);
    s_counted += s_allocations - before;
    ck_assert_int_eq (rc, 0);
    while ((frame = tim3_host_next (s_host)))
        for (const uint8_t *at = frame->data;
             tim3_envelope_read (&at, frame->data + frame->size, &envelope, &fault) == 1;)
            s_answers += envelope.type != TIM3_MSG_ERROR && envelope.type != TIM3_MSG_PUBLISH;
    tim3_buffer_clear (&s_frame);
    tim3_host_begin (s_host, BENCH_START);
}

static void acknowledge (void)
{
    tim3_key_t key = tim3_key_text ("event_seq");
    tim3_counter_t counter;
    tim3_store_read (s_store, TIM3_TABLE_COUNTER, &key, &counter);
    tim3_published_t told = {.seq = counter.value};
    put (TIM3_MSG_PUBLISHED, "router.-.0", &told);
    hand_in (true, "router.-.0");
}

static tim3_mac_t receipt (const tim3_key_secret_t *key, tim3_receipt_kind_t kind, const tim3_id_t *tx,
                           const char *account)
{
    tim3_claim_t claim = {kind, "TIM3", *tx, account, 7, 0};
    return tim3_receipt_make (key, &claim);
}

static tim3_receipt_t evidence (tim3_receipt_kind_t kind, uint64_t number)
{
    tim3_receipt_t body = {.amount = 7};
    memcpy (body.tx.bytes, &number, sizeof number);
    strcpy (body.account, number % 2 ? "alice" : "bob");
    body.receipt = receipt (&bench_settings.evidence_key, kind, &body.tx, body.account);
    return body;
}

/*  A batch of locks that are confirmed and settled.  */
static void lock_some (void)
{
    for (uint64_t i = s_next_tx; i < s_next_tx + BATCH; i++) {
        tim3_receipt_t lock = evidence (TIM3_RECEIPT_KIND_LOCK, i);
        tim3_lock_t ask = {.tx = lock.tx, .amount = lock.amount};
        strcpy (ask.account, lock.account);
        put (TIM3_MSG_LOCK, "coordinator.TIM3.0", &ask);
    }
    hand_in (false, "coordinator");
    for (uint64_t i = s_next_tx; i < s_next_tx + BATCH; i++) {
        tim3_receipt_t lock = evidence (TIM3_RECEIPT_KIND_LOCK, i);
        tim3_vault_move_t answer = {.vault = "TIM3", .tx = lock.tx, .amount = lock.amount};
        strcpy (answer.account, lock.account);
        answer.receipt =
            receipt (&bench_settings.vault_key, TIM3_RECEIPT_KIND_VAULT_LOCKED, &lock.tx, lock.account);
        put (TIM3_MSG_VAULT_LOCKED, "mock_usda.USDA.0", &answer);
    }
    hand_in (true, "mock_usda.USDA.0");
    for (uint64_t i = s_next_tx; i < s_next_tx + BATCH; i++) {
        tim3_receipt_t mint = evidence (TIM3_RECEIPT_KIND_MINT, i);
        put (TIM3_MSG_SETTLE, "coordinator.TIM3.0", &mint);
    }
    hand_in (false, "coordinator");
    s_next_tx += BATCH;
}

static void mint_some (void)
{
    for (uint64_t i = s_next_tx; i < s_next_tx + BATCH; i++) {
        tim3_receipt_t lock = evidence (TIM3_RECEIPT_KIND_LOCK, i);
        put (TIM3_MSG_TOKEN_MINT, "coordinator.TIM3.0", &lock);
    }
    hand_in (false, "coordinator");
    s_next_tx += BATCH;
}

static void work (void (*some) (void), unsigned mints, unsigned answers_each)
{
    s_answers = 0;
    s_counted = 0;
    for (unsigned i = 0; i < mints; i += BATCH) {
        some ();
        acknowledge ();
    }
    ck_assert_uint_eq (s_answers, mints * answers_each);
}

/*  Twice through a checkpoint, so that the table at work is one that was cleared; then what is counted.  */
static void check_warm (void (*some) (void), unsigned answers_each)
{
    for (int i = 0; i < 2; i++) {
        work (some, 2 * MINTS, answers_each);
        ck_assert (tim3_store_tiers_checkpoint (s_store));
    }
    work (some, MINTS, answers_each);
    ck_assert_msg (s_counted * 100 < MINTS, "%u allocations for %u mints", s_counted, MINTS);
}

START_TEST (test_lock_manager)
{
    open_ledger (&tim3_lock_manager_core, "lock_manager.TIM3.0");
    check_warm (lock_some, 3);
}
END_TEST

START_TEST (test_token_manager)
{
    open_ledger (&tim3_token_manager_core, "token_manager.TIM3.0");
    check_warm (mint_some, 1);
}
END_TEST

Suite *suite_warm (void)
{
    Suite *suite = suite_create ("warm");
    TCase *group = tcase_create ("warm");
    tcase_add_checked_fixture (group, setup, teardown);
    tcase_set_timeout (group, 300);
    tcase_add_test (group, test_lock_manager);
    tcase_add_test (group, test_token_manager);
    suite_add_tcase (suite, group);
    return suite;
}
