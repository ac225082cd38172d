/*  protocol_doc.c - prints docs/PROTOCOL.md: the protocol, as the tables in common/ declare it.

    tim3-protocol-doc > docs/PROTOCOL.md

    Whatever is in a table comes from it, and the example is the real encoder's; so the document cannot say
    anything that the code does not do. Its output is the same on every run.
*/
#include "agent/host.h"
#include "agent/waiters.h"
#include "base/log.h"
#include "wire/envelope.h"
#include "wire/reader.h"
#include "wire/receipt.h"
#include "../router/broker.h"
#include "../router/subscribers.h"

#include <stdio.h>
#include <string.h>

/*  ------------------------------------------------------------------------------------------- the text  */

static const char s_opening[] =
    "# The TIM3 protocol\n"
    "\n"
    "Made by `tim3-protocol-doc` from the tables in `common/`; change those, not this.\n"
    "\n"
    "With this page, a ZeroMQ library and a MessagePack library, a client can be written in any\n"
    "language.\n"
    "\n"
    "## Transport\n"
    "\n"
    "- A client opens one ZeroMQ **DEALER** socket and connects it to the router's front endpoint: by\n"
    "  default `ipc://DATA/run/front.sock`, where `DATA` is the data folder of the installation; else\n"
    "  the `ipc://` or `tcp://` endpoint of the setting `router/front`. It needs no other connection.\n"
    "- A ZeroMQ message has **one frame**, with no empty frame in front of it.\n"
    "- A frame holds one or more envelopes **back to back**, as a MessagePack stream. To send a batch,\n"
    "  concatenate. Answers are batched the same way, whatever the client did: always read a frame to\n"
    "  its end.\n"
    "- Leave the socket's routing id alone, or set one of at most %d bytes that no other client uses.\n"
    "- Answers can come in any order. `reply_to` tells which request one belongs to.\n"
    "- No client needs to wait for one answer before it sends the next request.\n"
    "- Read answers as they come. Of those that a client leaves unread only so many are kept (some\n"
    "  megabytes at least, see `router/unread_mb`); others are dropped, and can be asked for again.\n"
    "\n";

static const char s_envelope[] =
    "## The envelope\n"
    "\n"
    "An array of ten places, all of them always there:\n"
    "\n"
    "| place | name | MessagePack | meaning |\n"
    "|---|---|---|---|\n"
    "| 0 | version | uint | %d |\n"
    "| 1 | type | uint | number of the message, see [Messages](#messages) |\n"
    "| 2 | id | uint, not 0 | chosen by the sender; a client never has two requests under way with the "
    "same id |\n"
    "| 3 | sender | str, at most %d bytes | `client`; the router writes it, whatever is there |\n"
    "| 4 | recipient | str, at most %d bytes | who is to take it, see [Recipients](#recipients) |\n"
    "| 5 | time_us | uint | sender's clock, microseconds since 1970 UTC; for people, decides nothing |\n"
    "| 6 | reply_to | uint | id of the request that this answers; 0 in a request |\n"
    "| 7 | trace | nil, or bin of 16 bytes | carried along to all messages that the request causes, and "
    "back |\n"
    "| 8 | metadata | map with str keys, at most 16 | see below |\n"
    "| 9 | body | map with str keys | the message's own fields |\n"
    "\n"
    "In the metadata a client may give `account` (str): the account that the request is about, by which\n"
    "the router chooses an agent. Requests of one account then take the same way. `via` (bin, at most\n"
    "%d bytes) belongs to the router. Other keys are passed over.\n"
    "\n"
    "An integer may have any of MessagePack's widths, but not be negative. A `str` is UTF-8 without a\n"
    "zero byte. Floating-point numbers and extension types are not part of the protocol.\n"
    "\n";

