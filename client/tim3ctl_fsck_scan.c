/*  tim3ctl_fsck_scan.c - reads the rows of a store one by one, and goes on behind those that cannot be
    read.  */
#include "base/log.h"
#include "tim3ctl_fsck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*  --------------------------------------------------------------------------------------- forms of keys
    The table of tables says what a key is made of; these are the parts that are not texts.  */

typedef enum { PART_TEXT, PART_U64, PART_U8, PART_ID } part_kind_t;

static const struct {
    const char *name;
    part_kind_t kind;
} s_parts[] = {{"tx", PART_ID},
               {"tx of the redemption", PART_ID},
               {"store id", PART_ID},
               {"event seq", PART_U64},
               {"entry number", PART_U64},
               {"due_us", PART_U64},
               {"offset", PART_U64},
               {"list number", PART_U64},
               {"incarnation", PART_U64},
               {"operation", PART_U8},
               {"shard", PART_U8}};

static part_kind_t part_kind (const char *name, size_t length)
{
    for (unsigned i = 0; i < sizeof s_parts / sizeof s_parts[0]; i++)
        if (strlen (s_parts[i].name) == length && memcmp (s_parts[i].name, name, length) == 0)
            return s_parts[i].kind;
    return PART_TEXT;
}

/*  One part of a key, while it is walked through.  */
typedef struct {
    const tim3_key_t *key;
    const char *name; /* in the table of tables; NULL behind the last part */
    size_t length;
    part_kind_t kind;
    size_t at;
    size_t size;
} part_t;

/*  Names are printable, and the longest are those of accounts.  */
static size_t text_size (const part_t *self)
{
    const uint8_t *start = self->key->data + self->at;
    const uint8_t *end = memchr (start, '\0', self->key->size - self->at);
    size_t size = end ? (size_t) (end - start) + 1 : 0;
    bool quoted = self->name[0] == '"';
    if (size > TIM3_ACCOUNT_MAX + 1)
        return 0;
    for (const uint8_t *byte = start; byte < end; byte++)
        if (*byte <= ' ' || *byte > '~')
            return 0;
    if (quoted && (size + 1 != self->length || memcmp (start, self->name + 1, size - 1) != 0))
        return 0;
    return size;
}

/*  How many bytes of the key the part takes; 0 when they are not there, or cannot be it.  */
static size_t part_size (const part_t *self)
{
    static const size_t sizes[] = {[PART_U64] = 8, [PART_U8] = 1, [PART_ID] = sizeof (tim3_id_t)};
    if (self->kind == PART_TEXT)
        return text_size (self);
    return self->key->size - self->at >= sizes[self->kind] ? sizes[self->kind] : 0;
}

/*  Moves to the next part. False at the end, and where the key does not fit.  */
static bool next_part (part_t *self)
{
    if (!self->name)
        return false;
    if (self->size > 0) {
        self->at += self->size;
        self->name = self->name[self->length] ? self->name + self->length + 2 : NULL;
    }
    if (!self->name)
        return false;
    self->length = strcspn (self->name, ",");
    self->kind = part_kind (self->name, self->length);
    self->size = part_size (self);
    return self->size > 0;
}

static part_t first_part (tim3_table_t table, const tim3_key_t *key)
{
    const tim3_table_row_t *row = tim3_table (table);
    if (!row)
        return (part_t){.key = key, .at = SIZE_MAX}; /* nothing fits */
    return (part_t){.key = key, .name = row->key};
}

static bool at_end (const part_t *self)
{
    return !self->name && self->at == self->key->size;
}

static bool key_fits (tim3_table_t table, const tim3_key_t *key)
{
    part_t part = first_part (table, key);
    while (next_part (&part))
        continue;
    return at_end (&part);
}

static size_t print_part (const part_t *self, char *text, size_t size)
{
    char hex[TIM3_ID_TEXT_MAX];
    const uint8_t *bytes = self->key->data + self->at;
    const char *comma = self->at ? ", " : "";
    bool quoted = self->name[0] == '"';
    int length = quoted ? 0 : (int) self->length;
    const char *space = quoted ? "" : " ";
    if (self->kind == PART_TEXT)
        snprintf (text, size, "%s%.*s%s%s", comma, length, self->name, space, (const char *) bytes);
    else if (self->kind == PART_ID)
        snprintf (text, size, "%s%.*s %s", comma, length, self->name,
                  tim3_hex_format (bytes, sizeof (tim3_id_t), hex));
    else
        snprintf (
            text, size, "%s%.*s %llu", comma, length, self->name,
            (unsigned long long) (self->kind == PART_U8 ? *bytes : tim3_key_read_u64 (self->key, self->at)));
    return strlen (text);
}

