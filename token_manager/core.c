/*  core.c - the token ledger of one asset: balances, supply, mints, burns, voids, transfers, controls.

    Every transaction is decided once and recorded under its tx for ever, refusals included; asking again returns
    the recorded outcome. A mint needs the lock manager's receipt. A mint that is not done is made
    impossible (voided) before a void receipt is handed out, and a completed one never gets one.
    A burn stays pending until the lock manager's release receipt arrives; the sweep pushes it there.

    It may be one of several shards, each of which has the accounts of its slots. A mint, a burn and a control concern one shard alone.
    A transfer to an account of another shard debits here and stays pending until a receipt of that shard says what became of it: the
    tokens are there, or never will be and are given back. The sweep pushes it there. Between shards tokens are nobody's supply.

    Order of checks. All: field rules, shard, receipt, known tx (same fields: the recorded outcome; other fields:
    id_reused). Then, by what is asked:
        mint      asset_paused, account_frozen, cap_exceeded, amount_overflow
        burn      asset_paused, account_frozen, insufficient_funds, amount_overflow
        transfer  asset_paused, account_frozen (sender, then receiver), insufficient_funds, amount_overflow
        receive   asset_paused, account_frozen, amount_overflow
*/
#include "core.h"
#include "agent/due.h"
#include "agent/page.h"
#include "agent/rules.h"
#include "base/canary.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTROL_ACCOUNT "!control" /* no account can be called that */

typedef struct {
    const tim3_settings_t *settings;
    tim3_ledger_t ledger; /* of the batch at hand: read once, written once */
    bool ledger_read;
    bool ledger_changed;
    tim3_due_t *due; /* burns, and transfers to other shards, that are not settled */
    uint64_t bad_receipts;
    uint64_t swept;
} self_t;

/*  A decision that refuses: the result and its operands.  */
typedef struct {
    tim3_result_t code;
    tim3_amount_t available;
    tim3_amount_t needed;
} verdict_t;

static const verdict_t s_fine = {TIM3_OK, 0, 0};

/*  ---------------------------------------------------------------------------------------------- the store  */

static tim3_key_t ledger_key (void)
{
    return tim3_key_text ("ledger");
}

static void read_ledger (self_t *self, tim3_env_t *env, tim3_ledger_t *ledger)
{
    if (!self->ledger_read) {
        tim3_key_t key = ledger_key ();
        if (!tim3_store_read (tim3_env_store (env), TIM3_TABLE_LEDGER, &key, &self->ledger))
            self->ledger.cap = self->settings->cap;
    }
    self->ledger_read = true;
    *ledger = self->ledger;
}

static void write_ledger (self_t *self, const tim3_ledger_t *ledger)
{
    self->ledger = *ledger;
    self->ledger_changed = true;
}

/*  Nearly every message changes the totals: they are written once for the whole batch.  */
static void end_batch (void *state, tim3_env_t *env)
{
    self_t *self = state;
    tim3_key_t key = ledger_key ();
    if (self->ledger_changed)
        tim3_store_write (tim3_env_store (env), TIM3_TABLE_LEDGER, &key, &self->ledger);
    tim3_due_write (self->due, env);
    self->ledger_read = false;
    self->ledger_changed = false;
}

/*  An account that is not there yet has its name and nothing else.  */
static bool read_account (tim3_env_t *env, const char *name, tim3_account_t *account)
{
    tim3_key_t key;
    tim3_key_set_text (&key, name);
    bool found = tim3_store_read (tim3_env_store (env), TIM3_TABLE_ACCOUNT, &key, account);
    if (!found)
        strcpy (account->account, name);
    return found;
}

static void write_account (tim3_env_t *env, const tim3_account_t *account)
{
    tim3_key_t key;
    tim3_key_set_text (&key, account->account);
    tim3_store_write (tim3_env_store (env), TIM3_TABLE_ACCOUNT, &key, account);
}

/*  Checking a receipt takes a while: meanwhile the rows that will be read next come into the processor's cache.  */
static void fetch (tim3_env_t *env, const tim3_id_t *tx, const char *account)
{
    tim3_key_t key;
    tim3_key_set_id (&key, tx);
    tim3_store_fetch (tim3_env_store (env), TIM3_TABLE_RECORD, &key);
    tim3_key_set_text (&key, account);
    tim3_store_fetch (tim3_env_store (env), TIM3_TABLE_ACCOUNT, &key);
}

/*  An account as a decision finds it: read once, judged, and changed if all is well.  */
typedef struct {
    tim3_account_t account;
    bool is_new;
} holder_t;

static void read_holder (tim3_env_t *env, const char *name, holder_t *holder)
{
    holder->is_new = !read_account (env, name, &holder->account);
}

/*  The account, to be changed; a new one is counted in the ledger.  */
static tim3_account_t *take_account (holder_t *holder, tim3_ledger_t *ledger)
{
    ledger->accounts += holder->is_new;
    return &holder->account;
}

static bool read_record (tim3_env_t *env, const tim3_id_t *tx, tim3_transaction_t *record)
{
    tim3_key_t key;
    tim3_key_set_id (&key, tx);
    bool found = tim3_store_read (tim3_env_store (env), TIM3_TABLE_RECORD, &key, record);
    return found && !(TIM3_CANARY_IS (5) && record->time_us + 10000000 < tim3_env_now (env));
}

static void write_record (tim3_env_t *env, const tim3_transaction_t *record)
{
    tim3_key_t key;
    tim3_key_set_id (&key, &record->tx);
    tim3_store_write (tim3_env_store (env), TIM3_TABLE_RECORD, &key, record);
}

static tim3_transaction_t new_record (tim3_env_t *env, tim3_tx_kind_t kind, const tim3_id_t *tx,
                                      const char *account, const char *to, tim3_amount_t amount)
{
    tim3_transaction_t record = {.kind = (uint8_t) kind, .tx = *tx, .amount = amount};
    strcpy (record.account, account);
    strcpy (record.to, to);
    record.status = TIM3_TX_STATUS_COMPLETED;
    record.time_us = tim3_env_now (env);
    return record;
}

static bool same_request (const tim3_transaction_t *record, tim3_tx_kind_t kind, const char *account,
                          const char *to, tim3_amount_t amount)
{
    return record->kind == kind && (record->amount == amount || TIM3_CANARY_IS (7))
           && strcmp (record->account, account) == 0 && strcmp (record->to, to) == 0;
}

/*  Makes a record the newest entry in the history of an account. A history is a list linked through the records: number and previous,
    which are members of the record, become its place and the entry before. Writes the account too, whose balance has just changed.  */
static void add_entry (tim3_env_t *env, tim3_account_t *account, const tim3_id_t *tx, uint64_t *number,
                       tim3_id_t *previous)
{
    *number = ++account->entries;
    *previous = account->last;
    account->last = *tx;
    write_account (env, account);
}

/*  ------------------------------------------------------------------------------------------- refusals  */

