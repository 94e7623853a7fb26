"""Findings about libvirt: told apart, told whole, and each with a case that shows it."""

from pathlib import Path

from harness.guests.found import FINDINGS

REPOSITORY = Path(__file__).parents[3]


def test_findings_are_told_apart():
    """Each by its key; what is said of each is there."""
    assert len({x.key for x in FINDINGS}) == len(FINDINGS)
    assert all(x.behaviour and x.documentation and x.source and x.test for x in FINDINGS)


def test_findings_name_tests_that_exist():
    """A finding that nobody can see again is hearsay."""
    for finding in FINDINGS:
        file, _, name = finding.test.partition("::")
        assert f"def {name}(" in (REPOSITORY / file).read_text()
