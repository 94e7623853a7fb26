"""What waits to be sent at a port, and what gives way."""

import pytest

from harness.vsi.backlog import Backlog, packed


@pytest.fixture
def one(station):
    """The association of the VSI with a number."""
    return lambda number, manager=11: station.vsi("associate", number, manager=manager)


def filled(most, *added):
    """A backlog with (station, association, dispensable), and what had to go."""
    backlog = Backlog(most)
    gone = [backlog.add(station, x, dispensable=spare) for station, x, spare in added]
    return backlog, [x.vsi.instance[-1] for x in gone if x]


def numbers(payload):
    return [association.vsi.instance[-1] for association in payload]


def test_stations_in_turns(one):
    """Who asked for much waits for those who asked for little, and all of it fits one ECPDU."""
    backlog, _ = filled(9, *[(b"a", one(n), False) for n in range(1, 5)], (b"b", one(9), False))
    assert numbers(backlog.take()) == [1, 9, 2, 3, 4]
    assert backlog.take() == ()
    assert len(backlog) == 0


def test_one_manager_in_an_ecpdu(one):
    backlog, _ = filled(9, (b"a", one(1), False), (b"b", one(2, 12), False), (b"a", one(3), False))
    assert [numbers(backlog.take()) for _ in range(3)] == [[1], [2], [3]]


def test_no_more_than_fit(one):
    backlog, _ = filled(200, *[(b"a", one(n), False) for n in range(100)])
    taken = [backlog.take() for _ in range(3)]
    assert [len(payload) for payload in taken] == [36, 36, 28]
    assert taken == list(packed(one(n) for n in range(100)))


@pytest.mark.parametrize(
    ("added", "gone"),
    [
        pytest.param(["a1", "a2", "a3"], [1], id="the-oldest"),
        pytest.param(["a1", "a2?", "a3"], [2], id="the-dispensable"),
        pytest.param(["b1?", "a2", "a3"], [2], id="of-the-longest"),
        pytest.param(["a1", "b2", "c3?"], [3], id="of-many-the-dispensable"),
    ],
)
def test_what_gives_way(one, added, gone):
    """Each is for a station, has a number, and may be dispensable (?); there is room for two."""
    waiting = [(x[0].encode(), one(int(x[1])), x.endswith("?")) for x in added]
    backlog, found = filled(2, *waiting)
    assert found == gone
    assert len(backlog) == 2
