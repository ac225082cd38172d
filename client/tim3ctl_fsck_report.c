/*  tim3ctl_fsck_report.c - how fsck tells what it finds: lines for people, or one JSON object for
    programs.  */
#include "tim3ctl.h"
#include "tim3ctl_fsck.h"
#include "tim3ctl_print.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 1024
#define PATIENCE_US 2000000

/*  ------------------------------------------------------------------------------------------ problems  */

static const char *table_name (tim3_table_t table)
{
    const tim3_table_row_t *row = tim3_table (table);
    return row ? row->name : "unknown table";
}

static void key_text (const tim3_fsck_place_t *at, char text[TIM3_FSCK_KEY_TEXT_MAX])
{
    char hex[2 * TIM3_KEY_MAX + 1];
    if (!tim3_fsck_key_text (at->table, &at->key, text))
        snprintf (text, TIM3_FSCK_KEY_TEXT_MAX, "key %s", tim3_hex_format (at->key.data, at->key.size, hex));
}

static void print_problem (const tim3_fsck_place_t *at, const char *what)
{
    char key[TIM3_FSCK_KEY_TEXT_MAX];
    if (at && at->table) {
        key_text (at, key);
        printf ("  %s %s, %s: %s\n", at->store->meta.name, table_name (at->table), key, what);
    } else
        printf ("  %s%s%s\n", at ? at->store->meta.name : "", at ? ": " : "", what);
    fflush (stdout); /* a damaged file may end the run at any row */
}

static json_t *problem_json (const tim3_fsck_place_t *at, const char *what)
{
    char key[TIM3_FSCK_KEY_TEXT_MAX] = "";
    char hex[2 * TIM3_KEY_MAX + 1] = "";
    bool row = at && at->table;
    if (row) {
        key_text (at, key);
        tim3_hex_format (at->key.data, at->key.size, hex);
    }
    return json_pack ("{s:s, s:s, s:s, s:s, s:s}", "store", at ? at->store->meta.name : "", "table",
                      row ? table_name (at->table) : "", "key", hex, "record", key, "problem", what);
}

void tim3_fsck_problem (tim3_fsck_t *self, const tim3_fsck_place_t *at, const char *format, ...)
{
    char what[TEXT_MAX];
    va_list arguments;
    if (self->stopped || self->problems++ >= TIM3_FSCK_SHOWN_MOST)
        return;
    va_start (arguments, format);
    vsnprintf (what, sizeof what, format, arguments);
    va_end (arguments);
    if (self->json)
        json_array_append_new (self->listed, problem_json (at, what));
    else
        print_problem (at, what);
}

/*  ----------------------------------------------------------------------------------------- comparing  */

static size_t kind_size (tim3_kind_t kind)
{
    static const size_t sizes[] = {
        [TIM3_KIND_U64] = sizeof (uint64_t),         [TIM3_KIND_BOOL] = sizeof (bool),
        [TIM3_KIND_AMOUNT] = sizeof (tim3_amount_t), [TIM3_KIND_ID] = sizeof (tim3_id_t),
        [TIM3_KIND_MAC] = sizeof (tim3_mac_t),       [TIM3_KIND_ENUM] = sizeof (uint8_t)};
    return kind < sizeof sizes / sizeof sizes[0] ? sizes[kind] : 0;
}

/*  Lists and raw values are compared by nobody.  */
static bool field_equal (const tim3_field_t *field, const void *a, const void *b)
{
    const uint8_t *left = (const uint8_t *) a + field->offset;
    const uint8_t *right = (const uint8_t *) b + field->offset;
    if (field->kind == TIM3_KIND_STR)
        return strcmp ((const char *) left, (const char *) right) == 0;
    return memcmp (left, right, kind_size (field->kind)) == 0;
}

void tim3_fsck_compare (tim3_fsck_t *self, const tim3_fsck_place_t *at, const tim3_shape_t *shape,
                        const void *found, const void *derived, const char *from)
{
    char is[TIM3CTL_CELL_MAX];
    char should[TIM3CTL_CELL_MAX];
    for (unsigned i = 0; i < shape->count; i++) {
        const tim3_field_t *field = &shape->fields[i];
        if (field_equal (field, found, derived))
            continue;
        tim3ctl_field_text (field, found, 0, is);
        tim3ctl_field_text (field, derived, 0, should);
        tim3_fsck_problem (self, at, "%s is \"%s\", but \"%s\" by %s", field->name, is, should, from);
    }
}

void tim3_fsck_add (tim3_amount_t *sum, tim3_amount_t amount)
{
    if (!tim3_amount_add (*sum, amount, sum))
        *sum = TIM3_AMOUNT_MAX;
}

void tim3_fsck_sub (tim3_amount_t *sum, tim3_amount_t amount)
{
    if (!tim3_amount_sub (*sum, amount, sum))
        *sum = 0;
}

/*  ------------------------------------------------------------------------------------------ sections  */

void tim3_fsck_section (tim3_fsck_t *self, const char *name, const char *format, ...)
{
    char counts[TEXT_MAX];
    va_list arguments;
    uint64_t problems = self->problems - self->problems_told;
    self->problems_told = self->problems;
    va_start (arguments, format);
    vsnprintf (counts, sizeof counts, format, arguments);
    va_end (arguments);
    if (self->stopped)
        return;
    if (self->json)
        json_array_append_new (self->sections, json_pack ("{s:s, s:s, s:I}", "section", name, "checked",
                                                          counts, "problems", (json_int_t) problems));
    else if (problems)
        printf ("%s: %s: %llu problem%s\n", name, counts, (unsigned long long) problems,
                problems > 1 ? "s" : "");
    else
        printf ("%s: %s: good\n", name, counts);
}

static void note (json_t *array, const char *format, va_list arguments)
{
    char what[TEXT_MAX];
    vsnprintf (what, sizeof what, format, arguments);
    json_array_append_new (array, json_string (what));
}

void tim3_fsck_unchecked (tim3_fsck_t *self, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    note (self->unchecked, format, arguments);
    va_end (arguments);
}

void tim3_fsck_unused (tim3_fsck_t *self, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    note (self->unused, format, arguments);
    va_end (arguments);
}

static void tell_progress (tim3_fsck_t *self, const tim3_fsck_place_t *at)
{
    uint64_t now = tim3ctl_now_us ();
    if (now - self->begun_us < PATIENCE_US || now - self->progress_us < PATIENCE_US)
        return;
    self->progress_us = now;
    fprintf (stderr, "fsck: %llu rows read, now at %s %s\n", (unsigned long long) self->walked,
             at->store->meta.name, table_name (at->table));
}

bool tim3_fsck_progress (tim3_fsck_t *self, const tim3_fsck_place_t *at)
{
    if (++self->walked % 4096 == 0)
        tell_progress (self, at);
    self->stopped |= tim3ctl_interrupted ();
    return !self->stopped;
}
