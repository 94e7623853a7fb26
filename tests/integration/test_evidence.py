"""Evidence on a difference: in a real run, on a real kernel, read back as a user would.

    a [tap]--.                      .-- external
             lower --[wire]-- switch
    b [tap]--'

What is broken here: hairpin of lower's port is turned round behind the testbed's back, or
nftables drops frames at the bridge.
"""

import errno
import json
import os
import re
import shutil
import subprocess

import pytest

from harness import Guest, KernelError, Mode, Stimulus, Testbed, Topology
from harness.frames import Frame, Kind, payload
from harness.kernel import links
from harness.kernel.drops import DropTrace
from harness.kernel.features import probe
from harness.kernel.privileges import ensure_namespaces
from harness.kernel.syscalls import detached_mount
from harness.report.folder import MOST_EVIDENCE
from harness.testbed import Repeat

FLIPPING = """
from harness.testbed import Testbed

original = Testbed.verdict

def verdict(self, stimulus):
    self.wiring.set_hairpin("lower", on=not self.topology.port("lower").hairpin)
    return original(self, stimulus)

Testbed.verdict = verdict
"""

DROPPING = """
import subprocess
from harness.testbed import Testbed

RULES = '''
table bridge broken {
  chain forward {
    type filter hook forward priority 0;
    ether daddr 02:68:70:01:00:02 ether type 0x88b5 drop
  }
}
'''
original = Testbed.verdict

def verdict(self, stimulus):
    self.wiring.switch.run(
        lambda: subprocess.run(["nft", "-f", "-"], input=RULES, text=True, check=True)
    )
    return original(self, stimulus)

Testbed.verdict = verdict
"""

needs_nft = pytest.mark.skipif(not shutil.which("nft"), reason="nft is not installed")


@pytest.fixture
def _drops():
    """Skips where drops cannot be traced for want of rights or of the tracepoint."""
    try:
        DropTrace().close()
    except KernelError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.ENODEV, errno.ENOENT):
            raise
        pytest.skip(f"{error}")


def records_of(folder):
    return json.loads((folder / ".hairpin/last/results.json").read_text())["records"]


def differing(folder):
    return [r for r in records_of(folder) if r["outcome"] == "differs"]


def read_capture(path):
    """Frames with their metadata, and each interface's comment by its name."""
    from scapy.utils import RawPcapNgReader

    with path.open("rb") as file:
        reader = RawPcapNgReader(file)
        frames = []
        while True:
            try:
                frames.append(reader._read_packet())
            except EOFError:
                break
    names = {o["name"].decode(): o["comment"].decode() for _, _, o in reader.interfaces}
    return frames, names


def comments(frames):
    """Interface and comment of each frame."""
    return [(about.ifname.decode(), about.comments[0].decode()) for _, about in frames]


# ---------------------------------------------------------------------- a run of the suite


def test_capture_of_a_frame_too_many(hairpin, tmp_path):
    """Every observer has an interface; the copies that the reflection made say so."""
    result = hairpin("run", "-k", "test_guest_to_guest and [vepa-vepa]", plugin=FLIPPING)
    assert result.returncode == 1, result.stdout + result.stderr
    (record,) = differing(tmp_path)
    text = tmp_path / ".hairpin/last" / record["evidence"]
    frames, interfaces = read_capture(text.with_suffix(".pcapng"))
    assert list(interfaces) == list(record["predicted"])
    assert [(name, re.sub(r".*: ", "", c.splitlines()[0])) for name, c in comments(frames)] == [
        ("a", "the stimulus a → b, as a sends it"),
        ("b", "NOT PREDICTED"),
        ("lower.out", "predicted"),
        ("lower.in", "NOT PREDICTED"),
    ]
    assert len({bytes(data) for data, _ in frames}) == 1
    assert interfaces["b"] == "NOT AS PREDICTED: b: 0 predicted, 1 seen."
    assert interfaces["external"] == "As predicted: 0 seen."


