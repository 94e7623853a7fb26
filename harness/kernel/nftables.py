"""nf_tables, read back: every chain and rule of a namespace, in all families, in words.

Rules of ebtables, iptables and arptables are among them where these are the nf_tables
variants, which is what distributions ship.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.kernel.dumps import Attributes, Dumps, attributes, nested, number, text

__all__ = ["NETLINK_NETFILTER", "Chain", "ChainRule", "read_chains", "read_rules"]

NETLINK_NETFILTER = 12
_NFTABLES = 10 << 8  # NFNL_SUBSYS_NFTABLES
_GETCHAIN = _NFTABLES | 4
_GETRULE = _NFTABLES | 7
_NFGENMSG = struct.Struct("!BBH")  # family, version, resource

_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting", "ingress")
_HOOKS_OF = {"netdev": ("ingress", "egress"), "arp": ("input", "output", "forward")}
_VERDICTS = {
    0: "drops",
    1: "accepts",
    3: "hands to user space",
    -3: "jumps to {}",
    -4: "goes to {}",
    -5: "returns",
}
_FIELDS = {  # offset and length in the link-layer header
    (0, 6): "the destination address",
    (6, 6): "the source address",
    (12, 2): "the ethertype",
    (14, 2): "the VLAN tag",
}
_DOES = {
    "reject": "rejects",
    "queue": "hands to user space",
    "nat": "translates addresses",
    "masq": "translates the source address",
    "redir": "redirects to the host itself",
    "tproxy": "hands to a proxy",
    "flow_offload": "offloads the flow",
    "synproxy": "answers in another's place",
}
_ONLY_SOME = {"limit": "above a rate", "numgen": "some", "quota": "by a quota", "connlimit": "some"}


@dataclass(frozen=True)
class Chain:
    """A chain. `hook` is empty when only other chains lead to it; `devices` of netdev chains.

    `drops` says whether its policy is to drop; `frames` is what the policy has met, where it
    is counted.
    """

    family: str
    table: str
    name: str
    hook: str
    devices: tuple[str, ...]
    drops: bool
    frames: int | None


@dataclass(frozen=True)
class ChainRule:
    """A rule: what it does, in words, and how many frames its counter has seen.

    `frames` is None where the rule has no counter; `harmless` when it accepts or only counts.
    """

    family: str
    table: str
    chain: str
    handle: int
    does: str
    frames: int | None
    harmless: bool


def read_chains(dumps: Dumps) -> list[Chain]:
    """Every chain of the namespace. Raises KernelError."""
    found = []
    for message in dumps.get(_GETCHAIN, _NFGENMSG.pack(0, 0, 0)):
        family = _FAMILIES.get(message[0], f"family {message[0]}")
        given = attributes(message, _NFGENMSG.size)
        hooked = attributes(given.get(4, b""))  # NFTA_CHAIN_HOOK
        hooks = _HOOKS_OF.get(family, _HOOKS)
        at = number(hooked, 1, "!")
        devices = [text(hooked, 3)] if 3 in hooked else []
        devices += [text({0: name}, 0) for _, name in nested(hooked.get(4, b""))]
        counters = attributes(given[8]) if 8 in given else None
        found.append(
            Chain(
                family=family,
                table=text(given, 1),
                name=text(given, 3),
                hook=(hooks[at] if at < len(hooks) else str(at)) if hooked else "",
                devices=tuple(dict.fromkeys(devices)),
                drops=5 in given and number(given, 5, "!") == 0,
                frames=None if counters is None else number(counters, 2, "!"),
            )
        )
    return found


def read_rules(dumps: Dumps, names: Mapping[int, str]) -> list[ChainRule]:
    """Every rule of the namespace; `names` are the links by index. Raises KernelError."""
    found = []
    for message in dumps.get(_GETRULE, _NFGENMSG.pack(0, 0, 0)):
        given = attributes(message, _NFGENMSG.size)
        expressions = [
            (text(expression, 1), attributes(expression.get(2, b"")))
            for expression in (attributes(data) for _, data in nested(given.get(4, b"")))
        ]
        does = list(_said(expressions, names))
        counted = [number(data, 2, "!") for name, data in expressions if name == "counter"]
        found.append(
            ChainRule(
                family=_FAMILIES.get(message[0], f"family {message[0]}"),
                table=text(given, 1),
                chain=text(given, 2),
                handle=number(given, 3, "!"),
                does=" and ".join(does) or "only counts or matches",
                frames=max(counted) if counted else None,
                harmless=set(does) <= {"accepts", "returns"},
            )
        )
    return found


def _said(expressions: list[tuple[str, Attributes]], names: Mapping[int, str]) -> Iterator[str]:
    """What the expressions of one rule do, each in words; matches are passed over."""
    registers: dict[int, bytes] = {}
    some = ""
    for name, data in expressions:
        if name == "immediate":
            value = attributes(data.get(2, b""))
            verdict = attributes(value.get(2, b""))
            if 1 in value:
                registers[number(data, 1, "!")] = value[1]
            elif verdict:
                (code,) = struct.unpack("!i", verdict[1])
                says = _VERDICTS.get(code, f"gives verdict {code}")
                yield says.format(f"chain {text(verdict, 2)}") + some
        elif name in ("dup", "fwd"):
            at = number(data, 2 if name == "dup" else 1, "!")
            verb = "duplicates" if name == "dup" else "redirects"
            index = int.from_bytes(registers.get(at, b""), sys.byteorder)
            yield f"{verb} to {names.get(index, 'a link gone')}" + some
        elif name == "payload" and 5 in data:  # NFTA_PAYLOAD_SREG: it writes
            field = (number(data, 3, "!"), number(data, 4, "!"))
            link_layer = number(data, 2, "!") == 0
            known = _FIELDS.get(field) if link_layer else None
            yield f"rewrites {known or f'{field[1]} bytes of the frame at {field[0]}'}" + some
        elif name == "meta" and 3 in data:  # NFTA_META_SREG
            yield "rewrites the frame's metadata" + some
        elif name == "target":  # an extension of ebtables or iptables
            yield f"does {text(data, 1)}" + some
        elif name in _ONLY_SOME:
            some = f" ({_ONLY_SOME[name]})"
        elif name in _DOES:
            yield _DOES[name] + some
