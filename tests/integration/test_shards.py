#!/usr/bin/python3
"""Ledgers that are split into shards: each has its own accounts, transfers go from one to another whatever dies meanwhile,
and the number of shards is for ever.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time

import harness
from harness import Cluster, home_of, needs
from load import Load
from tim3_wire import Refused, amount, number

ACCOUNTS = [f"holder{i}" for i in range(24)]


def sharded(count, **more):
    return Cluster(coordinators=max(2, count), asset_settings=dict(shards=count), **more)


def is_of(client, account, shard):
    """Whether an account belongs to a shard, as the shard itself tells."""
    try:
        client.ask(f"token_manager.TIM3.{shard}", "GetBalance", dict(account=account))
    except Refused as refusal:
        assert refusal.name == "wrong_shard", refusal.name
        return False
    return True


def accounts_of(cluster):
    """Names of accounts by shard, as the shards themselves tell."""
    client = cluster.client()
    return [[row["account"] for row in cluster.pages(client, f"token_manager.TIM3.{shard}", "ListBalances", {})]
            for shard in range(cluster.shards)]


def test_every_shard_has_accounts_of_its_own():
    with sharded(3) as cluster:
        for account in ACCOUNTS:
            cluster.ctl("usda", "mint", account, "10")
            cluster.ctl("mint", account, "5")
            cluster.ctl("redeem", account, "2")
        by_shard = accounts_of(cluster)
        assert all(by_shard) and sorted(sum(by_shard, [])) == sorted(ACCOUNTS), by_shard
        assert cluster.ctl_json("supply")["supply"] == str(len(ACCOUNTS) * 3 * 10**6)
        assert sorted(row["account"] for row in cluster.ctl_json("balance")) == sorted(ACCOUNTS)
        # a mint that is not settled yet is told by either ledger
        assert len({item["tx"] for item in cluster.ctl_json("txs")}) == 2 * len(ACCOUNTS)
        assert len(cluster.ctl_json("locks")) == 2 * len(ACCOUNTS)
        assert cluster.ctl_json("audit")["agrees"]
        cluster.audit()
        # what concerns all of the asset is done in every shard
        cluster.ctl("pause")
        for accounts in by_shard:
            done = cluster.ctl("redeem", accounts[0], "1", check=False)
            assert done.returncode == 1 and "asset_paused" in done.stderr, done.stderr
        cluster.ctl("unpause")
        for accounts in by_shard:
            cluster.ctl("redeem", accounts[0], "1")
        cluster.ctl("freeze", by_shard[1][0])
        assert "account_frozen" in cluster.ctl("redeem", by_shard[1][0], "1", check=False).stderr
        cluster.audit()


def test_each_shard_has_its_share_of_the_cap():
    with sharded(2) as cluster:
        for account in ACCOUNTS:
            cluster.ctl("usda", "mint", account, "100")
            cluster.ctl("mint", account, "1")
        first = [accounts[0] for accounts in accounts_of(cluster)]
        now = cluster.ctl_json("cap", "50")["now"]
        parts = [(shard["supply"], shard["cap"], shard["room"]) for shard in now["shards"]]
        assert parts == [(f"{len(accounts)}000000", "25000000", f"{25 - len(accounts)}000000")
                         for accounts in accounts_of(cluster)], now
        assert (now["supply"], now["cap"], now["above_cap"]) == (f"{len(ACCOUNTS)}000000", "50000000", False), now
        for account, accounts in zip(first, accounts_of(cluster)):
            done = cluster.ctl("mint", account, str(26 - len(accounts)), check=False)
            assert done.returncode == 1 and "cap_exceeded" in done.stderr, done.stderr
            cluster.ctl("mint", account, str(25 - len(accounts)))
        assert cluster.ctl_json("supply")["supply"] == "50000000"
        full = cluster.ctl("unpause")
        assert "supply         50\n" in full.stdout and "above the cap" not in full.stderr, full
        cluster.ctl("redeem", first[0], "1")
        full = cluster.ctl("cap", "50")
        assert "Shard 1 has no room in its part of the cap" in full.stderr and "Shard 0" not in full.stderr, full.stderr
        assert "The supply, 49, is above the cap, 48" in cluster.ctl("cap", "48").stderr
        cluster.audit()


def test_transfers_between_shards():
    with sharded(2) as cluster:
        for account in ACCOUNTS:
            cluster.ctl("usda", "mint", account, "10")
            cluster.ctl("mint", account, "5")
        here, there = accounts_of(cluster)
        done = cluster.ctl_json("transfer", here[0], there[0], "2", "--request-id", "once")
        assert done["status"] == "completed" and done["balance"] == "3000000", done
        again = cluster.ctl_json("transfer", here[0], there[0], "2", "--request-id", "once")
        assert (again["status"], again["balance"], again["time_us"]) == (done["status"], done["balance"], done["time_us"])
        assert cluster.ctl_json("balance", there[0])["balance"] == "7000000"
        cluster.audit()
        # what has come can be redeemed where it is, beyond what was locked there
        for account in there:
            cluster.ctl("transfer", here[1], account, "0.1")
        cluster.ctl("redeem", there[0], "7.1")
        # one that cannot arrive is given back, and the refusal is for ever
        cluster.ctl("freeze", there[1])
        for _ in range(2):
            failed = cluster.ctl("transfer", here[2], there[1], "1", "--request-id", "never", check=False)
            assert failed.returncode == 1 and "account_frozen" in failed.stderr, failed.stderr
            cluster.ctl("unfreeze", there[1])
        assert cluster.ctl_json("balance", here[2])["balance"] == "5000000"
        kinds = [entry["kind"] for entry in cluster.ctl_json("history", here[2])]
        assert kinds == ["mint", "sent", "returned"], kinds
        assert [entry["kind"] for entry in cluster.ctl_json("history", there[0])] == ["mint", "received", "received", "redeem"]
        listed = [item for item in cluster.ctl_json("txs", "--status", "completed") if item["kind"] != "control"]
        wanted = len(ACCOUNTS) + 1 + len(there) + 1
        assert len({item["tx"] for item in listed}) == len(listed) == wanted, (wanted, listed)
        failed = cluster.ctl_json("txs", "--account", here[2])
        assert sorted(item["status"] for item in failed) == ["completed", "failed"], failed
        looked = cluster.ctl_json("tx", done["tx"])
        assert looked["status"] == "completed" and looked["account"] == here[0]
        cluster.audit()
        assert cluster.ctl_json("audit")["agrees"]


def test_a_shard_that_only_releases():
    """Whose collateral is all locked in the other; every check must cope with what it lacks."""
    with sharded(2) as cluster:
        here, there = ("holder17", "holder0")
        for account in (here, there):
            cluster.ctl("usda", "mint", account, "10")
        cluster.ctl("mint", here, "5")
        cluster.ctl("transfer", here, there, "3")
        cluster.ctl("redeem", there, "2")
        client = cluster.client()
        totals = [client.ask(f"lock_manager.TIM3.{shard}", "GetLockTotals", {}) for shard in (0, 1)]
        assert sorted(number(one["overdrawn"]) for one in totals) == [0, 2 * 10**6], totals
        cluster.audit()
        cluster.ctl("transfer", there, here, "1")
        cluster.ctl("redeem", here, "3")
        assert cluster.ctl_json("audit")["agrees"]


def test_fsck_finds_what_two_shards_do_not_agree_on():
    with sharded(2, settings=dict(store="lmdb")) as cluster:
        cluster.sound = False  # it is broken here
        for account in ACCOUNTS:
            cluster.ctl("usda", "mint", account, "10")
            cluster.ctl("mint", account, "5")
        here, there = accounts_of(cluster)
        arrived = cluster.ctl_json("transfer", here[0], there[0], "2")["tx"]
        cluster.ctl("freeze", there[1])
        failed = cluster.ctl("--json", "transfer", here[1], there[1], "1", check=False)
        returned = json.loads(failed.stdout)["tx"]
        cluster.audit()
        for address in cluster.processes:
            cluster.kill(address, signal.SIGTERM)
        cluster.fsck()
        for shard, tx, change in ((1, arrived, ("delete",)), (0, arrived, ("delete",)), (1, arrived, ("bump", "amount")),
                                  (0, arrived, ("bump", "amount")), (0, arrived, ("bump", "status")),
                                  (1, returned, ("delete",)), (1, returned, ("bump", "status")),
                                  (0, returned, ("bump", "to_balance")), (0, returned, ("bump", "to_entry")),
                                  (0, returned, ("bump", "status"))):
            copy = tempfile.mkdtemp(prefix="t3s-")
            try:
                shutil.copytree(cluster.dir, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
                ledger = f"token_manager.TIM3.{shard}"
                sight = ("as", "token_manager") if home_of(ledger) != ledger else ()
                subprocess.run([cluster.exe("tim3-poke"), os.path.join(copy, "store", home_of(ledger)), *sight, "record",
                                tx, *change], check=True, capture_output=True)
                done = subprocess.run([cluster.exe("tim3ctl"), "fsck", copy], capture_output=True, text=True, timeout=60)
                assert done.returncode == 1, (shard, tx, change, done.returncode, done.stdout, done.stderr)
            finally:
                shutil.rmtree(copy)


def test_a_coordinator_that_lies():
    """What it holds of a transfer pays once, the right account, in the right shard, and never both ways."""
    with sharded(2) as cluster:
        for account in ACCOUNTS:
            cluster.ctl("usda", "mint", account, "10")
            cluster.ctl("mint", account, "5")
        here, there = accounts_of(cluster)
        before = [cluster.client().balance(account) for account in ACCOUNTS]
        source, target = (cluster.client(cluster.endpoint(f"token_manager.TIM3.{shard}"), "coordinator.TIM3.0")
                          for shard in (0, 1))

        def must(wanted, client, shard, kind, body):
            name, answer = client.outcome(f"token_manager.TIM3.{shard}", kind, body)
            assert name == wanted, (kind, body, name, answer)
            return answer
        move = dict(tx=os.urandom(16), account=here[0], to=there[0], amount=amount(10**6))
        receipt = must("Sent", source, 0, "TokenTransfer", move)["receipt"]
        proved = dict(move, receipt=receipt)
        for lie in (dict(to=there[1]), dict(account=here[1]), dict(amount=amount(10**7)), dict(tx=os.urandom(16)),
                    dict(receipt=bytes(32))):
            must("bad_receipt", target, 1, "Receive", dict(proved, **lie))
        must("wrong_shard", target, 1, "Receive", dict(proved, to=here[1]))
        must("wrong_shard", source, 0, "Receive", proved)
        must("bad_receipt", source, 0, "SettleSent", proved)
        must("bad_receipt", source, 0, "ReturnSent", dict(proved, code=21))
        arrived = must("Received", target, 1, "Receive", proved)
        assert must("Received", target, 1, "Receive", proved) == arrived
        must("bad_receipt", source, 0, "ReturnSent", dict(arrived, code=21))
        must("Settled", source, 0, "SettleSent", arrived)
        must("Settled", source, 0, "SettleSent", arrived)
        # the same tx again is the same transfer, and for anything else it is taken in either shard
        must("Transferred", source, 0, "TokenTransfer", move)
        must("id_reused", source, 0, "TokenTransfer", dict(move, to=there[1]))
        must("id_reused", target, 1, "TokenTransfer", dict(move, account=there[0], to=here[0]))
        after = {account: cluster.client().balance(account) for account in ACCOUNTS}
        wanted = dict(zip(ACCOUNTS, before))
        wanted[here[0]] -= 10**6
        wanted[there[0]] += 10**6
        assert after == wanted
        cluster.audit()


def test_workload_over_shards():
    """tim3ctl's own books agree with those of all shards."""
    with sharded(3) as cluster:
        cluster.ctl("workload", "--seed", "5", "--operations", "1500", "--accounts", "30")
        assert cluster.ctl_json("audit")["agrees"]


