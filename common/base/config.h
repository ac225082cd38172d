/*  config.h - the configuration: one table of keys, read from a ZPL file (czmq's zconfig, ZeroMQ RFC 4).

    K (section, name, KIND, least, most, "default", "help")

    The section with the star stands for one section per asset, named by the asset. Kinds: U64 (least, most),
    AMOUNT (decimal text, in the unit of the asset or else of the collateral; "none" for no limit), TEXT (least and most length),
    CHOICE (help begins with the words allowed, split by |, before a colon), BOOL (yes or no).
    A key or section that is not in the table is an error, named with its place; so is a value out of range.
*/
#ifndef TIM3_CONFIG_H
#define TIM3_CONFIG_H

#include "base/amount.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIM3_CONFIG_KEYS(K)                                                                                 \
    K ("agents", "log_level", CHOICE, 0, 0, "info", "debug|info|warn|error: least level that is logged")    \
    K ("agents", "heartbeat_ms", U64, 50, 60000, "1000", "how often agents report to the registry")         \
    K ("agents", "sweep_after_ms", U64, 50, 3600000, "5000",                                                \
       "age at which unfinished work is pushed on by the ledgers themselves")                               \
    K ("agents", "sweep_most_ms", U64, 50, 3600000, "10000", "longest wait between two pushes of the same") \
    K ("agents", "retry_ms", U64, 20, 60000, "1000", "wait before an unanswered message is sent again")     \
    K ("agents", "map_size_mb", U64, 1, 4194304, "65536",                                                   \
       "address space of each store: the most it can grow to; costs no disk until used")                    \
    K ("agents", "store", CHOICE, 0, 0, "journal", "journal|lmdb: two tiers, or LMDB alone")                \
    K ("agents", "checkpoint_mb", U64, 1, 4096, "64", "journal after which a checkpoint is made")           \
    K ("agents", "memory_mb", U64, 8, 1048576, "1024",                                                      \
       "most memory for what is not in a checkpoint; beyond it commits wait")                               \
    K ("agents", "replay_hours", U64, 0, 8784, "24", "how far back tim3ctl replay can look; 0: not at all") \
    K ("agents", "replay_mb", U64, 0, 4194304, "1024", "most disk that this may take, for each agent")      \
    K ("agents", "batch_messages", U64, 1, 65536, "4096", "most messages in one commit")                    \
    K ("agents", "transport", CHOICE, 0, 0, "ipc",                                                           \
       "ipc|tcp: how agents reach each other; tcp stays on the loopback address, for nothing is encrypted")  \
    K ("agents", "listen", TEXT, 1, 64, "127.0.0.1:17300",                                                   \
       "with tcp: HOST:PORT of the router; the other agents have the ports after it")                        \
    K ("agents", "advertise", TEXT, 0, 64, "",                                                               \
       "with tcp: what others are told instead of agents/listen, when a forwarder is in between")            \
    K ("router", "front", TEXT, 0, 200, "", "endpoint for clients; empty for DATA/run/front.sock")          \
    K ("router", "clients", U64, 1, 100000, "10000",                                                        \
       "most connections of clients; never more than half of the files that the router may open")            \
    K ("router", "queue_messages", U64, 16, 1000000, "2000",                                                \
       "most frames waiting for one agent or client; more are told overloaded, or dropped")                 \
    K ("router", "unread_mb", U64, 16, 1048576, "256",                                                      \
       "most memory for answers that clients have not read; one may have an eighth of what is free of it, "  \
       "and the rest of its answers is dropped")                                                            \
    K ("router", "in_flight", U64, 1, 1000000, "8192",                                                      \
       "most requests unanswered by all coordinators of an asset, and most others by one agent; more are "   \
       "told overloaded at once")                                                                           \
    K ("router", "answer_within_ms", U64, 1, 60000, "250",                                                  \
       "time in which they should be answered: while they are not, fewer are accepted")                      \
    K ("router", "give_up_ms", U64, 100, 3600000, "5000",                                                   \
       "time after which one that is not answered does not count any more")                                  \
    K ("coordinator", "in_flight", U64, 1, 1000000, "8192",                                                 \
       "most transactions under way in one coordinator; more are told overloaded")                          \
    K ("collateral", "name", TEXT, 1, 16, "USDA", "name of the collateral token")                           \
    K ("collateral", "decimals", U64, 0, 30, "18", "its decimals; no asset may have more")                  \
    K ("collateral", "faucet", BOOL, 0, 0, "yes", "yes or no: anyone may make collateral (development)")    \
    K ("asset/*", "decimals", U64, 0, 30, "6", "decimals of the asset's minor unit")                        \
    K ("asset/*", "coordinators", U64, 1, 64, "2", "coordinators started for the asset")                    \
    K ("asset/*", "shards", U64, 1, 16, "1",                                                                \
       "shards of each ledger, by account; a ledger keeps the number that it was made with")                 \
    K ("asset/*", "critical_path", CHOICE, 0, 0, "split",                                                    \
       "split|merged: ledgers in processes of their own, or those of a shard in that of the coordinator of its number") \
    K ("asset/*", "cap", AMOUNT, 0, 0, "none", "first supply cap; changed later with tim3ctl cap")

/*  Ports kept for the agents of one configuration, from that of agents/listen on.  */
#define TIM3_PORTS_MAX 3100

typedef enum {
    TIM3_KEY_U64,
    TIM3_KEY_AMOUNT,
    TIM3_KEY_TEXT,
    TIM3_KEY_CHOICE,
    TIM3_KEY_BOOL
} tim3_config_kind_t;

typedef struct {
    const char *section;
    const char *name;
    tim3_config_kind_t kind;
    uint64_t least;
    uint64_t most;
    const char *fallback;
    const char *text;
} tim3_config_key_t;

/*  Walks the table; NULL past its end.  */
const tim3_config_key_t *tim3_config_key_at (unsigned position);

typedef struct tim3_config tim3_config_t;

/*  Reads and checks the whole file. NULL with why filled ("FILE: asset/TIM3/decimal: unknown key; did you
    mean decimals?") when anything is wrong. At least one asset must be there.  */
tim3_config_t *tim3_config_load (const char *path, char *why, size_t why_size);
void tim3_config_destroy (tim3_config_t **self);

/*  Names of assets in the order of the file; NULL past the end.  */
const char *tim3_config_asset (const tim3_config_t *self, unsigned position);

/*  Value in force (given or default), as text. asset is for the section of assets, else NULL. The pair must be
    in the table: anything else is a bug, and panics.  */
const char *tim3_config_text (const tim3_config_t *self, const char *section, const char *name,
                              const char *asset);
uint64_t tim3_config_u64 (const tim3_config_t *self, const char *section, const char *name,
                          const char *asset);
bool tim3_config_bool (const tim3_config_t *self, const char *section, const char *name, const char *asset);
/*  In minor units; TIM3_AMOUNT_MAX for none.  */
tim3_amount_t tim3_config_amount (const tim3_config_t *self, const char *section, const char *name,
                                  const char *asset);

#endif
