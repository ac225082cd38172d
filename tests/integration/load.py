"""Load with a memory: many requests at once, what became of each, and a check of all of it.

    load = Load(cluster, seed=7)
    load.start()                    # a thread sends; kill what you like meanwhile
    ...
    load.finish()                   # resolves what is unknown, audits, and checks every effect

A request that gets no answer, or one that decides nothing, is asked again under the same request id until
there is a final one; every later answer to it must be the same as the first. What was completed must then be
found exactly once, what was refused not at all: in balances, collateral, histories, positions and metrics.
Balances are compared as sums over the completed requests, so the order of the decisions does not matter.
"""
import random
import threading
import time

import msgpack
import zmq

from tim3_wire import PATIENT, TYPES, Client, amount, number, request_id

NOT_FINAL = ("retry_same_id", "unknown")
FIRST_WAIT = 0.3
LONGEST_WAIT = 1.0
ENTRY_KINDS = {"Mint": 1, "Redeem": 2, "Transfer": 3}
RECEIVED = 4
# Refusals that are not recorded under a transaction: the request itself is wrong.
UNRECORDED = ("invalid_amount", "same_account", "id_reused")


class Request:
    def __init__(self, kind, account, units, request_id, to=None, expect=None):
        self.kind = kind
        self.account = account
        self.to = to
        self.units = units
        self.request_id = request_id
        self.expect = expect  # name of the only refusal that is right
        self.answer = None
        self.again_at = 0.0
        self.wait = FIRST_WAIT

    def body(self):
        body = dict(account=self.account, amount=amount(self.units), request_id=self.request_id)
        if self.to:
            body["to"] = self.to
        return body

    def completed(self):
        return self.answer is not None and self.answer[0] == "completed"

    def refused(self):
        """The name of the refusal, or None."""
        return self.answer[1] if self.answer is not None and self.answer[0] == "refused" else None

    def tx(self):
        return dict(self.answer[-1])["tx"]

    def __str__(self):
        to = f" to {self.to}" if self.to else ""
        return f"{self.kind} {self.request_id} of {self.units} for {self.account}{to}: {self.answer}"


def answer_of(kind, body):
    """What must be the same however often it is asked."""
    if kind != TYPES["Error"]:
        return ("completed", tuple(sorted(body.items())))
    told = {name: body.get(name) for name in ("code", "tx", "available", "needed")}
    return ("refused", body["name"], tuple(sorted(told.items())))


def mixed(load):
    """Requests without end: every kind, right ones and wrong ones."""
    rng = load.rng
    names = [f"acc{i}" for i in range(load.account_count)]
    for name in names:
        yield load.request("Faucet", name, 2000 * load.scale)
    while True:
        yield random_request(load, rng, names)


def random_request(load, rng, names):
    account = rng.choice(names)
    other = rng.choice([name for name in names if name != account])
    dice = rng.random()
    if dice < 0.35:
        return load.request("Mint", account, rng.randint(1, 40))
    if dice < 0.65:
        return load.request("Transfer", account, rng.randint(1, 60), other)
    if dice < 0.85:
        return load.request("Redeem", account, rng.randint(1, 40))
    if dice < 0.88:
        return load.request("Faucet", account, rng.randint(1, 50) * load.scale)
    if dice < 0.97:
        return wrong_request(load, rng, account, other)
    return reused_request(load, rng) or load.request("Mint", account, 1)


def wrong_request(load, rng, account, other):
    kind = rng.choice(("Mint", "Redeem", "Transfer"))
    to = other if kind == "Transfer" else None
    dice = rng.random()
    if dice < 0.6:
        return load.request(kind, account, 10 ** 15, to, expect="insufficient_funds")
    if dice < 0.8:
        return load.request(kind, account, 0, to, expect="invalid_amount")
    return load.request("Transfer", account, 5, account, expect="same_account")


