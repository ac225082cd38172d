/*  tim3client.h - the client library: many requests to TIM3 under way over one connection, or over some.

    A client talks to the router's front endpoint. Requests are submitted, and answers taken, in any order:

        #include <stdio.h>
        #include <tim3client.h>

        int main (int argc, char **argv)
        {
            tim3_client_t *client = tim3_client_new (argc > 1 ? argv[1] : "ipc://data/run/front.sock", 1);
            if (!client)
                return perror ("no client"), 1;
            tim3_mint_t mint = {.account = "alice", .amount = 12500000, .request_id = "order-17"};
            tim3_client_submit (client, "coordinator.TIM3", "alice", TIM3_MSG_MINT, &mint, NULL);
            const tim3_answer_t *answer = tim3_client_poll (client, -1);
            bool done = answer && !answer->error;
            if (!answer) {
                puts ("a signal came, and it may have happened or not: ask again with the same request id");
            } else if (answer->error) {
                printf ("%s: %s\n", answer->error->name, answer->error->text);
            } else {
                const tim3_transaction_t *transaction = (const tim3_transaction_t *) answer->body;
                char balance[TIM3_AMOUNT_TEXT_MAX];
                printf ("alice has %s\n", tim3_amount_format (transaction->balance, 6, balance));
            }
            tim3_client_destroy (&client);
            return done ? 0 : 1;
        }

    It is C, and C++ as well. It is compiled and linked, where TIM3 is installed, with

        cc program.c $(pkg-config --cflags --libs tim3client)

    and in the folder of the sources, after make, with

        cc -I common -I client program.c build/libtim3client.a -lzmq -lsodium -lpthread

    What it promises:
    - Every request is answered exactly once: by the agent's reply, by its refusal, or by an error that is
      made here. The library sends a request again, unchanged, until its deadline: when no answer came within
      the retry interval (which doubles up to 4 s), on another connection if there are several; and when the
      answer was a result whose advice is retry_same_id (overloaded, no_route, not_ready, storage_full), or no_answer
      from an agent that has given up waiting (a coordinator does after two minutes), after 50 ms, which double up to
      1 s: so clients back off by themselves while there is too much to do. Since a request carries a permanent id of its own (see messages.h), sending it again never does it twice.
    - At the deadline the error is TIM3_NO_ANSWER when any sending went unanswered, or was given up, for then the outcome
      is unknown; and the last refusal itself when every sending was refused.
    - A router that is restarted is found again; nothing needs to be done.
    - What is submitted between two polls leaves with the second as one ZeroMQ message of each connection, up to
      32 KiB. What is submitted and never polled is not sent. Polling is also what sends again and keeps
      deadlines.
    - Answers that match no request (late duplicates) are ignored.
    - Texts that are too long, of a route, an account or a topic, are cut.

    Request ids are the caller's, and permanent; tim3client_ids.h makes new ones that the ledgers store with the
    least work.

    A client belongs to one thread. Nothing here installs signal handlers; a poll that a signal interrupts
    returns early. Times are in milliseconds where the name says so.
*/
#ifndef TIM3CLIENT_H
#define TIM3CLIENT_H

#include "base/linkage.h"
#include "wire/messages.h"

TIM3_C_BEGIN

typedef struct tim3_client tim3_client_t;

typedef struct {
    uint64_t handle;           /* what submit or subscribe returned */
    void *tag;                 /* what submit or subscribe was given */
    tim3_type_t type;          /* of the reply; TIM3_MSG_ERROR when refused */
    const void *body;          /* the struct of that type; valid until the next call */
    const tim3_error_t *error; /* body when refused or unanswered, else NULL */
    uint64_t took_us;          /* from submit to answer */
    unsigned sends;            /* how often it was sent */
} tim3_answer_t;

/*  One connection is enough for all requests. With more, to TIM3_CLIENT_CONNECTIONS_MAX, the router sees as many
    clients; each request goes out, and is answered, on a connection that has no more of them under way than they have
    on average, or an eighth more than that. A connection takes one descriptor here and one in the router.
    NULL when there cannot be so many connections (errno is EINVAL, or EMFILE where the process may not open so many
    files), or the endpoint cannot be used (errno is ZeroMQ's). That nobody is there yet is no error.  */
#define TIM3_CLIENT_CONNECTIONS_MAX 1024
tim3_client_t *tim3_client_new (const char *endpoint, unsigned connections);
void tim3_client_destroy (tim3_client_t **self_p);

/*  For requests submitted from now on. Defaults: 10,000 and 1,000. A retry interval of 0 counts as 1; times that are
    too long to be counted never end.  */
void tim3_client_set_timeout_ms (tim3_client_t *self, uint64_t timeout_ms);
void tim3_client_set_retry_ms (tim3_client_t *self, uint64_t retry_ms);
/*  Whether a refusal with the advice retry_same_id, or no_answer, makes it send again (true, the default), or is handed
    out as the answer: for whoever wants to see overload. Holds for all answers that come from now on.  */
void tim3_client_set_insist (tim3_client_t *self, bool insist);

/*  Requests under way at once, subscriptions included; to submit one more is a mistake that ends the program.  */
#define TIM3_CLIENT_OUTSTANDING_MAX (1 << 20)

/*  Takes a request on its way: route ("coordinator.TIM3", or a full address), the account concerned ("" or NULL
    for none; it helps the router choose), the message's number and the struct of its body. Returns a handle.  */
uint64_t tim3_client_submit (tim3_client_t *self, const char *route, const char *account, tim3_type_t type,
                             const void *body, void *tag);

/*  Sends what was submitted and waits for an answer, at most timeout_ms; 0 does not wait, and a negative one waits
    until there is an answer or a signal came. NULL when none came or a signal did.  */
const tim3_answer_t *tim3_client_poll (tim3_client_t *self, int timeout_ms);

/*  Submit and wait for that answer; others that come meanwhile are kept for poll. NULL only when a signal
    interrupted the wait; the request is forgotten then, and its outcome unknown.  */
const tim3_answer_t *tim3_client_call (tim3_client_t *self, const char *route, const char *account,
                                       tim3_type_t type, const void *body);

/*  Requests submitted and not answered, subscriptions included.  */
unsigned tim3_client_outstanding (const tim3_client_t *self);

/*  The ZeroMQ socket, for waiting with zmq_poll on several clients and on other things, or on its ZMQ_FD. Before each
    wait, call poll with 0 until it returns NULL: else what was submitted is not sent, and what a poll has already
    received, or a descriptor has told once, wakes nobody. Wait 20 ms at most, so that requests are sent again, and
    deadlines kept, in time.  */
void *tim3_client_socket (tim3_client_t *self);

/*  Follows the event log from an offset (1 is the first), of topics that begin with topic ("" for all).
    Each poll may then return an answer with this handle whose body is a tim3_events_t, to be walked with
    tim3_events_walk (wire/run.h); events come in order and without gaps or repetition, whatever happens to router and
    connection. credit bounds how many events may be on their way.  */
uint64_t tim3_client_subscribe (tim3_client_t *self, uint64_t from, const char *topic, uint64_t credit,
                                void *tag);
/*  A handle that is no subscription's is ignored.  */
void tim3_client_unsubscribe (tim3_client_t *self, uint64_t handle);

TIM3_C_END

#endif
