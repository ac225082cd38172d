"""What a ledger was begun with stays: a configuration that says otherwise is refused, and nothing is touched."""
import os
import subprocess

import harness
from harness import LONGEST, Cluster
from tim3_wire import PATIENT

PERMANENT = 100


def refusal(cluster, address):
    """What the agent says when it is started by itself and refuses."""
    command = cluster.commands[cluster.process_of(address)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == PERMANENT, f"{address}: exit {done.returncode}: {done.stderr[-500:]}"
    return done.stderr


def configure(cluster, before, after):
    with open(cluster.config) as file:
        text = file.read()
    assert text.count(before) == 1, f"{before!r} is in the configuration {text.count(before)} times"
    with open(cluster.config, "w") as file:
        file.write(text.replace(before, after))


def stop_all(cluster):
    for address in cluster.processes:
        cluster.kill(address)


def expect_refused(before, after, refused):
    """refused: by agent, the words that it must say."""
    with Cluster(coordinators=1) as cluster:
        cluster.ctl("usda", "mint", "alice", "10")
        cluster.ctl("mint", "alice", "3")
        stop_all(cluster)
        configure(cluster, before, after)
        for address, words in refused.items():
            said = refusal(cluster, address)
            assert words in said, f"{address} does not say {words!r}: {said[-500:]}"
        configure(cluster, after, before)
        for address in cluster.commands:
            cluster.start(address)
        cluster.wait_ready()
        done = cluster.ctl_json("redeem", "alice", "1")
        assert done["balance"] == "2000000", done
        cluster.audit()


def test_decimals_of_an_asset():
    """Each of both ledgers: alice would be paid a hundred times what she minted."""
    words = "a ledger with 6 decimals, not 4; set its decimals back to 6"
    expect_refused("        decimals = 6\n", "        decimals = 4\n",
                   {"lock_manager.TIM3.0": words, "token_manager.TIM3.0": words})


def test_decimals_of_the_collateral():
    words = "18 decimals of collateral, not 20; set collateral/decimals back to 18"
    expect_refused("    decimals = 18\n", "    decimals = 20\n",
                   {"lock_manager.TIM3.0": words, "token_manager.TIM3.0": words,
                    "mock_usda.USDA.0": "a ledger with 18 decimals, not 20"})


def test_name_of_the_collateral():
    words = 'backed by "USDA", not "EUR"; set collateral/name back to USDA'
    expect_refused("    name = USDA\n", "    name = EUR\n", {"lock_manager.TIM3.0": words, "token_manager.TIM3.0": words})


def test_collateral_that_backs_nothing():
    """Of a store that a changed name has made, fsck says that it is one too many; and it checks with the right one."""
    with Cluster(coordinators=1) as cluster:
        cluster.ctl("usda", "mint", "alice", "10")
        cluster.ctl("mint", "alice", "3")
        stop_all(cluster)
        configure(cluster, "    name = USDA\n", "    name = EUR\n")
        cluster.start("router.-.0")  # nobody is ready without it
        other = [word.replace("USDA", "EUR") for word in cluster.commands["mock_usda.USDA.0"]]
        process = subprocess.Popen([*other, "--ready-fd", "1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            assert process.stdout.readline() == b"\n", "it did not become ready"
        finally:
            process.kill()
            process.wait(timeout=PATIENT)
            stop_all(cluster)
        assert os.path.isdir(cluster.store_of("mock_usda.EUR.0"))
        done = subprocess.run([cluster.exe("tim3ctl"), "fsck", cluster.dir], capture_output=True, text=True, timeout=LONGEST)
        problems = [line for line in done.stdout.splitlines() if line.startswith("  ") and "mock_usda.EUR.0" in line]
        assert done.returncode == 1 and "1 problem\n" in done.stdout, done.stdout
        assert len(problems) == 1 and "no ledger here is backed by mock_usda.EUR.0" in problems[0], done.stdout
        cluster.sound = False


if __name__ == "__main__":
    harness.main()
