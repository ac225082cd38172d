/*  tim3ctl_bench.c - bench: keeps a number of requests under way on a number of connections, or begins them
    at a given rate, and reports operations per second, latency, refusals, and the CPU time of each agent.

    Mint number n and redemption number n are of the same account, so that what was minted can be
    redeemed.

    At a given rate an operation counts from when it was due, also when this program was late; what is told
    overloaded is not sent again, and what is due while all connections have as many under way as they may is
    counted and left out. So a system that cannot keep up shows as one. What came due before the end is begun,
    or counted, also when the end has passed meanwhile: none is lost.

    Ctrl-C ends it at once, with what was measured until then.  */
#include "tim3client_ids.h"
#include "tim3ctl_bench.h"
#include "tim3ctl_commands.h"
#include "tim3ctl_draw.h"
#include "tim3ctl_pipeline.h"

#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <zmq.h>

#define CLIENTS_MAX 256
#define FUNDS_TOKENS 1000000000
#define FUNDING_OUTSTANDING 4096
#define FUNDING_TIMEOUT_MS 60000
#define OUTSTANDING_MOST (TIM3_CLIENT_OUTSTANDING_MAX - FUNDING_OUTSTANDING)
#define WARM_NUMBERS ((uint64_t) 1 << 40) /* operations of the warm-up are of other accounts */
#define KINDS_MIXED 3
#define FILL_MOST 256 /* submitted between two looks at the clock */
#define POLL_MS 50
#define NAP_US 500 /* what comes due meanwhile is begun together */
#define WAIT_MOST_US 20000
#define TIMER_SLACK_NS 1000
#define ACCOUNTS_MAX 100000000

typedef tim3ctl_bench_kind_t kind_t;
#define KIND(NAME) TIM3CTL_BENCH_##NAME

static const struct {
    const char *name;
    tim3_type_t type;
} s_kinds[] = {{"mint", TIM3_MSG_MINT}, {"redeem", TIM3_MSG_REDEEM}, {"transfer", TIM3_MSG_TRANSFER}};

/*  An operation under way.  */
typedef struct pending {
    kind_t kind;
    uint64_t late_us; /* it was due so long before it was sent */
    struct pending *next;
} pending_t;

/*  A stretch of operations: of one kind or mixed, closed or at a rate.  */
typedef struct {
    kind_t kind;
    bool mixed;
    bool warming;  /* nothing is counted */
    uint64_t most; /* operations */
    uint64_t seconds;
    uint64_t rate;
} phase_t;

typedef struct {
    tim3ctl_t *ctl;
    tim3ctl_bench_setting_t setting;
    tim3ctl_bench_report_t report;
    tim3ctl_draw_t draw;
    tim3ctl_progress_t *progress; /* of the funding */
    tim3_client_t *client;
    unsigned outstanding; /* on each connection, in this phase */
    uint64_t seconds;
    uint64_t warm_up; /* seconds, before the first workload */
    uint64_t count;   /* per phase; 0: by time */
    bool tokens;      /* accounts need tokens, too */
    tim3_request_ids_t ids;
    tim3_amount_t unit;
    tim3_amount_t scale;
    pending_t *pending;
    pending_t *spare;
    const phase_t *phase;
    uint64_t next;
    uint64_t due;      /* operations that came due, at a rate */
    uint64_t begun_us; /* when some of them were last begun */
    uint64_t under_way;
    uint64_t start_us;
    uint64_t end_us;
    uint64_t now_us;                        /* when answers were last looked for */
    char coordinator[TIM3_ADDRESS_MAX + 1]; /* routes */
    char collateral[TIM3_ADDRESS_MAX + 1];
} bench_t;

/*  ---------------------------------------------------------------------------------------- operations  */

static uint64_t number_of (const bench_t *self)
{
    return self->phase->warming ? self->next + WARM_NUMBERS : self->next;
}

static void name_account (const bench_t *self, uint64_t salt, char name[TIM3_ACCOUNT_MAX + 1])
{
    tim3ctl_draw_name (tim3ctl_draw_account (&self->draw, number_of (self), salt), name);
}

static void send_transfer (bench_t *self, const char *request_id, void *tag)
{
    tim3_transfer_t body = {.amount = self->unit};
    name_account (self, 1, body.account);
    name_account (self, 2, body.to);
    for (uint64_t salt = 3; strcmp (body.to, body.account) == 0; salt++)
        name_account (self, salt, body.to);
    strcpy (body.request_id, request_id);
    tim3_client_submit (self->client, self->coordinator, body.account, TIM3_MSG_TRANSFER, &body, tag);
}

