/*  tim3ctl.c - the client tool: finds the command of a line in the table, checks the line against its
    row, and runs it. Without a command it is a shell.

        tim3ctl [OPTIONS] COMMAND [ARGUMENTS]

    The exit codes are in tim3ctl.h.
*/
#include "tim3ctl.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t s_interrupted;

static void on_interrupt (int number)
{
    (void) number;
    s_interrupted = 1;
}

bool tim3ctl_interrupted (void)
{
    return s_interrupted != 0;
}

void tim3ctl_interrupt_clear (void)
{
    s_interrupted = 0;
}

/*  Without SA_RESTART, so that waiting ends.  */
static void catch_signals (void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction (SIGINT, &action, NULL);
    sigaction (SIGTERM, &action, NULL);
}

/*  ------------------------------------------------------------------------------------- finding, help  */

static bool name_matches (const char *name, const char *const *words, unsigned count, unsigned *used)
{
    const char *space = strchr (name, ' ');
    size_t first = space ? (size_t) (space - name) : strlen (name);
    if (count == 0 || strlen (words[0]) != first || memcmp (words[0], name, first) != 0)
        return false;
    if (space && (count < 2 || strcmp (words[1], space + 1) != 0))
        return false;
    *used = space ? 2 : 1;
    return true;
}

const tim3ctl_command_t *tim3ctl_find (const char *const *words, unsigned count, unsigned *used)
{
    for (const tim3ctl_command_t *command = tim3ctl_commands; command->name; command++)
        if (name_matches (command->name, words, count, used))
            return command;
    return NULL;
}

static void print_options (FILE *file, uint64_t mask)
{
    for (unsigned i = 0; i < TIM3CTL_OPTIONS_END; i++) {
        const tim3ctl_option_row_t *row = &tim3ctl_option_rows[i];
        char head[64];
        snprintf (head, sizeof head, "--%s%s%s", row->name, row->argument[0] ? " " : "", row->argument);
        if (mask & (uint64_t) 1 << i)
            fprintf (file, "  %-24s %s\n", head, row->help);
    }
}

void tim3ctl_print_usage (FILE *file)
{
    fputs ("tim3ctl: " TIM3CTL_PURPOSE ".\n\n"
           "usage: tim3ctl [OPTIONS] COMMAND [ARGUMENTS]\n"
           "       tim3ctl                      a shell, with history and completion\n"
           "       tim3ctl help COMMAND         options and an example\n\ncommands:\n",
           file);
    for (const tim3ctl_command_t *command = tim3ctl_commands; command->name; command++) {
        char head[64];
        snprintf (head, sizeof head, "%s %s", command->name, command->arguments);
        fprintf (file, "  %-34s %s\n", head, command->help);
    }
    fputs ("\noptions of all commands:\n", file);
    print_options (file, TIM3CTL_COMMON);
    fputs ("\nexit codes:\n", file);
#define X(number, NAME, text) fputs ("  " #number "  " text "\n", file);
    TIM3CTL_EXITS (X)
#undef X
}

void tim3ctl_print_help (const tim3ctl_command_t *command)
{
    printf ("usage: tim3ctl %s%s%s [OPTIONS]\n\n%s\n", command->name, command->arguments[0] ? " " : "",
            command->arguments, command->help);
    if (command->options) {
        puts ("\noptions:");
        print_options (stdout, command->options);
    }
    puts ("\noptions of all commands:");
    print_options (stdout, TIM3CTL_COMMON);
    printf ("\nexample:\n  %s\n", command->example);
}

/*  ------------------------------------------------------------------------------------------ running  */

/*  The first word of commands of two words is told which they are.  */
static int unknown_command (const char *word)
{
    char names[256] = "";
    size_t used = 0;
    size_t length = strlen (word);
    for (const tim3ctl_command_t *command = tim3ctl_commands; command->name && used < sizeof names; command++)
        if (strncmp (command->name, word, length) == 0 && command->name[length] == ' ')
            used += (size_t) snprintf (names + used, sizeof names - used, "%s%s", used ? ", " : "",
                                       command->name);
    return tim3ctl_misused ("there is no command '%s'%s%s; see tim3ctl help", word, used ? ", but " : "",
                            names);
}

static bool options_allowed (const tim3ctl_line_t *line, const tim3ctl_command_t *command)
{
    uint64_t allowed = command->options | TIM3CTL_COMMON;
    for (unsigned i = 0; i < TIM3CTL_OPTIONS_END; i++) {
        if (line->counts[i] == 0 || allowed & (uint64_t) 1 << i)
            continue;
        tim3ctl_misused ("'%s' takes no --%s; see tim3ctl help %s", command->name,
                         tim3ctl_option_rows[i].name, command->name);
        return false;
    }
    return true;
}

static const char *environment (const char *name, const char *fallback)
{
    const char *value = getenv (name);
    return value && value[0] ? value : fallback;
}

