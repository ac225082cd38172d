/*  host.c - runs cores over batches of frames. See host.h for how it is driven.

    A message passes: envelope -> for which core? -> known? -> class fits the connection? -> sender allowed? -> meant for
    this agent? -> body. The first check that fails decides the answer.

    A host may run several cores, each with what belongs to it in a unit_t. What they send to each other does not leave the host: it
    waits in a queue (self->local) and is handed over after the frame that led to it. So all of it is part of the same commit.
*/
#include "agent/host.h"
#include "agent/cause.h"
#include "agent/hold.h"
#include "agent/outbox.h"
#include "agent/publisher.h"
#include "agent/registrar.h"
#include "base/canary.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define ARENA_SIZE (4 * 1024 * 1024)
#define MAP_WARN_PERCENT 70
#define BACKLOG_WARN 10000
#define ROWS_PER_BATCH 100000
#define LIFE_CHANCE 1000000 /* microseconds, see tim3_host_next_life */
#define ROUNDS_MOST 64      /* of messages between the cores of a host that one frame leads to */
#define KNOWN 19            /* places for addresses: by the sum of its first two letters, each role has one of its own */

struct tim3_report {
    tim3_reason_t reasons[64];
    uint32_t reason_count;
    tim3_metric_t metrics[256];
    uint32_t metric_count;
};

/*  One of the cores.  */
typedef struct {
    const tim3_core_t *core;
    const tim3_settings_t *settings;
    void *state;
    tim3_store_t *store; /* the host's, or a view of it */
    bool has_view;
    char name[TIM3_ADDRESS_MAX + 1];
    const char *role;
    tim3_handler_fn *handlers[TIM3_NUMBERS_END];
    const tim3_field_t *tx_fields[TIM3_NUMBERS_END]; /* of each message, the field that is the tx; or NULL */
    tim3_publisher_t publisher;
    tim3_registrar_t registrar;
    uint64_t digest; /* of the settings */
} unit_t;

struct tim3_env {
    tim3_host_t *host;
    unit_t *unit; /* the core at work */
    const tim3_envelope_t *message;
    const tim3_origin_t *origin;
};

typedef struct {
    tim3_return_t to;
    tim3_id_t tx; /* zeros when it is about none */
} asked_t;

/*  An address that was parsed before: messages mostly come from, and go to, the same few.  */
typedef struct {
    char text[TIM3_ADDRESS_MAX + 1]; /* empty: none */
    tim3_address_t address;
} known_t;

struct tim3_host {
    unit_t units[TIM3_HOST_CORES_MAX];
    unsigned unit_count;
    tim3_store_t *store;
    tim3_host_options_t options;
    tim3_env_t env;
    known_t senders[KNOWN];
    known_t recipients[KNOWN];
    uint64_t now_us;
    uint64_t started_us;
    uint64_t next_id;
    tim3_outbox_t *outbox;
    tim3_buffer_t local;      /* messages between cores of this host: a local_t and what it describes, each */
    tim3_buffer_t delivering; /* those that are being handed over, while new ones come into local */
    size_t handed_out;        /* frames that tim3_host_next has given */
    tim3_frame_t frame;       /* the last of them */
    char frame_address[TIM3_OUTBOX_KEY_MAX + 1];
    tim3_buffer_t asked; /* asked_t of every request of the batch, in case it has to be refused */
    uint32_t rows;       /* how many rows may still be read in this batch: see tim3_env_rows */
    tim3_arena_t arena;
    uint8_t *body;
    tim3_report_t *report;
    tim3_holder_t holder;
    unit_t *held_unit; /* the core that was told to hold; all of the host's are held with it */
    tim3_host_counters_t counters;
    bool alive;                    /* its first batch has begun */
    bool noted;                    /* the begin of this batch is in the store's notes */
    const tim3_message_t *message; /* row of the message at hand in the table; NULL: there is none */
    bool taken;                    /* body holds its body already, decoded */
};

/*  ------------------------------------------------------------------------------------------- causes
    Everything that decides what a batch writes (frames, ticks, the time) is noted in the store beside what it wrote, so that
    tim3ctl replay can run it again.  */

static void note_one (tim3_host_t *self, const tim3_cause_t *cause)
{
    uint8_t head[TIM3_CAUSE_HEAD_MAX];
    tim3_store_note (self->store, head, tim3_cause_head (cause, head));
    if (cause->peer_size > 0)
        tim3_store_note (self->store, cause->peer, cause->peer_size);
    if (cause->size > 0)
        tim3_store_note (self->store, cause->data, cause->size);
}

/*  Notes the begin of the batch, before the first note of another kind: in most batches of an idle or held agent nothing happens, and
    nothing is noted.  */
static void note_begin (tim3_host_t *self)
{
    if (!self->noted)
        note_one (self, &(tim3_cause_t){.kind = TIM3_CAUSE_BEGIN, .now_us = self->now_us});
    self->noted = true;
}

static void note (tim3_host_t *self, const tim3_cause_t *cause)
{
    note_begin (self);
    note_one (self, cause);
}

/*  A hash of what the core was told, without the secrets: replay tells by it that settings have changed.  */
static uint64_t settings_digest (const tim3_settings_t *settings)
{
    tim3_settings_t *open = tim3_alloc (sizeof *open);
    memcpy (open, settings, sizeof *open);
    memset (&open->evidence_key, 0, sizeof open->evidence_key);
    memset (&open->vault_key, 0, sizeof open->vault_key);
    for (unsigned i = 0; i < TIM3_ASSETS_MAX; i++) {
        memset (&open->assets[i].evidence_key, 0, sizeof open->assets[i].evidence_key);
        memset (&open->assets[i].vault_key, 0, sizeof open->assets[i].vault_key);
    }
    uint64_t digest = XXH3_64bits (open, sizeof *open);
    free (open);
    return digest;
}

