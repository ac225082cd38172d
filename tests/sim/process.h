/*  process.h - simulated processes: a host with its core, a clock of its own, a disk, an inbox; they die and
    come back.  */
#ifndef TIM3_TESTS_SIM_PROCESS_H
#define TIM3_TESTS_SIM_PROCESS_H

#include "sim.h"

/*  The node that has an address; false when there is none.  */
bool sim_process_find (const char *address, unsigned *node);

void sim_process_start (unsigned node);
/*  The core of a process runs in another one, and sees its own of what is on that one's disk.  */
void sim_process_share (unsigned node, unsigned hosted);
/*  Ends a process and gives it another store; it is not started.  */
void sim_process_replace (unsigned node, tim3_store_t *store);
/*  Kills a process now. What it was committing is on the disk or not, as it happens.  */
void sim_process_kill (unsigned node);
/*  Has a process end by itself, as on SIGTERM.  */
void sim_process_stop (unsigned node);
/*  Takes a frame that has arrived.  */
void sim_process_take (unsigned node, sim_frame_t *frame);
/*  Events of the heap.  */
void sim_process_wake (unsigned node, uint32_t life);
void sim_process_flush (unsigned node, uint32_t life);

#endif
