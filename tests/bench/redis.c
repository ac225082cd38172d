/*  redis.c - mints in Redis: a script by its digest, with a number outstanding on each connection. One
    thread, which waits for all connections with poll.  */
#include "load.h"

#include <hiredis.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AMOUNT "1000000"

typedef struct {
    load_t *load;
    redisContext *connection;
    uint64_t *sent_us; /* a ring: answers come in the order of requests */
    unsigned first;
    unsigned under_way;
} client_t;

static char s_digest[64];

static void die (client_t *self)
{
    load_die ("redis: %s", self->connection ? self->connection->errstr : "no connection");
}

static void client_begin (client_t *self, load_t *load)
{
    *self = (client_t){.load = load, .connection = redisConnectUnix (load->socket)};
    self->sent_us = calloc (load->outstanding, sizeof *self->sent_us);
    if (!self->connection || self->connection->err || !self->sent_us)
        die (self);
}

static void client_end (client_t *self)
{
    redisFree (self->connection);
    free (self->sent_us);
}

static void client_send (client_t *self)
{
    char id[LOAD_ID_MAX];
    char account[TIM3CTL_DRAW_NAME_MAX];
    const char *words[] = {"EVALSHA", s_digest, "0", id, account, AMOUNT};
    load_next (self->load, id, account);
    self->sent_us[(self->first + self->under_way++) % self->load->outstanding] = load_now_us ();
    if (redisAppendCommandArgv (self->connection, 6, words, NULL) != REDIS_OK)
        die (self);
}

static void client_fill (client_t *self)
{
    int written = 0;
    while (self->under_way < self->load->outstanding && load_more (self->load))
        client_send (self);
    while (!written)
        if (redisBufferWrite (self->connection, &written) != REDIS_OK)
            die (self);
}

static void client_receive (client_t *self)
{
    redisReply *reply;
    if (redisBufferRead (self->connection) != REDIS_OK)
        die (self);
    for (;;) {
        if (redisGetReplyFromReader (self->connection, (void **) &reply) != REDIS_OK)
            die (self);
        if (!reply)
            return;
        if (reply->type == REDIS_REPLY_INTEGER)
            load_completed (self->load, 1, load_now_us () - self->sent_us[self->first]);
        else
            self->load->refused++;
        freeReplyObject (reply);
        self->first = (self->first + 1) % self->load->outstanding;
        self->under_way--;
    }
}

/*  False when nothing is under way any more.  */
static bool go_on (load_t *load, client_t *clients)
{
    struct pollfd items[LOAD_CLIENTS_MAX];
    bool busy = false;
    for (unsigned i = 0; i < load->clients; i++) {
        client_fill (&clients[i]);
        items[i] = (struct pollfd){.fd = clients[i].connection->fd, .events = POLLIN};
        busy = busy || clients[i].under_way;
    }
    if (!busy)
        return false;
    poll (items, load->clients, -1);
    for (unsigned i = 0; i < load->clients; i++)
        if (items[i].revents)
            client_receive (&clients[i]);
    return true;
}

/*  The script is what stands on standard input.  */
static void load_script (client_t *self)
{
    static char script[65536];
    size_t size = fread (script, 1, sizeof script, stdin);
    redisReply *reply = redisCommand (self->connection, "SCRIPT LOAD %b", script, size);
    if (!reply || reply->type != REDIS_REPLY_STRING)
        load_die ("redis: the script is not taken: %s", reply ? reply->str : self->connection->errstr);
    snprintf (s_digest, sizeof s_digest, "%s", reply->str);
    freeReplyObject (reply);
}

int main (int argc, char **argv)
{
    static client_t clients[LOAD_CLIENTS_MAX];
    load_t load;
    load_begin (&load, argc, argv);
    for (unsigned i = 0; i < load.clients; i++)
        client_begin (&clients[i], &load);
    load_script (&clients[0]);
    load_start (&load);
    while (go_on (&load, clients))
        continue;
    load_print (&load);
    for (unsigned i = 0; i < load.clients; i++)
        client_end (&clients[i]);
    load_end (&load);
    return 0;
}
