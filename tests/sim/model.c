/*  model.c - plain arrays, searched from end to end, so that there is little to be wrong.  */
#include "model.h"
#include "wire/run.h"

#include <stdlib.h>
#include <string.h>

#define PAYLOADS_MAX 4096
#define FATES_MAX 4096

static sim_book_t s_books[SIM_ASSETS_MAX];
static sim_shard_t *s_shard; /* of the ledger that has decided */
static unsigned s_shard_number;
static unsigned s_crossing;
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

static sim_fate_t *find_fate (unsigned asset, unsigned shard, const tim3_id_t *tx)
{
    for (unsigned i = 0; i < s_fate_count; i++)
        if (s_fates[i].asset == asset && s_fates[i].shard == shard && tim3_id_equal (&s_fates[i].tx, tx))
            return &s_fates[i];
    return NULL;
}

const sim_fate_t *sim_model_fate (unsigned asset, unsigned shard, const tim3_id_t *tx)
{
    return find_fate (asset, shard, tx);
}

static sim_fate_t *take_fate_of (unsigned asset, unsigned shard, const tim3_id_t *tx)
{
    sim_fate_t *found = find_fate (asset, shard, tx);
    if (found)
        return found;
    if (s_fate_count == FATES_MAX)
        abort ();
    s_fates[s_fate_count].asset = asset;
    s_fates[s_fate_count].shard = shard;
    s_fates[s_fate_count].tx = *tx;
    return &s_fates[s_fate_count++];
}

/*  In the shard that decides now.  */
static sim_fate_t *take_fate (unsigned asset, const tim3_id_t *tx)
{
    return take_fate_of (asset, s_shard_number, tx);
}

/*  ----------------------------------------------------------------------------------------- token ledger  */

static bool is_own (unsigned asset, const char *account)
{
    return tim3_account_shard (account, sim.assets[asset].shard_count) == s_shard_number;
}

/*  An equal part of the cap for each shard, and the rest for the first.  */
static tim3_amount_t mint_room (unsigned asset)
{
    unsigned count = sim.assets[asset].shard_count;
    if (s_shard->cap == TIM3_AMOUNT_MAX)
        return TIM3_AMOUNT_MAX - s_shard->supply;
    tim3_amount_t part = s_shard->cap / count + (s_shard_number == 0 ? s_shard->cap % count : 0);
    if (s_shard->burned > s_shard->minted)
        return part + (s_shard->burned - s_shard->minted);
    tim3_amount_t used = s_shard->minted - s_shard->burned;
    return part > used ? part - used : 0;
}

static unsigned judge_mint (unsigned asset, const sim_payload_t *payload)
{
    tim3_amount_t room = mint_room (asset);
    if (s_shard->paused)
        return TIM3_ASSET_PAUSED;
    if (sim_model_holder (asset, payload->account)->frozen)
        return TIM3_ACCOUNT_FROZEN;
    if (payload->amount > room)
        return TIM3_CAP_EXCEEDED;
    if (payload->amount > TIM3_AMOUNT_MAX - s_shard->minted)
        return TIM3_AMOUNT_OVERFLOW;
    return TIM3_OK;
}

/*  Of a transfer to another shard, the sender's side.  */
static unsigned judge_spend (unsigned asset, const sim_payload_t *payload)
{
    if (s_shard->paused)
        return TIM3_ASSET_PAUSED;
    if (sim_model_holder (asset, payload->account)->frozen)
        return TIM3_ACCOUNT_FROZEN;
    if (payload->to[0] && is_own (asset, payload->to) && sim_model_holder (asset, payload->to)->frozen)
        return TIM3_ACCOUNT_FROZEN;
    if (sim_model_holder (asset, payload->account)->balance < payload->amount)
        return TIM3_INSUFFICIENT_FUNDS;
    return TIM3_OK;
}

static unsigned judge (const sim_payload_t *payload)
{
    if (payload->kind == TIM3_TX_KIND_MINT)
        return judge_mint (payload->asset, payload);
    return judge_spend (payload->asset, payload);
}

static unsigned shard_of (const sim_payload_t *payload)
{
    return tim3_account_shard (payload->account, sim.assets[payload->asset].shard_count);
}

/*  Notes the one decision that a tx may have in a shard, and which of the things asked for it was about.  */
static sim_fate_t *decide (const sim_payload_t *like, unsigned code)
{
    const sim_payload_t *asked = find_payload (like, code != TIM3_OK);
    sim_fate_t *fate = take_fate_of (like->asset, like->kind == TIM3_TX_KIND_CONTROL ? s_shard_number : shard_of (like), &like->tx);
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
    SIM_CHECK (is_own (payload->asset, payload->account), "a shard has its own accounts", "%s is not of shard %u",
               payload->account, s_shard_number);
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
    sim_shard_t *book = s_shard;
    sim_payload_t payload = {
        .asset = asset, .tx = event->tx, .kind = TIM3_TX_KIND_MINT, .amount = event->amount};
    strcpy (payload.account, event->account);
    const sim_fate_t *known = find_fate (asset, s_shard_number, &event->tx);
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
    sim_shard_t *book = s_shard;
    sim_payload_t payload = {
        .asset = asset, .tx = event->tx, .kind = TIM3_TX_KIND_REDEEM, .amount = event->amount};
    strcpy (payload.account, event->account);
    check_verdict (&payload);
    sim_fate_t *fate = decide (&payload, TIM3_OK);
    sim_holder_t *holder = sim_model_holder (asset, event->account);
    holder->balance -= event->amount;
    book->supply -= event->amount;
    book->burned += event->amount;
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
    fate->supply = s_shard->supply;
    check_balance (event->balance, from->balance, event->account);
    check_balance (event->to_balance, to->balance, event->to);
    check_balance (event->supply, s_shard->supply, "supply");
}

