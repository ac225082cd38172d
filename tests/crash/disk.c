/*  disk.c - plays a log step by step, and makes images of a disk that lost power.  */
#include "disk.h"
#include "base/bytes.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096

static const char *const s_texts[] = {
#define L(NAME, text) text,
    DISK_LOSSES (L)
#undef L
};

const char *disk_loss_text (disk_loss_t loss)
{
    return s_texts[loss];
}

/*  --------------------------------------------------------------------------------------------- images  */

void disk_image_open (disk_image_t *self, const disk_t *disk)
{
    *self = (disk_image_t){.count = disk->log->files};
    self->files = tim3_alloc ((self->count + 1) * sizeof *self->files);
    for (size_t i = 0; i < self->count; i++)
        self->files[i].data = tim3_alloc (disk->files[i].capacity);
}

void disk_image_close (disk_image_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        free (self->files[i].data);
    free (self->files);
    *self = (disk_image_t){0};
}

static void copy (const disk_file_t *file, disk_file_image_t *to, const disk_file_image_t *from)
{
    memcpy (to->data, from->data, file->capacity);
    to->size = from->size;
}

/*  The part of the file that a step changes; empty for a step that changes none.  */
typedef struct {
    size_t from;
    size_t to;
} span_t;

static bool is_change (const crash_entry_t *entry)
{
    return entry->kind == CRASH_WRITE || entry->kind == CRASH_WRITE_SYNC || entry->kind == CRASH_TRUNCATE;
}

static span_t span_of (const disk_file_image_t *image, const crash_entry_t *entry)
{
    size_t number = (size_t) entry->number;
    if (entry->kind == CRASH_TRUNCATE)
        return number < image->size ? (span_t){number, image->size} : (span_t){0, 0};
    return is_change (entry) ? (span_t){number, number + entry->size} : (span_t){0, 0};
}

/*  What the program, and everyone else on a machine that stays up, sees of a step; returns what it changed.  */
static span_t play (disk_file_image_t *image, const crash_step_t *step)
{
    const crash_entry_t *entry = &step->entry;
    span_t span = span_of (image, entry);
    if (entry->kind == CRASH_TRUNCATE) {
        memset (image->data + span.from, 0, span.to - span.from);
        image->size = (size_t) entry->number;
    } else if (span.to > span.from) {
        memcpy (image->data + span.from, step->bytes, entry->size);
        if (span.to > image->size)
            image->size = span.to;
    }
    return span;
}

/*  ---------------------------------------------------------------------------------------------- names  */

static void remove_name (disk_names_t *names, const char *text, size_t file)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp (names->names[i].text, text) == 0 && (file == SIZE_MAX || names->names[i].file == file)) {
            names->names[i] = names->names[--names->count];
            return;
        }
}

static void add_name (disk_names_t *names, const char *text, size_t file)
{
    remove_name (names, text, SIZE_MAX);
    TIM3_ASSERT (names->count < CRASH_FILES_MAX && strlen (text) < CRASH_NAME_MAX);
    disk_name_t *name = &names->names[names->count++];
    strcpy (name->text, text);
    name->file = file;
}

static bool is_about_names (const crash_entry_t *entry)
{
    return entry->kind == CRASH_CREATE || entry->kind == CRASH_RENAME || entry->kind == CRASH_UNLINK;
}

static void play_names (disk_names_t *names, const crash_step_t *step)
{
    const char *text = (const char *) step->bytes;
    size_t file = (size_t) step->entry.file;
    if (step->entry.kind == CRASH_CREATE)
        add_name (names, text, file);
    if (step->entry.kind == CRASH_UNLINK || step->entry.kind == CRASH_RENAME)
        remove_name (names, text, file);
    if (step->entry.kind == CRASH_RENAME)
        add_name (names, text + strlen (text) + 1, file);
}

/*  -------------------------------------------------------------------------------------------- playing  */

void disk_open (disk_t *self, const crash_log_t *log)
{
    *self = (disk_t){.log = log};
    self->files = tim3_alloc ((log->files + 1) * sizeof *self->files);
    for (size_t i = 0; i < log->files; i++) {
        disk_file_t *file = &self->files[i];
        file->capacity = (log->lengths[i] / PAGE + 1) * PAGE;
        file->now.data = tim3_alloc (file->capacity);
        file->durable.data = tim3_alloc (file->capacity);
        file->moment.data = tim3_alloc (file->capacity);
    }
}

