"""A libvirtd of our own: several at once, and none that shows.

NetNS ── sandbox ── libvirtd            NetNS ── sandbox ── libvirtd
"""

import os
import re
import subprocess
import sys
from contextlib import ExitStack

import pytest

from harness.errors import CommandError, KernelError, LibvirtError, UnfitError
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family, find_program

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a libvirtd takes root")


@pytest.fixture(scope="module")
def daemon():
    try:
        find_program("libvirtd")
        find_program("qemu-system-x86_64")
        from harness.guests.daemon import connection, libvirtd
    except UnfitError as error:
        pytest.skip(str(error))
    return libvirtd, connection


@pytest.fixture
def make(daemon):
    """A factory of daemons, each on a namespace of its own."""
    with ExitStack() as undo:

        def make(**options):
            ns = undo.enter_context(NetNS.create())
            family = undo.enter_context(Family())
            return undo.enter_context(daemon[0].Libvirtd(family, ns, **options))

        yield make


GUEST = """
<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices>
  <interface type='direct'><source dev='low' mode='bridge'/><target dev='{name}'/></interface>
  <controller type='usb' model='none'/><memballoon model='none'/>
</devices></domain>
"""


def add_lower(daemon):
    from harness.kernel import links

    daemon.ns.rtnl.transact(
        [
            links.add_veth("low", index=7, peer="far", peer_index=8),
            links.set_link("low", index=7, up=True),
            links.set_link("far", index=8, up=True),
        ]
    )


def test_answers(make):
    with make().connect() as connection:
        assert connection.version >= (5, 10, 0)


def test_its_schemas_are_ready(make):
    """Something has been validated, and nothing has come of it."""
    daemon = make()
    with daemon.connect() as connection:
        connection.ready_schemas()
        assert connection.handle.listAllDomains() == []
    assert "Unable to validate doc against" in daemon.log()


def test_two_know_nothing_of_each_other(make):
    """The same name, link and interface index in both: each QEMU has the tap of its own."""
    from harness.guests.seen import look

    daemons = [make(hostname=name) for name in ("one", "two")]
    for daemon in daemons:
        add_lower(daemon)
    connections = [daemon.connect() for daemon in daemons]
    guests = [connection.start(GUEST.format(name="g")) for connection in connections]
    seen = [look(daemon.ns, "g") for daemon in daemons]
    assert [x.link.index for x in seen] == [seen[0].link.index] * 2
    assert [(x.holders, x.queues) for x in seen] == [(("qemu-system-x86",), 1)] * 2
    guests[0].destroy()
    assert look(daemons[1].ns, "g").queues == 1


def test_guest_goes_on_without_its_daemon(make):
    daemon = make()
    add_lower(daemon)
    connection = daemon.connect()
    guest = connection.define(GUEST.format(name="g"))
    guest.handle.create()
    daemon.stop(kill=True)
    daemon.start()
    with daemon.connect() as again:
        assert again.find("g").active


def test_what_it_has_learnt_is_kept(make, tmp_path, monkeypatch):
    """QEMU is asked once; the next daemon is told."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = make()
    first.connect().handle.getCapabilities()
    first.close()
    kept = list(tmp_path.glob("hairpin/libvirt/*.xml"))
    assert kept
    second = make()
    assert second.path(f"/var/cache/libvirt/qemu/capabilities/{kept[0].name}").exists()


def test_what_no_longer_holds_is_learnt_anew(make, tmp_path, monkeypatch):
    """Another QEMU has come: what was kept of the old one does not stay."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = make()
    first.connect().handle.getCapabilities()
    first.close()
    kept = sorted(tmp_path.glob("hairpin/libvirt/*.xml"))
    for path in kept:  # libvirt goes by the time of the program's last change
        text = path.read_text()
        path.write_text(re.sub(r"<qemuctime>\d+<", "<qemuctime>1<", text))
    again = make()
    again.connect().handle.getCapabilities()
    again.close()
    assert not [path.name for path in kept if "<qemuctime>1<" in path.read_text()]


def test_a_daemon_that_cannot_start_says_why(daemon, monkeypatch):
    from harness.guests.daemon import config

    monkeypatch.setattr(config, "_LIBVIRTD", 'log_level = "nonsense"\n')
    monkeypatch.setattr(daemon[0], "_READY_WITHIN", 3.0)
    with (
        NetNS.create() as ns,
        Family() as family,
        pytest.raises((KernelError, CommandError), match="log_level"),
    ):
        daemon[0].Libvirtd(family, ns)


def test_killed_in_the_middle(make):
    daemon = make()
    connection = daemon.connect()
    daemon.stop(kill=True)
    with pytest.raises(LibvirtError):
        connection.start(GUEST.format(name="g"))


def test_nobody_there(daemon):
    with pytest.raises(LibvirtError, match=r"connect to .*nowhere.*No such file"):
        daemon[1].Connection.open("qemu+unix:///system?socket=/nowhere")


def test_too_old(daemon, make, monkeypatch):
    monkeypatch.setattr(daemon[1], "_OLDEST", (99, 0, 0))
    with pytest.raises(UnfitError, match=r"99\.0\.0 or newer"):
        make().connect()


def test_no_libvirtd(daemon, monkeypatch):
    monkeypatch.setattr(daemon[0], "find_program", lambda name: find_program(f"no-{name}"))
    with (
        NetNS.create() as ns,
        Family() as family,
        pytest.raises(UnfitError, match="there is no no-libvirtd here"),
    ):
        daemon[0].Libvirtd(family, ns)


def test_no_client_library(tmp_path):
    """Without libvirt-python: what to install."""
    (tmp_path / "libvirt.py").write_text("raise ImportError('not built')\n")
    finished = subprocess.run(
        [sys.executable, "-c", "import harness.guests.daemon"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "UnfitError" in finished.stderr
    assert "libvirt-dev" in finished.stderr
