"""Coordinators come and go under load: by hand, and with scripts/supervisor. Nothing is lost or doubled.

TIM3_SEED sets the order of it all.
"""
import json
import os
import shutil
import signal
import socket
import subprocess

import harness
from harness import LONGEST, ROOT, Cluster, needs, poll
from load import Load
from tim3_wire import PATIENT, number

SEED = int(os.environ.get("TIM3_SEED", "1"))
SUPERVISOR = os.path.join(ROOT, "scripts", "supervisor")
MOST = 4


def shard(number_of_it):
    return f"coordinator.TIM3.{number_of_it}"


def completed(load, address):
    metrics = load.queries.ask(address, "Stats", {})["metrics"]
    return next(number(metric["value"]) for metric in metrics if metric["name"] == "completed")


def all_work(load, count):
    """Waits until each coordinator has completed something since it was started. Beside merged ledgers it must be
    asked by name, since the router prefers the one that runs them."""
    def spread():
        load.check()
        return all(completed(load, shard(i)) > 0 for i in range(count))
    if os.environ.get("TIM3_CRITICAL_PATH") == "merged":
        load.shards = [shard(i) for i in range(count)]
    poll(spread, what=f"each of {count} coordinators to have completed something")
    load.shards = []


def alive(load):
    items = load.queries.ask("router.-", "List", {})["items"]
    return {item["name"] for item in items if item["alive"] and item["name"].startswith("coordinator.")}


def scale_by_hand(how):
    with Cluster(coordinators=1) as cluster:
        load = Load(cluster, seed=SEED, accounts=24)
        load.start()
        load.advance(200)
        for i in range(1, MOST):
            cluster.add("tim3-coordinator", shard(i), "TIM3", i)
            cluster.start(shard(i))
        cluster.wait_ready()
        all_work(load, MOST)
        load.shards = [shard(i) for i in range(MOST)]
        load.advance(500)
        load.shards = []
        for i in reversed(range(1, MOST)):
            cluster.kill(shard(i), how)
            load.advance(50)
        poll(lambda: alive(load) == {shard(0)}, what="the registry to know one coordinator")
        load.advance(200)
        load.finish()


def test_scale_by_hand_with_clean_stops():
    scale_by_hand(signal.SIGTERM)


def test_scale_by_hand_with_kills():
    scale_by_hand(signal.SIGKILL)


@needs("split", "the first coordinator has the ledgers in its process: no other can replace it")
def test_last_coordinator_is_replaced_by_another():
    """The one that is there goes before the next one comes: whoever asks meanwhile asks again."""
    with Cluster(coordinators=1) as cluster:
        load = Load(cluster, seed=SEED + 1)
        load.start()
        for i in range(1, MOST):
            load.advance(100)
            cluster.kill(shard(i - 1), signal.SIGTERM if i % 2 else signal.SIGKILL)
            cluster.add("tim3-coordinator", shard(i), "TIM3", i)
            cluster.start(shard(i))
        load.advance(100)
        load.finish()


class Supervised(Cluster):
    """A cluster whose processes s6 starts, through scripts/supervisor."""

    def call(self, *arguments):
        return subprocess.run([SUPERVISOR, *arguments, "--data", self.dir, "--timeout", str(int(PATIENT))],
                              capture_output=True, text=True, timeout=LONGEST, stdin=subprocess.DEVNULL,
                              env=dict(os.environ, TIM3_BIN=harness.BIN))

    def supervisor(self, *arguments, status=0):
        done = self.call(*arguments)
        assert done.returncode == status, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def status(self):
        """By address; its exit code is 1 while an agent is not ready."""
        agents = json.loads(self.call("status", "--json").stdout)["agents"]
        return {agent["address"]: agent for agent in agents}

    def __enter__(self):
        shutil.rmtree(os.path.join(self.dir, "keys"))  # it makes them where there are none
        try:
            self.supervisor("start", "--config", self.config)
        except BaseException:
            self.leave()
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.leave()

    def leave(self):
        for client in self.clients:
            client.close()
        self.supervisor("stop")
        shutil.rmtree(self.dir, ignore_errors=True)


