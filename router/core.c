/*  core.c - the router's core: answers what is asked of the registry and of the event log.  */
#include "core.h"
#include "lives.h"
#include "registry.h"
#include "standings.h"
#include "subscribers.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const tim3_settings_t *settings;
    bool started;
    tim3_registry_t registry;
    tim3_standings_t standings;
    tim3_event_log_t log;
    uint64_t life;
    tim3_subscribers_t subscribers;
    bool pump; /* something may have come that subscribers are waiting for */
} router_t;

static void *router_new (const tim3_settings_t *settings)
{
    router_t *self = tim3_alloc (sizeof *self);
    self->settings = settings;
    return self;
}

static void router_destroy (void **self)
{
    router_t *router = *self;
    if (!router)
        return;
    tim3_registry_clear (&router->registry);
    tim3_standings_clear (&router->standings);
    tim3_event_log_clear (&router->log);
    tim3_subscribers_clear (&router->subscribers);
    free (router);
    *self = NULL;
}

/*  What is in the store is read with the first call that has a store.  */
static router_t *started (void *self, tim3_env_t *env)
{
    router_t *router = self;
    if (!router->started) {
        tim3_registry_start (&router->registry, tim3_env_store (env), tim3_env_now (env),
                             router->settings->heartbeat_us);
        tim3_standings_start (&router->standings, tim3_env_store (env));
        tim3_event_log_start (&router->log, tim3_env_store (env));
        router->life = tim3_lives_begin (tim3_env_store (env), router->log.end);
        router->started = true;
    }
    return router;
}

/*  Only the agent itself registers, tells how far it has come, and publishes under its name. False after refusing another.  */
static bool is_own (tim3_env_t *env, const char *field, const char *name)
{
    if (strcmp (tim3_env_message (env)->sender, name) == 0)
        return true;
    tim3_env_refuse (env, TIM3_NOT_ALLOWED, NULL, "%s must be the sender's own address", field);
    return false;
}

/*  ---------------------------------------------------------------------------------------- registry  */

static const char *why_not (tim3_result_t code)
{
    switch (code) {
    case TIM3_SUPERSEDED:
        return "a newer incarnation has registered under this name and is alive; this one must stop";
    case TIM3_OVERLOADED:
        return "the registry is full; deregister agents that are no longer used";
    case TIM3_NOT_FOUND:
        return "this incarnation is not registered; register it";
    default:
        return "name must be role.asset.shard and agree with role, asset and shard; incarnation must be "
               "given, "
               "and an endpoint of this host";
    }
}

/*  heard: commits that the agent told.  */
static void answer_registered (router_t *router, tim3_env_t *env, tim3_result_t code, const char *name,
                               uint64_t heard)
{
    tim3_registered_t registered = {.generation = router->registry.generation,
                                    .life = router->life,
                                    .log_end = router->log.end,
                                    .heard = heard};
    if (code)
        tim3_env_refuse (env, code, NULL, "%s: %s", name, why_not (code));
    else
        tim3_env_reply (env, TIM3_MSG_REGISTERED, &registered);
}

/*  The members that tell a standing, out of a message that has them.  */
#define STANDING(message, life)                                                                             \
    ((tim3_standing_item_t){(message)->store, (message)->lineage, (message)->commits, (message)->event_seq, \
                            (message)->acked, (life)})

/*  False when code says that the agent's store does not fit what is known: that has been answered then.  */
static bool is_fit (router_t *router, tim3_env_t *env, tim3_result_t code, const char *why)
{
    if (code == TIM3_OK)
        return true;
    /* what it was refused for must outlast this process */
    tim3_standings_write (&router->standings, tim3_env_store (env), tim3_env_now (env));
    tim3_env_refuse (env, code, NULL, "%s", why);
    return false;
}

static bool standing_fits (router_t *router, tim3_env_t *env, const char *name, bool begins,
                           const tim3_standing_item_t *given)
{
    char why[240];
    tim3_result_t code =
        tim3_standings_check (&router->standings, tim3_env_store (env), name, begins, given, why);
    return is_fit (router, env, code, why);
}

/*  What the ledger has seen of this router's store must be there. Whom a router meets first whose store was made anew, after it was
    lost, has seen another.  */
static bool router_fits (router_t *router, tim3_env_t *env, const char *name, const tim3_register_t *given)
{
    tim3_store_t *store = tim3_env_store (env);
    char why[240];
    bool had = given->router_life == 0 ||
               tim3_lives_had (store, router->log.end, given->router_life, given->router_log_end) ||
               (tim3_lives_is_first (store) && !tim3_standings_knows (&router->standings, name));
    return is_fit (router, env, tim3_standings_note_seen (&router->standings, name, had, why), why);
}

