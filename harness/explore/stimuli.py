"""Everything that may be sent on a topology, in an order that depends on chance alone."""

from __future__ import annotations

from random import Random

from harness.frames import Tag
from harness.parts import LowerKind
from harness.stimulus import BROADCAST, UNKNOWN, Stimulus
from harness.topology import Topology

__all__ = ["GROUPS", "plain", "spoofed"]

GROUPS = ("03:68:70:00:00:01", "03:68:70:00:00:02")
_NOBODYS = ("03:68:70:00:00:77", "01:80:c2:00:00:00", "01:80:c2:00:00:02", "01:80:c2:00:00:10")
_STOLEN = "02:68:70:dd:dd:dd"
_TAGS = (Tag(5), Tag(100), Tag(5, tpid=0x88A8))


def plain(topology: Topology, random: Random, *, most: int) -> list[Stimulus]:
    """Up to `most` stimuli of which none misleads a switch, each once."""
    stations = tuple(topology.macs)
    targets = (*stations, BROADCAST, UNKNOWN, *GROUPS, *_NOBODYS)
    tags = () if any(x.vlan_filtering for x in topology.switches) else (*_TAGS, *_ids(topology))
    found = [Stimulus(a, b) for a in stations for b in targets if a != b]
    # One in four stimuli bears a tag.
    wanted = min(most // 4, len(found) // 3) if tags else 0
    for _ in range(wanted):
        sender, to = random.choice(stations), random.choice(targets)
        if sender != to:
            found.append(Stimulus(sender, to, tag=random.choice(tags)))
    if topology.router:
        via = topology.router.name
        found += [Stimulus(a, b, via=via) for a in stations for b in stations if via not in (a, b)]
    found = list(dict.fromkeys(found))
    random.shuffle(found)
    return found[:most]


def _ids(topology: Topology) -> tuple[Tag, ...]:
    return tuple(Tag(x.vlan or 0) for x in topology.lowers if x.kind is LowerKind.VLAN)


def spoofed(topology: Topology, random: Random, *, most: int) -> list[Stimulus]:
    """Up to `most` stimuli with a source that is somebody else's or nobody's."""
    stations = tuple(topology.macs)
    found = []
    for _ in range(most):
        sender, source = random.choice(stations), random.choice((*stations, _STOLEN))
        to = random.choice((*stations, BROADCAST, UNKNOWN, *GROUPS))
        if sender not in (to, source):
            found.append(Stimulus(sender, to, source=source))
    return found
