"""The list of source mode, changed while it is in use.

s [tap, source]--.
                 lower ----- far
b [tap]----------'

Every change is proved by frames: from each of four sources, and at s or not. The marker that
ends the reading of s comes from a source that is listed throughout, or put back for it.
"""

import pytest

from harness import Guest, KernelError, Mode
from harness.kernel.features import probe
from harness.kernel.links import new_macvtap

KEPT = "02:68:70:03:00:0a"  # listed from the beginning to the end: the marker's source
ONE, TWO, THREE, FOUR = (f"02:68:70:03:00:{n:02x}" for n in range(1, 5))
MODE, MAC, DATA = (
    "IFLA_MACVTAP_MACADDR_MODE",
    "IFLA_MACVTAP_MACADDR",
    "IFLA_MACVTAP_MACADDR_DATA",
)
ADD, DEL, FLUSH, SET = range(4)  # enum macvlan_macaddr_mode
NODST = 2  # MACVLAN_FLAG_NODST
WHERE = "macvlan_changelink_sources, drivers/net/macvlan.c"


def _listed(*macs):
    return DATA, {"attrs": [("IFLA_MACVLAN_MACADDR", mac) for mac in macs]}


def _heard(bed, sources=(ONE, TWO, THREE, FOUR)):
    """Those of the sources whose frames s gets, all for the address of b."""
    return {source for source in sources if bed.seen("far", "b", at=["s"], source=source) == ["s"]}


@pytest.fixture
def listening(cable):
    """A source-mode s that lists KEPT, ONE and TWO; b is a sibling in bridge mode."""
    return cable(Guest("s", Mode.SOURCE, sources=(KEPT, ONE, TWO)), Guest("b", Mode.BRIDGE))


@pytest.mark.parametrize(
    ("asked", "listed"),
    [
        pytest.param([(MODE, ADD), (MAC, THREE)], {ONE, TWO, THREE}, id="add"),
        pytest.param([(MODE, ADD), (MAC, ONE)], {ONE, TWO}, id="add what is there"),
        pytest.param([(MODE, DEL), (MAC, ONE)], {TWO}, id="delete"),
        pytest.param([(MODE, DEL), (MAC, THREE)], {ONE, TWO}, id="delete what is not there"),
        pytest.param([(MODE, SET), _listed(KEPT, FOUR)], {FOUR}, id="set"),
        pytest.param([(MODE, SET), (MAC, KEPT)], set(), id="set to one"),
        pytest.param([(MODE, SET), (MAC, KEPT), _listed(TWO, FOUR)], {TWO, FOUR}, id="set, both"),
        pytest.param([(MODE, SET), _listed(KEPT, FOUR, FOUR)], {FOUR}, id="set, one twice"),
    ],
)
def test_change(listening, asked, listed):
    """From the next frame on the new list holds, and it is what reads back."""
    listening.configure("s", *asked)
    assert _heard(listening) == listed, WHERE
    assert set(listening.state("s").macvtap.sources) == {KEPT, *listed}, "macvlan_fill_info"


def test_flush(listening):
    """Flushed, the list is empty and s gets nothing at all (macvlan_flush_sources)."""
    listening.configure("s", (MODE, FLUSH))
    assert listening.state("s").macvtap.sources == ()
    frames = [listening.frame("far", "b", source=source) for source in (KEPT, ONE, TWO)]
    for frame in frames:
        # Having arrived at b, it has passed the list.
        assert listening.exchange("far", frame, at=["b"])["b"] == [frame]
    listening.configure("s", (MODE, ADD), (MAC, KEPT))
    assert _heard(listening) == set()
    assert listening.seen("far", "b", at=["s"], source=KEPT) == ["s"], "listed again, and heard"


def test_long_list(cable):
    """A list of 200: every one is heard, and the one that is not listed is not."""
    many = tuple(f"02:68:70:04:00:{n:02x}" for n in range(200))
    bed = cable(Guest("s", Mode.SOURCE, sources=(KEPT, *many)), Guest("b", Mode.BRIDGE))
    assert set(bed.state("s").macvtap.sources) == {KEPT, *many}
    assert _heard(bed, (*many, ONE)) == set(many), "macvlan_hash_lookup_source"


def test_each_guest_has_its_own_list(cable):
    """Two source-mode guests: a frame goes to all that list its source, and to no other."""
    bed = cable(
        Guest("s", Mode.SOURCE, sources=(KEPT, ONE, TWO)),
        Guest("t", Mode.SOURCE, sources=(KEPT, TWO, THREE)),
    )
    seen = {
        source: bed.seen("far", "lower", at=["s", "t"], source=source)
        for source in (ONE, TWO, THREE, FOUR)
    }
    assert seen == {ONE: ["s"], TWO: ["s", "t"], THREE: ["t"], FOUR: []}
    bed.configure("s", (MODE, DEL), (MAC, TWO))
    assert bed.seen("far", "lower", at=["s", "t"], source=TWO) == ["t"], WHERE


