/*  workload.h - a row of commits whose outcome is known: what the store holds after the first n of them.

    Commit n changes some of a fixed set of records, small and large, in several tables: it puts new ones,
    writes over old ones and deletes. All of it follows from a fixed seed, so that the program that writes and
    the program that checks agree without a word.
*/
#ifndef TIM3_TESTS_CRASH_WORKLOAD_H
#define TIM3_TESTS_CRASH_WORKLOAD_H

#include "store/store.h"

/*  Commits that the plan knows; number 0 is the empty store.  */
#define WORKLOAD_COMMITS_MAX 400
/*  Those of them that are made after a recovery: the second reuses pages that the first gave back.  */
#define WORKLOAD_COMMITS_AFTER 2

/*  Comes first.  */
void workload_plan (void);

/*  Opens the workload's store in a directory, in two tiers or LMDB alone, taking over a copy; NULL with why filled.  */
tim3_store_t *workload_open (const char *path, bool journal, char *why, size_t why_size);

/*  Makes commit number n in a store that holds the n - 1 before it; 0, or -1 as tim3_store_commit.  */
int workload_commit (tim3_store_t *store, unsigned n);

/*  How many commits the store says it holds.  */
unsigned workload_count (tim3_store_t *store);

/*  Whether the store holds exactly what the first n commits left, no record more or less and every byte of
    them; false with why filled.  */
bool workload_holds (tim3_store_t *store, unsigned n, char *why, size_t why_size);

#endif
