/*  registry.c - who is there: the agents that have registered, and which of them are alive.  */
#include "registry.h"
#include "base/log.h"
#include "base/loopback.h"

#include <stdlib.h>
#include <string.h>

/*  The place of a name in the order, whether it is there or not.  */
static unsigned place_of (const tim3_registry_t *self, const char *name)
{
    unsigned low = 0;
    unsigned high = self->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (strcmp (self->entries[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static tim3_agent_t *entry_of (const tim3_registry_t *self, const char *name)
{
    unsigned at = place_of (self, name);
    bool there = at < self->count && strcmp (self->entries[at]->name, name) == 0;
    return there ? self->entries[at] : NULL;
}

static tim3_agent_t *insert (tim3_registry_t *self, const char *name)
{
    unsigned at = place_of (self, name);
    TIM3_ASSERT (self->count < TIM3_REGISTRY_MAX);
    memmove (&self->entries[at + 1], &self->entries[at], (self->count - at) * sizeof self->entries[0]);
    self->entries[at] = tim3_alloc (sizeof (tim3_agent_t));
    self->count++;
    return self->entries[at];
}

static void drop (tim3_registry_t *self, tim3_store_t *store, unsigned at)
{
    tim3_key_t key = tim3_key_text (self->entries[at]->name);
    tim3_store_delete (store, TIM3_TABLE_REGISTRY, &key);
    free (self->entries[at]);
    self->count--;
    memmove (&self->entries[at], &self->entries[at + 1], (self->count - at) * sizeof self->entries[0]);
    self->generation++;
}

void tim3_registry_start (tim3_registry_t *self, tim3_store_t *store, uint64_t now_us, uint64_t heartbeat_us)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_agent_t stored;

    memset (self, 0, sizeof *self);
    self->generation = self->started_us = now_us;
    self->dead_us = heartbeat_us * 7 / 2; /* three heartbeats may get lost */
    bool more = tim3_store_seek (store, TIM3_TABLE_REGISTRY, TIM3_SEEK_GE, &key, &stored);
    while (more && self->count < TIM3_REGISTRY_MAX) {
        tim3_agent_t *entry = insert (self, stored.name);
        *entry = stored;
        entry->seen_us = now_us;
        entry->alive = true;
        more = tim3_store_seek (store, TIM3_TABLE_REGISTRY, TIM3_SEEK_GT, &key, &stored);
    }
}

void tim3_registry_clear (tim3_registry_t *self)
{
    for (unsigned i = 0; i < self->count; i++)
        free (self->entries[i]);
    self->count = 0;
}

/*  ------------------------------------------------------------------------------------- registering  */

/*  The name must be the address in full, in the one way of writing it, and the other fields must agree.  */
static bool entry_valid (const tim3_agent_t *agent)
{
    tim3_address_t address;
    char canonical[TIM3_ADDRESS_MAX + 1];

    if (!tim3_address_parse (agent->name, &address) || address.role == TIM3_ROLE_CLIENT || address.shard < 0)
        return false;
    tim3_address_format (address.role, address.asset, address.shard, canonical);
    return strcmp (canonical, agent->name) == 0 && address.role == agent->role &&
           strcmp (address.asset, agent->asset) == 0 && (uint64_t) address.shard == agent->shard &&
           tim3_endpoint_stays_here (agent->endpoint) && agent->incarnation > 0;
}

static tim3_result_t check (const tim3_registry_t *self, const tim3_agent_t *agent, unsigned *newcomers)
{
    if (!entry_valid (agent))
        return TIM3_INVALID_FIELD;
    if (!entry_of (self, agent->name) && self->count + ++*newcomers > TIM3_REGISTRY_MAX)
        return TIM3_OVERLOADED;
    return TIM3_OK;
}

static bool differs (const tim3_agent_t *a, const tim3_agent_t *b)
{
    return a->incarnation != b->incarnation || strcmp (a->endpoint, b->endpoint) != 0 ||
           strcmp (a->capabilities, b->capabilities) != 0 || strcmp (a->version, b->version) != 0;
}

static void revive (tim3_registry_t *self, tim3_agent_t *entry, uint64_t now_us, uint8_t health)
{
    if (!entry->alive)
        self->generation++;
    entry->alive = true;
    entry->seen_us = now_us;
    entry->health = health;
}

static void write (tim3_registry_t *self, tim3_store_t *store, uint64_t now_us, const tim3_agent_t *agent)
{
    tim3_key_t key = tim3_key_text (agent->name);
    tim3_agent_t *entry = entry_of (self, agent->name);
    if (!entry)
        entry = insert (self, agent->name);
    uint64_t registered_us = entry->incarnation == agent->incarnation ? entry->registered_us : now_us;
    *entry = *agent;
    entry->registered_us = registered_us;
    entry->seen_us = now_us;
    entry->alive = true;
    tim3_store_write (store, TIM3_TABLE_REGISTRY, &key, entry);
    self->generation++;
}

bool tim3_registry_superseded (const tim3_registry_t *self, const tim3_list_t *agents, const char **culprit)
{
    const tim3_agent_t *given = agents->items;
    for (uint32_t i = 0; i < agents->count; i++) {
        const tim3_agent_t *entry = entry_of (self, given[i].name);
        *culprit = given[i].name;
        if (entry && entry->incarnation > given[i].incarnation && entry->alive &&
            entry->seen_us > self->started_us)
            return true;
    }
    return false;
}

tim3_result_t tim3_registry_put (tim3_registry_t *self, tim3_store_t *store, uint64_t now_us,
                                 const tim3_list_t *agents, const char **culprit)
{
    const tim3_agent_t *given = agents->items;
    unsigned newcomers = 0;

    for (uint32_t i = 0; i < agents->count; i++) {
        tim3_result_t code = check (self, &given[i], &newcomers);
        *culprit = given[i].name;
        if (code)
            return code;
    }
    for (uint32_t i = 0; i < agents->count; i++) {
        tim3_agent_t *entry = entry_of (self, given[i].name);
        if (!entry || differs (entry, &given[i]))
            write (self, store, now_us, &given[i]);
        else
            revive (self, entry, now_us, given[i].health);
    }
    return TIM3_OK;
}

tim3_result_t tim3_registry_touch (tim3_registry_t *self, uint64_t now_us, const tim3_heartbeat_t *heartbeat)
{
    tim3_agent_t *entry = entry_of (self, heartbeat->name);
    /* a larger incarnation is one whose registration got lost */
    if (!entry || entry->incarnation < heartbeat->incarnation)
        return TIM3_NOT_FOUND;
    if (entry->incarnation > heartbeat->incarnation)
        return TIM3_SUPERSEDED;
    revive (self, entry, now_us, heartbeat->health);
    return TIM3_OK;
}

tim3_result_t tim3_registry_remove (tim3_registry_t *self, tim3_store_t *store, const char *name,
                                    uint64_t incarnation)
{
    const tim3_agent_t *entry = entry_of (self, name);
    if (!entry)
        return TIM3_OK;
    if (entry->incarnation > incarnation)
        return TIM3_SUPERSEDED;
    drop (self, store, place_of (self, name));
    return TIM3_OK;
}

/*  --------------------------------------------------------------------------------- life and look-up  */

/*  A clock that was set back makes nobody dead.  */
static uint64_t silence_us (const tim3_agent_t *entry, uint64_t now_us)
{
    return now_us > entry->seen_us ? now_us - entry->seen_us : 0;
}

void tim3_registry_tick (tim3_registry_t *self, tim3_store_t *store, uint64_t now_us)
{
    for (unsigned i = self->count; i-- > 0;) {
        tim3_agent_t *entry = self->entries[i];
        bool alive = silence_us (entry, now_us) <= self->dead_us;
        if (alive != entry->alive)
            self->generation++;
        entry->alive = alive;
        if (silence_us (entry, now_us) > TIM3_REGISTRY_FORGET_US)
            drop (self, store, i);
    }
}

/*  Capabilities are words with spaces between.  */
static bool has_word (const char *words, const char *word)
{
    size_t length = strlen (word);
    for (const char *at = strstr (words, word); at; at = strstr (at + 1, word)) {
        bool starts = at == words || at[-1] == ' ';
        bool ends = at[length] == ' ' || at[length] == '\0';
        if (starts && ends)
            return true;
    }
    return false;
}

static bool fits (const tim3_agent_t *entry, const tim3_discover_t *wanted)
{
    return (wanted->role == 0 || wanted->role == entry->role) &&
           (wanted->asset[0] == '\0' || strcmp (wanted->asset, entry->asset) == 0) &&
           (wanted->capability[0] == '\0' || has_word (entry->capabilities, wanted->capability)) &&
           (!wanted->alive || entry->alive);
}

unsigned tim3_registry_find (const tim3_registry_t *self, const tim3_discover_t *wanted, tim3_agent_t *agents)
{
    unsigned count = 0;
    for (unsigned i = 0; i < self->count; i++)
        if (fits (self->entries[i], wanted))
            agents[count++] = *self->entries[i];
    return count;
}

unsigned tim3_registry_alive (const tim3_registry_t *self)
{
    unsigned count = 0;
    for (unsigned i = 0; i < self->count; i++)
        count += self->entries[i]->alive;
    return count;
}
