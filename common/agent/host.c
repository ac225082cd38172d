/*  host.c - runs a core over batches of frames. See host.h for how it is driven.

    A message passes: envelope -> known? -> class fits the connection? -> sender allowed? -> meant for this agent?
    -> body. The first check that fails decides the answer.
*/
#include "agent/host.h"
#include "agent/outbox.h"
#include "agent/publisher.h"
#include "agent/registrar.h"
#include "base/canary.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_SIZE (4 * 1024 * 1024)
#define HANDLERS 256
#define MAP_WARN_PERCENT 70
#define BACKLOG_WARN 10000
#define ROWS_PER_BATCH 100000

struct tim3_report {
    tim3_reason_t reasons[64];
    uint32_t reason_count;
    tim3_metric_t metrics[256];
    uint32_t metric_count;
};

struct tim3_env {
    tim3_host_t *host;
    const tim3_envelope_t *message;
    const tim3_origin_t *origin;
};

typedef struct {
    tim3_return_t to;
    tim3_id_t tx; /* zeros when it is about none */
} asked_t;

struct tim3_host {
    const tim3_core_t *core;
    const tim3_settings_t *settings;
    void *state;
    tim3_store_t *store;
    tim3_host_options_t options;
    tim3_handler_fn *handlers[HANDLERS];
    tim3_env_t env;
    uint64_t now_us;
    uint64_t started_us;
    uint64_t next_id;
    tim3_outbox_t *outbox;
    size_t handed_out;
    tim3_frame_t frame;
    char frame_address[TIM3_OUTBOX_KEY_MAX + 1];
    tim3_buffer_t asked; /* asked_t of every request of the batch, in case it has to be refused */
    const tim3_field_t *tx_fields[HANDLERS]; /* of the core's messages: which field is the tx, if one is */
    uint32_t rows;       /* that may still be looked at in this batch */
    tim3_arena_t arena;
    uint8_t *body;
    tim3_report_t *report;
    tim3_publisher_t publisher;
    tim3_registrar_t registrar;
    tim3_host_counters_t counters;
};

/*  ---------------------------------------------------------------------------------------- the outbox
    The key of a frame is 'A' and an address, or 'P' and a peer's routing id.  */

static tim3_buffer_t *open_frame (tim3_host_t *self, char kind, const void *name, size_t size)
{
    uint8_t key[TIM3_OUTBOX_KEY_MAX];
    key[0] = (uint8_t) kind;
    memcpy (key + 1, name, size);
    return tim3_outbox_open (self->outbox, key, size + 1);
}

static void head (tim3_host_t *self, tim3_envelope_t *envelope, tim3_type_t type, const char *recipient)
{
    memset (envelope, 0, sizeof *envelope);
    envelope->type = type;
    envelope->id = self->next_id++;
    envelope->time_us = self->now_us;
    strcpy (envelope->sender, self->options.name);
    snprintf (envelope->recipient, sizeof envelope->recipient, "%s", recipient);
    self->counters.messages_out++;
}

void tim3_env_reply_to (tim3_env_t *env, const tim3_return_t *to, tim3_type_t type, const void *body)
{
    tim3_host_t *self = env->host;
    tim3_envelope_t envelope;
    if (to->peer_size == 0)
        return;
    head (self, &envelope, type, to->sender);
    envelope.reply_to = to->id;
    envelope.trace = to->trace;
    envelope.via_size = to->via_size;
    memcpy (envelope.via, to->via, to->via_size);
    tim3_envelope_write (open_frame (self, 'P', to->peer, to->peer_size), &envelope, body);
}

uint64_t tim3_env_send (tim3_env_t *env, const char *address, tim3_type_t type, const void *body)
{
    tim3_host_t *self = env->host;
    tim3_envelope_t envelope;
    head (self, &envelope, type, address);
    if (env->message)
        envelope.trace = env->message->trace;
    tim3_envelope_write (open_frame (self, 'A', address, strlen (address)), &envelope, body);
    return envelope.id;
}

