/*  hosts.c - what the agents' own work costs: all of them as hosts in one process, with real stores and no sockets.

    tim3-bench-hosts [mints [outstanding [checkpoint_mb [split | merged [accounts]]]]]: 20,000, 1,000 at once, stretches of 1,024 MB
    and 10,000 accounts if nothing is said; with "merged" the coordinator's host runs the cores of the lock manager and the token
    manager too. For each agent: microseconds of CPU of its thread, commits, bytes in the journal and calls of the allocator, each for
    one mint; and how long its longest batch took, of all. Then the CPU of all checkpoints, which begin once a stretch is full. The
    first tenth of the mints warms up and is not counted. Everything happens in a fixed order, so
    `valgrind --tool=callgrind --toggle-collect=run_lock_manager` counts the same instructions every time.
*/
#include "../unit/plain.h"
#include "agent/host.h"
#include "base/log.h"
#include "store/journal.h"
#include "../../coordinator/core.h"
#include "../../lock_manager/core.h"
#include "../../mock_usda/core.h"
#include "../../router/core.h"
#include "../../state_manager/core.h"
#include "../../token_manager/core.h"

#include <dirent.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TICK_US 250000
#define STEP_US 5000
#define MINTS_MOST 10000000ull
#define ACCOUNTS_MOST 10000000ull
#define OUTSTANDING_MOST 100000ull

/*  A (address, core)  */
#define AGENTS(A)                             \
    A ("router.-.0", router)                  \
    A ("coordinator.TIM3.0", coordinator)     \
    A ("lock_manager.TIM3.0", lock_manager)   \
    A ("token_manager.TIM3.0", token_manager) \
    A ("mock_usda.USDA.0", mock_usda)         \
    A ("state_manager.-.0", state_manager)

#define A(address, core) AGENT_##core,
enum { AGENTS (A) CAST };
#undef A

typedef struct {
    uint64_t cpu_ns;
    uint64_t allocations;
    uint64_t commits;
    uint64_t journal_bytes;
    uint64_t longest_ns;
} cost_t;

typedef struct {
    tim3_settings_t settings;
    tim3_store_t *store;
    tim3_host_t *host;
    char path[256];
    tim3_buffer_t inbox; /* letter_t and a frame each */
    tim3_buffer_t taken;
    cost_t cost;
} agent_t;

typedef struct {
    uint32_t size;
    uint32_t from; /* CAST: the client */
    bool answer;
} letter_t;

static agent_t s_agents[CAST];
static const char *const s_names[] = {
#define A(address, core) address,
    AGENTS (A)
#undef A
};
static uint64_t s_now = 1000000000000ull;
static uint64_t s_next_id = 1;
static uint64_t s_answered;
static uint64_t s_refused;
static uint64_t s_accounts;
static bool s_merged;
static char s_folder[] = "/tmp/tim3-bench-hosts-XXXXXX";

/*  --------------------------------------------------------------------------------------------- counting  */

extern void *__libc_malloc (size_t size);
extern void *__libc_calloc (size_t count, size_t size);
extern void *__libc_realloc (void *memory, size_t size);
static _Thread_local uint64_t s_allocations;

void *malloc (size_t size)
{
    s_allocations++;
    return __libc_malloc (size);
}

void *calloc (size_t count, size_t size)
{
    s_allocations++;
    return __libc_calloc (count, size);
}

void *realloc (void *memory, size_t size)
{
    s_allocations++;
    return __libc_realloc (memory, size);
}

/*  The linker puts this in front of the journal's.  */
extern tim3_store_error_t __real_tim3_journal_append (tim3_journal_t *self, uint8_t *data, size_t size);
extern tim3_store_error_t __wrap_tim3_journal_append (tim3_journal_t *self, uint8_t *data, size_t size);
static uint64_t s_journal_bytes;

tim3_store_error_t __wrap_tim3_journal_append (tim3_journal_t *self, uint8_t *data, size_t size)
{
    s_journal_bytes += size;
    return __real_tim3_journal_append (self, data, size);
}

