"""What is done to the set. Each fault is a function of (the run, a random generator): it does something, takes what
time it takes, undoes it, and returns a text for the log. A fault that is not possible here raises Skipped.
"""
import signal
import time

from cluster import LEDGERS, SHARDS_MOST, wait_for
from tim3_wire import NoAnswer, Refused


class Skipped(Exception):
    pass


# ------------------------------------------------------------------------------------------------- processes
def kill_one(run, rng):
    victim = rng.choice(run.cluster.addresses())
    run.cluster.send(victim, signal.SIGKILL)
    return victim


def kill_several(run, rng):
    victims = rng.sample(run.cluster.addresses(), rng.randint(2, 4))
    for victim in victims:
        run.cluster.send(victim, signal.SIGKILL)
    return " ".join(victims)


def kill_all(run, rng):
    everyone = run.cluster.addresses()
    rng.shuffle(everyone)
    for victim in everyone:
        run.cluster.send(victim, signal.SIGKILL)
    return f"{len(everyone)} agents"


def kill_again(run, rng):
    """As soon as it is back, while it still recovers; and then another that it needs."""
    victim = rng.choice(run.cluster.addresses())
    for _ in range(2):
        before = run.cluster.pid(victim)
        run.cluster.send(victim, signal.SIGKILL)
        wait_for(lambda: run.cluster.pid(victim) not in (None, before), run.patience, f"{victim} to be started again")
        time.sleep(rng.uniform(0, 0.3))
    other = rng.choice(run.cluster.addresses())
    run.cluster.send(victim, signal.SIGKILL)
    run.cluster.send(other, signal.SIGKILL)
    return f"{victim}, and {other}"


def restart(run, rng):
    """SIGTERM, and the start after it, by the supervisor."""
    victim = rng.choice(run.cluster.addresses())
    run.cluster.supervisor("restart", victim)
    return victim


def terminate(run, rng):
    """SIGTERM behind the supervisor's back."""
    victim = rng.choice(run.cluster.addresses())
    run.cluster.send(victim, signal.SIGTERM)
    return victim


def freeze(run, rng, least, most):
    victims = rng.sample(run.cluster.addresses(), rng.randint(1, 2))
    seconds = rng.uniform(least, most)
    for victim in victims:
        run.cluster.freeze(victim)
    try:
        time.sleep(seconds)
    finally:
        run.cluster.thaw()
    return f"{' '.join(victims)} for {seconds:.1f} s"


def freeze_short(run, rng):
    return freeze(run, rng, 0.1, 0.5)


def freeze_long(run, rng):
    """Until the others have given it up: the registry, and those who wait for an answer."""
    return freeze(run, rng, 3.0, run.length(12.0, 4.0))


def kill_frozen(run, rng):
    victim = rng.choice(LEDGERS)
    run.cluster.freeze(victim)
    time.sleep(rng.uniform(0.2, 1.0))
    run.cluster.send(victim, signal.SIGKILL)
    run.cluster.frozen.discard(victim)
    return victim


def scale(run, rng):
    count = rng.choice([n for n in range(1, SHARDS_MOST + 1) if n != run.cluster.shards])
    if count > run.cluster.shards:
        run.cluster.shards = count
    run.cluster.supervisor("scale", "coordinator", "TIM3", str(count))
    run.cluster.shards = count
    return f"to {count}"


# ------------------------------------------------------------------------------------------------------ disk
def told(run):
    """How often the bank was told storage_full."""
    return run.bank.told.get("storage_full", 0)


def refuse(run, before):
    """Agents go on in room that they had before, and in what a checkpoint gives back; of those batches that find none only some
    have in them what a caller asked. So it can take minutes until somebody is told."""
    wait_for(lambda: run.alive() and told(run) > before, 4 * run.patience, "a change to be refused with storage_full")


def check_reads(run):
    """Questions are answered while changes are refused."""
    def answered(route, kind):
        try:
            run.cluster.probe.ask_once(route, kind, dict(account="acc1"), timeout=1.0)
            return True
        except (NoAnswer, Refused):
            return False
    for kind, route in (("GetBalance", "token_manager.TIM3"), ("GetHolding", "mock_usda.USDA")):
        wait_for(lambda: run.alive() and answered(route, kind), run.patience, f"an answer to {kind} on a full disk")


def disk_full(run, rng):
    """Refused with storage_full, or ended for a restart and then refused; reads go on."""
    if not run.cluster.disk.small:
        raise Skipped("no small disk can be mounted here: that takes root, or unshare -rm")
    before, killed = told(run), ""
    run.cluster.disk.fill()
    try:
        refuse(run, before)
        check_reads(run)
        if rng.random() < 0.5:
            killed = rng.choice(run.cluster.addresses())
            run.cluster.send(killed, signal.SIGKILL)
        time.sleep(rng.uniform(0.5, run.length(4.0, 1.5)))
        if not killed:
            check_reads(run)
    finally:
        run.cluster.disk.free()
    return f"storage_full told {told(run) - before} times" + (f", {killed} killed" if killed else "")


