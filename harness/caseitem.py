"""Case files as pytest items: `hairpin run CASE.toml`, and what lies in a folder `found`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.casefile import load_case
from harness.cases import Case
from harness.errors import DifferenceError, TopologyError

__all__ = ["FOUND", "CaseFile", "CaseItem"]

FOUND = "found"

Runner = Callable[["CaseItem", Case], None]


class CaseFile(pytest.File):
    """One TOML file with one case."""

    runner: Runner

    @classmethod
    def wanted(cls, path: Path, session: pytest.Session) -> bool:
        """Whether a file is a case: given by name, or in a folder of cases found."""
        return path.suffix == ".toml" and (path.parent.name == FOUND or session.isinitpath(path))

    def collect(self) -> Iterator[CaseItem]:
        """The case. Raises pytest.UsageError when the file has a mistake."""
        try:
            case = load_case(self.path)
        except TopologyError as error:
            raise pytest.UsageError(f"hairpin: {error}") from None
        yield CaseItem.from_parent(self, name=self.path.stem, case=case, runner=self.runner)


class CaseItem(pytest.Item):
    """A case as a test: every stimulus of it as the model says."""

    def __init__(self, *, case: Case, runner: Runner, **rest: Any) -> None:
        super().__init__(**rest)
        self.case = case
        self._runner = runner

    def runtest(self) -> None:
        """Run it. Raises DifferenceError."""
        self._runner(self, self.case)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A difference is its own explanation; where it came up in our code says nothing."""
        if isinstance(excinfo.value, DifferenceError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """File, line and name for pytest's own reports."""
        return self.path, 0, self.name
