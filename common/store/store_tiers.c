/*  store_tiers.c - the store in two tiers: a journal and a table in memory over an LMDB environment.

    A commit appends one record to the journal, syncs it, and is done. The rows that it changed stay in a table in memory, the
    active one. When that is large enough it is frozen, and a new one becomes active; a thread writes the frozen table to the
    environment (checkpointer.c) in several transactions. The last of them also writes the number of the last journal record whose
    changes are now in the environment; records up to there are then deleted. Opening replays the records after that number.

    A read looks into the active table, then the frozen one, then the environment, and takes the first row it finds; a deleted row is a
    mark in memory that hides the row below it.

    Two handles share the environment: the owner of the store only reads through one, the thread only writes through the other.
    While the thread writes, the owner may see any part of what it has written so far. That does no harm: every row that the thread writes
    is also in the frozen table, where the owner finds it first.
*/
#include "store/store_tiers.h"
#include "store/checkpointer.h"
#include "store/journal.h"
#include "store/memtable.h"
#include "store/record.h"
#include "store/store_lmdb.h"
#include "store/undo.h"
#include "base/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define TABLES 256
#define NOTES_MOST (1024 * 1024)
#define RETRY_US 1000000
#define PARTS \
    64 /* transactions of a checkpoint, about, when its rows are spread over the whole environment */
#define PART_PAGES 256       /* most pages that one of them writes */
#define FULL 1000            /* the fill of an active table that is to be frozen; 0 is an empty one */
#define REST_TIMES 20        /* a rest is at most so many times as long as the work before it, ... */
#define REST_MOST_US 1000000 /* ... and no longer than this */
#define NAP_US 4000          /* a rest is taken in naps, and ends early when the thread is needed */
#define GAP_LEAST 4          /* a gap is remembered when the search walked over so many marks */
#define SPARE_MOST 4         /* a table is kept for reuse up to so many times checkpoint_bytes */

typedef enum { WORK_NONE, WORK_ASKED, WORK_DONE } work_t;

/*  A range of a table's keys, [from, to) or (from, to), in which a search has found only marks of deleted rows. It is remembered so
    that the next search can start at its end: a sweep asks for the first row of a table again and again, and deletes what it finds.  */
typedef struct {
    bool known;
    bool with_from; /* [from, ... */
    bool endless;   /* it has no end: there is no row after it */
    tim3_key_t from;
    tim3_key_t to;
} gap_t;

typedef struct {
    tim3_store_t base; /* first: the interface's pointer is ours */
    tim3_tiers_options_t options;
    tim3_store_t *reader;
    tim3_store_t *writer; /* the thread's; NULL when read only */
    tim3_journal_t *journal;
    tim3_memtable_t *active;
    tim3_memtable_t *frozen;
    tim3_memtable_t *spare; /* the last frozen one, cleared, to be the next active one; NULL: none */
    tim3_buffer_t record;   /* the next record of the journal: room for its heads, then the notes so far */
    size_t kept;            /* its size when the last batch ended: what abort goes back to */
    uint64_t digest;        /* of all effects up to the last record */
    uint64_t read_number;   /* number of the last record, in a store opened for reading alone */
    uint64_t commits;       /* as the environment counts them */
    uint64_t appended;      /* bytes in the journal since the last freeze */
    bool fresh;             /* a stretch of the journal has begun: told once, by tiers_fresh */
    bool has_journal;       /* the environment said so when it was opened */
    /* For each table, no key in the frozen table or the environment is greater than this one. New rows mostly have greater keys, and
       need not be looked for there.  */
    tim3_key_t below[TABLES];
    gap_t *gaps[TABLES]; /* NULL: none yet */
    /* the thread; lock guards work, prepare, stopping and outcome */
    pthread_t thread;
    bool threaded;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    work_t work;
    bool prepare; /* it is to make the file of the journal's next segment */
    bool stopping;
    tim3_store_error_t outcome;   /* of the last checkpoint */
    _Atomic bool stop;            /* as stopping, for where it works without the lock */
    _Atomic bool hurry;           /* somebody waits for it: no rests */
    _Atomic unsigned fill;        /* of the active table: 0 to FULL */
    _Atomic unsigned parts;       /* transactions that it has committed */
    unsigned parts_seen;          /* of these, those that the owner's handle reads */
    tim3_checkpoint_t goal;       /* what the environment holds once the frozen table is written */
    tim3_checkpoint_t checkpoint; /* what it holds now; only the thread touches this while work is asked */
    uint64_t retry_us;            /* when to try again a checkpoint that found no room; 0: there is none */
    pid_t pid;                    /* process that opened the store */
    /* a copy that waits for the checkpoint that it will be made from */
    bool copy_waits;
    char copy_path[4096];
    uint64_t copy_commits;
    char copy_why[240]; /* it could not be begun */
    /* of a store that has no journal: who looks at commits */
    tim3_tiers_judge_fn *judge;
    void *context;
} tiers_t;

/*  A forked child does not have the thread, and would write to its parent's files.  */
static void check_process (const tiers_t *self)
{
    if (self->pid != getpid ())
        tim3_panic (__FILE__, __LINE__, "a store is used by a process that did not open it");
}

