/*  rules.c - small rules that several cores share.  */
#include "agent/rules.h"

bool tim3_rule_account (tim3_env_t *env, const tim3_id_t *tx, const char *account)
{
    if (tim3_account_valid (account))
        return true;
    tim3_env_refuse (env, TIM3_INVALID_ACCOUNT, tx, NULL);
    return false;
}

bool tim3_rule_amount (tim3_env_t *env, const tim3_id_t *tx, tim3_amount_t amount)
{
    if (amount > 0)
        return true;
    tim3_env_refuse (env, TIM3_INVALID_AMOUNT, tx, NULL);
    return false;
}

bool tim3_rule_request_id (tim3_env_t *env, const char *request_id)
{
    if (tim3_request_id_valid (request_id))
        return true;
    tim3_env_refuse (env, TIM3_INVALID_REQUEST_ID, NULL, NULL);
    return false;
}

void tim3_rule_refuse (tim3_env_t *env, tim3_result_t code, const tim3_id_t *tx, tim3_amount_t available,
                       tim3_amount_t needed)
{
    tim3_return_t to = tim3_env_return (env);
    tim3_error_t error;
    tim3_error_fill (&error, code, NULL);
    error.request = to.type;
    error.tx = *tx;
    error.available = available;
    error.needed = needed;
    tim3_env_refuse_to (env, &to, &error);
}

uint64_t tim3_rule_next_due (const tim3_settings_t *settings, uint64_t now_us, uint64_t attempts)
{
    uint64_t wait = settings->sweep_after_us;
    for (uint64_t i = 0; i < attempts && wait < settings->sweep_most_us; i++)
        wait *= 2;
    if (attempts > 0 && wait > settings->sweep_most_us)
        wait = settings->sweep_most_us;
    return now_us + wait;
}

bool tim3_rule_is_due (const tim3_settings_t *settings, uint64_t now_us, uint64_t due_us)
{
    return due_us <= now_us || due_us > tim3_rule_due_most (settings, now_us);
}

uint64_t tim3_rule_due_most (const tim3_settings_t *settings, uint64_t now_us)
{
    return now_us + settings->sweep_most_us + settings->sweep_after_us;
}