def test_capture_of_a_frame_that_is_missing(hairpin, tmp_path):
    """What did not come is told on the stimulus and on the interface, and is no frame."""
    result = hairpin("run", "-k", "test_guest_to_guest and [vepa-vepa-hairpin]", plugin=FLIPPING)
    assert result.returncode == 1, result.stdout + result.stderr
    (record,) = differing(tmp_path)
    text = tmp_path / ".hairpin/last" / record["evidence"]
    frames, interfaces = read_capture(text.with_suffix(".pcapng"))
    assert [name for name, _ in comments(frames)] == ["a", "lower.out"]
    assert "b: 1 predicted, 0 seen: 1 MISSING" in comments(frames)[0][1]
    assert "Predicted and not seen: 02687001000202687001000188b5" in interfaces["b"]


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_wireshark_reads_the_capture(hairpin, tmp_path):
    """Interfaces by name, comments on frames, not one complaint."""
    hairpin("run", "-k", "test_guest_to_guest and [vepa-vepa]", plugin=FLIPPING)
    (record,) = differing(tmp_path)
    path = (tmp_path / ".hairpin/last" / record["evidence"]).with_suffix(".pcapng")
    fields = ("frame.interface_name", "eth.dst", "frame.comment", "_ws.malformed")
    said = subprocess.run(
        ["tshark", "-r", str(path), "-T", "fields", *(f"-e{field}" for field in fields)],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("\t") for line in said.stdout.splitlines()]
    assert [row[0] for row in rows] == ["a", "b", "lower.out", "lower.in"]
    assert {row[1] for row in rows} == {"02:68:70:01:00:02"}
    assert "NOT PREDICTED" in rows[1][2]
    assert {row[3] for row in rows} == {""}
    assert "tshark:" not in said.stderr


def test_the_text_and_where_it_is(hairpin, tmp_path):
    """The terminal names it, `hairpin last` prints it, and its last command repeats the case."""
    result = hairpin("run", "-k", "test_guest_to_guest and [vepa-vepa]", plugin=FLIPPING)
    (record,) = differing(tmp_path)
    (path,) = re.findall(r"evidence: (\S+)", result.stdout)
    text = (tmp_path / path).read_text()
    assert path.endswith(record["evidence"])
    for part in (
        "switch port lower has hairpin on, the topology says off",
        "  b                0          1     1      sentinel    ✗\n",
        "Sent again\n  the same difference again\n",
        "  switch port lower  tx_packets  +1\n",
        "  b                  rx_packets  +1\n",
        "  a: sends, in vepa mode on lower\n",
        '  name = "a"\n',
    ):
        assert part in text
    last = hairpin("last", "test_guest_to_guest")
    assert (last.returncode, last.stdout) == (0, text)
    summary = hairpin("last")
    assert summary.returncode == 0
    assert path in summary.stdout
    (command,) = re.findall(r"Again\n  hairpin (.*)\n", text)
    again = hairpin(*command.replace("'", "").split(), plugin=FLIPPING)
    assert again.returncode == 1
    assert [r["case"] for r in records_of(tmp_path)] == [record["case"]]


@needs_nft
@pytest.mark.usefixtures("_drops")
def test_a_drop_has_its_reason(hairpin, tmp_path):
    """Nftables at the bridge: the kernel's own reason, and the function that dropped."""
    result = hairpin("run", "-k", "test_guest_to_guest and [vepa-vepa-hairpin]", plugin=DROPPING)
    assert result.returncode == 1, result.stdout + result.stderr
    (record,) = differing(tmp_path)
    assert "dropped: 1 × NETFILTER_DROP in nft_do_chain" in record["findings"]
    assert "dropped: 1 × NETFILTER_DROP in nft_do_chain" in result.stdout
    text = (tmp_path / ".hairpin/last" / record["evidence"]).read_text()
    assert "  1 × NETFILTER_DROP in nft_do_chain\n" in text
    assert "switch port lower  rx_packets  +1\n" in text
    assert "switch port lower  tx_packets" not in text


