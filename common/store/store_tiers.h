/*  store_tiers.h - the store in two tiers: a journal and a table in memory, over another store.  */
#ifndef TIM3_STORE_TIERS_H
#define TIM3_STORE_TIERS_H

#include "store/memtable.h"
#include "store/record.h"
#include "store/store.h"

typedef struct {
    int directory;             /* of the journal; stays the caller's, and must outlive the store */
    bool read_only;            /* shows what is there and changes nothing */
    uint64_t checkpoint_bytes; /* of journal, after which a checkpoint is made; also the longest segment */
    uint64_t memory_most;      /* bytes of tables in memory, before commits wait for a checkpoint */
    uint64_t keep_us;          /* how far back replay can begin; 0: nothing is kept for it */
    uint64_t keep_bytes;       /* most disk that this may take */
} tim3_tiers_options_t;

/*  Both handles below become its own, also on failure: reader only reads, as of the last checkpoint, until tim3_store_abort; writer only
    writes, from another thread (NULL when read only). NULL with why filled.  */
tim3_store_t *tim3_store_open_tiers (tim3_store_t *reader, tim3_store_t *writer,
                                     const tim3_tiers_options_t *options, char *why, size_t why_size);

/*  Makes a checkpoint of everything, and waits for it. False when there was no room, or the store failed.  */
bool tim3_store_tiers_checkpoint (tim3_store_t *store);

/*  After a checkpoint of everything: makes the environment a store of its own, so that the journal may be deleted.  */
bool tim3_store_tiers_leave (tim3_store_t *store);

/*  A store in memory, for replay: what the store below holds, with the rows of a table over it, and all changes on top of that. A commit with
    changes is shown to the judge; unless he returns 0, it fails with TIM3_STORE_IO. below and over become its own.  */
typedef int (tim3_tiers_judge_fn) (void *context, const tim3_memtable_t *batch);
tim3_store_t *tim3_store_open_over (tim3_store_t *below, tim3_memtable_t *over, tim3_tiers_judge_fn *judge,
                                    void *context);
/*  Makes the changes that a record tells of, with no judge.  */
void tim3_store_over_apply (tim3_store_t *store, const tim3_record_t *record);

#endif
