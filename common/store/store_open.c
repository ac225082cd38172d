/*  store_open.c - opens a store as its options say: LMDB alone, or two tiers over it.  */
#include "store/files.h"
#include "store/journal.h"
#include "store/store_lmdb.h"
#include "store/store_tiers.h"
#include "store/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool needs_journal (tim3_store_t *lmdb)
{
    tim3_key_t key = tim3_key_text ("checkpoint");
    bool needs = tim3_store_has (lmdb, TIM3_TABLE_CHECKPOINT, &key);
    tim3_store_abort (lmdb);
    return needs;
}

static tim3_store_t *refuse_journal (const char *path, char *why, size_t why_size)
{
    char reason[256];
    snprintf (reason, sizeof reason, "%s", why);
    snprintf (why, why_size, "the journal of the store %s cannot be used: %s; restore the set from a backup",
              path, reason);
    return NULL;
}

static tim3_store_t *open_tiers (tim3_store_t *lmdb, const tim3_store_options_t *options, char *why,
                                 size_t why_size)
{
    tim3_tiers_options_t tiers = {.directory = tim3_store_lmdb_directory (lmdb),
                                  .checkpoint_bytes = options->checkpoint_bytes,
                                  .memory_most = options->memory_most,
                                  .keep_us = options->keep_us,
                                  .keep_bytes = options->keep_bytes};
    tim3_store_t *writer = tim3_store_lmdb_share (lmdb);
    tim3_store_t *store = tim3_store_open_tiers (lmdb, writer, &tiers, why, why_size);
    if (!store && options->full)
        *options->full = tim3_disk_full (options->path);
    return store ? store : refuse_journal (options->path, why, why_size);
}

static bool clear_journal (int directory)
{
    tim3_undo_clear (directory);
    return tim3_journal_clear (directory);
}

/*  Nobody can tell what was in a data file that is gone, or empty, as a disk may leave it when the power fails: LMDB would begin
    a new one. That would throw the journal away, which somebody may still want to look at.  */
static bool lacks_data (const char *path)
{
    size_t count = 0;
    struct stat stat;
    int directory = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return false;
    if (fstatat (directory, TIM3_DATA_FILE, &stat, 0) ? errno == ENOENT : stat.st_size == 0)
        free (tim3_journal_segments (directory, &count));
    close (directory);
    return count > 0;
}

/*  Brings what the journal holds into the environment, and does away with the journal.  */
static bool take_in_journal (const tim3_store_options_t *options, tim3_store_t *lmdb, char *why,
                             size_t why_size)
{
    tim3_store_t *tiers = open_tiers (lmdb, options, why, why_size);
    if (!tiers)
        return false;
    bool good = tim3_store_tiers_checkpoint (tiers) && tim3_store_tiers_leave (tiers) &&
                clear_journal (tim3_store_lmdb_directory (lmdb));
    tim3_store_close (&tiers);
    if (!good)
        snprintf (
            why, why_size,
            "cannot take in the journal of the store %s; make room on the disk, or raise agents/map_size_mb",
            options->path);
    return good;
}

tim3_store_t *tim3_store_open (const tim3_store_options_t *options, tim3_store_meta_t *meta, char *why,
                               size_t why_size)
{
    if (lacks_data (options->path)) {
        snprintf (why, why_size,
                  "the store %s has a journal, and its file data.mdb is missing or empty; restore the set "
                  "from a backup",
                  options->path);
        return NULL;
    }
    tim3_store_t *lmdb = tim3_store_open_lmdb (options, meta, why, why_size);
    if (!lmdb)
        return NULL;
    if (options->journal)
        return open_tiers (lmdb, options, why, why_size);
    if (!needs_journal (lmdb)) {
        /* what was left when it was last taken in */
        clear_journal (tim3_store_lmdb_directory (lmdb));
        return lmdb;
    }
    if (!take_in_journal (options, lmdb, why, why_size))
        return NULL;
    return tim3_store_open_lmdb (options, meta, why, why_size);
}

tim3_store_t *tim3_store_open_read_only (const char *path, tim3_store_meta_t *meta, bool *in_use, char *why,
                                         size_t why_size)
{
    tim3_store_t *lmdb = tim3_store_open_lmdb_read_only (path, meta, in_use, why, why_size);
    if (!lmdb || !needs_journal (lmdb))
        return lmdb;
    tim3_tiers_options_t tiers = {.directory = tim3_store_lmdb_directory (lmdb), .read_only = true};
    tim3_store_t *store = tim3_store_open_tiers (lmdb, NULL, &tiers, why, why_size);
    return store ? store : refuse_journal (path, why, why_size);
}
