/*  tim3client_requests.h - the requests under way, for tim3client.c alone.

    Requests live in numbered slots. The low bits of a message id are the slot, the high bits a counter
    that begins at a random place: an answer finds its request at once, and an answer to an earlier life
    finds none.
*/
#ifndef TIM3CLIENT_REQUESTS_H
#define TIM3CLIENT_REQUESTS_H

#include "wire/envelope.h"

typedef struct {
    tim3_error_t refusal; /* the last one, when there were any */
    tim3_subscribe_t subscribe;
} tim3_request_rest_t;

typedef struct {
    uint64_t id; /* 0: the slot is free */
    uint32_t slot;
    tim3_type_t type;
    unsigned connection;
    void *tag;
    tim3_buffer_t message; /* the envelope, as sent */
    uint64_t start_us;
    uint64_t deadline_us; /* 0: none */
    uint64_t send_us;     /* when it is sent again */
    uint64_t resend_wait_us;
    uint64_t refused_wait_us;
    unsigned sends;
    unsigned refusals;
    bool refused;              /* since it was last sent */
    tim3_request_rest_t *rest; /* what few need; NULL until then, and kept for the next request in the slot */
} tim3_request_t;

typedef struct {
    tim3_request_t **slots;
    uint64_t *due_us; /* by slot: when something is to be done about it; never, for a free one */
    uint32_t count;
    uint32_t *spare; /* numbers of free slots */
    uint32_t spare_count;
    uint64_t sequence;
} tim3_requests_t;

void tim3_requests_begin (tim3_requests_t *self);
void tim3_requests_free (tim3_requests_t *self);

/*  A new request: zeroed but for its id and slot, and never due.  */
tim3_request_t *tim3_requests_take (tim3_requests_t *self);
/*  Something is due at send_us, and at deadline_us where that is not 0: to be called whenever either has changed.  */
void tim3_requests_set_due (tim3_requests_t *self, const tim3_request_t *request);
tim3_request_rest_t *tim3_requests_rest (tim3_request_t *request);
void tim3_requests_end (tim3_requests_t *self, tim3_request_t *request);
/*  NULL when there is none under that id.  */
tim3_request_t *tim3_requests_find (const tim3_requests_t *self, uint64_t id);

#endif
