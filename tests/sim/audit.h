/*  audit.h - reads the stores after every commit and holds them against the rules.

    The first rule, vault >= locked * scale >= supply * scale, is checked for the worst case while commits are
    under way: each of the three counts with whichever of its two possible values is worse.
*/
#ifndef TIM3_TESTS_SIM_AUDIT_H
#define TIM3_TESTS_SIM_AUDIT_H

#include "sim.h"

/*  Before the first event, and whenever an asset's ledgers start from nothing.  */
void sim_audit_start (void);
/*  A process has begun to commit; it may yet be lost.  */
void sim_audit_committing (unsigned node);
/*  What its store holds is durable, because the commit came back or because the process died.  */
void sim_audit_durable (unsigned node);
void sim_audit_crashed (unsigned node);

/*  Whether nothing is under way any more: all records final, all events in the log, all of the log read.  */
bool sim_audit_quiet (void);
/*  Why not, for people.  */
const char *sim_audit_unrest (void);
/*  All that must be equal once nothing is under way.  */
void sim_audit_end (void);

/*  All stores were exchanged for those of a backup: the first rule must hold between them at once. From now on the
    model is not told of events.  */
void sim_audit_restored (void);
/*  All that must be equal, without the model.  */
void sim_audit_restored_end (void);

#endif
