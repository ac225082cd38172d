"""The systems that are measured side by side: each in a temporary folder, on a Unix socket.

A system can be started, filled with accounts, given a load, asked what it used, and asked whether the work was
really done. A load is a dict: clients, outstanding (on each), batch, rate (TIM3 only). What a load returns has
completed, per_second, p50_ms, p99_ms, p999_ms and more.
"""
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))
from harness import BIN, Cluster, poll  # noqa: E402
from tim3_wire import NoAnswer, Refused, amount, number  # noqa: E402

TICK_US = 1000000 // os.sysconf("SC_CLK_TCK")
UNIT = 1000000  # of a mint, in minor units
FUNDS = 1000000000
COMPLETED = 2  # status of a transaction
RATE_WARM_UP_S = 2
IDLE_SHARE, IDLE_LOOK_S = 0.2, 0.3  # agents that use less of one CPU make no checkpoint
IDLE_MOST_S = 10


class Missing(Exception):
    """A program that a system needs is not there."""


def tool(name):
    return os.path.join(BIN, name)


def need(path):
    found = shutil.which(path)
    if not found:
        raise Missing(path)
    return found


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


# ------------------------------------------------------------------------------------------------- /proc

def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def cpu_us(pid):
    """Time on a CPU of all its threads; none of one that has just ended."""
    used = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                used += int(file.read().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return used / 1000


def dead_children_cpu_us(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) * TICK_US


def written(pid):
    """Bytes it handed to files (and some pipes), and bytes of the pages and folios that it made dirty by that; with
    those of its children that have ended."""
    try:
        with open(f"/proc/{pid}/io") as file:
            counts = dict(line.split(": ") for line in file.read().splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    return int(counts["wchar"]), int(counts["write_bytes"])


def used(cpu, pids):
    """What processes have used so far."""
    sizes = [written(pid) for pid in pids]
    return dict(cpu_us=cpu, written_bytes=sum(size[0] for size in sizes), dirtied_bytes=sum(size[1] for size in sizes))


def device_bytes(folder):
    """What was written to the device that a folder is on, by anyone; None where that cannot be told."""
    device = os.stat(folder).st_dev
    with open("/proc/diskstats") as file:
        for line in file:
            fields = line.split()
            if (int(fields[0]), int(fields[1])) == (os.major(device), os.minor(device)):
                return int(fields[9]) * 512
    return None


def memory_mb(pid):
    """Its part of the memory that it shares with others, files in memory included. None of one that has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("Pss:")), 0) / 1024
    except (FileNotFoundError, ProcessLookupError):
        return 0


# ----------------------------------------------------------------------------------------------- servers

class Server:
    """Starts and ends one server process in a folder of its own, as an unprivileged user where it insists."""

    def __init__(self, name, user=None):
        entry = pwd.getpwnam(user) if user and os.geteuid() == 0 else None
        self.dir = tempfile.mkdtemp(prefix=f"b-{name}-")
        self.user = {}
        self.process = None
        if entry:
            os.chown(self.dir, entry.pw_uid, entry.pw_gid)
            self.user = dict(user=entry.pw_uid, group=entry.pw_gid, extra_groups=[])

    def start(self, command, ready):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.dir,
                                            start_new_session=True, **self.user)
        poll(lambda: self.process.poll() is not None or ready(), 60, command[0])
        if self.process.poll() is not None:
            log = open(os.path.join(self.dir, "log"), errors="replace").read()
            raise RuntimeError(f"{command[0]} ended: {log[-500:]}")

    def stop(self, how):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class System:
    """Counts what was done, so that it can be compared with what is there at the end."""
    variant = ""

    def __init__(self):
        self.completed = 0

    def load_options(self, load, seconds, seed, accounts, zipf):
        return ["--socket", self.socket(), "--clients", str(load["clients"]), "--outstanding", str(load["outstanding"]),
                "--batch", str(load.get("batch", 1)), "--seconds", str(seconds), "--seed", str(seed),
                "--accounts", str(accounts), "--zipf", str(zipf)]

    def settle(self):
        """Waits until nothing is left to be done from the load."""

    def flush(self):
        """Writes what is still to be written to files in place, as far as that can be asked for."""


class Postgres(System):
    name = "postgres"
    settings = dict(fsync="on", synchronous_commit="on", wal_sync_method="fdatasync", full_page_writes="on",
                    shared_buffers="1GB", wal_buffers="64MB", max_wal_size="64GB", checkpoint_timeout="1d",
                    autovacuum="off", max_connections="100", jit="off", listen_addresses="")
    loads = [dict(label="1 client", clients=1, outstanding=1), dict(label="16 clients", clients=16, outstanding=1),
             dict(label="64 clients", clients=64, outstanding=1),
             dict(label="batches of 1,000", clients=1, outstanding=1, batch=1000)]

    def __init__(self):
        super().__init__()
        folder = "/usr/lib/postgresql/15/bin"
        self.bin = folder if os.path.isdir(folder) else os.path.dirname(need("postgres"))
        need("psql")
        need(tool("bench-postgres"))
        self.version = run([os.path.join(self.bin, "postgres"), "--version"]).strip()
        self.server = Server("pg", "postgres")

    def socket(self):
        return self.server.dir

    def sql(self, *arguments):
        return run(["psql", "-h", self.server.dir, "-U", "postgres", "-d", "postgres", "-X", "-q", "-A", "-t",
                    "-v", "ON_ERROR_STOP=1", *arguments]).strip()

    def answers(self):
        try:
            return self.sql("-c", "select 1") == "1"
        except RuntimeError:
            return False

    def start(self):
        data = os.path.join(self.server.dir, "data")
        run([os.path.join(self.bin, "initdb"), "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C",
             "--no-instructions"], cwd=self.server.dir, **self.server.user)
        command = [os.path.join(self.bin, "postgres"), "-D", data, "-k", self.server.dir]
        for key, value in self.settings.items():
            command += ["-c", f"{key}={value}"]
        self.server.start(command, self.answers)
        self.sql("-f", os.path.join(HERE, "postgres.sql"))
        poll(self.alone, 20, "PostgreSQL to be ready")

    def stop(self):
        self.server.stop(signal.SIGINT)

    def prefill(self, accounts):
        self.sql("-c", f"insert into account (name, available) select 'bench-' || i, {FUNDS} * {UNIT}::bigint"
                       f" from generate_series (0, {accounts - 1}) i")
        self.sql("-c", "vacuum analyze")
        self.flush()

    def flush(self):
        self.sql("-c", "checkpoint")

    def run(self, load, *details):
        found = json.loads(run([tool("bench-postgres"), *self.load_options(load, *details)]))
        self.completed += found["completed"]
        return found

    def alone(self):
        """Whether the server's own processes are all that is left of it."""
        def command(pid):
            try:
                with open(f"/proc/{pid}/cmdline") as file:
                    return file.read()
            except OSError:
                return ""
        return not any("postgres: postgres " in command(pid) for pid in children(self.server.process.pid))

    def settle(self):
        poll(self.alone, 20, "the connections of the load to end")

    def usage(self):
        master = self.server.process.pid
        pids = children(master)
        cpu = cpu_us(master) + dead_children_cpu_us(master) + sum(cpu_us(pid) for pid in pids)
        return {"server": used(cpu, [master, *pids])}

    def memory(self):
        master = self.server.process.pid
        return sum(memory_mb(pid) for pid in [master, *children(master)])

    def verify(self):
        again = self.sql("-c", "select do_mint (id, account, amount) = balance from mint"
                               " where balance is not null limit 1")
        assert again in ("t", ""), "the same id again gives something else"
        assert self.sql("-c", "select do_mints (array[id], array[account], array[amount]) from mint limit 1") == "0"
        mints, amounts, balances, positions, events, locked = map(int, self.sql(
            "-F", " ", "-c", "select (select count(*) from mint), (select sum(amount) from mint),"
                             " (select sum(balance) from token), (select sum(minted) from position),"
                             " (select sum(events) from position), (select sum(locked) from account)").split())
        wanted = self.completed * UNIT
        assert mints == events == self.completed, (mints, events, self.completed)
        assert amounts == balances == positions == locked == wanted, (amounts, balances, positions, locked, wanted)
        return f"{mints} rows of idempotency keys; balances, positions and locked collateral add up to them"


class Redis(System):
    name = "redis"
    settings = {"appendonly": "yes", "appendfsync": "always", "save": "", "auto-aof-rewrite-percentage": "0",
                "lua-time-limit": "0", "port": "0"}
    loads = [dict(label="1 client", clients=1, outstanding=1), dict(label="64 clients", clients=64, outstanding=1),
             dict(label="1,000 outstanding", clients=1, outstanding=1000)]
    FILL = """for i = ARGV[1], ARGV[2] - 1 do redis.call('HSET', 'available', 'bench-' .. string.format('%d', i),
              ARGV[3]) end"""
    SUM = """local sum = 0
             for _, value in ipairs(redis.call('HVALS', KEYS[1])) do sum = sum + tonumber(value) end
             return string.format('%.0f', sum)"""

    def __init__(self):
        super().__init__()
        self.binary = need("redis-server")
        need("redis-cli")
        need(tool("bench-redis"))
        self.version = run([self.binary, "--version"]).split(" sha")[0]
        self.server = Server("redis")

    def socket(self):
        return os.path.join(self.server.dir, "socket")

    def ask(self, *words):
        return run(["redis-cli", "-e", "-s", self.socket(), *words]).strip()

    def answers(self):
        try:
            return self.ask("PING") == "PONG"
        except RuntimeError:
            return False

    def start(self):
        command = [self.binary, "--unixsocket", self.socket(), "--dir", self.server.dir]
        for key, value in self.settings.items():
            command += [f"--{key}", value]
        self.server.start(command, self.answers)

    def stop(self):
        self.server.stop(signal.SIGTERM)

    def prefill(self, accounts):
        for first in range(0, accounts, 100000):
            self.ask("EVAL", self.FILL, "0", str(first), str(min(accounts, first + 100000)), str(FUNDS * UNIT))

    def run(self, load, *details):
        with open(os.path.join(HERE, "redis.lua")) as script:
            found = json.loads(run([tool("bench-redis"), *self.load_options(load, *details)], stdin=script))
        self.completed += found["completed"]
        return found

    def usage(self):
        pid = self.server.process.pid
        return {"server": used(cpu_us(pid), [pid])}

    def memory(self):
        return memory_mb(self.server.process.pid)

    def verify(self):
        identity = self.ask("HRANDFIELD", "mint")
        account, amount_of_it, balance = self.ask("HGET", "mint", identity).replace("=", ":").split(":")
        with open(os.path.join(HERE, "redis.lua")) as script:
            again = self.ask("EVAL", script.read(), "0", identity, account, amount_of_it)
        assert again == balance, "the same id again gives something else"
        mints = int(self.ask("HLEN", "mint"))
        sums = {key: int(self.ask("EVAL", self.SUM, "1", key)) for key in ("token", "minted", "locked", "events")}
        wanted = self.completed * UNIT
        assert mints == sums.pop("events") == self.completed, (mints, self.completed)
        assert set(sums.values()) == {wanted}, (sums, wanted)
        return f"{mints} idempotency keys; balances, positions and locked collateral add up to them"


class Tim3(System):
    name = "tim3"
    settings = dict(heartbeat_ms=1000, sweep_after_ms=5000, retry_ms=1000, map_size_mb=65536)
    loads = [dict(label="1 client", clients=1, outstanding=1), dict(label="16 clients", clients=16, outstanding=1),
             dict(label="64 clients", clients=64, outstanding=1),
             dict(label="1,000 outstanding", clients=4, outstanding=250),
             dict(label="16,000 outstanding", clients=4, outstanding=4000)]

    def __init__(self, variant="split", coordinators=1, asset_settings=None):
        super().__init__()
        need(tool("tim3-router"))
        self.variant = variant
        self.version = "TIM3 " + run([tool("tim3ctl"), "--version"]).split()[-1]
        self.asset_settings = asset_settings or {}
        self.cluster = Cluster(coordinators=coordinators, settings=self.settings, asset_settings=self.asset_settings)
        self.client = None

    def start(self):
        self.cluster.__enter__()
        self.client = self.cluster.client()

    def stop(self):
        for client in self.cluster.clients:
            client.close()
        self.cluster.clients = []
        for process in self.cluster.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
        shutil.rmtree(self.cluster.dir, ignore_errors=True)

    def prefill(self, accounts, tokens=False):
        subprocess.run([tool("tim3ctl"), "--endpoint", self.cluster.front(), "bench", "--fund", "--accounts",
                        str(accounts), "--workload", "transfer" if tokens else "mint"],
                       check=True, stdin=subprocess.DEVNULL)
        self.settle()

    def run(self, load, seconds, seed, accounts, zipf):
        options = [text for option, key in (("--rate", "rate"), ("--warm-up", "warm_up")) if key in load
                   for text in (option, str(load[key]))]
        answer = self.cluster.ctl_json(
            "bench", "--funded", "--workload", "mint", "--clients", str(load["clients"]), "--outstanding",
            str(load["outstanding"]), "--seconds", str(seconds), "--seed", str(seed), "--accounts", str(accounts),
            "--zipf", str(zipf), *options, timeout=seconds + 120)
        found = answer["operations"][0]
        done = found["completed"] + answer["warmed_up"]
        self.completed += done
        return dict(found, done=done, errors=answer["errors"], not_begun=answer["not_begun"], sent_again=answer["sent_again"],
                    begun=answer["begun"])

    def settle(self):
        """Nothing in flight, and no checkpoint under way, which would be laid to the next load."""
        poll(lambda: self.cluster.picture(self.client, "TIM3"), 120, "TIM3 to have nothing in flight")
        deadline = time.monotonic() + IDLE_MOST_S
        while self.share_of_a_cpu() >= IDLE_SHARE and time.monotonic() < deadline:
            pass

    def share_of_a_cpu(self):
        def used_so_far():
            return sum(cpu_us(process.pid) for process in self.cluster.processes.values())
        before, begun = used_so_far(), time.monotonic()
        time.sleep(IDLE_LOOK_S)
        return (used_so_far() - before) / 1e6 / (time.monotonic() - begun)

    def usage(self):
        return {address: dict(used(cpu_us(process.pid), [process.pid]), commits=self.commits(address))
                for address, process in self.cluster.processes.items()}

    def commits(self, address):
        metrics = self.client.ask(address, "Stats", {})["metrics"]
        return next(number(metric["value"]) for metric in metrics if metric["name"] == "commits")

    def memory(self):
        return sum(memory_mb(process.pid) for process in self.cluster.processes.values())

    def verify(self):
        self.cluster.ctl("audit", timeout=600)
        supply = self.cluster.sum_shards(self.client, "token_manager.TIM3", "GetSupply")["supply"]
        assert supply == self.completed * UNIT, (supply, self.completed)
        return f"tim3ctl audit agrees; the supply is that of {self.completed} mints"

    def store_mb(self):
        """What the stores of all agents take on the disk."""
        stores = os.path.join(self.cluster.dir, "store")
        return sum(os.stat(os.path.join(folder, name)).st_blocks * 512
                   for folder, _, names in os.walk(stores) for name in names) / 2 ** 20

    def mint_completed(self, request):
        try:
            answer = self.client.ask_once("coordinator.TIM3", "Mint", dict(
                account="bench-0", amount=amount(UNIT), request_id=request), "bench-0", timeout=0.1)
        except (NoAnswer, Refused):
            return False
        return answer["status"] == COMPLETED

    def take_mint(self, request, address=None):
        """Seconds until a new mint is completed; with an agent's address, from its start after kill -9."""
        if address:
            self.cluster.kill(address)
        begun = time.monotonic()
        if address:
            self.cluster.start(address)
        poll(lambda: self.mint_completed(request), 300, "a mint to be completed")
        self.completed += 1
        return time.monotonic() - begun


def known_keys():
    """The configuration keys that these executables know."""
    return {line.split("|")[2].strip() for line in run([tool("tim3-router"), "--list-keys"]).splitlines()
            if line.startswith("| asset/*")}


def variants():
    """Ways to run TIM3, each a row: its name, and what stands in the asset's section of the configuration."""
    found = [("split", {})]
    if "critical_path" in known_keys():
        found = [("split", dict(critical_path="split")), ("merged", dict(critical_path="merged"))]
    return found
