"""Stimuli: the frame that each puts on its way, and the stimuli that nobody can send."""

import pytest

from harness.errors import StimulusError
from harness.frames import ETHERTYPE_EXPERIMENTAL, ETHERTYPE_IPV4, Kind, Tag, ipv4_payload, payload
from harness.parts import UNKNOWN_MAC, External, Guest, Router
from harness.stimulus import BROADCAST, UNKNOWN, Stimulus, frame_of
from harness.topology import Topology

TOPOLOGY = Topology([Guest("a"), Guest("b")], router=Router())
A, B = "02:68:70:01:00:01", "02:68:70:01:00:02"
ROUTER = "02:68:70:04:00:01"
STRANGER = "02:68:70:dd:dd:dd"


@pytest.mark.parametrize(
    ("stimulus", "src", "dst"),
    [
        pytest.param(Stimulus("a", "b"), A, B, id="to a station"),
        pytest.param(Stimulus("a", BROADCAST), A, "ff:ff:ff:ff:ff:ff", id="broadcast"),
        pytest.param(Stimulus("a", UNKNOWN), A, UNKNOWN_MAC, id="unknown"),
        pytest.param(Stimulus("a", "01-00-5E-00-00-FB"), A, "01:00:5e:00:00:fb", id="to a MAC"),
        pytest.param(Stimulus("a", "b", source="b"), B, B, id="as another station"),
        pytest.param(Stimulus("a", "b", source=STRANGER.upper()), STRANGER, B, id="as a MAC"),
        pytest.param(Stimulus("a", "b", source=UNKNOWN), UNKNOWN_MAC, B, id="as nobody"),
        pytest.param(Stimulus("a", "b", via="router"), A, ROUTER, id="via the router"),
        pytest.param(
            Stimulus("a", "b", via="router", source=STRANGER), STRANGER, ROUTER, id="via, as a MAC"
        ),
    ],
)
def test_addresses(stimulus, src, dst):
    frame = frame_of(TOPOLOGY, stimulus)
    assert (frame.src, frame.dst) == (src, dst)


def test_unknown_is_nobody():
    many = Topology([Guest(f"g{i}") for i in range(300)], router=Router())
    assert UNKNOWN_MAC not in many.macs.values()


def test_plain_frame():
    frame = frame_of(TOPOLOGY, Stimulus("a", "b"))
    assert (frame.ethertype, frame.tags) == (ETHERTYPE_EXPERIMENTAL, ())
    assert frame.payload == payload(Kind.STIMULUS, 0)


def test_routed_frame():
    """IPv4 from the sender to the target, whatever source address the frame bears."""
    frame = frame_of(TOPOLOGY, Stimulus("a", "b", via="router", source=STRANGER))
    assert frame.ethertype == ETHERTYPE_IPV4
    assert frame.payload == ipv4_payload(
        payload(Kind.STIMULUS), src=TOPOLOGY.ips["a"], dst=TOPOLOGY.ips["b"]
    )


@pytest.mark.parametrize("via", ["", "router"])
@pytest.mark.parametrize("tag", [Tag(1), Tag(4094), Tag(5, tpid=0x88A8)])
def test_tag(tag, via):
    assert frame_of(TOPOLOGY, Stimulus("a", "b", via=via, tag=tag)).tags == (tag,)


STATIONS = "a, b, lower, external, router"


@pytest.mark.parametrize(
    ("stimulus", "text"),
    [
        pytest.param(Stimulus("c", "b"), f"sender 'c' is nobody; allowed: {STATIONS}", id="sender"),
        pytest.param(
            Stimulus(A, "b"), f"sender '{A}' is nobody; allowed: {STATIONS}", id="sender by MAC"
        ),
        pytest.param(
            Stimulus("a", "c"),
            f"target 'c' is nobody; allowed: {STATIONS}, broadcast, unknown or a MAC address",
            id="target",
        ),
        pytest.param(
            Stimulus("a", "b", source="c"),
            f"source 'c' is nobody; allowed: {STATIONS}, broadcast, unknown or a MAC address",
            id="source",
        ),
        pytest.param(
            Stimulus("a", "b", source=BROADCAST),
            "source ff:ff:ff:ff:ff:ff is a group address; allowed: a unicast MAC",
            id="broadcast as source",
        ),
        pytest.param(
            Stimulus("a", "b", source="01:00:5e:00:00:01"),
            "source 01:00:5e:00:00:01 is a group address; allowed: a unicast MAC",
            id="group as source",
        ),
        pytest.param(
            Stimulus("a", "b", tag=Tag(0)), "tag 0 is no VLAN id; allowed: 1 to 4094", id="tag 0"
        ),
        pytest.param(
            Stimulus("a", "b", tag=Tag(4095)),
            "tag 4095 is no VLAN id; allowed: 1 to 4094",
            id="tag 4095",
        ),
        pytest.param(
            Stimulus("a", "b", via="external"),
            "no router 'external' in this topology",
            id="via a station that is no router",
        ),
        pytest.param(
            Stimulus("a", BROADCAST, via="router"),
            f"'broadcast' has no IPv4 address; allowed: {STATIONS}",
            id="broadcast through the router",
        ),
    ],
)
def test_refused(stimulus, text):
    with pytest.raises(StimulusError) as caught:
        frame_of(TOPOLOGY, stimulus)
    assert str(caught.value) == text


def test_no_router():
    with pytest.raises(StimulusError, match="no router 'router' in this topology"):
        frame_of(Topology([Guest("a")]), Stimulus("a", "external", via="router"))


def test_external_may_be_called_anything_but_a_stimulus_word():
    """Words and stations share one space of names, so none is ambiguous."""
    topology = Topology([Guest("a")], externals=[External("e")])
    assert frame_of(topology, Stimulus("a", "e")).dst == topology.macs["e"]


@pytest.mark.parametrize(
    ("stimulus", "text"),
    [
        (Stimulus("a", "b"), "a → b"),
        (Stimulus("a", BROADCAST, source="b"), "a → broadcast as b"),
        (Stimulus("a", "b", via="router"), "a → b via router"),
        (Stimulus("a", "b", tag=Tag(5)), "a → b tag 8100/5"),
        (
            Stimulus("a", "b", source="b", via="router", tag=Tag(5, tpid=0x88A8)),
            "a → b as b via router tag 88a8/5",
        ),
    ],
    ids=["plain", "source", "via", "tag", "all"],
)
def test_as_text(stimulus, text):
    assert str(stimulus) == text
