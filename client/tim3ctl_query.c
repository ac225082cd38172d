/*  tim3ctl_query.c - commands that only look: balances, positions, locks, transactions, history, supply.  */
#include "tim3ctl_commands.h"
#include "tim3ctl_print.h"

#include <string.h>

void tim3ctl_show (const tim3ctl_t *ctl, const tim3_shape_t *shape, const void *object, unsigned decimals)
{
    if (ctl->json)
        tim3ctl_json_print (tim3ctl_json (shape, object));
    else
        tim3ctl_print_record (shape, object, decimals);
}

/*  -------------------------------------------------------------------------------------------- lists  */

typedef struct {
    tim3ctl_table_t *table;
    unsigned decimals;
    uint64_t count;
} list_t;

static bool list_row (void *arg, const tim3_shape_t *shape, const void *item)
{
    list_t *list = arg;
    list->count++;
    tim3ctl_table_record (list->table, shape, item, list->decimals);
    return !tim3ctl_interrupted ();
}

static bool list_json (void *arg, const tim3_shape_t *shape, const void *item)
{
    list_t *list = arg;
    fputs (list->count++ ? ",\n" : "[\n", stdout);
    json_t *value = tim3ctl_json (shape, item);
    json_dumpf (value, stdout, JSON_COMPACT);
    json_decref (value);
    return !tim3ctl_interrupted ();
}

int tim3ctl_list (tim3ctl_t *ctl, const char *route, const char *account, tim3_type_t type, const void *body,
                  const char *columns, unsigned decimals)
{
    list_t list = {.decimals = decimals};
    uint64_t most = tim3ctl_number (ctl, TIM3CTL_OPTION_LIMIT, 0);
    list.table = tim3ctl_table_new (columns);
    int code = tim3ctl_walk (ctl, route, account, type, body, most, ctl->json ? list_json : list_row, &list);
    if (ctl->json)
        puts (list.count ? "\n]" : "[]");
    else if (list.count || code == TIM3CTL_DONE)
        tim3ctl_table_print (list.table);
    tim3ctl_table_destroy (&list.table);
    return code;
}

/*  One account when it is named, else all of them.  */
static int one_or_all (tim3ctl_t *ctl, const char *route, tim3_type_t one, tim3_type_t all,
                       const char *columns)
{
    tim3_account_only_t body = {0};
    tim3_list_page_t page = {0};
    unsigned decimals;
    if (!tim3ctl_decimals (ctl, route, &decimals))
        return ctl->exit;
    if (ctl->argument_count == 0)
        return tim3ctl_list (ctl, route, "", all, &page, columns, decimals);
    if (!tim3ctl_account (ctl, ctl->arguments[0], body.account))
        return ctl->exit;
    const void *reply = tim3ctl_ask (ctl, route, body.account, one, &body);
    if (!reply)
        return ctl->exit;
    tim3ctl_show (ctl, tim3_message (tim3_message (one)->reply)->shape, reply, decimals);
    return TIM3CTL_DONE;
}

int tim3ctl_usda_balance (tim3ctl_t *ctl)
{
    return one_or_all (ctl, tim3ctl_collateral_route (ctl), TIM3_MSG_GET_HOLDING, TIM3_MSG_LIST_HOLDINGS,
                       "account +available");
}

int tim3ctl_balance (tim3ctl_t *ctl)
{
    return one_or_all (ctl, tim3ctl_route (ctl, "token_manager"), TIM3_MSG_GET_BALANCE,
                       TIM3_MSG_LIST_BALANCES, "account +balance frozen +entries");
}

/*  ---------------------------------------------------------------------------------------- positions  */

int tim3ctl_position (tim3ctl_t *ctl)
{
    tim3_get_position_t body = {0};
    unsigned decimals;
    strcpy (body.asset, ctl->asset);
    if (!tim3ctl_account (ctl, ctl->arguments[0], body.account) ||
        !tim3ctl_decimals (ctl, tim3ctl_route (ctl, "token_manager"), &decimals))
        return ctl->exit;
    const void *reply = tim3ctl_ask (ctl, "state_manager.-", body.account, TIM3_MSG_GET_POSITION, &body);
    if (!reply)
        return ctl->exit;
    tim3ctl_show (ctl, &tim3_shape_position, reply, decimals);
    return TIM3CTL_DONE;
}

