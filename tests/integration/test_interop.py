"""A client in another language, from docs/PROTOCOL.md alone: all that it may do, every refusal that it can
meet, and every kind of bytes that it must not send.
"""
import itertools
import os
import random
import re
import struct
import time

import msgpack
import zmq

from harness import Cluster, main, poll
from tim3_wire import (BURN, EVENTS, NAMES, PATIENT, PROTOCOL, RECEIPTS, TYPES, VOID, NoAnswer, Refused, amount,
                       events_of, number, receipt, request_id, tx_id)

ASSETS = {"TIM3": 6}
SCALE = 10 ** 12
NO_CAP = 2 ** 128 - 1
PAUSE, UNPAUSE, FREEZE, UNFREEZE, CAP = 1, 2, 3, 4, 5
MOST_GROWTH_KB = 64 * 1024
FRAME_MAX = 1024 * 1024
MEETINGS = 4000


def quick(settings=None, sections=None, **more):
    """Agents that retry soon, but void no mint and accept no fewer requests because the machine is slow."""
    settings = dict(dict(sweep_after_ms=60000, sweep_most_ms=60000, heartbeat_ms=200, retry_ms=100), **(settings or {}))
    sections = dict(dict(router=dict(answer_within_ms=60000)), **(sections or {}))
    return Cluster(ASSETS, settings=settings, sections=sections, **more)


def refused(name, ask, *arguments, **more):
    """The body of a refusal by that name."""
    try:
        answer = ask(*arguments, **more)
    except Refused as refusal:
        assert refusal.name == name, (name, refusal.body)
        return refusal.body
    raise AssertionError((name, arguments, str(answer)[:100]))


# For tests that leave mints behind which nobody will finish: until the ledgers void them, which every mint may meet then.
ABANDONED = dict(sweep_after_ms=1500, sweep_most_ms=1500)


def control(client, what, request_id, **fields):
    return client.ask("token_manager.TIM3", "Control", dict(fields, control=what, request_id=request_id))


# ----------------------------------------------------------------------------------------------- the document


def test_the_document():
    """Its tables can be read, and its example works to the byte."""
    text = PROTOCOL
    assert (TYPES["Error"], TYPES["Mint"], RECEIPTS["not_received"], VOID, BURN) == (1, 20, 14, 1, 2)
    assert EVENTS[205] == ("token.controlled", ("tx", "control", "account", "amount")), EVENTS
    assert tx_id("TIM3", "alice", "order-1").hex() in text
    lock = receipt(bytes(32), "lock", "TIM3", tx_id("TIM3", "alice", "order-1"), "alice", 25000000)
    assert lock.hex() in text
    block = text[text.index("9a    # array of ten"):]
    example = bytes.fromhex("".join(line.split("#")[0] for line in block[:block.index("```")].splitlines()))
    assert len(example) == 113
    with quick() as cluster:
        client = cluster.client()
        client.faucet("alice", 100000000 * SCALE, "f1")
        client.mint("alice", 1, "first")
        client.socket.send(example)
        kind, body = client.answer(1)
        assert kind == TYPES["Transaction"] and body["tx"] == tx_id("TIM3", "alice", "order-1"), body
        assert number(body["balance"]) == 25000001
        cluster.audit()


def test_a_whole_life():
    with quick() as cluster:
        client = cluster.client()
        client.faucet("alice", 100 * SCALE, "f1")
        minted = client.mint("alice", 60, "m1")
        assert minted["tx"] == tx_id("TIM3", "alice", "m1") and number(minted["balance"]) == 60
        for _ in range(3):
            again = client.mint("alice", 60, "m1")
            assert again == minted, (again, minted)
        moved = client.transfer("alice", "bob", 25, "t1")
        assert (number(moved["balance"]), number(moved["to_balance"])) == (35, 25)
        assert client.transfer("alice", "bob", 25, "t1") == moved
        redeemed = client.redeem("bob", 20, "r1")
        assert number(redeemed["balance"]) == 5 and number(redeemed["supply"]) == 40
        assert client.redeem("bob", 20, "r1") == redeemed
        assert client.holding("alice") == 40 * SCALE and client.holding("bob") == 20 * SCALE
        for asked in (dict(tx=minted["tx"]), dict(account="alice", request_id="m1")):
            found = client.ask("coordinator.TIM3", "GetTransaction", asked)
            assert found["status"] == 2 and found["kind"] == 1 and number(found["amount"]) == 60
        kinds = [item["kind"] for item in cluster.pages(client, "coordinator.TIM3", "ListTransactions",
                                                        dict(account="bob"))]
        assert kinds == [2, 3], kinds
        cluster.audit()
        position = client.ask("state_manager.-", "GetPosition", dict(asset="TIM3", account="bob"))
        assert [number(position[name]) for name in ("received", "redeemed", "balance")] == [25, 20, 5]
        client.ask("mock_usda.USDA", "CollateralTransfer", dict(account="alice", to="bob",
                                                                amount=40 * SCALE, request_id="c1"))
        assert client.holding("alice") == 0 and client.holding("bob") == 60 * SCALE
        cluster.audit()


def test_ids_that_tell_their_time():
    told = re.search(r"For `TIM3`, `alice` and `([^`]*-[^`]*-7[^`]*)`\nit is `(\w+)`", PROTOCOL)
    assert tx_id("TIM3", "alice", told[1]).hex() == told[2], told
    snippet = re.search(r"```python\n(import secrets.*?)```", PROTOCOL, re.S)[1]
    made, before = {}, int(time.time())
    exec(snippet, made)
    recent = int.from_bytes(tx_id("TIM3", "alice", made["request_id"])[:4], "big")
    assert before <= recent <= time.time(), made["request_id"]
    old, new = request_id(now_ms=1000), request_id()
    with quick() as cluster:
        client = cluster.client()
        client.faucet("alice", 100 * SCALE, "f1")
        for id in (told[1], old, new, made["request_id"]):
            minted = client.mint("alice", 10, id)
            assert minted["tx"] == tx_id("TIM3", "alice", id) and client.mint("alice", 10, id) == minted
            assert refused("id_reused", client.mint, "alice", 11, id)["tx"] == minted["tx"]
            found = client.ask("coordinator.TIM3", "GetTransaction", dict(account="alice", request_id=id))
            assert found["tx"] == minted["tx"], found
            # without the word before it, it is an id as any other
            assert client.mint("alice", 1, id[5:])["tx"] == tx_id("TIM3", "alice", id[5:]) != minted["tx"]
        assert client.redeem("alice", 44, request_id())["status"] == 2
        assert client.holding("alice") == 100 * SCALE
        assert cluster.ctl("tx", "alice", new)
        cluster.audit()