/*  Records that a transaction will never happen under this tx.  */
static void write_failure (self_t *self, tim3_env_t *env, tim3_transaction_t *record, tim3_ledger_t *ledger,
                           const verdict_t *verdict)
{
    static const tim3_mark_t mark;
    tim3_key_t key = tim3_key_text (record->account);
    tim3_transaction_failed_t event = {.tx = record->tx, .kind = record->kind, .amount = record->amount};

    record->status = TIM3_TX_STATUS_FAILED;
    record->code = verdict->code;
    record->available = verdict->available;
    record->needed = verdict->needed;
    ledger->refused++;
    if (!TIM3_CANARY_IS (4) || record->code != TIM3_VOIDED)
        write_record (env, record);
    write_ledger (self, ledger);
    tim3_key_add_id (&key, &record->tx);
    tim3_store_write (tim3_env_store (env), TIM3_TABLE_FAILED_BY_ACCOUNT, &key, &mark);
    strcpy (event.account, record->account);
    event.code = record->code;
    tim3_env_emit (env, TIM3_MSG_TRANSACTION_FAILED, &event);
}

/*  to is NULL where nobody receives.  */
static verdict_t check_open (const tim3_ledger_t *ledger, const holder_t *holder, const holder_t *to)
{
    if (ledger->paused)
        return (verdict_t){TIM3_ASSET_PAUSED, 0, 0};
    if (holder->account.frozen || (to && to->account.frozen))
        return (verdict_t){TIM3_ACCOUNT_FROZEN, 0, 0};
    return s_fine;
}

static verdict_t check_funds (const holder_t *holder, tim3_amount_t amount)
{
    if (holder->account.balance < amount)
        return (verdict_t){TIM3_INSUFFICIENT_FUNDS, holder->account.balance, amount};
    return s_fine;
}

static void answer_failure (tim3_env_t *env, const tim3_transaction_t *record)
{
    tim3_rule_refuse (env, (tim3_result_t) record->code, &record->tx, record->available, record->needed);
}

/*  ------------------------------------------------------------------------------------------- receipts  */

static tim3_claim_t claim (const self_t *self, tim3_receipt_kind_t kind, const tim3_id_t *tx,
                           const char *account, tim3_amount_t amount, uint64_t extra)
{
    return (tim3_claim_t){kind, self->settings->asset, *tx, account, amount, extra};
}

static tim3_mac_t make_receipt (const self_t *self, tim3_receipt_kind_t kind, const tim3_transaction_t *record)
{
    tim3_claim_t made = claim (self, kind, &record->tx, record->account, record->amount, 0);
    return tim3_receipt_make (&self->settings->evidence_key, &made);
}

/*  Refuses the message at hand when the receipt does not hold.  */
static bool check_receipt (self_t *self, tim3_env_t *env, const tim3_claim_t *made, const tim3_mac_t *receipt)
{
    if (tim3_receipt_check (&self->settings->evidence_key, made, receipt))
        return true;
    self->bad_receipts++;
    tim3_env_refuse (env, TIM3_BAD_RECEIPT, &made->tx, NULL);
    return false;
}

static bool is_own (const self_t *self, const char *account)
{
    return tim3_account_shard (account, self->settings->shards) == self->settings->shard;
}

static bool check_fields (const self_t *self, tim3_env_t *env, const tim3_id_t *tx, const char *account,
                          tim3_amount_t amount)
{
    return tim3_rule_account (env, tx, account) && tim3_rule_amount (env, tx, amount)
           && tim3_rule_shard (env, self->settings, tx, account);
}

/*  ------------------------------------------------------------------------------------------------- mint  */

static verdict_t judge_mint (const self_t *self, const tim3_ledger_t *ledger, const holder_t *holder,
                             const tim3_receipt_t *ask)
{
    tim3_amount_t sum;
    tim3_amount_t room = tim3_rule_mint_room (ledger, self->settings->shards, self->settings->shard);
    verdict_t open = check_open (ledger, holder, NULL);
    if (open.code)
        return open;
    if (ask->amount > room || !tim3_amount_add (ledger->supply, ask->amount, &sum))
        return (verdict_t){TIM3_CAP_EXCEEDED, room, ask->amount};
    /* a balance is never more than the supply, so only the total of all mints is left to overflow */
    if (!tim3_amount_add (ledger->minted, ask->amount, &sum) && !TIM3_CANARY_IS (11))
        return (verdict_t){TIM3_AMOUNT_OVERFLOW, TIM3_AMOUNT_MAX - ledger->minted, ask->amount};
    return s_fine;
}

static void apply_mint (self_t *self, tim3_env_t *env, tim3_ledger_t *ledger, holder_t *holder,
                        tim3_transaction_t *record)
{
    tim3_account_t *account = take_account (holder, ledger);
    tim3_token_changed_t event = {.tx = record->tx, .amount = record->amount};

    TIM3_ASSERT (tim3_amount_add (account->balance, record->amount, &account->balance));
    TIM3_ASSERT (tim3_amount_add (ledger->supply, record->amount, &ledger->supply));
    TIM3_ASSERT (tim3_amount_add (ledger->minted, record->amount, &ledger->minted));
    ledger->mints++;
    record->balance = account->balance;
    record->supply = ledger->supply;
    add_entry (env, account, &record->tx, &record->entry, &record->previous);
    write_record (env, record);
    write_ledger (self, ledger);
    strcpy (event.account, record->account);
    event.balance = record->balance;
    event.supply = record->supply;
    tim3_env_emit (env, TIM3_MSG_TOKEN_MINTED, &event);
}

static void answer_minted (self_t *self, tim3_env_t *env, const tim3_transaction_t *record)
{
    tim3_minted_t reply = {.tx = record->tx, .amount = record->amount, .balance = record->balance};
    strcpy (reply.account, record->account);
    reply.supply = record->supply;
    reply.time_us = record->time_us;
    reply.receipt = make_receipt (self, TIM3_RECEIPT_KIND_MINT, record);
    tim3_env_reply (env, TIM3_MSG_MINTED, &reply);
}

/*  Answers with a void receipt: the mint will never happen. mint has its fields; record is what the tx was used for: this mint, refused,
    or something else.  */
static void answer_voided (self_t *self, tim3_env_t *env, const tim3_transaction_t *mint,
                           const tim3_transaction_t *record)
{
    bool own = same_request (record, TIM3_TX_KIND_MINT, mint->account, "", mint->amount);
    tim3_refusal_t reply = {.tx = mint->tx, .amount = mint->amount};
    strcpy (reply.account, mint->account);
    reply.code = own ? record->code : TIM3_ID_REUSED;
    reply.available = own ? record->available : 0;
    reply.needed = own ? record->needed : 0;
    reply.receipt = make_receipt (self, TIM3_RECEIPT_KIND_VOID, mint);
    tim3_env_reply (env, TIM3_MSG_VOIDED, &reply);
}

static void answer_mint (self_t *self, tim3_env_t *env, const tim3_transaction_t *mint,
                         const tim3_transaction_t *record)
{
    bool minted = record->kind == TIM3_TX_KIND_MINT && record->status == TIM3_TX_STATUS_COMPLETED;
    if (!minted)
        answer_voided (self, env, mint, record);
    else if (same_request (record, TIM3_TX_KIND_MINT, mint->account, "", mint->amount))
        answer_minted (self, env, record);
    else
        tim3_env_refuse (env, TIM3_ID_REUSED, &mint->tx, NULL);
}

