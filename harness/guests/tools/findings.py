"""What the tools do that their documentation, or common sense, does not say."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FINDINGS", "Finding"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`tool` does `behaviour`, where the `documentation` says otherwise or nothing.

    `versions` are those it was seen in, `commits` those of the tool's own repository that brought
    it, where known. `test` is the case that shows it.
    """

    key: str
    tool: str
    versions: str
    documentation: str
    behaviour: str
    test: str
    commits: tuple[str, ...] = ()


FINDINGS: tuple[Finding, ...] = ()
