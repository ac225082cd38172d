/*  main.c - tim3-coordinator: its core in the shell.  */
#include "agent/shell.h"
#include "core.h"

int main (int argc, char **argv)
{
    static const tim3_program_t program = {.core = &tim3_coordinator_core};
    return tim3_agent_main (argc, argv, &program);
}
