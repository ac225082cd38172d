"""Agents die under load: one by one, all at once, at every commit; they are stopped and frozen. Nothing is
lost, nothing happens twice, and everything is decided in the end.

TIM3_KILLS sets how often each agent is killed (20), TIM3_SEED the order of it all.
"""
import os
import random
import signal
import time

import harness
from harness import Cluster, poll
from load import Load
from tim3_wire import PATIENT, TYPES, NoAnswer, amount

KILLS = int(os.environ.get("TIM3_KILLS", "20"))
SEED = int(os.environ.get("TIM3_SEED", "1"))
LEDGERS = ("mock_usda.USDA.0", "lock_manager.TIM3.0", "token_manager.TIM3.0")
COORDINATORS = ["coordinator.TIM3.0", "coordinator.TIM3.1"]
MANY = 600  # mints whose events are more than a ledger keeps back while it has no answer
UNHURRIED = dict(sweep_after_ms=600000, sweep_most_ms=600000)  # however long a mint takes, it is not voided
BOUNDARIES = 12  # commits after a start at which an agent is made to crash


def loaded(cluster, **more):
    load = Load(cluster, **more)
    load.shards = COORDINATORS
    load.start()
    return load


def test_each_agent_killed_at_random():
    rng = random.Random(SEED)
    with Cluster() as cluster:
        load = loaded(cluster, seed=SEED)
        for _ in range(KILLS):
            victims = list(cluster.commands)
            rng.shuffle(victims)
            for victim in victims:
                time.sleep(rng.uniform(0.02, 0.12))
                cluster.restart(victim)
                load.check()
            load.advance(3)  # or a machine on which agents take longer to start than this lets them live decides nothing
        load.finish()


def test_all_killed_at_once():
    rng = random.Random(SEED)
    with Cluster() as cluster:
        load = loaded(cluster, seed=SEED + 1)
        for _ in range(5):
            load.advance(rng.randint(100, 400))
            for process in cluster.processes.values():
                process.kill()
            everyone = list(cluster.commands)
            rng.shuffle(everyone)
            for address in everyone:
                cluster.restart(address)
        load.advance(100)
        load.finish()


def small_workloads(load):
    """Over and over: collateral, two mints and one that must fail, a transfer, a redemption; new accounts
    each time, named after the case under test."""
    turn = 0
    while True:
        turn += 1
        holder = f"{load.case}.{turn}.a"
        other = f"{load.case}.{turn}.b"
        yield load.request("Faucet", holder, 1000 * load.scale)
        yield load.request("Mint", holder, 100)
        yield load.request("Mint", holder, 50)
        yield load.request("Mint", holder, 10 ** 9, expect="insufficient_funds")
        yield load.request("Transfer", holder, 30, other)
        yield load.request("Redeem", holder, 20)


def crash_at_every_commit(address):
    """One run; after each crash the agent is started with its next point of crash, and the work goes on."""
    with Cluster(settings=dict(retry_ms=50, heartbeat_ms=100)) as cluster:
        load = Load(cluster, outstanding=2, plan=small_workloads)
        points = [f"{when}:{count}" for when in ("before_commit", "after_commit")
                  for count in range(1, BOUNDARIES + 1)]
        load.case = "start"
        cluster.kill(address)
        load.start()
        for point in points:
            load.case = point
            cluster.start(address, crash_at=point)

            def crashed():
                load.check()
                return not cluster.running(address)
            poll(crashed, what=f"{address} to crash at {point}")
            assert cluster.process(address).returncode == -signal.SIGKILL
        cluster.start(address)
        load.advance(12)
        load.finish()


def test_commit_boundaries_of_mock_usda():
    crash_at_every_commit("mock_usda.USDA.0")


def test_commit_boundaries_of_lock_manager():
    crash_at_every_commit("lock_manager.TIM3.0")


def test_commit_boundaries_of_token_manager():
    crash_at_every_commit("token_manager.TIM3.0")


def test_commit_boundaries_of_state_manager():
    crash_at_every_commit("state_manager.-.0")


def test_commit_boundaries_of_router():
    crash_at_every_commit("router.-.0")


def mint_past_the_router(cluster, name, count):
    client = cluster.client(cluster.endpoint("coordinator.TIM3.0"))
    asked = [client.send("coordinator.TIM3", "Mint", dict(account="alice", amount=amount(5), request_id=f"{name}-{i}"), "alice")
             for i in range(count)]
    for identity in asked:
        kind, body = client.answer(identity)
        assert kind == TYPES["Transaction"] and body["status"] == 2, body
    cluster.close(client)


