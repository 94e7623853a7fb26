"""With --hairpin-each-choice: of each test as few cases as have every row of every table of it.

A test that is repeated over several tables (`parametrize` above `parametrize`) has a case for each
combination of their rows. Here each row is in one case at least (each choice coverage: Ammann and
Offutt, Introduction to Software Testing): what a kernel does otherwise with one of them shows, what
it does so in one combination only may not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from collections.abc import Set as AbstractSet

import pytest

__all__ = ["each_choice"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("hairpin").addoption(
        "--hairpin-each-choice",
        action="store_true",
        help="of each test as few cases as have every row of every table of it",
    )


@pytest.hookimpl(trylast=True)  # of what -k and -m leave
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("hairpin_each_choice"):
        return
    tests: defaultdict[tuple[str, str], list[pytest.Item]] = defaultdict(list)
    for item in items:
        name = getattr(item, "originalname", None) or item.name
        tests[str(item.path), name].append(item)
    chosen: set[pytest.Item] = set()
    for cases in tests.values():
        chosen.update(cases[x] for x in each_choice([_rows(case) for case in cases]))
    left_out = [x for x in items if x not in chosen]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [x for x in items if x in chosen]


def each_choice(cases: Sequence[AbstractSet[Hashable]]) -> tuple[int, ...]:
    """Numbers of the cases that have between them all that any has; of cases alike the first."""
    missing = set().union(*cases)
    found = [] if missing else [0]
    while missing:
        best = max(range(len(cases)), key=lambda number: len(cases[number] & missing))
        found.append(best)
        missing -= cases[best]
    return tuple(sorted(found))


def _rows(item: pytest.Item) -> frozenset[Hashable]:
    """The rows of its tables that a case has. Each is told by its objects: all cases share them."""
    call = getattr(item, "callspec", None)
    left = dict(call.params) if call else {}
    rows: set[Hashable] = set()
    for mark in item.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs["argnames"]
        if isinstance(names, str):
            names = [x.strip() for x in names.split(",") if x.strip()]
        rows.add(tuple((name, id(left.pop(name))) for name in names if name in left))
    rows |= {(name, id(value)) for name, value in left.items()}  # of fixtures
    return frozenset(rows)
