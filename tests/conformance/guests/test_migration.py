"""Live migration: a guest moves while an external host asks it for an echo every 10 ms.

    hosta                     switch                     hostb
    .--------------.       .----------.       .--------------.
    | guest ─ lower ─|─────|── switch ──|─────|─ lower ─ guest |
    |        stream ─|─────|─────┼──────|─────|─ stream        |
    '--------------'       '-----┼----'       '--------------'
                              external

Both hosts have a libvirtd of their own. When a migration fails, the guest stays where it is, and
nothing of it is left where it was to go.
"""

import time
from dataclasses import replace

import pytest

from harness.errors import LibvirtError, UnfitError
from harness.kernel.linkstate import link_state
from harness.kernel.waiting import look_until
from harness.parts import Mode
from harness.plugin import failed_key, fit

pytestmark = pytest.mark.guests

SOON = 10.0  # seconds, on a machine that is busy
CLEAN_WITHIN = 5.0
SLOW = 1  # MiB/s: slow enough to do something meanwhile
SILENCE = 10.0  # seconds; the longest that would be no failure of ours


@pytest.fixture(scope="module")
def pairs():
    """Pairs of hosts, by whether they have IPv6."""
    made = {}
    yield made
    for pair in made.values():
        pair.close()


@pytest.fixture
def pair_of(request, pairs):
    """A factory: ``pair_of(ipv6=…)`` is two hosts; new ones after a failure."""
    fit(request.config)

    def make(*, ipv6=False):
        try:
            from harness.guests.migration.pair import HostPair
            from harness.guests.tiny.image import image

            if ipv6 not in pairs:
                pairs[ipv6] = HostPair(image(), ipv6=ipv6)
        except UnfitError as error:
            pytest.skip(str(error))
        return pairs[ipv6]

    yield make
    if request.node.stash.get(failed_key, False):
        while pairs:
            pairs.popitem()[1].close()


@pytest.fixture
def pair(pair_of):
    """Two hosts without IPv6."""
    return pair_of()


@pytest.fixture
def guest(pair):
    """A guest in vepa mode, on either of them; it stays between tests."""
    try:
        return pair.guest("roamer")
    except KeyError:
        return pair.start("roamer", Mode.VEPA)


def left_on(host):
    """What is left of a guest's macvtaps on a host, once it had time to go."""
    from harness.kernel.linkstate import macvtaps

    return look_until(lambda: macvtaps(host.ns), lambda x: not x, within=CLEAN_WITHIN)


def order(**given):
    from harness.guests.migration.move import Order

    return Order(**given)


def check_moved(pair, before, moved):
    """The guest is whole on its new host, and nothing is left on the old one."""
    from harness.guests.migration.pair import EXTERNAL

    guest, seen = moved.guest, moved.delivery
    assert guest.host is pair.other(before.host)
    assert guest.unlike() == []
    assert left_on(before.host) == []
    for lower, was in before.host.before.items():
        assert link_state(before.host.ns, lower).mac == was.mac
    assert guest.agent.ping(EXTERNAL.ip).ok
    assert seen.rarps > 0
    assert seen.gratuitous_arps > 0
    assert (seen.duplicates, seen.reordered) == (0, 0)
    assert seen.longest_gap < SILENCE
    # What the switch learned is what it heard; where the guest was at first it may have known.
    ports = tuple(x.port for x in moved.moves)
    assert moved.learned in (ports, ports[1:])
    assert ports[-1] == pair.name_of(guest.host)


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU])
def test_modes(pair, mode):
    """A guest of every mode comes through, and is the one that it was."""
    from harness.guests.migration.move import migrate

    for roamer in [g for host in pair.hosts for g in host.guests.values()]:
        roamer.close()  # passthru suffers nobody beside it
        roamer.host.guests.pop(roamer.name)
    with pair.start(f"in-{mode}", mode) as before:
        boot = before.agent.hello.boot
        moved = migrate(pair, before)
        with moved.guest:
            assert moved.mode is mode
            assert moved.guest.agent.hello.boot == boot
            check_moved(pair, before, moved)
            assert [x.port for x in moved.moves] == ["hosta", "hostb"]
        moved.guest.host.guests.pop(before.name)


@pytest.mark.parametrize("variant", ["unix", "p2p", "tunnelled"])
def test_variants(pair, guest, variant):
    """Whoever runs it, and whatever the memory goes over."""
    from harness.guests.migration.move import Variant, migrate

    moved = migrate(pair, guest, order(variant=Variant(variant)))
    check_moved(pair, guest, moved)


def test_other_xml(pair, guest):
    """Lower device and mode may change on the way (`virsh migrate --xml`)."""
    from harness.guests.migration.move import migrate
    from harness.guests.migration.pair import LOWER, SPARE

    (nic,) = guest.wanted.interfaces
    there = migrate(pair, guest, order(interfaces=(replace(nic, source=SPARE, mode=Mode.PRIVATE),)))
    assert there.guest.seen().lower.name == SPARE
    assert there.guest.seen().mode is Mode.PRIVATE
    assert there.guest.unlike() == []
    assert left_on(guest.host) == []
    back = migrate(pair, there.guest, order(interfaces=(nic,)))
    assert back.guest.seen().lower.name == LOWER
    check_moved(pair, there.guest, back)


