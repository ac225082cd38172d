"""A hostile coordinator against the ledgers: it holds a socket to every agent, says it is whoever it likes,
and tries all that could mint without collateral, do anything twice, or move a vault.

Each test asserts the refusal by its name, that no money moved where none may, and at the end that the books
of both assets balance. Where a test plays a holder of a key, it makes the receipt itself (tim3_wire.receipt).
"""
import contextlib
import itertools
import os
import random
import resource
import signal
import time

import msgpack
import zmq

from harness import Cluster, main, needs, poll
from tim3_wire import (BURN, NAMES, TYPES, VOID, Refused, amount, events_of, number, pack_events, receipt,
                       tx_id)

ASSETS = {"TIM3": 6, "TIME": 6}
SCALE = 10 ** 12  # units of collateral in a unit of either asset
ISSUED = 10 ** 9 * SCALE
no_wire = needs("split", "merged ledgers say nothing to each other over sockets, where another could answer")


class Attacker:
    """Connections to every agent, under any name."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.client = cluster.client()
        self.connections = {}

    def connection(self, sender, agent):
        if (sender, agent) not in self.connections:
            self.connections[sender, agent] = self.cluster.client(self.cluster.endpoint(agent), sender)
        return self.connections[sender, agent]

    def ask(self, sender, agent, kind, /, units=None, **body):
        """(name of the answer or refusal, its body), straight from the agent."""
        if units is not None:
            body["amount"] = amount(units)
        return self.connection(sender, agent).outcome(agent, kind, body)

    def locks(self, kind, asset="TIM3", sender=None, **body):
        return self.ask(sender or f"coordinator.{asset}.7", f"lock_manager.{asset}.0", kind, **body)

    def tokens(self, kind, asset="TIM3", sender=None, **body):
        return self.ask(sender or f"coordinator.{asset}.7", f"token_manager.{asset}.0", kind, **body)

    def usda(self, kind, sender="lock_manager.TIM3.0", **body):
        return self.ask(sender, "mock_usda.USDA.0", kind, **body)

    def key(self, name):
        with open(os.path.join(self.cluster.dir, "keys", name), "rb") as file:
            return file.read()

    def stats(self, address):
        items = self.ask("client", address, "Stats")[1]["metrics"]
        return {item["name"]: number(item["value"]) for item in items}

    def money(self):
        """Everything that an attack must not move."""
        found = {}
        pages = self.cluster.pages
        for asset in ASSETS:
            supply = self.client.ask("token_manager." + asset, "GetSupply", {})
            locks = self.client.ask("lock_manager." + asset, "GetLockTotals", {})
            found[asset] = [number(supply[name]) for name in ("supply", "minted", "burned", "releasing")]
            found[asset] += [number(locks[name]) for name in ("locked", "in_flight", "releasing")]
            found[asset] += [(item["account"], number(item["balance"]))
                             for item in pages(self.client, "token_manager." + asset, "ListBalances", {})]
        found["vaults"] = [(item["vault"], number(item["total"]))
                           for item in self.client.ask("mock_usda.USDA", "ListVaults", {})["items"]]
        found["holdings"] = [(item["account"], number(item["available"]))
                             for item in pages(self.client, "mock_usda.USDA", "ListHoldings", {})]
        return found

    def supply(self, asset="TIM3"):
        return number(self.client.ask("token_manager." + asset, "GetSupply", {})["supply"])

    def lock_state(self, tx):
        return self.ask("client", "lock_manager.TIM3.0", "GetLock", tx=tx)[1]["state"]

    # The steps of an honest coordinator, one at a time.
    def lock(self, tx, account, units, asset="TIM3"):
        return must("Locked", self.locks("Lock", asset, tx=tx, account=account, units=units))["receipt"]

    def mint(self, tx, account, units, lock, asset="TIM3"):
        return must("Minted", self.tokens("TokenMint", asset, tx=tx, account=account, units=units,
                                          receipt=lock))["receipt"]

    def settle(self, tx, account, units, mint, asset="TIM3"):
        must("Settled", self.locks("Settle", asset, tx=tx, account=account, units=units, receipt=mint))

    def burn(self, tx, account, units, asset="TIM3"):
        return must("Burned", self.tokens("TokenBurn", asset, tx=tx, account=account, units=units))["receipt"]

    def release(self, reason, tx, account, units, evidence, asset="TIM3"):
        return must("Released", self.locks("Release", asset, reason=reason, tx=tx, account=account,
                                           units=units, receipt=evidence))["receipt"]

    def give_up(self, tx, account, units, refusal):
        """Has a refused lock recorded as a mint that will never be."""
        body = dict(tx=tx, account=account, units=units)
        voided = must("Voided", self.tokens("ResolveRefused", code=20, receipt=refusal, **body))["receipt"]
        self.release(VOID, tx, account, units, voided)
        return voided

    def settle_burn(self, tx, account, units, release, asset="TIM3"):
        must("Settled", self.tokens("SettleBurn", asset, tx=tx, account=account, units=units,
                                    receipt=release))


# Every request that evidence makes work: the agent, the message, its own fields, the kind of receipt taken.
DOORS = [
    ("tokens", "TokenMint", {}, "lock"),
    ("tokens", "Resolve", dict(sender="lock_manager.TIM3.0"), "lock"),
    ("tokens", "ResolveRefused", dict(code=20), "refusal"),
    ("tokens", "SettleBurn", {}, "release"),
    ("locks", "Settle", {}, "mint"),
    ("locks", "Release", dict(reason=VOID), "void"),
    ("locks", "Release", dict(reason=BURN), "burn"),
]


def must(wanted, outcome):
    name, body = outcome
    assert name == wanted, (wanted, name, body)
    return body


def fresh():
    return os.urandom(16)


# For tests that leave work behind which their ledgers have to finish, or wait until they try to. In all others a sweep
# could come between two steps of a slow machine, and void what is to be minted.
SOON = 1500


@contextlib.contextmanager
def attack(sweep_ms=600000, sections=None):
    settings = dict(sweep_after_ms=sweep_ms, sweep_most_ms=sweep_ms, heartbeat_ms=200, retry_ms=100)
    sections = dict(dict(router=dict(answer_within_ms=60000)), **(sections or {}))
    with Cluster(ASSETS, settings=settings, sections=sections) as cluster:
        attacker = Attacker(cluster)
        for account in ("alice", "bob"):
            attacker.client.faucet(account, ISSUED, "f1")
            for asset in ASSETS:
                attacker.client.mint_anew(account, 1000, "m", asset)
        poll(lambda: settled(attacker), what="settled mints")
        yield attacker
        cluster.audit()
        for asset in ASSETS:
            assert attacker.stats(f"lock_manager.{asset}.0")["conflicts"] == 0


def settled(attacker):
    ask = attacker.client.ask
    return all(ask("lock_manager." + asset, "GetLockTotals", {})["unsettled"] == 0
               and ask("token_manager." + asset, "GetSupply", {})["unsettled"] == 0 for asset in ASSETS)


@contextlib.contextmanager
def nothing_moves(attacker):
    before = attacker.money()
    yield
    assert attacker.money() == before, (before, attacker.money())


def knock(attacker, door, evidence, asset="TIM3", **fields):
    """Tries one door with a receipt."""
    agent, kind, own, _ = door
    return getattr(attacker, agent)(kind, asset, **dict(own, receipt=evidence, **fields))


# ------------------------------------------------------------------------------------------- forged, replayed


def test_forged_receipts():
    with attack() as attacker:
        pending, minted, burned = fresh(), fresh(), fresh()
        lock = attacker.lock(pending, "alice", 10)
        mint = attacker.mint(minted, "alice", 10, attacker.lock(minted, "alice", 10))
        burn = attacker.burn(burned, "alice", 10)
        before = attacker.stats("token_manager.TIM3.0")["bad_receipts"]
        with nothing_moves(attacker):
            for door, tx in itertools.product(DOORS, (fresh(), pending, minted, burned)):
                for forged in (os.urandom(32), bytes(32), lock[:-1] + bytes([lock[-1] ^ 1])):
                    must("bad_receipt", knock(attacker, door, forged, tx=tx, account="alice", units=10))
        assert attacker.stats("token_manager.TIM3.0")["bad_receipts"] == before + 4 * 4 * 3
        attacker.settle(pending, "alice", 10, attacker.mint(pending, "alice", 10, lock))
        attacker.settle(minted, "alice", 10, mint)
        attacker.settle_burn(burned, "alice", 10, attacker.release(BURN, burned, "alice", 10, burn))


def test_forged_receipts_in_a_list():
    with attack() as attacker:
        pending, minted = fresh(), fresh()
        lock = attacker.lock(pending, "alice", 10)
        mint = attacker.mint(minted, "alice", 10, attacker.lock(minted, "alice", 10))
        ways = dict(account="alice", amount=amount(10))
        forged = [dict(ways, tx=tx, receipt=receipt) for tx in (pending, minted, fresh())
                  for receipt in (os.urandom(32), bytes(32), lock, mint[:-1] + bytes([mint[-1] ^ 1]))]
        forged += [dict(ways, tx=pending, receipt=mint), dict(ways, tx=minted, receipt=mint, amount=amount(11)),
                   dict(ways, tx=minted, receipt=mint, account="bob")]
        before = attacker.stats("lock_manager.TIM3.0")["bad_receipts"]
        with nothing_moves(attacker):
            assert must("SettledAll", attacker.locks("SettleAll", items=forged))["active"] == 0
        assert attacker.stats("lock_manager.TIM3.0")["bad_receipts"] == before + len(forged)
        good = dict(ways, tx=minted, receipt=mint)
        for _ in range(2):
            assert must("SettledAll", attacker.locks("SettleAll", items=forged + [good]))["active"] == 1
        attacker.settle(pending, "alice", 10, attacker.mint(pending, "alice", 10, lock))


def thrice(ask):
    """Asks three times: one and the same answer."""
    answers = [ask() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2], answers
    return answers[0]


def test_replayed_receipts():
    with attack() as attacker:
        tx, back, ways = fresh(), fresh(), dict(account="alice", units=100)
        before = attacker.supply()
        lock = must("Locked", thrice(lambda: attacker.locks("Lock", tx=tx, **ways)))["receipt"]
        minted = must("Minted", thrice(lambda: attacker.tokens("TokenMint", tx=tx, receipt=lock, **ways)))
        assert attacker.supply() == number(minted["supply"]) == before + 100
        must("Settled", thrice(lambda: attacker.locks("Settle", tx=tx, receipt=minted["receipt"], **ways)))
        held = attacker.client.holding("alice")
        burn = must("Burned", thrice(lambda: attacker.tokens("TokenBurn", tx=back, **ways)))["receipt"]
        assert attacker.supply() == before
        paid = must("Released", thrice(lambda: attacker.locks("Release", reason=BURN, tx=back, receipt=burn,
                                                              **ways)))["receipt"]
        assert attacker.client.holding("alice") == held + 100 * SCALE
        must("Settled", thrice(lambda: attacker.tokens("SettleBurn", tx=back, receipt=paid, **ways)))
        # and when all is long done
        with nothing_moves(attacker):
            attacker.lock(tx, "alice", 100)
            attacker.mint(tx, "alice", 100, lock)
            attacker.settle(tx, "alice", 100, minted["receipt"])
            attacker.burn(back, "alice", 100)
            attacker.release(BURN, back, "alice", 100, burn)
            attacker.settle_burn(back, "alice", 100, paid)


def test_altered_fields():
    with attack() as attacker:
        tx, back, refused = fresh(), fresh(), fresh()
        lock = attacker.lock(tx, "alice", 10)
        burn = attacker.burn(back, "alice", 10)
        refusal = must("LockRefused", attacker.locks("Lock", tx=refused, account="carol", units=10))
        of_lock, of_burn = (dict(tx=used, account="alice", units=10) for used in (tx, back))
        lies = [dict(units=11), dict(units=9), dict(units=(2 ** 128 - 1) // SCALE), dict(account="bob"),
                dict(account="alicf"), dict(tx=fresh())]
        with nothing_moves(attacker):
            for lie in lies:
                for door in DOORS[:2]:
                    must("bad_receipt", knock(attacker, door, lock, **{**of_lock, **lie}))
                must("bad_receipt", knock(attacker, DOORS[6], burn, **{**of_burn, **lie}))
            must("bad_receipt", knock(attacker, DOORS[5], burn, tx=back, account="alice", units=10))
            must("bad_receipt", attacker.tokens("ResolveRefused", tx=refused, account="carol", units=10,
                                                code=21, receipt=refusal["receipt"]))
        mint = attacker.mint(tx, "alice", 10, lock)
        with nothing_moves(attacker):
            for lie in lies:
                must("bad_receipt", knock(attacker, DOORS[4], mint, **{**of_lock, **lie}))
        attacker.settle(tx, "alice", 10, mint)
        attacker.settle_burn(back, "alice", 10, attacker.release(BURN, back, "alice", 10, burn))
        attacker.give_up(refused, "carol", 10, refusal["receipt"])


def test_cross_asset():
    with attack() as attacker:
        tx, back = fresh(), fresh()
        lock = attacker.lock(tx, "alice", 10)
        burn = attacker.burn(back, "alice", 10, "TIME")
        with nothing_moves(attacker):
            for door in DOORS[:2]:
                door = (door[0], door[1], dict(sender=door[2].get("sender", "").replace("TIM3", "TIME")),
                        door[3])
                must("bad_receipt", knock(attacker, door, lock, "TIME", tx=tx, account="alice", units=10))
            must("bad_receipt", knock(attacker, DOORS[6], burn, tx=back, account="alice", units=10))
        mint = attacker.mint(tx, "alice", 10, lock)
        paid = attacker.release(BURN, back, "alice", 10, burn, "TIME")
        with nothing_moves(attacker):
            must("bad_receipt", knock(attacker, DOORS[4], mint, "TIME", tx=tx, account="alice", units=10))
            must("bad_receipt", knock(attacker, DOORS[3], paid, tx=back, account="alice", units=10))
        attacker.settle(tx, "alice", 10, mint)
        attacker.settle_burn(back, "alice", 10, paid, "TIME")


def test_one_tx_at_both_assets():
    """Whoever uses up a tx at one asset must not be in the way of it at another."""
    with attack() as attacker:
        tx, back = fresh(), fresh()
        for asset in ASSETS:
            lock = attacker.lock(tx, "alice", 10, asset)
            attacker.settle(tx, "alice", 10, attacker.mint(tx, "alice", 10, lock, asset), asset)
            burn = attacker.burn(back, "alice", 7, asset)
            attacker.settle_burn(back, "alice", 7, attacker.release(BURN, back, "alice", 7, burn, asset),
                                 asset)
            assert attacker.supply(asset) == 2003


def test_assets_in_receipts():
    """Should two assets ever be given one key, the asset's name in the receipt still tells them apart."""
    with attack() as attacker:
        for asset, other in (("TIM3", "TIME"), ("TIME", "TIM3")):
            key, tx = attacker.key(asset + ".evidence"), fresh()
            with nothing_moves(attacker):
                for name in (other, asset[:3], asset + "3", ""):
                    forged = receipt(key, "lock", name, tx, "alice", 10)
                    must("bad_receipt", attacker.tokens("TokenMint", asset, tx=tx, account="alice", units=10,
                                                        receipt=forged))
            right = receipt(key, "lock", asset, tx, "alice", 10)
            assert attacker.lock(tx, "alice", 10, asset) == right
            attacker.settle(tx, "alice", 10, attacker.mint(tx, "alice", 10, right, asset), asset)


