/*  deadlines.h - the index of what is unfinished (agent/due.h), looked through by tests.  */
#ifndef TIM3_TESTS_UNIT_DEADLINES_H
#define TIM3_TESTS_UNIT_DEADLINES_H

#include "store/store.h"

/*  Counts what is open in all deadlines of a table, each of which must have the lists that it tells, and no list be of none.
    Returns what is wrong, or NULL.  */
const char *deadlines_count (tim3_store_t *store, tim3_table_t deadlines, tim3_table_t lists, uint64_t *open);

#endif