static const char s_body[] =
    "## Bodies and kinds of fields\n"
    "\n"
    "A body is a map from field names to values, in any order. Unknown names are passed over, so fields\n"
    "can be added later; a name that is there twice is an error. An optional field may be left out or\n"
    "be nil; it then has the value 0, false, \"\", or an empty list. A body without fields is the empty\n"
    "map.\n"
    "\n"
    "| kind | MessagePack | value |\n"
    "|---|---|---|\n"
    "| u64 | uint | 64 bits |\n"
    "| bool | true or false | |\n"
    "| amount | bin of 16 bytes, or uint | unsigned 128-bit integer, big-endian, in minor units. A plain "
    "uint is taken too, but always sent as bin |\n"
    "| id | bin of 16 bytes | of a transaction or a store |\n"
    "| mac | bin of 32 bytes | a receipt |\n"
    "| str | str | bound: most bytes |\n"
    "| enum NAME | uint | a number of the table NAME below, 0 for none where it is optional |\n"
    "| list of RECORD | array of maps | bound: most items |\n"
    "| raw | any value | bound: most bytes of it |\n"
    "\n"
    "An amount is in the **minor unit** of its asset, or of the collateral where that is said: with 6\n"
    "decimals, 2.5 tokens are 2500000. `Info` to `token_manager.ASSET`, and to the collateral's agent,\n"
    "tells the decimals. There is no rounding anywhere: what does not fit is refused. That is so of a\n"
    "mint, too, whose amount fits 128 bits, but not when told in the unit of the collateral, which has\n"
    "more decimals: `invalid_amount`, and its request id stays free.\n"
    "\n"
    "Account names are 1 to %d of `A-Z a-z 0-9 . _ : @ -`, assets 1 to %d of `A-Z a-z 0-9 _ -`, request\n"
    "ids 1 to %d printable ASCII characters without spaces.\n"
    "\n";

static const char s_recipients[] =
    "## Recipients\n"
    "\n"
    "An agent's address is `role.asset.shard`; `-` stands for no asset. A client may leave the shard\n"
    "out, and the router then chooses: a coordinator by the account in the metadata, among those alive;\n"
    "a ledger by the account's shard. Where a ledger has several shards (`Info` tells how many), it is refused\n"
    "with `invalid_field` to leave out both the shard and the account. What is sent to whom is told with each\n"
    "message under *to*.\n"
    "\n"
    "| recipient | what it is |\n"
    "|---|---|\n"
    "| `coordinator.TIM3` | any coordinator of the asset TIM3 |\n"
    "| `coordinator.TIM3.1` | that one |\n"
    "| `token_manager.TIM3`, `lock_manager.TIM3` | a ledger of TIM3 |\n"
    "| `mock_usda.USDA` | the collateral token USDA |\n"
    "| `state_manager.-.0` | positions, metrics and health |\n"
    "| `router.-.0` | the registry and the event log |\n"
    "\n"
    "`Info`, `Health`, `Stats` and `ConfigGet` go to any of them. `List` tells which agents there are.\n"
    "\n";

static const char s_answers[] =
    "## Answers, and asking again\n"
    "\n"
    "A request is answered by the message named under *reply*, or by `Error`, which carries the number\n"
    "of a [result](#results), a sentence for people, advice for programs, and where it makes sense the\n"
    "amounts `available` and `needed`. `Subscribe` is answered again and again.\n"
    "\n"
    "An answer can fail to come: an agent was killed, or a connection broke. **Asking again is always\n"
    "safe.** What changes something carries a `request_id`, the caller's own. The same account and\n"
    "request id are the same request, for ever: it is executed at most once, and every time it is asked\n"
    "the first outcome is told. The same id with other fields is refused as `id_reused`. So:\n"
    "\n"
    "1. Write the request id down before sending (an order number does well).\n"
    "2. Send; wait, say, a second; when nothing has come, send the same body again under a new envelope\n"
    "   id; double the wait each time up to a minute.\n"
    "3. On an `Error`, do what its advice says.\n"
    "\n"
    "What was asked again while it was under way is answered under each envelope id, on one connection\n"
    "and on several. So many can wait for one transaction (see [Limits](#limits)); further ones are told\n"
    "`overloaded`. The same envelope id twice is answered once, if both are there before the outcome is.\n"
    "\n"
    "| advice | what to do |\n"
    "|---|---|\n"
    "| final | this request can never succeed; change it |\n"
    "| retry_same_id | nothing has been decided; ask again with the same request id, after a pause |\n"
    "| retry_new_id | decided for ever under this id; once the cause is gone, ask under a new id |\n"
    "| unknown | it may or may not have happened; ask again with the same request id to find out |\n"
    "\n"
    "`GetTransaction` with the transaction's id, or with account and request id, tells where a request\n"
    "stands.\n"
    "\n";

