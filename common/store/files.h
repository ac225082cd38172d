/*  files.h - folders and files that must outlast a power failure.

    Those that return an int return 0, or -1 with errno.
*/
#ifndef TIM3_FILES_H
#define TIM3_FILES_H

#include <stdbool.h>
#include <stdint.h>

/*  Makes path and what is missing above it, mode 0700. A new entry lasts only once the directory that it is in is
    synced, so each is.  */
int tim3_directory_make (const char *path);
int tim3_directory_sync (const char *path);

/*  Copies a file to one that is not there yet, mode 0600, and syncs it.  */
int tim3_file_copy (const char *from, const char *to);

/*  Bytes of an open file, from an offset on, in new memory that the caller frees; NULL when not all of them can be
    read.  */
uint8_t *tim3_file_read (int file, uint64_t from, uint64_t size);

/*  A file that nobody needs any more is given the name of the spare one, to be written over, or deleted when there is a spare one
    already.  */
void tim3_file_put_by (int directory, const char *name, const char *spare);

/*  Whether the disk that path is on has less room left than anything here writes with one call.  */
bool tim3_disk_full (const char *path);

#endif
