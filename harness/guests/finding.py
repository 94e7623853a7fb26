"""What was found to be otherwise than documented, or than anybody would expect, as data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`tool` does `behaviour`, where the `documentation` says otherwise or nothing.

    `versions` are those it was seen in; `source` is the function that does it, `commits` those of
    the tool's own repository that brought it, where known, `remedy` what to do instead. `test` is
    the case that shows it.
    """

    key: str
    tool: str
    versions: str
    documentation: str
    behaviour: str
    test: str
    source: str = ""
    remedy: str = ""
    commits: tuple[str, ...] = ()
