/*  text.c - targets for what people write: amounts, names, hexadecimal, the configuration, imports, command
    lines.  */
#include "fuzz.h"
#include "base/config.h"
#include "tim3ctl.h"
#include "tim3ctl_csv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void keep_text (fuzz_keep_fn *keep, void *context, const char *text)
{
    keep (context, text, strlen (text));
}

/*  --------------------------------------------------------------------------------------------- amounts  */

/*  What is printed must read back as the same amount, and fit the room that callers give it.  */
static void check_printed (tim3_amount_t amount, unsigned decimals)
{
    char text[TIM3_AMOUNT_TEXT_MAX];
    tim3_amount_t back;
    FUZZ_CHECK (strlen (tim3_amount_format (amount, decimals, text)) < sizeof text);
    FUZZ_CHECK (tim3_amount_parse (text, decimals, &back) && back == amount);
    FUZZ_CHECK (strlen (tim3_amount_format_units (amount, text)) < sizeof text);
    FUZZ_CHECK (tim3_amount_parse_units (text, &back) && back == amount);
}

static void check_arithmetic (tim3_amount_t a, tim3_amount_t b)
{
    tim3_amount_t result;
    if (tim3_amount_add (a, b, &result))
        FUZZ_CHECK (result >= a && result - a == b);
    if (tim3_amount_sub (a, b, &result))
        FUZZ_CHECK (result <= a && result + b == a);
    else
        FUZZ_CHECK (a < b);
    if (tim3_amount_mul (a, b, &result) && b != 0)
        FUZZ_CHECK (result / b == a && result % b == 0);
}

void fuzz_run_amount (const uint8_t *data, size_t size)
{
    tim3_amount_t amount;
    uint8_t bytes[16];
    if (size < 1)
        return;
    unsigned decimals = data[0] % (TIM3_DECIMALS_MAX + 1);
    char *text = fuzz_text (data + 1, size - 1);
    if (tim3_amount_parse (text, decimals, &amount))
        check_printed (amount, decimals);
    if (tim3_amount_parse_units (text, &amount))
        check_printed (amount, decimals);
    if (size > 32) {
        amount = tim3_amount_from_bytes (data + 1);
        tim3_amount_to_bytes (amount, bytes);
        FUZZ_CHECK (memcmp (bytes, data + 1, sizeof bytes) == 0);
        check_printed (amount, decimals);
        check_arithmetic (amount, tim3_amount_from_bytes (data + 17));
    }
    free (text);
}

void fuzz_seed_amount (fuzz_keep_fn *keep, void *context)
{
    keep_text (keep, context,
               "\6"
               "12.5");
    keep_text (keep, context,
               "\x12"
               "0.000000000000000001");
    keep_text (keep, context,
               "\1"
               "340282366920938463463374607431768211455");
    keep_text (keep, context,
               "\x1e"
               "340282366.920938463463374607431768211455");
    keep_text (keep, context,
               "\6"
               "0123456789abcdef0123456789abcdef");
}

/*  ----------------------------------------------------------------------------------- names, hexadecimal  */

static void check_address (const tim3_address_t *address)
{
    char text[TIM3_ADDRESS_MAX + 1];
    tim3_address_t back;
    FUZZ_CHECK (address->role < TIM3_ROLE_COUNT && address->shard >= -1);
    FUZZ_CHECK (strlen (address->asset) <= TIM3_ASSET_MAX);
    if (address->asset[0] == '\0')
        return;
    tim3_address_format (address->role, address->asset, address->shard, text);
    FUZZ_CHECK (tim3_address_parse (text, &back));
    FUZZ_CHECK (back.role == address->role && back.shard == address->shard);
    FUZZ_CHECK (strcmp (back.asset, address->asset) == 0);
}

void fuzz_run_name (const uint8_t *data, size_t size)
{
    tim3_address_t address;
    char *text = fuzz_text (data, size);
    if (tim3_address_parse (text, &address))
        check_address (&address);
    if (tim3_account_valid (text))
        FUZZ_CHECK (strlen (text) <= TIM3_ACCOUNT_MAX && tim3_request_id_valid (text));
    if (tim3_asset_valid (text))
        FUZZ_CHECK (strlen (text) <= TIM3_ASSET_MAX && tim3_account_valid (text));
    for (unsigned shards = 1; shards <= 64; shards *= 4)
        FUZZ_CHECK (tim3_account_shard (text, shards) < shards);
    free (text);
}

