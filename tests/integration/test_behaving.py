"""How a kernel behaves is found by trying: each attempt tells one kernel from the other.

    peer ----- lower --- macvtap

What this kernel does is what it does; the other answer is had by laying the wire otherwise.
"""

import pytest

from harness.behaviours import Behaviour
from harness.kernel import behaving
from harness.kernel.features import probe
from harness.kernel.links import (
    add_macvtap,
    add_veth,
    configure_macvtap,
    delete_link,
    set_attributes,
    set_link,
)
from harness.kernel.linkstate import wait_for_link
from harness.kernel.privileges import ensure_namespaces
from harness.parts import Guest, Mode

SHARED, RENAME, COUNTS = Behaviour.SHARED_SOURCE, Behaviour.LIVE_RENAME, Behaviour.NOOP_COUNTS


@pytest.fixture
def wire():
    """A namespace with a wire and a macvtap, as each attempt has one."""
    ensure_namespaces()
    with behaving._wire() as ns:
        yield ns


def change(ns, name, index, **what):
    attributes = what.pop("attributes", ())
    if attributes:
        ns.rtnl.transact([set_attributes(name, index=index, attributes=attributes)])
    if what:
        ns.rtnl.transact([set_link(name, index=index, **what)])


@pytest.mark.parametrize("behaviour", Behaviour, ids=lambda x: x.key)
def test_twice_the_same(wire, behaviour):
    ways = probe().behaviours
    assert behaving._ATTEMPTS[behaviour](wire) is (behaviour in ways)


def test_a_guest_that_hears_what_bears_its_own_address(wire):
    """One by another address hears it on any kernel, as on one that shares sources."""
    other = (("IFLA_ADDRESS", "02:68:70:01:00:09"),)
    change(wire, "macvtap", behaving._MACVTAP, attributes=other)
    assert behaving._ATTEMPTS[SHARED](wire)


def test_a_guest_that_hears_nothing(wire, monkeypatch):
    """A queue without room loses the frame behind it as well; it is not waited for for ever."""
    if "bcqueuelen" in probe().missing:
        pytest.skip("this kernel's broadcast queue has room always")
    monkeypatch.setattr(behaving, "_WITHIN", 0.2)
    none = (("IFLA_MACVTAP_BC_QUEUE_LEN", 0),)
    wire.rtnl.transact([configure_macvtap("macvtap", index=behaving._MACVTAP, data=none)])
    assert not behaving._ATTEMPTS[SHARED](wire)


def test_a_lower_device_that_stays_up(wire):
    """The macvtap is on another wire, so that on any kernel it keeps its carrier."""
    there, there_peer, macvtap = 20, 21, behaving._MACVTAP
    guest = Guest("macvtap", Mode.BRIDGE, mac=behaving._OWN)
    wire.rtnl.transact(
        [
            delete_link("macvtap", index=macvtap),
            add_veth("there", index=there, peer="there.peer", peer_index=there_peer),
            set_link("there", index=there, up=True),
            set_link("there.peer", index=there_peer, up=True),
            add_macvtap(guest, index=macvtap, lower=there),
        ]
    )
    assert not behaving._ATTEMPTS[Behaviour.LOWER_DOWN_SHOWS](wire)


def test_a_carrier_is_no_void(wire):
    """What is sent on a wire that is whole is counted as sent."""
    change(wire, "peer", behaving._PEER, up=True)
    wait_for_link(wire, "lower", lambda link: link.operstate == "UP")
    assert not behaving._ATTEMPTS[COUNTS](wire)


def test_a_name_that_is_taken(wire):
    change(wire, "peer", behaving._PEER, attributes=(("IFLA_IFNAME", "renamed"),))
    assert not behaving._ATTEMPTS[RENAME](wire)


def test_a_frame_without_the_bit(wire, monkeypatch):
    """What arrives without it is told apart from what arrives with it."""
    monkeypatch.setattr(behaving, "with_tag", lambda frame, _: frame)  # as if it were lost
    assert not behaving._ATTEMPTS[Behaviour.DEI_KEPT](wire)
