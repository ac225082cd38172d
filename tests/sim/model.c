/*  model.c - plain arrays, searched from end to end, so that there is little to be wrong.  */
#include "model.h"
#include "wire/run.h"

#include <stdlib.h>
#include <string.h>

#define PAYLOADS_MAX 4096
#define FATES_MAX 4096

static sim_book_t s_books[SIM_ASSETS_MAX];
static sim_payload_t s_payloads[PAYLOADS_MAX];
static unsigned s_payload_count;
static sim_fate_t s_fates[FATES_MAX];
static unsigned s_fate_count;

sim_book_t *sim_model_book (unsigned asset)
{
    return &s_books[asset];
}

sim_holder_t *sim_model_holder (unsigned asset, const char *account)
{
    sim_book_t *book = &s_books[asset];
    for (unsigned i = 0; i < book->holder_count; i++)
        if (strcmp (book->holders[i].account, account) == 0)
            return &book->holders[i];
    SIM_CHECK (book->holder_count < SIM_HOLDERS_MAX, "model: too many accounts", "%s is one too many",
               account);
    strcpy (book->holders[book->holder_count].account, account);
    return &book->holders[book->holder_count++];
}

/*  --------------------------------------------------------------------------------------- what was asked  */

bool sim_model_same (const sim_payload_t *a, const sim_payload_t *b)
{
    return a->asset == b->asset && tim3_id_equal (&a->tx, &b->tx) && a->kind == b->kind &&
           a->control == b->control && a->amount == b->amount && strcmp (a->account, b->account) == 0 &&
           strcmp (a->to, b->to) == 0;
}

void sim_model_expect (const sim_payload_t *payload)
{
    for (unsigned i = 0; i < s_payload_count; i++)
        if (sim_model_same (&s_payloads[i], payload))
            return;
    if (s_payload_count == PAYLOADS_MAX)
        abort ();
    s_payloads[s_payload_count++] = *payload;
}

/*  Looks for what was asked; a refusal's event does not tell the receiver.  */
static const sim_payload_t *find_payload (const sim_payload_t *like, bool any_receiver)
{
    for (unsigned i = 0; i < s_payload_count; i++) {
        sim_payload_t copy = s_payloads[i];
        if (any_receiver)
            copy.to[0] = '\0';
        if (sim_model_same (&copy, like))
            return &s_payloads[i];
    }
    return NULL;
}

const sim_fate_t *sim_model_fate_at (unsigned position)
{
    return position < s_fate_count ? &s_fates[position] : NULL;
}

const sim_fate_t *sim_model_fate (unsigned asset, const tim3_id_t *tx)
{
    for (unsigned i = 0; i < s_fate_count; i++)
        if (s_fates[i].asset == asset && tim3_id_equal (&s_fates[i].tx, tx))
            return &s_fates[i];
    return NULL;
}

static sim_fate_t *take_fate (unsigned asset, const tim3_id_t *tx)
{
    const sim_fate_t *found = sim_model_fate (asset, tx);
    if (found)
        return &s_fates[found - s_fates];
    if (s_fate_count == FATES_MAX)
        abort ();
    s_fates[s_fate_count].asset = asset;
    s_fates[s_fate_count].tx = *tx;
    return &s_fates[s_fate_count++];
}

/*  ----------------------------------------------------------------------------------------- token ledger  */

static unsigned judge_mint (const sim_book_t *book, unsigned asset, const sim_payload_t *payload)
{
    tim3_amount_t room = book->cap > book->supply ? book->cap - book->supply : 0;
    if (book->paused)
        return TIM3_ASSET_PAUSED;
    if (sim_model_holder (asset, payload->account)->frozen)
        return TIM3_ACCOUNT_FROZEN;
    if (payload->amount > room)
        return TIM3_CAP_EXCEEDED;
    if (payload->amount > TIM3_AMOUNT_MAX - book->minted)
        return TIM3_AMOUNT_OVERFLOW;
    return TIM3_OK;
}

