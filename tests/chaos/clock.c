/*  clock.c - lies about the time, for tests: a library to preload (LD_PRELOAD) into an agent.

    TIM3_CHAOS_CLOCK names a file that is mapped and may be changed at any time by the process that tests (its layout
    is lies_t; tests/chaos/clock.py writes it). The real-time clock gets an offset, of either sign. The monotonic
    clock starts anew at some moment with another value and another rate; it never goes back, because the kernel's
    does not either. Without the file all is passed through.

    What is not touched: time-outs that the kernel itself waits for (poll, timers).
*/
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000LL
#define MILLION 1000000LL

typedef struct {
    _Atomic uint64_t sequence; /* odd while the rest is being written */
    _Atomic int64_t real_offset_ns;
    _Atomic int64_t kernel_ns;       /* at this value of the kernel's monotonic clock ... */
    _Atomic int64_t lie_ns;          /* ... ours had this one, and goes on from there */
    _Atomic int64_t rate_millionths; /* at this rate */
} lies_t;

typedef int (*clock_gettime_t) (clockid_t, struct timespec *);

static clock_gettime_t s_clock_gettime;
static lies_t *s_lies;
static _Atomic int64_t s_last_ns; /* the latest monotonic time that was told */

__attribute__ ((constructor)) static void prepare (void)
{
    struct stat status;
    const char *path = getenv ("TIM3_CHAOS_CLOCK");
    *(void **) &s_clock_gettime = dlsym (RTLD_NEXT, "clock_gettime");
    int file = path ? open (path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    if (fstat (file, &status) == 0 && status.st_size >= (off_t) sizeof (lies_t)) {
        void *map = mmap (NULL, sizeof (lies_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        s_lies = map == MAP_FAILED ? NULL : map;
    }
    close (file);
}

static int64_t lie (int64_t kernel_ns)
{
    uint64_t before;
    int64_t told;
    do {
        before = atomic_load (&s_lies->sequence);
        int64_t passed = kernel_ns - atomic_load (&s_lies->kernel_ns);
        told = atomic_load (&s_lies->lie_ns) +
               (int64_t) ((__int128) passed * atomic_load (&s_lies->rate_millionths) / MILLION);
    } while (before % 2 == 1 || before != atomic_load (&s_lies->sequence));

    int64_t last = atomic_load (&s_last_ns);
    while (told > last)
        if (atomic_compare_exchange_weak (&s_last_ns, &last, told))
            return told;
    return last;
}

static int64_t changed (clockid_t clock, int64_t kernel_ns)
{
    switch (clock) {
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        return lie (kernel_ns);
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        return kernel_ns + atomic_load (&s_lies->real_offset_ns);
    default:
        return kernel_ns;
    }
}

int clock_gettime (clockid_t clock, struct timespec *time)
{
    if (!s_clock_gettime)
        prepare ();
    int rc = s_clock_gettime (clock, time);
    if (rc != 0 || !s_lies)
        return rc;
    int64_t told = changed (clock, (int64_t) time->tv_sec * NS_PER_S + time->tv_nsec);
    time->tv_sec = (time_t) (told / NS_PER_S);
    time->tv_nsec = (long) (told % NS_PER_S);
    return 0;
}

int gettimeofday (struct timeval *restrict time, void *restrict zone)
{
    struct timespec now;
    (void) zone;
    int rc = clock_gettime (CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return rc;
}

time_t time (time_t *result)
{
    struct timespec now;
    if (clock_gettime (CLOCK_REALTIME, &now) != 0)
        return -1;
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}
