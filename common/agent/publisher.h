/*  publisher.h - events on their way from an agent's store to the bus.

    Events are numbered 1, 2, 3 ... in the commit that they report, kept in the OUTBOX table, sent to the router in
    order, and deleted once it has said that they are durable there. When no word comes, all that is
    not acknowledged is sent again; the bus knows duplicates by number.
*/
#ifndef TIM3_PUBLISHER_H
#define TIM3_PUBLISHER_H

#include "agent/core.h"

typedef struct {
    uint64_t last;    /* number of the newest event, 0 for none */
    uint64_t sent;    /* all up to this one have been sent */
    uint64_t acked;   /* all up to this one are durable on the bus */
    uint64_t trimmed; /* all up to this one are deleted here */
    uint64_t lost;    /* the bus has less than was deleted here: it was restored from an old copy */
    uint64_t asked_us;
    uint64_t trimmed_us;
    uint64_t counted; /* last, as the store has it */
    /* the newest events, as the store has them, so that most are never read from there */
    tim3_buffer_t recent; /* one entry each; see publisher.c */
    tim3_buffer_t bodies;
} tim3_publisher_t;

/*  Reads where things stand from the store; what was sent but not acknowledged will be sent again.  */
void tim3_publisher_load (tim3_publisher_t *self, tim3_store_t *store);
void tim3_publisher_free (tim3_publisher_t *self);
void tim3_publisher_emit (tim3_publisher_t *self, tim3_store_t *store, tim3_type_t type, uint64_t now_us,
                          const void *body);
/*  Before the commit of a batch: writes down how many there are now.  */
void tim3_publisher_end_batch (tim3_publisher_t *self, tim3_store_t *store);
/*  Sends what has not been sent, within a window.  */
void tim3_publisher_send (tim3_publisher_t *self, tim3_env_t *env, const char *source, tim3_id_t store_id);
void tim3_publisher_acked (tim3_publisher_t *self, const tim3_published_t *published, uint64_t now_us);
void tim3_publisher_tick (tim3_publisher_t *self, uint64_t now_us, uint64_t *resent);
/*  Deletes acknowledged events, along with other changes or once in a while.  */
void tim3_publisher_trim (tim3_publisher_t *self, tim3_store_t *store, uint64_t now_us);

#endif
