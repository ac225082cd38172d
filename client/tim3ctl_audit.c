/*  tim3ctl_audit.c - audit: asks every ledger, waits for one consistent picture, and checks that

        vault == locked * scale    locked == supply    supply == sum of balances == sum of positions
        each balance == the position of its account

    for each asset, and for the collateral token that all holdings and all vaults make up what was
    issued.

    The ledgers are asked one after the other while they may be at work. Figures are taken before and
    after the lists are summed up; when both are equal, nothing changed between, so all of it was true
    at one instant. It counts as settled when no transaction is on its way and the state manager has
    applied the last events.

    An asset is NOT BACKED when, at such an instant, the vault held less than was locked, or less was locked than there
    were tokens: work on its way cannot explain that. What it can explain, for a while, is a vault that holds less than what is
    locked and what is being released: one move that is done, and not confirmed yet, is counted on one side alone. The ledgers ask again
    until it is, so what lasts longer is a shortage, too. So is all evidence that did not fit a ledger (its conflicts): only ledgers
    with different pasts come to that.

    An asset whose figures cannot be had, because an agent does not answer, is neither right nor wrong: it was not
    checked. So is one whose figures change as long as they are looked at. And one of which the collateral token has a
    vault, while no ledger of it is registered: it must not be passed over because nobody speaks for it.

    Exit codes: 0 all agrees; 1 something does not; 2 wrong usage; 3 something could not be checked, and all else
    agrees.  */
#include "tim3ctl_audit.h"
#include "tim3ctl_commands.h"
#include "tim3ctl_print.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMEOUT_S 30
#define ASSETS_MAX 64
#define LOOKS_ALIKE 3
#define ANSWER_US 1000000 /* ample for what a ledger asks another */

static bool say (char *why, size_t size, const char *format, ...) __attribute__ ((format (printf, 3, 4)));

static bool say (char *why, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (why, size, format, arguments);
    va_end (arguments);
    return false;
}

/*  ------------------------------------------------------------------------------------------- figures  */

/*  Who did not answer, or refused.  */
static bool say_failure (const audit_t *self, char *why, size_t size)
{
    const tim3_error_t *error = &self->ctl->failure;
    return say (why, size, "%s: %s: %s", self->ctl->failed, error->name, error->text);
}

/*  Asks all shards of one ledger, and adds up. False with why filled.  */
static bool take (audit_t *self, asset_audit_t *audit, tim3_role_t role, tim3_type_t type, void *out)
{
    char route[TIM3_ADDRESS_MAX + 1];
    tim3_error_t error;
    return tim3ctl_sum_shards (self->ctl, role, audit->asset, type, out, NULL, &error, route) ||
           say (audit->why, sizeof audit->why, "%s: %s: %s", route, error.name, error.text);
}

/*  A shard may have released what another has locked; together none is overdrawn.  */
static bool take_locks (audit_t *self, asset_audit_t *audit, tim3_lock_totals_t *locks)
{
    if (!take (self, audit, TIM3_ROLE_LOCK_MANAGER, TIM3_MSG_GET_LOCK_TOTALS, locks))
        return false;
    locks->locked -= locks->overdrawn;
    return true;
}

static bool take_metrics (audit_t *self, asset_audit_t *audit, tim3_asset_metrics_t *out)
{
    tim3_get_metrics_t body = {0};
    tim3_error_t error;
    strcpy (body.asset, audit->asset);
    const tim3_metrics_t *reply =
        tim3ctl_try (self->ctl, "state_manager.-", "", TIM3_MSG_GET_METRICS, &body, &error);
    if (!reply)
        return say (audit->why, sizeof audit->why, "state_manager.-: %s: %s", error.name, error.text);
    const tim3_asset_metrics_t *item = reply->items.items;
    for (uint32_t i = 0; i < reply->items.count; i++, item++)
        if (strcmp (item->asset, audit->asset) == 0)
            *out = *item;
    return true;
}

static bool take_vault (audit_t *self, asset_audit_t *audit, tim3_vault_t *out)
{
    tim3_error_t error;
    const char *route = tim3ctl_collateral_route (self->ctl);
    const tim3_vaults_t *reply = tim3ctl_try (self->ctl, route, "", TIM3_MSG_LIST_VAULTS, NULL, &error);
    if (!reply)
        return say (audit->why, sizeof audit->why, "%s: %s: %s", route, error.name, error.text);
    const tim3_vault_t *item = reply->items.items;
    for (uint32_t i = 0; i < reply->items.count; i++, item++)
        if (strcmp (item->vault, audit->asset) == 0)
            *out = *item;
    return true;
}

