"""Loads an EVB bridge at work with 1,000 VSIs over a real link, on which nothing is lost.

    sudo .venv/bin/python benchmarks/vsi_load.py [--default-timers]

A station asks for all of them, keeps them alive for two periods and lets go of them; station and
switch are two threads of one Python, so that each has about half of a processor. The ratified
dialect's period is agreed on as 2.6 s, with --default-timers it is the standard's 10.5 s; draft
0.2 has no other than 10 s. "single" puts one association into a frame, as lldpad does, "packed" as
many as fit. "frames" and "CPU" are of the two periods, the station's frames and both threads'
time. Then 10,000 VSIs that nobody asked for, at a port with room for 1,024 and where a
well-behaved station is: how late its frames are, behind 100 requests each time, and how late the
answer to a VSI that it asks for in the midst. Memory is what Python has allocated for a VSI.
"""

from __future__ import annotations

import argparse
import gc
import statistics
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
FLOOD = 10_000
BURST = 100


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


def resident() -> float:
    """Mebibytes of memory that the process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def run(link: str, dialect: Dialect, packed: int, policy: EvbPolicy) -> None:
    """One line: what 1,000 VSIs take."""
    everyone = [association(number) for number in range(VSIS)]
    gone = [association(number, Command.DE_ASSOCIATE) for number in range(VSIS)]
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
        assert len(switch.vsis(far.name)) == VSIS
        cpu, started, sent = time.process_time(), station.now, station.sent
        until = started + PERIODS * peer.timers.station_keepalive + 2 * rise + 0.5
        serve([station], lambda: station.now >= until, within=60)
        cpu = (time.process_time() - cpu) / (station.now - started)
        alive = len([x for x in switch.vsis(far.name) if x.state is VsiState.ASSOCIATED])
        told = station.sent - sent
        station.ask(gone)
        fall = serve([station], lambda: len(peer) == 0, within=60)
        assert not switch.vsis(far.name)
        lost = [event.text for event in station.events if "unassociated:" in event.text]
        lost = [text for text in lost if not text.endswith("granted")]
    print(
        f"{link:5} {dialect:9} {'packed' if packed > 1 else 'single':7}"
        f"{VSIS / rise:8,.0f}/s {alive:9,} {told:8,} {cpu:7.0%} {VSIS / fall:11,.0f}/s"
        f"  {'; '.join(lost)}"
    )


def flood(dialect: Dialect, command: Command) -> None:
    """One line: what a flood costs the well-behaved."""
    with (
        NetNS.create() as ns,
        veth(ns) as (near, far),
        TapPort.open(ns, "other") as other,
        EvbSwitch([far, other], policy=SHORT) as switch,
    ):
        [index] = [x["index"] for x in ns.rtnl.links() if x.get_attr("IFLA_IFNAME") == "other"]
        ns.rtnl.transact([set_link("other", index=index, up=True)])
        stations = [
            LivePeer(port, Peer(dialect=dialect, policy=SHORT, address=bytes(5) + bytes([number])))
            for number, port in enumerate((near, PacketPort.open(ns, "other")), 1)
        ]
        here, there = (one.peer for one in stations)
        stations[0].ask([association(1)])
        stations[1].ask([association(2)])
        ready = [association(number).vsi.instance for number in (1, 2, 3)]
        serve(
            stations,
            lambda: here.state(ready[0]) is there.state(ready[1]) is VsiState.ASSOCIATED,
            within=5,
        )
        gc.collect()
        before, late, asked, answered = resident(), [], 0.0, 0.0
        started = time.perf_counter()
        for number in range(FLOOD):
            near.write(
                write(
                    EcpFrame(
                        dialect,
                        bytes.fromhex("02bad0000000"),
                        bytes.fromhex("0180c2000000"),
                        number % 0xFFFF + 1,
                        associations=(association(number + 1000, command),),
                    )
                )
            )
            if number == FLOOD // 2:
                stations[0].ask([association(3)])
                asked = time.perf_counter()
            if number % BURST == BURST - 1:
                frame = bytes.fromhex("525400000002525400000001") + number.to_bytes(48, "big")
                near.write(frame)
                late.append(
                    serve(stations, lambda frame=frame: frame in stations[1].frames, within=5)
                )
            if asked and not answered and here.settled(ready[2]):
                answered = time.perf_counter() - asked
        took = time.perf_counter() - started
        known = len(switch.vsis(far.name))
        kept = here.state(ready[0]) is there.state(ready[1]) is VsiState.ASSOCIATED
        stations[1].port.close()
    print(
        f"{dialect:9} {command:14} {FLOOD / took:7,.0f}/s {known:6,}"
        f" {1000 * statistics.median(late):7.1f} {1000 * max(late):7.1f} ms"
        f" {1000 * answered:8.0f} ms  {'kept' if kept else 'LOST'}"
        f"  +{resident() - before:.0f} MiB"
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
    print("link  dialect   way     associated   alive   frames     CPU  de-associated")
    for link in LINKS:
        for dialect in Dialect:
            for packed in (1, PACKED):
                run(link, dialect, packed, policy)
    print("dialect   10,000 of      handled  known   frames late (most)     answer  VSIs  process")
    for dialect in Dialect:
        for command in (Command.PRE_ASSOCIATE, Command.ASSOCIATE):
            flood(dialect, command)
    memory()


if __name__ == "__main__":
    main()
