"""Stimuli and sentinels made ready to be sent: bytes, where the ident goes, and what sends them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from harness.behaviours import Behaviours
from harness.frames import Frame, ident_offset
from harness.model import Prediction, predict
from harness.parts import Mode, is_multicast
from harness.stimulus import Stimulus, frame_of
from harness.testbed.endpoints import Endpoint, Seen, lost_or_raised
from harness.topology import Topology

__all__ = [
    "Loaded",
    "Send",
    "Sentinels",
    "Shot",
    "as_seen",
    "launch",
    "make_shot",
    "misleads",
    "rounds",
]

Send = Callable[[bytearray], object]
_IDENT = struct.Struct("<I").pack_into
Loaded = tuple[tuple[bytearray, int, Send], ...]


@dataclass(frozen=True, eq=False)
class Sentinels:
    """Sentinels made ready: the bytes of each, where its ident goes, and what sends it."""

    others: Loaded
    unicast: Loaded
    group: Loaded


@dataclass(frozen=True, eq=False)
class Shot:
    """A stimulus made ready: its bytes and where its ident goes, its sender, what must be seen.

    `awaited` are observers where no sentinel can arrive, but copies must: endpoint, observer
    and how many.
    """

    stimulus: Stimulus
    buffer: bytearray
    ident_at: int
    send: Send
    group: bool
    misleads: bool
    rounds: int
    prediction: Prediction
    expected: Seen
    awaited: tuple[tuple[Endpoint, str, int], ...]


def launch(loaded: Loaded, ident: int) -> None:
    """Send all of them with that ident; what a link that is down cannot send is lost."""
    for buffer, at, send in loaded:
        _IDENT(buffer, at, ident)
        try:
            send(buffer)
        except OSError as error:
            lost_or_raised(error)


def misleads(topology: Topology, stimulus: Stimulus) -> bool:
    """Whether a switch learns from it what no later stimulus may find.

    That is a stolen source, or a station in another VLAN.
    """
    filtering = any(switch.vlan_filtering for switch in topology.switches)
    return bool(stimulus.source) or (stimulus.tag is not None and filtering)


def rounds(topology: Topology, stimulus: Stimulus, *, group: bool) -> int:
    """Rounds of sentinels that follow it: each two hops through the backlog."""
    return 2 if group or stimulus.via or _requeues(topology) else 1


@lru_cache(maxsize=1024)
def _requeues(topology: Topology) -> bool:
    """Whether macvlan hands frames to netif_rx again (macvlan_forward_source_one)."""
    return any(g.mode is Mode.SOURCE for g in topology.guests)


def as_seen(arrivals: Mapping[str, Sequence[Frame]]) -> Seen:
    """Arrivals as endpoints report them: bytes, observers without any left out."""
    return {name: [f.to_bytes() for f in frames] for name, frames in arrivals.items() if frames}


def make_shot(
    topology: Topology,
    stimulus: Stimulus,
    send: Send,
    endpoint_of: Callable[[str], Endpoint],
    behaviours: Behaviours,
) -> Shot:
    """`stimulus` made ready, for a kernel of these behaviours. Raises StimulusError."""
    frame = frame_of(topology, stimulus)
    prediction = predict(topology, stimulus, behaviours=behaviours)
    group = is_multicast(frame.dst)
    return Shot(
        stimulus=stimulus,
        buffer=bytearray(frame.to_bytes()),
        ident_at=ident_offset(frame),
        send=send,
        group=group,
        misleads=misleads(topology, stimulus),
        rounds=rounds(topology, stimulus, group=group),
        prediction=prediction,
        awaited=tuple(
            (endpoint_of(name), name, len(frames))
            for name, frames in prediction.arrivals.items()
            if frames and not endpoint_of(name).expects_sentinel
        ),
        expected=as_seen(prediction.arrivals),
    )
