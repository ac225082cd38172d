/*  journal.h - records appended one after another to segment files, each durable before the next.

    A segment is a file "journal-" and the number of its first record (16 hexadecimal digits). The file is there in its full size
    before, of zeros or of an older segment, so that an append only changes data: no size, no blocks, no names. Numbers are little-endian,
    records aligned to 8 bytes:

        segment   u32 magic, u32 version, u64 number of the first record, u64 checksum of the record before it,
                  u64 salt, u64 checksum of these
        record    u32 magic, u32 size, u64 number, u64 checksum of the record before, u64 checksum, payload

    A checksum is XXH3-64 over what stands before it and the payload, seeded with the segment's salt. Each record names
    the one before it by number and checksum, so that one of another time or store cannot pass for the next. The salt
    is random: so nobody can send bytes that look like a record, and records of an earlier use of the file are none of this segment.

    Promise: when tim3_journal_append returns 0, the record and all before it survive kill -9 and power loss. What was
    being appended at a crash is there in full or not at all. A record that is damaged, while there are later ones,
    is told at opening; the damaged last one cannot be told from one that was never finished.

    A segment that is followed by another ends with a seal: the head of a record with no payload and another magic. It is written after the
    next segment has its name, so if the last segment that is found has a seal, a later one was lost.
*/
#ifndef TIM3_JOURNAL_H
#define TIM3_JOURNAL_H

#include "store/store.h"

/*  Bytes to leave free in front of a payload.  */
#define TIM3_JOURNAL_HEAD 32

/*  A record, by number and checksum. Number 0 is before the first, with a checksum that tells stores apart.  */
typedef struct {
    uint64_t number;
    uint64_t checksum;
} tim3_journal_place_t;

/*  Is shown one record; false ends the reading, with why filled.  */
typedef bool (tim3_journal_take_fn) (void *context, uint64_t number, const uint8_t *payload, size_t size,
                                     char *why, size_t why_size);

/*  Shows every record after *place, oldest first; *place becomes the last. False with why filled when the journal is damaged, lacks
    the record after *place although it has later ones, or cannot be read.  */
bool tim3_journal_read (int directory, tim3_journal_place_t *place, tim3_journal_take_fn *take, void *context,
                        char *why, size_t why_size);

typedef struct tim3_journal tim3_journal_t;

/*  Reads as tim3_journal_read, makes sure that all of it is durable, and is ready to append; a journal that has no segment
    is begun. The first segments are small, later ones up to segment_most bytes. NULL with why filled. directory stays the caller's.  */
tim3_journal_t *tim3_journal_open (int directory, tim3_journal_place_t *place, uint64_t segment_most,
                                   tim3_journal_take_fn *take, void *context, char *why, size_t why_size);
void tim3_journal_close (tim3_journal_t **self);

/*  record: TIM3_JOURNAL_HEAD bytes to be filled in here, then the payload. TIM3_STORE_OK when it is durable. TIM3_STORE_FULL: nothing
    happened. TIM3_STORE_IO: what is on the disk is not known, stop.  */
tim3_store_error_t tim3_journal_append (tim3_journal_t *self, uint8_t *record, size_t size);
/*  The last record.  */
tim3_journal_place_t tim3_journal_last (const tim3_journal_t *self);
/*  Bytes that still fit into the segment at hand.  */
uint64_t tim3_journal_room (const tim3_journal_t *self);
/*  Lets the next record begin a new segment.  */
void tim3_journal_turn (tim3_journal_t *self);

/*  Called between pieces of work, with how long the last one took; it may sleep. Returns false to stop the work.  */
typedef bool (tim3_journal_rest_fn) (void *context, uint64_t worked_us);

/*  Makes the file for the next segment, if there is none. It takes long, so a thread beside that of the commits calls it.  */
void tim3_journal_prepare (tim3_journal_t *self, tim3_journal_rest_fn *rest, void *context);
/*  True once after a segment was begun and the file of the next one is not there.  */
bool tim3_journal_wants_next (tim3_journal_t *self);

/*  Deletes segments that hold nothing but records up to a number, or keeps one for the file of a later segment. Called by the thread
    that prepares.  */
void tim3_journal_trim (tim3_journal_t *self, uint64_t number);
/*  Deletes all of them; for a journal that nobody has open.  */
bool tim3_journal_clear (int directory);

/*  The segments there are, oldest first: number of the first record, and bytes of the file.  */
typedef struct {
    uint64_t first;
    uint64_t bytes;
} tim3_segment_t;
/*  To be freed by the caller; NULL with *count 0 when there is none, or it cannot be read.  */
tim3_segment_t *tim3_journal_segments (int directory, size_t *count);

#endif
