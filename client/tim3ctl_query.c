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
    tim3ctl_errors_form (TIM3CTL_ERRORS_AS_ITEM);
    json_t *value = tim3ctl_json (shape, item);
    json_dumpf (value, stdout, JSON_COMPACT);
    json_decref (value);
    return !tim3ctl_interrupted ();
}

static tim3ctl_each_fn *list_item (const tim3ctl_t *ctl)
{
    return ctl->json ? list_json : list_row;
}

static int end_list (const tim3ctl_t *ctl, list_t *list, int code)
{
    bool begun = list->count || code == TIM3CTL_DONE; /* else the error stands alone */
    tim3ctl_errors_form (TIM3CTL_ERRORS_ALONE);
    if (begun && ctl->json)
        puts (list->count ? "\n]" : "[]");
    else if (begun)
        tim3ctl_table_print (list->table);
    tim3ctl_table_destroy (&list->table);
    return code;
}

int tim3ctl_list (tim3ctl_t *ctl, const char *route, const char *account, tim3_type_t type, const void *body,
                  const char *columns, unsigned decimals)
{
    list_t list = {.table = tim3ctl_table_new (columns), .decimals = decimals};
    uint64_t most = tim3ctl_number (ctl, TIM3CTL_OPTION_LIMIT, 0);
    int code = tim3ctl_walk (ctl, route, account, type, body, most, list_item (ctl), &list);
    return end_list (ctl, &list, code);
}

/*  One account when it is named, else all of them.  */
static int one_or_all (tim3ctl_t *ctl, const char *route, tim3_type_t one, tim3_type_t all,
                       const char *columns)
{
    tim3_account_only_t body = {0};
    tim3_list_page_t page = {0};
    unsigned decimals;
    if (ctl->argument_count > 0 && !tim3ctl_account (ctl, ctl->arguments[0], body.account))
        return ctl->exit;
    if (!tim3ctl_decimals (ctl, route, &decimals))
        return ctl->exit;
    if (ctl->argument_count == 0)
        return tim3ctl_list (ctl, route, "", all, &page, columns, decimals);
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
    char names[256] = "";
    size_t used = 0;
    if (!name)
        return true;
    *number = (uint8_t) tim3_value_parse (values, name);
    if (*number)
        return true;
    for (; values->name && used < sizeof names - 1; values++)
        used += (size_t) snprintf (names + used, sizeof names - used, " %s", values->name);
    ctl->exit = tim3ctl_misused ("--%s is one of%s", tim3ctl_option_rows[option].name, names);
    return false;
}

static bool take_account (tim3ctl_t *ctl, char account[TIM3_ACCOUNT_MAX + 1])
{
    const char *given = tim3ctl_text (ctl, TIM3CTL_OPTION_ACCOUNT, NULL);
    return !given || tim3ctl_account (ctl, given, account);
}

/*  Locks of an account: the lock manager finds those that are not final. Each of the others belongs to a transaction
    that the token manager has recorded, and is looked up.  */
typedef struct {
    tim3ctl_t *ctl;
    tim3_list_locks_t asked;
    uint64_t most;
    tim3_buffer_t recorded; /* recorded_t of each transaction of the account */
    list_t list;
} locks_t;

typedef struct {
    tim3_id_t tx;
    bool redeem;
} recorded_t;

static bool keep_recorded (void *arg, const tim3_shape_t *shape, const void *item)
{
    locks_t *self = arg;
    const tim3_transaction_t *record = item;
    recorded_t kept = {record->tx, record->kind == TIM3_TX_KIND_REDEEM};
    (void) shape;
    if (strcmp (record->account, self->asked.account) == 0)
        tim3_buffer_append (&self->recorded, &kept, sizeof kept);
    return !tim3ctl_interrupted ();
}

static bool is_wanted (const locks_t *self, const tim3_lock_item_t *item)
{
    return item->due_us == 0 && (self->asked.state == 0 || item->state == self->asked.state) &&
           strcmp (item->account, self->asked.account) == 0;
}