def killed_under_load(shards, seed, kills):
    rng = random.Random(seed)
    with sharded(shards) as cluster:
        victims = [address for address in cluster.commands if address.split(".")[0] not in ("router", "state_manager")]
        load = Load(cluster, seed=seed, accounts=16)
        load.shards = [f"coordinator.TIM3.{i}" for i in range(max(2, shards))]
        load.start()
        for _ in range(kills):
            time.sleep(rng.uniform(0.02, 0.12))
            cluster.restart(rng.choice(victims))
            load.check()
        load.advance(200)
        load.finish()
        client = cluster.client()
        supply = cluster.sum_shards(client, "token_manager.TIM3", "GetSupply")
        assert supply["sent"] > 50 and supply["crossing"] == supply["returned"] == 0, supply
        print(f"    {supply['sent']} transfers from shard to shard", flush=True)
        assert cluster.ctl_json("audit")["agrees"]


def test_killed_under_load_with_two_shards():
    killed_under_load(2, 1, 60)


def test_killed_under_load_with_four_shards():
    killed_under_load(4, 2, 60)


@needs("split", "a coordinator runs the ledgers, so without any there is nothing")
def test_no_coordinator_is_needed():
    """What one shard has sent reaches the other by its own sweep, also when that one comes back late."""
    with sharded(2) as cluster:
        for account in ACCOUNTS:
            cluster.ctl("usda", "mint", account, "10")
            cluster.ctl("mint", account, "5")
        here, there = accounts_of(cluster)
        cluster.kill("token_manager.TIM3.1")
        client = cluster.client()
        client.send("coordinator.TIM3", "Transfer", dict(account=here[0], to=there[0], amount=amount(10**6),
                                                         request_id="late"), here[0])
        harness.poll(lambda: cluster.client().ask("token_manager.TIM3.0", "GetSupply", {})["sent"] == 1, what="the debit")
        for address in ("coordinator.TIM3.0", "coordinator.TIM3.1"):
            cluster.kill(address)
        cluster.start("token_manager.TIM3.1")
        cluster.audit()
        assert client.balance(there[0]) == 6 * 10**6
        for address in ("coordinator.TIM3.0", "coordinator.TIM3.1"):
            cluster.start(address)
        done = cluster.ctl_json("transfer", here[0], there[0], "1", "--request-id", "late")
        assert done["status"] == "completed" and client.balance(there[0]) == 6 * 10**6
        cluster.audit()