def reused_request(load, rng):
    """A request id that has been decided, now with another amount or even another kind."""
    old = rng.choice(load.requests)
    if old.kind == "Faucet" or old.answer is None or old.refused() in UNRECORDED:
        return None
    kind = rng.choice((old.kind, "Mint", "Redeem"))
    to = old.to if kind == "Transfer" else None
    return Request(kind, old.account, old.units + 1, old.request_id, to, expect="id_reused")


class Load:
    def __init__(self, cluster, seed=1, accounts=12, outstanding=48, asset="TIM3", plan=mixed):
        self.cluster = cluster
        self.rng = random.Random(seed)
        self.account_count = accounts
        self.outstanding = outstanding
        self.asset = asset
        self.client = Client(cluster.front())
        self.queries = cluster.client()
        cluster.clients.append(self)  # so that the cluster ends the thread before it ends
        self.scale = number(self.queries.ask(f"lock_manager.{asset}.0", "GetLockTotals", {})["scale"])
        self.shards = []  # addresses of single coordinators, to which copies are sent
        self.requests = []
        self.waiting = {}
        self.by_id = {}
        self.answered = set()  # ids of messages
        self.plan = plan(self)
        self.done = 0
        self.resent = 0
        self.error = None
        self.issuing = False
        self.closing = False
        self.thread = None

    # ---------------------------------------------------------------------------------------- sending
    def request(self, kind, account, units, to=None, expect=None):
        number = len(self.requests)
        return Request(kind, account, units, request_id() if number % 2 else f"r{number}", to, expect)

    def route(self, request):
        return "mock_usda.USDA" if request.kind == "Faucet" else "coordinator." + self.asset

    def send(self, request, route=None):
        identity, data = self.client.envelope(route or self.route(request), request.kind, request.body(),
                                              request.account)
        self.by_id[identity] = request
        try:
            self.client.socket.send(data, zmq.NOBLOCK)
        except zmq.Again:
            pass  # lost like any other; it is asked again

    def issue(self, request):
        self.requests.append(request)
        self.waiting[request] = None
        request.again_at = time.monotonic() + request.wait
        self.send(request)
        if request.kind != "Faucet" and self.shards and self.rng.random() < 0.1:
            self.send(request, self.rng.choice(self.shards))

    def ask_again(self):
        now = time.monotonic()
        for request in self.waiting:
            if now >= request.again_at:
                request.wait = min(2 * request.wait, LONGEST_WAIT)
                request.again_at = now + request.wait
                self.resent += 1
                self.send(request)

    # -------------------------------------------------------------------------------------- receiving
    def take(self, request, kind, body):
        if kind == TYPES["Error"] and body["advice"] in NOT_FINAL:
            request.again_at = min(request.again_at, time.monotonic() + 0.05)
            return
        answer = answer_of(kind, body)
        if request.answer is None:
            assert not request.expect or answer[1] == request.expect, f"{request} answered {answer}"
            request.answer = answer
            self.done += 1
            self.waiting.pop(request, None)
        assert request.answer == answer, f"{request} was answered otherwise: {answer}"

    def gather(self, timeout):
        if not self.client.socket.poll(int(timeout * 1000)):
            return
        while self.client.socket.poll(0):
            unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
            unpacker.feed(self.client.socket.recv())
            for envelope in unpacker:
                self.file(envelope[6], envelope[1], envelope[9])

    def file(self, identity, kind, body):
        request = self.by_id[identity]
        assert identity not in self.answered, f"one message got two answers: {request}"
        self.answered.add(identity)
        self.take(request, kind, body)

    def fill(self):
        while self.issuing and len(self.waiting) < self.outstanding:
            request = next(self.plan, None)
            if request is None:
                self.issuing = False
            else:
                self.issue(request)

    def run(self):
        try:
            while (self.issuing or self.waiting) and not self.closing:
                self.fill()
                self.gather(0.005)
                self.ask_again()
        except Exception as error:  # told to the thread that waits in check() or resolve()
            self.error = error

    # ------------------------------------------------------------------------------------- life cycle
    def start(self):
        self.issuing = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        self.closing = True
        if self.thread:
            self.thread.join()
        self.client.close()

    def check(self):
        if self.error:
            raise self.error

    def wait(self, reached, what):
        """Waits for as long as requests get final answers, however slowly."""
        seen, deadline = self.done, time.monotonic() + PATIENT
        while not reached():
            self.check()
            if self.done > seen:
                seen, deadline = self.done, time.monotonic() + PATIENT
            waiting = ", ".join(str(request) for request in list(self.waiting)[:10])
            assert time.monotonic() < deadline, f"timed out waiting for {what}; never decided: {waiting}"
            time.sleep(0.02)
        self.check()

    def advance(self, count):
        """Waits until that many more requests have got their final answers."""
        goal = self.done + count
        self.wait(lambda: self.done >= goal, f"{count} more requests to be decided")

    def resolve(self):
        """Issues no more, and asks until every request has its final answer."""
        self.issuing = False
        self.wait(lambda: not self.thread.is_alive(), "all requests to be decided")

    def finish(self):
        self.resolve()
        self.cluster.audit()
        self.verify()
        print(f"    {self.summary()}", flush=True)

    def summary(self):
        completed = sum(request.completed() for request in self.requests)
        refused = len(self.requests) - completed
        return (f"{len(self.requests)} requests: {completed} completed, {refused} refused, "
                f"{self.resent} asked again")

    # ------------------------------------------------------------------------------------------ checks
    def verify(self):
        """Everything that was completed is there once, everything that was refused is not."""
        self.verify_answers()
        wanted = self.expected()
        self.verify_balances(wanted)
        self.verify_histories()
        self.verify_positions(wanted)
        self.verify_metrics()

    def verify_answers(self, most=300):
        """Old requests asked again get the answers that they got."""
        for request in self.rng.sample(self.requests, min(most, len(self.requests))):
            first = request.answer
            request.answer = None
            request.wait = FIRST_WAIT
            self.ask_until_answered(request)
            assert request.answer == first, f"{request} was answered first: {first}"

    def ask_until_answered(self, request, timeout=PATIENT):
        request.again_at = 0
        self.waiting[request] = None
        deadline = time.monotonic() + timeout
        while request.answer is None:
            assert time.monotonic() < deadline, f"no answer when asked again: {request}"
            self.ask_again()
            self.gather(0.05)

    def expected(self):
        """By account: balance, collateral, and the sums of a position."""
        wanted = {}

        def add(account, **changes):
            sums = wanted.setdefault(account, dict(balance=0, collateral=0, minted=0, redeemed=0, received=0,
                                                   sent=0, events=0))
            for name, units in changes.items():
                sums[name] += units
        for request in self.requests:
            if request.completed():
                self.add_effects(add, request)
        return wanted

    def add_effects(self, add, request):
        units = request.units
        if request.kind == "Faucet":
            add(request.account, collateral=units)
        elif request.kind == "Mint":
            add(request.account, balance=units, collateral=-units * self.scale, minted=units, events=1)
        elif request.kind == "Redeem":
            add(request.account, balance=-units, collateral=units * self.scale, redeemed=units, events=1)
        else:
            add(request.account, balance=-units, sent=units, events=1)
            add(request.to, balance=units, received=units, events=1)

    def verify_balances(self, wanted):
        pages = self.cluster.shard_pages
        balances = {item["account"]: number(item["balance"])
                    for item in pages(self.queries, "token_manager." + self.asset, "ListBalances", {})}
        holdings = {item["account"]: number(item["available"])
                    for item in self.cluster.pages(self.queries, "mock_usda.USDA", "ListHoldings", {})}
        for account, sums in wanted.items():
            assert balances.get(account, 0) == sums["balance"], \
                f"{account} has {balances.get(account)}, should have {sums['balance']}"
            assert holdings.get(account, 0) == sums["collateral"], \
                f"{account} has {holdings.get(account)} USDA, should have {sums['collateral']}"
        for account in set(balances) - set(wanted):
            assert balances[account] == 0, f"{account} has {balances[account]} without a request"

    def histories_wanted(self):
        """By account: what its history has to hold, in any order; answers tell the balance of each entry."""
        wanted = {}
        for request in self.requests:
            if request.kind == "Faucet":
                continue
            wanted.setdefault(request.account, {})
            if not request.completed():
                continue
            answer = dict(request.answer[1])
            entry = (ENTRY_KINDS[request.kind], request.to or "", request.units, number(answer["balance"]))
            assert request.tx() not in wanted[request.account], f"two of one tx: {request}"
            wanted[request.account][request.tx()] = entry
            if request.to:
                # where the receiver is in another shard nobody but that one tells this balance
                other = (RECEIVED, request.account, request.units, number(answer["to_balance"]))
                wanted.setdefault(request.to, {})[request.tx()] = other
        return wanted

    def verify_histories(self):
        for account, entries in self.histories_wanted().items():
            pages = self.cluster.pages(self.queries, "token_manager." + self.asset, "ListHistory",
                                       dict(account=account))
            self.verify_history(account, entries, list(pages)[::-1])

    def verify_history(self, account, wanted, items):
        found = {}
        balance = 0
        for place, item in enumerate(items, 1):
            assert item["number"] == place, f"{account}: entry {item['number']} stands in place {place}"
            assert item["tx"] not in found, f"{account}: {item['tx'].hex()} is there twice"
            units = number(item["amount"])
            balance += units if item["kind"] in (ENTRY_KINDS["Mint"], RECEIVED) else -units
            assert number(item["balance"]) == balance, f"{account}: entry {place} does not add up: {item}"
            told = wanted.get(item["tx"], (0, 0, 0, balance))[-1]
            found[item["tx"]] = (item["kind"], item.get("other", ""), units, balance if told else told)
        missing = [tx.hex() for tx in wanted.keys() - found.keys()]
        unasked = [tx.hex() for tx in found.keys() - wanted.keys()]
        assert found == wanted, f"{account}: missing {missing}, unasked {unasked}, or not as answered"

    def verify_positions(self, wanted):
        items = self.cluster.pages(self.queries, "state_manager.-", "ListPositions", dict(asset=self.asset))
        found = {item["account"]: item for item in items}
        for account, sums in wanted.items():
            if sums["events"] == 0:
                assert account not in found, f"{account} has a position without an event"
                continue
            item = found[account]
            for name in ("minted", "redeemed", "received", "sent", "balance"):
                units = number(item[name])
                assert units == sums[name], f"position of {account}: {name} {units}, should be {sums}"
            assert item["events"] == sums["events"], f"position of {account}: {item['events']} events, {sums}"

    def verify_metrics(self):
        metrics = self.queries.ask("state_manager.-", "GetMetrics", dict(asset=self.asset))["items"][0]
        supply = self.cluster.sum_shards(self.queries, "token_manager." + self.asset, "GetSupply")
        for kind, counter, volume in (("Mint", "mints", "volume_minted"),
                                      ("Redeem", "redemptions", "volume_redeemed"),
                                      ("Transfer", "transfers", "volume_transferred")):
            units = [r.units for r in self.requests if r.kind == kind and r.completed()]
            assert metrics[counter] == len(units), (counter, metrics[counter], len(units))
            assert number(metrics[volume]) == sum(units), (volume, number(metrics[volume]), sum(units))
        recorded = {r.tx() for r in self.requests
                    if r.kind != "Faucet" and r.refused() not in (None, *UNRECORDED)}
        assert metrics["refusals"] == supply["refused"] == len(recorded), (metrics["refusals"], len(recorded))
