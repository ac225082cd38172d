/*  store.h - the interface of every agent's store, and the typed tables in it.

    One writer; ordered tables of key -> record; all changes since the last commit become durable together or
    not at all. Reads see the writer's own uncommitted changes.

    Promise: when tim3_store_commit returns 0, everything put or deleted before it survives kill -9 and power
    loss; after a crash the store holds exactly what some commit left, never less than the last one that
    returned. Settings behind it: LMDB with full sync, one environment per agent, exclusive lock.

    Errors are latched: after the first failing call the others do nothing, tim3_store_commit refuses, and
    tim3_store_error tells why. TIM3_STORE_FULL is left by tim3_store_abort; the rest ends the process, for
    after a failed sync nothing that the handle says can be trusted.
*/
#ifndef TIM3_STORE_H
#define TIM3_STORE_H

#include "wire/messages.h"

/*  T (number, NAME, "name", "owner", record, "key")
    Numbers are unique over all agents, so that several cores can share one store, and are never reused.  */
#define TIM3_TABLES(T)                                                                                     \
    T (1, META, "meta", "all", store_meta, "\"store\"")                                                    \
    T (2, OUTBOX, "outbox", "all", run, "event seq")                                                       \
    T (3, COUNTER, "counter", "all", counter, "name")                                                      \
    T (4, CHECKPOINT, "checkpoint", "all", checkpoint, "\"checkpoint\"")                                   \
    T (5, ROUTER_SEEN, "router_seen", "all", router_seen, "\"router\"")                                    \
    T (10, LOCK, "lock", "lock_manager", lock_item, "tx")                                                  \
    T (12, RELEASE, "release", "lock_manager", lock_item, "tx of the redemption")                          \
    T (13, LOCK_DUE, "lock_due", "lock_manager", deadline, "due_us")                                       \
    T (14, LOCK_TOTALS, "lock_totals", "lock_manager", lock_totals, "\"totals\"")                          \
    T (15, LOCK_DUE_LIST, "lock_due_list", "lock_manager", deadline_list, "due_us, list number")           \
    T (20, ACCOUNT, "account", "token_manager", account, "account")                                        \
    T (21, RECORD, "record", "token_manager", transaction, "tx")                                           \
    T (23, FAILED_BY_ACCOUNT, "failed_by_account", "token_manager", mark, "account, tx")                   \
    T (24, BURN_DUE, "burn_due", "token_manager", deadline, "due_us")                                      \
    T (25, LEDGER, "ledger", "token_manager", ledger, "\"ledger\"")                                        \
    T (26, BURN_DUE_LIST, "burn_due_list", "token_manager", deadline_list, "due_us, list number")          \
    T (30, HOLDING, "holding", "mock_usda", holding, "account")                                            \
    T (31, COLLATERAL_RECORD, "collateral_record", "mock_usda", collateral_record, "operation, tx, vault, account") \
    T (32, VAULT, "vault", "mock_usda", vault, "vault")                                                    \
    T (33, COLLATERAL_TOTALS, "collateral_totals", "mock_usda", collateral_totals, "\"totals\"")           \
    T (40, POSITION, "position", "state_manager", position, "asset, account")                              \
    T (41, ASSET_METRICS, "asset_metrics", "state_manager", asset_metrics, "asset")                        \
    T (43, SHARD_METRICS, "shard_metrics", "state_manager", shard_metrics, "asset, shard")                 \
    T (42, LOG_CURSOR, "log_cursor", "state_manager", log_cursor, "\"cursor\"")                            \
    T (50, REGISTRY, "registry", "router", agent, "address")                                               \
    T (51, LOG, "log", "router", run, "offset")                                                            \
    T (52, LOG_SOURCE, "log_source", "router", log_source, "source, store id")                             \
    T (53, STANDING, "standing", "router", standing_item, "address")                                       \
    T (54, LIFE, "life", "router", life, "incarnation")

typedef enum {
#define T(number, NAME, name, owner, record, key) TIM3_TABLE_##NAME = number,
    TIM3_TABLES (T)
#undef T
} tim3_table_t;

typedef struct {
    tim3_table_t number;
    const char *name;
    const char *owner;
    const tim3_shape_t *shape;
    const char *key;
} tim3_table_row_t;

/*  NULL past the end.  */
const tim3_table_row_t *tim3_table_at (unsigned position);
const tim3_table_row_t *tim3_table (tim3_table_t table);

/*  Version of the tables: of their layout, and of what their keys and the receipts in them are made from. A store of another version is migrated at opening,
    or refused.  */
#define TIM3_SCHEMA_VERSION 5

/*  ------------------------------------------------------------------------------------------- keys
    Ordered byte strings, built part by part: texts end with a NUL so that one is no prefix of another,
    numbers are big-endian.  */

#define TIM3_KEY_MAX 192

typedef struct {
    uint8_t data[TIM3_KEY_MAX];
    uint16_t size;
} tim3_key_t;