void disk_close (disk_t *self)
{
    for (size_t i = 0; i < self->log->files; i++) {
        free (self->files[i].now.data);
        free (self->files[i].durable.data);
        free (self->files[i].moment.data);
    }
    free (self->files);
    *self = (disk_t){0};
}

static void empty (const disk_file_t *file, disk_file_image_t *image)
{
    memset (image->data, 0, file->capacity);
    image->size = 0;
}

void disk_rewind (disk_t *self)
{
    self->at = self->names_synced = 0;
    self->names.count = self->names_durable.count = 0;
    for (size_t i = 0; i < self->log->files; i++) {
        self->files[i].synced = 0;
        empty (&self->files[i], &self->files[i].now);
        empty (&self->files[i], &self->files[i].durable);
    }
}

/*  What is about one file, of the steps from its last sync on.  */
static bool concerns (const disk_t *self, size_t step, size_t file)
{
    const crash_entry_t *entry = &self->log->steps[step].entry;
    return is_change (entry) && entry->file == file;
}

static void sync_file (disk_t *self, size_t number)
{
    disk_file_t *file = &self->files[number];
    for (size_t step = file->synced; step < self->at; step++)
        if (concerns (self, step, number))
            play (&file->durable, &self->log->steps[step]);
    file->synced = self->at;
}

void disk_step (disk_t *self)
{
    const crash_step_t *step = &self->log->steps[self->at++];
    size_t file = (size_t) step->entry.file;
    TIM3_ASSERT (self->at <= self->log->count);
    if (is_change (&step->entry))
        play (&self->files[file].now, step);
    play_names (&self->names, step);
    if (step->entry.kind == CRASH_SYNC)
        sync_file (self, file);
    if (step->entry.kind == CRASH_SYNC_DIRECTORY) {
        self->names_durable = self->names;
        self->names_synced = self->at;
    }
}

/*  --------------------------------------------------------------------------------------- losing power  */

typedef struct {
    disk_t *disk;
    disk_file_t *file;
    size_t number; /* of the file */
    seeded_t *seeded;
    disk_loss_t loss;
    size_t end;        /* steps issued */
    size_t certain;    /* steps of which those that sync themselves are done */
    size_t chosen;     /* the write that TAIL, HEAD, ONE and ALL_BUT_ONE are about */
    uint64_t survives; /* of 8 pieces, about */
    size_t length_at;  /* step whose length of the file is on the disk */
    size_t writes;     /* played so far */
} crash_t;

static bool is_certain (const crash_t *self, size_t step)
{
    return step < self->certain && concerns (self->disk, step, self->number) &&
           self->disk->log->steps[step].entry.kind == CRASH_WRITE_SYNC;
}

static bool survives (crash_t *self)
{
    return seeded_below (self->seeded, 8) < self->survives;
}

/*  Whether the write as a whole survives; where it is torn the pieces have their own say.  */
static bool write_survives (crash_t *self)
{
    size_t write = self->writes++;
    switch (self->loss) {
    case DISK_LOSE_ALL:
        return false;
    case DISK_LOSE_TAIL:
        return write < self->chosen;
    case DISK_LOSE_HEAD:
        return write >= self->chosen;
    case DISK_LOSE_ONE:
        return write != self->chosen;
    case DISK_LOSE_ALL_BUT_ONE:
        return write == self->chosen;
    case DISK_LOSE_WRITES:
        return survives (self);
    default:
        return true;
    }
}

static bool sector_survives (crash_t *self, size_t sector, bool before)
{
    if (self->loss == DISK_LOSE_SECTORS || (self->loss == DISK_LOSE_PAGES && sector % PAGE == 0))
        return survives (self);
    return before;
}

