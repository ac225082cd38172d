/*  memtable_tree.c - an arena, and a B+tree of the rows in it.  */
#include "store/memtable_tree.h"
#include "base/fetch.h"
#include "base/log.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*  ------------------------------------------------------------------------------------------- memory  */

#define CHUNK_LEAST ((size_t) 64 << 10)
#define CHUNK_MOST ((size_t) 4 << 20)
#define LARGE_PAGE ((size_t) 2 << 20)

void *tim3_memarray_grow (void *array, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity)
        return array;
    size_t more = *capacity ? 2 * *capacity : 16;
    TIM3_ASSERT (more > *capacity && more <= SIZE_MAX / item_size);
    array = realloc (array, more * item_size);
    TIM3_ASSERT (array);
    *capacity = more;
    return array;
}

/*  Rows lie anywhere in it, so pages are as large as can be: with small ones, 6 to 8 % of an agent's time went into looking up where
    they are.  */
static void add_chunk (tim3_memarena_t *self, size_t least)
{
    size_t size = self->count ? 2 * self->chunks[self->count - 1].size : CHUNK_LEAST;
    size = size > CHUNK_MOST ? CHUNK_MOST : size;
    while (size < least)
        size *= 2;
    self->chunks = tim3_memarray_grow (self->chunks, self->count, &self->capacity, sizeof *self->chunks);
    uint8_t *data = aligned_alloc (size < LARGE_PAGE ? 64 : LARGE_PAGE, size);
    TIM3_ASSERT (data);
    if (size >= LARGE_PAGE)
        madvise (data, size, MADV_HUGEPAGE); /* which need not be had */
    self->chunks[self->count++] = (tim3_memchunk_t){data, size};
}

/*  Goes to the next chunk that is large enough: one that was there before a batch was taken back, or a new one.  */
static void next_chunk (tim3_memarena_t *self, size_t size)
{
    size_t next = self->count ? self->at.chunk + 1 : 0;
    while (next < self->count && self->chunks[next].size < size)
        next++;
    if (next >= self->count)
        add_chunk (self, size);
    self->at = (tim3_memmark_t){next, 0};
}

void *tim3_memarena_take (tim3_memarena_t *self, size_t size)
{
    TIM3_ASSERT (size <= UINT32_MAX);
    size = (size + 7) & ~(size_t) 7;
    if (self->count == 0 || self->chunks[self->at.chunk].size - self->at.used < size)
        next_chunk (self, size);
    void *place = self->chunks[self->at.chunk].data + self->at.used;
    self->at.used += size;
    return place;
}

void tim3_memarena_go_back (tim3_memarena_t *self, tim3_memmark_t mark)
{
    self->at = mark;
}

size_t tim3_memarena_bytes (const tim3_memarena_t *self)
{
    size_t bytes = self->capacity * sizeof *self->chunks;
    for (size_t i = 0; i < self->count && i <= self->at.chunk; i++)
        bytes += self->chunks[i].size;
    return bytes;
}

void tim3_memarena_free (tim3_memarena_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        free (self->chunks[i].data);
    free (self->chunks);
    *self = (tim3_memarena_t){0};
}

/*  -------------------------------------------------------------------------------------------- nodes  */

#define WIDTH 64
#define PREFIX_MAX 104
#define HEIGHT_MAX 16
#define AHEAD 8 /* rows */

/*  In an inner node, entry i stands for child i, and its row is the smallest below that child. That of the very first
    child on every level is not kept up: it is never looked at, since whatever is not behind entry 1 belongs there.  */
struct tim3_memnode {
    uint16_t count;
    uint8_t prefix_size; /* what all rows have in common, as far as it is known */
    uint8_t newest;      /* where the last row came in */
    bool inner;
    uint8_t prefix[PREFIX_MAX];
    tim3_memnode_t *next; /* of leaves; of unused nodes */
    tim3_memnode_t *previous;
    uint64_t pieces[WIDTH]; /* the eight bytes of each key behind the prefix, as a number */
    const tim3_memdata_t *rows[WIDTH];
    tim3_memnode_t *children[]; /* WIDTH, in an inner node */
};

