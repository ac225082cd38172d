/*  registrar.c - keeps an agent known to the registry, and the registry's list known to the agent.

    The registry answers every heartbeat with its generation; when that is not the one of the directory at hand,
    the directory is asked for again. When it does not know the agent, the agent registers again.
*/
#include "agent/registrar.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_RETRY_US 500000
#define NEWS_US 100000 /* a ledger that has committed reports no later than this */
static const char s_router[] = "router.-.0";

void tim3_registrar_init (tim3_registrar_t *self, const tim3_core_t *core, const tim3_settings_t *settings,
                          const char *name, const tim3_host_options_t *options)
{
    tim3_agent_t *entry = &self->entry;
    snprintf (entry->name, sizeof entry->name, "%s", name);
    strcpy (entry->asset, settings->asset);
    strcpy (entry->endpoint, options->endpoint);
    strcpy (entry->version, TIM3_VERSION);
    if (core->capabilities)
        strcpy (entry->capabilities, core->capabilities);
    entry->role = (uint8_t) core->role;
    entry->shard = settings->shard;
    entry->incarnation = options->incarnation;
    self->enabled = options->endpoint[0] != '\0';
    self->heartbeat_us = settings->heartbeat_us;
    self->retry_us = settings->heartbeat_us / 4 + 1;
}

void tim3_registrar_free (tim3_registrar_t *self)
{
    free ((void *) self->directory.items.items);
    self->directory.items = (tim3_list_t){0};
}

/*  What the registry does not know of a ledger cannot be missed in an older copy of it.  */
static bool has_news (const tim3_registrar_t *self, uint64_t now_us, const tim3_standing_t *standing)
{
    return self->registered && tim3_role_is_ledger (self->entry.role) && standing->commits != self->told &&
           now_us - self->told_us >= NEWS_US;
}

bool tim3_registrar_due (const tim3_registrar_t *self, uint64_t now_us, const tim3_standing_t *standing)
{
    return self->enabled && (now_us >= self->next_us || has_news (self, now_us, standing));
}

/*  The members of a standing, in a message that has them among its own.  */
#define STANDING(standing)                                                                                   \
    .store = (standing)->store, .lineage = (standing)->lineage, .commits = (standing)->commits,              \
    .event_seq = (standing)->event_seq, .acked = (standing)->acked

static tim3_router_seen_t router_seen (tim3_env_t *env)
{
    const tim3_key_t key = tim3_key_text ("router");
    tim3_router_seen_t seen;
    tim3_store_read (tim3_env_store (env), TIM3_TABLE_ROUTER_SEEN, &key, &seen);
    return seen;
}

/*  So that the router is found out when its store is older than what it was while this ledger worked: then it has
    forgotten how far the ledgers had come, too. Taken down when the ledger has committed something since it last was, and
    that it was taken down is one commit; and for each life of the router.  */
static void note_router (const tim3_registrar_t *self, tim3_env_t *env, const tim3_registered_t *answer)
{
    const tim3_key_t key = tim3_key_text ("router");
    const tim3_router_seen_t last = router_seen (env);
    const tim3_router_seen_t seen = {answer->life, answer->log_end, answer->heard};
    if (tim3_role_is_ledger (self->entry.role) && answer->life != 0 &&
        (answer->life != last.life || answer->heard > last.heard + 1))
        tim3_store_write (tim3_env_store (env), TIM3_TABLE_ROUTER_SEEN, &key, &seen);
}

static void report (tim3_registrar_t *self, tim3_env_t *env, uint8_t health, const tim3_standing_t *standing)
{
    self->entry.health = health;
    self->told = standing->commits;
    self->told_us = tim3_env_now (env);
    if (self->registered) {
        tim3_heartbeat_t heartbeat = {
            .incarnation = self->entry.incarnation, .health = health, STANDING (standing)};
        strcpy (heartbeat.name, self->entry.name);
        tim3_env_send (env, s_router, TIM3_MSG_HEARTBEAT, &heartbeat);
    } else {
        tim3_router_seen_t seen = router_seen (env);
        tim3_register_t registration = {.agents = {&self->entry, 1},
                                        STANDING (standing),
                                        .router_life = seen.life,
                                        .router_log_end = seen.log_end};
        tim3_env_send (env, s_router, TIM3_MSG_REGISTER, &registration);
    }
}

