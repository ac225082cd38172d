/*  page.h - answers "list" requests a page at a time, straight from a table of the store.

    A request's limit of 0 means TIM3_PAGE_LIMIT. Its cursor is the last key of the page before, in
    hexadecimal; a reply's cursor is empty at the end. Whoever pages with the same arguments sees every row
    that was there all along exactly once, whatever is written meanwhile.

        tim3_page_t page;
        if (!tim3_page_begin (&page, env, ask->cursor, ask->limit, TIM3_TABLE_POSITION, &prefix, sizeof record))
            return;
        while (tim3_page_next (&page, &record))
            if (wanted (&record))
                tim3_page_add (&page, &record);
        tim3_page_end (&page, &reply.items, reply.cursor);

    Rows may be passed over by not adding them. One request looks at a bounded number of rows: a page can end
    early, even empty, with a cursor to go on from.
*/
#ifndef TIM3_PAGE_H
#define TIM3_PAGE_H

#include "agent/core.h"

#define TIM3_PAGE_LIMIT 100

/*  All members belong to page.c.  */
typedef struct {
    tim3_store_t *store;
    tim3_table_t table;
    tim3_key_t prefix;
    tim3_key_t at;  /* last row looked at, or where to begin */
    bool inclusive; /* a row at that very key is still to come */
    bool ended;
    uint32_t limit;
    uint32_t scans_left;
    uint32_t *rows; /* that the batch may still look at */
    size_t item_size;
    uint8_t *items;
    uint32_t count;
} tim3_page_t;

/*  prefix NULL means the whole table. When false is returned, the message at hand has been refused.  */
bool tim3_page_begin (tim3_page_t *self, tim3_env_t *env, const char *cursor, uint64_t limit,
                      tim3_table_t table, const tim3_key_t *prefix, size_t item_size);
/*  Refuses the message at hand because its cursor is none of this list's.  */
void tim3_page_refuse (tim3_env_t *env);
/*  Reads the next row into record, a struct of the table's shape. False when the page is done.  */
bool tim3_page_next (tim3_page_t *self, void *record);
/*  Key of the row that tim3_page_next has read; before, of where the page begins.  */
const tim3_key_t *tim3_page_key (const tim3_page_t *self);
/*  In place of tim3_page_next, where the caller finds rows in a way of its own: step counts the row at that place, which a cursor then goes
    on from, and is false when the page is done; finish says that there are no more rows.  */
bool tim3_page_step (tim3_page_t *self, const tim3_key_t *place);
void tim3_page_finish (tim3_page_t *self);
/*  Puts an item on the page, at most one for each row read; returns its place, to be filled in further. item
    NULL gives zeros.  */
void *tim3_page_add (tim3_page_t *self, const void *item);
/*  cursor holds TIM3_CURSOR_MAX + 1 bytes.  */
void tim3_page_end (const tim3_page_t *self, tim3_list_t *items, char *cursor);

/*  A listing that reads one source after the other marks its cursors with a letter in front. Refuses the message
    at hand when the cursor has another mark than those.  */
bool tim3_page_mark (tim3_env_t *env, const char *cursor, const char *marks);

/*  All of the above for a table that is listed as it is.  */
bool tim3_page_whole (tim3_env_t *env, const tim3_list_page_t *ask, tim3_table_t table, tim3_list_t *items,
                      char *cursor);

#endif
