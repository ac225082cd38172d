/*  tim3ctl_csv.c - reads rows of token transfers.  */
#include "tim3ctl_csv.h"
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *text;
    size_t length;
} cell_t;

static const char *const s_names[TIM3CTL_CSV_NEEDED] = {
    [TIM3CTL_CSV_CONTRACT] = "token_address", [TIM3CTL_CSV_FROM] = "from_address",
    [TIM3CTL_CSV_TO] = "to_address",          [TIM3CTL_CSV_VALUE] = "value",
    [TIM3CTL_CSV_HASH] = "transaction_hash",  [TIM3CTL_CSV_LOG_INDEX] = "log_index",
};

/*  Cuts a line at its commas, without the line's end. Returns the number of cells, or one more than fit.  */
static unsigned cut (const char *line, cell_t cells[TIM3CTL_CSV_COLUMNS_MAX])
{
    unsigned count = 0;
    for (;;) {
        if (count == TIM3CTL_CSV_COLUMNS_MAX)
            return count + 1;
        size_t length = strcspn (line, ",\r\n");
        cells[count++] = (cell_t){line, length};
        if (line[length] != ',')
            return count;
        line += length + 1;
    }
}

static bool is (cell_t cell, const char *text)
{
    return cell.length == strlen (text) && memcmp (cell.text, text, cell.length) == 0;
}

const char *tim3ctl_csv_header (const char *line, tim3ctl_csv_header_t *header)
{
    cell_t cells[TIM3CTL_CSV_COLUMNS_MAX];
    /* some programs put a byte order mark in front */
    if (strncmp (line, "\xef\xbb\xbf", 3) == 0)
        line += 3;
    header->columns = cut (line, cells);
    if (header->columns > TIM3CTL_CSV_COLUMNS_MAX)
        return "the header has more than 64 columns";
    for (unsigned i = 0; i < TIM3CTL_CSV_NEEDED; i++) {
        unsigned at = 0;
        while (at < header->columns && !is (cells[at], s_names[i]))
            at++;
        if (at == header->columns)
            return "the first line must name the columns token_address, from_address, to_address, value, "
                   "transaction_hash and log_index";
        header->place[i] = at;
    }
    return NULL;
}

/*  Hexadecimal of either case behind 0x, to lower case.  */
static bool take_hex (const char *text, size_t length, size_t digits, char *out)
{
    if (length != digits + 2 || text[0] != '0' || (text[1] != 'x' && text[1] != 'X'))
        return false;
    out[0] = '0';
    out[1] = 'x';
    for (size_t i = 2; i < length; i++) {
        char c = text[i];
        if (c >= 'A' && c <= 'F')
            c = (char) (c - 'A' + 'a');
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        out[i] = c;
    }
    out[length] = '\0';
    return true;
}

bool tim3ctl_csv_address (const char *text, size_t length, char address[TIM3CTL_CSV_ADDRESS_MAX + 1])
{
    return take_hex (text, length, 40, address);
}

static const char *take_value (cell_t cell, tim3_amount_t *value)
{
    char text[128];
    size_t digits = strspn (cell.text, "0123456789");
    if (cell.length == 0 || digits < cell.length)
        return "the value is not a number";
    while (cell.length > 1 && *cell.text == '0') {
        cell.text++;
        cell.length--;
    }
    if (cell.length >= sizeof text)
        return "the value is more than 2^128 - 1";
    memcpy (text, cell.text, cell.length);
    text[cell.length] = '\0';
    return tim3_amount_parse_units (text, value) ? NULL : "the value is more than 2^128 - 1";
}

static const char *take_hash (cell_t cell, uint8_t hash[TIM3CTL_CSV_HASH_SIZE])
{
    char text[67];
    if (!take_hex (cell.text, cell.length, 64, text))
        return "the transaction hash is not 0x and 64 hexadecimal digits";
    text[2 + 2 * TIM3CTL_CSV_HASH_SIZE] = '\0';
    tim3_hex_parse (text + 2, hash, TIM3CTL_CSV_HASH_SIZE);
    return NULL;
}

static const char *take_index (cell_t cell, uint32_t *index)
{
    uint64_t number = 0;
    for (size_t i = 0; i < cell.length; i++) {
        if (cell.text[i] < '0' || cell.text[i] > '9')
            return "the log index is not a number";
        number = number * 10 + (uint64_t) (cell.text[i] - '0');
        if (number > UINT32_MAX)
            return "the log index is too large";
    }
    *index = (uint32_t) number;
    return cell.length ? NULL : "the log index is missing";
}

static const char *take_cells (const tim3ctl_csv_header_t *header, const cell_t *cells,
                               tim3ctl_csv_row_t *row)
{
    cell_t from = cells[header->place[TIM3CTL_CSV_FROM]];
    cell_t to = cells[header->place[TIM3CTL_CSV_TO]];
    if (!tim3ctl_csv_address (from.text, from.length, row->from))
        return "the sender is no address (0x and 40 hexadecimal digits)";
    if (!tim3ctl_csv_address (to.text, to.length, row->to))
        return "the receiver is no address (0x and 40 hexadecimal digits)";
    const char *why = take_value (cells[header->place[TIM3CTL_CSV_VALUE]], &row->value);
    if (!why)
        why = take_hash (cells[header->place[TIM3CTL_CSV_HASH]], row->hash);
    if (!why)
        why = take_index (cells[header->place[TIM3CTL_CSV_LOG_INDEX]], &row->log_index);
    return why;
}

const char *tim3ctl_csv_row (const tim3ctl_csv_header_t *header, const char *line, tim3ctl_csv_row_t *row)
{
    cell_t cells[TIM3CTL_CSV_COLUMNS_MAX];
    memset (row, 0, sizeof *row);
    unsigned count = cut (line, cells);
    if (count < header->columns)
        return "too few columns";
    if (count > header->columns)
        return "too many columns";
    cell_t contract = cells[header->place[TIM3CTL_CSV_CONTRACT]];
    if (!tim3ctl_csv_address (contract.text, contract.length, row->contract)) {
        row->contract[0] = '\0';
        return "the token is no address (0x and 40 hexadecimal digits)";
    }
    return take_cells (header, cells, row);
}
