/*  past.h - the store of a stopped agent as it was at an earlier checkpoint, and what its journal holds since.

        past = tim3_past_open (path, since_us, judge, context, &meta, &in_use, why, sizeof why);
        tim3_past_play (past, take, context, why, sizeof why);     record after record
        tim3_past_close (&past);

    Its store can be read and changed like any; a commit is shown to the judge and then kept in memory. The files
    are not changed.
*/
#ifndef TIM3_PAST_H
#define TIM3_PAST_H

#include "store/record.h"
#include "store/store.h"
#include "store/store_tiers.h"

typedef struct tim3_past tim3_past_t;

/*  Goes back to the first checkpoint since a time (0: as far as can be). NULL with why filled, as
    tim3_store_open_read_only.  */
tim3_past_t *tim3_past_open (const char *path, uint64_t since_us, tim3_tiers_judge_fn *judge, void *context,
                             tim3_store_meta_t *meta, bool *in_use, char *why, size_t why_size);
void tim3_past_close (tim3_past_t **self);

tim3_store_t *tim3_past_store (tim3_past_t *self);
/*  Makes the changes that a record tells of.  */
void tim3_past_apply (tim3_past_t *self, const tim3_record_t *record);

/*  When the checkpoint was made that it begins with, 0 when it begins with the newest; number of the last record before it.  */
uint64_t tim3_past_begins_us (const tim3_past_t *self);
uint64_t tim3_past_number (const tim3_past_t *self);
/*  Number of the last record that all of the environment holds, and of the last one that a part of it may hold.  */
uint64_t tim3_past_newest (const tim3_past_t *self);
uint64_t tim3_past_towards (const tim3_past_t *self);
/*  What the environment has now under a row's key, which becomes its value; false when nothing.  */
bool tim3_past_now (const tim3_past_t *self, tim3_memrow_t *row);

/*  Is shown each record; false ends it, with why filled.  */
typedef bool (tim3_past_take_fn) (void *context, uint64_t number, const tim3_record_t *record, char *why,
                                  size_t why_size);
bool tim3_past_play (tim3_past_t *self, tim3_past_take_fn *take, void *context, char *why, size_t why_size);

#endif
