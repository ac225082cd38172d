/*  messages.h - THE table: every message, event, record and enumeration of TIM3, declared once.

    From it come the structs (tim3_lock_t ...), the numbers (TIM3_MSG_LOCK ...), the codec, the allow matrix of
    router and agents, the stored records and docs/PROTOCOL.md. Nothing else names a message's number or field.

      M (number, NAME, name, "Name", CLASS, FROM, TO, REPLY, "what it does")

    number  explicit, never reused          CLASS  REQUEST, REPLY or EVENT
    name    of its fields: TIM3_FIELDS_name, and the struct tim3_name_t; several messages may have the same
    FROM    who may send it, TO who takes it: the end of a name under "masks" below, such as CLIENT or ANY; of more roles,
            CLIENT | TIM3_FROM_COORDINATOR. A reply says NONE, for it may only come over a connection that its taker made
    REPLY   the message that answers it when all is well; ERROR answers otherwise, and stands here in replies and events

    A field of the kind STR is an array with room for its bound. What arrives is no longer than that and ends with a NUL, so
    strcpy from one member to another of the same bound is safe.

    Every request may be sent again: those that change something carry a tx or request id, or set a state.
    Amounts are in the minor unit of the asset (or of the collateral, where said); times are microseconds
    since 1970 UTC. See shape.h for the kinds of fields.
*/
#ifndef TIM3_MESSAGES_H
#define TIM3_MESSAGES_H

#include "base/address.h"
#include "base/linkage.h"
#include "wire/shape.h"

TIM3_C_BEGIN

#define TIM3_PROTOCOL_VERSION 1

/*  Message numbers are below this.  */
#define TIM3_NUMBERS_END 256

#define TIM3_PAGE_MAX 1000              /* items in an answer to a list */
#define TIM3_CURSOR_MAX 400             /* bytes */
#define TIM3_SETTINGS_MAX 256           /* in force in an agent */
#define TIM3_VAULTS_MAX 64              /* of a collateral token */
#define TIM3_SETTLES_MAX 256            /* locks in one SettleAll */
#define TIM3_BODY_MAX 255               /* bytes of an event's body */
#define TIM3_EVENTS_MAX 1024            /* events in a run */
#define TIM3_RUN_BYTES_MAX (128 * 1024) /* bytes of a run */
#define TIM3_RUNS_MAX 1024              /* runs in one Events */
#define TIM3_TAILS_MAX 4400             /* bytes of a list of what is due */

/*  ------------------------------------------------------------------------------------- enumerations
    V (P, number, NAME, "name")
    P is the PREFIX that TIM3_ENUMERATIONS gives: TIM3_LOCK_STATE_PENDING, of the type tim3_lock_state_t.  */

#define TIM3_VALUES_tx_kind(V, P)                                                                            \
    V (P, 1, MINT, "mint") V (P, 2, REDEEM, "redeem") V (P, 3, TRANSFER, "transfer") V (P, 4, CONTROL, "control")
#define TIM3_VALUES_tx_status(V, P)                                                                          \
    V (P, 1, PENDING, "pending") V (P, 2, COMPLETED, "completed") V (P, 3, FAILED, "failed")
#define TIM3_VALUES_lock_state(V, P)                                                                         \
    V (P, 1, REQUESTED, "requested")                                                                         \
    V (P, 2, PENDING, "pending")                                                                             \
    V (P, 3, REFUSING, "refusing")                                                                           \
    V (P, 4, ACTIVE, "active") V (P, 5, RELEASING, "releasing") V (P, 6, RELEASED, "released") V (P, 7, REFUSED, "refused")
#define TIM3_VALUES_receipt_kind(V, P)                                                                       \
    V (P, 1, LOCK, "lock")                                                                                   \
    V (P, 2, REFUSAL, "refusal")                                                                             \
    V (P, 3, MINT, "mint")                                                                                   \
    V (P, 4, VOID, "void")                                                                                   \
    V (P, 5, BURN, "burn")                                                                                   \
    V (P, 6, RELEASE, "release")                                                                             \
    V (P, 7, VAULT_LOCK, "vault_lock")                                                                       \
    V (P, 8, VAULT_LOCKED, "vault_locked")                                                                   \
    V (P, 9, VAULT_REFUSED, "vault_refused")                                                                 \
    V (P, 10, VAULT_UNLOCK, "vault_unlock") V (P, 11, VAULT_UNLOCKED, "vault_unlocked")                      \
    V (P, 12, SENT, "sent") V (P, 13, RECEIVED, "received") V (P, 14, NOT_RECEIVED, "not_received")
#define TIM3_VALUES_release_reason(V, P) V (P, 1, VOID, "void") V (P, 2, BURN, "burn")
#define TIM3_VALUES_control_kind(V, P)                                                                       \
    V (P, 1, PAUSE, "pause")                                                                                 \
    V (P, 2, UNPAUSE, "unpause") V (P, 3, FREEZE, "freeze") V (P, 4, UNFREEZE, "unfreeze") V (P, 5, CAP, "cap")
#define TIM3_VALUES_entry_kind(V, P)                                                                         \
    V (P, 1, MINT, "mint") V (P, 2, REDEEM, "redeem") V (P, 3, SENT, "sent") V (P, 4, RECEIVED, "received") V (P, 5, RETURNED, "returned")
#define TIM3_VALUES_collateral_op(V, P)                                                                      \
    V (P, 1, FAUCET, "faucet")                                                                               \
    V (P, 2, TRANSFER, "transfer") V (P, 3, LOCK, "lock") V (P, 4, UNLOCK_VOID, "unlock_void") V (P, 5, UNLOCK_BURN, "unlock_burn")
#define TIM3_VALUES_copy_state(V, P) V (P, 1, COPYING, "copying") V (P, 2, COMPLETE, "complete") V (P, 3, FAILED, "failed")
#define TIM3_VALUES_health(V, P) V (P, 1, OK, "ok") V (P, 2, DEGRADED, "degraded") V (P, 3, FAILING, "failing")

#define TIM3_ENUMERATIONS(X)                                                                                 \
    X (tx_kind, TX_KIND)                                                                                     \
    X (tx_status, TX_STATUS)                                                                                 \
    X (lock_state, LOCK_STATE)                                                                               \
    X (receipt_kind, RECEIPT_KIND)                                                                           \
    X (release_reason, RELEASE_REASON)                                                                       \
    X (control_kind, CONTROL)                                                                                \
    X (entry_kind, ENTRY_KIND)                                                                               \
    X (collateral_op, COLLATERAL_OP) X (copy_state, COPY_STATE) X (health, HEALTH)

/*  ------------------------------------------------------------------------------------------- records
    Parts of messages, and what the stores hold. In the store a record is an array in this order.  */

#define TIM3_FIELDS_reason(F, S)                                                                             \
    F (S, STR, name, REQUIRED, 32, none, "what was looked at")                                               \
    F (S, U64, weight, REQUIRED, 100, none, "how much it takes from the score")                              \
    F (S, STR, text, REQUIRED, 160, none, "what was found")

#define TIM3_FIELDS_metric(F, S)                                                                             \
    F (S, STR, name, REQUIRED, 48, none, "name, with its unit last")                                         \
    F (S, AMOUNT, value, REQUIRED, 0, none, "value")

#define TIM3_FIELDS_setting(F, S)                                                                            \
    F (S, STR, key, REQUIRED, 64, none, "section/name")                                                      \
    F (S, STR, value, REQUIRED, 256, none, "value in force")                                                 \
    F (S, STR, text, OPTIONAL, 160, none, "what it means")

#define TIM3_FIELDS_agent(F, S)                                                                              \
    F (S, STR, name, REQUIRED, TIM3_ADDRESS_MAX, none, "address: role.asset.shard")                          \
    F (S, ENUM, role, REQUIRED, 0, role, "role")                                                             \
    F (S, STR, asset, REQUIRED, TIM3_ASSET_MAX, none, "asset, - for none")                                   \
    F (S, U64, shard, REQUIRED, 9999, none, "shard or instance")                                             \
    F (S, STR, endpoint, REQUIRED, 200, none, "ZeroMQ endpoint of its ROUTER socket")                        \
    F (S, STR, capabilities, OPTIONAL, 200, none, "words with spaces between")                               \
    F (S, STR, version, REQUIRED, 32, none, "software version")                                              \
    F (S, U64, incarnation, REQUIRED, 0, none, "start time; a larger one supersedes a smaller")              \
    F (S, U64, registered_us, OPTIONAL, 0, none, "when it registered")                                       \
    F (S, U64, seen_us, OPTIONAL, 0, none, "last sign of life")                                              \
    F (S, BOOL, alive, OPTIONAL, 0, none, "heartbeats are fresh")                                            \
    F (S, ENUM, health, OPTIONAL, 0, health, "what it says of itself")

/*  Consecutive events of one source: a row of an outbox or of the log, and a part of a stretch. See run.h for the bytes.  */
#define TIM3_FIELDS_run(F, S)                                                                                \
    F (S, U64, offset, OPTIONAL, 0, none, "place of the first in the event log; the bus assigns it")         \
    F (S, STR, source, OPTIONAL, TIM3_ADDRESS_MAX, none, "agent that emitted them")                          \
    F (S, ID, store, OPTIONAL, 0, none, "identity of the source's store")                                    \
    F (S, U64, seq, REQUIRED, 0, none, "number of the first within source and store, without gaps")          \
    F (S, U64, count, REQUIRED, TIM3_EVENTS_MAX, none, "how many they are")                                  \
    F (S, RAW, events, REQUIRED, TIM3_RUN_BYTES_MAX, none, "bytes: the events, one behind the other")

