#!/usr/bin/python3
"""Checks a recorded history of operations: did each happen exactly as it was answered, in an order that fits the clock?

    checker.py HISTORY [--most N]

Knows nothing of how the history came about. It is a file of JSON objects, one per line, in the order in which one
process saw them; t is its monotonic clock in nanoseconds, amounts are integers of the minor unit. One unit of the
asset is scale units of collateral, and collateral comes in whole such units:

    {"e": "header", "asset": A, "scale": N, ...}
    {"e": "invoke", "op": N, "t": T, "kind": KIND, "account": A, "to": B, "units": N, "id": R, "tx": HEX}
    {"e": "ok", "op": N, "t": T, "answer": {...}}           what it answered
    {"e": "refused", "op": N, "t": T, "name": NAME, "available": N, "needed": N}
    {"e": "unknown", "op": N, "t": T}                        given up: it may still happen
    {"e": "final", "histories": {ACCOUNT: [ENTRY, ...]}, "events": [EVENT, ...],
     "collateral": {ACCOUNT: [RECORD, ...]}, "balances": {ACCOUNT: N}, "holdings": {ACCOUNT: N},
     "supply": N, "vault": N, "lookups": {OP: STATUS}}

KIND is Mint, Redeem, Transfer, Faucet, or a question: GetBalance, GetHolding, GetSupply. An operation without any of
the three ends is unknown.

What must hold:

  effects    an operation that was answered ok has one effect, one that was refused none, one that is unknown none or
             one; there is no effect without an operation. Lookups at the end say the same.
  sums       final balances, collateral, supply and vault follow from the effects
  answers    the balances in an answer are those of its place
  order      the ledger's order of all transactions, and of each account's entries, puts nothing after what was only
             asked once it had been answered. With the values in the answers that makes the ledger linearizable: this
             order is the proof. The collateral ledger tells no order; one is looked for, account by account.
  reads      what a question was answered fits a place between all that was answered before it was asked (questions
             too, about whatever account) and all that was asked after it was answered
  refusals   for lack of funds: at the refusal's own place the account had what it says, and that was too little;
             others only where their reason exists

Exit codes: 0 it holds, 1 it does not, 2 the file cannot be used.
"""
import argparse
import bisect
import collections
import heapq
import json
import sys

FOREVER = 1 << 62
MONEY = ("Mint", "Redeem", "Transfer")
QUESTIONS = ("GetBalance", "GetHolding", "GetSupply")
ENTRY = {"Mint": 1, "Redeem": 2, "Transfer": 3}
RECEIVED = 4
FAILED = "transaction.failed"
EVENTS = {"Mint": "token.minted", "Redeem": "token.burned", "Transfer": "token.transferred"}
GROWS = (ENTRY["Mint"], RECEIVED)
LOCK, UNLOCK = "lock", "unlock"
GIVEN_BACK = "unlock_void"  # the collateral of a mint that came to nothing


class Anomaly:
    def __init__(self, rule, text):
        self.rule, self.text = rule, text

    def __str__(self):
        return f"{self.rule}: {self.text}"


class Op:
    def __init__(self, line):
        self.number = line["op"]
        self.kind = line["kind"]
        self.account = line["account"]
        self.to = line.get("to") or ""
        self.units = line.get("units", 0)
        self.id = line.get("id", "")
        self.tx = line.get("tx", "")
        self.invoked = line["t"]
        self.ended = FOREVER
        self.outcome = "unknown"
        self.answer = {}
        self.refusal = {}

    def end(self, line):
        self.outcome = line["e"]
        if self.outcome != "unknown":
            self.ended = line["t"]
        self.answer = line.get("answer", {})
        self.refusal = line if self.outcome == "refused" else {}

    def asks_what(self, other):
        return other is not None and (self.kind, self.account, self.to, self.units) == (
            other.kind, other.account, other.to, other.units)

    def may_have_happened(self):
        return self.outcome != "refused"

    def __str__(self):
        to = f" to {self.to}" if self.to else ""
        return f"op {self.number} ({self.kind} {self.id} of {self.units} for {self.account}{to}, {self.outcome})"


