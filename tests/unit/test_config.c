/*  test_config.c - the configuration: what is accepted, and that every mistake is named with its place.  */
#include "agent/endpoint.h"
#include "agent/settings.h"
#include "base/config.h"
#include "base/loopback.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char s_path[64];
static char s_why[600];

static void setup (void)
{
    strcpy (s_path, "/tmp/tim3-config-XXXXXX");
    int file = mkstemp (s_path);
    ck_assert_int_ge (file, 0);
    close (file);
}

static void teardown (void)
{
    unlink (s_path);
}

static tim3_config_t *load (const char *text)
{
    FILE *file = fopen (s_path, "w");
    ck_assert_ptr_nonnull (file);
    ck_assert_int_ge (fputs (text, file), 0);
    fclose (file);
    s_why[0] = '\0';
    return tim3_config_load (s_path, s_why, sizeof s_why);
}

/*  The reason begins with the file's path; what follows is compared as a whole or by its beginning.  */
static void refused (const char *text, const char *reason)
{
    tim3_config_t *config = load (text);
    char expected[600];

    ck_assert_msg (config == NULL, "accepted: %s", text);
    snprintf (expected, sizeof expected, "%s: %s", s_path, reason);
    ck_assert_msg (strncmp (s_why, expected, strlen (expected)) == 0, "expected: %s\ngot: %s", expected,
                   s_why);
}

static void accepted (const char *text)
{
    tim3_config_t *config = load (text);
    ck_assert_msg (config != NULL, "refused: %s", s_why);
    tim3_config_destroy (&config);
}

static void value_refused (const char *section, const char *name, const char *value)
{
    char text[200];
    char reason[100];
    snprintf (text, sizeof text, "%s\n    %s = \"%s\"\nasset\n    TIM3\n", section, name, value);
    snprintf (reason, sizeof reason, "%s/%s: \"", section, name);
    refused (text, reason);
}

START_TEST (test_defaults)
{
    tim3_config_t *config = load ("asset\n    TIM3\n");
    ck_assert_msg (config != NULL, "%s", s_why);
    ck_assert_str_eq (tim3_config_asset (config, 0), "TIM3");
    ck_assert_ptr_null (tim3_config_asset (config, 1));
    ck_assert_str_eq (tim3_config_text (config, "agents", "log_level", NULL), "info");
    ck_assert_str_eq (tim3_config_text (config, "router", "front", NULL), "");
    ck_assert_uint_eq (tim3_config_u64 (config, "agents", "heartbeat_ms", NULL), 1000);
    ck_assert (tim3_config_bool (config, "collateral", "faucet", NULL));
    ck_assert_uint_eq (tim3_config_u64 (config, "asset/*", "coordinators", "TIM3"), 2);
    ck_assert_str_eq (tim3_config_text (config, "asset/*", "cap", "TIM3"), "none");
    ck_assert (tim3_config_amount (config, "asset/*", "cap", "TIM3") == TIM3_AMOUNT_MAX);
    tim3_config_destroy (&config);
    ck_assert_ptr_null (config);
}
END_TEST

START_TEST (test_given)
{
    tim3_config_t *config = load ("#   a comment\n"
                                  "agents\n"
                                  "    log_level = debug   # of three\n"
                                  "router\n"
                                  "    front = \"tcp://127.0.0.1:5555\"\n"
                                  "collateral\n"
                                  "    name = EURA\n"
                                  "    faucet = no\n"
                                  "asset\n"
                                  "    TIM3\n"
                                  "        decimals = 2\n"
                                  "        cap = 1000000.25\n"
                                  "    SPACE\n"
                                  "        decimals = 18\n"
                                  "        coordinators = 64\n");
    ck_assert_msg (config != NULL, "%s", s_why);
    ck_assert_str_eq (tim3_config_asset (config, 1), "SPACE");
    ck_assert_str_eq (tim3_config_text (config, "agents", "log_level", NULL), "debug");
    ck_assert_str_eq (tim3_config_text (config, "router", "front", NULL), "tcp://127.0.0.1:5555");
    ck_assert_str_eq (tim3_config_text (config, "collateral", "name", NULL), "EURA");
    ck_assert (!tim3_config_bool (config, "collateral", "faucet", NULL));
    ck_assert_str_eq (tim3_config_text (config, "asset/*", "cap", "TIM3"), "1000000.25");
    ck_assert (tim3_config_amount (config, "asset/*", "cap", "TIM3") == 100000025);
    ck_assert_uint_eq (tim3_config_u64 (config, "asset/*", "coordinators", "TIM3"), 2);
    ck_assert_uint_eq (tim3_config_u64 (config, "asset/*", "coordinators", "SPACE"), 64);
    tim3_config_destroy (&config);
}
END_TEST

