"""Everything about one differing case, as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.report.capture import told_apart
from harness.report.evidence_lines import counters_of, drops_of
from harness.report.record import Record
from harness.testbed.evidence import Evidence, Repeat
from harness.testbed.verdict import Verdict

__all__ = ["case_text", "failure_text"]

_ROW = 16  # bytes in a line


def case_text(record: Record, verdict: Verdict, *, run: str, again: str, capture: str) -> str:
    """The whole text.

    `run` says of which run it is, `again` is the command that repeats it, and `capture` where
    the frames lie.
    """
    place = ", ".join(filter(None, record.column))
    title = f"{record.row} in {place}" if place else record.row
    blocks = [
        [title, "=" * len(title), record.case, run, f"frames: {capture}"],
        _titled("Again", [again]),
        _titled("Likely cause", record.causes),
        _titled("Observers", _observers(verdict)),
        *(_sent_again(verdict.evidence) if verdict.evidence else ()),
        _titled("Frames", _frames(verdict)),
        _titled("The model's way of the frame", record.trace),
        _titled("Documentation that was not kept", _promises(record)),
        _titled("The topology", record.topology.strip().splitlines()),
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def failure_text(record: Record, verdict: Verdict) -> str:
    """Verdict, evidence, the model's trace and the topology, for the report of a failed test."""
    kept = [f"evidence: {record.evidence}, and a .pcapng beside it"] if record.evidence else []
    return "\n".join(
        [
            str(verdict),
            *(f"  {line}" for line in (*record.findings, *kept)),
            "\nThe model's way of the frame:",
            *(f"  {step}" for step in record.trace),
            f"\nThe topology:\n{record.topology}",
        ]
    )


def _titled(title: str, lines: Iterable[str]) -> list[str]:
    """Nothing where there are no lines."""
    indented = [f"  {line}".rstrip() for line in lines]
    return [title, *indented] if indented else []


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table, columns as wide as they must be."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(f"{x:{w}}" for x, w in zip(row, widths, strict=True)) for row in rows]


def _observers(verdict: Verdict) -> list[str]:
    again = verdict.evidence.arrivals if verdict.evidence else {}
    differing = {difference.observer for difference in verdict.differences}
    rows = [["", "predicted", "seen", "again", "read up to", ""]]
    for name, expected in verdict.prediction.arrivals.items():
        rows.append(
            [
                name,
                str(len(expected)),
                str(len(verdict.observation.arrivals[name])),
                str(len(again[name])) if name in again else "–",
                str(verdict.observation.barriers[name]),
                "✗" if name in differing else "",
            ]
        )
    return _columns(rows)


def _sent_again(evidence: Evidence) -> Iterator[list[str]]:
    lost = [f"No sentinel reached {', '.join(evidence.lost)}."] if evidence.lost else []
    yield _titled("Sent again", [f"{evidence.repeat}", *lost, *evidence.notes])
    if evidence.repeat is Repeat.FAILED:
        return
    rows = [[where, name, f"{by:+}"] for where, name, by in counters_of(evidence)]
    yield _titled(
        "Counters that moved (the sentinels' part taken off)",
        _columns(rows) if rows else ["none"],
    )
    unknown = f"not known: {evidence.drops_unknown}"
    yield _titled(
        "Frames that the kernel dropped (skb:kfree_skb, the sentinels' part taken off)",
        [unknown] if evidence.drops_unknown else drops_of(evidence) or ["none"],
    )


def _frames(verdict: Verdict) -> Iterator[str]:
    """What the differing observers saw, and what they should have seen."""
    for difference in verdict.differences:
        for frame, remark in told_apart(verdict, difference.observer, difference.seen):
            yield f"{difference.observer} saw, {remark}:"
            yield from _dump(frame)
        for frame in difference.missing:
            yield f"{difference.observer} did not see, though it was predicted:"
            yield from _dump(frame)


def _dump(frame: bytes) -> Iterator[str]:
    """Rows of hex; the zeros that pad a frame are left out."""
    bare = frame.rstrip(b"\0")
    for at in range(0, len(bare), _ROW):
        yield f"  {at:04x}  {bare[at : at + _ROW].hex(' ')}"
    if len(bare) < len(frame):
        yield f"  {len(bare):04x}  {len(frame) - len(bare)} zeros"


def _promises(record: Record) -> Iterator[str]:
    for promise in record.promises:
        if not promise["kept"]:
            yield f"{promise['text']}  ({promise['source']}; {promise['section']})"
