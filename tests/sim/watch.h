/*  watch.h - looks at every frame that leaves: counts what happens, writes the trace, and shows it to the
    forger.  */
#ifndef TIM3_TESTS_SIM_WATCH_H
#define TIM3_TESTS_SIM_WATCH_H

#include "sim.h"

void sim_watch_frame (const sim_frame_t *frame);

#endif
