/*  sim.h - the simulated world: agents with their real cores and hosts, and everything around them made up.

    One thread, one heap of events in the order of (time, number). Time jumps from event to event; nothing
    sleeps. One world per process: the caller forks one child for each seed.
*/
#ifndef TIM3_TESTS_SIM_SIM_H
#define TIM3_TESTS_SIM_SIM_H

#include "agent/host.h"
#include "agent/kept.h"
#include "random.h"

#define SIM_MS 1000u
#define SIM_SECOND 1000000u
#define SIM_START (1700000000ull * SIM_SECOND)

#define SIM_ASSETS_MAX 3
#define SIM_COORDINATORS_MAX 4
#define SIM_SHARDS_MAX 3
#define SIM_PROCESSES_MAX (3 + SIM_ASSETS_MAX * (2 * SIM_SHARDS_MAX + SIM_COORDINATORS_MAX))
#define SIM_NODES_MAX (SIM_PROCESSES_MAX + 3)

/*  O (name): what is drawn for a seed, and printed when it fails.  */
#define SIM_OPTIONS(O)     \
    O (assets)             \
    O (coordinators)       \
    O (shards)             \
    O (merged)             \
    O (accounts)           \
    O (operations)         \
    O (window_us)          \
    O (stretch)            \
    O (rich)               \
    O (shared_keys)        \
    O (hostile_network)    \
    O (loss_permille)      \
    O (duplicate_permille) \
    O (lateness_us)        \
    O (delay_least_us)     \
    O (delay_mean_us)      \
    O (partitions)         \
    O (clogs)              \
    O (reconnects)         \
    O (crashes)            \
    O (crashes_in_commit)  \
    O (pauses)             \
    O (slow_disks)         \
    O (full_disks)         \
    O (clock_faults)       \
    O (resizes)            \
    O (stops)              \
    O (rebuilds)           \
    O (forgeries)          \
    O (controls)           \
    O (queries)            \
    O (reuse_permille)     \
    O (tick_us)            \
    O (sweep_after_us)     \
    O (sweep_most_us)      \
    O (retry_us)           \
    O (heartbeat_us)       \
    O (in_flight)          \
    O (backups)            \
    O (run_most)           \
    O (understate_permille)

typedef struct {
#define O(name) uint64_t name;
    SIM_OPTIONS (O)
#undef O
} sim_options_t;

/*  C (name): what is counted over a seed. A run of some hundred seeds must reach each of them.  */
#define SIM_COUNTERS(C)        \
    C (crashes)                \
    C (crashes_in_commit_kept) \
    C (crashes_in_commit_lost) \
    C (disk_errors)            \
    C (pauses)                 \
    C (slow_disks)             \
    C (full_disks)             \
    C (clock_errors)           \
    C (clocks_stopped)         \
    C (partitions_one_way)     \
    C (partitions_both_ways)   \
    C (links_clogged)          \
    C (reconnects)             \
    C (resizes)                \
    C (stops)                  \
    C (rebuilds)               \
    C (frames_lost)            \
    C (frames_duplicated)      \
    C (frames_cut)             \
    C (frames_late)            \
    C (answers_stale)          \
    C (superseded)             \
    C (forged)                 \
    C (replayed)               \
    C (retried)                \
    C (retried_elsewhere)      \
    C (resumed_elsewhere)      \
    C (asked_again)            \
    C (looked_up)              \
    C (looked_up_pending)      \
    C (queries_answered)       \
    C (ids_reused)             \
    C (completed)              \
    C (refused)                \
    C (locks_voided)           \
    C (locks_refused)          \
    C (released)               \
    C (swept_locks)            \
    C (swept_refusals)         \
    C (swept_burns)            \
    C (crossed)                \
    C (crossings_returned)     \
    C (crossings_swept)        \
    C (crossings_half_way)     \
    C (events_resent)          \
    C (acks_understated)       \
    C (acks_inside_a_run)      \
    C (full_checks)            \
    C (backups_begun)          \
    C (backups_broken)         \
    C (backups_good)           \
    C (backups_restored)       \
    C (found_in_backups)       \
    C (commits)                \
    C (frames)                 \
    C (steps)

#define SIM_RESULTS_MAX 64

typedef struct {
#define C(name) uint64_t name;
    SIM_COUNTERS (C)
#undef C
    uint64_t answers[SIM_RESULTS_MAX]; /* errors that clients got, by code */
    uint64_t errors[SIM_RESULTS_MAX];  /* errors that anyone sent, by code */
    uint64_t operations;
    uint64_t simulated_us;
    uint64_t settling_us;
} sim_counters_t;

typedef enum { SIM_OK = 0, SIM_INCORRECT = 1, SIM_STUCK = 3, SIM_CRASHED = 4 } sim_verdict_t;

/*  What a child reports to its parent.  */
typedef struct {
    sim_verdict_t verdict;
    uint64_t digest;
    char rule[96];
    sim_counters_t counters;
} sim_outcome_t;

