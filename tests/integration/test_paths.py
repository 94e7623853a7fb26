"""Paths: what the engine sends at one end arrives at the other, and nowhere else.

end a ==> [ macvtap, switch, … ] ==> end b
"""

import errno
import os
import re
import select
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import Mode
from harness.bench.ends import BROADCAST, EndKind
from harness.bench.paths import PATHS, Carrier, PathSpec, Way, loop_path, open_path
from harness.errors import KernelError, UnfitError
from harness.kernel.counters import link_counters
from harness.kernel.dumps import Dumps
from harness.kernel.engine import FrameSpec, Pool
from harness.kernel.features import Backend, probe
from harness.kernel.gso import LargeFrame
from harness.kernel.privileges import ensure_namespaces
from harness.kernel.vnet import Gso
from harness.parts import LowerKind

SLOTS = 64
FRAMES = 300
RTM_GETNEIGH = 30
EXTERNAL = (Way.GUEST_TO_EXTERNAL, Way.EXTERNAL_TO_GUEST)
HAIRPINNED = [
    PathSpec(mode=Mode.VEPA),
    PathSpec(mode=Mode.VEPA, to_mode=Mode.BRIDGE),
    PathSpec(mode=Mode.BRIDGE, to_mode=Mode.VEPA),
    PathSpec(mode=Mode.PRIVATE),
    PathSpec(mode=Mode.PRIVATE, to_mode=Mode.BRIDGE),
]
MORE = [
    *HAIRPINNED,
    *(PathSpec(way=way, mode=mode) for way in EXTERNAL for mode in (Mode.VEPA, Mode.PRIVATE)),
    *(PathSpec(way=way, lower=LowerKind.VLAN) for way in EXTERNAL),
    PathSpec(mode=Mode.VEPA, lower=LowerKind.VLAN),
]
# vhost-net's thread is on its own: what it has to do is in test_engine.py.
ALL = [x for x in dict.fromkeys([*PATHS, *MORE]) if x.carrier is not Carrier.VHOST]
TAPS = [PathSpec(), PathSpec(mode=Mode.VEPA), PathSpec(carrier=Carrier.BRIDGE_TAP)]
TAPS += [PathSpec(way=Way.EXTERNAL_TO_GUEST), PathSpec(carrier=Carrier.IPVTAP)]


@pytest.fixture(scope="module", autouse=True)
def _fit():
    ensure_namespaces()
    if probe().backend is not Backend.TAP:
        pytest.skip(f"no taps: {probe().backend_reason}")
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})  # one backlog: frames keep their order
    yield
    os.sched_setaffinity(0, cpus)


def named(spec):
    return " ".join(filter(None, [spec.name, spec.variant and f"({spec.variant})"]))


def over(specs):
    return pytest.mark.parametrize("spec", specs, ids=named)


@contextmanager
def opened(spec):
    """The path, or a skip with the reason."""
    try:
        path = open_path(spec)
    except UnfitError as unfit:
        pytest.skip(str(unfit))
    with path:
        yield path


def changed(spec, **parameters):
    """The spec with other parameters; those that depend on the number of guests follow."""
    fields = {x: getattr(spec, x) for x in spec.__dataclass_fields__ if x != "guests"}
    return PathSpec(**fields | parameters)


def pool_for(path, *, length=60, flows=0, targets=()):
    spec = FrameSpec(
        targets=targets or path.targets or (path.b.mac,),
        sources=path.sources or (path.a.mac,),
        length=length,
        header=bytes(path.a.header),
        flows=flows or int(path.ip_only),
    )
    return Pool.of(spec, SLOTS)


def waiting(end, fd=None):
    """All frames that lie at an end, or in one queue of it, without headers."""
    frames = []
    for each in end.descriptors if fd is None else [fd]:
        while True:
            try:
                frames.append(os.read(each, 1 << 17)[end.header :])
            except BlockingIOError:
                break
    return frames


def send(path, pool, count):
    with path.a.sender(pool) as sender:
        left = count
        while left:
            sender.send(min(left, SLOTS))
            left -= min(left, SLOTS)
        assert sender.refused == 0


def expected(pool, header, count):
    return [bytes(pool.frame(n % SLOTS))[header:] for n in range(count)]


# ---------------------------------------------------------------------- frames


