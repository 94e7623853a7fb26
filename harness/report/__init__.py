"""Reports of a run: on the terminal, as results.json and as KTAP; evidence; comparisons."""

from __future__ import annotations

from harness.report.compare import Comparison, compare
from harness.report.compared import print_comparison
from harness.report.evidence_text import failure_text
from harness.report.folder import EvidenceFolder
from harness.report.ktap import to_ktap
from harness.report.last import evidence_texts, last_folder, results_of
from harness.report.matrix import Matrix, matrices, reproduce
from harness.report.record import CellOutcome, Record, Run
from harness.report.results import SCHEMA, read_json, write_json
from harness.report.terminal import make_console, print_run

__all__ = [
    "SCHEMA",
    "CellOutcome",
    "Comparison",
    "EvidenceFolder",
    "Matrix",
    "Record",
    "Run",
    "compare",
    "evidence_texts",
    "failure_text",
    "last_folder",
    "make_console",
    "matrices",
    "print_comparison",
    "print_run",
    "read_json",
    "reproduce",
    "results_of",
    "to_ktap",
    "write_json",
]
