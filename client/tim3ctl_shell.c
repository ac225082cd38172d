/*  tim3ctl_shell.c - the shell: lines with editing, history and completion, each run like a command
    line.

    Options given when the shell is started hold for every line, unless the line gives them anew. When
    the input is no terminal, lines are read as they are, and the first that fails gives the exit code.  */
#include "tim3ctl.h"

#include <editline/readline.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HISTORY_MOST 1000
#define LINE_MOST 4096

static const char *const s_own[] = {"help", "exit", "quit"};

/*  ---------------------------------------------------------------------------------------- completion  */

typedef struct {
    const char *candidates[128];
    unsigned count;
    unsigned at;
} completion_t;

static completion_t s_completion;

static void add_candidate (const char *text)
{
    for (unsigned i = 0; i < s_completion.count; i++)
        if (strcmp (s_completion.candidates[i], text) == 0)
            return;
    if (s_completion.count < sizeof s_completion.candidates / sizeof s_completion.candidates[0])
        s_completion.candidates[s_completion.count++] = text;
}

/*  The first words of commands, or the second ones of those that begin with first.  */
static void add_commands (const char *first)
{
    static char words[64][32];
    unsigned used = 0;
    for (const tim3ctl_command_t *command = tim3ctl_commands; command->name && used < 64; command++) {
        size_t length = strcspn (command->name, " ");
        const char *rest = command->name[length] ? command->name + length + 1 : "";
        if (first && (strlen (first) != length || strncmp (command->name, first, length) != 0 || !rest[0]))
            continue;
        snprintf (words[used], sizeof words[used], "%.*s", first ? 31 : (int) length,
                  first ? rest : command->name);
        add_candidate (words[used++]);
    }
}

static void add_options (const tim3ctl_command_t *command)
{
    static char words[TIM3CTL_OPTIONS_END][32];
    uint64_t mask = TIM3CTL_COMMON | (command ? command->options : 0);
    for (unsigned i = 0; i < TIM3CTL_OPTIONS_END; i++) {
        snprintf (words[i], sizeof words[i], "--%s", tim3ctl_option_rows[i].name);
        if (mask & (uint64_t) 1 << i)
            add_candidate (words[i]);
    }
}

static char *next_candidate (const char *text, int state)
{
    if (state == 0)
        s_completion.at = 0;
    while (s_completion.at < s_completion.count) {
        const char *candidate = s_completion.candidates[s_completion.at++];
        if (strncmp (candidate, text, strlen (text)) == 0)
            return strdup (candidate);
    }
    return NULL;
}

static unsigned split (char *line, const char *words[TIM3CTL_ARGUMENTS_MAX], bool *closed);

/*  Chooses by what stands in front of the word.  */
static void choose_candidates (const char *text, int start)
{
    char before[LINE_MOST];
    const char *words[TIM3CTL_ARGUMENTS_MAX];
    unsigned used;
    bool closed;
    snprintf (before, sizeof before, "%.*s", start, rl_line_buffer);
    unsigned count = split (before, words, &closed);
    unsigned skip = count > 0 && strcmp (words[0], "help") == 0 ? 1 : 0;
    s_completion.count = 0;
    if (text[0] == '-') {
        add_options (tim3ctl_find (words, count, &used));
    } else if (count == skip) {
        add_commands (NULL);
        for (unsigned i = 0; i < sizeof s_own / sizeof s_own[0] && skip == 0; i++)
            add_candidate (s_own[i]);
    } else if (count == skip + 1) {
        add_commands (words[skip]);
    }
}

static char **complete (const char *text, int start, int end)
{
    (void) end;
    choose_candidates (text, start);
    /* where nothing is known, the file names that come by default help import-transfers */
    return s_completion.count > 0 ? rl_completion_matches (text, next_candidate) : NULL;
}

/*  --------------------------------------------------------------------------------------------- words  */

