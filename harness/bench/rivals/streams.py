"""iperf3 and netperf on the same links, over the stacks of the two namespaces."""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import dataclass

from harness.bench.rivals.programs import parsed
from harness.bench.rivals.shared import SharedPath
from harness.bench.rivals.turns import Contestant, Figure, Load, Turn
from harness.kernel.processes import find_program
from harness.kernel.procnet import listening

__all__ = [
    "IPERF_TCP",
    "IPERF_UDP",
    "NETPERF",
    "IperfTcp",
    "IperfUdp",
    "NetperfTcp",
    "Stream",
    "parse_iperf_tcp",
    "parse_iperf_udp",
    "parse_netperf",
]

IPERF_TCP = "iperf3 TCP"
IPERF_UDP = "iperf3 UDP"
NETPERF = "netperf TCP_STREAM"

_UDP_HEADERS = 14 + 20 + 8  # bytes: Ethernet, IPv4, UDP
_IPERF_PORT = 5201
_NETPERF_PORT = 12865
_FIRST = 4e9  # bit/s, of which a first turn is counted
_LATE = 30.0  # seconds that a program may take beyond its turn's
_WHOLE = 1.0  # seconds from which on a turn is given in seconds, which programs count whole


@dataclass(frozen=True)
class Stream:
    """What came of a stream: rates per second at both ends, bits of payload at the receiver."""

    bits: float
    sent: float = 0.0
    received: float = 0.0


def parse_iperf_tcp(said: str) -> Stream:
    """What `iperf3 --json` says of TCP. Raises ValueError or KeyError."""
    return Stream(json.loads(said)["end"]["sum_received"]["bits_per_second"])


def parse_iperf_udp(said: str) -> Stream:
    """What `iperf3 --json` says of UDP, in datagrams. Raises ValueError or KeyError."""
    end = json.loads(said)["end"]
    # Older ones know one sum only, of what the receiver has told (before iperf 3.10 or so).
    received = end.get("sum_received") or end["sum"]
    sender = end.get("sum_sent") or end["sum"]
    arrived = received["packets"] - received["lost_packets"]
    seconds = received["seconds"]
    return Stream(
        bits=received["bits_per_second"],
        sent=sender["packets"] / sender["seconds"],
        received=arrived / seconds,
    )


def parse_netperf(said: str) -> Stream:
    """What `netperf -P 0 -v 0` says: 10^6 bit/s and nothing else. Raises ValueError."""
    return Stream(float(said) * 1e6)


class _Streaming(Contestant):
    """A server on b that is there for one turn, and a client on a."""

    figure: Figure
    programs: tuple[str, ...]
    port: int

    def __init__(self, path: SharedPath, load: Load) -> None:
        self.path = path
        self.load = load
        self.figures = {self.name: self.figure}
        self._rate = _FIRST

    def prepare(self) -> None:
        """See Contestant."""
        for program in self.programs:
            find_program(program)

    @abstractmethod
    def _server(self) -> list[str]: ...

    @abstractmethod
    def _client(self, length: list[str]) -> list[str]: ...

    @abstractmethod
    def _length(self, seconds: float) -> list[str]: ...

    @abstractmethod
    def _parse(self, said: str) -> Stream: ...

    def turn(self, seconds: float) -> Turn:
        """See Contestant."""
        with self.path.spawn("b", self._server()) as server:
            server.wait_until(listening(self.path.namespace("b"), self.port))
            arguments = self._client(self._length(seconds))
            with self.path.spawn("a", arguments) as client:
                finished = client.wait(seconds + _LATE).checked()
        stream = parsed(self._parse, finished, "stdout")
        self._rate = stream.bits or _FIRST
        lost = max(0.0, 1 - stream.received / stream.sent) if stream.sent else 0.0
        return Turn(stream.sent, stream.received, stream.bits, lost)

    def _bytes(self, seconds: float) -> int:
        return max(1 << 20, round(self._rate / 8 * seconds))


class _Iperf(_Streaming):
    programs = ("iperf3",)
    port = _IPERF_PORT

    def _server(self) -> list[str]:
        return ["iperf3", "--server", "--one-off", "--bind", self.path.ip("b")]

    def _client(self, length: list[str]) -> list[str]:
        return ["iperf3", "--client", self.path.ip("b"), "--json", *length]

    def _length(self, seconds: float) -> list[str]:
        if seconds >= _WHOLE:
            return ["--time", str(round(seconds))]
        return ["--bytes", str(self._bytes(seconds))]


class IperfTcp(_Iperf):
    """One TCP stream, as large as its segments come."""

    name = IPERF_TCP
    figure = Figure.GIGABITS

    def _parse(self, said: str) -> Stream:
        return parse_iperf_tcp(said)


class IperfUdp(_Iperf):
    """UDP as fast as it goes, in datagrams that fill the frame."""

    name = IPERF_UDP
    figure = Figure.RECEIVED

    def _client(self, length: list[str]) -> list[str]:
        size = str(self.load.length - _UDP_HEADERS)
        return super()._client([*length, "--udp", "--bitrate", "0", "--length", size])

    def _parse(self, said: str) -> Stream:
        return parse_iperf_udp(said)


class NetperfTcp(_Streaming):
    """netperf's TCP_STREAM."""

    name = NETPERF
    figure = Figure.GIGABITS
    programs = ("netperf", "netserver")
    port = _NETPERF_PORT

    def _server(self) -> list[str]:
        # In the foreground, no child for a test, no debugging file in /tmp.
        return ["netserver", "-D", "-f", "-N", "-4", "-L", self.path.ip("b")]

    def _client(self, length: list[str]) -> list[str]:
        return [
            "netperf",
            "-H",
            self.path.ip("b"),
            "-t",
            "TCP_STREAM",
            "-P",
            "0",
            "-v",
            "0",
            *length,
        ]

    def _length(self, seconds: float) -> list[str]:
        if seconds >= _WHOLE:
            return ["-l", str(round(seconds))]
        return ["-l", f"-{self._bytes(seconds)}"]  # negative: bytes

    def _parse(self, said: str) -> Stream:
        return parse_netperf(said)
