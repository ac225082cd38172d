/*  door.c - accept4 () and close () of this process, which let no more connections in than it has files for.  */
#include "agent/door.h"
#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES_MAX (1 << 18) /* connections have none beyond */

/*  What is known of a descriptor.  */
typedef struct {
    /* a listener */
    atomic_uint limit; /* 0: none */
    atomic_uint connected;
    atomic_ullong refused;
    /* a connection: the listener that it came in at, and one; 0: it is none */
    atomic_int came_in;
} place_t;

static place_t s_places[FILES_MAX];
static atomic_uint s_files; /* 0: not open yet */

static bool known (int file)
{
    return file >= 0 && file < FILES_MAX;
}

void tim3_door_open (uint64_t files)
{
    TIM3_ASSERT (files > 0);
    s_files = files < FILES_MAX ? (unsigned) files : FILES_MAX;
}

unsigned tim3_door_files (void)
{
    return s_files;
}

unsigned tim3_door_limit (int listener, unsigned wanted)
{
    TIM3_ASSERT (known (listener) && wanted > 0 && s_files > 1);
    unsigned limit = wanted < s_files / 2 ? wanted : s_files / 2;
    s_places[listener].limit = limit;
    return limit;
}

tim3_door_count_t tim3_door_count (int listener)
{
    TIM3_ASSERT (known (listener));
    place_t *place = &s_places[listener];
    return (tim3_door_count_t){place->connected, place->refused};
}

/*  ------------------------------------------------------------------------------------- coming and going  */

/*  A descriptor is the lowest that is free, so as many as its number are in use.  */
static bool files_suffice (unsigned limit, int file)
{
    unsigned files = s_files;
    unsigned left = files / 4 + (limit > 0 ? files / 8 : 0);
    return files == 0 || (unsigned) file < files - left;
}

/*  False when it may not come in.  */
static bool come_in (int listener, int file)
{
    if (!known (listener) || !known (file))
        return false;
    place_t *place = &s_places[listener];
    unsigned limit = place->limit;
    unsigned connected = atomic_fetch_add (&place->connected, 1);
    if (files_suffice (limit, file) && (limit == 0 || connected < limit)) {
        s_places[file].came_in = listener + 1;
        return true;
    }
    atomic_fetch_sub (&place->connected, 1);
    atomic_fetch_add (&place->refused, 1);
    return false;
}

static void go (int file)
{
    if (!known (file))
        return;
    s_places[file].limit = 0; /* whoever has the number next has none */
    int listener = atomic_exchange (&s_places[file].came_in, 0) - 1;
    if (listener >= 0)
        atomic_fetch_sub (&s_places[listener].connected, 1);
}

int accept4 (int listener, struct sockaddr *address, socklen_t *size, int flags)
{
    int file = (int) syscall (SYS_accept4, listener, address, size, flags);
    if (file >= 0 && come_in (listener, file))
        return file;
    if (file >= 0)
        syscall (SYS_close, file);
    if (file >= 0 || errno == EMFILE)
        errno = ECONNABORTED;
    return -1;
}

/*  Before it is closed: after that, another thread may have the number.  */
int close (int file)
{
    go (file);
    return (int) syscall (SYS_close, file);
}
