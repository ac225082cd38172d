/*  config.c - reads the configuration and checks all of it against the table of keys.

    czmq parses the file; what it is lenient about (unknown names, repeated ones, values of sections) is
    refused here, because a misspelt limit that is silently left at its default costs money later.
*/
#include "base/config.h"
#include "base/address.h"
#include "base/amount.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/loopback.h"

#include <czmq.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_SUGGESTED 32
#define PLACE_MAX 160
#define ASSET_SECTION "asset/*"

static const tim3_config_key_t s_keys[] = {
#define K(section, name, KIND, least, most, fallback, text) \
    {section, name, TIM3_KEY_##KIND, least, most, fallback, text},
    TIM3_CONFIG_KEYS (K)
#undef K
};

#define KEY_COUNT (sizeof s_keys / sizeof s_keys[0])

struct tim3_config {
    char assets[TIM3_ASSETS_MAX][TIM3_ASSET_MAX + 1];
    unsigned asset_count;
    /* by key, then by asset; keys of other sections use the first place; NULL: the default */
    char *values[KEY_COUNT][TIM3_ASSETS_MAX];
};

/*  Where the reading has got to, and where to tell what is wrong.  */
typedef struct {
    tim3_config_t *config;
    const char *path;
    char *why;
    size_t why_size;
} reader_t;

static bool refuse (reader_t *self, const char *place, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

static bool refuse (reader_t *self, const char *place, const char *format, ...)
{
    va_list arguments;
    char text[512];

    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    snprintf (self->why, self->why_size, *place ? "%s: %s: %s" : "%s: %s%s", self->path, place, text);
    return false;
}

const tim3_config_key_t *tim3_config_key_at (unsigned position)
{
    return position < KEY_COUNT ? &s_keys[position] : NULL;
}

/*  ------------------------------------------------------------------------------------------ suggestions  */

static size_t least_of (size_t a, size_t b)
{
    return a < b ? a : b;
}

/*  Edit distance, of texts up to NAME_MAX_SUGGESTED long.  */
static size_t distance (const char *a, const char *b)
{
    size_t row[NAME_MAX_SUGGESTED + 1];
    size_t width = strlen (b);

    if (strlen (a) > NAME_MAX_SUGGESTED || width > NAME_MAX_SUGGESTED)
        return NAME_MAX_SUGGESTED;
    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least_of (replaced, least_of (row[j], row[j - 1]) + 1);
        }
    }
    return row[width];
}

/*  The words that may stand at one place: keys of a section, or (section NULL) the sections themselves.  */
static const char *word_at (const char *section, size_t position, char word[NAME_MAX_SUGGESTED + 1])
{
    const tim3_config_key_t *key = &s_keys[position];
    if (section)
        return strcmp (key->section, section) == 0 ? key->name : NULL;
    if (position > 0 && strcmp (key->section, s_keys[position - 1].section) == 0)
        return NULL;
    snprintf (word, NAME_MAX_SUGGESTED + 1, "%.*s", (int) strcspn (key->section, "/"), key->section);
    return word;
}

static void list_words (const char *section, char *text, size_t size)
{
    char word[NAME_MAX_SUGGESTED + 1];
    size_t used = (size_t) snprintf (text, size, "allowed here:");
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *found = word_at (section, i, word);
        if (found && used < size)
            used += (size_t) snprintf (text + used, size - used, " %s", found);
    }
}

/*  "did you mean X?" for a near miss, else all that is allowed.  */
static void suggest (const char *section, const char *name, char *text, size_t size)
{
    char word[NAME_MAX_SUGGESTED + 1];
    size_t nearest = 1 + strlen (name) / 3;

    list_words (section, text, size);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *found = word_at (section, i, word);
        size_t away = found ? distance (name, found) : SIZE_MAX;
        if (away <= nearest) {
            snprintf (text, size, "did you mean %s?", found);
            nearest = away - (away > 0);
        }
    }
}

/*  ----------------------------------------------------------------------------------------------- values  */

static bool is_choice (const char *words, const char *value)
{
    size_t end = strcspn (words, ":");
    size_t length = strlen (value);

    for (size_t at = 0; at < end; at++) {
        size_t word = strcspn (words + at, "|:");
        if (word == length && strncmp (words + at, value, length) == 0)
            return true;
        at += word;
    }
    return false;
}

