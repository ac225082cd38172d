"""tim3ctl import-transfers: real and made-up histories of tokens, imported whole, twice, and under kills.
Every balance must be what the file's own arithmetic says, reckoned here anew. And tim3ctl workload, whose books are its own.

The real file is taken when it lies beside the project (../shared/data/erc20_transfers.csv). TIM3_SEED sets
the rest.
"""
import os
import random
import re
import signal
import subprocess
import time

import harness
from generate_transfers import DAI, USDC, USDT, ZERO, generate
from harness import LONGEST, ROOT, Cluster, poll
from tim3_wire import PATIENT, number

SEED = int(os.environ.get("TIM3_SEED", "1"))
REAL = os.path.join(ROOT, "..", "shared", "data", "erc20_transfers.csv")
ASSETS = {"TIM3": 6, "TIME": 6, "SPACE": 18}
CONTRACTS = {USDT: "TIM3", USDC: "TIME", DAI: "SPACE"}
MAPS = [word for contract, asset in CONTRACTS.items() for word in ("--map", f"{contract}={asset}")]
MOST = 2 ** 128 - 1
BAD_ROWS_NAMED = 20


class Book:
    """The arithmetic of a file: what each account must hold in the end, and which lines cannot be taken."""

    def __init__(self, path):
        self.balances = {asset: {} for asset in ASSETS}
        self.bad = []
        self.issued = 0
        self.volumes = dict.fromkeys(ASSETS, 0)
        self.seen = set()
        with open(path) as file:
            self.columns = len(next(file).split(","))
            for line, text in enumerate(file, 2):
                if not self.take(text.rstrip("\r\n").split(",")):
                    self.bad.append(line)

    def take(self, cells):
        """False for a row that is bad; rows of other contracts are nobody's."""
        if cells[0].lower() not in CONTRACTS:
            return True
        if len(cells) != self.columns:
            return False
        contract, sender, receiver, value, transaction, index = (cell.lower() for cell in cells[:6])
        if not re.fullmatch("[0-9]+", value) or int(value) > MOST:
            return False
        if not all(re.fullmatch("0x[0-9a-f]{40}", party) for party in (sender, receiver)):
            return False
        if int(value) == 0 or sender == receiver:
            return True
        if (transaction, index) in self.seen:
            return False
        self.seen.add((transaction, index))
        return self.move(CONTRACTS[contract], sender, receiver, int(value))

    def move(self, asset, sender, receiver, value):
        """What a sender lacks it must have had before the file began: it is minted for it first."""
        balances = self.balances[asset]
        minted = value if sender == ZERO else max(0, value - balances.get(sender, 0))
        collateral = minted * 10 ** (18 - ASSETS[asset])
        if self.issued + collateral > MOST or self.volumes[asset] + value > MOST:
            return False
        self.issued += collateral
        self.volumes[asset] += value
        if sender != ZERO:
            balances[sender] = max(0, balances.get(sender, 0) - value)
        if receiver != ZERO:
            balances[receiver] = balances.get(receiver, 0) + value
        return True


def importing(cluster, path, *more):
    """Starts an import; the caller waits for it, or kills it."""
    command = [cluster.exe("tim3ctl"), "--endpoint", cluster.front(), "--timeout", str(int(PATIENT)), "import-transfers", path,
               *MAPS, *more]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)


def import_all(cluster, path):
    """Imports to the end; returns what was printed about it."""
    process = importing(cluster, path)
    out, err = process.communicate(timeout=LONGEST)
    return check_verdict(process, out, err)


def check_verdict(process, out, err):
    """Rows that were not taken are no success, however well the balances agree."""
    verdict = "rows that were taken; the file has OTHERS" if "; not taken" in err else "all balances agree with the file"
    assert process.returncode == ("; not taken" in err) and verdict in out, f"exit {process.returncode}\n{out}\n{err[-2000:]}"
    return out + err


def state(cluster):
    """All that a second import must leave as it is."""
    client = cluster.client()
    found = {}
    for asset in ASSETS:
        balances = {item["account"]: number(item["balance"])
                    for item in cluster.pages(client, "token_manager." + asset, "ListBalances", {})}
        supply = client.ask("token_manager." + asset, "GetSupply", {})
        locks = client.ask("lock_manager." + asset, "GetLockTotals", {})
        found[asset] = balances, number(supply["supply"]), supply["event_seq"], locks["event_seq"]
    found["collateral"] = client.ask("mock_usda.USDA", "GetCollateralTotals", {})
    cluster.close(client)
    return found


