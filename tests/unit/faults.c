/*  faults.c - the calls, by system call, with faults.  */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic unsigned s_kinds;
static _Atomic unsigned s_left;
static _Atomic unsigned s_slow_us;
static _Atomic bool s_happened;
static int s_error;
static pthread_t s_owner;

void faults_set (unsigned kinds, unsigned nth, int error)
{
    s_error = error;
    s_owner = pthread_self ();
    atomic_store (&s_happened, false);
    atomic_store (&s_left, nth);
    atomic_store (&s_kinds, kinds);
}

void faults_slow (unsigned sync_us)
{
    s_owner = pthread_self ();
    atomic_store (&s_slow_us, sync_us);
}

bool faults_clear (void)
{
    atomic_store (&s_kinds, 0);
    atomic_store (&s_slow_us, 0);
    return atomic_load (&s_happened);
}

/*  Whether this call is the one that fails, with errno set.  */
static bool fails (unsigned kind)
{
    unsigned kinds = atomic_load (&s_kinds);
    if (!(kinds & kind) || (kinds & FAULTS_OTHERS && pthread_equal (pthread_self (), s_owner)))
        return false;
    if (!(kinds & FAULTS_ON && atomic_load (&s_happened)) && atomic_fetch_sub (&s_left, 1) != 1)
        return false;
    atomic_store (&s_happened, true);
    if (s_error == 0)
        syscall (SYS_kill, getpid (), SIGKILL);
    errno = s_error;
    return true;
}

static bool sync_fails (int descriptor)
{
    struct stat stat;
    unsigned slow = atomic_load (&s_slow_us);
    bool directory = fstat (descriptor, &stat) == 0 && S_ISDIR (stat.st_mode);
    if (slow > 0 && !pthread_equal (pthread_self (), s_owner))
        usleep (slow);
    return fails (directory ? FAULTS_SYNC_DIRECTORY : FAULTS_SYNC);
}

int fsync (int descriptor)
{
    return sync_fails (descriptor) ? -1 : (int) syscall (SYS_fsync, descriptor);
}

int fdatasync (int descriptor)
{
    return sync_fails (descriptor) ? -1 : (int) syscall (SYS_fdatasync, descriptor);
}

static bool direct_fails (int descriptor)
{
    return atomic_load (&s_kinds) & FAULTS_DIRECT && fcntl (descriptor, F_GETFL) & O_DIRECT &&
           fails (FAULTS_DIRECT);
}

ssize_t pread (int descriptor, void *data, size_t size, off_t offset)
{
    return direct_fails (descriptor) ? -1 : syscall (SYS_pread64, descriptor, data, size, offset);
}

ssize_t pwrite (int descriptor, const void *data, size_t size, off_t offset)
{
    if (direct_fails (descriptor) || fails (FAULTS_WRITE))
        return -1;
    return syscall (SYS_pwrite64, descriptor, data, size, offset);
}

ssize_t writev (int descriptor, const struct iovec *pieces, int count)
{
    return fails (FAULTS_WRITE) ? -1 : syscall (SYS_writev, descriptor, pieces, count);
}

int renameat (int from_directory, const char *from, int to_directory, const char *to)
{
    if (fails (FAULTS_NAME))
        return -1;
    return (int) syscall (SYS_renameat2, from_directory, from, to_directory, to, 0);
}

int unlinkat (int directory, const char *name, int flags)
{
    return fails (FAULTS_NAME) ? -1 : (int) syscall (SYS_unlinkat, directory, name, flags);
}
