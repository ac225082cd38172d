/*  evidence.c - makes receipts right.  */
#include "evidence.h"
#include "sample.h"

#include <string.h>

#define VAULT_MOST ((tim3_amount_t) 1 << 100)

/*  Which receipt a message carries. extra: the field that goes into it, or none; the reason of a Release
    chooses the kind.  */
static const struct {
    tim3_type_t type;
    tim3_receipt_kind_t kind;
    const char *extra;
} s_rules[] = {
    {TIM3_MSG_LOCKED, TIM3_RECEIPT_KIND_LOCK, NULL},
    {TIM3_MSG_LOCK_REFUSED, TIM3_RECEIPT_KIND_REFUSAL, "code"},
    {TIM3_MSG_SETTLE, TIM3_RECEIPT_KIND_MINT, NULL},
    {TIM3_MSG_RELEASE, TIM3_RECEIPT_KIND_BURN, NULL},
    {TIM3_MSG_RELEASED, TIM3_RECEIPT_KIND_RELEASE, "reason"},
    {TIM3_MSG_TOKEN_MINT, TIM3_RECEIPT_KIND_LOCK, NULL},
    {TIM3_MSG_MINTED, TIM3_RECEIPT_KIND_MINT, NULL},
    {TIM3_MSG_VOIDED, TIM3_RECEIPT_KIND_VOID, NULL},
    {TIM3_MSG_RESOLVE, TIM3_RECEIPT_KIND_LOCK, NULL},
    {TIM3_MSG_RESOLVE_REFUSED, TIM3_RECEIPT_KIND_REFUSAL, "code"},
    {TIM3_MSG_BURNED, TIM3_RECEIPT_KIND_BURN, NULL},
    {TIM3_MSG_SETTLE_BURN, TIM3_RECEIPT_KIND_RELEASE, NULL},
    {TIM3_MSG_VAULT_LOCK, TIM3_RECEIPT_KIND_VAULT_LOCK, NULL},
    {TIM3_MSG_VAULT_LOCKED, TIM3_RECEIPT_KIND_VAULT_LOCKED, NULL},
    {TIM3_MSG_VAULT_REFUSED, TIM3_RECEIPT_KIND_VAULT_REFUSED, "code"},
    {TIM3_MSG_VAULT_UNLOCK, TIM3_RECEIPT_KIND_VAULT_UNLOCK, "reason"},
    {TIM3_MSG_VAULT_UNLOCKED, TIM3_RECEIPT_KIND_VAULT_UNLOCKED, "reason"},
};

static const void *member (const tim3_shape_t *shape, const void *body, const char *name)
{
    const tim3_field_t *field = sample_field (shape, name);
    return field ? (const uint8_t *) body + field->offset : NULL;
}

static uint64_t number (const tim3_shape_t *shape, const void *body, const char *name)
{
    const tim3_field_t *field = sample_field (shape, name);
    const uint8_t *at = (const uint8_t *) body + field->offset;
    return field->kind == TIM3_KIND_ENUM ? *at : *(const uint64_t *) (const void *) at;
}

/*  Tokens that can be burned are backed by locks whose mint is settled.  */
static bool could_be_burned (tim3_store_t *store, tim3_amount_t amount)
{
    tim3_key_t key = tim3_key_text ("totals");
    tim3_lock_totals_t totals;
    tim3_store_read (store, TIM3_TABLE_LOCK_TOTALS, &key, &totals);
    return amount <= totals.locked - totals.in_flight;
}

/*  False when there can be no such evidence.  */
static bool fill_claim (const tim3_settings_t *settings, tim3_store_t *store, const tim3_message_t *message,
                        const void *body, tim3_claim_t *claim)
{
    const char *vault = member (message->shape, body, "vault");
    memcpy (&claim->tx, member (message->shape, body, "tx"), sizeof claim->tx);
    memcpy (&claim->amount, member (message->shape, body, "amount"), sizeof claim->amount);
    claim->account = member (message->shape, body, "account");
    claim->asset = vault ? vault : settings->asset;
    if (vault && claim->amount > VAULT_MOST)
        return false;
    if (message->type == TIM3_MSG_SETTLE_BURN)
        claim->extra = TIM3_RELEASE_REASON_BURN;
    if (message->type != TIM3_MSG_RELEASE)
        return true;
    if (number (message->shape, body, "reason") == TIM3_RELEASE_REASON_BURN)
        return could_be_burned (store, claim->amount);
    claim->kind = TIM3_RECEIPT_KIND_VOID;
    return true;
}

/*  One as if it had come alone.  */
static void sign_settles (const tim3_settings_t *settings, tim3_store_t *store, const tim3_settle_all_t *body)
{
    tim3_receipt_t *items = (tim3_receipt_t *) body->items.items;
    for (uint32_t i = 0; i < body->items.count; i++)
        evidence_sign (settings, store, tim3_message (TIM3_MSG_SETTLE), &items[i]);
}

void evidence_sign (const tim3_settings_t *settings, tim3_store_t *store, const tim3_message_t *message,
                    void *body)
{
    if (message->type == TIM3_MSG_SETTLE_ALL)
        sign_settles (settings, store, body);
    for (unsigned i = 0; i < sizeof s_rules / sizeof s_rules[0]; i++) {
        tim3_claim_t claim = {.kind = s_rules[i].kind};
        if (s_rules[i].type != message->type)
            continue;
        if (s_rules[i].extra)
            claim.extra = number (message->shape, body, s_rules[i].extra);
        if (!fill_claim (settings, store, message, body, &claim))
            return;
        bool vault = sample_field (message->shape, "vault") != NULL;
        tim3_mac_t mac = tim3_receipt_make (vault ? &settings->vault_key : &settings->evidence_key, &claim);
        memcpy ((uint8_t *) body + sample_field (message->shape, "receipt")->offset, &mac, sizeof mac);
    }
}
