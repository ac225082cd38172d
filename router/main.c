/*  main.c - tim3-router: the registry and event log as an agent, with the broker beside it.  */
#include "agent/shell.h"
#include "broker.h"
#include "core.h"

int main (int argc, char **argv)
{
    static const tim3_program_t program = {
        .core = &tim3_router_core,
        .pace_us = 5000, /* events may be that late; under load it would sync for each, on the disk of those it serves */
        .companion_new = tim3_broker_new,
        .companion_destroy = tim3_broker_destroy,
    };
    return tim3_agent_main (argc, argv, &program);
}
