/*  sample.h - valid objects and envelopes of any shape, drawn from few values so that they meet again: the
    same accounts, transactions and request ids come up over and over, as in a ledger that is in use.
*/
#ifndef TIM3_TESTS_FUZZ_SAMPLE_H
#define TIM3_TESTS_FUZZ_SAMPLE_H

#include "../unit/seeded.h"
#include "wire/envelope.h"

#define SAMPLE_SCALE 1000 /* collateral units in one unit of the asset */

typedef struct {
    seeded_t random;
    uint64_t next_id;
    uint64_t next_seq; /* of events */
} sample_t;

void sample_begin (sample_t *self, uint64_t seed);

/*  A struct of that shape; valid until the next call of either.  */
void *sample_object (sample_t *self, const tim3_shape_t *shape);
void *sample_body (sample_t *self, const tim3_message_t *message);

/*  Appends an envelope of that type, from one who may send it, to an agent of that role (TIM3_ROLE_COUNT:
    whoever takes it). Its receipt, if it has one, is made up.  */
void sample_envelope (sample_t *self, const tim3_message_t *message, tim3_role_t to, tim3_buffer_t *buffer);

/*  The address that samples give an agent of that role.  */
const char *sample_address (tim3_role_t role);

/*  NULL when the shape has no such field.  */
const tim3_field_t *sample_field (const tim3_shape_t *shape, const char *name);

#endif
