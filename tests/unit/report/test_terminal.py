"""What a person reads: glyphs, headings, widths, and the lists below the matrices."""

import io
from itertools import product, takewhile
from pathlib import Path

import pytest
from rich.console import Console

from harness.report.record import CellOutcome, Record, Run
from harness.report.terminal import make_console, print_run

MODES = ("vepa", "bridge", "private")
PAIRS = [f"{a} → {b}" for a, b in product(MODES, MODES)]
HAIRPIN = ("hairpin off", "hairpin on")
FLOWS = (
    *(f"{a} → {b}" for a, b in product(("a", "b", "host"), ("c", "external", "broadcast"))),
    "a → external, 802.1ad 7",
)
NO_DUMMY = "this kernel has no dummy device"


def record(outcome=CellOutcome.AS_PREDICTED, want=0, got=None, **more):
    """`want` copies predicted for b, `got` seen (as many if None)."""
    given = {
        "case": "test_x",
        "section": "unicast",
        "row": "a → b",
        "column": ("vepa → bridge", "hairpin on"),
        "focus": "b",
        "predicted": {"a": 0, "b": want},
        "seen": {"a": 0, "b": want if got is None else got},
        "barriers": {"a": "sentinel", "b": "sentinel"},
    }
    return Record(outcome=outcome, **given | more)


def skipped(reason=NO_DUMMY, **more):
    return Record(
        **{"case": "c", "section": "dummy", "row": "a → b", "column": ("x",)} | more,
        outcome=CellOutcome.SKIPPED,
        reason=reason,
    )


def differing(want=1, got=0, **more):
    return record(CellOutcome.DIFFERS, want, got, **more)


def otherwise(copies=1, **more):
    promise = {"id": "S4", "text": "Router only.", "source": "guide", "section": "4", "kept": False}
    return record(CellOutcome.DOCUMENTED_OTHERWISE, copies, **{"promises": (promise,)} | more)


def run(*records, **more):
    given = {
        "started": "2026-01-02T03:04:05Z",
        "seconds": 2.5,
        "verdict_seconds": 0.01,
        "kernel": "6.18.0",
        "machine": "x86_64",
        "backend": "tap",
        "version": "0.1.0",
        "missing": {},
        "exit_status": 0,
    }
    return Run(records=tuple(records), **given | more)


def printed(*records, width=120, folder=None, matrix=True, **more):
    """The lines on a terminal of that width, without colour."""
    console = Console(file=io.StringIO(), width=width)
    print_run(run(*records, **more), console, folder=folder, matrix=matrix)
    return console.file.getvalue().splitlines()


def row(lines, name):
    """The cells of the row called `name`, in one piece for each unit of columns."""
    (line,) = (line for line in lines if line.startswith(f"{name} "))
    return [part.split() for part in line.removeprefix(name).split("│")[1:]]


def heads(lines):
    """The heading lines of the first matrix, each split where its units are."""
    matrix = (line for line in lines if "│" in line or "┼" in line)
    return [line.split("│") for line in takewhile(lambda line: "┼" not in line, matrix)]


def words(parts):
    return [" ".join(part.split()) for part in parts]


def matrix_of_pairs(cell):
    """All mode pairs, hairpin off and on; `cell` makes the record of a flow."""
    return [
        cell(row=flow, column=(pair, hairpin))
        for flow in FLOWS
        for pair in PAIRS
        for hairpin in HAIRPIN
    ]


@pytest.mark.parametrize(
    ("given", "cell"),
    [
        pytest.param(record(), "✓0", id="as-predicted-none"),
        pytest.param(record(want=1), "✓1", id="as-predicted"),
        pytest.param(record(want=12), "✓12", id="as-predicted-many"),
        pytest.param(otherwise(1), "doc≠1", id="documented-otherwise"),
        pytest.param(differing(1, 0), "✗0≠1", id="missing"),
        pytest.param(differing(0, 2), "✗2≠0", id="surplus"),
        pytest.param(differing(1, 1), "✗data", id="other-bytes"),
        pytest.param(differing(1, 1, barriers={"b": "lost"}), "✗lost", id="lost"),
        pytest.param(record(CellOutcome.ERROR, focus="", seen={}), "!", id="error"),
    ],
)
def test_each_outcome_has_a_glyph_and_a_legend(given, cell):
    lines = printed(given)
    assert row(lines, "a → b") == [[cell]]
    legend = {"✓": "✓1 as predicted", "d": "doc≠1 as", "✗": "✗1≠0 one copy", "!": "! no verdict"}
    assert legend[cell[0]] in lines[0]
    assert sum(text in lines[0] for text in legend.values()) == 1