@over(ALL)
@pytest.mark.parametrize("length", [60, 1514])
def test_all_arrive(spec, length):
    """All of them, in order, unchanged; the sender gets nothing back."""
    with opened(spec) as path:
        pool = pool_for(path, length=length)
        send(path, pool, FRAMES)
        assert waiting(path.b) == expected(pool, path.a.header, FRAMES)
        assert waiting(path.a) == []


@over(ALL)
def test_engine(spec):
    """What the engine sends it receives, and knows the last of."""
    with opened(spec) as path:
        pool = pool_for(path)
        number_at = pool.number_at - path.a.header + path.b.header
        with (
            path.a.sender(pool) as sender,
            path.b.receiver(2048, number_at=number_at) as receiver,
        ):
            for _ in range(20):
                sender.send(SLOTS)
                found = 0
                while several := receiver.receive():
                    found += several
                assert (found, receiver.last) == (SLOTS, SLOTS - 1)


@over([x for x in ALL if x.carrier is not Carrier.MACVTAP] + [PathSpec(), PathSpec(mode=Mode.VEPA)])
def test_nobody_else_has_them(spec):
    """Two more guests listen, one more does not: unicast is none of theirs."""
    with opened(changed(spec, guests=5, listeners=2)) as path:
        pool = pool_for(path)
        send(path, pool, FRAMES)
        assert len(waiting(path.b)) == FRAMES
        assert [waiting(other) for other in path.others] == [[], []]


@pytest.mark.parametrize(
    ("spec", "on_the_wire"),
    [
        pytest.param(PathSpec(), 0, id="direct"),
        *(pytest.param(spec, FRAMES, id=named(spec)) for spec in HAIRPINNED),
    ],
)
def test_the_wire(spec, on_the_wire):
    """Frames go by the switch where they must be reflected, and only there."""
    with opened(spec) as path:
        before = link_counters(path.namespaces["host"])["lower"]
        send(path, pool_for(path), FRAMES)
        after = link_counters(path.namespaces["host"])["lower"]
        moved = {x: after[f"{x}_packets"] - before[f"{x}_packets"] for x in ("tx", "rx")}
        # A frame that is handed over directly comes by the lower device's own listeners first.
        assert moved["tx"] == on_the_wire
        assert len(waiting(path.b)) == FRAMES


@over(HAIRPINNED + [PathSpec(way=way) for way in EXTERNAL])
def test_nothing_is_flooded(spec):
    """The switch knows where to: its beacon, a port like any other, gets nothing."""
    with opened(spec) as path:
        before = link_counters(path.namespaces["switch"])["beacon"]["rx_packets"]
        send(path, pool_for(path), FRAMES)
        assert link_counters(path.namespaces["switch"])["beacon"]["rx_packets"] == before


@over([PathSpec(mode=Mode.VEPA), PathSpec(carrier=Carrier.BRIDGE_TAP)])
def test_nothing_is_forgotten(spec):
    """Who only receives is still known at the end of a long measurement."""
    with opened(spec) as path:
        ns, name = path.namespaces.get("switch"), "switch"
        if ns is None:
            ns, name = path.namespaces["host"], "bridge"
        data = ns.rtnl.link(name).get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
        assert data.get_attr("IFLA_BR_AGEING_TIME") == 24 * 60 * 60 * 100  # USER_HZ


@pytest.mark.parametrize("mtu", [9000, 65521])
@over(
    [
        *TAPS,
        PathSpec(way=Way.GUEST_TO_EXTERNAL),
        PathSpec(carrier=Carrier.BRIDGE_VETH),
        PathSpec(carrier=Carrier.MACVLAN),
        PathSpec(carrier=Carrier.IPVLAN),
    ]
)
def test_mtu(spec, mtu):
    """The longest frame of a larger MTU."""
    with opened(changed(spec, mtu=mtu)) as path:
        assert path.mtu == mtu
        pool = pool_for(path, length=mtu + 14)
        send(path, pool, 20)
        assert waiting(path.b) == expected(pool, path.a.header, 20)


# ---------------------------------------------------------------------- offloads


