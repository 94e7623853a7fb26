"""Which netlink port libnl gives to libvirtd: never one that is taken, after a few tries."""

import os
import socket

import pytest

from harness.guests.daemon.netlinkports import HIGH, LOW, PID_BITS, take

TRIES = 6


def libnl_tries(seed):
    """N of the ports that libnl tries one after another (generate_local_port, lib/socket.c)."""
    given = set()
    for _ in range(TRIES):
        block, n = seed >> 5, seed
        for turn in range(32):
            block = 0 if turn == 31 else (block + 6) % 31 + 1
            free = [x for x in range(32) if (block, x) not in given]
            if free:
                break
        n = next(x for x in ((n + 13 * i) % 32 for i in range(1, 33)) if (block, x) not in given)
        given.add((block, n))
        yield block * 32 + n
        seed = (seed + 20011) % 0x10000


@pytest.mark.parametrize("taken", [LOW, HIGH], ids=["low", "high"])
def test_libnl_finds_one_of_the_other_half(taken):
    """Whatever the clock is, and however often it was asked before."""
    for seed in range(0x10000):
        assert any(n not in taken for n in libnl_tries(seed))


def test_taken_ports_are_taken():
    """By us: nobody else of this network namespace can have them."""
    held = take([LOW.start])
    try:
        with (
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as other,
            pytest.raises(OSError, match="in use"),
        ):
            other.bind((os.getpid() | LOW.start << PID_BITS, 0))
        assert held[0].get_inheritable()
    finally:
        for one in held:
            one.close()
