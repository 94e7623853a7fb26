"""Who receives how many copies, written by hand from docs/contract.md and drivers/net/macvlan.c.

    a [tap]--.
             lower ----- switch ----- external
    b [tap]--'

Nothing here is computed from the model: each row names every observer that sees the frame, as
often as it sees it. Observers that a row does not name must see nothing. These rows keep the
model honest when no kernel is at hand.
"""

from collections import Counter

import pytest

from harness.frames import Tag
from harness.model import predict
from harness.parts import External, Guest, Lower, LowerKind, Mode, Port, Router, Switch
from harness.stimulus import BROADCAST, UNKNOWN, Stimulus
from harness.topology import Topology

VEPA, BRIDGE, PRIVATE = Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE
PASSTHRU, SOURCE = Mode.PASSTHRU, Mode.SOURCE
OFF, ON = False, True
WORDS = {OFF: "hairpin off", ON: "hairpin on"}

GROUP = "03:68:70:00:00:01"
UNJOINED = "03:68:70:00:00:77"
STRANGER = "02:68:70:dd:dd:dd"
OUTSIDE = "02:68:70:03:00:01"  # the first external host's own address
OUT, IN = "lower.out", "lower.in"
OTHERHOST = "lower.otherhost"


def copies(topology, stimulus):
    """Observers that must see the frame, each with its number of copies."""
    arrivals = predict(topology, stimulus).arrivals
    return {name: len(frames) for name, frames in arrivals.items() if frames}


def row(label, topology, stimulus, *seen):
    """One expectation: `seen` are the observers, once for each copy."""
    return pytest.param(topology, stimulus, dict(Counter(seen)), id=f"{label}: {_flow(stimulus)}")


def _flow(stimulus):
    return str(stimulus).replace("→", "to")


def pair(first, second, hairpin):
    return Topology([Guest("a", first), Guest("b", second)], switch=Switch(hairpin=hairpin))


def family(mode, hairpin):
    """A guest a of that mode, and a sibling of each: v (vepa), b (bridge), p (private)."""
    return Topology(
        [Guest("a", mode), Guest("v", VEPA), Guest("b", BRIDGE), Guest("p", PRIVATE)],
        switch=Switch(hairpin=hairpin),
    )


# ---------------------------------------------------------------------- unicast


@pytest.mark.parametrize(
    ("first", "second", "hairpin", "seen"),
    [
        (VEPA, VEPA, OFF, {OUT: 1}),
        (VEPA, VEPA, ON, {OUT: 1, IN: 1, "b": 1}),
        (VEPA, BRIDGE, OFF, {OUT: 1}),
        (VEPA, BRIDGE, ON, {OUT: 1, IN: 1, "b": 1}),
        (VEPA, PRIVATE, OFF, {OUT: 1}),
        (VEPA, PRIVATE, ON, {OUT: 1, IN: 1, "b": 1}),
        (BRIDGE, VEPA, OFF, {OUT: 1}),
        (BRIDGE, VEPA, ON, {OUT: 1, IN: 1, "b": 1}),
        (BRIDGE, BRIDGE, OFF, {"b": 1}),
        (BRIDGE, BRIDGE, ON, {"b": 1}),
        (BRIDGE, PRIVATE, OFF, {OUT: 1}),
        (BRIDGE, PRIVATE, ON, {OUT: 1, IN: 1, "b": 1}),
        (PRIVATE, VEPA, OFF, {OUT: 1}),
        (PRIVATE, VEPA, ON, {OUT: 1, IN: 1, "b": 1}),
        (PRIVATE, BRIDGE, OFF, {OUT: 1}),
        (PRIVATE, BRIDGE, ON, {OUT: 1, IN: 1, "b": 1}),
        (PRIVATE, PRIVATE, OFF, {OUT: 1}),
        (PRIVATE, PRIVATE, ON, {OUT: 1, IN: 1, "b": 1}),
    ],
    ids=lambda value: WORDS[value] if isinstance(value, bool) else None,
)
def test_guest_to_guest(first, second, hairpin, seen):
    """Directly in bridge mode only; else exactly when the switch reflects, private included."""
    assert copies(pair(first, second, hairpin), Stimulus("a", "b")) == seen


@pytest.mark.parametrize("hairpin", [OFF, ON], ids=WORDS.get)
@pytest.mark.parametrize("mode", [VEPA, BRIDGE, PRIVATE])
@pytest.mark.parametrize(
    ("stimulus", "seen"),
    [
        (Stimulus("a", "external"), {OUT: 1, "external": 1}),
        (Stimulus("external", "a"), {IN: 1, "a": 1}),
        (Stimulus("lower", "external"), {OUT: 1, "external": 1}),
        (Stimulus("external", "lower"), {IN: 1, "lower": 1}),
        (Stimulus("external", UNKNOWN), {IN: 1, OTHERHOST: 1}),
        (Stimulus("external", "external"), {}),
        (Stimulus("a", "external", source=STRANGER), {OUT: 1, "external": 1}),
        (Stimulus("a", "external", source="b"), {OUT: 1, "external": 1}),
        (Stimulus("external", "b", source="a"), {IN: 1, "b": 1}),
    ],
    ids=lambda value: _flow(value) if isinstance(value, Stimulus) else "",
)
def test_neither_mode_nor_hairpin_matters(mode, hairpin, stimulus, seen):
    """Between inside and outside: one copy either way, and nobody checks a source address."""
    assert copies(pair(mode, VEPA, hairpin), stimulus) == seen


@pytest.mark.parametrize("mode", [VEPA, BRIDGE, PRIVATE])
@pytest.mark.parametrize(
    ("stimulus", "hairpin", "seen"),
    [
        (Stimulus("a", "lower"), OFF, {OUT: 1}),
        (Stimulus("a", "lower"), ON, {OUT: 1, IN: 1, "lower": 1}),
        (Stimulus("lower", "a"), OFF, {OUT: 1}),
        (Stimulus("lower", "a"), ON, {OUT: 1, IN: 1, "a": 1}),
        (Stimulus("a", UNKNOWN), OFF, {OUT: 1, "external": 1}),
        (Stimulus("a", UNKNOWN), ON, {OUT: 1, "external": 1, IN: 1, OTHERHOST: 1}),
        (Stimulus("lower", UNKNOWN), OFF, {OUT: 1, "external": 1}),
        (Stimulus("lower", UNKNOWN), ON, {OUT: 1, "external": 1, IN: 1, OTHERHOST: 1}),
    ],
    ids=lambda value: _flow(value) if isinstance(value, Stimulus) else "",
)
def test_reflected_in_every_mode(mode, stimulus, hairpin, seen):
    """What the lower device sends comes back to it only from a port that reflects."""
    assert copies(pair(mode, VEPA, hairpin), stimulus) == seen


