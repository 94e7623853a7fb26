"""What the documentation promises: of which stimuli, what exactly, and what the model makes of it.

a [tap]--.                  .-- external
         lower ----- switch
b [tap]--'                  '-- router
"""

import pytest

from harness.frames import Tag
from harness.model import predict
from harness.parts import External, Guest, Lower, LowerKind, Mode, Port, Router, Switch
from harness.promises import PROMISES, promises_for
from harness.stimulus import BROADCAST, UNKNOWN, Stimulus
from harness.topology import Topology

VEPA, BRIDGE, PRIVATE = Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE
PASSTHRU, SOURCE = Mode.PASSTHRU, Mode.SOURCE
BY_ID = {promise.id: promise for promise in PROMISES}
OUT = "lower.out"
DUMMY = {"lowers": [Lower(kind=LowerKind.DUMMY)]}


def pair(first, second, hairpin=False, **parts):
    return Topology(
        [Guest("a", first), Guest("b", second)],
        switch=Switch(hairpin=hairpin),
        router=Router(),
        **parts,
    )


def down(mode):
    return Topology([Guest("a", mode, up=False), Guest("b", mode)])


def passthru(**parts):
    return Topology([Guest("a", PASSTHRU)], **parts)


def expects(promise, topology, stimulus):
    return BY_ID[promise].expects(topology, stimulus)


def yes(id, promise, topology, stimulus, **must):
    """A stimulus that the promise is about; a dot in an observer's name is written __."""
    must = {name.replace("__", "."): value for name, value in must.items()}
    return pytest.param(promise, topology, stimulus, must, id=f"{promise}: {id}")


SIBLINGS, OUTWARD = Stimulus("a", "b"), Stimulus("a", "external")

APPLIES = [
    yes("out", "S1-external", pair(VEPA, VEPA), OUTWARD, external=True),
    yes("in", "S1-external", pair(PRIVATE, VEPA), Stimulus("external", "a"), a=True),
    yes("passthru", "S1-external", passthru(), OUTWARD, external=True),
    yes("out", "S2-all-out", pair(VEPA, BRIDGE), SIBLINGS, lower__out=True),
    yes("broadcast", "S2-all-out", pair(VEPA, VEPA), Stimulus("a", BROADCAST), lower__out=True),
    yes("off", "S2-reflected", pair(VEPA, VEPA), SIBLINGS, b=False, lower__out=True),
    yes("on", "S2-reflected", pair(VEPA, VEPA, True), SIBLINGS, b=True, lower__out=True),
    yes("off", "S3-direct", pair(BRIDGE, BRIDGE), SIBLINGS, b=True, lower__out=False),
    yes("on", "S3-direct", pair(BRIDGE, BRIDGE, True), SIBLINGS, b=True, lower__out=False),
    yes("off", "S3-either-vepa", pair(BRIDGE, VEPA), SIBLINGS, b=False),
    yes("on", "S3-either-vepa", pair(BRIDGE, VEPA, True), SIBLINGS, b=True),
    yes("other way", "S3-either-vepa", pair(VEPA, BRIDGE, True), SIBLINGS, b=True),
    yes("out", "S4-all-out", pair(PRIVATE, VEPA), SIBLINGS, lower__out=True),
    yes("sender", "S4-router-only", pair(PRIVATE, BRIDGE, True), SIBLINGS, b=False),
    yes("target", "S4-router-only", pair(VEPA, PRIVATE, True), SIBLINGS, b=False),
    yes("sender", "iproute2-private", pair(PRIVATE, BRIDGE, True), SIBLINGS, b=False),
    yes("target", "iproute2-private", pair(VEPA, PRIVATE), SIBLINGS, b=False),
    yes(
        "sender",
        "S4-by-router",
        pair(PRIVATE, VEPA),
        Stimulus("a", "b", via="router"),
        b=True,
    ),
    yes(
        "target",
        "S4-by-router",
        pair(BRIDGE, PRIVATE),
        Stimulus("a", "b", via="router"),
        b=True,
    ),
    yes(
        "itself included",
        "libvirt-private-broadcast",
        pair(PRIVATE, VEPA, True),
        Stimulus("a", BROADCAST),
        a=False,
        b=False,
    ),
    yes("out", "S5-all-out", passthru(), Stimulus("a", BROADCAST), lower__out=True),
    yes("to the guest", "S5-all-in", passthru(), Stimulus("external", "a"), a=True),
    yes("to the device", "S5-all-in", passthru(), Stimulus("external", "lower"), a=True),
    yes("to nobody", "S5-all-in", passthru(), Stimulus("external", UNKNOWN), a=True),
]