/*  One event with all that is known of it, as people are shown it.  */
#define TIM3_FIELDS_event_item(F, S)                                                                         \
    F (S, U64, offset, OPTIONAL, 0, none, "place in the event log")                                          \
    F (S, STR, source, OPTIONAL, TIM3_ADDRESS_MAX, none, "agent that emitted it")                            \
    F (S, ID, store, OPTIONAL, 0, none, "identity of the source's store")                                    \
    F (S, U64, seq, REQUIRED, 0, none, "number within source and store, without gaps")                       \
    F (S, U64, type, REQUIRED, 65535, none, "message number of the event")                                   \
    F (S, STR, topic, OPTIONAL, 64, none, "event name.asset")                                                \
    F (S, U64, time_us, REQUIRED, 0, none, "when the source decided it")                                     \
    F (S, RAW, body, REQUIRED, TIM3_BODY_MAX, none, "the event's own fields, in the order of its table")

#define TIM3_FIELDS_lock_item(F, S)                                                                          \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account whose collateral it is")                  \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount, in the asset's unit")                                  \
    F (S, ENUM, state, REQUIRED, 0, lock_state, "state")                                                     \
    F (S, ENUM, reason, OPTIONAL, 0, release_reason, "why it is or was released; burn: a redemption's release") \
    F (S, U64, code, OPTIONAL, 65535, none, "result that refused it, 0 for none")                            \
    F (S, AMOUNT, available, OPTIONAL, 0, none, "operand of the refusal")                                    \
    F (S, AMOUNT, needed, OPTIONAL, 0, none, "operand of the refusal")                                       \
    F (S, U64, created_us, REQUIRED, 0, none, "when it was first seen")                                      \
    F (S, U64, changed_us, REQUIRED, 0, none, "when its state last changed")                                 \
    F (S, U64, due_us, OPTIONAL, 0, none, "when the sweep looks at it next, 0 when final")                   \
    F (S, U64, attempts, OPTIONAL, 0, none, "how often the sweep has pushed it")

#define TIM3_FIELDS_lock_totals(F, S)                                                                        \
    F (S, AMOUNT, locked, REQUIRED, 0, none, "collateral held, in the asset's unit")                         \
    F (S, AMOUNT, in_flight, REQUIRED, 0, none, "part of locked whose mint is not settled")                  \
    F (S, AMOUNT, releasing, REQUIRED, 0, none, "no longer locked, not yet out of the vault")                \
    F (S, U64, unsettled, REQUIRED, 0, none, "records that are not final")                                   \
    F (S, U64, locks, REQUIRED, 0, none, "locks ever confirmed")                                             \
    F (S, U64, releases, REQUIRED, 0, none, "releases ever decided")                                         \
    F (S, U64, refused, REQUIRED, 0, none, "locks refused by the collateral token")                          \
    F (S, U64, event_seq, OPTIONAL, 0, none, "number of the last event emitted")                             \
    F (S, AMOUNT, scale, OPTIONAL, 0, none, "collateral units in one unit of the asset")                     \
    F (S, AMOUNT, overdrawn, OPTIONAL, 0, none, "released beyond what was locked here: its tokens came from other shards")

#define TIM3_FIELDS_account(F, S)                                                                            \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")                                         \
    F (S, AMOUNT, balance, REQUIRED, 0, none, "balance")                                                     \
    F (S, BOOL, frozen, OPTIONAL, 0, none, "neither sends nor receives")                                     \
    F (S, U64, entries, OPTIONAL, 0, none, "length of its history")                                          \
    F (S, ID, last, RARE, 0, none, "newest transaction in its history")

#define TIM3_FIELDS_transaction(F, S)                                                                        \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, ENUM, kind, REQUIRED, 0, tx_kind, "kind")                                                          \
    F (S, ENUM, status, REQUIRED, 0, tx_status, "status")                                                    \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account it was asked for")                        \
    F (S, STR, to, OPTIONAL, TIM3_ACCOUNT_MAX, none, "receiver of a transfer")                               \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, U64, code, REQUIRED, 65535, none, "result")                                                        \
    F (S, AMOUNT, available, OPTIONAL, 0, none, "operand of a refusal")                                      \
    F (S, AMOUNT, needed, OPTIONAL, 0, none, "operand of a refusal")                                         \
    F (S, AMOUNT, balance, OPTIONAL, 0, none, "account's balance right after it")                            \
    F (S, AMOUNT, supply, OPTIONAL, 0, none, "supply of the shard right after it")                           \
    F (S, U64, time_us, OPTIONAL, 0, none, "when it was decided")                                            \
    F (S, U64, due_us, OPTIONAL, 0, none, "when the sweep looks at it next, 0 when final")                   \
    F (S, U64, attempts, OPTIONAL, 0, none, "how often the sweep has pushed it")                             \
    F (S, ENUM, control, OPTIONAL, 0, control_kind, "what a control transaction did")                        \
    F (S, AMOUNT, to_balance, OPTIONAL, 0, none, "receiver's balance right after it, in its shard; the sender's where it came back") \
    F (S, U64, entry, RARE, 0, none, "place in the account's history, from 1; the token manager tells it")   \
    F (S, ID, previous, RARE, 0, none, "transaction before it there")                                        \
    F (S, U64, to_entry, RARE, 0, none, "the same of a transfer's receiver, or of its coming back")          \
    F (S, ID, to_previous, RARE, 0, none, "the same of a transfer's receiver, or of its coming back")

#define TIM3_FIELDS_entry(F, S)                                                                              \
    F (S, U64, number, REQUIRED, 0, none, "place in the account's history, from 1")                          \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, ENUM, kind, REQUIRED, 0, entry_kind, "what happened to this account")                              \
    F (S, STR, other, OPTIONAL, TIM3_ACCOUNT_MAX, none, "other account of a transfer")                       \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, AMOUNT, balance, REQUIRED, 0, none, "balance as of this entry")                                    \
    F (S, U64, time_us, REQUIRED, 0, none, "when")

#define TIM3_FIELDS_ledger(F, S)                                                                             \
    F (S, AMOUNT, supply, REQUIRED, 0, none, "tokens in existence")                                          \
    F (S, AMOUNT, cap, REQUIRED, 0, none, "most tokens of the asset allowed; 2^128 - 1 for no cap")          \
    F (S, BOOL, paused, REQUIRED, 0, none, "mints, redemptions and transfers are refused")                   \
    F (S, AMOUNT, minted, REQUIRED, 0, none, "sum of all mints")                                             \
    F (S, AMOUNT, burned, REQUIRED, 0, none, "sum of all burns")                                             \
    F (S, AMOUNT, releasing, REQUIRED, 0, none, "burned, release not yet confirmed")                         \
    F (S, U64, unsettled, REQUIRED, 0, none, "burns whose release, and transfers whose arrival, is not confirmed") \
    F (S, U64, mints, REQUIRED, 0, none, "mints done")                                                       \
    F (S, U64, burns, REQUIRED, 0, none, "burns done")                                                       \
    F (S, U64, transfers, REQUIRED, 0, none, "transfers done")                                               \
    F (S, U64, refused, REQUIRED, 0, none, "transactions refused or voided")                                 \
    F (S, U64, accounts, REQUIRED, 0, none, "accounts ever seen")                                            \
    F (S, U64, event_seq, OPTIONAL, 0, none, "number of the last event emitted")                             \
    F (S, AMOUNT, crossing, OPTIONAL, 0, none, "sent to other shards, arrival or return not yet confirmed; modulo 2^128") \
    F (S, U64, sent, OPTIONAL, 0, none, "transfers sent to other shards")                                    \
    F (S, U64, returned, OPTIONAL, 0, none, "those of them that came back")

#define TIM3_FIELDS_vault(F, S)                                                                              \
    F (S, STR, vault, REQUIRED, TIM3_ASSET_MAX, none, "asset the vault backs")                               \
    F (S, AMOUNT, total, REQUIRED, 0, none, "collateral in it, in the collateral's unit")                    \
    F (S, U64, locks, REQUIRED, 0, none, "moves in")                                                         \
    F (S, U64, unlocks, REQUIRED, 0, none, "moves out")

#define TIM3_FIELDS_holding(F, S)                                                                            \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")                                         \
    F (S, AMOUNT, available, REQUIRED, 0, none, "collateral it can use")

#define TIM3_FIELDS_collateral_record(F, S)                                                                  \
    F (S, ENUM, op, REQUIRED, 0, collateral_op, "what was asked")                                            \
    F (S, STR, vault, OPTIONAL, TIM3_ASSET_MAX, none, "vault of a lock or unlock")                           \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")                                         \
    F (S, STR, to, OPTIONAL, TIM3_ACCOUNT_MAX, none, "receiver of a transfer")                               \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, U64, code, REQUIRED, 65535, none, "result")                                                        \
    F (S, AMOUNT, available, OPTIONAL, 0, none, "operand of a refusal")                                      \
    F (S, AMOUNT, needed, OPTIONAL, 0, none, "operand of a refusal")                                         \
    F (S, AMOUNT, balance, OPTIONAL, 0, none, "account's balance right after it")                            \
    F (S, U64, time_us, REQUIRED, 0, none, "when it was decided")

#define TIM3_FIELDS_collateral_totals(F, S)                                                                  \
    F (S, AMOUNT, issued, REQUIRED, 0, none, "sum of all faucet mints")                                      \
    F (S, U64, accounts, REQUIRED, 0, none, "accounts ever seen")                                            \
    F (S, U64, operations, REQUIRED, 0, none, "operations decided")

#define TIM3_FIELDS_position(F, S)                                                                           \
    F (S, STR, asset, REQUIRED, TIM3_ASSET_MAX, none, "asset")                                               \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")                                         \
    F (S, AMOUNT, minted, REQUIRED, 0, none, "sum minted by it")                                             \
    F (S, AMOUNT, redeemed, REQUIRED, 0, none, "sum redeemed by it")                                         \
    F (S, AMOUNT, received, REQUIRED, 0, none, "sum received in transfers")                                  \
    F (S, AMOUNT, sent, REQUIRED, 0, none, "sum sent in transfers")                                          \
    F (S, AMOUNT, balance, REQUIRED, 0, none, "balance as of the last event applied")                        \
    F (S, AMOUNT, backing, OPTIONAL, 0, none, "collateral behind the balance, in the asset's unit")          \
    F (S, U64, events, REQUIRED, 0, none, "events applied")                                                  \
    F (S, U64, changed_us, REQUIRED, 0, none, "time of the last event applied")

