"""Kernels in package files, made here: .deb with dpkg-deb, .rpm by hand."""

import errno
import gzip
import hashlib
import shutil
import struct
import subprocess

import pytest

from harness.errors import UnfitError
from harness.machines import packaged
from harness.machines.archive import deb as debs
from harness.machines.archive.rpm import read_rpm
from harness.machines.cpio import File, archive
from harness.machines.kept import kept_kernels
from harness.machines.kernel import find_kernel

RELEASE = "6.8.0-51-generic"


@pytest.fixture
def deb(tmp_path):
    """``deb(name, tree, depends=…)``: a package of the folder `tree`."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("there is no dpkg-deb here")

    def make(name, tree, *, depends="", version="1"):
        control = tree / "DEBIAN/control"
        control.parent.mkdir(parents=True)
        control.write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: x <x@y>\n"
            f"Description: x\n" + (f"Depends: {depends}\n" if depends else "")
        )
        file = tmp_path / f"{name}_{version}_amd64.deb"
        command = ["dpkg-deb", "--build", "-Znone", "--root-owner-group", str(tree), str(file)]
        subprocess.run(command, check=True, capture_output=True)
        return file

    return make


def test_deb(tmp_path, make, deb, cache):
    """It is kept with what it came in, and its checksum; the second time it is there."""
    file = deb("linux-image-x", make.unpacked(tmp_path / "tree", RELEASE))
    kernel = find_kernel(str(file))
    assert (kernel.release, kernel.packages) == (RELEASE, (("linux-image-x", "1"),))
    assert kernel.image.is_relative_to(cache)
    assert kernel.config.is_file()
    ((_, _, sha256),) = kept_kernels(cache / "files")[0].packages
    assert sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    before = kernel.image.stat().st_mtime_ns
    assert find_kernel(str(file)) == kernel
    assert kernel.image.stat().st_mtime_ns == before


def test_split_debs(tmp_path, make, deb):
    """Image and modules come together when they lie beside each other, in the same version."""
    tree = make.unpacked(tmp_path / "image", RELEASE)
    (tmp_path / "modules").mkdir()
    shutil.move(tree / "lib", tmp_path / "modules/lib")
    (tmp_path / "extra").mkdir()
    extra = f"lib/modules/{RELEASE}/kernel/net/tap.ko"
    make.put(tmp_path / "extra" / extra)
    (tmp_path / "modules" / extra).unlink()
    file = deb(f"linux-image-{RELEASE}", tree, depends=f"kmod, linux-modules-{RELEASE} (= 1)")
    with pytest.raises(UnfitError, match=f"depends on linux-modules-{RELEASE}, which does not lie"):
        find_kernel(str(file))
    deb(f"linux-modules-{RELEASE}", tmp_path / "modules")
    shutil.copy(tmp_path / f"linux-modules-{RELEASE}_1_amd64.deb", tmp_path / "x")
    assert len(find_kernel(str(file)).packages) == 2
    deb(f"linux-modules-extra-{RELEASE}", tmp_path / "extra")
    kernel = find_kernel(str(file))
    assert len(kernel.packages) == 3
    assert (kernel.modules / "kernel/net/tap.ko").is_file()


def test_deb_without_kernel(tmp_path, make, deb, cache):
    make.put(tmp_path / "tree/usr/share/doc/x")
    file = deb("linux-image-amd64", tmp_path / "tree")
    with pytest.raises(UnfitError, match=r"linux-image-amd64_1_amd64\.deb holds no kernel"):
        find_kernel(str(file))
    assert not list(cache.glob("files/*-*"))


@pytest.mark.parametrize("size", [0, 40, 400, -200], ids=["empty", "head", "control", "data"])
def test_corrupt_deb(tmp_path, make, deb, size, cache):
    """Cut anywhere, it is said to be no whole package, and nothing of it is kept."""
    file = deb("linux-image-x", make.unpacked(tmp_path / "tree", RELEASE))
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(UnfitError, match=r"linux-image-x_1_amd64\.deb is not a whole Debian pack"):
        find_kernel(str(file))
    assert [x.name for x in cache.glob("files/*")] in ([], ["lock"])


@pytest.mark.parametrize(
    ("said", "error", "match"),
    [
        ("tar: x: Cannot write: No space left on device", OSError, "No space"),
        (
            "dpkg-deb: error: archive uses unknown compression for member 'data.tar.zst'",
            UnfitError,
            "this machine's dpkg cannot unpack p.deb.*1.21.18",
        ),
    ],
    ids=["full", "too-old"],
)
def test_dpkg_fails(tmp_path, monkeypatch, said, error, match):
    done = debs.Finished(("dpkg-deb",), 2, "", said)
    monkeypatch.setattr(debs, "run_here", lambda *_, **__: done)
    with pytest.raises(error, match=match):
        debs.unpack_deb(tmp_path / "p.deb", tmp_path)


def test_full_disk(tmp_path, make, deb, monkeypatch, cache):
    """What has no room says how much it takes, and leaves nothing."""
    file = deb("linux-image-x", make.unpacked(tmp_path / "tree", RELEASE))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packaged, "unpack_deb", full)
    with pytest.raises(UnfitError, match=r"cannot be made in .* make 800 MB free there"):
        find_kernel(str(file))
    assert [x.name for x in (cache / "files").iterdir()] == ["lock"]


@pytest.mark.parametrize("what", ["image", "index", "facts"])
def test_damaged_cache(tmp_path, make, deb, what):
    """What lies in the cache is not taken unseen."""
    file = deb("linux-image-x", make.unpacked(tmp_path / "tree", RELEASE))
    kernel = find_kernel(str(file))
    folder = kernel.image.parents[1]
    {
        "image": lambda: kernel.image.write_bytes(b"other"),
        "index": (kernel.modules / "modules.dep").unlink,
        "facts": lambda: (folder / "kernel.json").write_text("{"),
    }[what]()
    with pytest.raises(UnfitError, match=f"{folder} is damaged: .* remove that folder"):
        find_kernel(str(file))
    shutil.rmtree(folder)
    assert find_kernel(str(file)) == kernel


# ---------------------------------------------------------------------- rpm


def header(tags):
    """A header of rpm's: tags with a string each."""
    index, store = b"", b""
    for tag, text in tags.items():
        index += struct.pack(">IIII", tag, 6, len(store), 1)
        store += text.encode() + b"\0"
    return b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack(">II", len(tags), len(store)) + index + store


