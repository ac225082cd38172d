/*  tim3ctl_restore.c - restore BACKUP: puts the stores of a backup into a data folder that has none.

    Nothing is ever written over. Everything is checked and copied beside its place first (DATA/store.restoring), and
    moved there at the end by one rename: a restore that is killed leaves a folder without stores, not one with some.
    The stores keep their identities, so a whole set simply starts. One agent restored alone (--agent) is refused by the
    router when its peers have seen more of it than the backup has.

    Exit codes: 0 done; 1 nothing was restored, the reason is on stderr; 2 wrong usage.
*/
#include "tim3ctl_commands.h"
#include "tim3ctl_manifest.h"
#include "tim3ctl_print.h"
#include "base/config.h"
#include "base/log.h"
#include "store/files.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    tim3ctl_t *ctl;
    const char *backup;
    char data[PATH_MAX];
    char store[TIM3CTL_PATH_MAX];   /* DATA/store */
    char staging[TIM3CTL_PATH_MAX]; /* DATA/store.restoring */
    const char *agent;              /* NULL: all */
    json_t *manifest;
    unsigned count; /* stores restored */
    char why[TIM3CTL_PATH_MAX + 512];
} restore_t;

__attribute__ ((format (printf, 2, 3))) static bool fail (restore_t *self, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (self->why, sizeof self->why, format, arguments);
    va_end (arguments);
    return false;
}

static const char *name_of (const json_t *agent)
{
    return json_string_value (json_object_get (agent, "name"));
}

static bool wanted (const restore_t *self, const json_t *agent)
{
    return !self->agent || strcmp (self->agent, name_of (agent)) == 0;
}

/*  ---------------------------------------------------------------------------------------------- checking  */

static bool check_files (restore_t *self)
{
    size_t i;
    const json_t *agent;
    json_array_foreach (json_object_get (self->manifest, "agents"), i, agent)
    {
        if (!tim3ctl_manifest_holds (self->backup, agent, self->why, sizeof self->why))
            return false;
        self->count += wanted (self, agent);
    }
    if (self->count == 0)
        return fail (self, "%s has no store of %s", self->backup, self->agent ? self->agent : "any agent");
    return true;
}

