/*  tim3ctl_bench_report.c - what bench found: latencies and their percentiles, refusals, and the CPU time
    that each agent took.  */
#include "tim3ctl_bench.h"
#include "tim3ctl_print.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define INTERRUPTED_TIMEOUT_MS 1000

void tim3ctl_bench_report_begin (tim3ctl_bench_report_t *self)
{
    static const char *const names[] = {"mint", "redeem", "transfer", "faucet"};
    *self = (tim3ctl_bench_report_t){.errors = tim3_alloc (TIM3CTL_BENCH_CODES * sizeof *self->errors)};
    for (unsigned i = 0; i < TIM3CTL_BENCH_KINDS; i++)
        self->results[i].name = names[i];
}

void tim3ctl_bench_report_free (tim3ctl_bench_report_t *self)
{
    for (unsigned i = 0; i < TIM3CTL_BENCH_KINDS; i++)
        free (self->results[i].took_us);
    free (self->errors);
    *self = (tim3ctl_bench_report_t){0};
}

void tim3ctl_bench_completed (tim3ctl_bench_result_t *result, uint64_t took_us)
{
    if (result->count == result->capacity) {
        result->capacity = result->capacity ? result->capacity * 2 : 65536;
        result->took_us = realloc (result->took_us, result->capacity * sizeof *result->took_us);
        TIM3_ASSERT (result->took_us);
    }
    result->took_us[result->count++] = took_us;
}

/*  ----------------------------------------------------------------------------------------------- CPU  */

static bool cpu_of (tim3ctl_t *ctl, const char *name, uint64_t timeout_ms, uint64_t *cpu_us)
{
    tim3_client_t *client = tim3ctl_client (ctl);
    *cpu_us = 0;
    if (!client)
        return false;
    tim3_client_set_timeout_ms (client, timeout_ms);
    const tim3_answer_t *answer = tim3_client_call (client, name, "", TIM3_MSG_STATS, NULL);
    if (!answer || answer->error)
        return false;
    const tim3_stats_reply_t *stats = answer->body;
    const tim3_metric_t *metric = stats->metrics.items;
    for (uint32_t i = 0; i < stats->metrics.count; i++, metric++)
        if (strcmp (metric->name, "cpu_user_us") == 0 || strcmp (metric->name, "cpu_system_us") == 0)
            *cpu_us += (uint64_t) metric->value;
    return true;
}

bool tim3ctl_bench_cpu_before (tim3ctl_bench_report_t *self, tim3ctl_t *ctl)
{
    unsigned count;
    tim3_agent_t *agents = tim3ctl_registry (ctl, &count);
    if (!agents)
        return false;
    uint64_t timeout_ms = tim3ctl_timeout_ms (ctl, 10);
    for (unsigned i = 0; i < count && self->agent_count < TIM3CTL_BENCH_AGENTS_MAX; i++) {
        tim3ctl_bench_cpu_t *cpu = &self->cpu[self->agent_count];
        strcpy (cpu->name, agents[i].name);
        self->agent_count += agents[i].alive && cpu_of (ctl, cpu->name, timeout_ms, &cpu->before_us);
    }
    free (agents);
    return true;
}

/*  Who interrupted it does not wait for long: once an agent has not answered, no more are asked.  */
void tim3ctl_bench_cpu_after (tim3ctl_bench_report_t *self, tim3ctl_t *ctl)
{
    uint64_t timeout_ms = self->interrupted ? INTERRUPTED_TIMEOUT_MS : tim3ctl_timeout_ms (ctl, 10);
    bool asking = true;
    for (unsigned i = 0; i < self->agent_count; i++) {
        tim3ctl_bench_cpu_t *cpu = &self->cpu[i];
        bool told = asking && cpu_of (ctl, cpu->name, timeout_ms, &cpu->after_us);
        asking = told || !self->interrupted;
        if (!told || cpu->after_us < cpu->before_us) /* it was started anew meanwhile */
            cpu->before_us = cpu->after_us;
    }
}

static double cpu_each (const tim3ctl_bench_cpu_t *cpu, uint64_t all)
{
    return all ? (double) (cpu->after_us - cpu->before_us) / (double) all : 0.0;
}

/*  ---------------------------------------------------------------------------------------- percentiles  */

static int compare_u64 (const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *) a;
    uint64_t right = *(const uint64_t *) b;
    return left < right ? -1 : left > right;
}

/*  The latencies must be in order.  */
static double percentile_ms (const tim3ctl_bench_result_t *result, double part)
{
    size_t at = (size_t) ((double) (result->count - 1) * part + 0.5);
    return (double) result->took_us[at] / 1e3;
}

static uint64_t sort_results (tim3ctl_bench_report_t *self)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < TIM3CTL_BENCH_KINDS; i++) {
        all += self->results[i].count;
        if (self->results[i].count > 0)
            qsort (self->results[i].took_us, self->results[i].count, sizeof (uint64_t), compare_u64);
    }
    return all;
}

/*  How many took up to 1, 2, 5, 10, ... microseconds: [[100, 3], [200, 17], ...], without empty ones.  */
static json_t *histogram (const tim3ctl_bench_result_t *result)
{
    static const uint64_t steps[] = {1, 2, 5};
    json_t *array = json_array ();
    size_t at = 0;
    uint64_t decade = 1;
    for (unsigned step = 0; at < result->count; step++) {
        uint64_t most = steps[step % 3] * decade;
        size_t first = at;
        while (at < result->count && result->took_us[at] <= most)
            at++;
        if (at > first)
            json_array_append_new (array, json_pack ("[I, I]", (json_int_t) most, (json_int_t) (at - first)));
        decade *= step % 3 == 2 ? 10 : 1;
    }
    return array;
}

