"""The requests that libvirt makes (src/util/virnetdevvportprofile.c), by what they are for."""

from __future__ import annotations

from uuid import UUID

from harness.kernel.portfacts import PORT_SELF_VF, PortProfileRequest, PortRequest, VsiType

__all__ = ["associate", "disassociate", "tell_lldpad"]


def associate(
    index: int,
    profile: str,
    *,
    mac: str,
    guest: UUID,
    host: UUID,
    vf: int = PORT_SELF_VF,
    migrating: bool = False,
) -> PortProfileRequest:
    """802.1Qbh, a guest starts (virNetDevVPortProfileOp8021Qbh): give the port its profile.

    `index` is that of the lower device; where that is a virtual function, of its physical function,
    and `vf` its number. A guest that is `migrating` here is only announced. Raises
    PortProfileError.
    """
    return PortProfileRequest(
        index=index,
        request=PortRequest.PREASSOCIATE_RR if migrating else PortRequest.ASSOCIATE,
        mac=mac,
        profile=profile,
        instance=guest,
        host=host,
        vf=vf,
        listed=vf != PORT_SELF_VF,
    )


def disassociate(index: int, *, vf: int = PORT_SELF_VF) -> PortProfileRequest:
    """802.1Qbh, a guest has ended, or was not associated in 10 s: take the port its profile."""
    return PortProfileRequest(
        index=index, request=PortRequest.DISASSOCIATE, vf=vf, listed=vf != PORT_SELF_VF
    )


def tell_lldpad(
    index: int,
    link: str,
    request: PortRequest,
    *,
    mac: str,
    vsi_type: VsiType,
    instance: UUID,
    vlan: int = 0,
) -> PortProfileRequest:
    """802.1Qbg (virNetDevVPortProfileOp8021Qbg): the same message, to lldpad.

    `vlan` is that of the VLAN device below the macvtap; where there is none libvirt says 0, the
    null VID. Raises PortProfileError.
    """
    return PortProfileRequest(
        index=index,
        request=request,
        link=link,
        mac=mac,
        vlan=vlan,
        vsi_type=vsi_type,
        instance=instance,
        listed=True,
    )
