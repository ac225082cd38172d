/*  tim3ctl_import.c - import-transfers: replays a token's history, then compares every account's
    balance with the file's arithmetic.

    Request ids derive from the transaction's hash and the log index, so a second run, or one after an
    interruption, changes nothing. Each mint needs its collateral first, which the faucet makes.  */
#include "tim3ctl_commands.h"
#include "tim3ctl_import.h"
#include "tim3ctl_print.h"

#include <stdlib.h>
#include <string.h>

#define OUTSTANDING 256
#define TIMEOUT_S 120
#define MISMATCHES_SHOWN 20
#define VOIDED_MOST 9
#define HASH_CUT 8

typedef struct {
    tim3ctl_t *ctl;
    tim3ctl_transfers_t transfers;
    tim3ctl_progress_t progress;
    uint32_t account; /* next opening balance, and next to compare */
    uint64_t move;    /* next row */
    bool fauceted;    /* the collateral of the next mint is on its way */
    uint64_t voided;
    uint64_t mismatches;
} import_t;

/*  ---------------------------------------------------------------------------------------- operations  */

/*  A mint is two operations: collateral for it, then the mint. All assets share the collateral token, so the id
    of its part names the asset. True when the second has been filled.  */
static bool fill_mint (import_t *self, tim3ctl_op_t *op, tim3ctl_account_t *account, tim3_amount_t amount,
                       const char *id, const char *faucet_id)
{
    const tim3ctl_mapping_t *mapping = tim3ctl_transfers_mapping (&self->transfers, account->asset);
    bool second = self->fauceted;
    op->type = second ? TIM3_MSG_MINT : TIM3_MSG_FAUCET;
    op->account = account;
    op->amount = second ? amount : amount * mapping->scale; /* checked when the file was read */
    if (second)
        snprintf (op->request_id, sizeof op->request_id, "%s", id);
    else
        snprintf (op->request_id, sizeof op->request_id, "f:%s:%s", account->asset, faucet_id);
    self->fauceted = !second;
    return second;
}

static bool next_opening (import_t *self, tim3ctl_op_t *op)
{
    tim3ctl_book_t *book = self->transfers.book;
    char id[TIM3_REQUEST_ID_MAX + 1];
    while (self->account < tim3ctl_book_count (book) && tim3ctl_book_at (book, self->account)->opening == 0)
        self->account++;
    if (self->account == tim3ctl_book_count (book))
        return false;
    tim3ctl_account_t *account = tim3ctl_book_at (book, self->account);
    const tim3ctl_mapping_t *mapping = tim3ctl_transfers_mapping (&self->transfers, account->asset);
    snprintf (id, sizeof id, "o:%s", mapping->contract);
    if (fill_mint (self, op, account, account->opening, id, id))
        self->account++;
    return true;
}

static bool next_move (import_t *self, tim3ctl_op_t *op)
{
    char id[TIM3_REQUEST_ID_MAX + 1];
    char hash[2 * TIM3CTL_CSV_HASH_SIZE + 1];
    if (self->move == self->transfers.move_count)
        return false;
    const tim3ctl_move_t *move = &self->transfers.moves[self->move];
    snprintf (id, sizeof id, "%s:%u", tim3_hex_format (move->hash, sizeof move->hash, hash), move->log_index);
    op->tag = move->line;
    if (!move->from) {
        /* with the asset's name in front the whole hash may not fit */
        self->move += fill_mint (self, op, move->to, move->value, id, id + HASH_CUT);
        return true;
    }
    op->type = move->to ? TIM3_MSG_TRANSFER : TIM3_MSG_REDEEM;
    op->account = move->from;
    op->to = move->to;
    op->amount = move->value;
    strcpy (op->request_id, id);
    self->move++;
    return true;
}

static bool next_operation (void *arg, tim3ctl_op_t *op)
{
    return next_opening (arg, op) || next_move (arg, op);
}

static void print_place (const tim3ctl_op_t *op)
{
    if (op->tag)
        fprintf (stderr, "\nline %llu: ", (unsigned long long) op->tag);
    else
        fprintf (stderr, "\nopening balance of %s: ", op->account->name);
}

