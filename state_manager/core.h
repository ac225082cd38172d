/*  core.h - the state manager: positions, metrics and health, derived from the ledgers' events.  */
#ifndef STATE_MANAGER_CORE_H
#define STATE_MANAGER_CORE_H

#include "agent/core.h"

extern const tim3_core_t tim3_state_manager_core;

#endif
