/*  tim3ctl.h - what the files of the client tool share: the table of options, the table of commands,
    and the context that a command runs in.

    A command is a function that gets the context, does its work and returns the exit code. What it may
    be given is declared in the table in tim3ctl_commands.c; from the table come usage, help, completion
    and the checks.
*/
#ifndef TIM3CTL_H
#define TIM3CTL_H

#include "tim3client.h"
#include "tim3client_ids.h"

#include <stdio.h>

#define TIM3CTL_PURPOSE "mint, redeem, transfer and audit TIM3"

/*  Exit codes: X (number, NAME, "what it means").  */
#define TIM3CTL_EXITS(X)                            \
    X (0, DONE, "done")                             \
    X (1, REFUSED, "refused, or found to be wrong") \
    X (2, USAGE, "wrong usage")                     \
    X (3, NO_ANSWER, "no answer (it is said whether the outcome is unknown)")

enum {
#define X(number, NAME, text) TIM3CTL_##NAME = number,
    TIM3CTL_EXITS (X)
#undef X
};

/*  O (NAME, "name", KIND, "ARGUMENT", "help"). Kinds: FLAG takes no argument, TEXT any, NUMBER digits.  */
#define TIM3CTL_OPTIONS(O)                                                                               \
    O (ENDPOINT, "endpoint", TEXT, "ENDPOINT",                                                           \
       "router's front; default $TIM3_ENDPOINT without --data, else ipc://DATA/run/front.sock")          \
    O (ASSET, "asset", TEXT, "ASSET", "asset to act on; default $TIM3_ASSET, else TIM3")                 \
    O (REQUEST_ID, "request-id", TEXT, "ID", "permanent id of the request; default: random, printed")    \
    O (TIMEOUT, "timeout", NUMBER, "SECONDS", "give up after this long; default 10")                     \
    O (JSON, "json", FLAG, "", "print JSON; amounts are texts of minor units")                           \
    O (HELP, "help", FLAG, "", "explain the command")                                                    \
    O (VERSION, "version", FLAG, "", "print the version")                                                \
    O (MAN, "man", FLAG, "", "print the man page")                                                       \
    O (WAIT, "wait", FLAG, "", "keep asking until the transaction is final")                             \
    O (LIMIT, "limit", NUMBER, "N", "most items; default all")                                           \
    O (ACCOUNT, "account", TEXT, "ACCOUNT", "only of this account")                                      \
    O (STATE, "state", TEXT, "STATE", "only locks in this state, such as active")                        \
    O (UNSETTLED, "unsettled", FLAG, "", "only locks that are not final")                                \
    O (STATUS, "status", TEXT, "STATUS", "only transactions that are pending, completed or failed")      \
    O (NEWEST, "newest", FLAG, "", "newest first")                                                       \
    O (FOLLOW, "follow", FLAG, "", "stay and print events as they happen, until Ctrl-C")                 \
    O (FROM, "from", NUMBER, "OFFSET", "first event wanted; default 1")                                  \
    O (TOPIC, "topic", TEXT, "PREFIX", "only topics that begin so, such as token.minted")                \
    O (MAP, "map", TEXT, "CONTRACT=ASSET", "which asset takes the rows of a contract; repeatable")       \
    O (OUTSTANDING, "outstanding", NUMBER, "N", "requests under way at once")                            \
    O (OPENING, "opening", FLAG, "", "print the opening balances that the file implies")                 \
    O (CLIENTS, "clients", NUMBER, "N", "connections; default 1")                                        \
    O (SECONDS, "seconds", NUMBER, "S", "length of the run; default 10")                                 \
    O (COUNT, "count", NUMBER, "N", "operations instead of a length in seconds")                         \
    O (ACCOUNTS, "accounts", NUMBER, "N", "accounts to spread the operations over")                      \
    O (WORKLOAD, "workload", TEXT, "KIND", "mint, redeem, transfer or mixed; default mint, then redeem") \
    O (SEED, "seed", NUMBER, "N", "the same seed makes the same choices; default 1")                     \
    O (CONFIG, "config", TEXT, "FILE", "configuration of the agents; default $TIM3_CONFIG")              \
    O (HOURS, "hours", NUMBER, "N", "how far back to begin; default as far as is kept")                  \
    O (OPERATIONS, "operations", NUMBER, "N", "operations to do; default 1000")                          \
    O (WARM_UP, "warm-up", NUMBER, "S", "run this long before anything is counted")                      \
    O (RATE, "rate", NUMBER, "N", "begin so many operations a second, whatever is answered meanwhile")   \
    O (ZIPF, "zipf", TEXT, "THETA", "draw accounts by Zipf's law, such as 0.99; default uniformly")      \
    O (FUND, "fund", FLAG, "", "only give the accounts what they need")                                  \
    O (FUNDED, "funded", FLAG, "", "the accounts have what they need, by an earlier run with --fund")    \
    O (PROMETHEUS, "prometheus", FLAG, "", "print the text format that Prometheus reads")                \
    O (DATA, "data", TEXT, "DIR", "data folder; default $TIM3_DATA, else ./data")                        \
    O (WITH_KEYS, "with-keys", FLAG, "", "copy the keys too: who has them and the stores can pay out")   \
    O (AGENT, "agent", TEXT, "ADDRESS", "this agent alone")                                              \
    O (COLLATERAL, "collateral", TEXT, "NAME",                                                           \
       "the collateral token; default $TIM3_COLLATERAL, else the one that is registered")

