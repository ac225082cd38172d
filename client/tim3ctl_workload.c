/*  tim3ctl_workload.c - workload: a seeded mix of operations, some of which must be refused, while
    books are kept from the answers alone. At the end every account's tokens and collateral are compared
    with the books: what was answered "completed" happened once, what was refused did not happen.

    Agents may be killed meanwhile; requests are sent again under the same ids.  */
#include "tim3ctl_commands.h"
#include "tim3ctl_pipeline.h"
#include "tim3ctl_print.h"
#include "tim3client_ids.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OUTSTANDING 64
#define ACCOUNTS 50
#define OPERATIONS 1000
#define TIMEOUT_S 120
#define RESULTS_MAX 16
#define MISMATCHES_SHOWN 20
#define OWN_DIGITS 8

typedef struct {
    unsigned code;
    uint64_t count;
} tally_t;

typedef struct {
    tim3ctl_t *ctl;
    tim3ctl_book_t *book;
    tim3ctl_progress_t progress;
    tim3_request_ids_t ids;
    uint64_t random;
    uint64_t next;
    uint64_t operations;
    uint32_t accounts;
    tim3_amount_t unit;  /* minor units in one token */
    tim3_amount_t scale; /* collateral units in a minor unit of the token */
    uint64_t completed;
    tally_t refused[RESULTS_MAX];
    uint32_t account; /* next to compare */
    bool collateral;  /* comparing collateral, not tokens */
    uint64_t mismatches;
} workload_t;

/*  --------------------------------------------------------------------------------------------- choices  */

/*  splitmix64: small, and the same everywhere.  */
static uint64_t draw (workload_t *self, uint64_t below)
{
    uint64_t value = self->random += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return (value ^ value >> 31) % below;
}

static tim3ctl_account_t *draw_account (workload_t *self)
{
    return tim3ctl_book_at (self->book, (uint32_t) draw (self, self->accounts));
}

/*  One in twenty asks for more than anyone can have, and must be refused.  */
static tim3_amount_t draw_amount (workload_t *self)
{
    tim3_amount_t amount = (1 + draw (self, 1000)) * self->unit / 100;
    if (amount == 0)
        amount = 1;
    return draw (self, 20) == 0 ? amount + (tim3_amount_t) 1000000000 * self->unit : amount;
}

static tim3ctl_account_t *draw_other (workload_t *self, const tim3ctl_account_t *account)
{
    tim3ctl_account_t *other = draw_account (self);
    while (other == account)
        other = draw_account (self);
    return other;
}

static void draw_kind (workload_t *self, tim3ctl_op_t *op)
{
    uint64_t kind = draw (self, 100);
    op->type = kind < 30   ? TIM3_MSG_MINT
               : kind < 55 ? TIM3_MSG_TRANSFER
               : kind < 75 ? TIM3_MSG_REDEEM
                           : TIM3_MSG_FAUCET;
    if (kind >= 95)
        op->type = TIM3_MSG_COLLATERAL_TRANSFER;
}

/*  Every account gets collateral first; then anything.  */
static bool next_operation (void *arg, tim3ctl_op_t *op)
{
    workload_t *self = arg;
    if (self->next == self->operations)
        return false;
    bool funding = self->next < self->accounts;
    op->account = funding ? tim3ctl_book_at (self->book, (uint32_t) self->next) : draw_account (self);
    op->amount = draw_amount (self);
    if (funding)
        op->type = TIM3_MSG_FAUCET;
    else
        draw_kind (self, op);
    if (op->type == TIM3_MSG_TRANSFER || op->type == TIM3_MSG_COLLATERAL_TRANSFER)
        op->to = draw_other (self, op->account);
    if (op->type == TIM3_MSG_FAUCET)
        op->amount = (50 + draw (self, 100)) * self->unit;
    if (op->type == TIM3_MSG_FAUCET || op->type == TIM3_MSG_COLLATERAL_TRANSFER)
        op->amount *= self->scale;
    tim3_request_ids_next (&self->ids, op->request_id);
    self->next++;
    return true;
}

/*  ----------------------------------------------------------------------------------------------- books  */

static void book (const workload_t *self, const tim3ctl_op_t *op)
{
    switch (op->type) {
    case TIM3_MSG_FAUCET:
        op->account->collateral += op->amount;
        break;
    case TIM3_MSG_COLLATERAL_TRANSFER:
        op->account->collateral -= op->amount;
        op->to->collateral += op->amount;
        break;
    case TIM3_MSG_MINT:
        op->account->collateral -= op->amount * self->scale;
        op->account->balance += op->amount;
        break;
    case TIM3_MSG_REDEEM:
        op->account->balance -= op->amount;
        op->account->collateral += op->amount * self->scale;
        break;
    default:
        op->account->balance -= op->amount;
        op->to->balance += op->amount;
        break;
    }
}

