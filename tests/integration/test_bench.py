"""tim3ctl bench: what it reports is what happened, with any number of connections and requests under way."""
import json
import subprocess

import harness
from harness import LONGEST, Cluster, poll
from tim3_wire import PATIENT, number

ACCOUNTS = ["--accounts", "20"]
UNIT = 10 ** 6  # a bench mints one whole token at a time


def supply(cluster):
    return int(cluster.ctl_json("audit")["assets"][0]["supply"])


def bench(cluster, *options):
    report = cluster.ctl_json("bench", *ACCOUNTS, *options)
    assert report["errors"] == {}, report["errors"]
    return report


def completed(report):
    return {found["operation"]: found["completed"] for found in report["operations"]}


def test_as_many_as_asked_for():
    with Cluster() as cluster:
        minted = 0
        for clients, outstanding in (1, 1), (1, 9), (5, 1), (3, 40):
            report = bench(cluster, "--workload", "mint", "--count", "50", "--clients", str(clients), "--outstanding",
                           str(outstanding))
            assert completed(report) == {"mint": 50}, report["operations"]
            minted += 50
            assert supply(cluster) == minted * UNIT
        report = bench(cluster, "--count", "30", "--clients", "2")
        assert completed(report) == {"mint": 30, "redeem": 30}, report["operations"]
        assert supply(cluster) == minted * UNIT
        cluster.audit()


def test_for_as_long_as_asked_for():
    with Cluster() as cluster:
        report = bench(cluster, "--workload", "mint", "--seconds", "1", "--clients", "1", "--outstanding", "1")
        assert report["operations"][0]["seconds"] >= 1, "it ended early"
        assert report["begun"] == completed(report)["mint"] > 1, report
        assert supply(cluster) == report["begun"] * UNIT


def test_at_a_rate():
    """What is begun when it is due is answered long before the next is, when there is little to do."""
    with Cluster() as cluster:
        report = bench(cluster, "--workload", "mint", "--seconds", "4", "--warm-up", "1", "--rate", "1")
        assert 3 <= report["begun"] == completed(report)["mint"] <= 4, report
        assert report["operations"][0]["p50_ms"] < 1000, "an operation counts from when it was due, and not from before"
        assert supply(cluster) == (report["begun"] + report["warmed_up"]) * UNIT


def mints_so_far(client):
    metrics = client.ask("coordinator.TIM3.0", "Stats", {})["metrics"]
    return next(number(metric["value"]) for metric in metrics if metric["name"] == "completed")


def test_router_killed_meanwhile():
    with Cluster(coordinators=1) as cluster:
        client = cluster.client()
        process = subprocess.Popen(
            [cluster.exe("tim3ctl"), "--endpoint", cluster.front(), "--timeout", str(int(PATIENT)), "bench", *ACCOUNTS,
             "--workload", "mint", "--seconds", "6", "--clients", "7", "--outstanding", "3", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        kills = 0
        poll(lambda: mints_so_far(client) > 0, what="the first mint")
        while kills < 3 and process.poll() is None:
            before = mints_so_far(client)
            cluster.restart("router.-.0")
            kills += 1
            poll(lambda: process.poll() is not None or mints_so_far(client) > before, what="mints after its end")
        out, err = process.communicate(timeout=LONGEST)
        assert process.returncode == 0, f"exit {process.returncode}\n{out}\n{err[-2000:]}"
        assert kills > 0, "it ended before the router was killed"
        report = json.loads(out)
        assert report["errors"] == {} and report["sent_again"] > 0, report
        assert supply(cluster) == completed(report)["mint"] * UNIT
        cluster.audit()


if __name__ == "__main__":
    harness.main()
