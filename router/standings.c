/*  standings.c - how far each ledger's store had come when it last told. See standings.h.  */
#include "standings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITE_US 2000000

static tim3_standing_entry_t *entry_of (const tim3_standings_t *self, const char *name)
{
    for (unsigned i = 0; i < self->count; i++)
        if (strcmp (self->entries[i].name, name) == 0)
            return &self->entries[i];
    return NULL;
}

static tim3_standing_entry_t *add (tim3_standings_t *self, const char *name)
{
    if (self->count == TIM3_STANDINGS_MAX)
        return NULL;
    tim3_standing_entry_t *entry = &self->entries[self->count++];
    memset (entry, 0, sizeof *entry);
    snprintf (entry->name, sizeof entry->name, "%.*s", TIM3_ADDRESS_MAX, name);
    return entry;
}

void tim3_standings_start (tim3_standings_t *self, tim3_store_t *store)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_standing_item_t stored;
    memset (self, 0, sizeof *self);
    self->entries = tim3_alloc (TIM3_STANDINGS_MAX * sizeof *self->entries);
    bool more = tim3_store_seek (store, TIM3_TABLE_STANDING, TIM3_SEEK_GE, &key, &stored);
    while (more && self->count < TIM3_STANDINGS_MAX) {
        add (self, (const char *) key.data)->most = stored;
        more = tim3_store_seek (store, TIM3_TABLE_STANDING, TIM3_SEEK_GT, &key, &stored);
    }
}

void tim3_standings_clear (tim3_standings_t *self)
{
    free (self->entries);
    self->entries = NULL;
    self->count = 0;
}

/*  --------------------------------------------------------------------------------------------- checking  */

static bool same_id (const tim3_id_t *a, const tim3_id_t *b)
{
    return memcmp (a, b, sizeof *a) == 0;
}

/*  Up to where the log has the events that an agent emitted with one store; false when it has none.  */
static bool logged (tim3_store_t *store, const char *name, const tim3_id_t *id, uint64_t *seq)
{
    tim3_key_t key = tim3_key_text (name);
    tim3_log_source_t source;
    tim3_key_add_id (&key, id);
    bool there = tim3_store_read (store, TIM3_TABLE_LOG_SOURCE, &key, &source);
    *seq = source.seq;
    return there;
}

static const char s_advice[] =
    "stop all; see what tim3ctl fsck says; restore the whole set, or put the newer store back";

static tim3_result_t refuse_store (const char *name, const char *what, uint64_t given, uint64_t known,
                                   char why[240])
{
    snprintf (why, 240, "the store of %s is an older copy: it has %llu %s, and had %llu; %s", name,
              (unsigned long long) given, what, (unsigned long long) known, s_advice);
    return TIM3_STORE_ROLLED_BACK;
}

/*  What the agent has, against what it had. A store counts its lives on from the last one in it, whatever the clock says: one that
    begins an earlier life lacks what came since.  */
static tim3_result_t check_store (const tim3_standing_entry_t *entry, tim3_store_t *store, const char *name,
                                  const tim3_standing_item_t *given, char why[240])
{
    uint64_t seq = 0;
    if (entry && !same_id (&entry->most.lineage, &given->lineage)) {
        snprintf (why, 240, "the store of %s is not the one that its peers know, but was made anew; %s", name,
                  s_advice);
        return TIM3_STORE_ROLLED_BACK;
    }
    if (entry && given->commits < entry->most.commits)
        return refuse_store (name, "commits", given->commits, entry->most.commits, why);
    if (entry && given->incarnation < entry->most.incarnation) {
        snprintf (why, 240, "the store of %s is an older copy: it does not know of its last start; %s", name,
                  s_advice);
        return TIM3_STORE_ROLLED_BACK;
    }
    if (entry && logged (store, name, &entry->most.store, &seq) && given->event_seq < seq)
        return refuse_store (name, "events", given->event_seq, seq, why);
    if (logged (store, name, &given->store, &seq) && given->event_seq < seq)
        return refuse_store (name, "events", given->event_seq, seq, why);
    return TIM3_OK;
}

/*  A log that never had anything of this store begins behind what another had; it has what was acknowledged since.  */
static tim3_result_t check_log (const tim3_standing_entry_t *entry, tim3_store_t *store, const char *name,
                                const tim3_standing_item_t *given, char why[240])
{
    uint64_t seq;
    bool known = logged (store, name, &given->store, &seq);
    if (!known && (!entry || !same_id (&entry->most.store, &given->store)))
        return TIM3_OK;
    if (!known)
        seq = entry->most.acked;
    if (given->acked <= seq)
        return TIM3_OK;
    snprintf (
        why, 240,
        "the router's store is an older copy: its log ends at event %llu of %s, and had %llu; stop all and "
        "restore the whole set from one backup, or put the router's newer store back",
        (unsigned long long) seq, name, (unsigned long long) given->acked);
    return TIM3_LOG_ROLLED_BACK;
}

