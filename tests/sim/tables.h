/*  tables.h - whether the tables of one store agree with each other.  */
#ifndef TIM3_TESTS_SIM_TABLES_H
#define TIM3_TESTS_SIM_TABLES_H

#include "sim.h"

/*  Reads the whole store of a process: for now and then.  */
void sim_tables_check (unsigned node);

#endif