/*  -------------------------------------------------------------------------------------------- tables  */

static void print_results (const tim3ctl_bench_report_t *self)
{
    static const double parts[] = {0.50, 0.95, 0.99, 0.999, 1.0};
    tim3ctl_table_t *table =
        tim3ctl_table_new ("operation +completed +per_second +p50_ms +p95_ms +p99_ms +p99.9_ms +max_ms");
    for (unsigned i = 0; i < TIM3CTL_BENCH_KINDS; i++) {
        const tim3ctl_bench_result_t *result = &self->results[i];
        if (result->count == 0)
            continue;
        tim3ctl_table_cell (table, "%s", result->name);
        tim3ctl_table_cell (table, "%zu", result->count);
        tim3ctl_table_cell (table, "%.0f", (double) result->count / result->seconds);
        for (unsigned k = 0; k < sizeof parts / sizeof parts[0]; k++)
            tim3ctl_table_cell (table, "%.2f", percentile_ms (result, parts[k]));
    }
    tim3ctl_table_print (table);
    tim3ctl_table_destroy (&table);
    for (unsigned code = 0; code < TIM3CTL_BENCH_CODES; code++)
        if (self->errors[code])
            printf ("not completed, %s: %llu\n", tim3_result_name (code),
                    (unsigned long long) self->errors[code]);
    if (self->not_begun)
        printf ("not begun, too many under way: %llu\n", (unsigned long long) self->not_begun);
    if (self->sent_again)
        printf ("sent more than once: %llu\n", (unsigned long long) self->sent_again);
}

static void print_cpu (const tim3ctl_bench_report_t *self, uint64_t all)
{
    tim3ctl_table_t *table = tim3ctl_table_new ("agent +cpu_s +cpu_us_per_operation");
    putchar ('\n');
    for (unsigned i = 0; i < self->agent_count; i++) {
        tim3ctl_table_cell (table, "%s", self->cpu[i].name);
        tim3ctl_table_cell (table, "%.2f", (double) (self->cpu[i].after_us - self->cpu[i].before_us) / 1e6);
        tim3ctl_table_cell (table, "%.1f", cpu_each (&self->cpu[i], all));
    }
    tim3ctl_table_print (table);
    tim3ctl_table_destroy (&table);
}

/*  ---------------------------------------------------------------------------------------------- JSON  */

static json_t *result_json (const tim3ctl_bench_result_t *result)
{
    return json_pack ("{s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "operation", result->name,
                      "completed", (json_int_t) result->count, "seconds", result->seconds, "per_second",
                      (double) result->count / result->seconds, "p50_ms", percentile_ms (result, 0.50),
                      "p95_ms", percentile_ms (result, 0.95), "p99_ms", percentile_ms (result, 0.99),
                      "p999_ms", percentile_ms (result, 0.999), "max_ms", percentile_ms (result, 1.0),
                      "histogram_us", histogram (result));
}

static json_t *results_json (const tim3ctl_bench_report_t *self)
{
    json_t *array = json_array ();
    for (unsigned i = 0; i < TIM3CTL_BENCH_KINDS; i++)
        if (self->results[i].count > 0)
            json_array_append_new (array, result_json (&self->results[i]));
    return array;
}

static json_t *errors_json (const tim3ctl_bench_report_t *self)
{
    json_t *errors = json_object ();
    for (unsigned code = 0; code < TIM3CTL_BENCH_CODES; code++)
        if (self->errors[code])
            json_object_set_new (errors, tim3_result_name (code),
                                 json_integer ((json_int_t) self->errors[code]));
    return errors;
}

static json_t *agents_json (const tim3ctl_bench_report_t *self, uint64_t all)
{
    json_t *agents = json_array ();
    for (unsigned i = 0; i < self->agent_count; i++) {
        const tim3ctl_bench_cpu_t *cpu = &self->cpu[i];
        json_array_append_new (agents, json_pack ("{s:s, s:I, s:f}", "agent", cpu->name, "cpu_us",
                                                  (json_int_t) (cpu->after_us - cpu->before_us),
                                                  "cpu_us_per_operation", cpu_each (cpu, all)));
    }
    return agents;
}

static void print_json (const tim3ctl_bench_report_t *self, const tim3ctl_bench_setting_t *setting,
                        uint64_t all)
{
    tim3ctl_json_print (
        json_pack ("{s:i, s:i, s:i, s:f, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:o, s:o, s:o}", "clients",
                   (int) setting->clients, "outstanding", (int) setting->outstanding, "accounts",
                   (int) setting->accounts, "zipf", setting->theta, "rate", (json_int_t) setting->rate,
                   "begun", (json_int_t) self->begun, "not_begun", (json_int_t) self->not_begun, "sent_again",
                   (json_int_t) self->sent_again, "warmed_up", (json_int_t) self->warmed_up, "interrupted",
                   (int) self->interrupted, "unanswered", (json_int_t) self->unanswered, "operations",
                   results_json (self), "errors", errors_json (self), "agents",
                   agents_json (self, all + self->warmed_up)));
}

uint64_t tim3ctl_bench_print (tim3ctl_bench_report_t *self, const tim3ctl_bench_setting_t *setting, bool json)
{
    uint64_t all = sort_results (self);
    if (json) {
        print_json (self, setting, all);
        return all;
    }
    print_results (self);
    print_cpu (self, all + self->warmed_up);
    return all;
}