@over(
    [
        *TAPS[:3],
        *(PathSpec(way=way) for way in EXTERNAL),
        *(PathSpec(carrier=x) for x in (Carrier.BRIDGE_VETH, Carrier.MACVLAN, Carrier.IPVTAP)),
    ]
)
def test_gso(spec):
    """A frame of 64 KiB with its header arrives whole: nobody on the way has cut it up."""
    with opened(changed(spec, gso=True)) as path:
        assert path.a.header == path.b.header > 0
        large = LargeFrame(
            path.b.mac.hex(":"), path.a.mac.hex(":"), Gso.TCPV4, length=65_000, segment=1448
        )
        if path.ip_only:
            pytest.skip("a large frame's addresses are not ipvlan's")
        header = large.header.pack(path.a.header)
        frames = FrameSpec(
            targets=(path.b.mac,), sources=(path.a.mac,), header=header, body=large.frame
        )
        pool = Pool.of(frames, SLOTS)
        send(path, pool, 20)
        assert waiting(path.b) == expected(pool, path.a.header, 20)


# ---------------------------------------------------------------------- queues


@over(
    [
        PathSpec(),
        PathSpec(mode=Mode.VEPA),
        PathSpec(way=Way.EXTERNAL_TO_GUEST),
        PathSpec(carrier=Carrier.BRIDGE_TAP),
    ]
)
def test_queues_share_flows(spec):
    """Each flow goes to one queue, and every queue has some."""
    with opened(changed(spec, queues=4)) as path:
        assert len(path.b.descriptors) == 4
        pool = pool_for(path, flows=SLOTS)
        send(path, pool, 4 * SLOTS)
        ports = []
        for fd in path.b.descriptors:
            frames = waiting(path.b, fd)
            assert len(frames) >= 4
            ports.append({frame[34:36] for frame in frames})
            assert len(frames) == 4 * len(ports[-1])
        assert sum(map(len, ports)) == len(set().union(*ports)) == SLOTS


@over([changed(spec, queue=queue) for spec in TAPS for queue in (0, 50)])
def test_queue_is_as_long_as_it_says(spec):
    """Exactly `queue` frames are held, the rest is dropped; the first are kept."""
    with opened(spec) as path:
        assert path.queue == spec.queue or not spec.queue
        pool = pool_for(path)
        send(path, pool, path.queue + 100)
        assert waiting(path.b) == expected(pool, path.a.header, path.queue)


@over([PathSpec(way=Way.GUEST_TO_EXTERNAL), PathSpec(carrier=Carrier.BRIDGE_VETH)])
@pytest.mark.parametrize("length", [60, 1514])
def test_socket_holds_what_it_says(spec, length):
    """A packet socket holds `queue` frames at least, however large."""
    with opened(spec) as path:
        pool = pool_for(path, length=length)
        send(path, pool, path.queue)
        assert len(waiting(path.b)) == path.queue


# ---------------------------------------------------------------------- many


@over(
    [
        PathSpec(guests=64, listeners=62),
        PathSpec(guests=20, listeners=18, mode=Mode.VEPA),
        PathSpec(guests=20, listeners=19, way=Way.EXTERNAL_TO_GUEST),
        PathSpec(guests=20, listeners=18, carrier=Carrier.BRIDGE_TAP),
        PathSpec(guests=20, listeners=18, carrier=Carrier.BRIDGE_VETH),
        PathSpec(guests=20, listeners=18, carrier=Carrier.MACVLAN),
        PathSpec(guests=20, listeners=18, carrier=Carrier.IPVTAP),
    ]
)
def test_broadcast(spec):
    """What is broadcast comes to every listener, once."""
    with opened(spec) as path:
        assert len(path.others) == spec.listeners
        pool = pool_for(path, targets=(BROADCAST,))
        send(path, pool, 10)
        for end in (path.b, *path.others):
            frames = []
            while len(frames) < 10:
                assert select.select([end.fd], [], [], 1)[0], f"{end.link} has {len(frames)}"
                frames += waiting(end)
            assert frames == expected(pool, path.a.header, 10)


@over([PathSpec(guests=1000), PathSpec(guests=1000, mode=Mode.VEPA, listeners=998)])
def test_a_thousand_guests(spec):
    """The first sends to the second, whoever else is there."""
    with opened(spec) as path:
        found = link_counters(path.namespaces["host"])
        assert len(found) == 1000 + 2  # the lower device, and lo
        assert len(path.others) == spec.listeners
        pool = pool_for(path)
        send(path, pool, FRAMES)
        assert waiting(path.b) == expected(pool, path.a.header, FRAMES)
        assert not any(map(waiting, path.others))


