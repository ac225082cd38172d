/*  undo.c - what a checkpoint wrote over. See undo.h.

    A file is a head, then rows as the journal has effects. It has its name when both last: undo.made is one that was never
    finished. undo.spare is one that nobody needs any more, to be written over, as with the segments of the journal; so a
    file may be longer than what its head tells of.
*/
#include "store/undo.h"
#include "store/files.h"
#include "store/record.h"
#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define MAGIC 0x55334d54u /* TM3U */
#define VERSION 1
#define PREFIX "undo-"
#define MADE "undo.made"
#define SPARE "undo.spare"
#define FLUSH_BYTES (512 * 1024)

typedef struct {
    uint32_t magic;
    uint32_t version;
    uint64_t before[3];
    uint64_t after[3];
    uint64_t time_us;
    uint64_t rows;
    uint64_t size; /* of the rows, in bytes */
    uint64_t rows_checksum;
    uint64_t checksum;
} head_t;

struct tim3_undo {
    int directory;
    int file;
    bool failed;
    head_t head;
    uint64_t at;
    tim3_buffer_t buffer;
    XXH3_state_t *sum;
};

static void set_numbers (uint64_t numbers[3], const tim3_checkpoint_t *checkpoint)
{
    numbers[0] = checkpoint->number;
    numbers[1] = checkpoint->checksum;
    numbers[2] = checkpoint->digest;
}

static tim3_checkpoint_t get_numbers (const uint64_t numbers[3])
{
    return (tim3_checkpoint_t){.number = numbers[0], .checksum = numbers[1], .digest = numbers[2]};
}

static void file_name (uint64_t before, char name[40])
{
    snprintf (name, 40, PREFIX "%016" PRIx64, before + 1);
}

/*  ---------------------------------------------------------------------------------------------- writing  */

