"""The archive that an initramfs is."""

from harness.machines.cpio import File, archive


def read_archive(data):
    """Name to mode and content, by the format's own description."""
    found, at = {}, 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        assert data[at + 110 + fields[11] - 1] == 0
        at = -(-(at + 110 + fields[11]) // 4) * 4
        if name == "TRAILER!!!":
            assert at == len(data)
            return found
        found[name] = (fields[1], data[at : at + fields[6]])
        at = -(-(at + fields[6]) // 4) * 4


def test_archive():
    """Folders stand before what is in them, whatever the lengths; the same every time."""
    files = {"b/c/d": File(b"12345"), "a": File(b"", executable=True), "b/x": File(b"1234")}
    written = archive(files, ("dev",))
    assert written == archive(dict(reversed(files.items())), ("dev",))
    found = read_archive(written)
    assert list(found) == ["b", "b/c", "dev", "a", "b/c/d", "b/x"]
    assert found["b"] == (0o40755, b"")
    assert found["a"] == (0o100755, b"")
    assert found["b/c/d"] == (0o100644, b"12345")
