"""The pump, between sockets that keep frames apart as taps do."""

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections import deque

import pytest

from harness.testbed import pump


def consume(steps):
    """Take every step, keep none."""
    deque(steps, maxlen=0)


@pytest.fixture
def ends():
    """Our ends of two socket pairs, whose other ends a pump carries between."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
    numbers = [theirs.fileno() for _, theirs in pairs]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", pump.__file__, *map(str, numbers)],
        pass_fds=numbers,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        assert process.stdout.readline() == b"ready\n"
        for ours, _ in pairs:
            ours.settimeout(5)
        yield [ours for ours, _ in pairs]
        os.killpg(process.pid, signal.SIGKILL)
    for pair in pairs:
        for sock in pair:
            sock.close()


@pytest.mark.parametrize("size", [1, 60, 1514, 65_550])
@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 0)])
def test_whole_frames_both_ways(ends, one, other, size):
    """What goes in at one end comes out at the other, whole, in order, and nothing comes back."""
    frames = [bytes([i]) * size for i in range(3)]
    for frame in frames:
        ends[one].send(frame)
    assert [ends[other].recv(1 << 17) for _ in frames] == frames
    ends[one].setblocking(False)
    with pytest.raises(BlockingIOError):
        ends[one].recv(1)


def test_one_way_full_leaves_the_other_open(ends):
    """Nobody reads at the second end: what it sends arrives all the same."""
    ends[0].settimeout(0.2)
    with pytest.raises(TimeoutError):
        consume(ends[0].send(b"x" * 1000) for _ in itertools.count())
    ends[0].settimeout(5)
    ends[1].send(b"still here")
    assert ends[0].recv(100) == b"still here"
