/*  routes.h - which agent takes a message: a table made from the registry's list, and the choice.

    A full address means exactly that agent. Of several coordinators the account (or the client) picks one by
    rendezvous hash, so that one account stays with one coordinator as long as that is there and takes
    messages; but one that is reached where the asset's ledgers are, in one process with them, comes before all
    others, which would only have to ask it. Of several shards of a ledger the account's slot decides: how many there are says
    the configuration, for the registry knows only those that have come by. Where an asset is left out, the role
    must be one that only one asset (or none) has.
*/
#ifndef TIM3_ROUTES_H
#define TIM3_ROUTES_H

#include "wire/messages.h"

#define TIM3_ROUTES_MAX 512
#define TIM3_ROUTES_ASSETS_MAX 32

typedef struct {
    tim3_address_t address;
    uint64_t seed; /* hash of the name */
    unsigned link; /* the caller's number for the connection to the agent's endpoint */
    bool alive;
    bool beside_ledgers; /* a coordinator in one process with a ledger of its asset, */
    unsigned beside_shard; /* of this shard */
} tim3_route_t;

/*  Routes of one role and asset stand together.  */
typedef struct {
    unsigned first;
    unsigned count;
    unsigned shards;
} tim3_route_group_t;

typedef struct {
    tim3_route_t items[TIM3_ROUTES_MAX];
    tim3_route_group_t groups[TIM3_ROUTES_MAX];
    unsigned count;
    unsigned group_count;
    struct {
        char asset[TIM3_ASSET_MAX + 1];
        unsigned shards;
    } sharded[TIM3_ROUTES_ASSETS_MAX];
    unsigned sharded_count;
} tim3_routes_t;

/*  An asset's ledgers have so many shards. Told once, before agents are added.  */
void tim3_routes_shard (tim3_routes_t *self, const char *asset, unsigned shards);

void tim3_routes_clear (tim3_routes_t *self);
/*  Adds an agent; agents come in the order of their names. What is no full address, or too many, is left out.
 */
void tim3_routes_add (tim3_routes_t *self, const char *name, bool alive, unsigned link);

/*  Among how many agents the requests for a route's role and asset are divided, that one included; at least 1.  */
unsigned tim3_routes_takers (const tim3_routes_t *self, unsigned route);

/*  What the choice among several goes by.  */
typedef struct {
    const char *account; /* "" when the sender gave none */
    const uint8_t *client;
    size_t client_size;
    bool (*ready) (void *context, unsigned link); /* whether a connection takes a message now */
    void *context;
} tim3_hint_t;

/*  OK with the link; NO_ROUTE when no such agent is there; OVERLOADED when it is but takes nothing now; INVALID_FIELD when neither an
    account nor the address says which of several shards is meant.  */
tim3_result_t tim3_routes_choose (const tim3_routes_t *self, const tim3_address_t *to,
                                  const tim3_hint_t *hint, unsigned *link);

#endif
