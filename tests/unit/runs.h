/*  runs.h - runs of events (wire/run.h) for tests: made of anything, and looked into.  */
#ifndef TIM3_TESTS_UNIT_RUNS_H
#define TIM3_TESTS_UNIT_RUNS_H

#include "store/store.h"
#include "wire/run.h"

/*  Adds an event whose body is any bytes.  */
void runs_add (tim3_buffer_t *run, uint64_t type, uint64_t time_us, const void *body, size_t size);
/*  An event of the outbox by its number. False when it is not there; its body lives until the store's next change.  */
bool runs_outbox (tim3_store_t *store, uint64_t seq, tim3_event_item_t *item);
/*  Of a stretch: how many events, and the one at a place, which must be there.  */
uint32_t runs_count (const tim3_events_t *events);
tim3_event_item_t runs_at (const tim3_events_t *events, uint32_t position);

#endif
