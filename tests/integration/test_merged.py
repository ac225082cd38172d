"""The merged critical path: ledgers in the process of a coordinator. What holds for it alone, and some of the tests of
ledgers that run by themselves, which are named here, with critical_path = merged in every asset.

Others run whole on it, see tests/run; and all of them by matrix.py.
"""
import os

os.environ["TIM3_CRITICAL_PATH"] = "merged"

import subprocess

import harness
from harness import Cluster
from load import Load
from tim3_wire import PATIENT
from test_backup import (test_backups_under_load, test_hold_ends_by_itself, test_older_router_is_found_out,  # noqa: F401
                         test_older_collateral_token_is_refused_after_a_clean_stop, test_one_commit_is_enough)
from test_import import test_agents_killed_while_importing  # noqa: F401
from test_replay import test_from_the_middle, test_other_settings_are_told, test_same_build_decides_the_same  # noqa: F401
from test_scale import (test_scale_by_hand_with_clean_stops, test_scale_by_hand_with_kills,  # noqa: F401
                        test_scale_with_the_supervisor)



def test_the_other_way_of_running_is_refused():
    """A store of merged ledgers is no store of one alone, and the other way round."""
    with Cluster() as merged, Cluster(asset_settings=dict(critical_path="split")) as split:
        for cluster in (merged, split):
            load = Load(cluster, seed=3, outstanding=20)
            load.start()
            load.advance(50)
            load.resolve()
        for cluster, address, word in ((merged, "lock_manager.TIM3.0", "split"),
                                       (split, "coordinator.TIM3.0", "merged")):
            cluster.kill(address)
            other = os.path.join(cluster.dir, "other.cfg")
            with open(cluster.config) as given, open(other, "w") as out:
                now = "merged" if word == "split" else "split"
                out.write(given.read().replace(f"critical_path = {now}", f"critical_path = {word}"))
            command = [cluster.exe("tim3-lock-manager" if word == "split" else "tim3-coordinator"), "--config", other,
                       "--data", cluster.dir, "--asset", "TIM3", "--shard", "0"]
            if word == "merged":
                cluster.kill("lock_manager.TIM3.0")
                cluster.kill("token_manager.TIM3.0")
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENT)
            assert done.returncode == 100 and "configure" in done.stderr, (done.returncode, done.stderr)


def test_a_ledger_beside_a_hosted_one_is_refused():
    with Cluster() as cluster:
        done = subprocess.run([cluster.exe("tim3-token-manager"), "--config", cluster.config, "--data", cluster.dir,
                               "--asset", "TIM3", "--shard", "0"], capture_output=True, text=True, timeout=PATIENT)
        assert done.returncode == 100 and "coordinator.TIM3.0 runs this ledger" in done.stderr, done.stderr


if __name__ == "__main__":
    harness.main()
