/*  tim3ctl_metrics.c - metrics: what the state manager has counted of each asset; and metrics and counters of agents in the text
    format that Prometheus reads.

    A metric is named after its field in the table of messages, which says what it means, too. All samples of one stand together.
*/
#include "tim3ctl_commands.h"
#include "tim3ctl_print.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    tim3_asset_metrics_t metrics;
    unsigned decimals;
} counted_t;

typedef struct {
    tim3ctl_t *ctl;
    counted_t *items;
    unsigned count;
} metrics_t;

/*  -------------------------------------------------------------------------------------------- asking  */

/*  Of one asset, or with an empty name of all. False after saying why.  */
static bool ask (metrics_t *self, const char *asset)
{
    tim3_get_metrics_t body = {0};
    snprintf (body.asset, sizeof body.asset, "%s", asset);
    const tim3_metrics_t *reply = tim3ctl_ask (self->ctl, "state_manager.-", "", TIM3_MSG_GET_METRICS, &body);
    if (!reply)
        return false;
    const tim3_asset_metrics_t *item = reply->items.items;
    self->items = realloc (self->items, (self->count + reply->items.count + 1) * sizeof *self->items);
    TIM3_ASSERT (self->items);
    for (uint32_t i = 0; i < reply->items.count; i++)
        self->items[self->count++] = (counted_t){.metrics = item[i]};
    return true;
}

static bool ask_all (metrics_t *self)
{
    const tim3ctl_line_t *line = &self->ctl->line;
    unsigned given = line->counts[TIM3CTL_OPTION_ASSET];
    if (given == 0)
        return ask (self, "");
    for (unsigned i = 0; i < given; i++)
        if (!ask (self, line->values[TIM3CTL_OPTION_ASSET][i]))
            return false;
    return true;
}

/*  Decimals are what the ledgers know. False after saying which does not tell.  */
static bool ask_decimals (metrics_t *self)
{
    char route[TIM3_ADDRESS_MAX + 1];
    for (unsigned i = 0; i < self->count; i++) {
        tim3_address_format (TIM3_ROLE_TOKEN_MANAGER, self->items[i].metrics.asset, -1, route);
        if (!tim3ctl_decimals (self->ctl, route, &self->items[i].decimals))
            return false;
    }
    return true;
}

/*  ------------------------------------------------------------------------------------------- printing  */

static void print_json (const metrics_t *self)
{
    json_t *array = json_array ();
    for (unsigned i = 0; i < self->count; i++)
        json_array_append_new (array, tim3ctl_json (&tim3_shape_asset_metrics, &self->items[i].metrics));
    tim3ctl_json_print (array);
}

static void print_records (const metrics_t *self)
{
    for (unsigned i = 0; i < self->count; i++) {
        if (i > 0)
            putchar ('\n');
        tim3ctl_print_record (&tim3_shape_asset_metrics, &self->items[i].metrics, self->items[i].decimals);
    }
}

static bool only_grows (const tim3_field_t *field)
{
    static const char *const names[] = {"mints",         "redemptions",     "transfers",          "refusals",
                                        "volume_minted", "volume_redeemed", "volume_transferred", "token_seq",
                                        "lock_seq"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp (field->name, names[i]) == 0)
            return true;
    return false;
}

static void print_sample (const tim3_field_t *field, const counted_t *item)
{
    const uint8_t *member = (const uint8_t *) &item->metrics + field->offset;
    char value[TIM3CTL_CELL_MAX];
    if (field->kind == TIM3_KIND_U64)
        snprintf (value, sizeof value, "%llu",
                  (unsigned long long) *(const uint64_t *) (const void *) member);
    else
        tim3ctl_field_text (field, &item->metrics, item->decimals, value);
    printf ("tim3_asset_%s{asset=\"%s\"} %s\n", field->name, item->metrics.asset, value);
}

static void print_prometheus (const metrics_t *self)
{
    const tim3_shape_t *shape = &tim3_shape_asset_metrics;
    for (unsigned i = 0; i < shape->count; i++) {
        const tim3_field_t *field = &shape->fields[i];
        if (field->kind != TIM3_KIND_U64 && field->kind != TIM3_KIND_AMOUNT)
            continue;
        printf ("# HELP tim3_asset_%s %s\n# TYPE tim3_asset_%s %s\n", field->name, field->text, field->name,
                only_grows (field) ? "counter" : "gauge");
        for (unsigned j = 0; j < self->count; j++)
            print_sample (field, &self->items[j]);
    }
}

bool tim3ctl_prometheus (tim3ctl_t *ctl, bool *prometheus)
{
    *prometheus = tim3ctl_has (ctl, TIM3CTL_OPTION_PROMETHEUS);
    if (*prometheus && ctl->json)
        ctl->exit = tim3ctl_misused ("--json or --prometheus, not both");
    return !*prometheus || !ctl->json;
}

int tim3ctl_metrics (tim3ctl_t *ctl)
{
    metrics_t self = {.ctl = ctl};
    bool prometheus;
    if (!tim3ctl_prometheus (ctl, &prometheus))
        return ctl->exit;
    ctl->exit = TIM3CTL_DONE;
    if (ask_all (&self) && ctl->json)
        print_json (&self);
    else if (ctl->exit == TIM3CTL_DONE && ask_decimals (&self))
        (prometheus ? print_prometheus : print_records) (&self);
    free (self.items);
    return ctl->exit;
}

/*  ------------------------------------------------------------------------------------ counters of agents  */

typedef struct {
    const char *name;
    const char *agent;
    const char *value;
} sample_t;

static int compare_samples (const void *a, const void *b)
{
    const sample_t *left = a;
    const sample_t *right = b;
    int order = strcmp (left->name, right->name);
    return order ? order : strcmp (left->agent, right->agent);
}

/*  They start anew with their agent, and do not say whether they only grow.  */
static void print_samples (const sample_t *samples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp (samples[i].name, samples[i - 1].name) != 0)
            printf ("# TYPE tim3_agent_%s untyped\n", samples[i].name);
        printf ("tim3_agent_%s{agent=\"%s\"} %s\n", samples[i].name, samples[i].agent, samples[i].value);
    }
}

void tim3ctl_print_prometheus (const json_t *agents)
{
    size_t most = 0;
    size_t count = 0;
    size_t i;
    size_t j;
    const json_t *agent;
    const json_t *metric;
    json_array_foreach (agents, i, agent) most += json_array_size (json_object_get (agent, "metrics"));
    sample_t *samples = tim3_alloc ((most + 1) * sizeof *samples);
    json_array_foreach (agents, i, agent)
    {
        json_array_foreach (json_object_get (agent, "metrics"), j, metric) samples[count++] =
            (sample_t){json_string_value (json_object_get (metric, "name")),
                       json_string_value (json_object_get (agent, "agent")),
                       json_string_value (json_object_get (metric, "value"))};
    }
    qsort (samples, count, sizeof *samples, compare_samples);
    print_samples (samples, count);
    free (samples);
}
