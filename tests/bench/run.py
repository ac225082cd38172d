#!/usr/bin/python3
"""Runs TIM3 beside PostgreSQL and Redis, which do the same work durably, in turns of a few seconds.

    make bench                              about eight minutes
    make bench FULL=1 JSON=results.json     100,000, 1 million and 10 million accounts; an hour or so
    make bench SECTIONS=mints ACCOUNTS=1000000 ZIPF=0.99 ROUNDS=5 TIME=3 SYSTEMS="tim3 postgres"

Nothing here asserts a time. Medians of rounds that took turns are compared, since a machine is never the same
for long. DIR is where the data goes (default: the folder for temporary files): it decides which disk is measured.
"""
import argparse
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

import report
import systems
from systems import RATE_WARM_UP_S, Missing, Postgres, Redis, Tim3, run, tool

LIMITS_S = 0.4
RATE_CLIENTS, RATE_OUTSTANDING = 4, 16000
RECOVERY_TIMES = 5
SCALE_LOADS = ("64 clients", "16,000 outstanding")
ROOT = report.ROOT


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


# ----------------------------------------------------------------------------------------------- machine

def filesystem_of(folder):
    done = run(["df", "--output=fstype,source", folder]).splitlines()[1].split()
    return " on ".join(done)


def cpu_name():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())


def commit():
    done = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "no commit"


class Machine:
    """What was measured on, and how busy it was with other things."""

    def __init__(self, folder, note):
        self.folder = folder
        self.loads = [os.getloadavg()[0]]
        self.note = note
        self.limits = []

    def look(self):
        """Its own limits, now."""
        self.loads.append(os.getloadavg()[0])
        with tempfile.TemporaryDirectory(prefix="b-limits-", dir=self.folder) as folder:
            self.limits.append(json.loads(run([tool("bench-limits"), folder, str(LIMITS_S)])))

    def told(self):
        filesystem = filesystem_of(self.folder)
        if filesystem.startswith("tmpfs"):
            filesystem += " (NOT DURABLE: memory, not a disk)"
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2 ** 30
        return dict(cpu=cpu_name(), cpus=os.cpu_count(), memory_gb=round(memory), kernel=platform.release(),
                    filesystem=filesystem, note=self.note, commit=commit(),
                    version=open(os.path.join(ROOT, "VERSION")).read().strip(),
                    load_average=[round(load, 1) for load in (self.loads[0], max(self.loads), os.getloadavg()[0])])


# ---------------------------------------------------------------------------------------------- one round

def client_cpu_us():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e6


def measure(system, load, seconds, seed, accounts, zipf):
    """One load on one system: what its client found, and what its processes used, until all of it was settled."""
    memory = []
    sampler = threading.Timer(seconds / 2, lambda: memory.append(system.memory()))
    before, client, device = system.usage(), client_cpu_us(), systems.device_bytes(tempfile.gettempdir())
    sampler.start()
    try:
        found = system.run(load, seconds, seed, accounts, zipf)
    finally:
        sampler.cancel()
        sampler.join()
    client = client_cpu_us() - client
    ended = time.monotonic()
    system.settle()
    after = system.usage()
    mints = max(1, found.get("done", found["completed"]))  # with those of a warm-up, which is paid for as well
    for field in next(iter(after.values())):
        each = {name: (after[name][field] - before[name][field]) / mints for name in after}
        found.update({field: sum(each.values()), field + "_by_process": each})
    if device is not None:
        found["device_bytes"] = (systems.device_bytes(tempfile.gettempdir()) - device) / mints
    found.update(settled_s=time.monotonic() - ended, client_cpu_us=client / mints,
                 memory_mb=max(memory) if memory else system.memory())
    return found


def new_row(system, load):
    return dict(system=system.name, variant=system.variant, load=load["label"], clients=load["clients"],
                outstanding=load["outstanding"], batch=load.get("batch", 1), rounds=[])


