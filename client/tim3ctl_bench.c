/*  tim3ctl_bench.c - bench: keeps a number of requests under way on a number of connections, and
    reports operations per second, latency, refusals, and the CPU time that each agent took.

    Mint number n and redemption number n are of the same account, so that what was minted can be
    redeemed.  */
#include "tim3ctl_commands.h"
#include "tim3ctl_pipeline.h"
#include "tim3ctl_print.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define CLIENTS_MAX 256
#define AGENTS_MAX 256
#define CODES 65536
#define FUNDS_TOKENS 1000000000

typedef enum { KIND_MINT, KIND_REDEEM, KIND_TRANSFER, KINDS } kind_t;

static const struct {
    const char *name;
    tim3_type_t type;
} s_kinds[KINDS] = {{"mint", TIM3_MSG_MINT}, {"redeem", TIM3_MSG_REDEEM}, {"transfer", TIM3_MSG_TRANSFER}};

/*  What became of the operations of one kind in one phase.  */
typedef struct {
    kind_t kind;
    uint64_t *took_us;
    size_t count;
    size_t capacity;
    double seconds;
} result_t;

typedef struct {
    char name[TIM3_ADDRESS_MAX + 1];
    uint64_t before_us;
    uint64_t after_us;
} agent_cpu_t;

typedef struct {
    tim3ctl_t *ctl;
    tim3_client_t *clients[CLIENTS_MAX];
    unsigned client_count;
    unsigned outstanding;
    uint64_t seconds;
    uint64_t count; /* per phase; 0: by time */
    uint64_t seed;
    uint32_t accounts;
    char run[17];
    tim3_amount_t unit;
    tim3_amount_t scale;
    tim3ctl_book_t *book;
    uint32_t funded;
    bool tokens; /* funding with tokens, too */
    bool second;
    uint64_t *errors; /* by code */
    result_t results[KINDS];
    agent_cpu_t cpu[AGENTS_MAX];
    unsigned agent_count;
    uint64_t next;
    uint64_t under_way;
    uint64_t most;
    uint64_t end_us;
    uint64_t phase; /* makes ids of phases differ */
} bench_t;

/*  ---------------------------------------------------------------------------------------- operations  */

static uint64_t choice (const bench_t *self, uint64_t number, uint64_t salt)
{
    uint64_t text[2] = {number, salt};
    return tim3_hash64 (text, sizeof text, self->seed);
}

static const char *account_name (const bench_t *self, uint64_t number, uint64_t salt)
{
    return tim3ctl_book_at (self->book, (uint32_t) (choice (self, number, salt) % self->accounts))->name;
}

static void submit_transfer (bench_t *self, tim3_client_t *client, const char *route, const char *request_id)
{
    tim3_transfer_t body = {.amount = self->unit};
    const char *to = account_name (self, self->next, 2);
    strcpy (body.account, account_name (self, self->next, 1));
    for (uint64_t salt = 3; strcmp (to, body.account) == 0; salt++)
        to = account_name (self, self->next, salt);
    strcpy (body.to, to);
    strcpy (body.request_id, request_id);
    tim3_client_submit (client, route, body.account, TIM3_MSG_TRANSFER, &body, &self->results[KIND_TRANSFER]);
}

static void submit (bench_t *self, tim3_client_t *client, kind_t kind)
{
    char id[TIM3_REQUEST_ID_MAX + 1];
    const char *route = tim3ctl_route (self->ctl, "coordinator");
    snprintf (id, sizeof id, "b:%s:%llu:%llu", self->run, (unsigned long long) self->phase,
              (unsigned long long) self->next);
    if (kind == KIND_TRANSFER) {
        submit_transfer (self, client, route, id);
    } else {
        tim3_mint_t body = {.amount = self->unit};
        strcpy (body.account, account_name (self, self->next, 1));
        strcpy (body.request_id, id);
        tim3_client_submit (client, route, body.account, s_kinds[kind].type, &body, &self->results[kind]);
    }
    self->next++;
    self->under_way++;
}

static void keep_latency (result_t *result, uint64_t took_us)
{
    if (result->count == result->capacity) {
        result->capacity = result->capacity ? result->capacity * 2 : 65536;
        result->took_us = realloc (result->took_us, result->capacity * sizeof *result->took_us);
        TIM3_ASSERT (result->took_us);
    }
    result->took_us[result->count++] = took_us;
}

static void take_answer (bench_t *self, const tim3_answer_t *answer)
{
    const tim3_transaction_t *transaction = answer->body;
    self->under_way--;
    if (answer->error)
        self->errors[answer->error->code]++;
    else if (transaction->status == TIM3_TX_STATUS_COMPLETED)
        keep_latency (answer->tag, answer->took_us);
    else
        self->errors[transaction->status == TIM3_TX_STATUS_PENDING ? TIM3_NO_ANSWER : transaction->code]++;
}

