"""Runs made of letters: one letter a case, one run a column."""

from pathlib import Path

import pytest

from harness.report.across import Column, Ending, State
from harness.report.record import CellOutcome, Record, Run

ABOUT = {
    "started": "2026-01-02T03:04:05Z",
    "seconds": 1.0,
    "verdict_seconds": 0.5,
    "machine": "x86_64",
    "backend": "tap",
    "version": "0.1.0",
    "missing": {},
    "exit_status": 0,
}
OUTCOMES = {
    "1": CellOutcome.AS_PREDICTED,
    "0": CellOutcome.AS_PREDICTED,  # a model that predicts none, and none came
    "x": CellOutcome.DIFFERS,
    "d": CellOutcome.DOCUMENTED_OTHERWISE,
    "h": CellOutcome.HOLDS,
    "b": CellOutcome.BROKEN,
    "e": CellOutcome.ERROR,
    "s": CellOutcome.SKIPPED,
}


def made(case, letter):
    """What became of a case: predicted and seen by b, as the letter says."""
    predicted, seen = {"1": (1, 1), "0": (0, 0), "x": (1, 0), "d": (1, 1)}.get(letter, (0, 0))
    copies = letter in "10xd"
    return Record(
        case=f"test_{case}.py::test_it[{case}]",
        section="unicast",
        row=f"a → {case}",
        column=("vepa → vepa", "hairpin on") if copies else ("", ""),
        outcome=OUTCOMES[letter],
        focus="b" if copies else "",
        predicted={"b": predicted} if copies else {},
        seen={"b": seen} if copies else {},
        reason="no dummy in this kernel" if letter == "s" else "",
    )


@pytest.fixture
def record():
    """``record("n", "x")``: what became of case n."""
    return made


@pytest.fixture
def column():
    """``column("6.1.0", "11x-")``: a run under that kernel, its cases a, b, c, …; - is none."""

    def make(kernel, letters, *, name="", state=State.FINISHED, **more):
        records = [
            made(case, letter)
            for case, letter in zip("abcdefghij", letters or "", strict=False)
            if letter != "-"
        ]
        run = Run(records=tuple(records), kernel=kernel, **ABOUT | more)
        ending = Ending(state, name, kernel, reason="" if state is State.FINISHED else "so it is")
        return Column(
            Path(name or kernel), name or kernel, None if letters is None else run, ending
        )

    return make
