"""Taps by device number: the right one, or none."""

import errno
from pathlib import Path

import pytest

from harness import ForeignTapError, Guest, KernelError, Mode, Topology
from harness.kernel.features import Backend, probe
from harness.kernel.links import delete_link
from harness.kernel.privileges import ensure_namespaces
from harness.kernel.taps import Offload, Tap, device_number
from harness.testbed import Testbed
from harness.testbed.wiring import Wiring


@pytest.fixture(scope="module", autouse=True)
def _taps_here():
    ensure_namespaces()
    if probe().backend is not Backend.TAP:
        pytest.skip(f"no taps: {probe().backend_reason}")


@pytest.fixture
def wiring():
    """One guest, without a testbed around it."""
    with Wiring(Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)])) as wiring:
        wiring.build()
        yield wiring


def test_another_guests_device_is_refused(wiring):
    """The device number of b, asked for as a: closed unread."""
    device = device_number(wiring.host, "b")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ForeignTapError, match="belongs to 'b'"):
        Tap.of_device(device, "a")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_same_name_in_another_namespace_is_refused(wiring):
    """Two namespaces both have an `a`: the address tells them apart."""
    other = Topology([Guest("a", Mode.BRIDGE, mac="02:68:70:01:00:99")])
    with Wiring(other) as elsewhere:
        elsewhere.build()
        device = device_number(elsewhere.host, "a")
        with pytest.raises(ForeignTapError, match="02:68:70:01:00:99"):
            Tap.of_device(device, "a", mac=wiring.topology.macs["a"])


def test_index_collision_between_namespaces(wiring):
    """Equal indexes, so equal /dev/tapN names: each namespace's own device all the same."""
    with Wiring(wiring.topology) as twin:
        twin.build()
        assert twin.index == wiring.index
        assert device_number(twin.host, "a") != device_number(wiring.host, "a")
        Tap.open(twin.host, "a", mac=wiring.topology.macs["a"]).close()


def test_no_such_link(wiring):
    """ENODEV, by name."""
    with pytest.raises(KernelError, match="open tap zz: ENODEV"):
        Tap.open(wiring.host, "zz")


@pytest.mark.parametrize("header", [10, 12])
def test_vnet_header_and_offloads(wiring, header):
    """A header of that size before each frame; offloads accepted with it."""
    with Tap.open(
        wiring.host, "a", vnet_header=header, offloads=Offload.CSUM | Offload.TSO4
    ) as tap:
        assert tap.header == header


@pytest.mark.parametrize("header", [1, 9])
def test_vnet_header_too_short(wiring, header):
    """Below 10 bytes: EINVAL."""
    with pytest.raises(KernelError) as refused:
        Tap.open(wiring.host, "a", vnet_header=header)
    assert refused.value.errno == errno.EINVAL


def test_several_queues(wiring):
    """Each open is a queue of its own."""
    with (
        Tap.open(wiring.host, "a", multi_queue=True) as first,
        Tap.open(wiring.host, "a", multi_queue=True) as second,
    ):
        assert first.fd != second.fd


def test_alive_until_the_lower_device_goes():
    """TUNGETIFF tells when the link behind a descriptor is gone."""
    with Testbed(Topology([Guest("a", Mode.BRIDGE)])) as bed:
        tap = bed.endpoints["a"].tap
        assert tap.alive()
        lower = delete_link("lower", index=bed.wiring.index["lower"])
        bed.wiring.host.rtnl.transact([lower])
        assert not tap.alive()
