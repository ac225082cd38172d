"""The workload of the chaos tests, and the record of it: every operation as one process saw it begin and end.

It is the load of the integration tests, at a steady pace, with questions among the requests, and with callers that
lose patience: what they asked for is then unknown, and may happen or not. Nothing is judged here but that one request
id always gets the same answer; checker.py does the rest, from the record alone.
"""
import json
import random
import threading
import time

from load import ENTRY_KINDS, NOT_FINAL, Load, Request, mixed
from tim3_wire import PATIENT, TYPES, NoAnswer, Refused, number, tx_id

QUESTIONS = {"GetBalance": "token_manager.TIM3", "GetHolding": "mock_usda.USDA", "GetSupply": "token_manager.TIM3"}
AMOUNTS = ("balance", "to_balance", "supply", "available", "needed")
NUMBERS = ("entries", "event_seq")
STATUS = {1: "pending", 2: "completed", 3: "failed"}
COLLATERAL = "USDA"


class Question(Request):
    """Something asked, as often as it takes; any answer counts, for each is true of some moment since it was asked."""

    def body(self):
        return {} if self.kind == "GetSupply" else dict(account=self.account)


def plain(body):
    """What an answer tells that can be checked, as integers."""
    told = {name: number(body[name]) for name in AMOUNTS if body.get(name)}
    told.update({name: body[name] for name in NUMBERS if name in body})
    return told


class Record:
    """The history, a line for each event, written as it comes."""

    def __init__(self, path):
        self.file = open(path, "w")
        self.lock = threading.Lock()

    def write(self, event, **fields):
        line = json.dumps(dict(e=event, **fields))
        with self.lock:
            self.file.write(line + "\n")

    def close(self):
        self.file.close()


def bank(load):
    """Requests without end: those of the integration tests, and questions."""
    for request in mixed(load):
        yield request
        while load.rng.random() < 0.3:
            kind = load.rng.choice(("GetBalance", "GetBalance", "GetHolding", "GetSupply"))
            yield Question(kind, f"acc{load.rng.randrange(load.account_count)}", 0, "")


class Bank(Load):
    def __init__(self, cluster, record, seed, rate, accounts=12, outstanding=40):
        super().__init__(cluster, seed=seed, accounts=accounts, outstanding=outstanding, plan=bank)
        self.record = record
        self.moods = random.Random(seed + 1)
        self.gap = 1.0 / rate
        self.next_at = time.monotonic()
        self.op_of = {}  # number of an operation, while it is open
        self.told = {}  # refusals that decided nothing, by name
        self.outcomes = {"ok": 0, "refused": 0, "unknown": 0}
        self.answered_ns = 0  # when the operation was asked that was asked last of all that were answered
        self.invoked_ns = {}
        self.given_up = []
        record.write("header", asset=self.asset, scale=self.scale, seed=seed)

    # ------------------------------------------------------------------------------------------- recording
    def issue(self, request):
        tx = tx_id(COLLATERAL if request.kind == "Faucet" else self.asset, request.account, request.request_id)
        op = self.op_of[request] = len(self.requests)
        now = self.invoked_ns[op] = time.monotonic_ns()
        self.record.write("invoke", op=op, t=now, kind=request.kind, account=request.account, to=request.to,
                          units=request.units, id=request.request_id, tx=tx.hex())
        dice = self.moods.random()
        patience = self.moods.uniform(0.3, 3.0) if dice < 0.04 and request.kind in ENTRY_KINDS else None
        request.gives_up_at = time.monotonic() + patience if patience else None
        request.sent = 0
        super().issue(request)

    def end(self, request, outcome, **fields):
        op = self.op_of.pop(request)
        self.record.write(outcome, op=op, t=time.monotonic_ns(), **fields)
        self.outcomes[outcome] += 1
        invoked = self.invoked_ns.pop(op)
        if outcome != "unknown":
            self.answered_ns = max(self.answered_ns, invoked)

    def take(self, request, kind, body):
        if request not in self.op_of and request.answer is None:
            return  # nobody waits for it any more
        if isinstance(request, Question):
            self.take_answer_of_question(request, kind, body)
            return
        if kind == TYPES["Error"] and body["advice"] in NOT_FINAL:
            self.told[body["name"]] = self.told.get(body["name"], 0) + 1
        super().take(request, kind, body)
        if request.answer is not None and request in self.op_of:
            if request.refused():
                self.end(request, "refused", name=body["name"], **plain(body))
            else:
                self.end(request, "ok", answer=plain(body))

    def take_answer_of_question(self, request, kind, body):
        if kind == TYPES["Error"]:
            self.told[body["name"]] = self.told.get(body["name"], 0) + 1
            request.again_at = min(request.again_at, time.monotonic() + 0.05)
            return
        self.waiting.pop(request, None)
        self.done += 1
        self.end(request, "ok", answer=plain(body))

    # --------------------------------------------------------------------------------------------- sending
    def route(self, request):
        return QUESTIONS.get(request.kind) or super().route(request)

    def send(self, request, route=None):
        """Again through any coordinator, whichever had it first."""
        request.sent += 1
        if request.kind not in ENTRY_KINDS:
            route = None
        elif request.sent > 1 and self.moods.random() < 0.5:
            route = f"coordinator.{self.asset}.{self.moods.randrange(self.cluster.shards)}"
        super().send(request, route)

    def fill(self):
        """At the pace that was asked for; what could not be sent in time is not made up for."""
        now = time.monotonic()
        self.next_at = max(self.next_at, now - 0.1)
        while self.next_at <= now:
            self.next_at += self.gap
            if self.issuing and len(self.waiting) < self.outstanding:
                self.issue(next(self.plan))

    def ask_again(self):
        now = time.monotonic()
        for request in [request for request in self.waiting if request.gives_up_at and now >= request.gives_up_at]:
            del self.waiting[request]
            self.given_up.append((self.op_of[request], request))
            self.end(request, "unknown")
        super().ask_again()

    # ---------------------------------------------------------------------------------------------- the end
    def lookups(self, timeout):
        """What became of the operations that were given up, by what the coordinators say."""
        found = {}
        for op, request in self.given_up:
            try:
                answer = self.queries.ask("coordinator." + self.asset, "GetTransaction", timeout=timeout,
                                          body=dict(account=request.account, request_id=request.request_id))
                found[op] = STATUS[answer["status"]]
            except Refused as refusal:
                found[op] = refusal.name
            except NoAnswer:
                raise TimeoutError(f"nobody tells what became of {request}")
        return found

    def asked_again(self, most=200):
        """Some of the decided requests, asked again, get the answers that they got."""
        decided = [request for request in self.requests if request.answer is not None]
        for request in random.Random(1).sample(decided, min(most, len(decided))):
            self.repeat(request)
        return min(most, len(decided))

    def repeat(self, request, timeout=PATIENT):
        kind, body = TYPES["Error"], dict(advice="unknown")
        deadline = time.monotonic() + timeout
        while kind == TYPES["Error"] and body["advice"] in NOT_FINAL:
            assert time.monotonic() < deadline, f"no answer when asked again: {request}"
            try:
                identity = self.queries.send(self.route(request), request.kind, request.body(), request.account)
                kind, body = self.queries.answer(identity, 5.0)
            except NoAnswer:
                pass
        super().take(request, kind, body)