static bool take_figures (audit_t *self, asset_audit_t *audit, figures_t *figures)
{
    memset (figures, 0, sizeof *figures);
    return take_locks (self, audit, &figures->locks) &&
           take (self, audit, TIM3_ROLE_TOKEN_MANAGER, TIM3_MSG_GET_SUPPLY, &figures->ledger) &&
           take_metrics (self, audit, &figures->metrics) && take_vault (self, audit, &figures->vault);
}

static bool figures_equal (const figures_t *a, const figures_t *b)
{
    return a->locks.event_seq == b->locks.event_seq && a->locks.locked == b->locks.locked &&
           a->locks.unsettled == b->locks.unsettled && a->locks.releasing == b->locks.releasing &&
           a->ledger.event_seq == b->ledger.event_seq && a->ledger.supply == b->ledger.supply &&
           a->ledger.unsettled == b->ledger.unsettled && a->ledger.releasing == b->ledger.releasing &&
           a->metrics.token_seq == b->metrics.token_seq && a->metrics.lock_seq == b->metrics.lock_seq &&
           a->metrics.balances == b->metrics.balances && a->vault.total == b->vault.total &&
           a->vault.locks == b->vault.locks && a->vault.unlocks == b->vault.unlocks;
}

/*  What a ledger's health says of evidence that did not fit it, else an empty text. False with why filled.  */
static bool take_conflicts (audit_t *self, const char *route, char conflicts[CONFLICTS_MAX],
                            char why[WHY_MAX])
{
    tim3_error_t error;
    const tim3_health_reply_t *health = tim3ctl_try (self->ctl, route, "", TIM3_MSG_HEALTH, NULL, &error);
    if (!health)
        return say (why, WHY_MAX, "%s: %s: %s", route, error.name, error.text);
    const tim3_reason_t *reason = health->reasons.items;
    conflicts[0] = '\0';
    for (uint32_t i = 0; i < health->reasons.count; i++, reason++)
        if (strcmp (reason->name, "conflicts") == 0)
            snprintf (conflicts, CONFLICTS_MAX, "%s tells conflicts: %s", route, reason->text);
    return true;
}

/*  The first that a shard of the lock manager tells.  */
static bool take_lock_conflicts (audit_t *self, asset_audit_t *audit)
{
    char route[TIM3_ADDRESS_MAX + 1];
    audit->conflicts[0] = '\0';
    for (unsigned shard = 0; shard < audit->shards && !audit->conflicts[0]; shard++) {
        tim3_address_format (TIM3_ROLE_LOCK_MANAGER, audit->asset, (int) shard, route);
        if (!take_conflicts (self, route, audit->conflicts, audit->why))
            return false;
    }
    return true;
}

/*  How long an asset's ledgers leave it at having asked once.  */
static bool take_patience (audit_t *self, asset_audit_t *audit, uint64_t *patience_us)
{
    char route[TIM3_ADDRESS_MAX + 1];
    tim3_error_t error;
    tim3_address_format (TIM3_ROLE_LOCK_MANAGER, audit->asset, 0, route);
    const tim3_config_reply_t *reply = tim3ctl_try (self->ctl, route, "", TIM3_MSG_CONFIG_GET, NULL, &error);
    if (!reply)
        return say (audit->why, sizeof audit->why, "%s: %s: %s", route, error.name, error.text);
    const tim3_setting_t *setting = reply->settings.items;
    *patience_us = ANSWER_US;
    for (uint32_t i = 0; i < reply->settings.count; i++, setting++)
        if (strcmp (setting->key, "agents/sweep_after_ms") == 0 ||
            strcmp (setting->key, "agents/sweep_most_ms") == 0)
            *patience_us += 1000 * strtoull (setting->value, NULL, 10);
    return true;
}

/*  --------------------------------------------------------------------------------------------- sums  */

typedef struct {
    const char *member;
    tim3_amount_t sum;
    uint64_t count;
    bool overflow;
    bool of_accounts;
    uint64_t digest; /* of who has how much, in whatever order; of accounts that have something */
} sum_t;

