"""What a benchmark measures, and what of it is selected."""

import pytest

from harness.bench.measurement import Test
from harness.bench.paths import PATHS
from harness.bench.plan import FULL, QUICK, SIZES, Selection, fitted
from harness.errors import UsageError

FIRST = PATHS[0].name


def entries(plan=QUICK, **selected):
    return list(plan.only(Selection.of(**selected)).entries())


@pytest.mark.parametrize("plan", [QUICK, FULL], ids=lambda plan: plan.name)
def test_every_test_is_planned(plan):
    """Those with a path; rivals and scale have rounds of their own."""
    planned = {entry.test for entry in plan.entries()}
    assert planned == {Test.FORWARDING, Test.THROUGHPUT, Test.LATENCY, Test.LOSS, Test.BURST}


def test_full_has_all_paths_and_sizes():
    forwarding = [entry for entry in FULL.entries() if entry.test is Test.FORWARDING]
    assert {entry.path.name for entry in forwarding} == {spec.name for spec in PATHS}
    of_first = {e.frame for e in forwarding if e.path == PATHS[0] and not e.variant}
    assert of_first == {*SIZES, "9018", "GSO"}


def test_no_entry_twice():
    """Each measurement of a run has a key of its own."""
    again = Selection.of(frames=["64", "64"], guests=[7, 7], queues=[2, 2], rate=50_000)
    for plan in QUICK, FULL, QUICK.only(again), FULL.only(again):
        keys = [(e.test, e.path, e.frame, e.variant) for e in plan.entries()]
        assert len(keys) == len(set(keys))


def test_one_rate_is_one_latency():
    """However many loads the plan has."""
    found = [e for e in entries(FULL, rate=50_000) if e.test is Test.LATENCY]
    assert {entry.variant for entry in found} == {"50,000 frames/s"}
    assert len(found) == len({(entry.path, entry.frame) for entry in found})


def test_latency_follows_its_throughput():
    """Whose load it takes."""
    found = set()
    for entry in FULL.entries():
        if entry.test is Test.THROUGHPUT:
            found.add((entry.path, entry.frame))
        elif entry.test is Test.LATENCY:
            assert (entry.path, entry.frame) in found


def test_paths_and_frames_that_are_asked_for():
    found = entries(paths=["MACVLAN"], frames=["256", "gso"])
    assert {entry.path.name for entry in found} == {"macvlan"}
    assert {entry.frame for entry in found} == {"256", "GSO"}


def test_a_path_that_is_not_quick_can_be_asked_for():
    assert entries(paths=["source"])


@pytest.mark.parametrize(
    ("selected", "variants"),
    [
        ({"guests": [7]}, {"7 guests"}),
        ({"queues": [3]}, {"3 queues"}),
        ({"guests": [7], "queues": [3]}, {"7 guests", "3 queues"}),
    ],
    ids=["guests", "queues", "both"],
)
def test_variants_of_every_path_that_can_have_them(selected, variants):
    """Passthru guests are alone; a packet socket has one queue."""
    forwarding = [entry for entry in entries(**selected) if entry.test is Test.FORWARDING]
    found = [entry for entry in forwarding if entry.variant]
    assert {entry.variant for entry in found} == variants
    assert len({entry.path.name for entry in found}) > 3


@pytest.mark.parametrize(
    ("selected", "said"),
    [
        ({"tests": ["speed"]}, "there is no test speed; allowed: forwarding, throughput"),
        ({"paths": ["token ring"]}, "no path has token ring in its name; there are: guest"),
        ({"frames": ["63"]}, "frames of 63 bytes; allowed: 64 to 65,539, or GSO"),
        ({"frames": ["65540"]}, "64 to 65,539"),
        ({"frames": ["-64"]}, "64 to 65,539"),
    ],
    ids=str,
)
def test_wrong_selection(selected, said):
    with pytest.raises(UsageError, match=said):
        Selection.of(**selected)


def test_variant_that_no_path_can_have():
    with pytest.raises(UsageError, match="one queue"):
        entries(paths=["macvlan"], queues=[2])


@pytest.mark.parametrize(
    ("frame", "mtu", "gso"),
    [("64", 1500, False), ("1518", 1500, False), ("9018", 9000, False), ("GSO", 65521, True)],
)
def test_path_for_a_frame(frame, mtu, gso):
    spec = fitted(PATHS[0], frame)
    assert (spec.mtu, spec.gso) == (mtu, gso)


def test_rounds():
    assert QUICK.only(Selection.of(rounds=3)).rounds == 3
    assert QUICK.only(Selection.of()).rounds == QUICK.rounds
