/*  hold.h - an agent's part in a backup: it begins a copy of its store, and stands still until all others have begun
    theirs.

    A copy of one store may hold what another agent's message led to only if that agent's copy holds what it sent
    the message from. So each agent copies what it has committed, and sends nothing more until every copy has
    begun: whatever it sends later, no copy has seen. A hold ends by itself, so that nobody who asks for a
    backup and dies can stop a ledger; then it tells that it was broken, and the backup is worth nothing. Holds are
    numbered: an agent that died, and was held anew by a Hold that came late, was not held all the time.

    While an agent is held, its host must be handed only the messages that tim3_hold_passes; see kept.h for the rest.
*/
#ifndef TIM3_HOLD_H
#define TIM3_HOLD_H

#include "agent/core.h"

#define TIM3_HOLD_FOR_US 2000000u

typedef enum {
    TIM3_HOLD_NONE,
    TIM3_HOLD_ASKED,
    TIM3_HOLD_HELD,
    TIM3_HOLD_RESUMED,
    TIM3_HOLD_BROKEN
} tim3_hold_state_t;

typedef struct {
    tim3_hold_state_t state;
    tim3_hold_t asked; /* the last that was taken up */
    tim3_return_t to;  /* who asked */
    tim3_held_t answer;
    uint64_t since_us;
    uint64_t held_us;
    uint64_t number; /* of holds in this life */
} tim3_holder_t;

/*  Whether a message is taken while the agent is held.  */
bool tim3_hold_passes (uint64_t type);
bool tim3_hold_held (const tim3_holder_t *self);

/*  Ends a hold whose time is over.  */
void tim3_hold_begin (tim3_holder_t *self, uint64_t now_us);
void tim3_hold_on_hold (tim3_holder_t *self, tim3_env_t *env, const tim3_hold_t *asked);
void tim3_hold_on_resume (tim3_holder_t *self, tim3_env_t *env, const tim3_resume_t *asked);
/*  The batch is durable: if a backup was asked for, begins the copy in folder/BACKUP/store/agent, and answers. life: the
    incarnation of this process.  */
void tim3_hold_committed (tim3_holder_t *self, tim3_env_t *env, const char *folder, const char *agent,
                          uint64_t life, const tim3_standing_t *standing);
/*  The batch was forgotten, and the request with it.  */
void tim3_hold_aborted (tim3_holder_t *self);

#endif