static bool all_own (tim3_env_t *env, const tim3_register_t *given)
{
    const tim3_agent_t *agent = given->agents.items;
    for (uint32_t i = 0; i < given->agents.count; i++)
        if (!is_own (env, "name", agent[i].name))
            return false;
    return true;
}

static bool all_fit (router_t *router, tim3_env_t *env, const tim3_register_t *given)
{
    const tim3_agent_t *agent = given->agents.items;
    for (uint32_t i = 0; i < given->agents.count; i++) {
        tim3_standing_item_t standing = STANDING (given, agent[i].incarnation);
        if (!standing_fits (router, env, agent[i].name, true, &standing) ||
            !router_fits (router, env, agent[i].name, given))
            return false;
    }
    return true;
}

static void raise_all (router_t *router, tim3_env_t *env, const tim3_register_t *given)
{
    const tim3_agent_t *agent = given->agents.items;
    for (uint32_t i = 0; i < given->agents.count; i++) {
        tim3_standing_item_t standing = STANDING (given, agent[i].incarnation);
        tim3_standings_raise (&router->standings, agent[i].name, &standing);
    }
    tim3_standings_write (&router->standings, tim3_env_store (env), tim3_env_now (env));
}

static void on_register (void *self, tim3_env_t *env, const void *body)
{
    const tim3_register_t *given = body;
    router_t *router = started (self, env);
    const char *culprit = "";
    if (!all_own (env, given))
        return;
    if (tim3_registry_superseded (&router->registry, &given->agents, &culprit)) {
        answer_registered (router, env, TIM3_SUPERSEDED, culprit, given->commits);
        return;
    }
    if (!all_fit (router, env, given))
        return;
    tim3_result_t code = tim3_registry_put (&router->registry, tim3_env_store (env), tim3_env_now (env),
                                            &given->agents, &culprit);
    if (code == TIM3_OK)
        raise_all (router, env, given);
    answer_registered (router, env, code, culprit, given->commits);
}

static void on_heartbeat (void *self, tim3_env_t *env, const void *body)
{
    const tim3_heartbeat_t *given = body;
    const tim3_standing_item_t standing = STANDING (given, given->incarnation);
    router_t *router = started (self, env);
    if (!is_own (env, "name", given->name) || !standing_fits (router, env, given->name, false, &standing))
        return;
    tim3_result_t code = tim3_registry_touch (&router->registry, tim3_env_now (env), given);
    if (code == TIM3_OK)
        tim3_standings_raise (&router->standings, given->name, &standing);
    if (tim3_store_dirty (tim3_env_store (env))) /* it will be written to anyway */
        tim3_standings_write (&router->standings, tim3_env_store (env), tim3_env_now (env));
    answer_registered (router, env, code, given->name, given->commits);
}

static void on_deregister (void *self, tim3_env_t *env, const void *body)
{
    const tim3_deregister_t *given = body;
    const tim3_standing_item_t standing = STANDING (given, given->incarnation);
    router_t *router = started (self, env);
    if (!is_own (env, "name", given->name) || !standing_fits (router, env, given->name, false, &standing))
        return;
    tim3_result_t code =
        tim3_registry_remove (&router->registry, tim3_env_store (env), given->name, given->incarnation);
    if (code == TIM3_OK) {
        tim3_standings_raise (&router->standings, given->name, &standing);
        tim3_standings_write (&router->standings, tim3_env_store (env), tim3_env_now (env));
    }
    answer_registered (router, env, code, given->name, given->commits);
}

static void answer_agents (router_t *router, tim3_env_t *env, const tim3_discover_t *wanted)
{
    tim3_agents_t agents = {.generation = router->registry.generation};
    tim3_agent_t *items = NULL;
    if (router->registry.count > 0) {
        items = tim3_arena_take (tim3_env_arena (env), router->registry.count * sizeof *items);
        if (!items) {
            tim3_env_refuse (env, TIM3_OVERLOADED, NULL, "the list is too long to answer; ask for one role");
            return;
        }
    }
    agents.items = (tim3_list_t){items, tim3_registry_find (&router->registry, wanted, items)};
    tim3_env_reply (env, TIM3_MSG_AGENTS, &agents);
}

static void on_discover (void *self, tim3_env_t *env, const void *body)
{
    answer_agents (started (self, env), env, body);
}

static void on_list (void *self, tim3_env_t *env, const void *body)
{
    static const tim3_discover_t all;
    (void) body;
    answer_agents (started (self, env), env, &all);
}

/*  --------------------------------------------------------------------------------------- event log  */