static void send_mint (bench_t *self, kind_t kind, const char *request_id, void *tag)
{
    tim3_mint_t body = {.amount = self->unit};
    if (self->progress) {
        tim3ctl_draw_name ((uint32_t) self->next, body.account);
        body.amount = FUNDS_TOKENS / 2 * self->unit;
    } else {
        name_account (self, 1, body.account);
    }
    strcpy (body.request_id, request_id);
    tim3_client_submit (self->client, self->coordinator, body.account, s_kinds[kind].type, &body, tag);
}

static void send_faucet (bench_t *self, const char *request_id, void *tag)
{
    tim3_faucet_t body = {.amount = FUNDS_TOKENS * self->unit * self->scale};
    tim3ctl_draw_name ((uint32_t) self->next, body.account);
    strcpy (body.request_id, request_id);
    tim3_client_submit (self->client, self->collateral, body.account, TIM3_MSG_FAUCET, &body, tag);
}

static pending_t *take_pending (bench_t *self, kind_t kind, uint64_t late_us)
{
    pending_t *pending = self->spare;
    self->spare = pending->next;
    *pending = (pending_t){.kind = kind, .late_us = late_us};
    return pending;
}

static void submit (bench_t *self, uint64_t late_us)
{
    char id[TIM3_REQUEST_ID_MAX + 1];
    const phase_t *phase = self->phase;
    uint64_t choice = tim3ctl_draw_choice (&self->draw, number_of (self), 0);
    kind_t kind = phase->mixed ? (kind_t) (choice % KINDS_MIXED) : phase->kind;
    pending_t *pending = take_pending (self, kind, late_us);
    tim3_request_ids_next (&self->ids, id);
    if (kind == KIND (FAUCET))
        send_faucet (self, id, pending);
    else if (kind == KIND (TRANSFER))
        send_transfer (self, id, pending);
    else
        send_mint (self, kind, id, pending);
    self->next++;
    self->under_way++;
    self->report.begun += !phase->warming;
}

/*  What the answer says of the operation: TIM3_OK, or why it was not completed.  */
static unsigned outcome (const tim3_answer_t *answer)
{
    if (answer->error)
        return (unsigned) answer->error->code;
    if (answer->type != TIM3_MSG_TRANSACTION)
        return TIM3_OK;
    const tim3_transaction_t *transaction = answer->body;
    if (transaction->status == TIM3_TX_STATUS_COMPLETED)
        return TIM3_OK;
    return transaction->status == TIM3_TX_STATUS_PENDING ? TIM3_NO_ANSWER : (unsigned) transaction->code;
}

static void take_answer (bench_t *self, const tim3_answer_t *answer)
{
    pending_t *pending = answer->tag;
    unsigned code = outcome (answer);
    self->under_way--;
    if (!self->phase->warming) {
        self->report.sent_again += answer->sends > 1;
        if (code == TIM3_OK)
            tim3ctl_bench_completed (&self->report.results[pending->kind],
                                     answer->took_us + pending->late_us);
        else
            self->report.errors[code]++;
    } else if (code == TIM3_OK)
        self->report.warmed_up++;
    pending->next = self->spare;
    self->spare = pending;
}

/*  ------------------------------------------------------------------------------------------- a phase  */

static bool more (const bench_t *self)
{
    return self->next < self->phase->most && self->now_us < self->end_us && !tim3ctl_interrupted ();
}

static bool has_room (const bench_t *self)
{
    return tim3_client_outstanding (self->client) < self->setting.clients * self->outstanding;
}

static void show_progress (bench_t *self)
{
    self->progress->done = self->report.results[self->phase->kind].count;
    tim3ctl_progress_show (self->progress);
}

/*  False when there is room for more.  */
static bool fill (bench_t *self)
{
    for (unsigned i = 0; i < FILL_MOST; i++) {
        if (!has_room (self) || !more (self))
            return true;
        submit (self, 0);
    }
    return false;
}

static void run_closed (bench_t *self)
{
    while (!tim3ctl_interrupted ()) {
        self->now_us = tim3ctl_now_us ();
        bool filled = fill (self);
        if (self->under_way == 0)
            return;
        const tim3_answer_t *answer = tim3_client_poll (self->client, filled ? POLL_MS : 0);
        if (answer)
            take_answer (self, answer);
        if (self->progress)
            show_progress (self);
    }
}

static uint64_t due_us (const bench_t *self)
{
    uint64_t rate = self->phase->rate;
    return self->start_us + ((self->due + 1) * 1000000 + rate - 1) / rate;
}

