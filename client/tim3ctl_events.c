/*  tim3ctl_events.c - prints the event log, once or as it grows.  */
#include "tim3ctl_commands.h"
#include "tim3ctl_print.h"
#include "base/log.h"
#include "wire/run.h"

#include <stdlib.h>
#include <string.h>

#define CREDIT 4096

#define ASSETS_MAX 64

typedef struct {
    char name[TIM3_ASSET_MAX + 1];
    unsigned decimals; /* 0 where they cannot be had */
} asset_t;

typedef struct {
    tim3ctl_t *ctl;
    tim3_client_t *client;
    uint64_t handle;
    const char *topic;
    uint64_t left;
    bool follow;
    uint64_t heard_us;
    asset_t assets[ASSETS_MAX]; /* whose decimals were asked for */
    unsigned asset_count;
} reading_t;

/*  -------------------------------------------------------------------------------------- decimals of amounts  */

static const char *asset_of (const tim3_event_item_t *event)
{
    const char *point = strrchr (event->topic, '.');
    return point ? point + 1 : "";
}

/*  NULL when it has not been asked for yet.  */
static const asset_t *find_asset (const reading_t *reading, const char *name)
{
    static const asset_t one_too_many = {.decimals = 0};
    for (unsigned i = 0; i < reading->asset_count; i++)
        if (strcmp (reading->assets[i].name, name) == 0)
            return &reading->assets[i];
    return reading->asset_count == ASSETS_MAX ? &one_too_many : NULL;
}

/*  The ledger may be down while its events are there to be read.  */
static void ask_decimals (reading_t *reading, const char *name)
{
    char route[TIM3_ADDRESS_MAX + 1];
    asset_t *asset = &reading->assets[reading->asset_count++];
    strcpy (asset->name, name);
    tim3_address_format (TIM3_ROLE_TOKEN_MANAGER, name, -1, route);
    reading->ctl->silent = true;
    bool known = tim3ctl_decimals (reading->ctl, route, &asset->decimals);
    reading->ctl->silent = false;
    if (!known)
        fprintf (stderr, "the decimals of %s are not known (%s: %s): its amounts are in minor units\n", name,
                 reading->ctl->failed, reading->ctl->failure.text);
}

/*  ------------------------------------------------------------------------------------------ printing  */

/*  name=value for the event's own fields; what is empty is left out.  */
static void print_body (const tim3_event_item_t *event, const asset_t *asset)
{
    const tim3_message_t *message = tim3_message (event->type);
    char text[TIM3CTL_CELL_MAX];
    if (!message || message->of_class != TIM3_CLASS_EVENT)
        return;
    void *body = tim3_alloc (message->shape->size);
    bool readable = tim3_event_read (event->type, &event->body, body);
    for (unsigned i = 0; readable && i < message->shape->count; i++) {
        tim3ctl_field_text (&message->shape->fields[i], body, asset->decimals, text);
        if (text[0])
            printf (" %s=%s", message->shape->fields[i].name, text);
    }
    free (body);
}

static void print_event (const reading_t *reading, const tim3_event_item_t *event)
{
    char time[TIM3CTL_CELL_MAX];
    if (reading->ctl->json) {
        tim3ctl_json_print_line (tim3ctl_json (&tim3_shape_event_item, event));
        return;
    }
    printf ("%llu %s %s source=%s", (unsigned long long) event->offset,
            tim3ctl_time_text (event->time_us, time), event->topic, event->source);
    print_body (event, find_asset (reading, asset_of (event)));
    putchar ('\n');
}

static void subscribe (reading_t *reading, uint64_t from)
{
    reading->handle = tim3_client_subscribe (reading->client, from, reading->topic, CREDIT, NULL);
}

/*  Asking ends what is being read: it is read on from this event.  */
static void learn_and_go_back (reading_t *reading, const tim3_event_item_t *event)
{
    uint64_t from = event->offset;
    char asset[TIM3_ASSET_MAX + 1];
    snprintf (asset, sizeof asset, "%s", asset_of (event));
    tim3_client_unsubscribe (reading->client, reading->handle);
    ask_decimals (reading, asset);
    reading->heard_us = tim3ctl_now_us ();
    subscribe (reading, from);
}

/*  False when all that was wanted is printed.  */
static bool print_stretch (reading_t *reading, const tim3_events_t *events)
{
    tim3_events_walk_t walk;
    tim3_event_item_t event;
    tim3_events_walk (&walk, events);
    while (tim3_events_step (&walk, &event)) {
        if (!reading->ctl->json && !find_asset (reading, asset_of (&event))) {
            learn_and_go_back (reading, &event);
            return true;
        }
        print_event (reading, &event);
        if (--reading->left == 0)
            return false;
    }
    fflush (stdout);
    return reading->follow || events->next < events->end;
}

static int read_on (reading_t *reading)
{
    uint64_t patience_us = tim3ctl_timeout_ms (reading->ctl, 10) * 1000;
    reading->heard_us = tim3ctl_now_us ();
    while (!tim3ctl_interrupted ()) {
        const tim3_answer_t *answer = tim3_client_poll (reading->client, 200);
        if (answer && answer->error)
            return tim3ctl_refused (reading->ctl, "router.-", answer->error);
        if (answer)
            reading->heard_us = tim3ctl_now_us ();
        if (answer && !print_stretch (reading, answer->body))
            return TIM3CTL_DONE;
        if (!answer && !reading->follow && tim3ctl_now_us () - reading->heard_us > patience_us)
            return tim3ctl_failed (TIM3CTL_NO_ANSWER, "no_answer",
                                   "the router at %s sends no events; check that it runs "
                                   "(the supervisor's status)",
                                   reading->ctl->connected);
    }
    return reading->follow ? TIM3CTL_DONE : tim3ctl_cut_short (reading->ctl);
}

int tim3ctl_events (tim3ctl_t *ctl)
{
    reading_t reading = {.ctl = ctl,
                         .topic = tim3ctl_text (ctl, TIM3CTL_OPTION_TOPIC, ""),
                         .left = tim3ctl_number (ctl, TIM3CTL_OPTION_LIMIT, 0),
                         .follow = tim3ctl_has (ctl, TIM3CTL_OPTION_FOLLOW)};
    if (strlen (reading.topic) > 64)
        return tim3ctl_misused ("--topic is at most 64 characters");
    reading.client = tim3ctl_client (ctl);
    if (!reading.client)
        return ctl->exit;
    if (reading.left == 0)
        reading.left = UINT64_MAX;
    subscribe (&reading, tim3ctl_number (ctl, TIM3CTL_OPTION_FROM, 1));
    tim3ctl_errors_form (TIM3CTL_ERRORS_AS_LINE);
    int code = read_on (&reading);
    tim3_client_unsubscribe (reading.client, reading.handle);
    return code;
}
