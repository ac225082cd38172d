/*  tim3ctl_fsck_due.c - a ledger's index of what is unfinished: every deadline has its lists, no list is of none, and as many
    are open as the records say.  */
#include "agent/due.h"
#include "tim3ctl_fsck.h"

#include <string.h>

typedef struct {
    tim3_fsck_t *fsck;
    const tim3_fsck_store_t *store;
    const tim3_fsck_due_t *due;
    tim3_fsck_map_t *deadlines; /* as the lists tell, by due time: big-endian, as in the keys */
} index_t;

static void check_tail (index_t *self, const tim3_fsck_place_t *at, const uint8_t *tail, tim3_deadline_t *told)
{
    char text[2 * TIM3_DUE_TAIL_MAX + 1];
    tim3_fsck_tail_t found = {.due_us = 0};
    if (!self->due->find (self->store, tail, &found)) {
        tim3_fsck_problem (self->fsck, at, "there is no record of %s",
                           tim3_hex_format (tail, self->due->tail_size, text));
        return;
    }
    if (found.due_us != tim3_key_read_u64 (&at->key, 0))
        return;
    uint32_t *seen = tim3_fsck_seen (self->store, &found.tx);
    if (*seen & found.bit)
        tim3_fsck_problem (self->fsck, at, "%s has a place before",
                           tim3_hex_format (tail, self->due->tail_size, text));
    *seen |= found.bit;
    told->open++;
}

static void check_lists (index_t *self)
{
    tim3_fsck_place_t at = {self->store, self->due->lists, tim3_key_empty ()};
    tim3_deadline_list_t list;
    while (tim3_fsck_next (self->fsck, &at, &list)) {
        tim3_fsck_place_t deadline = {self->store, self->due->deadlines,
                                      tim3_key_u64 (tim3_key_read_u64 (&at.key, 0))};
        tim3_deadline_t *told = tim3_fsck_map_take (self->deadlines, at.key.data, 8);
        uint64_t number = tim3_key_read_u64 (&at.key, 8);
        size_t count;
        const uint8_t *tails = tim3_due_tails (&list, self->due->tail_size, &count);
        if (told->last && number != told->last + 1)
            tim3_fsck_problem (self->fsck, &at, "lists before this one are missing");
        told->first = told->first ? told->first : number;
        told->last = number;
        if (!tim3_fsck_has (self->store, deadline.table, &deadline.key))
            tim3_fsck_problem (self->fsck, &at, "there is no deadline that it is of");
        if (!tails)
            tim3_fsck_problem (self->fsck, &at, "tails are not %zu bytes each", self->due->tail_size);
        for (size_t i = 0; tails && i < count; i++)
            check_tail (self, &at, tails + i * self->due->tail_size, told);
    }
}

static void check_deadlines (index_t *self)
{
    tim3_fsck_place_t at = {self->store, self->due->deadlines, tim3_key_empty ()};
    tim3_deadline_t found;
    while (tim3_fsck_next (self->fsck, &at, &found)) {
        const tim3_deadline_t *told = tim3_fsck_map_take (self->deadlines, at.key.data, 8);
        tim3_fsck_compare (self->fsck, &at, &tim3_shape_deadline, &found, told, "its lists");
        if (told->open == 0)
            tim3_fsck_problem (self->fsck, &at, "nothing is unfinished that is due then");
    }
}

void tim3_fsck_due (tim3_fsck_t *fsck, const tim3_fsck_store_t *store, const tim3_fsck_due_t *due)
{
    index_t self = {fsck, store, due, tim3_fsck_map_new (sizeof (tim3_deadline_t))};
    check_lists (&self);
    check_deadlines (&self);
    tim3_fsck_map_destroy (&self.deadlines);
}

void tim3_fsck_expect_due (tim3_fsck_t *fsck, const tim3_fsck_place_t *at, const tim3_fsck_due_t *due,
                           const tim3_id_t *tx, uint32_t bit)
{
    if (!(*tim3_fsck_seen (at->store, tx) & bit))
        tim3_fsck_problem (fsck, at, "has no place in %s", tim3_table (due->deadlines)->name);
}
