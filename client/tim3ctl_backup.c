/*  tim3ctl_backup.c - backup [NAME]: copies the stores of all agents while they run, as of one moment; and backup list.

    All agents that keep something are told to hold: each begins a copy of what it has committed, and then takes and
    sends nothing. When every copy has begun, all are told to resume. What any of them sends from then on no copy has
    seen, so the copies fit each other. That takes milliseconds; the copying goes on behind it. If one of them did
    not stand still to the end, nothing of it is worth anything: it is deleted, and tried again.

    Exit codes: 0 done; 1 there is no backup, the reason is on stderr; 2 wrong usage; 3 the agents do not answer.
*/
#include "tim3ctl_commands.h"
#include "tim3ctl_manifest.h"
#include "tim3ctl_print.h"
#include "base/log.h"
#include "store/files.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRIES 3
#define PAUSE_BETWEEN_MS 500
#define HOLD_US 2000000u
#define HOLD_ANSWER_MS 1500
#define STATUS_ANSWER_MS 5000
#define POLL_MS 100
#define TELL_US 1000000u

/*  One agent's part.  */
typedef struct {
    char name[TIM3_ADDRESS_MAX + 1];
    tim3_held_t held;
    tim3_copying_t copying;
    bool answered; /* the question at hand */
    bool resumed;
    char digest[TIM3CTL_DIGEST_TEXT];
    uint64_t bytes;
} part_t;

typedef struct {
    tim3ctl_t *ctl;
    tim3_client_t *client;
    const char *data;
    char name[65];
    char folder[TIM3CTL_PATH_MAX];
    tim3_id_t id;
    part_t *parts;
    unsigned count;
    uint64_t told_us;
    uint64_t time_us;  /* when all copies had begun */
    uint64_t pause_us; /* the longest that any was held */
    char why[512];     /* the first thing that went wrong */
    bool hopeless;     /* trying again would not help */
} making_t;

__attribute__ ((format (printf, 2, 3))) static bool fail (making_t *self, const char *format, ...)
{
    va_list arguments;
    if (self->why[0])
        return false;
    va_start (arguments, format);
    vsnprintf (self->why, sizeof self->why, format, arguments);
    va_end (arguments);
    return false;
}

static uint64_t wall_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_REALTIME, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

/*  ------------------------------------------------------------------------------------- whom to ask, where  */

static bool is_keeper (const char *name)
{
    tim3_address_t address;
    return tim3_address_parse (name, &address) && address.shard >= 0 &&
           (TIM3_FROM_KEEPER & 1u << address.role);
}

static part_t *part_of (const making_t *self, const char *name)
{
    for (unsigned i = 0; i < self->count; i++)
        if (strcmp (self->parts[i].name, name) == 0)
            return &self->parts[i];
    return NULL;
}

static int compare_parts (const void *a, const void *b)
{
    return strcmp (((const part_t *) a)->name, ((const part_t *) b)->name);
}

/*  Ledgers of a merged critical path are one process with one store, which the lock manager stands for.  */
static bool is_hosted (const tim3_agent_t *agents, unsigned count, const tim3_agent_t *agent)
{
    for (unsigned i = 0; i < count && agent->role == TIM3_ROLE_TOKEN_MANAGER; i++)
        if (agents[i].role == TIM3_ROLE_LOCK_MANAGER && strcmp (agents[i].endpoint, agent->endpoint) == 0)
            return true;
    return false;
}

static bool choose_parts (making_t *self)
{
    unsigned count;
    tim3_agent_t *agents = tim3ctl_registry (self->ctl, &count);
    if (!agents)
        return false;
    self->parts = tim3_alloc ((count + 1) * sizeof *self->parts);
    for (unsigned i = 0; i < count; i++) {
        if (!is_keeper (agents[i].name) || is_hosted (agents, count, &agents[i]))
            continue;
        strcpy (self->parts[self->count++].name, agents[i].name);
        if (!agents[i].alive)
            fail (self, "%s is not running; start it first: a backup is of all agents or of none",
                  agents[i].name);
    }
    free (agents);
    qsort (self->parts, self->count, sizeof *self->parts, compare_parts);
    return true;
}

