"""The one module that starts programs: argument lists, in a namespace, never a shell string.

What is started belongs to a `Family`: a PID namespace of which the first process waits for us
to go. The kernel closes our end of its pipe however we end, by SIGKILL as well; it exits, and
with it the kernel ends everybody in the namespace (zap_pid_ns_processes, kernel/pid_namespace.c),
whatever they have forked and whoever they have become. PR_SET_PDEATHSIG would be lost by what
changes its user, and is the death of a thread rather than of a process.

Output is captured in memory files, so nobody blocks on a pipe that is not read.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.errors import CommandError, KernelError, UnfitError
from harness.kernel.netns import NetNS, on_thread
from harness.kernel.sandbox import Sandbox
from harness.kernel.syscalls import CLONE_NEWNET, CLONE_NEWPID, setns, unshare
from harness.resource import Resource

__all__ = ["Family", "Finished", "Process", "find_program", "run_here"]

_LOOK_AGAIN = 1  # milliseconds between two looks at what has no event to wait for
_GONE_WITHIN = 5.0  # seconds; a killed process goes at once, but for one in a system call
_SHOWN_LINES = 12

# What Debian calls the package, and Fedora where it differs.
_PACKAGES = {
    "Xvfb": "xvfb",
    "bsdtar": "libarchive-tools",
    "busybox": "busybox",
    "cc": "gcc libc6-dev",
    "depmod": "kmod",
    "dnsmasq": "dnsmasq-base",
    "dpkg-deb": "dpkg",
    "import": "imagemagick",
    "ip": "iproute2",
    "iperf3": "iperf3",
    "netserver": "netperf",
    "ping": "iputils-ping",
    "libvirtd": "libvirt-daemon-system",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "trafgen": "netsniff-ng",
    "unshare": "util-linux",
    "stdbuf": "coreutils",
    "vdptool": "lldpad",
    "virsh": "libvirt-clients",
    "virt-install": "virtinst",
    "virt-xml": "virtinst",
}


def find_program(name: str) -> str:
    """Path of a program, looked for in PATH and where administrators' programs are.

    Raises UnfitError, with the package to install.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if not found:
        raise UnfitError(
            f"there is no {name} here", remedy=f"apt install {_PACKAGES.get(name, name)}"
        )
    return found