static const char s_evidence[] =
    "## Receipts\n"
    "\n"
    "The ledgers prove to each other what they did with receipts. A client never handles one, and the\n"
    "keys are held by the agents concerned alone; this is for those who write or audit an agent. A\n"
    "receipt is BLAKE2b with a digest of 32 bytes, no key of its own and the personalization\n"
    "`tim3.receipt.2` (with zeros behind it), over these bytes back to back (a *text* is one byte of "
    "length,\n"
    "then its bytes):\n"
    "\n"
    "| part | form |\n"
    "|---|---|\n"
    "| key | 32 bytes |\n"
    "| kind | one byte, see [receipt_kind](#receipt_kind) |\n"
    "| asset | text |\n"
    "| tx | 16 bytes |\n"
    "| account | text; of sent, received and not_received: the receiver, a space, and the sender |\n"
    "| amount | 16 bytes, big-endian; in the unit of the ledger that made it: the asset's, or for vaults "
    "the collateral's |\n"
    "| extra | 8 bytes, big-endian: result of a refusal, reason of a release or an unlock, else 0 |\n"
    "\n";

static const char s_events[] =
    "## Events\n"
    "\n"
    "Every change of a ledger is an event in one ordered log, kept by the router. `Subscribe` to\n"
    "`router.-.0` reads it, from any place on, at the reader's own pace:\n"
    "\n"
    "- `from` is the offset of the first event wanted; the first of all is 1, and 0 means the same.\n"
    "- `topic` is a prefix: `token.` for all of tokens, `token.minted.TIM3` for one event of one asset,\n"
    "  empty for all. An event's topic is its name, a point, and the asset.\n"
    "- `credit` is how many events may be sent before the reader asks again. Nothing is ever dropped:\n"
    "  without credit, the events wait in the log.\n"
    "- `subscription` is a number of the reader's own. A further `Subscribe` with it replaces the\n"
    "  first, and so renews the credit; credit 0 ends it. One that is not renewed for %u seconds\n"
    "  lapses. One client has at most %d at once, and all clients together %d; one more is told\n"
    "  `overloaded`.\n"
    "\n"
    "Each `Events` answer is a stretch of the log: the offsets from `from` up to, but not including,\n"
    "`next`, less what the topic leaves out. The first comes at once, with or without events. `credit`\n"
    "is what is left of it; `end` is the offset that the next new event will get.\n"
    "\n"
    "To count each event exactly once, keep `next` together with what was done about the events, and\n"
    "save both in one step. Ignore a stretch whose `from` is not the `next` that was kept: one that\n"
    "lies behind is old; for one that lies ahead, subscribe again from the place that was kept. Renew\n"
    "when less than half of the credit is left, and when nothing has come for a second. A `log` that is\n"
    "not the one kept means that the log was replaced: what was derived from the old one has to be\n"
    "built again.\n"
    "\n"
    "### Runs\n"
    "\n"
    "Events come in runs: each item of `Events` is some consecutive events of one source. The first of\n"
    "them has the item's `offset` and `seq`, each further one the next of both. `seq` counts the events of\n"
    "one `source` and `store` without gaps. `count` says how many there are, and `events` is a bin with all\n"
    "of them, one behind the other, each an array of three:\n"
    "\n"
    "| element | kind | meaning |\n"
    "|---|---|---|\n"
    "| type | u64 | number of the event; see below |\n"
    "| time_us | u64 | when the source decided it |\n"
    "| body | bin | the event's own fields: an array, in the order of its table below |\n"
    "\n"
    "In a body an amount below 2^64 is a uint, and a larger one a bin of 16 bytes; an optional id that is not\n"
    "there is nil. Fields are only ever added at the end. The asset is that of `source`, so the topic is the\n"
    "event's name, a point, and what stands between the points of `source`. In Python:\n"
    "\n"
    "```python\n"
    "import msgpack\n"
    "\n"
    "def events_of(run):\n"
    "    unpacker = msgpack.Unpacker()\n"
    "    unpacker.feed(run[\"events\"])\n"
    "    for place, (type, time_us, body) in enumerate(unpacker):\n"
    "        yield run[\"offset\"] + place, run[\"seq\"] + place, type, time_us, msgpack.unpackb(body)\n"
    "```\n"
    "\n"
    "An event that moves something tells the balances right after it, and the supply, or what is locked,\n"
    "of the shard that it comes from.\n"
    "\n"
    "The events of one source stand in the order in which they were decided. Those of two sources stand as\n"
    "the router has taken them: the `token.minted` of a mint may come before its `collateral.locked`, and\n"
    "the `token.received` of a transfer before its `token.sent`. So sums over several sources, as all that\n"
    "is locked beside the whole supply, are to be compared only where nothing is on its way.\n"
    "\n"
    "A `Publish` is one run too. What the log had before of it is passed over, so a source may send again from\n"
    "any place on; behind a gap nothing is taken. `Published` says up to which number all are durable.\n"
    "\n";

