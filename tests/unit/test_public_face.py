"""What `from harness import …` offers, what each module offers, and the tree of exceptions."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness import errors

ROOT = Path(harness.__file__).parent
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages([str(ROOT)], "harness.")
    if info.name != "harness.__main__" and not info.name.startswith("harness.conformance")
)
# Packages that offer nothing but their modules.
PRIVATE = {"harness.bench", "harness.kernel", "harness.machines", "harness.machines.archive"}


def in_order(names):
    """CONSTANTS, then Classes, then functions, each by the alphabet (as ruff's RUF022)."""

    def key(name):
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    return sorted(names, key=key)


def test_public_face_is_sorted():
    assert harness.__all__ == in_order(harness.__all__)


@pytest.mark.parametrize("name", harness.__all__)
def test_public_name_is_there(name):
    assert getattr(harness, name) is not None


def test_public_face_offers_nothing_unsaid():
    """Every class and function that the package imports for its users is in __all__."""
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness.")
        for alias in node.names
    }
    assert imported == set(harness.__all__)


def test_no_other_name():
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'nothing'"):
        harness.nothing  # noqa: B018


def test_facts_and_model_need_no_kernel():
    """Importing the public face loads neither netlink nor anything of the live part."""
    code = "import sys, harness; print(*(m for m in sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    ).stdout.split()
    assert not {"pyroute2", "scapy", "pytest", "harness.kernel", "harness.testbed"} & set(loaded)


@pytest.mark.parametrize("module", [m for m in MODULES if m not in PRIVATE])
def test_module_says_what_it_offers(module):
    offered = importlib.import_module(module).__all__
    assert len(set(offered)) == len(offered)


@pytest.mark.parametrize("module", [m for m in MODULES if m not in PRIVATE])
def test_module_offers_in_order(module):
    offered = importlib.import_module(module).__all__
    assert offered == in_order(offered)


@pytest.mark.parametrize("module", [m for m in MODULES if m not in PRIVATE])
def test_module_has_what_it_offers(module):
    found = importlib.import_module(module)
    assert [name for name in found.__all__ if not hasattr(found, name)] == []


@pytest.mark.parametrize("module", MODULES)
def test_module_says_what_it_is_for(module):
    assert importlib.import_module(module).__doc__


# ---------------------------------------------------------------------- errors


def drawn_tree():
    """Class to its parent, as drawn in the docstring of harness.errors."""
    parents, path = {}, []
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ([│├└─ ]*)([A-Z]\w+Error)\b", line)
        if match:
            depth = len(match.group(1)) // 4
            path[depth:] = [match.group(2)]
            parents[match.group(2)] = path[depth - 1] if depth else None
    return parents


DEFINED = [
    cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and cls.__module__ == errors.__name__
]


def test_every_exception_is_drawn():
    assert set(drawn_tree()) == {cls.__name__ for cls in DEFINED} == set(errors.__all__)


@pytest.mark.parametrize("cls", DEFINED, ids=lambda cls: cls.__name__)
def test_drawn_where_it_belongs(cls):
    """Under the first of its bases, if that is one of ours."""
    base = cls.__base__.__name__ if cls.__base__ in DEFINED else None
    if cls is not errors.HairpinError:
        base = next(b.__name__ for b in cls.__bases__ if b in DEFINED)
    assert drawn_tree()[cls.__name__] == base


def test_a_difference_is_a_failed_assertion():
    """So pytest shows it as a failure, not as an error."""
    assert issubclass(errors.DifferenceError, AssertionError)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.UnfitError("no macvtap", remedy="load it"), "no macvtap; load it"),
        (errors.KernelError("add a", 16), "add a: EBUSY (Device or resource busy)"),
        (
            errors.KernelError("add a", 22, "bad mode"),
            "add a: EINVAL (Invalid argument): bad mode",
        ),
        (errors.KernelError("add a", 9999), "add a: 9999 (Unknown error 9999)"),
        (
            errors.ForeignTapError("open a", "it is b"),
            "open a: EXDEV (Invalid cross-device link): it is b",
        ),
        (errors.TopologyError("guest", "is bad"), "guest: is bad"),
        (
            errors.TopologyError("guest", "is bad", allowed="good").at("x.toml", 3),
            "x.toml:3: guest: is bad; allowed: good",
        ),
        (errors.DomainError("source", "is bad"), "XML: source: is bad"),
        (
            errors.DomainError("source", "is bad", allowed="good", file="x.xml", line=3),
            "x.xml:3: source: is bad; allowed: good",
        ),
    ],
    ids=[
        "unfit",
        "kernel",
        "kernel, detail",
        "no errno",
        "foreign tap",
        "topology",
        "in a file",
        "domain",
        "domain, in a file",
    ],
)
def test_error_as_text(error, text):
    assert str(error) == text
