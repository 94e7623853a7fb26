"""Settings changed on purpose: the verdict differs, and what was changed is named.

    a [tap]--.                         .-- external
             lower ------ switch ------+
    b [tap]--'                         '-- router

A link's state, address or queue, a guest's mode or list, a port's or the switch's settings, an
entry of the forwarding table, the router's: each is changed behind the testbed's back.
"""

from dataclasses import dataclass

import pytest

from harness import (
    BROADCAST,
    UNKNOWN,
    External,
    Guest,
    Mode,
    Router,
    Stimulus,
    Switch,
    Topology,
)
from harness.kernel.features import Backend

GROUP = "03:68:70:00:00:01"
NOBODYS = "02:68:70:ee:ee:ee"  # what UNKNOWN stands for
LLDP = "01:80:c2:00:00:0e"
PAIR = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)])
REFLECTED = Topology([Guest("a"), Guest("b")], switch=Switch(hairpin=True))
ROUTED = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)], router=Router())
ALONE = Topology([Guest("a", Mode.BRIDGE)])
LISTED = Topology(
    [Guest("a"), Guest("b", Mode.SOURCE, sources=("02:68:70:03:00:01",))],
    externals=(External("external"), External("second")),
)
# What a guest hears besides its groups cannot be foreseen, what it is to hear can: so these are
# declared, and taken away.
PROMISCUOUS = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE, promiscuous=True)])
ALL_GROUPS = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE, allmulticast=True)])
TWO_OUTSIDE = Topology([Guest("a")], externals=(External("external"), External("second")))
# Several, because a guest's filter lets some groups through, about one in 256 (mc_hash).
TO_GROUPS = [Stimulus("a", f"03:68:70:00:00:0{i}") for i in range(1, 4)]
A_TO_B = Stimulus("a", "b")
B_TO_A = Stimulus("b", "a")
A_TO_OUTSIDE = Stimulus("a", "external")
OUTSIDE_TO_A = Stimulus("external", "a")
OUTSIDE_TO_B = Stimulus("external", "b")
OUTSIDE_TO_ALL = Stimulus("external", BROADCAST)
ROUTED_A_TO_B = Stimulus("a", "b", via="router")


@dataclass(frozen=True)
class Fault:
    """What is put in and taken out (``room: command``), what shows it, what must be said."""

    name: str
    topology: Topology
    stimuli: Stimulus | list[Stimulus]
    put: tuple[str, ...]
    undo: tuple[str, ...]
    says: str
    lasting: bool = False
    sends: int = 1
    tap_only: bool = False


def fault(name, topology, stimuli, put, undo, says, **more):
    """One command, or several."""
    several = [(x,) if isinstance(x, str) else tuple(x) for x in (put, undo)]
    return Fault(name, topology, stimuli, *several, says, **more)


def port(setting, says, station="lower", topology=PAIR, stimulus=A_TO_OUTSIDE, **more):
    """A setting of a switch port turned round: given as ``name on`` or ``name off``."""
    word, _, value = setting.partition(" ")
    back = {"on": "off", "off": "on"}[value]
    return fault(
        f"port {setting}",
        topology,
        stimulus,
        f"switch: bridge link set dev {station} {word} {value}",
        f"switch: bridge link set dev {station} {word} {back}",
        f"switch port {station} {says}",
        **more,
    )


STATES = [
    fault(
        "a guest is down",
        PAIR,
        A_TO_B,
        "host: ip link set dev b down",
        "host: ip link set dev b up",
        "b is down, the topology says up",
    ),
    fault(
        "the lower device is down",
        PAIR,
        A_TO_OUTSIDE,
        "host: ip link set dev lower down",
        "host: ip link set dev lower up",
        "lower is down, the topology says up",
    ),
    fault(
        "a station outside is down",
        PAIR,
        A_TO_OUTSIDE,
        "external: ip link set dev external down",
        "external: ip link set dev external up",
        "external is down, the topology says up",
    ),
    fault(
        "a switch port is down",
        PAIR,
        A_TO_OUTSIDE,
        "switch: ip link set dev external down",
        "switch: ip link set dev external up",
        "switch port external is down",
    ),
    fault(
        "the switch is down",
        PAIR,
        A_TO_OUTSIDE,
        "switch: ip link set dev switch down",
        "switch: ip link set dev switch up",
        "the switch is down",
    ),
    fault(
        "a guest is gone",
        PAIR,
        A_TO_B,
        "host: ip link del dev b",
        (),
        "b is gone",
        lasting=True,
    ),
    fault(
        "a station has been moved away",
        PAIR,
        A_TO_OUTSIDE,
        "external: ip link set dev external netns $HOST",
        (),
        "external is gone",
        lasting=True,
    ),
]

