/*  main.c - tim3-coordinator: its core in the shell; where the critical path is merged, the asset's ledgers beside it.  */
#include "../lock_manager/core.h"
#include "../token_manager/core.h"
#include "agent/shell.h"
#include "core.h"

int main (int argc, char **argv)
{
    static const tim3_core_t *const hosted[] = {&tim3_lock_manager_core, &tim3_token_manager_core, NULL};
    static const tim3_program_t program = {.core = &tim3_coordinator_core, .hosted = hosted};
    return tim3_agent_main (argc, argv, &program);
}
