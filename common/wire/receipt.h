/*  receipt.h - evidence: a keyed MAC over what happened.

    A receipt is BLAKE2b-256, personalized for receipts alone, over (key, kind, asset, tx, account, amount, extra), each text with its
    length in front. The evidence key of an asset is known to its lock manager and its token manager alone; a
    vault's key to its lock manager and the collateral token alone. extra is the result code of a
    refusal (lock, vault, and not_received), the reason of a release, an unlock or its answer, else 0. The amount is in the unit of
    the ledger that made it: the asset's for evidence, the collateral's for vaults. Of a transfer between shards the account is the
    receiver, a space, and the sender: no name has a space in it.
*/
#ifndef TIM3_RECEIPT_H
#define TIM3_RECEIPT_H

#include "wire/messages.h"

typedef struct {
    uint8_t bytes[32];
} tim3_key_secret_t;

typedef struct {
    tim3_receipt_kind_t kind;
    const char *asset;
    tim3_id_t tx;
    const char *account;
    tim3_amount_t amount;
    uint64_t extra;
} tim3_claim_t;

tim3_mac_t tim3_receipt_make (const tim3_key_secret_t *key, const tim3_claim_t *claim);
/*  Compares in constant time.  */
bool tim3_receipt_check (const tim3_key_secret_t *key, const tim3_claim_t *claim, const tim3_mac_t *receipt);

#endif