@pytest.mark.parametrize(
    ("mode", "seen"), [(BRIDGE, {"a": 1}), (VEPA, {OUT: 1, IN: 1, "a": 1})], ids=["bridge", "vepa"]
)
def test_guest_to_itself(mode, seen):
    """Bridge mode finds itself in the table too: macvlan_queue_xmit does not compare."""
    assert copies(pair(mode, VEPA, ON), Stimulus("a", "a")) == seen


# ---------------------------------------------------------------------- broadcast, multicast


@pytest.mark.parametrize(
    ("mode", "hairpin", "seen"),
    [
        (VEPA, OFF, {OUT: 1, "external": 1}),
        (VEPA, ON, {OUT: 1, "external": 1, IN: 1, "v": 1, "b": 1, "lower": 1}),
        (BRIDGE, OFF, {OUT: 1, "external": 1, "b": 1}),
        (BRIDGE, ON, {OUT: 1, "external": 1, IN: 1, "b": 1, "v": 1, "lower": 1}),
        (PRIVATE, OFF, {OUT: 1, "external": 1}),
        (PRIVATE, ON, {OUT: 1, "external": 1, IN: 1, "a": 1}),
    ],
    ids=lambda value: WORDS[value] if isinstance(value, bool) else None,
)
def test_guest_to_broadcast(mode, hairpin, seen):
    """Bridge siblings directly, once; private siblings never; a private sender gets its own."""
    assert copies(family(mode, hairpin), Stimulus("a", BROADCAST)) == seen


@pytest.mark.parametrize(
    ("mode", "hairpin", "seen"),
    [
        (VEPA, OFF, {OUT: 1, "external": 1}),
        (VEPA, ON, {OUT: 1, "external": 1, IN: 1, "v": 1, "b": 1, "lower": 1}),
        (BRIDGE, OFF, {OUT: 1, "external": 1, "b": 1}),
        (BRIDGE, ON, {OUT: 1, "external": 1, IN: 1, "b": 1, "v": 1, "lower": 1}),
        (PRIVATE, OFF, {OUT: 1, "external": 1}),
        (PRIVATE, ON, {OUT: 1, "external": 1, IN: 1, "a": 1}),
    ],
    ids=lambda value: WORDS[value] if isinstance(value, bool) else None,
)
def test_guest_to_joined_group(mode, hairpin, seen):
    """Members get a group by the rules of broadcast."""
    topology = Topology(
        [
            Guest("a", mode, groups=(GROUP,)),
            Guest("v", VEPA, groups=(GROUP,)),
            Guest("b", BRIDGE, groups=(GROUP,)),
            Guest("p", PRIVATE, groups=(GROUP,)),
        ],
        switch=Switch(hairpin=hairpin),
    )
    assert copies(topology, Stimulus("a", GROUP)) == seen


EVERYBODY = ("a", "v", "b", "p", "lower", IN)
SOURCES = [
    row("from outside", family(VEPA, OFF), Stimulus("external", BROADCAST), *EVERYBODY),
    row("from outside, hairpin", family(VEPA, ON), Stimulus("external", BROADCAST), *EVERYBODY),
    row(
        "the host",
        family(BRIDGE, OFF),
        Stimulus("lower", BROADCAST),
        *(OUT, "external"),
    ),
    row(
        "the host, hairpin",
        family(BRIDGE, ON),
        Stimulus("lower", BROADCAST),
        *(OUT, "external", *EVERYBODY),
    ),
    row(
        "a stranger's address, hairpin: as if from outside",
        family(VEPA, ON),
        Stimulus("a", BROADCAST, source=STRANGER),
        *(OUT, "external", *EVERYBODY),
    ),
    row(
        "the address of a vepa sibling, hairpin: all vepa and bridge but that one",
        family(VEPA, ON),
        Stimulus("a", BROADCAST, source="v"),
        *(OUT, "external", IN, "lower", "a", "b"),
    ),
    row(
        "the address of a bridge sibling, hairpin: vepa only",
        family(VEPA, ON),
        Stimulus("a", BROADCAST, source="b"),
        *(OUT, "external", IN, "lower", "a", "v"),
    ),
    row(
        "the address of a private sibling, hairpin: that one only",
        family(VEPA, ON),
        Stimulus("a", BROADCAST, source="p"),
        *(OUT, "external", IN, "p"),
    ),
    row(
        "a vepa guest's address from outside",
        family(VEPA, OFF),
        Stimulus("external", BROADCAST, source="v"),
        *(IN, "lower", "a", "b"),
    ),
    row(
        "a bridge guest's address from outside",
        family(VEPA, OFF),
        Stimulus("external", BROADCAST, source="b"),
        *(IN, "lower", "a", "v"),
    ),
    row(
        "a private guest's address from outside",
        family(VEPA, OFF),
        Stimulus("external", BROADCAST, source="p"),
        *(IN, "p"),
    ),
]


@pytest.mark.parametrize(("topology", "stimulus", "seen"), SOURCES)
def test_broadcast_by_source_address(topology, stimulus, seen):
    """macvlan_multicast_rx knows a frame's origin by its source address and by nothing else."""
    assert copies(topology, stimulus) == seen


@pytest.mark.parametrize(
    ("sender", "hairpin", "sure", "perhaps"),
    [
        pytest.param("external", OFF, {IN: 1, "lower": 1}, {"a", "v", "b", "p"}, id="outside"),
        pytest.param("a", OFF, {OUT: 1, "external": 1}, {"b"}, id="bridge guest"),
        pytest.param(
            "a",
            ON,
            {OUT: 1, "external": 1, IN: 1, "lower": 1},
            {"b", "v"},
            id="bridge guest, hairpin",
        ),
        pytest.param(
            "p",
            ON,
            {OUT: 1, "external": 1, IN: 1, "p": 1},
            set(),
            id="private guest, hairpin: its own filter is not asked",
        ),
    ],
)
def test_group_not_joined(sender, hairpin, sure, perhaps):
    """The host takes it; guests only when the hash of their filter happens to collide."""
    topology, stimulus = family(BRIDGE, hairpin), Stimulus(sender, UNJOINED)
    assert copies(topology, stimulus) == sure
    assert set(predict(topology, stimulus).maybe) == perhaps


