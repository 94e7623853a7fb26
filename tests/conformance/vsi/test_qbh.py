"""802.1Qbh: a NIC that takes port profiles, and what libvirt makes of a link that does not.

libvirt ── RTM_SETLINK ──► kernel ── driver of the lower device
"""

import os
import re
from contextlib import ExitStack
from uuid import UUID

import pytest

from harness.errors import LibvirtError, UnfitError
from harness.kernel.features import probe
from harness.kernel.links import add_veth, set_link
from harness.kernel.linkstate import link_state, macvtaps
from harness.kernel.netns import NetNS
from harness.kernel.portfacts import PortRequest, PortResponse
from harness.kernel.processes import Family, find_program
from harness.kernel.tun import Tun
from harness.vsi.qbh import NO_CAPABLE_NIC, associate, capable_links, refusal

pytestmark = pytest.mark.vsi

TAP, VETH, PEER = 10_000, 10_001, 20_001
MAC = "52:54:00:aa:00:01"
DOMAIN = """
<domain type='qemu'>
  <name>qbh</name>
  <memory>65536</memory>
  <os><type>hvm</type></os>
  <devices>
    <emulator>{emulator}</emulator>
    <interface type='direct'>
      <mac address='{mac}'/>
      <source dev='{link}' mode='vepa'/>
      <virtualport type='802.1Qbh'><parameters profileid='{profile}'/></virtualport>
      <model type='virtio'/>
    </interface>
  </devices>
</domain>
"""


def test_capable_nics():
    """What a NIC with port profiles says of its ports, as rtnl_port_fill has it.

    Nothing is asked of it: it may be in use. Where there is none nothing stands in for it.
    """
    with NetNS.current() as ns:
        capable, _ = capable_links(ns)
    if not capable:
        pytest.skip(NO_CAPABLE_NIC)
    for port in (port for nic in capable for port in nic.ports):
        assert port.request in list(PortRequest)
        assert isinstance(port.response, PortResponse)


@pytest.fixture(scope="module")
def host():
    """A libvirtd, and two lower devices whose drivers take no port profiles.

    libvirtd ── low0 (TAP), low1 ── far1
    """
    if os.geteuid():
        pytest.skip("a libvirtd of our own takes root")
    with ExitStack() as undo:
        try:
            from harness.guests.daemon import Libvirtd

            find_program("qemu-system-x86_64")
            ns = undo.enter_context(NetNS.create())
            undo.enter_context(Tun.open(ns, "low0", index=TAP, mac="02:68:70:02:01:01"))
            veth = add_veth("low1", index=VETH, peer="far1", peer_index=PEER)
            ns.rtnl.transact([veth, set_link("low0", index=TAP, up=True)])
            family = undo.enter_context(Family())
            yield undo.enter_context(Libvirtd(family, ns))
        except UnfitError as error:
            pytest.skip(str(error))


@pytest.mark.parametrize("link", ["low0", "low1"], ids=["tap", "veth"])
@pytest.mark.parametrize("profile", ["finance", "p" * 39], ids=["finance", "longest"])
def test_libvirt_without_a_capable_nic(host, link, profile):
    """The guest is not started, and nothing is left; why, only the daemon's log tells."""
    before = link_state(host.ns, link)
    read = len(host.log())
    text = DOMAIN.format(
        emulator=find_program("qemu-system-x86_64"), mac=MAC, link=link, profile=profile
    )
    with host.connect() as connection, pytest.raises(LibvirtError) as caught:
        connection.start(text)
    assert caught.value.message == "internal error: sending of PortProfileRequest failed."
    assert "a NIC with port profiles" in caught.value.remedy

    asked = associate(before.index, profile, mac=MAC, guest=UUID(int=1), host=host.uuid)
    major, minor = map(int, re.findall(r"\d+", probe().kernel)[:2])
    why = refusal(asked, kernel=(major, minor))
    assert (
        f"error during virtual port configuration of ifindex {before.index}: "
        f"{os.strerror(why.errno)}"
    ) in host.log()[read:], f"expected {why}"
    assert macvtaps(host.ns) == []
    assert link_state(host.ns, link) == before
