"""A TIM3 client in Python, written from docs/PROTOCOL.md alone: pyzmq for transport, msgpack for encoding.

It shares no code with the C client, so that it tests the protocol and not our reading of it.
"""
import hashlib
import itertools
import os
import random
import re
import struct
import time

import msgpack
import zmq

VERSION = 1
# Seconds that any wait may take. A wait ends as soon as what it waits for is there, so this only says when a test has failed;
# it is so long because the machine may be slow, and that must fail no test.
PATIENT = 180.0

# ----------------------------------------------------------------- what the tables of docs/PROTOCOL.md say

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/PROTOCOL.md"), encoding="utf-8") as document:
    PROTOCOL = document.read()


def section(title):
    """The text below a heading, up to the next one."""
    return re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#)", PROTOCOL + "\n#", re.M | re.S).group(1)


def enumeration(name):
    """{name of a value: its number}"""
    return {value: int(code) for code, value in re.findall(r"^\| (\d+) \| (\w+) \|", section(name), re.M)}


MESSAGES = [(int(code), name) for code, name in re.findall(r"^\| (\d+) \| \[([\w.]+)\]\(#message", PROTOCOL, re.M)]
TYPES = {name: code for code, name in MESSAGES if "." not in name}
NAMES = {value: key for key, value in TYPES.items()}
# Events, by their numbers: name, and the fields of the body in their order.
EVENTS = {code: (name, tuple(re.findall(r"^\| (\w+) \|", section(f"{code} {name}"), re.M)[1:]))
          for code, name in MESSAGES if "." in name}
RECEIPTS = enumeration("receipt_kind")
VOID, BURN = (enumeration("release_reason")[name] for name in ("void", "burn"))


# ------------------------------------------------------------------------------------------------ encoding


def amount(value):
    """An amount on the wire: 16 bytes, big-endian."""
    return value.to_bytes(16, "big")


def number(data):
    """An amount that was read: 16 bytes, or in an event a plain number."""
    return data if isinstance(data, int) else int.from_bytes(data, "big")


def pack_events(events):
    """The bytes of a run, from (type, time_us, body) each, a body being a dict."""
    packed = b""
    for kind, time_us, body in events:
        fields = [body[name] for name in EVENTS[kind][1]] if kind in EVENTS else list(body.values())
        packed += msgpack.packb([kind, time_us, msgpack.packb(fields)])
    return packed


def events_of(runs):
    """What the items of Events hold, one by one, each with all that is known of it."""
    found = []
    for run in runs:
        unpacker = msgpack.Unpacker(raw=False)
        unpacker.feed(run["events"])
        events = list(unpacker)
        assert len(events) == run["count"], run
        asset = run["source"].split(".")[1]
        for place, (kind, time_us, body) in enumerate(events):
            name, fields = EVENTS[kind]
            found.append(dict(offset=run["offset"] + place, source=run["source"], store=run["store"],
                              seq=run["seq"] + place, type=kind, topic=f"{name}.{asset}", time_us=time_us,
                              body=dict(zip(fields, msgpack.unpackb(body)))))
    return found


TELLS_TIME = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def request_id(rng=random.SystemRandom(), now_ms=None):
    """A new request id that tells its time, of now or of a time that is given."""
    digits = f"{now_ms or time.time_ns() // 10 ** 6:012x}7{rng.getrandbits(12):03x}{rng.choice('89ab')}{rng.getrandbits(60):015x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def tx_id(asset, account, request_id):
    """The id of a transaction, known before it is sent."""
    hashed = hashlib.blake2b(digest_size=16)
    for text in (asset, account, request_id):
        hashed.update(struct.pack(">H", len(text)) + text.encode())
    tells = TELLS_TIME.fullmatch(request_id)
    if not tells:
        return hashed.digest()
    seconds = int(tells[1] + tells[2], 16) // 1000 % 2 ** 32
    return struct.pack(">I", seconds) + hashed.digest()[4:]


def receipt(key, kind, asset, tx, account, units, extra=0):
    """Evidence, as a holder of the key makes it."""
    text = key + struct.pack("BB", RECEIPTS[kind], len(asset)) + asset.encode() + tx
    text += struct.pack("B", len(account)) + account.encode() + amount(units) + struct.pack(">Q", extra)
    return hashlib.blake2b(text, person=b"tim3.receipt.2", digest_size=32).digest()


class Refused(Exception):
    def __init__(self, body):
        super().__init__(f"{body['name']}: {body['text']}")
        self.name = body["name"]
        self.code = body["code"]
        self.advice = body["advice"]
        self.body = body


class NoAnswer(Exception):
    pass


def told(answer):
    """The body of an answer that is no refusal."""
    kind, body = answer
    if kind == TYPES["Error"]:
        raise Refused(body)
    return body