static void print_refusal (const tim3ctl_op_t *op, const tim3_error_t *error)
{
    char available[TIM3_AMOUNT_TEXT_MAX];
    char needed[TIM3_AMOUNT_TEXT_MAX];
    print_place (op);
    fprintf (stderr,
             "%s: %s (%s, account %s, available %s, needed %s minor units). The import has stopped here.\n",
             error->name, error->text, tim3_message (op->type)->name, op->account->name,
             tim3_amount_format_units (error->available, available),
             tim3_amount_format_units (error->needed, needed));
    tim3ctl_error_json (error, op->request_id[0] ? op->request_id : NULL);
    if (error->code == TIM3_ID_REUSED)
        fputs ("This transaction was imported before with other fields: from another file, or one that has "
               "grown at "
               "its beginning. Import it into a fresh asset.\n",
               stderr);
}

/*  A mint that agents could not finish in time was voided for ever under its id: it goes on under the next,
    which a second run comes to in the same way.  */
static bool renumber (import_t *self, tim3ctl_op_t *op)
{
    size_t length = strlen (op->request_id);
    char *suffix = strchr (op->request_id, '~');
    if (suffix && suffix[1] == '0' + VOIDED_MOST)
        return false;
    if (suffix)
        suffix[1]++;
    else if (length + 2 <= TIM3_REQUEST_ID_MAX)
        strcpy (op->request_id + length, "~2");
    else
        return false;
    self->voided++;
    return true;
}

static tim3ctl_verdict_t operation_done (void *arg, tim3ctl_op_t *op, const tim3_error_t *error)
{
    import_t *self = arg;
    if (error && error->code == TIM3_VOIDED && renumber (self, op))
        return TIM3CTL_AGAIN;
    if (error) {
        print_refusal (op, error);
        return TIM3CTL_STOP;
    }
    self->progress.done++;
    return TIM3CTL_NEXT;
}

/*  ---------------------------------------------------------------------------------------- comparing  */

static bool next_comparison (void *arg, tim3ctl_op_t *op)
{
    import_t *self = arg;
    if (self->account == tim3ctl_book_count (self->transfers.book))
        return false;
    op->type = TIM3_MSG_GET_BALANCE;
    op->account = tim3ctl_book_at (self->transfers.book, self->account++);
    return true;
}

static tim3ctl_verdict_t comparison_done (void *arg, tim3ctl_op_t *op, const tim3_error_t *error)
{
    import_t *self = arg;
    char is[TIM3_AMOUNT_TEXT_MAX];
    char should[TIM3_AMOUNT_TEXT_MAX];
    self->progress.done++;
    /* an account that the ledger has never seen holds nothing */
    if (error && error->code != TIM3_NOT_FOUND) {
        print_refusal (op, error);
        return TIM3CTL_STOP;
    }
    if (op->balance == op->account->balance)
        return TIM3CTL_NEXT;
    if (self->mismatches++ < MISMATCHES_SHOWN)
        fprintf (stderr, "%s %s: the ledger says %s, the file %s minor units\n", op->account->asset,
                 op->account->name, tim3_amount_format_units (op->balance, is),
                 tim3_amount_format_units (op->account->balance, should));
    return TIM3CTL_NEXT;
}

/*  ------------------------------------------------------------------------------------------ summary  */

static json_t *mapping_json (const tim3ctl_mapping_t *mapping)
{
    return json_pack ("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "asset", mapping->asset, "contract",
                      mapping->contract, "rows", (json_int_t) mapping->rows, "openings",
                      (json_int_t) mapping->openings, "mints", (json_int_t) mapping->mints, "redemptions",
                      (json_int_t) mapping->redemptions, "transfers", (json_int_t) mapping->transfers,
                      "volume", tim3ctl_json_amount (mapping->volume));
}

/*  The first mapping of whose contract the file has no row, mostly as it was mistyped; or NULL.  */
static const tim3ctl_mapping_t *unused_mapping (const import_t *self)
{
    for (unsigned i = 0; i < self->transfers.mapping_count; i++)
        if (self->transfers.mappings[i].rows == 0)
            return &self->transfers.mappings[i];
    return NULL;
}

/*  With the file, and not only with what was taken of it.  */
static bool agrees_with_file (const import_t *self)
{
    return self->mismatches == 0 && self->transfers.bad == 0 && !unused_mapping (self);
}