ADDRESSES = [
    fault(
        "wrong MAC of a guest",
        PAIR,
        A_TO_B,
        "host: ip link set dev b address 02:68:70:01:00:99",
        "host: ip link set dev b address $b",
        "b has the address 02:68:70:01:00:99, the topology says 02:68:70:01:00:02",
    ),
    fault(
        "wrong MAC of the lower device",
        PAIR,
        Stimulus("external", "lower"),
        "host: ip link set dev lower address 02:68:70:02:00:99",
        "host: ip link set dev lower address $lower",
        "lower has the address 02:68:70:02:00:99, the topology says 02:68:70:02:00:01",
    ),
    fault(
        "wrong MAC of the router",
        ROUTED,
        ROUTED_A_TO_B,
        "router: ip link set dev router address 02:68:70:04:00:99",
        (),
        "router has the address 02:68:70:04:00:99",
        lasting=True,  # the kernel forgets the neighbours as well
    ),
]

GUESTS = [
    fault(
        "mode changed",
        PAIR,
        A_TO_B,
        "host: ip link set dev b type macvtap mode vepa",
        "host: ip link set dev b type macvtap mode bridge",
        "b is in vepa mode, the topology says bridge",
    ),
    fault(
        "sources flushed",
        LISTED,
        OUTSIDE_TO_A,
        "host: ip link set dev b type macvtap macaddr flush",
        "host: ip link set dev b type macvtap macaddr add $external",
        "b takes frames of the sources nobody, the topology says 02:68:70:03:00:01",
    ),
    fault(
        "a source added",
        LISTED,
        Stimulus("second", "a"),
        "host: ip link set dev b type macvtap macaddr add $second",
        "host: ip link set dev b type macvtap macaddr del $second",
        "b takes frames of the sources 02:68:70:03:00:01, 02:68:70:03:00:02",
    ),
    fault(
        "nodst set",
        LISTED,
        OUTSIDE_TO_A,
        "host: ip link set dev b type macvtap mode source flag nodst",
        "host: ip link set dev b type macvtap mode source flag null",
        "b has nodst on, the topology says off",
    ),
    fault(
        "not promiscuous",
        PROMISCUOUS,
        TO_GROUPS,
        "host: ip link set dev b promisc off",
        "host: ip link set dev b promisc on",
        "b has promiscuous off, the topology says on",
    ),
    fault(
        "not allmulticast",
        ALL_GROUPS,
        TO_GROUPS,
        "host: ip link set dev b allmulticast off",
        "host: ip link set dev b allmulticast on",
        "b has allmulticast off, the topology says on",
    ),
    fault(
        "no tap queue",
        PAIR,
        A_TO_B,
        "host: ip link set dev b txqueuelen 0",
        "host: ip link set dev b txqueuelen 500",
        "the queue of b takes 0 frames (txqueuelen), the topology says the usual 500",
        tap_only=True,
    ),
    fault(
        "no broadcast queue",
        ALONE,
        OUTSIDE_TO_ALL,
        "host: ip link set dev a type macvtap bcqueuelen 0",
        "host: ip link set dev a type macvtap bcqueuelen 1000",
        "the broadcast queue of lower takes 0 frames (bcqueuelen), the topology says 1000",
    ),
]