@dataclass(frozen=True)
class Finished:
    """How a process ended: its exit status (-N: signal N) and what it wrote."""

    arguments: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether the exit status is 0."""
        return self.status == 0

    def checked(self) -> Self:
        """Itself, when the status is 0. Raises CommandError."""
        if not self.ok:
            raise _error(self, f"exit status {self.status}")
        return self


def _error(finished: Finished, problem: str) -> CommandError:
    said = (finished.stderr + finished.stdout).strip().splitlines()[-_SHOWN_LINES:]
    return CommandError(shlex.join(finished.arguments), problem, "\n".join(said))


class Process(Resource):
    """A program that runs. Use it in a `with` statement: it is killed and reaped at the end."""

    def __init__(
        self, arguments: tuple[str, ...], popen: subprocess.Popen[bytes], outputs: tuple[int, int]
    ) -> None:
        self.arguments = arguments
        self._popen = popen
        self._outputs = outputs
        self._finished: Finished | None = None
        self._pidfd = os.pidfd_open(popen.pid)
        self._poll = select.poll()
        self._poll.register(self._pidfd, select.POLLIN)

    @property
    def pid(self) -> int:
        """Its process id, as we see it."""
        return self._popen.pid

    @property
    def pid_inside(self) -> int:
        """Its process id, as others of its family see it. Raises OSError when it is gone."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = (x for x in status.splitlines() if x.startswith("NSpid:"))
        return int(line.split()[-1])

    @property
    def stdout(self) -> str:
        """What it has written to its standard output so far."""
        return self._finished.stdout if self._finished else _contents(self._outputs[0])

    @property
    def stderr(self) -> str:
        """What it has written to its standard error so far."""
        return self._finished.stderr if self._finished else _contents(self._outputs[1])

    def wait(self, timeout: float) -> Finished:
        """How it ends. Raises CommandError, and kills it, when that takes `timeout` seconds."""
        if self._finished is None:
            ended = self._poll.poll(timeout * 1000)
            if not ended:
                self.close()
                assert self._finished is not None
                raise _error(self._finished, f"not finished after {timeout:g} s, killed")
            self._reap()
        assert self._finished is not None
        return self._finished

    def wait_until(self, ready: Callable[[], bool], *, timeout: float = 10.0) -> Self:
        """Itself, once `ready` says so. Raises CommandError, and kills it, when it never does."""
        give_up = time.monotonic() + timeout
        while not ready():
            if self._poll.poll(_LOOK_AGAIN):
                self._reap()
                assert self._finished is not None
                problem = f"ended (status {self._finished.status}) before it was ready"
                raise _error(self._finished, problem)
            if time.monotonic() > give_up:
                self.close()
                assert self._finished is not None
                raise _error(self._finished, f"not ready after {timeout:g} s, killed")
        return self

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing when it has ended."""
        if self._finished is None:
            signal.pidfd_send_signal(self._pidfd, number)

    def _reap(self) -> None:
        status = self._popen.wait(_GONE_WITHIN)
        stdout, stderr = (_contents(fd) for fd in self._outputs)
        self._finished = Finished(self.arguments, status, stdout, stderr)
        for fd in (*self._outputs, self._pidfd):
            os.close(fd)

    def close(self) -> None:
        """Kill it and wait for its end; idempotent."""
        if self._finished is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self._reap()


def _contents(fd: int) -> str:
    return os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace")


class Family(Resource):
    """Processes that end when we do. Use it in a `with` statement. Raises KernelError."""

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._members: list[Process] = []
        self._joining = threading.Lock()
        self._first: subprocess.Popen[bytes] | None = None
        reader, self._lifeline = os.pipe()  # neither is inherited but by the first process
        self._undo.callback(self._let_go)

        def start() -> tuple[subprocess.Popen[bytes], int]:
            unshare(CLONE_NEWPID)
            # It ends at the end of its input, which comes when nobody holds the pipe any more.
            # Orphans become its children: ignored, they leave no zombies (do_notify_parent). A
            # libvirtd would wait for those, for they seem to live.
            cat = ["env", "--ignore-signal=CHLD", "cat"]
            first = subprocess.Popen(cat, stdin=reader, stdout=subprocess.DEVNULL)
            flags = os.O_RDONLY | os.O_CLOEXEC
            return first, os.open("/proc/thread-self/ns/pid_for_children", flags)

        try:
            self._first, self._pid_ns = on_thread(start).result()
        except OSError as error:
            self.close()
            raise KernelError("create a PID namespace", error.errno or 0) from error
        except BaseException:
            self.close()
            raise
        finally:
            os.close(reader)
        self._undo.callback(os.close, self._pid_ns)

    def spawn(
        self,
        ns: NetNS,
        arguments: Sequence[str],
        *,
        descriptors: Sequence[int] = (),
        environment: dict[str, str] | None = None,
        folder: str | None = None,
        cpus: Collection[int] = (),
        sandbox: Sandbox | None = None,
    ) -> Process:
        """Start a program in `ns`, and in `sandbox`, and return while it runs.

        `descriptors` stay open in it, under the same numbers; `environment` is all that it
        gets, ours when None; `folder` is where it works. It runs on `cpus` only, wherever we may
        when there are none. It reads nothing. Raises UnfitError when there is no such program.
        """
        program = find_program(arguments[0])
        outputs = tuple(os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdout", "stderr"))

        def start() -> Process:
            # On a thread of its own: a child is where the thread is that forks it. There it joins
            # the family, too: whoever waits for it here may be interrupted.
            setns(ns.fd, CLONE_NEWNET)
            setns(self._pid_ns, CLONE_NEWPID)
            if sandbox:
                sandbox.enter()
            if cpus:
                os.sched_setaffinity(0, cpus)  # this thread's, which is what the child inherits
            popen = subprocess.Popen(
                [program, *arguments[1:]],
                stdin=subprocess.DEVNULL,
                stdout=outputs[0],
                stderr=outputs[1],
                pass_fds=descriptors,
                env=environment,
                cwd=folder,
            )
            process = Process(tuple(arguments), popen, (outputs[0], outputs[1]))
            with self._joining:
                self._members = [p for p in self._members if p._finished is None]  # noqa: SLF001
                self._members.append(process)
            return process

        try:
            return on_thread(start).result()
        except OSError as error:
            for fd in outputs:
                os.close(fd)
            raise KernelError(f"start {shlex.join(arguments)}", error.errno or 0) from error

    def run(
        self,
        ns: NetNS,
        arguments: Sequence[str],
        *,
        timeout: float = 10.0,
        environment: dict[str, str] | None = None,
        sandbox: Sandbox | None = None,
    ) -> Finished:
        """Run a program in `ns` to its end. Raises CommandError after `timeout` seconds."""
        return self.spawn(ns, arguments, environment=environment, sandbox=sandbox).wait(timeout)

    def _let_go(self) -> None:
        os.close(self._lifeline)

    def close(self) -> None:
        """End every member, and with the first one everything they have started; idempotent."""
        self._undo.close()
        give_up = time.monotonic() + _GONE_WITHIN
        while True:
            # The first one is not gone before all others have been reaped, ours by us; whoever was
            # being started when we were interrupted may join only now.
            while self._members:
                with self._joining:
                    member = self._members.pop()
                member.close()
            if self._first is None:
                return
            try:
                self._first.wait(_LOOK_AGAIN / 1000)
                return
            except subprocess.TimeoutExpired:
                if time.monotonic() > give_up:
                    raise


def run_here(
    arguments: Sequence[str],
    *,
    timeout: float = 10.0,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Finished:
    """Run a program to its end where we are: for what needs no namespace and has no children
    that outlive it. `environment` comes on top of ours. It is killed when we are.

    Raises CommandError after `timeout` seconds, UnfitError when there is no such program.
    """
    program = find_program(arguments[0])
    # Its parent is the thread that forks it, which here is ours and waits.
    command = [find_program("setpriv"), "--pdeathsig", "KILL", program, *arguments[1:]]
    given = tuple(arguments)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else ""
        finished = Finished(given, -signal.SIGKILL, "", said)
        raise _error(finished, f"not finished after {timeout:g} s, killed") from error
    return Finished(given, done.returncode, done.stdout, done.stderr)
