"""The agent of one guest, as its host sees it.

with Agent.connect(socket, within=10) as agent:
nic = agent.hello.nics[0].name
agent.change(nic, up=True, address="192.0.2.1/24")
with agent.capture(nic) as capture:
other.send(nic, [frame, sentinel])
assert capture.read(tail=sentinel).frames == (frame, sentinel)
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from harness.errors import GuestError
from harness.guests.tiny.answers import (
    CardFacts,
    Ended,
    Frames,
    Hello,
    Ping,
    Sent,
    Stop,
    Transfer,
)
from harness.guests.tiny.channel import Channel
from harness.resource import Resource

if TYPE_CHECKING:  # the guest has no `typing` to make it with
    from harness.guests.tiny.wire import Fields

__all__ = ["Agent", "Capture", "Command", "Listener"]

_WITHIN = 10.0  # seconds for what takes milliseconds, on a busy machine under TCG
_LONG_READ = 65536


class Agent(Resource):
    """A guest that answers. Use `Agent.connect()` in a `with` statement.

    Every request raises GuestError when the guest refuses, does not answer `within` so many
    seconds, or is gone. Where a request itself takes `seconds`, these are on top.
    """

    def __init__(self, channel: Channel, hello: Hello) -> None:
        self._channel = channel
        self.hello = hello

    @classmethod
    def connect(cls, path: Path | str, *, within: float) -> Self:
        """Connect to the unix socket of the guest's port, and wait until its agent answers.

        The path may be long, and lie in another mount namespace (/proc/PID/root/…).
        """
        channel = Channel.connect(Path(path), within=within)
        try:
            return cls(channel, _hello(channel.greet(within=within)))
        except BaseException:
            channel.close()
            raise

    def renew(self, *, within: float) -> Hello:
        """Greet anew: after a reboot, which leaves the connection but not the session.

        Until the guest is down its old agent may answer still: `Hello.boot` tells.
        """
        self.hello = _hello(self._channel.greet(within=within))
        return self.hello

    def ask(self, request: str, *, within: float = _WITHIN, **fields: Any) -> Fields:
        """Any request, as docs/guest-agent.md has it."""
        return self._channel.ask(request, within=within, **fields)

    def close(self) -> None:
        """Disconnect; captures, listeners and commands in the guest go on. Idempotent."""
        self._channel.close()

    # ------------------------------------------------------------------ network cards

    def nics(self) -> tuple[CardFacts, ...]:
        """The network cards as they are now."""
        self.hello = _hello(self.ask("hello"))
        return self.hello.nics

    def nic(self, mac: str) -> CardFacts:
        """The card with that MAC, as it is now."""
        for nic in self.nics():
            if nic.mac == mac.lower():
                return nic
        raise GuestError(self._channel.guest, "nic", f"no network card has the MAC {mac}")

    def change(
        self,
        nic: str,
        *,
        up: bool | None = None,
        address: str | None = None,
        mac: str | None = None,
        mtu: int | None = None,
        flush: bool = False,
        ipv6: bool | None = None,
    ) -> CardFacts:
        """Change what is given of a card, called by its name or MAC; what it is then.

        `address` is IPv4 with its prefix length, "" for none; `flush` forgets all neighbours;
        `ipv6` lets it configure itself, which it is kept from by default.
        """
        wanted: dict[str, Any] = {
            "up": up,
            "address": address,
            "mac": mac,
            "mtu": mtu,
            "ipv6": ipv6,
        }
        return CardFacts(**_any(self.ask("change", nic=nic, flush=flush, **wanted)))

    def add_neighbour(self, nic: str, address: str, mac: str) -> None:
        """A permanent neighbour entry, for which nobody is asked."""
        self.ask("neighbour", nic=nic, address=address, mac=mac)

    # ------------------------------------------------------------------ frames

    def send(self, nic: str, frames: Sequence[bytes], *, seconds: float = 5.0) -> Sent:
        """Send raw frames, in their order, until the guest's kernel refuses one."""
        fields = {"nic": nic, "frames": list(frames), "seconds": seconds}
        answer = _any(self.ask("send", within=seconds + _WITHIN, **fields))
        return Sent(answer["sent"], answer["errno"])

    def capture(self, nic: str, *, promiscuous: bool = False) -> Capture:
        """Keep what arrives at a card from now on."""
        answer = _any(self.ask("capture", nic=nic, promiscuous=promiscuous))
        return Capture(self, answer["capture"])

    # ------------------------------------------------------------------ traffic

    def ping(self, address: str, *, seconds: float = 1.0, size: int = 56) -> Ping:
        """One echo request with `size` bytes of data."""
        fields = {"address": address, "seconds": seconds, "size": size}
        return Ping(**_any(self.ask("ping", within=seconds + _WITHIN, **fields)))

    def listen(self, port: int = 0, *, address: str = "0.0.0.0", echo: bool = False) -> Listener:
        """Listen on a TCP port: what comes is sent back, or only its size and checksum are."""
        answer = _any(self.ask("listen", port=port, address=address, echo=echo))
        return Listener(self, answer["port"], echo=echo)

    def transfer(
        self, address: str, port: int, size: int, *, echo: bool = False, seconds: float = 10.0
    ) -> Transfer:
        """Send `size` bytes to a Listener of another guest; `echo` as it was made."""
        fields = {"address": address, "port": port, "size": size, "echo": echo}
        fields["seconds"] = seconds
        answer = self.ask("transfer", within=seconds + _WITHIN, **fields)
        return Transfer(**_any(answer))

    # ------------------------------------------------------------------ commands

    def run(self, argv: Sequence[str], *, seconds: float = 10.0) -> Ended:
        """Run a program to its end; it is killed after `seconds`."""
        answer = self.ask("run", within=seconds + _WITHIN, argv=list(argv), seconds=seconds)
        return Ended(**_any(answer))

    def start(self, argv: Sequence[str]) -> Command:
        """Run a program in the background."""
        return Command(self, _any(self.ask("start", argv=list(argv)))["command"])

    def power_off(self) -> None:
        """Have the guest switch itself off; it answers before it does."""
        self.ask("power", how="off")

    def reboot(self, *, within: float) -> Hello:
        """Have the guest reboot, and wait until its agent answers again."""
        before = self.hello.boot
        self.ask("power", how="reboot")
        while self.renew(within=within).boot == before:
            continue  # each of these waits for an answer
        return self.hello