# --------------------------------------------------------------------------------- one kind used as another


def gather(attacker):
    """All evidence there can be about one tx, account and amount: {case: (tx, account, {kind: receipt})}."""
    redeemed, minted, refused = fresh(), fresh(), fresh()
    of_redeemed = dict(burn=attacker.burn(redeemed, "alice", 10))
    of_redeemed["release"] = attacker.release(BURN, redeemed, "alice", 10, of_redeemed["burn"])
    of_redeemed["lock"] = attacker.lock(redeemed, "alice", 10)
    voided = must("Voided", attacker.tokens("TokenMint", tx=redeemed, account="alice", units=10,
                                            receipt=of_redeemed["lock"]))
    assert voided["code"] == 30
    of_redeemed["void"] = voided["receipt"]
    of_redeemed["release of a void"] = attacker.release(VOID, redeemed, "alice", 10, of_redeemed["void"])
    of_minted = dict(lock=attacker.lock(minted, "alice", 10))
    of_minted["mint"] = attacker.mint(minted, "alice", 10, of_minted["lock"])
    refusal = must("LockRefused", attacker.locks("Lock", tx=refused, account="carol", units=10))
    assert refusal["code"] == 20
    of_refused = dict(refusal=refusal["receipt"])
    of_refused["void"] = attacker.give_up(refused, "carol", 10, of_refused["refusal"])
    return dict(redeemed=(redeemed, "alice", of_redeemed), minted=(minted, "alice", of_minted),
                refused=(refused, "carol", of_refused))