static bool check_u64 (reader_t *self, const char *place, const tim3_config_key_t *key, const char *value)
{
    tim3_amount_t number;
    if (tim3_amount_parse_units (value, &number) && number >= key->least && number <= key->most)
        return true;
    return refuse (self, place, "\"%s\" is not a whole number from %lu to %lu", value, key->least, key->most);
}

static bool check_text (reader_t *self, const char *place, const tim3_config_key_t *key, const char *value)
{
    size_t length = strlen (value);
    if (length >= key->least && length <= key->most)
        return true;
    return refuse (self, place, "the text has %zu characters; give %lu to %lu", length, key->least,
                   key->most);
}

static bool check_choice (reader_t *self, const char *place, const tim3_config_key_t *key, const char *value)
{
    if (is_choice (key->text, value))
        return true;
    return refuse (self, place, "\"%s\" is not one of %.*s", value, (int) strcspn (key->text, ":"),
                   key->text);
}

static bool check_bool (reader_t *self, const char *place, const tim3_config_key_t *key, const char *value)
{
    (void) key;
    if (strcmp (value, "yes") == 0 || strcmp (value, "no") == 0)
        return true;
    return refuse (self, place, "\"%s\" is neither yes nor no", value);
}

/*  Amounts need decimals, which may come later in the file: see check_amounts.  */
static bool check_amount (reader_t *self, const char *place, const tim3_config_key_t *key, const char *value)
{
    (void) key;
    if (*value)
        return true;
    return refuse (self, place, "the amount is missing; give a number, or none");
}

static bool check_value (reader_t *self, const char *place, const tim3_config_key_t *key, const char *value)
{
    static bool (*const checks[]) (reader_t *, const char *, const tim3_config_key_t *, const char *) = {
        [TIM3_KEY_U64] = check_u64,       [TIM3_KEY_AMOUNT] = check_amount, [TIM3_KEY_TEXT] = check_text,
        [TIM3_KEY_CHOICE] = check_choice, [TIM3_KEY_BOOL] = check_bool,
    };
    return checks[key->kind](self, place, key, value);
}

/*  --------------------------------------------------------------------------------------------- the file  */

static bool is_of_assets (const tim3_config_key_t *key)
{
    return strcmp (key->section, ASSET_SECTION) == 0;
}

static const tim3_config_key_t *find_key (const char *section, const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (strcmp (s_keys[i].section, section) == 0 && strcmp (s_keys[i].name, name) == 0)
            return &s_keys[i];
    return NULL;
}

static bool read_key (reader_t *self, zconfig_t *item, const char *section, const char *place, unsigned index)
{
    char words[400];
    const tim3_config_key_t *key = find_key (section, zconfig_name (item));

    if (!key) {
        suggest (section, zconfig_name (item), words, sizeof words);
        return refuse (self, place, "unknown key; %s", words);
    }
    if (zconfig_child (item))
        return refuse (self, place, "this key takes a value; nothing may be indented under it");
    char **value = &self->config->values[key - s_keys][index];
    if (*value)
        return refuse (self, place, "given twice; keep one");
    if (!check_value (self, place, key, zconfig_value (item)))
        return false;
    *value = strdup (zconfig_value (item));
    TIM3_ASSERT (*value);
    return true;
}

/*  All keys of one section; place is how people write it, such as asset/TIM3.  */
static bool read_section (reader_t *self, zconfig_t *node, const char *section, const char *place,
                          unsigned index)
{
    char inside[PLACE_MAX];

    if (*zconfig_value (node))
        return refuse (self, place, "this is a section; put its keys on lines of their own, four spaces in");
    for (zconfig_t *item = zconfig_child (node); item; item = zconfig_next (item)) {
        snprintf (inside, sizeof inside, "%s/%s", place, zconfig_name (item));
        if (!read_key (self, item, section, inside, index))
            return false;
    }
    return true;
}

