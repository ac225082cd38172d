"""Starts real agents in a temporary folder, kills and restarts them, and runs tests.

    with Cluster(assets={"TIM3": 6}, coordinators=2) as cluster:
        client = cluster.client()
        cluster.kill("lock_manager.TIM3.0")        # SIGKILL; start it again with cluster.start(...)
        cluster.audit()                            # raises AssertionError when it does not add up

A test is a function test_*; main() runs those of a file (or those named on the command line) and prints one
line each, then "N passed, N failed". Nothing sleeps to wait for a state: poll() waits with a deadline, which is long, for
no test may fail because the machine is slow.

TIM3_CRITICAL_PATH (split or merged) and TIM3_STORE (journal or lmdb) say how agents run where a test does not say
it itself. A test that has no meaning on one of them says which it needs and why; it is then printed as skipped, and
counted in a line before the last.
"""
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

from tim3_wire import PATIENT, Client, NoAnswer, Refused, number

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CRITICAL_PATH = os.environ.get("TIM3_CRITICAL_PATH", "split")
STORE = os.environ.get("TIM3_STORE", "journal")
BIN = os.environ.get("TIM3_BIN", os.path.join(ROOT, "build", "bin"))
LONGEST = 3 * PATIENT  # for a program that does a lot


def poll(condition, timeout=PATIENT, what="condition"):
    """Waits until condition() is true, and returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.02)


class Skipped(Exception):
    """The test has no meaning on this critical path or store; says why."""


def needs(what, why):
    """For a test that has a meaning on one critical path, or one store, only."""
    def mark(test):
        @functools.wraps(test)
        def run(*arguments):
            if what not in (CRITICAL_PATH, STORE):
                raise Skipped(why)
            return test(*arguments)
        return run
    return mark


def home_of(address):
    """The name of the store that holds an agent's rows: merged ledgers share that of the lock manager."""
    role, rest = address.split(".", 1)
    return "lock_manager." + rest if CRITICAL_PATH == "merged" and role == "token_manager" else address


