"""Runs an exploration: fits it to this machine, shows how it goes, keeps what it finds."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom

from harness.casefile import dump_case
from harness.cases import Case
from harness.errors import UnfitError
from harness.kernel.features import Backend, Features, probe, require
from harness.kernel.privileges import ensure_namespaces
from harness.parts import LowerKind
from harness.suite import EXIT_DIFFERS, EXIT_INTERRUPTED, EXIT_OK, hand_over, run_folder

__all__ = ["run_exploration"]

_KINDS = {LowerKind.VLAN: "vlan", LowerKind.DUMMY: "dummy"}


def run_exploration(
    *, seconds: int | None, verdicts: int | None, seed: int | None, backend: str, output: Path
) -> int:
    """Explore and print what came of it; hairpin's exit status.

    A case that was found goes to `found.toml` in a new folder under `output`. Raises UnfitError
    when this machine cannot, UsageError when nothing can be written there.
    """
    ensure_namespaces()
    features = probe()
    require(features)
    try:
        from harness.explore import Limits, explore
        from harness.report.exploring import Progress, exploration_summary
    except ImportError as error:
        raise UnfitError(
            f"exploring takes Hypothesis ({error})", remedy="pip install 'hairpin[explore]'"
        ) from error
    progress = Progress()
    seed = SystemRandom().randrange(1 << 32) if seed is None else seed
    try:
        result = explore(
            Limits(seconds=seconds, verdicts=verdicts),
            seed=seed,
            backend=features.backend if backend == "auto" else Backend(backend),
            kinds=[
                LowerKind.VETH,
                *(kind for kind, name in _KINDS.items() if name not in features.missing),
            ],
            progress=progress,
        )
    except KeyboardInterrupt:
        progress.done()
        if progress.last:
            print(f"interrupted after {progress.last.verdicts:,} verdicts, no difference so far")
        return EXIT_INTERRUPTED
    progress.done()
    saved = _save(result.found, result.why, seed, features, output) if result.found else None
    print(exploration_summary(result, saved), file=sys.stdout)
    return EXIT_DIFFERS if result.found else EXIT_OK


def _save(case: Case, why: str, seed: int, features: Features, output: Path) -> Path:
    """The file that the case was written to, with where it comes from at its top."""
    path = run_folder(output) / "found.toml"
    comment = (
        f"Found by hairpin explore --seed {seed} on Linux {features.kernel} ({features.machine}), "
        f"{datetime.now(UTC):%Y-%m-%d}.\n{why}"
    )
    path.write_text(dump_case(Case(case.topology, case.steps, comment)), encoding="utf-8")
    hand_over(output)
    return Path(os.path.relpath(path))
