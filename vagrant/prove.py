"""Proves vagrant/ end to end, with vagrant-libvirt and without KVM or a box from anywhere.

    sudo ./hairpin test vagrant [-- [--box FILE] [--arguments WORDS] [--test WORDS]]

    this machine              sandbox, network namespace
    .------------.            .---------------------------------------------------.
    | the clone  | ── rsync ──│── vagrant ── libvirtd ── QEMU (TCG): Debian       |
    | .hairpin/  | ── fetch ──│── make-box, wheels        '── ./hairpin run, test |
    '------------'            '---------------------------------------------------'

Box, wheels, Vagrant's and libvirt's files lie in memory, up to 5 GB. Whatever ends this ends all of
it, so nothing is left but the results in .hairpin/vagrant/. Exits 0 when all steps did what they
should; 1 when one did not, 3 when this machine cannot, as hairpin itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import socket
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HairpinError, UnfitError
from harness.kernel import links
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family, Process, find_program

if TYPE_CHECKING:
    from harness.guests.daemon import Libvirtd

VAGRANT = Path(__file__).resolve().parent
CHECKOUT = VAGRANT.parent
MACHINE = "debian"
RELEASE, PYTHON = "bookworm", "3.11"  # of the box; the wheels are for its Python
SELECTION = "-k 'test_unicast or test_broadcast'"
WITHIN = 3600.0  # seconds for a step: emulation on a busy machine
# In the sandbox.
HOME, BOX, WHEELS = Path("/run/home"), Path("/run/home/debian.box"), Path("/run/home/wheels")
# What the host keeps of libvirt and of Vagrant, of root's and of machines'.
KEPT = ("/etc/libvirt", "/var/lib/libvirt", "/run/libvirt", "~/.vagrant.d")
BAD = ("differs", "does not hold", "error")


class Proof:
    """Steps in the sandbox, one after the other, and how long each took."""

    def __init__(self, family: Family, ns: NetNS, libvirtd: Libvirtd, arguments: str) -> None:
        self._family = family
        self._ns = ns
        self._outside = NetNS.current()
        self.libvirtd = libvirtd
        self.steps: list[tuple[str, float, str]] = []
        self.environment = {
            "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]),
            "HOME": str(HOME),
            "TMPDIR": str(HOME),
            "LC_ALL": "C.UTF-8",
            "VAGRANT_HOME": str(HOME / "vagrant.d"),
            "VAGRANT_DOTFILE_PATH": str(HOME / "vagrant"),
            "VAGRANT_DEFAULT_PROVIDER": "libvirt",
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "HAIRPIN_ACCELERATOR": "tcg",
            "HAIRPIN_BOX": str(BOX),
            "HAIRPIN_WHEELS": str(WHEELS),
            "HAIRPIN_ARGUMENTS": arguments,
        }
        # pip's and apt's ways out are the host's.
        for name, value in os.environ.items():
            if name.lower().endswith("_proxy") or name.startswith(("PIP_", "HAIRPIN_DEBIAN")):
                self.environment.setdefault(name, value)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """A step: its time, and what the block says of it by putting it into the list."""
        print(f"\n=== {name}", flush=True)
        started = time.monotonic()
        said: list[str] = []
        yield said
        self.steps.append((name, time.monotonic() - started, "; ".join(said)))

    def ensure_plugin(self) -> None:
        """Raises UnfitError when Vagrant knows no libvirt."""
        command, inside = ["vagrant", "plugin", "list"], self.libvirtd.sandbox
        known = self._family.run(
            self._ns, command, timeout=60, environment=self.environment, sandbox=inside
        )
        if "vagrant-libvirt" not in known.checked().stdout:
            raise UnfitError(
                "Vagrant has no vagrant-libvirt here, but for what a user may have installed",
                remedy="apt install vagrant-libvirt",
            )

    def start(self, *command: str, outside: bool = False) -> Process:
        """Start a command in the sandbox; what it writes appears on our terminal.

        `outside`: with the machine's own network, for what has to be fetched.
        """
        ours = os.dup(1)
        try:
            return self._family.spawn(
                self._outside if outside else self._ns,
                ["bash", "-c", f'exec "$@" >&{ours} 2>&1', "bash", *command],
                descriptors=(ours,),
                environment=self.environment,
                folder=str(VAGRANT),
                sandbox=self.libvirtd.sandbox,
            )
        finally:
            os.close(ours)

    def run(self, *command: str, outside: bool = False) -> None:
        """Run a command to its end. Raises StepError."""
        status = self.start(*command, outside=outside).wait(WITHIN).status
        if status:
            raise StepError(f"{shlex.join(command)}: exit status {status}")

    def fetch(self, backend: str) -> str:
        """The results of the last run, fetched to the host; in a line. Raises StepError."""
        self.run("./fetch", MACHINE)
        folder = CHECKOUT / ".hairpin" / "vagrant" / MACHINE
        run = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        outcomes = Counter(record["outcome"] for record in run["records"])
        line = ", ".join(f"{number:,} {outcome}" for outcome, number in outcomes.items())
        line = f"{run['kernel']}, {run['backend']}: {line}"
        if run["backend"] != backend:
            raise StepError(f"the guests should have been of the kind {backend}: {line}")
        if run["kernel"] == os.uname().release:
            raise StepError(f"that is this machine's kernel: {line}")
        if any(outcome in outcomes for outcome in BAD) or not outcomes["as predicted"]:
            raise StepError(f"not as predicted: {line}")
        return line


class StepError(HairpinError):
    """A step did not do what it should."""


def prove(proof: Proof, given: argparse.Namespace) -> None:
    """Every step. Raises StepError, or what hairpin raises."""
    if given.box:
        shutil.copyfile(given.box, proof.libvirtd.path(str(BOX)))
    else:
        with proof.step(f"make-box debian.box {RELEASE}") as said:
            proof.run("./make-box", str(BOX), RELEASE, outside=True)
            said.append(f"{proof.libvirtd.path(str(BOX)).stat().st_size >> 20} MiB")
    with proof.step("wheels for the box") as said:
        proof.run(*download(with_tests=bool(given.test)), outside=True)
        said.append(f"{len(list(proof.libvirtd.path(str(WHEELS)).iterdir()))} files")
    with proof.step("vagrant validate"):
        proof.run("vagrant", "validate")
    with proof.step(f"vagrant up {MACHINE}: box, needs, hairpin run as root") as said:
        proof.run("vagrant", "up", MACHINE)
        said.append(proof.fetch("tap"))
    with proof.step("hairpin run, without root") as said:
        words = proof.environment["HAIRPIN_ARGUMENTS"]
        proof.run("vagrant", "ssh", MACHINE, "-c", f"cd hairpin && ./hairpin run {words}")
        said.append(proof.fetch("packet"))
    if given.test:
        with proof.step(f"hairpin test {given.test}, as root"):
            proof.environment["HAIRPIN_TESTS"] = given.test
            proof.run("vagrant", "provision", MACHINE, "--provision-with", "test")
    with proof.step("vagrant halt"):
        proof.run("vagrant", "halt", MACHINE)
    with proof.step("vagrant up, again"):
        proof.run("vagrant", "up", MACHINE)
        proof.run("vagrant", "ssh", MACHINE, "-c", "test -x hairpin/.venv/bin/hairpin")
    with proof.step("vagrant destroy"):
        proof.run("vagrant", "destroy", "--force", MACHINE)
        with proof.libvirtd.connect() as connection:
            if connection.handle.listAllDomains():
                raise StepError("libvirt has a machine even so")


def download(*, with_tests: bool) -> list[str]:
    """The command that fetches what `./hairpin` installs in the box, hairpin itself apart."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = ["explore", "bench", "guests", *(["dev"] if with_tests else [])]
    optional = project["project"]["optional-dependencies"]
    wanted = [
        *project["project"]["dependencies"],
        *(each for extra in extras for each in optional[extra] if "hairpin" not in each),
        *project["build-system"]["requires"],
        "editables",  # what hatchling takes for an editable install
    ]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    kind = ["--only-binary=:all:", f"--python-version={PYTHON}"]
    return [*pip, *kind, f"--dest={WHEELS}", *wanted]


