"""Real clients: ssh, to a server outside and to one in a guest.

a [stack] ssh ----.
                  lower ----- switch ----- external [stack] sshd
b [stack] sshd ---'
"""

import shutil
from contextlib import ExitStack

import pytest

from harness.kernel.procnet import listening

PORT = 2222
CITED = "virtualization guide, 17.12: delivery modes; kernel: macvlan_queue_xmit (macvlan.c)"
# An unprivileged server, in user and mount namespaces of its own: it needs no account on this
# machine, no /run/sshd, no rights, and works in a user namespace just so.
PASSWD = "guest:x:1000:1000::/:/bin/sh\n"
UNPRIVILEGED = (
    "unshare",
    "--user",
    "--map-user=1000",
    "--map-group=1000",
    "--mount",
    "--keep-caps",
)
BIND = 'mount --bind "$1" /etc/passwd && shift && exec "$@"'
CONFIG = """\
Port {port}
HostKey {folder}/key
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
ClientAliveInterval 2
"""
CLIENT_OPTIONS = (
    "BatchMode=yes",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "GlobalKnownHostsFile=/dev/null",
    "KexAlgorithms=curve25519-sha256",
    "LogLevel=ERROR",
)


def server(net, station, folder):
    """An sshd that lets `folder`/key in and reads nothing else."""
    config = folder / "sshd_config"
    config.write_text(CONFIG.format(port=PORT, folder=folder))
    passwd = folder / "passwd"
    passwd.write_text(PASSWD)
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin")
    return net.spawn(
        station,
        [*UNPRIVILEGED, *("sh", "-c", BIND, "sh", str(passwd), sshd, "-De", "-f", str(config))],
        ready=listening(net.namespace(station), PORT),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ssh")


def test_command(stacks, clients, folder):
    """A command runs at the other end, and says who has come from where."""
    net = stacks(clients.topology, programs=["ssh", "sshd", "ssh-keygen", "unshare"])
    key = folder / "key"
    if not key.exists():
        net.run("a", ["ssh-keygen", "-qted25519", "-N", "", "-f", str(key)]).checked()
    ips = net.topology.ips
    last = net.topology.guests[-1].name
    flows = [("a", "external"), ("external", last), ("a", last)]
    flows = [flow for flow in flows if flow in clients.reached]
    with ExitStack() as servers:
        for station in {to for _, to in flows}:
            servers.enter_context(server(net, station, folder))
        options = [f"-o{option}" for option in CLIENT_OPTIONS]
        calling = {
            (sender, to): net.spawn(
                sender,
                [
                    *("ssh", "-F", "none", "-i", str(key), "-p", str(PORT), "-l", "guest"),
                    *(*options, ips[to], "echo $SSH_CONNECTION"),
                ],
            )
            for sender, to in flows
        }
        seen = {flow: process.wait(20).checked().stdout for flow, process in calling.items()}
    for (sender, to), said in seen.items():
        client, _, address, port = said.split()
        assert (client, address, port) == (ips[sender], ips[to], str(PORT)), CITED
