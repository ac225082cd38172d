"""audit: a shortage is told as one, and work under way is not.

TIM3_AUDITS sets how many audits are made while a workload runs (20).
"""
import json
import os
import subprocess

import harness
from harness import LONGEST, Cluster, home_of, needs, poll
from test_backup import KEEPERS, folder_of, kill_all, put_back, start_all
from test_ctl import go_on
from test_ctl import stop as freeze
from test_fsck import poke, rows
from tim3_wire import PATIENT, number

AUDITS = int(os.environ.get("TIM3_AUDITS", "20"))
USDA, LOCKS = "mock_usda.USDA.0", "lock_manager.TIM3.0"
DONE, REFUSED = 0, 1


def audit(cluster, timeout=PATIENT):
    """The exit code, and the report."""
    done = cluster.ctl("--json", "audit", "--timeout", str(int(timeout)), check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def unbacked(report):
    return [part["why"] for part in (*report["assets"], report["collateral"]) if part["why"].startswith("NOT BACKED")]


def put_back_all_but_the_collateral(cluster, backup):
    """What nobody may do: no store is left that would remember. The collateral token's would, had it seen more of the router."""
    kill_all(cluster)
    poke(cluster.dir, USDA, "router_seen", b"router\0".hex(), "delete")
    put_back(cluster, {home_of(address) for address in KEEPERS} - {USDA}, folder_of(cluster, backup))
    start_all(cluster)
    cluster.wait_ready()


def conflicts(cluster, client):
    return [reason for reason in client.ask(USDA, "Health", {})["reasons"] if reason["name"] == "conflicts"]


def spoil(cluster):
    """A release is paid twice; the last one cannot be paid any more. What is locked and what there is of tokens is nothing by
    then, so the vault holds more than that."""
    cluster.sound = False
    cluster.ctl("usda", "mint", "alice", "100")
    cluster.ctl("mint", "alice", "10")
    cluster.ctl("backup", "old", "--data", cluster.dir)
    cluster.ctl("redeem", "alice", "4")
    put_back_all_but_the_collateral(cluster, "old")
    code, report = audit(cluster)
    assert code == REFUSED and "the vault holds less than is locked" in report["assets"][0]["why"], report
    cluster.ctl("redeem", "alice", "4")
    cluster.ctl("redeem", "alice", "6", "--timeout", "1", check=False)


def must_be_told(cluster):
    code, report = audit(cluster)
    assert code == REFUSED and report["checked"] and not report["agrees"], report
    asset = report["assets"][0]
    assert (asset["vault"], asset["locked"], asset["supply"]) == (str(2 * 10**18), "0", "0"), asset
    assert asset["why"].startswith("NOT BACKED: the vault holds less than what is locked and what is being released"), asset
    assert "tim3ctl pause --asset TIM3" in asset["why"] and "OPERATIONS.md" in asset["why"], asset
    assert "mock_usda.USDA tells conflicts" in report["collateral"]["why"], report
    done = cluster.ctl("audit", check=False)
    assert done.returncode == REFUSED and done.stdout.count("NOT BACKED") == 2, done.stdout


def test_a_shortage_is_told():
    with Cluster(settings=dict(store="lmdb")) as cluster:
        spoil(cluster)
        client = cluster.client()
        poll(lambda: conflicts(cluster, client), what="a conflict")
        must_be_told(cluster)
        # what the collateral token counts is of its life; the lock manager asks again in the next one
        cluster.restart(USDA)
        must_be_told(cluster)


@needs("split", "the lock manager must go on while no coordinator asks it")
def test_a_move_that_is_not_confirmed_is_no_shortage():
    with Cluster(coordinators=1, settings=dict(sweep_after_ms=60000, sweep_most_ms=60000)) as cluster:
        cluster.ctl("usda", "mint", "alice", "100")
        cluster.ctl("mint", "alice", "10")
        poll(lambda: audit(cluster, timeout=1)[0] == DONE, what="a settled mint")
        collateral, locks = (cluster.client(cluster.endpoint(address)) for address in (USDA, LOCKS))
        freeze(cluster, USDA)
        cluster.ctl("redeem", "alice", "4", "--request-id", "four", "--timeout", "1", check=False)
        poll(lambda: locks.ask("lock_manager.TIM3", "GetLockTotals", {})["unsettled"], what="the release to be asked for")
        freeze(cluster, LOCKS)
        cluster.kill("coordinator.TIM3.0")
        go_on(cluster, USDA)  # the collateral is paid out, and nobody hears of it
        poll(lambda: number(collateral.ask("mock_usda.USDA", "ListVaults", {})["items"][0]["total"]) == 6 * 10**18,
             what="the payment")
        cluster.restart(LOCKS)
        code, report = audit(cluster, timeout=2)
        asset = report["assets"][0]
        assert code == REFUSED and asset["vault"] == str(6 * 10**18) and asset["locked"] == "6000000", asset
        assert asset["why"].startswith("still on their way"), asset
        cluster.start("coordinator.TIM3.0")
        cluster.ctl("redeem", "alice", "4", "--request-id", "four")  # asks for all of it again
        assert poll(lambda: audit(cluster, timeout=1)[0] == DONE, what="an audit that agrees")


def owe_more(cluster):
    """A lock manager that says of more than there is that it is being released, and has nothing it could ask for again."""
    cluster.sound = False
    cluster.ctl("usda", "mint", "alice", "100")
    cluster.ctl("mint", "alice", "10")
    poll(lambda: audit(cluster, timeout=1)[0] == DONE, what="a settled mint")
    kill_all(cluster)
    key, _ = rows(cluster.dir, LOCKS, "lock_totals")[0]
    poke(cluster.dir, LOCKS, "lock_totals", key, "releasing=5000000", "unsettled=1")
    start_all(cluster)
    cluster.wait_ready()


def test_a_shortage_that_stays_is_told_without_a_conflict():
    """But only when it has lasted for longer than the ledgers leave it at having asked."""
    for sweep_ms, told in ((100, True), (60000, False)):
        with Cluster(settings=dict(store="lmdb", sweep_after_ms=sweep_ms, sweep_most_ms=sweep_ms)) as cluster:
            owe_more(cluster)
            code, report = audit(cluster, timeout=PATIENT if told else 3)
            assert code == REFUSED and len(unbacked(report)) == told, report
            assert told or report["assets"][0]["why"].startswith("still on their way"), report
            assert report["collateral"]["agrees"], report


def start_work(cluster):
    return subprocess.Popen([Cluster.exe("tim3ctl"), "--endpoint", cluster.front(), "bench", "--workload", "mixed", "--rate", "40",
                             "--accounts", "20", "--seconds", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def check_under_work(cluster):
    work = start_work(cluster)
    try:
        client = cluster.client()
        poll(lambda: client.ask("state_manager.-", "GetMetrics", {})["items"], what="work")
        consistent = 0
        for _ in range(AUDITS):
            code, report = audit(cluster, timeout=1)
            assert not unbacked(report), report
            consistent += "figures change" not in report["assets"][0]["why"]
        assert work.poll() is None, "the workload has ended"
        print(f"    {consistent} of {AUDITS} audits saw figures of one instant", flush=True)
    finally:
        work.kill()
        work.wait()
    assert poll(lambda: audit(cluster)[0] == DONE, LONGEST, "an audit that agrees")


def test_work_under_way_is_no_shortage():
    with Cluster() as cluster:
        check_under_work(cluster)


def test_work_between_shards_is_no_shortage():
    with Cluster(asset_settings=dict(shards=2)) as cluster:
        check_under_work(cluster)


if __name__ == "__main__":
    harness.main()
