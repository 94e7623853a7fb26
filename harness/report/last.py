"""Finding a run again: the last one's folder, its results, the evidence on its cases."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.errors import UsageError
from harness.report.matrix import deviations
from harness.report.record import CellOutcome, Record, Run
from harness.report.results import read_json

__all__ = ["evidence_texts", "last_folder", "results_of"]

_RESULTS = "results.json"
_MOST_NAMED = 10


def last_folder(output: Path) -> Path:
    """Folder of the last run under `output`. Raises UsageError when there is none yet."""
    link = output / "last"
    if not link.exists():
        raise UsageError(
            f"no run under {output} yet: start one with hairpin run, or name another folder "
            "with --output"
        )
    folder = link.resolve()
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def results_of(path: Path) -> Run:
    """The run whose results.json, or folder, `path` is.

    Raises UsageError when it cannot be read, and when the run was ended before it had results.
    """
    if not path.is_dir():
        return read_json(path)
    if not (path / _RESULTS).exists():
        raise UsageError(
            f"{path} has no {_RESULTS}: the run was ended before its end, nothing was run, or it "
            "is no run's folder"
        )
    return read_json(path / _RESULTS)


def evidence_texts(run: Run, folder: Path, case: str) -> list[str]:
    """The evidence on each differing case with `case` in its name, or in its flow or topology.

    Raises UsageError when none differs that does, or the evidence on it is gone.
    """
    differing = [r for r in run.records if r.outcome is CellOutcome.DIFFERS]
    found = [r for r in differing if any(case in name for name in (r.case, _place(r)))]
    if found:
        return [_evidence(record, folder) for record in found]
    if not differing:
        raise UsageError(f"no case of the last run differs ({folder})")
    raise UsageError(
        f"no differing case has {case!r} in its name; these differ: {_names(differing)}"
    )


def _place(record: Record) -> str:
    return f"{record.row} in {', '.join(record.column)}"


def _names(records: Iterable[Record]) -> str:
    names = list(dict.fromkeys(record.case for record in records))
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _evidence(record: Record, folder: Path) -> str:
    if not record.evidence:
        causes = [f"likely cause: {cause}" for cause in record.causes]
        lines = [_place(record), record.case, *map(str, deviations(record)), *causes]
        return "\n".join([*lines, "No evidence was kept of this one."])
    try:
        return (folder / record.evidence).read_text(encoding="utf-8").rstrip()
    except OSError as error:
        path = folder / record.evidence
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
