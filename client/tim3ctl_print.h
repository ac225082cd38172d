/*  tim3ctl_print.h - output: aligned tables and records for people, JSON for programs, both from shapes.  */
#ifndef TIM3CTL_PRINT_H
#define TIM3CTL_PRINT_H

#include "wire/messages.h"

#include <jansson.h>
#include <stdio.h>

/*  A struct as a JSON object: enumerations by name, ids and MACs in hexadecimal, amounts as texts of minor
    units, the body of an event decoded. The caller owns it.  */
json_t *tim3ctl_json (const tim3_shape_t *shape, const void *object);
json_t *tim3ctl_json_amount (tim3_amount_t amount);
/*  Prints and releases.  */
void tim3ctl_json_print (json_t *value);
/*  What agents answered to Stats, as Prometheus reads it.  */
void tim3ctl_print_prometheus (const json_t *agents);
/*  On one line, for streams.  */
void tim3ctl_json_print_line (json_t *value);

/*  One field for people. Amounts are written with decimals.  */
#define TIM3CTL_CELL_MAX 256
char *tim3ctl_field_text (const tim3_field_t *field, const void *object, unsigned decimals,
                          char text[TIM3CTL_CELL_MAX]);
char *tim3ctl_time_text (uint64_t time_us, char text[TIM3CTL_CELL_MAX]);
/*  The shape must have it.  */
const tim3_field_t *tim3ctl_field (const tim3_shape_t *shape, const char *name);

/*  One line per field; optional ones that are not set are left out, and lists.  */
void tim3ctl_print_record (const tim3_shape_t *shape, const void *object, unsigned decimals);

/*  A table. Cells are added row by row; printing writes the header once and then what has been added, so that
    a long list can be printed page by page.  */
typedef struct tim3ctl_table tim3ctl_table_t;

/*  columns: names with spaces between; a name that begins with + is aligned to the right.  */
tim3ctl_table_t *tim3ctl_table_new (const char *columns);
void tim3ctl_table_destroy (tim3ctl_table_t **self_p);
void tim3ctl_table_cell (tim3ctl_table_t *self, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));
/*  A row from a struct: the fields that the columns name.  */
void tim3ctl_table_record (tim3ctl_table_t *self, const tim3_shape_t *shape, const void *object,
                           unsigned decimals);
/*  Moves the rows of one table to the end of another with the same columns.  */
void tim3ctl_table_move (tim3ctl_table_t *self, tim3ctl_table_t *from);
unsigned tim3ctl_table_rows (const tim3ctl_table_t *self);
void tim3ctl_table_print (tim3ctl_table_t *self);

#endif
