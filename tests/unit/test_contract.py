"""docs/contract.md: every case that it names exists, and every subject of the suite is in it."""

import re
from pathlib import Path

import pytest

from harness.suite import suite_folder

CONTRACT = Path(__file__).parents[2] / "docs" / "contract.md"
NAMED = sorted(set(re.findall(r"`(test_\w+)::(test_\w+)`", CONTRACT.read_text())))
ROWS = [x for x in CONTRACT.read_text().splitlines() if x.startswith("| ") and "| what |" not in x]


@pytest.mark.parametrize(("subject", "case"), NAMED, ids="::".join)
def test_case_exists(subject, case):
    assert f"def {case}(" in (suite_folder() / f"{subject}.py").read_text()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_every_line_has_a_case(row):
    assert re.search(r"`test_\w+::test_\w+`", row)


def test_every_subject_is_in_it():
    subjects = {path.stem for path in suite_folder().glob("test_*.py")}
    assert subjects <= {subject for subject, _ in NAMED}
