"""Everything that the conformance suite sends, without a kernel."""

import importlib.util
import inspect
import itertools
from types import SimpleNamespace

import pytest

from harness.stimulus import Stimulus
from harness.suite import suite_folder


class _NeedsKernelError(Exception):
    """The test asks for more of its testbed than to send frames."""


class _Recorder:
    """Stands for a testbed, and notes what it is asked to send."""

    def __init__(self, topology, cases):
        self.topology = topology
        self._cases = cases

    def become(self, topology):
        self.topology = topology

    def check(self, stimulus):
        self._cases[self.topology, stimulus] = None
        return SimpleNamespace(observation=())

    def send(self, sender, *, to):
        return self.check(Stimulus(sender, to)).observation

    def __getattr__(self, name):
        raise _NeedsKernelError(name)


def _load(path):
    spec = importlib.util.spec_from_file_location(f"conformance_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _parameters(mark):
    """The argument sets of one parametrize mark."""
    names = mark.args[0]
    names = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
    for values in mark.args[1]:
        given = getattr(values, "values", None)
        given = given if isinstance(given, tuple) else values if len(names) > 1 else (values,)
        yield dict(zip(names, given, strict=True))


@pytest.fixture(scope="session")
def suite_cases():
    """Every topology and stimulus of the conformance suite, each pair once."""
    folder = suite_folder()
    shared = _load(folder / "conftest.py")
    fixtures = {"pair": shared.PAIRS, "triple": shared.TRIPLES}
    cases = {}
    for path in sorted(folder.glob("test_*.py")):
        for name, test in inspect.getmembers(_load(path), inspect.isfunction):
            if not name.startswith("test_"):
                continue
            axes = [list(_parameters(m)) for m in getattr(test, "pytestmark", ())]
            wanted = inspect.signature(test).parameters
            axes += [[{f: t} for t in fixtures[f]] for f in fixtures if f in wanted]
            if set(wanted) != {"testbed"}.union(*(axis[0] for axis in axes)):
                continue  # it sends through something else than a testbed
            for choice in itertools.product(*axes):
                arguments = {k: v for one in choice for k, v in one.items()}
                if "testbed" not in wanted or set(wanted) - {"testbed", *arguments}:
                    break  # it wants more than a topology: taps, processes
                try:
                    test(testbed=lambda topology: _Recorder(topology, cases), **arguments)
                except _NeedsKernelError:
                    break
    return list(cases)