def test_questions_to_every_agent():
    with quick() as cluster:
        client = cluster.client()
        for address, process in cluster.processes.items():
            info = client.ask(address, "Info", {})
            assert info["name"] == address and info["pid"] == process.pid, info
            assert client.ask(address, "Health", {})["score"] <= 100
            assert client.ask(address, "Stats", {})["metrics"]
            assert client.ask(address, "ConfigGet", {})["settings"]
        names = {item["name"] for item in client.ask("router.-", "Discover", dict(role=2))["items"]}
        assert names == {"coordinator.TIM3.0", "coordinator.TIM3.1"}
        assert client.ask("state_manager.-", "GetSystemHealth", {})["score"] <= 100


# ---------------------------------------------------------------------------------------------------- events


class Reader:
    """Reads the event log as the document says: it keeps `next`, and asks again from there."""

    def __init__(self, client, topic="", start=1, credit=1000):
        self.client, self.topic, self.next = client, topic, start
        self.events, self.runs, self.log = [], [], None
        self.renew(credit)

    def renew(self, credit):
        self.identity = self.client.send("router.-", "Subscribe", {
            "subscription": 1, "from": self.next, "topic": self.topic, "credit": credit})

    def stretch(self, timeout=PATIENT):
        kind, body = self.client.answer(self.identity, timeout)
        assert kind == TYPES["Events"], body
        assert body["from"] == self.next and body["next"] >= self.next, body
        self.runs += body["items"]
        body["items"] = events_of(body["items"])
        assert all(body["from"] <= item["offset"] < body["next"] for item in body["items"])
        assert self.log in (None, body["log"])
        self.log, self.next = body["log"], body["next"]
        self.events += body["items"]
        return body

    def read_on(self, count):
        """Until that many events were read."""
        deadline, wait = time.monotonic() + PATIENT, 1.0
        while len(self.events) < count:
            assert time.monotonic() < deadline, (len(self.events), count)
            try:
                self.stretch(wait)
            except NoAnswer:
                wait *= 2
                self.renew(1000)
        return self.events


def test_the_document_tells_how_to_read_a_run():
    snippet = re.search(r"```python\n(import msgpack\n\ndef events_of.*?)```", PROTOCOL, re.S)[1]
    told = {}
    exec(snippet, told)
    with quick() as cluster:
        make_events(cluster.client())
        reader = Reader(cluster.client())
        reader.read_on(62)
        found = [event for run in reader.runs for event in told["events_of"](run)]
        assert found == [(event["offset"], event["seq"], event["type"], event["time_us"], list(event["body"].values()))
                         for event in reader.events]


def topics(events):
    tally = {}
    for event in events:
        tally[event["topic"]] = tally.get(event["topic"], 0) + 1
    return tally


def check_numbers(events):
    """Offsets rise; the numbers of each source count from 1 without gaps or repeats."""
    offsets = [event["offset"] for event in events]
    assert offsets == sorted(set(offsets))
    for source in {event["source"] for event in events}:
        seqs = [event["seq"] for event in events if event["source"] == source]
        assert seqs == list(range(1, len(seqs) + 1)), (source, seqs)


def balances_told(events):
    """What the events say that each account holds in the end."""
    balances = {}
    for event in events:
        if event["topic"] in ("token.minted.TIM3", "token.burned.TIM3"):
            balances[event["body"]["account"]] = number(event["body"]["balance"])
        elif event["topic"] == "token.transferred.TIM3":
            balances[event["body"]["account"]] = number(event["body"]["balance"])
            balances[event["body"]["to"]] = number(event["body"]["to_balance"])
    return balances


def balances_held(cluster, client):
    return {item["account"]: number(item["balance"])
            for item in cluster.pages(client, "token_manager.TIM3", "ListBalances", {})}


def make_events(client):
    """Sixty-two of them; returns how many of each topic."""
    client.faucet("alice", 1000 * SCALE, "f1")
    for i in range(20):
        client.mint("alice", 10 + i, f"m{i}")
    for i in range(10):
        client.transfer("alice", f"to-{i}", 5, f"t{i}")
    for i in range(5):
        client.redeem("alice", 2, f"r{i}")
    refused("insufficient_funds", client.redeem, "nobody", 1, "r1")
    control(client, PAUSE, "c1")
    return {"collateral.locked.TIM3": 20, "token.minted.TIM3": 20, "token.transferred.TIM3": 10,
            "token.burned.TIM3": 5, "collateral.released.TIM3": 5, "transaction.failed.TIM3": 1,
            "token.controlled.TIM3": 1}


def test_events():
    with quick() as cluster:
        client = cluster.client()
        wanted = make_events(client)
        full = Reader(cluster.client()).read_on(62)
        assert topics(full) == wanted and [event["offset"] for event in full] == list(range(1, 63))
        check_numbers(full)
        assert balances_told(full) == balances_held(cluster, client)
        for topic in ("token.", "token.minted.TIM3", "collateral.", "transaction.failed", ""):
            some = [event for event in full if event["topic"].startswith(topic)]
            assert Reader(cluster.client(), topic).read_on(len(some)) == some, topic
        nothing = Reader(cluster.client(), "token.minted.TIME")
        assert nothing.stretch()["items"] == [] and nothing.next == 63
        for start in (2, 31, 62):
            assert Reader(cluster.client(), start=start).read_on(63 - start) == full[start - 1:]
        from_zero = Reader(cluster.client(), start=0)
        from_zero.next = 1  # 0 means the same
        assert from_zero.read_on(62) == full
        beyond = Reader(cluster.client(), start=1000).stretch()
        assert beyond["items"] == [] and beyond["end"] == 63 and beyond["next"] == 1000


