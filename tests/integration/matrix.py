#!/usr/bin/python3
"""Runs the integration tests on both critical paths and both stores, and prints what became of them in a table.

    matrix.py [--logs FOLDER] [test_kill ...] [merged/lmdb ...]      all files and combinations, or those named

One file at a time; what each has printed is kept in the folder for logs. A file that ends without a count has failed.
The last line counts all tests.
"""
import argparse
import glob
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PATHS = ("split", "merged")
STORES = ("journal", "lmdb")
COMBINATIONS = [f"{path}/{store}" for path, store in itertools.product(PATHS, STORES)]
LONGEST_S = 1800


def files():
    return sorted(os.path.basename(path)[:-len(".py")] for path in glob.glob(os.path.join(HERE, "test_*.py")))


def makes_sense(name, combination):
    """test_merged sets the critical path by itself."""
    return name != "test_merged" or combination.startswith("merged/")


class Outcome:
    def __init__(self, text, code):
        self.lines = text.splitlines()
        last = re.search(r"^(\d+) passed, (\d+) failed$", text, re.M)
        self.passed = int(last[1]) if last else 0
        self.skips = [line for line in self.lines if line.startswith("skip ")]
        self.failures = [line for line in self.lines if line.startswith("FAIL ")]
        self.failed = max(int(last[2]) if last else 1, code != 0)  # a failure that was not counted is one too

    def __str__(self):
        return f"{self.passed} / {len(self.skips)} / {self.failed}"


def run(name, combination, logs):
    path, store = combination.split("/")
    environment = dict(os.environ, TIM3_CRITICAL_PATH=path, TIM3_STORE=store)
    begun = time.monotonic()
    with open(os.path.join(logs, f"{name}.{path}.{store}.log"), "w+") as log:
        try:
            code = subprocess.run(["/usr/bin/python3", os.path.join(HERE, name + ".py")], env=environment, stdout=log,
                                  stderr=log, stdin=subprocess.DEVNULL, timeout=LONGEST_S).returncode
        except subprocess.TimeoutExpired:
            code = 1
        log.seek(0)
        outcome = Outcome(log.read(), code)
    print(f"== {name}, {combination}: {outcome.passed} passed, {len(outcome.skips)} skipped, {outcome.failed} failed "
          f"({time.monotonic() - begun:.0f} s)", flush=True)
    for line in outcome.skips + outcome.failures:
        print("   " + line, flush=True)
    return outcome


def table(names, combinations, outcomes):
    print("\npassed / skipped / failed")
    for row in [[""] + combinations] + [[name] + [str(outcomes.get((name, combination), "-"))
                                                  for combination in combinations] for name in names]:
        print(f"{row[0]:14}" + "".join(f"{cell:>16}" for cell in row[1:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logs", help="the folder for logs; else one in /tmp")
    parser.add_argument("wanted", nargs="*", help="files and combinations")
    options = parser.parse_args()
    unknown = set(options.wanted) - set(files()) - set(COMBINATIONS)
    if unknown:
        parser.error(f"neither a test nor a combination: {' '.join(sorted(unknown))}")
    names = [name for name in files() if name in options.wanted] or files()
    combinations = [each for each in COMBINATIONS if each in options.wanted] or COMBINATIONS
    logs = options.logs or tempfile.mkdtemp(prefix="t3m-")
    os.makedirs(logs, exist_ok=True)
    outcomes = {}
    for combination, name in itertools.product(combinations, names):
        if makes_sense(name, combination):
            outcomes[name, combination] = run(name, combination, logs)
    table(names, combinations, outcomes)
    failed = sum(outcome.failed for outcome in outcomes.values())
    print(f"logs are in {logs}")
    print(f"{sum(len(outcome.skips) for outcome in outcomes.values())} skipped")
    print(f"{sum(outcome.passed for outcome in outcomes.values())} passed, {failed} failed")
    sys.exit(1 if failed or not outcomes else 0)


if __name__ == "__main__":
    main()
