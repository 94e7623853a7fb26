"""The reference model: what the kernel will do with a frame, computed, with reasons.

`predict` follows a stimulus through macvlan, the switch, the host's stack and the router as
the kernel's own functions would, without a kernel: it needs no root and runs on any system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from harness.behaviours import Behaviours
from harness.frames import Frame
from harness.model import bridge, host, macvlan, router
from harness.model.macvlan import group_hash
from harness.model.prediction import Prediction, Step
from harness.model.rules import Rule
from harness.model.walk import Handler, Hop, Walk
from harness.stimulus import Stimulus, frame_of
from harness.topology import Topology

__all__ = ["Prediction", "Rule", "Step", "foresee", "group_hash", "predict"]

Arrivals = Mapping[str, Sequence[Frame]]

_BY_HOP: dict[Hop, Handler] = {
    Hop.GUEST_TX: macvlan.transmit,
    Hop.LOWER_TX: host.transmit,
    Hop.LOWER_RX: host.receive,
    Hop.PORT_RX: bridge.receive,
    Hop.PORT_TX: bridge.send,
    Hop.ROUTER_RX: router.receive,
}
_HANDLERS = tuple(_BY_HOP[hop] for hop in Hop)


@lru_cache(maxsize=65536)
def predict(
    topology: Topology,
    stimulus: Stimulus,
    *,
    behaviours: Behaviours = frozenset(),
    inverted: frozenset[Rule] = frozenset(),
) -> Prediction:
    """Who receives what when `stimulus` is sent once in a quiet, primed `topology`.

    Primed: the switch has heard every station before. `behaviours` are those of the kernel
    (harness.kernel.features.probe); without them it is one up to 6.18. `inverted` turns rules
    round, to ask "what if the kernel did the opposite here". Raises StimulusError.
    """
    frame = frame_of(topology, stimulus)
    fdb = bridge.primed(topology, contrary=Rule.LEARN in inverted)
    walk = Walk(topology, fdb, inverted, behaviours=behaviours)
    return _walked(walk, stimulus.sender, frame).prediction()


def foresee(
    topology: Topology, sender: str, frame: Frame, *, behaviours: Behaviours = frozenset()
) -> Arrivals:
    """The arrivals of `predict` when `sender` sends `frame`, observers without any left out.

    Neither traced nor remembered, so several times as fast: for whoever asks about very many
    stimuli once.
    """
    walk = Walk(topology, bridge.primed(topology), behaviours=behaviours, traced=False)
    return _walked(walk, sender, frame).arrivals


def _walked(walk: Walk, sender: str, frame: Frame) -> Walk:
    walk.put(_origin(walk.topology, sender), sender, frame)
    walk.run(_HANDLERS)
    return walk


def _origin(topology: Topology, sender: str) -> Hop:
    if topology.is_guest(sender):
        return Hop.GUEST_TX
    return Hop.LOWER_TX if topology.is_lower(sender) else Hop.PORT_RX
