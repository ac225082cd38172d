/*  tim3ctl_fsck.c - fsck DATA: checks the stores of stopped agents, or copies of them, against each other.

    Every table is derived anew from others and compared: records from keys, indexes and totals from records,
    each ledger from its peers and from its events, positions from the log. Nothing is written.

    Exit codes: 0 all good; 1 problems were found; 2 wrong usage; 3 a store could not be opened, or
    interrupted.

    Memory: about 100 bytes for each record of a ledger and for each account, in maps that remember what has
    been seen; stores themselves are read row by row.
*/
#include "tim3ctl_commands.h"
#include "tim3ctl_fsck.h"
#include "tim3ctl_print.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOUND 1
#define NOT_OPENED 3
#define STORES_MOST 4096

/*  --------------------------------------------------------------------------------------------- opening  */

/*  A store of a merged critical path is looked at as that of each of its ledgers.  */
static void part_store (tim3_fsck_t *self, tim3_fsck_store_t *store)
{
    static const tim3_role_t roles[] = {TIM3_ROLE_LOCK_MANAGER, TIM3_ROLE_TOKEN_MANAGER};
    const tim3_fsck_store_t whole = *store;
    self->store_count--;
    for (unsigned i = 0; i < 2; i++) {
        store = &self->stores[self->store_count++];
        *store = whole;
        store->shared = whole.store;
        store->closes_shared = i == 0;
        store->store = tim3_store_view (whole.store, roles[i]);
        store->address.role = roles[i];
        store->seen = tim3_fsck_map_new (sizeof (uint32_t));
        tim3_address_format (roles[i], whole.address.asset, whole.address.shard, store->meta.name);
    }
}

/*  False after saying why.  */
static bool open_store (tim3_fsck_t *self, const char *name)
{
    tim3_fsck_store_t *store = &self->stores[self->store_count];
    char path[4096];
    char why[512];
    bool in_use;
    snprintf (path, sizeof path, "%s/store/%s", self->data, name);
    store->store = tim3_store_open_read_only (path, &store->meta, &in_use, why, sizeof why);
    if (!store->store) {
        tim3ctl_failed (NOT_OPENED, "not_opened", "%s%s", in_use ? "stop the agents first: " : "", why);
        return false;
    }
    self->store_count++;
    if (!tim3_address_parse (name, &store->address) || store->address.shard < 0) {
        tim3ctl_failed (NOT_OPENED, "not_opened", "%s is not the store of an agent; move it away", path);
        return false;
    }
    tim3_fsck_place_t at = {store, TIM3_TABLE_META, tim3_key_text ("store")};
    if (strcmp (store->meta.name, name) != 0)
        tim3_fsck_problem (self, &at, "name is %s, but \"%s\" by its folder", store->meta.name, name);
    /* the folder says what the store is checked as */
    tim3_address_format (store->address.role, store->address.asset, store->address.shard, store->meta.name);
    if (store->meta.shared)
        part_store (self, store);
    else if (tim3_role_is_asset_ledger (store->address.role))
        store->seen = tim3_fsck_map_new (sizeof (uint32_t));
    return true;
}

