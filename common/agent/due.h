/*  due.h - an index of what is unfinished, by when to look at it next.

    Every record that is not final has one place here: a tail, by which its core finds it, in a list of those that are due at
    the same time. All that a batch begins is due at the same time, so the index is of two tables with few rows:

        due_us                 a tim3_deadline_t: how many are open of those that are due then, and which lists there are
        due_us, list number    a tim3_deadline_list_t: the tails of up to TIM3_DUE_LIST_MOST

    The record keeps the due time, and with it its place. A list is written once: who has been finished stays in it and is passed
    over. A sweep takes it out as a whole. When none is open any more, the deadline goes, and its lists with it.

    What a batch changes is gathered in memory and written by tim3_due_write, which a core calls from end_batch.
*/
#ifndef TIM3_DUE_H
#define TIM3_DUE_H

#include "agent/core.h"
#include "agent/page.h"

/*  Most bytes of a tail, and most tails of a list.  */
#define TIM3_DUE_TAIL_MAX 17
#define TIM3_DUE_LIST_MOST 256
_Static_assert (TIM3_DUE_LIST_MOST * TIM3_DUE_TAIL_MAX + 3 <= TIM3_TAILS_MAX, "a list holds them");

/*  A tick begins no list any more when it has pushed on or looked at so many.  */
#define TIM3_DUE_PUSHES 256
#define TIM3_DUE_LOOKS 4096

typedef struct tim3_due tim3_due_t;

/*  settings live as long. Every tail has that many bytes.  */
tim3_due_t *tim3_due_new (const tim3_settings_t *settings, tim3_table_t deadlines, tim3_table_t lists, size_t tail_size);
void tim3_due_destroy (tim3_due_t **self);

/*  Enters something that has been pushed attempts times (the wait doubles, up to a limit), and sets *due_us.  */
void tim3_due_set (tim3_due_t *self, tim3_env_t *env, const uint8_t *tail, uint64_t attempts, uint64_t *due_us);
/*  Takes it out, and sets *due_us to 0.  */
void tim3_due_clear (tim3_due_t *self, tim3_env_t *env, uint64_t *due_us);
/*  Writes what was gathered: when the batch ends, and before the tables are read.  */
void tim3_due_write (tim3_due_t *self, tim3_env_t *env);

/*  Pushes on what the tail names, entering it anew, and returns true; false when it is not due then, or final.  */
typedef bool (tim3_due_push_fn) (void *core, tim3_env_t *env, const uint8_t *tail, uint64_t due_us);
/*  Pushes on those whose time has come, as many as one tick may. A due time further away than any wait can be is a clock that
    was set back: its time has come too.  */
void tim3_due_sweep (tim3_due_t *self, tim3_env_t *env, tim3_due_push_fn *push, void *core);

/*  Reads the next tail of all lists, and when it was due then, as tim3_page_next does a row; whether that still holds its
    record tells.  */
bool tim3_due_page_next (const tim3_due_t *self, tim3_env_t *env, tim3_page_t *page, uint8_t *tail, uint64_t *due_us);

/*  The tails in a list, back to back, and how many; NULL when it does not hold such ones.  */
const uint8_t *tim3_due_tails (const tim3_deadline_list_t *list, size_t tail_size, size_t *count);

#endif