static void on_mint (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_receipt_t *ask = body;
    tim3_claim_t lock = claim (self, TIM3_RECEIPT_KIND_LOCK, &ask->tx, ask->account, ask->amount, 0);
    tim3_transaction_t mint = new_record (env, TIM3_TX_KIND_MINT, &ask->tx, ask->account, "", ask->amount);
    tim3_transaction_t record;
    tim3_ledger_t ledger;
    holder_t holder;

    fetch (env, &ask->tx, ask->account);
    if (!check_fields (self, env, &ask->tx, ask->account, ask->amount)
        || (!check_receipt (self, env, &lock, &ask->receipt) && !TIM3_CANARY_IS (3)))
        return;
    if (!read_record (env, &ask->tx, &record)) {
        read_ledger (self, env, &ledger);
        read_holder (env, ask->account, &holder);
        verdict_t verdict = judge_mint (self, &ledger, &holder, ask);
        record = mint;
        if (verdict.code)
            write_failure (self, env, &record, &ledger, &verdict);
        else
            apply_mint (self, env, &ledger, &holder, &record);
    }
    answer_mint (self, env, &mint, &record);
}

/*  ----------------------------------------------------------------------------------------------- resolve  */

/*  Decides now: what has not been minted never will be.  */
static void resolve (self_t *self, tim3_env_t *env, const tim3_transaction_t *mint, const verdict_t *verdict)
{
    tim3_transaction_t record;
    tim3_ledger_t ledger;
    if (!read_record (env, &mint->tx, &record)) {
        read_ledger (self, env, &ledger);
        record = *mint;
        write_failure (self, env, &record, &ledger, verdict);
    }
    answer_mint (self, env, mint, &record);
}

static void on_resolve (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_receipt_t *ask = body;
    static const verdict_t voided = {TIM3_VOIDED, 0, 0};
    tim3_claim_t lock = claim (self, TIM3_RECEIPT_KIND_LOCK, &ask->tx, ask->account, ask->amount, 0);

    if (!check_fields (self, env, &ask->tx, ask->account, ask->amount)
        || !check_receipt (self, env, &lock, &ask->receipt))
        return;
    tim3_transaction_t mint = new_record (env, TIM3_TX_KIND_MINT, &ask->tx, ask->account, "", ask->amount);
    resolve (self, env, &mint, &voided);
}

static void on_resolve_refused (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_refusal_t *ask = body;
    verdict_t verdict = {(tim3_result_t) ask->code, ask->available, ask->needed};
    tim3_claim_t refusal =
        claim (self, TIM3_RECEIPT_KIND_REFUSAL, &ask->tx, ask->account, ask->amount, ask->code);

    if (!check_fields (self, env, &ask->tx, ask->account, ask->amount)
        || !check_receipt (self, env, &refusal, &ask->receipt))
        return;
    tim3_transaction_t mint = new_record (env, TIM3_TX_KIND_MINT, &ask->tx, ask->account, "", ask->amount);
    resolve (self, env, &mint, &verdict);
}

/*  -------------------------------------------------------------------------------------------------- burn  */

static void set_due (self_t *self, tim3_env_t *env, tim3_transaction_t *record)
{
    tim3_due_set (self->due, env, record->tx.bytes, record->attempts, &record->due_us);
}

/*  More may be burned in a shard than was minted in it, so the sum of all burns has an end of its own.  */
static verdict_t judge_burn (const tim3_ledger_t *ledger, const holder_t *holder, tim3_amount_t amount)
{
    verdict_t verdict = check_open (ledger, holder, NULL);
    if (!verdict.code)
        verdict = check_funds (holder, amount);
    if (!verdict.code && amount > TIM3_AMOUNT_MAX - ledger->burned)
        verdict = (verdict_t){TIM3_AMOUNT_OVERFLOW, TIM3_AMOUNT_MAX - ledger->burned, amount};
    return verdict;
}

/*  Takes tokens out of an account and the supply, for a burn or a transfer to another shard. The record is pending until another ledger's
    receipt says what became of them, and the sweep asks for that. All is written but the ledger, which the caller changes further.  */
static tim3_account_t *take_out (self_t *self, tim3_env_t *env, tim3_ledger_t *ledger, holder_t *holder,
                                 tim3_transaction_t *record)
{
    tim3_account_t *account = take_account (holder, ledger);
    TIM3_ASSERT (tim3_amount_sub (account->balance, record->amount, &account->balance));
    TIM3_ASSERT (tim3_amount_sub (ledger->supply, record->amount, &ledger->supply));
    ledger->unsettled++;
    record->status = TIM3_TX_STATUS_PENDING;
    record->balance = account->balance;
    record->supply = ledger->supply;
    set_due (self, env, record);
    add_entry (env, account, &record->tx, &record->entry, &record->previous);
    write_record (env, record);
    return account;
}

static void apply_burn (self_t *self, tim3_env_t *env, tim3_ledger_t *ledger, holder_t *holder,
                        tim3_transaction_t *record)
{
    tim3_token_changed_t event = {.tx = record->tx, .amount = record->amount};

    take_out (self, env, ledger, holder, record);
    /* releasing never exceeds burned */
    TIM3_ASSERT (tim3_amount_add (ledger->burned, record->amount, &ledger->burned));
    TIM3_ASSERT (tim3_amount_add (ledger->releasing, record->amount, &ledger->releasing));
    ledger->burns++;
    write_ledger (self, ledger);
    strcpy (event.account, record->account);
    event.balance = record->balance;
    event.supply = record->supply;
    tim3_env_emit (env, TIM3_MSG_TOKEN_BURNED, &event);
}

static void answer_burned (self_t *self, tim3_env_t *env, const tim3_transaction_t *record)
{
    tim3_minted_t reply = {.tx = record->tx, .amount = record->amount, .balance = record->balance};
    strcpy (reply.account, record->account);
    reply.supply = record->supply;
    reply.time_us = record->time_us;
    reply.receipt = make_receipt (self, TIM3_RECEIPT_KIND_BURN, record);
    tim3_env_reply (env, TIM3_MSG_BURNED, &reply);
}

static void on_burn (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_lock_t *ask = body;
    tim3_transaction_t record;
    tim3_ledger_t ledger;
    holder_t holder;

    if (!check_fields (self, env, &ask->tx, ask->account, ask->amount))
        return;
    if (!read_record (env, &ask->tx, &record)) {
        read_ledger (self, env, &ledger);
        record = new_record (env, TIM3_TX_KIND_REDEEM, &ask->tx, ask->account, "", ask->amount);
        read_holder (env, ask->account, &holder);
        verdict_t verdict = judge_burn (&ledger, &holder, ask->amount);
        if (verdict.code)
            write_failure (self, env, &record, &ledger, &verdict);
        else
            apply_burn (self, env, &ledger, &holder, &record);
    }
    if (!same_request (&record, TIM3_TX_KIND_REDEEM, ask->account, "", ask->amount))
        tim3_env_refuse (env, TIM3_ID_REUSED, &ask->tx, NULL);
    else if (record.status == TIM3_TX_STATUS_FAILED)
        answer_failure (env, &record);
    else
        answer_burned (self, env, &record);
}

/*  The collateral of a burn is out of the vault: the redemption is complete.  */
static void settle_burn (self_t *self, tim3_env_t *env, tim3_transaction_t *record)
{
    tim3_ledger_t ledger;
    if (record->status != TIM3_TX_STATUS_PENDING)
        return;
    read_ledger (self, env, &ledger);
    TIM3_ASSERT (tim3_amount_sub (ledger.releasing, record->amount, &ledger.releasing));
    TIM3_ASSERT (ledger.unsettled > 0);
    ledger.unsettled--;
    if (!TIM3_CANARY_IS (20))
        tim3_due_clear (self->due, env, &record->due_us);
    record->status = TIM3_TX_STATUS_COMPLETED;
    write_record (env, record);
    write_ledger (self, &ledger);
}

