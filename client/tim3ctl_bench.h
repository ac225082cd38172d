/*  tim3ctl_bench.h - what the files of bench share: results of operations by kind, CPU time by agent, and
    how they are told.
*/
#ifndef TIM3CTL_BENCH_H
#define TIM3CTL_BENCH_H

#include "tim3ctl.h"

#define TIM3CTL_BENCH_AGENTS_MAX 256
#define TIM3CTL_BENCH_CODES 65536

typedef enum {
    TIM3CTL_BENCH_MINT,
    TIM3CTL_BENCH_REDEEM,
    TIM3CTL_BENCH_TRANSFER,
    TIM3CTL_BENCH_FAUCET,
    TIM3CTL_BENCH_KINDS
} tim3ctl_bench_kind_t;

/*  What became of the operations of one kind.  */
typedef struct {
    const char *name;
    uint64_t *took_us;
    size_t count;
    size_t capacity;
    double seconds;
} tim3ctl_bench_result_t;

typedef struct {
    char name[TIM3_ADDRESS_MAX + 1];
    uint64_t before_us;
    uint64_t after_us;
} tim3ctl_bench_cpu_t;

typedef struct {
    tim3ctl_bench_result_t results[TIM3CTL_BENCH_KINDS];
    uint64_t *errors;    /* by code */
    uint64_t warmed_up;  /* operations completed while warming up */
    uint64_t sent_again; /* requests that were sent more than once */
    uint64_t begun;
    uint64_t not_begun;  /* at a given rate: too many were under way */
    bool interrupted;    /* by Ctrl-C */
    uint64_t unanswered; /* requests under way then */
    tim3ctl_bench_cpu_t cpu[TIM3CTL_BENCH_AGENTS_MAX];
    unsigned agent_count;
} tim3ctl_bench_report_t;

typedef struct {
    unsigned clients;
    unsigned outstanding;
    uint32_t accounts;
    uint64_t rate; /* 0: as fast as answers come */
    double theta;
} tim3ctl_bench_setting_t;

void tim3ctl_bench_report_begin (tim3ctl_bench_report_t *self);
void tim3ctl_bench_report_free (tim3ctl_bench_report_t *self);

void tim3ctl_bench_completed (tim3ctl_bench_result_t *result, uint64_t took_us);

/*  Asks every agent for the CPU time it has used. False after saying why. What it has used since counts for all
    operations, those of the warm-up included.  */
bool tim3ctl_bench_cpu_before (tim3ctl_bench_report_t *self, tim3ctl_t *ctl);
void tim3ctl_bench_cpu_after (tim3ctl_bench_report_t *self, tim3ctl_t *ctl);

/*  Prints it all, as JSON or as tables. Returns how many operations were completed.  */
uint64_t tim3ctl_bench_print (tim3ctl_bench_report_t *self, const tim3ctl_bench_setting_t *setting,
                              bool json);

#endif
