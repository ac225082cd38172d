/*  record.c - what the journal holds of one commit. See record.h for the bytes.  */
#include "store/record.h"
#include "base/log.h"

#include <string.h>
#include <xxhash.h>

#define EFFECT_HEAD 6

void tim3_record_append (tim3_buffer_t *buffer, const tim3_memrow_t *row)
{
    uint32_t size = (uint32_t) row->value_size;
    TIM3_ASSERT (row->value_size <= UINT32_MAX && row->key_size <= UINT8_MAX);
    uint8_t *at = tim3_buffer_room (buffer, EFFECT_HEAD + row->key_size + row->value_size);
    at[0] = !row->deleted;
    at[1] = (uint8_t) row->key_size;
    memcpy (at + 2, &size, sizeof size);
    at += EFFECT_HEAD;
    memcpy (at, row->key, row->key_size);
    at += row->key_size;
    if (size > 0)
        memcpy (at, row->value, size);
    tim3_buffer_filled (buffer, at + size);
}

uint64_t tim3_record_finish (tim3_buffer_t *buffer, size_t offset, const tim3_memtable_t *batch,
                             uint64_t digest_before)
{
    TIM3_ASSERT (buffer->size >= offset + TIM3_RECORD_HEAD);
    size_t causes_size = buffer->size - offset - TIM3_RECORD_HEAD;
    size_t effects_at = buffer->size;
    size_t count = tim3_memtable_changes (batch);

    TIM3_ASSERT (causes_size <= UINT32_MAX && count <= UINT32_MAX);
    for (size_t i = 0; i < count; i++) {
        tim3_memrow_t row = tim3_memtable_change (batch, i);
        tim3_record_append (buffer, &row);
    }
    uint32_t sizes[2] = {(uint32_t) causes_size, (uint32_t) count};
    uint64_t digest =
        XXH3_64bits_withSeed (buffer->data + effects_at, buffer->size - effects_at, digest_before);
    memcpy (buffer->data + offset, &digest, sizeof digest);
    memcpy (buffer->data + offset + sizeof digest, sizes, sizeof sizes);
    return digest;
}

static bool effects_valid (const tim3_record_t *record)
{
    tim3_memrow_t row;
    size_t position = 0;
    for (uint32_t i = 0; i < record->effect_count; i++)
        if (!tim3_record_effect (record, &position, &row))
            return false;
    return position == record->effects_size;
}

bool tim3_record_read (const uint8_t *data, size_t size, uint64_t digest_before, tim3_record_t *record)
{
    uint32_t sizes[2];
    if (size < TIM3_RECORD_HEAD)
        return false;
    memcpy (&record->digest, data, sizeof record->digest);
    memcpy (sizes, data + sizeof record->digest, sizeof sizes);
    if (sizes[0] > size - TIM3_RECORD_HEAD)
        return false;
    record->causes = data + TIM3_RECORD_HEAD;
    record->causes_size = sizes[0];
    record->effects = record->causes + sizes[0];
    record->effects_size = size - TIM3_RECORD_HEAD - sizes[0];
    record->effect_count = sizes[1];
    return effects_valid (record) &&
           XXH3_64bits_withSeed (record->effects, record->effects_size, digest_before) == record->digest;
}

bool tim3_record_effect (const tim3_record_t *record, size_t *position, tim3_memrow_t *row)
{
    const uint8_t *at = record->effects + *position;
    size_t left = record->effects_size - *position;
    uint32_t size;
    if (left < EFFECT_HEAD)
        return false;
    memcpy (&size, at + 2, sizeof size);
    *row = (tim3_memrow_t){.key = at + EFFECT_HEAD, .key_size = at[1], .deleted = at[0] == 0};
    left -= EFFECT_HEAD;
    if (row->key_size == 0 || row->key_size > left || size > left - row->key_size)
        return false;
    if (!row->deleted) {
        row->value = row->key + row->key_size;
        row->value_size = size;
    }
    *position += EFFECT_HEAD + row->key_size + size;
    return true;
}
