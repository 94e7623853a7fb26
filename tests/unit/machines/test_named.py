"""Kernels by name, of an archive that is a few lines: what is fetched, kept, and gone from it."""

import re
from pathlib import Path

import pytest

from harness.errors import UnfitError, UsageError
from harness.machines import named
from harness.machines.architecture import Architecture
from harness.machines.archive import distributions
from harness.machines.archive.deb import Package
from harness.machines.archive.distributions import (
    OFFERS,
    Distribution,
    find_offer,
    keyring_of,
    sources_of,
)
from harness.machines.kept import age
from harness.machines.named import catalogue, named_kernel

AMD64, ARM64 = Architecture.X86_64, Architecture.AARCH64
NAME = "debian:trixie-backports+cloud"
NEW, OLD = "7.3.4+deb13-cloud-amd64", "6.18.15+deb13-cloud-amd64"


class Archive:
    """What the archive has, as apt tells it: the meta package leads to the last release."""

    def __init__(self, make):
        self.releases = [OLD, NEW]
        self.trouble = ""
        self.asked = 0
        self._make = make

    def __call__(self, root, architecture, *, sources):
        assert architecture == "amd64"
        root.mkdir()
        return self

    def update(self):
        self.asked += 1
        if self.trouble:
            raise UnfitError(self.trouble, remedy="wait")

    def names(self, beginning):
        there = [f"linux-image-{x}" for x in self.releases]
        return tuple(x for x in (*there, f"linux-image-{NEW}-unsigned") if x.startswith(beginning))

    def first(self, names):
        return names[0]

    def closure(self, names, *, follow):
        assert follow.match("linux-modules-6.1.0-1-amd64")
        assert not follow.match("linux-base")
        name = names[0]
        meta = name == "linux-image-cloud-amd64"
        return (name, f"linux-image-{self.releases[-1]}") if meta else (name,)

    def download(self, names, into):
        into.mkdir()
        (name,) = names
        (into / f"{name}.deb").touch()
        return (into / f"{name}.deb",)

    def read_deb(self, path):
        return Package(path.stem, "1", "x86_64", "0" * 64)

    def unpack_deb(self, path, into):
        self._make.unpacked(into, path.stem.removeprefix("linux-image-"))


@pytest.fixture
def archive(make, monkeypatch):
    found = Archive(make)
    monkeypatch.setattr(named, "Apt", found)
    monkeypatch.setattr(named, "keyring_of", lambda *_: Path("/k"))
    for name in ("read_deb", "unpack_deb"):
        monkeypatch.setattr(named, name, getattr(found, name))
    return found


def find(word, **more):
    return named_kernel(word, architecture=AMD64, **more)


def test_fetched_once(archive, cache):
    """The second time no archive is asked, and nothing but the kernel is left."""
    kernel = find(NAME)
    assert (kernel.name, kernel.release, kernel.note) == (NAME, NEW, "")
    assert find(NAME) == kernel
    assert archive.asked == 1
    left = {x.name for x in (cache / "x86_64/debian-trixie-backports+cloud").iterdir()}
    assert left == {NEW, "looked.json", "lock"}
    folder = kernel.image.parents[1]
    assert {x.name for x in folder.iterdir()} == {"boot", "lib", "kernel.json"}


@pytest.mark.parametrize("beginning", ["6.18", "6", "6.18.15", OLD])
def test_release_that_begins_so(archive, beginning):
    """An older one is not what the plain name stands for, nor the other way round."""
    assert find(f"{NAME}={beginning}").release == OLD
    assert find(NAME).release == NEW
    assert find(f"{NAME}={beginning}").release == OLD
    assert archive.asked == 2


@pytest.mark.parametrize(
    ("beginning", "there"),
    [("6.1", "6.18, 7.3"), ("8", "6.18, 7.3"), ("7.3.4+deb13-amd64", NEW), ("7.3.9", NEW)],
)
def test_no_such_release(archive, beginning, there):
    """What there is instead: of that version, else which versions."""
    said = f"nor has the cache; ask for one that it has: {re.escape(there)}$"
    with pytest.raises(UnfitError, match=said):
        find(f"{NAME}={beginning}")


def test_rotated_out(archive):
    """What the archive has dropped stays usable, and says so."""
    find(NAME)
    archive.releases = ["7.3.5+deb13-cloud-amd64"]
    assert find(NAME).release == NEW
    assert find(NAME, fresh=True).release == "7.3.5+deb13-cloud-amd64"
    assert find(NAME).note == ""
    for fresh in (False, True):
        kernel = find(f"{NAME}=7.3.4", fresh=fresh)
        assert kernel.release == NEW
        assert re.search(r"the archive no longer had 7.3.4\S+ on \d{4}-\d\d-\d\d", kernel.note)
    (listed,) = (x for x in catalogue(architecture=AMD64) if x.name == NAME)
    assert [(x.release, x.current) for x in listed.cached] == [
        (NEW, False),
        ("7.3.5+deb13-cloud-amd64", True),
    ]


