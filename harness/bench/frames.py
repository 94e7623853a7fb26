"""The frames of a benchmark: so many bytes, or GSO."""

from __future__ import annotations

from harness.kernel.engine import FRAME_CHECK, FrameSpec
from harness.kernel.gso import LargeFrame
from harness.kernel.vnet import Gso

__all__ = ["GSO", "GSO_PAYLOAD", "frames_of"]

GSO = "GSO"
"""A TCP frame of 64 KB that a receiver with offloads takes whole."""

_SEGMENT = 1448  # bytes of payload
# As many as TCP puts into one frame: 64 KiB with its headers would be too long for a link's
# gso_max_size, and be cut up on its way (gso_features_check).
GSO_PAYLOAD = 45 * _SEGMENT
"""Bytes of TCP payload in one."""


def frames_of(
    frame: str,
    *,
    targets: tuple[bytes, ...],
    sources: tuple[bytes, ...],
    header: int,
    flows: int = 0,
) -> FrameSpec:
    """Frames of `frame` bytes with their check sequence (RFC 2544, 9.1), or GSO.

    `header` is the size of the virtio-net header before each; see FrameSpec for the rest.
    """
    if frame != GSO:
        return FrameSpec(targets, sources, int(frame) - FRAME_CHECK, bytes(header), flows)
    target, source = (addresses[0].hex(":") for addresses in (targets, sources))
    large = LargeFrame(target, source, gso=Gso.TCPV4, length=GSO_PAYLOAD, segment=_SEGMENT)
    return FrameSpec(
        targets, sources, len(large.frame), large.header.pack(header), body=large.frame
    )
