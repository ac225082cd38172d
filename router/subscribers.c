/*  subscribers.c - who reads the event log, from where, and how much more each may be sent.  */
#include "subscribers.h"

#include <string.h>

/*  Several subscribers can sit behind one connection: clients behind the broker differ by via, agents of one
    process by sender.  */
static bool is_of (const tim3_subscriber_t *item, const tim3_return_t *to)
{
    return item->to.peer_size == to->peer_size && memcmp (item->to.peer, to->peer, to->peer_size) == 0 &&
           item->to.via_size == to->via_size && memcmp (item->to.via, to->via, to->via_size) == 0 &&
           strcmp (item->to.sender, to->sender) == 0;
}

static tim3_subscriber_t *find (tim3_subscribers_t *self, const tim3_return_t *to, uint64_t subscription)
{
    for (unsigned i = 0; i < self->count; i++)
        if (self->items[i].subscription == subscription && is_of (&self->items[i], to))
            return &self->items[i];
    return NULL;
}

static void end (tim3_subscribers_t *self, tim3_subscriber_t *item)
{
    *item = self->items[--self->count];
}

static void send (tim3_env_t *env, const tim3_event_log_t *log, tim3_subscriber_t *item,
                  const tim3_stretch_t *stretch)
{
    tim3_events_t events = {
        .subscription = item->subscription,
        .log = tim3_env_store_id (env),
        .items = {stretch->runs, stretch->count},
        .from = item->told,
        .next = stretch->next,
        .end = log->end,
        .credit = item->credit,
    };
    tim3_env_reply_to (env, &item->to, TIM3_MSG_EVENTS, &events);
    item->told = stretch->next;
}

/*  Reads one stretch and sends it. Where nothing fitted, the subscriber hears of it only now and then, so
    that its cursor moves on.  */
static void take_turn (tim3_subscribers_t *self, tim3_env_t *env, const tim3_event_log_t *log,
                       tim3_subscriber_t *item, bool even_empty)
{
    tim3_stretch_t *stretch = &self->stretch;
    uint32_t *rows = tim3_env_rows (env);
    tim3_event_log_read (log, tim3_env_store (env), item->next, item->topic, item->credit, stretch);
    uint64_t looked_at = stretch->next - item->next;
    *rows = looked_at < *rows ? *rows - (uint32_t) looked_at : 0;
    item->next = stretch->next;
    item->credit -= stretch->events;
    self->sent += stretch->events;
    if (stretch->count > 0 || even_empty || item->next - item->told >= TIM3_STRETCH_SCAN_MAX)
        send (env, log, item, stretch);
}

static void fill (tim3_subscriber_t *item, const tim3_return_t *to, const tim3_subscribe_t *body,
                  uint64_t now_us)
{
    uint64_t from = body->from ? body->from : 1;
    *item = (tim3_subscriber_t){
        .to = *to,
        .subscription = body->subscription,
        .told = from,
        .next = from,
        .credit = body->credit,
        .renewed_us = now_us,
    };
    memcpy (item->topic, body->topic, sizeof item->topic);
}

/*  Who comes through the front door.  */
static bool is_client (const tim3_return_t *to)
{
    return to->via_size > 0;
}

/*  One leaves room to others, and clients to agents. False after refusing.  */
static bool has_room (const tim3_subscribers_t *self, tim3_env_t *env, const tim3_return_t *to)
{
    unsigned own = 0;
    unsigned clients = 0;
    for (unsigned i = 0; i < self->count; i++) {
        own += is_of (&self->items[i], to);
        clients += is_client (&self->items[i].to);
    }
    bool full =
        self->count == TIM3_SUBSCRIBERS_MAX || (is_client (to) && clients == TIM3_SUBSCRIBERS_CLIENTS);
    if (own < TIM3_SUBSCRIBERS_EACH && !full)
        return true;
    tim3_env_refuse (env, TIM3_OVERLOADED, NULL,
                     "there are %u subscriptions already%s; end one, or ask again when one has lapsed",
                     full ? self->count : own, full ? "" : " of this one client");
    return false;
}

void tim3_subscribers_ask (tim3_subscribers_t *self, tim3_env_t *env, const tim3_event_log_t *log,
                           const tim3_subscribe_t *body)
{
    tim3_return_t to = tim3_env_return (env);
    tim3_subscriber_t *item = find (self, &to, body->subscription);
    tim3_subscriber_t ended;

    if (*tim3_env_rows (env) == 0) {
        tim3_env_refuse (env, TIM3_OVERLOADED, NULL, "too much of the log is asked for at once; ask again");
        return;
    }
    if (body->credit == 0) {
        if (item)
            end (self, item);
        fill (&ended, &to, body, tim3_env_now (env));
        take_turn (self, env, log, &ended, true);
        return;
    }
    if (!item && !has_room (self, env, &to))
        return;
    if (!item)
        item = &self->items[self->count++];
    fill (item, &to, body, tim3_env_now (env));
    take_turn (self, env, log, item, true);
}

static bool has_work (const tim3_subscriber_t *item, const tim3_event_log_t *log)
{
    return item->credit > 0 && item->next < log->end;
}

void tim3_subscribers_pump (tim3_subscribers_t *self, tim3_env_t *env, const tim3_event_log_t *log)
{
    unsigned idle = 0;
    unsigned turns = 0;
    while (idle < self->count && turns<TIM3_PUMP_MAX && * tim3_env_rows (env)> 0) {
        tim3_subscriber_t *item = &self->items[self->turn++ % self->count];
        if (!has_work (item, log)) {
            idle++;
            continue;
        }
        take_turn (self, env, log, item, false);
        idle = 0;
        turns++;
    }
}

void tim3_subscribers_clear (tim3_subscribers_t *self)
{
    tim3_buffer_free (&self->stretch.parts);
}

void tim3_subscribers_lapse (tim3_subscribers_t *self, uint64_t now_us)
{
    for (unsigned i = self->count; i-- > 0;)
        if (now_us > self->items[i].renewed_us + TIM3_SUBSCRIBER_LEASE_US)
            end (self, &self->items[i]);
}