@pytest.mark.parametrize(("promise", "topology", "stimulus", "must"), APPLIES)
def test_applies(promise, topology, stimulus, must):
    """To this stimulus, with these who must and must not receive it."""
    assert expects(promise, topology, stimulus) == must


def no(id, promise, topology, stimulus):
    return pytest.param(promise, topology, stimulus, id=f"{promise}: {id}")


NOT = [
    no("between guests", "S1-external", pair(VEPA, VEPA), SIBLINGS),
    no("spoofed", "S1-external", pair(VEPA, VEPA), Stimulus("a", "external", source="b")),
    no("tagged", "S1-external", pair(VEPA, VEPA), Stimulus("a", "external", tag=Tag(5))),
    no("routed", "S1-external", pair(VEPA, VEPA), Stimulus("a", "external", via="router")),
    no("down", "S1-external", down(VEPA), OUTWARD),
    no("dummy", "S1-external", pair(VEPA, VEPA, **DUMMY), OUTWARD),
    no("source mode", "S1-external", Topology([Guest("a", SOURCE)]), OUTWARD),
    no("the host", "S1-external", pair(VEPA, VEPA), Stimulus("lower", "external")),
    no("broadcast", "S1-external", pair(VEPA, VEPA), Stimulus("a", BROADCAST)),
    no(
        "consumed by source mode",
        "S1-external",
        Topology([Guest("a"), Guest("s", SOURCE, sources=("02:68:70:03:00:01",), nodst=True)]),
        Stimulus("external", "a"),
    ),
    no("bridge sender", "S2-all-out", pair(BRIDGE, VEPA), SIBLINGS),
    no("the host sends", "S2-all-out", pair(VEPA, VEPA), Stimulus("lower", "a")),
    no("down", "S2-all-out", down(VEPA), SIBLINGS),
    no("dummy", "S2-all-out", pair(VEPA, VEPA, **DUMMY), SIBLINGS),
    no("bridge target", "S2-reflected", pair(VEPA, BRIDGE), SIBLINGS),
    no("private target", "S2-reflected", pair(VEPA, PRIVATE), SIBLINGS),
    no("routed", "S2-reflected", pair(VEPA, VEPA), Stimulus("a", "b", via="router")),
    no("spoofed", "S2-reflected", pair(VEPA, VEPA), Stimulus("a", "b", source="external")),
    no("tagged", "S2-reflected", pair(VEPA, VEPA), Stimulus("a", "b", tag=Tag(5))),
    no("down", "S2-reflected", down(VEPA), Stimulus("b", "a")),
    no("to itself", "S2-reflected", pair(VEPA, VEPA), Stimulus("a", "a")),
    no("outside", "S2-reflected", pair(VEPA, VEPA), OUTWARD),
    no("dummy", "S2-reflected", pair(VEPA, VEPA, **DUMMY), SIBLINGS),
    no(
        "another device",
        "S2-reflected",
        Topology([Guest("a"), Guest("b", lower="right")], lowers=[Lower(), Lower(name="right")]),
        SIBLINGS,
    ),
    no("vepa target", "S3-direct", pair(BRIDGE, VEPA), SIBLINGS),
    no("routed", "S3-direct", pair(BRIDGE, BRIDGE), Stimulus("a", "b", via="router")),
    no("down", "S3-direct", down(BRIDGE), Stimulus("b", "a")),
    no(
        "beside source mode",
        "S3-direct",
        Topology([Guest("a", BRIDGE), Guest("b", BRIDGE), Guest("s", SOURCE)]),
        SIBLINGS,
    ),
    no("both bridge", "S3-either-vepa", pair(BRIDGE, BRIDGE), SIBLINGS),
    no("both vepa", "S3-either-vepa", pair(VEPA, VEPA), SIBLINGS),
    no("private", "S3-either-vepa", pair(BRIDGE, PRIVATE), SIBLINGS),
    no("routed", "S3-either-vepa", pair(BRIDGE, VEPA), Stimulus("a", "b", via="router")),
    no("vepa sender", "S4-all-out", pair(VEPA, PRIVATE), SIBLINGS),
    no("down", "S4-all-out", down(PRIVATE), SIBLINGS),
    no("dummy", "S4-all-out", pair(PRIVATE, VEPA, **DUMMY), SIBLINGS),
    no("neither", "S4-router-only", pair(VEPA, BRIDGE), SIBLINGS),
    no("routed", "S4-router-only", pair(PRIVATE, VEPA), Stimulus("a", "b", via="router")),
    no("outside", "S4-router-only", pair(PRIVATE, VEPA), OUTWARD),
    no("neither", "iproute2-private", pair(VEPA, BRIDGE), SIBLINGS),
    no("routed", "iproute2-private", pair(PRIVATE, VEPA), Stimulus("a", "b", via="router")),
    no("not routed", "S4-by-router", pair(PRIVATE, VEPA), SIBLINGS),
    no("neither", "S4-by-router", pair(VEPA, BRIDGE), Stimulus("a", "b", via="router")),
    no("unicast", "libvirt-private-broadcast", pair(PRIVATE, VEPA), SIBLINGS),
    no("vepa", "libvirt-private-broadcast", pair(VEPA, PRIVATE), Stimulus("a", BROADCAST)),
    no(
        "spoofed",
        "libvirt-private-broadcast",
        pair(PRIVATE, VEPA),
        Stimulus("a", BROADCAST, source="b"),
    ),
    no(
        "tagged",
        "libvirt-private-broadcast",
        pair(PRIVATE, VEPA),
        Stimulus("a", BROADCAST, tag=Tag(5)),
    ),
    no("vepa", "S5-all-out", pair(VEPA, VEPA), OUTWARD),
    no("dummy", "S5-all-out", passthru(**DUMMY), OUTWARD),
    no("the host sends", "S5-all-out", passthru(), Stimulus("lower", "external")),
    no("down", "S5-all-out", Topology([Guest("a", PASSTHRU, up=False)]), OUTWARD),
    no("down", "S5-all-in", Topology([Guest("a", PASSTHRU, up=False)]), Stimulus("external", "a")),
    no("not passthru", "S5-all-in", pair(VEPA, VEPA), Stimulus("external", "a")),
    no("broadcast", "S5-all-in", passthru(), Stimulus("external", BROADCAST)),
    no("from within", "S5-all-in", passthru(), Stimulus("lower", "a")),
    no("tagged", "S5-all-in", passthru(), Stimulus("external", "a", tag=Tag(5))),
    no("spoofed", "S5-all-in", passthru(), Stimulus("external", "a", source="a")),
    no(
        "not flooded",
        "S5-all-in",
        passthru(switch=Switch(ports=(Port(to="lower", flood=False),))),
        Stimulus("external", UNKNOWN),
    ),
    no(
        "between outsiders",
        "S5-all-in",
        passthru(externals=[External("external"), External("other")]),
        Stimulus("external", "other"),
    ),
]