#define TIM3_FIELDS_asset_metrics(F, S)                                                                      \
    F (S, STR, asset, REQUIRED, TIM3_ASSET_MAX, none, "asset")                                               \
    F (S, AMOUNT, locked, REQUIRED, 0, none, "collateral locked, in the asset's unit")                       \
    F (S, AMOUNT, supply, REQUIRED, 0, none, "tokens in existence")                                          \
    F (S, AMOUNT, in_flight, OPTIONAL, 0, none, "locked less supply: not yet minted, or being released")     \
    F (S, U64, backing_ppm, OPTIONAL, 0, none, "locked / supply in millionths; 1000000 is one to one")       \
    F (S, U64, mints, REQUIRED, 0, none, "mints")                                                            \
    F (S, U64, redemptions, REQUIRED, 0, none, "redemptions")                                                \
    F (S, U64, transfers, REQUIRED, 0, none, "transfers")                                                    \
    F (S, U64, refusals, REQUIRED, 0, none, "transactions refused or voided")                                \
    F (S, AMOUNT, volume_minted, REQUIRED, 0, none, "sum of mints")                                          \
    F (S, AMOUNT, volume_redeemed, REQUIRED, 0, none, "sum of redemptions")                                  \
    F (S, AMOUNT, volume_transferred, REQUIRED, 0, none, "sum of transfers")                                 \
    F (S, U64, positions, REQUIRED, 0, none, "accounts with a position")                                     \
    F (S, AMOUNT, balances, REQUIRED, 0, none, "sum of the positions' balances")                             \
    F (S, U64, token_seq, REQUIRED, 0, none, "events applied of the token manager, of all shards together")  \
    F (S, U64, lock_seq, REQUIRED, 0, none, "events applied of the lock manager, of all shards together")    \
    F (S, U64, changed_us, REQUIRED, 0, none, "time of the last event applied")

/*  Records of the store alone.  */
#define TIM3_FIELDS_shard_metrics(F, S)                                                                      \
    F (S, AMOUNT, locked, REQUIRED, 0, none, "collateral locked in this shard, in the asset's unit")         \
    F (S, AMOUNT, overdrawn, REQUIRED, 0, none, "or released beyond that")                                   \
    F (S, AMOUNT, supply, REQUIRED, 0, none, "tokens in this shard")                                         \
    F (S, U64, token_seq, REQUIRED, 0, none, "last event applied of its token manager")                      \
    F (S, U64, lock_seq, REQUIRED, 0, none, "last event applied of its lock manager")
#define TIM3_FIELDS_deadline(F, S)                                                                           \
    F (S, U64, open, REQUIRED, 0, none, "how many of those that are due then are not final")                 \
    F (S, U64, first, REQUIRED, 0, none, "number of the first list of them that is left")                    \
    F (S, U64, last, REQUIRED, 0, none, "number of the last list of them")
#define TIM3_FIELDS_deadline_list(F, S)                                                                      \
    F (S, RAW, tails, REQUIRED, TIM3_TAILS_MAX, none, "what their records are found by, back to back: bytes")
#define TIM3_FIELDS_store_meta(F, S)                                                                         \
    F (S, ID, id, REQUIRED, 0, none, "identity of this store")                                               \
    F (S, STR, name, REQUIRED, TIM3_ADDRESS_MAX, none, "agent it belongs to")                                \
    F (S, U64, schema, REQUIRED, 0, none, "schema version")                                                  \
    F (S, U64, inode, REQUIRED, 0, none, "inode of the data file: a copy has another")                       \
    F (S, U64, created_us, REQUIRED, 0, none, "when it was made")                                            \
    F (S, ID, lineage, OPTIONAL, 0, none, "identity it was made with: adopting changes id, never this")      \
    F (S, U64, commits, OPTIONAL, 0, none, "what to add to the file's own count of commits, modulo 2^64")    \
    F (S, BOOL, shared, OPTIONAL, 0, none, "it holds several agents' tables")                                \
    F (S, U64, shards, OPTIONAL, TIM3_SHARDS_MAX, none, "of how many the shard of a ledger in it is one; 0: none is in it") \
    F (S, U64, decimals, OPTIONAL, 0, none, "of the ledger's amounts")                                       \
    F (S, STR, collateral, OPTIONAL, TIM3_ASSET_MAX, none, "what it is that a ledger of an asset has locked") \
    F (S, U64, collateral_decimals, OPTIONAL, 0, none, "of that")
#define TIM3_FIELDS_counter(F, S) F (S, U64, value, REQUIRED, 0, none, "value")
#define TIM3_FIELDS_life(F, S)                                                                               \
    F (S, U64, log_end, REQUIRED, 0, none, "where the event log ended when this life of the router began")
#define TIM3_FIELDS_router_seen(F, S)                                                                        \
    F (S, U64, life, REQUIRED, 0, none, "incarnation of the router that last answered")                      \
    F (S, U64, log_end, REQUIRED, 0, none, "where its event log ended then")                                 \
    F (S, U64, heard, REQUIRED, 0, none, "commits of this ledger's store that the router had heard of")
#define TIM3_FIELDS_checkpoint(F, S)                                                                         \
    F (S, U64, number, REQUIRED, 0, none, "last record of the journal that the tables hold")                 \
    F (S, U64, checksum, REQUIRED, 0, none, "its checksum")                                                  \
    F (S, U64, digest, REQUIRED, 0, none, "digest of all effects up to it")                                  \
    F (S, U64, towards, OPTIONAL, 0, none, "record up to which they hold a part; 0: no more than said")
#define TIM3_FIELDS_mark(F, S) F (S, U64, flags, OPTIONAL, 0, none, "unused; the key says it all")
#define TIM3_FIELDS_log_source(F, S)                                                                         \
    F (S, U64, seq, REQUIRED, 0, none, "last number taken of this source and store")
#define TIM3_FIELDS_log_cursor(F, S)                                                                         \
    F (S, ID, log, REQUIRED, 0, none, "identity of the event log")                                           \
    F (S, U64, next, REQUIRED, 0, none, "offset to read next")                                               \
    F (S, U64, gaps, OPTIONAL, 0, none, "numbers of a source that never came")

/*  How far a store has come: agents tell it, and the router keeps the most that it was told.  */
#define TIM3_FIELDS_standing(F, S)                                                                           \
    F (S, ID, store, OPTIONAL, 0, none, "identity of the agent's store")                                     \
    F (S, ID, lineage, OPTIONAL, 0, none, "identity that the store was made with, before any was adopted")   \
    F (S, U64, commits, OPTIONAL, 0, none, "commits that changed the store, over its whole life")            \
    F (S, U64, event_seq, OPTIONAL, 0, none, "number of the last event emitted")                             \
    F (S, U64, acked, OPTIONAL, 0, none, "all events up to this number were told to be durable on the bus")
#define TIM3_FIELDS_standing_item(F, S)                                                                      \
    TIM3_FIELDS_standing (F, S)                                                                              \
    F (S, U64, incarnation, OPTIONAL, 0, none, "life that told it")

#define TIM3_RECORDS(X)                                                                                      \
    X (reason)                                                                                               \
    X (metric)                                                                                               \
    X (setting)                                                                                              \
    X (agent)                                                                                                \
    X (run)                                                                                                  \
    X (event_item)                                                                                           \
    X (lock_item)                                                                                            \
    X (lock_totals)                                                                                          \
    X (account)                                                                                              \
    X (transaction)                                                                                          \
    X (entry)                                                                                                \
    X (ledger)                                                                                               \
    X (vault)                                                                                                \
    X (holding)                                                                                              \
    X (collateral_record)                                                                                    \
    X (collateral_totals)                                                                                    \
    X (position)                                                                                             \
    X (asset_metrics) X (shard_metrics) X (store_meta) X (checkpoint) X (counter) X (life) X (router_seen) X (mark) X (deadline) X (deadline_list) X (log_source) X (log_cursor) X (standing) X (standing_item)

/*  ---------------------------------------------------------------------------------- fields of messages  */

#define TIM3_FIELDS_empty(F, S)

#define TIM3_FIELDS_error(F, S)                                                                              \
    F (S, U64, code, REQUIRED, 65535, none, "number of the result")                                          \
    F (S, STR, name, REQUIRED, 32, none, "name of the result")                                               \
    F (S, STR, text, REQUIRED, 240, none, "what is wrong, for people")                                       \
    F (S, STR, advice, REQUIRED, 16, none, "final, retry_same_id, retry_new_id or unknown")                  \
    F (S, U64, request, OPTIONAL, 65535, none, "message number of what was refused")                         \
    F (S, ID, tx, OPTIONAL, 0, none, "transaction it is about, zeros for none")                              \
    F (S, AMOUNT, available, OPTIONAL, 0, none, "operand: what there is")                                    \
    F (S, AMOUNT, needed, OPTIONAL, 0, none, "operand: what it takes")

#define TIM3_FIELDS_info_reply(F, S)                                                                         \
    F (S, STR, name, REQUIRED, TIM3_ADDRESS_MAX, none, "address")                                            \
    F (S, STR, role, REQUIRED, 16, none, "role")                                                             \
    F (S, STR, asset, REQUIRED, TIM3_ASSET_MAX, none, "asset, - for none")                                   \
    F (S, U64, shard, REQUIRED, 9999, none, "shard or instance")                                             \
    F (S, STR, version, REQUIRED, 32, none, "software version")                                              \
    F (S, U64, incarnation, REQUIRED, 0, none, "start time of this process")                                 \
    F (S, U64, schema, REQUIRED, 0, none, "schema version of its store")                                     \
    F (S, ID, store, REQUIRED, 0, none, "identity of its store")                                             \
    F (S, U64, uptime_us, REQUIRED, 0, none, "time since start")                                             \
    F (S, U64, pid, OPTIONAL, 0, none, "process id")                                                         \
    F (S, U64, decimals, OPTIONAL, 30, none, "decimals of the asset or collateral")                          \
    F (S, U64, shards, OPTIONAL, TIM3_SHARDS_MAX, none, "shards of each ledger of the asset")