def test_credit():
    with quick() as cluster:
        client = cluster.client()
        make_events(client)
        full = Reader(cluster.client()).read_on(62)
        reader = Reader(cluster.client(), credit=5)
        for taken in (5, 10, 17, 62):
            while reader.stretch()["credit"] > 0 and len(reader.events) < taken:
                pass
            assert reader.events == full[:taken], (taken, len(reader.events))
            assert not reader.client.receive(0.15) and not reader.client.inbox  # no credit, no events
            reader.renew(dict([(5, 5), (10, 7), (17, 45), (62, 3)])[taken])
        assert reader.stretch()["credit"] == 3
        control(client, UNPAUSE, "c2")
        assert reader.stretch()["credit"] == 2 and reader.events[-1]["topic"] == "token.controlled.TIM3"
        reader.renew(0)  # the end
        assert reader.stretch()["items"] == []
        client.mint("alice", 1, "late")
        assert not reader.client.receive(0.3) and not reader.client.inbox
        reader.renew(10)
        assert [event["offset"] for event in reader.read_on(65)[-2:]] == [64, 65]
        over = dict(subscription=1, credit=1000001, topic="")
        over["from"] = 1
        refused("invalid_field", client.ask, "router.-", "Subscribe", over)


def test_events_over_a_restart():
    """The router is killed and comes back: nothing is lost, nothing comes twice."""
    with quick() as cluster:
        client, reader = cluster.client(), Reader(cluster.client())
        client.faucet("alice", 1000 * SCALE, "f1")
        for i in range(30):
            client.mint("alice", 1 + i, f"m{i}")
            client.transfer("alice", "bob", 1, f"t{i}")
            if i in (10, 20):
                cluster.restart("router.-.0")
        check_numbers(reader.read_on(90))
        assert topics(reader.events) == {"collateral.locked.TIM3": 30, "token.minted.TIM3": 30,
                                         "token.transferred.TIM3": 30}
        assert balances_told(reader.events) == balances_held(cluster, client)
        cluster.audit()


# ----------------------------------------------------------------------------------------- lists and history


def paged(client, route, kind, body, limit):
    """All items, page by page; no page has more than its limit."""
    items, cursor = [], ""
    while True:
        page = client.ask(route, kind, dict(body, cursor=cursor, limit=limit))
        assert len(page["items"]) <= (limit or 100)
        items += page["items"]
        assert len(items) < 1000 and page["cursor"] != (cursor or None), "pages without end"
        cursor = page["cursor"]
        if not cursor:
            return items


def test_lists():
    with quick() as cluster:
        client = cluster.client()
        client.faucet("alice", 1000 * SCALE, "f1")
        client.mint("alice", 500, "m0")
        for i in range(25):
            client.transfer("alice", f"holder-{i:02}", 3, f"t{i}")
            client.redeem(f"holder-{i:02}", 1, "r1")
            refused("insufficient_funds", client.redeem, "alice", 1000, f"x{i}")
        cluster.audit()
        lists = [("token_manager.TIM3", "ListBalances", {}, 26), ("mock_usda.USDA", "ListHoldings", {}, 26),
                 ("token_manager.TIM3", "ListHistory", dict(account="alice"), 26),
                 ("token_manager.TIM3", "ListRecords", {}, 76),
                 ("token_manager.TIM3", "ListRecords", dict(account="alice"), 51),
                 ("token_manager.TIM3", "ListRecords", dict(account="alice", status=3), 25),
                 ("coordinator.TIM3", "ListTransactions", {}, 76),
                 ("coordinator.TIM3", "ListTransactions", dict(account="alice"), 51),
                 ("coordinator.TIM3", "ListTransactions", dict(status=3), 25),
                 ("lock_manager.TIM3", "ListLocks", {}, 26),
                 ("lock_manager.TIM3", "ListLocks", dict(unsettled=True, account="holder-07"), 0),
                 ("state_manager.-", "ListPositions", dict(asset="TIM3"), 26)]
        for route, kind, body, count in lists:
            pages = [paged(client, route, kind, body, limit) for limit in (0, 1, 7, 1000)]
            assert all(page == pages[0] for page in pages) and len(pages[0]) == count, (kind, body,
                                                                                        len(pages[0]))
            distinct = {msgpack.packb(item) for item in pages[0]}
            assert len(distinct) == count, (kind, body)
        cursor = client.ask("token_manager.TIM3", "ListHistory", dict(account="alice", limit=1))["cursor"]
        refused("invalid_field", client.ask, "lock_manager.TIM3", "ListLocks", dict(account="holder-07"))
        foreign = dict(account="bob", cursor=cursor)
        refused("invalid_field", client.ask, "token_manager.TIM3", "ListHistory", foreign)
        for route, kind, body, _ in lists:
            for garbage in ("zz", "0", "nonsense", "-", "ff" * 199):
                if kind not in ("ListTransactions", "ListRecords"):
                    refused("invalid_field", client.ask, route, kind, dict(body, cursor=garbage))
            refused("too_large", client.ask, route, kind, dict(body, cursor="0" * 401))
            refused("invalid_field", client.ask, route, kind, dict(body, limit=1001))


def test_locks_of_an_account():
    """tim3ctl finds all locks and releases of an account, though the lock manager keeps no list by account."""
    with quick() as cluster:
        client, locks = cluster.client(), cluster.client(cluster.endpoint("lock_manager.TIM3.0"), "coordinator.TIM3.0")
        for account in ("alice", "bob"):
            client.faucet(account, 100 * SCALE, "f1")
            client.mint(account, 20, "m1")
        refused("insufficient_funds", client.mint, "alice", 1000, "m2")
        control(client, PAUSE, "c1")
        refused("asset_paused", client.mint, "alice", 2, "m3")
        control(client, UNPAUSE, "c2")
        client.transfer("alice", "bob", 3, "t1")
        client.redeem("bob", 2, "r1")
        client.redeem("alice", 2, "both")
        refused("id_reused", client.mint, "alice", 5, "both")
        cluster.audit()
        locks.ask("lock_manager.TIM3.0", "Lock", dict(tx=tx_id("TIM3", "alice", "open"), account="alice", amount=amount(1)))
        every = list(cluster.pages(client, "lock_manager.TIM3", "ListLocks", {}))

        def told(items):
            return sorted((item["tx"], item["state"], item["amount"]) for item in items)
        states = {1: "requested", 2: "pending", 3: "refusing", 4: "active", 5: "releasing", 6: "released", 7: "refused"}
        for account, count in (("alice", 6), ("bob", 2), ("carol", 0)):
            want = told(dict(tx=item["tx"].hex(), state=states[item["state"]], amount=str(number(item["amount"])))
                        for item in every if item["account"] == account)
            assert len(want) == count, want
            assert told(cluster.ctl_json("locks", "--account", account)) == want
            for limit in range(1, count):
                assert len(cluster.ctl_json("locks", "--account", account, "--limit", str(limit))) == limit
        assert len(cluster.ctl_json("locks", "--account", "alice", "--state", "released")) == 3
        assert len(cluster.ctl_json("locks", "--account", "alice", "--unsettled")) == 1
        assert "released" in cluster.ctl("locks", "--account", "alice").stdout


