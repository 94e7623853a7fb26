"""What can be wrong with domain XML, where, and who says so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Problem", "Severity"]


class Severity(StrEnum):
    """An error is refused or cannot work; a warning is ignored or not what was meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    `element` is the path to it (``interface/source/@mode``), `allowed` what may stand there,
    `source` the rule's origin: a clause of a standard, a function of libvirt or of the kernel, a
    schema.
    """

    severity: Severity
    file: str
    line: int
    element: str
    message: str
    allowed: str = ""
    source: str = ""

    def __str__(self) -> str:
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        source = f" [{self.source}]" if self.source else ""
        place = f"{self.file}:{self.line}: {self.severity}"
        return f"{place}: {self.element}: {self.message}{allowed}{source}"
