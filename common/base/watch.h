/*  watch.h - waits on many ZeroMQ sockets, and says which of them may have something to read.

    zmq_poll asks every socket up to three times each time it is called, at two system calls each; here one epoll
    waits on all their descriptors, and only sockets that were signalled are looked at.

    A socket's descriptor signals once that something has happened, and the next call on the socket takes that signal away, even a call
    that sends. Hence the two duties of whoever uses this:
    - read a socket whose look is set until it has nothing (or leave look set, and do not sleep), then clear look;
    - call tim3_watch_check after sending on a socket, or after asking it for anything.
*/
#ifndef TIM3_WATCH_H
#define TIM3_WATCH_H

#include <stdbool.h>

/*  Stays where it is while it is watched.  */
typedef struct {
    void *socket; /* NULL: a file descriptor by itself */
    int file;
    bool look;
} tim3_watched_t;

/*  The number of a watch; close () ends it. Fatal when there are no descriptors left.  */
int tim3_watch_open (void);
/*  Both begin with look set.  */
void tim3_watch_socket (int watch, tim3_watched_t *watched, void *socket);
void tim3_watch_file (int watch, tim3_watched_t *watched, int file);
/*  Before the socket is closed.  */
void tim3_watch_drop (int watch, tim3_watched_t *watched);

/*  Sets look of what was signalled; waits for the first at most timeout_ms, 0 not at all. 0, or -1 with errno.  */
int tim3_watch_wait (int watch, int timeout_ms);
/*  Sets look when the socket has something to read; returns ZMQ_POLLIN and ZMQ_POLLOUT as they are.  */
int tim3_watch_check (tim3_watched_t *watched);

#endif