/*  -------------------------------------------------------------------------------------------- phases  */

static bool more (const bench_t *self)
{
    return self->next < self->most && tim3ctl_now_us () < self->end_us && !tim3ctl_interrupted ();
}

static kind_t kind_of (const bench_t *self, kind_t kind, bool mixed)
{
    return mixed ? (kind_t) (choice (self, self->next, 0) % KINDS) : kind;
}

static void serve (bench_t *self, tim3_client_t *client, kind_t kind, bool mixed)
{
    const tim3_answer_t *answer;
    while ((answer = tim3_client_poll (client, 0)))
        take_answer (self, answer);
    while (tim3_client_outstanding (client) < self->outstanding && more (self))
        submit (self, client, kind_of (self, kind, mixed));
    /* a poll that finds nothing sends what was submitted; an answer found on the way counts, too */
    if ((answer = tim3_client_poll (client, 0)))
        take_answer (self, answer);
}

static void wait_for_any (bench_t *self)
{
    zmq_pollitem_t items[CLIENTS_MAX];
    for (unsigned i = 0; i < self->client_count; i++)
        items[i] = (zmq_pollitem_t){.socket = tim3_client_socket (self->clients[i]), .events = ZMQ_POLLIN};
    zmq_poll (items, (int) self->client_count, 20);
}

static void run_phase (bench_t *self, const char *name, kind_t kind, bool mixed, uint64_t most)
{
    uint64_t start_us = tim3ctl_now_us ();
    fprintf (stderr, "%s ...\n", name);
    self->next = 0;
    self->most = most;
    self->end_us = self->count ? UINT64_MAX : start_us + self->seconds * 1000000;
    do {
        for (unsigned i = 0; i < self->client_count; i++)
            serve (self, self->clients[i], kind, mixed);
        if (self->under_way > 0)
            wait_for_any (self);
    } while (self->under_way > 0 && !tim3ctl_interrupted ());
    self->phase++;
    for (unsigned i = 0; i < KINDS; i++)
        if (mixed || i == (unsigned) kind)
            self->results[i].seconds = (double) (tim3ctl_now_us () - start_us) / 1e6;
}

static void run_phases (bench_t *self, const char *workload)
{
    uint64_t most = self->count ? self->count : UINT64_MAX;
    if (!workload) {
        run_phase (self, "mint", KIND_MINT, false, most);
        run_phase (self, "redeem", KIND_REDEEM, false, self->next);
        return;
    }
    for (unsigned i = 0; i < KINDS; i++)
        if (strcmp (workload, s_kinds[i].name) == 0)
            run_phase (self, workload, (kind_t) i, false, most);
    if (strcmp (workload, "mixed") == 0)
        run_phase (self, workload, KIND_MINT, true, most);
}

/*  ------------------------------------------------------------------------------------------- funding  */

static bool next_funding (void *arg, tim3ctl_op_t *op)
{
    bench_t *self = arg;
    if (self->funded == self->accounts)
        return false;
    tim3_amount_t funds = FUNDS_TOKENS * self->unit;
    op->account = tim3ctl_book_at (self->book, self->funded);
    op->type = self->second ? TIM3_MSG_MINT : TIM3_MSG_FAUCET;
    op->amount = self->second ? funds / 2 : funds * self->scale;
    snprintf (op->request_id, sizeof op->request_id, "b:%s:%c", self->run, self->second ? 'm' : 'f');
    self->second = self->tokens && !self->second;
    self->funded += !self->second;
    return true;
}

static tim3ctl_verdict_t funding_done (void *arg, tim3ctl_op_t *op, const tim3_error_t *error)
{
    (void) arg;
    if (!error)
        return TIM3CTL_NEXT;
    fprintf (stderr, "funding %s: %s: %s\n", op->account->name, error->name, error->text);
    return TIM3CTL_STOP;
}

static int fund (bench_t *self)
{
    tim3ctl_flow_t flow = {
        .arg = self, .next = next_funding, .done = funding_done, .outstanding = 256, .timeout_ms = 30000};
    fprintf (stderr, "funding %u accounts ...\n", self->accounts);
    return tim3ctl_pipeline_run (self->ctl, &flow);
}

/*  ----------------------------------------------------------------------------------------------- CPU  */

static bool cpu_of (bench_t *self, const char *name, uint64_t *cpu_us)
{
    tim3_error_t error;
    const tim3_stats_reply_t *stats = tim3ctl_try (self->ctl, name, "", TIM3_MSG_STATS, NULL, &error);
    *cpu_us = 0;
    if (!stats)
        return false;
    const tim3_metric_t *metric = stats->metrics.items;
    for (uint32_t i = 0; i < stats->metrics.count; i++, metric++)
        if (strcmp (metric->name, "cpu_user_us") == 0 || strcmp (metric->name, "cpu_system_us") == 0)
            *cpu_us += (uint64_t) metric->value;
    return true;
}

