"""What is said of real stations: in lldpad's configuration, in the documentation."""

from pathlib import Path

import pytest

pytest.importorskip("lxml")
pytest.importorskip("libvirt")

from harness.vsi.facts import Dialect
from harness.vsi.station.failures import FAILURES, markdown
from harness.vsi.station.found import FINDINGS
from harness.vsi.station.lldpad import Station, configuration

REPOSITORY = Path(__file__).parents[3]
DOCUMENT = (REPOSITORY / "docs" / "vsi.md").read_text()


def test_documentation_has_every_failure():
    """The table there is made of the data that the cases are."""
    assert markdown() in DOCUMENT
    assert len({x.name for x in FAILURES}) == len(FAILURES)


def test_findings_are_told_apart_and_shown():
    assert len({x.key for x in FINDINGS}) == len(FINDINGS)
    for finding in FINDINGS:
        file, _, name = finding.test.partition("::")
        assert f"def {name}(" in (REPOSITORY / file).read_text()
        assert finding.key in DOCUMENT


@pytest.mark.parametrize(
    ("dialect", "group", "other"),
    [
        (Dialect.RATIFIED, "tlvid0080c20d", "tlvid001b3f00"),
        (Dialect.DRAFT, "tlvid001b3f00", "tlvid0080c20d"),
    ],
)
def test_configuration(dialect, group, other):
    """One dialect for each link; without any, lldpad says nothing of EVB."""
    text = configuration([Station(link="a", dialect=dialect), Station(link="b", enabled=False)])
    assert f"a : {{\n      adminStatus = 3;\n      {group} : {{" in text
    assert other not in text
    assert "b : {\n      adminStatus = 3;\n    };" in text
    assert text.count("{") == text.count("}")


def test_configuration_in_the_documentation():
    """It is what the harness writes."""
    for dialect in Dialect:
        assert configuration([Station(link="eth0", dialect=dialect)]) in DOCUMENT
