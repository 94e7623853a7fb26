"""Where the user's own tools run: their home and their /tmp are nobody's, and gone with us.

the machine's programs ── Toolbox ── virt-install, virt-xml, virsh … ──► a libvirtd, by its URI
                          home, /run, /tmp: private, in memory
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import CommandError
from harness.guests.remedies import remedy
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family, Finished, Process
from harness.kernel.sandbox import Sandbox
from harness.resource import Resource

__all__ = ["Toolbox"]

_HOME = "/run/home"
_RUNTIME = "/run/user"
_FILES = "/run/files"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # the system's: no virtual environment's Python
_PATIENCE = 60.0  # seconds


class Toolbox(Resource):
    """Programs that speak to the libvirtd at `uri`. Use it in a `with` statement.

    They run on the links of `ns` and end with `family`. What they would keep in a user's home
    stays in here. Raises KernelError.
    """

    def __init__(self, family: Family, ns: NetNS, uri: str) -> None:
        self.ns = ns
        self.uri = uri
        self._family = family
        self._sandbox = Sandbox(ns, hostname="toolbox", folders=("/tmp",))
        try:
            self._sandbox.run(_furnish)
        except BaseException:
            self.close()
            raise

    @property
    def environment(self) -> dict[str, str]:
        """All that a program in here gets of an environment."""
        return {
            "PATH": _PATH,
            "HOME": _HOME,
            "TMPDIR": "/tmp",
            "XDG_RUNTIME_DIR": _RUNTIME,
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            "LIBVIRT_DEFAULT_URI": self.uri,
        }

    def spawn(
        self,
        arguments: Sequence[str],
        *,
        descriptors: Sequence[int] = (),
        environment: dict[str, str] | None = None,
    ) -> Process:
        """Start a program; `environment` adds to its own. Raises UnfitError, KernelError."""
        return self._family.spawn(
            self.ns,
            arguments,
            descriptors=descriptors,
            environment=self.environment | (environment or {}),
            sandbox=self._sandbox,
        )

    def run(self, *arguments: str, timeout: float = _PATIENCE) -> Finished:
        """How a program ends, however that is. Raises CommandError after `timeout` seconds."""
        return self.spawn(arguments).wait(timeout)

    def do(self, *arguments: str, timeout: float = _PATIENCE) -> str:
        """What a program prints.

        Raises CommandError, with the remedy where one is known, when it refuses.
        """
        finished = self.run(*arguments, timeout=timeout)
        try:
            return finished.checked().stdout
        except CommandError as error:
            advice = remedy(error.said)
            if not advice:
                raise
            problem = f"{error.problem}; {advice}"
            raise CommandError(error.command, problem, error.said) from error

    def write(self, name: str, text: str) -> str:
        """Put a file where the programs see it; its path for them."""
        inside = f"{_FILES}/{name}"
        self.path(inside).write_text(text)
        return inside

    def path(self, inside: str) -> Path:
        """A file of theirs as every process of the machine can reach it."""
        return self._sandbox.path(inside)

    def close(self) -> None:
        """Let go of the files; the programs end with their family. Idempotent."""
        self._sandbox.close()


def _furnish() -> None:
    """Folders that the tools expect; runs inside."""
    for folder in (_HOME, _RUNTIME, _FILES):
        Path(folder).mkdir(mode=0o700)
    Path("/tmp").chmod(0o1777)  # what the X server wants of it
