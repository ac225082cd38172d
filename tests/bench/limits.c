/*  limits.c - what this machine can do at most, one at a time: small durable appends to a file that is there
    already, scattered pages with a sync behind each thousand, small durable commits of LMDB, round trips over
    ZeroMQ. One line of JSON.

        bench-limits FOLDER SECONDS  */
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define RECORD 512
#define PAGE 4096
#define PAGES 1000 /* before each sync */
#define FILE_SIZE (64 * 1024 * 1024)
#define MESSAGE 128
#define ROWS 100000
#define MAP_SIZE (256u * 1024 * 1024)

#define MUST(condition)                  \
    do {                                 \
        if (!(condition))                \
            fail (__LINE__, #condition); \
    } while (0)

static void fail (int line, const char *condition)
{
    fprintf (stderr, "limits: line %d: %s does not hold\n", line, condition);
    exit (1);
}

static double s_seconds;

static double now_s (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

/*  Calls step for a while; how often a second it returned.  */
static double rate_of (void (*step) (void *arg, uint64_t number), void *arg)
{
    uint64_t count = 0;
    double start = now_s ();
    while (now_s () - start < s_seconds)
        step (arg, count++);
    return (double) count / (now_s () - start);
}

/*  ---------------------------------------------------------------------------------------- the disk  */

static void append (void *arg, uint64_t number)
{
    static const char record[RECORD] = "a record";
    int file = *(int *) arg;
    MUST (pwrite (file, record, RECORD, (off_t) (number * RECORD % FILE_SIZE)) == RECORD);
    MUST (fdatasync (file) == 0);
}

static void scatter (void *arg, uint64_t number)
{
    static const char page[PAGE] = "a page";
    int file = *(int *) arg;
    for (uint64_t i = number * PAGES; i < (number + 1) * PAGES; i++) {
        off_t at = (off_t) (i * 2654435761u % (FILE_SIZE / PAGE) * PAGE);
        MUST (pwrite (file, page, PAGE, at) == PAGE);
    }
    MUST (fdatasync (file) == 0);
}

typedef struct {
    double syncs;
    double pages;
} disk_t;

static disk_t disk (const char *folder)
{
    static char zeros[1024 * 1024];
    char path[1024];
    disk_t found;
    snprintf (path, sizeof path, "%s/limits.file", folder);
    int file = open (path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    MUST (file >= 0);
    for (off_t at = 0; at < FILE_SIZE; at += (off_t) sizeof zeros)
        MUST (pwrite (file, zeros, sizeof zeros, at) == sizeof zeros);
    MUST (fsync (file) == 0);
    found.syncs = rate_of (append, &file);
    found.pages = rate_of (scatter, &file) * PAGES;
    close (file);
    unlink (path);
    return found;
}

/*  -------------------------------------------------------------------------------------------- ZeroMQ  */

typedef struct {
    void *context;
    char endpoint[1024];
} echo_t;

static void *echo (void *arg)
{
    echo_t *self = arg;
    char identity[256];
    char message[MESSAGE];
    void *socket = zmq_socket (self->context, ZMQ_ROUTER);
    MUST (zmq_bind (socket, self->endpoint) == 0);
    for (;;) {
        int size = zmq_recv (socket, identity, sizeof identity, 0);
        if (size < 0)
            break; /* the context ends */
        int length = zmq_recv (socket, message, sizeof message, 0);
        MUST (length >= 0 && zmq_send (socket, identity, (size_t) size, ZMQ_SNDMORE) == size);
        MUST (zmq_send (socket, message, (size_t) length, 0) == length);
    }
    zmq_close (socket);
    return NULL;
}

static void round_trip (void *arg, uint64_t number)
{
    char message[MESSAGE] = "a message";
    (void) number;
    MUST (zmq_send (arg, message, sizeof message, 0) == sizeof message);
    MUST (zmq_recv (arg, message, sizeof message, 0) == sizeof message);
}

static double round_trips (const char *folder)
{
    pthread_t thread;
    int linger = 0;
    echo_t other = {.context = zmq_ctx_new ()};
    snprintf (other.endpoint, sizeof other.endpoint, "ipc://%s/limits.sock", folder);
    MUST (pthread_create (&thread, NULL, echo, &other) == 0);
    void *socket = zmq_socket (other.context, ZMQ_DEALER);
    zmq_setsockopt (socket, ZMQ_LINGER, &linger, sizeof linger);
    MUST (zmq_connect (socket, other.endpoint) == 0);
    round_trip (socket, 0);
    double rate = rate_of (round_trip, socket);
    zmq_close (socket);
    zmq_ctx_shutdown (other.context);
    pthread_join (thread, NULL);
    zmq_ctx_term (other.context);
    unlink (other.endpoint + strlen ("ipc://"));
    return rate;
}

/*  ---------------------------------------------------------------------------------------------- LMDB  */

static void put (MDB_txn *txn, MDB_dbi table, uint64_t key)
{
    char row[100] = "a row";
    MDB_val at = {sizeof key, &key};
    MDB_val value = {sizeof row, row};
    MUST (mdb_put (txn, table, &at, &value, 0) == 0);
}

static MDB_txn *begin (MDB_env *env, MDB_dbi *table)
{
    MDB_txn *txn;
    MUST (mdb_txn_begin (env, NULL, 0, &txn) == 0);
    MUST (mdb_dbi_open (txn, NULL, 0, table) == 0);
    return txn;
}

static void commit (void *arg, uint64_t number)
{
    MDB_dbi table;
    MDB_txn *txn = begin (arg, &table);
    put (txn, table, number * 2654435761u % ROWS);
    MUST (mdb_txn_commit (txn) == 0);
}

static double commits (const char *folder)
{
    MDB_env *env;
    MDB_dbi table;
    char path[1024];
    snprintf (path, sizeof path, "%s/limits.mdb", folder);
    MUST (mdb_env_create (&env) == 0 && mdb_env_set_mapsize (env, MAP_SIZE) == 0);
    MUST (mdb_env_open (env, path, MDB_NOSUBDIR, 0600) == 0);
    MDB_txn *txn = begin (env, &table);
    for (uint64_t i = 0; i < ROWS; i++)
        put (txn, table, i);
    MUST (mdb_txn_commit (txn) == 0);
    double rate = rate_of (commit, env);
    mdb_env_close (env);
    unlink (path);
    strcat (path, "-lock");
    unlink (path);
    return rate;
}

int main (int argc, char **argv)
{
    if (argc != 3) {
        fputs ("usage: bench-limits FOLDER SECONDS\n", stderr);
        return 2;
    }
    s_seconds = strtod (argv[2], NULL);
    disk_t disk_s = disk (argv[1]);
    double commits_s = commits (argv[1]);
    printf ("{\"fdatasync_per_second\": %.1f, \"scattered_pages_per_second\": %.1f, "
            "\"lmdb_commits_per_second\": %.1f, "
            "\"zmq_round_trips_per_second\": %.1f}\n",
            disk_s.syncs, disk_s.pages, commits_s, round_trips (argv[1]));
    return 0;
}