/*  Whether a release receipt belongs to a burn of this ledger; fills record.  */
static bool find_released (self_t *self, tim3_env_t *env, const tim3_id_t *tx, const char *account,
                           tim3_amount_t amount, const tim3_mac_t *receipt, tim3_transaction_t *record)
{
    tim3_claim_t release =
        claim (self, TIM3_RECEIPT_KIND_RELEASE, tx, account, amount, TIM3_RELEASE_REASON_BURN);
    if (!check_receipt (self, env, &release, receipt))
        return false;
    if (read_record (env, tx, record) && same_request (record, TIM3_TX_KIND_REDEEM, account, "", amount)
        && record->status != TIM3_TX_STATUS_FAILED)
        return true;
    tim3_env_refuse (env, TIM3_WRONG_STATE, tx, NULL);
    return false;
}

static void on_settle_burn (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_receipt_t *ask = body;
    tim3_transaction_t record;
    tim3_settled_t reply = {.tx = ask->tx};
    if (!find_released (self, env, &ask->tx, ask->account, ask->amount, &ask->receipt, &record))
        return;
    settle_burn (self, env, &record);
    tim3_env_reply (env, TIM3_MSG_SETTLED, &reply);
}

/*  The lock manager's answer to a push of the sweep.  */
static void on_released (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_release_t *answer = body;
    tim3_transaction_t record;
    if (find_released (self, env, &answer->tx, answer->account, answer->amount, &answer->receipt, &record))
        settle_burn (self, env, &record);
}

/*  ----------------------------------------------------------------------------- transfers between shards
    What one shard has sent the other credits once, or refuses for ever; either way its record is permanent, and with the receipt of it
    the first shard ends what it began.  */

/*  The receipts of a transfer name both accounts, as one text.  */
typedef struct {
    char text[2 * TIM3_ACCOUNT_MAX + 2];
} ends_t;

static ends_t ends_of (const char *sender, const char *to)
{
    ends_t ends;
    snprintf (ends.text, sizeof ends.text, "%s %s", TIM3_CANARY_IS (28) ? "" : to, sender);
    return ends;
}

static tim3_mac_t make_crossing_receipt (const self_t *self, tim3_receipt_kind_t kind, const tim3_transaction_t *record)
{
    ends_t ends = ends_of (record->account, record->to);
    tim3_claim_t made = claim (self, kind, &record->tx, ends.text, record->amount, record->code);
    return tim3_receipt_make (&self->settings->evidence_key, &made);
}

static tim3_crossing_t crossing_body (const self_t *self, tim3_receipt_kind_t kind, const tim3_transaction_t *record)
{
    tim3_crossing_t body = {.tx = record->tx, .amount = record->amount};
    strcpy (body.account, record->account);
    strcpy (body.to, record->to);
    body.receipt = make_crossing_receipt (self, kind, record);
    return body;
}

static void emit_crossed (tim3_env_t *env, tim3_type_t type, const tim3_transaction_t *record, const tim3_account_t *account,
                          tim3_amount_t supply)
{
    tim3_token_crossed_t event = {.tx = record->tx, .amount = record->amount, .balance = account->balance};
    bool own = strcmp (record->account, account->account) == 0;
    strcpy (event.account, account->account);
    strcpy (event.other, own ? record->to : record->account);
    event.supply = supply;
    tim3_env_emit (env, type, &event);
}

/*  ledger.crossing is the sum of what was sent and is not confirmed. It can be more than all tokens there are: when confirmations are late,
    the same tokens may have come back and been sent again. Nothing is decided by it, and it is kept modulo 2^128: once all is confirmed it
    is right again.  */
static void apply_sent (self_t *self, tim3_env_t *env, tim3_ledger_t *ledger, holder_t *holder, tim3_transaction_t *record)
{
    tim3_account_t *account = take_out (self, env, ledger, holder, record);
    ledger->crossing += record->amount;
    ledger->sent++;
    write_ledger (self, ledger);
    emit_crossed (env, TIM3_MSG_TOKEN_SENT, record, account, ledger->supply);
}

static void answer_sent (const self_t *self, tim3_env_t *env, const tim3_transaction_t *record)
{
    tim3_sent_t reply = {.tx = record->tx, .amount = record->amount, .balance = record->balance};
    strcpy (reply.account, record->account);
    strcpy (reply.to, record->to);
    reply.supply = record->supply;
    reply.time_us = record->time_us;
    reply.receipt = make_crossing_receipt (self, TIM3_RECEIPT_KIND_SENT, record);
    tim3_env_reply (env, TIM3_MSG_SENT, &reply);
}

/*  In the receiver's shard. Reads the ledger and the holder, for the caller too.  */
static verdict_t judge_receive (self_t *self, tim3_env_t *env, const tim3_transaction_t *record, tim3_ledger_t *ledger,
                                holder_t *holder)
{
    read_ledger (self, env, ledger);
    read_holder (env, record->to, holder);
    verdict_t verdict = check_open (ledger, holder, NULL);
    /* a balance is never more than the supply */
    if (!verdict.code && record->amount > TIM3_AMOUNT_MAX - ledger->supply)
        verdict = (verdict_t){TIM3_AMOUNT_OVERFLOW, 0, 0};
    return verdict;
}

static void apply_received (self_t *self, tim3_env_t *env, tim3_ledger_t *ledger, holder_t *holder,
                            tim3_transaction_t *record)
{
    tim3_account_t *account = take_account (holder, ledger);
    TIM3_ASSERT (tim3_amount_add (account->balance, record->amount, &account->balance));
    TIM3_ASSERT (tim3_amount_add (ledger->supply, record->amount, &ledger->supply));
    ledger->transfers++;
    record->to_balance = account->balance;
    record->supply = ledger->supply;
    add_entry (env, account, &record->tx, &record->to_entry, &record->to_previous);
    write_record (env, record);
    write_ledger (self, ledger);
    emit_crossed (env, TIM3_MSG_TOKEN_RECEIVED, record, account, ledger->supply);
}

/*  Credits, or records a refusal for ever. There is no event of a refusal here: the sender's shard emits it when it gives back.  */
static void decide_receive (self_t *self, tim3_env_t *env, tim3_transaction_t *record)
{
    tim3_ledger_t ledger;
    holder_t holder;
    verdict_t verdict = judge_receive (self, env, record, &ledger, &holder);
    if (!verdict.code) {
        apply_received (self, env, &ledger, &holder, record);
        return;
    }
    record->status = TIM3_TX_STATUS_FAILED;
    record->code = verdict.code;
    write_record (env, record);
}

static void answer_not_received (const self_t *self, tim3_env_t *env, const tim3_transaction_t *crossing, uint64_t code)
{
    tim3_not_received_t reply = {.tx = crossing->tx, .amount = crossing->amount, .code = code};
    tim3_transaction_t refused = *crossing;
    refused.code = code;
    strcpy (reply.account, crossing->account);
    strcpy (reply.to, crossing->to);
    reply.receipt = make_crossing_receipt (self, TIM3_RECEIPT_KIND_NOT_RECEIVED, &refused);
    tim3_env_reply (env, TIM3_MSG_NOT_RECEIVED, &reply);
}