static const char s_lists[] =
    "## Lists\n"
    "\n"
    "Requests that list take a `limit` (at most %d; 0 means 100) and a `cursor`. The first page is\n"
    "asked for with an empty cursor, each further one with the cursor of the answer before and\n"
    "otherwise the same fields; an empty cursor in an answer means that this was the last. A page can\n"
    "have fewer items than the limit, even none, and still not be the last. A cursor says nothing to\n"
    "the client; one that the agent did not make is refused as `invalid_field`.\n"
    "\n";

static const char s_order[] =
    "## Order of checks\n"
    "\n"
    "The first check that fails decides the result, so that a request has one result and not any of\n"
    "several:\n"
    "\n"
    "1. the envelope: can it be read, is its version spoken here (`malformed`, `bad_version`)\n"
    "2. is there such a request (`unknown_message`)\n"
    "3. may this sender send it (`not_allowed`), and is the recipient one (`invalid_field`) that takes\n"
    "   it (`unknown_message`)\n"
    "4. is there an agent for it (`no_route`), and does it take more (`overloaded`)\n"
    "5. the fields, in the order in which they stand in the body; then whether all required ones are\n"
    "   there (`malformed`, `too_large`, `invalid_field`)\n"
    "6. what the message itself asks for, in the order listed per message in\n"
    "   [ARCHITECTURE.md](ARCHITECTURE.md)\n"
    "\n"
    "A frame is read up to the first envelope that cannot be read; those before it are executed. The\n"
    "`Error` that tells so has a `reply_to` of 0 when not even the id could be read.\n"
    "\n";

/*  With an example of the published standard.  */
#define UUID_EXAMPLE "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"

static const char s_request_ids[] =
    "## Request ids\n"
    "\n"
    "A request id is 1 to %u printable characters of ASCII, without spaces. Nobody looks into it, unless\n"
    "it is a UUID of version 7 (RFC 9562) in small letters, such as\n"
    "`" UUID_EXAMPLE "`. Such an id tells when it was made, and the ledgers keep\n"
    "what was made together in one place, which is less work than with any other ids. Whoever asks for\n"
    "thousands of mints a second uses them. In Python:\n"
    "\n"
    "```python\n"
    "import secrets, time, uuid\n"
    "\n"
    "time_and_version = time.time_ns() // 10**6 << 80 | 7 << 76 | 2 << 62\n"
    "random = secrets.randbits(12) << 64 | secrets.randbits(62)\n"
    "request_id = str(uuid.UUID(int=time_and_version | random))\n"
    "```\n"
    "\n"
    "Make it **once for each request and write it down with the request**: under an id that is made\n"
    "anew it is another request, and is executed again. Where nothing is written down before sending,\n"
    "an order number is safer. A time that is wrong costs speed and nothing else.\n"
    "\n";

