/*  crash_images.c - what power loss may leave of a recorded store, opened with the real one:

        tim3-crash-images [--count N] [--seed N] [--keep DIRECTORY] [--journal] [--expect-loss] LOG STORE DIRECTORY

    LOG is the recorder's, STORE the folder that the recorded program left, DIRECTORY where each image is
    put and opened. It makes passes over all moments at which power may fail, one image each, until --count
    different images were tried. Each must hold a prefix of the commits with all that were acknowledged.

    With --expect-loss the log is of a program that forgot to sync: then at least one image must fail that came
    after a commit was acknowledged. Without it, images that fail are kept where --keep says.  */
#include "base/bytes.h"
#include "base/log.h"
#include "disk.h"
#include "recovery.h"
#include "workload.h"

#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*  Failures that are told of; the rest are only counted.  */
#define TOLD_MAX 5
/*  Images of one pass while the store is being made, at most.  */
#define MAKING_MAX 1024

typedef struct {
    const char *log;
    const char *store;
    const char *directory;
    const char *keep;
    size_t count;
    uint64_t seed;
    bool journal;
    bool expect_loss;
} options_t;

typedef struct {
    const options_t *options;
    crash_log_t log;
    disk_t disk;
    disk_image_t image;
    recovery_terms_t terms;
    uint64_t *seen; /* hashes of the images tried, open addressing, 0 for none */
    size_t seen_mask;
    size_t pass;
    size_t moment; /* within the pass */
    size_t tried;
    size_t failed;
    size_t lost;      /* of those, after a commit was acknowledged */
    size_t held_more; /* images with commits that nobody had been told of */
} run_t;

/*  -------------------------------------------------------------------------------------------- images  */

/*  The same bytes under other terms are another case. Names have no order.  */
static uint64_t hash_case (const run_t *self)
{
    uint64_t hash = (uint64_t) self->terms.acknowledged << 32 | self->terms.begun << 2;
    for (size_t i = 0; i < self->image.names.count; i++) {
        const disk_name_t *name = &self->image.names.names[i];
        const disk_file_image_t *file = &self->image.files[name->file];
        hash += tim3_hash64 (file->data, file->size, tim3_hash64 (name->text, strlen (name->text), 0));
    }
    return hash ? hash : 1;
}

/*  False when this case was tried before.  */
static bool note_case (run_t *self, uint64_t hash)
{
    size_t at = hash & self->seen_mask;
    while (self->seen[at] && self->seen[at] != hash)
        at = (at + 1) & self->seen_mask;
    bool fresh = self->seen[at] == 0;
    self->seen[at] = hash;
    return fresh;
}

static void keep_image (const run_t *self)
{
    char path[512];
    if (!self->options->keep || self->failed > TOLD_MAX)
        return;
    snprintf (path, sizeof path, "%s/failed-%zu", self->options->keep, self->failed);
    recovery_save (&self->image, path);
    printf ("     kept as %s\n", path);
}

static void tell_failure (const run_t *self, bool during, disk_loss_t loss, const char *why)
{
    const crash_step_t *steps = self->log.steps;
    size_t step = during ? self->disk.at : self->disk.at - 1;
    if (self->failed > TOLD_MAX)
        return;
    printf ("%s pass %zu, moment %zu: power fails %s step %zu (%s), %s: %s\n",
            self->options->expect_loss ? "    " : "FAIL", self->pass, self->moment,
            during ? "within" : "after", step, crash_kind_text (steps[step].entry.kind),
            disk_loss_text (loss), why);
}

static void try_image (run_t *self, bool during, disk_loss_t loss)
{
    const options_t *options = self->options;
    const recovery_t *result =
        recovery_try (&self->image, options->directory, options->journal, self->terms, options->expect_loss);
    self->tried++;
    self->held_more += result->passed && result->held > self->terms.acknowledged;
    if (result->passed)
        return;
    self->failed++;
    self->lost += self->terms.acknowledged > 0;
    tell_failure (self, during, loss, result->why);
    if (!options->expect_loss)
        keep_image (self);
}

/*  -------------------------------------------------------------------------------------------- moments  */

static void lose (run_t *self, bool during, disk_loss_t loss)
{
    uint64_t seed[] = {self->options->seed, self->pass, self->moment};
    seeded_t seeded = {tim3_hash64 (seed, sizeof seed, loss)};
    disk_lose_power (&self->disk, during, loss, &seeded, &self->image);
    if (note_case (self, hash_case (self)))
        try_image (self, during, loss);
}

/*  Each moment sees all losses, one per pass, and its neighbours see others in the same pass. The making of a
    store is short and happens once, so its moments see all of them in each.  */
static void lose_power (run_t *self, bool during)
{
    if (self->terms.begun > 0)
        lose (self, during, (disk_loss_t) ((self->pass + self->moment) % DISK_LOSSES_COUNT));
    else
        for (disk_loss_t loss = 0; loss < DISK_LOSSES_COUNT; loss++)
            lose (self, during, loss);
    self->moment++;
}

static void note_mark (run_t *self, const crash_entry_t *entry)
{
    if (entry->kind == CRASH_BEGIN)
        self->terms.begun = (unsigned) entry->number;
    if (entry->kind == CRASH_ACKNOWLEDGE)
        self->terms.acknowledged = (unsigned) entry->number;
}

