/*  tim3ctl_fsck.h - what the files of fsck share: the stores that are open, walking their tables, and saying
    what is wrong.

        tim3_fsck_place_t at = {store, TIM3_TABLE_RECORD, tim3_key_empty ()};
        while (tim3_fsck_next (self, &at, &record))
            if (wrong (&record))
                tim3_fsck_problem (self, &at, "amount is %s", ...);
        tim3_fsck_section (self, store->meta.name, "%llu records", ...);

    Stores are only read. Problems are printed as they are found, the line of their section behind them.
*/
#ifndef TIM3CTL_FSCK_H
#define TIM3CTL_FSCK_H

#include "store/store.h"
#include "wire/run.h"

#include <jansson.h>

/*  ---------------------------------------------------------------------------------------------- a map
    From bytes to zeroed values of one size. It holds what is compared, in memory.  */

typedef struct tim3_fsck_map tim3_fsck_map_t;

tim3_fsck_map_t *tim3_fsck_map_new (size_t value_size);
void tim3_fsck_map_destroy (tim3_fsck_map_t **self_p);
/*  The value of a key, made when it is not there; stays where it is until the map is destroyed.  */
void *tim3_fsck_map_take (tim3_fsck_map_t *self, const void *key, size_t key_size);
/*  NULL when it is not there.  */
void *tim3_fsck_map_find (const tim3_fsck_map_t *self, const void *key, size_t key_size);
/*  Calls each with every key and value, in the order in which they were made.  */
typedef void (tim3_fsck_map_fn) (void *arg, const void *key, size_t key_size, void *value);
void tim3_fsck_map_each (const tim3_fsck_map_t *self, tim3_fsck_map_fn *each, void *arg);

/*  -------------------------------------------------------------------------------------------- the run  */

typedef struct {
    tim3_store_t *store;
    tim3_store_t *shared; /* of which store is one agent's sight, or NULL; the first of those agents closes it */
    bool closes_shared;
    tim3_store_meta_t meta;
    tim3_address_t address;
    uint64_t rows[256];    /* by table */
    tim3_fsck_map_t *seen; /* of a ledger: by tx, a uint32_t of what was found elsewhere about it */
} tim3_fsck_store_t;

typedef struct {
    const char *data;
    tim3_fsck_store_t *stores;
    unsigned store_count;
    unsigned unused_count; /* those behind, which no agent uses and nothing is checked in */
    bool json;
    bool stopped; /* by Ctrl-C */
    uint64_t problems;
    uint64_t problems_told; /* those of the sections that are done */
    uint64_t begun_us;
    uint64_t progress_us;
    uint64_t walked;
    json_t *sections;
    json_t *listed;
    json_t *unchecked;
    json_t *unused;
} tim3_fsck_t;

/*  A row of a table, or with table 0 a whole store.  */
typedef struct {
    const tim3_fsck_store_t *store;
    tim3_table_t table;
    tim3_key_t key;
} tim3_fsck_place_t;

/*  NULL when there is none.  */
tim3_fsck_store_t *tim3_fsck_store (const tim3_fsck_t *self, tim3_role_t role, const char *asset, int shard);

/*  ------------------------------------------------------------------------------------------- reading  */

/*  Moves to the next row and reads it. Rows whose key or record cannot be read are passed over:
    tim3_fsck_shapes has told of them.  */
bool tim3_fsck_next (tim3_fsck_t *self, tim3_fsck_place_t *at, void *record);
bool tim3_fsck_read (const tim3_fsck_place_t *at, void *record);
/*  Number of the last event that the agent has emitted.  */
uint64_t tim3_fsck_last_event (const tim3_fsck_store_t *store);
bool tim3_fsck_has (const tim3_fsck_store_t *store, tim3_table_t table, const tim3_key_t *key);
bool tim3_fsck_read_tx (const tim3_fsck_store_t *store, tim3_table_t table, const tim3_id_t *tx,
                        void *record);
/*  The events in a table's runs one by one: begins with {.at = ...}. What of a run cannot be read is passed over; tim3_fsck_log tells
    of it.  */
