/*  cause.h - what a host was handed, as the journal keeps it: enough to run a core again and get the same effects.

    A cause is a byte that says which, then numbers in little-endian order. Causes stand back to back, in the order in which
    the host met them. A commit comes before each TIM3_CAUSE_BEGIN but the first, and at the end of the record.
*/
#ifndef TIM3_CAUSE_H
#define TIM3_CAUSE_H

#include "base/bytes.h"

#include <sys/types.h>

typedef enum {
    TIM3_CAUSE_LIFE = 'L', /* a host was made: now, number (incarnation), digest of its settings */
    TIM3_CAUSE_RENEW =
        'N', /* its core was made anew: now, number (id of the next message), digest of its settings,
                               roles that the router has accepted, as a mask */
    TIM3_CAUSE_BEGIN = 'B', /* a batch began: now */
    TIM3_CAUSE_FRAME = 'F', /* answer, peer, data */
    TIM3_CAUSE_TICK = 'T',
    TIM3_CAUSE_LEAVE = 'Q'
} tim3_cause_kind_t;

typedef struct {
    tim3_cause_kind_t kind;
    uint64_t now_us;
    uint64_t number;
    uint64_t digest;
    uint64_t accepted;
    bool answer;
    const uint8_t *peer;
    size_t peer_size; /* at most 255 */
    const uint8_t *data;
    size_t size;
} tim3_cause_t;

/*  The bytes of a cause, without the peer and data of a frame, which follow it.  */
#define TIM3_CAUSE_HEAD_MAX 33
size_t tim3_cause_head (const tim3_cause_t *cause, uint8_t head[TIM3_CAUSE_HEAD_MAX]);

/*  Number of bytes taken; 0 at the end, -1 when it is not a cause. Pointers lead into data.  */
ssize_t tim3_cause_read (const uint8_t *data, size_t size, tim3_cause_t *cause);

#endif
