/*  canary.h - bugs planted on purpose, to prove that the simulator finds such bugs.

    Built with -DTIM3_CANARY=n, the program has bug n; without, every TIM3_CANARY_IS is a constant false and
    leaves no trace. Each stands where a programmer could really slip. `make canaries` builds and hunts all of
    them.

    C (number, "name", "what is wrong")
*/
#ifndef TIM3_CANARY_H
#define TIM3_CANARY_H

#define TIM3_CANARIES(C)                                                                                     \
    C (1, "commit_late", "the host lets a batch out and leaves its commit to a later one")                   \
    C (2, "full_store_answers", "what a batch had to say is let out although the store was full")            \
    C (3, "any_lock_receipt", "the token manager mints without a look at the lock receipt")                  \
    C (4, "void_not_recorded", "a void receipt is given, and the void is not recorded")                      \
    C (5, "dedupe_window", "a tx is known for ten seconds only")                                             \
    C (6, "sweep_forgets_releasing", "the lock manager's sweep passes over what is releasing")               \
    C (7, "payload_not_compared", "an id is known again whatever the amount")                                \
    C (8, "event_per_answer", "the event of a transfer is emitted with every answer")                        \
    C (9, "credit_twice", "an unlock is not recorded, so that asking again pays again")                      \
    C (10, "asset_not_in_mac", "a receipt does not tell the asset")                                          \
    C (11, "overflow_unchecked", "the sum of all mints is not checked")                                      \
    C (12, "stretch_unchecked", "events are taken although some before them are missing")                    \
    C (13, "lock_before_vault", "a lock receipt is given before the vault has risen")                        \
    C (14, "account_not_in_mac", "a receipt does not tell the account")                                      \
    C (15, "settle_unchecked", "a lock is settled without a look at the mint receipt")                       \
    C (16, "deleted_before_ack", "events are deleted once sent")                                             \
    C (17, "refusal_not_recorded", "a refused transfer is not recorded")                                     \
    C (18, "reused_from_memory", "a coordinator refuses an id for good because of what is in flight")        \
    C (19, "late_answer_taken", "an answer to an earlier flight is taken for one to this")                   \
    C (20, "due_row_left", "a settled burn keeps its place in the index of the sweep")                         \
    C (21, "release_counts_twice", "a released burn is taken out of what is locked at every asking")         \
    C (22, "unconfirmed_bounded", "what is not settled is thought to be no more than there is")              \
    C (23, "held_goes_on", "an agent that is held for a backup goes on all the same")                        \
    C (24, "break_not_told", "a hold that ended by itself is not told to whoever makes the backup")          \
    C (25, "run_deleted_in_part", "a run of events is deleted once the first of them is acknowledged")       \
    C (26, "received_twice", "what another shard has sent is credited at every asking")                      \
    C (27, "returned_although_received", "a receiver that could not receive now has not received, though it has")        \
    C (28, "receiver_not_in_mac", "a receipt of what crosses shards does not tell the receiver")

#ifdef TIM3_CANARY
#define TIM3_CANARY_IS(number) (TIM3_CANARY == (number))
#else
#define TIM3_CANARY_IS(number) (0)
#endif

#endif
