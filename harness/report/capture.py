"""What every observer of a differing case saw, as a capture: one interface each.

Nothing is in it that was not seen, but for the stimulus itself, on its sender's interface. What
was predicted and did not come is said in comments: on the stimulus and on the interface.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.parts import Mode
from harness.pcapng import Captured, Interface, pcapng
from harness.stimulus import frame_of
from harness.testbed.evidence import Evidence, Repeat
from harness.testbed.verdict import Difference, Verdict
from harness.topology import Topology

__all__ = ["capture_of", "told_apart"]

_PARTS = {
    "otherhost": "the host's stack on {}: what it sees and drops (PACKET_OTHERHOST)",
    "out": "the wire of {}: towards the switch",
    "in": "the wire of {}: from the switch",
}
# Times are not measured, but Wireshark sorts by them.
_STEP = 1000  # nanoseconds
_SHOWN = 128  # bytes of a frame in a comment


def capture_of(verdict: Verdict, *, system: str, application: str) -> bytes:
    """The pcapng file of a verdict that differs and has evidence; other ones raise ValueError."""
    evidence = verdict.evidence
    if evidence is None:
        raise ValueError(f"no evidence on {verdict.stimulus}")
    observers = verdict.topology.observers
    return pcapng(
        [_interface(verdict, name) for name in observers],
        _frames(verdict, evidence, observers),
        comment=_about(verdict, evidence),
        system=system,
        application=application,
    )


def _about(verdict: Verdict, evidence: Evidence) -> str:
    return (
        f"{verdict}\nSent again: {evidence.repeat}.\n"
        "One interface for each observer. Times are those of the sending; the order between "
        "observers is not measured. The number by which a frame is known again (payload, bytes "
        "8 to 11) is set to 0."
    )


def _interface(verdict: Verdict, observer: str) -> Interface:
    difference = next((d for d in verdict.differences if d.observer == observer), None)
    if difference is None:
        comment = f"As predicted: {len(verdict.observation.arrivals[observer])} seen."
    else:
        comment = f"NOT AS PREDICTED: {difference}."
        for frame in difference.missing:
            more = " …" if len(frame) > _SHOWN else ""
            comment += f"\nPredicted and not seen: {frame[:_SHOWN].hex()}{more}"
    return Interface(observer, _description(verdict.topology, observer), comment)


def _description(topology: Topology, observer: str) -> str:
    station, _, part = observer.partition(".")
    if part in _PARTS:
        return _PARTS[part].format(station)
    mac = topology.macs[station]
    for guest in topology.guests:
        if guest.name == station:
            mode = f"{guest.mode}, nodst" if guest.nodst else guest.mode
            alike = " (its lower device's)" if guest.mode is Mode.PASSTHRU else ""
            return f"guest: macvtap in {mode} mode on {guest.lower}, {mac}{alike}"
    if any(lower.name == station for lower in topology.lowers):
        return f"the host's stack on the lower device {station}, {mac}"
    if topology.router and topology.router.name == station:
        return f"router behind the switch, {mac}"
    return f"external host behind the switch, {mac}"


def _frames(verdict: Verdict, evidence: Evidence, observers: Sequence[str]) -> Iterator[Captured]:
    """The first sending, and the second where another difference, or none, came of it."""
    yield from _sending(
        verdict, observers, verdict.observation.arrivals, evidence.seen_at, "first sending"
    )
    if evidence.repeat in (Repeat.OTHER, Repeat.NOT):
        yield from _sending(
            verdict, observers, evidence.arrivals, evidence.again_at, "second sending"
        )


def _sending(
    verdict: Verdict,
    observers: Sequence[str],
    arrivals: Mapping[str, tuple[bytes, ...]],
    seconds: float,
    which: str,
) -> Iterator[Captured]:
    stimulus = verdict.stimulus
    moment = round(seconds * 1e9)
    yield Captured(
        observers.index(stimulus.sender),
        moment,
        frame_of(verdict.topology, stimulus).to_bytes(),
        f"{which}: the stimulus {stimulus}, as {stimulus.sender} sends it\n"
        + "\n".join(_balance(verdict, arrivals)),
        outbound=True,
    )
    number = 0
    for i, observer in enumerate(observers):
        for frame, remark in told_apart(verdict, observer, arrivals[observer]):
            number += 1
            yield Captured(
                i,
                moment + number * _STEP,
                frame,
                f"{which}: a copy of the stimulus at {observer}: {remark}",
                outbound=observer.endswith(".out"),
            )


def _balance(verdict: Verdict, arrivals: Mapping[str, tuple[bytes, ...]]) -> Iterator[str]:
    """Predicted copies that are missing, observer by observer, and how many came besides."""
    for observer, expected in verdict.prediction.arrivals.items():
        predicted, seen = len(expected), len(arrivals[observer])
        if predicted or seen:
            missing = "" if seen >= predicted else f": {predicted - seen} MISSING"
            surplus = "" if seen <= predicted else f": {seen - predicted} TOO MANY"
            yield f"{observer}: {predicted} predicted, {seen} seen{missing}{surplus}"


def told_apart(verdict: Verdict, observer: str, frames: Sequence[bytes]) -> list[tuple[bytes, str]]:
    """Each of the `frames` that `observer` received, with whether it was predicted."""
    expected = [frame.to_bytes() for frame in verdict.prediction.arrivals[observer]]
    # A strange frame is held against a predicted one that did not come, as its changed copy.
    unmet = list(Difference(observer, tuple(expected), tuple(frames)).missing)
    allowed = [frame.to_bytes() for frame in verdict.prediction.maybe.get(observer, ())]
    told = []
    for frame in frames:
        if frame in expected:
            expected.remove(frame)
            remark = "predicted"
        elif frame in allowed:
            allowed.remove(frame)
            remark = "allowed for: the hash of the group collides with that of one joined"
        elif unmet:
            remark = f"NOT PREDICTED: {_unlike(frame, unmet.pop(0))}"
        else:
            remark = "NOT PREDICTED"
        told.append((frame, remark))
    return told


def _unlike(frame: bytes, expected: bytes) -> str:
    """Where `frame` first deviates from what was `expected` in its place."""
    at = next((i for i, (x, y) in enumerate(zip(frame, expected, strict=False)) if x != y), None)
    if at is None:
        return f"{len(frame)} bytes long, {len(expected)} were predicted"
    seen, wanted = frame[at : at + 4].hex(" "), expected[at : at + 4].hex(" ")
    return f"from byte {at} on it is {seen}, predicted was {wanted}"
