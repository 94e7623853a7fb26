"""Kernels by name out of archives: one that is made and signed here, and the real one.

key ── signs ── InRelease ── SHA-256 of ── Packages ── SHA-256 of ── linux-image-….deb
"""

import hashlib
import shutil
import struct
import subprocess

import pytest

from harness.errors import UnfitError
from harness.kernel.processes import find_program
from harness.machines import modules, named
from harness.machines.archive import distributions
from harness.machines.kernel import find_kernel

NAME = "debian:sid"
OLD, NEW = "7.1.0+deb14-amd64", "7.2.0+deb14-amd64"
VIRTIO = ("virtio_pci", "virtio_console", "overlay", "macvtap")


def run(*arguments, **more):
    return subprocess.run(arguments, check=True, capture_output=True, text=True, **more).stdout


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """A key that signs, and the file with its public half."""
    for program in ("gpg", "gpgconf", "apt-get", "dpkg-deb", "depmod"):
        try:
            find_program(program)
        except UnfitError as error:
            pytest.skip(str(error))
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    gpg = ("gpg", "--homedir", str(home), "--batch", "--quiet")
    run(*gpg, "--passphrase", "", "--quick-generate-key", "hairpin test", "ed25519", "sign")
    keyring = home / "debian-archive-keyring.gpg"
    run(*gpg, "--export", "--output", str(keyring))
    yield (*gpg, "--yes", "--clearsign", "--output"), keyring
    run("gpgconf", "--homedir", str(home), "--kill", "gpg-agent")


class Archive:
    """Debian's sid, in a folder."""

    def __init__(self, folder, sign):
        self.folder = folder
        self._sign = sign
        self._dist = folder / "dists/sid"
        self._packages = self._dist / "main/binary-amd64/Packages"
        self._packages.parent.mkdir(parents=True)

    def publish(self, *releases):
        """These kernels, and a meta package that leads to the last; nothing else."""
        stanzas = [self._package(x, "") for x in releases]
        meta = self._package("amd64", f"Depends: linux-image-{releases[-1]}\n")
        self._packages.write_text("\n".join([*stanzas, meta]))
        self.sign()

    def _package(self, release, depends):
        name = f"linux-image-{release}"
        tree = self.folder / "tree"
        if not depends:
            head = bytearray(0x400)
            head[0x202:0x206] = b"HdrS"
            struct.pack_into("<H", head, 0x20E, 0x100)
            struct.pack_into("<H", head, 0x236, 1)
            (tree / "boot").mkdir(parents=True)
            (tree / "boot" / f"vmlinuz-{release}").write_bytes(head)
            (tree / f"lib/modules/{release}/kernel").mkdir(parents=True)
        (tree / "DEBIAN").mkdir(parents=True)
        fields = f"Package: {name}\nVersion: 1\nArchitecture: amd64\n{depends}"
        control = f"{fields}Maintainer: x <x@y>\nDescription: x\n"
        (tree / "DEBIAN/control").write_text(control)
        file = self.folder / f"pool/{name}.deb"
        file.parent.mkdir(exist_ok=True)
        run("dpkg-deb", "--build", "-Znone", "--root-owner-group", str(tree), str(file))
        shutil.rmtree(tree)
        data = file.read_bytes()
        return (
            f"{control}Filename: pool/{file.name}\nSize: {len(data)}\n"
            f"SHA256: {hashlib.sha256(data).hexdigest()}\n"
        )

    def sign(self):
        data = self._packages.read_bytes()
        release = self._dist / "Release"
        release.write_text(
            "Suite: sid\nCodename: sid\nArchitectures: amd64\nComponents: main\n"
            "Date: Sat, 21 Nov 2020 02:10:46 UTC\nSHA256:\n"
            f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-amd64/Packages\n"
        )
        run(*self._sign, str(self._dist / "InRelease"), str(release))
        release.unlink()

    def change(self, name, old, new):
        """Another's hand: a file is no longer what was signed."""
        path = next(self.folder.glob(name))
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new))


