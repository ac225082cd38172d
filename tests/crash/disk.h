/*  disk.h - a disk that loses power: from a recorder's log, what the files may hold afterwards.

    What a sync has covered is there. Of what was written since, the system may have put any part on the disk
    in any order, so each sector of 512 bytes holds what some moment since the last sync left in it: a later
    write may have arrived without an earlier one. A write of many sectors may be torn between any two. The
    length too is that of some moment since. Space that was added and never written back holds zeros, or what
    another file left there. Each file is by itself: what a sync of one covers says nothing of another.

    What was done to names since the directory was synced may have happened or not: all up to some moment, or any
    part of it, each operation as a whole.

    Not played: a sector that is torn within, which disks promise against, and damage to what was synced.
*/
#ifndef TIM3_TESTS_CRASH_DISK_H
#define TIM3_TESTS_CRASH_DISK_H

#include "log.h"
#include "../unit/seeded.h"

#include <stdbool.h>

#define DISK_SECTOR 512

/*  L (NAME, "name"): how to choose what of the unsynced writes survives.  */
#define DISK_LOSSES(L)                                      \
    L (ALL, "all that is not synced is lost")               \
    L (NOTHING, "nothing is lost")                          \
    L (TAIL, "the last writes are lost")                    \
    L (HEAD, "the first writes are lost")                   \
    L (ONE, "one write is lost")                            \
    L (ALL_BUT_ONE, "one write survives")                   \
    L (WRITES, "some writes are lost")                      \
    L (PAGES, "writes are torn into pieces of 4,096 bytes") \
    L (SECTORS, "writes are torn into pieces of 512 bytes")

typedef enum {
#define L(NAME, text) DISK_LOSE_##NAME,
    DISK_LOSSES (L)
#undef L
        DISK_LOSSES_COUNT
} disk_loss_t;

typedef struct {
    uint8_t *data; /* as long as the file ever was, in whole sectors; zeros beyond size */
    size_t size;
} disk_file_image_t;

typedef struct {
    char text[CRASH_NAME_MAX];
    size_t file;
} disk_name_t;

typedef struct {
    disk_name_t names[CRASH_FILES_MAX];
    size_t count;
} disk_names_t;

typedef struct {
    size_t count; /* of files; those that no name leads to are lost */
    disk_file_image_t *files;
    disk_names_t names;
} disk_image_t;

typedef struct {
    size_t capacity;
    size_t synced;             /* steps that the last sync of the file covered */
    disk_file_image_t now;     /* what the program sees after the steps played */
    disk_file_image_t durable; /* what it saw after synced steps */
    disk_file_image_t moment;  /* of use while an image is made */
} disk_file_t;

typedef struct {
    const crash_log_t *log;
    size_t at; /* steps of the log that were played */
    disk_file_t *files;
    size_t names_synced;        /* steps that the last sync of the directory covered */
    disk_names_t names;         /* that the program sees */
    disk_names_t names_durable; /* that it saw after names_synced steps */
} disk_t;

void disk_open (disk_t *self, const crash_log_t *log);
void disk_close (disk_t *self);
/*  Back to before the first step.  */
void disk_rewind (disk_t *self);
/*  Plays the next step of the log.  */
void disk_step (disk_t *self);

/*  Makes in image, which disk_image_open made, what may be left when power fails now, or, with during, within
    the next step.  */
void disk_lose_power (disk_t *self, bool during, disk_loss_t loss, seeded_t *seeded, disk_image_t *image);

void disk_image_open (disk_image_t *self, const disk_t *disk);
void disk_image_close (disk_image_t *self);
const char *disk_loss_text (disk_loss_t loss);

#endif
