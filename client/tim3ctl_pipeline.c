/*  tim3ctl_pipeline.c - keeps operations under way, each account's in order.

    An operation waits for at most two others: the newest earlier one of each of its accounts. When one is
    answered, those that waited for it and for nothing else become ready. Operations that were answered with
    "pending", or with something that leaves the outcome unknown, are asked again a little later.  */
#include "tim3ctl_pipeline.h"
#include "base/log.h"
#include "wire/envelope.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_US 100000
#define SILENCE_US 5000000
#define PROGRESS_US 100000

typedef struct {
    tim3ctl_op_t *first;
    tim3ctl_op_t *last;
} queue_t;

typedef struct {
    tim3ctl_t *ctl;
    const tim3ctl_flow_t *flow;
    tim3_client_t *client;
    tim3ctl_op_t *ops;
    queue_t spare;
    queue_t ready;
    queue_t later; /* in the order in which they are due */
    unsigned held;
    unsigned under_way;
    bool exhausted;
    bool stopped;
    int code;
    uint64_t heard_us;
    uint64_t said_us;
    uint64_t shown_us;
} pipeline_t;

static void push (queue_t *queue, tim3ctl_op_t *op)
{
    op->link = NULL;
    if (queue->last)
        queue->last->link = op;
    else
        queue->first = op;
    queue->last = op;
}

static tim3ctl_op_t *pop (queue_t *queue)
{
    tim3ctl_op_t *op = queue->first;
    queue->first = op->link;
    if (!queue->first)
        queue->last = NULL;
    return op;
}

/*  ------------------------------------------------------------------------------------------- ordering  */

static tim3ctl_op_t **place_for (tim3ctl_op_t *earlier, const tim3ctl_account_t *account)
{
    return &earlier->next[earlier->account == account ? 0 : 1];
}

static void wait_behind (tim3ctl_account_t *account, tim3ctl_op_t *op)
{
    if (account->last) {
        *place_for (account->last, account) = op;
        op->waiting++;
    }
    account->last = op;
}

static void let_go (tim3ctl_account_t *account, tim3ctl_op_t *op, queue_t *ready)
{
    tim3ctl_op_t *waiter = *place_for (op, account);
    if (account->last == op)
        account->last = NULL;
    if (waiter && --waiter->waiting == 0)
        push (ready, waiter);
}

/*  Takes operations from the caller until enough are held: those under way, and some that wait in line.  */
static void fill (pipeline_t *self)
{
    while (!self->exhausted && self->spare.first) {
        tim3ctl_op_t *op = pop (&self->spare);
        memset (op, 0, sizeof *op);
        if (!self->flow->next (self->flow->arg, op)) {
            self->exhausted = true;
            push (&self->spare, op);
            return;
        }
        self->held++;
        wait_behind (op->account, op);
        if (op->to)
            wait_behind (op->to, op);
        if (op->waiting == 0)
            push (&self->ready, op);
    }
}

/*  -------------------------------------------------------------------------------------------- asking  */

typedef union {
    tim3_mint_t mint;
    tim3_transfer_t transfer;
    tim3_faucet_t faucet;
    tim3_account_only_t only;
} body_t;

static void fill_body (const tim3ctl_op_t *op, body_t *body)
{
    memset (body, 0, sizeof *body);
    switch (op->type) {
    case TIM3_MSG_TRANSFER:
    case TIM3_MSG_COLLATERAL_TRANSFER:
        strcpy (body->transfer.account, op->account->name);
        strcpy (body->transfer.to, op->to->name);
        strcpy (body->transfer.request_id, op->request_id);
        body->transfer.amount = op->amount;
        break;
    case TIM3_MSG_FAUCET:
        strcpy (body->faucet.account, op->account->name);
        strcpy (body->faucet.request_id, op->request_id);
        body->faucet.amount = op->amount;
        break;
    case TIM3_MSG_MINT:
    case TIM3_MSG_REDEEM: /* the same fields in the same places */
        strcpy (body->mint.account, op->account->name);
        strcpy (body->mint.request_id, op->request_id);
        body->mint.amount = op->amount;
        break;
    default:
        strcpy (body->only.account, op->account->name);
        break;
    }
}

static void route_of (const pipeline_t *self, const tim3ctl_op_t *op, char route[TIM3_ADDRESS_MAX + 1])
{
    uint32_t to = tim3_message (op->type)->to;
    tim3_role_t role = TIM3_ROLE_COORDINATOR;
    if (to & TIM3_FROM_MOCK_USDA)
        role = TIM3_ROLE_MOCK_USDA;
    else if (to & TIM3_FROM_TOKEN_MANAGER)
        role = TIM3_ROLE_TOKEN_MANAGER;
    tim3_address_format (role, role == TIM3_ROLE_MOCK_USDA ? self->ctl->collateral : op->account->asset, -1,
                         route);
}

static void ask (pipeline_t *self, tim3ctl_op_t *op)
{
    char route[TIM3_ADDRESS_MAX + 1];
    body_t body;
    fill_body (op, &body);
    route_of (self, op, route);
    if (op->start_us == 0)
        op->start_us = tim3ctl_now_us ();
    self->under_way++;
    tim3_client_submit (self->client, route, op->account->name, op->type, &body, op);
}

static void ask_ready (pipeline_t *self)
{
    uint64_t now = tim3ctl_now_us ();
    while (self->later.first && self->later.first->again_us <= now)
        push (&self->ready, pop (&self->later));
    while (self->ready.first && self->under_way < self->flow->outstanding)
        ask (self, pop (&self->ready));
}

/*  ------------------------------------------------------------------------------------------- answers  */

