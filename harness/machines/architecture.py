"""The architectures that hairpin has virtual machines for."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Architecture"]


class Architecture(StrEnum):
    """Of a guest or a kernel: uname's word."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"

    @property
    def debian(self) -> str:
        """Dpkg's word."""
        return {Architecture.X86_64: "amd64", Architecture.AARCH64: "arm64"}[self]
