"""The set under test: supervised by s6, on tcp through proxies, with clocks that can be changed and its own disk."""
import errno
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))

import harness
from clock import Clock
from harness import ROOT, poll
from test_scale import Supervised
from tim3_wire import NoAnswer, Refused

SHARDS_MOST = 4
ROLES = ("router", "coordinator", "lock_manager", "token_manager", "state_manager", "mock_usda")
# of ports, as common/agent/endpoint.h has them: coordinators come behind the ledgers of 16 shards
PLACES = {"router.-.0": 0, "state_manager.-.0": 1, "mock_usda.USDA.0": 2, "lock_manager.TIM3.0": 3,
          "token_manager.TIM3.0": 4, **{f"coordinator.TIM3.{i}": 3 + 2 * 16 + i for i in range(SHARDS_MOST)}}
LEDGERS = ("mock_usda.USDA.0", "lock_manager.TIM3.0", "token_manager.TIM3.0")
# As agents/sweep_after_ms and its like, but so that a slow machine does not void every mint.
TIMES = dict(heartbeat_ms=200, sweep_after_ms=2000, sweep_most_ms=8000, retry_ms=200)
# checkpoints all the time, so little memory that a full map is felt soon, and no more of the past than fits the disk
TIERS = dict(checkpoint_mb=1, memory_mb=8, replay_mb=8)
STEP_S = 180  # what the supervisor may take for one command on a loaded machine


class Lost(Exception):
    """Something that should have come about did not, in all the time there was."""


class Crashed(Exception):
    """An agent ended in a way that nobody asked for."""


def wait_for(condition, seconds, what):
    try:
        return poll(condition, seconds, what)
    except AssertionError as error:
        raise Lost(str(error)) from None


def free_ports(rng):
    """First ports for agents and for proxies, all free at the moment."""
    for _ in range(100):
        first = rng.randrange(20000, 30000, 200)
        try:
            for port in range(first, first + 200):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            return first, first + 100
        except OSError:
            continue
    raise OSError("no free ports")