def first_events_die(crash_at):
    """The router dies with a ledger's very first events, which it has taken but not made durable. All other
    processes are frozen meanwhile, so that the commit at which it dies is the one with these events. So many follow
    that the ledger sends them while it has no answer about the first: they reach the next router before these do."""
    with Cluster(settings=UNHURRIED) as cluster:
        client = cluster.client()
        client.faucet("alice", 10 ** 18, "collateral")
        cluster.kill("router.-.0")
        mint_past_the_router(cluster, "first", 1)
        others = [cluster.process(address) for address in cluster.commands
                  if address not in ("router.-.0", cluster.process_of("token_manager.TIM3.0"))]
        for process in others:
            process.send_signal(signal.SIGSTOP)
        cluster.start("router.-.0", crash_at=crash_at)
        poll(lambda: not cluster.running("router.-.0"), what="the router to crash")
        for process in others:
            process.send_signal(signal.SIGCONT)
        mint_past_the_router(cluster, "second", MANY)
        cluster.start("router.-.0")
        cluster.audit()
        metrics = client.ask("state_manager.-", "GetMetrics", dict(asset="TIM3"))["items"][0]
        assert metrics["mints"] == 1 + MANY, f"{metrics['mints']} of {1 + MANY} mints have reached the state manager"


def test_first_events_die_with_the_router():
    """Later ones, which come to the next router first, must not pass for the beginning."""
    first_events_die("before_commit:1")
    first_events_die("before_commit:2")


def test_clean_stops():
    with Cluster() as cluster:
        load = loaded(cluster, seed=SEED + 2)
        for address in cluster.commands:
            load.advance(50)
            status = cluster.kill(address, signal.SIGTERM)
            assert status == 0, f"{address} ended with {status}"
            cluster.start(address)
        load.advance(50)
        load.finish()


def test_frozen_ledgers():
    """Longer than the ledgers leave unfinished work alone: sweeps and retries meet the work itself."""
    with Cluster() as cluster:
        load = loaded(cluster, seed=SEED + 3)
        for address in LEDGERS:
            load.advance(50)
            process = cluster.process(address)
            process.send_signal(signal.SIGSTOP)
            time.sleep(1.5)
            process.send_signal(signal.SIGCONT)
        load.advance(50)
        load.finish()


def mints_at_once(client, count, name):
    """Asks for so many, without waiting: what is told of each, by its id."""
    sent = [client.envelope("coordinator.TIM3", "Mint", dict(account="alice", amount=amount(1), request_id=f"{name}-{i}"),
                            "alice") for i in range(count)]
    client.socket.send(b"".join(data for _, data in sent))
    return [identity for identity, _ in sent]


def told(client, identities, timeout=PATIENT):
    """How many have been told what until nothing more is told for so long; and who has been told nothing."""
    tally = {}
    for identity in identities:
        try:
            kind, body = client.answer(identity, timeout)
        except NoAnswer:
            continue
        name = body["name"] if kind == TYPES["Error"] else "answered"
        tally[name] = tally.get(name, 0) + 1
        identities = [other for other in identities if other != identity]
    return tally, identities


def test_what_is_in_flight_ends_with_its_coordinator():
    """The router lets 64 requests wait for an answer. Answers that come late, or never because their coordinator was killed,
    must not keep it from accepting others for ever."""
    bound, many = 64, 100
    settings = dict(heartbeat_ms=3000, sweep_after_ms=20000, sweep_most_ms=20000)
    never = 3600000  # so that nothing leaves the count by its age
    with Cluster(sections=dict(router=dict(in_flight=bound, give_up_ms=never)), settings=settings, coordinators=1) as cluster:
        client = cluster.client()
        client.faucet("alice", 10 ** 18, "f1")
        client.mint("alice", 1, "m1")
        for how in (signal.SIGCONT, signal.SIGKILL):
            process = cluster.process("coordinator.TIM3.0")
            process.send_signal(signal.SIGSTOP)
            asked = mints_at_once(client, many, how.name)
            poll(lambda: client.receive(0.1) and len(client.inbox.keys() & asked) == many - bound, what="refusals")
            tally, waiting = told(client, asked, 0)
            assert tally == dict(overloaded=many - bound) and len(waiting) == bound, tally
            if how == signal.SIGCONT:
                process.send_signal(how)
                assert told(client, waiting) == (dict(answered=bound), [])
            else:
                cluster.restart("coordinator.TIM3.0")
            client.mint("alice", 1, f"{how.name}-afterwards")

            def all_are_taken():  # unless that mint, asked again on a slow machine, is still under way
                return told(client, mints_at_once(client, bound, f"{how.name}-again"))[0] == dict(answered=bound)
            poll(all_are_taken, what="as many to be accepted as before")
            cluster.audit()  # settled, so that a kill leaves nothing to a sweep
        assert client.balance("alice") >= 1 + bound * 3 + 2


if __name__ == "__main__":
    harness.main()
