"""Kernels by name: fetched from the distributions' archives once, then taken out of the cache.

    kernels/keyrings/                                   keys that were fetched
    kernels/x86_64/debian-bookworm/looked.json          what the archive had when it was asked
    kernels/x86_64/debian-bookworm/6.1.0-56-amd64/      a kernel, see kept.py

An archive drops what is old. What the cache has stays usable, without a network.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import UnfitError
from harness.machines.architecture import Architecture
from harness.machines.archive.apt import Apt
from harness.machines.archive.deb import read_deb, unpack_deb
from harness.machines.archive.distributions import (
    OFFERS,
    Distribution,
    Offer,
    find_offer,
    keyring_of,
    sources_of,
)
from harness.machines.cache import cache_folder, explained, keep, keep_folder, locked
from harness.machines.kept import ROOM, age, keep_kernel, kept_kernels, load_kernel
from harness.machines.tree import Kernel

__all__ = ["Cached", "Listed", "catalogue", "named_kernel"]

_FOLLOW = re.compile(r"linux-(image|modules(-extra)?|binary|base)-\d")
_LOOKED = "looked.json"
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Cached:
    """A kernel of the catalogue that is in the cache.

    `size` is in octets; `current` is False when the archive no longer had it when it was last
    asked, on `asked`.
    """

    release: str
    size: int
    fetched: datetime
    current: bool
    asked: datetime
    folder: Path


@dataclass(frozen=True, slots=True)
class Listed:
    """A name of the catalogue, and what the cache has of it, the oldest release first."""

    name: str
    cached: tuple[Cached, ...]


@dataclass(frozen=True, slots=True)
class _Looked:
    """What the archive had: `newest` is the release that the plain name stood for, "" when only
    others were asked for.
    """

    newest: str
    releases: tuple[str, ...]
    date: datetime


def named_kernel(
    word: str, *, architecture: Architecture | None = None, fresh: bool = False
) -> Kernel:
    """The kernel that a name of the catalogue means: of the cache, or of the archive.

    `fresh` asks the archive whatever the cache has; when it does not answer, the cache's is given
    with a note. Raises UsageError for an unknown name, UnfitError where it is not to be had.
    """
    offer, beginning = find_offer(word)
    wanted = architecture or Architecture(platform.machine())
    folder = cache_folder("kernels") / wanted / _key(offer)
    kernel = _of_cache(word, folder, beginning)
    if kernel and not fresh:
        return kernel
    try:
        with explained(f"the kernel {word}", folder, room=ROOM), locked(folder):
            # Another may have fetched it while we waited.
            if fresh or not _of_cache(word, folder, beginning):
                _fetch(offer, wanted, beginning, folder)
    except UnfitError as error:
        kernel = _of_cache(word, folder, beginning, note=f"not asked anew: {error.cause}")
        if not kernel:
            raise
        return kernel
    kernel = _of_cache(word, folder, beginning)
    assert kernel
    return kernel


def catalogue(*, architecture: Architecture | None = None) -> tuple[Listed, ...]:
    """Every name, and what the cache has of it; no archive is asked. Raises UnfitError."""
    wanted = architecture or Architecture(platform.machine())
    cache = cache_folder("kernels") / wanted
    return tuple(Listed(x.name, _cached(cache / _key(x))) for x in OFFERS)


def _key(offer: Offer) -> str:
    return offer.name.replace(":", "-")  # mount options and lists of paths are split at colons


# ---------------------------------------------------------------------- the cache


def _cached(folder: Path) -> tuple[Cached, ...]:
    looked = _looked(folder)
    return tuple(
        Cached(x.release, x.size, x.fetched, x.release in looked.releases, looked.date, x.folder)
        for x in kept_kernels(folder)
    )


def _looked(folder: Path) -> _Looked:
    try:
        facts = json.loads((folder / _LOOKED).read_text())
    except FileNotFoundError:
        return _Looked("", (), datetime.fromtimestamp(0, UTC))
    date = datetime.fromisoformat(facts["date"])
    return _Looked(facts["newest"], tuple(facts["releases"]), date)


def _of_cache(word: str, folder: Path, beginning: str, *, note: str = "") -> Kernel | None:
    looked = _looked(folder)
    wanted = beginning or looked.newest
    fitting = [x for x in kept_kernels(folder) if _begins(x.release, wanted)]
    if not fitting:
        return None
    best = fitting[-1]
    notes = [note] if note else []
    if best.release not in looked.releases:
        notes.append(
            f"the archive no longer had {best.release} on {looked.date:%Y-%m-%d}: this is the "
            f"one fetched on {best.fetched:%Y-%m-%d}"
        )
    return load_kernel(best.folder, word, note="; ".join(notes))


def _begins(release: str, beginning: str) -> bool:
    """Whether a release begins so: 6.1 with 6.1.0, not with 6.12."""
    rest = release.removeprefix(beginning)
    return rest != release and not (rest[:1].isdigit() and beginning[-1].isdigit())


# ---------------------------------------------------------------------- the archive


def _fetch(offer: Offer, architecture: Architecture, beginning: str, folder: Path) -> None:
    """Ask the archive, and keep the kernel where it is not kept yet."""
    keyring = keyring_of(offer.distribution, cache_folder("kernels") / "keyrings")
    sources = sources_of(offer.distribution, offer.suite, architecture, keyring)
    with tempfile.TemporaryDirectory(prefix="making-", dir=folder) as scratch:
        apt = Apt(Path(scratch) / "apt", architecture.debian, sources=sources)
        apt.update()
        releases = {
            release: name
            for name in apt.names("linux-image-")
            if (release := offer.release(name, architecture))
        }
        release, names = _wanted(offer, architecture, apt, releases, beginning)
        if not (folder / release).is_dir():
            keep_folder(folder / release, lambda into: _take(apt, names, into))
    facts = {
        "newest": _looked(folder).newest if beginning else release,
        "releases": sorted(releases, key=age),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    keep(folder / _LOOKED, (json.dumps(facts, indent=2) + "\n").encode())


def _wanted(
    offer: Offer,
    architecture: Architecture,
    apt: Apt,
    releases: Mapping[str, str],
    beginning: str,
) -> tuple[str, tuple[str, ...]]:
    """The release, and the packages that it takes; `releases` are those there are, and theirs."""
    if beginning:
        release = _chosen(offer, tuple(releases), beginning)
        first = [releases[release]]
        if offer.distribution is Distribution.UBUNTU and offer.flavour != "virtual":
            extra = f"linux-modules-extra-{release}"  # which the meta package depends on
            first += [x for x in apt.names(extra) if x == extra]
    else:
        release = ""
        first = [apt.first((offer.package(architecture),))]
    names = tuple(x for x in apt.closure(first, follow=_FOLLOW) if _FOLLOW.match(x))
    release = release or next((r for r, name in releases.items() if name in names), "")
    if not release:
        raise UnfitError(
            f"{first[0]} of {offer.suite} leads to no kernel",
            remedy=f"ask for one by its release: {offer.name}=RELEASE",
        )
    return release, names


def _take(apt: Apt, names: Sequence[str], into: Path) -> None:
    """Fetch packages and keep the kernel that is in them."""
    tree = into / "tree"
    tree.mkdir()
    packages = []
    for deb in apt.download(names, into / "debs"):
        packages.append(read_deb(deb))
        unpack_deb(deb, tree)
        deb.unlink()
    keep_kernel(tree, packages, into)
    (into / "debs").rmdir()
    shutil.rmtree(tree)


def _chosen(offer: Offer, releases: tuple[str, ...], beginning: str) -> str:
    """The newest of those that begin so. Raises UnfitError where there is none."""
    fitting = sorted((x for x in releases if _begins(x, beginning)), key=age)
    if fitting:
        return fitting[-1]
    alike = [x for x in releases if _begins(x, ".".join(beginning.split(".")[:2]))]
    there = sorted(alike or {".".join(x.split(".")[:2]) for x in releases}, key=age)
    raise UnfitError(
        f"{offer.name} has no release {beginning} (any more), nor has the cache",
        remedy=f"ask for one that it has: {', '.join(there[-_SHOWN:])}",
    )