class Network:
    """The proxies, one in front of each agent; a process of its own, so that the load does not slow it down."""

    def __init__(self, bound, told):
        self.told = told
        pairs = [f"{told + place}:{bound + place}" for place in PLACES.values()]
        self.process = subprocess.Popen(["/usr/bin/python3", os.path.join(HERE, "proxy.py"), *pairs],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise OSError("the proxies have ended")
        return json.loads(line)

    def fault(self, address, kind, seconds, share, value, seed):
        """Returns the number of links that it was laid on."""
        order = dict(port=self.told + PLACES[address], fault=kind, seconds=seconds, share=share, value=value, seed=seed)
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.answer()["links"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=STEP_S)


class Disk:
    """A small disk in memory, if this process may mount one. It is gone with the last process of the set."""

    def __init__(self, folder, megabytes):
        self.folder = folder
        self.small = False
        os.makedirs(folder, mode=0o700)
        if os.environ.get("TIM3_CHAOS_MOUNTS") == "yes":
            command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", folder]
            self.small = subprocess.run(command, capture_output=True).returncode == 0

    def fill(self):
        """To the last page, whatever others write meanwhile."""
        step, size = 1 << 30, 0
        with open(os.path.join(self.folder, "ballast"), "ab") as out:
            while step >= 4096:
                try:
                    os.posix_fallocate(out.fileno(), size, step)
                    size += step
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    step //= 2

    def free(self):
        path = os.path.join(self.folder, "ballast")
        if os.path.exists(path):
            os.unlink(path)

    def close(self):
        self.free()
        if self.small:
            subprocess.run(["umount", "-l", self.folder], check=False, capture_output=True)


class Chaos(Supervised):
    def __init__(self, out, seed, megabytes, settings):
        self.out = out
        self.rng = random.Random(seed)
        self.disk = Disk(os.path.join(out, "disk"), megabytes)
        bound, told = free_ports(random.Random(os.getpid()))
        tempfile.tempdir = self.disk.folder
        agents = dict(TIMES, **TIERS, store="lmdb" if seed % 3 == 0 else "journal", transport="tcp", listen=f"127.0.0.1:{bound}", advertise=f"127.0.0.1:{told}")
        super().__init__(coordinators=2, settings=dict(agents, **settings))
        tempfile.tempdir = None
        self.network = Network(bound, told)
        self.clocks = {}
        self.preload = os.path.join(harness.BIN, "tim3-chaos-clock.so")
        self.wrap()
        self.killed = dict.fromkeys(PLACES, 0)
        self.frozen = set()
        self.shards = 2
        self.probe = None

    # --------------------------------------------------------------------------------------------- starting
    def wrap(self):
        """Executables that put their agent's own clock in place, and then become the agent."""
        self.wrappers = os.path.join(self.out, "bin")
        clocks = os.path.join(self.out, "clock")
        os.makedirs(self.wrappers)
        os.makedirs(clocks)
        for address in PLACES:
            self.clocks[address] = Clock(os.path.join(clocks, address))
        for role in ROLES:
            path = os.path.join(self.wrappers, "tim3-" + role.replace("_", "-"))
            with open(path, "w") as file:
                file.write("#!/bin/sh\n"
                           'if [ "$5" = --asset ]; then\n'
                           f'    export TIM3_CHAOS_CLOCK="{clocks}/{role}.$6.$8" LD_PRELOAD="{self.preload}"\n'
                           "fi\n"
                           f'exec "{harness.BIN}/{os.path.basename(path)}" "$@"\n')
            os.chmod(path, 0o700)

    def call(self, *arguments):
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        return subprocess.run([os.path.join(ROOT, "scripts", "supervisor"), *arguments, "--data", self.dir,
                               "--timeout", str(STEP_S)], capture_output=True, text=True, timeout=3 * STEP_S,
                              stdin=subprocess.DEVNULL,
                              env=dict(os.environ, TIM3_BIN=self.wrappers, ASAN_OPTIONS=sanitizer.strip(":")))

    def supervisor(self, *arguments, status=0):
        try:
            return super().supervisor(*arguments, status=status)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            raise Lost(f"the supervisor: {error}") from None

    def __enter__(self):
        try:
            super().__enter__()
            self.probe = self.client()
        except BaseException:
            self.network.close()
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.thaw()
        for client in self.clients:
            client.close()
        self.call("stop")
        self.network.close()

    def raise_map(self, megabytes):
        with open(self.config) as file:
            lines = file.read().splitlines()
        with open(self.config, "w") as file:
            for line in lines:
                file.write((f"    map_size_mb = {megabytes}" if "map_size_mb" in line else line) + "\n")

    # -------------------------------------------------------------------------------------------- processes
    def addresses(self):
        return [address for address in PLACES
                if not address.startswith("coordinator.") or int(address.rsplit(".", 1)[1]) < self.shards]

    def svstat(self, address, field):
        done = subprocess.run(["s6-svstat", "-o", field, os.path.join(self.dir, "service", address)],
                              capture_output=True, text=True, timeout=STEP_S)
        return done.stdout.strip() if done.returncode == 0 else ""

    def command(self, address):
        role, asset, shard = address.split(".")
        return [f"tim3-{role.replace('_', '-')}", self.dir, asset, shard]

    def pid(self, address):
        """None when it does not run at the moment, as the agent itself. Not asked of s6, which keeps what it knows on
        the disk that may be full."""
        wanted = self.command(address)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().decode(errors="replace").split("\0")
            except OSError:
                continue  # it has just ended
            if len(words) > 8 and [os.path.basename(words[0]), words[4], words[6], words[8]] == wanted:
                return int(pid)
        return None

    def send(self, address, what):
        """Whether there was a process to send it to."""
        pid = self.pid(address)
        if pid is None:
            return False
        try:
            os.kill(pid, what)
        except ProcessLookupError:
            return False
        if what == signal.SIGKILL:
            self.killed[address] += 1
        return True

    def freeze(self, address):
        if self.send(address, signal.SIGSTOP):
            self.frozen.add(address)

    def thaw(self):
        for address in list(self.frozen):
            self.send(address, signal.SIGCONT)
            self.frozen.discard(address)

    # ----------------------------------------------------------------------------------------------- health
    def infos(self, seconds=1.0):
        """What each agent says of itself, of those that answer in that time."""
        asked = {address: self.probe.send(address, "Info", {}) for address in self.addresses()}
        deadline, said = time.monotonic() + seconds, {}
        for address, identity in asked.items():
            try:
                kind, body = self.probe.answer(identity, max(0.0, deadline - time.monotonic()))
            except NoAnswer:
                continue
            if "incarnation" in body:
                said[address] = body
        self.probe.inbox.clear()
        return said

    def healthy(self):
        """Every agent answers, and is alive in the registry under the incarnation that it says."""
        said = self.infos()
        if set(said) != set(self.addresses()):
            return False
        try:
            items = self.probe.ask_once("router.-", "List", {}, timeout=1.0)["items"]
        except (NoAnswer, Refused):
            return False
        alive = {item["name"]: item["incarnation"] for item in items if item["alive"]}
        return all(alive.get(address) == body["incarnation"] for address, body in said.items())

    def failed(self):
        """Addresses that s6 has left down, because somebody has to look."""
        return [address for address in self.addresses()
                if self.svstat(address, "up,wantedup,exitcode").startswith("false false")]

    def log_lines(self, address):
        folder = os.path.join(self.dir, "log", address)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if name == "current" or name.startswith("@"):
                with open(os.path.join(folder, name), errors="replace") as file:
                    yield from file

    def check_ends(self):
        """That every start of an agent is explained: by a clean end, a reason it gave, or a kill of ours. Returns
        the reasons that were given, with counts."""
        reasons = {}
        for address in PLACES:
            starts = stops = fatal = 0
            for line in self.log_lines(address):
                starts += 'event="ready"' in line
                stops += 'event="stopped"' in line
                if 'event="panic"' in line or "Sanitizer" in line or "runtime error:" in line:
                    raise Crashed(f"{address}: {line.strip()}")
                if 'event="fatal"' in line:
                    fatal += 1
                    reason = line.split('event="fatal"', 1)[1].strip().replace(self.dir, "DATA")
                    reasons[reason] = reasons.get(reason, 0) + 1
            died = starts - stops - fatal
            if died > self.killed[address]:
                raise Crashed(f"{address} was started {starts} times, stopped {stops} times, gave up {fatal} times and "
                              f"was killed {self.killed[address]} times: it died by itself")
        return reasons

    def keep(self, folder):
        """A copy of the data outside the disk that goes."""
        shutil.copytree(self.dir, folder, symlinks=True, dirs_exist_ok=True,
                        ignore=lambda path, names: [name for name in names if name.endswith(".sock")
                                                    or path.endswith(("/service", "/supervise", "/event"))])