static uint64_t digest_of (const char *account, tim3_amount_t amount)
{
    return tim3_hash64 (account, strlen (account), tim3_hash64 (&amount, sizeof amount, 0));
}

static bool add_item (void *arg, const tim3_shape_t *shape, const void *item)
{
    sum_t *sum = arg;
    tim3_amount_t amount;
    memcpy (&amount, (const uint8_t *) item + tim3ctl_field (shape, sum->member)->offset, sizeof amount);
    sum->count++;
    if (sum->of_accounts && amount > 0)
        sum->digest += digest_of ((const char *) item + tim3ctl_field (shape, "account")->offset, amount);
    sum->overflow |= !tim3_amount_add (sum->sum, amount, &sum->sum);
    return true;
}

static bool sum_up (audit_t *self, const char *route, tim3_type_t type, const void *body, sum_t *sum,
                    char *why, size_t size)
{
    return tim3ctl_walk (self->ctl, route, "", type, body, 0, add_item, sum) == TIM3CTL_DONE ||
           say_failure (self, why, size);
}

static bool take_sums (audit_t *self, asset_audit_t *audit)
{
    char route[TIM3_ADDRESS_MAX + 1];
    tim3_list_page_t page = {0};
    tim3_list_positions_t list = {0};
    sum_t balances = {.member = "balance", .of_accounts = true};
    sum_t positions = {.member = "balance", .of_accounts = true};
    tim3_address_format (TIM3_ROLE_TOKEN_MANAGER, audit->asset, -1, route);
    strcpy (list.asset, audit->asset);
    if (!sum_up (self, route, TIM3_MSG_LIST_BALANCES, &page, &balances, audit->why, sizeof audit->why) ||
        !sum_up (self, "state_manager.-", TIM3_MSG_LIST_POSITIONS, &list, &positions, audit->why,
                 sizeof audit->why))
        return false;
    audit->balances = balances.sum;
    audit->accounts = balances.count;
    audit->positions = positions.sum;
    audit->position_count = positions.count;
    audit->one_by_one = balances.digest == positions.digest;
    audit->overflow = balances.overflow || positions.overflow;
    return true;
}

/*  ------------------------------------------------------------------------------------------- judging  */

static tim3_amount_t in_collateral (const asset_audit_t *audit, tim3_amount_t amount)
{
    tim3_amount_t product;
    return tim3_amount_mul (amount, audit->figures.locks.scale, &product) ? product : TIM3_AMOUNT_MAX;
}

static bool say_not_backed (asset_audit_t *audit, const char *what)
{
    return say (audit->why, sizeof audit->why,
                "NOT BACKED: %s. Pause it (tim3ctl pause --asset %s), and do what OPERATIONS.md says under "
                "\"The audit disagrees\"",
                what, audit->asset);
}

/*  Work that is on its way makes figures differ rightly.  */
static bool settled (asset_audit_t *audit)
{
    const figures_t *figures = &audit->figures;
    if (figures->locks.unsettled || figures->ledger.unsettled)
        return say (audit->why, sizeof audit->why,
                    "still on their way: %llu locks and releases, %llu burns and transfers between shards; if some stay, "
                    "tim3ctl health tells why",
                    (unsigned long long) figures->locks.unsettled,
                    (unsigned long long) figures->ledger.unsettled);
    if (figures->metrics.token_seq != figures->ledger.event_seq ||
        figures->metrics.lock_seq != figures->locks.event_seq)
        return say (
            audit->why, sizeof audit->why,
            "the state manager has applied event %llu of %llu of the token manager, %llu of %llu of the lock "
            "manager",
            (unsigned long long) figures->metrics.token_seq, (unsigned long long) figures->ledger.event_seq,
            (unsigned long long) figures->metrics.lock_seq, (unsigned long long) figures->locks.event_seq);
    return true;
}

/*  What can be said of figures that were taken one after the other while the ledgers were at work: what was minted before the locks were
    looked at, and was not burned when all had been looked at, was there in between, and had to be locked.  */
static bool was_short (const asset_audit_t *audit, const figures_t *after)
{
    const tim3_ledger_t *before = &audit->figures.ledger;
    tim3_amount_t least = before->minted;
    tim3_amount_t ever; /* as the supply tells it; those of several shards are not of one moment */
    if (audit->shards == 1 && tim3_amount_add (before->supply, before->burned, &ever) && ever > least)
        least = ever;
    return least > after->ledger.burned && after->locks.locked < least - after->ledger.burned;
}

