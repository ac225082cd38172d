/*  core.c - the collateral token, for development: a full ledger that happens to be worth nothing.

    Accounts hold collateral; every asset has a vault. Only who holds a vault's key can move collateral into or out
    of it: each such request carries a receipt under that key, and so does each answer. As in the other
    ledgers a tx is decided once, refusals included, and asking again returns what was decided.

    Order of checks: field rules, receipt, known tx (same fields: the recorded outcome; other fields: id_reused),
    then funds. Always: sum of holdings + sum of vaults = issued.
*/
#include "core.h"
#include "agent/page.h"
#include "agent/rules.h"
#include "base/canary.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const tim3_settings_t *settings;
    /* of the batch at hand: what nearly every message changes is read once and written once */
    tim3_collateral_totals_t totals;
    bool totals_read;
    bool totals_changed;
    tim3_vault_t vault; /* the latest one; others wait in the store. No name: none */
    bool vault_changed;
    uint64_t bad_receipts;
    uint64_t conflicts;
} self_t;

/*  ---------------------------------------------------------------------------------------------- the store  */

/*  Under which key an operation is recorded, so that it is done once. Faucet and transfers share their tx, for they share the caller's
    request ids. The operations of vaults are apart from these, and from each other by kind (a lock and its undoing have the same tx),
    by vault (other assets may use the same tx), and by account: a coordinator that lies can hand one tx to several shards, and an
    account belongs to one.  */
static void set_record_key (tim3_key_t *key, unsigned op, const tim3_id_t *tx, const char *vault,
                            const char *account)
{
    key->size = 0;
    tim3_key_add_u8 (key, op == TIM3_COLLATERAL_OP_TRANSFER ? TIM3_COLLATERAL_OP_FAUCET : (uint8_t) op);
    tim3_key_add_id (key, tx);
    tim3_key_add_text (key, vault);
    tim3_key_add_text (key, account);
}

static bool read_record (tim3_env_t *env, const tim3_id_t *tx, const tim3_collateral_record_t *asked,
                         tim3_collateral_record_t *record)
{
    tim3_key_t key;
    set_record_key (&key, asked->op, tx, asked->vault, asked->account);
    return tim3_store_read (tim3_env_store (env), TIM3_TABLE_COLLATERAL_RECORD, &key, record);
}

static tim3_collateral_totals_t *read_totals (self_t *self, tim3_env_t *env)
{
    if (!self->totals_read) {
        tim3_key_t key = tim3_key_text ("totals");
        tim3_store_read (tim3_env_store (env), TIM3_TABLE_COLLATERAL_TOTALS, &key, &self->totals);
    }
    self->totals_read = true;
    return &self->totals;
}

/*  The totals, to be changed.  */
static tim3_collateral_totals_t *change_totals (self_t *self, tim3_env_t *env)
{
    self->totals_changed = true;
    return read_totals (self, env);
}

static void write_totals (self_t *self, tim3_env_t *env)
{
    tim3_key_t key = tim3_key_text ("totals");
    if (self->totals_changed)
        tim3_store_write (tim3_env_store (env), TIM3_TABLE_COLLATERAL_TOTALS, &key, &self->totals);
    self->totals_changed = false;
    self->totals_read = false;
}

static void write_vault (self_t *self, tim3_env_t *env)
{
    tim3_key_t key = tim3_key_text (self->vault.vault);
    if (self->vault_changed)
        tim3_store_write (tim3_env_store (env), TIM3_TABLE_VAULT, &key, &self->vault);
    self->vault_changed = false;
    self->vault.vault[0] = '\0';
}

static const tim3_vault_t *read_vault (self_t *self, tim3_env_t *env, const char *name)
{
    if (strcmp (self->vault.vault, name) == 0)
        return &self->vault;
    write_vault (self, env);
    tim3_key_t key = tim3_key_text (name);
    if (!tim3_store_read (tim3_env_store (env), TIM3_TABLE_VAULT, &key, &self->vault))
        strcpy (self->vault.vault, name);
    return &self->vault;
}