static unsigned judge_spend (const sim_book_t *book, unsigned asset, const sim_payload_t *payload)
{
    if (book->paused)
        return TIM3_ASSET_PAUSED;
    if (sim_model_holder (asset, payload->account)->frozen)
        return TIM3_ACCOUNT_FROZEN;
    if (payload->to[0] && sim_model_holder (asset, payload->to)->frozen)
        return TIM3_ACCOUNT_FROZEN;
    if (sim_model_holder (asset, payload->account)->balance < payload->amount)
        return TIM3_INSUFFICIENT_FUNDS;
    return TIM3_OK;
}

static unsigned judge (const sim_payload_t *payload)
{
    const sim_book_t *book = &s_books[payload->asset];
    if (payload->kind == TIM3_TX_KIND_MINT)
        return judge_mint (book, payload->asset, payload);
    return judge_spend (book, payload->asset, payload);
}

/*  Notes the one decision that a tx may have, and which of the things asked for it was about.  */
static sim_fate_t *decide (const sim_payload_t *like, unsigned code)
{
    const sim_payload_t *asked = find_payload (like, code != TIM3_OK);
    sim_fate_t *fate = take_fate (like->asset, &like->tx);
    SIM_CHECK (asked, "nothing happens that nobody asked for", "kind %u for %s", like->kind, like->account);
    SIM_CHECK (!fate->decided, "a tx is decided once", "kind %u for %s, code %u after %u", like->kind,
               like->account, code, fate->code);
    fate->decided = true;
    fate->code = code;
    fate->payload = *like;
    return fate;
}

static void check_verdict (const sim_payload_t *payload)
{
    unsigned right = judge (payload);
    SIM_CHECK (right == TIM3_OK, "a refusal is a refusal", "kind %u for %s should have been refused with %s",
               payload->kind, payload->account, tim3_result_name (right));
}

/*  The ledger tells balances with each event: they have to be ours.  */
static void check_balance (tim3_amount_t told, tim3_amount_t ours, const char *what)
{
    SIM_CHECK (told == ours, "the model agrees with every balance",
               "%s: low words %llu told, %llu in the model", what, (unsigned long long) told,
               (unsigned long long) ours);
}

static void on_minted (unsigned asset, const tim3_token_changed_t *event)
{
    sim_book_t *book = &s_books[asset];
    sim_payload_t payload = {
        .asset = asset, .tx = event->tx, .kind = TIM3_TX_KIND_MINT, .amount = event->amount};
    strcpy (payload.account, event->account);
    const sim_fate_t *known = sim_model_fate (asset, &event->tx);
    SIM_CHECK (known && known->locked && known->lock_amount == event->amount &&
                   strcmp (known->lock_account, event->account) == 0,
               "minted against a lock", "minted for %s without such a lock", event->account);
    SIM_CHECK (!known->released_void, "a receipt works once", "minted for %s after its lock was released",
               event->account);
    check_verdict (&payload);
    sim_fate_t *fate = decide (&payload, TIM3_OK);
    sim_holder_t *holder = sim_model_holder (asset, event->account);
    holder->balance += event->amount;
    book->supply += event->amount;
    book->minted += event->amount;
    fate->balance = holder->balance;
    fate->supply = book->supply;
    check_balance (event->balance, holder->balance, event->account);
    check_balance (event->supply, book->supply, "supply");
}

static void on_burned (unsigned asset, const tim3_token_changed_t *event)
{
    sim_book_t *book = &s_books[asset];
    sim_payload_t payload = {
        .asset = asset, .tx = event->tx, .kind = TIM3_TX_KIND_REDEEM, .amount = event->amount};
    strcpy (payload.account, event->account);
    check_verdict (&payload);
    sim_fate_t *fate = decide (&payload, TIM3_OK);
    sim_holder_t *holder = sim_model_holder (asset, event->account);
    holder->balance -= event->amount;
    book->supply -= event->amount;
    fate->balance = holder->balance;
    fate->supply = book->supply;
    check_balance (event->balance, holder->balance, event->account);
    check_balance (event->supply, book->supply, "supply");
}