/*  A store whose agent does not answer would be missing from the backup.  */
static void check_stores (making_t *self)
{
    char path[TIM3CTL_PATH_MAX];
    tim3ctl_path (path, "%s/store", self->data);
    DIR *folder = opendir (path);
    if (!folder) {
        fail (self, "cannot read %s: %s; give the agents' data folder by --data", path, strerror (errno));
        return;
    }
    for (const struct dirent *entry = readdir (folder); entry; entry = readdir (folder))
        if (is_keeper (entry->d_name) && !part_of (self, entry->d_name))
            fail (self, "%s/%s has no running agent; start it, or move the store away if it is of no use",
                  path, entry->d_name);
    closedir (folder);
    for (unsigned i = 0; i < self->count; i++) {
        tim3ctl_path (path, "%s/store/%s", self->data, self->parts[i].name);
        if (access (path, F_OK))
            fail (self, "%s does not keep its store in %s; give its data folder by --data",
                  self->parts[i].name, self->data);
    }
}

static bool make_folder (making_t *self)
{
    char parent[TIM3CTL_PATH_MAX];
    tim3ctl_path (parent, "%s/backup", self->data);
    if (tim3_directory_make (parent) || mkdir (self->folder, 0700) || tim3_directory_sync (parent))
        return fail (self, "cannot make %s: %s%s", self->folder, strerror (errno),
                     errno == EEXIST ? "; nothing is written over: give another name, or remove it" : "");
    return true;
}

static int remove_entry (const char *path, const struct stat *stat, int kind, struct FTW *place)
{
    (void) stat;
    (void) kind;
    (void) place;
    return remove (path);
}

/*  ----------------------------------------------------------------------------------------------- asking  */

static void take_error (making_t *self, const part_t *part, const tim3_error_t *error)
{
    fail (self, "%s: %s: %s", part->name, error->name, error->text);
}

static void submit_hold (making_t *self, part_t *part)
{
    tim3_hold_t hold = {.backup = self->id, .for_us = HOLD_US};
    strcpy (hold.name, self->name);
    tim3_client_submit (self->client, part->name, "", TIM3_MSG_HOLD, &hold, part);
}

static void submit_resume (making_t *self, part_t *part)
{
    const tim3_resume_t resume = {.backup = self->id, .life = part->held.life, .number = part->held.number};
    tim3_client_submit (self->client, part->name, "", TIM3_MSG_RESUME, &resume, part);
}

static void submit_drop (making_t *self, part_t *part)
{
    const tim3_resume_t drop = {.backup = self->id, .drop = true};
    tim3_client_submit (self->client, part->name, "", TIM3_MSG_RESUME, &drop, part);
}

/*  Asks all at once. False when one of them refused or did not answer.  */
static bool ask_all (making_t *self, void (*submit) (making_t *, part_t *), uint64_t timeout_ms)
{
    bool good = true;
    tim3_client_set_timeout_ms (self->client, timeout_ms);
    for (unsigned i = 0; i < self->count; i++) {
        self->parts[i].answered = false;
        submit (self, &self->parts[i]);
    }
    while (tim3_client_outstanding (self->client) > 0) {
        const tim3_answer_t *answer = tim3_client_poll (self->client, 1000);
        part_t *part = answer ? answer->tag : NULL;
        if (!answer)
            continue;
        part->answered = !answer->error;
        good = good && !answer->error;
        if (answer->error)
            take_error (self, part, answer->error);
        else if (answer->type == TIM3_MSG_HELD)
            part->held = *(const tim3_held_t *) answer->body;
        else
            part->copying = *(const tim3_copying_t *) answer->body;
    }
    return good;
}

/*  True when all of them stood still until now.  */
static bool resume_all (making_t *self)
{
    bool good = ask_all (self, submit_resume, STATUS_ANSWER_MS);
    self->pause_us = 0;
    for (unsigned i = 0; i < self->count; i++) {
        const part_t *part = &self->parts[i];
        if (part->answered && !part->copying.held)
            good = fail (self, "%s went on before all copies had begun", part->name);
        if (part->answered && part->copying.held_us > self->pause_us)
            self->pause_us = part->copying.held_us;
    }
    return good;
}

