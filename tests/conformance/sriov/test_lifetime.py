"""The PF goes down, virtual functions go away.

p0 [tap]---- vf0 ---.
p1 [tap]---- vf1 ---+ NIC ----- outside
"""

import select

import pytest

from harness import KernelError

pytestmark = pytest.mark.sriov


def test_pf_down(pair, expect):
    """Then the functions have no carrier and nothing passes, not between them either."""
    pair.set_link(pair.pf, up=False)
    for name in ("vf0", "vf1", "p0"):
        pair.wait(name, lambda link: not link.carrier)
    for to in ("outside", "p1"):
        expect("p0", to, {}, when="PF down", proof=False)
    pair.set_link(pair.pf, up=True)
    for name in ("vf0", "vf1", "p0"):
        pair.wait(name, lambda link: link.operstate == "UP")
    pair.settle("p0", "p1")
    expect("p0", "outside", {"outside": 1}, when="PF up again")
    expect("p0", "p1", {"p1": 1}, when="PF up again")


def test_function_down(pair, expect):
    """One VF down is a macvtap without its lower device; the other does not suffer."""
    pair.set_link("vf0", up=False)
    pair.wait("p0", lambda link: link.operstate == "LOWERLAYERDOWN")
    expect("outside", "p1", {"p1": 1}, when="vf0 down", without=("p0",))


def test_removed_under_an_open_tap(pair):
    """The descriptor stays: writing succeeds, nothing comes, and only TUNGETIFF tells."""
    tap = pair.end("p0").tap
    pair.drop_functions()
    for name in ("p0", "vf0"):
        with pytest.raises(KernelError, match="ENODEV"):
            pair.state(name)
    tap.drain()
    assert tap.ready() == select.POLLOUT
    assert tap.write(bytes(60)) == 60
    with pytest.raises(BlockingIOError):
        tap.read()
    assert not tap.alive()
    pair.hang_up()
    pair.have_functions(2)


def test_made_again(nic, macs, expect):
    """As many as there can be; a guest on the last one as on the first."""
    most = nic.device.most_functions
    nic.have_functions(most)
    last = nic.passthru(most - 1, mac=macs.a)
    nic.settle(last)
    expect(last, "outside", {"outside": 1}, when=f"the last of {most}")
    expect("outside", last, {last: 1}, when=f"the last of {most}")
    nic.tidy()
    nic.have_functions(2)
