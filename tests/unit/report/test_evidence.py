"""What is kept of a difference: the capture, the text, the few lines, the folder."""

import io
import multiprocessing
from dataclasses import replace
from textwrap import dedent

import pytest

from harness.kernel.drops import Drop
from harness.report.capture import capture_of, told_apart
from harness.report.evidence_lines import findings
from harness.report.evidence_text import case_text
from harness.report.folder import MOST_EVIDENCE, EvidenceFolder
from harness.testbed.evidence import Repeat
from harness.topofile import parse_topology


def copy_of(verdict):
    """The one copy that b should see."""
    (frame,) = verdict.prediction.arrivals["b"]
    return frame.to_bytes()


# ---------------------------------------------------------------------- frames told apart


def test_a_predicted_copy_is_told_as_such(verdict):
    given = verdict()
    assert told_apart(given, "b", [copy_of(given)]) == [(copy_of(given), "predicted")]


def test_of_two_copies_where_one_was_predicted_one_is_not(verdict):
    given = verdict()
    remarks = [remark for _, remark in told_apart(given, "b", [copy_of(given)] * 2)]
    assert remarks == ["predicted", "NOT PREDICTED"]


def test_a_changed_copy_is_held_against_the_one_that_is_missing(verdict):
    given = verdict()
    frame = copy_of(given)
    changed = frame[:12] + b"\x81\x00" + frame[14:]
    ((_, remark),) = told_apart(given, "b", [changed])
    assert remark == "NOT PREDICTED: from byte 12 on it is 81 00 68 70, predicted was 88 b5 68 70"


def test_a_copy_that_is_too_short_is_told_by_its_length(verdict):
    given = verdict()
    ((_, remark),) = told_apart(given, "b", [copy_of(given)[:40]])
    assert remark == "NOT PREDICTED: 40 bytes long, 60 were predicted"


# ---------------------------------------------------------------------- the capture


def test_the_capture_has_every_observer_and_what_is_missing(verdict):
    from scapy.utils import RawPcapNgReader

    given = verdict(b=[], lower_in=[])
    capture = capture_of(given, system="Linux", application="hairpin")
    reader = RawPcapNgReader(io.BytesIO(capture))
    (_, stimulus), (data, copy) = reader._read_packet(), reader._read_packet()
    with pytest.raises(EOFError):
        reader._read_packet()
    options = {o["name"].decode(): o["comment"].decode() for _, _, o in reader.interfaces}
    assert tuple(options) == given.topology.observers
    assert options["a"] == "As predicted: 0 seen."
    assert options["b"].startswith("NOT AS PREDICTED: b: 1 predicted, 0 seen.\nPredicted and not")
    assert copy_of(given).hex() in options["b"]
    assert stimulus.ifname == b"a"
    assert stimulus.comments[0].decode().splitlines() == [
        "first sending: the stimulus a → b, as a sends it",
        "b: 1 predicted, 0 seen: 1 MISSING",
        "lower.out: 1 predicted, 1 seen",
        "lower.in: 1 predicted, 0 seen: 1 MISSING",
    ]
    assert copy.ifname == b"lower.out"
    assert data == copy_of(given)
    assert copy.comments[0].endswith(b"a copy of the stimulus at lower.out: predicted")


@pytest.mark.parametrize(("repeat", "stimuli"), [(Repeat.SAME, 1), (Repeat.NOT, 2)])
def test_the_second_sending_is_there_where_it_was_another(verdict, evidence, repeat, stimuli):
    given = verdict(b=[], found=evidence(repeat=repeat))
    assert capture_of(given, system="", application="").count(b"as a sends it") == stimuli


# ---------------------------------------------------------------------- few lines


def test_findings_have_the_repeat_drops_and_counters_of_trouble(evidence, netfilter):
    found = evidence(
        drops={netfilter: 1},
        counters={
            "host": {"lower": {"rx_packets": 1, "rx_dropped": 2}},
            "port": {"lower": {"tx_packets": 1, "tx_errors": 1}},
        },
        notes=("A copy came late.",),
    )
    assert findings(found) == (
        "sent again: the same difference again",
        "A copy came late.",
        "dropped: 1 × NETFILTER_DROP in nft_do_chain",
        "counter: lower rx_dropped +2",
        "counter: switch port lower tx_errors +1",
    )


def test_the_usual_end_of_a_copy_is_no_finding(evidence):
    """What is flooded to the bridge's own stack ends there, in every run."""
    found = evidence(
        drops={Drop("UNHANDLED_PROTO", "__netif_receive_skb_core"): 1},
        counters={"bridge": {"switch": {"rx_dropped": 1}}},
    )
    assert findings(found) == ("sent again: the same difference again",)


def test_findings_are_few(evidence):
    found = evidence(counters={"host": {f"g{i}": {"rx_dropped": 1} for i in range(20)}})
    assert len(findings(found)) == 6
    assert findings(found)[-1] == "and 16 lines more"


# ---------------------------------------------------------------------- the text


def text(record, verdict, **given):
    fields = {"run": "hairpin 1", "again": "hairpin run -k x", "capture": "x.pcapng"} | given
    return case_text(record(verdict), verdict, **fields)


def block(text, title):
    """The lines under a title, indentation taken off."""
    lines = text.split(f"\n{title}", 1)[1].split("\n\n", 1)[0].splitlines()
    return [line.strip() for line in lines[1:]]


