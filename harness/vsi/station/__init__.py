"""Real stations at our switch: lldpad, with libvirt and vdptool as its clients."""

from __future__ import annotations

from harness.vsi.station.bed import Attempt, StationBed
from harness.vsi.station.lldpad import Lldpad, Station
from harness.vsi.station.vdptool import ToldVsi, VdpTool

__all__ = ["Attempt", "Lldpad", "Station", "StationBed", "ToldVsi", "VdpTool"]
