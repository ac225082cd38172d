/*  model.h - what must come of it: a deliberately simple ledger that shares no code with the real ones.

    It is told what was asked for, and hears each decision of a ledger once, in the order in which they became
    durable. For each it works out by itself what the decision had to be, from its own balances, and fails
    when it was another.
*/
#ifndef TIM3_TESTS_SIM_MODEL_H
#define TIM3_TESTS_SIM_MODEL_H

#include "sim.h"

typedef struct {
    unsigned asset;
    tim3_id_t tx;
    unsigned kind;    /* TIM3_TX_KIND_... */
    unsigned control; /* TIM3_CONTROL_... */
    char account[TIM3_ACCOUNT_MAX + 1];
    char to[TIM3_ACCOUNT_MAX + 1];
    tim3_amount_t amount;
} sim_payload_t;

/*  What became of a tx in a shard: whoever makes up a tx can hand it to several.  */
typedef struct {
    unsigned asset;
    unsigned shard;
    tim3_id_t tx;
    bool locked; /* collateral is or was in the vault for it */
    char lock_account[TIM3_ACCOUNT_MAX + 1];
    tim3_amount_t lock_amount;
    bool released_void;
    bool released_burn;
    bool sent; /* to another shard */
    char sent_to[TIM3_ACCOUNT_MAX + 1];
    bool received;
    bool returned;
    bool decided; /* by the token manager, of whichever shard has the last word */
    unsigned code;
    sim_payload_t payload; /* the one that was executed or refused; of a refused transfer without receiver */
    tim3_amount_t balance;
    tim3_amount_t to_balance;
    tim3_amount_t supply;
} sim_fate_t;

typedef struct {
    char account[TIM3_ACCOUNT_MAX + 1];
    tim3_amount_t balance;
    bool frozen;
} sim_holder_t;

#define SIM_HOLDERS_MAX 64

/*  What an asset's ledgers of one shard must have.  */
typedef struct {
    tim3_amount_t supply;
    tim3_amount_t minted;
    tim3_amount_t burned;
    tim3_amount_t locked;    /* one of these two is zero */
    tim3_amount_t overdrawn;
    tim3_amount_t cap; /* of the asset */
    bool paused;
    uint64_t events[TIM3_ROLE_COUNT];
} sim_shard_t;

typedef struct {
    sim_holder_t holders[SIM_HOLDERS_MAX];
    unsigned holder_count;
    sim_shard_t shards[SIM_SHARDS_MAX];
} sim_book_t;

sim_book_t *sim_model_book (unsigned asset);
/*  Made when it is not there yet.  */
sim_holder_t *sim_model_holder (unsigned asset, const char *account);

/*  Somebody has asked for this, so it may happen.  */
void sim_model_expect (const sim_payload_t *payload);
/*  Whether what the event follows from has been told: of two ledgers that commit together, the events of one can depend
    on those of the other.  */
bool sim_model_ready (unsigned asset, unsigned shard, const tim3_event_item_t *item);
/*  A ledger of the asset, of that shard, has decided.  */
void sim_model_event (unsigned asset, unsigned shard, const tim3_event_item_t *item);
/*  NULL when no ledger has heard of it.  */
const sim_fate_t *sim_model_fate (unsigned asset, unsigned shard, const tim3_id_t *tx);
/*  How many transfers have left one shard and neither arrived nor come back.  */
unsigned sim_model_crossing (void);
/*  Walks all; NULL past the end.  */
const sim_fate_t *sim_model_fate_at (unsigned position);
bool sim_model_same (const sim_payload_t *a, const sim_payload_t *b);

#endif
