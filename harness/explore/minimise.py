"""From a case that differs to the smallest one that still does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, replace
from typing import Any

from harness.cases import Case
from harness.errors import HairpinError
from harness.operations import Action, Add, Change, Send
from harness.stimulus import frame_of
from harness.topology import Topology

__all__ = ["minimise", "smaller"]

_KEPT_FIELDS = ("name", "to", "mac", "mode", "lower", "parent", "kind", "vlan", "switch", "sources")


def minimise(case: Case, differs: Callable[[Case], bool], *, most: int) -> Case:
    """The smallest case reached by leaving out, one thing after the other, what it does not need.

    `case` must differ. `differs` is asked `most` times at most.
    """
    asked = 0
    tried: set[tuple[Topology, tuple[Action, ...]]] = set()
    shrinking = True
    while shrinking:
        shrinking = False
        for candidate in smaller(case):
            key = (candidate.topology, candidate.steps)
            if key in tried or not _possible(candidate):
                continue
            if asked == most:
                return case
            tried.add(key)
            asked += 1
            if differs(candidate):
                case, shrinking = candidate, True
                break
    return case


def smaller(case: Case) -> Iterator[Case]:
    """Cases with less in them, those with much less first."""
    yield from _later_beginnings(case)
    yield from _fewer_steps(case)
    yield from _fewer_stations(case)
    yield from _plainer_parts(case)
    yield from _plainer_steps(case)


def _possible(case: Case) -> bool:
    try:
        for step, topology in case.states():
            if isinstance(step, Send):
                frame_of(topology, step.stimulus)
    except HairpinError:
        return False
    return True


def _later_beginnings(case: Case) -> Iterator[Case]:
    """Begin with what the first changes lead to: half of them, a quarter, …, one."""
    states = list(case.states())
    changes = sum(not isinstance(step, Send) for step, _ in states)
    count = changes
    while count:
        yield replace(case, topology=states[count - 1][1], steps=case.steps[count:])
        count //= 2


def _fewer_steps(case: Case) -> Iterator[Case]:
    """Without a half, a quarter, …, one of the steps."""
    length = len(case.steps) // 2 or 1
    while length:
        for start in range(len(case.steps) - length, -1, -1):
            steps = case.steps[:start] + case.steps[start + length :]
            if steps:
                yield replace(case, steps=steps)
        length //= 2


def _fewer_stations(case: Case) -> Iterator[Case]:
    topology = case.topology
    for guest in reversed(topology.guests):
        guests = [g for g in topology.guests if g is not guest]
        steps = tuple(s for s in case.steps if not _is_about(s, guest.name))
        yield from _made(case, steps, {"guests": guests})
    for lower in reversed(topology.lowers):
        lowers = [x for x in topology.lowers if x is not lower]
        guests = [g for g in topology.guests if g.lower != lower.name]
        names = {lower.name, *(g.name for g in topology.guests_on(lower.name))}
        steps = tuple(s for s in case.steps if not any(_is_about(s, name) for name in names))
        yield from _made(case, steps, {"lowers": lowers, "guests": guests}, unplugged=lower.name)
    for external in reversed(topology.externals):
        externals = [x for x in topology.externals if x is not external]
        steps = tuple(s for s in case.steps if not _is_about(s, external.name))
        yield from _made(case, steps, {"externals": externals}, unplugged=external.name)
    for switch in topology.switches[1:]:
        switches = [x for x in topology.switches if x is not switch]
        yield from _made(case, case.steps, {"switches": switches})
    if topology.router:
        bare = Topology(
            topology.guests,
            lowers=topology.lowers,
            switches=_without_port(topology, topology.router.name),
            externals=topology.externals,
        )
        yield replace(case, topology=bare)


def _is_about(step: Action, name: str) -> bool:
    if isinstance(step, Add):
        return step.guest.name == name
    return not isinstance(step, Send) and step.name == name


def _made(
    case: Case, steps: tuple[Action, ...], parts: dict[str, Any], *, unplugged: str = ""
) -> Iterator[Case]:
    """The case with other parts, if such a topology can be."""
    if not steps:
        return
    if unplugged:
        parts = {**parts, "switches": _without_port(case.topology, unplugged)}
    try:
        yield replace(case, topology=case.topology.with_parts(**parts), steps=steps)
    except HairpinError:
        return


def _without_port(topology: Topology, station: str) -> list[Any]:
    return [
        replace(switch, ports=tuple(p for p in switch.ports if p.to != station))
        for switch in topology.switches
    ]


def _plainer(part: Any) -> Iterator[Any]:
    """The part with one field back at its default."""
    for item in fields(part):
        if item.name in _KEPT_FIELDS or item.default is MISSING:
            continue
        if getattr(part, item.name) != item.default:
            yield replace(part, **{item.name: item.default})


def _plainer_parts(case: Case) -> Iterator[Case]:
    topology = case.topology
    for attribute in ("guests", "lowers", "switches"):
        parts = getattr(topology, attribute)
        for i, part in enumerate(parts):
            for plain in _plainer(part):
                changed = [*parts[:i], plain, *parts[i + 1 :]]
                yield from _made(case, case.steps, {attribute: changed})
    for i, guest in enumerate(topology.guests):
        if guest.sources or guest.nodst:
            fewer = replace(guest, sources=guest.sources[1:], nodst=False)
            guests = [*topology.guests[:i], fewer, *topology.guests[i + 1 :]]
            yield from _made(case, case.steps, {"guests": guests})


def _plainer_steps(case: Case) -> Iterator[Case]:
    for i, step in enumerate(case.steps):
        for plain in _plainer_step(step):
            yield replace(case, steps=(*case.steps[:i], plain, *case.steps[i + 1 :]))


def _plainer_step(step: Action) -> Iterator[Action]:
    if isinstance(step, Send):
        for plain in _plainer(step.stimulus):
            yield Send(plain)
    elif isinstance(step, Change) and len(step.fields) > 1:
        for item in step.fields:
            yield Change(step.part, step.name, tuple(x for x in step.fields if x is not item))
    elif isinstance(step, Add):
        for plain in _plainer(step.guest):
            yield Add(plain)