/*  record is what the tx was used for in this shard: the crossing, or something else, and then the crossing is refused for ever.  */
static void answer_receive (const self_t *self, tim3_env_t *env, const tim3_transaction_t *crossing,
                            const tim3_transaction_t *record)
{
    bool same = same_request (record, TIM3_TX_KIND_TRANSFER, crossing->account, crossing->to, crossing->amount);
    if (!same)
        answer_not_received (self, env, crossing, TIM3_ID_REUSED);
    else if (record->status == TIM3_TX_STATUS_FAILED)
        answer_not_received (self, env, crossing, record->code);
    else {
        tim3_crossing_t reply = crossing_body (self, TIM3_RECEIPT_KIND_RECEIVED, record);
        tim3_env_reply (env, TIM3_MSG_RECEIVED, &reply);
    }
}

/*  Refuses what no shard can have sent to this one.  */
static bool check_crossing (const self_t *self, tim3_env_t *env, const tim3_crossing_t *ask)
{
    if (!tim3_rule_account (env, &ask->tx, ask->account) || !tim3_rule_account (env, &ask->tx, ask->to)
        || !tim3_rule_amount (env, &ask->tx, ask->amount) || !tim3_rule_shard (env, self->settings, &ask->tx, ask->to))
        return false;
    if (!is_own (self, ask->account))
        return true;
    tim3_env_refuse (env, TIM3_WRONG_SHARD, &ask->tx, "%s belongs to this shard too", ask->account);
    return false;
}

static void on_receive (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_crossing_t *ask = body;
    ends_t ends = ends_of (ask->account, ask->to);
    tim3_claim_t sent = claim (self, TIM3_RECEIPT_KIND_SENT, &ask->tx, ends.text, ask->amount, 0);
    tim3_transaction_t record;
    tim3_ledger_t ledger;
    holder_t holder;

    if (!check_crossing (self, env, ask) || !check_receipt (self, env, &sent, &ask->receipt))
        return;
    tim3_transaction_t crossing = new_record (env, TIM3_TX_KIND_TRANSFER, &ask->tx, ask->account, ask->to, ask->amount);
    if (!read_record (env, &ask->tx, &record) || TIM3_CANARY_IS (26)) {
        record = crossing;
        decide_receive (self, env, &record);
    }
    if (TIM3_CANARY_IS (27) && judge_receive (self, env, &record, &ledger, &holder).code) {
        answer_not_received (self, env, &crossing, TIM3_ACCOUNT_FROZEN);
        return;
    }
    answer_receive (self, env, &crossing, &record);
}

/*  Finds a transfer that this shard has sent and that is not final. False after answering: it has ended that way already, or the receipt
    does not fit it.  */
static bool find_sent (tim3_env_t *env, const tim3_id_t *tx, const char *account, const char *to, tim3_amount_t amount,
                       tim3_tx_status_t end, tim3_transaction_t *record)
{
    bool own = read_record (env, tx, record) && same_request (record, TIM3_TX_KIND_TRANSFER, account, to, amount)
               && record->entry > 0;
    if (own && record->status == TIM3_TX_STATUS_PENDING)
        return true;
    tim3_settled_t reply = {.tx = *tx};
    if (own && record->status == end)
        tim3_env_reply (env, TIM3_MSG_SETTLED, &reply);
    else
        tim3_env_refuse (env, TIM3_WRONG_STATE, tx, NULL);
    return false;
}

/*  The transfer has ended: writes its record and the ledger, and answers.  */
static void end_sent (self_t *self, tim3_env_t *env, tim3_transaction_t *record, tim3_ledger_t *ledger)
{
    tim3_settled_t reply = {.tx = record->tx};
    ledger->crossing -= record->amount;
    TIM3_ASSERT (ledger->unsettled > 0);
    ledger->unsettled--;
    tim3_due_clear (self->due, env, &record->due_us);
    write_record (env, record);
    write_ledger (self, ledger);
    tim3_env_reply (env, TIM3_MSG_SETTLED, &reply);
}

/*  From a coordinator, or as the other shard's answer to a push of the sweep; so is on_return_sent.  */
static void on_settle_sent (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_crossing_t *ask = body;
    ends_t ends = ends_of (ask->account, ask->to);
    tim3_claim_t arrived = claim (self, TIM3_RECEIPT_KIND_RECEIVED, &ask->tx, ends.text, ask->amount, 0);
    tim3_transaction_t record;
    tim3_ledger_t ledger;
    if (!check_receipt (self, env, &arrived, &ask->receipt)
        || !find_sent (env, &ask->tx, ask->account, ask->to, ask->amount, TIM3_TX_STATUS_COMPLETED, &record))
        return;
    read_ledger (self, env, &ledger);
    record.status = TIM3_TX_STATUS_COMPLETED;
    end_sent (self, env, &record, &ledger);
}

/*  Puts the tokens back. That is an entry of its own in the sender's history, for which the record's to_ fields are used: there is no
    receiver who would need them.  */
static void give_back (tim3_env_t *env, tim3_transaction_t *sent, tim3_ledger_t *ledger)
{
    tim3_account_t account;
    read_account (env, sent->account, &account);
    account.balance += sent->amount; /* no more than the supply, for which there is room */
    ledger->supply += sent->amount;
    ledger->returned++;
    sent->to_balance = account.balance;
    add_entry (env, &account, &sent->tx, &sent->to_entry, &sent->to_previous);
    emit_crossed (env, TIM3_MSG_TOKEN_RETURNED, sent, &account, ledger->supply);
}

static void on_return_sent (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_not_received_t *ask = body;
    ends_t ends = ends_of (ask->account, ask->to);
    tim3_claim_t refused =
        claim (self, TIM3_RECEIPT_KIND_NOT_RECEIVED, &ask->tx, ends.text, ask->amount, ask->code);
    tim3_transaction_t record;
    tim3_ledger_t ledger;
    if (!check_receipt (self, env, &refused, &ask->receipt)
        || !find_sent (env, &ask->tx, ask->account, ask->to, ask->amount, TIM3_TX_STATUS_FAILED, &record))
        return;
    read_ledger (self, env, &ledger);
    if (record.amount > TIM3_AMOUNT_MAX - ledger.supply) {
        tim3_env_refuse (env, TIM3_NOT_READY, &ask->tx, "there is no room to give it back");
        return;
    }
    verdict_t verdict = {(tim3_result_t) ask->code, 0, 0};
    give_back (env, &record, &ledger);
    write_failure (self, env, &record, &ledger, &verdict);
    end_sent (self, env, &record, &ledger);
}

/*  -------------------------------------------------------------------------------------------- transfer  */

/*  Who sends and who receives, in this order.  */
typedef struct {
    holder_t from;
    holder_t to;
} sides_t;

/*  leaves: to another shard, which will judge the receiver itself.  */
static verdict_t judge_transfer (const tim3_ledger_t *ledger, const sides_t *sides, bool leaves, tim3_amount_t amount)
{
    verdict_t verdict = check_open (ledger, &sides->from, leaves ? NULL : &sides->to);
    return verdict.code ? verdict : check_funds (&sides->from, amount);
}

static void emit_transferred (tim3_env_t *env, const tim3_transaction_t *record)
{
    tim3_token_transferred_t event = {.tx = record->tx, .amount = record->amount};
    strcpy (event.account, record->account);
    strcpy (event.to, record->to);
    event.balance = record->balance;
    event.to_balance = record->to_balance;
    event.supply = record->supply;
    tim3_env_emit (env, TIM3_MSG_TOKEN_TRANSFERRED, &event);
}

