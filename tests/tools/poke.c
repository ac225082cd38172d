/*  poke.c - breaks stores on purpose, for tests: edits single records of a stopped agent's store, or of a copy,
    behind TIM3's back.

        tim3-poke STORE list [TABLE]                     one line per row: table, key in hexadecimal, record as JSON
        tim3-poke STORE TABLE KEY FIELD=VALUE ...        edits fields; a row that is not there is made
        tim3-poke STORE TABLE KEY bump FIELD             makes the field another legal value
        tim3-poke STORE TABLE KEY event N bump FIELD     the same for type, time_us or body of one event of a run, from 0
        tim3-poke STORE TABLE KEY delete
        tim3-poke STORE TABLE KEY copy KEY               the same record under another key
        tim3-poke STORE TABLE KEY raw BYTES              any bytes as the record
        tim3-poke STORE as ROLE ...                      any of these, as that agent sees a store that it shares

    TABLE is a name or a number; KEY, BYTES and fields that are raw are in hexadecimal. Amounts are minor units,
    enumerations numbers.
*/
#include "base/address.h"
#include "base/log.h"
#include "store/store.h"
#include "tim3ctl_print.h"
#include "wire/run.h"
#include "wire/writer.h"

#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MOST 8192

typedef struct {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    unsigned table;
    tim3_role_t role; /* whose sight of a shared store it is, or none */
    uint8_t key[2 + TIM3_KEY_MAX];
    MDB_val place;
} poke_t;

static void must (int rc, const char *doing)
{
    if (rc)
        tim3_fatal (1, "%s: %s", doing, mdb_strerror (rc));
}

static void open_store (poke_t *self, const char *path)
{
    must (mdb_env_create (&self->env), "create");
    must (mdb_env_set_mapsize (self->env, (size_t) 1 << 30), "map");
    must (mdb_env_open (self->env, path, MDB_NOLOCK, 0600), path);
    must (mdb_txn_begin (self->env, NULL, 0, &self->txn), "begin");
    must (mdb_dbi_open (self->txn, NULL, 0, &self->dbi), "open");
}

static void close_store (poke_t *self)
{
    must (mdb_txn_commit (self->txn), "commit");
    mdb_env_close (self->env);
}

static unsigned parse_table (const char *name)
{
    const tim3_table_row_t *row;
    for (unsigned i = 0; (row = tim3_table_at (i)); i++)
        if (strcmp (row->name, name) == 0)
            return row->number;
    return (unsigned) strtoul (name, NULL, 10);
}

static const tim3_table_row_t *row_of (unsigned table)
{
    return tim3_table ((tim3_table_t) table);
}

static void parse_key (poke_t *self, const char *hex)
{
    bool apart = self->role != TIM3_ROLE_NONE && tim3_store_view_is_apart ((tim3_table_t) self->table);
    size_t front = apart ? 2 : 1;
    int size = tim3_hex_parse (hex, self->key + front, TIM3_KEY_MAX);
    if (size < 0)
        tim3_fatal (2, "a key is hexadecimal, not %s", hex);
    if (apart)
        self->key[1] = (uint8_t) self->role;
    self->key[0] = (uint8_t) self->table;
    self->place = (MDB_val){(size_t) size + front, self->key};
}

/*  ----------------------------------------------------------------------------------------------- list  */

static void list_row (unsigned table, const tim3_key_t *key, const uint8_t *value, size_t size)
{
    const tim3_table_row_t *row = row_of (table);
    char hex[2 * TIM3_KEY_MAX + 1];
    tim3_arena_t none = {0};
    tim3_fault_t fault;
    printf ("%s %s ", row ? row->name : "?", tim3_hex_format (key->data, key->size, hex));
    void *record = tim3_alloc (row ? row->shape->size : 1);
    if (row && tim3_decode_array (value, size, row->shape, record, &none, &fault) == 0)
        tim3ctl_json_print_line (tim3ctl_json (row->shape, record));
    else
        puts ("null");
    free (record);
}

static void list_table (tim3_store_t *store, unsigned table)
{
    tim3_key_t key = tim3_key_empty ();
    const uint8_t *value;
    size_t size;
    if (store->ops->get (store, (tim3_table_t) table, &key, &value, &size))
        list_row (table, &key, value, size);
    while (store->ops->seek (store, (tim3_table_t) table, TIM3_SEEK_GT, &key, &value, &size))
        list_row (table, &key, value, size);
}

/*  As an agent would see it, with what its journal holds.  */
static void list (const char *path, tim3_role_t role, const char *table)
{
    char why[512];
    bool in_use;
    tim3_store_meta_t meta;
    tim3_store_t *store = tim3_store_open_read_only (path, &meta, &in_use, why, sizeof why);
    if (!store)
        tim3_fatal (1, "%s", why);
    tim3_store_t *seen = role != TIM3_ROLE_NONE ? tim3_store_view (store, role) : NULL;
    for (unsigned number = 0; number < 256; number++)
        if (!table || number == parse_table (table))
            list_table (seen ? seen : store, number);
    if (seen)
        tim3_store_close (&seen);
    tim3_store_close (&store);
}