/*  The lock of a transaction, or its release when that is asked for. False when it has neither, or asking failed.  */
static bool look_up (locks_t *self, const tim3_id_t *tx, bool release, tim3_lock_item_t *item)
{
    tim3_get_lock_t ask = {.tx = *tx, .release = release};
    tim3_error_t error;
    const char *route = tim3ctl_route (self->ctl, "lock_manager");
    const tim3_lock_item_t *found =
        tim3ctl_try (self->ctl, route, self->asked.account, TIM3_MSG_GET_LOCK, &ask, &error);
    if (found)
        *item = *found;
    else if (error.code != TIM3_NOT_FOUND)
        tim3ctl_refused (self->ctl, route, &error);
    return found != NULL;
}

/*  A redemption has a release; under the id of anything there may be the lock of a mint that was voided because of
    it.  */
static bool list_recorded (locks_t *self, const recorded_t *recorded)
{
    tim3_lock_item_t item = {.state = 0};
    for (int release = 0; release < 1 + recorded->redeem; release++) {
        if (item.reason == TIM3_RELEASE_REASON_BURN)
            return true; /* there was no lock */
        if (!look_up (self, &recorded->tx, release, &item))
            return self->ctl->exit == TIM3CTL_DONE;
        if (is_wanted (self, &item) && self->list.count < self->most &&
            !list_item (self->ctl) (&self->list, &tim3_shape_lock_item, &item))
            return false;
    }
    return true;
}

static int list_account (locks_t *self)
{
    tim3ctl_t *ctl = self->ctl;
    tim3_list_transactions_t records = {0};
    strcpy (records.account, self->asked.account);
    self->asked.unsettled = true;
    if (tim3ctl_walk (ctl, tim3ctl_route (ctl, "lock_manager"), self->asked.account, TIM3_MSG_LIST_LOCKS,
                      &self->asked, self->most, list_item (ctl), &self->list) != TIM3CTL_DONE ||
        self->list.count == self->most ||
        tim3ctl_walk (ctl, tim3ctl_route (ctl, "token_manager"), self->asked.account, TIM3_MSG_LIST_RECORDS,
                      &records, 0, keep_recorded, self) != TIM3CTL_DONE)
        return ctl->exit;
    const recorded_t *recorded = (const recorded_t *) (const void *) self->recorded.data;
    size_t count = self->recorded.size / sizeof *recorded;
    for (size_t i = 0; i < count && self->list.count < self->most; i++)
        if (!list_recorded (self, &recorded[i]))
            return tim3ctl_cut_short (ctl);
    return ctl->exit;
}

