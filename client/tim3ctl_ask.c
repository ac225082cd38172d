/*  tim3ctl_ask.c - asking agents on behalf of commands: connection, decimals, paging, the registry.  */
#include "tim3ctl.h"
#include "tim3ctl_print.h"
#include "base/log.h"
#include "base/loopback.h"
#include "wire/envelope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

uint64_t tim3ctl_now_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

/*  -------------------------------------------------------------------------------------- connection  */

const char *tim3ctl_data (const tim3ctl_t *ctl)
{
    const char *usual = getenv ("TIM3_DATA");
    return tim3ctl_text (ctl, TIM3CTL_OPTION_DATA, usual && usual[0] ? usual : "./data");
}

/*  $TIM3_ENDPOINT is that of the set which $TIM3_DATA tells of: who names another folder does not mean it.  */
const char *tim3ctl_endpoint (const tim3ctl_t *ctl, char *text, size_t size)
{
    const char *usual = tim3ctl_has (ctl, TIM3CTL_OPTION_DATA) ? NULL : getenv ("TIM3_ENDPOINT");
    const char *given = tim3ctl_text (ctl, TIM3CTL_OPTION_ENDPOINT, usual);
    if (given && given[0])
        snprintf (text, size, "%s", given);
    else
        snprintf (text, size, "ipc://%s/run/front.sock", tim3ctl_data (ctl));
    return text;
}

uint64_t tim3ctl_timeout_ms (const tim3ctl_t *ctl, uint64_t fallback_s)
{
    return tim3ctl_number (ctl, TIM3CTL_OPTION_TIMEOUT, fallback_s) * 1000;
}

/*  Nobody comes to be there by waiting for a socket that does not exist, as with another data folder. What is only
    refused may be a router that is being started.  */
static bool somebody_listens (tim3ctl_t *ctl, const char *endpoint)
{
    const char *path = tim3_endpoint_path (endpoint);
    if (!path || access (path, F_OK) == 0)
        return true;
    bool unused = tim3ctl_has (ctl, TIM3CTL_OPTION_DATA) && !tim3ctl_has (ctl, TIM3CTL_OPTION_ENDPOINT) &&
                  getenv ("TIM3_ENDPOINT");
    ctl->exit = tim3ctl_failed (TIM3CTL_NO_ANSWER, "no_answer",
                                "nobody listens at %s (%s). Nothing was done. Is the set running "
                                "(the supervisor's status)? Else say where it is by --data or --endpoint%s.",
                                endpoint, strerror (errno),
                                unused ? "; beside --data, $TIM3_ENDPOINT does not count" : "");
    return false;
}

tim3_client_t *tim3ctl_client (tim3ctl_t *ctl)
{
    char endpoint[sizeof ctl->connected];
    tim3ctl_endpoint (ctl, endpoint, sizeof endpoint);
    if (ctl->client && strcmp (endpoint, ctl->connected) != 0)
        tim3_client_destroy (&ctl->client);
    if (!ctl->client && !somebody_listens (ctl, endpoint))
        return NULL;
    if (!ctl->client)
        ctl->client = tim3_client_new (endpoint, 1);
    if (!ctl->client) {
        ctl->exit =
            tim3ctl_misused ("%s cannot be used as an endpoint (%s); give --endpoint ipc://FOLDER/front.sock "
                             "or tcp://HOST:PORT",
                             endpoint, zmq_strerror (errno));
        return NULL;
    }
    strcpy (ctl->connected, endpoint);
    tim3_client_set_timeout_ms (ctl->client, tim3ctl_timeout_ms (ctl, 10));
    return ctl->client;
}

const char *tim3ctl_route (const tim3ctl_t *ctl, const char *role)
{
    static char route[TIM3_ADDRESS_MAX + 1];
    snprintf (route, sizeof route, "%s.%s", role, ctl->asset);
    return route;
}

/*  Adds a name to a text, unless it is there.  */
static void add_name (char *names, size_t size, const char *name)
{
    size_t used = strlen (names);
    char word[TIM3_ASSET_MAX + 4];
    snprintf (word, sizeof word, " %s,", name);
    if (!strstr (names, word) && used + strlen (word) < size)
        strcpy (names + used, word);
}