class Bench:
    def __init__(self, options):
        self.options = options
        self.machine = Machine(options.dir, options.note)
        self.results = dict(when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), versions={}, settings={},
                            missing=[], verified=[])
        self.running = []
        self.runs = 0

    # ------------------------------------------------------------------------------------------- systems

    def start(self, make):
        """A running system; None, and a note, when something that it needs is not installed."""
        try:
            system = make()
        except (Missing, KeyError) as missing:
            text = f"{make.__name__}, for {missing} is not there (scripts/install-deps --bench)"
            if text not in self.results["missing"]:
                self.results["missing"].append(text)
            return None
        self.running.append(system)
        system.start()
        self.results["versions"][system.name] = system.version
        self.results["settings"][system.name] = system.settings
        return system

    def stop_all(self):
        while self.running:
            self.running.pop().stop()

    def verify(self, what):
        for system in self.running:
            try:
                found = system.verify()
            except AssertionError as wrong:
                sys.exit(f"bench: {system.name} has not done what it answered: {wrong}")
            self.results["verified"].append(dict(system=system.name, what=f"{what}{system.variant and ', '}"
                                                 f"{system.variant}", found=found))

    def turn(self, rows, seconds, accounts, zipf, counted=True):
        """Every load once; the seed differs from turn to turn, and is the same for all in one turn."""
        self.runs += 1
        for row, system, load in rows:
            found = measure(system, load, seconds, self.runs, accounts, zipf)
            if counted:
                row["rounds"].append(found)
        self.machine.look()

    # -------------------------------------------------------------------------------------------- mints

    def side_by_side(self):
        found = []
        if "tim3" in self.options.systems:
            for name, settings in systems.variants():
                def make_tim3(name=name, settings=settings):
                    return Tim3(name, asset_settings=settings)
                found.append(self.start(make_tim3))
        if "postgres" in self.options.systems:
            found.append(self.start(Postgres))
        if "redis" in self.options.systems:
            found.append(self.start(Redis))
        return [system for system in found if system]

    def rates(self, rows, block):
        """Half the peak and twice of it, begun whatever is answered. The peak is that of the load which did best in the rounds
        before, measured anew in each round, and warmed up as long as what is set against it."""
        loads = []
        for system in {system: None for _, system, _ in rows if system.name == "tim3"}:
            best = max((row for row, other, _ in rows if other is system), key=lambda row: report.middle(row, "per_second"))
            wanted = [dict(label="the peak", clients=best["clients"], outstanding=best["outstanding"])]
            wanted += [dict(label=label, clients=RATE_CLIENTS, outstanding=RATE_OUTSTANDING, part=part)
                       for label, part in (("half the peak", 0.5), ("twice the peak", 2.0))]
            loads.append([(new_row(system, load), system, dict(load, warm_up=RATE_WARM_UP_S)) for load in wanted])
        for number in range(self.options.rounds):
            say(f"{block['accounts']:,} accounts, at a rate, round {number + 1} of {self.options.rounds}")
            self.runs += 1
            for (peak_row, system, peak_load), *others in loads:
                peak = self.measure_at(peak_row, system, peak_load, block)["per_second"]
                for row, _, load in others:
                    rate = max(1, int(peak * load["part"]))
                    found = self.measure_at(row, system, dict(load, rate=rate), block)
                    found.update(rate=rate, of_peak=found["per_second"] / peak)
            self.machine.look()
        block["rates"] += [row for three in loads for row, _, _ in three]

    def measure_at(self, row, system, load, block):
        found = measure(system, load, self.options.seconds + 1, self.runs, block["accounts"], block["zipf"])
        row["rounds"].append(found)
        return found

    def mints_of(self, running, accounts, zipf):
        block = dict(accounts=accounts, zipf=zipf, seconds=self.options.seconds, rates=[], flushed_bytes={})
        rows = [(new_row(system, load), system, load) for system in running for load in system.loads]
        block["rows"] = [row for row, _, _ in rows]
        say(f"{accounts:,} accounts, {'Zipf ' + str(zipf) if zipf else 'uniform'}: warming up")
        self.turn(rows, 1, accounts, zipf, counted=False)
        for number in range(self.options.rounds):
            say(f"{accounts:,} accounts, {'Zipf ' + str(zipf) if zipf else 'uniform'}: round {number + 1} of "
                f"{self.options.rounds}")
            self.turn(rows, self.options.seconds, accounts, zipf)
        self.rates(rows, block)
        self.results["mints"].append(block)

    def mints(self):
        self.results["mints"] = []
        for accounts in self.options.accounts:
            running = self.side_by_side()
            for system in running:
                say(f"{system.name}: {accounts:,} accounts are made")
                system.prefill(accounts)
            for zipf in self.options.zipf:
                mints = {system: system.completed for system in running}
                self.mints_of(running, accounts, zipf)
                for system in running:
                    before = sum(used["written_bytes"] for used in system.usage().values())
                    system.flush()
                    size = sum(used["written_bytes"] for used in system.usage().values()) - before
                    if system.name == "postgres":
                        self.results["mints"][-1]["flushed_bytes"][system.name] = \
                            size / max(1, system.completed - mints[system])
            self.verify(f"{accounts:,} accounts")
            self.stop_all()

    # ----------------------------------------------------------------------------------------- recovery

    def recovery(self):
        self.results["recovery"] = []
        for name, settings in systems.variants():
            for accounts in self.options.recovery:
                def make_tim3(name=name, settings=settings):
                    return Tim3(name, asset_settings=settings)
                system = self.start(make_tim3)
                if not system:
                    return
                say(f"recovery with {accounts:,} accounts ({name})")
                system.prefill(accounts, tokens=True)
                without = [system.take_mint(f"before-{i}") for i in range(RECOVERY_TIMES)]
                took = [system.take_mint(f"after-{i}", "token_manager.TIM3.0") for i in range(RECOVERY_TIMES)]
                self.results["recovery"].append(dict(system="tim3", variant=name, accounts=accounts, took_s=took,
                                                     without_s=without, store_mb=system.store_mb()))
                system.settle()
                system.cluster.ctl("audit", timeout=600)
                self.stop_all()

    # -------------------------------------------------------------------------------------------- scale

    def scale(self):
        """More coordinators, then more shards behind four of them, and shards merged with a coordinator each; all sets stand
        side by side and take turns."""
        wanted = [(f"{count} coordinator{'s' * (count > 1)}", count, {}) for count in (1, 2, 4)]
        wanted += [(f"4 coordinators, {count} shards", 4, dict(shards=count)) for count in (2, 4)]
        wanted += [(f"{count} shard{'s' * (count > 1)}, merged", count, dict(shards=count, critical_path="merged"))
                   for count in (1, 4)]
        rows = []
        for name, coordinators, settings in wanted:
            def make_tim3(name=name, coordinators=coordinators, settings=settings):
                return Tim3(name, coordinators, settings)
            system = self.start(make_tim3)
            if not system:
                return
            system.prefill(self.options.accounts[0])
            rows += [(new_row(system, load), system, load) for load in system.loads if load["label"] in SCALE_LOADS]
        say("scale: warming up")
        self.turn(rows, 1, self.options.accounts[0], 0.0, counted=False)
        for number in range(self.options.rounds):
            say(f"scale: round {number + 1} of {self.options.rounds}")
            self.turn(rows, self.options.seconds, self.options.accounts[0], 0.0)
        self.results["scale"] = [row for row, _, _ in rows]
        self.verify("scale")
        self.stop_all()

    # ---------------------------------------------------------------------------------------------- all

    def save(self):
        self.results.update(machine=self.machine.told(), limits=self.machine.limits)
        if self.options.json:
            with open(self.options.json, "w") as file:
                json.dump(self.results, file, indent=1)
                file.write("\n")

    def all(self):
        try:
            for section in self.options.sections:
                getattr(self, section)()
                self.save()
        finally:
            self.stop_all()


