"""An EVB bridge at work, with more VSIs than it has room for.

a: well-behaved, flooder ---- veth ---- switch ---- TAP ---- b: well-behaved
"""

from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import pytest

from harness.kernel.links import add_veth, set_link
from harness.kernel.netns import NetNS
from harness.kernel.privileges import ensure_namespaces
from harness.vsi.facts import Association, Command, Dialect, EcpFrame, FilterInfo, Vsi, manager_of
from harness.vsi.frames import write
from harness.vsi.live import EvbSwitch, PacketPort, TapPort
from harness.vsi.live.driving import LivePeer, serve
from harness.vsi.lldp_machine import EvbPolicy
from harness.vsi.peer import Peer
from harness.vsi.vdp_machine import VsiState

pytestmark = [pytest.mark.root, pytest.mark.alone]

PRE, PRE_RR, ASSOCIATE, DE_ASSOCIATE = Command
ASSOCIATED = VsiState.ASSOCIATED
SHORT = EvbPolicy(rte=13, rwd=16, rka=16)  # a keepalive each 0.66 s
FLOOD = 10_000
BURST = 100
MOST = 1024
REFUSED = "stays unassociated: refused: insufficient resources"


@pytest.fixture(scope="module", autouse=True)
def _namespaces():
    ensure_namespaces()


def instance_of(number):
    return number.to_bytes(16, "big")


def mac_of(number):
    return bytes.fromhex("5254") + number.to_bytes(4, "big")


def vsi(number, command=ASSOCIATE):
    return Association(
        command, Vsi(manager_of(11), 7, 2, instance_of(number)), (FilterInfo(0, mac_of(number)),)
    )


def frame(source, target, text):
    return (mac_of(target) + mac_of(source) + b"\x88\xb5" + text.encode()).ljust(60, b"\0")


@contextmanager
def two_stations(dialect=Dialect.RATIFIED, *, packed=64, again=None):
    """Stations a and b, which have agreed on timers with the switch."""

    def peer(number):
        address = mac_of(0xF0 + number)
        return Peer(dialect=dialect, address=address, policy=SHORT, again=again, most=packed)

    with ExitStack() as stack:
        ns = stack.enter_context(NetNS.create())
        ns.rtnl.transact([add_veth("a", index=10, peer="sa", peer_index=11)])
        ns.rtnl.transact([set_link("sa", index=11, up=True)])
        far = [
            stack.enter_context(PacketPort.open(ns, "sa")),
            stack.enter_context(TapPort.open(ns, "b")),
        ]
        [tap] = [x["index"] for x in ns.rtnl.links() if x.get_attr("IFLA_IFNAME") == "b"]
        ns.rtnl.transact([set_link("b", index=tap, up=True)])
        ports = [stack.enter_context(PacketPort.open(ns, name)) for name in "ab"]
        switch = stack.enter_context(EvbSwitch(far, policy=SHORT, most=MOST))
        a, b = (LivePeer(port, peer(number)) for number, port in enumerate(ports))
        serve([a, b], lambda: a.peer.relaying and b.peer.relaying, within=5)
        yield SimpleNamespace(switch=switch, a=a, b=b)


def has(station, number, state=ASSOCIATED):
    return lambda: station.peer.state(instance_of(number)) is state


def lost(station):
    """What happened to its VSIs that they did not ask for."""
    return [event.text for event in station.events if "unassociated:" in event.text]


@pytest.mark.parametrize(
    ("dialect", "packed"),
    [
        pytest.param(Dialect.RATIFIED, 1, id="ratified-single"),
        pytest.param(Dialect.DRAFT, 64, id="draft-packed"),
    ],
)
def test_a_thousand_vsis(dialect, packed):
    """Associated, kept alive where the dialect lets that be soon, and de-associated."""
    with two_stations(dialect, packed=packed) as bed:
        bed.a.ask(vsi(number) for number in range(1000))
        serve([bed.a, bed.b], lambda: bed.a.peer.count(ASSOCIATED) == 1000, within=10)
        assert len(bed.switch.vsis("sa")) == 1000
        if dialect is Dialect.RATIFIED:
            until = bed.a.now + 2 * bed.a.peer.timers.station_keepalive + 0.5
            serve([bed.a, bed.b], lambda: bed.a.now > until, within=5)
            assert bed.a.peer.count(ASSOCIATED) == 1000
        assert lost(bed.a) == []
        bed.a.ask(vsi(number, DE_ASSOCIATE) for number in range(1000))
        serve([bed.a, bed.b], lambda: len(bed.a.peer) == 0, within=10)
        assert bed.switch.vsis("sa") == ()