bool tim3_fsck_key_text (tim3_table_t table, const tim3_key_t *key, char text[TIM3_FSCK_KEY_TEXT_MAX])
{
    part_t part = first_part (table, key);
    size_t used = 0;
    while (next_part (&part))
        used += print_part (&part, text + used, TIM3_FSCK_KEY_TEXT_MAX - used);
    return at_end (&part);
}

void tim3_fsck_key_name (const tim3_fsck_place_t *at, char *name, size_t size)
{
    snprintf (name, size, "%.*s", (int) at->key.size, (const char *) at->key.data);
}

/*  ------------------------------------------------------------------------------------------- reading  */

static int decode (tim3_table_t table, const uint8_t *value, size_t size, void *record, tim3_fault_t *fault)
{
    tim3_arena_t none = {0};
    return tim3_decode_array (value, size, tim3_table (table)->shape, record, &none, fault);
}

static bool is_after (const tim3_key_t *a, const tim3_key_t *b)
{
    size_t common = a->size < b->size ? a->size : b->size;
    int order = memcmp (a->data, b->data, common);
    return order > 0 || (order == 0 && a->size > b->size);
}

/*  Moves to the next row. In a damaged file it could be one from before, and so on for ever.  */
static bool advance (tim3_fsck_t *self, tim3_fsck_place_t *at, const uint8_t **value, size_t *size)
{
    tim3_store_t *store = at->store->store;
    tim3_key_t before = at->key;
    return store->ops->seek (store, at->table, TIM3_SEEK_GT, &at->key, value, size) &&
           is_after (&at->key, &before) && tim3_fsck_progress (self, at);
}

bool tim3_fsck_next (tim3_fsck_t *self, tim3_fsck_place_t *at, void *record)
{
    tim3_fault_t fault;
    const uint8_t *value;
    size_t size;
    while (advance (self, at, &value, &size))
        if (key_fits (at->table, &at->key) && decode (at->table, value, size, record, &fault) == 0)
            return true;
    return false;
}

bool tim3_fsck_next_event (tim3_fsck_t *self, tim3_fsck_events_t *events, tim3_event_item_t *item)
{
    tim3_run_t run;
    while (!tim3_run_step (&events->walk, item)) {
        if (!tim3_fsck_next (self, &events->at, &run))
            return false;
        tim3_run_walk (&events->walk, &run);
    }
    return true;
}

bool tim3_fsck_read (const tim3_fsck_place_t *at, void *record)
{
    tim3_store_t *store = at->store->store;
    tim3_fault_t fault;
    const uint8_t *value;
    size_t size;
    if (store->ops->get (store, at->table, &at->key, &value, &size) &&
        decode (at->table, value, size, record, &fault) == 0)
        return true;
    memset (record, 0, tim3_table (at->table)->shape->size);
    return false;
}

uint64_t tim3_fsck_last_event (const tim3_fsck_store_t *store)
{
    const tim3_fsck_place_t at = {store, TIM3_TABLE_COUNTER, tim3_key_text ("event_seq")};
    tim3_counter_t counter;
    tim3_fsck_read (&at, &counter);
    return counter.value;
}

bool tim3_fsck_has (const tim3_fsck_store_t *store, tim3_table_t table, const tim3_key_t *key)
{
    return tim3_store_has (store->store, table, key);
}

bool tim3_fsck_read_tx (const tim3_fsck_store_t *store, tim3_table_t table, const tim3_id_t *tx, void *record)
{
    const tim3_fsck_place_t at = {store, table, tim3_key_id (tx)};
    return tim3_fsck_read (&at, record);
}

uint32_t *tim3_fsck_seen (const tim3_fsck_store_t *store, const tim3_id_t *tx)
{
    return tim3_fsck_map_take (store->seen, tx->bytes, sizeof tx->bytes);
}

/*  -------------------------------------------------------------------------------------------- shapes  */

static bool belongs (const tim3_fsck_store_t *store, const tim3_table_row_t *row)
{
    return strcmp (row->owner, "all") == 0 || strcmp (row->owner, tim3_role_name (store->address.role)) == 0;
}

