/*  endpoint.h - where agents listen, and where others find them: known from an address and the configuration alone,
    so that an agent is found before the registry tells of it.

    With ipc it is a socket in the data folder. With tcp each address has its own place after the first port: the
    router, the state manager, the collateral token, and for each asset, in the order of the configuration, the lock
    manager and the token manager of each of 16 shards, and its coordinators. That order must be the same for all, so the set is restarted as a
    whole when an asset is added.
*/
#ifndef TIM3_ENDPOINT_H
#define TIM3_ENDPOINT_H

#include "base/config.h"

#define TIM3_ENDPOINT_MAX 200

/*  bound: where the agent listens; told: where others are to connect. Texts in out[TIM3_ENDPOINT_MAX + 1]. False when
    the address has no place: its asset is not configured, or its shard too large.  */
bool tim3_endpoint_bound (const tim3_config_t *config, const char *data, const char *address, char *out);
bool tim3_endpoint_told (const tim3_config_t *config, const char *data, const char *address, char *out);

#endif
