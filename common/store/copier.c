/*  copier.c - copies an LMDB store that goes on being written to.

    Rows are read in their order and appended, so the copy is compact. It is written in batches, each with a full
    sync: one sync of everything at the end would hold up the syncs of those who work on the same disk. The
    file has another name (data.new) until it is whole.
*/
#include "store/copier.h"
#include "base/log.h"
#include "store/files.h"
#include "store/store_lmdb.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_BYTES (8 * 1024 * 1024)

struct tim3_copier {
    char path[PATH_MAX - 16];
    uint64_t commits;
    uint64_t rows_total;
    MDB_txn *from; /* the snapshot; the thread's, once that runs */
    MDB_dbi from_dbi;
    MDB_env *env; /* the copy */
    size_t map_size;
    bool made; /* the folder is ours */
    pthread_t thread;
    _Atomic uint64_t rows;
    _Atomic int state;
    _Atomic bool cancelled;
    char why[240]; /* before state becomes FAILED */
};

static void file_path (const tim3_copier_t *self, const char *name, char path[PATH_MAX])
{
    snprintf (path, PATH_MAX, "%s/%s", self->path, name);
}

/*  ------------------------------------------------------------------------------------------- the record  */

int tim3_copier_mark (MDB_txn *txn, MDB_dbi dbi, const uint64_t *commits, uint64_t inode)
{
    uint8_t place[] = {TIM3_TABLE_META, 's', 't', 'o', 'r', 'e', '\0'};
    MDB_val key = {sizeof place, place};
    MDB_val value;
    tim3_store_meta_t meta;
    tim3_arena_t none = {0};
    tim3_fault_t fault;
    tim3_buffer_t buffer = {0};

    int rc = mdb_get (txn, dbi, &key, &value);
    if (rc)
        return rc;
    if (tim3_decode_array (value.mv_data, value.mv_size, &tim3_shape_store_meta, &meta, &none, &fault))
        return MDB_CORRUPTED;
    meta.commits = commits ? *commits - mdb_txn_id (txn) : meta.commits - 1;
    if (inode)
        meta.inode = inode;
    tim3_encode_array (&buffer, &tim3_shape_store_meta, &meta);
    value = (MDB_val){buffer.size, buffer.data};
    rc = mdb_put (txn, dbi, &key, &value, 0);
    tim3_buffer_free (&buffer);
    return rc;
}

/*  ------------------------------------------------------------------------------------------- the thread  */

/*  Appends rows from where the cursor is. Returns MDB_NOTFOUND at the end of the snapshot.  */
static int copy_batch (tim3_copier_t *self, MDB_cursor *cursor, MDB_txn *txn, MDB_dbi dbi)
{
    MDB_val key;
    MDB_val value;
    size_t bytes = 0;
    int rc = 0;
    while (rc == 0 && bytes < BATCH_BYTES) {
        if (self->cancelled)
            return ECANCELED;
        rc = mdb_cursor_get (cursor, &key, &value, MDB_NEXT);
        if (rc == 0 && *(const uint8_t *) key.mv_data == TIM3_TABLE_CHECKPOINT)
            continue; /* the copy has no journal */
        if (rc == 0)
            rc = mdb_put (txn, dbi, &key, &value, MDB_APPEND);
        if (rc == 0) {
            bytes += key.mv_size + value.mv_size;
            self->rows++;
        }
    }
    return rc;
}

/*  One transaction; *more is false after the last, which also makes the copy's record right. The inode that it
    tells stays that of the original: an agent that opens the copy as it is sees that it is one.  */
static int write_batch (tim3_copier_t *self, MDB_cursor *cursor, bool *more)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    int rc = mdb_txn_begin (self->env, NULL, 0, &txn);
    if (rc)
        return rc;
    rc = mdb_dbi_open (txn, NULL, 0, &dbi);
    if (rc == 0)
        rc = copy_batch (self, cursor, txn, dbi);
    if (rc == MDB_NOTFOUND) {
        *more = false;
        rc = tim3_copier_mark (txn, dbi, &self->commits, 0);
    }
    if (rc == 0)
        return mdb_txn_commit (txn);
    mdb_txn_abort (txn);
    return rc;
}

static int write_all (tim3_copier_t *self)
{
    MDB_cursor *cursor;
    bool more = true;
    int rc = mdb_cursor_open (self->from, self->from_dbi, &cursor);
    if (rc)
        return rc;
    while (rc == 0 && more)
        rc = write_batch (self, cursor, &more);
    mdb_cursor_close (cursor);
    return rc ? rc : mdb_env_sync (self->env, 1);
}

