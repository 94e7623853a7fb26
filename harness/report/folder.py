"""The folder of a run's evidence: a text and a capture for each differing case, up to a bound.

    .hairpin/20260102T030405-123/evidence/test_unicast-test_guest_to_guest-vepa-vepa.txt
                                          test_unicast-test_guest_to_guest-vepa-vepa.pcapng

Workers of pytest-xdist write into it side by side: the folder is locked while one looks whether
there is room and takes a name. The lock is the descriptor's, so it goes with the process.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.report.capture import capture_of
from harness.report.evidence_text import case_text
from harness.report.matrix import reproduce
from harness.report.record import Record
from harness.testbed.verdict import Verdict

__all__ = ["MOST_EVIDENCE", "EvidenceFolder"]

MOST_EVIDENCE = 50
"""Cases of one run that evidence is kept of: one cause seldom needs more, and each takes time."""
# What a shell or a file system might mind, and what pytest writes in place of it (→ is \\u2192).
_UNSAFE = re.compile(r"(\\(u[0-9a-f]{4}|x[0-9a-f]{2})|[^A-Za-z0-9_.])+")
_LONGEST = 100  # characters of a name, well below what any file system takes


class EvidenceFolder:
    """Evidence under `path`, which is made when the first is kept.

    `run` and `system` say in each file which run, and which kernel, it is of; `application`
    what wrote it. `options` are those of `hairpin run` that it takes to run a case again.
    """

    def __init__(
        self, path: Path, *, run: str, options: str, system: str, application: str
    ) -> None:
        self.path = path
        self._options = options
        self._run = run
        self._system = system
        self._application = application

    def has_room(self) -> bool:
        """Whether evidence of another case would be kept."""
        return self._count() < MOST_EVIDENCE

    def _count(self) -> int:
        return len(list(self.path.glob("*.txt")))

    def keep(self, record: Record, verdict: Verdict) -> Record:
        """Write the evidence on `verdict`; `record` with the name of its text.

        As it was where there is no room. A folder that cannot be written to is no reason to
        lose the verdict: that is then one of the record's findings.
        """
        capture = capture_of(verdict, system=self._system, application=self._application)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with self._locked():
                if not self.has_room():
                    return record
                name = self._name(record.case)
                (self.path / f"{name}.pcapng").write_bytes(capture)
                again = " ".join(filter(None, (reproduce(record), self._options)))
                text = case_text(
                    record, verdict, run=self._run, again=again, capture=f"{name}.pcapng"
                )
                # Last: what counts is there whole.
                (self.path / f"{name}.txt").write_text(text, encoding="utf-8")
        except OSError as error:
            lost = f"the evidence could not be written to {self.path}: {error.strerror}"
            return replace(record, findings=(*record.findings, lost))
        return replace(record, evidence=f"{self.path.name}/{name}.txt")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _name(self, case: str) -> str:
        """A name made of the case's id, short and fit for a shell, that no other case has."""
        file, _, test = case.partition("::")
        words = _UNSAFE.sub("-", f"{Path(file).stem}-{test}")
        name = words.strip("-.")[:_LONGEST] or "case"
        taken = {path.stem for path in self.path.glob("*.txt")}
        number = 2
        free = name
        while free in taken:
            free = f"{name}-{number}"
            number += 1
        return free