@pytest.mark.parametrize(
    ("group", "reaches"),
    [
        ("01:80:c2:00:00:00", True),
        ("01:80:c2:00:00:01", False),
        ("01:80:c2:00:00:02", False),
        ("01:80:c2:00:00:0e", False),
        ("01:80:c2:00:00:0f", False),
        ("01:80:c2:00:00:10", True),
        ("01:80:c2:00:01:02", True),
    ],
)
def test_reserved_groups(group, reaches):
    """A bridge without STP forwards :00, like any group; it stops :01 to :0f."""
    topology = pair(VEPA, VEPA, ON)
    reflected = {"external": 1, IN: 1, "lower": 1} if reaches else {}
    assert copies(topology, Stimulus("a", group)) == {OUT: 1} | reflected


# ---------------------------------------------------------------------- filters and queue


def two(hairpin=ON, **settings):
    return Topology(
        [Guest("a", BRIDGE, **settings), Guest("b", VEPA, groups=(GROUP,))],
        switch=Switch(hairpin=hairpin),
    )


def queues(*lengths, cutoff=None):
    """Guests a, b, c… whose broadcast queues are of that length."""
    modes = (BRIDGE, VEPA, BRIDGE)
    return Topology(
        [
            Guest(name, mode, bcqueuelen=length, bc_cutoff=cutoff)
            for name, mode, length in zip("abc", modes, lengths, strict=False)
        ],
        switch=Switch(hairpin=True),
    )


FILTERS = [
    row("joined by b", two(), Stimulus("external", GROUP), IN, "lower", "b"),
    row(
        "a has allmulticast",
        two(allmulticast=True),
        Stimulus("external", UNJOINED),
        *(IN, "lower", "a"),
    ),
    row(
        "a is promiscuous", two(promiscuous=True), Stimulus("external", UNJOINED), IN, "lower", "a"
    ),
    row(
        "promiscuous, yet no unknown unicast",
        two(promiscuous=True),
        Stimulus("external", UNKNOWN),
        *(IN, OTHERHOST),
    ),
    row("default queue", queues(None, None), Stimulus("external", BROADCAST), IN, "lower", *"ab"),
    row("no queue", queues(0, 0), Stimulus("external", BROADCAST), IN, "lower"),
    row("one frame's room", queues(1, 0), Stimulus("external", BROADCAST), IN, "lower", *"ab"),
    row("the longest counts", queues(0, None), Stimulus("external", BROADCAST), IN, "lower", *"ab"),
    row(
        "no queue and never queued",
        queues(0, 0, cutoff=-1),
        Stimulus("external", BROADCAST),
        *(IN, "lower", "a", "b"),
    ),
    row(
        "no queue: c directly all the same, b's reflected copy is lost",
        queues(0, 0, 0),
        Stimulus("a", BROADCAST),
        *(OUT, "external", IN, "lower", "c"),
    ),
    row("no queue: unicast does not wait", queues(0, 0), Stimulus("external", "b"), IN, "b"),
    row(
        "no queue: nor does what a private guest gets back",
        Topology([Guest("a", PRIVATE, bcqueuelen=0)], switch=Switch(hairpin=True)),
        Stimulus("a", BROADCAST),
        *(OUT, "external", IN, "a"),
    ),
    row(
        "a guest that is down asks for room too",
        Topology([Guest("a", bcqueuelen=0), Guest("b", up=False)]),
        Stimulus("external", BROADCAST),
        *(IN, "lower", "a"),
    ),
]


@pytest.mark.parametrize(("topology", "stimulus", "seen"), FILTERS)
def test_filters_and_queue(topology, stimulus, seen):
    """A bcqueuelen of 0 drops broadcast for all guests, not for the host."""
    assert copies(topology, stimulus) == seen


def on_vlan(*guests):
    """On a vlan device, which filters unicast itself and so is not made promiscuous."""
    vlan = Lower(name="vlan5", kind=LowerKind.VLAN, parent="lower", vlan=5)
    return Topology(guests, lowers=[Lower(), vlan])


def subscriber(name, **settings):
    return Guest(name, lower="vlan5", groups=(GROUP,), bcqueuelen=0, **settings)


@pytest.mark.parametrize(
    ("guests", "receivers"),
    [
        pytest.param([subscriber("a")], {"a"}, id="one subscriber: past the queue"),
        pytest.param([subscriber("a"), subscriber("b")], set(), id="two: queued"),
        pytest.param(
            [subscriber("a", bc_cutoff=2), subscriber("b")], {"a", "b"}, id="two, cutoff 2"
        ),
        pytest.param(
            [subscriber("a", bc_cutoff=0), subscriber("b", bc_cutoff=2)],
            {"a", "b"},
            id="the last cutoff set counts",
        ),
        pytest.param([subscriber("a", bc_cutoff=0)], set(), id="one, cutoff 0: queued"),
        pytest.param([subscriber("a", bc_cutoff=-1), subscriber("b")], {"a", "b"}, id="never"),
        pytest.param([subscriber("a"), subscriber("b", up=False)], {"a"}, id="two, one is down"),
        pytest.param(
            [subscriber("a"), Guest("b", lower="vlan5", bcqueuelen=0, allmulticast=True)],
            set(),
            id="allmulticast subscribes to everything, and queues it",
        ),
    ],
)
def test_cutoff_decides_what_is_queued(guests, receivers):
    """A queue without room shows who was queued: groups of more subscribers than the cutoff."""
    seen = copies(on_vlan(*guests), Stimulus("external", GROUP, tag=Tag(5)))
    assert seen == {IN: 1, "vlan5": 1} | dict.fromkeys(receivers, 1)


