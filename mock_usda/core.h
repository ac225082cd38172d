/*  core.h - the core of tim3-mock-usda; see core.c.  */
#ifndef TIM3_MOCK_USDA_CORE_H
#define TIM3_MOCK_USDA_CORE_H

#include "agent/core.h"

extern const tim3_core_t tim3_mock_usda_core;

#endif
