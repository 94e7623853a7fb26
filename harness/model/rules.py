"""The rules of the reference model: one for each decision that the kernel takes about a frame."""

from __future__ import annotations

from harness.cited import Cited

__all__ = ["Rule"]

_MACVLAN = "drivers/net/macvlan.c"


class Rule(Cited):
    """A decision: what it says when it holds, and the kernel function that takes it.

    Every branch of the model goes through exactly one of these, so a trace shows which ones
    decided, and a difference can be traced back to the one that explains it.
    """

    TX_UP = ("a link that is up transmits", "__dev_queue_xmit, net/core/dev.c")
    CARRIER = (
        "a link with a carrier transmits",
        "dev_deactivate, noop_enqueue, net/sched/sch_generic.c",
    )
    FORWARDABLE = (
        "the lower device is up and takes what is handed to it",
        "is_skb_forwardable, include/linux/netdevice.h",
    )
    BRIDGE_DIRECT = (
        "bridge mode hands unicast straight to a sibling in bridge mode",
        f"macvlan_queue_xmit, {_MACVLAN}",
    )
    BRIDGE_FLOOD = (
        "bridge mode hands group frames straight to siblings in bridge mode",
        f"macvlan_queue_xmit, {_MACVLAN}",
    )
    SOURCE_LIST = (
        "source mode takes a copy of frames from a listed source",
        f"macvlan_forward_source, {_MACVLAN}",
    )
    SOURCE_CONSUME = (
        "nodst takes the frame away from everybody else",
        f"macvlan_forward_source, {_MACVLAN}",
    )
    OWN_RETURN = (
        "a group frame that comes back to a sender neither vepa nor bridge goes to it alone",
        f"macvlan_handle_frame, {_MACVLAN}",
    )
    PORT_FILTER = (
        "the lower device's multicast filter lets the group through",
        f"macvlan_handle_frame, macvlan_compute_filter, {_MACVLAN}",
    )
    QUEUE_ROOM = (
        "the broadcast queue has room",
        f"macvlan_broadcast_enqueue, {_MACVLAN}",
    )
    FROM_OUTSIDE = (
        "a group frame from outside is for every mode but source",
        f"macvlan_multicast_rx, {_MACVLAN}",
    )
    REFLECTED = (
        "a group frame that bears a bridge guest's address is its own, come back",
        f"macvlan_multicast_rx, {_MACVLAN}",
    )
    FROM_GUEST = (
        "a group frame that bears a guest's address is for vepa and bridge",
        f"macvlan_multicast_rx, {_MACVLAN}",
    )
    FROM_BRIDGE = (
        "a bridge guest's own group frame, come back, is for vepa only",
        f"macvlan_multicast_rx, {_MACVLAN}",
    )
    NOT_TO_SENDER = (
        "a group frame does not go to its own sender",
        f"macvlan_broadcast, {_MACVLAN}",
    )
    TAP_FILTER = (
        "the guest's own multicast filter lets the group through",
        f"macvlan_broadcast, mc_hash, {_MACVLAN}",
    )
    GROUP_PASS = (
        "a group frame goes on to the host's stack as well",
        f"macvlan_handle_frame (RX_HANDLER_PASS), {_MACVLAN}",
    )
    PASSTHRU_ALL = (
        "passthru takes every unicast frame",
        f"macvlan_handle_frame, {_MACVLAN}",
    )
    LOOKUP = (
        "the destination is the address of a guest that is up",
        f"macvlan_hash_lookup, {_MACVLAN}",
    )
    SOURCE_NO_UNICAST = (
        "a source-mode guest is no destination",
        f"macvlan_handle_frame, {_MACVLAN}",
    )
    RX_UP = ("the guest's link is up", f"macvlan_handle_frame, {_MACVLAN}")
    HOST_ADDRESS = (
        "the frame is addressed to the host",
        "eth_type_trans, net/ethernet/eth.c",
    )
    HOST_TAGGED = (
        "a tag that no vlan device takes makes it somebody else's",
        "__netif_receive_skb_core, net/core/dev.c",
    )
    VLAN_RECEIVE = (
        "a vlan device takes frames of its id",
        "vlan_do_receive, net/8021q/vlan_core.c",
    )
    WIRED = ("the lower device has a wire", "veth_xmit, dummy_xmit, drivers/net")
    RESERVED_GROUP = (
        "01:80:c2:00:00:01 to :0f stop at a bridge",
        "br_handle_frame, net/bridge/br_input.c; IEEE 802.1Q, 8.6.3",
    )
    PORT_UP = (
        "the switch port is up, and so is whoever is plugged into it",
        "br_port_carrier_check, net/bridge/br_if.c",
    )
    LEARN = (
        "the port learns where the source is",
        "br_fdb_update, net/bridge/br_fdb.c",
    )
    FDB_HIT = (
        "the destination has been learned",
        "br_handle_frame_finish, br_fdb_find_rcu, net/bridge",
    )
    FLOOD_UNKNOWN = (
        "unknown unicast is flooded to the port",
        "br_flood (BR_FLOOD), net/bridge/br_forward.c",
    )
    FLOOD_GROUP = (
        "group frames are flooded to the port",
        "br_flood (BR_MCAST_FLOOD), net/bridge/br_forward.c",
    )
    HAIRPIN = (
        "a frame goes back out of the port it came in by",
        "should_deliver (BR_HAIRPIN_MODE), net/bridge/br_forward.c",
    )
    VLAN_INGRESS = (
        "the port is a member of the frame's VLAN",
        "br_allowed_ingress, net/bridge/br_vlan.c",
    )
    VLAN_EGRESS = (
        "the outgoing port is a member of the frame's VLAN",
        "br_allowed_egress, net/bridge/br_vlan.c",
    )
    ROUTER_ADDRESS = (
        "the frame is addressed to the router",
        "ip_rcv_core, net/ipv4/ip_input.c",
    )
    ROUTER_FORWARD = (
        "the router has a route to the destination",
        "ip_forward, net/ipv4/ip_forward.c",
    )
