/*  rules.h - small rules that several cores share: field checks, and when to push unfinished work.  */
#ifndef TIM3_RULES_H
#define TIM3_RULES_H

#include "agent/core.h"

/*  Each refuses the message at hand, and returns false, when the value breaks the rule. tx may be NULL.  */
bool tim3_rule_account (tim3_env_t *env, const tim3_id_t *tx, const char *account);
bool tim3_rule_amount (tim3_env_t *env, const tim3_id_t *tx, tim3_amount_t amount);
bool tim3_rule_request_id (tim3_env_t *env, const char *request_id);

/*  Refuses the message at hand with operands.  */
void tim3_rule_refuse (tim3_env_t *env, tim3_result_t code, const tim3_id_t *tx, tim3_amount_t available,
                       tim3_amount_t needed);

/*  When to look again at something that has been pushed attempts times: the wait doubles up to a limit.  */
uint64_t tim3_rule_next_due (const tim3_settings_t *settings, uint64_t now_us, uint64_t attempts);
/*  Whether it is time. A due time further away than any wait can be is a clock that was set back: time too.  */
bool tim3_rule_is_due (const tim3_settings_t *settings, uint64_t now_us, uint64_t due_us);
/*  The latest due time that any wait from now can lead to.  */
uint64_t tim3_rule_due_most (const tim3_settings_t *settings, uint64_t now_us);

#endif
