/*  core.h - the router's core: the registry of agents, and the event log with its subscribers.

    The front door, which carries clients' messages to agents, is no part of it: see broker.h.
*/
#ifndef TIM3_ROUTER_CORE_H
#define TIM3_ROUTER_CORE_H

#include "agent/core.h"

extern const tim3_core_t tim3_router_core;

#endif
