/*  main.c - runs every suite of unit tests. CK_FORK=no keeps all in one process (valgrind, a debugger);
    CK_RUN_SUITE=name runs one suite. A test may take twenty times as long as its limit says, which is meant for a fast
    machine: limits are there to end what hangs.  */
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>

int main (void)
{
    setenv ("CK_TIMEOUT_MULTIPLIER", "20", 0);
    SRunner *runner = srunner_create (NULL);
#define X(name) srunner_add_suite (runner, suite_##name ());
    TIM3_SUITES (X)
#undef X
    srunner_run_all (runner, CK_ENV);
    int run = srunner_ntests_run (runner);
    int failed = srunner_ntests_failed (runner);
    srunner_free (runner);
    printf ("%d passed, %d failed\n", run - failed, failed);
    return run > 0 && failed == 0 ? 0 : 1;
}
