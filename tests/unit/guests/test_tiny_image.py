"""The tiny guest's image, made of parts that need no apt, and the domain that boots it."""

import errno
import importlib.util
import json
import shutil
import threading
from pathlib import Path

import pytest

from harness.errors import UnfitError, UsageError
from harness.guests import DirectInterface, check
from harness.guests.schema import SCHEMAS
from harness.guests.tiny import image as making
from harness.guests.tiny.image import Image, image
from harness.guests.tiny.spec import command_line, qemu_arguments, tiny_domain
from harness.machines.accelerator import Accelerator
from harness.machines.architecture import Architecture
from harness.machines.archive import apt
from harness.parts import Mode

VERSIONS = [["busybox-static", "1"], ["linux-image-cloud-amd64", "6"]]


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


def test_without_apt(tmp_path, monkeypatch):
    """Where there is no apt, it is said what wants it, and nothing is left behind."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(
        apt,
        "find_program",
        lambda name: (_ for _ in ()).throw(UnfitError(f"no {name}", remedy="")),
    )
    with pytest.raises(UnfitError, match="fetched with apt, and no apt-get"):
        image("x86_64", cache=tmp_path / "cache")
    assert [x.name for x in (tmp_path / "cache").iterdir()] == ["lock"]


# ---------------------------------------------------------------------- images


@pytest.fixture
def cache(tmp_path):
    """A cache in which the parts of a guest lie already."""
    make_parts(tmp_path, VERSIONS)
    return tmp_path


def make_parts(cache, versions, magic=None):
    folder = cache / f"parts-x86_64-{making._RECIPE}"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("modules", "lib", "library/importlib", "library/encodings"):
        (folder / name).mkdir(parents=True)
    for name in (
        "kernel",
        "busybox",
        "python",
        "interpreter",
        "modules/virtio.ko",
        "lib/libc.so.6",
    ):
        (folder / name).write_text(name)
    library = {
        "os": "import stat, nothing\nimport sys\ndef f():\n    import subprocess\n",
        "stat": "",
        "subprocess": "",
        "encodings/__init__": "from . import aliases\n",
        "encodings/aliases": "",
        "importlib/_bootstrap_external": f"MAGIC_NUMBER = ({magic or our_magic()}).to_bytes()\n",
    }
    for name, text in library.items():
        (folder / f"library/{name}.py").write_text(text)
    parts = {
        "packages": versions,
        "modules": ["virtio"],
        "interpreter": "lib64/ld.so.2",
        "library": "usr/lib/python3.11",
    }
    (folder / "parts.json").write_text(json.dumps(parts))


def our_magic():
    return int.from_bytes(importlib.util.MAGIC_NUMBER[:2], "little")


@pytest.mark.parametrize(("magic", "suffix"), [(None, "pyc"), (1, "py")], ids=["ours", "foreign"])
def test_image(cache, magic, suffix):
    """What lies in it: programs, libraries, our agent, and of Python what these import.

    It is compiled where that Python takes what ours compiles.
    """
    make_parts(cache, VERSIONS, magic)
    made = image("x86_64", cache=cache)
    assert made.packages == (("busybox-static", "1"), ("linux-image-cloud-amd64", "6"))
    assert made.kernel.read_text() == "kernel"
    found = read_archive(made.initramfs.read_bytes())
    assert found["init"][0] == found["bin/python"][0] == found["lib64/ld.so.2"][0] == 0o100755
    assert b"for module in virtio;" in found["init"][1]
    agent = "agent/harness/guests/tiny"
    library = "usr/lib/python3.11"
    for name in (f"{agent}/agent", f"{agent}/wire", f"{agent}/inside/frames", f"{library}/stat"):
        assert f"{name}.{suffix}" in found
    for name in (
        f"{library}/encodings/aliases.{suffix}",
        "modules/virtio.ko",
        "lib/libc.so.6",
        "dev",
    ):
        assert name in found
    for name in (f"{library}/subprocess", f"{agent}/client"):
        assert not any(x.startswith(name) for x in found)


def test_image_is_kept(cache, monkeypatch):
    """The second time nothing is made; other packages, or another agent, make another image."""
    first = image("x86_64", cache=cache)
    before = first.initramfs.stat()
    assert image(Architecture.X86_64, cache=cache) == first
    assert first.initramfs.stat().st_mtime_ns == before.st_mtime_ns
    make_parts(cache, [["busybox-static", "2"]])
    second = image("x86_64", cache=cache)
    monkeypatch.setattr(making, "_INIT", making._INIT + "# other\n")
    third = image("x86_64", cache=cache)
    assert len({first.initramfs, second.initramfs, third.initramfs}) == 3
    assert first.initramfs.read_bytes()  # who uses it goes on


def test_two_at_once(cache, monkeypatch):
    """Two that want the same image: one makes it, and both have it."""
    makings = []
    build = making._build
    monkeypatch.setattr(making, "_build", lambda *a: (makings.append(1), build(*a))[1])
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(image("x86_64", cache=cache)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == len(makings) == 1


def test_interrupted(cache, monkeypatch):
    """A making that breaks off leaves nothing that is taken for an image; the next clears up."""
    (cache / "making-left").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "archive", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            image("x86_64", cache=cache)
    assert not list(cache.glob("making-*")) + list(cache.glob("x86_64-*"))
    assert image("x86_64", cache=cache).kernel.is_file()


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.ENOSPC, "MB free"), (errno.EROFS, "set XDG_CACHE_HOME to")]
)
def test_no_place(cache, monkeypatch, number, remedy):
    """A full or forbidden cache is said to be so."""

    def full(*_):
        raise OSError(number, "cannot")

    monkeypatch.setattr(making, "_build", full)
    with pytest.raises(UnfitError, match=remedy):
        image("x86_64", cache=cache)
    assert not list(cache.glob("making-*"))


def test_unknown_architecture(tmp_path):
    with pytest.raises(UsageError, match=r"no tiny guest for s390x.*x86_64, aarch64"):
        image("s390x", cache=tmp_path)


# ---------------------------------------------------------------------- domains

ARCHITECTURES = list(Architecture)


def an_image(architecture):
    return Image(architecture, Path("/g/kernel"), Path("/g/initramfs.cpio"), ())


@pytest.mark.parametrize("accelerator", list(Accelerator))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_domain(architecture, accelerator):
    """Libvirt's schema and the rules of meaning have nothing against it."""
    nics = [
        DirectInterface(source="low0", mode=Mode.VEPA, mac="52:54:00:00:00:01", model="virtio"),
        DirectInterface(source="low1", mode=Mode.BRIDGE, model="virtio"),
    ]
    domain = tiny_domain(
        "g1",
        an_image(architecture),
        nics,
        agent_socket="/run/g1.agent",
        console_log="/run/g1.log",
        accelerator=accelerator,
        vcpus=2,
        kernel_arguments="debug",
    )
    assert [(x.source, x.mode) for x in domain.direct] == [("low0", "vepa"), ("low1", "bridge")]
    assert domain.document.root.get("type") == accelerator
    assert domain.document.root.findtext("os/cmdline").endswith(" debug")
    assert domain.document.root.find("devices/channel/target").get("name") == "org.hairpin.agent"
    assert check([domain.document], schemas=SCHEMAS if SCHEMAS.is_dir() else None) == ()


@pytest.mark.parametrize(
    ("architecture", "machine", "console"),
    [("x86_64", "pc", "console=ttyS0"), ("aarch64", "virt", "console=ttyAMA0")],
)
def test_qemu_arguments(architecture, machine, console):
    """Without libvirt the machine is the same."""
    made = an_image(Architecture(architecture))
    words = qemu_arguments(made, agent_socket=Path("/run/a"), console_log=Path("/run/c"))
    assert words[0] == f"qemu-system-{architecture}"
    assert words[words.index("-machine") + 1] == machine
    assert console in command_line(made.architecture).split()