@pytest.mark.parametrize(("promise", "topology", "stimulus"), NOT)
def test_says_nothing(promise, topology, stimulus):
    assert expects(promise, topology, stimulus) is None
    assert promise not in {p.id for p in promises_for(topology, stimulus)}


def test_every_promise_is_tested_both_ways():
    said = [{p.values[0] for p in rows} for rows in (APPLIES, NOT)]
    assert said == [set(BY_ID), set(BY_ID)]


# ---------------------------------------------------------------------- under the model


def held(topology, stimulus):
    """Promise to whether it is kept, if the kernel does what the model says."""
    arrivals = predict(topology, stimulus).arrivals
    received = {name: len(frames) for name, frames in arrivals.items()}
    return {p.id: p.kept(topology, stimulus, received) for p in promises_for(topology, stimulus)}


KEPT = [
    (VEPA, VEPA, False, ["S2-all-out", "S2-reflected"]),
    (VEPA, VEPA, True, ["S2-all-out", "S2-reflected"]),
    (VEPA, BRIDGE, False, ["S2-all-out", "S3-either-vepa"]),
    (VEPA, BRIDGE, True, ["S2-all-out", "S3-either-vepa"]),
    (BRIDGE, VEPA, False, ["S3-either-vepa"]),
    (BRIDGE, VEPA, True, ["S3-either-vepa"]),
    (BRIDGE, BRIDGE, False, ["S3-direct"]),
    (BRIDGE, BRIDGE, True, ["S3-direct"]),
    (PRIVATE, PRIVATE, False, ["S4-all-out", "S4-router-only", "iproute2-private"]),
    (BRIDGE, PRIVATE, False, ["S4-router-only", "iproute2-private"]),
]


@pytest.mark.parametrize(("first", "second", "hairpin", "promises"), KEPT)
def test_kept_between_guests(first, second, hairpin, promises):
    assert held(pair(first, second, hairpin), SIBLINGS) == dict.fromkeys(promises, True)


@pytest.mark.parametrize(
    ("first", "second", "others"),
    [
        (PRIVATE, PRIVATE, {"S4-all-out": True}),
        (PRIVATE, BRIDGE, {"S4-all-out": True}),
        (VEPA, PRIVATE, {"S2-all-out": True}),
        (BRIDGE, PRIVATE, {}),
    ],
)
def test_private_unicast_with_hairpin_is_documented_otherwise(first, second, others):
    """The kernel looks up the destination only: guide and manual say it isolates."""
    broken = {"S4-router-only": False, "iproute2-private": False}
    assert held(pair(first, second, hairpin=True), SIBLINGS) == others | broken