static uint64_t clock_us (clockid_t clock)
{
    struct timespec time;
    clock_gettime (clock, &time);
    return (uint64_t) time.tv_sec * 1000000 + (uint64_t) time.tv_nsec / 1000;
}

static tim3_key_t checkpoint_key (void)
{
    return tim3_key_text ("checkpoint");
}

/*  A key as tables in memory have it: the number of its table, then its bytes.  */
typedef struct {
    uint8_t bytes[1 + TIM3_KEY_MAX];
    size_t size;
} place_t;

static void place_set (place_t *self, tim3_table_t table, const tim3_key_t *key)
{
    self->bytes[0] = (uint8_t) table;
    memcpy (self->bytes + 1, key->data, key->size);
    self->size = (size_t) key->size + 1;
}

static void key_set (tim3_key_t *key, const tim3_memrow_t *row)
{
    TIM3_ASSERT (row->key_size >= 1 && row->key_size - 1 <= TIM3_KEY_MAX);
    key->size = (uint16_t) (row->key_size - 1);
    memcpy (key->data, row->key + 1, key->size);
}

static int compare_keys (const tim3_key_t *a, const tim3_key_t *b)
{
    int order = memcmp (a->data, b->data, a->size < b->size ? a->size : b->size);
    return order ? order : (int) a->size - (int) b->size;
}

/*  ------------------------------------------------------------------------------------------ reading  */

static bool take_error (tiers_t *self)
{
    if (self->reader->error && !self->base.error)
        self->base.error = self->reader->error;
    return self->base.error != TIM3_STORE_OK;
}

static bool tiers_get (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key, const uint8_t **value,
                       size_t *size)
{
    tiers_t *self = (tiers_t *) base;
    place_t place;
    tim3_memrow_t row;
    if (base->error)
        return false;
    place_set (&place, table, key);
    if (!tim3_memtable_get (self->active, place.bytes, place.size, &row)) {
        if (compare_keys (key, &self->below[table]) > 0)
            return false;
        if (!self->frozen || !tim3_memtable_get (self->frozen, place.bytes, place.size, &row))
            return self->reader->ops->get (self->reader, table, key, value, size) && !take_error (self);
    }
    *value = row.value;
    *size = row.value_size;
    return !row.deleted;
}

static void tiers_fetch (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key)
{
    const tiers_t *self = (const tiers_t *) base;
    place_t place;
    place_set (&place, table, key);
    tim3_memtable_fetch (self->active, place.bytes, place.size);
    if (self->frozen && compare_keys (key, &self->below[table]) <= 0)
        tim3_memtable_fetch (self->frozen, place.bytes, place.size);
}

/*  What one tier has nearest to a key.  */
typedef struct {
    bool there;
    bool deleted;
    tim3_key_t key;
    const uint8_t *value;
    size_t size;
} candidate_t;

static bool is_backwards (tim3_seek_t how)
{
    return how == TIM3_SEEK_LE || how == TIM3_SEEK_LT;
}

static void seek_memory (tim3_memtable_t *table, tim3_table_t number, tim3_seek_t how, const tim3_key_t *key,
                         candidate_t *candidate)
{
    place_t place;
    tim3_memrow_t row;
    bool strictly = how == TIM3_SEEK_GT || how == TIM3_SEEK_LT;
    place_set (&place, number, key);
    candidate->there = is_backwards (how)
                           ? tim3_memtable_before (table, place.bytes, place.size, strictly, &row)
                           : tim3_memtable_after (table, place.bytes, place.size, strictly, &row);
    if (!candidate->there)
        return;
    key_set (&candidate->key, &row);
    candidate->deleted = row.deleted;
    candidate->value = row.value;
    candidate->size = row.value_size;
}

static void seek_below (tiers_t *self, tim3_table_t number, tim3_seek_t how, const tim3_key_t *key,
                        candidate_t *candidate)
{
    candidate->key = *key;
    candidate->deleted = false;
    candidate->there = self->reader->ops->seek (self->reader, number, how, &candidate->key, &candidate->value,
                                                &candidate->size);
}

/*  The nearest of the three; where several have the same key the upper one counts.  */
static candidate_t *nearest (candidate_t candidates[3], bool backwards)
{
    candidate_t *best = NULL;
    for (int i = 0; i < 3; i++) {
        if (!candidates[i].there)
            continue;
        int order = best ? compare_keys (&candidates[i].key, &best->key) : 0;
        if (!best || (backwards ? order > 0 : order < 0))
            best = &candidates[i];
    }
    return best;
}

static bool is_in_gap (const gap_t *gap, const tim3_key_t *key, bool strictly)
{
    if (!gap || !gap->known)
        return false;
    int order = compare_keys (key, &gap->from);
    return (order > 0 || (order == 0 && (gap->with_from || strictly))) &&
           (gap->endless || compare_keys (key, &gap->to) < 0);
}

/*  to is NULL where nothing comes any more.  */
static void remember_gap (tiers_t *self, tim3_table_t table, const tim3_key_t *from, bool with_from,
                          const tim3_key_t *to)
{
    gap_t *gap = self->gaps[table];
    if (!gap)
        gap = self->gaps[table] = tim3_alloc (sizeof *gap);
    *gap = (gap_t){.known = true, .with_from = with_from, .endless = !to, .from = *from};
    if (to)
        gap->to = *to;
}

