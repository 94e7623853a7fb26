"""`hairpin matrix`: many results in one matrix."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

__all__ = ["add_matrix", "run_matrix"]

_ALIKE, _DIFFERS = 0, 1


def add_matrix(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and what it can do, for the command line."""
    matrix = commands.add_parser(
        "matrix",
        help="many runs in one matrix, kernels or hosts: what differs, and since when; needs no "
        "root",
        description="Hold many runs against each other: one column a run, and only those cases in "
        "full that are not alike. A run that is missing, interrupted or died is a column too. "
        "Exit status 1 when runs judged a case differently, or a run is not whole.",
    )
    matrix.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="folders of runs, folders of such folders, or results.json files",
    )
    matrix.add_argument(
        "--by",
        choices=("kernel", "host"),
        help="name and order the runs by that (default: by kernel where no two have the same)",
    )
    matrix.add_argument("--all", action="store_true", help="name every case that is not alike")
    matrix.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="where the whole is written (default: matrix.json in DIR, where there is one DIR)",
    )


def run_matrix(arguments: argparse.Namespace) -> int:
    """Print the matrix of `arguments.paths` and write its JSON; hairpin's exit status.

    Raises UsageError for what cannot be read or written, and where no run has results.
    """
    from harness.report import make_console
    from harness.report.across import (
        MATRIX_FILE,
        Axis,
        arrange,
        collect,
        print_across,
        save_across,
    )

    paths: Sequence[Path] = arguments.paths
    matrix = arrange(collect(paths), axis=Axis(arguments.by) if arguments.by else None)
    print_across(matrix, make_console(), whole=arguments.all)
    file = arguments.json
    if file is None and len(paths) == 1 and paths[0].is_dir():
        file = paths[0] / MATRIX_FILE
    if file:
        save_across(matrix, file)
        print(f"The whole of it: {file}")
    return _ALIKE if matrix.agrees else _DIFFERS
