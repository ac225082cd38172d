/*  faults.h - stands in front of the calls that change files, in the whole program: the nth of them can fail, or end
    the process before it happens, and syncs can be slow.

    A process that dies between two of these calls leaves the same as one that dies anywhere in between.
*/
#ifndef TIM3_TESTS_UNIT_FAULTS_H
#define TIM3_TESTS_UNIT_FAULTS_H

#include <stdbool.h>

typedef enum {
    FAULTS_SYNC = 1,
    FAULTS_SYNC_DIRECTORY = 2,
    FAULTS_WRITE = 4,
    FAULTS_NAME = 8,
    FAULTS_ALL = 15,
    FAULTS_OTHERS = 16, /* only calls of threads that are not the one that asks for it */
    FAULTS_ON = 32,     /* those after the nth fail as well */
    FAULTS_DIRECT = 64  /* reads and writes past the page cache */
} faults_kind_t;

/*  The nth call of these kinds from now fails with error; with 0 the process is killed instead.  */
void faults_set (unsigned kinds, unsigned nth, int error);
/*  Each sync by a thread that is not this one takes that long from now on.  */
void faults_slow (unsigned sync_us);
/*  Back to normal. True when the fault has happened.  */
bool faults_clear (void);

#endif
