/*  main.c - tim3-mock-usda: its core in the shell.  */
#include "agent/shell.h"
#include "core.h"

int main (int argc, char **argv)
{
    static const tim3_program_t program = {.core = &tim3_mock_usda_core};
    return tim3_agent_main (argc, argv, &program);
}
