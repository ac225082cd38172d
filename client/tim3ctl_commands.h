/*  tim3ctl_commands.h - the handlers that the table of commands names, by file. Each returns the exit
    code.  */
#ifndef TIM3CTL_COMMANDS_H
#define TIM3CTL_COMMANDS_H

#include "tim3ctl.h"

/*  tim3ctl_money.c  */
int tim3ctl_usda_mint (tim3ctl_t *ctl);
int tim3ctl_usda_transfer (tim3ctl_t *ctl);
int tim3ctl_usda_tx (tim3ctl_t *ctl);
int tim3ctl_mint (tim3ctl_t *ctl);
int tim3ctl_redeem (tim3ctl_t *ctl);
int tim3ctl_transfer (tim3ctl_t *ctl);
int tim3ctl_tx (tim3ctl_t *ctl);

/*  tim3ctl_control.c  */
int tim3ctl_control (tim3ctl_t *ctl);

/*  tim3ctl_query.c  */
int tim3ctl_usda_balance (tim3ctl_t *ctl);
int tim3ctl_balance (tim3ctl_t *ctl);
int tim3ctl_position (tim3ctl_t *ctl);
int tim3ctl_positions (tim3ctl_t *ctl);
int tim3ctl_locks (tim3ctl_t *ctl);
int tim3ctl_txs (tim3ctl_t *ctl);
int tim3ctl_history (tim3ctl_t *ctl);
int tim3ctl_supply (tim3ctl_t *ctl);

/*  tim3ctl_agents.c  */
int tim3ctl_agents (tim3ctl_t *ctl);
int tim3ctl_health (tim3ctl_t *ctl);
int tim3ctl_info (tim3ctl_t *ctl);
int tim3ctl_stats (tim3ctl_t *ctl);
int tim3ctl_config (tim3ctl_t *ctl);

/*  tim3ctl_metrics.c  */
int tim3ctl_metrics (tim3ctl_t *ctl);

/*  tim3ctl_events.c  */
int tim3ctl_events (tim3ctl_t *ctl);

/*  tim3ctl_backup.c, tim3ctl_restore.c  */
int tim3ctl_backup (tim3ctl_t *ctl);
int tim3ctl_backup_list (tim3ctl_t *ctl);
int tim3ctl_restore (tim3ctl_t *ctl);

/*  tim3ctl_audit.c, tim3ctl_fsck.c, tim3ctl_replay.c, tim3ctl_import.c, tim3ctl_bench.c, tim3ctl_workload.c  */
int tim3ctl_audit (tim3ctl_t *ctl);
int tim3ctl_fsck (tim3ctl_t *ctl);
int tim3ctl_replay (tim3ctl_t *ctl);
int tim3ctl_import (tim3ctl_t *ctl);
int tim3ctl_bench (tim3ctl_t *ctl);
int tim3ctl_workload (tim3ctl_t *ctl);

/*  Shared by them: pages through a list and prints it, as a table with these columns or as JSON.  */
int tim3ctl_list (tim3ctl_t *ctl, const char *route, const char *account, tim3_type_t type, const void *body,
                  const char *columns, unsigned decimals);
/*  Whether --prometheus is given. False after saying that --json is, too.  */
bool tim3ctl_prometheus (tim3ctl_t *ctl, bool *prometheus);
/*  Prints one reply, as a record or as JSON.  */
void tim3ctl_show (const tim3ctl_t *ctl, const tim3_shape_t *shape, const void *object, unsigned decimals);

#endif