static uint64_t clock_ns (clockid_t clock)
{
    struct timespec now;
    clock_gettime (clock, &now);
    return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

/*  ---------------------------------------------------------------------------------------- life and death  */

static void fill_settings (tim3_settings_t *settings, const char *name)
{
    plain_settings (settings, name);
    settings->sweep_after_us = 10000000;
    settings->sweep_most_us = 60000000;
    settings->retry_us = 5000000;
    settings->in_flight_most = OUTSTANDING_MOST;
}

static bool is_hosted (unsigned i)
{
    return s_merged && (i == AGENT_lock_manager || i == AGENT_token_manager);
}

/*  By the coordinator, which is there already.  */
static void start_hosted (unsigned i, const tim3_core_t *core)
{
    fill_settings (&s_agents[i].settings, s_names[i]);
    tim3_host_add (s_agents[AGENT_coordinator].host, core, &s_agents[i].settings);
}

static void start (unsigned i, const tim3_core_t *core, uint64_t checkpoint_mb)
{
    bool shared = s_merged && i == AGENT_coordinator;
    agent_t *agent = &s_agents[i];
    char why[512];
    tim3_store_options_t options = {.path = agent->path,
                                    .name = s_names[i],
                                    .map_size = 1ull << 33,
                                    .now_us = s_now,
                                    .journal = !core->keeps_nothing || shared,
                                    .shared = shared,
                                    .checkpoint_bytes = checkpoint_mb << 20,
                                    .memory_most = 4ull << 30,
                                    .keep_us = 3600000000ull,
                                    .keep_bytes = 1ull << 40};
    tim3_host_options_t host = {.incarnation = s_now, .endpoint = "ipc://bench", .shared = shared};

    if (is_hosted (i)) {
        start_hosted (i, core);
        return;
    }
    snprintf (agent->path, sizeof agent->path, "%s/%s", s_folder, s_names[i]);
    options.fresh_id.bytes[0] = (uint8_t) (i + 1);
    strcpy (host.name, s_names[i]);
    fill_settings (&agent->settings, s_names[i]);
    agent->store = tim3_store_open (&options, &host.meta, why, sizeof why);
    if (!agent->store) {
        fprintf (stderr, "%s\n", why);
        exit (1);
    }
    host.commits = tim3_store_commits (agent->store);
    agent->host = tim3_host_new (core, &agent->settings, agent->store, &host);
}

static void remove_folder (const char *path)
{
    DIR *folder = opendir (path);
    struct dirent *entry;
    char name[600];
    while (folder && (entry = readdir (folder))) {
        snprintf (name, sizeof name, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink (name);
    }
    if (folder)
        closedir (folder);
    rmdir (path);
}

/*  ------------------------------------------------------------------------------------------ the network  */

static void post (unsigned to, unsigned from, bool answer, const uint8_t *data, size_t size)
{
    letter_t letter = {(uint32_t) size, from, answer};
    tim3_buffer_append (&s_agents[to].inbox, &letter, sizeof letter);
    tim3_buffer_append (&s_agents[to].inbox, data, size);
}

static void count_answers (const uint8_t *at, size_t size)
{
    const uint8_t *end = at + size;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    while (tim3_envelope_read (&at, end, &envelope, &fault) == 1) {
        s_answered++;
        s_refused += envelope.type == TIM3_MSG_ERROR;
    }
}

static unsigned find (const char *address)
{
    unsigned i = 0;
    while (i < CAST && strcmp (s_names[i], address) != 0)
        i++;
    TIM3_ASSERT (i < CAST);
    return is_hosted (i) ? AGENT_coordinator : i;
}

static void let_out (unsigned from)
{
    const tim3_frame_t *frame;
    while ((frame = tim3_host_next (s_agents[from].host)))
        if (frame->address)
            post (find (frame->address), from, false, frame->data, frame->size);
        else if (frame->peer[4] == CAST)
            count_answers (frame->data, frame->size);
        else
            post (frame->peer[4], from, true, frame->data, frame->size);
}

/*  Routing ids as ZeroMQ makes them: five bytes, of which the first is 0.  */
static void take (agent_t *agent, const letter_t *letter, const uint8_t *data)
{
    uint8_t peer[5] = {0, 0x6b, 0x8b, 0x45, (uint8_t) letter->from};
    tim3_origin_t origin = {letter->answer, peer, sizeof peer};
    if (letter->answer)
        origin =
            (tim3_origin_t){true, (const uint8_t *) s_names[letter->from], strlen (s_names[letter->from])};
    tim3_host_take (agent->host, &origin, data, letter->size);
}

static void run (unsigned i, bool tick)
{
    agent_t *agent = &s_agents[i];
    letter_t letter;
    tim3_host_begin (agent->host, s_now);
    for (size_t at = 0; at < agent->taken.size; at += sizeof letter + letter.size) {
        memcpy (&letter, agent->taken.data + at, sizeof letter);
        take (agent, &letter, agent->taken.data + at + sizeof letter);
    }
    if (tick)
        tim3_host_tick (agent->host);
    TIM3_ASSERT (tim3_host_commit (agent->host) == 0);
}

/*  One function for each agent, so that a profile can tell them apart.  */
#define A(address, core)                                                 \
    static __attribute__ ((noinline)) void run_##core (bool tick)        \
    {                                                                    \
        run (AGENT_##core, tick);                                        \
        __asm__ volatile(""); /* not a jump: it is to be on the stack */ \
    }
AGENTS (A)
#undef A

static void (*const s_run[CAST]) (bool tick) = {
#define A(address, core) run_##core,
    AGENTS (A)
#undef A
};

static void work (unsigned i, bool tick)
{
    agent_t *agent = &s_agents[i];
    if ((agent->inbox.size == 0 && !tick) || is_hosted (i))
        return;
    tim3_buffer_t inbox = agent->inbox;
    agent->inbox = agent->taken;
    agent->taken = inbox;
    tim3_buffer_clear (&agent->inbox);
    uint64_t begun = clock_ns (CLOCK_THREAD_CPUTIME_ID);
    uint64_t begun_wall = clock_ns (CLOCK_MONOTONIC);
    uint64_t allocations = s_allocations;
    uint64_t journal_bytes = s_journal_bytes;
    s_run[i](tick);
    agent->cost.allocations += s_allocations - allocations;
    agent->cost.journal_bytes += s_journal_bytes - journal_bytes;
    agent->cost.cpu_ns += clock_ns (CLOCK_THREAD_CPUTIME_ID) - begun;
    uint64_t wall = clock_ns (CLOCK_MONOTONIC) - begun_wall;
    if (wall > agent->cost.longest_ns)
        agent->cost.longest_ns = wall;
    let_out (i);
}

static void step (void)
{
    static uint64_t next_tick;
    bool tick = s_now >= next_tick;
    if (tick)
        next_tick = s_now + TICK_US;
    s_now += STEP_US;
    for (unsigned i = 0; i < CAST; i++)
        work (i, tick);
}

/*  --------------------------------------------------------------------------------------------- the client  */

static void ask (unsigned to, uint64_t type, const char *account, const void *body)
{
    tim3_envelope_t envelope = {.type = type, .id = s_next_id++, .sender = "client", .time_us = s_now};
    static tim3_buffer_t buffer;
    memcpy (envelope.trace.bytes, &s_now, sizeof s_now);
    memcpy (envelope.trace.bytes + 8, &envelope.id, sizeof envelope.id);
    strcpy (envelope.recipient, s_names[to]);
    strcpy (envelope.account, account);
    memcpy (envelope.via, "\0\1\2\3\4", 5);
    envelope.via_size = 5;
    tim3_buffer_clear (&buffer);
    tim3_envelope_write (&buffer, &envelope, body);
    post (to, CAST, false, buffer.data, buffer.size);
}

static void name_account (uint64_t number, char account[TIM3_ACCOUNT_MAX + 1])
{
    snprintf (account, TIM3_ACCOUNT_MAX, "account-%08llu", (unsigned long long) number);
}

static void finish (uint64_t answers)
{
    for (int steps = 0; s_answered < answers; steps++) {
        TIM3_ASSERT (steps < 10000);
        step ();
    }
}

static void fund (void)
{
    for (uint64_t i = 0; i < s_accounts; i++) {
        tim3_faucet_t body = {.amount = 1000000000000ull};
        name_account (i, body.account);
        snprintf (body.request_id, sizeof body.request_id, "faucet-%llu", (unsigned long long) i);
        ask (AGENT_mock_usda, TIM3_MSG_FAUCET, body.account, &body);
        if (i % 1000 == 999)
            finish (i + 1);
    }
}

static void mint (uint64_t number)
{
    tim3_mint_t body = {.amount = 1000000 + number % 1000};
    name_account (number * 7919 % s_accounts, body.account);
    /* a UUID of version 7, as the tools and the benchmarks make them */
    snprintf (body.request_id, sizeof body.request_id, "%08llx-%04llx-7%03llx-8%03llx-%012llx",
              (unsigned long long) (s_now / 1000) >> 16, (unsigned long long) (s_now / 1000) & 0xffff,
              (unsigned long long) number & 0xfff, (unsigned long long) (number >> 12) & 0xfff,
              (unsigned long long) number);
    ask (AGENT_coordinator, TIM3_MSG_MINT, body.account, &body);
}

static void mint_all (uint64_t from, uint64_t to, uint64_t outstanding)
{
    uint64_t before = s_answered;
    for (uint64_t sent = from; sent < to;) {
        while (sent < to && sent - from < outstanding + s_answered - before)
            mint (sent++);
        step ();
    }
    finish (before + to - from);
}

/*  ---------------------------------------------------------------------------------------------- report  */

static void look (unsigned i, cost_t *cost)
{
    *cost = s_agents[i].cost;
    if (!is_hosted (i))
        cost->commits = tim3_store_commits (s_agents[i].store);
}

/*  Of all threads but this one.  */
static uint64_t others_ns (void)
{
    return clock_ns (CLOCK_PROCESS_CPUTIME_ID) - clock_ns (CLOCK_THREAD_CPUTIME_ID);
}

static void report (const cost_t before[CAST], uint64_t others_before, uint64_t mints)
{
    uint64_t others = others_ns () - others_before;
    printf ("%-22s %8s %10s %12s %14s %12s\n", "for each mint", "CPU us", "commits", "allocations",
            "journal bytes", "longest ms");
    for (unsigned i = 0; i < CAST; i++) {
        cost_t now;
        look (i, &now);
        if (is_hosted (i))
            continue;
        printf ("%-22s %8.3f %10.4f %12.3f %14.1f %12.1f\n", s_names[i],
                (double) (now.cpu_ns - before[i].cpu_ns) / 1e3 / (double) mints,
                (double) (now.commits - before[i].commits) / (double) mints,
                (double) (now.allocations - before[i].allocations) / (double) mints,
                (double) (now.journal_bytes - before[i].journal_bytes) / (double) mints,
                (double) now.longest_ns / 1e6);
    }
    printf ("%-22s %8.3f\n", "checkpoints", (double) others / 1e3 / (double) mints);
}

static uint64_t argument (int argc, char **argv, int which, uint64_t otherwise, uint64_t most)
{
    uint64_t value = argc > which ? strtoull (argv[which], NULL, 10) : otherwise;
    return value < 1 ? 1 : value > most ? most : value;
}

int main (int argc, char **argv)
{
    uint64_t mints = argument (argc, argv, 1, 20000, MINTS_MOST);
    uint64_t outstanding = argument (argc, argv, 2, 1000, OUTSTANDING_MOST);
    uint64_t checkpoint_mb = argument (argc, argv, 3, 1024, 4096);
    cost_t before[CAST];

    s_accounts = argument (argc, argv, 5, 10000, ACCOUNTS_MOST);
    s_merged = argc > 4 && strcmp (argv[4], "merged") == 0;
    TIM3_ASSERT (sodium_init () >= 0 && mkdtemp (s_folder));
#define A(address, core) start (AGENT_##core, &tim3_##core##_core, checkpoint_mb);
    AGENTS (A)
#undef A
    fund ();
    mint_all (0, mints / 10, outstanding);
    for (unsigned i = 0; i < CAST; i++)
        look (i, &before[i]);
    uint64_t others = others_ns ();
    mint_all (mints / 10, mints, outstanding);
    report (before, others, mints - mints / 10);
    printf ("%llu answers, %llu of them errors\n", (unsigned long long) s_answered,
            (unsigned long long) s_refused);
    for (unsigned i = 0; i < CAST; i++) {
        if (is_hosted (i))
            continue;
        tim3_host_destroy (&s_agents[i].host);
        tim3_store_close (&s_agents[i].store);
        tim3_buffer_free (&s_agents[i].inbox);
        tim3_buffer_free (&s_agents[i].taken);
        remove_folder (s_agents[i].path);
    }
    rmdir (s_folder);
    return s_refused > 0;
}
