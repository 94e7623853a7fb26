"""Hypothesis' side of the exploration: a state machine with a rule for each kind of change."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from harness.explore.explorer import Explorer, Stop
from harness.explore.strategies import CHANGES, topologies
from harness.parts import LowerKind
from harness.topology import Topology

__all__ = ["drive"]

_EXAMPLES_AT_ONCE = 20
_CHANGES_PER_EXAMPLE = 120
# Networks that take turns: while one changes, which mostly is waiting, another is tried out.
_NETWORKS = 3
# Changes that wait for an RCU grace period or for linkwatch, tens of milliseconds each, are
# drawn as one kind among the others but made only one time in so many.
_SLOW = {"carrier": 3, "move": 4, "remove": 3, "state": 2}


def drive(explorer: Explorer, *, seed: int, kinds: Sequence[LowerKind]) -> Stop:
    """Let Hypothesis draw until `explorer` stops it; how it was stopped."""
    try:
        for chunk in itertools.count():
            machine = hypothesis.seed(seed * 1_000_003 + chunk)(_machine(explorer, kinds))
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=_EXAMPLES_AT_ONCE,
                    stateful_step_count=_CHANGES_PER_EXAMPLE,
                    phases=(Phase.generate,),
                    database=None,
                    deadline=None,
                    verbosity=Verbosity.quiet,
                    suppress_health_check=list(HealthCheck),
                ),
            )
    except Stop as stop:
        return stop
    except FlakyStrategyDefinition:
        # An example that was broken off looks like one that draws otherwise.
        if explorer.stopped is None:
            raise
        return explorer.stopped
    raise AssertionError("unreachable: the count has no end")


def _machine(explorer: Explorer, kinds: Sequence[LowerKind]) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        @initialize(drawn=st.tuples(*[topologies(kinds)] * _NETWORKS))
        def begin(self, drawn: tuple[Topology, ...]) -> None:
            explorer.begin(drawn)

        def teardown(self) -> None:
            explorer.finish()

    for name, changes in CHANGES.items():
        setattr(Machine, name, _rule(explorer, changes, _SLOW.get(name, 1)))
    return Machine


def _rule(explorer: Explorer, changes: Callable[[Topology], Any], one_in: int) -> Any:
    @rule(data=st.data(), turn=st.integers(1, one_in))
    def change(_: RuleBasedStateMachine, data: st.DataObject, turn: int) -> None:
        topology = explorer.turn()
        operation = data.draw(changes(topology)) if turn == 1 else None
        if operation is not None:
            explorer.change(operation)

    return change