/*  A row is put: a gap that it falls into ends in front of it.  */
static void end_gap (tiers_t *self, tim3_table_t table, const tim3_key_t *key)
{
    gap_t *gap = self->gaps[table];
    if (!is_in_gap (gap, key, false))
        return;
    gap->endless = false;
    gap->to = *key;
}

/*  After an abort, rows that had been deleted are there again.  */
static void forget_gaps (tiers_t *self)
{
    for (unsigned i = 0; i < TABLES; i++)
        if (self->gaps[i])
            self->gaps[i]->known = false;
}

/*  The first row that is not deleted; *skipped counts those that are.  */
static candidate_t *find_row (tiers_t *self, tim3_table_t table, tim3_seek_t how, const tim3_key_t *key,
                              candidate_t candidates[3], unsigned *skipped)
{
    bool backwards = is_backwards (how);
    candidate_t *best;
    seek_memory (self->active, table, how, key, &candidates[0]);
    candidates[1].there = candidates[2].there = false;
    bool nothing_below = !backwards && compare_keys (key, &self->below[table]) > 0;
    if (self->frozen && !nothing_below)
        seek_memory (self->frozen, table, how, key, &candidates[1]);
    if (!nothing_below)
        seek_below (self, table, how, key, &candidates[2]);
    /* each tier that stands at a deleted key moves on by itself; the others need not look again */
    while ((best = nearest (candidates, backwards)) && best->deleted) {
        tim3_key_t past = best->key;
        tim3_seek_t on = backwards ? TIM3_SEEK_LT : TIM3_SEEK_GT;
        for (int i = 0; i < 3; i++) {
            if (!candidates[i].there || compare_keys (&candidates[i].key, &past) != 0)
                continue;
            if (i == 2)
                seek_below (self, table, on, &past, &candidates[i]);
            else
                seek_memory (i == 0 ? self->active : self->frozen, table, on, &past, &candidates[i]);
        }
        ++*skipped;
    }
    return best;
}

static bool tiers_seek (tim3_store_t *base, tim3_table_t table, tim3_seek_t how, tim3_key_t *key,
                        const uint8_t **value, size_t *size)
{
    tiers_t *self = (tiers_t *) base;
    const gap_t *gap = is_backwards (how) ? NULL : self->gaps[table];
    candidate_t candidates[3];
    unsigned skipped = 0;
    if (base->error)
        return false;
    bool in_gap = is_in_gap (gap, key, how == TIM3_SEEK_GT);
    if (in_gap && gap->endless)
        return false;
    candidate_t *best = in_gap ? find_row (self, table, TIM3_SEEK_GE, &gap->to, candidates, &skipped)
                               : find_row (self, table, how, key, candidates, &skipped);
    if (take_error (self))
        return false;
    if (!is_backwards (how) && skipped >= GAP_LEAST)
        remember_gap (self, table, key, how == TIM3_SEEK_GE, best ? &best->key : NULL);
    if (!best)
        return false;
    *key = best->key;
    *value = best->value;
    *size = best->size;
    return true;
}

/*  ------------------------------------------------------------------------------------------ writing  */

static void tiers_put (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key, const uint8_t *value,
                       size_t size)
{
    tiers_t *self = (tiers_t *) base;
    place_t place;
    if (base->error)
        return;
    if (self->options.read_only) {
        base->error = TIM3_STORE_IO;
        return;
    }
    place_set (&place, table, key);
    tim3_memtable_put (self->active, place.bytes, place.size, value, size);
    end_gap (self, table, key);
}

/*  Whether the frozen table or the environment has the row. How much of the frozen table the thread has written by now makes no
    difference: a key that is in the frozen table is not looked for in the environment.  */
static bool is_below (tiers_t *self, tim3_table_t table, const tim3_key_t *key, const place_t *place)
{
    tim3_memrow_t row;
    const uint8_t *value;
    size_t size;
    if (compare_keys (key, &self->below[table]) > 0)
        return false;
    if (self->frozen && tim3_memtable_get (self->frozen, place->bytes, place->size, &row))
        return !row.deleted;
    return self->reader->ops->get (self->reader, table, key, &value, &size) || take_error (self);
}

/*  Deletes a row; recovery does it in the same way. A mark is left only if there is a row below for it to hide, because seeking has to
    walk over every mark.  */
static void erase (tiers_t *self, tim3_table_t table, const tim3_key_t *key)
{
    place_t place;
    place_set (&place, table, key);
    if (is_below (self, table, key, &place))
        tim3_memtable_delete (self->active, place.bytes, place.size);
    else
        tim3_memtable_forget (self->active, place.bytes, place.size);
}

static void tiers_delete (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key)
{
    tiers_t *self = (tiers_t *) base;
    if (base->error)
        return;
    if (self->options.read_only)
        base->error = TIM3_STORE_IO;
    else
        erase (self, table, key);
}

static bool tiers_dirty (tim3_store_t *base)
{
    return tim3_memtable_changes (((tiers_t *) base)->active) > 0;
}

static void tiers_note (tim3_store_t *base, const void *data, size_t size)
{
    tiers_t *self = (tiers_t *) base;
    if (self->options.keep_us > 0)
        tim3_buffer_append (&self->record, data, size);
}