/*  ---------------------------------------------------------------------------------------- the outbox
    The key of a frame is 'A' and an address, or 'P' and a peer's routing id.  */

static tim3_buffer_t *open_frame (tim3_host_t *self, char kind, const void *name, size_t size)
{
    uint8_t key[TIM3_OUTBOX_KEY_MAX];
    key[0] = (uint8_t) kind;
    memcpy (key + 1, name, size);
    return tim3_outbox_open (self->outbox, key, size + 1);
}

static void head (const tim3_env_t *env, tim3_envelope_t *envelope, tim3_type_t type, const char *recipient)
{
    tim3_host_t *self = env->host;
    size_t length = strnlen (recipient, TIM3_ADDRESS_MAX);
    envelope->version = TIM3_PROTOCOL_VERSION;
    envelope->type = type;
    envelope->id = self->next_id++;
    memcpy (envelope->sender, env->unit->name, sizeof envelope->sender);
    memcpy (envelope->recipient, recipient, length);
    envelope->recipient[length] = '\0';
    envelope->time_us = self->now_us;
    envelope->reply_to = 0;
    memset (&envelope->trace, 0, sizeof envelope->trace);
    envelope->account[0] = '\0';
    envelope->via_size = 0;
    envelope->body = NULL;
    envelope->body_size = 0;
    self->counters.messages_out++;
}

/*  What stands in front of each message between cores of this host. If its body is flat (shape.h), the structs of envelope and body follow
    as they are, which saves encoding and decoding. A frame follows if the body is not flat, or if the receiver keeps something in its
    store: then the frame has to be noted as a cause. So there may be either, or first the structs and then the frame.  */
typedef struct {
    uint32_t frame_size;
    uint32_t body_size; /* 0: only a frame follows */
    uint8_t from;
    bool answer;
} local_t;

/*  The peer of such a message is a zero byte and the number of the core that sent it. ZeroMQ's own routing ids have five bytes, but a peer
    may choose its own, even this one: tim3_host_take refuses that.  */
#define LOCAL_PEER_SIZE 2

static bool is_local_peer (const tim3_host_t *self, const uint8_t *peer, size_t size)
{
    return size == LOCAL_PEER_SIZE && peer[0] == 0 && peer[1] < self->unit_count;
}

/*  Whether the message at hand came from another core of this host.  */
static bool is_local (const tim3_host_t *self)
{
    return is_local_peer (self, self->env.origin->peer, self->env.origin->peer_size);
}

/*  The core here that has the address; NULL when it is elsewhere.  */
static unit_t *local_unit (tim3_host_t *self, const char *address)
{
    for (unsigned i = 0; i < self->unit_count && self->unit_count > 1; i++)
        if (strcmp (self->units[i].name, address) == 0)
            return &self->units[i];
    return NULL;
}

static void say_locally (tim3_env_t *env, const unit_t *to, bool answer, const tim3_envelope_t *envelope,
                         const void *body)
{
    tim3_host_t *self = env->host;
    const tim3_shape_t *shape = tim3_message (envelope->type)->shape;
    size_t at = self->local.size;
    local_t item = {0, shape->flat ? shape->size : 0, (uint8_t) (env->unit - self->units), answer};
    tim3_buffer_append (&self->local, &item, sizeof item);
    if (item.body_size > 0) {
        tim3_buffer_append (&self->local, envelope, sizeof *envelope);
        tim3_buffer_append (&self->local, body, item.body_size);
    }
    size_t frame = self->local.size;
    if (item.body_size == 0 || !to->core->keeps_nothing)
        tim3_envelope_write (&self->local, envelope, body);
    item.frame_size = (uint32_t) (self->local.size - frame);
    memcpy (self->local.data + at, &item, sizeof item);
}

void tim3_env_reply_to (tim3_env_t *env, const tim3_return_t *to, tim3_type_t type, const void *body)
{
    tim3_host_t *self = env->host;
    tim3_envelope_t envelope;
    if (to->peer_size == 0)
        return;
    head (env, &envelope, type, to->sender);
    envelope.reply_to = to->id;
    envelope.trace = to->trace;
    envelope.via_size = to->via_size;
    memcpy (envelope.via, to->via, sizeof envelope.via);
    if (is_local_peer (self, to->peer, to->peer_size))
        say_locally (env, &self->units[to->peer[1]], true, &envelope, body);
    else
        tim3_envelope_write (open_frame (self, 'P', to->peer, to->peer_size), &envelope, body);
}

uint64_t tim3_env_send (tim3_env_t *env, const char *address, tim3_type_t type, const void *body)
{
    tim3_host_t *self = env->host;
    tim3_envelope_t envelope;
    const unit_t *here = local_unit (self, address);
    head (env, &envelope, type, address);
    if (env->message)
        envelope.trace = env->message->trace;
    if (here)
        say_locally (env, here, false, &envelope, body);
    else
        tim3_envelope_write (open_frame (self, 'A', address, strlen (address)), &envelope, body);
    return envelope.id;
}