/*  A vault, for the caller to change at once: the next vault that is read takes its place in memory.  */
static tim3_vault_t *change_vault (self_t *self, tim3_env_t *env, const char *name)
{
    read_vault (self, env, name);
    self->vault_changed = true;
    return &self->vault;
}

static void end_batch (void *state, tim3_env_t *env)
{
    self_t *self = state;
    write_totals (self, env);
    write_vault (self, env);
}

/*  Records what was decided for ever.  */
static void write_record (self_t *self, tim3_env_t *env, const tim3_id_t *tx,
                          const tim3_collateral_record_t *record)
{
    tim3_key_t key;
    set_record_key (&key, record->op, tx, record->vault, record->account);
    tim3_store_write (tim3_env_store (env), TIM3_TABLE_COLLATERAL_RECORD, &key, record);
    change_totals (self, env)->operations++;
}

static bool read_holding (tim3_env_t *env, const char *account, tim3_holding_t *holding)
{
    tim3_key_t key;
    tim3_key_set_text (&key, account);
    bool found = tim3_store_read (tim3_env_store (env), TIM3_TABLE_HOLDING, &key, holding);
    if (!found)
        strcpy (holding->account, account);
    return found;
}

/*  Checking a receipt takes a while: meanwhile the rows that will be read next come into the processor's cache.  */
static void fetch (tim3_env_t *env, unsigned op, const tim3_vault_move_t *ask)
{
    tim3_key_t key;
    set_record_key (&key, op, &ask->tx, ask->vault, ask->account);
    tim3_store_fetch (tim3_env_store (env), TIM3_TABLE_COLLATERAL_RECORD, &key);
    tim3_key_set_text (&key, ask->account);
    tim3_store_fetch (tim3_env_store (env), TIM3_TABLE_HOLDING, &key);
}

/*  Adds to an account and returns what it then holds. Cannot overflow: the sum of all is at most issued.  */
static tim3_amount_t credit (self_t *self, tim3_env_t *env, const char *account, tim3_amount_t amount)
{
    tim3_key_t key;
    tim3_key_set_text (&key, account);
    tim3_holding_t holding;
    if (!read_holding (env, account, &holding))
        change_totals (self, env)->accounts++;
    TIM3_ASSERT (tim3_amount_add (holding.available, amount, &holding.available));
    tim3_store_write (tim3_env_store (env), TIM3_TABLE_HOLDING, &key, &holding);
    return holding.available;
}

/*  Takes from an account if it holds as much; else fills the record's refusal and returns false.  */
static bool debit (tim3_env_t *env, tim3_collateral_record_t *record)
{
    tim3_key_t key;
    tim3_key_set_text (&key, record->account);
    tim3_holding_t holding;
    read_holding (env, record->account, &holding);
    record->balance = holding.available;
    if (holding.available < record->amount) {
        record->code = TIM3_INSUFFICIENT_FUNDS;
        record->available = holding.available;
        record->needed = record->amount;
        return false;
    }
    holding.available -= record->amount;
    record->balance = holding.available;
    tim3_store_write (tim3_env_store (env), TIM3_TABLE_HOLDING, &key, &holding);
    return true;
}

static tim3_collateral_record_t new_record (tim3_env_t *env, unsigned op, const char *vault,
                                            const char *account, const char *to, tim3_amount_t amount)
{
    tim3_collateral_record_t record = {.op = (uint8_t) op, .amount = amount};
    strcpy (record.vault, vault);
    strcpy (record.account, account);
    strcpy (record.to, to);
    record.time_us = tim3_env_now (env);
    return record;
}

static bool same_request (const tim3_collateral_record_t *a, const tim3_collateral_record_t *b)
{
    return a->op == b->op && a->amount == b->amount && strcmp (a->vault, b->vault) == 0
           && strcmp (a->account, b->account) == 0 && strcmp (a->to, b->to) == 0;
}

/*  ----------------------------------------------------------------------------------- faucet and transfer  */