tim3_key_t tim3_key_empty (void);
tim3_key_t tim3_key_text (const char *text);
tim3_key_t tim3_key_u64 (uint64_t number);
tim3_key_t tim3_key_id (const tim3_id_t *id);
/*  The same without a copy of the key, which is large: for what is done with every message.  */
void tim3_key_set_text (tim3_key_t *key, const char *text);
void tim3_key_set_id (tim3_key_t *key, const tim3_id_t *id);
void tim3_key_add_text (tim3_key_t *key, const char *text);
void tim3_key_add_u64 (tim3_key_t *key, uint64_t number);
void tim3_key_add_u8 (tim3_key_t *key, uint8_t number);
void tim3_key_add_id (tim3_key_t *key, const tim3_id_t *id);
bool tim3_key_has_prefix (const tim3_key_t *key, const tim3_key_t *prefix);
/*  The big-endian number or id at a place of a key; the key must be long enough.  */
uint64_t tim3_key_read_u64 (const tim3_key_t *key, size_t at);
tim3_id_t tim3_key_read_id (const tim3_key_t *key, size_t at);

/*  ------------------------------------------------------------------------------------------ the store  */

typedef enum {
    TIM3_STORE_OK,
    TIM3_STORE_FULL,    /* disk or map: abort, refuse, go on */
    TIM3_STORE_CORRUPT, /* a record does not decode */
    TIM3_STORE_IO       /* anything else */
} tim3_store_error_t;

typedef enum { TIM3_SEEK_GE, TIM3_SEEK_GT, TIM3_SEEK_LE, TIM3_SEEK_LT } tim3_seek_t;

typedef struct tim3_store tim3_store_t;

/*  How far a copy is.  */
typedef struct {
    int state; /* TIM3_COPY_STATE_*, 0 for none */
    uint64_t rows;
    uint64_t rows_total;
    char why[240]; /* when it failed */
} tim3_store_copy_t;

/*  What an implementation provides. Values are valid until the next put, delete, commit or abort.  */
typedef struct {
    bool (*get) (tim3_store_t *self, tim3_table_t table, const tim3_key_t *key, const uint8_t **value,
                 size_t *size);
    /* NULL where there is nothing to gain */
    void (*fetch) (tim3_store_t *self, tim3_table_t table, const tim3_key_t *key);
    void (*put) (tim3_store_t *self, tim3_table_t table, const tim3_key_t *key, const uint8_t *value,
                 size_t size);
    void (*del) (tim3_store_t *self, tim3_table_t table, const tim3_key_t *key);
    /* the key nearest to *key in that direction within the table; *key becomes it */
    bool (*seek) (tim3_store_t *self, tim3_table_t table, tim3_seek_t how, tim3_key_t *key,
                  const uint8_t **value, size_t *size);
    int (*commit) (tim3_store_t *self);
    void (*abort) (tim3_store_t *self);
    bool (*dirty) (tim3_store_t *self);
    /* bytes used and bytes at most, for health */
    void (*usage) (tim3_store_t *self, uint64_t *used, uint64_t *most);
    void (*close) (tim3_store_t *self);
    /* commits that changed something and are durable, counted over the store's whole life and that of the stores
       which it was copied from */
    uint64_t (*commits) (tim3_store_t *self);
    /* all three NULL in a store that cannot be copied; see tim3_store_copy_begin */
    int (*copy_begin) (tim3_store_t *self, const char *path, char *why, size_t why_size);
    void (*copy_look) (tim3_store_t *self, tim3_store_copy_t *copy);
    void (*copy_end) (tim3_store_t *self, bool keep);
    /* both NULL in a store without a journal; see tim3_store_note and tim3_store_fresh */
    void (*note) (tim3_store_t *self, const void *data, size_t size);
    bool (*fresh) (tim3_store_t *self);
} tim3_store_ops_t;

/*  First member of every implementation.  */
struct tim3_store {
    const tim3_store_ops_t *ops;
    tim3_store_error_t error;
    tim3_buffer_t scratch;
};

/*  Typed access; record is a struct of the table's shape. tim3_store_read returns whether it is there, and
    leaves record zeroed when not. RAW members point into the store and live until the next change.  */
bool tim3_store_read (tim3_store_t *self, tim3_table_t table, const tim3_key_t *key, void *record);
void tim3_store_write (tim3_store_t *self, tim3_table_t table, const tim3_key_t *key, const void *record);
/*  A hint that the key will be read soon: brings what is in memory into the processor's cache meanwhile.  */
void tim3_store_fetch (tim3_store_t *self, tim3_table_t table, const tim3_key_t *key);
bool tim3_store_has (tim3_store_t *self, tim3_table_t table, const tim3_key_t *key);
void tim3_store_delete (tim3_store_t *self, tim3_table_t table, const tim3_key_t *key);
bool tim3_store_seek (tim3_store_t *self, tim3_table_t table, tim3_seek_t how, tim3_key_t *key, void *record);

