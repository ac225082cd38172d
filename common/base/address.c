/*  address.c - roles, addresses, names and slots.  */
#include "base/address.h"
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

static const char *const s_names[] = {
#define X(NAME, name, text) name,
    TIM3_ROLES (X)
#undef X
};

static const char *const s_texts[] = {
#define X(NAME, name, text) text,
    TIM3_ROLES (X)
#undef X
};

const char *tim3_role_name (tim3_role_t role)
{
    return role < TIM3_ROLE_COUNT ? s_names[role] : "none";
}

const char *tim3_role_text (tim3_role_t role)
{
    return role < TIM3_ROLE_COUNT ? s_texts[role] : "";
}

bool tim3_role_is_asset_ledger (tim3_role_t role)
{
    return role == TIM3_ROLE_LOCK_MANAGER || role == TIM3_ROLE_TOKEN_MANAGER;
}

bool tim3_role_is_ledger (tim3_role_t role)
{
    return tim3_role_is_asset_ledger (role) || role == TIM3_ROLE_MOCK_USDA;
}

tim3_role_t tim3_role_parse (const char *name)
{
    for (int i = 0; i < TIM3_ROLE_COUNT; i++)
        if (strcmp (s_names[i], name) == 0)
            return (tim3_role_t) i;
    return TIM3_ROLE_NONE;
}

/*  Letters and digits.  */
static const bool s_plain[256] = {['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true};

/*  Letters, digits and some others.  */
static bool all_of (const char *text, size_t least, size_t most, const char *also)
{
    size_t length = 0;
    for (; text[length]; length++)
        if (length == most || (!s_plain[(unsigned char) text[length]] && !strchr (also, text[length])))
            return false;
    return length >= least;
}

bool tim3_account_valid (const char *account)
{
    return all_of (account, 1, TIM3_ACCOUNT_MAX, "._:@-");
}

bool tim3_asset_valid (const char *asset)
{
    return all_of (asset, 1, TIM3_ASSET_MAX, "_-");
}

/*  One more than what a digit in small letters stands for; 0 for anything else.  */
static const uint8_t s_hex[256] = {
    ['0'] = 1, ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16};

/*  h stands for a digit, v for one that a UUID may have there, and everything else for itself. Gives the first twelve digits.  */
static bool has_form (const char *text, const char *form, uint64_t *digits)
{
    unsigned count = 0;
    *digits = 0;
    for (; *form; text++, form++) {
        if (*form != 'h' && *form != 'v') {
            if (*text != *form)
                return false;
            continue;
        }
        unsigned digit = s_hex[(unsigned char) *text];
        if (digit == 0 || (*form == 'v' && ((digit - 1) & 12) != 8))
            return false;
        if (count++ < 12)
            *digits = *digits << 4 | (digit - 1);
    }
    return *text == '\0';
}

bool tim3_request_id_seconds (const char *request_id, uint32_t *seconds)
{
    uint64_t milliseconds;
    if (!has_form (request_id, "hhhhhhhh-hhhh-7hhh-vhhh-hhhhhhhhhhhh", &milliseconds))
        return false;
    *seconds = (uint32_t) (milliseconds / 1000);
    return true;
}

bool tim3_request_id_valid (const char *request_id)
{
    size_t length = 0;
    for (; request_id[length]; length++)
        if (length == TIM3_REQUEST_ID_MAX || request_id[length] <= ' ' || request_id[length] > '~')
            return false;
    return length > 0;
}

static bool parse_shard (const char *text, int *shard)
{
    if (!all_of (text, 1, 4, "") || strspn (text, "0123456789") != strlen (text))
        return false;
    *shard = atoi (text);
    return true;
}

bool tim3_address_parse (const char *text, tim3_address_t *address)
{
    char copy[TIM3_ADDRESS_MAX + 1];
    tim3_address_t parsed = {.role = TIM3_ROLE_NONE, .shard = -1};

    if (strlen (text) > TIM3_ADDRESS_MAX)
        return false;
    strcpy (copy, text);
    char *asset = strchr (copy, '.');
    char *shard = asset ? strchr (asset + 1, '.') : NULL;
    if (shard)
        *shard++ = '\0';
    if (asset)
        *asset++ = '\0';
    parsed.role = tim3_role_parse (copy);
    if (parsed.role == TIM3_ROLE_NONE)
        return false;
    if (asset && !tim3_asset_valid (asset))
        return false;
    if (asset)
        strcpy (parsed.asset, asset);
    if (shard && !parse_shard (shard, &parsed.shard))
        return false;
    *address = parsed;
    return true;
}

/*  Each of these is written so often that printf would show.  */
static char *add_text (char *at, const char *end, const char *text)
{
    size_t length = strlen (text);
    if (length > (size_t) (end - at))
        length = (size_t) (end - at);
    memcpy (at, text, length);
    return at + length;
}

static char *add_number (char *at, const char *end, unsigned number)
{
    char digits[16];
    char *first = digits + sizeof digits - 1;
    *first = '\0';
    do
        *--first = (char) ('0' + number % 10);
    while ((number /= 10) > 0);
    return add_text (at, end, first);
}

char *tim3_address_format (tim3_role_t role, const char *asset, int shard, char text[TIM3_ADDRESS_MAX + 1])
{
    const char *end = text + TIM3_ADDRESS_MAX;
    char *at = add_text (text, end, tim3_role_name (role));
    at = add_text (at, end, ".");
    at = add_text (at, end, asset);
    if (shard >= 0) {
        at = add_text (at, end, ".");
        at = add_number (at, end, (unsigned) shard);
    }
    *at = '\0';
    return text;
}

unsigned tim3_account_slot (const char *account)
{
    return (unsigned) (tim3_hash64 (account, strlen (account), 0) % TIM3_SLOTS);
}

unsigned tim3_account_shard (const char *account, unsigned shards)
{
    return shards == 1 ? 0 : tim3_account_slot (account) * shards / TIM3_SLOTS;
}
