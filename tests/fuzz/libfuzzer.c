/*  libfuzzer.c - gives one target, named by the environment variable TIM3_FUZZ_TARGET, to libFuzzer.  */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static const fuzz_target_t *find_target (void)
{
    const char *name = getenv ("TIM3_FUZZ_TARGET");
    const fuzz_target_t *target = name ? fuzz_target (name) : NULL;
    if (target)
        return target;
    fprintf (stderr, "set TIM3_FUZZ_TARGET to a target; tim3-fuzz-replay list names them\n");
    exit (2);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static const fuzz_target_t *target;
    if (!target)
        target = find_target ();
    target->run (data, size);
    return 0;
}