class Capture(Resource):
    """A capture on a guest's card. Use it in a `with` statement."""

    def __init__(self, agent: Agent, number: int) -> None:
        self._agent = agent
        self.number = number

    def read(self, *, count: int = _LONG_READ, tail: bytes = b"", seconds: float = 5.0) -> Frames:
        """The frames that have come and come, in their order: `count` of them, or up to one that
        ends with `tail` (a sentinel), or those of so many seconds.

        A VLAN tag stands where it was on the wire; what the guest sends itself is left out.
        """
        frames: list[bytes] = []
        lost = 0
        while True:
            fields = {"count": count - len(frames), "tail": tail, "seconds": seconds}
            within = seconds + _WITHIN
            answer = _any(self._agent.ask("read", within=within, capture=self.number, **fields))
            frames += answer["frames"]
            lost += answer["lost"]
            if (stop := Stop(answer["why"])) is not Stop.MORE:
                return Frames(tuple(frames), stop, lost)

    def close(self) -> None:
        """Capture no more; idempotent."""
        with contextlib.suppress(GuestError):  # gone with its guest, or closed already
            self._agent.ask("release", capture=self.number)


class Listener(Resource):
    """A TCP port that a guest listens on. Use it in a `with` statement."""

    def __init__(self, agent: Agent, port: int, *, echo: bool) -> None:
        self._agent = agent
        self.port = port
        self.echo = echo

    def close(self) -> None:
        """Listen no more; idempotent."""
        with contextlib.suppress(GuestError):
            self._agent.ask("deafen", port=self.port)


class Command(Resource):
    """A program that runs in a guest. Use it in a `with` statement."""

    def __init__(self, agent: Agent, number: int) -> None:
        self._agent = agent
        self.number = number

    def stop(self, *, seconds: float = 0.0, signal: int = signal.SIGTERM) -> Ended:
        """Wait for its end; after `seconds` signal it, and kill it when that does not help."""
        fields = {"command": self.number, "seconds": seconds, "signal": int(signal)}
        return Ended(**_any(self._agent.ask("stop", within=seconds + _WITHIN, **fields)))

    def close(self) -> None:
        """Stop it where it runs; idempotent."""
        with contextlib.suppress(GuestError):
            self.stop()


def _any(fields: Fields) -> dict[str, Any]:
    """Fields whose types the protocol's description gives, not the language's."""
    return dict(fields)


def _hello(fields: Fields) -> Hello:
    found = _any(fields)
    nics = tuple(CardFacts(**x) for x in found.pop("nics"))
    found.update((x, tuple(found[x])) for x in ("commands", "captures", "ports"))
    return Hello(**found, nics=nics)
