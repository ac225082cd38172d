/*  main.c - runs seeds, each in a child of its own, so that a crash of one is a result like any other.

    Exit codes: 0 every seed is good, 1 a rule is broken, 2 usage, 3 something never becomes final, 4 a crash.
*/
#include "sim.h"

#include "base/log.h"

#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    uint64_t from;
    uint64_t seeds;
    bool verbose;
    bool twice;
    bool quiet;
    bool demand; /* every counter has to be reached */
} arguments_t;

static void usage (FILE *out)
{
    fprintf (out,
             "Usage: tim3-sim [--from S] [--seeds N] [--seed S] [--twice] [--verbose] [--quiet] [--demand]\n"
             "Runs TIM3's agents in a simulated, hostile world, and checks them after every commit.\n\n"
             "  --from S    first seed (default 1)\n"
             "  --seeds N   number of seeds (default 100)\n"
             "  --seed S    this seed alone\n"
             "  --twice     run each seed twice; both must go the same way\n"
             "  --verbose   print the whole trace\n"
             "  --quiet     print no summary\n"
             "  --demand    fail when a kind of fault or branch was never reached\n\n"
             "Exit codes: 0 good, 1 a rule is broken, 2 usage, 3 something never becomes final, 4 a crash.\n"
             "Example: tim3-sim --from 1000 --seeds 500\n");
}

static uint64_t parse_number (const char *text)
{
    char *end;
    uint64_t number = strtoull (text, &end, 10);
    if (*text == '\0' || *end) {
        fprintf (stderr, "tim3-sim: \"%s\" is not a number; see --help\n", text);
        exit (2);
    }
    return number;
}

