/*  record.c - a library to preload, which notes all that a process does to a store's files.

    TIM3_CRASH_LOG=file      where the log goes; without it nothing is noted. See log.h for its format.
    TIM3_CRASH_SKIP=what     plays a program that forgets to sync, to show that the test would notice:
                             data       no sync of the data file happens
                             data:17    the 17th does not happen, all others do
                             meta       the data file is never opened with O_DSYNC
                             directory  no sync of the directory happens
                             segment    no sync of the directory after a segment has got its name
                             record     no sync of a segment that has its name
                             head       no sync of a segment's head before that
                             prepared   no sync of the zeros of a segment

    It stands in front of the calls that the store makes, and makes them by system call, one at a time whatever thread
    they come from, so that the log is in order. A call that it does not know would go unseen; that is why the
    reader compares what the log adds up to with the files that were left.
    Limit: a file that is written through a map cannot be watched, and ends the process.
*/
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 1024

typedef struct {
    int file; /* its number + 1; 0: not watched */
    bool dsync;
} descriptor_t;

static pthread_mutex_t s_lock = PTHREAD_MUTEX_INITIALIZER;
static descriptor_t s_descriptors[DESCRIPTORS_MAX];
static char s_names[CRASH_FILES_MAX][CRASH_NAME_MAX]; /* of each file, empty when it has none */
static int s_files;
static int s_log = -1;
static bool s_segment_named; /* since the directory was last synced */
static uint64_t s_syncs;

static void die (const char *what)
{
    fprintf (stderr, "recorder: %s\n", what);
    abort ();
}

/*  The end of a call: lets the next one go.  */
static long leave (long result)
{
    int error = errno;
    pthread_mutex_unlock (&s_lock);
    errno = error;
    return result;
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
    while (size > 0 && s_log >= 0) {
        long written = syscall (SYS_write, s_log, bytes, size);
        if (written <= 0)
            die ("cannot write to the file that TIM3_CRASH_LOG names");
        bytes += written;
        size -= (size_t) written;
    }
}

static void log_entry (crash_kind_t kind, int file, uint64_t number, uint32_t size)
{
    crash_entry_t entry = {kind, size, (uint64_t) (file > 0 ? file - 1 : 0), number};
    if (recording ())
        log_bytes (&entry, sizeof entry);
}

static void log_names (crash_kind_t kind, int file, const char *name, const char *other)
{
    uint32_t size = (uint32_t) strlen (name) + 1;
    uint32_t more = other ? (uint32_t) strlen (other) + 1 : 0;
    log_entry (kind, file, 0, size + more);
    log_bytes (name, size);
    log_bytes (other, more);
}

crash_mark_t tim3_crash_mark;

void tim3_crash_mark (crash_kind_t kind, uint64_t number)
{
    pthread_mutex_lock (&s_lock);
    log_entry (kind, 0, number, 0);
    leave (0);
}

/*  ------------------------------------------------------------------------------------ what to forget  */

static bool skips (const char *what)
{
    const char *skip = getenv ("TIM3_CRASH_SKIP");
    return skip && strcmp (skip, what) == 0;
}

static bool begins (const char *text, const char *with)
{
    return strncmp (text, with, strlen (with)) == 0;
}

/*  Counts the syncs of the data file on the way.  */
static bool skips_data (void)
{
    char this_one[32];
    s_syncs++;
    snprintf (this_one, sizeof this_one, "data:%llu", (unsigned long long) s_syncs);
    return skips ("data") || skips (this_one);
}

/*  The zeros of a segment are synced with fsync, its head with fdatasync.  */
static bool skips_sync (long call, int file)
{
    const char *name = s_names[file - 1];
    if (begins (name, "data."))
        return skips_data ();
    if (begins (name, "journal-"))
        return skips ("record");
    if (begins (name, "journal."))
        return skips (call == SYS_fsync ? "prepared" : "head");
    return false;
}

/*  --------------------------------------------------------------------------------------- descriptors  */

static int file_of (int descriptor)
{
    return descriptor >= 0 && descriptor < DESCRIPTORS_MAX ? s_descriptors[descriptor].file : 0;
}

