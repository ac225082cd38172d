/*  suites.h - every suite of unit tests, declared once: the file test_NAME.c defines suite_NAME.  */
#ifndef TIM3_TESTS_UNIT_SUITES_H
#define TIM3_TESTS_UNIT_SUITES_H

#include <check.h>

#define TIM3_SUITES(X) \
    X (amount)         \
    X (receipt)        \
    X (codec)          \
    X (run)            \
    X (envelope)       \
    X (config)         \
    X (store)          \
    X (memtable)       \
    X (journal)        \
    X (tiers)          \
    X (host)           \
    X (warm)           \
    X (mock_usda)      \
    X (token_manager)  \
    X (lock_manager)   \
    X (coordinator)    \
    X (state_manager)  \
    X (router)         \
    X (backup)         \
    X (client)         \
    X (csv)            \
    X (draw)           \
    X (ids)            \
    X (watch)          \
    X (door)           \
    X (world)

#define X(name) Suite *suite_##name (void);
TIM3_SUITES (X)
#undef X

#endif