typedef struct {
    tim3_fsck_place_t at;
    tim3_run_walk_t walk;
} tim3_fsck_events_t;
bool tim3_fsck_next_event (tim3_fsck_t *self, tim3_fsck_events_t *events, tim3_event_item_t *item);
/*  Goes through all tables of a store: each row must belong there, have a key of its table's form and a
    record that can be read.  */
void tim3_fsck_shapes (tim3_fsck_t *self, tim3_fsck_store_t *store);
/*  False after telling that reading the store has failed so far.  */
bool tim3_fsck_readable (tim3_fsck_t *self, const tim3_fsck_store_t *store);
/*  Copies the text with which a row's key begins.  */
void tim3_fsck_key_name (const tim3_fsck_place_t *at, char *name, size_t size);
/*  "account alice, entry number 3". False when the key has not the form of its table.  */
#define TIM3_FSCK_KEY_TEXT_MAX 512
bool tim3_fsck_key_text (tim3_table_t table, const tim3_key_t *key, char text[TIM3_FSCK_KEY_TEXT_MAX]);

/*  ------------------------------------------------------------------------------------------- telling  */

/*  More problems than this are only counted.  */
#define TIM3_FSCK_SHOWN_MOST 100
/*  at NULL: about no store.  */
void tim3_fsck_problem (tim3_fsck_t *self, const tim3_fsck_place_t *at, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
/*  One problem for each field in which what a row holds differs from what was derived; from says where
    that was derived from.  */
void tim3_fsck_compare (tim3_fsck_t *self, const tim3_fsck_place_t *at, const tim3_shape_t *shape,
                        const void *found, const void *derived, const char *from);
/*  Ends a section: prints its name, what was counted, and whether there were problems.  */
void tim3_fsck_section (tim3_fsck_t *self, const char *name, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
void tim3_fsck_unchecked (tim3_fsck_t *self, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
/*  Of a store that holds nothing: it is told, and no problem.  */
void tim3_fsck_unused (tim3_fsck_t *self, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
/*  Counts a row; tells on stderr how far it is when it takes long. False when Ctrl-C has ended the run:
    from then on nothing is read to its end, so nothing is told.  */
bool tim3_fsck_progress (tim3_fsck_t *self, const tim3_fsck_place_t *at);

/*  Sums of what never adds up to more than there can be, and of what its agent sums up so: they stop at the most and the least, and what is
    compared with them differs then.  */
void tim3_fsck_add (tim3_amount_t *sum, tim3_amount_t amount);
void tim3_fsck_sub (tim3_amount_t *sum, tim3_amount_t amount);

/*  What locks and releases have moved is one sum with its sign, `locked` or `overdrawn`: what is added to the one is first taken from
    the other. Modulo 2^128, as the lock manager keeps them.  */
void tim3_fsck_move_net (tim3_amount_t *up, tim3_amount_t *down, tim3_amount_t amount);
/*  Shards of the ledger that a store is one of.  */
unsigned tim3_fsck_shards (const tim3_fsck_store_t *store);
/*  Whether an account belongs to the store's shard.  */
bool tim3_fsck_is_own (const tim3_fsck_store_t *store, const char *account);

/*  What a record of a token manager has to do with its shard. One that was refused and has no entry has moved nothing.  */
typedef enum {
    TIM3_FSCK_WITHIN,   /* all of it is in this shard */
    TIM3_FSCK_LEAVES,   /* a transfer to another shard */
    TIM3_FSCK_CAME,     /* a transfer from another shard */
} tim3_fsck_way_t;
tim3_fsck_way_t tim3_fsck_way (const tim3_fsck_store_t *store, const tim3_transaction_t *record);
/*  A transfer to another shard that was refused there, and given back.  */
bool tim3_fsck_came_back (const tim3_fsck_store_t *store, const tim3_transaction_t *record);
/*  Whether it has moved the balance of its account, and of its receiver (or its account's once more, when it came back), here.  */
bool tim3_fsck_moves_from (const tim3_fsck_store_t *store, const tim3_transaction_t *record);
bool tim3_fsck_moves_to (const tim3_fsck_store_t *store, const tim3_transaction_t *record);

/*  -------------------------------------------------------------------------------------------- checks  */

/*  In seen of a token manager's store.  */
#define TIM3_FSCK_ENTRY 1u    /* an entry in the history of the record's account */
#define TIM3_FSCK_ENTRY_TO 2u /* one in that of a transfer's receiver */
#define TIM3_FSCK_EVENT 4u    /* the event of the record */
/*  In seen of a lock manager's store.  */
#define TIM3_FSCK_LOCKED 8u         /* collateral.locked */
#define TIM3_FSCK_RELEASED_VOID 16u /* collateral.released of a lock */
#define TIM3_FSCK_RELEASED_BURN 32u /* collateral.released of a redemption's release */

/*  In seen of either: a place in the index of what is unfinished; of a lock, or a burn, and of a release.  */
#define TIM3_FSCK_DUE 64u
#define TIM3_FSCK_DUE_RELEASE 128u
/*  In seen of a token manager's store: transaction.failed of a transfer that came back.  */
#define TIM3_FSCK_CAME_BACK 256u

uint32_t *tim3_fsck_seen (const tim3_fsck_store_t *store, const tim3_id_t *tx);

/*  What a tail names: due_us is that of its record, 0 when it is final.  */
typedef struct {
    tim3_id_t tx;
    uint64_t due_us;
    uint32_t bit;
} tim3_fsck_tail_t;

/*  An index of what is unfinished, and how its ledger finds the record of a tail; false when there is none.  */
typedef struct {
    tim3_table_t deadlines;
    tim3_table_t lists;
    size_t tail_size;
    bool (*find) (const tim3_fsck_store_t *store, const uint8_t *tail, tim3_fsck_tail_t *found);
} tim3_fsck_due_t;

/*  Checks the index, then whether a record that is not final has a place in it.  */
void tim3_fsck_due (tim3_fsck_t *self, const tim3_fsck_store_t *store, const tim3_fsck_due_t *due);
void tim3_fsck_expect_due (tim3_fsck_t *self, const tim3_fsck_place_t *at, const tim3_fsck_due_t *due,
                           const tim3_id_t *tx, uint32_t bit);

/*  Whether a ledger's store is as it was made: nothing has happened in it. Its rows have been counted.  */
bool tim3_fsck_is_empty (const tim3_fsck_store_t *store);
/*  Takes the stores that no agent uses out of those that are checked. Pointers to stores are void then.  */
void tim3_fsck_set_aside (tim3_fsck_t *self);
void tim3_fsck_tokens (tim3_fsck_t *self, const tim3_fsck_store_t *store);
void tim3_fsck_locks (tim3_fsck_t *self, const tim3_fsck_store_t *store);
void tim3_fsck_collateral (tim3_fsck_t *self, const tim3_fsck_store_t *store);
void tim3_fsck_across (tim3_fsck_t *self, const tim3_fsck_store_t *locks);
/*  What is here has its peer here.  */
void tim3_fsck_paired (tim3_fsck_t *self, const tim3_fsck_store_t *tokens);
void tim3_fsck_vaults (tim3_fsck_t *self, const tim3_fsck_store_t *collateral);
void tim3_fsck_log (tim3_fsck_t *self, const tim3_fsck_store_t *router);
/*  log_end: offset of the next event.  */
void tim3_fsck_standings (tim3_fsck_t *self, const tim3_fsck_store_t *router, uint64_t log_end);
void tim3_fsck_replay (tim3_fsck_t *self, const tim3_fsck_store_t *router);
void tim3_fsck_state (tim3_fsck_t *self, const tim3_fsck_store_t *state);
void tim3_fsck_keys (tim3_fsck_t *self);

/*  The body of any event of a ledger.  */
typedef union {
    tim3_collateral_locked_t locked;
    tim3_collateral_released_t released;
    tim3_token_changed_t changed;
    tim3_token_transferred_t transferred;
    tim3_token_crossed_t crossed;
    tim3_token_controlled_t controlled;
    tim3_transaction_failed_t failed;
} tim3_fsck_event_t;

#endif
