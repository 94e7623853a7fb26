"""What the stations' files share."""

import pytest

pytest.importorskip("lxml")

from harness.vsi.facts import Dialect


@pytest.fixture(params=list(Dialect), scope="session")
def dialect(request):
    """Each of the two."""
    return request.param


@pytest.fixture
def bed(station, dialect):
    """A host with libvirt and lldpad, and our switch; shared with other tests of the dialect."""
    return station(dialect)


@pytest.fixture
def hasty(own_station, dialect):
    """The same for one test alone; in the ratified dialect a VSI is kept alive every 1.3 s.

    (The draft's 10 s are lldpad's constant.)
    """
    from harness.vsi.lldp_machine import EvbPolicy
    from harness.vsi.station import Station

    def hasty(*ports):
        stations = [Station(link=port, dialect=dialect, rka=17) for port in ports]
        return own_station(ports=ports, stations=stations, policy=EvbPolicy(rka=17))

    return hasty
