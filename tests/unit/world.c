/*  world.c - a whole TIM3 in one process.  */
#include "world.h"
#include "plain.h"
#include "../../coordinator/core.h"
#include "../../lock_manager/core.h"
#include "../../mock_usda/core.h"
#include "../../router/core.h"
#include "../../state_manager/core.h"
#include "../../token_manager/core.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_US 250000
#define DELAY_MOST_US 40000
#define BATCH_US 5000
#define DOWN_MOST_US (3 * WORLD_SECOND)
#define ANSWERS_MOST 256
#define ARENA (8 * 1024 * 1024)

/*  A (address, core)  */
#define AGENTS(A)                             \
    A ("router.-.0", router)                  \
    A ("coordinator.TIM3.0", coordinator)     \
    A ("coordinator.TIM3.1", coordinator)     \
    A ("lock_manager.TIM3.0", lock_manager)   \
    A ("token_manager.TIM3.0", token_manager) \
    A ("mock_usda.USDA.0", mock_usda)         \
    A ("state_manager.-.0", state_manager)

typedef struct {
    const char *address;
    const tim3_core_t *core;
} cast_t;

static const cast_t s_cast[] = {
#define A(address, core) {address, &tim3_##core##_core},
    AGENTS (A)
#undef A
};
#define CAST (sizeof s_cast / sizeof s_cast[0])

typedef struct {
    tim3_settings_t settings;
    tim3_store_t *store;
    tim3_host_t *host; /* NULL while it is down */
    uint64_t incarnation;
    uint64_t up_us; /* when it comes back */
} agent_t;

/*  A frame under way to an agent or, with to = CAST, to the client. life is that of the connection: a frame for an
    earlier one is lost.  */
typedef struct {
    size_t to;
    uint64_t life;
    bool answer;
    char peer[TIM3_PEER_MAX]; /* whom to answer */
    uint8_t *data;
    size_t size;
    uint64_t at_us;
} letter_t;

typedef struct {
    world_answer_t answer;
    uint8_t *data;
    size_t size;
} kept_t;

static agent_t s_agents[CAST];
static letter_t *s_letters;
static size_t s_count;
static size_t s_capacity;
static kept_t s_kept[ANSWERS_MOST];
static unsigned s_kept_count;
static uint64_t s_now;
static uint64_t s_next_tick;
static uint64_t s_next_id;
static seeded_t s_random;
static world_faults_t s_faults;
static world_counts_t s_counts;
static void (*s_after_commit) (void);
static tim3_arena_t s_arena;

static bool happens (unsigned in_thousand)
{
    return seeded_below (&s_random, 1000) < in_thousand;
}

/*  ---------------------------------------------------------------------------------------- life and death  */

static void fill_settings (const cast_t *role, tim3_settings_t *settings)
{
    plain_settings (settings, role->address);
    settings->scale = WORLD_SCALE;
    settings->sweep_most_us = 8 * WORLD_SECOND;
    settings->retry_us = WORLD_SECOND / 2;
    settings->in_flight_most = 1000;
}

static void start (size_t i)
{
    agent_t *agent = &s_agents[i];
    tim3_host_options_t options = {.incarnation = s_now, .endpoint = "inproc"};
    strcpy (options.name, s_cast[i].address);
    options.meta.id.bytes[0] = (uint8_t) (i + 1);
    options.meta.schema = TIM3_SCHEMA_VERSION;
    agent->incarnation++;
    agent->host = tim3_host_new (s_cast[i].core, &agent->settings, agent->store, &options);
}

static void crash (size_t i)
{
    agent_t *agent = &s_agents[i];
    tim3_host_destroy (&agent->host);
    tim3_store_abort (agent->store);
    agent->up_us = s_now + seeded_below (&s_random, DOWN_MOST_US);
    s_counts.crashes++;
}

void world_open (uint64_t seed, void (*after_commit) (void))
{
    s_random.state = seed;
    s_faults = (world_faults_t){0};
    s_counts = (world_counts_t){0};
    s_after_commit = NULL;
    s_now = 1000 * WORLD_SECOND;
    s_next_tick = s_now;
    s_next_id = 1;
    s_arena = (tim3_arena_t){tim3_alloc (ARENA), ARENA, 0};
    for (size_t i = 0; i < CAST; i++) {
        fill_settings (&s_cast[i], &s_agents[i].settings);
        s_agents[i].store = memory_store_new ();
        s_agents[i].incarnation = 0;
        start (i);
    }
    s_after_commit = after_commit;
}

