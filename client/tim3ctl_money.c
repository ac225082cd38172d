/*  tim3ctl_money.c - commands that move money, and the look-up of what became of them.  */
#include "tim3ctl_commands.h"
#include "tim3ctl_print.h"
#include "wire/envelope.h"

#include <string.h>
#include <time.h>

/*  ------------------------------------------------------------------------------------------ answers  */

/*  With the request id that was used, since it may have been made up here.  */
static void show_result (const tim3ctl_t *ctl, const tim3_shape_t *shape, const void *object,
                         unsigned decimals, const char *request_id)
{
    if (ctl->json) {
        json_t *value = tim3ctl_json (shape, object);
        if (request_id)
            json_object_set_new (value, "request_id", json_string (request_id));
        tim3ctl_json_print (value);
        return;
    }
    tim3ctl_print_record (shape, object, decimals);
    if (request_id)
        printf ("%-14s %s\n", "request_id", request_id);
}

static int transaction_failed (tim3ctl_t *ctl, const char *route, const tim3_transaction_t *transaction)
{
    tim3_error_t error;
    bool json = ctl->json;
    tim3_error_fill (&error, (tim3_result_t) transaction->code, NULL);
    error.available = transaction->available;
    error.needed = transaction->needed;
    ctl->json = false; /* the transaction itself has been printed */
    int code = tim3ctl_refused (ctl, route, &error);
    ctl->json = json;
    return code;
}

static int show_transaction (tim3ctl_t *ctl, const char *route, const tim3_transaction_t *transaction,
                             unsigned decimals)
{
    show_result (ctl, &tim3_shape_transaction, transaction, decimals, ctl->request_id);
    if (transaction->status == TIM3_TX_STATUS_FAILED)
        return transaction_failed (ctl, route, transaction);
    if (transaction->status == TIM3_TX_STATUS_COMPLETED)
        return TIM3CTL_DONE;
    fputs ("pending: not final yet. Ask with: tim3ctl tx", stderr);
    tim3ctl_print_quoted (transaction->account);
    tim3ctl_print_quoted (ctl->request_id);
    tim3ctl_print_options (ctl, TIM3CTL_BIT (ENDPOINT) | TIM3CTL_BIT (DATA) | TIM3CTL_BIT (TIMEOUT));
    fprintf (stderr, " --asset %s --wait\n", ctl->asset);
    return TIM3CTL_NO_ANSWER;
}

/*  Asks, and asks on while the transaction is pending: each asking changes nothing that was decided.  */
static const tim3_transaction_t *ask_until_final (tim3ctl_t *ctl, const char *route, const char *account,
                                                  tim3_type_t type, const void *body)
{
    static const struct timespec nap = {0, 50000000};
    uint64_t until = tim3ctl_now_us () + tim3ctl_timeout_ms (ctl, 10) * 1000;
    for (;;) {
        const tim3_transaction_t *transaction = tim3ctl_ask (ctl, route, account, type, body);
        if (!transaction || transaction->status != TIM3_TX_STATUS_PENDING)
            return transaction;
        if (!tim3ctl_has (ctl, TIM3CTL_OPTION_WAIT) || tim3ctl_now_us () > until || tim3ctl_interrupted ())
            return transaction;
        nanosleep (&nap, NULL);
    }
}

static int transact (tim3ctl_t *ctl, const char *role, const char *account, tim3_type_t type,
                     const void *body, unsigned decimals)
{
    const char *route = tim3ctl_route (ctl, role);
    const tim3_transaction_t *transaction = ask_until_final (ctl, route, account, type, body);
    return transaction ? show_transaction (ctl, route, transaction, decimals) : ctl->exit;
}

/*  Takes TXID, or ACCOUNT REQUEST_ID. False after saying what is wrong, with ctl->exit set.  */
static bool take_look_up (tim3ctl_t *ctl, tim3_get_transaction_t *body)
{
    bool by_id = ctl->argument_count == 1;
    if (by_id && tim3_id_parse (ctl->arguments[0], &body->tx))
        return true;
    if (by_id)
        ctl->exit = tim3ctl_misused (
            "'%s' is no transaction id: 32 digits of 0-9 a-f; or give ACCOUNT REQUEST_ID", ctl->arguments[0]);
    if (by_id || !tim3ctl_account (ctl, ctl->arguments[0], body->account))
        return false;
    if (!tim3_request_id_valid (ctl->arguments[1])) {
        ctl->exit =
            tim3ctl_misused ("'%s': %s", ctl->arguments[1], tim3_result_text (TIM3_INVALID_REQUEST_ID));
        return false;
    }
    strcpy (body->request_id, ctl->arguments[1]);
    return true;
}

/*  ---------------------------------------------------------------------------------------- collateral  */

static int move_collateral (tim3ctl_t *ctl, const char *account, tim3_type_t type, const void *body,
                            unsigned decimals)
{
    const void *moved = tim3ctl_ask (ctl, tim3ctl_collateral_route (ctl), account, type, body);
    if (!moved)
        return ctl->exit;
    show_result (ctl, &tim3_shape_collateral_moved, moved, decimals, ctl->request_id);
    return TIM3CTL_DONE;
}