static void apply_transfer (self_t *self, tim3_env_t *env, tim3_ledger_t *ledger, sides_t *sides,
                            tim3_transaction_t *record)
{
    tim3_account_t *from = take_account (&sides->from, ledger);
    tim3_account_t *to = take_account (&sides->to, ledger);

    TIM3_ASSERT (tim3_amount_sub (from->balance, record->amount, &from->balance));
    /* both together are never more than the supply */
    TIM3_ASSERT (tim3_amount_add (to->balance, record->amount, &to->balance));
    ledger->transfers++;
    record->balance = from->balance;
    record->to_balance = to->balance;
    record->supply = ledger->supply;
    add_entry (env, from, &record->tx, &record->entry, &record->previous);
    add_entry (env, to, &record->tx, &record->to_entry, &record->to_previous);
    write_record (env, record);
    write_ledger (self, ledger);
    if (!TIM3_CANARY_IS (8))
        emit_transferred (env, record);
}

static void answer_transferred (tim3_env_t *env, const tim3_transaction_t *record)
{
    tim3_transferred_t reply = {.tx = record->tx, .amount = record->amount, .balance = record->balance};
    strcpy (reply.account, record->account);
    strcpy (reply.to, record->to);
    reply.to_balance = record->to_balance;
    reply.supply = record->supply;
    reply.time_us = record->time_us;
    if (TIM3_CANARY_IS (8))
        emit_transferred (env, record);
    tim3_env_reply (env, TIM3_MSG_TRANSFERRED, &reply);
}

static void on_transfer (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_token_transfer_t *ask = body;
    tim3_transaction_t record;
    tim3_ledger_t ledger;
    sides_t sides;

    if (!check_fields (self, env, &ask->tx, ask->account, ask->amount)
        || !tim3_rule_account (env, &ask->tx, ask->to))
        return;
    if (strcmp (ask->account, ask->to) == 0) {
        tim3_env_refuse (env, TIM3_SAME_ACCOUNT, &ask->tx, NULL);
        return;
    }
    if (!read_record (env, &ask->tx, &record)) {
        bool leaves = !is_own (self, ask->to);
        read_ledger (self, env, &ledger);
        record = new_record (env, TIM3_TX_KIND_TRANSFER, &ask->tx, ask->account, ask->to, ask->amount);
        read_holder (env, ask->account, &sides.from);
        if (!leaves)
            read_holder (env, ask->to, &sides.to);
        verdict_t verdict = judge_transfer (&ledger, &sides, leaves, ask->amount);
        if (verdict.code && TIM3_CANARY_IS (17)) {
            tim3_rule_refuse (env, verdict.code, &ask->tx, verdict.available, verdict.needed);
            return;
        }
        if (verdict.code)
            write_failure (self, env, &record, &ledger, &verdict);
        else if (leaves)
            apply_sent (self, env, &ledger, &sides.from, &record);
        else
            apply_transfer (self, env, &ledger, &sides, &record);
    }
    if (!same_request (&record, TIM3_TX_KIND_TRANSFER, ask->account, ask->to, ask->amount))
        tim3_env_refuse (env, TIM3_ID_REUSED, &ask->tx, NULL);
    else if (record.status == TIM3_TX_STATUS_FAILED)
        answer_failure (env, &record);
    else if (record.status == TIM3_TX_STATUS_PENDING)
        answer_sent (self, env, &record);
    else
        answer_transferred (env, &record);
}

/*  -------------------------------------------------------------------------------------------- controls  */

static bool check_account (const self_t *self, tim3_env_t *env, const char *account)
{
    return tim3_rule_account (env, NULL, account) && tim3_rule_shard (env, self->settings, NULL, account);
}

/*  A client that forgets the amount sends 0, which would stop all mints.  */
static bool check_cap (tim3_env_t *env, tim3_amount_t cap)
{
    if (cap > 0)
        return true;
    tim3_env_refuse (env, TIM3_INVALID_FIELD, NULL,
                     "cap needs an amount above 0; pause stops all, and a cap of 1 minor unit as good as all mints");
    return false;
}

static void set_frozen (tim3_env_t *env, tim3_ledger_t *ledger, tim3_transaction_t *record)
{
    holder_t holder;
    read_holder (env, record->account, &holder);
    take_account (&holder, ledger)->frozen = record->control == TIM3_CONTROL_FREEZE;
    write_account (env, &holder.account);
    record->balance = holder.account.balance;
}

static void apply_control (self_t *self, tim3_env_t *env, tim3_ledger_t *ledger, tim3_transaction_t *record)
{
    tim3_token_controlled_t event = {.tx = record->tx, .control = record->control, .amount = record->amount};
    switch (record->control) {
    case TIM3_CONTROL_PAUSE:
    case TIM3_CONTROL_UNPAUSE:
        ledger->paused = record->control == TIM3_CONTROL_PAUSE;
        break;
    case TIM3_CONTROL_FREEZE:
    case TIM3_CONTROL_UNFREEZE:
        set_frozen (env, ledger, record);
        break;
    case TIM3_CONTROL_CAP:
        ledger->cap = record->amount;
        break;
    default:
        tim3_panic (__FILE__, __LINE__, "a control that is not in the table");
    }
    record->supply = ledger->supply;
    write_record (env, record);
    write_ledger (self, ledger);
    strcpy (event.account, record->account);
    tim3_env_emit (env, TIM3_MSG_TOKEN_CONTROLLED, &event);
}

static bool same_control (const tim3_transaction_t *a, const tim3_transaction_t *b)
{
    return a->kind == b->kind && a->control == b->control && a->amount == b->amount
           && strcmp (a->account, b->account) == 0;
}

static void on_control (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_control_t *ask = body;
    bool freezing = ask->control == TIM3_CONTROL_FREEZE || ask->control == TIM3_CONTROL_UNFREEZE;
    tim3_transaction_t record;
    tim3_ledger_t ledger;

    if (!tim3_rule_request_id (env, ask->request_id)
        || (freezing && !check_account (self, env, ask->account))
        || (ask->control == TIM3_CONTROL_CAP && !check_cap (env, ask->amount)))
        return;
    tim3_id_t tx = tim3_tx_id (self->settings->asset, CONTROL_ACCOUNT, ask->request_id);
    tim3_transaction_t control = new_record (env, TIM3_TX_KIND_CONTROL, &tx, freezing ? ask->account : "", "",
                                             ask->control == TIM3_CONTROL_CAP ? ask->amount : 0);
    control.control = ask->control;
    if (!read_record (env, &tx, &record)) {
        read_ledger (self, env, &ledger);
        record = control;
        apply_control (self, env, &ledger, &record);
    }
    if (same_control (&record, &control))
        tim3_env_reply (env, TIM3_MSG_TRANSACTION, &record);
    else
        tim3_env_refuse (env, TIM3_ID_REUSED, &tx, NULL);
}

/*  --------------------------------------------------------------------------------------------- queries  */

static void on_get_balance (void *state, tim3_env_t *env, const void *body)
{
    const self_t *self = state;
    const tim3_account_only_t *ask = body;
    tim3_account_t account;
    if (!check_account (self, env, ask->account))
        return;
    read_account (env, ask->account, &account);
    tim3_env_reply (env, TIM3_MSG_BALANCE, &account);
}

static void on_list_balances (void *state, tim3_env_t *env, const void *body)
{
    tim3_balances_t reply = {0};
    (void) state;
    if (tim3_page_whole (env, body, TIM3_TABLE_ACCOUNT, &reply.items, reply.cursor))
        tim3_env_reply (env, TIM3_MSG_BALANCES, &reply);
}

