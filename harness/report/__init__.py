"""Reports of a run: on the terminal, as results.json and as KTAP."""

from __future__ import annotations

from harness.report.ktap import to_ktap
from harness.report.matrix import Matrix, matrices, reproduce
from harness.report.record import CellOutcome, Record, Run
from harness.report.results import SCHEMA, read_json, write_json
from harness.report.terminal import make_console, print_run

__all__ = [
    "SCHEMA",
    "CellOutcome",
    "Matrix",
    "Record",
    "Run",
    "make_console",
    "matrices",
    "print_run",
    "read_json",
    "reproduce",
    "to_ktap",
    "write_json",
]