/*  What holds at every instant, settled or not.  */
static bool backed (asset_audit_t *audit)
{
    if (audit->figures.locks.locked < audit->figures.ledger.supply)
        return say_not_backed (audit, "less is locked than there are tokens");
    if (audit->figures.vault.total < in_collateral (audit, audit->figures.locks.locked))
        return say_not_backed (audit, "the vault holds less than is locked");
    return true;
}

/*  What holds too as soon as all that is done is confirmed. NULL when it does.  */
static const char *shortage (const asset_audit_t *audit)
{
    const figures_t *figures = &audit->figures;
    tim3_amount_t held;
    tim3_amount_t owed;
    if (!tim3_amount_add (figures->locks.locked, figures->locks.releasing, &held))
        held = TIM3_AMOUNT_MAX;
    if (!tim3_amount_add (figures->ledger.supply, figures->ledger.releasing, &owed))
        owed = TIM3_AMOUNT_MAX;
    if (figures->vault.total < in_collateral (audit, held))
        return "the vault holds less than what is locked and what is being released";
    if (held < owed)
        return "less is locked and being released than there are tokens and burns whose release is not "
               "confirmed";
    return NULL;
}

/*  Whether no confirmation can be missing any more: nothing waits for one, or all that does was asked for again. With a
    conflict told, that has been done.  */
static bool is_proven (asset_audit_t *audit, bool conflicts, uint64_t patience_us)
{
    const figures_t *figures = &audit->figures;
    uint64_t now = tim3ctl_now_us ();
    if (audit->short_looks == 0 || !figures_equal (figures, &audit->short_of)) {
        audit->short_of = *figures;
        audit->short_looks = 0;
        audit->short_since_us = now;
    }
    audit->short_looks++;
    if (figures->locks.unsettled == 0 && figures->ledger.unsettled == 0)
        return true;
    return audit->short_looks >= LOOKS_ALIKE && (conflicts || now - audit->short_since_us > patience_us);
}

/*  False with why filled when a shortage is proven, or whether it is cannot be told.  */
static bool covered (audit_t *self, asset_audit_t *audit)
{
    char conflicts[CONFLICTS_MAX];
    const char *collateral = tim3ctl_collateral_route (self->ctl);
    const char *what = shortage (audit);
    uint64_t patience_us = 0;
    if (!what) {
        audit->short_looks = 0;
        return true;
    }
    audit->checked =
        take_conflicts (self, collateral, conflicts, audit->why) && take_patience (self, audit, &patience_us);
    return audit->checked && (!is_proven (audit, conflicts[0], patience_us) || say_not_backed (audit, what));
}

static bool adds_up (asset_audit_t *audit)
{
    const figures_t *figures = &audit->figures;
    if (audit->overflow)
        return say (audit->why, sizeof audit->why,
                    "the balances, or the positions, add up to more than 2^128 - 1");
    if (figures->vault.total != in_collateral (audit, figures->locks.locked))
        return say (audit->why, sizeof audit->why, "vault and locked differ");
    if (figures->locks.locked != figures->ledger.supply)
        return say (audit->why, sizeof audit->why, "locked and supply differ");
    if (audit->balances != figures->ledger.supply)
        return say (audit->why, sizeof audit->why, "supply and the sum of balances differ");
    if (audit->positions != figures->ledger.supply || figures->metrics.balances != figures->ledger.supply)
        return say (audit->why, sizeof audit->why, "supply and the sum of positions differ");
    if (!audit->one_by_one)
        return say (audit->why, sizeof audit->why,
                    "balances and positions add up to the same, but not those of each account");
    return true;
}

static bool take_shape (audit_t *self, asset_audit_t *audit)
{
    char route[TIM3_ADDRESS_MAX + 1];
    tim3_address_format (TIM3_ROLE_TOKEN_MANAGER, audit->asset, -1, route);
    if (!tim3ctl_decimals (self->ctl, route, &audit->decimals) ||
        !tim3ctl_decimals (self->ctl, tim3ctl_collateral_route (self->ctl), &self->collateral_decimals))
        return say_failure (self, audit->why, sizeof audit->why);
    audit->shards = tim3ctl_shards (self->ctl, audit->asset);
    return true;
}