class History:
    def __init__(self, lines):
        self.header, self.final, self.ops = {}, None, {}
        for line in lines:
            event = line["e"]
            if event == "header":
                self.header = line
            elif event == "final":
                self.final = line
            elif event == "invoke":
                self.ops[line["op"]] = Op(line)
            elif event in ("ok", "refused", "unknown"):
                self.ops[line["op"]].end(line)
        if self.final is None:
            raise ValueError("the history has no final state")
        self.scale = self.header.get("scale", 1)

    @classmethod
    def load(cls, path):
        with open(path) as file:
            return cls([json.loads(line) for line in file])

    def of(self, *kinds):
        return [op for op in self.ops.values() if op.kind in kinds]


class Places:
    """Steps of one ledger in their order, each with the operation behind it and the value that it left. Place 0 is
    the beginning, place n what there is after step n."""

    def __init__(self, what):
        self.what = what
        self.values = [0]
        self.ops = [None]
        self.at = [0]  # of an account's entries: their places in the order of all transactions

    def add(self, op, value, at=0):
        self.ops.append(op)
        self.values.append(value)
        self.at.append(at)

    def __len__(self):
        return len(self.values)


class Checker:
    def __init__(self, history):
        self.history = history
        self.anomalies = []
        self.checked = collections.Counter()
        self.by_tx = collections.defaultdict(list)
        for op in history.of(*MONEY, "Faucet"):
            self.by_tx[op.kind == "Faucet", op.tx].append(op)
        self.places = {}  # by account
        self.effect = {}  # op of each transaction that happened, by tx

    def wrong(self, rule, text):
        self.anomalies.append(Anomaly(rule, text))

    def run(self):
        self.check_events()
        self.check_histories()
        self.check_effects()
        self.check_lookups()
        self.check_refusals()
        self.check_collateral()
        self.check_sums()
        self.check_reads()
        return self.anomalies

    # ------------------------------------------------------------------------------------ effects in the ledger
    def op_behind(self, tx, fits, where):
        """The operation that an effect belongs to; several can share a tx when an id is used again."""
        ops = self.by_tx.get((False, tx), [])
        found = [op for op in ops if fits(op)]
        if not found:
            self.wrong("phantom effect", f"{where}: transaction {tx} was never asked for like that")
            return None
        happened = [op for op in found if op.may_have_happened()]
        if not happened:
            self.wrong("effect of a refusal", f"{where}: {found[0]} is there")
        return (happened or found)[0]

    def check_events(self):
        """The token manager's own numbering is the order of all transactions."""
        self.order = Places("supply")
        supply, last, seen = 0, 0, {}
        self.place_of = {}
        for event in self.history.final["events"]:
            where = f"event {event['seq']}"
            self.place_of.setdefault(event["tx"], len(self.order))
            if event["seq"] != last + 1:
                self.wrong("gap", f"after event {last} of the token manager comes {event['seq']}")
            last = event["seq"]
            if event["topic"] not in EVENTS.values():
                self.order.add(self.op_that_failed(event, where), supply)
                continue
            if event["tx"] in seen:
                self.wrong("doubled effect", f"{where}: transaction {event['tx']} was event {seen[event['tx']]} too")
            seen[event["tx"]] = event["seq"]
            op = self.op_behind(event["tx"], lambda op: EVENTS[op.kind] == event["topic"]
                                and op.units == event["amount"], where)
            supply += {"token.minted": 1, "token.burned": -1}.get(event["topic"], 0) * event["amount"]
            if event["supply"] != supply:
                self.wrong("wrong supply", f"{where}: supply is {event['supply']}, but {supply} by the events")
            if op:
                self.check_value(op, "supply", supply)
            self.order.add(op, supply)
        self.events_seen = seen
        self.check_order(self.order)

    def op_that_failed(self, event, where):
        """None when the event is about something else."""
        if event["topic"] != FAILED:
            return None
        ops = [op for op in self.by_tx.get((False, event["tx"]), []) if op.units == event["amount"]]
        if not ops:
            self.wrong("phantom effect", f"{where}: transaction {event['tx']} was never asked for")
            return None
        failed = [op for op in ops if op.outcome != "ok"]
        if not failed:
            self.wrong("lost effect", f"{where}: the ledger refused {ops[0]}")
        return (failed or ops)[0]

    def check_value(self, op, name, value):
        if op.outcome == "ok" and name in op.answer:
            self.checked["values in answers"] += 1
            if op.answer[name] != value:
                self.wrong("wrong answer", f"{op} was told {name} {op.answer[name]}, but it is {value} at its place")

    def check_histories(self):
        for account, entries in self.history.final["histories"].items():
            self.check_history(account, entries)

    def check_history(self, account, entries):
        places = self.places[account] = Places(f"account {account}")
        balance, seen = 0, set()
        for number, entry in enumerate(entries, 1):
            where = f"{account}, entry {number}"
            if entry["number"] != number:
                self.wrong("gap", f"{where}: it is numbered {entry['number']}")
            if entry["tx"] in seen:
                self.wrong("doubled effect", f"{where}: transaction {entry['tx']} is there already")
            seen.add(entry["tx"])
            balance += entry["amount"] if entry["kind"] in GROWS else -entry["amount"]
            if entry["balance"] != balance:
                self.wrong("wrong balance", f"{where}: balance {entry['balance']}, but {balance} by its entries")
            if balance < 0:
                self.wrong("overdrawn", f"{where}: {balance}")
            op = self.op_behind(entry["tx"], lambda op: self.entry_fits(op, account, entry), where)
            if op:
                self.check_value(op, "to_balance" if account == op.to else "balance", balance)
                self.effect[entry["tx"]] = op
            at = self.place_of.get(entry["tx"], places.at[-1])
            if at < places.at[-1]:
                self.wrong("order", f"{where}: by the events it comes before the entry above it")
            places.add(op, balance, max(at, places.at[-1]))
        self.check_order(places)

    @staticmethod
    def entry_fits(op, account, entry):
        if op.units != entry["amount"]:
            return False
        if entry["kind"] == RECEIVED:
            return op.kind == "Transfer" and op.to == account and op.account == entry["other"]
        return (op.account == account and ENTRY.get(op.kind) == entry["kind"]
                and (op.kind != "Transfer" or op.to == entry["other"]))

    def check_effects(self):
        sides = collections.Counter()
        for entries in self.history.final["histories"].values():
            sides.update(entry["tx"] for entry in entries)
        for op in self.history.of(*MONEY):
            happened = op.asks_what(self.effect.get(op.tx))
            if op.outcome == "ok":
                self.checked["operations with one effect"] += 1
                if not happened:
                    self.wrong("lost effect", f"{op} is in no account's history")
                elif op.tx not in self.events_seen:
                    self.wrong("lost effect", f"{op} has no event")
            if happened and sides[op.tx] != (2 if op.kind == "Transfer" else 1):
                self.wrong("lost effect", f"{op}: it has {sides[op.tx]} entries")
            if op.outcome == "unknown":
                self.checked["unknown, found to have happened" if happened else "unknown, found not to have"] += 1
        for tx, seq in self.events_seen.items():
            if tx not in self.effect:
                self.wrong("phantom effect", f"event {seq} tells of transaction {tx}, which no account has")

    def check_lookups(self):
        """Outcomes as the coordinators tell them at the end."""
        for number, status in self.history.final.get("lookups", {}).items():
            op = self.history.ops[int(number)]
            there = op.asks_what(self.effect.get(op.tx))
            self.checked["lookups"] += 1
            if (status == "completed") != there and not self.shares_tx(op):
                self.wrong("wrong lookup", f"{op} is {status}, but its effect is {'there' if there else 'not there'}")

    def shares_tx(self, op):
        return len(self.by_tx[op.kind == "Faucet", op.tx]) > 1

    # ----------------------------------------------------------------------------------------------- real time
    def check_order(self, places):
        """No step may come after one that was only invoked when it had been answered already."""
        latest = None
        for op in places.ops:
            if op is None:
                continue
            if latest is not None and op.ended < latest.invoked:
                self.wrong("order", f"{places.what}: {op} was answered before {latest} was asked, but comes after it")
            if latest is None or op.invoked > latest.invoked:
                latest = op
            self.checked["steps in order"] += 1

    def check_reads(self):
        """Each read gets the first place in the order of all transactions that is possible; that leaves most room to
        those after it, whatever account they are about."""
        reads = [op for op in self.history.of("GetBalance", "GetSupply") if op.outcome == "ok"]
        begin, end = self.bounds(self.order)
        chosen, before = [], 0  # a heap of (ended, place); the last place of those that had ended
        for op in sorted(reads, key=lambda op: op.invoked):
            self.checked["reads"] += 1
            while chosen and chosen[0][0] < op.invoked:
                before = max(before, heapq.heappop(chosen)[1])
            low, high = max(begin(op), before), end(op)
            place = self.first_place(op, low, high)
            if place is not None:
                heapq.heappush(chosen, (op.ended, place))
                continue
            rule = "stale read" if self.first_place(op, 0, low - 1) is not None else "wrong read"
            self.wrong(rule, f"{op} was answered {op.answer}, which is true at no place of its time, {low} to {high}")

    def first_place(self, op, low, high):
        """Where in the order of all transactions what was answered is true; None for nowhere."""
        if op.kind == "GetSupply":
            steps, values, name, told = range(len(self.order)), self.order.values, "supply", op.answer.get("event_seq")
        else:
            account = self.places.get(op.account) or Places(op.account)
            steps, values, name, told = account.at, account.values, "balance", op.answer.get("entries")
        first = max(0, bisect.bisect_right(steps, low) - 1)
        for step in range(first, len(values)):
            if steps[step] > high:
                return None
            until = steps[step + 1] if step + 1 < len(values) else len(self.order)
            if values[step] == op.answer[name] and told in (None, step) and max(low, steps[step]) < until:
                return max(low, steps[step])
        return None

    def bounds(self, places):
        """For an operation: the last place that must be before it, and the last that may be."""
        ends = sorted((op.ended, place) for place, op in enumerate(places.ops) if op)
        invokes = sorted((op.invoked, place) for place, op in enumerate(places.ops) if op)
        last_before, first_after = [], [None] * len(invokes)
        most = 0
        for ended, place in ends:
            most = max(most, place)
            last_before.append((ended, most))
        least = len(places)
        for i in reversed(range(len(invokes))):
            least = min(least, invokes[i][1])
            first_after[i] = (invokes[i][0], least)

        def begin(op):
            i = bisect.bisect_left(last_before, (op.invoked, 0))
            return last_before[i - 1][1] if i else 0

        def end(op):
            i = bisect.bisect_left(first_after, (op.ended + 1, 0))
            return first_after[i][1] - 1 if i < len(first_after) else len(places) - 1
        return begin, end

    # ------------------------------------------------------------------------------------------------ refusals
    def check_refusals(self):
        for op in self.history.of(*MONEY, "Faucet"):
            if op.outcome == "refused":
                self.checked["refusals"] += 1
                if not self.refusal_right(op):
                    self.wrong("phantom refusal", f"{op}: {op.refusal['name']}, "
                                                  f"available {op.refusal.get('available')}, "
                                                  f"needed {op.refusal.get('needed')}")

    def refusal_right(self, op):
        name = op.refusal["name"]
        if name == "insufficient_funds":
            return op.kind == "Mint" or self.lacked_funds(op)
        if name == "invalid_amount":
            return op.units == 0
        if name == "same_account":
            return op.kind == "Transfer" and op.to == op.account
        if name == "id_reused":
            return any(other is not op and other.invoked < op.ended and
                       (other.kind, other.units, other.to) != (op.kind, op.units, op.to)
                       for other in self.by_tx[False, op.tx])
        return name == "voided" and op.kind == "Mint"

    def lacked_funds(self, op):
        """At the place where the ledger recorded the refusal. Mints lack collateral; that is looked at with the
        collateral's own order."""
        if op.refusal["needed"] != op.units or op.refusal["available"] >= op.units:
            return False
        if op.tx not in self.place_of:
            return False
        places = self.places.get(op.account) or Places(op.account)
        step = bisect.bisect_right(places.at, self.place_of[op.tx]) - 1
        return op.refusal["available"] == places.values[step]

    # ---------------------------------------------------------------------------------------------- collateral
    def check_collateral(self):
        """Records of the collateral ledger have no order of their own, but each tells the balance that it left."""
        self.locks = collections.Counter()
        for account, records in self.history.final.get("collateral", {}).items():
            steps = [step for record in records for step in self.collateral_step(account, record)]
            steps += self.collateral_reads(account)
            self.find_order(account, steps)
        for op in self.history.of("Faucet"):
            if op.outcome == "ok" and not any(record["op"] == "faucet" and record["tx"] == op.tx for record in
                                              self.history.final.get("collateral", {}).get(op.account, [])):
                self.wrong("lost effect", f"{op} is not in the collateral ledger")

    def collateral_step(self, account, record):
        """A step: (before, after, invoked, ended, hint, what)."""
        kind, tx = record["op"], record["tx"]
        where = f"collateral of {account}, {kind} {tx}"
        if record["code"] != 0:
            return
        change = -record["amount"] if kind == LOCK else record["amount"]
        ops = self.by_tx.get((kind == "faucet", tx), [])
        wanted = {"faucet": ("Faucet",), LOCK: ("Mint",), UNLOCK: ("Redeem",), GIVEN_BACK: ("Mint",)}[kind]
        scale = 1 if kind == "faucet" else self.history.scale
        ops = [op for op in ops if op.account == account and op.kind in wanted and op.units * scale == record["amount"]]
        if not ops:
            self.wrong("phantom effect", f"{where}: it was never asked for")
            return
        op = ([op for op in ops if op.may_have_happened()] or ops)[0]
        if kind == "faucet":
            self.check_value(op, "balance", record["balance"])
            if op.outcome == "refused":
                self.wrong("effect of a refusal", f"{where}: {op}")
        self.locks[kind] += record["amount"]
        ended = FOREVER if kind == GIVEN_BACK else op.ended  # the caller may be told before it is given back
        yield (record["balance"] - change, record["balance"], op.invoked, ended, record["time_us"], f"{kind} of {op}")

    def collateral_reads(self, account):
        for op in self.history.ops.values():
            if op.account != account:
                continue
            if op.kind == "GetHolding" and op.outcome == "ok":
                value = op.answer["available"]
            elif op.kind == "Mint" and op.refusal.get("name") == "insufficient_funds":
                value = op.refusal["available"] * self.history.scale
                if op.refusal["needed"] != op.units or op.refusal["available"] >= op.units:
                    self.wrong("phantom refusal", f"{op}: {op.refusal}")
            else:
                continue
            yield value, value, op.invoked, op.ended, 0, str(op)

    def find_order(self, account, steps):
        """Depth first, over all orders in which each step begins with the balance that the one before it left and no
        step comes after one that was invoked when it had ended."""
        steps.sort(key=lambda step: (step[2], step[4]))
        self.checked["collateral steps in order"] += len(steps)
        search = Search(steps)
        if not search.run():
            best = search.furthest
            stuck = [steps[i][5] for i in search.stuck][:4]
            self.wrong("collateral order", f"{account}: no order of its {len(steps)} steps fits; after {best} of them "
                                           f"none goes on from {search.stuck_at}: {stuck}")
        wanted = self.history.final["holdings"].get(account, 0)
        total = sum(after - before for before, after, *_ in steps)
        if total != wanted:
            self.wrong("wrong balance", f"collateral of {account}: {wanted}, but {total} by its records")

    # ---------------------------------------------------------------------------------------------------- sums
    def check_sums(self):
        """Money in the end, from the operations that happened alone."""
        final, scale = self.history.final, self.history.scale
        balance, collateral = collections.Counter(), collections.Counter()
        for op in self.effect.values():
            sign = {"Mint": 1, "Redeem": -1, "Transfer": -1}[op.kind]
            balance[op.account] += sign * op.units
            if op.kind == "Transfer":
                balance[op.to] += op.units
            else:
                collateral[op.account] -= sign * op.units * scale
        for op in self.history.of("Faucet"):
            records = final.get("collateral", {}).get(op.account, [])
            if any(record["op"] == "faucet" and record["tx"] == op.tx for record in records):
                collateral[op.account] += op.units
        self.compare("balance", balance, final["balances"])
        self.compare("collateral", collateral, final["holdings"])
        supply = sum(balance.values())
        if final["supply"] != supply:
            self.wrong("wrong supply", f"{final['supply']} in the end, but {supply} by the operations")
        if final["vault"] != supply * scale:
            self.wrong("not backed", f"the vault holds {final['vault']} for a supply of {supply * scale}")

    def compare(self, what, wanted, found):
        for account in sorted(set(wanted) | set(found)):
            if wanted[account] != found.get(account, 0):
                self.wrong("wrong balance", f"{what} of {account} is {found.get(account, 0)} in the end, but "
                                            f"{wanted[account]} by the operations")