static void on_get_supply (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    tim3_ledger_t ledger;
    (void) body;
    read_ledger (self, env, &ledger);
    ledger.event_seq = tim3_env_event_seq (env);
    tim3_env_reply (env, TIM3_MSG_SUPPLY, &ledger);
}

/*  A history is read from the newest entry back, from record to record.  */
typedef struct {
    tim3_page_t page;
    const char *account;
    tim3_id_t next;  /* zeros: there is none */
    uint64_t number; /* of that entry: a record may be in a history twice, when what was sent came back */
} history_t;

/*  A place in a history, for cursors.  */
#define PLACE_SIZE (sizeof (tim3_id_t) + 8)

static tim3_key_t place_key (const history_t *history)
{
    tim3_key_t key = tim3_key_id (&history->next);
    tim3_key_add_u64 (&key, history->number);
    return key;
}

/*  Fills the entry of that number in the account's history from its record; false when the record has no such entry.  */
static bool as_entry (const tim3_transaction_t *record, const char *account, uint64_t number, tim3_entry_t *entry)
{
    static const uint8_t kinds[] = {[TIM3_TX_KIND_MINT] = TIM3_ENTRY_KIND_MINT,
                                    [TIM3_TX_KIND_REDEEM] = TIM3_ENTRY_KIND_REDEEM,
                                    [TIM3_TX_KIND_TRANSFER] = TIM3_ENTRY_KIND_SENT,
                                    [TIM3_TX_KIND_CONTROL] = 0};
    bool own = strcmp (record->account, account) == 0;
    if (!own && strcmp (record->to, account) != 0)
        return false;
    bool back = own && record->status == TIM3_TX_STATUS_FAILED && record->to_entry == number;
    *entry = (tim3_entry_t){.number = number, .tx = record->tx, .amount = record->amount, .time_us = record->time_us};
    entry->kind = back ? TIM3_ENTRY_KIND_RETURNED : own ? kinds[record->kind] : TIM3_ENTRY_KIND_RECEIVED;
    entry->balance = own && !back ? record->balance : record->to_balance;
    strcpy (entry->other, own ? record->to : record->account);
    return number > 0 && number == (own && !back ? record->entry : record->to_entry);
}

/*  Reads the next entry, and steps to the one behind it.  */
static bool read_entry (tim3_env_t *env, history_t *history, tim3_transaction_t *record, tim3_entry_t *entry)
{
    tim3_id_t tx = history->next;
    if (tim3_id_is_zero (&tx) || !read_record (env, &tx, record)
        || !as_entry (record, history->account, history->number, entry))
        return false;
    bool to = entry->kind == TIM3_ENTRY_KIND_RECEIVED || entry->kind == TIM3_ENTRY_KIND_RETURNED;
    history->next = to ? record->to_previous : record->previous;
    history->number--;
    return true;
}

/*  Begins with the newest, or behind the cursor, which is the place of an entry. False when refused.  */
static bool begin_history (tim3_env_t *env, history_t *history, const char *account, const char *cursor,
                           uint64_t limit, size_t item_size)
{
    const tim3_key_t *at = tim3_page_key (&history->page);
    tim3_transaction_t record;
    tim3_account_t newest;
    tim3_entry_t entry;
    history->account = account;
    if (!tim3_page_begin (&history->page, env, cursor, limit, TIM3_TABLE_RECORD, NULL, item_size))
        return false;
    if (at->size == 0) {
        read_account (env, account, &newest);
        history->next = newest.last;
        history->number = newest.entries;
        return true;
    }
    if (at->size == PLACE_SIZE) {
        history->next = tim3_key_read_id (at, 0);
        history->number = tim3_key_read_u64 (at, sizeof history->next);
        if (read_entry (env, history, &record, &entry))
            return true;
    }
    tim3_page_refuse (env);
    return false;
}

static bool next_entry (tim3_env_t *env, history_t *history, tim3_transaction_t *record, tim3_entry_t *entry)
{
    tim3_key_t place = place_key (history);
    if (read_entry (env, history, record, entry))
        return tim3_page_step (&history->page, &place);
    tim3_page_finish (&history->page);
    return false;
}

static void on_list_history (void *state, tim3_env_t *env, const void *body)
{
    const tim3_list_history_t *ask = body;
    tim3_history_t reply = {0};
    tim3_transaction_t record;
    history_t history;
    tim3_entry_t entry;
    if (!check_account (state, env, ask->account)
        || !begin_history (env, &history, ask->account, ask->cursor, ask->limit, sizeof entry))
        return;
    while (next_entry (env, &history, &record, &entry))
        tim3_page_add (&history.page, &entry);
    tim3_page_end (&history.page, &reply.items, reply.cursor);
    tim3_env_reply (env, TIM3_MSG_HISTORY, &reply);
}

static void on_get_record (void *state, tim3_env_t *env, const void *body)
{
    const tim3_tx_only_t *ask = body;
    tim3_transaction_t record;
    (void) state;
    if (read_record (env, &ask->tx, &record))
        tim3_env_reply (env, TIM3_MSG_TRANSACTION, &record);
    else
        tim3_env_refuse (env, TIM3_NOT_FOUND, &ask->tx, NULL);
}

static void answer_records (tim3_env_t *env, tim3_page_t *page, tim3_transactions_t *reply, char mark)
{
    char cursor[TIM3_CURSOR_MAX + 1];
    tim3_page_end (page, &reply->items, cursor);
    if (cursor[0] && mark)
        snprintf (reply->cursor, sizeof reply->cursor, "%c%.*s", mark, TIM3_CURSOR_MAX - 1, cursor);
    else if (cursor[0])
        strcpy (reply->cursor, cursor);
    tim3_env_reply (env, TIM3_MSG_TRANSACTIONS, reply);
}

static void list_all (tim3_env_t *env, const tim3_list_transactions_t *ask)
{
    tim3_transactions_t reply = {0};
    tim3_transaction_t record;
    tim3_page_t page;
    if (!tim3_page_begin (&page, env, ask->cursor, ask->limit, TIM3_TABLE_RECORD, NULL, sizeof record))
        return;
    while (tim3_page_next (&page, &record))
        if (ask->status == 0 || record.status == ask->status)
            tim3_page_add (&page, &record);
    answer_records (env, &page, &reply, '\0');
}

static void list_moves (tim3_env_t *env, const tim3_list_transactions_t *ask, const char *cursor)
{
    tim3_transactions_t reply = {0};
    tim3_transaction_t record;
    history_t history;
    tim3_entry_t entry;
    if (!begin_history (env, &history, ask->account, cursor, ask->limit, sizeof record))
        return;
    while (next_entry (env, &history, &record, &entry))
        if ((ask->status == 0 || record.status == ask->status) && entry.kind != TIM3_ENTRY_KIND_RETURNED)
            tim3_page_add (&history.page, &record);
    if (ask->status == 0)
        strcpy (reply.cursor, "f"); /* the refusals follow, unless there is more here */
    answer_records (env, &history.page, &reply, 'h');
}

static void list_failed (tim3_env_t *env, const tim3_list_transactions_t *ask, const char *cursor)
{
    tim3_key_t prefix = tim3_key_text (ask->account);
    tim3_transactions_t reply = {0};
    tim3_transaction_t record;
    tim3_mark_t mark;
    tim3_page_t page;
    if (!tim3_page_begin (&page, env, cursor, ask->limit, TIM3_TABLE_FAILED_BY_ACCOUNT, &prefix, sizeof record))
        return;
    while (tim3_page_next (&page, &mark)) {
        tim3_id_t tx = tim3_key_read_id (tim3_page_key (&page), prefix.size);
        /* one that came back has an entry in the history, where it is listed too */
        if (read_record (env, &tx, &record) && (ask->status == 0 ? record.entry == 0 : record.status == ask->status))
            tim3_page_add (&page, &record);
    }
    answer_records (env, &page, &reply, 'f');
}

