"""How a tiny guest is started: as a domain of libvirt, or by QEMU itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from lxml import etree

from harness.guests.document import Element
from harness.guests.domain import Domain, Interface, parse_domain
from harness.guests.tiny.image import Image
from harness.guests.tiny.wire import PORT
from harness.machines.accelerator import Accelerator
from harness.machines.architecture import Architecture

__all__ = ["MEMORY", "command_line", "qemu_arguments", "tiny_domain"]

MEMORY = 128
"""Mebibytes that the guest gets."""

# What saves time: no search for hardware that is not there, no self-tests, no waiting for RCU.
_QUIET = "quiet panic=-1 nokaslr mitigations=off cryptomgr.notests rcupdate.rcu_expedited=1"
_CONSOLES = {
    Architecture.X86_64: "console=ttyS0 8250.nr_uarts=1 tsc=reliable no_timer_check",
    Architecture.AARCH64: "console=ttyAMA0",
}
_MACHINES = {Architecture.X86_64: "pc", Architecture.AARCH64: "virt"}
_CPUS = {Architecture.X86_64: "qemu64", Architecture.AARCH64: "cortex-a57"}


def command_line(architecture: Architecture, more: str = "") -> str:
    """The kernel's command line, with `more` at its end."""
    return " ".join(x for x in (_CONSOLES[architecture], _QUIET, more) if x)


def tiny_domain(
    name: str,
    image: Image,
    interfaces: Sequence[Interface],
    *,
    agent_socket: str,
    console_log: str,
    uuid: UUID | None = None,
    accelerator: Accelerator | str = Accelerator.TCG,
    vcpus: int = 1,
    memory_mib: int = MEMORY,
    kernel_arguments: str = "",
) -> Domain:
    """The domain of a tiny guest.

    Its agent listens on the unix socket `agent_socket`, its console goes to `console_log`, both
    named as QEMU sees them; where empty, libvirt finds a place for the socket, and the console goes
    nowhere. Raises DomainError for what XML cannot say.
    """
    kvm = Accelerator(accelerator) is Accelerator.KVM
    root = etree.Element("domain", type=str(Accelerator(accelerator)))
    _add(root, "name", name)
    if uuid:
        _add(root, "uuid", str(uuid))
    _add(root, "memory", str(memory_mib), unit="MiB")
    _add(root, "vcpu", str(vcpus))
    system = _add(root, "os")
    machine = _MACHINES[image.architecture]
    _add(system, "type", "hvm", arch=str(image.architecture), machine=machine)
    _add(system, "kernel", str(image.kernel))
    _add(system, "initrd", str(image.initramfs))
    _add(system, "cmdline", command_line(image.architecture, kernel_arguments))
    if image.architecture is Architecture.X86_64:
        _add(_add(root, "features"), "acpi")
    if kvm:
        _add(root, "cpu", mode="host-passthrough")
    elif image.architecture is Architecture.AARCH64:
        # libvirt's default for virt, cortex-a15, has 32 bits.
        _add(_add(root, "cpu", mode="custom", match="exact"), "model", _CPUS[image.architecture])
    _devices(_add(root, "devices"), agent_socket, console_log)
    text = etree.tostring(root, encoding="unicode", pretty_print=True)
    return parse_domain(text, file=f"{name}.xml").with_interfaces(interfaces)


def _devices(devices: Element, agent_socket: str, console_log: str) -> None:
    if console_log:
        _add(_add(devices, "serial", type="file"), "source", path=console_log)
    else:
        _add(devices, "serial", type="null")
    channel = _add(devices, "channel", type="unix")
    place = {"path": agent_socket} if agent_socket else {}
    _add(channel, "source", mode="bind", **place)
    _add(channel, "target", type="virtio", name=PORT)
    _add(devices, "controller", type="usb", model="none")
    _add(devices, "memballoon", model="none")


def _add(parent: Element, tag: str, text: str | None = None, **attributes: str) -> Element:
    child = etree.SubElement(parent, tag, attributes)
    child.text = text
    return child


def qemu_arguments(
    image: Image,
    *,
    agent_socket: Path,
    console_log: Path,
    network: Sequence[str] = (),
    accelerator: Accelerator = Accelerator.TCG,
    memory_mib: int = MEMORY,
    kernel_arguments: str = "",
) -> list[str]:
    """A command that starts a tiny guest without libvirt.

    `network` are further arguments, such as `-netdev` and `-device virtio-net-pci`.
    """
    kvm = accelerator is Accelerator.KVM
    serial = f"socket,id=agent,path={agent_socket},server=on,wait=off"
    return [
        f"qemu-system-{image.architecture}",
        *("-accel", accelerator.qemu, "-machine", _MACHINES[image.architecture]),
        *("-cpu", "host" if kvm else _CPUS[image.architecture], "-m", str(memory_mib)),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs)),
        *("-append", command_line(image.architecture, kernel_arguments)),
        *("-serial", f"file:{console_log}", "-chardev", serial, "-device", "virtio-serial-pci"),
        *("-device", f"virtserialport,chardev=agent,name={PORT}"),
        *network,
    ]