def test_marks_of_cursors():
    """Where a cursor begins with a mark of its list, another mark is none of this list's cursors."""
    with quick() as cluster:
        client = cluster.client()
        for garbage in ("x", "x00", "0", "00", "zz", "nonsense", "-", "l-", "t-", "tzz", "h-", "f-",
                        "ff" * 200):
            for route, kind, body in (("coordinator.TIM3", "ListTransactions", {}),
                                      ("token_manager.TIM3", "ListRecords", dict(account="alice"))):
                refused("invalid_field", client.ask, route, kind, dict(body, cursor=garbage))


def test_history():
    """Every entry tells the balance as of itself."""
    with quick() as cluster:
        client, model, wanted = cluster.client(), dict(alice=0, bob=0), dict(alice=[], bob=[])
        client.faucet("alice", 10 ** 6 * SCALE, "f1")
        chance = random.Random(7)

        def enter(account, kind, units, sign):
            model[account] += sign * units
            wanted[account].append((len(wanted[account]) + 1, kind, units, model[account]))
        for i in range(40):
            units, what = chance.randint(1, 50), chance.choice(("mint", "transfer", "redeem"))
            if what == "mint":
                client.mint("alice", units, f"h{i}")
                enter("alice", 1, units, 1)
            elif units > model["alice"]:
                ask = dict(transfer=lambda: client.transfer("alice", "bob", units, f"h{i}"),
                           redeem=lambda: client.redeem("alice", units, f"h{i}"))[what]
                body = refused("insufficient_funds", ask)
                assert (number(body["available"]), number(body["needed"])) == (model["alice"], units)
            elif what == "transfer":
                client.transfer("alice", "bob", units, f"h{i}")
                enter("alice", 3, units, -1)
                enter("bob", 4, units, 1)
            else:
                client.redeem("alice", units, f"h{i}")
                enter("alice", 2, units, -1)
        for account, entries in wanted.items():
            found = paged(client, "token_manager.TIM3", "ListHistory", dict(account=account), 7)
            assert entries == [(item["number"], item["kind"], number(item["amount"]), number(item["balance"]))
                               for item in found[::-1]]
            for options, want in ((("--newest",), found), ((), found[::-1])):
                told = cluster.ctl_json("history", account, *options)
                assert [item["tx"] for item in told] == [item["tx"].hex() for item in want]
                assert cluster.ctl_json("history", account, *options, "--limit", "3") == told[:3]
            assert client.balance(account) == model[account]
        cluster.audit()


# -------------------------------------------------------------------------------------------------- controls


def test_controls():
    with quick() as cluster:
        client = cluster.client()
        client.faucet("alice", 1000 * SCALE, "f1")
        client.mint("alice", 100, "m1")
        paused = control(client, PAUSE, "c1")
        for _ in range(2):
            assert control(client, PAUSE, "c1") == paused
        for i, ask in enumerate((lambda rid: client.mint("alice", 1, rid), lambda rid: client.redeem("alice",
                                                                                                     1, rid),
                                 lambda rid: client.transfer("alice", "bob", 1, rid))):
            for _ in range(2):
                refused("asset_paused", ask, f"p{i}")
        assert client.ask("token_manager.TIM3", "GetSupply", {})["paused"] is True
        control(client, UNPAUSE, "c2")
        assert control(client, PAUSE, "c1") == paused  # an old control is told, not done again
        assert client.ask("token_manager.TIM3", "GetSupply", {})["paused"] is False
        refused("asset_paused", client.redeem, "alice", 1, "p1")  # decided for ever under this id
        client.redeem("alice", 1, "p1-again")
        control(client, FREEZE, "c3", account="bob")
        refused("account_frozen", client.transfer, "alice", "bob", 1, "z1")
        control(client, FREEZE, "c4", account="alice")
        control(client, UNFREEZE, "c5", account="bob")
        refused("account_frozen", client.mint, "alice", 1, "z2")
        refused("account_frozen", client.redeem, "alice", 1, "z3")
        refused("account_frozen", client.transfer, "alice", "bob", 1, "z4")
        control(client, UNFREEZE, "c6", account="alice")
        client.transfer("alice", "bob", 1, "z5")
        control(client, CAP, "c7", amount=amount(110))
        body = refused("cap_exceeded", client.mint, "alice", 12, "k1")
        assert (number(body["available"]), number(body["needed"])) == (11, 12)
        client.mint("alice", 11, "k2")
        control(client, CAP, "c8", amount=amount(10))  # below the supply: no more mints, all else goes on
        body = refused("cap_exceeded", client.mint, "alice", 1, "k3")
        assert (number(body["available"]), number(body["needed"])) == (0, 1)
        client.redeem("alice", 5, "k4")
        control(client, CAP, "c9", amount=amount(NO_CAP))
        client.mint("alice", 500, "k5")
        for lie in (dict(control=UNPAUSE), dict(control=CAP, amount=1), dict(control=FREEZE, account="bob")):
            refused("id_reused", control, client, lie.pop("control"), "c1", **lie)
        cluster.audit()


# --------------------------------------------------------------------------------------------------- refusals