static int give_name (const tim3_copier_t *self)
{
    char from[PATH_MAX];
    char to[PATH_MAX];
    file_path (self, TIM3_DATA_FILE_NEW, from);
    file_path (self, TIM3_DATA_FILE, to);
    return rename (from, to) || tim3_directory_sync (self->path) ? errno : 0;
}

/*  The folder must be new: nothing is ever written over.  */
static int make_folder (tim3_copier_t *self)
{
    char parent[PATH_MAX];
    snprintf (parent, sizeof parent, "%s", self->path);
    char *slash = strrchr (parent, '/');
    if (!slash)
        return EINVAL;
    *slash = '\0';
    if (tim3_directory_make (parent) || mkdir (self->path, 0700))
        return errno;
    self->made = true;
    return tim3_directory_sync (parent) ? errno : 0;
}

/*  Makes the environment, fills and closes it.  */
static int write_copy (tim3_copier_t *self)
{
    char path[PATH_MAX];
    file_path (self, TIM3_DATA_FILE_NEW, path);
    int rc = mdb_env_create (&self->env);
    if (rc)
        return rc;
    rc = mdb_env_set_mapsize (self->env, self->map_size);
    if (rc == 0)
        rc = mdb_env_open (self->env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
    if (rc == 0)
        rc = write_all (self);
    mdb_env_close (self->env);
    return rc;
}

static void *run (void *arg)
{
    tim3_copier_t *self = arg;
    int rc = make_folder (self);
    if (rc == 0)
        rc = write_copy (self);
    mdb_txn_abort (self->from);
    if (rc == 0)
        rc = give_name (self);
    if (rc)
        snprintf (self->why, sizeof self->why, "cannot write the copy in %.150s: %s", self->path,
                  mdb_strerror (rc));
    self->state = rc ? TIM3_COPY_STATE_FAILED : TIM3_COPY_STATE_COMPLETE;
    return NULL;
}

/*  ---------------------------------------------------------------------------------------- begin and end
    The agent stands still while a copy begins, so all that takes longer is left to the thread.  */

static int open_snapshot (tim3_copier_t *self, MDB_env *from)
{
    MDB_envinfo info;
    MDB_stat stat;
    mdb_env_info (from, &info);
    self->map_size = info.me_mapsize;
    int rc = mdb_txn_begin (from, NULL, MDB_RDONLY, &self->from);
    if (rc)
        return rc;
    rc = mdb_dbi_open (self->from, NULL, 0, &self->from_dbi);
    if (rc == 0)
        rc = mdb_stat (self->from, self->from_dbi, &stat);
    if (rc == 0) {
        self->rows_total = stat.ms_entries;
        rc = pthread_create (&self->thread, NULL, run, self);
    }
    if (rc)
        mdb_txn_abort (self->from);
    else
        pthread_setname_np (self->thread, "copy");
    return rc;
}

static void delete_files (const tim3_copier_t *self)
{
    static const char *const names[] = {TIM3_DATA_FILE, TIM3_DATA_FILE_NEW};
    char path[PATH_MAX];
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        file_path (self, names[i], path);
        unlink (path);
    }
    rmdir (self->path);
}

tim3_copier_t *tim3_copier_begin (MDB_env *env, const char *path, uint64_t commits, char *why,
                                  size_t why_size)
{
    tim3_copier_t *self = tim3_alloc (sizeof *self);
    snprintf (self->path, sizeof self->path, "%s", path);
    self->commits = commits;
    self->state = TIM3_COPY_STATE_COPYING;
    int rc = access (path, F_OK) ? open_snapshot (self, env) : EEXIST;
    if (rc == 0)
        return self;
    snprintf (why, why_size, "cannot begin a copy in %.150s: %s", path, mdb_strerror (rc));
    free (self);
    return NULL;
}

void tim3_copier_look (tim3_copier_t *self, tim3_store_copy_t *copy)
{
    *copy = (tim3_store_copy_t){.state = self->state, .rows = self->rows, .rows_total = self->rows_total};
    if (copy->state == TIM3_COPY_STATE_FAILED)
        snprintf (copy->why, sizeof copy->why, "%s", self->why);
}

void tim3_copier_end (tim3_copier_t **self_p, bool keep)
{
    tim3_copier_t *self = *self_p;
    if (!self)
        return;
    self->cancelled = true;
    pthread_join (self->thread, NULL);
    if (self->made && (!keep || self->state != TIM3_COPY_STATE_COMPLETE))
        delete_files (self);
    free (self);
    *self_p = NULL;
}
