/*  disk.h - a simulated store: what store.h promises, and a disk that can lose what is not yet durable.

    A commit takes simulated time. Until sim_disk_settle says that it is over, a crash may find it on the disk
    or not: sim_disk_crash takes that decision from its caller.
*/
#ifndef TIM3_TESTS_SIM_DISK_H
#define TIM3_TESTS_SIM_DISK_H

#include "store/store.h"

tim3_store_t *sim_disk_new (void);

/*  While it is full no change can be made.  */
void sim_disk_set_full (tim3_store_t *store, bool full);
/*  The next commit with changes fails for good, as a dying disk does.  */
void sim_disk_fail_commit (tim3_store_t *store);

/*  The last commit is durable now.  */
void sim_disk_settle (tim3_store_t *store);
/*  Power is gone: open changes are lost; so is the commit that was under way unless it had got through.  */
void sim_disk_crash (tim3_store_t *store, bool got_through);

/*  The copy that was begun last, as a store of its own; NULL when it is not the one below that path.  */
tim3_store_t *sim_disk_take_copy (tim3_store_t *store, const char *path);

size_t sim_disk_count (const tim3_store_t *store, tim3_table_t table);

#endif