static void drop_answers (void)
{
    for (unsigned i = 0; i < s_kept_count; i++)
        free (s_kept[i].data);
    s_kept_count = 0;
}

void world_close (void)
{
    for (size_t i = 0; i < CAST; i++) {
        tim3_host_destroy (&s_agents[i].host);
        tim3_store_close (&s_agents[i].store);
    }
    for (size_t i = 0; i < s_count; i++)
        free (s_letters[i].data);
    free (s_letters);
    s_letters = NULL;
    s_count = 0;
    s_capacity = 0;
    drop_answers ();
    free (s_arena.data);
}

void world_set_faults (const world_faults_t *faults)
{
    s_faults = *faults;
}

void world_heal (void)
{
    for (size_t i = 0; i < CAST; i++)
        if (!s_agents[i].host)
            start (i);
}

/*  ------------------------------------------------------------------------------------------- the network  */

static size_t find (const char *address)
{
    for (size_t i = 0; i < CAST; i++)
        if (strcmp (s_cast[i].address, address) == 0)
            return i;
    ck_abort_msg ("nobody is called %s", address);
}

static void put_letter (letter_t letter, const uint8_t *data, size_t size)
{
    if (s_count == s_capacity) {
        s_capacity = s_capacity ? 2 * s_capacity : 64;
        s_letters = realloc (s_letters, s_capacity * sizeof *s_letters);
        ck_assert_ptr_nonnull (s_letters);
    }
    letter.data = malloc (size);
    letter.size = size;
    memcpy (letter.data, data, size);
    letter.at_us = s_now + 1 + seeded_below (&s_random, DELAY_MOST_US);
    s_letters[s_count++] = letter;
}

static void post (letter_t letter, const uint8_t *data, size_t size)
{
    s_counts.frames++;
    if (happens (s_faults.lost)) {
        s_counts.lost++;
        return;
    }
    put_letter (letter, data, size);
    if (happens (s_faults.doubled)) {
        s_counts.doubled++;
        put_letter (letter, data, size);
    }
}

/*  A connection is named by who made it and which of its lives that was.  */
static void name_peer (size_t i, char peer[TIM3_PEER_MAX])
{
    snprintf (peer, TIM3_PEER_MAX, "%u#%llu", (unsigned) i, (unsigned long long) s_agents[i].incarnation);
}

static void send_frame (size_t from, const tim3_frame_t *frame)
{
    letter_t letter = {.answer = frame->address == NULL};
    char peer[TIM3_PEER_MAX + 1] = {0};
    unsigned to;
    unsigned long long life;
    if (frame->address) {
        letter.to = find (frame->address);
        letter.life = s_agents[letter.to].incarnation;
        name_peer (from, letter.peer);
    } else {
        memcpy (peer, frame->peer, frame->peer_size);
        ck_assert_int_eq (sscanf (peer, "%u#%llu", &to, &life), 2);
        letter.to = to;
        letter.life = life;
        /* an answer comes over the connection to the address that was asked */
        strcpy (letter.peer, s_agents[from].settings.name);
    }
    post (letter, frame->data, frame->size);
}

static void let_out (size_t i)
{
    const tim3_frame_t *frame;
    while ((frame = tim3_host_next (s_agents[i].host)))
        send_frame (i, frame);
}

/*  Ends a batch: it commits and lets out what it has, unless it dies before or right behind the commit.  */
static void finish (size_t i)
{
    agent_t *agent = &s_agents[i];
    bool full = happens (s_faults.full);
    if (happens (s_faults.crashed)) {
        crash (i);
        return;
    }
    uint64_t refused = tim3_host_counters (agent->host)->storage_full;
    if (full)
        memory_store_fail_commit (agent->store, TIM3_STORE_FULL);
    ck_assert_int_eq (tim3_host_commit (agent->host), 0);
    memory_store_fail_commit (agent->store, TIM3_STORE_OK);
    s_counts.full += tim3_host_counters (agent->host)->storage_full - refused;
    if (s_after_commit)
        s_after_commit ();
    if (happens (s_faults.crashed))
        crash (i);
    else
        let_out (i);
}

/*  --------------------------------------------------------------------------------------------- the client  */

