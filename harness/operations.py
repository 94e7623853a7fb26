"""Steps of a case: what is sent, and what is changed on the live network in between.

A change is a pure function from one topology to the next; how a live testbed gets there is
worked out from the difference of the two (`harness.testbed.changes`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from harness.errors import TopologyError
from harness.parts import Guest, Mode, Port
from harness.stimulus import Stimulus
from harness.topology import Topology

__all__ = ["Action", "Add", "Change", "Operation", "Part", "Remove", "Send"]


class Part(StrEnum):
    """What a change is made to."""

    GUEST = "guest"
    LOWER = "lower"
    PORT = "port"


_CHANGEABLE = {
    Part.GUEST: (
        "mode",
        "mac",
        "up",
        "promiscuous",
        "allmulticast",
        "groups",
        "sources",
        "nodst",
        "nopromisc",
        "bcqueuelen",
        "namespace",
    ),
    Part.LOWER: ("mac", "up"),
    Part.PORT: ("up", "hairpin", "learning", "flood", "multicast_flood"),
}


@dataclass(frozen=True)
class Send:
    """Send a stimulus; every observer must see what the model says."""

    stimulus: Stimulus

    def __str__(self) -> str:
        return f"send {self.stimulus}"


@dataclass(frozen=True)
class Change:
    """Set `fields` (name and value) of the guest, lower device or switch port `name`.

    What the kernel changes along with it changes too: a guest that leaves source mode loses its
    list (macvlan_changelink), passthru and its lower device keep one address between them
    (macvlan_set_mac_address, macvlan_device_event).
    """

    part: Part
    name: str
    fields: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        fields = ", ".join(f"{name} = {_word(value)}" for name, value in self.fields)
        return f"set {self.part} {self.name}: {fields}"

    def applied(self, topology: Topology) -> Topology:
        """The topology after it. Raises TopologyError when there can be no such topology."""
        for name, _ in self.fields:
            if name not in _CHANGEABLE[self.part]:
                raise TopologyError(
                    f"{self.part}.{name}",
                    "cannot be changed on a live network",
                    allowed=", ".join(_CHANGEABLE[self.part]),
                )
        fields = dict(self.fields)
        if self.part is Part.GUEST:
            return self._on_guest(topology, fields)
        if self.part is Part.LOWER:
            return self._on_lower(topology, fields)
        return self._on_port(topology, fields)

    def _on_guest(self, topology: Topology, fields: dict[str, Any]) -> Topology:
        guest = _existing(topology, self.name)
        mode = fields.get("mode", guest.mode)
        if (mode is Mode.PASSTHRU) is not (guest.mode is Mode.PASSTHRU):
            raise TopologyError(
                f"guest {self.name}.mode",
                "nobody gets into or out of passthru (macvlan_changelink)",
                allowed="vepa, bridge, private, source" if mode is Mode.PASSTHRU else "passthru",
            )
        if mode is not Mode.SOURCE:
            fields = {"sources": (), "nodst": False} | fields
        if mode is Mode.PASSTHRU and "mac" in fields:
            moved = Change(Part.LOWER, guest.lower, (("mac", fields.pop("mac")),))
            return self._on_guest(moved.applied(topology), fields)
        changed = replace(guest, **fields)
        return topology.with_parts(guests=(changed if g is guest else g for g in topology.guests))

    def _on_lower(self, topology: Topology, fields: dict[str, Any]) -> Topology:
        if not topology.is_lower(self.name):
            raise TopologyError(
                "lower", f"no {self.name!r}", allowed=", ".join(x.name for x in topology.lowers)
            )
        return topology.with_parts(
            guests=(
                replace(g, mac="") if g.mode is Mode.PASSTHRU and g.lower == self.name else g
                for g in topology.guests
            ),
            lowers=(replace(x, **fields) if x.name == self.name else x for x in topology.lowers),
        )

    def _on_port(self, topology: Topology, fields: dict[str, Any]) -> Topology:
        if self.name not in topology.plugged():
            raise TopologyError(
                "port", f"no port of {self.name!r}", allowed=", ".join(topology.plugged())
            )
        switch = topology.switch_of(self.name)
        declared = {port.to: port for port in switch.ports}
        declared[self.name] = replace(declared.get(self.name, Port(to=self.name)), **fields)
        changed = replace(switch, ports=tuple(declared.values()))
        return topology.with_parts(
            switches=(changed if x is switch else x for x in topology.switches)
        )


@dataclass(frozen=True)
class Add:
    """A new guest."""

    guest: Guest

    def __str__(self) -> str:
        return f"add guest {self.guest.name} ({self.guest.mode} on {self.guest.lower})"

    def applied(self, topology: Topology) -> Topology:
        """The topology after it. Raises TopologyError when there can be no such topology."""
        return topology.with_parts(guests=(*topology.guests, self.guest))


@dataclass(frozen=True)
class Remove:
    """Remove the guest `name`."""

    name: str

    def __str__(self) -> str:
        return f"remove guest {self.name}"

    def applied(self, topology: Topology) -> Topology:
        """The topology after it. Raises TopologyError when there is no such guest."""
        guest = _existing(topology, self.name)
        return topology.with_parts(guests=(g for g in topology.guests if g is not guest))


Operation = Change | Add | Remove
Action = Send | Operation


def _existing(topology: Topology, name: str) -> Guest:
    if not topology.is_guest(name):
        raise TopologyError(
            "guest", f"no {name!r}", allowed=", ".join(g.name for g in topology.guests)
        )
    return topology.guest(name)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value)
