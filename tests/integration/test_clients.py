#!/usr/bin/python3
"""More connections than an agent can have: it lives, those that are connected are served, others when there is room.
And clients that ask for more than they read, or than anybody needs to ask for."""
import socket
import struct

import msgpack
import zmq

from harness import Cluster, main, poll
from tim3_wire import NAMES, PATIENT, TYPES, Client, NoAnswer, Refused, number

ROUTER = "router.-.0"
AGENT = "token_manager.TIM3.0"
FILES = 128  # that a process may open, where that is to be too few
EXCESS = 300
RETRY = 75  # exit code


def with_files(address, files=FILES, **more):
    """A cluster one of whose processes may open no more files than that, and cannot raise it."""
    cluster = Cluster(**more)
    address = cluster.process_of(address)
    cluster.commands[address] = ["prlimit", f"--nofile={files}:{files}", *cluster.commands[address]]
    return cluster


def front_path(cluster):
    return cluster.front()[len("ipc://"):]


def strangers(path, count=EXCESS):
    """Connections that say nothing."""
    connected = []
    for _ in range(count):
        connected.append(socket.socket(socket.AF_UNIX))
        connected[-1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(PATIENT), 0))
        connected[-1].connect(path)
    return connected


def is_ended(stranger):
    """Whether the other end has hung up; what ZeroMQ sends first is passed over."""
    stranger.settimeout(0)
    try:
        while stranger.recv(4096):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def hang_up(connections):
    for connection in connections:
        connection.close()


def stats(client):
    return {metric["name"]: number(metric["value"]) for metric in client.ask(ROUTER, "Stats", {})["metrics"]}


def serving_pid(client, agent):
    """Of a token manager, once the router has accepted its store, for which it has to connect to the router."""
    try:
        client.ask_once(agent, "GetSupply", {}, timeout=0.5)
        return client.ask_once(agent, "Info", {}, timeout=0.5)["pid"]
    except (NoAnswer, Refused):
        return None


def reasons(client):
    return {reason["name"] for reason in client.ask(ROUTER, "Health", {})["reasons"]}


def refused(client):
    return stats(client)["front_clients_refused"]


def logged(cluster, event):
    return f'event="{event}"' in cluster.log_of(ROUTER)


