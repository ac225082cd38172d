/*  backup.c - whoever makes backups.

    Every agent that keeps something is told to hold; when all copies have begun, all are told to resume. If one of them
    stood still no longer by then, or dies before its copy is taken, the backup is worth nothing.
*/
#include "backup.h"
#include "audit.h"
#include "client.h"
#include "disk.h"
#include "network.h"
#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUSH_US (300 * SIM_MS)
#define GIVE_UP_US (5ull * SIM_SECOND)
#define NUMBERS 100 /* an envelope's id is the number of the backup times this, and the node */

typedef enum { IDLE, HOLDING, RESUMING } stage_t;

static struct {
    stage_t stage;
    uint32_t number;
    uint64_t begun_us;
    bool answered[SIM_PROCESSES_MAX]; /* in this stage */
    tim3_held_t held[SIM_PROCESSES_MAX];
} s_making;

static tim3_store_t *s_copies[SIM_PROCESSES_MAX]; /* of the last good one */
static bool s_good;

/*  Where two ledgers share a disk, the lock manager stands for both.  */
static bool is_keeper (unsigned node)
{
    const sim_process_t *process = &sim.processes[node];
    bool stands_behind = process->hosted_by != node && process->core->role == TIM3_ROLE_TOKEN_MANAGER;
    return (TIM3_FROM_KEEPER & 1u << process->core->role) && !stands_behind;
}

static tim3_id_t id_of (uint32_t number)
{
    tim3_id_t id = {{1}};
    memcpy (id.bytes + 1, &number, sizeof number);
    return id;
}

static void send (unsigned node, tim3_type_t type, const void *body)
{
    tim3_envelope_t envelope = {.type = type, .id = (uint64_t) s_making.number * NUMBERS + node};
    tim3_buffer_t buffer = {0};
    strcpy (envelope.sender, "client");
    strcpy (envelope.recipient, sim.processes[node].name);
    tim3_envelope_write (&buffer, &envelope, body);
    sim_trace (tim3_message (type)->name, sim.backup, node, s_making.number, NULL);
    sim_network_send (sim_frame_new (sim.backup, node, false, buffer.data, buffer.size));
    tim3_buffer_free (&buffer);
}

static void resume (unsigned node, bool drop)
{
    const tim3_held_t *held = &s_making.held[node];
    tim3_resume_t body = {
        .backup = id_of (s_making.number), .life = held->life, .number = held->number, .drop = drop};
    send (node, TIM3_MSG_RESUME, &body);
}

/*  Asks all that have not answered in this stage.  */
static void ask (bool drop)
{
    tim3_hold_t hold = {.backup = id_of (s_making.number)};
    snprintf (hold.name, sizeof hold.name, "%u", s_making.number);
    for (unsigned i = 0; i < sim.process_count; i++) {
        if (!is_keeper (i) || s_making.answered[i])
            continue;
        if (s_making.stage == HOLDING && !drop)
            send (i, TIM3_MSG_HOLD, &hold);
        else
            resume (i, drop);
    }
}

static void enter (stage_t stage)
{
    s_making.stage = stage;
    memset (s_making.answered, 0, sizeof s_making.answered);
}

void sim_backup_begin (void)
{
    if (s_making.stage != IDLE)
        return;
    s_making.number++;
    s_making.begun_us = sim.now_us;
    sim.counters.backups_begun++;
    sim_client_mark ();
    enter (HOLDING);
    ask (false);
    sim_after (PUSH_US, SIM_EVENT_BACKUP, 0, s_making.number);
}

static void give_up (const char *why)
{
    sim_trace (why, sim.backup, sim.backup, s_making.number, NULL);
    sim.counters.backups_broken++;
    memset (s_making.answered, 0, sizeof s_making.answered);
    ask (true);
    enter (IDLE);
}

void sim_backup_push (uint32_t number)
{
    if (number != s_making.number || s_making.stage == IDLE)
        return;
    if (sim.now_us - s_making.begun_us >= GIVE_UP_US) {
        give_up ("gives the backup up");
        return;
    }
    ask (false);
    sim_after (PUSH_US, SIM_EVENT_BACKUP, 0, number);
}