tim3_return_t tim3_env_return (const tim3_env_t *env)
{
    tim3_return_t to = {0};
    if (!env->message || env->origin->answer)
        return to;
    memcpy (to.peer, env->origin->peer, env->origin->peer_size);
    to.peer_size = (uint8_t) env->origin->peer_size;
    memcpy (to.via, env->message->via, env->message->via_size);
    to.via_size = env->message->via_size;
    to.type = (uint16_t) env->message->type;
    to.id = env->message->id;
    to.trace = env->message->trace;
    memcpy (to.sender, env->message->sender, sizeof to.sender);
    return to;
}

void tim3_env_reply (tim3_env_t *env, tim3_type_t type, const void *body)
{
    tim3_return_t to = tim3_env_return (env);
    tim3_env_reply_to (env, &to, type, body);
}

void tim3_env_refuse_to (tim3_env_t *env, const tim3_return_t *to, const tim3_error_t *error)
{
    env->host->counters.refused++;
    tim3_env_reply_to (env, to, TIM3_MSG_ERROR, error);
}

void tim3_env_refuse (tim3_env_t *env, tim3_result_t code, const tim3_id_t *tx, const char *format, ...)
{
    tim3_return_t to = tim3_env_return (env);
    tim3_error_t error;
    va_list arguments;

    tim3_error_fill (&error, code, NULL);
    if (format) {
        va_start (arguments, format);
        vsnprintf (error.text, sizeof error.text, format, arguments);
        va_end (arguments);
    }
    error.request = to.type;
    if (tx)
        error.tx = *tx;
    tim3_env_refuse_to (env, &to, &error);
}

/*  ------------------------------------------------------------------------------- what else a core asks  */

uint64_t tim3_env_now (const tim3_env_t *env)
{
    return env->host->now_us;
}

tim3_store_t *tim3_env_store (const tim3_env_t *env)
{
    return env->host->store;
}

const tim3_envelope_t *tim3_env_message (const tim3_env_t *env)
{
    return env->message;
}

void tim3_env_emit (tim3_env_t *env, tim3_type_t type, const void *body)
{
    tim3_publisher_emit (&env->host->publisher, env->host->store, type, env->host->now_us, body);
    env->host->counters.events_emitted++;
}

uint64_t tim3_env_event_seq (const tim3_env_t *env)
{
    return env->host->publisher.last;
}

tim3_id_t tim3_env_store_id (const tim3_env_t *env)
{
    return env->host->options.meta.id;
}

uint32_t *tim3_env_rows (tim3_env_t *env)
{
    return &env->host->rows;
}

tim3_arena_t *tim3_env_arena (tim3_env_t *env)
{
    return &env->host->arena;
}

/*  ------------------------------------------------------------------------------------- health and stats  */

void tim3_report_reason (tim3_report_t *self, const char *name, unsigned weight, const char *format, ...)
{
    va_list arguments;
    if (self->reason_count == sizeof self->reasons / sizeof self->reasons[0])
        return;
    tim3_reason_t *reason = &self->reasons[self->reason_count++];
    snprintf (reason->name, sizeof reason->name, "%s", name);
    reason->weight = weight > 100 ? 100 : weight;
    va_start (arguments, format);
    vsnprintf (reason->text, sizeof reason->text, format, arguments);
    va_end (arguments);
}

void tim3_report_metric (tim3_report_t *self, const char *name, tim3_amount_t value)
{
    if (self->metric_count == sizeof self->metrics / sizeof self->metrics[0])
        return;
    tim3_metric_t *metric = &self->metrics[self->metric_count++];
    snprintf (metric->name, sizeof metric->name, "%s", name);
    metric->value = value;
}

static void clear_report (tim3_report_t *report)
{
    report->reason_count = 0;
    report->metric_count = 0;
}

