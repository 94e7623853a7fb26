"""What the kernel says to requests for ports, whatever kind of link they are for.

lo    veth -- peer    tap -- us    dummy    bridge    macvtap and vlan on veth
"""

import ctypes
import errno
import re
from contextlib import ExitStack, suppress
from dataclasses import replace
from uuid import UUID

import pytest

from harness.errors import KernelError, UnfitError
from harness.kernel.features import probe
from harness.kernel.links import (
    add_bridge,
    add_dummy,
    add_macvtap,
    add_veth,
    add_vlan,
)
from harness.kernel.linkstate import link_state
from harness.kernel.netlink import Rtnl
from harness.kernel.netns import NetNS
from harness.kernel.portprofile import encode, ports
from harness.kernel.tun import Tun
from harness.parts import Guest, Mode
from harness.vsi.qbh import associate, capable_links, disassociate, profile_support, refusal

KERNEL = tuple(map(int, re.findall(r"\d+", probe().kernel)[:2]))
ADDRESS = {"mac": "52:54:00:aa:00:01", "guest": UUID(int=1), "host": UUID(int=2)}
REQUESTS = {
    "associate": associate(1, "finance", **ADDRESS),
    "migrate": associate(1, "finance", **ADDRESS, migrating=True),
    "associate, no address": replace(associate(1, "finance", **ADDRESS), mac=""),
    "disassociate": disassociate(1),
    "associate a VF": associate(1, "finance", **ADDRESS, vf=0),
    "disassociate a VF": disassociate(1, vf=0),
}
VETH, PEER, DUMMY, BRIDGE, MACVTAP, VLAN, TAP = range(10, 17)
KINDS = ["lo", "veth", "peer", "tap", "dummy", "bridge", "macvtap", "vlan"]


@pytest.fixture(scope="module")
def links():
    """A namespace with a link of every kind that this kernel has, and their indexes."""
    with ExitStack() as undo:
        ns = undo.enter_context(NetNS.create())
        ns.rtnl.transact([add_veth("veth", index=VETH, peer="peer", peer_index=PEER)])
        guest = Guest("macvtap", Mode.VEPA, mac="02:68:70:01:00:01")
        for more in (
            add_dummy("dummy", index=DUMMY),
            add_bridge("bridge", index=BRIDGE),
            add_macvtap(guest, index=MACVTAP, lower=VETH),
            add_vlan("vlan", index=VLAN, parent=VETH, vlan=5),
        ):
            with suppress(KernelError):  # no such kind here
                ns.rtnl.transact([more])
        with suppress(UnfitError):
            undo.enter_context(Tun.open(ns, "tap", index=TAP, mac="02:68:70:02:01:01"))
        names = [link.get_attr("IFLA_IFNAME") for link in ns.rtnl.links()]
        yield ns, {name: link_state(ns, name).index for name in names}


@pytest.fixture(params=KINDS)
def link(request, links):
    """The namespace, and the name of one link of it."""
    ns, indexes = links
    if request.param not in indexes:
        pytest.skip(f"this kernel has no {request.param} for us")
    return ns, request.param, indexes[request.param]


@pytest.mark.parametrize("name", REQUESTS)
def test_refused(link, name):
    """With the errno that is explained, and without any effect."""
    ns, kind, index = link
    asked = replace(REQUESTS[name], index=index)
    before = link_state(ns, kind)
    with pytest.raises(KernelError) as caught:
        ns.rtnl.transact([encode(asked)])
    why = refusal(asked, kernel=KERNEL)
    assert caught.value.errno == why.errno, f"{caught.value}; expected {why}"
    assert link_state(ns, kind) == before


def test_no_support(link):
    ns, kind, _ = link
    found = profile_support(ns, kind)
    assert (found.capable, found.errno, found.ports) == (False, errno.EOPNOTSUPP, ())
    assert "ndo_set_vf_port" in found.reason
    assert ports(ns, kind) == ()


def test_every_link_of_a_namespace(links):
    ns, indexes = links
    capable, others = capable_links(ns)
    assert capable == []
    assert {x.link for x in others} == set(indexes)


def test_no_such_link(links):
    ns, _ = links
    with pytest.raises(KernelError) as caught:
        ns.rtnl.transact([encode(disassociate(4711))])
    assert caught.value.errno == errno.ENODEV
    with pytest.raises(KernelError) as caught:
        profile_support(ns, "nowhere")
    assert caught.value.errno == errno.ENODEV


def _give_up_capabilities():
    """All of this thread's; others keep theirs."""
    version = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
    header, none = (ctypes.c_uint32 * 2)(version, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, none) == 0


class _Weak:
    """A namespace as somebody without CAP_NET_ADMIN has it: links can be read, and not set."""

    def __init__(self, ns):
        self.ns = ns
        self.rtnl = self

    def _asked(self, method, *arguments, **named):
        def ask():
            _give_up_capabilities()
            rtnl = Rtnl()
            try:
                return getattr(rtnl, method)(*arguments, **named)
            finally:
                rtnl.close()

        return self.ns.run(ask)

    def transact(self, requests):
        return self._asked("transact", requests)

    def link(self, name, **named):
        return self._asked("link", name, **named)


@pytest.mark.parametrize("name", REQUESTS)
def test_without_the_right(links, name):
    """EPERM comes before all else (rtnetlink_rcv_msg)."""
    ns, indexes = links
    with pytest.raises(KernelError) as caught:
        _Weak(ns).transact([encode(replace(REQUESTS[name], index=indexes["veth"]))])
    assert caught.value.errno == errno.EPERM


def test_support_is_unknown_without_the_right(links):
    found = profile_support(_Weak(links[0]), "veth")
    assert (found.capable, found.errno) == (None, errno.EPERM)
    assert "CAP_NET_ADMIN" in found.reason
