"""Packages of the distribution, for this or another architecture, without installing them.

apt runs on a root of its own: the machine's sources and keys, but its own lists, cache and
status. So the machine's lists and architectures stay as they are, and no root is needed. apt
checks the signatures; what says that they need not be is left out.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.errors import CommandError, UnfitError
from harness.kernel.processes import Finished, find_program, run_here

__all__ = ["Apt"]

_ETC = Path("/etc/apt")
# One switch of a source that lets through what nobody has signed (sources.list(5)).
_UNSIGNED = re.compile(
    r"\b(trusted|allow-insecure|allow-weak|allow-downgrade-to-insecure)\s*[:=]\s*"
    r"(yes|true|with|on|enable|1)\b",
    re.IGNORECASE,
)
_CONFIGURATION = """\
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Log "{root}/log";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "{root}/sources.list.d";
#clear APT::Architectures;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "2";
#clear Acquire::IndexTargets::deb::DEP-11;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""
_SHOWN_LINES = 3


class Apt:
    """apt on a root of its own, the empty folder `root`; `architecture` is dpkg's word.

    Raises UnfitError where there is no apt, or no source of signed packages.
    """

    def __init__(self, root: Path, architecture: str, *, etc: Path = _ETC) -> None:
        for program in ("apt-get", "apt-cache", "dpkg-deb"):
            try:
                find_program(program)
            except UnfitError as error:
                raise UnfitError(
                    f"the tiny guest is made of Debian's packages, and {error.cause}",
                    remedy="make it on Debian or Ubuntu and copy ~/.cache/hairpin/guest",
                ) from error
        self.architecture = architecture
        self._root = root
        self._configuration = root / "apt.conf"
        for folder in ("state/lists/partial", "cache/archives/partial", "log", "sources.list.d"):
            (root / folder).mkdir(parents=True)
        (root / "status").touch()
        if not self._take_sources(etc):
            raise UnfitError(
                f"{etc} names no source of signed packages",
                remedy=f"put your distribution's mirror into {etc}/sources.list",
            )
        # APT::Sandbox::User: another one could not get into a folder of ours.
        text = _CONFIGURATION.format(root=root, architecture=architecture)
        self._configuration.write_text(text)

    def _take_sources(self, etc: Path) -> bool:
        """Copy the sources, but for those that ask for no signature."""
        parts = etc / "sources.list.d"
        found = [etc / "sources.list", *(parts.iterdir() if parts.is_dir() else ())]
        taken = False
        for path in found:
            if not path.is_file() or path.suffix not in (".list", ".sources"):
                continue
            text = path.read_text(errors="replace")
            lines = [x for x in text.splitlines() if x.strip() and not x.lstrip().startswith("#")]
            if lines and not any(_UNSIGNED.search(line) for line in lines):
                (self._root / path.relative_to(etc)).write_text(text)
                taken = True
        return taken

    def update(self) -> None:
        """Get the lists of what there is. Raises UnfitError when no source answers."""
        # A source that fails does not matter where the others suffice; `closure` finds out.
        self._said = self._run("apt-get", "update", timeout=300)

    def first(self, names: Iterable[str]) -> str:
        """The first of these that there is. Raises UnfitError when there is none."""
        given = tuple(names)
        shown = self._run("apt-cache", "show", "--no-all-versions", *given).stdout
        there = set(re.findall(r"^Package: (\S+)$", shown, re.MULTILINE))
        for name in given:
            if name in there:
                return name
        lines = (self._said.stderr + shown).strip().splitlines()[:_SHOWN_LINES]
        raise UnfitError(
            f"apt finds none of {', '.join(given)} for {self.architecture}"
            + "".join(f"\n  {line}" for line in lines),
            remedy="see that the machine's apt sources can be reached, and have it "
            "(`apt-get update` says)",
        )

    def closure(self, names: Sequence[str], *, follow: re.Pattern[str]) -> tuple[str, ...]:
        """These and what they depend on, of the packages whose names begin with `follow`."""
        options = ("depends", "--recurse", "--important", *names)
        graph = _graph(self._run("apt-cache", *options).stdout)
        found: list[str] = []
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.append(name)
                waiting += (x for x in graph.get(name, ()) if follow.match(x))
        return tuple(sorted(found))

    def download(self, names: Sequence[str], into: Path) -> tuple[Path, ...]:
        """Get packages, whose hashes apt checks. Raises UnfitError."""
        into.mkdir()
        done = self._run("apt-get", "download", *names, timeout=600, folder=into)
        packages = tuple(sorted(into.glob("*.deb")))
        if not done.ok or len(packages) < len(names):
            lines = done.stderr.strip().splitlines()[:_SHOWN_LINES]
            raise UnfitError(
                "packages cannot be fetched" + "".join(f"\n  {line}" for line in lines),
                remedy="see that the machine's apt sources can be reached (`apt-get update`)",
            )
        return packages

    def unpack(self, package: Path, into: Path) -> tuple[str, str]:
        """Unpack one, and say its name and version. Raises CommandError."""
        run_here(("dpkg-deb", "--extract", str(package), str(into)), timeout=120).checked()
        form = "--showformat=${Package} ${Version}"
        shown = run_here(("dpkg-deb", "--show", form, str(package))).checked().stdout
        name, version = shown.split()
        return name, version

    def _run(
        self, program: str, *arguments: str, timeout: float = 60, folder: Path | None = None
    ) -> Finished:
        command = (program, "-q", "-c", str(self._configuration), *arguments)
        try:
            done = run_here(command, timeout=timeout, folder=folder, environment=_ENVIRONMENT)
        except CommandError as error:
            raise UnfitError(
                f"{program} {arguments[0]} does not come to an end: {error.said}",
                remedy="see that the machine's apt sources can be reached (`apt-get update`)",
            ) from error
        if os.strerror(errno.ENOSPC) in done.stderr:  # as the C.UTF-8 locale has it
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._root))
        return done


_ENVIRONMENT: Mapping[str, str] = {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def _graph(text: str) -> dict[str, list[str]]:
    """What `apt-cache depends` prints: each package and what it depends on, first choices only."""
    graph: dict[str, list[str]] = {}
    found: list[str] = []
    alternative = False
    for line in text.splitlines():
        if line and not line[0].isspace() and line[0] != "|":
            found = graph.setdefault(line.strip(), [])
            continue
        match = re.match(r"\s*(\|?)(?:Pre)?Depends: (\S+)$", line)
        if match:
            if not alternative:
                found.append(match[2].removesuffix(":any"))
            alternative = bool(match[1])
    return graph
