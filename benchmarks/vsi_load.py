"""Loads an EVB bridge at work with 1,000 VSIs over a real link, on which nothing is lost.

    sudo .venv/bin/python benchmarks/vsi_load.py [--default-timers]

A station asks for all of them, keeps them alive for two periods and lets go of them; station and
switch are two threads of one Python, so that each has about half of a processor. The ratified
dialect's period is agreed on as 2.6 s, with --default-timers it is the standard's 10.5 s; draft
0.2 has no other than 10 s. "single" puts one association into a frame, as lldpad does, "packed" as
many as fit. Memory is what Python has allocated for the bridge's VSIs, by tracemalloc.
"""

from __future__ import annotations

import argparse
import gc
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.kernel.links import add_veth, set_link
from harness.kernel.netns import NetNS
from harness.vsi.bridge import Bridge
from harness.vsi.facts import (
    Association,
    Command,
    Dialect,
    EcpFrame,
    FilterInfo,
    Vsi,
    manager_of,
)
from harness.vsi.frames import write
from harness.vsi.live import EvbSwitch, PacketPort, TapPort
from harness.vsi.live.driving import LivePeer, serve
from harness.vsi.live.ports import Port
from harness.vsi.lldp_machine import EvbPolicy
from harness.vsi.peer import Peer
from harness.vsi.vdp_machine import VsiState

VSIS = 1000
PERIODS = 2
SHORT = EvbPolicy(rte=12, rwd=17, rka=18)
PACKED = 64


def association(number: int, command: Command = Command.ASSOCIATE) -> Association:
    """What a VSI asks for, by its number."""
    return Association(
        command,
        Vsi(manager_of(11), 1193047, 2, number.to_bytes(16, "big")),
        (FilterInfo(0, bytes.fromhex("5254") + number.to_bytes(4, "big")),),
    )


@contextmanager
def veth(ns: NetNS) -> Iterator[tuple[Port, Port]]:
    """The station's port and the switch's, at the ends of a veth pair."""
    ns.rtnl.transact([add_veth("station", index=10, peer="switch", peer_index=11)])
    ns.rtnl.transact([set_link("switch", index=11, up=True)])
    with PacketPort.open(ns, "station") as near, PacketPort.open(ns, "switch") as far:
        yield near, far


@contextmanager
def tap(ns: NetNS) -> Iterator[tuple[Port, Port]]:
    """The station's port is a TAP device, the switch's its wire."""
    with TapPort.open(ns, "station") as far:
        [index] = [x["index"] for x in ns.rtnl.links() if x.get_attr("IFLA_IFNAME") == "station"]
        ns.rtnl.transact([set_link("station", index=index, up=True)])
        with PacketPort.open(ns, "station") as near:
            yield near, far


LINKS = {"veth": veth, "TAP": tap}


def resident() -> int:
    """Octets of memory that the process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def run(link: str, dialect: Dialect, packed: int, policy: EvbPolicy) -> None:
    """One line: what 1,000 VSIs take."""
    everyone = [association(number) for number in range(VSIS)]
    gone = [association(number, Command.DE_ASSOCIATE) for number in range(VSIS)]
    gc.collect()
    before = resident()
    with (
        NetNS.create() as ns,
        LINKS[link](ns) as (near, far),
        EvbSwitch([far], policy=policy) as switch,
    ):
        peer = Peer(dialect=dialect, policy=policy, most=packed)
        station = LivePeer(near, peer)
        serve([station], lambda: peer.relaying, within=10)
        station.ask(everyone)
        rise = serve([station], lambda: peer.count(VsiState.ASSOCIATED) == VSIS, within=60)
        grown = resident() - before
        assert len(switch.vsis(far.name)) == VSIS
        cpu, started, sent = time.process_time(), station.now, station.sent
        until = started + PERIODS * peer.timers.station_keepalive + 1
        serve([station], lambda: station.now >= until, within=60)
        cpu = (time.process_time() - cpu) / (station.now - started)
        alive = len([x for x in switch.vsis(far.name) if x.state is VsiState.ASSOCIATED])
        told = station.sent - sent
        station.ask(gone)
        fall = serve([station], lambda: len(peer) == 0, within=60)
        assert not switch.vsis(far.name)
        lost = [event.text for event in station.events if "granted" not in event.text]
    print(
        f"{link:5} {dialect:9} {'packed' if packed > 1 else 'single':7}"
        f"{VSIS / rise:8,.0f}/s {alive:9,} {told:8,} {cpu:7.0%} {VSIS / fall:11,.0f}/s"
        f" {grown / VSIS / 1024:9.1f} KiB  {'; '.join(lost)}"
    )


def memory() -> None:
    """What Python allocates for each VSI of a bridge, and of a station."""
    for what in ("bridge", "station"):
        octets = [
            write(
                EcpFrame(
                    Dialect.RATIFIED,
                    bytes(6),
                    bytes(6),
                    number,
                    associations=(association(number),),
                )
            )
            for number in range(1, VSIS + 1)
        ]
        bridge, peer = Bridge(), Peer()
        gc.collect()
        tracemalloc.start()
        if what == "bridge":
            for number, frame in enumerate(octets, 1):
                bridge.receive(frame, 0.0)
                ack = EcpFrame(Dialect.RATIFIED, bytes(6), bytes(6), number, acknowledge=True)
                bridge.receive(write(ack), 0.0)
        else:
            peer.ask((association(number) for number in range(VSIS)), 0.0)
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(f"{what}: {taken / VSIS / 1024:.1f} KiB of Python's memory for a VSI")


def main() -> None:
    """Print a line for each link, dialect and way."""
    parser = argparse.ArgumentParser(description="1,000 VSIs at an EVB bridge at work")
    parser.add_argument("--default-timers", action="store_true", help="keep alive every 10.5 s")
    policy = EvbPolicy() if parser.parse_args().default_timers else SHORT
    print("link  dialect   way     associated     alive  frames     CPU  de-associated  grown by")
    for link in LINKS:
        for dialect in Dialect:
            for packed in (1, PACKED):
                run(link, dialect, packed, policy)
    memory()


if __name__ == "__main__":
    main()