/*  Moves one word's characters to where it begins, without its quotes. Returns where the line goes on.  */
static char *take_word (char *at, bool *closed)
{
    char *out = at;
    char quote = '\0';
    while (*at && (quote || !strchr (" \t\n", *at))) {
        if (quote ? *at == quote : *at == '\'' || *at == '"')
            quote = quote ? '\0' : *at;
        else
            *out++ = *at;
        at++;
    }
    *closed = quote == '\0';
    if (*at)
        at++;
    *out = '\0';
    return at;
}

/*  Splits in place at spaces; quotes keep them.  */
static unsigned split (char *line, const char *words[TIM3CTL_ARGUMENTS_MAX], bool *closed)
{
    unsigned count = 0;
    *closed = true;
    for (char *at = line;;) {
        at += strspn (at, " \t\n");
        if (!*at || *at == '#' || count == TIM3CTL_ARGUMENTS_MAX)
            return count;
        words[count++] = at;
        at = take_word (at, closed);
    }
}

/*  ------------------------------------------------------------------------------------------- running  */

static bool is_end (const char *word)
{
    return strcmp (word, "exit") == 0 || strcmp (word, "quit") == 0;
}

/*  Runs one line. True when the shell should end.  */
static bool run_line (tim3ctl_t *ctl, const tim3ctl_line_t *defaults, char *text, int *code)
{
    const char *words[TIM3CTL_ARGUMENTS_MAX];
    tim3ctl_line_t line = *defaults;
    bool closed;
    unsigned count = split (text, words, &closed);
    if (count == 0)
        return false;
    if (is_end (words[0]))
        return true;
    tim3ctl_interrupt_clear ();
    tim3ctl_errors_json (defaults->counts[TIM3CTL_OPTION_JSON] > 0);
    if (!closed)
        *code = tim3ctl_misused ("a quote is not closed");
    else if (!tim3ctl_line_parse (&line, (int) count, words))
        *code = TIM3CTL_USAGE;
    else if (line.word_count > 0 || line.counts[TIM3CTL_OPTION_HELP])
        *code = tim3ctl_run (ctl, &line);
    else
        *code = tim3ctl_misused ("a line needs a command; see help");
    return false;
}

static int run_script (tim3ctl_t *ctl, const tim3ctl_line_t *defaults)
{
    char *line = NULL;
    size_t size = 0;
    int first = TIM3CTL_DONE;
    bool end = false;
    while (!end && getline (&line, &size, stdin) >= 0) {
        int code = TIM3CTL_DONE;
        end = run_line (ctl, defaults, line, &code);
        if (first == TIM3CTL_DONE)
            first = code;
        end = end || tim3ctl_interrupted ();
    }
    free (line);
    return first;
}

static const char *history_path (char *path, size_t size)
{
    const char *home = getenv ("HOME");
    if (!home || !home[0])
        return NULL;
    snprintf (path, size, "%s/.tim3ctl_history", home);
    return path;
}

static void prepare_editing (const char *path)
{
    rl_readline_name = "tim3ctl";
    rl_attempted_completion_function = complete;
    using_history ();
    stifle_history (HISTORY_MOST);
    if (path)
        read_history (path);
}

static void run_edited (tim3ctl_t *ctl, const tim3ctl_line_t *defaults)
{
    bool end = false;
    int code = TIM3CTL_DONE;
    while (!end) {
        char *line = readline ("tim3> ");
        if (!line && tim3ctl_interrupted ()) {
            tim3ctl_interrupt_clear ();
            putchar ('\n');
            continue;
        }
        if (!line)
            break;
        if (line[0])
            add_history (line);
        end = run_line (ctl, defaults, line, &code);
        free (line);
    }
}

int tim3ctl_shell (tim3ctl_t *ctl, const tim3ctl_line_t *defaults)
{
    char buffer[LINE_MOST];
    const char *path = history_path (buffer, sizeof buffer);
    if (!isatty (STDIN_FILENO))
        return run_script (ctl, defaults);
    puts ("TIM3 " TIM3_VERSION ". help lists the commands, Tab completes, Ctrl-D ends.");
    prepare_editing (path);
    run_edited (ctl, defaults);
    if (path)
        write_history (path);
    return TIM3CTL_DONE;
}
