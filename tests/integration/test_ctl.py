#!/usr/bin/python3
"""tim3ctl as scripts see it: with --json every outcome is one value on stdout, every error names the request id, and
what is told is no more than what is known.
"""
import fcntl
import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time

import harness
from harness import LONGEST, Cluster, needs, poll

DONE, REFUSED, USAGE, NO_ANSWER = 0, 1, 2, 3
USDA = "mock_usda.USDA.0"


def run(*arguments, cluster=None, timeout="5", env=None):
    """Runs tim3ctl, with a time-out of its own."""
    front = ["--endpoint", cluster.front()] if cluster else []
    return subprocess.run([Cluster.exe("tim3ctl"), *front, "--timeout", timeout, *arguments], capture_output=True,
                          text=True, timeout=LONGEST, stdin=subprocess.DEVNULL, env=dict(os.environ, **(env or {})))


def told(done, code):
    """The one value on stdout."""
    assert done.returncode == code, (done.args, done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def stop(cluster, *addresses):
    for address in addresses:
        cluster.process(address).send_signal(signal.SIGSTOP)


def go_on(cluster, *addresses):
    for address in addresses:
        cluster.process(address).send_signal(signal.SIGCONT)


def catches_interrupts(pid):
    """Before that Ctrl-C would just end it."""
    with open(f"/proc/{pid}/status") as status:
        caught = [line.split()[1] for line in status if line.startswith("SigCgt")]
    return int(caught[0], 16) >> (signal.SIGINT - 1) & 1


COMMANDS = [("mint", "alice", "1"), ("redeem", "alice", "1"), ("transfer", "alice", "bob", "1"),
            ("usda", "mint", "alice", "1"), ("usda", "transfer", "alice", "bob", "1"),
            ("pause",), ("freeze", "alice"), ("cap", "5")]


def test_every_error_names_the_request_id():
    with Cluster(coordinators=1) as cluster:
        # refused by an agent; before any was asked; by the router, which knows no such asset
        assert told(run("--json", "mint", "alice", "0", cluster=cluster), REFUSED)["request_id"]
        assert told(run("--json", "mint", "alice", "x", cluster=cluster), USAGE)["request_id"]
        for command in COMMANDS:
            other = ["--collateral" if command[0] == "usda" else "--asset", "OTHER"]
            made = run("--json", *command, *other, cluster=cluster, timeout="1")
            given = run("--json", *command, *other, "--request-id", "mine", cluster=cluster, timeout="1")
            for done, wanted in ((made, ""), (given, "mine")):
                error = json.loads(done.stdout)
                # of a slow machine no answer may come in that time
                assert (error["name"], done.returncode) in (("no_route", REFUSED), ("no_answer", NO_ANSWER)), done
                assert error["request_id"] == (wanted or error["request_id"]) != "", error


@needs("split", "one process cannot be silent in part")
def test_silence_names_the_request_id_and_asking_again_does_it_once():
    with Cluster(coordinators=1) as cluster:
        cluster.ctl("usda", "mint", "alice", "100")
        stop(cluster, "coordinator.TIM3.0")
        silent = run("--json", "mint", "alice", "5", cluster=cluster, timeout="10")
        error = told(silent, NO_ANSWER)
        assert error["name"] == "no_answer" and error["advice"] == "unknown", error
        assert "outcome is unknown" in silent.stderr, silent.stderr
        # Ctrl-C while it waits
        waiting = subprocess.Popen([cluster.exe("tim3ctl"), "--endpoint", cluster.front(), "--timeout", "600", "--json",
                                    "mint", "alice", "7"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        poll(lambda: catches_interrupts(waiting.pid), what="a client that takes Ctrl-C")
        poll(lambda: waiting.send_signal(signal.SIGINT) or waiting.poll() is not None, what="the end of it")
        out, err = waiting.communicate(timeout=LONGEST)
        interrupted = json.loads(out)
        assert waiting.returncode == NO_ANSWER and interrupted["request_id"], (out, err)
        go_on(cluster, "coordinator.TIM3.0")
        for request, amount in ((error, "5"), (interrupted, "7")):
            for _ in range(2):
                done = cluster.ctl_json("mint", "alice", amount, "--wait", "--request-id", request["request_id"])
                assert done["status"] == "completed", done
        assert cluster.ctl_json("balance", "alice")["balance"] == "12000000"


def test_a_look_up_that_fails_has_done_nothing():
    with Cluster(coordinators=1) as cluster:
        cluster.ctl("usda", "mint", "alice", "100")
        stop(cluster, "router.-.0")
        done = run("--json", "mint", "alice", "5", cluster=cluster, timeout="1")
        go_on(cluster, "router.-.0")
        error = told(done, NO_ANSWER)
        assert error["advice"] == "retry_same_id" and error["request_id"], error
        assert "Nothing was done" in done.stderr and "unknown" not in done.stderr, done.stderr


def test_a_socket_that_does_not_exist_is_told_at_once():
    for command in (*COMMANDS, ("balance",), ("audit",), ("health",), ("info",), ("events",), ("workload",)):
        done = run("--json", "--data", "/nowhere", *command, timeout="6000")
        error = told(done, NO_ANSWER)
        assert error["name"] == "no_answer" and "/nowhere/run/front.sock" in error["text"], error
        assert ("request_id" in error) == (command in COMMANDS), error
        assert "Nothing was done" in done.stderr and "--data or --endpoint" in done.stderr, done.stderr


def test_misuse_is_one_object():
    for words in (["mint"], ["mint", "alice", "1", "--frob"], ["frob"], ["usda"], ["balance", "--timeout", "soon"],
                  ["mint", "alice", "1", "--request-id", "a b"], ["tx", "zz"], ["usda", "tx", "zz"], ["locks", "--state", "odd"],
                  ["help", "frob"], ["balance", "a/b"], ["restore", "/nowhere"], ["replay", "/nowhere", "odd"],
                  ["supply", "--asset", "a/b"], ["import-transfers", "/nowhere"], ["supply", "--endpoint", "odd"]):
        done = run("--json", *words)
        error = told(done, USAGE)
        assert error["name"] == "wrong_usage" and error["text"] in done.stderr, (error, done.stderr)
    wrong = run("mint", "alice", "1", "--request-id", "a b")
    assert "1 to 64 printable ASCII characters without spaces" in wrong.stderr, wrong.stderr
    assert run("mint").stdout == ""
    # a line that --json stands at the end of
    assert told(run("mint", "alice", "1", "--frob", "--json"), USAGE)["name"] == "wrong_usage"


def test_offline_failures_are_one_object():
    with tempfile.TemporaryDirectory() as folder:
        error = told(run("--json", "fsck", folder), NO_ANSWER)
        assert error["name"] == "not_opened" and folder in error["text"], error
        assert told(run("--json", "backup", "list", "--data", folder), REFUSED) == []
        error = told(run("--json", "restore", folder, "--data", folder), REFUSED)
        assert error["name"] == "not_restored", error
        error = told(run("--json", "replay", folder, "token_manager.TIM3.0", "--config", "/nowhere"), NO_ANSWER)
        assert error["name"] == "not_replayed", error


def test_backup_onto_another_is_one_object():
    with Cluster(coordinators=1) as cluster:
        cluster.ctl("backup", "first", "--data", cluster.dir)
        error = told(run("--json", "backup", "first", "--data", cluster.dir, cluster=cluster, timeout="60"), REFUSED)
        assert error["name"] == "no_backup" and "nothing is written over" in error["text"], error


def test_list_that_breaks_off_is_one_value():
    with Cluster(coordinators=2, asset_settings=dict(shards=2)) as cluster:
        for i in range(8):
            cluster.ctl("usda", "mint", f"a{i}", "1")
            cluster.ctl("mint", f"a{i}", "1")
        stop(cluster, "token_manager.TIM3.1")
        items = told(run("--json", "balance", cluster=cluster, timeout="5"), NO_ANSWER)
        go_on(cluster, "token_manager.TIM3.1")
        assert len(items) > 1 and items[-1]["name"] == "no_answer", items
        assert all(item["balance"] for item in items[:-1]), items


LISTS = [("txs",), ("locks",), ("balance",), ("events",), ("history", "acc0")]


def test_list_that_is_interrupted_says_so():
    """Ctrl-C while nobody reads what is printed. What was printed is no list that has ended."""
    with Cluster(coordinators=1) as cluster:
        client = cluster.client()
        client.faucet("acc0", 10 ** 24, "f")
        for i in range(120):
            client.mint_anew("acc0", 1, f"{i}-" + "m" * 30)
            client.transfer("acc0", f"{'a' * 50}-{i}", 1, f"t-{i}")
        for command in LISTS:
            listing = subprocess.Popen([cluster.exe("tim3ctl"), "--endpoint", cluster.front(), "--timeout", "600",
                                        "--json", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            fcntl.fcntl(listing.stdout, fcntl.F_SETPIPE_SZ, 4096)
            poll(lambda: catches_interrupts(listing.pid), what="a client that takes Ctrl-C")
            poll(lambda: select.select([listing.stdout], [], [], 0)[0], what="the beginning of a list")
            listing.send_signal(signal.SIGINT)
            out, err = listing.communicate(timeout=LONGEST)
            assert listing.returncode == NO_ANSWER, (command, listing.returncode, out[-300:], err)
            assert "not all" in err, (command, err)


def test_what_cannot_be_written_is_not_done():
    with Cluster(coordinators=1) as cluster:
        cluster.ctl("usda", "mint", "alice", "100")
        cluster.ctl("mint", "alice", "1")
        cluster.ctl("audit")
        for command in (("audit",), ("txs",), ("--json", "txs"), ("events",), ("supply",), ("health",), ("help",)):
            with open("/dev/full", "w") as full:
                done = subprocess.run([cluster.exe("tim3ctl"), "--endpoint", cluster.front(), "--timeout", "60", *command],
                                      stdout=full, stderr=subprocess.PIPE, text=True, timeout=LONGEST)
            assert done.returncode == NO_ANSWER and "could be written" in done.stderr, (command, done)
        with open("/dev/full", "w") as full:
            done = subprocess.run([cluster.exe("tim3ctl"), "--endpoint", cluster.front(), "--timeout", "60", "mint",
                                   "alice", "5"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=LONGEST)
        # it was done, under an id that must not be lost
        assert done.returncode == NO_ANSWER, done
        again = done.stderr.splitlines()[-1].split()
        assert again[0] == "tim3ctl" and "--request-id" in again, done.stderr
        assert cluster.ctl_json(*again[1:])["status"] == "completed"
        assert cluster.ctl_json("balance", "alice")["balance"] == "6000000"


def test_the_folder_that_is_named_wins_over_the_endpoint_of_the_environment():
    with Cluster(coordinators=1) as one, Cluster(coordinators=1) as other:
        other.ctl("usda", "mint", "alice", "100")
        other.ctl("mint", "alice", "5")
        usual = dict(TIM3_DATA=one.dir, TIM3_ENDPOINT=other.front())
        for words, supply in (((), "5000000"), (("--data", one.dir), "0"),
                              (("--data", one.dir, "--endpoint", other.front()), "5000000")):
            assert told(run("--json", "supply", *words, timeout="60", env=usual), DONE)["supply"] == supply, words
        done = run("audit", "--data", "/nowhere", env=usual)
        assert done.returncode == NO_ANSWER and "$TIM3_ENDPOINT does not count" in done.stderr, done


def check_unchecked(cluster, address):
    """An audit while an agent is silent."""
    stop(cluster, address)
    done = run("audit", cluster=cluster)
    report = told(run("--json", "audit", cluster=cluster), NO_ANSWER)
    go_on(cluster, address)
    assert done.returncode == NO_ANSWER, done
    assert f"COULD NOT BE CHECKED: {address}" in done.stdout and "DOES NOT AGREE" not in done.stdout, done.stdout
    assert "supply" not in done.stdout and "agrees: holdings and vaults" in done.stdout, done.stdout
    assert not report["checked"] and not report["agrees"] and report["collateral"]["agrees"], report
    asset = report["assets"][0]
    assert not asset["checked"] and asset["why"].startswith(address) and "supply" not in asset, asset
    poll(lambda: run("audit", cluster=cluster, timeout="60").returncode == DONE, what="an audit that agrees again")


@needs("split", "one process cannot be silent in part")
def test_audit_tells_what_it_could_not_check():
    with Cluster(coordinators=1) as cluster:
        cluster.ctl("usda", "mint", "alice", "100")
        cluster.ctl("mint", "alice", "5")
        assert cluster.ctl_json("audit")["checked"]
        for address in ("lock_manager.TIM3.0", "token_manager.TIM3.0"):
            check_unchecked(cluster, address)


@needs("split", "one process cannot be silent in part")
def test_audit_of_shards_tells_which_is_silent():
    with Cluster(coordinators=2, asset_settings=dict(shards=2)) as cluster:
        cluster.ctl("usda", "mint", "alice", "100")
        cluster.ctl("mint", "alice", "5")
        for address in ("lock_manager.TIM3.1", "token_manager.TIM3.1"):
            check_unchecked(cluster, address)


def leave(cluster, *addresses):
    """Ends them, so that the registry does not know them any more."""
    for address in addresses:
        cluster.kill(address, signal.SIGTERM)

    def gone():
        return not set(addresses) & {agent["name"] for agent in cluster.ctl_json("agents")}
    poll(gone, what=f"a registry without {addresses}")


def test_audit_passes_over_no_asset_that_has_collateral():
    """Ledgers that have never come, or have gone, are no reason to say that all agrees."""
    ledgers = ("lock_manager.TIME.0", "token_manager.TIME.0")
    with Cluster({"TIM3": 6, "TIME": 18, "NONE": 6}, coordinators=1) as cluster:
        cluster.ctl("usda", "mint", "alice", "100")
        cluster.ctl("mint", "alice", "5")
        cluster.ctl("mint", "alice", "7", "--asset", "TIME")
        leave(cluster, *ledgers, "lock_manager.NONE.0", "token_manager.NONE.0")
        done = run("audit", cluster=cluster)
        report = told(run("--json", "audit", cluster=cluster), NO_ANSWER)
        assert done.returncode == NO_ANSWER and "TIME\n  COULD NOT BE CHECKED" in done.stdout, done
        found = {asset["asset"]: (asset["checked"], asset["agrees"]) for asset in report["assets"]}
        assert found == {"TIM3": (True, True), "TIME": (False, False)}, report  # nothing was ever locked for NONE
        assert not report["agrees"] and not report["checked"] and report["collateral"]["agrees"], report
        for address in {cluster.process_of(address) for address in ledgers}:
            cluster.start(address)
        poll(lambda: run("audit", cluster=cluster, timeout="60").returncode == DONE, what="an audit that agrees again")
        # without the collateral token nothing can be checked, so nothing was found to be wrong
        leave(cluster, USDA)
        error = told(run("--json", "audit", cluster=cluster), NO_ANSWER)
        assert error["name"] == "no_route", error


def test_audit_of_ledgers_at_work_finds_nothing_wrong():
    with Cluster(coordinators=1) as cluster:
        worker = subprocess.Popen([cluster.exe("tim3ctl"), "--endpoint", cluster.front(), "--timeout", "600", "workload",
                                   "--operations", "100000000", "--outstanding", "4"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)

        def at_work():
            assert worker.poll() is None
            done = run("--json", "audit", cluster=cluster, timeout="1")
            report = json.loads(done.stdout)
            parts = [part for part in (*report.get("assets", []), report.get("collateral", {}))
                     if "at work" in part.get("why", "")]
            assert all(not part["checked"] and not part["agrees"] for part in parts), report
            return len(parts) == 2 and done
        done = poll(at_work, what="an audit that finds all ledgers at work")
        assert done.returncode == NO_ANSWER, done
        worker.kill()
        worker.wait()
        poll(lambda: run("audit", cluster=cluster, timeout="60").returncode == DONE, what="an audit that agrees")
def samples(text):
    """{(name, label): value} of what Prometheus would read. Samples of one name stand together, behind its type."""
    found, types, last = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            continue
        if line.startswith("# TYPE "):
            _, _, last, kind = line.split()
            assert last not in types and kind in ("counter", "gauge", "untyped"), line
            types[last] = kind
            continue
        name, label, value = re.fullmatch(r'([a-z_0-9]+)\{(?:asset|agent)="([^"]+)"\} ([0-9.]+)', line).groups()
        assert name == last and (name, label) not in found, line
        found[name, label] = float(value)
    return found, types


def test_metrics():
    with Cluster(assets={"TIM3": 6, "TIME": 18}, coordinators=1) as cluster:
        cluster.ctl("usda", "mint", "alice", "100")
        cluster.ctl("mint", "alice", "12.5")
        cluster.ctl("redeem", "alice", "2")
        poll(lambda: cluster.ctl_json("metrics", "--asset", "TIM3")[0]["redemptions"] == 1, what="the last event")
        items = cluster.ctl_json("metrics")
        assert [item["asset"] for item in items] == ["TIM3", "TIME"] and items[0]["supply"] == "10500000", items
        text = cluster.ctl("metrics").stdout
        assert "supply         10.5\n" in text and "\n\nasset          TIME\n" in text, text
        found, types = samples(cluster.ctl("metrics", "--prometheus").stdout)
        assert found["tim3_asset_supply", "TIM3"] == 10.5 and found["tim3_asset_mints", "TIME"] == 0, found
        assert types["tim3_asset_supply"] == "gauge" and types["tim3_asset_volume_minted"] == "counter", types
        found, _ = samples(cluster.ctl("stats", "--prometheus").stdout)
        assert found["tim3_agent_locked_units", "lock_manager.TIM3.0"] == 10500000, found
        assert len({agent for _, agent in found}) == len(cluster.ctl_json("agents")), found
        assert told(run("--json", "metrics", "--asset", "NONE", cluster=cluster), REFUSED)["name"] == "not_found"
    assert told(run("--json", "stats", "--prometheus"), USAGE)["name"] == "wrong_usage"


def test_the_collateral_is_found():
    with Cluster(coordinators=1, collateral=dict(name="EURC")) as cluster:
        cluster.ctl("usda", "mint", "alice", "100")
        cluster.ctl("mint", "alice", "5")
        assert cluster.ctl_json("usda", "balance", "alice")["available"] == str(95 * 10**18)
        report = cluster.ctl_json("audit")
        assert report["agrees"] and report["collateral"]["collateral"] == "EURC", report
        # what it is of
        assert report["endpoint"] == cluster.front() and abs(report["time_us"] / 10**6 - time.time()) < LONGEST, report
        assert report["assets"][0]["token_seq"] == cluster.ctl_json("supply")["event_seq"] == 1, report
        assert cluster.ctl_json("workload", "--operations", "40", "--accounts", "4")["agrees"]
        # who says another name is taken at his word
        ask = ["usda", "balance", "alice"]
        other = dict(TIM3_COLLATERAL="USDA")
        assert run(*ask, cluster=cluster, timeout="1", env=other).returncode != DONE
        assert run(*ask, "--collateral", "EURC", cluster=cluster, timeout="60", env=other).returncode == DONE


def start_other_collateral(cluster, name):
    """A second collateral token beside the configured one, in the same registry."""
    config = os.path.join(cluster.dir, name + ".cfg")
    with open(cluster.config) as old, open(config, "w") as new:
        new.write(old.read().replace("name = USDA", f"name = {name}"))
    address = f"mock_usda.{name}.0"
    cluster.add("tim3-mock-usda", address, name, 0)
    cluster.commands[address][cluster.commands[address].index(cluster.config)] = config
    cluster.start(address)
    cluster.wait_ready()
    return address


def test_of_several_collaterals_one_must_be_named():
    with Cluster(coordinators=1) as cluster:
        cluster.ctl("usda", "mint", "alice", "100")
        other = start_other_collateral(cluster, "EURC")
        error = told(run("--json", "usda", "balance", "alice", cluster=cluster), USAGE)
        assert "EURC" in error["text"] and "USDA" in error["text"] and "--collateral" in error["text"], error
        for name, holds in (("USDA", 100), ("EURC", 0)):
            found = told(run("--json", "--collateral", name, "usda", "balance", "alice", cluster=cluster), DONE)
            assert found["available"] == str(holds * 10**18), (name, found)
        cluster.kill(other)
        cluster.delete_store(other)
        del cluster.commands[other]


def test_controls_tell_what_holds():
    with Cluster(coordinators=1) as cluster:
        cluster.ctl("usda", "mint", "alice", "100")
        cluster.ctl("mint", "alice", "12.5")
        done = cluster.ctl_json("pause", "--request-id", "p1")
        assert done["supply"] == "12500000" and done["now"]["supply"] == "12500000", done
        assert done["now"]["in_force"] and done["now"]["shards"][0]["paused"] and not done["now"]["above_cap"], done
        cluster.ctl("unpause")
        # asked again it is the answer of then, and is said not to hold any more
        cluster.ctl("redeem", "alice", "2.5")
        again = cluster.ctl("pause", "--request-id", "p1")
        assert "NOT in force" in again.stderr and "supply         12.5\n" in again.stdout, again
        told = cluster.ctl_json("pause", "--request-id", "p1")
        assert (told["time_us"], told["supply"]) == (done["time_us"], "12500000"), (done, told)
        assert not told["now"]["in_force"] and not told["now"]["shards"][0]["paused"], told
        assert told["now"]["supply"] == "10000000", told
        # a cap below the supply is taken, and what it means is said
        capped = cluster.ctl("cap", "5")
        assert "The supply, 10, is above the cap, 5: mints are refused until redemptions bring it below." in capped.stderr
        assert [line.split() for line in capped.stdout.splitlines()[-2:]] == [
            ["shard", "supply", "cap", "room", "paused"], ["0", "10", "5", "0", "no"]], capped.stdout
        now = cluster.ctl_json("cap", "5")["now"]
        assert (now["above_cap"], now["supply"], now["cap"]) == (True, "10000000", "5000000"), now
        assert "cap_exceeded" in cluster.ctl("mint", "alice", "1", check=False).stderr
        cluster.ctl("redeem", "alice", "6")
        assert "above the cap" not in cluster.ctl("cap", "5").stderr
        assert "cap needs an amount" in cluster.ctl("cap", "0", check=False).stderr
        cluster.ctl("mint", "alice", "1")
        frozen = cluster.ctl_json("freeze", "alice", "--request-id", "f1")
        assert (frozen["supply"], frozen["balance"], frozen["now"]["frozen"]) == ("5000000", "5000000", True), frozen
        cluster.ctl("unfreeze", "alice")
        frozen = cluster.ctl_json("freeze", "alice", "--request-id", "f1")
        assert not frozen["now"]["frozen"] and not frozen["now"]["in_force"], frozen
        cluster.ctl("cap", "none")


def test_the_largest_amount_is_a_number_and_none_only_as_a_cap():
    most = 2 ** 128 - 1
    with Cluster({"TIM3": 18}, coordinators=1) as cluster:
        text = f"{most // 10 ** 18}.{most % 10 ** 18:018}"
        minted = cluster.ctl("usda", "mint", "alice", text).stdout
        assert re.findall(r"^(?:amount|balance) +(\S+)$", minted, re.M) == [text, text], minted
        assert re.search(rf"^available +{text}$", cluster.ctl("usda", "balance", "alice").stdout, re.M)
        assert re.search(r"^amount +none$", cluster.ctl("cap", "none", "--request-id", "c1").stdout, re.M)
        assert re.search(r"^cap +none$", cluster.ctl("supply").stdout, re.M)
        cluster.ctl("mint", "alice", text)
        assert re.search(rf"^supply +{text}$", cluster.ctl("supply").stdout, re.M)
        for told_by in (" amount=none", f" amount={text} balance={text} supply={text}"):
            poll(lambda: told_by in cluster.ctl("events").stdout, what=told_by)


@needs("split", "one process cannot be silent in part")
def test_a_control_that_is_done_is_told_so_whatever_comes_of_the_look_behind_it():
    with Cluster(coordinators=1, asset_settings=dict(shards=2)) as cluster:
        client = cluster.client()
        account = next(name for name in (f"a{i}" for i in range(99)) if client.outcome(
            "token_manager.TIM3.0", "GetBalance", dict(account=name))[0] == "Balance")
        stop(cluster, "token_manager.TIM3.1")
        done = run("--json", "freeze", account, cluster=cluster, timeout="5")
        go_on(cluster, "token_manager.TIM3.1")
        assert told(done, DONE)["now"] is None and "It is done; what holds now cannot be told" in done.stderr, done


def test_collateral_is_looked_up():
    with Cluster(coordinators=1) as cluster:
        minted = cluster.ctl_json("usda", "mint", "alice", "100", "--request-id", "m1")
        moved = cluster.ctl_json("usda", "transfer", "alice", "bob", "30", "--request-id", "t1")
        refused = cluster.ctl("usda", "transfer", "alice", "bob", "71", "--request-id", "t2", check=False)
        assert refused.returncode == REFUSED, refused
        found = cluster.ctl_json("usda", "tx", "alice", "m1")
        assert (found["tx"], found["op"], found["request_id"]) == (minted["tx"], "faucet", "m1"), found
        found = cluster.ctl_json("usda", "tx", moved["tx"])
        assert (found["op"], found["account"], found["to"], found["balance"], found["code"]) == (
            "transfer", "alice", "bob", str(70 * 10**18), 0), found
        text = cluster.ctl("usda", "tx", "alice", "t2").stdout
        assert "insufficient_funds" in text and "available      70\n" in text, text
        assert told(run("--json", "usda", "tx", "bob", "m1", cluster=cluster, timeout="60"), REFUSED)["name"] == "not_found"


def test_workload_that_completes_nothing_fails():
    with Cluster(coordinators=1, collateral=dict(faucet="no")) as cluster:
        words = ["workload", "--operations", "10", "--accounts", "10"]
        done = run(*words, cluster=cluster, timeout="60")
        assert done.returncode == REFUSED and "NOTHING was completed" in done.stdout, done
        report = told(run("--json", *words, cluster=cluster, timeout="60"), REFUSED)
        assert report["completed"] == 0, report


def test_events_tell_whole_amounts():
    with Cluster(assets={"TIM3": 6, "CENT": 2}, coordinators=1) as cluster:
        cluster.ctl("usda", "mint", "alice", "100")
        cluster.ctl("mint", "alice", "12.5")
        cluster.ctl("mint", "alice", "0.25", "--asset", "CENT")
        cluster.ctl("freeze", "alice")
        frozen = run("redeem", "alice", "1", cluster=cluster, timeout="60")
        assert frozen.returncode == REFUSED and "alice is frozen" in frozen.stderr, frozen.stderr

        def lines():
            found = cluster.ctl("events").stdout.splitlines()
            return found if sum("token.minted" in line for line in found) == 2 else None
        text = poll(lines, what="both mints in the log")
        minted = [line for line in text if "token.minted" in line]
        assert any(" amount=12.5 balance=12.5 supply=12.5" in line for line in minted), minted
        assert any(" amount=0.25 balance=0.25 supply=0.25" in line for line in minted), minted
        assert any(" source=token_manager.CENT.0 " in line for line in minted), minted  # the supply is that of its shard
        streamed = [json.loads(line) for line in cluster.ctl("--json", "events").stdout.splitlines()]
        assert [event["offset"] for event in streamed] == [int(line.split()[0]) for line in text]
        assert {event["body"]["amount"] for event in streamed if "token.minted" in event["topic"]} == {"12500000", "25"}
        cluster.ctl("unfreeze", "alice")


if __name__ == "__main__":
    harness.main()
