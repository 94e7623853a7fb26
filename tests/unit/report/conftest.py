"""A verdict that differs, with evidence, made without a kernel."""

import pytest

from harness.kernel.drops import Drop
from harness.model import predict
from harness.parts import Guest, Mode, Switch
from harness.report.labels import column_of
from harness.report.record import Record
from harness.stimulus import Stimulus
from harness.testbed.evidence import Evidence, Repeat
from harness.testbed.verdict import Barrier, Observation, judge
from harness.topofile import dump_topology
from harness.topology import Topology

TOPOLOGY = Topology(
    [Guest("a", Mode.VEPA), Guest("b", Mode.VEPA)],
    switch=Switch(hairpin=True),
)
STIMULUS = Stimulus("a", "b")


@pytest.fixture
def evidence():
    """``evidence(**fields)``: sent again, the same difference; what is given wins."""

    def make(**given):
        arrivals = dict.fromkeys(TOPOLOGY.observers, ())
        return Evidence(
            **{
                "repeat": Repeat.SAME,
                "seen_at": 1_700_000_000.0,
                "again_at": 1_700_000_000.5,
                "arrivals": arrivals,
            }
            | given
        )

    return make


@pytest.fixture
def verdict(evidence):
    """``verdict(b=[frame], …)``: a → b with hairpin on; who is not named saw what was predicted."""

    def make(*, found=None, lost=(), **seen):
        prediction = predict(TOPOLOGY, STIMULUS)
        arrivals = {
            name: tuple(seen.get(name.replace(".", "_"), [f.to_bytes() for f in frames]))
            for name, frames in prediction.arrivals.items()
        }
        barriers = {n: Barrier.LOST if n in lost else Barrier.SENTINEL for n in arrivals}
        judged = judge(TOPOLOGY, STIMULUS, prediction, Observation(arrivals, barriers))
        fields = vars(judged) | {
            "causes": ("switch port lower has hairpin off",),
            "evidence": found or evidence(),
        }
        return type(judged)(**fields)

    return make


@pytest.fixture
def record():
    """``record(verdict, case)``: its record, as the plugin makes it."""

    def make(verdict, case="test_unicast.py::test_flow[vepa-vepa]"):
        return Record.of(
            verdict,
            case=case,
            section="unicast",
            row=str(verdict.stimulus),
            column=column_of(verdict.topology),
            topology=dump_topology(verdict.topology),
        )

    return make


@pytest.fixture
def netfilter():
    """A drop as nftables makes it."""
    return Drop("NETFILTER_DROP", "nft_do_chain")
