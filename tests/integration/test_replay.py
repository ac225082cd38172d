"""Running again what an agent was handed: the same build decides the same, another one is caught where it does not.

Besides this, the harness replays the ledgers of every cluster at its end.
"""
import itertools
import json
import os
import subprocess

import harness
from harness import LONGEST, Cluster, home_of, needs, poll
from load import Load

LEDGERS = ["token_manager.TIM3.0", "lock_manager.TIM3.0", "mock_usda.USDA.0", "state_manager.-.0", "router.-.0"]
TOKEN_MANAGER = LEDGERS[0]
DIFFERS = 1
NOT_DONE = 3
USAGE = 2
journal = needs("journal", "a store without a journal has nothing to replay")


def replay(cluster, address, *arguments, program="tim3ctl", config=None):
    done = subprocess.run([cluster.exe(program), "--json", "replay", cluster.dir, address, "--config",
                           config or cluster.config, *arguments], capture_output=True, text=True, timeout=LONGEST)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def stop(cluster):
    for address in cluster.commands:
        cluster.kill(address)


def files(cluster, address, prefix):
    folder = cluster.store_of(address)
    return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.startswith(prefix))


def begun(cluster):
    load = Load(cluster, seed=7, outstanding=100)
    load.start()
    return load


def worked(cluster, requests):
    work_until(cluster, requests, lambda: True)


def work_until(cluster, requests, enough):
    """At least so many requests, and more until it is enough: how much a request adds to a journal is up to the machine."""
    load = begun(cluster)
    load.advance(requests)
    while not enough():
        assert len(load.requests) < 500000, "so much work, and still not enough"
        load.advance(500)
    load.resolve()


def checkpoints(cluster, address):
    """How many there were; the newest file may be of one that has not begun."""
    return len(files(cluster, address, "undo-")) - 1


@journal
def test_same_build_decides_the_same():
    with Cluster() as cluster:
        load = begun(cluster)
        load.advance(300)
        cluster.restart("lock_manager.TIM3.0")
        load.advance(300)
        cluster.restart(TOKEN_MANAGER)
        load.advance(300)
        load.resolve()
        stop(cluster)
        for address in LEDGERS:
            code, report, errors = replay(cluster, address)
            assert code == 0 and report["same"] and not report["other_settings"], (address, report, errors)
            # how many requests a record holds is up to the machine: the slower its disk, the more
            assert report["from_record"] == 1 and report["messages"] >= report["run"] >= 1, report


@journal
def test_from_the_middle():
    """With the files gone that lead back furthest, it begins at a later checkpoint: the core has no memory then."""
    with Cluster(settings=dict(checkpoint_mb=1)) as cluster:
        def with_checkpoints():
            return [address for address in LEDGERS if checkpoints(cluster, address) >= 2]
        work_until(cluster, 5000, lambda: len(with_checkpoints()) >= 3)
        stop(cluster)
        for address in with_checkpoints():
            undo = files(cluster, address, "undo-")
            whole = replay(cluster, address)[1]
            os.remove(undo[0])
            code, report, errors = replay(cluster, address)
            assert code == 0 and report["same"], (address, report, errors)
            assert report["from_record"] > 1 and report["run"] < whole["run"], (report, whole)


@journal
def test_a_row_that_was_altered_is_found():
    """A checkpointed row that was changed behind the agent's back, in a field that no other store tells."""
    with Cluster(settings=dict(checkpoint_mb=1)) as cluster:
        cluster.sound = False
        work_until(cluster, 500, lambda: checkpoints(cluster, TOKEN_MANAGER) >= 2)
        stop(cluster)
        good = replay(cluster, TOKEN_MANAGER)[1]
        assert good["same"] and good["rows"] > 100 and not good["altered"], good

        def poke(*arguments):
            return subprocess.run([cluster.exe("tim3-poke"), cluster.store_of(TOKEN_MANAGER), *arguments], check=True,
                                  capture_output=True, text=True, timeout=LONGEST).stdout
        rows = [line.split(" ", 2) for line in poke("list", "record").splitlines()]
        key = min((json.loads(record)["time_us"], key) for _, key, record in rows)[1]
        for change in (("bump", "available"), ("delete",)):
            poke("record", key, *change)
            code, report, errors = replay(cluster, TOKEN_MANAGER)
            assert code == DIFFERS and report["same"] and report["rows"] == good["rows"], (report, errors)
            assert [(item["table"], item["key"]) for item in report["altered"]] == [("record", f"tx {key}")], report


