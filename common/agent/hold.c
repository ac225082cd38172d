/*  hold.c - an agent's part in a backup. See hold.h for what it is good for.

    none -> asked -> held -> resumed     or broken, when nobody says Resume in time; from there, and from resumed, a new
    backup may begin once the copy is done.
*/
#include "agent/hold.h"
#include "base/canary.h"

#include <stdio.h>
#include <string.h>

bool tim3_hold_passes (uint64_t type)
{
    return type == TIM3_MSG_HOLD || type == TIM3_MSG_RESUME || type == TIM3_MSG_INFO ||
           type == TIM3_MSG_HEALTH || type == TIM3_MSG_STATS || type == TIM3_MSG_CONFIG_GET;
}

bool tim3_hold_held (const tim3_holder_t *self)
{
    return self->state == TIM3_HOLD_HELD && !TIM3_CANARY_IS (23);
}

static void end (tim3_holder_t *self, uint64_t now_us, tim3_hold_state_t state)
{
    self->state = state;
    self->held_us = now_us - self->since_us;
}

void tim3_hold_begin (tim3_holder_t *self, uint64_t now_us)
{
    if (self->state == TIM3_HOLD_HELD && now_us - self->since_us >= self->asked.for_us)
        end (self, now_us, TIM3_CANARY_IS (24) ? TIM3_HOLD_RESUMED : TIM3_HOLD_BROKEN);
}

static bool same_backup (const tim3_holder_t *self, const tim3_id_t *backup)
{
    return self->state != TIM3_HOLD_NONE && memcmp (&self->asked.backup, backup, sizeof *backup) == 0;
}

/*  The name becomes part of a path: one that can lead nowhere else.  */
static bool name_valid (const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return name[0] && name[0] != '.' && strspn (name, allowed) == strlen (name);
}

static int copy_state (tim3_env_t *env)
{
    tim3_store_copy_t copy;
    tim3_store_copy_look (tim3_env_store (env), &copy);
    return copy.state;
}

/*  TIM3_OK when a new backup may begin here.  */
static tim3_result_t check (const tim3_holder_t *self, tim3_env_t *env, const tim3_hold_t *asked,
                            const char **why)
{
    *why = "a backup needs an id, and a name of letters, digits, dots, dashes and underlines";
    if (tim3_id_is_zero (&asked->backup) || !name_valid (asked->name))
        return TIM3_INVALID_FIELD;
    *why = "the hold of this backup has ended; begin another";
    if (same_backup (self, &asked->backup))
        return TIM3_WRONG_STATE;
    *why = "another backup is being made; wait until it is done";
    if (self->state == TIM3_HOLD_ASKED || self->state == TIM3_HOLD_HELD ||
        copy_state (env) == TIM3_COPY_STATE_COPYING)
        return TIM3_WRONG_STATE;
    return TIM3_OK;
}

void tim3_hold_on_hold (tim3_holder_t *self, tim3_env_t *env, const tim3_hold_t *asked)
{
    const char *why;
    if (same_backup (self, &asked->backup) && self->state == TIM3_HOLD_HELD) {
        tim3_env_reply (env, TIM3_MSG_HELD, &self->answer);
        return;
    }
    if (same_backup (self, &asked->backup) && self->state == TIM3_HOLD_ASKED)
        return; /* twice in one batch: answered once */
    tim3_result_t code = check (self, env, asked, &why);
    if (code) {
        tim3_env_refuse (env, code, NULL, "%s", why);
        return;
    }
    self->asked = *asked;
    if (self->asked.for_us == 0)
        self->asked.for_us = TIM3_HOLD_FOR_US;
    self->to = tim3_env_return (env);
    self->state = TIM3_HOLD_ASKED;
}

static void refuse (tim3_holder_t *self, tim3_env_t *env, const char *why)
{
    tim3_error_t error;
    tim3_error_fill (&error, TIM3_WRONG_STATE, NULL);
    snprintf (error.text, sizeof error.text, "%s", why);
    error.request = TIM3_MSG_HOLD;
    tim3_env_refuse_to (env, &self->to, &error);
    self->state = TIM3_HOLD_NONE;
}

void tim3_hold_committed (tim3_holder_t *self, tim3_env_t *env, const char *folder, const char *agent,
                          uint64_t life, const tim3_standing_t *standing)
{
    char path[512];
    char why[240];
    tim3_store_t *store = tim3_env_store (env);
    if (self->state != TIM3_HOLD_ASKED)
        return;
    tim3_store_copy_end (store, true); /* the last backup's, which is done */
    snprintf (path, sizeof path, "%s/%s/store/%s", folder, self->asked.name, agent);
    if (tim3_store_copy_begin (store, path, why, sizeof why)) {
        refuse (self, env, why);
        return;
    }
    self->state = TIM3_HOLD_HELD;
    self->since_us = tim3_env_now (env);
    self->answer = (tim3_held_t){.backup = self->asked.backup,
                                 .life = life,
                                 .number = ++self->number,
                                 .store = standing->store,
                                 .lineage = standing->lineage,
                                 .commits = standing->commits,
                                 .event_seq = standing->event_seq,
                                 .acked = standing->acked};
    tim3_env_reply_to (env, &self->to, TIM3_MSG_HELD, &self->answer);
}

void tim3_hold_aborted (tim3_holder_t *self)
{
    if (self->state == TIM3_HOLD_ASKED)
        self->state = TIM3_HOLD_NONE;
}

/*  The copy that is dropped is gone, and the agent knows nothing of this backup any more.  */
static void drop (tim3_holder_t *self, tim3_env_t *env, tim3_copying_t *answer)
{
    tim3_store_copy_end (tim3_env_store (env), false);
    self->state = TIM3_HOLD_NONE;
    answer->state = TIM3_COPY_STATE_FAILED;
    strcpy (answer->text, "deleted, as was asked");
}

static bool is_hold (const tim3_holder_t *self, const tim3_resume_t *asked)
{
    return asked->life == self->answer.life && asked->number == self->answer.number;
}

void tim3_hold_on_resume (tim3_holder_t *self, tim3_env_t *env, const tim3_resume_t *asked)
{
    tim3_store_copy_t copy;
    if (!same_backup (self, &asked->backup) || self->state == TIM3_HOLD_ASKED) {
        tim3_env_refuse (
            env, TIM3_NOT_FOUND, NULL,
            "this agent is not part of that backup: it was started anew, or another backup came since");
        return;
    }
    if (self->state == TIM3_HOLD_HELD)
        end (self, tim3_env_now (env), TIM3_HOLD_RESUMED);
    tim3_store_copy_look (tim3_env_store (env), &copy);
    tim3_copying_t answer = {.backup = asked->backup,
                             .held = self->state == TIM3_HOLD_RESUMED && is_hold (self, asked),
                             .held_us = self->held_us,
                             .state = (uint8_t) copy.state,
                             .rows = copy.rows,
                             .rows_total = copy.rows_total};
    snprintf (answer.text, sizeof answer.text, "%s", copy.why);
    if (asked->drop)
        drop (self, env, &answer);
    tim3_env_reply (env, TIM3_MSG_COPYING, &answer);
}
