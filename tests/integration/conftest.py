"""What the tests of the harness itself share: hairpin as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ROOT = os.geteuid() == 0


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("root") and not ROOT:
            item.add_marker(pytest.mark.skip(reason="takes root"))


@pytest.fixture
def hairpin(tmp_path):
    """``hairpin(*arguments)`` runs the command line in an empty folder, to its end.

    `wrapper` is put before it; `plugin` is the text of a pytest plugin to load besides.
    """

    def run(*arguments, wrapper=(), plugin="", timeout=120):
        environment = dict(os.environ)
        if plugin:
            (tmp_path / "extra_plugin.py").write_text(plugin)
            environment["PYTHONPATH"] = str(tmp_path)
            arguments = (*arguments, "-p", "extra_plugin")
        return subprocess.run(
            [*wrapper, sys.executable, "-m", "harness", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def without_root():
    """A command prefix that takes every right away, but for mapping oneself to root."""
    return ("setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all") if ROOT else ()
