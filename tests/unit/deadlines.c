/*  deadlines.c - see deadlines.h.  */
#include "deadlines.h"

static uint64_t count_lists (tim3_store_t *store, tim3_table_t lists)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_deadline_list_t list;
    uint64_t count = 0;
    while (tim3_store_seek (store, lists, TIM3_SEEK_GT, &key, &list))
        count++;
    return count;
}

const char *deadlines_count (tim3_store_t *store, tim3_table_t deadlines, tim3_table_t lists, uint64_t *open)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_deadline_t deadline;
    uint64_t list_count = 0;
    *open = 0;
    while (tim3_store_seek (store, deadlines, TIM3_SEEK_GT, &key, &deadline)) {
        if (deadline.open == 0 || deadline.first > deadline.last)
            return "a deadline of nothing";
        for (uint64_t number = deadline.first; number <= deadline.last; number++, list_count++) {
            tim3_key_t at = key;
            tim3_key_add_u64 (&at, number);
            if (!tim3_store_has (store, lists, &at))
                return "a deadline lacks a list";
        }
        *open += deadline.open;
    }
    return count_lists (store, lists) == list_count ? NULL : "a list of no deadline";
}
