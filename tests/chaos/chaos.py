#!/usr/bin/python3
"""Real agents under everything at once: kills, freezes, a full disk, full maps, clocks that jump, a network that fails.

    chaos.py [--seconds N] [--seed N] [--rate N] [--keep DIR] [--report FILE]

A bank works on a supervised set while faults are drawn from the seed; at the end everything must be final, audited and
in order. Every operation is recorded as it is seen from outside, and checker.py judges the record. What is drawn
follows from the seed; when it strikes does not, for these are real processes.

A run that fails keeps its data, history and logs. A report is printed, and written as JSON next to them, or to FILE.

Exit codes: 0 good, 1 a rule is broken, 2 usage, 3 something never becomes final or never recovers, 4 a crash.
"""
import argparse
import bisect
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

from cluster import Chaos, Crashed, Lost, wait_for

import faults
import harness
from bank import Bank, Record
from checker import Checker, History

GOOD, BROKEN, USAGE, LIVENESS, CRASH = 0, 1, 2, 3, 4
RESULTS = {GOOD: "good", BROKEN: "a rule is broken", LIVENESS: "something never became final or never recovered",
           CRASH: "a crash"}
DISK_MB, SHORT_DISK_MB = 3072, 1024  # memory, when it is filled
SMALL_MAP_MB = 1
OVERLAPS = 0.25  # of the faults: the next comes before the set has recovered


class Wrong(Exception):
    """An answer, or the state at the end, is not what it must be."""