static const char s_transaction_ids[] =
    "## Transaction ids\n"
    "\n"
    "The transaction id of a Mint, Redeem or Transfer can be known before it is sent. It is BLAKE2b\n"
    "with a digest of 16 bytes and no key, over the asset, the field `account` and the request id,\n"
    "each as two bytes of length, big-endian, and then its bytes.\n"
    "\n"
    "For `TIM3`, `alice` and `order-1` it is `%s`.\n"
    "\n"
    "Where the request id tells when it was made, the first four bytes are replaced: by the Unix time\n"
    "in seconds (the first 48 bits of the UUID, divided by 1,000 and rounded down; of a greater one\n"
    "the lowest 32 bits), big-endian.\n"
    "For `TIM3`, `alice` and `" UUID_EXAMPLE "`\n"
    "it is `%s`.\n"
    "\n";

static const char s_example[] =
    "## An example\n"
    "\n"
    "A client asks to mint 25 TIM3, with 6 decimals, for alice. In Python, with `pyzmq` and `msgpack`:\n"
    "\n"
    "```python\n"
    "import msgpack, zmq\n"
    "\n"
    "socket = zmq.Context().socket(zmq.DEALER)\n"
    "socket.connect(\"ipc:///path/to/data/run/front.sock\")\n"
    "body = {\"account\": \"alice\", \"amount\": 25000000, \"request_id\": \"order-1\"}\n"
    "socket.send(msgpack.packb([%d, %d, 1, \"client\", \"coordinator.TIM3\", 1700000000000000, 0, None,\n"
    "                           {\"account\": \"alice\"}, body]))\n"
    "unpacker = msgpack.Unpacker()\n"
    "unpacker.feed(socket.recv())\n"
    "for version, kind, id, sender, recipient, time_us, reply_to, trace, metadata, body in unpacker:\n"
    "    print(kind, reply_to, body)\n"
    "```\n"
    "\n";

/*  ----------------------------------------------------------------------------------------- the tables  */

typedef struct {
    const char *what;
    unsigned long long value;
} limit_t;

static const limit_t s_limits[] = {
    {"bytes in a frame", TIM3_FRAME_MAX},
    {"envelopes in a frame", TIM3_ENVELOPES_MAX},
    {"bytes of the body of a client's request", TIM3_REQUEST_BODY_MAX},
    {"depth of arrays and maps in one value", TIM3_READER_DEPTH_MAX},
    {"bytes of an address", TIM3_ADDRESS_MAX},
    {"bytes of an account's name", TIM3_ACCOUNT_MAX},
    {"bytes of an asset's name", TIM3_ASSET_MAX},
    {"bytes of a request id", TIM3_REQUEST_ID_MAX},
    {"requests that wait for one transaction", TIM3_WAITERS_PER_TX},
    {"items of a page", TIM3_PAGE_MAX},
    {"bytes of a cursor", TIM3_CURSOR_MAX},
    {"events in a run", TIM3_EVENTS_MAX},
    {"bytes of a run's events", TIM3_RUN_BYTES_MAX},
    {"bytes of an event's body", TIM3_BODY_MAX},
    {"decimals of an asset", TIM3_DECIMALS_MAX},
    {"lists that one agent may be asked for by all clients, unanswered; more are told overloaded",
     TIM3_BROKER_PAGES_MOST},
    {NULL, 0}};

static void print_limits (void)
{
    printf ("## Limits\n\n"
            "What is larger is refused, before any memory is taken for it. A larger frame ends the\n"
            "connection without an answer.\n\n"
            "| most | |\n|---|---|\n");
    for (const limit_t *limit = s_limits; limit->what; limit++)
        printf ("| %s | %llu |\n", limit->what, limit->value);
    printf ("\nEach shard of an asset sums up all its mints, over its whole life, and so all its burns; neither\n"
            "sum can pass 2^128 - 1. A mint, or a redemption, that would bring it beyond is refused with\n"
            "`amount_overflow`, under any request id and for ever: this cause never goes. With 18 decimals that\n"
            "is after 3.4 * 10^20 tokens: a trillion of them minted every day for 930,000 years. Each decimal\n"
            "more makes it a tenth of that, and with 30 it is 340 million tokens.\n\n");
}

