/*  store.c - tables, keys and typed access; what every implementation shares.  */
#include "store/store.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tim3_table_row_t s_tables[] = {
#define T(number, NAME, name, owner, record, key) {number, name, owner, &tim3_shape_##record, key},
    TIM3_TABLES (T)
#undef T
};

const tim3_table_row_t *tim3_table_at (unsigned position)
{
    return position < sizeof s_tables / sizeof s_tables[0] ? &s_tables[position] : NULL;
}

static const tim3_shape_t *shape_of (tim3_table_t table)
{
    switch (table) {
#define T(number, NAME, name, owner, record, key) \
    case number:                                  \
        return &tim3_shape_##record;
        TIM3_TABLES (T)
#undef T
    }
    tim3_panic (__FILE__, __LINE__, "no such table");
}

const tim3_table_row_t *tim3_table (tim3_table_t table)
{
    const tim3_table_row_t *row;
    for (unsigned i = 0; (row = tim3_table_at (i)); i++)
        if (row->number == table)
            return row;
    return NULL;
}

/*  ----------------------------------------------------------------------------------------------- keys  */

static void add (tim3_key_t *key, const void *data, size_t size)
{
    TIM3_ASSERT (key->size + size <= TIM3_KEY_MAX);
    memcpy (key->data + key->size, data, size);
    key->size = (uint16_t) (key->size + size);
}

tim3_key_t tim3_key_empty (void)
{
    tim3_key_t key;
    key.size = 0;
    return key;
}

void tim3_key_add_text (tim3_key_t *key, const char *text)
{
    add (key, text, strlen (text) + 1);
}

void tim3_key_add_u64 (tim3_key_t *key, uint64_t number)
{
    uint8_t bytes[8];
    for (int i = 7; i >= 0; i--, number >>= 8)
        bytes[i] = (uint8_t) number;
    add (key, bytes, sizeof bytes);
}

void tim3_key_add_u8 (tim3_key_t *key, uint8_t number)
{
    add (key, &number, 1);
}

void tim3_key_add_id (tim3_key_t *key, const tim3_id_t *id)
{
    add (key, id->bytes, sizeof id->bytes);
}

void tim3_key_set_text (tim3_key_t *key, const char *text)
{
    key->size = 0;
    tim3_key_add_text (key, text);
}

void tim3_key_set_id (tim3_key_t *key, const tim3_id_t *id)
{
    key->size = 0;
    tim3_key_add_id (key, id);
}

tim3_key_t tim3_key_text (const char *text)
{
    tim3_key_t key;
    tim3_key_set_text (&key, text);
    return key;
}

tim3_key_t tim3_key_u64 (uint64_t number)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_key_add_u64 (&key, number);
    return key;
}

tim3_key_t tim3_key_id (const tim3_id_t *id)
{
    tim3_key_t key;
    tim3_key_set_id (&key, id);
    return key;
}

bool tim3_key_has_prefix (const tim3_key_t *key, const tim3_key_t *prefix)
{
    return key->size >= prefix->size && memcmp (key->data, prefix->data, prefix->size) == 0;
}

uint64_t tim3_key_read_u64 (const tim3_key_t *key, size_t at)
{
    uint64_t number = 0;
    TIM3_ASSERT (at + 8 <= key->size);
    for (size_t i = 0; i < 8; i++)
        number = number << 8 | key->data[at + i];
    return number;
}

tim3_id_t tim3_key_read_id (const tim3_key_t *key, size_t at)
{
    tim3_id_t id;
    TIM3_ASSERT (at + sizeof id <= key->size);
    memcpy (id.bytes, key->data + at, sizeof id);
    return id;
}

/*  -------------------------------------------------------------------------------------- typed access  */

/*  Stored records hold no lists, so decoding one needs no arena.  */
static void decode (tim3_store_t *self, tim3_table_t table, const uint8_t *value, size_t size, void *record)
{
    tim3_arena_t none = {0};
    tim3_fault_t fault;
    if (tim3_decode_array (value, size, shape_of (table), record, &none, &fault))
        self->error = TIM3_STORE_CORRUPT;
}

bool tim3_store_read (tim3_store_t *self, tim3_table_t table, const tim3_key_t *key, void *record)
{
    const uint8_t *value;
    size_t size;
    if (!self->ops->get (self, table, key, &value, &size)) {
        memset (record, 0, shape_of (table)->size);
        return false;
    }
    decode (self, table, value, size, record);
    return true;
}

void tim3_store_fetch (tim3_store_t *self, tim3_table_t table, const tim3_key_t *key)
{
    if (self->ops->fetch)
        self->ops->fetch (self, table, key);
}

void tim3_store_write (tim3_store_t *self, tim3_table_t table, const tim3_key_t *key, const void *record)
{
    tim3_buffer_clear (&self->scratch);
    tim3_encode_array (&self->scratch, shape_of (table), record);
    self->ops->put (self, table, key, self->scratch.data, self->scratch.size);
}

bool tim3_store_has (tim3_store_t *self, tim3_table_t table, const tim3_key_t *key)
{
    const uint8_t *value;
    size_t size;
    return self->ops->get (self, table, key, &value, &size);
}

void tim3_store_delete (tim3_store_t *self, tim3_table_t table, const tim3_key_t *key)
{
    self->ops->del (self, table, key);
}

bool tim3_store_seek (tim3_store_t *self, tim3_table_t table, tim3_seek_t how, tim3_key_t *key, void *record)
{
    const uint8_t *value;
    size_t size;
    if (!self->ops->seek (self, table, how, key, &value, &size))
        return false;
    decode (self, table, value, size, record);
    return self->error == TIM3_STORE_OK;
}

int tim3_store_commit (tim3_store_t *self)
{
    if (self->error)
        return -1;
    return self->ops->commit (self);
}

void tim3_store_abort (tim3_store_t *self)
{
    self->ops->abort (self);
    if (self->error == TIM3_STORE_FULL)
        self->error = TIM3_STORE_OK;
}

bool tim3_store_dirty (tim3_store_t *self)
{
    return self->ops->dirty (self);
}

tim3_store_error_t tim3_store_error (const tim3_store_t *self)
{
    return self->error;
}

void tim3_store_note (tim3_store_t *self, const void *data, size_t size)
{
    if (self->ops->note)
        self->ops->note (self, data, size);
}

bool tim3_store_fresh (tim3_store_t *self)
{
    return self->ops->fresh && self->ops->fresh (self);
}

void tim3_store_usage (tim3_store_t *self, uint64_t *used, uint64_t *most)
{
    self->ops->usage (self, used, most);
}

uint64_t tim3_store_commits (tim3_store_t *self)
{
    return self->ops->commits ? self->ops->commits (self) : 0;
}

int tim3_store_copy_begin (tim3_store_t *self, const char *path, char *why, size_t why_size)
{
    if (self->ops->copy_begin && !self->error)
        return self->ops->copy_begin (self, path, why, why_size);
    snprintf (why, why_size, "this store cannot be copied");
    return -1;
}

void tim3_store_copy_look (tim3_store_t *self, tim3_store_copy_t *copy)
{
    memset (copy, 0, sizeof *copy);
    if (self->ops->copy_look)
        self->ops->copy_look (self, copy);
}

void tim3_store_copy_end (tim3_store_t *self, bool keep)
{
    if (self->ops->copy_end)
        self->ops->copy_end (self, keep);
}

void tim3_store_close (tim3_store_t **self)
{
    if (!*self)
        return;
    tim3_buffer_free (&(*self)->scratch);
    (*self)->ops->close (*self);
    *self = NULL;
}