static void begin_due (bench_t *self)
{
    uint64_t now = self->now_us;
    uint64_t until = now < self->end_us ? now : self->end_us;
    uint64_t at;
    for (; self->next < self->phase->most && (at = due_us (self)) <= until; self->due++) {
        self->begun_us = now;
        if (has_room (self))
            submit (self, now - at);
        else
            self->report.not_begun += !self->phase->warming;
    }
}

/*  When something is to be begun again: not soon after the last time, so that at a high rate what came due since leaves
    in one frame.  */
static uint64_t next_begin_us (const bench_t *self)
{
    uint64_t due = due_us (self);
    uint64_t rested = self->begun_us + NAP_US;
    uint64_t at = due > rested ? due : rested;
    return at < self->end_us ? at : self->end_us;
}

/*  Until something is to be begun, or an answer comes. zmq_poll would wake at milliseconds only.  */
static void wait_at_rate (const bench_t *self, int descriptor)
{
    struct pollfd item = {.fd = descriptor, .events = POLLIN};
    uint64_t now = tim3ctl_now_us ();
    uint64_t until = now + WAIT_MOST_US;
    if (more (self) && next_begin_us (self) < until)
        until = next_begin_us (self);
    const struct timespec wait = {.tv_nsec = until > now ? (long) (until - now) * 1000 : 0};
    ppoll (&item, 1, &wait, NULL);
}

static int descriptor_of (const bench_t *self)
{
    int descriptor;
    size_t size = sizeof descriptor;
    int failed = zmq_getsockopt (tim3_client_socket (self->client), ZMQ_FD, &descriptor, &size);
    TIM3_ASSERT (!failed);
    return descriptor;
}

static void run_at_rate (bench_t *self)
{
    const tim3_answer_t *answer;
    int descriptor = descriptor_of (self);
    prctl (PR_SET_TIMERSLACK, TIMER_SLACK_NS);
    while (!tim3ctl_interrupted ()) {
        self->now_us = tim3ctl_now_us ();
        if (self->now_us >= next_begin_us (self))
            begin_due (self);
        while ((answer = tim3_client_poll (self->client, 0)))
            take_answer (self, answer);
        if (!more (self) && self->under_way == 0)
            break;
        wait_at_rate (self, descriptor);
    }
    prctl (PR_SET_TIMERSLACK, 0); /* what it was */
}

static void run_phase (bench_t *self, const phase_t *phase)
{
    self->phase = phase;
    self->start_us = self->now_us = tim3ctl_now_us ();
    self->next = self->due = self->begun_us = 0;
    self->end_us = phase->seconds ? self->start_us + phase->seconds * 1000000 : UINT64_MAX;
    tim3_client_set_insist (self->client, phase->rate == 0);
    if (phase->rate)
        run_at_rate (self);
    else
        run_closed (self);
    double seconds = (double) (tim3ctl_now_us () - self->start_us) / 1e6;
    for (unsigned i = 0; i < TIM3CTL_BENCH_KINDS && !phase->warming; i++)
        if (phase->mixed || i == (unsigned) phase->kind)
            self->report.results[i].seconds = seconds;
    self->report.interrupted = tim3ctl_interrupted ();
    self->report.unanswered = self->under_way;
}

/*  ------------------------------------------------------------------------------------------ workloads  */

static void run_workload (bench_t *self, const char *name, kind_t kind, bool mixed, uint64_t most)
{
    phase_t phase = {.kind = kind,
                     .mixed = mixed,
                     .most = most,
                     .seconds = self->count ? 0 : self->seconds,
                     .rate = self->setting.rate};
    if (self->warm_up) {
        phase_t warming = phase;
        warming.warming = true;
        warming.most = UINT64_MAX;
        warming.seconds = self->warm_up;
        self->warm_up = 0;
        fprintf (stderr, "%s, warming up ...\n", name);
        run_phase (self, &warming);
    }
    if (tim3ctl_interrupted ())
        return;
    fprintf (stderr, "%s ...\n", name);
    run_phase (self, &phase);
}

static void run_workloads (bench_t *self, const char *workload)
{
    uint64_t most = self->count ? self->count : UINT64_MAX;
    if (!workload) {
        run_workload (self, "mint", KIND (MINT), false, most);
        run_workload (self, "redeem", KIND (REDEEM), false, self->next);
        return;
    }
    for (unsigned i = 0; i < KINDS_MIXED; i++)
        if (strcmp (workload, s_kinds[i].name) == 0)
            run_workload (self, workload, (kind_t) i, false, most);
    if (strcmp (workload, "mixed") == 0)
        run_workload (self, workload, KIND (MINT), true, most);
}