/*  ----------------------------------------------------------------------------------------------- edits  */

static void put (poke_t *self, const void *data, size_t size)
{
    MDB_val value = {size, (void *) (uintptr_t) data};
    must (mdb_put (self->txn, self->dbi, &self->place, &value, 0), "put");
}

static void put_raw (poke_t *self, const char *hex)
{
    uint8_t bytes[VALUE_MOST];
    int size = tim3_hex_parse (hex, bytes, sizeof bytes);
    if (size < 0)
        tim3_fatal (2, "bytes are hexadecimal, not %s", hex);
    put (self, bytes, (size_t) size);
}

static void copy_to (poke_t *self, const char *hex)
{
    MDB_val value;
    must (mdb_get (self->txn, self->dbi, &self->place, &value), "get");
    uint8_t *copy = tim3_alloc (value.mv_size);
    memcpy (copy, value.mv_data, value.mv_size);
    parse_key (self, hex);
    put (self, copy, value.mv_size);
    free (copy);
}

static void set_bytes (const tim3_field_t *field, void *member, const char *text, size_t size)
{
    if (tim3_hex_parse (text, member, size) != (int) size)
        tim3_fatal (2, "%s takes %zu bytes in hexadecimal", field->name, size);
}

static void set_raw (tim3_raw_t *raw, const char *text)
{
    uint8_t *bytes = tim3_alloc (VALUE_MOST);
    int size = tim3_hex_parse (text, bytes, VALUE_MOST);
    TIM3_ASSERT (size > 0);
    *raw = (tim3_raw_t){bytes, (uint32_t) size};
}

static void set_member (const tim3_field_t *field, void *member, const char *text)
{
    tim3_amount_t amount;
    switch (field->kind) {
    case TIM3_KIND_U64:
        *(uint64_t *) member = strtoull (text, NULL, 10);
        break;
    case TIM3_KIND_BOOL:
        *(bool *) member = strcmp (text, "yes") == 0;
        break;
    case TIM3_KIND_ENUM:
        *(uint8_t *) member = (uint8_t) strtoul (text, NULL, 10);
        break;
    case TIM3_KIND_AMOUNT:
        TIM3_ASSERT (tim3_amount_parse_units (text, &amount));
        memcpy (member, &amount, sizeof amount);
        break;
    case TIM3_KIND_STR:
        snprintf (member, field->bound + 1u, "%s", text);
        break;
    case TIM3_KIND_ID:
        set_bytes (field, member, text, sizeof (tim3_id_t));
        break;
    case TIM3_KIND_MAC:
        set_bytes (field, member, text, sizeof (tim3_mac_t));
        break;
    case TIM3_KIND_RAW:
        set_raw (member, text);
        break;
    case TIM3_KIND_LIST:
        tim3_fatal (2, "%s is a list", field->name);
    }
}

static const tim3_field_t *find_field (const tim3_shape_t *shape, const char *name)
{
    for (unsigned i = 0; i < shape->count; i++)
        if (strcmp (shape->fields[i].name, name) == 0)
            return &shape->fields[i];
    tim3_fatal (2, "%s has no field %s", shape->name, name);
}

static void set_field (const tim3_shape_t *shape, void *record, char *edit)
{
    char *equals = strchr (edit, '=');
    if (!equals)
        tim3_fatal (2, "FIELD=VALUE, not %s", edit);
    *equals = '\0';
    const tim3_field_t *field = find_field (shape, edit);
    set_member (field, (uint8_t *) record + field->offset, equals + 1);
}

static void bump_enum (const tim3_field_t *field, uint8_t *member)
{
    const tim3_value_t *value = field->values;
    while (value->name && value->number <= *member)
        value++;
    *member = value->name ? value->number : field->values->number;
}

static void bump_text (char *text)
{
    size_t length = strlen (text);
    if (length == 0)
        strcpy (text, "x");
    else
        text[length - 1] = text[length - 1] == 'x' ? 'y' : 'x';
}

static void bump_amount (void *member)
{
    tim3_amount_t amount;
    memcpy (&amount, member, sizeof amount);
    amount++;
    memcpy (member, &amount, sizeof amount);
}

/*  The last byte of an event's body, and so of a run, belongs to the number that it ends with, that of a list of tails to the
    last one.  */
static void bump_raw (tim3_raw_t *raw)
{
    static uint8_t copy[TIM3_RUN_BYTES_MAX];
    TIM3_ASSERT (raw->size <= sizeof copy);
    memcpy (copy, raw->data, raw->size);
    copy[raw->size - 1] ^= 1;
    raw->data = copy;
}

