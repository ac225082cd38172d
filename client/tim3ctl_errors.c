/*  tim3ctl_errors.c - everything that goes wrong is told here: on stderr in people's words, and with --json as one
    object on stdout.

    An object has at least the name and the text of the error, and the request id wherever the command has one: a
    script that would ask again under another id would do it twice.  */
#include "tim3ctl.h"
#include "tim3ctl_print.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/*  How errors of the line at hand are told; there is one at a time.  */
static struct {
    bool json;
    tim3ctl_errors_t form;
    const char *request_id; /* NULL when it has none */
} s_telling;

/*  ------------------------------------------------------------------------------------------ as JSON  */

void tim3ctl_errors_json (bool json)
{
    s_telling.json = json;
    s_telling.form = TIM3CTL_ERRORS_ALONE;
    s_telling.request_id = NULL;
}

void tim3ctl_errors_request (const char *request_id)
{
    s_telling.request_id = request_id;
}

void tim3ctl_errors_form (tim3ctl_errors_t form)
{
    s_telling.form = form;
}

static void print_object (json_t *error)
{
    if (s_telling.request_id && !json_object_get (error, "request_id"))
        json_object_set_new (error, "request_id", json_string (s_telling.request_id));
    if (s_telling.form == TIM3CTL_ERRORS_AS_ITEM)
        fputs (",\n", stdout);
    if (s_telling.form == TIM3CTL_ERRORS_ALONE)
        tim3ctl_json_print (error);
    else
        tim3ctl_json_print_line (error);
}

void tim3ctl_error_json (const tim3_error_t *error, const char *request_id)
{
    if (!s_telling.json)
        return;
    json_t *object = tim3ctl_json (&tim3_shape_error, error);
    if (request_id)
        json_object_set_new (object, "request_id", json_string (request_id));
    print_object (object);
}

/*  ------------------------------------------------------------------------------------ of tim3ctl itself  */

static void tell (const char *name, const char *format, va_list arguments)
{
    char *text;
    if (vasprintf (&text, format, arguments) < 0)
        return;
    fprintf (stderr, "tim3ctl: %s\n", text);
    if (s_telling.json) {
        json_t *said = json_string (text); /* of a text that is not UTF-8 there is none */
        print_object (json_pack ("{s:s, s:o}", "name", name, "text", said ? said : json_string ("")));
    }
    free (text);
}

int tim3ctl_misused (const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    tell ("wrong_usage", format, arguments);
    va_end (arguments);
    return TIM3CTL_USAGE;
}

int tim3ctl_failed (int code, const char *name, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    tell (name, format, arguments);
    va_end (arguments);
    return code;
}

/*  ------------------------------------------------------------------------------------ what agents refuse  */

static const char *const s_next[] = {
    [TIM3_ADVICE_FINAL] = "This request can never succeed; change it.",
    [TIM3_ADVICE_RETRY_SAME_ID] = "Nothing was done; ask again with the same request id.",
    [TIM3_ADVICE_RETRY_NEW_ID] =
        "This is decided for ever under this request id; once the cause is gone, ask under a new one.",
    [TIM3_ADVICE_UNKNOWN] = "The outcome is unknown.",
};

static bool changes_something (const tim3ctl_t *ctl)
{
    return (ctl->command->options & TIM3CTL_BIT (REQUEST_ID)) != 0;
}

void tim3ctl_print_quoted (const char *text)
{
    static const char *const plain =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.,:/@=+%";
    if (text[0] && strspn (text, plain) == strlen (text)) {
        fprintf (stderr, " %s", text);
        return;
    }
    fputs (" '", stderr);
    for (; *text; text++)
        fputs (*text == '\'' ? "'\\''" : (const char[]){*text, '\0'}, stderr);
    fputc ('\'', stderr);
}

void tim3ctl_print_options (const tim3ctl_t *ctl, uint64_t mask)
{
    for (unsigned i = 0; i < TIM3CTL_OPTIONS_END; i++) {
        const tim3ctl_option_row_t *row = &tim3ctl_option_rows[i];
        if (ctl->line.counts[i] == 0 || !(mask & (uint64_t) 1 << i))
            continue;
        fprintf (stderr, " --%s", row->name);
        if (row->kind != TIM3CTL_FLAG)
            tim3ctl_print_quoted (tim3ctl_text (ctl, (tim3ctl_option_t) i, ""));
    }
}

void tim3ctl_print_again (const tim3ctl_t *ctl)
{
    fputs ("  tim3ctl", stderr);
    for (unsigned i = 0; i < ctl->line.word_count; i++)
        tim3ctl_print_quoted (ctl->line.words[i]);
    tim3ctl_print_options (ctl, ~TIM3CTL_BIT (REQUEST_ID));
    fputs (" --request-id", stderr);
    tim3ctl_print_quoted (ctl->request_id);
    fputc ('\n', stderr);
}