@journal
def test_another_rule_is_found():
    """The tool with a planted bug (refused transfers are not recorded) stops at the first one that was, and shows it."""
    with Cluster(settings=dict(sweep_after_ms=600000, sweep_most_ms=600000), coordinators=1) as cluster:
        cluster.ctl("usda", "mint", "alice", "100")
        cluster.ctl("mint", "alice", "5")
        cluster.ctl("transfer", "alice", "bob", "1")
        first = cluster.ctl("--json", "transfer", "alice", "bob", "700", check=False)
        second = cluster.ctl("--json", "transfer", "alice", "bob", "800", check=False)
        assert first.returncode == 1 and second.returncode == 1, (first, second)
        failed = cluster.ctl_json("txs", "--status", "failed")
        tx = next(item["tx"] for item in failed if item["amount"] == str(700 * 10 ** 6))
        stop(cluster)
        assert replay(cluster, TOKEN_MANAGER)[0] == 0
        code, report, errors = replay(cluster, TOKEN_MANAGER, program="tim3ctl-canary-17")
        assert code == DIFFERS and not report["same"], (report, errors)
        rows = {(row["table"], row["key"]): row for row in report["differences"]}
        row = rows[("record", "tx " + tx)]
        assert row["now"] == "unchanged" and row["then"]["amount"] == str(700 * 10 ** 6), row
        text = subprocess.run([cluster.exe("tim3ctl-canary-17"), "replay", cluster.dir, TOKEN_MANAGER, "--config",
                               cluster.config], capture_output=True, text=True).stdout
        assert f"record {report['differs_at']} differs" in text and tx in text, text
        # what it does not touch it decides alike
        other = "mock_usda.USDA.0" if home_of(TOKEN_MANAGER) == "lock_manager.TIM3.0" else "lock_manager.TIM3.0"
        assert replay(cluster, other, program="tim3ctl-canary-17")[0] == 0


@journal
def test_other_settings_are_told():
    with Cluster() as cluster:
        worked(cluster, 50)
        stop(cluster)
        other = os.path.join(cluster.dir, "other.cfg")
        with open(cluster.config) as given, open(other, "w") as out:
            out.write(given.read().replace("sweep_after_ms = 1000", "sweep_after_ms = 2000"))
        report = replay(cluster, TOKEN_MANAGER, config=other)[1]
        assert report["other_settings"], report


@journal
def test_what_cannot_be_replayed():
    with Cluster(settings=dict(checkpoint_mb=1)) as cluster:
        work_until(cluster, 1000, lambda: checkpoints(cluster, TOKEN_MANAGER) >= 1)
        code, _, errors = replay(cluster, TOKEN_MANAGER)
        assert code == NOT_DONE and "stop the agent first" in errors, errors
        stop(cluster)
        assert replay(cluster, "coordinator.TIM3.0")[0] == USAGE
        assert replay(cluster, "nobody")[0] == USAGE
        code, _, errors = replay(cluster, "token_manager.TIM9.0")
        assert code == NOT_DONE and "TIM9" in errors, errors
        for undo in files(cluster, TOKEN_MANAGER, "undo-"):  # the last one may be of a checkpoint that was not begun
            with open(undo, "r+b") as file:
                file.seek(os.path.getsize(undo) // 2)
                byte = file.read(1)
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte[0] ^ 1]))
        code, _, errors = replay(cluster, TOKEN_MANAGER)
        assert code == NOT_DONE and "damaged" in errors, errors
        cluster.sound = False


def test_a_store_without_a_journal():
    with Cluster(settings=dict(store="lmdb")) as cluster:
        worked(cluster, 50)
        stop(cluster)
        code, _, errors = replay(cluster, TOKEN_MANAGER)
        assert code == NOT_DONE and "no journal" in errors, errors


@journal
def test_nothing_is_kept_when_so_configured():
    with Cluster(settings=dict(replay_hours=0, checkpoint_mb=1)) as cluster:
        worked(cluster, 4000)
        client = cluster.client()
        client.faucet("late", 10 ** 30, "f1")
        commits = itertools.count()
        # the checkpoint that lets go of the others may still be under way
        poll(lambda: len(files(cluster, TOKEN_MANAGER, "journal-")) <= 3 or not client.mint_anew("late", 1, f"m{next(commits)}"),
             what="the journal to be let go")
        stop(cluster)
        assert not files(cluster, TOKEN_MANAGER, "undo-")
        code, _, errors = replay(cluster, TOKEN_MANAGER)
        assert code == NOT_DONE and "nothing was run again" in errors, errors


if __name__ == "__main__":
    harness.main()
