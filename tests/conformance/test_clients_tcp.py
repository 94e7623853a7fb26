"""Real clients: TCP, by sockets of our own and by iperf3.

a [stack]--.
           lower [stack] ----- switch ----- external [stack]
b [stack]--'
"""

import hashlib
import json
import random
import socket
import threading

import pytest

from harness.kernel.counters import link_counters, moved
from harness.kernel.procnet import listening

PORT = 5201
SENT = random.Random(6).randbytes(1_000_000)
IPERF_BYTES = 16 << 20
CITED = (
    "virtualization guide, 17.12 (delivery modes); frames to be segmented pass whole where the "
    "reader takes them: tap_handle_frame, drivers/net/tap.c"
)


def tcp_flows(clients):
    """From a to everybody that it reaches and that reaches it."""
    return sorted(
        flow for flow in clients.reached if flow[0] == "a" and flow[::-1] in clients.reached
    )


def transferred(net, sender, to):
    """Digest of what `to` receives over one connection from `sender`."""
    digest = hashlib.sha256()
    with net.namespace(to).run(lambda: socket.create_server(("", PORT + 1))) as server:

        def receive():
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(1 << 16):
                    digest.update(data)

        server.settimeout(5)
        receiver = threading.Thread(target=receive)
        receiver.start()
        with net.namespace(sender).run(socket.socket) as client:
            client.settimeout(5)
            client.connect((net.topology.ips[to], PORT + 1))
            client.sendall(SENT)
        receiver.join(10)
    return digest.hexdigest()


def test_every_byte(stacks, clients):
    """A megabyte over TCP, wherever two stations reach each other: to the byte."""
    net = stacks(clients.topology)
    seen = {flow: transferred(net, *flow) for flow in tcp_flows(clients)}
    assert seen == dict.fromkeys(tcp_flows(clients), hashlib.sha256(SENT).hexdigest()), CITED


def test_refused(stacks, clients):
    """Nobody listens: the answer (a reset) comes back as well."""
    net = stacks(clients.topology)
    with net.namespace("a").run(socket.socket) as client:
        client.settimeout(5)
        with pytest.raises(ConnectionRefusedError):
            client.connect((net.topology.ips["external"], PORT + 2))


def iperf3(net, to, *options):
    """iperf3 from a: what it says at the end, and by how much the counters of a's card moved."""
    ns = net.namespace(to)
    with net.spawn(to, ["iperf3", "-s1", f"-p{PORT}"], ready=listening(ns, PORT)):
        before = link_counters(net.namespace("a"))
        ip = net.topology.ips[to]
        arguments = ["iperf3", "-c", ip, f"-p{PORT}", f"-n{IPERF_BYTES}", "-J", *options]
        client = net.run("a", arguments).checked()
    return json.loads(client.stdout)["end"], moved(before, link_counters(net.namespace("a")))["a"]


@pytest.mark.parametrize("way", ["tx", "rx"])
def test_iperf3(stacks, clients, way):
    """iperf3 moves its bytes at some rate, in frames far above the MTU: offloads survive."""
    net = stacks(clients.topology, programs=["iperf3"])
    for _, to in tcp_flows(clients):
        end, counters = iperf3(net, to, *(["-R"] if way == "rx" else []))
        sent, received = end["sum_sent"]["bytes"], end["sum_received"]["bytes"]
        # The receiver's count stops at the end of the test, with the last window on its way.
        assert sent >= IPERF_BYTES, CITED
        assert sent / 2 < received <= sent, CITED
        assert end["sum_received"]["bits_per_second"] > 0, CITED
        assert counters[f"{way}_bytes"] / counters[f"{way}_packets"] > 4 * 1514, CITED