uint64_t world_ask (const char *address, uint64_t type, const void *body)
{
    tim3_envelope_t envelope = {.type = type, .id = s_next_id++, .sender = "client"};
    tim3_buffer_t buffer = {0};
    letter_t letter = {.to = find (address)};
    letter.life = s_agents[letter.to].incarnation;
    snprintf (letter.peer, sizeof letter.peer, "%u#0", (unsigned) CAST);
    strcpy (envelope.recipient, address);
    tim3_envelope_write (&buffer, &envelope, body);
    post (letter, buffer.data, buffer.size);
    tim3_buffer_free (&buffer);
    return envelope.id;
}

static void keep_answers (const letter_t *letter)
{
    const uint8_t *at = letter->data;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    while (tim3_envelope_read (&at, letter->data + letter->size, &envelope, &fault) == 1) {
        kept_t *kept = &s_kept[s_kept_count++];
        ck_assert_uint_lt (s_kept_count, ANSWERS_MOST);
        kept->answer = (world_answer_t){.type = envelope.type, .reply_to = envelope.reply_to};
        kept->size = envelope.body_size;
        kept->data = malloc (kept->size);
        memcpy (kept->data, envelope.body, kept->size);
    }
}

const world_answer_t *world_next_answer (void)
{
    static world_answer_t answer;
    tim3_fault_t fault;
    if (s_kept_count == 0)
        return NULL;
    kept_t kept = s_kept[--s_kept_count];
    const tim3_shape_t *shape = tim3_message (kept.answer.type)->shape;
    s_arena.used = 0;
    void *body = tim3_arena_take (&s_arena, shape->size + 1u);
    ck_assert_int_eq (tim3_decode_map (kept.data, kept.size, shape, body, &s_arena, &fault), 0);
    free (kept.data);
    answer = kept.answer;
    answer.body = body;
    return &answer;
}

/*  ---------------------------------------------------------------------------------------- time goes by  */

static size_t earliest (void)
{
    size_t best = 0;
    for (size_t i = 1; i < s_count; i++)
        if (s_letters[i].at_us < s_letters[best].at_us)
            best = i;
    return best;
}

static void remove_letter (size_t at)
{
    free (s_letters[at].data);
    s_letters[at] = s_letters[--s_count];
}

/*  Hands an agent the frames that have arrived within a batch's time.  */
static void run_batch (size_t to, uint64_t until_us)
{
    agent_t *agent = &s_agents[to];
    tim3_host_begin (agent->host, s_now);
    for (size_t i = 0; i < s_count;) {
        letter_t *letter = &s_letters[i];
        if (letter->to != to || letter->at_us > until_us) {
            i++;
            continue;
        }
        tim3_origin_t origin = {letter->answer, (const uint8_t *) letter->peer, strlen (letter->peer)};
        if (letter->life == agent->incarnation)
            tim3_host_take (agent->host, &origin, letter->data, letter->size);
        remove_letter (i);
    }
    finish (to);
}

static void deliver (size_t at)
{
    letter_t *letter = &s_letters[at];
    s_now = letter->at_us > s_now ? letter->at_us : s_now;
    if (letter->to == CAST) {
        keep_answers (letter);
        remove_letter (at);
    } else if (s_agents[letter->to].host)
        run_batch (letter->to, s_now + BATCH_US);
    else
        remove_letter (at);
}

static void tick (void)
{
    s_now = s_next_tick;
    s_next_tick += TICK_US;
    for (size_t i = 0; i < CAST; i++) {
        if (!s_agents[i].host && s_now >= s_agents[i].up_us)
            start (i);
        if (!s_agents[i].host)
            continue;
        tim3_host_begin (s_agents[i].host, s_now);
        tim3_host_tick (s_agents[i].host);
        finish (i);
    }
}

void world_step (void)
{
    size_t next = s_count > 0 ? earliest () : 0;
    if (s_count > 0 && s_letters[next].at_us < s_next_tick)
        deliver (next);
    else
        tick ();
}

void world_pass (uint64_t later_us)
{
    uint64_t until = s_now + later_us;
    while (s_now < until)
        world_step ();
}

uint64_t world_now (void)
{
    return s_now;
}

seeded_t *world_random (void)
{
    return &s_random;
}

tim3_store_t *world_store (const char *address)
{
    return s_agents[find (address)].store;
}

const world_counts_t *world_counts (void)
{
    return &s_counts;
}
