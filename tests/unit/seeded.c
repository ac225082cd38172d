/*  seeded.c - splitmix64, and draws from it.  */
#include "seeded.h"

uint64_t seeded_next (seeded_t *self)
{
    uint64_t mixed = self->state += 0x9e3779b97f4a7c15ull;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ull;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebull;
    return mixed ^ mixed >> 31;
}

uint64_t seeded_below (seeded_t *self, uint64_t below)
{
    return seeded_next (self) % below;
}

uint64_t seeded_u64 (seeded_t *self)
{
    return seeded_next (self) >> seeded_below (self, 64);
}

tim3_amount_t seeded_amount (seeded_t *self)
{
    tim3_amount_t amount = (tim3_amount_t) seeded_next (self) << 64 | seeded_next (self);
    return amount >> seeded_below (self, 128);
}

void seeded_fill (seeded_t *self, void *data, size_t size)
{
    uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t) seeded_next (self);
}

size_t seeded_utf8 (uint32_t code, size_t size, char *text)
{
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size; i-- > 1; code >>= 6)
        text[i] = (char) (0x80 | (code & 0x3f));
    text[0] = (char) (leads[size] | code);
    return size;
}

static uint32_t draw_code (seeded_t *self, size_t size)
{
    static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
    static const uint32_t most[] = {0, 0x7f, 0x7ff, 0xffff, 0x10ffff};
    uint32_t code = least[size] + (uint32_t) seeded_below (self, most[size] - least[size] + 1u);
    return code >= 0xd800 && code <= 0xdfff ? 0xd7ff : code;
}

void seeded_text (seeded_t *self, char *text, size_t most)
{
    size_t length = seeded_below (self, 4) ? seeded_below (self, most + 1) : most;
    size_t at = 0;
    while (at < length) {
        size_t size = 1 + seeded_below (self, length - at < 4 ? length - at : 4);
        at += seeded_utf8 (draw_code (self, size), size, text + at);
    }
    text[at] = '\0';
}
