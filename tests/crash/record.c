/*  record.c - a library to preload, which notes all that a process does to a store's data file.

    TIM3_CRASH_LOG=file      where the log goes; without it nothing is noted. See log.h for its format.
    TIM3_CRASH_SKIP=what     plays a program that forgets to sync, to show that the test would notice:
                             data       no sync of the data file happens
                             data:17    the 17th does not happen, all others do
                             meta       the data file is never opened with O_DSYNC
                             directory  no sync of the directory happens

    It stands in front of the calls that LMDB makes, and makes them by system call. A call that it does not
    know would go unseen; that is why the reader compares what the log adds up to with the file that was left.
    Limits: one thread; a data file that is written through a map cannot be watched, and ends the process.
*/
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES_MAX 1024

typedef enum { FILE_OTHER, FILE_DATA, FILE_DATA_DSYNC } file_t;

static file_t s_files[FILES_MAX];
static int s_log = -1;
static uint64_t s_syncs;

static void die (const char *what)
{
    fprintf (stderr, "recorder: %s\n", what);
    abort ();
}

/*  ------------------------------------------------------------------------------------------- the log  */

static bool recording (void)
{
    const char *path = getenv ("TIM3_CRASH_LOG");
    if (s_log >= 0)
        return true;
    if (!path)
        return false;
    s_log = (int) syscall (SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (s_log < 0)
        die ("cannot make the file that TIM3_CRASH_LOG names");
    return true;
}

static void log_bytes (const void *data, size_t size)
{
    const char *bytes = data;
    while (size > 0) {
        long written = syscall (SYS_write, s_log, bytes, size);
        if (written <= 0)
            die ("cannot write to the file that TIM3_CRASH_LOG names");
        bytes += written;
        size -= (size_t) written;
    }
}

static void log_entry (crash_kind_t kind, uint64_t number, uint32_t size)
{
    crash_entry_t entry = {kind, size, number};
    if (recording ())
        log_bytes (&entry, sizeof entry);
}

crash_mark_t tim3_crash_mark;

void tim3_crash_mark (crash_kind_t kind, uint64_t number)
{
    log_entry (kind, number, 0);
}

/*  ------------------------------------------------------------------------------------ what to forget  */

static bool skips (const char *what)
{
    const char *skip = getenv ("TIM3_CRASH_SKIP");
    return skip && strcmp (skip, what) == 0;
}

/*  Counts the syncs of the data file on the way.  */
static bool skips_data (void)
{
    char this_one[32];
    s_syncs++;
    snprintf (this_one, sizeof this_one, "data:%llu", (unsigned long long) s_syncs);
    return skips ("data") || skips (this_one);
}

/*  --------------------------------------------------------------------------------------- descriptors  */

static file_t file_of (int descriptor)
{
    return descriptor >= 0 && descriptor < FILES_MAX ? s_files[descriptor] : FILE_OTHER;
}

static crash_name_t name_of (const char *path)
{
    const char *slash = strrchr (path, '/');
    const char *file = slash ? slash + 1 : path;
    if (strcmp (file, CRASH_FILE) == 0)
        return CRASH_NAME_FINAL;
    return strcmp (file, CRASH_FILE_NEW) == 0 ? CRASH_NAME_NEW : CRASH_NAME_NONE;
}

static void watch (int descriptor, int flags, crash_name_t name)
{
    struct stat stat;
    if (descriptor >= FILES_MAX || fstat (descriptor, &stat))
        die ("cannot watch this descriptor of the data file");
    s_files[descriptor] = flags & O_DSYNC ? FILE_DATA_DSYNC : FILE_DATA;
    if (flags & O_CREAT && stat.st_size == 0)
        log_entry (CRASH_NAME, name, 0);
}

int open (const char *path, int flags, ...)
{
    va_list arguments;
    va_start (arguments, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg (arguments, mode_t) : 0;
    va_end (arguments);
    crash_name_t name = name_of (path);
    if (name && skips ("meta"))
        flags &= ~O_SYNC;
    int descriptor = (int) syscall (SYS_openat, AT_FDCWD, path, flags, mode);
    if (name && descriptor >= 0)
        watch (descriptor, flags, name);
    return descriptor;
}

int close (int descriptor)
{
    if (descriptor >= 0 && descriptor < FILES_MAX)
        s_files[descriptor] = FILE_OTHER;
    return (int) syscall (SYS_close, descriptor);
}

int renameat (int from_directory, const char *from, int to_directory, const char *to)
{
    int rc = (int) syscall (SYS_renameat2, from_directory, from, to_directory, to, 0);
    if (rc == 0 && name_of (from) == CRASH_NAME_NEW && name_of (to) == CRASH_NAME_FINAL)
        log_entry (CRASH_NAME, CRASH_NAME_FINAL, 0);
    return rc;
}

/*  -------------------------------------------------------------------------------------------- writes  */

static crash_kind_t kind_of_write (int descriptor)
{
    return file_of (descriptor) == FILE_DATA_DSYNC ? CRASH_WRITE_SYNC : CRASH_WRITE;
}

static ssize_t log_write (int descriptor, const void *data, off_t offset, long written)
{
    int error = errno;
    if (written > 0 && file_of (descriptor) != FILE_OTHER) {
        log_entry (kind_of_write (descriptor), (uint64_t) offset, (uint32_t) written);
        log_bytes (data, (size_t) written);
    }
    errno = error;
    return written;
}

static off_t place_of (int descriptor)
{
    return file_of (descriptor) == FILE_OTHER ? 0 : lseek (descriptor, 0, SEEK_CUR);
}

ssize_t pwrite (int descriptor, const void *data, size_t size, off_t offset)
{
    return log_write (descriptor, data, offset, syscall (SYS_pwrite64, descriptor, data, size, offset));
}

ssize_t write (int descriptor, const void *data, size_t size)
{
    off_t offset = place_of (descriptor);
    return log_write (descriptor, data, offset, syscall (SYS_write, descriptor, data, size));
}

/*  One entry for the whole row: it is one call, and what of it reaches the disk is for the reader to cut.  */
ssize_t writev (int descriptor, const struct iovec *pieces, int count)
{
    off_t offset = place_of (descriptor);
    long written = syscall (SYS_writev, descriptor, pieces, count);
    if (written <= 0 || file_of (descriptor) == FILE_OTHER)
        return written;
    log_entry (kind_of_write (descriptor), (uint64_t) offset, (uint32_t) written);
    size_t left = (size_t) written;
    for (int i = 0; i < count && left > 0; i++) {
        size_t size = pieces[i].iov_len < left ? pieces[i].iov_len : left;
        log_bytes (pieces[i].iov_base, size);
        left -= size;
    }
    return written;
}

int ftruncate (int descriptor, off_t length)
{
    int rc = (int) syscall (SYS_ftruncate, descriptor, length);
    if (rc == 0 && file_of (descriptor) != FILE_OTHER)
        log_entry (CRASH_TRUNCATE, (uint64_t) length, 0);
    return rc;
}

void *mmap (void *address, size_t size, int protection, int flags, int descriptor, off_t offset)
{
    if (file_of (descriptor) != FILE_OTHER && flags & MAP_SHARED && protection & PROT_WRITE)
        die ("the data file is written through a map, which cannot be watched");
    return (void *) syscall (SYS_mmap, address, size, protection, flags, descriptor, offset);
}

/*  --------------------------------------------------------------------------------------------- syncs  */

static bool is_store_directory (int descriptor)
{
    struct stat stat;
    if (fstat (descriptor, &stat) || !S_ISDIR (stat.st_mode))
        return false;
    return fstatat (descriptor, CRASH_FILE, &stat, 0) == 0 ||
           fstatat (descriptor, CRASH_FILE_NEW, &stat, 0) == 0;
}

static int sync_data (long call, int descriptor)
{
    if (skips_data ())
        return 0;
    int rc = (int) syscall (call, descriptor);
    if (rc == 0)
        log_entry (CRASH_SYNC, 0, 0);
    return rc;
}

static int sync_directory (long call, int descriptor)
{
    if (skips ("directory"))
        return 0;
    int rc = (int) syscall (call, descriptor);
    if (rc == 0)
        log_entry (CRASH_SYNC_DIRECTORY, 0, 0);
    return rc;
}

static int sync_any (long call, int descriptor)
{
    if (file_of (descriptor) != FILE_OTHER)
        return sync_data (call, descriptor);
    if (is_store_directory (descriptor))
        return sync_directory (call, descriptor);
    return (int) syscall (call, descriptor);
}

int fsync (int descriptor)
{
    return sync_any (SYS_fsync, descriptor);
}

int fdatasync (int descriptor)
{
    return sync_any (SYS_fdatasync, descriptor);
}
