/*  metrics.h - THE table of metrics: what agents answer to Stats, besides the counters that have a table of their own
    (TIM3_HOST_COUNTERS in host.h, TIM3_BROKER_COUNTERS in the router's broker.h).

    M (name, "who", "what it tells")

    A name that ends with a unit (_us, _bytes, _units of the ledger, ...) or says so is a gauge; all others count since the
    process began. docs/PROTOCOL.md lists them.
*/
#ifndef TIM3_METRICS_H
#define TIM3_METRICS_H

#define TIM3_LEDGERS "lock_manager, token_manager"
#define TIM3_METRICS(M)                                                                                      \
    M (store_used_bytes, "all", "of the store's map, gauge")                                                 \
    M (store_most_bytes, "all", "size of that map: agents/map_size_mb")                                      \
    M (events_waiting, "all", "events that are not known to be durable on the bus, gauge")                   \
    M (cpu_user_us, "all", "CPU time of the process in its own code")                                        \
    M (cpu_system_us, "all", "CPU time of the process in the kernel")                                        \
    M (memory_most_kb, "all", "most memory that the process has had")                                        \
    M (answers_dropped, "all", "frames for peers that are gone or do not read")                              \
    M (sends_dropped, "all", "frames for agents whose queue is full")                                        \
    M (unrouted, "all", "frames for agents of which no endpoint is known")                                   \
    M (kept_dropped, "all", "frames that were too many to keep while the agent was held for a backup")       \
    /* coordinator */                                                                                        \
    M (in_flight, "coordinator", "transactions under way, gauge")                                            \
    M (waiting, "coordinator, lock_manager", "requests that wait beside the first of their transaction, gauge") \
    M (completed, "coordinator", "transactions that it brought to their end")                                \
    M (failed, "coordinator, token_manager", "transactions that were refused or voided; a ledger counts all it has recorded") \
    M (resent, "coordinator", "times that a ledger was asked again")                                         \
    M (overloaded, "coordinator", "requests told overloaded: as many as allowed were in flight")             \
    M (abandoned, "coordinator", "transactions told no_answer, after two minutes")                           \
    /* ledgers: what is theirs, in minor units of the asset, is from the store */                            \
    M (locked_units, "lock_manager", "collateral locked, gauge")                                             \
    M (overdrawn_units, "lock_manager", "released beyond what was locked in this shard, gauge")              \
    M (in_flight_units, "lock_manager", "part of locked whose mint is not settled, gauge")                   \
    M (locks, "lock_manager", "locks ever confirmed")                                                        \
    M (releases, "lock_manager", "releases ever decided")                                                    \
    M (locks_refused, "lock_manager", "locks ever refused by the collateral token")                          \
    M (supply_units, "token_manager", "tokens in existence in this shard, gauge")                            \
    M (mints, "token_manager", "mints ever done")                                                            \
    M (burns, "token_manager", "burns ever done")                                                            \
    M (transfers, "token_manager", "transfers ever done or received")                                        \
    M (sent, "token_manager", "transfers ever sent to other shards")                                         \
    M (returned, "token_manager", "those of them that came back")                                            \
    M (crossing_units, "token_manager", "sent to other shards and not confirmed, modulo 2^128, gauge")       \
    M (unsettled, TIM3_LEDGERS, "records that are not final, gauge")                                         \
    M (swept, TIM3_LEDGERS, "times that the sweep pushed such a record on")                                  \
    M (bad_receipts, TIM3_LEDGERS ", mock_usda", "messages whose receipt does not hold: somebody forges, or keys differ") \
    M (conflicts, "lock_manager, mock_usda", "good receipts that do not fit the ledger: should stay 0")      \
    /* mock USDA */                                                                                          \
    M (issued_units, "mock_usda", "collateral ever made by the faucet, in its own minor units")              \
    M (accounts, "mock_usda", "accounts ever seen")                                                          \
    M (operations, "mock_usda", "operations ever decided")                                                   \
    /* state manager */                                                                                      \
    M (events_applied, "state_manager", "events applied")                                                    \
    M (events_stale, "state_manager", "events passed over: one with their number was applied before")        \
    M (events_unreadable, "state_manager", "events that cannot be decoded")                                  \
    M (events_missing, "state_manager", "events ever missing or unreadable; positions may be wrong")         \
    M (event_log_next_offset, "state_manager", "offset that it reads next, gauge")                           \
    M (event_log_end_offset, "state_manager", "end of the log as it last heard, gauge")                      \
    M (stretches_ignored, "state_manager", "stretches of the log that did not begin where it is")            \
    M (sums_saturated, "state_manager", "sums that would not fit 128 bits and stand at the most")            \
    M (agents_known, "state_manager", "agents in the registry, gauge")                                       \
    /* router; the front has TIM3_BROKER_COUNTERS besides */                                                 \
    M (front_clients, "router", "clients connected, gauge")                                                  \
    M (front_clients_most, "router", "most that may be: router/clients, or less where files are few")        \
    M (front_clients_refused, "router", "connections ended because there were as many")                      \
    M (front_unread_bytes, "router", "answers that clients have not read yet, gauge")                        \
    M (agents_alive, "router", "agents whose heartbeats are fresh, gauge")                                   \
    M (agents_dead, "router", "agents that are registered and silent, gauge")                                \
    M (registry_generation, "router", "changes with the registry")                                           \
    M (log_end_offset, "router", "offset that the next new event gets, gauge")                               \
    M (events_appended, "router", "events taken into the log")                                               \
    M (events_duplicate, "router", "events that the log had already")                                        \
    M (event_gaps, "router", "publications refused because events before them are missing")                  \
    M (events_sent, "router", "events sent to subscribers")                                                  \
    M (subscriptions, "router", "subscriptions, gauge")

typedef enum {
#define M(name, who, text) TIM3_METRIC_##name,
    TIM3_METRICS (M)
#undef M
        TIM3_METRICS_END
} tim3_metric_name_t;

#endif
