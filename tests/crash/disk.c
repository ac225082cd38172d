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
    *self = (disk_image_t){.data = tim3_alloc (disk->capacity)};
}

void disk_image_close (disk_image_t *self)
{
    free (self->data);
    *self = (disk_image_t){0};
}

static void copy (const disk_t *disk, disk_image_t *to, const disk_image_t *from)
{
    memcpy (to->data, from->data, disk->capacity);
    to->size = from->size;
    to->name = from->name;
}

/*  The part of the file that a step changes; empty for a step that changes none.  */
typedef struct {
    size_t from;
    size_t to;
} span_t;

static span_t span_of (const disk_image_t *image, const crash_entry_t *entry)
{
    size_t number = (size_t) entry->number;
    switch ((crash_kind_t) entry->kind) {
    case CRASH_WRITE:
    case CRASH_WRITE_SYNC:
        return (span_t){number, number + entry->size};
    case CRASH_TRUNCATE:
        return number < image->size ? (span_t){number, image->size} : (span_t){0, 0};
    default:
        return (span_t){0, 0};
    }
}

/*  What the program, and everyone else on a machine that stays up, sees of a step; returns what it changed.  */
static span_t play (disk_image_t *image, const crash_step_t *step)
{
    const crash_entry_t *entry = &step->entry;
    span_t span = span_of (image, entry);
    if (entry->kind == CRASH_NAME)
        image->name = (crash_name_t) entry->number;
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

/*  -------------------------------------------------------------------------------------------- playing  */

void disk_open (disk_t *self, const crash_log_t *log)
{
    *self = (disk_t){.log = log};
    self->capacity = (log->length_max / PAGE + 1) * PAGE;
    disk_image_open (&self->now, self);
    disk_image_open (&self->durable, self);
    disk_image_open (&self->moment, self);
}

void disk_close (disk_t *self)
{
    disk_image_close (&self->now);
    disk_image_close (&self->durable);
    disk_image_close (&self->moment);
}

static void empty (const disk_t *self, disk_image_t *image)
{
    memset (image->data, 0, self->capacity);
    image->size = 0;
    image->name = CRASH_NAME_NONE;
}

void disk_rewind (disk_t *self)
{
    self->at = self->synced = 0;
    self->name = CRASH_NAME_NONE;
    empty (self, &self->now);
    empty (self, &self->durable);
}

void disk_step (disk_t *self)
{
    const crash_step_t *step = &self->log->steps[self->at++];
    TIM3_ASSERT (self->at <= self->log->count);
    play (&self->now, step);
    if (step->entry.kind == CRASH_SYNC_DIRECTORY)
        self->name = self->now.name;
    if (step->entry.kind == CRASH_SYNC) {
        copy (self, &self->durable, &self->now);
        self->synced = self->at;
    }
}

/*  --------------------------------------------------------------------------------------- losing power  */

typedef struct {
    disk_t *disk;
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
    return step < self->certain && self->disk->log->steps[step].entry.kind == CRASH_WRITE_SYNC;
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
static void write_back (crash_t *self, span_t span, bool certain, disk_image_t *image)
{
    bool whole = certain || write_survives (self);
    bool survived = whole;
    for (size_t at = span.from / DISK_SECTOR * DISK_SECTOR; at < span.to; at += DISK_SECTOR) {
        survived = certain ? true : sector_survives (self, at, survived);
        if (survived)
            memcpy (image->data + at, self->disk->moment.data + at, DISK_SECTOR);
    }
}

static size_t count_writes (const crash_t *self)
{
    size_t count = 0;
    for (size_t step = self->disk->synced; step < self->end; step++) {
        uint32_t kind = self->disk->log->steps[step].entry.kind;
        bool writes = kind == CRASH_WRITE || kind == CRASH_WRITE_SYNC || kind == CRASH_TRUNCATE;
        count += writes && !is_certain (self, step);
    }
    return count;
}

/*  The length on the disk is at least that of the last step that is certain, and may be that of a later one.  */
static size_t choose_length (const crash_t *self)
{
    size_t least = self->disk->synced;
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
static void fill_new_space (const crash_t *self, disk_image_t *image)
{
    size_t from = (image->size + DISK_SECTOR - 1) / DISK_SECTOR * DISK_SECTOR;
    if (seeded_below (self->seeded, 2) && from < self->disk->capacity)
        seeded_fill (self->seeded, image->data + from, self->disk->capacity - from);
}

static void replay (crash_t *self, disk_image_t *image)
{
    disk_image_t *moment = &self->disk->moment;
    size_t length = moment->size;
    for (size_t step = self->disk->synced; step < self->end; step++) {
        span_t span = play (moment, &self->disk->log->steps[step]);
        if (span.to > span.from)
            write_back (self, span, is_certain (self, step), image);
        if (step < self->length_at)
            length = moment->size;
    }
    image->size = length;
}

/*  Names come in order, so what the directory holds is the synced one or any after it.  */
static crash_name_t choose_name (const crash_t *self)
{
    crash_name_t synced = self->disk->name;
    crash_name_t now = self->disk->moment.name;
    if (self->loss == DISK_LOSE_ALL)
        return synced;
    if (self->loss == DISK_LOSE_NOTHING)
        return now;
    return (crash_name_t) (synced + seeded_below (self->seeded, (uint64_t) (now - synced + 1)));
}

static void clear_beyond (const disk_t *disk, disk_image_t *image)
{
    if (image->name == CRASH_NAME_NONE)
        image->size = 0;
    memset (image->data + image->size, 0, disk->capacity - image->size);
}

void disk_lose_power (disk_t *self, bool during, disk_loss_t loss, seeded_t *seeded, disk_image_t *image)
{
    crash_t crash = {
        .disk = self, .seeded = seeded, .loss = loss, .end = self->at + during, .certain = self->at};
    copy (self, image, &self->durable);
    copy (self, &self->moment, &self->durable);
    choose (&crash);
    fill_new_space (&crash, image);
    replay (&crash, image);
    image->name = choose_name (&crash);
    clear_beyond (self, image);
}
