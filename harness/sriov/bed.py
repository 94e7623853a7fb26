"""Who sends and hears at a NIC with virtual functions.

    p0 [tap] --- vf0 --.
    p1 [tap] --- vf1 --+ NIC ------- wire ------- outside [socket]
    pf [socket] -- PF --'

"Not received" is proved as everywhere: a broadcast from the sender, behind its frame, has come out
at the outside, so that the NIC has switched what stood before it; and then one from there, with
the tag of its VLAN, has come in at each observer, which has one queue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from itertools import count

from harness.errors import DifferenceError
from harness.frames import Frame, Kind, Tag, payload
from harness.kernel.taps import Tap
from harness.kernel.waiting import look_until
from harness.parts import BROADCAST_MAC
from harness.sriov.nic import SriovNic
from harness.testbed.raw import LinkEnd, RawEnd, TapEnd, marker

__all__ = ["GROUP_MAC", "UNKNOWN_MAC", "SriovBed"]

GROUP_MAC, UNKNOWN_MAC = "03:68:70:04:7f:12", "02:68:70:04:00:99"
"""A group that nobody has joined by itself, and an address that nobody has.

The NIC tells groups apart by 12 bits of their last two octets (igb_hash_mc_addr): these are not
those of 224.0.0.1, which every link's own stack has joined.
"""

_PASSES_WITHIN = 60.0  # seconds; a VF comes back two after its PF, emulated it takes longer
_PROBE_WITHIN = 0.3
_SILENT_FOR = 0.5
_TPIDS = (b"\x81\x00", b"\x88\xa8")
_idents = count(1)


class SriovBed(SriovNic):
    """A SriovNic whose stations send and hear: macvtaps, ``pf``, the PF's own link, ``outside``."""

    def __init__(self, pf: str, outside: str) -> None:
        self._ends: dict[str, RawEnd] = {}
        super().__init__(pf, outside)

    def hang_up(self) -> None:
        """Close every end; they are opened anew when they are asked for."""
        while self._ends:
            self._ends.popitem()[1].close()

    def delete(self, name: str) -> None:
        """See SriovNic."""
        if name in self._ends:
            self._ends.pop(name).close()
        super().delete(name)

    def tidy(self) -> None:
        """See SriovNic."""
        self.hang_up()
        super().tidy()

    def close(self) -> None:
        """See SriovNic."""
        self.hang_up()
        super().close()

    @property
    def stations(self) -> tuple[str, ...]:
        """Who sends and hears: macvtaps, pf for the link of the PF, outside."""
        return (*self.macvtaps, "pf", "outside")

    def end(self, station: str) -> RawEnd:
        """The end of a station. Raises KernelError."""
        if station not in self._ends:
            if station == "outside":
                end: RawEnd = LinkEnd(self.outside_ns, self.outside, alias=station)
            elif station == "pf":
                end = LinkEnd(self.ns, self.pf, alias=station)
            else:
                end = _ClosingTapEnd(Tap.open(self.ns, station))
            self._ends[station] = end
        return self._ends[station]

    def mac(self, station: str) -> str:
        """The address of a station; an address stays what it is."""
        link = {"pf": self.pf, "outside": self.outside}.get(station, station)
        return station if ":" in station else self.state(link).mac

    def _tci(self, station: str) -> int:
        """The tag control information of a station on the wire (IEEE 802.1Q, 9.6), 0 for no tag.

        It is the PF that has put the station's VF into that VLAN, with that priority.
        """
        number = station.removeprefix("p")
        if not number.isdigit():
            return 0
        vf = self.vf(int(number))
        return vf.qos << 13 | vf.vlan

    def seen(
        self,
        sender: str,
        to: str,
        *,
        vid: int = 0,
        source: str = "",
        without: Collection[str] = (),
        proof: bool = True,
    ) -> Mapping[str, int]:
        """Send a frame, with a tag where `vid` is given: who has how many copies.

        A copy with tags counts for itself: ``{"outside tagged 100": 1}``. Who has none is left
        out, and those `without` which are not asked. Without `proof`, for a NIC that lets nothing
        pass, a deadline decides. Raises DifferenceError when a marker does not arrive.
        """
        ends = {x: self.end(x) for x in self.stations if x not in without}
        for end in ends.values():
            end.waiting()  # what nobody has asked for before
        body = payload(Kind.STIMULUS, next(_idents))
        tags = (Tag(vid),) if vid else ()
        frame = Frame(self.mac(to), source or self.mac(sender), payload=body, tags=tags)
        ends[sender].send(frame.to_bytes())
        arrived = self._proved(sender, ends) if proof else _silent(ends)
        untagged = replace(frame, tags=()).to_bytes()
        copies = Counter(
            f"{station}{_tags(x)}"
            for station, frames in arrived.items()
            for x in frames
            if x[:12] == untagged[:12] and x.endswith(untagged[12:])
        )
        return dict(copies)

    def _proved(self, sender: str, ends: Mapping[str, RawEnd]) -> Mapping[str, list[bytes]]:
        tcis = {station: self._tci(station) for station in ends}
        arrived: dict[str, list[bytes]] = {}
        if sender != "outside":
            mark = marker(BROADCAST_MAC, src=self.mac(sender))
            ends[sender].send(mark)
            arrived["outside"] = ends["outside"].until(_tagged(mark, tcis[sender]))
        inside = [station for station in ends if station != "outside"]
        marks = {}
        for tci in {tcis[station] for station in inside}:
            marks[tci] = marker(BROADCAST_MAC, src=self.mac("outside"))
            ends["outside"].send(_tagged(marks[tci], tci))
        for station in inside:
            arrived[station] = ends[station].until(marks[tcis[station]])
        return arrived

    def settle(self, *stations: str) -> None:
        """Wait until frames pass between each of these and the outside, both ways.

        Raises DifferenceError when they do not.
        """
        for station in stations:
            if not look_until(partial(self._passes, station), bool, within=_PASSES_WITHIN):
                raise DifferenceError(f"no frames pass between {station} and the outside")

    def _passes(self, station: str) -> bool:
        for sender, receiver in ((station, "outside"), ("outside", station)):
            plain = marker(BROADCAST_MAC, src=self.mac(sender))
            tagged = _tagged(plain, self._tci(station))
            sent, comes = (tagged, plain) if sender == "outside" else (plain, tagged)
            self.end(sender).send(sent)
            try:
                self.end(receiver).until(comes, seconds=_PROBE_WITHIN)
            except DifferenceError:
                return False
        return True


