/*  journal.c - records appended to segment files. See journal.h for their bytes.

    Files in the directory:

        journal-NUMBER    a segment
        journal.next      the file for the next segment, made before it is needed
        journal.spare     a segment that is no longer needed, kept for the segment after that
        journal.prepared  what becomes journal.next when it is whole
        journal.made      what becomes a segment when a commit has to make the file itself
    The last two are worth nothing when found at a start.

    Old segments are used again rather than deleted. Deleting one can hold up all syncs on the disk (110 ms for 80 MB, where the file system
    tells the disk what is free), and a new file has to be filled with zeros. The old records in it cannot be read as records of the new
    segment, because their checksums are made with another salt.

    Segments are written with O_DIRECT, in whole blocks; the last block is written again with what comes after. That saves copies into the
    page cache, which took a third of all CPU time while segments were filled with zeros. File systems that cannot do it say so when the file is
    opened, or with the first write; then that file is written through the cache.
*/
#include "store/journal.h"
#include "base/log.h"
#include "store/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define SEGMENT_MAGIC 0x53334d54u /* TM3S */
#define RECORD_MAGIC 0x52334d54u  /* TM3R */
#define SEAL_MAGIC 0x45334d54u    /* TM3E */
#define VERSION 1
#define SEGMENT_LEAST (1024 * 1024)
#define PREFIX "journal-"
#define NEXT_FILE "journal.next"
#define PREPARED_FILE "journal.prepared"
#define SPARE_FILE "journal.spare"
#define MADE_FILE "journal.made"
#define BLOCK 4096
#define STAGE (1024 * 1024)
#define SEGMENT_IN_HASTE (2 * 1024 * 1024)
#define ZEROS (256 * 1024)

typedef struct {
    uint32_t magic;
    uint32_t version;
    uint64_t first;
    uint64_t before;
    uint64_t salt;
    uint64_t checksum;
} segment_head_t;

typedef struct {
    uint32_t magic;
    uint32_t size;
    uint64_t number;
    uint64_t before;
    uint64_t checksum;
} record_head_t;

_Static_assert(sizeof (record_head_t) == TIM3_JOURNAL_HEAD, "the head of a record has a fixed size");

struct tim3_journal {
    int directory; /* not owned */
    int file;      /* the segment at hand, -1 when there is none */
    uint64_t salt;
    uint64_t at;          /* where the next record goes */
    uint8_t *stage; /* what is written from; begins with the bytes before at in the block that at is in */
    segment_head_t *head; /* has a whole block of memory */
    uint64_t size;        /* of the segment at hand */
    uint64_t segment_most;
    tim3_journal_place_t last;
    bool turn;                  /* the next record is to begin a segment */
    bool wants_next;            /* see tim3_journal_wants_next */
    _Atomic bool next_ready;    /* journal.next is there */
    _Atomic uint64_t next_size; /* that the next segment should have */
};

static uint64_t align (uint64_t at)
{
    return (at + 7) & ~(uint64_t) 7;
}