static bool cpu_before (bench_t *self)
{
    unsigned count;
    tim3_agent_t *agents = tim3ctl_registry (self->ctl, &count);
    if (!agents)
        return false;
    for (unsigned i = 0; i < count && self->agent_count < AGENTS_MAX; i++) {
        agent_cpu_t *cpu = &self->cpu[self->agent_count];
        strcpy (cpu->name, agents[i].name);
        self->agent_count += agents[i].alive && cpu_of (self, cpu->name, &cpu->before_us);
    }
    free (agents);
    return true;
}

static void cpu_after (bench_t *self)
{
    for (unsigned i = 0; i < self->agent_count; i++)
        if (!cpu_of (self, self->cpu[i].name, &self->cpu[i].after_us) ||
            self->cpu[i].after_us < self->cpu[i].before_us) /* it was started anew meanwhile */
            self->cpu[i].before_us = self->cpu[i].after_us;
}

/*  ------------------------------------------------------------------------------------------- results  */

static int compare_u64 (const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *) a;
    uint64_t right = *(const uint64_t *) b;
    return left < right ? -1 : left > right;
}

/*  The latencies must be in order.  */
static double percentile_ms (const result_t *result, double part)
{
    size_t at = (size_t) ((double) (result->count - 1) * part + 0.5);
    return (double) result->took_us[at] / 1e3;
}

static uint64_t sort_results (bench_t *self)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < KINDS; i++) {
        all += self->results[i].count;
        if (self->results[i].count > 0)
            qsort (self->results[i].took_us, self->results[i].count, sizeof (uint64_t), compare_u64);
    }
    return all;
}

static void print_results (const bench_t *self)
{
    static const double parts[] = {0.50, 0.95, 0.99, 1.0};
    tim3ctl_table_t *table =
        tim3ctl_table_new ("operation +completed +per_second +p50_ms +p95_ms +p99_ms +max_ms");
    for (unsigned i = 0; i < KINDS; i++) {
        const result_t *result = &self->results[i];
        if (result->count == 0)
            continue;
        tim3ctl_table_cell (table, "%s", s_kinds[i].name);
        tim3ctl_table_cell (table, "%zu", result->count);
        tim3ctl_table_cell (table, "%.0f", (double) result->count / result->seconds);
        for (unsigned k = 0; k < sizeof parts / sizeof parts[0]; k++)
            tim3ctl_table_cell (table, "%.2f", percentile_ms (result, parts[k]));
    }
    tim3ctl_table_print (table);
    tim3ctl_table_destroy (&table);
    for (unsigned code = 0; code < CODES; code++)
        if (self->errors[code])
            printf ("not completed, %s: %llu\n", tim3_result_name (code),
                    (unsigned long long) self->errors[code]);
}

static void print_cpu (const bench_t *self, uint64_t all)
{
    tim3ctl_table_t *table = tim3ctl_table_new ("agent +cpu_s +cpu_us_per_operation");
    putchar ('\n');
    for (unsigned i = 0; i < self->agent_count; i++) {
        uint64_t used = self->cpu[i].after_us - self->cpu[i].before_us;
        tim3ctl_table_cell (table, "%s", self->cpu[i].name);
        tim3ctl_table_cell (table, "%.2f", (double) used / 1e6);
        tim3ctl_table_cell (table, "%.1f", all ? (double) used / (double) all : 0.0);
    }
    tim3ctl_table_print (table);
    tim3ctl_table_destroy (&table);
}

static json_t *results_json (const bench_t *self)
{
    json_t *array = json_array ();
    for (unsigned i = 0; i < KINDS; i++) {
        const result_t *result = &self->results[i];
        if (result->count == 0)
            continue;
        json_array_append_new (
            array, json_pack ("{s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "operation", s_kinds[i].name,
                              "completed", (json_int_t) result->count, "seconds", result->seconds,
                              "per_second", (double) result->count / result->seconds, "p50_ms",
                              percentile_ms (result, 0.50), "p95_ms", percentile_ms (result, 0.95), "p99_ms",
                              percentile_ms (result, 0.99), "max_ms", percentile_ms (result, 1.0)));
    }
    return array;
}

