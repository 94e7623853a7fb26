"""Writes problems down, with the place that they are at."""

from __future__ import annotations

from dataclasses import dataclass

from harness.guests.document import Element
from harness.guests.problem import Problem, Severity
from harness.guests.scalars import At, Complain
from harness.guests.values import Misread

__all__ = ["Scribe", "collecting"]


@dataclass(frozen=True)
class Scribe:
    """Makes problems of one element."""

    at: At

    def error(self, path: str, message: str, *, allowed: str = "", source: str) -> Problem:
        """What is refused, or cannot work."""
        return self._problem(Severity.ERROR, path, message, allowed, source)

    def warning(self, path: str, message: str, *, allowed: str = "", source: str) -> Problem:
        """What is ignored, or not what was meant."""
        return self._problem(Severity.WARNING, path, message, allowed, source)

    def inside(self, element: Element) -> Scribe:
        """The same for an element further in."""
        return Scribe(At(element, self.at.file))

    def says(self, path: str, attribute: str) -> bool:
        """Whether an attribute stands there, readable or not."""
        found = self.at.element.find(path)
        return found is not None and found.get(attribute) is not None

    def place(self, path: str = "") -> str:
        """File and line, to point to from elsewhere."""
        return f"{self.at.file}:{self.at.line(path)}"

    def _problem(
        self, severity: Severity, path: str, message: str, allowed: str, source: str
    ) -> Problem:
        return Problem(
            severity=severity,
            file=self.at.file,
            line=self.at.line(path),
            element=self.at.name(path),
            message=message,
            allowed=allowed,
            source=source,
        )


def collecting(problems: list[Problem], file: str) -> Complain:
    """A complaint about a value that adds to `problems`."""

    def complain(misread: Misread, element: Element, path: str) -> None:
        scribe = Scribe(At(element, file))
        problems.append(
            scribe.error(path, misread.problem, allowed=misread.allowed, source=misread.source)
        )

    return complain
