"""The switch in the NIC.

p0 [tap]---- vf0 ---.
p1 [tap]---- vf1 ---+ NIC ----- outside
m, n [tap]-- pf ----'
"""

import pytest

from harness import Guest, Mode
from harness.parts import BROADCAST_MAC
from harness.sriov.bed import UNKNOWN_MAC
from harness.sriov.emulated import Quirk

pytestmark = pytest.mark.sriov

MACVLAN = "macvlan_common_newlink, drivers/net/macvlan.c"


@pytest.mark.parametrize(("sender", "to"), [("p0", "p1"), ("p1", "p0"), ("p0", "pf"), ("pf", "p0")])
def test_inside(pair, expect, sender, to):
    """Between functions of one NIC nothing goes to the wire."""
    expect(sender, to, {to: 1})


@pytest.mark.parametrize("to", ["p1", "pf"])
def test_from_outside(pair, expect, to):
    """To whom it is for, and nobody else."""
    expect("outside", to, {to: 1})


def test_unknown(pair, expect):
    """Reaches no function; from one of them it goes to the wire."""
    expect("outside", UNKNOWN_MAC, {}, quirks={Quirk.PROMISCUOUS_PF: {"pf": 1}})
    expect("p0", UNKNOWN_MAC, {"outside": 1})


@pytest.fixture
def on_pf(pair):
    """A factory: macvtaps m and n on the PF, in a mode, beside the virtual functions.

    The mode is read back: where the NIC reflects, who has the frames is the same in both.
    """

    def on_pf(mode):
        for place, name in enumerate("mn"):
            pair.add(Guest(name, mode, mac=f"02:68:70:04:02:{place:02x}"), on=pair.pf)
            assert pair.state(name).macvtap.mode is mode
        pair.settle("m", "n")

    return on_pf


def test_bridge_on_the_pf(pair, on_pf, expect, refuses):
    """Guests on the PF and on VFs reach each other; passthru has no place there."""
    on_pf(Mode.BRIDGE)
    with refuses("EINVAL", MACVLAN):
        pair.add(Guest("third", Mode.PASSTHRU), on=pair.pf)
    when = "m, n on the PF in bridge mode"
    # The PF's own end sees what the macvtaps on it get, siblings' included (dev_forward_skb).
    expect("m", "n", {"n": 1, "pf": 1}, when=when)
    expect("m", "p0", {"p0": 1}, when=when)
    expect("p0", "m", {"m": 1, "pf": 1}, when=when)
    expect("m", "outside", {"outside": 1}, when=when)
    expect("outside", "m", {"m": 1, "pf": 1}, when=when)
    expect("outside", BROADCAST_MAC, {"m": 1, "n": 1, "p0": 1, "p1": 1, "pf": 1}, when=when)


def test_vepa_on_the_pf(pair, on_pf, expect):
    """Guests in vepa mode on the PF reach those on VFs; each other over the wire's switch only."""
    on_pf(Mode.VEPA)
    when = "m, n on the PF in vepa mode"
    expect("m", "p0", {"p0": 1}, when=when)
    back = {Quirk.REFLECTING_PF: {"n": 1, "pf": 1}}
    wire = {} if pair.device.emulated else {"outside": 1}
    expect("m", "n", wire, when=when, quirks=back)
