/*  routes.c - which agent takes a message: a table made from the registry's list, and the choice.  */
#include "routes.h"

#include <string.h>

void tim3_routes_clear (tim3_routes_t *self)
{
    self->count = 0;
    self->group_count = 0;
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
    *group = (tim3_route_group_t){.first = self->count};
    return group;
}

/*  What shares a connection shares a process. Coordinators come before ledgers, in the order of names.  */
static void mark_beside (tim3_routes_t *self, const tim3_route_t *ledger)
{
    for (unsigned i = 0; i < self->count; i++) {
        tim3_route_t *route = &self->items[i];
        if (route->link == ledger->link && route->address.role == TIM3_ROLE_COORDINATOR &&
            strcmp (route->address.asset, ledger->address.asset) == 0)
            route->beside_ledgers = true;
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
    if (address.role == TIM3_ROLE_LOCK_MANAGER || address.role == TIM3_ROLE_TOKEN_MANAGER)
        mark_beside (self, route);
    group->count++;
    if (group->shards <= (unsigned) address.shard)
        group->shards = (unsigned) address.shard + 1;
}

unsigned tim3_routes_takers (const tim3_routes_t *self, unsigned route)
{
    const tim3_route_t *at = &self->items[route];
    unsigned takers = 0;
    for (unsigned i = 0; i < self->count; i++) {
        const tim3_route_t *other = &self->items[i];
        if (!same_group (&other->address, &at->address))
            continue;
        takers += other->alive;
        if (other->alive && other->beside_ledgers)
            return 1;
    }
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
    keys move. One beside the ledgers has the best score there is.  */
static tim3_result_t choose_best (const tim3_route_t *routes, unsigned count, const tim3_hint_t *hint,
                                  unsigned *link)
{
    bool by_account = hint->account[0] != '\0';
    const void *key = by_account ? (const void *) hint->account : hint->client;
    size_t size = by_account ? strlen (hint->account) : hint->client_size;
    tim3_result_t result = TIM3_NO_ROUTE;
    uint64_t best = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t score = routes[i].beside_ledgers ? UINT64_MAX : tim3_hash64 (key, size, routes[i].seed);
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
        return choose_best (routes, group->count, hint, link);
    return choose_shard (routes, group->count, tim3_account_shard (hint->account, group->shards), hint, link);
}