static bool is_ledger (const char *name)
{
    tim3_address_t address;
    return tim3_address_parse (name, &address) && tim3_role_is_ledger (address.role);
}

tim3_result_t tim3_standings_check (tim3_standings_t *self, tim3_store_t *store, const char *name,
                                    bool begins, const tim3_standing_item_t *given, char why[240])
{
    if (!is_ledger (name))
        return TIM3_OK;
    tim3_standing_entry_t *entry = entry_of (self, name);
    tim3_result_t code = TIM3_OK;
    bool other_life = !entry || (begins ? given->incarnation != entry->most.incarnation
                                        : given->incarnation > entry->most.incarnation);
    if (other_life)
        code = check_store (entry, store, name, given, why);
    if (code == TIM3_OK)
        code = check_log (entry, store, name, given, why);
    if (entry) {
        entry->rolled_back = code == TIM3_STORE_ROLLED_BACK;
        entry->ahead = code == TIM3_LOG_ROLLED_BACK;
    } else if (code == TIM3_OK && self->count == TIM3_STANDINGS_MAX) {
        snprintf (why, 240, "the router remembers no more than %d ledgers", TIM3_STANDINGS_MAX);
        code = TIM3_OVERLOADED;
    }
    return code;
}

bool tim3_standings_knows (const tim3_standings_t *self, const char *name)
{
    return entry_of (self, name) != NULL;
}

tim3_result_t tim3_standings_note_seen (tim3_standings_t *self, const char *name, bool had, char why[240])
{
    if (!is_ledger (name))
        return TIM3_OK;
    if (had && strcmp (self->newer, name) == 0)
        self->newer[0] = '\0';
    if (had)
        return TIM3_OK;
    snprintf (self->newer, sizeof self->newer, "%s", name);
    snprintf (
        why, 240,
        "the router's store is an older copy, or of another set: %s has seen its event log go further; %s",
        name, s_advice);
    return TIM3_LOG_ROLLED_BACK;
}

bool tim3_standings_log_behind (const tim3_standings_t *self)
{
    if (self->newer[0])
        return true;
    for (unsigned i = 0; i < self->count; i++)
        if (self->entries[i].ahead)
            return true;
    return false;
}

/*  ------------------------------------------------------------------------------------------ remembering  */

static uint64_t larger (uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void tim3_standings_raise (tim3_standings_t *self, const char *name, const tim3_standing_item_t *given)
{
    if (!is_ledger (name))
        return;
    tim3_standing_entry_t *entry = entry_of (self, name);
    if (!entry)
        entry = add (self, name);
    if (!entry || entry->most.incarnation > given->incarnation)
        return;
    tim3_standing_item_t next = *given;
    next.commits = larger (given->commits, entry->most.commits);
    next.event_seq = larger (given->event_seq, entry->most.event_seq);
    next.acked = larger (given->acked, same_id (&given->store, &entry->most.store) ? entry->most.acked : 0);
    entry->dirty = entry->dirty || memcmp (&entry->most, &next, sizeof next) != 0;
    entry->most = next;
}

void tim3_standings_write (tim3_standings_t *self, tim3_store_t *store, uint64_t now_us)
{
    self->written_us = now_us;
    for (unsigned i = 0; i < self->count; i++) {
        tim3_standing_entry_t *entry = &self->entries[i];
        if (!entry->dirty)
            continue;
        tim3_key_t key = tim3_key_text (entry->name);
        tim3_store_write (store, TIM3_TABLE_STANDING, &key, &entry->most);
        entry->dirty = false;
    }
}

void tim3_standings_tick (tim3_standings_t *self, tim3_store_t *store, uint64_t now_us)
{
    if (now_us - self->written_us >= WRITE_US)
        tim3_standings_write (self, store, now_us);
}

void tim3_standings_health (const tim3_standings_t *self, tim3_report_t *report)
{
    if (self->newer[0])
        tim3_report_reason (
            report, "log_rolled_back", 100,
            "%s has seen more of this router's store than there is: it is an older copy, or that "
            "of another set; %s",
            self->newer, s_advice);
    for (unsigned i = 0; i < self->count; i++) {
        const tim3_standing_entry_t *entry = &self->entries[i];
        if (entry->rolled_back)
            tim3_report_reason (report, "store_rolled_back", 100, "%s has an older copy of its store; %s",
                                entry->name, s_advice);
        if (entry->ahead)
            tim3_report_reason (
                report, "log_rolled_back", 100,
                "the log lacks events of %s that were durable: this router's store is an older copy; "
                "restore the whole set, or put the newer store back",
                entry->name);
    }
}