static bool tiers_fresh (tim3_store_t *base)
{
    tiers_t *self = (tiers_t *) base;
    bool fresh = self->fresh;
    self->fresh = false;
    return fresh;
}

/*  --------------------------------------------------------------------------------------- checkpoints  */

/*  While the thread works, it slows down everybody who shares the disk or the processor with it. So it works in small pieces and
    rests between them, as long as it keeps ahead of the owner: it may rest while the part of the frozen table that it has written is
    more than one and a half times the fill of the active one. It is then done when the active table is two thirds full.  */
static bool is_ahead (const tiers_t *self, uint64_t done, uint64_t all)
{
    return !atomic_load (&self->stop) && !atomic_load (&self->hurry) &&
           done * FULL * 2 > all * atomic_load (&self->fill) * 3;
}

/*  Called between two transactions. The rest is bounded whatever worked_us says, for the clock may have jumped; it also is when the
    owner adds nothing to the active table meanwhile.  */
static bool rest (void *context, uint64_t done, uint64_t all, uint64_t worked_us)
{
    const tiers_t *self = context;
    uint64_t left_us =
        worked_us < REST_MOST_US / REST_TIMES ? worked_us * REST_TIMES : (uint64_t) REST_MOST_US;
    while (left_us > 0 && is_ahead (self, done, all)) {
        uint64_t nap_us = left_us < NAP_US ? left_us : NAP_US;
        usleep ((useconds_t) nap_us);
        left_us -= nap_us;
    }
    return !atomic_load (&self->stop);
}

/*  Called while a new segment is filled with zeros: a rest as long as the last piece took, so that others' syncs get through.  */
static bool rest_a_little (void *context, uint64_t worked_us)
{
    const tiers_t *self = context;
    if (!atomic_load (&self->stop) && !atomic_load (&self->hurry))
        usleep (worked_us < NAP_US ? (useconds_t) worked_us : NAP_US);
    return !atomic_load (&self->stop);
}

static tim3_store_error_t write_checkpoint (tiers_t *self)
{
    uint64_t pages = self->options.checkpoint_bytes / TIM3_STORE_PAGE / PARTS;
    tim3_checkpointer_t checkpointer = {.writer = self->writer,
                                        .directory = self->options.directory,
                                        .keeps = self->options.keep_us > 0,
                                        .part_pages = pages < PART_PAGES ? pages + 1 : PART_PAGES,
                                        .rest = rest,
                                        .parts = &self->parts,
                                        .context = self};
    return tim3_checkpointer_write (&checkpointer, self->frozen, &self->checkpoint, &self->goal);
}

/*  Deletes undo files that are older, or together larger, than what is to be kept for replay; then the part of the journal before the
    oldest state that can still be gone back to.  */
static void trim (tiers_t *self, const tim3_checkpoint_t *checkpoint)
{
    size_t count;
    size_t kept = 0;
    uint64_t bytes = 0;
    uint64_t now = clock_us (CLOCK_REALTIME);
    tim3_undo_entry_t *entries = tim3_undo_list (self->options.directory, checkpoint, &count);
    uint64_t oldest = checkpoint->number;
    while (kept < count &&
           (entries[kept].time_us >= now || now - entries[kept].time_us < self->options.keep_us)) {
        /* a segment before it is about as long as what it led to */
        bytes += entries[kept].bytes + self->options.checkpoint_bytes;
        if (bytes > self->options.keep_bytes)
            break;
        oldest = entries[kept++].before.number;
    }
    tim3_undo_trim (self->options.directory, oldest);
    tim3_journal_trim (self->journal, oldest);
    free (entries);
}

static tim3_store_error_t make_checkpoint (tiers_t *self)
{
    tim3_store_error_t outcome = write_checkpoint (self);
    if (outcome == TIM3_STORE_OK)
        trim (self, &self->goal);
    /* the owner may have begun the segment prepared before; the next one is there before he needs it */
    tim3_journal_prepare (self->journal, rest_a_little, self);
    return outcome;
}

