"""Every exception that hairpin raises.

    HairpinError
    ├── UsageError            what was asked for makes no sense            exit 2
    │   ├── DomainError       domain or network XML that cannot be read
    │   ├── PortProfileError  a request for a port profile that is none
    │   ├── TopologyError     a topology, or the file it comes from
    │   ├── StimulusError     a stimulus that its topology cannot send
    │   └── VsiTypesError     a database of VSI types that cannot be read
    ├── UnfitError            this machine cannot do it; has a remedy      exit 3
    ├── KernelError           the kernel refused an operation              exit 3
    │   └── ForeignTapError   an opened tap is not the one asked for
    ├── CommandError          a program that was started failed            exit 3
    ├── LibvirtError          libvirt refused an operation                 exit 3
    ├── GuestError            a guest does not do what it is asked         exit 3
    ├── SilenceError          what was waited for did not happen           exit 3
    ├── StrayFrameError       a frame outran its barrier                   exit 3
    └── DifferenceError       the kernel did not do what the model says    exit 1

Library code raises these; only the command line prints them and exits.
"""

from __future__ import annotations

import errno as errno_names
import os

__all__ = [
    "CommandError",
    "DifferenceError",
    "DomainError",
    "ForeignTapError",
    "GuestError",
    "HairpinError",
    "KernelError",
    "LibvirtError",
    "PortProfileError",
    "SilenceError",
    "StimulusError",
    "StrayFrameError",
    "TopologyError",
    "UnfitError",
    "UsageError",
    "VsiTypesError",
]


class HairpinError(Exception):
    """Base of all of hairpin's own exceptions; its text is written for people."""


class UsageError(HairpinError):
    """The request itself is wrong, whatever the machine."""


class DomainError(UsageError):
    """A domain's or network's XML that cannot be read, or not be turned into what was asked.

    `element` is where (``interface/source/@mode``), `problem` what is wrong with it, `allowed`
    what may stand there; `line` is counted from 1, 0 where none is known.
    """

    def __init__(
        self, element: str, problem: str, *, allowed: str = "", file: str = "", line: int = 0
    ) -> None:
        self.element = element
        self.problem = problem
        self.allowed = allowed
        self.file = file
        self.line = line
        place = ":".join([file or "XML", *([str(line)] if line else [])])
        hint = f"; allowed: {allowed}" if allowed else ""
        super().__init__(f"{place}: {element}: {problem}{hint}")


class TopologyError(UsageError):
    """A topology that cannot exist, or a topology file that cannot be read.

    `field` is where (``guest[1].mode``), `problem` what is wrong with it, `allowed` what may
    stand there; `file` and `line` (counted from 1) are set when it came from a file.
    """

    def __init__(
        self,
        field: str,
        problem: str,
        *,
        allowed: str = "",
        file: str = "",
        line: int = 0,
    ) -> None:
        self.field = field
        self.problem = problem
        self.allowed = allowed
        self.file = file
        self.line = line
        place = f"{file}:{line}: " if file else ""
        hint = f"; allowed: {allowed}" if allowed else ""
        super().__init__(f"{place}{field}: {problem}{hint}")

    def at(self, file: str, line: int) -> TopologyError:
        """The same error, with the place in the file that it comes from."""
        return TopologyError(self.field, self.problem, allowed=self.allowed, file=file, line=line)


class PortProfileError(UsageError):
    """A request for a port profile that cannot be made so, or octets that are none."""


class StimulusError(UsageError):
    """A stimulus that the topology it is applied to cannot send."""


class VsiTypesError(UsageError):
    """A database of VSI types that cannot be read, or says what cannot be.

    `field` is where (``type[1].vlan``), `problem` what is wrong with it, `allowed` what may stand
    there; `line` is counted from 1.
    """

    def __init__(self, field: str, problem: str, *, allowed: str, file: str, line: int) -> None:
        self.field = field
        self.problem = problem
        self.allowed = allowed
        self.file = file
        self.line = line
        hint = f"; allowed: {allowed}" if allowed else ""
        super().__init__(f"{file}:{line}: {field}: {problem}{hint}")


class UnfitError(HairpinError):
    """This machine, kernel or account cannot do what was asked.

    `cause` says why in one clause, `remedy` what to do about it.
    """

    def __init__(self, cause: str, *, remedy: str) -> None:
        self.cause = cause
        self.remedy = remedy
        super().__init__(f"{cause}; {remedy}")


class KernelError(HairpinError):
    """The kernel refused `operation` with `errno`; `detail` is its extended acknowledgement."""

    def __init__(self, operation: str, errno: int, detail: str = "") -> None:
        self.operation = operation
        self.errno = errno
        self.detail = detail
        name = errno_names.errorcode.get(errno, str(errno))
        extra = f": {detail}" if detail else ""
        super().__init__(f"{operation}: {name} ({os.strerror(errno)}){extra}")


class ForeignTapError(KernelError):
    """A tap descriptor turned out to belong to another link; it was closed unread."""

    def __init__(self, operation: str, detail: str) -> None:
        super().__init__(operation, errno_names.EXDEV, detail)


class LibvirtError(HairpinError):
    """libvirt refused `operation`; `message` is what it said, `code` its virErrorNumber.

    `remedy` is what helps, empty where nothing is known to.
    """

    def __init__(self, operation: str, message: str, *, code: int = 0, remedy: str = "") -> None:
        self.operation = operation
        self.message = message
        self.code = code
        self.remedy = remedy
        super().__init__(f"libvirt: {operation}: {message}{f'; {remedy}' if remedy else ''}")


class CommandError(HairpinError):
    """A program that hairpin started failed: `problem` with `command`, and what it `said`."""

    def __init__(self, command: str, problem: str, said: str) -> None:
        self.command = command
        self.problem = problem
        self.said = said
        super().__init__(f"{command}\n{problem}" + (f"; it said:\n{said}" if said else ""))


class GuestError(HairpinError):
    """A guest's agent refused, did not answer, or is gone.

    `request` is what it was asked (``send``), `problem` what came of it; `errno` is the guest
    kernel's, 0 where it said nothing; `lost` is set when the connection is, and with it the Agent.
    """

    def __init__(
        self, guest: str, request: str, problem: str, *, errno: int = 0, lost: bool = False
    ) -> None:
        self.guest = guest
        self.request = request
        self.problem = problem
        self.errno = errno
        self.lost = lost
        super().__init__(f"guest {guest}: {request}: {problem}")


class SilenceError(HairpinError):
    """What was waited for did not happen in time; the text tells what did."""


class StrayFrameError(HairpinError):
    """A copy of an earlier stimulus arrived after its barrier: the barrier does not hold."""


class DifferenceError(HairpinError, AssertionError):
    """The kernel differs from the model; the text is the whole explanation."""
