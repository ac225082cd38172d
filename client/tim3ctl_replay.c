/*  tim3ctl_replay.c - replay DATA ADDRESS: runs what a stopped agent was handed through the core of this build, and
    compares what it writes with what was written then, and that with what the store holds.

    The journal has the causes of each commit (frames, ticks, the clock) and its effects. From the oldest state that can
    be had, record by record: hand the causes to a host, and let it commit; the changes must be those of the record, key
    by key and byte by byte. The first record for which they are not ends the replay, and both sides are printed. What all records up to the
    newest checkpoint have written last under each key must be what the environment has there, or, in the middle of one, what
    they had before it.

    Exit codes: 0 all the same; 1 a difference; 2 wrong usage; 3 could not be done.
*/
#include "../lock_manager/core.h"
#include "../mock_usda/core.h"
#include "../router/core.h"
#include "../state_manager/core.h"
#include "../token_manager/core.h"
#include "agent/cause.h"
#include "agent/host.h"
#include "agent/settings.h"
#include "store/past.h"
#include "tim3ctl_commands.h"
#include "tim3ctl_fsck.h"
#include "tim3ctl_print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DIFFERS 1
#define NOT_DONE 3
#define SHOWN_MOST 20
#define PROGRESS_US 2000000
#define LEDGERS 2

typedef struct {
    const char *data;
    const char *name;
    bool json;
    /* one ledger, or those of a merged critical path */
    struct {
        const tim3_core_t *core;
        tim3_settings_t settings;
    } ledgers[LEDGERS];
    unsigned ledger_count;
    tim3_past_t *past;
    tim3_store_meta_t meta;
    tim3_host_t *host;
    bool in_batch;
    /* the record at hand */
    uint64_t number;
    const tim3_record_t *record;
    uint64_t now_us; /* of the batch at hand */
    bool last;       /* the batch is the one whose changes the record has */
    bool judged;
    /* found */
    json_t *differences;
    uint64_t difference_count;
    uint64_t records;
    uint64_t run;
    uint64_t frames;
    bool other_settings;
    tim3_fsck_map_t *written; /* by table and key: written_t */
    uint64_t rows;            /* of them compared with the store's */
    json_t *altered;          /* those that are others there */
    uint64_t altered_count;
    bool interrupted;
    uint64_t begun_us;
    uint64_t told_us;
} replay_t;

static const tim3_core_t *core_of (tim3_role_t role)
{
    static const tim3_core_t *const cores[] = {&tim3_router_core, &tim3_lock_manager_core,
                                               &tim3_token_manager_core, &tim3_state_manager_core,
                                               &tim3_mock_usda_core};
    for (unsigned i = 0; i < sizeof cores / sizeof cores[0]; i++)
        if (cores[i]->role == role)
            return cores[i];
    return NULL;
}

/*  ----------------------------------------------------------------------------------------- differences  */

/*  The record of a row as people read it; its bytes when it cannot be decoded.  */
static json_t *value_json (const tim3_memrow_t *row)
{
    const tim3_shape_t *shape = tim3_table (row->key[0])->shape;
    tim3_arena_t none = {0};
    tim3_fault_t fault;
    if (row->deleted)
        return json_null ();
    void *object = tim3_alloc (shape->size);
    bool good = tim3_decode_array (row->value, row->value_size, shape, object, &none, &fault) == 0;
    json_t *value = good ? tim3ctl_json (shape, object) : json_string ("a record that cannot be read");
    free (object);
    return value;
}

static void key_of (const tim3_memrow_t *row, char text[TIM3_FSCK_KEY_TEXT_MAX])
{
    char hex[2 * TIM3_KEY_MAX + 1];
    tim3_key_t key = {.size = (uint16_t) (row->key_size - 1)};
    memcpy (key.data, row->key + 1, key.size);
    if (!tim3_fsck_key_text (row->key[0], &key, text))
        snprintf (text, TIM3_FSCK_KEY_TEXT_MAX, "key %s", tim3_hex_format (key.data, key.size, hex));
}

/*  then or now NULL: that side left the key alone.  */
static void differ (replay_t *self, const tim3_memrow_t *then, const tim3_memrow_t *now)
{
    char key[TIM3_FSCK_KEY_TEXT_MAX];
    const tim3_memrow_t *row = then ? then : now;
    if (self->difference_count++ >= SHOWN_MOST)
        return;
    key_of (row, key);
    json_t *entry = json_pack ("{s:s, s:s}", "table", tim3_table (row->key[0])->name, "key", key);
    json_object_set_new (entry, "then", then ? value_json (then) : json_string ("unchanged"));
    json_object_set_new (entry, "now", now ? value_json (now) : json_string ("unchanged"));
    json_array_append_new (self->differences, entry);
}

