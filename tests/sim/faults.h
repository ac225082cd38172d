/*  faults.h - what goes wrong, and when.  */
#ifndef TIM3_TESTS_SIM_FAULTS_H
#define TIM3_TESTS_SIM_FAULTS_H

#include "sim.h"

/*  Draws the faults of the seed over its window of time.  */
void sim_faults_draw (void);
/*  An event of the heap.  */
void sim_faults_happen (unsigned kind, uint32_t node);
/*  Everything is repaired, and everybody is started.  */
void sim_faults_end (void);

#endif
