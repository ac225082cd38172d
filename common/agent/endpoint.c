/*  endpoint.c - where agents listen, and where others find them.  */
#include "agent/endpoint.h"
#include "agent/settings.h"
#include "base/address.h"
#include "base/loopback.h"

#include <stdio.h>
#include <string.h>

#define COORDINATORS_MAX 64
#define PLACES_COMMON 3
#define PLACES_PER_ASSET (2 * TIM3_SHARDS_MAX + COORDINATORS_MAX)

_Static_assert(PLACES_COMMON + 32 * PLACES_PER_ASSET <= TIM3_PORTS_MAX, "more places than ports are kept");

/*  -1 when the asset is not configured.  */
static int asset_position (const tim3_config_t *config, const char *asset)
{
    const char *name;
    for (unsigned i = 0; (name = tim3_config_asset (config, i)); i++)
        if (strcmp (name, asset) == 0)
            return (int) i;
    return -1;
}

/*  Place of an address among the ports, -1 for none.  */
static int place_of (const tim3_config_t *config, const char *text)
{
    tim3_address_t address;
    if (!tim3_address_parse (text, &address) || address.shard < 0)
        return -1;
    bool ledger = tim3_role_is_asset_ledger (address.role);
    if (address.shard >= (address.role == TIM3_ROLE_COORDINATOR ? COORDINATORS_MAX : ledger ? TIM3_SHARDS_MAX : 1))
        return -1;
    int asset = asset_position (config, address.asset);
    int first = PLACES_COMMON + asset * PLACES_PER_ASSET;
    switch (address.role) {
    case TIM3_ROLE_ROUTER:
        return 0;
    case TIM3_ROLE_STATE_MANAGER:
        return 1;
    case TIM3_ROLE_MOCK_USDA:
        return 2;
    case TIM3_ROLE_LOCK_MANAGER:
        return asset < 0 ? -1 : first + 2 * address.shard;
    case TIM3_ROLE_TOKEN_MANAGER:
        return asset < 0 ? -1 : first + 2 * address.shard + 1;
    case TIM3_ROLE_COORDINATOR:
        return asset < 0 ? -1 : first + 2 * TIM3_SHARDS_MAX + address.shard;
    default:
        return -1;
    }
}

static bool tcp_endpoint (const tim3_config_t *config, const char *first, const char *address, char *out)
{
    char host[TIM3_HOST_MAX + 1];
    unsigned port;
    int place = place_of (config, address);
    if (place < 0 || !tim3_loopback_parse (first, host, &port))
        return false;
    snprintf (out, TIM3_ENDPOINT_MAX + 1, "tcp://%s:%u", host, port + (unsigned) place);
    return true;
}

/*  Ledgers that are hosted are found where their host is.  */
static void find_process (const tim3_config_t *config, const char *name, char process[TIM3_ADDRESS_MAX + 1])
{
    tim3_address_t address;
    bool ledger = tim3_address_parse (name, &address) && tim3_role_is_asset_ledger (address.role);
    if (ledger && tim3_settings_merged (config, address.asset))
        tim3_address_format (TIM3_ROLE_COORDINATOR, address.asset, address.shard, process);
    else
        snprintf (process, TIM3_ADDRESS_MAX + 1, "%s", name);
}

static bool endpoint (const tim3_config_t *config, const char *data, const char *first, const char *name,
                      char *out)
{
    char address[TIM3_ADDRESS_MAX + 1];
    find_process (config, name, address);
    if (strcmp (tim3_config_text (config, "agents", "transport", NULL), "tcp") == 0)
        return tcp_endpoint (config, first, address, out);
    snprintf (out, TIM3_ENDPOINT_MAX + 1, "ipc://%s/run/%s.sock", data, address);
    return true;
}

bool tim3_endpoint_bound (const tim3_config_t *config, const char *data, const char *address, char *out)
{
    return endpoint (config, data, tim3_config_text (config, "agents", "listen", NULL), address, out);
}

bool tim3_endpoint_told (const tim3_config_t *config, const char *data, const char *address, char *out)
{
    const char *first = tim3_config_text (config, "agents", "advertise", NULL);
    if (!*first)
        return tim3_endpoint_bound (config, data, address, out);
    return endpoint (config, data, first, address, out);
}
