/*  tim3ctl_manifest.h - the folder of a backup, and the manifest that makes it one.

    BACKUP/store/ADDRESS/data.mdb    copies of stores       BACKUP/keys/     keys, if they were wanted
    BACKUP/manifest.json             what is there, with a digest of each file; written last
    BACKUP/scale                     numbers of coordinators, if they were set

    A folder without a manifest is no backup.
*/
#ifndef TIM3CTL_MANIFEST_H
#define TIM3CTL_MANIFEST_H

#include "tim3ctl.h"

#include <jansson.h>

#define TIM3CTL_PATH_MAX 4096
#define TIM3CTL_DIGEST_TEXT 65

/*  A path; empty, which names no file, when it would be too long.  */
void tim3ctl_path (char path[TIM3CTL_PATH_MAX], const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/*  BLAKE2b of a file in hexadecimal, and its size. False with errno.  */
bool tim3ctl_digest (const char *path, char text[TIM3CTL_DIGEST_TEXT], uint64_t *bytes);

/*  Adds a digest of itself, and writes it so that it is whole or not there. False after saying why.  */
bool tim3ctl_manifest_write (const char *folder, json_t *manifest);
/*  NULL with why filled: there is none, or it is damaged. What it says of files is not checked.  */
json_t *tim3ctl_manifest_read (const char *folder, char *why, size_t why_size);
/*  The file of one entry of "agents" is as it was when the backup was made. False with why filled.  */
bool tim3ctl_manifest_holds (const char *folder, const json_t *agent, char *why, size_t why_size);

/*  Copies those of DATA's or a backup's keys, and the numbers of coordinators, that are not there yet. Returns how
    many, -1 after saying what went wrong.  */
int tim3ctl_copy_keys (const char *from, const char *to);
int tim3ctl_copy_scale (const char *from, const char *to);

#endif