static void print_results (void)
{
    const tim3_result_row_t *row;
    printf ("## Results\n\n| number | name | advice | meaning |\n|---|---|---|---|\n");
    for (unsigned i = 0; (row = tim3_result_row (i)); i++)
        printf ("| %u | %s | %s | %s |\n", row->code, row->name, tim3_advice_name (row->advice), row->text);
    printf ("\n");
}

static void print_metrics (void)
{
    printf ("## Metrics\n\n"
            "What `Stats` answers, of each agent what concerns it. Counters begin at 0 with the process, but "
            "for those that\n"
            "are of \"ever\", which are in the store; a gauge tells how it is now.\n\n"
            "| name | of | what it tells |\n|---|---|---|\n");
#define C(name, text) printf ("| %s | all | %s |\n", #name, text);
    TIM3_HOST_COUNTERS (C)
#undef C
#define M(name, who, text) printf ("| %s | %s | %s |\n", #name, who, text);
    TIM3_METRICS (M)
#undef M
#define C(name, text) printf ("| front_%s | router | %s |\n", #name, text);
    TIM3_BROKER_COUNTERS (C)
#undef C
    printf ("\n");
}

static void print_values (const char *name, const tim3_value_t *values)
{
    printf ("### %s\n\n| number | name |\n|---|---|\n", name);
    for (; values->name; values++)
        printf ("| %u | %s |\n", values->number, values->name);
    printf ("\n");
}

static void print_roles (void)
{
    printf ("### role\n\n| number | name | what it does |\n|---|---|---|\n");
    for (unsigned i = 0; i < TIM3_ROLE_COUNT; i++)
        printf ("| %u | %s | %s |\n", i, tim3_role_name ((tim3_role_t) i), tim3_role_text ((tim3_role_t) i));
    printf ("\n");
}

static void print_enumerations (void)
{
    printf ("## Enumerations\n\n");
#define ENUMERATION(name, PREFIX) print_values (#name, tim3_##name##_values);
    TIM3_ENUMERATIONS (ENUMERATION)
#undef ENUMERATION
    print_roles ();
}

/*  ----------------------------------------------------------------------------------- fields, messages  */

