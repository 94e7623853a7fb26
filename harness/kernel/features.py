"""What this kernel can do, found by trying it in a namespace of its own."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from harness.behaviours import Behaviours
from harness.errors import KernelError, UnfitError
from harness.kernel.behaving import behaviours
from harness.kernel.links import add_bridge, add_dummy, add_macvtap, add_veth, add_vlan
from harness.kernel.netlink import Request
from harness.kernel.netns import NetNS
from harness.kernel.taps import Tap
from harness.parts import Guest, LowerKind, Mode
from harness.topology import Topology

__all__ = ["Backend", "Features", "missing_for", "probe", "require"]


class Backend(StrEnum):
    """What stands for a guest's end."""

    TAP = "tap"  # a tap descriptor, as a hypervisor uses it
    PACKET = "packet"  # a packet socket on the macvtap link


@dataclass(frozen=True)
class Features:
    """What was found. `missing` maps what is not there (``dummy``) to the kernel's answer."""

    kernel: str
    machine: str
    backend: Backend
    backend_reason: str
    missing: Mapping[str, str]
    behaviours: Behaviours


_ADVICE = {
    "macvtap": "CONFIG_MACVTAP",
    "veth": "CONFIG_VETH",
    "bridge": "CONFIG_BRIDGE",
}
_LOWER, _PEER, _BRIDGE, _MACVTAP, _DUMMY, _VLAN, _FILTERING, _NODST = range(10, 18)


@cache
def probe() -> Features:
    """Try everything once. Raises UnfitError when not even a namespace can be made."""
    try:
        ns = NetNS.create()
    except KernelError as error:
        raise UnfitError(
            f"no network namespace can be made ({error})",
            remedy="run as root (sudo), on a kernel with CONFIG_NET_NS",
        ) from error
    guest = Guest("macvtap", Mode.BRIDGE, mac="02:68:70:01:00:01", bcqueuelen=999, bc_cutoff=2)
    attempts: dict[str, Request] = {
        "veth": add_veth("veth", index=_LOWER, peer="peer", peer_index=_PEER),
        "bridge": add_bridge("bridge", index=_BRIDGE),
        "macvtap": add_macvtap(guest, index=_MACVTAP, lower=_LOWER),
        "dummy": add_dummy("dummy", index=_DUMMY),
        "vlan": add_vlan("vlan", index=_VLAN, parent=_LOWER, vlan=5),
        "vlan filtering": add_bridge("filtering", index=_FILTERING, vlan_filtering=True),
    }
    with ns:
        missing = {}
        for name, request in attempts.items():
            try:
                ns.rtnl.transact([request])
            except KernelError as error:
                missing[name] = error.detail or str(error)
        if "macvtap" not in missing:
            missing |= _unknown_attributes(ns)
            missing |= _without_nodst(ns)
        backend, reason = _try_tap(ns) if "macvtap" not in missing else (Backend.PACKET, "")
    system = os.uname()
    able = not {"veth", "macvtap"} & set(missing)
    ways = behaviours() if able else frozenset()
    return Features(system.release, system.machine, backend, reason, missing, ways)


def _unknown_attributes(ns: NetNS) -> dict[str, str]:
    """Attributes of macvlan that this kernel takes without a word and does not have.

    The broadcast queue's length came with Linux 5.11, the cutoff with 6.4.
    """
    (link,) = [x for x in ns.rtnl.links() if x.get_attr("IFLA_IFNAME") == "macvtap"]
    data = link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    wanted = {
        "bcqueuelen": ("IFLA_MACVTAP_BC_QUEUE_LEN", 999),
        "bc_cutoff": ("IFLA_MACVTAP_BC_CUTOFF", 2),
    }
    return {
        name: "macvlan ignores it"
        for name, (attribute, value) in wanted.items()
        if data.get_attr(attribute) != value
    }


def _without_nodst(ns: NetNS) -> dict[str, str]:
    """Frames for a source-mode guest alone: 427f0c8c194b (Linux 5.13), and kernels that took it."""
    guest = Guest("nodst", Mode.SOURCE, mac="02:68:70:01:00:02", nodst=True)
    try:
        ns.rtnl.transact([add_macvtap(guest, index=_NODST, lower=_LOWER)])
    except KernelError as error:
        return {"nodst": str(error)}
    return {}


def _try_tap(ns: NetNS) -> tuple[Backend, str]:
    try:
        with Tap.open(ns, "macvtap"):
            return Backend.TAP, "tap descriptors can be opened"
    except KernelError as error:
        reason = str(error)
        if error.errno in (errno.EPERM, errno.EACCES):
            reason = "device nodes cannot be made or opened here (that takes root)"
    except OSError as error:
        reason = f"no detached sysfs or tmpfs mount ({error.strerror})"
    return Backend.PACKET, reason


def missing_for(topology: Topology, features: Features) -> str:
    """Why this kernel cannot build `topology`; empty when it can."""
    kinds = {lower.kind for lower in topology.lowers}
    needs = {
        "dummy": LowerKind.DUMMY in kinds,
        "vlan": LowerKind.VLAN in kinds,
        "vlan filtering": any(x.vlan_filtering for x in topology.switches),
        "bcqueuelen": any(g.bcqueuelen is not None for g in topology.guests),
        "nodst": any(g.nodst for g in topology.guests),
        "bc_cutoff": any(g.bc_cutoff is not None for g in topology.guests),
    }
    lacking = [name for name, needed in needs.items() if needed and name in features.missing]
    return f"this kernel has no {' and no '.join(lacking)}" if lacking else ""


def require(features: Features) -> None:
    """Raise UnfitError, with what to do, when the kernel lacks what every topology needs."""
    for name, option in _ADVICE.items():
        if name in features.missing:
            raise UnfitError(
                f"this kernel ({features.kernel}) has no {name} ({features.missing[name]})",
                remedy=f"load the module (modprobe {name}) or use a kernel with {option}",
            )