static void check_row (tim3_fsck_t *self, const tim3_fsck_place_t *at, const uint8_t *value, size_t size,
                       void *record)
{
    const tim3_table_row_t *row = tim3_table (at->table);
    tim3_fault_t fault;
    if (!row)
        tim3_fsck_problem (self, at, "no table has number %u", (unsigned) at->table);
    else if (!belongs (at->store, row))
        tim3_fsck_problem (self, at, "the table belongs to a %s", row->owner);
    else if (!key_fits (at->table, &at->key))
        tim3_fsck_problem (self, at, "the key is not made of: %s", row->key);
    else if (decode (at->table, value, size, record, &fault))
        tim3_fsck_problem (self, at, "the record cannot be read: %s%s%s", fault.field,
                           fault.field[0] ? ": " : "", tim3_result_name (fault.code));
}

static void take_row (tim3_fsck_t *self, tim3_fsck_store_t *store, const tim3_fsck_place_t *at,
                      const uint8_t *value, size_t size, void *record)
{
    store->rows[at->table]++;
    check_row (self, at, value, size, record);
}

/*  An empty key is no row of any table, but it would be the first.  */
static void check_table (tim3_fsck_t *self, tim3_fsck_store_t *store, unsigned number, void *record)
{
    tim3_fsck_place_t at = {store, (tim3_table_t) number, tim3_key_empty ()};
    tim3_key_t last = tim3_key_empty ();
    const uint8_t *value;
    size_t size;
    if (store->store->ops->get (store->store, at.table, &at.key, &value, &size))
        take_row (self, store, &at, value, size, record);
    while (advance (self, &at, &value, &size)) {
        take_row (self, store, &at, value, size, record);
        last = at.key;
    }
    if (!self->stopped && is_after (&last, &at.key))
        tim3_fsck_problem (self, &at, "this row follows on one that comes after it: the file is damaged");
}

static size_t record_size_max (void)
{
    const tim3_table_row_t *row;
    size_t most = 0;
    for (unsigned i = 0; (row = tim3_table_at (i)); i++)
        if (row->shape->size > most)
            most = row->shape->size;
    return most;
}

/*  Whether none of the agents that share a store would see the table.  */
static bool is_hidden (unsigned number)
{
    const tim3_table_row_t *row = tim3_table ((tim3_table_t) number);
    return !row || (strcmp (row->owner, "all") != 0 &&
                    strcmp (row->owner, tim3_role_name (TIM3_ROLE_LOCK_MANAGER)) != 0 &&
                    strcmp (row->owner, tim3_role_name (TIM3_ROLE_TOKEN_MANAGER)) != 0);
}

/*  Looks past the agent's own sight.  */
static void check_hidden_table (tim3_fsck_t *self, tim3_fsck_store_t *store, unsigned number, void *record)
{
    tim3_store_t *sight = store->store;
    store->store = store->shared;
    check_table (self, store, number, record);
    store->store = sight;
}

/*  Each agent has its events behind its role: what is behind none of those that share the store would be published by nobody.  */
static void check_parts (tim3_fsck_t *self, tim3_fsck_store_t *store)
{
    tim3_store_t *sight = store->store;
    tim3_fsck_place_t at = {store, TIM3_TABLE_OUTBOX, tim3_key_empty ()};
    const uint8_t *value;
    size_t size;
    store->store = store->shared;
    while (advance (self, &at, &value, &size))
        if (at.key.data[0] != TIM3_ROLE_LOCK_MANAGER && at.key.data[0] != TIM3_ROLE_TOKEN_MANAGER)
            tim3_fsck_problem (self, &at, "the row belongs to none of the agents that share the store");
    store->store = sight;
}

void tim3_fsck_shapes (tim3_fsck_t *self, tim3_fsck_store_t *store)
{
    void *record = tim3_alloc (record_size_max ());
    for (unsigned number = 0; number < 256; number++)
        if (store->closes_shared && is_hidden (number))
            check_hidden_table (self, store, number, record);
        else
            check_table (self, store, number, record);
    if (store->closes_shared)
        check_parts (self, store);
    free (record);
}

bool tim3_fsck_readable (tim3_fsck_t *self, const tim3_fsck_store_t *store)
{
    const tim3_fsck_place_t whole = {.store = store};
    if (tim3_store_error (store->store) == TIM3_STORE_OK)
        return true;
    tim3_fsck_problem (self, &whole,
                       "the store cannot be read to its end: its file is damaged; restore a backup");
    return false;
}
