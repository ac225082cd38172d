/*  tim3ctl_control.c - commands that control an asset: pause, cap, freeze, and their opposites.

    What is told first is what was recorded under the request id, which may be long ago; then what holds now, as the ledgers say
    it, for each shard: what was asked may have been changed since, and a cap may be below the supply.  */
#include "tim3ctl_commands.h"
#include "tim3ctl_print.h"
#include "agent/rules.h"

#include <stdlib.h>
#include <string.h>

/*  What holds now.  */
typedef struct {
    unsigned decimals;
    unsigned shards;
    tim3_ledger_t ledgers[TIM3_SHARDS_MAX];
    tim3_amount_t supply; /* of all shards */
    bool frozen;          /* the account of a freeze or unfreeze */
    bool in_force;        /* what the record tells is so, in every shard */
} standing_t;

static bool concerns_account (const tim3_control_t *body)
{
    return body->control == TIM3_CONTROL_FREEZE || body->control == TIM3_CONTROL_UNFREEZE;
}

/*  ------------------------------------------------------------------------------------------- asking  */

/*  What concerns the whole asset is done when every shard has done it. All record it under the same tx: the last tells for
    all, and the supply is added up. False after saying what went wrong.  */
static bool control_all (tim3ctl_t *ctl, const tim3_control_t *body, unsigned shards,
                         tim3_transaction_t *record)
{
    char route[TIM3_ADDRESS_MAX + 1];
    tim3_amount_t supply = 0;
    for (unsigned shard = 0; shard < shards; shard++) {
        tim3_address_format (TIM3_ROLE_TOKEN_MANAGER, ctl->asset, (int) shard, route);
        const tim3_transaction_t *answer = tim3ctl_ask (ctl, route, "", TIM3_MSG_CONTROL, body);
        if (!answer)
            return false;
        supply += answer->supply;
        *record = *answer;
    }
    record->supply = supply;
    return true;
}

static bool control_account (tim3ctl_t *ctl, const tim3_control_t *body, tim3_transaction_t *record)
{
    const tim3_transaction_t *answer =
        tim3ctl_ask (ctl, tim3ctl_route (ctl, "token_manager"), body->account, TIM3_MSG_CONTROL, body);
    if (answer)
        *record = *answer;
    return answer != NULL;
}

static bool is_so (const tim3_ledger_t *ledger, const tim3_transaction_t *record, bool frozen)
{
    switch (record->control) {
    case TIM3_CONTROL_PAUSE:
    case TIM3_CONTROL_UNPAUSE:
        return ledger->paused == (record->control == TIM3_CONTROL_PAUSE);
    case TIM3_CONTROL_CAP:
        return ledger->cap == record->amount;
    default:
        return frozen == (record->control == TIM3_CONTROL_FREEZE);
    }
}

/*  False with error filled, and who was asked in route.  */
static bool look (tim3ctl_t *ctl, const tim3_transaction_t *record, standing_t *now, char *route,
                  tim3_error_t *error)
{
    if (record->account[0]) {
        tim3_account_only_t body = {{0}};
        strcpy (body.account, record->account);
        strcpy (route, tim3ctl_route (ctl, "token_manager"));
        const tim3_account_t *account =
            tim3ctl_try (ctl, route, body.account, TIM3_MSG_GET_BALANCE, &body, error);
        if (!account)
            return false;
        now->frozen = account->frozen;
    }
    now->in_force = true;
    for (unsigned shard = 0; shard < now->shards; shard++) {
        tim3_address_format (TIM3_ROLE_TOKEN_MANAGER, ctl->asset, (int) shard, route);
        const tim3_ledger_t *ledger = tim3ctl_try (ctl, route, "", TIM3_MSG_GET_SUPPLY, NULL, error);
        if (!ledger)
            return false;
        now->ledgers[shard] = *ledger;
        now->supply += ledger->supply;
        now->in_force = now->in_force && is_so (ledger, record, now->frozen);
    }
    return true;
}

/*  ------------------------------------------------------------------------------------------- telling  */

static tim3_amount_t room_of (const standing_t *now, unsigned shard)
{
    return tim3_rule_mint_room (&now->ledgers[shard], now->shards, shard);
}

static tim3_amount_t part_of (const standing_t *now, unsigned shard)
{
    return tim3_rule_cap_part (now->ledgers[shard].cap, now->shards, shard);
}

static json_t *standing_json (const standing_t *now, const tim3_transaction_t *record)
{
    json_t *shards = json_array ();
    for (unsigned i = 0; i < now->shards; i++)
        json_array_append_new (shards, json_pack ("{s:i, s:o, s:o, s:o, s:b}", "shard", (int) i, "supply",
                                                  tim3ctl_json_amount (now->ledgers[i].supply), "cap",
                                                  tim3ctl_json_amount (part_of (now, i)), "room",
                                                  tim3ctl_json_amount (room_of (now, i)), "paused",
                                                  now->ledgers[i].paused));
    json_t *json =
        json_pack ("{s:b, s:o, s:o, s:b, s:o}", "in_force", now->in_force, "supply",
                   tim3ctl_json_amount (now->supply), "cap", tim3ctl_json_amount (now->ledgers[0].cap),
                   "above_cap", now->supply > now->ledgers[0].cap, "shards", shards);
    if (record->account[0])
        json_object_set_new (json, "frozen", json_boolean (now->frozen));
    return json;
}