def test_one_kind_used_as_another():
    with attack() as attacker:
        cases = gather(attacker)
        with nothing_moves(attacker):
            for tx, account, evidence in cases.values():
                for door, (kind, mac) in itertools.product(DOORS, evidence.items()):
                    if kind != door[3]:
                        must("bad_receipt", knock(attacker, door, mac, tx=tx, account=account, units=10))
        for tx, account, evidence in cases.values():
            for door, (kind, mac) in itertools.product(DOORS, evidence.items()):
                if kind == door[3]:
                    name, _ = knock(attacker, door, mac, tx=tx, account=account, units=10)
                    assert name in ("Minted", "Voided", "Settled", "Released"), (door, kind, name)


def test_release_of_a_minted_lock():
    with attack() as attacker:
        cases = gather(attacker)
        tx, account, evidence = cases["minted"]
        seen = [mac for _, _, macs in cases.values() for mac in macs.values()]
        refusals = 0
        for attempt in ("pending", "active"):
            with nothing_moves(attacker):
                for mac, door in itertools.product(seen, (DOORS[5], DOORS[6])):
                    must("bad_receipt", knock(attacker, door, mac, tx=tx, account=account, units=10))
                    refusals += 1
                for mac in seen:
                    must("bad_receipt", attacker.usda("VaultUnlock", vault="TIM3", reason=VOID, tx=tx,
                                                      account=account, units=10 * SCALE, receipt=mac))
                # asked to decide now, the token ledger stands by its mint
                must("Minted", knock(attacker, DOORS[1], evidence["lock"], tx=tx, account=account, units=10))
            if attempt == "pending":
                attacker.settle(tx, account, 10, evidence["mint"])
        assert refusals == 2 * 2 * len(seen) and attacker.lock_state(tx) == 4
        tx, account, evidence = cases["redeemed"]
        attacker.settle_burn(tx, account, 10, evidence["release"])


def test_mint_of_a_released_lock():
    with attack() as attacker:
        with nothing_moves(attacker):
            tx = fresh()
            lock = attacker.lock(tx, "alice", 10)
            voided = must("Voided", knock(attacker, DOORS[1], lock, tx=tx, account="alice", units=10))
            attacker.release(VOID, tx, "alice", 10, voided["receipt"])
        with nothing_moves(attacker):
            for _ in range(3):
                again = must("Voided", attacker.tokens("TokenMint", tx=tx, account="alice", units=10,
                                                       receipt=lock))
                assert again == voided and again["code"] == 24
                # the lock's own answer is as before, and worth as little
                assert attacker.lock(tx, "alice", 10) == lock
                attacker.release(VOID, tx, "alice", 10, voided["receipt"])
        assert attacker.lock_state(tx) == 6


# ------------------------------------------------------------------------------------------------- vaults


def vault_macs(attacker, kind, tx, units, reason):
    """What an outsider can come up with: noise, and right claims under every key but the right one."""
    claim = ("TIM3", tx, "alice", units, reason)
    yield os.urandom(32)
    for key in ("TIME.vault", "TIM3.evidence", "TIME.evidence"):
        yield receipt(attacker.key(key), kind, *claim)


def test_vaults_move_for_their_lock_manager_alone():
    with attack() as attacker:
        attacker.cluster.sound = False
        tx, key = fresh(), attacker.key("TIM3.vault")
        moves = [("VaultLock", "vault_lock", 0), ("VaultUnlock", "vault_unlock", VOID),
                 ("VaultUnlock", "vault_unlock", BURN)]
        with nothing_moves(attacker):
            for message, kind, reason in moves:
                body = dict(vault="TIM3", reason=reason, tx=tx, account="alice", units=5)
                for mac in vault_macs(attacker, kind, tx, 5, reason):
                    must("bad_receipt", attacker.usda(message, receipt=mac, **body))
                right = receipt(key, kind, "TIM3", tx, "alice", 5, reason)
                for lie in (dict(vault="TIME"), dict(vault="SPACE"), dict(units=6), dict(account="bob"),
                            dict(tx=fresh())):
                    must("bad_receipt", attacker.usda(message, receipt=right, **dict(body, **lie)))
                for sender in ("coordinator.TIM3.7", "token_manager.TIM3.0", "client", "nobody"):
                    must("not_allowed", attacker.usda(message, sender, receipt=right, **body))
            unlock = receipt(key, "vault_unlock", "TIM3", tx, "alice", 5, VOID)
            must("bad_receipt", attacker.usda("VaultUnlock", vault="TIM3", reason=BURN, tx=tx,
                                              account="alice",
                                              units=5, receipt=unlock))
            must("bad_receipt", attacker.usda("VaultLock", vault="TIM3", tx=tx, account="alice", units=5,
                                              receipt=unlock))
            # its answers are no requests
            for kind in ("vault_locked", "vault_unlocked", "vault_refused"):
                mac = receipt(key, kind, "TIM3", tx, "alice", 5, VOID)
                must("bad_receipt", attacker.usda("VaultUnlock", vault="TIM3", reason=VOID, tx=tx,
                                                  account="alice", units=5, receipt=mac))
        with nothing_moves(attacker):  # who does hold the key moves it, there and back
            body = dict(vault="TIM3", tx=tx, account="alice", units=5)
            lock = receipt(key, "vault_lock", "TIM3", tx, "alice", 5)
            held = attacker.client.holding("alice")
            must("VaultLocked", thrice(lambda: attacker.usda("VaultLock", receipt=lock, **body)))
            assert attacker.client.holding("alice") == held - 5
            must("id_reused", attacker.usda("VaultLock", receipt=receipt(key, "vault_lock", "TIM3", tx,
                                                                         "alice", 6),
                                            **dict(body, units=6)))
            must("VaultUnlocked", thrice(lambda: attacker.usda("VaultUnlock", reason=VOID, receipt=unlock,
                                                               **body)))
            more = receipt(key, "vault_unlock", "TIM3", tx, "alice", 6, VOID)
            must("id_reused", attacker.usda("VaultUnlock", reason=VOID, receipt=more, **dict(body, units=6)))
            assert attacker.client.holding("alice") == held


# ------------------------------------------------------------------------------------------- forged answers


def send_forged(attacker, sender, to, kind, units, **body):
    """An answer that nobody asked for gets none; a question behind it shows that it was taken."""
    connection = attacker.connection(sender, to)
    identity = connection.send(to, kind, dict(body, amount=amount(units)))
    connection.outcome(to, "Info", {})
    assert identity not in connection.inbox, connection.inbox


