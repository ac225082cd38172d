/*  memtable.h - an ordered table in memory: what has been written and is not yet in the environment below it.

    Keys and values are byte strings; keys compare as memcmp does, a prefix before what it is a prefix of. A row says
    that a key has a value, or that it was deleted ("deleted" hides what lies below). A key without a row says
    nothing: ask below.

    Changes collect in a batch: they are seen at once, and either kept (commit) or taken back (abort) together. The
    batch can be listed, each key once, in the order in which the keys were first changed.

    The first byte of a key says which table it belongs to; each table is brought into order by itself.

    One thread writes. When no more changes come, and all is in order, any number of threads may read.

    Cost: looking a key up, or adding one, takes one probe of a hash table. New keys are sorted later, when order is asked for or a few
    thousand have come: all of a table at once, in less than a millisecond. Memory is taken in large pieces. It is given back all at once by
    tim3_memtable_destroy, or used again after tim3_memtable_clear; a value that grows out of its place leaves the old place unused. The memory of
    a batch that is taken back is used by the next.
*/
#ifndef TIM3_MEMTABLE_H
#define TIM3_MEMTABLE_H

#include "base/bytes.h"

typedef struct tim3_memtable tim3_memtable_t;

typedef struct {
    const uint8_t *key;
    size_t key_size;
    const uint8_t *value; /* NULL when deleted */
    size_t value_size;
    bool deleted;
} tim3_memrow_t;

/*  Longest key, in bytes; a longer or an empty one fails an assertion.  */
#define TIM3_MEMTABLE_KEY_MAX 255

tim3_memtable_t *tim3_memtable_new (void);
void tim3_memtable_destroy (tim3_memtable_t **self);
/*  As new, but with the memory that it has: taking fresh pages from the system costs more than filling them.  */
void tim3_memtable_clear (tim3_memtable_t *self);

/*  Rows are valid until the next put, delete, commit or abort; keys for as long as the table, but for those that first
    came with a batch that is taken back: they are gone with it.  */

/*  False when the table has no row for the key.  */
bool tim3_memtable_get (const tim3_memtable_t *self, const uint8_t *key, size_t key_size, tim3_memrow_t *row);

/*  A hint that the key will be looked up soon: has the processor load what that will read.  */
void tim3_memtable_fetch (const tim3_memtable_t *self, const uint8_t *key, size_t key_size);

/*  The row nearest to the key: at or after it (or strictly after), or at or before it (or strictly before).
    Deleted rows count. False when the table that the key belongs to has none.  */
bool tim3_memtable_after (tim3_memtable_t *self, const uint8_t *key, size_t key_size, bool strictly,
                          tim3_memrow_t *row);
bool tim3_memtable_before (tim3_memtable_t *self, const uint8_t *key, size_t key_size, bool strictly,
                           tim3_memrow_t *row);

/*  Brings all tables into order: before rows are gone through with a cursor, or read by several threads.  */
void tim3_memtable_order (tim3_memtable_t *self);

void tim3_memtable_put (tim3_memtable_t *self, const uint8_t *key, size_t key_size, const uint8_t *value,
                        size_t value_size);
void tim3_memtable_delete (tim3_memtable_t *self, const uint8_t *key, size_t key_size);
/*  Deletes a row that hides nothing below: it counts as deleted until the batch is committed, and then there is no row at all. Without a row
    nothing happens.  */
void tim3_memtable_forget (tim3_memtable_t *self, const uint8_t *key, size_t key_size);

/*  The batch at hand: how many keys it changed, and each of them (from 0) as it is now.  */
size_t tim3_memtable_changes (const tim3_memtable_t *self);
tim3_memrow_t tim3_memtable_change (const tim3_memtable_t *self, size_t position);

/*  Begins a new batch: keeps the one at hand, or takes it back. A key that first came with a batch that is taken back
    has no row afterwards.  */
void tim3_memtable_commit (tim3_memtable_t *self);
void tim3_memtable_abort (tim3_memtable_t *self);

/*  All rows in order, deleted ones included: start with a zeroed cursor. No new row may come in between, and none go.  */
typedef struct {
    const void *leaf;
    unsigned at;
    bool begun;
} tim3_memcursor_t;
bool tim3_memtable_next (const tim3_memtable_t *self, tim3_memcursor_t *cursor, tim3_memrow_t *row);

size_t tim3_memtable_rows (const tim3_memtable_t *self);
/*  Memory in use, in bytes; what a cleared table has kept counts as it is used again.  */
size_t tim3_memtable_bytes (const tim3_memtable_t *self);

#endif
