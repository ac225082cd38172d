/*  runs.c - runs of events for tests.  */
#include "runs.h"
#include "base/log.h"
#include "wire/writer.h"

void runs_add (tim3_buffer_t *run, uint64_t type, uint64_t time_us, const void *body, size_t size)
{
    uint8_t *at = tim3_put_array (tim3_buffer_room (run, 4 * TIM3_PUT_MOST + size), 3);
    at = tim3_put_u64 (tim3_put_u64 (at, type), time_us);
    tim3_buffer_filled (run, tim3_put_bytes (tim3_put_bin (at, size), body, size));
}

bool runs_outbox (tim3_store_t *store, uint64_t seq, tim3_event_item_t *item)
{
    tim3_key_t key = tim3_key_u64 (seq);
    tim3_run_t run;
    tim3_run_walk_t walk;
    if (!tim3_store_seek (store, TIM3_TABLE_OUTBOX, TIM3_SEEK_LE, &key, &run))
        return false;
    tim3_run_walk (&walk, &run);
    while (tim3_run_step (&walk, item))
        if (item->seq == seq)
            return true;
    return false;
}

uint32_t runs_count (const tim3_events_t *events)
{
    tim3_events_walk_t walk;
    tim3_event_item_t item;
    uint32_t count = 0;
    tim3_events_walk (&walk, events);
    while (tim3_events_step (&walk, &item))
        count++;
    return count;
}

tim3_event_item_t runs_at (const tim3_events_t *events, uint32_t position)
{
    tim3_events_walk_t walk;
    tim3_event_item_t item;
    tim3_events_walk (&walk, events);
    for (uint32_t i = 0; i <= position; i++)
        TIM3_ASSERT (tim3_events_step (&walk, &item));
    return item;
}
