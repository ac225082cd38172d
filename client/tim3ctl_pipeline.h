/*  tim3ctl_pipeline.h - many operations at once, and yet in order for each account.

    A book holds the accounts that a command works with and what their balances should be. A pipeline
    takes operations from its caller in order and keeps a bounded number of them under way; one is sent
    only when all earlier ones that touch one of its accounts are answered. So the outcome is that of
    doing them one by one.
*/
#ifndef TIM3CTL_PIPELINE_H
#define TIM3CTL_PIPELINE_H

#include "tim3ctl.h"

/*  ------------------------------------------------------------------------------------------- the book  */

typedef struct tim3ctl_account {
    const char *asset; /* as given to tim3ctl_book_account: it must outlive the book */
    tim3_amount_t balance;
    tim3_amount_t collateral;
    tim3_amount_t opening;
    struct tim3ctl_op *last; /* newest operation that waits or is under way */
    char name[];
} tim3ctl_account_t;

typedef struct tim3ctl_book tim3ctl_book_t;

tim3ctl_book_t *tim3ctl_book_new (void);
void tim3ctl_book_destroy (tim3ctl_book_t **self_p);
/*  Finds the account, or opens it.  */
tim3ctl_account_t *tim3ctl_book_account (tim3ctl_book_t *self, const char *asset, const char *name);
uint32_t tim3ctl_book_count (const tim3ctl_book_t *self);
/*  In the order in which they were opened.  */
tim3ctl_account_t *tim3ctl_book_at (tim3ctl_book_t *self, uint32_t position);

/*  --------------------------------------------------------------------------------------- the pipeline  */

/*  type is one of MINT, REDEEM, TRANSFER, FAUCET, COLLATERAL_TRANSFER, GET_BALANCE, GET_HOLDING.  */
typedef struct tim3ctl_op {
    tim3_type_t type;
    tim3ctl_account_t *account;
    tim3ctl_account_t *to; /* of a transfer, else NULL */
    tim3_amount_t amount;
    char request_id[TIM3_REQUEST_ID_MAX + 1];
    uint64_t tag;          /* the caller's own */
    tim3_amount_t balance; /* what was answered: account's balance after it */
    /* the pipeline's own */
    struct tim3ctl_op *next[2]; /* that wait for this one, by account and to */
    struct tim3ctl_op *link;
    unsigned waiting;
    uint64_t start_us;
    uint64_t again_us;
} tim3ctl_op_t;

/*  What becomes of an operation: it is over; it is asked again, under what the caller made its request id;
    or the pipeline stops.  */
typedef enum { TIM3CTL_NEXT, TIM3CTL_AGAIN, TIM3CTL_STOP } tim3ctl_verdict_t;

typedef struct {
    void *arg;
    /* fills the next operation (zeroed); false when there are no more */
    bool (*next) (void *arg, tim3ctl_op_t *op);
    /* told of each final answer; error is NULL when it was completed */
    tim3ctl_verdict_t (*done) (void *arg, tim3ctl_op_t *op, const tim3_error_t *error);
    /* called a few times a second; may be NULL */
    void (*progress) (void *arg);
    unsigned outstanding;
    uint64_t timeout_ms; /* for one operation to be answered */
} tim3ctl_flow_t;

#define TIM3CTL_OUTSTANDING_MAX 65536

/*  Returns an exit code: done when all were answered and none stopped it; refused when done said stop;
    no answer when one was not answered in time (said on stderr), or at Ctrl-C.  */
int tim3ctl_pipeline_run (tim3ctl_t *ctl, const tim3ctl_flow_t *flow);

/*  ----------------------------------------------------------------------------------------- progress  */

/*  A bar on a terminal; else a line every few seconds. All on stderr.  */
typedef struct {
    const char *label;
    uint64_t total;
    uint64_t done;
    uint64_t start_us;
    uint64_t shown_us;
} tim3ctl_progress_t;

void tim3ctl_progress_begin (tim3ctl_progress_t *self, const char *label, uint64_t total);
void tim3ctl_progress_show (tim3ctl_progress_t *self);
void tim3ctl_progress_end (tim3ctl_progress_t *self);

#endif