@pytest.mark.parametrize(
    ("dialect", "command"),
    [
        pytest.param(Dialect.RATIFIED, ASSOCIATE, id="ratified-associate"),
        pytest.param(Dialect.DRAFT, PRE, id="draft-pre-associate"),
    ],
)
def test_a_flood_of_vsis(dialect, command):
    """10,000 of them at port a, from one who acknowledges nothing.

    A VSI that was there before stays, is kept alive and is heard of by its peer at b after every
    hundred; whoever comes meanwhile is answered, and gets in where there is room.
    """
    with two_stations(dialect) as bed:
        bed.a.ask([vsi(1)])
        bed.b.ask([vsi(2)])
        both = [bed.a, bed.b]
        serve(both, lambda: has(bed.a, 1)() and has(bed.b, 2)(), within=5)
        for number in range(FLOOD):
            asked = EcpFrame(
                dialect, mac_of(0xBAD), bytes.fromhex("0180c2000000"), number % 0xFFFF + 1,
                associations=(vsi(number + 1000, command),),
            )  # fmt: skip
            bed.a.port.write(write(asked))
            if number == FLOOD // 2:
                bed.a.ask([vsi(3)])
                bed.b.ask([vsi(4)])
            if number % BURST == 0:
                there = frame(1, 2, f"after {number}")
                bed.a.port.write(there)
                serve(both, lambda there=there: there in bed.b.frames, within=3)
        assert len(bed.switch.vsis("sa")) <= MOST
        serve(both, lambda: bed.a.peer.settled(instance_of(3)) and has(bed.b, 4)(), within=1)
        until = bed.a.now + 1
        serve(both, lambda: bed.a.now > until, within=5)
        assert has(bed.a, 1)()
        assert has(bed.b, 2)()
        if command is PRE:
            assert has(bed.a, 3)()  # what is not associated gives way
        assert [text for text in lost(bed.a) if text != REFUSED] == lost(bed.b) == []
        assert has(bed.a, 3)() is (lost(bed.a) == [])


def test_two_stations_with_one_instance():
    """The one that asks last has it: the other is told, and its frames go nowhere."""
    with two_stations() as bed:
        both = [bed.a, bed.b]
        bed.a.ask([vsi(1)])
        serve(both, has(bed.a, 1), within=5)
        bed.b.ask([vsi(1)])
        serve(both, lambda: has(bed.b, 1)() and not has(bed.a, 1)(), within=5)
        assert lost(bed.a) == ["associated → unassociated: de-associated by the bridge"]
        assert [len(bed.switch.vsis(port)) for port in ("sa", "b")] == [0, 1]
        bed.a.ask([vsi(2)])
        serve(both, has(bed.a, 2), within=5)
        bed.a.port.write(frame(1, 1, "from the one that lost it"))
        bed.a.port.write(frame(2, 1, "the sentinel"))
        serve(both, lambda: frame(2, 1, "the sentinel") in bed.b.frames, within=5)
        assert frame(1, 1, "from the one that lost it") not in bed.b.frames


def test_two_stations_that_insist_on_one_instance():
    """They take it from each other, each as soon as it may; the switch keeps up with both."""
    with two_stations(again=0.05) as bed:
        both = [bed.a, bed.b]
        for station in both:
            station.ask([vsi(1)])
        serve(both, lambda: all(len(lost(station)) > 5 for station in both), within=5)
        known = [bed.switch.vsis(port) for port in ("sa", "b")]
        assert sum(len(one) for one in known) <= 2