@pytest.mark.parametrize(
    ("topology", "stimulus", "perhaps"),
    [
        pytest.param(
            on_vlan(Guest("a", lower="vlan5", groups=(GROUP,))),
            Stimulus("external", UNJOINED, tag=Tag(5)),
            set(),
            id="vlan: the device's own filter stops it first",
        ),
        pytest.param(
            Topology([Guest("a", groups=(GROUP,))]),
            Stimulus("external", UNJOINED),
            {"a"},
            id="veth: promiscuous, only the guest's filter",
        ),
        pytest.param(
            on_vlan(
                Guest("a", lower="vlan5"),
                Guest("b", lower="vlan5", allmulticast=True),
            ),
            Stimulus("external", UNJOINED, tag=Tag(5)),
            {"a"},
            id="vlan opened by a sibling",
        ),
        pytest.param(
            Topology([Guest("a", groups=(GROUP,)), Guest("b", up=False)]),
            Stimulus("external", GROUP),
            set(),
            id="members and links that are down: nothing uncertain",
        ),
    ],
)
def test_who_may_see_a_group_by_collision(topology, stimulus, perhaps):
    assert set(predict(topology, stimulus).maybe) == perhaps


# ---------------------------------------------------------------------- passthru


def passthru(hairpin=OFF, **settings):
    return Topology([Guest("p", PASSTHRU, **settings)], switch=Switch(hairpin=hairpin))


NOPROMISC = {"nopromisc": True, "groups": (GROUP,)}
PASSTHRU_ROWS = [
    row("", passthru(), Stimulus("p", "external"), OUT, "external"),
    row("", passthru(), Stimulus("external", "p"), IN, "p"),
    row("its address is the host's", passthru(), Stimulus("external", "lower"), IN, "p"),
    row("all unicast", passthru(), Stimulus("external", UNKNOWN), IN, "p"),
    row("shared", passthru(), Stimulus("external", BROADCAST), IN, "p", "lower"),
    row("joined", passthru(groups=(GROUP,)), Stimulus("external", GROUP), IN, "p", "lower"),
    row("not joined", passthru(), Stimulus("external", UNJOINED), IN, "lower"),
    row(
        "allmulticast",
        passthru(allmulticast=True),
        Stimulus("external", UNJOINED),
        *(IN, "p"),
        "lower",
    ),
    row("spoofed", passthru(), Stimulus("p", "external", source=STRANGER), OUT, "external"),
    row("the host still transmits", passthru(), Stimulus("lower", "external"), OUT, "external"),
    row("", passthru(), Stimulus("p", BROADCAST), OUT, "external"),
    row("comes back", passthru(ON), Stimulus("p", BROADCAST), OUT, "external", IN, "p"),
    row("the host's too", passthru(ON), Stimulus("lower", BROADCAST), OUT, "external", IN, "p"),
    row("comes back", passthru(ON), Stimulus("p", UNKNOWN), OUT, "external", IN, "p"),
    row("comes back", passthru(ON), Stimulus("p", "p"), OUT, IN, "p"),
    row("nopromisc", passthru(**NOPROMISC), Stimulus("external", UNKNOWN), IN, "p"),
    row("nopromisc", passthru(**NOPROMISC), Stimulus("external", BROADCAST), IN, "p", "lower"),
    row("nopromisc", passthru(**NOPROMISC), Stimulus("external", GROUP), IN, "p", "lower"),
    row("nopromisc", passthru(**NOPROMISC), Stimulus("external", UNJOINED), IN, "lower"),
    row(
        "nopromisc, tagged",
        passthru(**NOPROMISC),
        Stimulus("external", "p", tag=Tag(5)),
        *(IN, "p"),
    ),
    row("down: nobody gets it", passthru(up=False), Stimulus("external", "p"), IN),
    row("down", passthru(up=False), Stimulus("external", BROADCAST), IN, "lower"),
    row("down", passthru(up=False), Stimulus("p", "external")),
]


@pytest.mark.parametrize(("topology", "stimulus", "seen"), PASSTHRU_ROWS)
def test_passthru(topology, stimulus, seen):
    """All unicast is the guest's, broadcast is shared with the host; nobody checks sources."""
    assert copies(topology, stimulus) == seen


@pytest.mark.parametrize(("nopromisc", "perhaps"), [(False, {"p"}), (True, set())])
def test_passthru_promiscuity_opens_the_filter(nopromisc, perhaps):
    """A group not joined: the device's filter stops it only when passthru leaves it closed."""
    topology = passthru(nopromisc=nopromisc, groups=(GROUP,))
    assert set(predict(topology, Stimulus("external", UNJOINED)).maybe) == perhaps


# ---------------------------------------------------------------------- source


def source(mode=VEPA, hairpin=OFF, *, lists=OUTSIDE, nodst=False, up=True):
    """Guest s in source mode, with the addresses of `lists`; b beside it."""
    return Topology(
        [
            Guest("s", SOURCE, sources=(lists,), nodst=nodst, up=up),
            Guest("b", mode, mac="02:68:70:01:00:02"),
        ],
        switch=Switch(hairpin=hairpin),
        externals=[External("external", mac=OUTSIDE)],
    )