def test_without_network(archive):
    """A fresh one that cannot be had: the cache's, with a note; without a cache, the reason."""
    archive.trouble = "the archive cannot be reached"
    with pytest.raises(UnfitError, match="cannot be reached"):
        find(NAME)
    archive.trouble = ""
    find(NAME)
    archive.trouble = "the archive cannot be reached"
    assert find(NAME).note == ""
    assert find(NAME, fresh=True).note == "not asked anew: the archive cannot be reached"


def test_catalogue(archive):
    """Every name, cached or not, without asking the archive."""
    find(NAME)
    found = {x.name: x.cached for x in catalogue(architecture=AMD64)}
    asked = archive.asked
    assert list(found) == [x.name for x in OFFERS]
    assert [x for x in found if found[x]] == [NAME]
    (cached,) = found[NAME]
    assert (cached.release, cached.current) == (NEW, True)
    assert 0 < cached.size < 1 << 20
    assert archive.asked == asked


@pytest.mark.parametrize(
    ("name", "package", "release"),
    [
        ("debian:bookworm", "linux-image-amd64", "6.1.0-56-amd64"),
        ("debian:bullseye", "linux-image-amd64", "6.1.0-0.deb11.52-amd64"),
        ("debian:trixie-backports", "linux-image-amd64", "7.3.4+deb13-amd64"),
        ("debian:trixie", "linux-image-amd64", "6.12.115+deb13.1-amd64"),
        ("debian:sid+cloud", "linux-image-cloud-amd64", "7.2.13+deb14-cloud-amd64"),
        ("debian:bullseye+rt", "linux-image-rt-amd64", "5.10.0-46-rt-amd64"),
        ("ubuntu:noble", "linux-image-generic", "6.8.0-151-generic"),
        ("ubuntu:noble+virtual", "linux-image-virtual", "6.8.0-151-generic"),
        ("ubuntu:focal+hwe", "linux-image-generic-hwe-20.04", "5.15.0-139-generic"),
    ],
)
def test_offers(name, package, release):
    """A name's meta package, and which packages are kernels of it: none of another flavour's."""
    offer, _ = find_offer(name)
    assert offer.package(AMD64) == package
    assert offer.release(f"linux-image-{release}", AMD64) == release
    flavoured = release.replace("-amd64", "-gcp-amd64").replace("generic", "lowlatency")
    for other in (
        package,
        f"linux-image-{flavoured}",
        f"linux-image-{release}-dbg",
        f"linux-image-{release}-unsigned",
        f"linux-image-unsigned-{release}",
        f"linux-headers-{release}",
    ):
        assert offer.release(other, AMD64) == ""


def test_architectures():
    offer, _ = find_offer("debian:bookworm+cloud")
    assert offer.package(ARM64) == "linux-image-cloud-arm64"
    assert offer.release("linux-image-6.1.0-56-cloud-arm64", ARM64) == "6.1.0-56-cloud-arm64"
    (source,) = sources_of(Distribution.UBUNTU, "noble", ARM64, Path("/k"))
    assert "ports" in source.uri


def test_unknown_names():
    with pytest.raises(UsageError, match="no kernel named debian:potato; there are debian:bull"):
        find_offer("debian:potato=2.2")


@pytest.mark.parametrize(
    ("suite", "suites"),
    [
        ("bookworm", ["bookworm", "bookworm-security"]),
        ("bookworm-backports", ["bookworm-backports"]),
        ("sid", ["sid"]),
    ],
)
def test_sources(monkeypatch, suite, suites):
    """Only the suite's own and its security updates; other mirrors where they are named."""
    found = sources_of(Distribution.DEBIAN, suite, AMD64, Path("/k"))
    assert [y for x in found for y in x.suites] == suites
    assert "Signed-By: /k\n" in found[0].stanza()
    monkeypatch.setenv("HAIRPIN_DEBIAN_MIRROR", "http://mirror/debian")
    found = sources_of(Distribution.DEBIAN, suite, AMD64, Path("/k"))
    assert "URIs: http://mirror/debian\n" in found[0].stanza()


def test_keyrings(monkeypatch, tmp_path):
    """The installed one, then the one that was fetched; none at all is said to be so."""
    monkeypatch.setattr(distributions, "_KEYRINGS", tmp_path / "installed")
    with pytest.raises(UnfitError, match="nobody's signature can be checked; install"):
        keyring_of(Distribution.UBUNTU, tmp_path / "cache")
    for folder in ("cache", "installed"):
        path = tmp_path / folder / "ubuntu-archive-keyring.gpg"
        path.parent.mkdir()
        path.touch()
        assert keyring_of(Distribution.UBUNTU, tmp_path / "cache") == path


def test_age():
    """Numbers count as such."""
    given = ["6.12.9+deb13-amd64", "6.9.0-1", "6.12.10+deb13-amd64", "4.15.0-213-generic", "6.9.0"]
    order = ["4.15.0-213-generic", "6.9.0", "6.9.0-1", "6.12.9+deb13-amd64", "6.12.10+deb13-amd64"]
    assert sorted(given, key=age) == order