static int interrupted (const bench_t *self, const char *what)
{
    fprintf (stderr, "%s; %llu requests were under way, and what became of them is unknown\n", what,
             (unsigned long long) self->report.unanswered);
    return TIM3CTL_NO_ANSWER;
}

/*  ------------------------------------------------------------------------------------------- funding  */

static int fund_with (bench_t *self, kind_t kind, const char *label)
{
    tim3ctl_progress_t progress;
    const phase_t phase = {.kind = kind, .most = self->setting.accounts};
    tim3ctl_progress_begin (&progress, label, self->setting.accounts);
    self->progress = &progress;
    run_phase (self, &phase);
    self->progress = NULL;
    progress.done = self->report.results[kind].count;
    tim3ctl_progress_end (&progress);
    if (progress.done == self->setting.accounts)
        return TIM3CTL_DONE;
    if (self->report.interrupted)
        return interrupted (self, "funding was interrupted");
    for (unsigned code = 0; code < TIM3CTL_BENCH_CODES; code++)
        if (self->report.errors[code])
            fprintf (stderr, "not completed, %s: %llu\n", tim3_result_name (code),
                     (unsigned long long) self->report.errors[code]);
    return TIM3CTL_REFUSED;
}

/*  What funding found must not be among what is reported.  */
static int fund (bench_t *self)
{
    unsigned each = FUNDING_OUTSTANDING / self->setting.clients;
    unsigned wanted = self->outstanding;
    if (tim3ctl_has (self->ctl, TIM3CTL_OPTION_FUNDED))
        return TIM3CTL_DONE;
    self->outstanding = each > 0 ? each : 1;
    int code = fund_with (self, KIND (FAUCET), "funding with collateral");
    if (code == TIM3CTL_DONE && self->tokens)
        code = fund_with (self, KIND (MINT), "funding with tokens");
    self->outstanding = wanted;
    tim3ctl_bench_report_free (&self->report);
    tim3ctl_bench_report_begin (&self->report);
    return code;
}

/*  ------------------------------------------------------------------------------------------- running  */

/*  How many accounts a kind of workload needs at least; 0 when there is no such kind.  */
static uint32_t accounts_needed (const char *workload)
{
    if (!workload || strcmp (workload, "mint") == 0 || strcmp (workload, "redeem") == 0)
        return 1;
    return strcmp (workload, "transfer") == 0 || strcmp (workload, "mixed") == 0 ? 2 : 0;
}

static bool take_given (tim3ctl_t *ctl, tim3ctl_option_t option, uint64_t most, uint64_t *value)
{
    return !tim3ctl_has (ctl, option) || (*value = tim3ctl_count (ctl, option, 1, most)) > 0;
}

static bool take_numbers (bench_t *self)
{
    tim3ctl_t *ctl = self->ctl;
    tim3ctl_bench_setting_t *setting = &self->setting;
    setting->clients = (unsigned) tim3ctl_count (ctl, TIM3CTL_OPTION_CLIENTS, 1, CLIENTS_MAX);
    setting->outstanding =
        (unsigned) tim3ctl_count (ctl, TIM3CTL_OPTION_OUTSTANDING, 64, TIM3CTL_OUTSTANDING_MAX);
    setting->accounts = (uint32_t) tim3ctl_count (ctl, TIM3CTL_OPTION_ACCOUNTS, 1000, ACCOUNTS_MAX);
    self->seconds = tim3ctl_count (ctl, TIM3CTL_OPTION_SECONDS, 10, 86400);
    self->outstanding = setting->outstanding;
    return setting->clients && setting->outstanding && self->seconds && setting->accounts &&
           take_given (ctl, TIM3CTL_OPTION_COUNT, WARM_NUMBERS, &self->count) &&
           take_given (ctl, TIM3CTL_OPTION_RATE, 10000000, &setting->rate) &&
           take_given (ctl, TIM3CTL_OPTION_WARM_UP, 86400, &self->warm_up);
}

static bool few_enough (bench_t *self)
{
    if ((uint64_t) self->setting.clients * self->setting.outstanding <= OUTSTANDING_MOST)
        return true;
    self->ctl->exit = tim3ctl_misused (
        "--clients times --outstanding is %llu; at most %u requests can be under way",
        (unsigned long long) self->setting.clients * self->setting.outstanding, OUTSTANDING_MOST);
    return false;
}

