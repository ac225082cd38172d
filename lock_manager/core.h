/*  core.h - the core of tim3-lock-manager; see core.c.  */
#ifndef TIM3_LOCK_MANAGER_CORE_H
#define TIM3_LOCK_MANAGER_CORE_H

#include "agent/core.h"

extern const tim3_core_t tim3_lock_manager_core;

#endif