def test_supply_of_shards_that_come_to_more_than_a_number_holds():
    half = str(2**127)
    with sharded(2, assets={"TIM3": 0}, collateral=dict(decimals=0)) as cluster:
        cluster.ctl("usda", "mint", "alice", str(2**128 - 1))
        cluster.ctl("mint", "alice", half)
        cluster.ctl("redeem", "alice", half)
        client = cluster.client()
        other = next(f"a{i}" for i in range(99) if is_of(client, f"a{i}", 0) != is_of(client, "alice", 0))
        cluster.ctl("usda", "transfer", "alice", other, half)
        cluster.ctl("mint", other, half)
        done = cluster.ctl("--json", "supply")
        told = json.loads(done.stdout)
        assert (told["minted"], told["burned"], told["supply"]) == (None, half, half), told
        assert "minted: the shards come to more than 2^128 - 1 minor units together" in done.stderr, done.stderr
        assert f"minted         {2**128 - 1}\n" in cluster.ctl("supply").stdout
        assert cluster.ctl_json("audit")["agrees"]


def test_another_number_of_shards_is_refused():
    with sharded(2) as cluster:
        cluster.ctl("usda", "mint", "alice", "10")
        cluster.ctl("mint", "alice", "5")
        other = os.path.join(cluster.dir, "other.cfg")
        with open(cluster.config) as given, open(other, "w") as out:
            out.write(given.read().replace("shards = 2", "shards = 1"))
        for role in ("lock_manager", "token_manager"):
            process = cluster.process_of(f"{role}.TIM3.0")
            cluster.kill(process)
            executable = "tim3-" + process.split(".")[0].replace("_", "-")
            done = subprocess.run([cluster.exe(executable), "--config", other, "--data", cluster.dir, "--asset", "TIM3",
                                   "--shard", "0"], capture_output=True, text=True, timeout=20)
            assert done.returncode == 100 and "shards, not 1; set asset/NAME/shards back to 2" in done.stderr, done.stderr
            cluster.start(process)


if __name__ == "__main__":
    harness.main()