static void count_refusal (workload_t *self, unsigned code)
{
    unsigned at = 0;
    while (at < RESULTS_MAX - 1 && self->refused[at].count && self->refused[at].code != code)
        at++;
    self->refused[at].code = code;
    self->refused[at].count++;
}

static tim3ctl_verdict_t operation_done (void *arg, tim3ctl_op_t *op, const tim3_error_t *error)
{
    workload_t *self = arg;
    self->progress.done++;
    if (error) {
        count_refusal (self, (unsigned) error->code);
    } else {
        self->completed++;
        book (self, op);
    }
    return TIM3CTL_NEXT;
}

/*  ------------------------------------------------------------------------------------------- comparing  */

static bool next_comparison (void *arg, tim3ctl_op_t *op)
{
    workload_t *self = arg;
    if (self->account == self->accounts)
        return false;
    op->type = self->collateral ? TIM3_MSG_GET_HOLDING : TIM3_MSG_GET_BALANCE;
    op->account = tim3ctl_book_at (self->book, self->account++);
    return true;
}

/*  The account's opening member keeps what is found, to be printed once no more time is left.  */
static tim3ctl_verdict_t comparison_done (void *arg, tim3ctl_op_t *op, const tim3_error_t *error)
{
    workload_t *self = arg;
    if (error && error->code != TIM3_NOT_FOUND)
        return TIM3CTL_STOP;
    op->account->opening = op->balance;
    self->mismatches += op->balance != (self->collateral ? op->account->collateral : op->account->balance);
    return TIM3CTL_NEXT;
}

static void print_mismatches (const workload_t *self)
{
    char is[TIM3_AMOUNT_TEXT_MAX];
    char should[TIM3_AMOUNT_TEXT_MAX];
    unsigned shown = 0;
    for (uint32_t i = 0; i < self->accounts && shown < MISMATCHES_SHOWN; i++) {
        const tim3ctl_account_t *account = tim3ctl_book_at (self->book, i);
        tim3_amount_t wanted = self->collateral ? account->collateral : account->balance;
        if (account->opening == wanted)
            continue;
        shown++;
        fprintf (stderr, "%s %s: the ledger says %s, the books %s minor units\n",
                 self->collateral ? self->ctl->collateral : self->ctl->asset, account->name,
                 tim3_amount_format_units (account->opening, is), tim3_amount_format_units (wanted, should));
    }
}

static int compare_once (workload_t *self)
{
    tim3ctl_flow_t flow = {.arg = self,
                           .next = next_comparison,
                           .done = comparison_done,
                           .outstanding = 256,
                           .timeout_ms = tim3ctl_timeout_ms (self->ctl, TIMEOUT_S)};
    self->account = 0;
    self->mismatches = 0;
    return tim3ctl_pipeline_run (self->ctl, &flow);
}

/*  Collateral of a redemption may still be on its way out of the vault: looked at again until the
    deadline.  */
static int compare (workload_t *self, bool collateral)
{
    static const struct timespec nap = {0, 250000000};
    uint64_t until = tim3ctl_now_us () + tim3ctl_timeout_ms (self->ctl, TIMEOUT_S) * 1000 / 2;
    int code;
    self->collateral = collateral;
    while ((code = compare_once (self)) == TIM3CTL_DONE && self->mismatches > 0 && collateral &&
           tim3ctl_now_us () < until && !tim3ctl_interrupted ())
        nanosleep (&nap, NULL);
    if (code != TIM3CTL_DONE)
        return code;
    print_mismatches (self);
    return self->mismatches == 0 ? TIM3CTL_DONE : TIM3CTL_REFUSED;
}

/*  --------------------------------------------------------------------------------------------- running  */

static void show_progress (void *arg)
{
    workload_t *self = arg;
    tim3ctl_progress_show (&self->progress);
}

