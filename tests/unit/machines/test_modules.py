"""What is to be loaded for a module, and in which order."""

import gzip
import lzma
import shutil
import subprocess

import pytest

from harness.errors import UnfitError
from harness.machines.compression import unpacked, unzstd
from harness.machines.modules import missing_modules, module_files
from harness.machines.tree import Kernel

DEP = """\
kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/netfs/netfs.ko
kernel/net/9p/9pnet.ko:
kernel/fs/netfs/netfs.ko:
kernel/net/9p/9pnet_virtio.ko: kernel/net/9p/9pnet.ko
kernel/net/a-b.ko: kernel/net/c-d.ko
kernel/net/c-d.ko:
kernel/fs/btrfs.ko:
kernel/crypto/crc32c.ko:
kernel/x.ko: kernel/y.ko kernel/z.ko
kernel/y.ko: kernel/z.ko
kernel/z.ko:
"""


@pytest.fixture
def kernel(tmp_path):
    for line in DEP.splitlines():
        path = tmp_path / line.partition(":")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x7fELF" + path.name.encode())
    (tmp_path / "modules.dep").write_text(DEP)
    (tmp_path / "modules.builtin").write_text("kernel/drivers/virtio/virtio-pci.ko\n")
    soft = "# soft\nsoftdep btrfs pre: crc32c virtio_pci post: x\nsoftdep crc32c pre: btrfs\n"
    (tmp_path / "modules.softdep").write_text(soft)
    return Kernel("k", "6.1", tmp_path / "vmlinuz", tmp_path, None, "x86_64")


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["9p"], ["netfs", "9pnet", "9p"]),
        (["9pnet_virtio", "9p"], ["9pnet", "9pnet_virtio", "netfs", "9p"]),
        (["a-b"], ["c_d", "a_b"]),
        (["a_b", "a-b", "c_d"], ["c_d", "a_b"]),
        (["x"], ["z", "y", "x"]),
        (["virtio_pci"], []),
        (["btrfs"], ["crc32c", "btrfs"]),
        ([], []),
    ],
    ids=["deps", "shared", "dash", "twice", "chain", "built-in", "soft-in-a-circle", "none"],
)
def test_order(kernel, names, order):
    found = module_files(kernel, names)
    assert [x for x, _ in found] == order
    for name, data in found:
        assert data.replace(b"-", b"_") == f"\x7fELF{name}.ko".encode()


def test_missing(kernel):
    """What is neither built in nor a module is told, and refused."""
    assert missing_modules(kernel, ["9p", "virtio-pci", "virtiofs", "no-ne"]) == (
        "virtiofs",
        "no-ne",
    )
    with pytest.raises(UnfitError, match=r"k \(6.1\) has no module virtiofs; use a kernel"):
        module_files(kernel, ["9p", "virtiofs"])


def zstd(data):
    if not shutil.which("zstd"):
        pytest.skip("there is no zstd here")
    return subprocess.run(["zstd", "-cq"], input=data, capture_output=True, check=True).stdout


PACKINGS = {".ko": bytes, ".ko.gz": gzip.compress, ".ko.xz": lzma.compress, ".ko.zst": zstd}


@pytest.mark.parametrize("suffix", list(PACKINGS))
def test_packed(kernel, suffix):
    """However a distribution packs its modules, they come unpacked."""
    for name in ("y", "z"):
        (kernel.modules / f"kernel/{name}.ko").unlink()
        packed = PACKINGS[suffix](b"\x7fELF" + name.encode())
        (kernel.modules / f"kernel/{name}{suffix}").write_bytes(packed)
    text = DEP.replace("y.ko", f"y{suffix}").replace("z.ko", f"z{suffix}")
    (kernel.modules / "modules.dep").write_text(text)
    found = dict(module_files(kernel, ["x"]))
    assert (found["y"], found["z"]) == (b"\x7fELFy", b"\x7fELFz")


@pytest.mark.parametrize("suffix", list(PACKINGS))
@pytest.mark.parametrize("cut", [1, 20], ids=["start", "end"])
def test_damaged(tmp_path, kernel, suffix, cut):
    """A module that is cut short is said to be so, whatever it was packed with."""
    packed = PACKINGS[suffix](bytes(range(256)))
    (kernel.modules / "kernel/z.ko").unlink()
    (kernel.modules / f"kernel/z{suffix}").write_bytes(packed[: len(packed) * cut // 21])
    (kernel.modules / "modules.dep").write_text(f"kernel/z{suffix}:\n")
    with pytest.raises(UnfitError, match="damaged"):
        module_files(kernel, ["z"])


def test_one_frame():
    assert unzstd(zstd(b"a kernel")) == b"a kernel"


def test_unpacked_in_order(tmp_path):
    """Files of one kind and another come in the order in which they were asked for."""
    paths = []
    for number, suffix in enumerate((".ko.zst", ".ko.xz", ".ko.zst", ".ko")):
        paths.append(tmp_path / f"{number}{suffix}")
        paths[-1].write_bytes(PACKINGS[suffix](b"%d" % number))
    assert unpacked(paths) == (b"0", b"1", b"2", b"3")