static bool same_value (const tim3_memrow_t *a, const tim3_memrow_t *b)
{
    return a->deleted == b->deleted && a->value_size == b->value_size &&
           (a->value_size == 0 || memcmp (a->value, b->value, a->value_size) == 0);
}

static bool same_key (const tim3_memrow_t *a, const tim3_memrow_t *b)
{
    return a->key_size == b->key_size && memcmp (a->key, b->key, a->key_size) == 0;
}

/*  The change of a key in the batch. Mostly the two sides have the same order.  */
static bool find_change (const tim3_memtable_t *batch, size_t guess, const tim3_memrow_t *wanted,
                         tim3_memrow_t *row)
{
    size_t count = tim3_memtable_changes (batch);
    for (size_t i = 0; i < count; i++) {
        *row = tim3_memtable_change (batch, (guess + i) % count);
        if (same_key (row, wanted))
            return true;
    }
    return false;
}

static bool in_record (const tim3_record_t *record, const tim3_memrow_t *wanted)
{
    tim3_memrow_t row;
    size_t position = 0;
    while (tim3_record_effect (record, &position, &row))
        if (same_key (&row, wanted))
            return true;
    return false;
}

static void compare (replay_t *self, const tim3_record_t *record, const tim3_memtable_t *batch)
{
    tim3_memrow_t then;
    tim3_memrow_t now;
    size_t position = 0;
    size_t found = 0;
    for (size_t i = 0; tim3_record_effect (record, &position, &then); i++) {
        bool there = batch && find_change (batch, i, &then, &now);
        found += there;
        if (!there || !same_value (&then, &now))
            differ (self, &then, there ? &now : NULL);
    }
    for (size_t i = 0; batch && found < tim3_memtable_changes (batch) && i < tim3_memtable_changes (batch);
         i++) {
        now = tim3_memtable_change (batch, i);
        if (!in_record (record, &now))
            differ (self, NULL, &now);
    }
}

/*  Is shown what a batch changes.  */
static int judge (void *context, const tim3_memtable_t *batch)
{
    static const tim3_record_t nothing = {0};
    replay_t *self = context;
    compare (self, self->last ? self->record : &nothing, batch);
    self->judged = self->last;
    return self->difference_count > 0;
}

/*  -------------------------------------------------------------------------------- what the store holds  */

typedef struct {
    uint64_t digest;
    bool deleted;
} value_t;

/*  The last that records have under a key, and what they had before the checkpoint that an agent has stopped in.  */
typedef struct {
    value_t last;
    value_t before;
    bool is_known;   /* there is a last one */
    bool was_known;  /* and one before */
    bool is_between; /* the environment may have either */
} written_t;

static value_t value_of (const tim3_memrow_t *row)
{
    return (value_t){row->deleted ? 0 : tim3_hash64 (row->value, row->value_size, 0), row->deleted};
}

static bool equal (value_t a, value_t b)
{
    return a.deleted == b.deleted && a.digest == b.digest;
}

/*  Not of what the store itself keeps outside of the journal.  */
static void note_written (replay_t *self, const tim3_record_t *record)
{
    bool between = self->number > tim3_past_newest (self->past);
    tim3_memrow_t row;
    size_t position = 0;
    while (tim3_record_effect (record, &position, &row)) {
        if (row.key[0] == TIM3_TABLE_META || row.key[0] == TIM3_TABLE_CHECKPOINT)
            continue;
        written_t *written = tim3_fsck_map_take (self->written, row.key, row.key_size);
        if (between && !written->is_between) {
            written->before = written->last;
            written->was_known = written->is_known;
            written->is_between = true;
        }
        written->last = value_of (&row);
        written->is_known = true;
    }
}

static void check_held (void *arg, const void *key, size_t key_size, void *value)
{
    replay_t *self = arg;
    const written_t *written = value;
    tim3_memrow_t row = {.key = key, .key_size = key_size};
    char text[TIM3_FSCK_KEY_TEXT_MAX];
    if (written->is_between && !written->was_known)
        return; /* what was there before is told by no record */
    tim3_past_now (self->past, &row);
    self->rows++;
    if (equal (value_of (&row), written->last) ||
        (written->is_between && equal (value_of (&row), written->before)) ||
        self->altered_count++ >= SHOWN_MOST)
        return;
    key_of (&row, text);
    json_array_append_new (self->altered,
                           json_pack ("{s:s, s:s, s:o}", "table", tim3_table (row.key[0])->name, "key", text,
                                      "held", value_json (&row)));
}