def test_skipped_cells_and_cells_without_a_case():
    lines = printed(
        record(column=("veth",)),
        skipped(section="unicast", row="b → a", column=("veth",)),
        skipped(section="unicast", row="a → b", column=("dummy",)),
    )
    assert row(lines, "a → b") == [["✓0"], ["skip"]]
    assert row(lines, "b → a") == [["skip"], ["·"]]
    assert "1 as predicted, 2 skipped" in lines


def test_the_worst_of_several_records_is_what_the_cell_shows():
    assert row(printed(record(), differing(1, 0), otherwise()), "a → b") == [["✗0≠1"]]


def test_glyphs_are_told_apart_by_colour_as_well():
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system="standard")
    records = [record(row="one", want=1), record(row="none"), differing(row="bad")]
    print_run(run(*records), console)
    text = console.file.getvalue()
    assert "\x1b[32m✓1\x1b[0m" in text
    assert "\x1b[2;32m✓0\x1b[0m" in text
    assert "\x1b[1;31m✗0≠1\x1b[0m" in text


def test_a_pipe_gets_no_escape_sequences():
    assert not [line for line in printed(differing(), otherwise(), skipped()) if "\x1b" in line]


def test_brackets_in_an_id_are_no_markup():
    lines = printed(differing(case="test_x[bold]:smile:[/]"), record(row="[red]x[/red]"))
    assert row(lines, "[red]x[/red]") == [["✓0"]]
    assert "      again: hairpin run -k 'test_x[bold]:smile:[/]'" in lines


# ---------------------------------------------------------------- headings and widths


def test_eighteen_columns_fit_into_120_with_each_pair_written_once():
    lines = printed(*matrix_of_pairs(record))
    first, second, last = map(words, heads(lines))
    assert [f"{a} {b}" for a, b in zip(first[1:], second[1:], strict=True)] == PAIRS
    assert last == ["hairpin", *9 * ["off on"]]
    assert row(lines, FLOWS[-1]) == 9 * [["✓0", "✓0"]]
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("cell", [otherwise, differing, lambda **more: differing(1, 1, **more)])
def test_the_widest_cells_still_fit_into_120(cell):
    lines = printed(*matrix_of_pairs(cell))
    matrix = [line for line in lines if "│" in line]
    assert len(matrix) == 3 + len(FLOWS)
    assert max(map(len, matrix)) <= 120


@pytest.mark.parametrize("width", [80, 100])
def test_a_narrow_console_splits_the_columns_into_chunks_about_alike(width):
    lines = printed(*matrix_of_pairs(record), width=width)
    cells = [line.split("│")[1:] for line in lines if line.startswith("a → c ")]
    assert [len(units) for units in cells] == [5, 4]
    assert "\n".join(lines).count("→ private") == 3
    assert max(map(len, lines)) <= width


def test_a_short_heading_stands_next_to_its_columns():
    lines = printed(*matrix_of_pairs(record), record(column=("passthru", "hairpin off")))
    first, second, last = map(words, heads(lines))
    assert (first[-1], second[-1], last[-1]) == ("", "passthru", "off")


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_console(width):
    long = "a reason that goes on and on, " * 8
    lines = printed(
        *matrix_of_pairs(record),
        *matrix_of_pairs(lambda **more: otherwise(section="s" * 30, **more)),
        differing(case="test[a]", causes=(long,), stimulus=long, section=long),
        record(CellOutcome.ERROR, reason=long, section=long, row=long, column=(long,)),
        skipped(long + "x" * 300),
        width=width,
        missing={"dummy": long},
        backend="packet",
    )
    assert max(map(len, lines)) <= width


def test_a_heading_of_one_endless_word_is_broken():
    lines = printed(record(column=("q" * 100,)), record(column=("y",)), width=60)
    assert max(map(len, lines)) <= 60
    assert sum(line.count("q") for line in lines) == 100


def test_many_columns_under_one_heading_are_split_where_they_do_not_fit():
    columns = [("veth", f"mtu {size}") for size in range(1000, 1030)]
    lines = printed(*(record(row=f"r{i}", column=c) for i in range(20) for c in columns), width=60)
    assert max(map(len, lines)) <= 60
    assert sum(line.count("✓0") for line in lines if line.startswith("r7 ")) == 30
    assert len([line for line in lines if "veth" in line]) > 1


