/*  address.h - roles of agents, their addresses, and what names may look like.

    An agent's address is role.asset.shard, such as "lock_manager.TIM3.0"; "-" stands for no asset.
    A route leaves parts out: "coordinator.TIM3" is any coordinator of TIM3.
*/
#ifndef TIM3_ADDRESS_H
#define TIM3_ADDRESS_H

#include "base/linkage.h"

#include <stdbool.h>
#include <stdint.h>

TIM3_C_BEGIN

/*  X (NAME, "name", "what it does"). The position is the number in messages and in masks.  */
#define TIM3_ROLES(X)                                                                                        \
    X (CLIENT, "client", "sends commands, through the router")                                               \
    X (ROUTER, "router", "asset router, registry and event log")                                             \
    X (COORDINATOR, "coordinator", "carries mints, redemptions and transfers of one asset")                  \
    X (LOCK_MANAGER, "lock_manager", "collateral ledger of one asset")                                       \
    X (TOKEN_MANAGER, "token_manager", "token ledger of one asset")                                          \
    X (STATE_MANAGER, "state_manager", "positions, metrics and health, derived from the ledgers' events")    \
    X (MOCK_USDA, "mock_usda", "the collateral token, for development")

typedef enum {
#define X(NAME, name, text) TIM3_ROLE_##NAME,
    TIM3_ROLES (X)
#undef X
    TIM3_ROLE_COUNT
} tim3_role_t;

#define TIM3_ROLE_NONE TIM3_ROLE_COUNT

#define TIM3_ACCOUNT_MAX 64
#define TIM3_ASSET_MAX 16
#define TIM3_REQUEST_ID_MAX 64
#define TIM3_ADDRESS_MAX 40
#define TIM3_SLOTS 1024
#define TIM3_SHARDS_MAX 16 /* of a ledger */
#define TIM3_ASSETS_MAX 32 /* of a configuration */

typedef struct {
    tim3_role_t role;
    char asset[TIM3_ASSET_MAX + 1];
    int shard; /* -1: any */
} tim3_address_t;

const char *tim3_role_name (tim3_role_t role);
const char *tim3_role_text (tim3_role_t role);
tim3_role_t tim3_role_parse (const char *name);
/*  It keeps money, and its peers rely on what it has told them.  */
bool tim3_role_is_ledger (tim3_role_t role);
/*  The two of an asset, which may have shards, and share the key of its evidence.  */
bool tim3_role_is_asset_ledger (tim3_role_t role);

/*  Parses "role", "role.asset" or "role.asset.shard"; what is left out is "" or -1. False when it is none
    of these.  */
bool tim3_address_parse (const char *text, tim3_address_t *address);
/*  Writes role.asset.shard, or role.asset when shard is negative; returns text.  */
char *tim3_address_format (tim3_role_t role, const char *asset, int shard, char text[TIM3_ADDRESS_MAX + 1]);

bool tim3_account_valid (const char *account);
bool tim3_asset_valid (const char *asset);
/*  Printable and without spaces.  */
bool tim3_request_id_valid (const char *request_id);
/*  Of an id that tells its time, which is a UUID of version 7 in small letters, the Unix time in seconds that it begins with; false
    for any other.  */
bool tim3_request_id_seconds (const char *request_id, uint32_t *seconds);

/*  The shard that owns an account, by slot map version 1: the slot is XXH64 of the name (seed 0) modulo 1,024, and slots are spread over the
    shards evenly, in order.  */
unsigned tim3_account_slot (const char *account);
unsigned tim3_account_shard (const char *account, unsigned shards);

TIM3_C_END

#endif
