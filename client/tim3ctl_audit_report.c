/*  tim3ctl_audit_report.c - how audit tells what it has found: lines for people, or one JSON object for programs.  */
#include "tim3ctl_audit.h"
#include "tim3ctl_print.h"

#include <time.h>

static void print_amount (const char *name, tim3_amount_t amount, unsigned decimals, const char *more)
{
    char text[TIM3_AMOUNT_TEXT_MAX];
    printf ("  %-12s %28s  %s\n", name, tim3_amount_format (amount, decimals, text), more);
}

static void print_figures (const audit_t *self, const asset_audit_t *audit)
{
    char more[64];
    const figures_t *figures = &audit->figures;
    tim3_amount_t scale = figures->locks.scale;
    print_amount ("vault", figures->vault.total, self->collateral_decimals, self->ctl->collateral);
    print_amount ("  converted", scale ? figures->vault.total / scale : 0, audit->decimals, audit->asset);
    print_amount ("locked", figures->locks.locked, audit->decimals, audit->asset);
    print_amount ("supply", figures->ledger.supply, audit->decimals, audit->asset);
    print_amount ("in flight", figures->locks.in_flight, audit->decimals, "locked, not yet settled");
    if (audit->shards > 1)
        print_amount ("  crossing", figures->ledger.crossing, audit->decimals,
                      "sent to other shards, arrival not confirmed");
    snprintf (more, sizeof more, "in %llu accounts", (unsigned long long) audit->accounts);
    print_amount ("balances", audit->balances, audit->decimals, more);
    snprintf (more, sizeof more, "in %llu positions", (unsigned long long) audit->position_count);
    print_amount ("positions", audit->positions, audit->decimals, more);
}

static const char *verdict (bool checked, bool agrees, const char *good)
{
    return !checked ? "COULD NOT BE CHECKED: " : agrees ? good : "DOES NOT AGREE: ";
}

void tim3ctl_audit_print_asset (const audit_t *self, const asset_audit_t *audit)
{
    printf ("%s\n", audit->asset);
    if (audit->checked)
        print_figures (self, audit);
    printf ("  %s%s\n\n", verdict (audit->checked, audit->agrees, "agrees: every token is backed"),
            audit->agrees ? "" : audit->why);
}

void tim3ctl_audit_print_collateral (const audit_t *self, const collateral_audit_t *audit)
{
    char more[64];
    printf ("%s\n", self->ctl->collateral);
    snprintf (more, sizeof more, "in %llu accounts", (unsigned long long) audit->accounts);
    if (audit->checked) {
        print_amount ("holdings", audit->holdings, self->collateral_decimals, more);
        print_amount ("vaults", audit->vaults, self->collateral_decimals, "");
        print_amount ("issued", audit->totals.issued, self->collateral_decimals, "");
    }
    printf ("  %s%s\n",
            verdict (audit->checked, audit->agrees, "agrees: holdings and vaults are what was issued"),
            audit->agrees ? "" : audit->why);
}

/*  Without figures, for there are none.  */
static json_t *unchecked_json (const char *kind, const char *name, const char *why)
{
    return json_pack ("{s:s, s:b, s:b, s:s}", kind, name, "checked", false, "agrees", false, "why", why);
}

static json_t *asset_json (const asset_audit_t *audit)
{
    const figures_t *figures = &audit->figures;
    if (!audit->checked)
        return unchecked_json ("asset", audit->asset, audit->why);
    return json_pack (
        "{s:s, s:b, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:I, s:o, s:I, s:I}", "asset", audit->asset,
        "checked", true, "agrees", audit->agrees, "why", audit->agrees ? "" : audit->why, "vault",
        tim3ctl_json_amount (figures->vault.total), "scale", tim3ctl_json_amount (figures->locks.scale),
        "locked", tim3ctl_json_amount (figures->locks.locked), "supply",
        tim3ctl_json_amount (figures->ledger.supply), "in_flight",
        tim3ctl_json_amount (figures->locks.in_flight), "crossing",
        tim3ctl_json_amount (figures->ledger.crossing), "balances", tim3ctl_json_amount (audit->balances),
        "accounts", (json_int_t) audit->accounts, "positions", tim3ctl_json_amount (audit->positions),
        "position_count", (json_int_t) audit->position_count, "metrics_balances",
        tim3ctl_json_amount (figures->metrics.balances), "token_seq", (json_int_t) figures->ledger.event_seq,
        "lock_seq", (json_int_t) figures->locks.event_seq);
}

static json_t *collateral_json (const audit_t *self, const collateral_audit_t *audit)
{
    if (!audit->checked)
        return unchecked_json ("collateral", self->ctl->collateral, audit->why);
    return json_pack ("{s:s, s:b, s:b, s:s, s:o, s:o, s:o, s:I}", "collateral", self->ctl->collateral,
                      "checked", true, "agrees", audit->agrees, "why", audit->agrees ? "" : audit->why,
                      "holdings", tim3ctl_json_amount (audit->holdings), "vaults",
                      tim3ctl_json_amount (audit->vaults), "issued",
                      tim3ctl_json_amount (audit->totals.issued), "accounts", (json_int_t) audit->accounts);
}

void tim3ctl_audit_print_json (const audit_t *self, const asset_audit_t *audits, unsigned count,
                               const collateral_audit_t *collateral, const outcome_t *outcome)
{
    json_t *array = json_array ();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new (array, asset_json (&audits[i]));
    tim3ctl_json_print (json_pack ("{s:b, s:b, s:s, s:I, s:o, s:o}", "checked", outcome->checked, "agrees",
                                   outcome->checked && !outcome->wrong, "endpoint", self->ctl->connected,
                                   "time_us", (json_int_t) time (NULL) * 1000000, "assets", array,
                                   "collateral", collateral_json (self, collateral)));
}
