/*  client.h - simulated clients: what they ask for, again and again until they know, and what they were
    told.  */
#ifndef TIM3_TESTS_SIM_CLIENT_H
#define TIM3_TESTS_SIM_CLIENT_H

#include "sim.h"

/*  Draws all operations of the seed, and when each is first asked for.  */
void sim_client_draw (void);
const char *sim_client_account (unsigned number);

/*  Events of the heap.  */
void sim_client_call (unsigned operation);
void sim_client_look (unsigned operation);
void sim_client_query (void);
void sim_client_timeout (unsigned operation, uint32_t attempt);
/*  An answer has arrived at the front.  */
void sim_client_take (const sim_frame_t *frame);

/*  The faults are over: ask once more for everything, to hear the same again.  */
void sim_client_verify (void);
bool sim_client_done (void);
/*  Number of operations that have no final answer yet, or were not verified.  */
unsigned sim_client_open (void);
/*  Holds all answers against the model and the stores. When all is quiet.  */
void sim_client_end (void);

/*  A backup begins: whatever is completed now has to be in it. It is good: so it must be in the last good one. At the
    end: is it?  */
void sim_client_mark (void);
void sim_client_keep_marks (void);
void sim_client_check_marks (void);

#endif
