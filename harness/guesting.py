"""Runs the suite with real guests, once this machine is known to be fit for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import DomainError, UsageError
from harness.kernel.linkstate import vlans
from harness.kernel.netns import NetNS
from harness.suite import EXIT_DIFFERS, EXIT_OK, Part, run_suite

__all__ = ["run_guests", "run_trial"]


def run_guests(
    arguments: Sequence[str], *, domains: Sequence[Path], devices: Sequence[str], output: Path
) -> int:
    """Run the tests marked `guests`; hairpin's exit status.

    `domains` are files of domain XML to be tried, `devices` say which links stand for those that
    they name ("eth0=lower"). `arguments` go to pytest. Raises UnfitError when this machine cannot,
    DomainError or UsageError for a domain or a word that makes no sense.
    """
    mapping = _mapping(devices)
    from harness.guests.fitness import need_everything

    need_everything()
    from harness.guests.tiny.image import image

    _check_domains(domains, mapping)
    image()  # before pytest: it may take a while
    return run_suite(
        [
            *(f"--hairpin-domain={path.resolve()}" for path in domains),
            *(f"--hairpin-map={word}" for word in devices),
            *(["-m", "guests and domains"] if domains else []),
            *arguments,
        ],
        backend="tap",
        output=output,
        part=Part.GUESTS,
    )


def run_trial(uri: str, link: str) -> int:
    """Two guests on `link` under the libvirtd at `uri`; hairpin's exit status.

    Raises UnfitError when this machine cannot, UsageError when that libvirtd is elsewhere.
    """
    from harness.guests.fitness import need_everything

    need_everything(("qemu-system-x86_64",))
    from harness.guests.existing import ExistingHost
    from harness.guests.tiny.image import image
    from harness.guests.trial import ready_link, try_link
    from harness.report import make_console
    from harness.report.trial import print_trial

    with ExistingHost(uri, image()) as host:
        ready_link(host.ns, link)
        print(f"On {link}, under {uri}: two guests with a macvtap each; nothing else changes.")
        trial = try_link(host, link)
    print_trial(trial, make_console())
    return EXIT_OK if trial.agrees else EXIT_DIFFERS


def _check_domains(paths: Sequence[Path], mapping: Mapping[str, str]) -> None:
    """All that is wrong with them, before any guest is started; what is only odd is printed."""
    from harness.guests import Severity, check, load_document, load_domain, map_devices

    paths = tuple(dict.fromkeys(paths))
    for path in paths:
        domain = map_devices(load_domain(path), mapping)
        if not domain.direct:
            raise DomainError(
                "interface",
                "there is none of type 'direct'",
                allowed="<interface type='direct'>",
                file=str(path),
            )
    with NetNS.current() as ours:  # where the links of the domains are, if it is their host
        problems = check(map(load_document, paths), vlans=vlans(ours))
    for problem in problems:
        print(problem)
    errors = [x for x in problems if x.severity is Severity.ERROR]
    if errors:
        # What a schema says ("extra element") is seldom what is the matter.
        first = next((x for x in errors if ".rng" not in x.source), errors[0])
        more = f" (and {len(errors) - 1} more, above)" if len(errors) > 1 else ""
        raise DomainError(
            first.element,
            f"{first.message}{more}",
            allowed=first.allowed,
            file=first.file,
            line=first.line,
        )


def _mapping(words: Sequence[str]) -> Mapping[str, str]:
    mapping = {}
    for word in words:
        device, equals, link = word.partition("=")
        if not (device and equals and link):
            raise UsageError(f"--map {word}: it takes DEV=LINK, for example eth0=lower")
        mapping[device] = link
    return mapping
