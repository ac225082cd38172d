/*  test_world.c - a whole TIM3 under loss, doubling, reordering, crashes and full stores, for some hundred seeds.

    The client asks under one request id until it has a final answer, of whichever coordinator. Always: what is in the
    vault covers what is locked, which covers the supply. In the end, with the faults gone and some time passed:
    nothing is unsettled, the three are equal, and every balance is what the answers said.

    TIM3_SEEDS=n runs n seeds: fewer under valgrind, more overnight.
*/
#include "suites.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 300
#define OPERATIONS 16
#define ACCOUNTS 4
#define GIVEN 1000
#define PATIENCE (3 * WORLD_SECOND)

typedef struct {
    uint64_t type; /* Mint, Redeem or Transfer */
    unsigned from;
    unsigned to;
    tim3_amount_t amount;
    char id[TIM3_REQUEST_ID_MAX + 1];
    uint64_t asked; /* id of the newest message */
    uint64_t asked_us;
    bool answered;
    tim3_result_t code;
} operation_t;

static const char *const s_names[ACCOUNTS] = {"alice", "bob", "carol", "dave"};
static const char *const s_coordinators[2] = {"coordinator.TIM3.0", "coordinator.TIM3.1"};
static operation_t s_operations[OPERATIONS];
static uint64_t s_seed;

/*  ---------------------------------------------------------------------------------------- what is stored  */

static void read_one (const char *address, tim3_table_t table, const char *name, void *record)
{
    tim3_key_t key = tim3_key_text (name);
    tim3_store_read (world_store (address), table, &key, record);
}

static tim3_vault_t vault (void)
{
    tim3_vault_t record;
    read_one ("mock_usda.USDA.0", TIM3_TABLE_VAULT, "TIM3", &record);
    return record;
}

static tim3_lock_totals_t totals (void)
{
    tim3_lock_totals_t record;
    read_one ("lock_manager.TIM3.0", TIM3_TABLE_LOCK_TOTALS, "totals", &record);
    return record;
}

static tim3_ledger_t ledger (void)
{
    tim3_ledger_t record;
    read_one ("token_manager.TIM3.0", TIM3_TABLE_LEDGER, "ledger", &record);
    return record;
}

static tim3_amount_t balance (const char *account)
{
    tim3_account_t record;
    read_one ("token_manager.TIM3.0", TIM3_TABLE_ACCOUNT, account, &record);
    return record.balance;
}

static tim3_amount_t held (const char *account)
{
    tim3_holding_t record;
    read_one ("mock_usda.USDA.0", TIM3_TABLE_HOLDING, account, &record);
    return record.available;
}

static void check_covered (void)
{
    tim3_amount_t locked = totals ().locked;
    ck_assert_msg (vault ().total >= locked * WORLD_SCALE,
                   "seed %llu: the vault does not cover what is locked", (unsigned long long) s_seed);
    ck_assert_msg (locked >= ledger ().supply, "seed %llu: what is locked does not cover the supply",
                   (unsigned long long) s_seed);
}

/*  ------------------------------------------------------------------------------------------- the workload  */

static void give_collateral (void)
{
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        tim3_faucet_t ask = {.amount = GIVEN * WORLD_SCALE, .request_id = "given"};
        strcpy (ask.account, s_names[i]);
        world_ask ("mock_usda.USDA.0", TIM3_MSG_FAUCET, &ask);
    }
    world_pass (WORLD_SECOND);
    while (world_next_answer ())
        ;
}

static void draw_operation (unsigned i)
{
    static const uint64_t types[] = {TIM3_MSG_MINT, TIM3_MSG_MINT, TIM3_MSG_REDEEM, TIM3_MSG_TRANSFER};
    seeded_t *random = world_random ();
    operation_t *operation = &s_operations[i];
    *operation = (operation_t){.type = types[seeded_below (random, 4)]};
    operation->from = (unsigned) seeded_below (random, ACCOUNTS);
    operation->to = (operation->from + 1 + (unsigned) seeded_below (random, ACCOUNTS - 1)) % ACCOUNTS;
    operation->amount = 1 + seeded_below (random, GIVEN / 2);
    snprintf (operation->id, sizeof operation->id, "r%u", i);
}