class _ClosingTapEnd(TapEnd):
    """The end of a tap that is closed with it."""

    def __init__(self, tap: Tap) -> None:
        super().__init__(tap)
        self.tap = tap

    def close(self) -> None:
        """Close the tap."""
        self.tap.close()


def _silent(ends: Mapping[str, RawEnd]) -> Mapping[str, list[bytes]]:
    """What comes until nothing has come for a while."""
    arrived: dict[str, list[bytes]] = {station: [] for station in ends}

    def look() -> int:
        new = {station: end.waiting() for station, end in ends.items()}
        for station, frames in new.items():
            arrived[station] += frames
        return sum(map(len, new.values()))

    while look_until(look, bool, within=_SILENT_FOR):
        pass
    return arrived


def _tagged(frame: bytes, tci: int) -> bytes:
    return frame[:12] + b"\x81\x00" + tci.to_bytes(2, "big") + frame[12:] if tci else frame


def _tags(frame: bytes) -> str:
    """The tags of a frame in words: `` tagged 100 priority 3, 7``, the outermost first."""
    said = []
    at = 12
    while frame[at : at + 2] in _TPIDS:
        tci = int.from_bytes(frame[at + 2 : at + 4], "big")
        said.append(f"{tci & 0xFFF}" + f" priority {tci >> 13}" * bool(tci >> 13))
        at += 4
    return f" tagged {', '.join(said)}" if said else ""
