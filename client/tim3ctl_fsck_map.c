/*  tim3ctl_fsck_map.c - a map from bytes to values, for what is compared.  */
#include "tim3ctl_fsck.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

/*  The value stands behind the entry, the key behind the value.  */
typedef struct {
    UT_hash_handle hh;
    max_align_t value[];
} entry_t;

struct tim3_fsck_map {
    entry_t *entries;
    size_t value_size;
};

tim3_fsck_map_t *tim3_fsck_map_new (size_t value_size)
{
    tim3_fsck_map_t *self = tim3_alloc (sizeof *self);
    self->value_size = value_size;
    return self;
}

void tim3_fsck_map_destroy (tim3_fsck_map_t **self_p)
{
    entry_t *entry;
    entry_t *next;
    if (!*self_p)
        return;
    HASH_ITER (hh, (*self_p)->entries, entry, next)
    {
        HASH_DEL ((*self_p)->entries, entry);
        free (entry);
    }
    free (*self_p);
    *self_p = NULL;
}

void *tim3_fsck_map_find (const tim3_fsck_map_t *self, const void *key, size_t key_size)
{
    entry_t *entry;
    HASH_FIND (hh, self->entries, key, (unsigned) key_size, entry);
    return entry ? entry->value : NULL;
}

void *tim3_fsck_map_take (tim3_fsck_map_t *self, const void *key, size_t key_size)
{
    void *value = tim3_fsck_map_find (self, key, key_size);
    if (value)
        return value;
    entry_t *entry = tim3_alloc (sizeof *entry + self->value_size + key_size);
    uint8_t *copy = (uint8_t *) entry->value + self->value_size;
    memcpy (copy, key, key_size);
    HASH_ADD_KEYPTR (hh, self->entries, copy, (unsigned) key_size, entry);
    return entry->value;
}

void tim3_fsck_map_each (const tim3_fsck_map_t *self, tim3_fsck_map_fn *each, void *arg)
{
    for (entry_t *entry = self->entries; entry; entry = entry->hh.next)
        each (arg, entry->hh.key, entry->hh.keylen, entry->value);
}
