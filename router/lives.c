/*  lives.c - the router's lives, in its store. See lives.h.  */
#include "lives.h"

static void forget_oldest (tim3_store_t *store)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_life_t life;
    unsigned count = 0;
    bool more = tim3_store_seek (store, TIM3_TABLE_LIFE, TIM3_SEEK_GE, &key, &life);
    const tim3_key_t oldest = key;
    for (; more; count++)
        more = tim3_store_seek (store, TIM3_TABLE_LIFE, TIM3_SEEK_GT, &key, &life);
    if (count > TIM3_LIVES_MAX)
        tim3_store_delete (store, TIM3_TABLE_LIFE, &oldest);
}

uint64_t tim3_lives_begin (tim3_store_t *store, uint64_t log_end)
{
    tim3_key_t key = tim3_key_text ("incarnation");
    tim3_counter_t own;
    tim3_life_t life;
    tim3_store_read (store, TIM3_TABLE_COUNTER, &key, &own);
    key = tim3_key_u64 (own.value);
    if (!tim3_store_read (store, TIM3_TABLE_LIFE, &key, &life)) {
        life.log_end = log_end;
        tim3_store_write (store, TIM3_TABLE_LIFE, &key, &life);
        forget_oldest (store);
    }
    return own.value;
}

bool tim3_lives_had (tim3_store_t *store, uint64_t log_end, uint64_t life, uint64_t seen_end)
{
    tim3_key_t key = tim3_key_u64 (life);
    tim3_life_t row;
    bool known = tim3_store_read (store, TIM3_TABLE_LIFE, &key, &row);
    bool ended = tim3_store_seek (store, TIM3_TABLE_LIFE, TIM3_SEEK_GT, &key, &row);
    return known && seen_end <= (ended ? row.log_end : log_end);
}

bool tim3_lives_is_first (tim3_store_t *store)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_life_t row;
    return tim3_store_seek (store, TIM3_TABLE_LIFE, TIM3_SEEK_GE, &key, &row) && row.log_end == 1 &&
           !tim3_store_seek (store, TIM3_TABLE_LIFE, TIM3_SEEK_GT, &key, &row);
}