static bool take_all (audit_t *self, asset_audit_t *audit, figures_t *after)
{
    return take_shape (self, audit) && take_figures (self, audit, &audit->figures) &&
           take_sums (self, audit) && take_lock_conflicts (self, audit) && take_figures (self, audit, after);
}

/*  One look at an asset. True when it was consistent; agrees then says what it showed.  */
static bool look_at_asset (audit_t *self, asset_audit_t *audit)
{
    figures_t after;
    audit->checked = take_all (self, audit, &after);
    bool still = audit->checked && figures_equal (&audit->figures, &after);
    if (!still)
        audit->short_looks = 0;
    if (!audit->checked)
        return false;
    if (audit->conflicts[0])
        return !say_not_backed (audit, audit->conflicts);
    if (was_short (audit, &after))
        return !say_not_backed (audit, "less is locked than there are tokens");
    audit->checked = still;
    if (!still)
        return say (audit->why, sizeof audit->why,
                    "the ledgers are at work: figures change while they are read");
    if (!backed (audit) || !covered (self, audit))
        return audit->checked;
    if (!settled (audit))
        return false;
    audit->agrees = adds_up (audit);
    return true;
}

static bool look_at_collateral (audit_t *self, collateral_audit_t *audit)
{
    const char *route = tim3ctl_collateral_route (self->ctl);
    tim3_list_page_t page = {0};
    tim3_error_t error;
    sum_t holdings = {.member = "available"};
    sum_t vaults = {.member = "total"};
    char conflicts[CONFLICTS_MAX];
    audit->checked = false;
    if (!tim3ctl_decimals (self->ctl, route, &self->collateral_decimals))
        return say_failure (self, audit->why, sizeof audit->why);
    if (!take_conflicts (self, route, conflicts, audit->why))
        return false;
    const tim3_collateral_totals_t *totals =
        tim3ctl_try (self->ctl, route, "", TIM3_MSG_GET_COLLATERAL_TOTALS, NULL, &error);
    if (!totals)
        return say (audit->why, sizeof audit->why, "%s: %s: %s", route, error.name, error.text);
    audit->totals = *totals;
    if (!sum_up (self, route, TIM3_MSG_LIST_HOLDINGS, &page, &holdings, audit->why, sizeof audit->why))
        return false;
    const tim3_vaults_t *list = tim3ctl_try (self->ctl, route, "", TIM3_MSG_LIST_VAULTS, NULL, &error);
    for (uint32_t i = 0; list && i < list->items.count; i++)
        add_item (&vaults, &tim3_shape_vault, (const tim3_vault_t *) list->items.items + i);
    if (list)
        totals = tim3ctl_try (self->ctl, route, "", TIM3_MSG_GET_COLLATERAL_TOTALS, NULL, &error);
    if (!list || !totals)
        return say (audit->why, sizeof audit->why, "%s: %s: %s", route, error.name, error.text);
    audit->holdings = holdings.sum;
    audit->accounts = holdings.count;
    audit->vaults = vaults.sum;
    audit->checked = conflicts[0] || totals->operations == audit->totals.operations;
    if (conflicts[0])
        return !say (audit->why, sizeof audit->why,
                     "NOT BACKED: %s. Pause its assets (tim3ctl pause --asset ASSET), and do what "
                     "OPERATIONS.md says under "
                     "\"The audit disagrees\"",
                     conflicts);
    if (!audit->checked)
        return say (audit->why, sizeof audit->why,
                    "the collateral token is at work: figures change while they are read");
    audit->agrees =
        holdings.sum + vaults.sum == audit->totals.issued && !holdings.overflow && !vaults.overflow;
    if (!audit->agrees)
        say (audit->why, sizeof audit->why, "holdings and vaults do not make up what was issued");
    return true;
}

/*  True while there is time to look again.  */
static bool again (const audit_t *self)
{
    static const struct timespec nap = {0, 200000000};
    if (tim3ctl_interrupted () || tim3ctl_now_us () >= self->until_us)
        return false;
    nanosleep (&nap, NULL);
    return true;
}

/*  ------------------------------------------------------------------------------------------- running  */

static bool known (const asset_audit_t *audits, unsigned count, const char *asset)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp (audits[i].asset, asset) == 0)
            return true;
    return false;
}

