"""Packages of distributions, for this or another architecture, without installing them.

apt runs on a root of its own: with its own lists, cache, status and preferences, and the sources
and keys that it is given, or the machine's. So the machine's lists and architectures stay as they
are, and no root is needed. What the machine says of proxies holds. apt checks the signatures; what
says that they need not be is left out.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import CommandError, UnfitError
from harness.kernel.processes import Finished, find_program, run_here

__all__ = ["Apt", "Source"]

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
Dir::Etc::preferences "{root}/preferences";
Dir::Etc::preferencesparts "{root}/preferences.d";
#clear APT::Architectures;
#clear APT::Default-Release;
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
_LISTS = 100 << 20  # octets that the lists of a suite take, packed and unpacked
_ASK_APT = "see that the machine's apt sources can be reached, and have it (`apt-get update` says)"

# What apt says, in the order in which it is looked for, what it means, and what helps.
_PROBLEMS = (
    (
        re.compile(r"not live until|not valid yet|is expired"),
        "is out of date by this machine's clock",
        "set the clock, or ask another mirror",
    ),
    (
        re.compile(
            r"GPG error|NO_PUBKEY|BADSIG|EXPKEYSIG|NOSPLIT|NODATA|not signed|"
            r"signature verification failed|signatures couldn't be verified"
        ),
        "has no good signature",
        "have the newest keyring package; where that is no help, a proxy changes what passes",
    ),
    (
        re.compile(r"Hash Sum mismatch|unexpected size|Size mismatch"),
        "sends what does not fit its signed checksums",
        "try again later: a mirror that is being changed does so, or a proxy",
    ),
    (
        re.compile(r"404 +Not Found|File not found|does not have a Release file"),
        "does not have it (any more)",
        "use another suite, or a mirror that has it",
    ),
    (
        re.compile(r"Failed to fetch|Could not|Unable to connect|Temporary failure"),
        "cannot be reached",
        "see to the network, and to apt's proxy",
    ),
)


@dataclass(frozen=True, slots=True)
class Source:
    """An archive whose packages `keyring`'s keys sign."""

    uri: str
    suites: tuple[str, ...]
    keyring: Path
    components: tuple[str, ...] = ("main",)

    def stanza(self) -> str:
        """It, as sources.list(5) has it in its deb822 form."""
        return (
            f"Types: deb\nURIs: {self.uri}\nSuites: {' '.join(self.suites)}\n"
            f"Components: {' '.join(self.components)}\nSigned-By: {self.keyring}\n"
        )


class Apt:
    """apt on a root of its own, the empty folder `root`; `architecture` is dpkg's word.

    It asks `sources`; where there are none, those of the machine, in `etc`. Raises UnfitError
    where there is no apt, or no source of signed packages.
    """

    def __init__(
        self,
        root: Path,
        architecture: str,
        *,
        sources: Sequence[Source] = (),
        etc: Path = _ETC,
    ) -> None:
        for program in ("apt-get", "apt-cache"):
            try:
                find_program(program)
            except UnfitError as error:
                raise UnfitError(
                    f"packages of distributions are fetched with apt, and {error.cause}",
                    remedy="do it on Debian or Ubuntu and copy ~/.cache/hairpin",
                ) from error
        self.architecture = architecture
        self._root = root
        self._configuration = root / "apt.conf"
        self._sources = tuple(sources)
        for folder in ("state/lists/partial", "cache/archives/partial", "log", "sources.list.d"):
            (root / folder).mkdir(parents=True)
        (root / "status").touch()
        if sources:
            stanzas = "\n".join(x.stanza() for x in sources)
            (root / "sources.list.d/given.sources").write_text(stanzas)
        elif not self._take_sources(etc):
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
        """Get the lists of what there is.

        Raises UnfitError when no source answers, and when one of those given does not, or not
        with what is signed; OSError where there is no room for them.
        """
        _ensure_room(self._root, _LISTS)
        self._said = self._run("apt-get", "update", timeout=300)
        # One of the machine's that fails does not matter where the others suffice; `first` finds
        # out. Without one of those given there would be older packages, and nobody would know.
        # apt says so in warnings, beside others that are none of ours.
        if self._sources:
            self._refuse(self._said)

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
            remedy=_ASK_APT,
        )

    def names(self, beginning: str) -> tuple[str, ...]:
        """The packages that there are whose names begin so, in alphabetical order."""
        return tuple(sorted(self._run("apt-cache", "pkgnames", beginning).stdout.split()))

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
        """Get packages, whose hashes apt checks. Raises UnfitError, OSError for a full disk."""
        into.mkdir()
        uris = self._run("apt-get", "download", "--print-uris", *names).stdout
        _ensure_room(into, sum(map(int, re.findall(r"^'\S+' \S+ (\d+) ", uris, re.MULTILINE))))
        done = self._run("apt-get", "download", *names, timeout=600, folder=into)
        packages = tuple(sorted(into.glob("*.deb")))
        if not done.ok or len(packages) < len(names):
            if self._sources:
                self._refuse(done)
            lines = done.stderr.strip().splitlines()[:_SHOWN_LINES]
            raise UnfitError(
                "packages cannot be fetched" + "".join(f"\n  {line}" for line in lines),
                remedy=_ASK_APT,
            )
        return packages

    def _refuse(self, done: Finished) -> None:
        """Say what the archives given have done, if anything. Raises UnfitError."""
        said = [x for x in done.stderr.splitlines() if x.startswith(("E:", "W:"))]
        archives = " and ".join(dict.fromkeys(x.uri for x in self._sources))
        for pattern, problem, remedy in _PROBLEMS:
            lines = [x for x in said if pattern.search(x)]
            if lines:
                cause = f"the archive {archives} {problem}\n  {lines[0]}"
                raise UnfitError(cause, remedy=remedy)
        if not done.ok:
            shown = "".join(f"\n  {x}" for x in said[:_SHOWN_LINES])
            cause = f"apt gets nothing from the archive {archives}{shown}"
            raise UnfitError(cause, remedy="see to what apt says")

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


def _ensure_room(folder: Path, octets: int) -> None:
    """Raises OSError where there is less room: apt's http method waits for ever on a full disk."""
    if shutil.disk_usage(folder).free < octets:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


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