void fuzz_seed_name (fuzz_keep_fn *keep, void *context)
{
    keep_text (keep, context, "lock_manager.TIM3.0");
    keep_text (keep, context, "coordinator.TIM3");
    keep_text (keep, context, "router.-.0");
    keep_text (keep, context, "state_manager");
    keep_text (keep, context, "mock_usda.USDA.9999");
    keep_text (keep, context, "alice@example:x-1_2");
}

void fuzz_run_hex (const uint8_t *data, size_t size)
{
    uint8_t bytes[64];
    char text[2 * sizeof bytes + 1];
    tim3_id_t id;
    char *given = fuzz_text (data, size);
    int count = tim3_hex_parse (given, bytes, sizeof bytes);
    FUZZ_CHECK (count >= -1 && count <= (int) sizeof bytes);
    if (count >= 0)
        FUZZ_CHECK (strcmp (tim3_hex_format (bytes, (size_t) count, text), given) == 0);
    if (tim3_id_parse (given, &id))
        FUZZ_CHECK (count == sizeof id && strcmp (tim3_id_format (&id, text), given) == 0);
    if (size <= sizeof bytes) {
        tim3_hex_format (data, size, text);
        FUZZ_CHECK (tim3_hex_parse (text, bytes, size) == (int) size &&
                    (size == 0 || !memcmp (bytes, data, size)));
    }
    free (given);
}