static const char *values_name (const tim3_value_t *values)
{
#define ENUMERATION(name, PREFIX)       \
    if (values == tim3_##name##_values) \
        return #name;
    TIM3_ENUMERATIONS (ENUMERATION)
#undef ENUMERATION
    TIM3_ASSERT (values == tim3_role_values);
    return "role";
}

static void print_kind (const tim3_field_t *field)
{
    static const char *const names[] = {
        [TIM3_KIND_U64] = "u64", [TIM3_KIND_BOOL] = "bool", [TIM3_KIND_AMOUNT] = "amount",
        [TIM3_KIND_ID] = "id",   [TIM3_KIND_MAC] = "mac",   [TIM3_KIND_STR] = "str",
        [TIM3_KIND_RAW] = "raw"};
    if (field->kind == TIM3_KIND_ENUM)
        printf ("enum [%s](#%s)", values_name (field->values), values_name (field->values));
    else if (field->kind == TIM3_KIND_LIST)
        printf ("list of [%s](#record-%s)", field->record->name, field->record->name);
    else
        printf ("%s", names[field->kind]);
}

static void print_bound (const tim3_field_t *field)
{
    if (field->bound == 0)
        return;
    if (field->kind == TIM3_KIND_LIST)
        printf ("%u items", field->bound);
    else if (field->kind == TIM3_KIND_U64)
        printf ("%u", field->bound);
    else
        printf ("%u bytes", field->bound);
}

static void print_fields (const tim3_shape_t *shape)
{
    if (shape->count == 0) {
        printf ("No fields.\n\n");
        return;
    }
    printf ("| field | kind | required | most | meaning |\n|---|---|---|---|---|\n");
    for (unsigned i = 0; i < shape->count; i++) {
        const tim3_field_t *field = &shape->fields[i];
        printf ("| %s | ", field->name);
        print_kind (field);
        printf (" | %s | ", field->required ? "yes" : "no");
        print_bound (field);
        printf (" | %s |\n", field->text);
    }
    printf ("\n");
}

static const char *class_name (tim3_class_t class)
{
    static const char *const names[] = {"request", "reply", "event"};
    return names[class];
}

static void print_mask (uint32_t mask)
{
    const char *comma = "";
    if (mask == TIM3_FROM_ANY || mask == TIM3_FROM_AGENT) {
        printf ("%s", mask == TIM3_FROM_ANY ? "anyone" : "any agent");
        return;
    }
    for (unsigned i = 0; i < TIM3_ROLE_COUNT; i++) {
        if (!(mask & 1u << i))
            continue;
        printf ("%s%s", comma, tim3_role_name ((tim3_role_t) i));
        comma = ", ";
    }
}

static void print_index (void)
{
    const tim3_message_t *message;
    printf ("## Messages\n\n| number | name | class | from | to | reply |\n|---|---|---|---|---|---|\n");
    for (unsigned i = 0; (message = tim3_message_at (i)); i++) {
        printf ("| %u | [%s](#message-%u) | %s | ", message->type, message->name, message->type,
                class_name (message->of_class));
        print_mask (message->from);
        printf (" | ");
        print_mask (message->to);
        printf (" | %s |\n", message->of_class == TIM3_CLASS_REQUEST ? tim3_message (message->reply)->name : "");
    }
    printf ("\n");
}

static void print_route (const tim3_message_t *message)
{
    printf ("*%s*", class_name (message->of_class));
    if (message->from) {
        printf (", from ");
        print_mask (message->from);
    }
    if (message->to) {
        printf (", to ");
        print_mask (message->to);
    }
    if (message->of_class == TIM3_CLASS_REQUEST)
        printf (", reply [%s](#message-%u)", tim3_message (message->reply)->name, message->reply);
    printf ("\n\n");
}

static void print_messages (void)
{
    const tim3_message_t *message;
    for (unsigned i = 0; (message = tim3_message_at (i)); i++) {
        printf ("<a id=\"message-%u\"></a>\n### %u %s\n\n%c%s.\n\n", message->type, message->type,
                message->name,
                message->text[0] >= 'a' && message->text[0] <= 'z' ? message->text[0] - 'a' + 'A'
                                                                   : message->text[0],
                message->text + 1);
        print_route (message);
        print_fields (message->shape);
    }
}

static bool is_listed_by (const tim3_shape_t *shape, const tim3_shape_t *record)
{
    for (unsigned i = 0; i < shape->count; i++)
        if (shape->fields[i].record == record)
            return true;
    return false;
}

/*  Records that only the stores hold are no part of the protocol.  */
static void print_record (const tim3_shape_t *record)
{
    const tim3_message_t *message;
    for (unsigned i = 0; (message = tim3_message_at (i)); i++) {
        if (!is_listed_by (message->shape, record))
            continue;
        printf ("<a id=\"record-%s\"></a>\n### %s\n\n", record->name, record->name);
        print_fields (record);
        return;
    }
}

static void print_records (void)
{
    printf ("## Records\n\nThe items of lists.\n\n");
#define RECORD(name) print_record (&tim3_shape_##name);
    TIM3_RECORDS (RECORD)
#undef RECORD
}

/*  ---------------------------------------------------------------------------------------- the example  */

static void print_hex (const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        printf ("%s%02x", i ? " " : "", data[i]);
}

/*  One part of the envelope on a line of its own: its bytes, and what they are.  */
static void print_part (const uint8_t *start, const tim3_reader_t *reader, const char *what)
{
    print_hex (start, (size_t) (reader->at - start));
    printf ("    # %s\n", what);
}

static void print_value (tim3_reader_t *reader, const char *what)
{
    const uint8_t *start = reader->at;
    TIM3_ASSERT (tim3_read_skip (reader));
    print_part (start, reader, what);
}

static void print_envelope (const tim3_buffer_t *buffer)
{
    static const char *const places[] = {"version", "type",     "id",    "sender",  "recipient",
                                         "time_us", "reply_to", "trace", "metadata"};
    tim3_reader_t reader = {buffer->data, buffer->data + buffer->size};
    const uint8_t *start = reader.at;
    uint32_t count;

    TIM3_ASSERT (tim3_read_array (&reader, &count));
    print_part (start, &reader, "array of ten");
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++)
        print_value (&reader, places[i]);
    start = reader.at;
    TIM3_ASSERT (tim3_read_map (&reader, &count));
    print_part (start, &reader, "body: a map");
    for (; count > 0; count--) {
        print_value (&reader, "name of a field");
        print_value (&reader, "its value");
    }
}

