"""What the kernel must show of a guest's macvtap, once libvirt has started the guest."""

from __future__ import annotations

from dataclasses import dataclass

from harness.guests.nic import DirectInterface, LinkState
from harness.parts import Mode

__all__ = ["Expected", "expected"]

_GENERATED = ("macvtap", "macvlan", "vnet")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A macvtap on the link `lower`.

    `name` is empty where libvirt makes one up (macvtap0 and so on), `mac` where it makes up an
    address; `mtu` is None where it is that of `lower` (macvlan_common_newlink). `lower_mac` is
    the address that `lower` is given: that of the guest in passthrough, for a macvtap has its
    link's there (virNetDevSetNetConfig, macvlan_common_newlink); otherwise empty, which is its
    own. `promiscuity` is what the macvtap adds to that of `lower` (macvlan_open), apart from the
    one that dev_uc_add brings to a link which cannot filter. The link is `up` also where the
    guest sees no `carrier`: libvirt takes that away inside QEMU. `queues` are those that QEMU
    opens.
    """

    lower: str
    mode: Mode
    name: str = ""
    mac: str = ""
    mtu: int | None = None
    up: bool = True
    carrier: bool = True
    lower_mac: str = ""
    promiscuity: int = 0
    queues: int = 1


def expected(interface: DirectInterface) -> Expected:
    """What must be seen of `interface`, before the guest changes anything itself.

    With trustGuestRxFilters address and filters follow the guest later.
    """
    through = interface.mode is Mode.PASSTHRU
    generated = interface.target.startswith(_GENERATED)
    virtio = interface.model.startswith("virtio")
    return Expected(
        lower=interface.source,
        mode=interface.mode,
        name="" if generated else interface.target,
        mac=interface.mac,
        mtu=interface.mtu,
        carrier=interface.link is not LinkState.DOWN,
        lower_mac=interface.mac if through else "",
        promiscuity=int(through),
        queues=interface.queues or 1 if virtio else 1,
    )
