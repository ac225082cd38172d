/*  store_lmdb.c - the store on LMDB: one environment, one unnamed database, keys with their table in front.

    In the directory: data.mdb and lock.mdb are LMDB's; LOCK is held (flock) by the process that has the store
    open, and holds its pid. LMDB runs with full sync: a commit that has returned is on the disk. data.new is
    a store that is being made; what is left of one is thrown away.

    A full disk shows in three ways: ENOSPC when nothing could be written, EIO when LMDB could write a part of what it
    wanted, and EIO from a sync. LMDB tells the last two by the same number. So after EIO with no room left on the disk
    the transaction counts as refused, and the environment is opened anew before anything else is done with it, as a
    restart would; every other EIO ends the process.

    A write transaction begins with the first operation, reads too, and lasts until commit or abort: there is
    one writer, and it must see its own changes. Nothing is kept open between batches.

    What this guards against, because LMDB itself allows it and then corrupts or misleads: opening the same
    environment twice, using it after fork, and going on with a copied file as if it were the original. A copy
    is known by the inode of its data file. Limit: a file restored over the old one, in place, keeps its inode
    and is not noticed; restore into an empty directory.
*/
#include "store/store_lmdb.h"
#include "base/log.h"
#include "store/copier.h"
#include "store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <lmdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    tim3_store_t base; /* first: the interface's pointer is ours */
    MDB_env *env;
    MDB_txn *txn;       /* NULL between batches */
    MDB_cursor *cursor; /* of txn, once something was sought */
    MDB_dbi dbi;
    bool dirty;       /* something was put or deleted in txn */
    bool
        looked; /* in txn, look_near has run: the two below are the first row at or after the key it was last given */
    MDB_val near_key; /* of size 0: there is no such row */
    MDB_val near_value;
    bool read_only;
    bool shared;    /* the environment is another handle's, which closes it */
    bool told_full; /* that it is full has been logged, and is not again until a commit succeeds */
    bool doubtful;  /* the environment must be opened anew before it is used */
    size_t map_size;
    char *path;
    int directory;           /* descriptor, -1 when not open */
    int lock;                /* descriptor of LOCK, -1 when not open */
    uint64_t commits_before; /* of the store's life before this file: added to LMDB's own count */
    tim3_copier_t *copier;   /* NULL when there is no copy to tell of */
    pid_t pid;               /* process that opened it */
} lmdb_t;

/*  A key as LMDB has it: the table's number, then the bytes of the key.  */
typedef struct {
    uint8_t bytes[1 + TIM3_KEY_MAX];
    MDB_val value;
} place_t;

static void place_set (place_t *self, tim3_table_t table, const tim3_key_t *key)
{
    TIM3_ASSERT (key->size <= TIM3_KEY_MAX);
    self->bytes[0] = (uint8_t) table;
    memcpy (self->bytes + 1, key->data, key->size);
    self->value = (MDB_val){(size_t) key->size + 1, self->bytes};
}

/*  -------------------------------------------------------------------------------------------- errors  */

static bool is_full (int error)
{
    return error == MDB_MAP_FULL || error == MDB_TXN_FULL || error == ENOSPC || error == EDQUOT ||
           error == EFBIG;
}

/*  A full store fails batch after batch, and its log may be on the same disk: once is enough.  */
static void tell_full (lmdb_t *self, const char *doing, int error)
{
    if (self->told_full)
        return;
    self->told_full = true;
    tim3_log (TIM3_ERROR, "store full", "doing=%s reason=\"%s\" advice=\"%s\"", doing, mdb_strerror (error),
              error == MDB_MAP_FULL ? "raise agents/map_size_mb and restart" : "make room on the disk");
}

static void latch (lmdb_t *self, const char *doing, int error)
{
    bool partly = error == EIO && tim3_disk_full (self->path);
    /* while two handles share the environment it cannot be opened anew: if LMDB then refuses to go on, the process ends */
    self->doubtful = self->doubtful || (partly && !self->shared);
    if (is_full (error) || partly) {
        self->base.error = TIM3_STORE_FULL;
        tell_full (self, doing, error);
        return;
    }
    self->base.error = TIM3_STORE_IO;
    tim3_log (TIM3_ERROR, "store failed", "doing=%s reason=\"%s\"", doing, mdb_strerror (error));
}

/*  --------------------------------------------------------------------------------------- transactions  */

