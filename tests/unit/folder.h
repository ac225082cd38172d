/*  folder.h - a folder of a test's own, with its files copied, read and written. Whatever fails ends the program.  */
#ifndef TIM3_TESTS_UNIT_FOLDER_H
#define TIM3_TESTS_UNIT_FOLDER_H

#include "base/bytes.h"

/*  Makes a folder, in memory where there is such a place: what is meant to survive here is a kill, not a loss of power.  */
void folder_make (char path[256]);
void folder_remove (const char *path);
/*  The files of one folder into another, which is emptied, or made.  */
void folder_copy (const char *from, const char *to);

/*  The whole file, in a buffer to be freed.  */
tim3_buffer_t folder_read (const char *path, const char *name);
void folder_write (const char *path, const char *name, const void *data, size_t size);
/*  Turns the bits of one byte.  */
void folder_flip (const char *path, const char *name, size_t at);
bool folder_has (const char *path, const char *name);
void folder_delete (const char *path, const char *name);
/*  Names that begin with a prefix, in order; at most 64. Returns how many.  */
unsigned folder_list (const char *path, const char *prefix, char names[64][64]);

#endif
