#!/usr/bin/python3
"""Where agents spend their CPU time under load, by layer and by function, with perf.

    TIM3_BIN=build/bin tests/bench/profile.py [--seconds 6] [AGENT...]

AGENT is an address such as lock_manager.TIM3.0; default: the lock manager and the token manager. The load is 1,000
outstanding mints. perf must be installed, and allowed to look into the kernel (root).
"""
import argparse
import collections
import os
import subprocess
import sys
import tempfile
import threading

from systems import Tim3

LOAD = dict(label="1,000 outstanding", clients=4, outstanding=250)
ACCOUNTS = 100000
TOP = 14


def sources():
    """Which folder of the sources a function of ours stands in: of all objects that were built."""
    folder = os.path.join(os.path.dirname(os.path.abspath(os.environ.get("TIM3_BIN", "build/bin"))), "obj")
    found = {}
    for path, _, names in os.walk(folder):
        layer = os.path.relpath(path, folder)
        if layer.startswith(("tests", "client")):
            continue
        for name in names:
            if name.endswith(".o"):
                listing = subprocess.run(["nm", "--defined-only", os.path.join(path, name)], capture_output=True,
                                         text=True).stdout
                for line in listing.splitlines():
                    fields = line.split()
                    if len(fields) == 3 and fields[1] in "tT":
                        found.setdefault(fields[2], layer)
    return found


def layer_of(dso, symbol, ours):
    if dso.startswith("[kernel") or dso == "[unknown]":
        return "kernel"
    for part, layer in (("lmdb", "LMDB"), ("libzmq", "libzmq"), ("sodium", "libsodium"), ("xxhash", "libxxhash"),
                        ("libc.", "libc"), ("libstdc", "libzmq")):
        if part in dso:
            return layer
    folder = ours.get(symbol.split(".")[0], "")
    return {"common/wire": "codec (common/wire)", "common/store": "store (common/store)",
            "common/agent": "host, shell (common/agent)", "common/base": "base (common/base)"}.get(
                folder, "core" if dso.startswith("tim3-") else dso)


def profile(pid, seconds, path):
    subprocess.run(["perf", "record", "-q", "--call-graph", "fp", "-F", "999", "-p", str(pid), "-o", path, "--",
                    "sleep", str(seconds)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def rows(path, *options):
    """(share, rest of the line) of a report, largest first."""
    listing = subprocess.run(["perf", "report", "--stdio", "-g", "none", "--percent-limit", "0", "-i", path, *options],
                             capture_output=True, text=True).stdout
    for line in listing.splitlines():
        fields = line.split()
        if fields and fields[0].endswith("%"):
            yield float(fields[0][:-1]), [field for field in fields[1:] if field not in ("-", "[.]", "[k]")]


def tell(address, path, ours):
    layers = collections.Counter()
    functions = collections.Counter()
    for share, words in rows(path, "--no-children", "--sort", "dso,symbol"):
        symbol = words[1] if len(words) > 1 else "?"
        layer = layer_of(words[0], symbol, ours)
        layers[layer] += share
        functions["without a symbol" if symbol.startswith("0x") else symbol, layer] += share
    calls = [(share, words[1]) for share, words in rows(path, "--children", "--sort", "symbol")
             if len(words) > 1 and words[1].startswith("__x64_sys_") and share >= 1]
    print(f"{address}\n")
    print("  layers: " + ", ".join(f"{layer} {share:.0f} %" for layer, share in layers.most_common() if share >= 0.5))
    print("  in system calls: " + ", ".join(f"{name[10:]} {share:.0f} %" for share, name in calls) + "\n")
    for (symbol, layer), share in functions.most_common(TOP):
        print(f"  {share:5.1f} %  {symbol}  ({layer})")
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("agents", nargs="*", default=["lock_manager.TIM3.0", "token_manager.TIM3.0"])
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("not root: the kernel's part may be missing", file=sys.stderr)
    ours = sources()
    system = Tim3()
    try:
        system.start()
        system.prefill(ACCOUNTS)
        for seed, address in enumerate(options.agents, 1):
            with tempfile.NamedTemporaryFile(prefix="b-perf-") as data:
                load = threading.Thread(target=system.run,
                                        args=(LOAD, options.seconds + 2, seed, ACCOUNTS, 0.0, "profile"))
                load.start()
                profile(system.cluster.processes[address].pid, options.seconds, data.name)
                load.join()
                tell(address, data.name, ours)
    finally:
        system.stop()


if __name__ == "__main__":
    main()
