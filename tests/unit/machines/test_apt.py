"""apt on a root of its own."""

from pathlib import Path

import pytest

from harness.errors import UnfitError
from harness.kernel.processes import Finished
from harness.machines.archive import apt
from harness.machines.archive.apt import Apt, Source, _graph

SIGNED = "deb http://deb.debian.org/debian bookworm main\n"


@pytest.mark.parametrize(
    ("name", "text", "taken"),
    [
        pytest.param("sources.list", SIGNED, True, id="list"),
        pytest.param(
            "sources.list.d/a.sources", "Types: deb\nURIs: http://x\n", True, id="sources"
        ),
        pytest.param("sources.list", "deb [trusted=yes] http://x y z\n", False, id="trusted"),
        pytest.param("sources.list", f"# [trusted=yes]\n{SIGNED}", True, id="comment"),
        pytest.param("sources.list.d/a.sources", "Types: deb\nTrusted: yes\n", False, id="Trusted"),
        pytest.param(
            "sources.list", "deb [ allow-insecure = true ] http://x y z", False, id="insecure"
        ),
        pytest.param("sources.list.d/a.list.bak", SIGNED, False, id="no-source"),
    ],
)
def test_signed_sources_only(tmp_path, monkeypatch, name, text, taken):
    """What need not be signed is no source of ours; without any other, that is said."""
    monkeypatch.setattr(apt, "find_program", lambda name: f"/usr/bin/{name}")
    file = tmp_path / "etc" / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    if not taken:
        with pytest.raises(UnfitError, match="no source of signed packages"):
            Apt(tmp_path / "root", "amd64", etc=tmp_path / "etc")
        return
    Apt(tmp_path / "root", "amd64", etc=tmp_path / "etc")
    assert (tmp_path / "root" / name).read_text() == text


def test_depends():
    """The first choice of each, and no virtual package's angle brackets followed as a name."""
    text = "a\n  Depends: b\n |Depends: c\n  Depends: d\n  PreDepends: <e>\nb\n  Depends: f:any\n"
    assert _graph(text) == {"a": ["b", "c", "<e>"], "b": ["f"]}


KEY = "  The following signatures couldn't be verified: NO_PUBKEY 1"
AT = "http://x/debian bookworm InRelease"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"W: GPG error: {AT}:{KEY}", "no good signature"),
        (f"E: The repository '{AT}' is not signed.", "no good signature"),
        (f"W: OpenPGP signature verification failed: {AT}: Missing key 1", "no good signature"),
        ("E: Failed to fetch http://x/Packages.xz  Hash Sum mismatch", "signed checksums"),
        (
            "W: Failed to fetch http://x/y.deb  File has unexpected size (1 != 2)",
            "signed checksums",
        ),
        ("E: Failed to fetch http://x/y.deb  404  Not Found [IP: 1 80]", "does not have it"),
        ("E: The repository 'http://x sid Release' does not have a Release file.", "not have it"),
        (f"W: Failed to fetch http://x/InRelease  Could not resolve 'x' {AT}", "be reached"),
        (f"E: Release file for {AT} is expired (invalid since 1d)", "out of date by this machine"),
        ("E: Something else", "apt gets nothing from the archive http://x/debian"),
    ],
)
def test_what_apt_says(tmp_path, monkeypatch, line, problem):
    """Each trouble is a sentence of its own, with what apt said."""
    source = Source("http://x/debian", ("bookworm",), Path("/k"))
    monkeypatch.setattr(apt, "find_program", lambda name: f"/usr/bin/{name}")
    made = Apt(tmp_path / "root", "amd64", sources=[source])
    said = Finished(
        ("apt-get",), 100 * line.startswith("E"), "", f"W: Policy will reject\n{line}\n"
    )
    monkeypatch.setattr(apt, "run_here", lambda *_, **__: said)
    with pytest.raises(UnfitError, match=problem) as caught:
        made.update()
    assert line in caught.value.cause


def test_warnings_of_no_matter(made, monkeypatch):
    said = f"W: {AT}: Policy will reject signature within a year, see --audit for details\n"
    done = Finished(("apt-get",), 0, "", said)
    monkeypatch.setattr(apt, "run_here", lambda *_, **__: done)
    made.update()


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Apt with an archive of its own."""
    monkeypatch.setattr(apt, "find_program", lambda name: f"/usr/bin/{name}")
    return Apt(tmp_path / "root", "amd64", sources=[Source("http://x", ("y",), Path("/k"))])


def test_full_disk(made, monkeypatch):
    said = "E: Failed to fetch http://x/y  Error writing to file (28: No space left on device)"
    done = Finished(("apt-get",), 100, "", said)
    monkeypatch.setattr(apt, "run_here", lambda *_, **__: done)
    with pytest.raises(OSError, match="No space left"):
        made.update()


def test_disk_that_will_be_full(made, tmp_path, monkeypatch):
    """Apt is not started where it would wait for ever, as its http method does on a full disk."""
    ran = []

    def run(command, **_):
        ran.append(command)
        return Finished(("apt-get",), 0, f"'http://x/y.deb' y.deb {1 << 60} SHA256:1\n", "")

    monkeypatch.setattr(apt, "run_here", run)
    with pytest.raises(OSError, match="No space left"):
        made.download(("y",), tmp_path / "debs")
    assert [x for x in ran if "--print-uris" not in x] == []
    monkeypatch.setattr(apt, "_LISTS", 1 << 60)
    with pytest.raises(OSError, match="No space left"):
        made.update()
    assert len(ran) == 1
