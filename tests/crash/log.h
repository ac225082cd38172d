/*  log.h - what the recorder saw a store do to its files, in order: the format, and how to read it.

    A log is a row of entries back to back; the bytes of a write, or names, follow their entry. Files have numbers, from
    0 on, that they keep whatever they are called. The recorder notes an operation once it has returned, and lets
    the store's threads do one at a time. Between being issued and being synced a write may be on the disk, or not,
    or in part; that is for the reader to play through.
*/
#ifndef TIM3_TESTS_CRASH_LOG_H
#define TIM3_TESTS_CRASH_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*  The longest name, with its NUL; and files at most.  */
#define CRASH_NAME_MAX 48
#define CRASH_FILES_MAX 512

/*  K (KIND, "what it is"). What number means: the place in the file, a new length, or the number of a commit.  */
#define CRASH_KINDS(K)                                                 \
    K (CREATE, "a file gets its first name")                           \
    K (RENAME, "a file gets another name")                             \
    K (UNLINK, "a name goes")                                          \
    K (WRITE, "a write")                                               \
    K (WRITE_SYNC, "a write through a descriptor opened with O_DSYNC") \
    K (TRUNCATE, "a new length")                                       \
    K (SYNC, "a sync of a file")                                       \
    K (SYNC_DIRECTORY, "a sync of the directory")                      \
    K (BEGIN, "a commit begins")                                       \
    K (ACKNOWLEDGE, "a commit has returned")

typedef enum {
#define K(KIND, text) CRASH_##KIND,
    CRASH_KINDS (K)
#undef K
} crash_kind_t;

typedef struct {
    uint32_t kind;
    uint32_t
        size; /* of the bytes that follow: data, or the name (for RENAME the old one, then the new one), with NULs */
    uint64_t file;
    uint64_t number;
} crash_entry_t;

/*  What the recorder offers to the program that it watches, found by name at run time.  */
#define CRASH_MARK "tim3_crash_mark"
typedef void crash_mark_t (crash_kind_t kind, uint64_t number);

typedef struct {
    crash_entry_t entry;
    const uint8_t *bytes; /* of the log */
} crash_step_t;

typedef struct {
    uint8_t *data;
    size_t size;
    crash_step_t *steps;
    size_t count;
    size_t files;
    size_t lengths[CRASH_FILES_MAX]; /* the longest that each of them ever was */
} crash_log_t;

/*  Reads a whole file into memory that the caller frees; ends the program when it cannot.  */
uint8_t *crash_read_file (const char *path, size_t *size);

/*  Ends the program when the log cannot be read or stops in the middle of an entry.  */
void crash_log_read (crash_log_t *self, const char *path);
void crash_log_free (crash_log_t *self);
const char *crash_kind_text (uint32_t kind);
/*  Whether a name is that of a file which holds what the store must not lose.  */
bool crash_is_watched (const char *name);

#endif