static bool prepare (workload_t *self)
{
    unsigned decimals;
    unsigned collateral;
    char name[TIM3_ACCOUNT_MAX + 1];
    tim3ctl_t *ctl = self->ctl;
    uint64_t seed = tim3ctl_number (ctl, TIM3CTL_OPTION_SEED, 1);
    self->operations = tim3ctl_count (ctl, TIM3CTL_OPTION_OPERATIONS, OPERATIONS, 1000000000);
    self->accounts = (uint32_t) tim3ctl_count (ctl, TIM3CTL_OPTION_ACCOUNTS, ACCOUNTS, 10000000);
    if (self->operations == 0 || self->accounts == 0 ||
        !tim3ctl_decimals (ctl, tim3ctl_route (ctl, "token_manager"), &decimals) ||
        !tim3ctl_decimals (ctl, tim3ctl_collateral_route (ctl), &collateral))
        return false;
    if (self->accounts < 2 || decimals > collateral || collateral > 24) {
        ctl->exit = tim3ctl_misused (
            "workload needs two accounts at least, and a collateral with at least the asset's "
            "decimals and at most 24");
        return false;
    }
    self->unit = tim3_amount_pow10 (decimals);
    self->scale = tim3_amount_pow10 (collateral - decimals);
    self->random = seed;
    self->book = tim3ctl_book_new ();
    for (uint32_t i = 0; i < self->accounts; i++) {
        /* the run's id makes the accounts its own, for its books begin at zero; such an id ends with random digits */
        snprintf (name, sizeof name, "w%llu-%s-%u", (unsigned long long) seed,
                  ctl->request_id + strlen (ctl->request_id) - OWN_DIGITS, i);
        tim3ctl_book_account (self->book, ctl->asset, name);
    }
    return true;
}

static json_t *results_json (const workload_t *self)
{
    json_t *results = json_object ();
    for (unsigned i = 0; i < RESULTS_MAX && self->refused[i].count; i++)
        json_object_set_new (results, tim3_result_name (self->refused[i].code),
                             json_integer ((json_int_t) self->refused[i].count));
    return results;
}

static void print_summary (const workload_t *self, bool agrees)
{
    uint64_t refused = self->operations - self->completed;
    if (self->ctl->json) {
        tim3ctl_json_print (
            json_pack ("{s:I, s:I, s:I, s:o, s:i, s:b}", "operations", (json_int_t) self->operations,
                       "completed", (json_int_t) self->completed, "refused", (json_int_t) refused, "results",
                       results_json (self), "accounts", (int) self->accounts, "agrees", agrees));
        return;
    }
    printf ("%llu operations over %u accounts: %llu completed, %llu refused\n",
            (unsigned long long) self->operations, self->accounts, (unsigned long long) self->completed,
            (unsigned long long) refused);
    for (unsigned i = 0; i < RESULTS_MAX && self->refused[i].count; i++)
        printf ("  refused, %s: %llu\n", tim3_result_name (self->refused[i].code),
                (unsigned long long) self->refused[i].count);
    if (agrees && self->completed == 0)
        puts ("NOTHING was completed: that all balances agree shows nothing");
    else
        puts (agrees ? "all token and collateral balances agree with the answers"
                     : "balances DISAGREE with the answers; see above");
}

static int run (workload_t *self)
{
    uint64_t outstanding =
        tim3ctl_count (self->ctl, TIM3CTL_OPTION_OUTSTANDING, OUTSTANDING, TIM3CTL_OUTSTANDING_MAX);
    tim3ctl_flow_t flow = {.arg = self,
                           .next = next_operation,
                           .done = operation_done,
                           .progress = show_progress,
                           .outstanding = (unsigned) outstanding,
                           .timeout_ms = tim3ctl_timeout_ms (self->ctl, TIMEOUT_S)};
    if (outstanding == 0)
        return self->ctl->exit;
    tim3ctl_progress_begin (&self->progress, "workload", self->operations);
    int code = tim3ctl_pipeline_run (self->ctl, &flow);
    tim3ctl_progress_end (&self->progress);
    if (code != TIM3CTL_DONE)
        return code;
    int tokens = compare (self, false);
    int collateral = tokens == TIM3CTL_NO_ANSWER ? tokens : compare (self, true);
    code = tokens > collateral ? tokens : collateral;
    if (code != TIM3CTL_NO_ANSWER)
        print_summary (self, code == TIM3CTL_DONE);
    return code == TIM3CTL_DONE && self->completed == 0 ? TIM3CTL_REFUSED : code;
}

int tim3ctl_workload (tim3ctl_t *ctl)
{
    workload_t self = {.ctl = ctl};
    if (!prepare (&self))
        return ctl->exit;
    int code = run (&self);
    tim3ctl_book_destroy (&self.book);
    return code;
}
