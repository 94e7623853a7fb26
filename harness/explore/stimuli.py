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
_TAGS = tuple(Tag(vid, tpid) for vid in (1, 5, 100, 4094) for tpid in (0x8100, 0x88A8))


def plain(topology: Topology, random: Random, *, most: int) -> list[Stimulus]:
    """Up to `most` stimuli of which none misleads a switch, each once."""
    stations = tuple(topology.macs)
    found = []
    for sender in stations:
        # One group of each kind a sender: of all together, nearly half the frames would be copied
        # to everybody.
        groups = (BROADCAST, random.choice(GROUPS), random.choice(_NOBODYS))
        found += [Stimulus(sender, to) for to in (*stations, UNKNOWN, *groups) if to != sender]
    if topology.router:
        via = topology.router.name
        found += [Stimulus(a, b, via=via) for a in stations for b in stations if via not in (a, b)]
    random.shuffle(found)
    del found[most:]
    # Small networks leave room for tags. A switch that filters VLANs would be misled by them.
    if not any(x.vlan_filtering for x in topology.switches):
        tags = (*_TAGS, *_ids(topology))
        tagged = [(s, tag) for s in found if not s.via for tag in tags]
        wanted = min(len(tagged), most - len(found))
        found += [Stimulus(s.sender, s.to, tag=tag) for s, tag in random.sample(tagged, wanted)]
    return found


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