/*  Puts the sectors of a span on the disk as they are at this moment.  */
static void write_back (crash_t *self, span_t span, bool certain, disk_file_image_t *image)
{
    bool whole = certain || write_survives (self);
    bool survived = whole;
    for (size_t at = span.from / DISK_SECTOR * DISK_SECTOR; at < span.to; at += DISK_SECTOR) {
        survived = certain ? true : sector_survives (self, at, survived);
        if (survived)
            memcpy (image->data + at, self->file->moment.data + at, DISK_SECTOR);
    }
}

static size_t count_writes (const crash_t *self)
{
    size_t count = 0;
    for (size_t step = self->file->synced; step < self->end; step++)
        count += concerns (self->disk, step, self->number) && !is_certain (self, step);
    return count;
}

/*  The length on the disk is at least that of the last step that is certain, and may be that of a later one.  */
static size_t choose_length (const crash_t *self)
{
    size_t least = self->file->synced;
    for (size_t step = least; step < self->end; step++)
        if (is_certain (self, step))
            least = step + 1;
    if (self->loss == DISK_LOSE_ALL)
        return least;
    if (self->loss == DISK_LOSE_NOTHING || seeded_below (self->seeded, 2))
        return self->end;
    return least + seeded_below (self->seeded, self->end - least + 1);
}

static void choose (crash_t *self)
{
    static const uint64_t chances[] = {1, 4, 4, 7};
    size_t writes = count_writes (self);
    self->chosen = writes ? seeded_below (self->seeded, writes) : 0;
    self->survives = chances[seeded_below (self->seeded, 4)];
    self->length_at = choose_length (self);
}

/*  What lies beyond the length that was synced is nobody's until it is written back.  */
static void fill_new_space (const crash_t *self, disk_file_image_t *image)
{
    size_t from = (image->size + DISK_SECTOR - 1) / DISK_SECTOR * DISK_SECTOR;
    if (seeded_below (self->seeded, 2) && from < self->file->capacity)
        seeded_fill (self->seeded, image->data + from, self->file->capacity - from);
}

static void replay (crash_t *self, disk_file_image_t *image)
{
    disk_file_image_t *moment = &self->file->moment;
    size_t length = moment->size;
    for (size_t step = self->file->synced; step < self->end; step++) {
        if (!concerns (self->disk, step, self->number))
            continue;
        span_t span = play (moment, &self->disk->log->steps[step]);
        if (span.to > span.from)
            write_back (self, span, is_certain (self, step), image);
        if (step < self->length_at)
            length = moment->size;
    }
    image->size = length;
    memset (image->data + length, 0, self->file->capacity - length);
}

static void lose_file (crash_t *self, size_t number, disk_file_image_t *image)
{
    self->number = number;
    self->file = &self->disk->files[number];
    self->writes = 0;
    copy (self->file, image, &self->file->durable);
    if (count_writes (self) == 0 && self->file->synced == self->disk->at)
        return;
    copy (self->file, &self->file->moment, &self->file->durable);
    choose (self);
    fill_new_space (self, image);
    replay (self, image);
}

/*  What was done to names, up to a moment, or any part of it.  */
static void choose_names (const crash_t *self, disk_names_t *names)
{
    size_t from = self->disk->names_synced;
    size_t end = self->loss == DISK_LOSE_ALL ? from : self->end;
    bool parts = self->loss != DISK_LOSE_NOTHING && seeded_below (self->seeded, 2);
    *names = self->disk->names_durable;
    if (!parts && self->loss != DISK_LOSE_ALL && self->loss != DISK_LOSE_NOTHING)
        end = from + seeded_below (self->seeded, end - from + 1);
    for (size_t step = from; step < end; step++)
        if (is_about_names (&self->disk->log->steps[step].entry) &&
            (!parts || seeded_below (self->seeded, 2)))
            play_names (names, &self->disk->log->steps[step]);
}

/*  Only of files that a name leads to: others nobody will see.  */
void disk_lose_power (disk_t *self, bool during, disk_loss_t loss, seeded_t *seeded, disk_image_t *image)
{
    crash_t crash = {
        .disk = self, .seeded = seeded, .loss = loss, .end = self->at + during, .certain = self->at};
    choose_names (&crash, &image->names);
    for (size_t i = 0; i < image->names.count; i++)
        lose_file (&crash, image->names.names[i].file, &image->files[image->names.names[i].file]);
}
