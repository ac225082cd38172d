/*  core.h - the core of tim3-token-manager; see core.c.  */
#ifndef TIM3_TOKEN_MANAGER_CORE_H
#define TIM3_TOKEN_MANAGER_CORE_H

#include "agent/core.h"

extern const tim3_core_t tim3_token_manager_core;

#endif