void fuzz_seed_hex (fuzz_keep_fn *keep, void *context)
{
    keep_text (keep, context, "000102030405060708090a0b0c0d0e0f");
    keep_text (keep, context, "ff");
    keep_text (keep, context, "0g");
    keep_text (keep, context, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
}

/*  ---------------------------------------------------------------------------------------- configuration  */

/*  Whatever was accepted must answer for every key of the table.  */
static void ask_for_all (const tim3_config_t *config)
{
    const tim3_config_key_t *key;
    for (unsigned i = 0; (key = tim3_config_key_at (i)); i++) {
        bool per_asset = strcmp (key->section, "asset/*") == 0;
        const char *asset = per_asset ? tim3_config_asset (config, 0) : NULL;
        const char *value = tim3_config_text (config, key->section, key->name, asset);
        FUZZ_CHECK (value);
        if (key->kind == TIM3_KEY_BOOL)
            tim3_config_bool (config, key->section, key->name, asset);
        if (key->kind == TIM3_KEY_TEXT)
            FUZZ_CHECK (strlen (value) >= key->least && strlen (value) <= key->most);
        if (key->kind != TIM3_KEY_U64)
            continue;
        uint64_t number = tim3_config_u64 (config, key->section, key->name, asset);
        FUZZ_CHECK (number >= key->least && number <= key->most);
    }
}

void fuzz_run_config (const uint8_t *data, size_t size)
{
    char path[64];
    char why[256] = "";
    int file = memfd_create ("fuzz-config", MFD_CLOEXEC);
    FUZZ_CHECK (file >= 0 && write (file, data, size) == (ssize_t) size);
    snprintf (path, sizeof path, "/proc/self/fd/%d", file);
    tim3_config_t *config = tim3_config_load (path, why, sizeof why);
    if (config)
        ask_for_all (config);
    else
        FUZZ_CHECK (why[0]);
    tim3_config_destroy (&config);
    close (file);
}

void fuzz_seed_config (fuzz_keep_fn *keep, void *context)
{
    char all[4096] = "";
    const tim3_config_key_t *key;
    const char *section = "";
    for (unsigned i = 0; (key = tim3_config_key_at (i)); i++) {
        bool per_asset = strcmp (key->section, "asset/*") == 0;
        char line[400];
        if (strcmp (section, key->section) != 0)
            strcat (all, per_asset ? "asset\n    TIM3\n" : strcat (strcpy (line, key->section), "\n"));
        section = key->section;
        snprintf (line, sizeof line, "    %s%s = \"%s\"\n", per_asset ? "    " : "", key->name,
                  key->fallback);
        strcat (all, line);
    }
    keep_text (keep, context, all);
    keep_text (keep, context,
               "asset\n    TIM3\n        decimals = 6 # as ever\n    EUR3\n        cap = 12.5\n");
    keep_text (keep, context, "agents\n    log_levl = info\nasset\n    TIM3\n");
    keep_text (keep, context, "asset = 1\n");
}

/*  ---------------------------------------------------------------------------------------------- imports  */

/*  Calls each for every line, as a text of its own.  */
static void each_line (const uint8_t *data, size_t size, void (*each) (void *context, const char *line),
                       void *context)
{
    while (size > 0) {
        const uint8_t *end = memchr (data, '\n', size);
        size_t length = end ? (size_t) (end - data) : size;
        char *line = fuzz_text (data, length);
        each (context, line);
        free (line);
        length += end ? 1 : 0;
        data += length;
        size -= length;
    }
}

typedef struct {
    tim3ctl_csv_header_t header;
    bool begun;
    bool broken;
} table_t;

static void check_row (const tim3ctl_csv_row_t *row)
{
    char again[TIM3CTL_CSV_ADDRESS_MAX + 1];
    FUZZ_CHECK (tim3ctl_csv_address (row->contract, strlen (row->contract), again));
    FUZZ_CHECK (strcmp (again, row->contract) == 0);
    FUZZ_CHECK (tim3ctl_csv_address (row->from, strlen (row->from), again));
    FUZZ_CHECK (tim3ctl_csv_address (row->to, strlen (row->to), again));
}

static void take_line (void *context, const char *line)
{
    table_t *table = context;
    tim3ctl_csv_row_t row;
    if (!table->begun) {
        table->begun = true;
        table->broken = tim3ctl_csv_header (line, &table->header) != NULL;
        return;
    }
    if (!table->broken && !tim3ctl_csv_row (&table->header, line, &row))
        check_row (&row);
}

void fuzz_run_csv (const uint8_t *data, size_t size)
{
    table_t table = {.begun = false};
    each_line (data, size, take_line, &table);
}

#define ADDRESS \
    "0x"        \
    "00112233445566778899aabbccddeeff00112233"
#define HASH \
    "0x"     \
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

void fuzz_seed_csv (fuzz_keep_fn *keep, void *context)
{
    static const char *const usual =
        "token_address,from_address,to_address,value,transaction_hash,log_index,block_number\n";
    char text[1024];
    snprintf (text, sizeof text, "%s" ADDRESS "," ADDRESS "," ADDRESS ",1000000," HASH ",7,1234\n", usual);
    keep_text (keep, context, text);
    snprintf (text, sizeof text,
              "\xef\xbb\xbfvalue,log_index,transaction_hash,to_address,from_address,token_address\r\n"
              "00012,0," HASH "," ADDRESS "," ADDRESS "," ADDRESS "\r\n\r\n");
    keep_text (keep, context, text);
    snprintf (text, sizeof text, "%s,,,,,,\n" ADDRESS ",x,y,z,,,\n", usual);
    keep_text (keep, context, text);
}

/*  ---------------------------------------------------------------------------------------- command lines  */

#define WORDS_MAX 128

typedef struct {
    char *words[WORDS_MAX];
    int count;
} words_t;

static void take_word (void *context, const char *word)
{
    words_t *words = context;
    if (words->count < WORDS_MAX)
        words->words[words->count++] = strdup (word);
}

static void check_line (const tim3ctl_line_t *line)
{
    FUZZ_CHECK (line->word_count <= TIM3CTL_ARGUMENTS_MAX);
    for (int i = 0; i < TIM3CTL_OPTIONS_END; i++) {
        FUZZ_CHECK (line->counts[i] <= TIM3CTL_REPEAT_MAX);
        for (unsigned j = 0; j < line->counts[i]; j++)
            if (tim3ctl_option_rows[i].kind == TIM3CTL_NUMBER)
                FUZZ_CHECK (strspn (line->values[i][j], "0123456789") == strlen (line->values[i][j]));
    }
}

void fuzz_run_options (const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    static tim3ctl_line_t line;
    words_t words = {.count = 0};
    FILE *before = stderr;
    FILE *out = stdout;

    if (!nowhere)
        nowhere = fopen ("/dev/null", "w");
    FUZZ_CHECK (nowhere);
    each_line (data, size, take_word, &words);
    memset (&line, 0, sizeof line);
    stderr = stdout = nowhere; /* it complains to people, and with --json to programs */
    bool good = tim3ctl_line_parse (&line, words.count, (const char *const *) words.words);
    stderr = before;
    stdout = out;
    if (good)
        check_line (&line);
    for (int i = 0; i < words.count; i++)
        free (words.words[i]);
}

void fuzz_seed_options (fuzz_keep_fn *keep, void *context)
{
    char text[256];
    keep_text (keep, context, "mint\nalice\n12.5\n--request-id=r1\n--json\n-h");
    keep_text (keep, context, "--\n--json\n-h");
    for (int i = 0; i < TIM3CTL_OPTIONS_END; i++) {
        const tim3ctl_option_row_t *row = &tim3ctl_option_rows[i];
        const char *value = row->kind == TIM3CTL_FLAG ? "" : row->kind == TIM3CTL_NUMBER ? "\n12" : "\nword";
        snprintf (text, sizeof text, "balance\n--%s%s\nalice", row->name, value);
        keep_text (keep, context, text);
    }
}
