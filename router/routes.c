/*  routes.c - which agent takes a message: a table made from the registry's list, and the choice.  */
#include "routes.h"

#include <stdio.h>
#include <string.h>

void tim3_routes_clear (tim3_routes_t *self)
{
    self->count = 0;
    self->group_count = 0;
}

void tim3_routes_shard (tim3_routes_t *self, const char *asset, unsigned shards)
{
    if (self->sharded_count == TIM3_ROUTES_ASSETS_MAX)
        return;
    snprintf (self->sharded[self->sharded_count].asset, sizeof self->sharded[0].asset, "%s", asset);
    self->sharded[self->sharded_count++].shards = shards;
}

static unsigned configured_shards (const tim3_routes_t *self, const tim3_address_t *address)
{
    for (unsigned i = 0; i < self->sharded_count && tim3_role_is_asset_ledger (address->role); i++)
        if (strcmp (self->sharded[i].asset, address->asset) == 0)
            return self->sharded[i].shards;
    return 1;
}

static bool same_group (const tim3_address_t *a, const tim3_address_t *b)
{
    return a->role == b->role && strcmp (a->asset, b->asset) == 0;
}

static tim3_route_group_t *group_for (tim3_routes_t *self, const tim3_address_t *address)
{
    if (self->count > 0 && same_group (&self->items[self->count - 1].address, address))
        return &self->groups[self->group_count - 1];
    tim3_route_group_t *group = &self->groups[self->group_count++];
    *group = (tim3_route_group_t){.first = self->count, .shards = configured_shards (self, address)};
    return group;
}

/*  What shares a connection shares a process. Coordinators come before ledgers, in the order of names.  */
static void mark_beside (tim3_routes_t *self, const tim3_route_t *ledger)
{
    for (unsigned i = 0; i < self->count; i++) {
        tim3_route_t *route = &self->items[i];
        if (route->link == ledger->link && route->address.role == TIM3_ROLE_COORDINATOR &&
            strcmp (route->address.asset, ledger->address.asset) == 0) {
            route->beside_ledgers = true;
            route->beside_shard = (unsigned) ledger->address.shard;
        }
    }
}

void tim3_routes_add (tim3_routes_t *self, const char *name, bool alive, unsigned link)
{
    tim3_address_t address;
    if (self->count == TIM3_ROUTES_MAX || !tim3_address_parse (name, &address) || address.shard < 0)
        return;
    tim3_route_group_t *group = group_for (self, &address);
    tim3_route_t *route = &self->items[self->count++];
    *route = (tim3_route_t){
        .address = address,
        .seed = tim3_hash64 (name, strlen (name), 0),
        .link = link,
        .alive = alive,
    };
    if (tim3_role_is_asset_ledger (address.role))
        mark_beside (self, route);
    group->count++;
    if (group->shards <= (unsigned) address.shard)
        group->shards = (unsigned) address.shard + 1;
}

unsigned tim3_routes_takers (const tim3_routes_t *self, unsigned route)
{
    const tim3_route_t *at = &self->items[route];
    unsigned takers = 0;
    unsigned beside = 0;
    for (unsigned i = 0; i < self->count; i++) {
        const tim3_route_t *other = &self->items[i];
        if (!same_group (&other->address, &at->address))
            continue;
        takers += other->alive;
        beside += other->alive && other->beside_ledgers;
    }
    takers = beside > 0 ? beside : takers;
    return takers > 0 ? takers : 1;
}

/*  NULL when there is none, or when the asset is left out and there are several.  */
static const tim3_route_group_t *find_group (const tim3_routes_t *self, const tim3_address_t *to)
{
    const tim3_route_group_t *found = NULL;
    for (unsigned i = 0; i < self->group_count; i++) {
        const tim3_address_t *address = &self->items[self->groups[i].first].address;
        if (address->role != to->role)
            continue;
        if (to->asset[0] == '\0' && found)
            return NULL;
        if (to->asset[0] == '\0' || strcmp (to->asset, address->asset) == 0)
            found = &self->groups[i];
    }
    return found;
}

/*  A dead agent that takes messages all the same has only missed its heartbeats.  */
static tim3_result_t take (const tim3_route_t *route, const tim3_hint_t *hint, unsigned *link)
{
    *link = route->link;
    if (hint->ready (hint->context, route->link))
        return TIM3_OK;
    return route->alive ? TIM3_OVERLOADED : TIM3_NO_ROUTE;
}

static tim3_result_t choose_shard (const tim3_route_t *routes, unsigned count, unsigned shard,
                                   const tim3_hint_t *hint, unsigned *link)
{
    for (unsigned i = 0; i < count; i++)
        if ((unsigned) routes[i].address.shard == shard)
            return take (&routes[i], hint, link);
    return TIM3_NO_ROUTE;
}

/*  Rendezvous: every agent scores the key, the best that takes messages wins. When one leaves, only its own
    keys move. One beside the ledgers of the account's shard has the best score there is.  */
static tim3_result_t choose_best (const tim3_route_t *routes, unsigned count, const tim3_hint_t *hint, unsigned shard,
                                  unsigned *link)
{
    bool by_account = hint->account[0] != '\0';
    const void *key = by_account ? (const void *) hint->account : hint->client;
    size_t size = by_account ? strlen (hint->account) : hint->client_size;
    tim3_result_t result = TIM3_NO_ROUTE;
    uint64_t best = 0;

    for (unsigned i = 0; i < count; i++) {
        bool beside = routes[i].beside_ledgers && routes[i].beside_shard == shard;
        uint64_t score = beside ? UINT64_MAX : tim3_hash64 (key, size, routes[i].seed);
        if (!routes[i].alive || (result == TIM3_OK && score <= best))
            continue;
        if (hint->ready (hint->context, routes[i].link)) {
            *link = routes[i].link;
            best = score;
            result = TIM3_OK;
        } else if (result != TIM3_OK) {
            result = TIM3_OVERLOADED;
        }
    }
    return result;
}

/*  Shard of the asset's ledgers that an account belongs to.  */
static unsigned ledger_shard (const tim3_routes_t *self, const tim3_address_t *coordinator, const char *account)
{
    tim3_address_t ledger = *coordinator;
    ledger.role = TIM3_ROLE_LOCK_MANAGER;
    const tim3_route_group_t *group = find_group (self, &ledger);
    return group ? tim3_account_shard (account, group->shards) : 0;
}

tim3_result_t tim3_routes_choose (const tim3_routes_t *self, const tim3_address_t *to,
                                  const tim3_hint_t *hint, unsigned *link)
{
    const tim3_route_group_t *group = find_group (self, to);
    if (!group)
        return TIM3_NO_ROUTE;
    const tim3_route_t *routes = &self->items[group->first];
    if (to->shard >= 0)
        return choose_shard (routes, group->count, (unsigned) to->shard, hint, link);
    if (to->role == TIM3_ROLE_COORDINATOR)
        return choose_best (routes, group->count, hint, ledger_shard (self, &routes->address, hint->account), link);
    if (tim3_role_is_asset_ledger (to->role) && group->shards > 1 && hint->account[0] == '\0')
        return TIM3_INVALID_FIELD;
    return choose_shard (routes, group->count, tim3_account_shard (hint->account, group->shards), hint, link);
}