def test_the_text_has_everything(verdict, record, evidence, netfilter):
    found = evidence(
        drops={netfilter: 2}, counters={"port": {"lower": {"rx_packets": 1, "rx_bytes": 60}}}
    )
    given = verdict(b=[], lower_in=[], found=found)
    lines = text(record, given).splitlines()
    assert lines[0] == "a → b in vepa → vepa, hairpin on"
    assert lines[2:5] == [
        "test_unicast.py::test_flow[vepa-vepa]",
        "hairpin 1",
        "frames: x.pcapng",
    ]
    whole = "\n".join(lines)
    assert block(whole, "Again") == ["hairpin run -k x"]
    assert block(whole, "Likely cause") == ["switch port lower has hairpin off"]
    assert "b                1          0     0      sentinel    ✗" in block(whole, "Observers")
    assert block(whole, "Sent again") == ["the same difference again"]
    assert block(whole, "Counters") == [
        "switch port lower  rx_packets  +1",
        "switch port lower  rx_bytes    +60",
    ]
    assert block(whole, "Frames that the kernel dropped") == ["2 × NETFILTER_DROP in nft_do_chain"]
    assert "b did not see, though it was predicted:" in whole
    assert block(whole, "The model's way of the frame") == list(map(str, given.prediction.trace))
    topology = whole.partition("\nThe topology\n")[2]
    assert parse_topology(dedent(topology)) == given.topology


def test_why_drops_are_not_known_is_said(verdict, record, evidence):
    given = verdict(b=[], found=evidence(drops_unknown="that takes root"))
    assert block(text(record, given), "Frames that the kernel dropped") == [
        "not known: that takes root"
    ]


def test_nothing_moved_and_nothing_dropped_is_said(verdict, record):
    whole = text(record, verdict(b=[]))
    assert block(whole, "Counters") == block(whole, "Frames that the kernel dropped") == ["none"]


def test_what_could_not_be_sent_again_has_no_counters(verdict, record, evidence):
    found = evidence(repeat=Repeat.FAILED, arrivals={}, notes=("Sending it again failed: x.",))
    whole = text(record, verdict(b=[], found=found))
    assert block(whole, "Sent again") == [
        "no answer: it could not be sent again",
        "Sending it again failed: x.",
    ]
    assert "Counters that moved" not in whole


# ---------------------------------------------------------------------- the folder


def folder(path, **given):
    fields = {"run": "", "options": "", "system": "", "application": ""} | given
    return EvidenceFolder(path / "evidence", **fields)


def test_text_and_capture_lie_side_by_side(tmp_path, verdict, record):
    kept = folder(tmp_path).keep(record(verdict(b=[])), verdict(b=[]))
    assert kept.evidence == "evidence/test_unicast-test_flow-vepa-vepa.txt"
    assert sorted(p.name for p in (tmp_path / "evidence").iterdir()) == [
        "test_unicast-test_flow-vepa-vepa.pcapng",
        "test_unicast-test_flow-vepa-vepa.txt",
    ]


@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("a/b/test_x.py::TestY::test_z", "test_x-TestY-test_z"),
        ("../test_x.py::test_z[1/2 & $HOME]", "test_x-test_z-1-2-HOME"),
        (r"test_x.py::test_z[a \u2192 b]", "test_x-test_z-a-b"),
        ("test_x.py::test_z[a → b]", "test_x-test_z-a-b"),
        ("test_x.py::" + "z" * 300, "test_x-" + "z" * 93),
        ("::", "case"),
    ],
)
def test_a_name_is_short_and_fit_for_a_shell(tmp_path, verdict, record, case, name):
    kept = folder(tmp_path).keep(record(verdict(b=[]), case), verdict(b=[]))
    assert kept.evidence == f"evidence/{name}.txt"


def test_no_two_cases_share_a_name(tmp_path, verdict, record):
    given = verdict(b=[])
    into = folder(tmp_path)
    names = [into.keep(record(given, case), given).evidence for case in ("x[a b]", "x[a-b]", "x[")]
    assert names == ["evidence/x-a-b.txt", "evidence/x-a-b-2.txt", "evidence/x.txt"]


def test_the_command_repeats_it_with_the_options_of_the_run(tmp_path, verdict, record):
    kept = folder(tmp_path, options="--backend packet").keep(record(verdict(b=[])), verdict(b=[]))
    written = (tmp_path / kept.evidence).read_text()
    assert "  hairpin run -k 'test_flow[vepa-vepa]' --backend packet\n" in written


def test_a_full_folder_takes_no_more(tmp_path, verdict, record):
    given = verdict(b=[])
    into = folder(tmp_path)
    for i in range(MOST_EVIDENCE):
        assert into.has_room()
        assert into.keep(record(given, f"case{i}"), given).evidence
    assert not into.has_room()
    assert into.keep(record(given), given) == record(given)
    assert len(list((tmp_path / "evidence").iterdir())) == 2 * MOST_EVIDENCE


def _fill(path, given, made):
    for _ in range(30):
        folder(path).keep(made, given)


def test_several_processes_keep_to_the_bound_together(tmp_path, verdict, record):
    """As workers of pytest-xdist: every file whole, none over the bound, none lost."""
    given = verdict(b=[])
    context = multiprocessing.get_context("fork")
    work = [context.Process(target=_fill, args=(tmp_path, given, record(given))) for _ in range(4)]
    for process in work:
        process.start()
    for process in work:
        process.join(timeout=30)
        assert process.exitcode == 0
    texts = list((tmp_path / "evidence").glob("*.txt"))
    assert len(texts) == MOST_EVIDENCE
    assert len({t.read_text().count("Likely cause") for t in texts}) == 1


def test_a_folder_that_cannot_be_written_loses_no_verdict(tmp_path, verdict, record):
    (tmp_path / "evidence").touch()
    given = verdict(b=[])
    kept = folder(tmp_path).keep(record(given), given)
    assert kept == replace(record(given), findings=kept.findings)
    assert kept.findings[-1].startswith("the evidence could not be written to ")
