#!/usr/bin/python3
"""A network that fails: forwards TCP on the loopback address, one connection being one link between two agents.

    proxy.py LISTEN:TARGET[:LISTEN:TARGET ...]        ports of 127.0.0.1, "7000:17000"

Reads orders, one JSON object per line, from standard input, and ends when that does:

    {"port": 7000, "fault": "delay", "share": 0.5, "seconds": 2.0, "value": 0.05, "seed": 1}

A fault is laid on that share of the links of a port, drawn from the seed, and on all links that are made while it
lasts; it ends after that many seconds. Kinds:

    delay      every piece is passed on value seconds later
    throttle   value bytes a second
    stall      accepted, nothing is passed on; afterwards what was held back is
    one_way    the same in one direction alone (value: 0 to the agent, 1 from it)
    cut        links are closed, with a reset; new ones work (value: 0), or are refused as long as it lasts (1)
    cut_frame  links are closed after a few bytes more: in the middle of a frame
    vanish     links go dead for good, with no word to either end, as when a forwarder forgets them; new ones work

After each order it prints a line, {"links": how many it took}.
"""
import asyncio
import json
import random
import socket
import struct
import sys

PIECE = 65536
HELD_MAX = 256 * 1024  # of a link's direction; then its sender is made to wait, as in a network


class Pipe:
    """One direction of a link."""

    def __init__(self, link, reader, writer, direction):
        self.link, self.reader, self.writer, self.direction = link, reader, writer, direction

    async def hold(self, piece):
        """Waits as long as the link's fault asks for; the bytes that may go on."""
        fault = self.link.fault
        if fault is None:
            return piece
        kind, value = fault["fault"], fault["value"]
        if kind == "delay":
            await asyncio.sleep(value)
        elif kind == "throttle":
            await asyncio.sleep(len(piece) / value)
        elif kind == "cut_frame":
            rest = self.link.door.rng.randint(1, max(1, len(piece) - 1))
            self.writer.write(piece[:rest])
            await self.writer.drain()
            self.link.reset()
            return b""
        elif kind == "stall" or (kind == "one_way" and value == self.direction):
            await self.link.healed.wait()
        elif kind == "vanish":
            await asyncio.Event().wait()
        return piece

    async def run(self):
        try:
            while True:
                piece = await self.reader.read(PIECE)
                if not piece:
                    break
                piece = await self.hold(piece)
                self.writer.write(piece)
                await self.writer.drain()
        except (OSError, ConnectionError):
            pass
        fault = self.link.fault
        if fault is None or fault["fault"] != "vanish":
            self.link.close()


class Link:
    def __init__(self, door, inner, outer):
        self.door = door
        self.fault = None
        self.healed = asyncio.Event()
        self.writers = [inner[1], outer[1]]
        self.pipes = [Pipe(self, inner[0], outer[1], 0), Pipe(self, outer[0], inner[1], 1)]

    async def run(self):
        self.tasks = [asyncio.ensure_future(pipe.run()) for pipe in self.pipes]
        await asyncio.wait(self.tasks)
        self.door.links.discard(self)

    def lay(self, fault):
        if self.fault is not None and self.fault["fault"] == "vanish":
            return  # it is dead already
        self.fault = fault
        self.healed.clear()
        if fault["fault"] == "cut":
            self.reset()
        elif fault["fault"] == "vanish":
            self.writers[1].close()  # the agent's end may notice; the other end is told nothing

    def heal(self, fault):
        if self.fault is fault and fault["fault"] != "vanish":
            self.fault = None
            self.healed.set()

    def reset(self):
        for writer in self.writers:
            connection = writer.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.healed.set()
        for writer in self.writers:
            writer.close()


class Door:
    """Where one agent is reached."""

    def __init__(self, port, target):
        self.port, self.target = port, target
        self.links = set()
        self.fault = None  # for links that are made now
        self.rng = random.Random(port)

    async def open(self):
        await asyncio.start_server(self.accept, "127.0.0.1", self.port, limit=HELD_MAX)

    async def accept(self, reader, writer):
        fault = self.fault
        if fault is not None and fault["fault"] == "cut" and fault["value"]:
            writer.close()
            return
        try:
            outer = await asyncio.open_connection("127.0.0.1", self.target, limit=HELD_MAX)
        except OSError:
            writer.close()
            return
        link = Link(self, (reader, writer), outer)
        self.links.add(link)
        if fault is not None and fault["fault"] not in ("cut", "cut_frame", "vanish"):
            link.lay(fault)
        await link.run()

    async def suffer(self, order):
        self.rng = random.Random(order["seed"])
        links = [link for link in list(self.links) if self.rng.random() < order["share"]]
        self.fault = order
        for link in links:
            link.lay(order)
        print(json.dumps(dict(links=len(links))), flush=True)
        await asyncio.sleep(order["seconds"])
        if self.fault is order:
            self.fault = None
        for link in list(self.links):
            link.heal(order)


async def main():
    numbers = [int(text) for pair in sys.argv[1:] for text in pair.split(":")]
    doors = {listen: Door(listen, target) for listen, target in zip(numbers[::2], numbers[1::2])}
    for door in doors.values():
        await door.open()
    orders = asyncio.StreamReader()
    loop = asyncio.get_event_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print(json.dumps(dict(ready=len(doors))), flush=True)
    tasks = set()
    while True:
        line = await orders.readline()
        if not line:
            return
        order = json.loads(line)
        tasks.add(asyncio.ensure_future(doors[order["port"]].suffer(order)))


if __name__ == "__main__":
    asyncio.run(main())
