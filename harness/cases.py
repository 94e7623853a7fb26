"""A case: a topology to begin with, and what happens on it, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.operations import Action, Send
from harness.stimulus import BROADCAST, UNKNOWN, Stimulus
from harness.topology import Topology

__all__ = ["Case", "everything_plain"]


@dataclass(frozen=True)
class Case:
    """A topology and its steps: stimuli that are sent, and changes in between.

    `comment` says where the case comes from, in whole lines.
    """

    topology: Topology
    steps: tuple[Action, ...] = ()
    comment: str = ""

    def states(self) -> Iterator[tuple[Action, Topology]]:
        """Every step with the topology after it.

        Raises TopologyError at a step that the topology before it does not allow.
        """
        topology = self.topology
        for step in self.steps:
            if not isinstance(step, Send):
                topology = step.applied(topology)
            yield step, topology


def everything_plain(topology: Topology) -> tuple[Action, ...]:
    """A plain stimulus from every station to every other, to everybody and to nobody."""
    return tuple(
        Send(Stimulus(sender, to))
        for sender in topology.macs
        for to in (*topology.macs, BROADCAST, UNKNOWN)
        if to != sender
    )