static void on_transferred (unsigned asset, const tim3_token_transferred_t *event)
{
    sim_payload_t payload = {
        .asset = asset, .tx = event->tx, .kind = TIM3_TX_KIND_TRANSFER, .amount = event->amount};
    strcpy (payload.account, event->account);
    strcpy (payload.to, event->to);
    check_verdict (&payload);
    sim_fate_t *fate = decide (&payload, TIM3_OK);
    sim_holder_t *from = sim_model_holder (asset, event->account);
    sim_holder_t *to = sim_model_holder (asset, event->to);
    from->balance -= event->amount;
    to->balance += event->amount;
    fate->balance = from->balance;
    fate->to_balance = to->balance;
    fate->supply = s_books[asset].supply;
    check_balance (event->balance, from->balance, event->account);
    check_balance (event->to_balance, to->balance, event->to);
    check_balance (event->supply, s_books[asset].supply, "supply");
}

static void on_controlled (unsigned asset, const tim3_token_controlled_t *event)
{
    sim_book_t *book = &s_books[asset];
    sim_payload_t payload = {.asset = asset, .tx = event->tx, .kind = TIM3_TX_KIND_CONTROL};
    payload.control = event->control;
    payload.amount = event->amount;
    strcpy (payload.account, event->account);
    decide (&payload, TIM3_OK);
    if (event->control == TIM3_CONTROL_PAUSE || event->control == TIM3_CONTROL_UNPAUSE)
        book->paused = event->control == TIM3_CONTROL_PAUSE;
    else if (event->control == TIM3_CONTROL_CAP)
        book->cap = event->amount;
    else
        sim_model_holder (asset, event->account)->frozen = event->control == TIM3_CONTROL_FREEZE;
}

/*  A mint may also fail because its lock was refused, or because it was not done in time.  */
static bool may_fail (const sim_payload_t *payload, unsigned code)
{
    const sim_fate_t *fate = sim_model_fate (payload->asset, &payload->tx);
    bool locked = fate && fate->locked;
    if (payload->kind == TIM3_TX_KIND_MINT && code == TIM3_INSUFFICIENT_FUNDS)
        return !locked;
    if (payload->kind == TIM3_TX_KIND_MINT && !locked)
        return false;
    if (payload->kind == TIM3_TX_KIND_MINT && code == TIM3_VOIDED)
        return true;
    return judge (payload) == code;
}

static void on_failed (unsigned asset, const tim3_transaction_failed_t *event)
{
    sim_payload_t payload = {.asset = asset, .tx = event->tx, .kind = event->kind, .amount = event->amount};
    bool possible = false;
    strcpy (payload.account, event->account);
    for (unsigned i = 0; i < s_payload_count && !possible; i++) {
        sim_payload_t copy = s_payloads[i];
        copy.to[0] = '\0';
        possible = sim_model_same (&copy, &payload) && may_fail (&s_payloads[i], (unsigned) event->code);
    }
    SIM_CHECK (possible, "refused for the right reason", "kind %u for %s should not be refused with %s",
               event->kind, event->account, tim3_result_name ((unsigned) event->code));
    decide (&payload, (unsigned) event->code);
}

/*  ------------------------------------------------------------------------------------------ lock ledger  */

static void on_locked (unsigned asset, const tim3_collateral_locked_t *event)
{
    sim_fate_t *fate = take_fate (asset, &event->tx);
    SIM_CHECK (!fate->locked, "locked once", "locked twice for %s", event->account);
    fate->locked = true;
    strcpy (fate->lock_account, event->account);
    fate->lock_amount = event->amount;
    s_books[asset].locked += event->amount;
    check_balance (event->locked, s_books[asset].locked, "locked");
}