/*  The process that has a store open, by its lock.  */
static bool is_open (const char *folder)
{
    char path[TIM3CTL_PATH_MAX];
    tim3ctl_path (path, "%s/LOCK", folder);
    int file = open (path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    bool locked = flock (file, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
    close (file);
    return locked;
}

/*  True when nothing is there, or a folder with nothing in it.  */
static bool is_free (const char *path)
{
    bool empty = true;
    DIR *folder = opendir (path);
    if (!folder)
        return errno == ENOENT;
    for (const struct dirent *entry = readdir (folder); entry; entry = readdir (folder))
        empty = empty && (strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0);
    closedir (folder);
    return empty;
}

static bool check_place (restore_t *self, const char *name)
{
    char path[TIM3CTL_PATH_MAX];
    tim3ctl_path (path, "%s/%s", self->store, name);
    if (is_open (path))
        return fail (self, "%s is in use; stop the agents first", path);
    if (!is_free (path))
        return fail (
            self,
            "%s is not empty, and nothing is written over; restore into a new data folder, or move it away",
            path);
    return true;
}

/*  A whole set needs a place where nothing is, coordinators included: they would belong to another set.  */
static bool check_target (restore_t *self)
{
    bool good = true;
    if (!is_free (self->staging))
        return fail (self, "%s is left of a restore that was cut short; remove it", self->staging);
    if (self->agent)
        return check_place (self, self->agent);
    DIR *folder = opendir (self->store);
    if (!folder)
        return errno == ENOENT || fail (self, "cannot read %s: %s", self->store, strerror (errno));
    for (const struct dirent *entry = readdir (folder); entry; entry = readdir (folder))
        good = good && (entry->d_name[0] == '.' || check_place (self, entry->d_name));
    closedir (folder);
    return good;
}

/*  ---------------------------------------------------------------------------------------------- restoring  */

static bool stage (restore_t *self)
{
    char from[TIM3CTL_PATH_MAX];
    char to[TIM3CTL_PATH_MAX];
    size_t i;
    const json_t *agent;
    if (tim3_directory_make (self->staging))
        return fail (self, "cannot make %s: %s", self->staging, strerror (errno));
    json_array_foreach (json_object_get (self->manifest, "agents"), i, agent)
    {
        if (!wanted (self, agent))
            continue;
        if (tim3ctl_interrupted ())
            return fail (self, "interrupted");
        fprintf (stderr, "restoring %s: %lld bytes\n", name_of (agent),
                 (long long) json_integer_value (json_object_get (agent, "bytes")));
        tim3ctl_path (from, "%s/store/%s", self->backup, name_of (agent));
        tim3ctl_path (to, "%s/%s", self->staging, name_of (agent));
        if (tim3_store_restore_lmdb (from, to, self->why, sizeof self->why))
            return false;
    }
    return tim3_directory_sync (self->staging) == 0 ||
           fail (self, "cannot sync %s: %s", self->staging, strerror (errno));
}

static void unstage (const restore_t *self)
{
    char path[TIM3CTL_PATH_MAX];
    static const char *const files[] = {"/data.new", "/data.mdb", ""};
    size_t i;
    const json_t *agent;
    json_array_foreach (json_object_get (self->manifest, "agents"), i, agent) for (unsigned j = 0; j < 3; j++)
    {
        tim3ctl_path (path, "%s/%s%s", self->staging, name_of (agent), files[j]);
        remove (path);
    }
    rmdir (self->staging);
}

/*  Folders that hold nothing are in the way of a rename.  */
static void clear_place (const restore_t *self)
{
    char path[TIM3CTL_PATH_MAX];
    DIR *folder = opendir (self->store);
    if (!folder)
        return;
    for (const struct dirent *entry = readdir (folder); entry; entry = readdir (folder)) {
        tim3ctl_path (path, "%s/%s", self->store, entry->d_name);
        if (entry->d_name[0] != '.')
            rmdir (path);
    }
    closedir (folder);
    rmdir (self->store);
}

static bool move_into_place (restore_t *self)
{
    char from[TIM3CTL_PATH_MAX];
    char to[TIM3CTL_PATH_MAX];
    if (!self->agent) {
        clear_place (self);
        if (rename (self->staging, self->store) || tim3_directory_sync (self->data))
            return fail (self, "cannot move %s to %s: %s", self->staging, self->store, strerror (errno));
        return true;
    }
    tim3ctl_path (from, "%s/%s", self->staging, self->agent);
    tim3ctl_path (to, "%s/%s", self->store, self->agent);
    if (tim3_directory_make (self->store) || (rmdir (to) && errno != ENOENT) || rename (from, to) ||
        tim3_directory_sync (self->store))
        return fail (self, "cannot move %s to %s: %s", from, to, strerror (errno));
    rmdir (self->staging);
    return true;
}

/*  --------------------------------------------------------------------------------------- what is missing  */

static bool has_agent (const restore_t *self, tim3_role_t role, const char *asset, unsigned shard)
{
    char name[TIM3_ADDRESS_MAX + 1];
    size_t i;
    const json_t *agent;
    tim3_address_format (role, asset, (int) shard, name);
    json_array_foreach (json_object_get (self->manifest, "agents"), i,
                        agent) if (strcmp (name_of (agent), name) == 0) return true;
    return false;
}

/*  All shards, and no more. Those of a merged critical path share the lock manager's store.  */
static bool has_ledgers (const restore_t *self, const tim3_config_t *config, const char *asset)
{
    bool merged = strcmp (tim3_config_text (config, "asset/*", "critical_path", asset), "merged") == 0;
    unsigned shards = (unsigned) tim3_config_u64 (config, "asset/*", "shards", asset);
    for (unsigned shard = 0; shard < shards; shard++)
        if (!has_agent (self, TIM3_ROLE_LOCK_MANAGER, asset, shard) ||
            has_agent (self, TIM3_ROLE_TOKEN_MANAGER, asset, shard) == merged)
            return false;
    return !has_agent (self, TIM3_ROLE_LOCK_MANAGER, asset, shards);
}

/*  Ledgers that the configuration wants and the backup lacks would begin empty beside full ones.  */
static bool check_config (restore_t *self)
{
    char why[512];
    const char *path = tim3ctl_text (self->ctl, TIM3CTL_OPTION_CONFIG, NULL);
    const char *asset;
    bool good = true;
    if (!path)
        return true;
    tim3_config_t *config = tim3_config_load (path, why, sizeof why);
    if (!config)
        return fail (self, "%s", why);
    const char *collateral = tim3_config_text (config, "collateral", "name", NULL);
    if (!has_agent (self, TIM3_ROLE_MOCK_USDA, collateral, 0))
        good = fail (self, "%s asks for the collateral %s, which the backup does not have", path, collateral);
    for (unsigned i = 0; good && (asset = tim3_config_asset (config, i)); i++)
        if (!has_ledgers (self, config, asset))
            good = fail (self,
                         "%s asks for the asset %s, whose ledgers are not in the backup (or not as so many "
                         "shards); take it out, and add it after the restore",
                         path, asset);
    tim3_config_destroy (&config);
    return good;
}

static void tell_keys (const restore_t *self)
{
    static const char *const kinds[] = {"evidence", "vault"};
    char path[TIM3CTL_PATH_MAX];
    tim3_address_t address;
    size_t i;
    const json_t *agent;
    json_array_foreach (json_object_get (self->manifest, "agents"), i, agent)
    {
        if (!tim3_address_parse (name_of (agent), &address) || address.role != TIM3_ROLE_LOCK_MANAGER ||
            address.shard > 0)
            continue;
        for (unsigned j = 0; j < 2; j++) {
            tim3ctl_path (path, "%s/keys/%s.%s", self->data, address.asset, kinds[j]);
            if (access (path, F_OK))
                fprintf (stderr, "missing: %s; put it back, or make a new one with keygen\n", path);
        }
    }
}

static void print_result (const restore_t *self)
{
    const char *time = json_string_value (json_object_get (self->manifest, "time"));
    if (self->ctl->json) {
        tim3ctl_json_print (json_pack ("{s:s, s:s, s:i, s:s}", "backup", self->backup, "data", self->data,
                                       "stores", (int) self->count, "time", time ? time : ""));
        return;
    }
    printf ("%u store%s of %s restored to %s\n", self->count, self->count == 1 ? "" : "s", time ? time : "?",
            self->data);
    if (self->agent)
        puts ("If its peers have seen more of it than this, the router will refuse it: see its log. Where "
              "the router's own store "
              "is older, too, nobody may notice: run tim3ctl fsck on the folder before you start.");
}

/*  ------------------------------------------------------------------------------------------------ the whole  */

static bool restore (restore_t *self)
{
    self->manifest = tim3ctl_manifest_read (self->backup, self->why, sizeof self->why);
    if (!self->manifest || !check_files (self) || !check_config (self) || !check_target (self))
        return false;
    if (!stage (self) || !move_into_place (self)) {
        unstage (self);
        return false;
    }
    if (!self->agent && (tim3ctl_copy_scale (self->backup, self->data) < 0 ||
                         tim3ctl_copy_keys (self->backup, self->data) < 0))
        fputs ("tim3ctl: the stores are restored, not all else\n", stderr);
    return true;
}

int tim3ctl_restore (tim3ctl_t *ctl)
{
    restore_t self = {.ctl = ctl, .backup = ctl->arguments[0]};
    self.agent = tim3ctl_text (ctl, TIM3CTL_OPTION_AGENT, NULL);
    if (!tim3ctl_has (ctl, TIM3CTL_OPTION_DATA))
        return tim3ctl_misused ("say by --data into which folder to restore; it must not hold stores yet");
    if (tim3_directory_make (tim3ctl_data (ctl)) || !realpath (tim3ctl_data (ctl), self.data))
        return tim3ctl_misused ("cannot use the folder %s: %s", tim3ctl_data (ctl), strerror (errno));
    tim3ctl_path (self.store, "%s/store", self.data);
    tim3ctl_path (self.staging, "%s/store.restoring", self.data);
    bool done = restore (&self);
    if (done) {
        print_result (&self);
        tell_keys (&self);
    } else {
        tim3ctl_failed (TIM3CTL_REFUSED, "not_restored", "nothing was restored: %s", self.why);
    }
    json_decref (self.manifest);
    return done ? TIM3CTL_DONE : TIM3CTL_REFUSED;
}
