"""Stores that are lost, copied or opened twice: what can be derived is derived anew, the rest is refused.

TIM3_SEED sets the order of it all.
"""
import os
import random
import shutil
import signal
import subprocess
import time

import harness
from harness import Cluster, home_of, needs, poll
from load import Load
from tim3_wire import PATIENT, NoAnswer, Refused, number

SEED = int(os.environ.get("TIM3_SEED", "1"))
STATE_MANAGER = "state_manager.-.0"
TOKEN_MANAGER = "token_manager.TIM3.0"
EXIT_PERMANENT = 100


def grown(cluster, requests, seed):
    """A cluster with some history behind it, all settled."""
    load = Load(cluster, seed=seed, outstanding=200)
    load.start()
    load.advance(requests)
    load.resolve()
    cluster.audit()
    return load


def derived(cluster, load):
    """All that the state manager answers about the asset."""
    client = load.queries
    metrics = client.ask("state_manager.-", "GetMetrics", {})["items"]
    positions = list(cluster.pages(client, "state_manager.-", "ListPositions", dict(asset=load.asset)))
    single = [client.ask("state_manager.-", "GetPosition", dict(asset=load.asset, account=item["account"]))
              for item in positions]
    assert positions and single == positions
    return metrics, positions


def stat(client, address, name, timeout=1.0):
    """A counter of an agent, None when it does not answer."""
    try:
        metrics = client.ask_once(address, "Stats", {}, timeout=timeout)["metrics"]
    except (NoAnswer, Refused):
        return None
    return next(number(metric["value"]) for metric in metrics if metric["name"] == name)


def delete_state(cluster):
    cluster.kill(STATE_MANAGER)
    cluster.delete_store(STATE_MANAGER)


def test_coordinators_lose_their_stores():
    rng = random.Random(SEED)
    with Cluster() as cluster:
        load = Load(cluster, seed=SEED)
        load.shards = ["coordinator.TIM3.0", "coordinator.TIM3.1"]
        load.start()
        victims = [address for address in load.shards if os.path.isdir(cluster.store_of(address))]
        assert victims, "no coordinator has a store of its own"
        for turn in range(6):
            load.advance(100)
            victim = victims[turn % len(victims)]
            # others decided these requests, perhaps, before it has made its store again
            poll(lambda: os.path.isdir(cluster.store_of(victim)), what=f"the store of {victim}")
            cluster.kill(victim, rng.choice((signal.SIGTERM, signal.SIGKILL)))
            cluster.delete_store(victim)
            cluster.start(victim)
        load.advance(100)
        load.finish()


def test_state_manager_rebuilds_from_the_log():
    with Cluster() as cluster:
        load = grown(cluster, 3000, SEED + 1)
        before = derived(cluster, load)
        delete_state(cluster)
        cluster.start(STATE_MANAGER)
        cluster.audit()
        assert derived(cluster, load) == before
        load.verify()


def test_state_manager_rebuilds_while_events_come():
    with Cluster() as cluster:
        load = Load(cluster, seed=SEED + 2)
        load.start()
        for _ in range(3):
            load.advance(400)
            delete_state(cluster)
            cluster.start(STATE_MANAGER)
        load.finish()


def test_rebuild_killed_at_each_commit():
    """Batches of one message, so that a rebuild takes many commits; it dies at each, before or after."""
    with Cluster() as cluster:
        load = grown(cluster, 9000, SEED + 3)
        before = derived(cluster, load)
        delete_state(cluster)
        with open(cluster.config) as given:
            text = given.read()
        with open(cluster.config, "w") as out:  # for the state manager alone, as no other is started again
            out.write(text.replace("agents\n", "agents\n    batch_messages = 1\n", 1))
        crashes = 0
        while True:
            point = ("before_commit:1", "after_commit:1", "before_commit:2")[crashes % 3]
            cluster.start(STATE_MANAGER, crash_at=point)
            if not died(cluster, load.queries):
                break
            crashes += 1
        assert crashes >= 3, f"the rebuild was broken off only {crashes} times"
        cluster.audit()
        assert derived(cluster, load) == before
        print(f"    broken off {crashes} times", flush=True)


def died(cluster, client):
    """Whether the state manager crashes before it has read all of the log."""
    wait = 0.2

    def end():
        nonlocal wait
        if not cluster.running(STATE_MANAGER):
            return "died"
        last = stat(client, "state_manager.-", "event_log_end_offset", wait)
        if last and stat(client, "state_manager.-", "event_log_next_offset", wait) == last:
            return "read all"
        wait = min(1.5 * wait, 5.0)  # a slow machine needs longer to answer
        return None
    return poll(end, what="the state manager to die, or to read all") == "died"


def test_rebuild_killed_at_random():
    rng = random.Random(SEED)
    with Cluster() as cluster:
        load = grown(cluster, 6000, SEED + 4)
        before = derived(cluster, load)
        delete_state(cluster)
        for _ in range(20):
            cluster.start(STATE_MANAGER)
            time.sleep(rng.uniform(0.0, 0.1))
            cluster.kill(STATE_MANAGER)
        cluster.start(STATE_MANAGER)
        cluster.audit()
        assert derived(cluster, load) == before


def test_copied_ledger_is_refused():
    with Cluster() as cluster:
        load = grown(cluster, 300, SEED + 5)
        for address in (TOKEN_MANAGER, "lock_manager.TIM3.0", "mock_usda.USDA.0"):
            refuse_copy(cluster, address)
        cluster.audit()
        load.verify()


def refuse_copy(cluster, address):
    """Puts a copy in the place of a store: the agent says what is wrong, and touches nothing."""
    store = cluster.store_of(address)
    cluster.kill(address, signal.SIGTERM)
    os.rename(store, store + ".original")
    shutil.copytree(store + ".original", store)
    cluster.start(address)
    status = cluster.process(address).wait(timeout=PATIENT)
    assert status == EXIT_PERMANENT, f"{address} on a copy ended with {status}"
    assert "is a copy of a store of " + home_of(address) in cluster.log_of(address)
    shutil.rmtree(store)
    os.rename(store + ".original", store)
    cluster.start(address)


def test_second_process_is_refused():
    with Cluster() as cluster:
        load = Load(cluster, seed=SEED + 6)
        load.start()
        for address, command in cluster.commands.items():
            load.advance(30)
            second = subprocess.run(command, capture_output=True, text=True, timeout=PATIENT)
            assert second.returncode == EXIT_PERMANENT, f"a second {address} ended with {second.returncode}"
            assert "is in use by" in second.stderr, second.stderr
            assert cluster.running(address)
        load.advance(100)
        load.finish()


@needs("split", "merged ledgers share one store")
def test_store_of_another_agent_is_refused():
    with Cluster() as cluster:
        cluster.sound = False
        for address in (TOKEN_MANAGER, "lock_manager.TIM3.0"):
            cluster.kill(address, signal.SIGTERM)
        store = os.path.join(cluster.dir, "store")
        shutil.rmtree(os.path.join(store, TOKEN_MANAGER))
        os.rename(os.path.join(store, "lock_manager.TIM3.0"), os.path.join(store, TOKEN_MANAGER))
        cluster.start(TOKEN_MANAGER)
        poll(lambda: not cluster.running(TOKEN_MANAGER), what="the wrong store to be refused")
        assert cluster.processes[TOKEN_MANAGER].returncode == EXIT_PERMANENT
        assert "lock_manager.TIM3.0" in cluster.log_of(TOKEN_MANAGER)


if __name__ == "__main__":
    harness.main()