static void answer_moved (tim3_env_t *env, const tim3_id_t *tx, const tim3_collateral_record_t *record)
{
    tim3_collateral_moved_t reply = {.tx = *tx, .amount = record->amount, .balance = record->balance};
    if (record->code != TIM3_OK) {
        tim3_rule_refuse (env, (tim3_result_t) record->code, tx, record->available, record->needed);
        return;
    }
    strcpy (reply.account, record->account);
    tim3_env_reply (env, TIM3_MSG_COLLATERAL_MOVED, &reply);
}

static void apply_faucet (self_t *self, tim3_env_t *env, tim3_collateral_record_t *record)
{
    tim3_amount_t issued = read_totals (self, env)->issued;
    tim3_amount_t sum;
    if (!tim3_amount_add (issued, record->amount, &sum)) {
        record->code = TIM3_AMOUNT_OVERFLOW;
        record->available = TIM3_AMOUNT_MAX - issued;
        record->needed = record->amount;
        return;
    }
    change_totals (self, env)->issued = sum;
    record->balance = credit (self, env, record->account, record->amount);
}

static void apply_transfer (self_t *self, tim3_env_t *env, tim3_collateral_record_t *record)
{
    if (debit (env, record))
        credit (self, env, record->to, record->amount);
}

/*  Decides a client's operation once, and answers.  */
static void decide (self_t *self, tim3_env_t *env, const tim3_id_t *tx, tim3_collateral_record_t *asked,
                    void (*apply) (self_t *, tim3_env_t *, tim3_collateral_record_t *))
{
    tim3_collateral_record_t record;
    if (!read_record (env, tx, asked, &record)) {
        apply (self, env, asked);
        write_record (self, env, tx, asked);
        record = *asked;
    }
    if (same_request (&record, asked))
        answer_moved (env, tx, &record);
    else
        tim3_env_refuse (env, TIM3_ID_REUSED, tx, NULL);
}

static void on_faucet (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_faucet_t *ask = body;
    if (!self->settings->faucet) {
        tim3_env_refuse (env, TIM3_NOT_ALLOWED, NULL, "the faucet is closed (collateral/faucet = no)");
        return;
    }
    if (!tim3_rule_account (env, NULL, ask->account) || !tim3_rule_amount (env, NULL, ask->amount)
        || !tim3_rule_request_id (env, ask->request_id))
        return;
    tim3_id_t tx = tim3_tx_id (self->settings->asset, ask->account, ask->request_id);
    tim3_collateral_record_t asked =
        new_record (env, TIM3_COLLATERAL_OP_FAUCET, "", ask->account, "", ask->amount);
    decide (self, env, &tx, &asked, apply_faucet);
}

static void on_transfer (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_transfer_t *ask = body;
    if (!tim3_rule_account (env, NULL, ask->account) || !tim3_rule_account (env, NULL, ask->to)
        || !tim3_rule_amount (env, NULL, ask->amount) || !tim3_rule_request_id (env, ask->request_id))
        return;
    if (strcmp (ask->account, ask->to) == 0) {
        tim3_env_refuse (env, TIM3_SAME_ACCOUNT, NULL, NULL);
        return;
    }
    tim3_id_t tx = tim3_tx_id (self->settings->asset, ask->account, ask->request_id);
    tim3_collateral_record_t asked =
        new_record (env, TIM3_COLLATERAL_OP_TRANSFER, "", ask->account, ask->to, ask->amount);
    decide (self, env, &tx, &asked, apply_transfer);
}

/*  ------------------------------------------------------------------------------------------------ vaults  */

static const tim3_key_secret_t *find_key (const self_t *self, const char *vault)
{
    for (unsigned i = 0; i < self->settings->asset_count; i++)
        if (strcmp (self->settings->assets[i].name, vault) == 0)
            return &self->settings->assets[i].vault_key;
    return NULL;
}

