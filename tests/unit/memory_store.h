/*  memory_store.h - a store in memory, for tests of cores: as store.h promises, but for durability, and it can be
    told to fail. What was committed outlives the host that wrote it, so a test can crash a host and go on.
*/
#ifndef TIM3_TESTS_UNIT_MEMORY_STORE_H
#define TIM3_TESTS_UNIT_MEMORY_STORE_H

#include "store/store.h"

/*  Free with tim3_store_close.  */
tim3_store_t *memory_store_new (void);

/*  The nth put or delete from now finds the store full, once; 0: none does.  */
void memory_store_fail_change (tim3_store_t *store, unsigned nth);
/*  The next commit fails with that error, once.  */
void memory_store_fail_commit (tim3_store_t *store, tim3_store_error_t error);
/*  What usage tells; 0 of 0 to begin with.  */
void memory_store_set_usage (tim3_store_t *store, uint64_t used, uint64_t most);

/*  Of all tables, keys and values: two stores that hold the same have the same.  */
uint64_t memory_store_digest (const tim3_store_t *store);
size_t memory_store_count (const tim3_store_t *store, tim3_table_t table);

/*  Of the copy that was begun last: where to, "" when there is none; and its state, which is copying until told.  */
const char *memory_store_copy_path (const tim3_store_t *store);
void memory_store_set_copy (tim3_store_t *store, int state);
/*  The next copy cannot begin.  */
void memory_store_fail_copy (tim3_store_t *store);

#endif