SIBLING = {"lists": "02:68:70:01:00:02"}
NODST = {"nodst": True}
UNLISTED = {"lists": STRANGER}
SOURCE_ROWS = [
    row("listed", source(), Stimulus("external", "s"), IN, "s", OTHERHOST),
    row("listed", source(), Stimulus("external", "b"), IN, "s", "b"),
    row("listed", source(), Stimulus("external", "lower"), IN, "s", "lower"),
    row("listed", source(), Stimulus("external", BROADCAST), IN, "s", "b", "lower"),
    row("listed", source(), Stimulus("external", UNKNOWN), IN, "s", OTHERHOST),
    row("listed, tagged", source(), Stimulus("external", "b", tag=Tag(5)), IN, "s", "b"),
    row("nodst", source(**NODST), Stimulus("external", "s"), IN, "s"),
    row("nodst", source(**NODST), Stimulus("external", "b"), IN, "s"),
    row("nodst", source(**NODST), Stimulus("external", "lower"), IN, "s"),
    row("nodst", source(**NODST), Stimulus("external", BROADCAST), IN, "s"),
    row("nodst, unlisted", source(**UNLISTED, **NODST), Stimulus("external", "b"), IN, "b"),
    row("unlisted: not its own", source(**UNLISTED), Stimulus("external", "s"), IN, OTHERHOST),
    row("unlisted", source(**UNLISTED), Stimulus("external", "b"), IN, "b"),
    row("unlisted", source(**UNLISTED), Stimulus("external", BROADCAST), IN, "b", "lower"),
    row(
        "by the source on the frame",
        source(**UNLISTED),
        Stimulus("external", "b", source=STRANGER),
        *(IN, "s", "b"),
    ),
    row("transmits", source(), Stimulus("s", "external"), OUT, "external"),
    row("transmits", source(BRIDGE), Stimulus("s", "b"), OUT),
    row("transmits", source(BRIDGE, ON), Stimulus("s", "b"), OUT, IN, "b"),
    row("transmits", source(), Stimulus("s", BROADCAST), OUT, "external"),
    row("its own comes back", source(VEPA, ON), Stimulus("s", BROADCAST), OUT, "external", IN, "s"),
    row(
        "its own comes back, and it lists itself",
        source(VEPA, ON, lists="02:68:70:01:00:01"),
        Stimulus("s", BROADCAST),
        *(OUT, "external", IN, "s", "s"),
    ),
    row("lists b", source(BRIDGE, **SIBLING), Stimulus("b", "external"), OUT, "external"),
    row("lists b", source(BRIDGE, **SIBLING), Stimulus("b", BROADCAST), OUT, "external"),
    row("lists b", source(BRIDGE, **SIBLING), Stimulus("b", "s"), OUT),
    row("lists b", source(BRIDGE, ON, **SIBLING), Stimulus("b", "s"), OUT, IN, "s", OTHERHOST),
    row("lists b, nodst", source(BRIDGE, ON, **SIBLING, **NODST), Stimulus("b", "s"), OUT, IN, "s"),
    row(
        "lists b, which hears itself",
        source(BRIDGE, **SIBLING),
        Stimulus("b", "b"),
        *("s", "b"),
    ),
    row(
        "lists b",
        source(VEPA, ON, **SIBLING),
        Stimulus("b", BROADCAST),
        *(OUT, "external", IN, "s", "lower"),
    ),
    row(
        "lists b, private",
        source(PRIVATE, ON, **SIBLING),
        Stimulus("b", BROADCAST),
        *(OUT, "external", IN, "s", "b"),
    ),
    row("down", source(up=False), Stimulus("external", "s"), IN, OTHERHOST),
    row("down", source(up=False), Stimulus("external", "b"), IN, "b"),
    row("down, yet nodst consumes", source(up=False, **NODST), Stimulus("external", "b"), IN),
]


@pytest.mark.parametrize(("topology", "stimulus", "seen"), SOURCE_ROWS)
def test_source(topology, stimulus, seen):
    """A copy of whatever a listed source sends; with nodst for the guest alone."""
    assert copies(topology, stimulus) == seen


@pytest.mark.parametrize(
    ("to", "seen"), [("b", {"b": 1, "s": 1}), (BROADCAST, {"b": 1, OUT: 1, "external": 1})]
)
def test_source_overhears_what_is_handed_over(to, seen):
    """Unicast between bridge siblings passes the lower device; group frames do not."""
    mac = "02:68:70:01:00:01"
    topology = Topology(
        [Guest("a", BRIDGE, mac=mac), Guest("b", BRIDGE), Guest("s", SOURCE, sources=(mac,))]
    )
    assert copies(topology, Stimulus("a", to)) == seen


# ---------------------------------------------------------------------- VLANs


TAGGED = [
    row("vepa", pair(VEPA, VEPA, ON), Stimulus("a", "b", tag=Tag(5)), OUT, IN, "b"),
    row("vepa", pair(VEPA, VEPA, OFF), Stimulus("a", "b", tag=Tag(5)), OUT),
    row("bridge", pair(BRIDGE, BRIDGE, OFF), Stimulus("a", "b", tag=Tag(4094)), "b"),
    row("", pair(VEPA, VEPA, OFF), Stimulus("a", "external", tag=Tag(5)), OUT, "external"),
    row("", pair(VEPA, VEPA, OFF), Stimulus("external", "a", tag=Tag(5)), IN, "a"),
    row("", pair(VEPA, VEPA, ON), Stimulus("lower", "a", tag=Tag(5)), OUT, IN, "a"),
    row("", pair(VEPA, VEPA, ON), Stimulus("a", "lower", tag=Tag(5)), OUT, IN, OTHERHOST),
    row("", pair(VEPA, VEPA, OFF), Stimulus("external", "lower", tag=Tag(5)), IN, OTHERHOST),
    row(
        "",
        pair(BRIDGE, PRIVATE, OFF),
        Stimulus("external", BROADCAST, tag=Tag(5, tpid=0x88A8)),
        *(IN, "a", "b", OTHERHOST),
    ),
]


@pytest.mark.parametrize(("topology", "stimulus", "seen"), TAGGED)
def test_tagged_by_the_sender(topology, stimulus, seen):
    """Forwarded like the untagged; the host's stack takes it for somebody else's."""
    assert copies(topology, stimulus) == seen


@pytest.mark.parametrize("tag", [Tag(5), Tag(5, tpid=0x88A8)], ids=["8021q", "8021ad"])
@pytest.mark.parametrize(
    ("observer", "tags"), [(OUT, 1), (IN, 1), ("external", 1), ("b", 1), (OTHERHOST, 0)]
)
def test_tags_pass_unchanged(tag, observer, tags):
    """In the frame at every guest and on the wire; the host's stack has taken it off."""
    topology = pair(VEPA, VEPA, ON)
    (frame,) = predict(topology, Stimulus("a", BROADCAST, tag=tag)).arrivals[observer]
    assert frame.tags == (tag,) * tags


VLAN5 = Lower(name="vlan5", kind=LowerKind.VLAN, parent="lower", vlan=5)


def vlan(mode, hairpin):
    """Guests a and b on VLAN 5, c on the lower device itself."""
    return Topology(
        [Guest("a", mode, lower="vlan5"), Guest("b", mode, lower="vlan5"), Guest("c", mode)],
        lowers=[Lower(), VLAN5],
        switch=Switch(hairpin=hairpin),
    )