typedef enum {
#define O(NAME, name, KIND, argument, help) TIM3CTL_OPTION_##NAME,
    TIM3CTL_OPTIONS (O)
#undef O
        TIM3CTL_OPTIONS_END
} tim3ctl_option_t;

#define TIM3CTL_BIT(NAME) ((uint64_t) 1 << TIM3CTL_OPTION_##NAME)
/*  Every command takes these.  */
#define TIM3CTL_COMMON                                                                           \
    (TIM3CTL_BIT (ENDPOINT) | TIM3CTL_BIT (DATA) | TIM3CTL_BIT (ASSET) | TIM3CTL_BIT (TIMEOUT) | \
     TIM3CTL_BIT (JSON) | TIM3CTL_BIT (HELP))

typedef enum { TIM3CTL_FLAG, TIM3CTL_TEXT, TIM3CTL_NUMBER } tim3ctl_option_kind_t;

typedef struct {
    const char *name;
    tim3ctl_option_kind_t kind;
    const char *argument;
    const char *help;
} tim3ctl_option_row_t;

extern const tim3ctl_option_row_t tim3ctl_option_rows[TIM3CTL_OPTIONS_END];

#define TIM3CTL_REPEAT_MAX 32
#define TIM3CTL_ARGUMENTS_MAX 64

/*  A command line, taken apart. Texts are those of the line.  */
typedef struct {
    const char *values[TIM3CTL_OPTIONS_END][TIM3CTL_REPEAT_MAX];
    unsigned counts[TIM3CTL_OPTIONS_END];
    const char *words[TIM3CTL_ARGUMENTS_MAX]; /* that are no options: command and arguments */
    unsigned word_count;
} tim3ctl_line_t;

typedef struct tim3ctl tim3ctl_t;

typedef struct {
    const char *name;      /* one or two words */
    const char *arguments; /* "ACCOUNT AMOUNT"; in brackets when it can be left out */
    unsigned least;
    unsigned most;
    uint64_t options; /* besides TIM3CTL_COMMON */
    int (*run) (tim3ctl_t *ctl);
    const char *help;
    const char *example;
} tim3ctl_command_t;

/*  Ends with a NULL name.  */
extern const tim3ctl_command_t tim3ctl_commands[];

