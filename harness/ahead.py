"""What a machine would compile at each boot, slowly, is compiled here before."""

from __future__ import annotations

import compileall
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.kernel.syscalls import die_with_parent
from harness.suite import run_suite, suite_folder

__all__ = ["compile_ahead"]


def compile_ahead(*, suite: bool) -> None:
    """Compile what has changed of hairpin, and with `suite` of its tests.

    A machine would do it at each boot, and slowly. What is imported in a process of ours is not
    written where PYTHONDONTWRITEBYTECODE says so: that is about imports, and this is none.
    """
    package = Path(__file__).parent
    if os.access(package, os.W_OK):
        compileall.compile_dir(package, quiet=2)
    if suite and _stale():
        _rewrite_tests()


def _stale() -> bool:
    """Whether pytest has not rewritten a test since it has changed."""
    for path in suite_folder().glob("test_*.py"):
        written = path.parent / "__pycache__"
        kept = list(written.glob(f"{path.stem}.{sys.implementation.cache_tag}-pytest-*.pyc"))
        changed = path.stat().st_mtime
        if not any(x.stat().st_mtime >= changed for x in kept):
            return os.access(path.parent, os.W_OK)
    return False


def _rewrite_tests() -> None:
    """Have pytest collect, which keeps its own compiled form of each test file."""
    with TemporaryDirectory() as nowhere:
        pid = os.fork()
        if pid == 0:
            try:
                die_with_parent(signal.SIGKILL)
                nothing = os.open(os.devnull, os.O_RDWR)
                for stream in range(3):
                    os.dup2(nothing, stream)
                sys.dont_write_bytecode = False
                place = Path(nowhere)
                words = ["--collect-only", "-p", "no:cacheprovider"]
                run_suite(words, backend="auto", output=place, folder=place)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
