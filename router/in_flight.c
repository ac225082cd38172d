/*  in_flight.c - the requests that were passed on to an agent and are not answered yet: a hash table with linear
    probing, from which items are taken out by moving up those behind them.  */
#include "in_flight.h"
#include "base/log.h"

#include <stdlib.h>

#define CAPACITY_LEAST 1024
#define LIMIT_LEAST 64 /* whatever time they take: batches would become too small to be answered faster */
#define ANSWERS_LEAST 16 /* that tell anything */

static uint64_t key_of (const tim3_in_flight_t *self, const uint8_t *client, size_t client_size, uint64_t id)
{
    uint64_t key = tim3_hash64 (client, client_size, self->secret ^ id);
    return key ? key : 1;
}

/*  Where the key is, or the free place where it belongs.  */
static uint32_t find (const tim3_in_flight_t *self, uint64_t key)
{
    uint32_t mask = self->capacity - 1;
    uint32_t at = (uint32_t) key & mask;
    while (self->items[at].key && self->items[at].key != key)
        at = (at + 1) & mask;
    return at;
}

static void grow (tim3_in_flight_t *self)
{
    tim3_in_flight_item_t *old = self->items;
    uint32_t had = self->capacity;
    self->capacity = had ? 2 * had : CAPACITY_LEAST;
    self->items = tim3_alloc (self->capacity * sizeof *self->items);
    for (uint32_t i = 0; i < had; i++)
        if (old[i].key)
            self->items[find (self, old[i].key)] = old[i];
    free (old);
}

void tim3_in_flight_add (tim3_in_flight_t *self, const uint8_t *client, size_t client_size, uint64_t id, uint32_t taker,
                         uint64_t now_us)
{
    uint64_t key = key_of (self, client, client_size, id);
    TIM3_ASSERT (taker < TIM3_IN_FLIGHT_TAKERS);
    if (2 * self->count >= self->capacity)
        grow (self);
    tim3_in_flight_item_t *item = &self->items[find (self, key)];
    if (item->key)
        self->takers[item->taker].count--;
    else
        self->count++;
    self->takers[taker].count++;
    *item = (tim3_in_flight_item_t){key, (uint32_t) (now_us / 1000), taker};
}

/*  Items behind the hole that may not be found past it move into it, one after the other.  */
static void take_out (tim3_in_flight_t *self, uint32_t hole)
{
    uint32_t mask = self->capacity - 1;
    TIM3_ASSERT (self->takers[self->items[hole].taker].count > 0 && self->count > 0);
    self->takers[self->items[hole].taker].count--;
    self->count--;
    for (uint32_t at = (hole + 1) & mask; self->items[at].key; at = (at + 1) & mask) {
        uint32_t home = (uint32_t) self->items[at].key & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        self->items[hole] = self->items[at];
        hole = at;
    }
    self->items[hole].key = 0;
}

void tim3_in_flight_remove (tim3_in_flight_t *self, const uint8_t *client, size_t client_size, uint64_t id,
                            uint64_t now_us)
{
    if (self->count == 0)
        return;
    uint32_t at = find (self, key_of (self, client, client_size, id));
    if (!self->items[at].key)
        return;
    tim3_in_flight_taker_t *taker = &self->takers[self->items[at].taker];
    taker->answered++;
    taker->waited_ms += (uint32_t) (now_us / 1000) - self->items[at].time_ms;
    take_out (self, at);
}

/*  What moves into the place of one that is taken out is looked at, too; but one may move from the beginning of the table
    over its end, past the place that is looked at, and is found by going round again.  */
void tim3_in_flight_forget (tim3_in_flight_t *self, uint32_t taker)
{
    while (self->takers[taker].count > 0)
        for (uint32_t i = self->capacity; i-- > 0;)
            while (self->items[i].key && self->items[i].taker == taker)
                take_out (self, i);
}

/*  What is missed in the same way is found the next time.  */
void tim3_in_flight_expire (tim3_in_flight_t *self, uint64_t now_us, uint64_t age_us)
{
    uint32_t now_ms = (uint32_t) (now_us / 1000);
    for (uint32_t i = self->capacity; i-- > 0 && self->count > 0;)
        while (self->items[i].key && now_ms - self->items[i].time_ms > age_us / 1000)
            take_out (self, i);
}

/*  ---------------------------------------------------------------------------------------------- limits  */

static uint32_t between (uint64_t value, uint32_t most)
{
    uint32_t least = most < LIMIT_LEAST ? most : LIMIT_LEAST;
    return value < least ? least : value > most ? most : (uint32_t) value;
}

void tim3_in_flight_allow (tim3_in_flight_t *self, uint32_t taker, uint32_t most)
{
    tim3_in_flight_taker_t *at = &self->takers[taker];
    bool raised = at->limit == at->most; /* never lowered, or not any more */
    at->most = most;
    at->limit = raised ? most : between (at->limit, most);
}

/*  Half of the way down at a time, for a pause of the agent's is no sign of its speed.  */
static void adapt (tim3_in_flight_taker_t *taker, uint64_t window_us, uint64_t within_us)
{
    bool slow = taker->answered >= ANSWERS_LEAST && taker->waited_ms * 1000 > within_us * taker->answered;
    uint64_t in_time = taker->answered * within_us / window_us;
    if (!slow)
        taker->limit = between (taker->limit + taker->limit / 4 + 1, taker->most);
    else if (in_time < taker->limit)
        taker->limit = between ((taker->limit + in_time) / 2, taker->most);
    taker->answered = 0;
    taker->waited_ms = 0;
}

void tim3_in_flight_adapt (tim3_in_flight_t *self, uint64_t window_us, uint64_t within_us)
{
    for (uint32_t i = 0; i < TIM3_IN_FLIGHT_TAKERS; i++)
        if (self->takers[i].most > 0)
            adapt (&self->takers[i], window_us, within_us);
}

void tim3_in_flight_clear (tim3_in_flight_t *self)
{
    free (self->items);
    *self = (tim3_in_flight_t){.secret = self->secret};
}
