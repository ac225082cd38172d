/*  tim3ctl_fsck_keys.c - the key files of the assets whose ledgers are here.  */
#include "tim3ctl_fsck.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_SIZE 32

static bool read_whole (int file, uint8_t key[KEY_SIZE])
{
    uint8_t more;
    return read (file, key, KEY_SIZE) == KEY_SIZE && read (file, &more, 1) == 0;
}

/*  False when there is no such key to compare with others.  */
static bool check_key (tim3_fsck_t *fsck, const char *asset, const char *kind, uint8_t key[KEY_SIZE])
{
    char path[4096];
    struct stat status;
    snprintf (path, sizeof path, "%s/keys/%s.%s", fsck->data, asset, kind);
    int file = open (path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat (file, &status)) {
        tim3_fsck_problem (fsck, NULL, "key %s cannot be read: %s; put it back from a backup", path,
                           strerror (errno));
        if (file >= 0)
            close (file);
        return false;
    }
    if ((status.st_mode & 07777) != 0600)
        tim3_fsck_problem (fsck, NULL, "key %s has mode %04o; run chmod 600 on it", path,
                           status.st_mode & 07777);
    bool whole = read_whole (file, key);
    close (file);
    if (!whole)
        tim3_fsck_problem (fsck, NULL, "key %s does not hold 32 bytes; put it back from a backup", path);
    return whole;
}

static void check_asset (tim3_fsck_t *fsck, const char *asset)
{
    uint8_t evidence[KEY_SIZE];
    uint8_t vault[KEY_SIZE];
    bool both = check_key (fsck, asset, "evidence", evidence);
    both = check_key (fsck, asset, "vault", vault) && both;
    if (both && memcmp (evidence, vault, KEY_SIZE) == 0)
        tim3_fsck_problem (
            fsck, NULL, "the two keys of %s are the same: who holds one can do what the other allows", asset);
    sodium_memzero (evidence, sizeof evidence);
    sodium_memzero (vault, sizeof vault);
}

/*  An asset's shards share its keys.  */
static bool is_first_shard (const tim3_fsck_t *fsck, unsigned number)
{
    const tim3_address_t *address = &fsck->stores[number].address;
    return tim3_fsck_store (fsck, address->role, address->asset, -1) == &fsck->stores[number];
}

/*  Both ledgers of an asset read the same two files, so there is nothing to compare between them.  */
void tim3_fsck_keys (tim3_fsck_t *fsck)
{
    char path[4096];
    unsigned assets = 0;
    snprintf (path, sizeof path, "%s/keys", fsck->data);
    if (access (path, F_OK)) {
        tim3_fsck_unchecked (fsck, "keys: there is no %s; backups keep keys apart from stores", path);
        return;
    }
    for (unsigned i = 0; i < fsck->store_count; i++)
        if (fsck->stores[i].address.role == TIM3_ROLE_LOCK_MANAGER && is_first_shard (fsck, i)) {
            check_asset (fsck, fsck->stores[i].address.asset);
            assets++;
        }
    tim3_fsck_section (fsck, "keys", "of %u asset%s, 0600 and 32 bytes", assets, assets == 1 ? "" : "s");
}
