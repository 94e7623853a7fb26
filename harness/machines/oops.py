"""What a kernel complains of in its log: warnings, oopses, splats of its checkers; pure.

The forms are those of lib/bug.c, arch/x86/kernel/dumpstack.c, kernel/locking/lockdep.c,
mm/kasan/report.c and their like; timestamps, and what the console put before them, are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Kind", "Trouble", "troubles_in"]

_LINES = 12  # of a trouble, that are shown
_HEADING = 2  # lines of lockdep's: what it is, and the kernel's release
_LONGEST = 200  # lines of one: what goes on for longer is another matter


class Kind(StrEnum):
    """What the kernel complains of."""

    WARNING = "warning"
    BUG = "bug"
    OOPS = "oops"
    PANIC = "panic"
    LOCKDEP = "lockdep"
    RCU = "rcu"
    ATOMIC = "sleep in atomic context"
    KASAN = "kasan"
    KFENCE = "kfence"
    KCSAN = "kcsan"
    UBSAN = "ubsan"
    HUNG = "hung task"
    LOCKUP = "lockup"
    STALL = "rcu stall"
    LEAK = "leaked reference"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One complaint. `where` is a function or a place in the sources, "" where it says none.

    `says` is its first line, `lines` that and the first of what follows.
    """

    kind: Kind
    where: str
    says: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        place = f" at {self.where}" if self.where and self.where not in self.says else ""
        return f"{self.kind}{place}: {self.says}"


_F = r"(?P<where>[\w.]+)\+0x[0-9a-f]+/0x[0-9a-f]+"  # function+offset/length
_IN = _F.replace("where", "function")
# The first that is found in a line says what begins there.
_HEADS = tuple(
    (kind, re.compile(text))
    for kind, *texts in (
        (Kind.PANIC, r"^Kernel panic - not syncing"),
        (Kind.KASAN, rf"^BUG: KASAN: .* in {_F}", r"^BUG: KASAN: "),
        (Kind.KFENCE, rf"^BUG: KFENCE: .* in {_F}", r"^BUG: KFENCE: "),
        (Kind.KCSAN, r"^BUG: KCSAN: .* in (?P<where>\S+)"),
        (Kind.UBSAN, r"^UBSAN: .* in (?P<where>\S+)"),
        (Kind.ATOMIC, r"^BUG: sleeping function called from invalid context at (?P<where>\S+)"),
        (Kind.ATOMIC, r"^BUG: scheduling while atomic"),
        (Kind.LOCKUP, r"BUG: soft lockup|[Hh]ard LOCKUP|BUG: workqueue lockup"),
        (Kind.STALL, r"^rcu.*\bdetected( expedited)? stalls?\b", r"^INFO: rcu.*\bstall"),
        (Kind.HUNG, r"^INFO: task (?P<where>\S+) blocked (?:in \S+ )?for more than"),
        (Kind.RCU, r"^WARNING: suspicious RCU usage"),
        (Kind.LOCKDEP, r"^WARNING: possible .*\bdetected$", r"^WARNING: inconsistent lock state"),
        (Kind.LOCKDEP, r"^WARNING: .*\block(s|ed)?\b.*(detected|order|freed|held|balance)"),
        (Kind.LOCKDEP, r"^WARNING: (bad unlock|lock held|held lock|Nested lock)"),
        (Kind.LOCKDEP, r"^\[ BUG: ", r"^INFO: trying to register non-static key"),
        (
            Kind.WARNING,
            rf"^WARNING: CPU: \d+ PID: \d+ at (?P<where>\S+:\d+) {_IN}",
            rf"^WARNING: (?P<where>\S+:\d+) at {_IN}",  # since Linux 6.19
            r"^WARNING: (?:CPU: \d+ PID: \d+ at )?(?P<where>[\w./-]+\.[chS]:\d+)",
            r"^WARNING: CPU: \d+ PID: \d+",
        ),
        (Kind.BUG, r"^kernel BUG at (?P<where>[\w./-]+:\d+)!"),
        (Kind.OOPS, r"^BUG: (unable to handle|kernel NULL pointer)", r"^Unable to handle kernel"),
        (Kind.OOPS, r"^Oops\b", r"^Internal error: Oops", r"^general protection fault"),
        (Kind.OOPS, r"^(divide error|invalid opcode|stack segment|double fault)[:,]"),
        (Kind.LEAK, r"^unregister_netdevice: waiting for (?P<where>\S+) to become free"),
        (Kind.BUG, r"^BUG: "),
    )
    for text in texts
)
_STAMP = re.compile(r"^(?:<\d+>)?\[\s*\d+\.\d+\](?:\[\s*[TC]\d+\])? ?")
_END = re.compile(r"^---\[ end |^(?:={10,}|-{10,})$")
_RIP = re.compile(rf"^(?:RIP: \d+:|pc : |RIP: ){_F}")
_CALL = re.compile(rf"^ (?:\[<[0-9a-f]+>\] )?{_F}")
_DUMPING = {"dump_stack", "dump_stack_lvl", "show_stack", "panic", "vpanic", "__dump_stack"}
_GOES_ON = frozenset({Kind.BUG, Kind.OOPS})
# Lockdep draws a line below its first two lines, and goes on: who wants which lock, and where.
_UNDERLINED = frozenset({Kind.LOCKDEP, Kind.RCU})
_LOCK = re.compile(r"\bat: (?P<where>[\w.]+)\+0x|^(?P<place>\S+:\d+) suspicious ")


