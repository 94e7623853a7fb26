"""Which VLAN a link is of, by the links below it."""

from harness.kernel.linkstate import vlans
from harness.kernel.netlink import LinkMessage


class Namespace:
    """One with these links: name to the index of the link below it, and a VLAN device's id."""

    def __init__(self, **links):
        self.rtnl = self
        self._links = links

    def links(self):
        """As Rtnl's, indexes from 1."""
        return [self._link(i, *link) for i, link in enumerate(self._links.items(), 1)]

    @staticmethod
    def _link(index, name, below):
        lower, vlan = below
        message = LinkMessage()
        message["index"] = index
        message["attrs"] = [("IFLA_IFNAME", name), ("IFLA_LINK", lower)]
        if vlan:
            data = {"attrs": [("IFLA_VLAN_ID", vlan)]}
            attributes = [("IFLA_INFO_KIND", "vlan"), ("IFLA_INFO_DATA", data)]
            message["attrs"].append(("IFLA_LINKINFO", {"attrs": attributes}))
        message.encode()
        decoded = LinkMessage(bytes(message.data))
        decoded.decode()
        return decoded


def test_the_first_vlan_device_downwards():
    """eth0 ── v5 ── v5.7 (stacked) ── tap"""
    ns = Namespace(eth0=(0, 0), v5=(1, 5), stacked=(2, 7), tap=(3, 0))
    assert vlans(ns) == {"eth0": 0, "v5": 5, "stacked": 7, "tap": 7}


def test_the_ends_of_a_veth():
    """Each is below the other; and a link below is in another namespace."""
    ns = Namespace(a=(2, 0), b=(1, 0), far=(99, 0))
    assert vlans(ns) == {"a": 0, "b": 0, "far": 0}