static void print_json (const import_t *self)
{
    const tim3ctl_transfers_t *transfers = &self->transfers;
    json_t *assets = json_array ();
    for (unsigned i = 0; i < transfers->mapping_count; i++)
        json_array_append_new (assets, mapping_json (&transfers->mappings[i]));
    tim3ctl_json_print (
        json_pack ("{s:I, s:I, s:i, s:o, s:{s:I, s:I, s:I, s:I}, s:I, s:b}", "rows",
                   (json_int_t) transfers->rows, "mapped", (json_int_t) transfers->mapped, "accounts",
                   (int) tim3ctl_book_count (transfers->book), "assets", assets, "skipped", "not_mapped",
                   (json_int_t) transfers->unmapped, "zero_value", (json_int_t) transfers->zero_values,
                   "to_self", (json_int_t) transfers->to_self, "bad", (json_int_t) transfers->bad,
                   "mismatches", (json_int_t) self->mismatches, "agrees", agrees_with_file (self)));
}

static void print_mappings (const tim3ctl_transfers_t *transfers)
{
    char volume[TIM3_AMOUNT_TEXT_MAX];
    tim3ctl_table_t *table =
        tim3ctl_table_new ("asset +rows +openings +mints +redemptions +transfers +volume contract");
    for (unsigned i = 0; i < transfers->mapping_count; i++) {
        const tim3ctl_mapping_t *mapping = &transfers->mappings[i];
        const uint64_t counts[] = {mapping->rows, mapping->openings, mapping->mints, mapping->redemptions,
                                   mapping->transfers};
        tim3ctl_table_cell (table, "%s", mapping->asset);
        for (unsigned k = 0; k < sizeof counts / sizeof counts[0]; k++)
            tim3ctl_table_cell (table, "%llu", (unsigned long long) counts[k]);
        tim3ctl_table_cell (table, "%s", tim3_amount_format (mapping->volume, mapping->decimals, volume));
        tim3ctl_table_cell (table, "%s", mapping->contract);
    }
    tim3ctl_table_print (table);
    tim3ctl_table_destroy (&table);
}

static void print_verdict (const import_t *self)
{
    const tim3ctl_mapping_t *unused = unused_mapping (self);
    if (self->mismatches > 0)
        puts ("balances DISAGREE with the file; see above");
    else if (unused)
        printf ("the file has no row of %s: NOTHING of %s was compared\n", unused->contract, unused->asset);
    else if (self->transfers.bad > 0)
        puts ("all balances agree with the rows that were taken; the file has OTHERS");
    else
        puts ("all balances agree with the file");
}

static void print_summary (const import_t *self)
{
    const tim3ctl_transfers_t *transfers = &self->transfers;
    const struct {
        const char *text;
        uint64_t count;
    } lines[] = {
        {"rows", transfers->rows},
        {"mapped to an asset", transfers->mapped},
        {"accounts", tim3ctl_book_count (transfers->book)},
        {"skipped, contract not mapped", transfers->unmapped},
        {"no effect, value is zero", transfers->zero_values},
        {"no effect, sent to itself", transfers->to_self},
        {"bad rows, not taken", transfers->bad},
        {"mints voided and asked anew", self->voided},
        {"balances that disagree", self->mismatches},
    };
    print_mappings (transfers);
    putchar ('\n');
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++)
        printf ("%-30s %llu\n", lines[i].text, (unsigned long long) lines[i].count);
    print_verdict (self);
}

static void print_openings (const tim3ctl_transfers_t *transfers)
{
    char opening[TIM3_AMOUNT_TEXT_MAX];
    tim3ctl_table_t *table = tim3ctl_table_new ("asset account +opening");
    for (uint32_t i = 0; i < tim3ctl_book_count (transfers->book); i++) {
        const tim3ctl_account_t *account = tim3ctl_book_at (transfers->book, i);
        unsigned decimals = tim3ctl_transfers_mapping (transfers, account->asset)->decimals;
        if (account->opening == 0)
            continue;
        tim3ctl_table_cell (table, "%s", account->asset);
        tim3ctl_table_cell (table, "%s", account->name);
        tim3ctl_table_cell (table, "%s", tim3_amount_format (account->opening, decimals, opening));
    }
    tim3ctl_table_print (table);
    tim3ctl_table_destroy (&table);
}

/*  ------------------------------------------------------------------------------------------ running  */

static bool take_map (import_t *self, const char *text)
{
    tim3ctl_transfers_t *transfers = &self->transfers;
    tim3ctl_mapping_t *mapping = &transfers->mappings[transfers->mapping_count];
    const char *asset = strchr (text, '=');
    if (!asset || !tim3ctl_csv_address (text, (size_t) (asset - text), mapping->contract) ||
        !tim3_asset_valid (asset + 1)) {
        tim3ctl_misused ("--map %s: give CONTRACT=ASSET, such as "
                         "0xdac17f958d2ee523a2206206994597c13d831ec7=TIM3",
                         text);
        return false;
    }
    for (unsigned i = 0; i < transfers->mapping_count; i++)
        if (strcmp (transfers->mappings[i].contract, mapping->contract) == 0 ||
            strcmp (transfers->mappings[i].asset, asset + 1) == 0) {
            tim3ctl_misused ("--map %s: each contract and each asset can be given once", text);
            return false;
        }
    strcpy (mapping->asset, asset + 1);
    transfers->mapping_count++;
    return true;
}

