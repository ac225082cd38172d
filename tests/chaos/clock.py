"""Writes the files that clock.c reads: one for each agent, so that their clocks can differ."""
import mmap
import os
import struct
import time

LAYOUT = struct.Struct("=Qqqqq")  # lies_t in clock.c
MILLION = 1_000_000


class Clock:
    def __init__(self, path):
        if not os.path.exists(path):
            now = time.monotonic_ns()
            with open(path, "wb") as out:
                out.write(LAYOUT.pack(0, 0, now, now, MILLION))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), LAYOUT.size)

    def now(self):
        """What the agent takes for monotonic time."""
        _, _, kernel, lie, rate = LAYOUT.unpack(self.map[:])
        return lie + (time.monotonic_ns() - kernel) * rate // MILLION

    def change(self, real_s=0.0, monotonic_s=0.0, rate=None):
        """Adds to the clocks (monotonic: forwards alone), and sets the rate of the monotonic one."""
        assert monotonic_s >= 0
        sequence, real, kernel, lie, old_rate = LAYOUT.unpack(self.map[:])
        now = time.monotonic_ns()
        told = lie + (now - kernel) * old_rate // MILLION + int(monotonic_s * 1e9)
        new_rate = old_rate if rate is None else int(rate * MILLION)
        self.map[:8] = struct.pack("=Q", sequence + 1)
        self.map[8:] = struct.pack("=qqqq", real + int(real_s * 1e9), now, told, new_rate)
        self.map[:8] = struct.pack("=Q", sequence + 2)

    def real_offset(self):
        return LAYOUT.unpack(self.map[:])[1] / 1e9

    def normal(self):
        """The right time of day, and one second in a second; what the monotonic clock has passed stays passed."""
        self.change(real_s=-self.real_offset(), rate=1.0)
