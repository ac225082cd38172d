/*  copier.h - copies an LMDB store that goes on being written to: a thread walks a snapshot of it and writes a new
    environment. For implementations of the store alone; others use the operations in store.h.

    The snapshot is a read transaction: as long as it lasts, pages that it sees are not used again, so the file
    may grow by what is changed meanwhile. The environment must have been opened with MDB_NOTLS, since the
    transaction is begun in one thread and read in another.
*/
#ifndef TIM3_COPIER_H
#define TIM3_COPIER_H

#include "store/store.h"

#include <lmdb.h>

typedef struct tim3_copier tim3_copier_t;

/*  The copy holds what the last commit left, and counts as many commits. path: directory to make, without a store
    in it. NULL with why filled.  */
tim3_copier_t *tim3_copier_begin (MDB_env *env, const char *path, uint64_t commits, char *why,
                                  size_t why_size);
void tim3_copier_look (tim3_copier_t *self, tim3_store_copy_t *copy);
/*  Stops what still runs. A copy that is not kept, or not complete, is deleted.  */
void tim3_copier_end (tim3_copier_t **self, bool keep);

/*  Writes how many commits the store counts once txn is committed (NULL: as many as before it), and the inode by
    which it is known (0: no other).  */
int tim3_copier_mark (MDB_txn *txn, MDB_dbi dbi, const uint64_t *commits, uint64_t inode);

#endif
