/*  tim3ctl_print.c - aligned tables and records for people.  */
#include "tim3ctl_print.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLUMNS_MAX 16
#define PAGE_ROWS 1000

struct tim3ctl_table {
    char names[COLUMNS_MAX][32];
    bool right[COLUMNS_MAX];
    int width[COLUMNS_MAX];
    unsigned columns;
    char **cells;
    unsigned count;
    unsigned capacity;
    bool headed;
};

/*  ------------------------------------------------------------------------------------------- fields  */

const tim3_field_t *tim3ctl_field (const tim3_shape_t *shape, const char *name)
{
    for (unsigned i = 0; i < shape->count; i++)
        if (strcmp (shape->fields[i].name, name) == 0)
            return &shape->fields[i];
    tim3_panic (__FILE__, __LINE__, name);
}

char *tim3ctl_time_text (uint64_t time_us, char text[TIM3CTL_CELL_MAX])
{
    time_t seconds = (time_t) (time_us / 1000000);
    struct tm utc;
    if (time_us == 0)
        return strcpy (text, "-");
    gmtime_r (&seconds, &utc);
    size_t used = strftime (text, TIM3CTL_CELL_MAX, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf (text + used, TIM3CTL_CELL_MAX - used, ".%03uZ", (unsigned) (time_us / 1000 % 1000));
    return text;
}

static void number_text (const tim3_field_t *field, uint64_t number, char *text)
{
    size_t length = strlen (field->name);
    bool micros = length > 3 && strcmp (field->name + length - 3, "_us") == 0;
    if (micros && strcmp (field->name, "uptime_us") == 0)
        snprintf (text, TIM3CTL_CELL_MAX, "%.1f s", (double) number / 1e6);
    else if (micros)
        tim3ctl_time_text (number, text);
    else if (strcmp (field->name, "code") == 0)
        snprintf (text, TIM3CTL_CELL_MAX, "%s", tim3_result_name ((unsigned) number));
    else
        snprintf (text, TIM3CTL_CELL_MAX, "%llu", (unsigned long long) number);
}

/*  A cap has a number for none; it is also the amount of a control that sets it.  */
static bool is_cap (const tim3_field_t *field, const void *object)
{
    const tim3_transaction_t *record = object;
    const tim3_token_controlled_t *event = object;
    if (field == tim3ctl_field (&tim3_shape_transaction, "amount"))
        return record->control == TIM3_CONTROL_CAP;
    if (field == tim3ctl_field (&tim3_shape_token_controlled, "amount"))
        return event->control == TIM3_CONTROL_CAP;
    return strcmp (field->name, "cap") == 0;
}

static void amount_text (const tim3_field_t *field, const void *object, unsigned decimals, char *text)
{
    tim3_amount_t amount;
    memcpy (&amount, (const uint8_t *) object + field->offset, sizeof amount);
    if (strcmp (field->name, "scale") == 0)
        tim3_amount_format_units (amount, text);
    else if (amount == TIM3_AMOUNT_MAX && is_cap (field, object))
        strcpy (text, "none");
    else
        tim3_amount_format (amount, decimals, text);
}

char *tim3ctl_field_text (const tim3_field_t *field, const void *object, unsigned decimals,
                          char text[TIM3CTL_CELL_MAX])
{
    const uint8_t *member = (const uint8_t *) object + field->offset;
    text[0] = '\0';
    switch (field->kind) {
    case TIM3_KIND_U64:
        number_text (field, *(const uint64_t *) (const void *) member, text);
        break;
    case TIM3_KIND_BOOL:
        strcpy (text, *(const bool *) member ? "yes" : "no");
        break;
    case TIM3_KIND_AMOUNT:
        amount_text (field, object, decimals, text);
        break;
    case TIM3_KIND_ID:
        tim3_hex_format (member, sizeof (tim3_id_t), text);
        break;
    case TIM3_KIND_MAC:
        tim3_hex_format (member, sizeof (tim3_mac_t), text);
        break;
    case TIM3_KIND_STR:
        snprintf (text, TIM3CTL_CELL_MAX, "%s", (const char *) member);
        break;
    case TIM3_KIND_ENUM:
        strcpy (text, *member ? tim3_value_name (field->values, *member) : "-");
        break;
    case TIM3_KIND_LIST:
    case TIM3_KIND_RAW:
        break;
    }
    return text;
}

static size_t field_size (const tim3_shape_t *shape, unsigned at)
{
    unsigned end = at + 1 < shape->count ? shape->fields[at + 1].offset : shape->size;
    return (size_t) end - shape->fields[at].offset;
}

static bool is_zero (const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

static bool field_shown (const tim3_shape_t *shape, unsigned at, const void *object)
{
    const tim3_field_t *field = &shape->fields[at];
    if (field->kind == TIM3_KIND_LIST || field->kind == TIM3_KIND_RAW)
        return false;
    return field->required || !is_zero ((const uint8_t *) object + field->offset, field_size (shape, at));
}

void tim3ctl_print_record (const tim3_shape_t *shape, const void *object, unsigned decimals)
{
    char text[TIM3CTL_CELL_MAX];
    for (unsigned i = 0; i < shape->count; i++)
        if (field_shown (shape, i, object))
            printf ("%-14s %s\n", shape->fields[i].name,
                    tim3ctl_field_text (&shape->fields[i], object, decimals, text));
}

/*  ------------------------------------------------------------------------------------------- tables  */

tim3ctl_table_t *tim3ctl_table_new (const char *columns)
{
    tim3ctl_table_t *self = tim3_alloc (sizeof *self);
    while (*columns) {
        size_t length = strcspn (columns, " ");
        bool right = *columns == '+';
        TIM3_ASSERT (self->columns < COLUMNS_MAX && length < sizeof self->names[0]);
        memcpy (self->names[self->columns], columns + right, length - right);
        self->right[self->columns] = right;
        self->width[self->columns++] = (int) (length - right);
        columns += length + (columns[length] == ' ');
    }
    return self;
}

static void forget_cells (tim3ctl_table_t *self)
{
    for (unsigned i = 0; i < self->count; i++)
        free (self->cells[i]);
    self->count = 0;
}

void tim3ctl_table_destroy (tim3ctl_table_t **self_p)
{
    if (!*self_p)
        return;
    forget_cells (*self_p);
    free ((*self_p)->cells);
    free (*self_p);
    *self_p = NULL;
}

static void add_cell (tim3ctl_table_t *self, const char *text)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? self->capacity * 2 : 64;
        self->cells = realloc (self->cells, self->capacity * sizeof *self->cells);
        TIM3_ASSERT (self->cells);
    }
    unsigned column = self->count % self->columns;
    int length = (int) strlen (text);
    if (self->width[column] < length)
        self->width[column] = length;
    self->cells[self->count] = strdup (text);
    TIM3_ASSERT (self->cells[self->count]);
    self->count++;
}

