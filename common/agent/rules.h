/*  rules.h - small rules that several cores share: checks of fields, and refusals.  */
#ifndef TIM3_RULES_H
#define TIM3_RULES_H

#include "agent/core.h"

/*  Each refuses the message at hand, and returns false, when the value breaks the rule. tx may be NULL.  */
bool tim3_rule_account (tim3_env_t *env, const tim3_id_t *tx, const char *account);
bool tim3_rule_amount (tim3_env_t *env, const tim3_id_t *tx, tim3_amount_t amount);
bool tim3_rule_request_id (tim3_env_t *env, const char *request_id);

/*  Refuses it when the account does not belong to the shard that settings are of: whatever a sender thinks, one ledger alone decides on an
    account.  */
bool tim3_rule_shard (tim3_env_t *env, const tim3_settings_t *settings, const tim3_id_t *tx, const char *account);

/*  A shard's part of an asset's cap: all have the same, and the first also what is left over. Of no cap each has no cap.  */
tim3_amount_t tim3_rule_cap_part (tim3_amount_t cap, unsigned shards, unsigned shard);
/*  What a shard may still mint. Its tokens may be in other shards by now, or theirs here, so what counts is what it has minted and
    burned: over all shards that makes up the supply.  */
tim3_amount_t tim3_rule_mint_room (const tim3_ledger_t *ledger, unsigned shards, unsigned shard);

/*  Refuses the message at hand with operands.  */
void tim3_rule_refuse (tim3_env_t *env, tim3_result_t code, const tim3_id_t *tx, tim3_amount_t available,
                       tim3_amount_t needed);

#endif
