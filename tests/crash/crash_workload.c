/*  crash_workload.c - runs the workload against a real store, under the recorder:

        TIM3_CRASH_LOG=log LD_PRELOAD=record.so tim3-crash-workload KIND DIRECTORY COMMITS

    KIND is the store's: lmdb or journal. With a journal it waits for a checkpoint now and then; others run beside its
    commits. Half-way it closes the store and opens it again, as an agent does that is restarted.  */
#include "base/log.h"
#include "log.h"
#include "store/store_tiers.h"
#include "workload.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define COMMITS_MAX (WORKLOAD_COMMITS_MAX - WORKLOAD_COMMITS_AFTER)

/*  Commits between two waits.  */
#define WAIT_EVERY 6

static crash_mark_t *s_mark;
static bool s_journal;

static crash_mark_t *find_mark (void)
{
    void *symbol = dlsym (RTLD_DEFAULT, CRASH_MARK);
    if (!symbol)
        tim3_fatal (TIM3_EXIT_USAGE, "no recorder is loaded; preload record.so");
    return (crash_mark_t *) (uintptr_t) symbol;
}

static tim3_store_t *open_store (const char *path)
{
    char why[512];
    tim3_store_t *store = workload_open (path, s_journal, why, sizeof why);
    if (!store)
        tim3_fatal (TIM3_EXIT_RETRY, "%s", why);
    return store;
}

/*  Changes that are given up must leave nothing behind.  */
static void change_and_abort (tim3_store_t *store)
{
    tim3_key_t key = tim3_key_text ("aborted");
    tim3_counter_t counter = {1};
    tim3_store_write (store, TIM3_TABLE_COUNTER, &key, &counter);
    tim3_store_abort (store);
}

static void commit (tim3_store_t *store, unsigned n)
{
    if (n % 5 == 0)
        change_and_abort (store);
    s_mark (CRASH_BEGIN, n);
    if (workload_commit (store, n))
        tim3_fatal (TIM3_EXIT_RETRY, "commit %u failed; make room where the store is", n);
    s_mark (CRASH_ACKNOWLEDGE, n);
    if (s_journal && n % WAIT_EVERY == 0 && !tim3_store_tiers_checkpoint (store))
        tim3_fatal (TIM3_EXIT_RETRY, "the checkpoint after commit %u failed; make room where the store is",
                    n);
}

static void run (const char *path, unsigned commits)
{
    tim3_store_t *store = open_store (path);
    for (unsigned n = 1; n <= commits; n++) {
        commit (store, n);
        if (n == commits / 2) {
            tim3_store_close (&store);
            store = open_store (path);
        }
    }
    tim3_store_close (&store);
}

int main (int argc, char **argv)
{
    long commits = argc == 4 ? strtol (argv[3], NULL, 10) : 0;
    if (commits < 1 || commits > COMMITS_MAX)
        tim3_fatal (TIM3_EXIT_USAGE, "usage: tim3-crash-workload lmdb|journal DIRECTORY COMMITS (1 to %d)",
                    COMMITS_MAX);
    s_journal = strcmp (argv[1], "journal") == 0;
    s_mark = find_mark ();
    workload_plan ();
    run (argv[2], (unsigned) commits);
    return 0;
}
