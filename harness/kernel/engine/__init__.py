"""The frame engine: descriptors, prepared memory and batches, at the kernel's own rate.

A sender sends the frames of a pool; a receiver says how many have come. Between the two calls
of a batch the interpreter does nothing for a frame.
"""

from __future__ import annotations

from harness.kernel.engine.choice import engine_name, make_receiver, make_sender
from harness.kernel.engine.pool import ETHERTYPE, FRAME_CHECK, SOURCE_IP, TARGET_IP, FrameSpec, Pool
from harness.kernel.engine.receivers import ReadReceiver, Receiver, UringReceiver
from harness.kernel.engine.rings import BlockReceiver, RingSender
from harness.kernel.engine.senders import Sender, UringSender, WriteSender
from harness.kernel.engine.vhost import VHOST_NODE, VhostReceiver, VhostSender

__all__ = [
    "ETHERTYPE",
    "FRAME_CHECK",
    "SOURCE_IP",
    "TARGET_IP",
    "VHOST_NODE",
    "BlockReceiver",
    "FrameSpec",
    "Pool",
    "ReadReceiver",
    "Receiver",
    "RingSender",
    "Sender",
    "UringReceiver",
    "UringSender",
    "VhostReceiver",
    "VhostSender",
    "WriteSender",
    "engine_name",
    "make_receiver",
    "make_sender",
]
