/*  tim3ctl_agents.c - commands about the agents themselves: registry, health, info, stats, config.  */
#include "tim3ctl_commands.h"
#include "tim3ctl_print.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/*  ----------------------------------------------------------------------------------- asking all of them  */

/*  Adds what one agent answered to a table.  */
typedef void (show_fn) (const char *name, const void *body, tim3ctl_table_t *table);

typedef struct {
    tim3_type_t type;
    const char *columns;
    show_fn *show;
} question_t;

/*  One agent that is asked, and its part of what is printed.  */
typedef struct {
    char name[TIM3_ADDRESS_MAX + 1];
    bool alive;
    tim3ctl_table_t *table;
    json_t *json;
} asked_t;

typedef struct {
    const question_t *question;
    asked_t *agents;
    unsigned count;
    tim3ctl_table_t *table; /* of all, in the order of agents */
    json_t *array;
    int code;
} inquiry_t;

static void worse (inquiry_t *self, int code)
{
    if (code > self->code)
        self->code = code;
}

static void take_answer (inquiry_t *self, const tim3_answer_t *answer)
{
    asked_t *asked = answer->tag;
    asked->json = tim3ctl_json (tim3_message (answer->type)->shape, answer->body);
    json_object_set_new (asked->json, "agent", json_string (asked->name));
    if (!answer->error) {
        self->question->show (asked->name, answer->body, asked->table);
        return;
    }
    fprintf (stderr, "%s: %s: %s\n", asked->name, answer->error->name, answer->error->text);
    worse (self, answer->error->code == TIM3_NO_ANSWER ? TIM3CTL_NO_ANSWER : TIM3CTL_REFUSED);
}

/*  Asks all at once: an agent that does not answer holds up nobody else's answer.  */
static void ask_all (tim3ctl_t *ctl, inquiry_t *self)
{
    tim3_client_t *client = tim3ctl_client (ctl);
    for (unsigned i = 0; i < self->count; i++) {
        asked_t *asked = &self->agents[i];
        asked->table = tim3ctl_table_new (self->question->columns);
        if (asked->alive) {
            tim3_client_submit (client, asked->name, "", self->question->type, NULL, asked);
            continue;
        }
        fprintf (stderr, "%s: no sign of life\n", asked->name);
        worse (self, TIM3CTL_REFUSED);
    }
    while (tim3_client_outstanding (client) > 0 && !tim3ctl_interrupted ()) {
        const tim3_answer_t *answer = tim3_client_poll (client, 1000);
        if (answer)
            take_answer (self, answer);
    }
    if (tim3_client_outstanding (client) > 0) {
        fprintf (stderr, "interrupted: not all have answered\n");
        worse (self, TIM3CTL_NO_ANSWER);
    }
}

static void gather (inquiry_t *self)
{
    self->table = tim3ctl_table_new (self->question->columns);
    self->array = json_array ();
    for (unsigned i = 0; i < self->count; i++) {
        tim3ctl_table_move (self->table, self->agents[i].table);
        tim3ctl_table_destroy (&self->agents[i].table);
        if (self->agents[i].json)
            json_array_append_new (self->array, self->agents[i].json);
    }
}

static int compare_names (const void *a, const void *b)
{
    return strcmp (((const asked_t *) a)->name, ((const asked_t *) b)->name);
}

/*  Whom to ask: the one that is named, or all that are registered. False after saying why not.  */
static bool choose_agents (tim3ctl_t *ctl, inquiry_t *self)
{
    unsigned count = 1;
    bool named = ctl->argument_count == 1;
    if (!tim3ctl_client (ctl))
        return false;
    tim3_agent_t *agents = named ? NULL : tim3ctl_registry (ctl, &count);
    if (!named && !agents)
        return false;
    self->agents = tim3_alloc ((count + 1) * sizeof *self->agents);
    self->count = count;
    for (unsigned i = 0; i < count; i++) {
        asked_t *asked = &self->agents[i];
        snprintf (asked->name, sizeof asked->name, "%s", named ? ctl->arguments[0] : agents[i].name);
        asked->alive = named || agents[i].alive;
    }
    qsort (self->agents, count, sizeof *self->agents, compare_names);
    free (agents);
    return true;
}

/*  Fills table and array; false after saying why nobody could be asked.  */
static bool inquire (tim3ctl_t *ctl, inquiry_t *self)
{
    if (!choose_agents (ctl, self))
        return false;
    ask_all (ctl, self);
    gather (self);
    return true;
}

static void inquiry_end (inquiry_t *self)
{
    json_decref (self->array);
    tim3ctl_table_destroy (&self->table);
    free (self->agents);
}

static int ask_agents (tim3ctl_t *ctl, const question_t *question)
{
    inquiry_t inquiry = {.question = question};
    bool prometheus;
    if (!tim3ctl_prometheus (ctl, &prometheus) || !inquire (ctl, &inquiry))
        return ctl->exit;
    if (ctl->json)
        tim3ctl_json_print (json_incref (inquiry.array));
    else if (prometheus)
        tim3ctl_print_prometheus (inquiry.array);
    else if (tim3ctl_table_rows (inquiry.table) > 0)
        tim3ctl_table_print (inquiry.table);
    inquiry_end (&inquiry);
    return inquiry.code;
}

/*  --------------------------------------------------------------------------------------- what they say  */

static void show_info (const char *name, const void *body, tim3ctl_table_t *table)
{
    (void) name;
    tim3ctl_table_record (table, &tim3_shape_info_reply, body, 0);
}

