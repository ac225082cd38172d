/*  tim3ctl_csv.h - reads rows of token transfers in the schema that ethereum-etl writes:

        token_address,from_address,to_address,value,transaction_hash,log_index,block_number

    The header gives the order of the columns; columns that are not needed are passed over. Functions return
    NULL when all is well, else what is wrong, in words. They take any text, hostile ones included.
*/
#ifndef TIM3CTL_CSV_H
#define TIM3CTL_CSV_H

#include "base/amount.h"

#define TIM3CTL_CSV_COLUMNS_MAX 64
#define TIM3CTL_CSV_ADDRESS_MAX 42 /* 0x and 40 digits */
#define TIM3CTL_CSV_HASH_SIZE 20

typedef enum {
    TIM3CTL_CSV_CONTRACT,
    TIM3CTL_CSV_FROM,
    TIM3CTL_CSV_TO,
    TIM3CTL_CSV_VALUE,
    TIM3CTL_CSV_HASH,
    TIM3CTL_CSV_LOG_INDEX,
    TIM3CTL_CSV_NEEDED
} tim3ctl_csv_column_t;

typedef struct {
    unsigned place[TIM3CTL_CSV_NEEDED];
    unsigned columns;
} tim3ctl_csv_header_t;

typedef struct {
    char contract[TIM3CTL_CSV_ADDRESS_MAX + 1]; /* lower case; filled whenever it can be read */
    char from[TIM3CTL_CSV_ADDRESS_MAX + 1];
    char to[TIM3CTL_CSV_ADDRESS_MAX + 1];
    tim3_amount_t value;
    uint8_t hash[TIM3CTL_CSV_HASH_SIZE]; /* the first bytes of the transaction's hash */
    uint32_t log_index;
} tim3ctl_csv_row_t;

#define TIM3CTL_CSV_ZERO "0x0000000000000000000000000000000000000000"

const char *tim3ctl_csv_header (const char *line, tim3ctl_csv_header_t *header);
const char *tim3ctl_csv_row (const tim3ctl_csv_header_t *header, const char *line, tim3ctl_csv_row_t *row);

/*  An address in any case to lower case. False when it is none.  */
bool tim3ctl_csv_address (const char *text, size_t length, char address[TIM3CTL_CSV_ADDRESS_MAX + 1]);

#endif
