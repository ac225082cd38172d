/*  network.h - simulated connections between agents: delays, losses, copies, partitions, clogged links.

    Two kinds of network are drawn. In the first, connections keep the order and lose nothing but their tail
    when they break, as ZeroMQ's do. In the second, every frame may be lost, copied and overtaken.
*/
#ifndef TIM3_TESTS_SIM_NETWORK_H
#define TIM3_TESTS_SIM_NETWORK_H

#include "sim.h"

sim_frame_t *sim_frame_new (unsigned from, unsigned to, bool answer, const uint8_t *data, size_t size);
void sim_queue_init (sim_queue_t *queue);
void sim_queue_add (sim_queue_t *queue, sim_frame_t *frame);
sim_frame_t *sim_queue_take (sim_queue_t *queue);
void sim_queue_clear (sim_queue_t *queue);

/*  Number of the connection that a node has made to another; a new one for every reconnection.  */
uint32_t sim_network_generation (unsigned from, unsigned to);

/*  Takes the frame over and brings it to its end, some time or never.  */
void sim_network_send (sim_frame_t *frame);
/*  True when the frame arrives now; else it has been dropped or put off.  */
bool sim_network_arrive (sim_frame_t *frame);
/*  All connections of a node break: the tails of what it has sent are lost.  */
void sim_network_break (unsigned node);
/*  The connection between two nodes breaks, and is made anew.  */
void sim_network_reconnect (unsigned from, unsigned to);
/*  Until then nothing of what goes from one to the other arrives.  */
void sim_network_cut (unsigned from, unsigned to, uint64_t until_us);
/*  Until then all that goes from one to the other waits.  */
void sim_network_clog (unsigned from, unsigned to, uint64_t until_us);
/*  All is well again.  */
void sim_network_heal (void);

#endif
