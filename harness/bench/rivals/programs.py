"""What all contestants that are programs have in common: reading what they say."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TypeVar

from harness.errors import CommandError
from harness.kernel.processes import Finished

__all__ = ["parsed"]

T = TypeVar("T")


def parsed(parse: Callable[[str], T], finished: Finished, stream: str) -> T:
    """What a program's `stream` (stdout, stderr) says. Raises CommandError when unreadable."""
    said: str = getattr(finished, stream)
    try:
        return parse(said)
    except (ValueError, KeyError) as error:
        command = shlex.join(finished.arguments)
        raise CommandError(command, f"its output was not understood ({error})", said) from error