def test_a_command_to_be_copied_is_never_broken():
    case = "test_x[" + "long-" * 30 + "]"
    assert f"      again: hairpin run -k '{case}'" in printed(differing(case=case), width=80)


def test_three_levels_of_headings_stand_over_what_they_are_for():
    columns = list(product(("veth", "vlan"), ("vepa", "bridge"), HAIRPIN))
    top, middle, bottom = heads(printed(*(record(column=column) for column in columns)))
    assert words(top) == ["", "veth", "vlan"]
    assert words(middle) == ["", *2 * ["vepa", "bridge"]]
    assert words(bottom) == ["hairpin", *4 * ["off on"]]
    assert len("│".join(top[:2])) == len("│".join(middle[:3])) == len("│".join(bottom[:3]))


def test_a_section_without_headings_has_rows_all_the_same():
    lines = printed(record(column=()), record(row="", column=()))
    assert row(lines, "a → b") == [["✓0"]]
    assert any(line.split() == ["│", "✓0"] for line in lines)
    assert any(line.split() == ["│", "✓0"] for line in printed(record(row="", column=())))


def test_a_wide_section_in_which_one_column_has_no_heading_is_turned_all_the_same():
    columns = [(), *((f"a topology {i}",) for i in range(20))]
    lines = printed(*(record(column=column) for column in columns), width=60)
    assert row(lines, "a topology 19") == [["✓0"]]


def test_headings_of_unlike_depth_stand_at_the_bottom():
    lines = printed(record(column=("vlan", "x y")), record(column=("veth",)))
    assert list(map(words, heads(lines))) == [["", "vlan", ""], ["", "x y", "veth"]]


def test_where_it_is_tight_a_count_is_left_out_and_never_cut():
    """✗10≠0 in four characters would read as ten where nobody knows what was predicted."""
    lines = printed(*matrix_of_pairs(lambda **more: differing(0, 10, **more)), width=120)
    cells = [cell for unit in row(lines, FLOWS[0]) for cell in unit]
    assert set(cells) == {"✗"}


def test_off_and_on_alone_are_the_hairpin():
    lines = printed(*(record(column=("vepa → bridge", state)) for state in ("off", "on")))
    assert words(heads(lines)[-1]) == ["hairpin", "off on"]


def test_headings_that_differ_from_the_first_word_on_stay_whole():
    columns = (("vlan on veth",), ("veth",), ("vepa → vepa",))
    text = "\n".join(printed(*(record(column=column) for column in columns)))
    for words in ("vlan on", "veth", "→ vepa"):
        assert words in text


def test_a_case_without_a_topology_does_not_undo_the_headings():
    """What fails before there is a topology has empty headings."""
    lines = printed(record(), record(column=("vepa → bridge", "hairpin off")), broken())
    assert words(heads(lines)[-1]) == ["hairpin", "on off", ""]
    assert "  ! unicast: single guest" in lines


def broken():
    return record(CellOutcome.ERROR, row="single guest", column=("", ""), focus="", reason="oops")


def test_plus_and_arrow_stay_with_what_follows():
    columns = [
        (f"{a} + {b} + {c}", hairpin)
        for a, b, c in product(MODES, MODES, ("source", "vepa"))
        for hairpin in HAIRPIN
    ]
    lines = printed(*(record(row=f"r{i}", column=c) for i in range(20) for c in columns), width=80)
    first, second, third, _ = heads(lines)
    assert (first[1].strip(), second[1].strip(), third[1].strip()) == ("vepa", "+ vepa", "+ source")


def test_an_address_in_a_heading_stays_whole():
    columns = (("a → 03:68:70:00:00:01",), ("b",))
    assert any(
        "03:68:70:00:00:01" in line for line in printed(*(record(column=c) for c in columns))
    )


def test_half_a_pair_is_no_common_heading():
    """Only senders in vepa mode: "vepa →" beside the headings would say nothing."""
    lines = printed(*(record(column=(pair, "hairpin on")) for pair in PAIRS[:3]))
    assert words(heads(lines)[0]) == ["", *PAIRS[:3]]


TRIPLES = [" · ".join(modes) for modes in product(MODES, MODES, MODES)]