/*  Fills only as much of the arrays as their sizes tell, for this is done for every message.  */
static void fill_return (const tim3_env_t *env, tim3_return_t *to)
{
    const tim3_envelope_t *message = env->message;
    to->peer_size = 0;
    to->via_size = 0;
    if (!message || env->origin->answer)
        return;
    memcpy (to->peer, env->origin->peer, env->origin->peer_size);
    to->peer_size = (uint8_t) env->origin->peer_size;
    memcpy (to->via, message->via, sizeof to->via);
    to->via_size = message->via_size;
    to->type = (uint16_t) message->type;
    to->id = message->id;
    to->trace = message->trace;
    memcpy (to->sender, message->sender, sizeof to->sender);
}

tim3_return_t tim3_env_return (const tim3_env_t *env)
{
    tim3_return_t to = {0};
    fill_return (env, &to);
    return to;
}

void tim3_env_reply (tim3_env_t *env, tim3_type_t type, const void *body)
{
    tim3_return_t to;
    fill_return (env, &to);
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
    return env->unit->store;
}

const tim3_envelope_t *tim3_env_message (const tim3_env_t *env)
{
    return env->message;
}

void tim3_env_emit (tim3_env_t *env, tim3_type_t type, const void *body)
{
    tim3_publisher_emit (&env->unit->publisher, env->unit->store, type, env->host->now_us, body);
    env->host->counters.events_emitted++;
}

uint64_t tim3_env_event_seq (const tim3_env_t *env)
{
    return env->unit->publisher.last;
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

void tim3_report_counter (tim3_report_t *self, const char *name, tim3_amount_t value)
{
    if (self->metric_count == sizeof self->metrics / sizeof self->metrics[0])
        return;
    tim3_metric_t *metric = &self->metrics[self->metric_count++];
    snprintf (metric->name, sizeof metric->name, "%s", name);
    metric->value = value;
}

void tim3_report_metric (tim3_report_t *self, tim3_metric_name_t metric, tim3_amount_t value)
{
    static const char *const names[] = {
#define M(name, who, text) #name,
        TIM3_METRICS (M)
#undef M
    };
    tim3_report_counter (self, names[metric], value);
}

static void clear_report (tim3_report_t *report)
{
    report->reason_count = 0;
    report->metric_count = 0;
}

/*  What every agent looks at, then what its core adds.  */
static void judge (tim3_host_t *self, tim3_report_t *report, tim3_health_reply_t *reply)
{
    uint64_t used;
    uint64_t most;
    const unit_t *unit = self->env.unit;
    uint64_t backlog = unit->publisher.last - unit->publisher.acked;
    unsigned lost = 0;
    clear_report (report);
    tim3_store_usage (self->store, &used, &most);
    if (most > 0 && used / (most / 100 + 1) >= MAP_WARN_PERCENT)
        tim3_report_reason (report, "store_usage", 30, "the store uses %llu of %llu bytes; raise map_size_mb",
                            (unsigned long long) used, (unsigned long long) most);
    if (backlog > BACKLOG_WARN)
        tim3_report_reason (report, "event_backlog", 10, "%llu events wait for the bus",
                            (unsigned long long) backlog);
    if (unit->publisher.lost > 0)
        tim3_report_reason (
            report, "event_log_behind", 100,
            "the event log lacks %llu events that this agent no longer has; was it restored alone?",
            (unsigned long long) unit->publisher.lost);
    if (self->options.endpoint[0] && !unit->registrar.registered)
        tim3_report_reason (report, "not_registered", 10, "%s",
                            unit->registrar.refusal[0] ? unit->registrar.refusal
                                                       : "the registry does not answer");
    if (self->options.process_health)
        self->options.process_health (report);
    if (unit->core->health)
        unit->core->health (unit->state, &self->env, report);
    for (uint32_t i = 0; i < report->reason_count; i++)
        lost += (unsigned) report->reasons[i].weight;
    reply->score = lost > 100 ? 0 : 100 - lost;
    reply->status = reply->score >= 90   ? TIM3_HEALTH_OK
                    : reply->score >= 50 ? TIM3_HEALTH_DEGRADED
                                         : TIM3_HEALTH_FAILING;
    reply->reasons = (tim3_list_t){report->reasons, report->reason_count};
}

static void on_info (tim3_host_t *self)
{
    tim3_info_reply_t reply = {0};
    const unit_t *unit = self->env.unit;
    strcpy (reply.name, unit->name);
    strcpy (reply.role, unit->role);
    strcpy (reply.asset, unit->settings->asset);
    strcpy (reply.version, TIM3_VERSION);
    reply.shard = unit->settings->shard;
    reply.incarnation = self->options.incarnation;
    reply.schema = self->options.meta.schema;
    reply.store = self->options.meta.id;
    reply.uptime_us = self->now_us - self->started_us;
    reply.pid = self->options.pid;
    reply.decimals = unit->settings->decimals;
    reply.shards = unit->settings->shards;
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
    const unit_t *unit = self->env.unit;
    tim3_stats_reply_t reply = {0};
    uint64_t used;
    uint64_t most;

    clear_report (report);
#define C(name, text) tim3_report_counter (report, #name, self->counters.name);
    TIM3_HOST_COUNTERS (C)
#undef C
    tim3_store_usage (self->store, &used, &most);
    tim3_report_metric (report, TIM3_METRIC_store_used_bytes, used);
    tim3_report_metric (report, TIM3_METRIC_store_most_bytes, most);
    tim3_report_metric (report, TIM3_METRIC_events_waiting, unit->publisher.last - unit->publisher.acked);
    if (self->options.process_stats)
        self->options.process_stats (report);
    if (unit->core->stats)
        unit->core->stats (unit->state, &self->env, report);
    reply.metrics = (tim3_list_t){report->metrics, report->metric_count};
    tim3_env_reply (&self->env, TIM3_MSG_STATS_REPLY, &reply);
}

static void on_config_get (tim3_host_t *self)
{
    tim3_config_reply_t reply = {.settings = {self->options.list, self->options.list_count}};
    tim3_env_reply (&self->env, TIM3_MSG_CONFIG_REPLY, &reply);
}

/*  ------------------------------------------------------------------------------------------ one message  */

/*  Answers about the registry and the event log count only when they come from the router.  */
static bool is_from_router (const tim3_host_t *self)
{
    static const char role[] = "router.";
    const tim3_origin_t *origin = self->env.origin;
    return origin->answer && origin->peer_size >= sizeof role - 1 &&
           memcmp (origin->peer, role, sizeof role - 1) == 0;
}

static bool handle_router (tim3_host_t *self, const tim3_envelope_t *envelope)
{
    unit_t *unit = self->env.unit;
    if (envelope->type != TIM3_MSG_PUBLISHED)
        return tim3_registrar_handle (&unit->registrar, &self->env, envelope, self->body);
    tim3_publisher_acked (&unit->publisher, (const tim3_published_t *) self->body, self->now_us);
    self->counters.events_published = unit->publisher.acked;
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
    case TIM3_MSG_HOLD:
        self->held_unit = self->env.unit;
        tim3_hold_on_hold (&self->holder, &self->env, (const tim3_hold_t *) self->body);
        return true;
    case TIM3_MSG_RESUME:
        tim3_hold_on_resume (&self->holder, &self->env, (const tim3_resume_t *) self->body);
        return true;
    default:
        return is_from_router (self) && handle_router (self, envelope);
    }
}

