"""What the guests' files share: one guest that is up all the time, into which NICs are plugged."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest

from harness.errors import HairpinError, LibvirtError
from harness.plugin import failed_key


@pytest.fixture(scope="session")
def _shared():
    return {}


@pytest.fixture
def guest(request, cables, _shared):
    """A guest with two processors and no NIC, used by one test after another.

    It is started anew after a test that has failed.
    """
    if "guest" not in _shared:
        from harness.guests.host import Wanted

        (_shared["guest"],) = cables.host.start_all([Wanted("shared", (), vcpus=2)])
    yield _shared["guest"]
    if request.node.stash.get(failed_key, False):
        _shared.pop("guest").close()


@pytest.fixture
def plug(cables, guest):
    """A factory: ``number = plug(mode, **what)`` is a NIC more in `guest`, on a new cable.

    guest [QEMU]---- low ----- far [stack]
    """
    plugged = []

    def plug(mode, **what):
        plugged.append(cables.nic(mode, **what))
        return guest.attach(plugged[-1])

    yield plug
    with contextlib.suppress(HairpinError):  # a test that has failed leaves what it likes
        for nic in plugged:
            macs = [x.mac for x in guest.running.domain.interfaces]
            if nic.mac in macs:
                guest.detach(macs.index(nic.mac))


@pytest.fixture
def start(cables):
    """A factory: ``start(nic, nic, …)`` is a guest on `cables`, which is destroyed at the end.

    It is not waited for: whoever asks its agent waits.
    """
    from harness.guests.host import Wanted

    started = []

    def start(*nics, name="", **rest):
        wanted = Wanted(name or f"guest{len(started)}", nics, **rest)
        started.append(cables.host.start(wanted))
        return started[-1]

    yield start
    for guest in started:
        guest.close()


@pytest.fixture
def refuses():
    """``with refuses("Invalid argument", "low1"):`` libvirt refuses it, in these words."""

    @contextlib.contextmanager
    def refuses(*words):
        with pytest.raises(LibvirtError) as caught:
            yield
        assert [x for x in words if x not in caught.value.message] == [], caught.value.message

    return refuses


@pytest.fixture
def each_mode(cables):
    """NICs, one in each mode, each on its own cable."""
    from harness.guests.cable import EACH_MODE

    def each_mode(**what):
        return tuple(dataclasses.replace(cables.nic(mode), **what) for mode in EACH_MODE)

    return each_mode