/*  Takes the copies out of the processes. One that has died since has none.  */
static void finish (void)
{
    tim3_store_t *copies[SIM_PROCESSES_MAX] = {0};
    bool whole = true;
    char path[32];
    snprintf (path, sizeof path, "backup/%u/", s_making.number);
    for (unsigned i = 0; i < sim.process_count; i++) {
        copies[i] = is_keeper (i) ? sim_disk_take_copy (sim.processes[i].disk, path) : NULL;
        whole = whole && (copies[i] || !is_keeper (i));
    }
    for (unsigned i = 0; i < sim.process_count; i++) {
        tim3_store_close (whole ? &s_copies[i] : &copies[i]);
        if (whole)
            s_copies[i] = copies[i];
    }
    if (!whole) {
        give_up ("finds a copy missing");
        return;
    }
    s_good = true;
    sim.counters.backups_good++;
    sim_client_keep_marks ();
    sim_trace ("has a good backup", sim.backup, sim.backup, s_making.number, NULL);
    enter (IDLE);
}

static bool all_answered (void)
{
    for (unsigned i = 0; i < sim.process_count; i++)
        if (is_keeper (i) && !s_making.answered[i])
            return false;
    return true;
}

static void take_held (unsigned node, const tim3_held_t *held)
{
    if (s_making.stage != HOLDING || s_making.answered[node])
        return;
    s_making.answered[node] = true;
    s_making.held[node] = *held;
    if (!all_answered ())
        return;
    enter (RESUMING);
    ask (false);
}

static void take_copying (unsigned node, const tim3_copying_t *copying)
{
    if (s_making.stage != RESUMING)
        return;
    if (!copying->held) {
        give_up ("hears that one went on");
        return;
    }
    s_making.answered[node] = true;
    if (all_answered ())
        finish ();
}

static void take_one (unsigned from, const tim3_envelope_t *envelope)
{
    union {
        tim3_error_t error;
        tim3_held_t held;
        tim3_copying_t copying;
    } body;
    tim3_arena_t none = {0};
    tim3_fault_t fault;
    uint64_t node = envelope->reply_to - (uint64_t) s_making.number * NUMBERS;
    if (s_making.stage == IDLE || node >= sim.process_count || sim.processes[node].hosted_by != from)
        return;
    SIM_CHECK (tim3_decode_map (envelope->body, envelope->body_size, tim3_message (envelope->type)->shape,
                                &body, &none, &fault) == 0,
               "answers can be read", "backup %u", s_making.number);
    if (envelope->type == TIM3_MSG_HELD)
        take_held ((unsigned) node, &body.held);
    else if (envelope->type == TIM3_MSG_COPYING)
        take_copying ((unsigned) node, &body.copying);
    else if (tim3_result_advice ((unsigned) body.error.code) != TIM3_ADVICE_RETRY_SAME_ID)
        give_up ("is refused");
}

void sim_backup_take (const sim_frame_t *frame)
{
    const uint8_t *at = frame->data;
    tim3_envelope_t envelope;
    tim3_fault_t fault;
    while (tim3_envelope_read (&at, frame->data + frame->size, &envelope, &fault) == 1)
        take_one (frame->from, &envelope);
}

/*  ------------------------------------------------------------------------------------------- restoring  */

/*  As restoring does with the router's: agents are somewhere else now.  */
static void forget_registry (tim3_store_t *store)
{
    tim3_key_t key = tim3_key_empty ();
    tim3_agent_t agent;
    while (tim3_store_seek (store, TIM3_TABLE_REGISTRY, TIM3_SEEK_GE, &key, &agent))
        tim3_store_delete (store, TIM3_TABLE_REGISTRY, &key);
    tim3_store_commit (store);
    sim_disk_settle (store);
}

static void replace (unsigned node)
{
    const sim_process_t *process = &sim.processes[node];
    unsigned keeper = process->hosted_count > 0 ? process->hosted[0] : node;
    if (process->hosted_by == node)
        sim_process_replace (node, is_keeper (keeper) ? s_copies[keeper] : sim_disk_new ());
}

bool sim_backup_restore (void)
{
    if (!s_good)
        return false;
    sim.restored = true;
    for (unsigned i = 0; i < sim.process_count; i++)
        replace (i);
    forget_registry (sim.processes[SIM_ROUTER].store);
    sim_audit_restored ();
    sim_trace ("all go on from the backup", sim.backup, sim.backup, s_making.number, NULL);
    for (unsigned i = 0; i < sim.process_count; i++)
        sim_process_start (i);
    return true;
}