@pytest.mark.parametrize("width", [80, 120])
def test_a_matrix_much_wider_than_high_is_turned(width):
    """27 topologies × hairpin as columns, three flows: topologies become rows."""
    lines = printed(
        *(
            record(row=flow, column=(triple, hairpin), want=int(hairpin == "hairpin on"))
            for flow in ("a → b", "a → c", "c → broadcast")
            for triple in TRIPLES
            for hairpin in HAIRPIN
        ),
        width=width,
    )
    for triple in TRIPLES:
        assert row(lines, triple) == 3 * [["✓0", "✓1"]]
    assert list(map(words, heads(lines))) == [
        ["", "a → b", "a → c", "c → broadcast"],
        ["hairpin", *3 * ["off on"]],
    ]


def test_a_wide_matrix_that_fits_is_not_turned():
    lines = printed(*(record(column=(pair,)) for pair in PAIRS))
    assert row(lines, "a → b") == 9 * [["✓0"]]


def test_a_matrix_that_is_wide_but_high_is_split_and_not_turned():
    lines = printed(*matrix_of_pairs(record), *matrix_of_pairs(record), width=60)
    assert len([line for line in lines if line.startswith("a → c ")]) > 1
    assert not [line for line in lines if line.startswith("vepa → vepa")]


def groups(*cells):
    """Rows that differ in their group's address only, with these cells."""
    return [cell(row=f"a → 03:68:70:00:00:{i:02x}") for i, cell in enumerate(cells)]


def test_rows_that_differ_in_an_address_only_become_one():
    lines = printed(*groups(*6 * [record]), record(row="a → b"))
    assert row(lines, "a → 03:68:70:00:00:00 and 5 alike") == [["✓0"]]
    assert row(lines, "a → b") == [["✓0"]]
    assert not [line for line in lines if "03:68:70:00:00:01" in line]
    assert "7 as predicted" in lines


def test_a_row_that_is_not_alike_stands_alone():
    lines = printed(*groups(*4 * [record], differing, *3 * [record]))
    assert row(lines, "a → 03:68:70:00:00:00 and 3 alike") == [["✓0"]]
    assert row(lines, "a → 03:68:70:00:00:04") == [["✗0≠1"]]
    for i in (5, 6, 7):
        assert row(lines, f"a → 03:68:70:00:00:0{i}") == [["✓0"]]


def test_rows_alike_in_cells_but_not_in_name_stay():
    lines = printed(*(record(row=f"a → {name}") for name in "bcdef"))
    assert [row(lines, f"a → {name}") for name in "bcdef"] == 5 * [[["✓0"]]]


def test_a_long_row_name_is_broken_and_its_cells_stand_on_the_first_line():
    name = "a unicast frame with a name that is far too long for its column at eighty"
    lines = printed(record(row=name), width=80)
    start = next(i for i, line in enumerate(lines) if line.startswith("a unicast frame"))
    assert lines[start].endswith("│ ✓0")
    assert lines[start + 1].startswith("  ")
    assert " ".join(lines[start].split("│")[0].split() + lines[start + 1].split()) in name


def test_a_section_skipped_whole_is_one_line_with_the_reason():
    lines = printed(record(), *(skipped(row=flow) for flow in FLOWS))
    assert f"dummy: 10 cases skipped: {NO_DUMMY}" in lines
    assert not [line for line in lines if line.startswith("a → external")]


def test_a_section_skipped_for_several_reasons_counts_them():
    lines = printed(record(), skipped("one"), skipped("two"))
    assert "dummy: 2 cases skipped: 2 reasons, see below" in lines


def test_an_encoding_without_the_glyphs_gets_ascii():
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_run(run(differing(), otherwise(column=("x",))), Console(file=file, width=100))
    file.flush()
    text = file.buffer.getvalue().decode("ascii")
    assert "X0/1" in text
    assert "doc/1" in text


# ---------------------------------------------------------------- below the matrices


def block(lines, start):
    """The lines from the one that is `start` to the next empty one."""
    begin = lines.index(start)
    return lines[begin : lines.index("", begin)]


def test_a_difference_says_where_who_why_and_how_again():
    given = differing(
        case="tests/conformance/test_x.py::test_x[vepa-on]",
        predicted={"b": 1, "lower.in": 1, "a": 0},
        seen={"b": 0, "lower.in": 0, "a": 0},
        causes=("hairpin of the port of lower is off",),
        row="pair",
        stimulus="a → b tag 8100/7",
    )
    lines = printed(given)
    assert "1 cell not as predicted" in lines
    assert block(lines, "likely cause: hairpin of the port of lower is off") == [
        "likely cause: hairpin of the port of lower is off",
        "  ✗ unicast: pair (a → b tag 8100/7) in vepa → bridge, hairpin on",
        "      b         1 predicted, 0 seen",
        "      lower.in  1 predicted, 0 seen",
        "      again: hairpin run -k 'test_x[vepa-on]'",
    ]


