"""Runs a benchmark: fits it to this machine, shows how it goes, keeps and compares the figures."""

from __future__ import annotations

import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

from harness.bench.comparison import compare_runs
from harness.bench.crew import Crew
from harness.bench.measurement import Run
from harness.bench.plan import FULL, QUICK, Selection
from harness.bench.session import Session
from harness.errors import UnfitError
from harness.kernel.features import Backend, probe, require
from harness.kernel.privileges import ensure_namespaces
from harness.report.benchcompared import print_bench_comparison
from harness.report.benchmarks import load_run, save_run
from harness.report.benchprogress import BenchProgress
from harness.report.benchtables import print_bench
from harness.report.plots import draw_plots
from harness.report.terminal import make_console
from harness.suite import EXIT_DIFFERS, EXIT_INTERRUPTED, EXIT_OK, hand_over, run_folder

__all__ = ["run_benchmark"]

_EXTRA = ("hdrh", "matplotlib", "scipy")


def run_benchmark(*, quick: bool, selection: Selection, base: Path | None, output: Path) -> int:
    """Measure, print, save, and compare with `base`; hairpin's exit status.

    Figures and plots go to a new folder under `output`. Raises UnfitError when this machine
    cannot, UsageError when `base` is no benchmark run or nothing can be written.
    """
    earlier = load_run(base) if base else None
    _need_extra()
    ensure_namespaces()
    features = probe()
    require(features)
    if features.backend is not Backend.TAP:
        raise UnfitError(
            "a benchmark needs tap descriptors, and they cannot be opened here",
            remedy="run as root: sudo hairpin bench",
        )
    folder = run_folder(output)
    progress = BenchProgress()
    plan = (QUICK if quick else FULL).only(selection)
    with Crew() as crew:
        session = Session(plan, crew, progress)
        try:
            run = session.run(
                kernel=features.kernel,
                machine=features.machine,
                command=shlex.join(["hairpin", *sys.argv[1:]]),
            )
        finally:
            progress.done()
    return _tell(run, earlier, folder, output)


def _need_extra() -> None:
    """Find out now that a package is missing, not when minutes of measuring are over."""
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        raise UnfitError(
            f"a benchmark takes further packages ({', '.join(missing)} not installed)",
            remedy="pip install 'hairpin[bench]'",
        )


def _tell(run: Run, earlier: Run | None, folder: Path, output: Path) -> int:
    console = make_console()
    print_bench(run, console)
    save_run(run, folder)
    draw_plots(run, folder)
    hand_over(output)
    console.print(f"Figures and plots: {os.path.relpath(folder)}", highlight=False)
    if run.interrupted:
        return EXIT_INTERRUPTED
    if earlier is None:
        return EXIT_OK
    comparison = compare_runs(earlier, run)
    print_bench_comparison(comparison, console)
    return EXIT_DIFFERS if comparison.is_slower else EXIT_OK
