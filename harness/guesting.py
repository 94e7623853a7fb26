"""Runs the suite with real guests, once this machine is known to be fit for it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import UnfitError, UsageError
from harness.kernel.processes import find_program
from harness.suite import run_suite

__all__ = ["run_guests"]

_PROGRAMS = ("libvirtd", "qemu-system-x86_64", "ping")


def run_guests(
    arguments: Sequence[str], *, domains: Sequence[Path], devices: Sequence[str], output: Path
) -> int:
    """Run the tests marked `guests`; hairpin's exit status.

    `domains` are files of domain XML to be tried, `devices` say which links stand for those that
    they name ("eth0=lower"). `arguments` go to pytest. Raises UnfitError when this machine cannot,
    DomainError or UsageError for a domain or a word that makes no sense.
    """
    mapping = _mapping(devices)
    _need_everything()
    from harness.guests import load_domain, map_devices
    from harness.guests.tiny.image import image

    for path in domains:
        map_devices(load_domain(path), mapping)
    image()  # before pytest: it may take a while
    return run_suite(
        [
            *(f"--hairpin-domain={path.resolve()}" for path in domains),
            *(f"--hairpin-map={word}" for word in devices),
            *arguments,
        ],
        backend="tap",
        output=output,
        marked="guests and domains" if domains else "guests",
    )


def _mapping(words: Sequence[str]) -> Mapping[str, str]:
    mapping = {}
    for word in words:
        device, equals, link = word.partition("=")
        if not (device and equals and link):
            raise UsageError(f"--map {word}: it takes DEV=LINK, for example eth0=lower")
        mapping[device] = link
    return mapping


def _need_everything() -> None:
    """Say all that is missing at once, rather than one thing after another."""
    if os.geteuid() != 0:
        raise UnfitError("real guests take root (libvirtd, taps)", remedy="run it with sudo")
    missing = []
    for program in _PROGRAMS:
        try:
            find_program(program)
        except UnfitError as error:
            missing.append(error)
    if missing:
        packages = " ".join(error.remedy.removeprefix("apt install ") for error in missing)
        causes = ", ".join(error.cause for error in missing)
        raise UnfitError(causes, remedy=f"apt install --no-install-recommends {packages}")
    import harness.guests.daemon  # noqa: F401  (raises UnfitError without libvirt-python)