int tim3ctl_positions (tim3ctl_t *ctl)
{
    tim3_list_positions_t body = {0};
    unsigned decimals;
    strcpy (body.asset, ctl->asset);
    if (!tim3ctl_decimals (ctl, tim3ctl_route (ctl, "token_manager"), &decimals))
        return ctl->exit;
    return tim3ctl_list (ctl, "state_manager.-", "", TIM3_MSG_LIST_POSITIONS, &body,
                         "account +minted +redeemed +received +sent +balance +backing", decimals);
}

/*  ---------------------------------------------------------------------- locks, transactions, entries  */

/*  Takes an enumeration's value by name. False after saying which there are.  */
static bool take_value (tim3ctl_t *ctl, tim3ctl_option_t option, const tim3_value_t *values, uint8_t *number)
{
    const char *name = tim3ctl_text (ctl, option, NULL);
    if (!name)
        return true;
    *number = (uint8_t) tim3_value_parse (values, name);
    if (*number)
        return true;
    fprintf (stderr, "tim3ctl: --%s is one of", tim3ctl_option_rows[option].name);
    for (; values->name; values++)
        fprintf (stderr, " %s", values->name);
    fputc ('\n', stderr);
    ctl->exit = TIM3CTL_USAGE;
    return false;
}

static bool take_account (tim3ctl_t *ctl, char account[TIM3_ACCOUNT_MAX + 1])
{
    const char *given = tim3ctl_text (ctl, TIM3CTL_OPTION_ACCOUNT, NULL);
    return !given || tim3ctl_account (ctl, given, account);
}

int tim3ctl_locks (tim3ctl_t *ctl)
{
    tim3_list_locks_t body = {.unsettled = tim3ctl_has (ctl, TIM3CTL_OPTION_UNSETTLED)};
    unsigned decimals;
    if (!take_account (ctl, body.account) ||
        !take_value (ctl, TIM3CTL_OPTION_STATE, tim3_lock_state_values, &body.state) ||
        !tim3ctl_decimals (ctl, tim3ctl_route (ctl, "token_manager"), &decimals))
        return ctl->exit;
    return tim3ctl_list (ctl, tim3ctl_route (ctl, "lock_manager"), body.account, TIM3_MSG_LIST_LOCKS, &body,
                         "tx account +amount state reason code created_us +attempts", decimals);
}

int tim3ctl_txs (tim3ctl_t *ctl)
{
    tim3_list_transactions_t body = {0};
    unsigned decimals;
    if (!take_account (ctl, body.account) ||
        !take_value (ctl, TIM3CTL_OPTION_STATUS, tim3_tx_status_values, &body.status) ||
        !tim3ctl_decimals (ctl, tim3ctl_route (ctl, "token_manager"), &decimals))
        return ctl->exit;
    return tim3ctl_list (ctl, tim3ctl_route (ctl, "coordinator"), body.account, TIM3_MSG_LIST_TRANSACTIONS,
                         &body, "tx kind status account to +amount code time_us", decimals);
}

int tim3ctl_history (tim3ctl_t *ctl)
{
    tim3_list_history_t body = {.newest_first = tim3ctl_has (ctl, TIM3CTL_OPTION_NEWEST)};
    unsigned decimals;
    if (!tim3ctl_account (ctl, ctl->arguments[0], body.account) ||
        !tim3ctl_decimals (ctl, tim3ctl_route (ctl, "token_manager"), &decimals))
        return ctl->exit;
    return tim3ctl_list (ctl, tim3ctl_route (ctl, "token_manager"), body.account, TIM3_MSG_LIST_HISTORY,
                         &body, "+number kind other +amount +balance time_us tx", decimals);
}

int tim3ctl_supply (tim3ctl_t *ctl)
{
    unsigned decimals;
    if (!tim3ctl_decimals (ctl, tim3ctl_route (ctl, "token_manager"), &decimals))
        return ctl->exit;
    const void *reply =
        tim3ctl_ask (ctl, tim3ctl_route (ctl, "token_manager"), "", TIM3_MSG_GET_SUPPLY, NULL);
    if (!reply)
        return ctl->exit;
    tim3ctl_show (ctl, &tim3_shape_ledger, reply, decimals);
    return TIM3CTL_DONE;
}
