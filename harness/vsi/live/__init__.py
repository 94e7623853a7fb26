"""The EVB bridge at work: ports, a thread that serves them, and what it has seen.

station -- TAP or veth -- Port -.
station -- TAP or veth -- Port -+- EvbSwitch -- Port -- uplink (a trunk)
"""

from __future__ import annotations

from harness.vsi.live.known import KnownVsi
from harness.vsi.live.ports import PacketPort, Port, TapPort
from harness.vsi.live.switch import EvbSwitch
from harness.vsi.live.trace import Passed

__all__ = ["EvbSwitch", "KnownVsi", "PacketPort", "Passed", "Port", "TapPort"]
