"""Evidence in words: each drop and each counter in a line, and the few lines that matter most."""

from __future__ import annotations

from collections.abc import Iterator

from harness.testbed.evidence import Evidence

__all__ = ["counters_of", "drops_of", "findings"]

# Counters that tell where a frame went; all others tell that something became of it.
_TRAFFIC = frozenset({"rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "multicast"})
# The end of any copy that reaches a stack in which nobody reads: the bridge device's own, say.
_USUAL_END = "UNHANDLED_PROTO"
_REMARK = "  (a stack in which nobody reads: the usual end of a copy)"
_WORDS = {"port": "switch port {}", "bridge": "the stack of {}"}
# Nobody reads what is flooded to a bridge's own stack: it drops all of it, and counts that.
_SILENT = "the stack of "
_MOST_FINDINGS = 6


def findings(evidence: Evidence) -> tuple[str, ...]:
    """What the evidence comes to, in a few lines: the repeat, drops, counters of drops."""
    lines = [f"sent again: {evidence.repeat}", *evidence.notes]
    lines += [
        f"dropped: {copies} × {drop}"
        for drop, copies in evidence.drops.items()
        if drop.reason != _USUAL_END
    ]
    lines += [
        f"counter: {where} {name} {by:+}"
        for where, name, by in counters_of(evidence)
        if name not in _TRAFFIC and not where.startswith(_SILENT)
    ]
    if len(lines) > _MOST_FINDINGS:
        lines[_MOST_FINDINGS - 1 :] = [f"and {len(lines) - _MOST_FINDINGS + 1} lines more"]
    return tuple(lines)


def drops_of(evidence: Evidence) -> list[str]:
    """`1 × NETFILTER_DROP in nft_do_chain`, for each place where the kernel dropped frames."""
    return [
        f"{copies} × {drop}{_REMARK if drop.reason == _USUAL_END else ''}"
        for drop, copies in evidence.drops.items()
    ]


def counters_of(evidence: Evidence) -> Iterator[tuple[str, str, int]]:
    """Link (a switch port is called so), counter, and by how much it moved."""
    for place, links in evidence.counters.items():
        for link, counters in links.items():
            for name, by in counters.items():
                yield _WORDS.get(place, "{}").format(link), name, by