static sim_payload_t crossing_payload (unsigned asset, const tim3_token_crossed_t *event, bool arrived)
{
    sim_payload_t payload = {
        .asset = asset, .tx = event->tx, .kind = TIM3_TX_KIND_TRANSFER, .amount = event->amount};
    strcpy (payload.account, arrived ? event->other : event->account);
    strcpy (payload.to, arrived ? event->account : event->other);
    return payload;
}

static void check_crossed (unsigned asset, const tim3_token_crossed_t *event)
{
    check_balance (event->balance, sim_model_holder (asset, event->account)->balance, event->account);
    check_balance (event->supply, s_shard->supply, "supply");
}

static void on_sent (unsigned asset, const tim3_token_crossed_t *event)
{
    sim_payload_t payload = crossing_payload (asset, event, false);
    sim_fate_t *fate = take_fate (asset, &event->tx);
    SIM_CHECK (find_payload (&payload, false), "nothing happens that nobody asked for", "sent by %s", event->account);
    SIM_CHECK (!fate->decided && !fate->sent, "a tx is decided once", "sent by %s", event->account);
    check_verdict (&payload);
    fate->sent = true;
    strcpy (fate->sent_to, event->other);
    fate->payload = payload;
    sim_holder_t *holder = sim_model_holder (asset, event->account);
    holder->balance -= event->amount;
    s_shard->supply -= event->amount;
    fate->balance = holder->balance;
    fate->supply = s_shard->supply;
    s_crossing++;
    check_crossed (asset, event);
}

/*  The end of a transfer between shards: it was sent so, and has not ended before.  */
static sim_fate_t *end_crossing (unsigned asset, const tim3_token_crossed_t *event, bool arrived)
{
    sim_payload_t payload = crossing_payload (asset, event, arrived);
    sim_fate_t *fate = take_fate_of (asset, shard_of (&payload), &event->tx);
    const char *what = arrived ? "received" : "given back";
    SIM_CHECK (fate->sent && sim_model_same (&fate->payload, &payload), "only what was sent arrives or comes back",
               "%s to %s", what, event->account);
    SIM_CHECK (!fate->received && !fate->returned, "a receipt works once", "%s to %s", what, event->account);
    SIM_CHECK (is_own (asset, event->account), "a shard has its own accounts", "%s to %s", what, event->account);
    sim_model_holder (asset, event->account)->balance += event->amount;
    s_shard->supply += event->amount;
    s_crossing--;
    check_crossed (asset, event);
    return fate;
}

static void on_received (unsigned asset, const tim3_token_crossed_t *event)
{
    sim_payload_t payload = crossing_payload (asset, event, true);
    SIM_CHECK (!s_shard->paused && !sim_model_holder (asset, event->account)->frozen, "a refusal is a refusal",
               "%s cannot receive", event->account);
    end_crossing (asset, event, true)->received = true;
    sim.counters.crossed++;
    decide (&payload, TIM3_OK);
}

/*  The failure follows in an event of its own.  */
static void on_returned (unsigned asset, const tim3_token_crossed_t *event)
{
    end_crossing (asset, event, false)->returned = true;
    sim.counters.crossings_returned++;
}

unsigned sim_model_crossing (void)
{
    return s_crossing;
}

static void on_controlled (unsigned asset, const tim3_token_controlled_t *event)
{
    sim_shard_t *book = s_shard;
    sim_payload_t payload = {.asset = asset, .tx = event->tx, .kind = TIM3_TX_KIND_CONTROL};
    payload.control = event->control;
    payload.amount = event->amount;
    strcpy (payload.account, event->account);
    sim_fate_t *fate = decide (&payload, TIM3_OK);
    fate->supply = book->supply;
    if (event->control == TIM3_CONTROL_PAUSE || event->control == TIM3_CONTROL_UNPAUSE)
        book->paused = event->control == TIM3_CONTROL_PAUSE;
    else if (event->control == TIM3_CONTROL_CAP)
        book->cap = event->amount;
    else {
        sim_holder_t *holder = sim_model_holder (asset, event->account);
        holder->frozen = event->control == TIM3_CONTROL_FREEZE;
        fate->balance = holder->balance;
    }
}