def test_forged_answers():
    """Even with a right receipt: what counts came over a connection that the agent made itself."""
    usda, tokens, locks = "mock_usda.USDA.0", "token_manager.TIM3.0", "lock_manager.TIM3.0"
    with attack() as attacker:
        evidence, vault = attacker.key("TIM3.evidence"), attacker.key("TIM3.vault")
        pending, burned, requested = fresh(), fresh(), fresh()
        noise = dict(balance=amount(0), supply=amount(0), time_us=0)
        lock, burn = attacker.lock(pending, "alice", 10), attacker.burn(burned, "alice", 10)
        strays = attacker.stats(locks)["stray_answers"], attacker.stats(tokens)["stray_answers"]
        for key in (os.urandom(32), evidence):
            claim = ("TIM3", pending, "alice", 10)
            body = dict(tx=pending, account="alice", units=10)
            send_forged(attacker, tokens, locks, "Minted", receipt=receipt(key, "mint", *claim), **noise,
                        **body)
            send_forged(attacker, tokens, locks, "Voided", receipt=receipt(key, "void", *claim), code=24,
                        **body)
            paid = receipt(key, "release", "TIM3", burned, "alice", 10, BURN)
            send_forged(attacker, locks, tokens, "Released", reason=BURN, tx=burned, account="alice",
                        units=10,
                        receipt=paid)
        assert attacker.lock_state(pending) == 2
        assert attacker.ask("client", tokens, "GetRecord", tx=burned)[1]["status"] == 1
        attacker.cluster.kill(usda)
        attacker.connection("coordinator.TIM3.7", locks).send(
            locks, "Lock", dict(tx=requested, account="alice", amount=amount(10)))
        poll(lambda: attacker.ask("client", locks, "GetLock", tx=requested)[0] == "LockItem")
        move = dict(vault="TIM3", tx=requested, account="alice", units=10 * SCALE)
        for key in (os.urandom(32), vault):
            claim = ("TIM3", requested, "alice", 10 * SCALE)
            send_forged(attacker, usda, locks, "VaultLocked", receipt=receipt(key, "vault_locked", *claim),
                        **move)
            send_forged(attacker, usda, locks, "VaultRefused", code=20,
                        receipt=receipt(key, "vault_refused", *claim, 20), **move)
            send_forged(attacker, usda, locks, "VaultUnlocked", reason=BURN,
                        receipt=receipt(key, "vault_unlocked", *claim, BURN), **move)
        assert attacker.lock_state(requested) == 1
        one = attacker.cluster.process(locks) is attacker.cluster.process(tokens)  # then they count together
        assert attacker.stats(locks)["stray_answers"] == strays[0] + 2 * 5 + one * 2
        assert attacker.stats(tokens)["stray_answers"] == strays[1] + 2 + one * 2 * 5
        attacker.cluster.start(usda)
        for tx, receipt_of_lock in ((pending, lock), (requested, attacker.lock(requested, "alice", 10))):
            attacker.settle(tx, "alice", 10, attacker.mint(tx, "alice", 10, receipt_of_lock))
        attacker.settle_burn(burned, "alice", 10, attacker.release(BURN, burned, "alice", 10, burn))


def test_forged_answers_to_coordinators():
    """A client is never told of a mint that did not happen."""
    with attack() as attacker:
        attacker.cluster.kill("lock_manager.TIM3.0")
        shards = [shard for shard in (0, 1) if attacker.cluster.running(f"coordinator.TIM3.{shard}")]
        assert 1 in shards
        client = attacker.cluster.client(sender="client")
        body = dict(account="alice", amount=amount(10), request_id="forged")
        tx = tx_id("TIM3", "alice", "forged")
        asked = [client.send(f"coordinator.TIM3.{shard}", "Mint", body, "alice") for shard in shards]
        for shard in shards:
            to = f"coordinator.TIM3.{shard}"
            send_forged(attacker, "lock_manager.TIM3.0", to, "Locked", tx=tx, account="alice", units=10,
                        receipt=bytes(32))
            send_forged(attacker, "token_manager.TIM3.0", to, "Minted", tx=tx, account="alice", units=10,
                        balance=amount(10), supply=amount(10), time_us=1, receipt=bytes(32))
            assert attacker.stats(to)["stray_answers"] == 2
        client.receive(0.2)
        assert not client.inbox, client.inbox
        attacker.cluster.start("lock_manager.TIM3.0")
        answers = [client.answer(identity) for identity in asked]
        assert answers[0] == answers[-1] and answers[0][0] == TYPES["Transaction"], answers


@needs("merged", "a split ledger's process runs one core alone")
def test_a_peer_under_the_name_of_a_core():
    """The cores of one process know each other by names that a connection can choose, too. Under that of a coordinator, what the
    ledgers answer to it would be taken for the outcome of a client's request, which here waits for another shard."""
    here, there = "TIM3.0", "TIM3.1"
    with Cluster(asset_settings=dict(shards=2), coordinators=2) as cluster:
        client, coordinator = cluster.client(), "coordinator." + here
        client.faucet("dave", ISSUED, "f1")
        client.mint_anew("dave", 1000, "m")
        other = cluster.process("coordinator." + there)
        attacker = cluster.client(cluster.endpoint(coordinator), "coordinator.TIM3.9", routing_id=bytes(2))
        attacker.ids = itertools.count(2 ** 62)  # later than any question of the coordinator's

        def attack_on(kind, body, forged_kind, forged):
            other.send_signal(signal.SIGSTOP)
            asked = client.send(coordinator, kind, body, "dave")
            client.ask(coordinator, "GetTransaction", dict(account="dave", request_id=body["request_id"]))
            attacker.send("token_manager." + here, forged_kind, dict(forged, tx=tx_id("TIM3", "dave", body["request_id"])))
            client.receive(0.5)
            assert not client.inbox, client.inbox
            other.send_signal(signal.SIGCONT)
            return client.answer(asked)

        # what a shard refuses that has no say in it: the client would be told that it failed for ever
        redeem = dict(account="dave", amount=amount(10), request_id="r1")
        told = attack_on("Redeem", redeem, "TokenBurn", dict(account="dave", amount=amount(10)))
        assert told[0] == TYPES["Transaction"], told
        # another transfer, which does happen: the client would be told that its own has
        client.faucet("alice", ISSUED, "f1")
        client.mint_anew("alice", 1000, "m")
        client.ask("token_manager." + there, "Control", dict(control=3, account="dave", request_id="freeze"))
        transfer = dict(account="dave", to="bob", amount=amount(500), request_id="t1")
        told = attack_on("Transfer", transfer, "TokenTransfer", dict(account="alice", to="bob", amount=amount(1)))
        assert told[1].get("name") == "account_frozen", told
        cluster.audit()


class Impostor:
    """Sits where a killed agent was, and answers those who connect there: lies says with what, by request."""

    def __init__(self, cluster, address, lies):
        self.cluster, self.address, self.lies = cluster, address, lies
        self.told = 0

    def __enter__(self):
        self.cluster.kill(self.address)
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(self.cluster.endpoint(self.address))
        return self

    def __exit__(self, *exception):
        self.socket.close()
        self.context.term()
        self.cluster.start(self.address)

    def answer(self, peer, envelope):
        kind, identity, sender, trace, body = (envelope[place] for place in (1, 2, 3, 7, 9))
        for name, lie in self.lies.get(NAMES.get(kind), lambda body: [])(body):
            self.told += 1
            self.socket.send_multipart([peer, msgpack.packb([1, TYPES[name], self.told, self.address, sender,
                                                             1,
                                                             identity, trace, {}, dict(body, **lie)])])

    def lie_until(self, done):
        def told_and_done():
            for _ in range(100):  # those who report all the time leave no pause
                if not self.socket.poll(50):
                    break
                peer, frame = self.socket.recv_multipart()
                unpacker = msgpack.Unpacker(raw=False)
                unpacker.feed(frame)
                for envelope in unpacker:
                    self.answer(peer, envelope)
            return done()
        poll(told_and_done, what="lies to be told")

    def lie_to(self, stats, count):
        """Until the one lied to has refused that many."""
        before = stats()["bad_receipts"]
        assert before == 0, before
        self.lie_until(lambda: self.told >= count and stats()["bad_receipts"] >= self.told)


def false_receipts(attacker, names, claim):
    """Noise, and the right claim under wrong keys."""
    yield os.urandom(32)
    for name in names:
        yield receipt(attacker.key(name), *claim)