def test_refusals():
    long, usda = "a" * 65, "mock_usda.USDA"
    coordinator, tokens = "coordinator.TIM3", "token_manager.TIM3"
    mint = dict(account="alice", amount=1, request_id="e1")
    move = dict(mint, to="bob")
    cases = [
        ("unknown_message", coordinator, 999, mint), ("unknown_message", coordinator, 0, mint),
        ("unknown_message", coordinator, 23, {}), ("unknown_message", coordinator, 2 ** 64 - 1, mint),
        ("unknown_message", tokens, "Mint", mint), ("unknown_message", "client", "Mint", mint),
        ("not_allowed", "lock_manager.TIM3", "Lock", {}), ("not_allowed", "router.-", "Register", {}),
        ("invalid_field", "nonsense", "Mint", mint), ("invalid_field", "", "Mint", mint),
        ("invalid_field", "coordinator.TIM3.x", "Mint", mint),
        ("no_route", "coordinator.NOPE", "Mint", mint), ("no_route", "coordinator.TIM3.9", "Mint", mint),
        ("no_route", "token_manager.TIM3.1", "GetSupply", {}), ("no_route", "mock_usda.TIM3", "Faucet", mint),
        ("malformed", coordinator, "Mint", []), ("malformed", coordinator, "Mint", None),
        ("malformed", coordinator, "Mint", "text"), ("malformed", coordinator, "Mint", {1: 2}),
        ("invalid_field", coordinator, "Mint", {}),
        ("invalid_field", coordinator, "Mint", dict(account="alice", request_id="e1")),
        ("invalid_field", coordinator, "Mint", dict(mint, amount="1")),
        ("invalid_field", coordinator, "Mint", dict(mint, amount=-1)),
        ("invalid_field", coordinator, "Mint", dict(mint, amount=1.5)),
        ("invalid_field", coordinator, "Mint", dict(mint, amount=bytes(15))),
        ("invalid_field", coordinator, "Mint", dict(mint, amount=bytes(17))),
        ("invalid_field", coordinator, "Mint", dict(mint, amount=None)),
        ("invalid_field", coordinator, "Mint", dict(mint, account=7)),
        ("invalid_field", coordinator, "Mint", dict(mint, account=b"alice")),
        ("invalid_field", coordinator, "Mint", dict(mint, account="al\0ice")),
        ("too_large", coordinator, "Mint", dict(mint, account=long)),
        ("too_large", coordinator, "Mint", dict(mint, account="a" * 900000)),
        ("too_large", coordinator, "Mint", dict(mint, request_id=long)),
        ("invalid_amount", coordinator, "Mint", dict(mint, amount=0)),
        ("invalid_amount", coordinator, "Redeem", dict(mint, amount=bytes(16))),
        ("invalid_amount", coordinator, "Transfer", dict(move, amount=0)),
        ("invalid_amount", usda, "Faucet", dict(mint, amount=0)),
        ("invalid_account", coordinator, "Mint", dict(mint, account="")),
        ("invalid_account", coordinator, "Mint", dict(mint, account="al ice")),
        ("invalid_account", coordinator, "Mint", dict(mint, account="alic\u00e9")),
        ("invalid_account", coordinator, "Transfer", dict(move, to="!control")),
        ("invalid_account", tokens, "GetBalance", dict(account="a/b")),
        ("invalid_account", tokens, "Control", dict(control=FREEZE, request_id="e1")),
        ("invalid_request_id", coordinator, "Mint", dict(mint, request_id="")),
        ("invalid_request_id", coordinator, "Mint", dict(mint, request_id="a b")),
        ("invalid_request_id", coordinator, "Mint", dict(mint, request_id="\u00fc")),
        ("same_account", coordinator, "Transfer", dict(move, to="alice")),
        ("same_account", usda, "CollateralTransfer", dict(move, to="alice")),
        ("invalid_amount", coordinator, "Mint", dict(mint, amount=amount(2 ** 128 - 1), request_id="e2")),
        ("amount_overflow", usda, "Faucet", dict(mint, amount=amount(2 ** 128 - 1), request_id="e3")),
        ("not_found", coordinator, "GetTransaction", dict(tx=bytes(range(16)))),
        ("not_found", coordinator, "GetTransaction", dict(account="alice", request_id="never")),
        ("not_found", tokens, "GetRecord", dict(tx=bytes(range(16)))),
        ("not_found", "lock_manager.TIM3", "GetLock", dict(tx=bytes(range(16)))),
        ("invalid_field", tokens, "GetRecord", dict(tx=bytes(15))),
        ("invalid_field", tokens, "Control", dict(control=6, request_id="e1")),
        ("invalid_field", tokens, "Control", dict(control=0, request_id="e1")),
        ("invalid_field", "lock_manager.TIM3", "ListLocks", dict(unsettled=1)),
        ("invalid_field", coordinator, "ListTransactions", dict(status=9)),
    ]
    results = {name: (int(code), advice) for code, name, advice in
               re.findall(r"^\| (\d+) \| (\w+) \| (final|retry_same_id|retry_new_id|unknown) \|", PROTOCOL,
                          re.M)}
    with quick() as cluster:
        client = cluster.client()
        client.faucet("alice", 100 * SCALE, "f1")
        client.mint("alice", 10, "m1")
        for wanted, route, kind, body in cases:
            name, answer = client.outcome(route, kind, body)
            assert name == wanted, (wanted, route, kind, body, answer)
            assert (answer["code"], answer["advice"]) == results[name], answer
            kind = TYPES[kind] if isinstance(kind, str) else kind
            assert answer["text"] and answer["request"] in (kind, 0), answer
        for ask, needed, available in ((client.redeem, 11, 10), (client.mint, 91, 90)):
            body = refused("insufficient_funds", ask, "alice", needed, f"i{needed}")
            assert (number(body["needed"]), number(body["available"])) == (needed, available), body
            assert body["tx"] == tx_id("TIM3", "alice", f"i{needed}")
        body = refused("insufficient_funds", client.transfer, "alice", "bob", 12, "i12")
        assert (number(body["needed"]), number(body["available"])) == (12, 10), body
        assert client.balance("alice") == 10 and client.holding("alice") == 90 * SCALE
        cluster.audit()


def test_an_amount_that_no_collateral_can_match_takes_no_id():
    """It can never be minted, so the refusal is of the amount and final, and says nothing of the id."""
    with quick() as cluster:
        client = cluster.client()
        client.faucet("alice", 100 * SCALE, "f1")
        too_much = 2 ** 128 // SCALE + 1
        for _ in range(2):
            body = refused("invalid_amount", client.mint, "alice", too_much, "m1")
            assert (body["advice"], body["tx"]) == ("final", tx_id("TIM3", "alice", "m1")), body
            assert client.outcome("coordinator.TIM3", "GetTransaction", dict(tx=body["tx"]))[0] == "not_found"
        client.mint("alice", 5, "m1")
        refused("invalid_amount", client.mint, "alice", too_much, "m1")
        refused("insufficient_funds", client.mint, "alice", too_much - 1, "m2")
        cluster.audit()


