/*  suites.h - every suite of unit tests, declared once: the file test_NAME.c defines suite_NAME.  */
#ifndef TIM3_TESTS_UNIT_SUITES_H
#define TIM3_TESTS_UNIT_SUITES_H

#include <check.h>

#define TIM3_SUITES(X)                                                                                       \
    X (amount) X (receipt) X (envelope) X (codec) X (mock_usda) X (token_manager) X (lock_manager) X (coordinator) X (config) X (store) X (state_manager) X (router) X (client) X (csv)

#define X(name) Suite *suite_##name (void);
TIM3_SUITES (X)
#undef X

#endif