START_TEST (test_unreadable)
{
    ck_assert_ptr_null (tim3_config_load ("/tmp/tim3-is-not-there.cfg", s_why, sizeof s_why));
    ck_assert_str_eq (s_why, "/tmp/tim3-is-not-there.cfg: cannot be read (No such file or directory); "
                             "give the configuration file with --config");
    ck_assert_ptr_null (tim3_config_load ("/tmp", s_why, sizeof s_why));
    ck_assert_str_eq (s_why, "/tmp: not a regular file; give the configuration file with --config");
}
END_TEST

START_TEST (test_syntax)
{
    refused ("asset\n  TIM3\n", "line 2: indent 4 spaces at once");
    refused ("asset\n\tTIM3\n", "line 2: invalid syntax 'TIM3'; a level is four spaces");
    refused ("agents\n    log_level = \"info\n", "line 2: missing \"");
    refused ("agents\n            log_level = info\n", "line 2: indentation error");
}
END_TEST

START_TEST (test_unknown)
{
    refused ("asset\n    TIM3\n        decimal = 6\n",
             "asset/TIM3/decimal: unknown key; did you mean decimals?");
    refused ("agents\n    heartbeat = 100\nasset\n    TIM3\n",
             "agents/heartbeat: unknown key; did you mean heartbeat_ms?");
    refused ("agent\n    log_level = info\n", "agent: unknown section; did you mean agents?");
    refused ("assets\n    TIM3\n", "assets: unknown section; did you mean asset?");
    refused ("zebra = 1\n",
             "zebra: unknown section; allowed here: agents router coordinator collateral asset");
    refused ("router\n    q = 1\n", "router/q: unknown key; allowed here: front clients queue_messages");
    refused ("asset/TIM3\n    decimals = 6\n", "asset/TIM3: unknown section");
}
END_TEST

START_TEST (test_values)
{
    refused ("agents\n    heartbeat_ms = 49\n",
             "agents/heartbeat_ms: \"49\" is not a whole number from 50 to 60000");
    refused ("agents\n    heartbeat_ms = 60001\n", "agents/heartbeat_ms: \"60001\" is not");
    refused ("agents\n    heartbeat_ms = -100\n", "agents/heartbeat_ms: \"-100\" is not");
    refused ("agents\n    heartbeat_ms = 1s\n", "agents/heartbeat_ms: \"1s\" is not");
    refused ("agents\n    heartbeat_ms =\n", "agents/heartbeat_ms: \"\" is not");
    refused ("agents\n    retry_ms = 99999999999999999999999999999999999999999999\n",
             "agents/retry_ms: \"99");
    refused ("agents\n    log_level = inf\n",
             "agents/log_level: \"inf\" is not one of debug|info|warn|error");
    refused ("agents\n    log_level = least level that is logged\n", "agents/log_level: \"least");
    refused ("collateral\n    faucet = true\n", "collateral/faucet: \"true\" is neither yes nor no");
    refused ("collateral\n    name = A23456789012345678\n", "collateral/name: the text has 18 characters");
    refused ("collateral\n    name = US.DA\nasset\n    TIM3\n", "collateral/name: names are");
    refused ("asset\n    TIM3\n        cap =\n", "asset/TIM3/cap: the amount is missing");
}
END_TEST