REPLUGGED = [f"switch: ip link set dev external {state}" for state in ("down", "up")]
SWITCH = [
    port("hairpin on", "has hairpin on, the topology says off", stimulus=Stimulus("a", BROADCAST)),
    port(
        "hairpin off",
        "has hairpin off, the topology says on",
        topology=REFLECTED,
        stimulus=A_TO_B,
    ),
    port(
        "flood off",
        "has flood off, the topology says on",
        station="external",
        stimulus=Stimulus("a", UNKNOWN),
    ),
    port(
        "mcast_flood off",
        "has multicast_flood off, the topology says on",
        station="external",
        stimulus=Stimulus("a", GROUP),
    ),
    port(
        "bcast_flood off",
        "has broadcast flood off, the topology says on",
        station="external",
        stimulus=Stimulus("a", BROADCAST),
    ),
    fault(
        "ports isolated",
        PAIR,
        A_TO_OUTSIDE,
        [f"switch: bridge link set dev {x} isolated on" for x in ("lower", "external")],
        [f"switch: bridge link set dev {x} isolated off" for x in ("lower", "external")],
        "switch port lower has isolated",
    ),
    fault(
        "learning off",
        TWO_OUTSIDE,
        OUTSIDE_TO_A,
        [
            "switch: bridge link set dev lower learning off",
            "switch: ip link set dev switch type bridge fdb_flush",
        ],
        "switch: bridge link set dev lower learning on",
        "switch port lower has learning off, the topology says on",
    ),
    fault(
        "port locked",
        PAIR,
        A_TO_OUTSIDE,
        [
            "switch: bridge link set dev lower locked on",
            "switch: bridge fdb del $a dev lower master",
        ],
        "switch: bridge link set dev lower locked off",
        "switch port lower has locked",
    ),
    fault(
        "port disabled",
        PAIR,
        A_TO_OUTSIDE,
        "switch: bridge link set dev lower state 0",
        "switch: bridge link set dev lower state 3",
        "switch port lower is disabled, the topology says forwarding",
    ),
    fault(
        "port unplugged",
        PAIR,
        A_TO_OUTSIDE,
        "switch: ip link set dev external nomaster",
        "switch: ip link set dev external master switch",
        "switch port external is no port of the switch any more",
    ),
    fault(
        "beacon unplugged",
        PAIR,
        A_TO_OUTSIDE,
        "switch: ip link set dev beacon-port nomaster",
        [
            "switch: ip link set dev beacon-port master switch",
            "switch: bridge link set dev beacon-port learning off",
        ],
        "the beacon, where sentinels start, is no port of the switch any more",
    ),
    fault(
        "STP on",
        PAIR,
        A_TO_OUTSIDE,
        ["switch: ip link set dev switch type bridge stp_state 1", *REPLUGGED],
        ["switch: ip link set dev switch type bridge stp_state 0", *REPLUGGED],
        "the switch has STP on, the topology says off",
    ),
    fault(
        "reserved groups forwarded",
        PAIR,
        Stimulus("a", LLDP),
        "switch: ip link set dev switch type bridge group_fwd_mask 0x4000",
        "switch: ip link set dev switch type bridge group_fwd_mask 0",
        "the switch has forwarding of reserved groups (group_fwd_mask) on",
    ),
    fault(
        "reserved groups forwarded by a port",
        PAIR,
        Stimulus("a", LLDP),
        "switch: ip link set dev lower type bridge_slave group_fwd_mask 0x4000",
        "switch: ip link set dev lower type bridge_slave group_fwd_mask 0",
        "switch port lower has reserved groups let through",
    ),
    fault(
        "no ageing time",
        TWO_OUTSIDE,
        A_TO_OUTSIDE,
        "switch: ip link set dev switch type bridge ageing_time 0",
        "switch: ip link set dev switch type bridge ageing_time 8640000",
        "the switch forgets stations after 0 s (ageing_time), a testbed's does after 86400 s",
        sends=10_000,  # until the kernel has swept the table (br_fdb_cleanup)
    ),
    fault(
        "static entry at the wrong port",
        PAIR,
        OUTSIDE_TO_A,
        "switch: bridge fdb replace $a dev external master static",
        "switch: bridge fdb del $a dev external master",
        "a foreign static entry sends frames for 02:68:70:01:00:01 (a) to switch port external",
    ),
    fault(
        "local entry",
        PAIR,
        OUTSIDE_TO_A,
        "switch: bridge fdb replace $a dev lower master permanent",
        "switch: bridge fdb del $a dev lower master",
        "the switch takes frames for 02:68:70:01:00:01 (a) itself",
    ),
]

ROUTER = [
    fault(
        "no forwarding",
        ROUTED,
        ROUTED_A_TO_B,
        "router: sysctl -qw net.ipv4.ip_forward=0",
        "router: sysctl -qw net.ipv4.ip_forward=1",
        "router does not forward (net.ipv4.ip_forward is 0)",
    ),
    fault(
        "wrong neighbour",
        ROUTED,
        ROUTED_A_TO_B,
        "router: ip neigh replace 10.104.0.3 lladdr 02:68:70:01:00:99 dev router nud permanent",
        "router: ip neigh replace 10.104.0.3 lladdr $b dev router nud permanent",
        "router has the neighbour 02:68:70:01:00:99 for 10.104.0.3 (b)",
    ),
    fault(
        "blackhole route",
        ROUTED,
        ROUTED_A_TO_B,
        "router: ip route add blackhole 10.104.0.3",
        "router: ip route del blackhole 10.104.0.3",
        "router has a foreign route: blackhole 10.104.0.3/32",
    ),
    fault(
        "address lost",
        ROUTED,
        ROUTED_A_TO_B,
        "router: ip addr del 10.104.0.1/16 dev router",
        (),
        "router has lost its address 10.104.0.1/16",
        lasting=True,
    ),
]

FAULTS = [*STATES, *ADDRESSES, *GUESTS, *SWITCH, *ROUTER]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_setting(shows, backend, fault):
    """The verdict differs and the setting is named; put back, all is well."""
    if fault.tap_only and backend is not Backend.TAP:
        pytest.skip("no taps here")
    shows(
        fault.topology,
        fault.stimuli,
        fault.put,
        fault.undo,
        [fault.says],
        lasting=fault.lasting,
        sends=fault.sends,
    )