def troubles_in(text: str | Iterable[str]) -> tuple[Trouble, ...]:
    """What is complained of in a log: the console's text, or lines of dmesg, in their order."""
    lines = text.splitlines() if isinstance(text, str) else text
    found: list[Trouble] = []
    kind: Kind | None = None
    where = ""
    block: list[str] = []

    def finish() -> None:
        nonlocal kind
        if kind is not None:
            found.append(_trouble(kind, where, block))
        kind = None

    for raw in lines:
        line = _STAMP.sub("", raw.rstrip("\r\n"))
        head = _head(line)
        # "Oops: 0002 [#1]" is still of the "BUG: unable to handle" above it.
        if head and not (kind in _GOES_ON and head[0] in _GOES_ON and len(block) < _LINES):
            finish()
            kind, where = head
            block = [line]
        elif kind is not None:
            if head and not where:
                where = head[1]
            underline = kind in _UNDERLINED and len(block) == _HEADING and line[0:1] == "-"
            if (_END.match(line) and len(block) > 1 and not underline) or len(block) >= _LONGEST:
                finish()
            elif underline:
                continue
            elif line.strip():
                block.append(line)
    finish()
    return tuple(found)


def _head(line: str) -> tuple[Kind, str] | None:
    for kind, pattern in _HEADS:
        if match := pattern.search(line):
            named = match.groupdict()
            return kind, " ".join(x for x in (named.get("where"), named.get("function")) if x)
    return None


def _trouble(kind: Kind, where: str, block: list[str]) -> Trouble:
    if kind in _UNDERLINED:
        where = where or _lock(block) or _function(block)
    elif not where or kind is Kind.BUG:
        where = " ".join(x for x in (where, _function(block)) if x)
    return Trouble(kind, where, block[0].strip(), tuple(block[:_LINES]))


def _lock(block: Iterable[str]) -> str:
    """Who wanted the lock, or the place that is suspicious; "" where neither is said.

    Of lockdep's own reports only: others list, before the call trace, locks that are held besides.
    """
    found = next((x for line in block if (x := _LOCK.search(line))), None)
    return (found["where"] or found["place"]) if found else ""


def _function(block: Iterable[str]) -> str:
    """Where it struck: what the instruction pointer was in, else who called first."""
    called = ""
    for line in block:
        if found := _RIP.match(line):
            return found["where"]
        if not called and (found := _CALL.match(line)) and found["where"] not in _DUMPING:
            called = found["where"]
    return called