def test_impostor_of_the_collateral_token():
    """Who answers in its place is not believed: nothing gets locked or released by word of mouth."""
    locks, usda = "lock_manager.TIM3.0", "mock_usda.USDA.0"

    def lies(*kinds):
        def of(body):
            claim = ("TIM3", body["tx"], body["account"], number(body["amount"]))
            for name, kind, extra in kinds:
                for mac in false_receipts(attacker, ("TIME.vault", "TIM3.evidence"), (kind, *claim, extra)):
                    yield name, dict(receipt=mac, code=20)
                # right keys, wrong kinds, vaults and amounts
                for wrong in (("vault_lock", *claim, extra), (kind, "TIME", *claim[1:], extra),
                              (kind, *claim[:3], claim[3] + 1, extra)):
                    yield name, dict(receipt=receipt(attacker.key("TIM3.vault"), *wrong), code=20)
        return of
    with attack(SOON) as attacker:
        requested, burned = fresh(), fresh()
        told = dict(VaultLock=lies(("VaultLocked", "vault_locked", 0), ("VaultRefused", "vault_refused", 20)),
                    VaultUnlock=lies(("VaultUnlocked", "vault_unlocked", BURN)))
        with Impostor(attacker.cluster, usda, told) as impostor:
            burn = attacker.burn(burned, "alice", 10)
            connection = attacker.connection("coordinator.TIM3.7", locks)
            body = dict(account="alice", amount=amount(10))
            connection.send(locks, "Lock", dict(body, tx=requested))
            connection.send(locks, "Release", dict(body, tx=burned, reason=BURN, receipt=burn))
            impostor.lie_to(lambda: attacker.stats(locks), 18)
            assert attacker.lock_state(requested) == 1 and attacker.lock_state(burned) == 5


@no_wire
def test_impostor_of_the_token_ledger():
    locks, tokens = "lock_manager.TIM3.0", "token_manager.TIM3.0"

    def lies(body):
        claim = ("TIM3", body["tx"], body["account"], number(body["amount"]))
        for name, kind in (("Minted", "mint"), ("Voided", "void")):
            for mac in false_receipts(attacker, ("TIME.evidence", "TIM3.vault"), (kind, *claim)):
                yield name, dict(receipt=mac, code=24, balance=amount(0), supply=amount(0), time_us=0)
            yield name, dict(receipt=body["receipt"], code=24, balance=amount(0), supply=amount(0), time_us=0)
            yield name, dict(receipt=other, code=24, balance=amount(0), supply=amount(0), time_us=0)
    with attack(SOON) as attacker:
        tx, voided = fresh(), fresh()
        lock = attacker.lock(voided, "alice", 10)
        other = must("Voided", knock(attacker, DOORS[1], lock, tx=voided, account="alice",
                                     units=10))["receipt"]
        attacker.release(VOID, voided, "alice", 10, other)
        with Impostor(attacker.cluster, tokens, dict(Resolve=lies)) as impostor:
            attacker.lock(tx, "alice", 10)
            impostor.lie_to(lambda: attacker.stats(locks), 10)
            assert attacker.lock_state(tx) == 2


@no_wire
def test_impostor_of_the_collateral_ledger():
    locks, tokens = "lock_manager.TIM3.0", "token_manager.TIM3.0"

    def lies(body):
        claim = (body["tx"], body["account"], number(body["amount"]))
        for mac in false_receipts(attacker, ("TIME.evidence", "TIM3.vault"), ("release", "TIM3", *claim,
                                                                              BURN)):
            yield "Released", dict(receipt=mac)
        for wrong in (("burn", "TIM3", *claim), ("release", "TIME", *claim, BURN), ("release", "TIM3",
                                                                                    *claim, VOID)):
            yield "Released", dict(receipt=receipt(attacker.key("TIM3.evidence"), *wrong))
        yield "Released", dict(receipt=body["receipt"])
    with attack(SOON) as attacker:
        tx = fresh()
        with Impostor(attacker.cluster, locks, dict(Release=lies)) as impostor:
            attacker.burn(tx, "alice", 10)
            impostor.lie_to(lambda: attacker.stats(tokens), 7)
            assert attacker.ask("client", tokens, "GetRecord", tx=tx)[1]["status"] == 1


def test_impostor_speaks_for_the_router():
    """What is told of the registry and of the event log counts from the router alone."""
    locks, usda = "lock_manager.TIM3.0", "mock_usda.USDA.0"

    def lies(_):
        yield "Error", dict(code=44, name="superseded", text="stop", advice="final", request=140)
        yield "Published", dict(source=locks, seq=6)
        yield "Registered", dict(generation=1)
        yield "Agents", dict(generation=1, items=[])
    with attack(SOON) as attacker:
        attacker.cluster.kill("router.-.0")
        tx = fresh()
        attacker.lock(fresh(), "alice", 10)  # an event, which waits for the router
        with Impostor(attacker.cluster, usda, dict(VaultLock=lies, VaultUnlock=lies)) as impostor:
            burn = attacker.burn(tx, "alice", 10)
            attacker.connection("coordinator.TIM3.7", locks).send(locks, "Release", dict(
                reason=BURN, tx=tx, account="alice", amount=amount(10), receipt=burn))
            impostor.lie_until(lambda: impostor.told >= 8)
            assert attacker.stats(locks)["events_waiting"] > 0
        assert attacker.cluster.running(locks)
        attacker.cluster.start("router.-.0")


class FalseRegistry(Impostor):
    """Registers everyone, and lists itself at a place where nobody listens; knows who has been told so."""

    def __init__(self, cluster):
        items = cluster.client().ask("router.-", "List", {})["items"]
        for item in items:
            if item["name"] == "router.-.0":
                item["endpoint"] = f"ipc://{cluster.dir}/run/gone.sock"
        super().__init__(cluster, "router.-.0", dict(
            Register=lambda _: [("Registered", dict(generation=1))],
            Heartbeat=lambda _: [("Registered", dict(generation=1))],
            List=lambda _: [("Agents", dict(generation=1, items=items))]))
        self.misled, self.back = set(), set()

    def answer(self, peer, envelope):
        kind, sender = NAMES[envelope[1]], envelope[3]
        if kind == "List":
            self.misled.add(sender)
        elif kind == "Heartbeat" and sender in self.misled:
            self.back.add(sender)
        super().answer(peer, envelope)


def test_registry_that_lists_itself_elsewhere():
    """As one does whose store was restored into another folder, to those who register before it: agents stay with it."""
    with attack() as attacker:
        cluster = attacker.cluster
        agents = set(cluster.commands) - {"router.-.0"}
        with FalseRegistry(cluster) as registry:
            registry.lie_until(lambda: agents <= registry.misled)
            registry.back.clear()
            registry.lie_until(lambda: agents <= registry.back)
        cluster.wait_ready()


# ---------------------------------------------------------------------------------------------------- races


def race(attacker, agent, kind, bodies):
    """Two connections ask the same of one agent, in different orders and all at once."""
    sides = [attacker.connection(f"coordinator.TIM3.{7 + side}", agent) for side in (0, 1)]
    asked = []
    for side in sides:
        order = random.sample(range(len(bodies)), len(bodies))
        asked.append({place: side.send(agent, kind, bodies[place]) for place in order})
    for place in range(len(bodies)):
        first, second = (side.answer(ids[place]) for side, ids in zip(sides, asked))
        assert first == second, (first, second)
        yield first[1]