def test_without_root_everything_but_drop_reasons(hairpin, without_root, tmp_path):
    result = hairpin(
        *("run", "-k", "test_guest_to_guest and [vepa-vepa]"),
        plugin=FLIPPING,
        wrapper=without_root,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    (record,) = differing(tmp_path)
    text = (tmp_path / ".hairpin/last" / record["evidence"]).read_text()
    assert "not known: that takes root\n" in text
    assert "switch port lower  tx_packets  +1\n" in text


def test_a_run_without_differences_has_no_evidence(hairpin, tmp_path):
    assert hairpin("run", "-k", "test_guest_to_guest").returncode == 0
    assert not (tmp_path / ".hairpin/last/evidence").exists()
    assert {r["evidence"] for r in records_of(tmp_path)} == {""}
    assert hairpin("last", "test_guest").stderr.startswith("hairpin: no case of the last run diff")


def test_workers_write_and_keep_to_the_bound(hairpin, tmp_path):
    """On two processes: every file whole and its own, no more than the bound, which is said."""
    result = hairpin(
        *("run", "-j", "2", "-k", "test_guest_to_guest or test_multicast"), plugin=FLIPPING
    )
    assert result.returncode == 1, result.stdout + result.stderr
    found = differing(tmp_path)
    kept = [r["evidence"] for r in found if r["evidence"]]
    assert len(found) > MOST_EVIDENCE
    assert len(set(kept)) == len(kept) == MOST_EVIDENCE
    assert f"Evidence was kept of {MOST_EVIDENCE} of the {len(found)} differing" in result.stdout
    names = {p.name for p in (tmp_path / ".hairpin/last/evidence").iterdir()}
    assert len(names) == 2 * MOST_EVIDENCE
    for record in found:
        if record["evidence"]:
            text = tmp_path / ".hairpin/last" / record["evidence"]
            assert record["case"] in text.read_text()
            assert list(read_capture(text.with_suffix(".pcapng"))[1]) == list(record["seen"])


USER_TEST = '''
"""A user's own test."""
from harness import Guest, KernelError, Mode, Stimulus, Topology

def test_mine(testbed):
    testbed(Topology([Guest("x", Mode.VEPA), Guest("y", Mode.VEPA)])).check(Stimulus("x", "y"))

def test_other(testbed):
    pass
'''


def test_a_users_own_test_can_be_run_again(hairpin, tmp_path):
    """The command names its file: by name alone the suite would be searched."""
    (tmp_path / "test_mine.py").write_text(USER_TEST)
    hairpin("run", "test_mine.py", plugin=FLIPPING)
    (record,) = differing(tmp_path)
    assert record["case"] == "./test_mine.py::test_mine"
    said = hairpin("last").stdout
    assert "again: hairpin run ./test_mine.py::test_mine\n" in said
    assert "1 failed" in hairpin("run", "./test_mine.py::test_mine", plugin=FLIPPING).stdout


def test_compare_before_and_after(hairpin, tmp_path):
    """The same suite with hairpin flipped: each cell that hangs on it, and exit status 1."""
    hairpin("run", "-k", "test_guest_to_guest")
    before = (tmp_path / ".hairpin/last").resolve()
    hairpin("run", "-k", "test_guest_to_guest", plugin=FLIPPING)
    result = hairpin("compare", str(before), ".hairpin/last")
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "16 cells not the same; 2 cells alike."
    assert "a → b in vepa → vepa, hairpin off: as predicted → differs" in result.stdout
    assert "b: predicted 0, seen 0 → 1" in result.stdout
    assert "B: switch port lower has hairpin on, the topology says off" in result.stdout
    assert "a: sends, in vepa mode on lower" in result.stdout
    assert hairpin("compare", str(before), str(before)).returncode == 0


# ---------------------------------------------------------------------- a testbed


@pytest.fixture
def bed():
    """Two vepa guests, hairpin off; evidence is wanted."""
    ensure_namespaces()
    topology = Topology([Guest("a", Mode.VEPA), Guest("b", Mode.VEPA)])
    with Testbed(topology, backend=probe().backend) as made:
        made.wants_evidence = lambda: True
        yield made


def test_counters_are_the_stimulus_alone(bed):
    """One frame of 60 bytes there and back: the sentinels' share is taken off to the frame."""
    bed.wiring.set_hairpin("lower", on=True)
    found = bed.verdict(Stimulus("a", "b")).evidence
    one = {"rx_packets": 1, "rx_bytes": 60, "tx_packets": 1, "tx_bytes": 60}
    assert found.counters["port"] == {"lower": one}
    assert found.counters["host"]["lower"] == one
    assert found.counters["host"]["a"] == {"tx_packets": 1, "tx_bytes": 60}
    assert found.counters["host"]["b"].items() >= {"rx_packets": 1}.items()
    assert "outside" not in found.counters


def test_a_difference_that_does_not_repeat_itself_is_called_so(bed):
    """Hairpin was on for a moment only: the second sending goes as predicted."""
    wired = bed.wiring
    wired.set_hairpin("lower", on=True)

    def mended():
        wired.set_hairpin("lower", on=False)
        return True

    bed.wants_evidence = mended
    found = bed.verdict(Stimulus("a", "b")).evidence
    assert found.repeat is Repeat.NOT
    assert found.arrivals["b"] == ()


def test_another_difference_is_called_so(bed):
    """Reflected the first time, and cut off the second."""
    wired = bed.wiring
    wired.set_hairpin("lower", on=True)

    def worse():
        wired.set_mode("b", Mode.BRIDGE)
        wired.set_mode("a", Mode.BRIDGE)
        return True

    bed.wants_evidence = worse
    found = bed.verdict(Stimulus("a", "b")).evidence
    assert found.repeat is Repeat.OTHER
    assert (len(found.arrivals["b"]), found.arrivals["lower.out"]) == (1, ())


def test_no_evidence_where_nobody_wants_it(bed):
    bed.wants_evidence = lambda: False
    bed.wiring.set_hairpin("lower", on=True)
    assert bed.verdict(Stimulus("a", "b")).evidence is None


def test_a_testbed_is_as_good_after_evidence_as_before(bed):
    bed.wiring.set_hairpin("lower", on=True)
    assert bed.verdict(Stimulus("a", "b")).differences
    bed.wiring.set_hairpin("lower", on=False)
    for stimulus in (Stimulus("a", "b"), Stimulus("a", "broadcast"), Stimulus("external", "b")):
        assert bed.verdict(stimulus).differences == ()


@pytest.mark.usefixtures("_drops")
def test_drops_leave_nothing_behind_in_tracefs(bed):
    """No instance, and the global buffer's event stays off: nothing outlives a killed process."""

    def tracefs(name):
        root = detached_mount("tracefs")
        try:
            with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=root)) as file:
                return file.read()
        finally:
            os.close(root)

    before = tracefs("events/skb/kfree_skb/enable")
    with DropTrace() as trace:
        bed.observe(Stimulus("a", "b"))
        assert trace.take({0x88B5}).total() > 0
        assert tracefs("events/skb/kfree_skb/enable") == before