/*  NULL when it is no address. The last one of each role is kept: where two roles take turns, neither pushes the other out.  */
static const tim3_address_t *read_address (known_t all[KNOWN], const char *text)
{
    known_t *known = &all[text[0] ? ((uint8_t) text[0] + (uint8_t) text[1]) % KNOWN : 0];
    if (text[0] && strcmp (known->text, text) == 0)
        return &known->address;
    known->text[0] = '\0';
    if (!tim3_address_parse (text, &known->address))
        return NULL;
    strcpy (known->text, text);
    return &known->address;
}

static tim3_result_t check_request (tim3_host_t *self, const tim3_envelope_t *envelope,
                                    const tim3_message_t *message)
{
    const tim3_address_t *sender = read_address (self->senders, envelope->sender);
    const tim3_address_t *recipient = read_address (self->recipients, envelope->recipient);
    const unit_t *unit = self->env.unit;

    if (!(message->to & 1u << unit->core->role))
        return TIM3_UNKNOWN_MESSAGE;
    if (!sender || !(message->from & 1u << sender->role))
        return TIM3_NOT_ALLOWED;
    if (!recipient || recipient->role != unit->core->role)
        return TIM3_NOT_ALLOWED;
    if (recipient->asset[0] && strcmp (recipient->asset, unit->settings->asset) != 0)
        return TIM3_NOT_ALLOWED;
    if (recipient->shard >= 0 && (unsigned) recipient->shard != unit->settings->shard)
        return TIM3_NOT_ALLOWED;
    return TIM3_OK;
}

