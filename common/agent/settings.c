/*  settings.c - from the configuration and the key files to what a core is told.  */
#include "agent/settings.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    const tim3_config_t *config;
    const char *data;
    char *why;
    size_t why_size;
} source_t;

static bool read_key (const source_t *source, const char *asset, const char *kind, tim3_key_secret_t *key)
{
    char path[512];
    struct stat status;
    snprintf (path, sizeof path, "%s/keys/%s.%s", source->data, asset, kind);
    int file = open (path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat (file, &status) != 0) {
        snprintf (source->why, source->why_size, "cannot read key %s: %s; make it with keygen", path,
                  strerror (errno));
        if (file >= 0)
            close (file);
        return false;
    }
    bool open_to_others = status.st_mode & 077;
    bool whole = status.st_size == sizeof key->bytes && read (file, key->bytes, sizeof key->bytes) == sizeof key->bytes;
    close (file);
    if (open_to_others)
        snprintf (source->why, source->why_size, "key %s is open to others; run chmod 600 on it", path);
    else if (!whole)
        snprintf (source->why, source->why_size, "key %s does not hold 32 bytes", path);
    return whole && !open_to_others;
}

static unsigned collateral_decimals (const tim3_config_t *config)
{
    return (unsigned) tim3_config_u64 (config, "collateral", "decimals", NULL);
}

static bool has_asset (const tim3_config_t *config, const char *asset)
{
    const char *name;
    for (unsigned i = 0; (name = tim3_config_asset (config, i)); i++)
        if (strcmp (name, asset) == 0)
            return true;
    return false;
}

static bool check_asset (const source_t *source, tim3_role_t role, const char *asset)
{
    bool none = role == TIM3_ROLE_ROUTER || role == TIM3_ROLE_STATE_MANAGER;
    const char *collateral = tim3_config_text (source->config, "collateral", "name", NULL);
    bool fits = none                           ? strcmp (asset, "-") == 0
                : role == TIM3_ROLE_MOCK_USDA ? strcmp (asset, collateral) == 0
                                              : has_asset (source->config, asset);
    if (!fits)
        snprintf (source->why, source->why_size, "--asset %s does not fit: a %s takes %s", asset,
                  tim3_role_name (role),
                  none                           ? "none"
                  : role == TIM3_ROLE_MOCK_USDA ? "the collateral's name"
                                                : "an asset of the configuration");
    return fits;
}

static void fill_asset (tim3_settings_t *settings, const tim3_config_t *config, const char *asset)
{
    settings->decimals = (unsigned) tim3_config_u64 (config, "asset/*", "decimals", asset);
    settings->shards = (unsigned) tim3_config_u64 (config, "asset/*", "shards", asset);
    settings->scale = tim3_amount_pow10 (collateral_decimals (config) - settings->decimals);
    settings->cap = tim3_config_amount (config, "asset/*", "cap", asset);
}

static void fill_assets (tim3_settings_t *settings, const tim3_config_t *config)
{
    const char *name;
    for (unsigned i = 0; (name = tim3_config_asset (config, i)); i++) {
        tim3_asset_t *asset = &settings->assets[settings->asset_count++];
        strcpy (asset->name, name);
        asset->decimals = (unsigned) tim3_config_u64 (config, "asset/*", "decimals", name);
        asset->shards = (unsigned) tim3_config_u64 (config, "asset/*", "shards", name);
    }
}

static void fill_times (tim3_settings_t *settings, const tim3_config_t *config)
{
    settings->sweep_after_us = 1000 * tim3_config_u64 (config, "agents", "sweep_after_ms", NULL);
    settings->sweep_most_us = 1000 * tim3_config_u64 (config, "agents", "sweep_most_ms", NULL);
    settings->retry_us = 1000 * tim3_config_u64 (config, "agents", "retry_ms", NULL);
    settings->heartbeat_us = 1000 * tim3_config_u64 (config, "agents", "heartbeat_ms", NULL);
    settings->in_flight_most = tim3_config_u64 (config, "coordinator", "in_flight", NULL);
}

/*  Each role gets the keys it needs and no others.  */
static bool fill_keys (tim3_settings_t *settings, const source_t *source, tim3_role_t role)
{
    if (tim3_role_is_asset_ledger (role))
        if (!read_key (source, settings->asset, "evidence", &settings->evidence_key))
            return false;
    if (role == TIM3_ROLE_LOCK_MANAGER)
        return read_key (source, settings->asset, "vault", &settings->vault_key);
    if (role == TIM3_ROLE_MOCK_USDA)
        for (unsigned i = 0; i < settings->asset_count; i++)
            if (!read_key (source, settings->assets[i].name, "vault", &settings->assets[i].vault_key))
                return false;
    return true;
}

static bool check_shard (const tim3_settings_t *settings, const source_t *source, tim3_role_t role)
{
    bool ledger = tim3_role_is_asset_ledger (role);
    if (!ledger || settings->shard < settings->shards)
        return true;
    snprintf (source->why, source->why_size, "--shard %u does not fit: asset/%s/shards is %u", settings->shard,
              settings->asset, settings->shards);
    return false;
}

