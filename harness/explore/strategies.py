"""Random topologies and random changes to them, as Hypothesis strategies.

Drawn is whatever leads to the state that the model knows: that of a network just built. Where
the kernel keeps a trace of the past instead (docs/findings.md, tests/conformance/
test_passthru_traps.py), the change is left out, with the reason beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from harness.errors import TopologyError
from harness.explore.stimuli import GROUPS
from harness.operations import Add, Change, Operation, Part, Remove
from harness.parts import External, Guest, Lower, LowerKind, Mode, Port, Router, Switch
from harness.topology import Topology

__all__ = ["CHANGES", "topologies"]

MOST_GUESTS = 12
_SHARING = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.SOURCE)
_NAMES = tuple("abcdefghijklmnopqrst")
_PLACES = ("", "elsewhere", "yonder")
_QUEUES = (None, None, None, None, 0, 2000)

rarely = st.sampled_from((False,) * 7 + (True,))
mostly = rarely.map(lambda found: not found)


def _mac(kind: int, number: int) -> str:
    return f"02:68:70:{kind:02x}:5a:{number:02x}"


macs = st.integers(0, 255).map(lambda number: _mac(9, number))


@st.composite
def _guest(draw: st.DrawFn, name: str, lower: str, known: Sequence[str], *, alone: bool) -> Guest:
    """A guest on `lower`; `known` are addresses that it may list."""
    mode = Mode.PASSTHRU if alone else draw(st.sampled_from(_SHARING))
    up = draw(mostly)
    more: dict[str, Any] = {}
    if mode is Mode.SOURCE:
        more["sources"] = tuple(draw(st.lists(st.sampled_from(known), max_size=3, unique=True)))
        more["nodst"] = draw(rarely)
    if mode is Mode.PASSTHRU:
        more["nopromisc"] = draw(st.booleans())
    else:
        more["mac"] = _mac(8, ord(name))
    return Guest(
        name,
        mode,
        lower,
        groups=tuple(draw(st.sets(st.sampled_from(GROUPS)))),
        allmulticast=draw(rarely) and (up or mode is not Mode.PASSTHRU),
        promiscuous=draw(rarely),
        bcqueuelen=draw(st.sampled_from(_QUEUES)),
        up=up,
        **more,
    )


@st.composite
def _lowers(draw: st.DrawFn, kinds: Sequence[LowerKind], switches: int) -> tuple[Lower, ...]:
    """One to three on the wire; where the kernel has them, a vlan on the first, a dummy."""
    lowers = [
        Lower(name=f"lower{i}", switch=f"switch{draw(st.integers(1, switches))}")
        for i in range(1, draw(st.integers(1, 3)) + 1)
    ]
    if LowerKind.VLAN in kinds and draw(st.booleans()):
        vlan = draw(st.sampled_from((5, 100)))
        lowers.append(Lower(name="vlan", kind=LowerKind.VLAN, parent="lower1", vlan=vlan))
    if LowerKind.DUMMY in kinds and draw(rarely):
        lowers.append(Lower(name="dummy", kind=LowerKind.DUMMY))
    return tuple(lowers)


@st.composite
def topologies(draw: st.DrawFn, kinds: Sequence[LowerKind]) -> Topology:
    """1 to 12 guests on lower devices of these kinds, behind one or two switches."""
    switches = draw(st.sampled_from((1, 1, 1, 2)))
    lowers = draw(_lowers(kinds, switches))
    externals = tuple(
        External(f"external{i}", _mac(7, i), switch=f"switch{min(i, switches)}")
        for i in range(1, draw(st.integers(switches, 2)) + 1)
    )
    router = Router(switch="switch1") if draw(rarely) else None
    owned = {x.name for x in lowers if draw(rarely)}  # by one passthru guest
    known = [*(x.mac for x in externals), *(_mac(8, ord(name)) for name in _NAMES[:6])]
    guests: list[Guest] = []
    for name in _NAMES[: draw(st.integers(1, MOST_GUESTS))]:
        lower = draw(st.sampled_from([x.name for x in lowers]))
        if lower not in owned or not any(g.lower == lower for g in guests):
            guests.append(draw(_guest(name, lower, known, alone=lower in owned)))
    return Topology(
        guests,
        lowers=lowers,
        switches=[
            Switch(name=f"switch{i}", hairpin=draw(st.booleans()), ports=_ports(draw, lowers, i))
            for i in range(1, switches + 1)
        ],
        externals=externals,
        router=router,
    )


def _ports(draw: st.DrawFn, lowers: Sequence[Lower], switch: int) -> tuple[Port, ...]:
    """Ports that are set otherwise than their switch says."""
    return tuple(
        Port(
            to=lower.name,
            hairpin=draw(st.booleans()),
            learning=draw(mostly),
            flood=draw(mostly),
            multicast_flood=draw(mostly),
        )
        for lower in lowers
        if lower.kind is LowerKind.VETH and lower.switch == f"switch{switch}" and draw(rarely)
    )


# ---------------------------------------------------------------------- changes


def _pick(draw: st.DrawFn, topology: Topology, *modes: Mode) -> Guest | None:
    found = [g for g in topology.guests if not modes or g.mode in modes]
    return draw(st.sampled_from(found)) if found else None


def _of(guest: Guest, **fields: Any) -> Change:
    return Change(Part.GUEST, guest.name, tuple(fields.items()))


def _mode(draw: st.DrawFn, topology: Topology) -> Operation | None:
    guest = _pick(draw, topology, *_SHARING)
    if guest is None:
        return None
    mode = draw(st.sampled_from([m for m in _SHARING if m is not guest.mode]))
    if mode is not Mode.SOURCE:
        return _of(guest, mode=mode)
    return _of(guest, mode=mode, **_list(draw, topology))


def _list(draw: st.DrawFn, topology: Topology) -> dict[str, Any]:
    known = st.sampled_from(sorted(set(topology.macs.values())))
    sources = tuple(draw(st.lists(known, max_size=3, unique=True)))
    return {"sources": sources, "nodst": draw(rarely)}


def _sources(draw: st.DrawFn, topology: Topology) -> Operation | None:
    guest = _pick(draw, topology, Mode.SOURCE)
    return None if guest is None else _of(guest, **_list(draw, topology))


def _address(draw: st.DrawFn, topology: Topology) -> Operation | None:
    guest = _pick(draw, topology)
    return None if guest is None else _of(guest, mac=draw(macs))


def _lower_address(draw: st.DrawFn, topology: Topology) -> Operation | None:
    carried = {x.parent for x in topology.lowers}
    lowers = [x for x in topology.lowers if x.kind is LowerKind.VETH and x.name not in carried]
    if not lowers:
        return None
    lower = draw(st.sampled_from(lowers))
    return Change(Part.LOWER, lower.name, (("mac", draw(macs)),))


def _listening(draw: st.DrawFn, topology: Topology) -> Operation | None:
    guest = _pick(draw, topology)
    if guest is None:
        return None
    name = draw(st.sampled_from(("promiscuous", "allmulticast")))
    if name == "allmulticast" and guest.mode is Mode.PASSTHRU and not guest.up:
        return None  # the lower device would never learn of it
    return _of(guest, **{name: not getattr(guest, name)})


def _membership(draw: st.DrawFn, topology: Topology) -> Operation | None:
    guest = _pick(draw, topology)
    groups = tuple(sorted(draw(st.sets(st.sampled_from(GROUPS)))))
    return None if guest is None else _of(guest, groups=groups)


def _queue(draw: st.DrawFn, topology: Topology) -> Operation | None:
    guest = _pick(draw, topology)
    return None if guest is None else _of(guest, bcqueuelen=draw(st.sampled_from((0, 1000, 2000))))


def _nopromisc(draw: st.DrawFn, topology: Topology) -> Operation | None:
    # On a link that is down the kernel loses count of the lower device's promiscuity
    # (macvlan_changelink; docs/findings.md), so only on one that is up.
    guest = _pick(draw, topology, Mode.PASSTHRU)
    return _of(guest, nopromisc=not guest.nopromisc) if guest and guest.up else None


def _state(draw: st.DrawFn, topology: Topology) -> Operation | None:
    guest = _pick(draw, topology)
    if guest is None or (guest.mode is Mode.PASSTHRU and guest.allmulticast):
        return None  # macvlan_stop and macvlan_open leave the lower device's allmulti as it was
    return _of(guest, up=not guest.up)


def _carrier(draw: st.DrawFn, topology: Topology) -> Operation | None:
    """A lower device or a port down, or one that is down up again."""
    lowers = [x for x in topology.lowers if x.kind is LowerKind.VETH]
    ports = [topology.port(x) for x in topology.plugged()]
    changes = [Change(Part.LOWER, x.name, (("up", not x.up),)) for x in lowers]
    changes += [Change(Part.PORT, x.to, (("up", not x.up),)) for x in ports]
    return draw(st.sampled_from(changes))


def _port(draw: st.DrawFn, topology: Topology) -> Operation | None:
    name = draw(st.sampled_from(topology.plugged()))
    what = draw(st.sampled_from(("hairpin", "hairpin", "hairpin", "flood", "learning")))
    return Change(Part.PORT, name, ((what, not getattr(topology.port(name), what)),))


def _add(draw: st.DrawFn, topology: Topology) -> Operation | None:
    free = [name for name in _NAMES if not topology.is_guest(name)]
    lower = draw(st.sampled_from([x.name for x in topology.lowers]))
    others = topology.guests_on(lower)
    if len(topology.guests) >= MOST_GUESTS or any(g.mode is Mode.PASSTHRU for g in others):
        return None
    known = sorted(set(topology.macs.values()))
    alone = not others and draw(rarely)
    return Add(draw(_guest(free[0], lower, known, alone=alone)))


def _remove(draw: st.DrawFn, topology: Topology) -> Operation | None:
    guest = _pick(draw, topology)
    return None if guest is None else Remove(guest.name)


def _move(draw: st.DrawFn, topology: Topology) -> Operation | None:
    guest = _pick(draw, topology)
    if guest is None:
        return None
    place = draw(st.sampled_from([x for x in _PLACES if x != guest.namespace]))
    return _of(guest, namespace=place)


Drawn = Callable[[st.DrawFn, Topology], Operation | None]


def _valid(draw_change: Drawn) -> Callable[[Topology], st.SearchStrategy[Operation | None]]:
    """The strategy of changes of one kind; None where the topology allows none."""

    @st.composite
    def strategy(draw: st.DrawFn, topology: Topology) -> Operation | None:
        operation = draw_change(draw, topology)
        try:
            if operation:
                operation.applied(topology)
        except TopologyError:  # an address that is taken, say
            return None
        return operation

    return strategy


CHANGES: Mapping[str, Callable[[Topology], st.SearchStrategy[Operation | None]]] = {
    name: _valid(drawn)
    for name, drawn in {
        "mode": _mode,
        "sources": _sources,
        "address": _address,
        "lower_address": _lower_address,
        "listening": _listening,
        "membership": _membership,
        "queue": _queue,
        "nopromisc": _nopromisc,
        "state": _state,
        "carrier": _carrier,
        "port": _port,
        "add": _add,
        "remove": _remove,
        "move": _move,
    }.items()
}
"""Kind of change to the strategy of such changes to a topology."""