static void parse (int argc, char **argv, arguments_t *arguments)
{
    static const struct option options[] = {{"from", required_argument, NULL, 'f'},
                                            {"seeds", required_argument, NULL, 'n'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"twice", no_argument, NULL, 't'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"demand", no_argument, NULL, 'd'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;
    *arguments = (arguments_t){.from = 1, .seeds = 100};
    while ((option = getopt_long (argc, argv, "h", options, NULL)) != -1) {
        if (option == 'f')
            arguments->from = parse_number (optarg);
        else if (option == 'n')
            arguments->seeds = parse_number (optarg);
        else if (option == 's') {
            arguments->from = parse_number (optarg);
            arguments->seeds = 1;
        } else if (option == 't')
            arguments->twice = true;
        else if (option == 'v')
            arguments->verbose = true;
        else if (option == 'q')
            arguments->quiet = true;
        else if (option == 'd')
            arguments->demand = true;
        else {
            usage (option == 'h' ? stdout : stderr);
            exit (option == 'h' ? 0 : 2);
        }
    }
}

/*  ------------------------------------------------------------------------------------------- one seed  */

/*  An assertion or a wild pointer: says which seed, and how it came to that.  */
static void on_crash (int signal)
{
    printf ("seed %" PRIu64 ": CRASHED: signal %d\n", sim.seed, signal);
    sim_print_story ();
    fflush (stdout);
    _exit (SIM_CRASHED);
}

static _Noreturn void run_child (uint64_t seed, bool verbose, int report)
{
    sim_outcome_t outcome = {.verdict = SIM_CRASHED};
    signal (SIGABRT, on_crash);
    signal (SIGSEGV, on_crash);
    signal (SIGBUS, on_crash);
    signal (SIGFPE, on_crash);
    sim_report_to (report, &outcome);
    sim_run (seed, verbose, &outcome);
    fflush (stdout);
    ssize_t written = write (report, &outcome, sizeof outcome);
    _exit (written == sizeof outcome ? SIM_OK : SIM_CRASHED);
}

static bool read_all (int file, void *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t more = read (file, (char *) data + at, size - at);
        if (more <= 0)
            return false;
        at += (size_t) more;
    }
    return true;
}

static void run_seed (uint64_t seed, bool verbose, sim_outcome_t *outcome)
{
    int ends[2];
    int status;
    fflush (stdout);
    if (pipe (ends) != 0) {
        perror ("tim3-sim: cannot make a pipe");
        exit (2);
    }
    pid_t child = fork ();
    if (child < 0) {
        perror ("tim3-sim: cannot fork");
        exit (2);
    }
    if (child == 0)
        run_child (seed, verbose, ends[1]);
    close (ends[1]);
    if (!read_all (ends[0], outcome, sizeof *outcome)) {
        *outcome = (sim_outcome_t){.verdict = SIM_CRASHED, .rule = "crash"};
    }
    close (ends[0]);
    waitpid (child, &status, 0);
}

static void run_twice (uint64_t seed, sim_outcome_t *outcome)
{
    sim_outcome_t again;
    run_seed (seed, false, &again);
    if (outcome->verdict != SIM_OK || again.digest == outcome->digest)
        return;
    printf ("seed %" PRIu64 ": BROKEN: the same seed went two ways: %016" PRIx64 " and %016" PRIx64 "\n",
            seed, outcome->digest, again.digest);
    outcome->verdict = SIM_INCORRECT;
    strcpy (outcome->rule, "a seed goes one way");
}

/*  ------------------------------------------------------------------------------------------ the summary  */

static void add (sim_counters_t *sum, const sim_counters_t *more)
{
    uint64_t *to = (uint64_t *) sum;
    const uint64_t *from = (const uint64_t *) more;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += from[i];
}

static double seconds (void)
{
    struct timespec time;
    clock_gettime (CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static void print_codes (const char *title, const uint64_t *counts)
{
    printf ("%s:", title);
    for (unsigned code = 0; code < SIM_RESULTS_MAX; code++)
        if (counts[code] > 0)
            printf (" %s=%" PRIu64, tim3_result_name (code), counts[code]);
    printf ("\n");
}

static void print_summary (const arguments_t *arguments, const sim_counters_t *sum, double took)
{
    printf ("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " operations, %.1f simulated hours in %.1f s: "
            "%.0f seeds/s, %.0f steps/s, settled in %.1f s on average\n",
            arguments->seeds, arguments->from, sum->operations, (double) sum->simulated_us / 3.6e9, took,
            (double) arguments->seeds / took, (double) sum->steps / took,
            (double) sum->settling_us / 1e6 / (double) arguments->seeds);
#define C(name) printf (" " #name "=%" PRIu64, sum->name);
    printf ("counted:");
    SIM_COUNTERS (C)
#undef C
    printf ("\n");
    print_codes ("clients were refused", sum->answers);
    print_codes ("errors sent", sum->errors);
}

static bool demand (const char *name, uint64_t count)
{
    if (count == 0)
        printf ("never reached: %s\n", name);
    return count > 0;
}

/*  What some hundred seeds have to have seen, or they do not test what they should.  */
static bool all_reached (const sim_counters_t *sum)
{
    static const unsigned refusals[] = {TIM3_INSUFFICIENT_FUNDS, TIM3_ACCOUNT_FROZEN, TIM3_ASSET_PAUSED,
                                        TIM3_CAP_EXCEEDED,       TIM3_VOIDED,         TIM3_ID_REUSED,
                                        TIM3_AMOUNT_OVERFLOW,    TIM3_INVALID_AMOUNT, TIM3_OVERLOADED,
                                        TIM3_STORAGE_FULL};
    bool all = true;
#define C(name) all &= demand (#name, sum->name);
    SIM_COUNTERS (C)
#undef C
    for (unsigned i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        all &= demand (tim3_result_name (refusals[i]), sum->answers[refusals[i]]);
    all &= demand ("not_ready", sum->answers[TIM3_NOT_READY]);
    all &= demand ("no_answer", sum->answers[TIM3_NO_ANSWER]);
    all &= demand ("bad_receipt", sum->errors[TIM3_BAD_RECEIPT]);
    return all;
}

/*  What somebody else needs to see the same.  */
static void print_failure (uint64_t seed, const sim_outcome_t *outcome)
{
    char commit[64] = "unknown";
    FILE *git = popen ("git describe --always --dirty 2>/dev/null", "r");
    if (git && fgets (commit, sizeof commit, git))
        commit[strcspn (commit, "\n")] = '\0';
    if (git)
        pclose (git);
    printf ("seed %" PRIu64 " fails at commit %s: %s; again with: make sim SEED=%" PRIu64 "\n", seed, commit,
            outcome->rule, seed);
}

int main (int argc, char **argv)
{
    arguments_t arguments;
    sim_counters_t sum = {0};
    sim_outcome_t outcome;
    parse (argc, argv, &arguments);
    if (sodium_init () < 0)
        return 2;
    tim3_log_open ("sim", TIM3_ERROR);
    /* a host's arena comes from the kernel as zeros each time, rather than be cleared by us */
    mallopt (M_MMAP_THRESHOLD, 1024 * 1024);
    double start = seconds ();
    for (uint64_t i = 0; i < arguments.seeds; i++) {
        uint64_t seed = arguments.from + i;
        run_seed (seed, arguments.verbose, &outcome);
        if (arguments.twice)
            run_twice (seed, &outcome);
        add (&sum, &outcome.counters);
        if (outcome.verdict != SIM_OK) {
            print_failure (seed, &outcome);
            return (int) outcome.verdict;
        }
    }
    if (!arguments.quiet)
        print_summary (&arguments, &sum, seconds () - start);
    return arguments.demand && !all_reached (&sum) ? 1 : 0;
}
