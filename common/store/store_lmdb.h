/*  store_lmdb.h - what the tiers need of the environment below them.  */
#ifndef TIM3_STORE_LMDB_H
#define TIM3_STORE_LMDB_H

#include "store/memtable.h"
#include "store/store.h"

#define TIM3_STORE_PAGE 4096

/*  LMDB's data file, and its name while it is being made.  */
#define TIM3_DATA_FILE "data.mdb"
#define TIM3_DATA_FILE_NEW "data.new"

/*  A second handle on the environment of an open store. From then on the first only reads, and sees one state from its first read until
    tim3_store_abort. The second one writes, and may be used by another thread; it is quick when rows come in the order of their keys. It
    is closed before the first.  */
tim3_store_t *tim3_store_lmdb_share (tim3_store_t *store);

/*  For the second handle; rows come in the order of their keys, which are as in tables in memory (store_tiers.c).

    look: fills old with the row that the environment has under the key of row, "deleted" if it has none; and page with a number for the
    page on which it lies, or its neighbour: equal numbers mean the same page. Only before the first change of a batch. False after an error.
    lay: puts the row, or deletes it if it is marked as deleted.  */
bool tim3_store_lmdb_look (tim3_store_t *store, const tim3_memrow_t *row, tim3_memrow_t *old, uint64_t *page);
void tim3_store_lmdb_lay (tim3_store_t *store, const tim3_memrow_t *row);

/*  As tim3_store_copy_begin, for a copy that counts so many commits.  */
int tim3_store_lmdb_copy_begin (tim3_store_t *store, const char *path, uint64_t commits, char *why,
                                size_t why_size);

/*  Descriptor of the folder; stays the store's.  */
int tim3_store_lmdb_directory (const tim3_store_t *store);

#endif
