/*  tim3ctl_options.c - takes command lines apart by the table of options, and hands out their values.  */
#include "tim3ctl.h"

#include <stdlib.h>
#include <string.h>

const tim3ctl_option_row_t tim3ctl_option_rows[TIM3CTL_OPTIONS_END] = {
#define O(NAME, name, KIND, argument, help) {name, TIM3CTL_##KIND, argument, help},
    TIM3CTL_OPTIONS (O)
#undef O
};

static int find_option (const char *name, size_t length)
{
    for (int i = 0; i < TIM3CTL_OPTIONS_END; i++)
        if (strlen (tim3ctl_option_rows[i].name) == length &&
            memcmp (tim3ctl_option_rows[i].name, name, length) == 0)
            return i;
    return -1;
}

static bool is_number (const char *text)
{
    size_t length = strlen (text);
    return length > 0 && length <= 18 && strspn (text, "0123456789") == length;
}

static bool add_value (tim3ctl_line_t *line, int option, const char *value)
{
    const tim3ctl_option_row_t *row = &tim3ctl_option_rows[option];
    if (row->kind == TIM3CTL_NUMBER && !is_number (value)) {
        tim3ctl_misused ("--%s takes a whole number, not '%s'", row->name, value);
        return false;
    }
    if (line->counts[option] == TIM3CTL_REPEAT_MAX) {
        tim3ctl_misused ("--%s is given too often; %d times at most", row->name, TIM3CTL_REPEAT_MAX);
        return false;
    }
    line->values[option][line->counts[option]++] = value;
    return true;
}

/*  Takes the option at words[0]; returns how many words it took, 0 when it is wrong.  */
static int take_option (tim3ctl_line_t *line, int count, const char *const *words)
{
    const char *name = words[0] + 2;
    size_t length = strcspn (name, "=");
    int option = find_option (name, length);
    if (option < 0) {
        tim3ctl_misused ("there is no option %s; see tim3ctl help", words[0]);
        return 0;
    }
    const tim3ctl_option_row_t *row = &tim3ctl_option_rows[option];
    if (row->kind == TIM3CTL_FLAG) {
        if (name[length] == '=')
            tim3ctl_misused ("--%s takes no value", row->name);
        return name[length] != '=' && add_value (line, option, "") ? 1 : 0;
    }
    if (name[length] == '=')
        return add_value (line, option, name + length + 1) ? 1 : 0;
    if (count < 2) {
        tim3ctl_misused ("--%s wants %s behind it: %s", row->name, row->argument, row->help);
        return 0;
    }
    return add_value (line, option, words[1]) ? 2 : 0;
}

static bool add_word (tim3ctl_line_t *line, const char *word)
{
    if (line->word_count == TIM3CTL_ARGUMENTS_MAX) {
        tim3ctl_misused ("too many arguments");
        return false;
    }
    line->words[line->word_count++] = word;
    return true;
}

/*  Known beforehand, for the first word may be wrong.  */
static bool asks_for_json (const tim3ctl_line_t *line, int count, const char *const *words)
{
    for (int i = 0; i < count && strcmp (words[i], "--") != 0; i++)
        if (strcmp (words[i], "--json") == 0)
            return true;
    return line->counts[TIM3CTL_OPTION_JSON] > 0;
}

bool tim3ctl_line_parse (tim3ctl_line_t *line, int count, const char *const *words)
{
    bool options = true;
    tim3ctl_errors_json (asks_for_json (line, count, words));
    for (int i = 0; i < count; i++) {
        int taken = 1;
        if (options && strcmp (words[i], "--") == 0)
            options = false;
        else if (options && strcmp (words[i], "-h") == 0)
            taken = add_value (line, TIM3CTL_OPTION_HELP, "") ? 1 : 0;
        else if (options && strncmp (words[i], "--", 2) == 0)
            taken = take_option (line, count - i, words + i);
        else
            taken = add_word (line, words[i]) ? 1 : 0;
        if (taken == 0)
            return false;
        i += taken - 1;
    }
    return true;
}

bool tim3ctl_has (const tim3ctl_t *ctl, tim3ctl_option_t option)
{
    return ctl->line.counts[option] > 0;
}

/*  The last one given counts, so that a line can override what was given when the shell was started.  */
const char *tim3ctl_text (const tim3ctl_t *ctl, tim3ctl_option_t option, const char *fallback)
{
    unsigned count = ctl->line.counts[option];
    return count ? ctl->line.values[option][count - 1] : fallback;
}

uint64_t tim3ctl_number (const tim3ctl_t *ctl, tim3ctl_option_t option, uint64_t fallback)
{
    const char *text = tim3ctl_text (ctl, option, NULL);
    return text ? strtoull (text, NULL, 10) : fallback;
}

uint64_t tim3ctl_count (tim3ctl_t *ctl, tim3ctl_option_t option, uint64_t fallback, uint64_t most)
{
    uint64_t count = tim3ctl_number (ctl, option, fallback);
    if (count >= 1 && count <= most)
        return count;
    ctl->exit = tim3ctl_misused ("--%s must be from 1 to %llu", tim3ctl_option_rows[option].name,
                                 (unsigned long long) most);
    return 0;
}