static uint64_t whole_blocks (uint64_t size)
{
    return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static uint64_t segment_checksum (const segment_head_t *head)
{
    return XXH3_64bits (head, offsetof (segment_head_t, checksum));
}

static uint64_t record_checksum (const record_head_t *head, uint64_t salt, const uint8_t *payload)
{
    uint64_t seed = XXH3_64bits_withSeed (head, offsetof (record_head_t, checksum), salt);
    return XXH3_64bits_withSeed (payload, head->size, seed);
}

/*  --------------------------------------------------------------------------------------------- segments  */

static void segment_name (uint64_t first, char name[40])
{
    snprintf (name, 40, PREFIX "%016" PRIx64, first);
}

static bool parse_name (const char *name, uint64_t *first)
{
    char *end;
    if (strncmp (name, PREFIX, strlen (PREFIX)) != 0 || strlen (name) != strlen (PREFIX) + 16)
        return false;
    *first = strtoull (name + strlen (PREFIX), &end, 16);
    return *end == '\0';
}

static int compare_segments (const void *a, const void *b)
{
    uint64_t first_a = ((const tim3_segment_t *) a)->first;
    uint64_t first_b = ((const tim3_segment_t *) b)->first;
    return first_a < first_b ? -1 : first_a > first_b;
}

tim3_segment_t *tim3_journal_segments (int directory, size_t *count)
{
    tim3_buffer_t found = {0};
    int copy = openat (directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy >= 0 ? fdopendir (copy) : NULL;
    struct dirent *entry;
    struct stat stat;
    tim3_segment_t segment;

    while (listing && (entry = readdir (listing)))
        if (parse_name (entry->d_name, &segment.first) && fstatat (directory, entry->d_name, &stat, 0) == 0) {
            segment.bytes = (uint64_t) stat.st_size;
            tim3_buffer_append (&found, &segment, sizeof segment);
        }
    if (listing)
        closedir (listing);
    *count = found.size / sizeof segment;
    if (*count > 0)
        qsort (found.data, *count, sizeof segment, compare_segments);
    return (tim3_segment_t *) (void *) found.data;
}

/*  The whole file; NULL when it cannot be read.  */
static uint8_t *load (int directory, const tim3_segment_t *segment)
{
    char name[40];
    segment_name (segment->first, name);
    int file = openat (directory, name, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return NULL;
    uint8_t *data = tim3_file_read (file, 0, segment->bytes);
    close (file);
    return data;
}

/*  ---------------------------------------------------------------------------------------------- reading  */

typedef struct {
    int directory;
    tim3_journal_place_t *place;
    tim3_journal_take_fn *take;
    void *context;
    char *why;
    size_t why_size;
    /* the segment being walked */
    const uint8_t *data;
    uint64_t size;
    uint64_t at;
    uint64_t salt;
    tim3_journal_place_t last; /* record before at */
} walk_t;

__attribute__ ((format (printf, 2, 3))) static bool refuse (const walk_t *self, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (self->why, self->why_size, format, arguments);
    va_end (arguments);
    return false;
}

static bool whole (const walk_t *self, uint32_t magic, uint64_t at, record_head_t *head)
{
    if (self->size < sizeof *head || at > self->size - sizeof *head)
        return false;
    memcpy (head, self->data + at, sizeof *head);
    return head->magic == magic && head->size <= self->size - at - sizeof *head &&
           record_checksum (head, self->salt, self->data + at + sizeof *head) == head->checksum;
}

static bool whole_record (const walk_t *self, uint64_t at, record_head_t *head)
{
    return whole (self, RECORD_MAGIC, at, head);
}

static bool is_next (const walk_t *self, uint32_t magic, record_head_t *head)
{
    return whole (self, magic, self->at, head) && head->number == self->last.number + 1 &&
           head->before == self->last.checksum;
}

static uint64_t number_at (const walk_t *self, uint64_t at)
{
    uint64_t number;
    memcpy (&number, self->data + at + offsetof (record_head_t, number), sizeof number);
    return number;
}

/*  Whether there is a whole record after the place where the walk ended: then the record at that place was whole once, and is damaged. The
    number is compared first, because it is cheap: leftovers of an earlier use of the file have lower ones.  */
static bool later_record (const walk_t *self, uint64_t *number)
{
    record_head_t head;
    for (uint64_t at = self->at; at + sizeof head <= self->size; at += 8)
        if (number_at (self, at) > self->last.number + 1 && whole_record (self, at, &head)) {
            *number = head.number;
            return true;
        }
    return false;
}

/*  Hands a record to the caller, unless it is one up to *place, which he has already. The record at *place, and the one after it, must fit
    the checksum that he gave.  */
static bool show (walk_t *self, const record_head_t *head)
{
    const uint8_t *payload = self->data + self->at + sizeof *head;
    if (head->number == self->place->number && head->checksum != self->place->checksum)
        return refuse (self, "record %" PRIu64 " is not the one that the state was made with", head->number);
    if (head->number <= self->place->number)
        return true;
    if (head->number == self->place->number + 1 && head->before != self->place->checksum)
        return refuse (self, "record %" PRIu64 " does not follow from the state", head->number);
    if (!self->take (self->context, head->number, payload, head->size, self->why, self->why_size))
        return false;
    *self->place = (tim3_journal_place_t){head->number, head->checksum};
    return true;
}

/*  False with why empty: the head is damaged.  */
static bool begin_segment (walk_t *self, const tim3_segment_t *segment)
{
    segment_head_t head = {0};
    self->at = 0;
    if (self->size >= sizeof head)
        memcpy (&head, self->data, sizeof head);
    if (head.magic != SEGMENT_MAGIC || head.checksum != segment_checksum (&head) ||
        head.first != segment->first)
        return false;
    if (head.version != VERSION)
        return refuse (self, "a segment has version %" PRIu32 ", and this build knows only %d", head.version,
                       VERSION);
    if (head.first == self->place->number + 1 && head.before != self->place->checksum)
        return refuse (self, "the segment of record %" PRIu64 " does not follow from the state", head.first);
    self->salt = head.salt;
    self->at = align (sizeof head);
    self->last = (tim3_journal_place_t){head.first - 1, head.before};
    return true;
}

static bool walk_segment (walk_t *self)
{
    record_head_t head;
    while (is_next (self, RECORD_MAGIC, &head)) {
        if (!show (self, &head))
            return false;
        self->last = (tim3_journal_place_t){head.number, head.checksum};
        self->at = align (self->at + sizeof head + head.size);
    }
    return true;
}

/*  Checks that after the last whole record of a segment comes the next segment, or nothing at all.  */
static bool check_end (walk_t *self, const tim3_segment_t *next)
{
    uint64_t later;
    record_head_t seal;
    if (!next && is_next (self, SEAL_MAGIC, &seal))
        return refuse (self, "record %" PRIu64 " is missing: the segment that begins with it is gone",
                       seal.number);
    if (next && next->first == self->last.number + 1)
        return true;
    if (next)
        later = next->first;
    else if (!later_record (self, &later))
        return true;
    return refuse (self, "record %" PRIu64 " is missing or damaged, and record %" PRIu64 " came after it",
                   self->last.number + 1, later);
}

static bool walk_file (walk_t *self, const tim3_segment_t *segment, bool is_last)
{
    char name[40];
    uint8_t *data = load (self->directory, segment);
    segment_name (segment->first, name);
    if (!data)
        return refuse (self, "cannot read %s: %s", name, strerror (errno));
    self->data = data;
    self->size = segment->bytes;
    bool good = begin_segment (self, segment);
    if (good)
        good = walk_segment (self) && check_end (self, is_last ? NULL : segment + 1);
    else if (self->why[0] == '\0')
        refuse (self, "the head of %s is damaged", name);
    free (data);
    self->data = NULL;
    return good;
}

/*  The segment that holds the record after the place, or will: the last one that does not begin after it.  */
static size_t first_to_walk (const walk_t *self, const tim3_segment_t *segments, size_t count)
{
    size_t at = 0;
    while (at + 1 < count && segments[at + 1].first <= self->place->number + 1)
        at++;
    return at;
}

static bool walk (walk_t *self, const tim3_segment_t *segments, size_t count)
{
    uint64_t place = self->place->number;
    self->why[0] = '\0';
    if (count == 0)
        return true;
    size_t at = first_to_walk (self, segments, count);
    if (segments[at].first > place + 1)
        return refuse (self, "record %" PRIu64 " is missing, and record %" PRIu64 " is there", place + 1,
                       segments[at].first);
    for (; at < count; at++)
        if (!walk_file (self, &segments[at], at + 1 == count))
            return false;
    if (self->last.number < place)
        return refuse (self, "it ends with record %" PRIu64 ", and the state holds %" PRIu64,
                       self->last.number, place);
    return true;
}

bool tim3_journal_read (int directory, tim3_journal_place_t *place, tim3_journal_take_fn *take, void *context,
                        char *why, size_t why_size)
{
    size_t count;
    tim3_segment_t *segments = tim3_journal_segments (directory, &count);
    walk_t self = {.directory = directory,
                   .place = place,
                   .take = take,
                   .context = context,
                   .why = why,
                   .why_size = why_size};
    bool good = walk (&self, segments, count);
    free (segments);
    return good;
}

/*  ---------------------------------------------------------------------------------------- making files  */

static tim3_store_error_t failure (const char *doing)
{
    bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
    tim3_log (full ? TIM3_WARN : TIM3_ERROR, "journal", "doing=%s reason=\"%s\"", doing, strerror (errno));
    return full ? TIM3_STORE_FULL : TIM3_STORE_IO;
}

/*  With O_DIRECT, if the file system can do that.  */
static int open_file (int directory, const char *name, int flags)
{
    int file = openat (directory, name, O_RDWR | O_CLOEXEC | O_DIRECT | flags, 0600);
    return file >= 0 || errno != EINVAL ? file : openat (directory, name, O_RDWR | O_CLOEXEC | flags, 0600);
}

static void *alloc_blocks (size_t size)
{
    void *blocks = aligned_alloc (BLOCK, size);
    TIM3_ASSERT (blocks);
    memset (blocks, 0, size);
    return blocks;
}

/*  After a write was refused: switches O_DIRECT off, if that was why. True when the write should be tried again.  */
static bool can_go_through_cache (int file)
{
    int flags = errno == EINVAL ? fcntl (file, F_GETFL) : 0;
    return flags > 0 && flags & O_DIRECT && fcntl (file, F_SETFL, flags & ~O_DIRECT) == 0;
}

/*  A short write means that the disk is full.  */
static bool write_all (int file, const void *data, size_t size, uint64_t at)
{
    ssize_t written = pwrite (file, data, size, (off_t) at);
    if (written < 0 && can_go_through_cache (file))
        written = pwrite (file, data, size, (off_t) at);
    if (written >= 0 && written < (ssize_t) size)
        errno = ENOSPC;
    return written == (ssize_t) size;
}

/*  Called between pieces by whoever is in no hurry; a NULL leisure_t is one who is.  */
typedef struct {
    tim3_journal_rest_fn *rest;
    void *context;
} leisure_t;

static uint64_t clock_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

static bool write_zeros (int file, uint64_t size, const leisure_t *leisure)
{
    bool good = true;
    uint8_t *zeros = alloc_blocks (ZEROS);
    for (uint64_t at = 0; at < size && good; at += ZEROS) {
        uint64_t begun = clock_us ();
        good = write_all (file, zeros, size - at < ZEROS ? size - at : ZEROS, at);
        if (good && leisure && !leisure->rest (leisure->context, clock_us () - begun)) {
            errno = EINTR;
            good = false;
        }
    }
    int error = errno;
    free (zeros);
    errno = error;
    return good && fsync (file) == 0;
}

/*  Makes a file of zeros, all of which have been written, so that later writes never need room; -1 with errno set when there is none.  */
static int make_file (int directory, const char *name, uint64_t size, const leisure_t *leisure)
{
    int file = open_file (directory, name, O_CREAT | O_TRUNC);
    if (file < 0)
        return -1;
    if (write_zeros (file, size, leisure))
        return file;
    int error = errno;
    close (file);
    unlinkat (directory, name, 0);
    errno = error;
    return -1;
}

bool tim3_journal_wants_next (tim3_journal_t *self)
{
    bool wants = self->wants_next && !atomic_load (&self->next_ready);
    self->wants_next = false;
    return wants;
}

/*  Makes the spare segment the next one, if it is there and large enough. The new name is synced before anything is written to the file: a
    crash must not leave it under the old name with a new head.  */
static bool use_spare (tim3_journal_t *self, uint64_t size)
{
    struct stat stat;
    if (fstatat (self->directory, SPARE_FILE, &stat, 0) != 0)
        return false;
    if ((uint64_t) stat.st_size >= size)
        return renameat (self->directory, SPARE_FILE, self->directory, NEXT_FILE) == 0 && fsync (self->directory) == 0;
    unlinkat (self->directory, SPARE_FILE, 0);
    return false;
}

static bool make_next (tim3_journal_t *self, uint64_t size, const leisure_t *leisure)
{
    int file = make_file (self->directory, PREPARED_FILE, size, leisure);
    if (file < 0)
        return false;
    close (file);
    return renameat (self->directory, PREPARED_FILE, self->directory, NEXT_FILE) == 0;
}

void tim3_journal_prepare (tim3_journal_t *self, tim3_journal_rest_fn *rest, void *context)
{
    leisure_t leisure = {rest, context};
    uint64_t size = atomic_load (&self->next_size);
    if (atomic_load (&self->next_ready))
        return;
    /* when both fail, the commit that needs the file tries to make it, and tells the error */
    if (use_spare (self, size) || make_next (self, size, &leisure))
        atomic_store (&self->next_ready, true);
}

/*  The file made beforehand; -1 when there is none, or it is too small.  */
static int take_prepared (tim3_journal_t *self, uint64_t least, uint64_t *size)
{
    struct stat stat;
    if (!atomic_load (&self->next_ready))
        return -1;
    int file = open_file (self->directory, NEXT_FILE, 0);
    if (file >= 0 && fstat (file, &stat) == 0 && (uint64_t) stat.st_size >= least) {
        *size = (uint64_t) stat.st_size;
        return file;
    }
    if (file >= 0)
        close (file);
    return -1;
}

/*  The file for a new segment. If it has not been prepared in time it is made here, and is small, because a commit waits for it.  */
static int take_file (tim3_journal_t *self, uint64_t least, const char **name, uint64_t *size)
{
    int file = take_prepared (self, least, size);
    *name = file >= 0 ? NEXT_FILE : MADE_FILE;
    if (file >= 0)
        return file;
    *size = atomic_load (&self->next_size);
    *size = *size < SEGMENT_IN_HASTE ? *size : SEGMENT_IN_HASTE;
    *size = *size > least ? *size : whole_blocks (least);
    return make_file (self->directory, *name, *size, NULL);
}

/*  The head is synced before the file gets a segment's name. So a segment with a bad head is a damaged one, never one that was being begun.  */
static int write_segment_head (const tim3_journal_t *self, int file)
{
    segment_head_t *head = self->head;
    *head = (segment_head_t){SEGMENT_MAGIC, VERSION, self->last.number + 1, self->last.checksum, 0, 0};
    if (getrandom (&head->salt, sizeof head->salt, 0) != (ssize_t) sizeof head->salt)
        return -1;
    head->checksum = segment_checksum (head);
    return write_all (file, self->head, BLOCK, 0) ? fdatasync (file) : -1;
}

/*  The next segment is to be twice as large as the largest so far, within bounds.  */
static void plan_next (tim3_journal_t *self)
{
    uint64_t size = self->size * 2;
    size = size < atomic_load (&self->next_size) ? atomic_load (&self->next_size) : size;
    size = size < SEGMENT_LEAST ? SEGMENT_LEAST : size;
    size = size > self->segment_most ? self->segment_most : size;
    atomic_store (&self->next_size, whole_blocks (size));
}

static record_head_t make_head (const tim3_journal_t *self, uint32_t magic, const uint8_t *payload,
                                size_t size)
{
    record_head_t head = {magic, (uint32_t) size, self->last.number + 1, self->last.checksum, 0};
    head.checksum = record_checksum (&head, self->salt, payload);
    return head;
}

/*  Writes and syncs. The start of the block in which the data ends is kept in stage, to be written again with the next record.  */
static bool write_durably (tim3_journal_t *self, const uint8_t *data, size_t size)
{
    while (size > 0) {
        size_t before = self->at % BLOCK;
        size_t taken = size < STAGE - before ? size : STAGE - before;
        size_t end = before + taken;
        memcpy (self->stage + before, data, taken);
        memset (self->stage + end, 0, whole_blocks (end) - end);
        if (!write_all (self->file, self->stage, whole_blocks (end), self->at - before))
            return false;
        if (end % BLOCK != 0)
            memmove (self->stage, self->stage + (end - end % BLOCK), BLOCK);
        data += taken;
        size -= taken;
        self->at += taken;
    }
    self->at = align (self->at);
    return fdatasync (self->file) == 0;
}

/*  Ends the segment at hand with a seal, which says that another segment follows.  */
static bool seal (tim3_journal_t *self)
{
    record_head_t head = make_head (self, SEAL_MAGIC, NULL, 0);
    return write_durably (self, (const uint8_t *) &head, sizeof head);
}

/*  Begins a segment. Its name is synced before a record can be in it. Once the file has the name there is no way back, for the segment before
    must not go on: an error from then on is TIM3_STORE_IO, even if the disk is full.  */
static tim3_store_error_t begin_file (tim3_journal_t *self, uint64_t least)
{
    char name[40];
    const char *taken;
    uint64_t size;
    int file = take_file (self, sizeof (segment_head_t) + least + sizeof (record_head_t), &taken, &size);
    if (file < 0)
        return failure ("segment");
    segment_name (self->last.number + 1, name);
    if (write_segment_head (self, file) || renameat (self->directory, taken, self->directory, name)) {
        int error = errno;
        close (file);
        errno = error;
        return failure ("segment");
    }
    if (fsync (self->directory) || (self->file >= 0 && !seal (self))) {
        failure ("segment");
        close (file);
        return TIM3_STORE_IO;
    }
    if (strcmp (taken, NEXT_FILE) == 0)
        atomic_store (&self->next_ready, false);
    if (self->file >= 0)
        close (self->file);
    self->file = file;
    self->size = size;
    self->salt = self->head->salt;
    self->at = align (sizeof (segment_head_t));
    memcpy (self->stage, self->head, BLOCK);
    self->turn = false;
    self->wants_next = true;
    plan_next (self);
    return TIM3_STORE_OK;
}

/*  -------------------------------------------------------------------------------------------- appending  */

tim3_store_error_t tim3_journal_append (tim3_journal_t *self, uint8_t *record, size_t size)
{
    TIM3_ASSERT (size >= sizeof (record_head_t) && size - sizeof (record_head_t) <= UINT32_MAX);
    if (align (size) > tim3_journal_room (self)) {
        tim3_store_error_t error = begin_file (self, align (size));
        if (error)
            return error;
    }
    record_head_t head = make_head (self, RECORD_MAGIC, record + sizeof head, size - sizeof head);
    memcpy (record, &head, sizeof head);
    /* the file was filled with zeros before, so this never fails for lack of room */
    if (!write_durably (self, record, size)) {
        failure ("append");
        return TIM3_STORE_IO;
    }
    self->last = (tim3_journal_place_t){head.number, head.checksum};
    return TIM3_STORE_OK;
}

tim3_journal_place_t tim3_journal_last (const tim3_journal_t *self)
{
    return self->last;
}

/*  There must also be room for the seal.  */
uint64_t tim3_journal_room (const tim3_journal_t *self)
{
    uint64_t end = self->at + sizeof (record_head_t);
    return self->file < 0 || self->turn || end > self->size ? 0 : self->size - end;
}

void tim3_journal_turn (tim3_journal_t *self)
{
    self->turn = true;
}

/*  ---------------------------------------------------------------------------------------- life and death  */

void tim3_journal_trim (tim3_journal_t *self, uint64_t number)
{
    char name[40];
    size_t count;
    tim3_segment_t *segments = tim3_journal_segments (self->directory, &count);
    for (size_t i = 0; i + 1 < count && segments[i + 1].first <= number + 1; i++) {
        segment_name (segments[i].first, name);
        if (segments[i].bytes < atomic_load (&self->next_size))
            unlinkat (self->directory, name, 0);
        else
            tim3_file_put_by (self->directory, name, SPARE_FILE);
    }
    free (segments);
}

bool tim3_journal_clear (int directory)
{
    char name[40];
    size_t count;
    bool good = true;
    tim3_segment_t *segments = tim3_journal_segments (directory, &count);
    for (size_t i = 0; i < count; i++) {
        segment_name (segments[i].first, name);
        good = unlinkat (directory, name, 0) == 0 && good;
    }
    free (segments);
    unlinkat (directory, NEXT_FILE, 0);
    unlinkat (directory, SPARE_FILE, 0);
    unlinkat (directory, PREPARED_FILE, 0);
    unlinkat (directory, MADE_FILE, 0);
    return good && fsync (directory) == 0;
}

static bool read_block (const tim3_journal_t *self, uint64_t at)
{
    off_t begin = (off_t) (at - at % BLOCK);
    ssize_t got = pread (self->file, self->stage, BLOCK, begin);
    if (got < 0 && can_go_through_cache (self->file))
        got = pread (self->file, self->stage, BLOCK, begin);
    return got >= (ssize_t) (at % BLOCK);
}

/*  Goes on in the last segment. Its last record, and its name, may only be in the page cache, if the process before was killed before its
    sync: so both are synced here.  */
static bool reopen (tim3_journal_t *self, const walk_t *walk, const tim3_segment_t *segment)
{
    char name[40];
    segment_name (segment->first, name);
    self->file = open_file (self->directory, name, 0);
    if (self->file < 0 || fdatasync (self->file) || fsync (self->directory) || !read_block (self, walk->at))
        return refuse (walk, "cannot sync %s: %s", name, strerror (errno));
    self->size = segment->bytes;
    self->salt = walk->salt;
    self->at = walk->at;
    return true;
}

static void clean_up (tim3_journal_t *self)
{
    unlinkat (self->directory, PREPARED_FILE, 0);
    unlinkat (self->directory, MADE_FILE, 0);
    atomic_store (&self->next_ready, faccessat (self->directory, NEXT_FILE, R_OK | W_OK, 0) == 0);
}

tim3_journal_t *tim3_journal_open (int directory, tim3_journal_place_t *place, uint64_t segment_most,
                                   tim3_journal_take_fn *take, void *context, char *why, size_t why_size)
{
    size_t count;
    tim3_segment_t *segments = tim3_journal_segments (directory, &count);
    tim3_journal_t *self = tim3_alloc (sizeof *self);
    walk_t walking = {.directory = directory,
                      .place = place,
                      .take = take,
                      .context = context,
                      .why = why,
                      .why_size = why_size};

    self->directory = directory;
    self->file = -1;
    self->stage = alloc_blocks (STAGE);
    self->head = alloc_blocks (BLOCK);
    self->segment_most = segment_most < SEGMENT_LEAST ? SEGMENT_LEAST : segment_most;
    bool good =
        walk (&walking, segments, count) && (count == 0 || reopen (self, &walking, &segments[count - 1]));
    self->last = *place;
    self->wants_next = true;
    plan_next (self);
    clean_up (self);
    free (segments);
    if (good && count == 0 && begin_file (self, 0))
        good = refuse (&walking, "cannot make its first segment: %s", strerror (errno));
    if (!good)
        tim3_journal_close (&self);
    return self;
}

void tim3_journal_close (tim3_journal_t **self)
{
    if (!*self)
        return;
    if ((*self)->file >= 0)
        close ((*self)->file);
    free ((*self)->stage);
    free ((*self)->head);
    free (*self);
    *self = NULL;
}