def test_of_a_difference_findings_and_evidence_are_told():
    given = differing(
        case="t",
        causes=("rule",),
        findings=("sent again: the same difference again", "dropped: 1 × TC_INGRESS in x"),
        evidence="evidence/t.txt",
    )
    assert block(printed(given, folder=Path("runs/7")), "likely cause: rule") == [
        "likely cause: rule",
        "  ✗ unicast: a → b in vepa → bridge, hairpin on",
        "      b  1 predicted, 0 seen",
        "      sent again: the same difference again",
        "      dropped: 1 × TC_INGRESS in x",
        "      again: hairpin run -k t",
        "      evidence: runs/7/evidence/t.txt",
    ]


def test_that_evidence_was_kept_of_some_only_is_said():
    kept = [differing(case=f"k{i}", evidence=f"evidence/k{i}.txt") for i in range(2)]
    lines = printed(*kept, differing(case="one"))
    assert (
        "Evidence was kept of 2 of the 3 differing cells: of no more than 50 in one run." in lines
    )
    assert not [line for line in printed(*kept) if line.startswith("Evidence was kept")]
    assert not [line for line in printed(differing()) if line.startswith("Evidence was kept")]


def test_without_matrix_there_are_differences_and_summary():
    lines = printed(otherwise(), differing(row="z"), matrix=False)
    assert not [line for line in lines if "│" in line or "Documented otherwise" in line]
    assert "1 cell not as predicted" in lines
    assert "Summary" in lines


def test_differences_with_one_cause_stand_together():
    lines = printed(
        differing(case="one", causes=("rule",)),
        differing(case="two", causes=("wire",)),
        differing(case="three", causes=("rule",)),
    )
    text = "\n".join(lines)
    assert lines.count("likely cause: rule") == 1
    assert text.index("-k one") < text.index("-k three") < text.index("-k two")
    assert "3 cells not as predicted" in lines


def test_of_many_differences_each_is_named_and_some_are_told():
    lines = printed(*(differing(case=f"case{i}", row=f"r{i}") for i in range(30)))
    for i in range(30):
        assert [line for line in lines if f"case{i}" in line.replace(";", " ").split()]
    assert "  ✗ case29  b: 1 predicted, 0 seen" in lines
    assert len([line for line in lines if "again:" in line]) == 10


def test_an_error_is_listed_with_its_reason_and_no_verdict():
    lines = printed(record(CellOutcome.ERROR, case="t_err", reason="KernelError: EBUSY"))
    assert "1 case failed to run" in lines
    assert block(lines, "KernelError: EBUSY") == [
        "KernelError: EBUSY",
        "  ! unicast: a → b in vepa → bridge, hairpin on",
        "      again: hairpin run -k t_err",
    ]
    assert lines[-1] == "No answer: 1 case failed to run."


def test_broken_promises_are_grouped_with_an_example():
    lines = printed(otherwise(seen={"a": 2, "b": 1}), otherwise(row="b → a"), record(row="fine"))
    assert block(lines, "doc≠ S4  2 verdicts") == [
        "doc≠ S4  2 verdicts",
        "     “Router only.”",
        "     guide; 4",
        "     for example: a → b in vepa → bridge, hairpin on: arrives at a (2), b",
    ]


def test_an_example_in_which_nobody_gets_the_frame():
    assert [line for line in printed(otherwise(0)) if line.endswith("hairpin on: arrives nowhere")]


def test_skipped_cases_are_counted_by_reason():
    lines = printed(
        skipped("no dummy"),
        skipped("no vlan", section="vlan"),
        skipped("no dummy", section="passthru"),
        missing={"bc_cutoff": "broadcasts are always queued"},
    )
    assert block(lines, "Skipped") == [
        "Skipped",
        "     2  no dummy  (dummy; passthru)",
        "     1  no vlan  (vlan)",
        "  not in this kernel: bc_cutoff: broadcasts are always queued",
    ]


def test_nothing_is_listed_that_did_not_happen():
    text = "\n".join(printed(record()))
    for title in ("not as predicted", "Documented otherwise", "Skipped", "not in this kernel"):
        assert title not in text


