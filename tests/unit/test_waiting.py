"""Looking again until what is seen is as wanted, or the time is over."""

from itertools import count

from harness.kernel.waiting import look_until


def test_no_longer_than_needed():
    """It ends with the first that will do, and looks no further."""
    numbers = count()
    assert look_until(lambda: next(numbers), lambda seen: seen == 3, within=60) == 3
    assert next(numbers) == 4


def test_the_last_when_the_time_is_over():
    """What was seen last, which is not as wanted: the caller has something to tell."""
    numbers = count()
    last = look_until(lambda: next(numbers), lambda seen: seen < 0, within=0.005)
    assert next(numbers) == last + 1


def test_without_time_it_looks_once():
    assert look_until(lambda: "", bool, within=-1) == ""