static void show_stats (const char *name, const void *body, tim3ctl_table_t *table)
{
    const tim3_stats_reply_t *stats = body;
    const tim3_metric_t *metric = stats->metrics.items;
    char text[TIM3_AMOUNT_TEXT_MAX];
    for (uint32_t i = 0; i < stats->metrics.count; i++, metric++) {
        tim3ctl_table_cell (table, "%s", name);
        tim3ctl_table_cell (table, "%s", metric->name);
        tim3ctl_table_cell (table, "%s", tim3_amount_format_units (metric->value, text));
    }
}

static void show_config (const char *name, const void *body, tim3ctl_table_t *table)
{
    const tim3_config_reply_t *config = body;
    const tim3_setting_t *setting = config->settings.items;
    for (uint32_t i = 0; i < config->settings.count; i++, setting++) {
        tim3ctl_table_cell (table, "%s", name);
        tim3ctl_table_cell (table, "%s", setting->key);
        tim3ctl_table_cell (table, "%s", setting->value);
        tim3ctl_table_cell (table, "%s", setting->text);
    }
}

static void show_health (const char *name, const void *body, tim3ctl_table_t *table)
{
    const tim3_health_reply_t *health = body;
    const tim3_reason_t *reason = health->reasons.items;
    tim3ctl_table_cell (table, "%s", name);
    tim3ctl_table_cell (table, "%s", tim3_value_name (tim3_health_values, health->status));
    tim3ctl_table_cell (table, "%llu", (unsigned long long) health->score);
    tim3ctl_table_cell (table, "%s", "");
    for (uint32_t i = 0; i < health->reasons.count; i++, reason++) {
        tim3ctl_table_cell (table, "%s", "");
        tim3ctl_table_cell (table, "%s", "");
        tim3ctl_table_cell (table, "-%llu", (unsigned long long) reason->weight);
        tim3ctl_table_cell (table, "%s: %s", reason->name, reason->text);
    }
}

static const question_t s_info = {TIM3_MSG_INFO, "name version schema uptime_us +pid +decimals store",
                                  show_info};
static const question_t s_stats = {TIM3_MSG_STATS, "agent metric +value", show_stats};
static const question_t s_config = {TIM3_MSG_CONFIG_GET, "agent setting value meaning", show_config};
static const question_t s_health = {TIM3_MSG_HEALTH, "agent status +score reason", show_health};

int tim3ctl_info (tim3ctl_t *ctl)
{
    return ask_agents (ctl, &s_info);
}

int tim3ctl_stats (tim3ctl_t *ctl)
{
    return ask_agents (ctl, &s_stats);
}

int tim3ctl_config (tim3ctl_t *ctl)
{
    return ask_agents (ctl, &s_config);
}

/*  ------------------------------------------------------------------------------------------- health  */

static void print_system (const tim3_health_reply_t *health)
{
    const tim3_reason_t *reason = health->reasons.items;
    printf ("system is %s, score %llu of 100\n", tim3_value_name (tim3_health_values, health->status),
            (unsigned long long) health->score);
    for (uint32_t i = 0; i < health->reasons.count; i++, reason++)
        printf ("  -%llu %s: %s\n", (unsigned long long) reason->weight, reason->name, reason->text);
    putchar ('\n');
}

/*  The state manager's judgement of the whole. NULL when it cannot be had.  */
static json_t *ask_system (tim3ctl_t *ctl, int *code)
{
    tim3_error_t error;
    const tim3_health_reply_t *health =
        tim3ctl_try (ctl, "state_manager.-", "", TIM3_MSG_GET_SYSTEM_HEALTH, NULL, &error);
    *code = health && health->status == TIM3_HEALTH_OK ? TIM3CTL_DONE : TIM3CTL_REFUSED;
    if (!health) {
        fprintf (stderr, "state_manager.-: %s: %s\n", error.name, error.text);
        return json_null ();
    }
    if (!ctl->json)
        print_system (health);
    return tim3ctl_json (&tim3_shape_health_reply, health);
}

/*  Done only when the system says that it is well.  */
int tim3ctl_health (tim3ctl_t *ctl)
{
    inquiry_t inquiry = {.question = &s_health};
    int code;
    if (!tim3ctl_client (ctl))
        return ctl->exit;
    json_t *system = ask_system (ctl, &code);
    if (!inquire (ctl, &inquiry)) {
        json_decref (system);
        return ctl->exit;
    }
    worse (&inquiry, code);
    if (ctl->json)
        tim3ctl_json_print (json_pack ("{s:O, s:O}", "system", system, "agents", inquiry.array));
    else
        tim3ctl_table_print (inquiry.table);
    json_decref (system);
    inquiry_end (&inquiry);
    return inquiry.code;
}

/*  ----------------------------------------------------------------------------------------- registry  */

static void print_agents (const tim3_agent_t *agents, unsigned count)
{
    tim3ctl_table_t *table = tim3ctl_table_new ("name alive health version seen_us endpoint");
    for (unsigned i = 0; i < count; i++)
        tim3ctl_table_record (table, &tim3_shape_agent, &agents[i], 0);
    tim3ctl_table_print (table);
    tim3ctl_table_destroy (&table);
}

int tim3ctl_agents (tim3ctl_t *ctl)
{
    unsigned count;
    tim3_agent_t *agents = tim3ctl_registry (ctl, &count);
    if (!agents)
        return ctl->exit;
    if (ctl->json) {
        json_t *array = json_array ();
        for (unsigned i = 0; i < count; i++)
            json_array_append_new (array, tim3ctl_json (&tim3_shape_agent, &agents[i]));
        tim3ctl_json_print (array);
    } else {
        print_agents (agents, count);
    }
    free (agents);
    return TIM3CTL_DONE;
}