@pytest.fixture
def with_nodst(listening):
    """`listening`, where the kernel has nodst."""
    if reason := probe().missing.get("nodst"):
        pytest.skip(f"this kernel has no nodst ({reason})")
    return listening


def test_nodst_live(with_nodst):
    """Set, the frame is taken from b and the host; cleared, all have it again.

    macvlan_changelink, macvlan_forward_source
    """
    seen = []
    for flags in (0, NODST, 0):
        with_nodst.configure("s", ("IFLA_MACVTAP_FLAGS", flags))
        assert with_nodst.state("s").macvtap.nodst is bool(flags)
        seen.append(
            (
                with_nodst.seen("far", "b", at=["s", "b", "lower"], source=ONE),
                with_nodst.seen("far", "lower", at=["s", "b", "lower"], source=ONE),
            )
        )
    assert seen == [(["s", "b"], ["s", "lower"]), (["s"], ["s"]), (["s", "b"], ["s", "lower"])]


def test_nodst_spares_the_unlisted(with_nodst):
    """With nodst, a frame that nobody lists is delivered as ever (macvlan_forward_source)."""
    with_nodst.configure("s", ("IFLA_MACVTAP_FLAGS", NODST))
    assert with_nodst.seen("far", "b", at=["s", "b", "lower"], source=FOUR) == ["b"]


def test_leaving_source_mode(listening):
    """Another mode empties the list; coming back, nobody is listed (macvlan_changelink)."""
    listening.configure("s", ("IFLA_MACVTAP_MODE", 4))
    assert listening.state("s").macvtap.sources == ()
    assert listening.seen("far", "b", at=["b"], source=ONE) == ["b"]
    listening.configure("s", ("IFLA_MACVTAP_MODE", 16))
    listening.configure("s", (MODE, ADD), (MAC, KEPT))
    assert _heard(listening) == set()


# ---------------------------------------------------------------------- refusals

ZERO, GROUP = "00:00:00:00:00:00", "03:68:70:00:00:01"
REFUSED = {
    "add nobody": ([(MODE, ADD)], "EINVAL", WHERE),
    "delete nobody": ([(MODE, DEL)], "EINVAL", WHERE),
    "unknown operation": ([(MODE, 4), (MAC, THREE)], "EINVAL", "macvlan_validate"),
    "add a group": ([(MODE, ADD), (MAC, GROUP)], "EADDRNOTAVAIL", "macvlan_validate"),
    "add zero": ([(MODE, ADD), (MAC, ZERO)], "EADDRNOTAVAIL", "macvlan_validate"),
    "set a group": ([(MODE, SET), _listed(KEPT, GROUP)], "EADDRNOTAVAIL", "macvlan_validate"),
    "count": ([("IFLA_MACVTAP_MACADDR_COUNT", 2)], "EINVAL", "macvlan_validate"),
}


@pytest.mark.parametrize(("asked", "error", "where"), REFUSED.values(), ids=REFUSED)
def test_refused(listening, refuses, asked, error, where):
    """What makes no sense is refused, and the list stays as it was."""
    with refuses(error, where):
        listening.configure("s", *asked)
    assert set(listening.state("s").macvtap.sources) == {KEPT, ONE, TWO}, where


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.SOURCE])
def test_list_in_another_mode(cable, mode):
    """A list is for source mode only: EINVAL, live (macvlan_changelink)."""
    bed = cable(Guest("a", mode))
    with pytest.raises(KernelError, match="EINVAL"):
        bed.configure("a", (MODE, ADD), (MAC, ONE))
    assert bed.state("a").macvtap.sources == ()


@pytest.mark.parametrize("number", [1, 2, 4, 8], ids=["private", "vepa", "bridge", "passthru"])
def test_list_for_another_mode(cable, number):
    """A list is for source mode only: EINVAL, at creation, and no link is left behind.

    macvlan_common_newlink
    """
    bed = cable()
    data = (("IFLA_MACVTAP_MODE", number), (MODE, SET), _listed(ONE))
    with pytest.raises(KernelError, match="EINVAL"):
        bed.do(new_macvtap("a", index=bed.claim("a"), lower=bed.index["lower"], data=data))
    with pytest.raises(KernelError, match="ENODEV"):
        bed.state("a")