static bool add_asset (asset_audit_t *audits, unsigned *count, const char *asset)
{
    if (!tim3_asset_valid (asset)) {
        tim3ctl_misused ("'%s' is no name of an asset", asset);
        return false;
    }
    if (*count < ASSETS_MAX && !known (audits, *count, asset))
        strcpy (audits[(*count)++].asset, asset);
    return true;
}

static bool registered_assets (tim3ctl_t *ctl, asset_audit_t *audits, unsigned *count)
{
    unsigned agent_count;
    tim3_agent_t *agents = tim3ctl_registry (ctl, &agent_count);
    if (!agents)
        return false;
    for (unsigned i = 0; i < agent_count; i++)
        if (tim3_role_is_asset_ledger (agents[i].role))
            add_asset (audits, count, agents[i].asset);
    free (agents);
    return true;
}

/*  Where the collateral token does not answer, that is told of it in its own place.  */
static void assets_of_vaults (tim3ctl_t *ctl, asset_audit_t *audits, unsigned *count)
{
    tim3_error_t error;
    const tim3_vaults_t *reply =
        tim3ctl_try (ctl, tim3ctl_collateral_route (ctl), "", TIM3_MSG_LIST_VAULTS, NULL, &error);
    const tim3_vault_t *item = reply ? reply->items.items : NULL;
    for (uint32_t i = 0; reply && i < reply->items.count; i++, item++)
        if (item->total > 0)
            add_asset (audits, count, item->vault);
}

static bool choose_assets (tim3ctl_t *ctl, asset_audit_t *audits, unsigned *count)
{
    unsigned given = ctl->line.counts[TIM3CTL_OPTION_ASSET];
    ctl->exit = TIM3CTL_USAGE;
    for (unsigned i = 0; i < given; i++)
        if (!add_asset (audits, count, ctl->line.values[TIM3CTL_OPTION_ASSET][i]))
            return false;
    if (given > 0)
        return true;
    if (!registered_assets (ctl, audits, count))
        return false;
    assets_of_vaults (ctl, audits, count);
    if (*count == 0)
        ctl->exit =
            tim3ctl_failed (TIM3CTL_NO_ANSWER, "no_route",
                            "no ledger is registered; give --asset, or check the supervisor's status");
    return *count > 0;
}

static void judge (outcome_t *outcome, bool checked, bool agrees)
{
    outcome->checked = outcome->checked && checked;
    outcome->wrong = outcome->wrong || (checked && !agrees);
}

/*  The exit code.  */
static int audit_all (audit_t *self, asset_audit_t *audits, unsigned count)
{
    collateral_audit_t collateral = {0};
    outcome_t outcome = {.checked = true};
    self->ctl->silent = true; /* who does not answer is told with what it is needed for */
    for (unsigned i = 0; i < count; i++) {
        while (!look_at_asset (self, &audits[i]) && again (self))
            ;
        judge (&outcome, audits[i].checked, audits[i].agrees);
        if (!self->ctl->json)
            tim3ctl_audit_print_asset (self, &audits[i]);
    }
    while (!look_at_collateral (self, &collateral) && again (self))
        ;
    judge (&outcome, collateral.checked, collateral.agrees);
    if (self->ctl->json)
        tim3ctl_audit_print_json (self, audits, count, &collateral, &outcome);
    else
        tim3ctl_audit_print_collateral (self, &collateral);
    return outcome.wrong ? TIM3CTL_REFUSED : outcome.checked ? TIM3CTL_DONE : TIM3CTL_NO_ANSWER;
}

int tim3ctl_audit (tim3ctl_t *ctl)
{
    audit_t self = {.ctl = ctl};
    unsigned count = 0;
    self.until_us = tim3ctl_now_us () + tim3ctl_timeout_ms (ctl, TIMEOUT_S) * 1000;
    asset_audit_t *audits = calloc (ASSETS_MAX, sizeof *audits);
    bool ready = audits && tim3ctl_collateral_route (ctl) && choose_assets (ctl, audits, &count);
    int code = ready ? audit_all (&self, audits, count) : ctl->exit;
    free (audits);
    return ready || code != TIM3CTL_REFUSED ? code : TIM3CTL_NO_ANSWER; /* nothing was found to be wrong */
}