static const char *last_part (const char *path)
{
    const char *slash = strrchr (path, '/');
    return slash ? slash + 1 : path;
}

/*  The number + 1 of the file of that name, 0 when there is none.  */
static int find_file (const char *name)
{
    for (int i = 0; i < s_files; i++)
        if (strcmp (s_names[i], name) == 0)
            return i + 1;
    return 0;
}

static int add_file (const char *name)
{
    if (s_files == CRASH_FILES_MAX || strlen (name) >= CRASH_NAME_MAX)
        die ("too many files, or too long a name");
    strcpy (s_names[s_files++], name);
    log_names (CRASH_CREATE, s_files, name, NULL);
    return s_files;
}

static void watch (int descriptor, int flags, const char *name)
{
    int file = find_file (name);
    if (descriptor >= DESCRIPTORS_MAX)
        die ("cannot watch this descriptor");
    if (!file && !(flags & O_CREAT))
        die ("a file is there that was not seen being made; begin with an empty folder");
    if (!file)
        file = add_file (name);
    else if (flags & O_TRUNC)
        log_entry (CRASH_TRUNCATE, file, 0, 0);
    s_descriptors[descriptor] = (descriptor_t){file, flags & O_DSYNC};
}

static int open_any (int directory, const char *path, int flags, mode_t mode)
{
    const char *name = last_part (path);
    bool watched = crash_is_watched (name);
    pthread_mutex_lock (&s_lock);
    if (watched && skips ("meta"))
        flags &= ~O_SYNC;
    int descriptor = (int) syscall (SYS_openat, directory, path, flags, mode);
    if (watched && descriptor >= 0)
        watch (descriptor, flags, name);
    return (int) leave (descriptor);
}