V5 = {"tag": Tag(5)}
VLAN_ROWS = [
    row("vepa", vlan(VEPA, OFF), Stimulus("a", "b"), OUT),
    row("vepa, hairpin", vlan(VEPA, ON), Stimulus("a", "b"), OUT, IN, "b"),
    row("bridge", vlan(BRIDGE, OFF), Stimulus("a", "b"), "b"),
    row("bridge", vlan(BRIDGE, OFF), Stimulus("a", "c"), OUT),
    row(
        "other device: c is a stranger there",
        vlan(BRIDGE, ON),
        Stimulus("a", "c"),
        *(OUT, IN, "vlan5.otherhost"),
    ),
    row(
        "the vlan's host has its parent's address",
        vlan(VEPA, ON),
        Stimulus("a", "lower"),
        *(OUT, IN, "vlan5"),
    ),
    row("", vlan(VEPA, OFF), Stimulus("a", "external"), OUT, "external"),
    row("", vlan(VEPA, OFF), Stimulus("external", "a", **V5), IN, "a"),
    row("untagged: not its VLAN", vlan(VEPA, OFF), Stimulus("external", "a"), IN, OTHERHOST),
    row(
        "tag of another type",
        vlan(VEPA, OFF),
        Stimulus("external", "a", tag=Tag(5, tpid=0x88A8)),
        *(IN, OTHERHOST),
    ),
    row(
        "vepa, hairpin",
        vlan(VEPA, ON),
        Stimulus("a", BROADCAST),
        *(OUT, "external", IN, "b", "vlan5"),
    ),
    row("bridge", vlan(BRIDGE, OFF), Stimulus("a", BROADCAST), OUT, "external", "b"),
    row(
        "hairpin",
        vlan(VEPA, ON),
        Stimulus("c", BROADCAST),
        *(OUT, "external", IN, "lower"),
    ),
    row("", vlan(VEPA, OFF), Stimulus("external", BROADCAST, **V5), IN, "a", "b", "vlan5"),
    row("", vlan(VEPA, OFF), Stimulus("external", BROADCAST), IN, "c", "lower"),
    row(
        "no device for it",
        vlan(VEPA, OFF),
        Stimulus("external", BROADCAST, tag=Tag(6)),
        *(IN, "c"),
        OTHERHOST,
    ),
    row("tags itself into it", vlan(VEPA, ON), Stimulus("c", "a", **V5), OUT, IN, "a"),
    row("the vlan's host", vlan(VEPA, OFF), Stimulus("vlan5", "external"), OUT, "external"),
    row("the vlan's host", vlan(VEPA, ON), Stimulus("vlan5", "a"), OUT, IN, "a"),
]


@pytest.mark.parametrize(("topology", "stimulus", "seen"), VLAN_ROWS)
def test_vlan_lower_device(topology, stimulus, seen):
    """The vlan device comes before macvlan: what has its tag is nobody else's."""
    assert copies(topology, stimulus) == seen


@pytest.mark.parametrize(
    ("sent", "observer", "tags"),
    [
        pytest.param(None, OUT, (Tag(5),), id="wire"),
        pytest.param(None, "b", (), id="guest"),
        pytest.param(Tag(7), OUT, (Tag(5), Tag(7)), id="wire, its own tag inside"),
        pytest.param(Tag(7), "b", (Tag(7),), id="guest, the sender's own tag is left"),
    ],
)
def test_vlan_device_puts_its_tag_on_and_takes_it_off(sent, observer, tags):
    (frame,) = predict(vlan(VEPA, ON), Stimulus("a", "b", tag=sent)).arrivals[observer]
    assert frame.tags == tags


# ---------------------------------------------------------------------- other lower devices


def dummy(first, second):
    return Topology(
        [Guest("a", first), Guest("b", second)], lowers=[Lower(kind=LowerKind.DUMMY)], externals=[]
    )


DUMMY = [
    row("bridge", dummy(BRIDGE, BRIDGE), Stimulus("a", "b"), "b"),
    row("bridge", dummy(BRIDGE, BRIDGE), Stimulus("a", BROADCAST), "b"),
    row("bridge", dummy(BRIDGE, BRIDGE), Stimulus("a", "lower")),
    row("bridge", dummy(BRIDGE, BRIDGE), Stimulus("lower", "a")),
    row("bridge", dummy(BRIDGE, BRIDGE), Stimulus("a", UNKNOWN)),
    row("bridge to vepa", dummy(BRIDGE, VEPA), Stimulus("a", "b")),
    row("bridge to vepa", dummy(BRIDGE, VEPA), Stimulus("a", BROADCAST)),
    row("vepa", dummy(VEPA, VEPA), Stimulus("a", "b")),
    row("vepa", dummy(VEPA, VEPA), Stimulus("a", BROADCAST)),
    row("private", dummy(PRIVATE, PRIVATE), Stimulus("a", BROADCAST)),
]


@pytest.mark.parametrize(("topology", "stimulus", "seen"), DUMMY)
def test_dummy(topology, stimulus, seen):
    """What is not handed over directly is gone."""
    assert copies(topology, stimulus) == seen


@pytest.mark.parametrize(
    ("mode", "to", "seen"),
    [
        (BRIDGE, "b", {"b": 1}),
        (BRIDGE, BROADCAST, {"b": 1}),
        (VEPA, "b", {}),
        (VEPA, BROADCAST, {}),
    ],
)
def test_vlan_on_dummy(mode, to, seen):
    topology = Topology(
        [Guest("a", mode, lower="vlan5"), Guest("b", mode, lower="vlan5")],
        lowers=[Lower(kind=LowerKind.DUMMY), VLAN5],
    )
    assert copies(topology, Stimulus("a", to)) == seen


def across(mode, hairpin):
    """Guest a on the device left, b on right, one switch."""
    return Topology(
        [Guest("a", mode, lower="left"), Guest("b", mode, lower="right")],
        lowers=[Lower(name="left"), Lower(name="right")],
        switch=Switch(hairpin=hairpin),
    )