static void compare_with_store (replay_t *self, const tim3_record_t *record)
{
    if (self->number <= tim3_past_towards (self->past))
        note_written (self, record);
    if (self->number == tim3_past_towards (self->past))
        tim3_fsck_map_each (self->written, check_held, self);
}

/*  --------------------------------------------------------------------------------------------- running  */

static void make_host (replay_t *self, uint64_t started_us, uint64_t incarnation)
{
    tim3_host_options_t options = {.endpoint = "replay",
                                   .incarnation = incarnation,
                                   .started_us = started_us,
                                   .meta = self->meta,
                                   .backup = "replay",
                                   .wait_accepted = tim3_role_is_ledger (self->ledgers[0].core->role),
                                   .shared = self->ledger_count > 1,
                                   .runs_again = true};
    strcpy (options.name, self->ledgers[0].settings.name);
    tim3_host_destroy (&self->host);
    self->host = tim3_host_new (self->ledgers[0].core, &self->ledgers[0].settings,
                                tim3_past_store (self->past), &options);
    for (unsigned i = 1; i < self->ledger_count; i++)
        tim3_host_add (self->host, self->ledgers[i].core, &self->ledgers[i].settings);
    self->in_batch = false;
}

static void finish_batch (replay_t *self)
{
    if (self->in_batch)
        tim3_host_commit (self->host);
    self->in_batch = false;
}

static void begin_batch (replay_t *self, const tim3_cause_t *cause)
{
    finish_batch (self);
    self->now_us = cause->now_us;
    self->in_batch = true;
    tim3_host_begin (self->host, cause->now_us);
}

static void take_frame (replay_t *self, const tim3_cause_t *cause)
{
    tim3_origin_t origin = {cause->answer, cause->peer, cause->peer_size};
    self->frames++;
    tim3_host_take (self->host, &origin, cause->data, cause->size);
}

/*  A core was made anew: in a new process, or in the one that was.  */
static void renew (replay_t *self, const tim3_cause_t *cause)
{
    finish_batch (self);
    if (cause->kind == TIM3_CAUSE_LIFE)
        make_host (self, cause->now_us, cause->number);
    else if (!self->host)
        make_host (self, cause->now_us, 0);
    if (cause->kind == TIM3_CAUSE_RENEW)
        tim3_host_renew (self->host, cause->now_us, cause->number, cause->accepted);
    self->other_settings |= cause->digest != tim3_host_digest (self->host);
}

/*  False when there is no host yet to hand it to.  */
static bool hand_over (replay_t *self, const tim3_cause_t *cause)
{
    if (cause->kind == TIM3_CAUSE_LIFE || cause->kind == TIM3_CAUSE_RENEW) {
        renew (self, cause);
        return true;
    }
    if (!self->host || (!self->in_batch && cause->kind != TIM3_CAUSE_BEGIN))
        return false;
    if (cause->kind == TIM3_CAUSE_BEGIN)
        begin_batch (self, cause);
    else if (cause->kind == TIM3_CAUSE_FRAME)
        take_frame (self, cause);
    else if (cause->kind == TIM3_CAUSE_TICK)
        tim3_host_tick (self->host);
    else
        tim3_host_leave (self->host);
    return true;
}

/*  Where the last batch of the record begins in its causes.  */
static size_t last_begin (const tim3_record_t *record)
{
    size_t at = 0;
    size_t last = 0;
    tim3_cause_t cause;
    ssize_t size;
    while ((size = tim3_cause_read (record->causes + at, record->causes_size - at, &cause)) > 0) {
        if (cause.kind == TIM3_CAUSE_BEGIN)
            last = at;
        at += (size_t) size;
    }
    return last;
}

static bool run_causes (replay_t *self, char *why, size_t why_size)
{
    const tim3_record_t *record = self->record;
    size_t last = last_begin (record);
    size_t at = 0;
    tim3_cause_t cause;
    ssize_t size;
    while ((size = tim3_cause_read (record->causes + at, record->causes_size - at, &cause)) > 0) {
        if (at == last)
            finish_batch (self);
        self->last = at >= last;
        if (self->difference_count > 0)
            return true;
        if (!hand_over (self, &cause)) {
            snprintf (why, why_size,
                      "the causes of record %" PRIu64 " begin in the middle: its agent wrote none before",
                      self->number);
            return false;
        }
        at += (size_t) size;
    }
    if (size < 0) {
        snprintf (why, why_size, "the causes of record %" PRIu64 " cannot be read by this build",
                  self->number);
        return false;
    }
    finish_batch (self);
    return true;
}

