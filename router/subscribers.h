/*  subscribers.h - who reads the event log, from where, and how much more each may be sent.

    A subscription lives in memory alone: the subscriber keeps its own cursor and asks again. Asking is also
    the renewal of its lease, and gives new credit. Credit bounds what is on its way to one subscriber, and
    turns go round, so a slow one never holds up another.
*/
#ifndef TIM3_SUBSCRIBERS_H
#define TIM3_SUBSCRIBERS_H

#include "agent/core.h"
#include "event_log.h"

#define TIM3_SUBSCRIBERS_CLIENTS 192 /* subscriptions of all clients together */
#define TIM3_SUBSCRIBERS_AGENTS 64   /* there is always room for so many of agents */
#define TIM3_SUBSCRIBERS_MAX (TIM3_SUBSCRIBERS_CLIENTS + TIM3_SUBSCRIBERS_AGENTS)
#define TIM3_SUBSCRIBERS_EACH 16 /* of one client, or agent */
#define TIM3_SUBSCRIBER_LEASE_US (30ull * 1000000)
/*  Stretches sent in one go; the rest waits for the next batch.  */
#define TIM3_PUMP_MAX 64

typedef struct {
    tim3_return_t to;
    uint64_t subscription;
    char topic[64 + 1];
    uint64_t told;   /* the subscriber knows of everything before this offset */
    uint64_t next;   /* everything before it was looked at */
    uint64_t credit; /* events that may still be sent */
    uint64_t renewed_us;
} tim3_subscriber_t;

typedef struct {
    tim3_subscriber_t items[TIM3_SUBSCRIBERS_MAX];
    unsigned count;
    unsigned turn;
    uint64_t sent;          /* events */
    tim3_stretch_t stretch; /* the one being sent */
} tim3_subscribers_t;

/*  Begins, renews or ends the subscription of whoever sent the message at hand, and answers it.  */
void tim3_subscribers_ask (tim3_subscribers_t *self, tim3_env_t *env, const tim3_event_log_t *log,
                           const tim3_subscribe_t *body);
/*  Sends what there is to those with credit, by turns, as far as the bound allows.  */
void tim3_subscribers_pump (tim3_subscribers_t *self, tim3_env_t *env, const tim3_event_log_t *log);
void tim3_subscribers_clear (tim3_subscribers_t *self);
/*  Ends the subscriptions that were not renewed.  */
void tim3_subscribers_lapse (tim3_subscribers_t *self, uint64_t now_us);

#endif
