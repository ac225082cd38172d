/*  plain.c - what agents of a plain configuration are told.  */
#include "plain.h"
#include "base/log.h"

#include <string.h>

#define SECOND 1000000ull

void plain_settings (tim3_settings_t *settings, const char *address)
{
    tim3_address_t parts;
    TIM3_ASSERT (tim3_address_parse (address, &parts));
    memset (settings, 0, sizeof *settings);
    strcpy (settings->name, address);
    strcpy (settings->asset, parts.asset);
    settings->shard = (unsigned) parts.shard;
    settings->decimals = 6;
    settings->shards = 1;
    settings->scale = 1;
    settings->cap = TIM3_AMOUNT_MAX;
    strcpy (settings->collateral, "mock_usda.USDA.0");
    memset (settings->evidence_key.bytes, 1, sizeof settings->evidence_key.bytes);
    memset (settings->vault_key.bytes, 2, sizeof settings->vault_key.bytes);
    strcpy (settings->assets[0].name, "TIM3");
    settings->assets[0].vault_key = settings->vault_key;
    settings->asset_count = 1;
    settings->sweep_after_us = 2 * SECOND;
    settings->sweep_most_us = 16 * SECOND;
    settings->retry_us = SECOND;
    settings->in_flight_most = 100;
    settings->heartbeat_us = SECOND;
    settings->faucet = true;
}
