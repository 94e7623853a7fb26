"""The runs of a matrix: found in folders, each with how it ended."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.report.across.ending import OUTCOME_FILE, Ending, State, read_ending
from harness.report.last import results_of
from harness.report.record import Run

__all__ = ["Column", "collect"]

_RESULTS = "results.json"
# What `hairpin run` calls the folder of a run. One without results was ended before its end.
_RUN_FOLDER = re.compile(r"\d{8}T\d{6}-\d+")


@dataclass(frozen=True)
class Column:
    """A run: where it was found, what it is called, its results (None: it left none), its end."""

    path: Path
    name: str
    run: Run | None
    ending: Ending

    @property
    def kernel(self) -> str:
        """Release of its kernel; "" where nobody has said."""
        return self.run.kernel if self.run else self.ending.kernel

    @property
    def whole(self) -> bool:
        """Whether it has results, and all of them."""
        return self.run is not None and self.ending.state is State.FINISHED


def collect(paths: Sequence[Path]) -> tuple[Column, ...]:
    """The runs in `paths`, in order: results.json files, folders of runs, folders of such folders.

    A folder in a folder that is a run's and has no results is a run as well: one that is missing.
    So is one whose files make no sense, unless it is named itself: others are not to suffer from
    it. Raises UsageError naming a path that is not there, a folder without runs, a file that cannot
    be read, and where none of all the runs has results.
    """
    try:
        columns = [
            _column(found) if found == path else _column_if_any(found)
            for path in paths
            for found in _runs_in(path)
        ]
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be read: {error.strerror}") from error
    if not any(column.run for column in columns):
        where = ", ".join(map(str, paths))
        raise UsageError(f"no results in {where}: name the folders of runs, or what holds them")
    return tuple(columns)


def _runs_in(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise UsageError(f"{path}: there is no such file or folder")
    if not path.is_dir() or _is_run(path):
        yield path
        return
    if (path / "last" / _RESULTS).exists() and len(_within(path)) < 2:
        yield path / "last"
        return
    found = _within(path)
    if not found:
        raise UsageError(f"{path} holds no run: no {_RESULTS} in it, nor in a folder of it")
    for folder in found:
        last = folder / "last"
        yield last if not _is_run(folder) and last.exists() else folder


def _is_run(folder: Path) -> bool:
    return (folder / _RESULTS).exists() or (folder / OUTCOME_FILE).exists()


def _within(folder: Path) -> list[Path]:
    """The folders in it that are runs, that have a last run, or would be a run's had it ended."""
    inside = sorted(x for x in folder.iterdir() if x.is_dir() and not x.is_symlink())
    return [x for x in inside if _is_run(x) or _had_begun(x) or _is_run(x / "last")]


def _had_begun(folder: Path) -> bool:
    files = {x.name for x in folder.iterdir()}
    return not files or bool(_RUN_FOLDER.fullmatch(folder.name) and files <= {"evidence"})


def _column_if_any(path: Path) -> Column:
    try:
        return _column(path)
    except UsageError as error:
        return Column(path, _name_of(path), None, Ending(State.FAILED, reason=str(error)))


def _column(path: Path) -> Column:
    folder = path if path.is_dir() else path.parent
    has_results = not path.is_dir() or (path / _RESULTS).exists()
    run = results_of(path) if has_results else None
    ending = read_ending(folder, run)
    return Column(path, ending.name or _name_of(folder), run, ending)


def _name_of(folder: Path) -> str:
    """A host's `.hairpin/last` is called like the folder that it is in."""
    names: Iterable[str] = reversed(folder.absolute().parts)
    return next((x for x in names if x not in ("last", ".hairpin")), str(folder))
