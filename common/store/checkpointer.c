/*  checkpointer.c - writes a table in memory to the environment, part by part.

    A single transaction would sync tens of megabytes at once, and everybody else's syncs on the same disk would wait for that. So there
    are several, the parts, each of about as many pages as can be written in the time of a few syncs. The first part writes into the checkpoint
    row which journal record all parts lead to ("towards"), the last part that it is reached ("number").

    Why it does no harm that the environment holds only some of the parts for a while:
      - Whoever has the store open looks into the frozen table first, which has every row that any part writes.
      - After a crash, the checkpoint row still names the old record of the journal, and all records that the table was made of come after
        it: they were durable before the table was frozen. Replaying them writes whole rows, so it does not matter which are in the
        environment already. The greatest keys (look_below in store_tiers.c) are looked up after the crash, with those rows in it. If the
        journal ends before "towards", the store is refused.
      - Replay needs the state before the checkpoint (undo.h). So all rows that will be written over are kept in an undo file before the
        first part is written. After an unfinished checkpoint the environment has some new rows already; what was there before them is
        taken from the undo file of that attempt. If that is missing, this checkpoint keeps no undo file either.
      - Copies are made between checkpoints only.

    The table is gone through twice: first to keep what will be written over, and to see on which pages rows lie, by which parts are measured;
    then to write.
*/
#include "store/checkpointer.h"
#include "store/store_lmdb.h"
#include "store/undo.h"
#include "base/log.h"

#include <string.h>
#include <time.h>

#define REST_EVERY 512 /* rows */

typedef struct {
    const tim3_checkpointer_t *own;
    const tim3_memtable_t *table;
    tim3_checkpoint_t *at;
    const tim3_checkpoint_t *goal;
    tim3_undo_t *undo;        /* NULL when nothing is kept */
    tim3_memtable_t *earlier; /* what the undo file of the attempt before has, or NULL */
    tim3_buffer_t ends;       /* after how many rows each part ends: uint64_t each */
    uint64_t done;            /* rows, of both passes together */
    uint64_t rested_us;       /* when the last rest ended */
} run_t;

static uint64_t clock_us (clockid_t clock)
{
    struct timespec time;
    clock_gettime (clock, &time);
    return (uint64_t) time.tv_sec * 1000000 + (uint64_t) time.tv_nsec / 1000;
}

static bool rest (run_t *self)
{
    uint64_t worked_us = clock_us (CLOCK_MONOTONIC) - self->rested_us;
    bool goes_on =
        self->own->rest (self->own->context, self->done, 2 * tim3_memtable_rows (self->table), worked_us);
    self->rested_us = clock_us (CLOCK_MONOTONIC);
    return goes_on;
}

/*  ------------------------------------------------------------------------------------- what is there  */

static void tell_not_kept (void)
{
    tim3_log (TIM3_WARN, "checkpoint", "what=\"cannot keep the state before it: replay starts here\"");
}

/*  After an unfinished attempt: loads its undo file, for the environment no longer has what that attempt wrote over. False when the file is
    missing or damaged.  */
static bool load_earlier (run_t *self)
{
    tim3_undo_entry_t entry;
    if (self->at->towards == 0)
        return true;
    self->earlier = tim3_memtable_new ();
    bool good = tim3_undo_find (self->own->directory, self->at, &entry) &&
                tim3_undo_read (self->own->directory, &entry, tim3_undo_lay_over, self->earlier);
    tim3_memtable_commit (self->earlier);
    tim3_memtable_order (self->earlier);
    return good;
}

/*  Begins the undo file. It takes in that of an unfinished attempt, whose place it takes.  */
static void begin_undo (run_t *self)
{
    tim3_memcursor_t cursor = {0};
    tim3_memrow_t row;
    if (!self->own->keeps)
        return;
    if (load_earlier (self))
        self->undo = tim3_undo_begin (self->own->directory, self->at);
    if (!self->undo)
        tell_not_kept ();
    while (self->undo && self->earlier && tim3_memtable_next (self->earlier, &cursor, &row))
        tim3_undo_add (self->undo, &row);
}

