/*  tim3ctl_audit.h - what audit has found, and how it is told.  */
#ifndef TIM3CTL_AUDIT_H
#define TIM3CTL_AUDIT_H

#include "tim3ctl.h"

#define CONFLICTS_MAX 256
#define WHY_MAX 640

/*  What the ledgers say, without the lists.  */
typedef struct {
    tim3_lock_totals_t locks;
    tim3_ledger_t ledger;
    tim3_asset_metrics_t metrics;
    tim3_vault_t vault;
} figures_t;

typedef struct {
    char asset[TIM3_ASSET_MAX + 1];
    unsigned decimals;
    unsigned shards;
    figures_t figures;
    tim3_amount_t balances;
    uint64_t accounts;
    tim3_amount_t positions;
    uint64_t position_count;
    bool one_by_one; /* each account has in both the same */
    bool overflow;   /* of one of the two sums */
    char conflicts[CONFLICTS_MAX]; /* that a lock manager tells; else empty */
    /* a shortage that may be none: its figures, in how many looks on end, and since when */
    figures_t short_of;
    unsigned short_looks;
    uint64_t short_since_us;
    bool checked; /* all figures are there */
    bool agrees;
    char why[WHY_MAX]; /* what disagrees, what a consistent picture still lacks, or who did not answer */
} asset_audit_t;

typedef struct {
    tim3_collateral_totals_t totals;
    tim3_amount_t holdings;
    uint64_t accounts;
    tim3_amount_t vaults;
    bool checked;
    bool agrees;
    char why[WHY_MAX];
} collateral_audit_t;

typedef struct {
    tim3ctl_t *ctl;
    uint64_t until_us;
    unsigned collateral_decimals;
} audit_t;

/*  What was found wrong weighs more than what could not be checked.  */
typedef struct {
    bool checked; /* all of it */
    bool wrong;   /* some of what was checked */
} outcome_t;

/*  For people: figures, and what they show.  */
void tim3ctl_audit_print_asset (const audit_t *self, const asset_audit_t *audit);
void tim3ctl_audit_print_collateral (const audit_t *self, const collateral_audit_t *audit);
/*  For programs, all at once.  */
void tim3ctl_audit_print_json (const audit_t *self, const asset_audit_t *audits, unsigned count,
                               const collateral_audit_t *collateral, const outcome_t *outcome);

#endif