static int no_answer (const tim3ctl_t *ctl, const char *route, const char *text)
{
    fprintf (stderr, "no_answer: %s from %s at %s\n", text, route, ctl->connected);
    if (changes_something (ctl) && ctl->sent) {
        fputs (
            "The outcome is unknown: it may have been done or not. Ask again with the same request id, it is "
            "never done twice:\n",
            stderr);
        tim3ctl_print_again (ctl);
        return TIM3CTL_NO_ANSWER;
    }
    fprintf (stderr,
             "%sCheck that the agents run (the supervisor's status), and --endpoint or $TIM3_DATA.\n",
             changes_something (ctl) ? "Nothing was done: this was only a look-up before it. " : "");
    if (changes_something (ctl))
        tim3ctl_print_again (ctl);
    return TIM3CTL_NO_ANSWER;
}

static unsigned known_decimals (const tim3ctl_t *ctl, const char *route)
{
    const char *wanted = strncmp (route, "mock_usda.", 10) == 0 ? "mock_usda." : "token_manager.";
    for (unsigned i = 0; i < ctl->known_count; i++)
        if (strncmp (ctl->known[i].route, wanted, strlen (wanted)) == 0 &&
            strcmp (strchr (ctl->known[i].route, '.'), strchr (route, '.')) == 0)
            return ctl->known[i].decimals;
    return 0;
}

static void print_operands (const tim3ctl_t *ctl, const char *route, const tim3_error_t *error)
{
    char available[TIM3_AMOUNT_TEXT_MAX];
    char needed[TIM3_AMOUNT_TEXT_MAX];
    unsigned decimals = known_decimals (ctl, route);
    if (error->available == 0 && error->needed == 0)
        return;
    fprintf (stderr, ": available %s, needed %s", tim3_amount_format (error->available, decimals, available),
             tim3_amount_format (error->needed, decimals, needed));
}

/*  The answer does not say which of two.  */
static void print_frozen (const tim3ctl_t *ctl)
{
    bool two = ctl->argument_count == 3;
    fprintf (stderr, "\n%s%s%s is frozen.", ctl->arguments[0], two ? " or " : "",
             two ? ctl->arguments[1] : "");
}

static int print_refusal (const tim3ctl_t *ctl, const char *route, const tim3_error_t *error,
                          tim3_advice_t advice)
{
    char tx[TIM3_ID_TEXT_MAX];
    fputs (error->name, stderr);
    print_operands (ctl, route, error);
    if (error->code == TIM3_ACCOUNT_FROZEN && ctl->argument_count >= 2)
        print_frozen (ctl);
    else
        fprintf (stderr, "\n%s.", error->text);
    if (!tim3_id_is_zero (&error->tx))
        fprintf (stderr, " Transaction %s.", tim3_id_format (&error->tx, tx));
    fputc ('\n', stderr);
    if (!changes_something (ctl))
        return TIM3CTL_REFUSED;
    fprintf (stderr, "%s\n", s_next[advice]);
    if (advice == TIM3_ADVICE_UNKNOWN || advice == TIM3_ADVICE_RETRY_SAME_ID)
        tim3ctl_print_again (ctl);
    return advice == TIM3_ADVICE_UNKNOWN ? TIM3CTL_NO_ANSWER : TIM3CTL_REFUSED;
}

/*  As long as no more than look-ups were sent, nothing is unknown.  */
static tim3_advice_t advice_on (const tim3ctl_t *ctl, const tim3_error_t *error)
{
    tim3_advice_t advice = tim3_result_advice ((unsigned) error->code);
    bool harmless = changes_something (ctl) && !ctl->sent && advice == TIM3_ADVICE_UNKNOWN;
    return harmless ? TIM3_ADVICE_RETRY_SAME_ID : advice;
}

int tim3ctl_refused (tim3ctl_t *ctl, const char *route, const tim3_error_t *error)
{
    tim3_error_t told = *error;
    tim3_advice_t advice = advice_on (ctl, error);
    snprintf (told.advice, sizeof told.advice, "%s", tim3_advice_name (advice));
    ctl->failure = told;
    snprintf (ctl->failed, sizeof ctl->failed, "%s", route);
    if (ctl->silent)
        return ctl->exit = error->code == TIM3_NO_ANSWER ? TIM3CTL_NO_ANSWER : TIM3CTL_REFUSED;
    if (ctl->json)
        tim3ctl_error_json (&told, NULL);
    return ctl->exit = error->code == TIM3_NO_ANSWER ? no_answer (ctl, route, error->text)
                                                     : print_refusal (ctl, route, error, advice);
}
