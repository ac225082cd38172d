/*  backup.h - whoever makes backups, as tim3ctl does; and, at the end, a world that goes on from the last of them.  */
#ifndef TIM3_TESTS_SIM_BACKUP_H
#define TIM3_TESTS_SIM_BACKUP_H

#include "sim.h"

/*  Begins a backup, unless one is being made.  */
void sim_backup_begin (void);
/*  Event of the heap: asks again, or gives up.  */
void sim_backup_push (uint32_t number);
void sim_backup_take (const sim_frame_t *frame);

/*  When all is checked: ends every process, gives each the store that the last good backup has of it, and starts them
    again. False when there is no backup.  */
bool sim_backup_restore (void);

#endif
