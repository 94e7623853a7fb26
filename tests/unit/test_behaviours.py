"""Ways in which kernels behave: each is named, said, and traced to its commit."""

import re

import pytest

from harness.behaviours import Behaviour
from harness.kernel.behaving import _ATTEMPTS

ALL = pytest.mark.parametrize("behaviour", Behaviour, ids=lambda x: x.key)


@ALL
def test_where_it_comes_from(behaviour):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", behaviour.key)
    assert re.match(r"[a-z_][a-z0-9_]+( \([A-Z_]+\))?, (drivers/)?net/", behaviour.where)
    assert re.fullmatch(r"([0-9a-f]{12})?", behaviour.commit)
    assert not behaviour.says.endswith(".")


def test_each_is_another():
    """Python's Enum would make the second of two that are equal an alias of the first."""
    assert len(Behaviour) == len(Behaviour.__members__)


@ALL
def test_each_is_tried(behaviour):
    assert behaviour in _ATTEMPTS
