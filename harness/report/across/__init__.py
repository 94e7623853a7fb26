"""Many runs in one matrix: the same cases under several kernels, or on several hosts."""

from __future__ import annotations

from harness.report.across.columns import Column, collect
from harness.report.across.ending import Ending, State, read_ending, write_ending
from harness.report.across.printed import print_across
from harness.report.across.saved import MATRIX_FILE, save_across
from harness.report.across.table import Across, Axis, Kind, Line, arrange

__all__ = [
    "MATRIX_FILE",
    "Across",
    "Axis",
    "Column",
    "Ending",
    "Kind",
    "Line",
    "State",
    "arrange",
    "collect",
    "print_across",
    "read_ending",
    "save_across",
    "write_ending",
]