/*  Undoing a lock: to whom it was taken from, and only when its mint can never be.  */
static void check_void (const sim_fate_t *fate, const tim3_collateral_released_t *event)
{
    bool minted = fate->decided && fate->payload.kind == TIM3_TX_KIND_MINT && fate->code == TIM3_OK;
    SIM_CHECK (fate->locked && fate->lock_amount == event->amount &&
                   strcmp (fate->lock_account, event->account) == 0,
               "released what was locked", "released to %s without such a lock", event->account);
    SIM_CHECK (fate->decided && !minted, "released only when not minted", "released to %s", event->account);
    SIM_CHECK (!fate->released_void, "a receipt works once", "released twice to %s", event->account);
}

static void check_burn (const sim_fate_t *fate, const tim3_collateral_released_t *event)
{
    bool burned = fate->decided && fate->payload.kind == TIM3_TX_KIND_REDEEM && fate->code == TIM3_OK;
    SIM_CHECK (burned && fate->payload.amount == event->amount &&
                   strcmp (fate->payload.account, event->account) == 0,
               "released against a burn", "released to %s without such a burn", event->account);
    SIM_CHECK (!fate->released_burn, "a receipt works once", "released twice to %s", event->account);
}

static void on_released (unsigned asset, const tim3_collateral_released_t *event)
{
    sim_fate_t *fate = take_fate (asset, &event->tx);
    if (event->reason == TIM3_RELEASE_REASON_VOID) {
        check_void (fate, event);
        fate->released_void = true;
    } else {
        check_burn (fate, event);
        fate->released_burn = true;
    }
    s_books[asset].locked -= event->amount;
    check_balance (event->locked, s_books[asset].locked, "locked");
}

/*  Any event of a ledger.  */
typedef union {
    tim3_collateral_locked_t locked;
    tim3_collateral_released_t released;
    tim3_token_changed_t changed;
    tim3_token_transferred_t transferred;
    tim3_token_controlled_t controlled;
    tim3_transaction_failed_t failed;
} body_t;

static void read_body (const tim3_event_item_t *item, body_t *body)
{
    SIM_CHECK (tim3_event_read (item->type, &item->body, body), "events can be read", "type %llu",
               (unsigned long long) item->type);
}

bool sim_model_ready (unsigned asset, const tim3_event_item_t *item)
{
    body_t body;
    const sim_fate_t *fate;
    read_body (item, &body);
    switch (item->type) {
    case TIM3_MSG_COLLATERAL_RELEASED:
        fate = sim_model_fate (asset, &body.released.tx);
        return fate && fate->decided;
    case TIM3_MSG_TOKEN_MINTED:
        fate = sim_model_fate (asset, &body.changed.tx);
        return fate && fate->locked;
    case TIM3_MSG_TRANSACTION_FAILED:
        fate = sim_model_fate (asset, &body.failed.tx);
        return body.failed.kind != TIM3_TX_KIND_MINT || body.failed.code == TIM3_INSUFFICIENT_FUNDS ||
               (fate && fate->locked);
    default:
        return true;
    }
}

void sim_model_event (unsigned asset, const tim3_event_item_t *item)
{
    body_t body;
    read_body (item, &body);
    switch (item->type) {
    case TIM3_MSG_COLLATERAL_LOCKED:
        on_locked (asset, &body.locked);
        break;
    case TIM3_MSG_COLLATERAL_RELEASED:
        on_released (asset, &body.released);
        break;
    case TIM3_MSG_TOKEN_MINTED:
        on_minted (asset, &body.changed);
        break;
    case TIM3_MSG_TOKEN_BURNED:
        on_burned (asset, &body.changed);
        break;
    case TIM3_MSG_TOKEN_TRANSFERRED:
        on_transferred (asset, &body.transferred);
        break;
    case TIM3_MSG_TOKEN_CONTROLLED:
        on_controlled (asset, &body.controlled);
        break;
    default:
        on_failed (asset, &body.failed);
    }
}
