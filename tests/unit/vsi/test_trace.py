"""What the switch remembers: bounded, and control frames apart from a flood."""

import pytest

from harness.errors import SilenceError
from harness.vsi.events import Event, EventKind
from harness.vsi.live.trace import EventLog, Passed, Trace


def passed(at, fate):
    return Passed(float(at), "p", outgoing=False, octets=bytes(14), fate=fate)


def test_a_flood_does_not_push_control_out():
    trace = Trace(most=3)
    frames = [
        passed(0, "control"),
        passed(1, "dropped: no"),
        *(passed(n, "x") for n in range(2, 9)),
    ]
    for one in frames:
        trace.add(one)
    assert trace.frames() == (*frames[:2], *frames[-3:])
    assert trace.count == 9


def note(at, text="text"):
    return "p", Event(float(at), EventKind.MOVED, text)


def test_events_that_are_forgotten_are_counted():
    log = EventLog(most=2)
    log.add([note(n) for n in range(5)])
    assert [event.at for _, event in log.events()] == [3.0, 4.0]
    assert (log.count, log.forgotten) == (5, 3)


def test_waiting_finds_what_was_before_and_not_before_the_mark():
    log = EventLog()
    log.add([note(1, "early")])
    assert log.wait(lambda _, event: event.text == "early", since=0, within=0.01).at == 1.0
    with pytest.raises(SilenceError, match=r"nothing happened at the switch within 0\.01 s"):
        log.wait(lambda _, event: event.text == "early", since=1, within=0.01)


def test_silence_shows_what_happened_instead():
    log = EventLog()
    log.add([note(n, f"step {n}") for n in range(20)])
    with pytest.raises(SilenceError) as caught:
        log.wait(lambda _, event: event.text == "other", since=17, within=0.01)
    assert "step 19" in str(caught.value)
    assert "step 16" not in str(caught.value)


def test_a_crash_is_told_to_who_waits():
    log = EventLog()
    log.crash(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        log.wait(lambda *_: True, since=0, within=5)
    log.raise_crash(again=False)