class Cluster:
    def __init__(self, assets=None, coordinators=2, settings=None,
                 sections=None, asset_settings=None, collateral=None):
        self.assets = assets or {"TIM3": 6}
        self.dir = tempfile.mkdtemp(prefix="t3-")
        self.config = os.path.join(self.dir, "tim3.cfg")
        self.shards = int((asset_settings or {}).get("shards", 1))
        self.processes = {}
        self.commands = {}
        self.clients = []
        self.sound = True  # a test that breaks the stores on purpose says so by False
        agents = dict(heartbeat_ms=200, sweep_after_ms=1000, sweep_most_ms=4000, retry_ms=200, map_size_mb=1024,
                      store=STORE)
        agents.update(settings or {})
        with open(self.config, "w") as out:
            out.write("agents\n" + "".join(f"    {k} = {v}\n" for k, v in agents.items()))
            for section, keys in (sections or {}).items():
                out.write(section + "\n" + "".join(f"    {k} = {v}\n" for k, v in keys.items()))
            collateral = dict(dict(name="USDA", decimals=18), **(collateral or {}))
            out.write("collateral\n" + "".join(f"    {k} = {v}\n" for k, v in collateral.items()) + "asset\n")
            for name, decimals in self.assets.items():
                keys = dict(decimals=decimals, coordinators=coordinators, critical_path=CRITICAL_PATH)
                keys.update(asset_settings or {})
                out.write(f"    {name}\n" + "".join(f"        {k} = {v}\n" for k, v in keys.items()))
        subprocess.run([os.path.join(ROOT, "scripts", "keygen"), self.dir, *self.assets], check=True,
                       stdout=subprocess.DEVNULL)
        listing = subprocess.run([self.exe("tim3-router"), "--config", self.config, "--list-agents"],
                                 check=True, capture_output=True, text=True).stdout
        for line in listing.splitlines():
            executable, address, asset, shard = line.split()[:4]
            self.add(executable, address, asset, shard)

    def process_of(self, address):
        """The address that the agent's process runs under: that of the shard's coordinator where ledgers are merged."""
        return address if address in self.commands else "coordinator." + address.split(".", 1)[1]

    def process(self, address):
        return self.processes[self.process_of(address)]

    def store_of(self, address):
        return os.path.join(self.dir, "store", home_of(address))

    def log_of(self, address):
        with open(os.path.join(self.dir, self.process_of(address) + ".log"), errors="replace") as log:
            return log.read()

    @staticmethod
    def exe(name):
        return os.path.join(BIN, name)

    def add(self, executable, address, asset, shard):
        self.commands[address] = [self.exe(executable), "--config", self.config, "--data", self.dir,
                                  "--asset", asset, "--shard", str(shard)]

    def __enter__(self):
        for address in self.commands:
            self.start(address)
        self.wait_ready()
        return self

    def __exit__(self, kind, value, trace):
        for client in self.clients:
            client.close()
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
        try:
            if kind is not None:
                self.show_logs()
            elif self.sound:
                self.fsck()
                self.replay()
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)

    def fsck(self):
        """However the agents ended, what they left on disk must be consistent."""
        done = subprocess.run([self.exe("tim3ctl"), "fsck", self.dir], capture_output=True, text=True, timeout=LONGEST)
        problems = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("  ")]
        assert done.returncode == 0, "fsck: " + "\n".join(problems[:10] or [done.stdout + done.stderr])

    def replay(self):
        """What every ledger was handed leads to what it wrote, once more."""
        store = os.path.join(self.dir, "store")
        for address in sorted(os.listdir(store)):
            if not any(name.startswith("journal-") for name in os.listdir(os.path.join(store, address))):
                continue
            done = subprocess.run([self.exe("tim3ctl"), "replay", self.dir, address, "--config", self.config],
                                  capture_output=True, text=True, timeout=LONGEST)
            idle = done.returncode == 3 and "nothing was run again" in done.stderr
            assert done.returncode == 0 or idle, f"replay of {address}: {done.stdout[:3000]}{done.stderr}"

    def show_logs(self):
        for name in sorted(os.listdir(self.dir)):
            if name.endswith(".log"):
                lines = open(os.path.join(self.dir, name), errors="replace").read().splitlines()
                notable = [line for line in lines if "level=error" in line or "level=warn" in line
                           or "ERROR" in line]
                for line in notable[-5:]:
                    print(f"    {name}: {line}")

    def start(self, address, crash_at=None):
        address = self.process_of(address)
        env = dict(os.environ)
        env.pop("TIM3_CRASH_AT", None)
        if crash_at:
            env["TIM3_CRASH_AT"] = crash_at
        with open(os.path.join(self.dir, address + ".log"), "ab") as log:
            self.processes[address] = subprocess.Popen(self.commands[address], stderr=log, stdout=log, env=env)

    def running(self, address):
        return self.process(address).poll() is None

    def kill(self, address, how=signal.SIGKILL):
        process = self.process(address)
        if process.poll() is None:
            process.send_signal(how)
        process.wait(timeout=PATIENT)
        return process.returncode

    def restart(self, address):
        self.kill(address)
        self.start(address)

    def delete_store(self, address):
        shutil.rmtree(self.store_of(address))

    def front(self):
        return f"ipc://{self.dir}/run/front.sock"

    def endpoint(self, address):
        return f"ipc://{self.dir}/run/{self.process_of(address)}.sock"

    def client(self, endpoint=None, sender="client", routing_id=None):
        client = Client(endpoint or self.front(), sender, routing_id)
        self.clients.append(client)
        return client

    def close(self, client):
        self.clients.remove(client)
        client.close()

    def ctl(self, *arguments, check=True, timeout=LONGEST):
        """Runs tim3ctl; returns the finished process."""
        command = [self.exe("tim3ctl"), "--endpoint", self.front(), "--timeout", str(int(PATIENT)), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        if check:
            assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def ctl_json(self, *arguments, **more):
        return json.loads(self.ctl("--json", *arguments, **more).stdout)

    def wait_ready(self, timeout=PATIENT):
        """Until the registry lists every running agent as alive, and the router passes on what each is asked."""
        client = self.client()
        wanted = {address for address in self.commands if address in self.processes and self.running(address)}

        def ready():
            try:
                items = client.ask_once("router.-", "List", {}, timeout=0.5)["items"]
            except (NoAnswer, Refused):
                return False
            return wanted <= {item["name"] for item in items if item["alive"]}
        poll(ready, timeout, "all agents alive")
        for address in wanted:
            client.ask(address, "Info", {}, timeout=timeout)
        self.close(client)

    def picture(self, client, asset):
        """The totals that have to agree; None while something is in flight or not yet derived."""
        supply = self.sum_shards(client, "token_manager." + asset, "GetSupply")
        locks = self.sum_shards(client, "lock_manager." + asset, "GetLockTotals")
        vaults = {v["vault"]: number(v["total"]) for v in client.ask("mock_usda.USDA", "ListVaults", {})["items"]}
        metrics = client.ask("state_manager.-", "GetMetrics", dict(asset=asset))["items"]
        net = locks["locked"] - locks["overdrawn"]
        found = dict(vault=vaults[asset], locked=net * locks["scale"], supply=supply["supply"], scale=locks["scale"])
        assert found["locked"] >= found["supply"] * found["scale"] or supply["unsettled"] or locks["unsettled"]
        if supply["unsettled"] or locks["unsettled"]:
            return None
        if supply["event_seq"] and (not metrics or metrics[0]["token_seq"] != supply["event_seq"]
                                    or metrics[0]["lock_seq"] != locks["event_seq"]):
            return None
        found["positions"] = number(metrics[0]["balances"]) if metrics else 0
        return found

    def sum_shards(self, client, ledger, kind):
        """What all shards of a ledger tell, added up; a scale is the same in all."""
        answers = [client.ask(f"{ledger}.{shard}", kind, {}) for shard in range(self.shards)]
        total = {key: sum(number(answer.get(key, 0)) for answer in answers) for key in
                 ("supply", "locked", "overdrawn", "unsettled", "event_seq", "refused", "sent", "returned", "crossing")}
        return dict(total, scale=number(answers[0].get("scale", 0)))

    def shard_pages(self, client, ledger, kind, body):
        for shard in range(self.shards):
            yield from self.pages(client, f"{ledger}.{shard}", kind, body)

    def pages(self, client, route, kind, body):
        cursor = ""
        while True:
            page = client.ask(route, kind, dict(body, cursor=cursor, limit=1000), body.get("account", ""))
            yield from page["items"]
            cursor = page["cursor"]
            if not cursor:
                return

    def audit(self, timeout=PATIENT):
        """Everything settled, every total equal, every account's collateral accounted for."""
        client = self.client()
        for asset in self.assets:
            found = poll(lambda: self.picture(client, asset), timeout, f"a settled {asset}")
            balances = sum(number(a["balance"])
                           for a in self.shard_pages(client, "token_manager." + asset, "ListBalances", {}))
            assert found["vault"] == found["locked"], (asset, found)
            assert found["locked"] == found["supply"] * found["scale"], (asset, found)
            assert balances == found["supply"] == found["positions"], (asset, balances, found)
        holdings = sum(number(h["available"]) for h in self.pages(client, "mock_usda.USDA", "ListHoldings", {}))
        vaults = sum(number(v["total"]) for v in client.ask("mock_usda.USDA", "ListVaults", {})["items"])
        issued = number(client.ask("mock_usda.USDA", "GetCollateralTotals", {})["issued"])
        assert holdings + vaults == issued, (holdings, vaults, issued)
        self.close(client)


def main():
    """Runs the tests of the calling file."""
    space = sys.modules["__main__"].__dict__
    wanted = sys.argv[1:]
    names = [name for name in space if name.startswith("test_") and (not wanted or name in wanted)]
    failed = skipped = 0
    for name in names:
        begun = time.monotonic()
        try:
            space[name]()
            print(f"ok   {name} ({time.monotonic() - begun:.1f} s)", flush=True)
        except Skipped as why:
            skipped += 1
            print(f"skip {name}: {why}", flush=True)
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print(f"FAIL {name} ({time.monotonic() - begun:.1f} s)", flush=True)
    if skipped:
        print(f"{skipped} skipped", flush=True)
    print(f"{len(names) - failed - skipped} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)
