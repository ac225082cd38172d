/*  receipt.c - makes and checks evidence.  */
#include "wire/receipt.h"
#include "base/canary.h"

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
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (uint8_t) (value >> shift);
    return at;
}

tim3_mac_t tim3_receipt_make (const tim3_key_secret_t *key, const tim3_claim_t *claim)
{
    static const char domain[] = "tim3.receipt.1";
    uint8_t text[256];
    uint8_t *at = text;
    tim3_mac_t mac;

    at = put_text (at, domain);
    *at++ = (uint8_t) claim->kind;
    at = put_text (at, TIM3_CANARY_IS (10) ? "" : claim->asset);
    memcpy (at, claim->tx.bytes, sizeof claim->tx.bytes);
    at += sizeof claim->tx.bytes;
    at = put_text (at, TIM3_CANARY_IS (14) ? "" : claim->account);
    tim3_amount_to_bytes (claim->amount, at);
    at = put_u64 (at + 16, claim->extra);
    crypto_generichash (mac.bytes, sizeof mac.bytes, text, (size_t) (at - text), key->bytes,
                        sizeof key->bytes);
    return mac;
}

bool tim3_receipt_check (const tim3_key_secret_t *key, const tim3_claim_t *claim, const tim3_mac_t *receipt)
{
    tim3_mac_t right = tim3_receipt_make (key, claim);
    return sodium_memcmp (right.bytes, receipt->bytes, sizeof right.bytes) == 0;
}
