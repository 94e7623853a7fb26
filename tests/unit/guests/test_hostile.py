"""XML that means harm, or is none: refused with its line, nothing expanded, nothing fetched."""

import pytest

from harness.errors import DomainError
from harness.guests import document as documents
from harness.guests import load_document, load_domain, parse_document, parse_domain

LAUGHS = """<?xml version="1.0"?>
<!DOCTYPE domain [
  <!ENTITY a "ha">
  <!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
]>
<domain><name>&b;</name></domain>"""
FOREIGN = """\
<!DOCTYPE domain [<!ENTITY x SYSTEM "file:///etc/hostname">]><domain><name>&x;</name></domain>"""
REMOTE = """<!DOCTYPE domain SYSTEM "http://127.0.0.1:9/x.dtd"><domain/>"""
BARE = """<!DOCTYPE domain><domain/>"""


@pytest.mark.parametrize(
    "text", [LAUGHS, FOREIGN, REMOTE, BARE], ids=["laughs", "file", "net", "bare"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "str"])
def test_document_type(text, encoding):
    """Whatever encoding hides it."""
    if encoding == "utf-16":
        text = text.replace('<?xml version="1.0"?>', "")
    content = text if encoding == "str" else text.encode(encoding)
    with pytest.raises(DomainError, match="a document type") as caught:
        parse_domain(content, file="x.xml")
    assert caught.value.element == "<!DOCTYPE>"
    assert caught.value.line == 1 + text[: text.index("<!")].count("\n")


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ("", 1, "no element found"),
        ("hello", 1, "syntax error"),
        ("<domain>\n<name>\n</domain>", 3, "mismatched tag"),
        ("<domain/>\n<domain/>", 2, "junk after document element"),
        ("<domain a='1' a='2'/>", 1, "duplicate attribute"),
        ("<domain>\n&unknown;</domain>", 2, "undefined entity"),
        ("<domain>\n<q:x/></domain>", 2, "prefix q"),
        ("<domain>\0</domain>", 1, "invalid token"),
        (b"<domain>\xff</domain>", 1, "not well-formed|invalid token"),
        (b"<?xml version='1.0' encoding='martian'?><domain/>", 0, "not XML"),
        ("<domain>\udc80</domain>", 0, "this is not text"),
    ],
)
def test_not_xml(content, line, problem):
    with pytest.raises(DomainError, match=problem) as caught:
        parse_domain(content, file="x.xml")
    assert str(caught.value).startswith("x.xml:")
    if line:
        assert caught.value.line == line


def test_text_may_bear_the_declaration_of_its_file():
    text = "<?xml version='1.0' encoding='iso-8859-1'?><domain><name>é</name></domain>"
    assert parse_domain(text).name == "é"
    assert parse_domain(text.encode("latin-1")).name == "é"


def test_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MOST_BYTES", 100)
    file = tmp_path / "x.xml"
    file.write_text(f"<domain>{' ' * 100}</domain>")
    with pytest.raises(DomainError, match="too large; allowed: at most 100 bytes"):
        load_domain(file)


def deep(levels):
    return "<domain>\n" + "<a>" * (levels - 1) + "</a>" * (levels - 1) + "</domain>"


@pytest.mark.parametrize("text", [deep(documents.MOST_DEPTH + 1), "<domain>\n" + "<a>" * 300_000])
def test_too_deep(text):
    with pytest.raises(DomainError, match="nested too deeply") as caught:
        parse_domain(text)
    assert caught.value.line == 2


def test_deep_enough():
    assert parse_domain(deep(documents.MOST_DEPTH)).interfaces == ()


@pytest.mark.parametrize("root", ["pool", "Domain", "x:domain xmlns:x='y'", "domain xmlns='y'"])
def test_wrong_root(root):
    with pytest.raises(DomainError, match="not the element that was looked for; allowed: <domain>"):
        parse_domain(f"\n<{root}/>")


def test_network_is_no_domain():
    with pytest.raises(DomainError, match="allowed: <domain>, <devices>, <interface>"):
        parse_domain("<network/>")


@pytest.mark.parametrize("name", ["missing.xml", "."])
def test_no_file(tmp_path, name):
    with pytest.raises(DomainError, match="there is no such file"):
        load_document(tmp_path / name)


def test_nothing_is_included():
    """XInclude is not done: it would fetch files."""
    text = (
        "<domain xmlns:xi='http://www.w3.org/2001/XInclude'>"
        "<xi:include href='/etc/hostname' parse='text'/></domain>"
    )
    assert "/etc/hostname" in parse_domain(text).text


def test_lines_are_those_of_the_beginning():
    """Of a tag over several lines too, where libxml2 would count to its end."""
    document = parse_document(
        "<domain>\n<devices\n a='1'\n b='2'>\n<interface/></devices></domain>"
    )
    assert [x.sourceline for x in document.root.iter("*")] == [1, 2, 5]
