"""Network interfaces that are hardware, or that a machine takes for it: found by their drivers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.kernel.processes import run_here

__all__ = ["HardwareLink", "hardware_links", "load_drivers"]

_NETWORK = "0x02"  # what a PCI device's class begins with
_LOADING = 60.0  # seconds


@dataclass(frozen=True)
class HardwareLink:
    """A link with a device beneath it: its name, its address, and the driver (``e1000e``)."""

    name: str
    mac: str
    driver: str


def load_drivers() -> None:
    """Load the drivers of all network devices on PCI, as udev does. Only where that harms nobody.

    Raises UnfitError where there is no modprobe, CommandError when it does not end.
    """
    nics = [x for x in _devices("pci") if (x / "class").read_text().startswith(_NETWORK)]
    _load(nics)
    if nics:  # those of virtio have a bus of their own, which is there now
        _load(_devices("virtio"))


def _devices(bus: str) -> list[Path]:
    return sorted(Path(f"/sys/bus/{bus}/devices").glob("*"))


def _load(devices: list[Path]) -> None:
    if aliases := [(device / "modalias").read_text().strip() for device in devices]:
        run_here(["modprobe", "-qa", *aliases], timeout=_LOADING)


def hardware_links() -> list[HardwareLink]:
    """Those of the namespace that /sys shows, by name."""
    return [
        HardwareLink(link.name, (link / "address").read_text().strip(), driver.resolve().name)
        for link in sorted(Path("/sys/class/net").glob("*"))
        if (driver := link / "device/driver").exists()
    ]
