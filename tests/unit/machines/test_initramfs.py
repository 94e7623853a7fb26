"""What a machine starts with: the archive's files, the order of modules, the command's script."""

import subprocess
from pathlib import Path

import pytest

from harness.errors import UnfitError
from harness.machines import initramfs as made
from harness.machines.initramfs import Order, Share, initramfs, shares_of
from harness.machines.kernel import Kernel

MODULES = {
    "virtio_pci": (),
    "virtio_console": (),
    "overlay": (),
    "fuse": (),
    "virtiofs": ("fuse",),
    "netfs": (),
    "9pnet": (),
    "9pnet_virtio": ("9pnet",),
    "9p": ("netfs", "9pnet"),
}


@pytest.fixture
def kernel(tmp_path):
    """``kernel(without=…, built_in=…)``: a kernel with the modules that machines take."""

    def make(without=(), built_in=()):
        folder = tmp_path / "lib/modules/6.6"
        folder.mkdir(parents=True)
        lines = []
        for name, needs in MODULES.items():
            if name not in (*without, *built_in):
                (folder / f"{name}.ko").write_bytes(b"\x7fELF " + name.encode())
                needed = " ".join(f"{x}.ko" for x in needs if x not in built_in)
                lines.append(f"{name}.ko: {needed}\n")
        (folder / "modules.dep").write_text("".join(lines))
        (folder / "modules.builtin").write_text("".join(f"kernel/{x}.ko\n" for x in built_in))
        return Kernel("test", "6.6", tmp_path / "vmlinuz", folder, None, "x86_64")

    return make


@pytest.fixture(autouse=True)
def _busybox(monkeypatch):
    monkeypatch.setattr(made, "busybox", lambda: b"\x7fELF static")


def files_of(data):
    """The names and contents in a cpio archive of the newc format."""
    at, found = 0, {}
    while True:
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        size, length = fields[6], fields[11]
        name = data[at + 110 : at + 110 + length - 1].decode()
        start = at + 110 + length + -(110 + length) % 4
        if name == "TRAILER!!!":
            return found
        found[name] = data[start : start + size]
        at = start + size + -size % 4


ORDER = Order(("echo", "it's"), Path("/work here"), Path("/out"), {"A": "1 2"}, end="END")


@pytest.mark.parametrize(
    ("share", "modules"),
    [
        (Share.VIRTIOFS, ["fuse", "virtiofs"]),
        (Share.NINEP, ["9pnet", "9pnet_virtio", "netfs", "9p"]),
    ],
)
def test_modules_stand_behind_what_they_need(kernel, share, modules):
    files = files_of(initramfs(kernel(), share, ORDER))
    order = files["modules/order"].decode().split()
    assert order == [f"{x}.ko" for x in ("virtio_pci", "virtio_console", "overlay", *modules)]
    assert {f"modules/{x}" for x in order} < set(files)


def test_what_is_built_in_is_not_loaded(kernel):
    files = files_of(initramfs(kernel(built_in=("fuse", "overlay")), Share.VIRTIOFS, ORDER))
    assert files["modules/order"].split() == [
        b"virtio_pci.ko",
        b"virtio_console.ko",
        b"virtiofs.ko",
    ]


def test_the_files(kernel):
    files = files_of(initramfs(kernel(), Share.VIRTIOFS, ORDER))
    assert files["bin/busybox"] == b"\x7fELF static"
    assert files["init"].startswith(b"#!/bin/busybox sh\n")
    assert files["settings"].decode().splitlines()[:2] == ["share=virtiofs", "output=/out"]
    assert {"dev", "proc", "sys", "lower", "upper", "root", "stage2.sh"} < set(files)


def test_the_script_is_read_as_it_was_meant(tmp_path):
    """By a shell: words with quotes, a folder with a blank, nothing of our environment."""
    order = Order(
        ("sh", "-c", 'pwd; echo "$1" "$A"; env', "sh", "it's $X"), tmp_path, tmp_path, {"A": "1 2"}
    )
    done = subprocess.run(
        ["sh", "-c", f"{order.script}\n(main); echo $?"],
        capture_output=True,
        text=True,
        check=True,
        env={"X": "ours", "PATH": "/usr/bin:/bin"},
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == [str(tmp_path), "it's $X 1 2"]
    assert (lines[-1], "X=ours" in lines) == ("0", False)


@pytest.mark.parametrize(
    ("without", "ways"),
    [
        ((), [Share.VIRTIOFS, Share.NINEP]),
        (("virtiofs",), [Share.NINEP]),
        (("9p",), [Share.VIRTIOFS]),
        (("9pnet_virtio",), [Share.VIRTIOFS]),
    ],
)
def test_ways_to_share(kernel, without, ways):
    assert list(shares_of(kernel(without))) == ways


@pytest.mark.parametrize(
    ("without", "says"),
    [
        (("virtiofs", "9p"), "neither virtiofs nor 9p over virtio"),
        (("virtio_pci",), "no virtio_pci, .*CONFIG_VIRTIO_PCI"),
        (("virtio_console", "overlay"), "no virtio_console and no overlay, "),
    ],
)
def test_a_kernel_that_is_no_good(kernel, without, says):
    with pytest.raises(UnfitError, match=says):
        shares_of(kernel(without))
