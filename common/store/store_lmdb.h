/*  store_lmdb.h - what the tiers need of the environment below them.  */
#ifndef TIM3_STORE_LMDB_H
#define TIM3_STORE_LMDB_H

#include "store/memtable.h"
#include "store/store.h"

#define TIM3_STORE_PAGE 4096

/*  A second handle on the environment of an open store, which from then on only reads, as of the time of its first look
    since tim3_store_abort. The second one writes, best in the order of keys, and may be used by another thread; it is closed before
    the first.  */
tim3_store_t *tim3_store_lmdb_share (tim3_store_t *store);

/*  For the second handle, with the keys of rows as tables in memory have them (store_tiers.c), in order. What the environment holds for the
    key of a row, "deleted" when nothing, in a batch that has changed nothing yet; and which page it lies on, or would come close to, as a
    number that only tells pages of the batch apart. False after an error.  */
bool tim3_store_lmdb_look (tim3_store_t *store, const tim3_memrow_t *row, tim3_memrow_t *old, uint64_t *page);
/*  Puts the row there, or deletes what is there.  */
void tim3_store_lmdb_lay (tim3_store_t *store, const tim3_memrow_t *row);

/*  As tim3_store_copy_begin, for a copy that counts so many commits.  */
int tim3_store_lmdb_copy_begin (tim3_store_t *store, const char *path, uint64_t commits, char *why,
                                size_t why_size);

/*  Descriptor of the folder; stays the store's.  */
int tim3_store_lmdb_directory (const tim3_store_t *store);

#endif
