"""How a station begins: its link comes up, then it and the switch agree."""

from __future__ import annotations

from harness.errors import SilenceError
from harness.kernel import links
from harness.kernel.linkstate import link_state
from harness.kernel.netns import NetNS
from harness.kernel.waiting import look_until
from harness.vsi.events import Event, EventKind
from harness.vsi.facts import Dialect, EcpFrame
from harness.vsi.live import EvbSwitch, TapPort
from harness.vsi.station.lldpad import Lldpad, Station

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


def agreed(switch: EvbSwitch, lldpad: Lldpad, station: Station, *, since: int = 0) -> None:
    """Wait until a station and the switch have agreed, and lldpad takes requests for it.

    Reflective relay is what they agree upon last. In the draft lldpad then sends an ECPDU with
    nothing in it; in the ratified dialect it refuses requests (EPROTONOSUPPORT) until it has handed
    its VDP the timers, which it does with an LLDPDU after that. Raises SilenceError.
    """
    left = [_relay_is_on, _acknowledged][: 1 + (station.dialect is Dialect.DRAFT)]

    def seen(port: str, event: Event) -> bool:
        if port == station.link and left[0](event):
            del left[0]
        return not left

    switch.wait_for(seen, since=since, within=AGREED_WITHIN)
    if station.dialect is Dialect.RATIFIED:
        told = look_until(
            lambda: f"data_from_evb:{station.link} " in lldpad.log_of_now,
            bool,
            within=AGREED_WITHIN,
        )
        if not told:
            raise SilenceError(f"lldpad's VDP on {station.link} got no timers")


def _relay_is_on(event: Event) -> bool:
    return event.kind is EventKind.RELAY and event.text.endswith("on")


def _acknowledged(event: Event) -> bool:
    frame = event.frame
    return event.kind is EventKind.SENT and isinstance(frame, EcpFrame) and frame.acknowledge
