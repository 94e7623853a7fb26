"""The kernel layer against the kernel: what is set is what is there."""

import pytest

from harness import External, Guest, KernelError, Lower, Mode, Port, Stimulus, Switch, Topology
from harness.kernel.features import probe
from harness.kernel.links import add_macvtap
from harness.kernel.netns import on_thread
from harness.kernel.privileges import ensure_namespaces
from harness.kernel.syscalls import await_rcu_readers
from harness.testbed import Barrier, Testbed
from harness.testbed.drift import drift
from harness.testbed.wiring import Wiring


@pytest.fixture(scope="module", autouse=True)
def _namespaces():
    ensure_namespaces()


def _macvtap(wiring, name):
    """IFLA_INFO_DATA of a live macvtap."""
    (link,) = [x for x in wiring.host.rtnl.links() if x.get_attr("IFLA_IFNAME") == name]
    return link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")


@pytest.mark.parametrize("mode", Mode)
def test_mode(mode):
    """Each mode is created as itself."""
    with Wiring(Topology([Guest("a", mode)])) as wiring:
        wiring.build()
        assert _macvtap(wiring, "a").get_attr("IFLA_MACVTAP_MODE") == mode


@pytest.mark.parametrize(
    ("guest", "attribute", "value"),
    [
        pytest.param(Guest("a", Mode.SOURCE, nodst=True), "IFLA_MACVTAP_FLAGS", 2, id="nodst"),
        pytest.param(Guest("a", bcqueuelen=7), "IFLA_MACVTAP_BC_QUEUE_LEN", 7, id="bcqueuelen"),
        pytest.param(
            Guest("a", bcqueuelen=7), "IFLA_MACVTAP_BC_QUEUE_LEN_USED", 7, id="bcqueuelen used"
        ),
        pytest.param(Guest("a", bc_cutoff=-1), "IFLA_MACVTAP_BC_CUTOFF", -1, id="bc_cutoff"),
        pytest.param(
            Guest("a", Mode.SOURCE, sources=("02:00:00:00:00:01", "02:00:00:00:00:02")),
            "IFLA_MACVTAP_MACADDR_COUNT",
            2,
            id="sources",
        ),
    ],
)
def test_attributes(guest, attribute, value):
    """What pyroute2 lacks is added: read back as set."""
    with Wiring(Topology([guest])) as wiring:
        wiring.build()
        assert _macvtap(wiring, "a").get_attr(attribute) == value


def test_refusal_names_the_operation():
    """An error of the kernel says what was being done, and why not."""
    with Wiring(Topology([Guest("p", Mode.PASSTHRU)])) as wiring:
        wiring.build()
        second = Guest("q", mac="02:68:70:01:00:09")
        with pytest.raises(KernelError, match=r"add macvtap q: EINVAL \(Invalid argument\)"):
            wiring.host.rtnl.transact([add_macvtap(second, index=99, lower=wiring.index["lower"])])


def test_threads_take_turns():
    """On one socket: nobody takes another's answer, and nobody waits for ever for his."""
    with Wiring(Topology([Guest("a"), Guest("b")])) as wiring:
        wiring.build()
        rtnl = wiring.host.rtnl

        def ask(name):
            return {rtnl.link(name).get_attr("IFLA_IFNAME") for _ in range(200)}

        asked = [on_thread(lambda name=name: ask(name)) for name in ("a", "b", "lower")]
        assert [x.result(timeout=30) for x in asked] == [{"a"}, {"b"}, {"lower"}]


def test_a_thousand_requests():
    """However many: each is answered, and a refusal among them keeps none of the others back."""
    with Wiring(Topology([Guest("a")])) as wiring:
        wiring.build()
        requests = [
            add_macvtap(
                Guest(f"g{i}", mac=f"02:68:70:09:{i >> 8:02x}:{i & 0xFF:02x}"),
                index=5000 + i,
                lower=wiring.index["lower"],
            )
            for i in range(1000)
        ]
        with pytest.raises(KernelError, match="add macvtap g500: EEXIST"):
            wiring.host.rtnl.transact([*requests[:501], requests[500], *requests[501:]])
        assert len(wiring.host.rtnl.links()) == 1000 + 3  # a, lower, lo


@pytest.mark.parametrize(
    ("meddle", "says"),
    [
        pytest.param(
            lambda w: w.set_hairpin("lower", on=True),
            "switch port lower has hairpin on",
            id="hairpin",
        ),
        pytest.param(lambda w: w.set_mode("a", Mode.PRIVATE), "a is in private mode", id="mode"),
    ],
)
def test_drift(meddle, says):
    """Live links that are not as declared are named; as built, there are none."""
    with Wiring(Topology([Guest("a", Mode.VEPA)])) as wiring:
        wiring.build()
        assert list(drift(wiring)) == []
        meddle(wiring)
        assert [finding for finding in drift(wiring) if says in finding.says]


@pytest.mark.parametrize(
    "switch",
    [Switch(), Switch(hairpin=True, ports=(Port(to="external", learning=False, flood=False),))],
)
def test_no_drift_as_built(switch):
    """What was declared is what was built, the settings of ports included."""
    topology = Topology(
        [Guest("a"), Guest("d", up=False)], switch=switch, externals=[External("external")]
    )
    with Wiring(topology) as wiring:
        wiring.build()
        assert list(drift(wiring)) == []


@pytest.mark.parametrize(
    ("to", "alone", "told"),
    [
        pytest.param("a", False, Barrier.ORDER, id="unicast: the others vouch"),
        pytest.param("broadcast", False, Barrier.ORDER, id="broadcast: the sibling vouches"),
        pytest.param("lower", True, Barrier.ORDER, id="unicast, no sibling: the others vouch"),
        pytest.param("broadcast", True, Barrier.DEADLINE, id="broadcast, no sibling: a deadline"),
    ],
)
def test_barriers_are_told(to, alone, told):
    """A guest that is down and a source-mode guest without a list hear no sentinel."""
    deaf = [Guest("d", up=False), Guest("s", Mode.SOURCE)]
    topology = Topology(deaf if alone else [Guest("a"), *deaf])
    with Testbed(topology, backend=probe().backend) as bed:
        barriers = bed.observe(Stimulus("external", to)).barriers
    assert {n: b for n, b in barriers.items() if b is not Barrier.SENTINEL} == {
        "d": told,
        "s": told,
    }


def test_lost_sentinel_is_told():
    """A path that is cut behind the harness's back: not taken for "not received"."""
    from harness.kernel.links import set_link

    with Testbed(Topology([Guest("a"), Guest("b")]), backend=probe().backend) as bed:
        request = set_link("b", index=bed.wiring.index["b"], up=False)
        bed.wiring.host.rtnl.transact([request])
        verdict = bed.verdict(Stimulus("external", "a"))
    assert [d.observer for d in verdict.differences if d.lost] == ["b"]
    assert any("b is down" in cause for cause in verdict.causes)


def test_mtu():
    """The lower device's MTU is set at both ends of its wire."""
    with Wiring(Topology([Guest("a")], lowers=[Lower(mtu=9000)])) as wiring:
        wiring.build()
        for ns in (wiring.host, wiring.switch):
            (link,) = [x for x in ns.rtnl.links() if x.get_attr("IFLA_IFNAME") == "lower"]
            assert link.get_attr("IFLA_MTU") == 9000


def test_readers_can_be_waited_for():
    """By the number that membarrier has on this architecture: no error."""
    await_rcu_readers()
