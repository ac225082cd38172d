/*  tim3ctl_events.c - prints the event log, once or as it grows.  */
#include "tim3ctl_commands.h"
#include "tim3ctl_print.h"
#include "wire/run.h"

#include <string.h>

#define CREDIT 4096

typedef struct {
    tim3ctl_t *ctl;
    uint64_t left;
    bool follow;
    uint64_t heard_us;
} reading_t;

/*  name=value for the event's own fields, amounts in minor units.  */
static void print_body (const json_t *body)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *) body, name, value)
    {
        if (json_is_string (value) && json_string_value (value)[0])
            printf (" %s=%s", name, json_string_value (value));
        else if (json_is_integer (value) && strcmp (name, "code") == 0)
            printf (" code=%s", tim3_result_name ((unsigned) json_integer_value (value)));
        else if (json_is_integer (value))
            printf (" %s=%lld", name, (long long) json_integer_value (value));
    }
}

static void print_event (const tim3ctl_t *ctl, const tim3_event_item_t *event)
{
    char time[TIM3CTL_CELL_MAX];
    json_t *value = tim3ctl_json (&tim3_shape_event_item, event);
    if (ctl->json) {
        tim3ctl_json_print_line (value);
        return;
    }
    printf ("%llu %s %s", (unsigned long long) event->offset, tim3ctl_time_text (event->time_us, time),
            event->topic);
    print_body (json_object_get (value, "body"));
    putchar ('\n');
    json_decref (value);
}

/*  False when all that was wanted is printed.  */
static bool print_stretch (reading_t *reading, const tim3_events_t *events)
{
    tim3_events_walk_t walk;
    tim3_event_item_t event;
    tim3_events_walk (&walk, events);
    while (tim3_events_step (&walk, &event)) {
        print_event (reading->ctl, &event);
        if (--reading->left == 0)
            return false;
    }
    fflush (stdout);
    return reading->follow || events->next < events->end;
}

static int read_on (reading_t *reading, tim3_client_t *client)
{
    uint64_t patience_us = tim3ctl_timeout_ms (reading->ctl, 10) * 1000;
    reading->heard_us = tim3ctl_now_us ();
    while (!tim3ctl_interrupted ()) {
        const tim3_answer_t *answer = tim3_client_poll (client, 200);
        if (answer && answer->error)
            return tim3ctl_refused (reading->ctl, "router.-", answer->error);
        if (answer)
            reading->heard_us = tim3ctl_now_us ();
        if (answer && !print_stretch (reading, answer->body))
            return TIM3CTL_DONE;
        if (!answer && !reading->follow && tim3ctl_now_us () - reading->heard_us > patience_us) {
            fprintf (stderr,
                     "no_answer: the router at %s sends no events; check that it runs "
                     "(scripts/supervisor status)\n",
                     reading->ctl->connected);
            return TIM3CTL_NO_ANSWER;
        }
    }
    return TIM3CTL_DONE;
}

int tim3ctl_events (tim3ctl_t *ctl)
{
    reading_t reading = {.ctl = ctl,
                         .left = tim3ctl_number (ctl, TIM3CTL_OPTION_LIMIT, 0),
                         .follow = tim3ctl_has (ctl, TIM3CTL_OPTION_FOLLOW)};
    const char *topic = tim3ctl_text (ctl, TIM3CTL_OPTION_TOPIC, "");
    tim3_client_t *client = tim3ctl_client (ctl);
    if (!client)
        return ctl->exit;
    if (strlen (topic) > 64)
        return tim3ctl_misused ("--topic is at most 64 characters");
    if (reading.left == 0)
        reading.left = UINT64_MAX;
    uint64_t handle =
        tim3_client_subscribe (client, tim3ctl_number (ctl, TIM3CTL_OPTION_FROM, 1), topic, CREDIT, NULL);
    int code = read_on (&reading, client);
    tim3_client_unsubscribe (client, handle);
    return code;
}
