/*  door.h - lets no more connections into the process than it has files for.

    libzmq accepts whatever comes, and an ipc listener of it aborts the process when there is no file left
    (EMFILE). It cannot be told how many are enough, and a listener that is closed when there are many is closed too
    late: its thread goes on accepting until it hears of it. But it accepts with accept4 () and ends connections
    with close (), and a program's own functions of these names go before those of libc. Those in door.c count, by
    listener, what is connected; what is too much they end at once, and say ECONNABORTED, which libzmq passes over.
    The client connects again by itself after a while, as after any loss.

    - Of the files that the process may open, a quarter is left for all else: no connection that comes in gets one.
    - At a listener that has a limit there are no more than that at once, and no more than half of the files; and what
      comes in there leaves an eighth more, so that agents find the door open when clients have all of theirs.

    Costs something for each connection, nothing for a message. Only agents are linked with it: whatever else has the common library
    has libc's functions.
*/
#ifndef TIM3_DOOR_H
#define TIM3_DOOR_H

#include <stdint.h>

typedef struct {
    unsigned connected; /* now, whether they have said anything or not */
    uint64_t refused;   /* since start */
} tim3_door_count_t;

/*  Once, with the number of files that the process may open; all that comes before it is let in, and counted.  */
void tim3_door_open (uint64_t files);
unsigned tim3_door_files (void);

/*  listener: the descriptor that listens. Returns the limit in force: wanted, or less where there are too few
    files.  */
unsigned tim3_door_limit (int listener, unsigned wanted);
/*  May be asked from any thread.  */
tim3_door_count_t tim3_door_count (int listener);

#endif
