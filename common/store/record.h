/*  record.h - what the journal holds of one commit: its causes and its effects.

    In bytes, numbers little-endian:

        u64 digest      of all effects since the store was made, these included
        u32 size        of the causes
        u32 count       of effects
        causes          see cause.h; opaque here
        effects         each: u8 1 put, 0 delete; u8 size of the key; u32 size of the value; key; value

    The digest of a record is XXH3-64 of its effects as they stand there, seeded with the digest before it: two stores
    that did the same in the same order have the same digest.
*/
#ifndef TIM3_RECORD_H
#define TIM3_RECORD_H

#include "store/memtable.h"

#define TIM3_RECORD_HEAD 16

/*  Appends one row as records have effects.  */
void tim3_record_append (tim3_buffer_t *buffer, const tim3_memrow_t *row);

/*  Ends a record that begins at an offset of the buffer: TIM3_RECORD_HEAD bytes to be filled in here, then the causes. Appends
    the batch at hand of the table as its effects, and returns the digest.  */
uint64_t tim3_record_finish (tim3_buffer_t *buffer, size_t offset, const tim3_memtable_t *batch,
                             uint64_t digest_before);

typedef struct {
    uint64_t digest;
    const uint8_t *causes;
    size_t causes_size;
    const uint8_t *effects;
    size_t effects_size;
    uint32_t effect_count;
} tim3_record_t;

/*  Looks at all of it: false when it is not one, or when the digest does not follow from the one before.  */
bool tim3_record_read (const uint8_t *data, size_t size, uint64_t digest_before, tim3_record_t *record);

/*  One effect after another: start with position 0. Only of a record that was read.  */
bool tim3_record_effect (const tim3_record_t *record, size_t *position, tim3_memrow_t *row);

#endif
