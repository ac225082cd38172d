#!/usr/bin/python3
"""Where agents spend their CPU time under load, by layer and by function, with perf.

    TIM3_BIN=build/bin tests/bench/profile.py [--seconds 6] [--merged] [AGENT...]

AGENT is an address such as lock_manager.TIM3.0; default: all. The load is 1,000 outstanding mints, for each agent once; at
the end comes a table of µs per mint. perf must be installed, and allowed to look into the kernel (root).
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
    threads = {words[0]: share for share, words in rows(path, "--no-children", "--sort", "comm")}
    print("  layers: " + ", ".join(f"{layer} {share:.0f} %" for layer, share in layers.most_common() if share >= 0.5))
    print("  threads: " + ", ".join(f"{name} {share:.0f} %" for name, share in threads.items() if share >= 0.5))
    print("  in system calls: " + ", ".join(f"{name[10:]} {share:.0f} %" for share, name in calls) + "\n")
    for (symbol, layer), share in functions.most_common(TOP):
        print(f"  {share:5.1f} %  {symbol}  ({layer})")
    print(flush=True)
    return layers


def print_table(found):
    """µs per mint of each layer in each agent; found: agent, µs per mint, layers in percent."""
    order = sorted({layer for _, _, layers in found for layer in layers},
                   key=lambda layer: -sum(us * layers[layer] for _, us, layers in found))
    print("| layer | " + " | ".join(address for address, _, _ in found) + " | all |")
    print("|---|" + "---:|" * (len(found) + 1))
    for layer in order:
        parts = [us * layers[layer] / 100 for _, us, layers in found]
        if sum(parts) >= 0.05:
            print(f"| {layer} | " + " | ".join(f"{part:.1f}" for part in parts) + f" | {sum(parts):.1f} |")
    print("| all | " + " | ".join(f"{us:.1f}" for _, us, _ in found) + f" | {sum(us for _, us, _ in found):.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--merged", action="store_true")
    parser.add_argument("agents", nargs="*")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("not root: the kernel's part may be missing", file=sys.stderr)
    ours = sources()
    variant = "merged" if options.merged else "split"
    system = Tim3(variant, asset_settings=dict(critical_path=variant))
    found = []
    try:
        system.start()
        system.prefill(ACCOUNTS)
        for seed, address in enumerate(options.agents or list(system.cluster.processes), 1):
            with tempfile.NamedTemporaryFile(prefix="b-perf-") as data:
                before, done = system.usage(), []
                load = threading.Thread(target=lambda seed=seed, done=done: done.append(
                    system.run(LOAD, options.seconds + 2, seed, ACCOUNTS, 0.0)))
                load.start()
                profile(system.cluster.processes[address].pid, options.seconds, data.name)
                load.join()
                system.settle()
                us = (system.usage()[address]["cpu_us"] - before[address]["cpu_us"]) / done[0]["completed"]
                found.append((address, us, tell(address, data.name, ours)))
        print_table(found)
    finally:
        system.stop()


if __name__ == "__main__":
    main()
