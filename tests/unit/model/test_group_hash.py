"""The hash of a lower device's multicast filter, against hash_32 of include/linux/hash.h.

The values come from a C program with the kernel's own expression on the last four bytes of the
address: ``hash_32(get_unaligned((u32 *)(addr + 2)), 8)``. They depend on the byte order.
"""

import sys

import pytest

from harness.model import group_hash

BITS = {
    "ff:ff:ff:ff:ff:ff": {"little": 158, "big": 158},
    "01:00:5e:00:00:01": {"little": 46, "big": 115},
    "01:00:5e:00:00:fb": {"little": 132, "big": 241},
    "33:33:00:00:00:01": {"little": 71, "big": 97},
    "33:33:ff:00:00:01": {"little": 173, "big": 26},
    "01:80:c2:00:00:00": {"little": 25, "big": 206},
    "01:80:c2:00:00:0e": {"little": 251, "big": 38},
    "03:68:70:00:00:01": {"little": 14, "big": 113},
    "03:68:70:00:00:77": {"little": 200, "big": 132},
    "33:33:00:00:00:00": {"little": 0, "big": 0},
}


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("mac", BITS)
def test_group_hash(monkeypatch, mac, order):
    monkeypatch.setattr(sys, "byteorder", order)

    assert group_hash.__wrapped__(mac) == BITS[mac][order]


def test_the_first_two_bytes_do_not_count():
    """Nor does mc_hash look at them: groups that differ there always collide."""
    assert group_hash("01:00:5e:00:00:01") == group_hash("33:33:5e:00:00:01")
