/*  understate.h - a router that says of fewer events than it could that they are durable: what it may do at any time.  */
#ifndef TIM3_TESTS_SIM_UNDERSTATE_H
#define TIM3_TESTS_SIM_UNDERSTATE_H

#include "sim.h"

/*  Lowers what the acknowledgements in a frame of the router's say, now and then. The frame stays as it is, or goes and another
    one is returned.  */
sim_frame_t *sim_understate (sim_frame_t *frame);

#endif
