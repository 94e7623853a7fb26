"""The reference model: what the kernel will do with a frame, computed, with reasons.

`predict` follows a stimulus through macvlan, the switch, the host's stack and the router as
the kernel's own functions would, without a kernel: it needs no root and runs on any system.
"""

from __future__ import annotations

from functools import lru_cache

from harness.model import bridge, host, macvlan, router
from harness.model.macvlan import group_hash
from harness.model.prediction import Prediction, Step
from harness.model.rules import Rule
from harness.model.walk import Handler, Hop, Walk
from harness.stimulus import Stimulus, frame_of
from harness.topology import Topology

__all__ = ["Prediction", "Rule", "Step", "group_hash", "predict"]

_HANDLERS: dict[Hop, Handler] = {
    Hop.GUEST_TX: macvlan.transmit,
    Hop.LOWER_TX: host.transmit,
    Hop.LOWER_RX: host.receive,
    Hop.PORT_RX: bridge.receive,
    Hop.PORT_TX: bridge.send,
    Hop.ROUTER_RX: router.receive,
}


@lru_cache(maxsize=65536)
def predict(
    topology: Topology, stimulus: Stimulus, *, inverted: frozenset[Rule] = frozenset()
) -> Prediction:
    """Who receives what when `stimulus` is sent once in a quiet, primed `topology`.

    Primed: the switch has heard every station before. `inverted` turns rules round, to ask
    "what if the kernel did the opposite here". Raises StimulusError.
    """
    frame = frame_of(topology, stimulus)
    walk = Walk(topology, inverted)
    bridge.prime(walk)
    walk.forget()
    walk.put(_origin(topology, stimulus.sender), stimulus.sender, frame)
    walk.run(_HANDLERS)
    return walk.prediction()


def _origin(topology: Topology, sender: str) -> Hop:
    if any(g.name == sender for g in topology.guests):
        return Hop.GUEST_TX
    if any(x.name == sender for x in topology.lowers):
        return Hop.LOWER_TX
    return Hop.PORT_RX