/*  A path from the root to an entry of a leaf is an array of these: level 0 is the leaf. (Not two arrays: gcc 12.2
    then takes what descend writes for unwritten.)  */
typedef struct {
    tim3_memnode_t *node;
    unsigned at;
} step_t;

static tim3_memnode_t *new_node (tim3_memtree_t *self, bool inner)
{
    tim3_memnode_t **unused = inner ? &self->free_inners : &self->free_leaves;
    tim3_memnode_t *node = *unused;
    size_t size = sizeof *node + (inner ? WIDTH * sizeof node->children[0] : 0);
    if (node)
        *unused = node->next;
    else
        node = tim3_memarena_take (&self->arena, size);
    memset (node, 0, offsetof (tim3_memnode_t, pieces));
    node->inner = inner;
    return node;
}

static void drop_node (tim3_memtree_t *self, tim3_memnode_t *node)
{
    tim3_memnode_t **unused = node->inner ? &self->free_inners : &self->free_leaves;
    if (node->previous)
        node->previous->next = node->next;
    if (node->next)
        node->next->previous = node->previous;
    node->next = *unused;
    *unused = node;
}

/*  The first entry whose row can be relied on.  */
static unsigned first_entry (const tim3_memnode_t *node)
{
    return node->inner ? 1 : 0;
}

/*  --------------------------------------------------------------------------------------- comparing  */

int tim3_memdata_compare (const tim3_memdata_t *row, const uint8_t *key, size_t key_size)
{
    size_t least = row->key_size < key_size ? row->key_size : key_size;
    int order = memcmp (row->key, key, least);
    return order ? order : (row->key_size > key_size) - (row->key_size < key_size);
}

static size_t common (const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    size_t least = a_size < b_size ? a_size : b_size;
    size_t size = 0;
    while (size < least && a[size] == b[size])
        size++;
    return size;
}

static uint64_t piece_of (const uint8_t *key, size_t key_size, size_t from)
{
    uint8_t bytes[8] = {0};
    uint64_t piece;
    if (from + 8 <= key_size)
        memcpy (bytes, key + from, 8);
    else if (from < key_size)
        memcpy (bytes, key + from, key_size - from);
    memcpy (&piece, bytes, 8);
    return be64toh (piece);
}

uint64_t tim3_mempiece (const tim3_memdata_t *row, size_t from)
{
    return piece_of (row->key, row->key_size, from);
}

/*  The first of the entries from low on (before high) whose piece is not below.  */
static unsigned first_piece (const tim3_memnode_t *node, unsigned low, unsigned high, uint64_t piece)
{
    unsigned size = high - low;
    while (size > 0) {
        unsigned half = size / 2;
        bool below = node->pieces[low + half] < piece;
        low = below ? low + half + 1 : low;
        size = below ? size - half - 1 : half;
    }
    return low;
}

