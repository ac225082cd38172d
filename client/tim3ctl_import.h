/*  tim3ctl_import.h - a file of token transfers, read and checked: what is to be done, and what every account
    must hold afterwards. Reading asks nobody; doing it is tim3ctl_import.c.
*/
#ifndef TIM3CTL_IMPORT_H
#define TIM3CTL_IMPORT_H

#include "tim3ctl_csv.h"
#include "tim3ctl_pipeline.h"

#define TIM3CTL_BAD_SHOWN 20

/*  One contract and the asset that takes its rows, with what was counted.  */
typedef struct {
    char contract[TIM3CTL_CSV_ADDRESS_MAX + 1];
    char asset[TIM3_ASSET_MAX + 1];
    unsigned decimals;
    tim3_amount_t scale; /* collateral units in one unit of the asset */
    uint64_t rows;
    uint64_t mints;
    uint64_t redemptions;
    uint64_t transfers;
    uint64_t openings;
    tim3_amount_t volume;
} tim3ctl_mapping_t;

/*  A row that changes balances. No sender: a mint. No receiver: a redemption.  */
typedef struct {
    tim3_amount_t value;
    tim3ctl_account_t *from;
    tim3ctl_account_t *to;
    uint8_t hash[TIM3CTL_CSV_HASH_SIZE];
    uint32_t log_index;
    uint64_t line;
} tim3ctl_move_t;

typedef struct {
    tim3ctl_mapping_t mappings[TIM3CTL_REPEAT_MAX];
    unsigned mapping_count;
    tim3ctl_book_t *book;
    tim3ctl_move_t *moves;
    uint64_t move_count;
    uint64_t move_capacity;
    uint64_t *seen; /* hashes of (transaction, log index): a set, open addressing */
    uint64_t seen_size;
    uint64_t seen_count;
    uint64_t rows;
    uint64_t mapped;
    uint64_t unmapped;
    uint64_t zero_values;
    uint64_t to_self;
    uint64_t bad;
    tim3_amount_t issued; /* collateral that all mints need */
} tim3ctl_transfers_t;

/*  Reads the whole file. Mappings are filled and book is new. False after saying why it cannot be read.  */
bool tim3ctl_transfers_read (tim3ctl_transfers_t *self, const char *path);
void tim3ctl_transfers_free (tim3ctl_transfers_t *self);
const tim3ctl_mapping_t *tim3ctl_transfers_mapping (const tim3ctl_transfers_t *self, const char *asset);

#endif