def write_rpm(path, tree, *, name="kernel-core", version="6.8.0", wrong=""):
    files = {str(x.relative_to(tree)): File(x.read_bytes()) for x in tree.rglob("*") if x.is_file()}
    payload = gzip.compress(archive(files), mtime=0)
    facts = {1000: name, 1001: version, 1002: "1.fc40", 1022: "x86_64", 1124: "cpio", 1125: "gzip"}
    facts[5092] = hashlib.sha256(payload + wrong.encode() * (wrong == "content")).hexdigest()
    main = header(facts)
    sha256 = hashlib.sha256(main + wrong.encode() * (wrong == "header")).hexdigest()
    signatures = header({273: sha256})
    lead = b"\xed\xab\xee\xdb\3\0" + bytes(90)
    path.write_bytes(lead + signatures + bytes(-len(signatures) % 8) + main + payload)
    return path


def test_read_rpm(tmp_path, make):
    file = write_rpm(tmp_path / "k.rpm", make.unpacked(tmp_path / "tree"))
    package = read_rpm(file)
    assert (package.name, package.version) == ("kernel-core", "6.8.0-1.fc40")
    assert package.architecture == "x86_64"
    assert package.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("wrong", ["header", "content"])
def test_rpm_checksum(tmp_path, make, wrong):
    file = write_rpm(tmp_path / "k.rpm", make.unpacked(tmp_path / "tree"), wrong=wrong)
    with pytest.raises(UnfitError, match=f"its {wrong} does not fit its checksum"):
        find_kernel(str(file))


@pytest.mark.parametrize("size", [0, 60, 120, 300, -1])
def test_corrupt_rpm(tmp_path, make, size):
    file = write_rpm(tmp_path / "k.rpm", make.unpacked(tmp_path / "tree"))
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(UnfitError, match=r"k\.rpm is not a whole RPM package"):
        find_kernel(str(file))


def test_rpm(tmp_path, make):
    """Fedora's kernel and, beside it, the modules of the same build."""
    if not shutil.which("bsdtar"):
        pytest.skip("there is no bsdtar here")
    tree = make.unpacked(tmp_path / "tree", RELEASE, usr=True)
    modules = tmp_path / f"modules/usr/lib/modules/{RELEASE}/kernel"
    modules.parent.mkdir(parents=True)
    shutil.move(tree / f"usr/lib/modules/{RELEASE}/kernel", modules)
    file = write_rpm(tmp_path / "kernel-core-6.8.0-1.fc40.x86_64.rpm", tree)
    beside = {"kernel-modules": "6.8.0", "kernel-modules-internal": "6.8.1"}
    for name, version in beside.items():
        path = tmp_path / f"{name}-{version}-1.fc40.x86_64.rpm"
        write_rpm(path, tmp_path / "modules", name=name, version=version)
    kernel = find_kernel(str(file))
    assert [x for x, _ in kernel.packages] == ["kernel-core", "kernel-modules"]
    assert (kernel.modules / "kernel/net/tap.ko").is_file()