static bool take_maps (import_t *self)
{
    const tim3ctl_line_t *line = &self->ctl->line;
    unsigned count = line->counts[TIM3CTL_OPTION_MAP];
    self->ctl->exit = TIM3CTL_USAGE;
    if (count == 0)
        tim3ctl_misused ("give --map CONTRACT=ASSET for each contract whose rows are to be imported");
    for (unsigned i = 0; i < count; i++)
        if (!take_map (self, line->values[TIM3CTL_OPTION_MAP][i]))
            return false;
    return count > 0;
}

static bool learn_decimals (import_t *self)
{
    unsigned collateral;
    char route[TIM3_ADDRESS_MAX + 1];
    if (!tim3ctl_decimals (self->ctl, tim3ctl_collateral_route (self->ctl), &collateral))
        return false;
    for (unsigned i = 0; i < self->transfers.mapping_count; i++) {
        tim3ctl_mapping_t *mapping = &self->transfers.mappings[i];
        tim3_address_format (TIM3_ROLE_TOKEN_MANAGER, mapping->asset, -1, route);
        if (!tim3ctl_decimals (self->ctl, route, &mapping->decimals))
            return false;
        if (mapping->decimals > collateral) {
            self->ctl->exit = tim3ctl_misused ("%s has more decimals than the collateral", mapping->asset);
            return false;
        }
        mapping->scale = tim3_amount_pow10 (collateral - mapping->decimals);
    }
    return true;
}

static uint64_t count_operations (const tim3ctl_transfers_t *transfers)
{
    uint64_t count = transfers->move_count;
    for (unsigned i = 0; i < transfers->mapping_count; i++)
        count += transfers->mappings[i].mints + 2 * transfers->mappings[i].openings;
    return count;
}

static void show_progress (void *arg)
{
    import_t *self = arg;
    tim3ctl_progress_show (&self->progress);
}

static int run_phase (import_t *self, const char *label, uint64_t total, tim3ctl_flow_t flow)
{
    flow.arg = self;
    flow.progress = show_progress;
    flow.timeout_ms = tim3ctl_timeout_ms (self->ctl, TIMEOUT_S);
    tim3ctl_progress_begin (&self->progress, label, total);
    int code = tim3ctl_pipeline_run (self->ctl, &flow);
    tim3ctl_progress_end (&self->progress);
    return code;
}

static int replay (import_t *self, unsigned outstanding)
{
    tim3ctl_flow_t doing = {.next = next_operation, .done = operation_done, .outstanding = outstanding};
    tim3ctl_flow_t comparing = {.next = next_comparison, .done = comparison_done, .outstanding = outstanding};
    int code = run_phase (self, "importing", count_operations (&self->transfers), doing);
    if (code != TIM3CTL_DONE)
        return code;
    self->account = 0;
    code = run_phase (self, "comparing", tim3ctl_book_count (self->transfers.book), comparing);
    if (code != TIM3CTL_DONE)
        return code;
    if (self->ctl->json)
        print_json (self);
    else
        print_summary (self);
    return agrees_with_file (self) ? TIM3CTL_DONE : TIM3CTL_REFUSED;
}

int tim3ctl_import (tim3ctl_t *ctl)
{
    import_t self = {.ctl = ctl};
    uint64_t outstanding =
        tim3ctl_count (ctl, TIM3CTL_OPTION_OUTSTANDING, OUTSTANDING, TIM3CTL_OUTSTANDING_MAX);
    if (outstanding == 0 || !take_maps (&self) || !learn_decimals (&self))
        return ctl->exit;
    self.transfers.book = tim3ctl_book_new ();
    int code = TIM3CTL_USAGE;
    if (tim3ctl_transfers_read (&self.transfers, ctl->arguments[0])) {
        if (tim3ctl_has (ctl, TIM3CTL_OPTION_OPENING) && !ctl->json)
            print_openings (&self.transfers);
        code = replay (&self, (unsigned) outstanding);
    }
    tim3ctl_transfers_free (&self.transfers);
    return code;
}
