/*  page.c - pages through a table of the store.  */
#include "agent/page.h"
#include "base/log.h"

#include <string.h>

/*  Rows that one request may look at, so that a filter that matches nothing cannot hold up an agent.  */
#define SCANS_PER_ITEM 20
#define SCANS_BASE 1000

_Static_assert(2 * TIM3_KEY_MAX <= TIM3_CURSOR_MAX, "a cursor holds any key");

static bool go_on (tim3_page_t *self, const char *cursor)
{
    int size = tim3_hex_parse (cursor, self->at.data, sizeof self->at.data);
    if (size < 0)
        return false;
    self->at.size = (uint16_t) size;
    self->inclusive = false;
    return tim3_key_has_prefix (&self->at, &self->prefix);
}

/*  Bounds the rows of this page by what is left of the batch's; one is always allowed, so that whoever pages gets further.  */
static void bound_scans (tim3_page_t *self, uint32_t limit)
{
    uint32_t most = *self->rows > 0 ? *self->rows : 1;
    self->scans_left = SCANS_PER_ITEM * limit + SCANS_BASE;
    if (self->scans_left > most)
        self->scans_left = most;
    self->limit = limit < most ? limit : most;
}

void tim3_page_refuse (tim3_env_t *env)
{
    tim3_env_refuse (env, TIM3_INVALID_FIELD, NULL,
                     "cursor: not one of this list; use the cursor of the page before, or none to begin");
}

bool tim3_page_begin (tim3_page_t *self, tim3_env_t *env, const char *cursor, uint64_t limit,
                      tim3_table_t table, const tim3_key_t *prefix, size_t item_size)
{
    memset (self, 0, sizeof *self);
    self->store = tim3_env_store (env);
    self->table = table;
    self->prefix = prefix ? *prefix : tim3_key_empty ();
    self->at = self->prefix;
    self->inclusive = true;
    self->item_size = item_size;
    self->rows = tim3_env_rows (env);
    if (cursor[0] && !go_on (self, cursor)) {
        tim3_page_refuse (env);
        return false;
    }
    limit = limit == 0 ? TIM3_PAGE_LIMIT : limit;
    bound_scans (self, limit > TIM3_PAGE_MAX ? TIM3_PAGE_MAX : (uint32_t) limit);
    self->items = tim3_arena_take (tim3_env_arena (env), self->limit * item_size);
    if (!self->items) {
        tim3_env_refuse (env, TIM3_TOO_LARGE, NULL,
                         "limit: the page would be too large; ask for fewer items");
        return false;
    }
    return true;
}

bool tim3_page_step (tim3_page_t *self, const tim3_key_t *place)
{
    if (self->count == self->limit || self->scans_left == 0)
        return false;
    self->scans_left--;
    *self->rows -= *self->rows > 0;
    self->at = *place;
    self->inclusive = false;
    return true;
}

void tim3_page_finish (tim3_page_t *self)
{
    self->ended = true;
}

bool tim3_page_next (tim3_page_t *self, void *record)
{
    tim3_key_t key = self->at;
    /* looked for even when the page is full: only so is it known whether there is another */
    if (tim3_store_seek (self->store, self->table, self->inclusive ? TIM3_SEEK_GE : TIM3_SEEK_GT, &key, record) &&
        tim3_key_has_prefix (&key, &self->prefix))
        return tim3_page_step (self, &key);
    tim3_page_finish (self);
    return false;
}

const tim3_key_t *tim3_page_key (const tim3_page_t *self)
{
    return &self->at;
}

void *tim3_page_add (tim3_page_t *self, const void *item)
{
    TIM3_ASSERT (self->count < self->limit);
    uint8_t *place = self->items + self->count++ * self->item_size;
    if (item)
        memcpy (place, item, self->item_size);
    return place;
}

void tim3_page_end (const tim3_page_t *self, tim3_list_t *items, char *cursor)
{
    *items = (tim3_list_t){self->items, self->count};
    cursor[0] = '\0';
    if (!self->ended)
        tim3_hex_format (self->at.data, self->at.size, cursor);
}

bool tim3_page_whole (tim3_env_t *env, const tim3_list_page_t *ask, tim3_table_t table, tim3_list_t *items,
                      char *cursor)
{
    size_t item_size = tim3_table (table)->shape->size;
    tim3_page_t page;
    if (!tim3_page_begin (&page, env, ask->cursor, ask->limit, table, NULL, item_size))
        return false;
    void *record = tim3_arena_take (tim3_env_arena (env), item_size);
    TIM3_ASSERT (record);
    while (tim3_page_next (&page, record))
        tim3_page_add (&page, record);
    tim3_page_end (&page, items, cursor);
    return true;
}

bool tim3_page_mark (tim3_env_t *env, const char *cursor, const char *marks)
{
    if (cursor[0] == '\0' || strchr (marks, cursor[0]))
        return true;
    tim3_env_refuse (env, TIM3_INVALID_FIELD, NULL, "%s: field \"cursor\"", tim3_result_text (TIM3_INVALID_FIELD));
    return false;
}