START_TEST (test_structure)
{
    refused ("", "asset: no asset is given");
    refused ("agents\n    log_level = info\n", "asset: no asset is given");
    refused ("agents = 3\n", "agents: this is a section");
    refused ("asset = TIM3\n", "asset: put each asset's name on a line of its own");
    refused ("asset\n    TIM3 = 6\n", "asset/TIM3: this is a section");
    refused ("agents\n    retry_ms = 50\n        retry_ms = 50\n", "agents/retry_ms: this key takes a value");
}
END_TEST

START_TEST (test_twice)
{
    refused ("agents\n    retry_ms = 50\n    retry_ms = 60\n", "agents/retry_ms: given twice");
    refused ("agents\n    retry_ms = 50\nagents\n    heartbeat_ms = 60\n", "agents: given twice");
    refused ("asset\n    TIM3\n    TIM3\n", "asset/TIM3: given twice");
    refused ("asset\n    TIM3\nasset\n    TIME\n", "asset: given twice");
}
END_TEST

/*  No address but the loopback in numbers: other hosts would be let in without encryption.  */
START_TEST (test_listeners)
{
    static const char *const wrong[] = {"0.0.0.0:17300",
                                        "10.0.0.1:17300",
                                        "*:17300",
                                        "localhost:17300",
                                        "127.0.0.1",
                                        "127.0.0.1:",
                                        "127.0.0.1:0",
                                        "127.0.0.1:x",
                                        "127.0.0.1:70000",
                                        "127.0.0.256:100",
                                        "127.1:17300",
                                        "1270.0.0.1:100",
                                        "127.0.0.01:17300",
                                        "127.0.0.1.evil.example:100",
                                        ":17300"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        value_refused ("agents", "listen", wrong[i]);
        value_refused ("agents", "advertise", wrong[i]);
    }
    refused ("agents\n    listen = 127.0.0.1:64000\nasset\n    TIM3\n",
             "agents/listen: port 64000 leaves too few");
    refused ("agents\n    transport = udp\n", "agents/transport: \"udp\" is not one of ipc|tcp");
}
END_TEST

START_TEST (test_front)
{
    static const char *const wrong[] = {"tcp://0.0.0.0:5555",
                                        "tcp://*:5555",
                                        "tcp://localhost:5555",
                                        "tcp://10.0.0.1:5555",
                                        "tcp://127.0.0.1",
                                        "foo",
                                        "ipc://",
                                        "inproc://front"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        value_refused ("router", "front", wrong[i]);
    accepted ("router\n    front = \"tcp://127.0.0.1:5555\"\nasset\n    TIM3\n");
    accepted ("router\n    front = \"ipc:///tmp/front.sock\"\nasset\n    TIM3\n");
}
END_TEST

/*  Every agent has a place of its own, told and bound from the same order.  */
START_TEST (test_endpoints)
{
    static const char *const agents[][2] = {
        {"router.-.0", "7000"},          {"state_manager.-.0", "7001"},    {"mock_usda.USDA.0", "7002"},
        {"lock_manager.TIM3.0", "7003"}, {"token_manager.TIM3.0", "7004"}, {"lock_manager.TIM3.15", "7033"},
        {"coordinator.TIM3.0", "7035"},  {"coordinator.TIM3.63", "7098"},  {"lock_manager.TIME.0", "7099"},
        {"coordinator.TIME.1", "7132"}};
    static const char *const nowhere[] = {"coordinator.TIM3.64", "lock_manager.TIM3.16", "mock_usda.USDA.1",
                                          "lock_manager.X.0",    "coordinator.TIM3",     "client.-.0"};
    char endpoint[TIM3_ENDPOINT_MAX + 1];
    char expected[64];
    tim3_config_t *config = load ("agents\n    transport = tcp\n    listen = 127.0.0.1:7000\n"
                                  "    advertise = 127.9.9.9:17000\nasset\n    TIM3\n    TIME\n");
    ck_assert_msg (config != NULL, "%s", s_why);
    for (size_t i = 0; i < sizeof agents / sizeof agents[0]; i++) {
        ck_assert (tim3_endpoint_bound (config, "/data", agents[i][0], endpoint));
        snprintf (expected, sizeof expected, "tcp://127.0.0.1:%s", agents[i][1]);
        ck_assert_str_eq (endpoint, expected);
        ck_assert (tim3_endpoint_told (config, "/data", agents[i][0], endpoint));
        snprintf (expected, sizeof expected, "tcp://127.9.9.9:1%s", agents[i][1]);
        ck_assert_str_eq (endpoint, expected);
    }
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++)
        ck_assert (!tim3_endpoint_bound (config, "/data", nowhere[i], endpoint));
    tim3_config_destroy (&config);

    config = load ("asset\n    TIM3\n");
    ck_assert (tim3_endpoint_told (config, "/data", "lock_manager.TIM3.0", endpoint));
    ck_assert_str_eq (endpoint, "ipc:///data/run/lock_manager.TIM3.0.sock");
    tim3_config_destroy (&config);
}
END_TEST