/*  What every agent looks at, then what its core adds. Returns the score.  */
static unsigned judge (tim3_host_t *self, tim3_report_t *report, tim3_health_reply_t *reply)
{
    uint64_t used;
    uint64_t most;
    uint64_t backlog = self->publisher.last - self->publisher.acked;
    unsigned lost = 0;

    clear_report (report);
    tim3_store_usage (self->store, &used, &most);
    if (most > 0 && used / (most / 100 + 1) >= MAP_WARN_PERCENT)
        tim3_report_reason (report, "store_usage", 30, "the store uses %llu of %llu bytes; raise map_size_mb",
                            (unsigned long long) used, (unsigned long long) most);
    if (backlog > BACKLOG_WARN)
        tim3_report_reason (report, "event_backlog", 10, "%llu events wait for the bus",
                            (unsigned long long) backlog);
    if (self->publisher.lost > 0)
        tim3_report_reason (report, "event_log_behind", 100,
                            "the event log lacks %llu events that this agent no longer has; was it restored alone?",
                            (unsigned long long) self->publisher.lost);
    if (self->options.endpoint[0] && !self->registrar.registered)
        tim3_report_reason (report, "not_registered", 10, "the registry does not answer");
    if (self->core->health)
        self->core->health (self->state, &self->env, report);
    for (uint32_t i = 0; i < report->reason_count; i++)
        lost += (unsigned) report->reasons[i].weight;
    reply->score = lost > 100 ? 0 : 100 - lost;
    reply->status = reply->score >= 90   ? TIM3_HEALTH_OK
                    : reply->score >= 50 ? TIM3_HEALTH_DEGRADED
                                         : TIM3_HEALTH_FAILING;
    reply->reasons = (tim3_list_t){report->reasons, report->reason_count};
    return (unsigned) reply->score;
}

static void on_info (tim3_host_t *self)
{
    tim3_info_reply_t reply = {0};
    strcpy (reply.name, self->options.name);
    strcpy (reply.role, tim3_role_name (self->core->role));
    strcpy (reply.asset, self->settings->asset);
    strcpy (reply.version, TIM3_VERSION);
    reply.shard = self->settings->shard;
    reply.incarnation = self->options.incarnation;
    reply.schema = self->options.meta.schema;
    reply.store = self->options.meta.id;
    reply.uptime_us = self->now_us - self->started_us;
    reply.pid = self->options.pid;
    reply.decimals = self->settings->decimals;
    tim3_env_reply (&self->env, TIM3_MSG_INFO_REPLY, &reply);
}

static void on_health (tim3_host_t *self)
{
    tim3_health_reply_t reply = {0};
    judge (self, self->report, &reply);
    tim3_env_reply (&self->env, TIM3_MSG_HEALTH_REPLY, &reply);
}

static void on_stats (tim3_host_t *self)
{
    tim3_report_t *report = self->report;
    tim3_stats_reply_t reply = {0};
    uint64_t used;
    uint64_t most;

    clear_report (report);
#define C(name, text) tim3_report_metric (report, #name, self->counters.name);
    TIM3_HOST_COUNTERS (C)
#undef C
    tim3_store_usage (self->store, &used, &most);
    tim3_report_metric (report, "store_used_bytes", used);
    tim3_report_metric (report, "store_most_bytes", most);
    tim3_report_metric (report, "events_waiting", self->publisher.last - self->publisher.acked);
    if (self->options.process_stats)
        self->options.process_stats (report);
    if (self->core->stats)
        self->core->stats (self->state, &self->env, report);
    reply.metrics = (tim3_list_t){report->metrics, report->metric_count};
    tim3_env_reply (&self->env, TIM3_MSG_STATS_REPLY, &reply);
}

static void on_config_get (tim3_host_t *self)
{
    tim3_config_reply_t reply = {.settings = {self->options.list, self->options.list_count}};
    tim3_env_reply (&self->env, TIM3_MSG_CONFIG_REPLY, &reply);
}

/*  ------------------------------------------------------------------------------------------ one message  */

/*  Word about the registry and the event log counts from the router alone, whoever else this agent asks things.  */
static bool is_from_router (const tim3_host_t *self)
{
    static const char role[] = "router.";
    const tim3_origin_t *origin = self->env.origin;
    return origin->answer && origin->peer_size >= sizeof role - 1
           && memcmp (origin->peer, role, sizeof role - 1) == 0;
}

