"""XML files of strangers, read without trust.

libvirt's XML needs neither a document type nor entities, so whoever brings one is refused before
anything of it is expanded or fetched. Size and depth are bounded. Line numbers are those of the
tags' beginnings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

from lxml import etree

from harness.errors import DomainError

__all__ = [
    "MOST_BYTES",
    "MOST_DEPTH",
    "Document",
    "Element",
    "line_of",
    "load_document",
    "parse_document",
]

MOST_BYTES = 1 << 20
MOST_DEPTH = 64  # a domain of libvirt's own tests has 9
_MOST_LINE = 65535  # libxml2 keeps line numbers in 16 bits

Element = etree._Element  # noqa: SLF001 (lxml has no public name for it)
ROOTS = ("domain", "devices", "interface", "network")


@dataclass(frozen=True)
class Document:
    """A whole file: a `<domain>`, its `<devices>`, one `<interface>`, or a `<network>`.

    `root` must not be changed; `text` is the file again, byte for byte in meaning.
    """

    file: str
    root: Element = field(compare=False)
    text: str = field(repr=False)

    @property
    def kind(self) -> str:
        """The name of the root element."""
        return str(self.root.tag)


def line_of(element: Element) -> int:
    """The line on which an element's tag begins; 0 for an element out of no file."""
    line: Any = element.sourceline
    return int(line or 0)


def load_document(path: Path, *, roots: tuple[str, ...] = ROOTS) -> Document:
    """The document in the file `path`. Raises DomainError naming file and line."""
    try:
        if not path.is_file():
            raise DomainError("file", "there is no such file", file=str(path))
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise DomainError("file", error.strerror or str(error), file=str(path)) from error
    return parse_document(content, file=str(path), roots=roots)


def parse_document(
    content: str | bytes, *, file: str = "domain.xml", roots: tuple[str, ...] = ROOTS
) -> Document:
    """The document that `content` is; `file` is for messages.

    Raises DomainError with the line for what is no XML, has a document type, is larger than
    MOST_BYTES or nested deeper than MOST_DEPTH, or has a root other than `roots`.
    """
    # Text is no longer in the encoding that its declaration names.
    encoding = "utf-8" if isinstance(content, str) else None
    if isinstance(content, str):
        try:
            content = content.encode()
        except UnicodeEncodeError as error:
            raise DomainError("file", "this is not text", file=file) from error
    if len(content) > MOST_BYTES:
        raise DomainError(
            "file", "this is too large", allowed=f"at most {MOST_BYTES} bytes", file=file
        )
    lines = _Gate(file, encoding).lines(content)
    parser = etree.XMLParser(
        encoding=encoding,
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        no_network=True,
        huge_tree=False,
        strip_cdata=False,
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise DomainError(
            "file", f"this is not XML: {error.msg}", file=file, line=error.lineno or 0
        ) from error
    tree: Any = root.getroottree()
    if tree.docinfo.doctype:
        _refuse_doctype(file, 1)
    for element, line in zip(root.iter("*"), lines, strict=True):
        element.sourceline = min(line, _MOST_LINE)
    if root.tag not in roots:
        raise DomainError(
            str(root.tag),
            "this is not the element that was looked for",
            allowed=", ".join(f"<{x}>" for x in roots),
            file=file,
            line=lines[0],
        )
    return Document(file, root, etree.tostring(tree, encoding="unicode"))


def _refuse_doctype(file: str, line: int) -> NoReturn:
    raise DomainError(
        "<!DOCTYPE>",
        "a document type, with which come entities and fetching of files, is not read",
        allowed="XML without one, as libvirt writes it",
        file=file,
        line=line,
    )


class _Gate:
    """A first reading, by a parser that stops at the beginning of a document type."""

    def __init__(self, file: str, encoding: str | None) -> None:
        self._file = file
        self._depth = 0
        self._lines: list[int] = []
        self._parser = expat.ParserCreate(encoding)
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def lines(self, content: bytes) -> list[int]:
        """The line on which each element begins, in document order."""
        try:
            self._parser.Parse(content, True)  # noqa: FBT003
        except expat.ExpatError as error:
            text = expat.ErrorString(error.code)
            raise DomainError(
                "file", f"this is not XML: {text}", file=self._file, line=error.lineno
            ) from error
        except (LookupError, ValueError) as error:  # an encoding that is unknown to Python
            raise DomainError("file", f"this is not XML: {error}", file=self._file) from error
        return self._lines

    def _doctype(self, *_: object) -> None:
        _refuse_doctype(self._file, self._parser.CurrentLineNumber)

    def _start(self, name: str, _: dict[str, str]) -> None:
        self._lines.append(self._parser.CurrentLineNumber)
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise DomainError(
                name,
                "the elements are nested too deeply",
                allowed=f"at most {MOST_DEPTH} levels",
                file=self._file,
                line=self._parser.CurrentLineNumber,
            )

    def _end(self, _: str) -> None:
        self._depth -= 1