#define TIM3_FIELDS_health_reply(F, S)                                                                       \
    F (S, ENUM, status, REQUIRED, 0, health, "in a word")                                                    \
    F (S, U64, score, REQUIRED, 100, none, "100: nothing is wrong")                                          \
    F (S, LIST, reasons, REQUIRED, 64, reason, "what took from the score")
#define TIM3_FIELDS_stats_reply(F, S) F (S, LIST, metrics, REQUIRED, 256, metric, "counters and gauges since start")
#define TIM3_FIELDS_config_reply(F, S) F (S, LIST, settings, REQUIRED, TIM3_SETTINGS_MAX, setting, "settings in force")

#define TIM3_FIELDS_hold(F, S)                                                                               \
    F (S, ID, backup, REQUIRED, 0, none, "the caller's own id of this backup")                               \
    F (S, STR, name, REQUIRED, 64, none, "folder to make below DATA/backup: letters, digits, . _ -")         \
    F (S, U64, for_us, OPTIONAL, 10000000, none, "how long to hold at most; 0 for two seconds")
#define TIM3_FIELDS_held(F, S)                                                                               \
    F (S, ID, backup, REQUIRED, 0, none, "which backup")                                                     \
    F (S, U64, life, REQUIRED, 0, none, "incarnation of the process that is held")                           \
    F (S, U64, number, REQUIRED, 0, none, "of this hold, within that life")                                  \
    TIM3_FIELDS_standing (F, S)
#define TIM3_FIELDS_resume(F, S)                                                                             \
    F (S, ID, backup, REQUIRED, 0, none, "which backup")                                                     \
    F (S, U64, life, OPTIONAL, 0, none, "as in Held: another hold, of a later life, is not the one that counts") \
    F (S, U64, number, OPTIONAL, 0, none, "as in Held")                                                      \
    F (S, BOOL, drop, OPTIONAL, 0, none, "delete the copy: the backup has failed elsewhere")
#define TIM3_FIELDS_copying(F, S)                                                                            \
    F (S, ID, backup, REQUIRED, 0, none, "which backup")                                                     \
    F (S, BOOL, held, REQUIRED, 0, none, "this hold lasted from Held until the first Resume: the copy fits the others") \
    F (S, U64, held_us, REQUIRED, 0, none, "how long it was held")                                           \
    F (S, ENUM, state, REQUIRED, 0, copy_state, "of the copy; complete: it is on the disk")                  \
    F (S, U64, rows, REQUIRED, 0, none, "rows copied")                                                       \
    F (S, U64, rows_total, REQUIRED, 0, none, "rows there are")                                              \
    F (S, STR, text, OPTIONAL, 240, none, "why it failed")

#define TIM3_FIELDS_mint(F, S)                                                                               \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "holder: its collateral is locked, its balance credited") \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, STR, request_id, REQUIRED, TIM3_REQUEST_ID_MAX, none, "the caller's own id; the same id is the same request, for ever")
#define TIM3_FIELDS_redeem(F, S)                                                                             \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "holder: its tokens are burned, collateral goes back to it") \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, STR, request_id, REQUIRED, TIM3_REQUEST_ID_MAX, none, "as in Mint")
#define TIM3_FIELDS_transfer(F, S)                                                                           \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "sender")                                          \
    F (S, STR, to, REQUIRED, TIM3_ACCOUNT_MAX, none, "receiver")                                             \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, STR, request_id, REQUIRED, TIM3_REQUEST_ID_MAX, none, "as in Mint")
#define TIM3_FIELDS_get_transaction(F, S)                                                                    \
    F (S, ID, tx, OPTIONAL, 0, none, "transaction, or the two below")                                        \
    F (S, STR, account, OPTIONAL, TIM3_ACCOUNT_MAX, none, "account it was asked for; with a tx, says which shard to ask") \
    F (S, STR, request_id, OPTIONAL, TIM3_REQUEST_ID_MAX, none, "request id it was asked under")
#define TIM3_FIELDS_list_transactions(F, S)                                                                  \
    F (S, STR, account, OPTIONAL, TIM3_ACCOUNT_MAX, none, "only of this account; empty for all")             \
    F (S, ENUM, status, OPTIONAL, 0, tx_status, "only in this status")                                       \
    F (S, STR, cursor, OPTIONAL, TIM3_CURSOR_MAX, none, "where to go on; empty to begin")                    \
    F (S, U64, limit, OPTIONAL, TIM3_PAGE_MAX, none, "most items; 0 for 100")
#define TIM3_FIELDS_transactions(F, S)                                                                       \
    F (S, LIST, items, REQUIRED, TIM3_PAGE_MAX, transaction, "transactions: first mints that are not settled; then an account's history, newest first; then what was refused, by transaction") \
    F (S, STR, cursor, REQUIRED, TIM3_CURSOR_MAX, none, "where to go on; empty at the end")

#define TIM3_FIELDS_lock(F, S)                                                                               \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")                                         \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")
#define TIM3_FIELDS_receipt(F, S)                                                                            \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")                                         \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, MAC, receipt, REQUIRED, 0, none, "receipt; its kind follows from the message")
#define TIM3_FIELDS_refusal(F, S)                                                                            \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")                                         \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, U64, code, REQUIRED, 65535, none, "result that refused it")                                        \
    F (S, AMOUNT, available, OPTIONAL, 0, none, "operand of the refusal")                                    \
    F (S, AMOUNT, needed, OPTIONAL, 0, none, "operand of the refusal")                                       \
    F (S, MAC, receipt, REQUIRED, 0, none, "receipt; its kind follows from the message")
#define TIM3_FIELDS_release(F, S)                                                                            \
    F (S, ENUM, reason, REQUIRED, 0, release_reason, "void: undoes a lock. burn: pays a redemption")         \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account the collateral goes to")                  \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, MAC, receipt, REQUIRED, 0, none, "void or burn receipt, by reason")
#define TIM3_FIELDS_settled(F, S)                                                                            \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, ENUM, state, OPTIONAL, 0, lock_state, "state of the lock")
#define TIM3_FIELDS_settle_all(F, S)                                                                         \
    F (S, LIST, items, REQUIRED, TIM3_SETTLES_MAX, receipt, "a mint receipt for each lock")
#define TIM3_FIELDS_settled_all(F, S)                                                                        \
    F (S, U64, active, REQUIRED, 0, none, "how many of these locks are active now")
#define TIM3_FIELDS_minted(F, S)                                                                             \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")                                         \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, AMOUNT, balance, REQUIRED, 0, none, "account's balance right after it")                            \
    F (S, AMOUNT, supply, REQUIRED, 0, none, "supply right after it")                                        \
    F (S, U64, time_us, REQUIRED, 0, none, "when it was decided")                                            \
    F (S, MAC, receipt, REQUIRED, 0, none, "mint or burn receipt, by message")
#define TIM3_FIELDS_transferred(F, S)                                                                        \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "sender")                                          \
    F (S, STR, to, REQUIRED, TIM3_ACCOUNT_MAX, none, "receiver")                                             \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, AMOUNT, balance, REQUIRED, 0, none, "sender's balance right after it")                             \
    F (S, AMOUNT, to_balance, REQUIRED, 0, none, "receiver's balance right after it")                        \
    F (S, AMOUNT, supply, REQUIRED, 0, none, "supply")                                                       \
    F (S, U64, time_us, REQUIRED, 0, none, "when it was decided")
#define TIM3_FIELDS_token_transfer(F, S)                                                                     \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "sender")                                          \
    F (S, STR, to, REQUIRED, TIM3_ACCOUNT_MAX, none, "receiver")                                             \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")
#define TIM3_FIELDS_sent(F, S)                                                                               \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "sender")                                          \
    F (S, STR, to, REQUIRED, TIM3_ACCOUNT_MAX, none, "receiver, of another shard")                           \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, AMOUNT, balance, REQUIRED, 0, none, "sender's balance right after it")                             \
    F (S, AMOUNT, supply, REQUIRED, 0, none, "supply of the sender's shard right after it")                  \
    F (S, U64, time_us, REQUIRED, 0, none, "when it was decided")                                            \
    F (S, MAC, receipt, REQUIRED, 0, none, "sent receipt")
#define TIM3_FIELDS_crossing(F, S)                                                                           \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "sender")                                          \
    F (S, STR, to, REQUIRED, TIM3_ACCOUNT_MAX, none, "receiver, of another shard")                           \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, MAC, receipt, REQUIRED, 0, none, "receipt; its kind follows from the message")
#define TIM3_FIELDS_not_received(F, S)                                                                       \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "sender")                                          \
    F (S, STR, to, REQUIRED, TIM3_ACCOUNT_MAX, none, "receiver, of another shard")                           \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, U64, code, REQUIRED, 65535, none, "result that refused it")                                        \
    F (S, MAC, receipt, REQUIRED, 0, none, "not_received receipt")
#define TIM3_FIELDS_tx_only(F, S) F (S, ID, tx, REQUIRED, 0, none, "transaction")
#define TIM3_FIELDS_get_lock(F, S)                                                                           \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, BOOL, release, OPTIONAL, 0, none, "only a redemption's release; else the lock, or where there is none the release")
#define TIM3_FIELDS_account_only(F, S) F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")
#define TIM3_FIELDS_list_locks(F, S)                                                                         \
    F (S, STR, account, OPTIONAL, TIM3_ACCOUNT_MAX, none, "only of this account, with unsettled alone; empty for all") \
    F (S, ENUM, state, OPTIONAL, 0, lock_state, "only in this state")                                        \
    F (S, BOOL, unsettled, OPTIONAL, 0, none, "only those not final")                                        \
    F (S, STR, cursor, OPTIONAL, TIM3_CURSOR_MAX, none, "where to go on; empty to begin")                    \
    F (S, U64, limit, OPTIONAL, TIM3_PAGE_MAX, none, "most items; 0 for 100")