/*  Records of an account come from its history, then from its refusals: 'h' or 'f' in front of the cursor.  */
static void on_list_records (void *state, tim3_env_t *env, const void *body)
{
    const self_t *self = state;
    const tim3_list_transactions_t *ask = body;
    bool failed = ask->cursor[0] ? ask->cursor[0] == 'f' : ask->status == TIM3_TX_STATUS_FAILED;
    const char *cursor = ask->cursor[0] ? ask->cursor + 1 : ask->cursor;
    if (ask->account[0] == '\0')
        list_all (env, ask);
    else if (!tim3_rule_shard (env, self->settings, NULL, ask->account) || !tim3_page_mark (env, ask->cursor, "hf"))
        return;
    else if (failed)
        list_failed (env, ask, cursor);
    else
        list_moves (env, ask, cursor);
}

/*  ------------------------------------------------------------------------------------------------ sweep  */

/*  Pushes a burn whose release is not confirmed to the lock manager.  */
static void push_burn (self_t *self, tim3_env_t *env, const tim3_transaction_t *record)
{
    char address[TIM3_ADDRESS_MAX + 1];
    tim3_release_t release = {.reason = TIM3_RELEASE_REASON_BURN, .tx = record->tx, .amount = record->amount};
    strcpy (release.account, record->account);
    release.receipt = make_receipt (self, TIM3_RECEIPT_KIND_BURN, record);
    tim3_address_format (TIM3_ROLE_LOCK_MANAGER, self->settings->asset,
                         (int) tim3_account_shard (record->account, self->settings->shards), address);
    tim3_env_send (env, address, TIM3_MSG_RELEASE, &release);
    self->swept++;
}

/*  Pushes a transfer whose arrival is not confirmed to the receiver's shard.  */
static void push_sent (self_t *self, tim3_env_t *env, const tim3_transaction_t *record)
{
    char address[TIM3_ADDRESS_MAX + 1];
    tim3_crossing_t body = crossing_body (self, TIM3_RECEIPT_KIND_SENT, record);
    tim3_address_format (TIM3_ROLE_TOKEN_MANAGER, self->settings->asset,
                         (int) tim3_account_shard (record->to, self->settings->shards), address);
    tim3_env_send (env, address, TIM3_MSG_RECEIVE, &body);
    self->swept++;
}

static bool push (void *state, tim3_env_t *env, const uint8_t *tail, uint64_t due_us)
{
    self_t *self = state;
    tim3_transaction_t record;
    tim3_id_t tx;
    memcpy (tx.bytes, tail, sizeof tx.bytes);
    TIM3_ASSERT (read_record (env, &tx, &record) || tim3_store_error (tim3_env_store (env)));
    if (record.status != TIM3_TX_STATUS_PENDING || record.due_us != due_us)
        return false;
    record.attempts++;
    set_due (self, env, &record);
    write_record (env, &record);
    if (record.kind == TIM3_TX_KIND_TRANSFER)
        push_sent (self, env, &record);
    else
        push_burn (self, env, &record);
    return true;
}

static void tick (void *state, tim3_env_t *env)
{
    self_t *self = state;
    tim3_due_sweep (self->due, env, push, self);
}

static void health (void *state, tim3_env_t *env, tim3_report_t *report)
{
    self_t *self = state;
    tim3_ledger_t ledger;
    read_ledger (self, env, &ledger);
    if (ledger.paused)
        tim3_report_reason (report, "paused", 5, "the asset is paused");
    if (ledger.unsettled > 10000)
        tim3_report_reason (report, "unsettled", 10, "%llu redemptions and transfers to other shards are not final",
                            (unsigned long long) ledger.unsettled);
}

static void stats (void *state, tim3_env_t *env, tim3_report_t *report)
{
    self_t *self = state;
    tim3_ledger_t ledger;
    read_ledger (self, env, &ledger);
    tim3_report_metric (report, TIM3_METRIC_supply_units, ledger.supply);
    tim3_report_metric (report, TIM3_METRIC_mints, ledger.mints);
    tim3_report_metric (report, TIM3_METRIC_burns, ledger.burns);
    tim3_report_metric (report, TIM3_METRIC_transfers, ledger.transfers);
    tim3_report_metric (report, TIM3_METRIC_sent, ledger.sent);
    tim3_report_metric (report, TIM3_METRIC_returned, ledger.returned);
    tim3_report_metric (report, TIM3_METRIC_crossing_units, ledger.crossing);
    tim3_report_metric (report, TIM3_METRIC_failed, ledger.refused);
    tim3_report_metric (report, TIM3_METRIC_unsettled, ledger.unsettled);
    tim3_report_metric (report, TIM3_METRIC_swept, self->swept);
    tim3_report_metric (report, TIM3_METRIC_bad_receipts, self->bad_receipts);
}

static void *new (const tim3_settings_t *settings)
{
    self_t *self = tim3_alloc (sizeof *self);
    self->settings = settings;
    self->due = tim3_due_new (settings, TIM3_TABLE_BURN_DUE, TIM3_TABLE_BURN_DUE_LIST, sizeof (tim3_id_t));
    return self;
}

static void destroy (void **state)
{
    self_t *self = *state;
    tim3_due_destroy (&self->due);
    free (self);
    *state = NULL;
}

static const tim3_handler_t s_handlers[] = {
    {TIM3_MSG_TOKEN_MINT, on_mint},
    {TIM3_MSG_RESOLVE, on_resolve},
    {TIM3_MSG_RESOLVE_REFUSED, on_resolve_refused},
    {TIM3_MSG_TOKEN_BURN, on_burn},
    {TIM3_MSG_SETTLE_BURN, on_settle_burn},
    {TIM3_MSG_RELEASED, on_released},
    {TIM3_MSG_TOKEN_TRANSFER, on_transfer},
    {TIM3_MSG_RECEIVE, on_receive},
    {TIM3_MSG_RECEIVED, on_settle_sent},
    {TIM3_MSG_SETTLE_SENT, on_settle_sent},
    {TIM3_MSG_NOT_RECEIVED, on_return_sent},
    {TIM3_MSG_RETURN_SENT, on_return_sent},
    {TIM3_MSG_CONTROL, on_control},
    {TIM3_MSG_GET_BALANCE, on_get_balance},
    {TIM3_MSG_LIST_BALANCES, on_list_balances},
    {TIM3_MSG_GET_SUPPLY, on_get_supply},
    {TIM3_MSG_LIST_HISTORY, on_list_history},
    {TIM3_MSG_GET_RECORD, on_get_record},
    {TIM3_MSG_LIST_RECORDS, on_list_records},
    {0, NULL}};

const tim3_core_t tim3_token_manager_core = {.role = TIM3_ROLE_TOKEN_MANAGER,
                                             .writes_from_store_alone = true,
                                             .capabilities = "tokens controls",
                                             .new = new,
                                             .destroy = destroy,
                                             .handlers = s_handlers,
                                             .tick = tick,
                                             .end_batch = end_batch,
                                             .health = health,
                                             .stats = stats};
