"""libvirt's schemas: used where they are, asked for where they are not."""

import importlib
import sys

import pytest

from harness.errors import UnfitError
from harness.guests import check, parse_document
from harness.guests.schema import SCHEMAS

HEAD = "<domain type='qemu'><name>g</name><memory>1</memory><os><type>hvm</type></os><devices>"
TAIL = "</devices></domain>"
GOOD = "<interface type='direct'>\n<source dev='eth0' mode='vepa'/></interface>"

installed = pytest.mark.skipif(
    not (SCHEMAS / "domain.rng").is_file(), reason=f"libvirt's schemas are not in {SCHEMAS}"
)


def told(text, **options):
    problems = check([parse_document(text, file="x.xml")], **options)
    return [(x.line, x.message) for x in problems if x.source.endswith(".rng")]


@installed
@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}{GOOD}{TAIL}",
        f"<devices>{GOOD}</devices>",
        GOOD,
        "<network><name>n</name><forward mode='vepa'><interface dev='eth0'/></forward></network>",
    ],
    ids=["domain", "devices", "interface", "network"],
)
def test_valid(text):
    assert told(text) == []


@installed
@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (f"{HEAD}{GOOD.replace('vepa', 'vepaa')}{TAIL}", 2, "Invalid attribute mode"),
        (f"{HEAD}{GOOD.replace('/>', '/><odd/>')}{TAIL}", 2, "odd"),
        (f"{HEAD}\n<interface type='martian'/>{TAIL}", 2, "Element interface failed"),
        (f"{HEAD}{GOOD}{TAIL}".replace("<name>g</name>", ""), 1, "name"),
        ("<network><name>n</name>\n<forward mode='vepaa'/></network>", 2, "forward"),
    ],
    ids=["value", "element", "type", "no name", "network"],
)
def test_invalid(text, line, message):
    """Told where it is wrong, not that the whole domain is."""
    problems = told(text)
    assert any(line == at and message in said for at, said in problems), problems


def test_without_lxml(monkeypatch):
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "lxml", None)
    monkeypatch.delitem(sys.modules, "harness.guests")
    with pytest.raises(UnfitError, match=r"pip install 'hairpin\[guests\]'"):
        importlib.import_module("harness.guests")


def test_not_installed(tmp_path):
    with pytest.raises(UnfitError, match="install the package libvirt0"):
        told(GOOD, schemas=tmp_path)


def test_broken(tmp_path):
    (tmp_path / "domain.rng").write_text("<grammar")
    with pytest.raises(UnfitError, match="install its package anew"):
        told(f"{HEAD}{TAIL}", schemas=tmp_path)


@pytest.fixture
def small(tmp_path):
    """A schema of our own: an interface says its type, a domain has interfaces."""
    head = '<grammar xmlns="http://relaxng.org/ns/structure/1.0">'
    (tmp_path / "domaincommon.rng").write_text(
        f"""{head}
        <define name="interface"><element name="interface">
          <attribute name="type"><value>direct</value></attribute>
          <element name="source"><attribute name="dev"/></element>
        </element></define>
        <define name="devices"><element name="devices">
          <zeroOrMore><ref name="interface"/></zeroOrMore></element></define>
        <define name="domain"><element name="domain"><ref name="devices"/></element></define>
        </grammar>"""
    )
    (tmp_path / "domain.rng").write_text(
        f'{head}<start><ref name="domain"/></start><include href="domaincommon.rng"/></grammar>'
    )
    return tmp_path


@pytest.mark.parametrize(
    "around",
    ["{}", "<devices>{}</devices>", "<domain><devices>{}</devices></domain>"],
    ids=["interface", "devices", "domain"],
)
def test_parts(small, around):
    """A part of a domain is held against that part of the schema."""
    good = "<interface type='direct'><source dev='a'/></interface>"
    assert told(around.format(good), schemas=small) == []
    wrong = good + "\n<interface type='direct'>\n<source dev='b'><x/></source></interface>"
    if around != "{}":
        assert [line for line, _ in told(around.format(wrong), schemas=small)] == [3]


def test_what_is_around_is_told_when_nothing_inside_is_wrong(small):
    (problem,) = told("<domain>\n<devices/><more/></domain>", schemas=small)
    assert "more" in problem[1]