#define TIM3_FIELDS_locks(F, S)                                                                              \
    F (S, LIST, items, REQUIRED, TIM3_PAGE_MAX, lock_item, "locks, then releases of redemptions")            \
    F (S, STR, cursor, REQUIRED, TIM3_CURSOR_MAX, none, "where to go on; empty at the end")
#define TIM3_FIELDS_list_page(F, S)                                                                          \
    F (S, STR, cursor, OPTIONAL, TIM3_CURSOR_MAX, none, "where to go on; empty to begin")                    \
    F (S, U64, limit, OPTIONAL, TIM3_PAGE_MAX, none, "most items; 0 for 100")
#define TIM3_FIELDS_list_history(F, S)                                                                       \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")                                         \
    F (S, STR, cursor, OPTIONAL, TIM3_CURSOR_MAX, none, "where to go on; empty to begin")                    \
    F (S, U64, limit, OPTIONAL, TIM3_PAGE_MAX, none, "most items; 0 for 100")
#define TIM3_FIELDS_history(F, S)                                                                            \
    F (S, LIST, items, REQUIRED, TIM3_PAGE_MAX, entry, "entries, newest first")                              \
    F (S, STR, cursor, REQUIRED, TIM3_CURSOR_MAX, none, "where to go on; empty at the end")
#define TIM3_FIELDS_balances(F, S)                                                                           \
    F (S, LIST, items, REQUIRED, TIM3_PAGE_MAX, account, "accounts in the order of their names")             \
    F (S, STR, cursor, REQUIRED, TIM3_CURSOR_MAX, none, "where to go on; empty at the end")
#define TIM3_FIELDS_control(F, S)                                                                            \
    F (S, ENUM, control, REQUIRED, 0, control_kind, "what to do")                                            \
    F (S, STR, account, OPTIONAL, TIM3_ACCOUNT_MAX, none, "account to freeze or unfreeze")                   \
    F (S, AMOUNT, amount, OPTIONAL, 0, none, "the new cap, above 0; 2^128 - 1 for none")                     \
    F (S, STR, request_id, REQUIRED, TIM3_REQUEST_ID_MAX, none, "as in Mint")
#define TIM3_FIELDS_faucet(F, S)                                                                             \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account to credit")                               \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount, in the collateral's unit")                             \
    F (S, STR, request_id, REQUIRED, TIM3_REQUEST_ID_MAX, none, "as in Mint")
#define TIM3_FIELDS_collateral_moved(F, S)                                                                   \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")                                         \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, AMOUNT, balance, REQUIRED, 0, none, "account's available collateral right after it")
#define TIM3_FIELDS_collateral_transaction(F, S)                                                             \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, ENUM, op, REQUIRED, 0, collateral_op, "what was asked: faucet or transfer")                        \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account it was asked for")                        \
    F (S, STR, to, OPTIONAL, TIM3_ACCOUNT_MAX, none, "receiver of a transfer")                               \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount, in the collateral's unit")                             \
    F (S, U64, code, REQUIRED, 65535, none, "result; ok when it has happened, else it never will")           \
    F (S, AMOUNT, available, OPTIONAL, 0, none, "operand of a refusal")                                      \
    F (S, AMOUNT, needed, OPTIONAL, 0, none, "operand of a refusal")                                         \
    F (S, AMOUNT, balance, OPTIONAL, 0, none, "account's available collateral right after it")               \
    F (S, U64, time_us, REQUIRED, 0, none, "when it was decided")
#define TIM3_FIELDS_vault_move(F, S)                                                                         \
    F (S, STR, vault, REQUIRED, TIM3_ASSET_MAX, none, "asset the vault backs")                               \
    F (S, ENUM, reason, OPTIONAL, 0, release_reason, "of an unlock; none for a lock")                        \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account to take from or give to")                 \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount, in the collateral's unit")                             \
    F (S, MAC, receipt, REQUIRED, 0, none, "under the vault's key; its kind follows from the message")
#define TIM3_FIELDS_vault_refused(F, S)                                                                      \
    F (S, STR, vault, REQUIRED, TIM3_ASSET_MAX, none, "asset the vault backs")                               \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")                                         \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount, in the collateral's unit")                             \
    F (S, U64, code, REQUIRED, 65535, none, "result that refused it")                                        \
    F (S, AMOUNT, available, OPTIONAL, 0, none, "operand of the refusal")                                    \
    F (S, AMOUNT, needed, OPTIONAL, 0, none, "operand of the refusal")                                       \
    F (S, MAC, receipt, REQUIRED, 0, none, "vault_refused receipt")
#define TIM3_FIELDS_holdings(F, S)                                                                           \
    F (S, LIST, items, REQUIRED, TIM3_PAGE_MAX, holding, "accounts in the order of their names")             \
    F (S, STR, cursor, REQUIRED, TIM3_CURSOR_MAX, none, "where to go on; empty at the end")
#define TIM3_FIELDS_vaults(F, S) F (S, LIST, items, REQUIRED, TIM3_VAULTS_MAX, vault, "vaults")

#define TIM3_FIELDS_get_position(F, S)                                                                       \
    F (S, STR, asset, REQUIRED, TIM3_ASSET_MAX, none, "asset")                                               \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")
#define TIM3_FIELDS_list_positions(F, S)                                                                     \
    F (S, STR, asset, REQUIRED, TIM3_ASSET_MAX, none, "asset")                                               \
    F (S, STR, cursor, OPTIONAL, TIM3_CURSOR_MAX, none, "where to go on; empty to begin")                    \
    F (S, U64, limit, OPTIONAL, TIM3_PAGE_MAX, none, "most items; 0 for 100")
#define TIM3_FIELDS_positions(F, S)                                                                          \
    F (S, LIST, items, REQUIRED, TIM3_PAGE_MAX, position, "positions in the order of accounts")              \
    F (S, STR, cursor, REQUIRED, TIM3_CURSOR_MAX, none, "where to go on; empty at the end")
#define TIM3_FIELDS_get_metrics(F, S) F (S, STR, asset, OPTIONAL, TIM3_ASSET_MAX, none, "only this asset; empty for all")
#define TIM3_FIELDS_metrics(F, S) F (S, LIST, items, REQUIRED, 64, asset_metrics, "metrics by asset")

#define TIM3_FIELDS_register(F, S)                                                                           \
    F (S, LIST, agents, REQUIRED, 16, agent, "the agents at this endpoint")                                  \
    TIM3_FIELDS_standing (F, S)                                                                              \
    F (S, U64, router_life, OPTIONAL, 0, none, "incarnation of the router that a ledger last had an answer of") \
    F (S, U64, router_log_end, OPTIONAL, 0, none, "where its event log ended then")
#define TIM3_FIELDS_heartbeat(F, S)                                                                          \
    F (S, STR, name, REQUIRED, TIM3_ADDRESS_MAX, none, "address")                                            \
    F (S, U64, incarnation, REQUIRED, 0, none, "as registered")                                              \
    F (S, ENUM, health, OPTIONAL, 0, health, "what it says of itself")                                       \
    TIM3_FIELDS_standing (F, S)
#define TIM3_FIELDS_registered(F, S)                                                                         \
    F (S, U64, generation, REQUIRED, 0, none, "changes when the registry changes")                           \
    F (S, U64, life, OPTIONAL, 0, none, "the router's incarnation")                                          \
    F (S, U64, log_end, OPTIONAL, 0, none, "where its event log ends")                                       \
    F (S, U64, heard, OPTIONAL, 0, none, "commits of the agent's own store, as it just told them")
#define TIM3_FIELDS_deregister(F, S)                                                                         \
    F (S, STR, name, REQUIRED, TIM3_ADDRESS_MAX, none, "address")                                            \
    F (S, U64, incarnation, REQUIRED, 0, none, "as registered")                                              \
    TIM3_FIELDS_standing (F, S)
#define TIM3_FIELDS_discover(F, S)                                                                           \
    F (S, ENUM, role, OPTIONAL, 0, role, "only this role")                                                   \
    F (S, STR, asset, OPTIONAL, TIM3_ASSET_MAX, none, "only this asset")                                     \
    F (S, STR, capability, OPTIONAL, 32, none, "only with this capability")                                  \
    F (S, BOOL, alive, OPTIONAL, 0, none, "only those with fresh heartbeats")
#define TIM3_FIELDS_agents(F, S)                                                                             \
    F (S, LIST, items, REQUIRED, 512, agent, "agents")                                                       \
    F (S, U64, generation, REQUIRED, 0, none, "changes when the registry changes")

#define TIM3_FIELDS_publish(F, S)                                                                            \
    F (S, STR, source, REQUIRED, TIM3_ADDRESS_MAX, none, "agent that emitted them")                          \
    F (S, ID, store, REQUIRED, 0, none, "identity of its store")                                             \
    F (S, U64, seq, REQUIRED, 0, none, "number of the first")                                                \
    F (S, U64, count, REQUIRED, TIM3_EVENTS_MAX, none, "how many they are")                                  \
    F (S, RAW, events, REQUIRED, TIM3_RUN_BYTES_MAX, none, "bytes: the events, one behind the other")        \
    F (S, U64, acked, OPTIONAL, 0, none, "all up to this seq were durable before: a new log begins behind it")
#define TIM3_FIELDS_published(F, S)                                                                          \
    F (S, STR, source, REQUIRED, TIM3_ADDRESS_MAX, none, "agent")                                            \
    F (S, U64, seq, REQUIRED, 0, none, "all up to this number are durable")