static void print_json (const bench_t *self, uint64_t all)
{
    json_t *errors = json_object ();
    json_t *agents = json_array ();
    for (unsigned code = 0; code < CODES; code++)
        if (self->errors[code])
            json_object_set_new (errors, tim3_result_name (code),
                                 json_integer ((json_int_t) self->errors[code]));
    for (unsigned i = 0; i < self->agent_count; i++) {
        uint64_t used = self->cpu[i].after_us - self->cpu[i].before_us;
        json_array_append_new (agents, json_pack ("{s:s, s:I, s:f}", "agent", self->cpu[i].name, "cpu_us",
                                                  (json_int_t) used, "cpu_us_per_operation",
                                                  all ? (double) used / (double) all : 0.0));
    }
    tim3ctl_json_print (json_pack ("{s:i, s:i, s:i, s:o, s:o, s:o}", "clients", (int) self->client_count,
                                   "outstanding", (int) self->outstanding, "accounts", (int) self->accounts,
                                   "operations", results_json (self), "errors", errors, "agents", agents));
}

/*  ------------------------------------------------------------------------------------------- running  */

/*  How many accounts a kind of workload needs at least; 0 when there is no such kind.  */
static uint32_t accounts_needed (const char *workload)
{
    if (!workload || strcmp (workload, "mint") == 0 || strcmp (workload, "redeem") == 0)
        return 1;
    return strcmp (workload, "transfer") == 0 || strcmp (workload, "mixed") == 0 ? 2 : 0;
}

static bool take_options (bench_t *self, const char *workload)
{
    tim3ctl_t *ctl = self->ctl;
    self->client_count = (unsigned) tim3ctl_count (ctl, TIM3CTL_OPTION_CLIENTS, 1, CLIENTS_MAX);
    self->outstanding =
        (unsigned) tim3ctl_count (ctl, TIM3CTL_OPTION_OUTSTANDING, 64, TIM3CTL_OUTSTANDING_MAX);
    self->seconds = tim3ctl_count (ctl, TIM3CTL_OPTION_SECONDS, 10, 86400);
    self->accounts = (uint32_t) tim3ctl_count (ctl, TIM3CTL_OPTION_ACCOUNTS, 1000, 10000000);
    self->count = tim3ctl_number (ctl, TIM3CTL_OPTION_COUNT, 0);
    self->seed = tim3ctl_number (ctl, TIM3CTL_OPTION_SEED, 1);
    self->tokens = workload && strcmp (workload, "mint") != 0;
    if (!self->client_count || !self->outstanding || !self->seconds || !self->accounts)
        return false;
    uint32_t needed = accounts_needed (workload);
    if (needed > 0 && self->accounts >= needed)
        return true;
    ctl->exit = tim3ctl_misused (
        "--workload is mint, redeem, transfer or mixed; those that transfer need two accounts");
    return false;
}

static bool prepare (bench_t *self)
{
    unsigned decimals;
    unsigned collateral;
    char name[TIM3_ACCOUNT_MAX + 1];
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
    snprintf (self->run, sizeof self->run, "%.16s", ctl->request_id);
    for (uint32_t i = 0; i < self->accounts; i++) {
        snprintf (name, sizeof name, "bench-%llu-%u", (unsigned long long) self->seed, i);
        tim3ctl_book_account (self->book, ctl->asset, name);
    }
    return true;
}

static void connect_all (bench_t *self)
{
    for (unsigned i = 0; i < self->client_count; i++) {
        self->clients[i] = tim3_client_new_beside (tim3ctl_client (self->ctl));
        TIM3_ASSERT (self->clients[i]);
        tim3_client_set_timeout_ms (self->clients[i], tim3ctl_timeout_ms (self->ctl, 10));
    }
}

static int run (bench_t *self, const char *workload)
{
    int code = fund (self);
    if (code != TIM3CTL_DONE || !cpu_before (self))
        return code != TIM3CTL_DONE ? code : self->ctl->exit;
    connect_all (self);
    run_phases (self, workload);
    for (unsigned i = 0; i < self->client_count; i++)
        tim3_client_destroy (&self->clients[i]);
    cpu_after (self);
    uint64_t all = sort_results (self);
    if (self->ctl->json) {
        print_json (self, all);
    } else {
        print_results (self);
        print_cpu (self, all);
    }
    return all > 0 ? TIM3CTL_DONE : TIM3CTL_REFUSED;
}

int tim3ctl_bench (tim3ctl_t *ctl)
{
    bench_t *self = tim3_alloc (sizeof *self);
    const char *workload = tim3ctl_text (ctl, TIM3CTL_OPTION_WORKLOAD, NULL);
    self->ctl = ctl;
    self->errors = tim3_alloc (CODES * sizeof *self->errors);
    self->book = tim3ctl_book_new ();
    int code = take_options (self, workload) && prepare (self) ? run (self, workload) : ctl->exit;
    for (unsigned i = 0; i < KINDS; i++)
        free (self->results[i].took_us);
    tim3ctl_book_destroy (&self->book);
    free (self->errors);
    free (self);
    return code;
}
