"""A QEMU with a certain device: the machine's own, one that is kept, or none."""

import json

import pytest

from harness.errors import UnfitError
from harness.kernel.processes import Finished
from harness.machines import emulator
from harness.machines.architecture import Architecture
from harness.machines.archive.deb import Package
from harness.machines.elf import Needs
from harness.machines.emulator import find_emulator

X86 = Architecture.X86_64
NEW = Package("qemu-system-x86", "1:10.0.7+ds-0+deb13u1", "x86_64", "ab" * 32)


@pytest.fixture
def there(monkeypatch):
    """``there("/usr/bin/qemu", …)``: the programs that have igb; the first is the machine's own."""
    with_igb = []

    def ask(command, **_):
        if command[-1] == "--version":
            return Finished(command, 0, "QEMU emulator version 9.2.0 (Debian 1:9.2)\n", "")
        known = any(x.endswith(tuple(with_igb)) for x in command if with_igb)
        said = "igb options:\n  mac=<str>\n" if known else ""
        # QEMU 7.2 exits with 0 all the same.
        return Finished(command, 0, said, "" if known else "Device 'igb' not found\n")

    def fetch(*_):
        raise UnfitError("no network", remedy="have one")

    monkeypatch.setattr(emulator, "run_here", ask)
    monkeypatch.setattr(emulator, "find_program", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(emulator, "_fetch", fetch)
    return with_igb.append


@pytest.fixture
def kept(tmp_path, monkeypatch, cache):
    """One in the cache, taken out of a tree of unpacked packages."""
    tree = tmp_path / "tree"
    for name, data in {
        "usr/bin/qemu-system-x86_64": b"program",
        "usr/lib/x86_64-linux-gnu/libc.so.6": b"libc",
        "usr/lib64/ld-linux-x86-64.so.2": b"loader",
        "usr/share/seabios/bios-256k.bin": b"bios",
        "usr/share/qemu/pvh.bin": b"pvh",
        "usr/share/qemu/sgabios.bin": b"not read",
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    interpreter = "/lib64/ld-linux-x86-64.so.2"
    known = {
        b"program": Needs(interpreter, ("libc.so.6",)),
        b"libc": Needs("", ("ld-linux-x86-64.so.2",)),
        b"loader": Needs("", ()),
    }
    monkeypatch.setattr(emulator, "needs", known.__getitem__)
    place = cache.parent / "emulators/x86_64/10.0.7"
    place.mkdir(parents=True)
    emulator._take(tree, X86, "10.0.7", [NEW], place)
    return place


def test_without_a_device_nobody_is_asked(there):
    assert find_emulator(X86).command == ("/usr/bin/qemu-system-x86_64",)


def test_the_machines_own(there):
    there("/usr/bin/qemu-system-x86_64")
    found = find_emulator(X86, "igb")
    assert (found.command, found.version) == (("/usr/bin/qemu-system-x86_64",), "9.2.0")
    assert not found.fetched


def test_one_that_is_kept(there, kept):
    """With its own loader, libraries and data, so that nothing is asked of the machine's."""
    there("program/qemu-system-x86_64")
    found = find_emulator(X86, "igb")
    program = kept / "program/qemu-system-x86_64"
    assert found.command == (
        *(str(kept / "lib/ld-linux-x86-64.so.2"), "--library-path", str(kept / "lib")),
        *(str(program), "-L", str(kept / "share")),
    )
    assert (found.version, found.fetched) == ("10.0.7", True)
    libraries = ["ld-linux-x86-64.so.2", "libc.so.6"]
    assert sorted(x.name for x in (kept / "lib").iterdir()) == libraries
    assert sorted(x.name for x in (kept / "share").iterdir()) == ["bios-256k.bin", "pvh.bin"]
    facts = json.loads((kept / "emulator.json").read_text())
    assert facts["packages"] == [[NEW.name, NEW.version, NEW.sha256]]


def test_one_that_was_changed(there, kept):
    there("program/qemu-system-x86_64")
    (kept / "program/qemu-system-x86_64").write_bytes(b"another")
    with pytest.raises(UnfitError, match=r"damaged: .* checksum.*remove that folder"):
        find_emulator(X86, "igb")


def test_one_without_the_device(there, kept):
    with pytest.raises(UnfitError, match=r"QEMU 10\.0\.7 has no device igb"):
        find_emulator(X86, "igb")


def test_none(there, cache):
    with pytest.raises(UnfitError, match="no network"):
        find_emulator(X86, "igb")


def test_without_one_of_the_machines_own(there, kept, monkeypatch):
    """What is kept serves who needs a certain device; others take what is installed."""

    def find(name):
        raise UnfitError(f"{name} is not installed", remedy="install it")

    monkeypatch.setattr(emulator, "find_program", find)
    there("program/qemu-system-x86_64")
    assert find_emulator(X86, "igb").fetched
    with pytest.raises(UnfitError, match="qemu-system-x86_64 is not installed"):
        find_emulator(X86)


@pytest.mark.parametrize("absolute", [False, True], ids=["missing", "an absolute link"])
def test_a_package_without_its_library(there, kept, tmp_path, absolute):
    library = tmp_path / "tree/usr/lib/x86_64-linux-gnu/libc.so.6"
    library.unlink()
    if absolute:  # which would lead into the machine's own files
        library.symlink_to(tmp_path / "own")
        (tmp_path / "own").write_bytes(b"libc")
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(UnfitError, match=r"hold no libc\.so\.6"):
        emulator._take(tmp_path / "tree", X86, "1", [NEW], into)