def test_two_hostile_coordinators_race():
    locks, tokens, many = "lock_manager.TIM3.0", "token_manager.TIM3.0", 200
    with attack() as attacker:
        before, held = attacker.supply(), attacker.client.holding("alice")
        bodies = [dict(tx=fresh(), account="alice", amount=amount(3)) for _ in range(many)]
        asks = [dict(body, receipt=answer["receipt"])
                for body, answer in zip(bodies, race(attacker, locks, "Lock", bodies))]
        asks = [dict(body, receipt=answer["receipt"])
                for body, answer in zip(bodies, race(attacker, tokens, "TokenMint", asks))]
        for answer in race(attacker, locks, "Settle", asks):
            assert answer["state"] == 4, answer
        assert attacker.supply() == before + 3 * many
        assert attacker.client.holding("alice") == held - 3 * many * SCALE
        burns = [dict(tx=fresh(), account="alice", amount=amount(2)) for _ in range(many)]
        asks = [dict(body, reason=BURN, receipt=answer["receipt"])
                for body, answer in zip(burns, race(attacker, tokens, "TokenBurn", burns))]
        asks = [dict(body, receipt=answer["receipt"])
                for body, answer in zip(burns, race(attacker, locks, "Release", asks))]
        list(race(attacker, tokens, "SettleBurn", asks))
        assert attacker.supply() == before + many
        assert attacker.client.holding("alice") == held - many * SCALE


def both_coordinators(client, kind, bodies):
    """The same requests to both real coordinators, through the front; their answers, in pairs."""
    asked = [[client.send(f"coordinator.TIM3.{shard}", kind, body, body["account"]) for shard in order]
             for body, order in ((body, random.sample((0, 1), 2)) for body in bodies)]
    return [[client.answer(identity) for identity in pair] for pair in asked]


def test_two_real_coordinators_race():
    many = 100
    with attack() as attacker:
        client, before = attacker.cluster.client(), attacker.supply()
        bodies = [dict(account="alice", amount=amount(5), request_id=f"race-{i}") for i in range(many)]
        effects = (("Mint", 5 * many), ("Transfer", 5 * many), ("Redeem", 0))
        for kind, supply in effects:
            if kind == "Transfer":
                asks = [dict(body, to="dora", request_id=body["request_id"] + "t") for body in bodies]
            elif kind == "Redeem":
                asks = [dict(body, account="dora", request_id=body["request_id"] + "r") for body in bodies]
            else:
                asks = bodies
            for first, second in both_coordinators(client, kind, asks):
                assert first == second and first[0] == TYPES["Transaction"], (first, second)
            assert attacker.supply() == before + supply, kind
        assert client.balance("alice") == 1000 and client.balance("dora") == 0


def test_coordinators_disagree():
    """One request id, two amounts or two kinds, at two coordinators at once: never both."""
    with attack() as attacker:
        client, before = attacker.cluster.client(), attacker.supply()
        minted = redeemed = 0
        for i in range(60):
            second = ("Mint", 7) if i % 2 else ("Redeem", 7)
            asks = [("Mint", 5, 0), (*second, 1)]
            random.shuffle(asks)
            sent = [(kind, units, client.send(f"coordinator.TIM3.{shard}", kind, dict(
                account="alice", amount=amount(units), request_id=f"d-{i}"), "alice"))
                for kind, units, shard in asks]
            done = []
            for kind, units, identity in sent:
                answer, body = client.answer(identity)
                if answer == TYPES["Error"]:
                    assert body["name"] == "id_reused", body
                else:
                    done.append(kind)
                    minted += units if kind == "Mint" else 0
                    redeemed += units if kind == "Redeem" else 0
            assert len(done) == 1, (i, done)
        assert attacker.supply() == before + minted - redeemed


def test_two_requests_under_one_id():
    """In one frame to one coordinator: the second is not taken for the first while that is under way."""
    with attack() as attacker:
        client, ask = attacker.cluster.client(), dict(account="alice", amount=amount(5))
        seconds = [("Mint", dict(ask, amount=amount(7))), ("Redeem", ask), ("Transfer", dict(ask, to="bob"))]
        for first, (place, (second, other)) in itertools.product(("Mint", "Redeem", "Transfer"),
                                                                 enumerate(seconds)):
            own = dict(ask, request_id=f"{first}-{place}", **(dict(to="dora") if first == "Transfer" else {}))
            frame = [client.envelope("coordinator.TIM3.0", kind, dict(body, request_id=own["request_id"]))
                     for kind, body in ((first, own), (second, other))]
            if first == second == "Redeem":
                continue
            client.socket.send(b"".join(data for _, data in frame))
            done, not_done = (client.answer(identity) for identity, _ in frame)
            assert done[0] == TYPES["Transaction"], done
            name = not_done[1].get("name")
            if name == "not_ready":
                try:
                    name = client.ask("coordinator.TIM3.0", second, dict(other, request_id=own["request_id"]))
                except Refused as refusal:
                    name = refusal.name
            assert name == "id_reused", not_done
        assert client.balance("alice") == 1000 + 3 * 5 - 2 * 5 - 3 * 5 and client.balance("dora") == 15


def test_resolve_races_mint():
    """The lock manager asks about a lock while a coordinator mints it: minted or voided, never both."""
    tokens = "token_manager.TIM3.0"
    with attack() as attacker:
        before, held, minted = attacker.supply(), attacker.client.holding("alice"), 0
        minting = attacker.connection("coordinator.TIM3.7", tokens)
        voiding = attacker.connection("lock_manager.TIM3.0", tokens)
        for i in itertools.count():
            if i >= 50 and 0 < minted < 10 * i:
                break  # each side has won some
            assert i < 1000, "the race was no race"
            tx = fresh()
            body = dict(tx=tx, account="alice", amount=amount(10))
            body["receipt"] = attacker.lock(tx, "alice", 10)
            asks = [(minting, "TokenMint"), (voiding, "Resolve")] * (1 + i % 3)
            random.shuffle(asks)
            sent = []
            for connection, kind in asks:
                sent.append((connection, connection.send(tokens, kind, body)))
                time.sleep(random.choice((0, 0, 0.0002)))
            answers = [connection.answer(identity) for connection, identity in sent]
            assert all(answer == answers[0] for answer in answers), answers
            kind, answer = answers[0]
            if kind == TYPES["Minted"]:
                minted += 10
                attacker.settle(tx, "alice", 10, answer["receipt"])
            else:
                assert kind == TYPES["Voided"]
                attacker.release(VOID, tx, "alice", 10, answer["receipt"])
        assert attacker.supply() == before + minted
        assert attacker.client.holding("alice") == held - minted * SCALE


# ------------------------------------------------------------------------------------------------- reused ids


def refused(name, ask, *arguments):
    try:
        answer = ask(*arguments)
    except Refused as refusal:
        assert refusal.name == name, (name, refusal.body)
        return refusal.body
    raise AssertionError((name, answer))


def test_reused_ids_at_the_ledgers():
    with attack() as attacker:
        key, tx, back, move = attacker.key("TIM3.evidence"), fresh(), fresh(), fresh()
        lock = attacker.lock(tx, "alice", 10)
        mint = attacker.mint(tx, "alice", 10, lock)
        attacker.settle(tx, "alice", 10, mint)
        burn = attacker.burn(back, "alice", 10)
        attacker.settle_burn(back, "alice", 10, attacker.release(BURN, back, "alice", 10, burn))
        must("Transferred", attacker.tokens("TokenTransfer", tx=move, account="alice", to="bob", units=10))
        with nothing_moves(attacker):
            for lie in (dict(units=11), dict(account="bob")):
                fields = dict(dict(account="alice", units=10), **lie)
                claim = ("TIM3", tx, fields["account"], fields["units"])
                must("id_reused", attacker.locks("Lock", tx=tx, **fields))
                must("id_reused", attacker.tokens("TokenBurn", tx=back, **fields))
                must("id_reused", attacker.tokens("TokenTransfer", tx=move, to="carol", **fields))
                # with receipts as only a key-holder could make them
                for door in DOORS[:2]:
                    must("id_reused", knock(attacker, door, receipt(key, "lock", *claim), tx=tx, **fields))
                must("id_reused", knock(attacker, DOORS[4], receipt(key, "mint", *claim), tx=tx, **fields))
                must("id_reused", knock(attacker, DOORS[5], receipt(key, "void", *claim), tx=tx, **fields))
                paid = receipt(key, "burn", "TIM3", back, *claim[2:])
                must("id_reused", knock(attacker, DOORS[6], paid, tx=back, **fields))
            must("id_reused", attacker.tokens("TokenTransfer", tx=move, account="alice", to="carol",
                                              units=10))
            # a tx that took another way
            for used, kinds in ((tx, ("TokenBurn", "TokenTransfer")), (back, ("TokenTransfer",)),
                                (move, ("TokenBurn",))):
                for kind in kinds:
                    receiver = dict(to="bob") if kind == "TokenTransfer" else {}
                    must("id_reused", attacker.tokens(kind, tx=used, account="alice", units=10, **receiver))


