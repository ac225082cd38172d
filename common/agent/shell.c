/*  shell.c - runs a core as a process. The only file with an agent's sockets, clock, signals and exits.

    For tests of crashes, the environment variable TIM3_CRASH_AT=before_commit:N or after_commit:N makes the process
    kill itself (SIGKILL) at its Nth commit: before anything of that batch is durable, or when it is and nothing
    of it has been sent.
*/
#include "agent/shell.h"
#include "agent/door.h"
#include "agent/endpoint.h"
#include "agent/host.h"
#include "agent/kept.h"
#include "agent/settings.h"
#include "base/log.h"
#include "base/loopback.h"
#include "base/watch.h"

#include <czmq.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define PEERS_MAX 128
#define TICK_US 50000
#define QUEUE_MESSAGES 20000
/*  To one agent that does not take them; as they mostly end at TIM3_FRAME_GOAL, 64 MB. What is beyond is dropped, and what is
    unfinished is asked again.  */
#define PEER_FRAMES 2000
#define AGENT_FRAME_MAX (8 * 1024 * 1024)
#define FRAMES_PER_BATCH 2048
#define BATCH_COMMITS 2 /* a batch gathers for as long as so many commits take, or for the next */
#define BATCH_LEAST_US 200
/*  A connection whose other end is silent for so long is given up (ZMQ_HEARTBEAT_TIMEOUT).  */
#define HEARTBEAT_MS 2000
#define HEARTBEAT_TIMEOUT_MS 6000

static const char s_router[] = "router.-.0";

typedef struct {
    tim3_watched_t watched;
    bool sent; /* something was, in this batch */
} link_t;

typedef struct {
    char address[TIM3_ADDRESS_MAX + 1];
    char endpoint[TIM3_ENDPOINT_MAX + 1];
    link_t link;
} peer_t;

typedef struct {
    const char *config_path;
    const char *data;
    const char *asset;
    unsigned shard;
    int ready_fd;
    bool check_config;
    bool list_agents;
    bool print_front;
    bool adopt;
} arguments_t;

typedef struct {
    arguments_t arguments;
    const tim3_program_t *program;
    tim3_config_t *config;
    tim3_settings_t settings;
    tim3_settings_t hosted[TIM3_HOST_CORES_MAX]; /* of the cores that it hosts besides */
    unsigned hosted_count;
    tim3_setting_t list[TIM3_SETTINGS_MAX];
    tim3_host_options_t options;
    tim3_store_t *store;
    tim3_host_t *host;
    tim3_kept_t kept; /* frames that wait for the end of a hold */
    void *companion;
    void *context;
    int watch;
    link_t inbox; /* ROUTER */
    peer_t peers[PEERS_MAX];
    size_t peer_count;
    tim3_watched_t signals;
    uint64_t clock_base_us; /* wall clock at start less monotonic clock at start */
    uint64_t next_tick_us;
    uint64_t began_us;   /* the batch at hand */
    uint64_t changed_us; /* when the last batch began that changed the store */
    uint64_t directory_version;
    uint64_t batch_messages;
    uint64_t commit_us; /* how long a commit takes, as of late */
    bool told_ready;
    char backup[512];
    char endpoint[TIM3_ENDPOINT_MAX + 1]; /* where it listens */
    char front[TIM3_ENDPOINT_MAX + 1];
    uint64_t answers_dropped;
    uint64_t sends_dropped;
    uint64_t unrouted;
    const char *crash_at;
    uint64_t crash_countdown;
} shell_t;

static shell_t s_shell;

/*  ------------------------------------------------------------------------------------------ time, stats  */

static uint64_t microseconds (clockid_t clock)
{
    struct timespec time;
    clock_gettime (clock, &time);
    return (uint64_t) time.tv_sec * 1000000 + (uint64_t) time.tv_nsec / 1000;
}

/*  The time of day at the start, and from there on the monotonic clock: setting the clock must not stop or hurry time-outs.  */
static uint64_t now (shell_t *self)
{
    return self->clock_base_us + microseconds (CLOCK_MONOTONIC);
}

static uint64_t timeval_us (struct timeval time)
{
    return (uint64_t) time.tv_sec * 1000000 + (uint64_t) time.tv_usec;
}