static void stop (pipeline_t *self, int code)
{
    self->stopped = true;
    self->code = code;
}

static void conclude (pipeline_t *self, tim3ctl_op_t *op, const tim3_error_t *error)
{
    tim3ctl_verdict_t verdict = self->flow->done (self->flow->arg, op, error);
    if (verdict == TIM3CTL_AGAIN) {
        push (&self->ready, op);
        return;
    }
    let_go (op->account, op, &self->ready);
    if (op->to)
        let_go (op->to, op, &self->ready);
    self->held--;
    push (&self->spare, op);
    if (verdict == TIM3CTL_STOP)
        stop (self, TIM3CTL_REFUSED);
}

static void tell_silence (const pipeline_t *self, const tim3ctl_op_t *op, const char *why)
{
    tim3_error_t error;
    tim3_error_fill (&error, TIM3_NO_ANSWER,
                     "request %s of %s has had no final answer for %llu s (%s); its outcome is unknown",
                     op->request_id, op->account->name, (unsigned long long) (self->flow->timeout_ms / 1000),
                     why);
    fprintf (stderr, "\nno_answer: %s. The same command does nothing twice: run it again.\n", error.text);
    tim3ctl_error_json (&error, op->request_id);
}

static void ask_later (pipeline_t *self, tim3ctl_op_t *op, const char *why)
{
    uint64_t now = tim3ctl_now_us ();
    if (now - op->start_us > self->flow->timeout_ms * 1000) {
        tell_silence (self, op, why);
        stop (self, TIM3CTL_NO_ANSWER);
        return;
    }
    op->again_us = now + AGAIN_US;
    push (&self->later, op);
}

static void take_transaction (pipeline_t *self, tim3ctl_op_t *op, const tim3_transaction_t *transaction)
{
    tim3_error_t error;
    if (transaction->status == TIM3_TX_STATUS_PENDING) {
        ask_later (self, op, "pending");
        return;
    }
    op->balance = transaction->balance;
    if (transaction->status == TIM3_TX_STATUS_COMPLETED) {
        conclude (self, op, NULL);
        return;
    }
    tim3_error_fill (&error, (tim3_result_t) transaction->code, NULL);
    error.available = transaction->available;
    error.needed = transaction->needed;
    conclude (self, op, &error);
}

static tim3_amount_t balance_in (const tim3_answer_t *answer)
{
    switch (answer->type) {
    case TIM3_MSG_COLLATERAL_MOVED:
        return ((const tim3_collateral_moved_t *) answer->body)->balance;
    case TIM3_MSG_HOLDING:
        return ((const tim3_holding_t *) answer->body)->available;
    default:
        return ((const tim3_account_t *) answer->body)->balance;
    }
}

static void take_answer (pipeline_t *self, const tim3_answer_t *answer)
{
    tim3ctl_op_t *op = answer->tag;
    self->under_way--;
    self->heard_us = self->said_us = tim3ctl_now_us ();
    if (answer->type == TIM3_MSG_TRANSACTION) {
        take_transaction (self, op, answer->body);
    } else if (!answer->error) {
        op->balance = balance_in (answer);
        conclude (self, op, NULL);
    } else {
        tim3_error_t error = *answer->error;
        tim3_advice_t advice = tim3_result_advice ((unsigned) error.code);
        if (advice == TIM3_ADVICE_UNKNOWN || advice == TIM3_ADVICE_RETRY_SAME_ID)
            ask_later (self, op, error.name);
        else
            conclude (self, op, &error);
    }
}

/*  -------------------------------------------------------------------------------------------- running  */

static void look_around (pipeline_t *self)
{
    uint64_t now = tim3ctl_now_us ();
    if (now - self->said_us > SILENCE_US) {
        self->said_us = now;
        fprintf (stderr, "\nnothing has been answered for %.0f s; %u requests under way, still asking\n",
                 (double) (now - self->heard_us) / 1e6, self->under_way);
    }
    if (self->flow->progress && now - self->shown_us > PROGRESS_US) {
        self->shown_us = now;
        self->flow->progress (self->flow->arg);
    }
}

static void run (pipeline_t *self)
{
    for (;;) {
        fill (self);
        ask_ready (self);
        if (self->held == 0 || self->stopped)
            return;
        if (tim3ctl_interrupted ()) {
            fputc ('\n', stderr);
            stop (self,
                  tim3ctl_failed (TIM3CTL_NO_ANSWER, "interrupted",
                                  "interrupted; %u requests were under way. The same command does nothing "
                                  "twice: run it again.",
                                  self->under_way));
            return;
        }
        const tim3_answer_t *answer = tim3_client_poll (self->client, 50);
        if (answer)
            take_answer (self, answer);
        look_around (self);
    }
}

static bool prepare (pipeline_t *self)
{
    unsigned most = self->flow->outstanding * 4 + 64;
    self->client = tim3ctl_client (self->ctl);
    if (!self->client)
        return false;
    tim3_client_set_timeout_ms (self->client, self->flow->timeout_ms);
    self->heard_us = self->said_us = tim3ctl_now_us ();
    self->ops = tim3_alloc (most * sizeof *self->ops);
    for (unsigned i = 0; i < most; i++)
        push (&self->spare, &self->ops[i]);
    return true;
}

int tim3ctl_pipeline_run (tim3ctl_t *ctl, const tim3ctl_flow_t *flow)
{
    pipeline_t self = {.ctl = ctl, .flow = flow};
    if (!prepare (&self))
        return ctl->exit;
    run (&self);
    /* what is still under way would answer into memory that is gone */
    if (self.stopped)
        tim3_client_destroy (&ctl->client);
    free (self.ops);
    return self.code;
}
