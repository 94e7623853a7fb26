"""results.json as results of tmt: the whole, then one for each section of the suite.

``hand_over.py STATUS``, with hairpin's exit status. Standard library only: it runs with whatever
Python the machine has. Called by run.sh.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("TMT_TEST_DATA", "."))
RUN = DATA / "hairpin" / "last"
# tmt puts the whole first one into its JUnit: not the megabytes of results.json.
LOGS = (DATA / "summary.txt", *(RUN / x for x in ("junit.xml", "results.ktap", "results.json")))
BAD = ("differs", "does not hold")
WHOLE = {0: "pass", 1: "fail", 3: "skip"}
MEANING = {2: "wrong usage", 3: "not possible on this machine: see output.txt", 130: "interrupted"}


def section_result(outcomes: Counter[str]) -> str:
    """What tmt calls it: the worst counts, and what was skipped only when nothing else is."""
    if any(outcome in outcomes for outcome in BAD):
        return "fail"
    if "error" in outcomes:
        return "error"
    return "skip" if set(outcomes) == {"skipped"} else "pass"


def results(status: int) -> list[dict[str, Any]]:
    """All results, as `results.yaml` of tmt has them (JSON is YAML)."""
    logs = [str(log.relative_to(DATA)) for log in LOGS if log.exists()]
    whole = {"name": "/", "result": WHOLE.get(status, "error"), "log": logs}
    if status in MEANING:
        whole["note"] = [MEANING[status]]
    if not (RUN / "results.json").exists():
        return [whole]
    run = json.loads((RUN / "results.json").read_text(encoding="utf-8"))
    whole["note"] = [*whole.get("note", []), f"kernel {run['kernel']}, {run['backend']}"]
    sections: dict[str, Counter[str]] = {}
    for record in run["records"]:
        sections.setdefault(record["section"], Counter())[record["outcome"]] += 1
    return [whole] + [
        {
            "name": "/" + "-".join(name.lower().replace("/", " ").split()),
            "result": section_result(outcomes),
            "note": [", ".join(f"{n} {outcome}" for outcome, n in outcomes.items())],
        }
        for name, outcomes in sections.items()
    ]


if __name__ == "__main__":
    found = results(int(sys.argv[1]))
    (DATA / "results.yaml").write_text(json.dumps(found, indent=1), encoding="utf-8")