/*  The collateral token that is registered, where there is one. False after saying that there is none, or several.  */
static bool find_collateral (tim3ctl_t *ctl)
{
    tim3_error_t error;
    char names[256] = "";
    unsigned count;
    tim3_agent_t *agents = tim3ctl_registry (ctl, &count);
    if (!agents)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (agents[i].role == TIM3_ROLE_MOCK_USDA) {
            strcpy (ctl->collateral, agents[i].asset);
            add_name (names, sizeof names, agents[i].asset);
        }
    free (agents);
    tim3_error_fill (&error, TIM3_NO_ROUTE, "no collateral token is registered");
    if (!names[0])
        tim3ctl_refused (ctl, "router.-", &error);
    else if (strchr (names, ',')[1])
        ctl->exit = tim3ctl_misused ("there are several collateral tokens:%.*s; say which by --collateral or "
                                     "$TIM3_COLLATERAL",
                                     (int) strlen (names) - 1, names);
    else
        return true;
    ctl->collateral[0] = '\0';
    return false;
}

const char *tim3ctl_collateral_route (tim3ctl_t *ctl)
{
    static char route[TIM3_ADDRESS_MAX + 1];
    if (!ctl->collateral[0] && !find_collateral (ctl))
        return NULL;
    snprintf (route, sizeof route, "mock_usda.%s", ctl->collateral);
    return route;
}

/*  ------------------------------------------------------------------------------------------ asking  */

/*  What carries a request id; a look-up may be given one.  */
static bool changes_ledgers (tim3_type_t type)
{
    const tim3_shape_t *shape = tim3_message (type)->shape;
    for (unsigned i = 0; i < shape->count; i++)
        if (shape->fields[i].required && strcmp (shape->fields[i].name, "request_id") == 0)
            return true;
    return false;
}

const void *tim3ctl_try (tim3ctl_t *ctl, const char *route, const char *account, tim3_type_t type,
                         const void *body, tim3_error_t *error)
{
    tim3_client_t *client = tim3ctl_client (ctl);
    if (!client) {
        tim3_error_fill (error, TIM3_NO_ROUTE, "the endpoint cannot be used");
        return NULL;
    }
    ctl->sent |= changes_ledgers (type);
    const tim3_answer_t *answer = tim3_client_call (client, route, account, type, body);
    if (!answer)
        tim3_error_fill (error, TIM3_NO_ANSWER, "interrupted before an answer came");
    else if (answer->error)
        *error = *answer->error;
    else
        return answer->body;
    return NULL;
}

const void *tim3ctl_ask (tim3ctl_t *ctl, const char *route, const char *account, tim3_type_t type,
                         const void *body)
{
    tim3_error_t error;
    if (!tim3ctl_client (ctl))
        return NULL;
    const void *reply = tim3ctl_try (ctl, route, account, type, body, &error);
    if (!reply)
        tim3ctl_refused (ctl, route, &error);
    return reply;
}

/*  What an asset's or the collateral's ledger tells of itself, by its route, which names no shard: the first one says
    it for all.  */
static bool learn (tim3ctl_t *ctl, const char *route, unsigned *decimals, unsigned *shards)
{
    char kept[TIM3_ADDRESS_MAX + 1];
    char asked[TIM3_ADDRESS_MAX + 1 + 2];
    for (unsigned i = 0; i < ctl->known_count; i++)
        if (strcmp (ctl->known[i].route, route) == 0) {
            *decimals = ctl->known[i].decimals;
            *shards = ctl->known[i].shards;
            return true;
        }
    snprintf (kept, sizeof kept, "%s", route);
    snprintf (asked, sizeof asked, "%s.0", kept);
    const tim3_info_reply_t *info = tim3ctl_ask (ctl, asked, "", TIM3_MSG_INFO, NULL);
    if (!info)
        return false;
    *decimals = (unsigned) info->decimals;
    *shards = (unsigned) info->shards;
    if (ctl->known_count < sizeof ctl->known / sizeof ctl->known[0]) {
        strcpy (ctl->known[ctl->known_count].route, kept);
        ctl->known[ctl->known_count].shards = *shards;
        ctl->known[ctl->known_count++].decimals = *decimals;
    }
    return true;
}

