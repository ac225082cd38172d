/*  store_lmdb.h - what the tiers need of the environment below them.  */
#ifndef TIM3_STORE_LMDB_H
#define TIM3_STORE_LMDB_H

#include "store/store.h"

#define TIM3_STORE_PAGE 4096

/*  A second handle on the environment of an open store, which from then on only reads, as of the time of its first look
    since tim3_store_abort. The second one writes, best in the order of keys, and may be used by another thread; it is closed before
    the first.  */
tim3_store_t *tim3_store_lmdb_share (tim3_store_t *store);

/*  For the second handle, in a batch that has changed nothing yet, keys in order: what a key holds, false when nothing; and which page it lies on, or
    would come close to, as a number that only tells pages of the batch apart.  */
bool tim3_store_lmdb_look (tim3_store_t *store, tim3_table_t table, const tim3_key_t *key,
                           const uint8_t **value, size_t *size, uint64_t *page);

/*  As tim3_store_copy_begin, for a copy that counts so many commits.  */
int tim3_store_lmdb_copy_begin (tim3_store_t *store, const char *path, uint64_t commits, char *why,
                                size_t why_size);

/*  Descriptor of the folder; stays the store's.  */
int tim3_store_lmdb_directory (const tim3_store_t *store);

#endif
