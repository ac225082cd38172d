"""fsck: good stores are found good, in whatever state they were left, and whatever is broken in them is found.

One cluster works, is left with work under way, and is stopped. Its stores are then broken on purpose, one record at
a time, on copies. TIM3_SEED sets the order of the work.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile

import harness
from harness import LONGEST, Cluster, home_of, needs, poll
from load import Load
from tim3_wire import BURN, PATIENT, Refused, amount, number, tx_id

SEED = int(os.environ.get("TIM3_SEED", "1"))
TOKENS, LOCKS, USDA = "token_manager.TIM3.0", "lock_manager.TIM3.0", "mock_usda.USDA.0"
ROUTER, STATE = "router.-.0", "state_manager.-.0"
GOOD, FOUND, USAGE, NOT_OPENED = 0, 1, 2, 3
SHARED = home_of(TOKENS) == LOCKS

# Fields that nothing else in the stores tells; fsck says so, or they are no part of the ledgers.
FREE = {
    "meta": {"id", "inode", "created_us", "commits"},
    "lock": {"available", "needed", "created_us", "changed_us", "attempts"},
    "release": {"available", "needed", "created_us", "changed_us", "attempts"},
    "record": {"available", "needed", "attempts"},
    "collateral_record": {"available", "needed", "balance", "time_us"},
    "router_seen": {"log_end", "heard"},
    "life": {"log_end"},
    "registry": {"endpoint", "capabilities", "version", "incarnation", "registered_us", "seen_us", "alive", "health"},
}


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, stdin=subprocess.DEVNULL)


def fsck(data, *options):
    return run(Cluster.exe("tim3ctl"), "fsck", data, *options)


def must_be_good(data):
    done = fsck(data)
    assert done.returncode == GOOD, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def folder(data, store):
    return os.path.join(data, "store", home_of(store))


def poke(data, store, *arguments):
    """As the agent sees its store, which may be a part of a shared one."""
    sight = ("as", store.split(".")[0]) if SHARED and store in (TOKENS, LOCKS) else ()
    done = run(Cluster.exe("tim3-poke"), folder(data, store), *sight, *arguments)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def rows(data, store, table):
    """(key, record) of every row."""
    lines = [line.split(" ", 2) for line in poke(data, store, "list", table).splitlines()]
    return [(key, json.loads(record)) for _, key, record in lines]


def stop(cluster, how=signal.SIGTERM):
    for address in cluster.commands:
        if cluster.running(address):
            cluster.processes[address].send_signal(how)
    for address in cluster.commands:
        cluster.processes[address].wait(timeout=PATIENT)


def refuse_some(cluster):
    """Refusals of every kind, among them mints whose collateral has to go back."""
    client = cluster.client()

    def refused(ask, *arguments):
        name = client.outcome("coordinator.TIM3", ask, dict(zip(("account", "amount", "request_id", "to"), arguments)))
        assert name[0] not in ("Transaction",), name
    cluster.ctl("pause")
    for i in range(3):
        refused("Mint", "acc0", amount(5), f"paused-{i}")
    cluster.ctl("unpause")
    cluster.ctl("freeze", "acc1")
    cluster.ctl("freeze", "nobody")
    refused("Transfer", "acc0", amount(1), "frozen-1", "acc1")
    cluster.ctl("unfreeze", "acc1")
    cluster.ctl("cap", "0.000001")
    refused("Mint", "acc2", amount(7), "capped-1")
    cluster.ctl("cap", "none")
    refused("Mint", "acc3", amount(10 ** 30), "too-much")
    client.mint("acc4", 3, "last-mint")
    client.redeem("acc4", 2, "last-redemption")


def leave_unfinished(cluster):
    """Locks that are requested and pending, redemptions before and behind their release, events not published."""
    locks = cluster.client(cluster.endpoint(LOCKS), "coordinator.TIM3.0")
    tokens = cluster.client(cluster.endpoint(TOKENS), "coordinator.TIM3.0")

    def body(name, account="acc4", units=1):
        return dict(tx=tx_id("TIM3", account, name), account=account, amount=amount(units))
    locks.ask("lock_manager.TIM3.0", "Lock", body("pending"))
    minted = body("minted")
    minted["receipt"] = locks.ask("lock_manager.TIM3.0", "Lock", body("minted"))["receipt"]
    tokens.ask("token_manager.TIM3.0", "TokenMint", minted)
    for address in (USDA, ROUTER, "coordinator.TIM3.0", "coordinator.TIM3.1"):
        if cluster.process(address) is not cluster.process(LOCKS):
            cluster.kill(address)
    locks.send("lock_manager.TIM3.0", "Lock", body("requested"))
    tokens.ask("token_manager.TIM3.0", "TokenBurn", body("burned", "acc5"))
    receipt = tokens.ask("token_manager.TIM3.0", "TokenBurn", body("releasing", "acc6"))["receipt"]
    locks.send("lock_manager.TIM3.0", "Release", dict(body("releasing", "acc6"), reason=BURN, receipt=receipt))
    for agent, ask, count in ((LOCKS, "GetLockTotals", 4), (TOKENS, "GetSupply", 2)):
        client = cluster.client(cluster.endpoint(agent))
        poll(lambda: client.ask(agent, ask, {})["unsettled"] == count, what=f"unfinished work in {agent}")


class Worked:
    """A data folder of a stopped cluster that has everything in it; made once."""

    data = None

    @classmethod
    def get(cls):
        if cls.data is None:
            data = tempfile.mkdtemp(prefix="t3f-")
            with Cluster(assets={"TIM3": 6, "TIME": 18}, settings=dict(sweep_after_ms=600000, sweep_most_ms=600000, store="lmdb")) \
                    as cluster:
                load = Load(cluster, seed=SEED)
                load.start()
                load.advance(600)
                load.finish()
                client = cluster.client()
                client.faucet("acc0", 1000, "time")
                client.mint("acc0", 700, "time-1", asset="TIME")
                client.redeem("acc0", 300, "time-2", asset="TIME")
                refuse_some(cluster)
                cluster.audit()
                leave_unfinished(cluster)
                stop(cluster, signal.SIGKILL)
                for part in ("store", "keys"):
                    shutil.copytree(os.path.join(cluster.dir, part), os.path.join(data, part))
            cls.data = data
        return cls.data

    @classmethod
    def forget(cls):
        if cls.data:
            shutil.rmtree(cls.data)


class Copy:
    """A copy of that folder in which one store, or the keys, may be broken; the rest are links."""

    def __init__(self, store=None):
        self.store = store

    def __enter__(self):
        good = Worked.get()
        self.data = tempfile.mkdtemp(prefix="t3c-")
        shutil.copytree(os.path.join(good, "keys"), os.path.join(self.data, "keys"))
        os.mkdir(os.path.join(self.data, "store"))
        for name in os.listdir(os.path.join(good, "store")):
            source, target = os.path.join(good, "store", name), os.path.join(self.data, "store", name)
            if self.store and name == home_of(self.store):
                shutil.copytree(source, target)
            else:
                os.symlink(source, target)
        return self.data

    def __exit__(self, *_):
        shutil.rmtree(self.data)


def must_find(data, *texts, code=FOUND):
    done = fsck(data)
    assert done.returncode == code, f"exit {done.returncode}, want {code}\n{done.stdout}{done.stderr}"
    told = done.stdout + done.stderr
    for text in texts:
        assert text in told, f"'{text}' is not in:\n{told}"
    return told


def broken(store, table, choose, change, *texts):
    """Breaks the first row that choose takes; fsck must name the table and whatever the texts say."""
    with Copy(store) as data:
        key, record = next((key, record) for key, record in rows(data, store, table) if choose(record))
        poke(data, store, table, key, *change)
        told = must_find(data, *(text.format(**record) for text in texts))
        assert any(store in line and f" {table}, " in line for line in told.splitlines()), told
        return told


def anything(_):
    return True


def test_good_with_work_under_way():
    told = must_be_good(Worked.get())
    for name in (TOKENS, LOCKS, USDA, ROUTER, STATE, "TIM3", "TIME", "keys", "events against ledgers"):
        assert any(line.startswith(name + ":") and line.endswith(": good") for line in told.splitlines()), told
    assert "not checked: receipts" in told


def test_json():
    done = fsck(Worked.get(), "--json")
    told = json.loads(done.stdout)
    assert done.returncode == GOOD and told["good"] and told["problems"] == 0 and not told["listed"]
    with Copy(TOKENS) as data:
        key = rows(data, TOKENS, "account")[0][0]
        poke(data, TOKENS, "account", key, "bump", "balance")
        done = fsck(data, "--json")
        told = json.loads(done.stdout)
        assert done.returncode == FOUND and not told["good"] and told["problems"] == len(told["listed"]) > 0
        assert any(item["store"] == TOKENS and item["table"] == "account" and item["key"] == key
                   for item in told["listed"])


def test_every_table_has_rows():
    """What the tests below rely on."""
    wanted = {TOKENS: "account record failed_by_account burn_due burn_due_list ledger outbox counter meta",
              LOCKS: "lock release lock_due lock_due_list lock_totals",
              USDA: "holding collateral_record vault collateral_totals router_seen",
              STATE: "position asset_metrics shard_metrics log_cursor", ROUTER: "registry log log_source standing life"}
    for store, tables in wanted.items():
        for table in tables.split():
            assert rows(Worked.get(), store, table), f"{store} has no {table}"


def every_field(store, table, choose=anything, free=()):
    """Each field of a row, changed to another legal value, is found, but for those that nothing else tells."""
    good = Worked.get()
    key, record = next((key, record) for key, record in rows(good, store, table) if choose(record))
    for field in record:
        if field in FREE.get(table, ()) or field in free:
            continue
        with Copy(store) as data:
            poke(data, store, table, key, "bump", field)
            code = fsck(data).returncode
            want = NOT_OPENED if (table, field) == ("meta", "schema") else FOUND
            assert code == want, f"{store} {table} {key}: {field} changed, exit {code}\n{record}"


def every_event(store, table, choose=anything):
    """Each field of an event in a row, changed to another legal value, is found: of the first, the last and some in between, for
    a row may have many."""
    key, record = next((key, record) for key, record in rows(Worked.get(), store, table) if choose(record))
    last = record["count"] - 1
    for place in sorted({0, min(1, last), last // 2, last}):
        for field in ("type", "time_us", "body"):
            with Copy(store) as data:
                poke(data, store, table, key, "event", str(place), "bump", field)
                code = fsck(data).returncode
                assert code == FOUND, f"{store} {table} {key}: {field} of event {place} changed, exit {code}\n{record}"


def test_every_field_of_the_token_manager():
    for table in ("meta", "counter", "ledger", "account"):
        every_field(TOKENS, table)
    last = max(record["seq"] for _, record in rows(Worked.get(), TOKENS, "outbox"))
    for choose in (anything, lambda r: r["seq"] == last):
        every_field(TOKENS, "outbox", choose)
        every_event(TOKENS, "outbox", choose)
    for table in ("burn_due", "burn_due_list"):
        every_field(TOKENS, table)
    every_field(TOKENS, "record", lambda r: r["kind"] == "mint" and r["status"] == "completed")
    every_field(TOKENS, "record", lambda r: r["status"] == "pending")
    every_field(TOKENS, "record", lambda r: r["kind"] == "transfer" and r["status"] == "completed")
    for control in ("freeze", "cap"):
        every_field(TOKENS, "record", lambda r, control=control: r["control"] == control and r["account"] in ("", "acc1"))


def crossed():
    """A data folder with transfers between two shards: arrived, and refused there and come back."""
    data = tempfile.mkdtemp(prefix="t3f-")
    accounts = [f"acc{i}" for i in range(6)]
    with Cluster(settings=dict(store="lmdb"), asset_settings=dict(shards=2)) as cluster:
        client = cluster.client()
        for account in accounts:
            client.faucet(account, 10 ** 13, "f-" + account)
            client.mint_anew(account, 9, "m-" + account)
            cluster.ctl("freeze", account)
            for other in accounts:
                client.outcome("coordinator.TIM3", "Transfer", dict(account=other, to=account, amount=amount(1),
                                                                    request_id="refused-" + account))
            cluster.ctl("unfreeze", account)
        for account in accounts:
            for other in set(accounts) - {account}:
                client.transfer(account, other, 1, "to-" + other)
        cluster.audit()
        stop(cluster)
        for part in ("store", "keys"):
            shutil.copytree(os.path.join(cluster.dir, part), os.path.join(data, part))
    return data


def test_every_field_of_transfers_between_shards():
    kept, Worked.data = Worked.get(), crossed()
    try:
        ways = {"completed": ((True, False), (False, True), (True, True)), "failed": ((True, True),)}
        for status in ways:
            for way in ways[status]:
                every_field(TOKENS, "record", lambda r, status=status, way=way: r["kind"] == "transfer" and r["status"] == status
                            and (r["entry"] > 0, r["to_entry"] > 0) == way)
    finally:
        Worked.forget()
        Worked.data = kept


def test_every_field_of_the_lock_manager():
    for table in ("lock_totals", "lock_due", "lock_due_list"):
        every_field(LOCKS, table)
    for state in ("requested", "pending", "active", "released", "refused"):
        every_field(LOCKS, "lock", lambda r, state=state: r["state"] == state,
                    free={"account", "amount"} if state == "requested" else ())
    for state in ("releasing", "released"):
        every_field(LOCKS, "release", lambda r, state=state: r["state"] == state)


def test_every_field_of_the_collateral_token():
    for table in ("holding", "vault", "collateral_totals", "router_seen"):
        every_field(USDA, table)
    for op in ("faucet", "lock", "unlock_void", "unlock_burn"):
        every_field(USDA, "collateral_record", lambda r, op=op: r["op"] == op and r["code"] == 0)


def test_every_field_of_the_router_and_the_state_manager():
    for table in ("registry", "log_source"):
        every_field(ROUTER, table)
    for source in (TOKENS, LOCKS):
        # how many events a row has depends on how busy the machine was: of those with several, the shortest
        least = min(r["count"] for _, r in rows(Worked.get(), ROUTER, "log") if r["source"] == source and r["count"] > 1)
        several = lambda r, source=source, least=least: r["source"] == source and r["count"] == least
        every_field(ROUTER, "log", several)
        if source == TOKENS:
            every_event(ROUTER, "log", several)
    for table in ("position", "asset_metrics", "shard_metrics", "log_cursor"):
        every_field(STATE, table)


def test_every_row_that_goes_is_missed():
    """Any row of any table, deleted."""
    rng = random.Random(SEED)
    for store in (TOKENS, LOCKS, USDA, ROUTER, STATE):
        listed = [line.split(" ")[:2] for line in poke(Worked.get(), store, "list").splitlines()]
        # a full store may lack the incarnation; nothing tells that it was there
        listed = [(table, key) for table, key in listed if bytes.fromhex(key) != b"incarnation\0"]
        for table in sorted({table for table, _ in listed} - {"meta", "registry"}):
            keys = [key for name, key in listed if name == table]
            # an event that the log has may be gone from the outbox; the last one is not in the log. The router's last life
            # is the one that ledgers have seen
            key = keys[-1] if table in ("outbox", "life") else rng.choice(keys)
            with Copy(store) as data:
                poke(data, store, table, key, "delete")
                done = fsck(data)
                assert done.returncode == FOUND, f"{store} {table} {key} deleted: exit {done.returncode}\n{done.stdout}"


def test_every_row_that_cannot_be_read_is_named():
    for store in (TOKENS, LOCKS, USDA, ROUTER, STATE):
        listed = [line.split(" ")[:2] for line in poke(Worked.get(), store, "list").splitlines()]
        for table in sorted({table for table, _ in listed} - {"meta"}):
            key = next(key for name, key in listed if name == table)
            with Copy(store) as data:
                poke(data, store, table, key, "raw", "c1")
                must_find(data, f"{store} {table}, ", "the record cannot be read")


def test_records_are_named():
    broken(TOKENS, "account", lambda r: r["entries"] > 3, ("bump", "balance"), "account {account}: balance")
    broken(TOKENS, "record", lambda r: r["kind"] == "mint" and r["status"] == "completed", ("bump", "amount"),
           "tx {tx}: amount is")
    broken(TOKENS, "record", lambda r: r["entry"] >= 2 and r["kind"] == "mint", ("bump", "balance"),
           "tx {tx}: balance of {account} is")
    broken(TOKENS, "ledger", anything, ("supply=99999999999",), "supply is \"99999999999\"", "NOT BACKED")
    broken(LOCKS, "lock", lambda r: r["state"] == "active", ("bump", "code"), "tx {tx}: code is")
    broken(USDA, "vault", anything, ("bump", "total"), "vault {vault}: total is")
    broken(USDA, "holding", anything, ("bump", "available"), "account {account}: available is")
    broken(STATE, "position", anything, ("bump", "minted"), "asset {asset}, account {account}: minted is")
    broken(ROUTER, "log", lambda r: r["count"] > 1, ("bump", "count"), "offset {offset}: count is")
    broken(ROUTER, "log", lambda r: r["offset"] > 5, ("event", "0", "bump", "type"), "offset {offset}: ")
    broken(ROUTER, "registry", anything, ("bump", "role"), "address {name}: role is")
    broken(ROUTER, "life", anything, ("log_end=99999999",), "log_end is 99999999, but the log ends at")
    broken(USDA, "router_seen", anything, ("log_end=99999999",), "log_end is 99999999, but the router's log ended at")
    broken(USDA, "router_seen", anything, ("heard=99999999",), "heard is 99999999, but the store has")


def test_an_older_copy_is_found():
    for field, value in (("commits", 10 ** 9), ("event_seq", 10 ** 9), ("acked", 10 ** 9), ("lineage", "00" * 16)):
        with Copy(ROUTER) as data:
            wanted = LOCKS.encode() + b"\0"
            key = next(key for key, _ in rows(data, ROUTER, "standing") if bytes.fromhex(key) == wanted)
            poke(data, ROUTER, "standing", key, f"{field}={value}")
            must_find(data, f"standing, address {LOCKS}: {field} is")


def test_ledgers_that_agree_with_themselves_alone():
    """Broken so that each store is consistent in itself: only the others can tell."""
    with Copy(LOCKS) as data:
        key = tx_id("TIM3", "acc4", "pending").hex()
        lock = dict(rows(data, LOCKS, "lock"))[key]
        totals_key, totals = rows(data, LOCKS, "lock_totals")[0]
        poke(data, LOCKS, "lock", key, "state=4", "due_us=0")
        due = f"{lock['due_us']:016x}"
        opened = dict(rows(data, LOCKS, "lock_due"))[due]["open"]
        if opened > 1:
            poke(data, LOCKS, "lock_due", due, f"open={opened - 1}")
        else:
            poke(data, LOCKS, "lock_due", due, "delete")
            for list_key, _ in rows(data, LOCKS, "lock_due_list"):
                if list_key.startswith(due):
                    poke(data, LOCKS, "lock_due_list", list_key, "delete")
        poke(data, LOCKS, "lock_totals", totals_key, f"unsettled={totals['unsettled'] - 1}",
             f"in_flight={int(totals['in_flight']) - int(lock['amount'])}")
        must_find(data, f"tx {key}: active, but {TOKENS} has no completed mint under this tx")
    with Copy(USDA) as data:
        key, record = next(row for row in rows(data, USDA, "collateral_record") if row[1]["op"] == "unlock_burn")
        poke(data, USDA, "collateral_record", key, "account=mallory")
        for account, change in ((record["account"], -1), ("mallory", 1)):
            row = (account.encode() + b"\0").hex()
            held = int(dict(rows(data, USDA, "holding")).get(row, {"available": 0})["available"])
            poke(data, USDA, "holding", row, f"account={account}", f"available={held + change * int(record['amount'])}")
        totals = rows(data, USDA, "collateral_totals")[0]
        poke(data, USDA, "collateral_totals", totals[0], f"accounts={totals[1]['accounts'] + 1}")
        must_find(data, f"account is mallory, but \"{record['account']}\" by {LOCKS}")


def test_strange_rows_are_found():
    with Copy(TOKENS) as data:
        poke(data, TOKENS, "99", "616263", "raw", "90")
        must_find(data, "key 616263: no table has number 99")
    with Copy(TOKENS) as data:
        poke(data, TOKENS, "vault", "54494d3300", "vault=TIM3", "total=1")
        must_find(data, "the table belongs to a mock_usda")
    with Copy(TOKENS) as data:
        poke(data, TOKENS, "account", "61ff00", "account=a")
        must_find(data, "key 61ff00: the key is not made of: account")
        assert json.loads(fsck(data, "--json").stdout)["listed"][0]["key"] == "61ff00"
    with Copy(TOKENS) as data:
        key = rows(data, TOKENS, "record")[0][0]
        poke(data, TOKENS, "record", key, "copy", key[:-2])
        must_find(data, "the key is not made of: tx")
    with Copy(TOKENS) as data:
        key = rows(data, TOKENS, "record")[0][0]
        other = ("00" if key[:2] != "00" else "01") + key[2:]
        poke(data, TOKENS, "record", key, "copy", other)
        must_find(data, f"tx {other}: tx is")
    with Copy(TOKENS) as data:
        poke(data, TOKENS, "failed_by_account", "6162" + "00" + "11" * 16, "flags=0")
        must_find(data, "account ab, tx " + "11" * 16 + ": there is no failed record of that account under that tx")


@needs("merged", "each agent has a store of its own")
def test_rows_that_nobody_sees_are_found():
    """In a shared store each agent has its events behind its role; here some are behind another's."""
    def raw(data, *arguments):
        done = run(Cluster.exe("tim3-poke"), folder(data, TOKENS), *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout
    with Copy(TOKENS) as data:
        key = raw(data, "list", "outbox").splitlines()[-1].split(" ")[1]
        raw(data, "outbox", key, "copy", "07" + key[2:])
        must_find(data, " outbox, ", "belongs to none of the agents that share the store")


def test_the_index_of_what_is_unfinished():
    """Each record that is not final has one place there, and each deadline its lists."""
    def tail(tx, table=10):
        return bytes([table]) + bytes.fromhex(tx)

    def tails(*items):
        data = b"".join(items)
        return f"tails={(bytes([0xc4, len(data)]) + data).hex()}"
    locks = {state: next((key, row) for key, row in rows(Worked.get(), LOCKS, "lock") if row["state"] == state)
             for state in ("pending", "active")}
    pending, active = locks["pending"][0], locks["active"][0]
    place = f"{locks['pending'][1]['due_us']:016x}" + f"{1:016x}"
    deadline = place[:16]
    wrong = [(tails(tail(active)), f"tx {pending}: has no place in lock_due"),
             (tails(tail(pending), tail(pending)), "has a place before"),
             (tails(tail(pending), tail("11" * 16)), "there is no record of 0a" + "11" * 16),
             (tails(tail(pending), tail(pending, 21)), "there is no record of 15"),
             (tails(tail(pending)[:-1]), "tails are not 17 bytes each"), ("tails=c0", "tails are not 17 bytes each"),
             ("tails=c400", "tails are not 17 bytes each")]
    for change, text in wrong:
        with Copy(LOCKS) as data:
            poke(data, LOCKS, "lock_due_list", place, change)
            must_find(data, text)
    with Copy(LOCKS) as data:  # who is final may still be there
        poke(data, LOCKS, "lock_due_list", place, tails(tail(active), tail(pending)))
        must_be_good(data)
    with Copy(LOCKS) as data:
        poke(data, LOCKS, "lock_due_list", place, "copy", place[:-2] + "03")
        must_find(data, "has a place before", "last is \"1\", but \"3\" by its lists", "lists before this one are missing")
    with Copy(LOCKS) as data:
        poke(data, LOCKS, "lock_due", deadline, "copy", "00" * 7 + "01")
        must_find(data, "nothing is unfinished that is due then")
    with Copy(LOCKS) as data:
        poke(data, LOCKS, "lock_due", deadline, "delete")
        must_find(data, "there is no deadline that it is of")
    with Copy(LOCKS) as data:
        poke(data, LOCKS, "lock_due", deadline, "open=2")
        must_find(data, "open is \"2\", but \"1\" by its lists")


def test_audit_compares_accounts_one_by_one():
    """What was moved from one account to another behind the ledger's back changes no sum, and all that there can be changes it
    modulo 2^128 only."""
    with Cluster(settings=dict(store="lmdb")) as cluster:
        cluster.sound = False
        client = cluster.client()
        client.faucet("acc0", 10 ** 13, "f")
        for account in ("acc0", "acc1"):
            client.faucet(account, 10 ** 13, "f-" + account)
            client.mint_anew(account, 5, "m-" + account)
        cluster.ctl("audit")
        keys = {}
        for balances, text in (((4, 6), "not those of each account"), ((11, 2 ** 128 - 1), "add up to more than 2^128 - 1")):
            cluster.kill(TOKENS, signal.SIGTERM)
            keys = keys or {record["account"]: key for key, record in rows(cluster.dir, TOKENS, "account")}
            for account, balance in zip(("acc0", "acc1"), balances):
                poke(cluster.dir, TOKENS, "account", keys[account], f"balance={balance}")
            cluster.start(TOKENS)
            cluster.wait_ready()
            done = cluster.ctl("audit", check=False)
            assert done.returncode == FOUND and text in done.stdout, done
        stop(cluster)
        must_find(cluster.dir, "account acc0: balance is")


def test_audit_finds_what_is_not_backed_while_ledgers_work():
    with Cluster(settings=dict(store="lmdb"), coordinators=1) as cluster:
        cluster.sound = False
        client = cluster.client()
        client.faucet("acc0", 10 ** 13, "f")
        client.mint_anew("acc0", 5, "m")
        cluster.kill(TOKENS, signal.SIGTERM)
        for table, field in (("account", "balance"), ("ledger", "supply")):
            poke(cluster.dir, TOKENS, table, rows(cluster.dir, TOKENS, table)[0][0], f"{field}={10 ** 15}")
        cluster.start(TOKENS)
        cluster.wait_ready()
        worker = subprocess.Popen([cluster.exe("tim3ctl"), "--endpoint", cluster.front(), "--timeout", "600", "workload",
                                   "--operations", "100000000", "--outstanding", "4"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        done = 0

        def works():
            nonlocal done
            before, done = done, cluster.ctl_json("supply")["mints"]
            return done > before > 1
        poll(works, what="a workload")
        told = cluster.ctl("audit", "--timeout", "5", check=False)
        assert told.returncode == FOUND and "NOT BACKED" in told.stdout, told
        worker.kill()
        worker.wait()


def test_stores_that_are_missing():
    with Copy() as data:
        os.unlink(folder(data, TOKENS))
        must_find(data, "the store of the vault's lock manager is not" if SHARED else
                  "the store of token_manager.TIM3.0 is not")
    with Copy() as data:
        os.unlink(folder(data, STATE))
        must_be_good(data)
    with Copy() as data:
        os.unlink(folder(data, ROUTER))
        assert "not checked: ledgers against their events" in must_be_good(data)


def start_otherwise(cluster, now, then):
    """Starts all agents under another configuration; returns when each is ready, or was refused."""
    other = os.path.join(cluster.dir, "other.cfg")
    with open(cluster.config) as given, open(other, "w") as out:
        text = given.read()
        assert now in text
        out.write(text.replace(now, then))
    listing = run(Cluster.exe("tim3-router"), "--config", other, "--list-agents").stdout
    logs = {}
    for line in listing.splitlines():
        executable, address, asset, shard = line.split()[:4]
        logs[address] = os.path.join(cluster.dir, f"{address}.other")
        with open(logs[address], "w") as log:
            cluster.processes[address] = subprocess.Popen(
                [Cluster.exe(executable), "--config", other, "--data", cluster.dir, "--asset", asset, "--shard", shard],
                stdout=log, stderr=log)
    for address, log in logs.items():
        poll(lambda: cluster.processes[address].poll() == 100 or 'event="ready"' in open(log).read(), what=f"{address} to settle")


def stop_all(cluster):
    for process in cluster.processes.values():
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=PATIENT)
    for address in set(cluster.processes) - set(cluster.commands):
        del cluster.processes[address]


def ledgers_in(cluster):
    return sorted(name for name in os.listdir(os.path.join(cluster.dir, "store")) if not name.startswith("coordinator."))


def must_be_told_unused(cluster, *addresses):
    """Each is named, with a command that removes it; without them nothing is missing."""
    assert must_be_good(cluster.dir).count("not used: ") == len(addresses)
    told = json.loads(fsck(cluster.dir, "--json").stdout)["not_used"]
    for address, what in zip(addresses, told, strict=True):
        assert what.startswith(f"{address} holds nothing, and no agent uses it"), what
        subprocess.run(what.split("Remove it: ")[1], shell=True, check=True)
    assert ledgers_in(cluster) == cluster.ledgers
    assert "not used" not in must_be_good(cluster.dir)


def worked_and_stopped(cluster):
    cluster.ctl("usda", "mint", "alice", "10")
    cluster.ctl("mint", "alice", "5")
    stop_all(cluster)
    cluster.ledgers = ledgers_in(cluster)


def test_stores_of_shards_that_were_tried_once():
    with Cluster(asset_settings=dict(shards=1)) as cluster:
        worked_and_stopped(cluster)
        start_otherwise(cluster, "shards = 1", "shards = 2")
        stop_all(cluster)
        must_be_told_unused(cluster, *sorted({home_of("lock_manager.TIM3.1"), home_of("token_manager.TIM3.1")}))


def test_money_in_a_shard_that_was_tried_once():
    with Cluster(asset_settings=dict(shards=1)) as cluster:
        worked_and_stopped(cluster)
        start_otherwise(cluster, "shards = 1", "shards = 2")
        client = cluster.client()
        for i in range(16):  # some are of the other shard; the first has no ledgers
            client.faucet(f"a{i}", 10 ** 18, f"faucet-{i}")
            client.send("coordinator.TIM3", "Mint", dict(account=f"a{i}", amount=amount(5), request_id=f"mint-{i}"), f"a{i}")
        poll(lambda: number(client.ask("token_manager.TIM3.1", "GetSupply", {})["supply"]), what="a mint in the other shard")
        stop_all(cluster)
        done = fsck(cluster.dir)
        assert done.returncode == FOUND and "not used" not in done.stdout, done.stdout
        assert "lock_manager.TIM3.1 is one of 2 shards, but lock_manager.TIM3.0 is one of 1" in done.stdout, done.stdout
        cluster.sound = False


@needs("merged", "the store of a token manager that is split is its own")
def test_store_of_a_critical_path_that_was_tried_once():
    with Cluster() as cluster:
        worked_and_stopped(cluster)
        start_otherwise(cluster, "critical_path = merged", "critical_path = split")
        stop_all(cluster)
        must_be_told_unused(cluster, TOKENS)
        start_otherwise(cluster, "critical_path = merged", "critical_path = split")
        stop_all(cluster)
        stray = os.path.join(cluster.dir, "store", TOKENS)
        done = run(Cluster.exe("tim3-poke"), stray, "ledger", b"ledger\0".hex(), "supply=5")
        assert done.returncode == 0, done
        done = fsck(cluster.dir)
        assert done.returncode == FOUND and "not used" not in done.stdout, done.stdout
        assert f"{TOKENS}: no agent uses this store, which is not empty" in done.stdout, done.stdout
        cluster.sound = False


def test_good_after_a_restore():
    """All stores from a backup, adopted: they have new identities, and ledgers publish some events again."""
    with Cluster(assets={"TIM3": 6, "TIME": 18}, settings=dict(store="lmdb")) as cluster:
        stop(cluster)
        shutil.rmtree(os.path.join(cluster.dir, "store"))
        shutil.rmtree(os.path.join(cluster.dir, "keys"))
        for part in ("store", "keys"):
            shutil.copytree(os.path.join(Worked.get(), part), os.path.join(cluster.dir, part))
        cluster.delete_store(STATE)
        for address in cluster.commands:
            cluster.commands[address].append("--adopt")
            cluster.start(address)
        cluster.wait_ready()
        cluster.audit()
        cluster.client().mint_anew("acc4", 1, "after-restore")
        cluster.audit()
        stop(cluster, signal.SIGKILL)
        must_be_good(cluster.dir)


def test_a_log_that_is_lost():
    """What the new log does not tell of is not checked, rather than wrong."""
    with Cluster({"TIM3": 6, "TIME": 6}, settings=dict(store="lmdb")) as cluster:
        cluster.sound = False
        client = cluster.client()
        client.faucet("alice", 10 ** 13, "one")
        client.mint_anew("alice", 5, "one")
        cluster.ctl("mint", "alice", "0.000003", "--asset", "TIME")
        cluster.audit()
        for address in (ROUTER, STATE):
            cluster.kill(address)
            cluster.delete_store(address)
            cluster.start(address)
        cluster.wait_ready()
        client = cluster.client()
        client.mint_anew("alice", 1, "two")

        def logged():
            metrics = client.ask("router.-", "Stats", {})["metrics"]
            return next(number(metric["value"]) for metric in metrics if metric["name"] == "log_end_offset") > 2
        poll(logged, what="the events of the second mint in the new log")
        stop(cluster)
        told = must_find(cluster.dir, "those before it are not in this log")
        for ledger in (TOKENS, LOCKS, "token_manager.TIME.0", "lock_manager.TIME.0"):
            assert f"not checked: {ledger} against events that are not in the log" in told, told
        assert "by its events" not in told and "the events do not tell of it" not in told, told


def test_keys():
    with Copy() as data:
        os.chmod(os.path.join(data, "keys", "TIM3.vault"), 0o640)
        must_find(data, "TIM3.vault has mode 0640")
    with Copy() as data:
        with open(os.path.join(data, "keys", "TIME.evidence"), "ab") as key:
            key.write(b"x")
        must_find(data, "TIME.evidence does not hold 32 bytes")
    with Copy() as data:
        shutil.rmtree(os.path.join(data, "keys"))
        assert "not checked: keys" in must_be_good(data)


def test_what_cannot_be_opened():
    assert fsck("/nonexistent").returncode == NOT_OPENED
    assert run(Cluster.exe("tim3ctl"), "fsck").returncode == USAGE
    with Copy(TOKENS) as data:
        poke(data, TOKENS, "meta", "73746f726500", "raw", "c1")
        must_find(data, "cannot be read; restore a backup", code=NOT_OPENED)
    with Copy(TOKENS) as data:
        path = os.path.join(folder(data, TOKENS), "data.mdb")
        os.truncate(path, 3 * 4096)
        must_find(data, "cut short")


def test_damage_below_the_rows_ends_in_a_sentence():
    """Pages of the database overwritten: LMDB itself may crash on them, fsck must still say what is the matter."""
    rng = random.Random(SEED)
    for turn in range(20):
        with Copy(LOCKS) as data:
            path = os.path.join(folder(data, LOCKS), "data.mdb")
            with open(path, "r+b") as file:
                for page in range(2, os.path.getsize(path) // 4096):
                    file.seek(page * 4096 + rng.randrange(64))
                    file.write(rng.randbytes(8))
            done = fsck(data)
            assert done.returncode in (FOUND, NOT_OPENED), f"turn {turn}: exit {done.returncode}"
            told = done.stdout + done.stderr
            assert "restore a backup" in told or " problems\n" in told, told


def test_many_problems_are_counted():
    with Copy(LOCKS) as data:
        for key, _ in [row for row in rows(data, LOCKS, "lock") if row[1]["state"] == "active"][:120]:
            poke(data, LOCKS, "lock", key, "bump", "amount")
        told = must_find(data, "more problems are not shown")
        assert sum(line.startswith("  ") for line in told.splitlines()) == 100


def contents(data):
    """Every file below, with its bytes and its time."""
    found = {}
    for folder, _, names in os.walk(data):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[path] = (file.read(), os.stat(path).st_mtime_ns)
    return found


def test_nothing_is_written():
    with Copy(TOKENS) as data:
        os.unlink(os.path.join(folder(data, TOKENS), "LOCK"))
        os.unlink(os.path.join(folder(data, TOKENS), "lock.mdb"))
        before = contents(folder(data, TOKENS))
        must_be_good(data)
        assert contents(folder(data, TOKENS)) == before


def test_running_agents_are_left_alone():
    with Cluster(settings=dict(store="lmdb")) as cluster:
        done = fsck(cluster.dir)
        assert done.returncode == NOT_OPENED and "stop the agents first" in done.stderr, done.stderr
        cluster.audit()
        stop(cluster)
        must_be_good(cluster.dir)


def most_of_all_money(shards):
    """Half of all that an amount can be goes round, until more came in than a number holds, at accounts, vault and positions."""
    half = 2 ** 127
    with Cluster({"TIM3": 18}, asset_settings=dict(shards=shards)) as cluster:
        client = cluster.client()
        client.faucet("acc0", 2 * half - 1, "f")
        client.mint_anew("acc0", half, "m1")
        for turn in range(3):
            for other in (f"acc{i}" for i in range(1, 6)):
                client.transfer("acc0", other, half, f"to-{other}-{turn}")
                client.transfer(other, "acc0", half, f"back-{turn}")
        client.redeem("acc0", half, "r1")
        try:
            client.mint("acc0", half, "m2")
        except Refused as refusal:
            assert refusal.name in ("amount_overflow", "voided"), refusal.body
        client.mint_anew("acc0", half - 1, "m3")
        cluster.audit()


def test_good_when_more_came_in_than_a_number_holds():
    for shards in (1,) if SHARED else (1, 3):
        most_of_all_money(shards)


def test_good_when_more_is_unconfirmed_than_a_number_holds():
    """A mint whose lock is not settled is redeemed, and the same collateral locked again."""
    half = 2 ** 127
    with Cluster({"TIM3": 18}, settings=dict(sweep_after_ms=600000, sweep_most_ms=600000)) as cluster:
        client = cluster.client()
        locks = cluster.client(cluster.endpoint(LOCKS), "coordinator.TIM3.0")
        tokens = cluster.client(cluster.endpoint(TOKENS), "coordinator.TIM3.0")
        client.faucet("acc0", 2 * half - 1, "f")
        first, second = (dict(tx=tx_id("TIM3", "acc0", name), account="acc0", amount=amount(half)) for name in "ab")
        receipt = locks.ask(LOCKS, "Lock", first)["receipt"]
        tokens.ask(TOKENS, "TokenMint", dict(first, receipt=receipt))
        client.redeem("acc0", half, "r")
        locks.ask(LOCKS, "Lock", second)
        totals = client.ask(LOCKS, "GetLockTotals", {})
        assert (totals["unsettled"], number(totals["in_flight"]), number(totals["locked"])) == (2, 0, half), totals


def test_good_after_kills():
    """Agents killed one by one under load, then all at once: their stores fit together every time."""
    rng = random.Random(SEED)
    with Cluster(settings=dict(store="lmdb")) as cluster:
        load = Load(cluster, seed=SEED + 2)
        load.start()
        for turn in range(6):
            load.advance(100)
            victims = rng.sample(sorted(cluster.commands), 3)
            for address in victims:
                cluster.kill(address)
            stop(cluster, signal.SIGKILL)
            must_be_good(cluster.dir)
            for address in cluster.commands:
                cluster.start(address)
        load.finish()
        stop(cluster)
        must_be_good(cluster.dir)


if __name__ == "__main__":
    try:
        harness.main()
    finally:
        Worked.forget()