def test_hosts_with_ipv6(pair_of):
    """The old host's own stack may lead the switch back to it: a link of it has the guest's MAC."""
    from harness.guests.migration.move import migrate

    pair = pair_of(ipv6=True)
    with pair.start("six", Mode.PRIVATE) as before:
        moved = migrate(pair, before)
        with moved.guest:
            check_moved(pair, before, moved)
            assert all(x.frame.startswith("IPv6 ") for x in moved.pulled_back)
        moved.guest.host.guests.pop(before.name)


# ---------------------------------------------------------------------- what goes wrong


def check_stayed(pair, guest, *, occupants=()):
    """The guest goes on where it is; its new host is as it was."""
    from harness.guests.migration.pair import EXTERNAL
    from harness.kernel.linkstate import macvtaps

    target = pair.other(guest.host)

    def left():
        return [x.name for x in macvtaps(target.ns) if x.name not in occupants]

    assert look_until(left, lambda x: not x, within=CLEAN_WITHIN) == []
    for lower, was in target.before.items():
        assert link_state(target.ns, lower).mac == was.mac
    assert guest.running.active
    assert guest.unlike() == []
    assert guest.agent.ping(EXTERNAL.ip).ok


def test_missing_lower(pair, guest):
    """The target has no such device: refused before anything flows."""
    from harness.guests.migration.move import begin

    (nic,) = guest.wanted.interfaces
    began = time.monotonic()
    with pytest.raises(LibvirtError, match=r"interface missing.*No such device"):
        begin(pair, guest, order(interfaces=(replace(nic, source="missing"),))).wait()
    assert time.monotonic() - began < SOON
    check_stayed(pair, guest)


def test_occupied_lower(pair, guest):
    """The target's device is passed through to somebody (macvlan_common_newlink: EINVAL)."""
    from harness.guests.migration.move import begin

    target = pair.other(guest.host)
    pair.occupy(target)
    try:
        began = time.monotonic()
        with pytest.raises(LibvirtError, match=r"creating macvtap interface.*Invalid argument"):
            begin(pair, guest).wait()
        assert time.monotonic() - began < SOON
        check_stayed(pair, guest, occupants=("occupant",))
    finally:
        pair.vacate(target)


def slowly(pair, guest, variant="client-managed"):
    """A migration whose memory flows, and flows on until something happens.

    Meanwhile the target's macvtap is there, and down.
    """
    from harness.guests.migration.move import Variant, begin
    from harness.kernel.linkstate import macvtaps

    moving = begin(pair, guest, order(variant=Variant(variant), mib_per_second=SLOW))
    moving.wait_for_stream()
    (link,) = macvtaps(moving.target.ns)
    assert link.macvtap.mode is guest.seen().mode
    assert link.mac == guest.seen().link.mac
    assert not link.up
    return moving


def test_aborted(pair, guest):
    """`virsh domjobabort`."""
    moving = slowly(pair, guest)
    began = time.monotonic()
    moving.abort()
    # Which of the two comes first, QEMU's state or its stream's end, is a race inside QEMU.
    with pytest.raises(LibvirtError, match=r"canceled by client|Unable to write to socket"):
        moving.wait()
    assert time.monotonic() - began < SOON
    check_stayed(pair, guest)


@pytest.mark.parametrize("variant", ["p2p", "tunnelled"])
def test_target_daemon_killed(pair, guest, variant):
    """The source notices at once; the half of a guest on the target goes with the next libvirtd."""
    from harness.kernel.linkstate import macvtaps

    moving = slowly(pair, guest, variant)
    began = time.monotonic()
    moving.target.libvirtd.stop(kill=True)
    with pytest.raises(LibvirtError, match=r"client socket is closed|[Ll]ost connection"):
        moving.wait()
    assert time.monotonic() - began < SOON
    assert guest.running.active
    (link,) = macvtaps(moving.target.ns)
    assert not link.up
    moving.target.libvirtd.start()
    moving.target.connection = moving.target.libvirtd.connect()
    check_stayed(pair, guest)


def test_stream_cut(pair, guest):
    """The link that the memory goes over is cut: the source's TCP gives up, and so does QEMU.

    It gives up after tcp_retries2 attempts, which by default takes a quarter of an hour.
    """
    guest.host.ns.sysctl("net.ipv4.tcp_retries2", "3")
    moving = slowly(pair, guest)
    began = time.monotonic()
    pair.cut_stream()
    try:
        with pytest.raises(LibvirtError, match="Unable to write to socket"):
            moving.wait()
        assert time.monotonic() - began < 3 * SOON
        check_stayed(pair, guest)
    finally:
        pair.cut_stream(mended=True)
        guest.host.ns.sysctl("net.ipv4.tcp_retries2", "15")
