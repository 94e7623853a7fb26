"""Every path that is measured as a rule, and the one way to open any."""

from __future__ import annotations

from collections.abc import Callable

from harness.bench.ends import Path
from harness.bench.paths.alternatives import open_bridge_tap, open_bridge_veth
from harness.bench.paths.macvtap import open_macvtap, open_vhost
from harness.bench.paths.relatives import open_ipvlan, open_ipvtap, open_macvlan
from harness.bench.paths.spec import Carrier, PathSpec, Way
from harness.parts import LowerKind, Mode

__all__ = ["PATHS", "open_path"]

PATHS: tuple[PathSpec, ...] = (
    PathSpec(),
    PathSpec(mode=Mode.VEPA),
    PathSpec(mode=Mode.BRIDGE, to_mode=Mode.VEPA),
    PathSpec(mode=Mode.PRIVATE),
    PathSpec(way=Way.GUEST_TO_EXTERNAL),
    PathSpec(way=Way.EXTERNAL_TO_GUEST),
    PathSpec(way=Way.GUEST_TO_EXTERNAL, mode=Mode.PASSTHRU),
    PathSpec(way=Way.EXTERNAL_TO_GUEST, mode=Mode.PASSTHRU),
    PathSpec(way=Way.EXTERNAL_TO_GUEST, mode=Mode.SOURCE),
    PathSpec(lower=LowerKind.VLAN),
    PathSpec(lower=LowerKind.DUMMY),
    PathSpec(carrier=Carrier.BRIDGE_TAP),
    PathSpec(carrier=Carrier.BRIDGE_VETH),
    PathSpec(carrier=Carrier.MACVLAN),
    PathSpec(carrier=Carrier.IPVLAN),
    PathSpec(carrier=Carrier.IPVTAP),
    PathSpec(carrier=Carrier.VHOST),
)
"""macvtap between guests, macvtap and the world outside, other lower devices, the alternatives."""

_OPENERS: dict[Carrier, Callable[[PathSpec], Path]] = {
    Carrier.MACVTAP: open_macvtap,
    Carrier.BRIDGE_TAP: open_bridge_tap,
    Carrier.BRIDGE_VETH: open_bridge_veth,
    Carrier.MACVLAN: open_macvlan,
    Carrier.IPVLAN: open_ipvlan,
    Carrier.IPVTAP: open_ipvtap,
    Carrier.VHOST: open_vhost,
}


def open_path(spec: PathSpec) -> Path:
    """The path, live and ready. Use it in a `with` statement.

    Raises UnfitError, with the reason, where this kernel or account cannot have it, KernelError
    where the kernel refuses a part of it.
    """
    return _OPENERS[spec.carrier](spec)