def test_overloaded_and_voided():
    """A mint is stopped between its agents: before the token manager, or before the collateral token where the
    coordinator runs the ledgers."""
    with quick(settings=ABANDONED, sections=dict(coordinator=dict(in_flight=1)), coordinators=1) as cluster:
        client = cluster.client()
        client.faucet("alice", 100 * SCALE, "f1")
        client.mint_anew("alice", 1, "m1")
        alone = cluster.process_of("token_manager.TIM3.0") == "token_manager.TIM3.0"
        missing, state = ("token_manager.TIM3.0", 2) if alone else ("mock_usda.USDA.0", 1)
        cluster.kill(missing)
        waiting = client.send("coordinator.TIM3", "Mint", dict(account="alice", amount=amount(5),
                                                               request_id="m2"))
        poll(lambda: list(cluster.pages(client, "lock_manager.TIM3", "ListLocks", dict(state=state))),
             what="a lock")
        name, body = client.outcome("coordinator.TIM3", "Mint", dict(account="alice", amount=1,
                                                                     request_id="m3"))
        assert (name, body["advice"]) == ("overloaded", "retry_same_id"), body
        # with its coordinator gone, the ledgers void the mint by themselves and give the collateral back
        cluster.kill("coordinator.TIM3.0")
        cluster.start(missing)
        if not alone:  # it comes back with them, and knows nothing of the mint
            cluster.start("coordinator.TIM3.0")
            cluster.wait_ready()
        poll(lambda: list(cluster.pages(client, "lock_manager.TIM3", "ListLocks", dict(state=6))),
             what="a release")
        if alone:
            cluster.start("coordinator.TIM3.0")
        assert refused("voided", client.mint, "alice", 5, "m2")["advice"] == "retry_new_id"
        assert waiting not in client.inbox
        client.mint_anew("alice", 1, "m2-again")
        client.mint_anew("alice", 1, "m3")
        cluster.audit()


def test_full_store():
    """A full store refuses what would write, and goes on answering."""
    with quick(settings=dict(map_size_mb=1, checkpoint_mb=1, memory_mb=16)) as cluster:
        client, connection = cluster.client(), cluster.client(cluster.endpoint("mock_usda.USDA.0"))
        client.faucet("alice", 5, "f1")
        names = set()
        for i in itertools.count():
            asked = [connection.envelope("mock_usda.USDA.0", "Faucet", dict(
                account=f"a{i}-{k}", amount=amount(7), request_id="f1")) for k in range(100)]
            connection.socket.send(b"".join(data for _, data in asked))
            answers = [connection.answer(identity) for identity, _ in asked]
            names |= {body["name"] for kind, body in answers if kind == TYPES["Error"]}
            if names:
                break
        assert names == {"storage_full"} and i > 2, (names, i)
        assert client.holding("alice") == 5
        assert client.holding("a0-7") == 7 and client.holding(f"a{i}-99") == 0
        name, body = client.outcome("mock_usda.USDA", "Faucet", dict(account="z" * 64, amount=amount(7),
                                                                     request_id="f1"))
        assert name in ("storage_full", "CollateralMoved") and cluster.running("mock_usda.USDA.0"), body


# ---------------------------------------------------------------------------------------------- hostile bytes


PLACES = ("version", "type", "id", "sender", "recipient", "time_us", "reply_to", "trace", "metadata", "body")


def pack(kind, address, message, identity=1, /, **places):
    """An envelope in which any place can be anything."""
    values = dict(version=1, type=TYPES[kind], id=identity, sender="client", recipient=address, time_us=1,
                  reply_to=0, trace=None, metadata={}, body=message)
    values.update(places)
    return msgpack.packb([values[place] for place in PLACES])


def with_body(kind, address, message, identity=1):
    """The same with the body given as bytes."""
    return pack(kind, address, 0, identity)[:-1] + message


MINT = dict(account="alice", amount=1, request_id="bytes")


def nested(levels):
    return b"\x91" * levels + b"\xc0"


def bad_envelopes():
    """(what is to be answered, under which id, what is sent): to the front door, about a Mint."""
    good = pack("Mint", "coordinator.TIM3", MINT)
    values = msgpack.unpackb(good)
    pairs = [msgpack.packb(key) + msgpack.packb(value) for key, value in MINT.items()]
    yield "malformed", 0, b""
    for noise in (b"\xc1", b"\x00", b"\x90", b"\x80", b"\xc0", b"\xdd\xff\xff\xff\xff",
                  b"\xdf\xff\xff\xff\xff",
                  b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01",
                  b"\xff" * 1000,
                  b"\x9a" * 1000, os.urandom(1), b"GET / HTTP/1.1\r\n\r\n", nested(100), nested(10000)):
        yield "malformed", 0, noise
    yield "malformed", 0, msgpack.packb(values[:9])
    yield "malformed", 0, msgpack.packb(values + [0])
    for place, value in (("version", -1), ("version", "1"), ("type", -1), ("type", None), ("id", 0), ("id",
                                                                                                      -1),
                         ("id", 1.0), ("id", "1")):
        yield "malformed", 0, pack("Mint", "coordinator.TIM3", MINT, **{place: value})
    yield "bad_version", 1, pack("Mint", "coordinator.TIM3", MINT, version=2)
    yield "bad_version", 1, pack("Mint", "coordinator.TIM3", MINT, version=2 ** 64 - 1)
    for place, value in (("sender", None), ("sender", "s" * 41), ("sender", "a\0b"), ("sender", b"client"),
                         ("recipient", "r" * 41), ("recipient", 1), ("recipient", "r" * 500000),
                         ("time_us", -1), ("time_us", "now"), ("reply_to", -1), ("trace", b"short"),
                         ("trace", "t" * 16), ("trace", bytes(17)), ("metadata", None), ("metadata", []),
                         ("metadata", {1: 1}), ("metadata", {f"k{i}": i for i in range(17)}),
                         ("metadata", {"account": "a" * 65}), ("metadata", {"account": 1}),
                         ("metadata", {"via": bytes(33)}), ("metadata", {"via": "x"})):
        yield "malformed", 1, pack("Mint", "coordinator.TIM3", MINT, **{place: value})
    for body in (b"", b"\xc1", nested(9), nested(100), nested(10000), b"\xdd\xff\xff\xff\xff",
                 b"\xdf\xff\xff\xff\xff",
                 b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff\xa1a\x01" * 100,
                 b"\x83" + pairs[0] + pairs[1], b"\xdc\xff\xff" + b"\xc0" * 65534):
        yield "malformed", 1, with_body("Mint", "coordinator.TIM3", body)
    yield "malformed", 1, with_body("Mint", "coordinator.TIM3", b"\x84" + b"".join(pairs) + pairs[0])
    yield "malformed", 1, with_body("Mint", "coordinator.TIM3", b"\x84" + b"".join(pairs) + b"\xc0\xc0")
    yield "invalid_field", 1, pack("Mint", "coordinator.TIM3", MINT).replace(b"bytes", b"b\0tes")
    yield "invalid_field", 1, with_body("Mint", "coordinator.TIM3", b"\x83" + pairs[0] + pairs[2]
                                        + b"\xa6amount\xca\x3f\x80\x00\x00")
    yield "invalid_field", 1, with_body("Mint", "coordinator.TIM3", b"\x83" + pairs[0] + pairs[2]
                                        + b"\xa6amount\xd8\x01" + bytes(16))


