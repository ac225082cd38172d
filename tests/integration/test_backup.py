"""Backups of running agents, restored; and older copies of single stores, found out.

TIM3_KILLS sets how often backups and agents are killed in the middle of it (4), TIM3_SEED the order of it all.
"""
import contextlib
import os
import random
import shutil
import signal
import subprocess
import time

import harness
from harness import LONGEST, Cluster, home_of, needs, poll
from load import Load
from tim3_wire import NoAnswer, Refused, amount, number

KILLS = int(os.environ.get("TIM3_KILLS", "4"))
SEED = int(os.environ.get("TIM3_SEED", "1"))
USDA = "mock_usda.USDA.0"
LOCKS = "lock_manager.TIM3.0"
TOKENS = "token_manager.TIM3.0"
STATE = "state_manager.-.0"
ROUTER = "router.-.0"
KEEPERS = (USDA, LOCKS, TOKENS, STATE, ROUTER)
# What each of them answers, but not while it is held.
QUESTIONS = {USDA: "GetCollateralTotals", LOCKS: "GetLockTotals", TOKENS: "GetSupply", STATE: "GetMetrics", ROUTER: "List"}
PERMANENT = 100
SCALE = 10 ** 12


class Keeping(Cluster):
    """No pause of the machine makes an agent pass for dead, for a backup is of all agents or of none."""

    def __init__(self):
        super().__init__(settings=dict(heartbeat_ms=1000))


def folder_of(cluster, name):
    return os.path.join(cluster.dir, "backup", name)


def back_up(cluster, name, *more, **how):
    return cluster.ctl("backup", name, "--data", cluster.dir, *more, **how)


def resume_of(held):
    return {name: held[name] for name in ("backup", "life", "number")}


def restore(cluster, folder, *more, **how):
    return cluster.ctl("restore", folder, "--data", cluster.dir, *more, **how)


@contextlib.contextmanager
def started_from(original, folder):
    """Another data folder, restored from a backup; the original may be running."""
    other = Cluster()
    shutil.rmtree(os.path.join(other.dir, "keys"))
    shutil.copytree(os.path.join(original.dir, "keys"), os.path.join(other.dir, "keys"))
    restore(other, folder, "--config", other.config)
    other.fsck()
    with other:
        items = other.client().ask("router.-", "List", {})["items"]
        # a registry that came with the backup would lead to the original
        assert all(item["endpoint"].startswith(f"ipc://{other.dir}/") for item in items), items
        yield other


def check_answers(cluster, before, after):
    """Every request that was answered before the backup began is there as it was answered; none that was sent
    after it ended."""
    client = cluster.client()
    supply = client.ask("mock_usda.USDA", "GetCollateralTotals", {})
    issued = sum(r.units for r, _ in before if r.kind == "Faucet" and r.completed())
    assert number(supply["issued"]) >= issued, "collateral that was made before the backup is not in it"
    for request, answer in before:
        if request.kind == "Faucet" or answer[0] != "completed":
            continue
        told = dict(answer[1])
        body = dict(account=request.account, request_id=request.request_id)
        found = client.ask("coordinator.TIM3", "GetTransaction", body, request.account)
        assert found["tx"] == told["tx"] and found["status"] == 2 and found["amount"] == told["amount"], \
            f"{request} is not in the backup: {found}"
    for request in after:
        if request.kind == "Faucet":
            continue
        body = dict(account=request.account, request_id=request.request_id)
        try:
            found = client.ask("coordinator.TIM3", "GetTransaction", body)
            raise AssertionError(f"{request} was sent after the backup, and is in it: {found}")
        except Refused as refusal:
            assert refusal.name == "not_found", refusal.body
    cluster.close(client)


def test_backups_under_load():
    with Keeping() as cluster:
        load = Load(cluster, seed=SEED)
        load.start()
        made = []
        for turn in range(3):
            load.advance(400)
            before = [(r, r.answer) for r in list(load.requests) if r.answer is not None]
            found = cluster.ctl_json("backup", f"b{turn}", "--data", cluster.dir)
            ended = len(load.requests)
            load.advance(100)
            # the same id may be used twice on purpose: the later one is then found as the first
            ids = {r.request_id for r in load.requests[:ended]}
            after = [r for r in load.requests[ended:ended + 50] if r.request_id not in ids]
            made.append((found["folder"], before, after))
            print(f"    backup {turn}: agents stood still for {found['pause_us'] / 1000:.1f} ms", flush=True)
        load.finish()
        assert cluster.ctl("backup", "list", "--data", cluster.dir).stdout.count(" good") == 3
        for folder, before, after in made:
            assert cluster.ctl("fsck", folder, check=False).returncode == 0
            with started_from(cluster, folder) as other:
                other.audit()
                check_answers(other, before, after)
                client = other.client()
                client.faucet("later", 5 * SCALE, "later-1")
                client.mint_anew("later", 5, "later-2")
                other.audit()