static void on_publish (void *self, tim3_env_t *env, const void *body)
{
    const tim3_publish_t *publish = body;
    router_t *router = started (self, env);
    tim3_published_t published;
    tim3_address_t source;

    if (!is_own (env, "source", publish->source))
        return;
    if (!tim3_address_parse (publish->source, &source) || source.shard < 0) {
        tim3_env_refuse (env, TIM3_NOT_ALLOWED, NULL, "source must be the whole address of an agent");
        return;
    }
    if (tim3_standings_log_behind (&router->standings)) {
        tim3_env_refuse (env, TIM3_LOG_ROLLED_BACK, NULL, NULL);
        return;
    }
    tim3_result_t code = tim3_event_log_check (&router->log, publish, &source);
    if (code) {
        tim3_env_refuse (env, code, NULL, "they must be events that %s may emit, numbered from 1, whole",
                         tim3_role_name (source.role));
        return;
    }
    memset (&published, 0, sizeof published);
    memcpy (published.source, publish->source, sizeof published.source);
    published.seq = tim3_event_log_append (&router->log, tim3_env_store (env), publish);
    tim3_env_reply (env, TIM3_MSG_PUBLISHED, &published);
    router->pump = true;
}

static void on_subscribe (void *self, tim3_env_t *env, const void *body)
{
    router_t *router = started (self, env);
    tim3_subscribers_ask (&router->subscribers, env, &router->log, body);
    router->pump = true;
}

/*  Subscribers get together what all messages of the batch have brought.  */
static void router_end_batch (void *self, tim3_env_t *env)
{
    router_t *router = self;
    if (router->pump)
        tim3_subscribers_pump (&router->subscribers, env, &router->log);
    router->pump = false;
}

/*  ---------------------------------------------------------------------------- time, health and table  */

static void router_tick (void *self, tim3_env_t *env)
{
    router_t *router = started (self, env);
    tim3_registry_tick (&router->registry, tim3_env_store (env), tim3_env_now (env));
    tim3_standings_tick (&router->standings, tim3_env_store (env), tim3_env_now (env));
    tim3_subscribers_lapse (&router->subscribers, tim3_env_now (env));
    router->pump = true;
}

static void router_health (void *self, tim3_env_t *env, tim3_report_t *report)
{
    const tim3_registry_t *registry = &started (self, env)->registry;
    uint64_t now_us = tim3_env_now (env);
    tim3_standings_health (&((const router_t *) self)->standings, report);
    for (unsigned i = 0; i < registry->count; i++) {
        const tim3_agent_t *entry = registry->entries[i];
        if (!entry->alive)
            tim3_report_reason (report, "agent_silent", 20,
                                "%s has been silent for %llu s; look into its log and start it again",
                                entry->name, (unsigned long long) (now_us - entry->seen_us) / 1000000);
    }
}

static void router_stats (void *self, tim3_env_t *env, tim3_report_t *report)
{
    const router_t *router = started (self, env);
    unsigned alive = tim3_registry_alive (&router->registry);
    tim3_report_metric (report, TIM3_METRIC_agents_alive, alive);
    tim3_report_metric (report, TIM3_METRIC_agents_dead, router->registry.count - alive);
    tim3_report_metric (report, TIM3_METRIC_registry_generation, router->registry.generation);
    tim3_report_metric (report, TIM3_METRIC_log_end_offset, router->log.end);
    tim3_report_metric (report, TIM3_METRIC_events_appended, router->log.appended);
    tim3_report_metric (report, TIM3_METRIC_events_duplicate, router->log.duplicates);
    tim3_report_metric (report, TIM3_METRIC_event_gaps, router->log.gaps);
    tim3_report_metric (report, TIM3_METRIC_events_sent, router->subscribers.sent);
    tim3_report_metric (report, TIM3_METRIC_subscriptions, router->subscribers.count);
}

static const tim3_handler_t s_handlers[] = {
    {TIM3_MSG_REGISTER, on_register},
    {TIM3_MSG_UPDATE, on_register},
    {TIM3_MSG_HEARTBEAT, on_heartbeat},
    {TIM3_MSG_DEREGISTER, on_deregister},
    {TIM3_MSG_DISCOVER, on_discover},
    {TIM3_MSG_LIST, on_list},
    {TIM3_MSG_PUBLISH, on_publish},
    {TIM3_MSG_SUBSCRIBE, on_subscribe},
    {0, NULL},
};

const tim3_core_t tim3_router_core = {
    .role = TIM3_ROLE_ROUTER,
    .capabilities = "routing registry event_log",
    .new = router_new,
    .destroy = router_destroy,
    .handlers = s_handlers,
    .tick = router_tick,
    .end_batch = router_end_batch,
    .health = router_health,
    .stats = router_stats,
};
