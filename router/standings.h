/*  standings.h - how far each ledger's store had come when it last told, kept so that an older copy of it is found out.

    A ledger tells its standing when it registers, with every heartbeat and when it leaves: which store it has, how many
    commits it counts, the number of its last event, and which life of it this is. All of them only ever grow, whatever the
    clock says. A process that registers with less than was told before was given an older copy, and its peers rely on what that
    no longer knows. Event numbers are also those of the log, which are exact; the count of commits is written every
    few seconds. Within one life a lower number is only a late message.

    The other way round, a ledger tells up to where its events were said to be durable. A log that lacks some of them
    is itself an older copy. And it tells which life of the router it last had an answer of, and where the log ended then (lives.h).
    So one ledger is enough to find out that all others are older together with the router.
*/
#ifndef TIM3_ROUTER_STANDINGS_H
#define TIM3_ROUTER_STANDINGS_H

#include "agent/core.h"

#define TIM3_STANDINGS_MAX 512

typedef struct {
    char name[TIM3_ADDRESS_MAX + 1];
    tim3_standing_item_t most; /* that it told */
    bool dirty;                /* more than is in the store */
    bool rolled_back;          /* told less, last time */
    bool ahead;                /* told of more events in the log than there are, last time */
} tim3_standing_entry_t;

typedef struct {
    tim3_standing_entry_t *entries;
    unsigned count;
    char newer[TIM3_ADDRESS_MAX + 1]; /* a ledger that has seen more of the router than there is; "": none */
    uint64_t written_us;
} tim3_standings_t;

void tim3_standings_start (tim3_standings_t *self, tim3_store_t *store);
void tim3_standings_clear (tim3_standings_t *self);

/*  What an agent tells that registers (begins), or later. TIM3_OK for agents that are no ledgers; else TIM3_STORE_ROLLED_BACK,
    TIM3_LOG_ROLLED_BACK, or TIM3_OVERLOADED, with why filled: what to do about it.  */
tim3_result_t tim3_standings_check (tim3_standings_t *self, tim3_store_t *store, const char *name,
                                    bool begins, const tim3_standing_item_t *given, char why[240]);
/*  Whether it ever told.  */
bool tim3_standings_knows (const tim3_standings_t *self, const char *name);
/*  Whether the router had what a ledger that registers has seen of it. TIM3_OK or TIM3_LOG_ROLLED_BACK, with why filled.  */
tim3_result_t tim3_standings_note_seen (tim3_standings_t *self, const char *name, bool had, char why[240]);
/*  The router's store is older than what some ledger told last: nothing must be appended to its log behind the hole.  */
bool tim3_standings_log_behind (const tim3_standings_t *self);
/*  Takes note of what was found good.  */
void tim3_standings_raise (tim3_standings_t *self, const char *name, const tim3_standing_item_t *given);
void tim3_standings_write (tim3_standings_t *self, tim3_store_t *store, uint64_t now_us);
/*  Writes once in a while.  */
void tim3_standings_tick (tim3_standings_t *self, tim3_store_t *store, uint64_t now_us);
void tim3_standings_health (const tim3_standings_t *self, tim3_report_t *report);

#endif
