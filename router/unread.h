/*  unread.h - how many bytes of answers wait until clients read them, in all and for each client, and how many may.

    ZeroMQ bounds frames, one of which may be a thousand times as large as another. So each frame is handed to it together
    with a function that it calls once it is done with the bytes, from a thread of its own; what is counted between is exact.

    A client may have an eighth of what is free: alone, a ninth of it all, and less the more of them do not read. So there is
    always something left for those who do.

    Clients share the counters by a hash that nobody can foresee: two that have one counter are as one here, which is
    noticed only where one of them does not read.
*/
#ifndef TIM3_UNREAD_H
#define TIM3_UNREAD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define TIM3_UNREAD_PARTS (1 << 16)

typedef struct {
    size_t most;     /* bytes, in all */
    uint64_t secret; /* the caller's random number */
    atomic_size_t total;
    atomic_size_t parts[TIM3_UNREAD_PARTS];
} tim3_unread_t;

typedef struct {
    tim3_unread_t *unread;
    atomic_size_t *part;
    size_t size;
    uint8_t bytes[];
} tim3_unread_frame_t;

/*  A copy of a frame for a client, which counts until it is given to tim3_unread_end; NULL when that client would have too
    much. To be called by one thread only.  */
tim3_unread_frame_t *tim3_unread_begin (tim3_unread_t *self, const uint8_t *client, size_t client_size,
                                        const uint8_t *data, size_t size);
/*  Frees it; as ZeroMQ calls it, from any thread.  */
void tim3_unread_end (void *bytes, void *frame);

#endif