@pytest.mark.parametrize(("hairpin", "kept"), [(False, True), (True, False)])
def test_private_broadcast_comes_back_to_its_sender(hairpin, kept):
    """Which libvirt's documentation excludes; the siblings do not get it."""
    assert held(pair(PRIVATE, VEPA, hairpin), Stimulus("a", BROADCAST)) == {
        "S4-all-out": True,
        "libvirt-private-broadcast": kept,
    }


@pytest.mark.parametrize("hairpin", [False, True])
@pytest.mark.parametrize(("first", "second"), [(PRIVATE, PRIVATE), (BRIDGE, PRIVATE)])
def test_router_keeps_its_promise(first, second, hairpin):
    judged = held(pair(first, second, hairpin), Stimulus("a", "b", via="router"))
    assert judged["S4-by-router"] is True


@pytest.mark.parametrize(
    ("stimulus", "promises"),
    [
        (Stimulus("a", "external"), ["S1-external", "S5-all-out"]),
        (Stimulus("external", "a"), ["S1-external", "S5-all-in"]),
        (Stimulus("external", UNKNOWN), ["S5-all-in"]),
    ],
    ids=["out", "in", "unknown"],
)
def test_passthru_keeps_its_promises(stimulus, promises):
    assert held(passthru(), stimulus) == dict.fromkeys(promises, True)


# ---------------------------------------------------------------------- the promises themselves


@pytest.mark.parametrize(
    ("received", "kept"),
    [
        pytest.param({"b": 1, OUT: 1}, True, id="as promised"),
        pytest.param({"b": 3, OUT: 1}, True, id="more copies than one are still received"),
        pytest.param({"b": 0, OUT: 1}, False, id="missing"),
        pytest.param({"b": 1, OUT: 0}, False, id="not seen on the wire"),
    ],
)
def test_kept(received, kept):
    promise = BY_ID["S2-reflected"]
    assert promise.kept(pair(VEPA, VEPA, hairpin=True), SIBLINGS, received) is kept


def test_kept_where_it_does_not_apply():
    assert BY_ID["S3-direct"].kept(pair(VEPA, VEPA), SIBLINGS, {}) is True


def test_ids_are_unique():
    assert len(BY_ID) == len(PROMISES)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.id)
def test_says_who_promises_it_and_where(promise):
    assert promise.text.endswith(".")
    assert promise.source.split(",")[0] in ("virtualization guide", "libvirt", "iproute2")
    assert promise.section


# ---------------------------------------------------------------------- where nothing is promised


def _apart(**changes):
    """A and the external host, each on a switch of its own unless `changes` says otherwise."""
    parts = {"lower": {}, "external": {}, "ports": (), "mode": BRIDGE} | changes
    return Topology(
        [Guest("a", parts["mode"]), *([] if parts["mode"] is PASSTHRU else [Guest("b", BRIDGE)])],
        lowers=[Lower(**parts["lower"])],
        switches=[Switch(ports=parts["ports"]), Switch(name="other")],
        externals=[External("external", **parts["external"])],
    )


@pytest.mark.parametrize(
    ("topology", "stimulus"),
    [
        pytest.param(_apart(external={"switch": "other"}), ("a", "external"), id="another switch"),
        pytest.param(_apart(external={"switch": "other"}), ("external", "a"), id="and back"),
        pytest.param(
            _apart(external={"switch": "other"}, mode=PASSTHRU), ("external", "a"), id="passthru"
        ),
        pytest.param(_apart(lower={"up": False}), ("a", "external"), id="lower device down"),
        pytest.param(_apart(lower={"up": False}), ("a", "b"), id="siblings, lower device down"),
        pytest.param(_apart(lower={"up": False}, mode=VEPA), ("a", "b"), id="vepa, down"),
        pytest.param(
            _apart(lower={"up": False}, mode=PRIVATE), ("a", "external"), id="private, down"
        ),
        pytest.param(
            _apart(lower={"up": False}, mode=PASSTHRU), ("external", UNKNOWN), id="passthru, down"
        ),
        pytest.param(
            _apart(ports=(Port(to="lower", up=False),)), ("external", "a"), id="its port down"
        ),
        pytest.param(
            _apart(ports=(Port(to="external", up=False),)), ("a", "external"), id="their port down"
        ),
    ],
)
def test_nothing_is_promised_without_a_way(topology, stimulus):
    """The documentation speaks of networks that are plugged in."""
    for promise in PROMISES:
        expected = promise.expects(topology, Stimulus(*stimulus)) or {}
        assert True not in expected.values(), promise.id
