"""Exchanges between stations and switch: a file each, and what of them is on the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.report.exchange import Exchange, print_exchanges, write_exchange

CHART = "seconds  station  switch\n  1.000  │─── associate ──▶│\n"
TOLD = Exchange(
    "draft: the switch refuses",
    CHART,
    told="error 3 during port-profile setlink",
    seconds=0.21,
    logs=(
        ("libvirt's log", "error : this"),
        ("lldpad's log", "21:45:46.1 asked\n21:45:46.2 sent\n21:45:46.3 asked"),
        ("nobody's log", ""),
    ),
)
WHOLE = Exchange("a guest comes and goes", CHART, shown=True)


def printed(*exchanges, folder=None, encoding="utf-8"):
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_exchanges(exchanges, Console(file=out, width=100), folder)
    out.flush()
    return out.buffer.getvalue().decode(encoding)


def test_file(tmp_path):
    path = write_exchange(TOLD, tmp_path / "exchanges")
    assert path.name == "draft-the-switch-refuses.txt"
    assert path.read_text() == (
        f"draft: the switch refuses\n\n{CHART}\n"
        "The user is told, after 0.2 s:\nerror 3 during port-profile setlink\n\n"
        "libvirt's log:\nerror : this\n\n"
        "lldpad's log:\n21:45:46.1 asked ×2\n21:45:46.2 sent\n"
    )


def test_terminal(tmp_path):
    """The chart of what is to be shown, the words of each failure, and where the rest is."""
    text = printed(WHOLE, TOLD, folder=tmp_path)
    assert text.count("associate") == 1
    assert text.index("a guest comes and goes") < text.index("associate")
    assert "draft: the switch refuses, after 0.2 s:\n    error 3 during" in text
    assert "2 exchanges" in text
    assert tmp_path.name in text


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_arrows(encoding):
    """Where the terminal has no arrows there are still directions."""
    assert ("▶" if encoding == "utf-8" else "-->|") in printed(WHOLE, encoding=encoding)