/*  A frame on its way, or waiting for its commit.  */
typedef struct sim_frame {
    struct sim_frame *next;
    unsigned from;
    unsigned to;
    uint32_t from_life;
    uint32_t to_life;
    uint32_t generation; /* of the connection; an answer to an old one finds nobody */
    bool answer;
    uint64_t number; /* on its link */
    size_t size;
    uint8_t data[];
} sim_frame_t;

typedef struct {
    sim_frame_t *first;
    sim_frame_t **last;
} sim_queue_t;

typedef struct {
    uint64_t real_us; /* when it was last read */
    uint64_t shown_us;
    uint64_t rate_ppm;
    uint64_t stopped_until_us;
    int64_t error_us; /* of the wall clock, at the next start */
} sim_clock_t;

typedef struct {
    char name[TIM3_ADDRESS_MAX + 1];
    const tim3_core_t *core;
    unsigned asset; /* position, for those that have one */
    tim3_settings_t settings;
    tim3_host_options_t options;
    tim3_store_t *disk;
    tim3_store_t *store;   /* the disk, or its sight of one that it shares */
    unsigned hosted_by;    /* its own number, unless its core runs in another process */
    unsigned hosted[TIM3_HOST_CORES_MAX]; /* whose cores it runs besides its own */
    unsigned hosted_count;
    tim3_host_t *host; /* NULL: down */
    tim3_kept_t kept;  /* while it is held */
    uint32_t life;
    bool committing; /* frames wait in out until the disk is done */
    bool wanted;     /* the supervisor starts it again */
    bool crash_in_commit;
    uint64_t wake_us; /* 0: no wake-up is due */
    uint64_t paused_until_us;
    uint64_t slow_until_us;
    uint64_t next_tick_us;
    uint64_t commits;
    sim_queue_t inbox;
    sim_queue_t out;
    sim_clock_t clock;
} sim_process_t;

typedef struct {
    char name[TIM3_ASSET_MAX + 1];
    unsigned decimals;
    tim3_amount_t scale;
    unsigned lock_managers[SIM_SHARDS_MAX];
    unsigned token_managers[SIM_SHARDS_MAX];
    unsigned shard_count;
    bool merged; /* the coordinator of each shard's number runs its ledgers */
    unsigned coordinators[SIM_COORDINATORS_MAX];
    unsigned coordinator_count;
} sim_asset_t;

typedef enum {
    SIM_EVENT_DELIVER,
    SIM_EVENT_WAKE,
    SIM_EVENT_FLUSH,
    SIM_EVENT_START,
    SIM_EVENT_FAULT,
    SIM_EVENT_CALL,
    SIM_EVENT_LOOK,
    SIM_EVENT_QUERY,
    SIM_EVENT_TIMEOUT,
    SIM_EVENT_BACKUP,
} sim_event_kind_t;

typedef struct {
    uint64_t at_us;
    uint64_t number;
    sim_event_kind_t kind;
    unsigned a;
    uint32_t b;
    sim_frame_t *frame;
} sim_event_t;

#define SIM_ROUTER 0
#define SIM_USDA 1
#define SIM_STATE_MANAGER 2

typedef struct {
    uint64_t seed;
    bool verbose;
    uint64_t now_us;
    bool settling; /* the faults are over */
    bool restored; /* all go on from a backup; nobody asks for anything any more */
    sim_options_t options;
    sim_counters_t counters;
    uint64_t digest;
    sim_random_t topology_random;
    sim_random_t network_random;
    sim_random_t process_random;
    sim_random_t disk_random;
    sim_random_t client_random;
    sim_random_t forger_random;
    sim_random_t backup_random;
    sim_asset_t assets[SIM_ASSETS_MAX];
    unsigned asset_count;
    sim_process_t processes[SIM_PROCESSES_MAX];
    unsigned process_count;
    unsigned front;  /* node of the clients */
    unsigned forger; /* node of a hostile coordinator */
    unsigned backup; /* node of whoever makes backups */
} sim_t;

extern sim_t sim;

/*  Runs one seed from beginning to end; fills the outcome. A broken rule ends the process by sim_fail.  */
void sim_run (uint64_t seed, bool verbose, sim_outcome_t *outcome);

/*  Called by whatever finds a rule broken; reports and does not return.  */
_Noreturn void sim_fail (sim_verdict_t verdict, const char *rule, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
/*  Where the child's report goes.  */
void sim_report_to (int file, sim_outcome_t *outcome);
/*  The options of the seed and the end of its trace, on stdout.  */
void sim_print_story (void);

#define SIM_CHECK(condition, rule, ...)                  \
    do {                                                 \
        if (!(condition))                                \
            sim_fail (SIM_INCORRECT, rule, __VA_ARGS__); \
    } while (0)

/*  A line of the trace; what must be a constant.  */
void sim_trace (const char *what, unsigned a, unsigned b, uint64_t number, const tim3_id_t *tx);
const char *sim_node_name (unsigned node);

/*  ----------------------------------------------------------------------------------------------- events  */

void sim_after (uint64_t delay_us, sim_event_kind_t kind, unsigned a, uint32_t b);
void sim_after_frame (uint64_t delay_us, sim_frame_t *frame);

#endif
