/*  store_restore.c - puts the copy of a store into the place of the store that it is a copy of.

    The copy is made under another name, and gets that of LMDB's data file once it is marked as the original and on the disk: what a
    crash leaves before that is no store yet.
*/
#include "store/copier.h"
#include "store/files.h"
#include "store/store_lmdb.h"

#include <errno.h>
#include <limits.h>
#include <lmdb.h>
#include <stdio.h>
#include <sys/stat.h>

/*  Deletes the registry's rows: the endpoints in them may be those of another set of agents by now.  */
static int forget_registry (MDB_txn *txn, MDB_dbi dbi)
{
    const uint8_t first = TIM3_TABLE_REGISTRY;
    MDB_val key;
    MDB_val value;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open (txn, dbi, &cursor);
    if (rc)
        return rc;
    do {
        key = (MDB_val){1, (void *) (uintptr_t) &first};
        rc = mdb_cursor_get (cursor, &key, &value, MDB_SET_RANGE);
        if (rc == 0 && *(const uint8_t *) key.mv_data != first)
            rc = MDB_NOTFOUND;
        if (rc == 0)
            rc = mdb_cursor_del (cursor, 0);
    } while (rc == 0);
    mdb_cursor_close (cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/*  Makes the copy the original, by writing its own inode into the META record.  */
static int claim (MDB_env *env)
{
    struct stat stat;
    MDB_txn *txn;
    MDB_dbi dbi;
    int file;
    if (mdb_env_get_fd (env, &file) || fstat (file, &stat))
        return errno;
    int rc = mdb_txn_begin (env, NULL, 0, &txn);
    if (rc)
        return rc;
    rc = mdb_dbi_open (txn, NULL, 0, &dbi);
    if (rc == 0)
        rc = tim3_copier_mark (txn, dbi, NULL, stat.st_ino);
    if (rc == 0)
        rc = forget_registry (txn, dbi);
    if (rc == 0)
        return mdb_txn_commit (txn);
    mdb_txn_abort (txn);
    return rc;
}

static int claim_file (const char *path)
{
    MDB_env *env;
    int rc = mdb_env_create (&env);
    if (rc)
        return rc;
    rc = mdb_env_open (env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
    if (rc == 0)
        rc = claim (env);
    if (rc == 0)
        rc = mdb_env_sync (env, 1);
    mdb_env_close (env);
    return rc;
}

int tim3_store_restore_lmdb (const char *from, const char *path, char *why, size_t why_size)
{
    char source[PATH_MAX];
    char fresh[PATH_MAX];
    char target[PATH_MAX];
    snprintf (source, sizeof source, "%s/" TIM3_DATA_FILE, from);
    snprintf (fresh, sizeof fresh, "%s/" TIM3_DATA_FILE_NEW, path);
    snprintf (target, sizeof target, "%s/" TIM3_DATA_FILE, path);
    int rc = mkdir (path, 0700) || tim3_file_copy (source, fresh) ? errno : 0;
    if (rc == 0)
        rc = claim_file (fresh);
    if (rc == 0 && (rename (fresh, target) || tim3_directory_sync (path)))
        rc = errno;
    if (rc)
        snprintf (why, why_size, "cannot restore %s to %s: %s", source, path, mdb_strerror (rc));
    return rc ? -1 : 0;
}
