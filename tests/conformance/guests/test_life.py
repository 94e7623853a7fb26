"""What becomes of macvtaps in a guest's life, and libvirt's.

                   .-- low1 (vepa) ------ far1
    guest [QEMU] --+-- low2 (bridge) ---- far2
     libvirtd      +-- low3 (private) --- far3
                   '-- low4 (passthrough) far4

After each event all four are as the XML says, and forward; or are gone, the lower devices restored.
"""

import contextlib
import sys

import pytest

from harness import Mode
from harness.errors import GuestError
from harness.kernel.waiting import look_until
from harness.plugin import failed_key

pytestmark = pytest.mark.guests

MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)
REBOOTED_WITHIN = 60.0
GONE_WITHIN = 15.0
SAVED = "/run/hairpin/saved"
"""On the daemon's own /run."""


@pytest.fixture(scope="module")
def _lives():
    return {}


@pytest.fixture
def living(request, cables, _lives):
    """A guest with a NIC in each mode, up, for one test after another; a new one after a failure.

    libvirt keeps its definition when it ends.
    """
    if "guest" not in _lives:
        from harness.guests.host import Wanted

        wanted = Wanted("living", tuple(cables.nic(mode) for mode in MODES))
        _lives["guest"] = cables.host.define(wanted)
        _lives["guest"].running.start()
    guest = _lives["guest"]
    assert cables.wrong(guest) == []
    yield guest
    if request.node.stash.get(failed_key, False):
        _lives.pop("guest").close()
        guest.running.undefine()


def indexes(guest):
    return [guest.seen(number).link.index for number in range(len(MODES))]


def left_by(cables, wanted):
    """What a guest has left behind: its macvtaps, and what its lower devices were not before.

    libvirt restores these after those have gone, so both are waited for where nobody asked it to.
    """

    def look():
        lowers = [nic.source for nic in wanted.interfaces]
        left = [name for lower in lowers for name in cables.macvtaps_on(lower)]
        return left + [clause for lower in lowers for clause in cables.unrestored(lower)]

    return look_until(look, lambda left: not left, within=GONE_WITHIN)


def wait_until_off(cables, guest):
    from harness.guests.daemon import State

    guest.hang_up()
    state = look_until(
        lambda: guest.running.state, lambda x: x is State.SHUT_OFF, within=GONE_WITHIN
    )
    assert state is State.SHUT_OFF
    assert left_by(cables, guest.wanted) == []


# ---------------------------------------------------------------------- its processors


def test_suspended(cables, living):
    """Suspended, nobody is reached; resumed, all of it is as it was, the same links."""
    before = indexes(living)
    living.running.suspend()
    assert [living.seen(number).link.up for number in range(len(MODES))] == [False] * len(MODES)
    living.running.resume()
    assert cables.wrong(living) == []
    assert indexes(living) == before


@pytest.mark.parametrize("how", ["reboot", "panic"])
def test_reboot(cables, living, how):
    """The links outlive a reboot: QEMU goes on, and its descriptors with it."""
    before = indexes(living)
    if how == "reboot":
        living.agent.reboot(within=REBOOTED_WITHIN)
    else:  # the kernel's panic=-1 reboots at once
        boot = living.agent.hello.boot
        with contextlib.suppress(GuestError):  # it may not come to its answer
            living.agent.start(["sh", "-c", "echo c > /proc/sysrq-trigger"])
        look_until(
            lambda: living.agent.renew(within=REBOOTED_WITHIN).boot,
            lambda now: now != boot,
            within=REBOOTED_WITHIN,
        )
    assert cables.wrong(living) == []
    assert indexes(living) == before


# ---------------------------------------------------------------------- its end, and again


def test_powers_itself_off(cables, living):
    """The guest's own end: libvirt takes the links away. Started again, it has new ones."""
    living.agent.power_off()
    wait_until_off(cables, living)
    living.running.start()
    assert cables.wrong(living) == []


def test_qemu_is_killed(cables, living):
    """SIGKILL to QEMU: the same. The next start is as good as the first."""
    living.host.kill(living.name)
    wait_until_off(cables, living)
    living.running.start()
    assert cables.wrong(living) == []


def test_saved_and_restored(cables, living):
    """Saved, its links are gone; restored, they are there again, and captures in it go on."""
    agent = living.agent
    card = living.card(0).name
    boot = agent.hello.boot
    capture = agent.capture(card)
    living.hang_up()
    living.running.save(SAVED)
    assert left_by(cables, living.wanted) == []
    living.running = cables.host.connection.restore(SAVED, living.name)
    assert living.agent.hello.boot == boot
    assert capture.number in living.agent.hello.captures
    assert cables.wrong(living) == []


def test_started_twice(cables, living, refuses):
    """A guest that runs is not started again, and does not suffer."""
    before = indexes(living)
    with refuses("domain is already running"):
        living.running.start()
    assert cables.wrong(living) == []
    assert indexes(living) == before


# ---------------------------------------------------------------------- libvirtd


def test_libvirtd_again(own_cables):
    """Guests forward while there is no libvirtd; the next finds them again, and ends them.

    It restores the lower devices as well, of guests whom it has never started.
    """
    from harness.guests.host import Wanted

    host = own_cables.host
    guest = host.define(Wanted("lasting", tuple(own_cables.nic(mode) for mode in MODES)))
    guest.running.start()
    assert own_cables.wrong(guest) == []
    before = indexes(guest)
    for kill in (False, True):
        ended = host.libvirtd.stop(kill=kill)
        assert [own_cables.ping(guest, x).ok for x in range(len(MODES))] == [True] * 4, ended
        host.libvirtd.start()
        host.reconnect()
        assert host.guests == {"lasting": guest}, ended
        assert own_cables.wrong(guest) == [], ended
        assert indexes(guest) == before, ended
    guest.close()
    assert left_by(own_cables, guest.wanted) == []


# Starts a guest and stays, as any client of libvirt's.
CLIENT = """
import signal, sys
from harness.guests.daemon import Connection
connection = Connection.open(sys.argv[1])
guest = connection.start(sys.argv[2])
print("started", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_client_goes(cables, how):
    """AUTODESTROY: guests go with the connection that has started them, however that ends."""
    from harness.guests.host import Wanted

    host = cables.host
    wanted = Wanted("bound", tuple(cables.nic(mode) for mode in MODES))
    host.remember(wanted.interfaces)
    text = host.domain(wanted).text
    lowers = [nic.source for nic in wanted.interfaces]

    def there():
        return [name for lower in lowers for name in cables.macvtaps_on(lower)]

    if how == "closed":
        with host.libvirtd.connect() as connection:
            connection.start(text)
            assert len(there()) == len(MODES)
    else:
        client = [sys.executable, "-c", CLIENT, host.libvirtd.uri, text]
        with host.family.spawn(cables.ns, client) as process:
            process.wait_until(lambda: "started" in process.stdout)
            assert len(there()) == len(MODES)
    assert left_by(cables, wanted) == []
