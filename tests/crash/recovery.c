/*  recovery.c - one image, one process: a store that crashes on it takes nobody along.  */
#include "recovery.h"
#include "base/log.h"
#include "workload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/*  Far more than it takes: a damaged tree can send a reader in circles.  */
#define SECONDS_MAX 20

static recovery_t *shared_result (void)
{
    static recovery_t *result;
    if (!result)
        result = mmap (NULL, sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (result == MAP_FAILED)
        tim3_fatal (TIM3_EXIT_RETRY, "cannot share memory: %s; free some", strerror (errno));
    return result;
}

/*  ------------------------------------------------------------------------------------------ directory  */

static void write_all (int file, const uint8_t *data, size_t size, const char *path)
{
    while (size > 0) {
        ssize_t written = write (file, data, size);
        if (written <= 0)
            tim3_fatal (TIM3_EXIT_RETRY, "cannot write %s: %s; make room", path, strerror (errno));
        data += written;
        size -= (size_t) written;
    }
}

static void save_file (const disk_file_image_t *file, const char *path)
{
    int descriptor = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor < 0)
        tim3_fatal (TIM3_EXIT_RETRY, "cannot make %s: %s; check its folder", path, strerror (errno));
    write_all (descriptor, file->data, file->size, path);
    close (descriptor);
}

static void empty (const char *directory)
{
    char path[512];
    struct dirent *entry;
    if (mkdir (directory, 0700) && errno != EEXIST)
        tim3_fatal (TIM3_EXIT_RETRY, "cannot make %s: %s", directory, strerror (errno));
    DIR *listing = opendir (directory);
    while (listing && (entry = readdir (listing))) {
        snprintf (path, sizeof path, "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink (path);
    }
    if (listing)
        closedir (listing);
}

void recovery_save (const disk_image_t *image, const char *directory)
{
    char path[512];
    empty (directory);
    for (size_t i = 0; i < image->names.count; i++) {
        const disk_name_t *name = &image->names.names[i];
        snprintf (path, sizeof path, "%s/%s", directory, name->text);
        save_file (&image->files[name->file], path);
    }
}

/*  ------------------------------------------------------------------------------------------- judging
    In the child.  */

static tim3_store_t *open_again (const char *directory, bool journal, recovery_t *result)
{
    char why[512];
    tim3_store_t *store = workload_open (directory, journal, why, sizeof why);
    if (!store)
        snprintf (result->why, sizeof result->why, "it does not open: %s", why);
    return store;
}

static bool check_terms (recovery_terms_t terms, recovery_t *result)
{
    if (result->held >= terms.acknowledged && result->held <= terms.begun)
        return true;
    snprintf (result->why, sizeof result->why, "it holds %u commits; %u were acknowledged and %u begun",
              result->held, terms.acknowledged, terms.begun);
    return false;
}

static bool go_on (tim3_store_t *store, recovery_t *result)
{
    for (unsigned n = result->held + 1; n <= result->held + WORKLOAD_COMMITS_AFTER; n++) {
        if (workload_commit (store, n)) {
            snprintf (result->why, sizeof result->why, "commit %u, after the recovery, fails", n);
            return false;
        }
    }
    return true;
}

static bool judge_content (tim3_store_t *store, recovery_terms_t terms, recovery_t *result)
{
    result->held = workload_count (store);
    return check_terms (terms, result) &&
           workload_holds (store, result->held, result->why, sizeof result->why) && go_on (store, result);
}

static bool judge (const char *directory, bool journal, recovery_terms_t terms, recovery_t *result)
{
    tim3_store_t *store = open_again (directory, journal, result);
    if (!store)
        return false;
    bool passed = judge_content (store, terms, result);
    tim3_store_close (&store);
    if (!passed)
        return false;
    store = open_again (directory, journal, result);
    passed = store &&
             workload_holds (store, result->held + WORKLOAD_COMMITS_AFTER, result->why, sizeof result->why);
    tim3_store_close (&store);
    return passed;
}

static void run_child (const disk_image_t *image, const char *directory, bool journal, recovery_terms_t terms,
                       bool quiet)
{
    struct rlimit no_core = {0, 0};
    recovery_t *result = shared_result ();
    setrlimit (RLIMIT_CORE, &no_core);
    alarm (SECONDS_MAX);
    int null = open ("/dev/null", O_WRONLY | O_CLOEXEC);
    if (quiet && null >= 0)
        dup2 (null, STDERR_FILENO);
    recovery_save (image, directory);
    result->passed = judge (directory, journal, terms, result);
    _exit (0);
}

/*  ------------------------------------------------------------------------------------------ in the parent  */

static void explain_end (int status, recovery_t *result)
{
    if (WIFSIGNALED (status))
        snprintf (result->why, sizeof result->why, "the process that opened it died: %s",
                  strsignal (WTERMSIG (status)));
    else if (WEXITSTATUS (status))
        snprintf (result->why, sizeof result->why, "the process that opened it ended with code %d",
                  WEXITSTATUS (status));
    else
        return;
    result->passed = false;
}

const recovery_t *recovery_try (const disk_image_t *image, const char *directory, bool journal,
                                recovery_terms_t terms, bool quiet)
{
    int status = 0;
    recovery_t *result = shared_result ();
    *result = (recovery_t){.passed = false};
    pid_t child = fork ();
    if (child < 0)
        tim3_fatal (TIM3_EXIT_RETRY, "cannot fork: %s", strerror (errno));
    if (child == 0)
        run_child (image, directory, journal, terms, quiet);
    while (waitpid (child, &status, 0) < 0)
        TIM3_ASSERT (errno == EINTR);
    explain_end (status, result);
    return result;
}
