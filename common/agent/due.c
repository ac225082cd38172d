/*  due.c - a table of what is unfinished, ordered by when to look at it next.  */
#include "agent/due.h"
#include "base/log.h"

#include <string.h>

static uint64_t wait_us (const tim3_settings_t *settings, uint64_t attempts)
{
    uint64_t wait = settings->sweep_after_us;
    for (uint64_t i = 0; i < attempts && wait < settings->sweep_most_us; i++)
        wait *= 2;
    return attempts > 0 && wait > settings->sweep_most_us ? settings->sweep_most_us : wait;
}

static tim3_key_t row_key (uint64_t due_us, const tim3_key_t *tail)
{
    tim3_key_t key = tim3_key_u64 (due_us);
    TIM3_ASSERT (key.size == TIM3_DUE_TAIL && key.size + tail->size <= TIM3_KEY_MAX);
    memcpy (key.data + key.size, tail->data, tail->size);
    key.size = (uint16_t) (key.size + tail->size);
    return key;
}

void tim3_due_set (tim3_env_t *env, const tim3_settings_t *settings, tim3_table_t table,
                   const tim3_key_t *tail, uint64_t attempts, uint64_t *due_us)
{
    static const tim3_mark_t mark;
    *due_us = tim3_env_now (env) + wait_us (settings, attempts);
    tim3_key_t key = row_key (*due_us, tail);
    tim3_store_write (tim3_env_store (env), table, &key, &mark);
}

void tim3_due_clear (tim3_env_t *env, tim3_table_t table, const tim3_key_t *tail, uint64_t *due_us)
{
    tim3_key_t key = row_key (*due_us, tail);
    tim3_store_delete (tim3_env_store (env), table, &key);
    *due_us = 0;
}

/*  Rows in time order: those whose time has come, those that wait, and those that no clock of now could have made.  */
bool tim3_due_next (tim3_env_t *env, const tim3_settings_t *settings, tim3_table_t table, tim3_key_t *key)
{
    uint64_t now = tim3_env_now (env);
    uint64_t longest = now + settings->sweep_most_us + settings->sweep_after_us;
    tim3_store_t *store = tim3_env_store (env);
    tim3_mark_t mark;
    if (!tim3_store_seek (store, table, TIM3_SEEK_GT, key, &mark))
        return false;
    uint64_t due = tim3_key_read_u64 (key, 0);
    if (due <= now || due > longest)
        return true;
    *key = tim3_key_u64 (longest + 1);
    return tim3_store_seek (store, table, TIM3_SEEK_GE, key, &mark);
}