#define TIM3_FIELDS_subscribe(F, S)                                                                          \
    F (S, U64, subscription, REQUIRED, 0, none, "the caller's own number; the same one replaces")            \
    F (S, U64, from, REQUIRED, 0, none, "offset of the first event wanted")                                  \
    F (S, STR, topic, OPTIONAL, 64, none, "prefix of the topics wanted; empty for all")                      \
    F (S, U64, credit, REQUIRED, 1000000, none, "how many events may be sent; 0 ends the subscription")
#define TIM3_FIELDS_events(F, S)                                                                             \
    F (S, U64, subscription, REQUIRED, 0, none, "which one")                                                 \
    F (S, ID, log, REQUIRED, 0, none, "identity of the event log")                                           \
    F (S, LIST, items, REQUIRED, TIM3_RUNS_MAX, run, "runs of events in the order of offset")                \
    F (S, U64, from, REQUIRED, 0, none, "offset at which this stretch begins")                               \
    F (S, U64, next, REQUIRED, 0, none, "offset to ask for next: all before it was sent or not wanted")      \
    F (S, U64, end, REQUIRED, 0, none, "offset that the next new event will get")                            \
    F (S, U64, credit, REQUIRED, 0, none, "credit left")

/*  Events: every one tells the balances as of itself.  */
#define TIM3_FIELDS_collateral_locked(F, S)                                                                  \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")                                         \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, AMOUNT, locked, REQUIRED, 0, none, "total locked right after it")                                  \
    F (S, AMOUNT, overdrawn, OPTIONAL, 0, none, "or released beyond what was locked in this shard")
#define TIM3_FIELDS_collateral_released(F, S)                                                                \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")                                         \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, ENUM, reason, REQUIRED, 0, release_reason, "why")                                                  \
    F (S, AMOUNT, locked, REQUIRED, 0, none, "total locked right after it")                                  \
    F (S, AMOUNT, overdrawn, OPTIONAL, 0, none, "or released beyond what was locked in this shard")
#define TIM3_FIELDS_token_changed(F, S)                                                                      \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account")                                         \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, AMOUNT, balance, REQUIRED, 0, none, "account's balance right after it")                            \
    F (S, AMOUNT, supply, REQUIRED, 0, none, "supply right after it")
#define TIM3_FIELDS_token_transferred(F, S)                                                                  \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "sender")                                          \
    F (S, STR, to, REQUIRED, TIM3_ACCOUNT_MAX, none, "receiver")                                             \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, AMOUNT, balance, REQUIRED, 0, none, "sender's balance right after it")                             \
    F (S, AMOUNT, to_balance, REQUIRED, 0, none, "receiver's balance right after it")                        \
    F (S, AMOUNT, supply, REQUIRED, 0, none, "supply")
#define TIM3_FIELDS_token_crossed(F, S)                                                                      \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account whose balance has changed")               \
    F (S, STR, other, REQUIRED, TIM3_ACCOUNT_MAX, none, "account at the other end, of another shard")        \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, AMOUNT, balance, REQUIRED, 0, none, "account's balance right after it")                            \
    F (S, AMOUNT, supply, REQUIRED, 0, none, "supply of its shard right after it")
#define TIM3_FIELDS_token_controlled(F, S)                                                                   \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, ENUM, control, REQUIRED, 0, control_kind, "what was done")                                         \
    F (S, STR, account, OPTIONAL, TIM3_ACCOUNT_MAX, none, "account frozen or unfrozen")                      \
    F (S, AMOUNT, amount, OPTIONAL, 0, none, "the new cap")
#define TIM3_FIELDS_transaction_failed(F, S)                                                                 \
    F (S, ID, tx, REQUIRED, 0, none, "transaction")                                                          \
    F (S, ENUM, kind, REQUIRED, 0, tx_kind, "kind")                                                          \
    F (S, STR, account, REQUIRED, TIM3_ACCOUNT_MAX, none, "account it was asked for")                        \
    F (S, AMOUNT, amount, REQUIRED, 0, none, "amount")                                                       \
    F (S, U64, code, REQUIRED, 65535, none, "result")

/*  ------------------------------------------------------------------------------------------ masks  */

/*  One bit for each role: TIM3_FROM_CLIENT and so on.  */
enum {
#define X(NAME, name, text) TIM3_FROM_##NAME = 1u << TIM3_ROLE_##NAME,
    TIM3_ROLES (X)
#undef X
};
#define TIM3_FROM_ANY ((1u << TIM3_ROLE_COUNT) - 1)
#define TIM3_FROM_AGENT (TIM3_FROM_ANY - TIM3_FROM_CLIENT)
/*  Agents whose stores belong together: what a backup is made of.  */
#define TIM3_FROM_KEEPER                                                                                     \
    (TIM3_FROM_ROUTER | TIM3_FROM_LOCK_MANAGER | TIM3_FROM_TOKEN_MANAGER | TIM3_FROM_STATE_MANAGER |         \
     TIM3_FROM_MOCK_USDA)
#define TIM3_FROM_NONE 0u

/*  --------------------------------------------------------------------------------------- messages  */