static bool read_asset (reader_t *self, zconfig_t *node)
{
    char place[PLACE_MAX];
    const char *name = zconfig_name (node);
    tim3_config_t *config = self->config;

    snprintf (place, sizeof place, "asset/%s", name);
    if (!tim3_asset_valid (name) || strcmp (name, "-") == 0)
        return refuse (self, place, "asset names are 1 to %d of A-Z a-z 0-9 _ -, and not - alone",
                       TIM3_ASSET_MAX);
    for (unsigned i = 0; i < config->asset_count; i++)
        if (strcmp (config->assets[i], name) == 0)
            return refuse (self, place, "given twice; keep one");
    if (config->asset_count == TIM3_ASSETS_MAX)
        return refuse (self, place, "there are more than %d assets", TIM3_ASSETS_MAX);
    strcpy (config->assets[config->asset_count++], name);
    return read_section (self, node, ASSET_SECTION, place, config->asset_count - 1);
}

static bool read_assets (reader_t *self, zconfig_t *node)
{
    if (*zconfig_value (node))
        return refuse (self, "asset", "put each asset's name on a line of its own, four spaces in");
    for (zconfig_t *asset = zconfig_child (node); asset; asset = zconfig_next (asset))
        if (!read_asset (self, asset))
            return false;
    return true;
}

static bool known_section (const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (strcmp (s_keys[i].section, name) == 0)
            return true;
    return false;
}

static bool read_top (reader_t *self, zconfig_t *node)
{
    char words[400];
    const char *name = zconfig_name (node);

    if (strcmp (name, "asset") == 0)
        return read_assets (self, node);
    if (known_section (name))
        return read_section (self, node, name, name, 0);
    suggest (NULL, name, words, sizeof words);
    return refuse (self, name, "unknown section; %s", words);
}

static bool read_tree (reader_t *self, zconfig_t *root)
{
    for (zconfig_t *node = zconfig_child (root); node; node = zconfig_next (node)) {
        for (zconfig_t *other = zconfig_child (root); other != node; other = zconfig_next (other))
            if (strcmp (zconfig_name (node), zconfig_name (other)) == 0)
                return refuse (self, zconfig_name (node), "given twice; keep one");
        if (!read_top (self, node))
            return false;
    }
    return true;
}

/*  ----------------------------------------------------------------------- what one key alone cannot tell  */

/*  Where the critical path is merged, each shard runs in a coordinator.  */
static bool check_shards (reader_t *self, const char *asset)
{
    char place[PLACE_MAX];
    uint64_t shards = tim3_config_u64 (self->config, ASSET_SECTION, "shards", asset);
    uint64_t coordinators = tim3_config_u64 (self->config, ASSET_SECTION, "coordinators", asset);
    bool merged =
        strcmp (tim3_config_text (self->config, ASSET_SECTION, "critical_path", asset), "merged") == 0;
    snprintf (place, sizeof place, "asset/%s/coordinators", asset);
    return !merged || coordinators >= shards ||
           refuse (self, place, "%lu are too few to run %lu shards merged; give as many, or more",
                   coordinators, shards);
}

static uint64_t decimals_of (const tim3_config_t *config, const char *asset)
{
    return asset ? tim3_config_u64 (config, ASSET_SECTION, "decimals", asset)
                 : tim3_config_u64 (config, "collateral", "decimals", NULL);
}

static bool parse_amount (const tim3_config_t *config, const tim3_config_key_t *key, const char *asset,
                          tim3_amount_t *amount)
{
    const char *text = tim3_config_text (config, key->section, key->name, asset);
    *amount = TIM3_AMOUNT_MAX;
    return strcmp (text, "none") == 0 ||
           tim3_amount_parse (text, (unsigned) decimals_of (config, asset), amount);
}

/*  All amounts of an asset; without one, all others.  */
static bool check_amounts (reader_t *self, const char *asset)
{
    char place[PLACE_MAX];
    tim3_amount_t amount;
    for (const tim3_config_key_t *key = s_keys; key < s_keys + KEY_COUNT; key++) {
        if (key->kind != TIM3_KEY_AMOUNT || is_of_assets (key) != (asset != NULL) ||
            parse_amount (self->config, key, asset, &amount))
            continue;
        snprintf (place, sizeof place, "%s%s/%s", asset ? "asset/" : "", asset ? asset : key->section,
                  key->name);
        return refuse (self, place,
                       "\"%s\" is not none, nor an amount with at most %lu decimals below 2^128 units",
                       tim3_config_text (self->config, key->section, key->name, asset),
                       decimals_of (self->config, asset));
    }
    return true;
}

