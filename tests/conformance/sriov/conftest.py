"""What the files about virtual functions share: addresses, and a macvtap on each of two."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def macs():
    """Addresses of macvtaps (`a`, `b`), another one, and one that the PF gives a VF."""
    names = ("a", "b", "other", "admin")
    return SimpleNamespace(**{x: f"02:68:70:04:01:{n:02x}" for n, x in enumerate(names, 1)})


@pytest.fixture
def pair(nic, macs):
    """The NIC with p0 on vf0 and p1 on vf1, in passthru, each with an address of its own.

    p0 [tap]---- vf0 ---.
    p1 [tap]---- vf1 ---+ NIC ----- outside
    pf -----------------'
    """
    nic.passthru(0, mac=macs.a)
    nic.passthru(1, mac=macs.b)
    nic.settle("p0", "p1")
    return nic
