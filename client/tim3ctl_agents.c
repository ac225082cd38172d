/*  tim3ctl_agents.c - commands about the agents themselves: registry, health, info, stats, config.  */
#include "tim3ctl_commands.h"
#include "tim3ctl_print.h"

#include <stdlib.h>
#include <string.h>

/*  ----------------------------------------------------------------------------------- asking all of them  */

/*  Prints what one agent answered; adds to array for JSON.  */
typedef void (show_fn) (const tim3ctl_t *ctl, const char *name, const void *body, tim3ctl_table_t *table);

typedef struct {
    tim3_type_t type;
    const char *columns;
    show_fn *show;
} question_t;

static void add_json (json_t *array, const char *name, const tim3_shape_t *shape, const void *body)
{
    json_t *value = tim3ctl_json (shape, body);
    json_object_set_new (value, "agent", json_string (name));
    json_array_append_new (array, value);
}

static int take_answer (tim3ctl_t *ctl, const question_t *question, const tim3_answer_t *answer,
                        tim3ctl_table_t *table, json_t *array)
{
    const char *name = answer->tag;
    add_json (array, name, tim3_message (answer->type)->shape, answer->body);
    if (answer->error) {
        fprintf (stderr, "%s: %s: %s\n", name, answer->error->name, answer->error->text);
        return answer->error->code == TIM3_NO_ANSWER ? TIM3CTL_NO_ANSWER : TIM3CTL_REFUSED;
    }
    question->show (ctl, name, answer->body, table);
    return TIM3CTL_DONE;
}

/*  Asks count agents at once; an agent that does not answer holds up nobody else's answer.  */
static int ask_named (tim3ctl_t *ctl, const question_t *question, char names[][TIM3_ADDRESS_MAX + 1],
                      unsigned count, tim3ctl_table_t *table, json_t *array)
{
    int code = TIM3CTL_DONE;
    tim3_client_t *client = tim3ctl_client (ctl);
    if (!client)
        return ctl->exit;
    for (unsigned i = 0; i < count; i++)
        tim3_client_submit (client, names[i], "", question->type, NULL, names[i]);
    while (tim3_client_outstanding (client) > 0 && !tim3ctl_interrupted ()) {
        const tim3_answer_t *answer = tim3_client_poll (client, 1000);
        int one = answer ? take_answer (ctl, question, answer, table, array) : TIM3CTL_DONE;
        code = one > code ? one : code;
    }
    return code;
}

static int ask_registered (tim3ctl_t *ctl, const question_t *question, tim3ctl_table_t *table, json_t *array)
{
    unsigned count;
    unsigned alive = 0;
    tim3_agent_t *agents = tim3ctl_registry (ctl, &count);
    if (!agents)
        return ctl->exit;
    char (*names)[TIM3_ADDRESS_MAX + 1] = calloc (count + 1, sizeof *names);
    int code = names ? TIM3CTL_DONE : TIM3CTL_REFUSED;
    for (unsigned i = 0; names && i < count; i++) {
        if (agents[i].alive) {
            strcpy (names[alive++], agents[i].name);
            continue;
        }
        fprintf (stderr, "%s: no sign of life\n", agents[i].name);
        code = TIM3CTL_REFUSED;
    }
    int asked = ask_named (ctl, question, names, alive, table, array);
    free (names);
    free (agents);
    return asked > code ? asked : code;
}

static int ask_agents (tim3ctl_t *ctl, const question_t *question)
{
    char names[1][TIM3_ADDRESS_MAX + 1];
    tim3ctl_table_t *table = tim3ctl_table_new (question->columns);
    json_t *array = json_array ();
    int code;
    if (ctl->argument_count == 1) {
        snprintf (names[0], sizeof names[0], "%s", ctl->arguments[0]);
        code = ask_named (ctl, question, names, 1, table, array);
    } else {
        code = ask_registered (ctl, question, table, array);
    }
    if (ctl->json)
        tim3ctl_json_print (json_incref (array));
    else if (tim3ctl_table_rows (table) > 0)
        tim3ctl_table_print (table);
    json_decref (array);
    tim3ctl_table_destroy (&table);
    return code;
}

/*  --------------------------------------------------------------------------------------- what they say  */

static void show_info (const tim3ctl_t *ctl, const char *name, const void *body, tim3ctl_table_t *table)
{
    (void) ctl;
    (void) name;
    tim3ctl_table_record (table, &tim3_shape_info_reply, body, 0);
}

static void show_stats (const tim3ctl_t *ctl, const char *name, const void *body, tim3ctl_table_t *table)
{
    const tim3_stats_reply_t *stats = body;
    const tim3_metric_t *metric = stats->metrics.items;
    char text[TIM3_AMOUNT_TEXT_MAX];
    (void) ctl;
    for (uint32_t i = 0; i < stats->metrics.count; i++, metric++) {
        tim3ctl_table_cell (table, "%s", name);
        tim3ctl_table_cell (table, "%s", metric->name);
        tim3ctl_table_cell (table, "%s", tim3_amount_format_units (metric->value, text));
    }
}

static void show_config (const tim3ctl_t *ctl, const char *name, const void *body, tim3ctl_table_t *table)
{
    const tim3_config_reply_t *config = body;
    const tim3_setting_t *setting = config->settings.items;
    (void) ctl;
    for (uint32_t i = 0; i < config->settings.count; i++, setting++) {
        tim3ctl_table_cell (table, "%s", name);
        tim3ctl_table_cell (table, "%s", setting->key);
        tim3ctl_table_cell (table, "%s", setting->value);
        tim3ctl_table_cell (table, "%s", setting->text);
    }
}

static void show_health (const tim3ctl_t *ctl, const char *name, const void *body, tim3ctl_table_t *table)
{
    const tim3_health_reply_t *health = body;
    const tim3_reason_t *reason = health->reasons.items;
    (void) ctl;
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

static const question_t s_info = {TIM3_MSG_INFO, "name version schema uptime_us +pid +decimals store", show_info};
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

/*  Done only when the system says that it is well.  */
int tim3ctl_health (tim3ctl_t *ctl)
{
    tim3_error_t error;
    tim3ctl_table_t *table = tim3ctl_table_new (s_health.columns);
    json_t *array = json_array ();
    json_t *system = json_null ();
    int code = TIM3CTL_REFUSED;
    const tim3_health_reply_t *health =
        tim3ctl_try (ctl, "state_manager.-", "", TIM3_MSG_GET_SYSTEM_HEALTH, NULL, &error);
    if (health) {
        code = health->status == TIM3_HEALTH_OK ? TIM3CTL_DONE : TIM3CTL_REFUSED;
        system = tim3ctl_json (&tim3_shape_health_reply, health);
        if (!ctl->json)
            print_system (health);
    } else {
        fprintf (stderr, "state_manager.-: %s: %s\n", error.name, error.text);
    }
    int asked = ask_registered (ctl, &s_health, table, array);
    if (ctl->json)
        tim3ctl_json_print (json_pack ("{s:o, s:O}", "system", json_incref (system), "agents", array));
    else
        tim3ctl_table_print (table);
    json_decref (system);
    json_decref (array);
    tim3ctl_table_destroy (&table);
    return asked > code ? asked : code;
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