static bool check_asset (reader_t *self, const char *asset)
{
    char place[PLACE_MAX];
    uint64_t decimals = tim3_config_u64 (self->config, ASSET_SECTION, "decimals", asset);
    uint64_t most = tim3_config_u64 (self->config, "collateral", "decimals", NULL);

    snprintf (place, sizeof place, "asset/%s", asset);
    if (strcmp (asset, tim3_config_text (self->config, "collateral", "name", NULL)) == 0)
        return refuse (self, place, "this is the name of the collateral; give the asset another");
    snprintf (place, sizeof place, "asset/%s/decimals", asset);
    if (decimals > most)
        return refuse (self, place, "%lu are more than the %lu of the collateral", decimals, most);
    return check_amounts (self, asset) && check_shards (self, asset);
}

/*  An address of tcp is checked even where ipc is used: a wrong one should not wait for the day it counts.  */
static bool check_listener (reader_t *self, const char *name)
{
    char place[PLACE_MAX];
    char host[TIM3_HOST_MAX + 1];
    unsigned port;
    const char *text = tim3_config_text (self->config, "agents", name, NULL);

    snprintf (place, sizeof place, "agents/%s", name);
    if (*text == '\0')
        return true;
    if (!tim3_loopback_parse (text, host, &port))
        return refuse (self, place,
                       "\"%s\" is not 127.x.y.z:PORT; other hosts cannot be let in before connections are "
                       "encrypted",
                       text);
    if (port > 65536 - TIM3_PORTS_MAX)
        return refuse (self, place, "port %u leaves too few after it for all agents; give one up to %d", port,
                       65536 - TIM3_PORTS_MAX);
    return true;
}

static bool check_front (reader_t *self)
{
    const char *text = tim3_config_text (self->config, "router", "front", NULL);
    return *text == '\0' || tim3_endpoint_stays_here (text) ||
           refuse (self, "router/front",
                   "\"%s\" is not ipc://PATH nor tcp://127.x.y.z:PORT; clients are not authenticated, so "
                   "other hosts cannot be let in",
                   text);
}

static bool check_whole (reader_t *self)
{
    const char *collateral = tim3_config_text (self->config, "collateral", "name", NULL);

    if (!tim3_asset_valid (collateral) || strcmp (collateral, "-") == 0)
        return refuse (self, "collateral/name", "names are 1 to %d of A-Z a-z 0-9 _ -, and not - alone",
                       TIM3_ASSET_MAX);
    if (self->config->asset_count == 0)
        return refuse (self, "asset", "no asset is given; add one, such as: asset, and under it TIM3");
    for (unsigned i = 0; i < self->config->asset_count; i++)
        if (!check_asset (self, self->config->assets[i]))
            return false;
    return check_amounts (self, NULL) && check_listener (self, "listen") &&
           check_listener (self, "advertise") && check_front (self);
}

/*  ---------------------------------------------------------------------------------------------- loading  */

/*  czmq tells what is wrong with a line on stdout only: "... (zconfig): (LINE) TEXT". It is caught there, so
    that stdout stays clean and the operator gets the line.  */
static zconfig_t *parse_file (const char *path, char *said, size_t said_size)
{
    int memory = memfd_create ("zconfig", MFD_CLOEXEC);
    int saved = dup (STDOUT_FILENO);
    TIM3_ASSERT (memory >= 0 && saved >= 0);

    fflush (stdout);
    dup2 (memory, STDOUT_FILENO);
    zchunk_t *text = zchunk_slurp (path, 0); /* zconfig_load leaks when it fails */
    zconfig_t *root = text ? zconfig_chunk_load (text) : NULL;
    fflush (stdout);
    zchunk_destroy (&text);
    dup2 (saved, STDOUT_FILENO);
    close (saved);
    ssize_t got = pread (memory, said, said_size - 1, 0);
    said[got > 0 ? got : 0] = '\0';
    close (memory);
    return root;
}