struct tim3ctl {
    tim3_client_t *client; /* made when first needed */
    char connected[256];   /* where to */
    tim3ctl_line_t line;
    const tim3ctl_command_t *command;
    const char *const *arguments;
    unsigned argument_count;
    char asset[TIM3_ASSET_MAX + 1];
    char collateral[TIM3_ASSET_MAX + 1];      /* empty until it is known */
    char request_id[TIM3_REQUEST_ID_MAX + 1]; /* as given, or a new one */
    tim3_request_ids_t request_ids;
    bool json;
    int exit;                          /* what the last failed call means for the exit code */
    bool sent;                         /* something that changes a ledger */
    bool silent;                       /* failed calls say nothing: the command tells what came of them */
    tim3_error_t failure;              /* why the last call failed */
    char failed[TIM3_ADDRESS_MAX + 1]; /* whom it asked */
    struct {
        char route[TIM3_ADDRESS_MAX + 1];
        unsigned decimals;
        unsigned shards;
    } known[64]; /* learned in this run */
    unsigned known_count;
};

/*  --------------------------------------------------------------------------------- the command line  */

/*  Takes words apart. False after saying on stderr what is wrong.  */
bool tim3ctl_line_parse (tim3ctl_line_t *line, int count, const char *const *words);
/*  Runs one line; the exit code.  */
int tim3ctl_run (tim3ctl_t *ctl, const tim3ctl_line_t *line);
const tim3ctl_command_t *tim3ctl_find (const char *const *words, unsigned count, unsigned *used);
void tim3ctl_print_usage (FILE *file);
void tim3ctl_print_help (const tim3ctl_command_t *command);
void tim3ctl_print_man (void);
int tim3ctl_shell (tim3ctl_t *ctl, const tim3ctl_line_t *defaults);

/*  Values of options of the line that runs.  */
bool tim3ctl_has (const tim3ctl_t *ctl, tim3ctl_option_t option);
const char *tim3ctl_text (const tim3ctl_t *ctl, tim3ctl_option_t option, const char *fallback);
uint64_t tim3ctl_number (const tim3ctl_t *ctl, tim3ctl_option_t option, uint64_t fallback);
/*  A number from 1 to most; 0 after saying what is wrong, with ctl->exit set.  */
uint64_t tim3ctl_count (tim3ctl_t *ctl, tim3ctl_option_t option, uint64_t fallback, uint64_t most);

/*  Set by Ctrl-C.  */
bool tim3ctl_interrupted (void);
void tim3ctl_interrupt_clear (void);

/*  The data folder: --data, else $TIM3_DATA, else ./data.  */
const char *tim3ctl_data (const tim3ctl_t *ctl);

/*  ------------------------------------------------------------------------------------------ errors  */

/*  Whether the line to be run asks for JSON, as far as can be seen before it is taken apart; and the id of its request,
    NULL for none, which every error then names.  */
void tim3ctl_errors_json (bool json);
void tim3ctl_errors_request (const char *request_id);
/*  Where an error's JSON stands: by itself; as a line of a stream; as the last item of a list that has begun.  */
typedef enum { TIM3CTL_ERRORS_ALONE, TIM3CTL_ERRORS_AS_LINE, TIM3CTL_ERRORS_AS_ITEM } tim3ctl_errors_t;
void tim3ctl_errors_form (tim3ctl_errors_t form);

/*  Each tells an error on stderr, and with --json on stdout as an object with name and text. Misuse of the command
    line; what else fails here, with the exit code that is returned.  */
