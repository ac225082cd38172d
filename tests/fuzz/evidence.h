/*  evidence.h - makes receipts right, so that hostile fields get past the check of the receipt: what a peer
    that holds the key could send.
*/
#ifndef TIM3_TESTS_FUZZ_EVIDENCE_H
#define TIM3_TESTS_FUZZ_EVIDENCE_H

#include "agent/core.h"

/*  Gives the body of a message the receipt that belongs to its other fields, if it has one, and if such
    evidence can exist: never for collateral that no vault could hold, nor for burns of tokens that were never
    minted.  */
void evidence_sign (const tim3_settings_t *settings, tim3_store_t *store, const tim3_message_t *message,
                    void *body);

#endif
