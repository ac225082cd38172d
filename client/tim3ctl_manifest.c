/*  tim3ctl_manifest.c - the folder of a backup, and the manifest that makes it one.  */
#include "tim3ctl_manifest.h"
#include "base/log.h"
#include "store/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE ((size_t) 1 << 20)
#define MANIFEST "manifest.json"

void tim3ctl_path (char path[TIM3CTL_PATH_MAX], const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    if (vsnprintf (path, TIM3CTL_PATH_MAX, format, arguments) >= TIM3CTL_PATH_MAX)
        path[0] = '\0';
    va_end (arguments);
}

/*  ---------------------------------------------------------------------------------------------- digests  */

static void digest_text (crypto_generichash_state *state, char text[TIM3CTL_DIGEST_TEXT])
{
    uint8_t digest[32];
    crypto_generichash_final (state, digest, sizeof digest);
    tim3_hex_format (digest, sizeof digest, text);
}

bool tim3ctl_digest (const char *path, char text[TIM3CTL_DIGEST_TEXT], uint64_t *bytes)
{
    crypto_generichash_state state;
    ssize_t got = -1;
    int file = open (path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    uint8_t *piece = tim3_alloc (PIECE);
    crypto_generichash_init (&state, NULL, 0, 32);
    *bytes = 0;
    while ((got = read (file, piece, PIECE)) > 0) {
        crypto_generichash_update (&state, piece, (size_t) got);
        *bytes += (uint64_t) got;
    }
    int error = errno;
    digest_text (&state, text);
    free (piece);
    close (file);
    errno = error;
    return got == 0;
}

/*  Of all that the manifest says but this digest.  */
static void digest_manifest (const json_t *manifest, char text[TIM3CTL_DIGEST_TEXT])
{
    crypto_generichash_state state;
    json_t *rest = json_copy ((json_t *) (uintptr_t) manifest);
    json_object_del (rest, "digest");
    char *dump = json_dumps (rest, JSON_COMPACT | JSON_SORT_KEYS);
    TIM3_ASSERT (dump);
    crypto_generichash_init (&state, NULL, 0, 32);
    crypto_generichash_update (&state, (const uint8_t *) dump, strlen (dump));
    digest_text (&state, text);
    free (dump);
    json_decref (rest);
}

/*  --------------------------------------------------------------------------------------------- manifest  */

static int write_file (const char *path, const json_t *manifest)
{
    char *dump = json_dumps (manifest, JSON_INDENT (2));
    TIM3_ASSERT (dump);
    FILE *file = fopen (path, "wx");
    int rc = file ? 0 : -1;
    if (file) {
        if (fprintf (file, "%s\n", dump) < 0 || fflush (file) || fsync (fileno (file)))
            rc = -1;
        if (fclose (file))
            rc = -1;
    }
    free (dump);
    return rc;
}

bool tim3ctl_manifest_write (const char *folder, json_t *manifest)
{
    char fresh[TIM3CTL_PATH_MAX];
    char path[TIM3CTL_PATH_MAX];
    char digest[TIM3CTL_DIGEST_TEXT];
    digest_manifest (manifest, digest);
    json_object_set_new (manifest, "digest", json_string (digest));
    tim3ctl_path (fresh, "%s/" MANIFEST ".new", folder);
    tim3ctl_path (path, "%s/" MANIFEST, folder);
    if (write_file (fresh, manifest) || rename (fresh, path) || tim3_directory_sync (folder)) {
        fprintf (stderr, "tim3ctl: cannot write %s: %s\n", path, strerror (errno));
        return false;
    }
    return true;
}

static bool is_right (const json_t *manifest)
{
    char digest[TIM3CTL_DIGEST_TEXT];
    const char *said = json_string_value (json_object_get (manifest, "digest"));
    digest_manifest (manifest, digest);
    return said && strcmp (said, digest) == 0 && json_is_array (json_object_get (manifest, "agents"));
}

json_t *tim3ctl_manifest_read (const char *folder, char *why, size_t why_size)
{
    char path[TIM3CTL_PATH_MAX];
    json_error_t error;
    tim3ctl_path (path, "%s/" MANIFEST, folder);
    if (access (path, R_OK)) {
        snprintf (why, why_size, "%s is no whole backup: it has no manifest (%s)", folder, strerror (errno));
        return NULL;
    }
    json_t *manifest = json_load_file (path, JSON_REJECT_DUPLICATES, &error);
    if (manifest && json_is_object (manifest) && is_right (manifest))
        return manifest;
    json_decref (manifest);
    snprintf (why, why_size, "%s is damaged: it does not hold what was written; use another backup", path);
    return NULL;
}

bool tim3ctl_manifest_holds (const char *folder, const json_t *agent, char *why, size_t why_size)
{
    char path[TIM3CTL_PATH_MAX];
    char digest[TIM3CTL_DIGEST_TEXT];
    uint64_t bytes;
    const char *name = json_string_value (json_object_get (agent, "name"));
    const char *said = json_string_value (json_object_get (agent, "blake2b"));
    tim3_address_t address;
    if (!name || !said || !tim3_address_parse (name, &address) || address.shard < 0) {
        snprintf (why, why_size, "the manifest in %s names an agent that cannot be", folder);
        return false;
    }
    tim3ctl_path (path, "%s/store/%s/data.mdb", folder, name);
    if (!tim3ctl_digest (path, digest, &bytes)) {
        snprintf (why, why_size, "cannot read %s: %s", path, strerror (errno));
        return false;
    }
    if (strcmp (digest, said) != 0) {
        snprintf (why, why_size, "%s is damaged: it is not what was copied; use another backup", path);
        return false;
    }
    return true;
}

/*  -------------------------------------------------------------------------------------------- small files  */

/*  1 when it was copied, 0 when it is there already or there is nothing to copy.  */
static int copy_missing (const char *from, const char *to)
{
    if (access (from, F_OK) || access (to, F_OK) == 0)
        return 0;
    if (tim3_file_copy (from, to) == 0)
        return 1;
    fprintf (stderr, "tim3ctl: cannot copy %s to %s: %s\n", from, to, strerror (errno));
    return -1;
}

static int is_key (const struct dirent *entry)
{
    const char *dot = strrchr (entry->d_name, '.');
    return dot && dot != entry->d_name && (strcmp (dot, ".evidence") == 0 || strcmp (dot, ".vault") == 0);
}

int tim3ctl_copy_keys (const char *from, const char *to)
{
    char source[TIM3CTL_PATH_MAX];
    char target[TIM3CTL_PATH_MAX];
    struct dirent **keys;
    int copied = 0;
    tim3ctl_path (source, "%s/keys", from);
    tim3ctl_path (target, "%s/keys", to);
    int count = scandir (source, &keys, is_key, alphasort);
    if (count <= 0) {
        if (count == 0)
            free (keys);
        return 0;
    }
    if (tim3_directory_make (target)) {
        fprintf (stderr, "tim3ctl: cannot make %s: %s\n", target, strerror (errno));
        copied = -1;
    }
    for (int i = 0; i < count; i++) {
        tim3ctl_path (source, "%s/keys/%s", from, keys[i]->d_name);
        tim3ctl_path (target, "%s/keys/%s", to, keys[i]->d_name);
        int rc = copied < 0 ? -1 : copy_missing (source, target);
        copied = rc < 0 ? -1 : copied + rc;
        free (keys[i]);
    }
    free (keys);
    tim3ctl_path (target, "%s/keys", to);
    return copied >= 0 && tim3_directory_sync (target) ? -1 : copied;
}

int tim3ctl_copy_scale (const char *from, const char *to)
{
    char source[TIM3CTL_PATH_MAX];
    char target[TIM3CTL_PATH_MAX];
    tim3ctl_path (source, "%s/scale", from);
    tim3ctl_path (target, "%s/scale", to);
    return copy_missing (source, target);
}
