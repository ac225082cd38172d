#!/usr/bin/python3
"""Does the library that lies about the time lie as it is told to? The last line counts."""
import os
import subprocess
import sys
import tempfile
import time
import traceback

from clock import Clock

LIBRARY = os.path.join(os.environ["TIM3_BIN"], "tim3-chaos-clock.so")
ASK = "import sys, time\nfor line in sys.stdin: print(time.time(), time.monotonic(), flush=True)"


class Liar:
    """A process whose clocks are changed."""

    def __init__(self, folder):
        path = os.path.join(folder, "clock")
        self.clock = Clock(path)
        environment = dict(os.environ, LD_PRELOAD=LIBRARY, TIM3_CHAOS_CLOCK=path)
        self.process = subprocess.Popen([sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=environment)

    def told(self):
        """Its time of day, and its monotonic time."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return tuple(map(float, self.process.stdout.readline().split()))

    def ask(self):
        """How far they are from ours."""
        real, monotonic = self.told()
        return real - time.time(), monotonic - time.monotonic()

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=180)


def near(value, wanted):
    assert abs(value - wanted) < 20, (value, wanted)


def test_time_of_day(liar):
    for jump, total in ((3600, 3600), (-86400, -82800), (82800, 0)):
        liar.clock.change(real_s=jump)
        real, monotonic = liar.ask()
        near(real, total)
        near(monotonic, 0)
    liar.clock.change(real_s=500)
    liar.clock.normal()
    near(liar.ask()[0], 0)


def test_monotonic(liar):
    liar.clock.change(monotonic_s=5000)
    near(liar.ask()[0], 0)
    near(liar.ask()[1], 5000)
    liar.clock.normal()
    near(liar.ask()[1], 5000)


def test_rate(liar):
    """Fast enough to be seen at once; and what has passed stays passed."""
    liar.ask()
    liar.clock.change(rate=1e6)
    time.sleep(0.01)
    passed = liar.ask()[1]
    assert passed > 5000, passed
    liar.clock.change(rate=1.0)
    assert liar.ask()[1] > passed
    liar.clock.change(rate=0.0)
    first = liar.told()
    time.sleep(0.01)
    assert liar.told()[1] == first[1] and liar.told()[0] > first[0]


def test_never_back(liar):
    """Whatever the file says."""
    liar.clock.change(monotonic_s=1000)
    near(liar.ask()[1], 1000)
    liar.clock.map[16:24] = (time.monotonic_ns() + 10 ** 15).to_bytes(8, "little")
    near(liar.ask()[1], 1000)


def main():
    passed = failed = 0
    for test in (test_time_of_day, test_monotonic, test_rate, test_never_back):
        with tempfile.TemporaryDirectory() as folder:
            liar = Liar(folder)
            try:
                test(liar)
                passed += 1
                print(f"ok   {test.__name__}")
            except Exception:
                failed += 1
                traceback.print_exc(file=sys.stdout)
                print(f"FAIL {test.__name__}")
            liar.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
