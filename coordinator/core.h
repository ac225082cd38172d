/*  core.h - the core of tim3-coordinator; see core.c.  */
#ifndef TIM3_COORDINATOR_CORE_H
#define TIM3_COORDINATOR_CORE_H

#include "agent/core.h"

extern const tim3_core_t tim3_coordinator_core;

#endif