static void ask_for_list (tim3_registrar_t *self, tim3_env_t *env)
{
    uint64_t now = tim3_env_now (env);
    if (self->generation == self->listed || now - self->list_us < LIST_RETRY_US)
        return;
    self->list_us = now;
    self->list_id = tim3_env_send (env, s_router, TIM3_MSG_LIST, "");
}

void tim3_registrar_tick (tim3_registrar_t *self, tim3_env_t *env, uint8_t health,
                          const tim3_standing_t *standing)
{
    uint64_t now = tim3_env_now (env);
    if (!self->enabled)
        return;
    if (self->registered && now - self->heard_us > 3 * self->heartbeat_us)
        self->registered = false;
    if (tim3_registrar_due (self, now, standing)) {
        report (self, env, health, standing);
        self->next_us = now + (self->registered ? self->heartbeat_us : self->retry_us);
    }
    if (self->registered)
        ask_for_list (self, env);
}

void tim3_registrar_leave (tim3_registrar_t *self, tim3_env_t *env, const tim3_standing_t *standing)
{
    tim3_deregister_t farewell = {.incarnation = self->entry.incarnation, STANDING (standing)};
    if (!self->registered)
        return;
    strcpy (farewell.name, self->entry.name);
    tim3_env_send (env, s_router, TIM3_MSG_DEREGISTER, &farewell);
    self->enabled = false;
}

static void on_registered (tim3_registrar_t *self, tim3_env_t *env, const tim3_registered_t *answer)
{
    self->registered = true;
    self->accepted = true;
    self->refusal[0] = '\0';
    self->heard_us = tim3_env_now (env);
    self->generation = answer->generation;
    note_router (self, env, answer);
    ask_for_list (self, env);
}

static void on_agents (tim3_registrar_t *self, const tim3_agents_t *answer)
{
    size_t size = answer->items.count * sizeof (tim3_agent_t);
    void *copy = size > 0 ? tim3_alloc (size) : NULL;
    if (size > 0)
        memcpy (copy, answer->items.items, size);
    tim3_registrar_free (self);
    self->directory.items = (tim3_list_t){copy, answer->items.count};
    self->directory.generation = answer->generation;
    self->listed = answer->generation;
    self->version++;
}

static bool on_error (tim3_registrar_t *self, const tim3_error_t *error)
{
    if (error->request != TIM3_MSG_REGISTER && error->request != TIM3_MSG_HEARTBEAT)
        return false;
    if (error->code == TIM3_SUPERSEDED)
        self->superseded = true;
    self->registered = false;
    if (error->code == TIM3_STORE_ROLLED_BACK || error->code == TIM3_LOG_ROLLED_BACK) {
        self->rolled_back = self->rolled_back || error->code == TIM3_STORE_ROLLED_BACK;
        memcpy (self->refusal, error->text, sizeof error->text);
    } else {
        self->next_us = 0;
    }
    return true;
}

bool tim3_registrar_handle (tim3_registrar_t *self, tim3_env_t *env, const tim3_envelope_t *envelope,
                            const void *body)
{
    switch (envelope->type) {
    case TIM3_MSG_REGISTERED:
        on_registered (self, env, body);
        return true;
    case TIM3_MSG_AGENTS:
        if (self->list_id == 0 || envelope->reply_to != self->list_id)
            return false;
        on_agents (self, body);
        return true;
    case TIM3_MSG_ERROR:
        return on_error (self, body);
    default:
        return false;
    }
}