/*  0 when durable; -1 with the error latched. With nothing changed it is free.  */
int tim3_store_commit (tim3_store_t *self);
/*  Forgets everything since the last commit, and the error if it was TIM3_STORE_FULL.  */
void tim3_store_abort (tim3_store_t *self);
bool tim3_store_dirty (tim3_store_t *self);
tim3_store_error_t tim3_store_error (const tim3_store_t *self);
/*  Notes something that leads to the changes of the next commit (see cause.h). A store with a journal writes it into the record of that
    commit, for tim3ctl replay; others ignore it. Abort forgets what was noted since the last commit.  */
void tim3_store_note (tim3_store_t *self, const void *data, size_t size);
/*  True once after a new stretch of the journal has begun. Replay can run a stretch by itself, from nothing but the store as it was.  */
bool tim3_store_fresh (tim3_store_t *self);
void tim3_store_usage (tim3_store_t *self, uint64_t *used, uint64_t *most);
void tim3_store_close (tim3_store_t **self);

/*  Commits that changed something, over its whole life; 0 in a store that does not count.  */
uint64_t tim3_store_commits (tim3_store_t *self);

/*  Begins a copy of what the last commit left, in a directory that is made for it; between batches only. It takes no
    longer than beginning a transaction: the copy is made in the background, while the store is used. -1 with why
    filled when there is such a directory, or another copy is not ended; all else tim3_store_copy_look tells. The copy is
    refused by agents, as every copy is, until tim3_store_restore_lmdb has put it in its place.  */
int tim3_store_copy_begin (tim3_store_t *self, const char *path, char *why, size_t why_size);
void tim3_store_copy_look (tim3_store_t *self, tim3_store_copy_t *copy);
/*  Waits until it has stopped. Unless it is complete and to be kept, its directory is deleted. Closing the store
    does so too.  */
void tim3_store_copy_end (tim3_store_t *self, bool keep);

/*  ---------------------------------------------------------------------------------------------- opening  */

/*  What a ledger's store was made with, and is refused with anything else: its amounts, accounts and locks would mean something else. Zeros
    and "" for agents that are no ledger.  */
typedef struct {
    unsigned shards; /* that each ledger of the asset has */
    unsigned decimals;
    const char *collateral; /* may be NULL: "" */
    unsigned collateral_decimals;
} tim3_store_terms_t;

typedef struct {
    const char *path;  /* directory; made when missing, mode 0700 */
    const char *name;  /* agent it belongs to */
    uint64_t map_size; /* bytes of address space; the file grows as needed up to this */
    uint64_t now_us;
    tim3_id_t fresh_id;        /* identity to give to a store that is made now */
    bool adopt;                /* take over a copy: a restore says so */
    bool journal;              /* in two tiers; else LMDB alone */
    bool shared; /* by several agents, of which name is one: see tim3_store_view */
    tim3_store_terms_t terms;
    uint64_t checkpoint_bytes; /* these as in store_tiers.h */
    uint64_t memory_most;
    uint64_t keep_us;
    uint64_t keep_bytes;
    bool *full; /* may be NULL; tells after a failure whether the disk is full, so that it may pass */
} tim3_store_options_t;

/*  NULL with why filled (a sentence that says what to do) when it is locked by another process, belongs to
    another agent, was copied, is damaged, was begun on other terms, or is of another schema. Opened without a journal, a store that had one takes it in first.  */
tim3_store_t *tim3_store_open (const tim3_store_options_t *options, tim3_store_meta_t *meta, char *why,
                               size_t why_size);

/*  Opens a store whose agent is stopped, or a copy of one, for reading alone: nothing in the directory is
    written, and every change is an error. Holds the lock that an agent would hold. NULL with why filled as
    above; in_use tells that it is because a process has it open. Reading from a file that is cut short or
    damaged below its rows can end in SIGBUS or SIGSEGV.  */
tim3_store_t *tim3_store_open_read_only (const char *path, tim3_store_meta_t *meta, bool *in_use, char *why,
                                         size_t why_size);

/*  The same for the environment alone; whoever asks for a journal opens more than that.  */
tim3_store_t *tim3_store_open_lmdb (const tim3_store_options_t *options, tim3_store_meta_t *meta, char *why,
                                    size_t why_size);
tim3_store_t *tim3_store_open_lmdb_read_only (const char *path, tim3_store_meta_t *meta, bool *in_use,
                                              char *why, size_t why_size);

/*  One agent's view of a store that several share: the tables of its role, and its own rows of the tables that all agents have. Closing
    a view does not close the shared store, which must outlive it.  */
tim3_store_t *tim3_store_view (tim3_store_t *shared, tim3_role_t role);
/*  Each agent has rows of its own in that table: in a shared store a byte stands before their keys, the agent's role.  */
bool tim3_store_view_is_apart (tim3_table_t table);
/*  Puts a copy that was made by tim3_store_copy_begin into a directory of its own, as the store which it is a copy
    of, with the same identity and count of commits: nothing has happened to it since. The directory is made, and
    must not be there. 0, or -1 with why filled.  */
int tim3_store_restore_lmdb (const char *from, const char *path, char *why, size_t why_size);

#endif