static void print_mint (void)
{
    tim3_envelope_t envelope = {.type = TIM3_MSG_MINT,
                                .id = 1,
                                .sender = "client",
                                .recipient = "coordinator.TIM3",
                                .time_us = 1700000000000000,
                                .account = "alice"};
    tim3_mint_t mint = {.account = "alice", .amount = 25000000, .request_id = "order-1"};
    tim3_buffer_t buffer = {0};

    printf (s_example, TIM3_PROTOCOL_VERSION, TIM3_MSG_MINT);
    tim3_envelope_write (&buffer, &envelope, &mint);
    printf ("The same request as TIM3's own encoder writes it, in %zu bytes:\n\n```\n", buffer.size);
    print_envelope (&buffer);
    printf ("```\n\n");
    tim3_buffer_free (&buffer);
}

static void print_transaction_ids (void)
{
    char text[TIM3_ID_TEXT_MAX];
    char telling[TIM3_ID_TEXT_MAX];
    tim3_id_t id = tim3_tx_id ("TIM3", "alice", "order-1");
    tim3_id_t other = tim3_tx_id ("TIM3", "alice", UUID_EXAMPLE);
    printf (s_transaction_ids, tim3_id_format (&id, text), tim3_id_format (&other, telling));
}

static void print_receipt (void)
{
    static const tim3_key_secret_t zeros;
    char text[2 * sizeof (tim3_mac_t) + 1];
    tim3_claim_t claim = {
        TIM3_RECEIPT_KIND_LOCK, "TIM3", tim3_tx_id ("TIM3", "alice", "order-1"), "alice", 25000000, 0};
    tim3_mac_t receipt = tim3_receipt_make (&zeros, &claim);
    printf ("%s", s_evidence);
    printf ("The lock receipt of the transaction above, for 25000000, would under a key of 32 zero bytes be\n"
            "`%s`.\n"
            "\n",
            tim3_hex_format (receipt.bytes, sizeof receipt.bytes, text));
}

static void print_document (void)
{
    printf (s_opening, TIM3_VIA_MAX);
    printf (s_envelope, TIM3_PROTOCOL_VERSION, TIM3_ADDRESS_MAX, TIM3_ADDRESS_MAX, TIM3_VIA_MAX);
    printf (s_body, TIM3_ACCOUNT_MAX, TIM3_ASSET_MAX, TIM3_REQUEST_ID_MAX);
    printf ("%s%s", s_recipients, s_answers);
    printf (s_request_ids, TIM3_REQUEST_ID_MAX);
    print_transaction_ids ();
    print_mint ();
    printf (s_events, (unsigned) (TIM3_SUBSCRIBER_LEASE_US / 1000000), TIM3_SUBSCRIBERS_EACH,
            TIM3_SUBSCRIBERS_CLIENTS);
    printf (s_lists, TIM3_PAGE_MAX);
    print_receipt ();
    printf ("%s", s_order);
    print_limits ();
    print_results ();
    print_enumerations ();
    print_index ();
    print_messages ();
    print_records ();
    print_metrics ();
}

int main (int argc, char **argv)
{
    (void) argv;
    if (argc > 1) {
        fprintf (stderr, "usage: tim3-protocol-doc > docs/PROTOCOL.md\n");
        return TIM3_EXIT_USAGE;
    }
    print_document ();
    if (fflush (stdout) != 0 || ferror (stdout)) {
        fprintf (stderr, "tim3-protocol-doc: the document cannot be written; is the disk full?\n");
        return 1;
    }
    return TIM3_EXIT_OK;
}