/*  The vault's key, if the message's receipt is under it; NULL after refusing.  */
static const tim3_key_secret_t *check_vault (self_t *self, tim3_env_t *env, tim3_receipt_kind_t kind,
                                             const tim3_vault_move_t *ask)
{
    tim3_claim_t claim = {kind, ask->vault, ask->tx, ask->account, ask->amount, ask->reason};
    const tim3_key_secret_t *key = find_key (self, ask->vault);
    if (!tim3_rule_account (env, &ask->tx, ask->account) || !tim3_rule_amount (env, &ask->tx, ask->amount))
        return NULL;
    if (key && tim3_receipt_check (key, &claim, &ask->receipt))
        return key;
    self->bad_receipts++;
    tim3_env_refuse (env, TIM3_BAD_RECEIPT, &ask->tx, NULL);
    return NULL;
}

static void answer_vault (tim3_env_t *env, const tim3_key_secret_t *key, const tim3_vault_move_t *ask,
                          tim3_type_t type, tim3_receipt_kind_t kind)
{
    tim3_vault_move_t reply = *ask;
    tim3_claim_t claim = {kind, reply.vault, reply.tx, reply.account, reply.amount, reply.reason};
    reply.receipt = tim3_receipt_make (key, &claim);
    tim3_env_reply (env, type, &reply);
}

static void answer_refused (tim3_env_t *env, const tim3_key_secret_t *key, const tim3_vault_move_t *ask,
                            const tim3_collateral_record_t *record)
{
    tim3_vault_refused_t reply = {.tx = ask->tx, .amount = ask->amount, .code = record->code};
    strcpy (reply.vault, ask->vault);
    strcpy (reply.account, ask->account);
    reply.available = record->available;
    reply.needed = record->needed;
    tim3_claim_t claim = {TIM3_RECEIPT_KIND_VAULT_REFUSED, reply.vault, reply.tx, reply.account, reply.amount,
                          reply.code};
    reply.receipt = tim3_receipt_make (key, &claim);
    tim3_env_reply (env, TIM3_MSG_VAULT_REFUSED, &reply);
}

static void apply_vault_lock (self_t *self, tim3_env_t *env, tim3_collateral_record_t *record)
{
    if (!debit (env, record))
        return;
    tim3_vault_t *vault = change_vault (self, env, record->vault);
    TIM3_ASSERT (tim3_amount_add (vault->total, record->amount, &vault->total));
    vault->locks++;
}

static void on_vault_lock (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    tim3_vault_move_t ask = *(const tim3_vault_move_t *) body;
    tim3_collateral_record_t record;

    ask.reason = 0;
    fetch (env, TIM3_COLLATERAL_OP_LOCK, &ask);
    const tim3_key_secret_t *key = check_vault (self, env, TIM3_RECEIPT_KIND_VAULT_LOCK, &ask);
    if (!key)
        return;
    tim3_collateral_record_t asked =
        new_record (env, TIM3_COLLATERAL_OP_LOCK, ask.vault, ask.account, "", ask.amount);
    if (!read_record (env, &ask.tx, &asked, &record)) {
        record = asked;
        apply_vault_lock (self, env, &record);
        write_record (self, env, &ask.tx, &record);
    }
    if (!same_request (&record, &asked))
        tim3_env_refuse (env, TIM3_ID_REUSED, &ask.tx, NULL);
    else if (record.code != TIM3_OK)
        answer_refused (env, key, &ask, &record);
    else
        answer_vault (env, key, &ask, TIM3_MSG_VAULT_LOCKED, TIM3_RECEIPT_KIND_VAULT_LOCKED);
}

/*  False after refusing what the vault does not hold. It is not recorded: a lock manager that asks this by right has a store that does not
    fit ours, which health tells (conflicts).  */
static bool apply_vault_unlock (self_t *self, tim3_env_t *env, const tim3_id_t *tx,
                                tim3_collateral_record_t *record)
{
    tim3_amount_t total = read_vault (self, env, record->vault)->total;
    if (total < record->amount) {
        self->conflicts++;
        tim3_rule_refuse (env, TIM3_INSUFFICIENT_FUNDS, tx, total, record->amount);
        return false;
    }
    tim3_vault_t *vault = change_vault (self, env, record->vault);
    vault->total -= record->amount;
    vault->unlocks++;
    record->balance = credit (self, env, record->account, record->amount);
    if (!TIM3_CANARY_IS (9))
        write_record (self, env, tx, record);
    return true;
}

