"""What the tests of the harness itself share: hairpin as a user starts it."""

from __future__ import annotations

import fcntl
import itertools
import os
import shlex
import shutil
import string
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import Stimulus
from harness.errors import CommandError, StrayFrameError, UnfitError
from harness.kernel.features import probe
from harness.kernel.links import add_veth, set_link
from harness.kernel.netns import NetNS
from harness.kernel.privileges import ensure_namespaces
from harness.kernel.processes import Family, find_program
from harness.machines.busybox import busybox
from harness.machines.kernel import find_kernel
from harness.machines.qemu import find_virtiofsd
from harness.testbed import Testbed

TOOLS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
ROOT = os.geteuid() == 0
# What tc, nft and ip say of a part that the kernel was built without.
LACKING = ("unknown", "not supported", "No such file or directory")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("root") and not ROOT:
            item.add_marker(pytest.mark.skip(reason="takes root"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    with _turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextmanager
def _turn(*, alone):
    """Tests run beside those of other workers, but for those that are `alone` meanwhile.

    Whoever waits for its turn holds the gate, so that nobody goes past. Both are locks on what is
    there anyway. They are let go of by name: a fork may have the descriptors too.
    """
    here = Path(__file__)
    gate = os.open(here.parent, os.O_RDONLY | os.O_DIRECTORY)
    turn = os.open(here, os.O_RDONLY)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(turn, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(gate, fcntl.LOCK_UN)
        yield
    finally:
        fcntl.flock(turn, fcntl.LOCK_UN)
        os.close(turn)
        os.close(gate)


@pytest.fixture
def hairpin(tmp_path):
    """``hairpin(*arguments)`` runs the command line in an empty folder, to its end.

    `wrapper` is put before it; `plugin` is the text of a pytest plugin to load besides.
    """

    def run(*arguments, wrapper=(), plugin="", timeout=120):
        environment = dict(os.environ)
        if plugin:
            (tmp_path / "extra_plugin.py").write_text(plugin)
            environment["PYTHONPATH"] = str(tmp_path)
            arguments = (*arguments, "-p", "extra_plugin")
        return subprocess.run(
            [*wrapper, sys.executable, "-m", "harness", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def without_root():
    """A command prefix that takes every right away, but for mapping oneself to root."""
    return ("setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all") if ROOT else ()


# ---------------------------------------------------------------------- faults put in on purpose


def needs_tools(*names):
    """Skip where one of these programs is not installed."""
    for name in names:
        if not shutil.which(name, path=TOOLS):
            pytest.skip(f"no {name} here")


def run_in(bed, line, *, may_skip=True):
    """``room: command`` run in that room of a testbed: host, switch or a station outside.

    `$a` stands for the MAC of station a, `$HOST` for the host's namespace. Skips, where it may,
    when the kernel lacks what the command asks for.
    """
    room, _, command = line.partition(": ")
    rooms = {"host": bed.wiring.host, "switch": bed.wiring.switch, **bed.wiring.outside}
    words = bed.topology.macs | {"HOST": f"/proc/{os.getpid()}/fd/{bed.wiring.host.fd}"}
    arguments = shlex.split(string.Template(command).substitute(words))
    needs_tools(arguments[0])
    done = rooms[room].run(
        lambda: subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PATH": TOOLS},
        )
    )
    if done.returncode:
        said = done.stderr.strip()
        if may_skip and any(word in said for word in LACKING):
            pytest.skip(f"{line}: {said}")
        pytest.fail(f"{line}: {said}")


@pytest.fixture
def backend():
    """What stands for a guest on this machine."""
    ensure_namespaces()
    return probe().backend


@contextmanager
def _commanded(bed, put, undo):
    with ExitStack() as stack:
        for line in reversed(undo):
            stack.callback(run_in, bed, line, may_skip=False)
        for line in put:
            run_in(bed, line)
        yield


@pytest.fixture
def tools():
    """``tools("nft", "tc")`` skips where one of them is not installed."""
    return needs_tools


@pytest.fixture
def commanded():
    """``commanded(bed, put, undo)``: a context in which the commands `put` have been run."""
    return _commanded


@pytest.fixture
def impatient(monkeypatch):
    """A lost sentinel is given up after a moment: here it is lost on purpose."""
    for method in (Testbed._barrier, Testbed._fire):
        monkeypatch.setitem(method.__kwdefaults__, "patience", 0.3)


@pytest.fixture
def shows(backend, impatient):
    """``shows(topology, stimuli, put, undo, says)`` puts a fault in and takes it out again.

    Before, every verdict is clean. With it one differs, within `sends` rounds of the stimuli, and
    one of the first two causes has all the words of `says`. Afterwards they are clean again, on
    the same testbed, unless the fault is `lasting`. `put` and `undo` are commands for `run_in`, or
    one function of the testbed that gives a context manager.
    """

    def differing(bed, stimuli, rounds=1):
        for _ in range(rounds):
            for stimulus in stimuli:
                verdict = bed.verdict(stimulus)
                if verdict.differences:
                    return verdict
        return None

    def recover(bed, stimuli):
        # A link that comes up has its carrier, and its port forwards, a moment later.
        give_up = time.monotonic() + 10
        while time.monotonic() < give_up:
            try:
                if not differing(bed, stimuli):
                    return
            except StrayFrameError:  # what the fault still held back
                continue
        pytest.fail("the testbed is poisoned")

    def show(topology, stimuli, put, undo, says, *, sends=1, lasting=False):
        stimuli = [stimuli] if isinstance(stimuli, Stimulus) else stimuli
        with Testbed(topology, backend=backend) as bed:
            assert not differing(bed, stimuli)
            with put(bed) if callable(put) else _commanded(bed, put, () if lasting else undo):
                verdict = differing(bed, stimuli, sends)
                assert verdict, "no verdict differs"
                first = verdict.causes[:2]
                assert any(all(word in cause for word in says) for cause in first), verdict
            if not lasting:
                recover(bed, stimuli)
                assert not differing(bed, stimuli)
            return verdict

    return show


# ---------------------------------------------------------------------- kernels for machines


def _machine_of(kernel, *, virtiofs):
    """A kernel of the catalogue, fetched where it is not in the cache."""
    try:
        find_program("qemu-system-x86_64")
        busybox()
        if virtiofs and not find_virtiofsd():
            pytest.skip("there is no virtiofsd here")
        return find_kernel(kernel)
    except UnfitError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def kernel():
    """A small kernel: it has neither 9p nor drivers of emulated NICs."""
    return _machine_of("debian:bookworm+cloud", virtiofs=True)


@pytest.fixture(scope="session")
def full_kernel():
    """A kernel that has 9p and every driver."""
    return _machine_of("debian:bookworm", virtiofs=False)


# ---------------------------------------------------------------------- guests for users' tools

GUEST = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    {interfaces}
  </devices>
</domain>
"""


@pytest.fixture(scope="module")
def desk():
    """A host with a libvirtd, and a user's tools.

    .-- host ----------------.
    | libvirtd ◄── toolbox   |
    |    low0 --[veth]-------|-- switch
    |    low1 --[veth]-------|-- switch
    '------------------------'
    """
    if not ROOT:
        pytest.skip("takes root")
    with ExitStack() as stack:
        try:
            yield _desk(stack)
        except UnfitError as error:
            pytest.skip(str(error))


def _desk(stack):
    from harness.guests.daemon import Libvirtd  # takes packages that may not be there
    from harness.guests.tools import Toolbox

    for program in ("virt-install", "virt-xml", "virsh"):
        find_program(program)
    family = stack.enter_context(Family())
    host, switch = (stack.enter_context(NetNS.create()) for _ in range(2))
    for place, name in enumerate(("low0", "low1")):
        veth = {"peer": name, "peer_index": 2000 + place, "peer_ns": switch.fd}
        host.rtnl.transact([add_veth(name, index=40 + place, **veth)])
        switch.rtnl.transact([set_link(name, index=2000 + place, up=True)])
    libvirtd = stack.enter_context(Libvirtd(family, host))
    libvirt = stack.enter_context(libvirtd.connect())
    toolbox = stack.enter_context(Toolbox(family, host, libvirtd.uri))

    def refused(*command):
        """What the tool says that refuses this."""
        with pytest.raises(CommandError) as caught:
            toolbox.do(*command)
        return str(caught.value)

    return SimpleNamespace(host=host, libvirt=libvirt, toolbox=toolbox, refused=refused)


@pytest.fixture
def guest(desk):
    """``guest(nic, …)`` defines a guest with these interfaces; `running` starts it as well.

    It has firmware and nothing to boot. It is gone at the end of the test.
    """
    from harness.guests import dump_interface

    with ExitStack() as stack:
        names = (f"guest{number}" for number in itertools.count(1))

        def make(*nics, running=True):
            text = GUEST.format(
                name=next(names), interfaces="\n".join(dump_interface(x) for x in nics)
            )
            made = desk.libvirt.define(text)
            stack.callback(made.handle.undefine)
            stack.callback(made.destroy)
            if running:
                with made.asking("start"):
                    made.handle.create()
            return made

        yield make
