/*  tim3ctl_man.c - the man page, from the tables that help comes from: tim3ctl --man > tim3ctl.1  */
#include "tim3ctl.h"

#include <string.h>

/*  Text as roff prints it unchanged.  */
static void put (const char *text)
{
    static const char *const escapes[] = {['\\'] = "\\e",   ['-'] = "\\-",   ['~'] = "\\(ti", ['^'] = "\\(ha",
                                          ['\''] = "\\(aq", ['`'] = "\\(ga", ['\n'] = "\n\\&"};
    for (; *text; text++) {
        unsigned char c = (unsigned char) *text;
        const char *escape = c < sizeof escapes / sizeof escapes[0] ? escapes[c] : NULL;
        if (escape)
            fputs (escape, stdout);
        else
            putchar (c);
    }
}

static void put_bold (const char *before, const char *text)
{
    fputs ("\\fB", stdout);
    put (before);
    put (text);
    fputs ("\\fR", stdout);
}

/*  What it is about, as the head of an entry: in bold, with its argument in italics.  */
static void put_head (const char *before, const char *name, const char *argument)
{
    puts (".TP");
    put_bold (before, name);
    if (argument[0]) {
        fputs (" \\fI", stdout);
        put (argument);
        fputs ("\\fR", stdout);
    }
    putchar ('\n');
}

static void put_line (const char *text)
{
    put (text);
    putchar ('\n');
}

static void put_options (uint64_t mask)
{
    for (unsigned i = 0; i < TIM3CTL_OPTIONS_END; i++) {
        const tim3ctl_option_row_t *row = &tim3ctl_option_rows[i];
        if (!(mask & (uint64_t) 1 << i))
            continue;
        put_head ("--", row->name, row->argument);
        put_line (row->help);
    }
}

static void put_option_names (uint64_t mask)
{
    const char *before = ".br\nOptions: ";
    for (unsigned i = 0; i < TIM3CTL_OPTIONS_END; i++) {
        if (!(mask & (uint64_t) 1 << i))
            continue;
        fputs (before, stdout);
        put_bold ("--", tim3ctl_option_rows[i].name);
        before = ",\n";
    }
    if (mask)
        putchar ('\n');
}

static void put_commands (void)
{
    puts (".SH COMMANDS");
    for (const tim3ctl_command_t *command = tim3ctl_commands; command->name; command++) {
        put_head ("", command->name, command->arguments);
        put_line (command->help);
        put_option_names (command->options);
        puts (".EX");
        put_line (command->example);
        puts (".EE");
    }
}

static void put_all_options (void)
{
    uint64_t of_some = 0;
    for (const tim3ctl_command_t *command = tim3ctl_commands; command->name; command++)
        of_some |= command->options;
    puts (".SH OPTIONS OF ALL COMMANDS");
    put_options (TIM3CTL_COMMON);
    puts (".SH OPTIONS OF SOME COMMANDS");
    put_options (of_some & ~TIM3CTL_COMMON);
    puts (".SH OPTIONS WITHOUT A COMMAND");
    put_options (TIM3CTL_BIT (VERSION) | TIM3CTL_BIT (MAN));
}

static void put_exit_codes (void)
{
    puts (".SH EXIT STATUS");
#define X(number, NAME, text)   \
    put_head ("", #number, ""); \
    put_line (text);
    TIM3CTL_EXITS (X)
#undef X
}

/*  Variables are those that the help of an option names as its default.  */
static void put_environment (void)
{
    puts (".SH ENVIRONMENT");
    for (unsigned i = 0; i < TIM3CTL_OPTIONS_END; i++) {
        const tim3ctl_option_row_t *row = &tim3ctl_option_rows[i];
        const char *variable = strchr (row->help, '$');
        char name[32] = "";
        if (!variable)
            continue;
        snprintf (name, sizeof name, "%.*s",
                  (int) strspn (variable + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"), variable + 1);
        put_head ("", name, "");
        fputs ("where ", stdout);
        put_bold ("--", row->name);
        puts (" is not given:");
        put_line (row->help);
    }
}

void tim3ctl_print_man (void)
{
    printf (".TH TIM3CTL 1 \"\" \"TIM3 %s\" \"TIM3\"\n.nh\n.ad l\n", TIM3_VERSION);
    puts (".SH NAME\ntim3ctl \\- " TIM3CTL_PURPOSE "\n"
          ".SH SYNOPSIS\n"
          "\\fBtim3ctl\\fR [\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]\n.br\n"
          "\\fBtim3ctl\\fR\n.br\n"
          "\\fBtim3ctl help\\fR [\\fICOMMAND\\fR]\n"
          ".SH DESCRIPTION\n"
          "Asks a running TIM3 through its router. Without a command it is a shell, with history and "
          "completion.\n"
          "Amounts are decimal numbers of whole tokens.\n"
          ".PP\n"
          "A command that changes something has a request id, which is printed. The same id is the same "
          "request, for\n"
          "ever: asking again with it is never done twice, and is what to do when the outcome is unknown.");
    put_commands ();
    put_all_options ();
    put_exit_codes ();
    put_environment ();
    puts (".SH FILES\n"
          ".TP\n\\fIDATA\\fR/run/front.sock\nwhere the router listens\n"
          ".TP\n\\(ti/.tim3ctl_history\nlines that were typed into the shell\n"
          ".SH SEE ALSO\nOPERATIONS.md, among the documents of TIM3");
}
