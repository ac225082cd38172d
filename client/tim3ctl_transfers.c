/*  tim3ctl_transfers.c - reads a file of token transfers and does its arithmetic.

    The file begins in the middle of a token's history, so a sender may send what the file has not shown it to
    receive: what is missing is its opening balance. It is raised just as far as is needed for no balance to
    fall below zero.  */
#include "tim3ctl_import.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void tim3ctl_transfers_free (tim3ctl_transfers_t *self)
{
    tim3ctl_book_destroy (&self->book);
    free (self->moves);
    free (self->seen);
}

const tim3ctl_mapping_t *tim3ctl_transfers_mapping (const tim3ctl_transfers_t *self, const char *asset)
{
    for (unsigned i = 0; i < self->mapping_count; i++)
        if (strcmp (self->mappings[i].asset, asset) == 0)
            return &self->mappings[i];
    return NULL;
}

static tim3ctl_mapping_t *mapping_of (tim3ctl_transfers_t *self, const char *contract)
{
    for (unsigned i = 0; i < self->mapping_count; i++)
        if (strcmp (self->mappings[i].contract, contract) == 0)
            return &self->mappings[i];
    return NULL;
}

/*  ------------------------------------------------------------------------------------ seen before  */

static uint64_t *seen_place (tim3ctl_transfers_t *self, uint64_t hash)
{
    uint64_t at = hash & (self->seen_size - 1);
    while (self->seen[at] && self->seen[at] != hash)
        at = (at + 1) & (self->seen_size - 1);
    return &self->seen[at];
}

static void grow_seen (tim3ctl_transfers_t *self)
{
    uint64_t *old = self->seen;
    uint64_t size = self->seen_size;
    self->seen_size = size ? size * 2 : 4096;
    self->seen = tim3_alloc (self->seen_size * sizeof *self->seen);
    for (uint64_t i = 0; i < size; i++)
        if (old[i])
            *seen_place (self, old[i]) = old[i];
    free (old);
}

/*  False when the same log entry was there already: under its request id it would be done once only.  */
static bool first_time (tim3ctl_transfers_t *self, const tim3ctl_csv_row_t *row)
{
    if (self->seen_count * 2 >= self->seen_size)
        grow_seen (self);
    uint64_t hash = tim3_hash64 (row->hash, sizeof row->hash, row->log_index) | 1;
    uint64_t *place = seen_place (self, hash);
    if (*place)
        return false;
    *place = hash;
    self->seen_count++;
    return true;
}

/*  -------------------------------------------------------------------------------------- arithmetic  */

/*  Collateral for a mint, added to all that is issued. False when it does not fit.  */
static bool issue (tim3ctl_transfers_t *self, const tim3ctl_mapping_t *mapping, tim3_amount_t amount)
{
    tim3_amount_t collateral;
    return tim3_amount_mul (amount, mapping->scale, &collateral) &&
           tim3_amount_add (self->issued, collateral, &self->issued);
}

/*  How much the sender lacks.  */
static tim3_amount_t lacking (const tim3ctl_account_t *from, tim3_amount_t value)
{
    return from && from->balance < value ? value - from->balance : 0;
}

/*  Applies one row whole, or not at all.  */
static const char *apply (tim3ctl_transfers_t *self, tim3ctl_mapping_t *mapping, const tim3ctl_move_t *move)
{
    tim3_amount_t opening = lacking (move->from, move->value);
    tim3_amount_t volume;
    tim3_amount_t received = 0;
    if (!tim3_amount_add (mapping->volume, move->value, &volume) ||
        (move->to && !tim3_amount_add (move->to->balance, move->value, &received)) ||
        !issue (self, mapping, move->from ? opening : move->value))
        return "a sum would be more than 2^128 - 1";
    mapping->volume = volume;
    if (move->from) {
        mapping->openings += move->from->opening == 0 && opening > 0;
        move->from->opening += opening;
        move->from->balance -= move->value - opening;
    }
    if (move->to)
        move->to->balance = received;
    return NULL;
}