def test_hold_ends_by_itself():
    with Keeping() as cluster:
        load = Load(cluster, seed=SEED)
        load.start()
        load.advance(50)
        client = cluster.client()
        body = dict(backup=os.urandom(16), name="lost", for_us=600000)
        held = {address: client.ask(address, "Hold", body) for address in KEEPERS}
        for address in KEEPERS:  # a held agent still says who it is
            client.ask_once(address, "Info", {})
        load.advance(200)
        for address, question in QUESTIONS.items():  # those that were asked to hold last stand still longest
            client.ask(address, question, {})
        for address in KEEPERS:
            found = client.ask(address, "Resume", resume_of(held[address]))
            assert not found["held"], f"{address} says that it stood still"
            name, _ = client.outcome(address, "Hold", body)
            assert name == "wrong_state", f"{address} can be held twice for one backup: {name}"
        back_up(cluster, "next")
        assert "no manifest" in cluster.ctl("backup", "list", "--data", cluster.dir, check=False).stdout
        assert restore(cluster, folder_of(cluster, "lost"), check=False).returncode == 1
        load.finish()


def test_held_agents_take_nothing_and_lose_nothing():
    with Keeping() as cluster:
        client = cluster.client()
        client.faucet("alice", 100 * SCALE, "f1")
        body = dict(backup=os.urandom(16), name="still", for_us=10000000)
        held = {address: client.ask(address, "Hold", body) for address in KEEPERS}
        sent = [client.send("mock_usda.USDA", "Faucet", dict(account="alice", amount=b"\0" * 15 + b"\7",
                                                             request_id=f"held-{i}"), "alice") for i in range(50)]
        try:
            client.answer(sent[0], 0.3)
            raise AssertionError("a held agent answered")
        except NoAnswer:
            pass
        for address in KEEPERS:
            found = client.ask(address, "Resume", resume_of(held[address]))
            assert found["held"] and found["held_us"] > 0, (address, found)
        balances = [number(client.answer(identity)[1]["balance"]) for identity in sent]
        assert balances == sorted(balances), "what had to wait was not taken in its order"
        assert client.holding("alice") == 100 * SCALE + 50 * 7


