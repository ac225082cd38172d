/*  event_log.h - the one ordered log of all events, kept in the store.

    Every event gets the next offset, from 1. A source numbers its events without gaps and sends again what
    it has no answer for, so what was taken before is skipped by (source, store, number), and behind a gap
    nothing is taken: the answer tells the source from where to go on.

    What is taken of one publication is one row, under the offset of its first event: a run, whose events are the bytes
    that came. A stretch is made of runs again, and where a reader wants all of a row it gets it as it is.
*/
#ifndef TIM3_EVENT_LOG_H
#define TIM3_EVENT_LOG_H

#include "store/store.h"

/*  Bounds of one stretch: events, bytes of them, and events looked at.  */
#define TIM3_STRETCH_EVENTS_MAX 256
#define TIM3_STRETCH_BYTES_MAX (192 * 1024)
#define TIM3_STRETCH_SCAN_MAX 4096

typedef struct {
    uint64_t end; /* offset that the next new event will get */
    uint64_t appended;
    uint64_t duplicates;
    uint64_t gaps;
    void *scratch;     /* takes the body of any event while it is checked */
    tim3_buffer_t run; /* what is taken of a publication that is not taken whole */
} tim3_event_log_t;

typedef struct {
    tim3_run_t
        runs[TIM3_STRETCH_EVENTS_MAX]; /* their events are in the store, until its next change, or in parts */
    unsigned count;
    uint64_t events;
    size_t bytes;
    tim3_buffer_t parts; /* of rows that are not wanted whole */
    uint64_t next;       /* all offsets before it were looked at */
} tim3_stretch_t;

void tim3_event_log_start (tim3_event_log_t *self, tim3_store_t *store);
void tim3_event_log_clear (tim3_event_log_t *self);

/*  Whether source may publish all of this: OK, NOT_ALLOWED or INVALID_FIELD.  */
tim3_result_t tim3_event_log_check (tim3_event_log_t *self, const tim3_publish_t *publish,
                                    const tim3_address_t *source);
/*  Appends what is new of a publication that has passed the check. Returns the number up to which all
    events of this source and store are in the log.  */
uint64_t tim3_event_log_append (tim3_event_log_t *self, tim3_store_t *store, const tim3_publish_t *publish);
/*  Reads on from an offset: at most most events whose topics begin with topic. A row that would have to be cut ends the
    stretch before it, when there is something in it.  */
void tim3_event_log_read (const tim3_event_log_t *self, tim3_store_t *store, uint64_t from, const char *topic,
                          uint64_t most, tim3_stretch_t *stretch);

#endif
