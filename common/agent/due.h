/*  due.h - a table of what is unfinished, ordered by when to look at it next.

    Every record that is not final has a row here, whose key is its due time and then the tail by which the record is
    found. The record keeps the due time, so that its row can be found from it.
*/
#ifndef TIM3_DUE_H
#define TIM3_DUE_H

#include "agent/core.h"

/*  Where the tail begins in a row's key.  */
#define TIM3_DUE_TAIL 8
/*  Most rows that one tick pushes on.  */
#define TIM3_DUE_BATCH 256

/*  Enters a row for something that has been pushed attempts times (the wait doubles, up to a limit), and sets
   *due_us.  */
void tim3_due_set (tim3_env_t *env, const tim3_settings_t *settings, tim3_table_t table,
                   const tim3_key_t *tail, uint64_t attempts, uint64_t *due_us);
/*  Removes the row, and sets *due_us to 0.  */
void tim3_due_clear (tim3_env_t *env, tim3_table_t table, const tim3_key_t *tail, uint64_t *due_us);
/*  Steps key to the next row whose time has come; begin with an empty key. A due time further away than any wait
    can be is a clock that was set back: its time has come too.  */
bool tim3_due_next (tim3_env_t *env, const tim3_settings_t *settings, tim3_table_t table, tim3_key_t *key);

#endif
