"""scapy's own ways of sending and receiving, in a process that a benchmark talks to.

It is started as a script, in the namespace of its link: ``send LINK DESCRIPTOR FRAME`` or
``sniff LINK DESCRIPTOR``, the frame in hexadecimal digits. On the descriptor, a socket, it says
``ready`` in a line; then to each line that it reads it answers with one.

- send: the line is a number of seconds; the answer is frames sent and seconds.
- sniff: the first line starts a sniffer, the answer says that it hears; the next one ends it, and
  the answer is the frames that it has dissected.
"""

from __future__ import annotations

import socket
import sys
import time

from scapy.arch.linux import L2ListenSocket, L2Socket
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.sendrecv import AsyncSniffer, sendp

__all__: list[str] = []

_BATCH = 100  # frames for one call of sendp


def _send(conversation: socket.SocketIO, link: str, frame: bytes) -> None:
    packet = Ether(dst=frame[:6], src=frame[6:12], type=int.from_bytes(frame[12:14], "big"))
    packet /= Raw(frame[14:])
    out = L2Socket(iface=link)
    conversation.write(b"ready\n")
    for line in conversation:
        sent, begin = 0, time.perf_counter()
        end = begin + float(line)
        while time.perf_counter() < end:
            sendp(packet, socket=out, count=_BATCH, verbose=False)
            sent += _BATCH
        conversation.write(f"{sent} {time.perf_counter() - begin}\n".encode())


def _sniff(conversation: socket.SocketIO, link: str) -> None:
    conversation.write(b"ready\n")
    while conversation.readline():
        seen = 0

        def count(_packet: object) -> None:
            nonlocal seen
            seen += 1

        with L2ListenSocket(iface=link, promisc=False) as heard:
            sniffer = AsyncSniffer(
                opened_socket=heard,
                store=False,
                prn=count,
                started_callback=lambda: conversation.write(b"hears\n"),
            )
            sniffer.start()
            conversation.readline()
            sniffer.stop()
        conversation.write(f"{seen}\n".encode())


def _main(way: str, link: str, descriptor: str, *frame: str) -> None:
    with socket.socket(fileno=int(descriptor)) as talk, talk.makefile("rwb", 0) as conversation:
        if way == "send":
            _send(conversation, link, bytes.fromhex(frame[0]))
        else:
            _sniff(conversation, link)


if __name__ == "__main__":
    _main(*sys.argv[1:])