tim3_undo_t *tim3_undo_begin (int directory, const tim3_checkpoint_t *before)
{
    renameat (directory, SPARE, directory, MADE); /* if there is one */
    int file = openat (directory, MADE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return NULL;
    tim3_undo_t *self = tim3_alloc (sizeof *self);
    self->directory = directory;
    self->file = file;
    self->at = sizeof (head_t);
    set_numbers (self->head.before, before);
    self->sum = XXH3_createState ();
    TIM3_ASSERT (self->sum);
    XXH3_64bits_reset (self->sum);
    return self;
}

static void flush (tim3_undo_t *self)
{
    ssize_t size = (ssize_t) self->buffer.size;
    XXH3_64bits_update (self->sum, self->buffer.data, self->buffer.size);
    self->failed =
        self->failed || pwrite (self->file, self->buffer.data, self->buffer.size, (off_t) self->at) != size;
    self->at += self->buffer.size;
    tim3_buffer_clear (&self->buffer);
}

void tim3_undo_add (tim3_undo_t *self, const tim3_memrow_t *row)
{
    tim3_record_append (&self->buffer, row);
    self->head.rows++;
    if (self->buffer.size < FLUSH_BYTES)
        return;
    /* one sync of all of it at the end would hold up those who work on the same disk */
    flush (self);
    self->failed = self->failed || fdatasync (self->file) != 0;
}

void tim3_undo_drop (tim3_undo_t **self)
{
    if (!*self)
        return;
    close ((*self)->file);
    unlinkat ((*self)->directory, MADE, 0);
    XXH3_freeState ((*self)->sum);
    tim3_buffer_free (&(*self)->buffer);
    free (*self);
    *self = NULL;
}

static bool write_head (tim3_undo_t *self, const tim3_checkpoint_t *after, uint64_t now_us)
{
    head_t *head = &self->head;
    head->magic = MAGIC;
    head->version = VERSION;
    set_numbers (head->after, after);
    head->time_us = now_us;
    head->size = self->at - sizeof *head;
    head->rows_checksum = XXH3_64bits_digest (self->sum);
    head->checksum = XXH3_64bits (head, offsetof (head_t, checksum));
    return pwrite (self->file, head, sizeof *head, 0) == (ssize_t) sizeof *head;
}

bool tim3_undo_finish (tim3_undo_t **self, const tim3_checkpoint_t *after, uint64_t now_us)
{
    char name[40];
    tim3_undo_t *undo = *self;
    flush (undo);
    file_name (undo->head.before[0], name);
    bool good = !undo->failed && write_head (undo, after, now_us) && fsync (undo->file) == 0 &&
                renameat (undo->directory, MADE, undo->directory, name) == 0 && fsync (undo->directory) == 0;
    tim3_undo_drop (self);
    return good;
}

/*  ---------------------------------------------------------------------------------------------- reading  */

/*  The descriptor of a file whose head is good, or -1.  */
static int open_file (int directory, const char *name, head_t *head, uint64_t *bytes)
{
    struct stat stat;
    int file = openat (directory, name, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    bool good = pread (file, head, sizeof *head, 0) == (ssize_t) sizeof *head && head->magic == MAGIC &&
                head->version == VERSION &&
                head->checksum == XXH3_64bits (head, offsetof (head_t, checksum)) &&
                fstat (file, &stat) == 0 && (uint64_t) stat.st_size - sizeof *head >= head->size;
    *bytes = good ? (uint64_t) stat.st_size : 0;
    if (good)
        return file;
    close (file);
    return -1;
}

static tim3_undo_entry_t entry_of (const head_t *head, uint64_t bytes)
{
    return (tim3_undo_entry_t){get_numbers (head->before), get_numbers (head->after), head->time_us, bytes};
}

/*  All files whose heads are good, in no order: each is looked at once, for there may be many.  */
static tim3_undo_entry_t *read_heads (int directory, size_t *count)
{
    int copy = openat (directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy >= 0 ? fdopendir (copy) : NULL;
    tim3_buffer_t found = {0};
    struct dirent *file;
    uint64_t bytes;
    head_t head;

    while (listing && (file = readdir (listing))) {
        int descriptor = -1;
        if (strncmp (file->d_name, PREFIX, strlen (PREFIX)) == 0)
            descriptor = open_file (directory, file->d_name, &head, &bytes);
        if (descriptor < 0)
            continue;
        close (descriptor);
        tim3_undo_entry_t entry = entry_of (&head, bytes);
        tim3_buffer_append (&found, &entry, sizeof entry);
    }
    if (listing)
        closedir (listing);
    *count = found.size / sizeof (tim3_undo_entry_t);
    return (tim3_undo_entry_t *) (void *) found.data;
}

/*  The entry whose later state is the one given; NULL when there is none.  */
static const tim3_undo_entry_t *find_entry (const tim3_undo_entry_t *entries, size_t count,
                                            const tim3_checkpoint_t *after)
{
    for (size_t i = 0; i < count; i++)
        if (entries[i].after.number == after->number && entries[i].after.checksum == after->checksum &&
            entries[i].before.number < after->number)
            return &entries[i];
    return NULL;
}

tim3_undo_entry_t *tim3_undo_list (int directory, const tim3_checkpoint_t *newest, size_t *count)
{
    size_t files;
    tim3_buffer_t found = {0};
    tim3_checkpoint_t at = *newest;
    tim3_undo_entry_t *entries = read_heads (directory, &files);
    const tim3_undo_entry_t *entry;
    while ((entry = find_entry (entries, files, &at))) {
        tim3_buffer_append (&found, entry, sizeof *entry);
        at = entry->before;
    }
    free (entries);
    *count = found.size / sizeof *entry;
    return (tim3_undo_entry_t *) (void *) found.data;
}

bool tim3_undo_find (int directory, const tim3_checkpoint_t *checkpoint, tim3_undo_entry_t *entry)
{
    char name[40];
    uint64_t bytes;
    head_t head;
    file_name (checkpoint->number, name);
    int file = open_file (directory, name, &head, &bytes);
    if (file < 0)
        return false;
    close (file);
    *entry = entry_of (&head, bytes);
    /* one that leads further was made by a later attempt, and holds all that the first one did */
    return entry->before.number == checkpoint->number && entry->before.checksum == checkpoint->checksum &&
           entry->after.number >= checkpoint->towards;
}

static uint8_t *load_rows (int file, const head_t *head)
{
    uint8_t *data = tim3_file_read (file, sizeof *head, head->size);
    if (data && XXH3_64bits (data, head->size) == head->rows_checksum)
        return data;
    free (data);
    return NULL;
}

bool tim3_undo_read (int directory, const tim3_undo_entry_t *entry, tim3_undo_take_fn *take, void *context)
{
    char name[40];
    uint64_t bytes;
    head_t head;
    tim3_memrow_t row;
    size_t position = 0;

    file_name (entry->before.number, name);
    int file = open_file (directory, name, &head, &bytes);
    if (file < 0)
        return false;
    uint8_t *data = load_rows (file, &head);
    close (file);
    tim3_record_t rows = {.effects = data, .effects_size = head.size};
    while (data && tim3_record_effect (&rows, &position, &row))
        take (context, &row);
    free (data);
    return data && position == head.size;
}

void tim3_undo_lay_over (void *table, const tim3_memrow_t *row)
{
    if (row->deleted)
        tim3_memtable_delete (table, row->key, row->key_size);
    else
        tim3_memtable_put (table, row->key, row->key_size, row->value, row->value_size);
}

void tim3_undo_trim (int directory, uint64_t number)
{
    int copy = openat (directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy >= 0 ? fdopendir (copy) : NULL;
    struct dirent *file;
    while (listing && (file = readdir (listing)))
        if (strncmp (file->d_name, PREFIX, strlen (PREFIX)) == 0 &&
            strtoull (file->d_name + strlen (PREFIX), NULL, 16) <= number)
            tim3_file_put_by (directory, file->d_name, SPARE);
    if (listing)
        closedir (listing);
}

void tim3_undo_clear (int directory)
{
    tim3_undo_trim (directory, UINT64_MAX);
    unlinkat (directory, SPARE, 0);
    unlinkat (directory, MADE, 0);
}
