/*  settings.h - from the configuration and the key files to what a core is told.  */
#ifndef TIM3_SETTINGS_H
#define TIM3_SETTINGS_H

#include "agent/core.h"
#include "base/config.h"

/*  Fills settings for one agent. False with why filled when the asset does not fit the role or is not configured,
    when it has no such shard, or when a key file that the role needs is missing, not 32 bytes, or open to others.  */
bool tim3_settings_fill (tim3_settings_t *settings, const tim3_config_t *config, const char *data,
                         tim3_role_t role, const char *asset, unsigned shard, char *why, size_t why_size);

/*  Whether the ledgers of each shard of the asset are to run in the process of the coordinator of that number.  */
bool tim3_settings_merged (const tim3_config_t *config, const char *asset);

/*  All settings in force as ConfigGet shows them; returns how many.  */
uint32_t tim3_settings_list (const tim3_config_t *config, tim3_setting_t list[TIM3_SETTINGS_MAX]);

/*  Prints one line per process that the configuration asks for: executable, address, asset, shard; and `ledgers` behind it
    when it hosts those of its shard.  */
void tim3_settings_print_agents (const tim3_config_t *config);
/*  Prints the table of keys in Markdown.  */
void tim3_settings_print_keys (void);

#endif