/*  Whether the message may come over this connection, from this sender; if not, it has been refused, or dropped and counted.  */
static bool admit (tim3_host_t *self, const tim3_envelope_t *envelope)
{
    const tim3_message_t *message = self->message;
    if (self->env.origin->answer) {
        if (message && message->of_class == TIM3_CLASS_REPLY)
            return true;
        self->counters.stray_answers++;
        return false;
    }
    if (message && message->of_class != TIM3_CLASS_REQUEST) {
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

static bool is_ready (const tim3_host_t *self, const unit_t *unit)
{
    return !self->options.wait_accepted || unit->core->keeps_nothing || unit->registrar.accepted;
}

bool tim3_host_ready (const tim3_host_t *self)
{
    for (unsigned i = 0; i < self->unit_count; i++)
        if (!is_ready (self, &self->units[i]))
            return false;
    return true;
}

/*  A store that was restored alone may be older than what its peers rely on, and only the router can tell.  */
static bool must_wait (tim3_host_t *self, const tim3_envelope_t *envelope)
{
    const unit_t *unit = self->env.unit;
    if (is_ready (self, unit) || self->env.origin->answer)
        return false;
    if (tim3_hold_passes (envelope->type) && envelope->type != TIM3_MSG_HOLD)
        return false;
    self->counters.not_ready++;
    tim3_env_refuse (&self->env, TIM3_NOT_READY, NULL, "%s",
                     unit->registrar.refusal[0] ? unit->registrar.refusal
                                                : "the router has not accepted this agent's store yet");
    return true;
}

/*  Notes what the request at hand is about, so that a coordinator knows which one is refused.  */
static void remember_tx (tim3_host_t *self, const tim3_envelope_t *envelope)
{
    const tim3_field_t *field = self->env.unit->tx_fields[envelope->type];
    if (!field || self->env.origin->answer || is_local (self))
        return;
    asked_t *asked = (asked_t *) (void *) (self->asked.data + self->asked.size - sizeof *asked);
    memcpy (&asked->tx, (const uint8_t *) self->body + field->offset, sizeof asked->tx);
}

/*  0 when the body is good; else it has been counted and answered.  */
static int decode (tim3_host_t *self, const tim3_envelope_t *envelope)
{
    tim3_fault_t fault;
    self->arena.used = 0;
    if (tim3_decode_map (envelope->body, envelope->body_size, self->message->shape, self->body, &self->arena,
                         &fault) == 0)
        return 0;
    self->counters.malformed++;
    if (!self->env.origin->answer)
        tim3_env_refuse (&self->env, fault.code, NULL, "%s: field \"%s\"", tim3_result_text (fault.code),
                         fault.field);
    return -1;
}

static void dispatch (tim3_host_t *self, const tim3_envelope_t *envelope)
{
    if (!admit (self, envelope) || must_wait (self, envelope))
        return;
    if (!self->taken && decode (self, envelope))
        return;
    remember_tx (self, envelope);
    if (tim3_store_error (self->store))
        return; /* the whole batch will be refused */
    if (handle_own (self, envelope))
        return;
    const unit_t *unit = self->env.unit;
    if (unit->handlers[envelope->type])
        unit->handlers[envelope->type](unit->state, &self->env, self->body);
    else if (!self->env.origin->answer)
        tim3_env_refuse (&self->env, TIM3_UNKNOWN_MESSAGE, NULL, NULL);
}

/*  Remembers who asked, in case the batch has to be refused. Only of requests: an answer that came over the wrong connection is never
    answered.  */
static void remember (tim3_host_t *self)
{
    const tim3_message_t *message = self->message;
    if (self->env.origin->answer || (message && message->of_class != TIM3_CLASS_REQUEST))
        return;
    if (is_local (self))
        return; /* forgotten together with who asked */
    asked_t *asked = (asked_t *) (void *) tim3_buffer_room (&self->asked, sizeof *asked);
    fill_return (&self->env, &asked->to);
    memset (&asked->tx, 0, sizeof asked->tx);
    tim3_buffer_filled (&self->asked, (uint8_t *) (asked + 1));
}

/*  The rest of a frame is not looked at: the first envelope that cannot be taken is refused, and stands for all behind it.  */
static void refuse_rest (tim3_host_t *self, tim3_result_t code, const char *what)
{
    self->counters.malformed++;
    if (self->env.message->id != 0)
        tim3_env_refuse (&self->env, code, NULL, "the envelope's %s cannot be taken", what);
}

/*  Whether a frame begins with Resume: of what a held host takes, nothing else can change its state.  */
static bool ends_hold (const uint8_t *data, size_t size)
{
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    const uint8_t *at = data;
    return tim3_envelope_read (&at, data + size, &envelope, &fault) > 0 && envelope.type == TIM3_MSG_RESUME;
}

static void note_frame (tim3_host_t *self, const uint8_t *data, size_t size)
{
    const tim3_origin_t *origin = self->env.origin;
    if (tim3_host_held (self) && !ends_hold (data, size))
        return; /* it writes nothing */
    note (self, &(tim3_cause_t){.kind = TIM3_CAUSE_FRAME,
                                .answer = origin->answer,
                                .peer = origin->peer,
                                .peer_size = origin->peer_size,
                                .data = data,
                                .size = size});
}

/*  The role that a recipient begins with, even if it is no address.  */
static tim3_role_t role_named (tim3_host_t *self, const char *recipient)
{
    const tim3_address_t *address = read_address (self->recipients, recipient);
    char name[TIM3_ADDRESS_MAX + 1];
    if (address)
        return address->role;
    snprintf (name, sizeof name, "%.*s", (int) strcspn (recipient, "."), recipient);
    return tim3_role_parse (name);
}

/*  The core that a message is for, by the recipient's role; the first core, when none has that role: it will refuse.  */
static unit_t *unit_for (tim3_host_t *self, const char *recipient)
{
    tim3_role_t role = self->unit_count > 1 ? role_named (self, recipient) : TIM3_ROLE_NONE;
    for (unsigned i = 1; i < self->unit_count; i++)
        if (self->units[i].core->role == role)
            return &self->units[i];
    return &self->units[0];
}

/*  Reads the next envelope of a frame. If its body is as our own encoder writes it, that is decoded on the way, so that it is walked over
    only once (self->taken). Any other body is skipped here and decoded in dispatch, after the checks that come before.  */
static int read_envelope (tim3_host_t *self, const uint8_t **at, const uint8_t *end,
                          tim3_envelope_t *envelope, tim3_fault_t *fault)
{
    int more = tim3_envelope_begin (*at, end, envelope, fault);
    const uint8_t *next = NULL;
    if (more <= 0)
        return more;
    self->message = tim3_message (envelope->type);
    self->arena.used = 0;
    if (self->message)
        next = tim3_take_map (envelope->body, end, self->message->shape, self->body, &self->arena);
    self->taken = next != NULL;
    if (!next)
        return tim3_envelope_end (at, end, envelope, fault);
    envelope->body_size = (size_t) (next - envelope->body);
    *at = next;
    return 1;
}

/*  Hands an envelope to the core that it is for. With a single core, tim3_host_take has noted the whole frame; with several, each
    envelope is noted by itself, if its core keeps something.  */
static void take_envelope (tim3_host_t *self, const tim3_envelope_t *envelope, const uint8_t *data,
                           size_t size)
{
    self->counters.messages_in++;
    self->env.unit = unit_for (self, envelope->recipient);
    if (self->unit_count > 1 && !self->env.unit->core->keeps_nothing)
        note_frame (self, data, size);
    remember (self);
    dispatch (self, envelope);
}

static int take_envelopes (tim3_host_t *self, const uint8_t **at, const uint8_t *end,
                           tim3_envelope_t *envelope, tim3_fault_t *fault)
{
    int more = 0;
    for (int i = 0; i < TIM3_ENVELOPES_MAX; i++) {
        const uint8_t *begin = *at;
        more = read_envelope (self, at, end, envelope, fault);
        if (more <= 0)
            return more;
        take_envelope (self, envelope, begin, (size_t) (*at - begin));
    }
    return more;
}

/*  A message that lies there as structs; its frame, if there is one, is only noted.  */
static void hand_over_struct (tim3_host_t *self, const local_t *item, const uint8_t *data,
                              tim3_envelope_t *envelope)
{
    memcpy (envelope, data, sizeof *envelope);
    memcpy (self->body, data + sizeof *envelope, item->body_size);
    self->arena.used = 0;
    self->message = tim3_message (envelope->type);
    self->taken = true;
    take_envelope (self, envelope, data + sizeof *envelope + item->body_size, item->frame_size);
}

/*  Returns where the next one begins.  */
static const uint8_t *hand_over (tim3_host_t *self, const uint8_t *at)
{
    local_t item;
    memcpy (&item, at, sizeof item);
    at += sizeof item;
    uint8_t peer[LOCAL_PEER_SIZE] = {0, item.from};
    const char *name = self->units[item.from].name;
    tim3_origin_t origin = {false, peer, sizeof peer};
    tim3_envelope_t envelope;
    tim3_fault_t fault;

    if (item.answer)
        origin = (tim3_origin_t){true, (const uint8_t *) name, strlen (name)};
    self->env.origin = &origin;
    self->env.message = &envelope;
    const uint8_t *end = at + item.frame_size;
    if (item.body_size > 0) {
        end += sizeof envelope + item.body_size;
        hand_over_struct (self, &item, at, &envelope);
    } else
        TIM3_ASSERT (take_envelopes (self, &at, end, &envelope, &fault) == 0);
    self->env.message = NULL;
    self->env.origin = NULL;
    return end;
}

/*  Hands over what the cores have sent to each other, then what they sent on that, until nothing is left. It ends, because each message
    brings some transaction a step further, and no core answers an answer without end; ROUNDS_MOST would show a core that does.
    In a replay nothing is handed over: these messages are among the noted frames.  */
static void deliver (tim3_host_t *self)
{
    for (unsigned round = 0; self->local.size > 0; round++) {
        TIM3_ASSERT (round < ROUNDS_MOST);
        tim3_buffer_t said = self->local;
        self->local = self->delivering;
        self->delivering = said;
        tim3_buffer_clear (&self->local);
        const uint8_t *end = said.data + (self->options.runs_again ? 0 : said.size);
        for (const uint8_t *at = said.data; at < end;)
            at = hand_over (self, at);
    }
}

/*  A peer that calls itself what a core here is called (LOCAL_PEER_SIZE) is not served: the answer would go to that core. In a replay such
    peers are right, for the frames between cores were noted.  */
static bool can_be_answered (const tim3_host_t *self, const tim3_origin_t *origin)
{
    return origin->peer_size <= TIM3_PEER_MAX &&
           (origin->answer || self->options.runs_again || !is_local_peer (self, origin->peer, origin->peer_size));
}

void tim3_host_take (tim3_host_t *self, const tim3_origin_t *origin, const uint8_t *data, size_t size)
{
    const uint8_t *at = data;
    tim3_envelope_t envelope;
    tim3_fault_t fault;

    self->counters.frames_in++;
    if (!can_be_answered (self, origin)) {
        self->counters.malformed++;
        return;
    }
    self->env.origin = origin;
    self->env.message = &envelope;
    self->env.unit = &self->units[0];
    if (self->unit_count == 1)
        note_frame (self, data, size);
    int more = take_envelopes (self, &at, data + size, &envelope, &fault);
    if (more < 0)
        refuse_rest (self, fault.code, fault.field);
    else if (more > 0 && tim3_envelope_read (&at, data + size, &envelope, &fault) != 0)
        refuse_rest (self, TIM3_TOO_LARGE, "place in so long a frame");
    self->env.message = NULL;
    self->env.origin = NULL;
    deliver (self);
}

/*  ------------------------------------------------------------------------------------------- batches  */

static void make_core (unit_t *unit)
{
    if (unit->state)
        unit->core->destroy (&unit->state);
    unit->state = unit->core->new (unit->settings);
    tim3_publisher_load (&unit->publisher, unit->store);
}

static void make_cores (tim3_host_t *self)
{
    for (unsigned i = 0; i < self->unit_count; i++)
        make_core (&self->units[i]);
}

uint64_t tim3_host_digest (const tim3_host_t *self)
{
    uint64_t digest = 0;
    for (unsigned i = 0; i < self->unit_count; i++)
        if (!self->units[i].core->keeps_nothing)
            digest = XXH3_64bits_withSeed (&self->units[i].digest, sizeof digest, digest);
    return digest;
}

static uint64_t accepted_roles (const tim3_host_t *self)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < self->unit_count; i++)
        if (self->units[i].registrar.accepted)
            mask |= (uint64_t) 1 << self->units[i].core->role;
    return mask;
}

