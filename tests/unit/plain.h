/*  plain.h - what agents of a plain configuration are told, where there is no configuration: in tests and measurements.

    One asset TIM3 with six decimals on mock_usda.USDA.0, one shard, no cap, an open faucet. The key of TIM3's evidence is all
    ones, that of its vault all twos. What is added to tim3_settings_t gets a value here; a test changes what it wants otherwise.
*/
#ifndef TIM3_TESTS_UNIT_PLAIN_H
#define TIM3_TESTS_UNIT_PLAIN_H

#include "agent/core.h"

/*  address: role.asset.shard.  */
void plain_settings (tim3_settings_t *settings, const char *address);

#endif
