"""System calls that Python's standard library lacks: thin, typed, raising OSError only."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct

__all__ = [
    "CLONE_FS",
    "CLONE_NEWIPC",
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "address_of",
    "attach_filter",
    "await_rcu_readers",
    "bind_mount",
    "current_cpu",
    "detached_mount",
    "die_with_parent",
    "io_uring_enter",
    "io_uring_setup",
    "keep_mounts_private",
    "mount",
    "move_mount",
    "open_instruction_counter",
    "open_tracepoint",
    "setns",
    "setsockopt_blocking",
    "unshare",
]

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# The same numbers on every architecture (include/uapi/asm-generic/unistd.h).
_SYS_IO_URING_SETUP = 425
_SYS_IO_URING_ENTER = 426
_SYS_FSOPEN = 430
_SYS_FSCONFIG = 431
_SYS_FSMOUNT = 432
_FSOPEN_CLOEXEC = 1
_FSCONFIG_CMD_CREATE = 6
_FSMOUNT_CLOEXEC = 1
_IORING_ENTER_GETEVENTS = 1
_PR_SET_PDEATHSIG = 1
_MS_BIND = 4096
_MS_MOVE = 8192
_MS_REC = 16384
_MS_PRIVATE = 1 << 18

# Older than that, so that each architecture has its own number (its syscall.tbl).
_SYS_PERF_EVENT_OPEN = {
    "x86_64": 298,
    "aarch64": 241,
    "riscv64": 241,
    "loongarch64": 241,
    "ppc64le": 319,
    "s390x": 331,
}
_SYS_MEMBARRIER = {
    "x86_64": 324,
    "aarch64": 283,
    "riscv64": 283,
    "loongarch64": 283,
    "ppc64le": 365,
    "s390x": 356,
}
_MEMBARRIER_CMD_GLOBAL = 1
_PERF_TYPE_HARDWARE = 0
_PERF_TYPE_TRACEPOINT = 2
_PERF_COUNT_HW_INSTRUCTIONS = 1
_PERF_SAMPLE_TID = 1 << 1
_PERF_SAMPLE_RAW = 1 << 10
_PERF_FLAG_FD_CLOEXEC = 8
# struct perf_event_attr as it was first (PERF_ATTR_SIZE_VER0, 64 bytes): type, size, config,
# sample_period, sample_type, read_format, flags, wakeup_events, bp_type, bp_addr.
_PERF_ATTR = struct.Struct("=IIQQQQQIIQ")

_libc = ctypes.CDLL(None, use_errno=True)


def address_of(buffer: bytearray | mmap.mmap) -> int:
    """Where a buffer lies in memory. It must outlive every use, and not be resized."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _checked(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """unshare(2): move the calling thread (CLONE_NEWUSER: the whole process) to new namespaces."""
    _checked(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """setns(2): move the calling thread into the namespace that `fd` refers to."""
    _checked(_libc.setns(fd, kind), "setns")


def await_rcu_readers() -> None:
    """Return once every RCU read-side section of the kernel that has begun is over.

    membarrier(2), whose MEMBARRIER_CMD_GLOBAL is synchronize_rcu(): some 10 ms. Raises OSError
    where the kernel does not offer it (nohz_full, no CONFIG_MEMBARRIER).
    """
    call = _SYS_MEMBARRIER.get(os.uname().machine)
    if call is None:
        raise OSError(errno.ENOSYS, "membarrier is not known on this architecture")
    _checked(_libc.syscall(call, _MEMBARRIER_CMD_GLOBAL, 0, 0), "membarrier")


def current_cpu() -> int:
    """sched_getcpu(3): the CPU that the calling thread runs on."""
    return _checked(_libc.sched_getcpu(), "sched_getcpu")


def detached_mount(filesystem: str) -> int:
    """A new mount of `filesystem` that is in no mount table; its descriptor works with openat.

    A sysfs shows the network namespace of the calling thread (fsopen(2), fsmount(2), Linux 5.2).
    """
    context = _checked(
        _libc.syscall(_SYS_FSOPEN, filesystem.encode(), _FSOPEN_CLOEXEC), f"fsopen {filesystem}"
    )
    try:
        _checked(
            _libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0),
            f"fsconfig {filesystem}",
        )
        return _checked(
            _libc.syscall(_SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0), f"fsmount {filesystem}"
        )
    finally:
        os.close(context)


def mount(filesystem: str, place: str, *, options: str = "") -> None:
    """mount(2): a new `filesystem` of this type at `place`, as the calling thread sees it."""
    data = options.encode() or None
    _checked(
        _libc.mount(filesystem.encode(), place.encode(), filesystem.encode(), 0, data),
        f"mount {filesystem} at {place}",
    )


def bind_mount(source: str, place: str) -> None:
    """mount(2), MS_BIND: `source`, and all that is mounted in it, shall be at `place` as well."""
    flags = _MS_BIND | _MS_REC
    _checked(_libc.mount(source.encode(), place.encode(), None, flags, None), f"bind {place}")


def move_mount(source: str, place: str) -> None:
    """mount(2), MS_MOVE: what is mounted at `source`, with all on it, shall be at `place`."""
    _checked(_libc.mount(source.encode(), place.encode(), None, _MS_MOVE, None), f"move {source}")


def keep_mounts_private() -> None:
    """mount(2), MS_PRIVATE: what is mounted from now on is seen in this mount namespace only."""
    _checked(_libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "make mounts private")


def open_tracepoint(number: int, *, cpu: int) -> int:
    """perf_event_open(2): every hit of the tracepoint `number` on `cpu`: who, and a raw record.

    Counting from now on, for as long as the descriptor lives.
    """
    call = _SYS_PERF_EVENT_OPEN.get(os.uname().machine)
    if call is None:
        raise OSError(errno.ENOSYS, "perf_event_open: number not known here")
    wanted = _PERF_SAMPLE_TID | _PERF_SAMPLE_RAW
    attributes = _PERF_ATTR.pack(
        _PERF_TYPE_TRACEPOINT, _PERF_ATTR.size, number, 1, wanted, 0, 0, 0, 0, 0
    )
    return _checked(
        _libc.syscall(call, attributes, -1, cpu, -1, _PERF_FLAG_FD_CLOEXEC), "perf_event_open"
    )


def open_instruction_counter() -> int:
    """perf_event_open(2): instructions of the calling thread, kernel's included, from now on.

    Eight bytes can be read from the descriptor at any time. Raises OSError where there is no
    such counter (most virtual machines: ENOENT) or it is forbidden.
    """
    call = _SYS_PERF_EVENT_OPEN.get(os.uname().machine)
    if call is None:
        raise OSError(errno.ENOSYS, "perf_event_open: number not known here")
    attributes = _PERF_ATTR.pack(
        _PERF_TYPE_HARDWARE, _PERF_ATTR.size, _PERF_COUNT_HW_INSTRUCTIONS, *(0,) * 7
    )
    return _checked(
        _libc.syscall(call, attributes, 0, -1, -1, _PERF_FLAG_FD_CLOEXEC), "perf_event_open"
    )


_enter = _libc.syscall  # looked up once: it is called for every batch of frames


def io_uring_setup(entries: int, parameters: bytearray) -> int:
    """io_uring_setup(2): a ring; `parameters` (struct io_uring_params) is read and filled in."""
    place = (ctypes.c_char * len(parameters)).from_buffer(parameters)
    return _checked(_libc.syscall(_SYS_IO_URING_SETUP, entries, place), "io_uring_setup")


def io_uring_enter(fd: int, count: int) -> int:
    """io_uring_enter(2): submit `count` requests and run what is deferred; how many were taken."""
    taken: int = _enter(_SYS_IO_URING_ENTER, fd, count, 0, _IORING_ENTER_GETEVENTS, None, 0)
    return taken if taken >= 0 else _checked(taken, "io_uring_enter")


def die_with_parent(signal: int) -> None:
    """prctl(2), PR_SET_PDEATHSIG: have `signal` sent to this process once its parent ends."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0), "prctl")


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def attach_filter(fd: int, instructions: bytes) -> None:
    """SO_ATTACH_FILTER: a classic BPF program (8 bytes an instruction) on the socket `fd`."""
    program = _Program(len(instructions) // 8, instructions)
    _checked(
        _libc.setsockopt(fd, 1, 26, ctypes.byref(program), ctypes.sizeof(program)),
        "SO_ATTACH_FILTER",
    )


def setsockopt_blocking(fd: int, level: int, option: int, value: bytes) -> None:
    """setsockopt(2) with the interpreter's lock released, for options that make the caller wait."""
    _checked(_libc.setsockopt(fd, level, option, value, len(value)), "setsockopt")