int tim3ctl_locks (tim3ctl_t *ctl)
{
    static const char columns[] = "tx account +amount state reason code created_us +attempts";
    tim3_list_locks_t body = {.unsettled = tim3ctl_has (ctl, TIM3CTL_OPTION_UNSETTLED)};
    uint64_t most = tim3ctl_number (ctl, TIM3CTL_OPTION_LIMIT, 0);
    unsigned decimals;
    if (!take_account (ctl, body.account) ||
        !take_value (ctl, TIM3CTL_OPTION_STATE, tim3_lock_state_values, &body.state) ||
        !tim3ctl_decimals (ctl, tim3ctl_route (ctl, "token_manager"), &decimals))
        return ctl->exit;
    if (body.unsettled || body.account[0] == '\0')
        return tim3ctl_list (ctl, tim3ctl_route (ctl, "lock_manager"), body.account, TIM3_MSG_LIST_LOCKS,
                             &body, columns, decimals);
    locks_t self = {.ctl = ctl, .asked = body, .most = most ? most : UINT64_MAX};
    self.list = (list_t){.table = tim3ctl_table_new (columns), .decimals = decimals};
    int code = end_list (ctl, &self.list, list_account (&self));
    tim3_buffer_free (&self.recorded);
    return code;
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

static bool keep_entry (void *arg, const tim3_shape_t *shape, const void *item)
{
    (void) shape;
    tim3_buffer_append (arg, item, sizeof (tim3_entry_t));
    return !tim3ctl_interrupted ();
}

/*  The token manager tells a history from its end.  */
static int list_from_first (tim3ctl_t *ctl, const tim3_list_history_t *body, const char *columns,
                            unsigned decimals)
{
    list_t list = {.table = tim3ctl_table_new (columns), .decimals = decimals};
    uint64_t most = tim3ctl_number (ctl, TIM3CTL_OPTION_LIMIT, UINT64_MAX);
    tim3_buffer_t kept = {0};
    int code = tim3ctl_walk (ctl, tim3ctl_route (ctl, "token_manager"), body->account, TIM3_MSG_LIST_HISTORY,
                             body, 0, keep_entry, &kept);
    const tim3_entry_t *entries = (const tim3_entry_t *) (const void *) kept.data;
    /* without the first ones nothing is to be told */
    size_t left = code == TIM3CTL_DONE ? kept.size / sizeof *entries : 0;
    for (; left > 0 && list.count < most && code == TIM3CTL_DONE; left--)
        if (!list_item (ctl) (&list, &tim3_shape_entry, &entries[left - 1]))
            code = tim3ctl_cut_short (ctl);
    tim3_buffer_free (&kept);
    return end_list (ctl, &list, code);
}

int tim3ctl_history (tim3ctl_t *ctl)
{
    static const char columns[] = "+number kind other +amount +balance time_us tx";
    tim3_list_history_t body = {.limit = 0};
    unsigned decimals;
    if (!tim3ctl_account (ctl, ctl->arguments[0], body.account) ||
        !tim3ctl_decimals (ctl, tim3ctl_route (ctl, "token_manager"), &decimals))
        return ctl->exit;
    if (!tim3ctl_has (ctl, TIM3CTL_OPTION_NEWEST))
        return list_from_first (ctl, &body, columns, decimals);
    return tim3ctl_list (ctl, tim3ctl_route (ctl, "token_manager"), body.account, TIM3_MSG_LIST_HISTORY,
                         &body, columns, decimals);
}

/*  Shards that count up to the most there is, each, come to more together: there is no number for that here, and it is told.  */
static void show_ledger (const tim3ctl_t *ctl, tim3_ledger_t *ledger, uint32_t beyond, unsigned decimals)
{
    const tim3_shape_t *shape = &tim3_shape_ledger;
    json_t *object = ctl->json ? tim3ctl_json (shape, ledger) : NULL;
    for (unsigned i = 0; i < shape->count; i++) {
        const tim3_field_t *field = &shape->fields[i];
        if (!(beyond & 1u << i) || strcmp (field->name, "crossing") == 0)
            continue;
        fprintf (stderr, "%s: the shards come to more than 2^128 - 1 minor units together, which is %s\n",
                 field->name, ctl->json ? "told as null" : "shown instead");
        memset ((uint8_t *) ledger + field->offset, 0xff, sizeof (tim3_amount_t));
        if (object)
            json_object_set_new (object, field->name, json_null ());
    }
    if (object)
        tim3ctl_json_print (object);
    else
        tim3ctl_print_record (shape, ledger, decimals);
}

int tim3ctl_supply (tim3ctl_t *ctl)
{
    char route[TIM3_ADDRESS_MAX + 1];
    tim3_ledger_t ledger;
    tim3_error_t error;
    unsigned decimals;
    uint32_t beyond;
    if (!tim3ctl_decimals (ctl, tim3ctl_route (ctl, "token_manager"), &decimals))
        return ctl->exit;
    if (!tim3ctl_sum_shards (ctl, TIM3_ROLE_TOKEN_MANAGER, ctl->asset, TIM3_MSG_GET_SUPPLY, &ledger, &beyond,
                             &error, route))
        return tim3ctl_refused (ctl, route, &error);
    show_ledger (ctl, &ledger, beyond, decimals);
    return TIM3CTL_DONE;
}
