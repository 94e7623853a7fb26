"""`hairpin explain` and what is wrong with a command line: output and exit status."""

import errno
import sys

import pytest

from harness.cli import main
from harness.errors import KernelError, UnfitError

TOPOLOGY = """\
[[guest]]
name = "a"
mode = "private"

[[guest]]
name = "b"
mode = "private"

[switch]
hairpin = true

[router]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text(TOPOLOGY, encoding="utf-8")
    return str(path)


def test_explain(file, capsys):
    """Who receives it, the way with its rules, and what the documentation says."""
    status = main(["explain", file, "--from", "a", "--to", "b"])
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "a → b  (02:68:70:01:00:01 to 02:68:70:01:00:02)"
    arrives = lines[lines.index("Arrives at") + 1 : lines.index("Way") - 1]
    assert {line.split()[0]: line.split()[1] for line in arrives} == {
        "a": "0",
        "b": "1",
        "lower": "0",
        "external": "0",
        "router": "0",
        "lower.otherhost": "0",
        "lower.out": "1",
        "lower.in": "1",
    }
    assert "  b: receives a copy" in lines
    assert "  kept: Every frame of a private guest goes to the external switch." in lines
    assert any(line.startswith("  documented otherwise: If sender or target") for line in lines)


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ("--to broadcast", "a → broadcast  (02:68:70:01:00:01 to ff:ff:ff:ff:ff:ff)"),
        ("--to b --source b", "a → b as b  (02:68:70:01:00:02 to 02:68:70:01:00:02)"),
        ("--to b --via router", "a → b via router  (02:68:70:01:00:01 to 02:68:70:04:00:01)"),
        ("--to b --vlan 7", "a → b tag 8100/7  (02:68:70:01:00:01 to 02:68:70:01:00:02)"),
    ],
    ids=["broadcast", "source", "via", "vlan"],
)
def test_explain_options(file, capsys, options, first):
    assert main(["explain", file, "--from", "a", *options.split()]) == 0
    assert capsys.readouterr().out.splitlines()[0] == first


def test_explain_a_group_that_may_collide(file, capsys):
    main(["explain", file, "--from", "external", "--to", "01:00:5e:00:00:fb"])
    out = capsys.readouterr().out
    marked = [line.split()[0] for line in out.splitlines() if "(or one, if the group's" in line]
    assert marked == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--from c --to b", "sender 'c' is nobody; allowed: a, b, lower, external, router"),
        ("--from a --to c", "target 'c' is nobody; allowed: a, b, lower, external, router,"),
        ("--from a --to b --source x", "source 'x' is nobody; allowed:"),
        ("--from a --to b --via external", "no router 'external' in this topology"),
        ("--from a --to b --vlan 0", "tag 0 is no VLAN id; allowed: 1 to 4094"),
        ("--from a --to b --bogus", "unknown argument --bogus; see hairpin explain --help"),
        ("--from a --to b more", "unknown argument more; see hairpin explain --help"),
    ],
)
def test_explain_what_cannot_be_sent(file, capsys, options, message):
    """Exit status 2, one line on stderr, nothing on stdout."""
    status = main(["explain", file, *options.split()])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith(f"hairpin: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[lower]]\nmtu = 1", ":2: lower[1].mtu: 1 is out of range; allowed: 68 to 65535"),
        ("guest =", ":1: syntax: Invalid value"),
        (None, ":1: file: cannot be read: No such file or directory"),
    ],
    ids=["invalid", "no TOML", "missing"],
)
def test_explain_bad_file(tmp_path, capsys, text, message):
    path = tmp_path / "bad.toml"
    if text:
        path.write_text(text, encoding="utf-8")
    status = main(["explain", str(path), "--from", "a", "--to", "b"])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith(f"hairpin: {path}{message}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "arguments are required: COMMAND"),
        ("fly", "invalid choice: 'fly'"),
        ("explain", "arguments are required: TOPOLOGY, --from, --to"),
        ("explain x.toml --from a", "arguments are required: --to"),
        ("explain x.toml --from a --to b --vlan x", "argument --vlan: invalid int value: 'x'"),
        ("run --backend x", "argument --backend: invalid choice: 'x'"),
    ],
)
def test_bad_command_line(capsys, line, message):
    """Argparse's own exit status is the one for usage: 2."""
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--help", ["run", "explain", "--version"]),
        ("explain --help", ["TOPOLOGY", "--from", "--to", "--source", "--via", "--vlan"]),
        ("run --help", ["--backend", "--output", "pytest"]),
        ("--version", ["hairpin"]),
    ],
)
def test_help(capsys, line, words):
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert [word for word in words if word not in out] == []


def test_arguments_of_the_process_by_default(file, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["hairpin", "explain", file, "--from", "a", "--to", "b"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("a → b ")


@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (UnfitError("no macvtap", remedy="load it"), 3, "hairpin: no macvtap; load it\n"),
        (KernelError("add a", errno.EBUSY), 3, "hairpin: add a: EBUSY (Device or resource busy)\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["unfit", "kernel", "interrupted"],
)
def test_status_of_what_is_raised(file, capsys, monkeypatch, raised, status, message):
    def fail(path):
        raise raised

    monkeypatch.setattr("harness.topofile.load_topology", fail)
    assert main(["explain", file, "--from", "a", "--to", "b"]) == status
    assert capsys.readouterr().err == message
