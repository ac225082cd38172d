/*  event_log.h - the one ordered log of all events, kept in the store.

    Every event gets the next offset, from 1. A source numbers its events without gaps and sends again what
    it has no answer for, so what was taken before is skipped by (source, store, number), and behind a gap
    nothing is taken: the answer tells the source from where to go on.
*/
#ifndef TIM3_EVENT_LOG_H
#define TIM3_EVENT_LOG_H

#include "store/store.h"

/*  Bounds of one stretch: events, bytes of their bodies, and events looked at.  */
#define TIM3_STRETCH_EVENTS_MAX 256
#define TIM3_STRETCH_BYTES_MAX (192 * 1024)
#define TIM3_STRETCH_SCAN_MAX 4096

typedef struct {
    uint64_t end; /* offset that the next new event will get */
    uint64_t appended;
    uint64_t duplicates;
    uint64_t gaps;
    void *scratch; /* takes the body of any event while it is checked */
    /* what was appended last, for those who read along. Bodies point into the publication, so tail_count is 0 unless
       that is at hand */
    tim3_event_item_t *tail;
    unsigned tail_count;
} tim3_event_log_t;

typedef struct {
    tim3_event_item_t items[TIM3_STRETCH_EVENTS_MAX]; /* bodies point into the store, until its next change */
    unsigned count;
    uint64_t next; /* all offsets before it were looked at */
} tim3_stretch_t;

void tim3_event_log_start (tim3_event_log_t *self, tim3_store_t *store);
void tim3_event_log_clear (tim3_event_log_t *self);

/*  Whether source may publish all of this: OK, NOT_ALLOWED or INVALID_FIELD.  */
tim3_result_t tim3_event_log_check (tim3_event_log_t *self, const tim3_publish_t *publish,
                                    const tim3_address_t *source, tim3_arena_t *arena);
/*  Appends what is new of a publication that has passed the check. Returns the number up to which all
    events of this source and store are in the log.  */
uint64_t tim3_event_log_append (tim3_event_log_t *self, tim3_store_t *store, const tim3_publish_t *publish,
                                const tim3_address_t *source);
/*  The publication goes away.  */
void tim3_event_log_forget (tim3_event_log_t *self);
/*  Reads on from an offset: at most most events whose topics begin with topic.  */
void tim3_event_log_read (const tim3_event_log_t *self, tim3_store_t *store, uint64_t from, const char *topic,
                          uint64_t most, tim3_stretch_t *stretch);

#endif
