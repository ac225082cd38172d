/*  tim3ctl_book.c - the accounts that a command works with. An index by hash: open addressing, grown by
    doubling, since an import may hold millions of accounts.  */
#include "tim3ctl_pipeline.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tim3ctl_book {
    tim3ctl_account_t **accounts;
    uint32_t count;
    uint32_t capacity;
    uint32_t *index; /* position + 1 in accounts, 0 for a free place */
    uint32_t index_size;
};

tim3ctl_book_t *tim3ctl_book_new (void)
{
    tim3ctl_book_t *self = tim3_alloc (sizeof *self);
    self->index_size = 1024;
    self->index = tim3_alloc (self->index_size * sizeof *self->index);
    return self;
}

void tim3ctl_book_destroy (tim3ctl_book_t **self_p)
{
    tim3ctl_book_t *self = *self_p;
    if (!self)
        return;
    for (uint32_t i = 0; i < self->count; i++)
        free (self->accounts[i]);
    free (self->accounts);
    free (self->index);
    free (self);
    *self_p = NULL;
}

/*  The place of an account in the index: where it is, or where it would go.  */
static uint32_t place_of (const tim3ctl_book_t *self, const char *asset, const char *name)
{
    uint64_t hash = tim3_hash64 (name, strlen (name), tim3_hash64 (asset, strlen (asset), 0));
    uint32_t place = (uint32_t) hash & (self->index_size - 1);
    while (self->index[place]) {
        const tim3ctl_account_t *account = self->accounts[self->index[place] - 1];
        if (strcmp (account->name, name) == 0 && strcmp (account->asset, asset) == 0)
            break;
        place = (place + 1) & (self->index_size - 1);
    }
    return place;
}

static void grow_index (tim3ctl_book_t *self)
{
    TIM3_ASSERT (self->index_size < 1u << 31);
    free (self->index);
    self->index_size *= 2;
    self->index = tim3_alloc (self->index_size * sizeof *self->index);
    for (uint32_t i = 0; i < self->count; i++)
        self->index[place_of (self, self->accounts[i]->asset, self->accounts[i]->name)] = i + 1;
}

static tim3ctl_account_t *open_account (tim3ctl_book_t *self, const char *asset, const char *name)
{
    size_t length = strlen (name);
    tim3ctl_account_t *account = tim3_alloc (sizeof *account + length + 1);
    account->asset = asset;
    memcpy (account->name, name, length + 1);
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? self->capacity * 2 : 256;
        self->accounts = realloc (self->accounts, self->capacity * sizeof *self->accounts);
        TIM3_ASSERT (self->accounts);
    }
    self->accounts[self->count++] = account;
    return account;
}

tim3ctl_account_t *tim3ctl_book_account (tim3ctl_book_t *self, const char *asset, const char *name)
{
    uint32_t place = place_of (self, asset, name);
    if (self->index[place])
        return self->accounts[self->index[place] - 1];
    tim3ctl_account_t *account = open_account (self, asset, name);
    self->index[place] = self->count;
    if (self->count > self->index_size / 2)
        grow_index (self);
    return account;
}

uint32_t tim3ctl_book_count (const tim3ctl_book_t *self)
{
    return self->count;
}

tim3ctl_account_t *tim3ctl_book_at (tim3ctl_book_t *self, uint32_t position)
{
    return self->accounts[position];
}

/*  ----------------------------------------------------------------------------------------- progress  */

#define BAR_WIDTH 30
#define BAR_US 200000
#define LINE_US 3000000

void tim3ctl_progress_begin (tim3ctl_progress_t *self, const char *label, uint64_t total)
{
    *self = (tim3ctl_progress_t){.label = label, .total = total};
    self->start_us = self->shown_us = tim3ctl_now_us ();
}

static void print_progress (const tim3ctl_progress_t *self, uint64_t now)
{
    double seconds = (double) (now - self->start_us) / 1e6;
    double part = self->total ? (double) self->done / (double) self->total : 1.0;
    fprintf (stderr, "%s: %3.0f %%  %llu of %llu  %.0f/s", self->label, part * 100,
             (unsigned long long) self->done, (unsigned long long) self->total,
             seconds > 0 ? (double) self->done / seconds : 0.0);
}

static void print_bar (const tim3ctl_progress_t *self, uint64_t now)
{
    char bar[BAR_WIDTH + 1];
    uint64_t full = self->total ? self->done * BAR_WIDTH / self->total : BAR_WIDTH;
    memset (bar, '.', BAR_WIDTH);
    memset (bar, '#', full < BAR_WIDTH ? full : BAR_WIDTH);
    bar[BAR_WIDTH] = '\0';
    fprintf (stderr, "\r[%s] ", bar);
    print_progress (self, now);
    fputs ("\033[K", stderr);
}

void tim3ctl_progress_show (tim3ctl_progress_t *self)
{
    bool terminal = isatty (STDERR_FILENO);
    uint64_t now = tim3ctl_now_us ();
    if (now - self->shown_us < (terminal ? BAR_US : LINE_US))
        return;
    self->shown_us = now;
    if (terminal) {
        print_bar (self, now);
        return;
    }
    print_progress (self, now);
    fputc ('\n', stderr);
}

void tim3ctl_progress_end (tim3ctl_progress_t *self)
{
    uint64_t now = tim3ctl_now_us ();
    if (isatty (STDERR_FILENO))
        print_bar (self, now);
    else
        print_progress (self, now);
    fputc ('\n', stderr);
}