def test_a_copy_that_comes_late_is_noted(bed):
    """A copy that turns up among the control round's sentinels; the counters are right anyway."""
    bed.wiring.set_hairpin("lower", on=True)
    late = Frame(bed.topology.macs["b"], bed.topology.macs["a"], payload=payload(Kind.STIMULUS, 77))

    def wanted():
        bed.endpoints["a"].send(late.to_bytes())
        return True

    bed.wants_evidence = wanted
    found = bed.verdict(Stimulus("a", "b")).evidence
    assert found.repeat is Repeat.SAME
    assert any("received stimulus 77" in note for note in found.notes)
    assert found.counters["host"]["a"] == {"tx_packets": 1, "tx_bytes": 60}


def test_who_is_not_reached_the_second_time_is_named(bed):
    """The port goes down in between: no sentinel reaches the external host any more."""
    bed.wiring.set_hairpin("lower", on=True)

    def cut():
        down = links.set_link("external", index=bed.wiring.port_index["external"], up=False)
        bed.wiring.switch.rtnl.transact([down])
        return True

    bed.wants_evidence = cut
    found = bed.verdict(Stimulus("a", "b")).evidence
    assert found.lost == ("external",)
    assert found.repeat is Repeat.OTHER


@pytest.mark.skipif(not shutil.which("ip"), reason="iproute2 is not installed")
def test_what_cannot_be_sent_again_is_a_verdict_still(bed):
    """The sender's link is gone: the verdict stands, and the evidence says what happened."""
    bed.wiring.set_hairpin("lower", on=True)

    def gone():
        command = ["ip", "link", "delete", "dev", "a"]
        bed.wiring.host.run(lambda: subprocess.run(command, check=True))
        return True

    bed.wants_evidence = gone
    verdict = bed.verdict(Stimulus("a", "b"))
    assert [d.observer for d in verdict.differences] == ["b", "lower.in"]
    found = verdict.evidence
    # A tap takes the frame and drops it; a packet socket refuses.
    assert found.repeat is (Repeat.OTHER if bed.backend == "tap" else Repeat.FAILED)
    assert (found.lost, bool(found.notes)) == (
        (("a",), False) if bed.backend == "tap" else ((), True)
    )
