/*  checkpointer.c - writes a table in memory to the environment, part by part.

    One transaction for all of it would sync tens of megabytes at once, and everybody else's syncs on the same disk would
    wait for that. So there are several, each with rows of about as many pages as can be written in the time of a few syncs.
    The first one says in the checkpoint record what it leads to ("towards"), the last one that it is reached.

    Why an environment that holds a part is good enough:
      - the one who has it open reads the table first, which hides everything that any part has changed;
      - after a crash, the record still tells the old place in the journal. All records of the table are behind it, for they were
        durable before the table was frozen. They say what a key holds, not how it changes, so it does not matter
        which of them are in the environment already. Nor does it matter for the highest keys of the tables
        (look_below in store_tiers.c): the environment never has a key that they do not know of, as they are looked up
        with the part in it. A journal that ends before "towards" is refused;
      - the state before is needed by those who look back (undo.h). What is written over is kept before the first part,
        for the whole table. A checkpoint that follows an unfinished one finds rows of it in the environment, and
        takes what was there before from its undo file; without one it keeps nothing, as if it could not;
      - copies are made between checkpoints.

    It goes through the table twice: the first time to keep what is there, and to see where rows lie, so that parts can
    be measured in pages.
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
    tim3_buffer_t ends;       /* of parts: after how many rows, u64 each */
    uint64_t done;            /* rows, of either pass */
    uint64_t rested_us;       /* when */
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

/*  Where an earlier attempt has been, the environment does not tell any more what was there. False when nobody does.  */
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

/*  All of the earlier file goes into the new one, which takes its place.  */
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

/*  Without it everything older is worth nothing: better that than a checkpoint that fails.  */
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

/*  Where the next part begins.  */
typedef struct {
    uint64_t page;
    uint64_t pages;
    uint64_t bytes; /* which may fill pages of their own */
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
