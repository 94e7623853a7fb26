"""Macvtap on virtual functions: a NIC of this machine that has them, and what its PF decides."""

from __future__ import annotations

__all__: list[str] = []