/*  Power fails after each step, and within each that syncs itself: a plain write that has been issued may be
    lost as well as one that has not returned, but this one may only until it returns.  */
static void step (run_t *self)
{
    const crash_entry_t *entry = &self->log.steps[self->disk.at].entry;
    if (entry->kind == CRASH_WRITE_SYNC)
        lose_power (self, true);
    disk_step (&self->disk);
    note_mark (self, entry);
    lose_power (self, false);
}

/*  A program that forgets to sync need not be shown to lose more than once.  */
static bool seen_enough (const run_t *self)
{
    return self->options->expect_loss && self->lost > 0;
}

static void play_pass (run_t *self)
{
    disk_rewind (&self->disk);
    self->terms = (recovery_terms_t){0, 0};
    self->moment = 0;
    while (self->disk.at < self->log.count && !seen_enough (self))
        step (self);
}

/*  Until there are enough, or nothing new comes up.  */
static void play_passes (run_t *self)
{
    size_t before;
    do {
        before = self->tried;
        play_pass (self);
        self->pass++;
    } while (self->tried < self->options->count && self->tried > before && !seen_enough (self));
}

/*  ----------------------------------------------------------------------------------------- beginning  */

static bool same_file (const run_t *self, const disk_name_t *name)
{
    char path[512];
    size_t size;
    const disk_file_image_t *now = &self->disk.files[name->file].now;
    snprintf (path, sizeof path, "%s/%s", self->options->store, name->text);
    uint8_t *data = crash_read_file (path, &size);
    bool same = size == now->size && memcmp (data, now->data, size) == 0;
    free (data);
    return same;
}

static size_t count_files (const char *path)
{
    size_t count = 0;
    struct dirent *entry;
    DIR *listing = opendir (path);
    while (listing && (entry = readdir (listing)))
        count += crash_is_watched (entry->d_name);
    if (listing)
        closedir (listing);
    return count;
}

/*  A write that the recorder did not see would make every image worthless.  */
static bool log_is_whole (run_t *self)
{
    disk_rewind (&self->disk);
    while (self->disk.at < self->log.count)
        disk_step (&self->disk);
    bool same = self->disk.names.count == count_files (self->options->store);
    for (size_t i = 0; same && i < self->disk.names.count; i++)
        same = same_file (self, &self->disk.names.names[i]);
    return same && self->disk.names.count > 0;
}

/*  Room for every pass that begins before there are enough.  */
static void make_seen (run_t *self)
{
    size_t size = 1024;
    while (size < 2 * (self->options->count + 2 * self->log.count + MAKING_MAX))
        size *= 2;
    self->seen = tim3_alloc (size * sizeof *self->seen);
    self->seen_mask = size - 1;
}

static void open_run (run_t *self, const options_t *options)
{
    *self = (run_t){.options = options};
    crash_log_read (&self->log, options->log);
    disk_open (&self->disk, &self->log);
    disk_image_open (&self->image, &self->disk);
    make_seen (self);
    if (!log_is_whole (self))
        tim3_fatal (
            TIM3_EXIT_PERMANENT,
            "the log does not add up to %s: the recorder misses a call that the store makes; add it to "
            "tests/crash/record.c",
            options->store);
}

static void close_run (run_t *self)
{
    free (self->seen);
    disk_image_close (&self->image);
    disk_close (&self->disk);
    crash_log_free (&self->log);
}

static void read_option (options_t *options, int option)
{
    switch (option) {
    case 'c':
        options->count = strtoul (optarg, NULL, 10);
        break;
    case 's':
        options->seed = strtoull (optarg, NULL, 10);
        break;
    case 'k':
        options->keep = optarg;
        break;
    case 'j':
        options->journal = true;
        break;
    case 'e':
        options->expect_loss = true;
        break;
    default:
        tim3_fatal (TIM3_EXIT_USAGE, "usage: tim3-crash-images [--count N] [--seed N] [--keep DIRECTORY] "
                                     "[--journal] [--expect-loss] LOG STORE DIRECTORY");
    }
}

static options_t read_options (int argc, char **argv)
{
    static const struct option longs[] = {
        {"count", required_argument, NULL, 'c'}, {"seed", required_argument, NULL, 's'},
        {"keep", required_argument, NULL, 'k'},  {"journal", no_argument, NULL, 'j'},
        {"expect-loss", no_argument, NULL, 'e'}, {NULL, 0, NULL, 0}};
    options_t options = {.count = 500, .seed = 1};
    int option;
    while ((option = getopt_long (argc, argv, "", longs, NULL)) != -1)
        read_option (&options, option);
    if (argc - optind != 3)
        read_option (&options, '?');
    options.log = argv[optind];
    options.store = argv[optind + 1];
    options.directory = argv[optind + 2];
    return options;
}

int main (int argc, char **argv)
{
    run_t run;
    options_t options = read_options (argc, argv);
    setvbuf (stdout, NULL, _IOLBF, 0);
    workload_plan ();
    open_run (&run, &options);
    play_passes (&run);
    printf ("     %zu images of %zu moments (%u commits, seed %llu), %zu with a commit not yet "
            "acknowledged; %zu violations, %zu after a commit was acknowledged\n",
            run.tried, run.moment, run.terms.acknowledged, (unsigned long long) options.seed, run.held_more,
            run.failed, run.lost);
    bool good = options.expect_loss ? run.lost > 0 : run.failed == 0;
    close_run (&run);
    return good ? 0 : 1;
}