static bool handle_router (tim3_host_t *self, const tim3_envelope_t *envelope)
{
    if (envelope->type != TIM3_MSG_PUBLISHED)
        return tim3_registrar_handle (&self->registrar, &self->env, envelope, self->body);
    tim3_publisher_acked (&self->publisher, (const tim3_published_t *) self->body, self->now_us);
    self->counters.events_published = self->publisher.acked;
    return true;
}

/*  Handles what belongs to the host itself; false when it is the core's.  */
static bool handle_own (tim3_host_t *self, const tim3_envelope_t *envelope)
{
    switch (envelope->type) {
    case TIM3_MSG_INFO:
        on_info (self);
        return true;
    case TIM3_MSG_HEALTH:
        on_health (self);
        return true;
    case TIM3_MSG_STATS:
        on_stats (self);
        return true;
    case TIM3_MSG_CONFIG_GET:
        on_config_get (self);
        return true;
    default:
        return is_from_router (self) && handle_router (self, envelope);
    }
}

static tim3_result_t check_request (tim3_host_t *self, const tim3_envelope_t *envelope,
                                    const tim3_message_t *message)
{
    tim3_address_t sender = {.role = TIM3_ROLE_CLIENT};
    tim3_address_t recipient;

    if (!(message->to & 1u << self->core->role))
        return TIM3_UNKNOWN_MESSAGE;
    if (!tim3_address_parse (envelope->sender, &sender) || !(message->from & 1u << sender.role))
        return TIM3_NOT_ALLOWED;
    if (!tim3_address_parse (envelope->recipient, &recipient) || recipient.role != self->core->role)
        return TIM3_NOT_ALLOWED;
    if (recipient.asset[0] && strcmp (recipient.asset, self->settings->asset) != 0)
        return TIM3_NOT_ALLOWED;
    if (recipient.shard >= 0 && (unsigned) recipient.shard != self->settings->shard)
        return TIM3_NOT_ALLOWED;
    return TIM3_OK;
}

/*  Whether the message may come this way; if not, it has been answered or counted.  */
static bool admit (tim3_host_t *self, const tim3_envelope_t *envelope, const tim3_message_t *message)
{
    if (self->env.origin->answer) {
        if (message && message->class == TIM3_CLASS_REPLY)
            return true;
        self->counters.stray_answers++;
        return false;
    }
    if (message && message->class != TIM3_CLASS_REQUEST) {
        /* never answered: an answer to an answer could go round for ever */
        self->counters.stray_answers++;
        return false;
    }
    tim3_result_t result = message ? check_request (self, envelope, message) : TIM3_UNKNOWN_MESSAGE;
    if (result == TIM3_OK)
        return true;
    self->counters.not_allowed++;
    tim3_env_refuse (&self->env, result, NULL, NULL);
    return false;
}

/*  Notes what the request at hand is about, so that a coordinator knows which one is refused.  */
static void remember_tx (tim3_host_t *self, const tim3_envelope_t *envelope)
{
    const tim3_field_t *field = self->tx_fields[envelope->type];
    if (!field || self->env.origin->answer)
        return;
    asked_t *asked = (asked_t *) (void *) (self->asked.data + self->asked.size - sizeof *asked);
    memcpy (&asked->tx, (const uint8_t *) self->body + field->offset, sizeof asked->tx);
}

static void dispatch (tim3_host_t *self, const tim3_envelope_t *envelope)
{
    const tim3_message_t *message = tim3_message (envelope->type);
    tim3_fault_t fault;

    if (!admit (self, envelope, message))
        return;
    self->arena.used = 0;
    if (tim3_decode_map (envelope->body, envelope->body_size, message->shape, self->body, &self->arena,
                         &fault)) {
        self->counters.malformed++;
        if (!self->env.origin->answer)
            tim3_env_refuse (&self->env, fault.code, NULL, "%s: field \"%s\"", tim3_result_text (fault.code),
                             fault.field);
        return;
    }
    remember_tx (self, envelope);
    if (tim3_store_error (self->store))
        return; /* the whole batch will be refused */
    if (handle_own (self, envelope))
        return;
    if (self->handlers[envelope->type])
        self->handlers[envelope->type](self->state, &self->env, self->body);
    else if (!self->env.origin->answer)
        tim3_env_refuse (&self->env, TIM3_UNKNOWN_MESSAGE, NULL, NULL);
}