class Client:
    """One connection: to the router's front door, or straight to an agent's socket."""

    text_errors = "strict"  # what to do about a str that is not UTF-8

    def __init__(self, endpoint, sender="client", routing_id=None):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        if routing_id:
            self.socket.setsockopt(zmq.ROUTING_ID, routing_id)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 20)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        self.socket.connect(endpoint)
        self.sender = sender
        self.ids = itertools.count(int.from_bytes(os.urandom(6), "big"))
        self.inbox = {}

    def close(self):
        self.socket.close()
        self.context.term()

    def envelope(self, route, kind, body, account="", trace=None):
        identity = next(self.ids)
        metadata = {"account": account} if account else {}
        kind = TYPES[kind] if isinstance(kind, str) else kind
        now = int(time.time() * 1e6)
        data = msgpack.packb([VERSION, kind, identity, self.sender, route, now, 0, trace, metadata, body])
        return identity, data

    def send(self, route, kind, body, account=""):
        identity, data = self.envelope(route, kind, body, account)
        self.socket.send(data)
        return identity

    def receive(self, timeout):
        """Takes one ZeroMQ message; files its envelopes by the id that they answer."""
        if not self.socket.poll(int(timeout * 1000)):
            return False
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, unicode_errors=self.text_errors)
        unpacker.feed(self.socket.recv())
        for envelope in unpacker:
            self.inbox.setdefault(envelope[6], []).append((envelope[1], envelope[9]))
        return True

    def answer(self, identity, timeout=PATIENT):
        """The next answer to that id: (type, body)."""
        return self.answer_to_any([identity], timeout)

    def answer_to_any(self, identities, timeout):
        """The next answer to any of these ids."""
        deadline = time.monotonic() + timeout
        while not any(self.inbox.get(identity) for identity in identities):
            left = deadline - time.monotonic()
            if left <= 0:
                raise NoAnswer()
            self.receive(left)
        identity = next(identity for identity in identities if self.inbox.get(identity))
        answers = self.inbox[identity]
        first = answers.pop(0)
        if not answers:
            del self.inbox[identity]
        return first

    def outcome(self, route, kind, body, timeout=PATIENT):
        """What came of one request, whatever it was: (name of the answer or of the refusal, its body)."""
        kind, answer = self.answer(self.send(route, kind, body), timeout)
        return (answer["name"] if kind == TYPES["Error"] else NAMES[kind]), answer

    def ask_once(self, route, kind, body, account="", timeout=PATIENT):
        return told(self.answer(self.send(route, kind, body, account), timeout))

    def ask(self, route, kind, body, account="", timeout=PATIENT):
        """Asks until there is an answer: sending the same request again is always safe. An answer that comes late, when
        it was asked again already, is as good."""
        deadline = time.monotonic() + timeout
        asked, wait = [], 0.3
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NoAnswer()
            try:
                asked.append(self.send(route, kind, body, account))
                return told(self.answer_to_any(asked, min(wait, left)))
            except NoAnswer:
                wait = min(2 * wait, 2.0)
            except Refused as refusal:
                if refusal.advice not in ("retry_same_id", "unknown"):
                    raise
                time.sleep(0.05)

    # The commands that a client has.
    def faucet(self, account, units, request_id, **more):
        body = dict(account=account, amount=amount(units), request_id=request_id)
        return self.ask("mock_usda.USDA", "Faucet", body, account, **more)

    def mint(self, account, units, request_id, asset="TIM3", **more):
        body = dict(account=account, amount=amount(units), request_id=request_id)
        return self.ask("coordinator." + asset, "Mint", body, account, **more)

    def mint_anew(self, account, units, request_id, asset="TIM3"):
        """A mint that works: under another id where the ledgers voided it, since it took too long."""
        for turn in itertools.count():
            try:
                return self.mint(account, units, f"{request_id}.{turn}", asset)
            except Refused as refusal:
                if refusal.name != "voided":
                    raise

    def redeem(self, account, units, request_id, asset="TIM3", **more):
        body = dict(account=account, amount=amount(units), request_id=request_id)
        return self.ask("coordinator." + asset, "Redeem", body, account, **more)

    def transfer(self, account, to, units, request_id, asset="TIM3", **more):
        body = dict(account=account, to=to, amount=amount(units), request_id=request_id)
        return self.ask("coordinator." + asset, "Transfer", body, account, **more)

    def balance(self, account, asset="TIM3", **more):
        return number(self.ask("token_manager." + asset, "GetBalance", dict(account=account), account,
                               **more)["balance"])

    def holding(self, account, **more):
        return number(self.ask("mock_usda.USDA", "GetHolding", dict(account=account), account,
                               **more)["available"])