/*  A merged shard is found where the coordinator of its number is.  */
START_TEST (test_shards)
{
    char endpoint[TIM3_ENDPOINT_MAX + 1];
    tim3_config_t *config = load ("asset\n    TIM3\n        shards = 2\n        critical_path = merged\n");
    ck_assert_msg (config != NULL, "%s", s_why);
    ck_assert (tim3_endpoint_told (config, "/data", "token_manager.TIM3.1", endpoint));
    ck_assert_str_eq (endpoint, "ipc:///data/run/coordinator.TIM3.1.sock");
    tim3_config_destroy (&config);
    config = load ("asset\n    TIM3\n        shards = 3\n");
    ck_assert_msg (config != NULL, "%s", s_why);
    tim3_config_destroy (&config);
    refused ("asset\n    TIM3\n        shards = 3\n        critical_path = merged\n",
             "asset/TIM3/coordinators: 2 are too few to run 3 shards merged");
    refused ("asset\n    TIM3\n        shards = 17\n", "asset/TIM3/shards: ");
    refused ("asset\n    TIM3\n        shards = 0\n", "asset/TIM3/shards: ");
}
END_TEST

START_TEST (test_endpoints_that_stay_here)
{
    static const char *const here[] = {"ipc:///tmp/x", "tcp://127.0.0.1:1", "tcp://127.255.255.255:65535",
                                       "tcp://[::1]:80"};
    static const char *const away[] = {"tcp://192.168.0.1:80",
                                       "tcp://127.0.0.1.example:80",
                                       "tcp://[::2]:80",
                                       "tcp://*:80",
                                       "udp://127.0.0.1:80",
                                       "pgm://127.0.0.1:80",
                                       "",
                                       "tcp://",
                                       "tcp://127.0.0.1:80;127.0.0.1:81",
                                       "tcp://eth0:1"};
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++)
        ck_assert_msg (tim3_endpoint_stays_here (here[i]), "%s", here[i]);
    for (size_t i = 0; i < sizeof away / sizeof away[0]; i++)
        ck_assert_msg (!tim3_endpoint_stays_here (away[i]), "%s", away[i]);
}
END_TEST

START_TEST (test_endpoints_that_are_files)
{
    static const char *const none[] = {
        "", "ipc://", "ipc:/tmp/x", "ipc://@name", "tcp://127.0.0.1:1", "inproc://x", "/tmp/x"};
    static const char endpoint[] = "ipc:///tmp/x";
    ck_assert_ptr_eq (tim3_endpoint_path (endpoint), endpoint + strlen ("ipc://"));
    ck_assert_str_eq (tim3_endpoint_path ("ipc://run/@x"), "run/@x");
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        ck_assert_msg (tim3_endpoint_path (none[i]) == NULL, "%s", none[i]);
    ck_assert (tim3_endpoint_stays_here ("ipc://@name") && !tim3_endpoint_stays_here ("ipc://"));
}
END_TEST

START_TEST (test_assets)
{
    refused ("asset\n    -\n", "asset/-: asset names are");
    refused ("asset\n    TI.M3\n", "asset/TI.M3: asset names are");
    refused ("asset\n    T1234567890123456\n", "asset/T1234567890123456: asset names are");
    refused ("asset\n    USDA\n", "asset/USDA: this is the name of the collateral");
    refused ("asset\n    TIM3\n        decimals = 19\n", "asset/TIM3/decimals: 19 are more than the 18");
    refused ("collateral\n    decimals = 2\nasset\n    TIM3\n", "asset/TIM3/decimals: 6 are more than the 2");
    refused ("asset\n    TIM3\n        cap = 0.0000001\n", "asset/TIM3/cap: \"0.0000001\" is not none, nor");
    refused ("asset\n    TIM3\n        cap = -1\n", "asset/TIM3/cap: \"-1\" is not none, nor");
}
END_TEST

