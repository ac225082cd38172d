/*  watch.c - waits on many ZeroMQ sockets, and says which of them may have something to read.  */
#include "base/watch.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <zmq.h>

#define SIGNALLED_MOST 64 /* in one call; the rest is signalled again */

int tim3_watch_open (void)
{
    int watch = epoll_create1 (EPOLL_CLOEXEC);
    if (watch < 0)
        tim3_fatal (TIM3_EXIT_RETRY, "cannot wait on sockets: %s; raise the limit of open files",
                    strerror (errno));
    return watch;
}

void tim3_watch_file (int watch, tim3_watched_t *watched, int file)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watched};
    *watched = (tim3_watched_t){.file = file, .look = true};
    if (epoll_ctl (watch, EPOLL_CTL_ADD, file, &event) != 0)
        tim3_fatal (TIM3_EXIT_RETRY, "cannot wait on a descriptor: %s", strerror (errno));
}

void tim3_watch_socket (int watch, tim3_watched_t *watched, void *socket)
{
    int file = -1;
    size_t size = sizeof file;
    TIM3_ASSERT (zmq_getsockopt (socket, ZMQ_FD, &file, &size) == 0);
    tim3_watch_file (watch, watched, file);
    watched->socket = socket;
}

void tim3_watch_drop (int watch, tim3_watched_t *watched)
{
    epoll_ctl (watch, EPOLL_CTL_DEL, watched->file, NULL);
    *watched = (tim3_watched_t){.file = -1};
}

int tim3_watch_wait (int watch, int timeout_ms)
{
    struct epoll_event events[SIGNALLED_MOST];
    int count = epoll_wait (watch, events, SIGNALLED_MOST, timeout_ms);
    for (int i = 0; i < count; i++)
        ((tim3_watched_t *) events[i].data.ptr)->look = true;
    return count < 0 ? -1 : 0;
}

int tim3_watch_check (tim3_watched_t *watched)
{
    int events = 0;
    size_t size = sizeof events;
    if (zmq_getsockopt (watched->socket, ZMQ_EVENTS, &events, &size) != 0 || events & ZMQ_POLLIN)
        watched->look = true;
    return events;
}
