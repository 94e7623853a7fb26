"""Real clients: DHCP, from dnsmasq outside to udhcpc in every guest.

a [stack] udhcpc --.
                   lower ----- switch ----- external [stack] dnsmasq
b [stack] udhcpc --'
"""

import re

from harness.kernel.procnet import listening

CITED = (
    "virtualization guide, 17.12: in every mode a guest has access to the network outside; "
    "kernel: macvlan_broadcast (drivers/net/macvlan.c), tap_handle_frame (drivers/net/tap.c)"
)
FIRST, LAST = 100, 150
SCRIPT = '#!/bin/sh\nif [ "$1" = bound ]; then echo "lease $interface $ip $serverid"; fi\n'


def dnsmasq(net, *arguments):
    """A DHCP server on the external host: nothing read from /etc, no file, no port for names."""
    return net.spawn(
        "external",
        [
            *("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--leasefile-ro"),
            *("--no-hosts", "--no-resolv", "--no-ping", "--interface=external", "--log-dhcp"),
            *arguments,
        ],
        ready=listening(net.namespace("external"), 67, udp=True),
    )


def test_lease(stacks, clients, tmp_path):
    """Every guest gets a lease, each its own, and the server knows it by the guest's MAC."""
    net = stacks(clients.topology, programs=["dnsmasq", "busybox"])
    script = tmp_path / "lease"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    guests = [guest.name for guest in clients.topology.guests]
    network = net.topology.ips["external"].rpartition(".")[0]
    lease_range = f"--dhcp-range={network}.{FIRST},{network}.{LAST},255.255.0.0,1h"
    with dnsmasq(net, lease_range, "--dhcp-authoritative") as server:
        asking = {
            name: net.spawn(
                name, ["busybox", "udhcpc", "-fnqR", "-t5", "-T1", "-i", name, "-s", str(script)]
            )
            for name in guests
        }
        said = {name: process.wait(10).checked().stdout for name, process in asking.items()}
        log = server.stderr
    leases = {name: re.search(r"^lease (\S+) (\S+) (\S+)$", said[name], re.M) for name in guests}
    assert all(leases.values()), CITED
    addresses = {name: found[2] for name, found in leases.items()}
    assert len(set(addresses.values())) == len(guests), CITED
    for name, address in addresses.items():
        assert f"DHCPACK(external) {address} {net.topology.macs[name]}" in log, CITED
        assert leases[name].groups() == (name, address, net.topology.ips["external"]), CITED
