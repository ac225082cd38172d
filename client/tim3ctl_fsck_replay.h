/*  tim3ctl_fsck_replay.h - a ledger as its events tell it: what tim3ctl_fsck_play.c builds from them and
    tim3ctl_fsck_replay.c compares with the ledger's store.

    Where the log does not begin with a ledger's first event, or has a gap, totals and balances count from the
    first event that tells them.
*/
#ifndef TIM3CTL_FSCK_REPLAY_H
#define TIM3CTL_FSCK_REPLAY_H

#include "tim3ctl_fsck.h"

/*  An account as the events tell it.  */
typedef struct {
    tim3_amount_t balance;
    bool known;
    bool frozen;
    bool frozen_known;
} tim3_fsck_holder_t;

typedef struct {
    tim3_fsck_t *fsck;
    const tim3_fsck_store_t *store;
    tim3_fsck_map_t *holders;
    uint64_t seq;        /* of the last event played */
    uint64_t time_us;    /* of the same */
    bool whole;          /* from the first event on, without a gap */
    tim3_amount_t total; /* supply, or locked, */
    tim3_amount_t below; /* or what was released beyond that */
    bool total_known;
    bool paused;
    bool paused_known;
    tim3_amount_t cap;
    bool cap_known;
    uint64_t events;
} tim3_fsck_replay_t;

/*  Plays the next event of the ledger. It must tell what the record of it in the store tells, and what
    follows from the events before.  */
void tim3_fsck_play (tim3_fsck_replay_t *self, const tim3_fsck_place_t *at, const tim3_event_item_t *item);
/*  What the events have told of an account so far.  */
tim3_fsck_holder_t *tim3_fsck_holder (tim3_fsck_replay_t *self, const char *account);

#endif
