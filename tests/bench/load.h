/*  load.h - what the programs that drive other systems share: the options, the operations in their order,
    and the result, which is printed as one line of JSON with the fields that `tim3ctl bench --json` has.
*/
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "tim3client_ids.h"
#include "tim3ctl_draw.h"

#include <stddef.h>

#define LOAD_CLIENTS_MAX 256
#define LOAD_OUTSTANDING_MAX 65536
#define LOAD_ID_MAX (TIM3_REQUEST_ID_MAX + 1)

typedef struct {
    const char *socket;   /* of the server: a path, or a folder */
    unsigned clients;     /* connections */
    unsigned outstanding; /* on each connection */
    unsigned batch;       /* mints in one request */
    double seconds;
    tim3ctl_draw_t draw;
    tim3_request_ids_t ids;
    uint64_t next;
    uint64_t start_us;
    uint64_t end_us;
    uint64_t *took_us;
    size_t count;
    size_t capacity;
    uint64_t completed;
    uint64_t refused;
} load_t;

/*  Ends the program when the options are wrong.  */
void load_begin (load_t *self, int argc, char **argv);
/*  From now on time counts.  */
void load_start (load_t *self);
void load_end (load_t *self);

uint64_t load_now_us (void);
/*  Whether there is time for another operation.  */
bool load_more (const load_t *self);
/*  The id and the account of the next mint: ids as TIM3's own, without the word before them.  */
void load_next (load_t *self, char id[LOAD_ID_MAX], char account[TIM3CTL_DRAW_NAME_MAX]);
/*  So many mints were answered together.  */
void load_completed (load_t *self, unsigned mints, uint64_t took_us);
void load_print (load_t *self);

/*  Says why, and ends the program.  */
void load_die (const char *format, ...) __attribute__ ((format (printf, 1, 2), noreturn));

#endif