static void print_standing (const standing_t *now, const tim3_transaction_t *record)
{
    tim3ctl_table_t *table = tim3ctl_table_new ("shard +supply +cap +room paused");
    char text[TIM3_AMOUNT_TEXT_MAX];
    if (record->account[0])
        printf ("%-14s %s\n", "frozen now", now->frozen ? "yes" : "no");
    printf ("\n");
    for (unsigned i = 0; i < now->shards; i++) {
        bool capped = now->ledgers[i].cap != TIM3_AMOUNT_MAX;
        tim3ctl_table_cell (table, "%u", i);
        tim3ctl_table_cell (table, "%s", tim3_amount_format (now->ledgers[i].supply, now->decimals, text));
        tim3ctl_table_cell (table, "%s",
                            capped ? tim3_amount_format (part_of (now, i), now->decimals, text) : "none");
        tim3ctl_table_cell (table, "%s",
                            capped ? tim3_amount_format (room_of (now, i), now->decimals, text) : "-");
        tim3ctl_table_cell (table, "%s", now->ledgers[i].paused ? "yes" : "no");
    }
    tim3ctl_table_print (table);
    tim3ctl_table_destroy (&table);
}

/*  What an operator might not expect.  */
static void warn (const standing_t *now, const tim3_transaction_t *record)
{
    char time[TIM3CTL_CELL_MAX];
    char supply[TIM3_AMOUNT_TEXT_MAX];
    char cap[TIM3_AMOUNT_TEXT_MAX];
    if (!now->in_force)
        fprintf (stderr,
                 "This was done at %s under this request id, and has been changed since: it is NOT in force. "
                 "To do it again, "
                 "ask under a new id.\n",
                 tim3ctl_time_text (record->time_us, time));
    if (now->supply > now->ledgers[0].cap)
        fprintf (
            stderr,
            "The supply, %s, is above the cap, %s: mints are refused until redemptions bring it below.\n",
            tim3_amount_format (now->supply, now->decimals, supply),
            tim3_amount_format (now->ledgers[0].cap, now->decimals, cap));
    else if (record->control == TIM3_CONTROL_CAP && now->shards > 1)
        for (unsigned i = 0; i < now->shards; i++)
            if (room_of (now, i) == 0)
                fprintf (stderr,
                         "Shard %u has no room in its part of the cap: mints there are refused until "
                         "redemptions make some.\n",
                         i);
}

static void tell (const tim3ctl_t *ctl, const tim3_transaction_t *record, const standing_t *now,
                  unsigned decimals)
{
    if (ctl->json) {
        json_t *json = tim3ctl_json (&tim3_shape_transaction, record);
        json_object_set_new (json, "request_id", json_string (ctl->request_id));
        json_object_set_new (json, "now", now ? standing_json (now, record) : json_null ());
        tim3ctl_json_print (json);
        return;
    }
    tim3ctl_print_record (&tim3_shape_transaction, record, decimals);
    printf ("%-14s %s\n", "request_id", ctl->request_id);
    if (now)
        print_standing (now, record);
}

/*  It is done, whatever comes of the look at what holds now.  */
static int show (tim3ctl_t *ctl, const tim3_transaction_t *record, standing_t *now)
{
    char route[TIM3_ADDRESS_MAX + 1];
    tim3_error_t error;
    bool known = look (ctl, record, now, route, &error);
    tell (ctl, record, known ? now : NULL, now->decimals);
    fflush (stdout);
    if (known)
        warn (now, record);
    else
        fprintf (stderr, "It is done; what holds now cannot be told: %s: %s: %s\n", route, error.name,
                 error.text);
    return TIM3CTL_DONE;
}

int tim3ctl_control (tim3ctl_t *ctl)
{
    tim3_control_t body = {.control =
                               (uint8_t) tim3_value_parse (tim3_control_kind_values, ctl->command->name)};
    tim3_transaction_t record;
    standing_t now = {0};
    bool cap = body.control == TIM3_CONTROL_CAP;
    strcpy (body.request_id, ctl->request_id);
    if (!tim3ctl_decimals (ctl, tim3ctl_route (ctl, "token_manager"), &now.decimals))
        return ctl->exit;
    if (cap && strcmp (ctl->arguments[0], "none") == 0)
        body.amount = TIM3_AMOUNT_MAX;
    else if (cap && !tim3ctl_amount (ctl, ctl->arguments[0], now.decimals, &body.amount))
        return ctl->exit;
    else if (concerns_account (&body) && !tim3ctl_account (ctl, ctl->arguments[0], body.account))
        return ctl->exit;
    if ((now.shards = tim3ctl_shards (ctl, ctl->asset)) == 0)
        return ctl->exit;
    bool done = concerns_account (&body) ? control_account (ctl, &body, &record)
                                         : control_all (ctl, &body, now.shards, &record);
    return done ? show (ctl, &record, &now) : ctl->exit;
}