/*  The thread.  */
static void *work (void *context)
{
    tiers_t *self = context;
    pthread_mutex_lock (&self->lock);
    while (!self->stopping) {
        bool asked = self->work == WORK_ASKED;
        if (!asked && !self->prepare) {
            pthread_cond_wait (&self->changed, &self->lock);
            continue;
        }
        self->prepare = false;
        pthread_mutex_unlock (&self->lock);
        tim3_journal_prepare (self->journal, rest_a_little, self);
        tim3_store_error_t outcome = asked ? make_checkpoint (self) : TIM3_STORE_OK;
        pthread_mutex_lock (&self->lock);
        if (asked) {
            self->outcome = outcome;
            self->work = WORK_DONE;
            pthread_cond_broadcast (&self->changed);
        }
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

/*  To be called again only after take_outcome has seen the outcome.  */
static void ask_for_work (tiers_t *self)
{
    self->retry_us = 0;
    atomic_store (&self->hurry, self->copy_waits);
    pthread_mutex_lock (&self->lock);
    self->work = WORK_ASKED;
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
}

/*  Small segments follow each other without a checkpoint in between, so the thread is told of each: else a commit would have to make
    the next file itself.  */
static void prepare_journal (tiers_t *self)
{
    if (!tim3_journal_wants_next (self->journal))
        return;
    pthread_mutex_lock (&self->lock);
    self->prepare = true;
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
}

/*  Raises below[table] to the greatest key in the frozen table, or if there is none, in the environment.  */
static void look_below (tiers_t *self, tim3_table_t table)
{
    static const tim3_key_t highest = {.data = {[0 ... TIM3_KEY_MAX - 1] = 0xff}, .size = TIM3_KEY_MAX};
    candidate_t candidate = {0};
    if (self->frozen)
        seek_memory (self->frozen, table, TIM3_SEEK_LE, &highest, &candidate);
    else
        seek_below (self, table, TIM3_SEEK_LE, &highest, &candidate);
    if (candidate.there && compare_keys (&candidate.key, &self->below[table]) > 0)
        self->below[table] = candidate.key;
}

static void look_below_all (tiers_t *self)
{
    const tim3_table_row_t *row;
    for (unsigned i = 0; (row = tim3_table_at (i)); i++)
        look_below (self, row->number);
}

static void begin_record (tiers_t *self)
{
    static const uint8_t heads[TIM3_JOURNAL_HEAD + TIM3_RECORD_HEAD];
    tim3_buffer_clear (&self->record);
    tim3_buffer_append (&self->record, heads, sizeof heads);
    self->kept = self->record.size;
}

static void freeze (tiers_t *self)
{
    tim3_journal_place_t last = tim3_journal_last (self->journal);
    tim3_memtable_order (self->active); /* two threads read it from now on */
    self->frozen = self->active;
    self->active = self->spare ? self->spare : tim3_memtable_new ();
    self->spare = NULL;
    self->goal =
        (tim3_checkpoint_t){.number = last.number, .checksum = last.checksum, .digest = self->digest};
    self->appended = 0;
    atomic_store (&self->fill, 0);
    self->fresh = true;
    begin_record (
        self); /* drops notes of batches that changed nothing: the stretch they belong to ends here */
    look_below_all (self);
    tim3_journal_turn (self->journal);
    ask_for_work (self);
}

/*  The checkpoint is done: its rows are read from the environment now. The table is kept to be used again, unless it has grown far
    beyond its usual size.  */
static void thaw (tiers_t *self)
{
    tim3_store_abort (self->reader);
    self->commits = tim3_store_commits (self->reader);
    if (tim3_memtable_bytes (self->frozen) > SPARE_MOST * self->options.checkpoint_bytes) {
        tim3_memtable_destroy (&self->frozen);
        return;
    }
    self->spare = self->frozen;
    self->frozen = NULL;
    tim3_memtable_clear (self->spare);
}

/*  The checkpoint that a copy has waited for is done. The copy reads a snapshot of the environment that is taken now.  */
static void begin_copy (tiers_t *self, tim3_store_error_t outcome)
{
    self->copy_waits = false;
    if (outcome)
        snprintf (self->copy_why, sizeof self->copy_why, "the store has no room for what is to be copied");
    else
        tim3_store_lmdb_copy_begin (self->reader, self->copy_path, self->copy_commits, self->copy_why,
                                    sizeof self->copy_why);
}

/*  Ends the owner's read transaction when the thread has committed since it began: LMDB can only use pages again that no reader's
    snapshot needs.  */
static void let_pages_go (tiers_t *self)
{
    unsigned parts = atomic_load (&self->parts);
    if (parts != self->parts_seen)
        tim3_store_abort (self->reader);
    self->parts_seen = parts;
}

static void take_outcome (tiers_t *self)
{
    pthread_mutex_lock (&self->lock);
    bool done = self->work == WORK_DONE;
    if (done)
        self->work = WORK_NONE;
    tim3_store_error_t outcome = self->outcome;
    pthread_mutex_unlock (&self->lock);
    let_pages_go (self);
    if (!done)
        return;
    if (outcome == TIM3_STORE_OK)
        thaw (self);
    if (self->copy_waits)
        begin_copy (self, outcome);
    if (outcome == TIM3_STORE_OK)
        return;
    if (outcome == TIM3_STORE_FULL)
        self->retry_us = clock_us (CLOCK_MONOTONIC) + RETRY_US;
    else
        self->base.error = outcome;
}

/*  A checkpoint that found no room is tried again.  */
static void retry (tiers_t *self)
{
    if (!self->frozen || self->retry_us == 0 || clock_us (CLOCK_MONOTONIC) < self->retry_us)
        return;
    ask_for_work (self);
}

static bool is_crowded (const tiers_t *self)
{
    return tim3_memtable_bytes (self->active) >= self->options.memory_most / 2;
}

static void wait_for_work (tiers_t *self)
{
    atomic_store (&self->hurry, true);
    pthread_mutex_lock (&self->lock);
    while (self->work == WORK_ASKED)
        pthread_cond_wait (&self->changed, &self->lock);
    pthread_mutex_unlock (&self->lock);
    take_outcome (self);
}

/*  Before a commit: when both tables are as large as they may be, waits for the checkpoint under way. False when that found no room on
    the disk, so that there is still none in memory.  */
static bool wait_for_room (tiers_t *self)
{
    take_outcome (self);
    retry (self);
    while (self->frozen && is_crowded (self) && self->retry_us == 0 && !self->base.error)
        wait_for_work (self);
    return !(self->frozen && is_crowded (self));
}

/*  --------------------------------------------------------------------------------- counting, copying  */

static uint64_t tiers_commits (tim3_store_t *base)
{
    const tiers_t *self = (const tiers_t *) base;
    uint64_t number = self->journal ? tim3_journal_last (self->journal).number : self->read_number;
    return self->commits + number;
}

/*  Whether memory has rows that the environment has not, or a checkpoint was begun by an earlier process and not ended.  */
static bool has_more (const tiers_t *self)
{
    return tim3_memtable_rows (self->active) > 0 || self->checkpoint.towards > 0;
}

/*  A copy is one of the environment, so rows that are only in memory have to get there first: they are frozen, and the copy begins when
    that checkpoint is done (take_outcome). The caller waits only for a checkpoint that is under way already.  */
static int tiers_copy_begin (tim3_store_t *base, const char *path, char *why, size_t why_size)
{
    tiers_t *self = (tiers_t *) base;
    tim3_store_copy_t last = {0};
    tim3_store_copy_look (self->reader, &last);
    const char *reason = NULL;
    if (self->options.read_only || self->judge || tiers_dirty (base))
        reason = "a batch is open";
    else if (self->copy_waits || last.state)
        reason = "another copy is not ended";
    else if (access (path, F_OK) == 0)
        reason = "there is such a copy already";
    if (!reason)
        wait_for_work (self);
    if (!reason && (self->frozen || base->error))
        reason = "the store has no room for a checkpoint";
    if (reason) {
        snprintf (why, why_size, "%s", reason);
        return -1;
    }
    snprintf (self->copy_path, sizeof self->copy_path, "%s", path);
    self->copy_commits = tiers_commits (base);
    self->copy_why[0] = '\0';
    if (has_more (self)) {
        self->copy_waits = true;
        freeze (self);
        return 0;
    }
    tim3_store_abort (self->reader);
    return tim3_store_lmdb_copy_begin (self->reader, path, self->copy_commits, why, why_size);
}

static void tiers_copy_look (tim3_store_t *base, tim3_store_copy_t *copy)
{
    tiers_t *self = (tiers_t *) base;
    if (self->copy_waits)
        copy->state = TIM3_COPY_STATE_COPYING;
    else if (self->copy_why[0]) {
        copy->state = TIM3_COPY_STATE_FAILED;
        snprintf (copy->why, sizeof copy->why, "%s", self->copy_why);
    } else
        tim3_store_copy_look (self->reader, copy);
}

static void tiers_copy_end (tim3_store_t *base, bool keep)
{
    tiers_t *self = (tiers_t *) base;
    self->copy_waits = false;
    self->copy_why[0] = '\0';
    tim3_store_copy_end (self->reader, keep);
}

bool tim3_store_tiers_checkpoint (tim3_store_t *store)
{
    tiers_t *self = (tiers_t *) store;
    TIM3_ASSERT (!tiers_dirty (store));
    for (int i = 0; i < 2; i++) {
        if (self->frozen && self->retry_us > 0)
            ask_for_work (self);
        wait_for_work (self);
        if (!self->frozen && has_more (self))
            freeze (self);
    }
    wait_for_work (self);
    return !self->frozen && !has_more (self) && !self->base.error;
}

bool tim3_store_tiers_leave (tim3_store_t *store)
{
    tiers_t *self = (tiers_t *) store;
    tim3_store_meta_t meta;
    tim3_key_t meta_key = tim3_key_text ("store");
    tim3_key_t key = checkpoint_key ();
    TIM3_ASSERT (!self->frozen && !has_more (self));
    tim3_store_abort (self->reader);
    tim3_store_read (self->writer, TIM3_TABLE_META, &meta_key, &meta);
    meta.commits += tim3_journal_last (self->journal).number; /* which is no longer counted elsewhere */
    tim3_store_write (self->writer, TIM3_TABLE_META, &meta_key, &meta);
    tim3_store_delete (self->writer, TIM3_TABLE_CHECKPOINT, &key);
    return tim3_store_commit (self->writer) == 0;
}

/*  ------------------------------------------------------------------------------------------- commit  */

/*  Forgets the changes of the batch, and its notes.  */
static void tiers_abort (tim3_store_t *base)
{
    tiers_t *self = (tiers_t *) base;
    if (self->options.read_only) {
        tim3_store_abort (self->reader);
        return;
    }
    if (tiers_dirty (base))
        forget_gaps (self);
    tim3_memtable_abort (self->active);
    self->record.size = self->kept;
}

static int fail (tiers_t *self, tim3_store_error_t error)
{
    if (!self->base.error)
        self->base.error = error;
    return -1;
}

static void tell_fill (tiers_t *self)
{
    uint64_t journal = self->appended * FULL / self->options.checkpoint_bytes;
    uint64_t memory = tim3_memtable_bytes (self->active) * FULL / (self->options.memory_most / 2);
    uint64_t fill = journal > memory ? journal : memory;
    atomic_store (&self->fill, fill < FULL ? (unsigned) fill : FULL);
}

static int append (tiers_t *self)
{
    size_t notes_end = self->record.size;
    uint64_t digest = tim3_record_finish (&self->record, TIM3_JOURNAL_HEAD, self->active, self->digest);
    tim3_store_error_t error = tim3_journal_append (self->journal, self->record.data, self->record.size);
    if (error) {
        self->record.size = notes_end;
        return fail (self, error);
    }
    self->digest = digest;
    self->appended += self->record.size;
    tim3_memtable_commit (self->active);
    begin_record (self);
    tell_fill (self);
    prepare_journal (self);
    return 0;
}

static int show_judge (tiers_t *self)
{
    if (tiers_dirty (&self->base) && self->judge (self->context, self->active))
        return fail (self, TIM3_STORE_IO);
    tim3_memtable_commit (self->active);
    return 0;
}

static int tiers_commit (tim3_store_t *base)
{
    tiers_t *self = (tiers_t *) base;
    if (self->judge)
        return show_judge (self);
    if (self->options.read_only) {
        tim3_store_abort (self->reader);
        return 0;
    }
    check_process (self);
    bool room = wait_for_room (self);
    if (base->error)
        return -1;
    bool notes_only = !tiers_dirty (base);
    if (notes_only && self->record.size < NOTES_MOST) {
        self->kept = self->record.size;
        return 0;
    }
    if (!room && !notes_only)
        return fail (self, TIM3_STORE_FULL);
    if (append (self))
        return -1;
    if (!self->frozen && (is_crowded (self) || self->appended >= self->options.checkpoint_bytes))
        freeze (self);
    return 0;
}

static void tiers_usage (tim3_store_t *base, uint64_t *used, uint64_t *most)
{
    tim3_store_usage (((tiers_t *) base)->reader, used, most);
}

/*  ------------------------------------------------------------------------------------ life and death  */

static void stop_thread (tiers_t *self)
{
    if (!self->threaded)
        return;
    atomic_store (&self->stop, true);
    pthread_mutex_lock (&self->lock);
    self->stopping = true;
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->thread, NULL);
    self->threaded = false;
}

static void tiers_close (tim3_store_t *base)
{
    tiers_t *self = (tiers_t *) base;
    check_process (self);
    stop_thread (self);
    tim3_journal_close (&self->journal);
    tim3_memtable_destroy (&self->active);
    tim3_memtable_destroy (&self->frozen);
    tim3_memtable_destroy (&self->spare);
    tim3_store_close (&self->writer);
    tim3_store_close (&self->reader);
    tim3_buffer_free (&self->record);
    for (unsigned i = 0; i < TABLES; i++)
        free (self->gaps[i]);
    pthread_cond_destroy (&self->changed);
    pthread_mutex_destroy (&self->lock);
    free (self);
}

static const tim3_store_ops_t s_ops = {.get = tiers_get,
                                       .fetch = tiers_fetch,
                                       .put = tiers_put,
                                       .del = tiers_delete,
                                       .seek = tiers_seek,
                                       .commit = tiers_commit,
                                       .abort = tiers_abort,
                                       .dirty = tiers_dirty,
                                       .usage = tiers_usage,
                                       .close = tiers_close,
                                       .commits = tiers_commits,
                                       .copy_begin = tiers_copy_begin,
                                       .copy_look = tiers_copy_look,
                                       .copy_end = tiers_copy_end,
                                       .note = tiers_note,
                                       .fresh = tiers_fresh};

static bool row_valid (const tim3_memrow_t *row)
{
    return row->key_size >= 2 && row->key_size <= TIM3_KEY_MAX + 1 && tim3_table (row->key[0]);
}

/*  Makes the changes of a record in the active table. False when it changes a table that is not known.  */
static bool apply_effects (tiers_t *self, const tim3_record_t *record)
{
    tim3_memrow_t row;
    tim3_key_t key;
    size_t position = 0;
    while (tim3_record_effect (record, &position, &row)) {
        if (!row_valid (&row))
            return false;
        key_set (&key, &row);
        if (row.deleted)
            erase (self, row.key[0], &key);
        else
            tim3_memtable_put (self->active, row.key, row.key_size, row.value, row.value_size);
        if (!row.deleted)
            end_gap (self, row.key[0], &key);
    }
    tim3_memtable_commit (self->active);
    return true;
}

static bool replay_record (void *context, uint64_t number, const uint8_t *payload, size_t size, char *why,
                           size_t why_size)
{
    tiers_t *self = context;
    tim3_record_t record;
    if (!tim3_record_read (payload, size, self->digest, &record)) {
        snprintf (why, why_size, "record %" PRIu64 " is whole, but its contents are not", number);
        return false;
    }
    if (!apply_effects (self, &record)) {
        snprintf (why, why_size, "record %" PRIu64 " changes a table that this build does not know", number);
        return false;
    }
    self->digest = record.digest;
    self->read_number = number;
    self->appended += size;
    return true;
}

static bool refuse_why (char *why, size_t why_size, const char *reason)
{
    snprintf (why, why_size, "%s", reason);
    return false;
}

/*  An environment with a journal has a checkpoint row from the beginning. Where the row is there and the journal is not, everything
    since the last checkpoint would be lost without a word: so that is refused.  */
static bool has_what_it_should (tiers_t *self, char *why, size_t why_size)
{
    size_t count;
    tim3_key_t key = checkpoint_key ();
    self->has_journal = tim3_store_read (self->reader, TIM3_TABLE_CHECKPOINT, &key, &self->checkpoint);
    self->digest = self->checkpoint.digest;
    self->read_number = self->checkpoint.number;
    free (tim3_journal_segments (self->options.directory, &count));
    if (self->reader->error)
        return refuse_why (why, why_size,
                           "the record of its last checkpoint cannot be read; did a newer version write it?");
    if (!self->has_journal || count > 0)
        return true;
    return refuse_why (why, why_size, "its files journal-* are missing");
}

/*  Writes that row, once the journal's first segment exists.  */
static bool say_that_it_should (tiers_t *self, char *why, size_t why_size)
{
    tim3_key_t key = checkpoint_key ();
    if (!self->writer || self->has_journal)
        return true;
    tim3_store_write (self->writer, TIM3_TABLE_CHECKPOINT, &key, &self->checkpoint);
    tim3_store_abort (self->reader);
    if (tim3_store_commit (self->writer) == 0) {
        look_below (self, TIM3_TABLE_CHECKPOINT);
        return true;
    }
    return refuse_why (why, why_size,
                       "the store cannot be written to; make room on the disk, or raise agents/map_size_mb");
}

/*  Deletes the files of a journal that no row of this environment speaks of. The checksum that the first record has to name as the one
    before it is random, so that a segment of another store's journal is never taken for this one's.  */
static bool begin_journal (tiers_t *self, char *why, size_t why_size)
{
    uint64_t *before = &self->checkpoint.checksum;
    tim3_undo_clear (self->options.directory);
    if (!tim3_journal_clear (self->options.directory))
        return refuse_why (why, why_size, "its old files cannot be deleted");
    if (getrandom (before, sizeof *before, 0) != (ssize_t) sizeof *before)
        return refuse_why (why, why_size, "there are no random numbers");
    return true;
}

/*  A checkpoint that was cut off has left some of its rows in the environment. Replaying all the records it was made from puts that
    right; if the last of them were missing, a commit would be there in part.  */
static bool reaches_far_enough (const tiers_t *self, const tim3_journal_place_t *last, char *why,
                                size_t why_size)
{
    if (last->number >= self->checkpoint.towards)
        return true;
    snprintf (why, why_size, "its records after %" PRIu64 " are missing, up to %" PRIu64, last->number,
              self->checkpoint.towards);
    return false;
}

static bool recover (tiers_t *self, char *why, size_t why_size)
{
    int directory = self->options.directory;
    uint64_t segment_most =
        self->options.checkpoint_bytes / 4 * 5; /* so that it ends with the checkpoint, not before */
    if (!self->options.read_only && !self->has_journal && !begin_journal (self, why, why_size))
        return false;
    tim3_journal_place_t place = {self->checkpoint.number, self->checkpoint.checksum};
    if (self->options.read_only)
        return tim3_journal_read (directory, &place, replay_record, self, why, why_size) &&
               reaches_far_enough (self, &place, why, why_size);
    self->journal = tim3_journal_open (directory, &place, segment_most, replay_record, self, why, why_size);
    return self->journal && reaches_far_enough (self, &place, why, why_size);
}

static bool start_thread (tiers_t *self)
{
    if (self->options.read_only)
        return true;
    sigset_t all;
    sigset_t before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    self->threaded = pthread_create (&self->thread, NULL, work, self) == 0;
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (self->threaded)
        pthread_setname_np (self->thread, "checkpoint");
    return self->threaded;
}

tim3_store_t *tim3_store_open_tiers (tim3_store_t *reader, tim3_store_t *writer,
                                     const tim3_tiers_options_t *options, char *why, size_t why_size)
{
    tiers_t *self = tim3_alloc (sizeof *self);
    tim3_store_t *base = &self->base;
    base->ops = &s_ops;
    self->options = *options;
    self->reader = reader;
    self->writer = writer;
    self->active = tim3_memtable_new ();
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->changed, NULL);
    self->pid = getpid ();
    bool good = has_what_it_should (self, why, why_size);
    look_below_all (self);
    begin_record (self);
    good = good && recover (self, why, why_size) && say_that_it_should (self, why, why_size);
    self->commits = tim3_store_commits (reader);
    if (good && !start_thread (self)) {
        snprintf (why, why_size, "cannot start a thread");
        good = false;
    }
    if (!good)
        tim3_store_close (&base);
    return base;
}

/*  ------------------------------------------------------------------------------- without a journal  */

tim3_store_t *tim3_store_open_over (tim3_store_t *below, tim3_memtable_t *over, tim3_tiers_judge_fn *judge,
                                    void *context)
{
    tiers_t *self = tim3_alloc (sizeof *self);
    self->base.ops = &s_ops;
    self->reader = below;
    self->commits = tim3_store_commits (below);
    self->frozen = over;
    self->active = tim3_memtable_new ();
    self->judge = judge;
    self->context = context;
    self->pid = getpid ();
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->changed, NULL);
    begin_record (self);
    look_below_all (self); /* in the table, and then in what is below it */
    self->frozen = NULL;
    look_below_all (self);
    self->frozen = over;
    return &self->base;
}

void tim3_store_over_apply (tim3_store_t *store, const tim3_record_t *record)
{
    TIM3_ASSERT (((tiers_t *) store)->judge);
    if (!apply_effects ((tiers_t *) store, record))
        store->error = TIM3_STORE_CORRUPT;
}
