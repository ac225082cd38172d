/*  forger.h - a hostile coordinator: it sees what others send, and sends it again, altered or to the wrong
    place.

    It may speak to every ledger under any name, but answers only come over connections that an agent made by
    itself, so it cannot answer for another.
*/
#ifndef TIM3_TESTS_SIM_FORGER_H
#define TIM3_TESTS_SIM_FORGER_H

#include "sim.h"

/*  Looks at a message that carries a tx.  */
void sim_forger_see (const sim_frame_t *frame, const tim3_envelope_t *envelope);
/*  Does one thing that it should not.  */
void sim_forger_act (void);

#endif