int tim3ctl_misused (const char *format, ...) __attribute__ ((format (printf, 1, 2)));
int tim3ctl_failed (int code, const char *name, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
/*  What an agent answered: says what it means and what to do next, and returns the exit code.  */
int tim3ctl_refused (tim3ctl_t *ctl, const char *route, const tim3_error_t *error);
/*  The object alone, with --json. request_id: where it is not the one of the line.  */
void tim3ctl_error_json (const tim3_error_t *error, const char *request_id);

/*  On stderr, as a shell takes them: a word; the options of the line that are in the mask.  */
void tim3ctl_print_quoted (const char *text);
void tim3ctl_print_options (const tim3ctl_t *ctl, uint64_t mask);
/*  The line that asks the very same again.  */
void tim3ctl_print_again (const tim3ctl_t *ctl);

/*  ------------------------------------------------------------------------------------------ asking  */

uint64_t tim3ctl_now_us (void);
/*  NULL after saying what is wrong.  */
tim3_client_t *tim3ctl_client (tim3ctl_t *ctl);
const char *tim3ctl_endpoint (const tim3ctl_t *ctl, char *text, size_t size);
uint64_t tim3ctl_timeout_ms (const tim3ctl_t *ctl, uint64_t fallback_s);

/*  "role.asset" of the asset at hand; valid until the next call.  */
const char *tim3ctl_route (const tim3ctl_t *ctl, const char *role);
/*  That of the collateral, which is looked up when nobody has said its name: NULL after saying that it cannot be
    told.  */
const char *tim3ctl_collateral_route (tim3ctl_t *ctl);

/*  Asks and waits. NULL after saying on stderr what went wrong, with ctl->exit set; else the body of the
    reply, valid until the next call.  */
const void *tim3ctl_ask (tim3ctl_t *ctl, const char *route, const char *account, tim3_type_t type,
                         const void *body);
/*  The same without a word on stderr: NULL with error filled.  */
const void *tim3ctl_try (tim3ctl_t *ctl, const char *route, const char *account, tim3_type_t type,
                         const void *body, tim3_error_t *error);

/*  Decimals of an asset or the collateral, by route of their ledger; asked for once. False after saying
    why; a route of NULL has been told of already.  */
bool tim3ctl_decimals (tim3ctl_t *ctl, const char *route, unsigned *decimals);
/*  How many shards the ledgers of an asset have. 0 after saying why.  */
unsigned tim3ctl_shards (tim3ctl_t *ctl, const char *asset);
/*  Asks each shard of a ledger, and adds the replies up to one: amounts modulo 2^128, numbers, and what holds in any
    of them; a cap and a scale are the same in all. beyond, unless NULL, gets a bit for each field whose sum does not fit.
    False with error filled, and whose it is in route[TIM3_ADDRESS_MAX + 1].  */
bool tim3ctl_sum_shards (tim3ctl_t *ctl, tim3_role_t role, const char *asset, tim3_type_t type, void *sum,
                         uint32_t *beyond, tim3_error_t *error, char *route);
/*  Decimal text to minor units. False after saying what is wrong, with ctl->exit set.  */
bool tim3ctl_amount (tim3ctl_t *ctl, const char *text, unsigned decimals, tim3_amount_t *amount);
/*  Copies a name into a member of a message. False after saying that it is no account.  */
bool tim3ctl_account (tim3ctl_t *ctl, const char *text, char account[TIM3_ACCOUNT_MAX + 1]);

/*  Pages through a list and hands over each item; without an account, that of each shard of a ledger, one after the
    other. The request's shape has cursor and limit, the reply's has items and cursor. most: 0 for all. each returns
    false to stop. Returns the exit code, after saying why; that of what was stopped because of Ctrl-C is not that of
    what is done.  */
typedef bool (tim3ctl_each_fn) (void *arg, const tim3_shape_t *shape, const void *item);
int tim3ctl_walk (tim3ctl_t *ctl, const char *route, const char *account, tim3_type_t type, const void *body,
                  uint64_t most, tim3ctl_each_fn *each, void *arg);
/*  The exit code of what ends before its end; says so where Ctrl-C is the reason.  */
int tim3ctl_cut_short (tim3ctl_t *ctl);

/*  A copy of the registry's entries, to be freed. NULL after saying why.  */
tim3_agent_t *tim3ctl_registry (tim3ctl_t *ctl, unsigned *count);

#endif