static void tell_progress (replay_t *self)
{
    uint64_t now = tim3ctl_now_us ();
    if (now - self->told_us < PROGRESS_US)
        return;
    self->told_us = now;
    fprintf (stderr, "replay: %" PRIu64 " records, %" PRIu64 " messages, now at record %" PRIu64 "\n",
             self->records, self->frames, self->number);
}

static bool take_record (void *context, uint64_t number, const tim3_record_t *record, char *why,
                         size_t why_size)
{
    replay_t *self = context;
    self->number = number;
    self->record = record;
    self->judged = false;
    self->records++;
    tell_progress (self);
    self->interrupted = tim3ctl_interrupted ();
    if (self->interrupted)
        return false;
    compare_with_store (self, record);
    if (record->causes_size == 0) {
        tim3_past_apply (self->past, record); /* made by the shell at start, or with replay switched off */
        return true;
    }
    self->run++;
    if (!run_causes (self, why, why_size))
        return false;
    if (!self->judged && self->difference_count == 0)
        compare (self, record, NULL);
    return self->difference_count == 0;
}

/*  ---------------------------------------------------------------------------------------------- report  */

static void print_time (const char *label, uint64_t time_us)
{
    char text[TIM3CTL_CELL_MAX];
    printf ("%-10s %s\n", label, tim3ctl_time_text (time_us, text));
}

static void print_side (const char *name, const json_t *value)
{
    char *text = json_dumps (value, JSON_COMPACT | JSON_ENCODE_ANY);
    printf ("    %s  %s\n", name, json_is_null (value) ? "deleted" : text);
    free (text);
}

static void print_differences (const replay_t *self)
{
    size_t i;
    json_t *entry;
    printf ("record %" PRIu64 " differs in %" PRIu64 " row%s:\n", self->number, self->difference_count,
            self->difference_count == 1 ? "" : "s");
    json_array_foreach (self->differences, i, entry)
    {
        printf ("  %s, %s\n", json_string_value (json_object_get (entry, "table")),
                json_string_value (json_object_get (entry, "key")));
        print_side ("then", json_object_get (entry, "then"));
        print_side ("now ", json_object_get (entry, "now"));
    }
}

static void print_altered (const replay_t *self)
{
    size_t i;
    json_t *entry;
    printf ("In %" PRIu64 " of %" PRIu64 " rows the store does not hold what was written:\n",
            self->altered_count, self->rows);
    json_array_foreach (self->altered, i, entry)
    {
        printf ("  %s, %s\n", json_string_value (json_object_get (entry, "table")),
                json_string_value (json_object_get (entry, "key")));
        print_side ("held", json_object_get (entry, "held"));
    }
}

static void report (replay_t *self)
{
    bool same = self->difference_count == 0;
    if (self->json) {
        tim3ctl_json_print (json_pack (
            "{s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:I, s:O, s:I, s:O}", "agent", self->name, "from_record",
            (json_int_t) (tim3_past_number (self->past) + 1), "records", (json_int_t) self->records, "run",
            (json_int_t) self->run, "messages", (json_int_t) self->frames, "same", (int) same,
            "other_settings", (int) self->other_settings, "differs_at",
            (json_int_t) (same ? 0 : self->number), "differences", self->differences, "rows",
            (json_int_t) self->rows, "altered", self->altered));
        return;
    }
    if (tim3_past_begins_us (self->past))
        print_time ("from", tim3_past_begins_us (self->past));
    printf ("%-10s %" PRIu64 " from number %" PRIu64 " on, %" PRIu64 " of them run again\n", "records",
            self->records, tim3_past_number (self->past) + 1, self->run);
    printf ("%-10s %" PRIu64 "\n", "messages", self->frames);
    printf ("%-10s %" PRIu64 " of the store compared with what was written\n", "rows", self->rows);
    if (!same)
        print_differences (self);
    if (self->altered_count > 0)
        print_altered (self);
    if (self->other_settings)
        puts ("The configuration is not the one of then.");
    puts (same ? "This build decides all of it in the same way." : "This build decides it in another way.");
}