static void bump_member (const tim3_field_t *field, void *member)
{
    switch (field->kind) {
    case TIM3_KIND_U64:
        ++*(uint64_t *) member;
        break;
    case TIM3_KIND_BOOL:
        *(bool *) member = !*(bool *) member;
        break;
    case TIM3_KIND_ENUM:
        bump_enum (field, member);
        break;
    case TIM3_KIND_AMOUNT:
        bump_amount (member);
        break;
    case TIM3_KIND_STR:
        bump_text (member);
        break;
    case TIM3_KIND_ID:
    case TIM3_KIND_MAC:
        *(uint8_t *) member ^= 1;
        break;
    case TIM3_KIND_RAW:
        bump_raw (member);
        break;
    case TIM3_KIND_LIST:
        tim3_fatal (2, "%s is a list", field->name);
    }
}

/*  Puts the run together again, with a field of one of its events bumped.  */
static void edit_event (tim3_run_t *run, uint64_t place, const char *name)
{
    static tim3_buffer_t buffer;
    const tim3_field_t *field = find_field (&tim3_shape_event_item, name);
    tim3_run_walk_t walk;
    tim3_event_item_t item;
    tim3_run_begin (&buffer);
    tim3_run_walk (&walk, run);
    for (uint64_t i = 0; tim3_run_step (&walk, &item); i++) {
        if (i == place)
            bump_member (field, (uint8_t *) &item + field->offset);
        uint8_t *at = tim3_put_array (tim3_buffer_room (&buffer, 4 * TIM3_PUT_MOST + item.body.size), 3);
        at = tim3_put_bin (tim3_put_u64 (tim3_put_u64 (at, item.type), item.time_us), item.body.size);
        tim3_buffer_filled (&buffer, tim3_put_bytes (at, item.body.data, item.body.size));
    }
    run->events = tim3_run_end (&buffer);
}

static void edit_all (const tim3_shape_t *shape, void *record, int count, char **edits)
{
    if (count == 4 && strcmp (edits[0], "event") == 0 && shape == &tim3_shape_run) {
        edit_event (record, strtoull (edits[1], NULL, 10), edits[3]);
        return;
    }
    if (count == 2 && strcmp (edits[0], "bump") == 0) {
        const tim3_field_t *field = find_field (shape, edits[1]);
        bump_member (field, (uint8_t *) record + field->offset);
        return;
    }
    for (int i = 0; i < count; i++)
        set_field (shape, record, edits[i]);
}

static void edit (poke_t *self, int count, char **edits)
{
    const tim3_shape_t *shape = row_of (self->table)->shape;
    void *record = tim3_alloc (shape->size);
    tim3_buffer_t buffer = {0};
    tim3_arena_t none = {0};
    tim3_fault_t fault;
    MDB_val value;
    int rc = mdb_get (self->txn, self->dbi, &self->place, &value);
    if (rc != MDB_NOTFOUND)
        must (rc, "get");
    if (rc == 0 && tim3_decode_array (value.mv_data, value.mv_size, shape, record, &none, &fault))
        tim3_fatal (1, "the record cannot be read: %s", fault.field);
    edit_all (shape, record, count, edits);
    tim3_encode_array (&buffer, shape, record);
    put (self, buffer.data, buffer.size);
    tim3_buffer_free (&buffer);
    free (record);
}

int main (int argc, char **argv)
{
    poke_t self = {.role = TIM3_ROLE_NONE};
    tim3_log_open ("tim3-poke", TIM3_INFO);
    if (argc > 4 && strcmp (argv[2], "as") == 0) {
        self.role = tim3_role_parse (argv[3]);
        if (self.role == TIM3_ROLE_NONE)
            tim3_fatal (2, "%s is no role", argv[3]);
        argv[3] = argv[1];
        argc -= 2;
        argv += 2;
    }
    bool listing = argc >= 3 && argc <= 4 && strcmp (argv[2], "list") == 0;
    if (!listing && argc < 5)
        tim3_fatal (2, "usage: tim3-poke STORE [as ROLE] list [TABLE] | STORE TABLE KEY delete|copy KEY|raw "
                       "BYTES|FIELD=VALUE...");
    if (listing) {
        list (argv[1], self.role, argv[3]);
        return 0;
    }
    open_store (&self, argv[1]);
    self.table = parse_table (argv[2]);
    parse_key (&self, argv[3]);
    if (strcmp (argv[4], "delete") == 0)
        must (mdb_del (self.txn, self.dbi, &self.place, NULL), "delete");
    else if (argc == 6 && strcmp (argv[4], "copy") == 0)
        copy_to (&self, argv[5]);
    else if (argc == 6 && strcmp (argv[4], "raw") == 0)
        put_raw (&self, argv[5]);
    else
        edit (&self, argc - 4, argv + 4);
    close_store (&self);
    return 0;
}