/*  If the undo file cannot be finished, replay cannot go back beyond this checkpoint. That is better than a checkpoint that fails.  */
static void finish_undo (run_t *self, bool good)
{
    if (self->undo && !good)
        tim3_undo_drop (&self->undo);
    else if (self->undo && !tim3_undo_finish (&self->undo, self->goal, clock_us (CLOCK_REALTIME)))
        tell_not_kept ();
}

static void keep (run_t *self, const tim3_memrow_t *old)
{
    tim3_memrow_t row;
    if (self->undo && !(self->earlier && tim3_memtable_get (self->earlier, old->key, old->key_size, &row)))
        tim3_undo_add (self->undo, old);
}

/*  How large the part at hand is so far.  */
typedef struct {
    uint64_t page;
    uint64_t pages;
    uint64_t bytes; /* of rows: new ones may need pages of their own */
} measure_t;

static void measure (run_t *self, measure_t *part, const tim3_memrow_t *row, uint64_t page)
{
    part->pages += page != part->page;
    part->page = page;
    part->bytes += row->key_size + row->value_size;
    if (part->pages + part->bytes / TIM3_STORE_PAGE < self->own->part_pages)
        return;
    tim3_buffer_append (&self->ends, &self->done, sizeof self->done);
    *part = (measure_t){.page = page};
}

/*  False when told to stop, or when the environment cannot be read.  */
static bool look (run_t *self)
{
    tim3_memcursor_t cursor = {0};
    tim3_memrow_t row;
    tim3_memrow_t old;
    measure_t part = {.page = UINT64_MAX};
    while (tim3_memtable_next (self->table, &cursor, &row)) {
        uint64_t page;
        if (!tim3_store_lmdb_look (self->own->writer, &row, &old, &page))
            return false;
        keep (self, &old);
        self->done++;
        measure (self, &part, &row, page);
        if (self->done % REST_EVERY == 0 && !rest (self))
            return false;
    }
    return true;
}

/*  ------------------------------------------------------------------------------------------- writing  */

static bool commit (run_t *self, const tim3_checkpoint_t *now)
{
    tim3_key_t key = tim3_key_text ("checkpoint");
    if (memcmp (self->at, now, sizeof *now) != 0)
        tim3_store_write (self->own->writer, TIM3_TABLE_CHECKPOINT, &key, now);
    if (tim3_store_commit (self->own->writer))
        return false;
    *self->at = *now;
    atomic_fetch_add (self->own->parts, 1);
    return true;
}

static bool commit_part (run_t *self)
{
    tim3_checkpoint_t now = *self->at;
    now.towards = self->goal->number;
    return commit (self, &now) && rest (self);
}

/*  False when told to stop, or when there was no room.  */
static bool write_parts (run_t *self)
{
    tim3_memcursor_t cursor = {0};
    tim3_memrow_t row;
    const uint64_t *end = (const uint64_t *) (const void *) self->ends.data;
    const uint64_t *no_more = end + self->ends.size / sizeof *end;
    uint64_t rows = tim3_memtable_rows (self->table);
    while (tim3_memtable_next (self->table, &cursor, &row)) {
        tim3_store_lmdb_lay (self->own->writer, &row);
        self->done++;
        if (self->own->writer->error)
            return false;
        if (end < no_more && self->done - rows == *end) {
            end++;
            if (!commit_part (self))
                return false;
        } else if (self->done % REST_EVERY == 0 && !rest (self))
            return false;
    }
    return commit (self, self->goal);
}

tim3_store_error_t tim3_checkpointer_write (const tim3_checkpointer_t *self, const tim3_memtable_t *table,
                                            tim3_checkpoint_t *at, const tim3_checkpoint_t *goal)
{
    run_t run = {
        .own = self, .table = table, .at = at, .goal = goal, .rested_us = clock_us (CLOCK_MONOTONIC)};
    begin_undo (&run);
    bool good = look (&run);
    finish_undo (&run, good);
    tim3_memtable_destroy (&run.earlier);
    good = good && write_parts (&run);
    tim3_store_error_t error = self->writer->error;
    tim3_store_abort (self->writer);
    tim3_buffer_free (&run.ends);
    if (good)
        return TIM3_STORE_OK;
    return error ? error : TIM3_STORE_FULL; /* told to stop: as if there was no room */
}