/*  The first entry whose row is at or after the key (past: after it), or count.  */
static unsigned search (const tim3_memnode_t *node, const uint8_t *key, size_t key_size, bool past)
{
    unsigned low = first_entry (node);
    unsigned high = node->count;
    if (node->prefix_size > 0) {
        size_t same = node->prefix_size < key_size ? node->prefix_size : key_size;
        int order = memcmp (key, node->prefix, same);
        if (order || same < node->prefix_size)
            return order > 0 ? high : low;
    }
    uint64_t piece = piece_of (key, key_size, node->prefix_size);
    low = first_piece (node, low, high, piece);
    if (low == high || node->pieces[low] != piece)
        return low;
    high = piece == UINT64_MAX ? high : first_piece (node, low, high, piece + 1);
    while (low < high) {
        unsigned middle = (low + high) / 2;
        int where = tim3_memdata_compare (node->rows[middle], key, key_size);
        if (where < 0 || (past && where == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/*  Finds the prefix and the pieces anew. Costs a look at every row.  */
static void renew_pieces (tim3_memnode_t *node, size_t prefix_size)
{
    unsigned first = first_entry (node);
    if (first < node->count)
        memcpy (node->prefix, node->rows[first]->key, prefix_size);
    node->prefix_size = (uint8_t) prefix_size;
    for (unsigned i = first; i < node->count; i++)
        node->pieces[i] = piece_of (node->rows[i]->key, node->rows[i]->key_size, prefix_size);
}

/*  The prefix is no longer than what the row has in common with it.  */
static void keep_prefix (tim3_memnode_t *node, const tim3_memdata_t *row)
{
    if (row->key_size >= node->prefix_size && memcmp (node->prefix, row->key, node->prefix_size) == 0)
        return;
    renew_pieces (node, common (node->prefix, node->prefix_size, row->key, row->key_size));
}

static size_t common_of_all (const tim3_memnode_t *node)
{
    const tim3_memdata_t *first = node->rows[first_entry (node)];
    const tim3_memdata_t *last = node->rows[node->count - 1];
    size_t size = common (first->key, first->key_size, last->key, last->key_size);
    return size < PREFIX_MAX ? size : PREFIX_MAX;
}

/*  After an entry came in: a longer prefix may tell it from its neighbours without a look at their rows.  */
static void sharpen (tim3_memnode_t *node, unsigned at)
{
    unsigned first = first_entry (node);
    bool tied = (at > first && node->pieces[at - 1] == node->pieces[at]) ||
                (at + 1 < node->count && node->pieces[at + 1] == node->pieces[at]);
    if (!tied || at < first)
        return;
    size_t size = common_of_all (node);
    if (size > node->prefix_size)
        renew_pieces (node, size);
}

/*  -------------------------------------------------------------------------------------------- descent  */

/*  A node that is not in a cache is there sooner when all that will be read of it is asked for at once: its head and one of its
    arrays.  */
TIM3_FETCHES fetch_node (const tim3_memnode_t *node, const void *array, size_t size)
{
    tim3_fetch (node);
    for (size_t at = 0; at < size; at += TIM3_CACHE_LINE)
        tim3_fetch ((const uint8_t *) array + at);
}

static tim3_memnode_t *child_at (const tim3_memnode_t *node, unsigned at)
{
    tim3_memnode_t *child = node->children[at];
    fetch_node (child, child->pieces, sizeof child->pieces);
    return child;
}

static void descend (const tim3_memtree_t *self, const uint8_t *key, size_t key_size, step_t *path)
{
    tim3_memnode_t *node = self->root;
    for (unsigned level = self->height; level-- > 0;) {
        TIM3_ASSERT (node->inner == (level > 0));
        path[level].node = node;
        path[level].at = search (node, key, key_size, level > 0) - (level > 0);
        if (level > 0)
            node = child_at (node, path[level].at);
    }
}

/*  The place of the first row at or after the key (past: after it); at may be the leaf's count.  */
static tim3_memplace_t seek (const tim3_memtree_t *self, const uint8_t *key, size_t key_size, bool past)
{
    const tim3_memnode_t *node = self->root;
    if (!node)
        return (tim3_memplace_t){0};
    while (node->inner)
        node = child_at (node, search (node, key, key_size, true) - 1);
    return (tim3_memplace_t){node, search (node, key, key_size, past)};
}

/*  Who goes through all rows in order meets each of them somewhere else in memory. So rows, of two lines mostly, are asked for some
    time before it is their turn, and with the first of a leaf the pointers of the next.  */
TIM3_FETCHES fetch_ahead (const tim3_memplace_t *place)
{
    const tim3_memnode_t *leaf = place->leaf;
    unsigned at = place->at + AHEAD;
    if (place->at == 0 && leaf->next)
        fetch_node (leaf->next, leaf->next->rows, sizeof leaf->rows);
    if (at >= leaf->count) {
        at -= leaf->count;
        leaf = leaf->next;
    }
    if (!leaf || at >= leaf->count)
        return;
    tim3_fetch (leaf->rows[at]);
    tim3_fetch ((const uint8_t *) leaf->rows[at] + TIM3_CACHE_LINE);
}

const tim3_memdata_t *tim3_memtree_next (tim3_memplace_t *place)
{
    if (place->leaf && place->at >= place->leaf->count)
        *place = (tim3_memplace_t){place->leaf->next, 0};
    if (!place->leaf)
        return NULL;
    fetch_ahead (place);
    return place->leaf->rows[place->at++];
}

const tim3_memdata_t *tim3_memtree_after (const tim3_memtree_t *self, const uint8_t *key, size_t key_size,
                                          bool past)
{
    tim3_memplace_t place = seek (self, key, key_size, past);
    return tim3_memtree_next (&place);
}

const tim3_memdata_t *tim3_memtree_before (const tim3_memtree_t *self, const uint8_t *key, size_t key_size,
                                           bool past)
{
    tim3_memplace_t place = seek (self, key, key_size, past);
    if (!place.leaf)
        return NULL;
    if (place.at > 0)
        return place.leaf->rows[place.at - 1];
    const tim3_memnode_t *leaf = place.leaf->previous;
    return leaf ? leaf->rows[leaf->count - 1] : NULL;
}

tim3_memplace_t tim3_memtree_first (const tim3_memtree_t *self)
{
    const tim3_memnode_t *node = self->root;
    while (node && node->inner)
        node = node->children[0];
    return (tim3_memplace_t){node, 0};
}

/*  ------------------------------------------------------------------------------------------- inserting  */

/*  Moves the entries from a place on into a new node to the right. */
static tim3_memnode_t *split (tim3_memtree_t *self, tim3_memnode_t *node, unsigned at)
{
    tim3_memnode_t *right = new_node (self, node->inner);
    unsigned moved = node->count - at;
    memcpy (right->prefix, node->prefix, node->prefix_size);
    right->prefix_size = node->prefix_size;
    memcpy (right->pieces, node->pieces + at, moved * sizeof right->pieces[0]);
    memcpy (right->rows, node->rows + at, moved * sizeof right->rows[0]);
    if (node->inner)
        memcpy (right->children, node->children + at, moved * sizeof right->children[0]);
    right->count = (uint16_t) moved;
    node->count = (uint16_t) at;
    if (node->inner)
        return right;
    right->previous = node;
    right->next = node->next;
    node->next = right;
    if (right->next)
        right->next->previous = right;
    return right;
}

static void shift (tim3_memnode_t *node, unsigned at)
{
    unsigned behind = node->count - at;
    memmove (node->pieces + at + 1, node->pieces + at, behind * sizeof node->pieces[0]);
    memmove (node->rows + at + 1, node->rows + at, behind * sizeof node->rows[0]);
    if (node->inner)
        memmove (node->children + at + 1, node->children + at, behind * sizeof node->children[0]);
    node->count++;
}

static void add (tim3_memnode_t *node, unsigned at, const tim3_memdata_t *row, tim3_memnode_t *child)
{
    TIM3_ASSERT (node->count < WIDTH && at <= node->count);
    keep_prefix (node, row);
    shift (node, at);
    node->rows[at] = row;
    node->pieces[at] = piece_of (row->key, row->key_size, node->prefix_size);
    if (node->inner)
        node->children[at] = child;
    node->newest = (uint8_t) at;
    sharpen (node, at);
}

/*  Where to part a full node. Rows that come in order leave full nodes behind them, and others half full ones. */
static unsigned split_at (const tim3_memnode_t *node, unsigned at)
{
    bool in_order = at == node->count || at == node->newest + 1u;
    return in_order && at > WIDTH / 2 ? at : WIDTH / 2;
}

static void add_root (tim3_memtree_t *self, step_t *path)
{
    TIM3_ASSERT (self->height < HEIGHT_MAX);
    tim3_memnode_t *root = new_node (self, true);
    root->count = 1;
    root->rows[0] = NULL; /* never looked at */
    root->pieces[0] = 0;
    root->children[0] = self->root;
    self->root = root;
    path[self->height].node = root;
    path[self->height++].at = 0;
}

/*  Adds an entry to a leaf, and where a node is full, one beside it to the level above.  */
static void add_at (tim3_memtree_t *self, step_t *path, const tim3_memdata_t *row)
{
    tim3_memnode_t *child = NULL;
    for (unsigned level = 0;; level++) {
        tim3_memnode_t *node = path[level].node;
        unsigned at = path[level].at + (level > 0);
        if (node->count < WIDTH) {
            add (node, at, row, child);
            return;
        }
        unsigned middle = split_at (node, at);
        tim3_memnode_t *right = split (self, node, middle);
        if (at > middle || right->count == 0)
            add (right, at - middle, row, child);
        else
            add (node, at, row, child);
        row = right->rows[0];
        child = right;
        if (level + 1 == self->height)
            add_root (self, path);
    }
}

void tim3_memtree_clear (tim3_memtree_t *self)
{
    tim3_memarena_t arena = self->arena;
    arena.at = (tim3_memmark_t){0};
    *self = (tim3_memtree_t){.arena = arena};
}

/*  Whether a row that comes after all that went into a leaf so far goes there too, and finds room.  */
static bool goes_into (const tim3_memnode_t *leaf, const tim3_memdata_t *row)
{
    if (!leaf || leaf->count == WIDTH)
        return false;
    const tim3_memdata_t *end = leaf->next ? leaf->next->rows[0] : NULL;
    return !end || tim3_memdata_compare (end, row->key, row->key_size) > 0;
}

static tim3_memnode_t *insert (tim3_memtree_t *self, const tim3_memdata_t *row)
{
    step_t path[HEIGHT_MAX];
    if (!self->root) {
        self->root = new_node (self, false);
        self->height = 1;
    }
    descend (self, row->key, row->key_size, path);
    tim3_memnode_t *leaf = path[0].node;
    bool splits = leaf->count == WIDTH;
    add_at (self, path, row);
    return splits ? NULL : leaf;
}

void tim3_memtree_insert (tim3_memtree_t *self, tim3_memdata_t *const *rows, size_t count)
{
    tim3_memnode_t *leaf = NULL;
    for (size_t i = 0; i < count; i++) {
        tim3_memdata_t *row = rows[i];
        if (i + AHEAD < count)
            tim3_fetch (rows[i + AHEAD]->key);
        if (goes_into (leaf, row))
            add (leaf, search (leaf, row->key, row->key_size, false), row, NULL);
        else
            leaf = insert (self, row);
        row->ordered = true;
    }
}

/*  ------------------------------------------------------------------------------------------- removing  */

static void take_out (tim3_memnode_t *node, unsigned at)
{
    unsigned behind = --node->count - at;
    memmove (node->pieces + at, node->pieces + at + 1, behind * sizeof node->pieces[0]);
    memmove (node->rows + at, node->rows + at + 1, behind * sizeof node->rows[0]);
    if (node->inner)
        memmove (node->children + at, node->children + at + 1, behind * sizeof node->children[0]);
    node->newest = 0;
}

/*  A smaller tree: no root of one child, and none of none. */
static void lower_root (tim3_memtree_t *self)
{
    while (self->root && self->root->count <= !!self->root->inner) {
        tim3_memnode_t *root = self->root;
        self->root = root->inner && root->count ? root->children[0] : NULL;
        self->height = self->root ? self->height - 1 : 0;
        drop_node (self, root);
    }
}

/*  The smallest row below a node is another: so says the entry above it, and where that is the first, the next. */
static void tell_smallest (tim3_memtree_t *self, step_t *path, unsigned level)
{
    const tim3_memdata_t *row = path[level].node->rows[0];
    while (++level < self->height) {
        tim3_memnode_t *node = path[level].node;
        unsigned at = path[level].at;
        node->rows[at] = row;
        if (at == 0)
            continue;
        keep_prefix (node, row);
        node->pieces[at] = piece_of (row->key, row->key_size, node->prefix_size);
        return;
    }
}

void tim3_memtree_remove (tim3_memtree_t *self, tim3_memdata_t *row)
{
    step_t path[HEIGHT_MAX];
    unsigned level = 0;
    TIM3_ASSERT (self->root);
    descend (self, row->key, row->key_size, path);
    TIM3_ASSERT (path[0].at < path[0].node->count && path[0].node->rows[path[0].at] == row);
    take_out (path[0].node, path[0].at);
    while (path[level].node->count == 0 && level + 1 < self->height) {
        drop_node (self, path[level++].node);
        take_out (path[level].node, path[level].at);
    }
    if (path[level].node->count > 0 && path[level].at == 0)
        tell_smallest (self, path, level);
    lower_root (self);
    row->ordered = false;
}