def vm_rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


class Watch:
    """That afterwards every process is the same, answers, and has not grown; and that a mint still works."""

    def __init__(self, cluster):
        self.cluster, self.client = cluster, cluster.client()
        self.client.faucet("alice", 10 ** 9 * SCALE, "f1")
        self.client.mint_anew("alice", 1000, "before")
        self.pids = {address: process.pid for address, process in cluster.processes.items()}
        self.sizes = {address: vm_rss_kb(pid) for address, pid in self.pids.items()}

    def check(self):
        for address, pid in self.pids.items():
            assert self.cluster.running(address), f"{address} has died"
            assert self.client.ask(address, "Info", {})["pid"] == pid
            grown = vm_rss_kb(pid) - self.sizes[address]
            assert grown < MOST_GROWTH_KB, (address, grown)
        assert self.client.mint_anew("alice", 1, "after-" + os.urandom(4).hex())["code"] == 0
        self.cluster.audit()


def sockets(cluster):
    """A connection to the front door, and one to every agent, with a name that it listens to."""
    yield cluster.client(), "coordinator.TIM3.0", "client"
    for address in cluster.commands:
        sender = dict(lock_manager="coordinator.TIM3.0", token_manager="coordinator.TIM3.0",
                      mock_usda="lock_manager.TIM3.0").get(address.split(".")[0], "client")
        yield cluster.client(cluster.endpoint(address), sender), address, sender


# One message that each role takes, to be spoilt.
SEEDS = dict(
    coordinator=("Mint", MINT), router=("Subscribe", {"subscription": 1, "from": 1, "topic": "",
                                                      "credit": 0}),
    lock_manager=("Lock", dict(tx=bytes(range(16)), account="alice", amount=amount(1))),
    token_manager=("TokenMint", dict(tx=bytes(range(16)), account="alice", amount=amount(1),
                                     receipt=bytes(32))),
    mock_usda=("VaultLock", dict(vault="TIM3", tx=bytes(range(16)), account="alice", amount=amount(1),
                                 receipt=bytes(32))),
    state_manager=("GetPosition", dict(asset="TIM3", account="alice")))


def seed(address, sender):
    kind, body = SEEDS[address.split(".")[0]]
    return pack(kind, address, body, 7, sender=sender, trace=bytes(16), metadata=dict(account="alice"))


def drain(client):
    """Reads what has come; whatever it is, it must be readable."""
    while client.receive(0):
        pass
    client.inbox.clear()


def still_answers(client, address):
    """The agent behind the socket has taken all that was sent before."""
    def answered():
        identity = client.send(address, "Info", {})
        try:
            kind, body = client.answer(identity, 5)
        except NoAnswer:
            return False
        if kind == TYPES["Error"] and body["name"] == "overloaded":
            return False
        assert kind == TYPES["InfoReply"], (NAMES[kind], body)
        drain(client)
        return True
    poll(answered, what=f"an answer of {address}")


def test_bad_envelopes():
    with quick() as cluster:
        watch, client = Watch(cluster), cluster.client()
        for wanted, identity, data in bad_envelopes():
            client.socket.send(data)
            kind, body = client.answer(identity)
            assert kind == TYPES["Error"] and body["name"] == wanted, (wanted, data[:80], body)
            assert not client.inbox, (data[:80], client.inbox)
        for agent, address, sender in sockets(cluster):
            for _, _, data in bad_envelopes():
                agent.socket.send(data)
                agent.socket.send(data.replace(b"coordinator.TIM3", address.encode()))
            still_answers(agent, address)
        watch.check()
        refused("not_found", client.ask, "coordinator.TIM3", "GetTransaction", dict(account="alice",
                                                                                    request_id="bytes"))


def test_truncated():
    """Every prefix of a good envelope, to everyone."""
    with quick(settings=ABANDONED) as cluster:
        watch = Watch(cluster)
        for client, address, sender in sockets(cluster):
            data = seed(address, sender)
            for size in range(len(data)):
                client.socket.send(data[:size])
                client.socket.send(data + data[:size])  # a whole one and a torn one
            still_answers(client, address)
        watch.check()


def test_flipped_bits():
    with quick(settings=ABANDONED) as cluster:
        watch, chance = Watch(cluster), random.Random(2000)
        for client, address, sender in sockets(cluster):
            client.text_errors = "replace"  # an agent's answer names the sender as the sender did
            good = seed(address, sender)
            for i in range(2000):
                data = bytearray(good)
                for _ in range(chance.choice((1, 1, 2, 8))):
                    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                client.socket.send(bytes(data))
                if i % 200 == 0:
                    drain(client)
            still_answers(client, address)
        watch.check()


def test_large_and_many_parts():
    with quick(settings=ABANDONED) as cluster:
        watch = Watch(cluster)
        for client, address, sender in sockets(cluster):
            good = seed(address, sender)
            # 8 MiB ends the connection at any agent, 1 MiB at the front door; whoever comes anew is served
            client.socket.send(bytes(9 * FRAME_MAX))
            client.socket.send(pack("Mint", address, dict(MINT, account="a" * 9 * FRAME_MAX)))
            still_answers(client, address)
            for parts in ([b"", good], [good, good], [good] + [b"x"] * 1000, [b""] * 50, [good, b""]):
                client.socket.send_multipart(parts)
            client.socket.send(b"")
            still_answers(client, address)
            client.socket.send(bytes(FRAME_MAX - 1))
            still_answers(client, address)
        watch.check()