static void note_renewal (tim3_host_t *self)
{
    note_one (self, &(tim3_cause_t){.kind = TIM3_CAUSE_RENEW,
                                    .now_us = self->now_us,
                                    .number = self->next_id,
                                    .digest = tim3_host_digest (self),
                                    .accepted = accepted_roles (self)});
}

/*  A stretch of the journal begins, which replay may run by itself. So what is written from here on must follow from the store and the notes
    alone: cores that remember more are made anew.  */
static void begin_stretch (tim3_host_t *self)
{
    for (unsigned i = 0; i < self->unit_count; i++) {
        unit_t *unit = &self->units[i];
        if (unit->core->writes_from_store_alone || unit->core->keeps_nothing)
            tim3_publisher_load (&unit->publisher, unit->store);
        else
            make_core (unit);
    }
    note_renewal (self);
}

void tim3_host_renew (tim3_host_t *self, uint64_t now_us, uint64_t next_id, uint64_t accepted)
{
    self->now_us = now_us;
    self->next_id = next_id;
    for (unsigned i = 0; i < self->unit_count; i++)
        self->units[i].registrar.accepted = accepted >> self->units[i].core->role & 1;
    make_cores (self);
}

static void note_life (tim3_host_t *self)
{
    note_one (self, &(tim3_cause_t){.kind = TIM3_CAUSE_LIFE,
                                    .now_us = self->options.started_us,
                                    .number = self->options.incarnation,
                                    .digest = tim3_host_digest (self)});
    self->alive = true;
}

