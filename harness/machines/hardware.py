"""What a machine has besides its CPUs, its memory and what hairpin itself takes.

The command that runs in it loads the drivers: /dev, /sys and the modules are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["PLAIN", "SRIOV", "SRIOV_OUTSIDE", "SRIOV_PF", "Hardware", "Nic", "wire_mac", "wired"]


@dataclass(frozen=True)
class Hardware:
    """A board, and what is plugged into it: arguments of QEMU.

    Where `model` is given, it takes a QEMU that has that device.
    """

    board: str = "pc"
    devices: tuple[str, ...] = ()
    model: str = ""


PLAIN = Hardware()
"""A machine without network interfaces."""


class Nic(StrEnum):
    """A network interface that QEMU has: its model, named as QEMU names it."""

    E1000 = "e1000"
    E1000E = "e1000e"
    RTL8139 = "rtl8139"
    VIRTIO = "virtio-net"
    VMXNET3 = "vmxnet3"


def wire_mac(number: int) -> str:
    """The address of the n-th network interface on a machine's wire, n from 1."""
    return f"02:68:70:0d:00:{number:02x}"


def wired(nics: Sequence[Nic]) -> Hardware:
    """Network interfaces on one wire, on which each hears all that the others send (QEMU's hub).

    The n-th has the address `wire_mac(n)`.
    """
    said: list[str] = []
    for number, nic in enumerate(nics, 1):
        said += ["-netdev", f"hubport,id=wire{number},hubid=0"]
        # Without a boot ROM, whose files are a package of their own.
        said += ["-device", f"{nic},netdev=wire{number},mac={wire_mac(number)},romfile="]
    return Hardware(devices=tuple(said))


_PORT, _OUTSIDE = 0x10, 0x11  # places on the board's bus that are not given out by themselves
SRIOV_PF, SRIOV_OUTSIDE = "0000:01:00.0", f"0000:00:{_OUTSIDE:02x}.0"
"""Where the two interfaces of `SRIOV` are: addresses on the PCI bus."""

SRIOV = Hardware(
    board="q35",  # whose bus is PCI Express, which SR-IOV is a capability of
    devices=(
        *("-device", f"pcie-root-port,id=express,addr={_PORT:#x},chassis=1"),
        *("-netdev", "hubport,id=inside,hubid=0", "-netdev", "hubport,id=outside,hubid=0"),
        # Without a ROM: nobody boots from them.
        *("-device", "igb,bus=express,netdev=inside,mac=02:68:70:04:00:01,romfile="),
        "-device",
        f"virtio-net-pci,addr={_OUTSIDE:#x},netdev=outside,mac=02:68:70:04:00:02,romfile=",
    ),
    model="igb",
)
"""An Intel 82576, which has seven virtual functions, and another interface on the same wire."""
