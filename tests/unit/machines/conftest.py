"""Kernels that are a few octets, and a cache of their own."""

import struct
from types import SimpleNamespace

import pytest

from harness.machines import kept, tree

MODULES = {
    "kernel/net/tap.ko": [],
    "kernel/net/macvlan.ko": [],
    "kernel/net/macvtap.ko": ["kernel/net/macvlan.ko", "kernel/net/tap.ko"],
}


def bzimage(release):
    """An x86 kernel as far as its header: a release, and that it is of 64 bits."""
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x100)
    struct.pack_into("<H", head, 0x236, 1)
    head[0x300:] = f"{release} (me@here) #1\0".encode()
    return bytes(head)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache, empty; depmod knows the modules of these kernels by heart."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module in (tree, kept):
        monkeypatch.setattr(module, "depmod", index)
    return tmp_path / "cache/hairpin/kernels"


def index(base, release):
    folder = base / "lib/modules" / release
    there = [x for x in MODULES if (folder / x).exists()]
    lines = [f"{x}: {' '.join(MODULES[x])}\n" for x in there]
    (folder / "modules.dep").write_text("".join(lines))


def put(path, data=b"\x7fELF"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def unpacked(folder, release="6.1.0-1-amd64", *, modules_of=None, usr=False):
    """An unpacked package, as until Linux 7.1 or, with `usr`, as from then on."""
    prefix = "usr/lib" if usr else "lib"
    modules = folder / prefix / "modules" / (modules_of or release)
    put(
        modules / "vmlinuz" if usr else folder / f"boot/vmlinuz-{release}",
        bzimage(release),
    )
    put(modules / "config" if usr else folder / f"boot/config-{release}", b"CONFIG_NET=y\n")
    put(modules / "modules.builtin", b"kernel/drivers/virtio/virtio_pci.ko\n")
    for name in MODULES:
        put(modules / name, b"\x7fELF" + name.encode())
    return folder


def built(folder, release="7.1.0", *, order="net/tap.o\nnet/macvlan.o\nnet/macvtap.o\n"):
    """A tree in which a kernel was built."""
    put(folder / "arch/x86/boot/bzImage", bzimage(release))
    put(folder / "include/config/kernel.release", f"{release}\n".encode())
    put(folder / ".config", b"CONFIG_NET=y\n")
    put(folder / "modules.order", order.encode())
    for name in MODULES:
        put(folder / name.removeprefix("kernel/"))
    return folder


@pytest.fixture
def make():
    """``make.unpacked(folder, …)``, ``make.built(folder, …)``, ``make.bzimage(release)``."""
    return SimpleNamespace(unpacked=unpacked, built=built, bzimage=bzimage, put=put)
