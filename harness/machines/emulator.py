"""A QEMU that has a certain device: this machine's own, or a newer one fetched beside it.

    emulators/x86_64/10.0.7/     program/qemu-system-x86_64  lib/  share/  emulator.json

Debian's package is unpacked with the libraries that the program names and the loader that goes
with them, so it runs whatever distribution this is; nothing is installed.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import CommandError, UnfitError
from harness.kernel.processes import find_program, run_here
from harness.machines.architecture import Architecture
from harness.machines.archive.apt import Apt
from harness.machines.archive.deb import Package, digest, read_deb, unpack_deb
from harness.machines.archive.distributions import Distribution, keyring_of, sources_of
from harness.machines.cache import cache_folder, explained, keep_folder, locked
from harness.machines.elf import needs

__all__ = ["Emulator", "find_emulator"]

_SUITE = "trixie"  # Debian's oldest with QEMU 8 or newer: 10.0
_PACKAGES = {Architecture.X86_64: "qemu-system-x86"}
_FOLLOW = re.compile(r"lib|zlib|seabios|qemu-system-(common|data)$")
_ROOM = 400  # megabytes that it takes while its packages are unpacked, at most
_FILE = "emulator.json"
# What a machine without a display and without a ROM on its devices reads of QEMU's data.
_DATA = ("bios-256k.bin", "kvmvapic.bin", "linuxboot_dma.bin", "pvh.bin", "efi-*.rom")
_DATA_PLACES = ("usr/share/qemu", "usr/share/seabios")
_LIBRARY_PLACES = ("usr/lib", "lib", "usr/lib64", "lib64")
_ASKED_WITHIN = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Emulator:
    """How a QEMU is started, and its version where that is known.

    `fetched` when it is not this machine's own.
    """

    command: tuple[str, ...]
    version: str = ""
    fetched: bool = False


def find_emulator(architecture: Architecture, device: str = "") -> Emulator:
    """A QEMU for guests of that architecture that has `device`, a name as -device takes it.

    The machine's own where it has it; else one in the user's cache, which is fetched when it is
    not there yet. Raises UnfitError where there is none to be had.
    """
    own = f"qemu-system-{architecture}"
    try:
        command = (find_program(own),)
    except UnfitError:
        if not device:
            raise
    else:
        if not device:
            return Emulator(command)
        if _has(command, device):
            return Emulator(command, _version(command))
    folder = cache_folder("emulators") / architecture
    with explained(f"a QEMU with {device}", folder, room=_ROOM), locked(folder):
        file = next(folder.glob(f"*/{_FILE}"), None)
        kept = _kept(file.parent if file else _fetch(architecture, folder))
    if not _has(kept.command, device):
        raise UnfitError(
            f"QEMU {kept.version} has no device {device}",
            remedy=f"remove {folder}, and a newer one is fetched",
        )
    return kept


def _has(command: tuple[str, ...], device: str) -> bool:
    try:
        done = run_here((*command, "-device", f"{device},help"), timeout=_ASKED_WITHIN)
    except CommandError:
        return False
    return f"{device} options:" in done.stdout  # the status is 0 without it, too


def _version(command: tuple[str, ...]) -> str:
    said = run_here((*command, "--version"), timeout=_ASKED_WITHIN).checked().stdout
    match = re.search(r"version (\d[\w.]*)", said)
    return match[1] if match else said.strip()


# ---------------------------------------------------------------------- the cache


def _kept(place: Path) -> Emulator:
    """The one that is kept at `place`. Raises UnfitError where it is damaged."""
    facts = json.loads((place / _FILE).read_text())
    program = place / facts["program"]
    if not program.is_file() or digest(program) != facts["sha256"]:
        raise UnfitError(
            f"the QEMU in {place} is damaged: {program.name} does not fit its checksum",
            remedy="remove that folder, and it is fetched again",
        )
    # The loader, and not LD_LIBRARY_PATH, which would be for what is of this machine as well.
    loader = (str(place / facts["loader"]), "--library-path", str(place / "lib"))
    command = (*loader, str(program), "-L", str(place / "share"))
    return Emulator(command, facts["version"], fetched=True)


def _fetch(architecture: Architecture, folder: Path) -> Path:
    """Where in `folder` it is then. Raises UnfitError, OSError."""
    keyring = keyring_of(Distribution.DEBIAN, cache_folder("kernels") / "keyrings")
    sources = sources_of(Distribution.DEBIAN, _SUITE, architecture, keyring)
    if architecture not in _PACKAGES:
        raise UnfitError(f"no QEMU for {architecture} is fetched", remedy="install a newer one")
    with tempfile.TemporaryDirectory(prefix="making-", dir=folder) as scratch:
        apt = Apt(Path(scratch) / "apt", architecture.debian, sources=sources)
        apt.update()
        names = [
            x
            for x in apt.closure((_PACKAGES[architecture],), follow=_FOLLOW)
            if _FOLLOW.match(x) or x == _PACKAGES[architecture]
        ]
        tree = Path(scratch) / "tree"
        tree.mkdir()
        packages = []
        for deb in apt.download(names, Path(scratch) / "debs"):
            packages.append(read_deb(deb))
            unpack_deb(deb, tree)
            deb.unlink()
        (version,) = (x.version for x in packages if x.name == _PACKAGES[architecture])
        plain = re.sub(r"^\d+:|[+~-].*", "", version)
        keep_folder(folder / plain, lambda into: _take(tree, architecture, plain, packages, into))
    return folder / plain


def _take(
    tree: Path, architecture: Architecture, version: str, packages: Iterable[Package], into: Path
) -> None:
    """The program, its libraries and loader, and what it reads, out of unpacked packages."""
    name = f"qemu-system-{architecture}"
    for sub in ("program", "lib", "share"):
        (into / sub).mkdir()
    program = into / "program" / name
    shutil.copy(_find(tree, name, (f"usr/bin/{name}",)), program)
    loader = ""
    waiting = [program]
    while waiting:
        needed = needs(waiting.pop().read_bytes())
        loader = loader or needed.interpreter.rpartition("/")[2]
        for library in needed.libraries:
            if not (into / "lib" / library).exists():
                patterns = [f"{x}/{y}{library}" for x in _LIBRARY_PLACES for y in ("*/", "")]
                shutil.copy(_find(tree, library, patterns), into / "lib" / library)
                waiting.append(into / "lib" / library)
    for place in _DATA_PLACES:
        for pattern in _DATA:
            for path in (tree / place).glob(pattern):
                if path.is_file():
                    shutil.copy(path, into / "share" / path.name)
    facts = {
        "version": version,
        "program": str(program.relative_to(into)),
        "loader": f"lib/{loader}",
        "sha256": digest(program),
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": sorted((x.name, x.version, x.sha256) for x in packages),
    }
    (into / _FILE).write_text(json.dumps(facts, indent=2) + "\n")


def _find(tree: Path, what: str, patterns: Iterable[str]) -> Path:
    for pattern in patterns:
        for path in sorted(tree.glob(pattern)):
            # An absolute link would lead into the machine's own files.
            if path.is_file() and path.resolve().is_relative_to(tree.resolve()):
                return path
    raise UnfitError(
        f"Debian's packages of QEMU hold no {what}",
        remedy="install a QEMU of your own that is 8.0 or newer",
    )