def compare(cluster, book):
    """Ledgers against the file's arithmetic."""
    found = state(cluster)
    for asset in ASSETS:
        balances, supply = found[asset][:2]
        wanted = {account: units for account, units in book.balances[asset].items() if units}
        assert {account: units for account, units in balances.items() if units} == wanted, asset
        assert supply == sum(wanted.values()), asset
    cluster.audit()


def check_import(path):
    book = Book(path)
    assert all(book.balances.values()), f"nothing to import in {path}"
    with Cluster(ASSETS, coordinators=1) as cluster:
        said = import_all(cluster, path)
        compare(cluster, book)
        named = [int(line) for line in re.findall(r"^line ([0-9]+): .*not taken$", said, re.MULTILINE)]
        assert named == book.bad[:BAD_ROWS_NAMED], f"named {named}, bad are {book.bad}"
        before = state(cluster)
        import_all(cluster, path)
        assert state(cluster) == before, "a second import has changed something"
    accounts = sum(len(balances) for balances in book.balances.values())
    print(f"    {len(book.seen)} moves, {accounts} accounts, {len(book.bad)} bad rows", flush=True)


def test_generated_file():
    with Generated(3000, SEED) as path:
        check_import(path)


def test_a_contract_that_the_file_does_not_have():
    """What is mistyped is not compared, and nobody is told that it agrees."""
    with Generated(40, SEED) as path, Cluster(ASSETS, coordinators=1) as cluster:
        done = cluster.ctl("import-transfers", path, "--map", f"0x{'1' * 40}=TIM3", check=False)
        assert done.returncode == 1 and "NOTHING of TIM3 was compared" in done.stdout, done


def test_real_file():
    if not os.path.exists(REAL):
        print("    there is no real file beside the project: only the generated one is tried", flush=True)
        return
    check_import(REAL)


class Generated:
    """A file of transfers for the time of a test."""

    def __init__(self, rows, seed):
        self.path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"t3-transfers-{os.getpid()}.csv")
        generate(self.path, rows, seed)

    def __enter__(self):
        return self.path

    def __exit__(self, kind, value, trace):
        os.unlink(self.path)


def test_import_killed():
    """The tool itself is killed, each time when it has done something; the last run finds what is done, and does the rest.
    It keeps so little under way that it would take long."""
    rng = random.Random(SEED)
    with Generated(4000, SEED + 1) as path, Cluster(ASSETS, coordinators=1) as cluster:
        broken_off = place = 0
        for _ in range(8):
            process = importing(cluster, path, "--outstanding", "4")
            poll(lambda: process.poll() is not None or state(cluster)["TIM3"][2] > place, what="something to be imported")
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
            process.communicate()
            broken_off += process.returncode == -signal.SIGKILL
            place = state(cluster)["TIM3"][2]
        assert broken_off >= 4, f"only {broken_off} imports were broken off"
        import_all(cluster, path)
        compare(cluster, Book(path))


def test_workloads_one_after_another():
    """With the same seed, and at once: each has accounts of its own, for its books begin at zero."""
    with Cluster() as cluster:
        for _ in range(3):
            report = cluster.ctl_json("workload", "--operations", "200", "--accounts", "10")
            assert report["agrees"], report
        cluster.audit()


def test_agents_killed_while_importing():
    """Every agent dies in turn, again and again, until the import is done; then the import is repeated."""
    rng = random.Random(SEED)
    with Generated(4000, SEED + 2) as path, Cluster(ASSETS, coordinators=1) as cluster:
        process = importing(cluster, path, "--outstanding", "16")
        kills = 0
        for address in forever(list(cluster.commands), rng):
            if process.poll() is not None or kills == 100:
                break
            time.sleep(rng.uniform(0.02, 0.1))
            cluster.restart(address)
            kills += 1
        out, err = process.communicate(timeout=LONGEST)
        check_verdict(process, out, err)
        assert kills >= len(cluster.commands), f"only {kills} agents were killed meanwhile"
        compare(cluster, Book(path))
        before = state(cluster)
        import_all(cluster, path)
        assert state(cluster) == before, "a second import has changed something"
        print(f"    {kills} kills", flush=True)


def forever(items, rng):
    while True:
        rng.shuffle(items)
        yield from items


if __name__ == "__main__":
    harness.main()