#define TIM3_MESSAGES(M)                                                                                     \
    M (1, ERROR, error, "Error", REPLY, NONE, NONE, ERROR, "refuses a request")                              \
    M (2, INFO, empty, "Info", REQUEST, ANY, AGENT, INFO_REPLY, "who are you")                               \
    M (3, INFO_REPLY, info_reply, "InfoReply", REPLY, NONE, NONE, ERROR, "answers Info")                     \
    M (4, HEALTH, empty, "Health", REQUEST, ANY, AGENT, HEALTH_REPLY, "how are you")                         \
    M (5, HEALTH_REPLY, health_reply, "HealthReply", REPLY, NONE, NONE, ERROR, "answers Health")             \
    M (6, STATS, empty, "Stats", REQUEST, ANY, AGENT, STATS_REPLY, "counters and gauges")                    \
    M (7, STATS_REPLY, stats_reply, "StatsReply", REPLY, NONE, NONE, ERROR, "answers Stats")                 \
    M (8, CONFIG_GET, empty, "ConfigGet", REQUEST, ANY, AGENT, CONFIG_REPLY, "settings in force")            \
    M (9, CONFIG_REPLY, config_reply, "ConfigReply", REPLY, NONE, NONE, ERROR, "answers ConfigGet")          \
    M (10, HOLD, hold, "Hold", REQUEST, CLIENT, KEEPER, HELD,                                                \
       "begin a copy of the store as it is now, and stand still until Resume")                               \
    M (11, HELD, held, "Held", REPLY, NONE, NONE, ERROR, "answers Hold: the copy has begun")                 \
    M (12, RESUME, resume, "Resume", REQUEST, CLIENT, KEEPER, COPYING,                                       \
       "go on, and tell how the copy is coming on; may be asked again and again")                            \
    M (13, COPYING, copying, "Copying", REPLY, NONE, NONE, ERROR, "answers Resume: the state of the copy")   \
    /* coordinator */                                                                                        \
    M (20, MINT, mint, "Mint", REQUEST, CLIENT, COORDINATOR, TRANSACTION,                                    \
       "lock collateral and mint tokens; answered when it is completed, else by an Error")                   \
    M (21, REDEEM, redeem, "Redeem", REQUEST, CLIENT, COORDINATOR, TRANSACTION,                              \
       "burn tokens and give the collateral back; answered as Mint is")                                      \
    M (22, TRANSFER, transfer, "Transfer", REQUEST, CLIENT, COORDINATOR, TRANSACTION,                        \
       "move tokens; answered as Mint is")                                                                   \
    M (23, TRANSACTION, transaction, "Transaction", REPLY, NONE, NONE, ERROR,                                \
       "a transaction: its outcome, or where it stands")                                                     \
    M (24, GET_TRANSACTION, get_transaction, "GetTransaction", REQUEST, CLIENT, COORDINATOR, TRANSACTION,    \
       "look a transaction up")                                                                              \
    M (25, LIST_TRANSACTIONS, list_transactions, "ListTransactions", REQUEST, CLIENT, COORDINATOR,           \
       TRANSACTIONS, "page through transactions")                                                            \
    M (26, TRANSACTIONS, transactions, "Transactions", REPLY, NONE, NONE, ERROR, "a page of transactions")   \
    /* lock manager */                                                                                       \
    M (40, LOCK, lock, "Lock", REQUEST, COORDINATOR, LOCK_MANAGER, LOCKED,                                   \
       "move collateral into the vault; answered by Locked or LockRefused")                                  \
    M (41, LOCKED, receipt, "Locked", REPLY, NONE, NONE, ERROR, "collateral is locked; lock receipt")        \
    M (42, LOCK_REFUSED, refusal, "LockRefused", REPLY, NONE, NONE, ERROR,                                   \
       "collateral was not locked and never will be; refusal receipt")                                       \
    M (43, SETTLE, receipt, "Settle", REQUEST, COORDINATOR, LOCK_MANAGER, SETTLED,                           \
       "the lock's tokens are minted; mint receipt")                                                         \
    M (44, SETTLED, settled, "Settled", REPLY, NONE, NONE, ERROR, "settled")                                 \
    M (45, RELEASE, release, "Release", REQUEST, COORDINATOR | TIM3_FROM_TOKEN_MANAGER, LOCK_MANAGER,        \
       RELEASED, "give collateral back against a void or burn receipt")                                      \
    M (46, RELEASED, release, "Released", REPLY, NONE, NONE, ERROR,                                          \
       "collateral is out of the vault; release receipt")                                                    \
    M (47, GET_LOCK, get_lock, "GetLock", REQUEST, CLIENT | TIM3_FROM_COORDINATOR, LOCK_MANAGER, LOCK_ITEM,  \
       "look a lock up")                                                                                     \
    M (48, LOCK_ITEM, lock_item, "LockItem", REPLY, NONE, NONE, ERROR, "a lock")                             \
    M (49, LIST_LOCKS, list_locks, "ListLocks", REQUEST, CLIENT | TIM3_FROM_COORDINATOR, LOCK_MANAGER, LOCKS, \
       "page through locks and releases")                                                                    \
    M (50, LOCKS, locks, "Locks", REPLY, NONE, NONE, ERROR, "a page of locks")                               \
    M (51, GET_LOCK_TOTALS, empty, "GetLockTotals", REQUEST, CLIENT, LOCK_MANAGER, LOCK_TOTALS,              \
       "totals of the collateral ledger")                                                                    \
    M (52, LOCK_TOTALS, lock_totals, "LockTotals", REPLY, NONE, NONE, ERROR,                                 \
       "totals of the collateral ledger")                                                                    \
    M (53, SETTLE_ALL, settle_all, "SettleAll", REQUEST, COORDINATOR, LOCK_MANAGER, SETTLED_ALL,             \
       "the tokens of these locks are minted; what does not hold is passed over")                            \
    M (54, SETTLED_ALL, settled_all, "SettledAll", REPLY, NONE, NONE, ERROR, "answers SettleAll")            \
    /* token manager */                                                                                      \
    M (60, TOKEN_MINT, receipt, "TokenMint", REQUEST, COORDINATOR, TOKEN_MANAGER, MINTED,                    \
       "mint against a lock receipt; answered by Minted or Voided")                                          \
    M (61, MINTED, minted, "Minted", REPLY, NONE, NONE, ERROR, "tokens are minted; mint receipt")            \
    M (62, VOIDED, refusal, "Voided", REPLY, NONE, NONE, ERROR,                                              \
       "tokens were not minted and never will be; void receipt")                                             \
    M (63, RESOLVE, receipt, "Resolve", REQUEST, LOCK_MANAGER, TOKEN_MANAGER, MINTED,                        \
       "decide now what became of a lock (lock receipt); answered by Minted or Voided")                      \
    M (64, RESOLVE_REFUSED, refusal, "ResolveRefused", REQUEST, COORDINATOR | TIM3_FROM_LOCK_MANAGER,        \
       TOKEN_MANAGER, VOIDED, "record a mint whose lock was refused (refusal receipt)")                      \
    M (65, TOKEN_BURN, lock, "TokenBurn", REQUEST, COORDINATOR, TOKEN_MANAGER, BURNED, "burn")               \
    M (66, BURNED, minted, "Burned", REPLY, NONE, NONE, ERROR, "tokens are burned; burn receipt")            \
    M (67, SETTLE_BURN, receipt, "SettleBurn", REQUEST, COORDINATOR, TOKEN_MANAGER, SETTLED,                 \
       "the burn's collateral is released; release receipt")                                                 \
    M (68, TOKEN_TRANSFER, token_transfer, "TokenTransfer", REQUEST, COORDINATOR, TOKEN_MANAGER,             \
       TRANSFERRED, "move tokens; answered by Transferred, or by Sent when they go to another shard")        \
    M (69, TRANSFERRED, transferred, "Transferred", REPLY, NONE, NONE, ERROR, "tokens are moved")            \
    M (70, GET_BALANCE, account_only, "GetBalance", REQUEST, CLIENT, TOKEN_MANAGER, BALANCE, "a balance")    \
    M (71, BALANCE, account, "Balance", REPLY, NONE, NONE, ERROR, "a balance")                               \
    M (72, LIST_BALANCES, list_page, "ListBalances", REQUEST, CLIENT, TOKEN_MANAGER, BALANCES,               \
       "page through balances")                                                                              \
    M (73, BALANCES, balances, "Balances", REPLY, NONE, NONE, ERROR, "a page of balances")                   \
    M (74, GET_SUPPLY, empty, "GetSupply", REQUEST, CLIENT, TOKEN_MANAGER, SUPPLY, "supply and totals")      \
    M (75, SUPPLY, ledger, "Supply", REPLY, NONE, NONE, ERROR, "supply and totals")                          \
    M (76, LIST_HISTORY, list_history, "ListHistory", REQUEST, CLIENT, TOKEN_MANAGER, HISTORY,               \
       "page through an account's history")                                                                  \
    M (77, HISTORY, history, "History", REPLY, NONE, NONE, ERROR, "a page of history")                       \
    M (78, GET_RECORD, tx_only, "GetRecord", REQUEST, CLIENT | TIM3_FROM_COORDINATOR, TOKEN_MANAGER,         \
       TRANSACTION, "what this ledger knows of a transaction")                                               \
    M (79, LIST_RECORDS, list_transactions, "ListRecords", REQUEST, CLIENT | TIM3_FROM_COORDINATOR,          \
       TOKEN_MANAGER, TRANSACTIONS, "page through this ledger's transactions")                               \
    M (80, CONTROL, control, "Control", REQUEST, CLIENT, TOKEN_MANAGER, TRANSACTION,                         \
       "pause, unpause, freeze, unfreeze, set the cap")                                                      \
    M (81, SENT, sent, "Sent", REPLY, NONE, NONE, ERROR, "tokens are on their way to another shard; sent receipt") \
    M (82, RECEIVE, crossing, "Receive", REQUEST, COORDINATOR | TIM3_FROM_TOKEN_MANAGER, TOKEN_MANAGER,      \
       RECEIVED, "credit what another shard has sent (sent receipt); answered by Received or NotReceived")   \
    M (83, RECEIVED, crossing, "Received", REPLY, NONE, NONE, ERROR, "tokens are credited; received receipt") \
    M (84, NOT_RECEIVED, not_received, "NotReceived", REPLY, NONE, NONE, ERROR,                              \
       "tokens were not credited and never will be; not_received receipt")                                   \
    M (85, SETTLE_SENT, crossing, "SettleSent", REQUEST, COORDINATOR, TOKEN_MANAGER, SETTLED,                \
       "what was sent has arrived; received receipt")                                                        \
    M (86, RETURN_SENT, not_received, "ReturnSent", REQUEST, COORDINATOR, TOKEN_MANAGER, SETTLED,            \
       "give back what was sent: it will never arrive")                                                      \
    /* mock USDA */                                                                                          \
    M (100, FAUCET, faucet, "Faucet", REQUEST, CLIENT, MOCK_USDA, COLLATERAL_MOVED,                          \
       "make collateral out of nothing")                                                                     \
    M (101, COLLATERAL_TRANSFER, transfer, "CollateralTransfer", REQUEST, CLIENT, MOCK_USDA,                 \
       COLLATERAL_MOVED, "move collateral between accounts")                                                 \
    M (102, COLLATERAL_MOVED, collateral_moved, "CollateralMoved", REPLY, NONE, NONE, ERROR,                 \
       "collateral is moved")                                                                                \
    M (103, VAULT_LOCK, vault_move, "VaultLock", REQUEST, LOCK_MANAGER, MOCK_USDA, VAULT_LOCKED,             \
       "move collateral into a vault; answered by VaultLocked or VaultRefused")                              \
    M (104, VAULT_LOCKED, vault_move, "VaultLocked", REPLY, NONE, NONE, ERROR,                               \
       "collateral is in the vault; vault_locked receipt")                                                   \
    M (105, VAULT_REFUSED, vault_refused, "VaultRefused", REPLY, NONE, NONE, ERROR,                          \
       "collateral stays, for ever under this tx; vault_refused receipt")                                    \
    M (106, VAULT_UNLOCK, vault_move, "VaultUnlock", REQUEST, LOCK_MANAGER, MOCK_USDA, VAULT_UNLOCKED,       \
       "move collateral out of a vault, to any account")                                                     \
    M (107, VAULT_UNLOCKED, vault_move, "VaultUnlocked", REPLY, NONE, NONE, ERROR,                           \
       "collateral is out of the vault; vault_unlocked receipt")                                             \
    M (108, GET_HOLDING, account_only, "GetHolding", REQUEST, CLIENT, MOCK_USDA, HOLDING,                    \
       "an account's collateral")                                                                            \
    M (109, HOLDING, holding, "Holding", REPLY, NONE, NONE, ERROR, "an account's collateral")                \
    M (110, LIST_HOLDINGS, list_page, "ListHoldings", REQUEST, CLIENT, MOCK_USDA, HOLDINGS,                  \
       "page through accounts")                                                                              \
    M (111, HOLDINGS, holdings, "Holdings", REPLY, NONE, NONE, ERROR, "a page of accounts")                  \
    M (112, LIST_VAULTS, empty, "ListVaults", REQUEST, CLIENT, MOCK_USDA, VAULTS, "all vaults")              \
    M (113, VAULTS, vaults, "Vaults", REPLY, NONE, NONE, ERROR, "all vaults")                                \
    M (114, GET_COLLATERAL_TOTALS, empty, "GetCollateralTotals", REQUEST, CLIENT, MOCK_USDA,                 \
       COLLATERAL_TOTALS, "totals of the collateral token")                                                  \
    M (115, COLLATERAL_TOTALS, collateral_totals, "CollateralTotals", REPLY, NONE, NONE, ERROR,              \
       "totals of the collateral token")                                                                     \
    M (116, GET_COLLATERAL_TRANSACTION, get_transaction, "GetCollateralTransaction", REQUEST, CLIENT, MOCK_USDA, \
       COLLATERAL_TRANSACTION, "look a faucet mint or transfer up, by tx or by account and request id")      \
    M (117, COLLATERAL_TRANSACTION, collateral_transaction, "CollateralTransaction", REPLY, NONE, NONE, ERROR, \
       "what was decided")                                                                                   \
    /* state manager */                                                                                      \
    M (120, GET_POSITION, get_position, "GetPosition", REQUEST, CLIENT, STATE_MANAGER, POSITION,             \
       "an account's position")                                                                              \
    M (121, POSITION, position, "Position", REPLY, NONE, NONE, ERROR, "an account's position")               \
    M (122, LIST_POSITIONS, list_positions, "ListPositions", REQUEST, CLIENT, STATE_MANAGER, POSITIONS,      \
       "page through positions")                                                                             \
    M (123, POSITIONS, positions, "Positions", REPLY, NONE, NONE, ERROR, "a page of positions")              \
    M (124, GET_METRICS, get_metrics, "GetMetrics", REQUEST, CLIENT, STATE_MANAGER, METRICS,                 \
       "metrics by asset")                                                                                   \
    M (125, METRICS, metrics, "Metrics", REPLY, NONE, NONE, ERROR, "metrics by asset")                       \
    M (126, GET_SYSTEM_HEALTH, empty, "GetSystemHealth", REQUEST, CLIENT, STATE_MANAGER, HEALTH_REPLY,       \
       "health of the whole system")                                                                         \
    /* router: registry */                                                                                   \
    M (140, REGISTER, register, "Register", REQUEST, AGENT, ROUTER, REGISTERED, "here I am")                 \
    M (141, REGISTERED, registered, "Registered", REPLY, NONE, NONE, ERROR,                                  \
       "answers Register, Heartbeat, Update and Deregister")                                                 \
    M (142, HEARTBEAT, heartbeat, "Heartbeat", REQUEST, AGENT, ROUTER, REGISTERED, "still here")             \
    M (143, UPDATE, register, "Update", REQUEST, AGENT, ROUTER, REGISTERED, "my entry has changed")          \
    M (144, DEREGISTER, deregister, "Deregister", REQUEST, AGENT, ROUTER, REGISTERED, "going away")          \
    M (145, DISCOVER, discover, "Discover", REQUEST, ANY, ROUTER, AGENTS, "who does this")                   \
    M (146, AGENTS, agents, "Agents", REPLY, NONE, NONE, ERROR, "answers Discover and List")                 \
    M (147, LIST, empty, "List", REQUEST, ANY, ROUTER, AGENTS, "all agents")                                 \
    /* router: event log */                                                                                  \
    M (160, PUBLISH, publish, "Publish", REQUEST, AGENT, ROUTER, PUBLISHED, "append events to the log")      \
    M (161, PUBLISHED, published, "Published", REPLY, NONE, NONE, ERROR, "events are durable")               \
    M (162, SUBSCRIBE, subscribe, "Subscribe", REQUEST, ANY, ROUTER, EVENTS,                                 \
       "send me events; answered by Events, as often as there are some and credit lasts")                    \
    M (163, EVENTS, events, "Events", REPLY, NONE, NONE, ERROR, "a stretch of the event log")                \
    /* events */                                                                                             \
    M (200, COLLATERAL_LOCKED, collateral_locked, "collateral.locked", EVENT, LOCK_MANAGER, NONE, ERROR,     \
       "collateral is in the vault")                                                                         \
    M (201, COLLATERAL_RELEASED, collateral_released, "collateral.released", EVENT, LOCK_MANAGER, NONE,      \
       ERROR, "collateral is no longer locked")                                                              \
    M (202, TOKEN_MINTED, token_changed, "token.minted", EVENT, TOKEN_MANAGER, NONE, ERROR, "minted")        \
    M (203, TOKEN_BURNED, token_changed, "token.burned", EVENT, TOKEN_MANAGER, NONE, ERROR, "burned")        \
    M (204, TOKEN_TRANSFERRED, token_transferred, "token.transferred", EVENT, TOKEN_MANAGER, NONE, ERROR,    \
       "moved")                                                                                              \
    M (205, TOKEN_CONTROLLED, token_controlled, "token.controlled", EVENT, TOKEN_MANAGER, NONE, ERROR,       \
       "paused, frozen, capped")                                                                             \
    M (206, TRANSACTION_FAILED, transaction_failed, "transaction.failed", EVENT, TOKEN_MANAGER, NONE, ERROR, \
       "refused or voided, for ever under this tx")                                                          \
    M (207, TOKEN_SENT, token_crossed, "token.sent", EVENT, TOKEN_MANAGER, NONE, ERROR,                      \
       "on the way to an account of another shard")                                                          \
    M (208, TOKEN_RECEIVED, token_crossed, "token.received", EVENT, TOKEN_MANAGER, NONE, ERROR,              \
       "arrived from an account of another shard: the transfer is done")                                     \
    M (209, TOKEN_RETURNED, token_crossed, "token.returned", EVENT, TOKEN_MANAGER, NONE, ERROR,              \
       "given back to the sender: it could not arrive")