static bool refuse_syntax (reader_t *self, const char *said)
{
    char place[32];
    unsigned line = 0;
    int at = 0;
    const char *found = strstr (said, "(zconfig): (");

    if (!found || sscanf (found, "(zconfig): (%u) %n", &line, &at) != 1 || at == 0)
        return refuse (self, "", "not a ZPL file: lines are name = value, with four spaces for each level");
    snprintf (place, sizeof place, "line %u", line);
    found += at;
    bool tabs = strncmp (found, "invalid syntax", 14) == 0; /* most often: what it quotes lacks them */
    return refuse (self, place, "%.*s%s", (int) strcspn (found, "\n"), found,
                   tabs ? "; a level is four spaces, and not a tab" : "");
}

static bool read_file (reader_t *self)
{
    char said[512];
    struct stat info;

    if (stat (self->path, &info) || access (self->path, R_OK))
        return refuse (self, "", "cannot be read (%s); give the configuration file with --config",
                       strerror (errno));
    if (!S_ISREG (info.st_mode))
        return refuse (self, "", "not a regular file; give the configuration file with --config");
    zconfig_t *root = parse_file (self->path, said, sizeof said);
    if (!root)
        return refuse_syntax (self, said);
    bool good = read_tree (self, root);
    zconfig_destroy (&root);
    return good && check_whole (self);
}

tim3_config_t *tim3_config_load (const char *path, char *why, size_t why_size)
{
    reader_t reader = {.path = path, .why = why, .why_size = why_size};
    reader.config = tim3_alloc (sizeof (tim3_config_t));

    zsys_handler_set (NULL);
    if (!read_file (&reader))
        tim3_config_destroy (&reader.config);
    return reader.config;
}

void tim3_config_destroy (tim3_config_t **self)
{
    if (!*self)
        return;
    for (size_t key = 0; key < KEY_COUNT; key++)
        for (unsigned asset = 0; asset < TIM3_ASSETS_MAX; asset++)
            free ((*self)->values[key][asset]);
    free (*self);
    *self = NULL;
}

/*  ---------------------------------------------------------------------------------------------- asking  */

const char *tim3_config_asset (const tim3_config_t *self, unsigned position)
{
    return position < self->asset_count ? self->assets[position] : NULL;
}

static unsigned asset_index (const tim3_config_t *self, const char *asset)
{
    unsigned index = 0;
    if (!asset)
        return 0;
    while (index < self->asset_count && strcmp (self->assets[index], asset) != 0)
        index++;
    TIM3_ASSERT (index < self->asset_count);
    return index;
}

static const char *value_of (const tim3_config_t *self, const tim3_config_key_t *key, const char *asset)
{
    TIM3_ASSERT (key);
    TIM3_ASSERT (is_of_assets (key) == (asset != NULL));
    const char *value = self->values[key - s_keys][asset_index (self, asset)];
    return value ? value : key->fallback;
}

const char *tim3_config_text (const tim3_config_t *self, const char *section, const char *name,
                              const char *asset)
{
    return value_of (self, find_key (section, name), asset);
}

uint64_t tim3_config_u64 (const tim3_config_t *self, const char *section, const char *name, const char *asset)
{
    const tim3_config_key_t *key = find_key (section, name);
    TIM3_ASSERT (key && key->kind == TIM3_KEY_U64);
    return strtoull (value_of (self, key, asset), NULL, 10);
}

bool tim3_config_bool (const tim3_config_t *self, const char *section, const char *name, const char *asset)
{
    const tim3_config_key_t *key = find_key (section, name);
    TIM3_ASSERT (key && key->kind == TIM3_KEY_BOOL);
    return strcmp (value_of (self, key, asset), "yes") == 0;
}

tim3_amount_t tim3_config_amount (const tim3_config_t *self, const char *section, const char *name,
                                  const char *asset)
{
    const tim3_config_key_t *key = find_key (section, name);
    tim3_amount_t amount;
    TIM3_ASSERT (key && key->kind == TIM3_KEY_AMOUNT && parse_amount (self, key, asset, &amount));
    return amount;
}