def test_backup_is_all_or_nothing():
    rng = random.Random(SEED)
    with Cluster() as cluster:
        load = Load(cluster, seed=SEED)
        load.start()
        load.advance(200)
        ends = {}
        for turn in range(2 * KILLS):
            log = open(os.path.join(cluster.dir, "backup.txt"), "ab")
            process = subprocess.Popen([cluster.exe("tim3ctl"), "--endpoint", cluster.front(), "backup", f"k{turn}",
                                        "--data", cluster.dir], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            log.close()
            victim = rng.choice(KEEPERS) if turn % 2 else None
            deadline = time.monotonic() + rng.uniform(0, 0.15)
            poll(lambda: process.poll() is not None or time.monotonic() > deadline, what="the moment of the kill")
            if victim:
                cluster.restart(victim)
            else:
                process.kill()
            ends[turn] = process.wait(timeout=LONGEST)
            load.advance(20)
            if not victim:  # what was not resumed goes on by itself, and the next backup is not in its way
                poll(lambda: back_up(cluster, f"n{turn}", check=False).returncode == 0, what="a backup after a kill")
        load.finish()
        listed = {item["name"]: item for item in cluster.ctl_json("backup", "list", "--data", cluster.dir,
                                                                   check=False)}
        for turn, code in ends.items():
            item = listed.get(f"k{turn}")
            if code == 0:
                assert item["good"], item
            elif code > 0:
                assert item is None, f"a backup that failed has left {item}"
        good = [item for item in listed.values() if item["good"]]
        print(f"    {len(ends)} disturbed: {sum(code == 0 for code in ends.values())} done, "
              f"{sum(code > 0 for code in ends.values())} refused, {len(good)} good of {len(listed)} folders")
        for item in good:
            done = cluster.ctl("fsck", item["folder"], check=False)
            assert done.returncode == 0, done.stdout
        for item in rng.sample(good, min(3, len(good))):
            with started_from(cluster, item["folder"]) as other:
                other.audit()


def work(client, turn):
    """A bit of everything."""
    client.faucet("alice", 100 * SCALE, f"{turn}-1")
    client.mint_anew("alice", 50, f"{turn}-2")
    client.transfer("alice", "bob", 10, f"{turn}-3")
    client.redeem("alice", 20, f"{turn}-4")


def told(cluster, client, address):
    """Waits until the agent has reported to the registry since now."""
    now = time.time() * 1e6

    def reported():
        items = client.ask("router.-", "List", {})["items"]
        return any(item["name"] == address and item["seen_us"] > now for item in items)
    poll(reported, what=f"a report of {address}")


def figures(cluster):
    """All that money is counted by."""
    client = cluster.client()
    found = dict(alice=client.balance("alice"), bob=client.balance("bob"), usda=client.holding("alice"),
                 bobs=client.holding("bob"), picture=poll(lambda: cluster.picture(client, "TIM3"), what="quiet"))
    cluster.close(client)
    return found


@contextlib.contextmanager
def older_copy_of(victim, how=signal.SIGKILL):
    """A set in which one agent was given its store from a backup, while its peers went on. At the end the right one
    is put back, everything is as it was, and the backup of the whole set is good."""
    with Keeping() as cluster:
        client = cluster.client()
        work(client, "old")
        cluster.audit()
        was = figures(cluster)
        back_up(cluster, "old")
        work(client, "new")
        cluster.audit()
        work(client, "newer")  # with it the ledgers delete events of before: those they still had would mend an old log
        cluster.audit()
        wanted = figures(cluster)
        assert wanted != was
        told(cluster, client, victim)
        cluster.kill(victim, how)
        newer = os.path.join(cluster.dir, "newer")
        os.rename(cluster.store_of(victim), newer)
        restore(cluster, folder_of(cluster, "old"), "--agent", victim)
        cluster.start(victim)
        yield cluster
        if cluster.running(victim):
            cluster.kill(victim)
        shutil.rmtree(cluster.store_of(victim))
        os.rename(newer, cluster.store_of(victim))
        cluster.start(victim)
        cluster.wait_ready()
        assert figures(cluster) == wanted, "money was lost or doubled"
        cluster.audit()
        work(client, "newest")
        cluster.audit()
        with started_from(cluster, folder_of(cluster, "old")) as other:
            other.audit()
            assert figures(other) == was, "the backup is not what it was made of"


def refused_for_good(cluster, victim):
    poll(lambda: not cluster.running(victim), what=f"{victim} to end")
    code = cluster.process(victim).returncode
    assert code == PERMANENT, f"{victim} ended with {code}: it would be started again"
    assert "older copy" in cluster.log_of(victim) and "restore the whole set" in cluster.log_of(victim)
    assert 'event="ready"' not in cluster.log_of(victim).split("older copy")[0].rsplit("ready", 1)[-1]
    client = cluster.client()
    reasons = [r["name"] for r in client.ask("router.-", "Health", {})["reasons"]]
    assert "store_rolled_back" in reasons, reasons
    cluster.close(client)


def test_older_collateral_token_is_refused():
    with older_copy_of(USDA) as cluster:
        refused_for_good(cluster, USDA)


def test_older_collateral_token_is_refused_after_a_clean_stop():
    with older_copy_of(USDA, signal.SIGTERM) as cluster:
        refused_for_good(cluster, USDA)


def test_older_lock_manager_is_refused():
    with older_copy_of(LOCKS) as cluster:
        refused_for_good(cluster, LOCKS)


@needs("split", "a merged token manager has no store of its own: it is the lock manager's")
def test_older_token_manager_is_refused():
    with older_copy_of(TOKENS) as cluster:
        refused_for_good(cluster, TOKENS)


def test_one_commit_is_enough():
    """What the new life writes by itself must not make up for what is missing."""
    with Keeping() as cluster:
        client = cluster.client()
        client.faucet("alice", 100 * SCALE, "f1")
        back_up(cluster, "old")
        client.faucet("alice", 1, "f2")
        told(cluster, client, USDA)
        cluster.kill(USDA)
        newer = os.path.join(cluster.dir, "newer")
        os.rename(cluster.store_of(USDA), newer)
        restore(cluster, folder_of(cluster, "old"), "--agent", USDA)
        cluster.start(USDA)
        refused_for_good(cluster, USDA)
        shutil.rmtree(cluster.store_of(USDA))
        os.rename(newer, cluster.store_of(USDA))


def test_same_store_restored_alone_goes_on():
    """Nothing has happened to it since the backup: it is as good as it was."""
    with Keeping() as cluster:
        client = cluster.client()
        work(client, "one")
        cluster.audit()
        told(cluster, client, USDA)
        back_up(cluster, "now")
        cluster.kill(USDA)
        shutil.rmtree(cluster.store_of(USDA))
        restore(cluster, folder_of(cluster, "now"), "--agent", USDA)
        cluster.start(USDA)
        cluster.wait_ready()
        work(client, "two")
        cluster.audit()


def test_older_store_is_refused_when_router_was_restarted_too():
    with older_copy_of(USDA) as cluster:
        refused_for_good(cluster, USDA)
        cluster.restart(ROUTER)
        cluster.start(USDA)
        refused_for_good(cluster, USDA)


def test_older_state_manager_catches_up():
    with older_copy_of(STATE) as cluster:
        cluster.audit()


def test_older_router_is_found_out():
    with older_copy_of(ROUTER) as cluster:
        client = cluster.client(cluster.endpoint(ROUTER))

        def reasons():
            return {r["name"]: r["text"] for r in client.ask("router.-", "Health", {})["reasons"]}
        poll(lambda: "log_rolled_back" in reasons(), what="the router to know that its log is old")
        assert "restore the whole set" in reasons()["log_rolled_back"]
        ledger = cluster.client(cluster.endpoint(TOKENS))
        poll(lambda: any("older copy" in r["text"] for r in ledger.ask("token_manager.TIM3", "Health", {})["reasons"]),
             what="the token manager to tell why")
        assert ledger.balance("alice") > 0, "who was accepted before must go on"
        cluster.restart(TOKENS)

        def refusal():
            name, body = ledger.outcome("token_manager.TIM3", "GetBalance", dict(account="alice"))
            return name == "not_ready" and "older copy" in body["text"]
        poll(refusal, what="the token manager to wait, and to tell why")
        assert cluster.running(TOKENS) and cluster.running(ROUTER)


def put_back(cluster, victims, source):
    """Gives these agents, which are stopped, their stores from a backup."""
    for victim in victims:
        shutil.rmtree(cluster.store_of(victim), ignore_errors=True)
        restore(cluster, source, "--agent", victim)


def start_all(cluster):
    for address in cluster.commands:
        cluster.start(address)


def kill_all(cluster):
    for address in cluster.commands:
        if cluster.running(address):
            cluster.kill(address)


def refuses_the_router(cluster, ledger):
    """The ledger waits, as it has seen more of the router's store than there is, and all can read why."""
    direct = cluster.client(cluster.endpoint(ledger))

    def refusal():
        try:
            reasons = direct.ask(ledger.rsplit(".", 1)[0], "Health", {})["reasons"]
        except NoAnswer:
            return False
        return any("older copy, or of another set" in r["text"] for r in reasons)
    poll(refusal, what=f"{ledger} to be refused")
    client = cluster.client(cluster.endpoint(ROUTER))
    reasons = {r["name"]: r["text"] for r in client.ask("router.-", "Health", {})["reasons"]}
    assert ledger in reasons.get("log_rolled_back", ""), reasons


def test_older_set_beside_a_newer_collateral_token_pays_nobody_twice():
    """What remembers how far the ledgers had come, the router's store, is as old as they are: only the collateral token knows."""
    others = {home_of(agent) for agent in KEEPERS} - {USDA}
    with Keeping() as cluster:
        client = cluster.client()
        work(client, "old")
        cluster.audit()
        back_up(cluster, "old")
        client.redeem("alice", 10, "paid-once")
        had = client.holding("alice")
        for _ in range(2):
            told(cluster, client, USDA)
        kill_all(cluster)
        put_back(cluster, others, folder_of(cluster, "old"))
        found = cluster.ctl("fsck", cluster.dir, check=False)
        assert found.returncode == 1 and "router_seen" in found.stdout, found.stdout
        start_all(cluster)
        refuses_the_router(cluster, USDA)
        tokens = cluster.client(cluster.endpoint(TOKENS))

        def burned():
            cluster.ctl("redeem", "alice", "0.00001", "--request-id", "paid-once", "--timeout", "2", check=False)
            return number(tokens.ask("token_manager.TIM3", "GetSupply", {})["burned"]) == 30
        poll(burned, what="the burn of what was burned before")
        refuses_the_router(cluster, USDA)
        kill_all(cluster)
        put_back(cluster, [USDA, *others], folder_of(cluster, "old"))
        start_all(cluster)
        cluster.wait_ready()
        client = cluster.client()
        client.redeem("alice", 10, "paid-once")
        assert client.holding("alice") == had
        cluster.audit()


def test_ledger_of_a_set_that_went_its_own_way_is_refused():
    """A copy of the whole set was adopted and worked on: its ledgers have the same past, and more commits."""
    with Keeping() as cluster:
        client = cluster.client()
        work(client, "old")
        cluster.audit()
        back_up(cluster, "old")
        with started_from(cluster, folder_of(cluster, "old")) as other:
            stranger = other.client()
            for turn in range(3):
                work(stranger, f"other-{turn}")
            other.audit()
            for _ in range(2):
                told(other, stranger, USDA)
            kill_all(other)
            cluster.kill(USDA)
            own = os.path.join(cluster.dir, "own")
            os.rename(cluster.store_of(USDA), own)
            shutil.copytree(other.store_of(USDA), cluster.store_of(USDA), copy_function=os.link)  # the same inodes
        cluster.start(USDA)
        refuses_the_router(cluster, USDA)
        cluster.kill(USDA)
        shutil.rmtree(cluster.store_of(USDA))
        os.rename(own, cluster.store_of(USDA))
        cluster.start(USDA)
        cluster.wait_ready()
        cluster.audit()


def test_ledger_waits_for_the_router():
    with Keeping() as cluster:
        client = cluster.client()
        work(client, "one")
        direct = cluster.client(cluster.endpoint(TOKENS))
        cluster.kill(ROUTER)
        assert direct.balance("alice") > 0, "a ledger that was accepted needs no router"
        cluster.restart(TOKENS)

        def waiting():
            try:
                return direct.outcome("token_manager.TIM3", "GetBalance", dict(account="alice"), timeout=5)[0]
            except NoAnswer:
                return None
        assert poll(waiting, what="an answer") == "not_ready"
        cluster.start(ROUTER)
        cluster.wait_ready()
        assert direct.balance("alice") > 0
        cluster.audit()


def test_store_made_anew_is_refused():
    with Keeping() as cluster:
        client = cluster.client()
        work(client, "one")
        cluster.kill(USDA)
        os.rename(cluster.store_of(USDA), os.path.join(cluster.dir, "kept"))
        cluster.start(USDA)
        poll(lambda: not cluster.running(USDA), what="the empty ledger to end")
        assert cluster.process(USDA).returncode == PERMANENT
        assert "made anew" in cluster.log_of(USDA)
        shutil.rmtree(cluster.store_of(USDA))
        os.rename(os.path.join(cluster.dir, "kept"), cluster.store_of(USDA))
        cluster.start(USDA)
        cluster.wait_ready()
        cluster.audit()


def test_damaged_backups_are_refused():
    rng = random.Random(SEED)
    with Keeping() as cluster:
        work(cluster.client(), "one")
        back_up(cluster, "good")
        folder = folder_of(cluster, "good")
        target = os.path.join(cluster.dir, "again")

        def refused(what, damage):
            broken = folder_of(cluster, "broken")
            shutil.copytree(folder, broken)
            damage(broken)
            done = cluster.ctl("restore", broken, "--data", target, check=False)
            assert done.returncode == 1 and "nothing was restored" in done.stderr, (what, done)
            assert not os.path.exists(os.path.join(target, "store")), f"{what}: something was restored"
            assert cluster.ctl("backup", "list", "--data", cluster.dir, check=False).returncode == 1, what
            shutil.rmtree(broken)

        def flip(path):
            with open(path, "r+b") as file:
                file.seek(rng.randrange(os.path.getsize(path)))
                byte = file.read(1)
                file.seek(-1, 1)
                file.write(bytes([byte[0] ^ 1 << rng.randrange(8)]))

        stores = sorted({home_of(address) for address in KEEPERS})

        def swap(broken):
            one, two = (os.path.join(broken, "store", name, "data.mdb") for name in stores[:2])
            os.rename(one, one + ".x")
            os.rename(two, one)
            os.rename(one + ".x", two)
        for name in stores:
            refused("a bit of " + name, lambda b: flip(os.path.join(b, "store", name, "data.mdb")))
            refused(name + " cut short", lambda b: os.truncate(os.path.join(b, "store", name, "data.mdb"), 4096))
            refused(name + " missing", lambda b: shutil.rmtree(os.path.join(b, "store", name)))
        refused("no manifest", lambda b: os.remove(os.path.join(b, "manifest.json")))
        refused("half a manifest", lambda b: os.truncate(os.path.join(b, "manifest.json"), 700))
        refused("two stores exchanged", swap)
        path = os.path.join(folder, "manifest.json")
        text = open(path).read()
        edited = text.replace('"time_us": 1', '"time_us": 2')
        assert edited != text
        refused("an edited manifest", lambda b: open(os.path.join(b, "manifest.json"), "w").write(edited))


def test_nothing_is_written_over():
    with Keeping() as cluster:
        work(cluster.client(), "one")
        back_up(cluster, "first", "--with-keys")
        folder = folder_of(cluster, "first")
        again = back_up(cluster, "first", check=False)
        assert again.returncode == 1 and "nothing is written over" in again.stderr, again
        for name in ("", ".x", "a/b", "..", "a b", "x" * 65, "é"):
            assert back_up(cluster, name, check=False).returncode == 2, name
        assert "in use" in restore(cluster, folder, check=False).stderr
        for address in cluster.commands:
            cluster.kill(address)
        assert "nothing is written over" in restore(cluster, folder, check=False).stderr
        assert "nothing is written over" in restore(cluster, folder, "--agent", USDA, check=False).stderr
        shutil.rmtree(os.path.join(cluster.dir, "store"))
        os.makedirs(cluster.store_of("coordinator.TIM3.0"))
        key = os.path.join(cluster.dir, "keys", "TIM3.vault")
        kept = open(key, "rb").read()
        os.remove(key)
        restore(cluster, folder)
        assert open(key, "rb").read() == kept and os.stat(key).st_mode & 0o777 == 0o600
        assert not os.path.exists(os.path.join(cluster.dir, "store.restoring"))
        for address in cluster.commands:
            cluster.start(address)
        cluster.wait_ready()
        cluster.audit()


def test_backup_needs_every_agent():
    with Keeping() as cluster:
        work(cluster.client(), "one")
        cluster.kill(STATE)
        client = cluster.client()
        poll(lambda: any(item["name"] == STATE and not item["alive"]
                         for item in client.ask("router.-", "List", {})["items"]), what="the loss to be known")
        done = back_up(cluster, "part", check=False)
        assert done.returncode == 1 and STATE in done.stderr, done
        cluster.start(STATE)
        cluster.wait_ready()
        cluster.kill(LOCKS, signal.SIGTERM)  # it has said goodbye: nobody but its store tells of it
        done = back_up(cluster, "part", check=False)
        assert done.returncode == 1 and LOCKS in done.stderr, done
        assert not os.path.exists(folder_of(cluster, "part"))
        cluster.start(LOCKS)
        cluster.wait_ready()
        back_up(cluster, "whole")


def test_agents_may_not_hold_others():
    with Keeping() as cluster:
        for address in KEEPERS:
            stranger = cluster.client(cluster.endpoint(address), sender="coordinator.TIM3.0")
            body = dict(backup=os.urandom(16), name="x")
            assert stranger.outcome(address, "Hold", body)[0] == "not_allowed", address
            assert stranger.outcome(address, "Resume", dict(backup=body["backup"]))[0] == "not_allowed", address
        client = cluster.client()
        for name in ("..", "../x", "a/b", ".hidden", "a b"):
            body = dict(backup=os.urandom(16), name=name)
            try:
                client.ask(USDA, "Hold", body)
                raise AssertionError(f"{name} is taken as a name")
            except Refused as refusal:
                assert refusal.name == "invalid_field", refusal
        assert client.outcome("coordinator.TIM3", "Hold", dict(backup=os.urandom(16), name="x"))[0] in \
            ("unknown_message", "not_allowed")


if __name__ == "__main__":
    harness.main()
