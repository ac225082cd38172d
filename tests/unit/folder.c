/*  folder.c - see folder.h.  */
#include "folder.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void folder_make (char path[256])
{
    const char *temporary = getenv ("TMPDIR");
    if (!temporary)
        temporary = access ("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf (path, 256, "%s/tim3-tiers-XXXXXX", temporary);
    TIM3_ASSERT (mkdtemp (path));
}

static int remove_entry (const char *path, const struct stat *stat, int kind, struct FTW *place)
{
    (void) stat;
    (void) kind;
    (void) place;
    return remove (path);
}

void folder_remove (const char *path)
{
    nftw (path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

tim3_buffer_t folder_read (const char *path, const char *name)
{
    char full[600];
    struct stat stat;
    tim3_buffer_t buffer = {0};
    snprintf (full, sizeof full, "%s/%s", path, name);
    FILE *file = fopen (full, "r");
    TIM3_ASSERT (file && fstat (fileno (file), &stat) == 0);
    buffer.capacity = buffer.size = (size_t) stat.st_size;
    buffer.data = tim3_alloc (buffer.size + 1);
    TIM3_ASSERT (fread (buffer.data, 1, buffer.size, file) == buffer.size);
    fclose (file);
    return buffer;
}

void folder_write (const char *path, const char *name, const void *data, size_t size)
{
    char full[600];
    snprintf (full, sizeof full, "%s/%s", path, name);
    FILE *file = fopen (full, "w");
    TIM3_ASSERT (file && fwrite (data, 1, size, file) == size && fclose (file) == 0);
}

void folder_flip (const char *path, const char *name, size_t at)
{
    char full[600];
    uint8_t byte;
    snprintf (full, sizeof full, "%s/%s", path, name);
    int file = open (full, O_RDWR);
    TIM3_ASSERT (file >= 0 && pread (file, &byte, 1, (off_t) at) == 1);
    byte ^= 0xff;
    TIM3_ASSERT (pwrite (file, &byte, 1, (off_t) at) == 1);
    close (file);
}

bool folder_has (const char *path, const char *name)
{
    char full[600];
    snprintf (full, sizeof full, "%s/%s", path, name);
    return access (full, F_OK) == 0;
}

void folder_delete (const char *path, const char *name)
{
    char full[600];
    snprintf (full, sizeof full, "%s/%s", path, name);
    TIM3_ASSERT (unlink (full) == 0);
}

static int compare_names (const void *a, const void *b)
{
    return strcmp (a, b);
}

unsigned folder_list (const char *path, const char *prefix, char names[64][64])
{
    unsigned count = 0;
    struct dirent *entry;
    DIR *listing = opendir (path);
    TIM3_ASSERT (listing);
    while ((entry = readdir (listing)))
        if (entry->d_name[0] != '.' && strncmp (entry->d_name, prefix, strlen (prefix)) == 0) {
            TIM3_ASSERT (count < 64 && strlen (entry->d_name) < 64);
            strcpy (names[count++], entry->d_name);
        }
    closedir (listing);
    qsort (names, count, sizeof names[0], compare_names);
    return count;
}

void folder_copy (const char *from, const char *to)
{
    char names[64][64];
    folder_remove (to);
    TIM3_ASSERT (mkdir (to, 0700) == 0);
    unsigned count = folder_list (from, "", names);
    for (unsigned i = 0; i < count; i++) {
        if (strcmp (names[i], "journal.prepared") == 0 || strcmp (names[i], "journal.spare") == 0 ||
            strncmp (names[i], "undo.", 5) == 0)
            continue; /* the thread of a store that is open may have given it another name by now */
        tim3_buffer_t file = folder_read (from, names[i]);
        folder_write (to, names[i], file.data, file.size);
        tim3_buffer_free (&file);
    }
}