def test_more_silent_connections_than_files():
    with with_files(ROUTER) as cluster:
        pid = cluster.process(ROUTER).pid
        client = cluster.client()
        assert client.ask(ROUTER, "Info", {})["pid"] == pid
        assert logged(cluster, "fewer clients")
        connected = strangers(front_path(cluster))
        poll(lambda: refused(client) >= EXCESS - FILES // 2, what="refusals")
        assert sum(map(is_ended, connected)) >= EXCESS - FILES // 2
        found = stats(client)
        assert found["front_clients_most"] == FILES // 2 and found["front_clients"] <= FILES // 2, found
        client.ask("mock_usda.USDA", "GetHolding", dict(account="alice"), "alice")
        poll(lambda: logged(cluster, "clients refused"), what="the log to tell")
        hang_up(connected)
        assert cluster.client().ask(ROUTER, "Info", {})["pid"] == pid
        poll(lambda: stats(client)["front_clients"] == 2, what="those that went to be counted out")
        assert cluster.running(ROUTER)


def test_who_never_speaks_makes_room():
    """Nobody hangs up here but the router itself."""
    with with_files(ROUTER) as cluster:
        client = cluster.client()
        pid = client.ask(ROUTER, "Info", {})["pid"]
        connected = strangers(front_path(cluster))
        poll(lambda: refused(client) > 0, what="refusals")
        assert cluster.client().ask(ROUTER, "Info", {})["pid"] == pid
        assert any(map(is_ended, connected))
        hang_up(connected)


def test_more_clients_than_files():
    """All are served in the end, each when another has gone; agents do not wait for that."""
    count = FILES
    with with_files(ROUTER) as cluster:
        witness = cluster.client()
        pid = witness.ask(ROUTER, "Info", {})["pid"]
        context = zmq.Context()
        waiting = []
        for _ in range(count):
            waiting.append(context.socket(zmq.DEALER))
            waiting[-1].setsockopt(zmq.LINGER, 0)
            waiting[-1].setsockopt(zmq.RECONNECT_IVL, 20)
            waiting[-1].connect(cluster.front())
            waiting[-1].send(witness.envelope(ROUTER, "Info", {})[1])
        poll(lambda: refused(witness) > 0, what="refusals")
        poll(lambda: "clients_refused" in reasons(witness), what="health to tell")
        cluster.restart(AGENT)  # what it leaves free at the router, those that wait must not take
        poll(lambda: serving_pid(witness, AGENT) == cluster.process(AGENT).pid, what="an agent to be let in")

        def serve():
            for one in [one for one in waiting if one.poll(0)]:
                one.close()
                waiting.remove(one)
            return not waiting
        poll(serve, what="all to be served")
        context.term()
        assert witness.ask(ROUTER, "Info", {})["pid"] == pid
        poll(lambda: not reasons(witness), what="health to be well again")


def test_another_set_at_the_same_front():
    """It does not come up, and the first keeps its clients."""
    with Cluster(coordinators=1) as cluster:
        other = Cluster(coordinators=1, sections=dict(router=dict(front=cluster.front())))
        other.sound = False
        try:
            other.start(ROUTER)
            poll(lambda: not other.running(ROUTER), what="the second router to end")
            assert other.process(ROUTER).returncode == RETRY and "no other set of agents" in other.log_of(ROUTER)
        finally:
            other.__exit__(None, None, None)
        cluster.ctl("usda", "mint", "alice", "100")
        cluster.restart(ROUTER)
        cluster.wait_ready()
        assert cluster.ctl_json("usda", "balance", "alice")["available"] == str(100 * 10**18)


def test_a_low_limit():
    with Cluster(sections={"router": dict(clients=3)}) as cluster:
        assert not logged(cluster, "fewer clients")
        first, second, third = [cluster.client() for _ in range(3)]
        for client in (first, second, third):
            client.ask(ROUTER, "Info", {})
        found = stats(first)
        assert (found["front_clients"], found["front_clients_most"]) == (3, 3), found
        assert not reasons(first)
        before = refused(first)
        late = cluster.client()
        asked = late.send(ROUTER, "Info", {})
        poll(lambda: refused(first) > before + 2, what="a client that knocks again and again")
        try:
            late.answer(asked, timeout=0)
            raise AssertionError("one too many was served")
        except NoAnswer:
            pass
        poll(lambda: reasons(first) == {"clients_refused"}, what="health to tell")
        assert logged(cluster, "clients refused")
        cluster.close(third)
        late.answer(asked)
        assert stats(first)["front_clients"] == 3
        poll(lambda: not reasons(first), what="health to be well again")


def test_another_agent_has_too_few_files():
    """The others' connections go on; who is new to it waits until there is room."""
    with with_files(AGENT) as cluster:
        client = cluster.client()
        pid = client.ask(AGENT, "Info", {})["pid"]
        connected = strangers(cluster.endpoint(AGENT)[len("ipc://"):])
        poll(lambda: sum(map(is_ended, connected)) >= EXCESS - FILES, what="refusals")
        assert client.ask(AGENT, "Info", {})["pid"] == pid
        hang_up(connected)
        direct = Client(cluster.endpoint(AGENT))
        assert direct.ask(AGENT, "Info", {})["pid"] == pid
        direct.close()


def mute(cluster, context):
    """A connection over which is asked and nothing is read."""
    connected = context.socket(zmq.DEALER)
    connected.setsockopt(zmq.LINGER, 0)
    connected.setsockopt(zmq.RCVHWM, 1)
    connected.connect(cluster.front())
    return connected


def test_who_does_not_read_is_kept_a_part():
    """Eight are answered half a gigabyte that they do not read, while another is served."""
    most, greedy, volume = 16 << 20, 8, 512 << 20
    with Cluster(coordinators=1, sections={"router": dict(unread_mb=most >> 20)}) as cluster:
        witness, context = cluster.client(), zmq.Context()
        size = len(msgpack.packb(witness.ask(ROUTER, "ConfigGet", {})))
        frame = b"".join(witness.envelope(ROUTER, "ConfigGet", {})[1] for _ in range(200))
        connected = [mute(cluster, context) for _ in range(greedy)]

        def enough():
            for one in connected:
                one.send(frame)
            return stats(witness)["front_answers"] * size >= volume
        poll(enough, what="so many answers")
        found = stats(witness)
        assert found["front_answers_dropped"] > 0, found
        assert most // 4 < found["front_unread_bytes"] < most, found
        assert found["memory_most_kb"] << 10 < volume * 3 // 4, found
        reader = connected[0]
        asked, question = witness.envelope(ROUTER, "Info", {})

        def read():
            """Whether the question was answered; it is asked again, for its answer may be one too many at first."""
            unpacker = msgpack.Unpacker(raw=True)
            while reader.poll(100):
                unpacker.feed(reader.recv())
            reader.send(question)
            return any(envelope[6] == asked for envelope in unpacker)
        poll(read, what="one that reads again to be answered")
        for one in connected:
            one.close()
        context.term()
        poll(lambda: stats(witness)["front_unread_bytes"] == 0, what="what nobody will read to be freed")


def test_what_the_router_itself_is_asked_is_bounded():
    many, most = 100, 64
    with Cluster(coordinators=1, sections={"router": dict(in_flight=most)}) as cluster:
        client = cluster.client()
        sent = [client.envelope(ROUTER, "List", {}) for _ in range(many)]
        client.socket.send(b"".join(data for _, data in sent))
        names = [body["name"] if kind == TYPES["Error"] else NAMES[kind]
                 for kind, body in (client.answer(identity) for identity, _ in sent)]
        assert names.count("Agents") == most and names.count("overloaded") == many - most, names
        client.ask(ROUTER, "List", {})


def test_a_body_is_bounded():
    with Cluster(coordinators=1) as cluster:
        client = cluster.client()
        for padding, name in ((4000, "Holding"), (4097, "too_large")):
            body = dict(account="alice", unknown="x" * padding)
            assert client.outcome("mock_usda.USDA", "GetHolding", body)[0] == name, padding


if __name__ == "__main__":
    main()