static bool take_asset (tim3ctl_t *ctl)
{
    const char *asset = tim3ctl_text (ctl, TIM3CTL_OPTION_ASSET, environment ("TIM3_ASSET", "TIM3"));
    const char *collateral =
        tim3ctl_text (ctl, TIM3CTL_OPTION_COLLATERAL, environment ("TIM3_COLLATERAL", ""));
    if (!tim3_asset_valid (asset) || (collateral[0] && !tim3_asset_valid (collateral))) {
        tim3ctl_misused ("'%s' is no name of an asset", tim3_asset_valid (asset) ? collateral : asset);
        return false;
    }
    snprintf (ctl->asset, sizeof ctl->asset, "%s", asset);
    snprintf (ctl->collateral, sizeof ctl->collateral, "%s", collateral);
    return true;
}

/*  Before all else, so that whatever goes wrong is told with it.  */
static bool take_request_id (tim3ctl_t *ctl)
{
    bool wanted = (ctl->command->options & TIM3CTL_BIT (REQUEST_ID)) != 0;
    const char *given = wanted ? tim3ctl_text (ctl, TIM3CTL_OPTION_REQUEST_ID, NULL) : NULL;
    tim3_request_ids_next (&ctl->request_ids, ctl->request_id);
    if (given && !tim3_request_id_valid (given)) {
        tim3ctl_misused ("--request-id '%s': %s", given, tim3_result_text (TIM3_INVALID_REQUEST_ID));
        return false;
    }
    if (given)
        snprintf (ctl->request_id, sizeof ctl->request_id, "%s", given);
    if (wanted)
        tim3ctl_errors_request (ctl->request_id);
    return true;
}

static int run_command (tim3ctl_t *ctl, unsigned used)
{
    const tim3ctl_command_t *command = ctl->command;
    ctl->arguments = ctl->line.words + used;
    ctl->argument_count = ctl->line.word_count - used;
    ctl->json = tim3ctl_has (ctl, TIM3CTL_OPTION_JSON);
    ctl->exit = TIM3CTL_DONE;
    ctl->silent = false;
    if (!take_request_id (ctl))
        return TIM3CTL_USAGE;
    if (ctl->argument_count < command->least || ctl->argument_count > command->most)
        return tim3ctl_misused ("usage: tim3ctl %s%s%s; see tim3ctl help %s", command->name,
                                command->arguments[0] ? " " : "", command->arguments, command->name);
    if (!options_allowed (&ctl->line, command) || !take_asset (ctl))
        return TIM3CTL_USAGE;
    int code = command->run (ctl);
    /* what an interrupted command has left under way must not answer the next one */
    if (ctl->client && tim3_client_outstanding (ctl->client) > 0)
        tim3_client_destroy (&ctl->client);
    return code;
}

static int help_for (const tim3ctl_line_t *line, unsigned skip)
{
    unsigned used;
    if (line->word_count == skip) {
        tim3ctl_print_usage (stdout);
        return TIM3CTL_DONE;
    }
    const tim3ctl_command_t *command = tim3ctl_find (line->words + skip, line->word_count - skip, &used);
    if (!command)
        return unknown_command (line->words[skip]);
    tim3ctl_print_help (command);
    return TIM3CTL_DONE;
}

/*  What is lost on the way out, as on a full disk, was not told, whatever became of the command.  */
static int written (const tim3ctl_t *ctl, int code)
{
    int reason = fflush (stdout) ? errno : 0;
    if (!reason && !ferror (stdout))
        return code;
    fprintf (stderr, "tim3ctl: not all could be written to standard output%s%s\n", reason ? ": " : "",
             reason ? strerror (reason) : "");
    clearerr (stdout);
    if (ctl->sent && ctl->command->options & TIM3CTL_BIT (REQUEST_ID)) {
        fputs ("Asked again with the same request id it tells the same, and does nothing twice:\n", stderr);
        tim3ctl_print_again (ctl);
    }
    return code == TIM3CTL_DONE ? TIM3CTL_NO_ANSWER : code;
}

int tim3ctl_run (tim3ctl_t *ctl, const tim3ctl_line_t *line)
{
    unsigned used = 0;
    ctl->sent = false;
    if (line->counts[TIM3CTL_OPTION_HELP])
        return written (ctl, help_for (line, 0));
    if (strcmp (line->words[0], "help") == 0)
        return written (ctl, help_for (line, 1));
    ctl->line = *line;
    ctl->command = tim3ctl_find (line->words, line->word_count, &used);
    return written (ctl, ctl->command ? run_command (ctl, used) : unknown_command (line->words[0]));
}

int main (int argc, char **argv)
{
    static tim3ctl_t ctl;
    tim3ctl_line_t line = {0};
    int code;
    TIM3_ASSERT (sodium_init () >= 0);
    tim3_log_open ("tim3ctl", TIM3_INFO);
    catch_signals ();
    if (!tim3ctl_line_parse (&line, argc - 1, (const char *const *) argv + 1))
        return TIM3CTL_USAGE;
    if (line.counts[TIM3CTL_OPTION_VERSION]) {
        puts ("tim3ctl " TIM3_VERSION);
        return written (&ctl, TIM3CTL_DONE);
    }
    if (line.counts[TIM3CTL_OPTION_MAN]) {
        tim3ctl_print_man ();
        return written (&ctl, TIM3CTL_DONE);
    }
    if (line.word_count == 0 && !line.counts[TIM3CTL_OPTION_HELP])
        code = tim3ctl_shell (&ctl, &line);
    else
        code = tim3ctl_run (&ctl, &line);
    tim3_client_destroy (&ctl.client);
    return code;
}