static int is_visible (const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool open_stores (tim3_fsck_t *self)
{
    char path[4096];
    struct dirent **entries;
    bool good = true;
    snprintf (path, sizeof path, "%s/store", self->data);
    int count = scandir (path, &entries, is_visible, alphasort);
    if (count <= 0 || count > STORES_MOST) {
        tim3ctl_failed (NOT_OPENED, "not_opened", "no stores in %s: %s; give the folder that holds store/",
                        path,
                        count < 0 ? strerror (errno)
                        : count   ? "too many entries"
                                  : "it is empty");
        good = false;
    }
    self->stores = tim3_alloc ((size_t) (count > 0 ? 2 * count : 1) * sizeof *self->stores);
    for (int i = 0; i < count; i++) {
        good = good && open_store (self, entries[i]->d_name);
        free (entries[i]);
    }
    if (count >= 0)
        free (entries);
    return good;
}

static void close_stores (tim3_fsck_t *self)
{
    tim3_store_t *shared = NULL;
    for (unsigned i = 0; i < self->store_count + self->unused_count; i++) {
        tim3_store_close (&self->stores[i].store);
        if (self->stores[i].closes_shared)
            shared = self->stores[i].shared;
        else
            tim3_store_close (&shared);
        tim3_fsck_map_destroy (&self->stores[i].seen);
    }
    free (self->stores);
}

tim3_fsck_store_t *tim3_fsck_store (const tim3_fsck_t *self, tim3_role_t role, const char *asset, int shard)
{
    for (unsigned i = 0; i < self->store_count; i++) {
        const tim3_address_t *address = &self->stores[i].address;
        if (address->role == role && (!asset || strcmp (address->asset, asset) == 0) &&
            (shard < 0 || address->shard == shard))
            return &self->stores[i];
    }
    return NULL;
}

void tim3_fsck_move_net (tim3_amount_t *up, tim3_amount_t *down, tim3_amount_t amount)
{
    tim3_amount_t taken = *down < amount ? *down : amount;
    *down -= taken;
    *up += amount - taken;
}

unsigned tim3_fsck_shards (const tim3_fsck_store_t *store)
{
    return store->meta.shards ? (unsigned) store->meta.shards : 1;
}

bool tim3_fsck_is_own (const tim3_fsck_store_t *store, const char *account)
{
    return tim3_account_shard (account, tim3_fsck_shards (store)) == (unsigned) store->address.shard;
}

tim3_fsck_way_t tim3_fsck_way (const tim3_fsck_store_t *store, const tim3_transaction_t *record)
{
    if (record->kind != TIM3_TX_KIND_TRANSFER)
        return TIM3_FSCK_WITHIN;
    if (!tim3_fsck_is_own (store, record->account))
        return TIM3_FSCK_CAME;
    return tim3_fsck_is_own (store, record->to) ? TIM3_FSCK_WITHIN : TIM3_FSCK_LEAVES;
}

bool tim3_fsck_came_back (const tim3_fsck_store_t *store, const tim3_transaction_t *record)
{
    return tim3_fsck_way (store, record) == TIM3_FSCK_LEAVES && record->status == TIM3_TX_STATUS_FAILED &&
           record->entry > 0;
}

bool tim3_fsck_moves_from (const tim3_fsck_store_t *store, const tim3_transaction_t *record)
{
    bool done = record->status != TIM3_TX_STATUS_FAILED || tim3_fsck_came_back (store, record);
    return done && record->kind != TIM3_TX_KIND_CONTROL && tim3_fsck_way (store, record) != TIM3_FSCK_CAME;
}

bool tim3_fsck_moves_to (const tim3_fsck_store_t *store, const tim3_transaction_t *record)
{
    if (tim3_fsck_way (store, record) == TIM3_FSCK_LEAVES)
        return tim3_fsck_came_back (store, record);
    return record->kind == TIM3_TX_KIND_TRANSFER && record->status != TIM3_TX_STATUS_FAILED;
}

/*  --------------------------------------------------------------------------------------------- checking  */

typedef void (check_fn) (tim3_fsck_t *self, const tim3_fsck_store_t *store);

/*  In this order: what a ledger says of itself, what its peers say, what its events say.  */
static const struct {
    tim3_role_t role;
    check_fn *check;
} s_checks[] = {{TIM3_ROLE_TOKEN_MANAGER, tim3_fsck_tokens}, {TIM3_ROLE_LOCK_MANAGER, tim3_fsck_locks},
                {TIM3_ROLE_MOCK_USDA, tim3_fsck_collateral}, {TIM3_ROLE_MOCK_USDA, tim3_fsck_vaults},
                {TIM3_ROLE_TOKEN_MANAGER, tim3_fsck_paired}, {TIM3_ROLE_LOCK_MANAGER, tim3_fsck_across},
                {TIM3_ROLE_STATE_MANAGER, tim3_fsck_state}};

static bool all_readable (tim3_fsck_t *self)
{
    bool readable = true;
    for (unsigned i = 0; i < self->store_count; i++)
        readable = tim3_fsck_readable (self, &self->stores[i]) && readable;
    return readable;
}

/*  False when a store cannot be read to its end: then nothing can be said of what refers to it.  */
static bool check_shapes (tim3_fsck_t *self)
{
    uint64_t rows = 0;
    for (unsigned i = 0; i < self->store_count; i++) {
        tim3_fsck_shapes (self, &self->stores[i]);
        for (unsigned table = 0; table < 256; table++)
            rows += self->stores[i].rows[table];
    }
    bool readable = all_readable (self);
    tim3_fsck_section (self, "rows", "%llu in %u stores, each readable and in its place",
                       (unsigned long long) rows, self->store_count);
    if (!readable)
        tim3_fsck_unchecked (self, "all else, until every store can be read to its end");
    return readable;
}

static void check_events (tim3_fsck_t *self)
{
    const tim3_fsck_store_t *router = tim3_fsck_store (self, TIM3_ROLE_ROUTER, NULL, -1);
    tim3_fsck_log (self, router);
    if (router)
        tim3_fsck_replay (self, router);
    else
        tim3_fsck_unchecked (self, "ledgers against their events: the store of the router is not here");
}

static bool backs_any (const tim3_fsck_t *self, const tim3_fsck_store_t *collateral)
{
    bool ledgers = false;
    for (unsigned i = 0; i < self->store_count; i++) {
        const tim3_fsck_store_t *store = &self->stores[i];
        if (store->address.role != TIM3_ROLE_LOCK_MANAGER)
            continue;
        if (strcmp (store->meta.collateral, collateral->address.asset) == 0)
            return true;
        ledgers = true;
    }
    return !ledgers;
}

/*  Terms of ledgers of assets are compared with each other where these are.  */
static void check_terms (tim3_fsck_t *self)
{
    for (unsigned i = 0; i < self->store_count; i++) {
        const tim3_fsck_store_t *store = &self->stores[i];
        const tim3_store_meta_t *meta = &store->meta;
        bool collateral = store->address.role == TIM3_ROLE_MOCK_USDA;
        if (tim3_role_is_asset_ledger (store->address.role))
            continue;
        if (meta->collateral[0] || meta->collateral_decimals || (meta->decimals && !collateral))
            tim3_fsck_problem (self, NULL, "%s has terms of a ledger, which it is not", meta->name);
        if (collateral && !backs_any (self, store))
            tim3_fsck_problem (self, NULL, "no ledger here is backed by %s: was collateral/name changed?",
                               meta->name);
    }
}

static void check (tim3_fsck_t *self)
{
    if (!check_shapes (self))
        return;
    tim3_fsck_set_aside (self);
    check_terms (self);
    for (unsigned i = 0; i < sizeof s_checks / sizeof s_checks[0]; i++)
        for (unsigned j = 0; j < self->store_count; j++)
            if (self->stores[j].address.role == s_checks[i].role)
                s_checks[i].check (self, &self->stores[j]);
    check_events (self);
    tim3_fsck_keys (self);
    all_readable (self);
}

static void list_unchecked (tim3_fsck_t *self)
{
    static const char *const never[] = {
        "receipts: they are made from key and record when they are asked for, and stored nowhere",
        "transaction ids: the request ids that they are made of are not stored",
        "balances that the collateral token's records tell: the order of its records is not stored",
        "the first supply cap: it is configured; later ones are checked by their events",
        "operands of refusals, receivers of refused transfers, attempts, times that no second record tells",
        "how far exactly the router had come when a ledger last saw it: only that it had come so far at all",
        "identities of stores: adopting a copy gives a new one",
        "account and amount of a lock that the collateral token has not seen yet: nobody else tells them",
        "pages of the database files below the rows"};
    for (unsigned i = 0; i < sizeof never / sizeof never[0]; i++)
        tim3_fsck_unchecked (self, "%s", never[i]);
}

static void print_text (const tim3_fsck_t *self)
{
    size_t at;
    json_t *what;
    if (self->problems > TIM3_FSCK_SHOWN_MOST)
        printf ("%llu more problems are not shown\n",
                (unsigned long long) (self->problems - TIM3_FSCK_SHOWN_MOST));
    json_array_foreach (self->unchecked, at, what) printf ("not checked: %s\n", json_string_value (what));
    json_array_foreach (self->unused, at, what) printf ("not used: %s\n", json_string_value (what));
    if (self->problems)
        printf ("%llu problem%s\n", (unsigned long long) self->problems, self->problems > 1 ? "s" : "");
    else
        printf ("all good: %u stores\n", self->store_count);
}

static void print_result (const tim3_fsck_t *self)
{
    if (self->json)
        tim3ctl_json_print (json_pack ("{s:b, s:I, s:O, s:O, s:O, s:O}", "good", self->problems == 0,
                                       "problems", (json_int_t) self->problems, "sections", self->sections,
                                       "listed", self->listed, "not_checked", self->unchecked, "not_used",
                                       self->unused));
    else
        print_text (self);
}

static bool s_json; /* for who has crashed */

/*  LMDB trusts what its pages say, and follows it out of the file.  */
static void on_crash (int number)
{
    static const char text[] =
        "tim3ctl: the file of a store is cut short, or damaged below its rows: nothing "
        "more can be read; restore a backup\n";
    static const char object[] =
        "{\"name\": \"not_readable\", \"text\": \"the file of a store is cut short, or damaged "
        "below its rows: nothing more can be read; restore a backup\"}\n";
    (void) number;
    ssize_t written = write (STDERR_FILENO, text, sizeof text - 1);
    if (s_json && written >= 0)
        written = write (STDOUT_FILENO, object, sizeof object - 1);
    _exit (written < 0 ? NOT_OPENED : FOUND);
}

static void catch_crashes (void (*handler) (int))
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE};
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        signal (numbers[i], handler);
}

int tim3ctl_fsck (tim3ctl_t *ctl)
{
    tim3_fsck_t self = {.data = ctl->arguments[0], .json = ctl->json, .begun_us = tim3ctl_now_us ()};
    self.sections = json_array ();
    self.listed = json_array ();
    self.unchecked = json_array ();
    self.unused = json_array ();
    s_json = ctl->json;
    catch_crashes (on_crash);
    bool opened = open_stores (&self);
    if (opened)
        check (&self);
    if (opened && !self.stopped) {
        list_unchecked (&self);
        print_result (&self);
    }
    close_stores (&self);
    catch_crashes (SIG_DFL);
    json_decref (self.sections);
    json_decref (self.listed);
    json_decref (self.unchecked);
    json_decref (self.unused);
    if (self.stopped)
        tim3ctl_failed (NOT_OPENED, "interrupted", "interrupted; nothing can be said of the stores");
    return !opened || self.stopped ? NOT_OPENED : self.problems ? FOUND : TIM3CTL_DONE;
}
