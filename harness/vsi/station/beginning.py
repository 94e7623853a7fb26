"""How a station begins: its link comes up, then it and the switch agree."""

from __future__ import annotations

from harness.kernel import links
from harness.kernel.linkstate import link_state
from harness.kernel.netns import NetNS
from harness.vsi.events import Event, EventKind
from harness.vsi.facts import Dialect, EcpFrame
from harness.vsi.live import EvbSwitch, TapPort
from harness.vsi.station.lldpad import Station

__all__ = ["AGREED_WITHIN", "agreed", "begin_link"]

AGREED_WITHIN = 10.0
"""Seconds; lldpad sends its first LLDPDU after one."""


def begin_link(ns: NetNS, link: str, port: TapPort) -> None:
    """Bring a TAP up so that lldpad begins there.

    It does where a link's state is up; a TAP's is unknown before it was down once.
    """
    port.set_carrier(on=False)
    ns.rtnl.transact([links.set_link(link, index=link_state(ns, link).index, up=True)])
    port.set_carrier(on=True)


def agreed(switch: EvbSwitch, station: Station, *, since: int = 0) -> None:
    """Wait until a station and the switch have agreed. Raises SilenceError."""
    left = [_relay_is_on, _acknowledged][: 1 + (station.dialect is Dialect.DRAFT)]

    def seen(port: str, event: Event) -> bool:
        if port == station.link and left[0](event):
            del left[0]
        return not left

    switch.wait_for(seen, since=since, within=AGREED_WITHIN)


def _relay_is_on(event: Event) -> bool:
    return event.kind is EventKind.RELAY and event.text.endswith("on")


def _acknowledged(event: Event) -> bool:
    frame = event.frame
    return event.kind is EventKind.SENT and isinstance(frame, EcpFrame) and frame.acknowledge
