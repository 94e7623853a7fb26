"""Kernels in folders: what is found in them, and what is said of those that are no good."""

import pytest

from harness.errors import UnfitError, UsageError
from harness.machines.imagefile import read_image
from harness.machines.kernel import find_kernel
from harness.machines.modules import module_files

RELEASE = "6.1.0-1-amd64"


@pytest.mark.parametrize("usr", [False, True], ids=["boot", "usr-lib-modules"])
def test_unpacked_package(tmp_path, cache, make, usr):
    """The index is made in the cache; the folder stays as it was."""
    folder = make.unpacked(tmp_path / "package", RELEASE, usr=usr)
    before = sorted(folder.rglob("*"))
    kernel = find_kernel(str(folder))
    assert (kernel.name, kernel.release, kernel.arch) == (str(folder), RELEASE, "x86_64")
    assert kernel.config.read_text() == "CONFIG_NET=y\n"
    assert kernel.image.is_relative_to(folder)
    assert kernel.modules.is_relative_to(cache)
    assert kernel.modules.parts[-3:] == ("lib", "modules", RELEASE)
    assert [x for x, _ in module_files(kernel, ["macvtap"])] == ["tap", "macvlan", "macvtap"]
    assert sorted(folder.rglob("*")) == before
    assert find_kernel(str(folder)) == kernel


def test_index_that_is_there(tmp_path, make):
    """Modprobe's index in the folder is taken as it is."""
    folder = make.unpacked(tmp_path / "package", RELEASE)
    make.put(folder / f"lib/modules/{RELEASE}/modules.dep", b"kernel/net/tap.ko:\n")
    assert find_kernel(str(folder)).modules == folder / f"lib/modules/{RELEASE}"


@pytest.mark.parametrize(
    "order",
    [
        pytest.param("net/tap.o\nnet/macvlan.o\nnet/macvtap.o\n", id="since-6.3"),
        pytest.param("net/tap.ko\nnet/macvlan.ko\nnet/macvtap.ko\n", id="since-5.3"),
        pytest.param("kernel/net/tap.ko\nkernel/net/macvlan.ko\nkernel/net/macvtap.ko\n", id="old"),
    ],
)
def test_build_tree(tmp_path, make, order):
    """The modules are those of modules.order, however a kernel writes it."""
    folder = make.built(tmp_path / "linux", order=order)
    kernel = find_kernel(str(folder))
    assert (kernel.release, kernel.image) == ("7.1.0", folder / "arch/x86/boot/bzImage")
    assert len(module_files(kernel, ["macvtap"])) == 3


def test_build_tree_again(tmp_path, make):
    """After another build, the modules are the new ones."""
    folder = make.built(tmp_path / "linux")
    first = find_kernel(str(folder))
    make.put(folder / "net/tap.ko", b"\x7fELF another")
    second = find_kernel(str(folder))
    assert second.modules != first.modules
    assert dict(module_files(second, ["tap"]))["tap"] == b"\x7fELF another"


def test_build_tree_with_installed_modules(tmp_path, make):
    """`make modules_install` into the tree: those are taken."""
    folder = make.built(tmp_path / "linux", order="net/gone.o\n")
    make.put(folder / "lib/modules/7.1.0/kernel/net/tap.ko")
    assert [x for x, _ in module_files(find_kernel(str(folder)), ["tap"])] == ["tap"]


def test_no_modules_at_all(tmp_path, make):
    """A kernel with all that it has built in is one as well."""
    folder = make.built(tmp_path / "linux", order="")
    assert (find_kernel(str(folder)).modules / "modules.dep").read_text() == ""


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        pytest.param(lambda f, m: None, UnfitError, "holds no kernel", id="empty"),
        pytest.param(
            lambda f, m: (m.unpacked(f, "6.1.0"), m.unpacked(f, "6.2.0")),
            UsageError,
            r"several kernels \(6.1.0, 6.2.0\)",
            id="two",
        ),
        pytest.param(
            lambda f, m: m.unpacked(f, "6.1.0", modules_of="6.2.0"),
            UnfitError,
            "the kernel 6.1.0 and the modules of 6.2.0",
            id="others-modules",
        ),
        pytest.param(
            lambda f, m: m.put(m.unpacked(f, "6.1.0") / "boot/vmlinuz-6.1.0", m.bzimage("6.2.0")),
            UnfitError,
            "is release 6.2.0, but lies where 6.1.0 should",
            id="others-image",
        ),
        pytest.param(
            lambda f, m: m.put(m.unpacked(f, "6.1.0") / "boot/vmlinuz-6.1.0", b""),
            UnfitError,
            "is not the kernel of an architecture",
            id="empty-image",
        ),
        pytest.param(
            lambda f, m: m.built(f, order="net/gone.o\n"),
            UnfitError,
            r"names net/gone.ko, which is not there; build it: make modules",
            id="not-built",
        ),
        pytest.param(
            lambda f, m: m.put(m.built(f) / "include/config/kernel.release", b"7.2.0\n"),
            UnfitError,
            "is release 7.1.0, but the tree was last configured as 7.2.0",
            id="stale-image",
        ),
    ],
)
def test_no_good(tmp_path, make, spoil, error, said):
    folder = tmp_path / "folder"
    folder.mkdir()
    spoil(folder, make)
    with pytest.raises(error, match=said):
        find_kernel(str(folder))


@pytest.mark.parametrize(
    ("data", "arch"),
    [
        (bytes(56) + b"ARMd" + bytes(64), "aarch64"),
        (b"MZ\0\0zimg" + bytes(64), "aarch64"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\0" + bytes(64), "x86_64"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\xb7\0" + bytes(64), "aarch64"),
    ],
    ids=["Image", "zboot", "vmlinux", "vmlinux-arm64"],
)
def test_image(tmp_path, data, arch):
    (tmp_path / "image").write_bytes(data)
    assert read_image(tmp_path / "image") == (arch, "")


@pytest.mark.parametrize(
    "data",
    [b"MZ", b"\x7fELF\x02\x01" + bytes(40), b"\x1f\x8bdamaged", bytes(0x202) + b"HdrS"],
    ids=["short", "foreign-machine", "damaged", "short-header"],
)
def test_no_image(tmp_path, data):
    (tmp_path / "image").write_bytes(data)
    with pytest.raises(UnfitError, match="x86_64 or aarch64"):
        read_image(tmp_path / "image")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("debian:buster", "no kernel named debian:buster; there are debian:bullseye debian:book"),
        ("bookworm", "no kernel named bookworm; there are"),
        ("there/is/none", "there is no there/is/none"),
        ("none.deb", "there is no none.deb"),
        ("{}/file", "is neither a .deb nor an .rpm file"),
    ],
)
def test_meaningless(tmp_path, word, said):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=said):
        find_kernel(word.format(tmp_path))
