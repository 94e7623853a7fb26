"""A direct interface as virt-install and virt-xml spell it: the value of --network."""

from __future__ import annotations

from harness.guests import values
from harness.guests.nic import DirectInterface, VirtualPort

__all__ = ["network_option"]


def network_option(nic: DirectInterface) -> str:
    """What to write after ``--network`` for link, mode, MAC, model, target and virtual port.

    A MAC or model that is not there is left to the tool, which makes one up.
    """
    words = {
        "type": "direct",
        "source": nic.source,
        "source.mode": values.write_mode(nic.mode),
        "mac.address": nic.mac,
        "model.type": nic.model,
        "target.dev": nic.target,
        "mtu.size": nic.mtu or "",
        "driver.queues": nic.queues or "",
        "link.state": nic.link or "",
        **(_port(nic.virtualport) if nic.virtualport else {}),
    }
    return ",".join(f"{word}={_quoted(value)}" for word, value in words.items() if value != "")


def _quoted(value: object) -> str:
    return str(value).replace(",", ",,")  # as virtinst's parser takes a comma that parts nothing


def _port(port: VirtualPort) -> dict[str, object]:
    parameters = {
        "managerid": port.manager_id,
        "typeid": port.type_id,
        "typeidversion": port.type_version,
        "instanceid": port.instance_id,
        "interfaceid": port.interface_id,
        "profileid": port.profile_id or None,
    }
    given = {
        f"virtualport.parameters.{name}": value
        for name, value in parameters.items()
        if value is not None
    }
    return {"virtualport.type": port.type or "", **given}
