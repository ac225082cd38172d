/*  postgres.c - mints in PostgreSQL: a prepared statement on each connection, one outstanding; or, with
    --batch, many mints in one statement. One thread, which waits for all connections with poll.  */
#include "load.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AMOUNT "1000000"
#define BATCH_ITEM_MAX (LOAD_ID_MAX + TIM3CTL_DRAW_NAME_MAX)

typedef struct {
    load_t *load;
    PGconn *connection;
    uint64_t sent_us;
    bool busy;
    char *ids; /* of a batch, as texts of arrays */
    char *accounts;
    char *amounts;
} client_t;

static void die (client_t *self)
{
    load_die ("postgres: %s", PQerrorMessage (self->connection));
}

static void expect (client_t *self, PGresult *result, ExecStatusType wanted)
{
    if (PQresultStatus (result) != wanted)
        die (self);
    PQclear (result);
}

static void client_begin (client_t *self, load_t *load)
{
    char text[512];
    const char *statement =
        load->batch > 1 ? "select do_mints ($1, $2, $3)" : "select do_mint ($1, $2, " AMOUNT ")";
    snprintf (text, sizeof text, "host=%s dbname=postgres user=postgres", load->socket);
    *self = (client_t){.load = load, .connection = PQconnectdb (text)};
    if (PQstatus (self->connection) != CONNECTION_OK)
        die (self);
    expect (self, PQprepare (self->connection, "mint", statement, 0, NULL), PGRES_COMMAND_OK);
    self->ids = malloc (load->batch * BATCH_ITEM_MAX + 3);
    self->accounts = malloc (load->batch * BATCH_ITEM_MAX + 3);
    self->amounts = malloc (load->batch * BATCH_ITEM_MAX + 3);
    if (!self->ids || !self->accounts || !self->amounts)
        load_die ("no memory");
}

static void client_end (client_t *self)
{
    PQfinish (self->connection);
    free (self->ids);
    free (self->accounts);
    free (self->amounts);
}

/*  Writes one more item of an array's text; none of them needs quotes.  */
static char *add_item (char *at, const char *item)
{
    at = stpcpy (at, item);
    *at++ = ',';
    return at;
}

static void fill_batch (client_t *self)
{
    char id[LOAD_ID_MAX];
    char account[TIM3CTL_DRAW_NAME_MAX];
    char *ids = stpcpy (self->ids, "{");
    char *accounts = stpcpy (self->accounts, "{");
    char *amounts = stpcpy (self->amounts, "{");
    for (unsigned i = 0; i < self->load->batch; i++) {
        load_next (self->load, id, account);
        ids = add_item (ids, id);
        accounts = add_item (accounts, account);
        amounts = add_item (amounts, AMOUNT);
    }
    strcpy (ids - 1, "}");
    strcpy (accounts - 1, "}");
    strcpy (amounts - 1, "}");
}

static void client_send (client_t *self)
{
    char id[LOAD_ID_MAX];
    char account[TIM3CTL_DRAW_NAME_MAX];
    const char *one[] = {id, account};
    const char *many[] = {self->ids, self->accounts, self->amounts};
    bool batch = self->load->batch > 1;
    if (batch)
        fill_batch (self);
    else
        load_next (self->load, id, account);
    self->sent_us = load_now_us ();
    if (!PQsendQueryPrepared (self->connection, "mint", batch ? 3 : 2, batch ? many : one, NULL, NULL, 0))
        die (self);
    self->busy = true;
}

static void take_result (client_t *self, const PGresult *result)
{
    load_t *load = self->load;
    if (PQresultStatus (result) != PGRES_TUPLES_OK)
        die (self);
    unsigned done = load->batch;
    if (PQgetisnull (result, 0, 0))
        done = 0;
    else if (load->batch > 1)
        done = (unsigned) atoi (PQgetvalue (result, 0, 0));
    load->refused += load->batch - done;
    if (done > 0)
        load_completed (load, done, load_now_us () - self->sent_us);
}

static void client_receive (client_t *self)
{
    if (!PQconsumeInput (self->connection))
        die (self);
    while (self->busy && !PQisBusy (self->connection)) {
        PGresult *result = PQgetResult (self->connection);
        if (result)
            take_result (self, result);
        else
            self->busy = false;
        PQclear (result);
    }
}

/*  False when nothing is under way any more.  */
static bool go_on (load_t *load, client_t *clients)
{
    struct pollfd items[LOAD_CLIENTS_MAX];
    bool busy = false;
    for (unsigned i = 0; i < load->clients; i++) {
        if (!clients[i].busy && load_more (load))
            client_send (&clients[i]);
        items[i] = (struct pollfd){.fd = PQsocket (clients[i].connection), .events = POLLIN};
        busy = busy || clients[i].busy;
    }
    if (!busy)
        return false;
    poll (items, load->clients, -1);
    for (unsigned i = 0; i < load->clients; i++)
        if (items[i].revents)
            client_receive (&clients[i]);
    return true;
}

int main (int argc, char **argv)
{
    static client_t clients[LOAD_CLIENTS_MAX];
    load_t load;
    load_begin (&load, argc, argv);
    for (unsigned i = 0; i < load.clients; i++)
        client_begin (&clients[i], &load);
    load_start (&load);
    while (go_on (&load, clients))
        continue;
    load_print (&load);
    for (unsigned i = 0; i < load.clients; i++)
        client_end (&clients[i]);
    load_end (&load);
    return 0;
}