/*  ------------------------------------------------------------------------------------------------ start  */

static int give_up (const char *why)
{
    return tim3ctl_failed (NOT_DONE, "not_replayed", "%s", why);
}

static bool add_ledger (replay_t *self, const tim3_config_t *config, tim3_role_t role,
                        const tim3_address_t *address, char *why, size_t why_size)
{
    const char *asset = address->asset[0] ? address->asset : "-";
    self->ledgers[self->ledger_count].core = core_of (role);
    return tim3_settings_fill (&self->ledgers[self->ledger_count++].settings, config, self->data, role, asset,
                               (unsigned) address->shard, why, why_size);
}

/*  The ledgers of a merged critical path share a store, and are run together.  */
static int fill_settings (replay_t *self, const char *path, const tim3_address_t *address)
{
    char why[512];
    tim3_config_t *config = tim3_config_load (path, why, sizeof why);
    if (!config)
        return give_up (why);
    bool merged = tim3_role_is_asset_ledger (address->role) && tim3_settings_merged (config, address->asset);
    bool good = merged ? add_ledger (self, config, TIM3_ROLE_LOCK_MANAGER, address, why, sizeof why) &&
                             add_ledger (self, config, TIM3_ROLE_TOKEN_MANAGER, address, why, sizeof why)
                       : add_ledger (self, config, address->role, address, why, sizeof why);
    tim3_config_destroy (&config);
    return good ? 0 : give_up (why);
}

static int run (replay_t *self, uint64_t since_us)
{
    char path[4096];
    char why[1024] = "";
    bool in_use;
    snprintf (path, sizeof path, "%s/store/%s", self->data, self->ledgers[0].settings.name);
    self->past = tim3_past_open (path, since_us, judge, self, &self->meta, &in_use, why, sizeof why);
    if (!self->past)
        return tim3ctl_failed (NOT_DONE, "not_replayed", "%s%s", in_use ? "stop the agent first: " : "", why);
    bool whole = tim3_past_play (self->past, take_record, self, why, sizeof why);
    if (self->interrupted)
        return tim3ctl_failed (NOT_DONE, "interrupted", "interrupted at record %" PRIu64, self->number);
    if (!whole && self->difference_count == 0)
        return tim3ctl_failed (NOT_DONE, "not_replayed", "%s: %s", path, why[0] ? why : "cannot be read");
    if (self->run == 0)
        return tim3ctl_failed (NOT_DONE, "not_replayed",
                               "%s: nothing was run again: of %" PRIu64
                               " records none has what led to it; see agents/replay_hours, and --hours",
                               path, self->records);
    report (self);
    return self->difference_count > 0 || self->altered_count > 0 ? DIFFERS : 0;
}

static const char *find_config (tim3ctl_t *ctl)
{
    return tim3ctl_text (ctl, TIM3CTL_OPTION_CONFIG, getenv ("TIM3_CONFIG"));
}

int tim3ctl_replay (tim3ctl_t *ctl)
{
    tim3_address_t address;
    replay_t self = {.data = ctl->arguments[0], .name = ctl->arguments[1], .json = ctl->json};
    uint64_t hours = tim3ctl_number (ctl, TIM3CTL_OPTION_HOURS, 0);
    const char *config = find_config (ctl);

    if (!tim3_address_parse (self.name, &address) || address.shard < 0)
        return tim3ctl_misused ("\"%s\" is no agent's address, such as lock_manager.TIM3.0", self.name);
    if (!core_of (address.role))
        return tim3ctl_misused ("a %s keeps no ledger, so there is nothing to replay",
                                tim3_role_name (address.role));
    if (!config)
        return tim3ctl_misused (
            "say with --config FILE (or TIM3_CONFIG) which configuration the agent ran with");
    self.differences = json_array ();
    self.altered = json_array ();
    self.written = tim3_fsck_map_new (sizeof (written_t));
    self.begun_us = self.told_us = tim3ctl_now_us ();
    uint64_t wall_us = (uint64_t) time (NULL) * 1000000;
    uint64_t since = hours > 0 && hours < wall_us / 3600000000 ? wall_us - hours * 3600000000 : 0;
    int code = fill_settings (&self, config, &address);
    if (code == 0)
        code = run (&self, since);
    tim3_host_destroy (&self.host);
    tim3_past_close (&self.past);
    json_decref (self.differences);
    json_decref (self.altered);
    tim3_fsck_map_destroy (&self.written);
    return code;
}