ACROSS = [
    row("bridge", across(BRIDGE, OFF), Stimulus("a", "b"), "left.out", "right.in", "b"),
    row("private", across(PRIVATE, OFF), Stimulus("a", "b"), "left.out", "right.in", "b"),
    row("passthru", across(PASSTHRU, OFF), Stimulus("a", "b"), "left.out", "right.in", "b"),
    row("bridge", across(BRIDGE, OFF), Stimulus("left", "right"), "left.out", "right.in", "right"),
    row("passthru", across(PASSTHRU, OFF), Stimulus("left", "right"), "left.out", "right.in", "b"),
    row(
        "bridge",
        across(BRIDGE, OFF),
        Stimulus("a", BROADCAST),
        *("left.out", "external", "right.in", "right", "b"),
    ),
    row(
        "private, hairpin",
        across(PRIVATE, ON),
        Stimulus("a", BROADCAST),
        *("left.out", "external", "right.in", "right", "b", "left.in", "a"),
    ),
    row(
        "bridge",
        across(BRIDGE, ON),
        Stimulus("external", BROADCAST),
        *("left.in", "left", "a", "right.in", "right", "b"),
    ),
]


@pytest.mark.parametrize(("topology", "stimulus", "seen"), ACROSS)
def test_two_lower_devices(topology, stimulus, seen):
    """Siblings are those on one device: between two, the switch forwards without hairpin."""
    assert copies(topology, stimulus) == seen


# ---------------------------------------------------------------------- links down


def down(mode, hairpin=OFF):
    """d, whose link is down, and b in bridge mode."""
    return Topology(
        [Guest("d", mode, up=False), Guest("b", BRIDGE)], switch=Switch(hairpin=hairpin)
    )


DOWN = [
    row("vepa", down(VEPA), Stimulus("d", "external")),
    row("bridge", down(BRIDGE), Stimulus("d", "b")),
    row("bridge, hairpin", down(BRIDGE, ON), Stimulus("d", BROADCAST)),
    row("vepa", down(VEPA), Stimulus("external", "d"), IN, OTHERHOST),
    row("private", down(PRIVATE), Stimulus("external", "d"), IN, OTHERHOST),
    row("vepa", down(VEPA), Stimulus("external", BROADCAST), IN, "lower", "b"),
    row("bridge, not handed over", down(BRIDGE), Stimulus("b", "d"), OUT, "external"),
    row(
        "bridge, not handed over, hairpin",
        down(BRIDGE, ON),
        Stimulus("b", "d"),
        *(OUT, "external", IN, OTHERHOST),
    ),
    row("bridge", down(BRIDGE), Stimulus("b", BROADCAST), OUT, "external"),
    row(
        "private: its address returns nothing to it",
        down(PRIVATE),
        Stimulus("external", BROADCAST, source="d"),
        *(IN, "lower", "b"),
    ),
]


@pytest.mark.parametrize(("topology", "stimulus", "seen"), DOWN)
def test_link_down(topology, stimulus, seen):
    """Out of the hash table: the frame is for whoever is next. The switch has not heard of it."""
    assert copies(topology, stimulus) == seen


# ---------------------------------------------------------------------- the switch


def switch(*ports, hairpin=ON, filtering=False):
    """Guests a (vepa) and b (private, joined GROUP) behind lower; external and other."""
    return Topology(
        [Guest("a", VEPA), Guest("b", PRIVATE, groups=(GROUP,))],
        switch=Switch(hairpin=hairpin, vlan_filtering=filtering, ports=ports),
        externals=[External("external"), External("other")],
    )


def port(to, **settings):
    return Port(to=to, **settings)


FLOODED = ("other", IN, OTHERHOST)
SWITCH_ROWS = [
    row("plain", switch(), Stimulus("a", "external"), OUT, "external"),
    row("plain", switch(), Stimulus("external", "other"), "other"),
    row("plain", switch(), Stimulus("external", UNKNOWN), *FLOODED),
    row("plain", switch(), Stimulus("a", UNKNOWN), OUT, "external", *FLOODED),
    row(
        "no learning at lower",
        switch(port("lower", learning=False)),
        Stimulus("a", "b"),
        *(OUT, "external", "other", IN, "b"),
    ),
    row(
        "no learning at lower",
        switch(port("lower", learning=False)),
        Stimulus("external", "a"),
        *("other", IN, "a"),
    ),
    row(
        "no learning at lower, hairpin off",
        switch(port("lower", learning=False), hairpin=OFF),
        Stimulus("a", "b"),
        *(OUT, "external", "other"),
    ),
    row(
        "no learning at external",
        switch(port("external", learning=False)),
        Stimulus("a", "external"),
        *(OUT, "external", *FLOODED),
    ),
    row(
        "no flooding to external",
        switch(port("external", flood=False)),
        Stimulus("a", UNKNOWN),
        *(OUT, *FLOODED),
    ),
    row(
        "no flooding to external: it has been learned",
        switch(port("external", flood=False)),
        Stimulus("a", "external"),
        *(OUT, "external"),
    ),
    row(
        "neither learned nor flooded",
        switch(port("external", flood=False, learning=False)),
        Stimulus("a", "external"),
        *(OUT, *FLOODED),
    ),
    row(
        "no flooding to lower",
        switch(port("lower", flood=False)),
        Stimulus("external", UNKNOWN),
        "other",
    ),
    row(
        "no groups to other",
        switch(port("other", multicast_flood=False)),
        Stimulus("external", GROUP),
        *(IN, "lower", "b"),
    ),
    row(
        "no groups to other: broadcast all the same",
        switch(port("other", multicast_flood=False)),
        Stimulus("external", BROADCAST),
        *("other", IN, "lower", "a", "b"),
    ),
    row(
        "no groups to other: nor does unknown unicast mind",
        switch(port("other", multicast_flood=False)),
        Stimulus("external", UNKNOWN),
        *FLOODED,
    ),
    row("hairpin is for lower devices", switch(), Stimulus("external", "external")),
    row(
        "hairpin at external",
        switch(port("external", hairpin=True), hairpin=OFF),
        Stimulus("external", "external"),
        "external",
    ),
    row(
        "hairpin at external",
        switch(port("external", hairpin=True), hairpin=OFF),
        Stimulus("external", BROADCAST),
        *("external", "other", IN, "lower", "a", "b"),
    ),
    row(
        "hairpin at external is not at lower",
        switch(port("external", hairpin=True), hairpin=OFF),
        Stimulus("a", "b"),
        OUT,
    ),
    row("hairpin off at lower", switch(port("lower", hairpin=False)), Stimulus("a", "b"), OUT),
    row(
        "a stolen address is learned before the frame is looked up",
        switch(),
        Stimulus("external", "a", source="a"),
    ),
    row(
        "a stolen address, not learned",
        switch(port("external", learning=False)),
        Stimulus("external", "a", source="a"),
        *(IN, "a"),
    ),
]