static void ask (operation_t *operation)
{
    const char *coordinator = s_coordinators[seeded_below (world_random (), 2)];
    tim3_mint_t mint = {.amount = operation->amount};
    tim3_transfer_t move = {.amount = operation->amount};
    strcpy (mint.account, s_names[operation->from]);
    strcpy (mint.request_id, operation->id);
    strcpy (move.account, s_names[operation->from]);
    strcpy (move.to, s_names[operation->to]);
    strcpy (move.request_id, operation->id);
    const void *body = operation->type == TIM3_MSG_TRANSFER ? (const void *) &move : &mint;
    operation->asked = world_ask (coordinator, operation->type, body);
    operation->asked_us = world_now ();
}

/*  Takes an answer, to any message that asked for it.  */
static void take (operation_t *operation, const world_answer_t *answer)
{
    const tim3_error_t *error = answer->body;
    tim3_result_t code = answer->type == TIM3_MSG_TRANSACTION ? TIM3_OK : (tim3_result_t) error->code;
    tim3_advice_t advice = tim3_result_advice (code);
    if (code != TIM3_OK && (advice == TIM3_ADVICE_RETRY_SAME_ID || advice == TIM3_ADVICE_UNKNOWN))
        return;
    ck_assert_msg (!operation->answered || operation->code == code,
                   "seed %llu: %s was answered twice, differently", (unsigned long long) s_seed,
                   operation->id);
    operation->answered = true;
    operation->code = code;
}

static void take_answers (void)
{
    const world_answer_t *answer;
    while ((answer = world_next_answer ()))
        for (unsigned i = 0; i < OPERATIONS; i++)
            if (s_operations[i].asked == answer->reply_to)
                take (&s_operations[i], answer);
}

static unsigned ask_what_is_open (unsigned begun)
{
    unsigned open = 0;
    for (unsigned i = 0; i < begun; i++) {
        operation_t *operation = &s_operations[i];
        if (operation->answered)
            continue;
        open++;
        if (operation->asked == 0 || world_now () - operation->asked_us > PATIENCE)
            ask (operation);
    }
    return open;
}

/*  Until all is answered, a new operation now and then.  */
static void work (void)
{
    unsigned begun = 1;
    unsigned steps = 0;
    while (ask_what_is_open (begun) > 0 || begun < OPERATIONS) {
        if (begun < OPERATIONS && seeded_below (world_random (), 20) == 0)
            begun++;
        world_step ();
        take_answers ();
        ck_assert_msg (steps++ < 200000, "seed %llu: it never ends", (unsigned long long) s_seed);
    }
}

/*  ------------------------------------------------------------------------------------------- the reckoning  */

static void check_settled (void)
{
    tim3_ledger_t tokens = ledger ();
    tim3_lock_totals_t locks = totals ();
    ck_assert_uint_eq (tokens.unsettled, 0);
    ck_assert_uint_eq (locks.unsettled, 0);
    ck_assert (tokens.releasing == 0 && locks.releasing == 0 && locks.in_flight == 0);
    ck_assert (locks.locked == tokens.supply);
    ck_assert (vault ().total == locks.locked * WORLD_SCALE);
}

/*  What each account has, by the answers alone.  */
static void check_balances (void)
{
    tim3_amount_t tokens[ACCOUNTS] = {0};
    tim3_amount_t collateral[ACCOUNTS];
    for (unsigned i = 0; i < ACCOUNTS; i++)
        collateral[i] = GIVEN * WORLD_SCALE;
    for (unsigned i = 0; i < OPERATIONS; i++) {
        const operation_t *operation = &s_operations[i];
        if (operation->code != TIM3_OK)
            continue;
        bool mint = operation->type == TIM3_MSG_MINT;
        bool move = operation->type == TIM3_MSG_TRANSFER;
        tokens[operation->from] += mint ? operation->amount : -operation->amount;
        tokens[operation->to] += move ? operation->amount : 0;
        if (!move)
            collateral[operation->from] += (mint ? -operation->amount : operation->amount) * WORLD_SCALE;
    }
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        ck_assert_msg (balance (s_names[i]) == tokens[i], "seed %llu: balance of %s",
                       (unsigned long long) s_seed, s_names[i]);
        ck_assert_msg (held (s_names[i]) == collateral[i], "seed %llu: collateral of %s",
                       (unsigned long long) s_seed, s_names[i]);
    }
}