bool tim3ctl_decimals (tim3ctl_t *ctl, const char *route, unsigned *decimals)
{
    unsigned shards;
    return route && learn (ctl, route, decimals, &shards);
}

unsigned tim3ctl_shards (tim3ctl_t *ctl, const char *asset)
{
    char route[TIM3_ADDRESS_MAX + 1];
    unsigned decimals;
    unsigned shards;
    tim3_address_format (TIM3_ROLE_TOKEN_MANAGER, asset, -1, route);
    return learn (ctl, route, &decimals, &shards) ? shards : 0;
}

/*  False when the sum does not fit.  */
static bool add_field (const tim3_field_t *field, uint8_t *sum, const uint8_t *more)
{
    tim3_amount_t amounts[2] = {0};
    uint64_t numbers[2];
    if (field->kind == TIM3_KIND_AMOUNT && strcmp (field->name, "cap") != 0 &&
        strcmp (field->name, "scale") != 0) {
        memcpy (&amounts[0], sum + field->offset, sizeof amounts[0]);
        memcpy (&amounts[1], more + field->offset, sizeof amounts[1]);
        amounts[0] += amounts[1];
        memcpy (sum + field->offset, &amounts[0], sizeof amounts[0]);
    } else if (field->kind == TIM3_KIND_U64) {
        memcpy (&numbers[0], sum + field->offset, sizeof numbers[0]);
        memcpy (&numbers[1], more + field->offset, sizeof numbers[1]);
        numbers[0] += numbers[1];
        memcpy (sum + field->offset, &numbers[0], sizeof numbers[0]);
    } else if (field->kind == TIM3_KIND_BOOL)
        *(sum + field->offset) |= *(more + field->offset);
    return amounts[0] >= amounts[1];
}

bool tim3ctl_sum_shards (tim3ctl_t *ctl, tim3_role_t role, const char *asset, tim3_type_t type, void *sum,
                         uint32_t *beyond, tim3_error_t *error, char *route)
{
    const tim3_shape_t *shape = tim3_message (tim3_message (type)->reply)->shape;
    unsigned shards = tim3ctl_shards (ctl, asset);
    uint32_t carried = 0;
    tim3_address_format (role, asset, -1, route);
    if (shards == 0) {
        tim3_error_fill (error, TIM3_NO_ANSWER, "how many shards it has is not known");
        return false;
    }
    for (unsigned shard = 0; shard < shards; shard++) {
        tim3_address_format (role, asset, (int) shard, route);
        const void *reply = tim3ctl_try (ctl, route, "", type, NULL, error);
        if (!reply)
            return false;
        if (shard == 0)
            memcpy (sum, reply, shape->size);
        for (unsigned i = 0; shard > 0 && i < shape->count; i++)
            if (!add_field (&shape->fields[i], sum, reply))
                carried |= 1u << i;
    }
    if (beyond)
        *beyond = carried;
    return true;
}

bool tim3ctl_amount (tim3ctl_t *ctl, const char *text, unsigned decimals, tim3_amount_t *amount)
{
    if (tim3_amount_parse (text, decimals, amount))
        return true;
    ctl->exit =
        tim3ctl_misused ("'%s' is no amount: digits, with at most %u behind a point, such as 12%s; up to "
                         "2^128 - 1 minor units",
                         text, decimals, decimals ? ".5" : "");
    return false;
}

bool tim3ctl_account (tim3ctl_t *ctl, const char *text, char account[TIM3_ACCOUNT_MAX + 1])
{
    if (tim3_account_valid (text)) {
        strcpy (account, text);
        return true;
    }
    ctl->exit = tim3ctl_misused ("'%s' is no account: %s", text, tim3_result_text (TIM3_INVALID_ACCOUNT));
    return false;
}

/*  ------------------------------------------------------------------------------------------ paging  */

#define PAGE_ITEMS 500

typedef struct {
    tim3_buffer_t body;
    char *cursor;
    uint64_t *limit;
} page_request_t;

/*  A copy of the caller's request, whose cursor and limit can be set.  */
static page_request_t page_request (tim3_type_t type, const void *body)
{
    const tim3_shape_t *shape = tim3_message (type)->shape;
    page_request_t self = {0};
    tim3_buffer_append (&self.body, body, shape->size);
    self.cursor = (char *) self.body.data + tim3ctl_field (shape, "cursor")->offset;
    self.limit = (uint64_t *) (void *) (self.body.data + tim3ctl_field (shape, "limit")->offset);
    return self;
}

