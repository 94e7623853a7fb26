"""What is said of the kernel, with the function in it that bears it out."""

from __future__ import annotations

from enum import Enum

__all__ = ["Cited"]


class Cited(Enum):
    """Statements about the kernel: a clause without capital and full stop, and its source.

    `says` is what the kernel does; `where` the kernel function that does so, and its file.
    """

    def __init__(self, says: str, where: str) -> None:
        self.says = says
        self.where = where