static void process_stats (tim3_report_t *report)
{
    struct rusage usage;
    getrusage (RUSAGE_SELF, &usage);
    tim3_report_metric (report, TIM3_METRIC_cpu_user_us, timeval_us (usage.ru_utime));
    tim3_report_metric (report, TIM3_METRIC_cpu_system_us, timeval_us (usage.ru_stime));
    tim3_report_metric (report, TIM3_METRIC_memory_most_kb, (uint64_t) usage.ru_maxrss);
    tim3_report_metric (report, TIM3_METRIC_answers_dropped, s_shell.answers_dropped);
    tim3_report_metric (report, TIM3_METRIC_sends_dropped, s_shell.sends_dropped);
    tim3_report_metric (report, TIM3_METRIC_unrouted, s_shell.unrouted);
    tim3_report_metric (report, TIM3_METRIC_kept_dropped, s_shell.kept.dropped);
    if (s_shell.companion)
        s_shell.program->companion_stats (s_shell.companion, report);
}

static void process_health (tim3_report_t *report)
{
    if (s_shell.companion)
        s_shell.program->companion_health (s_shell.companion, report);
}

/*  ---------------------------------------------------------------------------------------------- sockets  */

static void set_int (void *socket, int option, int value)
{
    if (zmq_setsockopt (socket, option, &value, sizeof value) != 0)
        tim3_fatal (TIM3_EXIT_PERMANENT, "cannot set socket option %d: %s", option, zmq_strerror (errno));
}