@pytest.fixture
def archive(tmp_path, key, monkeypatch):
    sign, keyring = key
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HAIRPIN_DEBIAN_MIRROR", f"file://{tmp_path}/archive")
    monkeypatch.setattr(distributions, "_KEYRINGS", keyring.parent)
    monkeypatch.setattr(named.platform, "machine", lambda: "x86_64")
    (tmp_path / "archive").mkdir()
    found = Archive(tmp_path / "archive", sign)
    found.publish(OLD, NEW)
    return found


def test_through_its_life(archive):
    """The newest, an older one, and what is left when the archive has moved on, or is gone."""
    assert find_kernel(NAME).release == NEW
    assert find_kernel(f"{NAME}=7.1").release == OLD
    archive.publish("7.3.0+deb14-amd64")
    assert find_kernel(NAME, fresh=True).release == "7.3.0+deb14-amd64"
    assert "the archive no longer had 7.1.0+deb14-amd64" in find_kernel(f"{NAME}=7.1").note
    shutil.rmtree(archive.folder)
    assert find_kernel(NAME).note == ""
    kernel = find_kernel(NAME, fresh=True)
    assert kernel.release == "7.3.0+deb14-amd64"
    assert "not asked anew: the archive" in kernel.note


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(
            lambda a: a.change("dists/sid/InRelease", b"Suite: sid", b"Suite: sad"),
            "has no good signature",
            id="changed-release",
        ),
        pytest.param(
            lambda a: (a.folder / "dists/sid/InRelease").write_text("Suite: sid\n"),
            "has no good signature",
            id="unsigned",
        ),
        pytest.param(
            lambda a: a.change("dists/sid/main/binary-amd64/Packages", b"7.2.0", b"7.2.1"),
            "does not fit its signed checksums",
            id="changed-list",
        ),
        pytest.param(
            lambda a: a.change(f"pool/linux-image-{NEW}.deb", b"HdrS", b"Evil"),
            "does not fit its signed checksums",
            id="changed-package",
        ),
        pytest.param(
            lambda a: shutil.rmtree(a.folder / "dists"), "does not have it", id="suite-gone"
        ),
        pytest.param(
            lambda a: shutil.rmtree(a.folder / "pool"), "does not have it", id="package-gone"
        ),
    ],
)
def test_not_believed(archive, tmp_path, spoil, said):
    """What was changed on its way is not taken, and nothing of it is left in the cache."""
    spoil(archive)
    with pytest.raises(UnfitError, match=said):
        find_kernel(NAME)
    left = list((tmp_path / "cache/hairpin/kernels/x86_64/debian-sid").iterdir())
    assert [x.name for x in left] == ["lock"]


def test_foreign_key(archive, tmp_path, monkeypatch):
    """An archive signed by somebody, but not by whom it should be."""
    real = distributions.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if not real.is_file():
        pytest.skip(f"there is no {real} here")
    monkeypatch.setattr(distributions, "_KEYRINGS", real.parent)
    with pytest.raises(UnfitError, match="has no good signature"):
        find_kernel(NAME)


def test_unreachable(archive, monkeypatch):
    monkeypatch.setenv("HAIRPIN_DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    with pytest.raises(
        UnfitError, match=r"the archive http://127.0.0.1:9/debian cannot be reached"
    ):
        find_kernel(NAME)


def test_real_archive(tmp_path, monkeypatch):
    """Debian's own cloud kernel: signed by Debian, with what a guest needs for its root."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        kernel = find_kernel("debian:bookworm+cloud")
    except UnfitError as error:
        if "signature" in error.cause or "checksums" in error.cause:
            raise
        pytest.skip(str(error))
    assert kernel.release.endswith(("-cloud-amd64", "-cloud-arm64"))
    loaded = [x for x, _ in modules.module_files(kernel, VIRTIO)]
    assert loaded.index("virtio") < loaded.index("virtio_pci")
    assert loaded[-1] == "macvtap"
    assert modules.missing_modules(kernel, ["netdevsim"]) == ("netdevsim",)