/*  What is derived from the events agrees with the ledgers.  */
static void check_positions (void)
{
    tim3_asset_metrics_t metrics;
    tim3_position_t position;
    tim3_store_t *store = world_store ("state_manager.-.0");
    read_one ("state_manager.-.0", TIM3_TABLE_ASSET_METRICS, "TIM3", &metrics);
    ck_assert_msg (metrics.supply == ledger ().supply && metrics.locked == totals ().locked,
                   "seed %llu: metrics are not the ledgers'", (unsigned long long) s_seed);
    ck_assert (metrics.balances == metrics.supply);
    ck_assert_uint_eq (metrics.mints, ledger ().mints);
    ck_assert_uint_eq (metrics.refusals, ledger ().refused);
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        tim3_key_t key = tim3_key_text ("TIM3");
        tim3_key_add_text (&key, s_names[i]);
        tim3_store_read (store, TIM3_TABLE_POSITION, &key, &position);
        ck_assert_msg (position.balance == balance (s_names[i]), "seed %llu: position of %s",
                       (unsigned long long) s_seed, s_names[i]);
    }
}

static void run (uint64_t seed, const world_faults_t *faults)
{
    static const world_faults_t none;
    s_seed = seed;
    world_open (seed, check_covered);
    give_collateral ();
    for (unsigned i = 0; i < OPERATIONS; i++)
        draw_operation (i);
    world_set_faults (faults);
    work ();
    world_set_faults (&none);
    world_heal ();
    world_pass (30 * WORLD_SECOND);
    take_answers ();
    check_settled ();
    check_balances ();
    check_positions ();
}

static void teardown (void)
{
    world_close ();
}

/*  In a world without faults everything that can succeed does, and no sweep is needed.  */
START_TEST (test_fair_weather)
{
    static const world_faults_t faults;
    run ((uint64_t) _i, &faults);
    ck_assert_uint_eq (world_counts ()->lost + world_counts ()->crashes + world_counts ()->full, 0);
    for (unsigned i = 0; i < OPERATIONS; i++)
        ck_assert (s_operations[i].code == TIM3_OK || s_operations[i].code == TIM3_INSUFFICIENT_FUNDS);
}
END_TEST

START_TEST (test_foul_weather)
{
    static const world_faults_t kinds[] = {{.lost = 150},
                                           {.doubled = 400},
                                           {.crashed = 8},
                                           {.full = 60},
                                           {.lost = 80, .doubled = 80, .crashed = 6, .full = 20}};
    run (1000 + (uint64_t) _i, &kinds[_i % 5]);
    /* a run has too few commits for a full store or a crash to be sure */
    const world_counts_t *counts = world_counts ();
    ck_assert (counts->lost + counts->doubled > 0 || kinds[_i % 5].lost + kinds[_i % 5].doubled == 0);
}
END_TEST

Suite *suite_world (void)
{
    const char *seeds = getenv ("TIM3_SEEDS");
    Suite *suite = suite_create ("world");
    TCase *tcase = tcase_create ("world");
    tcase_set_timeout (tcase, 60);
    tcase_add_checked_fixture (tcase, NULL, teardown);
    tcase_add_loop_test (tcase, test_fair_weather, 0, 10);
    tcase_add_loop_test (tcase, test_foul_weather, 0, seeds ? atoi (seeds) : SEEDS);
    suite_add_tcase (suite, tcase);
    return suite;
}
