"""libvirt's passthrough on a virtual function.

guest [QEMU] --- macvtap --- vf0 --- NIC ----- outside
"""

import pytest

from harness import Mode
from harness.errors import LibvirtError, UnfitError

pytestmark = pytest.mark.sriov


@pytest.fixture
def host(nic):
    """A libvirtd of our own, where the PF and its virtual functions are.

    It asks a VF for its PF in sysfs, and the PF for the rest over netlink.
    """
    try:
        from harness.guests.accelerator import working_accelerator
        from harness.guests.fitness import need_everything
        from harness.guests.host import GuestHost
        from harness.guests.tiny.image import image

        need_everything(("libvirtd", "qemu-system-x86_64"))
        ours = image()
        with GuestHost(nic.ns, ours, accelerator=working_accelerator(ours)) as host:
            yield host
    except UnfitError as error:
        pytest.skip(str(error))


@pytest.fixture
def start(host, nic):
    """A factory: ``start(mac, vlan=100)`` is a guest on vf0 whose processors stand still."""
    from harness.guests.host import Wanted
    from harness.guests.nic import DirectInterface, Tag, Vlan

    names = iter(("first", "second"))

    def start(mac, *, vlan=0):
        interface = DirectInterface(
            source="vf0",
            mode=Mode.PASSTHRU,
            mac=mac,
            model="virtio",
            vlan=Vlan((Tag(vlan),)) if vlan else None,
        )
        return host.start(Wanted(next(names), (interface,), paused=True))

    return start


@pytest.mark.parametrize("vlan", [0, 100], ids=["no VLAN", "VLAN 100"])
def test_set_and_restored(nic, macs, start, vlan):
    """Address and VLAN are set on the VF, the latter through the PF; both restored at the end."""
    before = nic.state("vf0").mac, nic.vf(0).mac, nic.vf(0).vlan
    guest = start(macs.a, vlan=vlan)
    assert (nic.state("vf0").mac, nic.vf(0).mac, nic.vf(0).vlan) == (macs.a, macs.a, vlan)
    (link,) = guest.links
    assert nic.state(link).macvtap.mode is Mode.PASSTHRU
    assert nic.state(link).mac == macs.a
    guest.close()
    assert (nic.state("vf0").mac, nic.vf(0).mac, nic.vf(0).vlan) == before


def test_refused_second_keeps_address_and_vlan(nic, macs, start):
    """After a second guest on the VF was refused, the first one's end leaves its own behind.

    A finding, seen with libvirt 9.0: the second saves the VF and sets it before its macvtap is
    refused, and puts back what it has saved, so that nothing is saved for the first any more.
    """
    first = start(macs.a, vlan=100)
    with pytest.raises(LibvirtError, match="error creating macvtap interface"):
        start(macs.b, vlan=200)
    assert (nic.state("vf0").mac, nic.vf(0).vlan) == (macs.a, 100)
    first.close()
    assert (nic.state("vf0").mac, nic.vf(0).vlan) == (macs.a, 100)