/*  Hands over the items of one page; false when each wants no more.  */
static bool hand_over (const tim3_field_t *field, const tim3_list_t *list, uint64_t *left,
                       tim3ctl_each_fn *each, void *arg)
{
    const uint8_t *item = list->items;
    for (uint32_t i = 0; i<list->count && * left> 0; i++, item += field->record->size) {
        --*left;
        if (!each (arg, field->record, item))
            return false;
    }
    return true;
}

typedef struct {
    tim3_type_t type;
    const void *body;
    uint64_t left;
    tim3ctl_each_fn *each;
    void *arg;
    bool stopped; /* by each */
} walk_t;

/*  False when nothing more is wanted, or to be had.  */
static bool walk_one (tim3ctl_t *ctl, const char *route, const char *account, walk_t *walk)
{
    char asked[TIM3_ADDRESS_MAX + 1];
    page_request_t page = page_request (walk->type, walk->body);
    const tim3_shape_t *reply = tim3_message (tim3_message (walk->type)->reply)->shape;
    const tim3_field_t *items = tim3ctl_field (reply, "items");
    bool wanted = true;
    bool more = true;
    snprintf (asked, sizeof asked, "%s", route);
    while (more && wanted && walk->left > 0) {
        *page.limit = walk->left < PAGE_ITEMS ? walk->left : PAGE_ITEMS;
        const uint8_t *answer = tim3ctl_ask (ctl, asked, account, walk->type, page.body.data);
        wanted = answer != NULL;
        if (!answer)
            break;
        const char *cursor = (const char *) answer + tim3ctl_field (reply, "cursor")->offset;
        strcpy (page.cursor, cursor);
        wanted = hand_over (items, (const tim3_list_t *) (const void *) (answer + items->offset), &walk->left,
                            walk->each, walk->arg);
        walk->stopped = !wanted;
        more = page.cursor[0] != '\0';
    }
    tim3_buffer_free (&page.body);
    return wanted && walk->left > 0;
}

static bool is_sharded (const tim3_address_t *address)
{
    return tim3_role_is_asset_ledger (address->role) && address->shard < 0;
}

int tim3ctl_cut_short (tim3ctl_t *ctl)
{
    if (ctl->exit == TIM3CTL_DONE && tim3ctl_interrupted ())
        ctl->exit = tim3ctl_failed (TIM3CTL_NO_ANSWER, "interrupted", "interrupted: what is told is not all");
    return ctl->exit;
}

int tim3ctl_walk (tim3ctl_t *ctl, const char *route, const char *account, tim3_type_t type, const void *body,
                  uint64_t most, tim3ctl_each_fn *each, void *arg)
{
    walk_t walk = {.type = type, .body = body, .left = most ? most : UINT64_MAX, .each = each, .arg = arg};
    char shard_route[TIM3_ADDRESS_MAX + 1];
    tim3_address_t address;
    ctl->exit = TIM3CTL_DONE;
    if (account[0] || !tim3_address_parse (route, &address) || !is_sharded (&address)) {
        walk_one (ctl, route, account, &walk);
        return walk.stopped ? tim3ctl_cut_short (ctl) : ctl->exit;
    }
    unsigned shards = tim3ctl_shards (ctl, address.asset);
    for (unsigned shard = 0; shard < shards; shard++) {
        tim3_address_format (address.role, address.asset, (int) shard, shard_route);
        if (!walk_one (ctl, shard_route, account, &walk))
            break;
    }
    return walk.stopped ? tim3ctl_cut_short (ctl) : ctl->exit;
}

tim3_agent_t *tim3ctl_registry (tim3ctl_t *ctl, unsigned *count)
{
    const tim3_agents_t *agents = tim3ctl_ask (ctl, "router.-", "", TIM3_MSG_LIST, NULL);
    if (!agents)
        return NULL;
    tim3_agent_t *copy = tim3_alloc ((agents->items.count + 1) * sizeof *copy);
    if (agents->items.count > 0)
        memcpy (copy, agents->items.items, agents->items.count * sizeof *copy);
    *count = agents->items.count;
    return copy;
}
