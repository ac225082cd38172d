/*  bytes.c - identifiers, growable buffers and hexadecimal text.  */
#include "base/bytes.h"
#include "base/address.h"
#include "base/log.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

char *tim3_id_format (const tim3_id_t *id, char text[TIM3_ID_TEXT_MAX])
{
    return tim3_hex_format (id->bytes, sizeof id->bytes, text);
}

bool tim3_id_parse (const char *text, tim3_id_t *id)
{
    tim3_id_t parsed;
    if (tim3_hex_parse (text, parsed.bytes, sizeof parsed.bytes) != (int) sizeof parsed.bytes)
        return false;
    *id = parsed;
    return true;
}

/*  What a transaction's identifier is made from.  */
typedef struct {
    uint8_t bytes[3 * 2 + TIM3_ASSET_MAX + TIM3_ACCOUNT_MAX + TIM3_REQUEST_ID_MAX];
    size_t size;
} tx_text_t;

static void add_text (tx_text_t *self, const char *text)
{
    size_t length = strlen (text);
    uint8_t *at = self->bytes + self->size;
    TIM3_ASSERT (length + 2 <= sizeof self->bytes - self->size);
    at[0] = (uint8_t) (length >> 8);
    at[1] = (uint8_t) length;
    memcpy (at + 2, text, length);
    self->size += 2 + length;
}

static void put_u32 (uint8_t *at, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t) (number >> (24 - 8 * i));
}

tim3_id_t tim3_tx_id (const char *asset, const char *account, const char *request_id)
{
    tx_text_t text = {.size = 0};
    tim3_id_t id;
    uint32_t seconds;
    add_text (&text, asset);
    add_text (&text, account);
    add_text (&text, request_id);
    crypto_generichash (id.bytes, sizeof id.bytes, text.bytes, text.size, NULL, 0);
    if (tim3_request_id_seconds (request_id, &seconds))
        put_u32 (id.bytes, seconds);
    return id;
}

uint64_t tim3_hash64 (const void *data, size_t size, uint64_t seed)
{
    return XXH64 (data, size, seed);
}

void tim3_buffer_grow (tim3_buffer_t *self, size_t size)
{
    size_t capacity = self->capacity ? self->capacity : 256;
    while (capacity - self->size < size)
        capacity *= 2;
    self->data = realloc (self->data, capacity);
    TIM3_ASSERT (self->data);
    self->capacity = capacity;
}

void tim3_buffer_append (tim3_buffer_t *self, const void *data, size_t size)
{
    if (size == 0)
        return;
    memcpy (tim3_buffer_room (self, size), data, size);
    self->size += size;
}

void tim3_buffer_clear (tim3_buffer_t *self)
{
    self->size = 0;
}

void tim3_buffer_free (tim3_buffer_t *self)
{
    free (self->data);
    *self = (tim3_buffer_t){0};
}

char *tim3_hex_format (const uint8_t *data, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[data[i] >> 4];
        text[2 * i + 1] = digits[data[i] & 15];
    }
    text[2 * size] = '\0';
    return text;
}

static int hex_digit (char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int tim3_hex_parse (const char *text, uint8_t *data, size_t capacity)
{
    size_t length = strlen (text);
    if (length % 2 != 0 || length / 2 > capacity)
        return -1;
    for (size_t i = 0; i < length / 2; i++) {
        int high = hex_digit (text[2 * i]);
        int low = hex_digit (text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        data[i] = (uint8_t) (high << 4 | low);
    }
    return (int) (length / 2);
}

void *tim3_alloc (size_t size)
{
    void *memory = calloc (1, size);
    TIM3_ASSERT (memory);
    return memory;
}
