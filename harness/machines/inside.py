"""Whether we are ourselves the command of a machine: what may be done there and nowhere else.

A machine is gone when its command ends, and so is what it was made to do: drivers loaded,
hardware made up.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["in_machine"]

_PORT = "hairpin.status"


def in_machine(ports: Path = Path("/sys/class/virtio-ports")) -> bool:
    """Whether this machine has the port by which hairpin is told of its end."""
    return any(name.read_text().strip() == _PORT for name in ports.glob("*/name"))