void tim3ctl_table_cell (tim3ctl_table_t *self, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    add_cell (self, text);
}

void tim3ctl_table_record (tim3ctl_table_t *self, const tim3_shape_t *shape, const void *object,
                           unsigned decimals)
{
    char text[TIM3CTL_CELL_MAX];
    for (unsigned i = 0; i < self->columns; i++) {
        const tim3_field_t *field = tim3ctl_field (shape, self->names[i]);
        add_cell (self, tim3ctl_field_text (field, object, decimals, text));
    }
    if (tim3ctl_table_rows (self) == PAGE_ROWS)
        tim3ctl_table_print (self);
}

void tim3ctl_table_move (tim3ctl_table_t *self, tim3ctl_table_t *from)
{
    TIM3_ASSERT (self->columns == from->columns);
    for (unsigned i = 0; i < from->count; i++)
        add_cell (self, from->cells[i]);
    forget_cells (from);
}

unsigned tim3ctl_table_rows (const tim3ctl_table_t *self)
{
    return self->count / self->columns;
}

static void print_cell (const tim3ctl_table_t *self, unsigned column, const char *text)
{
    bool last = column + 1 == self->columns;
    int width = last && !self->right[column] ? 0 : self->width[column];
    printf ("%*s%s", self->right[column] ? width : -width, text, last ? "\n" : "  ");
}

void tim3ctl_table_print (tim3ctl_table_t *self)
{
    for (unsigned i = 0; i < self->columns && !self->headed; i++)
        print_cell (self, i, self->names[i]);
    self->headed = true;
    for (unsigned i = 0; i < self->count; i++)
        print_cell (self, i % self->columns, self->cells[i]);
    forget_cells (self);
}
