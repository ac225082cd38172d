/*  checkpointer.h - writes a table in memory to the environment, part by part.  */
#ifndef TIM3_CHECKPOINTER_H
#define TIM3_CHECKPOINTER_H

#include "store/memtable.h"
#include "store/store.h"

#include <stdatomic.h>

/*  Called every few rows, with how much is done of all, and how long it worked since the last call; it may sleep. Returns false to stop.  */
typedef bool (tim3_checkpointer_rest_fn) (void *context, uint64_t done, uint64_t all, uint64_t worked_us);

typedef struct {
    tim3_store_t *writer; /* see tim3_store_lmdb_share */
    int directory;
    bool keeps;          /* an undo file is to be made */
    uint64_t part_pages; /* pages that one part changes, about */
    tim3_checkpointer_rest_fn *rest;
    _Atomic unsigned *parts; /* counts them */
    void *context;
} tim3_checkpointer_t;

/*  at: what the environment holds, kept up to date. TIM3_STORE_FULL: no room, or rest told it to stop. If some parts were written by then,
    at->towards is not 0, and the next checkpoint must be of all records up to there.  */
tim3_store_error_t tim3_checkpointer_write (const tim3_checkpointer_t *self, const tim3_memtable_t *table,
                                            tim3_checkpoint_t *at, const tim3_checkpoint_t *goal);

#endif