bool tim3_settings_fill (tim3_settings_t *settings, const tim3_config_t *config, const char *data,
                         tim3_role_t role, const char *asset, unsigned shard, char *why, size_t why_size)
{
    source_t source = {config, data, why, why_size};

    memset (settings, 0, sizeof *settings);
    if (!check_asset (&source, role, asset))
        return false;
    tim3_address_format (role, asset, (int) shard, settings->name);
    snprintf (settings->asset, sizeof settings->asset, "%s", asset);
    settings->shard = shard;
    settings->shards = 1;
    settings->scale = 1;
    tim3_address_format (TIM3_ROLE_MOCK_USDA, tim3_config_text (config, "collateral", "name", NULL), 0,
                         settings->collateral);
    settings->decimals = collateral_decimals (config);
    settings->faucet = tim3_config_bool (config, "collateral", "faucet", NULL);
    fill_assets (settings, config);
    fill_times (settings, config);
    if (has_asset (config, asset))
        fill_asset (settings, config, asset);
    return check_shard (settings, &source, role) && fill_keys (settings, &source, role);
}

bool tim3_settings_merged (const tim3_config_t *config, const char *asset)
{
    return has_asset (config, asset) && strcmp (tim3_config_text (config, "asset/*", "critical_path", asset), "merged") == 0;
}

/*  ------------------------------------------------------------------------------------------- listings  */

static void add_setting (const tim3_config_t *config, const tim3_config_key_t *key, const char *asset,
                         tim3_setting_t list[TIM3_SETTINGS_MAX], uint32_t *count)
{
    TIM3_ASSERT (*count < TIM3_SETTINGS_MAX);
    tim3_setting_t *setting = &list[(*count)++];
    if (asset)
        snprintf (setting->key, sizeof setting->key, "asset/%s/%s", asset, key->name);
    else
        snprintf (setting->key, sizeof setting->key, "%s/%s", key->section, key->name);
    snprintf (setting->value, sizeof setting->value, "%s",
              tim3_config_text (config, key->section, key->name, asset));
    snprintf (setting->text, sizeof setting->text, "%s", key->text);
}

uint32_t tim3_settings_list (const tim3_config_t *config, tim3_setting_t list[TIM3_SETTINGS_MAX])
{
    const tim3_config_key_t *key;
    const char *asset;
    uint32_t count = 0;

    memset (list, 0, TIM3_SETTINGS_MAX * sizeof *list);
    for (unsigned i = 0; (key = tim3_config_key_at (i)); i++) {
        if (strcmp (key->section, "asset/*") != 0)
            add_setting (config, key, NULL, list, &count);
        else
            for (unsigned j = 0; (asset = tim3_config_asset (config, j)); j++)
                add_setting (config, key, asset, list, &count);
    }
    return count;
}

static void print_agent (tim3_role_t role, const char *asset, unsigned shard, bool hosts)
{
    char address[TIM3_ADDRESS_MAX + 1];
    char executable[32];
    snprintf (executable, sizeof executable, "tim3-%s", tim3_role_name (role));
    for (char *c = executable; *c; c++)
        if (*c == '_')
            *c = '-';
    tim3_address_format (role, asset, (int) shard, address);
    printf ("%s %s %s %u%s\n", executable, address, asset, shard, hosts ? " ledgers" : "");
}

void tim3_settings_print_agents (const tim3_config_t *config)
{
    const char *asset;
    print_agent (TIM3_ROLE_ROUTER, "-", 0, false);
    print_agent (TIM3_ROLE_MOCK_USDA, tim3_config_text (config, "collateral", "name", NULL), 0, false);
    print_agent (TIM3_ROLE_STATE_MANAGER, "-", 0, false);
    for (unsigned i = 0; (asset = tim3_config_asset (config, i)); i++) {
        uint64_t shards = tim3_config_u64 (config, "asset/*", "shards", asset);
        bool merged = tim3_settings_merged (config, asset);
        for (unsigned shard = 0; shard < shards && !merged; shard++) {
            print_agent (TIM3_ROLE_LOCK_MANAGER, asset, shard, false);
            print_agent (TIM3_ROLE_TOKEN_MANAGER, asset, shard, false);
        }
        uint64_t coordinators = tim3_config_u64 (config, "asset/*", "coordinators", asset);
        for (unsigned shard = 0; shard < coordinators; shard++)
            print_agent (TIM3_ROLE_COORDINATOR, asset, shard, merged && shard < shards);
    }
}

void tim3_settings_print_keys (void)
{
    static const char *const kinds[] = {"number", "amount", "text", "choice", "yes or no"};
    const tim3_config_key_t *key;
    printf ("| section | key | kind | range | default | meaning |\n|---|---|---|---|---|---|\n");
    for (unsigned i = 0; (key = tim3_config_key_at (i)); i++) {
        printf ("| %s | %s | %s | ", key->section, key->name, kinds[key->kind]);
        if (key->kind == TIM3_KEY_U64 || key->kind == TIM3_KEY_TEXT)
            printf ("%llu to %llu%s", (unsigned long long) key->least, (unsigned long long) key->most,
                    key->kind == TIM3_KEY_TEXT ? " characters" : "");
        printf (" | %s | ", key->fallback);
        for (const char *c = key->text; *c; c++)
            printf (*c == '|' ? "\\|" : "%c", *c);
        printf (" |\n");
    }
}
