"""What a user is told when the switch does something wrong, and what only the logs say.

    a [QEMU, paused] -- macvtap -- low1 ----- switch: refuses
    b [QEMU, paused] -- macvtap -- low2 ----- switch: acknowledges nothing
    …                   lldpad                (a port for each fault)

libvirt waits for up to ten seconds: all wait at the same time.
"""

import re

import pytest

pytest.importorskip("lxml")
pytest.importorskip("libvirt")

from harness.kernel.netns import all_at_once
from harness.vsi.facts import Dialect
from harness.vsi.faults import FaultKind, Faults
from harness.vsi.station.failures import FAILURES

pytestmark = pytest.mark.vsi


@pytest.fixture(scope="module")
def attempts():
    return {}


@pytest.fixture
def attempt(attempts, own_station, exchanges):
    """A factory: what became of the start of a guest where the switch did this."""

    def attempt(failure):
        if failure.name not in attempts:
            attempts.update(all_attempts(failure.dialect, own_station, exchanges))
        return attempts[failure.name]

    return attempt


def at(pattern, link):
    return pattern.replace("LINK", rf"\b{link}\b")


def all_attempts(dialect, own_station, exchanges):
    from harness.vsi.station import Station

    cases = [x for x in FAILURES if x.dialect is dialect]
    ports = {case.name: f"low{number}" for number, case in enumerate(cases, 1)}
    silent = {ports[x.name]: x.fault for x in cases if x.fault.kind is FaultKind.NO_EVB}
    bed = own_station(
        ports=list(ports.values()),
        stations=[
            Station(link=port, dialect=dialect, reflective_relay=port not in silent)
            for port in ports.values()
        ],
        faults={port: Faults([fault]) for port, fault in silent.items()},
    )
    for case in cases:
        bed.switch.set_faults(ports[case.name], Faults([case.fault]))
    found = {}

    def start(case):
        nic = bed.nic(ports[case.name])
        tried = bed.attempt(nic, until=at(case.lldpad, nic.source))
        found[case.name] = tried, bed.state(nic), len(bed.asked(nic))

    all_at_once([lambda case=case: start(case) for case in cases])
    for case in cases:
        exchanges.tried(case.name, bed.chart(ports[case.name]), found[case.name][0])
    return found


@pytest.mark.parametrize("failure", FAILURES, ids=lambda x: x.name)
def test_told(failure, attempt):
    """Libvirt's words to the user, in time; the cause in its log and in lldpad's."""
    tried, state, requests = attempt(failure)

    def there(pattern, text):
        return re.search(at(pattern, tried.port), text)

    if failure.said:
        assert tried.error is not None, "it started"
        assert there(failure.said, tried.error.message)
        assert there(failure.logged, tried.logged), tried.logged
    else:
        assert tried.error is None
    assert there(failure.lldpad, tried.lldpad), tried.lldpad
    assert failure.least <= tried.seconds <= failure.most
    assert state is failure.left
    assert requests >= failure.requests


def test_every_fault_is_told():
    """Each fault of the switch is here, in both dialects, or shows only later (test_later.py)."""
    later = {FaultKind.DE_ASSOCIATE, FaultKind.REWRITE_VID, FaultKind.NO_KEEPALIVE}
    told = {(x.dialect, x.fault.kind) for x in FAILURES}
    assert told == {(d, k) for d in Dialect for k in FaultKind if k not in later}
