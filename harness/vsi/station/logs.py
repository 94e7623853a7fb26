"""What the logs of libvirtd and lldpad have about one of several links."""

from __future__ import annotations

import re

__all__ = ["about", "names"]


def about(log: str, link: str) -> str:
    """What libvirt's log has about a macvtap on `link`, of all that its threads wrote at once.

    A thread names the macvtap that it makes first (virNetDevMacVLanCreate), then the link.
    """
    now: dict[str, list[str]] = {}
    parts: list[list[str]] = []
    for line in log.splitlines():
        _, _, rest = line.partition(": ")
        thread, _, said = rest.partition(": ")
        if "created device" in said or thread not in now:
            now[thread] = []
            parts.append(now[thread])
        now[thread].append(said)
    return "\n".join("\n".join(part) for part in parts if names(link, "\n".join(part)))


def names(link: str, text: str) -> bool:
    """Whether a text has the link's name, not as a part of another."""
    return re.search(rf"\b{re.escape(link)}\b", text) is not None