int tim3ctl_usda_mint (tim3ctl_t *ctl)
{
    tim3_faucet_t body = {0};
    unsigned decimals;
    strcpy (body.request_id, ctl->request_id);
    if (!tim3ctl_account (ctl, ctl->arguments[0], body.account) ||
        !tim3ctl_decimals (ctl, tim3ctl_collateral_route (ctl), &decimals) ||
        !tim3ctl_amount (ctl, ctl->arguments[1], decimals, &body.amount))
        return ctl->exit;
    return move_collateral (ctl, body.account, TIM3_MSG_FAUCET, &body, decimals);
}

/*  Takes FROM TO AMOUNT.  */
static bool take_transfer (tim3ctl_t *ctl, const char *ledger, tim3_transfer_t *body, unsigned *decimals)
{
    strcpy (body->request_id, ctl->request_id);
    return tim3ctl_account (ctl, ctl->arguments[0], body->account) &&
           tim3ctl_account (ctl, ctl->arguments[1], body->to) && tim3ctl_decimals (ctl, ledger, decimals) &&
           tim3ctl_amount (ctl, ctl->arguments[2], *decimals, &body->amount);
}

int tim3ctl_usda_transfer (tim3ctl_t *ctl)
{
    tim3_transfer_t body = {0};
    unsigned decimals;
    if (!take_transfer (ctl, tim3ctl_collateral_route (ctl), &body, &decimals))
        return ctl->exit;
    return move_collateral (ctl, body.account, TIM3_MSG_COLLATERAL_TRANSFER, &body, decimals);
}

int tim3ctl_usda_tx (tim3ctl_t *ctl)
{
    tim3_get_transaction_t body = {0};
    unsigned decimals;
    if (!take_look_up (ctl, &body) || !tim3ctl_decimals (ctl, tim3ctl_collateral_route (ctl), &decimals))
        return ctl->exit;
    const void *moved = tim3ctl_ask (ctl, tim3ctl_collateral_route (ctl), body.account,
                                     TIM3_MSG_GET_COLLATERAL_TRANSACTION, &body);
    if (!moved)
        return ctl->exit;
    show_result (ctl, &tim3_shape_collateral_transaction, moved, decimals,
                 body.request_id[0] ? body.request_id : NULL);
    return TIM3CTL_DONE;
}

/*  -------------------------------------------------------------------------------------------- tokens  */

/*  Mint and Redeem have the same fields in the same places.  */
_Static_assert(sizeof (tim3_mint_t) == sizeof (tim3_redeem_t), "Mint and Redeem differ");

static int mint_or_redeem (tim3ctl_t *ctl, tim3_type_t type)
{
    tim3_mint_t body = {0};
    unsigned decimals;
    strcpy (body.request_id, ctl->request_id);
    if (!tim3ctl_account (ctl, ctl->arguments[0], body.account) ||
        !tim3ctl_decimals (ctl, tim3ctl_route (ctl, "token_manager"), &decimals) ||
        !tim3ctl_amount (ctl, ctl->arguments[1], decimals, &body.amount))
        return ctl->exit;
    return transact (ctl, "coordinator", body.account, type, &body, decimals);
}

int tim3ctl_mint (tim3ctl_t *ctl)
{
    return mint_or_redeem (ctl, TIM3_MSG_MINT);
}

int tim3ctl_redeem (tim3ctl_t *ctl)
{
    return mint_or_redeem (ctl, TIM3_MSG_REDEEM);
}

int tim3ctl_transfer (tim3ctl_t *ctl)
{
    tim3_transfer_t body = {0};
    unsigned decimals;
    if (!take_transfer (ctl, tim3ctl_route (ctl, "token_manager"), &body, &decimals))
        return ctl->exit;
    return transact (ctl, "coordinator", body.account, TIM3_MSG_TRANSFER, &body, decimals);
}

int tim3ctl_tx (tim3ctl_t *ctl)
{
    tim3_get_transaction_t body = {0};
    unsigned decimals;
    if (!take_look_up (ctl, &body))
        return ctl->exit;
    if (!tim3ctl_decimals (ctl, tim3ctl_route (ctl, "token_manager"), &decimals))
        return ctl->exit;
    const tim3_transaction_t *transaction = ask_until_final (ctl, tim3ctl_route (ctl, "coordinator"),
                                                             body.account, TIM3_MSG_GET_TRANSACTION, &body);
    if (!transaction)
        return ctl->exit;
    show_result (ctl, &tim3_shape_transaction, transaction, decimals,
                 body.request_id[0] ? body.request_id : NULL);
    bool waited = tim3ctl_has (ctl, TIM3CTL_OPTION_WAIT) && transaction->status == TIM3_TX_STATUS_PENDING;
    return waited ? TIM3CTL_NO_ANSWER : TIM3CTL_DONE;
}
