"""Plots of a benchmark run, as files: rate, latency, loss, rivals, scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.bench.measurement import Run
from harness.errors import UnfitError, UsageError

__all__ = ["FORMATS", "draw_plots"]

FORMATS = ("svg", "png")


def draw_plots(run: Run, folder: Path, formats: Sequence[str] = FORMATS) -> tuple[Path, ...]:
    """Draw what `run` has figures for into `folder`, which is made if need be; the files.

    The same run gives the same files. Raises UnfitError without matplotlib, UsageError naming
    what cannot be written.
    """
    try:
        # So far only: importing matplotlib takes half a second.
        from harness.report.drawing import pictures
    except ImportError as error:
        raise UnfitError(
            f"drawing plots takes matplotlib ({error})", remedy="pip install 'hairpin[bench]'"
        ) from error
    files: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for picture in pictures(run):
            files += picture.save(folder, formats)
    except OSError as error:
        raise UsageError(f"{folder}: plots cannot be written: {error.strerror}") from error
    return tuple(files)