def processes_of(folder):
    """Processes that have the folder in their command line, and supervising ones that work in it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace")
            if folder in command or os.readlink(f"/proc/{pid}/cwd").startswith(folder):
                found.append((int(pid), command))
        except OSError:
            pass  # it has just ended, or is not ours
    return found


def killed_agent_comes_back(cluster, address):
    address = cluster.process_of(address)
    before = cluster.status()[address]
    os.kill(before["pid"], signal.SIGKILL)

    def back():
        now = cluster.status()[address]
        return now["state"] == "ready" and now["pid"] != before["pid"]
    poll(back, what=f"s6 to start {address} again")
    assert "ended  signal=9" in cluster.supervisor("logs", address), "its log does not say what ended it"


def test_scale_with_the_supervisor():
    with Supervised(coordinators=1) as cluster:
        load = Load(cluster, seed=SEED + 2, accounts=24)
        load.start()
        load.advance(200)
        cluster.supervisor("scale", "coordinator", "TIM3", str(MOST))
        assert {shard(i) for i in range(MOST)} <= set(cluster.status())
        all_work(load, MOST)
        for address in ("token_manager.TIM3.0", shard(2), "router.-.0"):
            killed_agent_comes_back(cluster, address)
            load.advance(100)
        cluster.supervisor("scale", "coordinator", "TIM3", "1")
        assert {a for a in cluster.status() if a.startswith("coordinator.")} == {shard(0)}
        load.advance(200)
        load.finish()
        cluster.supervisor("stop")
        cluster.supervisor("status", status=3)
        poll(lambda: processes_of(cluster.dir) == [], what="the last process to end")


def test_restart_with_a_mistake_in_the_configuration():
    """It is told before anything is stopped."""
    with Supervised(coordinators=1) as cluster:
        before = cluster.status()
        wrong = os.path.join(cluster.dir, "wrong.cfg")
        with open(cluster.config) as file, open(wrong, "w") as out:
            out.write(file.read().replace("        decimals =", "        decimal ="))
        done = cluster.call("restart", "--config", wrong)
        assert done.returncode == 1 and "did you mean decimals?" in done.stderr, done
        cluster.supervisor("status")
        assert {a: agent["pid"] for a, agent in cluster.status().items()} == {a: agent["pid"] for a, agent in before.items()}
        cluster.supervisor("restart")  # with the configuration of the last start


def is_silent(cluster, address):
    """What status tells of it, while it is there and does not answer."""
    done = cluster.call("status")
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert rows["ADDRESS"] == ["ADDRESS", "STATE", "PID", "FOR", "RESTARTS"], done.stdout
    return done.returncode == 1 and rows[address][1] == "silent" and done


def test_status_tells_who_does_not_answer():
    with Supervised(coordinators=2) as cluster:
        pids = {address: agent["pid"] for address, agent in cluster.status().items()}
        for address in (shard(1), "router.-.0"):
            cluster.supervisor("status", "--wait")
            os.kill(pids[address], signal.SIGSTOP)
            try:
                told = poll(lambda: is_silent(cluster, address), what=f"status to say that {address} is silent")
                others = {other: agent["state"] for other, agent in cluster.status().items() if other != address}
            finally:
                os.kill(pids[address], signal.SIGCONT)
            assert set(others.values()) == {"ready"}, others
            assert ("the router does not answer" in told.stderr) == (address == "router.-.0"), told
        cluster.supervisor("status", "--wait")
        cluster.supervisor("status")


def test_start_tells_where_clients_connect():
    with socket.create_server(("127.0.0.1", 0)) as free:
        front = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with Supervised(coordinators=1, sections=dict(router=dict(front=front))) as cluster:
        cluster.supervisor("status")
        cluster.supervisor("stop")
        said = cluster.supervisor("start")
        exports = dict(line.split()[1].split("=") for line in said.splitlines() if "export" in line)
        assert exports == dict(TIM3_DATA=f"'{cluster.dir}'", TIM3_ENDPOINT=f"'{front}'"), said
        env = dict(os.environ, **{name: value.strip("'") for name, value in exports.items()})
        done = subprocess.run([cluster.exe("tim3ctl"), "--timeout", str(int(PATIENT)), "agents"], capture_output=True, text=True,
                              env=env, timeout=LONGEST)
        assert done.returncode == 0, done
        with open(cluster.config) as file:
            text = file.read()
        with open(cluster.config, "w") as out:
            out.write(text.replace(f"    front = {front}\n", ""))
        said = cluster.supervisor("restart")
        assert "TIM3_DATA" in said and "TIM3_ENDPOINT" not in said, said
        cluster.supervisor("status")


if __name__ == "__main__":
    harness.main()