def test_reused_ids_at_the_front():
    with attack() as attacker:
        client = attacker.client
        client.mint("alice", 10, "r1")
        client.redeem("alice", 5, "r2")
        client.transfer("alice", "bob", 5, "r3")
        client.ask("mock_usda.USDA", "CollateralTransfer", dict(account="alice", to="bob", amount=5,
                                                                request_id="r4"))
        client.ask("token_manager.TIM3", "Control", dict(control=5, amount=10 ** 9, request_id="r5"))
        poll(lambda: settled(attacker), what="settled locks")
        with nothing_moves(attacker):
            refused("id_reused", client.mint, "alice", 11, "r1")
            refused("id_reused", client.redeem, "alice", 6, "r2")
            refused("id_reused", client.transfer, "alice", "bob", 6, "r3")
            refused("id_reused", client.transfer, "alice", "carol", 5, "r3")
            refused("id_reused", client.faucet, "alice", 1, "f1")
            moved = dict(account="alice", to="bob", amount=6, request_id="r4")
            refused("id_reused", client.ask, "mock_usda.USDA", "CollateralTransfer", moved)
            refused("id_reused", client.ask, "mock_usda.USDA", "CollateralTransfer", dict(moved, to="carol"))
            refused("id_reused", client.faucet, "alice", 5, "r4")
            for control in (dict(control=5, amount=1), dict(control=1), dict(control=3, account="alice")):
                refused("id_reused", client.ask, "token_manager.TIM3", "Control", dict(control,
                                                                                       request_id="r5"))
            # across kinds
            refused("id_reused", client.redeem, "alice", 10, "r1")
            refused("id_reused", client.transfer, "alice", "bob", 10, "r1")
            refused("id_reused", client.transfer, "alice", "bob", 5, "r2")
            refused("id_reused", client.redeem, "alice", 5, "r3")


def test_reused_ids_across_kinds():
    with attack() as attacker:
        client = attacker.client
        refused("insufficient_funds", client.mint, "carol", 10, "r1")
        client.transfer("alice", "carol", 50, "t1")
        refused("id_reused", client.redeem, "carol", 10, "r1")
        client.faucet("carol", 100 * SCALE, "f1")
        refused("insufficient_funds", client.mint, "carol", 10, "r1")  # decided for ever
        client.redeem("carol", 20, "r2")
        held = client.holding("carol")
        refused("id_reused", client.mint, "carol", 20, "r2")
        refused("id_reused", client.mint, "carol", 30, "r2")
        poll(lambda: client.holding("carol") == held, what="the collateral to be back")
        assert client.balance("carol") == 30 and attacker.lock_state(tx_id("TIM3", "carol", "r2")) == 6


# ------------------------------------------------------------------------------------------------------ flood


def test_flood():
    """Twenty thousand mints in one go, where 64 may be under way: each is answered, and the books balance."""
    many, frame = 20000, 250
    with attack(sections=dict(coordinator=dict(in_flight=64))) as attacker:
        client, before = attacker.cluster.client(), attacker.supply()
        asked = []
        for start in range(0, many, frame):
            sent = [client.envelope("coordinator.TIM3", "Mint", dict(
                account="alice", amount=amount(1), request_id=f"flood-{i}"), f"key-{i}")
                for i in range(start, start + frame)]
            client.socket.send(b"".join(data for _, data in sent))
            asked += [identity for identity, _ in sent]
        tally = dict(ok=0, overloaded=0)
        for identity in asked:
            kind, body = client.answer(identity)
            name = "ok" if kind == TYPES["Transaction"] else body["name"]
            tally[name] = tally.get(name, 0) + 1
        assert set(tally) == {"ok", "overloaded"} and sum(tally.values()) == many, tally
        assert tally["ok"] >= 64 and tally["overloaded"] > 0, tally
        assert not client.receive(0.1) and not client.inbox, "more answers than requests"
        assert attacker.supply() == before + tally["ok"]
        assert client.mint("alice", 1, f"flood-{many - 1}")["code"] == 0  # overloaded or not, the id is good


def test_flood_of_lists():
    """As many pages as one agent may owe; the rest is told so, and takes the place of nothing else."""
    ledger, many, most = "token_manager.TIM3", 300, 64
    with attack() as attacker:
        process = attacker.cluster.process(ledger + ".0")
        client, other = attacker.cluster.client(), attacker.cluster.client()
        process.send_signal(signal.SIGSTOP)
        sent = [client.envelope(ledger, "ListBalances", dict(limit=1000)) for _ in range(many)]
        client.socket.send(b"".join(data for _, data in sent))
        question = other.send(ledger, "GetBalance", dict(account="alice"), "alice")

        def refused():
            client.receive(0.1)
            return len(client.inbox) == many - most
        poll(refused, what="the lists beyond the limit to be refused")
        assert not other.receive(0), other.inbox
        process.send_signal(signal.SIGCONT)
        assert other.answer(question)[0] == TYPES["Balance"]
        names = [body["name"] if kind == TYPES["Error"] else NAMES[kind]
                 for kind, body in (client.answer(identity) for identity, _ in sent)]
        assert names.count("Balances") == most and names.count("overloaded") == many - most, names
        assert client.mint("alice", 1, "behind-the-lists")["code"] == 0


@no_wire
def test_what_a_stopped_ledger_is_asked_again_is_bounded():
    """A coordinator asks for thousands of mints fifty times a second; what it cannot send, it drops."""
    many, most_kb = 4000, 400 << 10
    settings = dict(retry_ms=20, sweep_after_ms=600000, sweep_most_ms=600000)
    with Cluster(coordinators=1, settings=settings, sections=dict(router=dict(answer_within_ms=60000))) as cluster:
        client, process = cluster.client(), cluster.process("token_manager.TIM3.0")
        attacker = Attacker(cluster)
        client.faucet("alice", ISSUED, "f1")
        process.send_signal(signal.SIGSTOP)
        asked = [client.send("coordinator.TIM3", "Mint", dict(account="alice", amount=amount(1), request_id=f"m{i}"))
                 for i in range(many)]
        poll(lambda: attacker.stats("coordinator.TIM3.0")["sends_dropped"] > 0, what="the queue to be full")
        found = attacker.stats("coordinator.TIM3.0")
        assert found["memory_most_kb"] < most_kb, found
        process.send_signal(signal.SIGCONT)
        for identity in asked:
            assert client.answer(identity)[0] == TYPES["Transaction"]
        assert client.balance("alice") == many
        cluster.audit()


# ------------------------------------------------------------------------------------------------ wrong doors


def agent_messages():
    """One of every request that agents send each other, with a body that would do."""
    move = dict(tx=fresh(), account="alice", amount=amount(1))
    proved = dict(move, receipt=bytes(32))
    agent = dict(name="coordinator.TIM3.9", role=2, asset="TIM3", shard=9, endpoint="ipc:///nowhere",
                 version="1", incarnation=2 ** 62)
    return [("lock_manager.TIM3", "Lock", move), ("lock_manager.TIM3", "Settle", proved),
            ("lock_manager.TIM3", "Release", dict(proved, reason=VOID)),
            ("token_manager.TIM3", "TokenMint", proved), ("token_manager.TIM3", "Resolve", proved),
            ("token_manager.TIM3", "ResolveRefused", dict(proved, code=20)),
            ("token_manager.TIM3", "TokenBurn", move), ("token_manager.TIM3", "SettleBurn", proved),
            ("token_manager.TIM3", "TokenTransfer", dict(move, to="bob")),
            ("token_manager.TIM3", "Receive", dict(proved, to="bob")),
            ("token_manager.TIM3", "SettleSent", dict(proved, to="bob")),
            ("token_manager.TIM3", "ReturnSent", dict(proved, to="bob", code=21)),
            ("mock_usda.USDA", "VaultLock", dict(proved, vault="TIM3")),
            ("mock_usda.USDA", "VaultUnlock", dict(proved, vault="TIM3", reason=VOID)),
            ("router.-", "Register", dict(agents=[agent])), ("router.-", "Update", dict(agents=[agent])),
            ("router.-", "Heartbeat", dict(name=agent["name"], incarnation=1)),
            ("router.-", "Deregister", dict(name="token_manager.TIM3.0", incarnation=2 ** 62)),
            ("router.-", "Publish", dict(source="token_manager.TIM3.0", store=fresh(), items=[]))]