/*  A mint may also fail because its lock was refused, or because it was not done in time.  */
static bool may_fail (const sim_payload_t *payload, unsigned code)
{
    const sim_fate_t *fate = find_fate (payload->asset, s_shard_number, &payload->tx);
    if (fate && fate->sent) /* the other shard has judged, and tells nobody when */
        return fate->returned && (code == TIM3_ACCOUNT_FROZEN || code == TIM3_ASSET_PAUSED || code == TIM3_ID_REUSED);
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

static void move_net (tim3_amount_t *up, tim3_amount_t *down, tim3_amount_t amount)
{
    if (*down >= amount)
        *down -= amount;
    else {
        *up += amount - *down;
        *down = 0;
    }
}

static void on_locked (unsigned asset, const tim3_collateral_locked_t *event)
{
    sim_fate_t *fate = take_fate (asset, &event->tx);
    SIM_CHECK (!fate->locked, "locked once", "locked twice for %s", event->account);
    fate->locked = true;
    strcpy (fate->lock_account, event->account);
    fate->lock_amount = event->amount;
    move_net (&s_shard->locked, &s_shard->overdrawn, event->amount);
    check_balance (event->locked, s_shard->locked, "locked");
    check_balance (event->overdrawn, s_shard->overdrawn, "overdrawn");
}

/*  Whether the token manager of a shard has something else under the tx than a mint: its own, or what another shard has sent to it, which
    it may have refused without a word.  */
static bool is_taken (unsigned asset, unsigned shard, const tim3_id_t *tx)
{
    for (unsigned i = 0; i < s_fate_count; i++) {
        const sim_fate_t *fate = &s_fates[i];
        if (fate->asset != asset || !tim3_id_equal (&fate->tx, tx))
            continue;
        bool to_here = fate->sent && tim3_account_shard (fate->sent_to, sim.assets[asset].shard_count) == shard;
        if (to_here || (fate->shard == shard && (fate->decided || fate->sent)))
            return true;
    }
    return false;
}

/*  Undoing a lock: to whom it was taken from, and only when its mint can never be.  */
static void check_void (unsigned asset, const sim_fate_t *fate, const tim3_collateral_released_t *event)
{
    bool minted = fate->decided && fate->payload.kind == TIM3_TX_KIND_MINT && fate->code == TIM3_OK;
    SIM_CHECK (fate->locked && fate->lock_amount == event->amount &&
                   strcmp (fate->lock_account, event->account) == 0,
               "released what was locked", "released to %s without such a lock", event->account);
    SIM_CHECK (is_taken (asset, s_shard_number, &event->tx) && !minted, "released only when not minted", "released to %s", event->account);
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
        check_void (asset, fate, event);
        fate->released_void = true;
    } else {
        check_burn (fate, event);
        fate->released_burn = true;
    }
    SIM_CHECK (sim.assets[asset].shard_count > 1 || s_shard->locked >= event->amount, "no more is released than is locked",
               "released to %s", event->account);
    move_net (&s_shard->overdrawn, &s_shard->locked, event->amount);
    check_balance (event->locked, s_shard->locked, "locked");
    check_balance (event->overdrawn, s_shard->overdrawn, "overdrawn");
}

/*  Any event of a ledger.  */
typedef union {
    tim3_collateral_locked_t locked;
    tim3_collateral_released_t released;
    tim3_token_changed_t changed;
    tim3_token_transferred_t transferred;
    tim3_token_crossed_t crossed;
    tim3_token_controlled_t controlled;
    tim3_transaction_failed_t failed;
} body_t;

static void read_body (const tim3_event_item_t *item, body_t *body)
{
    SIM_CHECK (tim3_event_read (item->type, &item->body, body), "events can be read", "type %llu",
               (unsigned long long) item->type);
}

bool sim_model_ready (unsigned asset, unsigned shard, const tim3_event_item_t *item)
{
    body_t body;
    const sim_fate_t *fate;
    read_body (item, &body);
    switch (item->type) {
    case TIM3_MSG_COLLATERAL_RELEASED:
        return is_taken (asset, shard, &body.released.tx);
    case TIM3_MSG_TOKEN_MINTED:
        fate = find_fate (asset, shard, &body.changed.tx);
        return fate && fate->locked;
    case TIM3_MSG_TRANSACTION_FAILED:
        fate = find_fate (asset, shard, &body.failed.tx);
        return body.failed.kind != TIM3_TX_KIND_MINT || body.failed.code == TIM3_INSUFFICIENT_FUNDS ||
               (fate && fate->locked);
    default:
        return true;
    }
}

void sim_model_event (unsigned asset, unsigned shard, const tim3_event_item_t *item)
{
    body_t body;
    read_body (item, &body);
    s_shard = &s_books[asset].shards[shard];
    s_shard_number = shard;
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
    case TIM3_MSG_TOKEN_SENT:
        on_sent (asset, &body.crossed);
        break;
    case TIM3_MSG_TOKEN_RECEIVED:
        on_received (asset, &body.crossed);
        break;
    case TIM3_MSG_TOKEN_RETURNED:
        on_returned (asset, &body.crossed);
        break;
    case TIM3_MSG_TOKEN_CONTROLLED:
        on_controlled (asset, &body.controlled);
        break;
    default:
        on_failed (asset, &body.failed);
    }
}
