/*  log.c - reads a recorder's log.  */
#include "log.h"
#include "base/bytes.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const s_texts[] = {
#define K(KIND, text) text,
    CRASH_KINDS (K)
#undef K
};

const char *crash_kind_text (uint32_t kind)
{
    return kind < sizeof s_texts / sizeof s_texts[0] ? s_texts[kind] : "?";
}

bool crash_is_watched (const char *name)
{
    return strncmp (name, "data.", 5) == 0 || strncmp (name, "journal", 7) == 0 ||
           strncmp (name, "undo", 4) == 0;
}

uint8_t *crash_read_file (const char *path, size_t *size)
{
    struct stat stat;
    FILE *file = fopen (path, "rb");
    if (!file || fstat (fileno (file), &stat))
        tim3_fatal (TIM3_EXIT_USAGE, "cannot open %s: %s; record a workload first", path, strerror (errno));
    *size = (size_t) stat.st_size;
    uint8_t *data = tim3_alloc (*size + 1);
    if (fread (data, 1, *size, file) != *size)
        tim3_fatal (TIM3_EXIT_USAGE, "cannot read all of %s; record the workload again", path);
    fclose (file);
    return data;
}

/*  The size of the entry at a place with its bytes, 0 when the log ends within it.  */
static size_t take_entry (const crash_log_t *self, size_t at, crash_step_t *step)
{
    if (self->size - at < sizeof step->entry)
        return 0;
    memcpy (&step->entry, self->data + at, sizeof step->entry);
    step->bytes = self->data + at + sizeof step->entry;
    if (self->size - at - sizeof step->entry < step->entry.size)
        return 0;
    return sizeof step->entry + step->entry.size;
}

static void note_length (crash_log_t *self, const crash_entry_t *entry)
{
    size_t end = (size_t) entry->number + entry->size;
    bool lengthens =
        entry->kind == CRASH_WRITE || entry->kind == CRASH_WRITE_SYNC || entry->kind == CRASH_TRUNCATE;
    if (entry->kind > CRASH_SYNC)
        return;
    if (entry->file >= CRASH_FILES_MAX)
        tim3_fatal (TIM3_EXIT_USAGE, "the log has too many files; record fewer commits");
    if (entry->file >= self->files)
        self->files = (size_t) entry->file + 1;
    if (lengthens && end > self->lengths[entry->file])
        self->lengths[entry->file] = end;
}

void crash_log_read (crash_log_t *self, const char *path)
{
    *self = (crash_log_t){0};
    self->data = crash_read_file (path, &self->size);
    self->steps = tim3_alloc ((self->size / sizeof (crash_entry_t) + 1) * sizeof *self->steps);
    for (size_t at = 0; at < self->size;) {
        size_t size = take_entry (self, at, &self->steps[self->count]);
        if (size == 0)
            tim3_fatal (TIM3_EXIT_USAGE, "%s ends within an entry; record the workload again", path);
        note_length (self, &self->steps[self->count++].entry);
        at += size;
    }
}

void crash_log_free (crash_log_t *self)
{
    free (self->steps);
    free (self->data);
    *self = (crash_log_t){0};
}
