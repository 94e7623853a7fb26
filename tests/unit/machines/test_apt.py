"""apt on a root of its own."""

import pytest

from harness.errors import UnfitError
from harness.machines.archive import apt
from harness.machines.archive.apt import Apt, _graph

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
