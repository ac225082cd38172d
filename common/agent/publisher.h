/*  publisher.h - events on their way from an agent's store to the bus.

    Events are numbered 1, 2, 3 ... in the commit that they report. Those of one commit are one row of the OUTBOX table
    (several when they are many): a run, whose key is the number of its first event. Runs are sent to the router in
    order, and deleted once it has said that all of their events are durable there. When no word comes, all that
    is not acknowledged is sent again, from the beginning of its run; the bus knows duplicates by number.

    A run of which only a part was acknowledged stays. After a restart all of it counts as not acknowledged: acked is then
    less than it was, never more, and what lies between is still here and is sent again. So what is told
    to the router as acknowledged is always in its log, or was: a log that has less lacks events which nobody has any more.
*/
#ifndef TIM3_PUBLISHER_H
#define TIM3_PUBLISHER_H

#include "agent/core.h"

/*  Most events in one run of the outbox, and in one message.  */
#define TIM3_OUTBOX_RUN_MAX 256

typedef struct {
    uint32_t run_most; /* most events in a row and in a message; 0: as usual. Stays when all else is loaded */
    uint64_t last;     /* number of the newest event, 0 for none */
    uint64_t sent;     /* all up to this one have been sent */
    uint64_t acked;    /* all up to this one are durable on the bus */
    uint64_t trimmed;  /* all up to this one are deleted here */
    uint64_t lost;     /* the bus has less than was deleted here: it was restored from an old copy */
    uint64_t asked_us;
    uint64_t trimmed_us;
    uint64_t counted;      /* last, as the store's counter has it */
    uint64_t stored;       /* last that is in a row */
    tim3_buffer_t run;     /* the events behind stored */
    tim3_buffer_t sending; /* several rows, put together */
} tim3_publisher_t;

/*  Reads where things stand from the store; what was sent but not acknowledged will be sent again.  */
void tim3_publisher_load (tim3_publisher_t *self, tim3_store_t *store);
void tim3_publisher_free (tim3_publisher_t *self);
void tim3_publisher_emit (tim3_publisher_t *self, tim3_store_t *store, tim3_type_t type, uint64_t now_us,
                          const void *body);
/*  Before the commit of a batch: writes down its events, and how many there are now.  */
void tim3_publisher_end_batch (tim3_publisher_t *self, tim3_store_t *store);
/*  Sends what has not been sent, within a window.  */
void tim3_publisher_send (tim3_publisher_t *self, tim3_env_t *env, const char *source, tim3_id_t store_id);
void tim3_publisher_acked (tim3_publisher_t *self, const tim3_published_t *published, uint64_t now_us);
void tim3_publisher_tick (tim3_publisher_t *self, uint64_t now_us, uint64_t *resent);
/*  Deletes acknowledged events, along with other changes or once in a while.  */
void tim3_publisher_trim (tim3_publisher_t *self, tim3_store_t *store, uint64_t now_us);

#endif