/*  ----------------------------------------------------------------- what is derived from the tables  */

typedef enum {
#define M(number, NAME, name, text, class, from, to, reply, doc) TIM3_MSG_##NAME = number,
    TIM3_MESSAGES (M)
#undef M
} tim3_type_t;

#define TIM3_MEMBER_U64(member, bound) uint64_t member;
#define TIM3_MEMBER_BOOL(member, bound) bool member;
#define TIM3_MEMBER_AMOUNT(member, bound) tim3_amount_t member;
#define TIM3_MEMBER_ID(member, bound) tim3_id_t member;
#define TIM3_MEMBER_MAC(member, bound) tim3_mac_t member;
#define TIM3_MEMBER_STR(member, bound) char member[bound + 1];
#define TIM3_MEMBER_ENUM(member, bound) uint8_t member;
#define TIM3_MEMBER_LIST(member, bound) tim3_list_t member;
#define TIM3_MEMBER_RAW(member, bound) tim3_raw_t member;
#define TIM3_MEMBER(S, KIND, member, need, bound, type, text) TIM3_MEMBER_##KIND (member, bound)

#define TIM3_STRUCT(name)                                                                                    \
    typedef struct tim3_##name {                                                                             \
        TIM3_FIELDS_##name (TIM3_MEMBER, name)                                                               \
    } tim3_##name##_t;                                                                                       \
    extern const tim3_shape_t tim3_shape_##name;

/*  Every shape once: records, then the bodies that are not records already.  */
#define TIM3_BODIES(X)                                                                                       \
    X (error)                                                                                                \
    X (info_reply)                                                                                           \
    X (health_reply)                                                                                         \
    X (stats_reply)                                                                                          \
    X (config_reply)                                                                                         \
    X (hold)                                                                                                 \
    X (held)                                                                                                 \
    X (resume)                                                                                               \
    X (copying)                                                                                              \
    X (mint)                                                                                                 \
    X (redeem)                                                                                               \
    X (transfer)                                                                                             \
    X (get_transaction)                                                                                      \
    X (list_transactions)                                                                                    \
    X (transactions)                                                                                         \
    X (lock)                                                                                                 \
    X (receipt)                                                                                              \
    X (refusal)                                                                                              \
    X (release)                                                                                              \
    X (settled)                                                                                              \
    X (settle_all)                                                                                           \
    X (settled_all)                                                                                          \
    X (minted)                                                                                               \
    X (transferred)                                                                                          \
    X (token_transfer)                                                                                       \
    X (sent)                                                                                                 \
    X (crossing)                                                                                             \
    X (not_received)                                                                                         \
    X (tx_only)                                                                                              \
    X (get_lock)                                                                                             \
    X (account_only)                                                                                         \
    X (list_locks)                                                                                           \
    X (locks)                                                                                                \
    X (list_page)                                                                                            \
    X (list_history)                                                                                         \
    X (history)                                                                                              \
    X (balances)                                                                                             \
    X (control)                                                                                              \
    X (faucet)                                                                                               \
    X (collateral_moved)                                                                                     \
    X (collateral_transaction)                                                                               \
    X (vault_move)                                                                                           \
    X (vault_refused)                                                                                        \
    X (holdings)                                                                                             \
    X (vaults)                                                                                               \
    X (get_position)                                                                                         \
    X (list_positions)                                                                                       \
    X (positions)                                                                                            \
    X (get_metrics)                                                                                          \
    X (metrics)                                                                                              \
    X (register)                                                                                             \
    X (heartbeat)                                                                                            \
    X (registered)                                                                                           \
    X (deregister)                                                                                           \
    X (discover)                                                                                             \
    X (agents)                                                                                               \
    X (publish)                                                                                              \
    X (published)                                                                                            \
    X (subscribe)                                                                                            \
    X (events)                                                                                               \
    X (collateral_locked)                                                                                    \
    X (collateral_released)                                                                                  \
    X (token_changed) X (token_transferred) X (token_crossed) X (token_controlled) X (transaction_failed)

TIM3_RECORDS (TIM3_STRUCT)
TIM3_BODIES (TIM3_STRUCT)
extern const tim3_shape_t tim3_shape_empty;

/*  Of each enumeration its type, and its values with their names.  */
#define TIM3_ENUM_VALUE(PREFIX, number, NAME, name) TIM3_##PREFIX##_##NAME = number,
#define TIM3_ENUM(name, PREFIX)                                                                              \
    typedef enum { TIM3_VALUES_##name (TIM3_ENUM_VALUE, PREFIX) } tim3_##name##_t;                           \
    extern const tim3_value_t tim3_##name##_values[];
TIM3_ENUMERATIONS (TIM3_ENUM)
extern const tim3_value_t tim3_role_values[];

typedef enum { TIM3_CLASS_REQUEST, TIM3_CLASS_REPLY, TIM3_CLASS_EVENT } tim3_class_t;

typedef struct {
    uint16_t type;
    tim3_class_t of_class;
    const char *name;
    const tim3_shape_t *shape;
    uint32_t from; /* mask of roles */
    uint32_t to;   /* mask of roles */
    uint16_t reply;
    const char *text;
} tim3_message_t;

/*  NULL when there is no such number or name.  */
const tim3_message_t *tim3_message (uint64_t type);
const tim3_message_t *tim3_message_by_name (const char *name);
/*  Walks the table by position; NULL past its end.  */
const tim3_message_t *tim3_message_at (unsigned position);

/*  Size of the largest body struct, for a buffer that can take any.  */
size_t tim3_body_size_max (void);

TIM3_C_END

#endif
