/*  result.h - every outcome that TIM3 reports, declared once.

    R (number, NAME, "name", advice, "text"). Numbers are explicit and never reused. The advice tells the
    caller what it may do next:
      final          this request can never succeed; change it
      retry_same_id  nothing has been decided; ask again with the same request id
      retry_new_id   decided for ever under this id; once the cause is gone, ask under a new id
      unknown        it may or may not have happened; ask again with the same request id to find out
*/
#ifndef TIM3_RESULT_H
#define TIM3_RESULT_H

#include "base/linkage.h"

#define TIM3_ADVICE(A)                                                                                       \
    A (FINAL, "final")                                                                                       \
    A (RETRY_SAME_ID, "retry_same_id")                                                                       \
    A (RETRY_NEW_ID, "retry_new_id")                                                                         \
    A (UNKNOWN, "unknown")

#define TIM3_RESULTS(R)                                                                                      \
    R (0, OK, "ok", FINAL, "done")                                                                           \
    R (1, MALFORMED, "malformed", FINAL, "the message cannot be decoded")                                    \
    R (2, UNKNOWN_MESSAGE, "unknown_message", FINAL, "no such message, or not one for this agent")           \
    R (3, NOT_ALLOWED, "not_allowed", FINAL, "this sender may not send this message")                        \
    R (4, TOO_LARGE, "too_large", FINAL, "the frame or a field is larger than its limit")                    \
    R (5, BAD_VERSION, "bad_version", FINAL, "protocol version not spoken here")                             \
    R (6, INVALID_FIELD, "invalid_field", FINAL, "a field is missing or has an illegal value")               \
    R (10, INVALID_AMOUNT, "invalid_amount", FINAL, "the amount must be more than zero, and fit 128 bits in the collateral's unit")  \
    R (11, INVALID_ACCOUNT, "invalid_account", FINAL, "account names are 1 to 64 of A-Z a-z 0-9 . _ : @ -")  \
    R (12, INVALID_REQUEST_ID, "invalid_request_id", FINAL, "request ids are 1 to 64 printable ASCII characters without spaces")  \
    R (13, SAME_ACCOUNT, "same_account", FINAL, "sender and receiver are the same account")                  \
    R (14, AMOUNT_OVERFLOW, "amount_overflow", RETRY_NEW_ID, "a balance or total would exceed 2^128 - 1")    \
    R (20, INSUFFICIENT_FUNDS, "insufficient_funds", RETRY_NEW_ID, "the account holds less than needed")     \
    R (21, ACCOUNT_FROZEN, "account_frozen", RETRY_NEW_ID, "the account is frozen")                          \
    R (22, ASSET_PAUSED, "asset_paused", RETRY_NEW_ID, "the asset is paused")                                \
    R (23, CAP_EXCEEDED, "cap_exceeded", RETRY_NEW_ID, "the supply cap would be exceeded")                   \
    R (24, VOIDED, "voided", RETRY_NEW_ID, "the mint was not finished in time and was voided")               \
    R (30, ID_REUSED, "id_reused", FINAL, "this request id was used before with other fields")               \
    R (31, BAD_RECEIPT, "bad_receipt", FINAL, "the receipt does not prove what it should")                   \
    R (32, WRONG_STATE, "wrong_state", FINAL, "not possible in the record's state")                          \
    R (33, NOT_FOUND, "not_found", FINAL, "no such record")                                                  \
    R (34, WRONG_SHARD, "wrong_shard", FINAL, "the account belongs to another shard of this ledger")         \
    R (40, OVERLOADED, "overloaded", RETRY_SAME_ID, "too much is under way; nothing was started")            \
    R (41, NO_ROUTE, "no_route", RETRY_SAME_ID, "no agent is there to take this")                            \
    R (42, STORAGE_FULL, "storage_full", RETRY_SAME_ID, "the store is full; writes are refused")             \
    R (43, NOT_READY, "not_ready", RETRY_SAME_ID, "the agent is not ready yet")                              \
    R (44, SUPERSEDED, "superseded", FINAL, "a newer incarnation of this agent has registered")              \
    R (45, NO_ANSWER, "no_answer", UNKNOWN, "no answer came in time; the outcome is unknown")                \
    R (46, STORE_ROLLED_BACK, "store_rolled_back", FINAL, "the agent's store is older than what its peers rely on") \
    R (47, LOG_ROLLED_BACK, "log_rolled_back", RETRY_SAME_ID,                                                \
       "the router's event log lacks events that were told to be durable")                                   \
    R (50, INTERNAL, "internal", UNKNOWN, "the agent failed in a way that it should not")

typedef enum {
#define R(number, NAME, name, advice, text) TIM3_##NAME = number,
    TIM3_RESULTS (R)
#undef R
} tim3_result_t;

typedef enum {
#define A(NAME, name) TIM3_ADVICE_##NAME,
    TIM3_ADVICE (A)
#undef A
} tim3_advice_t;

TIM3_C_BEGIN

/*  Never NULL; a number that is not in the table gives "internal".  */
const char *tim3_result_name (unsigned code);
const char *tim3_result_text (unsigned code);
tim3_advice_t tim3_result_advice (unsigned code);
const char *tim3_advice_name (tim3_advice_t advice);

/*  For documents and tests: walks the table by position, NULL past its end.  */
typedef struct {
    unsigned code;
    const char *name;
    tim3_advice_t advice;
    const char *text;
} tim3_result_row_t;
const tim3_result_row_t *tim3_result_row (unsigned position);

TIM3_C_END

#endif
