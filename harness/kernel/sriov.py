"""Virtual functions of a network interface: sysfs makes them, rtnetlink sets what the PF decides.

/sys/bus/pci/devices/0000:01:00.0/   the physical function, PF
    sriov_totalvfs  sriov_numvfs       how many there can be, and are
    virtfn0 -> ../0000:01:10.0         virtual functions, VFs, each a PCI device
    net/eth1                           its link, in the namespace that this sysfs shows
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import KernelError, UnfitError, UsageError
from harness.kernel.links.message import set_request
from harness.kernel.netlink import Request
from harness.kernel.netns import NetNS
from harness.kernel.processes import run_here
from harness.kernel.waiting import look_until

__all__ = [
    "NO_MAC",
    "PciDevice",
    "VfState",
    "find_pci_device",
    "set_vf",
    "vf_states",
]

NO_MAC = "00:00:00:00:00:00"
"""As the address that the PF gives a VF: none, the VF chooses its own."""

_DEVICES = Path("/sys/bus/pci/devices")
_MODPROBE = Path("/proc/sys/kernel/modprobe")  # the program that the kernel itself calls
_QEMU = ("0x1af4", "0x1100")  # subsystem of what QEMU emulates (PCI_SUBDEVICE_ID_QEMU)
_LOADED_WITHIN = 60.0  # seconds
_LINK_WITHIN = 20.0


@dataclass(frozen=True, slots=True)
class PciDevice:
    """A device on the PCI bus, by its address there (``0000:01:00.0``)."""

    address: str

    @property
    def _folder(self) -> Path:
        return _DEVICES / self.address

    def _read(self, name: str) -> str:
        try:
            return (self._folder / name).read_text().strip()
        except FileNotFoundError:
            return ""

    @property
    def emulated(self) -> bool:
        """Whether it is one of QEMU's own."""
        return (self._read("subsystem_vendor"), self._read("subsystem_device")) == _QEMU

    @property
    def driver(self) -> str:
        """The name of its driver, "" without one."""
        link = self._folder / "driver"
        return link.resolve().name if link.exists() else ""

    @property
    def most_functions(self) -> int:
        """How many VFs it can have; 0 for one that is no PF."""
        return int(self._read("sriov_totalvfs") or 0)

    @property
    def functions(self) -> tuple[PciDevice, ...]:
        """Its VFs that there are, by number."""
        count = int(self._read("sriov_numvfs") or 0)
        found = (self._folder / f"virtfn{number}" for number in range(count))
        return tuple(PciDevice(x.resolve().name) for x in found)

    def set_functions(self, count: int) -> None:
        """Have `count` VFs; from some to others it goes by way of none. Raises KernelError."""
        try:
            (self._folder / "sriov_numvfs").write_text(str(count))
        except OSError as error:
            purpose = f"have {count} virtual functions of {self.address}"
            raise KernelError(purpose, error.errno or 0) from error

    def load_driver(self) -> None:
        """Load its driver where it has none, as udev would. Raises CommandError, UnfitError."""
        self._load(self._folder)
        for below in self._folder.glob("virtio*/"):  # a device of its own, on virtio's bus
            self._load(below)

    @staticmethod
    def _load(folder: Path) -> None:
        if not (folder / "driver").exists():
            alias = (folder / "modalias").read_text().strip()
            run_here((_MODPROBE.read_text().strip(), alias), timeout=_LOADED_WITHIN).checked()

    def link(self) -> str:
        """The name of its link, once its driver has made it; in our own namespace.

        Raises KernelError (ENODEV) where it makes none.
        """
        patterns = ("net/*", "virtio*/net/*")
        found = look_until(
            lambda: [x.name for pattern in patterns for x in self._folder.glob(pattern)],
            bool,
            within=_LINK_WITHIN,
        )
        if not found:
            what = f"find the link of {self.address}"
            raise KernelError(what, errno.ENODEV, f"driver: {self.driver or 'none'}")
        return found[0]


def find_pci_device(word: str) -> PciDevice:
    """The device that `word` means: an address on the PCI bus, or a link of our namespace.

    Raises UsageError where there is none.
    """
    if (_DEVICES / word).is_dir():
        return PciDevice(word)
    device = Path("/sys/class/net") / word / "device"
    if device.exists():
        place = device.resolve()
        for folder in (place, place.parent):
            if (_DEVICES / folder.name).exists():
                return PciDevice(folder.name)
    raise UsageError(f"{word} is no link of this machine that is on a PCI bus, and no device there")


# ---------------------------------------------------------------------- what the PF decides


@dataclass(frozen=True, slots=True)
class VfState:
    """A VF as its PF has it (rtnl_fill_vfinfo, net/core/rtnetlink.c); `vlan` 0 is none."""

    number: int
    mac: str
    vlan: int
    qos: int
    spoofchk: bool
    trust: bool


def vf_states(ns: NetNS, pf: str) -> tuple[VfState, ...]:
    """The VFs of the link `pf`, by number. Raises KernelError, UnfitError where it has none."""
    listed = ns.rtnl.link(pf, ports=True).get_attr("IFLA_VFINFO_LIST")
    if listed is None:
        raise UnfitError(f"{pf} has no virtual functions", remedy="write to its sriov_numvfs")
    return tuple(_state(x) for x in listed.get_attrs("IFLA_VF_INFO"))


def _state(info: Any) -> VfState:
    vlan = info.get_attr("IFLA_VF_VLAN")
    return VfState(
        number=info.get_attr("IFLA_VF_MAC")["vf"],
        mac=info.get_attr("IFLA_VF_MAC")["mac"],
        vlan=vlan["vlan"],
        qos=vlan["qos"],
        spoofchk=bool(info.get_attr("IFLA_VF_SPOOFCHK")["spoofchk"]),
        trust=bool(info.get_attr("IFLA_VF_TRUST")["trust"]),
    )


def set_vf(
    pf: str,
    number: int,
    *,
    index: int,
    mac: str | None = None,
    vlan: int | None = None,
    qos: int = 0,
    spoofchk: bool | None = None,
    trust: bool | None = None,
) -> Request:
    """Set a VF through its PF, which has `index`: do_setvfinfo, net/core/rtnetlink.c.

    What is None stays as it is.
    """
    asked: list[tuple[str, dict[str, object]]] = []
    if mac is not None:
        asked.append(("IFLA_VF_MAC", {"vf": number, "mac": mac}))
    if vlan is not None:
        asked.append(("IFLA_VF_VLAN", {"vf": number, "vlan": vlan, "qos": qos}))
    if spoofchk is not None:
        asked.append(("IFLA_VF_SPOOFCHK", {"vf": number, "spoofchk": int(spoofchk)}))
    if trust is not None:
        asked.append(("IFLA_VF_TRUST", {"vf": number, "trust": int(trust)}))
    listed = [("IFLA_VF_INFO", {"attrs": asked})]
    attributes = [("IFLA_VFINFO_LIST", {"attrs": listed})]
    return set_request(f"set VF {number} of {pf}: {_words(asked)}", attributes, index=index)


def _words(asked: Iterable[tuple[str, dict[str, object]]]) -> str:
    said = []
    for name, values in asked:
        rest = " ".join(f"{x} {y}" for x, y in values.items() if x != "vf")
        said.append(rest or name)
    return ", ".join(said)