def test_odd_names_of_connections():
    """Routing ids of all lengths, several under one name, and clients that never read."""
    with quick() as cluster:
        watch, context = Watch(cluster), zmq.Context()
        opened = []
        for name in (b"x", b"y" * 32, b"y" * 33, b"z" * 255, b"same", b"same", b"same", b"\x01\xff\xfe"):
            for endpoint in (cluster.front(), cluster.endpoint("token_manager.TIM3.0")):
                socket = context.socket(zmq.DEALER)
                socket.setsockopt(zmq.LINGER, 0)
                socket.setsockopt(zmq.ROUTING_ID, name)
                socket.connect(endpoint)
                opened.append(socket)
                for i in range(200):
                    socket.send(pack("Info", "token_manager.TIM3.0", {}, i + 1))
        for kind in (zmq.REQ, zmq.SUB, zmq.ROUTER, zmq.PUSH, zmq.PAIR):
            socket = context.socket(kind)
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(cluster.front())
            opened.append(socket)
        watch.check()
        for socket in opened:
            socket.close()
        context.term()


def test_frames_of_many():
    """Two hundred envelopes in one frame are answered each; of too many, those that fit."""
    with quick() as cluster:
        watch = Watch(cluster)
        client = cluster.client()
        mints = [pack("Mint", "coordinator.TIM3", dict(MINT, request_id=f"many-{i}"),
                      i + 1) for i in range(200)]
        client.socket.send(b"".join(mints))
        for i in range(200):
            kind, body = client.answer(i + 1)
            assert kind == TYPES["Transaction"] and body["tx"] == tx_id("TIM3", "alice", f"many-{i}"), body
        for address in cluster.commands:
            agent = cluster.client(cluster.endpoint(address))
            agent.socket.send(b"".join(pack("Info", address, {}, i + 1) for i in range(200)))
            assert all(agent.answer(i + 1)[0] == TYPES["InfoReply"] for i in range(200))
            agent.socket.send(b"".join(pack("Info", address, {}, i + 1) for i in range(8193)))
            assert all(agent.answer(i + 1)[0] == TYPES["InfoReply"] for i in range(8192))
            assert agent.answer(8193)[1]["name"] == "too_large"
        client.socket.send(mints[0] + b"\xc1" + mints[1])
        assert client.answer(1)[0] == TYPES["Transaction"]
        assert client.answer(0)[1]["name"] == "malformed" and not client.inbox
        watch.check()


def test_no_request_is_left_lying():
    """One that arrives while the front sends an answer to another is served, though nothing else comes that would
    wake it."""
    rng = random.Random(7)
    with quick() as cluster:
        pair = [cluster.client(), cluster.client()]
        for turn in range(MEETINGS):
            asked = []
            for client in pair:
                asked.append(client.send("router.-.0", "Info", {}))
                moment = time.perf_counter() + rng.uniform(0, 0.0006)
                while time.perf_counter() < moment:
                    pass
            for client, identity in zip(pair, asked):
                assert client.answer(identity)[0] == TYPES["InfoReply"], turn


def test_unknown_fields():
    """What this version does not know is passed over: fields, metadata; integers have any width."""
    with quick() as cluster:
        watch, client = Watch(cluster), cluster.client()
        value = [[[[[[1]]]]]]
        more = dict(later=value, aaa=None, zzz={"a": [1.5, b"x", msgpack.ExtType(5, b"data")]},
                    big=2 ** 64 - 1)
        before = client.balance("alice")
        forms = [dict(more, **dict(MINT, request_id="u1")), dict(dict(MINT, request_id="u2"), **more)]
        for i, body in enumerate(forms):
            client.socket.send(pack("Mint", "coordinator.TIM3", body, 10 + i, sender="", trace=bytes(16),
                                    metadata={"account": "alice", "via": b"mine", "other": value}))
            assert client.answer(10 + i)[0] == TYPES["Transaction"]
        wide = (b"\x83\xd9\x07account\xda\x00\x05alice\xdb\x00\x00\x00\x06amount\xcf" + struct.pack(">Q", 1)
                + b"\xaarequest_id\xd9\x02u3")
        client.socket.send(with_body("Mint", "coordinator.TIM3", wide, 20))
        assert client.answer(20)[0] == TYPES["Transaction"]
        client.socket.send(with_body("Mint", "coordinator.TIM3", wide.replace(b"u3", b"u4").replace(
            b"\xcf" + struct.pack(">Q", 1), b"\xd0\x01"), 21))
        assert client.answer(21)[0] == TYPES["Transaction"]
        assert client.balance("alice") == before + 4
        watch.check()


NO_TEXT = (b"\xff\xfe", b"a\x80", b"\xc3\x28", b"\xe2\x82", b"\xc0\x80", b"\xed\xa0\x80", b"\xf0\x80\x80\x80",
           b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xf0\x9f\x98", b"a\0b", b"\0")


def test_bytes_that_are_no_text():
    """A str is UTF-8 without a zero byte; anything else goes no further and comes back in no answer."""
    with quick() as cluster:
        watch, client = Watch(cluster), cluster.client()
        asks = [("coordinator.TIM3", "Mint", dict(MINT, account="#")),
                ("coordinator.TIM3", "Mint", dict(MINT, request_id="#")),
                ("state_manager.-", "GetPosition", dict(asset="#", account="alice")),
                ("state_manager.-", "ListPositions", dict(asset="#")),
                ("state_manager.-", "GetMetrics", dict(asset="#")),
                ("router.-", "Discover", dict(asset="#", capability="#")),
                ("router.-", "Subscribe", {"subscription": 1, "from": 1, "topic": "#", "credit": 0}),
                ("coordinator.TIM3", "ListTransactions", dict(cursor="#")),
                ("lock_manager.TIM3", "ListLocks", dict(account="#", unsettled=True)),
                ("token_manager.TIM3", "GetBalance", dict(account="#"))]
        for route, kind, body in asks:
            client.ask(route, "Info", {})
            for bad in NO_TEXT:
                client.socket.send(pack(kind, route, body, 9).replace(b"\xa1#",
                                                                      bytes([0xa0 + len(bad)]) + bad))
                answer = client.answer(9)
                assert answer[1].get("name") == "invalid_field", (kind, bad, answer)
        for place in ("sender", "recipient"):
            for bad in NO_TEXT:
                client.socket.send(pack("Mint", "coordinator.TIM3", MINT, 9, **{place: "#"}).replace(
                    b"\xa1#", bytes([0xa0 + len(bad)]) + bad))
                assert client.answer(9)[1]["name"] == "malformed"
        names = ("\u00e9", "\u20ac", "\U0001f600", "\U0010ffff", "\ud7ff", "\ue000")  # text, but of no name
        for name in names:
            refused("invalid_account", client.mint, name, 1, "text")
        watch.check()


main()
