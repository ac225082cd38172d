/*  workload.c - the plan, its records, and the comparison.  */
#include "workload.h"
#include "base/log.h"
#include "../unit/seeded.h"

#include <stdio.h>
#include <string.h>

#define SEED 20090103
#define MEBIBYTE (1024 * 1024)
#define AGENT "token_manager.TIM3.0"

/*  A slot is one key that may be there or not.  */
#define COUNTERS 40
#define ACCOUNTS 160
#define RECORDS 240
#define EVENTS 60
#define SLOTS (COUNTERS + ACCOUNTS + RECORDS + EVENTS)

/*  Which commit wrote what each slot holds after commit n; 0: it is not there.  */
static uint16_t s_writer[WORKLOAD_COMMITS_MAX + 1][SLOTS];

/*  ------------------------------------------------------------------------------------------- the plan  */

/*  Most commits are small, as those of an idle agent; some are batches that reach over many pages.  */
static unsigned changes_of (seeded_t *seeded, unsigned n)
{
    return n % 8 == 0 ? 120 : 1 + (unsigned) seeded_below (seeded, 20);
}

static void change_slot (seeded_t *seeded, unsigned n)
{
    uint16_t *writer = &s_writer[n][seeded_below (seeded, SLOTS)];
    bool deletes = *writer && seeded_below (seeded, 3) == 0;
    *writer = deletes ? 0 : (uint16_t) n;
}

void workload_plan (void)
{
    seeded_t seeded = {SEED};
    for (unsigned n = 1; n <= WORKLOAD_COMMITS_MAX; n++) {
        memcpy (s_writer[n], s_writer[n - 1], sizeof s_writer[n]);
        for (unsigned left = changes_of (&seeded, n); left > 0; left--)
            change_slot (&seeded, n);
    }
}

/*  ------------------------------------------------------------------------------------------- records
    What slot number i of its kind holds when commit n wrote it.  */

static uint8_t s_body[20000];

/*  A MessagePack byte string of any length up to four thousand, and now and then to twenty: some fill pages of their own.  */
static tim3_raw_t make_body (seeded_t *seeded)
{
    uint32_t most = seeded_below (seeded, 16) == 0 ? sizeof s_body : 4000;
    uint32_t size = 4 + (uint32_t) seeded_below (seeded, most - 4);
    seeded_fill (seeded, s_body, size);
    s_body[0] = 0xc5;
    s_body[1] = (uint8_t) ((size - 3) >> 8);
    s_body[2] = (uint8_t) (size - 3);
    return (tim3_raw_t){s_body, size};
}

typedef union {
    tim3_counter_t counter;
    tim3_account_t account;
    tim3_transaction_t transaction;
    tim3_run_t run;
} record_t;

static tim3_key_t make_counter (unsigned i, unsigned n, seeded_t *seeded, record_t *record)
{
    char name[32];
    snprintf (name, sizeof name, "counter-%u", i);
    record->counter.value = (uint64_t) n << 32 | (uint32_t) seeded_next (seeded);
    return tim3_key_text (name);
}

static tim3_key_t make_account (unsigned i, unsigned n, seeded_t *seeded, record_t *record)
{
    tim3_account_t *account = &record->account;
    snprintf (account->account, sizeof account->account, "account-%u", i);
    account->balance = seeded_amount (seeded);
    account->frozen = seeded_below (seeded, 2);
    account->entries = n;
    return tim3_key_text (account->account);
}

/*  Keys that are hashes, as those of transactions: they scatter over the whole table.  */
static tim3_key_t make_transaction (unsigned i, unsigned n, seeded_t *seeded, record_t *record)
{
    tim3_transaction_t *transaction = &record->transaction;
    char request[32];
    snprintf (request, sizeof request, "request-%u", i);
    snprintf (transaction->account, sizeof transaction->account, "account-%u", i);
    transaction->tx = tim3_tx_id ("TIM3", transaction->account, request);
    transaction->kind = TIM3_TX_KIND_MINT;
    transaction->status = TIM3_TX_STATUS_COMPLETED;
    transaction->amount = seeded_amount (seeded);
    transaction->time_us = n;
    return tim3_key_id (&transaction->tx);
}

static tim3_key_t make_event (unsigned i, unsigned n, seeded_t *seeded, record_t *record)
{
    tim3_run_t *run = &record->run;
    run->seq = i;
    run->count = 1 + n % TIM3_EVENTS_MAX;
    run->events = make_body (seeded);
    return tim3_key_u64 (i);
}

typedef struct {
    tim3_table_t table;
    unsigned slots;
    tim3_key_t (*make) (unsigned i, unsigned n, seeded_t *seeded, record_t *record);
} kind_t;

static const kind_t s_kinds[] = {{TIM3_TABLE_COUNTER, COUNTERS, make_counter},
                                 {TIM3_TABLE_ACCOUNT, ACCOUNTS, make_account},
                                 {TIM3_TABLE_RECORD, RECORDS, make_transaction},
                                 {TIM3_TABLE_OUTBOX, EVENTS, make_event}};