/*  How many keys are given for each asset, or once.  */
static unsigned keys_of (bool assets)
{
    const tim3_config_key_t *key;
    unsigned count = 0;
    for (unsigned i = 0; (key = tim3_config_key_at (i)); i++)
        count += (strcmp (key->section, "asset/*") == 0) == assets;
    return count;
}

START_TEST (test_most_assets)
{
    static tim3_setting_t list[TIM3_SETTINGS_MAX];
    char text[2048] = "asset\n";
    for (int i = 0; i < 32; i++)
        sprintf (text + strlen (text), "    A%d\n", i);
    tim3_config_t *config = load (text);
    ck_assert_msg (config != NULL, "%s", s_why);
    ck_assert_str_eq (tim3_config_asset (config, 31), "A31");
    ck_assert_uint_eq (tim3_settings_list (config, list), keys_of (false) + 32 * keys_of (true));
    tim3_config_destroy (&config);
    refused (strcat (text, "    A32\n"), "asset/A32: there are more than 32 assets");
}
END_TEST

START_TEST (test_table_is_sound)
{
    char text[400];
    const tim3_config_key_t *key;

    for (unsigned i = 0; (key = tim3_config_key_at (i)); i++) {
        bool asset = strcmp (key->section, "asset/*") == 0;
        ck_assert_str_ne (key->text, "");
        if (asset)
            snprintf (text, sizeof text, "asset\n    TIM3\n        %s = \"%s\"\n", key->name, key->fallback);
        else
            snprintf (text, sizeof text, "asset\n    TIM3\n%s\n    %s = \"%s\"\n", key->section, key->name,
                      key->fallback);
        tim3_config_t *config = load (text);
        ck_assert_msg (config != NULL, "a default is refused: %s", s_why);
        ck_assert_str_eq (tim3_config_text (config, key->section, key->name, asset ? "TIM3" : NULL),
                          key->fallback);
        tim3_config_destroy (&config);
    }
}
END_TEST

/*  In a child of its own, so that it works with CK_FORK=no too.  */
START_TEST (test_unknown_pair_panics)
{
    int status;
    tim3_config_t *config = load ("asset\n    TIM3\n");
    pid_t child = fork ();

    if (child == 0) {
        close (STDERR_FILENO);
        tim3_config_text (config, "agents", "colour", NULL);
        _exit (0);
    }
    ck_assert_int_eq (waitpid (child, &status, 0), child);
    ck_assert (WIFSIGNALED (status) && WTERMSIG (status) == SIGABRT);
    tim3_config_destroy (&config);
}
END_TEST

Suite *suite_config (void);

Suite *suite_config (void)
{
    Suite *suite = suite_create ("config");
    TCase *tests = tcase_create ("config");

    tcase_add_checked_fixture (tests, setup, teardown);
    tcase_add_test (tests, test_defaults);
    tcase_add_test (tests, test_given);
    tcase_add_test (tests, test_unreadable);
    tcase_add_test (tests, test_syntax);
    tcase_add_test (tests, test_unknown);
    tcase_add_test (tests, test_values);
    tcase_add_test (tests, test_structure);
    tcase_add_test (tests, test_twice);
    tcase_add_test (tests, test_listeners);
    tcase_add_test (tests, test_front);
    tcase_add_test (tests, test_endpoints);
    tcase_add_test (tests, test_shards);
    tcase_add_test (tests, test_endpoints_that_stay_here);
    tcase_add_test (tests, test_endpoints_that_are_files);
    tcase_add_test (tests, test_assets);
    tcase_add_test (tests, test_most_assets);
    tcase_add_test (tests, test_table_is_sound);
    tcase_add_test (tests, test_unknown_pair_panics);
    suite_add_tcase (suite, tests);
    return suite;
}
