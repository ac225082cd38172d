/*  targets.c - the table of targets, and what all of them use.  */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fuzz_target_t s_targets[] = {
#define X(name, text) {#name, fuzz_run_##name, fuzz_seed_##name, text},
    FUZZ_TARGETS (X)
#undef X
};

const fuzz_target_t *fuzz_target_at (unsigned position)
{
    return position < sizeof s_targets / sizeof s_targets[0] ? &s_targets[position] : NULL;
}

const fuzz_target_t *fuzz_target (const char *name)
{
    for (unsigned i = 0; i < sizeof s_targets / sizeof s_targets[0]; i++)
        if (strcmp (s_targets[i].name, name) == 0)
            return &s_targets[i];
    return NULL;
}

void fuzz_fail (const char *file, int line, const char *what)
{
    fprintf (stderr, "%s:%d: this does not hold: %s\n", file, line, what);
    abort ();
}

char *fuzz_text (const uint8_t *data, size_t size)
{
    char *text = malloc (size + 1);
    FUZZ_CHECK (text);
    if (size > 0)
        memcpy (text, data, size);
    text[size] = '\0';
    return text;
}