def map_full(run, rng):
    """The set was started with small maps: they fill, and the operator raises them."""
    if run.map_raised:
        raise Skipped("the map has been raised already")
    refuse(run, 0)
    check_reads(run)
    time.sleep(rng.uniform(0.5, 3.0))
    check_reads(run)
    run.map_raised = True
    run.cluster.raise_map(4096)
    run.cluster.supervisor("restart")
    return f"storage_full told {told(run)} times before it was raised"


# ---------------------------------------------------------------------------------------------------- clocks
def some_clocks(run, rng):
    addresses = run.cluster.addresses()
    victims = addresses if rng.random() < 0.3 else rng.sample(addresses, rng.randint(1, 3))
    return victims, [run.cluster.clocks[address] for address in victims]


def clock_real(run, rng):
    """The time of day jumps, either way; one of them is started anew meanwhile, for that is when agents read it."""
    victims, clocks = some_clocks(run, rng)
    jump = rng.choice((-1, 1)) * rng.choice((0.5, 5, 60, 3600, 86400))
    for clock in clocks:
        clock.change(real_s=jump)
    run.cluster.send(rng.choice(victims), signal.SIGKILL)
    time.sleep(rng.uniform(0.5, 2.0))
    if rng.random() < 0.6:
        for clock in clocks:
            clock.normal()
        run.cluster.send(rng.choice(victims), signal.SIGKILL)
    return f"{jump:+} s for {' '.join(victims)}"


def clock_monotonic(run, rng):
    """As after a suspended machine: time has passed, and nobody did anything."""
    victims, clocks = some_clocks(run, rng)
    jump = rng.choice((0.3, 2.0, 15.0, 120.0, 3600.0))
    for clock in clocks:
        clock.change(monotonic_s=jump, real_s=jump if rng.random() < 0.5 else 0)
    return f"+{jump} s for {' '.join(victims)}"


def clock_rate(run, rng):
    victims, clocks = some_clocks(run, rng)
    rate, seconds = rng.choice((0.2, 0.5, 0.9, 1.1, 2.0, 5.0)), rng.uniform(1.0, run.length(6.0, 2.0))
    for clock in clocks:
        clock.change(rate=rate)
    time.sleep(seconds)
    for clock in clocks:
        clock.change(rate=1.0)
    return f"rate {rate} for {' '.join(victims)}, {seconds:.1f} s"


# --------------------------------------------------------------------------------------------------- network
def network(run, rng, kind, seconds, value=0.0):
    """On links to one agent, to several, or to all; on some of them or on each."""
    addresses = run.cluster.addresses()
    victims = rng.sample(addresses, rng.choice((1, 1, 2, 3, len(addresses))))
    share, links = rng.choice((0.5, 1.0)), 0
    for victim in victims:
        links += run.cluster.network.fault(victim, kind, seconds, share, value, rng.randrange(1 << 30))
    time.sleep(seconds)
    return f"{links} links to {' '.join(victims)}, {seconds:.1f} s"


def net_delay(run, rng):
    return network(run, rng, "delay", rng.uniform(1.0, run.length(5.0, 1.5)), rng.choice((0.005, 0.05, 0.4)))


def net_throttle(run, rng):
    return network(run, rng, "throttle", rng.uniform(1.0, run.length(5.0, 1.5)), rng.choice((20000, 200000)))


def net_stall(run, rng):
    return network(run, rng, "stall", rng.uniform(0.5, run.length(8.0, 1.5)))


def net_one_way(run, rng):
    return network(run, rng, "one_way", rng.uniform(0.5, run.length(8.0, 1.5)), rng.randint(0, 1))


def net_cut(run, rng):
    return network(run, rng, "cut", rng.uniform(0.0, 0.3), 0)


def net_refuse(run, rng):
    return network(run, rng, "cut", rng.uniform(0.5, run.length(6.0, 1.5)), 1)


def net_cut_frame(run, rng):
    return network(run, rng, "cut_frame", rng.uniform(0.2, 1.0))


def net_vanish(run, rng):
    return network(run, rng, "vanish", rng.uniform(0.0, 0.5))


def net_and_kill(run, rng):
    """A killed agent comes back into a network that is slow."""
    victim = rng.choice(run.cluster.addresses())
    run.cluster.network.fault(victim, "delay", 3.0, 1.0, 0.2, rng.randrange(1 << 30))
    run.cluster.send(victim, signal.SIGKILL)
    return victim


# Function, and how often it is drawn. map_full comes first of all, when the maps are small.
FAULTS = {
    kill_one: 10, kill_several: 6, kill_all: 3, kill_again: 5, restart: 2, terminate: 3, freeze_short: 3,
    freeze_long: 2, kill_frozen: 2, scale: 2, disk_full: 2, clock_real: 4, clock_monotonic: 3, clock_rate: 2,
    net_delay: 2, net_throttle: 1, net_stall: 2, net_one_way: 2, net_cut: 3, net_refuse: 2, net_cut_frame: 3,
    net_vanish: 1, net_and_kill: 2,
}
