"""Plots: every file is there, valid, says what it is of, and is the same for the same run."""

import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from harness.bench.measurement import Test
from harness.errors import UnfitError, UsageError
from harness.report.canvas import looks_of
from harness.report.plots import draw_plots

PLOTS = {
    "rate": ("Rate by frame size", "frame size in bytes", "kframes/s", "64", "1518", "GSO"),
    "latency": ("Latency under load", "percentile", "latency in µs", "99.9", "max"),
    "loss": ("Frame loss against load", "offered load in Mframes/s", "frames lost in %"),
    "rivals": ("hairpin's engine and others", "trafgen", "scapy", "macvtap bridge, direct"),
    "scale": ("guests on one lower device", "ms/guest", "addresses", "receivers", "1,000"),
}


@pytest.fixture(scope="module")
def folder(request, tmp_path_factory):
    """The plots of a run with every test."""
    folder = tmp_path_factory.mktemp("plots") / "new"
    draw_plots(request.getfixturevalue("make_run")(), folder)
    return folder


def texts(path):
    """What is written in an SVG, as text and not as outlines."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(e.itertext()).strip() for e in root.iter("{http://www.w3.org/2000/svg}text")]


def test_all_are_drawn_in_both_formats(folder):
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.{form}" for name in PLOTS for form in ("svg", "png")
    }


@pytest.mark.parametrize("name", PLOTS)
def test_a_png_is_one_and_not_small(folder, name):
    data = (folder / f"{name}.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data.endswith(b"IEND\xaeB\x60\x82")
    assert int.from_bytes(data[16:20], "big") >= 900


@pytest.mark.parametrize("name", PLOTS)
def test_an_svg_says_what_is_drawn_and_of_what(folder, name):
    found = texts(folder / f"{name}.svg")
    assert all(any(text in line for line in found) for text in PLOTS[name])
    assert any("Linux 6.18.44, x86_64, 2026-01-02" in line for line in found)


@pytest.mark.parametrize("name", ["rate", "latency", "loss"])
def test_every_path_is_in_the_legend(folder, name):
    found = texts(folder / f"{name}.svg")
    assert {"macvtap bridge, direct", "macvtap vepa, hairpin", "bridge + tap"} <= set(found)


def test_the_same_run_gives_the_same_files(folder, make_run, tmp_path):
    for path in draw_plots(make_run(), tmp_path, ("svg",)):
        assert path.read_bytes() == (folder / path.name).read_bytes()
        assert b"<dc:date>" not in path.read_bytes()


def test_a_path_has_one_colour_in_all_plots(folder, make_run):
    look = looks_of(make_run())["macvtap vepa, hairpin"]
    for name in ("rate", "latency", "loss", "scale"):
        assert look.colour.lower() in (folder / f"{name}.svg").read_text(encoding="utf-8").lower()


def test_no_two_paths_look_alike(make_run):
    (first, *_) = make_run().measurements
    run = make_run(measurements=tuple(replace(first, path=f"path {i}") for i in range(30)))
    assert len(set(looks_of(run).values())) == 30


def test_an_interrupted_run_says_so(make_run, tmp_path):
    run = make_run(interrupted=True)
    run = replace(run, measurements=run.measurements[:1])
    (file,) = draw_plots(run, tmp_path, ("svg",))
    assert any("interrupted: partial" in text for text in texts(file))


def test_nothing_is_drawn_of_nothing(make_run, tmp_path):
    assert draw_plots(make_run(measurements=()), tmp_path) == ()


@pytest.mark.parametrize("test", Test)
def test_each_test_can_be_drawn_alone_from_a_single_round(make_run, tmp_path, test):
    run = make_run()
    alone = tuple(replace(m, samples=m.samples[:1]) for m in run.measurements if m.test is test)
    files = draw_plots(replace(run, measurements=alone[:1]), tmp_path, ("svg",))
    assert len(files) == (test is not Test.BURST)


def test_a_curve_of_nothing_can_be_drawn(make_run, tmp_path):
    run = make_run()
    flat = tuple(
        replace(m, samples=(0.0,), curve=tuple((x, 0.0) for x, _ in m.curve))
        for m in run.measurements
    )
    assert draw_plots(replace(run, measurements=flat), tmp_path, ("svg",))


def test_a_place_that_cannot_be_written_is_named(make_run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file: plots cannot be written: "):
        draw_plots(make_run(), tmp_path / "file")


def test_without_matplotlib_the_remedy_is_named(make_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for module in ("drawing", "canvas"):
        monkeypatch.delitem(sys.modules, f"harness.report.{module}", raising=False)
    with pytest.raises(UnfitError, match=r"pip install 'hairpin\[bench\]'"):
        draw_plots(make_run(), tmp_path)


def test_nothing_heavy_is_imported_before_it_is_needed():
    program = (
        "import sys, harness.cli, harness.bench.comparison, harness.report.plots, "
        "harness.report.benchtables, harness.report.benchcompared; "
        "print([m for m in ('matplotlib', 'numpy', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"