static void *new_socket (shell_t *self, int type)
{
    int64_t most = AGENT_FRAME_MAX;
    void *socket = zmq_socket (self->context, type);
    if (!socket)
        tim3_fatal (TIM3_EXIT_RETRY, "cannot make a socket: %s", zmq_strerror (errno));
    set_int (socket, ZMQ_LINGER, 300);
    set_int (socket, ZMQ_SNDHWM, QUEUE_MESSAGES);
    set_int (socket, ZMQ_RCVHWM, QUEUE_MESSAGES);
    set_int (socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
    set_int (socket, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS);
    zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    return socket;
}

static void bind_inbox (shell_t *self)
{
    void *socket = new_socket (self, ZMQ_ROUTER);
    set_int (socket, ZMQ_ROUTER_MANDATORY, 1);
    tim3_watch_socket (self->watch, &self->inbox.watched, socket);
    if (zmq_bind (socket, self->endpoint) != 0)
        tim3_fatal (TIM3_EXIT_RETRY,
                    "cannot bind %s: %s; is the folder there, the path below 108 bytes, the port free?",
                    self->endpoint, zmq_strerror (errno));
}

static void close_link (shell_t *self, link_t *link)
{
    void *socket = link->watched.socket;
    tim3_watch_drop (self->watch, &link->watched);
    zmq_close (socket);
}

static void connect_peer (shell_t *self, peer_t *peer)
{
    void *socket = new_socket (self, ZMQ_DEALER);
    set_int (socket, ZMQ_SNDHWM, PEER_FRAMES);
    set_int (socket, ZMQ_RECONNECT_IVL, 20);
    set_int (socket, ZMQ_RECONNECT_IVL_MAX, 500);
    tim3_watch_socket (self->watch, &peer->link.watched, socket);
    if (!tim3_endpoint_stays_here (peer->endpoint))
        tim3_log (TIM3_ERROR, "cannot connect", "endpoint=%s error=\"it is on another host\"", peer->endpoint);
    else if (zmq_connect (socket, peer->endpoint) != 0)
        tim3_log (TIM3_ERROR, "cannot connect", "endpoint=%s error=\"%s\"", peer->endpoint,
                  zmq_strerror (errno));
}

/*  The endpoint of an agent by the registry; NULL when it has none, or for the router itself, which is where the configuration says. What
    the registry has of the router may be old, as in a store restored into another folder: whoever went there would never hear of the
    router again.  */
static const char *find_endpoint (shell_t *self, const char *address)
{
    uint64_t version;
    if (strcmp (address, s_router) == 0)
        return NULL;
    const tim3_agents_t *agents = tim3_host_directory (self->host, &version);
    const tim3_agent_t *agent = agents->items.items;
    for (uint32_t i = 0; i < agents->items.count; i++)
        if (strcmp (agent[i].name, address) == 0)
            return agent[i].endpoint;
    return NULL;
}

static peer_t *find_peer (shell_t *self, const char *address)
{
    for (size_t i = 0; i < self->peer_count; i++)
        if (strcmp (self->peers[i].address, address) == 0)
            return &self->peers[i];
    return NULL;
}

static peer_t *add_peer (shell_t *self, const char *address, const char *endpoint)
{
    if (self->peer_count == PEERS_MAX)
        return NULL;
    peer_t *peer = &self->peers[self->peer_count++];
    snprintf (peer->address, sizeof peer->address, "%s", address);
    snprintf (peer->endpoint, sizeof peer->endpoint, "%s", endpoint);
    connect_peer (self, peer);
    return peer;
}

/*  Agents that came back at another endpoint are connected anew.  */
static void follow_directory (shell_t *self)
{
    uint64_t version;
    tim3_host_directory (self->host, &version);
    if (version == self->directory_version)
        return;
    self->directory_version = version;
    for (size_t i = 0; i < self->peer_count; i++) {
        peer_t *peer = &self->peers[i];
        const char *endpoint = find_endpoint (self, peer->address);
        if (!endpoint || strcmp (endpoint, peer->endpoint) == 0)
            continue;
        close_link (self, &peer->link);
        snprintf (peer->endpoint, sizeof peer->endpoint, "%s", endpoint);
        connect_peer (self, peer);
    }
}

/*  An agent that the registry has not told of yet is looked for where the configuration puts it; ZeroMQ connects as
    soon as it is there.  */
static peer_t *reach (shell_t *self, const char *address)
{
    char usual[TIM3_ENDPOINT_MAX + 1];
    const char *endpoint = find_endpoint (self, address);
    if (endpoint)
        return add_peer (self, address, endpoint);
    if (!tim3_endpoint_told (self->config, self->arguments.data, address, usual))
        return NULL;
    return add_peer (self, address, usual);
}

static void send_to_address (shell_t *self, const tim3_frame_t *frame)
{
    peer_t *peer = find_peer (self, frame->address);
    if (!peer)
        peer = reach (self, frame->address);
    /* what is dropped here is found again by the core, as unfinished work */
    if (!peer) {
        self->unrouted++;
        return;
    }
    peer->link.sent = true;
    if (zmq_send (peer->link.watched.socket, frame->data, frame->size, ZMQ_DONTWAIT) < 0)
        self->sends_dropped++;
}

static void send_to_peer (shell_t *self, const tim3_frame_t *frame)
{
    void *inbox = self->inbox.watched.socket;
    self->inbox.sent = true;
    if (zmq_send (inbox, frame->peer, frame->peer_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send (inbox, frame->data, frame->size, ZMQ_DONTWAIT) < 0)
        self->answers_dropped++; /* it is gone or does not read; it will ask again */
}

/*  What arrived while a socket was sending may never be signalled.  */
static void check_sent (link_t *link)
{
    if (link->sent && !link->watched.look)
        tim3_watch_check (&link->watched);
    link->sent = false;
}

static void check_all_sent (shell_t *self)
{
    check_sent (&self->inbox);
    for (size_t i = 0; i < self->peer_count; i++)
        check_sent (&self->peers[i].link);
}

/*  -------------------------------------------------------------------------------------------- receiving  */

/*  Reads and drops what is left of a message with too many parts.  */
static void drain (void *socket)
{
    zmq_msg_t part;
    zmq_msg_init (&part);
    while (zmq_msg_recv (&part, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more (&part))
        ;
    zmq_msg_close (&part);
}

static void receive_inbox (shell_t *self)
{
    void *inbox = self->inbox.watched.socket;
    zmq_msg_t peer;
    zmq_msg_t payload;
    zmq_msg_init (&peer);
    zmq_msg_init (&payload);
    bool got = zmq_msg_recv (&peer, inbox, ZMQ_DONTWAIT) >= 0;
    if (got && zmq_msg_more (&peer) && zmq_msg_recv (&payload, inbox, ZMQ_DONTWAIT) >= 0) {
        tim3_origin_t origin = {false, zmq_msg_data (&peer), zmq_msg_size (&peer)};
        if (zmq_msg_more (&payload))
            drain (inbox);
        else
            tim3_kept_take (&self->kept, self->host, &origin, zmq_msg_data (&payload),
                            zmq_msg_size (&payload));
    }
    zmq_msg_close (&payload);
    zmq_msg_close (&peer);
    self->inbox.watched.look = got;
}

static void receive_peer (shell_t *self, peer_t *peer)
{
    void *socket = peer->link.watched.socket;
    zmq_msg_t payload;
    tim3_origin_t origin = {true, (const uint8_t *) peer->address, strlen (peer->address)};
    zmq_msg_init (&payload);
    bool got = zmq_msg_recv (&payload, socket, ZMQ_DONTWAIT) >= 0;
    if (got && zmq_msg_more (&payload))
        drain (socket);
    else if (got)
        tim3_kept_take (&self->kept, self->host, &origin, zmq_msg_data (&payload), zmq_msg_size (&payload));
    zmq_msg_close (&payload);
    peer->link.watched.look = got;
}

/*  When a batch stops taking messages although there are more.  */
typedef struct {
    uint64_t messages; /* of all that the host has ever taken */
    int frames;        /* that may still be taken */
    uint64_t time_us;
} bounds_t;

/*  Others wait for what this batch will answer, so it must not gather for long: no longer than about two commits take. Where commits are
    slow, batches are larger, and there are fewer of them.  */
static bounds_t begin_bounds (const shell_t *self)
{
    uint64_t most_us = BATCH_COMMITS * self->commit_us;
    return (bounds_t){tim3_host_counters (self->host)->messages_in + self->batch_messages, FRAMES_PER_BATCH,
                      self->began_us + (most_us > BATCH_LEAST_US ? most_us : BATCH_LEAST_US)};
}

static bool has_room (shell_t *self, bounds_t *bounds)
{
    bool first = bounds->frames == FRAMES_PER_BATCH; /* there is always room for one, however late it is */
    return tim3_host_counters (self->host)->messages_in < bounds->messages && bounds->frames-- > 0 &&
           (first || now (self) < bounds->time_us);
}

/*  Everything that has arrived, up to the bounds of a batch. Answers come first: they finish work.  */
static void receive_all (shell_t *self)
{
    bounds_t bounds = begin_bounds (self);
    while (tim3_kept_ready (&self->kept, self->host) && has_room (self, &bounds))
        tim3_kept_give (&self->kept, self->host);
    for (size_t i = 0; i < self->peer_count; i++)
        while (self->peers[i].link.watched.look && has_room (self, &bounds))
            receive_peer (self, &self->peers[i]);
    while (self->inbox.watched.look && has_room (self, &bounds))
        receive_inbox (self);
}

/*  Whether a socket is to be read again although its descriptor may not signal.  */
static bool something_waits (const shell_t *self)
{
    bool waits = self->inbox.watched.look || tim3_kept_ready (&self->kept, self->host);
    for (size_t i = 0; i < self->peer_count && !waits; i++)
        waits = self->peers[i].link.watched.look;
    return waits;
}

/*  ------------------------------------------------------------------------------------------ the loop  */

static void crash_if_asked (shell_t *self, const char *point, bool dirty)
{
    if (!self->crash_at || !dirty || strncmp (self->crash_at, point, strlen (point)) != 0)
        return;
    if (--self->crash_countdown == 0)
        kill (getpid (), SIGKILL);
}

/*  How long commits take, smoothed.  */
static void measure_commit (shell_t *self, uint64_t took_us)
{
    self->commit_us = (7 * self->commit_us + took_us) / 8;
}

/*  Commits, and only then lets the batch out.  */
static void finish_batch (shell_t *self)
{
    const tim3_frame_t *frame;
    bool dirty = tim3_store_dirty (self->store);

    if (dirty)
        self->changed_us = self->began_us;
    crash_if_asked (self, "before_commit", dirty);
    uint64_t began_us = now (self);
    if (tim3_host_commit (self->host) != 0) {
        bool corrupt = tim3_store_error (self->store) == TIM3_STORE_CORRUPT;
        tim3_fatal (corrupt ? TIM3_EXIT_PERMANENT : TIM3_EXIT_RETRY,
                    corrupt ? "the store holds a record that cannot be read; restore it from a backup"
                            : "the store failed to commit; stopping, so that a restart can recover");
    }
    if (dirty)
        measure_commit (self, now (self) - began_us);
    crash_if_asked (self, "after_commit", dirty);
    while ((frame = tim3_host_next (self->host)))
        if (frame->address)
            send_to_address (self, frame);
        else
            send_to_peer (self, frame);
    check_all_sent (self);
}

static bool stop_asked (shell_t *self)
{
    struct signalfd_siginfo info;
    bool look = self->signals.look;
    self->signals.look = false;
    return look && read (self->signals.file, &info, sizeof info) > 0;
}

/*  A ledger is ready once the router has accepted its store; the others at once.  */
static void say_ready (shell_t *self)
{
    self->told_ready = true;
    tim3_log (TIM3_INFO, "ready", "endpoint=%s version=%s incarnation=%llu", self->endpoint, TIM3_VERSION,
              (unsigned long long) self->options.incarnation);
    if (self->arguments.ready_fd < 0)
        return;
    ssize_t ignored = write (self->arguments.ready_fd, "\n", 1);
    (void) ignored;
    close (self->arguments.ready_fd);
}

static void run_batch (shell_t *self)
{
    uint64_t time = now (self);
    self->began_us = time;
    tim3_host_begin (self->host, time);
    receive_all (self);
    if (time >= self->next_tick_us) {
        tim3_host_tick (self->host);
        self->next_tick_us = time + TICK_US;
    }
    finish_batch (self);
    follow_directory (self);
    if (tim3_host_superseded (self->host))
        tim3_fatal (TIM3_EXIT_PERMANENT, "a newer process has registered as %s; only one may run",
                    self->settings.name);
    if (tim3_host_rolled_back (self->host))
        tim3_fatal (TIM3_EXIT_PERMANENT, "%s", tim3_host_rolled_back (self->host));
    if (!self->told_ready && tim3_host_ready (self->host))
        say_ready (self);
}

/*  For programs that set pace_us: after a batch that changed the store, rests until that long from its beginning. What arrives meanwhile is in
    one batch then.  */
static void keep_pace (const shell_t *self, uint64_t time)
{
    uint64_t pace = self->program->pace_us;
    if (time < self->changed_us || time - self->changed_us >= pace)
        return;
    struct timespec rest = {.tv_nsec = (long) (pace - (time - self->changed_us)) * 1000};
    clock_nanosleep (CLOCK_MONOTONIC, 0, &rest, NULL);
}

static void run (shell_t *self)
{
    for (;;) {
        uint64_t time = now (self);
        int wait = time >= self->next_tick_us ? 0 : (int) ((self->next_tick_us - time) / 1000 + 1);
        if (something_waits (self))
            wait = 0;
        if (tim3_watch_wait (self->watch, wait) != 0 && errno != EINTR)
            tim3_fatal (TIM3_EXIT_RETRY, "cannot wait for messages: %s", zmq_strerror (errno));
        if (stop_asked (self))
            return;
        keep_pace (self, now (self));
        run_batch (self);
    }
}

/*  ------------------------------------------------------------------------------------- start and stop  */

static const char *example_asset (tim3_role_t role)
{
    if (role == TIM3_ROLE_ROUTER || role == TIM3_ROLE_STATE_MANAGER)
        return "";
    return role == TIM3_ROLE_MOCK_USDA ? " --asset USDA" : " --asset TIM3";
}

static void usage (const tim3_program_t *program, FILE *out)
{
    fprintf (
        out,
        "Usage: %s --config FILE --data DIR [--asset ASSET] [--shard N]\n"
        "Runs a %s: %s.\n\n"
        "  --config FILE    configuration (ZPL); see docs/CONFIG.md\n"
        "  --data DIR       folder with keys, stores and sockets\n"
        "  --asset ASSET    asset it serves, or name of the collateral; none for router and state manager\n"
        "  --shard N        shard, or instance of a coordinator (default 0)\n"
        "  --ready-fd N     write a newline to this descriptor when ready\n"
        "  --adopt          go on with a store that is a copy: for a restore of all stores together\n"
        "  --check-config   check the configuration and exit: 0 good, %d not\n"
        "  --list-agents    print the processes that the configuration asks for, and exit\n"
        "  --list-keys      print the table of configuration keys, and exit\n"
        "  --print-front    print where clients connect by the configuration, and exit: empty for the usual place\n"
        "  --version        print the version, and exit\n\n"
        "Runs in the foreground and logs to stderr. SIGTERM ends it cleanly (exit 0). Exit %d: starting it\n"
        "again may help; %d: somebody has to look.\n\n"
        "Example: %s --config tim3.cfg --data data%s\n",
        program_invocation_short_name, tim3_role_name (program->core->role),
        tim3_role_text (program->core->role), TIM3_EXIT_PERMANENT, TIM3_EXIT_RETRY, TIM3_EXIT_PERMANENT,
        program_invocation_short_name, example_asset (program->core->role));
}

static unsigned parse_number (const char *text, const char *option, unsigned most)
{
    char *end;
    unsigned long number = strtoul (text, &end, 10);
    if (*text == '\0' || *end || number > most) {
        fprintf (stderr, "%s: --%s takes a number from 0 to %u, not \"%s\"\n", program_invocation_short_name,
                 option, most, text);
        exit (TIM3_EXIT_USAGE);
    }
    return (unsigned) number;
}

static void parse_arguments (shell_t *self, int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},   {"data", required_argument, NULL, 'd'},
        {"asset", required_argument, NULL, 'a'},    {"shard", required_argument, NULL, 's'},
        {"ready-fd", required_argument, NULL, 'r'}, {"check-config", no_argument, NULL, 'k'},
        {"list-agents", no_argument, NULL, 'l'},    {"list-keys", no_argument, NULL, 't'},
        {"version", no_argument, NULL, 'v'},        {"help", no_argument, NULL, 'h'},
        {"adopt", no_argument, NULL, 'o'},          {"print-front", no_argument, NULL, 'f'},
        {NULL, 0, NULL, 0}};
    arguments_t *arguments = &self->arguments;
    int option;

    *arguments = (arguments_t){.asset = "-", .ready_fd = -1};
    while ((option = getopt_long (argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            arguments->config_path = optarg;
            break;
        case 'd':
            arguments->data = optarg;
            break;
        case 'a':
            arguments->asset = optarg;
            break;
        case 's':
            arguments->shard = parse_number (optarg, "shard", 9999);
            break;
        case 'r':
            arguments->ready_fd = (int) parse_number (optarg, "ready-fd", 1023);
            break;
        case 'k':
            arguments->check_config = true;
            break;
        case 'l':
            arguments->list_agents = true;
            break;
        case 'f':
            arguments->print_front = true;
            break;
        case 'o':
            arguments->adopt = true;
            break;
        case 't':
            tim3_settings_print_keys ();
            exit (TIM3_EXIT_OK);
        case 'v':
            printf ("%s %s\n", program_invocation_short_name, TIM3_VERSION);
            exit (TIM3_EXIT_OK);
        case 'h':
            usage (self->program, stdout);
            exit (TIM3_EXIT_OK);
        default:
            usage (self->program, stderr);
            exit (TIM3_EXIT_USAGE);
        }
    }
    /* the endpoint is told to other processes, which have other working directories */
    const char *given = arguments->data;
    if (given && !(arguments->data = realpath (given, NULL)))
        tim3_fatal (
            TIM3_EXIT_PERMANENT,
            "cannot use the folder %s given by --data: %s; scripts/supervisor makes it, with its keys", given,
            strerror (errno));
    bool only_config = arguments->check_config || arguments->list_agents || arguments->print_front;
    bool lacks_data = !only_config && !arguments->data;
    if (optind < argc || !arguments->config_path || lacks_data) {
        if (optind < argc)
            fprintf (stderr, "%s: what is \"%s\"?\n\n", program_invocation_short_name, argv[optind]);
        else
            fprintf (stderr, "%s: %s is missing\n\n", program_invocation_short_name,
                     arguments->config_path ? "--data DIR" : "--config FILE");
        usage (self->program, stderr);
        exit (TIM3_EXIT_USAGE);
    }
}

static void load_config (shell_t *self)
{
    char why[512];
    self->config = tim3_config_load (self->arguments.config_path, why, sizeof why);
    if (!self->config)
        tim3_fatal (TIM3_EXIT_PERMANENT, "%s", why);
    if (self->arguments.list_agents)
        tim3_settings_print_agents (self->config);
    if (self->arguments.check_config)
        printf ("%s: good\n", self->arguments.config_path);
    if (self->arguments.print_front)
        puts (tim3_config_text (self->config, "router", "front", NULL));
    if (self->arguments.list_agents || self->arguments.check_config || self->arguments.print_front)
        exit (TIM3_EXIT_OK);
}

/*  On a merged critical path, coordinator number N also runs the cores of the ledgers of shard N, if there is such a shard.  */
static void fill_hosted (shell_t *self)
{
    char why[512];
    const tim3_core_t *const *core = self->program->hosted;
    if (!core || self->arguments.shard >= self->settings.shards ||
        !tim3_settings_merged (self->config, self->arguments.asset))
        return;
    for (; *core; core++)
        if (!tim3_settings_fill (&self->hosted[self->hosted_count++], self->config, self->arguments.data, (*core)->role,
                                 self->arguments.asset, self->arguments.shard, why, sizeof why))
            tim3_fatal (TIM3_EXIT_PERMANENT, "%s", why);
}

/*  On a merged critical path a ledger must not be started as a process of its own: there would be two of it.  */
static void refuse_merged (const shell_t *self)
{
    tim3_role_t role = self->program->core->role;
    if (tim3_role_is_asset_ledger (role) && tim3_settings_merged (self->config, self->arguments.asset))
        tim3_fatal (TIM3_EXIT_PERMANENT, "asset/%s/critical_path is merged: coordinator.%s.%u runs this ledger",
                    self->arguments.asset, self->arguments.asset, self->arguments.shard);
}

static tim3_level_t log_level (const tim3_config_t *config)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    const char *level = tim3_config_text (config, "agents", "log_level", NULL);
    for (int i = 0; i < 4; i++)
        if (strcmp (levels[i], level) == 0)
            return (tim3_level_t) i;
    return TIM3_INFO;
}

static void fill_settings (shell_t *self)
{
    char why[512];
    const arguments_t *arguments = &self->arguments;
    tim3_role_t role = self->program->core->role;
    if (!tim3_settings_fill (&self->settings, self->config, arguments->data, role, arguments->asset,
                             arguments->shard, why, sizeof why))
        tim3_fatal (TIM3_EXIT_PERMANENT, "%s", why);
    tim3_log_open (self->settings.name, log_level (self->config));
    refuse_merged (self);
    fill_hosted (self);
    self->batch_messages = tim3_config_u64 (self->config, "agents", "batch_messages", NULL);
    if (!tim3_endpoint_bound (self->config, arguments->data, self->settings.name, self->endpoint))
        tim3_fatal (TIM3_EXIT_PERMANENT, "there is no port for %s; with tcp, coordinators go up to 63",
                    self->settings.name);
    const char *front = tim3_config_text (self->config, "router", "front", NULL);
    if (front[0])
        snprintf (self->front, sizeof self->front, "%s", front);
    else
        snprintf (self->front, sizeof self->front, "ipc://%s/run/front.sock", arguments->data);
}

static uint64_t megabytes (const tim3_config_t *config, const char *key)
{
    return tim3_config_u64 (config, "agents", key, NULL) * 1024 * 1024;
}

static bool choice_is (const tim3_config_t *config, const char *key, const char *value)
{
    return strcmp (tim3_config_text (config, "agents", key, NULL), value) == 0;
}

/*  Whether the store is worth a journal: that of a coordinator which hosts no ledgers is not.  */
static bool keeps_ledger (const shell_t *self)
{
    return !self->program->core->keeps_nothing || self->hosted_count > 0;
}

static tim3_store_terms_t terms_of (const shell_t *self)
{
    tim3_role_t role = self->program->core->role;
    if (self->hosted_count > 0 || tim3_role_is_asset_ledger (role))
        return (tim3_store_terms_t){
            .shards = self->settings.shards,
            .decimals = self->settings.decimals,
            .collateral = tim3_config_text (self->config, "collateral", "name", NULL),
            .collateral_decimals = (unsigned) tim3_config_u64 (self->config, "collateral", "decimals", NULL)};
    return (tim3_store_terms_t){.decimals = role == TIM3_ROLE_MOCK_USDA ? self->settings.decimals : 0};
}

static void open_store (shell_t *self)
{
    char path[512];
    char why[512];
    /* ledgers that are hosted keep the name of the first of them */
    const char *name = self->hosted_count > 0 ? self->hosted[0].name : self->settings.name;
    tim3_store_options_t options = {.path = path, .name = name};
    bool full = false;
    options.adopt = self->arguments.adopt;
    options.full = &full;

    snprintf (path, sizeof path, "%s/run", self->arguments.data);
    if (mkdir (path, 0700) != 0 && errno != EEXIST)
        tim3_fatal (TIM3_EXIT_PERMANENT, "cannot make %s: %s", path, strerror (errno));
    snprintf (path, sizeof path, "%s/store/%s", self->arguments.data, name);
    options.map_size = megabytes (self->config, "map_size_mb");
    options.shared = self->hosted_count > 0;
    options.terms = terms_of (self);
    options.journal = keeps_ledger (self) && choice_is (self->config, "store", "journal");
    options.checkpoint_bytes = megabytes (self->config, "checkpoint_mb");
    options.memory_most = megabytes (self->config, "memory_mb");
    options.keep_us = tim3_config_u64 (self->config, "agents", "replay_hours", NULL) * 3600000000;
    options.keep_bytes = megabytes (self->config, "replay_mb");
    options.now_us = now (self);
    randombytes_buf (options.fresh_id.bytes, sizeof options.fresh_id.bytes);
    self->store = tim3_store_open (&options, &self->options.meta, why, sizeof why);
    if (!self->store)
        tim3_fatal (full ? TIM3_EXIT_RETRY : TIM3_EXIT_PERMANENT, "%s", why);
}

static void make_host (shell_t *self)
{
    tim3_host_options_t *options = &self->options;
    strcpy (options->name, self->settings.name);
    TIM3_ASSERT (tim3_endpoint_told (self->config, self->arguments.data, options->name, options->endpoint));
    options->commits = tim3_store_commits (self->store);
    options->incarnation = tim3_host_next_life (self->store, now (self), randombytes_random ());
    if (options->incarnation == 0)
        tim3_fatal (TIM3_EXIT_RETRY, "the store failed to commit at start");
    snprintf (self->backup, sizeof self->backup, "%s/backup", self->arguments.data);
    options->backup = self->backup;
    options->wait_accepted = tim3_role_is_ledger (self->program->core->role) || self->hosted_count > 0;
    options->started_us = now (self);
    options->list_count = tim3_settings_list (self->config, self->list);
    options->list = self->list;
    options->pid = (uint64_t) getpid ();
    options->process_stats = process_stats;
    options->process_health = process_health;
    options->shared = self->hosted_count > 0;
    self->host = tim3_host_new (self->program->core, &self->settings, self->store, options);
    for (unsigned i = 0; i < self->hosted_count; i++)
        tim3_host_add (self->host, self->program->hosted[i], &self->hosted[i]);
}

static void make_sockets (shell_t *self)
{
    self->context = zmq_ctx_new ();
    bind_inbox (self);
    reach (self, s_router);
}

static void watch_signals (shell_t *self)
{
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGINT);
    sigprocmask (SIG_BLOCK, &set, NULL);
    signal (SIGPIPE, SIG_IGN);
    int signals = signalfd (-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    TIM3_ASSERT (signals >= 0);
    tim3_watch_file (self->watch, &self->signals, signals);
}

static void read_crash_point (shell_t *self)
{
    const char *text = getenv ("TIM3_CRASH_AT");
    const char *colon = text ? strchr (text, ':') : NULL;
    if (!colon)
        return;
    self->crash_at = text;
    self->crash_countdown = strtoull (colon + 1, NULL, 10);
    tim3_log (TIM3_WARN, "will crash", "at=%s", text);
}

static void stop (shell_t *self)
{
    tim3_host_begin (self->host, now (self));
    tim3_host_leave (self->host);
    finish_batch (self);
    if (self->companion)
        self->program->companion_destroy (&self->companion);
    for (size_t i = 0; i < self->peer_count; i++)
        close_link (self, &self->peers[i].link);
    close_link (self, &self->inbox);
    zmq_ctx_term (self->context);
    tim3_kept_clear (&self->kept);
    tim3_host_destroy (&self->host);
    tim3_store_close (&self->store);
    tim3_config_destroy (&self->config);
    close (self->signals.file);
    close (self->watch);
    tim3_log (TIM3_INFO, "stopped", "clean=yes");
}

/*  Raises the limit of open files as far as it may be: each connection takes one. And has connections refused when none is left.  */
static void allow_files (void)
{
    struct rlimit limit;
    TIM3_ASSERT (getrlimit (RLIMIT_NOFILE, &limit) == 0);
    struct rlimit most = {limit.rlim_max, limit.rlim_max};
    if (setrlimit (RLIMIT_NOFILE, &most) == 0)
        limit = most;
    else
        tim3_log (TIM3_WARN, "limits", "what=\"cannot raise the number of open files\" why=\"%s\"", strerror (errno));
    tim3_door_open (limit.rlim_cur);
}

int tim3_agent_main (int argc, char **argv, const tim3_program_t *program)
{
    shell_t *self = &s_shell;
    self->program = program;
    umask (077);
    tim3_log_open (program_invocation_short_name, TIM3_INFO);
    parse_arguments (self, argc, argv);
    zsys_handler_set (NULL);
    if (sodium_init () < 0)
        tim3_fatal (TIM3_EXIT_PERMANENT, "libsodium does not start");
    load_config (self);
    fill_settings (self);
    allow_files ();
    self->clock_base_us = microseconds (CLOCK_REALTIME) - microseconds (CLOCK_MONOTONIC);
    self->watch = tim3_watch_open ();
    watch_signals (self);
    read_crash_point (self);
    open_store (self);
    make_host (self);
    make_sockets (self);
    if (program->companion_new) {
        tim3_place_t place = {self->config, self->arguments.data, self->endpoint, self->front};
        self->companion = program->companion_new (&place);
    }
    run (self);
    stop (self);
    return TIM3_EXIT_OK;
}
