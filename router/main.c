/*  main.c - tim3-router: the registry and event log as an agent, with the broker beside it.  */
#include "agent/shell.h"
#include "broker.h"
#include "core.h"

/*  Events may be that late. Without it, each would cost a sync, on the disk of those that the mints wait for.  */
#define PACE_US 10000

int main (int argc, char **argv)
{
    static const tim3_program_t program = {
        .core = &tim3_router_core,
        .pace_us = PACE_US,
        .companion_new = tim3_broker_new,
        .companion_destroy = tim3_broker_destroy,
        .companion_stats = tim3_broker_stats,
        .companion_health = tim3_broker_health,
    };
    return tim3_agent_main (argc, argv, &program);
}
