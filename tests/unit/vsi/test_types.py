"""The type database: what is found, and what is wrong with a file is said with its place."""

import pytest

from harness.errors import VsiTypesError
from harness.vsi.facts import Refusal, Vsi, manager_of
from harness.vsi.types import load_types, parse_types

TYPES = """
[[type]]
manager = 11
id = 7

[[type]]
manager = 11
id = 7
version = 2
vlan = 100

[[type]]
manager = 12
id = 8
version = 1
"""


@pytest.mark.parametrize(
    ("manager", "kind", "version", "found"),
    [
        (11, 7, 2, 100),
        (11, 7, 3, 0),
        (11, 9, 2, Refusal.UNKNOWN_TYPE),
        (12, 8, 2, Refusal.UNKNOWN_VERSION),
        (13, 7, 2, Refusal.UNKNOWN_MANAGER),
    ],
)
def test_find(manager, kind, version, found):
    got = parse_types(TYPES).find(Vsi(manager_of(manager), kind, version, bytes(16)))
    assert (got if isinstance(got, Refusal) else got.vlan) == found


def test_a_manager_of_more_than_one_octet_is_unknown():
    assert parse_types(TYPES).find(Vsi(b"\x0b" * 16, 7, 2, bytes(16))) is Refusal.UNKNOWN_MANAGER


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[type]]\nid = 1", "types.toml:1: type[1]: has no manager"),
        ("[[type]]\nmanager = 0\nid = 1", "types.toml:2: type[1].manager: 0 is out of range"),
        ("[[type]]\nmanager = 1\nid = 16777216", "types.toml:3: type[1].id: 16777216 is out of"),
        ("[[type]]\nmanager = 1\nid = 1\nvlan = 4095", "types.toml:4: type[1].vlan: 4095"),
        ("[[type]]\nmanager = 1\nid = 1\nvlam = 1", "types.toml:4: type[1].vlam: no such key"),
        ('[[type]]\nmanager = "x"\nid = 1', "types.toml:2: type[1].manager: 'x' is none"),
        ("[[type]]\nmanager = 1\nid = 1\nmacs = ['x']", "types.toml:4: type[1].macs: 'x' begins"),
        ("[[type]]\nmanager = 1\nid = 1\nformats = [5]", "types.toml:4: type[1].formats: 5 is no"),
        ("[[type]]\nmanager = 1\nid = 1\n" * 2, "type[2].id: is that of type[1] again"),
        ("[[kind]]\n", "types.toml:1: kind: no such table"),
        ("type = 3", "type: is no list of tables"),
        ("[[type", "types.toml:1: syntax"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "types.toml").write_text(text)
    with pytest.raises(VsiTypesError) as caught:
        load_types(tmp_path.joinpath("types.toml").relative_to(tmp_path))
    assert message in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(VsiTypesError, match="No such file"):
        load_types(tmp_path / "none.toml")
