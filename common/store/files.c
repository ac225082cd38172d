/*  files.c - folders and files that must outlast a power failure.  */
#include "store/files.h"
#include "base/bytes.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ROOM_LEAST (1024 * 1024)

#define PIECE ((size_t) 1 << 20)

int tim3_directory_sync (const char *path)
{
    int directory = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return -1;
    int rc = fsync (directory);
    close (directory);
    return rc;
}

int tim3_directory_make (const char *path)
{
    char *copy = strdup (path);
    TIM3_ASSERT (copy);
    const char *parent = dirname (copy);
    int rc = mkdir (path, 0700);
    if (rc && errno == ENOENT && tim3_directory_make (parent) == 0)
        rc = mkdir (path, 0700);
    if (rc == 0)
        rc = tim3_directory_sync (parent);
    else if (errno == EEXIST)
        rc = 0;
    free (copy);
    return rc;
}

static int write_all (int file, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t done = write (file, data, size);
        if (done < 0 && errno != EINTR)
            return -1;
        if (done > 0) {
            data += done;
            size -= (size_t) done;
        }
    }
    return 0;
}

static int copy_all (int from, int to)
{
    char *piece = tim3_alloc (PIECE);
    ssize_t got;
    int rc = 0;
    while (rc == 0 && (got = read (from, piece, PIECE)) != 0) {
        if (got < 0)
            rc = errno == EINTR ? 0 : -1;
        else
            rc = write_all (to, piece, (size_t) got);
    }
    free (piece);
    return rc;
}

int tim3_file_copy (const char *from, const char *to)
{
    int source = open (from, O_RDONLY | O_CLOEXEC);
    int target = source < 0 ? -1 : open (to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc = target < 0 ? -1 : copy_all (source, target);
    if (rc == 0)
        rc = fsync (target);
    int error = errno;
    if (target >= 0 && close (target) && rc == 0) {
        error = errno;
        rc = -1;
    }
    if (source >= 0)
        close (source);
    errno = error;
    return rc;
}

bool tim3_disk_full (const char *path)
{
    struct statvfs space;
    return statvfs (path, &space) == 0 && (uint64_t) space.f_bavail * space.f_frsize < ROOM_LEAST;
}

void tim3_file_put_by (int directory, const char *name, const char *spare)
{
    if (faccessat (directory, spare, F_OK, 0) == 0 || renameat (directory, name, directory, spare) != 0)
        unlinkat (directory, name, 0);
}

uint8_t *tim3_file_read (int file, uint64_t from, uint64_t size)
{
    uint8_t *data = tim3_alloc (size + 1);
    uint64_t got = 0;
    while (got < size) {
        ssize_t part = pread (file, data + got, size - got, (off_t) (from + got));
        if (part <= 0)
            break;
        got += (uint64_t) part;
    }
    if (got == size)
        return data;
    free (data);
    return NULL;
}