static bool take_options (bench_t *self, const char *workload)
{
    tim3ctl_t *ctl = self->ctl;
    if (!take_numbers (self) || !few_enough (self))
        return false;
    if (!tim3ctl_draw_theta (tim3ctl_text (ctl, TIM3CTL_OPTION_ZIPF, "0"), &self->setting.theta)) {
        ctl->exit = tim3ctl_misused ("--zipf takes a number from 0 to below 1, such as 0.99");
        return false;
    }
    self->tokens = workload && strcmp (workload, "mint") != 0;
    uint32_t needed = accounts_needed (workload);
    if (needed > 0 && self->setting.accounts >= needed)
        return true;
    ctl->exit = tim3ctl_misused (
        "--workload is mint, redeem, transfer or mixed; those that transfer need two accounts");
    return false;
}

static bool prepare (bench_t *self)
{
    unsigned decimals;
    unsigned collateral;
    tim3ctl_t *ctl = self->ctl;
    if (!tim3ctl_decimals (ctl, tim3ctl_route (ctl, "token_manager"), &decimals) ||
        !tim3ctl_decimals (ctl, tim3ctl_collateral_route (ctl), &collateral))
        return false;
    if (decimals > collateral || collateral > 20) {
        ctl->exit =
            tim3ctl_misused ("bench needs a collateral with at least the asset's decimals and at most 20");
        return false;
    }
    self->unit = tim3_amount_pow10 (decimals);
    self->scale = tim3_amount_pow10 (collateral - decimals);
    tim3ctl_draw_begin (&self->draw, tim3ctl_number (ctl, TIM3CTL_OPTION_SEED, 1), self->setting.accounts,
                        self->setting.theta);
    return true;
}

static void make_pending (bench_t *self)
{
    size_t most = (size_t) self->setting.clients * self->outstanding + FUNDING_OUTSTANDING + CLIENTS_MAX;
    self->pending = tim3_alloc (most * sizeof *self->pending);
    for (size_t i = 0; i < most; i++) {
        self->pending[i].next = self->spare;
        self->spare = &self->pending[i];
    }
}

static bool connect_all (bench_t *self)
{
    if (!tim3ctl_client (self->ctl))
        return false;
    self->client = tim3_client_new (self->ctl->connected, self->setting.clients);
    if (!self->client) {
        self->ctl->exit = tim3ctl_misused ("there cannot be %u connections (%s)", self->setting.clients,
                                           zmq_strerror (errno));
        return false;
    }
    tim3_client_set_timeout_ms (self->client, FUNDING_TIMEOUT_MS);
    return true;
}

static int measure (bench_t *self, const char *workload)
{
    if (!tim3ctl_bench_cpu_before (&self->report, self->ctl))
        return self->ctl->exit;
    uint64_t timeout_ms = tim3ctl_timeout_ms (self->ctl, 10);
    tim3_client_set_timeout_ms (self->client, timeout_ms);
    if (self->setting.rate) /* sending again would add to the load */
        tim3_client_set_retry_ms (self->client, 2 * timeout_ms);
    run_workloads (self, workload);
    self->report.interrupted = tim3ctl_interrupted ();
    tim3ctl_bench_cpu_after (&self->report, self->ctl);
    uint64_t completed = tim3ctl_bench_print (&self->report, &self->setting, self->ctl->json);
    if (self->report.interrupted)
        return interrupted (self, "interrupted");
    return completed > 0 ? TIM3CTL_DONE : TIM3CTL_REFUSED;
}

static int run (bench_t *self, const char *workload)
{
    if (!connect_all (self))
        return self->ctl->exit;
    make_pending (self);
    strcpy (self->coordinator, tim3ctl_route (self->ctl, "coordinator"));
    strcpy (self->collateral, tim3ctl_collateral_route (self->ctl));
    int code = fund (self);
    if (code == TIM3CTL_DONE && !tim3ctl_has (self->ctl, TIM3CTL_OPTION_FUND))
        code = measure (self, workload);
    tim3_client_destroy (&self->client);
    free (self->pending);
    return code;
}

int tim3ctl_bench (tim3ctl_t *ctl)
{
    bench_t *self = tim3_alloc (sizeof *self);
    const char *workload = tim3ctl_text (ctl, TIM3CTL_OPTION_WORKLOAD, NULL);
    self->ctl = ctl;
    tim3ctl_bench_report_begin (&self->report);
    int code = take_options (self, workload) && prepare (self) ? run (self, workload) : ctl->exit;
    tim3ctl_bench_report_free (&self->report);
    free (self);
    return code;
}