int open (const char *path, int flags, ...)
{
    va_list arguments;
    va_start (arguments, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg (arguments, mode_t) : 0;
    va_end (arguments);
    return open_any (AT_FDCWD, path, flags, mode);
}

int openat (int directory, const char *path, int flags, ...)
{
    va_list arguments;
    va_start (arguments, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg (arguments, mode_t) : 0;
    va_end (arguments);
    return open_any (directory, path, flags, mode);
}

int close (int descriptor)
{
    pthread_mutex_lock (&s_lock);
    if (descriptor >= 0 && descriptor < DESCRIPTORS_MAX)
        s_descriptors[descriptor] = (descriptor_t){0, false};
    return (int) leave (syscall (SYS_close, descriptor));
}

/*  ---------------------------------------------------------------------------------------------- names  */

static void forget_name (int file)
{
    if (file)
        s_names[file - 1][0] = '\0';
}

int renameat (int from_directory, const char *from, int to_directory, const char *to)
{
    pthread_mutex_lock (&s_lock);
    int rc = (int) syscall (SYS_renameat2, from_directory, from, to_directory, to, 0);
    int file = crash_is_watched (from) ? find_file (from) : 0;
    if (rc == 0 && file) {
        forget_name (find_file (to));
        strcpy (s_names[file - 1], to);
        log_names (CRASH_RENAME, file, from, to);
        s_segment_named = s_segment_named || begins (to, "journal-");
    }
    return (int) leave (rc);
}

int unlinkat (int directory, const char *name, int flags)
{
    pthread_mutex_lock (&s_lock);
    int rc = (int) syscall (SYS_unlinkat, directory, name, flags);
    int file = crash_is_watched (name) ? find_file (name) : 0;
    if (rc == 0 && file) {
        log_names (CRASH_UNLINK, file, name, NULL);
        forget_name (file);
    }
    return (int) leave (rc);
}

/*  -------------------------------------------------------------------------------------------- writes  */

static crash_kind_t kind_of_write (int descriptor)
{
    return s_descriptors[descriptor].dsync ? CRASH_WRITE_SYNC : CRASH_WRITE;
}

static ssize_t log_write (int descriptor, const void *data, off_t offset, long written)
{
    int error = errno;
    if (written > 0 && file_of (descriptor)) {
        log_entry (kind_of_write (descriptor), file_of (descriptor), (uint64_t) offset, (uint32_t) written);
        log_bytes (data, (size_t) written);
    }
    errno = error;
    return leave (written);
}

static off_t place_of (int descriptor)
{
    return file_of (descriptor) ? lseek (descriptor, 0, SEEK_CUR) : 0;
}

ssize_t pwrite (int descriptor, const void *data, size_t size, off_t offset)
{
    pthread_mutex_lock (&s_lock);
    return log_write (descriptor, data, offset, syscall (SYS_pwrite64, descriptor, data, size, offset));
}

ssize_t write (int descriptor, const void *data, size_t size)
{
    pthread_mutex_lock (&s_lock);
    off_t offset = place_of (descriptor);
    return log_write (descriptor, data, offset, syscall (SYS_write, descriptor, data, size));
}

static void log_pieces (int descriptor, const struct iovec *pieces, int count, off_t offset, size_t left)
{
    log_entry (kind_of_write (descriptor), file_of (descriptor), (uint64_t) offset, (uint32_t) left);
    for (int i = 0; i < count && left > 0; i++) {
        size_t size = pieces[i].iov_len < left ? pieces[i].iov_len : left;
        log_bytes (pieces[i].iov_base, size);
        left -= size;
    }
}

/*  One entry for the whole row: it is one call, and what of it reaches the disk is for the reader to cut.  */
ssize_t writev (int descriptor, const struct iovec *pieces, int count)
{
    pthread_mutex_lock (&s_lock);
    off_t offset = place_of (descriptor);
    long written = syscall (SYS_writev, descriptor, pieces, count);
    if (written > 0 && file_of (descriptor))
        log_pieces (descriptor, pieces, count, offset, (size_t) written);
    return leave (written);
}

int ftruncate (int descriptor, off_t length)
{
    pthread_mutex_lock (&s_lock);
    int rc = (int) syscall (SYS_ftruncate, descriptor, length);
    if (rc == 0 && file_of (descriptor))
        log_entry (CRASH_TRUNCATE, file_of (descriptor), (uint64_t) length, 0);
    return (int) leave (rc);
}

void *mmap (void *address, size_t size, int protection, int flags, int descriptor, off_t offset)
{
    if (file_of (descriptor) && flags & MAP_SHARED && protection & PROT_WRITE)
        die ("a file is written through a map, which cannot be watched");
    return (void *) syscall (SYS_mmap, address, size, protection, flags, descriptor, offset);
}

/*  --------------------------------------------------------------------------------------------- syncs  */

static bool is_store_directory (int descriptor)
{
    struct stat stat;
    return fstat (descriptor, &stat) == 0 && S_ISDIR (stat.st_mode) &&
           (fstatat (descriptor, "data.mdb", &stat, 0) == 0 ||
            fstatat (descriptor, "data.new", &stat, 0) == 0);
}

static int sync_directory (long call, int descriptor)
{
    bool segment = s_segment_named;
    s_segment_named = false;
    if (skips ("directory") || (segment && skips ("segment")))
        return 0;
    int rc = (int) syscall (call, descriptor);
    if (rc == 0)
        log_entry (CRASH_SYNC_DIRECTORY, 0, 0, 0);
    return rc;
}

static int sync_file (long call, int descriptor)
{
    int file = file_of (descriptor);
    if (skips_sync (call, file))
        return 0;
    int rc = (int) syscall (call, descriptor);
    if (rc == 0)
        log_entry (CRASH_SYNC, file, 0, 0);
    return rc;
}

static int sync_any (long call, int descriptor)
{
    pthread_mutex_lock (&s_lock);
    if (file_of (descriptor))
        return (int) leave (sync_file (call, descriptor));
    if (is_store_directory (descriptor))
        return (int) leave (sync_directory (call, descriptor));
    return (int) leave (syscall (call, descriptor));
}

int fsync (int descriptor)
{
    return sync_any (SYS_fsync, descriptor);
}

int fdatasync (int descriptor)
{
    return sync_any (SYS_fdatasync, descriptor);
}

/*  The library has none of the others' code.  */
bool crash_is_watched (const char *name)
{
    return begins (name, "data.") || begins (name, "journal") || begins (name, "undo");
}
