#!/usr/bin/python3
"""Can the checker fail? Histories that are right, of a small model; and the same with one thing planted that is wrong.
The last line counts."""
import copy
import hashlib
import random
import sys
import traceback

from checker import Checker, History

SCALE = 10
ACCOUNTS = ["a", "b", "c"]


class Ledger:
    """A ledger that does what it should, one decision after the other."""

    def __init__(self):
        self.balance = dict.fromkeys(ACCOUNTS, 0)
        self.holding = dict.fromkeys(ACCOUNTS, 0)
        self.histories = {account: [] for account in ACCOUNTS}
        self.collateral = {account: [] for account in ACCOUNTS}
        self.events, self.supply, self.clock = [], 0, 0
        self.known = set()

    def event(self, topic, op, **more):
        self.events.append(dict(seq=len(self.events) + 1, topic=topic, tx=op["tx"], amount=op["units"], **more))

    def entry(self, account, kind, op, change, other=""):
        self.balance[account] += change
        entries = self.histories[account]
        entries.append(dict(number=len(entries) + 1, tx=op["tx"], kind=kind, other=other, amount=op["units"],
                            balance=self.balance[account]))

    def move(self, account, kind, op, change):
        self.holding[account] += change
        self.collateral[account].append(dict(op=kind, tx=op["tx"], amount=abs(change), code=0,
                                             balance=self.holding[account], time_us=self.clock))

    def refuse(self, op, available, needed):
        if op["kind"] != "Faucet":
            self.event("transaction.failed", op)
        return "refused", dict(name="insufficient_funds", available=available, needed=needed)

    def decide(self, op):
        self.clock += 1
        account, units, kind = op["account"], op["units"], op["kind"]
        if op["tx"] in self.known:
            if kind == "Mint" and self.holding[account] >= units * SCALE:
                self.move(account, "lock", op, -units * SCALE)
                self.move(account, "unlock_void", op, units * SCALE)
            return "refused", dict(name="id_reused", available=0, needed=0)
        self.known.add(op["tx"])
        if kind == "GetBalance":
            return "ok", dict(balance=self.balance[account], entries=len(self.histories[account]))
        if kind == "GetHolding":
            return "ok", dict(available=self.holding[account])
        if kind == "GetSupply":
            return "ok", dict(supply=self.supply, event_seq=len(self.events))
        if kind == "Faucet":
            self.move(account, "faucet", op, units)
            return "ok", dict(balance=self.holding[account])
        if kind == "Mint":
            if self.holding[account] < units * SCALE:
                return self.refuse(op, self.holding[account] // SCALE, units)
            self.move(account, "lock", op, -units * SCALE)
            self.supply += units
            self.entry(account, 1, op, units)
            self.event("token.minted", op, supply=self.supply)
        elif self.balance[account] < units:
            return self.refuse(op, self.balance[account], units)
        elif kind == "Redeem":
            self.supply -= units
            self.entry(account, 2, op, -units)
            self.event("token.burned", op, supply=self.supply)
            self.move(account, "unlock", op, units * SCALE)
        else:
            self.entry(account, 3, op, -units, op["to"])
            self.entry(op["to"], 4, op, units, account)
            self.event("token.transferred", op, supply=self.supply)
            return "ok", dict(balance=self.balance[account], to_balance=self.balance[op["to"]], supply=self.supply)
        return "ok", dict(balance=self.balance[account], supply=self.supply)

    def final(self):
        return dict(e="final", histories=self.histories, events=self.events, collateral=self.collateral,
                    balances=self.balance, holdings=self.holding, supply=self.supply, vault=self.supply * SCALE,
                    lookups={})


def random_op(rng, number):
    kind = rng.choice(["Faucet", "Mint", "Mint", "Mint", "Redeem", "Transfer", "Transfer", "GetBalance", "GetBalance",
                       "GetHolding", "GetSupply"])
    account = rng.choice(ACCOUNTS)
    units = {"Faucet": rng.randint(5, 40) * SCALE, "Mint": rng.randint(1, 20)}.get(kind, rng.randint(1, 15))
    to = rng.choice([name for name in ACCOUNTS if name != account]) if kind == "Transfer" else ""
    begun = number * 10 + rng.randint(0, 9)
    decided = begun + rng.randint(1, 60)
    return dict(e="invoke", op=number, t=begun, kind=kind, account=account, to=to, units=units, id=f"r{number}",
                tx=hashlib.md5(f"r{number}".encode()).hexdigest(), decided=decided, ended=decided + rng.randint(1, 60))


def reuse_ids(rng, ops):
    """Some ask for a redemption and then a mint under the id of a transfer long done, with an amount of their own."""
    for first, second, third in zip(ops, ops[40:], ops[80:]):
        if (first["kind"], second["kind"], third["kind"]) == ("Transfer", "Redeem", "Mint"):
            first["kept"] = True  # nobody gives it up: what came of an id must be known before it is used again
            for op in (second, third):
                op.update(account=first["account"], units=first["units"] + 1, id=first["id"], tx=first["tx"])


def good_history(seed, count=300):
    """As a list of lines. Some operations are given up: of these, some happen all the same."""
    rng = random.Random(seed)
    ops = [random_op(rng, number) for number in range(count)]
    reuse_ids(rng, ops)
    ledger, lines = Ledger(), [dict(e="header", asset="TIM3", scale=SCALE)]
    ends = []
    for op in sorted(ops, key=lambda op: op["decided"]):
        given_up = rng.random() < 0.1 and not op.pop("kept", False)
        if given_up and rng.random() < 0.5:
            continue
        outcome, result = ledger.decide(op)
        if not given_up:
            end = dict(e=outcome, op=op["op"], t=op["ended"])
            ends.append(dict(end, answer=result) if outcome == "ok" else dict(end, **result))
        elif rng.random() < 0.5:
            ends.append(dict(e="unknown", op=op["op"], t=op["begun"] if "begun" in op else op["t"] + 1))
    lines += sorted(ops + ends, key=lambda line: line["t"])
    return lines + [ledger.final()]


def rules(lines):
    return {anomaly.rule for anomaly in Checker(History(lines)).run()}


class Planter:
    """A good history, and ways to find what can be broken in it."""

    def __init__(self, seed):
        self.lines = good_history(seed)
        self.final = self.lines[-1]
        self.invokes = {line["op"]: line for line in self.lines if line["e"] == "invoke"}
        self.ends = {line["op"]: line for line in self.lines if line["e"] in ("ok", "refused", "unknown")}

    def ended(self, outcome, *kinds):
        return [op for op, end in self.ends.items() if end["e"] == outcome and self.invokes[op]["kind"] in kinds]

    def tx(self, op):
        return self.invokes[op]["tx"]

    def last(self, outcome, *kinds):
        return self.ended(outcome, *kinds)[-1]

    def last_short(self, *kinds):
        """The last that was refused because there was too little."""
        return [op for op in self.ended("refused", *kinds) if self.ends[op]["name"] == "insufficient_funds"][-1]


def lost_effect(p):
    """The last mint of all is nowhere, as if it had never been."""
    tx = p.tx(p.last("ok", "Mint"))
    for entries in p.final["histories"].values():
        entries[:] = [entry for entry in entries if entry["tx"] != tx]
    p.final["events"][:] = [event for event in p.final["events"] if event["tx"] != tx]
    return "lost effect"


def half_a_transfer(p):
    op = p.last("ok", "Transfer")
    entries = p.final["histories"][p.invokes[op]["to"]]
    entries[:] = [entry for entry in entries if entry["tx"] != p.tx(op)]
    return "lost effect"


def doubled_effect(p):
    op = p.last("ok", "Mint")
    entries = p.final["histories"][p.invokes[op]["account"]]
    entry = next(entry for entry in entries if entry["tx"] == p.tx(op))
    entries.append(dict(entry, number=len(entries) + 1, balance=entries[-1]["balance"] + entry["amount"]))
    return "doubled effect"


def doubled_event(p):
    event = p.final["events"][-1]
    p.final["events"].append(dict(event, seq=event["seq"] + 1))
    minted = next(e for e in p.final["events"] if e["topic"] == "token.minted")
    last = p.final["events"][-1]
    last.update(topic="token.minted", tx=minted["tx"], amount=minted["amount"], supply=0)
    return "doubled effect"


def phantom_effect(p):
    entries = p.final["histories"]["a"]
    entries.append(dict(number=len(entries) + 1, tx="ff" * 16, kind=1, other="", amount=5,
                        balance=entries[-1]["balance"] + 5))
    return "phantom effect"


def other_amount(p):
    """The ledger did something else than what was asked for."""
    p.invokes[p.last("ok", "Redeem")]["units"] += 1
    return "phantom effect"


def effect_of_a_refusal(p):
    op = p.last("ok", "Mint")
    end = p.ends[op]
    end.update(e="refused", name="voided")
    end.pop("answer")
    return "effect of a refusal"


def stale_read(p):
    """What an account had before something that was answered long before."""
    for op in reversed(p.ended("ok", "GetBalance")):
        entries = p.final["histories"][p.invokes[op]["account"]]
        told = p.ends[op]["answer"]
        if told["entries"] > 20:
            old = entries[told["entries"] - 20]
            told.update(balance=old["balance"], entries=old["number"])
            return "stale read"
    raise AssertionError("nothing to plant")


def stale_read_without_its_place(p):
    """The same told without the number of entries, by a value that is in the past alone."""
    for op in reversed(p.ended("ok", "GetSupply")):
        seq = p.ends[op]["answer"].pop("event_seq")
        for event in p.final["events"]:
            near = [e.get("supply") for e in p.final["events"][max(0, seq - 25):]]
            if event["seq"] < seq - 40 and event.get("supply") not in near and "supply" in event:
                p.ends[op]["answer"]["supply"] = event["supply"]
                return "stale read"
    raise AssertionError("nothing to plant")


def read_of_the_future(p):
    for op in p.ended("ok", "GetBalance"):
        entries = p.final["histories"][p.invokes[op]["account"]]
        told = p.ends[op]["answer"]
        if 0 < told["entries"] < len(entries) - 20:
            new = entries[told["entries"] + 19]
            told.update(balance=new["balance"], entries=new["number"])
            return "wrong read"
    raise AssertionError("nothing to plant")


def reads_that_go_back(p):
    """Two questions, one after the other, while a slow operation is under way: the second is told what was before it.
    Each alone fits."""
    lines = [dict(e="header", scale=SCALE)]
    ledger, slow = Ledger(), dict(random_op(random.Random(1), 0), kind="Faucet", account="a", units=100, t=0)
    mint = dict(slow, kind="Mint", units=3, op=1, t=20, tx="11", id="m")
    ledger.decide(dict(slow, op=0, tx="00"))
    outcome, answer = ledger.decide(mint)
    lines += [dict(slow, op=0, tx="00", t=0), dict(e="ok", op=0, t=10, answer=dict(balance=100)), mint]
    lines += [dict(e="invoke", op=2, t=30, kind="GetBalance", account="a"),
              dict(e="ok", op=2, t=40, answer=dict(balance=3)),
              dict(e="invoke", op=3, t=50, kind="GetBalance", account="a"),
              dict(e="ok", op=3, t=60, answer=dict(balance=0)),
              dict(e=outcome, op=1, t=90, answer=answer), ledger.final()]
    p.lines = lines
    return "stale read"


def reads_of_two_accounts_that_cross(p):
    """While a slow transfer is under way, one side is seen with it, and then the other without."""
    ledger = Ledger()
    fund = dict(e="invoke", op=0, t=0, kind="Faucet", account="a", to="", units=100, id="f", tx="00")
    mint = dict(fund, op=1, t=20, kind="Mint", units=5, id="m", tx="11")
    move = dict(fund, op=2, t=40, kind="Transfer", to="b", units=2, id="t", tx="22")
    answers = [dict(e=outcome, answer=answer) for outcome, answer in map(ledger.decide, (fund, mint, move))]
    p.lines = [dict(e="header", scale=SCALE), fund, dict(answers[0], op=0, t=10), mint, dict(answers[1], op=1, t=30),
               move, dict(e="invoke", op=3, t=50, kind="GetBalance", account="b"),
               dict(e="ok", op=3, t=60, answer=dict(balance=2, entries=1)),
               dict(e="invoke", op=4, t=70, kind="GetBalance", account="a"),
               dict(e="ok", op=4, t=80, answer=dict(balance=5, entries=1)),
               dict(answers[2], op=2, t=90), ledger.final()]
    return "stale read"


def funded():
    """The lines of an account that got collateral, and its ledger."""
    ledger = Ledger()
    fund = dict(e="invoke", op=0, t=0, kind="Faucet", account="a", to="", units=1000, id="f", tx="00")
    _, answer = ledger.decide(fund)
    return ledger, [dict(e="header", scale=SCALE), fund, dict(e="ok", op=0, t=5, answer=answer)]


def stale_read_before_any_other(p):
    ledger, p.lines = funded()
    mint = dict(p.lines[1], op=1, t=20, kind="Mint", units=5, id="m", tx="11")
    outcome, answer = ledger.decide(mint)
    p.lines += [mint, dict(e=outcome, op=1, t=30, answer=answer),
                dict(e="invoke", op=2, t=40, kind="GetBalance", account="a"),
                dict(e="ok", op=2, t=50, answer=dict(balance=0, entries=0)), ledger.final()]
    return "stale read"


def decided_in_the_wrong_order(p):
    """The ledger agrees with itself and with the answers, but it took the later one first."""
    ledger, p.lines = funded()
    first = dict(p.lines[1], op=1, t=20, kind="Mint", units=5, id="m", tx="11")
    second = dict(first, op=2, t=40, units=7, id="n", tx="22")
    told = {op["op"]: ledger.decide(op) for op in (second, first)}
    p.lines += [first, dict(e="ok", op=1, t=30, answer=told[1][1]), second, dict(e="ok", op=2, t=50, answer=told[2][1]),
                ledger.final()]
    return "order"


def reordered_pair(p):
    """Two entries of one account, the first long answered before the second was asked, change their places."""
    for entries in p.final["histories"].values():
        by_tx = {p.tx(op): op for op in p.ended("ok", "Mint")}
        mints = [i for i, entry in enumerate(entries) if entry["tx"] in by_tx]
        for i, j in zip(mints, mints[4:]):
            if p.ends[by_tx[entries[i]["tx"]]]["t"] < p.invokes[by_tx[entries[j]["tx"]]]["t"]:
                for key in ("tx", "amount"):
                    entries[i][key], entries[j][key] = entries[j][key], entries[i][key]
                return "order"
    raise AssertionError("nothing to plant")


def reordered_events(p):
    """The same for the order over all accounts, where no account's own order is broken."""
    events = p.final["events"]
    events[30], events[-30] = events[-30], events[30]
    events[30]["seq"], events[-30]["seq"] = events[-30]["seq"], events[30]["seq"]
    return "order"


def phantom_refusal(p):
    """There was enough all the time."""
    for op in p.ended("ok", "Redeem", "Transfer"):
        end = p.ends[op]
        end.update(e="refused", name="insufficient_funds", needed=p.invokes[op]["units"],
                   available=p.invokes[op]["units"] - 1)
        if "phantom refusal" in rules(copy.deepcopy(p.lines)):
            return "phantom refusal"
    raise AssertionError("never noticed")


def refusal_with_wrong_operands(p):
    op = p.last_short("Redeem", "Transfer")
    p.ends[op]["available"] = p.ends[op]["needed"]
    return "phantom refusal"


def refusal_of_a_mint_with_wrong_operands(p):
    p.ends[p.last_short("Mint")]["available"] += 10 ** 6
    return "phantom refusal"


def refusal_without_a_reason(p):
    p.ends[p.last_short("Redeem", "Transfer")]["name"] = "account_frozen"
    return "phantom refusal"


def wrong_answer(p):
    p.ends[p.last("ok", "Transfer")]["answer"]["to_balance"] += 1
    return "wrong answer"


def wrong_answer_of_the_faucet(p):
    p.ends[p.last("ok", "Faucet")]["answer"]["balance"] += 1
    return "wrong answer"


def wrong_supply(p):
    p.ends[p.last("ok", "Mint")]["answer"]["supply"] -= 1
    return "wrong answer"


def gap_of_events(p):
    for event in p.final["events"][40:]:
        event["seq"] += 1
    return "gap"


def not_backed(p):
    p.final["vault"] -= 1
    return "not backed"


def wrong_balance(p):
    p.final["balances"]["b"] += 1
    return "wrong balance"


def lost_collateral(p):
    op = p.last("ok", "Faucet")
    records = p.final["collateral"][p.invokes[op]["account"]]
    records[:] = [record for record in records if record["tx"] != p.tx(op)]
    return "lost effect"


def reordered_collateral(p):
    """A read of collateral from long ago: no order has room for it."""
    op = p.last("ok", "GetHolding")
    records = p.final["collateral"][p.invokes[op]["account"]]
    late = {record["balance"] for record in records[-15:]}
    p.ends[op]["answer"]["available"] = next(r["balance"] for r in records if r["balance"] not in late)
    return "collateral order"


def wrong_lookup(p):
    p.final["lookups"][str(p.last("ok", "Mint"))] = "failed"
    return "wrong lookup"


PLANTED = [lost_effect, half_a_transfer, doubled_effect, doubled_event, phantom_effect, other_amount,
           effect_of_a_refusal, stale_read, stale_read_without_its_place, read_of_the_future, reads_that_go_back,
           reads_of_two_accounts_that_cross, stale_read_before_any_other, decided_in_the_wrong_order,
           reordered_pair, reordered_events, phantom_refusal, refusal_with_wrong_operands,
           refusal_of_a_mint_with_wrong_operands, refusal_without_a_reason, wrong_answer, wrong_answer_of_the_faucet,
           wrong_supply, gap_of_events, not_backed, wrong_balance, lost_collateral, reordered_collateral, wrong_lookup]


def test_good():
    for seed in range(40):
        anomalies = Checker(History(good_history(seed))).run()
        assert not anomalies, f"seed {seed}: {anomalies[0]}"


def test_planted(plant, seeds=5):
    for seed in range(seeds):
        planter = Planter(seed)
        rule = plant(planter)
        found = rules(planter.lines)
        assert rule in found, f"seed {seed}: {rule} was planted, found: {sorted(found) or 'nothing'}"


def main():
    passed = failed = 0
    tests = [("good histories are good", test_good)]
    tests += [(f"caught: {plant.__name__.replace('_', ' ')}", lambda plant=plant: test_planted(plant))
              for plant in PLANTED]
    for name, test in tests:
        try:
            test()
            passed += 1
            print(f"ok   {name}")
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print(f"FAIL {name}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