static void on_vault_unlock (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    const tim3_vault_move_t *ask = body;
    bool burn = ask->reason == TIM3_RELEASE_REASON_BURN;
    unsigned op = burn ? TIM3_COLLATERAL_OP_UNLOCK_BURN : TIM3_COLLATERAL_OP_UNLOCK_VOID;
    tim3_collateral_record_t record;

    const tim3_key_secret_t *key = check_vault (self, env, TIM3_RECEIPT_KIND_VAULT_UNLOCK, ask);
    if (!key)
        return;
    tim3_collateral_record_t asked = new_record (env, op, ask->vault, ask->account, "", ask->amount);
    if (!read_record (env, &ask->tx, &asked, &record)) {
        record = asked;
        if (!apply_vault_unlock (self, env, &ask->tx, &record))
            return;
    }
    if (same_request (&record, &asked))
        answer_vault (env, key, ask, TIM3_MSG_VAULT_UNLOCKED, TIM3_RECEIPT_KIND_VAULT_UNLOCKED);
    else
        tim3_env_refuse (env, TIM3_ID_REUSED, &ask->tx, NULL);
}

/*  --------------------------------------------------------------------------------------------- queries  */

/*  Finds the faucet mint or transfer of a tx. The account may be "": then it is searched for, as it is the end of the key.  */
static bool find_moved (tim3_env_t *env, const tim3_id_t *tx, const char *account, tim3_collateral_record_t *record)
{
    tim3_key_t key;
    set_record_key (&key, TIM3_COLLATERAL_OP_FAUCET, tx, "", account);
    if (account[0])
        return tim3_store_read (tim3_env_store (env), TIM3_TABLE_COLLATERAL_RECORD, &key, record);
    key.size--; /* the end of the empty account */
    tim3_key_t prefix = key;
    return tim3_store_seek (tim3_env_store (env), TIM3_TABLE_COLLATERAL_RECORD, TIM3_SEEK_GE, &key, record)
           && tim3_key_has_prefix (&key, &prefix);
}

static void on_get_transaction (void *state, tim3_env_t *env, const void *body)
{
    const self_t *self = state;
    const tim3_get_transaction_t *ask = body;
    tim3_collateral_transaction_t reply = {.tx = ask->tx};
    tim3_collateral_record_t record;
    if (tim3_id_is_zero (&reply.tx)) {
        if (!tim3_rule_account (env, NULL, ask->account) || !tim3_rule_request_id (env, ask->request_id))
            return;
        reply.tx = tim3_tx_id (self->settings->asset, ask->account, ask->request_id);
    }
    if (!find_moved (env, &reply.tx, ask->account, &record)) {
        tim3_env_refuse (env, TIM3_NOT_FOUND, &reply.tx, NULL);
        return;
    }
    reply.op = record.op;
    strcpy (reply.account, record.account);
    strcpy (reply.to, record.to);
    reply.amount = record.amount;
    reply.code = record.code;
    reply.available = record.available;
    reply.needed = record.needed;
    reply.balance = record.balance;
    reply.time_us = record.time_us;
    tim3_env_reply (env, TIM3_MSG_COLLATERAL_TRANSACTION, &reply);
}

static void on_get_holding (void *state, tim3_env_t *env, const void *body)
{
    const tim3_account_only_t *ask = body;
    tim3_holding_t holding;
    (void) state;
    if (!tim3_rule_account (env, NULL, ask->account))
        return;
    read_holding (env, ask->account, &holding);
    tim3_env_reply (env, TIM3_MSG_HOLDING, &holding);
}

static void on_list_holdings (void *state, tim3_env_t *env, const void *body)
{
    tim3_holdings_t reply = {0};
    (void) state;
    if (tim3_page_whole (env, body, TIM3_TABLE_HOLDING, &reply.items, reply.cursor))
        tim3_env_reply (env, TIM3_MSG_HOLDINGS, &reply);
}

