/*  fuzz.h - what the fuzz targets share: the table of targets, and what each is made of.

    A target is a function that takes any bytes and checks what must hold of them; what does not hold aborts.
    From the same targets come the fuzzer (libfuzzer.c, with clang) and the replayer (replay.c, with any
    compiler). Seeds are made from the message table when they are wanted, so that a new message is fuzzed
    without more ado.
*/
#ifndef TIM3_TESTS_FUZZ_FUZZ_H
#define TIM3_TESTS_FUZZ_FUZZ_H

#include "agent/core.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*  X (name, "what takes the bytes")  */
#define FUZZ_TARGETS(X)                                                                             \
    X (skip, "the MessagePack cursor, one value at a time, with msgpack-c as the judge of lengths") \
    X (envelope, "a frame of envelopes, as router and agents read it")                              \
    X (body, "the body of every message, by the two bytes in front")                                \
    X (record, "a stored record of every table, by the byte in front")                              \
    X (amount, "decimal text of amounts")                                                           \
    X (name, "addresses, accounts, assets, request ids")                                            \
    X (hex, "hexadecimal text and ids")                                                             \
    X (config, "the configuration file")                                                            \
    X (csv, "header and rows of an import")                                                         \
    X (options, "the command line of tim3ctl, a word a line")                                       \
    X (router, "a host with the router's core: steps of frames, answers, time, crashes")            \
    X (coordinator, "a host with the coordinator's core")                                           \
    X (lock_manager, "a host with the lock manager's core")                                         \
    X (token_manager, "a host with the token manager's core")                                       \
    X (state_manager, "a host with the state manager's core")                                       \
    X (mock_usda, "a host with the collateral token's core")

/*  Takes one seed input.  */
typedef void (fuzz_keep_fn) (void *context, const void *data, size_t size);

typedef struct {
    const char *name;
    void (*run) (const uint8_t *data, size_t size);
    void (*seed) (fuzz_keep_fn *keep, void *context);
    const char *text;
} fuzz_target_t;

#define X(name, text)                                        \
    void fuzz_run_##name (const uint8_t *data, size_t size); \
    void fuzz_seed_##name (fuzz_keep_fn *keep, void *context);
FUZZ_TARGETS (X)
#undef X

/*  NULL past the end; NULL when there is none of that name.  */
const fuzz_target_t *fuzz_target_at (unsigned position);
const fuzz_target_t *fuzz_target (const char *name);

/*  Says what does not hold, and aborts.  */
void fuzz_fail (const char *file, int line, const char *what);
#define FUZZ_CHECK(condition)                           \
    do {                                                \
        if (!(condition))                               \
            fuzz_fail (__FILE__, __LINE__, #condition); \
    } while (0)

/*  A copy of the bytes as a text of its own length, so that a tool sees a read past its end. To be freed.  */
char *fuzz_text (const uint8_t *data, size_t size);

/*  Whether a stored record or body decodes, and comes out the same when it is encoded and decoded again; map
    or array. object holds shape->size bytes.  */
bool fuzz_decode (const tim3_shape_t *shape, const uint8_t *data, size_t size, void *object,
                  tim3_arena_t *arena, bool map);

/*  What must hold of a store of that role between batches; see invariants.c.  */
void fuzz_check_store (tim3_role_t role, tim3_store_t *store);
/*  In the outbox.  */
uint64_t fuzz_count_events (tim3_store_t *store);

#endif
