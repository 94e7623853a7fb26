"""What a machine has besides its CPUs, its memory and what hairpin itself takes.

The command that runs in it loads the drivers: /dev, /sys and the modules are there.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PLAIN", "Hardware"]


@dataclass(frozen=True)
class Hardware:
    """A board, and what is plugged into it: arguments of QEMU."""

    board: str = "pc"
    devices: tuple[str, ...] = ()


PLAIN = Hardware()
"""A machine without network interfaces."""