static bool is_configured (const self_t *self, const char *name)
{
    unsigned i = 0;
    while (i < self->settings->asset_count && strcmp (self->settings->assets[i].name, name) != 0)
        i++;
    return i < self->settings->asset_count;
}

/*  Lists the vaults of all assets that are configured, and those of assets that no longer are: what they hold was issued, too.  */
static void on_list_vaults (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    tim3_store_t *store = tim3_env_store (env);
    tim3_vault_t vaults[TIM3_VAULTS_MAX + 1];
    uint32_t count = self->settings->asset_count;
    (void) body;
    for (uint32_t i = 0; i < count; i++)
        vaults[i] = *read_vault (self, env, self->settings->assets[i].name);
    tim3_key_t key = tim3_key_empty ();
    bool more = tim3_store_seek (store, TIM3_TABLE_VAULT, TIM3_SEEK_GE, &key, &vaults[count]);
    while (more && count < TIM3_VAULTS_MAX) {
        count += !is_configured (self, vaults[count].vault);
        more = tim3_store_seek (store, TIM3_TABLE_VAULT, TIM3_SEEK_GT, &key, &vaults[count]);
    }
    tim3_vaults_t reply = {.items = {vaults, count}};
    if (more)
        tim3_env_refuse (env, TIM3_OVERLOADED, NULL, "there are more than %d vaults", TIM3_VAULTS_MAX);
    else
        tim3_env_reply (env, TIM3_MSG_VAULTS, &reply);
}

static void on_get_totals (void *state, tim3_env_t *env, const void *body)
{
    self_t *self = state;
    (void) body;
    tim3_env_reply (env, TIM3_MSG_COLLATERAL_TOTALS, read_totals (self, env));
}

static void stats (void *state, tim3_env_t *env, tim3_report_t *report)
{
    self_t *self = state;
    const tim3_collateral_totals_t *totals = read_totals (self, env);
    tim3_report_metric (report, TIM3_METRIC_issued_units, totals->issued);
    tim3_report_metric (report, TIM3_METRIC_accounts, totals->accounts);
    tim3_report_metric (report, TIM3_METRIC_operations, totals->operations);
    tim3_report_metric (report, TIM3_METRIC_bad_receipts, self->bad_receipts);
    tim3_report_metric (report, TIM3_METRIC_conflicts, self->conflicts);
}

static void health (void *state, tim3_env_t *env, tim3_report_t *report)
{
    const self_t *self = state;
    (void) env;
    if (self->conflicts > 0)
        tim3_report_reason (report, "conflicts", 100,
                            "%llu times a lock manager asked, by right, for more than its vault holds: tokens were "
                            "burned that nothing backs; was a store restored alone?",
                            (unsigned long long) self->conflicts);
}

static void *new (const tim3_settings_t *settings)
{
    self_t *self = tim3_alloc (sizeof *self);
    self->settings = settings;
    return self;
}

static void destroy (void **self)
{
    free (*self);
    *self = NULL;
}

static const tim3_handler_t s_handlers[] = {
    {TIM3_MSG_FAUCET, on_faucet},
    {TIM3_MSG_COLLATERAL_TRANSFER, on_transfer},
    {TIM3_MSG_VAULT_LOCK, on_vault_lock},
    {TIM3_MSG_VAULT_UNLOCK, on_vault_unlock},
    {TIM3_MSG_GET_HOLDING, on_get_holding},
    {TIM3_MSG_LIST_HOLDINGS, on_list_holdings},
    {TIM3_MSG_LIST_VAULTS, on_list_vaults},
    {TIM3_MSG_GET_COLLATERAL_TOTALS, on_get_totals},
    {TIM3_MSG_GET_COLLATERAL_TRANSACTION, on_get_transaction},
    {0, NULL}};

const tim3_core_t tim3_mock_usda_core = {.role = TIM3_ROLE_MOCK_USDA,
                                         .writes_from_store_alone = true,
                                         .capabilities = "collateral_token faucet",
                                         .new = new,
                                         .destroy = destroy,
                                         .handlers = s_handlers,
                                         .end_batch = end_batch,
                                         .health = health,
                                         .stats = stats};
