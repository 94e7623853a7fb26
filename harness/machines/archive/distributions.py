"""The distributions' archives, and the names by which their kernels are asked for.

    debian:bookworm   debian:trixie-backports+cloud   ubuntu:noble+hwe   debian:bookworm=6.1.0-47
    `-----.------'    `-----------.---------' `-.-'                                      `---.--'
     suite's newest        a suite's          flavour                     a release that begins so

An archive is believed by the keys of its distribution's keyring package, never by the machine's
own. Where that package is not installed, it comes out of the other distribution's archive, which is
signed as well.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.errors import UnfitError, UsageError
from harness.machines.architecture import Architecture
from harness.machines.archive.apt import Apt, Source
from harness.machines.archive.deb import unpack_deb
from harness.machines.cache import keep

__all__ = ["OFFERS", "Distribution", "Offer", "find_offer", "keyring_of", "sources_of"]

_KEYRINGS = Path("/usr/share/keyrings")


class Distribution(StrEnum):
    """Who makes the packages."""

    DEBIAN = "debian"
    UBUNTU = "ubuntu"

    @property
    def keyring(self) -> str:
        """The file with the keys of its archive."""
        return f"{self}-archive-keyring.gpg"

    @property
    def keyring_package(self) -> str:
        """The package with that file, in the other distribution as well."""
        return "debian-archive-keyring" if self is Distribution.DEBIAN else "ubuntu-keyring"


@dataclass(frozen=True, slots=True)
class Offer:
    """Kernels of one suite and flavour: `name` is what they are asked for by."""

    name: str
    distribution: Distribution
    suite: str
    flavour: str = ""

    def package(self, architecture: Architecture) -> str:
        """The meta package that depends on the newest."""
        if self.distribution is Distribution.DEBIAN:
            return "-".join(("linux-image", *filter(None, [self.flavour]), architecture.debian))
        if self.flavour == "hwe":
            return f"linux-image-generic-hwe-{_UBUNTU[self.suite]}"
        return f"linux-image-{self.flavour or 'generic'}"

    def release(self, package: str, architecture: Architecture) -> str:
        """The release of the kernel in a package; empty when it is none of this offer."""
        if self.distribution is Distribution.DEBIAN:
            flavour = f"{self.flavour}-" * bool(self.flavour)
            kind = rf"(?:-\d[\w.]*)?-{flavour}{architecture.debian}"
        else:
            kind = r"-\d+-generic"
        match = re.fullmatch(rf"linux-image-(\d+\.\d+\.\d[\w.+~]*{kind})", package)
        return match[1] if match else ""


_UBUNTU = {"bionic": "18.04", "focal": "20.04", "jammy": "22.04", "noble": "24.04"}
_DEBIAN = ("bullseye", "bookworm", "bookworm-backports", "trixie", "trixie-backports", "sid")
_FLAVOURS: Mapping[Distribution, tuple[str, ...]] = {
    Distribution.DEBIAN: ("", "cloud", "rt"),
    Distribution.UBUNTU: ("", "virtual", "hwe"),
}


def _offers(distribution: Distribution, suites: tuple[str, ...]) -> tuple[Offer, ...]:
    return tuple(
        Offer(f"{distribution}:{suite}{flavour and f'+{flavour}'}", distribution, suite, flavour)
        for suite in suites
        for flavour in _FLAVOURS[distribution]
    )


OFFERS = _offers(Distribution.DEBIAN, _DEBIAN) + _offers(Distribution.UBUNTU, tuple(_UBUNTU))
"""All that there is a name for, by distribution and age."""


def find_offer(word: str) -> tuple[Offer, str]:
    """What a name means, and how the release that it asks for begins ("" for the newest).

    Raises UsageError for a name that is none, with those that there are.
    """
    name, _, beginning = word.partition("=")
    for offer in OFFERS:
        if offer.name == name:
            return offer, beginning
    suites = " ".join(x.name for x in OFFERS if not x.flavour)
    raise UsageError(
        f"there is no kernel named {name}; there are {suites}, Debian's also with +cloud and +rt, "
        "Ubuntu's with +virtual and +hwe, and =RELEASE behind each"
    )


def sources_of(
    distribution: Distribution, suite: str, architecture: Architecture, keyring: Path
) -> tuple[Source, ...]:
    """Where the packages of a suite come from, with what has been mended since its release.

    HAIRPIN_DEBIAN_MIRROR, HAIRPIN_DEBIAN_SECURITY_MIRROR and HAIRPIN_UBUNTU_MIRROR name others
    than the distributions' own.
    """
    if distribution is Distribution.UBUNTU:
        ports = architecture is not Architecture.X86_64
        own = (
            "http://ports.ubuntu.com/ubuntu-ports" if ports else "http://archive.ubuntu.com/ubuntu"
        )
        uri = os.environ.get("HAIRPIN_UBUNTU_MIRROR") or own
        return (Source(uri, (suite, f"{suite}-updates", f"{suite}-security"), keyring),)
    uri = os.environ.get("HAIRPIN_DEBIAN_MIRROR") or "http://deb.debian.org/debian"
    main = Source(uri, (suite,), keyring)
    if suite == "sid" or suite.endswith("-backports"):
        return (main,)
    uri = os.environ.get("HAIRPIN_DEBIAN_SECURITY_MIRROR") or (
        "http://deb.debian.org/debian-security"
    )
    return main, Source(uri, (f"{suite}-security",), keyring)


def keyring_of(distribution: Distribution, cache: Path) -> Path:
    """The keys of a distribution's archive: installed, in the folder `cache`, or fetched into it.

    Raises UnfitError where there are none to be had, OSError.
    """
    for folder in (_KEYRINGS, cache):
        if (folder / distribution.keyring).is_file():
            return folder / distribution.keyring
    (other,) = (x for x in Distribution if x is not distribution)
    trusted = _KEYRINGS / other.keyring
    if not trusted.is_file():
        raise UnfitError(
            f"neither {distribution.keyring} nor {other.keyring} is in {_KEYRINGS}, so nobody's "
            "signature can be checked",
            remedy="install the package of keys: debian-archive-keyring or ubuntu-keyring; in "
            "Fedora debian-keyring and ubu-keyring",
        )
    with tempfile.TemporaryDirectory(prefix="hairpin-") as scratch:
        folder = Path(scratch)
        apt = Apt(folder / "apt", "amd64", sources=(_keyring_source(other, trusted),))
        apt.update()
        (deb,) = apt.download((distribution.keyring_package,), folder / "debs")
        unpack_deb(deb, folder / "tree")
        keys = (folder / f"tree/{_KEYRINGS}/{distribution.keyring}").read_bytes()
    cache.mkdir(parents=True, exist_ok=True)
    keep(cache / distribution.keyring, keys)
    return cache / distribution.keyring


def _keyring_source(other: Distribution, trusted: Path) -> Source:
    """Where a distribution has the other's keyring."""
    if other is Distribution.DEBIAN:
        (source,) = sources_of(other, "sid", Architecture.X86_64, trusted)
        return Source(source.uri, ("trixie",), trusted)
    (source,) = sources_of(other, "noble", Architecture.X86_64, trusted)
    return Source(source.uri, ("noble",), trusted, ("universe",))