@pytest.mark.parametrize(("topology", "stimulus", "seen"), SWITCH_ROWS)
def test_switch_ports(topology, stimulus, seen):
    """Learning, flooding and hairpin are decided port by port."""
    assert copies(topology, stimulus) == seen


FILTERING = switch(
    port("lower", pvid=10, vlans=(20,)),
    port("external", pvid=10),
    port("other", pvid=20),
    filtering=True,
)
FILTERING_ROWS = [
    row("PVID", FILTERING, Stimulus("a", "b"), OUT, IN, "b"),
    row("PVID", FILTERING, Stimulus("a", "external"), OUT, "external"),
    row(
        "unknown in this VLAN",
        FILTERING,
        Stimulus("a", "other"),
        *(OUT, "external", IN, OTHERHOST),
    ),
    row("tagged member", FILTERING, Stimulus("a", "other", tag=Tag(20)), OUT, "other"),
    row("its PVID as a tag", FILTERING, Stimulus("a", "external", tag=Tag(10)), OUT, "external"),
    row("not a member", FILTERING, Stimulus("a", "b", tag=Tag(30)), OUT),
    row("not a member", FILTERING, Stimulus("external", "a", tag=Tag(20))),
    row(
        "802.1ad is no VLAN here: the PVID",
        FILTERING,
        Stimulus("a", "external", tag=Tag(20, tpid=0x88A8)),
        *(OUT, "external"),
    ),
    row("", FILTERING, Stimulus("external", BROADCAST), IN, "a", "b", "lower"),
    row("arrives tagged", FILTERING, Stimulus("other", BROADCAST), IN, "a", "b", OTHERHOST),
]


@pytest.mark.parametrize(("topology", "stimulus", "seen"), FILTERING_ROWS)
def test_vlan_filtering(topology, stimulus, seen):
    """A port takes and gives only its own VLANs; the untagged are in its PVID."""
    assert copies(topology, stimulus) == seen


@pytest.mark.parametrize(
    ("stimulus", "observer", "tags"),
    [
        pytest.param(
            Stimulus("a", "other", tag=Tag(20)), "other", (), id="taken off where it is the PVID"
        ),
        pytest.param(Stimulus("other", BROADCAST), "a", (Tag(20),), id="put on for a member"),
        pytest.param(Stimulus("other", BROADCAST), IN, (Tag(20),), id="put on for the wire"),
        pytest.param(Stimulus("external", BROADCAST), "a", (), id="PVID to PVID"),
        pytest.param(
            Stimulus("a", "external", tag=Tag(20, tpid=0x88A8)),
            "external",
            (Tag(20, tpid=0x88A8),),
            id="802.1ad stays",
        ),
    ],
)
def test_vlan_filtering_changes_tags(stimulus, observer, tags):
    (frame,) = predict(FILTERING, stimulus).arrivals[observer]
    assert frame.tags == tags


def test_without_filtering_tags_do_not_separate():
    """One forwarding table for all: the switch looks at no tag."""
    topology = switch(port("lower", pvid=10), port("external", pvid=20))
    stimulus = Stimulus("a", "external", tag=Tag(30))
    assert copies(topology, stimulus) == {OUT: 1, "external": 1}


# ---------------------------------------------------------------------- the router


def routed(first, second, hairpin):
    return Topology(
        [Guest("a", first), Guest("b", second)], switch=Switch(hairpin=hairpin), router=Router()
    )


@pytest.mark.parametrize("hairpin", [OFF, ON], ids=WORDS.get)
@pytest.mark.parametrize("first", [VEPA, BRIDGE, PRIVATE])
@pytest.mark.parametrize("second", [VEPA, BRIDGE, PRIVATE])
@pytest.mark.parametrize(
    ("sender", "to", "seen"),
    [
        ("a", "b", {OUT: 1, "router": 1, IN: 1, "b": 1}),
        ("lower", "b", {OUT: 1, "router": 1, IN: 1, "b": 1}),
        ("b", "lower", {OUT: 1, "router": 1, IN: 1, "lower": 1}),
        ("a", "a", {OUT: 1, "router": 1, IN: 1, "a": 1}),
        ("a", "external", {OUT: 1, "router": 1, "external": 1}),
        ("external", "b", {"router": 1, IN: 1, "b": 1}),
        ("external", "external", {"router": 1, "external": 1}),
        ("a", "router", {OUT: 1, "router": 1}),
    ],
)
def test_router_reaches_everybody(first, second, hairpin, sender, to, seen):
    """From the router's own port, so no hairpin; private guests included."""
    topology = routed(first, second, hairpin)
    assert copies(topology, Stimulus(sender, to, via="router")) == seen


@pytest.mark.parametrize(
    ("stimulus", "seen"),
    [
        pytest.param(Stimulus("a", "router"), {OUT: 1, "router": 1}, id="no IPv4: not forwarded"),
        pytest.param(Stimulus("external", BROADCAST), None, id="hears broadcast"),
        pytest.param(
            Stimulus("a", "b", via="router", tag=Tag(5)),
            {OUT: 1, "router": 1},
            id="tagged: not forwarded",
        ),
    ],
)
def test_router_leaves_alone(stimulus, seen):
    seen = seen or {"router": 1, IN: 1, "a": 1, "b": 1, "lower": 1}
    assert copies(routed(VEPA, VEPA, OFF), stimulus) == seen


def test_router_sends_on_what_ip_forward_would():
    """New addresses from hop to hop, TTL one less, the same IPv4 addresses."""
    topology = routed(VEPA, PRIVATE, OFF)
    prediction = predict(topology, Stimulus("a", "b", via="router"))
    (sent,), (received,) = prediction.arrivals[OUT], prediction.arrivals["b"]
    assert (sent.src, sent.dst) == (topology.macs["a"], topology.macs["router"])
    assert (received.src, received.dst) == (topology.macs["router"], topology.macs["b"])
    assert (sent.payload[8], received.payload[8]) == (64, 63)
    assert received.payload[12:20] == sent.payload[12:20]
    assert received.payload[20:] == sent.payload[20:]
