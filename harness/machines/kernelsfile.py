"""Which kernels to boot, and how, as a TOML file: what `hairpin vm --matrix` is given.

    kernels = ["ubuntu:jammy", "debian:trixie-backports=6.18", "../linux"]
    command = ["hairpin", "run", "-j", "2"]
    cpus = 2

A folder or a package is looked for beside the file. What is left out is as on the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness.errors import TopologyError, UsageError
from harness.tables import parse, read

__all__ = ["KernelsFile", "load_kernels"]

_TEXTS = ("kernels", "command")
_A_PATH = (".", "/", "~")


@dataclass(frozen=True, kw_only=True)
class KernelsFile:
    """What such a file says: None is what it does not say.

    `command` is what runs in each machine, `jobs` machines at a time; seconds, MiB.
    """

    kernels: tuple[str, ...]
    command: tuple[str, ...] = ()
    jobs: int | None = None
    timeout: int | None = None
    boot_timeout: int | None = None
    memory: int | None = None
    cpus: int | None = None


def load_kernels(path: Path) -> KernelsFile:
    """The file's content. Raises UsageError with file, line, key and what is allowed there."""
    try:
        found: KernelsFile = parse(read(path), _made, file=str(path))
    except TopologyError as error:  # which knows the line
        raise UsageError(str(error)) from None
    kernels = tuple(_beside(path, word) for word in found.kernels)
    return KernelsFile(**{**vars(found), "kernels": kernels})


def _made(document: Mapping[str, Any]) -> KernelsFile:
    names = [item.name for item in fields(KernelsFile)]
    for key, value in document.items():
        if key not in names:
            raise TopologyError(key, "no such key", allowed=", ".join(names))
        good, allowed = (_texts if key in _TEXTS else _number)(value)
        if not good:
            raise TopologyError(key, f"{value!r} is none", allowed=allowed)
    if not document.get("kernels"):
        raise TopologyError("kernels", "names none", allowed='kernels = ["debian:bookworm", …]')
    twice = [x for x in document["kernels"] if document["kernels"].count(x) > 1]
    if twice:
        raise TopologyError("kernels", f"{twice[0]} stands there twice")
    values: dict[str, Any] = {k: tuple(v) if k in _TEXTS else v for k, v in document.items()}
    return KernelsFile(**values)


def _texts(value: Any) -> tuple[bool, str]:
    good = isinstance(value, list) and all(isinstance(x, str) and x for x in value)
    return good, "a list of words"


def _number(value: Any) -> tuple[bool, str]:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return good, "a whole number, 1 and more"


def _beside(file: Path, word: str) -> str:
    if not word.startswith(_A_PATH):
        return word
    return str(file.parent / Path(word).expanduser())