class Search:
    """For an order of steps (before, after, invoked, ended, ...), which are sorted by invoked. See find_order."""

    MOST = 2_000_000  # choices that are tried

    def __init__(self, steps):
        self.steps = steps
        self.furthest, self.stuck, self.stuck_at = -1, [], None

    def choices(self, base, done, balance):
        """Steps that can come next, the likeliest last."""
        soonest, window = FOREVER + 1, []
        for i in range(base, len(self.steps)):
            if self.steps[i][2] > soonest:
                break
            if i not in done:
                window.append(i)
                soonest = min(soonest, self.steps[i][3])
        found = [i for i in window if self.steps[i][0] == balance and self.steps[i][2] <= soonest]
        # reads first, for they change nothing; then in the order of the ledger's own clock
        found.sort(key=lambda i: (self.steps[i][1] != balance, self.steps[i][4]), reverse=True)
        if found and self.steps[found[-1]][1] == balance:
            found = found[-1:]
        return found, window

    def run(self):
        base, done, balance, count = 0, frozenset(), 0, 0
        stack, failed, tried = [], set(), 0
        while True:
            while base in done:
                done, base = done - {base}, base + 1
            if base == len(self.steps):
                return True
            found, window = ([], []) if (base, done, balance) in failed else self.choices(base, done, balance)
            if not found and count > self.furthest:
                self.furthest, self.stuck, self.stuck_at = count, window, balance
            state = (base, done, balance)
            while not found:
                failed.add(state)
                if not stack or tried > self.MOST:
                    return False
                state, found, count = stack.pop()
            step = found.pop()
            base, done, _ = state
            stack.append((state, found, count))
            done, balance, count, tried = done | {step}, self.steps[step][1], count + 1, tried + 1


def main():
    parser = argparse.ArgumentParser(description="Checks a recorded history; see the head of this file.")
    parser.add_argument("history")
    parser.add_argument("--most", type=int, default=20, help="anomalies that are printed")
    options = parser.parse_args()
    try:
        history = History.load(options.history)
    except (OSError, ValueError, KeyError) as error:
        print(f"{options.history}: {error}", file=sys.stderr)
        return 2
    checker = Checker(history)
    anomalies = checker.run()
    for anomaly in anomalies[:options.most]:
        print(anomaly)
    if len(anomalies) > options.most:
        print(f"and {len(anomalies) - options.most} more")
    print(", ".join(f"{count} {what}" for what, count in sorted(checker.checked.items())))
    print(f"{len(history.ops)} operations: {'good' if not anomalies else f'{len(anomalies)} anomalies'}")
    return 1 if anomalies else 0


if __name__ == "__main__":
    sys.exit(main())