class Run:
    def __init__(self, options, out):
        self.options, self.out = options, out
        self.rng = random.Random(options.seed)
        self.patience = options.patience
        self.map_raised = False
        self.done = []  # faults: dicts
        self.skipped = {}
        self.cluster = self.bank = self.record = None

    def length(self, seconds, short):
        """How long a fault may take, or how large a thing is: less in a short run."""
        return seconds if self.options.seconds >= 120 else short

    def alive(self):
        """True, unless the load has found something wrong, or an agent has given up for good."""
        if self.bank.error is not None:
            raise Wrong(f"{type(self.bank.error).__name__}: {self.bank.error}")
        return True

    # ----------------------------------------------------------------------------------------------- faults
    def plan(self):
        """Each kind once, in any order, then by weight; first of all the maps, which are small at the beginning."""
        kinds, weights = list(faults.FAULTS), list(faults.FAULTS.values())
        yield faults.map_full
        first = list(kinds)
        self.rng.shuffle(first)
        yield from first
        while True:
            yield self.rng.choices(kinds, weights)[0]

    def strike(self, kind):
        seed = self.rng.randrange(1 << 30)
        begun = time.monotonic_ns()
        try:
            text = kind(self, random.Random(seed))
        except faults.Skipped as reason:
            self.skipped[kind.__name__] = str(reason)
            return None
        fault = dict(kind=kind.__name__, begun=begun, ended=time.monotonic_ns(), text=text, healthy=None)
        self.record.write("fault", **fault)
        self.done.append(fault)
        return fault

    def recover(self, fault):
        """Until all agents are healthy again, and something that was asked after the fault has been answered."""
        what = f"recovery from {fault['kind']} ({fault['text']})"

        def back():
            self.alive()
            if self.cluster.healthy():
                return True
            failed = self.cluster.failed()
            if failed:
                raise Crashed(f"{failed} are left down after {fault['kind']} ({fault['text']})")
            return False
        wait_for(back, self.patience, what + ": all agents healthy")
        fault["healthy"] = time.monotonic_ns()
        wait_for(lambda: self.alive() and self.bank.answered_ns > fault["ended"], self.patience,
                 what + ": an answer to something asked since")

    def wreak(self):
        """Until the time is over, but each kind at least once."""
        deadline = time.monotonic() + self.options.seconds
        least = len(faults.FAULTS) + 1
        for number, kind in enumerate(self.plan()):
            if number >= least and time.monotonic() >= deadline:
                break
            fault = self.strike(kind)
            if fault is None:
                continue
            overlaps = number >= least and self.rng.random() < OVERLAPS
            if self.options.verbose:
                print(f"{time.strftime('%H:%M:%S')} {fault['kind']}: {fault['text']}", flush=True)
            if overlaps:
                continue
            self.recover(fault)
            time.sleep(self.rng.uniform(0.0, 0.5))
        for clock in self.cluster.clocks.values():
            clock.normal()

    # -------------------------------------------------------------------------------------------------- end
    def settle(self):
        """No more faults: everything becomes final, and the audit agrees."""
        self.recover(dict(kind="the last", text="end of all faults", ended=time.monotonic_ns()))
        try:
            self.bank.resolve()
        except AssertionError as error:
            self.alive()
            raise Lost(str(error)) from None
        lookups = self.bank.lookups(self.patience)

        def audited():
            done = self.cluster.ctl("audit", check=False)
            self.audit_said = done.stdout + done.stderr
            return done.returncode == 0
        try:
            wait_for(audited, 2 * self.patience, "tim3ctl audit to agree")
        except Lost:
            raise Wrong(f"tim3ctl audit: {self.audit_said}") from None
        self.asked_again = self.bank.asked_again()
        return lookups

    def final_state(self, lookups):
        """What the ledgers say in the end, while they run."""
        pages, queries = self.cluster.pages, self.bank.queries
        tokens, number = "token_manager.TIM3", harness.number
        balances = {item["account"]: number(item["balance"]) for item in pages(queries, tokens, "ListBalances", {})}
        histories = {account: [dict(number=item["number"], tx=item["tx"].hex(), kind=item["kind"],
                                    other=item.get("other", ""), amount=number(item["amount"]),
                                    balance=number(item["balance"]))
                               for item in list(pages(queries, tokens, "ListHistory", dict(account=account)))[::-1]]
                     for account in balances}
        holdings = {item["account"]: number(item["available"])
                    for item in pages(queries, "mock_usda.USDA", "ListHoldings", {})}
        vault = next(item for item in queries.ask("mock_usda.USDA", "ListVaults", {})["items"]
                     if item["vault"] == "TIM3")
        supply = queries.ask(tokens, "GetSupply", {})
        return dict(balances=balances, histories=histories, holdings=holdings, vault=number(vault["total"]),
                    supply=number(supply["supply"]), lookups=lookups, events=self.events())

    def events(self):
        """Those of the token manager, from the log."""
        found = []
        for line in self.cluster.ctl("--json", "events", timeout=600).stdout.splitlines():
            event = json.loads(line)
            if event["source"] == "token_manager.TIM3.0":
                body = event["body"]
                found.append(dict(seq=event["seq"], topic=event["topic"].rsplit(".", 1)[0], tx=body["tx"],
                                  amount=int(body["amount"]), supply=int(body.get("supply") or 0)))
        return found

    def collateral(self):
        """The collateral token's records, read from its store when it is stopped. Its keys are: operation, tx."""
        found = {}
        store = os.path.join(self.cluster.dir, "store", "mock_usda.USDA.0")
        done = subprocess.run([self.cluster.exe("tim3-poke"), store, "list", "collateral_record"],
                              capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            _, key, text = line.split(" ", 2)
            record = json.loads(text)
            op = {"unlock_burn": "unlock"}.get(record["op"], record["op"])
            found.setdefault(record["account"], []).append(
                dict(op=op, tx=key[2:34], amount=int(record["amount"]), code=record["code"],
                     balance=int(record["balance"]), time_us=record["time_us"]))
        return found

    def check_all(self, final):
        final["collateral"] = self.collateral()
        self.record.write("final", **final)
        self.record.close()
        self.checker = Checker(History.load(os.path.join(self.out, "history.jsonl")))
        anomalies = self.checker.run()
        if anomalies:
            raise Wrong(f"{len(anomalies)} anomalies: " + "; ".join(str(anomaly) for anomaly in anomalies[:5]))

    def all_of_it(self):
        self.record = Record(os.path.join(self.out, "history.jsonl"))
        disk_mb = self.length(DISK_MB, SHORT_DISK_MB)
        self.cluster = Chaos(self.out, self.options.seed, disk_mb, dict(map_size_mb=SMALL_MAP_MB))
        try:
            with self.cluster:
                self.bank = Bank(self.cluster, self.record, self.options.seed, self.options.rate)
                self.bank.start()
                self.wreak()
                lookups = self.settle()
                final = self.final_state(lookups)
                self.cluster.supervisor("stop")
                self.fsck()
                self.check_all(final)
                self.reasons = self.cluster.check_ends()
        except BaseException:
            self.cluster.keep(os.path.join(self.out, "data"))
            raise
        finally:
            self.cluster.disk.close()

    def fsck(self):
        try:
            self.cluster.fsck()
        except AssertionError as error:
            raise Wrong(str(error)) from None

    # ----------------------------------------------------------------------------------------------- report
    def first_answers(self):
        """After each fault, how long until something that was asked since was done, in seconds."""
        invoked, done = {}, []
        with open(os.path.join(self.out, "history.jsonl")) as file:
            for line in map(json.loads, file):
                if line["e"] == "invoke" and not line["kind"].startswith("Get"):
                    invoked[line["op"]] = line["t"]
                elif line["e"] == "ok" and line["op"] in invoked:
                    done.append((invoked[line["op"]], line["t"]))
        done.sort()
        soonest = [end for _, end in done]
        for i in reversed(range(len(soonest) - 1)):
            soonest[i] = min(soonest[i], soonest[i + 1])
        for fault in self.done:
            place = bisect.bisect_right(done, (fault["ended"], 1 << 62))
            if place < len(done):
                yield fault, (soonest[place] - fault["ended"]) / 1e9

    def report(self, code, why, seconds):
        kinds = {}
        for fault in self.done:
            kinds[fault["kind"]] = kinds.get(fault["kind"], 0) + 1
        answers = [took for fault, took in self.first_answers()]
        healthy = [(fault["healthy"] - fault["ended"]) / 1e9 for fault in self.done if fault["healthy"]]
        checker = getattr(self, "checker", None)
        return dict(
            result=RESULTS[code], exit_code=code, why=why, seed=self.options.seed, seconds=round(seconds, 1),
            operations=dict(self.bank.outcomes) if self.bank else {},
            told_to_ask_again=dict(sorted(self.bank.told.items())) if self.bank else {},
            sent_again=self.bank.resent if self.bank else 0,
            decided_asked_again_at_the_end=getattr(self, "asked_again", 0),
            faults=dict(sorted(kinds.items())), skipped=self.skipped,
            kills=dict(total=sum(self.cluster.killed.values()),
                       **{name: count for name, count in self.cluster.killed.items() if count}) if self.cluster else {},
            first_answer_s=spread(answers), all_healthy_s=spread(healthy),
            checked=dict(sorted(checker.checked.items())) if checker else {},
            reasons_given_by_agents=getattr(self, "reasons", {}))


def spread(values):
    """Median, largest and number of some times."""
    values = sorted(values)
    if not values:
        return dict(count=0)
    return dict(count=len(values), p50=round(values[len(values) // 2], 2), max=round(values[-1], 2))


def print_report(report):
    for name, value in report.items():
        if isinstance(value, dict) and name not in ("first_answer_s", "all_healthy_s"):
            print(f"{name}:")
            for key, what in value.items():
                print(f"    {key}: {what}")
        elif isinstance(value, dict):
            print(f"{name}: " + ", ".join(f"{key} {what}" for key, what in value.items()))
        else:
            print(f"{name}: {value}")


def judged(run):
    """Runs it; the exit code, and why."""
    try:
        run.all_of_it()
        return GOOD, ""
    except Wrong as error:
        return BROKEN, str(error)
    except Lost as error:
        return LIVENESS, str(error)
    except Exception as error:
        if not isinstance(error, Crashed):
            traceback.print_exc()
        return CRASH, f"{type(error).__name__}: {error}"


def chaos(options):
    out = options.keep or tempfile.mkdtemp(prefix="t3c-")
    os.makedirs(out, mode=0o700, exist_ok=True)
    run = Run(options, out)
    begun = time.monotonic()
    code, why = judged(run)
    report = run.report(code, why, time.monotonic() - begun)
    print_report(report)
    for path in (os.path.join(out, "report.json"), options.report):
        if path:
            with open(path, "w") as file:
                json.dump(report, file, indent=2)
                file.write("\n")
    if code == GOOD and not options.keep:
        shutil.rmtree(out, ignore_errors=True)
    else:
        print(f"Data, history and logs: {out}")
    return code


def enter_namespace():
    """Mounts are made in a name space of our own: they end with us, and without root it is the only way."""
    if os.environ.get("TIM3_CHAOS_MOUNTS"):
        return
    how = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    can = subprocess.run([*how, "true"], capture_output=True).returncode == 0
    os.environ["TIM3_CHAOS_MOUNTS"] = "yes" if can else "no"
    if can:
        os.execvp("unshare", [*how, sys.executable, *sys.argv])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=120, help="operations a second")
    parser.add_argument("--patience", type=float, default=120, help="seconds that any recovery may take")
    parser.add_argument("--keep", help="folder for data, history and logs, which stay")
    parser.add_argument("--report", help="file for the report, as JSON")
    parser.add_argument("--verbose", action="store_true", help="print each fault")
    options = parser.parse_args()
    enter_namespace()
    return chaos(options)


if __name__ == "__main__":
    sys.exit(main())