def ensure_fit() -> None:
    """Raises UnfitError where something is missing that is not looked for later."""
    if os.geteuid():
        raise UnfitError("a libvirtd of our own takes root", remedy="run it with sudo")
    for name in ("dnsmasq", "rsync", "ssh", "vagrant"):
        find_program(name)


def furnish(libvirtd: Libvirtd) -> None:
    """A home, and the machine's resolver, which may be kept in /run."""
    resolver = Path("/etc/resolv.conf").resolve()
    told = resolver.read_bytes() if resolver.exists() else b""

    def inside() -> None:
        HOME.mkdir()
        if resolver.is_relative_to("/run"):
            resolver.parent.mkdir(parents=True, exist_ok=True)
            resolver.write_bytes(told)

    libvirtd.sandbox.run(inside)


def look() -> dict[str, str]:
    """What of this machine could be left changed."""
    names = sorted(name for _, name in socket.if_nameindex())
    seen = {"links": "\n".join(names), "mounts": Path("/proc/self/mounts").read_text()}
    for name in KEPT:
        folder = Path(name).expanduser()
        seen[name] = "\n".join(sorted(str(x) for x in folder.rglob("*")))
    return seen


def main() -> int:
    """Prove it, and print a table of the steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--box", type=Path, help="a box that is there, instead of making one")
    parser.add_argument("--arguments", default=SELECTION, help="for hairpin run (%(default)s)")
    parser.add_argument("--test", default="", help="`hairpin test` in the box, with these words")
    given = parser.parse_args()
    if given.box and not given.box.is_file():
        parser.error(f"there is no {given.box}")
    started = time.monotonic()
    before = look()
    proof: Proof | None = None
    try:
        with ExitStack() as undo:
            ensure_fit()
            from harness.guests.daemon import Libvirtd

            family = undo.enter_context(Family())
            ns = undo.enter_context(NetNS.create())
            ns.rtnl.transact([links.set_link("lo", index=1, up=True)])
            libvirtd = undo.enter_context(Libvirtd(family, ns, hostname="vagrant"))
            furnish(libvirtd)
            proof = Proof(family, ns, libvirtd, given.arguments)
            proof.ensure_plugin()
            prove(proof, given)
    except UnfitError as error:
        print(f"{error}", file=sys.stderr)
        return 3
    except HairpinError as error:
        print(f"\nfailed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    finally:
        for name, took, said in [] if proof is None else proof.steps:
            print(f"{took:7.0f} s  {name}" + (f"\n           {said}" if said else ""))
    left = [
        f"{name}: {line}"
        for name, was in look().items()
        for line in sorted({*was.splitlines()} ^ {*before[name].splitlines()})
    ]
    if left:
        print("failed: changed on this machine, by this or by others:", *left, sep="\n  ")
        return 1
    took = time.monotonic() - started
    print(f"{len(proof.steps)} steps in {took:.0f} s, and nothing left on this machine")
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        raise SystemExit(main())
