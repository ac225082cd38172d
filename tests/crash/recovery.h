/*  recovery.h - opens what a crash left with the real store, in a process of its own, and judges it.  */
#ifndef TIM3_TESTS_CRASH_RECOVERY_H
#define TIM3_TESTS_CRASH_RECOVERY_H

#include "disk.h"

typedef struct {
    bool passed;
    unsigned held; /* commits found */
    char why[640]; /* it did not pass */
} recovery_t;

/*  What the store owes at a crash: all commits that were acknowledged, and none that had not begun.  */
typedef struct {
    unsigned acknowledged;
    unsigned begun;
} recovery_terms_t;

/*  The result lives until the next call. The store is made anew in directory each time. With quiet, what the
    store itself says on its way down is thrown away.  */
const recovery_t *recovery_try (const disk_image_t *image, const char *directory, bool journal,
                                recovery_terms_t terms, bool quiet);

/*  Empties a directory, or makes it, and writes the files of an image to it; ends the program when it cannot.  */
void recovery_save (const disk_image_t *image, const char *directory);

#endif
