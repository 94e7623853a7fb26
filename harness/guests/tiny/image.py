"""The tiny guest's kernel and initramfs, made once and kept in the user's cache.

    ~/.cache/hairpin/guest/parts-x86_64/            what the distribution's packages brought
    ~/.cache/hairpin/guest/x86_64-6f1d…/            an image of those parts and of our agent
        kernel  initramfs.cpio

A folder is made under another name and renamed when it is whole.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import platform
import py_compile
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.guests.tiny.parts import Parts, gather, load_parts
from harness.machines.architecture import Architecture
from harness.machines.cache import cache_folder, explained, keep_folder, locked
from harness.machines.cpio import File, archive

__all__ = ["Image", "image"]

_RECIPE = "1"  # counted up when what is taken or made changes
_ROOM = 400  # megabytes that making one takes in between
_OWN = Path(__file__).parent
_AGENT = ("__init__.py", "wire.py", "agent.py", "inside/*.py")
_FOLDERS = ("dev", "proc", "sys", "tmp", "run")
# What the interpreter itself imports before it does anything.
_FIRST_IMPORTS = ("encodings", "encodings.aliases", "encodings.utf_8", "encodings.ascii", "os")
_MAGIC = re.compile(r"^MAGIC_NUMBER = \((\d+)\)", re.MULTILINE)
# The hash seed is fixed, as a random one waits a second for the kernel to gather entropy.
_INIT = """\
#!/bin/busybox sh
export PATH=/bin:/sbin
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
cd /proc/sys/net
echo 1 >ipv6/conf/all/disable_ipv6
echo 1 >ipv6/conf/default/disable_ipv6
echo 60 >ipv4/neigh/default/retrans_time_ms
cd /
for module in {modules}; do $b insmod /modules/$module.ko; done
$b ip link set lo up
$b --install -s /bin
PYTHONHASHSEED=0 PYTHONHOME=/usr exec python -S -s -c \
'import sys; sys.path.insert(0, "/agent"); from harness.guests.tiny.agent import main; main()'
"""


@dataclass(frozen=True)
class Image:
    """A kernel and an initramfs; `packages` are what they are made of: names and versions."""

    architecture: Architecture
    kernel: Path
    initramfs: Path
    packages: tuple[tuple[str, str], ...]
    iperf3: bool = False


def image(
    architecture: Architecture | str | None = None,
    *,
    iperf3: bool = False,
    fresh: bool = False,
    cache: Path | None = None,
) -> Image:
    """The image for an architecture (this machine's), from the cache where it has been made.

    `iperf3` puts that program in; `fresh` fetches the packages again. Raises UnfitError where it
    cannot be made, UsageError for an architecture without one.
    """
    try:
        wanted = Architecture(architecture or platform.machine())
    except ValueError as error:
        known = ", ".join(Architecture)
        raise UsageError(f"no tiny guest for {architecture}; there is one for {known}") from error
    folder = cache or cache_folder("guest")
    parts_folder = folder / f"parts-{wanted}{'-iperf3' * iperf3}-{_RECIPE}"
    parts = None if fresh else load_parts(parts_folder)
    if parts and (found := _made(parts, wanted, folder, iperf3=iperf3)):
        return found
    with explained("the tiny guest", folder, room=_ROOM), locked(folder):
        parts = None if fresh else load_parts(parts_folder)
        if parts is None:
            keep_folder(parts_folder, lambda into: gather(wanted, into, iperf3=iperf3))
            parts = load_parts(parts_folder)
            assert parts
        if found := _made(parts, wanted, folder, iperf3=iperf3):
            return found
        keep_folder(_place(parts, wanted, folder), lambda into: _build(parts, into))
        found = _made(parts, wanted, folder, iperf3=iperf3)
        assert found
        return found


def _place(parts: Parts, architecture: Architecture, folder: Path) -> Path:
    key = hashlib.sha256(repr((_RECIPE, parts.packages, _INIT, _compiles(parts))).encode())
    for path in _agent():
        key.update(path.read_bytes())
    return folder / f"{architecture}-{key.hexdigest()[:16]}"


def _made(parts: Parts, architecture: Architecture, folder: Path, *, iperf3: bool) -> Image | None:
    place = _place(parts, architecture, folder)
    if not place.is_dir():
        return None
    files = place / "kernel", place / "initramfs.cpio"
    return Image(architecture, *files, packages=parts.packages, iperf3=iperf3)


# ---------------------------------------------------------------------- the initramfs


def _agent() -> tuple[Path, ...]:
    return tuple(sorted(path for name in _AGENT for path in _OWN.glob(name)))


def _build(parts: Parts, into: Path) -> None:
    (into / "kernel").hardlink_to(parts.folder / "kernel")  # tens of megabytes
    (into / "initramfs.cpio").write_bytes(archive(_files(parts, into), _FOLDERS))


def _files(parts: Parts, scratch: Path) -> dict[str, File]:
    """All that lies in the guest, by its path."""
    folder = parts.folder
    init = _INIT.format(modules=" ".join(parts.modules))
    files = {
        "init": File(init.encode(), executable=True),
        "bin/busybox": File((folder / "busybox").read_bytes(), executable=True),
        "bin/python": File((folder / "python").read_bytes(), executable=True),
        parts.interpreter: File((folder / "interpreter").read_bytes(), executable=True),
    }
    for path in folder.glob("modules/*.ko"):
        files[f"modules/{path.name}"] = File(path.read_bytes())
    for path in folder.glob("lib/*"):
        files[f"lib/{path.name}"] = File(path.read_bytes())
    for path in folder.glob("programs/*"):
        files[f"bin/{path.name}"] = File(path.read_bytes(), executable=True)
    compiles = _compiles(parts)
    for package in ("harness", "harness/guests"):  # ours hold what the guest has no use for
        files[f"agent/{package}/__init__.py"] = File(b"")
    for path in _agent():
        name = f"agent/harness/guests/tiny/{path.relative_to(_OWN)}"
        files.update(_module(path, name, scratch, compiles=compiles))
    for path in _imported(folder / "library"):
        name = f"{parts.library}/{path.relative_to(folder / 'library')}"
        files.update(_module(path, name, scratch, compiles=compiles))
    files[f"{parts.library}/os.py"] = File(b"")  # a landmark, looked for to find the library
    return files


def _compiles(parts: Parts) -> bool:
    """Whether our Python makes bytecode that the guest's Python takes: it need not compile, which
    saves 0.4 s of its start under TCG.
    """
    source = parts.folder / "library/importlib/_bootstrap_external.py"
    found = _MAGIC.search(source.read_text())
    magic = int(found[1]).to_bytes(2, "little") + b"\r\n" if found else b""
    return magic == importlib.util.MAGIC_NUMBER


def _module(path: Path, name: str, scratch: Path, *, compiles: bool) -> dict[str, File]:
    if not compiles:
        return {name: File(path.read_bytes())}
    made = scratch / "module.pyc"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(path), str(made), name, doraise=True, optimize=2, invalidation_mode=mode)
    data = made.read_bytes()
    made.unlink()
    return {f"{name}c": File(data)}


def _imported(library: Path) -> list[Path]:
    """The standard modules that the agent imports, and those that they import."""
    waiting = list(_FIRST_IMPORTS)
    for own in _agent():
        waiting += _imports(own, "")
    done: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        parent = name.rpartition(".")[0]
        places = (
            library / f"{name.replace('.', '/')}.py",
            library / name.replace(".", "/") / "__init__.py",
        )
        path = next(filter(Path.is_file, places), None)
        if path is None or name in done:
            continue  # built in, of another system, or a name that is no module
        done[name] = path
        waiting += [parent] if parent else []
        waiting += _imports(path, name if path.name == "__init__.py" else parent)
    return sorted(set(done.values()))


def _imports(path: Path, package: str) -> Iterator[str]:
    """What a module imports when it is loaded: not what its functions do when they are called."""
    waiting: list[ast.AST] = [ast.parse(path.read_bytes())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (x.name for x in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: -node.level + 1 or None] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{x.name}" for x in node.names)
        waiting += ast.iter_child_nodes(node)
