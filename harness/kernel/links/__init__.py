"""Requests that make and change links: facts in, netlink requests out.

Indexes are chosen by the caller (the kernel takes ifi_index since 3.7), so that one batch can
make a link and at once refer to it.
"""

from __future__ import annotations

from harness.kernel.links.bridge import (
    AGEING,
    add_bridge,
    add_fdb_entry,
    flush_fdb,
    set_bridge_port,
    set_bridge_vlans,
)
from harness.kernel.links.devices import (
    add_dummy,
    add_veth,
    add_vlan,
    delete_link,
    move_link,
    set_attributes,
    set_link,
    set_mac,
    set_mtu,
    set_queue_length,
)
from harness.kernel.links.ip import add_address, delete_neighbour, set_neighbour
from harness.kernel.links.macvtap import (
    add_macvtap,
    change_guest,
    configure_macvtap,
    new_macvtap,
    set_guest,
)
from harness.kernel.links.message import Asked

__all__ = [
    "AGEING",
    "Asked",
    "add_address",
    "add_bridge",
    "add_dummy",
    "add_fdb_entry",
    "add_macvtap",
    "add_veth",
    "add_vlan",
    "change_guest",
    "configure_macvtap",
    "delete_link",
    "delete_neighbour",
    "flush_fdb",
    "move_link",
    "new_macvtap",
    "set_attributes",
    "set_bridge_port",
    "set_bridge_vlans",
    "set_guest",
    "set_link",
    "set_mac",
    "set_mtu",
    "set_neighbour",
    "set_queue_length",
]