/*  A forked child shares the map and the lock with its parent; whatever it wrote would corrupt the file.  */
static void check_process (const lmdb_t *self)
{
    if (self->pid != getpid ())
        tim3_panic (__FILE__, __LINE__, "a store is used by a process that did not open it");
}

/*  Opens the environment anew, as after a restart, but without giving up the lock on the store.  */
static int renew (lmdb_t *self)
{
    mdb_env_close (self->env);
    self->env = NULL;
    int rc = mdb_env_create (&self->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize (self->env, self->map_size);
    if (rc == 0)
        rc = mdb_env_open (self->env, self->path, MDB_NOTLS, 0600);
    self->doubtful = rc != 0;
    return rc;
}

static int begin (lmdb_t *self)
{
    check_process (self);
    int rc = self->doubtful ? renew (self) : 0;
    if (rc)
        return rc;
    rc = mdb_txn_begin (self->env, NULL, self->read_only ? MDB_RDONLY : 0, &self->txn);
    if (rc) {
        self->txn = NULL;
        return rc;
    }
    return mdb_dbi_open (self->txn, NULL, 0, &self->dbi);
}

/*  Whether an operation may go ahead; opens the transaction when it is the first.  */
static bool ready (lmdb_t *self)
{
    if (self->base.error)
        return false;
    if (self->txn)
        return true;
    int rc = begin (self);
    if (rc)
        latch (self, "begin", rc);
    return rc == 0;
}

/*  Takes the transaction out of self: whatever LMDB makes of it next, it is gone afterwards.  */
static MDB_txn *take_txn (lmdb_t *self)
{
    MDB_txn *txn = self->txn;
    check_process (self);
    if (self->cursor)
        mdb_cursor_close (self->cursor);
    self->cursor = NULL;
    self->txn = NULL;
    self->dirty = false;
    self->looked = false;
    return txn;
}

static void lmdb_abort (tim3_store_t *base)
{
    lmdb_t *self = (lmdb_t *) base;
    if (self->txn)
        mdb_txn_abort (take_txn (self));
}

static int lmdb_commit (tim3_store_t *base)
{
    lmdb_t *self = (lmdb_t *) base;
    if (!self->dirty) {
        lmdb_abort (base);
        return 0;
    }
    int rc = mdb_txn_commit (take_txn (self));
    if (rc) {
        latch (self, "commit", rc);
        return -1;
    }
    self->told_full = false;
    return 0;
}

static bool lmdb_dirty (tim3_store_t *base)
{
    return ((lmdb_t *) base)->dirty;
}

/*  ----------------------------------------------------------------------------------------- operations  */

/*  True when rc says found; anything but found and not found is latched.  */
static bool found (lmdb_t *self, const char *doing, int rc)
{
    if (rc && rc != MDB_NOTFOUND)
        latch (self, doing, rc);
    return rc == 0;
}

static bool lmdb_get (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key, const uint8_t **value,
                      size_t *size)
{
    lmdb_t *self = (lmdb_t *) base;
    place_t place;
    MDB_val data;
    if (!ready (self))
        return false;
    place_set (&place, table, key);
    if (!found (self, "get", mdb_get (self->txn, self->dbi, &place.value, &data)))
        return false;
    *value = data.mv_data;
    *size = data.mv_size;
    return true;
}

static void lmdb_put (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key, const uint8_t *value,
                      size_t size)
{
    lmdb_t *self = (lmdb_t *) base;
    place_t place;
    if (!ready (self))
        return;
    place_set (&place, table, key);
    MDB_val data = {size, (void *) (uintptr_t) value};
    int rc = mdb_put (self->txn, self->dbi, &place.value, &data, 0);
    if (rc)
        latch (self, "put", rc);
    self->dirty = true;
}

static void lmdb_delete (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key)
{
    lmdb_t *self = (lmdb_t *) base;
    place_t place;
    if (!ready (self))
        return;
    place_set (&place, table, key);
    if (found (self, "delete", mdb_del (self->txn, self->dbi, &place.value, NULL)))
        self->dirty = true;
}

/*  MDB_SET_RANGE finds the first key at or after a place; what is sought is that one, or the one beside it.  */
static int step (MDB_cursor *cursor, tim3_seek_t how, const place_t *place, MDB_val *at, MDB_val *data)
{
    bool backwards = how == TIM3_SEEK_LE || how == TIM3_SEEK_LT;
    *at = place->value;
    int rc = mdb_cursor_get (cursor, at, data, MDB_SET_RANGE);
    if (rc == MDB_NOTFOUND && backwards)
        return mdb_cursor_get (cursor, at, data, MDB_LAST);
    if (rc)
        return rc;
    bool same = at->mv_size == place->value.mv_size && memcmp (at->mv_data, place->bytes, at->mv_size) == 0;
    if (how == TIM3_SEEK_GT && same)
        return mdb_cursor_get (cursor, at, data, MDB_NEXT);
    if (how == TIM3_SEEK_LT || (how == TIM3_SEEK_LE && !same))
        return mdb_cursor_get (cursor, at, data, MDB_PREV);
    return 0;
}

static int open_cursor (lmdb_t *self)
{
    return self->cursor ? 0 : mdb_cursor_open (self->txn, self->dbi, &self->cursor);
}

/*  False when the key found belongs to a neighbouring table: this one ends here.  */
static bool take_key (lmdb_t *self, tim3_table_t table, const MDB_val *at, tim3_key_t *key)
{
    const uint8_t *bytes = at->mv_data;
    if (bytes[0] != (uint8_t) table)
        return false;
    if (at->mv_size - 1 > TIM3_KEY_MAX) {
        self->base.error = TIM3_STORE_CORRUPT;
        return false;
    }
    key->size = (uint16_t) (at->mv_size - 1);
    memcpy (key->data, bytes + 1, key->size);
    return true;
}

static bool lmdb_seek (tim3_store_t *base, tim3_table_t table, tim3_seek_t how, tim3_key_t *key,
                       const uint8_t **value, size_t *size)
{
    lmdb_t *self = (lmdb_t *) base;
    place_t place;
    MDB_val at;
    MDB_val data;
    if (!ready (self) || !found (self, "open cursor", open_cursor (self)))
        return false;
    place_set (&place, table, key);
    if (!found (self, "seek", step (self->cursor, how, &place, &at, &data)))
        return false;
    if (!take_key (self, table, &at, key))
        return false;
    *value = data.mv_data;
    *size = data.mv_size;
    return true;
}

/*  As of the last commit. Pages that LMDB keeps for reuse count as used: to tell them apart takes a reader
    beside the writer, and a walk through all of them.  */
static void lmdb_usage (tim3_store_t *base, uint64_t *used, uint64_t *most)
{
    lmdb_t *self = (lmdb_t *) base;
    MDB_envinfo info;
    MDB_stat stat;
    mdb_env_info (self->env, &info);
    mdb_env_stat (self->env, &stat);
    *used = ((uint64_t) info.me_last_pgno + 1) * stat.ms_psize;
    *most = info.me_mapsize;
}

static void close_descriptor (int descriptor)
{
    if (descriptor >= 0)
        close (descriptor);
}

/*  The lock goes last: until the environment is closed nobody else may open it.  */
static void lmdb_close (tim3_store_t *base)
{
    lmdb_t *self = (lmdb_t *) base;
    check_process (self);
    lmdb_abort (base);
    tim3_copier_end (&self->copier, true);
    if (self->env && !self->shared)
        mdb_env_close (self->env);
    close_descriptor (self->lock);
    if (!self->shared) {
        close_descriptor (self->directory);
        free (self->path);
    }
    free (self);
}

/*  ------------------------------------------------------------------------------------- counting, copying  */

/*  LMDB numbers its transactions, and keeps the number of the last one that got through.  */
static uint64_t lmdb_commits (tim3_store_t *base)
{
    lmdb_t *self = (lmdb_t *) base;
    MDB_envinfo info;
    mdb_env_info (self->env, &info);
    return self->commits_before + info.me_last_txnid;
}

int tim3_store_lmdb_copy_begin (tim3_store_t *base, const char *path, uint64_t commits, char *why,
                                size_t why_size)
{
    lmdb_t *self = (lmdb_t *) base;
    check_process (self);
    if (self->copier || self->txn) {
        snprintf (why, why_size, "%s", self->copier ? "another copy is not ended" : "a batch is open");
        return -1;
    }
    self->copier = tim3_copier_begin (self->env, path, commits, why, why_size);
    return self->copier ? 0 : -1;
}

static int lmdb_copy_begin (tim3_store_t *base, const char *path, char *why, size_t why_size)
{
    return tim3_store_lmdb_copy_begin (base, path, lmdb_commits (base), why, why_size);
}

static void lmdb_copy_look (tim3_store_t *base, tim3_store_copy_t *copy)
{
    lmdb_t *self = (lmdb_t *) base;
    if (self->copier)
        tim3_copier_look (self->copier, copy);
}

static void lmdb_copy_end (tim3_store_t *base, bool keep)
{
    tim3_copier_end (&((lmdb_t *) base)->copier, keep);
}

static const tim3_store_ops_t s_ops = {.get = lmdb_get,
                                       .put = lmdb_put,
                                       .del = lmdb_delete,
                                       .seek = lmdb_seek,
                                       .commit = lmdb_commit,
                                       .abort = lmdb_abort,
                                       .dirty = lmdb_dirty,
                                       .usage = lmdb_usage,
                                       .close = lmdb_close,
                                       .commits = lmdb_commits,
                                       .copy_begin = lmdb_copy_begin,
                                       .copy_look = lmdb_copy_look,
                                       .copy_end = lmdb_copy_end};

/*  -------------------------------------------------------------------------------------- rows in order
    The handle of tim3_store_lmdb_share is for writing rows in the order of their keys, as checkpoints do. All its operations use one
    cursor, which stays where the last row was: LMDB then finds most keys on the page at hand, without a search from the root.  */

static bool near_find (lmdb_t *self, MDB_val *key, MDB_val *value)
{
    return ready (self) && found (self, "open cursor", open_cursor (self)) &&
           found (self, "get", mdb_cursor_get (self->cursor, key, value, MDB_SET));
}

static bool near_get (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key, const uint8_t **value,
                      size_t *size)
{
    place_t place;
    MDB_val data;
    place_set (&place, table, key);
    if (!near_find ((lmdb_t *) base, &place.value, &data))
        return false;
    *value = data.mv_data;
    *size = data.mv_size;
    return true;
}

static void near_lay (lmdb_t *self, MDB_val *key, MDB_val *value)
{
    if (!ready (self) || !found (self, "open cursor", open_cursor (self)))
        return;
    int rc = mdb_cursor_put (self->cursor, key, value, 0);
    if (rc)
        latch (self, "put", rc);
    self->dirty = true;
}

static void near_put (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key, const uint8_t *value,
                      size_t size)
{
    place_t place;
    MDB_val data = {size, (void *) (uintptr_t) value};
    place_set (&place, table, key);
    near_lay ((lmdb_t *) base, &place.value, &data);
}

static void near_remove (lmdb_t *self, MDB_val *key)
{
    MDB_val value;
    if (!near_find (self, key, &value))
        return;
    int rc = mdb_cursor_del (self->cursor, 0);
    if (rc)
        latch (self, "delete", rc);
    self->dirty = true;
}

static void near_delete (tim3_store_t *base, tim3_table_t table, const tim3_key_t *key)
{
    place_t place;
    place_set (&place, table, key);
    near_remove ((lmdb_t *) base, &place.value);
}

static MDB_val key_of (const tim3_memrow_t *row)
{
    TIM3_ASSERT (row->key_size >= 1 && row->key_size - 1 <= TIM3_KEY_MAX);
    return (MDB_val){row->key_size, (void *) (uintptr_t) row->key};
}

void tim3_store_lmdb_lay (tim3_store_t *store, const tim3_memrow_t *row)
{
    MDB_val key = key_of (row);
    MDB_val value = {row->value_size, (void *) (uintptr_t) row->value};
    if (row->deleted)
        near_remove ((lmdb_t *) store, &key);
    else
        near_lay ((lmdb_t *) store, &key, &value);
}

static int compare (const MDB_val *a, const MDB_val *b)
{
    size_t least = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
    int order = memcmp (a->mv_data, b->mv_data, least);
    return order ? order : (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

/*  Finds the first row at or after a key. Keys are asked for in ascending order, so the row found last is still the answer for every key
    up to it: of many new keys in a gap only the first takes a search.  */
static bool look_near (lmdb_t *self, const MDB_val *key)
{
    if (self->looked && (self->near_key.mv_size == 0 || compare (key, &self->near_key) <= 0))
        return true;
    self->near_key = *key;
    int rc = mdb_cursor_get (self->cursor, &self->near_key, &self->near_value, MDB_SET_RANGE);
    if (!found (self, "look", rc))
        self->near_key.mv_size = 0;
    self->looked = true;
    return !self->base.error;
}

bool tim3_store_lmdb_look (tim3_store_t *store, const tim3_memrow_t *row, tim3_memrow_t *old, uint64_t *page)
{
    lmdb_t *self = (lmdb_t *) store;
    MDB_val key = key_of (row);
    TIM3_ASSERT (!self->dirty); /* pages changed in this transaction are not in the map */
    *page = UINT64_MAX;
    *old = (tim3_memrow_t){.key = row->key, .key_size = row->key_size, .deleted = true};
    if (!ready (self) || !found (self, "open cursor", open_cursor (self)) || !look_near (self, &key))
        return false;
    if (self->near_key.mv_size == 0)
        return true;
    *page = (uintptr_t) self->near_value.mv_data / TIM3_STORE_PAGE;
    if (compare (&key, &self->near_key) != 0)
        return true;
    old->value = self->near_value.mv_data;
    old->value_size = self->near_value.mv_size;
    old->deleted = false;
    return true;
}

static const tim3_store_ops_t s_near_ops = {.get = near_get,
                                            .put = near_put,
                                            .del = near_delete,
                                            .seek = lmdb_seek,
                                            .commit = lmdb_commit,
                                            .abort = lmdb_abort,
                                            .dirty = lmdb_dirty,
                                            .usage = lmdb_usage,
                                            .close = lmdb_close,
                                            .commits = lmdb_commits,
                                            .copy_begin = lmdb_copy_begin,
                                            .copy_look = lmdb_copy_look,
                                            .copy_end = lmdb_copy_end};

tim3_store_t *tim3_store_lmdb_share (tim3_store_t *store)
{
    lmdb_t *owner = (lmdb_t *) store;
    lmdb_t *self = tim3_alloc (sizeof *self);
    TIM3_ASSERT (!owner->txn && !owner->read_only);
    *self = *owner;
    self->base.ops = &s_near_ops;
    self->base.scratch = (tim3_buffer_t){0};
    self->shared = true;
    self->lock = -1;
    owner->read_only = true;
    return &self->base;
}

int tim3_store_lmdb_directory (const tim3_store_t *store)
{
    return ((const lmdb_t *) store)->directory;
}

/*  -------------------------------------------------------------------------------------------- opening  */

typedef struct {
    lmdb_t *store;
    const tim3_store_options_t *options;
    tim3_store_meta_t *meta;
    char *why;
    size_t why_size;
} opening_t;

__attribute__ ((format (printf, 2, 3))) static int refuse (const opening_t *self, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (self->why, self->why_size, format, arguments);
    va_end (arguments);
    return -1;
}

static int open_directory (opening_t *self)
{
    const char *path = self->options->path;
    if (tim3_directory_make (path))
        return refuse (self, "cannot make the directory %s: %s; make it, or give this agent the right to",
                       path, strerror (errno));
    self->store->directory = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->store->directory < 0)
        return refuse (self, "cannot open %s as a directory: %s; check what it is and who owns it", path,
                       strerror (errno));
    return 0;
}

static int refuse_locked (const opening_t *self, int lock)
{
    char text[24] = "";
    ssize_t size = pread (lock, text, sizeof text - 1, 0);
    long pid = size > 0 ? strtol (text, NULL, 10) : 0;
    if (pid == getpid ())
        return refuse (self, "the store %s is already open in this process; close it first",
                       self->options->path);
    if (pid > 0)
        return refuse (self, "the store %s is in use by process %ld; stop that process, or use another path",
                       self->options->path, pid);
    return refuse (self, "the store %s is in use by another process; stop that process, or use another path",
                   self->options->path);
}

/*  The pid is only for people to read: what counts is the lock, which ends with its process. Always of one length, so
    that it takes no more room than the last did.  */
static int write_pid (int lock)
{
    char text[24];
    int size = snprintf (text, sizeof text, "%-20ld\n", (long) getpid ());
    if (pwrite (lock, text, (size_t) size, 0) == size)
        return 0;
    return is_full (errno) ? 0 : -1;
}

/*  Comes before LMDB touches a file: LMDB opens one environment twice without a word, and the second close
    drops the first one's locks.  */
static int take_lock (opening_t *self)
{
    lmdb_t *store = self->store;
    store->lock = openat (store->directory, "LOCK", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock < 0)
        return refuse (self, "cannot open %s/LOCK: %s; check who owns the directory", self->options->path,
                       strerror (errno));
    if (flock (store->lock, LOCK_EX | LOCK_NB))
        return errno == EWOULDBLOCK ? refuse_locked (self, store->lock)
                                    : refuse (self, "cannot lock %s/LOCK: %s; use a local file system",
                                              self->options->path, strerror (errno));
    if (write_pid (store->lock))
        return refuse (self, "cannot write %s/LOCK: %s; check the disk", self->options->path,
                       strerror (errno));
    return 0;
}

static size_t round_to_pages (uint64_t size)
{
    uint64_t page = (uint64_t) sysconf (_SC_PAGESIZE);
    TIM3_ASSERT (size > 0 && size <= UINT64_MAX / 2);
    return (size_t) ((size + page - 1) / page * page);
}

static int write_new_file (const opening_t *self)
{
    char path[PATH_MAX];
    MDB_env *env;
    snprintf (path, sizeof path, "%s/" TIM3_DATA_FILE_NEW, self->options->path);
    if (unlinkat (self->store->directory, TIM3_DATA_FILE_NEW, 0) && errno != ENOENT)
        return errno;
    int rc = mdb_env_create (&env);
    if (rc)
        return rc;
    rc = mdb_env_open (env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
    if (rc == 0)
        rc = mdb_env_sync (env, 1);
    mdb_env_close (env);
    return rc;
}

/*  LMDB writes the first pages of a new file without a sync, and power that fails then leaves a file which it
    refuses for ever. So the file is made under another name, and gets its own once it is on the disk.  */
static int make_data_file (opening_t *self)
{
    struct stat stat;
    int directory = self->store->directory;
    if (fstatat (directory, TIM3_DATA_FILE, &stat, 0) == 0 || errno != ENOENT)
        return 0;
    int rc = write_new_file (self);
    if (rc == 0 && renameat (directory, TIM3_DATA_FILE_NEW, directory, TIM3_DATA_FILE))
        rc = errno;
    if (rc)
        return refuse (self, "cannot make a store in %s: %s; check the disk and who owns the directory",
                       self->options->path, mdb_strerror (rc));
    return 0;
}

static int open_environment (opening_t *self)
{
    int dead;
    int rc = mdb_env_create (&self->store->env);
    self->store->map_size = round_to_pages (self->options->map_size);
    if (rc == 0)
        rc = mdb_env_set_mapsize (self->store->env, self->store->map_size);
    if (rc == 0)
        rc = mdb_env_open (self->store->env, self->options->path, MDB_NOTLS, 0600);
    if (rc == 0)
        rc = mdb_reader_check (self->store->env, &dead);
    if (rc == 0 && fsync (self->store->directory))
        rc = errno;
    if (rc)
        return refuse (self,
                       "cannot open the store in %s: %s; check the disk, the owner of the files and "
                       "agents/map_size_mb, or restore a backup into an empty directory",
                       self->options->path, mdb_strerror (rc));
    return 0;
}

/*  ------------------------------------------------------------------------------------ whose store it is  */

/*  0, which no file has, when it cannot be told.  */
static uint64_t data_inode (const lmdb_t *store)
{
    struct stat stat;
    int file;
    if (mdb_env_get_fd (store->env, &file) || fstat (file, &stat))
        return 0;
    return stat.st_ino;
}

static int write_meta (opening_t *self)
{
    tim3_key_t key = tim3_key_text ("store");
    tim3_store_write (&self->store->base, TIM3_TABLE_META, &key, self->meta);
    if (tim3_store_commit (&self->store->base))
        return refuse (self,
                       "cannot write to the store in %s; make room on the disk, or raise agents/map_size_mb",
                       self->options->path);
    return 0;
}

static const char *collateral_of (const tim3_store_terms_t *terms)
{
    return terms->collateral ? terms->collateral : "";
}

/*  Makes the META record of a new store. Data without such a record is not ours, and is left alone.  */
static int create (opening_t *self, uint64_t inode)
{
    MDB_stat stat;
    mdb_env_stat (self->store->env, &stat);
    if (stat.ms_entries > 0)
        return refuse (self, "%s holds data that TIM3 did not write; use another path", self->options->path);
    tim3_store_meta_t *meta = self->meta;
    *meta = (tim3_store_meta_t){.id = self->options->fresh_id,
                                .shared = self->options->shared,
                                .shards = self->options->terms.shards,
                                .decimals = self->options->terms.decimals,
                                .collateral_decimals = self->options->terms.collateral_decimals,
                                .schema = TIM3_SCHEMA_VERSION,
                                .inode = inode,
                                .created_us = self->options->now_us,
                                .lineage = self->options->fresh_id};
    snprintf (meta->name, sizeof meta->name, "%s", self->options->name);
    snprintf (meta->collateral, sizeof meta->collateral, "%s", collateral_of (&self->options->terms));
    return write_meta (self);
}

static int check_schema (const opening_t *self)
{
    uint64_t schema = self->meta->schema;
    if (schema > TIM3_SCHEMA_VERSION)
        return refuse (self,
                       "the store %s has schema %" PRIu64 " and this version of TIM3 knows only up to %d; "
                       "run the version that wrote it, or a newer one",
                       self->options->path, schema, TIM3_SCHEMA_VERSION);
    if (schema < TIM3_SCHEMA_VERSION)
        return refuse (self,
                       "the store %s has schema %" PRIu64 ", which this version of TIM3 cannot bring up "
                       "to %d; run the version that wrote it",
                       self->options->path, schema, TIM3_SCHEMA_VERSION);
    return 0;
}

/*  A copy may be older than what its peers have seen of the original, so it goes on only when told to, and
    under an identity of its own.  */
static int check_copy (opening_t *self, uint64_t inode)
{
    if (self->meta->inode == inode)
        return 0;
    if (!self->options->adopt)
        return refuse (self,
                       "%s is a copy of a store of %s; run the agent on the original, or, if this is a "
                       "restore and the original is gone for good, open it as adopted",
                       self->options->path, self->meta->name);
    self->meta->inode = inode;
    self->meta->id = self->options->fresh_id;
    /* the commit of write_meta is not to count: the router compares with what it knows of the original */
    self->meta->commits--;
    return write_meta (self);
}

static int check_number (const opening_t *self, uint64_t begun, unsigned now, const char *what,
                         const char *key, const char *why)
{
    if (begun == now)
        return 0;
    return refuse (self,
                   "the store %s is that of a ledger with %" PRIu64 " %s, not %u; set %s back to %" PRIu64
                   ", for %s",
                   self->options->path, begun, what, now, key, begun, why);
}

static int check_terms (const opening_t *self)
{
    static const char divide[] = "a ledger cannot be divided anew";
    static const char amounts[] = "its amounts would mean something else";
    const tim3_store_meta_t *meta = self->meta;
    const tim3_store_terms_t *terms = &self->options->terms;
    if (check_number (self, meta->shards, terms->shards, "shards", "asset/NAME/shards", divide) ||
        check_number (self, meta->decimals, terms->decimals, "decimals", "its decimals", amounts) ||
        check_number (self, meta->collateral_decimals, terms->collateral_decimals, "decimals of collateral",
                      "collateral/decimals", amounts))
        return -1;
    if (strcmp (meta->collateral, collateral_of (terms)) == 0)
        return 0;
    return refuse (self,
                   "the store %s is that of a ledger backed by \"%s\", not \"%s\"; set collateral/name back "
                   "to %s, for that is what is locked",
                   self->options->path, meta->collateral, collateral_of (terms), meta->collateral);
}

static int check_meta (opening_t *self, uint64_t inode)
{
    if (check_schema (self))
        return -1;
    if (strcmp (self->meta->name, self->options->name) != 0)
        return refuse (self, "the store %s belongs to %s, not to %s; use another path", self->options->path,
                       self->meta->name, self->options->name);
    if (self->meta->shared != self->options->shared)
        return refuse (
            self,
            self->meta->shared
                ? "the store %s holds the ledgers of a merged critical path; configure it as merged"
                : "the store %s holds one ledger alone; configure the critical path as split",
            self->options->path);
    if (check_terms (self))
        return -1;
    return check_copy (self, inode);
}

static int open_meta (opening_t *self)
{
    tim3_key_t key = tim3_key_text ("store");
    tim3_store_t *base = &self->store->base;
    uint64_t inode = data_inode (self->store);
    if (inode == 0)
        return refuse (self, "cannot look at the data file in %s; check the disk", self->options->path);
    bool there = tim3_store_read (base, TIM3_TABLE_META, &key, self->meta);
    if (tim3_store_error (base))
        return refuse (self,
                       "the record of the store in %s cannot be read; restore a backup into an empty "
                       "directory",
                       self->options->path);
    if (there && tim3_id_is_zero (&self->meta->lineage))
        self->meta->lineage = self->meta->id;
    int rc = there ? check_meta (self, inode) : create (self, inode);
    self->store->commits_before = self->meta->commits;
    tim3_store_abort (base);
    return rc;
}

tim3_store_t *tim3_store_open_lmdb (const tim3_store_options_t *options, tim3_store_meta_t *meta, char *why,
                                    size_t why_size)
{
    lmdb_t *store = tim3_alloc (sizeof *store);
    opening_t self = {store, options, meta, why, why_size};
    tim3_store_t *base = &store->base;
    base->ops = &s_ops;
    store->pid = getpid ();
    store->directory = store->lock = -1;
    store->path = strdup (options->path);
    TIM3_ASSERT (store->path);
    if (open_directory (&self) || take_lock (&self) || make_data_file (&self) || open_environment (&self) ||
        open_meta (&self)) {
        if (options->full)
            *options->full = tim3_disk_full (options->path);
        tim3_store_close (&base);
    }
    return base;
}

/*  -------------------------------------------------------------------------------- opening to read alone  */

/*  The descriptor of LOCK need not be writable for that. A copy may lack it: then nobody has it open.  */
static int take_lock_to_read (opening_t *self, bool *in_use)
{
    lmdb_t *store = self->store;
    store->lock = openat (store->directory, "LOCK", O_RDONLY | O_CLOEXEC);
    if (store->lock < 0 && errno == ENOENT)
        return 0;
    if (store->lock < 0)
        return refuse (self, "cannot open %s/LOCK: %s; check who owns the directory", self->options->path,
                       strerror (errno));
    if (flock (store->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    *in_use = errno == EWOULDBLOCK;
    return *in_use ? refuse_locked (self, store->lock)
                   : refuse (self, "cannot lock %s/LOCK: %s; use a local file system", self->options->path,
                             strerror (errno));
}

static int open_directory_to_read (opening_t *self)
{
    const char *path = self->options->path;
    self->store->directory = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->store->directory < 0)
        return refuse (self, "cannot open %s as a directory: %s; check what it is and who owns it", path,
                       strerror (errno));
    return 0;
}

/*  Without LMDB's own lock file, which readers write to: our lock keeps writers out. Whether the file was cut
    short cannot be told from its length: LMDB counts pages that it has never written.  */
static int map_to_read (opening_t *self)
{
    int rc = mdb_env_create (&self->store->env);
    if (rc == 0)
        rc = mdb_env_open (self->store->env, self->options->path, MDB_RDONLY | MDB_NOLOCK, 0600);
    if (rc)
        return refuse (self, "cannot read the store in %s: %s; check the disk and the owner of the files",
                       self->options->path, mdb_strerror (rc));
    return 0;
}

static int read_meta (opening_t *self)
{
    tim3_key_t key = tim3_key_text ("store");
    bool there = tim3_store_read (&self->store->base, TIM3_TABLE_META, &key, self->meta);
    self->store->commits_before = self->meta->commits;
    if (tim3_id_is_zero (&self->meta->lineage))
        self->meta->lineage = self->meta->id;
    if (there && tim3_store_error (&self->store->base) == TIM3_STORE_OK)
        return check_schema (self);
    return refuse (self,
                   "the record that says whose store is in %s is missing or cannot be read; restore a backup "
                   "into an empty directory",
                   self->options->path);
}

tim3_store_t *tim3_store_open_lmdb_read_only (const char *path, tim3_store_meta_t *meta, bool *in_use,
                                              char *why, size_t why_size)
{
    const tim3_store_options_t options = {.path = path};
    lmdb_t *store = tim3_alloc (sizeof *store);
    opening_t self = {store, &options, meta, why, why_size};
    tim3_store_t *base = &store->base;
    base->ops = &s_ops;
    store->pid = getpid ();
    store->directory = store->lock = -1;
    store->read_only = true;
    *in_use = false;
    if (open_directory_to_read (&self) || take_lock_to_read (&self, in_use) || map_to_read (&self) ||
        read_meta (&self))
        tim3_store_close (&base);
    return base;
}
