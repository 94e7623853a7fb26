"""The user's cache folder."""

from harness.machines.cache import cache_folder


def test_cache_folder(monkeypatch, tmp_path):
    """XDG's folder; a relative one does not count."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("guest") == tmp_path / "hairpin/guest"
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder("guest") == tmp_path / "home/.cache/hairpin/guest"
