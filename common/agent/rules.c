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

bool tim3_rule_shard (tim3_env_t *env, const tim3_settings_t *settings, const tim3_id_t *tx, const char *account)
{
    unsigned shard = tim3_account_shard (account, settings->shards);
    if (shard == settings->shard)
        return true;
    tim3_env_refuse (env, TIM3_WRONG_SHARD, tx, "%s belongs to shard %u of %u", account, shard, settings->shards);
    return false;
}

tim3_amount_t tim3_rule_cap_part (tim3_amount_t cap, unsigned shards, unsigned shard)
{
    return cap == TIM3_AMOUNT_MAX ? cap : cap / shards + (shard == 0 ? cap % shards : 0);
}

tim3_amount_t tim3_rule_mint_room (const tim3_ledger_t *ledger, unsigned shards, unsigned shard)
{
    tim3_amount_t part = tim3_rule_cap_part (ledger->cap, shards, shard);
    tim3_amount_t room;
    if (ledger->cap == TIM3_AMOUNT_MAX)
        return TIM3_AMOUNT_MAX - ledger->supply;
    if (ledger->minted >= ledger->burned)
        return tim3_amount_sub (part, ledger->minted - ledger->burned, &room) ? room : 0;
    return tim3_amount_add (part, ledger->burned - ledger->minted, &room) ? room : TIM3_AMOUNT_MAX;
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