void tim3_host_begin (tim3_host_t *self, uint64_t now_us)
{
    self->now_us = now_us;
    self->rows = ROWS_PER_BATCH;
    self->handed_out = 0;
    tim3_outbox_clear (self->outbox);
    tim3_buffer_clear (&self->local);
    tim3_buffer_clear (&self->asked);
    self->counters.batches++;
    tim3_hold_begin (&self->holder, now_us);
    self->noted = false;
    if (!self->alive)
        note_life (self);
    if (tim3_store_fresh (self->store))
        begin_stretch (self);
}

/*  How far the store has come, for the router. Until the router has accepted it, that is how far it was when it was opened: what the agent
    writes by itself since then would make an old store look newer.  */
static tim3_standing_t standing (const tim3_host_t *self, const unit_t *unit)
{
    return (tim3_standing_t){.store = self->options.meta.id,
                             .lineage = self->options.meta.lineage,
                             .commits = unit->registrar.accepted ? tim3_store_commits (self->store)
                                                                 : self->options.commits,
                             .event_seq = unit->publisher.last,
                             .acked = unit->publisher.acked};
}

static void tick (tim3_host_t *self, unit_t *unit)
{
    tim3_health_reply_t health = {0};
    tim3_standing_t now = standing (self, unit);
    self->env.unit = unit;
    if (unit->core->tick && is_ready (self, unit))
        unit->core->tick (unit->state, &self->env);
    if (tim3_registrar_due (&unit->registrar, self->now_us, &now))
        judge (self, self->report, &health);
    tim3_registrar_tick (&unit->registrar, &self->env, health.status, &now);
    tim3_publisher_tick (&unit->publisher, self->now_us, &self->counters.events_resent);
}

void tim3_host_tick (tim3_host_t *self)
{
    if (tim3_store_error (self->store) || tim3_host_held (self))
        return;
    note (self, &(tim3_cause_t){.kind = TIM3_CAUSE_TICK});
    for (unsigned i = 0; i < self->unit_count; i++)
        tick (self, &self->units[i]);
}

void tim3_host_leave (tim3_host_t *self)
{
    note (self, &(tim3_cause_t){.kind = TIM3_CAUSE_LEAVE});
    for (unsigned i = 0; i < self->unit_count; i++) {
        tim3_standing_t now = standing (self, &self->units[i]);
        self->env.unit = &self->units[i];
        tim3_registrar_leave (&self->units[i].registrar, &self->env, &now);
    }
}

/*  The store could not take the batch: forget it and say so to everyone who asked.  */
static void refuse_batch (tim3_host_t *self)
{
    tim3_error_t error;
    tim3_store_abort (self->store);
    if (!TIM3_CANARY_IS (2))
        tim3_outbox_clear (self->outbox);
    tim3_buffer_clear (&self->local);
    make_cores (self);
    tim3_hold_aborted (&self->holder);
    self->counters.storage_full++;
    tim3_error_fill (&error, TIM3_STORAGE_FULL, NULL);
    self->env.unit = &self->units[0];
    for (size_t at = 0; at < self->asked.size; at += sizeof (asked_t)) {
        asked_t asked;
        memcpy (&asked, self->asked.data + at, sizeof asked);
        error.request = asked.to.type;
        error.tx = asked.tx;
        tim3_env_refuse_to (&self->env, &asked.to, &error);
    }
    note_renewal (self);
}

/*  Lets each core write and send what it gathered over the batch. What it sends to another core here is delivered at once, before that
    one's end_batch: a coordinator is the first unit of its host.  */
static void end_batch (tim3_host_t *self)
{
    for (unsigned i = 0; i < self->unit_count; i++) {
        unit_t *unit = &self->units[i];
        self->env.unit = unit;
        if (unit->core->end_batch)
            unit->core->end_batch (unit->state, &self->env);
        deliver (self);
        tim3_publisher_end_batch (&unit->publisher, unit->store);
    }
}

static void publish (tim3_host_t *self, unit_t *unit)
{
    self->env.unit = unit;
    if (self->options.endpoint[0] && is_ready (self, unit))
        tim3_publisher_send (&unit->publisher, &self->env, unit->name, self->options.meta.id);
    tim3_publisher_trim (&unit->publisher, unit->store, self->now_us);
}

/*  The batch is durable: begins the copy for a backup, if there is to be one.  */
static void hold_if_asked (tim3_host_t *self)
{
    if (!self->held_unit)
        return;
    tim3_standing_t now = standing (self, self->held_unit);
    now.commits = tim3_store_commits (self->store);
    self->env.unit = self->held_unit;
    tim3_hold_committed (&self->holder, &self->env, self->options.backup, self->held_unit->name,
                         self->options.incarnation, &now);
}