@over(
    [
        PathSpec(sources=1000),
        PathSpec(sources=1000, mode=Mode.VEPA),
        PathSpec(sources=1000, way=Way.GUEST_TO_EXTERNAL),
        PathSpec(sources=1000, way=Way.EXTERNAL_TO_GUEST),
        PathSpec(sources=1000, way=Way.EXTERNAL_TO_GUEST, mode=Mode.SOURCE),
        PathSpec(sources=1000, carrier=Carrier.BRIDGE_TAP),
        PathSpec(sources=1000, carrier=Carrier.MACVLAN),
    ]
)
def test_sources(spec):
    """Frames come from a thousand addresses, each of which a switch has learned."""
    with opened(spec) as path:
        assert len(set(path.sources)) == 1000
        switch = path.namespaces.get("switch", path.namespaces["host"])
        if spec.hairpin or spec.way is not Way.GUEST_TO_GUEST or spec.carrier is Carrier.BRIDGE_TAP:
            assert set(path.sources) <= learned(switch)
        pool = pool_for(path)
        send(path, pool, FRAMES)
        assert waiting(path.b) == expected(pool, path.a.header, FRAMES)


def learned(ns):
    """The addresses in the forwarding databases of a namespace's bridges."""

    def dump():
        with Dumps() as dumps:
            return dumps.get(RTM_GETNEIGH, bytes([socket.AF_BRIDGE]).ljust(12, b"\0"))

    # struct ndmsg, then NDA_LLADDR (2) as the first attribute
    return {message[16:22] for message in ns.run(dump) if message[14:16] == b"\2\0"}


# ---------------------------------------------------------------------- the pipe


@pytest.mark.parametrize("length", [64, 1518, 4096, 4097, 9022, 65549])
def test_loop(length):
    """The engine without a network: as many frames as it says, whole, in order."""
    with loop_path(length) as path:
        assert path.b.kind is EndKind.PIPE
        pool = pool_for(path, length=length)
        for _ in range(3):
            count = min(path.queue, SLOTS)
            send(path, pool, count)
            found = [os.read(path.b.fd, length) for _ in range(count)]
            assert found == expected(pool, 0, count)
        with pytest.raises(BlockingIOError):
            os.read(path.b.fd, length)


# ---------------------------------------------------------------------- lifetime


@over(ALL)
def test_nothing_is_left(spec):
    """Closed once or twice, no descriptor, no thread and no namespace of it remains."""
    with opened(spec):
        pass  # what is made once for a process is there now
    before = inventory()
    path = open_path(spec)
    assert inventory() != before
    path.close()
    path.close()
    assert inventory() == before


def test_nothing_is_left_of_what_failed(monkeypatch):
    """A path that does not get ready is taken down, and says who was not heard."""
    monkeypatch.setattr("harness.bench.paths.ready._WITHIN", 0.05)
    monkeypatch.setattr("harness.bench.paths.ready._write", lambda end, frame: None)
    before = inventory()
    for spec in (PathSpec(mode=Mode.VEPA), PathSpec(carrier=Carrier.BRIDGE_VETH)):
        with pytest.raises(KernelError, match="is not heard at") as failed:
            open_path(spec)
        assert failed.value.errno == errno.ETIMEDOUT
        assert inventory() == before


def inventory():
    """Descriptors by what they are, and how many threads."""
    kinds = []
    for fd in Path("/proc/self/fd").iterdir():
        try:
            kinds.append(re.sub(r"\d+", "", str(fd.readlink())))
        except FileNotFoundError:  # the one for this listing
            continue
    return sorted(kinds), threading.active_count()


@over(
    [
        PathSpec(lower=LowerKind.VLAN),
        PathSpec(lower=LowerKind.DUMMY),
        PathSpec(carrier=Carrier.IPVLAN),
        PathSpec(carrier=Carrier.IPVTAP),
    ]
)
def test_what_is_missing_says_why(spec):
    """A kernel without it: the reason, and what to do."""
    before = inventory()
    try:
        open_path(spec).close()
    except UnfitError as error:
        unfit = error
    else:
        pytest.skip("this kernel has it")
    assert "this kernel has no" in unfit.cause
    assert "modprobe" in unfit.remedy
    assert inventory() == before
