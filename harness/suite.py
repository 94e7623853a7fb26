"""Runs the conformance suite: pytest with hairpin's plugin, and its status in hairpin's terms."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.interrupts import interrupted

__all__ = ["Part", "hand_over", "run_folder", "run_suite", "suite_folder"]

EXIT_OK, EXIT_DIFFERS, EXIT_USAGE, EXIT_UNFIT, EXIT_INTERRUPTED = 0, 1, 2, 3, 130

_STATUS = {
    pytest.ExitCode.OK: EXIT_OK,
    pytest.ExitCode.TESTS_FAILED: EXIT_DIFFERS,
    pytest.ExitCode.INTERRUPTED: EXIT_INTERRUPTED,
    # Also what the plugin leaves pytest with on a machine that is not fit (EXIT_UNFIT).
    pytest.ExitCode.INTERNAL_ERROR: EXIT_UNFIT,
    pytest.ExitCode.USAGE_ERROR: EXIT_USAGE,
    pytest.ExitCode.NO_TESTS_COLLECTED: EXIT_USAGE,
}


class Part(StrEnum):
    """What of the suite needs more than a kernel: a marker, and the folder of all that bear it."""

    GUESTS = "guests"
    SRIOV = "sriov"
    VSI = "vsi"


def suite_folder() -> Path:
    """Where the conformance suite lies: beside the package when installed, else in the checkout."""
    package = Path(__file__).parent
    installed = package / "conformance"
    return installed if installed.is_dir() else package.parent / "tests" / "conformance"


def run_suite(
    arguments: Sequence[str],
    *,
    backend: str,
    output: Path,
    folder: Path | None = None,
    part: Part | None = None,
    dmesg: bool = False,
    jobs: int = 1,
) -> int:
    """Run the suite (or the test files among `arguments`) and write the reports under `output`.

    `arguments` go to pytest as they are. Of the suite come the tests of `part`, or else those that
    need no more than a kernel, unless `arguments` say otherwise. With a `folder` the reports go
    there, and not into a new one; with `dmesg` a case fails when the kernel complains meanwhile. In
    a machine of `hairpin vm` both are as its $HAIRPIN_FOLDER and $HAIRPIN_DMESG say. `jobs`
    processes run the tests. Returns hairpin's exit status. Raises UsageError when nothing can be
    written under `output`.
    """
    asked = folder or os.environ.get("HAIRPIN_FOLDER")
    folder = _made(Path(asked)) if asked else run_folder(output)
    dmesg = dmesg or bool(os.environ.get("HAIRPIN_DMESG"))
    suite = suite_folder()
    given = any(_is_there(a.partition("::")[0]) for a in arguments if not a.startswith("-"))
    status = _run_pytest(
        [
            *("-c", str(suite / "pytest.ini"), "--rootdir", str(suite)),
            *("-p", "harness.plugin", "-p", "no:hypothesispytest"),
            *("-o", f"cache_dir={output.resolve() / 'cache'}"),
            *("-q", "--no-header", "--tb=short", "--show-capture=no", "--hairpin-matrix"),
            f"--hairpin-backend={backend}",
            f"--hairpin-json={folder / 'results.json'}",
            f"--hairpin-evidence={folder / 'evidence'}",
            f"--hairpin-ktap={folder / 'results.ktap'}",
            f"--junitxml={folder / 'junit.xml'}",
            *_selection(part, arguments, suite),
            *(["--hairpin-dmesg"] if dmesg else []),
            *([f"--hairpin-jobs={jobs}"] if jobs > 1 else []),
            *arguments,
            *([] if given else [str(suite / (part or ""))]),
        ]
    )
    hand_over(output)
    if (folder / "results.json").exists():
        print(f"Reports: {folder}")
    return _STATUS.get(pytest.ExitCode(status), EXIT_DIFFERS)


def _is_there(word: str) -> bool:
    try:
        return Path(word).exists()
    except OSError:  # no name of a file at all: a long expression for -k
        return False


def _selection(part: Part | None, arguments: Sequence[str], suite: Path) -> list[str]:
    """Arguments for pytest; what is left out altogether need not be read."""
    if part:
        return ["-m", part]
    chosen = any(argument.startswith("-m") for argument in arguments)
    ignored = [] if chosen else [f"--ignore={suite / name}" for name in Part]
    return ["-m", " and ".join(f"not {name}" for name in Part), *ignored]


def _run_pytest(arguments: list[str]) -> int:
    try:
        status = pytest.main(arguments)
    except TypeError:
        # pytest's terminal reporter cannot render where the interrupt struck when that frame was
        # between two lines (tb_lineno is None then): ExceptionInfo.getrepr.
        if not interrupted():
            raise
        return pytest.ExitCode.INTERRUPTED
    return pytest.ExitCode.INTERRUPTED if interrupted() else status


def run_folder(output: Path) -> Path:
    """A new folder for this run, and the link `last` to it."""
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}"
    folder = output / name
    try:
        folder.mkdir(parents=True)
        link = output / f"last.{os.getpid()}"
        link.symlink_to(name)
        link.replace(output / "last")
    except OSError as error:
        raise _refused(output, error) from error
    return folder


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(folder, error) from error
    return folder


def _refused(output: Path, error: OSError) -> UsageError:
    return UsageError(
        f"cannot write reports under {output}: {error.strerror}; choose another with --output"
    )


def hand_over(output: Path) -> None:
    """As root in somebody else's folder (sudo): give what was written to its owner."""
    owner = output.resolve().parent.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    for path in (output, *output.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