/*  Whatever can still be reached deletes its copy; then what else is in the folder.  */
static void give_up (making_t *self)
{
    fail (self, "interrupted");
    ask_all (self, submit_drop, HOLD_ANSWER_MS);
    nftw (self->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void tell_progress (making_t *self, uint64_t rows, uint64_t total, unsigned complete)
{
    uint64_t now = tim3ctl_now_us ();
    if (now - self->told_us < TELL_US)
        return;
    self->told_us = now;
    fprintf (stderr, "copying: %" PRIu64 " of %" PRIu64 " rows, %u of %u agents complete\n", rows, total,
             complete, self->count);
}

/*  1 when all copies are on the disk, 0 when not yet, -1 when one has failed.  */
static int look (making_t *self)
{
    uint64_t rows = 0;
    uint64_t total = 0;
    unsigned complete = 0;
    if (!ask_all (self, submit_resume, STATUS_ANSWER_MS))
        return -1;
    for (unsigned i = 0; i < self->count; i++) {
        const tim3_copying_t *copying = &self->parts[i].copying;
        complete += copying->state == TIM3_COPY_STATE_COMPLETE;
        rows += copying->rows;
        total += copying->rows_total;
        if (!copying->held) {
            fail (self, "%s was started anew", self->parts[i].name);
            return -1;
        }
        if (copying->state == TIM3_COPY_STATE_FAILED) {
            fail (self, "%s: %s", self->parts[i].name, copying->text);
            return -1;
        }
    }
    tell_progress (self, rows, total, complete);
    return complete == self->count;
}

static bool wait_complete (making_t *self)
{
    int state;
    self->told_us = tim3ctl_now_us ();
    while ((state = look (self)) == 0) {
        if (tim3ctl_interrupted ())
            return fail (self, "interrupted");
        usleep (POLL_MS * 1000);
    }
    return state > 0;
}

/*  --------------------------------------------------------------------------------------------- sealing  */

/*  What lies there must be what the agent says that it copied.  */
static bool check_copy (making_t *self, part_t *part)
{
    char path[TIM3CTL_PATH_MAX];
    char why[512];
    bool in_use;
    tim3_store_meta_t meta;
    tim3ctl_path (path, "%s/store/%s", self->folder, part->name);
    tim3_store_t *store = tim3_store_open_lmdb_read_only (path, &meta, &in_use, why, sizeof why);
    if (!store)
        return fail (self, "%s", why);
    bool same = memcmp (&meta.id, &part->held.store, sizeof meta.id) == 0 &&
                strcmp (meta.name, part->name) == 0 && tim3_store_commits (store) == part->held.commits;
    tim3_store_close (&store);
    if (!same)
        return fail (self, "%s is not the copy that %s made", path, part->name);
    tim3ctl_path (path, "%s/store/%s/data.mdb", self->folder, part->name);
    if (!tim3ctl_digest (path, part->digest, &part->bytes))
        return fail (self, "cannot read %s: %s", path, strerror (errno));
    return true;
}

static json_t *part_json (const part_t *part)
{
    char store[TIM3_ID_TEXT_MAX];
    tim3_id_format (&part->held.store, store);
    return json_pack ("{s:s, s:s, s:I, s:I, s:I, s:I, s:s}", "name", part->name, "store", store, "commits",
                      (json_int_t) part->held.commits, "event_seq", (json_int_t) part->held.event_seq, "rows",
                      (json_int_t) part->copying.rows, "bytes", (json_int_t) part->bytes, "blake2b",
                      part->digest);
}

static json_t *manifest_of (const making_t *self, bool keys)
{
    char id[TIM3_ID_TEXT_MAX];
    char text[TIM3CTL_CELL_MAX];
    json_t *agents = json_array ();
    tim3_id_format (&self->id, id);
    for (unsigned i = 0; i < self->count; i++)
        json_array_append_new (agents, part_json (&self->parts[i]));
    return json_pack ("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:o}", "format", 1, "name", self->name,
                      "backup", id, "version", TIM3_VERSION, "time", tim3ctl_time_text (self->time_us, text),
                      "time_us", (json_int_t) self->time_us, "pause_us", (json_int_t) self->pause_us, "keys",
                      keys, "agents", agents);
}

/*  NULL when it has failed.  */
static json_t *seal (making_t *self)
{
    bool keys = tim3ctl_has (self->ctl, TIM3CTL_OPTION_WITH_KEYS);
    char path[TIM3CTL_PATH_MAX];
    for (unsigned i = 0; i < self->count; i++)
        if (tim3ctl_interrupted () || !check_copy (self, &self->parts[i]))
            return NULL;
    tim3ctl_path (path, "%s/store", self->folder);
    if (tim3_directory_sync (path) || tim3ctl_copy_scale (self->data, self->folder) < 0 ||
        (keys && tim3ctl_copy_keys (self->data, self->folder) < 0)) {
        fail (self, "cannot write to %s", self->folder);
        return NULL;
    }
    json_t *manifest = manifest_of (self, keys);
    if (tim3ctl_manifest_write (self->folder, manifest))
        return manifest;
    fail (self, "without a manifest this is no backup");
    json_decref (manifest);
    return NULL;
}

/*  --------------------------------------------------------------------------------------------- the whole  */

static json_t *try_once (making_t *self)
{
    json_t *manifest = NULL;
    self->why[0] = '\0';
    randombytes_buf (self->id.bytes, sizeof self->id.bytes);
    if (!make_folder (self)) {
        self->hopeless = true;
        return NULL;
    }
    bool held = ask_all (self, submit_hold, HOLD_ANSWER_MS);
    self->time_us = wall_us ();
    if (held && resume_all (self) && wait_complete (self))
        manifest = seal (self);
    if (!manifest)
        give_up (self);
    return manifest;
}

static void print_backup (const making_t *self, json_t *manifest)
{
    if (self->ctl->json) {
        json_object_set_new (manifest, "folder", json_string (self->folder));
        tim3ctl_json_print (json_incref (manifest));
        return;
    }
    tim3ctl_table_t *table = tim3ctl_table_new ("agent +rows +bytes +commits +events");
    for (unsigned i = 0; i < self->count; i++) {
        const part_t *part = &self->parts[i];
        tim3ctl_table_cell (table, "%s", part->name);
        tim3ctl_table_cell (table, "%" PRIu64, part->copying.rows);
        tim3ctl_table_cell (table, "%" PRIu64, part->bytes);
        tim3ctl_table_cell (table, "%" PRIu64, part->held.commits);
        tim3ctl_table_cell (table, "%" PRIu64, part->held.event_seq);
    }
    tim3ctl_table_print (table);
    tim3ctl_table_destroy (&table);
    printf ("backup %s: %u agents stood still for %.1f ms at most\n", self->folder, self->count,
            (double) self->pause_us / 1000);
    if (!tim3ctl_has (self->ctl, TIM3CTL_OPTION_WITH_KEYS))
        printf ("The keys are not in it: keep %s/keys somewhere else.\n", self->data);
}

static int make (making_t *self)
{
    json_t *manifest = NULL;
    if (!choose_parts (self))
        return self->ctl->exit;
    check_stores (self);
    if (self->why[0])
        return tim3ctl_failed (TIM3CTL_REFUSED, "no_backup", "no backup was made: %s", self->why);
    for (int i = 0; i < TRIES && !manifest && !self->hopeless && !tim3ctl_interrupted (); i++) {
        if (i > 0)
            usleep (PAUSE_BETWEEN_MS * 1000);
        manifest = try_once (self);
        if (!manifest)
            fprintf (stderr, "tim3ctl: try %d of %d failed: %s\n", i + 1, TRIES, self->why);
    }
    if (!manifest)
        return tim3ctl_failed (TIM3CTL_REFUSED, "no_backup", "no backup was made: %s",
                               self->why[0] ? self->why : "interrupted");
    print_backup (self, manifest);
    json_decref (manifest);
    return TIM3CTL_DONE;
}

/*  The same rule as the agents have.  */
static bool name_valid (const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t length = strlen (name);
    return length > 0 && length <= 64 && name[0] != '.' && strspn (name, allowed) == length;
}

int tim3ctl_backup (tim3ctl_t *ctl)
{
    char data[PATH_MAX];
    making_t self = {.ctl = ctl, .data = data};
    time_t now = time (NULL);
    if (ctl->argument_count > 0)
        snprintf (self.name, sizeof self.name, "%s", ctl->arguments[0]);
    else
        strftime (self.name, sizeof self.name, "%Y%m%dT%H%M%SZ", gmtime (&now));
    if (ctl->argument_count > 0 && !name_valid (ctl->arguments[0]))
        return tim3ctl_misused (
            "'%s' is no name for a backup: take letters, digits, dots, dashes, underlines; 64 at "
            "most, and no dot in front",
            ctl->arguments[0]);
    if (!realpath (tim3ctl_data (ctl), data))
        return tim3ctl_misused ("cannot use the folder %s: %s; give the agents' data folder by --data",
                                tim3ctl_data (ctl), strerror (errno));
    tim3ctl_path (self.folder, "%s/backup/%s", data, self.name);
    self.client = tim3ctl_client (ctl);
    if (!self.client)
        return ctl->exit;
    tim3_client_set_retry_ms (self.client, 300);
    int code = make (&self);
    free (self.parts);
    return code;
}

/*  ------------------------------------------------------------------------------------------------- list  */

static int is_visible (const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/*  Whether every file is as the manifest says.  */
static bool files_hold (const char *folder, const json_t *manifest, char *why, size_t why_size)
{
    size_t i;
    const json_t *agent;
    json_array_foreach (json_object_get (manifest, "agents"), i,
                        agent) if (!tim3ctl_manifest_holds (folder, agent, why, why_size)) return false;
    return true;
}

static json_t *describe (const char *data, const char *name, tim3ctl_table_t *table)
{
    char folder[TIM3CTL_PATH_MAX];
    char why[TIM3CTL_PATH_MAX + 200] = "";
    json_int_t bytes = 0;
    size_t i;
    const json_t *agent;
    tim3ctl_path (folder, "%s/backup/%s", data, name);
    json_t *manifest = tim3ctl_manifest_read (folder, why, sizeof why);
    bool good = manifest && files_hold (folder, manifest, why, sizeof why);
    const json_t *agents = json_object_get (manifest, "agents");
    const char *time = json_string_value (json_object_get (manifest, "time"));
    json_array_foreach (agents, i, agent) bytes += json_integer_value (json_object_get (agent, "bytes"));
    tim3ctl_table_cell (table, "%s", name);
    tim3ctl_table_cell (table, "%s", time ? time : "");
    tim3ctl_table_cell (table, "%zu", json_array_size (agents));
    tim3ctl_table_cell (table, "%lld", (long long) bytes);
    tim3ctl_table_cell (table, "%s", json_is_true (json_object_get (manifest, "keys")) ? "yes" : "no");
    tim3ctl_table_cell (table, "%s", good ? "good" : why);
    json_t *result = json_pack ("{s:s, s:s, s:b, s:s, s:O?}", "name", name, "folder", folder, "good", good,
                                "why", why, "manifest", manifest);
    json_decref (manifest);
    return result;
}

/*  Done when there is one at least, and every one of them is good: who asks from a script would take none for all well.  */
int tim3ctl_backup_list (tim3ctl_t *ctl)
{
    char path[TIM3CTL_PATH_MAX];
    struct dirent **entries;
    json_t *array = json_array ();
    tim3ctl_table_t *table = tim3ctl_table_new ("name time +agents +bytes keys state");
    tim3ctl_path (path, "%s/backup", tim3ctl_data (ctl));
    int count = scandir (path, &entries, is_visible, alphasort);
    int code = count > 0 ? TIM3CTL_DONE : TIM3CTL_REFUSED;
    for (int i = 0; i < count; i++) {
        json_t *one = describe (tim3ctl_data (ctl), entries[i]->d_name, table);
        if (!json_is_true (json_object_get (one, "good")))
            code = TIM3CTL_REFUSED;
        json_array_append_new (array, one);
        free (entries[i]);
    }
    if (count >= 0)
        free (entries);
    if (ctl->json)
        tim3ctl_json_print (json_incref (array));
    else if (count > 0)
        tim3ctl_table_print (table);
    else
        printf ("no backups in %s\n", path);
    json_decref (array);
    tim3ctl_table_destroy (&table);
    return code;
}
