"""Domain XML: read, understood, started, and what the kernel then has.

    <interface type='direct'>            host
      <source dev='eth0' …/>    ──►     a --- eth0 ----- switch ----- external
    </interface>

The documentation's three examples, as printed, or the domains of `hairpin guests --domain`. The
links that they name are made here, under the same names but for what a link of ours cannot be
called (eth0.2 is eth0-2), or under those of `--map`.
"""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness import Guest, LibvirtError, Lower, Mode, Stimulus, Switch, Topology
from harness.kernel.tun import Tun
from harness.testbed.wiring import Wiring

pytest.importorskip("lxml")

from harness.errors import UnfitError
from harness.guests import (
    Severity,
    VirtualPortType,
    check,
    load_document,
    load_domain,
    map_devices,
)

pytestmark = [pytest.mark.guests, pytest.mark.domains]

EXAMPLES = Path(__file__).with_name("examples")
TAP_INDEX = 900


REFUSED = {
    VirtualPortType.QBG: "sending of PortProfileRequest failed",
    VirtualPortType.QBH: "sending of PortProfileRequest failed",
}


def takes_profile(nic):
    return nic.virtualport is not None and nic.virtualport.type in REFUSED


def link_name(device):
    return re.sub(r"[^a-z0-9-]", "-", device.lower())[:15]


def domains(config):
    """Path of each domain to try, and the domain on links of ours."""
    given = config.getoption("hairpin_domain") or sorted(EXAMPLES.glob("*.xml"))
    asked = dict(word.split("=", 1) for word in config.getoption("hairpin_map"))
    for path in given:
        domain = load_domain(path)
        names = {nic.source: link_name(nic.source) for nic in domain.direct}
        yield path, map_devices(domain, names | asked)


def pytest_generate_tests(metafunc):
    if "document" in metafunc.fixturenames:
        paths = [path for path, _ in domains(metafunc.config)]
        metafunc.parametrize("document", paths, ids=[path.stem for path in paths])
    for name, profiled in (("nic", None), ("plain_nic", False), ("profiled_nic", True)):
        if name in metafunc.fixturenames:
            found = [
                pytest.param(nic, id=f"{path.stem}-{i}")
                for path, domain in domains(metafunc.config)
                for i, nic in enumerate(domain.direct, 1)
                if profiled is None or profiled is takes_profile(nic)
            ]
            metafunc.parametrize(name, found)


@pytest.fixture(scope="module")
def host(request):
    """A libvirtd and all links that the domains name."""
    from harness.guests.host import GuestHost
    from harness.guests.tiny.image import image

    named = {nic.source for _, domain in domains(request.config) for nic in domain.direct}
    topology = Topology(lowers=[Lower(name=name) for name in sorted(named)])
    with Wiring(topology) as wiring:
        wiring.build()
        try:
            host = GuestHost(wiring.host, image())
        except UnfitError as error:
            pytest.skip(str(error))
        with host:
            yield host


def wanted(nic):
    from harness.guests.host import Wanted

    return Wanted("a", (replace(nic, model="virtio"),))


def test_meaning(document):
    """By libvirt's schemas, and by what the standards and the kernel want."""
    errors = [p for p in check([load_document(document)]) if p.severity is Severity.ERROR]
    assert not errors, "\n".join(map(str, errors))


def test_as_written(host, plain_nic):
    """The kernel has what the XML says."""
    with host.start(wanted(plain_nic)) as guest:
        assert guest.unlike() == []


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU])
def test_mode_changed(host, nic, mode):
    """The mode in the XML is the mode in the kernel."""
    with host.start(wanted(replace(nic, mode=mode, virtualport=None))) as guest:
        assert guest.unlike() == []
        assert guest.seen().mode is mode


def test_port_profile(host, profiled_nic):
    """802.1Qbg asks a station (lldpad), 802.1Qbh the card: without either libvirt refuses.

    On a tap: a veth libvirt would follow to its peer and back for ever, by IFLA_LINK
    (virNetDevVPortProfileGetPhysdevAndVlan).
    """
    said = REFUSED[profiled_nic.virtualport.type]
    with (
        Tun.open(host.ns, "eth9", index=TAP_INDEX, mac="02:68:70:00:09:01", vnet_header=0),
        pytest.raises(LibvirtError, match=said),
    ):
        host.start(wanted(replace(profiled_nic, source="eth9")))


@pytest.mark.parametrize("hairpin", [False, True], ids=["", "hairpin"])
def test_frames(testbed, guest_bed, nic, hairpin):
    """Two guests with this interface, or one that has its link for itself, and the outside."""
    names = ("a",) if nic.mode is Mode.PASSTHRU else ("a", "b")
    topology = Topology(
        [Guest(name, nic.mode, nic.source) for name in names],
        lowers=[Lower(name=nic.source)],
        switch=Switch(hairpin=hairpin),
    )
    for to in (*names[1:], "external", "broadcast"):
        testbed(topology).check(Stimulus("a", to))
        guest_bed(topology).check(Stimulus("a", to))
