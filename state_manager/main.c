/*  main.c - tim3-state-manager.  */
#include "core.h"
#include "agent/shell.h"

int main (int argc, char **argv)
{
    static const tim3_program_t program = {.core = &tim3_state_manager_core};
    return tim3_agent_main (argc, argv, &program);
}