def test_the_summary_counts_everything():
    lines = printed(
        record(barriers={"a": "sentinel", "b": "deadline"}),
        otherwise(row="y"),
        differing(row="z", barriers={"a": "sentinel", "b": "lost"}),
        skipped(),
        record(CellOutcome.ERROR, barriers={}),
        seconds=12.34,
        verdict_seconds=0.002,
    )
    assert block(lines, "Summary") == [
        "Summary",
        (
            "  verdicts  3: 1 as predicted, 1 documented otherwise, 1 differing, 1 skipped,"
            " 1 failed to run"
        ),
        "  barriers  4 observers read up to a sentinel, 1 up to a deadline, 1 lost the sentinel",
        "  time      12.3 s, of which 0.00 s sending and reading: 1,500 verdicts per second",
        "  kernel    6.18.0, x86_64",
        "  backend   tap: descriptors as a hypervisor uses them",
        "  hairpin   0.1.0, 2026-01-02T03:04:05Z",
    ]


def test_checks_that_hold_are_counted_not_listed():
    lines = printed(record(CellOutcome.HOLDS, row="EINVAL"), record(CellOutcome.HOLDS, row="EBUSY"))
    assert "2 checks hold" in lines
    assert "  checks    2: 2 hold, 0 do not" in lines
    assert not [line for line in lines if "EINVAL" in line]
    assert lines[-1] == "The kernel did what the model predicts."


def test_a_check_that_does_not_hold_is_told_with_its_reason():
    broken = record(CellOutcome.BROKEN, row="EINVAL", reason="not refused")
    lines = printed(record(CellOutcome.HOLDS), broken)
    assert [line for line in lines if "not refused" in line]
    assert lines[-1] == "The kernel does not keep 1 check."


def test_a_run_without_verdicts_has_no_pace_and_no_answer():
    lines = printed(skipped(), verdict_seconds=0.0)
    assert "  time      2.5 s" in lines
    assert not [line for line in lines if line.startswith("  barriers")]
    assert lines[-1] == "No answer: nothing was judged."


def test_verdicts_in_no_time_have_no_pace():
    assert "  time      2.5 s" in printed(record(), verdict_seconds=0.0)


def test_a_case_that_the_command_does_not_hold_is_named():
    lines = printed(differing(case="flow[a → b]"))
    named = lines.index("      flow[a → b]")
    assert lines[named + 1] == "      again: hairpin run -k 'flow[a and b]'"


def test_without_root_the_backend_says_so():
    lines = printed(record(), backend="packet")
    assert "  backend   packet: packet sockets on the macvtap links" in lines


@pytest.mark.parametrize(
    ("records", "status", "conclusion"),
    [
        ([record()], 0, "The kernel did what the model predicts."),
        ([otherwise()], 0, "The kernel did what the model predicts."),
        ([differing()], 1, "The kernel differs from the model in 1 cell."),
        ([differing(), record(CellOutcome.ERROR)], 1, "The kernel differs from the model in 1 c"),
        ([], 0, "No answer: nothing was judged."),
        ([record()], 1, "The kernel did what the model predicts, but the run failed: exit status"),
    ],
)
def test_the_last_line_is_the_answer(records, status, conclusion):
    assert printed(*records, exit_status=status)[-1].startswith(conclusion)


# ---------------------------------------------------------------- the console


def test_a_file_gets_120_columns_even_when_colour_is_forced(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert make_console(io.StringIO()).width == 120


def test_columns_in_the_environment_win(monkeypatch):
    monkeypatch.setenv("COLUMNS", "97")
    assert make_console(io.StringIO()).width == 97


def test_a_terminal_keeps_its_own_width(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("COLUMNS", raising=False)
    terminal = Terminal()
    assert make_console(terminal).width == Console(file=terminal).width


NO_ARP = "ARP asks by broadcast, and that does not reach b"


def test_what_clients_do_not_get_is_explained_once():
    """By reason; rows of one topology stand together."""
    ping, tcp = (record(row=f"{client} a → b", reason=NO_ARP) for client in ("ping", "TCP"))
    lines = printed(record(want=1), ping, tcp)
    at = lines.index("Explained")
    assert lines[at + 1 : at + 4] == [
        "",
        f"  {NO_ARP}",
        "    vepa → bridge with hairpin on: ping a → b, TCP a → b",
    ]


def test_nothing_is_explained_that_nobody_asked_about():
    assert "Explained" not in printed(record(), skipped())