def test_more_connections_than_files_are_allowed_at_first():
    """libzmq aborts the process when it has no descriptor for a connection that comes in."""
    with Cluster() as cluster:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        cluster.kill("router.-.0")
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        try:
            cluster.start("router.-.0")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        cluster.wait_ready()
        report = cluster.ctl_json("bench", "--workload", "mint", "--count", "400", "--clients", "200", "--outstanding", "1",
                                  "--accounts", "20")
        assert report["operations"][0]["completed"] == 400, report
        assert cluster.running("router.-.0")


def test_agents_messages_at_the_front_door():
    """They get no further: the agents do not even see them."""
    agents = ("lock_manager.TIM3.0", "token_manager.TIM3.0", "mock_usda.USDA.0", "router.-.0")
    with attack() as attacker:
        seen = [attacker.stats(agent)["not_allowed"] for agent in agents]
        with nothing_moves(attacker):
            for sender in ("client", "coordinator.TIM3.0", "lock_manager.TIM3.0", "router.-.0", ""):
                client = attacker.cluster.client(sender=sender)
                for route, kind, body in agent_messages():
                    must("not_allowed", client.outcome(route, kind, body))
                attacker.cluster.close(client)
            client = attacker.cluster.client()
            for kind in ("Locked", "Minted", "Voided", "VaultUnlocked", "Events", "Registered", "Error"):
                must("unknown_message", client.outcome("lock_manager.TIM3", kind, {}))
        assert seen == [attacker.stats(agent)["not_allowed"] for agent in agents]


def test_allow_matrix_at_the_agents():
    """Straight to the agents' sockets, in a role that may not send it."""
    wrong = {"Resolve": "coordinator.TIM3.0", "VaultLock": "token_manager.TIM3.0",
             "VaultUnlock": "coordinator.TIM3.0"}
    with attack() as attacker:
        with nothing_moves(attacker):
            for route, kind, body in agent_messages():
                to = route + ".0"
                for sender in ("client", wrong.get(kind, "client"), "nobody", "lock_manager TIM3"):
                    must("not_allowed", attacker.connection(sender, to).outcome(to, kind, body))
            mint = dict(account="alice", amount=1, request_id="m9")
            must("not_allowed", attacker.connection("token_manager.TIM3.0", "coordinator.TIM3.0").outcome(
                "coordinator.TIM3.0", "Mint", mint))


def test_wrong_recipients():
    """In a process of several agents the role that is named tells which of them looks at it; no role, the first."""
    with attack() as attacker:
        body = dict(tx=fresh(), account="alice", amount=amount(1))
        agent = "token_manager.TIM3.0"
        alone = attacker.cluster.process_of(agent) == agent
        with nothing_moves(attacker):
            for recipient in ("token_manager.TIME.0", "token_manager.TIM3.1", "lock_manager.TIM3.0", "",
                              "token_manager.TIM3.0.0", "client", "token_manager.TIME"):
                own = alone or recipient.startswith("token_manager.")
                must("not_allowed" if own else "unknown_message",
                     attacker.connection("coordinator.TIM3.7", agent).outcome(recipient, "TokenBurn", body))
            must("unknown_message", attacker.connection("coordinator.TIM3.7", agent).outcome(agent, "Lock",
                                                                                             body))


def test_publishing_for_another():
    router = "router.-.0"
    with attack() as attacker:
        attacker.cluster.audit()  # the log has the honest events then
        log = attacker.client.ask(router, "Subscribe", {"subscription": 1, "from": 0, "credit": 0})
        body = dict(tx=fresh(), account="alice", amount=amount(5), balance=amount(5), supply=amount(5))
        forged = dict(source="token_manager.TIM3.0", store=fresh(), seq=1, count=1, events=pack_events([(202, 1, body)]))
        for sender in ("coordinator.TIM3.7", "token_manager.TIME.0", "lock_manager.TIM3.0"):
            must("not_allowed", attacker.ask(sender, router, "Publish", **forged))
        # under its own name, but not its events
        must("not_allowed", attacker.ask("coordinator.TIM3.7", router, "Publish",
                                         **dict(forged, source="coordinator.TIM3.7")))
        must("not_allowed", attacker.ask("coordinator.TIM3.7", router, "Publish",
                                         **dict(forged, source="coordinator.TIM3")))
        after = attacker.client.ask(router, "Subscribe", {"subscription": 1, "from": 0, "credit": 0})
        assert after["end"] == log["end"]


def test_reporting_for_another():
    """Who is taken to have come further than its store has would never be let in again."""
    router, victim = "router.-.0", "token_manager.TIM3.0"
    with attack() as attacker:
        info = must("InfoReply", attacker.ask("client", victim, "Info"))
        far = dict(store=info["store"], lineage=info["store"], commits=10 ** 9, event_seq=10 ** 6, acked=0)
        told = dict(far, name=victim, incarnation=info["incarnation"])
        for sender in ("state_manager.-.0", "coordinator.TIM3.7"):
            must("not_allowed", attacker.ask(sender, router, "Heartbeat", **told, health=1))
            must("not_allowed", attacker.ask(sender, router, "Deregister", **told))
        attacker.cluster.restart(attacker.cluster.process_of(victim))
        attacker.client.mint_anew("alice", 1, "after")


def test_publishing_again():
    """A source that sends again, or leaves numbers out, puts each event into the log once and in order."""
    router, source, store = "router.-.0", "token_manager.OTHER.0", fresh()
    with attack() as attacker:
        body = dict(tx=fresh(), account="alice", amount=amount(5), balance=amount(5), supply=amount(5))

        def publish(seq, count):
            events = pack_events([(202, 1, body)] * count)
            return must("Published", attacker.ask(source, router, "Publish", source=source, store=store, seq=seq,
                                                  count=count, events=events))["seq"]
        assert [publish(1, 2), publish(1, 2), publish(2, 2), publish(5, 2), publish(4, 1), publish(3, 3),
                publish(1, 0)] == [2, 2, 3, 3, 4, 5, 5]
        good = pack_events([(202, 1, body)])
        for seq, count, events in ((6, 1, b""), (6, 2, good), (6, 1, good + good), (6, 1, good[:-1]), (6, 1, good + b"\0"),
                                   (6, 1, msgpack.packb([202, 1, b"\x90"])), (6, 1, msgpack.packb([202, 1, body])),
                                   (0, 1, good), (2 ** 64 - 1, 1, good)):
            asked = dict(source=source, store=store, seq=seq, count=count, events=events)
            must("invalid_field", attacker.ask(source, router, "Publish", **asked))
        must("not_allowed", attacker.ask(source, router, "Publish", source=source, store=store, seq=6, count=1,
                                         events=msgpack.packb([200, 1, b"\x90"])))
        asked = dict(source=source, store=store, seq=6, count=1, events=[[202, 1, body]])
        must("invalid_field", attacker.ask(source, router, "Publish", **asked))
        asked = {"subscription": 1, "from": 1, "topic": "token.minted.OTHER", "credit": 100}
        events = events_of(attacker.ask("client", router, "Subscribe", **asked)[1]["items"])
        assert [event["seq"] for event in events] == [1, 2, 3, 4, 5], events


main()