def parse():
    full = bool(os.environ.get("FULL"))

    def words(name, fallback):
        return (os.environ.get(name) or fallback).replace(",", " ").split()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", default=os.environ.get("JSON"), metavar="FILE", help="write the results here, too")
    parser.add_argument("--dir", default=os.environ.get("DIR") or tempfile.gettempdir(), help="where the data goes")
    parser.add_argument("--note", default=os.environ.get("NOTE") or "nothing is known of other work on it",
                        help="what else the machine was doing")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS") or 3))
    parser.add_argument("--time", dest="seconds", type=int, default=int(os.environ.get("TIME") or (4 if full else 2)),
                        help="of one load in one round")
    options = parser.parse_args()
    options.sections = words("SECTIONS", "mints recovery scale")
    options.systems = words("SYSTEMS", "tim3 postgres redis")
    options.accounts = [int(word) for word in words("ACCOUNTS", "100000 1000000 10000000" if full else "100000")]
    options.zipf = [float(word) for word in words("ZIPF", "0 0.99")]
    options.recovery = [int(word) for word in words("RECOVERY", "10000 100000 1000000" if full else "10000 100000")]
    unknown = [word for word in options.sections if word not in ("mints", "recovery", "scale")]
    unknown += [word for word in options.systems if word not in ("tim3", "postgres", "redis")]
    if unknown or options.rounds < 1 or options.seconds < 1:
        parser.error(f"what is {' '.join(unknown) or 'that'}? SECTIONS are mints, recovery and scale; "
                     "SYSTEMS are tim3, postgres and redis")
    return options


def main():
    options = parse()
    for name in ("tim3-router", "tim3ctl", "bench-limits"):
        if not os.path.exists(tool(name)):
            sys.exit(f"{tool(name)} is not there: build it with make bench, or say where it is with TIM3_BIN")
    tempfile.tempdir = options.dir
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    bench = Bench(options)
    bench.all()
    report.print_text(bench.results)
    say(f"took {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