/*  The table of a slot, with the key and the record that commit n gives it.  */
static tim3_table_t make_slot (unsigned slot, unsigned n, tim3_key_t *key, record_t *record)
{
    const kind_t *kind = s_kinds;
    seeded_t seeded = {(uint64_t) slot << 32 | n};
    unsigned i = slot;
    for (; i >= kind->slots; kind++)
        i -= kind->slots;
    memset (record, 0, sizeof *record);
    *key = kind->make (i, n, &seeded, record);
    return kind->table;
}

/*  ------------------------------------------------------------------------------------------- writing  */

static tim3_key_t count_key (void)
{
    return tim3_key_text ("commits");
}

unsigned workload_count (tim3_store_t *store)
{
    tim3_key_t key = count_key ();
    tim3_counter_t count;
    tim3_store_read (store, TIM3_TABLE_COUNTER, &key, &count);
    return (unsigned) count.value;
}

static void write_slot (tim3_store_t *store, unsigned slot, unsigned n)
{
    tim3_key_t key;
    record_t record;
    tim3_table_t table = make_slot (slot, n, &key, &record);
    if (s_writer[n][slot])
        tim3_store_write (store, table, &key, &record);
    else
        tim3_store_delete (store, table, &key);
}

int workload_commit (tim3_store_t *store, unsigned n)
{
    tim3_key_t key = count_key ();
    tim3_counter_t count = {n};
    TIM3_ASSERT (n >= 1 && n <= WORKLOAD_COMMITS_MAX);
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (s_writer[n][slot] != s_writer[n - 1][slot])
            write_slot (store, slot, n);
    tim3_store_write (store, TIM3_TABLE_COUNTER, &key, &count);
    return tim3_store_commit (store);
}

/*  With a journal, checkpoints come often, and little of the past is kept, so that all of it is trimmed too.  */
tim3_store_t *workload_open (const char *path, bool journal, char *why, size_t why_size)
{
    tim3_store_meta_t meta;
    tim3_store_options_t options = {.path = path,
                                    .name = AGENT,
                                    .map_size = 16 * MEBIBYTE,
                                    .now_us = 1,
                                    .fresh_id = {{1, 2, 3, 4}},
                                    .adopt = true,
                                    .journal = journal,
                                    .checkpoint_bytes = 16 * 1024,
                                    .memory_most = 16 * MEBIBYTE,
                                    .keep_us = 3600 * 1000000ull,
                                    .keep_bytes = 120 * 1024};
    return tim3_store_open (&options, &meta, why, why_size);
}

/*  ----------------------------------------------------------------------------------------- comparing  */

static bool same_record (tim3_store_t *store, tim3_table_t table, const tim3_key_t *key,
                         const record_t *record)
{
    const uint8_t *value;
    size_t size;
    tim3_buffer_t expected = {0};
    if (!store->ops->get (store, table, key, &value, &size))
        return false;
    tim3_encode_array (&expected, tim3_table (table)->shape, record);
    bool same = expected.size == size && memcmp (expected.data, value, size) == 0;
    tim3_buffer_free (&expected);
    return same;
}

static bool same_slot (tim3_store_t *store, unsigned slot, unsigned n)
{
    tim3_key_t key;
    record_t record;
    tim3_table_t table = make_slot (slot, s_writer[n][slot], &key, &record);
    if (s_writer[n][slot])
        return same_record (store, table, &key, &record);
    return !tim3_store_has (store, table, &key);
}

static size_t count_table (tim3_store_t *store, tim3_table_t table)
{
    const uint8_t *value;
    size_t size;
    size_t count = 0;
    tim3_key_t key = tim3_key_empty ();
    while (store->ops->seek (store, table, TIM3_SEEK_GT, &key, &value, &size))
        count++;
    return count;
}

/*  By a walk through every table, so that a record which nobody wrote, or which the tree has twice, shows.  */
static size_t count_all (tim3_store_t *store)
{
    size_t count = 0;
    const tim3_table_row_t *row;
    for (unsigned i = 0; (row = tim3_table_at (i)); i++)
        if (row->number != TIM3_TABLE_META && row->number != TIM3_TABLE_CHECKPOINT)
            count += count_table (store, row->number);
    return count;
}

static size_t count_expected (unsigned n)
{
    size_t count = n > 0;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        count += s_writer[n][slot] > 0;
    return count;
}

static bool fail (char *why, size_t why_size, const char *what, unsigned long long number, unsigned n)
{
    snprintf (why, why_size, "%s %llu is not what %u commits left", what, number, n);
    return false;
}

bool workload_holds (tim3_store_t *store, unsigned n, char *why, size_t why_size)
{
    if (n > WORKLOAD_COMMITS_MAX || workload_count (store) != n)
        return fail (why, why_size, "the count of commits", workload_count (store), n);
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (!same_slot (store, slot, n))
            return fail (why, why_size, "record", slot, n);
    size_t count = count_all (store);
    if (count != count_expected (n))
        return fail (why, why_size, "the number of records", count, n);
    if (tim3_store_error (store))
        return fail (why, why_size, "the store's error", tim3_store_error (store), n);
    return true;
}