/*  Only requests: an answer that came the wrong way is never answered, not even when the store is full.  */
static void remember (tim3_host_t *self)
{
    const tim3_message_t *message = tim3_message (self->env.message->type);
    if (self->env.origin->answer || (message && message->class != TIM3_CLASS_REQUEST))
        return;
    asked_t asked = {.to = tim3_env_return (&self->env)};
    tim3_buffer_append (&self->asked, &asked, sizeof asked);
}

/*  The rest of a frame is not looked at; who sent it is told with the first envelope that was not taken.  */
static void refuse_rest (tim3_host_t *self, tim3_result_t code, const char *what)
{
    self->counters.malformed++;
    if (self->env.message->id != 0)
        tim3_env_refuse (&self->env, code, NULL, "the envelope's %s cannot be taken", what);
}

void tim3_host_take (tim3_host_t *self, const tim3_origin_t *origin, const uint8_t *data, size_t size)
{
    const uint8_t *at = data;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    int more;

    self->counters.frames_in++;
    if (origin->peer_size > TIM3_PEER_MAX) {
        self->counters.malformed++;
        return;
    }
    self->env.origin = origin;
    self->env.message = &envelope;
    for (int i = 0; i < TIM3_ENVELOPES_MAX; i++) {
        more = tim3_envelope_read (&at, data + size, &envelope, &fault);
        if (more <= 0)
            break;
        self->counters.messages_in++;
        remember (self);
        dispatch (self, &envelope);
    }
    if (more < 0)
        refuse_rest (self, fault.code, fault.field);
    else if (more > 0 && tim3_envelope_read (&at, data + size, &envelope, &fault) != 0)
        refuse_rest (self, TIM3_TOO_LARGE, "place in so long a frame");
    self->env.message = NULL;
    self->env.origin = NULL;
}

/*  ------------------------------------------------------------------------------------------- batches  */

void tim3_host_begin (tim3_host_t *self, uint64_t now_us)
{
    self->now_us = now_us;
    self->rows = ROWS_PER_BATCH;
    self->handed_out = 0;
    tim3_outbox_clear (self->outbox);
    tim3_buffer_clear (&self->asked);
    self->counters.batches++;
}

void tim3_host_tick (tim3_host_t *self)
{
    tim3_health_reply_t health = {0};
    if (tim3_store_error (self->store))
        return;
    if (self->core->tick)
        self->core->tick (self->state, &self->env);
    if (tim3_registrar_due (&self->registrar, self->now_us))
        judge (self, self->report, &health);
    tim3_registrar_tick (&self->registrar, &self->env, health.status);
    tim3_publisher_tick (&self->publisher, self->now_us, &self->counters.events_resent);
}

void tim3_host_leave (tim3_host_t *self)
{
    tim3_registrar_leave (&self->registrar, &self->env);
}

static void make_core (tim3_host_t *self)
{
    if (self->state)
        self->core->destroy (&self->state);
    self->state = self->core->new (self->settings);
    tim3_publisher_load (&self->publisher, self->store);
}

/*  The store could not take the batch: forget it and say so to everyone who asked.  */
static void refuse_batch (tim3_host_t *self)
{
    tim3_error_t error;
    tim3_store_abort (self->store);
    if (!TIM3_CANARY_IS (2))
        tim3_outbox_clear (self->outbox);
    make_core (self);
    self->counters.storage_full++;
    tim3_error_fill (&error, TIM3_STORAGE_FULL, NULL);
    for (size_t at = 0; at < self->asked.size; at += sizeof (asked_t)) {
        asked_t asked;
        memcpy (&asked, self->asked.data + at, sizeof asked);
        error.request = asked.to.type;
        error.tx = asked.tx;
        tim3_env_refuse_to (&self->env, &asked.to, &error);
    }
}

