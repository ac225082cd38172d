/*  undo.h - what a checkpoint wrote over, kept so that the state before it can be looked at again.

    One file for each checkpoint, "undo-" and the number of the first record that came after the older state. With these files the state at an
    earlier checkpoint can be put together again, and with the journal what came after it can be run again (tim3ctl replay).
    A file is whole or not there. A checkpoint that cannot keep one goes ahead without, and then all older files are useless, because only an
    unbroken row of them leads back. A file is finished before the environment is changed: so when a crash leaves a checkpoint unfinished, the
    file laid over the environment gives the state before it.
*/
#ifndef TIM3_UNDO_H
#define TIM3_UNDO_H

#include "store/memtable.h"
#include "store/store.h"

typedef struct tim3_undo tim3_undo_t;

/*  directory stays the caller's. NULL when the file cannot be made.  */
tim3_undo_t *tim3_undo_begin (int directory, const tim3_checkpoint_t *before);
/*  What a key held before; a deleted row says that it held nothing. Now and then all so far is written to the disk.  */
void tim3_undo_add (tim3_undo_t *self, const tim3_memrow_t *row);
/*  True when all of it lasts, under its name. Frees self either way.  */
bool tim3_undo_finish (tim3_undo_t **self, const tim3_checkpoint_t *after, uint64_t now_us);
void tim3_undo_drop (tim3_undo_t **self);

typedef struct {
    tim3_checkpoint_t before;
    tim3_checkpoint_t after;
    uint64_t time_us; /* of the checkpoint */
    uint64_t bytes;
} tim3_undo_entry_t;

/*  The unbroken row of files that ends at a checkpoint, newest first. To be freed by the caller; NULL when there is none.  */
tim3_undo_entry_t *tim3_undo_list (int directory, const tim3_checkpoint_t *newest, size_t *count);

typedef void (tim3_undo_take_fn) (void *context, const tim3_memrow_t *row);
/*  False when the file is damaged; nothing was taken from it then.  */
bool tim3_undo_read (int directory, const tim3_undo_entry_t *entry, tim3_undo_take_fn *take, void *context);

/*  Takes rows into a table in memory (the context).  */
void tim3_undo_lay_over (void *table, const tim3_memrow_t *row);

/*  Of an environment that holds a part of the next checkpoint (checkpoint->towards): the file with all that this part wrote over. False
    when there is none.  */
bool tim3_undo_find (int directory, const tim3_checkpoint_t *checkpoint, tim3_undo_entry_t *entry);

/*  Deletes the files of states before a record, or keeps one to be written over.  */
void tim3_undo_trim (int directory, uint64_t number);
/*  Deletes all of them.  */
void tim3_undo_clear (int directory);

#endif