int tim3_host_commit (tim3_host_t *self)
{
    bool moving = !tim3_host_held (self);
    deliver (self);
    end_batch (self);
    if (moving)
        note_begin (self);
    for (unsigned i = 0; i < self->unit_count && moving; i++)
        publish (self, &self->units[i]);
    if (tim3_store_dirty (self->store))
        self->counters.commits++;
    if (TIM3_CANARY_IS (1) && self->counters.batches % 4 != 0)
        return 0;
    if (tim3_store_commit (self->store) == 0) {
        hold_if_asked (self);
        return 0;
    }
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

static void add_unit (tim3_host_t *self, const tim3_core_t *core, const tim3_settings_t *settings,
                      const char *name)
{
    TIM3_ASSERT (self->unit_count < TIM3_HOST_CORES_MAX && !self->alive);
    unit_t *unit = &self->units[self->unit_count++];
    unit->core = core;
    unit->settings = settings;
    unit->role = tim3_role_name (core->role);
    unit->digest = settings_digest (settings);
    snprintf (unit->name, sizeof unit->name, "%s", name);
    unit->has_view = self->options.shared;
    unit->store = unit->has_view ? tim3_store_view (self->store, core->role) : self->store;
    for (const tim3_handler_t *handler = core->handlers; handler->handle; handler++) {
        unit->handlers[handler->type] = handler->handle;
        unit->tx_fields[handler->type] = tx_field (tim3_message (handler->type)->shape);
    }
    unit->publisher.run_most = self->options.run_most;
    tim3_registrar_init (&unit->registrar, core, settings, name, &self->options);
    make_core (unit);
}

uint64_t tim3_host_next_life (tim3_store_t *store, uint64_t now_us, uint32_t chance)
{
    tim3_key_t key = tim3_key_text ("incarnation");
    tim3_counter_t last;
    tim3_store_read (store, TIM3_TABLE_COUNTER, &key, &last);
    tim3_counter_t next = {now_us > last.value + 1 ? now_us : last.value + 2 + chance % LIFE_CHANCE};
    tim3_store_write (store, TIM3_TABLE_COUNTER, &key, &next);
    if (tim3_store_commit (store) == 0)
        return next.value;
    if (tim3_store_error (store) != TIM3_STORE_FULL)
        return 0;
    tim3_store_abort (
        store); /* a full store can still be read from; the life after this one will not know of it */
    return last.value + 1;
}

tim3_host_t *tim3_host_new (const tim3_core_t *core, const tim3_settings_t *settings, tim3_store_t *store,
                            const tim3_host_options_t *options)
{
    tim3_host_t *self = tim3_alloc (sizeof *self);
    self->store = store;
    self->options = *options;
    self->env.host = self;
    self->next_id = 1;
    self->started_us = options->started_us;
    self->outbox = tim3_outbox_new ();
    self->arena = (tim3_arena_t){tim3_alloc (ARENA_SIZE), ARENA_SIZE, 0};
    self->body = tim3_alloc (tim3_body_size_max ());
    self->report = tim3_alloc (sizeof *self->report);
    add_unit (self, core, settings, options->name);
    self->env.unit = &self->units[0];
    return self;
}

void tim3_host_add (tim3_host_t *self, const tim3_core_t *core, const tim3_settings_t *settings)
{
    TIM3_ASSERT (self->options.shared);
    add_unit (self, core, settings, settings->name);
}

static void free_unit (unit_t *unit)
{
    unit->core->destroy (&unit->state);
    tim3_registrar_free (&unit->registrar);
    tim3_publisher_free (&unit->publisher);
    if (unit->has_view)
        tim3_store_close (&unit->store);
}

void tim3_host_destroy (tim3_host_t **self)
{
    if (!*self)
        return;
    for (unsigned i = 0; i < (*self)->unit_count; i++)
        free_unit (&(*self)->units[i]);
    tim3_outbox_destroy (&(*self)->outbox);
    tim3_buffer_free (&(*self)->asked);
    tim3_buffer_free (&(*self)->local);
    tim3_buffer_free (&(*self)->delivering);
    free ((*self)->arena.data);
    free ((*self)->body);
    free ((*self)->report);
    free (*self);
    *self = NULL;
}

const tim3_agents_t *tim3_host_directory (const tim3_host_t *self, uint64_t *version)
{
    *version = self->units[0].registrar.version;
    return &self->units[0].registrar.directory;
}

bool tim3_host_superseded (const tim3_host_t *self)
{
    bool superseded = false;
    for (unsigned i = 0; i < self->unit_count; i++)
        superseded |= self->units[i].registrar.superseded;
    return superseded;
}

bool tim3_host_registered (const tim3_host_t *self)
{
    bool registered = true;
    for (unsigned i = 0; i < self->unit_count; i++)
        registered &= self->units[i].registrar.registered;
    return registered;
}

const char *tim3_host_rolled_back (const tim3_host_t *self)
{
    for (unsigned i = 0; i < self->unit_count; i++)
        if (self->units[i].registrar.rolled_back)
            return self->units[i].registrar.refusal;
    return NULL;
}

bool tim3_host_held (const tim3_host_t *self)
{
    return tim3_hold_held (&self->holder);
}

const tim3_host_counters_t *tim3_host_counters (const tim3_host_t *self)
{
    return &self->counters;
}