int tim3_host_commit (tim3_host_t *self)
{
    if (self->options.endpoint[0])
        tim3_publisher_send (&self->publisher, &self->env, self->options.name, self->options.meta.id);
    tim3_publisher_trim (&self->publisher, self->store, self->now_us);
    if (tim3_store_dirty (self->store))
        self->counters.commits++;
    if (TIM3_CANARY_IS (1) && self->counters.batches % 4 != 0)
        return 0;
    if (tim3_store_commit (self->store) == 0)
        return 0;
    if (tim3_store_error (self->store) != TIM3_STORE_FULL)
        return -1;
    refuse_batch (self);
    return 0;
}

const tim3_frame_t *tim3_host_next (tim3_host_t *self)
{
    const tim3_outbox_frame_t *next = tim3_outbox_at (self->outbox, self->handed_out);
    if (!next)
        return NULL;
    self->handed_out++;
    self->frame = (tim3_frame_t){.data = next->buffer.data, .size = next->buffer.size};
    if (next->key[0] == 'A') {
        memcpy (self->frame_address, next->key + 1, next->key_size - 1);
        self->frame_address[next->key_size - 1] = '\0';
        self->frame.address = self->frame_address;
    } else {
        self->frame.peer = next->key + 1;
        self->frame.peer_size = next->key_size - 1;
    }
    return &self->frame;
}

/*  --------------------------------------------------------------------------------------- life and death  */

static const tim3_field_t *tx_field (const tim3_shape_t *shape)
{
    for (unsigned i = 0; i < shape->count; i++)
        if (shape->fields[i].kind == TIM3_KIND_ID && strcmp (shape->fields[i].name, "tx") == 0)
            return &shape->fields[i];
    return NULL;
}

tim3_host_t *tim3_host_new (const tim3_core_t *core, const tim3_settings_t *settings, tim3_store_t *store,
                            const tim3_host_options_t *options)
{
    tim3_host_t *self = tim3_alloc (sizeof *self);
    self->core = core;
    self->settings = settings;
    self->store = store;
    self->options = *options;
    self->env.host = self;
    self->next_id = 1;
    self->started_us = options->started_us;
    self->outbox = tim3_outbox_new ();
    self->arena = (tim3_arena_t){tim3_alloc (ARENA_SIZE), ARENA_SIZE, 0};
    self->body = tim3_alloc (tim3_body_size_max ());
    self->report = tim3_alloc (sizeof *self->report);
    for (const tim3_handler_t *handler = core->handlers; handler->handle; handler++) {
        self->handlers[handler->type] = handler->handle;
        self->tx_fields[handler->type] = tx_field (tim3_message (handler->type)->shape);
    }
    tim3_registrar_init (&self->registrar, core, settings, options);
    make_core (self);
    return self;
}

void tim3_host_destroy (tim3_host_t **self)
{
    if (!*self)
        return;
    (*self)->core->destroy (&(*self)->state);
    tim3_outbox_destroy (&(*self)->outbox);
    tim3_registrar_free (&(*self)->registrar);
    tim3_publisher_free (&(*self)->publisher);
    tim3_buffer_free (&(*self)->asked);
    free ((*self)->arena.data);
    free ((*self)->body);
    free ((*self)->report);
    free (*self);
    *self = NULL;
}

const tim3_agents_t *tim3_host_directory (const tim3_host_t *self, uint64_t *version)
{
    *version = self->registrar.version;
    return &self->registrar.directory;
}

bool tim3_host_superseded (const tim3_host_t *self)
{
    return self->registrar.superseded;
}

bool tim3_host_registered (const tim3_host_t *self)
{
    return self->registrar.registered;
}

const tim3_host_counters_t *tim3_host_counters (const tim3_host_t *self)
{
    return &self->counters;
}
