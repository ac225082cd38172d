/*  memtable_tree.h - the rows of a memtable, the memory they are in, and the tree that has them in order.

    For memtable.c alone. A B+tree with wide, linked leaves. A node tells its rows apart by eight bytes of each key,
    taken behind what all keys of the node have in common; a row itself is only looked at where those are equal.
    Nodes that run empty are taken out, so there are never more of them than rows; thin ones are not merged, because
    few rows are removed once they are in the tree.
*/
#ifndef TIM3_MEMTABLE_TREE_H
#define TIM3_MEMTABLE_TREE_H

#include "store/memtable.h"

/*  ------------------------------------------------------------------------------------------- memory
    Chunks that grow from small to large and never move. Taking goes forward only, and back to a mark.  */

typedef struct {
    uint8_t *data;
    size_t size;
} tim3_memchunk_t;

typedef struct {
    size_t chunk;
    size_t used; /* of that chunk */
} tim3_memmark_t;

typedef struct {
    tim3_memchunk_t *chunks;
    size_t count;
    size_t capacity;
    tim3_memmark_t at;
} tim3_memarena_t;

/*  Aligned to 8 bytes, not zeroed.  */
void *tim3_memarena_take (tim3_memarena_t *self, size_t size);
/*  Gives up whatever was taken since the arena was at the mark. Its chunks are kept.  */
void tim3_memarena_go_back (tim3_memarena_t *self, tim3_memmark_t mark);
/*  Of the chunks up to the one at hand; those that are kept behind it do not count.  */
size_t tim3_memarena_bytes (const tim3_memarena_t *self);
void tim3_memarena_free (tim3_memarena_t *self);
/*  Doubles an array that is full; memory exhaustion is fatal.  */
void *tim3_memarray_grow (void *array, size_t count, size_t *capacity, size_t item_size);

/*  ---------------------------------------------------------------------------------------------- rows  */

typedef struct {
    uint8_t *value; /* its place: behind the key, or elsewhere once it has grown */
    uint32_t value_size;
    uint32_t value_room; /* bytes of the place */
    uint64_t batch;      /* the last one that changed it */
    uint8_t key_size;
    bool deleted;
    bool forgotten; /* goes when the batch is kept */
    bool ordered;   /* it is in the tree */
    bool gone;      /* out of the table, while it waited to come into the tree */
    uint8_t key[];
} tim3_memdata_t;

/*  Less, equal or greater than 0, as the row is before, at or after the key.  */
int tim3_memdata_compare (const tim3_memdata_t *row, const uint8_t *key, size_t key_size);

/*  Eight bytes of a key as a number that compares as they do; where the key ends, zeros.  */
uint64_t tim3_mempiece (const tim3_memdata_t *row, size_t from);

/*  -------------------------------------------------------------------------------------------- sorting  */

typedef struct {
    uint64_t piece;
    tim3_memdata_t *row;
} tim3_mementry_t;

/*  Room to sort in, kept from time to time. Zeroed: none yet.  */
typedef struct {
    tim3_mementry_t *entries; /* twice as many as capacity says */
    size_t capacity;
} tim3_memsort_t;

/*  Keys are all different.  */
void tim3_memrows_sort (tim3_memsort_t *self, tim3_memdata_t **rows, size_t count);
size_t tim3_memsort_bytes (const tim3_memsort_t *self);
void tim3_memsort_free (tim3_memsort_t *self);

/*  ---------------------------------------------------------------------------------------------- tree  */

typedef struct tim3_memnode tim3_memnode_t;

typedef struct {
    tim3_memnode_t *root; /* NULL until the first row */
    tim3_memnode_t *free_leaves;
    tim3_memnode_t *free_inners;
    unsigned height;
    tim3_memarena_t arena;
} tim3_memtree_t;

/*  A place in the order. leaf is NULL past either end.  */
typedef struct {
    const tim3_memnode_t *leaf;
    unsigned at;
} tim3_memplace_t;

/*  Takes out all rows at once; the memory is kept.  */
void tim3_memtree_clear (tim3_memtree_t *self);
/*  Rows that are not in the tree, in order.  */
void tim3_memtree_insert (tim3_memtree_t *self, tim3_memdata_t *const *rows, size_t count);
/*  It must be in the tree.  */
void tim3_memtree_remove (tim3_memtree_t *self, tim3_memdata_t *row);

/*  The first row at or after the key (past: after it), and the last one before that.  */
const tim3_memdata_t *tim3_memtree_after (const tim3_memtree_t *self, const uint8_t *key, size_t key_size,
                                          bool past);
const tim3_memdata_t *tim3_memtree_before (const tim3_memtree_t *self, const uint8_t *key, size_t key_size,
                                           bool past);

tim3_memplace_t tim3_memtree_first (const tim3_memtree_t *self);
/*  The row at a place, which moves on; NULL at the end.  */
const tim3_memdata_t *tim3_memtree_next (tim3_memplace_t *place);

#endif
