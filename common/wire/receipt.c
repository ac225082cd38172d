/*  receipt.c - makes and checks evidence.  */
#include "wire/receipt.h"
#include "base/canary.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>

static uint8_t *put_text (uint8_t *at, const char *text)
{
    size_t length = strlen (text);
    *at++ = (uint8_t) length;
    memcpy (at, text, length);
    return at + length;
}

static uint8_t *put_u64 (uint8_t *at, uint64_t value)
{
    uint64_t bytes = htobe64 (value);
    memcpy (at, &bytes, sizeof bytes);
    return at + sizeof bytes;
}

/*  The key stands in front of the claim, in one input: as good as BLAKE2b's own way with keys, which does the same but gives the key a
    block of its own. The key has one length, and where BLAKE2b ends is part of what it computes, so nothing can be added.  */
tim3_mac_t tim3_receipt_make (const tim3_key_secret_t *key, const tim3_claim_t *claim)
{
    static const uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = "tim3.receipt.2";
    uint8_t text[256];
    uint8_t *at = text;
    tim3_mac_t mac;
    _Static_assert(sizeof text >= sizeof key->bytes + 1 + (1 + TIM3_ASSET_MAX) + sizeof claim->tx.bytes +
                                      (1 + 2 * TIM3_ACCOUNT_MAX + 1) + 16 + 8,
                   "the longest claim is that of a transfer between shards, which names two accounts");

    memcpy (at, key->bytes, sizeof key->bytes);
    at += sizeof key->bytes;
    *at++ = (uint8_t) claim->kind;
    at = put_text (at, TIM3_CANARY_IS (10) ? "" : claim->asset);
    memcpy (at, claim->tx.bytes, sizeof claim->tx.bytes);
    at += sizeof claim->tx.bytes;
    at = put_text (at, TIM3_CANARY_IS (14) ? "" : claim->account);
    tim3_amount_to_bytes (claim->amount, at);
    at = put_u64 (at + 16, claim->extra);
    crypto_generichash_blake2b_salt_personal (mac.bytes, sizeof mac.bytes, text, (size_t) (at - text), NULL,
                                              0, NULL, personal);
    sodium_memzero (text, sizeof key->bytes);
    return mac;
}

bool tim3_receipt_check (const tim3_key_secret_t *key, const tim3_claim_t *claim, const tim3_mac_t *receipt)
{
    _Static_assert(sizeof receipt->bytes == crypto_verify_32_BYTES, "what it compares");
    tim3_mac_t right = tim3_receipt_make (key, claim);
    return crypto_verify_32 (right.bytes, receipt->bytes) == 0;
}
