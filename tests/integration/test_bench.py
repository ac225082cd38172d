"""tim3ctl bench: what it reports is what happened, with any number of connections and requests under way."""
import json
import signal
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


def begin_bench(cluster, *options):
    command = [cluster.exe("tim3ctl"), "--endpoint", cluster.front(), "--timeout", str(int(PATIENT)), "bench", "--json"]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def interrupt(process):
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LONGEST)
    assert process.returncode == 3, f"exit {process.returncode}\n{out}\n{err[-2000:]}"
    return out, err


def test_options_that_mean_nothing():
    for options, word in ((["--clients", "16", "--outstanding", "65536"], "1048576"), (["--count", "0"], "--count"),
                          (["--warm-up", "0"], "--warm-up"), (["--rate", "0"], "--rate")):
        command = [Cluster.exe("tim3ctl"), "bench", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
        assert done.returncode == 2 and word in done.stderr, (options, done)


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
        assert report["interrupted"] is False and report["unanswered"] == 0, report
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


def test_none_is_lost_at_a_rate():
    """What came due before the end is begun, or left out and counted, at a rate that no system keeps up with, too."""
    with Cluster() as cluster:
        for rate in 150, 100000:
            report = bench(cluster, "--workload", "mint", "--seconds", "2", "--rate", str(rate), "--outstanding", "1")
            assert abs(report["begun"] + report["not_begun"] - 2 * rate) <= 1, report
            assert report["begun"] == completed(report)["mint"], report


def test_warm_up():
    """It lasts as long as is said, comes before the first workload alone, and CPU time is that of all operations."""
    with Cluster() as cluster:
        report = bench(cluster, "--count", "1", "--warm-up", "1")
        assert completed(report) == {"mint": 1, "redeem": 1}, report["operations"]
        assert report["warmed_up"] > 1, report
        assert supply(cluster) == report["warmed_up"] * UNIT
        for agent in report["agents"]:
            found = agent["cpu_us_per_operation"] * (2 + report["warmed_up"])
            assert abs(found - agent["cpu_us"]) < 1, (agent, report["warmed_up"])
    with Cluster() as cluster:
        cluster.ctl("bench", *ACCOUNTS, "--workload", "redeem", "--fund")
        before = supply(cluster)
        report = bench(cluster, "--workload", "redeem", "--funded", "--seconds", "1", "--warm-up", "1")
        assert report["warmed_up"] > 0, report
        assert before - supply(cluster) == (report["warmed_up"] + completed(report)["redeem"]) * UNIT


def mints_so_far(client):
    metrics = client.ask("coordinator.TIM3.0", "Stats", {})["metrics"]
    return next(number(metric["value"]) for metric in metrics if metric["name"] == "completed")


def test_router_killed_meanwhile():
    with Cluster(coordinators=1) as cluster:
        client = cluster.client()
        process = begin_bench(cluster, *ACCOUNTS, "--workload", "mint", "--seconds", "6", "--clients", "7",
                              "--outstanding", "3")
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


def test_interrupted_in_the_warm_up():
    with Cluster(coordinators=1) as cluster:
        client = cluster.client()
        process = begin_bench(cluster, *ACCOUNTS, "--warm-up", "600", "--outstanding", "3")
        poll(lambda: mints_so_far(client) > 0, what="the first mint")
        out, err = interrupt(process)
        report = json.loads(out)
        assert report["interrupted"] is True and report["begun"] == 0 and report["operations"] == [], report
        assert "interrupted" in err and f"{report['unanswered']} requests" in err, err


def test_interrupted():
    """What was measured until then is printed, and how many requests nothing is known of."""
    with Cluster(coordinators=1) as cluster:
        client = cluster.client()
        process = begin_bench(cluster, *ACCOUNTS, "--workload", "mint", "--seconds", "600", "--clients", "2",
                              "--outstanding", "3")
        poll(lambda: mints_so_far(client) > 6, what="some mints")
        cluster.kill("router.-.0")
        out, err = interrupt(process)
        report = json.loads(out)
        done, unanswered = completed(report)["mint"], report["unanswered"]
        assert report["interrupted"] is True and report["begun"] == done + unanswered, report
        assert 0 < unanswered <= 6 and f"{unanswered} requests" in err, (report, err)
        cluster.start("router.-.0")
        cluster.wait_ready()
        cluster.audit()
        assert done * UNIT <= supply(cluster) <= report["begun"] * UNIT, (supply(cluster), report)


def test_funding_interrupted():
    with Cluster() as cluster:
        client = cluster.client()
        process = begin_bench(cluster, "--accounts", "100000000")
        poll(lambda: number(client.ask("mock_usda.USDA", "GetCollateralTotals", {})["issued"]) > 0,
             what="the first funds")
        out, err = interrupt(process)
        assert out == "" and "funding was interrupted" in err, (out, err)


if __name__ == "__main__":
    harness.main()
