"""XML as people have it, and what is wrong with it."""

import pytest

from harness.guests import check, parse_document


@pytest.fixture
def meaning():
    """What `check` says of some texts, named 1.xml, 2.xml …, without libvirt's schemas."""

    def problems(*texts):
        documents = [parse_document(text, file=f"{i}.xml") for i, text in enumerate(texts, 1)]
        return check(documents, schemas=None)

    return problems