static void count_kind (tim3ctl_mapping_t *mapping, const tim3ctl_move_t *move)
{
    if (!move->from)
        mapping->mints++;
    else if (!move->to)
        mapping->redemptions++;
    else
        mapping->transfers++;
}

static void keep (tim3ctl_transfers_t *self, const tim3ctl_move_t *move)
{
    if (self->move_count == self->move_capacity) {
        self->move_capacity = self->move_capacity ? self->move_capacity * 2 : 4096;
        self->moves = realloc (self->moves, self->move_capacity * sizeof *self->moves);
        TIM3_ASSERT (self->moves);
    }
    self->moves[self->move_count++] = *move;
}

/*  -------------------------------------------------------------------------------------------- rows  */

static tim3ctl_account_t *party (tim3ctl_transfers_t *self, const tim3ctl_mapping_t *mapping,
                                 const char *address)
{
    if (strcmp (address, TIM3CTL_CSV_ZERO) == 0)
        return NULL;
    return tim3ctl_book_account (self->book, mapping->asset, address);
}

static const char *take_row (tim3ctl_transfers_t *self, tim3ctl_mapping_t *mapping,
                             const tim3ctl_csv_row_t *row)
{
    tim3ctl_move_t move = {.value = row->value, .log_index = row->log_index, .line = self->rows + 1};
    if (row->value == 0) {
        self->zero_values++;
        return NULL;
    }
    if (strcmp (row->from, row->to) == 0) {
        self->to_self++;
        return NULL;
    }
    if (!first_time (self, row))
        return "the same transaction hash and log index as an earlier row";
    memcpy (move.hash, row->hash, sizeof move.hash);
    move.from = party (self, mapping, row->from);
    move.to = party (self, mapping, row->to);
    const char *why = apply (self, mapping, &move);
    if (why)
        return why;
    count_kind (mapping, &move);
    keep (self, &move);
    return NULL;
}

static void take_line (tim3ctl_transfers_t *self, const tim3ctl_csv_header_t *header, const char *line)
{
    tim3ctl_csv_row_t row;
    const char *why = tim3ctl_csv_row (header, line, &row);
    tim3ctl_mapping_t *mapping = mapping_of (self, row.contract);
    self->rows++;
    if (row.contract[0] && !mapping) {
        self->unmapped++;
        return;
    }
    if (!why)
        why = take_row (self, mapping, &row);
    if (mapping) {
        self->mapped++;
        mapping->rows++;
    }
    if (why && self->bad++ < TIM3CTL_BAD_SHOWN)
        fprintf (stderr, "line %llu: %s; not taken\n", (unsigned long long) self->rows + 1, why);
}

static bool read_header (FILE *file, const char *path, char **line, size_t *size,
                         tim3ctl_csv_header_t *header)
{
    const char *why;
    if (getline (line, size, file) >= 0)
        why = tim3ctl_csv_header (*line, header);
    else
        why = ferror (file) ? strerror (errno) : "it is empty";
    if (why)
        tim3ctl_misused ("%s: %s", path, why);
    return !why;
}

bool tim3ctl_transfers_read (tim3ctl_transfers_t *self, const char *path)
{
    tim3ctl_csv_header_t header;
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen (path, "r");
    if (!file) {
        tim3ctl_misused ("%s cannot be read: %s", path, strerror (errno));
        return false;
    }
    bool good = read_header (file, path, &line, &size, &header);
    ssize_t length = 0;
    while (good && !tim3ctl_interrupted () && (length = getline (&line, &size, file)) >= 0) {
        /* a NUL would hide the rest of the line */
        if (memchr (line, '\0', (size_t) length))
            line[0] = '\0';
        take_line (self, &header, line);
    }
    if (good && ferror (file)) {
        tim3ctl_misused ("%s cannot be read to its end: %s", path, strerror (errno));
        good = false;
    }
    free (line);
    fclose (file);
    if (self->bad > TIM3CTL_BAD_SHOWN)
        fprintf (stderr, "and %llu more rows that could not be taken\n",
                 (unsigned long long) (self->bad - TIM3CTL_BAD_SHOWN));
    return good;
}
